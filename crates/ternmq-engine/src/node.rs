//! A node of the engine: one shard with its lanes to the others, and the order of a turn. Whoever
//! carries it, a thread with sockets or the simulator, is its [`Host`].

pub(crate) mod envelope;
pub(crate) mod host;
pub(crate) mod lane;

use ternmq_proto::packet::Connect;
use ternmq_proto::planted::{self, Bug};
use ternmq_proto::{Packet, Qos, ReasonCode};

pub use self::host::{Batch, CommitId, Host, Lane, Submitted};
use crate::connect::Attributes;
use crate::connection::{Phase, Wait};
use crate::deliver::Terms;
use crate::opening::Mark;
use crate::output::Output;
use crate::placement::ShardId;
use crate::session::{Identifiers, Ticket};
use crate::settings::Settings;
use crate::shard::{Fault, Flow, Shard};
use crate::slab::Key;
use crate::stats::Stats;
use crate::time::Now;
use crate::view;
use envelope::Envelope;

/// Names a connection of one node. The index is dense: a host can keep its streams in a `Vec`.
pub type ConnId = Key;

/// Rounds of pumping in one turn; what is left goes on in the next.
const ROUNDS_MAX: usize = 8;

/// How soon a bag that found its ring full is offered again.
const RETRY_MICROS: u64 = 100;

/// One shard of the broker, without sockets, threads, clock or disk. Its methods are of four kinds:
///
/// - getters, `&self`: any time;
/// - `handle_*`: what the network, other shards, the store or the clock did;
/// - commands: `handle_command`, `publish_local`;
/// - `poll_*`: what the host must now do.
///
/// A turn is [`Node::begin_turn`], any number of `handle_*` and commands, [`Node::end_turn`]; then
/// the host drains [`Node::poll_dirty`], [`Node::poll_resume`] and [`Node::poll_close`].
pub struct Node {
    shard: Shard,
    /// Something found its ring full: try again then.
    retry_at: Option<u64>,
    /// A socket took output while a subscription waited to show more retained messages.
    room_made: bool,
}

/// What one connection may take from one turn; what is left waits for the next.
#[derive(Debug, Clone, Copy)]
pub struct TurnBudget {
    /// Packets that may still be handled.
    pub packets: u32,
    /// Bytes that may still be handled; the last packet may overdraw.
    pub bytes: u32,
}

/// How far [`Node::handle_bytes`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Bytes that are done with; the rest comes again.
    pub bytes: usize,
    /// Why there is a rest, or none.
    pub stop: Stop,
}

/// Why no more packets were handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The next packet is not whole.
    Hungry,
    /// The budget is spent: again in the next turn.
    Budget,
    /// Until [`Node::poll_resume`] names it: keep the rest, do not read the socket.
    Blocked,
    /// It is over: feed nothing any more; [`Node::poll_close`] names it.
    Closed,
}

/// What an operator can order.
#[derive(Debug, Clone)]
pub enum Command {
    /// Ends the connection of one client.
    Disconnect {
        /// Whose.
        client_id: String,
        /// What it is told.
        code: ReasonCode,
    },
    /// Ends all connections with 0x8B.
    Shutdown,
}

impl Node {
    /// A node without sessions.
    pub fn new(shard: ShardId, settings: Settings) -> Self {
        Node { shard: Shard::new(shard, settings), retry_at: None, room_made: false }
    }

    // -- a turn --

    /// Begins a turn; `now` is the time for all of it.
    pub fn begin_turn(&mut self, now: Now) {
        debug_assert!(now.mono >= self.shard.now.mono, "the clock went back");
        self.shard.now = now;
    }

    /// A client whose CONNECT was read and accepted. CONNACK, also a refusing one, is in the
    /// connection's output at the end of the turn or, for a session that outlives its connection,
    /// when the session's change is committed.
    pub fn handle_connect(&mut self, connect: &Connect<'_>, attributes: Attributes) -> ConnId {
        self.shard.handle_connect(connect, attributes)
    }

