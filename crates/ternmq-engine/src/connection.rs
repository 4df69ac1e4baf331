//! A connection of this shard, from CONNECT to the close of its socket. What outlives it is in
//! [`Session`](crate::session::Session); its bytes on the way in belong to the host.

use ternmq_proto::Version;

use crate::auth::Exchange;
use crate::gate::Gate;
use crate::output::Output;
use crate::slab::Key;

pub struct Connection {
    pub link: ternmq_proto::connection::Connection,
    pub session: Key,
    pub output: Output,
    pub gate: Gate,
    /// One and a half times the keep alive, in microseconds; 0: none.
    pub silence_max: u64,
    /// When the last packet came (monotonic).
    pub heard: u64,
    pub phase: Phase,
    pub wait: Wait,
    /// In the list of connections with something to write.
    pub dirty: bool,
    /// First transmissions that wait for their commit; others must not overtake them.
    pub held_publishes: u32,
    /// The client wants reason strings and user properties on acknowledgements.
    pub problem_information: bool,
    pub exchange: Option<Box<dyn Exchange>>,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// CONNACK waits for the commit of the session's change.
    Accepting,
    Open,
    /// Nothing is read or added any more; the host writes what is left and closes.
    Closing,
}

/// Why a connection's bytes are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    No,
    /// Another shard owes credit, or the outbox is full.
    Credit,
    /// A consumer of its messages is congested; until this monotonic instant.
    Paused(u64),
    /// It does not read what it is answered: until its socket has taken enough of that.
    Output,
}

impl Connection {
    pub fn version(&self) -> Version {
        self.link.version()
    }
}
