//! The sockets of one shard's clients, by connection, and which of them want attention.
//!
//! What a client says and is told is the engine's; this is the table of what the host keeps beside
//! it, and the lists that replace polling over all of them.

use std::collections::VecDeque;

use mio::Token;
use ternmq_engine::ConnId;

use crate::hand_off::Seat;
use crate::stream::Stream;

/// One client as its host sees it.
#[derive(Debug)]
pub struct Client {
    pub stream: Stream,
    /// Bytes that were read and that the engine has not taken. Allocated only while there are any.
    pub kept: Vec<u8>,
    _seat: Seat,
    generation: u32,
    /// The engine has seen `kept` and needs more than that.
    pub is_hungry: bool,
    /// The socket may have bytes, or its end.
    pub is_readable: bool,
    /// The peer has ended its side: a short read is not the last.
    pub has_peer_ended: bool,
    /// In the ready list.
    is_queued: bool,
    /// Not read before the engine says so.
    pub is_blocked: bool,
    /// The socket takes no more for now.
    pub is_write_blocked: bool,
    /// On its way out: nothing it says is heard.
    pub is_closing: bool,
    /// On its way out, and told so: only its end is waited for.
    pub is_lingering: bool,
}

// Beside the engine's connection, for each client that is silent.
const _: () = assert!(size_of::<Client>() <= 128);

impl Client {
    /// A client whose first bytes after CONNECT are `kept`.
    pub fn new(stream: Stream, seat: Seat, conn: ConnId, kept: Vec<u8>) -> Client {
        Client {
            stream,
            kept,
            _seat: seat,
            generation: conn.generation,
            is_hungry: false,
            is_readable: true,
            has_peer_ended: false,
            is_queued: false,
            is_blocked: false,
            is_write_blocked: false,
            is_closing: false,
            is_lingering: false,
        }
    }
}

/// All clients of a shard.
#[derive(Debug, Default)]
pub struct Clients {
    /// By the index of their connection.
    table: Vec<Option<Box<Client>>>,
    count: usize,
    /// Clients with something to read or to feed.
    ready: VecDeque<ConnId>,
}

impl Clients {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The client of a connection, unless it is gone.
    pub fn get(&mut self, conn: ConnId) -> Option<&mut Client> {
        let client = self.table.get_mut(conn.index as usize)?.as_mut()?;
        (client.generation == conn.generation).then_some(&mut **client)
    }

    /// Adds a client; it is ready at once.
    pub fn insert(&mut self, conn: ConnId, client: Client) {
        let index = conn.index as usize;
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || None);
        }
        debug_assert!(self.table[index].is_none(), "an index is free before it is used again");
        self.table[index] = Some(Box::new(client));
        self.count += 1;
        self.make_ready(conn);
    }

    /// Takes a client out; its socket closes when it is dropped.
    pub fn remove(&mut self, conn: ConnId) -> Option<Box<Client>> {
        self.get(conn)?;
        self.count -= 1;
        self.table[conn.index as usize].take()
    }

    /// Puts a client in the ready list, once.
    pub fn make_ready(&mut self, conn: ConnId) {
        if let Some(client) = self.get(conn)
            && !client.is_queued
        {
            client.is_queued = true;
            self.ready.push_back(conn);
        }
    }

    /// Takes the next client out of the ready list; it may be gone.
    pub fn next_ready(&mut self) -> Option<ConnId> {
        let conn = self.ready.pop_front()?;
        if let Some(client) = self.get(conn) {
            client.is_queued = false;
        }
        Some(conn)
    }

    /// How many are in the ready list.
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }
}

/// The token of a connection's events.
pub fn token_of(conn: ConnId) -> Token {
    Token((conn.generation as usize) << 32 | conn.index as usize)
}

/// The connection that a token belongs to.
pub fn conn_of(token: Token) -> ConnId {
    ConnId { index: token.0 as u32, generation: (token.0 >> 32) as u32 }
}

const _: () = assert!(usize::BITS == 64, "tokens hold an index and a generation");
