//! Packet identifiers: none is used again while it is in flight, none is sent again without DUP, on
//! the same connection, or after the peer has it; none is left over when all has drained. And the
//! limits that the client announced: receive maximum and packet size.

use ternmq_proto::{PacketId, Qos};

use super::{Verdict, time};
use crate::facts::Facts;
use crate::history::{ConnectionNo, Event, Flow, MessageNo, Publish, Tick, Written};
use crate::sessions::SessionNo;

/// An identifier that the broker uses towards a subscriber.
#[derive(Debug, Clone, Copy)]
struct Outbound {
    id: PacketId,
    message: Option<MessageNo>,
    /// The subscriber has sent PUBREC.
    released: bool,
    /// Over which it was last sent.
    connection: ConnectionNo,
}

/// What is in flight in one session.
#[derive(Debug, Clone, Default)]
struct Flight {
    /// The connection of the session; an older one may still have something left to write.
    current: Option<ConnectionNo>,
    outbound: Vec<Outbound>,
    /// QoS 2 identifiers of the client that the broker holds.
    held: Vec<(PacketId, Option<MessageNo>)>,
    /// PUBREL that wait for PUBCOMP, and whether their identifier was held.
    releasing: Vec<(PacketId, bool)>,
}

impl Flight {
    fn find(&mut self, id: PacketId) -> Option<&mut Outbound> {
        self.outbound.iter_mut().find(|it| it.id == id)
    }
}

/// Judges all identifiers.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    let mut flights: Vec<Flight> = vec![Flight::default(); facts.sessions.len()];
    for (index, entry) in facts.history.log.iter().enumerate() {
        let tick = Tick(index as u32);
        match entry.event {
            Event::Opened(connection) => {
                let flight = &mut flights[facts.sessions.of(connection).0 as usize];
                flight.current = Some(connection);
                flight.releasing.clear();
            }
            Event::Up(connection, flow) => {
                let flight = &mut flights[facts.sessions.of(connection).0 as usize];
                note_up(facts, verdict, flight, tick, connection, flow);
            }
            Event::Down(connection, flow, written) => {
                let session = facts.sessions.of(connection);
                let flight = &mut flights[session.0 as usize];
                let is_current = flight.current == Some(connection);
                if is_current {
                    check_size(facts, verdict, tick, connection, written);
                    note_down(facts, verdict, flight, tick, connection, flow);
                }
            }
            _ => {}
        }
    }
    check_leaks(facts, verdict, &flights);
}

fn note_up(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    flight: &mut Flight,
    tick: Tick,
    connection: ConnectionNo,
    flow: Flow,
) {
    match flow {
        Flow::Publish(publish) if publish.qos == Qos::ExactlyOnce => {
            let Some(id) = publish.packet_id else { return };
            let held = flight.held.iter().find(|it| it.0 == id);
            let same = held.is_none_or(|it| it.1 == publish.message);
            verdict.expect(same, "client-identifier", time(facts, tick), || {
                format!("the simulated client of {connection:?} used {id} for two messages")
            });
            if held.is_none() {
                flight.held.push((id, publish.message));
            }
        }
        Flow::Pubrel(id, _) => {
            let was_held = flight.held.iter().any(|it| it.0 == id);
            flight.held.retain(|it| it.0 != id);
            flight.releasing.push((id, was_held));
        }
        Flow::Puback(id, _) | Flow::Pubcomp(id, _) => flight.outbound.retain(|it| it.id != id),
        Flow::Pubrec(id, code) if code.is_error() => flight.outbound.retain(|it| it.id != id),
        Flow::Pubrec(id, _) => {
            if let Some(outbound) = flight.find(id) {
                outbound.released = true;
            }
        }
        _ => {}
    }
}

fn note_down(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    flight: &mut Flight,
    tick: Tick,
    connection: ConnectionNo,
    flow: Flow,
) {
    let at = time(facts, tick);
    match flow {
        Flow::Publish(publish) => {
            if let Some(id) = publish.packet_id {
                note_publish(verdict, flight, at, connection, id, publish);
                check_receive_maximum(facts, verdict, flight, at, connection);
            }
        }
        Flow::Pubrec(id, code) if code.is_error() => flight.held.retain(|it| it.0 != id),
        Flow::Pubrel(id, code) if !code.is_error() => {
            let released = flight.find(id).is_some_and(|it| it.released);
            verdict.expect(released, "pubrel-unasked", at, || {
                format!("PUBREL {id} on {connection:?} without a PUBREC")
            });
        }
        Flow::Pubcomp(id, code) => {
            let Some(index) = flight.releasing.iter().position(|it| it.0 == id) else { return };
            let (_, was_held) = flight.releasing.swap_remove(index);
            verdict.expect(!(was_held && code.is_error()), "inbound-forgotten", at, || {
                format!("{id} was held, and its PUBREL on {connection:?} was answered {code:?}")
            });
        }
        _ => {}
    }
}

fn note_publish(
    verdict: &mut Verdict,
    flight: &mut Flight,
    at: u64,
    connection: ConnectionNo,
    id: PacketId,
    publish: Publish,
) {
    let Some(known) = flight.find(id) else {
        let message = publish.message;
        flight.outbound.push(Outbound { id, message, released: false, connection });
        return;
    };
    verdict.expect(known.message == publish.message, "identifier-reused", at, || {
        format!("{id} on {connection:?} is {:?}, still in flight is {known:?}", publish.message)
    });
    verdict.expect(publish.dup, "dup-missing", at, || {
        format!("{:?} was sent again with {id} on {connection:?} without DUP", publish.message)
    });
    verdict.expect(known.connection != connection, "resent-in-connection", at, || {
        format!("{:?} was sent twice with {id} on {connection:?}", publish.message)
    });
    verdict.expect(!known.released, "publish-after-pubrec", at, || {
        format!("{:?} was sent again with {id} although PUBREC had come", publish.message)
    });
    known.message = publish.message;
    known.connection = connection;
}

fn check_receive_maximum(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    flight: &Flight,
    at: u64,
    connection: ConnectionNo,
) {
    let in_use = flight.outbound.iter().filter(|it| it.connection == connection).count();
    let allowed = usize::from(facts.terms(connection).receive_maximum);
    verdict.expect(in_use <= allowed, "receive-maximum", at, || {
        format!("{in_use} messages unacknowledged on {connection:?}, {allowed} allowed")
    });
}

fn check_size(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    tick: Tick,
    connection: ConnectionNo,
    written: Written,
) {
    let max = facts.terms(connection).packet_bytes_max;
    verdict.expect(written.bytes <= max, "packet-size", time(facts, tick), || {
        format!("{} bytes on {connection:?}, which takes {max}", written.bytes)
    });
}

fn check_leaks(facts: &Facts<'_>, verdict: &mut Verdict, flights: &[Flight]) {
    let end = facts.history.log.last().map_or(0, |entry| entry.at);
    for (number, session) in facts.sessions.iter() {
        if session.ended.is_some() || session.connection.is_none() {
            continue;
        }
        let SessionNo(index) = number;
        let flight = &flights[index as usize];
        let empty = flight.outbound.is_empty() && flight.held.is_empty();
        verdict.expect(empty, "identifier-leak", end, || {
            format!("{:?} is left with {flight:?}", session.client)
        });
    }
}
