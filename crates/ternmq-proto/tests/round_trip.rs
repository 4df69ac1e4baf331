//! Every valid packet of every version comes back as it went out, and whatever comes in either is a
//! packet that can be written again or gets a reason. The arbitrary packets are in `generate`.

mod generate;

use generate::{Owned, packet, version, versioned_packet};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use ternmq_proto::frame::{self, Frame, PACKET_BYTES_MAX};
use ternmq_proto::packet::{Publish, PublishHead, encode_ack, encode_publish};
use ternmq_proto::{Packet, Properties, Version};

fn whole(bytes: &[u8]) -> Frame<'_> {
    let (length, frame) =
        frame::split(bytes, PACKET_BYTES_MAX).expect("a valid header").expect("a whole packet");
    assert_eq!(length, bytes.len());
    frame
}

/// What decodes can be encoded, and then decodes to the same.
fn decode_and_back(version: Version, frame: Frame<'_>) {
    let Ok(packet) = Packet::decode(version, frame) else { return };
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("what was decoded is valid");
    assert_eq!(Packet::decode(version, whole(&bytes)), Ok(packet));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn packets_come_back_as_they_went_out((version, owned) in versioned_packet()) {
        let bytes = owned.encoded(version);
        let decoded = Packet::decode(version, whole(&bytes)).expect("a valid packet");
        owned.with(|packet| assert_eq!(decoded, packet));
        let mut again = b"before".to_vec();
        decoded.encode(version, &mut again).expect("what was decoded is valid");
        prop_assert_eq!(&again[6..], &bytes[..]);
    }

    #[test]
    fn the_fast_paths_write_the_same_bytes((version, owned) in versioned_packet()) {
        let bytes = owned.encoded(version);
        let mut fast = Vec::new();
        let none = Properties::EMPTY;
        let written = owned.with(|packet| match packet {
            Packet::Publish(it) => {
                let head = PublishHead {
                    dup: it.dup, qos: it.qos, retain: it.retain, packet_id: it.packet_id,
                };
                encode_publish(
                    &mut fast, version, head, it.topic, it.properties, none, it.payload,
                );
                assert_eq!(it.encoded_len(version), bytes.len());
                true
            }
            Packet::Puback(it) | Packet::Pubrec(it) | Packet::Pubrel(it) | Packet::Pubcomp(it) => {
                encode_ack(&mut fast, version, packet.kind(), it.packet_id, it.code, it.properties);
                true
            }
            _ => false,
        });
        prop_assert!(!written || fast == bytes);
    }

    #[test]
    fn a_property_section_may_come_in_two_parts(owned in packet(Version::V5), cut: Index) {
        let Owned::Publish(head, topic, properties, payload) = owned else { return Ok(()) };
        let all: Vec<_> = properties.as_properties().iter().collect();
        let cut = cut.index(all.len() + 1);
        let parts = [&all[..cut], &all[cut..]].map(|part| {
            let mut buf = ternmq_proto::PropertyBuf::new();
            for property in part {
                buf.push(*property);
            }
            buf
        });
        let [extra, rest] = &parts;
        let mut bytes = Vec::new();
        let (extra, rest) = (extra.as_properties(), rest.as_properties());
        encode_publish(&mut bytes, Version::V5, head, &topic, extra, rest, &payload);
        let decoded = Publish::decode(Version::V5, whole(&bytes)).expect("a valid packet");
        prop_assert_eq!(decoded.properties, properties.as_properties());
    }

    #[test]
    fn a_packet_cut_short_asks_for_more((version, owned) in versioned_packet(), at: Index) {
        let bytes = owned.encoded(version);
        prop_assert_eq!(frame::split(&bytes[..at.index(bytes.len())], PACKET_BYTES_MAX), Ok(None));
    }

    #[test]
    fn changed_packets_are_packets_or_violations(
        (version, owned) in versioned_packet(),
        read_as in version(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = owned.encoded(version);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Some((_, frame))) = frame::split(&bytes, PACKET_BYTES_MAX) {
            decode_and_back(read_as, frame);
        }
    }

    #[test]
    fn arbitrary_bytes_are_packets_or_violations(
        version in version(),
        first_byte: u8,
        body in vec(any::<u8>(), 0..64),
    ) {
        decode_and_back(version, Frame { first_byte, body: &body });
    }

    #[test]
    fn arbitrary_streams_end_in_an_error_or_ask_for_more(stream in vec(any::<u8>(), 0..300)) {
        let mut rest = &stream[..];
        while let Ok(Some((length, frame))) = frame::split(rest, 100) {
            prop_assert!((2..=100).contains(&length));
            prop_assert!(frame.body.len() < length);
            rest = &rest[length..];
        }
    }

    #[test]
    fn packets_may_arrive_in_any_pieces(
        packets in vec(versioned_packet(), 1..6),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let encoded: Vec<_> = packets.iter().map(|(version, it)| it.encoded(*version)).collect();
        let stream = encoded.concat();
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();

        let (mut buffered, mut arrived, mut frames) = (Vec::new(), 0, Vec::new());
        for end in ends {
            buffered.extend_from_slice(&stream[arrived..end]);
            arrived = end;
            while let Some((length, _)) = frame::split(&buffered, PACKET_BYTES_MAX).unwrap() {
                frames.push(buffered.drain(..length).collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(frames, encoded);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_body_cut_short_at_any_byte_is_a_packet_or_a_violation(
        (version, owned) in versioned_packet()
    ) {
        let bytes = owned.encoded(version);
        let frame = whole(&bytes);
        let ends = (0..frame.body.len()).filter(|end| *end < 600 || end % 97 == 0);
        for end in ends {
            decode_and_back(version, Frame { body: &frame.body[..end], ..frame });
        }
    }
}
