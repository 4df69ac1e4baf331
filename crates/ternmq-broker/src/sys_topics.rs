//! The `$SYS` topics: the broker's figures as retained messages, named as mosquitto's users know
//! them, and below `$SYS/broker/dropped` the messages that were dropped, by reason.
//!
//! Published by one shard, from what all shards have hung out on their boards. Clients may read
//! them like any topic; that they cannot write them is the engine's rule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ternmq_engine::{DropReason, Node, Now, Stats};
use ternmq_proto::Qos;

use crate::board::{self, Board};
use crate::clock::micros;
use crate::hand_off::Seats;

/// Publishes the topics every now and then.
pub struct SysTopics {
    boards: Arc<[Arc<Board>]>,
    interval_us: u64,
    /// When to publish next, in microseconds of the monotonic clock.
    next: u64,
    /// What the engine had no room for yet.
    pending: VecDeque<(String, String)>,
    started: Option<u64>,
    seats: Arc<Seats>,
    loads: Vec<Load>,
}

impl SysTopics {
    /// For the figures on `boards`, and the most clients that sat on `seats`; `None` when they are not wanted at all.
    pub fn new(
        boards: Arc<[Arc<Board>]>,
        seats: Arc<Seats>,
        interval: Duration,
    ) -> Option<SysTopics> {
        (!interval.is_zero()).then(|| SysTopics {
            boards,
            interval_us: micros(interval),
            next: 0,
            pending: VecDeque::new(),
            started: None,
            seats,
            loads: LOADS.iter().map(|(name, figure)| Load::new(name, *figure)).collect(),
        })
    }

    /// When there is something to do again.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Publishes what is due; what the engine has no room for follows in a later turn.
    pub fn publish_if_due(&mut self, now: Now, node: &mut Node) {
        if now.mono < self.next {
            return;
        }
        if self.pending.is_empty() {
            let stats = board::sum(self.boards.iter().map(|it| &**it));
            self.pending = self.topics(&stats, now);
        }
        while let Some((topic, payload)) = self.pending.front() {
            if !node.publish_local(topic, payload.as_bytes(), Qos::AtMostOnce, true) {
                self.next = now.mono + RETRY_US;
                return;
            }
            self.pending.pop_front();
        }
        self.next = now.mono + self.interval_us;
    }

    fn topics(&mut self, stats: &Stats, now: Now) -> VecDeque<(String, String)> {
        let is_first = self.started.is_none();
        let started = *self.started.get_or_insert(now.mono);
        let uptime_seconds = (now.mono - started) / 1_000_000;
        let mut topics = VecDeque::new();
        let mut say = |name: &str, value: String| {
            topics.push_back((format!("$SYS/broker/{name}"), value));
        };
        say("uptime", format!("{uptime_seconds} seconds"));
        say("clients/maximum", self.seats.most().to_string());
        for (name, figure) in FIGURES {
            say(name, figure(stats).to_string());
        }
        for reason in DropReason::ALL {
            say(&format!("dropped/{}", reason.name()), stats.dropped_for(reason).to_string());
        }
        if is_first {
            say("version", format!("ternmq version {}", env!("CARGO_PKG_VERSION")));
        }
        let elapsed_seconds = self.interval_us as f64 / 1e6;
        for load in &mut self.loads {
            let averages = load.update(stats, elapsed_seconds, is_first);
            for (minutes, average) in LOAD_MINUTES.iter().zip(averages) {
                say(&format!("load/{}/{minutes}min", load.name), format!("{average:.2}"));
            }
        }
        topics
    }
}

/// How many of something happen in a minute, averaged over the last one, five and fifteen: each
/// interval's rate counts less the older it is.
struct Load {
    name: &'static str,
    figure: Figure,
    last: u64,
    averages: [f64; 3],
}

impl Load {
    fn new(name: &'static str, figure: Figure) -> Load {
        Load { name, figure, last: 0, averages: [0.0; 3] }
    }

    fn update(&mut self, stats: &Stats, elapsed_seconds: f64, is_first: bool) -> [f64; 3] {
        let count = (self.figure)(stats);
        let per_minute = count.saturating_sub(self.last) as f64 * 60.0 / elapsed_seconds;
        self.last = count;
        if !is_first {
            for (average, minutes) in self.averages.iter_mut().zip(LOAD_MINUTES) {
                let weight_of_old = (-elapsed_seconds / (60.0 * minutes as f64)).exp();
                *average = per_minute + weight_of_old * (*average - per_minute);
            }
        }
        self.averages
    }
}

