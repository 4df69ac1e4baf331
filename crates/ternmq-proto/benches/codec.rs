//! What one packet costs: `cargo bench -p ternmq-proto`.
//!
//! Each sample handles a batch of packets that lie one after the other in a buffer, as a socket
//! gives them, so a time here is that of a thousand packets. Topic of 24 bytes, payload of 64.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ternmq_proto::frame;
use ternmq_proto::packet::{Ack, Publish, PublishHead, encode_ack, encode_publish};
use ternmq_proto::{Packet, PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

const BATCH: usize = 1_000;
const TOPIC: &str = "plant/7/line/12/sensor/3";
const PAYLOAD: [u8; 64] = [b'x'; 64];

/// The kinds of PUBLISH that are measured.
const KINDS: [Kind; 6] = [
    Kind { version: Version::V311, qos: Qos::AtMostOnce, properties: false },
    Kind { version: Version::V311, qos: Qos::AtLeastOnce, properties: false },
    Kind { version: Version::V5, qos: Qos::AtMostOnce, properties: false },
    Kind { version: Version::V5, qos: Qos::AtLeastOnce, properties: false },
    Kind { version: Version::V5, qos: Qos::AtMostOnce, properties: true },
    Kind { version: Version::V5, qos: Qos::AtLeastOnce, properties: true },
];

#[derive(Clone, Copy)]
struct Kind {
    version: Version,
    qos: Qos,
    properties: bool,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let properties = if self.properties { ", properties" } else { "" };
        write!(f, "{}, {}{properties}", self.version, self.qos)
    }
}

impl Kind {
    fn head(self) -> PublishHead {
        let packet_id = PacketId::new(1_883).filter(|_| self.qos != Qos::AtMostOnce);
        PublishHead { dup: false, qos: self.qos, retain: false, packet_id }
    }

    /// An expiry, a content type and two user properties; or none.
    fn section(self) -> PropertyBuf {
        let mut section = PropertyBuf::new();
        if self.properties {
            section
                .push(Property::MessageExpiryInterval(3_600))
                .push(Property::ContentType("application/json"))
                .push(Property::UserProperty("trace", "4bf92f3577b34da6"))
                .push(Property::UserProperty("unit", "kelvin"));
        }
        section
    }

    fn encode(self, properties: Properties<'_>, out: &mut Vec<u8>) {
        let none = Properties::EMPTY;
        encode_publish(out, self.version, self.head(), TOPIC, none, properties, &PAYLOAD);
    }

    fn stream(self) -> Vec<u8> {
        let section = self.section();
        let mut stream = Vec::new();
        for _ in 0..BATCH {
            self.encode(section.as_properties(), &mut stream);
        }
        stream
    }
}

fn main() {
    divan::main();
}

/// Uses what routing uses.
fn look_at(publish: &Publish<'_>) {
    black_box((publish.qos, publish.topic, publish.packet_id, publish.payload));
}

#[divan::bench(args = KINDS)]
fn decode_publish(bencher: Bencher<'_, '_>, kind: Kind) {
    let stream = kind.stream();
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        let mut rest = black_box(&stream[..]);
        while let Ok(Some((length, frame))) = frame::split(rest, 65_536) {
            if let Ok(publish) = Publish::decode(kind.version, frame) {
                look_at(&publish);
            }
            rest = &rest[length..];
        }
    });
}

#[divan::bench(args = KINDS)]
fn decode_any_packet(bencher: Bencher<'_, '_>, kind: Kind) {
    let stream = kind.stream();
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        let mut rest = black_box(&stream[..]);
        while let Ok(Some((length, frame))) = frame::split(rest, 65_536) {
            if let Ok(Packet::Publish(publish)) = Packet::decode(kind.version, frame) {
                look_at(&publish);
            }
            rest = &rest[length..];
        }
    });
}

#[divan::bench(args = KINDS)]
fn encode_publish_trusted(bencher: Bencher<'_, '_>, kind: Kind) {
    let section = kind.section();
    let mut out = Vec::with_capacity(BATCH * 256);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        out.clear();
        for _ in 0..BATCH {
            kind.encode(black_box(section.as_properties()), &mut out);
        }
        black_box(&out);
    });
}

#[divan::bench(args = KINDS)]
fn encode_publish_checked(bencher: Bencher<'_, '_>, kind: Kind) {
    let section = kind.section();
    let head = kind.head();
    let publish = Publish {
        dup: head.dup,
        qos: head.qos,
        retain: head.retain,
        topic: TOPIC,
        packet_id: head.packet_id,
        properties: section.as_properties(),
        payload: &PAYLOAD,
    };
    let mut out = Vec::with_capacity(BATCH * 256);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        out.clear();
        for _ in 0..BATCH {
            let _ = black_box(publish).encode_into(kind.version, &mut out);
        }
        black_box(&out);
    });
}

#[divan::bench(args = [Version::V311, Version::V5])]
fn decode_puback(bencher: Bencher<'_, '_>, version: Version) {
    let stream = [0x40, 2, 7, 0x5B].repeat(BATCH);
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        let mut rest = black_box(&stream[..]);
        while let Ok(Some((length, frame))) = frame::split(rest, 65_536) {
            if let Ok(ack) = Ack::decode(version, frame) {
                black_box((ack.packet_id, ack.code));
            }
            rest = &rest[length..];
        }
    });
}

#[divan::bench(args = [Version::V311, Version::V5])]
fn encode_puback(bencher: Bencher<'_, '_>, version: Version) {
    let mut out = Vec::with_capacity(BATCH * 8);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        out.clear();
        for id in 1..=BATCH as u16 {
            let id = PacketId::new(id).expect("not 0");
            let (kind, code) = (frame::PacketKind::Puback, ReasonCode::Success);
            encode_ack(&mut out, version, kind, id, code, Properties::EMPTY);
        }
        black_box(&out);
    });
}
