//! How a case ends early: with what it expected and saw, or because it does not apply.

use crate::codec::{Packet, Publish, hex};
use std::fmt;

/// Why a case stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The broker did something else than the standard says.
    Failed { expected: String, seen: String },
    /// The broker says that it does not have what the case examines.
    NotApplicable(String),
}

/// What every step of a case returns.
pub(crate) type Check<T = ()> = Result<T, Stop>;

pub(crate) fn failed<T>(expected: impl fmt::Display, seen: impl fmt::Display) -> Check<T> {
    Err(Stop::Failed { expected: expected.to_string(), seen: seen.to_string() })
}

pub(crate) fn not_applicable<T>(why: impl fmt::Display) -> Check<T> {
    Err(Stop::NotApplicable(why.to_string()))
}

/// Fails unless the condition holds.
pub(crate) fn expect(holds: bool, expected: impl fmt::Display, seen: impl fmt::Debug) -> Check {
    if holds { Ok(()) } else { failed(expected, format!("{seen:?}")) }
}

/// Fails unless both are equal.
pub(crate) fn equal<T: PartialEq + fmt::Debug>(what: &str, seen: T, expected: T) -> Check {
    if seen == expected {
        Ok(())
    } else {
        failed(format!("{what}: {expected:?}"), format!("{seen:?}"))
    }
}

/// Fails unless both strings of bytes are equal; shows them as text where they are text.
pub(crate) fn same_bytes(what: &str, seen: &[u8], expected: &[u8]) -> Check {
    if seen == expected {
        Ok(())
    } else {
        failed(format!("{what}: {}", readable(expected)), readable(seen))
    }
}

/// Text in quotes if it is short text, else hexadecimal.
pub(crate) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= 80 => format!("{text:?}"),
        Ok(_) | Err(_) => format!("{} bytes: {}", bytes.len(), hex(bytes)),
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PUBLISH QoS {}", self.qos)?;
        if self.qos > 0 {
            write!(f, " #{}", self.packet_id)?;
        }
        for (flag, name) in [(self.dup, " DUP"), (self.retain, " RETAIN")] {
            if flag {
                f.write_str(name)?;
            }
        }
        write!(f, " {} {}", readable(&self.topic), readable(&self.payload))?;
        if self.props.0.is_empty() { Ok(()) } else { write!(f, " {:?}", self.props.0) }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Packet::Publish(publish) => publish.fmt(f),
            Packet::Ack { kind, packet_id, code, .. } => {
                write!(f, "{kind:?} #{packet_id} code {code:#04x}")
            }
            Packet::Disconnect { code, .. } => write!(f, "DISCONNECT {code:#04x}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Several publications in a row, for a report.
pub(crate) fn listed(publishes: &[Publish]) -> String {
    match publishes {
        [] => "nothing".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}
