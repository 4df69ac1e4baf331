//! What a broker owes its clients, on one shard and on four: the same conversation must look the
//! same to them.

mod bounds;
mod found_by_simulation;
mod world;

use ternmq_engine::{DropReason, Overflow, SECOND, Settings};
use ternmq_proto::packet::{RetainHandling, SubscriptionOptions, Will};
use ternmq_proto::{Packet, Properties, Property, Qos, ReasonCode, Version};
use world::World;

/// Runs a conversation on one shard and on four.
fn on_any_number_of_shards(conversation: impl Fn(&mut World)) {
    for shards in [1, 4] {
        conversation(&mut World::new(shards));
    }
}

#[test]
fn the_qos_delivered_is_the_lower_of_published_and_granted() {
    on_any_number_of_shards(|world| {
        for granted in 0..=2 {
            for published in 0..=2 {
                let topic = format!("q/{granted}/{published}");
                let reader = world.client(&format!("r{granted}{published}"), 0);
                let writer = world.client(&format!("w{granted}{published}"), 0);
                world.subscribe(reader, &topic, granted);
                world.seen(reader);
                world.publish(writer, &topic, "x", published);
                let qos = granted.min(published);
                let id = if qos > 0 { " #1" } else { "" };
                assert_eq!(world.seen(reader), [format!("PUBLISH q{qos}{id} {topic} x")]);
            }
        }
    });
}

#[test]
fn a_publisher_hears_of_each_qos_and_of_nobody_listening() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        world.publish(writer, "t", "x", 1);
        world.publish(writer, "t", "x", 2);
        assert_eq!(world.seen(writer), ["PUBACK #1 0x10", "PUBREC #2 0x10"]);
        world.ack(writer, Packet::Pubrel, 2);
        assert_eq!(world.seen(writer), ["PUBCOMP #2"]);
        world.ack(writer, Packet::Pubrel, 2);
        assert_eq!(world.seen(writer), ["PUBCOMP #2 0x92"]);
    });
}

#[test]
fn exactly_once_from_end_to_end() {
    on_any_number_of_shards(|world| {
        let reader = world.client("reader", 100);
        let writer = world.client("writer", 100);
        world.subscribe(reader, "t", 2);
        world.seen(reader);
        world.publish(writer, "t", "x", 2);
        assert_eq!(world.seen(writer), ["PUBREC #1"]);
        assert_eq!(world.seen(reader), ["PUBLISH q2 #1 t x"]);
        world.ack(writer, Packet::Pubrel, 1);
        world.ack(reader, Packet::Pubrec, 1);
        assert_eq!(world.seen(writer), ["PUBCOMP #1"]);
        assert_eq!(world.seen(reader), ["PUBREL #1"]);
        world.ack(reader, Packet::Pubcomp, 1);
        let session = world.session("reader").unwrap();
        assert!(session.inflight.is_empty() && session.queued == 0);
        assert!(world.session("writer").unwrap().inbound.is_empty());
        assert!(world.nodes.iter().all(|node| node.is_idle()));
    });
}

#[test]
fn a_qos2_publish_that_is_sent_again_is_delivered_once() {
    on_any_number_of_shards(|world| {
        let reader = world.client("reader", 0);
        world.subscribe(reader, "t", 2);
        world.seen(reader);
        for expiry in [0, 100] {
            let writer = world.connect("writer", Version::V5, true, expiry, None, &[]);
            world.seen(writer);
            let publish = ternmq_proto::packet::Publish {
                dup: false,
                qos: Qos::ExactlyOnce,
                retain: false,
                topic: "t",
                packet_id: ternmq_proto::PacketId::new(7),
                properties: Properties::EMPTY,
                payload: b"x",
            };
            world.send(writer, &Packet::Publish(publish));
            world.settle();
            world.send(
                writer,
                &Packet::Publish(ternmq_proto::packet::Publish { dup: true, ..publish }),
            );
            world.settle();
            assert_eq!(world.seen(writer), ["PUBREC #7", "PUBREC #7"]);
            assert_eq!(world.seen(reader).len(), 1);
            world.cut(writer);
        }
    });
}

