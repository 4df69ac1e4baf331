//! The broker's host in the simulated world: the same order of a turn as the thread of the real
//! broker, over rings that are narrow, commits that are late, sockets that read and write in pieces,
//! and a scheduler that lets any shard wait.

use std::collections::VecDeque;

use ternmq_engine::{
    Attributes, ConnId, Lane, Node, Now, Settings, ShardId, Stop, TurnBudget, partition_of,
    shard_of,
};
use ternmq_proto::packet::Connect;
use ternmq_proto::{Version, frame};

use crate::check::bounds::Bounds;
use crate::config::Config;
use crate::edge::Edge;
use crate::fault::Fault;
use crate::history::{self, Connection, Ending, Event, WillTerms};
use crate::host::{Commits, Rings, TurnHost};
use crate::link::{NEVER, Reading, Side};
use crate::record::Record;
use crate::rng::Rng;
use crate::wire::{BrokerEnd, Served, Wire};

/// What the wall clock shows when the run begins, in microseconds since 1970.
const WALL_START: u64 = 1_800_000_000_000_000;
/// Every so many turns of a shard, its queues are compared with their bounds.
const BOUNDS_EVERY: u64 = 8;
/// How long a socket that is to be closed may take to read what is left for it.
const GRACE: u64 = 1_000_000;

/// All shards, and what is between them.
pub struct Broker {
    shards: Vec<Shard>,
    rings: Rings,
    rng: Rng,
}

/// One shard with its part of the host.
struct Shard {
    node: Node,
    /// When its next turn is.
    due: u64,
    /// Wires that it serves.
    wires: Vec<usize>,
    /// Connections handed over by the lobby, and when they arrive.
    inbox: VecDeque<(u64, usize)>,
    commits: Commits,
    turns: u64,
    /// The last turn left something to do.
    again: bool,
    /// The next turn was not asked for by anything.
    spurious: bool,
}

/// What a turn had to do, to tell a spurious one.
#[derive(Default)]
struct Work {
    bags: u32,
    commits: u32,
    inputs: u32,
}

impl Broker {
    /// A broker without clients.
    pub fn new(config: &Config, mut rng: Rng) -> Self {
        let count = config.settings.shards;
        let shard = |index| Shard {
            node: Node::new(ShardId(index), Settings::clone(&config.settings)),
            due: NEVER,
            wires: Vec::new(),
            inbox: VecDeque::new(),
            commits: Commits::default(),
            turns: 0,
            again: false,
            spurious: false,
        };
        let shards = usize::from(count);
        Broker {
            shards: (0..count).map(shard).collect(),
            rings: Rings::new(shards, config.ring_bags),
            rng: rng.fork(),
        }
    }

