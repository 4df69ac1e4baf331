//! The command line of `ternmq-sim`.

/// The first seed, when none is given.
const FIRST_SEED: u64 = 0x7E12_0000;

/// What `--help` prints.
pub const HELP: &str = "\
Runs simulated schedules: the real engine and client, under faults, by seed.

  cargo xtask sim [--seeds N] [--first S] [--threads N]
  cargo xtask sim --seed S [--until T] [--trace WORDS]
  cargo xtask sim --planted NAME|all [--seeds N] [--threads N]

  --seeds N       how many schedules (default 2000)
  --first S       the seed of the first one (default 0x7e120000); the others count up from there
  --seed S        only this one, e.g. 0x7e120001
  --threads N     schedules at a time (default 2)
  --failures N    stop after so many failing schedules (default 5)
  --until T       stop at this virtual time, e.g. 3.25 (seconds); nothing is judged then
  --trace WORDS   print what happened to these: c3 (client), m17 (message), conn5, s1 (shard); or all
  --planted NAME  plant a bug and look for the first schedule that finds it; all: a table of all
                  bugs that the simulator is meant to find

Exit code 1: an invariant was broken, or a planted bug was not found. 2: usage.";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Order {
    /// `--help`.
    Help,
    /// Run something.
    Run(Args),
}

/// The options.
#[derive(Debug, Clone, PartialEq)]
pub struct Args {
    /// How many schedules.
    pub seeds: u64,
    /// Where they begin.
    pub first: u64,
    /// Only this one.
    pub seed: Option<u64>,
    /// At a time.
    pub threads: usize,
    /// Stop after so many failures.
    pub failures_max: usize,
    /// Virtual microseconds.
    pub until: Option<u64>,
    /// Words, separated by commas.
    pub trace: Option<String>,
    /// A bug's name, or `all`.
    pub planted: Option<String>,
}

/// Reads the command line.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn parse(words: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut args = Args {
        seeds: 2_000,
        first: FIRST_SEED,
        seed: None,
        threads: 2,
        failures_max: 5,
        until: None,
        trace: None,
        planted: None,
    };
    let mut words = words;
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(Order::Help);
        }
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let mut value =
            || value.take().or_else(|| words.next()).ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--seeds" => args.seeds = number(&value()?)?,
            "--first" => args.first = number(&value()?)?,
            "--seed" => args.seed = Some(number(&value()?)?),
            "--threads" => args.threads = number(&value()?)? as usize,
            "--failures" => args.failures_max = number(&value()?)?.max(1) as usize,
            "--until" => args.until = Some(micros(&value()?)?),
            "--trace" => args.trace = Some(value()?),
            "--planted" => args.planted = Some(value()?),
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(Order::Run(args))
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text} is not a number"))
}

fn micros(text: &str) -> Result<u64, String> {
    let seconds: f64 = text
        .trim_end_matches('s')
        .parse()
        .map_err(|_| format!("{text} is not a time in seconds"))?;
    if seconds.is_finite() && seconds >= 0.0 {
        Ok((seconds * 1e6) as u64)
    } else {
        Err(format!("{text} is not a time in seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Order, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let Ok(Order::Run(args)) = read("--seed=0x10 --until 3.5s --trace c1,m2") else {
            panic!("these are options");
        };
        assert_eq!((args.seed, args.until), (Some(16), Some(3_500_000)));
        assert_eq!(args.trace.as_deref(), Some("c1,m2"));
        assert_eq!(read("--help"), Ok(Order::Help));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(read("--seeds x"), Err("x is not a number".to_owned()));
        assert_eq!(read("--seeds"), Err("--seeds needs a value".to_owned()));
        assert_eq!(read("--sed 1"), Err("unknown option --sed".to_owned()));
        assert!(read("--until -1").is_err());
    }
}
