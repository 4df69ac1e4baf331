//! A client that keeps its own books: what is in flight, which identifiers it holds, what it wants
//! to be subscribed to. It obeys the standard; only [`Command::Misbehave`] does not.

mod books;
mod packets;

use std::collections::VecDeque;

use ternmq_proto::packet::{Ack, Packet, Publish};
use ternmq_proto::{PacketId, Properties, Qos, ReasonCode, Version, frame};

use super::{Command, Profile, Stop, Surroundings, Wishes};
use crate::history::{self, Delivered, Event, MessageNo};
use crate::link::{NEVER, Reading, Side};
use crate::rng::Rng;
use books::{Books, Step, Todo};

/// The client.
#[derive(Debug)]
pub struct Plain {
    profile: Profile,
    rng: Rng,
    books: Books,
    live: Option<Live>,
    /// When it connects next.
    connect_at: u64,
    /// The application does not read before this time.
    stalled_until: u64,
    /// The next connection has to start a new session.
    must_clean: bool,
}

/// One connection.
#[derive(Debug)]
struct Live {
    is_open: bool,
    arrived: Vec<u8>,
    leaving: Vec<u8>,
    /// Close when everything has left.
    ends: bool,
    /// QoS > 0 messages that may still be sent.
    quota: u16,
    alias_maximum: u16,
    aliases: Vec<history::TopicNo>,
    /// Acknowledgements that wait for their time.
    acknowledgements: VecDeque<(u64, Step)>,
    last_written: u64,
    keep_alive: u64,
}

impl Plain {
    /// A client that connects for the first time at `connect_at`.
    pub fn new(profile: Profile, connect_at: u64, rng: Rng) -> Self {
        let must_clean = profile.always_clean;
        Plain {
            profile,
            rng,
            books: Books::default(),
            live: None,
            connect_at,
            stalled_until: 0,
            must_clean,
        }
    }

    /// What it is like.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Whether it has nothing to do: connected, nothing in flight, nothing wanted.
    pub fn is_settled(&self) -> bool {
        self.books.is_settled()
            && self.live.as_ref().is_some_and(|live| {
                live.is_open && live.leaving.is_empty() && live.acknowledgements.is_empty()
            })
    }

