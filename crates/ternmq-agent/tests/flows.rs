//! Messages, subscriptions and acknowledgements between an agent and a server, without trouble.

mod pair;

use pair::Pair;
use ternmq_agent::{Acknowledge, Event, Lost, Options, Publish, PublishError, PublishId};
use ternmq_proto::frame::PacketKind;
use ternmq_proto::packet::SubscriptionOptions;
use ternmq_proto::{Property, PropertyBuf, Qos, ReasonCode, Version};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const LEVELS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// How each finished message ended, in the order of the news.
fn results(pair: &Pair) -> Vec<(PublishId, Result<ReasonCode, Lost>)> {
    let published = pair.events.iter().filter_map(|event| match event {
        Event::Published { id, result } => Some((*id, result.clone().map(|it| it.code))),
        _ => None,
    });
    published.collect()
}

fn answers(pair: &Pair) -> Vec<Result<Vec<ReasonCode>, Lost>> {
    let answered = pair.events.iter().filter_map(|event| match event {
        Event::Answered { result, .. } => Some(result.clone()),
        _ => None,
    });
    answered.collect()
}

fn connack(properties: &[Property<'_>]) -> PropertyBuf {
    let mut buffer = PropertyBuf::new();
    for property in properties {
        buffer.push(*property);
    }
    buffer
}

#[test]
fn every_level_arrives_once_in_every_version_and_its_result_is_told_once() {
    for version in VERSIONS {
        let mut pair = Pair::persistent(version).connected();
        for (n, qos) in LEVELS.into_iter().enumerate() {
            pair.agent.publish(pair.now, Publish::new("t", vec![n as u8]).qos(qos)).unwrap();
        }
        pair.drive();
        let got: Vec<_> = pair.server.received.iter().map(|it| (it.payload[0], it.qos)).collect();
        assert_eq!(got, [(0, LEVELS[0]), (1, LEVELS[1]), (2, LEVELS[2])], "{version}");
        let ended = results(&pair);
        assert_eq!(ended.len(), 3);
        assert!(ended.iter().all(|(_, result)| *result == Ok(ReasonCode::Success)));
        assert_eq!(pair.agent.unfinished(), 0);
        assert_eq!(pair.agent.unfinished_bytes(), 0);
        assert_eq!(pair.server.held(), 0);
    }
}

#[test]
fn every_level_is_received_and_acknowledged_in_every_version() {
    for version in VERSIONS {
        let mut pair = Pair::persistent(version).connected();
        for qos in LEVELS {
            pair.server.publish("t/1", &[qos.bits()], qos);
        }
        pair.drive();
        assert_eq!(pair.payloads(), [[0], [1], [2]], "{version}");
        assert_eq!(pair.server.unfinished(), 0);
        assert_eq!(pair.agent.unacknowledged(), 0);
        assert_eq!(pair.agent.held_identifiers(), 0);
    }
}

#[test]
fn what_was_published_before_connecting_is_sent() {
    let mut pair = Pair::persistent(Version::V5);
    pair.agent.publish(0, Publish::new("t", "early").qos(Qos::AtLeastOnce)).unwrap();
    let mut pair = pair.connected();
    pair.drive();
    assert_eq!(pair.server.received[0].payload, b"early");
}

#[test]
fn a_refusal_is_the_result_of_the_message() {
    for (qos, next) in
        [(Qos::AtLeastOnce, PacketKind::Publish), (Qos::ExactlyOnce, PacketKind::Publish)]
    {
        let mut pair = Pair::persistent(Version::V5).connected();
        pair.server.manners.publish_code = Some(ReasonCode::NotAuthorized);
        let id = pair.agent.publish(0, Publish::new("t", "x").qos(qos)).unwrap();
        pair.drive();
        let refused = Lost::Refused { code: ReasonCode::NotAuthorized, reason: None };
        assert_eq!(results(&pair), [(id, Err(refused))]);
        assert_eq!(pair.server.kinds.last(), Some(&next), "a refusal needs no PUBREL");
        assert_eq!(pair.agent.unfinished(), 0);
    }
}

#[test]
fn nobody_subscribed_is_a_success_that_says_so() {
    let mut pair = Pair::persistent(Version::V5).connected();
    pair.server.manners.publish_code = Some(ReasonCode::NoMatchingSubscribers);
    let id = pair.agent.publish(0, Publish::new("t", "x").qos(Qos::ExactlyOnce)).unwrap();
    pair.drive();
    assert_eq!(results(&pair), [(id, Ok(ReasonCode::NoMatchingSubscribers))]);
}

#[test]
fn the_servers_receive_maximum_is_honoured_and_qos_0_passes_by() {
    let mut pair = Pair::persistent(Version::V5);
    pair.server.manners.connack = connack(&[Property::ReceiveMaximum(2)]);
    pair.server.manners.silent = true;
    let mut pair = pair.connected();
    for n in 0..5 {
        pair.agent.publish(0, Publish::new("t", vec![n]).qos(Qos::AtLeastOnce)).unwrap();
    }
    pair.agent.publish(0, Publish::new("t", "passes")).unwrap();
    pair.drive();
    assert_eq!(pair.server.publishes, [(1, false), (2, false)]);
    assert_eq!(pair.server.received[0].payload, b"passes");
}

#[test]
fn topic_aliases_go_out_as_far_as_the_server_allows() {
    let mut pair = Pair::persistent(Version::V5);
    pair.server.manners.connack = connack(&[Property::TopicAliasMaximum(2)]);
    let mut pair = pair.connected();
    for topic in ["a", "b", "a", "c", "c", "b"] {
        pair.agent.publish(0, Publish::new(topic, topic).qos(Qos::AtLeastOnce)).unwrap();
    }
    pair.drive();
    let topics: Vec<_> = pair.server.received.iter().map(|it| it.topic.as_bytes()).collect();
    let payloads: Vec<_> = pair.server.received.iter().map(|it| it.payload.as_slice()).collect();
    assert_eq!(topics, payloads);
    let aliases = pair.server.received.iter();
    let aliases: Vec<_> = aliases.map(|it| it.properties.as_properties().topic_alias()).collect();
    assert_eq!(aliases, [Some(1), Some(2), Some(1), None, None, Some(2)]);
}

#[test]
fn aliases_of_the_server_are_resolved_and_hidden() {
    let mut pair = Pair::persistent(Version::V5).connected();
    for topic in ["long/name", ""] {
        let properties = connack(&[Property::TopicAlias(3), Property::ContentType("x")]);
        pair.server.send(ternmq_proto::Packet::Publish(ternmq_proto::packet::Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: true,
            topic,
            packet_id: None,
            properties: properties.as_properties(),
            payload: b"p",
        }));
    }
    pair.drive();
    for message in pair.messages() {
        assert_eq!(message.topic, "long/name");
        assert!(message.retain);
        let properties = message.properties.as_properties();
        assert_eq!(properties.iter().collect::<Vec<_>>(), [Property::ContentType("x")]);
    }
    assert_eq!(pair.messages().len(), 2);
}

