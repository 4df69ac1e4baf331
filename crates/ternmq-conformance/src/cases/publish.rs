//! The PUBLISH packet: what the broker takes, and the shape of what it sends.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, same_bytes};
use crate::client::is;
use crate::codec::{Ack, Prop, Publish, field, id, packet};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("publish::qos_is_the_lower_of_both", ALL, qos_is_the_lower_of_both)
        .v5(&["3.8.4-8", "3.3.2-3", "4.3.1-1"])
        .v311(&["3.8.4-6", "3.3.2-3", "4.3.1-1"]),
    Case::new("publish::qos_0_byte_by_byte", ALL, qos_0_byte_by_byte)
        .v5(&["2.2.1-2", "2.2.2-1", "3.3.1-2", "4.3.1-1"])
        .v311(&["2.3.1-5", "3.3.1-2", "4.3.1-1"]),
    Case::new("publish::is_answered_by_qos", ALL, is_answered_by_qos)
        .v5(&["3.3.4-1", "2.2.1-5"])
        .v311(&["3.3.4-1", "2.3.1-6"]),
    Case::new("publish::dup_is_not_passed_on", ALL, dup_is_not_passed_on)
        .v5(&["3.3.1-3", "3.3.1-2"])
        .v311(&["3.3.1-3", "3.3.1-2"]),
    Case::new("publish::qos_3", FROM_311, qos_3)
        .v5(&["3.3.1-4", "4.13.1-1"])
        .v311(&["3.3.1-4", "4.8.0-1"]),
    Case::new("publish::packet_identifier_0", FROM_311, packet_identifier_0)
        .v5(&["2.2.1-3"])
        .v311(&["2.3.1-1"]),
    Case::new("publish::wildcard_in_the_topic_name", FROM_311, wildcard_in_the_topic_name)
        .v5(&["3.3.2-2", "4.7.0-1"])
        .v311(&["3.3.2-2", "4.7.1-1"]),
    Case::new("publish::empty_topic_name", FROM_311, empty_topic_name)
        .v5(&["4.7.3-1"])
        .v311(&["4.7.3-1"]),
    Case::new("publish::topic_name_is_the_first_field", FROM_311, topic_name_comes_first)
        .v5(&["3.3.2-1"])
        .v311(&["3.3.2-1"]),
    Case::new("publish::subscription_identifier_from_a_client", ONLY_5, subscription_identifier)
        .v5(&["3.3.4-6", "4.13.1-1"]),
    Case::new("publish::empty_and_large_payloads", ALL, empty_and_large_payloads)
        .v5(&["4.2-1"])
        .v311(&["7.1.1-1"]),
    Case::new("publish::topic_name_of_65535_bytes", FROM_311, longest_topic_name)
        .v5(&["4.7.3-3"])
        .v311(&["4.7.3-3"]),
];

fn qos_is_the_lower_of_both(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    for granted in 0..=2u8 {
        let topic = scene.topic(&format!("granted{granted}"));
        let mut subscriber = scene.join(&format!("sub{granted}"))?;
        subscriber.subscribe(&topic, granted)?;
        for published in 0..=2u8 {
            publisher.publish(&Publish::new(&topic, [published], published))?;
            is(&subscriber.take()?, &topic, &[published], published.min(granted))?;
        }
        subscriber.quiet(Duration::from_millis(20))?;
    }
    Ok(())
}

fn qos_0_byte_by_byte(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    for qos in 0..=2 {
        let (mut publisher, mut subscriber) = scene.pair(&topic, 0)?;
        publisher.publish(&Publish::new(&topic, "payload", qos))?;
        let props: &[u8] = if scene.version.is_v5() { &[0] } else { &[] };
        let expected = packet(0x30, &[field(&topic), props.to_vec(), b"payload".to_vec()].concat());
        same_bytes("PUBLISH", &subscriber.raw(expected.len())?, &expected)?;
    }
    Ok(())
}

fn is_answered_by_qos(scene: &Scene) -> Check {
    let topic = scene.topic("nobody");
    let mut client = scene.join("a")?;
    client.publish(&Publish::new(&topic, "x", 0))?;
    client.ping()?;
    for packet_id in [1, 77, 65_535] {
        client.send(&Publish::new(&topic, "x", 1).id(packet_id).encode(scene.version));
        client.answered(Ack::PubAck, packet_id)?;
        client.send(&Publish::new(&topic, "x", 2).id(packet_id).encode(scene.version));
        client.answered(Ack::PubRec, packet_id)?;
        client.ack(Ack::PubRel, packet_id, 0);
        client.answered(Ack::PubComp, packet_id)?;
    }
    client.quiet(Duration::from_millis(20))
}

