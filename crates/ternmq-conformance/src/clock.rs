//! The real clock, in one place: the examiner looks at a running broker from outside, so time is
//! not an input here.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "a black-box examiner lives in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds of wall time, as a source of names that no other run uses.
#[expect(clippy::disallowed_methods, reason = "a black-box examiner lives in real time")]
pub(crate) fn unique() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() & u128::from(u64::MAX)).unwrap_or_default()
}
