//! Messages that were accepted and not sent yet, and the room for all that are not finished.
//!
//! QoS 0 and QoS 1/2 wait in lists of their own, each in the order of publishing: a spent receive
//! maximum holds back only what it is about (MQTT-3.3.4-9). What was sent lives in the session's
//! `Inflight`; its place here stays taken until it is finished.
//!
//! # Limits
//! Messages and bytes, by the constructor.

use std::collections::{BTreeMap, BTreeSet};

use ternmq_proto::Qos;

use crate::message::{Publish, PublishId};
use crate::options::{OutboxLimits, Overflow};

/// An accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: PublishId,
    pub(crate) publish: Publish,
    /// When it is of no use any more, in microseconds.
    pub(crate) expires_at: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    unconfirmed: BTreeMap<PublishId, Stored>,
    confirmed: BTreeMap<PublishId, Stored>,
    expiries: BTreeSet<(u64, PublishId)>,
    limits: OutboxLimits,
    /// Of waiting messages and those in flight.
    messages: usize,
    bytes: usize,
    /// Of waiting messages only.
    waiting_bytes: usize,
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Outbox {
            unconfirmed: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            expiries: BTreeSet::new(),
            limits,
            messages: 0,
            bytes: 0,
            waiting_bytes: 0,
        }
    }

    /// Another process may allow less: what is there stays.
    pub(crate) fn set_limits(&mut self, limits: OutboxLimits) {
        self.limits = limits;
    }

    /// Makes room for `publish`. Returns what had to go for it, or `None` when there is no room.
    pub(crate) fn make_room(
        &mut self,
        publish: &Publish,
        overflow: Overflow,
    ) -> Option<Vec<PublishId>> {
        let cost = publish.cost_bytes();
        if self.has_room(cost) {
            return Some(Vec::new());
        }
        if overflow == Overflow::Reject || !self.would_have_room(cost) {
            return None;
        }
        let mut dropped = Vec::new();
        while !self.has_room(cost) {
            let oldest = self.oldest()?;
            let stored = self.take(oldest)?;
            self.finished(&stored.publish);
            dropped.push(oldest);
        }
        Some(dropped)
    }

    /// Accepts a message; [`Outbox::make_room`] has been asked.
    pub(crate) fn push(&mut self, stored: Stored) {
        self.messages += 1;
        self.bytes += stored.publish.cost_bytes();
        self.put_back(stored);
    }

    /// A message that had left has to wait again, in its old place.
    pub(crate) fn put_back(&mut self, stored: Stored) {
        self.waiting_bytes += stored.publish.cost_bytes();
        if let Some(at) = stored.expires_at {
            self.expiries.insert((at, stored.id));
        }
        let list = match stored.publish.qos {
            Qos::AtMostOnce => &mut self.unconfirmed,
            Qos::AtLeastOnce | Qos::ExactlyOnce => &mut self.confirmed,
        };
        list.insert(stored.id, stored);
    }

    /// The oldest message that may be sent: of all, or of those at QoS 0.
    pub(crate) fn next(&self, confirmed_too: bool) -> Option<&Stored> {
        let unconfirmed = self.unconfirmed.values().next();
        if !confirmed_too {
            return unconfirmed;
        }
        let confirmed = self.confirmed.values().next();
        unconfirmed.into_iter().chain(confirmed).min_by_key(|stored| stored.id)
    }

    /// Takes a waiting message out; its place stays taken until [`Outbox::finished`].
    pub(crate) fn take(&mut self, id: PublishId) -> Option<Stored> {
        let stored = self.unconfirmed.remove(&id).or_else(|| self.confirmed.remove(&id))?;
        self.waiting_bytes -= stored.publish.cost_bytes();
        if let Some(at) = stored.expires_at {
            self.expiries.remove(&(at, id));
        }
        Some(stored)
    }

    /// A message that was taken out is finished: its bytes and its place are free.
    pub(crate) fn finished(&mut self, publish: &Publish) {
        self.free_bytes(publish);
        self.free_place();
    }

    /// A message is the peer's now and only its place is still taken.
    pub(crate) fn free_bytes(&mut self, publish: &Publish) {
        self.bytes -= publish.cost_bytes();
    }

    /// See [`Outbox::free_bytes`].
    pub(crate) fn free_place(&mut self) {
        self.messages -= 1;
    }

    /// Takes out a message whose time is over.
    pub(crate) fn expire(&mut self, now: u64) -> Option<PublishId> {
        let &(at, id) = self.expiries.first()?;
        if at > now {
            return None;
        }
        let stored = self.take(id)?;
        self.finished(&stored.publish);
        Some(id)
    }

    /// When [`Outbox::expire`] has something to do, in microseconds.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|&(at, _)| at)
    }

    /// Drops all messages at QoS 0.
    pub(crate) fn drop_unconfirmed(&mut self) -> Vec<PublishId> {
        let ids: Vec<_> = self.unconfirmed.keys().copied().collect();
        for id in &ids {
            if let Some(stored) = self.take(*id) {
                self.finished(&stored.publish);
            }
        }
        ids
    }

    /// Drops everything that waits.
    pub(crate) fn drain(&mut self) -> Vec<PublishId> {
        let mut ids = self.drop_unconfirmed();
        while let Some((&id, _)) = self.confirmed.first_key_value() {
            if let Some(stored) = self.take(id) {
                self.finished(&stored.publish);
            }
            ids.push(id);
        }
        ids
    }

    /// Messages that are not finished.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes of messages that are not finished.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn has_room(&self, cost: usize) -> bool {
        self.messages < self.limits.messages && self.bytes + cost <= self.limits.bytes
    }

    /// Whether there would be room without the messages that wait.
    fn would_have_room(&self, cost: usize) -> bool {
        let waiting = self.unconfirmed.len() + self.confirmed.len();
        self.messages - waiting < self.limits.messages
            && self.bytes - self.waiting_bytes + cost <= self.limits.bytes
    }

    fn oldest(&self) -> Option<PublishId> {
        self.next(true).map(|stored| stored.id)
    }
}
