//! Time as an argument: the only clock that the engine has is the [`Now`] of the turn.

/// One instant on two clocks, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Since the process started; never goes back. Deadlines of connections are measured with it.
    pub mono: u64,
    /// Since the Unix epoch; the host takes care that it never goes back. Expiries are measured with
    /// it, because they have to survive a restart.
    pub wall: u64,
}

/// Microseconds of a second.
pub const SECOND: u64 = 1_000_000;

impl Now {
    /// The wall clock, `seconds` from now.
    pub fn wall_in(self, seconds: u32) -> u64 {
        self.wall.saturating_add(u64::from(seconds) * SECOND)
    }

    /// The monotonic instant at which the wall clock should show `wall`.
    pub fn mono_at(self, wall: u64) -> u64 {
        self.mono.saturating_add(wall.saturating_sub(self.wall))
    }
}
