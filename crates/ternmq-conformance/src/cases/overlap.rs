//! Overlapping subscriptions and subscription identifiers.

use super::{ALL, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, failed, listed};
use crate::client::{Client, is};
use crate::codec::{Publish, Subscribe, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("overlap::highest_qos_is_honoured", ALL, highest_qos_is_honoured)
        .v5(&["3.3.4-2"])
        .v311(&["3.3.5-1"]),
    Case::new("overlap::identifiers_are_sent_along", ONLY_5, identifiers_are_sent_along)
        .v5(&["3.3.4-3", "3.3.4-4", "3.3.4-5"]),
    Case::new("overlap::identifier_of_one_subscription", ONLY_5, identifier_of_one)
        .v5(&["3.3.4-3"]),
    Case::new("overlap::largest_identifier", ONLY_5, largest_identifier).v5(&["3.3.4-3"]),
    Case::new("overlap::identifier_is_replaced_with_its_subscription", ONLY_5, replaced)
        .v5(&["3.8.4-3", "3.3.4-3"]),
    Case::new("overlap::identifier_comes_with_retained_messages", ONLY_5, with_retained)
        .v5(&["3.3.4-3"]),
    Case::new("overlap::identifiers_outlive_a_reconnect", ONLY_5, outlive_a_reconnect)
        .v5(&["3.3.4-3", "3.1.2-5"]),
];

/// What came for one publication: the copies before a marker, on which no subscription of the
/// case but the first one is.
fn copies(publisher: &mut Client, subscriber: &mut Client, topic: &str) -> Check<Vec<Publish>> {
    publisher.publish(&Publish::new(topic, "overlap", 2))?;
    publisher.mark(topic, 2)?;
    let mut seen = subscriber.until_marker()?;
    // A broker may send several copies of the marker as well: take what is left of them.
    seen.retain(|publish| publish.payload == b"overlap");
    Ok(seen)
}

fn highest_qos_is_honoured(scene: &Scene) -> Check {
    let topic = scene.topic("a/b");
    let filters = [scene.topic("a/+"), scene.topic("a/#"), topic.clone(), scene.topic("+/b")];
    for qos in [[0, 1, 2, 0], [2, 1, 0, 0], [0, 0, 1, 0]] {
        let highest = qos.into_iter().max().unwrap_or(0);
        let mut publisher = scene.join("pub")?;
        let mut subscriber = scene.join("sub")?;
        for (filter, qos) in filters.iter().zip(qos) {
            subscriber.subscribe(filter, qos)?;
        }
        let seen = copies(&mut publisher, &mut subscriber, &topic)?;
        let best = seen.iter().filter(|publish| publish.qos == highest).count();
        expect(best == 1, format!("one copy with QoS {highest}"), listed(&seen))?;
    }
    Ok(())
}

fn needs_identifiers(scene: &Scene, client: &Client) -> Check {
    scene.needs(client, id::SUBSCRIPTION_IDENTIFIER_AVAILABLE, "subscription identifiers")
}

fn identifiers_are_sent_along(scene: &Scene) -> Check {
    let topic = scene.topic("a/b");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join("sub")?;
    needs_identifiers(scene, &subscriber)?;
    for (filter, identifier) in [("a/+", Some(7)), ("a/#", Some(300)), ("a/b", None)] {
        let mut subscribe = Subscribe::one(subscriber.fresh_id(), scene.topic(filter), 1);
        if let Some(identifier) = identifier {
            subscribe = subscribe.identifier(identifier);
        }
        equal("granted QoS", subscriber.subscribe_with(&subscribe)?, vec![1])?;
    }
    let seen = copies(&mut publisher, &mut subscriber, &topic)?;
    let mut sent: Vec<Vec<u32>> =
        seen.iter().map(|publish| publish.props.subscription_identifiers()).collect();
    sent.sort();
    let one_copy = vec![vec![7, 300]];
    let a_copy_each = vec![vec![], vec![7], vec![300]];
    if sent == one_copy || sent == a_copy_each {
        return Ok(());
    }
    failed("one copy with 7 and 300, or a copy for each subscription", listed(&seen))
}

fn identifier_of_one(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join("sub")?;
    needs_identifiers(scene, &subscriber)?;
    let other = Subscribe::one(1, scene.topic("other"), 2).identifier(9);
    subscriber.subscribe_with(&other)?;
    let subscribe = Subscribe::one(2, &topic, 2).and(scene.topic("u"), 2).identifier(42);
    subscriber.subscribe_with(&subscribe)?;
    for name in ["t", "u"] {
        for qos in 0..=2 {
            publisher.publish(&Publish::new(scene.topic(name), "x", qos))?;
            let seen = subscriber.take()?;
            is(&seen, scene.topic(name), b"x", qos)?;
            equal("identifiers", seen.props.subscription_identifiers(), vec![42])?;
        }
    }
    Ok(())
}

fn largest_identifier(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    for identifier in [1, 127, 128, 16_384, 2_097_152, 268_435_455] {
        let mut subscriber = scene.join("sub")?;
        needs_identifiers(scene, &subscriber)?;
        subscriber.subscribe_with(&Subscribe::one(1, &topic, 0).identifier(identifier))?;
        publisher.publish(&Publish::new(&topic, "x", 0))?;
        let seen = subscriber.take()?.props.subscription_identifiers();
        equal("identifiers", seen, vec![identifier])?;
    }
    Ok(())
}

fn replaced(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join("sub")?;
    needs_identifiers(scene, &subscriber)?;
    for (identifier, expected) in [(Some(1), vec![1]), (Some(2), vec![2]), (None, vec![])] {
        let mut subscribe = Subscribe::one(subscriber.fresh_id(), &topic, 1);
        if let Some(identifier) = identifier {
            subscribe = subscribe.identifier(identifier);
        }
        subscriber.subscribe_with(&subscribe)?;
        publisher.publish(&Publish::new(&topic, "x", 1))?;
        equal("identifiers", subscriber.take()?.props.subscription_identifiers(), expected)?;
    }
    Ok(())
}

fn with_retained(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "kept", 1).retained())?;
    let mut subscriber = scene.join("sub")?;
    needs_identifiers(scene, &subscriber)?;
    subscriber.subscribe_with(&Subscribe::one(1, &topic, 1).identifier(5))?;
    let seen = subscriber.take()?;
    is(&seen, &topic, b"kept", 1)?;
    equal("identifiers", seen.props.subscription_identifiers(), vec![5])
}

fn outlive_a_reconnect(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    needs_identifiers(scene, &subscriber)?;
    subscriber.subscribe_with(&Subscribe::one(1, &topic, 1).identifier(5))?;
    subscriber.leave()?;
    let mut publisher = scene.join("pub")?;
    publisher.publish(&Publish::new(&topic, "queued", 1))?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    publisher.publish(&Publish::new(&topic, "live", 1))?;
    for payload in ["queued", "live"] {
        let seen = subscriber.take()?;
        is(&seen, &topic, payload.as_bytes(), 1)?;
        equal("identifiers", seen.props.subscription_identifiers(), vec![5])?;
    }
    Ok(())
}
