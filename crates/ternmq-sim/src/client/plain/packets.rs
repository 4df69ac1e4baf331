//! The packets of the plain client, as bytes.

use ternmq_proto::frame::PacketKind;
use ternmq_proto::packet::{
    Connect, Disconnect, Packet, PublishHead, Subscribe, SubscriptionOptions, Unsubscribe, Will,
    encode_ack, encode_publish,
};
use ternmq_proto::{PacketId, Properties, Property, PropertyBuf, ReasonCode, Version};

use super::books::Step;
use crate::client::{Profile, Wanted};
use crate::history::{self, FilterNo, History, MessageNo, TopicNo};

fn put(out: &mut Vec<u8>, version: Version, packet: &Packet<'_>) {
    packet.encode(version, out).expect("the workload asks only for what the standard allows");
}

/// CONNECT, with the will message that belongs to this connection.
pub fn put_connect(
    out: &mut Vec<u8>,
    profile: &Profile,
    clean_start: bool,
    will: Option<MessageNo>,
    history: &History,
) {
    let has_properties = profile.version.has_properties();
    let mut properties = PropertyBuf::new();
    if has_properties {
        put_terms(&mut properties, profile);
    }
    let body = will.map(|number| history::payload(number, history.message(number)));
    let mut will_properties = PropertyBuf::new();
    let delay = profile.will.map_or(0, |will| will.delay_seconds);
    if has_properties && delay > 0 {
        will_properties.push(Property::WillDelayInterval(delay));
    }
    let will = profile.will.zip(body.as_deref()).map(|(will, payload)| Will {
        qos: will.qos,
        retain: will.retain,
        topic: &history.topics[usize::from(will.topic.0)],
        payload,
        properties: will_properties.as_properties(),
    });
    let connect = Connect {
        version: profile.version,
        clean_start,
        keep_alive: profile.keep_alive_seconds,
        client_id: &profile.id,
        will,
        user_name: None,
        password: None,
        properties: properties.as_properties(),
        bridge: false,
    };
    put(out, profile.version, &Packet::Connect(connect));
}

fn put_terms(properties: &mut PropertyBuf, profile: &Profile) {
    if profile.expiry_seconds > 0 {
        properties.push(Property::SessionExpiryInterval(profile.expiry_seconds));
    }
    if profile.receive_maximum < u16::MAX {
        properties.push(Property::ReceiveMaximum(profile.receive_maximum));
    }
    if let Some(bytes) = profile.packet_bytes_max {
        properties.push(Property::MaximumPacketSize(bytes));
    }
    if profile.alias_maximum > 0 {
        properties.push(Property::TopicAliasMaximum(profile.alias_maximum));
    }
}

/// PUBLISH of a message of the run.
pub fn put_publish(
    out: &mut Vec<u8>,
    version: Version,
    number: MessageNo,
    packet_id: Option<PacketId>,
    dup: bool,
    aliases: Option<(&mut Vec<TopicNo>, u16)>,
    history: &History,
) {
    let message = history.message(number);
    let properties = history::properties(number, message, version);
    let mut topic = history.topics[usize::from(message.topic.0)].as_str();
    let mut extra = PropertyBuf::new();
    if let Some((known, maximum)) = aliases.filter(|_| version.has_properties()) {
        if let Some(index) = known.iter().position(|it| *it == message.topic) {
            extra.push(Property::TopicAlias(index as u16 + 1));
            topic = "";
        } else if known.len() < usize::from(maximum) {
            known.push(message.topic);
            extra.push(Property::TopicAlias(known.len() as u16));
        }
    }
    let head = PublishHead { dup, qos: message.qos, retain: message.retain, packet_id };
    let payload = history::payload(number, message);
    let (extra, properties) = (extra.as_properties(), properties.as_properties());
    encode_publish(out, version, head, topic, extra, properties, &payload);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
pub fn put_step(out: &mut Vec<u8>, version: Version, step: Step) {
    let (kind, id, known) = match step {
        Step::Puback(id) => (PacketKind::Puback, id, true),
        Step::Pubrec(id) => (PacketKind::Pubrec, id, true),
        Step::Pubrel(id, known) => (PacketKind::Pubrel, id, known),
        Step::Pubcomp(id, known) => (PacketKind::Pubcomp, id, known),
    };
    let says = known || !version.has_properties();
    let code = if says { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
    encode_ack(out, version, kind, id, code, Properties::EMPTY);
}

/// SUBSCRIBE to some filters, which have the same identifier.
pub fn put_subscribe(
    out: &mut Vec<u8>,
    version: Version,
    id: PacketId,
    wanted: &[Wanted],
    history: &History,
) {
    let mut properties = PropertyBuf::new();
    let identifier = wanted.first().map_or(0, |it| it.identifier);
    if version.has_properties() && identifier > 0 {
        properties.push(Property::SubscriptionIdentifier(identifier));
    }
    let options = |it: &Wanted| match version {
        Version::V5 => it.options,
        Version::V31 | Version::V311 => SubscriptionOptions::from(it.options.qos),
    };
    let filters: Vec<_> =
        wanted.iter().map(|it| (history.filter(it.filter).text.as_str(), options(it))).collect();
    let subscribe = Subscribe::new(id, properties.as_properties(), &filters);
    put(out, version, &Packet::Subscribe(subscribe));
}

/// UNSUBSCRIBE from one filter.
pub fn put_unsubscribe(
    out: &mut Vec<u8>,
    version: Version,
    id: PacketId,
    filter: FilterNo,
    history: &History,
) {
    let filters = [history.filter(filter).text.as_str()];
    let unsubscribe = Unsubscribe::new(id, Properties::EMPTY, &filters);
    put(out, version, &Packet::Unsubscribe(unsubscribe));
}

/// DISCONNECT.
pub fn put_disconnect(
    out: &mut Vec<u8>,
    version: Version,
    code: ReasonCode,
    expiry_seconds: Option<u32>,
) {
    let mut properties = PropertyBuf::new();
    if let Some(seconds) = expiry_seconds.filter(|_| version.has_properties()) {
        properties.push(Property::SessionExpiryInterval(seconds));
    }
    let code = if version.has_properties() { code } else { ReasonCode::Success };
    let disconnect = Disconnect { code, properties: properties.as_properties() };
    put(out, version, &Packet::Disconnect(disconnect));
}

/// PINGREQ.
pub fn put_pingreq(out: &mut Vec<u8>, version: Version) {
    put(out, version, &Packet::Pingreq);
}

/// Something that no client may send.
pub fn put_nonsense(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(match kind % 4 {
        // Reserved packet type.
        0 => &[0x00, 0x00],
        // PUBREL with the wrong flags.
        1 => &[0x60, 0x02, 0x00, 0x01],
        // A length that never ends.
        2 => &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        // A topic name with a wildcard.
        _ => &[0x30, 0x05, 0x00, 0x03, b'a', b'/', b'#'],
    });
}
