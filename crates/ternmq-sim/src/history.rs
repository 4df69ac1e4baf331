//! What happened in a run, as seen at the broker's edge and by the clients' applications: the only
//! thing that the checkers look at. It has no opinion; [`crate::facts`] sorts it, [`crate::check`]
//! judges it.
//!
//! The broker's edge is exact: a packet of a client counts when the node has taken its bytes, a
//! packet of the broker when its bytes were written to the socket. So the checkers need no allowance
//! for time under way.

use ternmq_proto::packet::SubscriptionOptions;
use ternmq_proto::{PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

/// One client identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNo(pub u16);

/// One CONNECT that a node handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionNo(pub u32);

/// One application message, wills included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNo(pub u32);

/// A topic name of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicNo(pub u16);

/// A topic filter of the run, with its share name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterNo(pub u16);

/// A place in the log: what happened earlier has a smaller tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u32);

/// A topic filter and what it matches.
#[derive(Debug, Clone)]
pub struct Filter {
    /// As it is written in SUBSCRIBE, `$share/...` included.
    pub text: String,
    /// The share name, for a shared subscription.
    pub share: Option<String>,
    /// By topic, whether it matches.
    pub matches: Vec<bool>,
}

/// A message that some client means to publish, or a will.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Who publishes it.
    pub publisher: ClientNo,
    /// Where to.
    pub topic: TopicNo,
    /// As published.
    pub qos: Qos,
    /// The RETAIN flag as published.
    pub retain: bool,
    /// An empty payload: with RETAIN it removes the retained message.
    pub clears: bool,
    /// Message Expiry Interval.
    pub expiry_seconds: Option<u32>,
    /// Length of the payload.
    pub payload_bytes: u32,
    /// The will of a connection.
    pub is_will: bool,
}

/// The will of a connection.
#[derive(Debug, Clone, Copy)]
pub struct WillTerms {
    /// Its message.
    pub message: MessageNo,
    /// Will Delay Interval.
    pub delay_seconds: u32,
}

/// A connection that a node accepted for handling, with the terms of its CONNECT.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// Whose.
    pub client: ClientNo,
    /// Of the protocol.
    pub version: Version,
    /// Clean Start, or Clean Session.
    pub clean_start: bool,
    /// Session Expiry Interval in force; `u32::MAX`: never.
    pub expiry_seconds: u32,
    /// 0: none.
    pub keep_alive_seconds: u16,
    /// What the client allows the broker.
    pub receive_maximum: u16,
    /// The largest packet that the client takes.
    pub packet_bytes_max: u32,
    /// The will, if there is one.
    pub will: Option<WillTerms>,
    /// Where its session lives.
    pub shard: u16,
}

/// How a connection ended, seen from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The socket ended or failed.
    Lost,
    /// DISCONNECT 0x00, with a new Session Expiry Interval if it had one.
    Normal {
        /// What replaces the session's expiry.
        expiry_seconds: Option<u32>,
    },
    /// DISCONNECT with another reason code: the will stands.
    WithWill {
        /// What replaces the session's expiry.
        expiry_seconds: Option<u32>,
    },
    /// Another connection took the session over.
    TakenOver,
    /// The broker closed: keep alive, a violation, a slow consumer.
    ByBroker,
}

/// Subscription identifiers `1..=31` as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct IdentifierSet(pub u32);

/// A PUBLISH on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Publish {
    /// For QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// Which message; `None` for an empty payload whose properties a 3.x client cannot see.
    pub message: Option<MessageNo>,
    /// The topic, an alias resolved.
    pub topic: TopicNo,
    /// As sent.
    pub qos: Qos,
    /// As sent.
    pub dup: bool,
    /// As sent.
    pub retain: bool,
    /// Message Expiry Interval as sent.
    pub expiry_seconds: Option<u32>,
    /// Subscription identifiers as sent.
    pub identifiers: IdentifierSet,
}

/// A filter of a SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// The filter.
    pub filter: FilterNo,
    /// The options; the default for UNSUBSCRIBE.
    pub options: SubscriptionOptions,
    /// Subscription identifier, 0 for none.
    pub identifier: u32,
}

/// A run of entries in [`History::requests`] or [`History::codes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First index.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Span {
    /// As indices.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.count) as usize
    }
}

