//! What happens when something goes wrong: refusals, silence, violations, lost connections.

mod pair;

use std::time::Duration;

use pair::Pair;
use ternmq_agent::{Cause, CommandError, Event, LinkState, Options, Publish, Reconnect, Transmit};
use ternmq_proto::frame::PacketKind;
use ternmq_proto::packet::{self, Packet};
use ternmq_proto::{PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

fn retrying(options: Options) -> Options {
    Options { reconnect: Reconnect::default().retry_first(true), ..options }
}

fn pings(pair: &Pair) -> usize {
    pair.server.kinds.iter().filter(|kind| **kind == PacketKind::Pingreq).count()
}

#[test]
fn a_first_attempt_that_fails_is_told_and_not_repeated() {
    let mut pair = Pair::new(Options::default());
    pair.reachable = false;
    pair.agent.connect(0);
    pair.drive();
    assert_eq!(pair.agent.state(), LinkState::Stopped);
    assert_eq!(pair.causes(), [&Cause::Failed("connection refused".into())]);
}

#[test]
fn a_first_attempt_is_repeated_if_the_options_say_so() {
    let mut pair = Pair::new(retrying(Options::default()));
    pair.reachable = false;
    pair.agent.connect(0);
    for _ in 0..20 {
        pair.poll();
        let LinkState::Waiting { until } = pair.agent.state() else { panic!("it gave up") };
        pair.advance_to(until);
    }
    assert_eq!(pair.causes().len(), 20);
    pair.reachable = true;
    pair.drive();
    assert!(pair.agent.is_connected());
}

#[test]
fn what_is_the_users_fault_is_not_repeated_before_it_ever_worked() {
    for (code, state_is_final) in
        [(ReasonCode::BadUserNameOrPassword, true), (ReasonCode::ServerUnavailable, false)]
    {
        let mut pair = Pair::new(retrying(Options::default()));
        pair.server.manners.refuse = Some(code);
        pair.agent.connect(0);
        while pair.step() {}
        assert_eq!(pair.agent.state() == LinkState::Stopped, state_is_final);
        let refused = Cause::Refused { code, reason: None, server_reference: None };
        assert_eq!(pair.causes(), [&refused]);
    }
}

#[test]
fn a_password_that_worked_once_is_tried_again() {
    let mut pair = Pair::persistent(Version::V5).connected();
    pair.server.manners.refuse = Some(ReasonCode::NotAuthorized);
    pair.cut();
    for _ in 0..5 {
        while pair.step() {}
        let LinkState::Waiting { until } = pair.agent.state() else { panic!("it gave up") };
        pair.advance_to(until);
    }
    pair.server.manners.refuse = None;
    pair.drive();
    assert!(pair.agent.is_connected());
}

#[test]
fn an_attempt_without_an_answer_ends() {
    let mut pair =
        Pair::new(Options { connect_timeout: Duration::from_secs(7), ..Options::default() });
    pair.agent.connect(0);
    assert_eq!(pair.agent.poll_transmit(0), Some(Transmit::Open));
    pair.agent.handle_connected(3_000_000);
    assert!(matches!(pair.agent.poll_transmit(3_000_000), Some(Transmit::Bytes(_))));
    assert_eq!(pair.agent.poll_timeout(), Some(7_000_000));
    pair.agent.handle_timeout(7_000_000);
    assert_eq!(pair.agent.poll_transmit(7_000_000), Some(Transmit::Close));
    pair.poll();
    assert_eq!(pair.causes(), [&Cause::ConnectTimeout]);
}

#[test]
fn a_fleet_does_not_arrive_at_once() {
    let spread = Duration::from_secs(60);
    let reconnect = Reconnect { spread, ..Reconnect::default() };
    let options = Options { reconnect, ..Options::default() };
    let mut arrivals: Vec<_> = (0..200)
        .map(|seed| {
            let mut agent = ternmq_agent::Agent::new(options.clone(), seed).unwrap();
            agent.connect(0);
            agent.poll_timeout().unwrap()
        })
        .collect();
    arrivals.sort_unstable();
    assert!(arrivals[0] < 3_000_000 && arrivals[199] > 57_000_000, "{arrivals:?}");
    let widest = arrivals.windows(2).map(|it| it[1] - it[0]).max();
    assert!(widest < Some(5_000_000), "{widest:?}");
}

#[test]
fn an_idle_connection_is_kept_alive() {
    let mut pair = Pair::persistent(Version::V311).connected();
    for _ in 0..10 {
        let at = pair.agent.poll_timeout().unwrap();
        assert_eq!(at, pair.now + 60_000_000);
        pair.advance_to(at);
        pair.drive();
    }
    assert_eq!(pings(&pair), 10);
    assert!(pair.agent.is_connected());
}

#[test]
fn the_servers_keep_alive_goes_before_our_own() {
    let mut pair = Pair::persistent(Version::V5);
    pair.server.manners.connack.push(Property::ServerKeepAlive(5));
    let pair = pair.connected();
    assert_eq!(pair.agent.poll_timeout(), Some(pair.now + 5_000_000));
}

#[test]
fn a_silent_server_is_left_although_we_send_all_the_time() {
    let mut pair = Pair::persistent(Version::V5).connected();
    pair.server.manners.deaf = true;
    let began = pair.now;
    for _ in 0..200 {
        pair.advance_seconds(1);
        pair.agent.publish(pair.now, Publish::new("t", "x")).unwrap();
        while pair.agent.is_connected() && pair.step() {}
        if !pair.agent.is_connected() {
            break;
        }
    }
    pair.poll();
    assert_eq!(pair.causes(), [&Cause::KeepAliveTimeout]);
    assert_eq!(pair.now - began, 70_000_000, "60 s of silence, 10 s after the ping");
}

#[test]
fn a_slow_reader_does_not_take_its_server_for_dead() {
    let options = Options {
        acknowledge: ternmq_agent::Acknowledge::ByToken,
        receive_maximum: 1,
        ..Pair::persistent_options(Version::V311)
    };
    let mut pair = Pair::new(options).connected();
    for n in 0..3 {
        pair.server.publish("t", &[n], Qos::AtLeastOnce);
    }
    pair.drive();
    assert!(!pair.agent.wants_bytes());
    for _ in 0..100 {
        let at = pair.agent.poll_timeout().unwrap();
        pair.advance_to(at);
        pair.drive();
    }
    assert_eq!(pings(&pair), 100, "the server still gets its pings");
    while let Some(index) = pair.events.iter().position(is_unacknowledged) {
        let Event::Message { token: Some(token), .. } = pair.events.remove(index) else { break };
        pair.agent.acknowledge(pair.now, token, ReasonCode::Success);
        pair.drive();
    }
    assert!(pair.agent.is_connected() && pair.server.unfinished() == 0, "{:?}", pair.causes());
}

fn is_unacknowledged(event: &Event) -> bool {
    matches!(event, Event::Message { token: Some(_), .. })
}

#[test]
fn a_violation_is_told_to_the_server_and_ends_the_connection() {
    let mut pair = Pair::persistent(Version::V5).connected();
    pair.agent.handle_bytes(pair.now, b"\x36\x00");
    while pair.step() {}
    assert_eq!(pair.server.disconnects, [ReasonCode::MalformedPacket]);
    assert!(matches!(pair.causes()[..], [Cause::Protocol(_)]));
    pair.drive();
    assert!(pair.agent.is_connected(), "and it comes back");
}

#[test]
fn more_messages_than_the_receive_maximum_wait_for_their_turn() {
    let options = Options { receive_maximum: 2, ..Pair::persistent_options(Version::V5) };
    let options = Options { acknowledge: ternmq_agent::Acknowledge::ByToken, ..options };
    let mut pair = Pair::new(options).connected();
    pair.agent.publish(0, Publish::new("t", "x").qos(Qos::AtLeastOnce)).unwrap();
    pair.step();
    for n in 1..=3 {
        pair.server.send(Packet::Publish(packet::Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: "t",
            packet_id: PacketId::new(n),
            properties: Properties::EMPTY,
            payload: b"",
        }));
    }
    pair.drive();
    assert_eq!(pair.messages().len(), 2);
    assert_eq!(pair.agent.unfinished(), 0, "what came before them was read");
    let first = pair.events.iter_mut().find_map(|event| match event {
        Event::Message { token, .. } => token.take(),
        _ => None,
    });
    assert!(pair.agent.acknowledge(pair.now, first.unwrap(), ReasonCode::Success));
    pair.poll();
    assert_eq!(pair.messages().len(), 3);
    assert!(pair.agent.is_connected());
}

