//! Mistakes that simulated schedules have found, each as the shortest conversation that shows it.

use ternmq_engine::{Overflow, SECOND, Settings};
use ternmq_proto::packet::{RetainHandling, SubscriptionOptions, Unsubscribe, Will};
use ternmq_proto::{Packet, PacketId, Properties, Property, PropertyBuf, Qos, Version};

use crate::world::{ClientId, World};

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

/// A reader subscribed to `t` that does not read, so that a further subscription of it opens only
/// when it reads again.
fn congested_reader(shards: u16) -> (World, ClientId, ClientId) {
    let settings = Settings { shards, output_high_bytes: 64, ..Settings::default() };
    let mut world = World::with(settings);
    let writer = world.client("writer", 0);
    let reader = world.client("reader", 1_000);
    world.subscribe(reader, "fill", 0);
    world.seen(reader);
    world.stall(reader, true);
    world.publish(writer, "fill", &"x".repeat(100), 0);
    (world, writer, reader)
}

/// What the reader gets on `t` once it reads.
fn read_on(world: &mut World, reader: ClientId) -> Vec<String> {
    world.stall(reader, false);
    world.settle();
    world.seen(reader).into_iter().filter(|it| it.contains(" t ")).collect()
}

fn retain_handling(retain_handling: RetainHandling, qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions { qos, retain_handling, ..SubscriptionOptions::default() }
}

