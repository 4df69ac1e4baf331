//! AUTH: a step of extended authentication (MQTT 5.0 only).

use alloc::vec::Vec;

use super::{body_of, check_section, put_section, section_len};
use crate::error::{Error, Forbidden, Malformed, Misuse};
use crate::frame::{Frame, PacketKind};
use crate::property::{Place, Properties};
use crate::reason_code::ReasonCode;
use crate::version::Version;
use crate::wire;

/// A step of extended authentication. What the steps mean is the method's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate.
    pub code: ReasonCode,
    /// Authentication Method (which must be there, save in the two-byte form that means success),
    /// Authentication Data, Reason String, User Properties.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Reads an AUTH.
    ///
    /// # Errors
    /// See [`super::Packet::decode`]; before MQTT 5.0 there is no such packet.
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Auth<'a>, Error> {
        if !version.has_properties() {
            return Err(Malformed::PacketType { first_byte: frame.first_byte }.into());
        }
        let kind = PacketKind::Auth;
        let mut reader = body_of(version, frame, kind)?;
        if reader.is_empty() {
            return Ok(Auth { code: ReasonCode::Success, properties: Properties::EMPTY });
        }
        let byte = reader.u8()?;
        let code = ReasonCode::from_byte(byte)
            .filter(|code| code.allowed_in(kind))
            .ok_or(Forbidden::ReasonCode { kind, byte })?;
        let properties = Properties::decode(&mut reader, version, Place::AUTH)?;
        reader.finish()?;
        let auth = Auth { code, properties };
        // With a property section, the method must be in it (3.15.2.2.2).
        if properties.authentication_method().is_none() {
            return Err(Forbidden::AuthenticationMethodMissing.into());
        }
        Ok(auth)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if !version.has_properties() {
            return Err(Misuse::NotInVersion { what: "AUTH", version });
        }
        let kind = PacketKind::Auth;
        if !self.code.allowed_in(kind) {
            return Err(Forbidden::ReasonCode { kind, byte: self.code.byte() }.into());
        }
        check_section(version, self.properties, Place::AUTH)?;
        if self.code == ReasonCode::Success && self.properties.is_empty() {
            return wire::begin(out, kind.first_byte(), 0);
        }
        if self.properties.authentication_method().is_none() {
            return Err(Forbidden::AuthenticationMethodMissing.into());
        }
        wire::begin(out, kind.first_byte(), 1 + section_len(version, self.properties))?;
        out.push(self.code.byte());
        put_section(out, version, self.properties);
        Ok(())
    }
}
