//! What the program prints, and where: results on standard output, everything else on standard error.
//!
//! A command never prints by itself. It returns a [`Failure`], or writes a message through
//! [`Messages`]. A reader of standard output that has gone away (`| head`) is not an error.

mod format;
mod json;

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use jiff::Zoned;
use ternmq_proto::{Properties, Qos};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use format::Format;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    exit_code: u8,
    /// `None`: somebody has asked for silence.
    message: Option<String>,
}

impl Failure {
    /// It was tried: exit code 1.
    pub fn run(error: impl Display) -> Failure {
        Failure { exit_code: 1, message: Some(error.to_string()) }
    }

    /// It was not even tried: exit code 2.
    pub fn usage(error: impl Display) -> Failure {
        Failure { exit_code: 2, message: Some(error.to_string()) }
    }

    pub fn quietly(self) -> Failure {
        Failure { message: None, ..self }
    }

    /// Says it on standard error, and ends with its code.
    pub fn end(self) -> ExitCode {
        if let Some(message) = self.message {
            complain(format_args!("error: {message}"));
        }
        ExitCode::from(self.exit_code)
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
    complain(format_args!("note: {text}"));
}

/// A line on standard error. Where that cannot be written there is nobody to tell.
fn complain(text: impl Display) {
    drop(writeln!(io::stderr(), "{text}"));
}

fn cannot_write(error: &io::Error) -> Failure {
    Failure::run(format!("cannot write to standard output: {error}"))
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
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    Ok(())
}

/// A message as it came from the broker.
pub struct Received<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: Qos,
    pub retain: bool,
    pub properties: Properties<'a>,
}

/// How `ternmq sub` prints messages.
pub struct Messages {
    pub style: Style,
    pub end_of_line: bool,
    pub pretty: bool,
}

pub enum Style {
    Payload,
    /// The topic, a space, the payload; `(null)` for an empty one, as mosquitto_sub.
    Verbose,
    Format(Format),
}

impl Messages {
    /// Appends what is printed for one message.
    ///
    /// # Errors
    /// A sentence, if the format wants what this message is not (%J: JSON).
    pub fn render(
        &self,
        message: &Received<'_>,
        at: &Zoned,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match &self.style {
            Style::Payload => out.extend_from_slice(message.payload),
            Style::Verbose => {
                out.extend_from_slice(message.topic.as_bytes());
                out.push(b' ');
                out.extend_from_slice(if message.payload.is_empty() {
                    b"(null)"
                } else {
                    message.payload
                });
            }
            Style::Format(format) => format.render(message, at, self.pretty, out)?,
        }
        if self.end_of_line {
            out.push(b'\n');
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(style: Style, end_of_line: bool, payload: &[u8]) -> String {
        let message = Received {
            topic: "a/b",
            payload,
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Properties::EMPTY,
        };
        let mut out = Vec::new();
        let messages = Messages { style, end_of_line, pretty: false };
        messages.render(&message, &Zoned::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages_look_as_mosquitto_prints_them() {
        assert_eq!(rendered(Style::Payload, true, b"x y"), "x y\n");
        assert_eq!(rendered(Style::Payload, false, b"x y"), "x y");
        assert_eq!(rendered(Style::Verbose, true, b"x y"), "a/b x y\n");
        assert_eq!(rendered(Style::Verbose, true, b""), "a/b (null)\n");
    }
}
