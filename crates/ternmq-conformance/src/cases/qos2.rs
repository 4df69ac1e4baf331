//! QoS 2 in both directions: exactly once, step by step.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, failed, listed};
use crate::client::{Client, is};
use crate::codec::{Ack, Packet, Prop, Publish, id};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("qos2::receiver_answers_each_step", ALL, receiver_answers_each_step)
        .v5(&["2.2.1-5", "3.5.2-1", "3.7.2-1", "4.3.3-8", "4.3.3-11"])
        .v311(&["2.3.1-6", "4.3.3-2"]),
    Case::new("qos2::repeated_publish_is_delivered_once", ALL, repeated_is_delivered_once)
        .v5(&["4.3.3-10"])
        .v311(&["4.3.3-2"]),
    Case::new("qos2::repeated_without_dup_is_delivered_once", FROM_311, repeated_without_dup)
        .v5(&["4.3.3-10"])
        .v311(&["4.3.3-2"]),
    Case::new("qos2::repeated_after_a_reconnect_is_delivered_once", ALL, repeated_on_reconnect)
        .v5(&["4.3.3-10", "3.1.2-5"])
        .v311(&["4.3.3-2", "3.1.2-4"]),
    Case::new("qos2::identifier_is_new_after_pubcomp", ALL, new_after_pubcomp)
        .v5(&["4.3.3-12"])
        .v311(&["4.3.3-2"]),
    Case::new("qos2::repeated_pubrel_gets_pubcomp", ALL, repeated_pubrel)
        .v5(&["4.3.3-11", "3.7.2-1"])
        .v311(&["4.3.3-2"]),
    Case::new("qos2::sender_takes_each_step", ALL, sender_takes_each_step)
        .v5(&["2.2.1-4", "2.2.1-5", "3.6.1-1", "3.6.2-1", "4.3.3-1", "4.3.3-2", "4.3.3-4"])
        .v311(&["2.3.1-4", "2.3.1-6", "4.3.3-1"]),
    Case::new("qos2::publish_is_sent_again_until_pubrec", ALL, sent_again_until_pubrec)
        .v5(&["3.3.1-1", "4.3.3-3", "4.4.0-1"])
        .v311(&["3.3.1-1", "4.3.3-1", "4.4.0-1"]),
    Case::new("qos2::pubrel_is_sent_again_until_pubcomp", ALL, pubrel_sent_again)
        .v5(&["4.3.3-5", "4.3.3-6", "4.4.0-1"])
        .v311(&["4.3.3-1", "4.4.0-1"]),
    Case::new("qos2::completed_is_not_sent_again", ALL, completed_is_not_sent_again)
        .v5(&["4.3.3-5", "4.3.3-6"])
        .v311(&["4.3.3-1"]),
    Case::new("qos2::no_pubrel_after_rejection", ONLY_5, no_pubrel_after_rejection)
        .v5(&["4.3.3-4", "4.4.0-2"]),
    Case::new("qos2::unknown_identifiers", ALL, unknown_identifiers)
        .v5(&["3.6.2-1", "3.7.2-1"])
        .v311(&["4.3.3-2"]),
    Case::new("qos2::handshake_outlives_the_message", ONLY_5, handshake_outlives_the_message)
        .v5(&["4.3.3-13"])
        .slow(),
    Case::new("qos2::expiry_ends_with_the_first_send", ONLY_5, expiry_ends_with_the_first_send)
        .v5(&["4.3.3-7"])
        .slow(),
];

fn send(client: &mut Client, scene: &Scene, payload: &str, packet_id: u16, dup: bool) {
    let publish = Publish::new(scene.topic("t"), payload, 2).id(packet_id);
    let publish = if dup { publish.dup() } else { publish };
    client.send(&publish.encode(scene.version));
}

fn receiver_answers_each_step(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    for packet_id in [1, 256, 65_535] {
        send(&mut publisher, scene, "step by step", packet_id, false);
        equal("PUBREC code", publisher.answered(Ack::PubRec, packet_id)?, 0)?;
        publisher.ack(Ack::PubRel, packet_id, 0);
        equal("PUBCOMP code", publisher.answered(Ack::PubComp, packet_id)?, 0)?;
        is(&subscriber.take()?, &topic, b"step by step", 2)?;
    }
    Ok(())
}

/// Publishes the marker, and expects exactly these payloads before it.
fn delivered(
    subscriber: &mut Client,
    publisher: &mut Client,
    scene: &Scene,
    all: &[&str],
) -> Check {
    publisher.mark(scene.topic("t"), 2)?;
    let seen = subscriber.until_marker()?;
    let payloads: Vec<_> =
        seen.iter().map(|publish| String::from_utf8_lossy(&publish.payload)).collect();
    if payloads == all { Ok(()) } else { failed(format!("{all:?}"), listed(&seen)) }
}

