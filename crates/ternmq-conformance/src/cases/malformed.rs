//! Packets that are wrong in their first bytes, their lengths or their direction.

use super::{FROM_311, ONLY_5, ONLY_311};
use crate::case::Case;
use crate::check::Check;
use crate::codec::{Ack, Props, Subscribe, ack, auth, field, packet, pingreq, unsubscribe};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("malformed::subscribe_flags", FROM_311, subscribe_flags)
        .v5(&["3.8.1-1", "2.1.3-1"])
        .v311(&["3.8.1-1", "2.2.2-1", "2.2.2-2"]),
    Case::new("malformed::unsubscribe_flags", FROM_311, unsubscribe_flags)
        .v5(&["3.10.1-1", "2.1.3-1"])
        .v311(&["3.10.1-1", "2.2.2-1", "2.2.2-2"]),
    Case::new("malformed::pubrel_flags", FROM_311, pubrel_flags)
        .v5(&["3.6.1-1", "2.1.3-1"])
        .v311(&["3.6.1-1", "2.2.2-1", "2.2.2-2"]),
    Case::new("malformed::auth_flags", ONLY_5, auth_flags).v5(&["3.15.1-1", "2.1.3-1"]),
    Case::new("malformed::flags_of_other_packets", FROM_311, other_flags)
        .v5(&["2.1.3-1", "4.13.1-1"])
        .v311(&["2.2.2-1", "2.2.2-2"]),
    Case::new("malformed::remaining_length_too_long", FROM_311, remaining_length_too_long)
        .v5(&["1.5.5-1", "4.13.1-1"])
        .v311(&["4.8.0-1"]),
    Case::new("malformed::variable_integers_not_the_shortest", ONLY_5, not_the_shortest)
        .v5(&["1.5.5-1"]),
    Case::new("malformed::remaining_length_not_the_shortest", ONLY_5, length_not_the_shortest)
        .v5(&["1.5.5-1"]),
    Case::new("malformed::packet_type_0", FROM_311, packet_type_0)
        .v5(&["4.13.1-1"])
        .v311(&["4.8.0-1"]),
    Case::new("malformed::packet_type_15", ONLY_311, packet_type_15).v311(&["4.8.0-1"]),
    Case::new("malformed::packets_of_a_broker", FROM_311, packets_of_a_broker)
        .v5(&["4.13.1-1"])
        .v311(&["4.8.0-1"]),
    Case::new("malformed::body_shorter_than_its_fields", FROM_311, body_too_short)
        .v5(&["4.13.1-1"])
        .v311(&["4.8.0-1"]),
    Case::new("malformed::body_longer_than_its_fields", FROM_311, body_too_long)
        .v5(&["4.13.1-1"])
        .v311(&["4.8.0-1"]),
    Case::new("malformed::properties_longer_than_the_packet", ONLY_5, properties_too_long)
        .v5(&["4.13.1-1"]),
    Case::new("malformed::unknown_reason_codes", ONLY_5, unknown_reason_codes).v5(&["4.13.1-1"]),
];

/// Sends bytes after CONNECT, and expects the end.
fn refused(scene: &Scene, bytes: &[u8]) -> Check {
    let mut client = scene.join("a")?;
    client.send(bytes);
    client.ended(&[0x81, 0x82])?;
    Ok(())
}

/// The packet with other flags in its first byte.
fn with_flags(packet: &[u8], flags: u8) -> Vec<u8> {
    let mut changed = packet.to_vec();
    changed[0] = (changed[0] & 0xF0) | flags;
    changed
}

fn subscribe_flags(scene: &Scene) -> Check {
    let good = Subscribe::one(1, scene.topic("t"), 0).encode(scene.version);
    for flags in [0x0, 0x1, 0x3, 0x6, 0xA, 0xF] {
        refused(scene, &with_flags(&good, flags))?;
    }
    Ok(())
}

fn unsubscribe_flags(scene: &Scene) -> Check {
    let good = unsubscribe(scene.version, 1, &[scene.topic("t").as_bytes()]);
    for flags in [0x0, 0x1, 0x3, 0x6, 0xA, 0xF] {
        refused(scene, &with_flags(&good, flags))?;
    }
    Ok(())
}

fn pubrel_flags(scene: &Scene) -> Check {
    let good = ack(Ack::PubRel, 1, 0);
    for flags in [0x0, 0x1, 0x3, 0x6, 0xA, 0xF] {
        refused(scene, &with_flags(&good, flags))?;
    }
    Ok(())
}

fn auth_flags(scene: &Scene) -> Check {
    let good = auth(0x18, &Props::default());
    for flags in [0x1, 0x2, 0x8, 0xF] {
        refused(scene, &with_flags(&good, flags))?;
    }
    Ok(())
}

