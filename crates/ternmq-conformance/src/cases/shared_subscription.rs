//! Shared subscriptions, as MQTT 5.0 has them.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, equal, expect, failed, listed};
use crate::client::{Client, Incoming, is};
use crate::codec::{Ack, Packet, Props, Publish, Subscribe, id};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("shared_subscription::one_member_gets_each_message", ONLY_5, one_member_gets_each)
        .v5(&["4.8.2-3", "4.5.0-1"]),
    Case::new("shared_subscription::granted_qos_is_respected", ONLY_5, granted_qos)
        .v5(&["4.8.2-3"]),
    Case::new("shared_subscription::name_is_empty", ONLY_5, name_is_empty).v5(&["4.8.2-1"]),
    Case::new("shared_subscription::name_with_a_wildcard", ONLY_5, name_with_a_wildcard)
        .v5(&["4.8.2-2"]),
    Case::new("shared_subscription::name_without_a_filter", ONLY_5, name_without_a_filter)
        .v5(&["4.8.2-2"]),
    Case::new(
        "shared_subscription::qos_2_is_completed_to_its_member",
        ONLY_5,
        completed_to_its_member,
    )
    .v5(&["4.8.2-4"]),
    Case::new("shared_subscription::qos_2_goes_to_nobody_else", ONLY_5, goes_to_nobody_else)
        .v5(&["4.8.2-5"]),
    Case::new("shared_subscription::refused_is_dropped", ONLY_5, refused_is_dropped)
        .v5(&["4.8.2-6"]),
    Case::new("shared_subscription::no_retained_messages", ONLY_5, no_retained_messages),
    Case::new("shared_subscription::beside_an_ordinary_subscription", ONLY_5, beside_an_ordinary)
        .v5(&["4.8.2-3", "3.3.4-3"]),
    Case::new("shared_subscription::unsubscribe_takes_a_member_out", ONLY_5, unsubscribe_takes_out)
        .v5(&["3.10.4-1", "3.10.4-2"]),
];

fn needs_shared(scene: &Scene, client: &Client) -> Check {
    scene.needs(client, id::SHARED_AVAILABLE, "shared subscriptions")
}

fn filter(scene: &Scene, topic: &str) -> String {
    format!("$share/{}/{topic}", scene.id("g"))
}

fn one_member_gets_each(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    needs_shared(scene, &publisher)?;
    let mut members = vec![scene.join("m1")?, scene.join("m2")?, scene.join("m3")?];
    for member in &mut members {
        member.subscribe(filter(scene, &topic), 1)?;
        // The markers come on a subscription of each member's own.
        member.subscribe(scene.topic("marker"), 1)?;
    }
    for number in 0..30u8 {
        publisher.publish(&Publish::new(&topic, [number], 1))?;
    }
    let mut seen = Vec::new();
    let mut idle = 0;
    while seen.len() < 30 && idle < 3 {
        idle = 0;
        for member in &mut members {
            match member.incoming(Duration::from_millis(200))? {
                Incoming::Packet(Packet::Publish(publish)) => {
                    member.finish(&publish)?;
                    seen.push(publish.payload);
                }
                Incoming::Silence => idle += 1,
                other => return failed("a PUBLISH", format!("{other:?}")),
            }
        }
    }
    publisher.mark(scene.topic("marker"), 1)?;
    for member in &mut members {
        seen.extend(member.until_marker()?.into_iter().map(|publish| publish.payload));
    }
    seen.sort();
    let all: Vec<Vec<u8>> = (0..30u8).map(|number| vec![number]).collect();
    expect(seen == all, "each of 30 messages at one of the members", &seen)
}

fn granted_qos(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    needs_shared(scene, &publisher)?;
    for granted in 0..=2 {
        let topic = scene.topic(&granted.to_string());
        let mut member = scene.join("m")?;
        member.subscribe(filter(scene, &topic), granted)?;
        for published in 0..=2 {
            publisher.publish(&Publish::new(&topic, "x", published))?;
            is(&member.take()?, &topic, b"x", published.min(granted))?;
        }
    }
    Ok(())
}

/// Expects that a filter is refused: by a failure in the SUBACK or the end of the connection.
fn refused(scene: &Scene, filter: &str) -> Check {
    let mut client = scene.join("a")?;
    needs_shared(scene, &client)?;
    client.send(&Subscribe::one(1, filter, 0).encode(scene.version));
    match client.incoming(scene.patience)? {
        Incoming::Closed => Ok(()),
        Incoming::Packet(Packet::Disconnect { code: 0x81 | 0x82 | 0x8F, .. }) => {
            client.ended(&[]).map(|_| ())
        }
        Incoming::Packet(Packet::SubAck { codes, .. }) if codes == [0x8F] => Ok(()),
        other => failed(format!("the filter {filter:?} refused"), format!("{other:?}")),
    }
}

fn name_is_empty(scene: &Scene) -> Check {
    refused(scene, &format!("$share//{}", scene.topic("t")))
}

fn name_with_a_wildcard(scene: &Scene) -> Check {
    for name in ["+", "#", "g+", "g#"] {
        refused(scene, &format!("$share/{name}/{}", scene.topic("t")))?;
    }
    Ok(())
}

fn name_without_a_filter(scene: &Scene) -> Check {
    refused(scene, "$share/g")?;
    refused(scene, "$share/g/")?;
    refused(scene, "$share/")
}

