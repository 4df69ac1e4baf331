//! What an MQTT broker decides: sessions, routing, retained messages, wills, the gate.
