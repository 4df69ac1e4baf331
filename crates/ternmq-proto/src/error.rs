//! What can go wrong, sorted by who must change something for it not to happen again.
//!
//! The blame decides the reason code, the log level and who gets called at night. Errors carry the
//! offending value and never text that was built for them.

use core::fmt;

use crate::frame::PacketKind;
use crate::property;
use crate::reason_code::ReasonCode;
use crate::topic::TopicError;
use crate::version::Version;

/// Sorted by who must change something for it not to happen again.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Our own caller broke this crate's contract; no byte was written.
    ApiMisuse(Misuse),
    /// The peer asked for something lawful that is not offered here.
    PeerIncompatible(Unsupported),
    /// The peer broke the protocol: answer with the reason code, then close.
    PeerMisbehaved(Violation),
}

impl Error {
    /// The reason code that a CONNACK or DISCONNECT would carry because of this.
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Error::ApiMisuse(_) => ReasonCode::ImplementationSpecific,
            Error::PeerIncompatible(unsupported) => unsupported.reason_code(),
            Error::PeerMisbehaved(violation) => violation.reason_code(),
        }
    }
}

/// How the peer broke the protocol.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// The packet cannot be parsed (0x81).
    Malformed(Malformed),
    /// The packet was parsed and says what it must not say (0x82).
    Protocol(Forbidden),
    /// More QoS 1 and 2 messages in flight than was announced (0x93).
    ReceiveMaximumExceeded,
    /// The packet is larger than was announced (0x95).
    TooLarge {
        /// Its length, fixed header included.
        bytes: u32,
        /// What was allowed.
        max: u32,
    },
    /// A topic alias of 0, over the maximum, or never defined (0x94).
    TopicAliasInvalid(u16),
    /// A packet that this side must not get, or not now (0x82).
    UnexpectedPacket(PacketKind),
}

impl Violation {
    /// The reason code that answers it.
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Violation::Malformed(_) => ReasonCode::MalformedPacket,
            Violation::Protocol(_) | Violation::UnexpectedPacket(_) => ReasonCode::ProtocolError,
            Violation::ReceiveMaximumExceeded => ReasonCode::ReceiveMaximumExceeded,
            Violation::TooLarge { .. } => ReasonCode::PacketTooLarge,
            Violation::TopicAliasInvalid(_) => ReasonCode::TopicAliasInvalid,
        }
    }
}

/// Why a packet cannot be parsed.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Bits of the CONNACK flags that must be 0 are set.
    ConnackFlags(u8),
    /// CONNECT flags that contradict each other, or the reserved bit (the whole byte is given).
    ConnectFlags(u8),
    /// The flags of the first byte are not those of this packet type.
    FixedHeaderFlags {
        /// The byte as it came.
        first_byte: u8,
    },
    /// A string holds U+0000.
    NulCharacter,
    /// The packet type does not exist (in this version).
    PacketType {
        /// The byte as it came.
        first_byte: u8,
    },
    /// A property that packets of this type do not have.
    PropertyNotAllowed(u8),
    /// A property identifier that the standard does not know.
    PropertyUnknown(u8),
    /// Reserved bits, QoS 3 or retain handling 3 in subscription options.
    SubscriptionOptions(u8),
    /// A topic name that is none (empty, or with a wildcard), or an empty topic filter.
    Topic(TopicError),
    /// The packet goes on after its last field.
    TrailingBytes {
        /// How many bytes are too many.
        count: usize,
    },
    /// A field runs over the end of the packet (or of its property section).
    Truncated,
    /// A string is not well-formed UTF-8.
    Utf8,
    /// A variable byte integer of more than four bytes, or not in its shortest form.
    VariableByteInteger,
}

