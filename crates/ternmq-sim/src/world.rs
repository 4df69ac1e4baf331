//! The simulated world: clients, links, the broker's shards, and one clock that goes from event to
//! event. Everything in it comes from one seed; nothing in it waits for anything real.
//!
//! A run has two phases. In the *safety* phase the schedule is played with its faults. In the
//! *liveness* phase nothing new goes wrong: everybody connects again, and everything that was begun
//! has to come to its end within a bounded time. At last an auditor asks for every retained message.

use ternmq_engine::{Overflow, partition_of_topic, shard_of};
use ternmq_proto::packet::{Connect, SubscriptionOptions};
use ternmq_proto::{Qos, Version, frame};

use crate::broker::{self, Broker};
use crate::client::{AnyClient, Command, Profile, Stop, Surroundings, Wanted};
use crate::config::Config;
use crate::fault::Fault;
use crate::history::ClientNo;
use crate::link::{Link, NEVER, Path, Side};
use crate::record::Record;
use crate::rng::Rng;
use crate::wire::{BrokerEnd, Stall, Wire};
use crate::workload::{self, Action};

/// The world may need this long to come to rest, in microseconds.
const LIVENESS_MAX: u64 = 600_000_000;
/// And this many events.
const EVENTS_MAX: u64 = 3_000_000;
/// So long after everything has come to rest, every will and expiry has been due.
const QUIET: u64 = 8_000_000;

/// What a run is stopped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Safety,
    Liveness,
    Quiet,
    Audit,
    Over,
}

/// The world.
pub struct World {
    config: Config,
    now: u64,
    phase: Phase,
    phase_began: u64,
    events: u64,
    until: u64,
    broker: Broker,
    wires: Vec<Wire>,
    clients: Vec<Slot>,
    actions: std::vec::IntoIter<(u64, Action)>,
    next_action: Option<(u64, Action)>,
    lobby_due: u64,
    record: Record,
    rng: Rng,
}

/// A client with its place in the world.
struct Slot {
    client: AnyClient,
    path: Path,
    wire: Option<usize>,
    due: u64,
}

impl World {
    /// The world of a configuration; it stops at `until`, if not before.
    pub fn new(config: &Config, until: u64) -> Self {
        let mut record = Record::default();
        record.history.may_drop = config.may_drop;
        record.history.refuses = config.may_drop && config.settings.overflow == Overflow::Refuse;
        let schedule = workload::draw(config, &mut record.history);
        record.history.shards = usize::from(config.settings.shards);
        let mut rng = Rng::seeded(config.seed ^ 0x0077_6f72_6c64);
        let shards = config.settings.shards;
        let home = |topic: &String| shard_of(partition_of_topic(topic), shards).0;
        record.history.topic_shards = record.history.topics.iter().map(home).collect();
        let clients = schedule
            .profiles
            .iter()
            .map(|profile| Slot::new(config, profile.clone(), &mut rng))
            .collect();
        let mut actions = schedule.actions.into_iter();
        World {
            config: config.clone(),
            now: 0,
            phase: Phase::Safety,
            phase_began: 0,
            events: 0,
            until,
            broker: Broker::new(config, rng.fork()),
            wires: Vec::new(),
            clients,
            next_action: actions.next(),
            actions,
            lobby_due: NEVER,
            record,
            rng,
        }
    }

    /// Runs to the end. Returns what was written down, and the time.
    pub fn run(mut self) -> (Record, u64) {
        while self.phase != Phase::Over && self.now < self.until {
            self.step();
            self.advance();
        }
        if self.phase == Phase::Over {
            self.check_nodes();
        }
        let dropped = self.broker.nodes().map(|node| node.stats().dropped.iter().sum::<u64>());
        self.record.history.dropped = dropped.sum();
        (self.record, self.now)
    }

