//! QoS 1 in both directions: identifiers, acknowledgement, repetition.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, listed};
use crate::client::is;
use crate::codec::{Ack, Publish};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("qos1::puback_repeats_the_identifier", ALL, puback_repeats_the_identifier)
        .v5(&["2.2.1-5", "3.4.2-1", "4.3.2-4"])
        .v311(&["2.3.1-6", "4.3.2-2"]),
    Case::new("qos1::identifier_is_new_after_puback", ALL, identifier_is_new_after_puback)
        .v5(&["4.3.2-5"])
        .v311(&["4.3.2-2"]),
    Case::new("qos1::broker_takes_free_identifiers", ALL, broker_takes_free_identifiers)
        .v5(&["2.2.1-4", "4.3.2-1", "4.3.2-2"])
        .v311(&["2.3.1-4", "4.3.2-1"]),
    Case::new("qos1::unacknowledged_is_sent_again_on_resume", ALL, sent_again_on_resume)
        .v5(&["3.3.1-1", "4.3.2-3", "4.4.0-1"])
        .v311(&["3.3.1-1", "4.3.2-1", "4.4.0-1"]),
    Case::new("qos1::not_sent_again_while_connected", FROM_311, not_sent_again_while_connected)
        .v5(&["4.4.0-1"])
        .slow(),
    Case::new("qos1::acknowledged_is_not_sent_again", ALL, acknowledged_is_not_sent_again)
        .v5(&["4.3.2-3", "4.4.0-1"])
        .v311(&["4.3.2-1", "4.4.0-1"]),
    Case::new("qos1::puback_with_an_error_settles", ONLY_5, puback_with_an_error_settles)
        .v5(&["4.4.0-2"]),
    Case::new("qos1::unknown_puback_does_no_harm", ALL, unknown_puback),
];

fn puback_repeats_the_identifier(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 1)?;
    for packet_id in [1, 255, 256, 32_768, 65_535] {
        let payload = packet_id.to_string();
        publisher.send(&Publish::new(&topic, &payload, 1).id(packet_id).encode(scene.version));
        let code = publisher.answered(Ack::PubAck, packet_id)?;
        expect(code == 0, "code 0x00, since somebody matches", code)?;
        is(&subscriber.take()?, &topic, payload.as_bytes(), 1)?;
    }
    Ok(())
}

fn identifier_is_new_after_puback(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 1)?;
    for payload in ["one", "two", "two"] {
        let publish = Publish::new(&topic, payload, 1).id(7).dup();
        publisher.send(&publish.encode(scene.version));
        publisher.answered(Ack::PubAck, 7)?;
        is(&subscriber.take()?, &topic, payload.as_bytes(), 1)?;
    }
    Ok(())
}

fn broker_takes_free_identifiers(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 1)?;
    // The client fails by itself if an identifier comes that is still in use.
    let mut waiting = Vec::new();
    for number in 0..10 {
        publisher.publish(&Publish::new(&topic, number.to_string(), 1))?;
        let seen = subscriber.publication()?;
        is(&seen, &topic, number.to_string().as_bytes(), 1)?;
        equal("DUP", seen.dup, false)?;
        waiting.push(seen.packet_id);
    }
    subscriber.ack(Ack::PubAck, waiting[3], 0);
    publisher.publish(&Publish::new(&topic, "after a gap", 1))?;
    is(&subscriber.publication()?, &topic, b"after a gap", 1)
}

fn sent_again_on_resume(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 1)?;
    publisher.publish(&Publish::new(&topic, "again", 1))?;
    let first = subscriber.publication()?;
    equal("DUP the first time", first.dup, false)?;
    subscriber.cut();
    for _ in 0..2 {
        let mut subscriber = scene.join_with(&scene.stay("a"))?;
        let again = subscriber.publication()?;
        is(&again, &topic, b"again", 1)?;
        equal("DUP", again.dup, true)?;
        equal("packet identifier", again.packet_id, first.packet_id)?;
        subscriber.cut();
    }
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    is(&subscriber.take()?, &topic, b"again", 1)
}

fn not_sent_again_while_connected(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    for qos in 1..=2 {
        publisher.publish(&Publish::new(&topic, "slow", qos))?;
        is(&subscriber.publication()?, &topic, b"slow", qos)?;
    }
    subscriber.quiet(Duration::from_secs(3))
}

fn acknowledged_is_not_sent_again(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 1)?;
    publisher.publish(&Publish::new(&topic, "settled", 1))?;
    subscriber.take()?;
    subscriber.ping()?;
    subscriber.cut();
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    publisher.mark(&topic, 1)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing that was acknowledged", listed(&before))
}

fn puback_with_an_error_settles(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 2)?;
    for (qos, kind) in [(1, Ack::PubAck), (2, Ack::PubRec)] {
        publisher.publish(&Publish::new(&topic, "refused", qos))?;
        let seen = subscriber.publication()?;
        subscriber.ack(kind, seen.packet_id, 0x80);
        // No PUBREL may answer a refusal.
        subscriber.ping()?;
    }
    subscriber.cut();
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    publisher.mark(&topic, 1)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing that was refused", listed(&before))
}

fn unknown_puback(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 1)?;
    subscriber.ack(Ack::PubAck, 4_711, 0);
    publisher.publish(&Publish::new(&topic, "x", 1))?;
    is(&subscriber.take()?, &topic, b"x", 1)?;
    subscriber.ping()
}
