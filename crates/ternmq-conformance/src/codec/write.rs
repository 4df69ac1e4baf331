//! What a client sends: builders for right packets, and the pieces for wrong ones.

use super::property::{Prop, Props, id};
use crate::version::Version;

/// A packet from its first byte and everything after the remaining length.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a case's packets are small");
    [vec![first], variable(length), body.to_vec()].concat()
}

/// A variable byte integer, in its shortest form.
pub(crate) fn variable(mut value: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(4);
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// A string or binary data: two bytes of length, then the bytes.
pub(crate) fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("a field has at most 65,535 bytes");
    [length.to_be_bytes().to_vec(), bytes.to_vec()].concat()
}

/// A CONNECT packet.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: Vec<u8>,
    pub(crate) clean: bool,
    pub(crate) keep_alive_seconds: u16,
    pub(crate) will: Option<Will>,
    pub(crate) user_name: Option<Vec<u8>>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) props: Props,
}

impl Connect {
    /// A clean connection with a keep alive that no case will wait for.
    pub(crate) fn new(version: Version, client_id: impl AsRef<[u8]>) -> Connect {
        Connect {
            version,
            client_id: client_id.as_ref().to_vec(),
            clean: true,
            keep_alive_seconds: 120,
            will: None,
            user_name: None,
            password: None,
            props: Props::default(),
        }
    }

    /// Clean Session 0; with 5.0 also a session that outlives its connection by so many seconds.
    pub(crate) fn persistent(mut self, expiry_seconds: u32) -> Connect {
        self.clean = false;
        if expiry_seconds > 0 {
            self = self.prop(Prop::four(id::SESSION_EXPIRY_INTERVAL, expiry_seconds));
        }
        self
    }

    pub(crate) fn clean(mut self, clean: bool) -> Connect {
        self.clean = clean;
        self
    }

    pub(crate) fn keep_alive(mut self, seconds: u16) -> Connect {
        self.keep_alive_seconds = seconds;
        self
    }

    pub(crate) fn will(mut self, will: Will) -> Connect {
        self.will = Some(will);
        self
    }

    /// Adds a property; versions before 5.0 have none, and leave it out.
    pub(crate) fn prop(mut self, prop: Prop) -> Connect {
        if self.version.is_v5() {
            self.props.0.push(prop);
        }
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut payload = field(&self.client_id);
        if let Some(will) = &self.will {
            flags |= 0x04 | (will.qos << 3) | (u8::from(will.retain) << 5);
            if self.version.is_v5() {
                payload.extend(will.props.encode());
            }
            payload.extend(field(&will.topic));
            payload.extend(field(&will.payload));
        }
        if let Some(user_name) = &self.user_name {
            flags |= 0x80;
            payload.extend(field(user_name));
        }
        if let Some(password) = &self.password {
            flags |= 0x40;
            payload.extend(field(password));
        }
        let head = (self.version.protocol_name(), self.version.level());
        raw_connect(self.version, head, (flags, self.keep_alive_seconds), &self.props, &payload)
    }
}

/// A CONNECT packet from its parts, each of which may be wrong.
pub(crate) fn raw_connect(
    version: Version,
    (name, level): (&str, u8),
    (flags, keep_alive_seconds): (u8, u16),
    props: &Props,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = field(name);
    body.extend([level, flags]);
    body.extend(keep_alive_seconds.to_be_bytes());
    if version.is_v5() {
        body.extend(props.encode());
    }
    body.extend(payload);
    packet(0x10, &body)
}

/// The will of a CONNECT packet.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) props: Props,
}

impl Will {
    pub(crate) fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, qos: u8) -> Will {
        let (topic, payload) = (topic.as_ref().to_vec(), payload.as_ref().to_vec());
        Will { topic, payload, qos, retain: false, props: Props::default() }
    }

    pub(crate) fn retained(mut self) -> Will {
        self.retain = true;
        self
    }

    pub(crate) fn prop(mut self, prop: Prop) -> Will {
        self.props.0.push(prop);
        self
    }
}

