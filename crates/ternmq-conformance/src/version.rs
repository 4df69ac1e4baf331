//! The protocol versions that the examiner speaks, and how people write them.

use std::fmt;

/// One version of MQTT on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`, level 3. It has no numbered statements.
    V31,
    /// MQTT 3.1.1, protocol name `MQTT`, level 4.
    V311,
    /// MQTT 5.0, protocol name `MQTT`, level 5.
    V50,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V50];

    /// The version that is written `3.1`, `3.1.1` or `5.0` (also `5`).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Version> {
        match name {
            "3.1" => Some(Version::V31),
            "3.1.1" => Some(Version::V311),
            "5.0" | "5" => Some(Version::V50),
            _ => None,
        }
    }

    /// How the ledger and the reports write this version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Version::V31 => "3.1",
            Version::V311 => "3.1.1",
            Version::V50 => "5.0",
        }
    }

    pub(crate) const fn protocol_name(self) -> &'static str {
        match self {
            Version::V31 => "MQIsdp",
            Version::V311 | Version::V50 => "MQTT",
        }
    }

    pub(crate) const fn level(self) -> u8 {
        match self {
            Version::V31 => 3,
            Version::V311 => 4,
            Version::V50 => 5,
        }
    }

    pub(crate) const fn is_v5(self) -> bool {
        matches!(self, Version::V50)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