#[test]
fn what_the_server_does_not_offer_is_not_sent() {
    let mut pair = Pair::persistent(Version::V5);
    pair.server.manners.connack = connack(&[
        Property::MaximumQos(1),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(100),
        Property::WildcardSubscriptionAvailable(false),
    ]);
    let mut pair = pair.connected();
    pair.agent.publish(0, Publish::new("t", "x").qos(Qos::ExactlyOnce)).unwrap();
    pair.agent.publish(0, Publish::new("t", "x").retain(true)).unwrap();
    pair.agent.publish(0, Publish::new("t", vec![0; 100])).unwrap();
    pair.agent.subscribe(filters(&["a/#"]), PropertyBuf::new()).unwrap();
    pair.drive();
    let ended: Vec<_> = results(&pair).into_iter().map(|(_, result)| result).collect();
    assert_eq!(ended[0], Err(Lost::NotSupported(ReasonCode::QosNotSupported)));
    assert_eq!(ended[1], Err(Lost::NotSupported(ReasonCode::RetainNotSupported)));
    assert_eq!(ended[2], Err(Lost::TooLarge { bytes: 106, max: 100 }));
    let wildcard = ReasonCode::WildcardSubscriptionsNotSupported;
    assert_eq!(answers(&pair), [Err(Lost::NotSupported(wildcard))]);
    assert_eq!(pair.server.kinds, [PacketKind::Connect]);
    assert_eq!(pair.agent.unfinished(), 0);
}

