//! The order of messages and of acknowledgements.

use super::ALL;
use crate::case::Case;
use crate::check::{Check, equal, failed};
use crate::client::is;
use crate::codec::{Ack, Packet, Publish};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("order::of_one_publisher_topic_and_qos", ALL, of_one_publisher)
        .v5(&["4.6.0-5", "4.6.0-6"])
        .v311(&["4.6.0-5", "4.6.0-6"]),
    Case::new("order::of_a_queue", ALL, of_a_queue)
        .v5(&["4.6.0-5", "4.6.0-6"])
        .v311(&["4.6.0-5", "4.6.0-6"]),
    Case::new("order::of_repetitions", ALL, of_repetitions)
        .v5(&["4.6.0-1", "4.4.0-1"])
        .v311(&["4.6.0-1", "4.4.0-1"]),
    Case::new("order::of_puback", ALL, of_puback).v5(&["4.6.0-2"]).v311(&["4.6.0-2"]),
    Case::new("order::of_pubrec", ALL, of_pubrec).v5(&["4.6.0-3"]).v311(&["4.6.0-3"]),
    Case::new("order::of_pubrel", ALL, of_pubrel).v5(&["4.6.0-4"]).v311(&["4.6.0-4"]),
];

/// As many as every broker lets a client have unacknowledged.
const BURST: u16 = 10;

fn of_one_publisher(scene: &Scene) -> Check {
    for qos in 0..=2 {
        let topic = scene.topic(&qos.to_string());
        let (mut publisher, mut subscriber) = scene.pair(&topic, qos)?;
        for number in 0..200u32 {
            publisher.publish(&Publish::new(&topic, number.to_string(), qos))?;
        }
        for number in 0..200u32 {
            is(&subscriber.take()?, &topic, number.to_string().as_bytes(), qos)?;
        }
    }
    Ok(())
}

fn of_a_queue(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 2)?;
    subscriber.leave()?;
    let mut publisher = scene.join("pub")?;
    for qos in 1..=2 {
        for number in 0..40u32 {
            publisher.publish(&Publish::new(&topic, number.to_string(), qos))?;
        }
    }
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    let mut next = [0u32; 3];
    for _ in 0..80 {
        let seen = subscriber.take()?;
        let expected = next[usize::from(seen.qos)];
        is(&seen, &topic, expected.to_string().as_bytes(), seen.qos)?;
        next[usize::from(seen.qos)] += 1;
    }
    equal("messages of QoS 0, 1 and 2", next, [0, 40, 40])
}

fn of_repetitions(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 2)?;
    let mut sent = Vec::new();
    for number in 0..BURST {
        let qos = 1 + (number % 2) as u8;
        publisher.publish(&Publish::new(&topic, number.to_string(), qos))?;
        sent.push(subscriber.publication()?);
    }
    subscriber.cut();
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    for first in &sent {
        let again = subscriber.publication()?;
        is(&again, &topic, &first.payload, first.qos)?;
        equal("packet identifier", again.packet_id, first.packet_id)?;
        equal("DUP", again.dup, true)?;
    }
    Ok(())
}

fn of_puback(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    // The order is not that of the numbers, nor are the topics the same.
    for round in 0..5u16 {
        let order: Vec<u16> = (1..=BURST).map(|at| at * 7 % 11 + round * 100).collect();
        let mut bytes = Vec::new();
        for packet_id in &order {
            let topic = scene.topic(&format!("t{packet_id}"));
            bytes.extend(Publish::new(topic, "x", 1).id(*packet_id).encode(scene.version));
        }
        publisher.send(&bytes);
        for packet_id in order {
            publisher.answered(Ack::PubAck, packet_id)?;
        }
    }
    Ok(())
}

fn of_pubrec(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    let order: Vec<u16> = (1..=BURST).map(|at| at * 7 % 11).collect();
    let mut bytes = Vec::new();
    for packet_id in &order {
        let topic = scene.topic(&format!("t{packet_id}"));
        bytes.extend(Publish::new(topic, "x", 2).id(*packet_id).encode(scene.version));
    }
    publisher.send(&bytes);
    for packet_id in &order {
        publisher.answered(Ack::PubRec, *packet_id)?;
    }
    for packet_id in &order {
        publisher.ack(Ack::PubRel, *packet_id, 0);
    }
    for packet_id in order {
        publisher.answered(Ack::PubComp, packet_id)?;
    }
    Ok(())
}

fn of_pubrel(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    let mut sent = Vec::new();
    for number in 0..BURST {
        publisher.publish(&Publish::new(&topic, number.to_string(), 2))?;
        sent.push(subscriber.publication()?.packet_id);
    }
    // PUBREC in another order than the PUBLISH packets came.
    let mut order: Vec<u16> = sent.iter().rev().copied().collect();
    order.swap(0, 4);
    let bytes: Vec<u8> =
        order.iter().flat_map(|packet_id| crate::codec::ack(Ack::PubRec, *packet_id, 0)).collect();
    subscriber.send(&bytes);
    for packet_id in order {
        match subscriber.answer()? {
            Packet::Ack { kind: Ack::PubRel, packet_id: seen, .. } => {
                equal("PUBREL for", seen, packet_id)?;
            }
            other => return failed(format!("PUBREL #{packet_id}"), other),
        }
        subscriber.ack(Ack::PubComp, packet_id, 0);
    }
    subscriber.ping()
}
