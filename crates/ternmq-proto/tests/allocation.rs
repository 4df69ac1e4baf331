//! Reading allocates nothing, whatever comes; writing allocates what the packet has.

mod generate;

use allocation_counter::measure;
use generate::{version, versioned_packet};
use proptest::collection::vec;
use proptest::prelude::*;
use ternmq_proto::frame::{self, Frame, PACKET_BYTES_MAX};
use ternmq_proto::packet::{PublishHead, encode_publish};
use ternmq_proto::{Packet, Properties, Qos, Version};

/// Splits, decodes and looks at everything that is read lazily.
fn read_all(version: Version, bytes: &[u8]) -> usize {
    let Ok(Some((_, frame))) = frame::split(bytes, PACKET_BYTES_MAX) else { return 0 };
    match Packet::decode(version, frame) {
        Ok(Packet::Publish(publish)) => publish.properties.iter().count(),
        Ok(Packet::Subscribe(subscribe)) => subscribe.filters().count(),
        Ok(Packet::Unsubscribe(unsubscribe)) => unsubscribe.filters().count(),
        Ok(Packet::Connect(connect)) => connect.properties.user_properties().count(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn reading_a_packet_allocates_nothing((version, owned) in versioned_packet()) {
        let bytes = owned.encoded(version);
        let allocated = measure(|| {
            read_all(version, &bytes);
        });
        prop_assert_eq!(allocated.count_total, 0);
    }

    #[test]
    fn refusing_a_packet_allocates_nothing(
        version in version(),
        first_byte: u8,
        body in vec(any::<u8>(), 0..100),
    ) {
        let allocated = measure(|| {
            let refused = Packet::decode(version, Frame { first_byte, body: &body }).is_err();
            std::hint::black_box(refused);
        });
        prop_assert_eq!(allocated.count_total, 0);
    }

    #[test]
    fn writing_allocates_once_and_no_more_than_the_packet(
        (version, owned) in versioned_packet()
    ) {
        let length = owned.encoded(version).len() as u64;
        owned.with(|packet| {
            let mut out = Vec::new();
            let allocated = measure(|| packet.encode(version, &mut out).expect("a valid packet"));
            assert_eq!(allocated.count_total, 1);
            assert!(allocated.bytes_max <= length + 16, "{} for {length}", allocated.bytes_max);
        });
    }
}

#[test]
fn a_declared_length_allocates_nothing() {
    let header = [0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0];
    let allocated = measure(|| {
        assert_eq!(frame::split(&header, PACKET_BYTES_MAX), Ok(None));
    });
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn a_publish_into_a_buffer_with_room_allocates_nothing() {
    let mut out = Vec::with_capacity(4_096);
    let head =
        PublishHead { qos: Qos::AtLeastOnce, packet_id: 7.try_into().ok(), ..Default::default() };
    let allocated = measure(|| {
        let none = Properties::EMPTY;
        encode_publish(&mut out, Version::V5, head, "plant/7", none, none, &[0; 256]);
    });
    assert_eq!((allocated.count_total, out.len()), (0, 1 + 2 + 2 + 7 + 2 + 1 + 256));
}
