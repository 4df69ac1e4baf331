//! One connection to the broker under examination, seen from the client's side.
//!
//! Besides sending and waiting it holds the broker to what the client has announced in its
//! CONNECT (receive maximum, maximum packet size, topic aliases, problem information), to the
//! rules of packet identifiers, and to silence after a DISCONNECT; every case profits from that.

use crate::check::{Check, Stop, equal, expect, failed, same_bytes};
use crate::clock;
use crate::codec::{
    Ack, Connect, Packet, Props, Publish, Subscribe, ack, disconnect, frame, hex, id, parse,
    pingreq, unsubscribe,
};
use crate::version::Version;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The payload by which a case knows that everything sent before has arrived.
pub(crate) const MARKER: &[u8] = b"-- marker --";

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    version: Version,
    patience: Duration,
    buffer: Vec<u8>,
    /// What was sent last, for reports.
    last_sent: Vec<u8>,
    announced: Announced,
    /// PUBLISH packets that came while the case waited for something else.
    inbox: VecDeque<Publish>,
    /// Packet identifiers of QoS > 0 that came and are not finished.
    unfinished: BTreeSet<u16>,
    aliases: BTreeMap<u16, Vec<u8>>,
    last_packet_id: u16,
    connacked: bool,
    /// The broker has sent a DISCONNECT.
    said_goodbye: bool,
    closed: bool,
    /// What the CONNACK said.
    pub(crate) session_present: bool,
    pub(crate) connack: Props,
}

/// What this client said about itself in its CONNECT.
struct Announced {
    receive_maximum: usize,
    maximum_packet_size: usize,
    topic_alias_maximum: u16,
    problem_information: bool,
}

/// What came next.
#[derive(Debug)]
pub(crate) enum Incoming {
    Packet(Packet),
    Closed,
    Silence,
}

impl Client {
    pub(crate) fn new(stream: TcpStream, version: Version, patience: Duration) -> Client {
        Client {
            stream,
            version,
            patience,
            buffer: Vec::new(),
            last_sent: Vec::new(),
            announced: Announced {
                receive_maximum: 65_535,
                maximum_packet_size: usize::MAX,
                topic_alias_maximum: 0,
                problem_information: true,
            },
            inbox: VecDeque::new(),
            unfinished: BTreeSet::new(),
            aliases: BTreeMap::new(),
            last_packet_id: 0,
            connacked: false,
            said_goodbye: false,
            closed: false,
            session_present: false,
            connack: Props::default(),
        }
    }

