//! Who gets what, how often, and at which QoS.
//!
//! - exactly once at QoS 2 and at least once at QoS 1, to every session whose subscription was
//!   acknowledged before a node took the message and that exists to the end;
//! - never without a matching subscription, never the publisher's own with *no local*;
//! - at the lower of the published and the granted QoS, overlapping subscriptions together once at
//!   the highest, with all their identifiers;
//! - not after its expiry, and with the right rest of it.
//!
//! Where the configuration lets messages be dropped, as many may be missing as the nodes counted.

use ternmq_proto::{Qos, ReasonCode};

use super::{Verdict, time};
use crate::facts::{Facts, Sent, Subscription};
use crate::history::{IdentifierSet, MessageNo, Tick};
use crate::sessions::{Session, SessionNo};

const SECOND: u64 = 1_000_000;
/// Longest time that a commit takes, in microseconds, with the turns around it.
const COMMIT_MAX: u64 = 50_000;

/// Judges all deliveries.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    for sent in &facts.sent {
        if let Some(message) = sent.publish.message {
            check_sent(facts, verdict, sent, message);
        }
    }
    check_copies(facts, verdict);
    check_missing(facts, verdict);
}

fn check_sent(facts: &Facts<'_>, verdict: &mut Verdict, sent: &Sent, number: MessageNo) {
    let at = time(facts, sent.tick);
    let message = facts.history.message(number);
    let describe = || format!("{number:?} to {:?} in {:?}", client(facts, sent), sent.session);
    verdict.expect(message.topic == sent.publish.topic, "right-topic", at, || {
        format!("{} came on topic {:?}", describe(), sent.publish.topic)
    });
    // Nobody sees a will being taken: it may have been routed as late as now.
    let taken = if message.is_will { Some(sent.tick) } else { facts.publication(number).first_in };
    verdict.expect(taken.is_some(), "published", at, || {
        format!("{} was delivered but never published", describe())
    });
    let Some(taken) = taken else { return };
    verdict.expect(!sent.publish.retain || message.retain, "retain-flag", at, || {
        format!("{} was not published with RETAIN", describe())
    });
    let wanted = matching(facts, sent).any(|it| {
        let begun = it.versions[0].requested < sent.tick;
        begun && (sent.publish.retain || message.is_will || it.may_match(taken))
    });
    verdict.expect(wanted, "only-subscribed", at, || {
        format!("{} has no matching subscription", describe())
    });
    if wanted && !sent.publish.dup && !message.is_will {
        check_terms(facts, verdict, sent, number, taken);
    }
    check_expiry(facts, verdict, sent, number);
}

fn client(facts: &Facts<'_>, sent: &Sent) -> crate::history::ClientNo {
    facts.terms(sent.connection).client
}

fn matching<'a>(
    facts: &'a Facts<'_>,
    sent: &'a Sent,
) -> impl Iterator<Item = &'a Subscription> + 'a {
    let of = |shared| facts.matching(sent.session, sent.publish.topic, shared);
    of(false).chain(of(true))
}

/// The subscriptions that may have been in force when the message was routed, at some moment between
/// its arrival and its delivery.
struct Force {
    /// Levels that some choice among them would give.
    possible: Vec<Qos>,
    /// The highest that was certainly in force.
    certain: Option<Qos>,
    identifiers_possible: IdentifierSet,
    identifiers_certain: IdentifierSet,
    /// Every subscription forbids the publisher's own messages.
    only_no_local: bool,
    has_shared: bool,
}

fn force(facts: &Facts<'_>, sent: &Sent, first_in: Tick) -> Force {
    let mut force = Force {
        possible: Vec::new(),
        certain: None,
        identifiers_possible: IdentifierSet::default(),
        identifiers_certain: IdentifierSet::default(),
        only_no_local: true,
        has_shared: false,
    };
    // With RETAIN it can be one that was there before a subscription, and belongs to that one only.
    let retain = sent.publish.retain;
    for subscription in matching(facts, sent).filter(|it| retain || it.may_match(first_in)) {
        let shared = facts.history.filter(subscription.filter).share.is_some();
        force.has_shared |= shared;
        let versions: Vec<_> = subscription.versions_between(first_in, sent.tick).collect();
        for version in &versions {
            force.possible.push(version.granted);
            force.identifiers_possible.0 |= bit(version.identifier);
            force.only_no_local &= version.options.no_local;
        }
        let began = subscription.covers_from().is_some_and(|from| from < first_in);
        let lasts = subscription.unsubscribed.is_none_or(|end| end > sent.tick);
        if let ([only], true, true, false) = (&versions[..], began, lasts, shared || retain)
            && !only.options.no_local
        {
            force.certain = force.certain.max(Some(only.granted));
            force.identifiers_certain.0 |= bit(only.identifier);
        }
    }
    force
}

