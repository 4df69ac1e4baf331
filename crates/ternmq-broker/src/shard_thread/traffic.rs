//! Bytes between one shard's sockets and the engine: reading within a budget, writing what fits,
//! and seeing clients out.
//!
//! What is read lies in one buffer for all clients, and the engine takes packets from there. Only
//! what it has not taken is copied to the client, and only while there is any.

use std::io;
use std::time::Duration;

use ternmq_engine::{ConnId, Now, Stop, TurnBudget};

use super::ShardThread;
use super::clients::Client;
use crate::clock::micros;

/// The shard's read buffer.
pub const BUFFER_BYTES: usize = 256 << 10;
/// Room for one read: also what one client can leave unread by the engine at once.
const READ_BYTES: usize = 64 << 10;
/// A longer rest is kept where it is instead of being moved to the buffer and back.
const MOVED_BYTES_MAX: usize = BUFFER_BYTES - READ_BYTES;
/// What all clients together may take from one turn: it bounds how long the last one waits for its
/// output, and how much output lies in memory before any is written.
const BYTES_PER_TURN_OF_ALL: usize = 1 << 20;
/// What one client may take from one turn.
const PACKETS_PER_TURN: u32 = 256;
const BYTES_PER_TURN: u32 = 128 << 10;
/// How long a socket that is to be closed may take to read what is left for it.
const GRACE: Duration = Duration::from_secs(1);

/// Why reading a client ended for this turn.
enum Pause {
    /// There is nothing to read, or the engine does not want any.
    Wait,
    /// There may be more.
    Again,
    /// The connection is over.
    HangUp,
}

impl ShardThread {
    /// Reads every client that was ready when the turn began, as far as the turn's budget goes; the
    /// others are first in the next turn.
    pub(super) fn read_ready(&mut self) {
        let bytes_before = self.bytes_read;
        for _ in 0..self.clients.ready_count() {
            if self.bytes_read.wrapping_sub(bytes_before) >= BYTES_PER_TURN_OF_ALL {
                return;
            }
            let Some(conn) = self.clients.next_ready() else { return };
            let Some(client) = self.clients.get(conn) else { continue };
            let pause = if client.is_closing {
                discard(client, &mut self.buffer)
            } else if client.is_blocked {
                Pause::Wait
            } else if client.kept.len() <= MOVED_BYTES_MAX {
                self.read_through_buffer(conn)
            } else {
                self.read_into_kept(conn)
            };
            match pause {
                Pause::Wait => {}
                Pause::Again => self.clients.make_ready(conn),
                Pause::HangUp => self.hang_up(conn),
            }
        }
    }

    /// The usual way: kept bytes and new ones meet in the buffer, and the engine takes them there.
    fn read_through_buffer(&mut self, conn: ConnId) -> Pause {
        let Some(client) = self.clients.get(conn) else { return Pause::Wait };
        let mut kept = std::mem::take(&mut client.kept);
        self.kept_bytes -= kept.capacity();
        let mut end = kept.len();
        self.buffer[..end].copy_from_slice(&kept);
        let mut start = 0;
        let mut budget = TurnBudget { packets: PACKETS_PER_TURN, bytes: BYTES_PER_TURN };
        let bytes_before = self.bytes_read;
        let pause = loop {
            let is_hungry = client.is_hungry || start == end;
            if is_hungry {
                if end > MOVED_BYTES_MAX {
                    self.buffer.copy_within(start..end, 0);
                    (start, end) = (0, end - start);
                }
                let bytes_read = self.bytes_read.wrapping_sub(bytes_before);
                if bytes_read >= BYTES_PER_TURN as usize || end > MOVED_BYTES_MAX {
                    break Pause::Again;
                }
                match read(client, &mut self.buffer[end..end + READ_BYTES]) {
                    Ok(count) => {
                        end += count;
                        self.bytes_read = self.bytes_read.wrapping_add(count);
                    }
                    Err(pause) => break pause,
                }
            }
            let taken = self.node.handle_bytes(conn, &self.buffer[start..end], &mut budget);
            start += taken.bytes;
            if let Some(pause) = obey(client, taken.stop) {
                break pause;
            }
        };
        if client.is_closing {
            start = end;
        }
        if start < end || kept.capacity() > 0 {
            kept.clear();
            kept.extend_from_slice(&self.buffer[start..end]);
            self.keep(conn, kept, pause)
        } else {
            pause
        }
    }

    /// For a large packet that is on its way: bytes are added to those that are kept.
    fn read_into_kept(&mut self, conn: ConnId) -> Pause {
        let Some(client) = self.clients.get(conn) else { return Pause::Wait };
        let mut kept = std::mem::take(&mut client.kept);
        self.kept_bytes -= kept.capacity();
        let mut budget = TurnBudget { packets: PACKETS_PER_TURN, bytes: BYTES_PER_TURN };
        let bytes_before = self.bytes_read;
        let pause = loop {
            if client.is_hungry {
                if self.bytes_read.wrapping_sub(bytes_before) >= BYTES_PER_TURN as usize {
                    break Pause::Again;
                }
                match read(client, &mut self.buffer) {
                    Ok(count) => {
                        kept.extend_from_slice(&self.buffer[..count]);
                        self.bytes_read = self.bytes_read.wrapping_add(count);
                    }
                    Err(pause) => break pause,
                }
            }
            let taken = self.node.handle_bytes(conn, &kept, &mut budget);
            kept.drain(..taken.bytes);
            if let Some(pause) = obey(client, taken.stop) {
                break pause;
            }
            if kept.len() <= MOVED_BYTES_MAX {
                break Pause::Again;
            }
        };
        if client.is_closing {
            kept.clear();
        }
        self.keep(conn, kept, pause)
    }

