//! Table 2-4 of the standard: which properties there are, what type their values have, in which
//! packets they may stand; and a value as it lies on the wire.

use alloc::vec::Vec;

use crate::error::{Forbidden, Malformed, Violation};
use crate::frame::REMAINING_LENGTH_MAX;
use crate::topic::TopicName;
use crate::wire::{self, Reader};

/// Where a property section stands; one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(pub(super) u16);

impl Place {
    pub(crate) const CONNECT: Place = Place(1);
    pub(crate) const WILL: Place = Place(1 << 1);
    pub(crate) const CONNACK: Place = Place(1 << 2);
    pub(crate) const PUBLISH: Place = Place(1 << 3);
    /// PUBACK, PUBREC, PUBREL and PUBCOMP, which have the same properties.
    pub(crate) const ACK: Place = Place(1 << 4);
    pub(crate) const SUBSCRIBE: Place = Place(1 << 5);
    pub(crate) const SUBACK: Place = Place(1 << 6);
    pub(crate) const UNSUBSCRIBE: Place = Place(1 << 7);
    pub(crate) const UNSUBACK: Place = Place(1 << 8);
    pub(crate) const DISCONNECT: Place = Place(1 << 9);
    pub(crate) const AUTH: Place = Place(1 << 10);
    const ANY: Place = Place((1 << 11) - 1);

    const fn or(self, other: Place) -> Place {
        Place(self.0 | other.0)
    }
}

/// Which properties a section has had so far; identifiers are below 64.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Remembers `id`; says whether it was there before.
    pub(super) fn insert(&mut self, id: u8) -> bool {
        let bit = 1 << id;
        let before = self.0 & bit != 0;
        self.0 |= bit;
        before
    }

    pub(super) fn has(&self, id: u8) -> bool {
        self.0 & 1 << id != 0
    }
}

/// A value as it lies on the wire; texts are not known to be UTF-8 yet.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Byte(u8),
    U16(u16),
    U32(u32),
    Variable(u32),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Pair(&'a [u8], &'a [u8]),
}

impl<'a> Value<'a> {
    /// Reads an identifier and its value. Fails at the end, too.
    #[inline(always)]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<(u8, Value<'a>), Malformed> {
        // The identifier is a variable byte integer; all that exist have one byte.
        let id = reader.u8()?;
        let kind = SPECS.get(usize::from(id)).map_or(Kind::None, |spec| spec.kind);
        let value = match kind {
            Kind::None => return Err(Malformed::PropertyUnknown(id)),
            Kind::Byte | Kind::Flag => Value::Byte(reader.u8()?),
            Kind::U16 => Value::U16(reader.u16()?),
            Kind::U32 => Value::U32(reader.u32()?),
            Kind::Variable => Value::Variable(reader.variable()?),
            Kind::Text => Value::Text(reader.binary()?),
            Kind::Binary => Value::Binary(reader.binary()?),
            Kind::Pair => Value::Pair(reader.binary()?, reader.binary()?),
        };
        Ok((id, value))
    }

    /// Texts are texts, and numbers are in the range that the standard gives for `id`.
    #[inline(always)]
    pub(super) fn check(&self, id: u8) -> Result<(), Violation> {
        let out_of_range = match *self {
            Value::Byte(value) => value > 1,
            // 0 topics may be aliased, and 0 seconds of keep alive are none; 0 in flight is not.
            Value::U16(value) => match id {
                id::TOPIC_ALIAS if value == 0 => return Err(Violation::TopicAliasInvalid(0)),
                id::RECEIVE_MAXIMUM => value == 0,
                _ => false,
            },
            Value::U32(value) => id == id::MAXIMUM_PACKET_SIZE && value == 0,
            Value::Variable(value) => value == 0,
            Value::Text(bytes) => {
                wire::check_utf8(bytes)?;
                if id == id::RESPONSE_TOPIC {
                    TopicName::parse(wire::text(bytes)?).map_err(Malformed::Topic)?;
                }
                false
            }
            Value::Binary(_) => false,
            Value::Pair(name, value) => {
                wire::check_utf8(name)?;
                wire::check_utf8(value)?;
                false
            }
        };
        if out_of_range {
            return Err(Forbidden::PropertyValue { id, value: self.number() }.into());
        }
        Ok(())
    }

    /// Whether there is a way to write it.
    pub(super) fn fits(&self) -> bool {
        match self {
            Value::Variable(value) => *value <= REMAINING_LENGTH_MAX,
            Value::Text(bytes) | Value::Binary(bytes) => bytes.len() <= wire::FIELD_BYTES_MAX,
            Value::Pair(name, value) => name.len().max(value.len()) <= wire::FIELD_BYTES_MAX,
            Value::Byte(_) | Value::U16(_) | Value::U32(_) => true,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Value::Byte(value) => out.push(value),
            Value::U16(value) => wire::put_u16(out, value),
            Value::U32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::Variable(value) => wire::put_variable(out, value as usize),
            Value::Text(bytes) | Value::Binary(bytes) => wire::put_binary(out, bytes),
            Value::Pair(name, value) => {
                wire::put_binary(out, name);
                wire::put_binary(out, value);
            }
        }
    }

    fn number(self) -> u32 {
        match self {
            Value::Byte(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::U32(value) | Value::Variable(value) => value,
            Value::Text(_) | Value::Binary(_) | Value::Pair(..) => 0,
        }
    }

    pub(super) fn byte(self) -> Option<u8> {
        if let Value::Byte(value) = self { Some(value) } else { None }
    }

    pub(super) fn flag(self) -> Option<bool> {
        self.byte().map(|value| value != 0)
    }

    pub(super) fn u16(self) -> Option<u16> {
        if let Value::U16(value) = self { Some(value) } else { None }
    }

    pub(super) fn u32(self) -> Option<u32> {
        if let Value::U32(value) = self { Some(value) } else { None }
    }

    pub(super) fn variable(self) -> Option<u32> {
        if let Value::Variable(value) = self { Some(value) } else { None }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let Value::Text(bytes) = self { core::str::from_utf8(bytes).ok() } else { None }
    }

    pub(super) fn binary(self) -> Option<&'a [u8]> {
        if let Value::Binary(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn pair(self) -> Option<(&'a str, &'a str)> {
        let Value::Pair(name, value) = self else { return None };
        Some((core::str::from_utf8(name).ok()?, core::str::from_utf8(value).ok()?))
    }
}

/// What a property's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No such property.
    None,
    Byte,
    Flag,
    U16,
    U32,
    Variable,
    Text,
    Binary,
    Pair,
}

