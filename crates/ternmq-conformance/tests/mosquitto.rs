//! The examiner on a broker that nobody here wrote, so that a wrong case shows: what fails on
//! Debian's mosquitto is exactly what `known-deviations.toml` explains.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use ternmq_conformance::{Options, Outcome, run};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    broker: String,
    version: String,
    not_applicable: BTreeSet<String>,
    deviation: Vec<Deviation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    case: String,
    versions: Vec<String>,
    reason: String,
    #[serde(default)]
    timing: bool,
}

#[test]
fn mosquitto_fails_exactly_where_it_is_known_to_deviate() {
    let known: Known =
        toml::from_str(include_str!("../known-deviations.toml")).expect("the list is well-formed");
    assert_eq!(known.broker, "mosquitto");
    assert!(known.deviation.iter().all(|it| !it.reason.is_empty()), "a deviation has no reason");
    let listed = |timing: &[bool]| -> BTreeSet<String> {
        let chosen = known.deviation.iter().filter(|it| timing.contains(&it.timing));
        chosen.flat_map(|it| it.versions.iter().map(|of| format!("{} ({of})", it.case))).collect()
    };

    let broker = Mosquitto::start();
    let report = run(broker.address, &Options::default());
    let mut failed = BTreeSet::new();
    let mut details = String::new();
    let mut not_applicable = BTreeSet::new();
    for result in &report.results {
        let name = format!("{} ({})", result.name, result.version);
        match &result.outcome {
            Outcome::Passed => {}
            Outcome::Failed { expected, seen } => {
                details += &format!("{name}: expected {expected}; seen {seen}\n");
                failed.insert(name);
            }
            Outcome::NotApplicable(_) => {
                not_applicable.insert(result.name.to_owned());
            }
        }
    }

    let unexplained: Vec<_> = failed.difference(&listed(&[false, true])).cloned().collect();
    assert!(
        unexplained.is_empty(),
        "failures that no deviation explains: {unexplained:#?}\n{details}"
    );
    // Another version may have mended some of them.
    if broker.version == known.version {
        let must_fail = listed(&[false]);
        let gone: Vec<_> = must_fail.difference(&failed).collect();
        assert!(gone.is_empty(), "known deviations that no case sees any more: {gone:#?}");
        assert_eq!(not_applicable, known.not_applicable);
    }
}

/// A mosquitto of our own, ended with the test.
struct Mosquitto {
    child: Child,
    address: SocketAddr,
    version: String,
}

impl Mosquitto {
    /// Starts mosquitto on a free port and waits until it says that it runs.
    fn start() -> Mosquitto {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("the address of a listener");
        drop(free);
        let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mosquitto.conf");
        let lines = format!("listener {} 127.0.0.1\nallow_anonymous true\n", address.port());
        fs::write(&config, lines).expect("a place for mosquitto.conf");
        let mut child = Command::new(binary())
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut version = None;
        let mut so_far = String::new();
        for line in log.by_ref().map_while(Result::ok) {
            // "1700000000: mosquitto version 2.0.11 running"
            let words: Vec<&str> = line.split(' ').collect();
            if let [_, "mosquitto", "version", seen, "running"] = words.as_slice() {
                version = Some((*seen).to_owned());
                break;
            }
            so_far += &line;
            so_far.push('\n');
        }
        let Some(version) = version else { panic!("mosquitto did not start:\n{so_far}") };
        // The rest of the log is read, so that mosquitto never waits for a full pipe.
        thread::spawn(move || log.map_while(Result::ok).count());
        Mosquitto { child, address, version }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

fn binary() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|file| file.is_file())
        .expect("no mosquitto found: install the Debian package \"mosquitto\" (apt-get install mosquitto)")
}