#[test]
fn a_persistent_session_gets_what_it_missed_and_repeats_what_it_did_not_acknowledge() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let reader = world.client("reader", 1_000);
        world.subscribe(reader, "t/#", 2);
        world.seen(reader);
        for (topic, qos) in [("t/1", 1), ("t/2", 2), ("t/3", 2)] {
            world.publish(writer, topic, "sent", qos);
        }
        world.ack(reader, Packet::Pubrec, 2);
        world.cut(reader);
        world.publish(writer, "t/4", "queued", 1);
        world.publish(writer, "t/5", "lost", 0);
        let reader = world.connect("reader", Version::V5, false, 1_000, None, &[]);
        let seen = world.seen(reader);
        assert_eq!(
            seen,
            [
                "CONNACK 0x00 present",
                "PUBREL #2",
                "PUBLISH q1 #1 dup t/1 sent",
                "PUBLISH q2 #3 dup t/3 sent",
                "PUBLISH q1 #4 t/4 queued",
            ]
        );
    });
}

#[test]
fn the_receive_maximum_bounds_what_is_in_flight() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let maximum = [Property::ReceiveMaximum(2)];
        let reader = world.connect("reader", Version::V5, true, 0, None, &maximum);
        world.subscribe(reader, "t", 1);
        world.seen(reader);
        for n in 0..5 {
            world.publish(writer, "t", &n.to_string(), 1);
        }
        assert_eq!(world.seen(reader), ["PUBLISH q1 #1 t 0", "PUBLISH q1 #2 t 1"]);
        world.ack(reader, Packet::Puback, 1);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #3 t 2"]);
        world.ack(reader, Packet::Puback, 2);
        world.ack(reader, Packet::Puback, 3);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #4 t 3", "PUBLISH q1 #5 t 4"]);
    });
}

#[test]
fn overlapping_subscriptions_are_one_message_with_all_identifiers() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let reader = world.client("reader", 0);
        let qos = |qos| SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let low = [("a/#", qos(Qos::AtMostOnce))];
        world.subscribe_with(reader, &low, &[Property::SubscriptionIdentifier(5)]);
        let high = [("a/+", qos(Qos::AtLeastOnce))];
        world.subscribe_with(reader, &high, &[Property::SubscriptionIdentifier(9)]);
        world.seen(reader);
        world.publish(writer, "a/b", "x", 2);
        let seen = world.seen(reader);
        let either =
            seen == ["PUBLISH q1 #1 a/b x [5, 9]"] || seen == ["PUBLISH q1 #1 a/b x [9, 5]"];
        assert!(either, "{seen:?}");
    });
}

#[test]
fn retained_messages_greet_a_subscription_by_its_retain_handling() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        for n in 0..5 {
            world.publish_with(writer, &format!("r/{n}"), "old", 1, true, &[]);
        }
        world.publish_with(writer, "r/0", "new", 1, true, &[]);
        world.publish_with(writer, "r/1", "", 1, true, &[]);
        world.seen(writer);
        let reader = world.client("reader", 0);
        let mut options = SubscriptionOptions { qos: Qos::AtMostOnce, ..Default::default() };
        world.subscribe_with(reader, &[("r/+", options)], &[]);
        let mut seen = world.seen(reader);
        assert_eq!(seen.remove(0), "SUBACK [00]");
        seen.sort();
        let expected = [
            "PUBLISH q0 retain r/0 new",
            "PUBLISH q0 retain r/2 old",
            "PUBLISH q0 retain r/3 old",
            "PUBLISH q0 retain r/4 old",
        ];
        assert_eq!(seen, expected);
        options.retain_handling = RetainHandling::IfNew;
        world.subscribe_with(reader, &[("r/+", options)], &[]);
        assert_eq!(world.seen(reader), ["SUBACK [00]"]);
        world.subscribe_with(reader, &[("r/#", options)], &[]);
        assert_eq!(world.seen(reader).len(), 5);
        options.retain_handling = RetainHandling::Never;
        world.subscribe_with(reader, &[("+/0", options)], &[]);
        assert_eq!(world.seen(reader), ["SUBACK [00]"]);
        world.publish_with(writer, "r/9", "live", 0, true, &[]);
        assert_eq!(world.seen(reader), ["PUBLISH q0 r/9 live"]);
    });
}

