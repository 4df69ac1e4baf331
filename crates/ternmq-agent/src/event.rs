//! What an [`Agent`](crate::Agent) tells its caller, and the errors of its commands.

use std::fmt;

use ternmq_proto::topic::TopicError;
use ternmq_proto::{Error, Misuse, PropertyBuf, ReasonCode};

use crate::inbox::AckToken;
use crate::message::{Message, Publish, PublishId, RequestId};

/// Something that the application may want to know.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server accepted the connection.
    Connected {
        /// Whether the server still had the session. MQTT 3.1 cannot say so: it is `false` there.
        session_present: bool,
        /// Properties of the CONNACK (MQTT 5.0).
        properties: PropertyBuf,
    },
    /// The connection, or the attempt to make one, is over.
    Disconnected {
        /// Why.
        cause: Cause,
        /// When it is tried again, in microseconds; `None`: not before [`connect`] is called.
        ///
        /// [`connect`]: crate::Agent::connect
        retry_at: Option<u64>,
    },
    /// A message came.
    Message {
        /// The message.
        message: Message,
        /// What acknowledges it, when the options leave that to the application (QoS 1 and 2).
        token: Option<AckToken>,
    },
    /// An accepted message is finished. There is exactly one of these for each.
    Published {
        /// Which.
        id: PublishId,
        /// How it ended.
        result: Result<Acknowledgement, Lost>,
    },
    /// A SUBSCRIBE or UNSUBSCRIBE was answered: one code for each filter, in their order. There is
    /// exactly one of these for each request.
    Answered {
        /// Which.
        request: RequestId,
        /// How it ended. Codes of 0x80 and more refuse a filter.
        result: Result<Vec<ReasonCode>, Lost>,
    },
    /// The session was gone, and the server refuses to have this subscription again.
    SubscriptionLost {
        /// The topic filter.
        filter: String,
        /// Why.
        code: ReasonCode,
    },
    /// The server continues the authentication: answer with [`authenticate`].
    ///
    /// [`authenticate`]: crate::Agent::authenticate
    Auth {
        /// 0x00 or 0x18.
        code: ReasonCode,
        /// Method and data.
        properties: PropertyBuf,
    },
}

/// The server has the message, or (QoS 0) it is on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acknowledgement {
    /// Success, or that nobody has subscribed to the topic (0x10).
    pub code: ReasonCode,
    /// The server's words, if it had any.
    pub reason: Option<String>,
}

/// Why a message or a request did not succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Lost {
    /// The client was closed before it was done.
    Closed,
    /// It made room for newer messages.
    Dropped,
    /// Its time was over before it could be sent.
    Expired,
    /// The server does not offer what it needs; it was not sent.
    NotSupported(ReasonCode),
    /// There was no connection, and messages at QoS 0 do not wait for one.
    Offline,
    /// The server refused it.
    Refused {
        /// 0x80 or more.
        code: ReasonCode,
        /// The server's words, if it had any.
        reason: Option<String>,
    },
    /// The server lost the session, so nobody knows whether it arrived.
    SessionLost,
    /// It is larger than what the server takes; it was not sent.
    TooLarge {
        /// Its size as a packet.
        bytes: u32,
        /// What the server takes.
        max: u32,
    },
}

/// Why a connection ended or was not made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The server answered a request with the wrong number of codes.
    AnswerMismatch,
    /// The server closed the connection, or the network did.
    Closed,
    /// The transport failed; the text says how.
    Failed(String),
    /// No answer to PINGREQ.
    KeepAliveTimeout,
    /// The server broke the protocol.
    Protocol(Error),
    /// The server refused the connection.
    Refused {
        /// 0x80 or more.
        code: ReasonCode,
        /// The server's words, if it had any.
        reason: Option<String>,
        /// Another server to use, if it named one.
        server_reference: Option<String>,
    },
    /// The application asked for it.
    Requested,
    /// The server ended the connection with DISCONNECT.
    ServerDisconnect {
        /// Why.
        code: ReasonCode,
        /// The server's words, if it had any.
        reason: Option<String>,
        /// Another server to use, if it named one.
        server_reference: Option<String>,
    },
    /// No transport or no CONNACK in time.
    ConnectTimeout,
    /// The server claims to have a session that it was told to forget.
    UnexpectedSession,
}

