//! The real clock, read once per turn.

use std::time::{Duration, Instant, SystemTime};

use ternmq_engine::Now;

/// Reads the time as the engine wants it. Copies share their start, so that their monotonic times
/// can be compared.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// The latest wall time given out, in microseconds: it never goes back.
    wall: u64,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    pub fn start() -> Clock {
        Clock { start: Instant::now(), wall: 0 }
    }

    /// The time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    pub fn now(&mut self) -> Now {
        let mono = micros(self.start.elapsed());
        // A wall clock before 1970 counts as 1970.
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, micros);
        self.wall = self.wall.max(wall);
        Now { mono, wall: self.wall }
    }
}

/// A duration in the engine's unit.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
