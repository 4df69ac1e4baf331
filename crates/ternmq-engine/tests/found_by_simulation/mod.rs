//! Mistakes that simulated schedules have found, each as the shortest conversation that shows it.

use ternmq_engine::{Overflow, Settings};
use ternmq_proto::Packet;

use crate::world::World;

#[test]
fn a_refused_exactly_once_message_gives_its_identifier_back() {
    for shards in [1, 4] {
        let settings = Settings {
            shards,
            queue_messages_max: 1,
            overflow: Overflow::Refuse,
            ..Settings::default()
        };
        let mut world = World::with(settings);
        let writer = world.client("writer", 0);
        let reader = world.client("reader", 1_000);
        world.subscribe(reader, "t", 1);
        world.cut(reader);
        world.publish(writer, "t", "kept", 2);
        world.publish(writer, "t", "refused", 2);
        assert_eq!(world.seen(writer), ["PUBREC #1", "PUBREC #2 0x97"]);
        world.ack(writer, Packet::Pubrel, 1);
        assert_eq!(world.seen(writer), ["PUBCOMP #1"]);
        let session = world.session("writer").unwrap();
        assert!(session.inbound.is_empty(), "{:?}", session.inbound);
    }
}