#[test]
fn a_message_of_just_the_maximum_size_goes_out_with_and_without_an_alias() {
    for max in 20..40 {
        let mut pair = Pair::persistent(Version::V5);
        let limits = [Property::MaximumPacketSize(max), Property::TopicAliasMaximum(4)];
        pair.server.manners.connack = connack(&limits);
        let mut pair = pair.connected();
        for bytes in 0..40 {
            pair.agent.publish(0, Publish::new("topic", vec![0; bytes])).unwrap();
        }
        pair.drive();
        // 1 + 1 + 2 + 5 + 1 bytes around the payload; the server asserts nothing about sizes, so
        // count what was let through.
        assert_eq!(pair.server.received.len() as u32, max - 10 + 1);
    }
}

#[test]
fn time_in_the_outbox_counts() {
    let mut pair = Pair::persistent(Version::V5);
    let seconds = std::time::Duration::from_secs;
    let kept = Publish::new("t", "kept").qos(Qos::AtLeastOnce).expiry(seconds(10));
    let late = Publish::new("t", "late").property(Property::MessageExpiryInterval(3));
    let kept = pair.agent.publish(0, kept).unwrap();
    let late = pair.agent.publish(0, late).unwrap();
    assert_eq!(pair.agent.poll_timeout(), Some(3_000_000));
    pair.advance_seconds(4);
    pair.poll();
    assert_eq!(results(&pair), [(late, Err(Lost::Expired))], "told while it is offline");
    let pair = pair.connected();
    let properties = &pair.server.received[0].properties;
    assert_eq!(properties.as_properties().message_expiry_interval(), Some(6));
    assert_eq!(results(&pair)[1], (kept, Ok(ReasonCode::Success)));
    assert_eq!(pair.server.received.len(), 1);
}

#[test]
fn subscriptions_are_answered_with_their_codes() {
    for version in VERSIONS {
        let mut pair = Pair::persistent(version);
        pair.agent.subscribe(filters(&["a", "b/#"]), PropertyBuf::new()).unwrap();
        let mut pair = pair.connected();
        pair.drive();
        assert_eq!(answers(&pair), [Ok(vec![ReasonCode::GrantedQos1; 2])]);
        pair.agent.unsubscribe(vec!["a".into()], PropertyBuf::new()).unwrap();
        pair.drive();
        assert_eq!(answers(&pair)[1], Ok(vec![ReasonCode::Success]));
        assert_eq!(pair.server.filters(), ["b/#"]);
    }
}

#[test]
fn acknowledgements_by_token_leave_in_order_and_hold_back_the_server() {
    let options = Options {
        acknowledge: Acknowledge::ByToken,
        receive_maximum: 2,
        ..Pair::persistent_options(Version::V5)
    };
    let mut pair = Pair::new(options).connected();
    for n in 0..4 {
        pair.server.publish("t", &[n], Qos::AtLeastOnce);
    }
    pair.drive();
    assert_eq!(pair.payloads(), [[0], [1]]);
    let mut tokens = take_tokens(&mut pair);
    assert!(pair.agent.acknowledge(0, tokens.pop().unwrap(), ReasonCode::Success));
    pair.drive();
    assert!(!pair.server.kinds.contains(&PacketKind::Puback), "the first is not acknowledged yet");
    assert!(pair.agent.acknowledge(0, tokens.pop().unwrap(), ReasonCode::Success));
    pair.drive();
    assert_eq!(pair.payloads().len(), 4);
}

#[test]
fn an_unpolled_event_stops_reading_and_loses_nothing() {
    for version in VERSIONS {
        let options = Options { unread_events_max: 3, ..Pair::persistent_options(version) };
        let mut pair = Pair::new(options).connected();
        for n in 0..50 {
            pair.server.publish("t", &[n], LEVELS[usize::from(n % 3)]);
        }
        let bytes = pair.server.take_output();
        pair.agent.handle_bytes(pair.now, &bytes);
        assert!(!pair.agent.wants_bytes());
        pair.drive();
        assert!(pair.payloads().iter().map(|it| it[0]).eq(0..50), "{version}");
        assert_eq!(pair.server.unfinished(), 0);
    }
}

