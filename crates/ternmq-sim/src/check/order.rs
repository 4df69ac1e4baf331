//! Order: messages of one publisher, topic and QoS come to each subscriber in the order in which the
//! broker took them (first occurrences), acknowledgements leave in the order of what they
//! acknowledge (MQTT-4.6.0-2 and -3), and what is sent again on a new connection comes in the order
//! of its first sending, before anything new.

use ternmq_proto::{PacketId, Qos};

use super::{Verdict, time};
use crate::facts::{Arrival, Facts};
use crate::history::{ConnectionNo, Event, Flow, MessageNo, Tick, TopicNo};
use crate::sessions::SessionNo;

/// Judges all orders.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    check_streams(facts, verdict);
    check_acknowledgements(facts, verdict);
    check_resent(facts, verdict);
}

/// What has an order of its own, for each QoS that it is delivered at.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
struct Stream {
    subscriber: SessionNo,
    publisher: SessionNo,
    topic: TopicNo,
    published: Qos,
}

/// Messages of one stream, in the order in which the application got them.
type Run<'a> = &'a [(Stream, &'a Arrival)];

fn check_streams(facts: &Facts<'_>, verdict: &mut Verdict) {
    let mut seen: Vec<(Stream, &Arrival)> = Vec::new();
    for arrival in &facts.arrivals {
        let delivered = &arrival.delivered;
        let message = facts.history.message(delivered.message);
        let Some(publisher) = facts.publication(delivered.message).session else { continue };
        let shared = facts.matching(arrival.session, message.topic, true).next().is_some();
        if message.is_will || shared {
            continue;
        }
        let stream = Stream {
            subscriber: arrival.session,
            publisher,
            topic: message.topic,
            published: message.qos,
        };
        seen.push((stream, arrival));
    }
    seen.sort_unstable_by_key(|(stream, arrival)| (*stream, arrival.tick));
    for run in seen.chunk_by(|a, b| a.0 == b.0) {
        check_stream(facts, verdict, run);
    }
}

fn check_stream(facts: &Facts<'_>, verdict: &mut Verdict, run: Run<'_>) {
    let mut newest: [Option<(Tick, MessageNo)>; 3] = [None; 3];
    let mut known: Vec<MessageNo> = Vec::new();
    for (stream, arrival) in run {
        let number = arrival.delivered.message;
        if known.contains(&number) {
            continue;
        }
        known.push(number);
        let Some(taken) = facts.publication(number).first_in else { continue };
        // What was there before a subscription comes when it opens.
        if arrival.delivered.retain || !covers(facts, arrival) {
            continue;
        }
        let level = arrival.delivered.qos;
        let newest = &mut newest[usize::from(level.bits())];
        let in_order = newest.is_none_or(|(newest, _)| newest < taken);
        verdict.expect(in_order, "order", time(facts, arrival.tick), || {
            let (before, topic) = (newest.map(|it| it.1), stream.topic);
            format!(
                "{number:?} after {before:?} to {:?} on {topic:?} at {level:?}",
                stream.subscriber
            )
        });
        *newest = Some((taken, number));
    }
}

/// Whether what came is the first that the subscriber could get of this message: a repetition by its
/// publisher is the first for somebody who subscribed in between, or for whom the first was lost.
fn covers(facts: &Facts<'_>, arrival: &Arrival) -> bool {
    let number = arrival.delivered.message;
    let publication = facts.publication(number);
    let topic = facts.history.message(number).topic;
    let may_be_lost = facts.history.may_drop
        || publication.expiry_seconds.is_some()
        || arrival.delivered.qos == Qos::AtMostOnce;
    if publication.times_in > 1 && may_be_lost {
        return false;
    }
    let Some(taken) = publication.first_in else { return false };
    publication.times_in == 1
        || facts.matching(arrival.session, topic, false).any(|it| {
            let level = facts.least_level(it, number, taken, taken);
            let lossless = level.is_some_and(|level| level > Qos::AtMostOnce);
            let stands = it.unsubscribed.is_none_or(|end| end > taken);
            lossless && stands && it.covers_from().is_some_and(|from| from < taken)
        })
}

/// Requests of one kind on one connection that wait for their answers.
#[derive(Default)]
struct Waiting {
    puback: Vec<PacketId>,
    pubrec: Vec<PacketId>,
    pubrel: Vec<PacketId>,
}

fn check_acknowledgements(facts: &Facts<'_>, verdict: &mut Verdict) {
    let mut waiting: Vec<Waiting> = Vec::new();
    waiting.resize_with(facts.history.connections.len(), Waiting::default);
    for entry in &facts.history.log {
        match entry.event {
            Event::Up(connection, flow) => {
                let waiting = &mut waiting[connection.0 as usize];
                match flow {
                    Flow::Publish(publish) => match (publish.packet_id, publish.qos) {
                        (Some(id), Qos::AtLeastOnce) => waiting.puback.push(id),
                        (Some(id), _) => waiting.pubrec.push(id),
                        _ => {}
                    },
                    Flow::Pubrec(id, code) if !code.is_error() => waiting.pubrel.push(id),
                    _ => {}
                }
            }
            Event::Down(connection, flow, _) => {
                let waiting = &mut waiting[connection.0 as usize];
                let (queue, id) = match flow {
                    Flow::Puback(id, _) => (&mut waiting.puback, id),
                    Flow::Pubrec(id, _) => (&mut waiting.pubrec, id),
                    // What a resume sends again was asked for on an earlier connection.
                    Flow::Pubrel(id, _) if waiting.pubrel.contains(&id) => {
                        (&mut waiting.pubrel, id)
                    }
                    _ => continue,
                };
                let first = queue.first().copied();
                verdict.expect(first == Some(id), "acknowledgement-order", entry.at, || {
                    format!("{flow:?} on {connection:?}, but {first:?} came first")
                });
                if let Some(index) = queue.iter().position(|it| *it == id) {
                    queue.remove(index);
                }
            }
            _ => {}
        }
    }
}

/// Per connection: which place the last of what was sent again had among the first sendings, and
/// whether something new has been sent.
#[derive(Default, Clone, Copy)]
struct Resending {
    newest: Option<usize>,
    has_new: bool,
}

fn check_resent(facts: &Facts<'_>, verdict: &mut Verdict) {
    let mut first_sent: Vec<(SessionNo, PacketId, MessageNo, usize)> = Vec::new();
    let mut current: Option<(ConnectionNo, Resending)> = None;
    let mut order: Vec<usize> = (0..facts.sent.len()).collect();
    order.sort_by_key(|index| (facts.sent[*index].connection, *index));
    for (place, index) in order.into_iter().enumerate() {
        let sent = &facts.sent[index];
        let (Some(id), Some(message)) = (sent.publish.packet_id, sent.publish.message) else {
            continue;
        };
        if current.is_none_or(|(connection, _)| connection != sent.connection) {
            current = Some((sent.connection, Resending::default()));
        }
        let Some((_, state)) = &mut current else { continue };
        if !sent.publish.dup {
            state.has_new = true;
            first_sent.retain(|it| (it.0, it.1) != (sent.session, id));
            first_sent.push((sent.session, id, message, place));
            continue;
        }
        let at = time(facts, sent.tick);
        verdict.expect(!state.has_new, "resend-first", at, || {
            format!("{message:?} was sent again on {:?} after something new", sent.connection)
        });
        let known = first_sent.iter().find(|it| (it.0, it.1, it.2) == (sent.session, id, message));
        if let Some((_, _, _, first)) = known {
            let in_order = state.newest.is_none_or(|newest| newest < *first);
            verdict.expect(in_order, "resend-order", at, || {
                format!("{message:?} was sent again on {:?} out of order", sent.connection)
            });
            state.newest = Some(*first);
        }
    }
}
