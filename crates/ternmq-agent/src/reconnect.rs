//! When to try again: exponential backoff with full jitter, from a seeded generator.

use std::time::Duration;

use crate::options::Reconnect;

/// How long to wait before the next attempt.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: Random,
    /// Attempts since the last connection that held.
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Backoff { random: Random(seed), failures: 0 }
    }

    /// The wait before the very first attempt, so that a fleet that starts together does not arrive
    /// together. Microseconds.
    pub(crate) fn first(&mut self, policy: &Reconnect) -> u64 {
        self.random.up_to(micros(policy.spread))
    }

    /// The wait after a failure, in microseconds; `None` when it is not tried again.
    pub(crate) fn next(&mut self, policy: &Reconnect) -> Option<u64> {
        if policy.attempts_max.is_some_and(|max| self.failures >= max) {
            return None;
        }
        let ceiling = ceiling_micros(policy, self.failures);
        self.failures = self.failures.saturating_add(1);
        Some(self.random.up_to(ceiling))
    }

    /// A connection ended that had held for `micros`. Only one that held longer than the wait that
    /// it had cost starts the backoff anew: a server that accepts and closes at once is not asked
    /// every second for ever.
    pub(crate) fn held(&mut self, policy: &Reconnect, micros: u64) {
        if micros >= ceiling_micros(policy, self.failures.saturating_sub(1)) {
            self.failures = 0;
        }
    }
}

fn ceiling_micros(policy: &Reconnect, failures: u32) -> u64 {
    let factor = 1u64.checked_shl(failures).unwrap_or(u64::MAX);
    micros(policy.first).saturating_mul(factor).min(micros(policy.max))
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// SplitMix64: small, seeded, good enough to spread clients.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..=max`, by the high half of a product.
    fn up_to(&mut self, max: u64) -> u64 {
        let product = u128::from(self.next()) * (u128::from(max) + 1);
        (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(seed: u64, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::new(seed);
        (0..count).filter_map(|_| backoff.next(&Reconnect::default())).collect()
    }

    #[test]
    fn the_wait_doubles_from_one_second_to_two_minutes_with_full_jitter() {
        let mut largest = [0; 12];
        for seed in 0..2_000 {
            for (most, wait) in largest.iter_mut().zip(waits(seed, 12)) {
                *most = wait.max(*most);
            }
        }
        for (failures, &most) in largest.iter().enumerate() {
            let ceiling = (1_000_000u64 << failures).min(120_000_000);
            assert!(most <= ceiling, "wait {failures} was {most}");
            assert!(most > ceiling * 9 / 10, "wait {failures} never came near {ceiling}");
        }
    }

    #[test]
    fn a_seed_repeats_and_seeds_differ() {
        assert_eq!(waits(7, 20), waits(7, 20));
        assert_ne!(waits(7, 20), waits(8, 20));
    }

    #[test]
    fn only_a_connection_that_held_starts_the_backoff_anew() {
        let policy = Reconnect::default();
        let mut backoff = Backoff::new(1);
        for _ in 0..5 {
            backoff.next(&policy);
        }
        backoff.held(&policy, 15_999_999);
        assert_eq!(backoff.failures, 5);
        backoff.held(&policy, 16_000_000);
        assert_eq!(backoff.failures, 0);
    }

    #[test]
    fn attempts_are_counted_and_end() {
        let policy = Reconnect { attempts_max: Some(2), ..Reconnect::default() };
        let mut backoff = Backoff::new(1);
        assert!(backoff.next(&policy).is_some());
        assert!(backoff.next(&policy).is_some());
        assert_eq!(backoff.next(&policy), None);
        assert_eq!(Backoff::new(1).next(&Reconnect::never()), None);
    }
}
