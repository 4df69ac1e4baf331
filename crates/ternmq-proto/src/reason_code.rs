//! The reason codes of MQTT 5.0 (section 2.4), and the return codes of 3.x in their terms.
//!
//! One enum for all packets; which code may stand in which packet is in [`ReasonCode::allowed_in`].

use core::fmt;

use crate::frame::PacketKind;

/// Why something was done or refused. Values of 0x80 and above are failures.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum ReasonCode {
    /// 0x00: success.
    Success = 0x00,
    /// 0x01: granted QoS 1.
    GrantedQos1 = 0x01,
    /// 0x02: granted QoS 2.
    GrantedQos2 = 0x02,
    /// 0x04: disconnect with will message.
    DisconnectWithWill = 0x04,
    /// 0x10: no matching subscribers.
    NoMatchingSubscribers = 0x10,
    /// 0x11: no subscription existed.
    NoSubscriptionExisted = 0x11,
    /// 0x18: continue authentication.
    ContinueAuthentication = 0x18,
    /// 0x19: re-authenticate.
    Reauthenticate = 0x19,
    /// 0x80: unspecified error.
    UnspecifiedError = 0x80,
    /// 0x81: malformed packet.
    MalformedPacket = 0x81,
    /// 0x82: protocol error.
    ProtocolError = 0x82,
    /// 0x83: implementation specific error.
    ImplementationSpecific = 0x83,
    /// 0x84: unsupported protocol version.
    UnsupportedProtocolVersion = 0x84,
    /// 0x85: client identifier not valid.
    ClientIdentifierNotValid = 0x85,
    /// 0x86: bad user name or password.
    BadUserNameOrPassword = 0x86,
    /// 0x87: not authorized.
    NotAuthorized = 0x87,
    /// 0x88: server unavailable.
    ServerUnavailable = 0x88,
    /// 0x89: server busy.
    ServerBusy = 0x89,
    /// 0x8A: banned.
    Banned = 0x8A,
    /// 0x8B: server shutting down.
    ServerShuttingDown = 0x8B,
    /// 0x8C: bad authentication method.
    BadAuthenticationMethod = 0x8C,
    /// 0x8D: keep alive timeout.
    KeepAliveTimeout = 0x8D,
    /// 0x8E: session taken over.
    SessionTakenOver = 0x8E,
    /// 0x8F: topic filter invalid.
    TopicFilterInvalid = 0x8F,
    /// 0x90: topic name invalid.
    TopicNameInvalid = 0x90,
    /// 0x91: packet identifier in use.
    PacketIdentifierInUse = 0x91,
    /// 0x92: packet identifier not found.
    PacketIdentifierNotFound = 0x92,
    /// 0x93: receive maximum exceeded.
    ReceiveMaximumExceeded = 0x93,
    /// 0x94: topic alias invalid.
    TopicAliasInvalid = 0x94,
    /// 0x95: packet too large.
    PacketTooLarge = 0x95,
    /// 0x96: message rate too high.
    MessageRateTooHigh = 0x96,
    /// 0x97: quota exceeded.
    QuotaExceeded = 0x97,
    /// 0x98: administrative action.
    AdministrativeAction = 0x98,
    /// 0x99: payload format invalid.
    PayloadFormatInvalid = 0x99,
    /// 0x9A: retain not supported.
    RetainNotSupported = 0x9A,
    /// 0x9B: QoS not supported.
    QosNotSupported = 0x9B,
    /// 0x9C: use another server.
    UseAnotherServer = 0x9C,
    /// 0x9D: server moved.
    ServerMoved = 0x9D,
    /// 0x9E: shared subscriptions not supported.
    SharedSubscriptionsNotSupported = 0x9E,
    /// 0x9F: connection rate exceeded.
    ConnectionRateExceeded = 0x9F,
    /// 0xA0: maximum connect time.
    MaximumConnectTime = 0xA0,
    /// 0xA1: subscription identifiers not supported.
    SubscriptionIdentifiersNotSupported = 0xA1,
    /// 0xA2: wildcard subscriptions not supported.
    WildcardSubscriptionsNotSupported = 0xA2,
}

impl ReasonCode {
    /// 0x00 as DISCONNECT says it.
    pub const NORMAL_DISCONNECTION: ReasonCode = ReasonCode::Success;
    /// 0x00 as SUBACK says it.
    pub const GRANTED_QOS_0: ReasonCode = ReasonCode::Success;

