//! Arbitrary valid packets of each version.
//!
//! The rules are written down here a second time, packet by packet, so that a mistake in the
//! library's tables shows. Packets borrow, so what is generated owns its parts and lends a packet.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use ternmq_proto::frame::PacketKind;
use ternmq_proto::packet::*;
use ternmq_proto::{Packet, PacketId, Property, PropertyBuf, Qos, ReasonCode, Version};

/// A packet that owns its parts.
#[derive(Clone, Debug)]
pub enum Owned {
    Connect(Box<OwnedConnect>),
    Connack(bool, ReasonCode, PropertyBuf),
    Publish(PublishHead, String, PropertyBuf, Vec<u8>),
    Ack(PacketKind, PacketId, ReasonCode, PropertyBuf),
    Subscribe(PacketId, PropertyBuf, Vec<(String, SubscriptionOptions)>),
    Suback(PacketId, PropertyBuf, Vec<u8>),
    Unsubscribe(PacketId, PropertyBuf, Vec<String>),
    Unsuback(PacketId, PropertyBuf, Vec<u8>),
    Pingreq,
    Pingresp,
    Disconnect(ReasonCode, PropertyBuf),
    Auth(ReasonCode, PropertyBuf),
}

#[derive(Clone, Debug)]
pub struct OwnedConnect {
    version: Version,
    clean_start: bool,
    keep_alive: u16,
    client_id: String,
    will: Option<OwnedWill>,
    user_name: Option<String>,
    password: Option<Vec<u8>>,
    properties: PropertyBuf,
    bridge: bool,
}

#[derive(Clone, Debug)]
struct OwnedWill {
    qos: Qos,
    retain: bool,
    topic: String,
    payload: Vec<u8>,
    properties: PropertyBuf,
}

impl Owned {
    /// Lends the packet to `look`.
    pub fn with<R>(&self, look: impl FnOnce(Packet<'_>) -> R) -> R {
        match self {
            Owned::Connect(it) => look(Packet::Connect(it.lend())),
            Owned::Connack(session_present, code, properties) => look(Packet::Connack(Connack {
                session_present: *session_present,
                code: *code,
                properties: properties.as_properties(),
            })),
            Owned::Publish(head, topic, properties, payload) => look(Packet::Publish(Publish {
                dup: head.dup,
                qos: head.qos,
                retain: head.retain,
                topic,
                packet_id: head.packet_id,
                properties: properties.as_properties(),
                payload,
            })),
            Owned::Ack(kind, id, code, properties) => {
                let ack =
                    Ack { packet_id: *id, code: *code, properties: properties.as_properties() };
                look(match kind {
                    PacketKind::Puback => Packet::Puback(ack),
                    PacketKind::Pubrec => Packet::Pubrec(ack),
                    PacketKind::Pubrel => Packet::Pubrel(ack),
                    _ => Packet::Pubcomp(ack),
                })
            }
            Owned::Subscribe(id, properties, filters) => {
                let filters: Vec<_> = filters.iter().map(|it| (it.0.as_str(), it.1)).collect();
                let properties = properties.as_properties();
                look(Packet::Subscribe(Subscribe::new(*id, properties, &filters)))
            }
            Owned::Unsubscribe(id, properties, filters) => {
                let filters: Vec<_> = filters.iter().map(String::as_str).collect();
                let properties = properties.as_properties();
                look(Packet::Unsubscribe(Unsubscribe::new(*id, properties, &filters)))
            }
            Owned::Suback(id, properties, codes) => {
                let properties = properties.as_properties();
                look(Packet::Suback(Suback { packet_id: *id, properties, codes }))
            }
            Owned::Unsuback(id, properties, codes) => {
                let properties = properties.as_properties();
                look(Packet::Unsuback(Unsuback { packet_id: *id, properties, codes }))
            }
            Owned::Pingreq => look(Packet::Pingreq),
            Owned::Pingresp => look(Packet::Pingresp),
            Owned::Disconnect(code, properties) => {
                let properties = properties.as_properties();
                look(Packet::Disconnect(Disconnect { code: *code, properties }))
            }
            Owned::Auth(code, properties) => {
                let properties = properties.as_properties();
                look(Packet::Auth(Auth { code: *code, properties }))
            }
        }
    }

    /// The packet on the wire.
    pub fn encoded(&self, version: Version) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.with(|packet| packet.encode(version, &mut bytes)).expect("a valid packet");
        bytes
    }
}

impl OwnedConnect {
    fn lend(&self) -> Connect<'_> {
        Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will: self.will.as_ref().map(|will| Will {
                qos: will.qos,
                retain: will.retain,
                topic: &will.topic,
                payload: &will.payload,
                properties: will.properties.as_properties(),
            }),
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            properties: self.properties.as_properties(),
            bridge: self.bridge,
        }
    }
}

