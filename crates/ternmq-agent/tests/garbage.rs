//! A server that sends anything: the agent never panics, never goes over its bounds, and always
//! comes back to work with a proper server.

use ternmq_agent::{Acknowledge, Agent, Event, LinkState, Options, Publish, Reconnect, Transmit};
use ternmq_proto::packet::{Ack, Auth, Connack, Disconnect, Packet, Publish as Incoming, Suback};
use ternmq_proto::{PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

const RUNS: u64 = 4_000;
const RECEIVE_MAXIMUM: u16 = 4;
const UNREAD_EVENTS_MAX: usize = 8;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[test]
fn no_bytes_from_a_server_do_harm() {
    let mut ended = 0;
    let mut connected = 0;
    for seed in 0..RUNS {
        let mut random = Random(seed);
        let version = [Version::V31, Version::V311, Version::V5][random.below(3) as usize];
        let mut agent = agent(version, &mut random);
        let mut now = 0;
        agent.connect(now);
        for _ in 0..30 {
            now += random.below(3_000_000);
            connected += u32::from(agent.is_connected());
            feed(&mut agent, now, version, &mut random);
            if random.below(10) == 0 {
                now = agent.poll_timeout().map_or(now, |at| at.max(now));
                agent.handle_timeout(now);
            }
            ended += poll(&mut agent, now, &mut random);
            assert!(agent.unacknowledged() <= usize::from(RECEIVE_MAXIMUM) + 1);
        }
        recover(&mut agent, now, version, &mut random);
    }
    assert!(ended > 1_000 && connected > 10_000, "{ended} ends, {connected} connected");
}

fn agent(version: Version, random: &mut Random) -> Agent {
    let options = Options {
        version,
        client_id: "c".into(),
        session_expiry_seconds: if version == Version::V5 { 60 } else { 0 },
        receive_maximum: RECEIVE_MAXIMUM,
        packet_bytes_max: 300,
        unread_events_max: UNREAD_EVENTS_MAX,
        acknowledge: [Acknowledge::WhenTaken, Acknowledge::ByToken][random.below(2) as usize],
        reconnect: Reconnect::default().retry_first(true),
        ..Options::default()
    };
    let mut agent = Agent::new(options, random.below(u64::MAX)).expect("they fit together");
    for n in 0..20 {
        let qos = Qos::from_bits(n % 3).expect("0 to 2");
        agent.publish(0, Publish::new("t", vec![n; 10]).qos(qos)).expect("there is room");
    }
    agent.subscribe(vec![("#".into(), Qos::ExactlyOnce.into())], PropertyBuf::new()).expect("#");
    agent
}

/// Sends some packets, sound ones and broken ones, in pieces.
fn feed(agent: &mut Agent, now: u64, version: Version, random: &mut Random) {
    let mut bytes = Vec::new();
    if agent.state() == LinkState::Connecting {
        let session_present = random.below(2) == 0;
        let (code, properties) = (ReasonCode::Success, Properties::EMPTY);
        let connack = Connack { session_present, code, properties };
        Packet::Connack(connack).encode(version, &mut bytes).expect("lawful");
    }
    for _ in 0..random.below(8) {
        packet(version, random, &mut bytes);
    }
    if random.below(8) == 0 && !bytes.is_empty() {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() && agent.wants_bytes() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(20) as usize));
        agent.handle_bytes(now, piece);
        rest = after;
    }
}

fn packet(version: Version, random: &mut Random, out: &mut Vec<u8>) {
    let id = PacketId::new(1 + random.below(25) as u16).expect("not 0");
    let ack = Ack::new(id);
    let mut properties = PropertyBuf::new();
    if version == Version::V5 && random.below(3) == 0 {
        properties.push(Property::TopicAlias(1 + random.below(18) as u16));
    }
    let qos = Qos::from_bits(random.below(3) as u8).expect("0 to 2");
    let publish = Incoming {
        dup: qos != Qos::AtMostOnce && random.below(2) == 0,
        qos,
        retain: random.below(2) == 0,
        topic: if properties.is_empty() || random.below(2) == 0 { "a/b" } else { "" },
        packet_id: (qos != Qos::AtMostOnce).then_some(id),
        properties: properties.as_properties(),
        payload: &[0; 200][..random.below(200) as usize],
    };
    let none = Properties::EMPTY;
    let packet = match random.below(16) {
        0..6 => Packet::Publish(publish),
        6..8 => Packet::Puback(ack),
        8..10 => Packet::Pubrec(ack),
        10..12 => Packet::Pubcomp(ack),
        12 => Packet::Pubrel(ack),
        13 => Packet::Suback(Suback { packet_id: id, properties: none, codes: &[0] }),
        14 => Packet::Pingresp,
        _ if random.below(10) > 0 => Packet::Pingresp,
        _ if version == Version::V5 && random.below(2) == 0 => {
            Packet::Disconnect(Disconnect { code: ReasonCode::ServerBusy, properties: none })
        }
        _ if version == Version::V5 => {
            Packet::Auth(Auth { code: ReasonCode::Success, properties: none })
        }
        _ => Packet::Pingreq,
    };
    // AUTH without a method cannot be written: nothing is sent then.
    let _unlawful = packet.encode(version, out);
}

/// Does what the agent wants, or not everything yet. Returns how many connections ended.
fn poll(agent: &mut Agent, now: u64, random: &mut Random) -> u32 {
    let mut ended = 0;
    for _ in 0..random.below(40) {
        match agent.poll_transmit(now) {
            Some(Transmit::Open) => agent.handle_connected(now),
            Some(Transmit::Bytes(bytes)) => assert!(bytes.len() < 70_000),
            Some(Transmit::Close) | None => {}
        }
        match agent.poll_event(now) {
            Some(Event::Disconnected { .. }) => ended += 1,
            Some(Event::Message { message, token }) => {
                assert!(!message.topic.is_empty(), "an alias was not resolved");
                if let Some(token) = token {
                    agent.acknowledge(now, token, ReasonCode::Success);
                }
            }
            _ => {}
        }
    }
    ended
}

/// After all that, a proper server gets a proper client.
fn recover(agent: &mut Agent, mut now: u64, version: Version, random: &mut Random) {
    agent.handle_closed(now, None);
    for _ in 0..100 {
        while poll(agent, now, random) > 0 || agent.poll_event(now).is_some() {}
        if agent.state() == LinkState::Connecting {
            break;
        }
        now = agent.poll_timeout().map_or(now, |at| at.max(now));
        agent.handle_timeout(now);
        if agent.state() == LinkState::Stopped {
            agent.connect(now);
        }
    }
    let connack =
        if version == Version::V5 { &b"\x20\x03\x00\x00\x00"[..] } else { b"\x20\x02\0\0" };
    for _ in 0..100 {
        if let Some(Transmit::Open) = agent.poll_transmit(now) {
            agent.handle_connected(now);
        }
        if agent.wants_bytes() {
            break;
        }
        assert!(agent.poll_event(now).is_some() || agent.state() == LinkState::Connecting);
    }
    agent.handle_bytes(now, connack);
    assert!(agent.is_connected(), "{:?}", agent.state());
}
