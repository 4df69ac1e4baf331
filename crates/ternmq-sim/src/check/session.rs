//! Session Present tells the truth (MQTT-3.2.2-2 and -3), SUBACK grants what was asked for, and a
//! connection ends for a reason.

use ternmq_proto::Version;

use super::{Verdict, time};
use crate::facts::Facts;
use crate::sessions::Presence;

/// Judges every CONNACK and every SUBACK.
pub fn check(facts: &Facts<'_>, verdict: &mut Verdict) {
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