/// Any version.
pub fn version() -> impl Strategy<Value = Version> {
    select(vec![Version::V31, Version::V311, Version::V5])
}

/// Any valid packet with the version it is written in.
pub fn versioned_packet() -> impl Strategy<Value = (Version, Owned)> {
    version().prop_flat_map(|version| (Just(version), packet(version)))
}

/// Any valid packet of `version`; all kinds are equally frequent.
pub fn packet(version: Version) -> BoxedStrategy<Owned> {
    let fixed = select(vec![Owned::Pingreq, Owned::Pingresp]);
    let old = prop_oneof![
        connect(version),
        connack(version),
        publish(version),
        ack(version, PacketKind::Puback),
        ack(version, PacketKind::Pubrec),
        ack(version, PacketKind::Pubrel),
        ack(version, PacketKind::Pubcomp),
        subscribe(version),
        answers(version),
        unsubscribe(version),
        disconnect(version),
        fixed,
    ];
    if version == Version::V5 { prop_oneof![12 => old, 1 => auth()].boxed() } else { old.boxed() }
}

fn connect(version: Version) -> BoxedStrategy<Owned> {
    let will = (qos(), any::<bool>(), topic_name(), bytes(), properties(version, Place::Will))
        .prop_map(|(qos, retain, topic, payload, properties)| OwnedWill {
            qos,
            retain,
            topic,
            payload,
            properties,
        });
    let head = (any::<bool>(), any::<u16>(), text(), any::<bool>());
    let body = (option::of(will), option::of(text()), option::of(bytes()));
    (head, body, properties(version, Place::Packet(PacketKind::Connect)))
        .prop_map(move |(head, (will, user_name, password), properties)| {
            let (clean_start, keep_alive, client_id, bridge) = head;
            let may_have_password = user_name.is_some() || version == Version::V5;
            Owned::Connect(Box::new(OwnedConnect {
                version,
                clean_start,
                keep_alive,
                client_id,
                will,
                password: password.filter(|_| may_have_password),
                user_name,
                properties,
                bridge: bridge && version != Version::V5,
            }))
        })
        .boxed()
}

fn connack(version: Version) -> BoxedStrategy<Owned> {
    let codes: &[u8] = match version {
        Version::V5 => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
        _ => &[0x00, 0x84, 0x85, 0x86, 0x87, 0x88],
    };
    let properties = properties(version, Place::Packet(PacketKind::Connack));
    (any::<bool>(), code(codes), properties)
        .prop_map(move |(present, code, properties)| {
            let present = present && code == ReasonCode::Success && version != Version::V31;
            Owned::Connack(present, code, properties)
        })
        .boxed()
}

fn publish(version: Version) -> BoxedStrategy<Owned> {
    let properties = properties(version, Place::Packet(PacketKind::Publish));
    let flags = (qos(), any::<bool>(), any::<bool>(), packet_id());
    (flags, topic_name(), any::<bool>(), properties, bytes())
        .prop_map(|((qos, dup, retain, id), topic, named, properties, payload)| {
            let acknowledged = qos != Qos::AtMostOnce;
            let head = PublishHead {
                dup: dup && acknowledged,
                qos,
                retain,
                packet_id: Some(id).filter(|_| acknowledged),
            };
            let aliased = properties.as_properties().topic_alias().is_some();
            let topic = if named || !aliased { topic } else { String::new() };
            Owned::Publish(head, topic, properties, payload)
        })
        .boxed()
}

fn ack(version: Version, kind: PacketKind) -> BoxedStrategy<Owned> {
    let codes: &[u8] = match (version, kind) {
        (Version::V31 | Version::V311, _) => &[0],
        (_, PacketKind::Puback | PacketKind::Pubrec) => {
            &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
        }
        _ => &[0x00, 0x92],
    };
    (packet_id(), code(codes), properties(version, Place::Packet(kind)))
        .prop_map(move |(id, code, properties)| Owned::Ack(kind, id, code, properties))
        .boxed()
}

fn subscribe(version: Version) -> BoxedStrategy<Owned> {
    let handling =
        select(vec![RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]);
    let options = (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| match version {
            Version::V5 => {
                SubscriptionOptions { qos, no_local, retain_as_published, retain_handling }
            }
            _ => qos.into(),
        },
    );
    let filter = (filter(), options).prop_map(|(filter, mut options)| {
        options.no_local &= !filter.starts_with("$share/");
        (filter, options)
    });
    let properties = properties(version, Place::Packet(PacketKind::Subscribe));
    (packet_id(), properties, vec(filter, 1..6))
        .prop_map(|(id, properties, filters)| Owned::Subscribe(id, properties, filters))
        .boxed()
}