#[test]
fn many_retained_messages_arrive_page_by_page() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        for n in 0..1_000 {
            world.publish_with(writer, &format!("many/{n}"), "x", 0, true, &[]);
        }
        let reader = world.client("reader", 0);
        world.subscribe(reader, "many/#", 0);
        let mut seen = world.seen(reader);
        assert_eq!(seen.len(), 1_001);
        seen.dedup();
        assert_eq!(seen.len(), 1_001);
    });
}

#[test]
fn a_will_follows_a_lost_connection_and_not_a_disconnect() {
    on_any_number_of_shards(|world| {
        let reader = world.client("reader", 0);
        world.subscribe(reader, "will", 1);
        world.seen(reader);
        let will = |properties| Will {
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: "will",
            payload: b"gone",
            properties,
        };
        let now = Some(will(Properties::EMPTY));
        let first = world.connect("first", Version::V5, true, 0, now, &[]);
        world.cut(first);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #1 will gone"]);
        let second = world.connect("second", Version::V5, true, 0, now, &[]);
        world.disconnect(second, ReasonCode::Success);
        assert!(world.seen(reader).is_empty());
        let third = world.connect("third", Version::V5, true, 0, now, &[]);
        world.disconnect(third, ReasonCode::DisconnectWithWill);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #2 will gone"]);
        let failing = world.connect("failing", Version::V5, true, 0, now, &[]);
        world.disconnect(failing, ReasonCode::UnspecifiedError);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #3 will gone"]);
        let mut delay = ternmq_proto::PropertyBuf::new();
        delay.push(Property::WillDelayInterval(10));
        let later = Some(will(delay.as_properties()));
        let fourth = world.connect("fourth", Version::V5, true, 60, later, &[]);
        world.cut(fourth);
        world.pass(9);
        assert!(world.seen(reader).is_empty());
        world.pass(2);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #4 will gone"]);
        let fifth = world.connect("fifth", Version::V5, true, 60, later, &[]);
        world.cut(fifth);
        world.pass(5);
        world.connect("fifth", Version::V5, false, 60, None, &[]);
        world.pass(20);
        assert!(world.seen(reader).is_empty(), "it came back in time");
    });
}

#[test]
fn a_second_connection_takes_the_session_over() {
    on_any_number_of_shards(|world| {
        let first = world.client("same", 100);
        world.subscribe(first, "t", 1);
        world.seen(first);
        let second = world.connect("same", Version::V5, false, 100, None, &[]);
        assert_eq!(world.seen(first), ["DISCONNECT 0x8E", "CLOSED"]);
        assert_eq!(world.seen(second), ["CONNACK 0x00 present"]);
        world.publish(second, "t", "x", 1);
        assert_eq!(world.seen(second), ["PUBLISH q1 #1 t x", "PUBACK #1"]);
    });
}

#[test]
fn sessions_end_when_they_expire() {
    on_any_number_of_shards(|world| {
        let client = world.client("brief", 10);
        world.subscribe(client, "t", 1);
        world.cut(client);
        world.pass(9);
        assert!(world.session("brief").is_some());
        world.pass(2);
        assert!(world.session("brief").is_none());
        let again = world.connect("brief", Version::V5, false, 10, None, &[]);
        assert_eq!(world.seen(again), ["CONNACK 0x00"]);
        let forever = world.client("forever", u32::MAX);
        world.cut(forever);
        world.pass(100_000_000);
        assert!(world.session("forever").is_some());
    });
}

#[test]
fn a_message_expires_in_the_queue_and_says_how_long_it_has_left() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let reader = world.client("reader", 1_000);
        world.subscribe(reader, "t", 1);
        world.cut(reader);
        for (payload, seconds) in [("brief", 5), ("long", 60)] {
            let expiry = [Property::MessageExpiryInterval(seconds)];
            world.publish_with(writer, "t", payload, 1, false, &expiry);
        }
        world.pass(10);
        let reader = world.connect("reader", Version::V5, false, 1_000, None, &[]);
        assert_eq!(world.seen(reader), ["CONNACK 0x00 present", "PUBLISH q1 #1 t long"]);
        let dropped: u64 = world.nodes.iter().map(|node| node.stats().dropped[0]).sum();
        assert_eq!(dropped, 1);
    });
}