/// What a packet says although the protocol forbids it.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forbidden {
    /// Authentication data without an authentication method.
    AuthenticationDataWithoutMethod,
    /// AUTH without an authentication method.
    AuthenticationMethodMissing,
    /// SUBSCRIBE, UNSUBSCRIBE or an answer to them with nothing in it.
    NothingListed(PacketKind),
    /// No Local on a shared subscription.
    NoLocalOnSharedSubscription,
    /// Packet identifier 0.
    PacketIdZero,
    /// A password without a user name, which 3.x does not allow.
    PasswordWithoutUserName,
    /// A property that may stand only once stands there again.
    PropertyRepeated(u8),
    /// A property with a value that is out of its range.
    PropertyValue {
        /// The property's identifier.
        id: u8,
        /// The value as it came.
        value: u32,
    },
    /// A reason code that packets of this type do not have.
    ReasonCode {
        /// The packet.
        kind: PacketKind,
        /// The byte as it came.
        byte: u8,
    },
    /// A client sent a subscription identifier with a PUBLISH (MQTT-3.3.4-6).
    SubscriptionIdentifierFromClient,
    /// Session Present together with a refusal.
    SessionPresentWithRefusal,
    /// An empty topic name and no topic alias.
    TopicMissing,
}

/// What the peer wants and is not offered here.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsupported {
    /// The protocol name is known and this level of it is not.
    ProtocolLevel(u8),
    /// CONNECT names another protocol.
    ProtocolName,
}

impl Unsupported {
    /// The reason code that answers it.
    pub fn reason_code(&self) -> ReasonCode {
        ReasonCode::UnsupportedProtocolVersion
    }
}

/// How our own caller broke the contract.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misuse {
    /// A string or binary field of more than 65,535 bytes.
    FieldTooLong {
        /// What it is called in the standard.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The receiver would have to refuse the packet.
    Invalid(Violation),
    /// Something that this version of the protocol cannot say.
    NotInVersion {
        /// What it is called in the standard.
        what: &'static str,
        /// The version that lacks it.
        version: Version,
    },
    /// A packet whose remaining length is over 268,435,455 bytes.
    PacketTooLarge {
        /// Its remaining length.
        bytes: usize,
    },
    /// A packet identifier that is missing, or stands where none may.
    PacketId,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::ApiMisuse(misuse) => misuse.fmt(f),
            Error::PeerIncompatible(unsupported) => unsupported.fmt(f),
            Error::PeerMisbehaved(violation) => violation.fmt(f),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Malformed(malformed) => write!(f, "malformed packet: {malformed}"),
            Violation::Protocol(forbidden) => write!(f, "protocol error: {forbidden}"),
            Violation::ReceiveMaximumExceeded => {
                f.write_str("more messages in flight than the receive maximum allows")
            }
            Violation::TooLarge { bytes, max } => {
                write!(f, "packet too large: {bytes} bytes where {max} are allowed")
            }
            Violation::TopicAliasInvalid(alias) => write!(f, "topic alias {alias} is not valid"),
            Violation::UnexpectedPacket(kind) => {
                write!(f, "protocol error: a {kind} packet was not expected")
            }
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Malformed::ConnackFlags(flags) => write!(f, "CONNACK flags 0x{flags:02X}"),
            Malformed::ConnectFlags(flags) => write!(f, "CONNECT flags 0x{flags:02X}"),
            Malformed::FixedHeaderFlags { first_byte } => {
                write!(f, "wrong flags in the first byte 0x{first_byte:02X}")
            }
            Malformed::NulCharacter => f.write_str("a string holds U+0000"),
            Malformed::PacketType { first_byte } => {
                write!(f, "no such packet type, first byte 0x{first_byte:02X}")
            }
            Malformed::PropertyNotAllowed(id) => {
                write!(f, "{} (0x{id:02X}) does not belong here", property::name(id))
            }
            Malformed::PropertyUnknown(id) => write!(f, "unknown property 0x{id:02X}"),
            Malformed::SubscriptionOptions(byte) => {
                write!(f, "subscription options 0x{byte:02X}")
            }
            Malformed::Topic(error) => write!(f, "topic: {error}"),
            Malformed::TrailingBytes { count } => {
                write!(f, "{count} bytes after the last field")
            }
            Malformed::Truncated => f.write_str("a field runs over the end"),
            Malformed::Utf8 => f.write_str("a string is not UTF-8"),
            Malformed::VariableByteInteger => {
                f.write_str("a variable byte integer is too long or not in its shortest form")
            }
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Forbidden::AuthenticationDataWithoutMethod => {
                f.write_str("authentication data without an authentication method")
            }
            Forbidden::AuthenticationMethodMissing => {
                f.write_str("AUTH without an authentication method")
            }
            Forbidden::NothingListed(kind) => write!(f, "{kind} with an empty payload"),
            Forbidden::NoLocalOnSharedSubscription => {
                f.write_str("No Local on a shared subscription")
            }
            Forbidden::PacketIdZero => f.write_str("packet identifier 0"),
            Forbidden::PasswordWithoutUserName => f.write_str("a password without a user name"),
            Forbidden::PropertyRepeated(id) => {
                write!(f, "{} (0x{id:02X}) stands there twice", property::name(id))
            }
            Forbidden::PropertyValue { id, value } => {
                write!(f, "{} (0x{id:02X}) must not be {value}", property::name(id))
            }
            Forbidden::ReasonCode { kind, byte } => {
                write!(f, "reason code 0x{byte:02X} does not belong into {kind}")
            }
            Forbidden::SessionPresentWithRefusal => {
                f.write_str("Session Present together with a refusal")
            }
            Forbidden::SubscriptionIdentifierFromClient => {
                f.write_str("a subscription identifier in a PUBLISH from a client")
            }
            Forbidden::TopicMissing => f.write_str("neither a topic name nor a topic alias"),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::ProtocolLevel(level) => {
                write!(f, "unsupported protocol version: level {level}")
            }
            Unsupported::ProtocolName => {
                f.write_str("unsupported protocol version: the protocol name is not that of MQTT")
            }
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::FieldTooLong { field, bytes } => {
                write!(f, "{field} has {bytes} bytes, at most 65,535 fit")
            }
            Misuse::Invalid(violation) => write!(f, "not sent, {violation}"),
            Misuse::NotInVersion { what, version } => write!(f, "{version} has no {what}"),
            Misuse::PacketTooLarge { bytes } => {
                write!(f, "a packet of {bytes} bytes cannot be written")
            }
            Misuse::PacketId => f.write_str(
                "a packet identifier is needed for QoS 1 and 2, and not allowed for QoS 0",
            ),
        }
    }
}

