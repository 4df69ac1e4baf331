//! CONNECT: the first packet of a connection, and the only one that says its version.
//!
//! The client identifier is not judged here: an empty or long one gets an answer from whoever
//! decides about sessions.

use alloc::vec::Vec;

use super::{body_of, check_section, put_section, section_len};
use crate::error::{Error, Forbidden, Malformed, Misuse, Unsupported};
use crate::frame::{Frame, PacketKind};
use crate::property::{Place, Properties};
use crate::qos::Qos;
use crate::topic::TopicName;
use crate::version::Version;
use crate::wire::{self, Reader};

/// A client's wish to connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connect<'a> {
    /// What the client speaks from here on.
    pub version: Version,
    /// Throw an existing session away. In 3.x (Clean Session), also do not keep the new one.
    pub clean_start: bool,
    /// Seconds; 0 means that silence may last.
    pub keep_alive: u16,
    /// May be empty: the server is then asked to find one.
    pub client_id: &'a str,
    /// What to publish when the client is lost.
    pub will: Option<Will<'a>>,
    /// Who wants to connect.
    pub user_name: Option<&'a str>,
    /// The proof. Not without a user name in 3.x.
    pub password: Option<&'a [u8]>,
    /// The client's limits and wishes.
    pub properties: Properties<'a>,
    /// The highest bit of the level, with which a mosquitto says that it is a bridge (3.x).
    pub bridge: bool,
}

/// What the server publishes on behalf of a client that is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Will<'a> {
    /// The level it is published at.
    pub qos: Qos,
    /// Whether it becomes the topic's retained message.
    pub retain: bool,
    /// Where it is published; a valid topic name.
    pub topic: &'a str,
    /// What is published; at most 65,535 bytes.
    pub payload: &'a [u8],
    /// Will Delay Interval and the properties of the message.
    pub properties: Properties<'a>,
}

