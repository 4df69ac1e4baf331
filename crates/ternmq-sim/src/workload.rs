//! What happens in a run, drawn from its seed before it begins: who the clients are, what their
//! applications want and when, and which faults strike. A schedule is plain data, so that it can be
//! printed and cut down.

use ternmq_proto::packet::{RetainHandling, SubscriptionOptions};
use ternmq_proto::{Qos, Version};

use crate::client::{Command, Profile, Wanted, WillProfile};
use crate::config::Config;
use crate::history::{ClientNo, FilterNo, History, Message, MessageNo, TopicNo};
use crate::link::Side;
use crate::rng::Rng;

/// Something that is done to a client or to the world.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// The application wants something.
    Command(ClientNo, Command),
    /// The connection breaks after some more bytes from one side.
    Cut {
        /// Whose connection.
        client: ClientNo,
        /// Whose bytes.
        writer: Side,
        /// How many more arrive.
        bytes: u64,
    },
    /// The process of the client ends, and another starts after a time.
    Restart {
        /// Which.
        client: ClientNo,
        /// Whether what it had stored is there.
        with_state: bool,
        /// Without a word: the broker is not told by the network.
        silently: bool,
        /// Microseconds.
        away: u64,
    },
    /// The client connects again while its connection still stands.
    Overtake(ClientNo),
    /// The client reads nothing for a time.
    Stall {
        /// Which.
        client: ClientNo,
        /// Microseconds.
        duration: u64,
    },
    /// Nothing moves, and time goes on.
    TimeJump {
        /// Microseconds.
        duration: u64,
    },
}

/// When what happens.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Who takes part.
    pub profiles: Vec<Profile>,
    /// In order.
    pub actions: Vec<(u64, Action)>,
}

const TOPICS: [&str; 8] = ["a", "a/b", "a/c", "a/b/d", "e/f", "g", "e/f/h", "a//b"];
const FILTERS: [&str; 12] =
    ["a", "a/b", "a/c", "e/f", "g", "a/#", "a/+", "+/b", "#", "+/+", "e/#", "a/+/d"];
const SHARES: [&str; 4] = ["$share/s/a/#", "$share/s/e/f", "$share/t/a/b", "$share/s/+"];

/// Draws everything from the seed of the configuration. The messages, topics and filters go into
/// the history.
pub fn draw(config: &Config, history: &mut History) -> Schedule {
    let mut rng = Rng::seeded(config.seed ^ 0x776f_726b_6c6f_6164);
    let topics = rng.between(2, TOPICS.len() as u64) as usize;
    history.topics = TOPICS[..topics].iter().map(|it| (*it).to_owned()).collect();
    history.topics.extend((0..config.clients).map(|client| format!("w/{client}")));
    for filter in FILTERS.iter().chain(&SHARES).chain(&["w/#"]) {
        history.add_filter(filter);
    }
    let profiles =
        (0..config.clients).map(|no| profile(&mut rng, config, ClientNo(no), topics)).collect();
    let mut writer = Writer { rng, config, history, topics, profiles, now: 0, actions: Vec::new() };
    writer.write();
    Schedule { profiles: writer.profiles, actions: writer.actions }
}

fn profile(rng: &mut Rng, config: &Config, no: ClientNo, topics: usize) -> Profile {
    let version = [Version::V5, Version::V311, Version::V31][rng.weighted(&[6, 3, 1])];
    let v5 = version.has_properties();
    let life = rng.weighted(&[11, 4, 5]);
    let is_driven = life == 0 && version != Version::V31 && rng.chance(250);
    let small = v5 && config.may_drop && rng.chance(150);
    Profile {
        no,
        id: format!("c{}-{}", no.0, rng.below(1_000)),
        version,
        always_clean: life == 2,
        expiry_seconds: match (v5, life) {
            (true, 0) => rng.pick(&[u32::MAX, 3_600]),
            (true, 1) => rng.between(1, 6) as u32,
            _ => 0,
        },
        keep_alive_seconds: if rng.chance(400) { rng.between(1, 4) as u16 } else { 0 },
        receive_maximum: if v5 { rng.skewed(1, 20) as u16 } else { u16::MAX },
        packet_bytes_max: small.then(|| rng.between(40, 120) as u32),
        alias_maximum: if v5 { rng.pick(&[0, 1, 4]) } else { 0 },
        uses_aliases: v5 && rng.chance(500),
        ack_delay: rng.pick(&[0, 100, 5_000, 40_000]),
        reconnect_delay: rng.skewed(1_000, 100_000),
        will: (!is_driven && rng.chance(400)).then(|| WillProfile {
            topic: TopicNo(topics as u16 + no.0),
            qos: qos(rng, [1, 2, 2]),
            retain: rng.chance(200),
            delay_seconds: if v5 { rng.pick(&[0, 0, 1, 4]) } else { 0 },
        }),
        is_driven,
    }
}

fn qos(rng: &mut Rng, weights: [u64; 3]) -> Qos {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][rng.weighted(&weights)]
}

struct Writer<'a> {
    rng: Rng,
    config: &'a Config,
    history: &'a mut History,
    topics: usize,
    profiles: Vec<Profile>,
    now: u64,
    actions: Vec<(u64, Action)>,
}

