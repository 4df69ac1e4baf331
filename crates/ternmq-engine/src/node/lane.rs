//! Lanes: what this shard has to say to the others, and on what credit.
//!
//! Each pair of shards has two bounded rings in each direction. A *request* is made only when the
//! receiver owes us credit; a *reply* answers a request, so their number is bounded by it. What the
//! ring does not take now stays in the bag and goes with the next one. What a shard says to itself
//! goes through a bag of its own that the same turn empties.

use ternmq_proto::planted::{self, Bug};

use super::envelope::Envelope;
use super::host::{Host, Lane};
use crate::placement::ShardId;

/// Bytes of requests that may wait for one shard; one large message may overdraw.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Who makes a request. Each keeps a part of the credit and of the bag from those above it, for
/// there may always be more of these: publishers that never stop would keep the outbox from being
/// routed, both a group's messages, and all of them what has to be told and settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// What a shard has to tell and to ask, so that others can go on. Also SUBSCRIBE.
    Shard,
    Group,
    Outbox,
    /// A client's PUBLISH.
    Publisher,
}

#[derive(Debug)]
pub struct Lanes {
    me: ShardId,
    credit: u32,
    lanes: Vec<Towards>,
    /// Requests and replies to this shard itself.
    own: Vec<u8>,
    /// Some lane got credit back in this turn.
    relieved: bool,
}

/// One direction of a pair of shards.
#[derive(Debug, Default)]
struct Towards {
    requests: Vec<u8>,
    replies: Vec<u8>,
    /// Requests that the other shard has not yet given credit back for.
    outstanding: u32,
    /// Requests ever put into the bag.
    sent: u64,
    /// Requests ever taken from the other shard.
    received: u64,
    /// Requests handled for which credit has to be given back.
    owed: u32,
    /// Retain requests ever sent, and answered.
    retains_sent: u64,
    retains_done: u64,
}

impl Lanes {
    pub fn new(me: ShardId, shards: u16, credit: u32) -> Self {
        Lanes {
            me,
            credit: credit.max(1),
            lanes: (0..shards).map(|_| Towards::default()).collect(),
            own: Vec::new(),
            relieved: false,
        }
    }

    /// Whether a request to that shard may be made now.
    pub fn is_open(&self, to: ShardId, asker: Asker) -> bool {
        let lane = &self.lanes[usize::from(to.0)];
        let parts = asker as u32;
        let credit_kept = self.credit.div_ceil(8).saturating_mul(parts).min(self.credit - 1);
        let bytes_kept = REQUEST_BYTES_MAX / 8 * parts as usize;
        to == self.me
            || (lane.outstanding < self.credit - credit_kept
                && lane.requests.len() < REQUEST_BYTES_MAX - bytes_kept)
    }

    /// The other shards.
    pub fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.me;
        (0..self.lanes.len() as u16).map(ShardId).filter(move |shard| *shard != me)
    }

    pub fn all_open(&self, asker: Asker) -> bool {
        self.others().all(|shard| self.is_open(shard, asker))
    }

    /// Makes a request. The caller has asked [`Lanes::is_open`]; a subscription to many filters may
    /// overdraw.
    pub fn request(&mut self, to: ShardId, envelope: &Envelope<'_>) {
        let lane = &mut self.lanes[usize::from(to.0)];
        if matches!(envelope, Envelope::Retain { .. }) {
            lane.retains_sent += 1;
        }
        lane.sent += 1;
        if to == self.me {
            lane.received += 1;
            envelope.encode(&mut self.own);
        } else {
            lane.outstanding += 1;
            envelope.encode(&mut lane.requests);
        }
    }

    pub fn reply(&mut self, to: ShardId, envelope: &Envelope<'_>) {
        if to == self.me {
            envelope.encode(&mut self.own);
        } else {
            envelope.encode(&mut self.lanes[usize::from(to.0)].replies);
        }
    }

    /// What this shard said to itself since it was last asked.
    pub fn take_own(&mut self, empty: Vec<u8>) -> Option<Vec<u8>> {
        (!self.own.is_empty()).then(|| std::mem::replace(&mut self.own, empty))
    }

    /// Whether this shard has said something to itself.
    pub fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// A request of another shard was taken from its bag.
    pub fn received(&mut self, from: ShardId) {
        let lane = &mut self.lanes[usize::from(from.0)];
        lane.received += 1;
        if planted::is(Bug::LeakCredit) && lane.received.is_multiple_of(16) {
            return;
        }
        lane.owed += 1;
    }

    pub fn credit_back(&mut self, from: ShardId, requests: u32) {
        let lane = &mut self.lanes[usize::from(from.0)];
        lane.outstanding = lane
            .outstanding
            .checked_sub(requests)
            .expect("credit comes back once for each request");
        self.relieved = true;
    }

    /// Whether some lane got credit back since this was last asked.
    pub fn take_relieved(&mut self) -> bool {
        std::mem::take(&mut self.relieved)
    }

    /// Requests ever made to that shard: with [`Lanes::has_received`] on the other side, a fence.
    pub fn sent_to(&self, to: ShardId) -> u64 {
        self.lanes[usize::from(to.0)].sent
    }

    pub fn has_received(&self, from: ShardId, requests: u64) -> bool {
        self.lanes[usize::from(from.0)].received >= requests
    }

    pub fn retain_done(&mut self, from: ShardId) {
        self.lanes[usize::from(from.0)].retains_done += 1;
    }

    /// How many retained messages were handed to each owner so far.
    pub fn retains_sent(&self) -> Vec<u64> {
        self.lanes.iter().map(|lane| lane.retains_sent).collect()
    }

    /// Whether all of those have been kept.
    pub fn retains_kept(&self, sent: &[u64]) -> bool {
        self.lanes.iter().zip(sent).all(|(lane, sent)| lane.retains_done >= *sent)
    }

    /// Puts what is there on the rings. `true`: something found its ring full.
    pub fn post<H: Host>(&mut self, host: &mut H) -> bool {
        let me = self.me;
        let mut stuck = false;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let to = ShardId(index as u16);
            if to == me {
                continue;
            }
            if lane.owed > 0 {
                Envelope::Credit { requests: lane.owed }.encode(&mut lane.replies);
                lane.owed = 0;
            }
            for (kind, bag) in
                [(Lane::Reply, &mut lane.replies), (Lane::Request, &mut lane.requests)]
            {
                if bag.is_empty() {
                    continue;
                }
                let full = std::mem::replace(bag, host.empty_bag());
                if let Err(back) = host.post(to, kind, full) {
                    *bag = back;
                    stuck = true;
                }
            }
        }
        stuck
    }

    /// Whether nothing is owed in either direction.
    pub fn is_idle(&self) -> bool {
        self.own.is_empty()
            && self.lanes.iter().all(|lane| {
                lane.requests.is_empty()
                    && lane.replies.is_empty()
                    && lane.outstanding == 0
                    && lane.owed == 0
            })
    }
}
