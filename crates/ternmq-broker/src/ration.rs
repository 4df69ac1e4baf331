//! How often something may be logged that strangers can cause.

/// Allows some events per second and counts those that it does not.
#[derive(Debug)]
pub struct Ration {
    per_second: u32,
    second: u64,
    taken: u32,
    skipped: u64,
}

impl Ration {
    /// Allows `per_second` events in each second.
    pub fn per_second(per_second: u32) -> Ration {
        Ration { per_second, second: 0, taken: 0, skipped: 0 }
    }

    /// Asks for one event, at `now` microseconds. `Some`: it is allowed, and this many were not
    /// since the last that was.
    pub fn take(&mut self, now: u64) -> Option<u64> {
        let second = now / 1_000_000;
        if second != self.second {
            self.second = second;
            self.taken = 0;
        }
        if self.taken == self.per_second {
            self.skipped += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_said_next_time() {
        let mut ration = Ration::per_second(2);
        assert_eq!(ration.take(5), Some(0));
        assert_eq!(ration.take(6), Some(0));
        assert_eq!(ration.take(7), None);
        assert_eq!(ration.take(8), None);
        assert_eq!(ration.take(1_000_000), Some(2));
        assert_eq!(ration.take(1_000_001), Some(0));
    }
}
