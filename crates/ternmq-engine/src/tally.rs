//! Counts the bytes that clients make a shard keep. It counts what it is told; nothing here knows
//! what an allocator really takes.

use std::cell::Cell;
use std::rc::Rc;

/// A sum that many things share.
#[derive(Debug, Clone, Default)]
pub struct Tally(Rc<Cell<u64>>);

/// Bytes that count for as long as this exists.
#[derive(Debug)]
pub struct Charge {
    bytes: u64,
    tally: Tally,
}

impl Tally {
    pub fn bytes(&self) -> u64 {
        self.0.get()
    }

    pub fn charge(&self, bytes: u64) -> Charge {
        self.0.set(self.0.get() + bytes);
        Charge { bytes, tally: self.clone() }
    }
}

impl Clone for Charge {
    fn clone(&self) -> Self {
        self.tally.charge(self.bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.tally.0.set(self.tally.0.get() - self.bytes);
    }
}
