//! `ternmq broker` as a process: the ready line, the exit codes, what it says when it cannot start.

mod program;

use std::net::{TcpListener, TcpStream};

use program::{Broker, Program, run};

#[test]
fn the_ready_line_has_the_real_port_and_is_the_only_line() {
    let broker = Broker::start();
    TcpStream::connect(("127.0.0.1", broker.port)).expect("it listens where it says");
    broker.program.send("TERM");
    let output = broker.program.wait();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
}

#[test]
fn an_interrupt_is_an_orderly_end() {
    let broker = Broker::start();
    broker.program.send("INT");
    assert_eq!(broker.program.wait().code, Some(0));
}

#[test]
fn every_listener_is_in_the_ready_line() {
    let program = Program::start(&[
        "broker",
        "--listen",
        "tcp://127.0.0.1:0",
        "--listen",
        "tcp://127.0.0.1:0",
    ]);
    let line = program.line();
    let ports: Vec<_> = line.split(" tcp://127.0.0.1:").skip(1).collect();
    assert_eq!(ports.len(), 2, "{line}");
    for port in ports {
        let port: u16 = port.parse().expect("a port");
        TcpStream::connect(("127.0.0.1", port)).expect("it listens where it says");
    }
}

#[test]
fn what_an_operator_has_to_know_is_on_standard_error() {
    let broker = Broker::start();
    broker.program.send("TERM");
    let stderr = broker.program.wait().stderr;
    for note in ["no password", "in memory"] {
        assert!(stderr.contains(note), "{note}: {stderr}");
    }
}

#[test]
fn a_port_in_use_ends_with_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("tcp://{}", taken.local_addr().expect("it has an address"));
    run(&["broker", "--listen", &url]).expect_failure(2, &format!("cannot listen on {url}"));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_what_was_meant() {
    run(&["broker", "--set", "queue.mesages=5"]).expect_failure(2, "queue.messages");
    run(&["broker", "--set", "queue.messages=many"]).expect_failure(2, "queue.messages");
    run(&["broker", "--listen", "tcp://127.0.0.1:port"]).expect_failure(2, "tcp://127.0.0.1:port");
    run(&["broker", "--config", "does-not-exist.toml"]).expect_failure(2, "does-not-exist.toml");
    run(&["broker", "--no-such-option"]).expect_failure(2, "--no-such-option");
}

#[test]
fn strangers_are_let_in_only_on_purpose() {
    let url = ["broker", "--listen", "tcp://0.0.0.0:0"];
    run(&url).expect_failure(2, "anonymous");
    let program = Program::start(&[&url[..], &["--allow-anonymous"]].concat());
    assert!(program.line().starts_with("ready tcp://0.0.0.0:"));
}