#[test]
fn a_session_that_should_be_gone_is_not_taken_over() {
    let mut pair = Pair::persistent(Version::V5);
    pair.agent.connect(0);
    pair.poll();
    pair.agent.handle_bytes(0, b"\x20\x03\x01\x00\x00");
    pair.poll();
    assert_eq!(pair.causes(), [&Cause::UnexpectedSession]);
}

#[test]
fn clean_start_is_for_the_first_connection_of_a_session_that_stays() {
    let mut pair = Pair::persistent(Version::V5).connected();
    pair.cut();
    pair.drive();
    pair.restart_client();
    pair.drive();
    let clean: Vec<_> = pair.server.connects.iter().map(|(clean, _)| *clean).collect();
    assert_eq!(clean, [true, false, false]);

    let mut pair = Pair::new(Options { version: Version::V311, ..Options::default() }).connected();
    pair.cut();
    pair.drive();
    let clean: Vec<_> = pair.server.connects.iter().map(|(clean, _)| *clean).collect();
    assert_eq!(clean, [true, true], "in 3.x the session goes with its connection");
}

#[test]
fn an_assigned_client_identifier_is_kept_for_the_session() {
    let options = Options { session_expiry_seconds: 60, ..Options::default() };
    let mut pair = Pair::new(options);
    pair.server.manners.connack.push(Property::AssignedClientIdentifier("auto-7"));
    let mut pair = pair.connected();
    pair.cut();
    pair.drive();
    let names: Vec<_> = pair.server.connects.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["", "auto-7"]);
    assert_eq!(pair.agent.client_id(), "auto-7");
}

