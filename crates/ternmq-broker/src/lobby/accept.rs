//! Accepting from one listening socket, also when the process has no descriptor left.

use std::fs::File;
use std::io;
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;

use crate::stream::Stream;

/// One listening socket.
pub struct Acceptor {
    listener: TcpListener,
    /// Whether clients without credentials are taken here.
    pub anonymous: bool,
    /// Somebody may be waiting: set by an event, cleared when there was nobody.
    pub is_ready: bool,
    /// After an error: not before this time.
    paused_until: u64,
}

/// What came of accepting once.
pub enum Arrival {
    /// A stranger.
    Guest(Stream, SocketAddr),
    /// Somebody whom there was no descriptor for, and who was sent away.
    TurnedAway,
    /// The system refuses; the next try is later.
    Failed(io::Error),
}

/// A descriptor that is given up to turn one connection away when there is no other.
pub struct Reserve(Option<File>);

impl Acceptor {
    /// Of a socket that listens.
    pub fn new(listener: TcpListener, anonymous: bool) -> Acceptor {
        // Clients may have come before the socket was watched.
        Acceptor { listener, anonymous, is_ready: true, paused_until: 0 }
    }

    /// Watches it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.listener.register(registry, token, Interest::READABLE)
    }

    /// When accepting can go on without a further event, if it can.
    pub fn next_try(&self, now: u64) -> Option<u64> {
        self.is_ready.then(|| self.paused_until.max(now))
    }

    /// Accepts one connection; `None`: nobody waits, or not now.
    pub fn accept(&mut self, now: u64, reserve: &mut Reserve) -> Option<Arrival> {
        if !self.is_ready || now < self.paused_until {
            return None;
        }
        match self.listener.accept() {
            Ok((stream, peer)) => {
                // What a turn has for a client leaves in one write: waiting for more only delays.
                // A socket that refuses the option is as good as closed, and will say so.
                drop(stream.set_nodelay(true));
                Some(Arrival::Guest(Stream::Tcp(stream), peer))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_ready = false;
                None
            }
            Err(error) if is_out_of_descriptors(&error) => {
                if reserve.turn_one_away(&self.listener) {
                    return Some(Arrival::TurnedAway);
                }
                self.paused_until = now + PAUSE_US;
                Some(Arrival::Failed(error))
            }
            // The stranger gave up before it was let in.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                ) =>
            {
                None
            }
            Err(error) => {
                self.paused_until = now + PAUSE_US;
                Some(Arrival::Failed(error))
            }
        }
    }
}

impl Reserve {
    /// Takes the descriptor.
    ///
    /// # Errors
    /// When there is none even now.
    pub fn new() -> io::Result<Reserve> {
        Ok(Reserve(Some(open_any()?)))
    }

    /// Spends the reserve on one connection and takes it back. `false`: it could not.
    fn turn_one_away(&mut self, listener: &TcpListener) -> bool {
        if self.0.take().is_none() {
            self.0 = open_any().ok();
            return false;
        }
        let accepted = listener.accept();
        let turned_away = accepted.is_ok();
        drop(accepted);
        self.0 = open_any().ok();
        turned_away
    }
}

fn open_any() -> io::Result<File> {
    File::open("/dev/null")
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|it| Some(it.raw_os_error()) == code)
}

/// How long accepting rests after an error that is not the stranger's.
const PAUSE_US: u64 = 100_000;