fn bit(identifier: u32) -> u32 {
    if identifier == 0 { 0 } else { 1 << (identifier % 32) }
}

fn check_terms(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    sent: &Sent,
    number: MessageNo,
    first_in: Tick,
) {
    let at = time(facts, sent.tick);
    let message = facts.history.message(number);
    let force = force(facts, sent, first_in);
    let qos = sent.publish.qos;
    let possible = force.possible.iter().any(|granted| qos == message.qos.min(*granted));
    let least = force.certain.map_or(Qos::AtMostOnce, |granted| message.qos.min(granted));
    let highest = qos >= least || force.has_shared;
    verdict.expect(possible && highest, "delivered-qos", at, || {
        format!(
            "{number:?} published at {:?}, granted {:?} (certainly {:?}), delivered at {qos:?}",
            message.qos, force.possible, force.certain
        )
    });
    let own = client(facts, sent) == message.publisher;
    verdict.expect(!(own && force.only_no_local && !sent.publish.retain), "no-local", at, || {
        format!("{number:?} went back to its publisher {:?}", message.publisher)
    });
    if facts.terms(sent.connection).version.has_properties() {
        let seen = sent.publish.identifiers.0;
        let surplus = seen & !force.identifiers_possible.0;
        let lacking = force.identifiers_certain.0 & !seen;
        let complete = surplus == 0 && (lacking == 0 || force.has_shared);
        verdict.expect(complete, "subscription-identifiers", at, || {
            format!(
                "{number:?} to {:?} came with {seen:#b}, must have {:#b}, may have {:#b}",
                sent.session, force.identifiers_certain.0, force.identifiers_possible.0
            )
        });
    }
}

fn check_expiry(facts: &Facts<'_>, verdict: &mut Verdict, sent: &Sent, number: MessageNo) {
    let publication = facts.publication(number);
    let Some(expiry) = publication.expiry_seconds else { return };
    let Some(first_in) = publication.first_in else { return };
    if publication.times_in > 1 || sent.publish.dup {
        return;
    }
    let at = time(facts, sent.tick);
    let waited = sent.written.encoded_at.saturating_sub(time(facts, first_in));
    // At QoS 2 it has begun to be delivered when its identifier is on its way to be committed.
    let begun = if sent.publish.qos == Qos::ExactlyOnce { COMMIT_MAX } else { 0 };
    verdict.expect(waited <= u64::from(expiry) * SECOND + begun, "expired", at, || {
        format!("{number:?} lives {expiry} s and left after {waited} us")
    });
    if facts.terms(sent.connection).version.has_properties() {
        let rest = sent.publish.expiry_seconds.map(u64::from);
        let most = u64::from(expiry).saturating_sub(waited / SECOND);
        let least = u64::from(expiry).saturating_sub(waited.div_ceil(SECOND));
        let right = rest.is_some_and(|rest| (least..=most).contains(&rest));
        verdict.expect(right, "rest-of-expiry", at, || {
            format!("{number:?} lives {expiry} s, waited {waited} us, was sent with {rest:?}")
        });
    }
}

/// Copies of one message in one session: as the broker sent them, and as the application got them.
fn check_copies(facts: &Facts<'_>, verdict: &mut Verdict) {
    let sent = facts.sent.iter().filter_map(|sent| {
        let counts = !sent.publish.dup && !sent.publish.retain;
        let message = sent.publish.message?;
        counts.then_some((sent.session, message, sent.tick))
    });
    count_copies(facts, verdict, sent.collect(), "one-copy");
    let arrived = facts.arrivals.iter().filter_map(|arrival| {
        let delivered = &arrival.delivered;
        let counts = delivered.qos == Qos::ExactlyOnce && !delivered.retain;
        counts.then_some((arrival.session, delivered.message, arrival.tick))
    });
    count_copies(facts, verdict, arrived.collect(), "exactly-once");
}

