//! Whole schedules: the engine under faults keeps its promises, and a seed is the run.

use ternmq_sim::config::Config;
use ternmq_sim::fault::{Fault, FaultCounts};
use ternmq_sim::run;

/// Not the seeds that `cargo xtask sim` begins with.
const FIRST_SEED: u64 = 0x5EED_0000;
const SEEDS: u64 = 300;

#[test]
fn no_schedule_breaks_an_invariant_and_every_kind_of_fault_strikes() {
    let mut faults = FaultCounts::default();
    for seed in FIRST_SEED..FIRST_SEED + SEEDS {
        let outcome = run::run(seed, None);
        let broken: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "{}\n{}", outcome.config, broken.join("\n"));
        assert!(outcome.config.operations >= 200 && outcome.checks > 0);
        faults.add(&outcome.faults);
    }
    for fault in Fault::ALL {
        assert!(faults.of(fault) >= SEEDS / 10, "{}: {}", fault.name(), faults.of(fault));
    }
}

#[test]
fn a_seed_is_the_run() {
    let mut hashes = Vec::new();
    for seed in FIRST_SEED..FIRST_SEED + 20 {
        let (first, second) = (run::run(seed, None), run::run(seed, None));
        assert_eq!(first.hash, second.hash, "{}", first.config);
        assert_eq!(first.history.log.len(), second.history.log.len());
        hashes.push(first.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 20, "different seeds are different runs");
}

#[test]
fn a_run_can_be_stopped_in_the_middle() {
    let whole = run::run(FIRST_SEED, None);
    let half = run::run(FIRST_SEED, Some(20_000));
    assert!(half.history.log.len() < whole.history.log.len());
    assert!(half.history.log.iter().all(|entry| entry.at <= 30_000));
}

#[test]
fn a_lane_of_capacity_one_does_not_deadlock() {
    for seed in FIRST_SEED..FIRST_SEED + 30 {
        let mut config = Config::from_seed(seed);
        config.settings.shards = 4;
        config.settings.lane_credit = 1;
        config.ring_bags = 1;
        config.turn_bags = 1;
        let outcome = run::run_config(&config, None);
        let broken: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "{config}\n{}", broken.join("\n"));
    }
}