impl<'a> Connect<'a> {
    /// Reads a CONNECT.
    ///
    /// # Errors
    /// [`Error::PeerIncompatible`] for a protocol name or level that is not spoken here, as soon as
    /// it is read: what follows is unknown then. Else see [`super::Packet::decode`].
    pub fn decode(frame: Frame<'a>) -> Result<Connect<'a>, Error> {
        // The flags of the first byte are reserved in all versions.
        let mut reader = body_of(Version::V5, frame, PacketKind::Connect)?;
        let (version, bridge) = protocol(&mut reader)?;
        let flags = Flags::decode(reader.u8()?, version)?;
        let keep_alive = reader.u16()?;
        let properties = Properties::decode(&mut reader, version, Place::CONNECT)?;
        let client_id = reader.text()?;
        let will = match flags.will {
            Some((qos, retain)) => Some(Will::decode(&mut reader, version, qos, retain)?),
            None => None,
        };
        // MQTT 3.1 lets the remaining length overrule these two flags.
        let present = |reader: &Reader<'_>| version != Version::V31 || !reader.is_empty();
        let user_name =
            if flags.user_name && present(&reader) { Some(reader.text()?) } else { None };
        let password =
            if flags.password && present(&reader) { Some(reader.binary()?) } else { None };
        reader.finish()?;
        Ok(Connect {
            version,
            clean_start: flags.clean_start,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
            bridge,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let version = self.version;
        self.check()?;
        let name = version.protocol_name();
        let mut body_bytes = 2 + name.len() + 1 + 1 + 2;
        body_bytes += section_len(version, self.properties) + 2 + self.client_id.len();
        if let Some(will) = &self.will {
            body_bytes += section_len(version, will.properties);
            body_bytes += 2 + will.topic.len() + 2 + will.payload.len();
        }
        body_bytes += self.user_name.map_or(0, |it| 2 + it.len());
        body_bytes += self.password.map_or(0, |it| 2 + it.len());

        wire::begin(out, PacketKind::Connect.first_byte(), body_bytes)?;
        wire::put_binary(out, name.as_bytes());
        out.push(version.level() | if self.bridge { BRIDGE } else { 0 });
        out.push(self.flags());
        wire::put_u16(out, self.keep_alive);
        put_section(out, version, self.properties);
        wire::put_binary(out, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            put_section(out, version, will.properties);
            wire::put_binary(out, will.topic.as_bytes());
            wire::put_binary(out, will.payload);
        }
        if let Some(user_name) = self.user_name {
            wire::put_binary(out, user_name.as_bytes());
        }
        if let Some(password) = self.password {
            wire::put_binary(out, password);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Misuse> {
        let version = self.version;
        if self.bridge && version == Version::V5 {
            return Err(Misuse::NotInVersion { what: "bridge bit", version });
        }
        check_section(version, self.properties, Place::CONNECT)?;
        wire::check_text("client identifier", self.client_id)?;
        if let Some(will) = &self.will {
            check_section(version, will.properties, Place::WILL)?;
            TopicName::parse(will.topic).map_err(Malformed::Topic)?;
            wire::check_field("will payload", will.payload)?;
        }
        if let Some(user_name) = self.user_name {
            wire::check_text("user name", user_name)?;
        }
        if let Some(password) = self.password {
            wire::check_field("password", password)?;
            if self.user_name.is_none() && version != Version::V5 {
                return Err(Forbidden::PasswordWithoutUserName.into());
            }
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.user_name.is_some() {
            flags |= USER_NAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        if let Some(will) = &self.will {
            flags |= WILL | will.qos.bits() << WILL_QOS_SHIFT;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.clean_start {
            flags |= CLEAN_START;
        }
        flags
    }
}

impl<'a> Will<'a> {
    fn decode(
        reader: &mut Reader<'a>,
        version: Version,
        qos: Qos,
        retain: bool,
    ) -> Result<Will<'a>, Error> {
        let properties = Properties::decode(reader, version, Place::WILL)?;
        let topic = reader.text()?;
        TopicName::parse(topic).map_err(Malformed::Topic)?;
        let payload = reader.binary()?;
        Ok(Will { qos, retain, topic, payload, properties })
    }
}

/// The connect flags, taken apart.
struct Flags {
    user_name: bool,
    password: bool,
    will: Option<(Qos, bool)>,
    clean_start: bool,
}

impl Flags {
    fn decode(flags: u8, version: Version) -> Result<Flags, Error> {
        let qos = Qos::from_bits(flags >> WILL_QOS_SHIFT & 0b11);
        let will = match (flags & WILL != 0, qos) {
            (true, Some(qos)) => Some((qos, flags & WILL_RETAIN != 0)),
            (true, None) => return Err(Malformed::ConnectFlags(flags).into()),
            (false, _) => None,
        };
        // MQTT 3.1 says of the reserved bit that it is not used, and of will QoS and will retain
        // that they are disregarded without a will.
        let unused = if will.is_none() { RESERVED | WILL_QOS | WILL_RETAIN } else { RESERVED };
        if version != Version::V31 && flags & unused != 0 {
            return Err(Malformed::ConnectFlags(flags).into());
        }
        let user_name = flags & USER_NAME != 0;
        let password = flags & PASSWORD != 0;
        if password && !user_name && version != Version::V5 {
            return Err(Forbidden::PasswordWithoutUserName.into());
        }
        Ok(Flags { user_name, password, will, clean_start: flags & CLEAN_START != 0 })
    }
}

/// Reads protocol name and level: the version, and whether the bridge bit is set.
fn protocol(reader: &mut Reader<'_>) -> Result<(Version, bool), Error> {
    let name = reader.text()?;
    if name != Version::V5.protocol_name() && name != Version::V31.protocol_name() {
        return Err(Unsupported::ProtocolName.into());
    }
    let byte = reader.u8()?;
    let bridge = byte & BRIDGE != 0;
    [Version::V5, Version::V311, Version::V31]
        .into_iter()
        .find(|version| version.protocol_name() == name && version.level() == byte & !BRIDGE)
        .filter(|version| !bridge || *version != Version::V5)
        .map(|version| (version, bridge))
        .ok_or_else(|| Unsupported::ProtocolLevel(byte).into())
}

const BRIDGE: u8 = 0x80;
const USER_NAME: u8 = 0b1000_0000;
const PASSWORD: u8 = 0b0100_0000;
const WILL_RETAIN: u8 = 0b0010_0000;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_QOS_SHIFT: u8 = 3;
const WILL: u8 = 0b0000_0100;
const CLEAN_START: u8 = 0b0000_0010;
const RESERVED: u8 = 0b0000_0001;
