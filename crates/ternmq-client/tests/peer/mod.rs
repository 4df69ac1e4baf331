//! A server that says what a test tells it to, at the other end of a pipe.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ternmq_client::transport::{Connector, OpenFuture, Transport};
use ternmq_client::{Options, Properties, Qos, ReasonCode, Version};
use ternmq_proto::frame;
use ternmq_proto::packet::{self, Packet};
use ternmq_proto::{PacketId, PropertyBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// Takes the connections of one client.
pub struct Listener {
    connections: mpsc::UnboundedReceiver<DuplexStream>,
    version: Version,
}

struct Pipes {
    listener: mpsc::UnboundedSender<DuplexStream>,
    /// How many attempts fail first.
    failures: Mutex<u32>,
}

impl Connector for Pipes {
    fn open(&self) -> OpenFuture<'_> {
        Box::pin(async {
            let mut failures = self.failures.lock().await;
            if *failures > 0 {
                *failures -= 1;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = duplex(4 * 1_024);
            self.listener.send(theirs).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Transport::new(ours))
        })
    }

    fn name(&self) -> String {
        "pipe".into()
    }
}

/// Options that lead to the listener, after some failures.
pub fn pipe(version: Version, failures: u32) -> (Options, Listener) {
    let (listener, connections) = mpsc::unbounded_channel();
    let pipes = Pipes { listener, failures: Mutex::new(failures) };
    let options = Options::new("unused", 1).version(version).client_id("c");
    (options.connector(Arc::new(pipes)), Listener { connections, version })
}

impl Listener {
    /// The next connection, before anything was said on it.
    pub async fn accept(&mut self) -> Peer {
        let stream = timeout(LONG, self.connections.recv()).await.expect("in time");
        let stream = stream.expect("a connection");
        Peer { stream, version: self.version, input: Vec::new() }
    }

    /// The next connection, after CONNECT and CONNACK.
    pub async fn greet(&mut self, session_present: bool) -> Peer {
        let mut peer = self.accept().await;
        assert!(peer.next().await.starts_with("Connect"), "CONNECT is first");
        let (code, properties) = (ReasonCode::Success, Properties::EMPTY);
        peer.send(Packet::Connack(packet::Connack { session_present, code, properties })).await;
        peer
    }
}

/// The server's end of one connection.
pub struct Peer {
    stream: DuplexStream,
    version: Version,
    input: Vec<u8>,
}

impl Peer {
    /// The next packet as a line: its kind, and what tests look at. `end`: the client hung up.
    pub async fn next(&mut self) -> String {
        loop {
            if let Some((length, frame)) = frame::split(&self.input, u32::MAX).expect("frames") {
                let packet = Packet::decode(self.version, frame).expect("lawful packets");
                let line = describe(&packet);
                self.input.drain(..length);
                return line;
            }
            let read = timeout(LONG, self.stream.read_buf(&mut self.input)).await;
            if read.expect("in time").expect("a pipe") == 0 {
                return "end".into();
            }
        }
    }

    pub async fn send(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("a lawful packet");
        self.stream.write_all(&bytes).await.expect("a client that reads");
    }

    pub async fn publish(&mut self, topic: &str, qos: Qos, id: u16, identifier: Option<u32>) {
        let mut properties = PropertyBuf::new();
        if let Some(identifier) = identifier {
            properties.push(ternmq_client::Property::SubscriptionIdentifier(identifier));
        }
        self.send(Packet::Publish(packet::Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: PacketId::new(id),
            properties: properties.as_properties(),
            payload: &id.to_be_bytes(),
        }))
        .await;
    }

    pub async fn suback(&mut self, id: u16, codes: &[u8]) {
        let packet_id = PacketId::new(id).expect("not 0");
        let properties = Properties::EMPTY;
        self.send(Packet::Suback(packet::Suback { packet_id, properties, codes })).await;
    }

    pub async fn puback(&mut self, id: u16) {
        self.send(Packet::Puback(packet::Ack::new(PacketId::new(id).expect("not 0")))).await;
    }
}

fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Puback(ack) | Packet::Pubrec(ack) => {
            format!("{:?} {} 0x{:02X}", packet.kind(), ack.packet_id, ack.code.byte())
        }
        Packet::Publish(it) => format!("Publish {} {}", it.topic, it.payload.escape_ascii()),
        Packet::Subscribe(it) => {
            let filters: Vec<_> = it.filters().map(|(filter, _)| filter).collect();
            format!("Subscribe {} {}", it.packet_id, filters.join(" "))
        }
        Packet::Unsubscribe(it) => {
            let filters: Vec<_> = it.filters().collect();
            format!("Unsubscribe {} {}", it.packet_id, filters.join(" "))
        }
        Packet::Disconnect(it) => format!("Disconnect 0x{:02X}", it.code.byte()),
        other => format!("{:?}", other.kind()),
    }
}

/// No test waits longer for one thing. It is virtual time where a test pauses the clock.
pub const LONG: Duration = Duration::from_secs(600);
