//! What one side announces and the other side has to keep: Maximum Packet Size, Maximum QoS,
//! Retain Available.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, equal, expect, listed, not_applicable};
use crate::client::{Client, is};
use crate::codec::{Ack, Connect, Packet, Prop, Publish, Subscribe, Will, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("limits::too_large_for_the_client_is_dropped", ONLY_5, too_large_is_dropped)
        .v5(&["3.1.2-24", "3.1.2-25"]),
    Case::new("limits::too_large_leaves_no_trace_in_the_quota", ONLY_5, no_trace_in_the_quota)
        .v5(&["3.1.2-25"]),
    Case::new("limits::too_large_in_a_queue", ONLY_5, too_large_in_a_queue)
        .v5(&["3.1.2-24", "3.1.2-25"]),
    Case::new("limits::acknowledgements_fit", ONLY_5, acknowledgements_fit).v5(&[
        "3.4.2-2", "3.4.2-3", "3.5.2-2", "3.5.2-3", "3.6.2-2", "3.6.2-3", "3.7.2-2", "3.7.2-3",
        "3.9.2-1", "3.9.2-2", "3.11.2-1", "3.11.2-2",
    ]),
    Case::new("limits::disconnect_fits", ONLY_5, disconnect_fits).v5(&["3.14.2-3", "3.14.2-4"]),
    Case::new("limits::maximum_packet_size_0", ONLY_5, maximum_packet_size_0).v5(&["3.1.4-1"]),
    Case::new("limits::too_large_for_the_broker", ONLY_5, too_large_for_the_broker)
        .v5(&["3.2.2-15"]),
    Case::new("limits::qos_over_the_maximum", ONLY_5, qos_over_the_maximum).v5(&["3.2.2-11"]),
    Case::new("limits::retain_where_there_is_none", ONLY_5, retain_where_there_is_none)
        .v5(&["3.2.2-14"]),
];

fn limited(scene: &Scene, bytes: u32) -> Connect {
    scene.hello("a").prop(Prop::four(id::MAXIMUM_PACKET_SIZE, bytes))
}

fn too_large_is_dropped(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut subscriber = scene.join_with(&limited(scene, 100))?;
    subscriber.subscribe(&topic, 2)?;
    // The largest that fits: two bytes of fixed header, topic, identifier, no properties.
    for qos in 0..=2u8 {
        let around = 2 + 2 + topic.len() + if qos > 0 { 2 } else { 0 } + 1;
        let fits = vec![b'x'; 100 - around];
        publisher.publish(&Publish::new(&topic, &fits, qos))?;
        is(&subscriber.take()?, &topic, &fits, qos)?;
        for larger in [fits.len() + 1, 1_000, 50_000] {
            publisher.publish(&Publish::new(&topic, vec![b'y'; larger], qos))?;
        }
        publisher.mark(&topic, qos)?;
        let before = subscriber.until_marker()?;
        expect(before.is_empty(), "nothing that is too large", listed(&before))?;
    }
    Ok(())
}

fn no_trace_in_the_quota(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let connect = limited(scene, 100).prop(Prop::two(id::RECEIVE_MAXIMUM, 2));
    let mut subscriber = scene.join_with(&connect)?;
    subscriber.subscribe(&topic, 2)?;
    for qos in 1..=2 {
        for _ in 0..5 {
            publisher.publish(&Publish::new(&topic, vec![b'y'; 1_000], qos))?;
        }
        for payload in ["one", "two"] {
            publisher.publish(&Publish::new(&topic, payload, qos))?;
        }
        let (first, second) = (subscriber.publication()?, subscriber.publication()?);
        is(&first, &topic, b"one", qos)?;
        is(&second, &topic, b"two", qos)?;
        subscriber.finish(&first)?;
        subscriber.finish(&second)?;
    }
    Ok(())
}

fn too_large_in_a_queue(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut subscriber = scene.join_with(&scene.stay("a"))?;
    subscriber.subscribe(&topic, 1)?;
    subscriber.leave()?;
    let mut publisher = scene.join("pub")?;
    for payload in [vec![b'a'; 10], vec![b'b'; 1_000], vec![b'c'; 20]] {
        publisher.publish(&Publish::new(&topic, payload, 1))?;
    }
    let connect = scene.stay("a").prop(Prop::four(id::MAXIMUM_PACKET_SIZE, 100));
    let mut subscriber = scene.join_with(&connect)?;
    is(&subscriber.take()?, &topic, &[b'a'; 10], 1)?;
    is(&subscriber.take()?, &topic, &[b'c'; 20], 1)
}

