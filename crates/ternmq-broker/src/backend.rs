//! Where the changes of a turn go before what depends on them may leave.
//!
//! So far sessions live in memory only, and a change is as durable as it will ever be once it is
//! made. A backend that takes its time answers `Later` and completes in order.

use ternmq_engine::{Batch, CommitId, Submitted};

/// Takes the batches of one shard.
#[derive(Debug)]
pub enum Backend {
    /// Nothing survives the process.
    Memory,
}

impl Backend {
    /// Takes what a turn has staged. Never blocks.
    pub fn submit(&mut self, _batch: Batch) -> Submitted {
        match self {
            Backend::Memory => Submitted::Done,
        }
    }

    /// The next batch that became durable since it was submitted, in order.
    pub fn poll_committed(&mut self) -> Option<CommitId> {
        match self {
            Backend::Memory => None,
        }
    }
}
