//! Session Present tells the truth (MQTT-3.2.2-2 and -3), SUBACK grants what was asked for, and who
//! is silent for too long is disconnected (MQTT-3.1.2-22).

use ternmq_proto::Version;

use super::{Verdict, time};
use crate::facts::Facts;
use crate::history::{ConnectionNo, Event};
use crate::sessions::Presence;

const SECOND: u64 = 1_000_000;
/// How much later than after one and a half times the keep alive a connection may be closed, in
/// microseconds: time may jump.
const LATE_MAX: u64 = 6 * SECOND;

/// Judges every CONNACK, every SUBACK and every silence.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
    check_answers(facts, verdict);
    check_silences(facts, verdict);
}

fn check_silences(facts: &Facts<'_>, verdict: &mut Verdict) {
    // Since when nothing was heard; `None`: it is closed.
    let mut heard: Vec<Option<u64>> = Vec::new();
    let mut judge = |connection: ConnectionNo, since: Option<u64>, at: u64| {
        let allowed = u64::from(facts.terms(connection).keep_alive_seconds) * SECOND * 3 / 2;
        let Some(since) = since.filter(|_| allowed > 0) else { return };
        verdict.expect(at <= since + allowed + LATE_MAX, "keep-alive", at, || {
            format!("{connection:?} was silent since {since} us, {allowed} us were allowed")
        });
    };
    for entry in &facts.history.log {
        match entry.event {
            Event::Opened(_) => heard.push(Some(entry.at)),
            Event::Up(connection, _) => {
                let last = &mut heard[connection.0 as usize];
                judge(connection, *last, entry.at);
                *last = last.map(|_| entry.at);
            }
            Event::Closed(connection, _) => {
                judge(connection, heard[connection.0 as usize].take(), entry.at);
            }
            _ => {}
        }
    }
    let end = facts.history.log.last().map_or(0, |entry| entry.at);
    for (index, since) in heard.into_iter().enumerate() {
        judge(ConnectionNo(index as u32), since, end);
    }
}

fn check_answers(facts: &Facts<'_>, verdict: &mut Verdict) {
    for greeting in &facts.greetings {
        let at = time(facts, greeting.tick);
        let client = facts.terms(greeting.connection).client;
        verdict.expect(!greeting.code.is_error(), "accepted", at, || {
            format!("{client:?} was refused with {:?}", greeting.code)
        });
        let truth = match greeting.expected {
            // MQTT 3.1 has no such flag.
            _ if facts.terms(greeting.connection).version == Version::V31 => true,
            Presence::Continued => greeting.session_present,
            Presence::New => !greeting.session_present,
        };
        verdict.expect(truth, "session-present", at, || {
            format!(
                "{client:?} was told {} on {:?}, and the session is {:?}",
                greeting.session_present, greeting.connection, greeting.expected
            )
        });
    }
    for subscription in &facts.subscriptions {
        for version in &subscription.versions {
            let Some(tick) = version.acknowledged else { continue };
            let as_asked = version.granted == version.options.qos;
            verdict.expect(as_asked, "granted-qos", time(facts, tick), || {
                format!(
                    "{:?} asked for {:?} and was granted {:?}",
                    subscription.session, version.options.qos, version.granted
                )
            });
        }
    }
}
