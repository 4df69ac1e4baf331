//! The lobby: a thread that accepts connections, hears what they want, and shows them to the shard
//! of their client identifier.
//!
//! Strangers are met here, so that a shard only ever sees clients. What a stranger says is judged
//! by `greeting`; this module has the sockets, the deadlines and the counts. Once a client is
//! handed over the lobby has forgotten it.
//!
//! # Limits
//! - `limit.pending_connections` guests; one more pushes the oldest out.
//! - `limit.connect_time` for a guest from its arrival to the end of its CONNECT.
//! - `limit.connect_bytes` of one packet, allocated as it arrives.
//! - no more clients than there are seats; the rest is told that the server is busy.
//! - when the process has no descriptor left, one that is kept in reserve is spent on turning
//!   people away, so that they do not wait and the lobby does not spin.

mod accept;
mod client_id;
mod greeting;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use slab::Slab;
use ternmq_engine::auth::Mechanisms;
use ternmq_engine::shard_of;
use ternmq_proto::ReasonCode;

pub use accept::Acceptor;
pub use client_id::random_seed;
pub use greeting::{Admission, NoMechanisms};

use crate::clock::{Clock, micros};
use crate::control::LobbyFigures;
use crate::hand_off::{Door, HandOff, Parcel, Seats};
use crate::ration::Ration;
use crate::stream::Stream;
use accept::Reserve;
use client_id::ClientIds;
use greeting::{Greeting, Outcome, Reply, Rules};

/// What the lobby is told when it opens.
pub struct Plan {
    /// Where strangers come from.
    pub acceptors: Vec<Acceptor>,
    /// The way into each shard, in order.
    pub doors: Vec<Door>,
    /// The places for clients.
    pub seats: Arc<Seats>,
    /// Methods of enhanced authentication.
    pub mechanisms: Arc<dyn Mechanisms>,
    /// Guests at once.
    pub guests_max: usize,
    /// From arrival to the end of CONNECT.
    pub connect_time: Duration,
    /// Largest CONNECT or AUTH.
    pub connect_bytes_max: u32,
    /// The broker's clock.
    pub clock: Clock,
}

/// The lobby's own state; runs on one thread.
pub struct Lobby {
    poll: Poll,
    acceptors: Vec<Acceptor>,
    reserve: Reserve,
    guests: Slab<Guest>,
    /// Guests in the order of their deadlines, which is that of their arrival. Keys of guests that
    /// are gone are skipped.
    arrivals: VecDeque<Key>,
    /// Guests that were turned away and may still read why.
    leaving: VecDeque<Key>,
    /// Guests that have more to read than a turn allows.
    again: VecDeque<Key>,
    /// Clients whose shard's inbox was full.
    held: VecDeque<(Door, Box<HandOff>)>,
    generation: u32,
    ids: ClientIds,
    buffer: Box<[u8]>,
    ration: Ration,
    shared: Arc<Shared>,
    plan: Terms,
}

/// The part of the plan that does not change.
struct Terms {
    doors: Vec<Door>,
    seats: Arc<Seats>,
    mechanisms: Arc<dyn Mechanisms>,
    guests_max: usize,
    connect_time_us: u64,
    connect_bytes_max: u32,
    clock: Clock,
}

/// What other threads see of the lobby.
#[derive(Debug)]
pub struct Shared {
    waker: Waker,
    is_closing: AtomicBool,
    /// Connections accepted.
    accepted: AtomicU64,
    /// Guests that were refused or closed for what they said.
    refused: AtomicU64,
    /// Guests whose CONNECT did not come in time.
    timed_out: AtomicU64,
    /// Guests pushed out by newer ones, and connections that there was no descriptor for.
    crowded_out: AtomicU64,
}

/// A stranger.
struct Guest {
    stream: Stream,
    greeting: Greeting,
    peer: SocketAddr,
    /// When it has to be done, in microseconds of the monotonic clock.
    deadline: u64,
    generation: u32,
    acceptor: u16,
    is_leaving: bool,
}

// A trickler costs this, a few bytes of its CONNECT, and what the system needs for a socket.
const _: () = assert!(size_of::<Guest>() <= 128);

