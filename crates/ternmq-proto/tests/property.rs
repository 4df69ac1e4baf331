//! Property sections: building, reading, passing on.

use proptest::collection::vec;
use proptest::prelude::*;
use ternmq_proto::{Properties, Property, PropertyBuf};

/// One of each, with a value that is not the default.
const ALL: [Property<'_>; 27] = [
    Property::PayloadFormatIndicator(1),
    Property::MessageExpiryInterval(70_000),
    Property::ContentType("text/plain"),
    Property::ResponseTopic("re/1"),
    Property::CorrelationData(&[0, 255]),
    Property::SubscriptionIdentifier(268_435_455),
    Property::SessionExpiryInterval(u32::MAX),
    Property::AssignedClientIdentifier("auto-1"),
    Property::ServerKeepAlive(30),
    Property::AuthenticationMethod("SCRAM-SHA-256"),
    Property::AuthenticationData(&[1, 2, 3]),
    Property::RequestProblemInformation(true),
    Property::WillDelayInterval(5),
    Property::RequestResponseInformation(true),
    Property::ResponseInformation("re/"),
    Property::ServerReference("other:1883"),
    Property::ReasonString("because"),
    Property::ReceiveMaximum(20),
    Property::TopicAliasMaximum(10),
    Property::TopicAlias(3),
    Property::MaximumQos(1),
    Property::RetainAvailable(true),
    Property::UserProperty("name", "value"),
    Property::MaximumPacketSize(65_536),
    Property::WildcardSubscriptionAvailable(true),
    Property::SubscriptionIdentifiersAvailable(true),
    Property::SharedSubscriptionAvailable(true),
];

fn built(properties: &[Property<'_>]) -> PropertyBuf {
    let mut buf = PropertyBuf::new();
    for property in properties {
        buf.push(*property);
    }
    buf
}

#[test]
fn what_is_pushed_can_be_read_in_its_order() {
    let buf = built(&ALL);
    assert!(buf.as_properties().iter().eq(ALL));
    assert!(buf.as_properties().into_iter().map(|it| it.id()).is_sorted());
}

#[test]
fn every_property_has_its_getter() {
    let buf = built(&ALL);
    let all = buf.as_properties();
    assert_eq!(all.payload_format_indicator(), Some(1));
    assert_eq!(all.message_expiry_interval(), Some(70_000));
    assert_eq!(all.content_type(), Some("text/plain"));
    assert_eq!(all.response_topic(), Some("re/1"));
    assert_eq!(all.correlation_data(), Some(&[0, 255][..]));
    assert!(all.subscription_identifiers().eq([268_435_455]));
    assert_eq!(all.session_expiry_interval(), Some(u32::MAX));
    assert_eq!(all.assigned_client_identifier(), Some("auto-1"));
    assert_eq!(all.server_keep_alive(), Some(30));
    assert_eq!(all.authentication_method(), Some("SCRAM-SHA-256"));
    assert_eq!(all.authentication_data(), Some(&[1, 2, 3][..]));
    assert_eq!(all.request_problem_information(), Some(true));
    assert_eq!(all.will_delay_interval(), Some(5));
    assert_eq!(all.request_response_information(), Some(true));
    assert_eq!(all.response_information(), Some("re/"));
    assert_eq!(all.server_reference(), Some("other:1883"));
    assert_eq!(all.reason_string(), Some("because"));
    assert_eq!(all.receive_maximum(), Some(20));
    assert_eq!(all.topic_alias_maximum(), Some(10));
    assert_eq!(all.topic_alias(), Some(3));
    assert_eq!(all.maximum_qos(), Some(1));
    assert_eq!(all.retain_available(), Some(true));
    assert!(all.user_properties().eq([("name", "value")]));
    assert_eq!(all.maximum_packet_size(), Some(65_536));
    assert_eq!(all.wildcard_subscription_available(), Some(true));
    assert_eq!(all.subscription_identifiers_available(), Some(true));
    assert_eq!(all.shared_subscription_available(), Some(true));
}

#[test]
fn what_is_not_there_is_none() {
    let none = Properties::EMPTY;
    assert_eq!((none.iter().count(), none.user_properties().count()), (0, 0));
    assert_eq!(none.subscription_identifiers().count(), 0);
    let numbers = [
        none.payload_format_indicator().map(u32::from),
        none.message_expiry_interval(),
        none.session_expiry_interval(),
        none.server_keep_alive().map(u32::from),
        none.request_problem_information().map(u32::from),
        none.will_delay_interval(),
        none.request_response_information().map(u32::from),
        none.receive_maximum().map(u32::from),
        none.topic_alias_maximum().map(u32::from),
        none.topic_alias().map(u32::from),
        none.maximum_qos().map(u32::from),
        none.retain_available().map(u32::from),
        none.maximum_packet_size(),
        none.wildcard_subscription_available().map(u32::from),
        none.subscription_identifiers_available().map(u32::from),
        none.shared_subscription_available().map(u32::from),
    ];
    assert_eq!(numbers, [None; 16]);
    let texts = [
        none.content_type(),
        none.response_topic(),
        none.assigned_client_identifier(),
        none.authentication_method(),
        none.response_information(),
        none.server_reference(),
        none.reason_string(),
    ];
    assert_eq!(texts, [None; 7]);
    assert_eq!([none.correlation_data(), none.authentication_data()], [None; 2]);
    assert!(none.is_empty() && PropertyBuf::new().is_empty());
}

#[test]
fn flags_can_be_false() {
    let buf = built(&[Property::RequestProblemInformation(false)]);
    assert_eq!(buf.as_properties().request_problem_information(), Some(false));
    assert_eq!(buf.as_properties().as_bytes(), [0x17, 0]);
}

#[test]
fn user_properties_keep_their_order_and_may_repeat() {
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", "")];
    let mut buf = built(&pairs.map(|(name, value)| Property::UserProperty(name, value)));
    assert!(buf.as_properties().user_properties().eq(pairs));
    buf.clear();
    assert!(buf.is_empty());
}

#[test]
fn a_section_can_be_passed_on_whole_or_in_part() {
    let buf = built(&ALL);
    let mut copy = PropertyBuf::new();
    copy.extend(buf.as_properties());
    assert_eq!((&copy, copy.len()), (&buf, buf.len()));

    let mut part = PropertyBuf::new();
    part.extend_filtered(buf.as_properties(), |it| !matches!(it, Property::TopicAlias(_)));
    assert_eq!(part.as_properties().topic_alias(), None);
    assert_eq!(part.as_properties().iter().count(), 26);
}

#[test]
fn bytes_can_be_kept_and_trusted_later() {
    let buf = built(&ALL);
    let kept = buf.as_properties().as_bytes().to_vec();
    assert_eq!(Properties::from_trusted_bytes(&kept), buf.as_properties());
}

proptest! {
    #[test]
    fn reading_garbage_ends(bytes in vec(any::<u8>(), 0..100)) {
        let garbage = Properties::from_trusted_bytes(&bytes);
        prop_assert!(garbage.iter().count() <= bytes.len());
        prop_assert!(garbage.user_properties().count() <= bytes.len());
        garbage.reason_string();
        garbage.topic_alias();
    }
}
