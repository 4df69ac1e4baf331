//! What can be wrong with a configuration, said so that it can be corrected: where it stands,
//! what it says, what was wanted.
//!
//! The binary maps every one of these to exit code 2.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration was refused. `Display` is one line for the operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// A listener that is not on loopback would take anybody, and nobody said that it may.
    AnonymousNotAllowed {
        /// The listener's URL as written.
        url: String,
    },
    /// The value is of the wrong type, out of bounds, or not a value of this setting.
    BadValue {
        /// Where the value stands.
        place: Place,
        /// The full key, `section.name`.
        key: String,
        /// The value as written.
        value: String,
        /// What would have been accepted, in words.
        wanted: String,
    },
    /// The file is not TOML.
    Syntax {
        /// Where the parser stopped.
        place: Place,
        /// The parser's words.
        message: String,
    },
    /// A lawful value whose implementation this version does not have.
    Unavailable {
        /// Where the value stands.
        place: Place,
        /// The full key.
        key: String,
        /// The value as written.
        value: String,
        /// What can be had instead.
        instead: &'static str,
    },
    /// There is no such setting.
    UnknownKey {
        /// Where the key stands.
        place: Place,
        /// The key as written.
        key: String,
        /// The setting whose name is nearest, if one is near.
        suggestion: Option<String>,
    },
    /// The file could not be read.
    Unreadable {
        /// The file's path as given.
        file: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
}

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// An environment variable, by name.
    Environment(String),
    /// A line of the configuration file.
    File {
        /// The file's path as given.
        file: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// `--listen URL`.
    Listen,
    /// `--set key=value`.
    Set,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Environment(name) => write!(f, "environment variable {name}"),
            Place::File { file, line } => write!(f, "{}:{line}", file.display()),
            Place::Listen => f.write_str("--listen"),
            Place::Set => f.write_str("--set"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::AnonymousNotAllowed { url } => write!(
                f,
                "listener {url}: it can be reached from other machines and would accept anybody; \
                 say so with --allow-anonymous (or `anonymous = true` in its [[listener]]), \
                 or listen on 127.0.0.1"
            ),
            ConfigError::BadValue { place, key, value, wanted } => {
                write!(f, "{place}: {key} = {value}: wanted {wanted}")
            }
            ConfigError::Syntax { place, message } => write!(f, "{place}: {message}"),
            ConfigError::Unavailable { place, key, value, instead } => {
                write!(f, "{place}: {key} = {value}: not available yet; {instead}")
            }
            ConfigError::UnknownKey { place, key, suggestion } => {
                write!(f, "{place}: unknown setting {key}")?;
                match suggestion {
                    Some(near) => write!(f, "; did you mean {near}?"),
                    None => Ok(()),
                }
            }
            ConfigError::Unreadable { file, error } => write!(f, "{}: {error}", file.display()),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Unreadable { error, .. } => Some(error),
            _ => None,
        }
    }
}
