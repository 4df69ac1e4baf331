//! Retained messages: stored, replaced, removed, sent to new subscriptions.

use super::{ALL, BEFORE_5, FROM_311};
use crate::case::Case;
use crate::check::{Check, equal, expect, failed, listed};
use crate::client::is;
use crate::codec::Publish;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("retained::is_stored_with_its_qos", ALL, is_stored_with_its_qos)
        .v5(&["3.3.1-5", "3.3.1-9"])
        .v311(&["3.3.1-5", "3.3.1-6", "3.3.1-8"]),
    Case::new("retained::is_replaced", ALL, is_replaced)
        .v5(&["3.3.1-5"])
        .v311(&["3.3.1-5", "3.3.1-6"]),
    Case::new("retained::qos_0_replaces_what_was_there", ALL, qos_0_replaces)
        .v5(&["3.3.1-5"])
        .v311(&["3.3.1-7"]),
    Case::new("retained::empty_payload_removes", ALL, empty_payload_removes)
        .v5(&["3.3.1-6", "3.3.1-7"])
        .v311(&["3.3.1-10", "3.3.1-11"]),
    Case::new("retained::empty_payload_is_passed_on", ALL, empty_payload_is_passed_on)
        .v5(&["3.3.1-6"])
        .v311(&["3.3.1-10"]),
    Case::new("retained::empty_payload_is_not_stored", ALL, empty_is_not_stored)
        .v5(&["3.3.1-7"])
        .v311(&["3.3.1-11"]),
    Case::new("retained::without_the_flag_nothing_is_touched", ALL, nothing_is_touched)
        .v5(&["3.3.1-8"])
        .v311(&["3.3.1-12"]),
    Case::new("retained::flag_is_0_to_an_established_subscription", ALL, flag_is_0)
        .v5(&["3.3.1-12"])
        .v311(&["3.3.1-9"]),
    Case::new("retained::wildcards_get_all_that_match", ALL, wildcards_get_all)
        .v5(&["3.3.1-9", "3.3.2-3"])
        .v311(&["3.3.1-6", "3.3.1-8"]),
    Case::new("retained::is_sent_again_when_subscribed_again", FROM_311, sent_again)
        .v5(&["3.8.4-4", "3.3.1-9"])
        .v311(&["3.8.4-3"]),
    Case::new("retained::is_not_sent_again_on_resume", ALL, not_sent_on_resume)
        .v5(&["3.1.2-5"])
        .v311(&["3.1.2-4"]),
    Case::new("retained::qos_is_lowered_to_the_granted", BEFORE_5, qos_is_lowered)
        .v311(&["3.8.4-6"]),
];

/// What a new subscription at QoS 2 gets before a live marker.
fn stored(scene: &Scene, filter: &str, marker_topic: &str) -> Check<Vec<Publish>> {
    let mut late = scene.join("late")?;
    late.subscribe(filter, 2)?;
    late.mark(marker_topic, 2)?;
    late.until_marker()
}

/// Fails unless exactly this is retained under that topic.
fn holds(scene: &Scene, topic: &str, payload: &[u8], qos: u8) -> Check {
    match stored(scene, topic, topic)?.as_slice() {
        [one] => {
            is(one, topic, payload, qos)?;
            equal("RETAIN", one.retain, true)?;
            equal("DUP", one.dup, false)
        }
        other => failed("one retained message", listed(other)),
    }
}

/// Fails if anything is retained under that topic.
fn holds_nothing(scene: &Scene, topic: &str) -> Check {
    let seen = stored(scene, topic, topic)?;
    expect(seen.is_empty(), "no retained message", listed(&seen))
}

fn is_stored_with_its_qos(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    for qos in 1..=2 {
        let topic = scene.retained_topic(&qos.to_string());
        publisher.publish(&Publish::new(&topic, "kept", qos).retained())?;
        holds(scene, &topic, b"kept", qos)?;
        holds(scene, &topic, b"kept", qos)?;
    }
    Ok(())
}

fn is_replaced(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    for (payload, qos) in [("one", 1), ("two", 2), ("three", 1)] {
        publisher.publish(&Publish::new(&topic, payload, qos).retained())?;
        holds(scene, &topic, payload.as_bytes(), qos)?;
    }
    Ok(())
}

