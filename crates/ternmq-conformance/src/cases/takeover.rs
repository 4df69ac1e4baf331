//! A second connection with the client identifier of a live one.

use super::{ALL, BEFORE_5, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, failed};
use crate::client::is;
use crate::codec::{Publish, Will};
use crate::scene::Scene;
use crate::version::Version;

pub(super) const CASES: &[Case] = &[
    Case::new("takeover::old_connection_gets_8e", ONLY_5, old_connection_gets_8e)
        .v5(&["3.1.4-3", "3.14.2-1", "3.14.4-1", "3.14.4-2", "4.13.2-1"]),
    Case::new("takeover::old_connection_is_closed", BEFORE_5, old_connection_is_closed)
        .v311(&["3.1.4-2"]),
    Case::new("takeover::session_goes_on", ALL, session_goes_on)
        .v5(&["3.1.4-3", "4.4.0-1", "3.1.2-5"])
        .v311(&["3.1.4-2", "4.4.0-1", "3.1.2-4"]),
    Case::new("takeover::publishes_the_will", ALL, publishes_the_will)
        .v5(&["3.1.2-8"])
        .v311(&["3.1.2-8"]),
    Case::new("takeover::many_times", ALL, many_times).v5(&["3.1.4-3"]).v311(&["3.1.4-2"]),
];

fn old_connection_gets_8e(scene: &Scene) -> Check {
    for connect in [scene.hello("a"), scene.stay("a")] {
        let mut old = scene.join_with(&connect)?;
        let mut new = scene.join_with(&connect)?;
        match old.ended(&[0x8E])? {
            Some(_) => new.ping()?,
            None => return failed("DISCONNECT 0x8E", "closed without a DISCONNECT"),
        }
    }
    Ok(())
}

fn old_connection_is_closed(scene: &Scene) -> Check {
    for connect in [scene.hello("a"), scene.stay("a")] {
        let mut old = scene.join_with(&connect)?;
        let mut new = scene.join_with(&connect)?;
        old.ended(&[])?;
        new.ping()?;
    }
    Ok(())
}

fn session_goes_on(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut old = scene.join_with(&scene.stay("a"))?;
    old.subscribe(&topic, 1)?;
    let mut publisher = scene.join("pub")?;
    publisher.publish(&Publish::new(&topic, "never acknowledged", 1))?;
    let first = old.publication()?;
    is(&first, &topic, b"never acknowledged", 1)?;
    let mut new = scene.join_with(&scene.stay("a"))?;
    if scene.version != Version::V31 {
        equal("Session Present", new.session_present, true)?;
    }
    let again = new.take()?;
    is(&again, &topic, b"never acknowledged", 1)?;
    equal("DUP", again.dup, true)?;
    equal("packet identifier", again.packet_id, first.packet_id)?;
    publisher.publish(&Publish::new(&topic, "next", 1))?;
    is(&new.take()?, &topic, b"next", 1)
}

fn publishes_the_will(scene: &Scene) -> Check {
    let topic = scene.topic("will");
    let mut subscriber = scene.join("sub")?;
    subscriber.subscribe(&topic, 1)?;
    let _old = scene.join_with(&scene.hello("a").will(Will::new(&topic, "taken over", 1)))?;
    let _new = scene.join("a")?;
    is(&subscriber.take()?, &topic, b"taken over", 1)
}

fn many_times(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut current = scene.join("a")?;
    for number in 0..20 {
        let mut next = scene.join("a")?;
        current.ended(&[0x8E])?;
        next.subscribe(&topic, 0)?;
        next.publish(&Publish::new(&topic, number.to_string(), 0))?;
        is(&next.take()?, &topic, number.to_string().as_bytes(), 0)?;
        current = next;
    }
    Ok(())
}
