//! Our own caller's mistakes: nothing invalid is ever written, and nothing at all on an error.

use ternmq_proto::error::{Forbidden, Malformed, Violation};
use ternmq_proto::packet::*;
use ternmq_proto::topic::TopicError;
use ternmq_proto::{
    Misuse, Packet, PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version,
};

const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const OLD: [Version; 2] = [Version::V31, Version::V311];

#[track_caller]
fn refuse(version: Version, packet: Packet<'_>) -> Misuse {
    let mut out = b"before".to_vec();
    let misuse = packet.encode(version, &mut out).expect_err("this must not be written");
    assert_eq!(out, b"before");
    misuse
}

fn malformed(malformed: Malformed) -> Misuse {
    Misuse::Invalid(Violation::Malformed(malformed))
}

fn forbidden(forbidden: Forbidden) -> Misuse {
    Misuse::Invalid(Violation::Protocol(forbidden))
}

fn section(property: Property<'_>) -> PropertyBuf {
    let mut buf = PropertyBuf::new();
    buf.push(property);
    buf
}

const ID: PacketId = PacketId::MIN;

const PUBLISH: Publish<'_> = Publish {
    dup: false,
    qos: Qos::AtMostOnce,
    retain: false,
    topic: "t",
    packet_id: None,
    properties: Properties::EMPTY,
    payload: b"",
};

const CONNECT: Connect<'_> = Connect {
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

#[test]
fn properties_are_not_written_where_there_are_none() {
    let section = section(Property::UserProperty("a", "b"));
    let properties = section.as_properties();
    let filters = [("a", Qos::AtMostOnce.into())];
    for version in OLD {
        for packet in [
            Packet::Connect(Connect { version, properties, ..CONNECT }),
            Packet::Connack(Connack {
                session_present: false,
                code: ReasonCode::Success,
                properties,
            }),
            Packet::Publish(Publish { properties, ..PUBLISH }),
            Packet::Puback(Ack { properties, ..Ack::new(ID) }),
            Packet::Subscribe(Subscribe::new(ID, properties, &filters)),
            Packet::Suback(Suback { packet_id: ID, properties, codes: &[0] }),
            Packet::Unsubscribe(Unsubscribe::new(ID, properties, &["a"])),
            Packet::Unsuback(Unsuback { packet_id: ID, properties, codes: &[] }),
            Packet::Disconnect(Disconnect { code: ReasonCode::Success, properties }),
        ] {
            let expected = Misuse::NotInVersion { what: "properties", version };
            assert_eq!(refuse(version, packet), expected, "{packet:?}");
        }
    }
}

#[test]
fn what_only_version_5_can_say_is_not_written_in_3_x() {
    let no_local = SubscriptionOptions { no_local: true, ..Default::default() };
    let filters = [("a", no_local)];
    let refused = Ack { code: ReasonCode::QuotaExceeded, ..Ack::new(ID) };
    let properties = Properties::EMPTY;
    for version in OLD {
        for packet in [
            Packet::Subscribe(Subscribe::new(ID, properties, &filters)),
            Packet::Pubrec(refused),
            Packet::Unsuback(Unsuback { packet_id: ID, properties, codes: &[0] }),
            Packet::Disconnect(Disconnect { code: ReasonCode::ServerBusy, properties }),
            Packet::Auth(Auth { code: ReasonCode::Success, properties }),
        ] {
            let misuse = refuse(version, packet);
            assert!(matches!(misuse, Misuse::NotInVersion { .. }), "{packet:?}: {misuse}");
        }
    }
    let bridge = Packet::Connect(Connect { version: Version::V5, bridge: true, ..CONNECT });
    assert!(matches!(refuse(Version::V5, bridge), Misuse::NotInVersion { .. }));
}

