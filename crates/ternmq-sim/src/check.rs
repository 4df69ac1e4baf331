//! The checkers: what must hold in every run, whatever went wrong in it. Each looks only at the
//! history of the run, through [`Facts`], so that each can be shown a wrong one.
//!
//! They judge what a subscriber, a publisher and the standard can see; how the broker does it is
//! not their business, except that [`gate`] knows that there are commits. [`bounds`] is the other
//! exception: it looks at the nodes while they run.

pub mod bounds;
pub mod delivery;
pub mod gate;
pub mod identifier;
pub mod order;
pub mod retained;
pub mod session;
pub mod share;
pub mod will;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::facts::Facts;
use crate::history::Tick;

/// Something that must never happen, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule was broken.
    pub invariant: &'static str,
    /// When.
    pub at: u64,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at / 1_000_000, self.at % 1_000_000);
        write!(f, "t={seconds}.{micros:06}s {}: {}", self.invariant, self.what)
    }
}

/// Counts what was checked and keeps what was wrong.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Single comparisons made.
    pub checks: u64,
    /// Those that failed.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// One comparison.
    pub fn expect(
        &mut self,
        holds: bool,
        invariant: &'static str,
        at: u64,
        what: impl FnOnce() -> String,
    ) {
        self.checks += 1;
        if !holds {
            self.violations.push(Violation { invariant, at, what: what() });
        }
    }

    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Every checker that needs only the history.
pub fn judge(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    delivery::check(facts, &mut verdict);
    order::check(facts, &mut verdict);
    identifier::check(facts, &mut verdict);
    session::check(facts, &mut verdict);
    retained::check(facts, &mut verdict);
    will::check(facts, &mut verdict);
    share::check(facts, &mut verdict);
    gate::check(facts, &mut verdict);
    verdict.violations.sort_by_key(|violation| violation.at);
    verdict
}

/// Time of a tick, for a report.
fn time(facts: &Facts<'_>, tick: Tick) -> u64 {
    facts.history.time(tick)
}
