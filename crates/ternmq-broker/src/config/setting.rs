//! One setting: its key, its kind and bounds, its default, its words, and where its value goes.
//!
//! Everything that is said about a setting anywhere (the TOML key, `--set`, the environment
//! variable, the error when it is wrong, the reference page) comes from its one declaration in
//! `table`. This module knows how to read a value and how to speak about one; it knows no setting.

use std::time::Duration;

use super::units::{parse_bytes, parse_count, parse_time, show_bytes, show_time};

/// The declaration of one setting of a `T` (the configuration, or one listener).
pub struct Setting<T: 'static> {
    /// `section.name`, or only a name.
    pub key: &'static str,
    /// What a value is, within which bounds, and where it goes.
    pub kind: Kind<T>,
    /// As an operator would write it. Empty: none.
    pub default: &'static str,
    /// When a changed value takes effect.
    pub reload: Reload,
    /// What it does, in sentences.
    pub doc: &'static str,
}

/// What a value is, within which bounds, and where it goes.
pub enum Kind<T: 'static> {
    /// A size in bytes.
    Bytes {
        /// The smallest and the largest lawful value.
        bounds: (u64, u64),
        /// Stores it.
        set: fn(&mut T, u64),
    },
    /// One of some words.
    Choice {
        /// The words.
        names: &'static [&'static str],
        /// Stores it, by position in `names`. `Err`: lawful, but not available yet; the text says
        /// what to take instead.
        set: fn(&mut T, usize) -> Result<(), &'static str>,
    },
    /// A whole number.
    Count {
        /// The smallest and the largest lawful value.
        bounds: (u64, u64),
        /// Stores it.
        set: fn(&mut T, u64),
    },
    /// `true` or `false`.
    Flag {
        /// Stores it.
        set: fn(&mut T, bool),
    },
    /// Any text that its parser takes.
    Text {
        /// What is wanted, in words.
        wanted: &'static str,
        /// Parses and stores it; `Err` says what was wanted.
        set: fn(&mut T, &str) -> Result<(), String>,
    },
    /// A length of time.
    Time {
        /// The smallest and the largest lawful value, in milliseconds.
        bounds_ms: (u64, u64),
        /// Values must be a multiple of this.
        step_ms: u64,
        /// Stores it.
        set: fn(&mut T, Duration),
    },
}

/// When a changed value takes effect. One class so far: nothing is reloaded while running yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// When the broker is started again.
    Restart,
}

