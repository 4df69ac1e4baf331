//! Properties of MQTT 5.0: their identifiers, their kinds, and where a broker may send them.

use super::write::{field, variable};

/// The identifiers, by the names of the standard.
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_AVAILABLE: u8 = 0x2A;
}

/// One property: its identifier and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prop {
    pub(crate) id: u8,
    pub(crate) value: Value,
}

/// A value, with the width that it has on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    Bytes(Vec<u8>),
    Pair(Vec<u8>, Vec<u8>),
}

impl Prop {
    pub(crate) fn byte(id: u8, value: u8) -> Prop {
        Prop { id, value: Value::Byte(value) }
    }

    pub(crate) fn two(id: u8, value: u16) -> Prop {
        Prop { id, value: Value::Two(value) }
    }

    pub(crate) fn four(id: u8, value: u32) -> Prop {
        Prop { id, value: Value::Four(value) }
    }

    pub(crate) fn variable(id: u8, value: u32) -> Prop {
        Prop { id, value: Value::Variable(value) }
    }

    /// A string or binary data; a string need not be UTF-8, since some cases break it on purpose.
    pub(crate) fn bytes(id: u8, value: impl AsRef<[u8]>) -> Prop {
        Prop { id, value: Value::Bytes(value.as_ref().to_vec()) }
    }

    pub(crate) fn user(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Prop {
        let value = Value::Pair(name.as_ref().to_vec(), value.as_ref().to_vec());
        Prop { id: id::USER_PROPERTY, value }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.id];
        match &self.value {
            Value::Byte(value) => out.push(*value),
            Value::Two(value) => out.extend(value.to_be_bytes()),
            Value::Four(value) => out.extend(value.to_be_bytes()),
            Value::Variable(value) => out.extend(variable(*value)),
            Value::Bytes(value) => out.extend(field(value)),
            Value::Pair(name, value) => {
                out.extend(field(name));
                out.extend(field(value));
            }
        }
        out
    }
}

/// The properties of one packet, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Props(pub(crate) Vec<Prop>);

impl Props {
    /// All values of one property, in order.
    pub(crate) fn all(&self, id: u8) -> Vec<&Value> {
        self.0.iter().filter(|prop| prop.id == id).map(|prop| &prop.value).collect()
    }

    pub(crate) fn has(&self, id: u8) -> bool {
        self.0.iter().any(|prop| prop.id == id)
    }

    /// The value of a property that is a number of any width.
    pub(crate) fn number(&self, id: u8) -> Option<u32> {
        self.0.iter().find(|prop| prop.id == id).and_then(|prop| match prop.value {
            Value::Byte(value) => Some(u32::from(value)),
            Value::Two(value) => Some(u32::from(value)),
            Value::Four(value) | Value::Variable(value) => Some(value),
            Value::Bytes(_) | Value::Pair(..) => None,
        })
    }

    pub(crate) fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find(|prop| prop.id == id).and_then(|prop| match &prop.value {
            Value::Bytes(value) => Some(value.as_slice()),
            _ => None,
        })
    }

    /// The user properties, in order.
    pub(crate) fn users(&self) -> Vec<Prop> {
        self.0.iter().filter(|prop| prop.id == id::USER_PROPERTY).cloned().collect()
    }

    /// The subscription identifiers, in ascending order (the standard leaves theirs open).
    pub(crate) fn subscription_identifiers(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for value in self.all(id::SUBSCRIPTION_IDENTIFIER) {
            if let Value::Variable(value) = value {
                found.push(*value);
            }
        }
        found.sort_unstable();
        found
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let body: Vec<u8> = self.0.iter().flat_map(Prop::encode).collect();
        let length = u32::try_from(body.len()).expect("a case's properties are small");
        [variable(length), body].concat()
    }
}

/// What kind of value a property has, if the standard knows the identifier.
pub(super) fn kind(id: u8) -> Option<Kind> {
    Some(match id {
        id::PAYLOAD_FORMAT_INDICATOR
        | id::REQUEST_PROBLEM_INFORMATION
        | id::REQUEST_RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_AVAILABLE
        | id::SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | id::SHARED_AVAILABLE => Kind::Flag,
        id::SERVER_KEEP_ALIVE | id::TOPIC_ALIAS_MAXIMUM => Kind::Two,
        id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS => Kind::TwoNotZero,
        id::MESSAGE_EXPIRY_INTERVAL | id::SESSION_EXPIRY_INTERVAL | id::WILL_DELAY_INTERVAL => {
            Kind::Four
        }
        id::MAXIMUM_PACKET_SIZE => Kind::FourNotZero,
        id::SUBSCRIPTION_IDENTIFIER => Kind::VariableNotZero,
        id::CORRELATION_DATA | id::AUTHENTICATION_DATA => Kind::Binary,
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::ASSIGNED_CLIENT_IDENTIFIER
        | id::AUTHENTICATION_METHOD
        | id::RESPONSE_INFORMATION
        | id::SERVER_REFERENCE
        | id::REASON_STRING => Kind::Text,
        id::USER_PROPERTY => Kind::Pair,
        _ => return None,
    })
}

/// The shape of a value, with the bounds that the standard sets for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Flag,
    Two,
    TwoNotZero,
    Four,
    FourNotZero,
    VariableNotZero,
    Binary,
    Text,
    Pair,
}

/// What is wrong with a string of a packet, if anything is.
pub(super) fn text_fault(bytes: &[u8]) -> Option<&'static str> {
    match std::str::from_utf8(bytes) {
        Err(_) => Some("ill-formed UTF-8"),
        Ok(text) if text.contains('\0') => Some("U+0000 in a string"),
        Ok(_) => None,
    }
}
