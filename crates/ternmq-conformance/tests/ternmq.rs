//! TernMQ itself under the examiner: every case passes, and all apply but those that ask for a
//! broker with less in it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use ternmq_conformance::{Options, Outcome, run};

/// Cases for brokers that announce that they lack something.
const NOT_APPLICABLE: [&str; 3] = [
    "limits::qos_over_the_maximum",
    "limits::retain_where_there_is_none",
    "alias::where_there_are_none",
];

#[test]
fn ternmq_passes_every_case() {
    examine(&[]);
}

#[test]
fn ternmq_passes_every_case_on_four_shards() {
    examine(&["--shards", "4"]);
}

fn examine(more: &[&str]) {
    let broker = Ternmq::start(more);
    let report = run(broker.address, &Options::default());
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let not_applicable: BTreeSet<_> = report
        .results
        .iter()
        .filter(|result| matches!(result.outcome, Outcome::NotApplicable(_)))
        .map(|result| result.name)
        .collect();
    assert_eq!(not_applicable, NOT_APPLICABLE.into());
}

/// A broker of our own, ended with the test.
struct Ternmq {
    child: Child,
    address: SocketAddr,
}

impl Ternmq {
    /// Starts the broker on a free port and waits for its `ready` line.
    fn start(more: &[&str]) -> Ternmq {
        let mut child = Command::new(binary())
            .args(["broker", "--listen", "tcp://127.0.0.1:0", "--memory"])
            .args(more)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the broker starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let url = line.strip_prefix("ready tcp://")?.split(' ').next()?.to_owned();
            url.parse().ok()
        });
        thread::spawn(move || lines.map_while(Result::ok).count());
        let Some(address) = address else {
            let ended = child.wait();
            panic!("the broker ended without its `ready tcp://...` line: {ended:?}");
        };
        Ternmq { child, address }
    }
}

impl Drop for Ternmq {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// The program, built now in the profile of this test, so that it is never an old one.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/test");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "ternmq", "--bin", "ternmq"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(built.success(), "cargo build --package ternmq failed");
    let binary = folder.join(format!("ternmq{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.is_file(), "no ternmq program at {}", binary.display());
    binary
}
