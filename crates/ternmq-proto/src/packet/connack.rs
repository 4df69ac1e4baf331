//! CONNACK: the server's answer to CONNECT.

use alloc::vec::Vec;

use super::{body_of, check_section, put_section, section_len};
use crate::error::{Error, Forbidden, Malformed, Misuse};
use crate::frame::{Frame, PacketKind};
use crate::property::{Place, Properties};
use crate::reason_code::ReasonCode;
use crate::version::Version;
use crate::wire;

/// Whether the connection was accepted, and on which terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connack<'a> {
    /// Whether the server resumed a session. MQTT 3.1 cannot say it: neither written nor read there.
    pub session_present: bool,
    /// Success, or why not. 3.x has five refusals, see [`ReasonCode::connack_v311`].
    pub code: ReasonCode,
    /// The server's limits and answers.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    /// Reads a CONNACK.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Connack<'a>, Error> {
        let kind = PacketKind::Connack;
        let mut reader = body_of(version, frame, kind)?;
        let flags = reader.u8()?;
        let session_present = match (version, flags) {
            (Version::V31, _) => false,
            (_, 0 | 1) => flags == 1,
            _ => return Err(Malformed::ConnackFlags(flags).into()),
        };
        let byte = reader.u8()?;
        let code = if version.has_properties() {
            ReasonCode::from_byte(byte).filter(|code| code.allowed_in(kind))
        } else {
            ReasonCode::from_connack_v311(byte)
        }
        .ok_or(Forbidden::ReasonCode { kind, byte })?;
        let properties = Properties::decode(&mut reader, version, Place::CONNACK)?;
        reader.finish()?;
        if session_present && code != ReasonCode::Success {
            return Err(Forbidden::SessionPresentWithRefusal.into());
        }
        Ok(Connack { session_present, code, properties })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let kind = PacketKind::Connack;
        if !self.code.allowed_in(kind) {
            return Err(Forbidden::ReasonCode { kind, byte: self.code.byte() }.into());
        }
        if self.session_present && self.code != ReasonCode::Success {
            return Err(Forbidden::SessionPresentWithRefusal.into());
        }
        check_section(version, self.properties, Place::CONNACK)?;
        let flags = u8::from(self.session_present && version != Version::V31);
        let code =
            if version.has_properties() { self.code.byte() } else { self.code.connack_v311() };
        wire::begin(out, kind.first_byte(), 2 + section_len(version, self.properties))?;
        out.extend_from_slice(&[flags, code]);
        put_section(out, version, self.properties);
        Ok(())
    }
}
