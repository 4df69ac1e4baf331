//! What one client must not be able to do to the shard and to the others.

use ternmq_proto::{Property, Version};

use crate::world::World;

#[test]
fn a_client_that_takes_no_connack_does_not_silence_another() {
    let mut world = World::new(1);
    let reader = world.client("reader", 0);
    let writer = world.client("writer", 0);
    world.subscribe(reader, "t", 0);
    world.seen(reader);
    for size in 1..8 {
        let most = [Property::MaximumPacketSize(size)];
        world.connect(&format!("tiny{size}"), Version::V5, true, 0, None, &most);
        world.publish(writer, "t", "x", 0);
        assert_eq!(world.seen(reader), ["PUBLISH q0 t x"]);
    }
}