/// A packet on the wire, in either direction.
#[derive(Debug, Clone, Copy)]
pub enum Flow {
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    Puback(PacketId, ReasonCode),
    /// PUBREC.
    Pubrec(PacketId, ReasonCode),
    /// PUBREL.
    Pubrel(PacketId, ReasonCode),
    /// PUBCOMP.
    Pubcomp(PacketId, ReasonCode),
    /// SUBSCRIBE with its filters.
    Subscribe(PacketId, Span),
    /// SUBACK with its codes.
    Suback(PacketId, Span),
    /// UNSUBSCRIBE with its filters.
    Unsubscribe(PacketId, Span),
    /// UNSUBACK.
    Unsuback(PacketId),
    /// CONNACK.
    Connack {
        /// Session Present.
        session_present: bool,
        /// The reason.
        code: ReasonCode,
    },
    /// DISCONNECT.
    Disconnect(ReasonCode),
    /// PINGREQ, PINGRESP, AUTH.
    Other,
}

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// A node was given a CONNECT.
    Opened(ConnectionNo),
    /// A node stopped serving a connection.
    Closed(ConnectionNo, Ending),
    /// A node took a packet.
    Up(ConnectionNo, Flow),
    /// A packet was written for a client.
    Down(ConnectionNo, Flow, Written),
    /// A client handed a message to its application.
    Delivered(Delivered),
    /// A bag with this message reached a shard.
    Reached {
        /// Which.
        shard: u16,
        /// What.
        message: MessageNo,
    },
    /// A batch became durable.
    Committed {
        /// Whose.
        shard: u16,
        /// When it was submitted.
        submitted: Tick,
    },
}

/// How a packet was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Its size.
    pub bytes: u32,
    /// When the node put it into the connection's output; it may have waited there for its socket.
    pub encoded_at: u64,
}

/// A message at a subscriber's application.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// Over which connection.
    pub connection: ConnectionNo,
    /// What.
    pub message: MessageNo,
    /// As delivered.
    pub qos: Qos,
    /// The flag as delivered.
    pub retain: bool,
}

/// An event with its time.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Virtual microseconds.
    pub at: u64,
    /// What happened.
    pub event: Event,
}

/// A whole run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Topic names.
    pub topics: Vec<String>,
    /// Topic filters.
    pub filters: Vec<Filter>,
    /// Messages, by number.
    pub messages: Vec<Message>,
    /// Connections, by number.
    pub connections: Vec<Connection>,
    /// Filters of all requests.
    pub requests: Vec<Request>,
    /// Reason codes of all SUBACKs.
    pub codes: Vec<u8>,
    /// What happened, in order.
    pub log: Vec<Entry>,
    /// How many shards there are.
    pub shards: usize,
    /// By topic: the shard that keeps its retained message.
    pub topic_shards: Vec<u16>,
    /// The client that asks for every retained message when all is over.
    pub auditor: Option<ClientNo>,
    /// Whether messages may be missing because a bound of the configuration was reached.
    pub may_drop: bool,
    /// Whether a full queue refuses a message to its publisher. Others may have got it by then, and
    /// get it again when the publisher never hears of it: nothing is exactly once any more.
    pub refuses: bool,
    /// Messages that the nodes say they dropped, for whatever reason.
    pub dropped: u64,
}

impl History {
    /// The tick that the next event will have.
    pub fn now(&self) -> Tick {
        Tick(self.log.len() as u32)
    }

    /// Adds an event.
    pub fn push(&mut self, at: u64, event: Event) -> Tick {
        let tick = self.now();
        self.log.push(Entry { at, event });
        tick
    }

    /// When a tick was.
    pub fn time(&self, tick: Tick) -> u64 {
        self.log[tick.0 as usize].at
    }

    /// A new message.
    pub fn add_message(&mut self, message: Message) -> MessageNo {
        self.messages.push(message);
        MessageNo(self.messages.len() as u32 - 1)
    }

    /// The message with this number.
    pub fn message(&self, number: MessageNo) -> &Message {
        &self.messages[number.0 as usize]
    }

    /// The connection with this number.
    pub fn connection(&self, number: ConnectionNo) -> &Connection {
        &self.connections[number.0 as usize]
    }

    /// The filter with this number.
    pub fn filter(&self, number: FilterNo) -> &Filter {
        &self.filters[usize::from(number.0)]
    }

    /// Whether the filter matches the topic.
    pub fn matches(&self, filter: FilterNo, topic: TopicNo) -> bool {
        self.filter(filter).matches[usize::from(topic.0)]
    }

    /// Which topic this is.
    pub fn topic_no(&self, topic: &str) -> Option<TopicNo> {
        self.topics.iter().position(|it| it == topic).map(|index| TopicNo(index as u16))
    }

    /// Which filter this is.
    pub fn filter_no(&self, text: &str) -> Option<FilterNo> {
        self.filters.iter().position(|it| it.text == text).map(|index| FilterNo(index as u16))
    }

    /// Adds a topic filter; all topics must be known.
    pub fn add_filter(&mut self, text: &str) -> FilterNo {
        let mut parts = text.splitn(3, '/');
        let (share, filter) = match (parts.next(), parts.next(), parts.next()) {
            (Some("$share"), Some(share), Some(rest)) => (Some(share.to_owned()), rest),
            _ => (None, text),
        };
        let matches = self.topics.iter().map(|topic| filter_matches(filter, topic)).collect();
        self.filters.push(Filter { text: text.to_owned(), share, matches });
        FilterNo(self.filters.len() as u16 - 1)
    }

