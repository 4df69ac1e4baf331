//! PUBLISH: a message. The packet that everything else is there for, so it has a fast path.
//!
//! Decoding borrows everything and allocates nothing. A message is encoded for a subscriber by
//! [`encode_publish`], which trusts what was checked when the message came in.

use alloc::vec::Vec;

use super::{check_section, packet_id};
use crate::error::{Error, Forbidden, Malformed, Misuse};
use crate::frame::{Frame, PACKET_BYTES_MAX, PacketKind, REMAINING_LENGTH_MAX};
use crate::planted::{self, Bug};
use crate::property::{Place, Properties, Seen};
use crate::qos::{PacketId, Qos};
use crate::topic::{TopicError, TopicName};
use crate::version::Version;
use crate::wire::{self, Reader};

/// A message on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish<'a> {
    /// Whether it may have been sent before. Never with QoS 0.
    pub dup: bool,
    /// How often it may arrive.
    pub qos: Qos,
    /// To a server: keep it as the topic's last message. To a client: it was kept.
    pub retain: bool,
    /// A valid topic name, or empty (MQTT 5.0 only) when a topic alias stands for it.
    pub topic: &'a str,
    /// There for QoS 1 and 2, and only there.
    pub packet_id: Option<PacketId>,
    /// Properties of the message and of this transmission.
    pub properties: Properties<'a>,
    /// The message.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Reads a PUBLISH.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    #[inline]
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Publish<'a>, Error> {
        let first_byte = frame.first_byte;
        let wrong_flags = || Malformed::FixedHeaderFlags { first_byte };
        let qos = Qos::from_bits(first_byte >> 1 & 0b11).ok_or_else(wrong_flags)?;
        let mut dup = first_byte & DUP != 0;
        if dup && qos == Qos::AtMostOnce {
            // MQTT-3.3.1-2; in MQTT 3.1, the bit has a meaning above QoS 0 only.
            if version != Version::V31 {
                return Err(wrong_flags().into());
            }
            dup = false;
        }
        let mut reader = Reader::new(frame.body);
        let topic = topic_name(&mut reader, version)?;
        let packet_id = if qos == Qos::AtMostOnce { None } else { Some(packet_id(&mut reader)?) };
        let properties = Properties::decode(&mut reader, version, Place::PUBLISH)?;
        if topic.is_empty() && properties.topic_alias().is_none() {
            return Err(Forbidden::TopicMissing.into());
        }
        let retain = first_byte & RETAIN != 0;
        Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: reader.rest() })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// See [`super::Packet::encode`].
    pub fn encode_into(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.check(version)?;
        if self.encoded_len(version) > PACKET_BYTES_MAX as usize {
            return Err(Misuse::PacketTooLarge { bytes: self.encoded_len(version) });
        }
        let none = Properties::EMPTY;
        encode_publish(out, version, self.head(), self.topic, none, self.properties, self.payload);
        Ok(())
    }

    /// How many bytes the packet has, fixed header included.
    pub fn encoded_len(&self, version: Version) -> usize {
        encoded_publish_len(
            version,
            self.qos,
            self.topic.len(),
            self.properties.as_bytes().len(),
            self.payload.len(),
        )
    }

    fn head(&self) -> PublishHead {
        PublishHead { dup: self.dup, qos: self.qos, retain: self.retain, packet_id: self.packet_id }
    }

    fn check(&self, version: Version) -> Result<(), Misuse> {
        if self.packet_id.is_some() != (self.qos != Qos::AtMostOnce) {
            return Err(Misuse::PacketId);
        }
        if self.dup && self.qos == Qos::AtMostOnce {
            return Err(Malformed::FixedHeaderFlags { first_byte: self.head().first_byte() }.into());
        }
        check_section(version, self.properties, Place::PUBLISH)?;
        if !self.topic.is_empty() {
            TopicName::parse(self.topic).map_err(Malformed::Topic)?;
        } else if !version.has_properties() {
            return Err(Malformed::Topic(TopicError::Empty).into());
        } else if self.properties.topic_alias().is_none() {
            return Err(Forbidden::TopicMissing.into());
        }
        Ok(())
    }
}

/// What differs between two transmissions of one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PublishHead {
    /// Whether it may have been sent before. Never with QoS 0.
    pub dup: bool,
    /// How often it may arrive.
    pub qos: Qos,
    /// Whether it is marked as retained.
    pub retain: bool,
    /// There for QoS 1 and 2, and only there.
    pub packet_id: Option<PacketId>,
}

