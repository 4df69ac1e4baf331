//! Random schedules against a correct server: whatever is cut, delayed or restarted, QoS 1 arrives
//! at least once and in order, QoS 2 exactly once and in order, in both directions, and nothing is
//! left over at the end.
//!
//! `TERNMQ_SEED=n cargo test -p ternmq-agent --test delivery` runs one schedule.

mod pair;

use std::collections::{BTreeMap, BTreeSet};

use pair::Pair;
use ternmq_agent::{
    AckToken, Acknowledge, Event, LinkState, Options, Publish, PublishId, Reconnect,
};
use ternmq_proto::{Property, Qos, ReasonCode, Version};

const SCHEDULES: u64 = 3_000;
const OPERATIONS: usize = 300;
const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const LEVELS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

#[test]
fn qos_1_at_least_once_and_qos_2_exactly_once_whatever_happens() {
    if let Ok(seed) = std::env::var("TERNMQ_SEED") {
        Schedule::new(seed.parse().expect("TERNMQ_SEED is a number")).run();
        return;
    }
    let mut faults = BTreeMap::new();
    for seed in 0..SCHEDULES {
        let told = Replay(seed);
        let mut schedule = Schedule::new(seed);
        schedule.run();
        std::mem::forget(told);
        for (fault, count) in schedule.faults {
            *faults.entry(fault).or_insert(0) += count;
        }
    }
    println!("{faults:?}");
    assert!(faults.values().all(|count| *count > SCHEDULES), "a fault hardly happens: {faults:?}");
}

/// Says how to get a failure again.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        eprintln!("TERNMQ_SEED={} cargo test -p ternmq-agent --test delivery", self.0);
    }
}

/// The random numbers of a schedule: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

