//! What packets look like on the wire, byte by byte, in each version.

use ternmq_proto::packet::*;
use ternmq_proto::{Error, frame};
use ternmq_proto::{Packet, PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

fn encoded(version: Version, packet: Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).expect("a valid packet");
    out
}

/// Encodes, compares with `bytes`, and decodes what was encoded.
#[track_caller]
fn check(version: Version, packet: Packet<'_>, bytes: &[u8]) {
    assert_eq!(encoded(version, packet), bytes);
    let (length, frame) = frame::split(bytes, 1_000).unwrap().expect("a whole packet");
    assert_eq!(length, bytes.len());
    assert_eq!(Packet::decode(version, frame), Ok(packet));
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

#[test]
fn connect_names_its_version() {
    let connect = Connect {
        version: Version::V311,
        clean_start: true,
        keep_alive: 60,
        client_id: "a",
        will: None,
        user_name: None,
        password: None,
        properties: Properties::EMPTY,
        bridge: false,
    };
    check(Version::V5, Packet::Connect(connect), b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a");
    let old = Connect { version: Version::V31, bridge: true, ..connect };
    check(Version::V5, Packet::Connect(old), b"\x10\x0f\0\x06MQIsdp\x83\x02\0\x3c\0\x01a");
    let new = Connect { version: Version::V5, ..connect };
    check(Version::V311, Packet::Connect(new), b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01a");
}

#[test]
fn connect_payload_is_in_the_order_of_the_standard() {
    let mut properties = PropertyBuf::new();
    properties.push(Property::WillDelayInterval(5));
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: true,
        topic: "w",
        payload: b"gone",
        properties: properties.as_properties(),
    };
    let connect = Connect {
        version: Version::V5,
        clean_start: false,
        keep_alive: 0,
        client_id: "c",
        will: Some(will),
        user_name: Some("u"),
        password: Some(b"p"),
        properties: Properties::EMPTY,
        bridge: false,
    };
    check(
        Version::V5,
        Packet::Connect(connect),
        b"\x10\x23\0\x04MQTT\x05\xec\0\0\0\0\x01c\x05\x18\0\0\0\x05\0\x01w\0\x04gone\0\x01u\0\x01p",
    );
}

#[test]
fn publish_has_an_identifier_above_qos_0_and_properties_in_version_5() {
    let plain = Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: "t/1",
        packet_id: None,
        properties: Properties::EMPTY,
        payload: b"hi",
    };
    check(Version::V311, Packet::Publish(plain), b"\x30\x07\0\x03t/1hi");
    check(Version::V5, Packet::Publish(plain), b"\x30\x08\0\x03t/1\0hi");
    let again = Publish { dup: true, qos: Qos::ExactlyOnce, packet_id: Some(id(7)), ..plain };
    check(Version::V31, Packet::Publish(again), b"\x3c\x09\0\x03t/1\0\x07hi");
}

#[test]
fn acknowledgements_take_the_shortest_form() {
    check(Version::V311, Packet::Puback(Ack::new(id(1))), b"\x40\x02\0\x01");
    check(Version::V5, Packet::Pubrel(Ack::new(id(0x102))), b"\x62\x02\x01\x02");
    let refused = Ack { code: ReasonCode::QuotaExceeded, ..Ack::new(id(1)) };
    check(Version::V5, Packet::Pubrec(refused), b"\x50\x03\0\x01\x97");
    let mut properties = PropertyBuf::new();
    properties.push(Property::ReasonString("no"));
    let explained = Ack { properties: properties.as_properties(), ..refused };
    check(Version::V5, Packet::Puback(explained), b"\x40\x09\0\x01\x97\x05\x1f\0\x02no");
}

#[test]
fn a_packet_comes_whole_or_not_at_all() {
    let bytes = encoded(Version::V5, Packet::Pubcomp(Ack::new(id(9))));
    for end in 0..bytes.len() {
        assert_eq!(frame::split(&bytes[..end], 100), Ok(None));
    }
    assert!(matches!(frame::split(&[0x30, 0x80, 0x01], 100), Err(Error::PeerMisbehaved(_))));
}
