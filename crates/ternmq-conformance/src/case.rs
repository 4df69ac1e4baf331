//! A case of the examination: a name, the versions it runs for, the statements it proves.

use crate::check::Check;
use crate::scene::Scene;
use crate::version::Version;

/// One case. Its function runs once per version.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    versions: &'static [Version],
    v5: &'static [&'static str],
    v311: &'static [&'static str],
    slow: bool,
    pub(crate) examine: fn(&Scene) -> Check,
}

impl Case {
    pub(crate) const fn new(
        name: &'static str,
        versions: &'static [Version],
        examine: fn(&Scene) -> Check,
    ) -> Case {
        Case { name, versions, v5: &[], v311: &[], slow: false, examine }
    }

    /// The statements of MQTT 5.0 that this case proves, without their `MQTT-`.
    pub(crate) const fn v5(mut self, statements: &'static [&'static str]) -> Case {
        self.v5 = statements;
        self
    }

    /// The statements of MQTT 3.1.1 that this case proves, without their `MQTT-`.
    pub(crate) const fn v311(mut self, statements: &'static [&'static str]) -> Case {
        self.v311 = statements;
        self
    }

    /// Marks a case that waits for seconds, so that it is started first.
    pub(crate) const fn slow(mut self) -> Case {
        self.slow = true;
        self
    }

    /// `module::behaviour`; the ledger writes `conformance::` before it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The versions for which the case runs.
    #[must_use]
    pub const fn versions(&self) -> &'static [Version] {
        self.versions
    }

    /// Identifiers of the statements that the case proves for a version, such as
    /// `MQTT-4.3.3-4`. MQTT 3.1 has no numbered statements.
    #[must_use]
    pub fn proves(&self, version: Version) -> Vec<String> {
        let numbers = match version {
            Version::V31 => &[],
            Version::V311 => self.v311,
            Version::V50 => self.v5,
        };
        numbers.iter().map(|number| format!("MQTT-{number}")).collect()
    }

    /// Whether the case waits for time to pass, for seconds.
    #[must_use]
    pub const fn is_slow(&self) -> bool {
        self.slow
    }
}
