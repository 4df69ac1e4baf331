//! What the world writes down while it runs: the history, the sessions as they are known so far,
//! the faults that struck, and one number that two equal runs agree about.

use crate::check::Violation;
use crate::fault::{Fault, FaultCounts};
use crate::history::{
    ClientNo, Connection, ConnectionNo, Ending, Event, Flow, History, MessageNo, Span, Tick,
    Written,
};
use crate::rng;
use crate::sessions::{SessionBook, SessionNo};

/// See the header of the file.
#[derive(Debug, Default)]
pub struct Record {
    /// What happened.
    pub history: History,
    /// Whose session is whose, so far.
    pub book: SessionBook,
    /// What went wrong on purpose.
    pub faults: FaultCounts,
    /// What was seen to be wrong while it happened.
    pub violations: Vec<Violation>,
    hash: u64,
    /// The newest bytes that the broker has read: when they were sent, and by whom.
    newest: Option<(u64, ClientNo)>,
}

impl Record {
    /// Adds an event.
    pub fn push(&mut self, at: u64, event: Event) -> Tick {
        self.mix(at ^ digest(&event));
        self.history.push(at, event)
    }

    /// A node was given a CONNECT.
    pub fn opened(&mut self, at: u64, connection: Connection) -> (ConnectionNo, SessionNo) {
        let number = ConnectionNo(self.history.connections.len() as u32);
        self.history.connections.push(connection);
        let tick = self.push(at, Event::Opened(number));
        self.book.opened(at, tick, number, &connection);
        (number, self.book.of(number))
    }

    /// A node stopped serving a connection.
    pub fn closed(&mut self, at: u64, connection: ConnectionNo, ending: Ending) {
        let tick = self.push(at, Event::Closed(connection, ending));
        self.book.closed(at, tick, connection, ending);
    }

    /// The broker has read bytes that this client sent at this time.
    pub fn note_sent(&mut self, client: ClientNo, sent: u64) {
        match self.newest {
            Some((newest, other)) if sent < newest => {
                if other != client {
                    self.faults.hit(Fault::Reordering);
                }
            }
            _ => self.newest = Some((sent, client)),
        }
    }

    /// Something is wrong.
    pub fn violated(&mut self, at: u64, invariant: &'static str, what: String) {
        self.violations.push(Violation { invariant, at, what });
    }

    /// Adds a number to the hash of the run.
    pub fn mix(&mut self, value: u64) {
        self.hash = rng::scatter(self.hash ^ value);
    }

    /// Adds bytes to the hash of the run.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = chunk.try_into().map_or(0, u64::from_le_bytes);
            self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        for byte in chunks.remainder() {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash of the run so far: two runs of one seed have the same.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// A number for an event; what is on the wire is in the hash as bytes.
fn digest(event: &Event) -> u64 {
    let words = |kind: u64, a: u32, b: u32| kind << 60 | u64::from(a) << 28 | u64::from(b);
    match event {
        Event::Opened(connection) => words(1, connection.0, 0),
        Event::Closed(connection, ending) => words(2, connection.0, ending_number(*ending)),
        Event::Up(connection, _) => words(3, connection.0, 0),
        Event::Down(connection, _, Written { bytes, .. }) => words(4, connection.0, *bytes),
        Event::Delivered(delivered) => words(5, delivered.connection.0, delivered.message.0),
        Event::Reached { shard, message } => words(6, u32::from(*shard), message.0),
        Event::Committed { shard, submitted } => words(7, u32::from(*shard), submitted.0),
    }
}

fn ending_number(ending: Ending) -> u32 {
    match ending {
        Ending::Lost => 0,
        Ending::Normal { .. } => 1,
        Ending::WithWill { .. } => 2,
        Ending::TakenOver => 3,
        Ending::ByBroker => 4,
    }
}

/// An entry of the log in words, for a trace. The words `c3`, `m17`, `conn5` and `s1` name clients,
/// messages, connections and shards.
pub fn describe(history: &History, tick: Tick) -> String {
    let entry = &history.log[tick.0 as usize];
    let (seconds, micros) = (entry.at / 1_000_000, entry.at % 1_000_000);
    let what = match entry.event {
        Event::Opened(connection) => {
            let terms = history.connection(connection);
            format!(
                "{} CONNECT {:?} clean={} expiry={} will={:?} s{}",
                who(history, connection),
                terms.version,
                terms.clean_start,
                terms.expiry_seconds,
                terms.will.map(|will| will.message),
                terms.shard
            )
        }
        Event::Closed(connection, ending) => {
            format!("{} over: {ending:?}", who(history, connection))
        }
        Event::Up(connection, flow) => {
            format!("{} > {}", who(history, connection), flow_text(history, flow))
        }
        Event::Down(connection, flow, written) => format!(
            "{} < {} ({} bytes, encoded at {})",
            who(history, connection),
            flow_text(history, flow),
            written.bytes,
            written.encoded_at
        ),
        Event::Delivered(delivered) => format!(
            "{} application has {} {:?} retain={}",
            who(history, delivered.connection),
            message_text(Some(delivered.message)),
            delivered.qos,
            delivered.retain
        ),
        Event::Reached { shard, message } => {
            format!("s{shard} reached by {}", message_text(Some(message)))
        }
        Event::Committed { shard, submitted } => {
            format!("s{shard} batch of tick {} is durable", submitted.0)
        }
    };
    format!("{seconds}.{micros:06} #{} {what}", tick.0)
}

fn who(history: &History, connection: ConnectionNo) -> String {
    format!("c{} conn{}", history.connection(connection).client.0, connection.0)
}

fn message_text(message: Option<MessageNo>) -> String {
    message.map_or("m?".to_owned(), |number| format!("m{}", number.0))
}

fn flow_text(history: &History, flow: Flow) -> String {
    let filters = |span: Span| {
        let requests = history.requests[span.range()].iter();
        let texts: Vec<String> = requests
            .map(|it| {
                let options = it.options;
                format!(
                    "{} q{} id{} nl={} rap={} {:?}",
                    history.filter(it.filter).text,
                    options.qos.bits(),
                    it.identifier,
                    options.no_local,
                    options.retain_as_published,
                    options.retain_handling
                )
            })
            .collect();
        texts.join(", ")
    };
    match flow {
        Flow::Publish(publish) => format!(
            "PUBLISH {} {} q{} id={:?} dup={} retain={} subs={:#b} expiry={:?}",
            message_text(publish.message),
            history.topics.get(usize::from(publish.topic.0)).map_or("?", String::as_str),
            publish.qos.bits(),
            publish.packet_id.map(std::num::NonZeroU16::get),
            publish.dup,
            publish.retain,
            publish.identifiers.0,
            publish.expiry_seconds
        ),
        Flow::Subscribe(id, span) => format!("SUBSCRIBE {id} {}", filters(span)),
        Flow::Unsubscribe(id, span) => format!("UNSUBSCRIBE {id} {}", filters(span)),
        Flow::Suback(id, span) => format!("SUBACK {id} {:?}", &history.codes[span.range()]),
        other => format!("{other:?}"),
    }
}