/// A PUBLISH packet, sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) packet_id: u16,
    pub(crate) props: Props,
}

impl Publish {
    pub(crate) fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, qos: u8) -> Publish {
        Publish {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos,
            dup: false,
            retain: false,
            packet_id: 0,
            props: Props::default(),
        }
    }

    pub(crate) fn id(mut self, packet_id: u16) -> Publish {
        self.packet_id = packet_id;
        self
    }

    pub(crate) fn retained(mut self) -> Publish {
        self.retain = true;
        self
    }

    pub(crate) fn dup(mut self) -> Publish {
        self.dup = true;
        self
    }

    pub(crate) fn prop(mut self, prop: Prop) -> Publish {
        self.props.0.push(prop);
        self
    }

    pub(crate) fn encode(&self, version: Version) -> Vec<u8> {
        let flags = (u8::from(self.dup) << 3) | (self.qos << 1) | u8::from(self.retain);
        let mut body = field(&self.topic);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        if version.is_v5() {
            body.extend(self.props.encode());
        }
        body.extend(&self.payload);
        packet(0x30 | flags, &body)
    }
}

/// A SUBSCRIBE packet: filters with their options byte.
#[derive(Debug, Clone)]
pub(crate) struct Subscribe {
    pub(crate) packet_id: u16,
    pub(crate) filters: Vec<(Vec<u8>, u8)>,
    pub(crate) props: Props,
}

impl Subscribe {
    /// One filter; the options byte is the QoS in every version, with more bits in 5.0.
    pub(crate) fn one(packet_id: u16, filter: impl AsRef<[u8]>, options: u8) -> Subscribe {
        let filters = vec![(filter.as_ref().to_vec(), options)];
        Subscribe { packet_id, filters, props: Props::default() }
    }

    pub(crate) fn and(mut self, filter: impl AsRef<[u8]>, options: u8) -> Subscribe {
        self.filters.push((filter.as_ref().to_vec(), options));
        self
    }

    pub(crate) fn identifier(mut self, identifier: u32) -> Subscribe {
        self.props.0.push(Prop::variable(id::SUBSCRIPTION_IDENTIFIER, identifier));
        self
    }

    pub(crate) fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = self.packet_id.to_be_bytes().to_vec();
        if version.is_v5() {
            body.extend(self.props.encode());
        }
        for (filter, options) in &self.filters {
            body.extend(field(filter));
            body.push(*options);
        }
        packet(0x82, &body)
    }
}

/// An UNSUBSCRIBE packet.
pub(crate) fn unsubscribe(version: Version, packet_id: u16, filters: &[&[u8]]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version.is_v5() {
        body.push(0);
    }
    for filter in filters {
        body.extend(field(filter));
    }
    packet(0xA2, &body)
}

/// The four packets that acknowledge a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the packets' names in the standard")]
pub(crate) enum Ack {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

impl Ack {
    /// The first byte of the packet, with its reserved flags.
    pub(crate) const fn first_byte(self) -> u8 {
        match self {
            Ack::PubAck => 0x40,
            Ack::PubRec => 0x50,
            Ack::PubRel => 0x62,
            Ack::PubComp => 0x70,
        }
    }
}

/// An acknowledgement; a reason code other than 0 exists only in 5.0.
pub(crate) fn ack(kind: Ack, packet_id: u16, code: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if code != 0 {
        body.push(code);
    }
    packet(kind.first_byte(), &body)
}

pub(crate) fn pingreq() -> Vec<u8> {
    packet(0xC0, &[])
}

/// A DISCONNECT packet; reason code and properties exist only in 5.0.
pub(crate) fn disconnect(version: Version, code: u8, props: &Props) -> Vec<u8> {
    if !version.is_v5() || (code == 0 && props.0.is_empty()) {
        return packet(0xE0, &[]);
    }
    packet(0xE0, &[vec![code], props.encode()].concat())
}

pub(crate) fn auth(code: u8, props: &Props) -> Vec<u8> {
    packet(0xF0, &[vec![code], props.encode()].concat())
}
