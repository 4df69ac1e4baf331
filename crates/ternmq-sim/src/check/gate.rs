//! The gate: nothing is acknowledged before what it promises is durable.
//!
//! From outside one sees when a message reached a shard, when that shard submitted its next batch,
//! and when that batch completed: an acknowledgement that left before is a lie, whatever the broker
//! meant by it.

use ternmq_proto::{PacketId, Qos};

use super::{Verdict, time};
use crate::facts::{Facts, Subscription};
use crate::history::{ConnectionNo, Event, Flow, MessageNo, Tick};
use crate::sessions::SessionNo;

/// Judges every acknowledgement that has to wait for a commit.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    let commits = Commits::collect(facts);
    for index in 0..facts.history.messages.len() {
        check_message(facts, verdict, &commits, MessageNo(index as u32));
    }
    check_subscriptions(facts, verdict, &commits);
    check_exchanges(facts, verdict, &commits);
}

/// When batches were submitted and completed, and when messages reached shards.
struct Commits {
    /// By shard: submitted, completed. Both increase.
    batches: Vec<Vec<(Tick, Tick)>>,
    /// By message: shard and tick of its first arrival there.
    reached: Vec<Vec<(u16, Tick)>>,
}

impl Commits {
    fn collect(facts: &Facts<'_>) -> Self {
        let shards = facts.history.connections.iter().map(|it| usize::from(it.shard) + 1);
        let mut commits = Commits {
            batches: vec![Vec::new(); shards.max().unwrap_or(1).max(facts.history.shards)],
            reached: vec![Vec::new(); facts.history.messages.len()],
        };
        for (index, entry) in facts.history.log.iter().enumerate() {
            let tick = Tick(index as u32);
            match entry.event {
                Event::Reached { shard, message } => {
                    let reached = &mut commits.reached[message.0 as usize];
                    if !reached.iter().any(|it| it.0 == shard) {
                        reached.push((shard, tick));
                    }
                }
                Event::Committed { shard, submitted } => {
                    commits.batches[usize::from(shard)].push((submitted, tick));
                }
                _ => {}
            }
        }
        commits
    }

    /// Whether something that happened on the shard at `since` was durable at `until`.
    fn covers(&self, shard: u16, since: Tick, until: Tick) -> bool {
        let batches = &self.batches[usize::from(shard)];
        let first = batches.partition_point(|(submitted, _)| *submitted < since);
        batches.get(first).is_some_and(|(_, completed)| *completed < until)
    }
}

fn shard_of(facts: &Facts<'_>, session: SessionNo) -> Option<u16> {
    let client = facts.sessions.get(session).client;
    facts.history.connections.iter().find(|it| it.client == client).map(|it| it.shard)
}

fn check_message(facts: &Facts<'_>, verdict: &mut Verdict, commits: &Commits, number: MessageNo) {
    let publication = facts.publication(number);
    let (Some(first_in), Some((acknowledged, _)), Some(session)) =
        (publication.first_in, publication.accepted, publication.session)
    else {
        return;
    };
    let Some(home) = shard_of(facts, session) else { return };
    let message = facts.history.message(number);
    let at = time(facts, acknowledged);
    if message.qos == Qos::ExactlyOnce && facts.sessions.get(session).was_durable {
        let kept = commits.covers(home, first_in, acknowledged);
        verdict.expect(kept, "gate-outbox", at, || {
            format!("PUBREC for {number:?} left before its identifier and message were durable")
        });
        return;
    }
    let owing = facts.subscriptions.iter().filter(|it| owes(facts, it, number, acknowledged));
    let mut shards: Vec<u16> = owing.filter_map(|it| shard_of(facts, it.session)).collect();
    if message.retain {
        shards.extend(facts.history.topic_shards.get(usize::from(message.topic.0)));
    }
    shards.sort_unstable();
    shards.dedup();
    for shard in shards {
        let reached = if shard == home {
            Some(first_in)
        } else {
            commits.reached[number.0 as usize].iter().find(|it| it.0 == shard).map(|it| it.1)
        };
        let kept = reached.is_some_and(|since| commits.covers(shard, since, acknowledged));
        verdict.expect(kept || facts.history.may_drop, "gate-receipt", at, || {
            format!("{number:?} was acknowledged before shard {shard} had it durably: {reached:?}")
        });
    }
}