    /// All codes of the standard, in rising order.
    pub const ALL: [ReasonCode; 43] = [
        ReasonCode::Success,
        ReasonCode::GrantedQos1,
        ReasonCode::GrantedQos2,
        ReasonCode::DisconnectWithWill,
        ReasonCode::NoMatchingSubscribers,
        ReasonCode::NoSubscriptionExisted,
        ReasonCode::ContinueAuthentication,
        ReasonCode::Reauthenticate,
        ReasonCode::UnspecifiedError,
        ReasonCode::MalformedPacket,
        ReasonCode::ProtocolError,
        ReasonCode::ImplementationSpecific,
        ReasonCode::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid,
        ReasonCode::BadUserNameOrPassword,
        ReasonCode::NotAuthorized,
        ReasonCode::ServerUnavailable,
        ReasonCode::ServerBusy,
        ReasonCode::Banned,
        ReasonCode::ServerShuttingDown,
        ReasonCode::BadAuthenticationMethod,
        ReasonCode::KeepAliveTimeout,
        ReasonCode::SessionTakenOver,
        ReasonCode::TopicFilterInvalid,
        ReasonCode::TopicNameInvalid,
        ReasonCode::PacketIdentifierInUse,
        ReasonCode::PacketIdentifierNotFound,
        ReasonCode::ReceiveMaximumExceeded,
        ReasonCode::TopicAliasInvalid,
        ReasonCode::PacketTooLarge,
        ReasonCode::MessageRateTooHigh,
        ReasonCode::QuotaExceeded,
        ReasonCode::AdministrativeAction,
        ReasonCode::PayloadFormatInvalid,
        ReasonCode::RetainNotSupported,
        ReasonCode::QosNotSupported,
        ReasonCode::UseAnotherServer,
        ReasonCode::ServerMoved,
        ReasonCode::SharedSubscriptionsNotSupported,
        ReasonCode::ConnectionRateExceeded,
        ReasonCode::MaximumConnectTime,
        ReasonCode::SubscriptionIdentifiersNotSupported,
        ReasonCode::WildcardSubscriptionsNotSupported,
    ];

    /// The code that a byte stands for; `None` if the standard knows no such code.
    pub fn from_byte(byte: u8) -> Option<ReasonCode> {
        let row = INDEX[usize::from(byte)];
        if row == UNKNOWN { None } else { Some(ReasonCode::ALL[usize::from(row)]) }
    }

    /// The byte on the wire.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Whether this is a failure (0x80 and above).
    pub fn is_error(self) -> bool {
        self.byte() >= 0x80
    }

    /// Whether the standard lists this code for packets of `kind`.
    pub fn allowed_in(self, kind: PacketKind) -> bool {
        let table: &[u8] = match kind {
            PacketKind::Connack => CONNACK,
            PacketKind::Puback | PacketKind::Pubrec => PUBACK,
            PacketKind::Pubrel | PacketKind::Pubcomp => PUBREL,
            PacketKind::Suback => SUBACK,
            PacketKind::Unsuback => UNSUBACK,
            PacketKind::Disconnect => DISCONNECT,
            PacketKind::Auth => AUTH,
            _ => &[],
        };
        table.contains(&self.byte())
    }

    /// The CONNACK return code of MQTT 3.x (0 to 5) that comes nearest.
    ///
    /// 3.x has five reasons to refuse; what has no counterpart becomes 3, "server unavailable".
    pub fn connack_v311(self) -> u8 {
        match self {
            code if !code.is_error() => 0,
            ReasonCode::UnsupportedProtocolVersion => 1,
            ReasonCode::ClientIdentifierNotValid => 2,
            ReasonCode::BadUserNameOrPassword => 4,
            ReasonCode::NotAuthorized
            | ReasonCode::Banned
            | ReasonCode::BadAuthenticationMethod => 5,
            _ => 3,
        }
    }

    /// The meaning of a CONNACK return code of MQTT 3.x; `None` above 5.
    pub fn from_connack_v311(byte: u8) -> Option<ReasonCode> {
        Some(match byte {
            0 => ReasonCode::Success,
            1 => ReasonCode::UnsupportedProtocolVersion,
            2 => ReasonCode::ClientIdentifierNotValid,
            3 => ReasonCode::ServerUnavailable,
            4 => ReasonCode::BadUserNameOrPassword,
            5 => ReasonCode::NotAuthorized,
            _ => return None,
        })
    }