    /// The next thing that happens.
    fn step(&mut self) {
        self.events += 1;
        let (turn_at, shard) = self.broker.next();
        let clients = self.clients.iter().enumerate().map(|(index, slot)| (slot.due, index));
        let (wake_at, client) = clients.min().unwrap_or((NEVER, 0));
        let action_at = self.next_action.map_or(NEVER, |(at, _)| at);
        let at = turn_at.min(wake_at).min(action_at).min(self.lobby_due);
        let patience = match self.phase {
            Phase::Quiet | Phase::Audit => QUIET + 1,
            _ => LIVENESS_MAX + 1,
        };
        if at > self.phase_began + patience && self.is_at_rest() {
            self.now = self.phase_began + patience;
            return;
        }
        self.now = self.now.max(at);
        if at == action_at {
            self.act();
        } else if at == turn_at {
            self.turn(shard);
        } else if at == wake_at {
            self.wake(client);
        } else {
            self.lobby();
        }
    }

    fn turn(&mut self, shard: usize) {
        let written =
            self.broker.turn(&self.config, shard, self.now, &mut self.wires, &mut self.record);
        for number in written {
            let wire = &mut self.wires[number];
            let at = wire.link.poll_timeout(Side::Client);
            let slot = &mut self.clients[usize::from(wire.client.0)];
            if slot.wire == Some(number) {
                slot.wake_at(at);
            }
        }
        self.wake_writers();
    }

    /// Clients with something to write may find room now.
    fn wake_writers(&mut self) {
        for slot in &mut self.clients {
            if let Some(number) = slot.wire {
                let link = &mut self.wires[number].link;
                if slot.client.wants_to_write() && link.room(Side::Client) > 0 {
                    slot.wake_at(self.now + 1);
                }
                slot.wake_at(link.poll_timeout(Side::Client).max(slot.client.reads_at()));
            }
        }
    }

    fn wake(&mut self, index: usize) {
        let slot = &mut self.clients[index];
        slot.due = NEVER;
        let number = slot.wire;
        let wire = number.map(|number| &mut self.wires[number]);
        let (link, connection) = match wire {
            Some(wire) => (Some(&mut wire.link), wire.session),
            None => (None, None),
        };
        let mut around =
            Surroundings { now: self.now, history: &mut self.record.history, link, connection };
        let wishes = slot.client.wake(&mut around);
        slot.wake_at(wishes.wake_at.max(self.now + 1));
        if wishes.hang_up {
            slot.wire = None;
        }
        if let Some(number) = number {
            self.wires[number].note_cut(&mut self.record);
            self.wake_broker_end(number);
        }
        if wishes.connect {
            self.connect(index);
        }
    }

    /// The broker may have something to read on this wire, or room to write.
    fn wake_broker_end(&mut self, number: usize) {
        let wire = &mut self.wires[number];
        match &wire.broker {
            BrokerEnd::Lobby => {
                self.lobby_due = self.lobby_due.min(wire.link.poll_timeout(Side::Broker))
            }
            BrokerEnd::Served(served) => {
                let shard =
                    usize::from(self.record.history.connection(served.edge.connection()).shard);
                let at = wire.next_for_broker(self.now);
                if at != NEVER {
                    self.broker.wake(&self.config, shard, at);
                }
            }
            BrokerEnd::HandedOver | BrokerEnd::Closed => {}
        }
    }

    fn connect(&mut self, index: usize) {
        let slot = &mut self.clients[index];
        let will = workload::will_message(slot.client.profile(), &mut self.record.history);
        let link = Link::new(slot.path, self.rng.fork());
        let client = slot.client.profile().no;
        self.drop_stale(client);
        let slot = &mut self.clients[index];
        slot.wire = Some(self.wires.len());
        self.wires.push(Wire::new(client, link));
        slot.client.connected(self.now, will, &self.record.history);
        slot.wake_at(self.now);
    }

    /// A CONNECT for a new session that its client has given up must not be handled after a later
    /// one of the same client: no client could make sense of what it finds then.
    fn drop_stale(&mut self, client: ClientNo) {
        for wire in self.wires.iter_mut().filter(|wire| wire.client == client) {
            if matches!(wire.broker, BrokerEnd::Lobby | BrokerEnd::HandedOver) {
                wire.broker = BrokerEnd::Closed;
            }
        }
    }

