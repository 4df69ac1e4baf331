//! The state of one shard, and what all of its parts need: writing to a connection, closing one,
//! staging a change, waiting for several things.
//!
//! The parts are in the modules beside this one, each an `impl Shard`: [`connect`](crate::connect),
//! [`publish`](crate::publish), [`deliver`](crate::deliver), [`subscribe`](crate::subscribe),
//! [`opening`](crate::opening), [`share`](crate::share), [`outbox`](crate::outbox),
//! [`timer`](crate::timer). The order in which they run is in [`node`](crate::node).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;
use ternmq_proto::frame::PacketKind;
use ternmq_proto::packet::{Disconnect, encode_ack};
use ternmq_proto::planted::{self, Bug};
use ternmq_proto::{
    Error, Packet, PacketId, Properties, Property, PropertyBuf, ReasonCode, Version,
};

use crate::connection::{Connection, Phase, Wait};
use crate::gate::{Acknowledgement, SlotId};
use crate::interest::Interest;
use crate::message::Stamp;
use crate::node::envelope::{Envelope, Sender};
use crate::node::host::CommitId;
use crate::node::lane::{Asker, Lanes};
use crate::opening::Openings;
use crate::outbox::Outbox;
use crate::output::BlockPool;
use crate::placement::ShardId;
use crate::retained::Retained;
use crate::session::Session;
use crate::settings::{Hasher, Settings};
use crate::share::Shares;
use crate::slab::{Key, Slab};
use crate::stats::Stats;
use crate::tally::Tally;
use crate::time::Now;
use crate::timer::Timers;

pub struct Shard {
    pub me: ShardId,
    pub settings: Settings,
    pub now: Now,
    pub stats: Stats,
    /// Messages.
    pub tally: Tally,
    /// What sessions keep beside messages.
    pub state: Tally,

    pub connections: Slab<Connection>,
    pub sessions: Slab<Session>,
    pub client_ids: HashMap<Rc<str>, Key, Hasher>,
    pub interest: Interest,
    pub retained: Retained,
    pub shares: Shares,
    pub openings: Openings,
    pub outbox: Outbox,
    pub lanes: Lanes,
    pub timers: Timers,
    pub waiters: Slab<Waiter>,

    /// Sessions with a queue that may move.
    pub pumping: Vec<Key>,
    pub dirty: VecDeque<Key>,
    pub closing: VecDeque<Key>,
    pub resuming: VecDeque<Key>,
    pub blocked: Vec<Key>,
    pub pool: BlockPool,
    pub extra: PropertyBuf,
    pub scratch_topic: String,
    pub next_stamp: u64,
    /// A consumer that still drains was found congested: whoever published is to pause.
    pub pressure: bool,

    /// The commit that changes of this turn will belong to.
    pub commit: CommitId,
    pub staged: u32,
    /// What may leave after which commit, in the order of commits.
    pub held: VecDeque<(CommitId, Held)>,
}

/// Something that a commit lets go.
#[derive(Debug, Clone, Copy)]
pub enum Held {
    /// CONNACK.
    Accept(Key),
    /// One of the things that a gate slot waits for.
    Slot(Key, SlotId),
    /// A receipt for another shard.
    Receipt { to: ShardId, sender: Sender, code: ReasonCode, retained: bool },
    /// PUBREL or PUBCOMP.
    Ack { connection: Key, kind: PacketKind, packet_id: PacketId, code: ReasonCode },
    /// The first transmission of a QoS 2 PUBLISH.
    Publish { connection: Key, packet_id: PacketId },
    /// One of the things that a waiter waits for.
    Waiter(Key),
    /// Outbox entries up to this number may be routed.
    Outbox(u64),
}

/// Several things that have to happen before an answer.
#[derive(Debug)]
pub struct Waiter {
    pub waits: u32,
    pub then: Then,
}

#[derive(Debug)]
pub enum Then {
    Suback {
        connection: Key,
        packet_id: PacketId,
        codes: Vec<u8>,
        openings: Vec<Key>,
    },
    Unsuback {
        connection: Key,
        packet_id: PacketId,
        codes: Vec<u8>,
    },
    /// A shared group of this shard is reachable from everywhere; the member's shard waits for it.
    Joined {
        shard: ShardId,
        waiter: Key,
    },
}

/// Why a connection has to end.
#[derive(Debug)]
pub struct Fault {
    pub code: ReasonCode,
    pub why: Cow<'static, str>,
}

