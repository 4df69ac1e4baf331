//! One accepted connection: what the server offers on it, how messages go out on it, and whether
//! the server is still there.

use std::time::Duration;

use ternmq_proto::connection::{Connection, Side, Terms};
use ternmq_proto::frame::PACKET_BYTES_MAX;
use ternmq_proto::packet::{PublishHead, encode_publish, encoded_publish_len};
use ternmq_proto::topic_alias::AliasOut;
use ternmq_proto::{PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

use crate::event::Lost;
use crate::options::Options;
use crate::outbox::Stored;
use crate::reconnect::micros;

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) offer: Offer,
    pub(crate) connection: Connection,
    pub(crate) keep_alive: KeepAlive,
    /// When CONNACK came, in microseconds.
    pub(crate) since: u64,
    /// Properties of the transmission under way; kept for its memory.
    extra: PropertyBuf,
}

impl Live {
    pub(crate) fn new(now: u64, options: &Options, connack: Properties<'_>) -> Self {
        let offer = Offer::new(options.version, connack);
        let is_v5 = options.version == Version::V5;
        let terms = Terms {
            version: options.version,
            receive_bytes_max: options.packet_bytes_max.min(PACKET_BYTES_MAX),
            send_bytes_max: offer.send_bytes_max,
            receive_maximum: options.receive_maximum,
            receive_alias_maximum: if is_v5 { options.topic_alias_maximum } else { 0 },
            send_alias_maximum: offer.topic_alias_maximum.min(options.send_alias_maximum),
        };
        let seconds = offer.keep_alive_seconds.unwrap_or(options.keep_alive_seconds);
        Live {
            offer,
            connection: Connection::new(Side::Client, terms),
            keep_alive: KeepAlive::new(now, seconds, options.ping_timeout),
            since: now,
            extra: PropertyBuf::new(),
        }
    }

    /// Why the server would end the connection over this message.
    pub(crate) fn refuses(&self, stored: &Stored) -> Option<Lost> {
        let publish = &stored.publish;
        if publish.qos > self.offer.maximum_qos {
            return Some(Lost::NotSupported(ReasonCode::QosNotSupported));
        }
        if publish.retain && !self.offer.retain {
            return Some(Lost::NotSupported(ReasonCode::RetainNotSupported));
        }
        let bytes = self.encoded_len(stored);
        let max = self.offer.send_bytes_max;
        (bytes > max).then_some(Lost::TooLarge { bytes, max })
    }

    /// Appends a message that [`Live::refuses`] had nothing against.
    pub(crate) fn write(
        &mut self,
        now: u64,
        stored: &Stored,
        packet_id: Option<PacketId>,
        dup: bool,
        out: &mut Vec<u8>,
    ) {
        let publish = &stored.publish;
        let mut topic = publish.topic.as_str();
        self.extra.clear();
        if self.offer.version == Version::V5 {
            if let Some(at) = stored.expires_at {
                // Rounded up, and at least one second: 0 is "never" to some servers.
                let seconds = at.saturating_sub(now).div_ceil(MICROS_PER_SECOND).max(1);
                let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                self.extra.push(Property::MessageExpiryInterval(seconds));
            }
            let room = self.offer.send_bytes_max.saturating_sub(ALIAS_BYTES_MAX);
            if self.encoded_len(stored) <= room {
                match self.connection.alias_for(topic) {
                    Some(AliasOut::Known(alias)) => {
                        topic = "";
                        self.extra.push(Property::TopicAlias(alias));
                    }
                    Some(AliasOut::Set(alias)) => {
                        self.extra.push(Property::TopicAlias(alias));
                    }
                    None => {}
                }
            }
        }
        let head = PublishHead { dup, qos: publish.qos, retain: publish.retain, packet_id };
        let extra = self.extra.as_properties();
        let properties = publish.properties.as_properties();
        encode_publish(out, self.offer.version, head, topic, extra, properties, &publish.payload);
    }

