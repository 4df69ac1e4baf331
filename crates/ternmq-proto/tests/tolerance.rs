//! What must be let through: the freedom that each version leaves, and what only the next version
//! forbids.

use ternmq_proto::error::Unsupported;
use ternmq_proto::frame::{self, Frame};
use ternmq_proto::packet::*;
use ternmq_proto::{Error, Packet, Qos, ReasonCode, Version};

const OLD: [Version; 2] = [Version::V31, Version::V311];

#[track_caller]
fn decode(version: Version, bytes: &[u8]) -> Packet<'_> {
    let (length, frame) = frame::split(bytes, 1_000).expect("a header").expect("a whole packet");
    assert_eq!(length, bytes.len());
    Packet::decode(version, frame).expect("a valid packet")
}

#[track_caller]
fn connect(bytes: &[u8]) -> Connect<'_> {
    let Packet::Connect(connect) = decode(Version::V5, bytes) else { panic!("not a CONNECT") };
    connect
}

#[test]
fn a_repeated_pubrel_subscribe_or_unsubscribe_of_3_1_may_have_dup() {
    for (bytes, first_byte) in
        [(&b"\x6a\x02\0\x01"[..], 0x62), (b"\x8a\x06\0\x01\0\x01a\x01", 0x82)]
    {
        let mut again = Vec::new();
        decode(Version::V31, bytes).encode(Version::V31, &mut again).unwrap();
        assert_eq!((again[0], &again[1..]), (first_byte, &bytes[1..]));
    }
    assert!(matches!(decode(Version::V31, b"\xaa\x05\0\x01\0\x01a"), Packet::Unsubscribe(_)));
}

#[test]
fn dup_without_qos_means_nothing_in_3_1() {
    let Packet::Publish(publish) = decode(Version::V31, b"\x38\x04\0\x01tx") else { panic!() };
    assert!(!publish.dup);
}

#[test]
fn a_user_name_flag_of_3_1_may_lack_its_user_name() {
    let connect = connect(b"\x10\x0f\0\x06MQIsdp\x03\xc2\0\x3c\0\x01a");
    assert_eq!((connect.user_name, connect.password), (None, None));
    let user = self::connect(b"\x10\x13\0\x06MQIsdp\x03\xc2\0\x3c\0\x01a\0\x02me");
    assert_eq!((user.user_name, user.password), (Some("me"), None));
}

#[test]
fn will_flags_and_the_reserved_flag_are_disregarded_in_3_1() {
    let connect = connect(b"\x10\x0f\0\x06MQIsdp\x03\x3b\0\x3c\0\x01a");
    assert_eq!((connect.will, connect.clean_start), (None, true));
}

#[test]
fn session_present_does_not_exist_in_3_1() {
    let Packet::Connack(connack) = decode(Version::V31, b"\x20\x02\x01\0") else { panic!() };
    assert!(!connack.session_present);
    let present = Connack { session_present: true, ..connack };
    let mut bytes = Vec::new();
    Packet::Connack(present).encode(Version::V31, &mut bytes).unwrap();
    assert_eq!(bytes, b"\x20\x02\0\0");
}

#[test]
fn a_suback_of_3_1_may_refuse() {
    let Packet::Suback(suback) = decode(Version::V31, b"\x90\x04\0\x01\x02\x80") else { panic!() };
    assert_eq!(suback.codes, [2, 0x80]);
}

#[test]
fn client_identifiers_are_not_judged() {
    assert_eq!(connect(b"\x10\x0c\0\x04MQTT\x04\0\0\x3c\0\0").client_id, "");
    assert_eq!(connect(b"\x10\x0e\0\x06MQIsdp\x03\0\0\x3c\0\0").client_id, "");
    let long = [&b"\x10\x2e\0\x06MQIsdp\x03\x02\0\x3c\0\x20"[..], &[b'x'; 32]].concat();
    assert_eq!(connect(&long).client_id.len(), 32);
}

#[test]
fn version_5_allows_a_password_without_a_user_name() {
    let connect = connect(b"\x10\x11\0\x04MQTT\x05\x42\0\x3c\0\0\x01a\0\x01p");
    assert_eq!((connect.user_name, connect.password), (None, Some(&b"p"[..])));
}

#[test]
fn mosquitto_says_with_one_bit_that_it_is_a_bridge() {
    for (bytes, version) in [
        (&b"\x10\x0d\0\x04MQTT\x84\0\0\x3c\0\x01a"[..], Version::V311),
        (b"\x10\x0f\0\x06MQIsdp\x83\0\0\x3c\0\x01a", Version::V31),
    ] {
        assert_eq!((connect(bytes).version, connect(bytes).bridge), (version, true));
    }
}

