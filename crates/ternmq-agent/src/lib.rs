//! What an MQTT client decides: outbox, resend, reconnect and backoff.
