//! The ledger of MQTT's normative statements and a black-box examiner with a codec of its own.
//!
//! The examiner talks to a broker over TCP and knows nothing else about it: it imports no crate
//! of ours, so that it cannot share our mistakes. Its cases hold for every correct broker that
//! lets anonymous clients in. The ledger (`statements.toml`) says for every numbered statement of
//! MQTT 5.0 and 3.1.1 which case, or which test of another crate, proves it.
//!
//! It is not a load test, and it does not look into the broker.

mod case;
mod cases;
mod check;
mod client;
mod clock;
mod codec;
pub mod ledger;
mod run;
mod scene;
#[cfg(test)]
mod sham;
mod version;

pub use case::Case;
pub use cases::cases;
pub use run::{CaseResult, Options, Outcome, Report, run, run_case};
pub use version::Version;
