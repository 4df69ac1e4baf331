//! `cargo xtask conformance`: the examiner against TernMQ itself, or against `--target HOST:PORT`.
//!
//! Without a target the optimised broker is started on a free port, in memory, and ended afterwards.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::process::{self, Run};
use crate::tree::root;

/// # Errors
/// Something does not build or start, or a case failed.
pub fn run(arguments: &[&str]) -> Result<(), String> {
    let needs_no_broker =
        |it: &&str| ["--list", "--help"].contains(it) || it.split('=').next() == Some("--target");
    if arguments.iter().any(needs_no_broker) {
        return crate::program("ternmq-conformance", arguments);
    }
    Run::cargo(&["build", "--release", "--quiet", "--package", "ternmq"]).check()?;
    let broker = OwnBroker::start()?;
    println!("the examiner against {}", broker.address);
    crate::program("ternmq-conformance", &[&["--target", &broker.address], arguments].concat())
}

/// A broker that ends with this value.
struct OwnBroker {
    process: Child,
    address: String,
}

impl OwnBroker {
    fn start() -> Result<OwnBroker, String> {
        let program = process::target_folder().join("release/ternmq");
        let mut process = Command::new(program)
            .args(["broker", "--listen", "tcp://127.0.0.1:0", "--memory"])
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start the broker: {error}"))?;
        let stdout = process.stdout.take().map(BufReader::new);
        let mut broker = OwnBroker { process, address: String::new() };
        let mut line = String::new();
        stdout.map(|mut it| it.read_line(&mut line));
        let address =
            line.trim().strip_prefix("ready tcp://").ok_or("the broker did not get ready")?;
        address.clone_into(&mut broker.address);
        Ok(broker)
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // It holds nothing that an orderly end would save; if it has ended by itself, that showed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