fn qos_0_replaces(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    // A watcher shows when the QoS 0 message has been handled.
    let (mut publisher, mut watcher) = scene.pair(&topic, 1)?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "old", 1).retained())?;
    is(&watcher.take()?, &topic, b"old", 1)?;
    publisher.publish(&Publish::new(&topic, "new", 0).retained())?;
    is(&watcher.take()?, &topic, b"new", 0)?;
    let seen = stored(scene, &topic, &topic)?;
    let old = seen.iter().any(|publish| publish.payload == b"old");
    expect(!old, "the old message discarded", listed(&seen))?;
    if !scene.version.is_v5() {
        return Ok(());
    }
    // 5.0 demands that the new one is stored; 3.1.1 only recommends it.
    holds(scene, &topic, b"new", 0)
}

fn empty_payload_removes(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    for qos in 1..=2 {
        let topic = scene.retained_topic(&qos.to_string());
        publisher.publish(&Publish::new(&topic, "kept", 1).retained())?;
        holds(scene, &topic, b"kept", 1)?;
        publisher.publish(&Publish::new(&topic, "", qos).retained())?;
        holds_nothing(scene, &topic)?;
    }
    Ok(())
}

fn empty_payload_is_passed_on(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let (mut publisher, mut watcher) = scene.pair(&topic, 1)?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "kept", 1).retained())?;
    publisher.publish(&Publish::new(&topic, "", 1).retained())?;
    is(&watcher.take()?, &topic, b"kept", 1)?;
    let seen = watcher.take()?;
    is(&seen, &topic, b"", 1)?;
    equal("RETAIN", seen.retain, false)
}

fn empty_is_not_stored(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "", 1).retained())?;
    holds_nothing(scene, &topic)
}

fn nothing_is_touched(scene: &Scene) -> Check {
    let (kept, empty) = (scene.retained_topic("kept"), scene.retained_topic("empty"));
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&kept, "kept", 1).retained())?;
    for payload in ["not to be kept", ""] {
        publisher.publish(&Publish::new(&kept, payload, 1))?;
        publisher.publish(&Publish::new(&empty, payload, 1))?;
    }
    holds(scene, &kept, b"kept", 1)?;
    holds_nothing(scene, &empty)
}

fn flag_is_0(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let (mut publisher, mut watcher) = scene.pair(&topic, 2)?;
    scene.needs_retained(&publisher)?;
    watcher.settle(&topic)?;
    for qos in 0..=2 {
        publisher.publish(&Publish::new(&topic, [qos + 1], qos).retained())?;
        let seen = watcher.take()?;
        is(&seen, &topic, &[qos + 1], qos)?;
        equal("RETAIN", seen.retain, false)?;
    }
    Ok(())
}

fn wildcards_get_all(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    let topics = ["a", "a/b", "a/c", "a/b/c", "b"].map(|rest| scene.retained_topic(rest));
    for topic in &topics {
        publisher.publish(&Publish::new(topic, topic, 1).retained())?;
    }
    let wanted = [("a/#", vec![0, 1, 2, 3]), ("a/+", vec![1, 2]), ("+", vec![0, 4])];
    for (filter, expected) in wanted {
        let mut late = scene.join("late")?;
        late.subscribe(scene.topic(filter), 1)?;
        let mut seen = Vec::new();
        for _ in &expected {
            let publish = late.take()?;
            equal("RETAIN", publish.retain, true)?;
            is(&publish, &publish.payload, &publish.payload, 1)?;
            seen.push(publish.topic);
        }
        seen.sort();
        let mut all: Vec<_> = expected.iter().map(|at| topics[*at].clone().into_bytes()).collect();
        all.sort();
        expect(seen == all, format!("the retained messages that {filter} matches"), &seen)?;
        late.quiet(std::time::Duration::from_millis(50))?;
    }
    Ok(())
}

fn sent_again(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "kept", 1).retained())?;
    let mut subscriber = scene.join("sub")?;
    for _ in 0..3 {
        subscriber.subscribe(&topic, 1)?;
        let seen = subscriber.take()?;
        is(&seen, &topic, b"kept", 1)?;
        equal("RETAIN", seen.retain, true)?;
    }
    publisher.mark(&topic, 1)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "one copy each time", listed(&before))
}

fn not_sent_on_resume(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "kept", 1).retained())?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 1)?;
    is(&subscriber.take()?, &topic, b"kept", 1)?;
    subscriber.leave()?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    publisher.mark(&topic, 1)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing: the subscription is not new", listed(&before))
}

fn qos_is_lowered(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    publisher.publish(&Publish::new(&topic, "kept", 2).retained())?;
    for granted in 0..=2 {
        let mut late = scene.join("late")?;
        late.subscribe(&topic, granted)?;
        let seen = late.take()?;
        is(&seen, &topic, b"kept", granted)?;
        equal("RETAIN", seen.retain, true)?;
    }
    Ok(())
}