/// Two members with sessions, one of which got a QoS 2 message and has not answered it.
struct Halfway {
    publisher: Client,
    holder: (&'static str, Client),
    other: (&'static str, Client),
    packet_id: u16,
}

fn halfway(scene: &Scene, topic: &str, qos: u8) -> Check<Halfway> {
    let mut publisher = scene.join("pub")?;
    needs_shared(scene, &publisher)?;
    let mut members = Vec::new();
    for who in ["m1", "m2"] {
        let mut member = scene.join_with(&scene.stay(who))?;
        member.subscribe(filter(scene, topic), 2)?;
        member.subscribe(scene.topic("marker"), 2)?;
        members.push((who, member));
    }
    publisher.publish(&Publish::new(topic, "once", qos))?;
    for _ in 0..50 {
        for at in 0..2 {
            match members[at].1.incoming(Duration::from_millis(50))? {
                Incoming::Packet(Packet::Publish(publish)) => {
                    is(&publish, topic, b"once", qos)?;
                    let holder = members.remove(at);
                    let other = members.remove(0);
                    return Ok(Halfway { publisher, holder, other, packet_id: publish.packet_id });
                }
                Incoming::Silence => {}
                other => return failed("the message at one member", format!("{other:?}")),
            }
        }
    }
    failed("the message at one member", "nothing")
}

/// Fails if the member has anything before a marker.
fn has_nothing(publisher: &mut Client, member: &mut Client, scene: &Scene) -> Check {
    publisher.mark(scene.topic("marker"), 2)?;
    let before = member.until_marker()?;
    expect(before.is_empty(), "nothing", listed(&before))
}

fn completed_to_its_member(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut halfway = halfway(scene, &topic, 2)?;
    let (who, holder) = halfway.holder;
    holder.cut();
    has_nothing(&mut halfway.publisher, &mut halfway.other.1, scene)?;
    let mut holder = scene.join_with(&scene.stay(who))?;
    let again = holder.publication()?;
    is(&again, &topic, b"once", 2)?;
    equal("DUP", again.dup, true)?;
    equal("packet identifier", again.packet_id, halfway.packet_id)?;
    holder.finish(&again)?;
    has_nothing(&mut halfway.publisher, &mut halfway.other.1, scene)
}

fn goes_to_nobody_else(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut halfway = halfway(scene, &topic, 2)?;
    let (who, mut holder) = halfway.holder;
    let ends_now = Props(vec![crate::codec::Prop::four(id::SESSION_EXPIRY_INTERVAL, 0)]);
    holder.leave_with(0, &ends_now)?;
    has_nothing(&mut halfway.publisher, &mut halfway.other.1, scene)?;
    let back = scene.join_with(&scene.stay(who))?;
    equal("Session Present of the ended session", back.session_present, false)?;
    has_nothing(&mut halfway.publisher, &mut halfway.other.1, scene)
}

fn refused_is_dropped(scene: &Scene) -> Check {
    for (qos, kind) in [(1, Ack::PubAck), (2, Ack::PubRec)] {
        let topic = scene.topic(&format!("t{qos}"));
        let mut halfway = halfway(scene, &topic, qos)?;
        halfway.holder.1.ack(kind, halfway.packet_id, 0x80);
        halfway.holder.1.ping()?;
        has_nothing(&mut halfway.publisher, &mut halfway.other.1, scene)?;
        for (_, mut member) in [halfway.holder, halfway.other] {
            let ends_now = Props(vec![crate::codec::Prop::four(id::SESSION_EXPIRY_INTERVAL, 0)]);
            member.leave_with(0, &ends_now)?;
        }
    }
    Ok(())
}

fn no_retained_messages(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut publisher = scene.join("pub")?;
    needs_shared(scene, &publisher)?;
    scene.needs_retained(&publisher)?;
    publisher.publish(&Publish::new(&topic, "kept", 1).retained())?;
    let mut member = scene.join("m")?;
    member.subscribe(filter(scene, &topic), 1)?;
    publisher.mark(&topic, 1)?;
    let before = member.until_marker()?;
    expect(before.is_empty(), "no retained message for a shared subscription", listed(&before))
}

fn beside_an_ordinary(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    needs_shared(scene, &publisher)?;
    let mut member = scene.join("m")?;
    member.subscribe_with(&Subscribe::one(1, filter(scene, &topic), 1).identifier(1))?;
    member.subscribe_with(&Subscribe::one(2, &topic, 1).identifier(2))?;
    publisher.publish(&Publish::new(&topic, "x", 1))?;
    // Both subscriptions are served: with a copy each, or one copy with both identifiers.
    let mut identifiers = Vec::new();
    while identifiers.len() < 2 {
        let seen = member.take()?;
        is(&seen, &topic, b"x", 1)?;
        identifiers.extend(seen.props.subscription_identifiers());
    }
    identifiers.sort_unstable();
    equal("identifiers", identifiers, vec![1, 2])
}

fn unsubscribe_takes_out(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    needs_shared(scene, &publisher)?;
    let (mut leaves, mut stays) = (scene.join("m1")?, scene.join("m2")?);
    for member in [&mut leaves, &mut stays] {
        member.subscribe(filter(scene, &topic), 1)?;
    }
    leaves.subscribe(scene.topic("marker"), 1)?;
    equal("UNSUBACK", leaves.unsubscribe(&[topic.as_bytes()])?, vec![0x11])?;
    equal("UNSUBACK", leaves.unsubscribe(&[filter(scene, &topic).as_bytes()])?, vec![0])?;
    for number in 0..6u8 {
        publisher.publish(&Publish::new(&topic, [number], 1))?;
        is(&stays.take()?, &topic, &[number], 1)?;
    }
    publisher.mark(scene.topic("marker"), 1)?;
    let before = leaves.until_marker()?;
    expect(before.is_empty(), "nothing for the member that left", listed(&before))
}
