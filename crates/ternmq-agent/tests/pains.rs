//! What other clients are known to get wrong; each test is named after the failure.

mod pair;

use pair::Pair;
use ternmq_agent::{
    Acknowledge, Event, Lost, Offline, Options, Publish, PublishId, SessionLost, Transmit,
};
use ternmq_proto::frame::PacketKind;
use ternmq_proto::packet::{self, Packet};
use ternmq_proto::{PacketId, PropertyBuf, Qos, ReasonCode, Version};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn results(pair: &Pair) -> Vec<(PublishId, Result<ReasonCode, Lost>)> {
    let published = pair.events.iter().filter_map(|event| match event {
        Event::Published { id, result } => Some((*id, result.clone().map(|it| it.code))),
        _ => None,
    });
    published.collect()
}

fn send(pair: &mut Pair, count: u8, qos: Qos) {
    for n in 0..count {
        pair.agent.publish(pair.now, Publish::new("t", vec![n]).qos(qos)).unwrap();
    }
}

fn subscribe(pair: &mut Pair, filter: &str) {
    let filters = vec![(filter.to_owned(), Qos::AtLeastOnce.into())];
    pair.agent.subscribe(filters, PropertyBuf::new()).unwrap();
}

fn received(pair: &Pair) -> Vec<u8> {
    pair.server.received.iter().map(|it| it.payload[0]).collect()
}

#[test]
fn identifier_collision_livelock_after_a_lost_session() {
    for version in VERSIONS {
        // A message that is never acknowledged, while the identifiers go all the way round.
        let mut pair = Pair::persistent(version).connected();
        pair.server.manners.silent = true;
        send(&mut pair, 1, Qos::AtLeastOnce);
        pair.drive();
        pair.server.manners.silent = false;
        for round in 0..70_u16 {
            for _ in 0..1_000 {
                pair.agent.publish(pair.now, Publish::new("t", "x").qos(Qos::AtLeastOnce)).unwrap();
            }
            pair.drive();
            if round == 40 {
                pair.server.lose_session();
            }
        }
        assert!(pair.agent.unfinished() > 0, "the first identifier must not be used twice");
        pair.cut();
        pair.drive();
        assert_eq!(pair.agent.unfinished(), 0, "a reconnect sends it again, and all goes on");
        assert_eq!(pair.server.received.len(), 70_001, "{version}");
        // At most one reconnect was needed: nothing loops.
        assert_eq!(pair.server.connects.len(), 2);
    }
}

#[test]
fn identifiers_of_requests_collide_with_messages_in_flight() {
    let mut pair = Pair::persistent(Version::V311).connected();
    pair.server.manners.silent = true;
    send(&mut pair, 5, Qos::AtLeastOnce);
    subscribe(&mut pair, "a");
    subscribe(&mut pair, "b");
    pair.drive();
    assert_eq!(pair.server.filters(), ["a", "b"]);
    assert_eq!(pair.agent.unfinished(), 5, "a SUBACK acknowledges no message");
}

#[test]
fn messages_lost_in_the_reconnect_window() {
    for version in VERSIONS {
        let mut pair = Pair::persistent(version).connected();
        pair.server.manners.silent = true;
        send(&mut pair, 3, Qos::AtLeastOnce);
        pair.drive();
        pair.server.manners.silent = false;
        pair.cut();
        // One before the transport is open, one before CONNACK, one right behind it.
        pair.agent.publish(pair.now, Publish::new("t", [3]).qos(Qos::AtLeastOnce)).unwrap();
        let at = pair.agent.poll_timeout().unwrap();
        pair.advance_to(at);
        pair.poll();
        pair.agent.publish(pair.now, Publish::new("t", [4]).qos(Qos::AtLeastOnce)).unwrap();
        pair.trickle(usize::MAX, usize::MAX);
        pair.agent.publish(pair.now, Publish::new("t", [5]).qos(Qos::AtLeastOnce)).unwrap();
        pair.drive();
        assert_eq!(received(&pair), [0, 1, 2, 3, 4, 5], "{version}");
        let dups: Vec<_> = pair.server.publishes.iter().map(|(_, dup)| *dup).collect();
        assert_eq!(dups[3..], [true, true, true, false, false, false]);
    }
}

#[test]
fn subscriptions_are_not_restored_after_a_lost_session() {
    for version in VERSIONS {
        let mut pair = Pair::persistent(version).connected();
        subscribe(&mut pair, "kept");
        subscribe(&mut pair, "ended");
        pair.drive();
        pair.agent.unsubscribe(vec!["ended".into()], PropertyBuf::new()).unwrap();
        pair.drive();
        pair.cut();
        pair.server.lose_session();
        pair.drive();
        assert_eq!(pair.server.filters(), ["kept"], "{version}");
    }
}

#[test]
fn subscriptions_are_repeated_although_the_session_is_there() {
    for version in [Version::V311, Version::V5] {
        let mut pair = Pair::persistent(version).connected();
        subscribe(&mut pair, "a");
        pair.drive();
        pair.cut();
        pair.drive();
        assert_eq!(pair.server.subscribes.len(), 1, "retained messages would come again");
    }
}