fn unsubscribe(version: Version) -> BoxedStrategy<Owned> {
    let properties = properties(version, Place::Packet(PacketKind::Unsubscribe));
    (packet_id(), properties, vec(filter(), 1..6))
        .prop_map(|(id, properties, filters)| Owned::Unsubscribe(id, properties, filters))
        .boxed()
}

/// SUBACK and UNSUBACK.
fn answers(version: Version) -> BoxedStrategy<Owned> {
    let granted: Vec<u8> = match version {
        Version::V5 => {
            vec![0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]
        }
        _ => vec![0x00, 0x01, 0x02, 0x80],
    };
    let removed = match version {
        Version::V5 => vec(select(vec![0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]), 1..6).boxed(),
        _ => Just(Vec::new()).boxed(),
    };
    let suback = (
        packet_id(),
        properties(version, Place::Packet(PacketKind::Suback)),
        vec(select(granted), 1..6),
    )
        .prop_map(|(id, properties, codes)| Owned::Suback(id, properties, codes));
    let unsuback = (packet_id(), properties(version, Place::Packet(PacketKind::Unsuback)), removed)
        .prop_map(|(id, properties, codes)| Owned::Unsuback(id, properties, codes));
    prop_oneof![suback, unsuback].boxed()
}

fn disconnect(version: Version) -> BoxedStrategy<Owned> {
    let codes: &[u8] = match version {
        Version::V5 => &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93,
            0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1,
            0xA2,
        ],
        _ => &[0],
    };
    (code(codes), properties(version, Place::Packet(PacketKind::Disconnect)))
        .prop_map(|(code, properties)| Owned::Disconnect(code, properties))
        .boxed()
}

fn auth() -> BoxedStrategy<Owned> {
    let properties = properties(Version::V5, Place::Packet(PacketKind::Auth));
    (code(&[0x00, 0x18, 0x19]), properties, text())
        .prop_map(|(code, mut properties, method)| {
            if properties.as_properties().authentication_method().is_none() {
                properties.push(Property::AuthenticationMethod(&method));
            }
            Owned::Auth(code, properties)
        })
        .boxed()
}

/// Where a property section stands.
#[derive(Clone, Copy)]
enum Place {
    Packet(PacketKind),
    Will,
}

/// A property that owns its value.
#[derive(Clone, Debug)]
enum OwnedProperty {
    Number(u8, u32),
    Text(u8, String),
    Binary(u8, Vec<u8>),
    Pair(String, String),
}

/// Any valid section: each property of the packet at most once, in any order, and user properties
/// (in PUBLISH also subscription identifiers) in any number.
fn properties(version: Version, place: Place) -> BoxedStrategy<PropertyBuf> {
    if version != Version::V5 {
        return Just(PropertyBuf::new()).boxed();
    }
    let once: Vec<u8> = match place {
        Place::Will => vec![0x01, 0x02, 0x03, 0x08, 0x09, 0x18],
        Place::Packet(kind) => match kind {
            PacketKind::Connect => vec![0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x27],
            PacketKind::Connack => vec![
                0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x27, 0x28,
                0x29, 0x2A,
            ],
            PacketKind::Publish => vec![0x01, 0x02, 0x03, 0x08, 0x09, 0x23],
            PacketKind::Subscribe => vec![0x0B],
            PacketKind::Unsubscribe => vec![],
            PacketKind::Disconnect => vec![0x11, 0x1C, 0x1F],
            PacketKind::Auth => vec![0x15, 0x16, 0x1F],
            _ => vec![0x1F],
        },
    };
    let often = match place {
        Place::Packet(PacketKind::Publish) => prop_oneof![pair(), value(0x0B)].boxed(),
        _ => pair().boxed(),
    };
    let count = once.len();
    let once = subsequence(once, 0..=count)
        .prop_map(|ids| ids.into_iter().map(value).collect::<Vec<_>>())
        .prop_flat_map(|values| values);
    let some = (once, vec(often, 0..4))
        .prop_map(|(mut once, often)| {
            // Data without a method is refused, except in CONNACK.
            let method = |it: &OwnedProperty| matches!(it, OwnedProperty::Text(0x15, _));
            if !once.iter().any(method) {
                once.retain(|it| !matches!(it, OwnedProperty::Binary(0x16, _)));
            }
            once.extend(often);
            once
        })
        .prop_shuffle()
        .prop_map(|list| build(&list));
    prop_oneof![1 => Just(PropertyBuf::new()), 3 => some].boxed()
}

fn pair() -> BoxedStrategy<OwnedProperty> {
    (text(), text()).prop_map(|(name, value)| OwnedProperty::Pair(name, value)).boxed()
}

