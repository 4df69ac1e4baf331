//! What one client must not be able to do to the shard and to the others.

use ternmq_engine::{DropReason, Overflow, Settings, Stats};
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

#[test]
fn a_message_larger_than_the_queue_takes_no_place_in_it() {
    for shards in [1, 4] {
        let settings = Settings {
            shards,
            queue_bytes_max: 1_000,
            overflow: Overflow::DropOldest,
            ..Settings::default()
        };
        let mut world = World::with(settings);
        let writer = world.client("writer", 0);
        let (plain, member) = (world.client("plain", 1_000), world.client("member", 1_000));
        world.subscribe(plain, "t", 1);
        world.subscribe(member, "$share/g/t", 1);
        world.cut(plain);
        world.cut(member);
        world.publish(writer, "t", &"x".repeat(2_000), 1);
        world.publish(writer, "t", "kept", 1);
        world.publish(writer, "t", &"x".repeat(2_000), 1);
        world.publish(writer, "t", &"y".repeat(700), 1);
        world.publish(writer, "t", &"z".repeat(300), 1);
        let stats: Vec<_> = world.nodes.iter().map(|node| node.stats()).collect();
        let sum = |of: &dyn Fn(&Stats) -> u64| stats.iter().map(of).sum::<u64>();
        assert_eq!(sum(&|it| it.queued), 2, "one for each");
        assert_eq!(sum(&|it| it.dropped_for(DropReason::QueueFull)), 8);
    }
}

#[test]
fn all_retained_messages_of_many_filters_come_to_a_reader_that_reads() {
    for shards in [1, 4] {
        let settings = Settings { shards, output_max_bytes: 512 << 10, ..Settings::default() };
        let mut world = World::with(settings);
        let writer = world.client("writer", 0);
        let payload = "x".repeat(1_000);
        for n in 0..2_000 {
            world.publish_with(writer, &format!("a/{}/{n}", n % 20), &payload, 0, true, &[]);
        }
        let reader = world.client("reader", 0);
        let filters: Vec<String> = (0..20).map(|n| format!("a/{n}/+")).collect();
        let filters: Vec<_> = filters.iter().map(|it| (it.as_str(), Default::default())).collect();
        world.subscribe_with(reader, &filters, &[]);
        let seen = world.seen(reader);
        let retained = seen.iter().filter(|it| it.contains(" retain ")).count();
        assert_eq!(retained, 2_000, "on {shards} shards");
    }
}

#[test]
fn publishers_that_never_stop_do_not_starve_what_a_shard_owes() {
    let mut world = World::with(Settings { shards: 2, lane_credit: 8, ..Settings::default() });
    let on = |node: u16, name: &str| {
        (0..)
            .map(|n| format!("{name}{n}"))
            .find(|id| ternmq_engine::shard_of(ternmq_engine::partition_of(id), 2).0 == node)
            .unwrap()
    };
    let writer = world.client(&on(0, "writer"), 1_000);
    let reader = world.client(&on(1, "reader"), 0);
    let flooders: Vec<_> =
        (0..3).map(|n| world.client(&on(0, &format!("flooder{n}")), 0)).collect();
    world.subscribe(reader, "t", 2);
    world.subscribe(reader, "flood", 0);
    world.seen(reader);
    // Half of the credit is under way when the flood begins, so that some comes back in each turn.
    for _ in 0..2 {
        for _ in 0..3 {
            world.say_publish(flooders[0], "flood", "x", 0);
        }
        world.step();
    }
    let mut seen = Vec::new();
    for step in 0..200 {
        if step == 20 {
            world.say_publish(writer, "t", "exactly once", 2);
        }
        for flooder in &flooders {
            while world.unread(*flooder) < 10_000 {
                world.say_publish(*flooder, "flood", "x", 0);
            }
        }
        world.step();
        seen.extend(world.seen(reader));
        if seen.iter().any(|it| it.contains(" t ")) {
            return;
        }
    }
    panic!("the message was not delivered, {} others were", seen.len());
}

#[test]
fn a_full_session_may_subscribe_again_to_what_it_has() {
    let mut world = World::with(Settings { subscriptions_max: 2, ..Settings::default() });
    let reader = world.client("reader", 0);
    world.subscribe(reader, "a", 0);
    world.subscribe(reader, "$share/g/b", 0);
    world.subscribe(reader, "c", 0);
    world.subscribe(reader, "a", 1);
    world.subscribe(reader, "$share/g/b", 1);
    let expected = ["SUBACK [00]", "SUBACK [00]", "SUBACK [97]", "SUBACK [01]", "SUBACK [01]"];
    assert_eq!(world.seen(reader), expected);
}

#[test]
fn retained_messages_of_one_reader_do_not_pause_anothers_publisher() {
    let mut world = World::with(Settings { output_high_bytes: 1_000, ..Settings::default() });
    let writer = world.client("writer", 0);
    for n in 0..200 {
        world.publish_with(writer, &format!("a/{n}"), &"x".repeat(100), 0, true, &[]);
    }
    let reader = world.client("reader", 0);
    world.stall(reader, true);
    world.subscribe(reader, "a/+", 0);
    world.publish(writer, "other", "x", 0);
    assert_eq!(world.nodes[0].stats().paused, 0);
}

#[test]
fn an_expired_retained_message_makes_room() {
    let mut world = World::with(Settings { retained_count_max: 1, ..Settings::default() });
    let writer = world.client("writer", 0);
    world.publish_with(writer, "a", "x", 1, true, &[Property::MessageExpiryInterval(10)]);
    world.publish_with(writer, "b", "x", 1, true, &[]);
    world.pass(11);
    assert_eq!(world.nodes[0].stats().retained, 0);
    world.publish_with(writer, "b", "x", 1, true, &[]);
    let expected = ["PUBACK #1 0x10", "PUBACK #2 0x97", "PUBACK #3 0x10"];
    assert_eq!(world.seen(writer), expected);
}
