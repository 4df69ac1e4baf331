//! A blocking MQTT client for tests of a broker in the same process: a socket and the codec,
//! nothing that would smooth anything over.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::time::Duration;

use ternmq_broker::{Broker, Config};
use ternmq_proto::packet::{Connect, Publish, Subscribe, SubscriptionOptions};
use ternmq_proto::{Packet, Properties, Qos, ReasonCode, Version, frame};

/// What a broken broker may cost a test run.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A broker for tests with a number of shards, and where it listens.
pub fn start(shards: u16) -> (Broker, SocketAddr) {
    let mut config = Config::for_tests();
    config.shards = shards;
    start_with(config)
}

/// A broker as configured, and where it listens.
pub fn start_with(config: Config) -> (Broker, SocketAddr) {
    let broker = Broker::start(config).expect("starts");
    let address = broker.addresses()[0];
    (broker, address)
}

/// Ends a broker whose threads are expected to be well.
pub fn stop(broker: Broker) {
    broker.shutdown(PATIENCE).expect("no thread has failed");
}

/// What arrived, without the borrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    Connack(ReasonCode, Option<String>),
    Publish {
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
        packet_id: Option<u16>,
    },
    Ack(u8, u16),
    Auth(ReasonCode),
    Suback(Vec<u8>),
    Disconnect(ReasonCode),
    Other(u8),
    /// The connection is over.
    End,
}

pub struct Client {
    pub stream: TcpStream,
    pub version: Version,
    received: Vec<u8>,
}

impl Client {
    /// Only the socket.
    pub fn open(address: SocketAddr, version: Version) -> Client {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, version, received: Vec::new() }
    }

    /// A clean session that was accepted.
    pub fn connect(address: SocketAddr, client_id: &str) -> Client {
        let mut client = Client::open(address, Version::V5);
        client.send(&Packet::Connect(connect(client_id)));
        assert_eq!(client.receive(), Arrived::Connack(ReasonCode::Success, None));
        client
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let bytes = encoded(packet, self.version);
        self.stream.write_all(&bytes).expect("writes");
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos, packet_id: u16) {
        self.send(&Packet::Publish(publish(topic, payload, qos, packet_id)));
    }

    pub fn subscribe(&mut self, filter: &str, qos: Qos) {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let filters = [(filter, options)];
        let packet_id = NonZeroU16::new(1).expect("not zero");
        self.send(&Packet::Subscribe(Subscribe::new(packet_id, Properties::EMPTY, &filters)));
        loop {
            // Retained messages may come before or after.
            if let Arrived::Suback(codes) = self.receive() {
                assert_eq!(codes, [qos.bits()]);
                return;
            }
        }
    }

    /// The next packet; waits for it.
    pub fn receive(&mut self) -> Arrived {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some((length, frame)) =
                frame::split(&self.received, u32::MAX).expect("the broker speaks MQTT")
            {
                let packet = Packet::decode(self.version, frame).expect("the broker speaks MQTT");
                let arrived = owned(&packet);
                self.received.drain(..length);
                return arrived;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Arrived::End,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Arrived::End,
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    /// The payload of the next packet, which must be a PUBLISH.
    pub fn payload(&mut self) -> Vec<u8> {
        match self.receive() {
            Arrived::Publish { payload, .. } => payload,
            other => panic!("a PUBLISH was expected, not {other:?}"),
        }
    }

    /// All that is sent before has been handled when this returns.
    pub fn ping(&mut self) {
        self.send(&Packet::Pingreq);
        assert_eq!(self.receive(), Arrived::Other(13));
    }
}

pub fn connect(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 0,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: Properties::EMPTY,
        bridge: false,
    }
}

pub fn publish<'a>(topic: &'a str, payload: &'a [u8], qos: Qos, packet_id: u16) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: NonZeroU16::new(packet_id),
        properties: Properties::EMPTY,
        payload,
    }
}

pub fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("a lawful packet");
    bytes
}

fn owned(packet: &Packet<'_>) -> Arrived {
    match packet {
        Packet::Connack(it) => {
            Arrived::Connack(it.code, it.properties.assigned_client_identifier().map(str::to_owned))
        }
        Packet::Publish(it) => Arrived::Publish {
            topic: it.topic.to_owned(),
            payload: it.payload.to_vec(),
            qos: it.qos,
            retain: it.retain,
            packet_id: it.packet_id.map(NonZeroU16::get),
        },
        Packet::Puback(it) | Packet::Pubrec(it) | Packet::Pubrel(it) | Packet::Pubcomp(it) => {
            Arrived::Ack(packet.kind() as u8, it.packet_id.get())
        }
        Packet::Auth(it) => Arrived::Auth(it.code),
        Packet::Suback(it) => Arrived::Suback(it.codes.to_vec()),
        Packet::Disconnect(it) => Arrived::Disconnect(it.code),
        other => Arrived::Other(other.kind() as u8),
    }
}
