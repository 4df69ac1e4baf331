//! Wills: when they are published, when not, and with what.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, listed, same_bytes};
use crate::client::{Client, is};
use crate::codec::{Prop, Props, Publish, Will, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("will::is_published_when_the_connection_breaks", ALL, connection_breaks)
        .v5(&["3.1.2-7", "3.1.2-8"])
        .v311(&["3.1.2-8"]),
    Case::new("will::is_published_once", ALL, published_once).v5(&["3.1.2-10"]).v311(&["3.1.2-10"]),
    Case::new("will::is_discarded_by_disconnect", ALL, discarded_by_disconnect)
        .v5(&["3.1.2-8", "3.1.2-10", "3.14.4-3"])
        .v311(&["3.1.2-10", "3.14.4-3"]),
    Case::new("will::is_published_after_disconnect_04", ONLY_5, disconnect_04).v5(&["3.1.2-8"]),
    Case::new("will::is_published_after_a_protocol_error", FROM_311, protocol_error)
        .v5(&["3.1.2-8"])
        .v311(&["3.1.2-8"]),
    Case::new("will::is_published_after_a_second_connect", FROM_311, second_connect)
        .v5(&["3.1.2-8"])
        .v311(&["3.1.2-8"]),
    Case::new("will::none_without_the_flag", ALL, none_without_the_flag).v311(&["3.1.2-12"]),
    Case::new("will::not_retained", ALL, not_retained).v5(&["3.1.2-14"]).v311(&["3.1.2-16"]),
    Case::new("will::retained", ALL, retained).v5(&["3.1.2-15"]).v311(&["3.1.2-17"]),
    Case::new("will::qos_is_kept", ALL, qos_is_kept).v5(&["3.8.4-8"]).v311(&["3.8.4-6"]),
    Case::new("will::properties_are_passed_on", ONLY_5, properties)
        .v5(&["3.1.3-10", "3.3.2-4", "3.3.2-15", "3.3.2-16", "3.3.2-20"]),
    Case::new("will::topic_with_a_wildcard", FROM_311, topic_with_a_wildcard)
        .v5(&["4.7.0-1"])
        .v311(&["4.7.1-1"]),
];

/// A subscriber to everything of this scene, at QoS 2.
fn watcher(scene: &Scene) -> Check<Client> {
    let mut watcher = scene.join("watch")?;
    watcher.subscribe(scene.topic("#"), 2)?;
    Ok(watcher)
}

/// Sends the marker from a new connection of the client whose will must not come: a broker that
/// published the will when the old connection ended did so before it.
fn mark_as(scene: &Scene, who: &str) -> Check {
    scene.join(who)?.mark(scene.topic("marker"), 1)
}

fn connection_breaks(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let topic = scene.topic("will");
    let mut client = scene.join_with(&scene.hello("a").will(Will::new(&topic, "gone", 1)))?;
    client.ping()?;
    watcher.quiet(std::time::Duration::from_millis(100))?;
    client.cut();
    is(&watcher.take()?, &topic, b"gone", 1)
}

fn published_once(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let topic = scene.topic("will");
    scene.join_with(&scene.stay("a").will(Will::new(&topic, "gone", 1)))?.cut();
    is(&watcher.take()?, &topic, b"gone", 1)?;
    // Neither the resumed session nor the end of its next connection has the will any more.
    scene.join_with(&scene.stay("a"))?.cut();
    mark_as(scene, "a")?;
    let before = watcher.until_marker()?;
    expect(before.is_empty(), "the will once", listed(&before))
}

fn discarded_by_disconnect(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    for connect in [scene.hello("a"), scene.stay("a")] {
        let will = Will::new(scene.topic("will"), "must not come", 1);
        scene.join_with(&connect.will(will))?.leave()?;
        mark_as(scene, "a")?;
        let before = watcher.until_marker()?;
        expect(before.is_empty(), "no will after DISCONNECT", listed(&before))?;
    }
    Ok(())
}

fn disconnect_04(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let topic = scene.topic("will");
    let mut client = scene.join_with(&scene.hello("a").will(Will::new(&topic, "with will", 1)))?;
    client.leave_with(0x04, &Props::default())?;
    is(&watcher.take()?, &topic, b"with will", 1)
}

fn protocol_error(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let topic = scene.topic("will");
    let connect = scene.hello("a").will(Will::new(&topic, "thrown out", 1));
    let mut client = scene.join_with(&connect)?;
    // SUBSCRIBE without filters.
    let props: &[u8] = if scene.version.is_v5() { &[0] } else { &[] };
    client.send(&crate::codec::packet(0x82, &[&[0, 1][..], props].concat()));
    client.ended(&[0x81, 0x82])?;
    is(&watcher.take()?, &topic, b"thrown out", 1)
}