type Figure = fn(&Stats) -> u64;

const FIGURES: &[(&str, Figure)] = &[
    ("clients/total", |it| it.sessions),
    ("clients/connected", |it| it.connections),
    ("clients/disconnected", |it| it.sessions.saturating_sub(it.connections)),
    ("messages/received", |it| it.packets_received),
    ("messages/sent", |it| it.packets_sent),
    ("publish/messages/received", |it| it.publish_received.iter().sum()),
    ("publish/messages/sent", |it| it.publish_sent.iter().sum()),
    ("publish/messages/dropped", |it| it.dropped.iter().sum()),
    ("bytes/received", |it| it.bytes_received),
    ("bytes/sent", |it| it.bytes_sent),
    ("subscriptions/count", |it| it.subscriptions),
    ("retained messages/count", |it| it.retained),
    ("store/messages/count", |it| it.queued),
    ("store/messages/bytes", |it| it.message_bytes),
];

const LOADS: &[(&str, Figure)] = &[
    ("messages/received", |it| it.packets_received),
    ("messages/sent", |it| it.packets_sent),
    ("publish/received", |it| it.publish_received.iter().sum()),
    ("publish/sent", |it| it.publish_sent.iter().sum()),
    ("publish/dropped", |it| it.dropped.iter().sum()),
    ("bytes/received", |it| it.bytes_received),
    ("bytes/sent", |it| it.bytes_sent),
    ("connections", |it| it.connects),
];

const LOAD_MINUTES: [u32; 3] = [1, 5, 15];
const RETRY_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn topics_of(stats: Stats, seconds: &[u64]) -> VecDeque<(String, String)> {
        let board = Arc::new(Board::default());
        let mut sys = SysTopics::new(Arc::from([board]), Seats::new(9), Duration::from_secs(10))
            .expect("wanted");
        let mut last = VecDeque::new();
        for second in seconds {
            last = sys.topics(&stats, Now { mono: second * 1_000_000, wall: 0 });
        }
        last
    }

    fn value<'a>(topics: &'a VecDeque<(String, String)>, name: &str) -> Option<&'a str> {
        let topic = format!("$SYS/broker/{name}");
        topics.iter().find(|it| it.0 == topic).map(|it| it.1.as_str())
    }

    #[test]
    fn figures_appear_under_the_names_that_people_know() {
        let stats = Stats {
            sessions: 5,
            connections: 3,
            publish_sent: [1, 2, 3],
            dropped: [7, 0, 0, 0, 0, 0, 0, 0],
            ..Stats::default()
        };
        let topics = topics_of(stats, &[2]);
        assert_eq!(value(&topics, "clients/connected"), Some("3"));
        assert_eq!(value(&topics, "clients/disconnected"), Some("2"));
        assert_eq!(value(&topics, "publish/messages/sent"), Some("6"));
        assert_eq!(value(&topics, "publish/messages/dropped"), Some("7"));
        assert_eq!(value(&topics, "dropped/expired"), Some("7"));
        assert_eq!(value(&topics, "uptime"), Some("0 seconds"));
        assert!(value(&topics, "version").is_some());
    }

    #[test]
    fn the_version_is_said_once_and_uptime_grows() {
        let topics = topics_of(Stats::default(), &[2, 12]);
        assert_eq!(value(&topics, "uptime"), Some("10 seconds"));
        assert_eq!(value(&topics, "version"), None);
    }

    #[test]
    fn a_steady_load_is_approached_by_its_averages() {
        let mut load = Load::new("x", |it| it.bytes_sent);
        let mut bytes_sent = 0;
        let mut averages = [0.0; 3];
        for turn in 0..720 {
            bytes_sent += 100;
            let stats = Stats { bytes_sent, ..Stats::default() };
            averages = load.update(&stats, 10.0, turn == 0);
        }
        for average in averages {
            assert!((590.0..=600.0).contains(&average), "{average} of 600 a minute");
        }
    }

    #[test]
    fn an_interval_of_nothing_means_never() {
        assert!(SysTopics::new(Arc::from([]), Seats::new(9), Duration::ZERO).is_none());
    }
}