#[test]
fn topics_are_checked_in_every_version() {
    for version in ALL {
        for (topic, error) in [
            ("a/#", TopicError::Wildcard),
            ("+", TopicError::Wildcard),
            ("a\0b", TopicError::NulCharacter),
            (&"x".repeat(65_536), TopicError::TooLong { bytes: 65_536 }),
        ] {
            let publish = Packet::Publish(Publish { topic, ..PUBLISH });
            assert_eq!(refuse(version, publish), malformed(Malformed::Topic(error)));
            let will = Will {
                qos: Qos::AtMostOnce,
                retain: false,
                topic,
                payload: b"",
                properties: Properties::EMPTY,
            };
            let connect = Packet::Connect(Connect { version, will: Some(will), ..CONNECT });
            assert_eq!(refuse(version, connect), malformed(Malformed::Topic(error)));
        }
    }
    let empty = Packet::Publish(Publish { topic: "", ..PUBLISH });
    assert_eq!(refuse(Version::V311, empty), malformed(Malformed::Topic(TopicError::Empty)));
    assert_eq!(refuse(Version::V5, empty), forbidden(Forbidden::TopicMissing));
}

#[test]
fn an_identifier_belongs_to_qos_1_and_2() {
    for version in ALL {
        let missing = Packet::Publish(Publish { qos: Qos::AtLeastOnce, ..PUBLISH });
        assert_eq!(refuse(version, missing), Misuse::PacketId);
        let superfluous = Packet::Publish(Publish { packet_id: Some(ID), ..PUBLISH });
        assert_eq!(refuse(version, superfluous), Misuse::PacketId);
        let dup = Packet::Publish(Publish { dup: true, ..PUBLISH });
        let wrong = malformed(Malformed::FixedHeaderFlags { first_byte: 0x38 });
        assert_eq!(refuse(version, dup), wrong);
    }
}

#[test]
fn fields_are_at_most_65_535_bytes() {
    let long = "x".repeat(65_536);
    let filters = [(long.as_str(), SubscriptionOptions::default())];
    let names = [long.as_str()];
    let will = Will {
        qos: Qos::AtMostOnce,
        retain: false,
        topic: "w",
        payload: long.as_bytes(),
        properties: Properties::EMPTY,
    };
    for (packet, field) in [
        (Packet::Connect(Connect { client_id: &long, ..CONNECT }), "client identifier"),
        (Packet::Connect(Connect { user_name: Some(&long), ..CONNECT }), "user name"),
        (
            Packet::Connect(Connect {
                user_name: Some("me"),
                password: Some(long.as_bytes()),
                ..CONNECT
            }),
            "password",
        ),
        (Packet::Connect(Connect { will: Some(will), ..CONNECT }), "will payload"),
        (Packet::Subscribe(Subscribe::new(ID, Properties::EMPTY, &filters)), "topic filter"),
        (Packet::Unsubscribe(Unsubscribe::new(ID, Properties::EMPTY, &names)), "topic filter"),
    ] {
        assert_eq!(refuse(Version::V311, packet), Misuse::FieldTooLong { field, bytes: 65_536 });
    }
}

#[test]
fn a_property_that_fits_no_packet_is_not_written() {
    let long = "x".repeat(65_536);
    for property in [
        Property::UserProperty("name", &long),
        Property::UserProperty(&long, "value"),
        Property::ContentType(&long),
        Property::CorrelationData(long.as_bytes()),
        Property::SubscriptionIdentifier(268_435_456),
    ] {
        let section = section(property);
        let publish = Packet::Publish(Publish { properties: section.as_properties(), ..PUBLISH });
        let misuse = refuse(Version::V5, publish);
        assert_eq!(misuse, malformed(Malformed::PropertyUnknown(0)));
    }
}

#[test]
fn properties_are_checked_where_they_are_put() {
    for (property, expected) in [
        (Property::ReasonString("x"), malformed(Malformed::PropertyNotAllowed(0x1F))),
        (Property::UserProperty("a\0", "b"), malformed(Malformed::NulCharacter)),
        (Property::ResponseTopic("a/+"), malformed(Malformed::Topic(TopicError::Wildcard))),
        (Property::TopicAlias(0), Misuse::Invalid(Violation::TopicAliasInvalid(0))),
        (
            Property::PayloadFormatIndicator(2),
            forbidden(Forbidden::PropertyValue { id: 1, value: 2 }),
        ),
    ] {
        let section = section(property);
        let publish = Packet::Publish(Publish { properties: section.as_properties(), ..PUBLISH });
        assert_eq!(refuse(Version::V5, publish), expected);
    }
}