fn other_flags(scene: &Scene) -> Check {
    let good = [ack(Ack::PubAck, 1, 0), ack(Ack::PubRec, 1, 0), ack(Ack::PubComp, 1, 0), pingreq()];
    for packet in good {
        for flags in [0x1, 0x2, 0x8] {
            refused(scene, &with_flags(&packet, flags))?;
        }
    }
    Ok(())
}

fn remaining_length_too_long(scene: &Scene) -> Check {
    for first in [0x30, 0x82, 0xC0] {
        refused(scene, &[first, 0xFF, 0xFF, 0xFF, 0xFF, 0x01])?;
        refused(scene, &[first, 0x80, 0x80, 0x80, 0x80, 0x00])?;
    }
    Ok(())
}

fn not_the_shortest(scene: &Scene) -> Check {
    // The property length and a subscription identifier, each with a byte too many.
    let topic = field(scene.topic("t"));
    let long_property_length = [&[0, 1][..], &[0x80, 0x00], &topic, &[0]].concat();
    refused(scene, &packet(0x82, &long_property_length))?;
    let long_identifier = [&[0, 1][..], &[3, 0x0B, 0x81, 0x00], &topic, &[0]].concat();
    refused(scene, &packet(0x82, &long_identifier))?;
    let publish = [&topic[..], &[0x80, 0x80, 0x00], b"payload"].concat();
    refused(scene, &packet(0x30, &publish))
}

fn length_not_the_shortest(scene: &Scene) -> Check {
    refused(scene, &[0xC0, 0x80, 0x00])?;
    refused(scene, &[0x40, 0x82, 0x00, 0x00, 0x01])
}

fn packet_type_0(scene: &Scene) -> Check {
    refused(scene, &[0x00, 0x00])?;
    refused(scene, &[0x02, 0x02, 0x00, 0x01])
}

fn packet_type_15(scene: &Scene) -> Check {
    refused(scene, &[0xF0, 0x00])
}

fn packets_of_a_broker(scene: &Scene) -> Check {
    let props: &[u8] = if scene.version.is_v5() { &[0] } else { &[] };
    let connack = packet(0x20, &[&[0, 0][..], props].concat());
    let suback = packet(0x90, &[&[0, 1][..], props, &[0]].concat());
    let codes: &[u8] = if scene.version.is_v5() { &[0] } else { &[] };
    let unsuback = packet(0xB0, &[&[0, 1][..], props, codes].concat());
    for bytes in [connack, suback, unsuback, packet(0xD0, &[])] {
        refused(scene, &bytes)?;
    }
    Ok(())
}

fn body_too_short(scene: &Scene) -> Check {
    let props: &[u8] = if scene.version.is_v5() { &[0] } else { &[] };
    let no_options = [&[0, 1][..], props, &field(scene.topic("t"))].concat();
    refused(scene, &packet(0x82, &no_options))?;
    refused(scene, &packet(0x82, &[0]))?;
    let long_filter = [&[0, 1][..], props, &[0x01, 0x00, b'a']].concat();
    refused(scene, &packet(0x82, &long_filter))?;
    refused(scene, &packet(0xA2, &long_filter))?;
    for first in [0x40, 0x50, 0x62, 0x70] {
        refused(scene, &packet(first, &[0]))?;
        refused(scene, &packet(first, &[]))?;
    }
    // QoS 1 with a topic and no packet identifier.
    refused(scene, &packet(0x32, &field(scene.topic("t"))))
}

fn body_too_long(scene: &Scene) -> Check {
    refused(scene, &packet(0xC0, &[0]))?;
    if scene.version.is_v5() {
        refused(scene, &packet(0x40, &[0, 1, 0, 0, 0]))?;
        return refused(scene, &packet(0xE0, &[0, 0, 0]));
    }
    for first in [0x40, 0x50, 0x62, 0x70] {
        refused(scene, &packet(first, &[0, 1, 0]))?;
    }
    refused(scene, &packet(0xE0, &[0]))
}

fn properties_too_long(scene: &Scene) -> Check {
    let topic = field(scene.topic("t"));
    refused(scene, &packet(0x30, &[&topic[..], &[200], b"payload"].concat()))?;
    refused(scene, &packet(0x82, &[&[0, 1, 200][..], &topic, &[0]].concat()))?;
    // A property that is cut off by the end of the properties.
    refused(scene, &packet(0x30, &[&topic[..], &[3, 0x02, 0, 0], b"payload"].concat()))
}

fn unknown_reason_codes(scene: &Scene) -> Check {
    for kind in [Ack::PubAck, Ack::PubRec, Ack::PubRel, Ack::PubComp] {
        refused(scene, &ack(kind, 1, 0x7F))?;
    }
    Ok(())
}
