//! A broker in this process and clients on real sockets: what the host adds to the engine.

mod harness;

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use harness::{Arrived, Client, PATIENCE, connect, encoded, publish, start, start_with, stop};
use ternmq_broker::auth::{Exchange, Mechanisms, Step};
use ternmq_broker::{Broker, Config, Sources, StartError};
use ternmq_proto::packet::{Auth, Connect, Disconnect};
use ternmq_proto::{Packet, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

#[test]
fn a_message_goes_from_every_shard_to_every_shard() {
    const CLIENTS: usize = 16;
    let (broker, address) = start(7);
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|n| Client::connect(address, &format!("c{n}"))).collect();
    for client in &mut clients {
        client.subscribe("all/#", Qos::AtMostOnce);
    }
    for n in 0..CLIENTS {
        let topic = format!("all/{n}");
        clients[n].publish(&topic, topic.as_bytes(), Qos::AtMostOnce, 0);
        for client in &mut clients {
            assert_eq!(client.payload(), topic.as_bytes());
        }
    }
    stop(broker);
}

#[test]
fn order_holds_across_shards_at_every_qos() {
    const MESSAGES: u16 = 500;
    let (broker, address) = start(3);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut subscribers: Vec<_> =
            (0..6).map(|n| Client::connect(address, &format!("s{n}"))).collect();
        for subscriber in &mut subscribers {
            subscriber.subscribe("t", Qos::AtMostOnce);
        }
        let mut publisher = Client::connect(address, "publisher");
        for n in 1..=MESSAGES {
            let id = if qos == Qos::AtMostOnce { 0 } else { n };
            publisher.publish("t", &n.to_be_bytes(), qos, id);
        }
        for subscriber in &mut subscribers {
            for n in 1..=MESSAGES {
                assert_eq!(subscriber.payload(), n.to_be_bytes());
            }
        }
    }
    stop(broker);
}

#[test]
fn packets_may_arrive_in_any_pieces() {
    let (broker, address) = start(2);
    let mut subscriber = Client::connect(address, "s");
    subscriber.subscribe("t", Qos::AtMostOnce);
    // CONNECT and everything after it in one write, then byte by byte.
    let mut bytes = encoded(&Packet::Connect(connect("p")), Version::V5);
    for n in 0..20_u8 {
        let payload = [n; 100];
        let packet = Packet::Publish(publish("t", &payload, Qos::AtMostOnce, 0));
        bytes.extend(encoded(&packet, Version::V5));
    }
    let mut at_once = Client::open(address, Version::V5);
    at_once.stream.write_all(&bytes).expect("writes");
    for n in 0..20_u8 {
        assert_eq!(subscriber.payload(), [n; 100]);
    }
    let mut bytewise = Client::open(address, Version::V5);
    for byte in bytes {
        bytewise.stream.write_all(&[byte]).expect("writes");
    }
    for n in 0..20_u8 {
        assert_eq!(subscriber.payload(), [n; 100]);
    }
    stop(broker);
}

#[test]
fn large_packets_pass_and_too_large_ones_are_refused() {
    let mut config = Config::for_tests();
    config.limit.packet_bytes = 3 << 20;
    let (broker, address) = start_with(config);
    let mut subscriber = Client::connect(address, "s");
    subscriber.subscribe("t", Qos::AtMostOnce);
    let mut publisher = Client::connect(address, "p");
    for bytes in [60_000, 300_000, 3_000_000, 1] {
        let payload: Vec<u8> = (0..bytes).map(|n: u32| (n % 251) as u8).collect();
        publisher.publish("t", &payload, Qos::AtLeastOnce, 7);
        assert_eq!(publisher.receive(), Arrived::Ack(4, 7));
        assert!(subscriber.payload() == payload, "{bytes} bytes were changed on their way");
    }
    let too_large = encoded(
        &Packet::Publish(publish("t", &vec![0; 4_000_000], Qos::AtMostOnce, 0)),
        Version::V5,
    );
    // The broker may close before all is written.
    drop(publisher.stream.write_all(&too_large));
    assert_eq!(publisher.receive(), Arrived::Disconnect(ReasonCode::PacketTooLarge));
    assert_eq!(publisher.receive(), Arrived::End);
    stop(broker);
}

