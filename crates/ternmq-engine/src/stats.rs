//! Counters and gauges of one shard. Plain numbers: whoever wants a rate keeps two of them.

/// Why a message was not delivered to somebody who should have had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// It expired before it was sent.
    Expired,
    /// The shard's memory budget was spent.
    Memory,
    /// The queue of the session was full.
    QueueFull,
    /// QoS 0, and the consumer did not read.
    SlowConsumer,
    /// It is larger than the client takes (MQTT-3.1.2-25).
    TooLarge,
    /// A shared message at QoS 2 was sent to a member whose session ended (MQTT-4.8.2-5), or at
    /// QoS 0 to one that left.
    ShareMemberGone,
    /// The session ended with messages still queued.
    SessionEnded,
    /// It was retained, and the retained store is full.
    RetainedFull,
}

impl DropReason {
    /// All reasons, in the order of [`Stats::dropped`].
    pub const ALL: [DropReason; 8] = [
        DropReason::Expired,
        DropReason::Memory,
        DropReason::QueueFull,
        DropReason::SlowConsumer,
        DropReason::TooLarge,
        DropReason::ShareMemberGone,
        DropReason::SessionEnded,
        DropReason::RetainedFull,
    ];

    /// The reason as the last level of a `$SYS` topic.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::Expired => "expired",
            DropReason::Memory => "memory",
            DropReason::QueueFull => "queue-full",
            DropReason::SlowConsumer => "slow-consumer",
            DropReason::TooLarge => "too-large",
            DropReason::ShareMemberGone => "share-member-gone",
            DropReason::SessionEnded => "session-ended",
            DropReason::RetainedFull => "retained-full",
        }
    }
}

/// What one shard counts. Gauges say how many there are now, counters how many there ever were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Gauge: connections after CONNECT.
    pub connections: u64,
    /// Gauge: sessions, connected or not.
    pub sessions: u64,
    /// Gauge: subscriptions, shared ones included.
    pub subscriptions: u64,
    /// Gauge: retained messages.
    pub retained: u64,
    /// Gauge: bytes of retained messages.
    pub retained_bytes: u64,
    /// Gauge: messages in the queues of sessions and shared groups.
    pub queued: u64,
    /// Gauge: bytes of messages held in memory, each counted once.
    pub message_bytes: u64,
    /// Gauge: bytes of sessions, subscriptions and wills.
    pub state_bytes: u64,
    /// Gauge: bytes of output that sockets have not taken yet.
    pub output_bytes: u64,
    /// Gauge: consumers over their wait.
    pub slow_consumers: u64,
    /// Counter: connections accepted.
    pub connects: u64,
    /// Counter: connections that ended because of the peer's protocol errors.
    pub violations: u64,
    /// Counter: connections closed because a keep alive ran out.
    pub keep_alive_timeouts: u64,
    /// Counter: sessions taken over by a second connection.
    pub takeovers: u64,
    /// Counter: PUBLISH packets received, by QoS.
    pub publish_received: [u64; 3],
    /// Counter: PUBLISH packets sent, by QoS.
    pub publish_sent: [u64; 3],
    /// Counter: packets received.
    pub packets_received: u64,
    /// Counter: packets put into the output of a connection.
    pub packets_sent: u64,
    /// Counter: bytes received.
    pub bytes_received: u64,
    /// Counter: bytes sent.
    pub bytes_sent: u64,
    /// Counter: messages dropped, in the order of [`DropReason::ALL`].
    pub dropped: [u64; 8],
    /// Counter: how often a connection waited for credit of another shard.
    pub blocked: u64,
    /// Counter: how often a publisher was paused for a congested consumer.
    pub paused: u64,
    /// Counter: commits submitted.
    pub commits: u64,
}

impl Stats {
    pub(crate) fn drop(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason as usize] += count;
    }

    /// Messages dropped for a reason.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}
