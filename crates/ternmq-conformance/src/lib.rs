//! The ledger of MQTT's normative statements and a black-box examiner with a codec of its own.
