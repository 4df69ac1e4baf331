//! Our client and our broker over a link that is cut anywhere and delivers in any pieces, beside a
//! stranger who sends anything: nobody panics, and neither of the two ever finds that the other
//! broke the protocol.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ternmq_agent::{Agent, Cause, Event, Options, Publish, Reconnect, Transmit};
use ternmq_engine::{
    Attributes, Batch, ConnId, Host, Lane, Node, Now, Settings, ShardId, Submitted, TurnBudget,
};
use ternmq_proto::packet::{Packet, RetainHandling, SubscriptionOptions};
use ternmq_proto::{PropertyBuf, Qos, Version, frame};

const STEPS_MAX: usize = 200;
const CONNECT_BYTES_MAX: u32 = 65_536;
const TOPICS: [&str; 4] = ["a", "a/b", "c", "$SYS/x"];
const FILTERS: [&str; 6] = ["a", "a/+", "#", "+/b", "$share/g/#", "$SYS/#"];

#[derive(Arbitrary, Debug)]
struct Input {
    version: u8,
    persistent: bool,
    receive_maximum: u8,
    topic_alias_maximum: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Publish {
        topic: u8,
        qos: u8,
        retain: bool,
        payload_bytes: u8,
    },
    Subscribe {
        filter: u8,
        qos: u8,
        no_local: bool,
        retain_handling: u8,
    },
    Unsubscribe {
        filter: u8,
    },
    /// So many bytes arrive at the broker, and so many at the client.
    Flow {
        up: u16,
        down: u16,
    },
    Cut,
    Wait {
        milliseconds: u16,
    },
    Stranger(Vec<u8>),
    StrangerLeaves,
}

fuzz_target!(|input: Input| {
    let mut world = World::new(&input);
    for step in input.steps.iter().take(STEPS_MAX) {
        world.take(step);
        world.settle();
    }
});

struct World {
    agent: Agent,
    node: Node,
    now: u64,
    link: Option<Link>,
    stranger: Link,
}

/// Bytes on their way between a client and the broker.
#[derive(Default)]
struct Link {
    /// Sent by the client, not yet arrived.
    up: Vec<u8>,
    /// Arrived at the broker, not yet taken by it.
    arrived: Vec<u8>,
    /// Sent by the broker, not yet arrived.
    down: Vec<u8>,
    connection: Option<ConnId>,
    is_over: bool,
}

impl World {
    fn new(input: &Input) -> World {
        let version = [Version::V31, Version::V311, Version::V5][usize::from(input.version) % 3];
        let is_v5 = version == Version::V5;
        let options = Options {
            version,
            client_id: "client".to_owned(),
            clean_start: !input.persistent,
            session_expiry_seconds: if is_v5 && input.persistent { 3_600 } else { 0 },
            receive_maximum: u16::from(input.receive_maximum).max(1),
            topic_alias_maximum: u16::from(input.topic_alias_maximum),
            reconnect: Reconnect::default(),
            ..Options::default()
        };
        let mut agent = Agent::new(options, 1).expect("the options fit together");
        agent.connect(0);
        let node = Node::new(ShardId(0), Settings::default());
        World { agent, node, now: 0, link: None, stranger: Link::default() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Publish { topic, qos, retain, payload_bytes } => {
                let payload = vec![b'x'; usize::from(*payload_bytes)];
                let publish = Publish::new(one_of(&TOPICS, *topic), payload);
                let publish = publish.qos(qos_of(*qos)).retain(*retain);
                self.agent.publish(self.now, publish).expect("there is room, and it is a topic");
            }
            Step::Subscribe { filter, qos, no_local, retain_handling } => {
                let filter = one_of(&FILTERS, *filter);
                let is_v5 = self.agent.options().version == Version::V5;
                let options = SubscriptionOptions {
                    qos: qos_of(*qos),
                    no_local: is_v5 && *no_local && !filter.starts_with("$share"),
                    retain_as_published: false,
                    retain_handling: match retain_handling % 3 {
                        1 if is_v5 => RetainHandling::IfNew,
                        2 if is_v5 => RetainHandling::Never,
                        _ => RetainHandling::Always,
                    },
                };
                // Too many unanswered requests are refused; that is an answer too.
                drop(self.agent.subscribe(vec![(filter.to_owned(), options)], PropertyBuf::new()));
            }
            Step::Unsubscribe { filter } => {
                let filters = vec![one_of(&FILTERS, *filter).to_owned()];
                drop(self.agent.unsubscribe(filters, PropertyBuf::new()));
            }
            Step::Flow { up, down } => self.flow(usize::from(*up), usize::from(*down)),
            Step::Cut => self.cut(),
            Step::Wait { milliseconds } => self.now += u64::from(*milliseconds) * 1_000,
            Step::Stranger(bytes) => self.stranger.arrived.extend_from_slice(bytes),
            Step::StrangerLeaves => self.stranger.is_over = true,
        }
    }

