//! What carries a node: a shard thread of the broker, or the simulator.

use crate::placement::ShardId;

/// The two rings towards another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Asks for something; made only on credit.
    Request,
    /// Answers a request.
    Reply,
}

/// Names a commit; increasing by one on each shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// The changes of one turn that have to be durable before what depends on them may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub id: CommitId,
    /// How many changes are in it.
    pub changes: u32,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is durable, or nothing is meant to be.
    Done,
    /// `Node::handle_committed` will be called.
    Later,
}

/// The world around a node. Nothing here may block.
pub trait Host {
    /// Puts a bag on the ring to a shard, and wakes that shard if it sleeps.
    ///
    /// # Errors
    /// The ring is full and the bag comes back; the node tries again at the end of its next turn.
    fn post(&mut self, to: ShardId, lane: Lane, bag: Vec<u8>) -> Result<(), Vec<u8>>;

    /// An empty buffer to fill as a bag: one that came back from its receiver, or a new one.
    fn empty_bag(&mut self) -> Vec<u8>;

    /// Hands over what this turn has staged. Batches complete in the order of their names.
    fn submit(&mut self, batch: Batch) -> Submitted;
}
