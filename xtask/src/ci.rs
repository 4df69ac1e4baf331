//! The whole check: steps in one fixed order, cheapest first, each with its time.
//!
//! Fails fast: the first step that fails ends the run, and the summary says which. Two profiles
//! only (dev for tests, release for what is measured or run for long), because every further
//! combination builds everything once more.

use std::time::{Duration, Instant};

use crate::process::Run;
use crate::{conformance, docs, fuzz, setup, tidy_task};

/// Seeds of the simulator in every run; `cargo xtask sim --seeds N` runs more.
const SIM_SEEDS: &str = "2000";
/// Seconds for each fuzz target in every run; `cargo xtask fuzz --seconds N` runs longer.
const FUZZ_SECONDS: &str = "10";

struct Step {
    name: &'static str,
    run: fn() -> Result<(), String>,
}

/// Everything that must pass.
const STEPS: [Step; 12] = [
    Step { name: "packages from outside", run: setup::run },
    Step { name: "Cargo.lock is current", run: || shown(Run::cargo(&["fetch", "--locked"])) },
    Step { name: "formatting", run: formatting },
    Step { name: "house rules", run: tidy_task },
    Step { name: "clippy", run: clippy },
    Step { name: "tests", run: || shown(Run::cargo(&["test", "--workspace", "--quiet"])) },
    Step { name: "generated pages", run: docs::check },
    Step { name: "optimised build", run: optimised_build },
    Step { name: "simulated schedules", run: simulation },
    Step { name: "fuzzing", run: || fuzz::run(&["--seconds", FUZZ_SECONDS]) },
    Step { name: "the examiner", run: || conformance::run(&[]) },
    Step { name: "real clients", run: || shown(Run::python(&["tests/run.py"])) },
];

/// The steps that run no test.
const LINT: [Step; 3] = [
    Step { name: "formatting", run: formatting },
    Step { name: "house rules", run: tidy_task },
    Step { name: "clippy", run: clippy },
];

/// # Errors
/// The first step that failed.
pub fn run() -> Result<(), String> {
    run_steps(&STEPS, &mut now)
}

/// # Errors
/// The first step that failed.
pub fn lint() -> Result<(), String> {
    run_steps(&LINT, &mut now)
}

fn formatting() -> Result<(), String> {
    shown(Run::cargo(&["fmt", "--all", "--", "--check"]))?;
    shown(Run::cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--", "--check"]))
}

fn clippy() -> Result<(), String> {
    shown(Run::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// One by one, as the later steps ask for them: together they would be built with the features of
/// all three, and then again.
fn optimised_build() -> Result<(), String> {
    let programs = ["ternmq", "ternmq-sim", "ternmq-conformance"];
    programs
        .into_iter()
        .try_for_each(|it| shown(Run::cargo(&["build", "--release", "--quiet", "--package", it])))
}

fn simulation() -> Result<(), String> {
    println!("$ cargo xtask sim --seeds {SIM_SEEDS}");
    crate::program("ternmq-sim", &["--seeds", SIM_SEEDS])
}

fn shown(run: Run) -> Result<(), String> {
    println!("$ {}", run.line());
    run.check()
}

fn run_steps(steps: &[Step], now: &mut dyn FnMut() -> Instant) -> Result<(), String> {
    let begin = now();
    let mut summary = Vec::new();
    let mut result = Ok(());
    for (index, step) in steps.iter().enumerate() {
        println!("\n=== {}/{} {}", index + 1, steps.len(), step.name);
        let started = now();
        result = (step.run)().map_err(|error| format!("{}: {error}", step.name));
        let took = now().duration_since(started);
        summary.push(row(if result.is_ok() { "ok" } else { "FAILED" }, took, step.name));
        if result.is_err() {
            summary.extend(
                steps[index + 1..].iter().map(|it| format!("not run            {}", it.name)),
            );
            break;
        }
    }
    println!("\n=== summary\n{}", summary.join("\n"));
    println!("{}", row("total", now().duration_since(begin), ""));
    result
}

fn row(verdict: &str, took: Duration, name: &str) -> String {
    format!("{verdict:<7} {:>8.1} s {name}", took.as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "a person waits for these steps: real time is shown")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run() {
        let begin = now();
        let steps = [
            Step { name: "one", run: || Ok(()) },
            Step { name: "two", run: || Err("broken".to_owned()) },
            Step { name: "three", run: || panic!("not to be run") },
        ];
        assert_eq!(run_steps(&steps, &mut || begin), Err("two: broken".to_owned()));
        assert_eq!(run_steps(&steps[..1], &mut || begin), Ok(()));
    }
}