fn dup_is_not_passed_on(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    for qos in 1..=2 {
        publisher.publish(&Publish::new(&topic, [qos], qos).dup())?;
        let seen = subscriber.take()?;
        is(&seen, &topic, &[qos], qos)?;
        equal("DUP", seen.dup, false)?;
    }
    let mut modest = scene.join("modest")?;
    modest.subscribe(&topic, 0)?;
    publisher.publish(&Publish::new(&topic, "x", 1).dup())?;
    let seen = modest.take()?;
    is(&seen, &topic, b"x", 0)?;
    equal("DUP of QoS 0", seen.dup, false)
}

/// Sends a PUBLISH that breaks a rule, and expects the end; nobody gets the message.
fn refused(scene: &Scene, watch: &str, bytes: &[u8], codes: &[u8]) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(watch, 1)?;
    let mut client = scene.join("a")?;
    client.send(bytes);
    client.ended(codes)?;
    publisher.mark(scene.topic("t"), 1)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "the refused message goes to nobody", crate::check::listed(&before))
}

fn qos_3(scene: &Scene) -> Check {
    let bytes = Publish::new(scene.topic("t"), "x", 3).id(1).encode(scene.version);
    refused(scene, &scene.topic("#"), &bytes, &[0x81])
}

fn packet_identifier_0(scene: &Scene) -> Check {
    for qos in 1..=2 {
        let bytes = Publish::new(scene.topic("t"), "x", qos).id(0).encode(scene.version);
        refused(scene, &scene.topic("#"), &bytes, &[0x81, 0x82])?;
    }
    Ok(())
}

fn wildcard_in_the_topic_name(scene: &Scene) -> Check {
    for bad in ["#", "a/#", "+", "a/+/b", "a+", "a#b"] {
        let bytes = Publish::new(scene.topic(bad), "x", 0).encode(scene.version);
        refused(scene, &scene.topic("#"), &bytes, &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn empty_topic_name(scene: &Scene) -> Check {
    let bytes = Publish::new("", "x", 0).encode(scene.version);
    refused(scene, &scene.topic("#"), &bytes, &[0x81, 0x82, 0x90])
}

fn topic_name_comes_first(scene: &Scene) -> Check {
    // The packet identifier and the payload stand where the topic name has to be.
    let misplaced = [&[0x00, 0x01][..], &[0xFF], &field(scene.topic("t"))].concat();
    let no_topic: &[u8] = &[0x00];
    for body in [misplaced.as_slice(), no_topic, &[0x00, 0x09, b'a']] {
        refused(scene, &scene.topic("#"), &packet(0x30, body), &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn subscription_identifier(scene: &Scene) -> Check {
    let bytes = Publish::new(scene.topic("t"), "x", 0)
        .prop(Prop::variable(id::SUBSCRIPTION_IDENTIFIER, 1))
        .encode(scene.version);
    refused(scene, &scene.topic("#"), &bytes, &[0x81, 0x82])
}

fn empty_and_large_payloads(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    let limit = publisher.connack.number(id::MAXIMUM_PACKET_SIZE).unwrap_or(u32::MAX) as usize;
    let pattern: Vec<u8> = (0..200_000u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    for length in [0, 1, 127, 128, 16_383, 16_384, 65_536, 200_000] {
        if length + topic.len() + 16 > limit {
            continue;
        }
        for qos in 0..=2 {
            publisher.publish(&Publish::new(&topic, &pattern[..length], qos))?;
            is(&subscriber.take()?, &topic, &pattern[..length], qos)?;
        }
    }
    Ok(())
}

fn longest_topic_name(scene: &Scene) -> Check {
    let head = scene.topic("");
    let topic = format!("{head}{}", "x".repeat(65_535 - head.len()));
    let mut client = scene.join("a")?;
    let limit = client.connack.number(id::MAXIMUM_PACKET_SIZE).unwrap_or(u32::MAX);
    if limit < 70_000 {
        return crate::check::not_applicable("the broker takes no packets of that size");
    }
    client.subscribe(scene.topic("+"), 0)?;
    client.publish(&Publish::new(&topic, "long", 0))?;
    is(&client.take()?, &topic, b"long", 0)?;
    // A name of one byte more cannot even be written down: its length would be 0, and the
    // remaining bytes would not fit their places.
    let mut body = vec![0, 0];
    body.extend(topic.as_bytes());
    body.push(b'x');
    client.send(&packet(0x30, &body));
    client.ended(&[0x81, 0x82, 0x90])?;
    Ok(())
}
