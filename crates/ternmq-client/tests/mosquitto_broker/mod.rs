//! Debian's mosquitto, started for one test.

pub mod link;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A running mosquitto with a directory of its own. It ends with the value.
pub struct Mosquitto {
    pub port: u16,
    directory: PathBuf,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts one on a free port of the loopback interface, with further lines of configuration.
    pub fn start(configuration: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("mosquitto-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).expect("a directory for mosquitto");
        let port = free_port();
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {}/\nuser root\nset_tcp_nodelay true\n{configuration}\n",
            directory.display()
        );
        std::fs::write(directory.join("mosquitto.conf"), text).expect("a file for mosquitto");
        let mut broker = Mosquitto { port, directory, process: None };
        broker.run();
        broker
    }

    /// Starts it again after [`Mosquitto::stop`], on the same port.
    pub fn run(&mut self) {
        let program = ["/usr/sbin/mosquitto", "mosquitto"]
            .into_iter()
            .find(|it| !it.starts_with('/') || std::path::Path::new(it).exists())
            .expect("the second always is");
        let mut process = Command::new(program)
            .arg("-v")
            .arg("-c")
            .arg(self.directory.join("mosquitto.conf"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; this test needs the Debian package 'mosquitto'")
            });
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let mut said = Vec::new();
        for line in &mut lines {
            let line = line.expect("a line of mosquitto");
            let runs = line.contains("running");
            said.push(line);
            if runs {
                break;
            }
        }
        assert!(said.last().is_some_and(|it| it.contains("running")), "{said:?}");
        // A full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        self.process = Some(process);
    }

    /// Ends it in an orderly way, so that it writes its sessions down.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("a running mosquitto");
        let pid = process.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().expect("the kill command");
        assert!(killed.success());
        process.wait().expect("mosquitto ends");
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a running mosquitto");
        process.kill().expect("mosquitto is ours");
        process.wait().expect("mosquitto ends");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone_already = process.kill();
            let _status = process.wait();
        }
        let _left_over = std::fs::remove_dir_all(&self.directory);
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback interface");
    listener.local_addr().expect("it is bound").port()
}
