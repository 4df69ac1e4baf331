//! Planted bugs: the proof that the checkers can fail. Each is planted in turn, and schedules are
//! run until one of them finds it.

use ternmq_proto::planted::Bug;
use ternmq_sim::run::Outcome;

use crate::args::Args;

/// The bugs that the simulator is meant to find. What only a hostile client or another examiner's
/// codec can see is left to `ternmq-conformance`.
const OURS: &[Bug] = &[
    // Exactly once, order, durability, identifiers.
    Bug::DeliverQos2Again,
    Bug::AckBeforeCommit,
    Bug::ForgetPubrel,
    Bug::ForgetInboundOnTakeover,
    Bug::ReverseQueueOnResume,
    Bug::KeepIdAfterPubrecError,
    Bug::SubackBeforeInterest,
    Bug::DropHeldBack,
    Bug::ShowRetainedAgain,
    Bug::LoseReturnedShare,
    Bug::LeakCredit,
    Bug::QueueOvertaken,
    Bug::QueueWithoutBound,
    Bug::NoDupOnResume,
    // Sessions, wills, subscriptions.
    Bug::ForgetWill,
    Bug::WillAfterDisconnect,
    Bug::SessionPresentAlways,
    Bug::KeepSessionOnCleanStart,
    Bug::KeepAliveForever,
    Bug::UnsubscribeKeeps,
    Bug::SubackReversed,
    // What a message looks like.
    Bug::DeliverPublishedQos,
    Bug::CopyRetainFlag,
    Bug::NoLocalIgnored,
    Bug::KeepEmptyRetained,
    Bug::ExpiryNotReduced,
    Bug::DeliverExpired,
    Bug::OneIdentifier,
    Bug::ShareToAll,
    Bug::IgnorePacketSize,
];

/// What became of one planted bug.
pub struct Hunt {
    /// A line for the table.
    pub line: String,
    /// The first schedule that found it.
    pub found: Option<Outcome>,
}

/// The bugs that a name on the command line means.
///
/// # Errors
/// A sentence that lists the names there are.
pub fn named(name: &str) -> Result<Vec<Bug>, String> {
    if name == "all" {
        return Ok(OURS.to_vec());
    }
    let names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    let unknown = || format!("no bug is called {name}; there are {}", names.join(", "));
    Bug::from_name(name).map(|bug| vec![bug]).ok_or_else(unknown)
}

/// Plants a bug and runs schedules until one finds it.
///
/// # Errors
/// This program was built without planted bugs.
#[cfg(feature = "planted")]
pub fn hunt(bug: Bug, args: &Args) -> Result<Hunt, String> {
    use ternmq_proto::planted::plant;

    plant(Some(bug));
    let (totals, mut failed) = crate::run_all(args, false, 1);
    plant(None);
    let found = (!failed.is_empty()).then(|| failed.remove(0));
    let (name, seeds) = (bug.name(), totals.seeds);
    let line = match &found {
        Some(outcome) => format!(
            "{name:<28} found by seed {:#x}, schedule {:>5}: {}",
            outcome.config.seed,
            outcome.config.seed - args.first + 1,
            outcome.violations[0].invariant
        ),
        None => format!("{name:<28} NOT FOUND in {seeds} schedules"),
    };
    Ok(Hunt { line, found })
}

/// Plants a bug and runs schedules until one finds it.
///
/// # Errors
/// This program was built without planted bugs.
#[cfg(not(feature = "planted"))]
pub fn hunt(bug: Bug, _: &Args) -> Result<Hunt, String> {
    let name = bug.name();
    Err(format!("built without planted bugs, {name} among them; build it with --features planted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_wrong_ones_answered_with_a_list() {
        assert!(named("all").is_ok_and(|all| all.len() >= 10));
        assert_eq!(named("leak-credit"), Ok(vec![Bug::LeakCredit]));
        assert!(named("leek").is_err_and(|text| text.contains("leak-credit")));
    }
}
