//! PUBACK, PUBREC, PUBREL and PUBCOMP: four packets of one form.

use alloc::vec::Vec;

use super::{body_of, check_section, packet_id, put_section, section_len};
use crate::error::{Error, Forbidden, Misuse};
use crate::frame::{Frame, PacketKind, REMAINING_LENGTH_MAX};
use crate::property::{Place, Properties};
use crate::qos::PacketId;
use crate::reason_code::ReasonCode;
use crate::version::Version;
use crate::wire;

/// A step of the acknowledgement of a message. 3.x has only the identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack<'a> {
    /// The identifier of the PUBLISH.
    pub packet_id: PacketId,
    /// What became of it.
    pub code: ReasonCode,
    /// Reason String and User Properties.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement that says success and nothing else.
    pub fn new(packet_id: PacketId) -> Ack<'static> {
        Ack { packet_id, code: ReasonCode::Success, properties: Properties::EMPTY }
    }

    /// Reads one of the four packets.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Ack<'a>, Error> {
        let kind = frame.kind()?;
        let mut reader = body_of(version, frame, kind)?;
        let packet_id = packet_id(&mut reader)?;
        // The shortest form, by far the most frequent: success, no properties.
        if reader.is_empty() {
            return Ok(Ack::new(packet_id));
        }
        if !version.has_properties() {
            reader.finish()?;
        }
        let byte = reader.u8()?;
        let code = ReasonCode::from_byte(byte)
            .filter(|code| code.allowed_in(kind))
            .ok_or(Forbidden::ReasonCode { kind, byte })?;
        let properties = if reader.is_empty() {
            Properties::EMPTY
        } else {
            Properties::decode(&mut reader, version, Place::ACK)?
        };
        reader.finish()?;
        Ok(Ack { packet_id, code, properties })
    }

    pub(super) fn encode(
        &self,
        version: Version,
        kind: PacketKind,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        check_section(version, self.properties, Place::ACK)?;
        if !version.has_properties() && self.code != ReasonCode::Success {
            return Err(Misuse::NotInVersion { what: "reason code in acknowledgements", version });
        }
        if !self.code.allowed_in(kind) {
            return Err(Forbidden::ReasonCode { kind, byte: self.code.byte() }.into());
        }
        if self.properties.as_bytes().len() > REMAINING_LENGTH_MAX as usize - 7 {
            return Err(Misuse::PacketTooLarge { bytes: 7 + self.properties.as_bytes().len() });
        }
        encode_ack(out, version, kind, self.packet_id, self.code, self.properties);
        Ok(())
    }
}

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP, in the shortest form that says it all.
///
/// 3.x has neither code nor properties: they are left out there. The caller answers for a code that
/// `kind` has and for properties that were checked or built for it.
///
/// # Panics
/// When the properties are larger than any packet, which none of a decoded packet are.
pub fn encode_ack(
    out: &mut Vec<u8>,
    version: Version,
    kind: PacketKind,
    packet_id: PacketId,
    code: ReasonCode,
    properties: Properties<'_>,
) {
    debug_assert!(code.allowed_in(kind), "{code} does not belong into {kind}");
    let [high, low] = packet_id.get().to_be_bytes();
    let plain = code == ReasonCode::Success && properties.is_empty();
    if plain || !version.has_properties() {
        out.extend_from_slice(&[kind.first_byte(), 2, high, low]);
    } else if properties.is_empty() {
        out.extend_from_slice(&[kind.first_byte(), 3, high, low, code.byte()]);
    } else {
        let body_bytes = 3 + section_len(version, properties);
        let begun = wire::begin(out, kind.first_byte(), body_bytes);
        assert!(begun.is_ok(), "properties of {body_bytes} bytes fit no packet");
        out.extend_from_slice(&[high, low, code.byte()]);
        put_section(out, version, properties);
    }
}