    /// The size of the packet without an alias.
    fn encoded_len(&self, stored: &Stored) -> u32 {
        let publish = &stored.publish;
        let expiry_bytes = if stored.expires_at.is_some() { EXPIRY_BYTES } else { 0 };
        let bytes = encoded_publish_len(
            self.offer.version,
            publish.qos,
            publish.topic.len(),
            publish.properties.len() + expiry_bytes,
            publish.payload.len(),
        );
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// What a server takes, as its CONNACK says (MQTT 5.0) or the standard assumes.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) version: Version,
    pub(crate) send_bytes_max: u32,
    pub(crate) receive_maximum: u16,
    maximum_qos: Qos,
    retain: bool,
    topic_alias_maximum: u16,
    keep_alive_seconds: Option<u16>,
    pub(crate) wildcard_subscriptions: bool,
    pub(crate) shared_subscriptions: bool,
    pub(crate) subscription_identifiers: bool,
}

impl Offer {
    fn new(version: Version, connack: Properties<'_>) -> Self {
        let maximum_qos = connack.maximum_qos().and_then(Qos::from_bits);
        let send_bytes_max = connack.maximum_packet_size().unwrap_or(PACKET_BYTES_MAX);
        Offer {
            version,
            send_bytes_max,
            receive_maximum: connack.receive_maximum().unwrap_or(u16::MAX),
            maximum_qos: maximum_qos.unwrap_or(Qos::ExactlyOnce),
            retain: connack.retain_available().unwrap_or(true),
            topic_alias_maximum: connack.topic_alias_maximum().unwrap_or(0),
            keep_alive_seconds: connack.server_keep_alive(),
            wildcard_subscriptions: connack.wildcard_subscription_available().unwrap_or(true),
            shared_subscriptions: connack.shared_subscription_available().unwrap_or(true),
            subscription_identifiers: connack.subscription_identifiers_available().unwrap_or(true),
        }
    }
}

/// When to send PINGREQ, and when to give the server up.
///
/// A ping is due when nothing was sent for the keep alive (MQTT-3.1.2-20), and also when nothing
/// was received for as long: a client that only sends would else never notice that nobody is there.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval: Option<u64>,
    timeout: u64,
    last_sent: u64,
    last_received: u64,
    ping_sent: Option<u64>,
}

/// What a keep alive wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Send PINGREQ.
    Ping,
    /// The server is gone.
    Dead,
}

impl KeepAlive {
    fn new(now: u64, seconds: u16, timeout: Duration) -> Self {
        KeepAlive {
            interval: (seconds > 0).then_some(u64::from(seconds) * MICROS_PER_SECOND),
            timeout: micros(timeout),
            last_sent: now,
            last_received: now,
            ping_sent: None,
        }
    }

    pub(crate) fn sent(&mut self, now: u64) {
        self.last_sent = now;
    }

    /// Bytes came, whatever they are: the server lives.
    pub(crate) fn received(&mut self, now: u64) {
        self.last_received = now;
        self.ping_sent = None;
    }

    pub(crate) fn pinged(&mut self, now: u64) {
        self.ping_sent = Some(now);
        self.last_sent = now;
    }

    /// Nothing was read for a while because we did not want to: that says nothing about the server.
    pub(crate) fn reading_again(&mut self, now: u64) {
        self.last_received = now;
        self.ping_sent = self.ping_sent.map(|_| now);
    }

    /// The next thing to do and when, in microseconds.
    pub(crate) fn next(&self, reading: bool) -> Option<(u64, Beat)> {
        let interval = self.interval?;
        if !reading {
            return Some((self.last_sent.saturating_add(interval), Beat::Ping));
        }
        match self.ping_sent {
            Some(sent) => Some((sent.saturating_add(self.timeout), Beat::Dead)),
            None => {
                let quiet_since = self.last_sent.min(self.last_received);
                Some((quiet_since.saturating_add(interval), Beat::Ping))
            }
        }
    }
}

const MICROS_PER_SECOND: u64 = 1_000_000;
const EXPIRY_BYTES: usize = 5;
/// An alias takes three bytes, and the length of the properties may grow by one, as may the
/// remaining length.
const ALIAS_BYTES_MAX: u32 = 5;