fn count_copies(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    mut copies: Vec<(SessionNo, MessageNo, Tick)>,
    invariant: &'static str,
) {
    copies.sort_unstable();
    for run in copies.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let (session, number, _) = run[0];
        let message = facts.history.message(number);
        let publication = facts.publication(number);
        let once = message.qos == Qos::ExactlyOnce && !facts.history.refuses;
        let taken = if message.is_will || once { 1 } else { publication.times_in };
        // A shared subscription gives a copy of its own; `share` judges those.
        let shares = facts.matching(session, message.topic, true).count() as u32;
        let most = if shares > 0 { taken * (1 + 2 * shares) } else { taken };
        let (_, _, tick) = run[run.len() - 1];
        verdict.expect(run.len() as u32 <= most, invariant, time(facts, tick), || {
            format!("{number:?} came {} times to {session:?}, at most {most}", run.len())
        });
    }
}

/// Whether the message must have arrived in this session, which exists to the end.
fn is_owed(
    facts: &Facts<'_>,
    session: &Session,
    subscription: &Subscription,
    number: MessageNo,
) -> bool {
    let message = facts.history.message(number);
    let publication = facts.publication(number);
    let Some(first_in) = publication.first_in else { return false };
    let covered = subscription.covers_from().is_some_and(|from| from < first_in)
        && subscription.unsubscribed.is_none();
    let hidden = message.clears && !facts.sees_properties(session.client);
    if !covered || hidden || message.expiry_seconds.is_some() {
        return false;
    }
    match facts.least_level(subscription, number, first_in, facts.history.now()) {
        None => false,
        Some(Qos::AtMostOnce) => is_connected_since(facts, session, first_in),
        Some(_) => publication.accepted.is_some(),
    }
}

/// Whether the connection that the session has to the end had its CONNACK before.
fn is_connected_since(facts: &Facts<'_>, session: &Session, tick: Tick) -> bool {
    let Some(connection) = session.connection else { return false };
    facts.greetings.iter().any(|it| it.connection == connection && it.tick < tick)
}

fn check_missing(facts: &Facts<'_>, verdict: &mut Verdict) {
    let mut missing = Vec::new();
    for subscription in &facts.subscriptions {
        let session = facts.sessions.get(subscription.session);
        let shared = facts.history.filter(subscription.filter).share.is_some();
        if shared || session.ended.is_some() {
            continue;
        }
        for (index, message) in facts.history.messages.iter().enumerate() {
            let number = MessageNo(index as u32);
            let matches = facts.history.matches(subscription.filter, message.topic);
            if message.is_will || !matches || !is_owed(facts, session, subscription, number) {
                continue;
            }
            verdict.checks += 1;
            if facts.arrivals_of(subscription.session, number).next().is_none() {
                missing.push((subscription.session, number));
            }
            check_matched(facts, verdict, subscription, number);
        }
    }
    missing.sort_unstable();
    missing.dedup();
    if facts.history.may_drop && missing.len() as u64 <= facts.history.dropped {
        return;
    }
    for (session, number) in missing {
        let client = facts.sessions.get(session).client;
        let message = facts.history.message(number);
        let at = facts.publication(number).first_in.map_or(0, |tick| time(facts, tick));
        verdict.expect(false, "at-least-once", at, || {
            format!("{number:?} {message:?} never reached {client:?} in {session:?}")
        });
    }
}

/// A publisher that was told "nobody has subscribed" was not lied to.
fn check_matched(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    subscription: &Subscription,
    number: MessageNo,
) {
    let Some((tick, code)) = facts.publication(number).accepted else { return };
    let lie = code == ReasonCode::NoMatchingSubscribers;
    verdict.expect(!lie, "no-matching-subscribers", time(facts, tick), || {
        format!("{number:?} was answered with 0x10 although {:?} subscribed", subscription.session)
    });
}
