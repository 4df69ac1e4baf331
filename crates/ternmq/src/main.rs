//! The `ternmq` program: the broker and its tools in one binary.
//!
//! Only what a program is for a person stands here: arguments, printing, exit codes. What it does
//! is done by the crates below.

mod args;
mod command;
mod output;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;

fn main() -> ExitCode {
    #[cfg(feature = "planted")]
    plant_from_environment();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Broker(args) => command::broker(args),
        Command::Pub(args) => command::publish(&args),
        Command::Sub(args) => command::subscribe(&args),
        Command::Completions(args) => command::completions(&args),
        Command::Reference(args) => command::reference(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

/// Breaks the rule that `TERNMQ_PLANTED` names, so that tests can be seen to fail.
#[cfg(feature = "planted")]
fn plant_from_environment() {
    let Ok(name) = std::env::var("TERNMQ_PLANTED") else { return };
    let bug = ternmq_proto::planted::Bug::from_name(&name);
    ternmq_proto::planted::plant(Some(bug.expect("TERNMQ_PLANTED names a planted bug")));
}