#[test]
fn what_is_published_while_a_subscription_opens_comes_live_and_in_order() {
    for shards in [1, 4] {
        let (mut world, writer, reader) = congested_reader(shards);
        world.subscribe(reader, "t", 1);
        world.publish_with(writer, "t", "one", 1, true, &[]);
        world.publish_with(writer, "t", "two", 1, false, &[]);
        world.publish_with(writer, "t", "three", 1, true, &[]);
        world.publish_with(writer, "t", "four", 1, false, &[]);
        let seen = read_on(&mut world, reader);
        let expected = [
            "PUBLISH q1 #1 t one",
            "PUBLISH q1 #2 t two",
            "PUBLISH q1 #3 t three",
            "PUBLISH q1 #4 t four",
        ];
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_live_message_of_an_opening_at_qos_0_comes_at_the_qos_of_an_open_one() {
    for shards in [1, 4] {
        let (mut world, writer, reader) = congested_reader(shards);
        world.subscribe(reader, "+", 0);
        world.publish(writer, "t", "one", 1);
        let open_at_once = retain_handling(RetainHandling::Never, Qos::ExactlyOnce);
        world.subscribe_with(reader, &[("t", open_at_once)], &[]);
        world.publish_with(writer, "t", "two", 2, true, &[]);
        let seen = read_on(&mut world, reader);
        let expected = ["PUBLISH q0 t one", "PUBLISH q2 #1 t two"];
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_second_subscription_does_not_let_messages_overtake_those_held_back_for_a_first() {
    for shards in [1, 4] {
        let (mut world, writer, reader) = congested_reader(shards);
        world.subscribe(reader, "t", 1);
        world.publish(writer, "t", "one", 1);
        let open_at_once = retain_handling(RetainHandling::Never, Qos::AtLeastOnce);
        world.subscribe_with(reader, &[("+", open_at_once)], &[]);
        world.publish(writer, "t", "two", 1);
        let seen = read_on(&mut world, reader);
        assert_eq!(seen, ["PUBLISH q1 #1 t one", "PUBLISH q1 #2 t two"]);
    }
}

#[test]
fn a_subscription_that_ends_while_it_opens_takes_nothing_from_another() {
    for shards in [1, 4] {
        let (mut world, writer, reader) = congested_reader(shards);
        world.subscribe(reader, "+", 1);
        world.subscribe(reader, "t", 1);
        world.publish(writer, "t", "one", 1);
        world.unsubscribe(reader, "+");
        world.unsubscribe(reader, "t");
        world.subscribe(reader, "t", 1);
        let seen = read_on(&mut world, reader);
        assert_eq!(seen, ["PUBLISH q1 #1 t one"]);
    }
}

#[test]
fn subscribing_again_while_a_subscription_opens_does_not_cancel_its_retained_messages() {
    for shards in [1, 4] {
        let (mut world, writer, reader) = congested_reader(shards);
        world.publish_with(writer, "t", "kept", 1, true, &[]);
        let if_new = retain_handling(RetainHandling::IfNew, Qos::AtLeastOnce);
        world.subscribe_with(reader, &[("t", if_new)], &[]);
        world.subscribe_with(reader, &[("t", if_new)], &[]);
        let seen = read_on(&mut world, reader);
        assert_eq!(seen, ["PUBLISH q1 #1 retain t kept"]);
    }
}

#[test]
fn a_resume_repeats_messages_of_both_levels_in_the_order_in_which_they_were_sent() {
    for shards in [1, 4] {
        let mut world = World::new(shards);
        let writer = world.client("writer", 0);
        let reader = world.client("reader", 1_000);
        world.subscribe(reader, "t", 2);
        world.seen(reader);
        world.slow_commits = true;
        world.publish(writer, "t", "two", 2);
        world.publish(writer, "t", "one", 1);
        assert!(
            world.seen(reader).is_empty(),
            "the first waits for its commit, and the second too"
        );
        for _ in 0..4 {
            world.commit();
        }
        let expected = ["PUBLISH q2 #1 t two", "PUBLISH q1 #2 t one"];
        assert_eq!(world.seen(reader), expected);
        world.slow_commits = false;
        world.cut(reader);
        let reader = world.connect("reader", Version::V5, false, 1_000, None, &[]);
        let expected =
            ["CONNACK 0x00 present", "PUBLISH q2 #1 dup t two", "PUBLISH q1 #2 dup t one"];
        assert_eq!(world.seen(reader), expected);
    }
}

#[test]
fn nothing_comes_after_unsuback_from_a_group_that_has_not_heard_of_it() {
    let mut world = World::new(4);
    let reader = world.client("reader", 0);
    let writers: Vec<_> = (0..8).map(|n| world.client(&format!("writer{n}"), 0)).collect();
    let filters: Vec<String> = (0..16).map(|n| format!("$share/g{n}/t")).collect();
    for filter in &filters {
        world.subscribe(reader, filter, 1);
    }
    world.seen(reader);
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let id = PacketId::new(100).unwrap();
    let unsubscribe = Unsubscribe::new(id, Properties::EMPTY, &filters);
    world.send(reader, &Packet::Unsubscribe(unsubscribe));
    let node = world.node_of(reader);
    world.turn(node);
    assert_eq!(world.seen(reader).len(), 1, "UNSUBACK");
    for writer in writers {
        world.publish(writer, "t", "late", 1);
    }
    assert!(world.seen(reader).is_empty());
}

#[test]
fn who_does_not_read_the_answers_is_not_asked_for_more() {
    let settings = Settings {
        output_high_bytes: 64,
        output_max_bytes: 256,
        packet_bytes_max: 128,
        ..Settings::default()
    };
    let mut world = World::with(settings);
    let client = world.client("client", 0);
    world.stall(client, true);
    for _ in 0..1_000 {
        world.send(client, &Packet::Pingreq);
    }
    world.settle();
    assert!(world.unread(client) > 1_000, "{} bytes are left", world.unread(client));
    world.stall(client, false);
    world.settle();
    assert_eq!(world.seen(client).len(), 1_000);
}

#[test]
fn a_resume_in_the_turn_after_a_will_was_due_is_too_late_to_stop_it() {
    for shards in [1, 4] {
        let mut world = World::new(shards);
        let reader = world.client("reader", 0);
        world.subscribe(reader, "will", 1);
        world.seen(reader);
        let mut delay = PropertyBuf::new();
        delay.push(Property::WillDelayInterval(1));
        let will = Will {
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: "will",
            payload: b"gone",
            properties: delay.as_properties(),
        };
        let client = world.connect("client", Version::V5, true, 100, Some(will), &[]);
        world.cut(client);
        // The shard was held up for so long that the client is back when its next turn begins.
        world.now.mono += 2 * SECOND;
        world.now.wall += 2 * SECOND;
        world.connect("client", Version::V5, false, 100, None, &[]);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #1 will gone"]);
    }
}
