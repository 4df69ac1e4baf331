//! TernMQ as a process of a test's own: built now, started on a free port, ended with its value.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// A running broker.
pub struct OwnBroker {
    child: Child,
    pub address: SocketAddr,
}

impl OwnBroker {
    /// Starts the program with sessions in memory and waits for its `ready` line. A bug that is
    /// planted needs a program that was built with them.
    pub fn start(program: &Path, more: &[&str], planted: Option<&str>) -> OwnBroker {
        let mut command = Command::new(program);
        if let Some(bug) = planted {
            command.env("TERNMQ_PLANTED", bug);
        }
        let mut child = command
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
        // What else it prints is read, so that it never waits for a full pipe.
        thread::spawn(move || lines.map_while(Result::ok).count());
        let Some(address) = address else {
            let ended = child.wait();
            panic!("the broker ended without its `ready tcp://...` line: {ended:?}");
        };
        OwnBroker { child, address }
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// Builds the program into a target folder, so that it is never an old one, and says where it is.
pub fn build(target: &Path, features: &[&str]) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "ternmq", "--bin", "ternmq"])
        .arg("--target-dir")
        .arg(target)
        .args(features.iter().flat_map(|feature| ["--features", feature]))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "cargo build --package ternmq failed");
    target.join("debug").join(format!("ternmq{}", std::env::consts::EXE_SUFFIX))
}
