//! What strangers are told, version by version, however their bytes are cut up.

use super::*;
use ternmq_proto::packet::Disconnect;

const V: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// Asks back `rounds` times, then takes whoever has answered `yes` each time.
struct Rounds(u32);

struct Ongoing(u32);

impl Mechanisms for Rounds {
    fn start(&self, method: &str) -> Option<Box<dyn Exchange>> {
        (method == "ROUNDS").then(|| Box::new(Ongoing(self.0)) as Box<dyn Exchange>)
    }
}

impl Exchange for Ongoing {
    fn method(&self) -> &str {
        "ROUNDS"
    }

    fn step(&mut self, data: &[u8]) -> Step {
        match (data, self.0) {
            (b"yes", 0) => Step::Done(b"welcome".to_vec()),
            (b"yes", left) => {
                self.0 -= 1;
                Step::Continue(left.to_string().into_bytes())
            }
            _ => Step::Refuse(ReasonCode::NotAuthorized),
        }
    }
}

struct Desk {
    anonymous: bool,
    closed: Option<ReasonCode>,
    rounds: u32,
    ids: ClientIds,
}

impl Desk {
    fn open() -> Desk {
        Desk { anonymous: true, closed: None, rounds: 0, ids: ClientIds::new() }
    }

    fn hear(&mut self, greeting: &mut Greeting, bytes: &[u8]) -> Reply {
        let rules = Rules {
            packet_bytes_max: 1_000,
            anonymous: self.anonymous,
            mechanisms: &Rounds(self.rounds),
            closed: self.closed,
        };
        greeting.handle_bytes(&rules, &mut self.ids, bytes)
    }

    fn first(&mut self, bytes: &[u8]) -> Reply {
        self.hear(&mut Greeting::default(), bytes)
    }
}

fn connect(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: Properties::EMPTY,
        bridge: false,
    }
}

fn bytes_of(packet: Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("a lawful packet");
    bytes
}

fn connect_bytes(version: Version, client_id: &str) -> Vec<u8> {
    bytes_of(Packet::Connect(connect(version, client_id)), version)
}

fn with_method(method: &str, data: &[u8]) -> Vec<u8> {
    let mut properties = PropertyBuf::new();
    properties.push(Property::AuthenticationMethod(method));
    properties.push(Property::AuthenticationData(data));
    let properties = properties.as_properties();
    let connect = Connect { properties, ..connect(Version::V5, "c") };
    bytes_of(Packet::Connect(connect), Version::V5)
}

fn auth(code: ReasonCode, method: &str, data: &[u8]) -> Vec<u8> {
    let mut properties = PropertyBuf::new();
    properties.push(Property::AuthenticationMethod(method));
    properties.push(Property::AuthenticationData(data));
    let properties = properties.as_properties();
    bytes_of(Packet::Auth(Auth { code, properties }), Version::V5)
}

/// The code of a CONNACK that refuses, as it is on the wire; `None` if nothing is said.
fn refused(reply: &Reply) -> Option<u8> {
    assert!(matches!(reply.outcome, Outcome::Close(_)), "it is closed");
    match reply.answer[..] {
        [] => None,
        [0x20, 2, 0, code] | [0x20, 3, 0, code, 0] => Some(code),
        _ => panic!("not a CONNACK without properties: {:x?}", reply.answer),
    }
}

fn admitted(reply: Reply) -> Admission {
    assert!(reply.answer.is_empty(), "CONNACK is the shard's");
    match reply.outcome {
        Outcome::Admit(admission) => admission,
        Outcome::Close(code) => panic!("refused: {code}"),
        Outcome::Wait => panic!("it waits for more"),
    }
}

#[test]
fn a_client_is_admitted_with_what_it_sent_ahead() {
    for version in V {
        let connect = connect_bytes(version, "c");
        let ahead = [&connect[..], b"\xC0\x00\x30"].concat();
        let admission = admitted(Desk::open().first(&ahead));
        assert_eq!(admission.bytes, ahead);
        assert_eq!(admission.connect_bytes, connect.len());
        assert_eq!(admission.partition, partition_of("c"));
        assert!(admission.assigned_client_id.is_none());
    }
}