    fn flow(&mut self, up: usize, down: usize) {
        let Some(link) = &mut self.link else { return };
        let up = up.min(link.up.len());
        link.arrived.extend(link.up.drain(..up));
        if self.agent.wants_bytes() {
            let down = down.min(link.down.len());
            let bytes: Vec<u8> = link.down.drain(..down).collect();
            self.agent.handle_bytes(self.now, &bytes);
        }
        if link.is_over && link.down.is_empty() {
            self.link = None;
            self.agent.handle_closed(self.now, None);
        }
    }

    fn cut(&mut self) {
        if let Some(mut link) = self.link.take() {
            link.is_over = true;
            self.hang_up(link);
            self.agent.handle_closed(self.now, None);
        }
    }

    fn hang_up(&mut self, link: Link) {
        if let Some(connection) = link.connection {
            self.node.handle_hangup(connection);
        }
    }

    /// Both sides do what there is to do at this instant.
    fn settle(&mut self) {
        self.turn();
        self.agent.handle_timeout(self.now);
        while let Some(event) = self.agent.poll_event(self.now) {
            check(&event);
        }
        while let Some(transmit) = self.agent.poll_transmit(self.now) {
            match transmit {
                Transmit::Open => {
                    self.link = Some(Link::default());
                    self.agent.handle_connected(self.now);
                }
                Transmit::Bytes(bytes) => {
                    if let Some(link) = &mut self.link {
                        link.up.extend(bytes);
                    }
                }
                Transmit::Close => {
                    if let Some(link) = self.link.take() {
                        self.hang_up(link);
                    }
                }
            }
        }
    }

    fn turn(&mut self) {
        self.node.begin_turn(Now { mono: self.now, wall: self.now });
        if let Some(link) = &mut self.link {
            link.feed(&mut self.node);
        }
        self.stranger.feed(&mut self.node);
        if self.stranger.is_over {
            let stranger = std::mem::take(&mut self.stranger);
            self.hang_up(stranger);
        }
        self.node.handle_deadlines();
        self.node.end_turn(&mut NoHost);
        while let Some(connection) = self.node.poll_dirty() {
            let Some(output) = self.node.output(connection) else { continue };
            let bytes: Vec<u8> = output.chunks().flatten().copied().collect();
            self.node.wrote(connection, bytes.len());
            if let Some(link) = self.link.as_mut().filter(|it| it.connection == Some(connection)) {
                link.down.extend(bytes);
            }
        }
        while self.node.poll_resume().is_some() {}
        while let Some(connection) = self.node.poll_close() {
            let links = self.link.iter_mut().chain([&mut self.stranger]);
            for link in links.filter(|it| it.connection == Some(connection)) {
                link.is_over = true;
                link.connection = None;
            }
            self.node.release(connection);
        }
    }
}

impl Link {
    /// Hands what has arrived to the broker, as its lobby and its threads do.
    fn feed(&mut self, node: &mut Node) {
        if self.is_over {
            return;
        }
        if self.connection.is_none() {
            match frame::split(&self.arrived, CONNECT_BYTES_MAX) {
                Ok(None) => return,
                Ok(Some((length, first))) => match Packet::decode(Version::V5, first) {
                    Ok(Packet::Connect(connect)) if !connect.client_id.is_empty() => {
                        self.connection =
                            Some(node.handle_connect(&connect, Attributes::default()));
                        self.arrived.drain(..length);
                    }
                    _ => self.is_over = true,
                },
                Err(_) => self.is_over = true,
            }
        }
        if let Some(connection) = self.connection {
            let mut budget = TurnBudget { packets: 1_000, bytes: 1 << 20 };
            let taken = node.handle_bytes(connection, &self.arrived, &mut budget);
            self.arrived.drain(..taken.bytes);
        }
    }
}

/// One shard alone: there is nobody to post to, and memory is durable at once.
struct NoHost;

impl Host for NoHost {
    fn post(&mut self, _: ShardId, _: Lane, _: Vec<u8>) -> Result<(), Vec<u8>> {
        unreachable!("a single shard has no neighbours")
    }

    fn empty_bag(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn submit(&mut self, _: Batch) -> Submitted {
        Submitted::Done
    }
}

fn check(event: &Event) {
    if let Event::Disconnected { cause, .. } = event {
        let is_our_fault =
            matches!(cause, Cause::Protocol(_) | Cause::AnswerMismatch | Cause::UnexpectedSession);
        assert!(!is_our_fault, "{cause}");
    }
}

fn one_of<'a>(texts: &[&'a str], choice: u8) -> &'a str {
    texts[usize::from(choice) % texts.len()]
}

fn qos_of(choice: u8) -> Qos {
    Qos::from_bits(choice % 3).expect("below three")
}
