//! What the broker keeps for a client identifier, connected or not (section 4.1), and the queue of
//! what it still has to get.

use std::collections::VecDeque;
use std::rc::Rc;

use ternmq_proto::inbound::Inbound;
use ternmq_proto::inflight::Inflight;
use ternmq_proto::{PropertyBuf, Qos, Version};

use crate::filter_tree::NodeId;
use crate::message::{Message, Publisher};
use crate::placement::ShardId;
use crate::slab::Key;
use crate::tally::Charge;

#[derive(Debug)]
pub struct Session {
    pub client_id: Rc<str>,
    pub version: Version,
    pub publisher: Publisher,
    /// 0: ends with its connection; `u32::MAX`: never.
    pub expiry_seconds: u32,
    /// Wall clock at which it ends; 0 while connected or for ever.
    pub expires: u64,
    pub connection: Option<Key>,
    pub subscriptions: Vec<NodeId>,
    pub memberships: Vec<Membership>,
    /// A message is kept with its identifier only when it may have to be sent again, or when a shared
    /// group waits to hear of it.
    pub inflight: Inflight<Option<Box<Queued>>>,
    pub inbound: Inbound,
    pub queue: Queue,
    pub will: Option<Box<Will>>,
    /// Wall clock at which the will is due; 0: it is not pending.
    pub will_due: u64,
    /// Since when the consumer has been congested (monotonic); 0: it is not.
    pub congested_since: u64,
    /// It has been congested for longer than publishers wait.
    pub slow: bool,
    /// In the list of sessions to be pumped.
    pub pumping: bool,
    pub _charge: Charge,
}

/// What a session costs beside its texts: itself, and its place in the tables.
pub const SESSION_BYTES: u64 = size_of::<Session>() as u64 + 128;

impl Session {
    pub fn is_durable(&self) -> bool {
        self.expiry_seconds > 0
    }

    pub fn membership(&self, share: &str, filter: &str) -> Option<&Membership> {
        self.memberships.iter().find(|it| *it.share == *share && *it.filter == *filter)
    }
}

/// A shared subscription, seen from the member.
#[derive(Debug, Clone)]
pub struct Membership {
    pub share: Box<str>,
    pub filter: Box<str>,
    /// The shard where the group lives.
    pub home: ShardId,
    /// Never given twice by a shard: what was handed to an earlier membership is told by it.
    pub number: u64,
    pub _charge: Charge,
}

/// The message that is published when the connection is lost.
#[derive(Debug)]
pub struct Will {
    pub topic: Box<str>,
    pub payload: Box<[u8]>,
    pub properties: PropertyBuf,
    pub qos: Qos,
    pub retain: bool,
    pub delay_seconds: u32,
    pub expiry_seconds: Option<u32>,
    pub _charge: Charge,
}

/// A message that waits for one session.
#[derive(Debug, Clone)]
pub struct Queued {
    pub message: Rc<Message>,
    pub qos: Qos,
    pub retain: bool,
    pub identifiers: Identifiers,
    /// Set when a shared group owns the message.
    pub ticket: Option<Ticket>,
}

/// Subscription identifiers of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identifiers {
    #[default]
    None,
    One(u32),
    Many(Box<[u32]>),
}

impl Identifiers {
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Identifiers::None => &[],
            Identifiers::One(one) => std::slice::from_ref(one),
            Identifiers::Many(many) => many,
        }
    }

    pub fn collect(identifiers: impl Iterator<Item = u32>) -> Self {
        identifiers.fold(Identifiers::None, |so_far, next| match so_far {
            Identifiers::None => Identifiers::One(next),
            Identifiers::One(one) => Identifiers::Many(Box::new([one, next])),
            Identifiers::Many(many) => {
                Identifiers::Many(many.iter().copied().chain([next]).collect())
            }
        })
    }
}

/// A shared group's claim on a message that it handed to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub home: ShardId,
    pub group: Key,
    pub number: u64,
}

/// Messages for one session, oldest first, bounded by count and bytes.
#[derive(Debug, Default)]
pub struct Queue {
    items: VecDeque<Queued>,
    bytes: u64,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether one more of this cost would be over a bound.
    pub fn is_full(&self, cost: u64, messages_max: u32, bytes_max: u64) -> bool {
        self.items.len() >= messages_max as usize || self.bytes + cost > bytes_max
    }

    pub fn push(&mut self, item: Queued) {
        self.bytes += item.message.cost();
        self.items.push_back(item);
    }

    pub fn front(&self) -> Option<&Queued> {
        self.items.front()
    }

    pub fn pop(&mut self) -> Option<Queued> {
        let item = self.items.pop_front()?;
        self.bytes -= item.message.cost();
        if self.items.is_empty() {
            self.items.shrink_to(0);
        }
        Some(item)
    }

    /// Only for a planted bug.
    pub fn reverse(&mut self) {
        self.items.make_contiguous().reverse();
    }

    /// Takes out what `leaves` names, in order.
    pub fn extract(&mut self, leaves: impl Fn(&Queued) -> bool) -> Vec<Queued> {
        if !self.items.iter().any(&leaves) {
            return Vec::new();
        }
        let (gone, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.items).into_iter().partition(leaves);
        self.items = kept;
        self.bytes = self.items.iter().map(|item| item.message.cost()).sum();
        gone.into()
    }
}
