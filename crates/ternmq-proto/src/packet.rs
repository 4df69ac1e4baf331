//! The fifteen packets: one model for all versions, the superset that MQTT 5.0 is.
//!
//! What a decoded packet holds obeys the standard for its version. Encoding checks the same things
//! and writes nothing when one of them does not hold. Which side may send which packet, and when,
//! is not judged here: that is the connection's.
//!
//! ```
//! use ternmq_proto::packet::Publish;
//! use ternmq_proto::{Packet, Properties, Qos, Version, frame};
//!
//! let publish = Publish {
//!     dup: false,
//!     qos: Qos::AtMostOnce,
//!     retain: false,
//!     topic: "plant/7",
//!     packet_id: None,
//!     properties: Properties::EMPTY,
//!     payload: b"21.5",
//! };
//! let mut bytes = Vec::new();
//! Packet::Publish(publish).encode(Version::V5, &mut bytes)?;
//!
//! let bytes_max = 65_536;
//! let (length, frame) = frame::split(&bytes, bytes_max)?.expect("the packet is whole");
//! assert_eq!(length, bytes.len());
//! assert_eq!(Packet::decode(Version::V5, frame)?, Packet::Publish(publish));
//! # Ok::<(), ternmq_proto::Error>(())
//! ```

use alloc::vec::Vec;

use crate::error::{Error, Malformed, Misuse};
use crate::frame::{Frame, PacketKind};
use crate::planted::{self, Bug};
use crate::property::{Place, Properties};
use crate::qos::PacketId;
use crate::version::Version;
use crate::wire::{self, Reader};

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod unsubscribe;

pub use ack::{Ack, encode_ack};
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use publish::{Publish, PublishHead, encode_publish, encoded_publish_len};
pub use subscribe::{RetainHandling, Suback, Subscribe, SubscribeFilters, SubscriptionOptions};
pub use unsubscribe::{Unsuback, Unsubscribe, UnsubscribeFilters};

