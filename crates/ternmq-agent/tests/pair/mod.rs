//! An agent, a server, a wire between them and a clock: the whole protocol in one thread.

// Each test file uses its own part of this.
#![allow(dead_code)]

mod server;

use std::collections::VecDeque;

use ternmq_agent::{Agent, Cause, Durable, Event, LinkState, Message, Options, Transmit};
use ternmq_proto::Version;

pub use server::Server;

pub struct Pair {
    pub agent: Agent,
    pub server: Server,
    pub now: u64,
    pub events: Vec<Event>,
    /// Whether the transport is there, seen from the middle.
    pub up: bool,
    /// Whether an attempt to open the transport succeeds.
    pub reachable: bool,
    options: Options,
    seed: u64,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
}

impl Pair {
    pub fn new(options: Options) -> Self {
        let server = Server::new(options.version);
        let seed = 0x1883;
        let agent = Agent::new(options.clone(), seed).expect("the options of a test fit together");
        let (now, up, reachable) = (0, false, true);
        let (to_server, to_client) = (VecDeque::new(), VecDeque::new());
        let events = Vec::new();
        Pair { agent, server, now, events, up, reachable, options, seed, to_server, to_client }
    }

    /// Options for a session that survives connections.
    pub fn persistent_options(version: Version) -> Options {
        let is_v5 = version == Version::V5;
        Options {
            version,
            client_id: "device".into(),
            clean_start: is_v5,
            session_expiry_seconds: if is_v5 { 3_600 } else { 0 },
            ..Options::default()
        }
    }

    pub fn persistent(version: Version) -> Self {
        Pair::new(Pair::persistent_options(version))
    }

    /// Connects and runs until it is quiet.
    pub fn connected(mut self) -> Self {
        self.agent.connect(self.now);
        self.drive();
        assert!(self.agent.is_connected(), "{:?}", self.events);
        self
    }

    /// Runs until both ends are idle; while there is no connection, time goes on to the next
    /// attempt.
    pub fn drive(&mut self) {
        for _ in 0..10_000 {
            if self.step() {
                continue;
            }
            match self.agent.state() {
                LinkState::Waiting { until } => self.advance_to(until),
                LinkState::Connecting if !self.up => {
                    let at = self.agent.poll_timeout().expect("an attempt has a deadline");
                    self.advance_to(at);
                }
                _ => return,
            }
        }
        panic!("never quiet: {:?}", self.agent.state());
    }

    /// Moves everything there is by one hop. `false`: there was nothing.
    pub fn step(&mut self) -> bool {
        let mut moved = self.poll();
        if self.up {
            let bytes: Vec<u8> = self.to_server.drain(..).collect();
            moved |= !bytes.is_empty();
            self.server.handle_bytes(&bytes);
            self.to_client.extend(self.server.take_output());
            if self.agent.wants_bytes() {
                let bytes: Vec<u8> = self.to_client.drain(..).collect();
                moved |= !bytes.is_empty();
                self.agent.handle_bytes(self.now, &bytes);
            }
            if self.up && self.server.wants_close() && self.to_client.is_empty() {
                self.cut();
                moved = true;
            }
        }
        moved
    }

    /// Does what the agent wants now. `false`: nothing.
    pub fn poll(&mut self) -> bool {
        let mut moved = false;
        loop {
            if let Some(transmit) = self.agent.poll_transmit(self.now) {
                self.transmit(transmit);
            } else if let Some(event) = self.agent.poll_event(self.now) {
                self.events.push(event);
            } else {
                return moved;
            }
            moved = true;
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        match transmit {
            Transmit::Open if self.reachable => {
                self.up = true;
                self.agent.handle_connected(self.now);
            }
            Transmit::Open => {
                self.agent.handle_closed(self.now, Some("connection refused".into()));
            }
            Transmit::Bytes(bytes) => self.to_server.extend(bytes),
            Transmit::Close => {
                // An orderly close delivers what was written.
                let bytes: Vec<u8> = self.to_server.drain(..).collect();
                self.server.handle_bytes(&bytes);
                self.hang_up();
            }
        }
    }

    /// Both ends see the transport close; what was on the wire is gone.
    pub fn cut(&mut self) {
        if self.up {
            self.agent.handle_closed(self.now, None);
        }
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.up = false;
        self.to_server.clear();
        self.to_client.clear();
        self.server.handle_closed();
    }

    /// Lets `to_server` and `to_client` bytes of what is on the wire through, and cuts.
    pub fn cut_after(&mut self, to_server: usize, to_client: usize) {
        if self.up {
            let count = to_server.min(self.to_server.len());
            let bytes: Vec<u8> = self.to_server.drain(..count).collect();
            self.server.handle_bytes(&bytes);
            self.to_client.extend(self.server.take_output());
            let count = to_client.min(self.to_client.len());
            let bytes: Vec<u8> = self.to_client.drain(..count).collect();
            self.agent.handle_bytes(self.now, &bytes);
        }
        self.cut();
    }

    /// Lets bytes through in both directions, no more than this.
    pub fn trickle(&mut self, to_server: usize, to_client: usize) {
        if !self.up {
            return;
        }
        let count = to_server.min(self.to_server.len());
        let bytes: Vec<u8> = self.to_server.drain(..count).collect();
        self.server.handle_bytes(&bytes);
        self.to_client.extend(self.server.take_output());
        if self.agent.wants_bytes() {
            let count = to_client.min(self.to_client.len());
            let bytes: Vec<u8> = self.to_client.drain(..count).collect();
            self.agent.handle_bytes(self.now, &bytes);
        }
    }

    /// The process of the client ends, and starts again with what its disk has.
    pub fn restart_client(&mut self) {
        let placeholder = Agent::new(self.options.clone(), 0).expect("checked before");
        let durable: Durable = std::mem::replace(&mut self.agent, placeholder).into_durable();
        self.hang_up();
        self.seed += 1;
        self.agent = Agent::resume(self.options.clone(), self.seed, durable).expect("as before");
        self.agent.connect(self.now);
    }

    pub fn advance_to(&mut self, at: u64) {
        self.now = self.now.max(at);
        self.agent.handle_timeout(self.now);
    }

    pub fn advance_seconds(&mut self, seconds: u64) {
        self.advance_to(self.now + seconds * 1_000_000);
    }

    /// What the application got.
    pub fn messages(&self) -> Vec<&Message> {
        let messages = self.events.iter().filter_map(|event| match event {
            Event::Message { message, .. } => Some(message),
            _ => None,
        });
        messages.collect()
    }

    pub fn payloads(&self) -> Vec<&[u8]> {
        self.messages().into_iter().map(|it| it.payload.as_slice()).collect()
    }

    /// Why connections ended.
    pub fn causes(&self) -> Vec<&Cause> {
        let causes = self.events.iter().filter_map(|event| match event {
            Event::Disconnected { cause, .. } => Some(cause),
            _ => None,
        });
        causes.collect()
    }
}
