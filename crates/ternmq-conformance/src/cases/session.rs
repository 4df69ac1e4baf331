//! Session state: made, resumed, thrown away.

use super::{ALL, BEFORE_5, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, listed, same_bytes};
use crate::client::{Client, is};
use crate::codec::{Prop, Props, Publish, id};
use crate::scene::Scene;
use crate::version::Version;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("session::clean_start_throws_the_old_away", ALL, clean_start_throws_the_old_away)
        .v5(&["3.1.2-4", "3.1.4-4", "3.2.2-2"])
        .v311(&["3.1.2-6", "3.1.4-3", "3.2.2-1"]),
    Case::new("session::is_resumed", ALL, is_resumed)
        .v5(&["3.1.2-5", "3.1.2-23", "3.1.4-4", "3.2.2-3", "4.5.0-1"])
        .v311(&["3.1.2-4", "3.1.2-5", "3.1.4-3", "3.2.2-2", "4.1.0-1", "4.5.0-1"]),
    Case::new("session::is_made_when_there_is_none", ALL, is_made_when_there_is_none)
        .v5(&["3.1.2-6", "3.2.2-3"])
        .v311(&["3.1.2-4", "3.2.2-3"]),
    Case::new("session::clean_session_ends_with_its_connection", ALL, clean_session_ends)
        .v5(&["4.1.0-2", "3.2.2-3"])
        .v311(&["3.1.2-6", "3.2.2-3"]),
    Case::new("session::survives_a_broken_connection", ALL, survives_a_broken_connection)
        .v5(&["3.1.2-23", "4.5.0-1"])
        .v311(&["3.1.2-4", "3.1.2-5", "4.1.0-1"]),
    Case::new("session::expires", ONLY_5, expires).v5(&["4.1.0-2", "3.2.2-3"]).slow(),
    Case::new("session::lasts_as_long_as_the_connection", FROM_311, lasts)
        .v5(&["4.1.0-1"])
        .v311(&["4.1.0-1", "4.1.0-2"])
        .slow(),
    Case::new("session::expiry_can_be_changed_by_disconnect", ONLY_5, expiry_by_disconnect)
        .v5(&["4.1.0-2", "3.1.2-23"]),
    Case::new("session::expiry_from_zero_by_disconnect", ONLY_5, expiry_from_zero)
        .v5(&["4.13.1-1"]),
    Case::new("session::retained_messages_are_no_part_of_it", BEFORE_5, retained_outlive)
        .v311(&["3.1.2-7"]),
    Case::new("session::every_matching_session_gets_the_message", ALL, every_session)
        .v5(&["4.5.0-1"])
        .v311(&["4.5.0-1", "3.1.2-5"]),
];

/// Session Present as far as the version tells it: in MQTT 3.1 that bit is reserved.
fn present(client: &Client, scene: &Scene, expected: bool) -> Check {
    if scene.version == Version::V31 {
        return Ok(());
    }
    equal("Session Present", client.session_present, expected)
}

/// Leaves a session with a subscription behind.
fn leave_session(scene: &Scene, who: &str, topic: &str) -> Check {
    let mut client = scene.join_with(&scene.stay(who))?;
    client.subscribe(topic, 2)?;
    client.leave()
}

fn clean_start_throws_the_old_away(scene: &Scene) -> Check {
    let (topic, other) = (scene.topic("t"), scene.topic("other"));
    leave_session(scene, "a", &topic)?;
    let mut publisher = scene.join("pub")?;
    publisher.publish(&Publish::new(&topic, "queued for the old session", 1))?;
    let mut client = scene.join("a")?;
    present(&client, scene, false)?;
    client.subscribe(&other, 1)?;
    publisher.publish(&Publish::new(&topic, "for a subscription thrown away", 1))?;
    publisher.mark(&other, 1)?;
    let before = client.until_marker()?;
    expect(before.is_empty(), "nothing of the old session", listed(&before))
}

fn is_resumed(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    leave_session(scene, "a", &topic)?;
    let mut publisher = scene.join("pub")?;
    publisher.publish(&Publish::new(&topic, "one", 1))?;
    publisher.publish(&Publish::new(&topic, "two", 2))?;
    let mut client = scene.join_with(&scene.stay("a"))?;
    present(&client, scene, true)?;
    let mut waited = [client.take()?, client.take()?];
    waited.sort_by_key(|publish| publish.qos);
    is(&waited[0], &topic, b"one", 1)?;
    is(&waited[1], &topic, b"two", 2)?;
    publisher.publish(&Publish::new(&topic, "three", 1))?;
    is(&client.take()?, &topic, b"three", 1)
}

fn is_made_when_there_is_none(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut client = scene.join_with(&scene.stay("a"))?;
    present(&client, scene, false)?;
    client.subscribe(&topic, 1)?;
    client.leave()?;
    let mut client = scene.join_with(&scene.stay("a"))?;
    present(&client, scene, true)?;
    client.publish(&Publish::new(&topic, "still subscribed", 1))?;
    same_bytes("payload", &client.take()?.payload, b"still subscribed")
}

