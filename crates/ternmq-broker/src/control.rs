//! The handle on a running broker: for the binary, for tests, and for whatever is built around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

use ternmq_engine::auth::Mechanisms;
use ternmq_engine::{Command, Stats, partition_of, shard_of};
use ternmq_proto::ReasonCode;

use crate::board::{self, Board};
use crate::config::{Config, Scheme};
use crate::error::{RunError, StartError};
use crate::hand_off::{Door, Parcel};
use crate::lobby::NoMechanisms;
use crate::start;
use crate::{lobby, shutdown};

/// A running broker. It runs until it is shut down; dropping the handle alone does not stop it.
pub struct Broker {
    pub(crate) addresses: Vec<(Scheme, SocketAddr)>,
    pub(crate) lobby: Arc<lobby::Shared>,
    pub(crate) doors: Vec<Door>,
    pub(crate) boards: Arc<[Arc<Board>]>,
    pub(crate) lobby_thread: JoinHandle<()>,
    pub(crate) shard_threads: Vec<JoinHandle<()>>,
    pub(crate) notices: Receiver<Notice>,
    pub(crate) notice_sender: std::sync::mpsc::Sender<Notice>,
    pub(crate) signals: Option<shutdown::SignalWatch>,
}

/// What the broker's threads tell its handle.
#[derive(Debug)]
pub enum Notice {
    /// A thread panicked, or can no longer wait for events.
    Failed(String),
    /// A shard that was asked to stop has nothing left to do.
    Quiet,
    /// The process was asked to end.
    Signal(i32),
}

/// The whole broker's figures at about one moment.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Figures {
    /// What the shards count, added up.
    pub sessions: Stats,
    /// What the lobby counts.
    pub lobby: LobbyFigures,
}

/// Counters of the lobby: what happened to connections before they were clients.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct LobbyFigures {
    /// Connections accepted from the system.
    pub accepted: u64,
    /// Connections refused or closed for what they said.
    pub refused: u64,
    /// Connections whose CONNECT did not come in time.
    pub timed_out: u64,
    /// Connections closed because there were too many without CONNECT, or no descriptor.
    pub crowded_out: u64,
}

impl Broker {
    /// Opens the listeners and starts the threads. When it returns, clients can connect.
    ///
    /// # Errors
    /// A listener that cannot be opened, or a system that refuses threads or descriptors.
    pub fn start(config: Config) -> Result<Broker, StartError> {
        Broker::start_with_mechanisms(config, Arc::new(NoMechanisms))
    }

    /// As [`Broker::start`], with methods of enhanced authentication (MQTT 5, section 4.12).
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_with_mechanisms(
        config: Config,
        mechanisms: Arc<dyn Mechanisms>,
    ) -> Result<Broker, StartError> {
        start::start(&config, mechanisms)
    }

    /// Where it listens, with the ports that were picked, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|(_, address)| *address).collect()
    }

    /// `ready tcp://127.0.0.1:1883 ...`: what the binary prints when clients may come.
    pub fn ready_line(&self) -> String {
        self.addresses.iter().fold("ready".to_owned(), |line, (Scheme::Tcp, address)| {
            format!("{line} tcp://{address}")
        })
    }

    /// The figures of all threads, a few milliseconds old.
    pub fn stats(&self) -> Figures {
        Figures {
            sessions: board::sum(self.boards.iter().map(|it| &**it)),
            lobby: self.lobby.figures(),
        }
    }

    /// Ends the connection of a client, if it has one, with DISCONNECT 0x98 (administrative
    /// action). Its session stays.
    pub fn disconnect(&self, client_id: &str) {
        let shard = shard_of(partition_of(client_id), self.doors.len() as u16);
        let code = ReasonCode::AdministrativeAction;
        let command = Command::Disconnect { client_id: client_id.to_owned(), code };
        self.doors[usize::from(shard.0)].leave(Parcel::Command(command));
    }

    /// Lets nobody in any more, tells every client that the server is shutting down (0x8B), writes
    /// what is left and ends all threads. Whatever is not done after `deadline` is cut off.
    ///
    /// # Errors
    /// When a thread has failed.
    pub fn shutdown(self, deadline: Duration) -> Result<(), RunError> {
        shutdown::shutdown(self, deadline)
    }

    /// From now on SIGTERM and SIGINT do not end the process but are kept for
    /// [`Broker::run_until_signal`]. Call it before anybody is told that the broker runs.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn catch_signals(&mut self) -> Result<(), RunError> {
        self.signals = Some(shutdown::SignalWatch::start(self.notice_sender.clone())?);
        Ok(())
    }

    /// Runs until SIGTERM or SIGINT, then shuts down in an orderly way. A second signal ends the
    /// process at once.
    ///
    /// # Errors
    /// When the broker fails by itself.
    pub fn run_until_signal(self) -> Result<(), RunError> {
        shutdown::run_until_signal(self)
    }
}