/// A value as it stands at its source, before it is understood.
#[derive(Debug, Clone, Copy)]
pub enum Raw<'a> {
    /// A TOML boolean.
    Flag(bool),
    /// A TOML integer.
    Integer(i64),
    /// Another TOML value, by the name of its type.
    Other(&'static str),
    /// A TOML string.
    Text(&'a str),
    /// From the command line or the environment, where there are no types.
    Word(&'a str),
}

/// Why a value was not taken.
#[derive(Debug)]
pub enum Refused {
    /// Not a lawful value; says what would be.
    Wanted(String),
    /// Lawful, but not available yet; says what to take instead.
    Unavailable(&'static str),
}

impl<T> Setting<T> {
    /// Reads `raw` and stores it in `target`.
    pub fn apply(&self, target: &mut T, raw: Raw<'_>) -> Result<(), Refused> {
        let wanted = || Refused::Wanted(self.kind.wanted());
        match &self.kind {
            Kind::Bytes { bounds, set } => {
                let bytes = raw.bytes().filter(|it| within(*it, *bounds)).ok_or_else(wanted)?;
                set(target, bytes);
            }
            Kind::Choice { names, set } => {
                let text = raw.text().ok_or_else(wanted)?;
                let position = names.iter().position(|it| *it == text).ok_or_else(wanted)?;
                set(target, position).map_err(Refused::Unavailable)?;
            }
            Kind::Count { bounds, set } => {
                let count = raw.count().filter(|it| within(*it, *bounds)).ok_or_else(wanted)?;
                set(target, count);
            }
            Kind::Flag { set } => set(target, raw.flag().ok_or_else(wanted)?),
            Kind::Text { set, .. } => {
                set(target, raw.text().ok_or_else(wanted)?).map_err(Refused::Wanted)?;
            }
            Kind::Time { bounds_ms, step_ms, set } => {
                let lawful = |it: &Duration| {
                    u64::try_from(it.as_millis())
                        .is_ok_and(|ms| within(ms, *bounds_ms) && ms.is_multiple_of(*step_ms))
                };
                let time = raw.text().and_then(parse_time).filter(lawful).ok_or_else(wanted)?;
                set(target, time);
            }
        }
        Ok(())
    }

    /// The environment variable: `TERNMQ_`, the key in capitals, `__` for each dot.
    pub fn environment_variable(&self) -> String {
        format!("TERNMQ_{}", self.key.to_ascii_uppercase().replace('.', "__"))
    }
}

impl<T> Kind<T> {
    /// What a lawful value is, in words, for error messages and the reference.
    pub fn wanted(&self) -> String {
        match self {
            Kind::Bytes { bounds: (min, max), .. } => format!(
                "a size from {} to {}, such as \"64MiB\"",
                show_bytes(*min),
                show_bytes(*max)
            ),
            Kind::Choice { names, .. } => format!("one of {}", quoted(names)),
            Kind::Count { bounds: (min, max), .. } => {
                format!("a whole number from {min} to {max}")
            }
            Kind::Flag { .. } => "true or false".to_owned(),
            Kind::Text { wanted, .. } => (*wanted).to_owned(),
            Kind::Time { bounds_ms: (min, max), step_ms, .. } => format!(
                "a time from {} to {}{}, with its unit, such as \"10s\"",
                show_time(Duration::from_millis(*min)),
                show_time(Duration::from_millis(*max)),
                if *step_ms == 1_000 { " in whole seconds" } else { "" },
            ),
        }
    }

    /// The type's name for the reference.
    pub fn type_name(&self) -> &'static str {
        match self {
            Kind::Bytes { .. } => "size",
            Kind::Choice { .. } => "word",
            Kind::Count { .. } => "number",
            Kind::Flag { .. } => "boolean",
            Kind::Text { .. } => "text",
            Kind::Time { .. } => "time",
        }
    }
}

impl Raw<'_> {
    /// The value as the operator wrote it, for error messages.
    pub fn shown(&self) -> String {
        match self {
            Raw::Flag(value) => value.to_string(),
            Raw::Integer(value) => value.to_string(),
            Raw::Other(type_name) => format!("({type_name})"),
            Raw::Text(text) => format!("{text:?}"),
            Raw::Word(word) => (*word).to_owned(),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Raw::Text(text) | Raw::Word(text) => Some(text),
            _ => None,
        }
    }

    fn count(&self) -> Option<u64> {
        match self {
            Raw::Integer(value) => u64::try_from(*value).ok(),
            Raw::Word(word) => parse_count(word),
            _ => None,
        }
    }

    fn bytes(&self) -> Option<u64> {
        match self {
            Raw::Integer(value) => u64::try_from(*value).ok(),
            Raw::Text(text) | Raw::Word(text) => parse_bytes(text),
            _ => None,
        }
    }

    fn flag(&self) -> Option<bool> {
        match self {
            Raw::Flag(value) => Some(*value),
            Raw::Word("true") => Some(true),
            Raw::Word("false") => Some(false),
            _ => None,
        }
    }
}

fn within(value: u64, (min, max): (u64, u64)) -> bool {
    (min..=max).contains(&value)
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(", ")
}

/// The name in `names` nearest to `wrong`, if it is near enough to be what was meant: at most a
/// third of it changed.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|name| (edit_distance(wrong, name), name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= name.len().max(wrong.len())).then_some(name)
}

/// How many insertions, deletions and substitutions lead from `a` to `b` (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let names = ["queue.messages", "queue.bytes", "session.expiry_max"];
        let near = |wrong| nearest(wrong, names.into_iter());
        assert_eq!(near("queue.mesages"), Some("queue.messages"));
        assert_eq!(near("queue.byte"), Some("queue.bytes"));
        assert_eq!(near("session.expiry"), Some("session.expiry_max"));
        assert_eq!(near("colour"), None);
    }

    #[test]
    fn edit_distance_counts_changes() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
