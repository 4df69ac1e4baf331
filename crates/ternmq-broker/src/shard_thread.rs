//! A shard's thread: one turn after the other. All policy is in the engine; here is only order.
//!
//! A turn reads the clock once, gives the engine everything that has come since the last one
//! (bags from other shards, commits, clients from the lobby, bytes, deadlines), lets it end its
//! turn, and writes what it has to say. Then the thread sleeps until something happens, unless
//! something is left to do.
//!
//! # Limits
//! Everything is bounded per turn, and what is left makes the next turn start at once: bytes and
//! packets of one client, bags of one ring, clients from the lobby.

mod clients;
mod traffic;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use ternmq_engine::{
    Attributes, Batch, Command, ConnId, Host, Lane, Node, Settings, ShardId, Submitted,
};
use ternmq_proto::frame;
use ternmq_proto::packet::Connect;

use crate::backend::Backend;
use crate::board::Board;
use crate::clock::Clock;
use crate::control::Notice;
use crate::hand_off::{HandOff, Parcel};
use crate::ration::Ration;
use crate::ring::{Bell, Mail};
use crate::sys_topics::SysTopics;
use clients::{Client, Clients, conn_of, token_of};

/// One shard, ready to run on a thread of its own.
pub struct ShardThread {
    node: Node,
    clients: Clients,
    poll: Poll,
    bell: Arc<Bell>,
    host: TurnHost,
    others: Vec<ShardId>,
    inbox: Receiver<Parcel>,
    clock: Clock,
    /// One for all clients: what is read is taken out again before the next is read.
    buffer: Box<[u8]>,
    /// Bytes read from all clients, ever; wraps.
    bytes_read: usize,
    /// Bytes in all clients' `kept`.
    kept_bytes: usize,
    kept_bytes_max: usize,
    /// Connections whose socket failed after the engine had ended its turn.
    lost: Vec<ConnId>,
    /// Connections with room for output again.
    writable: Vec<ConnId>,
    /// Connections on their way out, and until when they may take their time.
    closing: VecDeque<(ConnId, u64)>,
    board: Arc<Board>,
    sys_topics: Option<SysTopics>,
    notices: Sender<Notice>,
    stopping: Stopping,
    ration: Ration,
}

/// What a shard is made of.
pub struct Parts {
    pub id: ShardId,
    pub settings: Settings,
    pub poll: Poll,
    pub bell: Arc<Bell>,
    pub mail: Mail,
    pub backend: Backend,
    pub inbox: Receiver<Parcel>,
    pub clock: Clock,
    /// Bytes of unfinished packets that all clients of this shard may make it keep.
    pub kept_bytes_max: usize,
    pub board: Arc<Board>,
    /// On one shard only.
    pub sys_topics: Option<SysTopics>,
    pub notices: Sender<Notice>,
}

/// How far a shard is with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// Its clients are on their way out.
    Asked,
    /// They are out, nothing is owed to anybody, and it has said so.
    Quiet,
    /// The thread ends with this turn.
    Now,
}

impl ShardThread {
    /// The token by which a shard's own poll is woken.
    pub const WAKER: Token = Token(usize::MAX);

