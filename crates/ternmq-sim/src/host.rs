//! What a node finds around it at the end of its turn: rings that are narrow, and a store that
//! takes its time, but completes batches in their order.

use std::collections::VecDeque;

use ternmq_engine::{Batch, CommitId, Host, Lane, ShardId, Submitted};

use crate::config::Config;
use crate::fault::Fault;
use crate::history::{Event, Tick};
use crate::record::Record;
use crate::rng::Rng;

/// Batches that were submitted and are not durable yet.
#[derive(Default)]
pub struct Commits {
    /// In the order of submission, which is that of completion.
    pub waiting: VecDeque<Commit>,
}

/// A batch that was submitted.
pub struct Commit {
    /// Its name.
    pub id: CommitId,
    /// When it will be durable.
    pub done_at: u64,
    /// When it was submitted.
    pub submitted: Tick,
    /// In which turn of its shard.
    pub turn: u64,
}

/// The rings of all pairs of shards.
pub struct Rings {
    bags: Vec<VecDeque<Vec<u8>>>,
    shards: usize,
    capacity: usize,
    spare: Vec<Vec<u8>>,
}

impl Rings {
    /// Empty rings between this many shards, each for so many bags.
    pub fn new(shards: usize, capacity: usize) -> Self {
        let mut bags = Vec::new();
        bags.resize_with(shards * shards * 2, VecDeque::new);
        Rings { bags, shards, capacity, spare: Vec::new() }
    }

    /// The next bag from one shard to another.
    pub fn take(&mut self, from: usize, to: usize, lane: Lane) -> Option<Vec<u8>> {
        self.of(from, to, lane).pop_front()
    }

    /// A bag that is done with.
    pub fn give_back(&mut self, mut bag: Vec<u8>) {
        bag.clear();
        self.spare.push(bag);
    }

    fn of(&mut self, from: usize, to: usize, lane: Lane) -> &mut VecDeque<Vec<u8>> {
        let lane = usize::from(lane == Lane::Reply);
        &mut self.bags[(to * self.shards + from) * 2 + lane]
    }

    /// Whether nothing is on its way to this shard.
    pub fn is_empty_for(&self, to: usize) -> bool {
        let first = to * self.shards * 2;
        self.bags[first..first + self.shards * 2].iter().all(VecDeque::is_empty)
    }
}

/// What a node sees at the end of its turn.
pub struct TurnHost<'a> {
    /// Which shard ends its turn.
    pub me: usize,
    /// Virtual microseconds.
    pub now: u64,
    /// Which of its turns this is.
    pub turn: u64,
    /// How wide the rings, how late the commits.
    pub config: &'a Config,
    /// To the other shards.
    pub rings: &'a mut Rings,
    /// Of this shard.
    pub commits: &'a mut Commits,
    /// Where it is written down.
    pub record: &'a mut Record,
    /// What decides.
    pub rng: &'a mut Rng,
    /// Shards that got something.
    pub posted: Vec<usize>,
}

impl Host for TurnHost<'_> {
    fn post(&mut self, to: ShardId, lane: Lane, bag: Vec<u8>) -> Result<(), Vec<u8>> {
        let capacity = self.rings.capacity;
        let ring = self.rings.of(self.me, usize::from(to.0), lane);
        if ring.len() >= capacity {
            self.record.faults.hit(Fault::RingFull);
            return Err(bag);
        }
        self.record.mix_bytes(&bag);
        ring.push_back(bag);
        self.posted.push(usize::from(to.0));
        Ok(())
    }

    fn empty_bag(&mut self) -> Vec<u8> {
        self.rings.spare.pop().unwrap_or_default()
    }

    fn submit(&mut self, batch: Batch) -> Submitted {
        let submitted = self.record.history.now();
        let shard = self.me as u16;
        if self.commits.waiting.is_empty() && !self.rng.chance(self.config.late_commit) {
            self.record.push(self.now, Event::Committed { shard, submitted });
            return Submitted::Done;
        }
        let delay = self.rng.skewed(1, self.config.commit_delay);
        let earliest = self.commits.waiting.back().map_or(0, |last| last.done_at);
        self.commits.waiting.push_back(Commit {
            id: batch.id,
            done_at: earliest.max(self.now + delay),
            submitted,
            turn: self.turn,
        });
        Submitted::Later
    }
}
