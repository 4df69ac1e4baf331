//! What a seed means: how many shards and clients, how narrow the rings, how late the commits, how
//! bad the network. One line says all of it.

use std::fmt;

use ternmq_engine::{Overflow, Settings};

use crate::link::Path;
use crate::rng::Rng;

/// The configuration of a run. Times in microseconds, chances per mille.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything comes from.
    pub seed: u64,
    /// Application commands in the schedule; faults come in addition.
    pub operations: u32,
    /// Clients, the auditor not counted.
    pub clients: u16,
    /// Of the engine; the number of shards is in it.
    pub settings: Settings,
    /// Bags on a ring.
    pub ring_bags: usize,
    /// Bags that a shard takes in a turn.
    pub turn_bags: u64,
    /// Packets that a connection may have handled in a turn.
    pub turn_packets: u32,
    /// Bytes that a shard reads from a connection in a turn.
    pub read_bytes: u64,
    /// Longest time from a wake-up to the turn.
    pub turn_delay: u64,
    /// Whether a batch completes later than at once.
    pub late_commit: u64,
    /// Longest time until it does.
    pub commit_delay: u64,
    /// Whether a turn is followed by one that nobody asked for.
    pub spurious: u64,
    /// Whether a write takes only a part.
    pub partial_write: u64,
    /// Longest pause between two operations.
    pub pace: u64,
    /// Weights of QoS 0, 1, 2.
    pub qos: [u64; 3],
    /// Publishes with RETAIN.
    pub retain: u64,
    /// Publishes with a message expiry.
    pub expiry: u64,
    /// Operations that are followed by a fault.
    pub faults: u64,
    /// The worst path of a client.
    pub path: Path,
    /// Whether bounds are so small that messages may be dropped.
    pub may_drop: bool,
}

impl Config {
    /// What this seed means.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let shards = rng.between(1, 4) as u16;
        let may_drop = rng.chance(120);
        Config {
            seed,
            operations: rng.between(200, 240) as u32,
            clients: rng.between(3, 8) as u16,
            settings: settings(&mut rng, shards, may_drop),
            ring_bags: rng.skewed(1, 8) as usize,
            turn_bags: rng.skewed(1, 16),
            turn_packets: rng.skewed(1, 32) as u32,
            read_bytes: rng.skewed(8, 2_048),
            turn_delay: rng.skewed(10, 2_000),
            late_commit: rng.pick(&[0, 200, 700, 1_000]),
            commit_delay: rng.skewed(50, 20_000),
            spurious: rng.pick(&[0, 20, 100]),
            partial_write: rng.pick(&[0, 100, 500]),
            pace: rng.skewed(1_000, 30_000),
            qos: rng.pick(&[[2, 4, 4], [1, 1, 1], [0, 1, 1], [1, 6, 1], [1, 1, 6]]),
            retain: rng.pick(&[0, 100, 400]),
            expiry: rng.pick(&[0, 0, 50, 200]),
            faults: rng.pick(&[0, 40, 100, 160]),
            path: Path {
                latency: rng.skewed(20, 10_000),
                jitter: rng.skewed(10, 10_000),
                bytes_per_ms: rng.skewed(50, 5_000),
                window: rng.skewed(64, 4_096) as usize,
            },
            may_drop,
        }
    }
}

fn settings(rng: &mut Rng, shards: u16, may_drop: bool) -> Settings {
    let mut settings = Settings {
        shards,
        seed: rng.bits(),
        packet_bytes_max: 4_096,
        receive_maximum: rng.skewed(2, 32) as u16,
        inflight_max: rng.skewed(1, 32) as u16,
        topic_alias_maximum: rng.pick(&[0, 2, 8]),
        topic_alias_out_max: rng.pick(&[0, 2, 8]),
        lane_credit: rng.skewed(1, 64) as u32,
        outbox_max: rng.skewed(2, 64) as u32,
        share_window: rng.skewed(1, 16) as u32,
        output_high_bytes: rng.skewed(128, 8_192) as u32,
        output_max_bytes: 1 << 16,
        ..Settings::default()
    };
    if may_drop {
        settings.queue_messages_max = rng.skewed(1, 16) as u32;
        settings.queue_bytes_max = rng.skewed(1_024, 65_536);
        settings.overflow =
            rng.pick(&[Overflow::DropNewest, Overflow::DropOldest, Overflow::Refuse]);
        settings.output_max_bytes = settings.output_high_bytes + rng.skewed(64, 4_096) as u32;
        settings.slow_consumer_wait_ms = rng.skewed(1, 250) as u32;
        if rng.chance(250) {
            settings.memory_bytes_max = rng.skewed(2_048, 65_536);
        }
    }
    settings
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        let [qos0, qos1, qos2] = self.qos;
        write!(
            f,
            "seed={:#x} shards={} clients={} operations={} faults={}‰ qos={qos0}/{qos1}/{qos2} \
             retain={}‰ expiry={}‰ pace={}us ring={} credit={} bags={} packets={} read={} \
             turn={}us commit={}‰/{}us spurious={}‰ partial_write={}‰ path={}+{}us/{}B/ms/{}B \
             receive_maximum={} inflight={} aliases={}/{} outbox={} share_window={} \
             output={}/{} drop={} queue={}/{}B/{:?} slow={}ms memory={}B",
            self.seed,
            settings.shards,
            self.clients,
            self.operations,
            self.faults,
            self.retain,
            self.expiry,
            self.pace,
            self.ring_bags,
            settings.lane_credit,
            self.turn_bags,
            self.turn_packets,
            self.read_bytes,
            self.turn_delay,
            self.late_commit,
            self.commit_delay,
            self.spurious,
            self.partial_write,
            self.path.latency,
            self.path.jitter,
            self.path.bytes_per_ms,
            self.path.window,
            settings.receive_maximum,
            settings.inflight_max,
            settings.topic_alias_maximum,
            settings.topic_alias_out_max,
            settings.outbox_max,
            settings.share_window,
            settings.output_high_bytes,
            settings.output_max_bytes,
            self.may_drop,
            settings.queue_messages_max,
            settings.queue_bytes_max,
            settings.overflow,
            settings.slow_consumer_wait_ms,
            settings.memory_bytes_max,
        )
    }
}
