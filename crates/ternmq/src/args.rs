//! The command line: what may be given, what it is called, and what is refused before anything runs.
//!
//! Parsing only. A value that reaches a command is already of its type: a topic parses, a QoS is one
//! of three, a property belongs to its packet. What is wrong here ends with exit code 2.

mod connection;
mod property;
mod publish;
mod subscribe;
mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use connection::ConnectionArgs;
pub use publish::{PublishArgs, Source};
pub use subscribe::SubscribeArgs;

/// Ends the help of every command.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed at run time: no connection, refused by the broker, a message that was not acknowledged
  2  wrong usage or configuration: nothing was started, nothing was sent";

/// An MQTT platform in one program: the broker, and the tools around it.
///
/// Speaks MQTT 3.1, 3.1.1 and 5.0. `ternmq broker` with no options is a broker for this machine.
#[derive(Parser)]
#[command(name = "ternmq", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Broker(BrokerArgs),
    Pub(PublishArgs),
    Sub(SubscribeArgs),
    Completions(CompletionsArgs),
    Reference(ReferenceArgs),
}

/// Runs a broker until it is told to stop.
///
/// With no options it listens on 127.0.0.1:1883, lets clients of this machine in without a name,
/// and keeps everything in memory. When it accepts connections it prints one line on standard
/// output, `ready tcp://127.0.0.1:1883`, with the ports it really has; everything else goes to
/// standard error. SIGTERM and SIGINT say goodbye to the clients and end it with 0.
#[derive(Args)]
#[command(after_help = BROKER_AFTER)]
pub struct BrokerArgs {
    /// Configuration file (TOML; an unknown key is an error)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, such as tcp://0.0.0.0:1883; port 0 picks a free one; may be repeated
    #[arg(long, value_name = "URL")]
    pub listen: Vec<String>,
    /// Keep everything in memory: nothing survives the end of the process
    #[arg(long)]
    pub memory: bool,
    /// Shard threads; default: one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub shards: Option<u16>,
    /// Let clients in without a name on listeners that are not on the loopback interface too
    #[arg(long)]
    pub allow_anonymous: bool,
    /// One setting, as in the configuration file: queue.messages=1000; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::setting)]
    pub set: Vec<(String, String)>,
    /// Log more: -v connections, -vv everything. RUST_LOG is finer and wins
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

const BROKER_AFTER: &str = "\
Examples:
  ternmq broker
  ternmq broker --listen tcp://0.0.0.0:1883 --allow-anonymous
  ternmq broker --listen tcp://127.0.0.1:0 --shards 2 --set queue.messages=1000
  ternmq broker --config ternmq.toml -v

Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  failed at run time
  2  wrong usage or configuration, or an address that cannot be listened on";

/// Prints the completions of a shell.
///
/// bash: source <(ternmq completions bash)
/// zsh:  source <(ternmq completions zsh)
/// fish: ternmq completions fish | source
#[derive(Args)]
#[command(verbatim_doc_comment, after_help = EXIT_CODES)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Prints a page of the reference in Markdown.
#[derive(Args)]
#[command(hide = true)]
pub struct ReferenceArgs {
    /// Which page
    pub page: ReferencePage,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ReferencePage {
    Cli,
    Configuration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_documents_its_exit_codes() {
        for command in Cli::command().get_subcommands_mut().filter(|it| !it.is_hide_set()) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes:\n  0  "), "{}", command.get_name());
        }
    }

    #[test]
    fn the_broker_takes_its_options() {
        let words = "ternmq broker --listen tcp://127.0.0.1:0 --listen tcp://[::1]:0 --memory --shards 3 \
                     --set queue.messages=5 --set a=b=c -vv";
        let Command::Broker(args) = Cli::try_parse_from(words.split_whitespace()).unwrap().command
        else {
            panic!("not the broker");
        };
        assert_eq!(args.listen, ["tcp://127.0.0.1:0", "tcp://[::1]:0"]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(args.set, [pair("queue.messages", "5"), pair("a", "b=c")]);
        assert_eq!((args.shards, args.memory, args.verbose), (Some(3), true, 2));
    }

    #[test]
    fn a_setting_without_a_value_is_refused() {
        for words in ["--set queue.messages", "--set =5", "--shards 0", "--shards many"] {
            let line = format!("ternmq broker {words}");
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{words}");
        }
    }
}