fn second_connect(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let topic = scene.topic("will");
    let connect = scene.hello("a").will(Will::new(&topic, "thrown out", 1));
    let mut client = scene.join_with(&connect)?;
    client.send(&connect.encode());
    client.ended(&[0x81, 0x82])?;
    is(&watcher.take()?, &topic, b"thrown out", 1)
}

fn none_without_the_flag(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    // The identifier had a will once, which must not come back.
    let will = Will::new(scene.topic("will"), "of the first connection", 1);
    scene.join_with(&scene.hello("a").will(will))?.leave()?;
    scene.join("a")?.cut();
    mark_as(scene, "a")?;
    let before = watcher.until_marker()?;
    expect(before.is_empty(), "no will", listed(&before))
}

fn not_retained(scene: &Scene) -> Check {
    let topic = scene.retained_topic("will");
    let mut watcher = watcher(scene)?;
    scene.join_with(&scene.hello("a").will(Will::new(&topic, "gone", 1)))?.cut();
    let will = watcher.take()?;
    is(&will, &topic, b"gone", 1)?;
    equal("RETAIN", will.retain, false)?;
    let mut late = scene.join("late")?;
    late.subscribe(&topic, 1)?;
    late.mark(&topic, 1)?;
    let before = late.until_marker()?;
    expect(before.is_empty(), "no retained message", listed(&before))
}

fn retained(scene: &Scene) -> Check {
    let topic = scene.retained_topic("will");
    let mut watcher = watcher(scene)?;
    scene.needs_retained(&watcher)?;
    watcher.settle(&topic)?;
    scene.join_with(&scene.hello("a").will(Will::new(&topic, "kept", 1).retained()))?.cut();
    let will = watcher.take()?;
    is(&will, &topic, b"kept", 1)?;
    equal("RETAIN to an established subscription", will.retain, false)?;
    let mut late = scene.join("late")?;
    late.subscribe(&topic, 1)?;
    let will = late.take()?;
    is(&will, &topic, b"kept", 1)?;
    equal("RETAIN to a new subscription", will.retain, true)
}

fn qos_is_kept(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    for qos in 0..=2 {
        let topic = scene.topic("will");
        scene.join_with(&scene.hello("a").will(Will::new(&topic, [qos], qos)))?.cut();
        is(&watcher.take()?, &topic, &[qos], qos)?;
    }
    Ok(())
}

fn properties(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let users: Vec<Prop> =
        [("b", "1"), ("a", "2"), ("b", "3")].map(|(name, value)| Prop::user(name, value)).into();
    let mut will = Will::new(scene.topic("will"), "gone", 1)
        .prop(Prop::byte(id::PAYLOAD_FORMAT_INDICATOR, 1))
        .prop(Prop::bytes(id::CONTENT_TYPE, "text/plain"))
        .prop(Prop::bytes(id::RESPONSE_TOPIC, "answer/here"))
        .prop(Prop::bytes(id::CORRELATION_DATA, [0, 255]))
        .prop(Prop::four(id::MESSAGE_EXPIRY_INTERVAL, 600));
    will.props.0.extend(users.clone());
    scene.join_with(&scene.hello("a").will(will))?.cut();
    let seen: Publish = watcher.take()?;
    equal("user properties", seen.props.users(), users)?;
    let of = |name| seen.props.bytes(name).unwrap_or_default();
    equal("payload format", seen.props.number(id::PAYLOAD_FORMAT_INDICATOR), Some(1))?;
    same_bytes("content type", of(id::CONTENT_TYPE), b"text/plain")?;
    same_bytes("response topic", of(id::RESPONSE_TOPIC), b"answer/here")?;
    same_bytes("correlation data", of(id::CORRELATION_DATA), &[0, 255])?;
    let expiry = seen.props.number(id::MESSAGE_EXPIRY_INTERVAL).unwrap_or_default();
    expect((595..=600).contains(&expiry), "message expiry close to 600", expiry)?;
    let delay = seen.props.has(id::WILL_DELAY_INTERVAL);
    equal("will delay interval in the PUBLISH", delay, false)
}

fn topic_with_a_wildcard(scene: &Scene) -> Check {
    for bad in ["will/#", "+/will"] {
        let mut client = scene.dial()?;
        client.send_connect(&scene.hello("a").will(Will::new(scene.topic(bad), "x", 0)));
        client.turned_away(if scene.version.is_v5() { &[0x81, 0x82, 0x90] } else { &[] })?;
    }
    Ok(())
}
