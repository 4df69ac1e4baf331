//! DISCONNECT: the last packet of a connection, from either side in MQTT 5.0.

use alloc::vec::Vec;

use super::{body_of, check_section, put_section, section_len};
use crate::error::{Error, Forbidden, Misuse};
use crate::frame::{Frame, PacketKind};
use crate::property::{Place, Properties};
use crate::reason_code::ReasonCode;
use crate::version::Version;
use crate::wire;

/// The end of a connection and why. 3.x has no reason: it is always a normal end there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disconnect<'a> {
    /// Why.
    pub code: ReasonCode,
    /// Session Expiry Interval (from a client only), Reason String, Server Reference (from a server
    /// only), User Properties.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// Reads a DISCONNECT.
    ///
    /// # Errors
    /// See [`super::Packet::decode`].
    pub fn decode(version: Version, frame: Frame<'a>) -> Result<Disconnect<'a>, Error> {
        let kind = PacketKind::Disconnect;
        let mut reader = body_of(version, frame, kind)?;
        if !version.has_properties() {
            reader.finish()?;
        }
        let mut packet =
            Disconnect { code: ReasonCode::NORMAL_DISCONNECTION, properties: Properties::EMPTY };
        if !reader.is_empty() {
            let byte = reader.u8()?;
            packet.code = ReasonCode::from_byte(byte)
                .filter(|code| code.allowed_in(kind))
                .ok_or(Forbidden::ReasonCode { kind, byte })?;
        }
        if !reader.is_empty() {
            packet.properties = Properties::decode(&mut reader, version, Place::DISCONNECT)?;
        }
        reader.finish()?;
        Ok(packet)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let kind = PacketKind::Disconnect;
        check_section(version, self.properties, Place::DISCONNECT)?;
        if !version.has_properties() && self.code != ReasonCode::NORMAL_DISCONNECTION {
            return Err(Misuse::NotInVersion { what: "reason code in DISCONNECT", version });
        }
        if !self.code.allowed_in(kind) {
            return Err(Forbidden::ReasonCode { kind, byte: self.code.byte() }.into());
        }
        if !self.properties.is_empty() {
            wire::begin(out, kind.first_byte(), 1 + section_len(version, self.properties))?;
            out.push(self.code.byte());
            put_section(out, version, self.properties);
        } else if self.code != ReasonCode::NORMAL_DISCONNECTION {
            wire::begin(out, kind.first_byte(), 1)?;
            out.push(self.code.byte());
        } else {
            wire::begin(out, kind.first_byte(), 0)?;
        }
        Ok(())
    }
}
