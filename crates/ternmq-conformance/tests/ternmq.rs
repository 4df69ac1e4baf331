//! TernMQ itself under the examiner: every case passes, and all apply but those that ask for a
//! broker with less in it.

mod own_broker;

use own_broker::{OwnBroker, build};
use std::collections::BTreeSet;
use std::path::Path;
use ternmq_conformance::{Options, Outcome, run};

/// Cases for brokers that announce that they lack something.
const NOT_APPLICABLE: [&str; 3] = [
    "limits::qos_over_the_maximum",
    "limits::retain_where_there_is_none",
    "alias::where_there_are_none",
];

#[test]
fn ternmq_passes_every_case() {
    examine(&[]);
}

#[test]
fn ternmq_passes_every_case_on_four_shards() {
    examine(&["--shards", "4"]);
}

fn examine(more: &[&str]) {
    // target/tmp is beside target/debug: the program is the one that everybody uses.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in target");
    let broker = OwnBroker::start(&build(target, &[]), more, None);
    let report = run(broker.address, &Options::default());
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let not_applicable: BTreeSet<_> = report
        .results
        .iter()
        .filter(|result| matches!(result.outcome, Outcome::NotApplicable(_)))
        .map(|result| result.name)
        .collect();
    assert_eq!(not_applicable, NOT_APPLICABLE.into());
}