#[test]
fn a_shared_group_gives_each_message_to_one_member() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let members: Vec<_> = (0..3).map(|n| world.client(&format!("member{n}"), 0)).collect();
        for member in &members {
            world.subscribe(*member, "$share/group/jobs/#", 1);
            assert_eq!(world.seen(*member), ["SUBACK [01]"]);
        }
        for n in 0..9 {
            world.publish(writer, "jobs/a", &n.to_string(), 1);
        }
        let mut all = Vec::new();
        for member in &members {
            let seen = world.seen(*member);
            assert_eq!(seen.len(), 3, "{seen:?}");
            all.extend(seen.iter().map(|it| it.rsplit(' ').next().unwrap().to_owned()));
        }
        all.sort();
        assert_eq!(all, (0..9).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn what_a_member_was_not_sent_goes_to_another_when_it_leaves() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let one = [Property::ReceiveMaximum(1)];
        let first = world.connect("first", Version::V5, true, 100, None, &one);
        world.subscribe(first, "$share/group/jobs", 2);
        world.seen(first);
        for (n, qos) in [(0, 1), (1, 1), (2, 2)] {
            world.publish(writer, "jobs", &n.to_string(), qos);
        }
        assert_eq!(world.seen(first), ["PUBLISH q1 #1 jobs 0"]);
        let second = world.client("second", 0);
        world.subscribe(second, "$share/group/jobs", 2);
        world.seen(second);
        world.cut(first);
        assert_eq!(world.seen(second), ["PUBLISH q1 #1 jobs 1", "PUBLISH q2 #2 jobs 2"]);
        world.pass(200);
        assert_eq!(world.seen(second), ["PUBLISH q1 #3 jobs 0"], "the member's session ended");
    });
}

#[test]
fn a_member_that_comes_back_to_its_group_still_settles_what_it_was_given() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let member = world.client("member", 0);
        world.subscribe(member, "$share/group/jobs", 1);
        world.seen(member);
        world.publish(writer, "jobs", "1", 1);
        assert_eq!(world.seen(member), ["PUBLISH q1 #1 jobs 1"]);
        world.unsubscribe(member, "$share/group/jobs");
        world.subscribe(member, "$share/group/jobs", 1);
        world.ack(member, Packet::Puback, 1);
        world.publish(writer, "jobs", "2", 1);
        let seen = world.seen(member);
        assert_eq!(seen.last().map(String::as_str), Some("PUBLISH q1 #2 jobs 2"), "{seen:?}");
    });
}

#[test]
fn acknowledgements_wait_for_the_commit_that_they_depend_on() {
    on_any_number_of_shards(|world| {
        let reader = world.client("reader", 100);
        world.subscribe(reader, "t", 2);
        let durable = world.client("durable", 100);
        let brief = world.client("brief", 0);
        for client in [reader, durable, brief] {
            world.seen(client);
        }
        world.slow_commits = true;
        world.publish(brief, "t", "a", 1);
        world.publish(durable, "t", "b", 2);
        assert!(world.seen(brief).is_empty());
        assert!(world.seen(durable).is_empty());
        assert_eq!(world.seen(reader), ["PUBLISH q1 #1 t a"], "QoS 1 does not wait");
        for _ in 0..4 {
            world.commit();
        }
        assert_eq!(world.seen(brief), ["PUBACK #1"]);
        assert_eq!(world.seen(durable), ["PUBREC #1"]);
        assert_eq!(world.seen(reader), ["PUBLISH q2 #2 t b"]);
        world.subscribe(reader, "u", 1);
        assert!(world.seen(reader).is_empty(), "SUBACK waits");
        world.commit();
        assert_eq!(world.seen(reader), ["SUBACK [01]"]);
        let late = world.connect("late", Version::V5, true, 50, None, &[]);
        assert!(world.seen(late).is_empty(), "CONNACK waits");
        world.commit();
        assert_eq!(world.seen(late), ["CONNACK 0x00"]);
    });
}