    /// The nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.shards.iter().map(|shard| &shard.node)
    }

    /// Whether nothing is owed to anybody, nothing waits to be read and nothing to be written.
    pub fn is_idle(&self, wires: &[Wire]) -> bool {
        self.shards.iter().enumerate().all(|(index, shard)| {
            shard.node.is_idle()
                && shard.node.stats().queued == 0
                && shard.node.stats().output_bytes == 0
                && shard.commits.waiting.is_empty()
                && shard.inbox.is_empty()
                && self.rings.is_empty_for(index)
                && shard.wires.iter().all(|wire| wires[*wire].unread.is_empty())
        })
    }

    /// The shard whose turn is next, and when.
    pub fn next(&self) -> (u64, usize) {
        let dues = self.shards.iter().enumerate().map(|(index, shard)| (shard.due, index));
        dues.min().unwrap_or((NEVER, 0))
    }

    /// The earliest deadline of a node, in microseconds.
    pub fn next_deadline(&self) -> u64 {
        let deadlines = self.shards.iter().filter_map(|shard| shard.node.next_deadline());
        deadlines.min().unwrap_or(NEVER)
    }

    /// Something for this shard happens at this time.
    pub fn wake(&mut self, config: &Config, shard: usize, at: u64) {
        let due = at.saturating_add(self.rng.below(config.turn_delay));
        let shard = &mut self.shards[shard];
        if due < shard.due {
            shard.due = due;
            shard.spurious = false;
        }
    }

    /// The lobby has read a CONNECT: it goes to the shard of its session.
    pub fn hand_over(&mut self, config: &Config, now: u64, wire: usize, shard: usize) {
        let arrives = now + self.rng.below(config.turn_delay);
        self.shards[shard].inbox.push_back((arrives, wire));
        self.wake(config, shard, arrives);
    }

    /// One turn of a shard. Returns the clients that got something to read.
    pub fn turn(
        &mut self,
        config: &Config,
        index: usize,
        now: u64,
        wires: &mut [Wire],
        record: &mut Record,
    ) -> Vec<usize> {
        record.mix(now ^ (index as u64) << 56);
        let was_spurious = std::mem::take(&mut self.shards[index].spurious);
        let had_more = self.shards[index].again;
        let shard = &mut self.shards[index];
        shard.due = NEVER;
        shard.turns += 1;
        shard.node.begin_turn(Now { mono: now, wall: WALL_START + now });
        let mut work = Work::default();
        self.take_bags(config, index, now, record, &mut work);
        self.take_commits(index, now, record, &mut work);
        self.take_clients(config, index, now, wires, record, &mut work);
        self.read(config, index, now, wires, record, &mut work);
        let shard = &mut self.shards[index];
        let deadline = shard.node.next_deadline().is_some_and(|at| at <= now);
        shard.node.handle_deadlines();
        let (done, posted) = {
            let mut host = TurnHost {
                me: index,
                now,
                turn: shard.turns,
                config,
                rings: &mut self.rings,
                commits: &mut shard.commits,
                record,
                rng: &mut self.rng,
                posted: Vec::new(),
            };
            let done = shard.node.end_turn(&mut host);
            (done, host.posted)
        };
        shard.again = !done;
        if was_spurious && !had_more && !deadline && work.is_nothing() {
            record.faults.hit(Fault::SpuriousWakeup);
        }
        for other in posted {
            self.wake(config, other, now);
        }
        self.check_bounds(config, index, now, wires, record);
        let written = self.write(config, index, now, wires, record);
        self.close(index, now, wires, record);
        self.schedule(config, index, now, wires);
        written
    }

    fn take_bags(
        &mut self,
        config: &Config,
        index: usize,
        now: u64,
        record: &mut Record,
        work: &mut Work,
    ) {
        let count = self.shards.len();
        let first = self.rng.index(count);
        for lane in [Lane::Reply, Lane::Request] {
            for from in (0..count).map(|offset| (first + offset) % count) {
                let most = 1 + self.rng.below(config.turn_bags);
                for _ in 0..most {
                    let Some(bag) = self.rings.take(from, index, lane) else { break };
                    if lane == Lane::Request {
                        for message in history::messages_in(&bag) {
                            let shard = index as u16;
                            record.push(now, Event::Reached { shard, message });
                        }
                    }
                    let node = &mut self.shards[index].node;
                    node.handle_bag(ShardId(from as u16), lane, &bag);
                    self.rings.give_back(bag);
                    work.bags += 1;
                }
            }
        }
    }

    fn take_commits(&mut self, index: usize, now: u64, record: &mut Record, work: &mut Work) {
        let shard = &mut self.shards[index];
        while let Some(commit) = shard.commits.waiting.front().filter(|it| it.done_at <= now) {
            let event = Event::Committed { shard: index as u16, submitted: commit.submitted };
            record.push(now, event);
            if commit.turn + 1 < shard.turns {
                record.faults.hit(Fault::LateCommit);
            }
            shard.node.handle_committed(commit.id);
            shard.commits.waiting.pop_front();
            work.commits += 1;
        }
    }

    fn take_clients(
        &mut self,
        config: &Config,
        index: usize,
        now: u64,
        wires: &mut [Wire],
        record: &mut Record,
        work: &mut Work,
    ) {
        while let Some((at, wire)) = self.shards[index].inbox.front().copied() {
            if at > now {
                return;
            }
            self.shards[index].inbox.pop_front();
            work.inputs += 1;
            if !matches!(wires[wire].broker, BrokerEnd::HandedOver) {
                continue;
            }
            self.accept(config, index, now, wire, wires, record);
        }
    }

    /// What a second connection does to the first is written down before the node is told.
    fn note_takeover(
        &self,
        index: usize,
        now: u64,
        wire: usize,
        wires: &mut [Wire],
        record: &mut Record,
    ) {
        let client = wires[wire].client;
        for old in &self.shards[index].wires {
            let old = &mut wires[*old];
            let is_dark = old.is_dark;
            let BrokerEnd::Served(served) = &mut old.broker else { continue };
            if old.client == client && !served.is_over {
                served.is_over = true;
                record.closed(now, served.edge.connection(), Ending::TakenOver);
                record.faults.hit(Fault::Takeover);
                if is_dark {
                    record.faults.hit(Fault::HalfOpen);
                }
            }
        }
    }

    fn accept(
        &mut self,
        config: &Config,
        index: usize,
        now: u64,
        wire_no: usize,
        wires: &mut [Wire],
        record: &mut Record,
    ) {
        self.note_takeover(index, now, wire_no, wires, record);
        let wire = &mut wires[wire_no];
        let unread = std::mem::take(&mut wire.unread);
        let Ok(Some((length, frame))) = frame::split(&unread, u32::MAX) else { return };
        let Ok(connect) = Connect::decode(frame) else { return };
        let terms = terms(config, wire, &connect, index as u16);
        let (number, session) = record.opened(now, terms);
        let conn = self.shards[index].node.handle_connect(&connect, Attributes::default());
        wire.session = Some((number, session));
        wire.broker = BrokerEnd::Served(Box::new(Served {
            conn,
            edge: Edge::new(number, connect.version),
            is_blocked: false,
            is_over: false,
            close_at: None,
            is_writable: false,
        }));
        wire.unread = unread[length..].to_vec();
        wire.has_more = !wire.unread.is_empty();
        self.shards[index].wires.push(wire_no);
    }

    fn read(
        &mut self,
        config: &Config,
        index: usize,
        now: u64,
        wires: &mut [Wire],
        record: &mut Record,
        work: &mut Work,
    ) {
        let count = self.shards[index].wires.len();
        let first = self.rng.index(count.max(1));
        for offset in 0..count {
            let number = self.shards[index].wires[(first + offset) % count];
            let wire = &mut wires[number];
            let BrokerEnd::Served(served) = &wire.broker else { continue };
            if served.is_blocked {
                continue;
            }
            let conn = served.conn;
            let reading = wire.receive(now, self.rng.between(1, config.read_bytes), record);
            if wire.has_more {
                work.inputs += 1;
                self.feed(config, index, now, conn, &mut wires[number], record);
            }
            let wire = &mut wires[number];
            // A socket is read only when the node has done with what was read before.
            if reading != Reading::Open && !wire.is_blocked() && !wire.has_more {
                work.inputs += 1;
                self.hang_up(index, now, number, wires, record);
            }
        }
        self.shards[index].wires.retain(|wire| matches!(wires[*wire].broker, BrokerEnd::Served(_)));
    }

    fn feed(
        &mut self,
        config: &Config,
        index: usize,
        now: u64,
        conn: ConnId,
        wire: &mut Wire,
        record: &mut Record,
    ) {
        let mut budget =
            TurnBudget { packets: config.turn_packets, bytes: config.read_bytes as u32 };
        let taken = self.shards[index].node.handle_bytes(conn, &wire.unread, &mut budget);
        let BrokerEnd::Served(served) = &mut wire.broker else { return };
        record.mix_bytes(&wire.unread[..taken.bytes]);
        let ending = served.edge.taken(record, now, &wire.unread[..taken.bytes]);
        if let (Some(ending), false) = (ending, served.is_over) {
            served.is_over = true;
            record.closed(now, served.edge.connection(), ending);
        }
        wire.unread.drain(..taken.bytes);
        match taken.stop {
            Stop::Hungry => {
                wire.has_more = false;
                if !wire.unread.is_empty() {
                    record.faults.hit(Fault::PartialRead);
                }
            }
            Stop::Budget => {}
            Stop::Blocked => served.is_blocked = true,
            Stop::Closed => {
                if !served.is_over && wire.has_misbehaved {
                    record.faults.hit(Fault::Misbehaviour);
                }
                wire.unread.clear();
                wire.has_more = false;
            }
        }
    }

    /// The socket ended or failed: the node is told, and the connection forgotten.
    fn hang_up(
        &mut self,
        index: usize,
        now: u64,
        number: usize,
        wires: &mut [Wire],
        record: &mut Record,
    ) {
        let wire = &mut wires[number];
        let BrokerEnd::Served(served) = &mut wire.broker else { return };
        let node = &mut self.shards[index].node;
        if !served.is_over {
            record.closed(now, served.edge.connection(), Ending::Lost);
        }
        if served.close_at.is_none() {
            node.handle_hangup(served.conn);
        }
        node.release(served.conn);
        wire.link.finish(now, Side::Broker);
        wire.broker = BrokerEnd::Closed;
    }

    fn write(
        &mut self,
        config: &Config,
        index: usize,
        now: u64,
        wires: &mut [Wire],
        record: &mut Record,
    ) -> Vec<usize> {
        let shard = &mut self.shards[index];
        while let Some(conn) = shard.node.poll_dirty() {
            if let Some(served) = served(&shard.wires, wires, conn) {
                served.is_writable = true;
            }
        }
        let mut written = Vec::new();
        for number in &shard.wires {
            let wire = &mut wires[*number];
            let partial = self.rng.chance(config.partial_write);
            if wire.send(now, &mut shard.node, partial.then_some(&mut self.rng), record) {
                written.push(*number);
            }
        }
        while let Some(conn) = shard.node.poll_resume() {
            if let Some(served) = served(&shard.wires, wires, conn) {
                served.is_blocked = false;
            }
        }
        written
    }

    /// Nothing may be larger than promised; queues are looked at in some of the turns only.
    fn check_bounds(
        &self,
        config: &Config,
        index: usize,
        now: u64,
        wires: &[Wire],
        record: &mut Record,
    ) {
        let shard = &self.shards[index];
        let bounds = Bounds::of(&config.settings);
        for number in &shard.wires {
            let BrokerEnd::Served(served) = &wires[*number].broker else { continue };
            let waiting = shard.node.output(served.conn).map_or(0, ternmq_engine::Output::len);
            if waiting > bounds.output_bytes {
                let client = wires[*number].client;
                let what = format!("{waiting} bytes wait for {client:?}, allowed: {bounds:?}");
                record.violated(now, "output-bound", what);
            }
        }
        let is_time = config.may_drop && shard.turns.is_multiple_of(BOUNDS_EVERY);
        if let Some(what) = is_time.then(|| bounds.exceeded(&shard.node.view())).flatten() {
            record.violated(now, "queue-bound", what);
        }
    }

    fn close(&mut self, index: usize, now: u64, wires: &mut [Wire], record: &mut Record) {
        let shard = &mut self.shards[index];
        while let Some(conn) = shard.node.poll_close() {
            let Some(wire) = wire_of(&shard.wires, wires, conn) else { continue };
            let is_dark = wire.is_dark;
            let BrokerEnd::Served(served) = &mut wire.broker else { continue };
            served.close_at = Some(now + GRACE);
            served.is_blocked = false;
            if !served.is_over {
                served.is_over = true;
                record.closed(now, served.edge.connection(), Ending::ByBroker);
                if is_dark {
                    record.faults.hit(Fault::HalfOpen);
                }
            }
            wire.unread.clear();
            wire.has_more = false;
        }
        for number in &shard.wires {
            let wire = &mut wires[*number];
            let BrokerEnd::Served(served) = &wire.broker else { continue };
            let Some(close_at) = served.close_at else { continue };
            let waiting = shard.node.output(served.conn).is_some_and(|it| !it.is_empty());
            if waiting && now < close_at {
                continue;
            }
            shard.node.release(served.conn);
            wire.link.finish(now, Side::Broker);
            wire.broker = BrokerEnd::Closed;
        }
        shard.wires.retain(|wire| matches!(wires[*wire].broker, BrokerEnd::Served(_)));
    }

    /// Finds out when the next turn has to be.
    fn schedule(&mut self, config: &Config, index: usize, now: u64, wires: &mut [Wire]) {
        let shard = &mut self.shards[index];
        let mut at = NEVER;
        if shard.again || shard.node.wants_turn() || !self.rings.is_empty_for(index) {
            at = now + 1;
        }
        at = at.min(shard.commits.waiting.front().map_or(NEVER, |it| it.done_at));
        at = at.min(shard.inbox.front().map_or(NEVER, |it| it.0));
        at = at.min(shard.node.next_deadline().unwrap_or(NEVER));
        for number in &shard.wires {
            at = at.min(wires[*number].next_for_broker(now));
        }
        if at != NEVER {
            self.wake(config, index, at.max(now + 1));
        }
        if self.rng.chance(config.spurious) {
            let shard = &mut self.shards[index];
            let due = now + 1 + self.rng.below(config.turn_delay);
            if due < shard.due {
                shard.due = due;
                shard.spurious = true;
            }
        }
    }
}