    /// The lobby reads until it has a CONNECT.
    fn lobby(&mut self) {
        self.lobby_due = NEVER;
        for number in 0..self.wires.len() {
            let wire = &mut self.wires[number];
            if !matches!(wire.broker, BrokerEnd::Lobby) {
                continue;
            }
            let reading = wire.receive(self.now, u64::MAX, &mut self.record);
            let connect = match frame::split(&wire.unread, self.config.settings.packet_bytes_max) {
                Ok(Some((_, frame))) => Connect::decode(frame).ok(),
                _ => None,
            };
            if let Some(connect) = connect {
                let shard = broker::home(&self.config, connect.client_id);
                wire.broker = BrokerEnd::HandedOver;
                self.broker.hand_over(&self.config, self.now, number, shard);
            } else if reading != crate::link::Reading::Open {
                wire.broker = BrokerEnd::Closed;
            } else {
                self.lobby_due = self.lobby_due.min(wire.link.poll_timeout(Side::Broker));
            }
        }
        if self.lobby_due <= self.now {
            self.lobby_due = self.now + 1;
        }
        self.wake_writers();
    }

    fn act(&mut self) {
        let Some((_, action)) = self.next_action.take() else { return };
        self.next_action = self.actions.next();
        self.record.mix(self.now);
        match action {
            Action::Command(client, command) => self.command(client, command),
            Action::Cut { client, writer, bytes } => {
                if let Some(number) = self.slot(client).wire {
                    self.wires[number].link.cut_after(writer, bytes);
                }
            }
            Action::Restart { client, with_state, silently, away } => {
                self.restart(client, with_state, silently, away);
            }
            Action::Overtake(client) => {
                let slot = self.slot(client);
                if slot.client.is_open() {
                    slot.wire = None;
                    self.stop(client, Stop::Overtake, 0);
                }
            }
            Action::Stall { client, duration } => {
                let until = self.now + duration;
                let slot = self.slot(client);
                slot.client.stall(until);
                if let Some(number) = slot.wire {
                    self.wires[number].stall = Stall::Stalled;
                }
            }
            Action::TimeJump { duration } => {
                let jumped = self.now + duration;
                if self.broker.next_deadline() <= jumped {
                    self.record.faults.hit(Fault::TimeJump);
                }
                self.now = jumped;
            }
        }
    }

    fn slot(&mut self, client: ClientNo) -> &mut Slot {
        &mut self.clients[usize::from(client.0)]
    }

    fn command(&mut self, client: ClientNo, command: Command) {
        let (now, slot) = (self.now, &mut self.clients[usize::from(client.0)]);
        if let (Command::Misbehave(_), Some(number), true) =
            (command, slot.wire, slot.client.is_open())
        {
            self.wires[number].has_misbehaved = true;
        }
        slot.client.command(now, command, &self.record.history);
        slot.wake_at(now);
    }

    fn restart(&mut self, client: ClientNo, with_state: bool, silently: bool, away: u64) {
        let now = self.now;
        let Some(number) = self.slot(client).wire.take() else { return };
        let wire = &mut self.wires[number];
        if silently {
            wire.link.vanish();
            wire.is_dark = true;
        } else {
            wire.link.abort(now, Side::Client);
            self.wake_broker_end(number);
        }
        let how = if with_state { Stop::KeepState } else { Stop::LoseState };
        self.record.faults.hit(match with_state {
            true => Fault::RestartWithState,
            false => Fault::RestartWithoutState,
        });
        self.stop(client, how, away);
    }

    fn stop(&mut self, client: ClientNo, how: Stop, away: u64) {
        let slot = &mut self.clients[usize::from(client.0)];
        slot.client.stop(self.now, how, away, &self.record.history);
        slot.due = self.now + away;
    }

    // -- phases --

