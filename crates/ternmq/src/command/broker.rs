//! `ternmq broker`: from the options to a running broker, and what the person who starts it is told.

use ternmq_broker::config::{Config, LogLevel, Sources};
use ternmq_broker::{Broker, StartError};
use tracing_subscriber::filter::LevelFilter;

use crate::args::BrokerArgs;
use crate::output::{self, Failure};

pub fn run(args: BrokerArgs) -> Result<(), Failure> {
    let is_configured = args.config.is_some() || !args.listen.is_empty();
    let verbose = args.verbose;
    let config = Config::load(sources(args)).map_err(Failure::usage)?;
    output::log(level(verbose, config.log.level))?;
    notes(&config, is_configured).iter().for_each(output::note);
    let mut broker = Broker::start(config).map_err(failure_to_start)?;
    broker.catch_signals().map_err(Failure::run)?;
    output::line(broker.ready_line())?;
    broker.run_until_signal().map_err(Failure::run)
}

fn sources(args: BrokerArgs) -> Sources<std::env::VarsOs> {
    Sources {
        file: args.config,
        set: args.set,
        listen: args.listen,
        shards: args.shards,
        memory: args.memory,
        allow_anonymous: args.allow_anonymous,
        environment: std::env::vars_os(),
    }
}

/// What is logged: the configured level, or more if the command line asks for more.
fn level(verbose: u8, configured: LogLevel) -> LevelFilter {
    let configured = match configured {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let wanted = match verbose {
        0 => configured,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    wanted.max(configured)
}

/// What somebody might otherwise learn too late.
fn notes(config: &Config, is_configured: bool) -> Vec<String> {
    let urls = |wanted: fn(&ternmq_broker::config::Listener) -> bool| {
        let urls = config.listeners.iter().filter(|it| wanted(it)).map(|it| it.url.to_string());
        urls.collect::<Vec<_>>().join(" ")
    };
    let mut notes = Vec::new();
    if !is_configured {
        notes.push(format!("nothing was configured: listening on {}", urls(|_| true)));
    }
    let anonymous = urls(|it| it.anonymous);
    if !anonymous.is_empty() {
        notes.push(format!("clients need no name and no password on {anonymous}"));
    }
    notes.push(
        "sessions and messages are kept in memory: they are lost when this process ends".to_owned(),
    );
    notes
}

fn failure_to_start(error: StartError) -> Failure {
    if error.is_configuration() { Failure::usage(error) } else { Failure::run(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_only_raises_the_level() {
        assert_eq!(level(0, LogLevel::Warn), LevelFilter::WARN);
        assert_eq!(level(1, LogLevel::Warn), LevelFilter::DEBUG);
        assert_eq!(level(1, LogLevel::Trace), LevelFilter::TRACE);
        assert_eq!(level(7, LogLevel::Info), LevelFilter::TRACE);
    }

    #[test]
    fn an_open_broker_says_so() {
        let config = Config::for_tests();
        let notes = notes(&config, false);
        assert!(notes[0].contains("listening on tcp://127.0.0.1:0"), "{notes:?}");
        assert!(notes[1].contains("no password on tcp://127.0.0.1:0"), "{notes:?}");
        assert!(notes[2].contains("in memory"), "{notes:?}");
    }
}
