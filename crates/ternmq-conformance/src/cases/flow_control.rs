//! Receive Maximum, both ways.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, equal, failed, not_applicable};
use crate::client::{Client, is};
use crate::codec::{Ack, Prop, Publish, Subscribe, id};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("flow_control::broker_keeps_the_receive_maximum", ONLY_5, broker_keeps_it)
        .v5(&["3.3.4-9", "4.9.0-1", "4.9.0-2"]),
    Case::new("flow_control::quota_returns_with_pubcomp", ONLY_5, quota_returns_with_pubcomp)
        .v5(&["3.3.4-9", "4.9.0-2"]),
    Case::new("flow_control::quota_returns_with_an_error", ONLY_5, quota_returns_with_an_error)
        .v5(&["4.9.0-2", "4.4.0-2"]),
    Case::new("flow_control::only_publish_is_held_back", ONLY_5, only_publish_is_held_back)
        .v5(&["3.3.4-10", "4.9.0-3"]),
    Case::new("flow_control::holds_on_resume_too", ONLY_5, holds_on_resume_too)
        .v5(&["3.3.4-9", "4.9.0-1"]),
    Case::new("flow_control::client_over_the_maximum_is_ended", ONLY_5, client_over_the_maximum)
        .v5(&["3.3.4-7"]),
    Case::new("flow_control::receive_maximum_0", ONLY_5, receive_maximum_0).v5(&["3.1.4-1"]),
];

/// How long a broker gets to send more than it may.
const A_WHILE: Duration = Duration::from_millis(200);

/// A subscriber of QoS 2 with that receive maximum, and a publisher that has sent some messages.
fn limited(scene: &Scene, maximum: u16, qos: u8, count: u32) -> Check<(Client, Client)> {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let connect = scene.hello("a").prop(Prop::two(id::RECEIVE_MAXIMUM, maximum));
    let mut subscriber = scene.join_with(&connect)?;
    subscriber.subscribe(&topic, 2)?;
    for number in 0..count {
        publisher.publish(&Publish::new(&topic, number.to_string(), qos))?;
    }
    Ok((publisher, subscriber))
}

fn next(subscriber: &mut Client, scene: &Scene, number: u32, qos: u8) -> Check<u16> {
    let seen = subscriber.publication()?;
    is(&seen, scene.topic("t"), number.to_string().as_bytes(), qos)?;
    Ok(seen.packet_id)
}

fn broker_keeps_it(scene: &Scene) -> Check {
    for maximum in [1u16, 3] {
        let (_publisher, mut subscriber) = limited(scene, maximum, 1, 8)?;
        let mut waiting = Vec::new();
        for number in 0..u32::from(maximum) {
            waiting.push(next(&mut subscriber, scene, number, 1)?);
        }
        subscriber.quiet(A_WHILE)?;
        for number in u32::from(maximum)..8 {
            subscriber.ack(Ack::PubAck, waiting.remove(0), 0);
            waiting.push(next(&mut subscriber, scene, number, 1)?);
        }
        subscriber.quiet(Duration::from_millis(20))?;
    }
    Ok(())
}

fn quota_returns_with_pubcomp(scene: &Scene) -> Check {
    let (_publisher, mut subscriber) = limited(scene, 1, 2, 3)?;
    for number in 0..3 {
        let packet_id = next(&mut subscriber, scene, number, 2)?;
        subscriber.ack(Ack::PubRec, packet_id, 0);
        subscriber.answered(Ack::PubRel, packet_id)?;
        subscriber.quiet(A_WHILE)?;
        subscriber.ack(Ack::PubComp, packet_id, 0);
    }
    subscriber.ping()
}

fn quota_returns_with_an_error(scene: &Scene) -> Check {
    let (_publisher, mut subscriber) = limited(scene, 1, 2, 3)?;
    for number in 0..3 {
        let packet_id = next(&mut subscriber, scene, number, 2)?;
        subscriber.ack(Ack::PubRec, packet_id, 0x97);
    }
    subscriber.ping()
}

fn only_publish_is_held_back(scene: &Scene) -> Check {
    let (mut publisher, mut subscriber) = limited(scene, 1, 1, 3)?;
    let packet_id = next(&mut subscriber, scene, 0, 1)?;
    // The quota is spent; everything that is not a PUBLISH goes on as ever.
    subscriber.ping()?;
    let other = scene.topic("other");
    subscriber.subscribe(&other, 1)?;
    subscriber.publish(&Publish::new(scene.topic("nobody"), "x", 1))?;
    subscriber.publish(&Publish::new(scene.topic("nobody"), "x", 2))?;
    equal("UNSUBACK", subscriber.unsubscribe(&[other.as_bytes()])?, vec![0])?;
    publisher.ping()?;
    subscriber.ack(Ack::PubAck, packet_id, 0);
    next(&mut subscriber, scene, 1, 1)?;
    Ok(())
}

fn holds_on_resume_too(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = scene.join("pub")?;
    for number in 0..6 {
        publisher.publish(&Publish::new(&topic, number.to_string(), 1))?;
        next(&mut subscriber, scene, number, 1)?;
    }
    subscriber.cut();
    let connect = scene.stay("a").prop(Prop::two(id::RECEIVE_MAXIMUM, 2));
    let mut subscriber = scene.join_with(&connect)?;
    let mut waiting =
        vec![next(&mut subscriber, scene, 0, 1)?, next(&mut subscriber, scene, 1, 1)?];
    subscriber.quiet(A_WHILE)?;
    for number in 2..6 {
        subscriber.ack(Ack::PubAck, waiting.remove(0), 0);
        waiting.push(next(&mut subscriber, scene, number, 1)?);
    }
    Ok(())
}

fn client_over_the_maximum(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    let maximum = client.connack.number(id::RECEIVE_MAXIMUM).unwrap_or(65_535);
    let Ok(over) = u16::try_from(maximum + 1) else {
        return not_applicable("the broker takes as many as there are packet identifiers");
    };
    let mut bytes = Vec::new();
    for packet_id in 1..=over {
        bytes.extend(Publish::new(scene.topic("t"), "x", 2).id(packet_id).encode(scene.version));
    }
    client.send(&bytes);
    for packet_id in 1..=over {
        match client.incoming(scene.patience)? {
            crate::client::Incoming::Closed => return Ok(()),
            crate::client::Incoming::Packet(packet) => match packet {
                crate::codec::Packet::Ack { packet_id: seen, .. } if seen == packet_id => {}
                crate::codec::Packet::Disconnect { code: 0x93, .. } => {
                    client.ended(&[])?;
                    return Ok(());
                }
                other => return failed("PUBREC or DISCONNECT 0x93", other),
            },
            crate::client::Incoming::Silence => break,
        }
    }
    failed("DISCONNECT 0x93 (Receive Maximum exceeded)", format!("{over} messages were taken"))
}

fn receive_maximum_0(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send_connect(&scene.hello("a").prop(Prop::two(id::RECEIVE_MAXIMUM, 0)));
    client.turned_away(&[0x81, 0x82])?;
    // The broker goes on with everybody else.
    let mut other = scene.join("b")?;
    equal("granted", other.subscribe_with(&Subscribe::one(1, scene.topic("t"), 0))?, vec![0])
}
