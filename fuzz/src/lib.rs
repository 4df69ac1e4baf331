//! What the targets share: taking a plan out of the fuzzer's bytes, and what must hold of any
//! packet. The targets themselves are in `fuzz_targets`.

use ternmq_proto::frame::{self, Frame, PACKET_BYTES_MAX};
use ternmq_proto::{Packet, Version};

/// The version that the first byte of an input chooses.
pub fn version(byte: u8) -> Version {
    match byte % 3 {
        0 => Version::V31,
        1 => Version::V311,
        _ => Version::V5,
    }
}

/// What decodes can be encoded, decodes to the same again, and is then encoded to the same bytes.
pub fn check_decoded(version: Version, frame: Frame<'_>) {
    let Ok(packet) = Packet::decode(version, frame) else { return };
    read_lazily(&packet);
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("what was decoded is valid");
    let (length, again) = frame::split(&bytes, PACKET_BYTES_MAX)
        .expect("an encoded header is valid")
        .expect("an encoded packet is whole");
    assert_eq!(length, bytes.len());
    let decoded = Packet::decode(version, again).expect("what was encoded is valid");
    assert_eq!(decoded, packet);
    let mut twice = Vec::new();
    decoded.encode(version, &mut twice).expect("what was decoded is valid");
    assert_eq!(twice, bytes);
}

/// Walks through what decoding only checked: nothing of it may be lost.
fn read_lazily(packet: &Packet<'_>) {
    match packet {
        Packet::Publish(publish) => {
            let mut copy = ternmq_proto::PropertyBuf::new();
            copy.extend_filtered(publish.properties, |_| true);
            assert_eq!(copy.as_properties(), publish.properties);
        }
        Packet::Subscribe(subscribe) => assert!(!subscribe.is_empty()),
        Packet::Unsubscribe(unsubscribe) => assert!(!unsubscribe.is_empty()),
        _ => {}
    }
}