    /// A poll, and what wakes it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn poll() -> io::Result<(Poll, Arc<Bell>)> {
        let poll = Poll::new()?;
        let bell = Bell::new(Waker::new(poll.registry(), ShardThread::WAKER)?);
        Ok((poll, bell))
    }

    /// A shard without clients.
    pub fn new(parts: Parts) -> ShardThread {
        ShardThread {
            node: Node::new(parts.id, parts.settings),
            clients: Clients::default(),
            poll: parts.poll,
            bell: parts.bell,
            others: parts.mail.others().collect(),
            host: TurnHost { mail: parts.mail, backend: parts.backend },
            inbox: parts.inbox,
            clock: parts.clock,
            buffer: vec![0; traffic::BUFFER_BYTES].into_boxed_slice(),
            bytes_read: 0,
            kept_bytes: 0,
            kept_bytes_max: parts.kept_bytes_max,
            lost: Vec::new(),
            writable: Vec::new(),
            closing: VecDeque::new(),
            board: parts.board,
            sys_topics: parts.sys_topics,
            notices: parts.notices,
            stopping: Stopping::No,
            ration: Ration::per_second(LOG_LINES_PER_SECOND),
        }
    }

    /// Runs turns until it is told to stop.
    ///
    /// # Errors
    /// When the system no longer lets this thread wait for events.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut is_done = false;
        while self.stopping != Stopping::Now {
            self.wait(&mut events, is_done)?;
            is_done = self.turn(&events);
        }
        Ok(())
    }

    /// Sleeps until something happens, a deadline passes or, when there is work left, not at all.
    fn wait(&mut self, events: &mut Events, is_done: bool) -> io::Result<()> {
        let timeout = if is_done { self.patience() } else { Some(Duration::ZERO) };
        let parking = self.bell.parking();
        let may_sleep =
            timeout != Some(Duration::ZERO) && parking.prepare(|| self.host.mail.is_empty());
        let timeout = if may_sleep { timeout } else { Some(Duration::ZERO) };
        let result = self.poll.poll(events, timeout);
        if may_sleep {
            parking.leave();
        }
        match result {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn patience(&mut self) -> Option<Duration> {
        let of_sys = self.sys_topics.as_ref().map(SysTopics::next);
        let of_closing = self.closing.front().map(|(_, deadline)| *deadline);
        let deadlines = [self.node.next_deadline(), of_sys, of_closing];
        let next = deadlines.into_iter().flatten().min()?;
        Some(Duration::from_micros(next.saturating_sub(self.clock.now().mono)))
    }

    /// One turn. `false`: there is more to do at once.
    fn turn(&mut self, events: &Events) -> bool {
        let now = self.clock.now();
        self.node.begin_turn(now);
        self.take_bags();
        while let Some(id) = self.host.backend.poll_committed() {
            self.node.handle_committed(id);
        }
        let inbox_is_empty = self.take_parcels();
        self.hang_up_lost();
        self.note_events(events);
        self.read_ready();
        self.node.handle_deadlines();
        if let Some(sys_topics) = &mut self.sys_topics {
            sys_topics.publish_if_due(now, &mut self.node);
        }
        let node_is_done = self.node.end_turn(&mut self.host);
        self.write_dirty();
        self.resume();
        self.close(now);
        let is_done = node_is_done
            && !self.node.wants_turn()
            && inbox_is_empty
            && self.clients.ready_count() == 0
            && self.lost.is_empty();
        self.board.publish(self.node.stats(), now.mono, is_done);
        self.advance_stopping();
        is_done
    }

    /// Bags of other shards; replies first, because they free what requests need.
    fn take_bags(&mut self) {
        for lane in [Lane::Reply, Lane::Request] {
            for from in &self.others {
                for _ in 0..BAGS_PER_RING {
                    let Some(bag) = self.host.mail.take(*from, lane) else { break };
                    self.node.handle_bag(*from, lane, &bag);
                    self.host.mail.give_back(*from, bag);
                }
            }
        }
    }

    /// Clients from the lobby, and orders. `false`: more may be waiting.
    fn take_parcels(&mut self) -> bool {
        for _ in 0..PARCELS_PER_TURN {
            match self.inbox.try_recv() {
                Ok(Parcel::Client(hand_off)) => self.take_client(*hand_off),
                Ok(Parcel::Command(command)) => {
                    if matches!(command, Command::Shutdown) && self.stopping == Stopping::No {
                        self.stopping = Stopping::Asked;
                    }
                    self.node.handle_command(command);
                }
                Ok(Parcel::Stop) => self.stopping = Stopping::Now,
                Err(_) => return true,
            }
        }
        false
    }

    fn take_client(&mut self, hand_off: HandOff) {
        let HandOff { mut stream, seat, admission } = hand_off;
        let mut bytes = admission.bytes;
        let connect = match frame::split(&bytes, u32::MAX) {
            Ok(Some((_, frame))) => Connect::decode(frame),
            _ => return debug_assert!(false, "the lobby has read this CONNECT"),
        };
        let Ok(connect) = connect else {
            return debug_assert!(false, "the lobby has read this CONNECT");
        };
        let mut attributes = Attributes {
            assigned_client_id: admission.assigned_client_id,
            ..Attributes::default()
        };
        if let Some(authenticated) = admission.authenticated {
            attributes.authentication = Some(authenticated.exchange);
            attributes.authentication_data = authenticated.data;
        }
        let conn = self.node.handle_connect(&connect, attributes);
        if let Err(error) = stream.register(self.poll.registry(), token_of(conn)) {
            tracing::error!(%error, "cannot watch a connection");
            self.lost.push(conn);
        }
        bytes.drain(..admission.connect_bytes);
        if bytes.is_empty() {
            bytes = Vec::new();
        }
        self.kept_bytes += bytes.capacity();
        self.clients.insert(conn, Client::new(stream, seat, conn, bytes));
    }

    /// Tells the engine of sockets that failed while they were written.
    fn hang_up_lost(&mut self) {
        for conn in std::mem::take(&mut self.lost) {
            self.hang_up(conn);
        }
    }

    /// Notes which sockets want attention; does nothing about it yet.
    fn note_events(&mut self, events: &Events) {
        for event in events {
            if event.token() == ShardThread::WAKER {
                continue;
            }
            let conn = conn_of(event.token());
            let Some(client) = self.clients.get(conn) else { continue };
            if event.is_writable() && client.is_write_blocked {
                client.is_write_blocked = false;
                self.writable.push(conn);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                client.is_readable = true;
                client.has_peer_ended |= event.is_read_closed() || event.is_error();
                self.clients.make_ready(conn);
            }
        }
    }

    /// Says that it is quiet, once, when it was asked to stop and nothing is left.
    fn advance_stopping(&mut self) {
        if self.stopping == Stopping::Asked && self.clients.count() == 0 && self.node.is_idle() {
            self.stopping = Stopping::Quiet;
            // Nobody to hear it: then nobody waits for it.
            drop(self.notices.send(Notice::Quiet));
        }
    }
}

/// The world as the engine sees it at the end of a turn.
struct TurnHost {
    mail: Mail,
    backend: Backend,
}

impl Host for TurnHost {
    fn post(&mut self, to: ShardId, lane: Lane, bag: Vec<u8>) -> Result<(), Vec<u8>> {
        self.mail.post(to, lane, bag)
    }

    fn empty_bag(&mut self) -> Vec<u8> {
        self.mail.empty_bag()
    }

    fn submit(&mut self, batch: Batch) -> Submitted {
        self.backend.submit(batch)
    }
}

const EVENTS_MAX: usize = 1_024;
const BAGS_PER_RING: usize = 16;
const PARCELS_PER_TURN: usize = 128;
const LOG_LINES_PER_SECOND: u32 = 5;