/// Names a guest, and never a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    index: u32,
    generation: u32,
}

/// What is left to do with a guest after it was looked at.
enum Visit {
    /// Wait for its next event.
    Wait,
    /// It has more to read.
    Again,
    /// It is gone.
    Gone,
}

impl Lobby {
    /// A lobby that nobody has entered yet.
    ///
    /// # Errors
    /// When the system refuses a poll or a descriptor.
    pub fn new(plan: Plan) -> io::Result<Lobby> {
        let poll = Poll::new()?;
        let mut acceptors = plan.acceptors;
        for (number, acceptor) in acceptors.iter_mut().enumerate() {
            acceptor.register(poll.registry(), Token(FIRST_ACCEPTOR_TOKEN - number))?;
        }
        let shared = Shared {
            waker: Waker::new(poll.registry(), Token(WAKER_TOKEN))?,
            is_closing: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
        };
        Ok(Lobby {
            poll,
            acceptors,
            reserve: Reserve::new()?,
            guests: Slab::new(),
            arrivals: VecDeque::new(),
            leaving: VecDeque::new(),
            again: VecDeque::new(),
            held: VecDeque::new(),
            generation: 0,
            ids: ClientIds::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            ration: Ration::per_second(LOG_LINES_PER_SECOND),
            shared: Arc::new(shared),
            plan: Terms {
                doors: plan.doors,
                seats: plan.seats,
                mechanisms: plan.mechanisms,
                guests_max: plan.guests_max,
                connect_time_us: micros(plan.connect_time),
                connect_bytes_max: plan.connect_bytes_max,
                clock: plan.clock,
            },
        })
    }

