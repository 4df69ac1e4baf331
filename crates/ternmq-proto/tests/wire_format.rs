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

#[test]
fn connack_says_session_present_and_its_code_in_the_words_of_the_version() {
    let refused = Connack {
        session_present: false,
        code: ReasonCode::NotAuthorized,
        properties: Properties::EMPTY,
    };
    check(Version::V311, Packet::Connack(refused), b"\x20\x02\0\x05");
    check(Version::V5, Packet::Connack(refused), b"\x20\x03\0\x87\0");
    let mut properties = PropertyBuf::new();
    properties.push(Property::ServerKeepAlive(60));
    let accepted = Connack {
        session_present: true,
        code: ReasonCode::Success,
        properties: properties.as_properties(),
    };
    check(Version::V5, Packet::Connack(accepted), b"\x20\x06\x01\0\x03\x13\0\x3c");
}

#[test]
fn a_refusal_that_3_x_has_no_code_for_becomes_server_unavailable() {
    for (code, byte) in [
        (ReasonCode::UnsupportedProtocolVersion, 1),
        (ReasonCode::ClientIdentifierNotValid, 2),
        (ReasonCode::ServerBusy, 3),
        (ReasonCode::QuotaExceeded, 3),
        (ReasonCode::BadUserNameOrPassword, 4),
        (ReasonCode::Banned, 5),
        (ReasonCode::BadAuthenticationMethod, 5),
    ] {
        let connack = Connack { session_present: false, code, properties: Properties::EMPTY };
        let bytes = encoded(Version::V311, Packet::Connack(connack));
        assert_eq!(bytes, [0x20, 2, 0, byte], "{code}");
    }
}

#[test]
fn subscribe_has_its_options_in_one_byte() {
    let options = SubscriptionOptions {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::Never,
    };
    let filters = [("a/+", Qos::AtLeastOnce.into()), ("#", options)];
    let mut properties = PropertyBuf::new();
    properties.push(Property::SubscriptionIdentifier(300));
    let subscribe = Subscribe::new(id(10), properties.as_properties(), &filters);
    let bytes = b"\x82\x10\0\x0a\x03\x0b\xac\x02\0\x03a/+\x01\0\x01#\x2e";
    check(Version::V5, Packet::Subscribe(subscribe), bytes);
    let old = Subscribe::new(id(10), Properties::EMPTY, &filters[..1]);
    check(Version::V31, Packet::Subscribe(old), b"\x82\x08\0\x0a\0\x03a/+\x01");
}

#[test]
fn suback_has_one_code_for_each_filter() {
    let suback = Suback { packet_id: id(10), properties: Properties::EMPTY, codes: &[1, 0x80] };
    check(Version::V311, Packet::Suback(suback), b"\x90\x04\0\x0a\x01\x80");
    let suback = Suback { codes: &[0, 0x8F], ..suback };
    check(Version::V5, Packet::Suback(suback), b"\x90\x05\0\x0a\0\0\x8f");
}

#[test]
fn unsubscribe_lists_filters_and_unsuback_answers_each_in_version_5() {
    let unsubscribe = Unsubscribe::new(id(11), Properties::EMPTY, &["a", "b/#"]);
    check(Version::V311, Packet::Unsubscribe(unsubscribe), b"\xa2\x0a\0\x0b\0\x01a\0\x03b/#");
    check(Version::V5, Packet::Unsubscribe(unsubscribe), b"\xa2\x0b\0\x0b\0\0\x01a\0\x03b/#");
    let unsuback = Unsuback { packet_id: id(11), properties: Properties::EMPTY, codes: &[] };
    check(Version::V311, Packet::Unsuback(unsuback), b"\xb0\x02\0\x0b");
    let unsuback = Unsuback { codes: &[0, 0x11], ..unsuback };
    check(Version::V5, Packet::Unsuback(unsuback), b"\xb0\x05\0\x0b\0\0\x11");
}

#[test]
fn pings_are_two_bytes() {
    for version in [Version::V31, Version::V311, Version::V5] {
        check(version, Packet::Pingreq, b"\xc0\0");
        check(version, Packet::Pingresp, b"\xd0\0");
    }
}

#[test]
fn disconnect_takes_the_shortest_form() {
    let normal =
        Disconnect { code: ReasonCode::NORMAL_DISCONNECTION, properties: Properties::EMPTY };
    check(Version::V311, Packet::Disconnect(normal), b"\xe0\0");
    check(Version::V5, Packet::Disconnect(normal), b"\xe0\0");
    let taken = Disconnect { code: ReasonCode::SessionTakenOver, ..normal };
    check(Version::V5, Packet::Disconnect(taken), b"\xe0\x01\x8e");
    let mut properties = PropertyBuf::new();
    properties.push(Property::SessionExpiryInterval(0));
    let expiring = Disconnect { properties: properties.as_properties(), ..normal };
    check(Version::V5, Packet::Disconnect(expiring), b"\xe0\x07\0\x05\x11\0\0\0\0");
}

