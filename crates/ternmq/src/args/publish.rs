//! `ternmq pub`: what is published, and how often.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ternmq_proto::Qos;

use super::connection::ConnectionArgs;
use super::value;

/// Publishes messages, with the options of mosquitto_pub.
///
/// Connects, publishes, waits until the broker has acknowledged what was published at QoS 1 and 2,
/// and ends. A message that nobody subscribes to is not an error.
#[derive(Args)]
#[command(disable_help_flag = true, after_help = AFTER)]
pub struct PublishArgs {
    /// Topic to publish to
    #[arg(short, long, value_name = "TOPIC", value_parser = value::topic_name,
          required_unless_present = "url", conflicts_with = "url")]
    pub topic: Option<String>,
    #[command(flatten)]
    pub source: Source,
    /// QoS: 0 (may be lost), 1 (may come twice) or 2 (exactly once)
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = value::qos)]
    pub qos: Qos,
    /// The broker keeps the message for future subscribers
    #[arg(short, long)]
    pub retain: bool,
    /// Publish the message N times (-m, -f, -s and -n)
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "lines",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: u64,
    /// Wait between the repetitions, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = value::seconds,
          requires = "repeat")]
    pub repeat_delay: Duration,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Where the messages come from: exactly one of these.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Source {
    /// The message
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub message: Option<OsString>,
    /// The contents of a file are the message
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Each line of standard input is a message; empty lines are not sent
    #[arg(short = 'l', long = "stdin-line")]
    pub lines: bool,
    /// The whole standard input is one message
    #[arg(short = 's', long = "stdin-file")]
    pub stdin: bool,
    /// An empty message; with -r it clears the retained one
    #[arg(short, long = "null-message")]
    pub null: bool,
}

impl PublishArgs {
    pub fn topic(&self) -> Result<&str, String> {
        match (&self.topic, &self.connection.url) {
            (Some(topic), _) => Ok(topic),
            (None, Some(url)) => {
                value::topic_name(&url.topic)
                    .map_err(|error| format!("the URL's topic: {error}"))?;
                Ok(&url.topic)
            }
            (None, None) => Err("there is no topic".to_owned()),
        }
    }
}

const AFTER: &str = "\
Examples:
  ternmq pub -t plant/7/temperature -m 21.5
  ternmq pub -t plant/7/state -m on -q 1 -r
  ternmq pub -t plant/7/state -n -r
  journalctl -f | ternmq pub -h broker.example -t logs -q 1 -l
  ternmq pub -t job/41 -f order.json -q 2 -D publish message-expiry-interval 3600
  ternmq pub -t job/41 -m '{}' -D publish response-topic answer/1 -D publish user-property site north

Exit codes:
  0  everything was sent, and acknowledged where the QoS asks for it
  1  failed at run time: no connection, refused by the broker, a message that was not acknowledged
  2  wrong usage: nothing was sent";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> Result<PublishArgs, String> {
        let words = ["ternmq", "pub"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Pub(args) => args.topic().map(str::to_owned).map(|_| args),
            _ => panic!("not pub"),
        }
    }

    #[test]
    fn a_message_has_one_source() {
        assert_eq!(parse("-t a -m -5").unwrap().source.message.unwrap(), "-5");
        assert!(parse("-t a -l").unwrap().source.lines);
        assert!(parse("-t a -n -r").unwrap().retain);
        assert!(parse("-t a").is_err());
        assert!(parse("-t a -m x -n").is_err());
        assert!(parse("-t a -l --repeat 2").is_err());
    }

    #[test]
    fn a_topic_is_a_name() {
        assert!(parse("-t a/# -m x").err().unwrap().contains("wildcard"));
        assert!(parse("-m x").is_err());
        assert_eq!(parse("-L mqtt://h/a/b -m x").unwrap().topic(), Ok("a/b"));
        assert!(parse("-L mqtt://h/a/+ -m x").is_err());
        assert!(parse("-L mqtt://h/a -t b -m x").is_err());
    }

    #[test]
    fn h_is_the_host_and_not_help() {
        assert_eq!(parse("-h example.org -t a -m x -q 2").unwrap().connection.host, "example.org");
        assert!(parse("-t a -m x -q 3").err().unwrap().contains("0, 1 or 2"));
    }
}
