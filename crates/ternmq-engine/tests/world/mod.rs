//! A whole broker in one thread: several nodes, rings between them, and clients whose sockets are
//! buffers. Nothing happens by itself; [`World::settle`] turns the nodes until all is quiet.

use std::collections::VecDeque;

use ternmq_engine::{
    Attributes, Batch, CommitId, ConnId, Host, Lane, Node, Now, SECOND, Settings, ShardId, Stop,
    Submitted, TurnBudget, partition_of, shard_of,
};
use ternmq_proto::packet::{
    Ack, Connack, Connect, Disconnect, Publish, Subscribe, SubscriptionOptions, Unsubscribe, Will,
};
use ternmq_proto::{
    Packet, PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version, frame,
};

/// Names a client of the world.
pub type ClientId = usize;

pub struct World {
    pub nodes: Vec<Node>,
    pub now: Now,
    /// Commits stay open until [`World::commit`].
    pub slow_commits: bool,
    hosts: Vec<WorldHost>,
    clients: Vec<Client>,
}

#[derive(Default)]
struct WorldHost {
    posted: Vec<(ShardId, Lane, Vec<u8>)>,
    submitted: VecDeque<CommitId>,
    slow: bool,
}

impl Host for WorldHost {
    fn post(&mut self, to: ShardId, lane: Lane, bag: Vec<u8>) -> Result<(), Vec<u8>> {
        self.posted.push((to, lane, bag));
        Ok(())
    }

    fn empty_bag(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn submit(&mut self, batch: Batch) -> Submitted {
        if !self.slow {
            return Submitted::Done;
        }
        self.submitted.push_back(batch.id);
        Submitted::Later
    }
}

struct Client {
    shard: usize,
    conn: ConnId,
    version: Version,
    /// Bytes that the broker has not taken yet.
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    next_packet: u16,
    pub closed: bool,
    /// It does not read.
    stalled: bool,
}

/// What a client saw, as text: short enough to compare whole conversations.
pub type Seen = Vec<String>;

impl World {
    pub fn new(shards: u16) -> Self {
        World::with(Settings { shards, ..Settings::default() })
    }

    pub fn with(settings: Settings) -> Self {
        let shards = settings.shards;
        World {
            nodes: (0..shards).map(|it| Node::new(ShardId(it), settings.clone())).collect(),
            now: Now { mono: SECOND, wall: 1_000 * SECOND },
            slow_commits: false,
            hosts: (0..shards).map(|_| WorldHost::default()).collect(),
            clients: Vec::new(),
        }
    }

    pub fn connect_v5(&mut self, id: &str, expiry: u32) -> ClientId {
        self.connect(id, Version::V5, expiry == 0, expiry, None, &[])
    }

