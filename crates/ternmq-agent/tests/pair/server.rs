//! A server for one client, as plain as it can be: one session, no routing. It checks what the
//! client must not do by panicking, and writes down what it received.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ternmq_proto::packet::{self, Packet};
use ternmq_proto::{PacketId, Properties, PropertyBuf, Qos, ReasonCode, Version, frame};

/// What the test may want the server to do differently.
#[derive(Default)]
pub struct Manners {
    /// CONNACK of this code, and the connection is closed.
    pub refuse: Option<ReasonCode>,
    /// Properties of CONNACK.
    pub connack: PropertyBuf,
    /// PUBLISH is answered with this.
    pub publish_code: Option<ReasonCode>,
    /// PUBLISH is not answered.
    pub silent: bool,
    /// PINGREQ is not answered.
    pub deaf: bool,
    /// SUBACK says this for each filter.
    pub suback_code: Option<ReasonCode>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: Qos,
    pub dup: bool,
    pub retain: bool,
    pub properties: PropertyBuf,
}

enum Outbound {
    Publish { qos: Qos, topic: String, payload: Vec<u8> },
    Pubrel,
}

#[derive(Default)]
struct Session {
    /// QoS 2 identifiers of the client that were not released.
    held: BTreeSet<PacketId>,
    queue: VecDeque<(Qos, String, Vec<u8>)>,
    /// In the order of the first transmission.
    inflight: Vec<(PacketId, Outbound)>,
    last_id: u16,
    filters: BTreeMap<String, u8>,
}

pub struct Server {
    pub version: Version,
    pub manners: Manners,
    /// Everything that a client published, without what QoS 2 says is a repetition.
    pub received: Vec<Received>,
    /// Every packet that came, by its kind, in order.
    pub kinds: Vec<frame::PacketKind>,
    pub connects: Vec<(bool, String)>,
    pub disconnects: Vec<ReasonCode>,
    pub subscribes: Vec<Vec<String>>,
    /// PUBLISH identifiers with their DUP, as they came.
    pub publishes: Vec<(u16, bool)>,
    session: Option<Session>,
    connected: bool,
    client_receive_maximum: usize,
    /// QoS 1 and 2 identifiers that came on this connection and are not finished.
    unfinished_here: BTreeSet<PacketId>,
    aliases: BTreeMap<u16, String>,
    input: Vec<u8>,
    output: Vec<u8>,
    closing: bool,
    persistent: bool,
}

impl Server {
    pub fn new(version: Version) -> Self {
        Server {
            version,
            manners: Manners::default(),
            received: Vec::new(),
            kinds: Vec::new(),
            connects: Vec::new(),
            disconnects: Vec::new(),
            subscribes: Vec::new(),
            publishes: Vec::new(),
            session: None,
            connected: false,
            client_receive_maximum: usize::from(u16::MAX),
            unfinished_here: BTreeSet::new(),
            aliases: BTreeMap::new(),
            input: Vec::new(),
            output: Vec::new(),
            closing: false,
            persistent: false,
        }
    }

    /// Forgets the session, as after a crash without a disk.
    pub fn lose_session(&mut self) {
        self.session = None;
    }

