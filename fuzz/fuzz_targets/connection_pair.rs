//! Two connections, a wire between them, and a script: `version and limits, steps`. A client
//! publishes, bytes travel in pieces, the wire is cut at any byte, and at the end everything is let
//! through. QoS 2 arrives exactly once, QoS 1 at least once, both in their order; neither side sees
//! a violation, because both keep the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ternmq_fuzz::version;
use ternmq_proto::connection::{Connection, Side, Terms};
use ternmq_proto::frame::PacketKind;
use ternmq_proto::inbound::Inbound;
use ternmq_proto::inflight::{Inflight, Pubrec, Resend};
use ternmq_proto::packet::{Ack, PublishHead, encode_ack, encode_publish};
use ternmq_proto::topic_alias::AliasOut;
use ternmq_proto::{Packet, PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

fuzz_target!(|input: &[u8]| {
    let [setup, steps @ ..] = input else { return };
    let mut pair = Pair::new(*setup);
    for step in steps {
        pair.step(*step);
    }
    pair.cut();
    while pair.pass(usize::MAX, Side::Server) | pair.pass(usize::MAX, Side::Client) {}
    pair.check();
});

/// A message: its number, and the QoS and topic that it was published with.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Message {
    number: u32,
    qos: Qos,
    topic: &'static str,
}

struct Pair {
    terms: Terms,
    client: Connection,
    server: Connection,
    /// The client's session.
    inflight: Inflight<Message>,
    /// The server's session.
    inbound: Inbound,
    /// What is on the wire, and what arrived of it without being a whole packet.
    to_server: Wire,
    to_client: Wire,
    published: Vec<Message>,
    delivered: Vec<Message>,
}

#[derive(Default)]
struct Wire {
    sent: Vec<u8>,
    arrived: Vec<u8>,
}

const TOPICS: [&str; 3] = ["a", "b/c", "plant/7/line/12"];

impl Pair {
    fn new(setup: u8) -> Pair {
        let version = version(setup);
        let aliases = if version == Version::V5 { u16::from(setup >> 4 & 0b11) } else { 0 };
        let terms = Terms {
            version,
            receive_bytes_max: 1_000,
            send_bytes_max: 1_000,
            receive_maximum: 1 + u16::from(setup >> 6),
            receive_alias_maximum: aliases,
            send_alias_maximum: aliases,
        };
        let mut inflight = Inflight::new();
        inflight.start(terms.receive_maximum);
        assert!(inflight.poll_resend().is_none());
        Pair {
            terms,
            client: Connection::new(Side::Client, terms),
            server: Connection::new(Side::Server, terms),
            inflight,
            inbound: Inbound::new(),
            to_server: Wire::default(),
            to_client: Wire::default(),
            published: Vec::new(),
            delivered: Vec::new(),
        }
    }

    fn step(&mut self, step: u8) {
        let amount = usize::from(step >> 2);
        match step & 0b11 {
            0 => self.publish(amount),
            1 => _ = self.pass(amount, Side::Server),
            2 => _ = self.pass(amount, Side::Client),
            _ if amount < 8 => self.cut(),
            _ => _ = self.pass(usize::MAX, Side::Server),
        }
    }

    fn publish(&mut self, choice: usize) {
        let qos = Qos::from_bits(choice as u8 % 3).expect("0 to 2");
        let topic = TOPICS[choice / 3 % TOPICS.len()];
        let message = Message { number: self.published.len() as u32, qos, topic };
        let packet_id = match qos {
            Qos::AtMostOnce => None,
            _ => match self.inflight.send(qos, message) {
                None => return,
                id => id,
            },
        };
        self.published.push(message);
        self.transmit(message, packet_id, false);
    }

    fn transmit(&mut self, message: Message, packet_id: Option<PacketId>, dup: bool) {
        let mut extra = PropertyBuf::new();
        let topic = match self.client.alias_for(message.topic) {
            Some(AliasOut::Known(alias)) => {
                extra.push(Property::TopicAlias(alias));
                ""
            }
            Some(AliasOut::Set(alias)) => {
                extra.push(Property::TopicAlias(alias));
                message.topic
            }
            None => message.topic,
        };
        let head = PublishHead { dup, qos: message.qos, retain: false, packet_id };
        let payload = message.number.to_be_bytes();
        let (version, none) = (self.terms.version, Properties::EMPTY);
        let out = &mut self.to_server.sent;
        encode_publish(out, version, head, topic, extra.as_properties(), none, &payload);
    }

