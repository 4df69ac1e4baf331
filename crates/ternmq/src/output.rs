//! What the program prints, and where: results on standard output, everything else on standard error.
//!
//! A command never prints by itself. A reader of standard output that has gone away (`| head`) is not an error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Why a command did not do what it was asked to, by the exit code that follows.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: it was tried.
    Run(String),
    /// Exit code 2: it was not even tried.
    Usage(String),
}

impl Failure {
    pub fn run(error: impl Display) -> Failure {
        Failure::Run(error.to_string())
    }

    pub fn usage(error: impl Display) -> Failure {
        Failure::Usage(error.to_string())
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Run(_) => ExitCode::from(1),
            Failure::Usage(_) => ExitCode::from(2),
        }
    }

    /// Says it on standard error.
    pub fn print(&self) {
        let (Failure::Run(message) | Failure::Usage(message)) = self;
        eprintln!("error: {message}");
    }
}

/// Writes a line on standard output.
///
/// # Errors
/// If it cannot be written, unless its reader has gone away.
pub fn line(text: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(cannot_write(&error)),
        _ => Ok(()),
    }
}

/// A note for the person who started the program, on standard error.
pub fn note(text: impl Display) {
    eprintln!("note: {text}");
}

fn cannot_write(error: &io::Error) -> Failure {
    Failure::Run(format!("cannot write to standard output: {error}"))
}

/// Sends the log to standard error. `RUST_LOG` (such as `info,ternmq_broker=debug`) wins over `level`.
///
/// # Errors
/// If `RUST_LOG` cannot be read.
pub fn log(level: LevelFilter) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => text
            .parse::<Targets>()
            .map_err(|error| Failure::usage(format!("RUST_LOG={text}: {error}")))?,
        _ => Targets::new().with_default(level),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
    Ok(())
}

/// Writes to standard output at once. `false`: nobody reads it any more.
///
/// # Errors
/// If it cannot be written.
pub fn write(bytes: &[u8]) -> Result<bool, Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(cannot_write(&error)),
    }
}
