//! The tasks of the workspace: `cargo xtask ci|setup|lint|tidy|docs|sim|fuzz|bench|conformance|attack`.
//!
//! Everything that a Makefile or a shell script would do, in Rust, so that it is tested and runs
//! where Rust runs. Not shipped. A task ends with 0, or prints what is wrong and ends with 1 (2 for
//! a command line that it does not understand).

mod ci;
mod conformance;
mod docs;
mod fuzz;
mod process;
mod setup;
mod tidy;
mod tree;

use std::process::ExitCode;

use process::Run;

/// The names of the tasks.
pub const TASKS: [&str; 10] =
    ["ci", "setup", "lint", "tidy", "docs", "sim", "fuzz", "bench", "conformance", "attack"];

const HELP: &str = "\
cargo xtask TASK

  ci                        everything that must pass, in order, installing what it needs
  setup                     installs the Debian packages that the tests use, or names them
  lint                      formatting, clippy and tidy
  tidy                      the house rules: arrows, headers, bans, links, licences
  docs [--check]            writes the generated pages (--check: they are current)
  sim [--seeds N] [--seed S] ...
                            simulated schedules; other options go to ternmq-sim
  fuzz [--seconds N] [TARGET]
                            fuzzes one target or each of them (default: 60 s each)
  bench ...                 the benchmarks; options go to cargo bench
  conformance [--target HOST:PORT] ...
                            the examiner, against TernMQ itself or another broker
  attack                    hostile connections against the real binary, the long form
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        ["ci"] => ci::run(),
        ["setup"] => setup::run(),
        ["lint"] => ci::lint(),
        ["tidy"] => tidy_task(),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        ["sim", rest @ ..] => simulate(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["bench", rest @ ..] => {
            Run::cargo(&["bench", "--workspace", "--bench", "*"]).and(rest).check()
        }
        ["conformance", rest @ ..] => conformance::run(rest),
        ["attack", rest @ ..] => {
            Run::python(&["tests/run.py", "-k", "attack", "--attack", "full"]).and(rest).check()
        }
        _ => {
            eprint!("cargo xtask does not understand `{}`\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one of the workspace's programs, optimised.
fn program(package: &str, arguments: &[&str]) -> Result<(), String> {
    Run::cargo(&["run", "--release", "--quiet", "--package", package, "--"]).and(arguments).check()
}

/// Planted bugs exist only in a build that asks for them.
fn simulate(arguments: &[&str]) -> Result<(), String> {
    if !arguments.iter().any(|it| it.starts_with("--planted")) {
        return program("ternmq-sim", arguments);
    }
    let run = Run::cargo(&["run", "--release", "--quiet", "--package", "ternmq-sim"]);
    run.and(&["--features", "planted", "--"]).and(arguments).check()
}

fn tidy_task() -> Result<(), String> {
    let found = tidy::check(&tree::root())?;
    found.iter().for_each(|it| eprintln!("{it}"));
    match found.iter().filter(|it| !it.is_warning).count() {
        0 => Ok(()),
        count => Err(format!("{count} findings against the house rules")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_task() {
        for task in TASKS {
            assert!(HELP.lines().any(|it| it.split_whitespace().next() == Some(task)), "{task}");
        }
    }
}