fn repeated_is_delivered_once(scene: &Scene) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("t"), 2)?;
    let packet_id = 1_000;
    send(&mut publisher, scene, "once", packet_id, false);
    publisher.answered(Ack::PubRec, packet_id)?;
    for _ in 0..3 {
        send(&mut publisher, scene, "once", packet_id, true);
        let code = publisher.answered(Ack::PubRec, packet_id)?;
        expect(code < 0x80, "PUBREC below 0x80", code)?;
    }
    publisher.ack(Ack::PubRel, packet_id, 0);
    publisher.answered(Ack::PubComp, packet_id)?;
    delivered(&mut subscriber, &mut publisher, scene, &["once"])
}

fn repeated_without_dup(scene: &Scene) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("t"), 2)?;
    let packet_id = 1_000;
    for _ in 0..2 {
        send(&mut publisher, scene, "once", packet_id, false);
        publisher.answered(Ack::PubRec, packet_id)?;
    }
    publisher.ack(Ack::PubRel, packet_id, 0);
    publisher.answered(Ack::PubComp, packet_id)?;
    delivered(&mut subscriber, &mut publisher, scene, &["once"])
}

fn repeated_on_reconnect(scene: &Scene) -> Check {
    let mut subscriber = scene.join("sub")?;
    subscriber.subscribe(scene.topic("t"), 2)?;
    let packet_id = 1_000;
    let mut publisher = scene.join_with(&scene.stay("a"))?;
    send(&mut publisher, scene, "once", packet_id, false);
    publisher.answered(Ack::PubRec, packet_id)?;
    publisher.cut();
    let mut publisher = scene.join_with(&scene.stay("a"))?;
    send(&mut publisher, scene, "once", packet_id, true);
    publisher.answered(Ack::PubRec, packet_id)?;
    publisher.cut();
    let mut publisher = scene.join_with(&scene.stay("a"))?;
    publisher.ack(Ack::PubRel, packet_id, 0);
    equal("PUBCOMP code", publisher.answered(Ack::PubComp, packet_id)?, 0)?;
    delivered(&mut subscriber, &mut publisher, scene, &["once"])
}

fn new_after_pubcomp(scene: &Scene) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("t"), 2)?;
    for payload in ["one", "two", "two"] {
        send(&mut publisher, scene, payload, 1_000, false);
        publisher.answered(Ack::PubRec, 1_000)?;
        publisher.ack(Ack::PubRel, 1_000, 0);
        publisher.answered(Ack::PubComp, 1_000)?;
    }
    delivered(&mut subscriber, &mut publisher, scene, &["one", "two", "two"])
}

fn repeated_pubrel(scene: &Scene) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("t"), 2)?;
    send(&mut publisher, scene, "once", 1_000, false);
    publisher.answered(Ack::PubRec, 1_000)?;
    for _ in 0..3 {
        publisher.ack(Ack::PubRel, 1_000, 0);
        publisher.answered(Ack::PubComp, 1_000)?;
    }
    delivered(&mut subscriber, &mut publisher, scene, &["once"])
}

fn sender_takes_each_step(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    let mut waiting = Vec::new();
    for number in 0..5 {
        publisher.publish(&Publish::new(&topic, number.to_string(), 2))?;
        let seen = subscriber.publication()?;
        is(&seen, &topic, number.to_string().as_bytes(), 2)?;
        equal("DUP", seen.dup, false)?;
        waiting.push(seen.packet_id);
    }
    for packet_id in &waiting {
        subscriber.ack(Ack::PubRec, *packet_id, 0);
        equal("PUBREL code", subscriber.answered(Ack::PubRel, *packet_id)?, 0)?;
    }
    // The identifiers are in use until PUBCOMP; the client fails if one comes again before.
    publisher.publish(&Publish::new(&topic, "meanwhile", 2))?;
    is(&subscriber.publication()?, &topic, b"meanwhile", 2)?;
    for packet_id in waiting {
        subscriber.ack(Ack::PubComp, packet_id, 0);
    }
    subscriber.ping()
}

/// A session to which one QoS 2 message was sent; returns its packet identifier.
fn one_on_its_way(scene: &Scene, publisher: &mut Client) -> Check<(Client, u16)> {
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(scene.topic("t"), 2)?;
    publisher.publish(&Publish::new(scene.topic("t"), "once", 2))?;
    let first = subscriber.publication()?;
    is(&first, scene.topic("t"), b"once", 2)?;
    Ok((subscriber, first.packet_id))
}