    /// Bytes of a connection, from where the last call stopped.
    pub fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8], budget: &mut TurnBudget) -> Taken {
        let mut taken = 0;
        loop {
            let stop = self.handle_packet(conn, &bytes[taken..], budget);
            match stop {
                Ok(length) => taken += length,
                Err(stop) => return Taken { bytes: taken, stop },
            }
        }
    }

    /// The socket has ended or failed. The id stays valid until [`Node::release`].
    pub fn handle_hangup(&mut self, conn: ConnId) {
        self.shard.lose(conn, None);
    }

    /// A bag that another shard posted.
    pub fn handle_bag(&mut self, from: ShardId, lane: Lane, bag: &[u8]) {
        let mut rest = bag;
        while let Some(envelope) = Envelope::decode(&mut rest) {
            if lane == Lane::Request {
                self.shard.lanes.received(from);
            }
            self.handle_envelope(from, envelope);
        }
    }

    /// A batch is durable.
    pub fn handle_committed(&mut self, id: CommitId) {
        self.shard.committed(id);
    }

    /// Everything that is due at this turn's time.
    pub fn handle_deadlines(&mut self) {
        self.shard.handle_deadlines();
    }

    /// An order of the operator.
    pub fn handle_command(&mut self, command: Command) {
        match command {
            Command::Disconnect { client_id, code } => {
                let session = self.shard.client_ids.get(client_id.as_str()).copied();
                let session = session.and_then(|session| self.shard.sessions.get(session));
                if let Some(connection) = session.and_then(|session| session.connection) {
                    let fault = Fault::new(code, "disconnected by the operator");
                    self.shard.lose(connection, Some(&fault));
                }
            }
            Command::Shutdown => {
                let all: Vec<Key> = self.shard.connections.iter().map(|(key, _)| key).collect();
                let fault = Fault::new(ReasonCode::ServerShuttingDown, "the server shuts down");
                for connection in all {
                    self.shard.lose(connection, Some(&fault));
                }
            }
        }
    }

    /// Publishes a message of the broker itself. `false`: the outbox is full.
    pub fn publish_local(&mut self, topic: &str, payload: &[u8], qos: Qos, retain: bool) -> bool {
        self.shard.publish_local(topic, payload, qos, retain)
    }

    /// Moves what can move, posts bags and submits the turn's changes. `false`: there is more to do
    /// at once, so do not sleep before the next turn.
    pub fn end_turn<H: Host>(&mut self, host: &mut H) -> bool {
        self.room_made = false;
        let mut settled = false;
        for _ in 0..ROUNDS_MAX {
            self.pump(host);
            let submitted = self.submit(host);
            settled = !submitted && !self.has_work();
            if settled {
                break;
            }
        }
        let stuck = self.shard.lanes.post(host);
        self.retry_at = stuck.then(|| self.shard.now.mono + RETRY_MICROS);
        let relieved = self.shard.lanes.take_relieved();
        if !self.shard.blocked.is_empty() && (relieved || self.shard.takes_anything()) {
            self.unblock();
        }
        settled
    }

    // -- what the host must do --

    /// The next connection with something to write.
    pub fn poll_dirty(&mut self) -> Option<ConnId> {
        while let Some(key) = self.shard.dirty.pop_front() {
            if let Some(connection) = self.shard.connections.get_mut(key) {
                connection.dirty = false;
                return Some(key);
            }
        }
        None
    }

    /// What a connection has to write. `None`: the connection was released, or its CONNACK waits
    /// for a commit.
    pub fn output(&self, conn: ConnId) -> Option<&Output> {
        let connection = self.shard.connections.get(conn)?;
        (connection.phase != Phase::Accepting).then_some(&connection.output)
    }

    /// The socket has taken this many bytes.
    pub fn wrote(&mut self, conn: ConnId, bytes: usize) {
        let Some(connection) = self.shard.connections.get_mut(conn) else { return };
        let bytes = bytes.min(connection.output.len());
        connection.output.consume(&mut self.shard.pool, bytes);
        if connection.wait == Wait::Output {
            // Who reads is alive, although we did not read it.
            connection.heard = self.shard.now.mono;
            if connection.output.len() <= self.shard.settings.output_high_bytes as usize {
                connection.wait = Wait::No;
                self.shard.resuming.push_back(conn);
            }
        }
        let session = connection.session;
        self.shard.stats.output_bytes -= bytes as u64;
        self.shard.stats.bytes_sent += bytes as u64;
        let waits = self.shard.sessions.get(session).is_some_and(|session| {
            !session.queue.is_empty()
                || session.congested_since != 0
                || session.inflight.is_resending()
        });
        if waits {
            self.shard.pump_later(session);
        }
        self.room_made |= self.shard.openings.waits_for_room();
    }

    /// Whether writing has made something move: turn again without waiting.
    pub fn wants_turn(&self) -> bool {
        self.room_made || !self.shard.pumping.is_empty()
    }

    /// The next connection that waits no longer: feed what was kept, then read its socket.
    pub fn poll_resume(&mut self) -> Option<ConnId> {
        while let Some(key) = self.shard.resuming.pop_front() {
            if self.shard.connections.get(key).is_some_and(|it| it.phase == Phase::Open) {
                return Some(key);
            }
        }
        None
    }

    /// The next connection to be closed: write what is left, for a bounded time, close the socket,
    /// then [`Node::release`].
    pub fn poll_close(&mut self) -> Option<ConnId> {
        while let Some(key) = self.shard.closing.pop_front() {
            if self.shard.connections.get(key).is_some() {
                return Some(key);
            }
        }
        None
    }

    /// The host has closed the socket; the id means nothing any more.
    pub fn release(&mut self, conn: ConnId) {
        self.shard.release(conn);
    }

    // -- getters --

    /// The earliest deadline on the monotonic clock, in microseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        match (self.shard.timers.next(), self.retry_at) {
            (Some(timer), Some(retry)) => Some(timer.min(retry)),
            (timer, retry) => timer.or(retry),
        }
    }

    /// Whether nothing is owed to other shards, to the backend or to itself.
    pub fn is_idle(&self) -> bool {
        let shard = &self.shard;
        shard.staged == 0
            && shard.held.is_empty()
            && shard.lanes.is_idle()
            && shard.outbox.is_empty()
            && shard.shares.is_idle()
            && shard.openings.is_empty()
            && !shard.openings.owes_answers()
            && !shard.interest.has_changes()
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        let mut stats = self.shard.stats;
        stats.message_bytes = self.shard.tally.bytes();
        stats.state_bytes = self.shard.state_bytes();
        stats
    }

    /// The sessions and retained messages, in MQTT's words.
    pub fn view(&self) -> view::View {
        view::of(&self.shard)
    }

    // -- inside a turn --

    /// Handles the packet at the front of `bytes`; its length, or why not.
    fn handle_packet(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        budget: &mut TurnBudget,
    ) -> Result<usize, Stop> {
        let (now, unread_output_max) = (self.shard.now.mono, self.shard.unread_output_max());
        let Some(connection) = self.shard.connections.get_mut(conn) else {
            return Err(Stop::Closed);
        };
        match (connection.phase, connection.wait) {
            (Phase::Closing, _) => return Err(Stop::Closed),
            (Phase::Accepting, _)
            | (Phase::Open, Wait::Credit | Wait::Paused(_) | Wait::Output) => {
                return Err(Stop::Blocked);
            }
            (Phase::Open, Wait::No) => {}
        }
        if connection.output.len() > unread_output_max {
            connection.wait = Wait::Output;
            return Err(Stop::Blocked);
        }
        if budget.packets == 0 || budget.bytes == 0 {
            return Err(Stop::Budget);
        }
        let flow = match connection.link.decode(bytes) {
            Ok(None) => return Err(Stop::Hungry),
            Ok(Some((length, packet))) => {
                connection.heard = now;
                self.dispatch(conn, &packet).map(|flow| (flow, length))
            }
            Err(error) => Err(error.into()),
        };
        match flow {
            Ok((Flow::Done, length)) => {
                budget.packets -= 1;
                budget.bytes = budget.bytes.saturating_sub(length as u32);
                self.shard.stats.packets_received += 1;
                self.shard.stats.bytes_received += length as u64;
                Ok(length)
            }
            Ok((Flow::Blocked, _)) => {
                self.block(conn);
                Err(Stop::Blocked)
            }
            Err(fault) => {
                self.shard.stats.violations += 1;
                self.shard.lose(conn, Some(&fault));
                Err(Stop::Closed)
            }
        }
    }

    fn dispatch(&mut self, conn: ConnId, packet: &Packet<'_>) -> Result<Flow, Fault> {
        let shard = &mut self.shard;
        match packet {
            Packet::Publish(publish) => shard.on_publish(conn, publish),
            Packet::Puback(ack) => shard.on_puback(conn, ack),
            Packet::Pubrec(ack) => shard.on_pubrec(conn, ack),
            Packet::Pubrel(ack) => shard.on_pubrel(conn, ack),
            Packet::Pubcomp(ack) => shard.on_pubcomp(conn, ack),
            Packet::Subscribe(subscribe) => shard.on_subscribe(conn, subscribe),
            Packet::Unsubscribe(unsubscribe) => shard.on_unsubscribe(conn, unsubscribe),
            Packet::Disconnect(disconnect) => shard.on_disconnect(conn, disconnect),
            Packet::Auth(auth) => shard.on_auth(conn, auth),
            Packet::Pingreq => {
                shard.write(conn, 2, |out| out.extend_from_slice(&[0xd0, 0]));
                Ok(Flow::Done)
            }
            Packet::Connect(_) if planted::is(Bug::AcceptSecondConnect) => Ok(Flow::Done),
            Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp => {
                let unexpected = ternmq_proto::Violation::UnexpectedPacket(packet.kind());
                Err(ternmq_proto::Error::PeerMisbehaved(unexpected).into())
            }
        }
    }

    fn handle_envelope(&mut self, from: ShardId, envelope: Envelope<'_>) {
        let shard = &mut self.shard;
        match envelope {
            Envelope::Publish { sender, publication } => {
                shard.on_envelope_publish(from, sender, &publication);
            }
            Envelope::Retain { sender, publication } => {
                shard.on_retain(from, sender, &publication);
            }
            Envelope::Interest { waiter, filter, level } => {
                shard.on_interest(from, waiter, filter, level);
            }
            Envelope::RetainedQuery { opening, filter, after } => {
                shard.on_retained_query(from, opening, filter, after);
            }
            Envelope::Join(join) => shard.on_join(from, &join),
            Envelope::Leave { share, filter, member } => {
                shard.on_leave(from, share, filter, member);
            }
            Envelope::Presence { share, filter, member, online, durable } => {
                shard.on_presence(from, (share, filter), member, online, durable);
            }
            Envelope::ShareDeliver {
                member,
                membership,
                group,
                number,
                qos,
                retain,
                identifier,
                publication,
            } => {
                let ticket = (number > 0).then_some(Ticket { home: from, group, number });
                let terms = Terms {
                    qos,
                    retain,
                    identifiers: Identifiers::collect(
                        (identifier > 0).then_some(identifier).into_iter(),
                    ),
                    ticket,
                };
                shard.on_share_deliver(member, membership, terms, &publication);
            }
            Envelope::Settle { group, number, returned } => {
                shard.on_settle(group, number, returned);
            }
            Envelope::Credit { requests } => shard.lanes.credit_back(from, requests),
            Envelope::Receipt { sender, code, retained } => {
                shard.on_receipt(from, sender, code, retained);
            }
            Envelope::InterestDone { waiter, stamp, sent } => {
                shard.on_interest_done(waiter, Mark { shard: from, stamp, sent });
            }
            Envelope::RetainedItem { opening, publication } => {
                shard.on_retained_item(opening, &publication);
            }
            Envelope::RetainedPage { opening, more, last } => {
                shard.on_retained_page(from, opening, more, last);
            }
            Envelope::JoinDone { waiter } => shard.settle_waiter(waiter),
            Envelope::Pressure { connection } => shard.pause(connection),
        }
    }

    fn pump<H: Host>(&mut self, host: &mut H) {
        let me = self.shard.me;
        for _ in 0..ROUNDS_MAX {
            let Some(own) = self.shard.lanes.take_own(host.empty_bag()) else { break };
            let mut rest = &own[..];
            while let Some(envelope) = Envelope::decode(&mut rest) {
                self.handle_envelope(me, envelope);
            }
        }
        self.shard.pump_interest();
        self.shard.pump_outbox();
        self.shard.pump_joins();
        self.shard.pump_groups();
        self.shard.pump_openings();
        for session in std::mem::take(&mut self.shard.pumping) {
            self.shard.pump_session(session);
        }
        self.shard.pump_errands();
    }

    /// Hands over the turn's changes. `true`: they are durable already.
    fn submit<H: Host>(&mut self, host: &mut H) -> bool {
        if self.shard.staged == 0 {
            return false;
        }
        let batch = Batch { id: self.shard.commit, changes: self.shard.staged };
        self.shard.staged = 0;
        self.shard.commit = CommitId(batch.id.0 + 1);
        self.shard.stats.commits += 1;
        match host.submit(batch) {
            Submitted::Done => {
                self.shard.committed(batch.id);
                true
            }
            Submitted::Later => false,
        }
    }

    fn has_work(&self) -> bool {
        self.shard.staged > 0 || !self.shard.pumping.is_empty() || self.shard.lanes.has_own()
    }

    fn block(&mut self, conn: ConnId) {
        if let Some(connection) = self.shard.connections.get_mut(conn) {
            connection.wait = Wait::Credit;
            self.shard.blocked.push(conn);
            self.shard.stats.blocked += 1;
        }
    }

    fn unblock(&mut self) {
        for key in std::mem::take(&mut self.shard.blocked) {
            if let Some(connection) = self.shard.connections.get_mut(key)
                && connection.wait == Wait::Credit
            {
                connection.wait = Wait::No;
                self.shard.resuming.push_back(key);
            }
        }
    }
}