impl Fault {
    pub fn new(code: ReasonCode, why: &'static str) -> Self {
        Fault { code, why: Cow::Borrowed(why) }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { code: error.reason_code(), why: Cow::Owned(error.to_string()) }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Done,
    /// Nothing was changed; the same packet comes again when there is credit.
    Blocked,
}

impl Shard {
    pub fn new(me: ShardId, settings: Settings) -> Self {
        let (seed, shards) = (settings.seed, settings.shards);
        Shard {
            me,
            now: Now::default(),
            stats: Stats::default(),
            tally: Tally::default(),
            state: Tally::default(),
            connections: Slab::new(),
            sessions: Slab::new(),
            client_ids: HashMap::with_hasher(Hasher::with_seed(seed)),
            interest: Interest::new(seed, shards),
            retained: Retained::default(),
            shares: Shares::new(seed, shards),
            openings: Openings::new(seed),
            outbox: Outbox::default(),
            lanes: Lanes::new(me, shards, settings.lane_credit),
            timers: Timers::default(),
            waiters: Slab::new(),
            pumping: Vec::new(),
            dirty: VecDeque::new(),
            closing: VecDeque::new(),
            resuming: VecDeque::new(),
            blocked: Vec::new(),
            pool: BlockPool::default(),
            extra: PropertyBuf::new(),
            scratch_topic: String::new(),
            next_stamp: 0,
            pressure: false,
            commit: CommitId(1),
            staged: 0,
            held: VecDeque::new(),
            settings,
        }
    }

    pub fn stamp(&mut self) -> Stamp {
        self.next_stamp += 1;
        Stamp { shard: self.me, number: self.next_stamp }
    }

    /// Notes a change that has to be durable; what depends on it waits for the commit returned.
    pub fn stage(&mut self) -> CommitId {
        self.staged += 1;
        self.commit
    }

    pub fn hold(&mut self, held: Held) {
        self.held.push_back((self.commit, held));
    }

    /// Bytes of messages and output that this shard holds.
    pub fn memory_bytes(&self) -> u64 {
        self.tally.bytes() + self.stats.output_bytes
    }

    /// Bytes of sessions, subscriptions and wills.
    pub fn state_bytes(&self) -> u64 {
        self.state.bytes() + self.interest.bytes()
    }

    /// Whether there may be no more of them.
    pub fn is_full_of_state(&self) -> bool {
        self.state_bytes() > self.settings.state_bytes_max
    }

    /// Whether no more messages may be kept.
    pub fn is_over_budget(&self) -> bool {
        self.memory_bytes() > self.settings.memory_bytes_max
    }

    /// Bytes of output beyond which a connection that does not read is not heard either, or every
    /// request would add an answer. Messages alone never come so far, except when memory is short.
    pub fn unread_output_max(&self) -> usize {
        let Settings { output_high_bytes, output_max_bytes, packet_bytes_max, .. } = self.settings;
        if self.is_over_budget() {
            return output_high_bytes as usize;
        }
        output_max_bytes as usize + packet_bytes_max as usize
    }

    /// Whether no client's request would have to wait now.
    pub fn takes_anything(&self) -> bool {
        self.lanes.all_open(Asker::Publisher)
            && self.shares.has_room()
            && self.outbox.len() < self.settings.outbox_max as usize
    }

    // -- writing --

    /// Appends what `encode` writes to a connection that is not closing.
    pub fn write(&mut self, key: Key, expected_bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        let added = connection.output.append(&mut self.pool, expected_bytes, encode);
        self.stats.output_bytes += added as u64;
        self.stats.packets_sent += 1;
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push_back(key);
        }
    }

    /// Appends a packet. `with` is the packet with everything that we would like to say, `without`
    /// the one to send when that is larger than the client takes (MQTT-3.2.2-19 and its siblings).
    pub fn write_packet(&mut self, key: Key, with: &Packet<'_>, without: Option<&Packet<'_>>) {
        let Some(connection) = self.connections.get(key) else { return };
        let (version, bytes_max) = (connection.version(), connection.link.send_bytes_max());
        let mut bytes = Vec::new();
        for packet in std::iter::once(with).chain(without) {
            bytes.clear();
            let encoded = packet.encode(version, &mut bytes);
            encoded.expect("the broker builds packets that the version can say");
            if bytes.len() <= bytes_max as usize {
                self.write(key, bytes.len(), |out| out.extend_from_slice(&bytes));
                return;
            }
        }
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub fn write_ack(&mut self, key: Key, kind: PacketKind, packet_id: PacketId, code: ReasonCode) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let version = connection.version();
        let last = match kind {
            PacketKind::Puback => true,
            PacketKind::Pubcomp => !code.is_error(),
            PacketKind::Pubrec => code.is_error(),
            _ => false,
        };
        if last {
            connection.link.answered();
        }
        let mut properties = PropertyBuf::new();
        if code.is_error() && version == Version::V5 && connection.problem_information {
            let text = code.to_string();
            // Identifier, code, property and their lengths; left out where it would be too large.
            if text.len() + 12 <= connection.link.send_bytes_max() as usize {
                properties.push(Property::ReasonString(&text));
            }
        }
        self.write(key, 8 + properties.as_properties().as_bytes().len(), |out| {
            encode_ack(out, version, kind, packet_id, code, properties.as_properties());
        });
    }

