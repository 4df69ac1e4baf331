//! What only MQTT 3.1 (protocol name MQIsdp) has. Most other cases run for it too.

use super::ONLY_31;
use crate::case::Case;
use crate::check::{Check, equal, expect, failed};
use crate::client::is;
use crate::codec::{Ack, Connect, Props, Publish, Will, field, hex, raw_connect};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("mqtt31::speaks_mqisdp", ONLY_31, speaks_mqisdp),
    Case::new("mqtt31::empty_client_identifier", ONLY_31, empty_client_identifier),
    Case::new("mqtt31::client_identifier_of_24_bytes", ONLY_31, client_identifier_of_24_bytes),
    Case::new("mqtt31::unknown_level", ONLY_31, unknown_level),
    Case::new("mqtt31::dup_on_pubrel_and_subscribe", ONLY_31, dup_on_pubrel),
    Case::new("mqtt31::beside_newer_versions", ONLY_31, beside_newer_versions),
];

fn speaks_mqisdp(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send_connect(&scene.hello("a"));
    equal("CONNACK", hex(&client.raw(4)?), hex(&[0x20, 2, 0, 0]))
}

fn empty_client_identifier(scene: &Scene) -> Check {
    for clean in [true, false] {
        let mut client = scene.dial()?;
        client.send_connect(&Connect::new(scene.version, "").clean(clean));
        client.turned_away(&[2])?;
    }
    Ok(())
}

/// More than 23 bytes are refused with return code 2, or accepted as 3.1.1 allows it.
fn client_identifier_of_24_bytes(scene: &Scene) -> Check {
    let long = format!("{:x<24}", scene.id("a"));
    let mut client = scene.dial()?;
    client.send_connect(&Connect::new(scene.version, long));
    let said = client.raw(4)?;
    match said.as_slice() {
        [0x20, 2, 0, 2] => expect(client.raw_until_closed()?.is_empty(), "the end", ""),
        [0x20, 2, 0, 0] => {
            client.send(&[0xC0, 0]);
            equal("PINGRESP", client.raw(2)?, vec![0xD0, 0])
        }
        other => failed("CONNACK 0x02 or 0x00", hex(other)),
    }
}

fn unknown_level(scene: &Scene) -> Check {
    for level in [1, 2, 4, 5, 6] {
        let mut client = scene.dial()?;
        let head = ("MQIsdp", level);
        let payload = field(scene.id("a"));
        client.send(&raw_connect(scene.version, head, (2, 60), &Props::default(), &payload));
        let said = client.raw_until_closed()?;
        // A broker may take level 5 for a client of 5.0 with the wrong name, and answer as 5.0 has it.
        let as_v5 = level >= 5 && said.first() == Some(&0x20) && said.get(3) == Some(&0x84);
        if !as_v5 {
            equal(&format!("answer to level {level}"), hex(&said), hex(&[0x20, 2, 0, 1]))?;
        }
    }
    Ok(())
}

fn dup_on_pubrel(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 2)?;
    publisher.send(&Publish::new(&topic, "once", 2).id(1_000).encode(scene.version));
    publisher.answered(Ack::PubRec, 1_000)?;
    // A client of 3.1 marks a repeated PUBREL with DUP.
    publisher.send(&[0x6A, 2, 0x03, 0xE8]);
    publisher.answered(Ack::PubComp, 1_000)?;
    is(&subscriber.take()?, &topic, b"once", 2)
}

fn beside_newer_versions(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut clients = Vec::new();
    for (version, who) in crate::Version::ALL.into_iter().zip(["v31", "v311", "v50"]) {
        let newer = Scene::new(scene.target(), version, scene.patience, scene.id(""));
        let mut client = newer.join(who)?;
        client.subscribe(&topic, 2)?;
        clients.push(client);
    }
    for from in 0..clients.len() {
        for qos in 0..=2 {
            let payload = format!("{from}{qos}");
            clients[from].publish(&Publish::new(&topic, &payload, qos))?;
            for client in &mut clients {
                is(&client.take()?, &topic, payload.as_bytes(), qos)?;
            }
        }
    }
    // A will crosses versions too.
    let will = scene.hello("w").will(Will::new(&topic, "gone", 1));
    scene.join_with(&will)?.cut();
    for client in &mut clients {
        is(&client.take()?, &topic, b"gone", 1)?;
    }
    Ok(())
}