#[test]
fn the_server_may_say_goodbye() {
    let mut pair = Pair::persistent(Version::V5).connected();
    let mut properties = PropertyBuf::new();
    properties.push(Property::ReasonString("closing time"));
    pair.server.send(Packet::Disconnect(packet::Disconnect {
        code: ReasonCode::ServerShuttingDown,
        properties: properties.as_properties(),
    }));
    while pair.step() {}
    let cause = pair.causes()[0].to_string();
    assert_eq!(cause, "disconnected by the server: server shutting down (0x8B) (closing time)");
}

#[test]
fn disconnect_says_so_and_stays_away() {
    let mut pair = Pair::persistent(Version::V5).connected();
    pair.server.publish("t", b"1", Qos::AtLeastOnce);
    let bytes = pair.server.take_output();
    pair.agent.handle_bytes(pair.now, &bytes);
    assert!(pair.agent.poll_event(pair.now).is_some());
    let mut shorter = PropertyBuf::new();
    shorter.push(Property::SessionExpiryInterval(5));
    pair.agent.disconnect(pair.now, ReasonCode::DisconnectWithWill, &shorter).unwrap();
    pair.drive();
    assert_eq!(pair.server.disconnects, [ReasonCode::DisconnectWithWill]);
    assert_eq!(pair.server.unfinished(), 0, "the acknowledgement went before it");
    assert_eq!(pair.agent.state(), LinkState::Stopped);
    assert_eq!(pair.causes(), [&Cause::Requested]);
    assert_eq!(pair.agent.poll_timeout(), None);
}

#[test]
fn a_disconnect_that_cannot_be_said_changes_nothing() {
    let options = Options { session_expiry_seconds: 0, ..Options::default() };
    let mut pair = Pair::new(options).connected();
    let mut longer = PropertyBuf::new();
    longer.push(Property::SessionExpiryInterval(5));
    let refused = pair.agent.disconnect(pair.now, ReasonCode::Success, &longer);
    assert_eq!(refused, Err(CommandError::SessionExpiry));
    let mut old = Pair::persistent(Version::V311).connected();
    let with_will = ReasonCode::DisconnectWithWill;
    assert!(old.agent.disconnect(old.now, with_will, &PropertyBuf::new()).is_err());
    assert!(pair.agent.is_connected() && old.agent.is_connected());
}

#[test]
fn the_authentication_exchange_is_the_applications() {
    let mut method = PropertyBuf::new();
    method.push(Property::AuthenticationMethod("M")).push(Property::AuthenticationData(b"1"));
    let mut pair = Pair::new(Options { properties: method.clone(), ..Options::default() });
    pair.agent.connect(0);
    pair.poll();
    let mut challenge = Vec::new();
    let code = ReasonCode::ContinueAuthentication;
    Packet::Auth(packet::Auth { code, properties: method.as_properties() })
        .encode(Version::V5, &mut challenge)
        .unwrap();
    pair.agent.handle_bytes(0, &challenge);
    pair.poll();
    assert_eq!(pair.events, [Event::Auth { code, properties: method.clone() }]);
    pair.agent.authenticate(code, &method).unwrap();
    assert_eq!(pair.agent.poll_transmit(0), Some(Transmit::Bytes(challenge)));
    let mut old = Pair::persistent(Version::V311).connected();
    assert!(old.agent.authenticate(code, &method).is_err());
}

#[test]
fn options_that_do_not_fit_together_are_errors() {
    let error = |options: Options| match ternmq_agent::Agent::new(options, 0) {
        Ok(_) => panic!("these options should not be accepted"),
        Err(error) => error.to_string(),
    };
    let v311 = || Options { version: Version::V311, ..Options::default() };
    let errors = [
        error(Options { clean_start: false, ..v311() }),
        error(Options { session_expiry_seconds: 1, ..v311() }),
        error(Options { password: Some(b"p".to_vec()), ..v311() }),
        error(Options { version: Version::V31, client_id: "x".repeat(24), ..Options::default() }),
        error(Options { receive_maximum: 0, ..Options::default() }),
        error(Options { will: Some(ternmq_agent::Will::new("a/#", "x")), ..Options::default() }),
        error(Options { client_id: "a\0b".into(), ..Options::default() }),
    ];
    let distinct: std::collections::BTreeSet<_> = errors.iter().collect();
    assert_eq!(distinct.len(), errors.len(), "each has its own words: {errors:?}");
}