#[derive(Clone, Copy)]
pub(super) struct Spec {
    name: &'static str,
    kind: Kind,
    pub(super) places: u16,
}

/// The name of a property, for messages to people.
pub(crate) fn name(id: u8) -> &'static str {
    SPECS.get(usize::from(id)).map_or("unknown property", |spec| spec.name)
}

/// The identifiers of table 2-4.
pub(super) mod id {
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
    pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// Table 2-4 of the standard, by identifier: name, type, packets.
pub(super) const SPECS: [Spec; 43] = {
    use Kind::*;
    const fn row(name: &'static str, kind: Kind, places: Place) -> Spec {
        Spec { name, kind, places: places.0 }
    }
    const MESSAGE: Place = Place::PUBLISH.or(Place::WILL);
    const GREETING: Place = Place::CONNECT.or(Place::CONNACK);
    const EXCHANGE: Place = GREETING.or(Place::AUTH);
    const REASON: Place = Place::ACK
        .or(Place::CONNACK)
        .or(Place::SUBACK)
        .or(Place::UNSUBACK)
        .or(Place::DISCONNECT)
        .or(Place::AUTH);

    let mut specs = [Spec { name: "unknown property", kind: None, places: 0 }; 43];
    specs[0x01] = row("Payload Format Indicator", Byte, MESSAGE);
    specs[0x02] = row("Message Expiry Interval", U32, MESSAGE);
    specs[0x03] = row("Content Type", Text, MESSAGE);
    specs[0x08] = row("Response Topic", Text, MESSAGE);
    specs[0x09] = row("Correlation Data", Binary, MESSAGE);
    specs[0x0B] = row("Subscription Identifier", Variable, Place::PUBLISH.or(Place::SUBSCRIBE));
    specs[0x11] = row("Session Expiry Interval", U32, GREETING.or(Place::DISCONNECT));
    specs[0x12] = row("Assigned Client Identifier", Text, Place::CONNACK);
    specs[0x13] = row("Server Keep Alive", U16, Place::CONNACK);
    specs[0x15] = row("Authentication Method", Text, EXCHANGE);
    specs[0x16] = row("Authentication Data", Binary, EXCHANGE);
    specs[0x17] = row("Request Problem Information", Flag, Place::CONNECT);
    specs[0x18] = row("Will Delay Interval", U32, Place::WILL);
    specs[0x19] = row("Request Response Information", Flag, Place::CONNECT);
    specs[0x1A] = row("Response Information", Text, Place::CONNACK);
    specs[0x1C] = row("Server Reference", Text, Place::CONNACK.or(Place::DISCONNECT));
    specs[0x1F] = row("Reason String", Text, REASON);
    specs[0x21] = row("Receive Maximum", U16, GREETING);
    specs[0x22] = row("Topic Alias Maximum", U16, GREETING);
    specs[0x23] = row("Topic Alias", U16, Place::PUBLISH);
    specs[0x24] = row("Maximum QoS", Byte, Place::CONNACK);
    specs[0x25] = row("Retain Available", Flag, Place::CONNACK);
    specs[0x26] = row("User Property", Pair, Place::ANY);
    specs[0x27] = row("Maximum Packet Size", U32, GREETING);
    specs[0x28] = row("Wildcard Subscription Available", Flag, Place::CONNACK);
    specs[0x29] = row("Subscription Identifiers Available", Flag, Place::CONNACK);
    specs[0x2A] = row("Shared Subscription Available", Flag, Place::CONNACK);
    specs
};
