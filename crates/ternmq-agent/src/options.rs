//! What an agent is told when it is made, and what of that does not fit together.

use std::fmt;
use std::time::Duration;

use ternmq_proto::frame::PACKET_BYTES_MAX;
use ternmq_proto::packet::{self, Packet};
use ternmq_proto::{Misuse, Property, PropertyBuf, Qos, Version};

/// How to connect and what to keep. The fields are checked together by
/// [`Agent::new`](crate::Agent::new).
///
/// ```
/// use ternmq_agent::{Agent, Options};
///
/// let options = Options { client_id: "pump-7".into(), ..Options::default() };
/// assert!(Agent::new(options, 42).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The version to speak; there is no fallback to another.
    pub version: Version,
    /// Who we are; empty: the server finds a name (not with MQTT 3.1).
    pub client_id: String,
    /// Begin with a new session. With MQTT 5.0 and a session expiry this holds for the first
    /// connection only, so that the session survives reconnects; in 3.x (Clean Session) each
    /// connection has a session of its own.
    pub clean_start: bool,
    /// MQTT 5.0: how long the server keeps the session after the connection, in seconds;
    /// `u32::MAX` is for ever.
    pub session_expiry_seconds: u32,
    /// Longest silence on the connection, in seconds; 0: any. The server may demand another.
    pub keep_alive_seconds: u16,
    /// Who wants to connect.
    pub user_name: Option<String>,
    /// The proof. In 3.x not without a user name.
    pub password: Option<Vec<u8>>,
    /// What the server publishes when we are lost.
    pub will: Option<Will>,
    /// QoS 1 and 2 messages that may wait for our acknowledgement. The server is told so in MQTT
    /// 5.0. One that sends more nevertheless, as 3.x servers may and mosquitto 2.0 does, is not read
    /// any further until one is acknowledged.
    pub receive_maximum: u16,
    /// Messages at QoS 1 and 2 that we have in flight at most. A server of MQTT 5.0 may allow less
    /// (receive maximum). `None`: as many as it allows; 20 with 3.x, where no server says what it
    /// takes and mosquitto loses the messages beyond 20.
    pub send_maximum: Option<u16>,
    /// The largest packet that is taken, in bytes.
    pub packet_bytes_max: u32,
    /// MQTT 5.0: topic aliases that the server may use.
    pub topic_alias_maximum: u16,
    /// MQTT 5.0: topic aliases that we use at most, where the server allows them.
    pub send_alias_maximum: u16,
    /// MQTT 5.0: other properties of CONNECT.
    pub properties: PropertyBuf,
    /// Room for messages that are not finished.
    pub outbox: OutboxLimits,
    /// What happens when there is no room.
    pub overflow: Overflow,
    /// What happens to messages at QoS 0 while there is no connection.
    pub offline: Offline,
    /// What happens to messages in flight when the server has lost the session.
    pub session_lost: SessionLost,
    /// Who acknowledges received messages.
    pub acknowledge: Acknowledge,
    /// Events that may wait for [`poll_event`](crate::Agent::poll_event) before nothing more is
    /// read.
    pub unread_events_max: usize,
    /// When to try again.
    pub reconnect: Reconnect,
    /// How long an attempt may take, from opening the transport to CONNACK.
    pub connect_timeout: Duration,
    /// How long to wait for any sign of life after PINGREQ.
    pub ping_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            version: Version::V5,
            client_id: String::new(),
            clean_start: true,
            session_expiry_seconds: 0,
            keep_alive_seconds: 60,
            user_name: None,
            password: None,
            will: None,
            receive_maximum: 1_024,
            send_maximum: None,
            packet_bytes_max: 16 * 1_024 * 1_024,
            topic_alias_maximum: 16,
            send_alias_maximum: 16,
            properties: PropertyBuf::new(),
            outbox: OutboxLimits::default(),
            overflow: Overflow::Reject,
            offline: Offline::Keep,
            session_lost: SessionLost::Republish,
            acknowledge: Acknowledge::WhenTaken,
            unread_events_max: 1_024,
            reconnect: Reconnect::default(),
            connect_timeout: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

impl Options {
    /// Adds a property of CONNECT; those with a field of their own go there.
    pub fn with_property(mut self, property: Property<'_>) -> Self {
        match property {
            Property::SessionExpiryInterval(seconds) => self.session_expiry_seconds = seconds,
            Property::ReceiveMaximum(maximum) => self.receive_maximum = maximum,
            Property::MaximumPacketSize(bytes) => self.packet_bytes_max = bytes,
            Property::TopicAliasMaximum(maximum) => self.topic_alias_maximum = maximum,
            other => {
                self.properties.push(other);
            }
        }
        self
    }