/// Any packet. Text, binary data and properties are borrowed from the bytes it was decoded from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// Client asks to connect.
    Connect(Connect<'a>),
    /// Answer to CONNECT.
    Connack(Connack<'a>),
    /// A message.
    Publish(Publish<'a>),
    /// QoS 1 acknowledgement.
    Puback(Ack<'a>),
    /// QoS 2, first answer.
    Pubrec(Ack<'a>),
    /// QoS 2, second step of the sender.
    Pubrel(Ack<'a>),
    /// QoS 2, last answer.
    Pubcomp(Ack<'a>),
    /// Client subscribes.
    Subscribe(Subscribe<'a>),
    /// Answer to SUBSCRIBE.
    Suback(Suback<'a>),
    /// Client unsubscribes.
    Unsubscribe(Unsubscribe<'a>),
    /// Answer to UNSUBSCRIBE.
    Unsuback(Unsuback<'a>),
    /// Client asks for a sign of life.
    Pingreq,
    /// Answer to PINGREQ.
    Pingresp,
    /// Last packet of a connection.
    Disconnect(Disconnect<'a>),
    /// Extended authentication.
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Reads the packet in `frame`. CONNECT says its version itself; `version` is ignored then.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`] when the packet breaks the standard in this version;
    /// [`Error::PeerIncompatible`] for a CONNECT of a protocol or version that is not spoken here.
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Packet<'a>, Error> {
        let kind = frame.kind()?;
        Ok(match kind {
            PacketKind::Publish => Packet::Publish(Publish::decode(version, frame)?),
            PacketKind::Puback => Packet::Puback(Ack::decode(version, frame)?),
            PacketKind::Pubrec => Packet::Pubrec(Ack::decode(version, frame)?),
            PacketKind::Pubrel => Packet::Pubrel(Ack::decode(version, frame)?),
            PacketKind::Pubcomp => Packet::Pubcomp(Ack::decode(version, frame)?),
            PacketKind::Connect => Packet::Connect(Connect::decode(frame)?),
            PacketKind::Connack => Packet::Connack(Connack::decode(version, frame)?),
            PacketKind::Subscribe => Packet::Subscribe(Subscribe::decode(version, frame)?),
            PacketKind::Suback => Packet::Suback(Suback::decode(version, frame)?),
            PacketKind::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(version, frame)?),
            PacketKind::Unsuback => Packet::Unsuback(Unsuback::decode(version, frame)?),
            PacketKind::Pingreq => {
                body_of(version, frame, kind)?.finish()?;
                Packet::Pingreq
            }
            PacketKind::Pingresp => {
                body_of(version, frame, kind)?.finish()?;
                Packet::Pingresp
            }
            PacketKind::Disconnect => Packet::Disconnect(Disconnect::decode(version, frame)?),
            PacketKind::Auth => Packet::Auth(Auth::decode(version, frame)?),
        })
    }

    /// Appends the packet to `out`. CONNECT is written in its own version; `version` is ignored.
    ///
    /// # Errors
    /// A packet that the receiver would have to refuse, or that `version` cannot say. Nothing was
    /// appended then.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        match self {
            Packet::Connect(packet) => packet.encode(out),
            Packet::Connack(packet) => packet.encode(version, out),
            Packet::Publish(packet) => packet.encode_into(version, out),
            Packet::Puback(packet) => packet.encode(version, PacketKind::Puback, out),
            Packet::Pubrec(packet) => packet.encode(version, PacketKind::Pubrec, out),
            Packet::Pubrel(packet) => packet.encode(version, PacketKind::Pubrel, out),
            Packet::Pubcomp(packet) => packet.encode(version, PacketKind::Pubcomp, out),
            Packet::Subscribe(packet) => packet.encode(version, out),
            Packet::Suback(packet) => packet.encode(version, out),
            Packet::Unsubscribe(packet) => packet.encode(version, out),
            Packet::Unsuback(packet) => packet.encode(version, out),
            Packet::Pingreq => wire::begin(out, PacketKind::Pingreq.first_byte(), 0),
            Packet::Pingresp => wire::begin(out, PacketKind::Pingresp.first_byte(), 0),
            Packet::Disconnect(packet) => packet.encode(version, out),
            Packet::Auth(packet) => packet.encode(version, out),
        }
    }

    /// Which packet this is.
    pub fn kind(&self) -> PacketKind {
        match self {
            Packet::Connect(_) => PacketKind::Connect,
            Packet::Connack(_) => PacketKind::Connack,
            Packet::Publish(_) => PacketKind::Publish,
            Packet::Puback(_) => PacketKind::Puback,
            Packet::Pubrec(_) => PacketKind::Pubrec,
            Packet::Pubrel(_) => PacketKind::Pubrel,
            Packet::Pubcomp(_) => PacketKind::Pubcomp,
            Packet::Subscribe(_) => PacketKind::Subscribe,
            Packet::Suback(_) => PacketKind::Suback,
            Packet::Unsubscribe(_) => PacketKind::Unsubscribe,
            Packet::Unsuback(_) => PacketKind::Unsuback,
            Packet::Pingreq => PacketKind::Pingreq,
            Packet::Pingresp => PacketKind::Pingresp,
            Packet::Disconnect(_) => PacketKind::Disconnect,
            Packet::Auth(_) => PacketKind::Auth,
        }
    }
}

/// Checks the flags of a packet that has fixed ones, and gives its body.
fn body_of<'a>(
    version: Version,
    frame: Frame<'a>,
    kind: PacketKind,
) -> Result<Reader<'a>, Malformed> {
    let mut flags = frame.flags();
    if version == Version::V31 && kind.required_flags() != 0 {
        // In 3.1 these bits are a QoS level of 1 and a DUP that marks a repetition.
        flags &= !0b1000;
    }
    if flags != kind.required_flags() && !planted::is(Bug::AcceptWrongFlags) {
        return Err(Malformed::FixedHeaderFlags { first_byte: frame.first_byte });
    }
    Ok(Reader::new(frame.body))
}

/// Takes a packet identifier off the body.
#[inline]
fn packet_id(reader: &mut Reader<'_>) -> Result<PacketId, Error> {
    match PacketId::new(reader.u16()?) {
        Some(id) => Ok(id),
        None if planted::is(Bug::AcceptPacketIdZero) => Ok(PacketId::MIN),
        None => Err(crate::error::Forbidden::PacketIdZero.into()),
    }
}

/// What the property section takes in a packet of this version, its length included.
#[inline]
fn section_len(version: Version, properties: Properties<'_>) -> usize {
    if !version.has_properties() {
        return 0;
    }
    let count = properties.as_bytes().len();
    wire::variable_len(count) + count
}

/// Writes the property section, if the version has one.
fn put_section(out: &mut Vec<u8>, version: Version, properties: Properties<'_>) {
    if version.has_properties() {
        wire::put_variable(out, properties.as_bytes().len());
        out.extend_from_slice(properties.as_bytes());
    }
}

/// Checks a property section that is about to be written.
fn check_section(version: Version, properties: Properties<'_>, place: Place) -> Result<(), Misuse> {
    if properties.is_empty() {
        return Ok(());
    }
    if !version.has_properties() {
        return Err(Misuse::NotInVersion { what: "properties", version });
    }
    Ok(properties.check(place)?)
}