impl Writer<'_> {
    fn write(&mut self) {
        for client in 0..self.config.clients {
            for _ in 0..self.rng.between(0, 2) {
                let command = self.subscribe(ClientNo(client));
                self.push(Action::Command(ClientNo(client), command));
            }
        }
        let mut commands = self.actions.len() as u32;
        while commands < self.config.operations {
            self.now += self.rng.skewed(20, self.config.pace);
            let client = ClientNo(self.rng.below(u64::from(self.config.clients)) as u16);
            let command = self.command(client);
            self.push(Action::Command(client, command));
            commands += 1;
            if self.rng.chance(self.config.faults) {
                let fault = self.fault();
                self.push(fault);
            }
        }
    }

    fn push(&mut self, action: Action) {
        self.actions.push((self.now, action));
    }

    fn command(&mut self, client: ClientNo) -> Command {
        match self.rng.weighted(&[800, 90, 40, 40, 10, 1]) {
            0 => self.publish(client),
            1 => self.subscribe(client),
            2 => Command::Unsubscribe(FilterNo(self.rng.index(self.history.filters.len()) as u16)),
            3 => self.disconnect(client),
            _ if self.config.faults == 0 => self.publish(client),
            4 => Command::Misbehave(self.rng.below(4) as u8),
            _ => Command::Flood(self.rng.skewed(50, 40_000) as u16),
        }
    }

    fn publish(&mut self, client: ClientNo) -> Command {
        let v5 = self.profile(client).version.has_properties();
        let retain = self.rng.chance(self.config.retain);
        let clears = retain && v5 && self.rng.chance(200);
        let expires = v5 && !clears && self.rng.chance(self.config.expiry);
        let topic = TopicNo(self.rng.index(self.topics) as u16);
        let message = Message {
            publisher: client,
            topic,
            qos: qos(&mut self.rng, self.config.qos),
            retain,
            clears,
            expiry_seconds: expires.then(|| self.rng.between(1, 5) as u32),
            payload_bytes: if clears { 0 } else { self.rng.skewed(10, 200) as u32 },
            is_will: false,
        };
        Command::Publish(self.history.add_message(message))
    }

    fn profile(&self, client: ClientNo) -> &Profile {
        &self.profiles[usize::from(client.0)]
    }

    fn subscribe(&mut self, client: ClientNo) -> Command {
        let filter = FilterNo(self.rng.index(self.history.filters.len()) as u16);
        let shared = self.history.filter(filter).share.is_some();
        let v5 = self.profile(client).version.has_properties();
        let mut options = SubscriptionOptions::from(qos(&mut self.rng, [1, 3, 4]));
        if v5 {
            options.no_local = !shared && self.rng.chance(150);
            options.retain_as_published = self.rng.chance(200);
            options.retain_handling =
                [RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]
                    [self.rng.weighted(&[6, 2, 1])];
        }
        let identifier = if v5 && self.rng.chance(500) { self.rng.between(1, 30) } else { 0 };
        Command::Subscribe(Wanted { filter, options, identifier: identifier as u32 })
    }

    fn disconnect(&mut self, client: ClientNo) -> Command {
        let profile = self.profile(client);
        let v5 = profile.version.has_properties();
        // The agent does not forget a session that it has told the broker to forget.
        let shortens = v5 && profile.expiry_seconds > 0 && !profile.is_driven;
        let away = if self.rng.chance(100) {
            self.rng.between(500_000, 5_000_000)
        } else {
            self.rng.skewed(500, 100_000)
        };
        Command::Disconnect {
            with_will: v5 && self.rng.chance(300),
            expiry_seconds: (shortens && self.rng.chance(100)).then(|| self.rng.pick(&[0, 1, 3])),
            away,
        }
    }

    fn fault(&mut self) -> Action {
        let client = ClientNo(self.rng.below(u64::from(self.config.clients)) as u16);
        match self.rng.weighted(&[24, 24, 10, 6, 14, 8, 10, 4]) {
            0 => Action::Cut { client, writer: Side::Client, bytes: self.rng.skewed(1, 400) },
            1 => Action::Cut { client, writer: Side::Broker, bytes: self.rng.skewed(1, 400) },
            2 => self.restart(client, true, false),
            3 => self.restart(client, false, false),
            4 => Action::Stall { client, duration: self.rng.skewed(1_000, 400_000) },
            5 => self.restart(client, true, true),
            6 => Action::Overtake(client),
            _ => Action::TimeJump { duration: self.rng.skewed(10_000, 4_000_000) },
        }
    }

    fn restart(&mut self, client: ClientNo, with_state: bool, silently: bool) -> Action {
        // Long enough for the keep alive to run out, where nobody else tells the broker.
        let away = if silently && self.rng.chance(300) {
            self.rng.between(1_500_000, 8_000_000)
        } else {
            self.rng.skewed(200, 200_000)
        };
        Action::Restart { client, with_state, silently, away }
    }
}

/// The will message of a connection that is about to be made.
pub fn will_message(profile: &Profile, history: &mut History) -> Option<MessageNo> {
    let will = profile.will?;
    Some(history.add_message(Message {
        publisher: profile.no,
        topic: will.topic,
        qos: will.qos,
        retain: will.retain,
        clears: false,
        expiry_seconds: None,
        payload_bytes: 20,
        is_will: true,
    }))
}