fn acknowledgements_fit(scene: &Scene) -> Check {
    // Room for the bare packets; the CONNACK has more to say, so the limit is not smaller. Every
    // packet is held to the limit as it comes.
    let mut client = scene.join_with(&limited(scene, 64))?;
    let topic = scene.topic("nobody");
    for qos in 1..=2 {
        client.publish(&Publish::new(&topic, "x", qos))?;
    }
    client.ack(Ack::PubRel, 4_711, 0);
    client.answered(Ack::PubComp, 4_711)?;
    // An unknown PUBREC is answered by PUBREL 0x92 or by nothing.
    client.ack(Ack::PubRec, 4_712, 0);
    client.send(&crate::codec::pingreq());
    match client.answer()? {
        Packet::PingResp => {}
        Packet::Ack { kind: Ack::PubRel, packet_id: 4_712, .. } => {
            let pong = client.answer()?;
            expect(pong == Packet::PingResp, "a PINGRESP", pong)?;
        }
        other => return crate::check::failed("PUBREL #4712 or PINGRESP", other),
    }
    let never: Vec<String> = (0..8).map(|at| scene.topic(&format!("never{at}"))).collect();
    let filters: Vec<&[u8]> = never.iter().map(String::as_bytes).collect();
    client.unsubscribe(&filters)?;
    let subscribe = Subscribe::one(9_999, scene.topic("t"), 2).and(scene.topic("u"), 1);
    client.subscribe_with(&subscribe)?;
    client.ping()
}

fn disconnect_fits(scene: &Scene) -> Check {
    let mut old = scene.join_with(&limited(scene, 64))?;
    let _new = scene.join("a")?;
    old.ended(&[0x8E])?;
    let mut client = scene.join_with(&limited(scene, 64))?;
    client.send(&[0x30, 0x00]);
    client.ended(&[0x81, 0x82])?;
    Ok(())
}

fn maximum_packet_size_0(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send(&limited(scene, 0).encode());
    client.turned_away(&[0x81, 0x82])?;
    Ok(())
}

/// What the broker's CONNACK says of a limit, or the case does not apply.
fn announced(client: &Client, name: u8, what: &str) -> Check<u32> {
    match client.connack.number(name) {
        Some(value) => Ok(value),
        None => not_applicable(format!("the broker announces no {what}")),
    }
}

fn too_large_for_the_broker(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 0)?;
    let limit = announced(&publisher, id::MAXIMUM_PACKET_SIZE, "Maximum Packet Size")?;
    if limit > 512 << 20 {
        return not_applicable("the announced Maximum Packet Size is more than a test can send");
    }
    // Only the beginning is sent: the remaining length says enough.
    let mut client = scene.join("a")?;
    let mut begin = vec![0x30];
    begin.extend(crate::codec::variable(limit));
    begin.extend(crate::codec::field(&topic));
    begin.push(0);
    begin.extend([b'x'; 64]);
    client.send(&begin);
    client.ended(&[0x95])?;
    publisher.mark(&topic, 0)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing of the packet", listed(&before))
}

fn qos_over_the_maximum(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    let maximum = announced(&client, id::MAXIMUM_QOS, "Maximum QoS")?;
    let over = u8::try_from(maximum + 1).unwrap_or(2);
    client.send(&Publish::new(scene.topic("t"), "x", over).id(1).encode(scene.version));
    client.ended(&[0x9B])?;
    let mut client = scene.dial()?;
    client.send_connect(&scene.hello("b").will(Will::new(scene.topic("w"), "x", over)));
    client.turned_away(&[0x9B])?;
    Ok(())
}

fn retain_where_there_is_none(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    let available = announced(&client, id::RETAIN_AVAILABLE, "Retain Available 0")?;
    if available == 1 {
        return not_applicable("the broker keeps retained messages");
    }
    client.send(&Publish::new(scene.topic("t"), "x", 0).retained().encode(scene.version));
    match client.packet()? {
        Packet::Disconnect { code, .. } => equal("DISCONNECT", code, 0x9A),
        other => crate::check::failed("DISCONNECT 0x9A", other),
    }
}
