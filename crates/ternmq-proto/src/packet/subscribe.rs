//! SUBSCRIBE and SUBACK.
//!
//! Whether a text is a topic filter is not judged here: a filter that does not parse is answered in
//! SUBACK, and the others of the same packet stand.

use alloc::vec::Vec;

use super::{body_of, check_section, packet_id, put_section, section_len};
use crate::error::{Error, Forbidden, Malformed, Misuse, Violation};
use crate::frame::{Frame, PacketKind};
use crate::property::{Place, Properties};
use crate::qos::{PacketId, Qos};
use crate::reason_code::ReasonCode;
use crate::topic::{SHARE_PREFIX, TopicError};
use crate::version::Version;
use crate::wire::{self, Reader};

/// A wish to get messages. There is at least one filter in one that was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe<'a> {
    /// Repeated in the SUBACK.
    pub packet_id: PacketId,
    /// Subscription Identifier and User Properties.
    pub properties: Properties<'a>,
    source: Source<'a>,
}

/// Where the filters come from: a packet, or the caller.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Wire(&'a [u8]),
    List(&'a [(&'a str, SubscriptionOptions)]),
}

impl<'a> Subscribe<'a> {
    /// A packet to be encoded.
    pub fn new(
        packet_id: PacketId,
        properties: Properties<'a>,
        filters: &'a [(&'a str, SubscriptionOptions)],
    ) -> Subscribe<'a> {
        Subscribe { packet_id, properties, source: Source::List(filters) }
    }

    /// The filters as they were written, in their order, with their options.
    pub fn filters(&self) -> SubscribeFilters<'a> {
        SubscribeFilters(self.source)
    }

    /// How many filters there are.
    pub fn len(&self) -> usize {
        self.filters().count()
    }

    /// Whether there is no filter; never so in a packet that was decoded.
    pub fn is_empty(&self) -> bool {
        self.filters().next().is_none()
    }

    /// Reads a SUBSCRIBE.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Subscribe<'a>, Error> {
        let kind = PacketKind::Subscribe;
        let mut reader = body_of(version, frame, kind)?;
        let packet_id = packet_id(&mut reader)?;
        let properties = Properties::decode(&mut reader, version, Place::SUBSCRIBE)?;
        let source = Source::Wire(reader.rest());
        if reader.is_empty() {
            return Err(Forbidden::NothingListed(kind).into());
        }
        while !reader.is_empty() {
            let filter = reader.text()?;
            let options = SubscriptionOptions::from_byte(reader.u8()?, version)?;
            check_filter(filter, options)?;
        }
        Ok(Subscribe { packet_id, properties, source })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let kind = PacketKind::Subscribe;
        check_section(version, self.properties, Place::SUBSCRIBE)?;
        let mut body_bytes = 2 + section_len(version, self.properties);
        for (filter, options) in self.filters() {
            wire::check_text("topic filter", filter)?;
            check_filter(filter, options)?;
            if !version.has_properties() && options.byte() != options.qos.bits() {
                return Err(Misuse::NotInVersion { what: "subscription options", version });
            }
            body_bytes += 2 + filter.len() + 1;
        }
        if self.is_empty() {
            return Err(Forbidden::NothingListed(kind).into());
        }
        wire::begin(out, kind.first_byte(), body_bytes)?;
        wire::put_u16(out, self.packet_id.get());
        put_section(out, version, self.properties);
        for (filter, options) in self.filters() {
            wire::put_binary(out, filter.as_bytes());
            out.push(options.byte());
        }
        Ok(())
    }
}

/// Two packets are equal when they say the same, wherever their filters are kept.
impl PartialEq for Subscribe<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.packet_id == other.packet_id
            && self.properties == other.properties
            && self.filters().eq(other.filters())
    }
}

impl Eq for Subscribe<'_> {}

/// The filters of a SUBSCRIBE with their options.
#[derive(Clone, Debug)]
pub struct SubscribeFilters<'a>(Source<'a>);

impl<'a> Iterator for SubscribeFilters<'a> {
    type Item = (&'a str, SubscriptionOptions);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Wire(bytes) => {
                let mut reader = Reader::new(bytes);
                let filter = reader.text().ok()?;
                let options =
                    SubscriptionOptions::from_byte(reader.u8().ok()?, Version::V5).ok()?;
                *bytes = reader.rest();
                Some((filter, options))
            }
            Source::List(list) => {
                let (first, rest) = list.split_first()?;
                *list = rest;
                Some(*first)
            }
        }
    }
}

