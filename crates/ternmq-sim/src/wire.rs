//! One connection of the world with both of its ends: the link between them, what the broker's host
//! keeps for it, and what is known about it.

use ternmq_engine::{ConnId, Node};

use crate::edge::Edge;
use crate::fault::Fault;
use crate::history::{ClientNo, ConnectionNo};
use crate::link::{Link, NEVER, Reading, Side};
use crate::record::Record;
use crate::rng::Rng;
use crate::sessions::SessionNo;

/// A connection.
#[derive(Debug)]
pub struct Wire {
    /// Whose.
    pub client: ClientNo,
    /// The bytes.
    pub link: Link,
    /// The broker's end.
    pub broker: BrokerEnd,
    /// Bytes that the broker has read and not understood yet.
    pub unread: Vec<u8>,
    /// Its name in the history, once a node has it.
    pub session: Option<(ConnectionNo, SessionNo)>,
    /// The client is gone, and nobody tells the broker.
    pub is_dark: bool,
    /// The client has sent what no client may send.
    pub has_misbehaved: bool,
    /// Whether the client reads.
    pub stall: Stall,
    /// There may be whole packets in `unread`.
    pub has_more: bool,
}

/// Whether a client is reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// It is.
    No,
    /// It is not.
    Stalled,
    /// It is not, and the broker has felt it.
    Felt,
}

/// Where the broker is with a connection.
#[derive(Debug)]
pub enum BrokerEnd {
    /// The lobby waits for CONNECT.
    Lobby,
    /// It is on its way to its shard.
    HandedOver,
    /// A node has it.
    Served(Box<Served>),
    /// The broker has closed it.
    Closed,
}

/// A connection that a node has.
#[derive(Debug)]
pub struct Served {
    /// The node's name for it.
    pub conn: ConnId,
    /// Who watches it.
    pub edge: Edge,
    /// The node wants nothing of it for now.
    pub is_blocked: bool,
    /// Its end is written down.
    pub is_over: bool,
    /// It is being closed, and has until then.
    pub close_at: Option<u64>,
    /// There may be something to write.
    pub is_writable: bool,
}

impl Wire {
    /// A connection that was just made.
    pub fn new(client: ClientNo, link: Link) -> Self {
        Wire {
            client,
            link,
            broker: BrokerEnd::Lobby,
            unread: Vec::new(),
            session: None,
            is_dark: false,
            has_misbehaved: false,
            stall: Stall::No,
            has_more: false,
        }
    }

    /// Whether the node wants nothing of it for now.
    pub fn is_blocked(&self) -> bool {
        matches!(&self.broker, BrokerEnd::Served(served) if served.is_blocked)
    }

    /// The broker reads at most `most` bytes.
    pub fn receive(&mut self, now: u64, most: u64, record: &mut Record) -> Reading {
        let (bytes, reading) = self.link.readable(now, Side::Broker);
        let count = bytes.len().min(most as usize);
        if count == 0 {
            return reading;
        }
        self.unread.extend_from_slice(&bytes[..count]);
        self.link.consume(Side::Broker, count);
        self.has_more = true;
        let sent = self.link.newest_sent(Side::Broker);
        record.note_sent(self.client, sent);
        reading
    }

    /// Writes what the node has for it, all or (with a source of chance) a part. `true`: something
    /// is under way to the client.
    pub fn send(
        &mut self,
        now: u64,
        node: &mut Node,
        mut partial: Option<&mut Rng>,
        record: &mut Record,
    ) -> bool {
        let BrokerEnd::Served(served) = &mut self.broker else { return false };
        let Some(output) = node.output(served.conn) else { return false };
        let waiting = output.len();
        if !served.is_writable || waiting == 0 {
            return false;
        }
        served.edge.output_has(now, waiting);
        let mut left = partial.as_mut().map_or(waiting, |rng| rng.index(waiting) + 1);
        let mut written = 0;
        for chunk in output.chunks() {
            let offered = &chunk[..chunk.len().min(left)];
            let taken = self.link.write(now, Side::Broker, offered);
            record.mix_bytes(&offered[..taken]);
            served.edge.written(record, now, &offered[..taken]);
            written += taken;
            left -= taken;
            if taken < offered.len() || left == 0 {
                break;
            }
        }
        if written < waiting {
            record.faults.hit(Fault::PartialWrite);
            if left > 0 && self.stall == Stall::Stalled {
                self.stall = Stall::Felt;
                record.faults.hit(Fault::SlowReader);
            }
        } else {
            served.is_writable = false;
        }
        if written > 0 {
            node.wrote(served.conn, written);
        }
        self.note_cut(record);
        written > 0
    }

    /// Counts a cut that has just had its effect.
    pub fn note_cut(&mut self, record: &mut Record) {
        if let Some(cut) = self.link.take_cut() {
            record.faults.hit(match cut.writer {
                Side::Client => Fault::CutUp,
                Side::Broker => Fault::CutDown,
            });
        }
    }

    /// When the broker has something to do for it.
    pub fn next_for_broker(&mut self, now: u64) -> u64 {
        let BrokerEnd::Served(served) = &self.broker else { return NEVER };
        let mut at = served.close_at.unwrap_or(NEVER);
        if served.is_writable && self.link.room(Side::Broker) > 0 {
            at = at.min(now + 1);
        }
        if !served.is_blocked {
            at = at.min(self.link.poll_timeout(Side::Broker));
            let readable = !self.link.readable(now, Side::Broker).0.is_empty();
            if readable || self.has_more {
                at = at.min(now + 1);
            }
        }
        at
    }
}