    /// Sends bytes. A broker that has closed already is found out by the next read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.last_sent = bytes.to_vec();
        let _closed_already = self.stream.write_all(bytes);
    }

    /// Sends a CONNECT and remembers what it announces.
    pub(crate) fn send_connect(&mut self, connect: &Connect) {
        let number = |name| connect.props.number(name).map(|value| value as usize);
        self.announced = Announced {
            receive_maximum: number(id::RECEIVE_MAXIMUM).unwrap_or(65_535),
            maximum_packet_size: number(id::MAXIMUM_PACKET_SIZE).unwrap_or(usize::MAX),
            topic_alias_maximum: number(id::TOPIC_ALIAS_MAXIMUM)
                .and_then(|value| u16::try_from(value).ok())
                .unwrap_or(0),
            problem_information: number(id::REQUEST_PROBLEM_INFORMATION) != Some(0),
        };
        self.send(&connect.encode());
    }

    /// Waits for a CONNACK that accepts.
    pub(crate) fn accepted(&mut self) -> Check {
        match self.packet()? {
            Packet::ConnAck { session_present, code: 0, props } => {
                self.session_present = session_present;
                self.connack = props;
                Ok(())
            }
            other => failed("CONNACK with code 0x00", other),
        }
    }

    /// Waits for the next packet, which may be a PUBLISH that came earlier.
    pub(crate) fn packet(&mut self) -> Check<Packet> {
        if let Some(publish) = self.inbox.pop_front() {
            return Ok(Packet::Publish(publish));
        }
        match self.incoming(self.patience)? {
            Incoming::Packet(packet) => Ok(packet),
            Incoming::Closed => failed("a packet", "the broker closed the connection"),
            Incoming::Silence => failed("a packet", format!("nothing in {:?}", self.patience)),
        }
    }

    /// Waits for the next packet that is not a PUBLISH; a PUBLISH is kept for later.
    pub(crate) fn answer(&mut self) -> Check<Packet> {
        loop {
            match self.incoming(self.patience)? {
                Incoming::Packet(Packet::Publish(publish)) => self.inbox.push_back(publish),
                Incoming::Packet(packet) => return Ok(packet),
                Incoming::Closed => return failed("an answer", "the broker closed the connection"),
                Incoming::Silence => {
                    return failed("an answer", format!("nothing in {:?}", self.patience));
                }
            }
        }
    }

    /// Waits for a PUBLISH and leaves it unacknowledged.
    pub(crate) fn publication(&mut self) -> Check<Publish> {
        match self.packet()? {
            Packet::Publish(publish) => Ok(publish),
            other => failed("a PUBLISH", other),
        }
    }

    /// The PUBLISH that comes within that time, if one does.
    pub(crate) fn waiting(&mut self, time: Duration) -> Check<Option<Publish>> {
        if let Some(publish) = self.inbox.pop_front() {
            return Ok(Some(publish));
        }
        match self.incoming(time)? {
            Incoming::Packet(Packet::Publish(publish)) => Ok(Some(publish)),
            Incoming::Silence => Ok(None),
            other => failed("a PUBLISH or nothing", describe(&other)),
        }
    }

    /// Waits for a PUBLISH and finishes it as its QoS asks.
    pub(crate) fn take(&mut self) -> Check<Publish> {
        let publish = self.publication()?;
        self.finish(&publish)?;
        Ok(publish)
    }

    /// Acknowledges a PUBLISH to the end.
    pub(crate) fn finish(&mut self, publish: &Publish) -> Check {
        match publish.qos {
            0 => Ok(()),
            1 => {
                self.ack(Ack::PubAck, publish.packet_id, 0);
                Ok(())
            }
            _ => {
                self.ack(Ack::PubRec, publish.packet_id, 0);
                self.answered(Ack::PubRel, publish.packet_id)?;
                self.ack(Ack::PubComp, publish.packet_id, 0);
                Ok(())
            }
        }
    }

    /// Takes publications until the marker comes, and returns those before it.
    pub(crate) fn until_marker(&mut self) -> Check<Vec<Publish>> {
        let mut before = Vec::new();
        loop {
            match self.take() {
                Ok(publish) if publish.payload == MARKER => {
                    // The answer shows that the broker has the acknowledgements too: the case may
                    // go on with another connection.
                    self.ping()?;
                    return Ok(before);
                }
                Ok(publish) => before.push(publish),
                Err(Stop::Failed { expected, seen }) => {
                    let so_far = crate::check::listed(&before);
                    return failed(format!("{expected} (the marker)"), format!("{so_far}; {seen}"));
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Sends an acknowledgement.
    pub(crate) fn ack(&mut self, kind: Ack, packet_id: u16, code: u8) {
        let ends = matches!(kind, Ack::PubAck | Ack::PubComp) || code >= 0x80;
        if ends {
            self.unfinished.remove(&packet_id);
        }
        self.send(&ack(kind, packet_id, code));
    }

    /// Waits for an acknowledgement with that identifier; returns its reason code.
    pub(crate) fn answered(&mut self, kind: Ack, packet_id: u16) -> Check<u8> {
        match self.answer()? {
            Packet::Ack { kind: seen, packet_id: seen_id, code, .. }
                if seen == kind && seen_id == packet_id =>
            {
                Ok(code)
            }
            other => failed(format!("{kind:?} #{packet_id}"), other),
        }
    }

    /// A packet identifier that this client has not used on this connection.
    pub(crate) fn fresh_id(&mut self) -> u16 {
        self.last_packet_id += 1;
        self.last_packet_id
    }

    /// Publishes and sees the handshake of its QoS through. Sets the packet identifier.
    pub(crate) fn publish(&mut self, publish: &Publish) -> Check {
        let mut publish = publish.clone();
        if publish.qos > 0 {
            publish.packet_id = self.fresh_id();
        }
        self.send(&publish.encode(self.version));
        let packet_id = publish.packet_id;
        match publish.qos {
            0 => Ok(()),
            1 => self.answered(Ack::PubAck, packet_id).and_then(taken),
            _ => {
                self.answered(Ack::PubRec, packet_id).and_then(taken)?;
                self.ack(Ack::PubRel, packet_id, 0);
                self.answered(Ack::PubComp, packet_id).and_then(taken)
            }
        }
    }

    /// Publishes the marker.
    pub(crate) fn mark(&mut self, topic: impl AsRef<[u8]>, qos: u8) -> Check {
        self.publish(&Publish::new(topic, MARKER, qos))
    }

    /// Waits until a subscription has got its retained messages, by a live message of its own. A
    /// broker may still look them up after its SUBACK, and one that is stored meanwhile may then
    /// come as a retained message.
    pub(crate) fn settle(&mut self, topic: impl AsRef<[u8]>) -> Check {
        self.mark(topic, 1)?;
        self.until_marker().map(|_| ())
    }

    /// Subscribes to one filter and expects the QoS that the options ask for.
    pub(crate) fn subscribe(&mut self, filter: impl AsRef<[u8]>, options: u8) -> Check {
        let packet_id = self.fresh_id();
        let codes = self.subscribe_with(&Subscribe::one(packet_id, filter, options))?;
        equal("granted QoS", codes, vec![options & 3])
    }

    /// Subscribes and returns the codes of the SUBACK.
    pub(crate) fn subscribe_with(&mut self, subscribe: &Subscribe) -> Check<Vec<u8>> {
        self.send(&subscribe.encode(self.version));
        match self.answer()? {
            Packet::SubAck { packet_id, codes, .. } => {
                equal("packet identifier of the SUBACK", packet_id, subscribe.packet_id)?;
                equal("number of codes in the SUBACK", codes.len(), subscribe.filters.len())?;
                Ok(codes)
            }
            other => failed("a SUBACK", other),
        }
    }

    /// Unsubscribes and returns the codes of the UNSUBACK (none before 5.0).
    pub(crate) fn unsubscribe(&mut self, filters: &[&[u8]]) -> Check<Vec<u8>> {
        let sent = self.fresh_id();
        self.send(&unsubscribe(self.version, sent, filters));
        match self.answer()? {
            Packet::UnsubAck { packet_id, codes, .. } => {
                equal("packet identifier of the UNSUBACK", packet_id, sent)?;
                let count = if self.version.is_v5() { filters.len() } else { 0 };
                equal("number of codes in the UNSUBACK", codes.len(), count)?;
                Ok(codes)
            }
            other => failed("an UNSUBACK", other),
        }
    }

    /// Sends a PINGREQ and expects the PINGRESP before anything else but a PUBLISH.
    pub(crate) fn ping(&mut self) -> Check {
        self.send(&pingreq());
        match self.answer()? {
            Packet::PingResp => Ok(()),
            other => failed("a PINGRESP", other),
        }
    }

    /// Expects that nothing comes for a while and that the connection lives.
    ///
    /// Only for what no marker can fence off, such as a message that another shard may still
    /// hold: the wait is short, since a broker that sends too much sends it at once.
    pub(crate) fn quiet(&mut self, time: Duration) -> Check {
        if let Some(publish) = self.inbox.pop_front() {
            return failed("no packet", publish);
        }
        match self.incoming(time)? {
            Incoming::Silence => {
                self.ping()?;
                match self.inbox.pop_front() {
                    Some(publish) => failed("no packet but a PINGRESP", publish),
                    None => Ok(()),
                }
            }
            Incoming::Packet(packet) => failed("no packet", packet),
            Incoming::Closed => failed("no packet", "the broker closed the connection"),
        }
    }

    /// Sends DISCONNECT and waits for the broker to close.
    pub(crate) fn leave(&mut self) -> Check {
        self.leave_with(0, &Props::default())
    }

    pub(crate) fn leave_with(&mut self, code: u8, props: &Props) -> Check {
        self.send(&disconnect(self.version, code, props));
        let deadline = clock::now() + self.patience;
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            match self.incoming(left)? {
                Incoming::Closed => return Ok(()),
                Incoming::Packet(Packet::Publish(_)) => {}
                Incoming::Packet(other) => return failed("the end of the connection", other),
                Incoming::Silence => {
                    return failed("the end of the connection", "the broker keeps it open");
                }
            }
        }
    }

    /// Ends the connection as a network failure does, without a DISCONNECT.
    pub(crate) fn cut(self) {
        let _gone_already = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// Expects that the broker ends this connection, with a DISCONNECT of one of these codes
    /// before it or (always before 5.0) with nothing at all. Returns the code.
    pub(crate) fn ended(&mut self, codes: &[u8]) -> Check<Option<u8>> {
        let mut code = None;
        loop {
            match self.incoming(self.patience)? {
                Incoming::Closed => return Ok(code),
                Incoming::Packet(Packet::Disconnect { code: seen, .. })
                    if codes.contains(&seen) =>
                {
                    code = Some(seen);
                }
                other => return failed(self.end_wanted(codes), describe(&other)),
            }
        }
    }

    fn end_wanted(&self, codes: &[u8]) -> String {
        let codes: Vec<_> = codes.iter().map(|code| format!("{code:#04x}")).collect();
        format!("the connection ended ({}) after {}", codes.join(", "), hex(&self.last_sent))
    }

    /// Expects the answer to a CONNECT that cannot be accepted: in 5.0 a CONNACK with one of
    /// these codes or none, before 5.0 a CONNACK exactly if a code is given; then the end.
    pub(crate) fn turned_away(&mut self, codes: &[u8]) -> Check<Option<u8>> {
        let optional = self.version.is_v5() || codes.is_empty();
        let code = match self.incoming(self.patience)? {
            Incoming::Closed if optional => return Ok(None),
            Incoming::Packet(Packet::ConnAck { session_present, code, .. })
                if codes.contains(&code) =>
            {
                expect(!session_present, "Session Present 0 with a refusal", session_present)?;
                code
            }
            other => {
                let wanted = format!("CONNECT refused ({codes:02x?}) {}", hex(&self.last_sent));
                return failed(wanted, describe(&other));
            }
        };
        match self.incoming(self.patience)? {
            Incoming::Closed => Ok(Some(code)),
            other => failed("the end after the CONNACK", describe(&other)),
        }
    }

    /// Waits for the broker to close, and returns all the bytes that it sent until then.
    pub(crate) fn raw_until_closed(&mut self) -> Check<Vec<u8>> {
        let deadline = clock::now() + self.patience;
        while self.fill(deadline)? {}
        if self.closed {
            return Ok(std::mem::take(&mut self.buffer));
        }
        failed("the connection ended", format!("still open after {}", hex(&self.buffer)))
    }

    /// Reads exactly so many raw bytes.
    pub(crate) fn raw(&mut self, length: usize) -> Check<Vec<u8>> {
        let deadline = clock::now() + self.patience;
        while self.buffer.len() < length {
            if !self.fill(deadline)? {
                return failed(format!("{length} bytes"), hex(&self.buffer));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// What comes within that time. The broker is held to what this client has announced.
    pub(crate) fn incoming(&mut self, patience: Duration) -> Check<Incoming> {
        let deadline = clock::now() + patience;
        loop {
            let found = frame(&self.buffer);
            let (first, body) = match found {
                Ok(Some(found)) => found,
                Ok(None) => {
                    if self.fill(deadline)? {
                        continue;
                    }
                    return Ok(if self.closed && self.buffer.is_empty() {
                        Incoming::Closed
                    } else {
                        Incoming::Silence
                    });
                }
                Err(fault) => return failed("a well-formed packet", self.faulty(&fault)),
            };
            let parsed = parse(self.version, first, &self.buffer[body.clone()]);
            let packet = match parsed {
                Ok(packet) => packet,
                Err(fault) => return failed("a well-formed packet", self.faulty(&fault)),
            };
            self.buffer.drain(..body.end);
            return self.judge(packet, body.end).map(Incoming::Packet);
        }
    }

    fn faulty(&self, fault: &str) -> String {
        format!("{fault} in {}", hex(&self.buffer))
    }

    /// Reads more bytes; false when there are none until the deadline or the connection is over.
    fn fill(&mut self, deadline: Instant) -> Check<bool> {
        if self.closed {
            return Ok(false);
        }
        let left = deadline.saturating_duration_since(clock::now());
        let left = left.max(Duration::from_millis(1));
        if let Err(error) = self.stream.set_read_timeout(Some(left)) {
            return failed("a socket", error);
        }
        let mut chunk = [0u8; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => {
                self.closed = true;
                Ok(false)
            }
            Ok(length) => {
                self.buffer.extend(&chunk[..length]);
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(false),
                ErrorKind::Interrupted => Ok(true),
                _ => {
                    self.closed = true;
                    Ok(false)
                }
            },
        }
    }

    /// Holds one packet against the rules that bind a broker on every connection.
    fn judge(&mut self, packet: Packet, size: usize) -> Check<Packet> {
        let limit = self.announced.maximum_packet_size;
        expect(size <= limit, format!("packets of at most {limit} bytes"), size)?;
        let is_connack = matches!(packet, Packet::ConnAck { .. });
        if is_connack == self.connacked && !matches!(packet, Packet::Auth { .. }) {
            return failed("one CONNACK, before all other packets", packet);
        }
        self.connacked = true;
        if self.said_goodbye {
            return failed("nothing after a DISCONNECT", packet);
        }
        self.said_goodbye = matches!(packet, Packet::Disconnect { .. });
        self.judge_problem_information(&packet)?;
        match packet {
            Packet::Publish(publish) => Ok(Packet::Publish(self.judge_publish(publish)?)),
            packet => Ok(packet),
        }
    }

    fn judge_problem_information(&self, packet: &Packet) -> Check {
        let props = match packet {
            Packet::Ack { props, .. }
            | Packet::SubAck { props, .. }
            | Packet::UnsubAck { props, .. }
            | Packet::Auth { props, .. } => props,
            _ => return Ok(()),
        };
        let told = props.has(id::REASON_STRING) || props.has(id::USER_PROPERTY);
        expect(
            self.announced.problem_information || !told,
            "no Reason String and no User Property, since the client asked for none",
            packet,
        )
    }

    fn judge_publish(&mut self, mut publish: Publish) -> Check<Publish> {
        if let Some(alias) = publish.props.number(id::TOPIC_ALIAS) {
            let maximum = self.announced.topic_alias_maximum;
            let alias = u16::try_from(alias).expect("an alias has two bytes");
            expect(alias <= maximum, format!("topic aliases up to {maximum}"), alias)?;
            if publish.topic.is_empty() {
                match self.aliases.get(&alias) {
                    Some(topic) => publish.topic.clone_from(topic),
                    None => return failed("a topic alias that was set before", publish),
                }
            } else {
                self.aliases.insert(alias, publish.topic.clone());
            }
        }
        if publish.qos > 0 && !self.unfinished.insert(publish.packet_id) {
            return failed("a packet identifier that is free on this connection", publish);
        }
        let maximum = self.announced.receive_maximum;
        let out = self.unfinished.len();
        expect(out <= maximum, format!("at most {maximum} unacknowledged PUBLISH packets"), out)?;
        Ok(publish)
    }
}

/// Whether a reason code of an acknowledgement says that the message was taken.
fn taken(code: u8) -> Check {
    expect(code < 0x80, "a reason code below 0x80", code)
}

fn describe(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Packet(packet) => packet.to_string(),
        Incoming::Closed => "the broker closed the connection".to_owned(),
        Incoming::Silence => "the broker keeps the connection open and says nothing".to_owned(),
    }
}

/// Fails unless a PUBLISH has that topic, payload and QoS.
pub(crate) fn is(publish: &Publish, topic: impl AsRef<[u8]>, payload: &[u8], qos: u8) -> Check {
    same_bytes("topic", &publish.topic, topic.as_ref())?;
    same_bytes("payload", &publish.payload, payload)?;
    equal("QoS", publish.qos, qos)
}
