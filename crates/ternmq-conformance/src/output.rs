//! How the examiner shows its cases and its findings, to people and to programs.

use serde_json::{Value, json};
use ternmq_conformance::ledger::{self, Statement};
use ternmq_conformance::{Case, CaseResult, Options, Outcome, Report, Version, cases};

/// Shows the cases that the options choose.
pub(crate) fn list(options: &Options, as_json: bool) {
    let chosen: Vec<&Case> =
        cases().iter().filter(|case| case.name().contains(&options.filter)).collect();
    if as_json {
        println!("{:#}", Value::Array(chosen.iter().map(|case| case_as_json(case)).collect()));
        return;
    }
    for case in chosen {
        let versions: Vec<_> = case.versions().iter().map(|version| version.name()).collect();
        println!("{} ({})", case.name(), versions.join(", "));
        for version in case.versions() {
            let proves = case.proves(*version);
            if !proves.is_empty() {
                println!("    {version}: {}", proves.join(" "));
            }
        }
    }
}

fn case_as_json(case: &Case) -> Value {
    let proves: serde_json::Map<String, Value> = case
        .versions()
        .iter()
        .map(|version| (version.name().to_owned(), json!(case.proves(*version))))
        .collect();
    json!({ "name": case.name(), "proves": proves })
}

/// Shows a report as text: the failures with what they break, then the counts.
pub(crate) fn text(report: &Report) {
    let statements = ledger::statements();
    for result in report.failures() {
        failure(result, &statements);
    }
    for result in &report.results {
        if let Outcome::NotApplicable(why) = &result.outcome {
            println!("not applicable  {} ({}): {why}", result.name, result.version);
        }
    }
    for version in Version::ALL {
        let of_version: Vec<_> =
            report.results.iter().filter(|result| result.version == version).collect();
        if of_version.is_empty() {
            continue;
        }
        let count = |wanted: fn(&Outcome) -> bool| {
            of_version.iter().filter(|result| wanted(&result.outcome)).count()
        };
        println!(
            "MQTT {version}: {} passed, {} failed, {} not applicable",
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            count(|outcome| matches!(outcome, Outcome::NotApplicable(_))),
        );
    }
}

fn failure(result: &CaseResult, statements: &[Statement]) {
    let Outcome::Failed { expected, seen } = &result.outcome else { return };
    println!("FAILED  {} ({})", result.name, result.version);
    println!("    expected  {expected}");
    println!("    seen      {seen}");
    for id in &result.proves {
        let gist = ledger::gist(result.version, id, statements).unwrap_or_default();
        println!("    {id}  {gist}");
    }
}

/// Shows a report as JSON: one object for each case and version.
pub(crate) fn json(report: &Report) {
    let results: Vec<Value> = report
        .results
        .iter()
        .map(|result| {
            let (outcome, detail) = match &result.outcome {
                Outcome::Passed => ("passed", json!({})),
                Outcome::Failed { expected, seen } => {
                    ("failed", json!({ "expected": expected, "seen": seen }))
                }
                Outcome::NotApplicable(why) => ("not applicable", json!({ "why": why })),
            };
            json!({
                "name": result.name,
                "version": result.version.name(),
                "statements": result.proves,
                "outcome": outcome,
                "detail": detail,
                "milliseconds": u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    println!("{:#}", Value::Array(results));
}
