//! Retained messages: what a new subscription gets is the last value, it is sent when retain
//! handling says so and once, a subscription that opens sees no old value after a new one, nobody is
//! left with an old value, and what is kept at the end is the last that was acknowledged.
//!
//! Two messages count as ordered only when one was acknowledged before the other was taken, or when
//! both belong to one publisher and QoS; what was concurrent may come out either way.

use ternmq_proto::Qos;
use ternmq_proto::packet::RetainHandling;

use super::{Verdict, time};
use crate::facts::{Facts, Sent, Subscribed, Subscription};
use crate::history::{MessageNo, Tick, TopicNo};
use crate::sessions::SessionNo;

/// Judges everything about retained messages.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    let writes: Vec<Vec<MessageNo>> =
        (0..facts.history.topics.len()).map(|topic| writes(facts, TopicNo(topic as u16))).collect();
    let mut retained: Vec<&Sent> =
        facts.sent.iter().filter(|it| it.publish.retain && !it.publish.dup).collect();
    retained.sort_by_key(|it| (it.session, it.publish.topic, it.tick));
    let groups =
        retained.chunk_by(|a, b| (a.session, a.publish.topic) == (b.session, b.publish.topic));
    for group in groups {
        check_opening(facts, verdict, group, &writes);
    }
    check_final(facts, verdict, &writes);
}

/// Messages that set or clear the retained message of a topic and were taken by a node.
fn writes(facts: &Facts<'_>, topic: TopicNo) -> Vec<MessageNo> {
    let messages = facts.history.messages.iter().enumerate();
    let writes = messages.filter(|(_, it)| it.topic == topic && it.retain);
    let numbers = writes.map(|(index, _)| MessageNo(index as u32));
    numbers
        .filter(|number| {
            facts.history.message(*number).is_will || facts.publication(*number).first_in.is_some()
        })
        .collect()
}

/// SUBSCRIBE requests of a session after which the retained message of a topic has to be sent.
fn openings(facts: &Facts<'_>, session: SessionNo, topic: TopicNo) -> Vec<Tick> {
    let mut openings = Vec::new();
    for subscription in facts.matching(session, topic, false) {
        for (index, version) in subscription.versions.iter().enumerate() {
            let wanted = match version.options.retain_handling {
                RetainHandling::Always => true,
                RetainHandling::IfNew => index == 0,
                RetainHandling::Never => false,
            };
            if wanted {
                openings.push(version.requested);
            }
        }
    }
    openings.sort_unstable();
    openings
}

fn check_opening(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    group: &[&Sent],
    writes: &[Vec<MessageNo>],
) {
    let (session, topic) = (group[0].session, group[0].publish.topic);
    let plain = facts.matching(session, topic, false);
    let keeps = plain
        .chain(facts.matching(session, topic, true))
        .any(|it| it.versions.iter().any(|version| version.options.retain_as_published));
    if keeps {
        return;
    }
    let openings = openings(facts, session, topic);
    let at = time(facts, group[group.len() - 1].tick);
    verdict.expect(group.len() <= openings.len(), "retained-copies", at, || {
        format!("{} retained messages on {topic:?} to {session:?} for {openings:?}", group.len())
    });
    let Some(first) = openings.first() else { return };
    for sent in group {
        let Some(message) = sent.publish.message else { continue };
        let at = time(facts, sent.tick);
        let stale = writes[usize::from(topic.0)].iter().find(|newer| {
            let settled = facts.settled(**newer);
            facts.precedes(message, **newer) && settled.is_some_and(|tick| tick < *first)
        });
        // A store that is full keeps the old value.
        verdict.expect(stale.is_none() || facts.history.may_drop, "retained-stale", at, || {
            format!("{session:?} got {message:?} although {stale:?} was acknowledged before")
        });
        // What a subscription that is open already gets does not wait for one that opens.
        let alone = facts.matching(session, topic, false).count() == 1
            && facts.matching(session, topic, true).next().is_none();
        if let ([only], true) = (&openings[..], alone) {
            check_no_old_after_new(facts, verdict, sent, message, *only);
            check_not_live(facts, verdict, sent, message, *only);
        }
    }
}

fn check_no_old_after_new(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    sent: &Sent,
    message: MessageNo,
    opened: Tick,
) {
    let newer = facts.sent.iter().find(|it| {
        it.session == sent.session
            && it.publish.topic == sent.publish.topic
            && it.tick > opened
            && it.tick < sent.tick
            // What is queued at QoS 1 and 2 does not keep QoS 0 back.
            && it.publish.qos > Qos::AtMostOnce
            && it.publish.message.is_some_and(|newer| {
                facts.history.message(newer).retain && facts.precedes(message, newer)
            })
    });
    verdict.expect(newer.is_none(), "old-after-new", time(facts, sent.tick), || {
        let newer = newer.and_then(|it| it.publish.message);
        format!("{:?} got {message:?} as retained after {newer:?}", sent.session)
    });
}

