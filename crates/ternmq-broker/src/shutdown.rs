//! The end of a broker: on a signal, on request, or because a thread failed.
//!
//! First the lobby closes, so that nobody comes any more. Then every shard tells its clients and
//! sees them out. When all shards are quiet, or the deadline has passed, the threads end.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use ternmq_engine::Command;

use crate::control::{Broker, Notice};
use crate::error::RunError;
use crate::hand_off::{Door, Parcel};

/// How long clients may take to read that the server is shutting down.
const DEADLINE: Duration = Duration::from_secs(5);

/// See [`Broker::shutdown`].
pub fn shutdown(broker: Broker, deadline: Duration) -> Result<(), RunError> {
    broker.lobby.close();
    // A client that the lobby let in after the others were told would never be told.
    drop(broker.lobby_thread.join());
    let result = see_out(&broker.doors, &broker.notices, deadline);
    for thread in broker.shard_threads {
        // How it ended was a notice already.
        drop(thread.join());
    }
    result
}

/// Tells every shard to see its clients out, and ends it when all have done so.
fn see_out(doors: &[Door], notices: &Receiver<Notice>, deadline: Duration) -> Result<(), RunError> {
    for door in doors {
        door.leave(Parcel::Command(Command::Shutdown));
    }
    let result = wait_until_quiet(doors.len(), notices, deadline);
    for door in doors {
        door.leave(Parcel::Stop);
    }
    result
}

/// See [`Broker::run_until_signal`].
pub fn run_until_signal(mut broker: Broker) -> Result<(), RunError> {
    if broker.signals.is_none() {
        broker.catch_signals()?;
    }
    let signals = broker.signals.take();
    let result = match broker.notices.recv() {
        Ok(Notice::Signal(signal)) => {
            tracing::info!(signal, "shutting down");
            shutdown(broker, DEADLINE)
        }
        Ok(Notice::Failed(thread)) => {
            // Half-changed state must not go on, not even to say goodbye.
            Err(RunError::ThreadFailed { thread })
        }
        Ok(Notice::Quiet) | Err(_) => Ok(()),
    };
    drop(signals);
    result
}

/// A thread that turns SIGTERM and SIGINT into notices. Dropping it ends the thread.
pub struct SignalWatch {
    handle: signal_hook::iterator::Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl SignalWatch {
    pub fn start(notices: Sender<Notice>) -> Result<SignalWatch, RunError> {
        let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(RunError::Signals)?;
        let handle = signals.handle();
        let listen = move || {
            for (count, signal) in signals.forever().enumerate() {
                if count > 0 {
                    // Asked twice: somebody does not want to wait.
                    std::process::exit(128 + signal);
                }
                // Nobody to hear it: the broker is over.
                drop(notices.send(Notice::Signal(signal)));
            }
        };
        let thread = thread::Builder::new().name("signals".to_owned()).spawn(listen);
        let thread = Some(thread.map_err(RunError::Signals)?);
        Ok(SignalWatch { handle, thread })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        // It only listens; there is nothing to learn from how it ended.
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

fn wait_until_quiet(
    shards: usize,
    notices: &Receiver<Notice>,
    deadline: Duration,
) -> Result<(), RunError> {
    let end = now() + deadline;
    let mut left = shards;
    while left > 0 {
        match notices.recv_timeout(end.saturating_duration_since(now())) {
            Ok(Notice::Quiet) => left -= 1,
            Ok(Notice::Failed(thread)) => return Err(RunError::ThreadFailed { thread }),
            Ok(Notice::Signal(_)) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                tracing::warn!("not every client was gone in time");
                return Ok(());
            }
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a deadline for real threads is real time")]
fn now() -> Instant {
    Instant::now()
}