    /// Whether the session outlives a connection.
    pub(crate) fn is_persistent(&self) -> bool {
        match self.version {
            Version::V5 => self.session_expiry_seconds > 0,
            Version::V31 | Version::V311 => !self.clean_start,
        }
    }

    /// Messages that may be in flight when the server allows `offered`.
    pub(crate) fn window(&self, offered: u16) -> u16 {
        let own = match self.version {
            Version::V5 => u16::MAX,
            Version::V31 | Version::V311 => SEND_MAXIMUM_3X,
        };
        self.send_maximum.unwrap_or(own).min(offered)
    }

    /// Whether the fields fit together.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        if self.receive_maximum == 0 {
            return Err(OptionsError::ReceiveMaximumZero);
        }
        if self.send_maximum == Some(0) {
            return Err(OptionsError::SendMaximumZero);
        }
        if self.packet_bytes_max == 0 {
            return Err(OptionsError::PacketBytesZero);
        }
        match self.version {
            Version::V31 if !(1..=CLIENT_ID_V31_BYTES_MAX).contains(&self.client_id.len()) => {
                return Err(OptionsError::ClientIdV31);
            }
            Version::V311 if self.client_id.is_empty() && !self.clean_start => {
                return Err(OptionsError::ClientIdMissing);
            }
            _ => {}
        }
        if self.version != Version::V5 && self.session_expiry_seconds != 0 {
            let what = "session expiry interval";
            return Err(Misuse::NotInVersion { what, version: self.version }.into());
        }
        if let Some(property) = self.properties.as_properties().iter().find(has_field) {
            return Err(OptionsError::PropertyHasField(property.id()));
        }
        Ok(self.write_connect(&self.client_id, self.clean_start, &mut Vec::new())?)
    }

    /// Appends the CONNECT that says all this.
    pub(crate) fn write_connect(
        &self,
        client_id: &str,
        clean_start: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let properties = self.connect_properties();
        let will = self.will.as_ref().map(|will| packet::Will {
            qos: will.qos,
            retain: will.retain,
            topic: &will.topic,
            payload: &will.payload,
            properties: will.properties.as_properties(),
        });
        let connect = packet::Connect {
            version: self.version,
            clean_start,
            keep_alive: self.keep_alive_seconds,
            client_id,
            will,
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            properties: properties.as_properties(),
            bridge: false,
        };
        Packet::Connect(connect).encode(self.version, out)
    }

    fn connect_properties(&self) -> PropertyBuf {
        let mut properties = PropertyBuf::new();
        if self.version == Version::V5 {
            if self.session_expiry_seconds != 0 {
                properties.push(Property::SessionExpiryInterval(self.session_expiry_seconds));
            }
            if self.receive_maximum != u16::MAX {
                properties.push(Property::ReceiveMaximum(self.receive_maximum));
            }
            if self.packet_bytes_max < PACKET_BYTES_MAX {
                properties.push(Property::MaximumPacketSize(self.packet_bytes_max));
            }
            if self.topic_alias_maximum != 0 {
                properties.push(Property::TopicAliasMaximum(self.topic_alias_maximum));
            }
        }
        properties.extend(self.properties.as_properties());
        properties
    }
}

/// What the server publishes when the connection ends without a DISCONNECT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    /// Topic name, without wildcards.
    pub topic: String,
    /// The message, at most 65,535 bytes.
    pub payload: Vec<u8>,
    /// How often it may arrive.
    pub qos: Qos,
    /// Whether the server keeps it as the topic's last message.
    pub retain: bool,
    /// MQTT 5.0: Will Delay Interval and properties of the message.
    pub properties: PropertyBuf,
}

impl Will {
    /// A will at QoS 0, not retained, without properties.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Will {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: PropertyBuf::new(),
        }
    }

    /// Sets how often it may arrive.
    pub fn qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// Sets whether the server keeps it.
    pub fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Adds a property (MQTT 5.0).
    pub fn property(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }
}

/// Room for messages that were accepted and are not finished, in flight or waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutboxLimits {
    /// How many.
    pub messages: usize,
    /// How many bytes: topics, properties, payloads, and 128 for each message.
    pub bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        OutboxLimits { messages: 100_000, bytes: 64 * 1_024 * 1_024 }
    }
}