fn clean_session_ends(scene: &Scene) -> Check {
    let (topic, other) = (scene.topic("t"), scene.topic("other"));
    let mut client = scene.join("a")?;
    client.subscribe(&topic, 1)?;
    client.leave()?;
    let mut client = scene.join_with(&scene.stay("a"))?;
    present(&client, scene, false)?;
    client.subscribe(&other, 1)?;
    client.publish(&Publish::new(&topic, "to a subscription that ended", 1))?;
    client.mark(&other, 1)?;
    let before = client.until_marker()?;
    expect(before.is_empty(), "no subscription of the ended session", listed(&before))
}

fn survives_a_broken_connection(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut client = scene.join_with(&scene.stay("a"))?;
    client.subscribe(&topic, 1)?;
    client.cut();
    let mut publisher = scene.join("pub")?;
    for number in 0..5 {
        publisher.publish(&Publish::new(&topic, number.to_string(), 1))?;
    }
    let mut client = scene.join_with(&scene.stay("a"))?;
    present(&client, scene, true)?;
    // A message that was on its way when the connection broke may be marked as a repetition.
    for number in 0..5 {
        is(&client.take()?, &topic, number.to_string().as_bytes(), 1)?;
    }
    Ok(())
}

fn expires(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let short = scene.hello("a").persistent(1);
    let mut client = scene.join_with(&short)?;
    client.subscribe(&topic, 1)?;
    client.leave()?;
    let mut client = scene.join_with(&short)?;
    expect(client.session_present, "Session Present 1 before the expiry", false)?;
    client.leave()?;
    scene.let_pass(Duration::from_millis(3_500))?;
    let client = scene.join_with(&short)?;
    expect(!client.session_present, "Session Present 0 after the expiry", true)
}

fn lasts(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let connect =
        if scene.version.is_v5() { scene.hello("a").persistent(1) } else { scene.stay("a") };
    let mut client = scene.join_with(&connect)?;
    client.subscribe(&topic, 1)?;
    scene.let_pass(Duration::from_millis(3_500))?;
    let mut publisher = scene.join("pub")?;
    publisher.publish(&Publish::new(&topic, "while connected", 1))?;
    is(&client.take()?, &topic, b"while connected", 1)?;
    client.leave()?;
    let client = scene.join_with(&connect)?;
    equal("Session Present right after the connection", client.session_present, true)
}

fn expiry_by_disconnect(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut client = scene.join_with(&scene.stay("a"))?;
    client.subscribe(&topic, 1)?;
    let ends_now = Props(vec![Prop::four(id::SESSION_EXPIRY_INTERVAL, 0)]);
    client.leave_with(0, &ends_now)?;
    let mut client = scene.join_with(&scene.stay("a"))?;
    equal("Session Present after DISCONNECT with expiry 0", client.session_present, false)?;
    let stays = Props(vec![Prop::four(id::SESSION_EXPIRY_INTERVAL, 60)]);
    client.leave_with(0, &stays)?;
    let client = scene.join_with(&scene.stay("a"))?;
    equal("Session Present after DISCONNECT with expiry 60", client.session_present, true)
}

fn expiry_from_zero(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    let stays = Props(vec![Prop::four(id::SESSION_EXPIRY_INTERVAL, 60)]);
    client.send(&crate::codec::disconnect(scene.version, 0, &stays));
    client.ended(&[0x82])?;
    let client = scene.join_with(&scene.hello("a").clean(false))?;
    equal("Session Present", client.session_present, false)
}

fn retained_outlive(scene: &Scene) -> Check {
    let topic = scene.retained_topic("t");
    let mut client = scene.join("a")?;
    client.publish(&Publish::new(&topic, "kept", 1).retained())?;
    client.leave()?;
    let mut other = scene.join("b")?;
    other.subscribe(&topic, 1)?;
    let publish = other.take()?;
    is(&publish, &topic, b"kept", 1)?;
    equal("RETAIN", publish.retain, true)
}

fn every_session(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let sleepers = ["s1", "s2", "s3"];
    for who in sleepers {
        leave_session(scene, who, &topic)?;
    }
    let mut awake = vec![scene.join("w1")?, scene.join("w2")?, scene.join("w3")?];
    for client in &mut awake {
        client.subscribe(&topic, 1)?;
    }
    scene.join("pub")?.publish(&Publish::new(&topic, "for everybody", 1))?;
    for client in &mut awake {
        is(&client.take()?, &topic, b"for everybody", 1)?;
    }
    for who in sleepers {
        is(&scene.join_with(&scene.stay(who))?.take()?, &topic, b"for everybody", 1)?;
    }
    Ok(())
}