#[test]
fn a_request_is_forgotten_when_its_connection_breaks() {
    let mut pair = Pair::persistent(Version::V5).connected();
    subscribe(&mut pair, "a");
    pair.poll();
    pair.cut();
    pair.drive();
    assert_eq!(pair.server.filters(), ["a"]);
    let answered = |event: &Event| matches!(event, Event::Answered { result: Ok(_), .. });
    assert_eq!(pair.events.iter().filter(|it| answered(it)).count(), 1);
}

#[test]
fn a_refused_restoration_goes_unnoticed() {
    let mut pair = Pair::persistent(Version::V5).connected();
    subscribe(&mut pair, "a");
    pair.drive();
    pair.cut();
    pair.server.lose_session();
    pair.server.manners.suback_code = Some(ReasonCode::NotAuthorized);
    pair.drive();
    let lost = Event::SubscriptionLost { filter: "a".into(), code: ReasonCode::NotAuthorized };
    assert!(pair.events.contains(&lost));
}

#[test]
fn a_waiter_that_never_returns() {
    for policy in [SessionLost::Republish, SessionLost::Fail] {
        let options = Options { session_lost: policy, ..Pair::persistent_options(Version::V5) };
        let mut pair = Pair::new(options).connected();
        pair.server.manners.silent = true;
        send(&mut pair, 2, Qos::AtLeastOnce);
        send(&mut pair, 2, Qos::ExactlyOnce);
        pair.drive();
        pair.server.manners.silent = false;
        pair.cut();
        pair.server.lose_session();
        pair.drive();
        let ended = results(&pair);
        assert_eq!(ended.len(), 4, "each has ended, once");
        let lost = ended.iter().filter(|(_, it)| *it == Err(Lost::SessionLost)).count();
        assert_eq!(lost, if policy == SessionLost::Fail { 4 } else { 0 });
        assert_eq!(received(&pair).len(), 4 - lost);
        assert_eq!(pair.agent.unfinished_bytes(), 0);
    }
}

#[test]
fn a_message_that_the_server_took_over_is_published_again_after_a_lost_session() {
    let mut pair = Pair::persistent(Version::V5).connected();
    send(&mut pair, 1, Qos::ExactlyOnce);
    pair.poll();
    pair.trickle(usize::MAX, usize::MAX);
    assert_eq!(received(&pair), [0], "PUBREC is here");
    pair.cut();
    pair.server.lose_session();
    pair.drive();
    assert_eq!(received(&pair), [0], "it was not repeated");
    assert_eq!(results(&pair)[0].1, Err(Lost::SessionLost), "nor taken for delivered");
}

#[test]
fn abandoning_leaves_somebody_waiting() {
    let mut pair = Pair::persistent(Version::V5).connected();
    pair.server.manners.silent = true;
    send(&mut pair, 3, Qos::ExactlyOnce);
    pair.drive();
    pair.cut();
    send(&mut pair, 3, Qos::AtMostOnce);
    subscribe(&mut pair, "a");
    pair.agent.abandon(&Lost::Closed);
    pair.poll();
    assert_eq!(results(&pair).len(), 6);
    assert!(results(&pair).iter().all(|(_, result)| *result == Err(Lost::Closed)));
    assert_eq!((pair.agent.unfinished(), pair.agent.unfinished_bytes()), (0, 0));
    assert_eq!(pair.agent.unanswered_requests(), 0);
}

#[test]
fn queued_data_is_lost_when_the_process_restarts() {
    for version in VERSIONS {
        let mut pair = Pair::persistent(version).connected();
        pair.server.manners.silent = true;
        send(&mut pair, 30, Qos::ExactlyOnce);
        pair.drive();
        pair.server.manners.silent = false;
        let first = pair.server.publishes.clone();
        pair.restart_client();
        pair.drive();
        assert!(received(&pair).iter().copied().eq(0..30));
        let again = &pair.server.publishes[first.len()..];
        let ids: Vec<_> = first.iter().map(|(id, _)| *id).collect();
        let resent: Vec<_> = again.iter().filter(|(_, dup)| *dup).map(|(id, _)| *id).collect();
        assert_eq!(ids, resent, "{version}: the same identifiers, with DUP");
    }
}

#[test]
fn qos_0_without_a_connection_is_dropped_silently_or_kept_without_a_bound() {
    let options = Options { offline: Offline::DropQos0, ..Pair::persistent_options(Version::V5) };
    let mut pair = Pair::new(options);
    send(&mut pair, 2, Qos::AtMostOnce);
    send(&mut pair, 1, Qos::AtLeastOnce);
    pair.poll();
    let offline: Vec<_> = results(&pair).into_iter().map(|(_, result)| result).collect();
    assert_eq!(offline, [Err(Lost::Offline), Err(Lost::Offline)]);
    let pair = pair.connected();
    assert_eq!(pair.server.received.len(), 1);
}