    /// Gives a client back what the engine has not taken, within what the shard may keep.
    fn keep(&mut self, conn: ConnId, mut kept: Vec<u8>, pause: Pause) -> Pause {
        if kept.is_empty() {
            kept = Vec::new();
        } else if kept.capacity() > SHRINK_RATIO * kept.len() {
            kept.shrink_to_fit();
        }
        let total = self.kept_bytes + kept.capacity();
        let Some(client) = self.clients.get(conn) else { return Pause::Wait };
        if total > self.kept_bytes_max && kept.capacity() > READ_BYTES {
            // The budget for unfinished packets is spent: the one that wants the most now goes.
            if let Some(skipped) = self.ration.take(self.clock.now().mono) {
                let bytes = kept.len();
                tracing::warn!(bytes, skipped, "no memory for a large packet: closed a connection");
            }
            return Pause::HangUp;
        }
        self.kept_bytes = total;
        client.kept = kept;
        pause
    }

    /// The socket ended or failed: the engine is told, and the client forgotten.
    pub(super) fn hang_up(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get(conn) else { return };
        if !client.is_closing {
            self.node.handle_hangup(conn);
        }
        self.forget(conn);
    }

    fn forget(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.remove(conn) {
            self.kept_bytes -= client.kept.capacity();
            self.node.release(conn);
        }
    }

    /// Writes to everybody for whom there is something, as far as the sockets take it.
    pub(super) fn write_dirty(&mut self) {
        for conn in std::mem::take(&mut self.writable) {
            self.write(conn);
            self.linger(conn);
        }
        while let Some(conn) = self.node.poll_dirty() {
            self.write(conn);
        }
    }

    fn write(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get(conn) else { return };
        while !client.is_write_blocked {
            let Some(output) = self.node.output(conn).filter(|it| !it.is_empty()) else { break };
            match client.stream.write(output.chunks()) {
                Ok(count) if count > 0 => self.node.wrote(conn, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    client.is_write_blocked = true;
                }
                _ => {
                    self.lost.push(conn);
                    return;
                }
            }
        }
    }

    /// Lets clients go on that the engine had stopped.
    pub(super) fn resume(&mut self) {
        while let Some(conn) = self.node.poll_resume() {
            let Some(client) = self.clients.get(conn) else { continue };
            client.is_blocked = false;
            self.clients.make_ready(conn);
        }
    }

    /// Sees out those that the engine is done with, and those whose grace is over.
    pub(super) fn close(&mut self, now: Now) {
        while let Some(conn) = self.node.poll_close() {
            let Some(client) = self.clients.get(conn) else { continue };
            client.is_closing = true;
            client.is_blocked = false;
            self.kept_bytes -= client.kept.capacity();
            client.kept = Vec::new();
            self.closing.push_back((conn, now.mono + micros(GRACE)));
            self.write(conn);
            self.linger(conn);
        }
        while let Some((conn, deadline)) = self.closing.front().copied() {
            let is_gone = self.clients.get(conn).is_none();
            if !is_gone && deadline > now.mono {
                break;
            }
            self.closing.pop_front();
            self.forget(conn);
        }
    }

    /// When all is written: ends our side and waits for the peer to end its own. Closing at once
    /// would answer whatever is still coming with a reset, and a reset can cost the peer our last
    /// words.
    fn linger(&mut self, conn: ConnId) {
        if self.node.output(conn).is_some_and(|it| !it.is_empty()) {
            return;
        }
        let Some(client) = self.clients.get(conn) else { return };
        if !client.is_closing || client.is_lingering {
            return;
        }
        client.is_lingering = true;
        client.stream.end_writing();
        client.is_readable = true;
        self.clients.make_ready(conn);
    }
}

/// Reads once. `Err`: why there is nothing.
fn read(client: &mut Client, buffer: &mut [u8]) -> Result<usize, Pause> {
    if !client.is_readable {
        return Err(Pause::Wait);
    }
    match client.stream.read(buffer) {
        Ok(0) => Err(Pause::HangUp),
        Ok(count) => {
            // A stream that gave less than was asked for is empty, and its next bytes are an event;
            // only its end may already have been one.
            client.is_readable = count == buffer.len() || client.has_peer_ended;
            Ok(count)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            client.is_readable = false;
            Err(Pause::Wait)
        }
        Err(_) => Err(Pause::HangUp),
    }
}

/// Notes why the engine stopped. `Some`: this client is done for this turn.
fn obey(client: &mut Client, stop: Stop) -> Option<Pause> {
    client.is_hungry = matches!(stop, Stop::Hungry);
    match stop {
        Stop::Hungry => None,
        Stop::Budget => Some(Pause::Again),
        Stop::Blocked => {
            client.is_blocked = true;
            Some(Pause::Wait)
        }
        Stop::Closed => {
            client.is_closing = true;
            Some(Pause::Wait)
        }
    }
}

/// Reads and forgets what a client on its way out still says, until its end.
fn discard(client: &mut Client, buffer: &mut [u8]) -> Pause {
    match read(client, buffer) {
        Ok(_) if client.is_readable => Pause::Again,
        Ok(_) => Pause::Wait,
        Err(pause) => pause,
    }
}

/// Unused room in `kept` beyond this many times its length is given back.
const SHRINK_RATIO: usize = 4;