#[test]
fn a_connect_may_arrive_byte_by_byte_and_memory_grows_with_it() {
    let connect = connect_bytes(Version::V311, "trickler");
    let (last, all_but_last) = connect.split_last().expect("it has bytes");
    let mut desk = Desk::open();
    let mut greeting = Greeting::default();
    for (count, byte) in all_but_last.iter().enumerate() {
        assert!(matches!(desk.hear(&mut greeting, &[*byte]).outcome, Outcome::Wait));
        assert!(greeting.received.capacity() <= 2 * (count + 1).max(8));
    }
    assert_eq!(admitted(desk.hear(&mut greeting, &[*last])).bytes, connect);
}

#[test]
fn an_announced_length_is_not_allocated() {
    let mut desk = Desk::open();
    let mut greeting = Greeting::default();
    // A CONNECT that says it has 900 bytes.
    let reply = desk.hear(&mut greeting, b"\x10\x84\x07\x00\x04MQTT");
    assert!(matches!(reply.outcome, Outcome::Wait));
    assert!(greeting.received.capacity() < 64);
}

#[test]
fn who_does_not_begin_with_connect_is_closed_at_once_without_a_word() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"\x00", b"\x30\x05\x00", b"\xC0\0"]
    {
        assert_eq!(refused(&Desk::open().first(bytes)), None);
    }
}

#[test]
fn a_version_that_is_not_spoken_is_named_in_words_that_its_client_knows() {
    let with_level = |level: u8| {
        let mut bytes = connect_bytes(Version::V311, "c");
        bytes[8] = level;
        bytes
    };
    assert_eq!(refused(&Desk::open().first(&with_level(2))), Some(1));
    assert_eq!(refused(&Desk::open().first(&with_level(6))), Some(0x84));
    assert_eq!(refused(&Desk::open().first(&with_level(0x86))), Some(0x84));
    let mut newer_mqisdp = connect_bytes(Version::V31, "c");
    newer_mqisdp[10] = 5;
    assert_eq!(refused(&Desk::open().first(&newer_mqisdp)), Some(1));
    let mut other_name = connect_bytes(Version::V311, "c");
    other_name[4..8].copy_from_slice(b"HTTP");
    assert_eq!(refused(&Desk::open().first(&other_name)), None);
}

#[test]
fn a_malformed_connect_is_answered_where_the_version_has_words_for_it() {
    for (version, wanted) in
        [(Version::V31, None), (Version::V311, None), (Version::V5, Some(0x81))]
    {
        let mut bytes = connect_bytes(version, "c");
        // One byte more than the fields need.
        bytes.push(0);
        bytes[1] += 1;
        assert_eq!(refused(&Desk::open().first(&bytes)), wanted, "{version:?}");
    }
    // The reserved flag.
    let mut bytes = connect_bytes(Version::V5, "c");
    bytes[9] |= 1;
    assert_eq!(refused(&Desk::open().first(&bytes)), Some(0x81));
}

#[test]
fn a_connect_over_the_limit_is_refused_before_it_has_arrived() {
    assert_eq!(refused(&Desk::open().first(b"\x10\xFF\x7F\x00\x04MQTT\x05")), Some(0x95));
    assert_eq!(refused(&Desk::open().first(b"\x10\xFF\x7F\x00\x04MQTT\x04")), None);
    assert_eq!(refused(&Desk::open().first(b"\x10\xFF\xFF\xFF\xFF")), None);
}

#[test]
fn an_empty_client_identifier_is_filled_where_the_version_allows() {
    assert_eq!(refused(&Desk::open().first(&connect_bytes(Version::V31, ""))), Some(2));
    let persistent = Connect { clean_start: false, ..connect(Version::V311, "") };
    let bytes = bytes_of(Packet::Connect(persistent), Version::V311);
    assert_eq!(refused(&Desk::open().first(&bytes)), Some(2));
    for version in [Version::V311, Version::V5] {
        let admission = admitted(Desk::open().first(&connect_bytes(version, "")));
        let assigned = admission.assigned_client_id.expect("one is assigned");
        assert_eq!(admission.partition, partition_of(&assigned));
    }
}

