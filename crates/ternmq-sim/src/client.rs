//! The simulated clients. What they want comes from the workload; what they meet comes from the
//! world. A client is woken with the time and its end of a link, and says when it wants to be woken
//! again.
//!
//! Two implementations: [`plain`] keeps its own books and shares nothing with the client that we
//! ship but the codec; [`driven`] is that client's agent.

pub mod driven;
pub mod plain;

use ternmq_proto::Version;
use ternmq_proto::packet::SubscriptionOptions;

use crate::history::{ClientNo, ConnectionNo, FilterNo, History, MessageNo, TopicNo};
use crate::link::Link;
use crate::rng::Rng;
use crate::sessions::SessionNo;

/// What a client is like, for the whole run.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Which.
    pub no: ClientNo,
    /// Its client identifier.
    pub id: String,
    /// Of the protocol.
    pub version: Version,
    /// Asks for a new session every time.
    pub always_clean: bool,
    /// Session Expiry Interval (MQTT 5).
    pub expiry_seconds: u32,
    /// 0: none.
    pub keep_alive_seconds: u16,
    /// Unacknowledged messages it takes.
    pub receive_maximum: u16,
    /// Largest packet it takes.
    pub packet_bytes_max: Option<u32>,
    /// Topic aliases it takes.
    pub alias_maximum: u16,
    /// Whether it uses topic aliases.
    pub uses_aliases: bool,
    /// Longest time until it acknowledges, in microseconds.
    pub ack_delay: u64,
    /// Longest time until it connects again, in microseconds.
    pub reconnect_delay: u64,
    /// Its will, if it has one.
    pub will: Option<WillProfile>,
    /// Runs on the agent of the shipped client.
    pub is_driven: bool,
}

/// The will that a client sets with every CONNECT.
#[derive(Debug, Clone, Copy)]
pub struct WillProfile {
    /// Where to.
    pub topic: TopicNo,
    /// Level.
    pub qos: ternmq_proto::Qos,
    /// Whether it is kept.
    pub retain: bool,
    /// Will Delay Interval (MQTT 5).
    pub delay_seconds: u32,
}

/// What the application of a client wants.
#[derive(Debug, Clone, Copy)]
pub enum Command {
    /// Publish a message.
    Publish(MessageNo),
    /// Subscribe to a filter.
    Subscribe(Wanted),
    /// Unsubscribe from a filter.
    Unsubscribe(FilterNo),
    /// End the connection in order, and come back after some time.
    Disconnect {
        /// With reason code 0x04: the will shall be published (MQTT 5).
        with_will: bool,
        /// A new session expiry (MQTT 5), only if CONNECT had one.
        expiry_seconds: Option<u32>,
        /// Time until it connects again, in microseconds.
        away: u64,
    },
    /// Send something that no client may send.
    Misbehave(u8),
    /// Send so many PINGREQ, and read none of the answers for a while.
    Flood(u16),
}

/// A subscription that the application wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// To what.
    pub filter: FilterNo,
    /// How.
    pub options: SubscriptionOptions,
    /// Subscription identifier (MQTT 5), 0 for none.
    pub identifier: u32,
}

/// How a connection of a client ends when something happens to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The process is gone; what it had stored is there at the next start.
    KeepState,
    /// The process is gone, and so is everything it knew.
    LoseState,
    /// A new connection is made while the old one still stands.
    Overtake,
}

/// A client's view of the world while it is awake.
pub struct Surroundings<'a> {
    /// Virtual microseconds.
    pub now: u64,
    /// Where deliveries are written down, and messages are looked up.
    pub history: &'a mut History,
    /// Its end of the connection.
    pub link: Option<&'a mut Link>,
    /// What the broker's edge knows of this connection.
    pub connection: Option<(ConnectionNo, SessionNo)>,
}

/// What a client wants from the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// A new connection, now.
    pub connect: bool,
    /// It has done with its connection.
    pub hang_up: bool,
    /// To be woken at this time at the latest.
    pub wake_at: u64,
}

/// A client of either kind.
#[derive(Debug)]
pub enum AnyClient {
    /// With books of its own.
    Plain(Box<plain::Plain>),
    /// On the shipped agent.
    Driven(Box<driven::Driven>),
}

impl AnyClient {
    /// A client that connects for the first time at `connect_at`.
    pub fn new(profile: Profile, connect_at: u64, rng: Rng) -> Self {
        if profile.is_driven {
            AnyClient::Driven(Box::new(driven::Driven::new(profile, connect_at, rng)))
        } else {
            AnyClient::Plain(Box::new(plain::Plain::new(profile, connect_at, rng)))
        }
    }

    /// What it is like.
    pub fn profile(&self) -> &Profile {
        match self {
            AnyClient::Plain(client) => client.profile(),
            AnyClient::Driven(client) => client.profile(),
        }
    }

    /// Whether it has a connection that the broker has accepted.
    pub fn is_open(&self) -> bool {
        match self {
            AnyClient::Plain(client) => client.is_open(),
            AnyClient::Driven(client) => client.is_open(),
        }
    }

    /// Whether it has nothing to do: connected, nothing in flight, nothing wanted.
    pub fn is_settled(&self) -> bool {
        match self {
            AnyClient::Plain(client) => client.is_settled(),
            AnyClient::Driven(client) => client.is_settled(),
        }
    }

    /// Whether something waits for room in its link.
    pub fn wants_to_write(&self) -> bool {
        match self {
            AnyClient::Plain(client) => client.wants_to_write(),
            AnyClient::Driven(client) => client.wants_to_write(),
        }
    }

    /// Before this time it does not read.
    pub fn reads_at(&self) -> u64 {
        match self {
            AnyClient::Plain(client) => client.reads_at(),
            AnyClient::Driven(client) => client.reads_at(),
        }
    }

    /// What it is left with, for a report.
    pub fn describe(&self) -> String {
        match self {
            AnyClient::Plain(client) => client.describe(),
            AnyClient::Driven(client) => client.describe(),
        }
    }

    /// The application wants something.
    pub fn command(&mut self, now: u64, command: Command, history: &History) {
        match self {
            AnyClient::Plain(client) => client.command(now, command, history),
            AnyClient::Driven(client) => client.command(now, command, history),
        }
    }

    /// The process stops, or makes a second connection; it connects again after `away`.
    pub fn stop(&mut self, now: u64, how: Stop, away: u64, history: &History) {
        match self {
            AnyClient::Plain(client) => client.stop(now, how, away),
            AnyClient::Driven(client) => client.stop(now, how, away, history),
        }
    }

    /// The application reads nothing before this time.
    pub fn stall(&mut self, until: u64) {
        match self {
            AnyClient::Plain(client) => client.stall(until),
            AnyClient::Driven(client) => client.stall(until),
        }
    }

    /// It has a connection now, and says CONNECT on it.
    pub fn connected(&mut self, now: u64, will: Option<MessageNo>, history: &History) {
        match self {
            AnyClient::Plain(client) => client.connected(now, will, history),
            AnyClient::Driven(client) => client.connected(now),
        }
    }

    /// Reads, thinks, writes.
    pub fn wake(&mut self, around: &mut Surroundings<'_>) -> Wishes {
        match self {
            AnyClient::Plain(client) => client.wake(around),
            AnyClient::Driven(client) => client.wake(around),
        }
    }
}
