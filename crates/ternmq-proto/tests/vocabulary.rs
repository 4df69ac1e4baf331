//! Versions, levels, packet types, reason codes: the numbers of the standard, and words for people.

use ternmq_proto::error::{Forbidden, Malformed, Unsupported, Violation};
use ternmq_proto::frame::{PACKET_BYTES_MAX, PacketKind, REMAINING_LENGTH_MAX};
use ternmq_proto::packet::{RetainHandling, SubscriptionOptions};
use ternmq_proto::topic::TopicError;
use ternmq_proto::{Error, Misuse, Qos, ReasonCode, Version};

#[test]
fn bytes_and_reason_codes_are_one_to_one() {
    let known: Vec<_> = (0..=255).filter_map(ReasonCode::from_byte).collect();
    assert_eq!(known, ReasonCode::ALL);
    for code in ReasonCode::ALL {
        assert_eq!(ReasonCode::from_byte(code.byte()), Some(code));
        assert_eq!(code.is_error(), code.byte() >= 0x80);
    }
    assert_eq!(ReasonCode::ALL.iter().filter(|it| it.is_error()).count(), 35);
    assert_eq!(ReasonCode::SessionTakenOver.to_string(), "session taken over (0x8E)");
}

/// Section 2.4 lists for each code the packets it may stand in; this is the list the other way
/// round, as numbers of codes. (DISCONNECT: 29 of section 3.14.2.1 and 0x8C of section 2.4.)
#[test]
fn every_packet_has_its_own_table_of_reason_codes() {
    for (kind, count) in [
        (PacketKind::Connack, 22),
        (PacketKind::Puback, 9),
        (PacketKind::Pubrec, 9),
        (PacketKind::Pubrel, 2),
        (PacketKind::Pubcomp, 2),
        (PacketKind::Suback, 12),
        (PacketKind::Unsuback, 7),
        (PacketKind::Disconnect, 30),
        (PacketKind::Auth, 3),
        (PacketKind::Publish, 0),
        (PacketKind::Connect, 0),
    ] {
        let allowed = ReasonCode::ALL.iter().filter(|it| it.allowed_in(kind));
        assert_eq!(allowed.count(), count, "{kind}");
    }
    // Each code is used somewhere.
    for code in ReasonCode::ALL {
        assert!(PacketKind::ALL.iter().any(|kind| code.allowed_in(*kind)), "{code}");
    }
}

#[test]
fn return_codes_of_3_x_are_zero_to_five() {
    let meanings: Vec<_> = (0..=255).filter_map(ReasonCode::from_connack_v311).collect();
    assert_eq!(meanings.len(), 6);
    for (byte, code) in (0..).zip(meanings) {
        assert_eq!(code.connack_v311(), byte);
    }
    for code in ReasonCode::ALL {
        assert_eq!(code.connack_v311() == 0, !code.is_error(), "{code}");
    }
}

#[test]
fn packet_types_are_one_to_fifteen() {
    let known: Vec<_> = (0..=255).filter_map(PacketKind::from_bits).collect();
    assert_eq!(known, PacketKind::ALL);
    assert_eq!(PacketKind::ALL.map(|it| it as u8), std::array::from_fn(|at| at as u8 + 1));
    assert_eq!(PacketKind::Unsuback.to_string(), "UNSUBACK");
}

#[test]
fn the_largest_packet_is_256_mib_and_a_header() {
    assert_eq!((REMAINING_LENGTH_MAX, PACKET_BYTES_MAX), (268_435_455, 268_435_460));
}

#[test]
fn qos_has_three_levels_and_bits() {
    for (bits, qos) in (0..).zip([Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]) {
        assert_eq!((Qos::from_bits(bits), qos.bits()), (Some(qos), bits));
    }
    assert_eq!(Qos::from_bits(3), None);
    assert!(Qos::AtMostOnce < Qos::ExactlyOnce);
    assert_eq!(Qos::AtLeastOnce.to_string(), "QoS 1");
}

#[test]
fn versions_have_a_name_and_a_level() {
    for (version, name, level, words) in [
        (Version::V31, "MQIsdp", 3, "MQTT 3.1"),
        (Version::V311, "MQTT", 4, "MQTT 3.1.1"),
        (Version::V5, "MQTT", 5, "MQTT 5.0"),
    ] {
        assert_eq!((version.protocol_name(), version.level()), (name, level));
        assert_eq!(version.to_string(), words);
        assert_eq!(version.has_properties(), level == 5);
    }
}

#[test]
fn subscription_options_and_their_byte_are_one_to_one() {
    let known: Vec<_> = (0..=255)
        .filter_map(|byte| Some((byte, SubscriptionOptions::from_byte(byte, Version::V5).ok()?)))
        .collect();
    // Three levels, two flags, three ways to handle retained messages.
    assert_eq!(known.len(), 3 * 2 * 2 * 3);
    for (byte, options) in known {
        assert_eq!(options.byte(), byte);
    }
    let old = (0..=255).filter(|byte| SubscriptionOptions::from_byte(*byte, Version::V311).is_ok());
    assert!(old.eq(0..=2));
    assert_eq!(RetainHandling::from_bits(3), None);
}

#[test]
fn every_error_has_a_reason_code_and_words() {
    let peer = Error::PeerMisbehaved;
    for (error, code, words) in [
        (
            peer(Violation::Malformed(Malformed::Utf8)),
            0x81,
            "malformed packet: a string is not UTF-8",
        ),
        (
            peer(Violation::Protocol(Forbidden::PacketIdZero)),
            0x82,
            "protocol error: packet identifier 0",
        ),
        (
            peer(Violation::UnexpectedPacket(PacketKind::Suback)),
            0x82,
            "protocol error: a SUBACK packet was not expected",
        ),
        (
            peer(Violation::ReceiveMaximumExceeded),
            0x93,
            "more messages in flight than the receive maximum allows",
        ),
        (peer(Violation::TopicAliasInvalid(9)), 0x94, "topic alias 9 is not valid"),
        (
            peer(Violation::TooLarge { bytes: 10, max: 9 }),
            0x95,
            "packet too large: 10 bytes where 9 are allowed",
        ),
        (
            Error::PeerIncompatible(Unsupported::ProtocolLevel(9)),
            0x84,
            "unsupported protocol version: level 9",
        ),
        (
            Error::ApiMisuse(Misuse::NotInVersion { what: "AUTH", version: Version::V311 }),
            0x83,
            "MQTT 3.1.1 has no AUTH",
        ),
        (
            Error::ApiMisuse(Misuse::Invalid(Malformed::Topic(TopicError::Empty).into())),
            0x83,
            "not sent, malformed packet: topic: it is empty",
        ),
    ] {
        assert_eq!((error.reason_code().byte(), error.to_string().as_str()), (code, words));
    }
}
