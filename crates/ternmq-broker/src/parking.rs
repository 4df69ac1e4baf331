//! Who has to wake a sleeping shard: at most one of those who left it something, and nobody while
//! it is awake.
//!
//! A wake-up is a system call, and a busy shard looks at its rings every turn anyway. So a shard
//! says that it is about to sleep, looks once more, and only then sleeps; whoever leaves something
//! looks whether it said so. The two fences make sure that at least one of them sees the other:
//!
//! ```text
//!   sleeper: parked = true;  fence;  look at the rings        (still empty: sleep)
//!   sender:  push to a ring; fence;  look at `parked`         (true: wake)
//! ```
//!
//! This is the flag only; the sleeping and the waking are the caller's (`poll` and a `mio::Waker`).
//! Its proof tries the interleavings one by one and is built for that alone:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p ternmq-broker --lib loom_tests --target-dir target/loom
//! ```

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Whether one shard sleeps, or is about to.
#[derive(Debug)]
pub struct Parking {
    parked: AtomicBool,
}

impl Parking {
    /// Of a shard that is awake.
    pub fn new() -> Parking {
        Parking { parked: AtomicBool::new(false) }
    }

    /// Called by the shard before it sleeps. `is_idle` looks at everything that others fill.
    /// `false`: something came in between, do not sleep.
    #[must_use]
    pub fn prepare(&self, is_idle: impl FnOnce() -> bool) -> bool {
        // A swap, so that it is ordered with the swap of a sender that comes late.
        self.parked.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        let may_sleep = is_idle();
        if !may_sleep {
            self.leave();
        }
        may_sleep
    }

    /// Called by the shard when it is awake again, for whatever reason.
    pub fn leave(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Called by a sender after it has left something. `true`: this sender, and no other, has to
    /// wake the shard.
    #[must_use]
    pub fn claim_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let parking = Parking::new();
        assert!(!parking.claim_wake(), "it is awake");
        assert!(parking.prepare(|| true));
        assert!(parking.claim_wake());
        assert!(!parking.claim_wake(), "somebody else is already waking it");
    }

    #[test]
    fn a_shard_that_finds_something_stays_awake() {
        let parking = Parking::new();
        assert!(!parking.prepare(|| false));
        assert!(!parking.claim_wake());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Condvar, Mutex};

    /// A ring as far as parking sees it (rtrb publishes its positions with Release and reads them
    /// with Acquire), and an eventfd: what wakes, even when the wake-up came first.
    #[derive(Default)]
    struct World {
        parking: Option<Parking>,
        pushed: AtomicUsize,
        rung: Mutex<bool>,
        bell: Condvar,
    }

    impl World {
        fn new() -> Arc<World> {
            Arc::new(World { parking: Some(Parking::new()), ..World::default() })
        }

        fn parking(&self) -> &Parking {
            self.parking.as_ref().expect("made with one")
        }

        fn push(&self) {
            self.pushed.fetch_add(1, Ordering::Release);
            if self.parking().claim_wake() {
                *self.rung.lock().expect("not poisoned") = true;
                self.bell.notify_one();
            }
        }

        /// Takes bags until it has `count`; sleeps whenever there is none. A lost wake-up is a
        /// deadlock, which loom reports.
        fn take(&self, count: usize) {
            let mut taken = 0;
            while taken < count {
                taken = self.pushed.load(Ordering::Acquire);
                let is_idle = || self.pushed.load(Ordering::Acquire) == taken;
                if taken < count && self.parking().prepare(is_idle) {
                    let mut rung = self.rung.lock().expect("not poisoned");
                    while !*rung {
                        rung = self.bell.wait(rung).expect("not poisoned");
                    }
                    *rung = false;
                    drop(rung);
                    self.parking().leave();
                }
            }
        }
    }

    #[test]
    fn no_wake_up_is_lost_with_one_sender() {
        loom::model(|| {
            let world = World::new();
            let sender = Arc::clone(&world);
            let thread = loom::thread::spawn(move || {
                sender.push();
                sender.push();
            });
            world.take(2);
            thread.join().expect("the sender ends");
        });
    }

    #[test]
    fn no_wake_up_is_lost_with_two_senders() {
        // All interleavings of three threads are too many; those with few switches find the bugs.
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(2);
        bounded.check(|| {
            let world = World::new();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let sender = Arc::clone(&world);
                    loom::thread::spawn(move || sender.push())
                })
                .collect();
            world.take(2);
            for thread in threads {
                thread.join().expect("a sender ends");
            }
        });
    }
}
