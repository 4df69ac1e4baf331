//! Keep alive: silence ends a connection, a PINGREQ does not.

use super::ALL;
use crate::case::Case;
use crate::check::{Check, expect, failed};
use crate::client::{Client, is};
use crate::clock;
use crate::codec::{Publish, Will, id};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("keep_alive::silence_ends_the_connection", ALL, silence_ends_the_connection)
        .v5(&["3.1.2-22", "3.2.2-22", "3.1.2-8"])
        .v311(&["3.1.2-24", "3.1.2-8"])
        .slow(),
    Case::new("keep_alive::pings_keep_it", ALL, pings_keep_it)
        .v5(&["3.12.4-1", "3.1.2-22"])
        .v311(&["3.12.4-1", "3.1.2-24"])
        .slow(),
    Case::new("keep_alive::any_packet_keeps_it", ALL, any_packet_keeps_it)
        .v5(&["3.1.2-22"])
        .v311(&["3.1.2-24"])
        .slow(),
    Case::new("keep_alive::zero_means_never", ALL, zero_means_never)
        .v5(&["3.1.2-22"])
        .v311(&["3.1.2-24"])
        .slow(),
    Case::new("keep_alive::ping_is_answered", ALL, ping_is_answered)
        .v5(&["3.12.4-1"])
        .v311(&["3.12.4-1"]),
];

fn silence_ends_the_connection(scene: &Scene) -> Check {
    let topic = scene.topic("will");
    let mut subscriber = scene.join("sub")?;
    subscriber.subscribe(&topic, 0)?;
    let started = clock::now();
    let connect = scene.hello("a").keep_alive(2).will(Will::new(&topic, "silent", 0));
    let mut client = scene.join_with(&connect)?;
    let seconds = client.connack.number(id::SERVER_KEEP_ALIVE).unwrap_or(2);
    let keep_alive = Duration::from_secs(u64::from(seconds));
    // The end is due after 1.5 times the keep alive; before one keep alive it is a fault.
    let ended = loop {
        if let crate::client::Incoming::Closed = client.incoming(Duration::from_millis(200))? {
            break started.elapsed();
        }
        let limit = keep_alive * 3 / 2 + Duration::from_secs(3);
        expect(started.elapsed() < limit, format!("the end before {limit:?}"), "still open")?;
    };
    expect(ended >= keep_alive, format!("the end after {keep_alive:?}"), ended)?;
    is(&subscriber.take()?, &topic, b"silent", 0)
}

fn pings_keep_it(scene: &Scene) -> Check {
    let mut client = scene.join_with(&scene.hello("a").keep_alive(2))?;
    for _ in 0..6 {
        silent(&mut client)?;
        client.ping()?;
    }
    Ok(())
}

fn any_packet_keeps_it(scene: &Scene) -> Check {
    let mut client = scene.join_with(&scene.hello("a").keep_alive(2))?;
    for _ in 0..6 {
        silent(&mut client)?;
        client.publish(&Publish::new(scene.topic("nobody"), "alive", 0))?;
    }
    client.ping()
}

/// Says nothing for a part of the keep alive, small enough for a machine that is busy.
fn silent(client: &mut Client) -> Check {
    match client.waiting(Duration::from_millis(700))? {
        None => Ok(()),
        Some(publish) => failed("nothing", publish),
    }
}

fn zero_means_never(scene: &Scene) -> Check {
    let mut client = scene.join_with(&scene.hello("a").keep_alive(0))?;
    client.quiet(Duration::from_secs(4))
}

fn ping_is_answered(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    for _ in 0..20 {
        client.ping()?;
    }
    client.send(&crate::codec::pingreq().repeat(20));
    for _ in 0..20 {
        match client.packet()? {
            crate::codec::Packet::PingResp => {}
            other => return failed("20 PINGRESP for 20 PINGREQ", other),
        }
    }
    client.quiet(Duration::from_millis(50))
}
