//! Runs cases against a broker, several at once, and reports what they found.

use crate::case::Case;
use crate::check::Stop;
use crate::clock;
use crate::scene::Scene;
use crate::version::Version;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Which cases to run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The versions to examine.
    pub versions: Vec<Version>,
    /// Only cases whose name contains this; all if empty.
    pub filter: String,
    /// How long to wait for an answer that should come at once.
    pub patience: Duration,
    /// How many cases run at the same time.
    pub parallel: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            versions: Version::ALL.to_vec(),
            filter: String::new(),
            patience: Duration::from_secs(5),
            parallel: 16,
        }
    }
}

/// What one case found for one version.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// The case's name.
    pub name: &'static str,
    /// The version for which it ran.
    pub version: Version,
    /// The statements that it proves for this version.
    pub proves: Vec<String>,
    /// What it found.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker did what the standard says.
    Passed,
    /// It did not.
    Failed {
        /// What the standard asks for.
        expected: String,
        /// What the broker did.
        seen: String,
    },
    /// The broker announces that it lacks what the case examines.
    NotApplicable(String),
}

/// What all cases found, in the order of the versions and of the cases.
#[derive(Debug, Clone)]
pub struct Report {
    /// One result for each case and version.
    pub results: Vec<CaseResult>,
}

impl Report {
    /// Whether no case failed.
    #[must_use]
    pub fn all_passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The results that are failures.
    pub fn failures(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|result| matches!(result.outcome, Outcome::Failed { .. }))
    }
}

/// Runs the cases that the options choose against the broker at that address, and returns when
/// all have ended. Retained messages and sessions are removed again.
#[must_use]
pub fn run(target: SocketAddr, options: &Options) -> Report {
    let chosen = chosen(options);
    let mut order: Vec<usize> = (0..chosen.len()).collect();
    order.sort_by_key(|index| !chosen[*index].0.is_slow());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(chosen.len()));
    let run_tag = run_tag();
    thread::scope(|scope| {
        for _ in 0..options.parallel.clamp(1, chosen.len().max(1)) {
            scope.spawn(|| {
                while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (case, version) = chosen[*index];
                    let tag = format!("{run_tag}{}", base36(*index as u64, 3));
                    let scene = Scene::new(target, version, options.patience, tag);
                    let result = examine(case, &scene);
                    results
                        .lock()
                        .unwrap_or_else(|broken| broken.into_inner())
                        .push((*index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|broken| broken.into_inner());
    results.sort_by_key(|(index, _)| *index);
    Report { results: results.into_iter().map(|(_, result)| result).collect() }
}

/// Runs one case, by its name, for one version; `None` if there is no such case for that version.
#[must_use]
pub fn run_case(
    target: SocketAddr,
    name: &str,
    version: Version,
    patience: Duration,
) -> Option<CaseResult> {
    let case = crate::cases().iter().find(|case| case.name() == name)?;
    case.versions().contains(&version).then(|| {
        let tag = format!("{}one", run_tag());
        examine(case, &Scene::new(target, version, patience, tag))
    })
}

fn chosen(options: &Options) -> Vec<(&'static Case, Version)> {
    let mut chosen = Vec::new();
    for version in &options.versions {
        for case in crate::cases() {
            if case.versions().contains(version) && case.name().contains(&options.filter) {
                chosen.push((case, *version));
            }
        }
    }
    chosen
}

fn examine(case: &Case, scene: &Scene) -> CaseResult {
    let started = clock::now();
    let outcome = match (case.examine)(scene) {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed { expected, seen }) => Outcome::Failed { expected, seen },
        Err(Stop::NotApplicable(why)) => Outcome::NotApplicable(why),
    };
    let took = clock::now() - started;
    scene.sweep();
    let version = scene.version;
    CaseResult { name: case.name(), version, proves: case.proves(version), outcome, took }
}

/// Eight letters and digits that no other run has.
fn run_tag() -> String {
    base36(clock::unique() / 1_000, 8)
}

/// The last `width` digits of a number in base 36: letters and digits are what every broker must
/// take in a client identifier.
fn base36(mut number: u64, width: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut out = vec![b'0'; width];
    for place in out.iter_mut().rev() {
        *place = DIGITS[(number % 36) as usize];
        number /= 36;
    }
    out.into_iter().map(char::from).collect()
}