#[test]
fn a_full_queue_drops_by_its_policy_and_counts() {
    let cases = [
        (Overflow::DropNewest, vec!["0", "1"], "PUBACK #3"),
        (Overflow::DropOldest, vec!["1", "2"], "PUBACK #3"),
        (Overflow::Refuse, vec!["0", "1"], "PUBACK #3 0x97"),
    ];
    for (overflow, kept, answer) in cases {
        for shards in [1, 4] {
            let settings =
                Settings { shards, queue_messages_max: 2, overflow, ..Settings::default() };
            let mut world = World::with(settings);
            let writer = world.client("writer", 0);
            let reader = world.client("reader", 1_000);
            world.subscribe(reader, "t", 1);
            world.cut(reader);
            for n in 0..3 {
                world.publish(writer, "t", &n.to_string(), 1);
            }
            assert_eq!(world.seen(writer).last().unwrap(), answer);
            let reader = world.connect("reader", Version::V5, false, 1_000, None, &[]);
            let seen = world.seen(reader);
            let payloads: Vec<_> =
                seen[1..].iter().map(|it| it.rsplit(' ').next().unwrap()).collect();
            assert_eq!(payloads, kept);
            let dropped: u64 = world.nodes.iter().map(|it| it.stats().dropped[2]).sum();
            assert_eq!(dropped, 1);
        }
    }
}

#[test]
fn topic_aliases_work_in_both_directions() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let aliases = [Property::TopicAliasMaximum(4)];
        let reader = world.connect("reader", Version::V5, true, 0, None, &aliases);
        world.subscribe(reader, "#", 0);
        world.seen(reader);
        let alias = [Property::TopicAlias(3)];
        world.publish_with(writer, "long/topic", "1", 0, false, &alias);
        world.publish_with(writer, "", "2", 0, false, &alias);
        assert_eq!(world.seen(reader), ["PUBLISH q0 long/topic 1", "PUBLISH q0  2"]);
        world.publish_with(writer, "", "3", 0, false, &[Property::TopicAlias(65)]);
        assert_eq!(world.seen(writer), ["DISCONNECT 0x94", "CLOSED"]);
    });
}

#[test]
fn a_packet_larger_than_the_client_takes_is_dropped_and_the_next_one_flows() {
    on_any_number_of_shards(|world| {
        let writer = world.client("writer", 0);
        let small = [Property::MaximumPacketSize(40)];
        let reader = world.connect("reader", Version::V5, true, 0, None, &small);
        world.subscribe(reader, "t", 1);
        world.seen(reader);
        world.publish(writer, "t", &"x".repeat(100), 1);
        world.publish(writer, "t", "small", 1);
        assert_eq!(world.seen(reader), ["PUBLISH q1 #2 t small"]);
        assert!(world.session("reader").unwrap().inflight.len() == 1);
    });
}

#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    let mut world = World::with(Settings { keep_alive_max_seconds: 10, ..Settings::default() });
    let client = world.client("quiet", 0);
    world.pass(14);
    assert!(world.seen(client).is_empty());
    world.send(client, &Packet::Pingreq);
    world.pass(0);
    world.pass(14);
    assert_eq!(world.seen(client), ["Pingresp"]);
    world.pass(2);
    assert_eq!(world.seen(client), ["DISCONNECT 0x8D", "CLOSED"]);
    assert_eq!(world.now.mono, 31 * SECOND);
}

#[test]
fn more_than_the_receive_maximum_is_a_violation() {
    let settings = Settings { receive_maximum: 2, ..Settings::default() };
    let mut world = World::with(settings);
    let writer = world.client("writer", 0);
    for _ in 0..3 {
        world.publish(writer, "t", "x", 2);
    }
    let seen = world.seen(writer);
    assert_eq!(seen[2..], ["DISCONNECT 0x93", "CLOSED"]);
}

#[test]
fn no_local_spares_a_client_its_own_messages() {
    on_any_number_of_shards(|world| {
        let client = world.client("self", 0);
        let other = world.client("other", 0);
        let options = SubscriptionOptions {
            qos: Qos::AtLeastOnce,
            no_local: true,
            ..SubscriptionOptions::default()
        };
        world.subscribe_with(client, &[("t", options)], &[]);
        world.seen(client);
        world.publish(client, "t", "mine", 0);
        world.publish(other, "t", "yours", 0);
        assert_eq!(world.seen(client), ["PUBLISH q0 t yours"]);
    });
}

#[test]
fn nothing_is_left_behind_when_everybody_has_gone() {
    on_any_number_of_shards(|world| {
        for n in 0..8 {
            let client = world.client(&format!("c{n}"), 5);
            world.subscribe(client, "a/+/#", 2);
            world.subscribe(client, "$share/g/a/b", 1);
            world.publish(client, "a/b", "x", 2);
            world.unsubscribe(client, "a/+/#");
            world.cut(client);
        }
        world.pass(10);
        for node in &world.nodes {
            let stats = node.stats();
            assert!(node.is_idle());
            let left = (stats.sessions, stats.subscriptions, stats.queued, stats.message_bytes);
            assert_eq!(left, (0, 0, 0, 0));
            assert_eq!((stats.connections, stats.output_bytes, stats.state_bytes), (0, 0, 0));
        }
    });
}

