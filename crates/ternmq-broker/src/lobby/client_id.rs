//! Client identifiers for clients that bring none.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Makes client identifiers that nobody has and nobody can guess: who knows a client's identifier
/// can take its session over.
#[derive(Debug)]
pub struct ClientIds {
    /// Keyed by the system's randomness; SipHash of a counter under a secret key cannot be told
    /// from random numbers.
    keys: [RandomState; 2],
    made: u64,
}

impl ClientIds {
    /// With fresh keys.
    pub fn new() -> ClientIds {
        ClientIds { keys: [RandomState::new(), RandomState::new()], made: 0 }
    }

    /// The next one: `auto-` and 32 hexadecimal digits.
    pub fn next(&mut self) -> String {
        self.made += 1;
        let [first, second] = self.keys.each_ref().map(|it| it.hash_one(self.made));
        format!("auto-{first:016x}{second:016x}")
    }
}

/// A number from the system's randomness.
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_identifier_is_made_twice_not_even_by_another_process() {
        let mut made = std::collections::BTreeSet::new();
        for _ in 0..2 {
            let mut ids = ClientIds::new();
            assert!((0..1_000).all(|_| made.insert(ids.next())));
        }
    }
}
