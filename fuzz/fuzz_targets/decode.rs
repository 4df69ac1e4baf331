//! Any bytes as one packet, in every version: decoding never panics, and what it accepts can be
//! encoded and decoded again to the same packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ternmq_proto::{Packet, Version, frame};

const PACKET_BYTES_MAX: u32 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    for version in [Version::V31, Version::V311, Version::V5] {
        let Ok(Some((_, first))) = frame::split(bytes, PACKET_BYTES_MAX) else { return };
        let Ok(packet) = Packet::decode(version, first) else { continue };
        let version =
            if let Packet::Connect(connect) = &packet { connect.version } else { version };
        let mut encoded = Vec::new();
        packet.encode(version, &mut encoded).expect("what was decoded can be encoded");
        let (length, again) = frame::split(&encoded, u32::MAX)
            .expect("an encoded packet has a valid header")
            .expect("an encoded packet is whole");
        assert_eq!(length, encoded.len());
        assert_eq!(Packet::decode(version, again), Ok(packet));
    }
});