    pub fn connect(
        &mut self,
        id: &str,
        version: Version,
        clean_start: bool,
        expiry: u32,
        will: Option<Will<'_>>,
        more: &[Property<'_>],
    ) -> ClientId {
        let mut properties = PropertyBuf::new();
        if version == Version::V5 && expiry > 0 {
            properties.push(Property::SessionExpiryInterval(expiry));
        }
        for property in more {
            properties.push(*property);
        }
        let connect = Connect {
            version,
            clean_start,
            keep_alive: 0,
            client_id: id,
            will,
            user_name: None,
            password: None,
            properties: properties.as_properties(),
            bridge: false,
        };
        let shard = usize::from(shard_of(partition_of(id), self.nodes.len() as u16).0);
        self.nodes[shard].begin_turn(self.now);
        let conn = self.nodes[shard].handle_connect(&connect, Attributes::default());
        self.clients.push(Client {
            shard,
            conn,
            version,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            next_packet: 1,
            closed: false,
            stalled: false,
        });
        self.settle();
        self.clients.len() - 1
    }

    /// Connects and throws the CONNACK away.
    pub fn client(&mut self, id: &str, expiry: u32) -> ClientId {
        let client = self.connect_v5(id, expiry);
        self.seen(client);
        client
    }

    pub fn send(&mut self, client: ClientId, packet: &Packet<'_>) {
        let version = self.clients[client].version;
        packet.encode(version, &mut self.clients[client].outgoing).expect("a test's packet");
    }

    pub fn publish(&mut self, client: ClientId, topic: &str, payload: &str, qos: u8) -> u16 {
        self.publish_with(client, topic, payload, qos, false, &[])
    }

    pub fn publish_with(
        &mut self,
        client: ClientId,
        topic: &str,
        payload: &str,
        qos: u8,
        retain: bool,
        more: &[Property<'_>],
    ) -> u16 {
        let id = self.say_publish_with(client, topic, payload, qos, retain, more);
        self.settle();
        id
    }

    /// Publishes, and lets nothing happen yet.
    pub fn say_publish(&mut self, client: ClientId, topic: &str, payload: &str, qos: u8) -> u16 {
        self.say_publish_with(client, topic, payload, qos, false, &[])
    }

    fn say_publish_with(
        &mut self,
        client: ClientId,
        topic: &str,
        payload: &str,
        qos: u8,
        retain: bool,
        more: &[Property<'_>],
    ) -> u16 {
        let mut properties = PropertyBuf::new();
        for property in more {
            properties.push(*property);
        }
        let id = if qos > 0 { self.next_id(client) } else { 0 };
        let publish = Publish {
            dup: false,
            qos: Qos::from_bits(qos).unwrap(),
            retain,
            topic,
            packet_id: PacketId::new(id),
            properties: properties.as_properties(),
            payload: payload.as_bytes(),
        };
        self.send(client, &Packet::Publish(publish));
        id
    }

    pub fn subscribe(&mut self, client: ClientId, filter: &str, qos: u8) {
        let options = SubscriptionOptions {
            qos: Qos::from_bits(qos).unwrap(),
            ..SubscriptionOptions::default()
        };
        self.subscribe_with(client, &[(filter, options)], &[]);
    }

    pub fn subscribe_with(
        &mut self,
        client: ClientId,
        filters: &[(&str, SubscriptionOptions)],
        more: &[Property<'_>],
    ) {
        let mut properties = PropertyBuf::new();
        for property in more {
            properties.push(*property);
        }
        let id = PacketId::new(self.next_id(client)).unwrap();
        let packet = Subscribe::new(id, properties.as_properties(), filters);
        self.send(client, &Packet::Subscribe(packet));
        self.settle();
    }

    pub fn unsubscribe(&mut self, client: ClientId, filter: &str) {
        let id = PacketId::new(self.next_id(client)).unwrap();
        let filters = [filter];
        let packet = Unsubscribe::new(id, Properties::EMPTY, &filters);
        self.send(client, &Packet::Unsubscribe(packet));
        self.settle();
    }

    pub fn ack(&mut self, client: ClientId, make: fn(Ack<'static>) -> Packet<'static>, id: u16) {
        self.ack_with(client, make, id, ReasonCode::Success);
    }

    pub fn ack_with(
        &mut self,
        client: ClientId,
        make: fn(Ack<'static>) -> Packet<'static>,
        id: u16,
        code: ReasonCode,
    ) {
        let ack = Ack { code, ..Ack::new(PacketId::new(id).unwrap()) };
        self.send(client, &make(ack));
        self.settle();
    }

    pub fn disconnect(&mut self, client: ClientId, code: ReasonCode) {
        let packet = Disconnect { code, properties: Properties::EMPTY };
        self.send(client, &Packet::Disconnect(packet));
        self.settle();
    }

    /// The socket is cut: what is on its way is lost.
    pub fn cut(&mut self, client: ClientId) {
        let Client { shard, conn, .. } = self.clients[client];
        self.clients[client].closed = true;
        self.clients[client].incoming.clear();
        self.nodes[shard].begin_turn(self.now);
        self.nodes[shard].handle_hangup(conn);
        self.settle();
    }

    pub fn pass(&mut self, seconds: u64) {
        self.pass_millis(seconds * 1_000);
    }

    pub fn pass_millis(&mut self, millis: u64) {
        self.now.mono += millis * 1_000;
        self.now.wall += millis * 1_000;
        self.settle();
    }

    /// Whether a client's socket takes nothing.
    pub fn stall(&mut self, client: ClientId, stalled: bool) {
        self.clients[client].stalled = stalled;
    }

    /// The node that has a client.
    pub fn node_of(&self, client: ClientId) -> usize {
        self.clients[client].shard
    }

    /// Bytes that a client has sent and the broker has not taken.
    pub fn unread(&self, client: ClientId) -> usize {
        self.clients[client].outgoing.len()
    }

    /// Completes all commits that are open.
    pub fn commit(&mut self) {
        for index in 0..self.nodes.len() {
            while let Some(id) = self.hosts[index].submitted.pop_front() {
                self.nodes[index].begin_turn(self.now);
                self.nodes[index].handle_committed(id);
            }
        }
        self.settle();
    }

    /// Turns the nodes until nothing moves.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// One turn of every node, and what they said to each other.
    pub fn step(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.nodes.len() {
            moved |= self.turn(index);
        }
        moved | self.carry()
    }

    /// Everything that a client received since it was last asked.
    pub fn seen(&mut self, client: ClientId) -> Seen {
        let client = &mut self.clients[client];
        let bytes = std::mem::take(&mut client.incoming);
        let mut rest = &bytes[..];
        let mut seen = Vec::new();
        while let Some((length, frame)) = frame::split(rest, u32::MAX).expect("the broker's bytes")
        {
            let packet = Packet::decode(client.version, frame).expect("the broker's packet");
            seen.push(describe(&packet));
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "half a packet");
        if client.closed {
            seen.push("CLOSED".to_owned());
        }
        seen
    }

    /// The sessions of all shards.
    pub fn session(&self, id: &str) -> Option<ternmq_engine::view::Session> {
        self.nodes.iter().flat_map(|node| node.view().sessions).find(|it| it.client_id == id)
    }

    /// One turn of one node.
    pub fn turn(&mut self, index: usize) -> bool {
        let node = &mut self.nodes[index];
        self.hosts[index].slow = self.slow_commits;
        node.begin_turn(self.now);
        let mut moved = false;
        for client in self.clients.iter_mut().filter(|it| it.shard == index && !it.closed) {
            let mut budget = TurnBudget { packets: 1_000, bytes: 1 << 20 };
            let taken = node.handle_bytes(client.conn, &client.outgoing, &mut budget);
            client.outgoing.drain(..taken.bytes);
            moved |= taken.bytes > 0 || taken.stop == Stop::Budget;
        }
        node.handle_deadlines();
        moved |= !node.end_turn(&mut self.hosts[index]);
        while node.poll_resume().is_some() {
            moved = true;
        }
        while node.poll_dirty().is_some() {}
        for client in self.clients.iter_mut().filter(|it| it.shard == index && !it.stalled) {
            let Some(output) = node.output(client.conn).filter(|output| !output.is_empty()) else {
                continue;
            };
            client.incoming.extend(output.chunks().flatten());
            let length = output.len();
            node.wrote(client.conn, length);
            moved = true;
        }
        while let Some(conn) = node.poll_close() {
            for client in &mut self.clients {
                client.closed |= client.shard == index && client.conn == conn;
            }
            node.release(conn);
            moved = true;
        }
        moved
    }

    fn carry(&mut self) -> bool {
        let mut moved = false;
        for from in 0..self.nodes.len() {
            for (to, lane, bag) in std::mem::take(&mut self.hosts[from].posted) {
                let node = &mut self.nodes[usize::from(to.0)];
                node.begin_turn(self.now);
                node.handle_bag(ShardId(from as u16), lane, &bag);
                moved = true;
            }
        }
        moved
    }

    fn next_id(&mut self, client: ClientId) -> u16 {
        let id = self.clients[client].next_packet;
        self.clients[client].next_packet += 1;
        id
    }
}

fn describe(packet: &Packet<'_>) -> String {
    let ack = |name: &str, ack: &Ack<'_>| match ack.code {
        ReasonCode::Success => format!("{name} #{}", ack.packet_id),
        code => format!("{name} #{} 0x{:02X}", ack.packet_id, code.byte()),
    };
    match packet {
        Packet::Connack(Connack { session_present, code, .. }) => {
            let present = if *session_present { " present" } else { "" };
            format!("CONNACK 0x{:02X}{present}", code.byte())
        }
        Packet::Publish(it) => {
            let dup = if it.dup { " dup" } else { "" };
            let retain = if it.retain { " retain" } else { "" };
            let id = it.packet_id.map_or(String::new(), |id| format!(" #{id}"));
            let payload = String::from_utf8_lossy(it.payload);
            let ids: Vec<u32> = it.properties.subscription_identifiers().collect();
            let ids = if ids.is_empty() { String::new() } else { format!(" {ids:?}") };
            format!("PUBLISH q{}{id}{dup}{retain} {} {payload}{ids}", it.qos.bits(), it.topic)
        }
        Packet::Puback(it) => ack("PUBACK", it),
        Packet::Pubrec(it) => ack("PUBREC", it),
        Packet::Pubrel(it) => ack("PUBREL", it),
        Packet::Pubcomp(it) => ack("PUBCOMP", it),
        Packet::Suback(it) => format!("SUBACK {:02X?}", it.codes),
        Packet::Unsuback(it) => format!("UNSUBACK {:02X?}", it.codes),
        Packet::Disconnect(it) => format!("DISCONNECT 0x{:02X}", it.code.byte()),
        other => format!("{:?}", other.kind()),
    }
}
