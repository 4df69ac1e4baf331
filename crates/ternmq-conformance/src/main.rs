//! `ternmq-conformance`: examines any MQTT broker from outside and says what it found.
//!
//! Exit code 0: every case passed or does not apply; 1: a case failed; 2: wrong usage.

mod output;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;
use ternmq_conformance::{Options, Version, run};

const USAGE: &str = "\
Examines an MQTT broker against the normative statements of MQTT 5.0 and 3.1.1, and MQTT 3.1.

Usage: ternmq-conformance --target HOST:PORT [options]
       ternmq-conformance --list [options]

  --target HOST:PORT   the broker; it must let anonymous clients in
  --version VERSION    3.1, 3.1.1, 5.0 or all (default: all)
  --filter TEXT        only cases whose name contains TEXT
  --parallel N         cases that run at once (default: 16)
  --patience SECONDS   how long to wait for an answer (default: 5)
  --list               show the cases and the statements that they prove, and run none
  --json               print JSON instead of text
  --help               show this

Exit codes: 0 no case failed, 1 a case failed, 2 wrong usage or no such target.
";

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    target: Option<SocketAddr>,
    options: Options,
    list: bool,
    json: bool,
    help: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(fault) => {
            eprintln!("ternmq-conformance: {fault}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if arguments.help {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        output::list(&arguments.options, arguments.json);
        return ExitCode::SUCCESS;
    }
    let Some(target) = arguments.target else {
        eprintln!("ternmq-conformance: --target or --list is needed\n\n{USAGE}");
        return ExitCode::from(2);
    };
    if let Err(error) = TcpStream::connect_timeout(&target, arguments.options.patience) {
        eprintln!("ternmq-conformance: no broker at {target}: {error}");
        return ExitCode::from(2);
    }
    let report = run(target, &arguments.options);
    if arguments.json {
        output::json(&report);
    } else {
        output::text(&report);
    }
    if report.results.is_empty() {
        eprintln!("ternmq-conformance: no case matches the filter");
        return ExitCode::from(2);
    }
    if report.all_passed() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        match name.as_str() {
            "--list" => arguments.list = true,
            "--json" => arguments.json = true,
            "--help" | "-h" => arguments.help = true,
            "--target" | "--version" | "--filter" | "--parallel" | "--patience" => {
                let value = inline.or_else(|| words.next());
                let value = value.ok_or_else(|| format!("{name} needs a value"))?;
                set(&mut arguments, &name, &value)?;
            }
            _ => return Err(format!("{name:?} is not an option")),
        }
    }
    Ok(arguments)
}

fn set(arguments: &mut Arguments, name: &str, value: &str) -> Result<(), String> {
    let options = &mut arguments.options;
    match name {
        "--target" => arguments.target = Some(resolve(value)?),
        "--version" if value == "all" => options.versions = Version::ALL.to_vec(),
        "--version" => {
            let version = Version::from_name(value)
                .ok_or_else(|| format!("{value:?} is not 3.1, 3.1.1, 5.0 or all"))?;
            options.versions = vec![version];
        }
        "--filter" => options.filter = value.to_owned(),
        "--parallel" => options.parallel = positive(name, value)?,
        _ => options.patience = Duration::from_secs(positive(name, value)? as u64),
    }
    Ok(())
}

fn positive(name: &str, value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{name} wants a whole number above 0, not {value:?}")),
    }
}

fn resolve(target: &str) -> Result<SocketAddr, String> {
    let target = target.strip_prefix("tcp://").or(target.strip_prefix("mqtt://")).unwrap_or(target);
    match target.to_socket_addrs() {
        Ok(mut found) => found.next().ok_or_else(|| format!("{target:?} has no address")),
        Err(error) => Err(format!("{target:?} is not HOST:PORT of a broker ({error})")),
    }
}
