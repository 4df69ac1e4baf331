//! The CONNECT packet: when it may come, its protocol name, level and reserved flag.

use super::{ALL, FROM_311, ONLY_5, ONLY_311};
use crate::case::Case;
use crate::check::{Check, equal, expect, failed, same_bytes};
use crate::client::{Incoming, is};
use crate::codec::{
    Connect, Packet, Props, Publish, Subscribe, Will, field, hex, packet, pingreq, raw_connect,
};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("connect::is_accepted", ALL, is_accepted)
        .v5(&["3.1.4-5", "4.2-1"])
        .v311(&["3.1.4-4", "7.1.1-1", "7.0.0-2"]),
    Case::new("connect::must_be_the_first_packet", ALL, must_be_the_first_packet)
        .v5(&["3.1.0-1", "3.14.0-1"])
        .v311(&["3.1.0-1"]),
    Case::new("connect::twice_ends_the_connection", ALL, twice_ends_the_connection)
        .v5(&["3.1.0-2", "3.2.0-2", "4.13.1-1"])
        .v311(&["3.1.0-2", "4.8.0-1"]),
    Case::new("connect::wrong_protocol_name", FROM_311, wrong_protocol_name)
        .v5(&["3.1.2-1"])
        .v311(&["3.1.2-1"]),
    Case::new("connect::unknown_level_v5", ONLY_5, unknown_level_v5).v5(&["3.1.2-2", "4.13.2-1"]),
    Case::new("connect::unknown_level", ONLY_311, unknown_level).v311(&["3.1.2-2", "3.2.2-5"]),
    Case::new("connect::reserved_flag", FROM_311, reserved_flag)
        .v5(&["3.1.2-3"])
        .v311(&["3.1.2-3"]),
    Case::new("connect::malformed_packet", FROM_311, malformed_packet)
        .v5(&["3.1.4-1", "3.14.0-1", "4.13.1-1"])
        .v311(&["3.1.4-1", "3.2.2-6", "4.8.0-1"]),
    Case::new("connect::payload_order", ALL, payload_order)
        .v5(&["3.1.3-1", "3.1.3-3"])
        .v311(&["3.1.3-1", "3.1.3-3"]),
    Case::new("connect::byte_by_byte_and_all_at_once", ALL, byte_by_byte_and_all_at_once)
        .v5(&["4.2-1"])
        .v311(&["7.1.1-1"]),
    Case::new("connect::another_client_is_not_disturbed", FROM_311, another_is_not_disturbed)
        .v5(&["4.13.1-1"])
        .v311(&["4.8.0-1"]),
];

fn is_accepted(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send_connect(&scene.hello("a"));
    match client.packet()? {
        Packet::ConnAck { session_present: false, code: 0, .. } => {}
        other => return failed("CONNACK, Session Present 0, code 0x00", other),
    }
    client.ping()?;
    client.leave()
}

fn must_be_the_first_packet(scene: &Scene) -> Check {
    let firsts = [
        pingreq(),
        Publish::new(scene.topic("a"), "early", 0).encode(scene.version),
        Subscribe::one(1, scene.topic("a"), 0).encode(scene.version),
        packet(0xE0, &[]),
        packet(0x40, &[0, 1]),
    ];
    for first in firsts {
        let mut client = scene.dial()?;
        client.send(&first);
        let said = client.raw_until_closed()?;
        same_bytes(&format!("answer to {}", hex(&first)), &said, b"")?;
    }
    Ok(())
}

fn twice_ends_the_connection(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    client.send(&scene.hello("a").encode());
    client.ended(&[0x81, 0x82])?;
    Ok(())
}

/// The bytes that a broker says to a CONNECT of that head, until it closes.
fn answer_to(scene: &Scene, name: &str, level: u8) -> Check<Vec<u8>> {
    let mut client = scene.dial()?;
    let payload = field(scene.id("a"));
    let head = (name, level);
    client.send(&raw_connect(scene.version, head, (2, 60), &Props::default(), &payload));
    client.raw_until_closed()
}

/// Whether these bytes are a refusal for the protocol version, in the form of 3.1.1 or of 5.0.
fn refuses_the_version(said: &[u8]) -> bool {
    let old = said == [0x20, 2, 0, 1];
    let new = said.len() > 4 && said[0] == 0x20 && said[2] == 0 && said[3] == 0x84;
    old || new
}

fn wrong_protocol_name(scene: &Scene) -> Check {
    for name in ["MQTX", "mqtt", "", "MQTTMQTT", "HTTP"] {
        let said = answer_to(scene, name, scene.version.level())?;
        let refused = said.is_empty() || refuses_the_version(&said);
        expect(refused, "no answer, or CONNACK 0x84 (0x01 before 5.0)", hex(&said))?;
    }
    Ok(())
}

