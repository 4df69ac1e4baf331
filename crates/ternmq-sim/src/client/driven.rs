//! A client on the agent that we ship: what it resends, when it reconnects and what it remembers is
//! the agent's decision; this file is only its application and its transport.

use std::time::Duration;

use ternmq_agent::{Agent, Event, Offline, Options, Publish, Reconnect, SessionLost, Transmit};
use ternmq_proto::{Property, PropertyBuf, Version};

use super::{Command, Profile, Stop, Surroundings, Wanted, Wishes};
use crate::history::{self, Delivered, History, MessageNo};
use crate::link::{NEVER, Reading, Side};
use crate::rng::Rng;

/// The client.
#[derive(Debug)]
pub struct Driven {
    profile: Profile,
    rng: Rng,
    agent: Option<Agent>,
    wanted: Vec<Wanted>,
    /// The agent has asked for a transport and not got it yet.
    opening: bool,
    /// Bytes that the link has not taken.
    leaving: Vec<u8>,
    /// Close the link when they have left.
    ends: bool,
    /// The application starts the agent at this time.
    start_at: u64,
    stalled_until: u64,
}

impl Driven {
    /// A client that connects for the first time at `start_at`.
    pub fn new(profile: Profile, start_at: u64, mut rng: Rng) -> Self {
        let agent = Agent::new(options(&profile), rng.bits()).ok();
        Driven {
            profile,
            rng,
            agent,
            wanted: Vec::new(),
            opening: false,
            leaving: Vec::new(),
            ends: false,
            start_at,
            stalled_until: 0,
        }
    }

    /// What it is like.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Whether it has a connection that the broker has accepted.
    pub fn is_open(&self) -> bool {
        self.agent.as_ref().is_some_and(Agent::is_connected)
    }

    /// Whether it has nothing to do: connected, nothing in flight, nothing wanted.
    pub fn is_settled(&self) -> bool {
        self.leaving.is_empty()
            && self.agent.as_ref().is_some_and(|agent| {
                agent.is_connected()
                    && agent.unfinished() == 0
                    && agent.unanswered_requests() == 0
                    && agent.held_identifiers() == 0
            })
    }