    /// Whether it has a connection that the broker has accepted.
    pub fn is_open(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_open)
    }

    /// Whether something waits for room in its link.
    pub fn wants_to_write(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.leaving.is_empty())
    }

    /// Before this time it does not read.
    pub fn reads_at(&self) -> u64 {
        self.stalled_until
    }

    /// What it is left with, for a report.
    pub fn describe(&self) -> String {
        format!("{:?} open={} {:?}", self.profile.no, self.is_open(), self.books)
    }

    /// The application wants something.
    pub fn command(&mut self, now: u64, command: Command, history: &history::History) {
        match command {
            Command::Publish(number) => {
                let waits = history.message(number).qos > Qos::AtMostOnce;
                if waits || self.is_open() {
                    self.books.todo.push_back(Todo::Publish(number));
                }
            }
            Command::Subscribe(wanted) => self.books.want(wanted),
            Command::Unsubscribe(filter) => self.books.unwant(filter),
            Command::Disconnect { with_will, expiry_seconds, away } => {
                self.say_goodbye(now, with_will, expiry_seconds);
                self.connect_at = now + away;
            }
            Command::Misbehave(kind) => {
                if let Some(live) = self.live.as_mut().filter(|live| live.is_open) {
                    packets::put_nonsense(&mut live.leaving, kind);
                }
            }
            Command::Flood(count) => {
                if let Some(live) = self.live.as_mut().filter(|live| live.is_open) {
                    for _ in 0..count {
                        packets::put_pingreq(&mut live.leaving, self.profile.version);
                    }
                    self.stalled_until = now + FLOOD_STALL;
                }
            }
        }
    }

    fn say_goodbye(&mut self, now: u64, with_will: bool, expiry_seconds: Option<u32>) {
        let Some(live) = &mut self.live else { return };
        if live.is_open {
            let code = if with_will { ReasonCode::DisconnectWithWill } else { ReasonCode::Success };
            packets::put_disconnect(&mut live.leaving, self.profile.version, code, expiry_seconds);
            live.last_written = now;
        }
        live.ends = true;
    }

    /// The process stops, or makes a second connection; it connects again after `away`.
    pub fn stop(&mut self, now: u64, how: Stop, away: u64) {
        self.live = None;
        self.connect_at = now + away;
        self.stalled_until = 0;
        if how == Stop::LoseState {
            self.books = Books::default();
            self.must_clean = true;
        }
    }

    /// The application reads nothing before this time.
    pub fn stall(&mut self, until: u64) {
        self.stalled_until = until;
    }

    /// It has a connection now, and says CONNECT on it.
    pub fn connected(&mut self, now: u64, will: Option<MessageNo>, history: &history::History) {
        let mut live = Live {
            is_open: false,
            arrived: Vec::new(),
            leaving: Vec::new(),
            ends: false,
            quota: 0,
            alias_maximum: 0,
            aliases: Vec::new(),
            acknowledgements: VecDeque::new(),
            last_written: now,
            keep_alive: u64::from(self.profile.keep_alive_seconds) * 1_000_000,
        };
        let clean = self.must_clean || self.profile.always_clean;
        packets::put_connect(&mut live.leaving, &self.profile, clean, will, history);
        self.live = Some(live);
        self.connect_at = NEVER;
    }

    /// Reads, thinks, writes.
    pub fn wake(&mut self, around: &mut Surroundings<'_>) -> Wishes {
        let mut hang_up = false;
        if self.live.is_some() {
            let reading = self.read(around);
            self.send_due(around.now);
            self.send_wanted(around);
            self.keep_alive(around.now);
            self.flush(around);
            let ends = self.live.as_ref().is_some_and(|live| live.ends);
            if ends || reading != Reading::Open {
                self.end(around, reading);
                hang_up = true;
            }
        }
        Wishes {
            connect: self.live.is_none() && self.connect_at <= around.now,
            hang_up,
            wake_at: self.next_wake(around),
        }
    }

    fn end(&mut self, around: &mut Surroundings<'_>, reading: Reading) {
        let Some(live) = self.live.take() else { return };
        if let Some(link) = around.link.as_deref_mut() {
            if live.leaving.is_empty() && reading != Reading::Failed {
                link.finish(around.now, Side::Client);
            } else {
                link.abort(around.now, Side::Client);
            }
        }
        if self.connect_at == NEVER {
            self.connect_at = around.now + self.rng.skewed(100, self.profile.reconnect_delay);
        }
    }

    fn read(&mut self, around: &mut Surroundings<'_>) -> Reading {
        if around.now < self.stalled_until {
            return Reading::Open;
        }
        let (Some(link), Some(live)) = (around.link.as_deref_mut(), &mut self.live) else {
            return Reading::Failed;
        };
        let (bytes, reading) = link.readable(around.now, Side::Client);
        let count = bytes.len();
        live.arrived.extend_from_slice(bytes);
        link.consume(Side::Client, count);
        let arrived = std::mem::take(&mut live.arrived);
        let taken = self.handle_all(around, &arrived);
        if let Some(live) = &mut self.live {
            live.arrived = arrived;
            live.arrived.drain(..taken);
        }
        reading
    }

    fn handle_all(&mut self, around: &mut Surroundings<'_>, arrived: &[u8]) -> usize {
        let mut taken = 0;
        while let Ok(Some((length, frame))) = frame::split(&arrived[taken..], u32::MAX) {
            taken += length;
            // What the broker writes is judged at its edge; here an undecodable packet is skipped.
            if let Ok(packet) = Packet::decode(self.profile.version, frame) {
                self.handle(around, packet);
            }
        }
        taken
    }

    fn handle(&mut self, around: &mut Surroundings<'_>, packet: Packet<'_>) {
        let now = around.now;
        match packet {
            Packet::Connack(connack) if connack.code.is_error() => self.leave(),
            Packet::Connack(connack) => {
                self.welcome(around, connack.session_present, connack.properties);
            }
            Packet::Publish(publish) => self.receive(around, publish),
            Packet::Pubrel(Ack { packet_id, .. }) => {
                let step = Step::Pubcomp(packet_id, self.books.let_go(packet_id));
                self.answer(now, step);
            }
            Packet::Puback(ack) | Packet::Pubcomp(ack) => self.finish(ack.packet_id),
            Packet::Pubrec(ack) if ack.code.is_error() => self.finish(ack.packet_id),
            Packet::Pubrec(ack) => {
                let step = Step::Pubrel(ack.packet_id, self.books.release(ack.packet_id));
                self.answer(now, step);
            }
            Packet::Suback(suback) => self.books.answered(suback.packet_id),
            Packet::Unsuback(unsuback) => self.books.answered(unsuback.packet_id),
            Packet::Disconnect(_) => self.leave(),
            _ => {}
        }
    }

    fn leave(&mut self) {
        if let Some(live) = &mut self.live {
            live.ends = true;
        }
    }

    fn finish(&mut self, id: PacketId) {
        let gives_back = self.books.finish(id);
        if let Some(live) = &mut self.live {
            live.quota += u16::from(gives_back);
        }
    }

    fn receive(&mut self, around: &mut Surroundings<'_>, publish: Publish<'_>) {
        let exactly_once = publish.qos == Qos::ExactlyOnce;
        let id = publish.packet_id;
        let is_new = !exactly_once || id.is_some_and(|id| self.books.hold(id));
        let message = history::message_in(publish.payload, publish.properties);
        if let (true, Some(message), Some((connection, _))) = (is_new, message, around.connection) {
            let (qos, retain) = (publish.qos, publish.retain);
            let delivered = Delivered { connection, message, qos, retain };
            around.history.push(around.now, Event::Delivered(delivered));
        }
        if let Some(id) = id {
            let step = if exactly_once { Step::Pubrec(id) } else { Step::Puback(id) };
            self.answer(around.now, step);
        }
    }

    /// CONNACK came: either the session goes on, or everything begins anew.
    fn welcome(&mut self, around: &mut Surroundings<'_>, present: bool, terms: Properties<'_>) {
        let session = around.connection.map(|(_, session)| session);
        let Some(live) = &mut self.live else { return };
        live.is_open = true;
        self.must_clean = self.profile.always_clean;
        live.quota = terms.receive_maximum().unwrap_or(QUOTA_V3).min(QUOTA_V3);
        live.alias_maximum = terms.topic_alias_maximum().unwrap_or(0);
        if let Some(seconds) = terms.server_keep_alive() {
            live.keep_alive = u64::from(seconds) * 1_000_000;
        }
        let version = self.profile.version;
        // A session that began on a connection whose CONNACK never came would be taken for the old
        // one: MQTT cannot tell them apart, the world can. And MQTT 3.1 tells nothing at all.
        let continues = present || version == Version::V31;
        if continues && session == self.books.session {
            live.quota -= self.books.resend(&mut live.leaving, version, live.quota, around.history);
        } else {
            self.books.begin(session);
        }
    }

    fn answer(&mut self, now: u64, step: Step) {
        let due = now + self.rng.below(self.profile.ack_delay + 1);
        if let Some(live) = &mut self.live {
            // Acknowledgements leave in the order of what they acknowledge.
            let due = live.acknowledgements.back().map_or(due, |(last, _)| due.max(*last));
            live.acknowledgements.push_back((due, step));
        }
    }

    fn send_due(&mut self, now: u64) {
        let version = self.profile.version;
        let Some(live) = &mut self.live else { return };
        while let Some((_, step)) = live.acknowledgements.front().filter(|(due, _)| *due <= now) {
            packets::put_step(&mut live.leaving, version, *step);
            live.acknowledgements.pop_front();
        }
    }

    fn send_wanted(&mut self, around: &Surroundings<'_>) {
        let Some(live) = self.live.as_mut().filter(|live| live.is_open && !live.ends) else {
            return;
        };
        while let Some(todo) = self.books.todo.front().copied() {
            if live.leaving.len() > LEAVING_MAX {
                return;
            }
            let counts = match todo {
                Todo::Publish(number) => around.history.message(number).qos > Qos::AtMostOnce,
                _ => false,
            };
            if counts && live.quota == 0 {
                return;
            }
            live.quota -= u16::from(counts);
            self.books.todo.pop_front();
            let aliases = (self.profile.uses_aliases && live.alias_maximum > 0)
                .then_some((&mut live.aliases, live.alias_maximum));
            let version = self.profile.version;
            self.books.send(&mut live.leaving, version, todo, aliases, around.history);
        }
    }

    fn keep_alive(&mut self, now: u64) {
        let Some(live) = &mut self.live else { return };
        let due = live.keep_alive > 0 && now >= live.last_written + live.keep_alive / 2;
        if live.is_open && due && live.leaving.is_empty() {
            packets::put_pingreq(&mut live.leaving, self.profile.version);
        }
    }

    fn flush(&mut self, around: &mut Surroundings<'_>) {
        let (Some(link), Some(live)) = (around.link.as_deref_mut(), &mut self.live) else { return };
        let taken = link.write(around.now, Side::Client, &live.leaving);
        if taken > 0 {
            live.leaving.drain(..taken);
            live.last_written = around.now;
        }
    }

    fn next_wake(&mut self, around: &mut Surroundings<'_>) -> u64 {
        let Some(live) = &self.live else { return self.connect_at };
        let acknowledgement = live.acknowledgements.front().map_or(NEVER, |(due, _)| *due);
        let ping = match live.keep_alive {
            0 => NEVER,
            keep_alive => (live.last_written + keep_alive / 2).max(around.now + keep_alive / 8),
        };
        let readable = around.link.as_deref_mut().map_or(NEVER, |it| it.poll_timeout(Side::Client));
        acknowledgement.min(ping).min(readable.max(self.stalled_until))
    }
}

/// How long a client that floods does not read, in microseconds.
const FLOOD_STALL: u64 = 200_000;
/// QoS > 0 messages in flight where the broker announces nothing.
const QUOTA_V3: u16 = 16;
/// Bytes that may wait for the link before nothing new is said.
const LEAVING_MAX: usize = 2_048;