/// Why a message was not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The outbox is full. The message is given back.
    Full(Box<Publish>),
    /// It cannot be sent with this version.
    Invalid(Misuse),
    /// The outbox could not take it if it were empty.
    OverOutbox {
        /// What it would take there.
        bytes: usize,
        /// What the outbox has.
        max: usize,
    },
    /// A property that is not the application's to set; its identifier is given.
    PropertyNotOurs(u8),
    /// Not a topic name.
    Topic(TopicError),
}

/// Why a command was not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// Not a topic filter.
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        error: TopicError,
    },
    /// The packet cannot be sent with this version.
    Invalid(Misuse),
    /// There is no connection.
    NotConnected,
    /// DISCONNECT must not set a session expiry when CONNECT set none (or 0).
    SessionExpiry,
    /// Too many requests wait for an answer.
    TooMany,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Closed => f.write_str("the client was closed"),
            Lost::Dropped => f.write_str("dropped to make room for newer messages"),
            Lost::Expired => f.write_str("expired before it could be sent"),
            Lost::NotSupported(code) => write!(f, "not sent, the server says: {code}"),
            Lost::Offline => f.write_str("not connected, and QoS 0 does not wait"),
            Lost::Refused { code, reason } => {
                write!(f, "refused: {code}")?;
                write_reason(f, reason)
            }
            Lost::SessionLost => f.write_str("the server lost the session"),
            Lost::TooLarge { bytes, max } => {
                write!(f, "not sent, {bytes} bytes where the server takes {max}")
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::AnswerMismatch => {
                f.write_str("the server's answer does not fit to what was asked")
            }
            Cause::Closed => f.write_str("connection closed by the server"),
            Cause::Failed(text) => f.write_str(text),
            Cause::KeepAliveTimeout => f.write_str("the server does not answer any more"),
            Cause::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Cause::Refused { code, reason, server_reference } => {
                write!(f, "connection refused: {code}")?;
                write_reason(f, reason)?;
                write_reference(f, server_reference)
            }
            Cause::Requested => f.write_str("disconnected"),
            Cause::ServerDisconnect { code, reason, server_reference } => {
                write!(f, "disconnected by the server: {code}")?;
                write_reason(f, reason)?;
                write_reference(f, server_reference)
            }
            Cause::ConnectTimeout => f.write_str("no answer from the server in time"),
            Cause::UnexpectedSession => {
                f.write_str("the server has a session that it was told to forget")
            }
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Full(_) => f.write_str("the outbox is full"),
            PublishError::Invalid(misuse) => misuse.fmt(f),
            PublishError::OverOutbox { bytes, max } => {
                write!(f, "a message of {bytes} bytes in an outbox of {max}")
            }
            PublishError::PropertyNotOurs(0x23) => {
                f.write_str("topic aliases are set by the client itself")
            }
            PublishError::PropertyNotOurs(id) => {
                write!(f, "property 0x{id:02X} is not a publisher's to set")
            }
            PublishError::Topic(error) => write!(f, "not a topic name: {error}"),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Filter { filter, error } => {
                write!(f, "not a topic filter: '{filter}': {error}")
            }
            CommandError::Invalid(misuse) => misuse.fmt(f),
            CommandError::NotConnected => f.write_str("not connected"),
            CommandError::SessionExpiry => f.write_str(
                "a session that ends with its connection cannot be prolonged at the end",
            ),
            CommandError::TooMany => f.write_str("too many requests wait for an answer"),
        }
    }
}

impl std::error::Error for Lost {}
impl std::error::Error for Cause {}
impl std::error::Error for PublishError {}
impl std::error::Error for CommandError {}

impl From<Misuse> for CommandError {
    fn from(misuse: Misuse) -> Self {
        CommandError::Invalid(misuse)
    }
}

fn write_reason(f: &mut fmt::Formatter<'_>, reason: &Option<String>) -> fmt::Result {
    reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
}

fn write_reference(f: &mut fmt::Formatter<'_>, reference: &Option<String>) -> fmt::Result {
    reference.as_ref().map_or(Ok(()), |reference| write!(f, "; it names {reference} instead"))
}
