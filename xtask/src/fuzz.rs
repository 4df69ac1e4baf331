//! Coverage-guided fuzzing with the stable compiler: `cargo xtask fuzz [--seconds N] [TARGET]`.
//!
//! The targets are the programs of `fuzz/`, a workspace of its own. They are built here with the
//! compiler's coverage pass switched on, which is what cargo-fuzz does too, so nothing has to be
//! installed but a C++ compiler for libFuzzer. New inputs collect under `fuzz/corpus`; an input
//! that fails is kept under `fuzz/artifacts`, and the message names it.

use std::fs;

use crate::process::Run;
use crate::tree::root;

const SECONDS_DEFAULT: &str = "60";
/// The inputs are packets: longer ones only make the fuzzer slow.
const INPUT_BYTES_MAX: u32 = 65_536;

const COVERAGE: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// # Errors
/// If an option is unknown, the targets do not build, or one of them finds something.
pub fn run(arguments: &[&str]) -> Result<(), String> {
    let (seconds, wanted) = parse(arguments)?;
    let known = targets()?;
    if let Some(wanted) = wanted
        && !known.iter().any(|it| it == wanted)
    {
        return Err(format!("there is no fuzz target `{wanted}`; there are: {}", known.join(", ")));
    }
    let host = host_triple()?;
    let base = ["--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &host, "--bins"];
    // With --target, the flags reach the targets and not the build scripts, which could not link.
    let build = |it: Run| it.env("RUSTFLAGS", &COVERAGE.join(" "));
    build(Run::cargo(&["build", "--quiet"]).and(&base)).check()?;
    for target in known.iter().filter(|it| wanted.is_none_or(|wanted| wanted == *it)) {
        let report = fuzz_one(&host, target, seconds)?;
        let runs = report.lines().find_map(|it| it.strip_prefix("stat::number_of_executed_units:"));
        println!("{target}: {} inputs in {seconds} s, nothing found", runs.unwrap_or("?").trim());
    }
    Ok(())
}

/// Runs one target; its report is shown only if it finds something.
fn fuzz_one(host: &str, target: &str, seconds: &str) -> Result<String, String> {
    let corpus = format!("fuzz/corpus/{target}");
    let artifacts = format!("fuzz/artifacts/{target}/");
    for folder in [&corpus, &artifacts] {
        let made = fs::create_dir_all(root().join(folder));
        made.map_err(|error| format!("cannot make {folder}: {error}"))?;
    }
    let program = root().join(format!("fuzz/target/{host}/release/{target}"));
    let limits = [
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-artifact_prefix={artifacts}"),
    ];
    let limits: Vec<_> = limits.iter().map(String::as_str).collect();
    let mut run =
        Run::new(program, &["-verbosity=0", "-print_final_stats=1"]).and(&limits).and(&[&corpus]);
    let seeds = format!("fuzz/seeds/{target}");
    if root().join(&seeds).is_dir() {
        run = run.and(&[&seeds]);
    }
    run.read_errors()
}

fn parse<'a>(arguments: &[&'a str]) -> Result<(&'a str, Option<&'a str>), String> {
    let (seconds, rest) = match arguments {
        ["--seconds", seconds, rest @ ..] | [rest @ .., "--seconds", seconds] => (*seconds, rest),
        rest => (SECONDS_DEFAULT, rest),
    };
    if seconds.parse::<u32>().is_err() {
        return Err(format!("--seconds takes a whole number, not `{seconds}`"));
    }
    match rest {
        [] => Ok((seconds, None)),
        [target] if !target.starts_with('-') => Ok((seconds, Some(target))),
        _ => Err(format!("fuzz does not understand `{}`", rest.join(" "))),
    }
}

/// The programs of `fuzz/`: the files in its `fuzz_targets`.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries =
        fs::read_dir(folder).map_err(|it| format!("cannot read fuzz/fuzz_targets: {it}"))?;
    let names = entries.filter_map(|it| it.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter_map(|it| it.strip_suffix(".rs").map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

fn host_triple() -> Result<String, String> {
    let version =
        Run::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()), &["-vV"]).read()?;
    let host = version.lines().find_map(|it| it.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_and_the_target_are_read_in_either_order() {
        assert_eq!(parse(&[]), Ok(("60", None)));
        assert_eq!(parse(&["--seconds", "5", "decode"]), Ok(("5", Some("decode"))));
        assert_eq!(parse(&["decode", "--seconds", "5"]), Ok(("5", Some("decode"))));
        assert!(parse(&["--seconds", "soon"]).is_err());
        assert!(parse(&["decode", "frame"]).is_err());
        assert!(parse(&["--minutes"]).is_err());
    }
}
