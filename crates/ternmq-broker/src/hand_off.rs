//! What a shard is given from outside the shards: clients that the lobby has let in, and orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use ternmq_engine::Command;

use crate::lobby::Admission;
use crate::ring::Bell;
use crate::stream::Stream;

/// Clients and orders that may wait for one shard.
pub const INBOX_MAX: usize = 1_024;

/// A client on its way from the lobby to its shard.
pub struct HandOff {
    /// Taken out of the lobby's poll.
    pub stream: Stream,
    /// The place among the connections that it takes, until it is dropped.
    pub seat: Seat,
    /// What it has said so far.
    pub admission: Admission,
}

/// Everything that comes to a shard other than from its sockets and from other shards.
pub enum Parcel {
    /// A client.
    Client(Box<HandOff>),
    /// An order to the engine.
    Command(Command),
    /// The thread ends with this turn, whatever is left.
    Stop,
}

/// The way into one shard, from any thread.
#[derive(Clone)]
pub struct Door {
    inbox: SyncSender<Parcel>,
    bell: Arc<Bell>,
}

impl Door {
    /// The way to the receiving end of `inbox`, whose shard sleeps by `bell`.
    pub fn new(inbox: SyncSender<Parcel>, bell: Arc<Bell>) -> Door {
        Door { inbox, bell }
    }

    /// Leaves a parcel without waiting, and wakes the shard.
    ///
    /// # Errors
    /// The parcel, when too many wait there.
    pub fn try_leave(&self, parcel: Parcel) -> Result<(), Parcel> {
        match self.inbox.try_send(parcel) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(TrySendError::Full(parcel)) => Err(parcel),
            // The shard has ended: what is left for it ends, too.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    /// Leaves a parcel; waits while too many are there. A shard that has ended needs none.
    pub fn leave(&self, parcel: Parcel) {
        if self.inbox.send(parcel).is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Err(error) = self.bell.ring_loudly() {
            tracing::error!(%error, "cannot wake a shard");
        }
    }
}

/// How many clients there may be, and how many there are.
#[derive(Debug)]
pub struct Seats {
    taken: AtomicUsize,
    most: AtomicUsize,
    max: usize,
}

/// One client's place; given back when dropped.
#[derive(Debug)]
pub struct Seat(Arc<Seats>);

impl Seats {
    /// Room for `max` clients.
    pub fn new(max: usize) -> Arc<Seats> {
        Arc::new(Seats { taken: AtomicUsize::new(0), most: AtomicUsize::new(0), max })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many were taken at once, at the most.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Whether a further client would find no place.
    pub fn is_full(&self) -> bool {
        self.taken() >= self.max
    }

    /// Takes a place, if there is one.
    pub fn take(self: &Arc<Seats>) -> Option<Seat> {
        let more = |taken| (taken < self.max).then_some(taken + 1);
        let before = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.most.fetch_max(before + 1, Ordering::Relaxed);
        Some(Seat(Arc::clone(self)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_client_is_gone() {
        let seats = Seats::new(2);
        let first = seats.take().expect("free");
        let _second = seats.take().expect("free");
        assert!(seats.is_full());
        assert!(seats.take().is_none());
        drop(first);
        assert!(!seats.is_full());
        assert!(seats.take().is_some());
    }
}