struct Schedule {
    random: Random,
    pair: Pair,
    by_token: bool,
    /// How many were published, by QoS.
    sent: [u32; 3],
    sent_by_server: [u32; 3],
    /// What the application was done with, by QoS.
    processed: [Vec<u32>; 3],
    /// In the order of arrival, by QoS.
    arrived: [Vec<u32>; 3],
    tokens: Vec<(AckToken, Qos, u32)>,
    results: BTreeMap<PublishId, u32>,
    accepted: BTreeSet<PublishId>,
    restarts: u32,
    faults: BTreeMap<&'static str, u64>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let version = VERSIONS[random.below(3)];
        let by_token = random.below(2) == 0;
        let options = Options {
            receive_maximum: 1 + random.below(6) as u16,
            send_maximum: Some(1 + random.below(8) as u16),
            unread_events_max: 1 + random.below(10),
            acknowledge: if by_token { Acknowledge::ByToken } else { Acknowledge::WhenTaken },
            reconnect: Reconnect::default().retry_first(true),
            ..Pair::persistent_options(version)
        };
        let mut pair = Pair::new(options);
        if version == Version::V5 {
            pair.server.manners.connack.push(Property::TopicAliasMaximum(random.below(4) as u16));
            let maximum = 1 + random.below(6) as u16;
            pair.server.manners.connack.push(Property::ReceiveMaximum(maximum));
        }
        Schedule {
            random,
            pair,
            by_token,
            sent: [0; 3],
            sent_by_server: [0; 3],
            processed: Default::default(),
            arrived: Default::default(),
            tokens: Vec::new(),
            results: BTreeMap::new(),
            accepted: BTreeSet::new(),
            restarts: 0,
            faults: BTreeMap::new(),
        }
    }

    fn run(&mut self) {
        // The server has the session from here on.
        self.pair.agent.connect(0);
        self.pair.drive();
        for _ in 0..OPERATIONS {
            self.operate();
            self.digest();
        }
        self.heal();
        self.check();
    }

    fn operate(&mut self) {
        match self.random.below(100) {
            0..25 => self.publish(),
            25..45 => self.publish_by_server(),
            45..60 => {
                let (to_server, to_client) = (self.random.below(40), self.random.below(40));
                self.pair.trickle(to_server, to_client);
                self.fault("trickle");
            }
            60..75 => {
                self.pair.poll();
            }
            75..82 => {
                self.pair.step();
            }
            82..88 => self.cut(),
            88..90 => self.restart(),
            90..92 => {
                self.pair.reachable = !self.pair.reachable;
                self.fault("unreachable");
            }
            92..96 => {
                if let Some(at) = self.pair.agent.poll_timeout() {
                    self.pair.advance_to(at);
                }
            }
            _ => self.acknowledge_one(),
        }
    }

    fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_insert(0) += 1;
    }

    fn publish(&mut self) {
        let level = self.random.below(3);
        let topic = ["a", "b/c", "a/long/topic"][self.random.below(3)];
        let publish = Publish::new(topic, self.sent[level].to_be_bytes()).qos(LEVELS[level]);
        let id = self.pair.agent.publish(self.pair.now, publish).expect("there is room");
        assert!(self.accepted.insert(id), "an identifier twice");
        self.sent[level] += 1;
    }

    fn publish_by_server(&mut self) {
        let level = self.random.below(3);
        let payload = self.sent_by_server[level].to_be_bytes();
        self.pair.server.publish("t", &payload, LEVELS[level]);
        self.sent_by_server[level] += 1;
    }

    fn cut(&mut self) {
        if self.pair.up {
            self.fault("cut");
            let (to_server, to_client) = (self.random.below(60), self.random.below(60));
            self.pair.cut_after(to_server, to_client);
        }
    }

    fn restart(&mut self) {
        self.fault("restart");
        self.restarts += 1;
        self.tokens.clear();
        self.pair.restart_client();
    }

    fn acknowledge_one(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let index = self.random.below(self.tokens.len());
        if index > 0 {
            self.fault("acknowledged out of order");
        }
        let (token, qos, number) = self.tokens.swap_remove(index);
        // A stale token: the message comes again.
        if self.pair.agent.acknowledge(self.pair.now, token, ReasonCode::Success) {
            self.processed[usize::from(qos.bits())].push(number);
        }
    }

    /// Writes down what the application was told.
    fn digest(&mut self) {
        for event in std::mem::take(&mut self.pair.events) {
            match event {
                Event::Message { message, token } => {
                    let level = usize::from(message.qos.bits());
                    let number = u32::from_be_bytes(message.payload.try_into().expect("a number"));
                    self.arrived[level].push(number);
                    match token {
                        Some(token) => self.tokens.push((token, message.qos, number)),
                        None => self.processed[level].push(number),
                    }
                }
                Event::Published { id, result } => {
                    result.expect("nothing may be lost");
                    *self.results.entry(id).or_insert(0) += 1;
                }
                _ => {}
            }
        }
    }

    /// No more faults: everything has to come to its end.
    fn heal(&mut self) {
        self.pair.reachable = true;
        for _ in 0..10_000 {
            self.pair.drive();
            self.digest();
            if self.tokens.is_empty() {
                break;
            }
            while !self.tokens.is_empty() {
                self.acknowledge_one();
            }
        }
        assert!(self.pair.agent.is_connected());
        // A PUBREC that was due can have been the last thing; let it be answered.
        self.pair.drive();
        self.digest();
    }

    fn check(&self) {
        let server = &self.pair.server;
        let mut received: [Vec<u32>; 3] = Default::default();
        for message in &server.received {
            let number = u32::from_be_bytes(message.payload.clone().try_into().expect("a number"));
            received[usize::from(message.qos.bits())].push(number);
        }
        check_at_most_once(&received[0]);
        check_at_least_once(&received[1], self.sent[1]);
        check_exactly_once(&received[2], self.sent[2]);
        check_at_most_once(&self.arrived[0]);
        check_at_least_once(&self.arrived[1], self.sent_by_server[1]);
        check_at_least_once(&self.arrived[2], self.sent_by_server[2]);
        let mut processed = self.processed[2].clone();
        if self.by_token {
            processed.sort_unstable();
        }
        check_exactly_once(&processed, self.sent_by_server[2]);
        assert!(self.results.values().all(|count| *count == 1), "a result was told twice");
        if self.restarts == 0 {
            let told: BTreeSet<_> = self.results.keys().copied().collect();
            assert_eq!(told, self.accepted, "a result was not told");
        }
        let agent = &self.pair.agent;
        assert_eq!((agent.unfinished(), agent.unfinished_bytes()), (0, 0));
        assert_eq!((agent.unacknowledged(), agent.held_identifiers()), (0, 0));
        assert_eq!((server.unfinished(), server.held()), (0, 0));
        assert!(matches!(agent.state(), LinkState::Connected));
    }
}

/// QoS 0: some are missing, none is repeated or out of order.
fn check_at_most_once(got: &[u32]) {
    assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
}

/// QoS 1: all are there, and each came before the next for the first time.
fn check_at_least_once(got: &[u32], count: u32) {
    let mut expected = 0;
    for &number in got {
        assert!(number <= expected, "{number} came before {expected}: {got:?}");
        expected = expected.max(number + 1);
    }
    assert_eq!(expected, count, "{got:?}");
}

fn check_exactly_once(got: &[u32], count: u32) {
    assert!(got.iter().copied().eq(0..count), "{count} were sent: {got:?}");
}