#[test]
fn a_client_that_sends_much_at_once_does_not_stop_the_others() {
    let (broker, address) = start(1);
    let mut flood = Vec::new();
    for _ in 0..20_000 {
        let packet = Packet::Publish(publish("nowhere", &[0; 50], Qos::AtMostOnce, 0));
        flood.extend(encoded(&packet, Version::V5));
    }
    let mut noisy = Client::connect(address, "noisy");
    let mut calm = Client::connect(address, "calm");
    let mut writer = noisy.stream.try_clone().expect("a second handle");
    let thread = std::thread::spawn(move || writer.write_all(&flood).expect("writes"));
    for _ in 0..50 {
        calm.ping();
    }
    thread.join().expect("no panic");
    noisy.ping();
    // Figures follow within a few milliseconds.
    while broker.stats().sessions.publish_received[0] < 20_000 {
        calm.ping();
    }
    stop(broker);
}

#[test]
fn a_consumer_that_does_not_read_costs_the_others_nothing_but_its_wait() {
    let (broker, address) = start(2);
    let mut slow = Client::connect(address, "slow");
    slow.subscribe("t", Qos::AtMostOnce);
    let mut quick = Client::connect(address, "quick");
    quick.subscribe("t", Qos::AtMostOnce);
    let mut publisher = Client::connect(address, "publisher");
    let payload = vec![7; 100_000];
    for _ in 0..300 {
        publisher.publish("t", &payload, Qos::AtMostOnce, 0);
        assert_eq!(quick.payload().len(), payload.len());
    }
    // What reaches the slow one afterwards are whole packets, however many.
    publisher.publish("t", b"last", Qos::AtMostOnce, 0);
    assert_eq!(quick.payload(), b"last");
    assert_eq!(slow.payload().len(), payload.len());
    stop(broker);
}

#[test]
fn a_takeover_tells_the_old_connection() {
    let (broker, address) = start(2);
    let mut old = Client::connect(address, "same");
    let mut new = Client::connect(address, "same");
    assert_eq!(old.receive(), Arrived::Disconnect(ReasonCode::SessionTakenOver));
    assert_eq!(old.receive(), Arrived::End);
    new.ping();
    stop(broker);
}

#[test]
fn a_client_without_identifier_gets_one() {
    let (broker, address) = start(2);
    let mut client = Client::open(address, Version::V5);
    client.send(&Packet::Connect(connect("")));
    let Arrived::Connack(ReasonCode::Success, Some(assigned)) = client.receive() else {
        panic!("no identifier was assigned");
    };
    // It is the session's: a second client with it takes over.
    let _second = Client::connect(address, &assigned);
    assert_eq!(client.receive(), Arrived::Disconnect(ReasonCode::SessionTakenOver));
    stop(broker);
}

#[test]
fn the_operator_can_disconnect_a_client() {
    let (broker, address) = start(4);
    let mut clients: Vec<_> = (0..8).map(|n| Client::connect(address, &format!("c{n}"))).collect();
    broker.disconnect("c3");
    broker.disconnect("nobody");
    assert_eq!(clients[3].receive(), Arrived::Disconnect(ReasonCode::AdministrativeAction));
    assert_eq!(clients[3].receive(), Arrived::End);
    for client in [0, 1, 2, 4, 5, 6, 7] {
        clients[client].ping();
    }
    stop(broker);
}

#[test]
fn a_client_that_ends_its_side_is_gone_and_one_that_says_goodbye_is_let_go() {
    let (broker, address) = start(2);
    let mut polite = Client::connect(address, "polite");
    let code = ReasonCode::Success;
    polite.send(&Packet::Disconnect(Disconnect { code, properties: Properties::EMPTY }));
    assert_eq!(polite.receive(), Arrived::End);
    let mut silent = Client::connect(address, "silent");
    silent.stream.shutdown(Shutdown::Write).expect("ends its side");
    assert_eq!(silent.receive(), Arrived::End);
    drop(silent);
    // Both places are free again once their sockets are: the next one sees no connection but its own.
    let mut last = Client::connect(address, "last");
    while broker.stats().sessions.connections > 1 {
        last.ping();
    }
    stop(broker);
}