/// What is published after SUBACK comes live, and without RETAIN (MQTT-3.3.1-9). What is published
/// before may come either way: nobody can say whether the subscription was established.
fn check_not_live(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    sent: &Sent,
    message: MessageNo,
    opened: Tick,
) {
    if !facts.history.message(message).retain {
        return;
    }
    let subscription = facts.matching(sent.session, sent.publish.topic, false).next();
    let versions = subscription.into_iter().flat_map(|it| &it.versions);
    let opening = versions.filter(|it| it.requested == opened).find_map(|it| it.acknowledged);
    let (Some(acknowledged), Some(taken)) = (opening, facts.publication(message).first_in) else {
        return;
    };
    verdict.expect(taken < acknowledged, "retained-live", time(facts, sent.tick), || {
        format!("{:?} got {message:?}, published after SUBACK, with RETAIN", sent.session)
    });
}

/// What the auditor found when everything was over.
fn check_final(facts: &Facts<'_>, verdict: &mut Verdict, writes: &[Vec<MessageNo>]) {
    let Some(auditor) = facts.history.auditor else { return };
    let end = facts.history.log.last().map_or(0, |entry| entry.at);
    for (index, writes) in writes.iter().enumerate() {
        let topic = TopicNo(index as u16);
        let hidden = facts.history.topics[index].starts_with('$');
        let vague = writes.iter().any(|number| {
            let message = facts.history.message(*number);
            message.is_will || message.expiry_seconds.is_some()
        });
        if hidden || vague || facts.history.may_drop {
            continue;
        }
        let found = facts.arrivals.iter().find(|it| {
            facts.terms(it.delivered.connection).client == auditor
                && facts.history.message(it.delivered.message).topic == topic
        });
        let found = found.map(|it| it.delivered.message);
        check_kept(facts, verdict, topic, writes, found, end);
        if let Some(found) = found {
            check_known(facts, verdict, topic, found);
        }
    }
}

/// The value kept is one that no later acknowledged value replaced.
fn check_kept(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    topic: TopicNo,
    writes: &[MessageNo],
    found: Option<MessageNo>,
    end: u64,
) {
    let is_last = |number: MessageNo| {
        !writes.iter().any(|newer| is_applied(facts, *newer) && facts.precedes(number, *newer))
    };
    match found {
        Some(found) => verdict.expect(is_last(found), "retained-last", end, || {
            format!("{found:?} is kept on {topic:?}, and it is not the last of {writes:?}")
        }),
        None => {
            let mut lasts = writes.iter().filter(|it| is_last(**it));
            let sure = lasts.any(|it| is_applied(facts, *it));
            let cleared = writes.iter().any(|it| facts.history.message(*it).clears && is_last(*it));
            verdict.expect(cleared || !sure, "retained-lost", end, || {
                format!("nothing is kept on {topic:?} after {writes:?}")
            });
        }
    }
}

/// Whether a message that was taken had its effect for certain.
fn is_applied(facts: &Facts<'_>, number: MessageNo) -> bool {
    let at_most_once = facts.history.message(number).qos == Qos::AtMostOnce;
    at_most_once || facts.publication(number).accepted.is_some()
}

/// Whoever subscribed and stayed has seen the value that is kept: as retained, or live.
fn check_known(facts: &Facts<'_>, verdict: &mut Verdict, topic: TopicNo, kept: MessageNo) {
    let message = facts.history.message(kept);
    let Some(first_in) = facts.publication(kept).first_in else { return };
    for subscription in &facts.subscriptions {
        let session = facts.sessions.get(subscription.session);
        let stays = session.ended.is_none()
            && subscription.unsubscribed.is_none()
            && subscription.covers_from().is_some();
        let matches = facts.history.matches(subscription.filter, topic)
            && facts.history.filter(subscription.filter).share.is_none();
        if !stays || !matches || !wants(facts, subscription, kept) {
            continue;
        }
        let covered = subscription.covers_from().is_some_and(|from| from < first_in);
        if message.qos == Qos::AtMostOnce || covered {
            // Whether it had to come live is judged with the deliveries.
            continue;
        }
        let opened = subscription.versions[0].requested;
        let knows = facts.arrivals_of(subscription.session, kept).next().is_some();
        verdict.expect(knows, "retained-gap", time(facts, opened), || {
            format!("{:?} subscribed and never got {kept:?}, kept on {topic:?}", session.client)
        });
    }
}

fn wants(facts: &Facts<'_>, subscription: &Subscription, kept: MessageNo) -> bool {
    let session = facts.sessions.get(subscription.session);
    let own = facts.history.message(kept).publisher == session.client;
    // A connection that is lost before SUBACK leaves a subscription that is not new any more.
    let answered = subscription.versions.iter().position(|it| it.acknowledged.is_some());
    let handling = answered.map(|index| subscription.versions[index].options.retain_handling);
    let sends = match (answered, handling) {
        (Some(0), Some(handling)) => handling != RetainHandling::Never,
        (_, handling) => handling == Some(RetainHandling::Always),
    };
    let every = |it: &Subscribed| it.granted > Qos::AtMostOnce && !(own && it.options.no_local);
    sends && subscription.versions.iter().all(every)
}
