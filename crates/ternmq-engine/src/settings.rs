//! What the operator can set about the engine. Plain values: the broker reads them from its
//! configuration, the simulator draws them from its seed.

/// What happens to a message when the queue of a session is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The message is dropped for that session.
    #[default]
    DropNewest,
    /// The oldest queued message of that session makes room.
    DropOldest,
    /// As `DropNewest`, and the publisher is told with 0x97 where its version can say so.
    Refuse,
}

/// Limits and defaults of one shard. Counts and sizes are per session or connection unless the name
/// says otherwise.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shards of this node.
    pub shards: u16,
    /// Seed for hash tables, so that nobody outside can aim at collisions.
    pub seed: u64,
    /// Largest packet taken, in bytes, fixed header included.
    pub packet_bytes_max: u32,
    /// Unacknowledged QoS > 0 PUBLISH packets taken from a client.
    pub receive_maximum: u16,
    /// Unacknowledged QoS > 0 PUBLISH packets sent to a client, whatever it allows.
    pub inflight_max: u16,
    /// Topic aliases taken from a client.
    pub topic_alias_maximum: u16,
    /// Topic aliases used towards a client, whatever it allows.
    pub topic_alias_out_max: u16,
    /// Longest keep alive, in seconds; a longer one or none is answered with this value. 0: no limit.
    pub keep_alive_max_seconds: u16,
    /// Longest session expiry interval, in seconds; `u32::MAX` lets a session live for ever.
    pub session_expiry_max_seconds: u32,
    /// Session expiry of MQTT 3.x clients that ask for a persistent session, in seconds.
    pub session_expiry_v3_seconds: u32,
    /// Expiry of messages whose publisher set none, in seconds. 0: none.
    pub message_expiry_default_seconds: u32,
    /// Longest message expiry, in seconds. 0: no limit.
    pub message_expiry_max_seconds: u32,
    /// Messages queued for a session.
    pub queue_messages_max: u32,
    /// Bytes queued for a session.
    pub queue_bytes_max: u64,
    /// What happens beyond these two.
    pub overflow: Overflow,
    /// Retained messages on this shard.
    pub retained_count_max: u64,
    /// Bytes of retained messages on this shard.
    pub retained_bytes_max: u64,
    /// Subscriptions of a session.
    pub subscriptions_max: u32,
    /// Levels of a topic name or filter.
    pub topic_levels_max: u16,
    /// Bytes of messages and output that this shard may hold.
    pub memory_bytes_max: u64,
    /// Bytes of sessions, subscriptions and wills beyond which there may be no more of them.
    pub state_bytes_max: u64,
    /// Output of a connection beyond which its consumer counts as congested, in bytes.
    pub output_high_bytes: u32,
    /// Output of a connection beyond which QoS 0 messages to it are dropped, in bytes. One packet
    /// more, and nothing is read from it.
    pub output_max_bytes: u32,
    /// How long publishers wait for a congested consumer that still drains, in milliseconds.
    pub slow_consumer_wait_ms: u32,
    /// Requests under way from one shard to another.
    pub lane_credit: u32,
    /// Publications that wait in the shard's outbox for their commit and their way.
    pub outbox_max: u32,
    /// Messages that a shared group has handed to one member and that are not settled.
    pub share_window: u32,
    /// Whether clients may leave the client identifier empty.
    pub assign_client_ids: bool,
    /// First levels of the topic told to clients that ask for response information (section
    /// 3.1.2.11.6); the client identifier follows. Empty: none is told.
    pub response_prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shards: 1,
            seed: 0,
            packet_bytes_max: 8 << 20,
            receive_maximum: 1_024,
            inflight_max: 1_024,
            topic_alias_maximum: 64,
            topic_alias_out_max: 16,
            keep_alive_max_seconds: 0,
            session_expiry_max_seconds: u32::MAX,
            session_expiry_v3_seconds: u32::MAX,
            message_expiry_default_seconds: 0,
            message_expiry_max_seconds: 0,
            queue_messages_max: 100_000,
            queue_bytes_max: 64 << 20,
            overflow: Overflow::DropNewest,
            retained_count_max: 10_000_000,
            retained_bytes_max: 1 << 30,
            subscriptions_max: 10_000,
            topic_levels_max: 128,
            memory_bytes_max: 4 << 30,
            state_bytes_max: 1 << 30,
            output_high_bytes: 256 << 10,
            output_max_bytes: 4 << 20,
            slow_consumer_wait_ms: 250,
            lane_credit: 8_192,
            outbox_max: 65_536,
            share_window: 64,
            assign_client_ids: true,
            response_prefix: "response".to_owned(),
        }
    }
}

/// Hashing with [`Settings::seed`]: fast, and the same in every run of a simulation.
pub(crate) type Hasher = foldhash::fast::FixedState;