/// How a subscription wants its messages. 3.x has only the QoS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS that messages are delivered with.
    pub qos: Qos,
    /// Do not send the client its own messages.
    pub no_local: bool,
    /// Leave RETAIN as the publisher had it.
    pub retain_as_published: bool,
    /// When to send retained messages.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The byte in a SUBSCRIBE of MQTT 5.0; without options, that of 3.x as well.
    pub fn byte(self) -> u8 {
        self.qos.bits()
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }

    /// The options that a byte in a SUBSCRIBE of `version` stands for.
    ///
    /// # Errors
    /// Reserved bits, QoS 3, retain handling 3 (MQTT-3.8.3-5).
    pub fn from_byte(byte: u8, version: Version) -> Result<SubscriptionOptions, Malformed> {
        let reserved = if version.has_properties() { 0b1100_0000 } else { 0b1111_1100 };
        let qos = Qos::from_bits(byte & 0b11);
        let retain_handling = RetainHandling::from_bits(byte >> 4 & 0b11);
        match (byte & reserved, qos, retain_handling) {
            (0, Some(qos), Some(retain_handling)) => Ok(SubscriptionOptions {
                qos,
                no_local: byte & 0b100 != 0,
                retain_as_published: byte & 0b1000 != 0,
                retain_handling,
            }),
            _ => Err(Malformed::SubscriptionOptions(byte)),
        }
    }
}

impl From<Qos> for SubscriptionOptions {
    fn from(qos: Qos) -> Self {
        SubscriptionOptions { qos, ..SubscriptionOptions::default() }
    }
}

/// When a subscription gets the retained messages that match it.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum RetainHandling {
    /// Whenever it is subscribed.
    #[default]
    Always = 0,
    /// When it was not there before.
    IfNew = 1,
    /// Never.
    Never = 2,
}

impl RetainHandling {
    /// What two bits of the options stand for; `None` for 3 and above.
    pub fn from_bits(bits: u8) -> Option<RetainHandling> {
        match bits {
            0 => Some(RetainHandling::Always),
            1 => Some(RetainHandling::IfNew),
            2 => Some(RetainHandling::Never),
            _ => None,
        }
    }
}

/// The answer to SUBSCRIBE: one code for each filter, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suback<'a> {
    /// That of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// Reason String and User Properties.
    pub properties: Properties<'a>,
    /// Granted QoS or failure; in 3.x only 0, 1, 2 and 0x80.
    pub codes: &'a [u8],
}

impl<'a> Suback<'a> {
    /// Reads a SUBACK.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Suback<'a>, Error> {
        let mut reader = body_of(version, frame, PacketKind::Suback)?;
        let packet_id = packet_id(&mut reader)?;
        let properties = Properties::decode(&mut reader, version, Place::SUBACK)?;
        let suback = Suback { packet_id, properties, codes: reader.rest() };
        suback.check_codes(version)?;
        Ok(suback)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        check_section(version, self.properties, Place::SUBACK)?;
        self.check_codes(version)?;
        let body_bytes = 2 + section_len(version, self.properties) + self.codes.len();
        wire::begin(out, PacketKind::Suback.first_byte(), body_bytes)?;
        wire::put_u16(out, self.packet_id.get());
        put_section(out, version, self.properties);
        out.extend_from_slice(self.codes);
        Ok(())
    }

    /// MQTT 3.1 does not know 0x80, but servers send it: it is let through.
    fn check_codes(&self, version: Version) -> Result<(), Violation> {
        let kind = PacketKind::Suback;
        if self.codes.is_empty() {
            return Err(Forbidden::NothingListed(kind).into());
        }
        let allowed = |byte: u8| match ReasonCode::from_byte(byte) {
            Some(code) if version.has_properties() => code.allowed_in(kind),
            _ => matches!(byte, 0 | 1 | 2 | 0x80),
        };
        match self.codes.iter().find(|&&byte| !allowed(byte)) {
            Some(&byte) => Err(Forbidden::ReasonCode { kind, byte }.into()),
            None => Ok(()),
        }
    }
}

/// The rules of a filter that hold whatever the SUBACK may say.
fn check_filter(filter: &str, options: SubscriptionOptions) -> Result<(), Violation> {
    if filter.is_empty() {
        return Err(Malformed::Topic(TopicError::Empty).into());
    }
    if options.no_local && filter.starts_with(SHARE_PREFIX) {
        return Err(Forbidden::NoLocalOnSharedSubscription.into());
    }
    Ok(())
}