    /// Whether something waits for room in its link.
    pub fn wants_to_write(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Before this time it does not read.
    pub fn reads_at(&self) -> u64 {
        self.stalled_until
    }

    /// What it is left with, for a report.
    pub fn describe(&self) -> String {
        let agent = self.agent.as_ref();
        format!(
            "{:?} (agent) {:?} opening={} leaving={} unfinished={:?} unanswered={:?} held={:?}",
            self.profile.no,
            agent.map(Agent::state),
            self.opening,
            self.leaving.len(),
            agent.map(Agent::unfinished),
            agent.map(Agent::unanswered_requests),
            agent.map(Agent::held_identifiers),
        )
    }

    /// The application wants something.
    pub fn command(&mut self, now: u64, command: Command, history: &History) {
        match command {
            Command::Publish(number) => self.publish(now, number, history),
            Command::Subscribe(wanted) => {
                self.wanted.retain(|it| it.filter != wanted.filter);
                self.wanted.push(wanted);
                self.subscribe(wanted, history);
            }
            Command::Unsubscribe(filter) => {
                self.wanted.retain(|it| it.filter != filter);
                let filters = vec![history.filter(filter).text.clone()];
                if let Some(agent) = &mut self.agent {
                    agent
                        .unsubscribe(filters, PropertyBuf::new())
                        .expect("the workload names valid filters");
                }
            }
            Command::Disconnect { with_will, expiry_seconds, away } => {
                self.disconnect(now, with_will, expiry_seconds);
                self.start_at = now + away;
            }
            // The agent cannot be made to.
            Command::Misbehave(_) | Command::Flood(_) => {}
        }
    }

    fn publish(&mut self, now: u64, number: MessageNo, history: &History) {
        let message = history.message(number);
        let topic = history.topics[usize::from(message.topic.0)].clone();
        let mut publish = Publish::new(topic, history::payload(number, message))
            .qos(message.qos)
            .retain(message.retain);
        publish.properties = history::properties(number, message, self.profile.version);
        if let Some(agent) = &mut self.agent {
            agent.publish(now, publish).expect("the outbox is large enough for a run");
        }
    }

    fn subscribe(&mut self, wanted: Wanted, history: &History) {
        let mut properties = PropertyBuf::new();
        let mut options = wanted.options;
        if self.profile.version.has_properties() {
            if wanted.identifier > 0 {
                properties.push(Property::SubscriptionIdentifier(wanted.identifier));
            }
        } else {
            options = options.qos.into();
        }
        let filter = history.filter(wanted.filter).text.clone();
        if let Some(agent) = &mut self.agent {
            agent
                .subscribe(vec![(filter, options)], properties)
                .expect("the workload asks only for what the version can say");
        }
    }

    fn disconnect(&mut self, now: u64, with_will: bool, expiry_seconds: Option<u32>) {
        let mut properties = PropertyBuf::new();
        let mut code = ternmq_proto::ReasonCode::Success;
        if self.profile.version.has_properties() {
            if let Some(seconds) = expiry_seconds {
                properties.push(Property::SessionExpiryInterval(seconds));
            }
            if with_will {
                code = ternmq_proto::ReasonCode::DisconnectWithWill;
            }
        }
        if let Some(agent) = &mut self.agent {
            agent.disconnect(now, code, &properties).expect("the code is one of DISCONNECT's");
        }
        self.opening = false;
    }

    /// The process stops, or makes a second connection; it connects again after `away`.
    pub fn stop(&mut self, now: u64, how: Stop, away: u64, history: &History) {
        self.leaving.clear();
        self.ends = false;
        self.opening = false;
        self.stalled_until = 0;
        self.start_at = now + away;
        if how == Stop::Overtake {
            if let Some(agent) = &mut self.agent {
                agent.handle_closed(now, None);
            }
            return;
        }
        let durable = self.agent.take().map(Agent::into_durable);
        let seed = self.rng.bits();
        let options = options(&self.profile);
        // A 3.x client that wants its session kept cannot ask for a new one.
        let keeps = how == Stop::KeepState || !self.profile.version.has_properties();
        self.agent = match durable {
            Some(durable) if keeps => Agent::resume(options, seed, durable).ok(),
            _ => Agent::new(options, seed).ok(),
        };
        if !keeps {
            self.wanted.clear();
        }
        for wanted in self.wanted.clone() {
            self.subscribe(wanted, history);
        }
    }

    /// The application reads nothing before this time.
    pub fn stall(&mut self, until: u64) {
        self.stalled_until = until;
    }

    /// It has a connection now, and says CONNECT on it.
    pub fn connected(&mut self, now: u64) {
        self.opening = false;
        self.leaving.clear();
        self.ends = false;
        if let Some(agent) = &mut self.agent {
            agent.handle_connected(now);
        }
    }

    /// Reads, lets the agent think, writes.
    pub fn wake(&mut self, around: &mut Surroundings<'_>) -> Wishes {
        let now = around.now;
        if self.start_at <= now {
            self.start_at = NEVER;
            if let Some(agent) = &mut self.agent {
                agent.connect(now);
            }
        }
        let mut hang_up = self.read(around);
        if let Some(agent) = &mut self.agent
            && agent.poll_timeout().is_some_and(|at| at <= now)
        {
            agent.handle_timeout(now);
        }
        self.take_events(around);
        self.transmit(around);
        hang_up |= self.flush(around);
        Wishes { connect: self.opening, hang_up, wake_at: self.next_wake(around) }
    }

    /// Whether the link is gone.
    fn read(&mut self, around: &mut Surroundings<'_>) -> bool {
        let (Some(link), Some(agent)) = (around.link.as_deref_mut(), &mut self.agent) else {
            return false;
        };
        if around.now < self.stalled_until {
            return false;
        }
        let (bytes, reading) = link.readable(around.now, Side::Client);
        let count = bytes.len();
        if count > 0 && agent.wants_bytes() {
            agent.handle_bytes(around.now, bytes);
            link.consume(Side::Client, count);
        }
        if reading == Reading::Open {
            return false;
        }
        agent.handle_closed(around.now, None);
        link.abort(around.now, Side::Client);
        self.leaving.clear();
        self.ends = false;
        true
    }

    fn take_events(&mut self, around: &mut Surroundings<'_>) {
        let Some(agent) = &mut self.agent else { return };
        while let Some(event) = agent.poll_event(around.now) {
            let Event::Message { message, .. } = event else { continue };
            let number = history::message_in(&message.payload, message.properties.as_properties());
            if let (Some(number), Some((connection, _))) = (number, around.connection) {
                let delivered = Delivered {
                    connection,
                    message: number,
                    qos: message.qos,
                    retain: message.retain,
                };
                around.history.push(around.now, history::Event::Delivered(delivered));
            }
        }
    }

    fn transmit(&mut self, around: &mut Surroundings<'_>) {
        let Some(agent) = &mut self.agent else { return };
        while self.leaving.len() < LEAVING_MAX {
            match agent.poll_transmit(around.now) {
                Some(Transmit::Open) => self.opening = true,
                Some(Transmit::Bytes(bytes)) => self.leaving.extend_from_slice(&bytes),
                Some(Transmit::Close) => self.ends = true,
                None => return,
            }
        }
    }

    /// Whether the link was closed.
    fn flush(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(link) = around.link.as_deref_mut() else { return false };
        let taken = link.write(around.now, Side::Client, &self.leaving);
        self.leaving.drain(..taken);
        if !self.ends {
            return false;
        }
        if self.leaving.is_empty() {
            link.finish(around.now, Side::Client);
        } else {
            link.abort(around.now, Side::Client);
        }
        self.leaving.clear();
        self.ends = false;
        true
    }

    fn next_wake(&mut self, around: &mut Surroundings<'_>) -> u64 {
        let timeout = self.agent.as_ref().and_then(Agent::poll_timeout).unwrap_or(NEVER);
        let readable = around.link.as_deref_mut().map_or(NEVER, |it| it.poll_timeout(Side::Client));
        let wants = self.agent.as_ref().is_some_and(Agent::wants_bytes);
        let readable = if wants { readable.max(self.stalled_until) } else { NEVER };
        self.start_at.min(timeout.max(around.now + 1)).min(readable)
    }
}

/// Bytes that may wait for the link before the agent is asked for more.
const LEAVING_MAX: usize = 2_048;

fn options(profile: &Profile) -> Options {
    let v5 = profile.version == Version::V5;
    Options {
        version: profile.version,
        client_id: profile.id.clone(),
        clean_start: v5,
        session_expiry_seconds: if v5 { profile.expiry_seconds } else { 0 },
        keep_alive_seconds: profile.keep_alive_seconds,
        receive_maximum: profile.receive_maximum,
        topic_alias_maximum: profile.alias_maximum,
        send_alias_maximum: if profile.uses_aliases { 4 } else { 0 },
        offline: Offline::DropQos0,
        // What was in flight in a lost session may have arrived: to publish it again would not be
        // exactly once.
        session_lost: SessionLost::Fail,
        reconnect: Reconnect {
            first: Duration::from_micros(profile.reconnect_delay.max(1)),
            max: Duration::from_micros(profile.reconnect_delay.max(1) * 4),
            retry_first: true,
            ..Reconnect::default()
        },
        ..Options::default()
    }
}