#[test]
fn a_manual_acknowledgement_crosses_connections() {
    for version in VERSIONS {
        let options =
            Options { acknowledge: Acknowledge::ByToken, ..Pair::persistent_options(version) };
        let mut pair = Pair::new(options).connected();
        pair.server.publish("t", b"a", Qos::AtLeastOnce);
        pair.server.publish("t", b"b", Qos::ExactlyOnce);
        pair.drive();
        let early = take_tokens(&mut pair);
        pair.cut();
        pair.drive();
        let late = take_tokens(&mut pair);
        assert_eq!(pair.payloads(), [b"a", b"b", b"a"], "QoS 1 comes again, QoS 2 does not");
        let [first, second]: [_; 2] = early.try_into().unwrap();
        assert!(!pair.agent.acknowledge(pair.now, first, ReasonCode::Success), "it is stale");
        assert!(pair.agent.acknowledge(pair.now, second, ReasonCode::Success), "it is not");
        pair.drive();
        assert_eq!(pair.server.unfinished(), 1);
        for token in late {
            pair.agent.acknowledge(pair.now, token, ReasonCode::Success);
        }
        pair.drive();
        assert_eq!(pair.server.unfinished(), 0, "{version}");
    }
}

#[test]
fn an_unknown_pubrec_is_left_unanswered() {
    for version in VERSIONS {
        let mut pair = Pair::persistent(version).connected();
        let packet_id = PacketId::new(77).unwrap();
        pair.server.send(Packet::Pubrec(packet::Ack::new(packet_id)));
        pair.drive();
        assert_eq!(pair.server.kinds.last(), Some(&PacketKind::Pubrel), "{version}");
        assert!(pair.agent.is_connected());
    }
}

#[test]
fn a_repeated_pubrec_is_left_unanswered() {
    let mut pair = Pair::persistent(Version::V311).connected();
    pair.server.manners.silent = true;
    send(&mut pair, 1, Qos::ExactlyOnce);
    pair.drive();
    let (packet_id, _) = pair.server.publishes[0];
    for _ in 0..2 {
        let ack = packet::Ack::new(PacketId::new(packet_id).unwrap());
        pair.server.send(Packet::Pubrec(ack));
    }
    pair.drive();
    assert_eq!(pair.server.kinds[2..], [PacketKind::Pubrel, PacketKind::Pubrel]);
}

#[test]
fn qos_2_is_not_flushed_at_disconnect() {
    let mut pair = Pair::persistent(Version::V311).connected();
    send(&mut pair, 50, Qos::ExactlyOnce);
    while pair.agent.unfinished() > 0 {
        assert!(pair.step(), "unfinished() is what a drain waits for");
    }
    pair.agent.disconnect(pair.now, ReasonCode::Success, &PropertyBuf::new()).unwrap();
    pair.drive();
    assert_eq!(received(&pair).len(), 50);
    assert_eq!(pair.server.held(), 0, "every PUBREL went before the DISCONNECT");
}

#[test]
fn a_message_with_an_identifier_of_an_earlier_run_is_taken_for_a_repetition() {
    for version in VERSIONS {
        let options = Options { clean_start: false, ..Pair::persistent_options(version) };
        // An earlier run was cut before it could release these, and left nothing else.
        let mut pair = Pair::new(options);
        for packet_id in [1, 2, 7] {
            pair.server.hold(packet_id);
        }
        pair.agent.connect(pair.now);
        for n in 10..40 {
            pair.agent.publish(pair.now, Publish::new("t", [n]).qos(Qos::ExactlyOnce)).unwrap();
        }
        // And once more in the middle of it.
        for _ in 0..4 {
            pair.step();
        }
        pair.cut_after(20, 10);
        pair.drive();
        assert!(received(&pair).iter().copied().eq(10..40), "{version}: {:?}", received(&pair));
        assert_eq!(pair.server.held(), 0);
    }
}

#[test]
fn a_stalled_transport_makes_memory_grow() {
    let mut pair = Pair::persistent(Version::V5).connected();
    for n in 0..2_000_u32 {
        let publish = Publish::new("t", vec![0; 1_000]).qos(Qos::AtMostOnce);
        assert!(pair.agent.publish(pair.now, publish).is_ok(), "{n}");
    }
    // One write at a time: what is not asked for stays in the outbox, where it is bounded.
    let Some(Transmit::Bytes(bytes)) = pair.agent.poll_transmit(pair.now) else {
        panic!("there is a lot to write");
    };
    assert!(bytes.len() < 70_000, "{}", bytes.len());
    assert!(pair.agent.unfinished() > 1_900);
}

fn take_tokens(pair: &mut Pair) -> Vec<ternmq_agent::AckToken> {
    let tokens = pair.events.iter_mut().filter_map(|event| match event {
        Event::Message { token, .. } => token.take(),
        _ => None,
    });
    tokens.collect()
}
