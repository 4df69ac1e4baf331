//! `ternmq-sim`: runs simulated schedules by seed and says what was wrong with them.
//!
//! The only part of the crate that has threads and looks at a clock: each thread runs whole seeds,
//! so neither has any influence on what a seed does.

mod args;
mod planted;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use args::{Args, Order};
use planted::Hunt;
use ternmq_sim::history::Tick;
use ternmq_sim::record;
use ternmq_sim::run::{self, Outcome, Totals};

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let order = match args::parse(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(message) => {
            eprintln!("ternmq-sim: {message}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    match order {
        Order::Help => {
            println!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Order::Run(args) => match &args.planted {
            Some(name) => hunt(name, &args),
            None => run_seeds(&args),
        },
    }
}

fn run_seeds(args: &Args) -> ExitCode {
    if let Some(seed) = args.seed {
        return run_one(seed, args);
    }
    let began = now();
    let (totals, failed) = run_all(args, true, args.failures_max);
    let seconds = now().duration_since(began).as_secs_f64();
    println!("{totals}");
    println!("{:.1} s, {:.0} schedules/s", seconds, totals.seeds as f64 / seconds);
    if failed.is_empty() {
        println!("no invariant was broken");
        return ExitCode::SUCCESS;
    }
    println!("{} schedules broke an invariant", failed.len());
    for outcome in &failed {
        report(outcome);
    }
    ExitCode::FAILURE
}

fn run_one(seed: u64, args: &Args) -> ExitCode {
    let outcome = run::run(seed, args.until);
    if let Some(filter) = &args.trace {
        trace(&outcome, filter);
    }
    println!("{}", outcome.config);
    println!("hash={:#018x}", outcome.hash);
    let mut totals = Totals::default();
    totals.count(&outcome);
    println!("{totals}");
    for violation in &outcome.violations {
        println!("FAILED  {violation}");
    }
    if outcome.violations.is_empty() {
        println!("no invariant was broken");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// Prints the entries of the log that name one of the filter's words; `all` prints every one.
fn trace(outcome: &Outcome, filter: &str) {
    let words: Vec<&str> = filter.split(',').collect();
    for index in 0..outcome.history.log.len() {
        let line = record::describe(&outcome.history, Tick(index as u32));
        let named = line.split_whitespace().any(|word| words.contains(&word));
        if named || words.contains(&"all") {
            println!("{line}");
        }
    }
}

fn report(outcome: &Outcome) {
    println!();
    println!("{}", outcome.config);
    for violation in outcome.violations.iter().take(5) {
        println!("FAILED  {violation}");
    }
    println!("replay  cargo xtask sim --seed {:#x}", outcome.config.seed);
}

fn hunt(name: &str, args: &Args) -> ExitCode {
    let bugs = match planted::named(name) {
        Ok(bugs) => bugs,
        Err(message) => {
            eprintln!("ternmq-sim: {message}");
            return ExitCode::from(2);
        }
    };
    let mut all_found = true;
    for bug in &bugs {
        match planted::hunt(*bug, args) {
            Ok(Hunt { line, found }) => {
                println!("{line}");
                all_found &= found.is_some();
                if let (Some(outcome), [_]) = (found, &bugs[..]) {
                    report(&outcome);
                }
            }
            Err(message) => {
                eprintln!("ternmq-sim: {message}");
                return ExitCode::from(2);
            }
        }
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs schedules until so many have failed. Returns the sums and the outcomes that were wrong.
fn run_all(args: &Args, shows_progress: bool, failures_max: usize) -> (Totals, Vec<Outcome>) {
    let Args { seeds, first, threads, .. } = *args;
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let shared = Mutex::new((Totals::default(), Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..threads.max(1) {
            let (next, stop, shared) = (&next, &stop, &shared);
            scope.spawn(move || {
                let mut totals = Totals::default();
                let mut last = now();
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        break;
                    }
                    let outcome = run::run(first + number, None);
                    totals.count(&outcome);
                    if !outcome.violations.is_empty() {
                        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        shared.1.push(outcome);
                        stop.store(shared.1.len() >= failures_max, Ordering::Relaxed);
                    }
                    let is_due = now().duration_since(last) > PROGRESS;
                    if shows_progress && thread == 0 && is_due {
                        last = now();
                        println!("{number} of {seeds} schedules");
                    }
                }
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.0.add(&totals);
            });
        }
    });
    let (totals, mut failed) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|outcome: &Outcome| outcome.config.seed);
    (totals, failed)
}

#[expect(clippy::disallowed_methods, reason = "a person waits: progress is shown in real time")]
fn now() -> Instant {
    Instant::now()
}
