//! UNSUBSCRIBE and UNSUBACK.

use alloc::vec::Vec;

use super::{body_of, check_section, packet_id, put_section, section_len};
use crate::error::{Error, Forbidden, Malformed, Misuse, Violation};
use crate::frame::{Frame, PacketKind};
use crate::property::{Place, Properties};
use crate::qos::PacketId;
use crate::reason_code::ReasonCode;
use crate::topic::TopicError;
use crate::version::Version;
use crate::wire::{self, Reader};

/// A wish to get messages no more. There is at least one filter in one that was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Unsubscribe<'a> {
    /// Repeated in the UNSUBACK.
    pub packet_id: PacketId,
    /// User Properties.
    pub properties: Properties<'a>,
    source: Source<'a>,
}

/// Where the filters come from: a packet, or the caller.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Wire(&'a [u8]),
    List(&'a [&'a str]),
}

impl<'a> Unsubscribe<'a> {
    /// A packet to be encoded.
    pub fn new(
        packet_id: PacketId,
        properties: Properties<'a>,
        filters: &'a [&'a str],
    ) -> Unsubscribe<'a> {
        Unsubscribe { packet_id, properties, source: Source::List(filters) }
    }

    /// The filters as they were written, in their order.
    pub fn filters(&self) -> UnsubscribeFilters<'a> {
        UnsubscribeFilters(self.source)
    }

    /// How many filters there are.
    pub fn len(&self) -> usize {
        self.filters().count()
    }

    /// Whether there is no filter; never so in a packet that was decoded.
    pub fn is_empty(&self) -> bool {
        self.filters().next().is_none()
    }

    /// Reads an UNSUBSCRIBE.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Unsubscribe<'a>, Error> {
        let kind = PacketKind::Unsubscribe;
        let mut reader = body_of(version, frame, kind)?;
        let packet_id = packet_id(&mut reader)?;
        let properties = Properties::decode(&mut reader, version, Place::UNSUBSCRIBE)?;
        let source = Source::Wire(reader.rest());
        if reader.is_empty() {
            return Err(Forbidden::NothingListed(kind).into());
        }
        while !reader.is_empty() {
            check_filter(reader.text()?)?;
        }
        Ok(Unsubscribe { packet_id, properties, source })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let kind = PacketKind::Unsubscribe;
        check_section(version, self.properties, Place::UNSUBSCRIBE)?;
        let mut body_bytes = 2 + section_len(version, self.properties);
        for filter in self.filters() {
            wire::check_text("topic filter", filter)?;
            check_filter(filter)?;
            body_bytes += 2 + filter.len();
        }
        if self.is_empty() {
            return Err(Forbidden::NothingListed(kind).into());
        }
        wire::begin(out, kind.first_byte(), body_bytes)?;
        wire::put_u16(out, self.packet_id.get());
        put_section(out, version, self.properties);
        for filter in self.filters() {
            wire::put_binary(out, filter.as_bytes());
        }
        Ok(())
    }
}

/// Two packets are equal when they say the same, wherever their filters are kept.
impl PartialEq for Unsubscribe<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.packet_id == other.packet_id
            && self.properties == other.properties
            && self.filters().eq(other.filters())
    }
}

impl Eq for Unsubscribe<'_> {}

/// The filters of an UNSUBSCRIBE.
#[derive(Clone, Debug)]
pub struct UnsubscribeFilters<'a>(Source<'a>);

impl<'a> Iterator for UnsubscribeFilters<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        match &mut self.0 {
            Source::Wire(bytes) => {
                let mut reader = Reader::new(bytes);
                let filter = reader.text().ok()?;
                *bytes = reader.rest();
                Some(filter)
            }
            Source::List(list) => {
                let (first, rest) = list.split_first()?;
                *list = rest;
                Some(first)
            }
        }
    }
}

/// The answer to UNSUBSCRIBE: one code for each filter, in their order; none in 3.x.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsuback<'a> {
    /// That of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// Reason String and User Properties.
    pub properties: Properties<'a>,
    /// What became of each; empty in 3.x.
    pub codes: &'a [u8],
}

impl<'a> Unsuback<'a> {
    /// Reads an UNSUBACK.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Unsuback<'a>, Error> {
        let mut reader = body_of(version, frame, PacketKind::Unsuback)?;
        let packet_id = packet_id(&mut reader)?;
        if !version.has_properties() {
            reader.finish()?;
            return Ok(Unsuback { packet_id, properties: Properties::EMPTY, codes: &[] });
        }
        let properties = Properties::decode(&mut reader, version, Place::UNSUBACK)?;
        let unsuback = Unsuback { packet_id, properties, codes: reader.rest() };
        unsuback.check_codes()?;
        Ok(unsuback)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        check_section(version, self.properties, Place::UNSUBACK)?;
        if version.has_properties() {
            self.check_codes()?;
        } else if !self.codes.is_empty() {
            return Err(Misuse::NotInVersion { what: "reason codes in UNSUBACK", version });
        }
        let body_bytes = 2 + section_len(version, self.properties) + self.codes.len();
        wire::begin(out, PacketKind::Unsuback.first_byte(), body_bytes)?;
        wire::put_u16(out, self.packet_id.get());
        put_section(out, version, self.properties);
        out.extend_from_slice(self.codes);
        Ok(())
    }

    fn check_codes(&self) -> Result<(), Violation> {
        let kind = PacketKind::Unsuback;
        if self.codes.is_empty() {
            return Err(Forbidden::NothingListed(kind).into());
        }
        let allowed =
            |byte: u8| ReasonCode::from_byte(byte).is_some_and(|code| code.allowed_in(kind));
        match self.codes.iter().find(|&&byte| !allowed(byte)) {
            Some(&byte) => Err(Forbidden::ReasonCode { kind, byte }.into()),
            None => Ok(()),
        }
    }
}

fn check_filter(filter: &str) -> Result<(), Violation> {
    if filter.is_empty() {
        return Err(Malformed::Topic(TopicError::Empty).into());
    }
    Ok(())
}