    /// What other threads may know, and how they close it.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Runs until [`Shared::close`].
    ///
    /// # Errors
    /// When the system no longer lets this thread wait for events.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.shared.is_closing.load(Ordering::Acquire) {
            let now = self.plan.clock.now().mono;
            let patience = self.patience(now);
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = self.plan.clock.now().mono;
            for event in &events {
                match event.token() {
                    Token(WAKER_TOKEN) => {}
                    Token(it) if it > FIRST_ACCEPTOR_TOKEN - self.acceptors.len() => {
                        self.acceptors[FIRST_ACCEPTOR_TOKEN - it].is_ready = true;
                    }
                    Token(it) => self.visit(Key::of_token(it), now),
                }
            }
            for _ in 0..self.again.len() {
                if let Some(key) = self.again.pop_front() {
                    self.visit(key, now);
                }
            }
            self.show_in_held();
            self.accept(now);
            self.expire(now);
        }
        Ok(())
    }

    /// How long there is nothing to do; `None`: until something happens.
    fn patience(&mut self, now: u64) -> Option<Duration> {
        self.forget_gone();
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let of_guest = |it: Option<&Key>| it.and_then(|it| self.guest(*it)).map(|it| it.deadline);
        let of_acceptors = self.acceptors.iter().filter_map(|it| it.next_try(now));
        let of_held = (!self.held.is_empty()).then_some(now + HELD_RETRY_US);
        let next = [of_guest(self.arrivals.front()), of_guest(self.leaving.front()), of_held];
        let next = next.into_iter().flatten().chain(of_acceptors).min()?;
        // The poll counts in milliseconds: round up, so as not to wake before the deadline.
        Some(Duration::from_micros(next.saturating_sub(now)))
    }

    fn guest(&self, key: Key) -> Option<&Guest> {
        self.guests.get(key.index as usize).filter(|it| it.generation == key.generation)
    }

    /// Drops keys of guests that are gone from the front of both queues, and from all of the first
    /// when they are the most of it.
    fn forget_gone(&mut self) {
        let guests = &self.guests;
        let is_here = |key: &Key, leaving: bool| {
            guests
                .get(key.index as usize)
                .is_some_and(|it| it.generation == key.generation && it.is_leaving == leaving)
        };
        while self.arrivals.front().is_some_and(|it| !is_here(it, false)) {
            self.arrivals.pop_front();
        }
        while self.leaving.front().is_some_and(|it| !is_here(it, true)) {
            self.leaving.pop_front();
        }
        if self.arrivals.len() > 2 * guests.len() + ARRIVALS_SLACK {
            self.arrivals.retain(|it| is_here(it, false));
        }
    }

    /// Reads what a guest says, and does what follows from it.
    fn visit(&mut self, key: Key, now: u64) {
        if self.guest(key).is_none() {
            return;
        }
        match self.hear(key, now) {
            Visit::Wait => {}
            Visit::Again => self.again.push_back(key),
            Visit::Gone => drop(self.guests.try_remove(key.index as usize)),
        }
    }

    fn hear(&mut self, key: Key, now: u64) -> Visit {
        for _ in 0..READS_PER_VISIT {
            let Some(guest) = self.guests.get_mut(key.index as usize) else { return Visit::Wait };
            let count = match guest.stream.read(&mut self.buffer) {
                Ok(0) => return Visit::Gone,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Visit::Wait,
                Err(_) => return Visit::Gone,
            };
            if guest.is_leaving {
                continue;
            }
            let rules = Rules {
                packet_bytes_max: self.plan.connect_bytes_max,
                anonymous: self.acceptors[usize::from(guest.acceptor)].anonymous,
                mechanisms: &*self.plan.mechanisms,
                closed: self.plan.seats.is_full().then_some(ReasonCode::ServerBusy),
            };
            let reply = guest.greeting.handle_bytes(&rules, &mut self.ids, &self.buffer[..count]);
            match self.answer(key, reply, now) {
                Visit::Wait => {}
                done => return done,
            }
        }
        Visit::Again
    }

    fn answer(&mut self, key: Key, reply: Reply, now: u64) -> Visit {
        let Some(guest) = self.guests.get_mut(key.index as usize) else { return Visit::Gone };
        if !reply.answer.is_empty() {
            // A few bytes into an empty socket. If it does not take them, nobody is reading.
            match guest.stream.write([&reply.answer[..]].into_iter()) {
                Ok(count) if count == reply.answer.len() => {}
                _ => return Visit::Gone,
            }
        }
        match reply.outcome {
            Outcome::Wait => Visit::Wait,
            Outcome::Admit(admission) => {
                self.show_in(key, admission);
                Visit::Gone
            }
            Outcome::Close(code) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                if let Some(skipped) = self.ration.take(now) {
                    let peer = guest.peer;
                    tracing::info!(%peer, %code, skipped, "refused a connection");
                }
                if reply.answer.is_empty() {
                    return Visit::Gone;
                }
                guest.stream.end_writing();
                guest.is_leaving = true;
                guest.deadline = now + LEAVE_US;
                self.leaving.push_back(key);
                Visit::Wait
            }
        }
    }

    /// Takes a client out of the lobby and leaves it at its shard's door.
    fn show_in(&mut self, key: Key, admission: Admission) {
        let Some(mut guest) = self.guests.try_remove(key.index as usize) else { return };
        let Some(seat) = self.plan.seats.take() else { return };
        if let Err(error) = guest.stream.deregister(self.poll.registry()) {
            tracing::error!(%error, "cannot hand a connection over");
            return;
        }
        let shard = shard_of(admission.partition, self.plan.doors.len() as u16);
        let door = &self.plan.doors[usize::from(shard.0)];
        let hand_off = Box::new(HandOff { stream: guest.stream, seat, admission });
        if let Err(Parcel::Client(hand_off)) = door.try_leave(Parcel::Client(hand_off)) {
            self.held.push_back((door.clone(), hand_off));
        }
    }

    fn show_in_held(&mut self) {
        for _ in 0..self.held.len() {
            let Some((door, hand_off)) = self.held.pop_front() else { return };
            if let Err(Parcel::Client(hand_off)) = door.try_leave(Parcel::Client(hand_off)) {
                self.held.push_back((door, hand_off));
            }
        }
    }

    /// Lets a bounded number of strangers in, unless clients are waiting for a busy shard.
    fn accept(&mut self, now: u64) {
        if self.held.len() >= HELD_MAX {
            return;
        }
        for number in 0..self.acceptors.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                let acceptor = &mut self.acceptors[number];
                let Some(arrival) = acceptor.accept(now, &mut self.reserve) else { break };
                match arrival {
                    accept::Arrival::Guest(stream, peer) => {
                        self.welcome(stream, peer, number as u16, now);
                    }
                    accept::Arrival::TurnedAway => {
                        self.shared.crowded_out.fetch_add(1, Ordering::Relaxed);
                        if let Some(skipped) = self.ration.take(now) {
                            tracing::warn!(skipped, "no file descriptor left: turned one away");
                        }
                    }
                    accept::Arrival::Failed(error) => {
                        if let Some(skipped) = self.ration.take(now) {
                            tracing::error!(%error, skipped, "cannot accept connections");
                        }
                    }
                }
            }
        }
    }

    fn welcome(&mut self, mut stream: Stream, peer: SocketAddr, acceptor: u16, now: u64) {
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        if self.guests.len() >= self.plan.guests_max {
            self.push_out_oldest(now);
        }
        self.generation = self.generation.wrapping_add(1);
        let entry = self.guests.vacant_entry();
        let key = Key { index: entry.key() as u32, generation: self.generation };
        if let Err(error) = stream.register(self.poll.registry(), key.token()) {
            tracing::error!(%error, "cannot watch a connection");
            return;
        }
        entry.insert(Guest {
            stream,
            greeting: Greeting::default(),
            peer,
            deadline: now + self.plan.connect_time_us,
            generation: key.generation,
            acceptor,
            is_leaving: false,
        });
        self.arrivals.push_back(key);
    }

    fn push_out_oldest(&mut self, now: u64) {
        self.forget_gone();
        let Some(oldest) = self.leaving.pop_front().or_else(|| self.arrivals.pop_front()) else {
            return;
        };
        self.guests.try_remove(oldest.index as usize);
        self.shared.crowded_out.fetch_add(1, Ordering::Relaxed);
        if let Some(skipped) = self.ration.take(now) {
            tracing::warn!(skipped, "too many connections without CONNECT: closed the oldest");
        }
    }

    /// Closes those whose time is over.
    fn expire(&mut self, now: u64) {
        loop {
            self.forget_gone();
            let is_over = |it: &Key| self.guest(*it).is_some_and(|it| it.deadline <= now);
            let Some(key) = self.arrivals.front().copied().filter(is_over) else { break };
            self.guests.try_remove(key.index as usize);
            self.shared.timed_out.fetch_add(1, Ordering::Relaxed);
            if let Some(skipped) = self.ration.take(now) {
                tracing::info!(skipped, "no CONNECT in time: closed a connection");
            }
        }
        loop {
            self.forget_gone();
            let is_over = |it: &Key| self.guest(*it).is_some_and(|it| it.deadline <= now);
            let Some(key) = self.leaving.front().copied().filter(is_over) else { break };
            self.guests.try_remove(key.index as usize);
        }
    }
}

