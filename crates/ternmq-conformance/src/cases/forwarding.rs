//! The properties of a PUBLISH: passed on unchanged, and refused when they are wrong.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, equal, same_bytes};
use crate::codec::{Prop, Publish, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("forwarding::payload_format_indicator", ONLY_5, payload_format_indicator)
        .v5(&["3.3.2-4"]),
    Case::new("forwarding::request_and_response", ONLY_5, request_and_response)
        .v5(&["3.3.2-15", "3.3.2-16"]),
    Case::new("forwarding::content_type", ONLY_5, content_type).v5(&["3.3.2-20"]),
    Case::new("forwarding::user_properties", ONLY_5, user_properties).v5(&["3.3.2-17", "3.3.2-18"]),
    Case::new("forwarding::nothing_is_added", ONLY_5, nothing_is_added)
        .v5(&["3.3.2-4", "3.3.2-17", "3.1.2-27"]),
    Case::new("forwarding::to_a_session_that_was_away", ONLY_5, to_a_session_that_was_away)
        .v5(&["3.3.2-4", "3.3.2-15", "3.3.2-16", "3.3.2-17", "3.3.2-18", "3.3.2-20"]),
    Case::new("forwarding::response_topic_with_a_wildcard", ONLY_5, response_topic_wildcard)
        .v5(&["3.3.2-14"]),
    Case::new("forwarding::property_twice", ONLY_5, property_twice).v5(&["4.13.1-1"]),
    Case::new("forwarding::property_of_another_packet", ONLY_5, property_of_another_packet)
        .v5(&["4.13.1-1"]),
];

/// What a subscriber gets of a message with these properties, at each QoS.
fn passed_on(scene: &Scene, props: &[Prop]) -> Check<Vec<Publish>> {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    let mut seen = Vec::new();
    for qos in 0..=2 {
        let mut publish = Publish::new(&topic, "payload", qos);
        publish.props.0 = props.to_vec();
        publisher.publish(&publish)?;
        let publish = subscriber.take()?;
        crate::client::is(&publish, &topic, b"payload", qos)?;
        seen.push(publish);
    }
    Ok(seen)
}

fn payload_format_indicator(scene: &Scene) -> Check {
    for value in [0, 1] {
        let name = id::PAYLOAD_FORMAT_INDICATOR;
        for publish in passed_on(scene, &[Prop::byte(name, value)])? {
            // Left out means 0.
            let seen = publish.props.number(name).unwrap_or(0);
            equal("payload format indicator", seen, u32::from(value))?;
        }
    }
    Ok(())
}

fn request_and_response(scene: &Scene) -> Check {
    let data = [0x00, 0xFF, b'x', 0x80];
    let props = [
        Prop::bytes(id::RESPONSE_TOPIC, "answers/\u{e9}/here"),
        Prop::bytes(id::CORRELATION_DATA, data),
    ];
    for publish in passed_on(scene, &props)? {
        let of = |name| publish.props.bytes(name).unwrap_or_default();
        same_bytes("response topic", of(id::RESPONSE_TOPIC), "answers/\u{e9}/here".as_bytes())?;
        same_bytes("correlation data", of(id::CORRELATION_DATA), &data)?;
    }
    Ok(())
}

fn content_type(scene: &Scene) -> Check {
    for value in ["application/json", "", "\u{1F69A}"] {
        for publish in passed_on(scene, &[Prop::bytes(id::CONTENT_TYPE, value)])? {
            let seen = publish.props.bytes(id::CONTENT_TYPE);
            equal("content type", seen, Some(value.as_bytes()))?;
        }
    }
    Ok(())
}

fn user_properties(scene: &Scene) -> Check {
    let props = [
        Prop::user("z", "first"),
        Prop::user("a", "second"),
        Prop::user("z", "third"),
        Prop::user("", ""),
        Prop::user("z", "first"),
    ];
    for publish in passed_on(scene, &props)? {
        equal("user properties", publish.props.users(), props.to_vec())?;
    }
    Ok(())
}

fn nothing_is_added(scene: &Scene) -> Check {
    for publish in passed_on(scene, &[])? {
        equal("properties", publish.props.0, Vec::new())?;
    }
    Ok(())
}

fn to_a_session_that_was_away(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut sleeper = scene.join_with(&scene.stay("a"))?;
    sleeper.subscribe(&topic, 2)?;
    sleeper.leave()?;
    let users = vec![Prop::user("b", "1"), Prop::user("a", "2"), Prop::user("b", "3")];
    let mut publish = Publish::new(&topic, "while away", 2)
        .prop(Prop::byte(id::PAYLOAD_FORMAT_INDICATOR, 1))
        .prop(Prop::bytes(id::CONTENT_TYPE, "text/plain"))
        .prop(Prop::bytes(id::RESPONSE_TOPIC, "r"))
        .prop(Prop::bytes(id::CORRELATION_DATA, "c"));
    publish.props.0.extend(users.clone());
    scene.join("pub")?.publish(&publish)?;
    let seen = scene.join_with(&scene.stay("a"))?.take()?;
    crate::client::is(&seen, &topic, b"while away", 2)?;
    equal("user properties", seen.props.users(), users)?;
    let of = |name| seen.props.bytes(name).unwrap_or_default();
    equal("payload format", seen.props.number(id::PAYLOAD_FORMAT_INDICATOR), Some(1))?;
    same_bytes("content type", of(id::CONTENT_TYPE), b"text/plain")?;
    same_bytes("response topic", of(id::RESPONSE_TOPIC), b"r")?;
    same_bytes("correlation data", of(id::CORRELATION_DATA), b"c")
}

/// Sends a PUBLISH with properties that break a rule, and expects the end.
fn refused(scene: &Scene, props: &[Prop], codes: &[u8]) -> Check {
    let mut client = scene.join("a")?;
    let mut publish = Publish::new(scene.topic("t"), "x", 0);
    publish.props.0 = props.to_vec();
    client.send(&publish.encode(scene.version));
    client.ended(codes)?;
    Ok(())
}

fn response_topic_wildcard(scene: &Scene) -> Check {
    for bad in ["a/#", "+/b", "#"] {
        refused(scene, &[Prop::bytes(id::RESPONSE_TOPIC, bad)], &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn property_twice(scene: &Scene) -> Check {
    let once = Prop::four(id::MESSAGE_EXPIRY_INTERVAL, 5);
    refused(scene, &[once.clone(), once], &[0x81, 0x82])?;
    let once = Prop::byte(id::PAYLOAD_FORMAT_INDICATOR, 1);
    refused(scene, &[once.clone(), once], &[0x81, 0x82])
}

fn property_of_another_packet(scene: &Scene) -> Check {
    refused(scene, &[Prop::four(id::SESSION_EXPIRY_INTERVAL, 5)], &[0x81, 0x82])?;
    refused(scene, &[Prop::byte(0x7E, 5)], &[0x81, 0x82])?;
    refused(scene, &[Prop::byte(id::PAYLOAD_FORMAT_INDICATOR, 2)], &[0x81, 0x82])
}