#[test]
fn where_credentials_are_needed_nobody_comes_in_without() {
    for (version, no_name, name) in
        [(Version::V31, 5, 4), (Version::V311, 5, 4), (Version::V5, 0x87, 0x86)]
    {
        let mut desk = Desk { anonymous: false, ..Desk::open() };
        assert_eq!(refused(&desk.first(&connect_bytes(version, "c"))), Some(no_name));
        let named =
            Connect { user_name: Some("me"), password: Some(b"x"), ..connect(version, "c") };
        let bytes = bytes_of(Packet::Connect(named), version);
        assert_eq!(refused(&desk.first(&bytes)), Some(name));
    }
}

#[test]
fn a_full_house_says_so() {
    for (version, wanted) in [(Version::V31, 3), (Version::V311, 3), (Version::V5, 0x89)] {
        let mut desk = Desk { closed: Some(ReasonCode::ServerBusy), ..Desk::open() };
        assert_eq!(refused(&desk.first(&connect_bytes(version, "c"))), Some(wanted));
    }
}

#[test]
fn an_unknown_authentication_method_is_refused() {
    assert_eq!(refused(&Desk::open().first(&with_method("SCRAM", b""))), Some(0x8C));
}

#[test]
fn an_exchange_goes_back_and_forth_and_ends_with_admission() {
    let mut desk = Desk { anonymous: false, rounds: 2, ..Desk::open() };
    let mut greeting = Greeting::default();
    let connect = with_method("ROUNDS", b"yes");
    let reply = desk.hear(&mut greeting, &connect);
    assert_eq!(reply.answer, auth(ReasonCode::ContinueAuthentication, "ROUNDS", b"2"));
    assert!(matches!(reply.outcome, Outcome::Wait));
    let answer = auth(ReasonCode::ContinueAuthentication, "ROUNDS", b"yes");
    let (half, rest) = answer.split_at(5);
    assert!(matches!(desk.hear(&mut greeting, half).outcome, Outcome::Wait));
    let reply = desk.hear(&mut greeting, rest);
    assert_eq!(reply.answer, auth(ReasonCode::ContinueAuthentication, "ROUNDS", b"1"));
    let ahead = [&answer[..], b"\xC0\x00"].concat();
    let admission = admitted(desk.hear(&mut greeting, &ahead));
    assert_eq!(admission.bytes, [&connect[..], b"\xC0\x00"].concat(), "AUTH is not passed on");
    assert_eq!(admission.connect_bytes, connect.len());
    assert_eq!(admission.authenticated.expect("authenticated").data, b"welcome");
}

#[test]
fn what_does_not_belong_in_an_exchange_ends_it() {
    let more = ReasonCode::ContinueAuthentication;
    let disconnect = Disconnect { code: ReasonCode::Success, properties: Properties::EMPTY };
    for (bytes, wanted) in [
        (auth(more, "ROUNDS", b"no"), Some(0x87)),
        (auth(more, "OTHER", b"yes"), Some(0x82)),
        (auth(ReasonCode::Reauthenticate, "ROUNDS", b"yes"), Some(0x82)),
        (b"\xC0\x00".to_vec(), Some(0x82)),
        (b"\xF0\x02\x18".to_vec().repeat(2), Some(0x81)),
        (bytes_of(Packet::Disconnect(disconnect), Version::V5), None),
    ] {
        let mut desk = Desk { rounds: 2, ..Desk::open() };
        let mut greeting = Greeting::default();
        desk.hear(&mut greeting, &with_method("ROUNDS", b"yes"));
        assert_eq!(refused(&desk.hear(&mut greeting, &bytes)), wanted, "{bytes:x?}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    // Cheap pseudo-random mutations of lawful openings: the codec has its own fuzzing.
    let openings = [connect_bytes(Version::V5, "c"), with_method("ROUNDS", b"yes")];
    let mut state = 0x1883_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    for _ in 0..20_000 {
        let mut bytes = openings[next() % 2].clone();
        for _ in 0..=next() % 3 {
            let at = next() % bytes.len();
            bytes[at] = next() as u8;
        }
        let cut = next() % bytes.len();
        let mut desk = Desk { rounds: 1, ..Desk::open() };
        let mut greeting = Greeting::default();
        if matches!(desk.hear(&mut greeting, &bytes[..cut]).outcome, Outcome::Wait) {
            desk.hear(&mut greeting, &bytes[cut..]);
        }
    }
}