    /// The code in words, as the standard names it.
    pub fn words(self) -> &'static str {
        match self {
            ReasonCode::Success => "success",
            ReasonCode::GrantedQos1 => "granted QoS 1",
            ReasonCode::GrantedQos2 => "granted QoS 2",
            ReasonCode::DisconnectWithWill => "disconnect with will message",
            ReasonCode::NoMatchingSubscribers => "no matching subscribers",
            ReasonCode::NoSubscriptionExisted => "no subscription existed",
            ReasonCode::ContinueAuthentication => "continue authentication",
            ReasonCode::Reauthenticate => "re-authenticate",
            ReasonCode::UnspecifiedError => "unspecified error",
            ReasonCode::MalformedPacket => "malformed packet",
            ReasonCode::ProtocolError => "protocol error",
            ReasonCode::ImplementationSpecific => "implementation specific error",
            ReasonCode::UnsupportedProtocolVersion => "unsupported protocol version",
            ReasonCode::ClientIdentifierNotValid => "client identifier not valid",
            ReasonCode::BadUserNameOrPassword => "bad user name or password",
            ReasonCode::NotAuthorized => "not authorized",
            ReasonCode::ServerUnavailable => "server unavailable",
            ReasonCode::ServerBusy => "server busy",
            ReasonCode::Banned => "banned",
            ReasonCode::ServerShuttingDown => "server shutting down",
            ReasonCode::BadAuthenticationMethod => "bad authentication method",
            ReasonCode::KeepAliveTimeout => "keep alive timeout",
            ReasonCode::SessionTakenOver => "session taken over",
            ReasonCode::TopicFilterInvalid => "topic filter invalid",
            ReasonCode::TopicNameInvalid => "topic name invalid",
            ReasonCode::PacketIdentifierInUse => "packet identifier in use",
            ReasonCode::PacketIdentifierNotFound => "packet identifier not found",
            ReasonCode::ReceiveMaximumExceeded => "receive maximum exceeded",
            ReasonCode::TopicAliasInvalid => "topic alias invalid",
            ReasonCode::PacketTooLarge => "packet too large",
            ReasonCode::MessageRateTooHigh => "message rate too high",
            ReasonCode::QuotaExceeded => "quota exceeded",
            ReasonCode::AdministrativeAction => "administrative action",
            ReasonCode::PayloadFormatInvalid => "payload format invalid",
            ReasonCode::RetainNotSupported => "retain not supported",
            ReasonCode::QosNotSupported => "QoS not supported",
            ReasonCode::UseAnotherServer => "use another server",
            ReasonCode::ServerMoved => "server moved",
            ReasonCode::SharedSubscriptionsNotSupported => "shared subscriptions not supported",
            ReasonCode::ConnectionRateExceeded => "connection rate exceeded",
            ReasonCode::MaximumConnectTime => "maximum connect time",
            ReasonCode::SubscriptionIdentifiersNotSupported => {
                "subscription identifiers not supported"
            }
            ReasonCode::WildcardSubscriptionsNotSupported => "wildcard subscriptions not supported",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.words(), self.byte())
    }
}

const UNKNOWN: u8 = 0xFF;

/// From a byte to its place in [`ReasonCode::ALL`].
const INDEX: [u8; 256] = {
    let mut index = [UNKNOWN; 256];
    let mut row = 0;
    while row < ReasonCode::ALL.len() {
        index[ReasonCode::ALL[row] as usize] = row as u8;
        row += 1;
    }
    index
};

// The tables of sections 3.2.2.2, 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.9.3, 3.11.3, 3.14.2.1 and
// 3.15.2.1. 0x8C in DISCONNECT is listed in section 2.4 only.
const CONNACK: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
    0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
];
const PUBACK: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const PUBREL: &[u8] = &[0x00, 0x92];
const SUBACK: &[u8] = &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
const UNSUBACK: &[u8] = &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
const DISCONNECT: &[u8] = &[
    0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
    0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];
const AUTH: &[u8] = &[0x00, 0x18, 0x19];