#[test]
fn a_client_must_not_send_a_subscription_identifier() {
    let mut world = World::new(1);
    let writer = world.client("writer", 0);
    world.publish_with(writer, "t", "x", 0, false, &[Property::SubscriptionIdentifier(1)]);
    assert_eq!(world.seen(writer), ["DISCONNECT 0x82", "CLOSED"]);
}

#[test]
fn a_consumer_that_does_not_read_costs_its_publisher_a_quarter_of_a_second() {
    let settings =
        Settings { output_high_bytes: 1_000, output_max_bytes: 4_000, ..Settings::default() };
    let mut world = World::with(settings);
    let reader = world.client("reader", 0);
    let writer = world.client("writer", 0);
    world.subscribe(reader, "t", 0);
    world.seen(reader);
    world.stall(reader, true);
    let payload = "x".repeat(500);
    for _ in 0..200 {
        world.publish(writer, "t", &payload, 0);
    }
    let stats = world.nodes[0].stats();
    assert_eq!((stats.slow_consumers, stats.dropped_for(DropReason::SlowConsumer)), (0, 0));
    assert!(world.unread(writer) > 190 * 500, "the publisher waits");
    for _ in 0..200 {
        world.pass_millis(2);
    }
    let stats = world.nodes[0].stats();
    assert_eq!(world.unread(writer), 0, "and then it does not");
    assert_eq!(stats.slow_consumers, 1);
    let dropped = stats.dropped_for(DropReason::SlowConsumer);
    world.stall(reader, false);
    world.settle();
    assert_eq!(world.seen(reader).len() as u64, 200 - dropped);
    assert_eq!(world.nodes[0].stats().slow_consumers, 0);
}

#[test]
fn a_release_of_an_earlier_connection_makes_room_for_a_publish() {
    let mut world = World::with(Settings { receive_maximum: 1, ..Settings::default() });
    let first = world.client("writer", 100);
    let old = world.publish(first, "t", "x", 2);
    world.cut(first);
    let writer = world.connect("writer", Version::V5, false, 100, None, &[]);
    world.seen(writer);
    world.ack(writer, Packet::Pubrel, old);
    for expected in ["PUBREC #1 0x10", "PUBREC #2 0x10"] {
        // Identifiers of this connection begin anew.
        world.publish(writer, "t", "x", 2);
        assert_eq!(world.seen(writer).last().unwrap(), expected);
    }
}

#[test]
fn messages_alone_do_not_keep_a_client_from_being_heard() {
    let settings = Settings {
        output_high_bytes: 1_000,
        output_max_bytes: 4_000,
        packet_bytes_max: 2_000,
        ..Settings::default()
    };
    let mut world = World::with(settings);
    let talker = world.client("talker", 0);
    world.subscribe(talker, "t", 0);
    world.stall(talker, true);
    let payload = "x".repeat(1_900);
    for _ in 0..100 {
        world.publish(talker, "t", &payload, 0);
    }
    for _ in 0..1_000 {
        world.pass_millis(2);
    }
    assert_eq!(world.unread(talker), 0, "what it does not read is dropped");
    assert!(world.nodes[0].stats().dropped_for(DropReason::SlowConsumer) > 90);
}

#[test]
fn who_does_not_read_is_heard_even_less_when_memory_is_short() {
    let settings =
        Settings { output_high_bytes: 1_000, memory_bytes_max: 3_000, ..Settings::default() };
    let mut world = World::with(settings);
    let greedy = world.client("greedy", 0);
    world.stall(greedy, true);
    for _ in 0..10_000 {
        world.send(greedy, &Packet::Pingreq);
    }
    world.settle();
    assert!(world.nodes[0].stats().output_bytes <= 3_002);
    world.stall(greedy, false);
    world.settle();
    assert_eq!((world.unread(greedy), world.seen(greedy).len()), (0, 10_000));
}

