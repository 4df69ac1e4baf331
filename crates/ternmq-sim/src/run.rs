//! One seed, from its configuration to its verdict.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ternmq_proto::Qos;

use crate::check::{self, Violation};
use crate::config::Config;
use crate::facts::Facts;
use crate::fault::FaultCounts;
use crate::history::{Event, Flow, History};
use crate::link::NEVER;
use crate::world::World;

/// What became of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// Its configuration.
    pub config: Config,
    /// What happened.
    pub history: History,
    /// What went wrong on purpose.
    pub faults: FaultCounts,
    /// What must not have happened, earliest first.
    pub violations: Vec<Violation>,
    /// Comparisons made.
    pub checks: u64,
    /// The same for every run of this seed.
    pub hash: u64,
}

/// Runs a seed to its end, or to `until` (virtual microseconds). A panic is a violation.
pub fn run(seed: u64, until: Option<u64>) -> Outcome {
    let config = Config::from_seed(seed);
    run_config(&config, until)
}

/// Runs a configuration.
pub fn run_config(config: &Config, until: Option<u64>) -> Outcome {
    let caught = catch_unwind(AssertUnwindSafe(|| simulate(config, until)));
    caught.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        let violation = Violation { invariant: "no-panic", at: 0, what: text.to_owned() };
        Outcome {
            config: config.clone(),
            history: History::default(),
            faults: FaultCounts::default(),
            violations: vec![violation],
            checks: 0,
            hash: 0,
        }
    })
}

fn simulate(config: &Config, until: Option<u64>) -> Outcome {
    let (record, ended_at) = World::new(config, until.unwrap_or(NEVER)).run();
    let hash = record.hash();
    let mut violations = record.violations;
    let mut checks = 0;
    if until.is_none() {
        let facts = Facts::new(&record.history, ended_at);
        let verdict = check::judge(&facts);
        checks = verdict.checks;
        violations.extend(verdict.violations);
    }
    violations.sort_by_key(|violation| violation.at);
    let (history, faults) = (record.history, record.faults);
    Outcome { config: config.clone(), history, faults, violations, checks, hash }
}

/// Sums over many seeds.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Application commands.
    pub operations: u64,
    /// PUBLISH packets that nodes took, by QoS.
    pub published: [u64; 3],
    /// Messages that applications got, by QoS.
    pub delivered: [u64; 3],
    /// Connections that nodes served.
    pub connections: u64,
    /// Comparisons made.
    pub checks: u64,
    /// Faults that had their effect.
    pub faults: FaultCounts,
}

impl Totals {
    /// Adds one seed.
    pub fn count(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.operations += u64::from(outcome.config.operations);
        self.connections += outcome.history.connections.len() as u64;
        self.checks += outcome.checks;
        self.faults.add(&outcome.faults);
        for entry in &outcome.history.log {
            match entry.event {
                Event::Up(_, Flow::Publish(publish)) => self.published[level(publish.qos)] += 1,
                Event::Delivered(delivered) => self.delivered[level(delivered.qos)] += 1,
                _ => {}
            }
        }
    }

    /// Adds the sums of another thread.
    pub fn add(&mut self, other: &Totals) {
        self.seeds += other.seeds;
        self.operations += other.operations;
        self.connections += other.connections;
        self.checks += other.checks;
        self.faults.add(&other.faults);
        for index in 0..3 {
            self.published[index] += other.published[index];
            self.delivered[index] += other.delivered[index];
        }
    }
}

fn level(qos: Qos) -> usize {
    usize::from(qos.bits())
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_qos = |counts: [u64; 3]| format!("{} / {} / {}", counts[0], counts[1], counts[2]);
        writeln!(f, "schedules      {:>14}", self.seeds)?;
        writeln!(f, "operations     {:>14}", self.operations)?;
        writeln!(f, "connections    {:>14}", self.connections)?;
        writeln!(f, "published      QoS 0/1/2: {}", by_qos(self.published))?;
        writeln!(f, "delivered      QoS 0/1/2: {}", by_qos(self.delivered))?;
        writeln!(f, "comparisons    {:>14}", self.checks)?;
        writeln!(f, "faults that had their effect:")?;
        write!(f, "{}", self.faults)
    }
}