#[test]
fn shutting_down_tells_every_client_and_writes_what_is_left() {
    let (broker, address) = start(3);
    let mut clients: Vec<_> = (0..20).map(|n| Client::connect(address, &format!("c{n}"))).collect();
    let mut guest = Client::open(address, Version::V5);
    guest.stream.write_all(b"\x10").expect("writes");
    clients[0].subscribe("t", Qos::AtMostOnce);
    clients[1].publish("t", b"last words", Qos::AtLeastOnce, 1);
    assert_eq!(clients[1].receive(), Arrived::Ack(4, 1));
    stop(broker);
    assert_eq!(clients[0].payload(), b"last words");
    for client in &mut clients {
        assert_eq!(client.receive(), Arrived::Disconnect(ReasonCode::ServerShuttingDown));
        assert_eq!(client.receive(), Arrived::End);
    }
    assert_eq!(guest.receive(), Arrived::End);
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn shutting_down_waits_for_nobody_beyond_its_deadline() {
    let (broker, address) = start(2);
    let mut stubborn = Client::connect(address, "stubborn");
    stubborn.subscribe("t", Qos::AtMostOnce);
    // It never reads, so its last words never fit.
    let mut publisher = Client::connect(address, "publisher");
    for _ in 0..100 {
        publisher.publish("t", &vec![0; 200_000], Qos::AtMostOnce, 0);
    }
    publisher.ping();
    broker.shutdown(Duration::ZERO).expect("cut off, not failed");
}

#[test]
fn a_port_in_use_is_a_configuration_error_and_leaves_nothing_behind() {
    let (broker, address) = start(1);
    let url = format!("tcp://{address}");
    let sources = Sources::<Vec<_>> { listen: vec![url.clone()], ..Sources::default() };
    let config = Config::load(sources).expect("lawful");
    let error = Broker::start(config).err().expect("the port is taken");
    assert!(matches!(error, StartError::Listen { .. }) && error.is_configuration());
    assert!(error.to_string().starts_with(&format!("cannot listen on {url}: ")), "{error}");
    stop(broker);
    let sources = Sources::<Vec<_>> { listen: vec![url], ..Sources::default() };
    stop(Broker::start(Config::load(sources).expect("lawful")).expect("the port is free again"));
}

#[test]
fn listeners_of_all_kinds_are_named_when_ready() {
    let listen = ["tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://localhost:0"];
    let listen = listen.map(str::to_owned).to_vec();
    let config = Config::load(Sources::<Vec<_>> { listen, ..Sources::default() }).expect("lawful");
    let broker = Broker::start(config).expect("starts");
    let addresses = broker.addresses();
    let line = broker.ready_line();
    assert!(line.starts_with("ready tcp://127.0.0.1:"), "{line}");
    assert!(line.contains(" tcp://[::1]:"), "{line}");
    for address in addresses {
        assert!(line.contains(&format!(" tcp://{address}")), "{line}");
        Client::connect(address, "c").ping();
    }
    stop(broker);
}

#[test]
fn the_broker_s_figures_are_published_as_sys_topics() {
    let mut config = Config::for_tests();
    config.sys.interval = Duration::from_millis(50);
    let (broker, address) = start_with(config);
    let mut client = Client::connect(address, "watcher");
    client.subscribe("$SYS/broker/clients/connected", Qos::AtMostOnce);
    while client.payload() != b"1" {}
    client.publish("$SYS/broker/clients/connected", b"666", Qos::AtMostOnce, 0);
    match client.receive() {
        Arrived::Publish { payload, .. } => assert_eq!(payload, b"1"),
        Arrived::Disconnect(code) => assert!(code.is_error()),
        other => panic!("{other:?}"),
    }
    stop(broker);
}

#[test]
fn many_clients_come_at_once_and_all_are_served() {
    let (broker, address) = start(4);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut clients: Vec<_> =
                    (0..100).map(|n| Client::connect(address, &format!("t{thread}-{n}"))).collect();
                clients.iter_mut().for_each(Client::ping);
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("all were served");
    }
    assert_eq!(broker.stats().lobby.accepted, 800);
    broker.shutdown(PATIENCE).expect("well");
}

/// Takes whoever answers `open` to its question, also later again.
struct Password;