#[test]
fn an_unknown_version_is_seen_before_the_rest_is_read() {
    let body = b"\0\x04MQTT\x06 whatever version 6 has here";
    let error = Packet::decode(Version::V5, Frame { first_byte: 0x10, body });
    assert_eq!(error, Err(Error::PeerIncompatible(Unsupported::ProtocolLevel(6))));
}

#[test]
fn a_byte_order_mark_is_data() {
    let Packet::Publish(publish) = decode(Version::V311, b"\x30\x06\0\x04\xef\xbb\xbft") else {
        panic!()
    };
    assert_eq!(publish.topic, "\u{feff}t");
}

#[test]
fn characters_that_should_not_be_used_may_be_used() {
    let topic = "\u{1}\u{7f}\u{fffe}\u{fdd0}\u{10ffff}";
    let mut bytes = vec![0x30, 2 + topic.len() as u8, 0, topic.len() as u8];
    bytes.extend(topic.bytes());
    let Packet::Publish(publish) = decode(Version::V311, &bytes) else { panic!() };
    assert_eq!(publish.topic, topic);
}

#[test]
fn a_filter_that_does_not_parse_is_answered_not_refused() {
    let bytes = b"\x82\x17\0\x07\0\0\x05a/#/b\x01\0\x09$share//x\x06";
    let error = Packet::decode(Version::V5, frame::split(bytes, 99).unwrap().unwrap().1);
    assert!(error.is_err(), "No Local is refused even when the share name is empty");
    let bytes = b"\x82\x17\0\x07\0\0\x05a/#/b\x01\0\x09$share//x\x02";
    let Packet::Subscribe(subscribe) = decode(Version::V5, bytes) else { panic!() };
    let filters: Vec<_> =
        subscribe.filters().map(|(filter, options)| (filter, options.qos)).collect();
    assert_eq!(filters, [("a/#/b", Qos::AtLeastOnce), ("$share//x", Qos::ExactlyOnce)]);
    assert_eq!(subscribe.len(), 2);
}

#[test]
fn acknowledgements_of_version_5_have_three_lengths() {
    for bytes in [&b"\x40\x02\0\x01"[..], b"\x40\x03\0\x01\0", b"\x40\x04\0\x01\0\0"] {
        assert_eq!(decode(Version::V5, bytes), Packet::Puback(Ack::new(1.try_into().unwrap())));
    }
}

#[test]
fn a_disconnect_of_version_5_has_three_lengths() {
    for bytes in [&b"\xe0\0"[..], b"\xe0\x01\0", b"\xe0\x02\0\0"] {
        let Packet::Disconnect(disconnect) = decode(Version::V5, bytes) else { panic!() };
        assert_eq!(disconnect.code, ReasonCode::NORMAL_DISCONNECTION);
    }
    let Packet::Disconnect(disconnect) = decode(Version::V5, b"\xe0\x01\x04") else { panic!() };
    assert_eq!(disconnect.code, ReasonCode::DisconnectWithWill);
}

#[test]
fn an_auth_of_two_bytes_means_success() {
    let Packet::Auth(auth) = decode(Version::V5, b"\xf0\0") else { panic!() };
    assert_eq!(auth.code, ReasonCode::Success);
}

#[test]
fn an_empty_topic_with_an_alias_is_whole() {
    let Packet::Publish(publish) = decode(Version::V5, b"\x30\x07\0\0\x03\x23\0\x01x") else {
        panic!()
    };
    assert_eq!((publish.topic, publish.properties.topic_alias()), ("", Some(1)));
}

#[test]
fn a_message_may_carry_many_subscription_identifiers() {
    let bytes = b"\x30\x0a\0\x01t\x05\x0b\x01\x0b\x80\x01x";
    let Packet::Publish(publish) = decode(Version::V5, bytes) else { panic!() };
    assert!(publish.properties.subscription_identifiers().eq([1, 128]));
    assert_eq!(publish.payload, b"x");
}

#[test]
fn return_codes_of_3_x_have_a_meaning() {
    for version in OLD {
        for byte in 0..=5 {
            let bytes = [0x20, 2, 0, byte];
            let Packet::Connack(connack) = decode(version, &bytes) else { panic!() };
            assert_eq!(connack.code.connack_v311(), byte);
        }
    }
}
