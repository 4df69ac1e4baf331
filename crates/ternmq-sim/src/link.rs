//! A TCP connection of the simulated world: two streams that delay, split and lose, but never
//! reorder. It knows bytes and time, not MQTT, and owns no clock.
//!
//! What can happen to it: latency, jitter and bandwidth; a window that fills when the other side
//! does not read; an orderly end; a cut at any byte of either direction, which the two ends notice at
//! different times; and silence (half-open), which only a timer of the protocol above can notice.

use std::collections::VecDeque;

use crate::rng::Rng;

/// Never.
pub const NEVER: u64 = u64::MAX;
/// Longest time until an end notices a cut, in microseconds.
const NOTICE_MAX: u64 = 200_000;

/// Who reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The simulated client.
    Client,
    /// The broker under test.
    Broker,
}

/// What a path does to bytes. Times in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Shortest time under way.
    pub latency: u64,
    /// Longest additional time under way.
    pub jitter: u64,
    /// Bytes that pass in a millisecond.
    pub bytes_per_ms: u64,
    /// Bytes that may be under way or unread; more is not taken from the writer.
    pub window: usize,
}

/// What a read finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Bytes may follow.
    Open,
    /// The other side closed in order, and everything it sent was read.
    Ended,
    /// The connection broke; what was unread is lost.
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    arrives: u64,
    sent: u64,
    bytes: usize,
}

/// One direction.
#[derive(Debug)]
struct Stream {
    path: Path,
    /// Everything sent and not yet read; read from `head`.
    bytes: Vec<u8>,
    head: usize,
    /// Of these, bytes that have arrived.
    arrived: usize,
    segments: VecDeque<Segment>,
    last_arrival: u64,
    /// When the newest arrived segment was sent.
    newest_sent: u64,
    written: u64,
    cut_at: Option<u64>,
    end_arrives: Option<u64>,
    rng: Rng,
}

impl Stream {
    fn new(path: Path, rng: Rng) -> Self {
        Stream {
            path,
            bytes: Vec::new(),
            head: 0,
            arrived: 0,
            segments: VecDeque::new(),
            last_arrival: 0,
            newest_sent: 0,
            written: 0,
            cut_at: None,
            end_arrives: None,
            rng,
        }
    }

    fn room(&self) -> usize {
        self.path.window.saturating_sub(self.bytes.len() - self.head)
    }

    /// Time under way for nothing but the path's sake.
    fn delay(&mut self) -> u64 {
        self.path.latency + self.rng.below(self.path.jitter + 1)
    }

    fn send(&mut self, now: u64, bytes: &[u8]) {
        let transmission = bytes.len() as u64 * 1_000 / self.path.bytes_per_ms.max(1);
        let arrives = self.last_arrival.max(now + self.delay() + transmission);
        self.last_arrival = arrives;
        self.bytes.extend_from_slice(bytes);
        self.segments.push_back(Segment { arrives, sent: now, bytes: bytes.len() });
    }

    fn advance(&mut self, now: u64) {
        while let Some(segment) = self.segments.front().filter(|it| it.arrives <= now) {
            self.arrived += segment.bytes;
            self.newest_sent = segment.sent;
            self.segments.pop_front();
        }
    }

    fn consume(&mut self, count: usize) {
        self.head += count;
        self.arrived -= count;
        if self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        } else if self.head > 4_096 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    /// Loses what has not arrived. Returns how much that was.
    fn lose(&mut self) -> usize {
        let lost = self.bytes.len() - self.head - self.arrived;
        self.bytes.truncate(self.head + self.arrived);
        self.segments.clear();
        lost
    }

    fn next_arrival(&self) -> u64 {
        let segment = self.segments.front().map_or(NEVER, |it| it.arrives);
        segment.min(self.end_arrives.unwrap_or(NEVER))
    }
}

/// How a connection broke.
#[derive(Debug, Clone, Copy)]
struct Broken {
    client_notices: u64,
    broker_notices: u64,
}

/// What a cut did, for whoever counts faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The side whose bytes were cut.
    pub writer: Side,
    /// Bytes that were written and will never arrive, of both directions.
    pub lost: usize,
}

/// One connection between a client and the broker. Its methods are of four kinds: getters;
/// `write`, `finish`, `abort` and the faults are what an end or the world does to it; `readable` and
/// `consume` are how an end reads; [`Link::poll_timeout`] says when an end has something new to see.
#[derive(Debug)]
pub struct Link {
    up: Stream,
    down: Stream,
    broken: Option<Broken>,
    cut: Option<Cut>,
}

