//! Proofs can fail: TernMQ is built with planted bugs, each breaks one rule on purpose, and the
//! case that proves the rule has to see it. With no bug planted the same cases pass.

mod own_broker;

use own_broker::{OwnBroker, build};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use ternmq_conformance::ledger::statements;
use ternmq_conformance::{Outcome, Version, run_case};

use Version::{V50, V311};

/// A planted bug, the statement that it breaks, and the case that proves the statement.
type Planted = (&'static str, Version, &'static str, &'static str);

const PLANTED: &[Planted] = &[
    ("accept-bad-utf8", V311, "MQTT-1.5.3-1", "text::ill_formed_topic_name"),
    ("accept-nul", V50, "MQTT-1.5.4-2", "text::nul_in_a_topic_filter"),
    ("accept-wrong-flags", V311, "MQTT-2.2.2-2", "malformed::subscribe_flags"),
    ("accept-long-varint", V50, "MQTT-1.5.5-1", "malformed::variable_integers_not_the_shortest"),
    ("accept-packet-id-zero", V50, "MQTT-2.2.1-3", "publish::packet_identifier_0"),
    ("accept-second-connect", V50, "MQTT-3.1.0-2", "connect::twice_ends_the_connection"),
    (
        "ignore-receive-maximum",
        V50,
        "MQTT-3.3.4-7",
        "flow_control::client_over_the_maximum_is_ended",
    ),
    ("ignore-alias-maximum", V50, "MQTT-3.2.2-17", "alias::over_the_maximum"),
    ("ignore-packet-size", V50, "MQTT-3.1.2-24", "limits::too_large_for_the_client_is_dropped"),
    ("forget-will", V311, "MQTT-3.1.2-8", "will::is_published_when_the_connection_breaks"),
    ("will-after-disconnect", V50, "MQTT-3.14.4-3", "will::is_discarded_by_disconnect"),
    ("session-present-always", V50, "MQTT-3.2.2-3", "session::is_made_when_there_is_none"),
    (
        "keep-session-on-clean-start",
        V311,
        "MQTT-3.1.2-6",
        "session::clean_start_throws_the_old_away",
    ),
    ("no-takeover-notice", V50, "MQTT-3.1.4-3", "takeover::old_connection_gets_8e"),
    ("keep-alive-forever", V50, "MQTT-3.1.2-22", "keep_alive::silence_ends_the_connection"),
    ("deliver-published-qos", V311, "MQTT-3.8.4-6", "publish::qos_is_the_lower_of_both"),
    ("no-dup-on-resume", V50, "MQTT-3.3.1-1", "qos1::unacknowledged_is_sent_again_on_resume"),
    (
        "copy-retain-flag",
        V311,
        "MQTT-3.3.1-9",
        "retained::flag_is_0_to_an_established_subscription",
    ),
    ("dollar-matches-wildcard", V50, "MQTT-4.7.2-1", "matching::dollar_topics"),
    ("no-local-ignored", V50, "MQTT-3.8.3-3", "subscribe::no_local"),
    ("keep-empty-retained", V50, "MQTT-3.3.1-6", "retained::empty_payload_removes"),
    ("expiry-not-reduced", V50, "MQTT-3.3.2-6", "expiry::time_in_the_broker_is_subtracted"),
    ("deliver-expired", V50, "MQTT-3.3.2-5", "expiry::queued_message_expires"),
    ("one-identifier", V50, "MQTT-3.3.4-4", "overlap::identifiers_are_sent_along"),
    ("share-to-all", V50, "MQTT-4.8.2-5", "shared_subscription::qos_2_goes_to_nobody_else"),
    ("suback-reversed", V311, "MQTT-3.9.3-1", "subscribe::one_code_per_filter_in_order"),
    ("unsubscribe-keeps", V50, "MQTT-3.10.4-2", "unsubscribe::stops_the_messages"),
    ("deliver-qos2-again", V50, "MQTT-4.3.3-10", "qos2::repeated_publish_is_delivered_once"),
    ("forget-pubrel", V50, "MQTT-4.3.3-5", "qos2::pubrel_is_sent_again_until_pubcomp"),
    (
        "forget-inbound-on-takeover",
        V50,
        "MQTT-4.3.3-10",
        "qos2::repeated_after_a_reconnect_is_delivered_once",
    ),
    ("reverse-queue-on-resume", V311, "MQTT-4.6.0-6", "order::of_a_queue"),
    ("keep-id-after-pubrec-error", V50, "MQTT-4.4.0-2", "qos2::no_pubrel_after_rejection"),
];

#[test]
fn every_planted_bug_is_seen_by_the_proof_of_the_rule_that_it_breaks() {
    let names: BTreeSet<_> = PLANTED.iter().map(|(bug, ..)| bug).collect();
    assert_eq!(names.len(), PLANTED.len(), "a bug is there twice");
    for (bug, version, id, case) in PLANTED {
        let proof = format!("conformance::{case}");
        let proved = statements().iter().any(|statement| {
            statement.version == version.name()
                && statement.id == *id
                && statement.proofs.contains(&proof)
        });
        assert!(proved, "{bug}: the ledger does not name {case} for {id} of MQTT {version}");
    }
    // In a folder of its own, apart from the program that everybody uses.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    let program = build(&folder, &["planted"]);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut faults = Vec::new();
                    while let Some(planted) = PLANTED.get(next.fetch_add(1, Ordering::Relaxed)) {
                        faults.extend(fault(&program, planted));
                    }
                    faults
                })
            })
            .collect();
        let joined = workers.into_iter().map(|it| it.join().expect("a worker ends"));
        let faults: Vec<String> = joined.flatten().collect();
        assert!(faults.is_empty(), "{faults:#?}");
    });
}

/// What is wrong with one proof: it does not see its bug, or it fails without it.
fn fault(program: &Path, (bug, version, _, case): &Planted) -> Option<String> {
    let outcome = |planted: Option<&str>| {
        let broker = OwnBroker::start(program, &["--shards", "2"], planted);
        let patience = Duration::from_secs(3);
        run_case(broker.address, case, *version, patience).map(|result| result.outcome)
    };
    match (outcome(Some(bug)), outcome(None)) {
        (Some(Outcome::Failed { .. }), Some(Outcome::Passed)) => None,
        (with, without) => {
            Some(format!("{case} ({version}): {with:?} with {bug}, {without:?} without"))
        }
    }
}