/// Whether a durable session had a right to the message when it was acknowledged.
fn owes(
    facts: &Facts<'_>,
    subscription: &Subscription,
    number: MessageNo,
    acknowledged: Tick,
) -> bool {
    let message = facts.history.message(number);
    let session = facts.sessions.get(subscription.session);
    let Some(first_in) = facts.publication(number).first_in else { return false };
    if facts.history.filter(subscription.filter).share.is_some()
        || !facts.history.matches(subscription.filter, message.topic)
        || !session.was_durable
        || message.expiry_seconds.is_some()
    {
        return false;
    }
    let lives = session.ended.is_none_or(|end| end > acknowledged)
        && subscription.unsubscribed.is_none_or(|end| end > acknowledged);
    let covered = subscription.covers_from().is_some_and(|from| from < first_in);
    let level = facts.least_level(subscription, number, first_in, acknowledged);
    let wanted = level.is_some_and(|level| level > Qos::AtMostOnce);
    lives && covered && wanted
}

fn check_subscriptions(facts: &Facts<'_>, verdict: &mut Verdict, commits: &Commits) {
    for subscription in &facts.subscriptions {
        let session = facts.sessions.get(subscription.session);
        let Some(shard) = shard_of(facts, subscription.session) else { continue };
        if !session.was_durable {
            continue;
        }
        let first = subscription.versions.first();
        let asked = first.and_then(|it| Some((it.requested, it.acknowledged?)));
        let left = subscription.unsubscribed.zip(subscription.gone);
        for (name, (since, until)) in
            asked.map(|it| ("SUBACK", it)).into_iter().chain(left.map(|it| ("UNSUBACK", it)))
        {
            let kept = commits.covers(shard, since, until);
            verdict.expect(kept, "gate-subscription", time(facts, until), || {
                format!("{name} to {:?} left before its change was durable", session.client)
            });
        }
    }
}

/// PUBCOMP waits for the clearing of its identifier, PUBREL for its state.
fn check_exchanges(facts: &Facts<'_>, verdict: &mut Verdict, commits: &Commits) {
    let mut waiting: Vec<(ConnectionNo, bool, PacketId, Tick)> = Vec::new();
    let mut held: Vec<(SessionNo, PacketId)> = Vec::new();
    for (index, entry) in facts.history.log.iter().enumerate() {
        let tick = Tick(index as u32);
        match entry.event {
            Event::Up(connection, Flow::Publish(publish)) => {
                if let (Some(id), Qos::ExactlyOnce) = (publish.packet_id, publish.qos) {
                    held.push((facts.sessions.of(connection), id));
                }
            }
            Event::Up(connection, Flow::Pubrel(id, _)) => {
                // What is not held has nothing to be cleared.
                let key = (facts.sessions.of(connection), id);
                if held.contains(&key) {
                    waiting.push((connection, true, id, tick));
                }
                held.retain(|it| *it != key);
            }
            Event::Up(connection, Flow::Pubrec(id, _)) => {
                waiting.push((connection, false, id, tick));
            }
            Event::Down(connection, flow, _) => {
                let (is_end, id) = match flow {
                    Flow::Pubcomp(id, code) if !code.is_error() => (true, id),
                    Flow::Pubrel(id, code) if !code.is_error() => (false, id),
                    _ => continue,
                };
                let key = (connection, is_end, id);
                let found = waiting.iter().position(|it| (it.0, it.1, it.2) == key);
                let Some(found) = found else { continue };
                let (_, _, _, since) = waiting.swap_remove(found);
                let session = facts.sessions.of(connection);
                let durable = facts.sessions.get(session).was_durable;
                let kept = commits.covers(facts.terms(connection).shard, since, tick);
                verdict.expect(!durable || kept, "gate-exchange", entry.at, || {
                    format!("{flow:?} on {connection:?} left before its state was durable")
                });
            }
            Event::Closed(connection, _) => waiting.retain(|it| it.0 != connection),
            _ => {}
        }
    }
}