impl Link {
    /// A connection that is open on both sides.
    pub fn new(path: Path, mut rng: Rng) -> Self {
        Link {
            up: Stream::new(path, rng.fork()),
            down: Stream::new(path, rng),
            broken: None,
            cut: None,
        }
    }

    fn written_by(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.up,
            Side::Broker => &mut self.down,
        }
    }

    fn read_by(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.down,
            Side::Broker => &mut self.up,
        }
    }

    /// Writes from the front of `bytes`. Returns how many were taken: all, some, or none.
    pub fn write(&mut self, now: u64, side: Side, bytes: &[u8]) -> usize {
        let broken = self.broken.is_some();
        let stream = self.written_by(side);
        let taken = bytes.len().min(stream.room());
        if taken == 0 {
            return 0;
        }
        let passes = match stream.cut_at {
            Some(offset) => taken.min((offset.saturating_sub(stream.written)) as usize),
            None => taken,
        };
        stream.written += taken as u64;
        let crossed = stream.cut_at.is_some_and(|offset| stream.written >= offset);
        if broken {
            // The writer does not know it yet: the bytes fill its window and go nowhere.
            stream.bytes.extend_from_slice(&bytes[..taken]);
            return taken;
        }
        if passes > 0 {
            stream.send(now, &bytes[..passes]);
        }
        if crossed {
            self.break_at_cut(now, side, taken - passes);
        }
        taken
    }

    /// The stream of `writer` has reached the byte at which it is cut: what it sent before still
    /// arrives, unless its reader learns of the break first; the other direction loses what is under
    /// way.
    fn break_at_cut(&mut self, now: u64, writer: Side, beyond: usize) {
        let opposite = match writer {
            Side::Client => &mut self.down,
            Side::Broker => &mut self.up,
        };
        let lost = beyond + opposite.lose();
        self.broken = Some(Broken {
            client_notices: now + self.down.rng.skewed(1, NOTICE_MAX),
            broker_notices: now + self.up.rng.skewed(1, NOTICE_MAX),
        });
        self.cut = Some(Cut { writer, lost });
    }

    /// The connection breaks when `writer` has written `bytes` more bytes.
    pub fn cut_after(&mut self, writer: Side, bytes: u64) {
        if self.broken.is_none() {
            let stream = self.written_by(writer);
            stream.cut_at = Some(stream.written + bytes);
        }
    }

    /// Takes back a cut that has not happened yet.
    pub fn heal(&mut self) {
        self.up.cut_at = None;
        self.down.cut_at = None;
    }

    /// What a cut did, told once.
    pub fn take_cut(&mut self) -> Option<Cut> {
        self.cut.take()
    }

    /// The client is gone without a word: nothing it sent and that is under way arrives, and nobody
    /// tells the broker.
    pub fn vanish(&mut self) {
        self.up.lose();
        self.down.lose();
        self.broken = Some(Broken { client_notices: NEVER, broker_notices: NEVER });
    }

    /// `side` closes at once, as a killed process does: the other side learns it later, and what was
    /// under way is lost in both directions.
    pub fn abort(&mut self, now: u64, side: Side) {
        if self.broken.is_some() {
            return;
        }
        self.up.lose();
        self.down.lose();
        let later = now + self.up.delay();
        self.broken = Some(match side {
            Side::Client => Broken { client_notices: now, broker_notices: later },
            Side::Broker => Broken { client_notices: later, broker_notices: now },
        });
    }

    /// `side` writes nothing any more; the other reads the rest and then the end.
    pub fn finish(&mut self, now: u64, side: Side) {
        let stream = self.written_by(side);
        if stream.end_arrives.is_none() {
            stream.end_arrives = Some(stream.last_arrival.max(now + stream.delay()));
        }
    }

    /// Whether the stream will carry nothing from `writer` any more, although it does not know.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Bytes that `side` may write now.
    pub fn room(&mut self, side: Side) -> usize {
        self.written_by(side).room()
    }

    /// What has arrived at `side` and is unread, with the state of its stream.
    pub fn readable(&mut self, now: u64, side: Side) -> (&[u8], Reading) {
        let failed = self.broken.is_some_and(|broken| {
            now >= match side {
                Side::Client => broken.client_notices,
                Side::Broker => broken.broker_notices,
            }
        });
        if failed {
            return (&[], Reading::Failed);
        }
        let stream = self.read_by(side);
        stream.advance(now);
        let unread = &stream.bytes[stream.head..stream.head + stream.arrived];
        let ended = unread.is_empty()
            && stream.segments.is_empty()
            && stream.end_arrives.is_some_and(|at| at <= now);
        (unread, if ended { Reading::Ended } else { Reading::Open })
    }

    /// `side` has read `count` of the readable bytes.
    pub fn consume(&mut self, side: Side, count: usize) {
        self.read_by(side).consume(count);
    }

    /// When the newest bytes that arrived at `side` were sent.
    pub fn newest_sent(&mut self, side: Side) -> u64 {
        self.read_by(side).newest_sent
    }

    /// Whether bytes for `side` are under way or unread, and can still be read.
    pub fn carries(&mut self, side: Side) -> bool {
        let broken = self.broken.is_some();
        let stream = self.read_by(side);
        stream.arrived > 0 || (!broken && !stream.segments.is_empty())
    }

    /// When `side` has something new to see: bytes, the end, or the break.
    pub fn poll_timeout(&mut self, side: Side) -> u64 {
        let breaks = self.broken.map_or(NEVER, |broken| match side {
            Side::Client => broken.client_notices,
            Side::Broker => broken.broker_notices,
        });
        breaks.min(self.read_by(side).next_arrival())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: Path = Path { latency: 100, jitter: 50, bytes_per_ms: 1_000, window: 64 };

    fn link(seed: u64) -> Link {
        Link::new(PATH, Rng::seeded(seed))
    }

    fn read_all(link: &mut Link, now: u64, side: Side) -> Vec<u8> {
        let bytes = link.readable(now, side).0.to_vec();
        link.consume(side, bytes.len());
        bytes
    }

    #[test]
    fn bytes_arrive_late_and_in_order() {
        let mut link = link(1);
        assert_eq!(link.write(0, Side::Client, b"first "), 6);
        assert_eq!(link.write(1, Side::Client, b"second"), 6);
        assert_eq!(link.readable(99, Side::Broker), (&b""[..], Reading::Open));
        let mut arrived = Vec::new();
        while link.poll_timeout(Side::Broker) != NEVER {
            let at = link.poll_timeout(Side::Broker);
            arrived.extend(read_all(&mut link, at, Side::Broker));
        }
        assert_eq!(arrived, b"first second");
    }

    #[test]
    fn a_reader_that_does_not_read_fills_the_window() {
        let mut link = link(2);
        assert_eq!(link.write(0, Side::Broker, &[7; 100]), 64);
        assert_eq!(link.write(1_000, Side::Broker, &[7; 36]), 0);
        assert_eq!(read_all(&mut link, 1_000, Side::Client).len(), 64);
        assert_eq!(link.write(1_000, Side::Broker, &[7; 36]), 36);
    }

    #[test]
    fn a_cut_lets_exactly_the_bytes_before_it_pass() {
        for seed in 0..50 {
            let mut link = link(seed);
            link.cut_after(Side::Client, 5);
            assert_eq!(link.write(0, Side::Client, b"abc"), 3);
            assert_eq!(link.take_cut(), None);
            assert_eq!(link.write(10, Side::Client, b"defgh"), 5, "the writer notices nothing");
            assert_eq!(link.take_cut(), Some(Cut { writer: Side::Client, lost: 3 }));
            let at = link.poll_timeout(Side::Broker);
            let mut seen = read_all(&mut link, at, Side::Broker);
            seen.extend(read_all(&mut link, 170, Side::Broker));
            assert!(b"abcde".starts_with(&seen), "{seen:?}");
            assert_eq!(link.readable(300_000, Side::Broker).1, Reading::Failed);
            assert_eq!(link.readable(300_000, Side::Client).1, Reading::Failed);
        }
    }

    #[test]
    fn an_orderly_end_comes_after_the_last_byte() {
        let mut link = link(4);
        link.write(0, Side::Broker, b"bye");
        link.finish(0, Side::Broker);
        assert_eq!(link.readable(10_000, Side::Client), (&b"bye"[..], Reading::Open));
        link.consume(Side::Client, 3);
        assert_eq!(link.readable(10_000, Side::Client).1, Reading::Ended);
    }

    #[test]
    fn a_vanished_client_is_never_noticed() {
        let mut link = link(5);
        link.write(0, Side::Client, b"lost");
        link.vanish();
        assert_eq!(link.write(0, Side::Broker, &[1; 100]), 64, "until the window is full");
        assert_eq!(link.write(NEVER - 1, Side::Broker, &[1; 36]), 0);
        assert_eq!(link.readable(NEVER - 1, Side::Broker), (&b""[..], Reading::Open));
    }

    #[test]
    fn an_abort_is_noticed_at_once_here_and_later_there() {
        let mut link = link(6);
        link.write(0, Side::Broker, b"lost");
        link.abort(0, Side::Client);
        assert_eq!(link.readable(0, Side::Client).1, Reading::Failed);
        assert_eq!(link.readable(99, Side::Broker).1, Reading::Open);
        assert_eq!(link.readable(150, Side::Broker).1, Reading::Failed);
    }
}