    /// Lets bytes through to one side, which handles every whole packet. Whether anything moved.
    fn pass(&mut self, count: usize, to: Side) -> bool {
        let wire = if to == Side::Server { &mut self.to_server } else { &mut self.to_client };
        let count = count.min(wire.sent.len());
        wire.arrived.extend(wire.sent.drain(..count));
        let arrived = std::mem::take(&mut wire.arrived);
        let mut rest = &arrived[..];
        let receiver = |pair: &Pair, bytes| match to {
            Side::Server => pair.server.decode(bytes).map(|it| it.map(|(length, _)| length)),
            Side::Client => pair.client.decode(bytes).map(|it| it.map(|(length, _)| length)),
        };
        while let Some(length) = receiver(self, rest).expect("both keep the rules") {
            let (packet, after) = rest.split_at(length);
            match to {
                Side::Server => self.serve(packet),
                Side::Client => self.answer(packet),
            }
            rest = after;
        }
        let kept = rest.to_vec();
        match to {
            Side::Server => self.to_server.arrived = kept,
            Side::Client => self.to_client.arrived = kept,
        }
        count > 0
    }

    /// The server handles a packet.
    fn serve(&mut self, bytes: &[u8]) {
        let (_, packet) = self.server.decode(bytes).expect("decoded before").expect("whole");
        match packet {
            Packet::Publish(publish) => {
                self.server.arrived(publish.qos).expect("the client keeps to the receive maximum");
                let topic = self.server.topic(&publish).expect("the alias is known");
                let topic = TOPICS.into_iter().find(|it| *it == topic).expect("one of ours");
                let number = u32::from_be_bytes(publish.payload.try_into().expect("four bytes"));
                let message = Message { number, qos: publish.qos, topic };
                match (publish.qos, publish.packet_id) {
                    (Qos::AtLeastOnce, Some(id)) => {
                        self.delivered.push(message);
                        self.server.answered();
                        self.reply(PacketKind::Puback, id, ReasonCode::Success);
                    }
                    (Qos::ExactlyOnce, Some(id)) => {
                        if self.inbound.hold(id) {
                            self.delivered.push(message);
                        }
                        self.reply(PacketKind::Pubrec, id, ReasonCode::Success);
                    }
                    _ => self.delivered.push(message),
                }
            }
            Packet::Pubrel(ack) => {
                let known = self.inbound.release(ack.packet_id);
                self.server.answered();
                self.reply(PacketKind::Pubcomp, ack.packet_id, found(known));
            }
            other => panic!("the client sends no {}", other.kind()),
        }
    }

    /// The client handles a packet.
    fn answer(&mut self, bytes: &[u8]) {
        let (_, packet) = self.client.decode(bytes).expect("decoded before").expect("whole");
        match packet {
            Packet::Puback(ack) => assert!(self.inflight.puback(ack.packet_id).is_some()),
            Packet::Pubrec(Ack { packet_id, code, .. }) => {
                let pubrec = self.inflight.pubrec(packet_id, code);
                assert!(matches!(pubrec, Pubrec::Release(_)), "{pubrec:?}");
                self.send_pubrel(packet_id);
            }
            Packet::Pubcomp(ack) => assert!(self.inflight.pubcomp(ack.packet_id)),
            other => panic!("the server sends no {}", other.kind()),
        }
        self.resend();
    }

    fn reply(&mut self, kind: PacketKind, id: PacketId, code: ReasonCode) {
        let out = &mut self.to_client.sent;
        encode_ack(out, self.terms.version, kind, id, code, Properties::EMPTY);
    }

    fn send_pubrel(&mut self, id: PacketId) {
        let (out, code) = (&mut self.to_server.sent, ReasonCode::Success);
        encode_ack(out, self.terms.version, PacketKind::Pubrel, id, code, Properties::EMPTY);
    }

    /// The wire breaks with everything on it; the client connects again and resumes.
    fn cut(&mut self) {
        (self.to_server, self.to_client) = Default::default();
        self.client = Connection::new(Side::Client, self.terms);
        self.server = Connection::new(Side::Server, self.terms);
        self.inflight.start(self.terms.receive_maximum);
        self.resend();
    }

    fn resend(&mut self) {
        while let Some(resend) = self.inflight.poll_resend() {
            match resend {
                Resend::Pubrel(id) => self.send_pubrel(id),
                Resend::Publish { packet_id, message, .. } => {
                    let message = *message;
                    self.transmit(message, Some(packet_id), true);
                }
            }
        }
    }

    /// Everything has been let through.
    fn check(&self) {
        assert!(self.inflight.is_empty(), "identifiers leak");
        assert!(self.inbound.is_empty(), "identifiers leak at the receiver");
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let of = |list: &[Message]| list.iter().copied().filter(|it| it.qos == qos).collect();
            let published: Vec<Message> = of(&self.published);
            let delivered: Vec<Message> = of(&self.delivered);
            match qos {
                Qos::AtMostOnce => assert!(delivered.is_sorted_by(|a, b| a.number < b.number)),
                Qos::AtLeastOnce => assert_eq!(first_of_each(&delivered), published),
                Qos::ExactlyOnce => assert_eq!(delivered, published),
            }
        }
    }
}

fn found(known: bool) -> ReasonCode {
    if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound }
}

/// Without the repetitions.
fn first_of_each(list: &[Message]) -> Vec<Message> {
    let mut seen = Vec::new();
    for message in list {
        if !seen.contains(message) {
            seen.push(*message);
        }
    }
    seen
}