    fn advance(&mut self) {
        let waited = self.now - self.phase_began;
        let next = match self.phase {
            Phase::Safety => self.next_action.is_none().then_some(Phase::Liveness),
            Phase::Liveness => self.is_at_rest().then_some(Phase::Quiet),
            Phase::Quiet => (waited > QUIET && self.is_at_rest()).then_some(Phase::Audit),
            Phase::Audit => (waited > QUIET && self.is_at_rest()).then_some(Phase::Over),
            Phase::Over => None,
        };
        if let Some(next) = next {
            self.enter(next);
        }
        let stuck = self.phase != Phase::Safety && waited > LIVENESS_MAX;
        if (stuck || self.events > EVENTS_MAX) && self.phase != Phase::Over {
            let what = self.describe();
            let invariant = if stuck { "deadlock" } else { "livelock" };
            self.record.violated(self.now, invariant, what);
            self.phase = Phase::Over;
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_began = self.now;
        match phase {
            Phase::Liveness => self.heal(),
            Phase::Audit => self.audit(),
            _ => {}
        }
    }

    /// Nothing new goes wrong from now on.
    fn heal(&mut self) {
        for wire in &mut self.wires {
            wire.link.heal();
        }
        for slot in &mut self.clients {
            slot.client.stall(0);
            slot.wake_at(self.now);
        }
    }

    /// A client like any other asks for everything that is kept.
    fn audit(&mut self) {
        let no = ClientNo(self.clients.len() as u16);
        self.record.history.auditor = Some(no);
        let filter = self.record.history.filter_no("#").expect("the workload has this filter");
        let mut slot = Slot::new(&self.config, auditor(no), &mut self.rng);
        let options = SubscriptionOptions::from(Qos::ExactlyOnce);
        let wanted = Wanted { filter, options, identifier: 0 };
        slot.client.command(self.now, Command::Subscribe(wanted), &self.record.history);
        slot.due = self.now;
        self.clients.push(slot);
    }

    fn is_at_rest(&mut self) -> bool {
        self.clients.iter().all(|slot| slot.client.is_settled())
            && self.broker.is_idle(&self.wires)
            && self.clients.iter().filter_map(|slot| slot.wire).all(|number| {
                let link = &mut self.wires[number].link;
                !link.carries(Side::Broker) && !link.carries(Side::Client)
            })
    }

    fn describe(&self) -> String {
        let busy: Vec<String> = self
            .clients
            .iter()
            .filter(|slot| !slot.client.is_settled())
            .map(|slot| slot.client.describe())
            .collect();
        let nodes: Vec<String> = self
            .broker
            .nodes()
            .enumerate()
            .filter(|(_, node)| !node.is_idle() || node.stats().queued > 0)
            .map(|(index, node)| format!("s{index} queued={}", node.stats().queued))
            .collect();
        format!("{:?} does not come to rest: {busy:?}; shards with work: {nodes:?}", self.phase)
    }

    /// Everything has drained: no session has an identifier left, nothing is queued.
    fn check_nodes(&mut self) {
        let views: Vec<_> = self.broker.nodes().map(|node| node.view()).collect();
        for view in &views {
            if view.shared_unsent + view.shared_unsettled > 0 {
                let what = format!(
                    "shared groups are left with {} unsent, {} unsettled",
                    view.shared_unsent, view.shared_unsettled
                );
                self.record.violated(self.now, "share-leak", what);
            }
            for session in &view.sessions {
                let clean = session.inflight.is_empty()
                    && session.inbound.is_empty()
                    && session.queued == 0;
                if !clean && session.connected {
                    let what = format!("{session:?}");
                    self.record.violated(self.now, "identifier-leak", what);
                }
            }
        }
    }
}

impl Slot {
    fn new(config: &Config, profile: Profile, rng: &mut Rng) -> Self {
        let worst = config.path;
        let path = Path {
            latency: rng.below(worst.latency + 1),
            jitter: rng.below(worst.jitter + 1),
            ..worst
        };
        let connect_at = rng.below(4_000);
        let client = AnyClient::new(profile, connect_at, rng.fork());
        Slot { client, path, wire: None, due: connect_at }
    }

    fn wake_at(&mut self, at: u64) {
        self.due = self.due.min(at);
    }
}

fn auditor(no: ClientNo) -> Profile {
    Profile {
        no,
        id: "auditor".to_owned(),
        version: Version::V5,
        always_clean: true,
        expiry_seconds: 0,
        keep_alive_seconds: 0,
        receive_maximum: 100,
        packet_bytes_max: None,
        alias_maximum: 0,
        uses_aliases: false,
        ack_delay: 0,
        reconnect_delay: 1_000,
        will: None,
        is_driven: false,
    }
}
