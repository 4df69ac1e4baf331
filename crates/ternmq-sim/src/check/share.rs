//! Shared subscriptions: each message goes to one member of the group. At QoS 2 never to a second
//! one; at QoS 1 to a second one only when the first has left; and never to none while a member
//! stays.

use ternmq_proto::Qos;

use super::{Verdict, time};
use crate::facts::{Facts, Subscription};
use crate::history::{FilterNo, MessageNo, Tick};
use crate::sessions::SessionNo;

/// Judges every group. A filter with its share name is a group.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    for index in 0..facts.history.filters.len() {
        let filter = FilterNo(index as u16);
        if facts.history.filter(filter).share.is_none() {
            continue;
        }
        let members: Vec<&Subscription> =
            facts.subscriptions.iter().filter(|it| it.filter == filter).collect();
        if members.is_empty() {
            continue;
        }
        for (index, message) in facts.history.messages.iter().enumerate() {
            if !message.is_will && facts.history.matches(filter, message.topic) {
                check_message(facts, verdict, &members, MessageNo(index as u32));
            }
        }
    }
}

/// Whether a session gets the message from this group only.
fn has_only_this(facts: &Facts<'_>, member: &Subscription, number: MessageNo) -> bool {
    let topic = facts.history.message(number).topic;
    let others = facts.matching(member.session, topic, true).any(|it| it.filter != member.filter);
    !others && facts.matching(member.session, topic, false).next().is_none()
}

/// When a member stopped being one: it left, or its session ended.
fn left(facts: &Facts<'_>, member: &Subscription) -> Option<Tick> {
    let ended = facts.sessions.get(member.session).ended;
    [member.unsubscribed, ended].into_iter().flatten().min()
}

fn check_message(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    members: &[&Subscription],
    number: MessageNo,
) {
    let publication = facts.publication(number);
    let Some(first_in) = publication.first_in else { return };
    let at = time(facts, first_in);
    let left_since = members
        .iter()
        .filter(|it| {
            it.versions[0].requested > first_in
                || left(facts, it).is_none_or(|tick| tick > first_in)
        })
        .filter(|it| left(facts, it).is_some())
        .count();
    let mut holders: Vec<SessionNo> = members.iter().map(|it| it.session).collect();
    holders.sort_unstable();
    holders.dedup();
    let all_pure = members.iter().all(|it| has_only_this(facts, it, number));
    let got = |session: &SessionNo| facts.arrivals_of(*session, number).next().is_some();
    let receivers: Vec<SessionNo> = holders.into_iter().filter(got).collect();
    check_at_most(facts, verdict, members, number, &receivers, left_since, all_pure);
    if is_owed(facts, members, number, left_since) && !facts.history.may_drop {
        verdict.expect(!receivers.is_empty(), "share-nobody", at, || {
            format!("{number:?} reached no member of {:?}", members[0].filter)
        });
    }
}

fn check_at_most(
    facts: &Facts<'_>,
    verdict: &mut Verdict,
    members: &[&Subscription],
    number: MessageNo,
    receivers: &[SessionNo],
    left_since: usize,
    all_pure: bool,
) {
    let publication = facts.publication(number);
    let message = facts.history.message(number);
    if !all_pure {
        return;
    }
    let exactly_once = message.qos == Qos::ExactlyOnce
        && members.iter().all(|it| it.versions.iter().all(|v| v.granted == Qos::ExactlyOnce));
    let once = message.qos == Qos::ExactlyOnce && !facts.history.refuses;
    let taken = if once { 1 } else { publication.times_in as usize };
    let moved = if exactly_once { 0 } else { left_since };
    let at = publication.first_in.map_or(0, |tick| time(facts, tick));
    verdict.expect(receivers.len() <= taken + moved, "share-one-member", at, || {
        format!(
            "{number:?} reached {receivers:?} of {:?}, taken {taken} times, {left_since} left",
            members[0].filter
        )
    });
}

/// Whether some member must have got it: one stays all the time, and none could have taken it away.
fn is_owed(
    facts: &Facts<'_>,
    members: &[&Subscription],
    number: MessageNo,
    left_since: usize,
) -> bool {
    let message = facts.history.message(number);
    let publication = facts.publication(number);
    let Some(first_in) = publication.first_in else { return false };
    let hidden = message.clears || message.expiry_seconds.is_some();
    let granted = members.iter().flat_map(|it| &it.versions).map(|it| it.granted).min();
    let lossless = granted.is_some_and(|granted| granted.min(message.qos) > Qos::AtMostOnce);
    // What was sent at QoS 2 to a member that goes away goes away with it (MQTT-4.8.2-5).
    let sunk = message.qos == Qos::ExactlyOnce && left_since > 0;
    let stays = members.iter().any(|it| {
        it.covers_from().is_some_and(|from| from < first_in) && left(facts, it).is_none()
    });
    !hidden && lossless && !sunk && stays && publication.accepted.is_some()
}
