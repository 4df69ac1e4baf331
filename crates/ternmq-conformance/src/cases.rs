//! All cases, by topic. Each module keeps its own list.

mod alias;
mod auth;
mod client_id;
mod connack;
mod connect;
mod connect_fields;
mod disconnect;
mod expiry;
mod flow_control;
mod forwarding;
mod keep_alive;
mod limits;
mod malformed;
mod matching;
mod mqtt31;
mod order;
mod overlap;
mod publish;
mod qos1;
mod qos2;
mod retained;
mod retained_options;
mod session;
mod shared_subscription;
mod subscribe;
mod takeover;
mod text;
mod unsubscribe;
mod will;
mod will_delay;

use crate::case::Case;
use crate::version::Version;
use std::sync::OnceLock;

const ALL: &[Version] = &Version::ALL;
const BEFORE_5: &[Version] = &[Version::V31, Version::V311];
const FROM_311: &[Version] = &[Version::V311, Version::V50];
const ONLY_31: &[Version] = &[Version::V31];
const ONLY_311: &[Version] = &[Version::V311];
const ONLY_5: &[Version] = &[Version::V50];

/// All cases, in the order of the modules.
#[must_use]
pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        [
            connect::CASES,
            connect_fields::CASES,
            client_id::CASES,
            connack::CASES,
            auth::CASES,
            session::CASES,
            takeover::CASES,
            keep_alive::CASES,
            will::CASES,
            will_delay::CASES,
            publish::CASES,
            forwarding::CASES,
            qos1::CASES,
            qos2::CASES,
            order::CASES,
            flow_control::CASES,
            limits::CASES,
            alias::CASES,
            expiry::CASES,
            retained::CASES,
            retained_options::CASES,
            subscribe::CASES,
            overlap::CASES,
            matching::CASES,
            unsubscribe::CASES,
            shared_subscription::CASES,
            disconnect::CASES,
            malformed::CASES,
            text::CASES,
            mqtt31::CASES,
        ]
        .concat()
    })
}