#[test]
fn auth_names_its_method() {
    let mut properties = PropertyBuf::new();
    properties.push(Property::AuthenticationMethod("m")).push(Property::AuthenticationData(b"d"));
    let auth =
        Auth { code: ReasonCode::ContinueAuthentication, properties: properties.as_properties() };
    check(Version::V5, Packet::Auth(auth), b"\xf0\x0a\x18\x08\x15\0\x01m\x16\0\x01d");
}

#[test]
fn the_remaining_length_takes_as_few_bytes_as_it_can() {
    for (payload, header) in [
        (124, &[0x30, 0x7F][..]),
        (125, &[0x30, 0x80, 0x01]),
        (16_380, &[0x30, 0xFF, 0x7F]),
        (16_381, &[0x30, 0x80, 0x80, 0x01]),
        (2_097_148, &[0x30, 0xFF, 0xFF, 0x7F]),
        (2_097_149, &[0x30, 0x80, 0x80, 0x80, 0x01]),
    ] {
        let payload = vec![0; payload];
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: "t",
            packet_id: None,
            properties: Properties::EMPTY,
            payload: &payload,
        };
        let bytes = encoded(Version::V311, Packet::Publish(publish));
        assert_eq!(&bytes[..header.len()], header);
        assert_eq!(bytes.len(), publish.encoded_len(Version::V311));
        let (length, frame) = frame::split(&bytes, u32::MAX).unwrap().expect("a whole packet");
        assert_eq!((length, frame.body.len()), (bytes.len(), 3 + payload.len()));
    }
}

#[test]
fn the_limit_of_a_packet_counts_its_header() {
    let packet = [0x30, 3, 0, 1, b't'];
    assert!(frame::split(&packet, 5).unwrap().is_some());
    let error = frame::split(&packet, 4).expect_err("five bytes are too many");
    assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
    assert!(frame::split(&packet[..2], 4).is_err(), "refused before it has arrived");
}

#[test]
fn the_fast_paths_leave_out_what_3_x_cannot_say() {
    let mut section = PropertyBuf::new();
    section.push(Property::UserProperty("a", "b"));
    let properties = section.as_properties();
    let head = PublishHead { retain: true, ..PublishHead::default() };
    let mut out = Vec::new();
    encode_publish(&mut out, Version::V311, head, "t", properties, properties, b"x");
    assert_eq!(out, b"\x31\x04\0\x01tx");
    assert_eq!(out.len(), encoded_publish_len(Version::V311, Qos::AtMostOnce, 1, 14, 1));

    out.clear();
    let (kind, code) = (frame::PacketKind::Pubrec, ReasonCode::QuotaExceeded);
    encode_ack(&mut out, Version::V31, kind, id(1), code, properties);
    assert_eq!(out, b"\x50\x02\0\x01");
}

#[test]
#[should_panic(expected = "a PUBLISH of")]
fn a_publish_that_no_receiver_could_take_apart_is_never_written() {
    let topic = "t".repeat(65_536);
    let (head, none) = (PublishHead::default(), Properties::EMPTY);
    encode_publish(&mut Vec::new(), Version::V311, head, &topic, none, none, b"");
}

#[test]
fn packets_with_lists_are_equal_when_they_say_the_same() {
    let filters = [("a", SubscriptionOptions::default()), ("b", Qos::AtLeastOnce.into())];
    let bytes = b"\x82\x0b\0\x01\0\0\x01a\0\0\x01b\x01";
    let (_, frame) = frame::split(bytes, 100).unwrap().expect("a whole packet");
    let read = Subscribe::decode(Version::V5, frame).unwrap();
    assert_eq!(read, Subscribe::new(id(1), Properties::EMPTY, &filters));
    assert_ne!(read, Subscribe::new(id(2), Properties::EMPTY, &filters));
    assert_ne!(read, Subscribe::new(id(1), Properties::EMPTY, &filters[..1]));
    let mut section = PropertyBuf::new();
    section.push(Property::UserProperty("a", "b"));
    assert_ne!(read, Subscribe::new(id(1), section.as_properties(), &filters));
    assert_eq!((read.len(), read.is_empty()), (2, false));

    let bytes = b"\xa2\x09\0\x01\0\0\x01a\0\x01b";
    let (_, frame) = frame::split(bytes, 100).unwrap().expect("a whole packet");
    let read = Unsubscribe::decode(Version::V5, frame).unwrap();
    assert_eq!(read, Unsubscribe::new(id(1), Properties::EMPTY, &["a", "b"]));
    assert_ne!(read, Unsubscribe::new(id(2), Properties::EMPTY, &["a", "b"]));
    assert_ne!(read, Unsubscribe::new(id(1), Properties::EMPTY, &["a", "c"]));
    assert_ne!(read, Unsubscribe::new(id(1), section.as_properties(), &["a", "b"]));
    assert_eq!((read.len(), read.is_empty()), (2, false));
}
