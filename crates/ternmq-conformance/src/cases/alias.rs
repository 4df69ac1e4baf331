//! Topic aliases, both ways.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, equal, expect, listed, not_applicable};
use crate::client::{Client, is};
use crate::codec::{Prop, Publish, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("alias::of_a_client_is_understood", ONLY_5, of_a_client_is_understood)
        .v5(&["3.3.2-12"]),
    Case::new("alias::of_a_client_can_be_set_again", ONLY_5, can_be_set_again).v5(&["3.3.2-12"]),
    Case::new("alias::every_number_up_to_the_maximum", ONLY_5, every_number).v5(&["3.3.2-12"]),
    Case::new("alias::zero", ONLY_5, zero).v5(&["3.3.2-8"]),
    Case::new("alias::over_the_maximum", ONLY_5, over_the_maximum).v5(&["3.3.2-9", "3.2.2-17"]),
    Case::new("alias::where_there_are_none", ONLY_5, where_there_are_none).v5(&["3.2.2-18"]),
    Case::new("alias::never_set", ONLY_5, never_set).v5(&["4.13.1-1"]),
    Case::new("alias::ends_with_the_connection", ONLY_5, ends_with_the_connection).v5(&["3.3.2-7"]),
    Case::new("alias::is_not_passed_on", ONLY_5, is_not_passed_on).v5(&["3.1.2-27", "3.3.2-3"]),
    Case::new("alias::of_the_broker_keeps_the_maximum", ONLY_5, of_the_broker)
        .v5(&["3.1.2-26", "3.3.2-11", "3.3.2-7"]),
];

/// How many aliases the broker takes.
fn maximum(client: &Client) -> u16 {
    let maximum = client.connack.number(id::TOPIC_ALIAS_MAXIMUM).unwrap_or(0);
    u16::try_from(maximum).unwrap_or(u16::MAX)
}

fn needs_aliases(client: &Client) -> Check<u16> {
    match maximum(client) {
        0 => not_applicable("the broker announces no Topic Alias Maximum"),
        maximum => Ok(maximum),
    }
}

fn aliased(topic: &str, payload: &str, qos: u8, alias: u16) -> Publish {
    Publish::new(topic, payload, qos).prop(Prop::two(id::TOPIC_ALIAS, alias))
}

fn of_a_client_is_understood(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    let alias = needs_aliases(&publisher)?;
    for qos in 0..=2 {
        publisher.publish(&aliased(&topic, "sets", qos, alias))?;
        is(&subscriber.take()?, &topic, b"sets", qos)?;
        publisher.publish(&aliased("", "uses", qos, alias))?;
        is(&subscriber.take()?, &topic, b"uses", qos)?;
    }
    Ok(())
}

fn can_be_set_again(scene: &Scene) -> Check {
    let (one, two) = (scene.topic("one"), scene.topic("two"));
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("+"), 1)?;
    needs_aliases(&publisher)?;
    publisher.publish(&aliased(&one, "1", 1, 1))?;
    publisher.publish(&aliased(&two, "2", 1, 1))?;
    publisher.publish(&aliased("", "3", 1, 1))?;
    is(&subscriber.take()?, &one, b"1", 1)?;
    is(&subscriber.take()?, &two, b"2", 1)?;
    is(&subscriber.take()?, &two, b"3", 1)
}

fn every_number(scene: &Scene) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("#"), 0)?;
    let maximum = needs_aliases(&publisher)?.min(100);
    for alias in 1..=maximum {
        let topic = scene.topic(&alias.to_string());
        publisher.publish(&aliased(&topic, "sets", 0, alias))?;
        is(&subscriber.take()?, &topic, b"sets", 0)?;
    }
    for alias in 1..=maximum {
        publisher.publish(&aliased("", "uses", 0, alias))?;
        is(&subscriber.take()?, scene.topic(&alias.to_string()), b"uses", 0)?;
    }
    Ok(())
}

/// Sends a PUBLISH with an alias that breaks a rule; expects the end, and no delivery.
fn refused(scene: &Scene, publish: &Publish, codes: &[u8]) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("#"), 0)?;
    let mut client = scene.join("a")?;
    client.send(&publish.encode(scene.version));
    client.ended(codes)?;
    publisher.mark(scene.topic("marker"), 0)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing of the refused PUBLISH", listed(&before))
}

fn zero(scene: &Scene) -> Check {
    refused(scene, &aliased(&scene.topic("t"), "x", 0, 0), &[0x94, 0x82, 0x81])?;
    refused(scene, &aliased("", "x", 0, 0), &[0x94, 0x82, 0x81])
}

fn over_the_maximum(scene: &Scene) -> Check {
    let maximum = needs_aliases(&scene.join("b")?)?;
    match maximum.checked_add(1) {
        Some(over) => {
            refused(scene, &aliased(&scene.topic("t"), "x", 0, over), &[0x94])?;
            refused(scene, &aliased(&scene.topic("t"), "x", 0, u16::MAX), &[0x94])
        }
        None => not_applicable("the broker takes every alias there is"),
    }
}

fn where_there_are_none(scene: &Scene) -> Check {
    let maximum = maximum(&scene.join("b")?);
    if maximum > 0 {
        return not_applicable(format!("the broker takes {maximum} aliases"));
    }
    refused(scene, &aliased(&scene.topic("t"), "x", 0, 1), &[0x94])
}

fn never_set(scene: &Scene) -> Check {
    needs_aliases(&scene.join("b")?)?;
    refused(scene, &aliased("", "x", 0, 1), &[0x82, 0x94])
}

fn ends_with_the_connection(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut client = scene.join_with(&scene.stay("a"))?;
    needs_aliases(&client)?;
    client.publish(&aliased(&topic, "sets", 1, 1))?;
    client.cut();
    let mut client = scene.join_with(&scene.stay("a"))?;
    equal("Session Present", client.session_present, true)?;
    client.send(&aliased("", "uses", 0, 1).encode(scene.version));
    client.ended(&[0x82, 0x94])?;
    Ok(())
}

fn is_not_passed_on(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 1)?;
    needs_aliases(&publisher)?;
    for (name, payload) in [(topic.as_str(), "sets"), ("", "uses")] {
        publisher.publish(&aliased(name, payload, 1, 1))?;
        let seen = subscriber.take()?;
        is(&seen, &topic, payload.as_bytes(), 1)?;
        equal("topic alias", seen.props.number(id::TOPIC_ALIAS), None)?;
    }
    Ok(())
}

fn of_the_broker(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    let connect = scene.stay("a").prop(Prop::two(id::TOPIC_ALIAS_MAXIMUM, 2));
    // The client fails by itself over an alias above 2, or one that it was never told.
    for _connection in 0..2 {
        let mut subscriber = scene.join_with(&connect)?;
        subscriber.subscribe(scene.topic("#"), 1)?;
        for round in 0..3 {
            for number in 0..5 {
                let topic = scene.topic(&format!("t{number}"));
                publisher.publish(&Publish::new(&topic, [round], 1))?;
                is(&subscriber.take()?, &topic, &[round], 1)?;
            }
        }
        // The answer shows that the broker has the last PUBACK.
        subscriber.ping()?;
        subscriber.cut();
    }
    Ok(())
}
