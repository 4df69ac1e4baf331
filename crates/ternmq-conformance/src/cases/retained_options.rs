//! Retain Handling and Retain As Published, the subscription options of MQTT 5.0.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, equal, expect, listed};
use crate::client::{Client, is};
use crate::codec::{Prop, Publish, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("retained_options::handling_0_sends_every_time", ONLY_5, handling_0).v5(&["3.3.1-9"]),
    Case::new("retained_options::handling_1_sends_to_new_ones", ONLY_5, handling_1)
        .v5(&["3.3.1-10"]),
    Case::new("retained_options::handling_2_sends_never", ONLY_5, handling_2).v5(&["3.3.1-11"]),
    Case::new("retained_options::as_published_0_clears_the_flag", ONLY_5, as_published_0)
        .v5(&["3.3.1-12"]),
    Case::new("retained_options::as_published_1_keeps_the_flag", ONLY_5, as_published_1)
        .v5(&["3.3.1-13"]),
    Case::new("retained_options::retained_is_flagged_either_way", ONLY_5, flagged_either_way)
        .v5(&["3.3.1-9"]),
    Case::new("retained_options::properties_are_kept", ONLY_5, properties_are_kept)
        .v5(&["3.3.1-5", "3.3.2-17"]),
];

const AS_PUBLISHED: u8 = 0x08;
const HANDLING_1: u8 = 0x10;
const HANDLING_2: u8 = 0x20;

/// A publisher, a retained message, and a subscriber without subscriptions.
fn one_kept(scene: &Scene) -> Check<(Client, Client, String)> {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "kept", 1).retained())?;
    Ok((publisher, scene.join("sub")?, topic))
}

/// Subscribes, and says whether the retained message comes before a live one.
fn sends(client: &mut Client, publisher: &mut Client, topic: &str, options: u8) -> Check<bool> {
    client.subscribe(topic, options)?;
    publisher.mark(topic, 1)?;
    let before = client.until_marker()?;
    expect(before.len() < 2, "at most one retained message", listed(&before))?;
    Ok(before.first().is_some_and(|publish| publish.payload == b"kept" && publish.retain))
}

fn handling_0(scene: &Scene) -> Check {
    let (mut publisher, mut client, topic) = one_kept(scene)?;
    for time in ["first", "second", "third"] {
        let sent = sends(&mut client, &mut publisher, &topic, 1)?;
        equal(&format!("retained message at the {time} SUBSCRIBE"), sent, true)?;
    }
    Ok(())
}

fn handling_1(scene: &Scene) -> Check {
    let (mut publisher, mut client, topic) = one_kept(scene)?;
    let options = HANDLING_1 | 1;
    let sent = sends(&mut client, &mut publisher, &topic, options)?;
    equal("retained message at the first SUBSCRIBE", sent, true)?;
    let sent = sends(&mut client, &mut publisher, &topic, options)?;
    equal("retained message at the second SUBSCRIBE", sent, false)?;
    client.unsubscribe(&[topic.as_bytes()])?;
    let sent = sends(&mut client, &mut publisher, &topic, options)?;
    equal("retained message after UNSUBSCRIBE", sent, true)
}

fn handling_2(scene: &Scene) -> Check {
    let (mut publisher, mut client, topic) = one_kept(scene)?;
    for _ in 0..2 {
        let sent = sends(&mut client, &mut publisher, &topic, HANDLING_2 | 1)?;
        equal("retained message", sent, false)?;
    }
    Ok(())
}

fn as_published(scene: &Scene, options: u8) -> Check<Vec<bool>> {
    let topic = scene.retained_topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, options | 2)?;
    scene.needs_retained(&publisher)?;
    let mut flags = Vec::new();
    for qos in 0..=2 {
        for retain in [false, true] {
            let mut publish = Publish::new(&topic, [qos], qos);
            publish.retain = retain;
            publisher.publish(&publish)?;
            let seen = subscriber.take()?;
            is(&seen, &topic, &[qos], qos)?;
            flags.push(seen.retain);
        }
    }
    Ok(flags)
}

fn as_published_0(scene: &Scene) -> Check {
    equal("RETAIN flags", as_published(scene, 0)?, vec![false; 6])
}

fn as_published_1(scene: &Scene) -> Check {
    let expected = [false, true].repeat(3);
    equal("RETAIN flags", as_published(scene, AS_PUBLISHED)?, expected)
}

fn flagged_either_way(scene: &Scene) -> Check {
    for options in [0, AS_PUBLISHED] {
        let (mut publisher, mut client, topic) = one_kept(scene)?;
        let sent = sends(&mut client, &mut publisher, &topic, options | 1)?;
        equal("retained message with RETAIN 1", sent, true)?;
    }
    Ok(())
}

fn properties_are_kept(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    scene.needs_retained(&publisher)?;
    let users = vec![Prop::user("b", "1"), Prop::user("a", "2")];
    let mut publish = Publish::new(&topic, "kept", 1)
        .retained()
        .prop(Prop::bytes(id::CONTENT_TYPE, "text/plain"))
        .prop(Prop::bytes(id::RESPONSE_TOPIC, "r"));
    publish.props.0.extend(users.clone());
    publisher.publish(&publish)?;
    let mut late = scene.join("late")?;
    late.subscribe(&topic, 1)?;
    let seen = late.take()?;
    is(&seen, &topic, b"kept", 1)?;
    equal("user properties", seen.props.users(), users)?;
    equal("content type", seen.props.bytes(id::CONTENT_TYPE), Some(&b"text/plain"[..]))?;
    equal("response topic", seen.props.bytes(id::RESPONSE_TOPIC), Some(&b"r"[..]))
}