    /// Keeps the filters of a request.
    pub fn add_requests(&mut self, requests: impl Iterator<Item = Request>) -> Span {
        let start = self.requests.len();
        self.requests.extend(requests);
        Span { start: start as u32, count: (self.requests.len() - start) as u32 }
    }

    /// Keeps the codes of a SUBACK.
    pub fn add_codes(&mut self, codes: &[u8]) -> Span {
        let start = self.codes.len() as u32;
        self.codes.extend_from_slice(codes);
        Span { start, count: codes.len() as u32 }
    }
}

/// Whether a filter matches a topic, level by level (section 4.7); written for this checker, so that
/// a mistake in the broker's own does not repeat itself here.
fn filter_matches(filter: &str, topic: &str) -> bool {
    let wild_start = filter.starts_with(['+', '#']);
    if topic.starts_with('$') && wild_start {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    for (index, level) in filter.iter().enumerate() {
        if *level == "#" {
            return true;
        }
        match topic.get(index) {
            Some(name) if *level == "+" || level == name => {}
            _ => return false,
        }
    }
    filter.len() == topic.len()
}

/// Every message carries its number as text, in its payload or (when that has to be empty) in a user
/// property, so that it can be found in any bytes.
const MARK: &[u8; 2] = b"~m";
const MARK_BYTES: usize = 10;

/// The mark of a message, followed by `payload_bytes - 10` bytes of filling.
pub fn payload(number: MessageNo, message: &Message) -> Vec<u8> {
    if message.clears {
        return Vec::new();
    }
    let mut bytes = format!("~m{:08x}", number.0).into_bytes();
    bytes.resize((message.payload_bytes as usize).max(MARK_BYTES), b'.');
    bytes
}

/// The properties that a message is published with.
pub fn properties(number: MessageNo, message: &Message, version: Version) -> PropertyBuf {
    let mut properties = PropertyBuf::new();
    if version != Version::V5 {
        return properties;
    }
    if message.clears {
        properties.push(Property::UserProperty("n", &format!("~m{:08x}", number.0)));
    }
    if let Some(seconds) = message.expiry_seconds {
        properties.push(Property::MessageExpiryInterval(seconds));
    }
    properties
}

/// Which message a PUBLISH carries.
pub fn message_in(payload: &[u8], properties: Properties<'_>) -> Option<MessageNo> {
    if payload.is_empty() {
        return properties.user_properties().find_map(|(_, value)| mark_at(value.as_bytes()));
    }
    mark_at(payload)
}

fn mark_at(bytes: &[u8]) -> Option<MessageNo> {
    let digits = bytes.strip_prefix(MARK)?.get(..MARK_BYTES - MARK.len())?;
    let digits = std::str::from_utf8(digits).ok()?;
    u32::from_str_radix(digits, 16).ok().map(MessageNo)
}

/// All messages whose marks are in these bytes.
pub fn messages_in(bytes: &[u8]) -> impl Iterator<Item = MessageNo> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(offset) = bytes[from..].iter().position(|byte| *byte == MARK[0]) {
            let at = from + offset;
            from = at + 1;
            if let Some(number) = mark_at(&bytes[at..]) {
                return Some(number);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        let yes = [("#", "a/b"), ("a/#", "a"), ("a/+", "a/b"), ("+/b", "a/b"), ("$x/#", "$x/y")];
        let no = [("#", "$x/y"), ("+/y", "$x/y"), ("a/+", "a"), ("a", "a/b"), ("a/+", "a/b/c")];
        assert!(yes.iter().all(|(filter, topic)| filter_matches(filter, topic)));
        assert!(!no.iter().any(|(filter, topic)| filter_matches(filter, topic)));
    }

    #[test]
    fn a_message_is_found_in_any_bytes() {
        let mut message = Message {
            publisher: ClientNo(0),
            topic: TopicNo(0),
            qos: Qos::AtMostOnce,
            retain: true,
            clears: false,
            expiry_seconds: None,
            payload_bytes: 20,
            is_will: false,
        };
        let bytes = [b"x~m~".to_vec(), payload(MessageNo(0x1f), &message), b"~m".to_vec()].concat();
        assert_eq!(messages_in(&bytes).collect::<Vec<_>>(), [MessageNo(0x1f)]);
        message.clears = true;
        let properties = properties(MessageNo(5), &message, Version::V5);
        assert!(payload(MessageNo(5), &message).is_empty());
        assert_eq!(message_in(b"", properties.as_properties()), Some(MessageNo(5)));
    }

    #[test]
    fn a_shared_filter_matches_as_its_filter() {
        let mut history = History { topics: vec!["a/b".into(), "c".into()], ..History::default() };
        let filter = history.add_filter("$share/g/a/+");
        assert_eq!(history.filter(filter).share.as_deref(), Some("g"));
        assert!(history.matches(filter, TopicNo(0)));
        assert!(!history.matches(filter, TopicNo(1)));
    }
}
