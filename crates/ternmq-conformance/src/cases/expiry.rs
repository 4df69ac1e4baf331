//! Message expiry.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, expect, failed, listed};
use crate::client::is;
use crate::codec::{Prop, Publish, id};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("expiry::queued_message_expires", ONLY_5, queued_message_expires)
        .v5(&["3.3.2-5"])
        .slow(),
    Case::new("expiry::waiting_behind_the_quota_expires", ONLY_5, waiting_behind_the_quota)
        .v5(&["3.3.2-5"])
        .slow(),
    Case::new("expiry::time_in_the_broker_is_subtracted", ONLY_5, time_is_subtracted)
        .v5(&["3.3.2-6"])
        .slow(),
    Case::new("expiry::is_passed_on_at_once", ONLY_5, is_passed_on_at_once).v5(&["3.3.2-6"]),
    Case::new("expiry::retained_message_expires", ONLY_5, retained_message_expires)
        .v5(&["3.3.2-5", "3.3.2-6"])
        .slow(),
];

fn expiring(topic: &str, payload: &str, qos: u8, seconds: u32) -> Publish {
    Publish::new(topic, payload, qos).prop(Prop::four(id::MESSAGE_EXPIRY_INTERVAL, seconds))
}

/// Fails unless the interval of a message lies between these two, both included.
fn interval(publish: &Publish, lowest: u32, highest: u32) -> Check {
    match publish.props.number(id::MESSAGE_EXPIRY_INTERVAL) {
        Some(seen) if (lowest..=highest).contains(&seen) => Ok(()),
        other => failed(format!("an expiry of {lowest} to {highest} s"), format!("{other:?}")),
    }
}

fn queued_message_expires(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 2)?;
    subscriber.leave()?;
    let mut publisher = scene.join("pub")?;
    for qos in 1..=2 {
        publisher.publish(&expiring(&topic, "too late", qos, 1))?;
    }
    publisher.publish(&expiring(&topic, "in time", 1, 600))?;
    scene.let_pass(Duration::from_millis(2_500))?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    is(&subscriber.take()?, &topic, b"in time", 1)?;
    publisher.mark(&topic, 1)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing that has expired", listed(&before))
}

fn waiting_behind_the_quota(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let connect = scene.hello("a").prop(Prop::two(id::RECEIVE_MAXIMUM, 1));
    let mut subscriber = scene.join_with(&connect)?;
    subscriber.subscribe(&topic, 1)?;
    publisher.publish(&Publish::new(&topic, "first", 1))?;
    let first = subscriber.publication()?;
    publisher.publish(&expiring(&topic, "too late", 1, 1))?;
    scene.let_pass(Duration::from_millis(2_500))?;
    publisher.mark(&topic, 1)?;
    subscriber.finish(&first)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing that has expired", listed(&before))
}

fn time_is_subtracted(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 1)?;
    subscriber.leave()?;
    scene.join("pub")?.publish(&expiring(&topic, "waits", 1, 600))?;
    scene.let_pass(Duration::from_millis(3_100))?;
    let seen = scene.join_with(&scene.stay("a"))?.take()?;
    is(&seen, &topic, b"waits", 1)?;
    // Three seconds have passed at least, and whole seconds may be rounded.
    interval(&seen, 580, 598)
}

fn is_passed_on_at_once(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    for qos in 0..=2 {
        publisher.publish(&expiring(&topic, "now", qos, 600))?;
        let seen = subscriber.take()?;
        is(&seen, &topic, b"now", qos)?;
        interval(&seen, 590, 600)?;
    }
    publisher.publish(&expiring(&topic, "for ever", 1, u32::MAX))?;
    interval(&subscriber.take()?, u32::MAX - 10, u32::MAX)
}

fn retained_message_expires(scene: &Scene) -> Check {
    let (short, long) = (scene.retained_topic("short"), scene.retained_topic("long"));
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&expiring(&short, "too late", 1, 1).retained())?;
    publisher.publish(&expiring(&long, "kept", 1, 600).retained())?;
    scene.let_pass(Duration::from_millis(3_100))?;
    let mut subscriber = scene.join("sub")?;
    subscriber.subscribe(scene.topic("+"), 1)?;
    let seen = subscriber.take()?;
    is(&seen, &long, b"kept", 1)?;
    interval(&seen, 580, 598)?;
    publisher.mark(&short, 1)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing that has expired", listed(&before))
}