    /// Sends an acknowledgement through the connection's gate: after everything before it, and
    /// after `waits` calls of [`Shard::settle_slot`].
    pub fn acknowledge(&mut self, key: Key, acknowledgement: Acknowledgement, waits: u32) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let waits = if planted::is(Bug::AckBeforeCommit) { 0 } else { waits };
        if waits == 0 && connection.gate.is_empty() {
            return self.send_acknowledgement(key, acknowledgement);
        }
        connection.gate.push(acknowledgement, waits);
        self.open_gate(key);
    }

    pub fn settle_slot(&mut self, key: Key, slot: SlotId, code: ReasonCode) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.gate.settle(slot, code);
        self.open_gate(key);
    }

    fn open_gate(&mut self, key: Key) {
        while let Some(acknowledgement) =
            self.connections.get_mut(key).and_then(|connection| connection.gate.pop())
        {
            self.send_acknowledgement(key, acknowledgement);
        }
    }

    fn send_acknowledgement(&mut self, key: Key, acknowledgement: Acknowledgement) {
        let Acknowledgement { kind, packet_id, mut code } = acknowledgement;
        let Some(connection) = self.connections.get(key) else { return };
        let session = connection.session;
        if connection.version() != Version::V5 {
            // 3.x cannot be told.
            code = ReasonCode::Success;
        }
        if kind == PacketKind::Pubrec && code.is_error() {
            // The exchange is over; the identifier is free again.
            if let Some(session) = self.sessions.get_mut(session) {
                session.inbound.release(packet_id);
            }
        }
        self.write_ack(key, kind, packet_id, code);
    }

    // -- closing --

    /// Ends a connection: DISCONNECT with the reason where the version has that, then close. The
    /// session has been dealt with by the caller.
    pub fn close(&mut self, key: Key, fault: Option<&Fault>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        let accepted = connection.phase == Phase::Open;
        if let Some(fault) = fault
            && connection.version() == Version::V5
            && accepted
        {
            let mut properties = PropertyBuf::new();
            properties.push(Property::ReasonString(&fault.why));
            let with = Disconnect { code: fault.code, properties: properties.as_properties() };
            let without = Disconnect { code: fault.code, properties: Properties::EMPTY };
            self.write_packet(key, &Packet::Disconnect(with), Some(&Packet::Disconnect(without)));
        }
        if let Some(connection) = self.connections.get_mut(key) {
            if connection.phase == Phase::Accepting {
                // Its CONNACK would claim what is not yet durable.
                self.stats.output_bytes -= connection.output.len() as u64;
                connection.output.clear(&mut self.pool);
            }
            connection.phase = Phase::Closing;
            connection.wait = Wait::No;
            self.closing.push_back(key);
        }
    }

    // -- waiting --

    pub fn settle_waiter(&mut self, key: Key) {
        let Some(waiter) = self.waiters.get_mut(key) else { return };
        waiter.waits -= 1;
        if waiter.waits > 0 {
            return;
        }
        let Some(waiter) = self.waiters.remove(key) else { return };
        match waiter.then {
            Then::Suback { connection, packet_id, codes, openings } => {
                self.write_suback(connection, packet_id, &codes);
                for opening in openings {
                    self.start_opening(opening);
                }
            }
            Then::Unsuback { connection, packet_id, codes } => {
                self.write_unsuback(connection, packet_id, &codes);
            }
            Then::Joined { shard, waiter } => {
                self.lanes.reply(shard, &Envelope::JoinDone { waiter });
            }
        }
    }

    /// A commit is durable: lets go what waited for it and for earlier ones.
    pub fn committed(&mut self, id: CommitId) {
        while let Some((commit, held)) = self.held.front().copied() {
            if commit > id {
                return;
            }
            self.held.pop_front();
            self.let_go(held);
        }
    }

    fn let_go(&mut self, held: Held) {
        match held {
            Held::Accept(connection) => self.accept(connection),
            Held::Slot(connection, slot) => {
                self.settle_slot(connection, slot, ReasonCode::Success);
            }
            Held::Receipt { to, sender, code, retained } => {
                self.lanes.reply(to, &Envelope::Receipt { sender, code, retained });
            }
            Held::Ack { connection, kind, packet_id, code } => {
                self.write_ack(connection, kind, packet_id, code);
            }
            Held::Publish { connection, packet_id } => self.send_held(connection, packet_id),
            Held::Waiter(waiter) => self.settle_waiter(waiter),
            Held::Outbox(number) => self.outbox.commit(number),
        }
    }
}