impl Work {
    fn is_nothing(&self) -> bool {
        self.bags + self.commits + self.inputs == 0
    }
}

fn wire_of<'a>(mine: &[usize], wires: &'a mut [Wire], conn: ConnId) -> Option<&'a mut Wire> {
    let number = mine.iter().copied().find(
        |number| matches!(&wires[*number].broker, BrokerEnd::Served(served) if served.conn == conn),
    )?;
    Some(&mut wires[number])
}

fn served<'a>(mine: &[usize], wires: &'a mut [Wire], conn: ConnId) -> Option<&'a mut Served> {
    match &mut wire_of(mine, wires, conn)?.broker {
        BrokerEnd::Served(served) => Some(served),
        _ => None,
    }
}

/// The shard that runs the session of a client.
pub fn home(config: &Config, client_id: &str) -> usize {
    usize::from(shard_of(partition_of(client_id), config.settings.shards).0)
}

/// What a CONNECT agrees on, as the checkers need it.
fn terms(config: &Config, wire: &Wire, connect: &Connect<'_>, shard: u16) -> Connection {
    let v5 = connect.version == Version::V5;
    let expiry_seconds = match (v5, connect.clean_start) {
        (true, _) => connect.properties.session_expiry_interval().unwrap_or(0),
        (false, true) => 0,
        (false, false) => config.settings.session_expiry_v3_seconds,
    };
    let will = connect.will.and_then(|will| {
        Some(WillTerms {
            message: history::message_in(will.payload, will.properties)?,
            delay_seconds: will.properties.will_delay_interval().unwrap_or(0),
        })
    });
    Connection {
        client: wire.client,
        version: connect.version,
        clean_start: connect.clean_start,
        expiry_seconds: expiry_seconds.min(config.settings.session_expiry_max_seconds),
        keep_alive_seconds: connect.keep_alive,
        receive_maximum: connect.properties.receive_maximum().unwrap_or(u16::MAX),
        packet_bytes_max: connect.properties.maximum_packet_size().unwrap_or(u32::MAX),
        will,
        shard,
    }
}
