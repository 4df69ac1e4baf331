//! The real binary as a child process: started, listened to line by line, told to end.
//!
//! Whoever waits here waits for an event, with a limit; nothing sleeps. What a test starts ends with
//! the test, also when it fails.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a test waits for what has to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running `ternmq`.
pub struct Program {
    id: u32,
    stdout: Receiver<String>,
    end: Receiver<Ended>,
    ended: Option<Ended>,
}

/// How a program ended, and what it said on standard error.
#[derive(Clone, Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
}

/// A program that has ended, with everything that it printed.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Program {
    /// Starts it with these words as arguments.
    pub fn start(arguments: &[&str]) -> Program {
        Program::start_with_input(arguments, b"")
    }

    pub fn start_with_input(arguments: &[&str], input: &[u8]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ternmq"))
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let id = child.id();
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let input = input.to_vec();
        // A program that does not read its input closes it: not this thread's concern.
        thread::spawn(move || drop(stdin.write_all(&input)));
        let (lines, stdout_lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let (ended, end) = channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).expect("stderr can be read");
            let status = child.wait().expect("a child can be waited for");
            let stderr = String::from_utf8_lossy(&text).into_owned();
            drop(ended.send(Ended { code: status.code(), stderr }));
        });
        Program { id, stdout: stdout_lines, end, ended: None }
    }

    /// The next line on standard output.
    pub fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).expect("a line on standard output")
    }

    pub fn send(&self, signal: &str) {
        assert!(self.try_send(signal), "kill -{signal}");
    }

    fn try_send(&self, signal: &str) -> bool {
        let kill = format!("kill -{signal} {}", self.id);
        let status = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        status.expect("there is a shell").success()
    }

    /// Waits for the end and collects what was printed and not yet taken.
    pub fn wait(mut self) -> Output {
        let ended = self.end.recv_timeout(PATIENCE).expect("the program ends");
        self.ended = Some(ended.clone());
        let stdout = self.stdout.iter().collect();
        Output { code: ended.code, stdout, stderr: ended.stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.ended.is_none() && self.end.try_recv().is_err() {
            // It may be ending at this moment.
            self.try_send("KILL");
        }
    }
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    Program::start(arguments).wait()
}

/// A running broker on a free port of this machine.
pub struct Broker {
    pub program: Program,
    pub port: u16,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Broker {
        let base = ["broker", "--listen", "tcp://127.0.0.1:0", "--memory"];
        let program = Program::start(&[&base, arguments].concat());
        let ready = program.line();
        let address = ready.strip_prefix("ready tcp://127.0.0.1:").expect("the ready line");
        let port = address.parse().expect("the ready line ends with the port");
        Broker { program, port }
    }

    /// Runs `ternmq pub` or `ternmq sub` against this broker; `line` is split at spaces.
    pub fn run(&self, line: &str) -> Output {
        self.client(line).wait()
    }

    /// Starts `ternmq pub` or `ternmq sub` against this broker.
    pub fn client(&self, line: &str) -> Program {
        self.client_with_input(line, b"")
    }

    pub fn client_with_input(&self, line: &str, input: &[u8]) -> Program {
        let port = self.port.to_string();
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["-h", "127.0.0.1", "-p", &port]);
        Program::start_with_input(&words, input)
    }
}

impl Output {
    /// Asserts that it ended with 0 and returns what it printed.
    pub fn expect_done(self) -> Vec<String> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Asserts an exit code and a part of the complaint.
    pub fn expect_failure(&self, code: i32, complaint: &str) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(self.stderr.contains(complaint), "{}", self.stderr);
    }
}
