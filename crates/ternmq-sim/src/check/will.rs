//! Wills: published at most once, when they are due and not before, and never after a DISCONNECT
//! that removed them or a resume in time (MQTT-3.1.2-8, MQTT-3.1.2-10, MQTT-3.1.3-9).

use ternmq_proto::Qos;

use super::{Verdict, time};
use crate::facts::{Facts, Subscription};
use crate::history::{ConnectionNo, Ending, Event, MessageNo, Tick, WillTerms};

const SECOND: u64 = 1_000_000;
/// How long it may take until one that was published has arrived everywhere, in microseconds.
const LATE_MAX: u64 = SECOND;

/// What has to become of a will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It must not be published.
    Never,
    /// It must be published, and not before this time.
    Due(u64),
}

/// Life of a connection.
#[derive(Debug, Clone, Copy)]
struct Life {
    opened: Tick,
    closed: Option<(Tick, Ending)>,
}

/// Judges all wills.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    let lives = lives(facts);
    for (index, connection) in facts.history.connections.iter().enumerate() {
        let number = ConnectionNo(index as u32);
        let Some(will) = connection.will else { continue };
        let fate = fate(facts, &lives, number, will);
        check_sent(facts, verdict, will.message, fate);
        if let (Fate::Due(due), Some((closed, _))) = (fate, lives[index].closed) {
            check_received(facts, verdict, will.message, closed, due);
        }
    }
}

fn lives(facts: &Facts<'_>) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for (index, entry) in facts.history.log.iter().enumerate() {
        let tick = Tick(index as u32);
        match entry.event {
            Event::Opened(_) => lives.push(Life { opened: tick, closed: None }),
            Event::Closed(connection, ending) => {
                lives[connection.0 as usize].closed.get_or_insert((tick, ending));
            }
            _ => {}
        }
    }
    lives
}

fn fate(facts: &Facts<'_>, lives: &[Life], number: ConnectionNo, will: WillTerms) -> Fate {
    let connection = facts.terms(number);
    let Some((closed, ending)) = lives[number.0 as usize].closed else { return Fate::Never };
    let expiry_seconds = match ending {
        Ending::Normal { .. } => return Fate::Never,
        Ending::WithWill { expiry_seconds } => expiry_seconds,
        Ending::Lost | Ending::TakenOver | Ending::ByBroker => None,
    };
    let expiry = expiry_seconds.unwrap_or(connection.expiry_seconds);
    let closed_at = time(facts, closed);
    let due = closed_at + u64::from(will.delay_seconds.min(expiry)) * SECOND;
    let next = facts.history.connections.iter().enumerate().skip(number.0 as usize + 1);
    let next = next.filter(|(_, it)| it.client == connection.client).map(|(index, _)| index).next();
    let Some(next) = next else { return Fate::Due(due) };
    let resumed_at = time(facts, lives[next].opened);
    let same = facts.sessions.of(ConnectionNo(next as u32)) == facts.sessions.of(number);
    if !same {
        return Fate::Due(due.min(resumed_at));
    }
    if resumed_at < due { Fate::Never } else { Fate::Due(due) }
}

fn check_sent(facts: &Facts<'_>, verdict: &mut Verdict, will: MessageNo, fate: Fate) {
    for sent in facts.sent.iter().filter(|it| it.publish.message == Some(will)) {
        let at = time(facts, sent.tick);
        match fate {
            Fate::Never => verdict.expect(false, "will-unexpected", at, || {
                format!("will {will:?} was sent to {:?} and had been removed", sent.session)
            }),
            Fate::Due(due) => {
                verdict.expect(sent.written.encoded_at >= due, "will-early", at, || {
                    format!("will {will:?} was sent {} us too early", due - at.min(due))
                });
            }
        }
    }
}

fn check_received(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    will: MessageNo,
    closed: Tick,
    due: u64,
) {
    let end = facts.history.log.last().map_or(0, |entry| entry.at);
    if facts.history.may_drop || end < due + LATE_MAX {
        return;
    }
    for subscription in facts.subscriptions.iter().filter(|it| owes(facts, it, will, closed)) {
        let arrived = facts.arrivals_of(subscription.session, will).next().is_some();
        verdict.expect(arrived, "will-missing", due, || {
            format!("will {will:?}, due at {due} us, never reached {:?}", subscription.session)
        });
    }
}

fn owes(facts: &Facts<'_>, subscription: &Subscription, will: MessageNo, closed: Tick) -> bool {
    let message = facts.history.message(will);
    let session = facts.sessions.get(subscription.session);
    let level = facts.least_level(subscription, will, closed, facts.history.now());
    facts.history.filter(subscription.filter).share.is_none()
        && facts.history.matches(subscription.filter, message.topic)
        && subscription.covers_from().is_some_and(|from| from < closed)
        && subscription.unsubscribed.is_none()
        && session.ended.is_none()
        && level.is_some_and(|level| level > Qos::AtMostOnce)
}