#[test]
fn a_slow_reader_stops_a_server_of_3_1_1_at_the_receive_maximum() {
    let options = Options {
        acknowledge: Acknowledge::ByToken,
        receive_maximum: 5,
        ..Pair::persistent_options(Version::V311)
    };
    let mut pair = Pair::new(options).connected();
    for n in 0..20 {
        pair.server.publish("t", &[n], Qos::AtLeastOnce);
    }
    pair.drive();
    assert_eq!(pair.payloads().len(), 5);
    while pair.payloads().len() < 20 {
        let before = pair.payloads().len();
        for token in take_tokens(&mut pair) {
            assert!(pair.agent.acknowledge(0, token, ReasonCode::Success));
        }
        pair.drive();
        assert!(pair.payloads().len() > before);
    }
}

#[test]
fn a_full_outbox_gives_the_message_back_or_drops_the_oldest() {
    let limits = ternmq_agent::OutboxLimits { messages: 2, bytes: 1_000_000 };
    let options = Options { outbox: limits, ..Options::default() };
    let mut pair = Pair::new(options.clone());
    pair.agent.publish(0, Publish::new("t", "1")).unwrap();
    pair.agent.publish(0, Publish::new("t", "2").qos(Qos::AtLeastOnce)).unwrap();
    let third = Publish::new("t", "3");
    let full = PublishError::Full(Box::new(third.clone()));
    assert_eq!(pair.agent.publish(0, third.clone()), Err(full));

    let overflow = ternmq_agent::Overflow::DropOldest;
    let mut pair = Pair::new(Options { overflow, ..options });
    let first = pair.agent.publish(0, Publish::new("t", "1")).unwrap();
    pair.agent.publish(0, Publish::new("t", "2").qos(Qos::AtLeastOnce)).unwrap();
    pair.agent.publish(0, third).unwrap();
    pair.poll();
    assert_eq!(results(&pair), [(first, Err(Lost::Dropped))]);
    let pair = pair.connected();
    let got: Vec<_> = pair.server.received.iter().map(|it| it.payload.clone()).collect();
    assert_eq!(got, [b"2", b"3"]);
}

#[test]
fn what_cannot_be_said_is_an_error_at_once() {
    let mut old = Pair::persistent(Version::V311);
    let with_property = Publish::new("t", "x").property(Property::UserProperty("a", "b"));
    let refused = old.agent.publish(0, with_property).unwrap_err();
    assert_eq!(refused.to_string(), "MQTT 3.1.1 has no properties");
    let refused = old.agent.publish(0, Publish::new("a/+", "x")).unwrap_err();
    assert!(matches!(refused, PublishError::Topic(_)));
    let mut new = Pair::persistent(Version::V5);
    for property in [Property::TopicAlias(1), Property::SubscriptionIdentifier(1)] {
        let refused = new.agent.publish(0, Publish::new("t", "x").property(property));
        assert_eq!(refused, Err(PublishError::PropertyNotOurs(property.id())));
    }
    let wrong = Publish::new("t", "x").property(Property::ReceiveMaximum(1));
    assert!(matches!(new.agent.publish(0, wrong), Err(PublishError::Invalid(_))));
    let refused = new.agent.subscribe(filters(&["a/#/b"]), PropertyBuf::new()).unwrap_err();
    assert!(refused.to_string().starts_with("not a topic filter: 'a/#/b'"), "{refused}");
    assert_eq!(new.agent.unfinished(), 0);
}

fn filters(filters: &[&str]) -> Vec<(String, SubscriptionOptions)> {
    filters.iter().map(|it| ((*it).to_owned(), Qos::AtLeastOnce.into())).collect()
}

/// The tokens of the messages that came, and forgets these messages' tokens.
fn take_tokens(pair: &mut Pair) -> Vec<ternmq_agent::AckToken> {
    let tokens = pair.events.iter_mut().filter_map(|event| match event {
        Event::Message { token, .. } => token.take(),
        _ => None,
    });
    tokens.collect()
}