impl PublishHead {
    #[inline]
    fn first_byte(self) -> u8 {
        (PacketKind::Publish as u8) << 4
            | u8::from(self.dup) << 3
            | self.qos.bits() << 1
            | u8::from(self.retain)
    }
}

/// Appends a PUBLISH whose property section is `extra` followed by `properties`.
///
/// `extra` is what belongs to this transmission (expiry that is left, alias, subscription
/// identifiers), `properties` what belongs to the message. 3.x has none: they are left out there.
///
/// Nothing is checked again: the topic was parsed, the properties came out of a decoded PUBLISH or
/// were built for one, and the caller compared [`encoded_publish_len`] with the largest packet that
/// the receiver takes.
///
/// # Panics
/// When the packet would be larger than [`PACKET_BYTES_MAX`] or the topic longer than 65,535 bytes:
/// bytes that no receiver could take apart are never written.
#[inline]
pub fn encode_publish(
    out: &mut Vec<u8>,
    version: Version,
    head: PublishHead,
    topic: &str,
    extra: Properties<'_>,
    properties: Properties<'_>,
    payload: &[u8],
) {
    debug_assert_eq!(head.packet_id.is_some(), head.qos != Qos::AtMostOnce);
    debug_assert!(!head.dup || head.qos != Qos::AtMostOnce);
    debug_assert!(version != Version::V5 || sections_agree(extra, properties));
    let (extra, properties) = (extra.as_bytes(), properties.as_bytes());
    let section_bytes = extra.len() + properties.len();
    let body_bytes = publish_body_len(version, head.qos, topic.len(), section_bytes, payload.len());
    assert!(
        body_bytes <= REMAINING_LENGTH_MAX as usize && topic.len() <= wire::FIELD_BYTES_MAX,
        "a PUBLISH of {body_bytes} bytes, topic of {} bytes",
        topic.len(),
    );
    out.reserve(5 + body_bytes);
    out.push(head.first_byte());
    wire::put_variable(out, body_bytes);
    wire::put_binary(out, topic.as_bytes());
    if let Some(id) = head.packet_id {
        wire::put_u16(out, id.get());
    }
    if version.has_properties() {
        wire::put_variable(out, section_bytes);
        out.extend_from_slice(extra);
        out.extend_from_slice(properties);
    }
    out.extend_from_slice(payload);
}

/// How many bytes [`encode_publish`] will write; `properties` counts both sections together.
#[inline]
pub fn encoded_publish_len(
    version: Version,
    qos: Qos,
    topic: usize,
    properties: usize,
    payload: usize,
) -> usize {
    let body_bytes = publish_body_len(version, qos, topic, properties, payload);
    1 + wire::variable_len(body_bytes) + body_bytes
}

#[inline]
fn publish_body_len(
    version: Version,
    qos: Qos,
    topic: usize,
    properties: usize,
    payload: usize,
) -> usize {
    let id = if qos == Qos::AtMostOnce { 0 } else { 2 };
    let section =
        if version.has_properties() { wire::variable_len(properties) + properties } else { 0 };
    2 + topic + id + section + payload
}

/// Reads the topic: all its rules in one look at the bytes, then UTF-8.
#[inline]
fn topic_name<'a>(reader: &mut Reader<'a>, version: Version) -> Result<&'a str, Malformed> {
    let bytes = reader.binary()?;
    let seen = wire::scan(bytes);
    if seen.nul && !planted::is(Bug::AcceptNul) {
        return Err(Malformed::NulCharacter);
    }
    if seen.wildcard {
        return Err(Malformed::Topic(TopicError::Wildcard));
    }
    if bytes.is_empty() && !version.has_properties() {
        return Err(Malformed::Topic(TopicError::Empty));
    }
    match core::str::from_utf8(bytes) {
        Err(_) if planted::is(Bug::AcceptBadUtf8) => Ok("planted"),
        text => text.map_err(|_| Malformed::Utf8),
    }
}

/// Whether the two parts make one valid section.
fn sections_agree(extra: Properties<'_>, properties: Properties<'_>) -> bool {
    let mut seen = Seen::default();
    extra.check_onto(Place::PUBLISH, &mut seen).is_ok()
        && properties.check_onto(Place::PUBLISH, &mut seen).is_ok()
}

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;
