//! Why a broker did not start, or did not end well.

use std::fmt;
use std::io;

/// Why a broker could not start. Nothing is left running.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened: the port is in use, the name is unknown, ...
    Listen {
        /// The listener's URL.
        url: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// The operating system refused something that every broker needs.
    System {
        /// What was wanted, as the object of "cannot".
        what: &'static str,
        /// What the operating system said.
        error: io::Error,
    },
}

impl StartError {
    /// Whether the configuration, rather than the machine, must change (exit code 2, not 1).
    pub fn is_configuration(&self) -> bool {
        matches!(self, StartError::Listen { .. })
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { url, error } => write!(f, "cannot listen on {url}: {error}"),
            StartError::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Listen { error, .. } | StartError::System { error, .. } => Some(error),
        }
    }
}

/// What ended a running broker before anybody asked it to.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// A thread of the broker panicked. Its state cannot be trusted: the process must end.
    ThreadFailed {
        /// The thread's name.
        thread: String,
    },
    /// Signals could not be waited for.
    Signals(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::ThreadFailed { thread } => {
                write!(f, "thread {thread} failed; this is a bug, please report it")
            }
            RunError::Signals(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RunError::ThreadFailed { .. } => None,
            RunError::Signals(error) => Some(error),
        }
    }
}