#[test]
fn retained_messages_count_for_the_memory_of_all() {
    let mut world = World::with(Settings { memory_bytes_max: 10_000, ..Settings::default() });
    let writer = world.client("writer", 0);
    let payload = "x".repeat(1_000);
    for n in 0..20 {
        world.publish_with(writer, &format!("t/{n}"), &payload, 1, true, &[]);
    }
    assert_eq!(world.seen(writer).last().unwrap(), "PUBACK #20 0x97");
    let stats = world.nodes[0].stats();
    assert!(stats.message_bytes < 12_000, "{}", stats.message_bytes);
    world.publish_with(writer, "t/0", "shorter", 1, true, &[]);
    assert_eq!(world.seen(writer).last().unwrap(), "PUBACK #21 0x10", "less is always welcome");
}

#[test]
fn what_waits_behind_retained_messages_is_bounded_like_a_queue() {
    let settings =
        Settings { queue_bytes_max: 100_000, output_high_bytes: 1, ..Settings::default() };
    let mut world = World::with(settings);
    let writer = world.client("writer", 0);
    let payload = "x".repeat(1_000);
    for n in 0..300 {
        world.publish_with(writer, &format!("kept/{n}"), &payload, 1, true, &[]);
    }
    let reader = world.client("reader", 0);
    world.stall(reader, true);
    world.subscribe(reader, "#", 1);
    let before = world.nodes[0].stats().message_bytes;
    for _ in 0..500 {
        world.publish(writer, "live", &payload, 1);
        world.pass_millis(300);
    }
    let stats = world.nodes[0].stats();
    assert!(stats.message_bytes - before < 210_000, "{}", stats.message_bytes - before);
    assert!(stats.dropped_for(DropReason::QueueFull) > 0);
}

#[test]
fn sessions_subscriptions_and_wills_have_a_budget() {
    let mut world = World::with(Settings { state_bytes_max: 20_000, ..Settings::default() });
    let greedy = world.client("greedy", 0);
    let filter = |n: usize| format!("{n}/{}", "x".repeat(1_500));
    let answer = |world: &mut World, filter: &str| {
        world.subscribe(greedy, filter, 1);
        world.seen(greedy).pop().unwrap()
    };
    let refused = (0..40).position(|n| answer(&mut world, &filter(n)).contains("[97]")).unwrap();
    assert!((5..20).contains(&refused), "{refused}");
    assert!(world.nodes[0].stats().state_bytes < 22_000);
    assert!(answer(&mut world, &filter(0)).ends_with("[01]"), "it has this one already");
    assert!(answer(&mut world, "$share/g/a").contains("[97]"));

    let stays = world.connect_v5("stays", 100);
    assert_eq!(world.seen(stays), ["CONNACK 0x97", "CLOSED"]);
    let goes = world.connect_v5("goes", 0);
    assert_eq!(world.seen(goes), ["CONNACK 0x00"], "that is bounded by the connections");

    for n in 0..refused {
        world.unsubscribe(greedy, &filter(n));
    }
    world.seen(greedy);
    world.subscribe(greedy, "$share/g/a", 1);
    assert!(world.seen(greedy)[0].ends_with("[01]"));
    world.client("stays", 100);
    world.cut(greedy);
}

#[test]
fn who_has_as_many_subscriptions_as_there_may_be_can_renew_them() {
    let mut world = World::with(Settings { subscriptions_max: 2, ..Settings::default() });
    let client = world.client("client", 0);
    for (filter, code) in [("a", "[01]"), ("$share/g/b", "[01]"), ("c", "[97]"), ("a", "[01]")] {
        world.subscribe(client, filter, 1);
        assert!(world.seen(client)[0].ends_with(code), "{filter}");
    }
    world.subscribe(client, "$share/g/b", 0);
    assert!(world.seen(client)[0].ends_with("[00]"));
}

#[test]
fn a_client_that_cannot_take_the_terms_is_refused_and_nobody_else_notices() {
    on_any_number_of_shards(|world| {
        let other = world.client("other", 0);
        for (size, expected) in [(1, &["CLOSED"][..]), (5, &["CONNACK 0x95", "CLOSED"])] {
            let small = [Property::MaximumPacketSize(size)];
            let client = world.connect("small", Version::V5, true, 100, None, &small);
            assert_eq!(world.seen(client), expected);
        }
        world.publish(other, "t", "x", 1);
        assert_eq!(world.seen(other), ["PUBACK #1 0x10"]);
    });
}
