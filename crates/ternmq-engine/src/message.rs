//! A message on its way: [`Publication`] is the borrowed view that hops through a turn, [`Message`]
//! the owned and shared copy that waits in queues.

use std::rc::Rc;

use ternmq_proto::{Properties, Property, PropertyBuf, Qos};

use crate::placement::{PartitionId, ShardId};
use crate::tally::{Charge, Tally};
use crate::time::SECOND;

/// Identifies one publication on its node, in the order in which its shard accepted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// The shard of the publisher.
    pub shard: ShardId,
    /// Increasing by shard.
    pub number: u64,
}

/// Where an exactly-once publication comes from: the number that its partition's outbox gave it.
/// A target that has seen `number` from `partition` drops it (see the design, *QoS 2 across
/// partitions*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The partition of the publisher's session.
    pub partition: PartitionId,
    /// Increasing by partition.
    pub number: u64,
}

/// Identifies a session for *no local*. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publisher(pub u64);

impl Publisher {
    /// The broker itself.
    pub const BROKER: Publisher = Publisher(u64::MAX);
}

/// A message as it is being routed; its bytes are somebody else's.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    /// Only what is forwarded unchanged: see [`forwardable`].
    pub properties: Properties<'a>,
    pub qos: Qos,
    pub retain: bool,
    /// Wall clock in microseconds; 0: never.
    pub expires: u64,
    pub publisher: Publisher,
    pub stamp: Stamp,
    pub origin: Option<Origin>,
}

impl Publication<'_> {
    /// Seconds until expiry, rounded up so that a second is never claimed too early; `None`: no
    /// expiry.
    pub fn expiry_seconds(&self, wall: u64) -> Option<u32> {
        remaining(self.expires, wall)
    }

    pub fn has_expired(&self, wall: u64) -> bool {
        self.expires != 0 && self.expires <= wall
    }

    /// What its owned copy adds to the bytes of a queue.
    pub fn cost(&self) -> u64 {
        let bytes = self.topic.len() + self.properties.as_bytes().len() + self.payload.len();
        bytes as u64 + MESSAGE_OVERHEAD_BYTES
    }
}

/// Seconds from `wall` until `expires`, at least 1 while any time is left.
fn remaining(expires: u64, wall: u64) -> Option<u32> {
    if expires == 0 {
        return None;
    }
    let seconds = expires.saturating_sub(wall).div_ceil(SECOND);
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// An owned message, shared by all queues of the shard that hold it.
#[derive(Debug)]
pub struct Message {
    /// Topic, properties and payload, one after the other.
    bytes: Box<[u8]>,
    topic_bytes: u16,
    property_bytes: u32,
    qos: Qos,
    retain: bool,
    expires: u64,
    publisher: Publisher,
    stamp: Stamp,
    _charge: Charge,
}

/// What a queued message costs beside its bytes.
const MESSAGE_OVERHEAD_BYTES: u64 = 96;

impl Message {
    pub fn new(publication: &Publication<'_>, tally: &Tally) -> Rc<Message> {
        let topic = publication.topic.as_bytes();
        let properties = publication.properties.as_bytes();
        let total = topic.len() + properties.len() + publication.payload.len();
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(topic);
        bytes.extend_from_slice(properties);
        bytes.extend_from_slice(publication.payload);
        Rc::new(Message {
            bytes: bytes.into_boxed_slice(),
            topic_bytes: topic.len() as u16,
            property_bytes: properties.len() as u32,
            qos: publication.qos,
            retain: publication.retain,
            expires: publication.expires,
            publisher: publication.publisher,
            stamp: publication.stamp,
            _charge: tally.charge(total as u64 + MESSAGE_OVERHEAD_BYTES),
        })
    }

    pub fn view(&self) -> Publication<'_> {
        let (topic, rest) = self.bytes.split_at(usize::from(self.topic_bytes));
        let (properties, payload) = rest.split_at(self.property_bytes as usize);
        Publication {
            // The bytes came out of a `&str` in `new`.
            topic: std::str::from_utf8(topic).expect("a topic is UTF-8"),
            payload,
            properties: Properties::from_trusted_bytes(properties),
            qos: self.qos,
            retain: self.retain,
            expires: self.expires,
            publisher: self.publisher,
            stamp: self.stamp,
            origin: None,
        }
    }

    pub fn has_expired(&self, wall: u64) -> bool {
        self.expires != 0 && self.expires <= wall
    }

    /// What it adds to the bytes of a queue.
    pub fn cost(&self) -> u64 {
        self.bytes.len() as u64 + MESSAGE_OVERHEAD_BYTES
    }
}

/// Keeps of a PUBLISH's (or a will's) properties those that every subscriber gets unchanged. The
/// others belong to one hop (alias), are recomputed for each subscriber (expiry, subscription
/// identifier) or are the broker's business (will delay). `scratch` is used only when something has
/// to be left out.
pub fn forwardable<'a>(all: Properties<'a>, scratch: &'a mut PropertyBuf) -> Properties<'a> {
    let stays = |property: &Property<'_>| {
        matches!(
            property,
            Property::PayloadFormatIndicator(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(..)
        )
    };
    if all.iter().all(|property| stays(&property)) {
        return all;
    }
    scratch.clear();
    for property in all.iter().filter(stays) {
        scratch.push(property);
    }
    scratch.as_properties()
}