fn sent_again_until_pubrec(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    let (subscriber, packet_id) = one_on_its_way(scene, &mut publisher)?;
    subscriber.cut();
    for _ in 0..2 {
        let mut subscriber = scene.join_with(&scene.stay("a"))?;
        let again = subscriber.publication()?;
        is(&again, scene.topic("t"), b"once", 2)?;
        equal("DUP", again.dup, true)?;
        equal("packet identifier", again.packet_id, packet_id)?;
        subscriber.cut();
    }
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    is(&subscriber.take()?, scene.topic("t"), b"once", 2)?;
    delivered(&mut subscriber, &mut publisher, scene, &[])
}

fn pubrel_sent_again(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    let (mut subscriber, packet_id) = one_on_its_way(scene, &mut publisher)?;
    subscriber.ack(Ack::PubRec, packet_id, 0);
    subscriber.answered(Ack::PubRel, packet_id)?;
    subscriber.cut();
    for _ in 0..2 {
        let mut subscriber = scene.join_with(&scene.stay("a"))?;
        match subscriber.packet()? {
            Packet::Ack { kind: Ack::PubRel, packet_id: seen, .. } if seen == packet_id => {}
            other => return failed(format!("PUBREL #{packet_id} and no PUBLISH"), other),
        }
        subscriber.cut();
    }
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.answered(Ack::PubRel, packet_id)?;
    subscriber.ack(Ack::PubComp, packet_id, 0);
    delivered(&mut subscriber, &mut publisher, scene, &[])
}

fn completed_is_not_sent_again(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    let (mut subscriber, packet_id) = one_on_its_way(scene, &mut publisher)?;
    subscriber.ack(Ack::PubRec, packet_id, 0);
    subscriber.answered(Ack::PubRel, packet_id)?;
    subscriber.ack(Ack::PubComp, packet_id, 0);
    subscriber.ping()?;
    subscriber.cut();
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.ping()?;
    delivered(&mut subscriber, &mut publisher, scene, &[])
}

fn no_pubrel_after_rejection(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    for code in [0x80, 0x87, 0x97, 0x99] {
        let (mut subscriber, packet_id) = one_on_its_way(scene, &mut publisher)?;
        subscriber.ack(Ack::PubRec, packet_id, code);
        subscriber.ping()?;
        subscriber.cut();
        let mut subscriber = scene.join_with(&scene.stay("a"))?;
        subscriber.ping()?;
        delivered(&mut subscriber, &mut publisher, scene, &[])?;
    }
    Ok(())
}

fn unknown_identifiers(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    let unknown = if scene.version.is_v5() { 0x92 } else { 0 };
    client.ack(Ack::PubRel, 4_711, 0);
    // 5.0 says 0x92; 0x00 is in the table too, for a repeated PUBREL.
    let code = client.answered(Ack::PubComp, 4_711)?;
    expect(code == unknown || code == 0, "PUBCOMP 0x92 or 0x00", code)?;
    client.ping()
}

fn handshake_outlives_the_message(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    let expiring =
        Publish::new(&topic, "short", 2).prop(Prop::four(id::MESSAGE_EXPIRY_INTERVAL, 1));
    publisher.send(&expiring.clone().id(1_000).encode(scene.version));
    publisher.answered(Ack::PubRec, 1_000)?;
    scene.let_pass(Duration::from_millis(2_500))?;
    publisher.ack(Ack::PubRel, 1_000, 0);
    equal("PUBCOMP code", publisher.answered(Ack::PubComp, 1_000)?, 0)?;
    // A broker that passes a message on at PUBREL only may have found the first one expired.
    if let Some(early) = subscriber.waiting(Duration::from_millis(50))? {
        subscriber.finish(&early)?;
    }
    publisher.publish(&expiring)?;
    let seen = subscriber.publication()?;
    scene.let_pass(Duration::from_millis(2_500))?;
    subscriber.ack(Ack::PubRec, seen.packet_id, 0);
    equal("PUBREL code", subscriber.answered(Ack::PubRel, seen.packet_id)?, 0)?;
    subscriber.ack(Ack::PubComp, seen.packet_id, 0);
    subscriber.ping()
}

fn expiry_ends_with_the_first_send(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 2)?;
    let expiring =
        Publish::new(&topic, "short", 2).prop(Prop::four(id::MESSAGE_EXPIRY_INTERVAL, 1));
    publisher.publish(&expiring)?;
    let first = subscriber.publication()?;
    subscriber.cut();
    scene.let_pass(Duration::from_millis(2_500))?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    let again = subscriber.publication()?;
    is(&again, &topic, b"short", 2)?;
    equal("packet identifier", again.packet_id, first.packet_id)?;
    subscriber.finish(&again)
}