impl core::error::Error for Error {}
impl core::error::Error for Violation {}
impl core::error::Error for Malformed {}
impl core::error::Error for Forbidden {}
impl core::error::Error for Unsupported {}
impl core::error::Error for Misuse {}

impl From<Malformed> for Violation {
    fn from(malformed: Malformed) -> Self {
        Violation::Malformed(malformed)
    }
}

impl From<Forbidden> for Violation {
    fn from(forbidden: Forbidden) -> Self {
        Violation::Protocol(forbidden)
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Error::PeerMisbehaved(malformed.into())
    }
}

impl From<Forbidden> for Error {
    fn from(forbidden: Forbidden) -> Self {
        Error::PeerMisbehaved(forbidden.into())
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Error::PeerMisbehaved(violation)
    }
}

impl From<Unsupported> for Error {
    fn from(unsupported: Unsupported) -> Self {
        Error::PeerIncompatible(unsupported)
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Error::ApiMisuse(misuse)
    }
}

impl From<Violation> for Misuse {
    fn from(violation: Violation) -> Self {
        Misuse::Invalid(violation)
    }
}

impl From<Malformed> for Misuse {
    fn from(malformed: Malformed) -> Self {
        Misuse::Invalid(malformed.into())
    }
}

impl From<Forbidden> for Misuse {
    fn from(forbidden: Forbidden) -> Self {
        Misuse::Invalid(forbidden.into())
    }
}
