//! Messages as the application sees them: [`Publish`] on the way out, [`Message`] on the way in.
//! Both own what they hold; the packets of `ternmq-proto` borrow.

use std::time::Duration;

use ternmq_proto::{Misuse, Properties, Property, PropertyBuf, Qos, TopicName, Version, packet};

use crate::event::PublishError;

/// Names an accepted [`Publish`] for ever, over reconnects and restarts. Later ones are larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct PublishId(pub(crate) u64);

impl PublishId {
    /// The number, unique in the life of one session's state.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Names a SUBSCRIBE or UNSUBSCRIBE that the application asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct RequestId(pub(crate) u64);

/// A message to be published.
///
/// ```
/// use std::time::Duration;
/// use ternmq_agent::Publish;
/// use ternmq_proto::{Property, Qos};
///
/// let reading = Publish::new("plant/7/temperature", "21.5")
///     .qos(Qos::AtLeastOnce)
///     .expiry(Duration::from_secs(3600))
///     .property(Property::ContentType("text/plain"));
/// assert_eq!(reading.payload, b"21.5");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// Topic name, without wildcards.
    pub topic: String,
    /// The message.
    pub payload: Vec<u8>,
    /// How often it may arrive.
    pub qos: Qos,
    /// Whether the server keeps it as the topic's last message.
    pub retain: bool,
    /// MQTT 5.0 only. Topic aliases are the agent's, subscription identifiers the server's: neither
    /// may stand here.
    pub properties: PropertyBuf,
    /// Seconds until nobody wants it any more; time in the outbox counts. With MQTT 5.0 the server
    /// is told what is left.
    pub expiry_seconds: Option<u32>,
}

impl Publish {
    /// A message at QoS 0, not retained, without properties.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Publish {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: PropertyBuf::new(),
            expiry_seconds: None,
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

    /// Adds a property (MQTT 5.0). Message Expiry Interval is the same as [`Publish::expiry`].
    pub fn property(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// Sets how long it is of use, in whole seconds, rounded up.
    pub fn expiry(mut self, expiry: Duration) -> Self {
        let seconds = expiry.as_secs() + u64::from(expiry.subsec_nanos() > 0);
        self.expiry_seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        self
    }

    /// What it takes in the outbox, in bytes.
    pub(crate) fn cost_bytes(&self) -> usize {
        OVERHEAD_BYTES + self.topic.len() + self.payload.len() + self.properties.len()
    }

    /// Makes sure that it can be sent with this version, and moves an expiry that was given as a
    /// property to its field.
    pub(crate) fn check(&mut self, version: Version) -> Result<(), PublishError> {
        TopicName::parse(&self.topic).map_err(PublishError::Topic)?;
        if !self.properties.is_empty() {
            self.check_properties(version)?;
        }
        let head = packet::encoded_publish_len(
            version,
            self.qos,
            self.topic.len(),
            self.properties.len() + EXTRA_PROPERTY_BYTES,
            self.payload.len(),
        );
        if head > ternmq_proto::frame::PACKET_BYTES_MAX as usize {
            return Err(PublishError::Invalid(Misuse::PacketTooLarge { bytes: head }));
        }
        Ok(())
    }

    fn check_properties(&mut self, version: Version) -> Result<(), PublishError> {
        let properties = self.properties.as_properties();
        let shaped = packet::Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: &self.topic,
            packet_id: None,
            properties,
            payload: b"",
        };
        shaped.encode_into(version, &mut Vec::new()).map_err(PublishError::Invalid)?;
        for property in properties {
            if matches!(property, Property::TopicAlias(_) | Property::SubscriptionIdentifier(_)) {
                return Err(PublishError::PropertyNotOurs(property.id()));
            }
        }
        if let Some(seconds) = properties.message_expiry_interval() {
            self.expiry_seconds = Some(seconds);
            let mut rest = PropertyBuf::new();
            rest.extend_filtered(properties, |it| {
                !matches!(it, Property::MessageExpiryInterval(_))
            });
            self.properties = rest;
        }
        Ok(())
    }
}

/// A message that was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Topic name; an alias is already resolved.
    pub topic: String,
    /// The message.
    pub payload: Vec<u8>,
    /// The level it was delivered at.
    pub qos: Qos,
    /// Whether it is a retained message that was there before (or, with Retain As Published, what
    /// the publisher said).
    pub retain: bool,
    /// Whether the server may have sent it before.
    pub dup: bool,
    /// MQTT 5.0: as they came, subscription identifiers among them.
    pub properties: PropertyBuf,
}

impl Message {
    pub(crate) fn new(topic: &str, publish: &packet::Publish<'_>) -> Self {
        Message {
            topic: topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            properties: without_alias(publish.properties),
        }
    }
}

/// An alias means nothing outside its connection.
fn without_alias(properties: Properties<'_>) -> PropertyBuf {
    let mut kept = PropertyBuf::new();
    if properties.topic_alias().is_none() {
        kept.extend(properties);
    } else {
        kept.extend_filtered(properties, |it| !matches!(it, Property::TopicAlias(_)));
    }
    kept
}

/// What the agent adds to a PUBLISH at most: expiry (5 bytes) and topic alias (3 bytes).
const EXTRA_PROPERTY_BYTES: usize = 8;

/// What a message costs in memory beside its text, in bytes; an estimate.
const OVERHEAD_BYTES: usize = 128;
