//! The kinds of fault that the world knows, and how often each really had its effect: a cut that
//! came after the connection was gone, or a slow reader to whom nothing was sent, does not count.

use std::fmt;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Fault {
    /// The connection broke at some byte from the client to the broker.
    CutUp,
    /// The connection broke at some byte from the broker to the client.
    CutDown,
    /// A client stopped and started again with what it had stored.
    RestartWithState,
    /// A client stopped and started again with nothing.
    RestartWithoutState,
    /// A client did not read, and the broker could not write.
    SlowReader,
    /// A client vanished without a word, and only a timer or a takeover told the broker.
    HalfOpen,
    /// A second connection with a client identifier that was in use.
    Takeover,
    /// A read ended in the middle of a packet.
    PartialRead,
    /// A write took a part of what there was.
    PartialWrite,
    /// A batch completed after other turns of its shard.
    LateCommit,
    /// A bag found its ring full.
    RingFull,
    /// A shard was woken and had nothing to do.
    SpuriousWakeup,
    /// Bytes of one connection were taken before bytes of another that were sent earlier.
    Reordering,
    /// Time jumped over a deadline.
    TimeJump,
    /// A client broke the protocol and was disconnected.
    Misbehaviour,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 15] = [
        Fault::CutUp,
        Fault::CutDown,
        Fault::RestartWithState,
        Fault::RestartWithoutState,
        Fault::SlowReader,
        Fault::HalfOpen,
        Fault::Takeover,
        Fault::PartialRead,
        Fault::PartialWrite,
        Fault::LateCommit,
        Fault::RingFull,
        Fault::SpuriousWakeup,
        Fault::Reordering,
        Fault::TimeJump,
        Fault::Misbehaviour,
    ];

    /// As the summary names it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::CutUp => "connection cut, client to broker",
            Fault::CutDown => "connection cut, broker to client",
            Fault::RestartWithState => "client restart with its state",
            Fault::RestartWithoutState => "client restart without state",
            Fault::SlowReader => "slow reader",
            Fault::HalfOpen => "half-open connection",
            Fault::Takeover => "takeover",
            Fault::PartialRead => "partial read",
            Fault::PartialWrite => "partial write",
            Fault::LateCommit => "late commit",
            Fault::RingFull => "ring full",
            Fault::SpuriousWakeup => "spurious wake-up",
            Fault::Reordering => "reordering between connections",
            Fault::TimeJump => "time jump over a deadline",
            Fault::Misbehaviour => "protocol violation",
        }
    }
}

/// How often each kind had its effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; Fault::ALL.len()]);

impl FaultCounts {
    /// It happened.
    pub fn hit(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often it happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &FaultCounts) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            writeln!(f, "  {:<34} {:>12}", fault.name(), self.of(fault))?;
        }
        Ok(())
    }
}
