//! The ledger: what the standards demand, and what proves that it is kept.

use crate::version::Version;
use serde::Deserialize;

/// The ledger as it is compiled into the examiner.
const LEDGER: &str = include_str!("../statements.toml");

/// One numbered statement of one version of the standard. The same number means different
/// things in different versions: the key is both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `5.0` or `3.1.1`.
    pub version: String,
    /// The number that the standard gives, such as `MQTT-4.3.3-4`.
    pub id: String,
    /// Who is bound, and how it can be seen.
    pub class: Class,
    /// The statement in our words; the standard's text rules.
    pub gist: String,
    /// What proves it: `conformance::module::case` for a case of the examiner, or
    /// `crate::module::test` for a test of another crate (its name without `ternmq-`).
    #[serde(default)]
    pub proofs: Vec<String>,
    /// Why there is no proof yet.
    pub open: Option<String>,
    /// Why nothing can be observed from outside.
    pub not_testable: Option<String>,
}

/// Whom a statement binds, and how it can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Class {
    /// The broker; testable as a black box with a default anonymous broker.
    S,
    /// The client; testable as the broker's reaction to a violation.
    #[serde(rename = "C+")]
    ClientSeenByBroker,
    /// The broker; testable only with a special configuration.
    #[serde(rename = "SC")]
    Configured,
    /// The broker; only partly observable.
    #[serde(rename = "SP")]
    Partly,
    /// The broker; needs a WebSocket listener.
    #[serde(rename = "W")]
    WebSocket,
    /// The client; nothing to see at a broker.
    #[serde(rename = "C")]
    Client,
}

#[derive(Deserialize)]
struct Ledger {
    statement: Vec<Statement>,
}

/// All statements, in the order of the standards.
///
/// # Panics
///
/// If the ledger, which is part of this program, is not well-formed.
#[must_use]
pub fn statements() -> Vec<Statement> {
    let ledger: Ledger = toml::from_str(LEDGER).expect("statements.toml is well-formed");
    ledger.statement
}

/// The gist of a statement, if the ledger has it.
#[must_use]
pub fn gist(version: Version, id: &str, statements: &[Statement]) -> Option<String> {
    let found = statements.iter().find(|it| it.version == version.name() && it.id == id)?;
    Some(found.gist.clone())
}