fn unknown_level_v5(scene: &Scene) -> Check {
    for level in [0, 6, 9, 127] {
        let said = answer_to(scene, "MQTT", level)?;
        let refused = said.is_empty() || refuses_the_version(&said);
        expect(refused, "no answer, or CONNACK 0x84", hex(&said))?;
    }
    Ok(())
}

fn unknown_level(scene: &Scene) -> Check {
    for level in [1, 2, 3] {
        let said = answer_to(scene, "MQTT", level)?;
        equal(&format!("answer to level {level}"), hex(&said), hex(&[0x20, 2, 0, 1]))?;
    }
    Ok(())
}

fn reserved_flag(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    let head = (scene.version.protocol_name(), scene.version.level());
    let payload = field(scene.id("a"));
    client.send(&raw_connect(scene.version, head, (0x03, 60), &Props::default(), &payload));
    client.turned_away(if scene.version.is_v5() { &[0x81, 0x82] } else { &[] })?;
    Ok(())
}

fn malformed_packet(scene: &Scene) -> Check {
    let good = scene.hello("a").encode();
    let body = &good[2..];
    let longer_than_there_is = [&body[..body.len() - 1], b""].concat();
    let with_a_tail = [body, b"tail"].concat();
    let broken = [
        ("client identifier cut short", packet(0x10, &longer_than_there_is)),
        ("no payload at all", packet(0x10, &body[..10])),
        ("bytes after the end", packet(0x10, &with_a_tail)),
        ("no keep alive", packet(0x10, &body[..8])),
        ("flags in the first byte", packet(0x11, body)),
    ];
    for (_what, bytes) in broken {
        let mut client = scene.dial()?;
        client.send(&bytes);
        client.turned_away(if scene.version.is_v5() { &[0x81, 0x82] } else { &[] })?;
    }
    Ok(())
}

fn payload_order(scene: &Scene) -> Check {
    let topic = scene.topic("will");
    let mut subscriber = scene.join("sub")?;
    subscriber.subscribe(&topic, 0)?;
    let mut connect = scene.hello("a").will(Will::new(&topic, [0xFF, 0x00, 0xFE], 0));
    connect.user_name = Some(b"somebody".to_vec());
    connect.password = Some(vec![0x00, 0xFF]);
    scene.join_with(&connect)?.cut();
    is(&subscriber.take()?, &topic, &[0xFF, 0x00, 0xFE], 0)?;
    if !scene.version.is_v5() && scene.version != crate::Version::V311 {
        return Ok(());
    }
    // The will's payload in the place of its topic is no string: the order was not kept.
    let props: &[u8] = if scene.version.is_v5() { &[0] } else { &[] };
    let swapped =
        [field(scene.id("b")), props.to_vec(), field([0xFF, 0x00, 0xFE]), field(&topic)].concat();
    let head = (scene.version.protocol_name(), scene.version.level());
    let mut client = scene.dial()?;
    client.send(&raw_connect(scene.version, head, (0x06, 60), &Props::default(), &swapped));
    client.turned_away(if scene.version.is_v5() { &[0x81, 0x82, 0x90] } else { &[] })?;
    Ok(())
}

fn byte_by_byte_and_all_at_once(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut slow = scene.dial()?;
    let connect = Connect::new(scene.version, scene.id("slow"));
    for byte in connect.encode() {
        slow.send(&[byte]);
    }
    slow.accepted()?;
    for byte in Subscribe::one(9, &topic, 1).encode(scene.version) {
        slow.send(&[byte]);
    }
    match slow.answer()? {
        Packet::SubAck { packet_id: 9, codes, .. } => equal("granted QoS", codes, vec![1])?,
        other => return failed("SUBACK #9", other),
    }
    let mut fast = scene.dial()?;
    let hello = Connect::new(scene.version, scene.id("fast"));
    let mut bytes = hello.encode();
    for number in 1..=20u16 {
        let payload = number.to_string();
        bytes.extend(Publish::new(&topic, payload, 1).id(number).encode(scene.version));
    }
    bytes.extend(pingreq());
    fast.send(&bytes);
    fast.accepted()?;
    for number in 1..=20u16 {
        fast.answered(crate::codec::Ack::PubAck, number)?;
        is(&slow.take()?, &topic, number.to_string().as_bytes(), 1)?;
    }
    match fast.answer()? {
        Packet::PingResp => Ok(()),
        other => failed("PINGRESP", other),
    }
}

fn another_is_not_disturbed(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 1)?;
    let mut villain = scene.join("villain")?;
    villain.subscribe(&topic, 0)?;
    villain.send(&[0x36, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    match villain.incoming(scene.patience)? {
        Incoming::Closed | Incoming::Packet(Packet::Disconnect { .. }) => {}
        other => return failed("the connection ended", format!("{other:?}")),
    }
    publisher.publish(&Publish::new(&topic, "still here", 1))?;
    is(&subscriber.take()?, &topic, b"still here", 1)
}