#[test]
fn strings_without_a_length_problem_are_still_strings() {
    let filters = [("a\0", SubscriptionOptions::default())];
    for packet in [
        Packet::Connect(Connect { client_id: "a\0", ..CONNECT }),
        Packet::Connect(Connect { user_name: Some("\0"), ..CONNECT }),
        Packet::Subscribe(Subscribe::new(ID, Properties::EMPTY, &filters)),
        Packet::Unsubscribe(Unsubscribe::new(ID, Properties::EMPTY, &["\0"])),
    ] {
        assert_eq!(refuse(Version::V311, packet), malformed(Malformed::NulCharacter));
    }
}

#[test]
fn lists_are_not_empty() {
    let properties = Properties::EMPTY;
    for version in ALL {
        for packet in [
            Packet::Subscribe(Subscribe::new(ID, properties, &[])),
            Packet::Unsubscribe(Unsubscribe::new(ID, properties, &[])),
            Packet::Suback(Suback { packet_id: ID, properties, codes: &[] }),
        ] {
            let expected = forbidden(Forbidden::NothingListed(packet.kind()));
            assert_eq!(refuse(version, packet), expected);
        }
    }
    let unsuback = Packet::Unsuback(Unsuback { packet_id: ID, properties, codes: &[] });
    let expected = forbidden(Forbidden::NothingListed(unsuback.kind()));
    assert_eq!(refuse(Version::V5, unsuback), expected);
}

#[test]
fn reason_codes_come_from_the_table_of_their_packet() {
    let properties = Properties::EMPTY;
    let code = ReasonCode::ClientIdentifierNotValid;
    let ack = Ack { code, ..Ack::new(ID) };
    for packet in [
        Packet::Puback(ack),
        Packet::Pubrec(ack),
        Packet::Pubrel(ack),
        Packet::Pubcomp(ack),
        Packet::Suback(Suback { packet_id: ID, properties, codes: &[code.byte()] }),
        Packet::Unsuback(Unsuback { packet_id: ID, properties, codes: &[code.byte()] }),
        Packet::Disconnect(Disconnect { code, properties }),
        Packet::Auth(Auth { code, properties }),
    ] {
        let expected = Forbidden::ReasonCode { kind: packet.kind(), byte: code.byte() };
        assert_eq!(refuse(Version::V5, packet), forbidden(expected));
    }
    let code = ReasonCode::SessionTakenOver;
    let connack = Packet::Connack(Connack { session_present: false, code, properties });
    let expected = Forbidden::ReasonCode { kind: connack.kind(), byte: code.byte() };
    assert_eq!(refuse(Version::V5, connack), forbidden(expected));
}

#[test]
fn contradictions_are_not_written() {
    let properties = Properties::EMPTY;
    let code = ReasonCode::NotAuthorized;
    let connack = Packet::Connack(Connack { session_present: true, code, properties });
    for version in ALL {
        let expected = forbidden(Forbidden::SessionPresentWithRefusal);
        assert_eq!(refuse(version, connack), expected);
    }
    let connect = Packet::Connect(Connect { password: Some(b"p"), ..CONNECT });
    let expected = forbidden(Forbidden::PasswordWithoutUserName);
    assert_eq!(refuse(Version::V311, connect), expected);

    let code = ReasonCode::ContinueAuthentication;
    let auth = Packet::Auth(Auth { code, properties });
    let expected = forbidden(Forbidden::AuthenticationMethodMissing);
    assert_eq!(refuse(Version::V5, auth), expected);

    let shared = [("$share/g/t", SubscriptionOptions { no_local: true, ..Default::default() })];
    let subscribe = Packet::Subscribe(Subscribe::new(ID, properties, &shared));
    let expected = forbidden(Forbidden::NoLocalOnSharedSubscription);
    assert_eq!(refuse(Version::V5, subscribe), expected);
}

#[test]
fn a_packet_over_the_limit_of_mqtt_is_not_written() {
    // 256 MiB of zeros that are never touched.
    let payload = vec![0; 268_435_455];
    let publish = Packet::Publish(Publish { payload: &payload, ..PUBLISH });
    for version in ALL {
        assert!(matches!(refuse(version, publish), Misuse::PacketTooLarge { .. }));
    }
}