/// What [`publish`](crate::Agent::publish) does when the outbox is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// Gives the new message back.
    Reject,
    /// Drops the oldest messages that were never sent. When nothing but messages in flight is
    /// left, the new one is given back.
    DropOldest,
}

/// What happens to messages at QoS 0 while there is no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offline {
    /// They wait like the others.
    Keep,
    /// They are dropped, also those that waited when the connection ended.
    DropQos0,
}

/// What happens to messages in flight when the server has lost the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionLost {
    /// They are published again as new ones, in their order. What the server had received before
    /// it lost its memory then arrives twice, at QoS 2 as well. A QoS 2 message that the server had
    /// taken over (PUBREC) is never repeated; its result is [`Lost::SessionLost`].
    ///
    /// [`Lost::SessionLost`]: crate::Lost::SessionLost
    Republish,
    /// Their result is [`Lost::SessionLost`](crate::Lost::SessionLost).
    Fail,
}

/// Who acknowledges received messages of QoS 1 and 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acknowledge {
    /// The agent, when the message is taken out of it.
    WhenTaken,
    /// The application, by the token that comes with each message.
    ByToken,
}

/// When to try again after a connection failed or ended.
///
/// The wait is chosen between nothing and a ceiling that begins with `first` and doubles up to
/// `max` (full jitter).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reconnect {
    /// The first ceiling.
    pub first: Duration,
    /// The last ceiling.
    pub max: Duration,
    /// The very first attempt waits up to this, so that a fleet does not arrive at once.
    pub spread: Duration,
    /// Attempts in a row that may follow a failure; `None`: any number.
    pub attempts_max: Option<u32>,
    /// Whether it is tried again when the very first attempt fails. If not (the default), a wrong
    /// address shows at once. Later failures are always tried again.
    pub retry_first: bool,
}

impl Default for Reconnect {
    fn default() -> Self {
        Reconnect {
            first: Duration::from_secs(1),
            max: Duration::from_secs(120),
            spread: Duration::ZERO,
            attempts_max: None,
            retry_first: false,
        }
    }
}

impl Reconnect {
    /// The end of a connection is the end.
    pub fn never() -> Self {
        Reconnect { attempts_max: Some(0), ..Reconnect::default() }
    }

    /// Sets whether it is tried again when the very first attempt fails.
    pub fn retry_first(mut self, retry: bool) -> Self {
        self.retry_first = retry;
        self
    }
}

/// What does not fit together in [`Options`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OptionsError {
    /// MQTT 3.1.1 has no names from the server for sessions that stay.
    ClientIdMissing,
    /// MQTT 3.1 wants client identifiers of 1 to 23 bytes.
    ClientIdV31,
    /// The CONNECT cannot be written.
    Connect(Misuse),
    /// A packet size of 0.
    PacketBytesZero,
    /// A property that has a field of its own; its identifier is given.
    PropertyHasField(u8),
    /// A receive maximum of 0.
    ReceiveMaximumZero,
    /// A send maximum of 0.
    SendMaximumZero,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionsError::ClientIdMissing => {
                f.write_str("a session that stays needs a client identifier")
            }
            OptionsError::ClientIdV31 => {
                f.write_str("MQTT 3.1 needs a client identifier of 1 to 23 bytes")
            }
            OptionsError::Connect(misuse) => misuse.fmt(f),
            OptionsError::PacketBytesZero => {
                f.write_str("the largest packet must have more than 0 bytes")
            }
            OptionsError::PropertyHasField(id) => {
                write!(f, "property 0x{id:02X} of CONNECT has an option of its own")
            }
            OptionsError::SendMaximumZero => f.write_str("the send maximum must not be 0"),
            OptionsError::ReceiveMaximumZero => f.write_str("the receive maximum must not be 0"),
        }
    }
}

impl std::error::Error for OptionsError {}

impl From<Misuse> for OptionsError {
    fn from(misuse: Misuse) -> Self {
        OptionsError::Connect(misuse)
    }
}

fn has_field(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::SessionExpiryInterval(_)
            | Property::ReceiveMaximum(_)
            | Property::MaximumPacketSize(_)
            | Property::TopicAliasMaximum(_)
    )
}

/// `max_inflight_messages` of a mosquitto that is not told otherwise.
const SEND_MAXIMUM_3X: u16 = 20;
const CLIENT_ID_V31_BYTES_MAX: usize = 23;