impl Shared {
    /// The counters.
    pub fn figures(&self) -> LobbyFigures {
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        LobbyFigures {
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            timed_out: read(&self.timed_out),
            crowded_out: read(&self.crowded_out),
        }
    }

    /// Lets nobody in any more, and ends the lobby's thread.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake the lobby");
        }
    }
}

impl Key {
    fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.index as usize)
    }

    fn of_token(token: usize) -> Key {
        Key { index: token as u32, generation: (token >> 32) as u32 }
    }
}

const _: () = assert!(usize::BITS == 64, "tokens hold an index and a generation");

const WAKER_TOKEN: usize = usize::MAX;
/// Acceptors count down from here; no guest has so large an index.
const FIRST_ACCEPTOR_TOKEN: usize = usize::MAX - 1;
const EVENTS_MAX: usize = 256;
const READ_BYTES: usize = 16 << 10;
const READS_PER_VISIT: u32 = 4;
const ACCEPTS_PER_TURN: u32 = 64;
/// Clients that wait for a busy shard before nobody is let in any more.
const HELD_MAX: usize = 1_024;
const HELD_RETRY_US: u64 = 2_000;
/// How long somebody who was turned away may take to read why.
const LEAVE_US: u64 = 1_000_000;
const LOG_LINES_PER_SECOND: u32 = 10;
const ARRIVALS_SLACK: usize = 1_024;

#[cfg(test)]
mod tests;
