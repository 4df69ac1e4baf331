//! An MQTT client that does not lose messages: async and blocking.