    /// Sends a message to the client, now or when it is back.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos) {
        let session = self.session.get_or_insert_default();
        session.queue.push_back((qos, topic.to_owned(), payload.to_vec()));
        self.pump();
    }

    /// Has a session in which this QoS 2 identifier was received and not released.
    pub fn hold(&mut self, packet_id: u16) {
        self.session().held.insert(PacketId::new(packet_id).expect("not 0"));
    }

    /// Sends any packet as it is.
    pub fn send(&mut self, packet: Packet<'_>) {
        packet.encode(self.version, &mut self.output).expect("a test sends lawful packets");
    }

    pub fn filters(&self) -> Vec<&str> {
        let session = self.session.iter();
        session.flat_map(|it| it.filters.keys()).map(String::as_str).collect()
    }

    /// Messages that the client has not acknowledged, or were never sent.
    pub fn unfinished(&self) -> usize {
        self.session.as_ref().map_or(0, |it| it.queue.len() + it.inflight.len())
    }

    pub fn held(&self) -> usize {
        self.session.as_ref().map_or(0, |it| it.held.len())
    }

    /// The transport is gone.
    pub fn handle_closed(&mut self) {
        self.connected = false;
        self.closing = false;
        self.input.clear();
        self.output.clear();
        if !self.persistent {
            self.session = None;
        }
    }

    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub fn wants_close(&self) -> bool {
        self.closing
    }

    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        while !self.closing {
            let Some((length, frame)) = frame::split(rest, u32::MAX).expect("frames") else {
                break;
            };
            let packet = Packet::decode(self.version, frame).expect("clients send lawful packets");
            rest = &rest[length..];
            self.handle_packet(packet);
        }
        self.input = rest.to_vec();
    }

    fn handle_packet(&mut self, packet: Packet<'_>) {
        self.kinds.push(packet.kind());
        assert_eq!(self.connected, !matches!(packet, Packet::Connect(_)), "{packet:?}");
        match packet {
            Packet::Connect(connect) => self.on_connect(connect),
            Packet::Publish(publish) => self.on_publish(publish),
            Packet::Puback(ack) => self.finish(ack.packet_id, Qos::AtLeastOnce),
            Packet::Pubrec(ack) => self.on_pubrec(ack),
            Packet::Pubcomp(ack) => self.finish(ack.packet_id, Qos::ExactlyOnce),
            Packet::Pubrel(ack) => {
                let known = self.session().held.remove(&ack.packet_id);
                self.unfinished_here.remove(&ack.packet_id);
                let mut answer = packet::Ack::new(ack.packet_id);
                if !known && self.version == Version::V5 {
                    answer.code = ReasonCode::PacketIdentifierNotFound;
                }
                self.send(Packet::Pubcomp(answer));
            }
            Packet::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                for filter in unsubscribe.filters() {
                    self.session().filters.remove(filter);
                }
                let codes = vec![0; unsubscribe.len()];
                let codes = if self.version == Version::V5 { &codes[..] } else { &[] };
                let (packet_id, properties) = (unsubscribe.packet_id, Properties::EMPTY);
                self.send(Packet::Unsuback(packet::Unsuback { packet_id, properties, codes }));
            }
            Packet::Pingreq if self.manners.deaf => {}
            Packet::Pingreq => self.send(Packet::Pingresp),
            Packet::Disconnect(disconnect) => {
                self.disconnects.push(disconnect.code);
                self.closing = true;
            }
            Packet::Auth(_) => {}
            other => panic!("a client must not send {other:?}"),
        }
    }

    fn on_connect(&mut self, connect: packet::Connect<'_>) {
        assert_eq!(connect.version, self.version);
        self.connects.push((connect.clean_start, connect.client_id.to_owned()));
        if let Some(code) = self.manners.refuse {
            let properties = Properties::EMPTY;
            self.send(Packet::Connack(packet::Connack {
                session_present: false,
                code,
                properties,
            }));
            self.closing = true;
            return;
        }
        self.connected = true;
        if connect.clean_start {
            self.session = None;
        }
        self.persistent = match self.version {
            Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0) > 0,
            _ => !connect.clean_start,
        };
        let maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
        self.client_receive_maximum = usize::from(maximum);
        self.aliases.clear();
        self.unfinished_here.clear();
        let session_present = self.session.is_some();
        let properties = self.manners.connack.clone();
        let properties = properties.as_properties();
        let code = ReasonCode::Success;
        self.send(Packet::Connack(packet::Connack { session_present, code, properties }));
        self.resend();
        self.pump();
    }

    fn on_publish(&mut self, publish: packet::Publish<'_>) {
        let mut topic = publish.topic.to_owned();
        if let Some(alias) = publish.properties.topic_alias() {
            let maximum = self.manners.connack.as_properties().topic_alias_maximum().unwrap_or(0);
            assert!(alias <= maximum, "alias {alias} where {maximum} are allowed");
            if topic.is_empty() {
                topic = self.aliases[&alias].clone();
            } else {
                self.aliases.insert(alias, topic.clone());
            }
        }
        if let Some(packet_id) = publish.packet_id {
            self.publishes.push((packet_id.get(), publish.dup));
        }
        let mut properties = PropertyBuf::new();
        properties.extend(publish.properties);
        let received = Received {
            topic,
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
            properties,
        };
        let code = self.manners.publish_code.unwrap_or(ReasonCode::Success);
        let Some(packet_id) = publish.packet_id else { return self.received.push(received) };
        self.unfinished_here.insert(packet_id);
        let properties = self.manners.connack.as_properties();
        let maximum = properties.receive_maximum().unwrap_or(u16::MAX);
        assert!(self.unfinished_here.len() <= usize::from(maximum), "receive maximum {maximum}");
        if self.manners.silent {
            return;
        }
        if publish.qos == Qos::AtLeastOnce || code.is_error() {
            self.unfinished_here.remove(&packet_id);
        }
        let ack = packet::Ack { packet_id, code, properties: Properties::EMPTY };
        if code.is_error() {
            // Refused: not received.
        } else if publish.qos == Qos::AtLeastOnce || self.session().held.insert(packet_id) {
            self.received.push(received);
        }
        let answer =
            if publish.qos == Qos::AtLeastOnce { Packet::Puback(ack) } else { Packet::Pubrec(ack) };
        self.send(answer);
    }

    fn on_pubrec(&mut self, ack: packet::Ack<'_>) {
        if ack.code.is_error() {
            return self.finish(ack.packet_id, Qos::ExactlyOnce);
        }
        let inflight = &mut self.session().inflight;
        let slot =
            inflight.iter_mut().find(|(id, _)| *id == ack.packet_id).expect("a known PUBREC");
        slot.1 = Outbound::Pubrel;
        self.send(Packet::Pubrel(packet::Ack::new(ack.packet_id)));
    }

    fn on_subscribe(&mut self, subscribe: packet::Subscribe<'_>) {
        let code = self.manners.suback_code;
        let mut codes = Vec::new();
        let mut list = Vec::new();
        for (filter, options) in subscribe.filters() {
            list.push(filter.to_owned());
            if !code.is_some_and(ReasonCode::is_error) {
                self.session().filters.insert(filter.to_owned(), options.byte());
            }
            codes.push(code.map_or(options.qos.bits(), ReasonCode::byte));
        }
        self.subscribes.push(list);
        let (packet_id, properties) = (subscribe.packet_id, Properties::EMPTY);
        self.send(Packet::Suback(packet::Suback { packet_id, properties, codes: &codes }));
    }

    fn finish(&mut self, packet_id: PacketId, _qos: Qos) {
        let inflight = &mut self.session().inflight;
        let index = inflight.iter().position(|(id, _)| *id == packet_id);
        inflight.remove(index.expect("an acknowledgement of something in flight"));
        self.pump();
    }

    fn resend(&mut self) {
        let inflight = std::mem::take(&mut self.session().inflight);
        for (packet_id, outbound) in &inflight {
            if let Outbound::Pubrel = outbound {
                self.send(Packet::Pubrel(packet::Ack::new(*packet_id)));
            }
        }
        for (packet_id, outbound) in &inflight {
            if let Outbound::Publish { qos, topic, payload } = outbound {
                self.send_publish(*qos, Some(*packet_id), true, topic, payload);
            }
        }
        self.session().inflight = inflight;
    }

    fn pump(&mut self) {
        while self.connected && self.session().inflight.len() < self.client_receive_maximum {
            let Some((qos, topic, payload)) = self.session().queue.pop_front() else { break };
            if qos == Qos::AtMostOnce {
                self.send_publish(qos, None, false, &topic, &payload);
                continue;
            }
            let session = self.session();
            session.last_id = session.last_id % u16::MAX + 1;
            let packet_id = PacketId::new(session.last_id).expect("1..=65535");
            assert!(session.inflight.iter().all(|(id, _)| *id != packet_id));
            self.send_publish(qos, Some(packet_id), false, &topic, &payload);
            let outbound = Outbound::Publish { qos, topic, payload };
            self.session().inflight.push((packet_id, outbound));
        }
    }

    fn send_publish(
        &mut self,
        qos: Qos,
        packet_id: Option<PacketId>,
        dup: bool,
        topic: &str,
        payload: &[u8],
    ) {
        let properties = Properties::EMPTY;
        let retain = false;
        self.send(Packet::Publish(packet::Publish {
            dup,
            qos,
            retain,
            topic,
            packet_id,
            properties,
            payload,
        }));
    }

    fn session(&mut self) -> &mut Session {
        self.session.get_or_insert_default()
    }
}
