//! The outbox: publications that this shard has taken over and that are routed after their commit.
//! QoS 2 from sessions that outlive their connection, wills, and what the broker itself publishes.
//!
//! An exactly-once publication gets an [`Origin`]: the number that its partition gave it. A target
//! drops what it has seen, so an outbox may be replayed after a restart.

use std::collections::VecDeque;
use std::rc::Rc;

use ternmq_proto::{Properties, Qos};

use crate::interest::Level;
use crate::message::{Message, Origin, Publication, Publisher, Stamp};
use crate::node::envelope::Sender;
use crate::node::lane::Asker;
use crate::placement::{PARTITIONS, PartitionId, ShardId, partition_of};
use crate::publish::Routing;
use crate::settings::Overflow;
use crate::shard::{Held, Shard};

#[derive(Debug)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    /// Entries before this number have been routed everywhere.
    routed: u64,
    /// Entries up to this number are committed.
    committed: u64,
    /// The last number given, by partition.
    given: [u64; PARTITIONS as usize],
    /// The last number seen from each partition.
    seen: [u64; PARTITIONS as usize],
}

#[derive(Debug)]
struct Entry {
    message: Rc<Message>,
    origin: Option<Origin>,
    /// Receipts that have to come before the entry may be forgotten.
    receipts: u32,
    /// What is left to be posted, once routing has begun.
    left: Option<Left>,
}

#[derive(Debug)]
struct Left {
    /// Given when routing begins: a subscription that comes later is not on the route.
    stamp: Stamp,
    shards: VecDeque<(ShardId, Level)>,
    retain: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox {
            entries: VecDeque::new(),
            first: 1,
            routed: 1,
            committed: 0,
            given: [0; PARTITIONS as usize],
            seen: [0; PARTITIONS as usize],
        }
    }
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether everything has been routed and every receipt has come.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry that has been delivered on this shard and not yet posted everywhere.
    pub fn half_routed(&self) -> Option<u64> {
        let index = usize::try_from(self.routed - self.first).ok()?;
        self.entries.get(index).filter(|entry| entry.left.is_some()).map(|_| self.routed)
    }

    /// Whether an entry has been posted everywhere.
    pub fn has_routed(&self, number: u64) -> bool {
        number < self.routed
    }

    /// Entries up to this number are durable.
    pub fn commit(&mut self, number: u64) {
        self.committed = self.committed.max(number);
    }

    /// A receipt has come for an entry.
    pub fn settle(&mut self, number: u64) {
        if let Some(entry) = self.entry(number) {
            entry.receipts -= 1;
        }
        self.forget();
    }

    /// Notes an origin; `false`: it has been seen before.
    pub fn is_news(&mut self, origin: Origin) -> bool {
        let seen = &mut self.seen[usize::from(origin.partition.0)];
        let news = origin.number > *seen;
        *seen = (*seen).max(origin.number);
        news
    }

    fn push(&mut self, message: Rc<Message>, origin: Option<Origin>) -> u64 {
        self.entries.push_back(Entry { message, origin, receipts: 0, left: None });
        self.first + self.entries.len() as u64 - 1
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let index = number.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    fn next_origin(&mut self, partition: PartitionId) -> Origin {
        let number = &mut self.given[usize::from(partition.0)];
        *number += 1;
        Origin { partition, number: *number }
    }

    /// The next committed entry that is not yet routed everywhere.
    fn current(&mut self) -> Option<(u64, &mut Entry)> {
        let number = self.routed;
        if number > self.committed {
            return None;
        }
        self.entry(number).map(|entry| (number, entry))
    }

    fn forget(&mut self) {
        while self.first < self.routed
            && self.entries.front().is_some_and(|entry| entry.receipts == 0)
        {
            self.entries.pop_front();
            self.first += 1;
        }
    }
}

impl Shard {
    /// A will.
    pub fn publish_from_outbox(&mut self, publication: &Publication<'_>, client_id: &str) {
        let partition = (publication.qos == Qos::ExactlyOnce).then(|| partition_of(client_id));
        self.push_outbox(publication, partition);
    }

    /// A publication of the broker itself. `false`: the outbox is full.
    pub fn publish_local(&mut self, topic: &str, payload: &[u8], qos: Qos, retain: bool) -> bool {
        if self.outbox.len() >= self.settings.outbox_max as usize {
            return false;
        }
        let publication = Publication {
            topic,
            payload,
            properties: Properties::EMPTY,
            qos,
            retain,
            expires: 0,
            publisher: Publisher::BROKER,
            stamp: self.stamp(),
            origin: None,
        };
        self.push_outbox(&publication, None);
        true
    }

    /// Takes a publication over. With a partition it is exactly once.
    pub fn push_outbox(&mut self, publication: &Publication<'_>, partition: Option<PartitionId>) {
        let origin = partition.map(|partition| self.outbox.next_origin(partition));
        let message = Message::new(publication, &self.tally);
        let number = self.outbox.push(message, origin);
        self.stage();
        self.hold(Held::Outbox(number));
    }

    /// Routes what is committed, in order, while there is credit.
    pub fn pump_outbox(&mut self) {
        while let Some((number, entry)) = self.outbox.current() {
            let message = Rc::clone(&entry.message);
            let origin = entry.origin;
            let stamp = match &entry.left {
                Some(left) => left.stamp,
                None => self.stamp(),
            };
            let publication = Publication { origin, stamp, ..message.view() };
            self.route_entry(number, &publication);
            if !self.post_left(number, &publication) {
                return;
            }
            self.outbox.routed += 1;
            self.outbox.forget();
            self.release_interest_answers();
        }
    }

    /// Delivers an entry on this shard, once, and notes where else it has to go.
    fn route_entry(&mut self, number: u64, publication: &Publication<'_>) {
        if self.outbox.entry(number).is_none_or(|entry| entry.left.is_some()) {
            return;
        }
        let route = self.interest.route(publication.topic);
        self.deliver_here(publication, &route);
        self.pressure = false;
        if let Some(entry) = self.outbox.entry(number) {
            entry.left = Some(Left {
                stamp: publication.stamp,
                shards: route.shards.iter().copied().collect(),
                retain: publication.retain,
            });
        }
    }

    /// Posts an entry to the shards that are left. `false`: some have no credit.
    fn post_left(&mut self, number: u64, publication: &Publication<'_>) -> bool {
        let owner = self.retained_owner(publication.topic);
        let routing = Routing {
            sender: Sender::Outbox { number, receipt: false },
            ask_all: self.settings.overflow == Overflow::Refuse,
        };
        loop {
            let Some(entry) = self.outbox.entry(number) else { return true };
            let Some(left) = entry.left.as_mut() else { return true };
            let receipts = if let Some((shard, level)) = left.shards.front().copied() {
                if !self.lanes.is_open(shard, Asker::Outbox) {
                    return false;
                }
                left.shards.pop_front();
                self.post_publication(publication, shard, level, routing)
            } else if left.retain {
                if !self.lanes.is_open(owner, Asker::Outbox) {
                    return false;
                }
                left.retain = false;
                self.post_retained(publication, routing)
            } else {
                return true;
            };
            if let Some(entry) = self.outbox.entry(number) {
                entry.receipts += receipts;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_news_once() {
        let mut outbox = Outbox::default();
        let origin = |partition, number| Origin { partition: PartitionId(partition), number };
        assert!(outbox.is_news(origin(3, 1)));
        assert!(outbox.is_news(origin(4, 1)));
        assert!(!outbox.is_news(origin(3, 1)));
        assert!(outbox.is_news(origin(3, 2)));
    }
}