fn value(id: u8) -> BoxedStrategy<OwnedProperty> {
    let number = match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => (0..=1u32).boxed(),
        0x02 | 0x11 | 0x18 => any::<u32>().boxed(),
        0x27 => (1..=u32::MAX).boxed(),
        0x0B => prop_oneof![1..=127u32, 128..=268_435_455u32].boxed(),
        0x21 | 0x23 => (1..=65_535u32).boxed(),
        0x13 | 0x22 => (0..=65_535u32).boxed(),
        0x09 | 0x16 => {
            return bytes().prop_map(move |value| OwnedProperty::Binary(id, value)).boxed();
        }
        0x08 => return topic_name().prop_map(move |value| OwnedProperty::Text(id, value)).boxed(),
        _ => return text().prop_map(move |value| OwnedProperty::Text(id, value)).boxed(),
    };
    number.prop_map(move |value| OwnedProperty::Number(id, value)).boxed()
}

fn build(list: &[OwnedProperty]) -> PropertyBuf {
    let mut buf = PropertyBuf::new();
    for property in list {
        match property {
            OwnedProperty::Number(id, number) => buf.push(numeric(*id, *number)),
            OwnedProperty::Text(id, text) => buf.push(textual(*id, text)),
            OwnedProperty::Binary(0x09, data) => buf.push(Property::CorrelationData(data)),
            OwnedProperty::Binary(_, data) => buf.push(Property::AuthenticationData(data)),
            OwnedProperty::Pair(name, value) => buf.push(Property::UserProperty(name, value)),
        };
    }
    buf
}

fn numeric(id: u8, number: u32) -> Property<'static> {
    match id {
        0x01 => Property::PayloadFormatIndicator(number as u8),
        0x02 => Property::MessageExpiryInterval(number),
        0x0B => Property::SubscriptionIdentifier(number),
        0x11 => Property::SessionExpiryInterval(number),
        0x13 => Property::ServerKeepAlive(number as u16),
        0x17 => Property::RequestProblemInformation(number == 1),
        0x18 => Property::WillDelayInterval(number),
        0x19 => Property::RequestResponseInformation(number == 1),
        0x21 => Property::ReceiveMaximum(number as u16),
        0x22 => Property::TopicAliasMaximum(number as u16),
        0x23 => Property::TopicAlias(number as u16),
        0x24 => Property::MaximumQos(number as u8),
        0x25 => Property::RetainAvailable(number == 1),
        0x27 => Property::MaximumPacketSize(number),
        0x28 => Property::WildcardSubscriptionAvailable(number == 1),
        0x29 => Property::SubscriptionIdentifiersAvailable(number == 1),
        _ => Property::SharedSubscriptionAvailable(number == 1),
    }
}

fn textual(id: u8, text: &str) -> Property<'_> {
    match id {
        0x03 => Property::ContentType(text),
        0x08 => Property::ResponseTopic(text),
        0x12 => Property::AssignedClientIdentifier(text),
        0x15 => Property::AuthenticationMethod(text),
        0x1A => Property::ResponseInformation(text),
        0x1C => Property::ServerReference(text),
        _ => Property::ReasonString(text),
    }
}

/// Text of all kinds of characters, now and then as long as a string can be.
pub fn text() -> BoxedStrategy<String> {
    let short = vec(any::<char>(), 0..24)
        .prop_map(|chars| chars.into_iter().filter(|it| *it != '\0').collect());
    let ascii = "[ -~]{0,24}";
    prop_oneof![
        20 => ascii,
        20 => short,
        1 => Just("\u{FEFF}with a byte order mark".to_string()),
        1 => (0..=2usize).prop_map(|less| "x".repeat(65_535 - less)),
    ]
    .boxed()
}

/// A topic name of up to five levels, some of them empty.
pub fn topic_name() -> BoxedStrategy<String> {
    let level = prop_oneof!["[a-z0-9$ ]{0,8}", text().prop_filter("short", |it| it.len() < 99)];
    vec(level, 1..6)
        .prop_map(|levels| levels.join("/").replace(['+', '#'], "?"))
        .prop_filter("a topic has a character", |topic| !topic.is_empty())
        .boxed()
}

/// What may stand in a SUBSCRIBE; not always a topic filter that parses.
fn filter() -> BoxedStrategy<String> {
    let wild = vec(select(vec!["+", "#", "a", "", "$SYS", "long level"]), 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a filter has a character", |filter| !filter.is_empty());
    let shared = wild.clone().prop_map(|filter| format!("$share/group/{filter}"));
    prop_oneof![wild, shared, topic_name()].boxed()
}

fn bytes() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![20 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 16_000..20_000)].boxed()
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|number| PacketId::new(number).expect("not 0"))
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn code(bytes: &[u8]) -> impl Strategy<Value = ReasonCode> + use<> {
    let codes: Vec<_> = bytes
        .iter()
        .map(|&byte| ReasonCode::from_byte(byte).expect("a code of the standard"))
        .collect();
    select(codes)
}