struct Asked(bool);

impl Mechanisms for Password {
    fn start(&self, method: &str) -> Option<Box<dyn Exchange>> {
        (method == "PASSWORD").then(|| Box::new(Asked(false)) as Box<dyn Exchange>)
    }
}

impl Exchange for Asked {
    fn method(&self) -> &str {
        "PASSWORD"
    }

    fn step(&mut self, data: &[u8]) -> Step {
        let was_asked = self.0;
        self.0 = !was_asked;
        match (was_asked, data) {
            (false, _) => Step::Continue(b"who?".to_vec()),
            (true, b"open") => Step::Done(b"welcome".to_vec()),
            (true, _) => Step::Refuse(ReasonCode::NotAuthorized),
        }
    }
}

fn answer(code: ReasonCode, data: &[u8]) -> Vec<u8> {
    let mut properties = PropertyBuf::new();
    properties.push(Property::AuthenticationMethod("PASSWORD"));
    properties.push(Property::AuthenticationData(data));
    let auth = Auth { code, properties: properties.as_properties() };
    encoded(&Packet::Auth(auth), Version::V5)
}

#[test]
fn enhanced_authentication_begins_in_the_lobby_and_is_repeated_at_the_shard() {
    let mut config = Config::for_tests();
    config.listeners[0].anonymous = false;
    let broker = Broker::start_with_mechanisms(config, Arc::new(Password)).expect("starts");
    let address = broker.addresses()[0];
    for (word, wanted) in [(&b"open"[..], ReasonCode::Success), (b"no", ReasonCode::NotAuthorized)]
    {
        let mut client = Client::open(address, Version::V5);
        let mut properties = PropertyBuf::new();
        properties.push(Property::AuthenticationMethod("PASSWORD"));
        let properties = properties.as_properties();
        client.send(&Packet::Connect(Connect { properties, ..connect("c") }));
        assert_eq!(client.receive(), Arrived::Auth(ReasonCode::ContinueAuthentication));
        let more = answer(ReasonCode::ContinueAuthentication, word);
        client.stream.write_all(&more).expect("writes");
        assert_eq!(client.receive(), Arrived::Connack(wanted, None));
        if wanted == ReasonCode::Success {
            let again = answer(ReasonCode::Reauthenticate, b"");
            client.stream.write_all(&again).expect("writes");
            assert_eq!(client.receive(), Arrived::Auth(ReasonCode::ContinueAuthentication));
            client.stream.write_all(&more).expect("writes");
            assert_eq!(client.receive(), Arrived::Auth(ReasonCode::Success));
            client.ping();
        } else {
            assert_eq!(client.receive(), Arrived::End);
        }
    }
    let mut nobody = Client::open(address, Version::V5);
    nobody.send(&Packet::Connect(connect("c")));
    assert_eq!(nobody.receive(), Arrived::Connack(ReasonCode::NotAuthorized, None));
    stop(broker);
}

#[test]
fn unfinished_packets_cannot_take_more_memory_than_there_is_for_them() {
    const PACKET_BYTES: u32 = 1 << 20;
    let mut config = Config::for_tests();
    config.shards = 1;
    config.limit.packet_bytes = PACKET_BYTES;
    config.limit.memory = 16 << 20;
    let (broker, address) = start_with(config);
    let mut calm = Client::connect(address, "calm");
    let payload = vec![0; PACKET_BYTES as usize - 100];
    let packet =
        encoded(&Packet::Publish(publish("t", &payload, Qos::AtLeastOnce, 1)), Version::V5);
    let mut hoarders: Vec<_> =
        (0..10).map(|n| Client::connect(address, &format!("h{n}"))).collect();
    for hoarder in &mut hoarders {
        // The broker may close before all is written.
        drop(hoarder.stream.write_all(&packet[..packet.len() - 1]));
        calm.ping();
    }
    // Some were sent away, and whoever is left is served.
    let mut served = 0;
    for mut hoarder in hoarders {
        drop(hoarder.stream.write_all(&packet[packet.len() - 1..]));
        served += usize::from(hoarder.receive() == Arrived::Ack(4, 1));
        calm.ping();
    }
    assert!((1..10).contains(&served), "{served} of 10 were served");
    stop(broker);
}
