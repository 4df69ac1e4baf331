//! `ternmq pub` and `ternmq sub` as people use them, against `ternmq broker`.

mod program;

use std::io::ErrorKind;
use std::net::TcpListener;

use program::{Broker, run};

const VERSIONS: [&str; 3] = ["5", "311", "31"];

/// Leaves a session behind, so that what is published afterwards waits for the next `sub`.
fn leave_session(broker: &Broker, line: &str) {
    assert!(broker.run(&format!("sub -E -c {line}")).expect_done().is_empty());
}

#[test]
fn a_message_passes_at_every_qos_and_version() {
    let broker = Broker::start();
    for version in VERSIONS {
        for qos in 1..=2 {
            let topic = format!("a/{version}/{qos}");
            let session = format!("-i s-{version}-{qos} -V {version} -t {topic} -q {qos}");
            leave_session(&broker, &session);
            broker.run(&format!("pub -V {version} -t {topic} -q {qos} -m hello")).expect_done();
            let printed = broker.run(&format!("sub -c {session} -C 1 -v")).expect_done();
            assert_eq!(printed, [format!("{topic} hello")]);
        }
    }
}

#[test]
fn a_retained_message_waits_for_its_subscriber() {
    let broker = Broker::start();
    broker.run("pub -t r/1 -m kept -r").expect_done();
    broker.run("pub -t r/2 -m {\"a\":[1,2]} -r -q 1").expect_done();
    assert_eq!(broker.run("sub -t r/1 -C 1").expect_done(), ["kept"]);
    let printed = broker.run("sub -t r/+ -C 2 -F %t|%r|%l").expect_done();
    assert_eq!(printed.len(), 2);
    assert!(printed.contains(&"r/1|1|4".to_owned()), "{printed:?}");
    let json = broker.run("sub -t r/2 -C 1 -F %J").expect_done();
    assert!(json[0].contains(r#""topic":"r/2","qos":0,"retain":1"#), "{json:?}");
    assert!(json[0].ends_with(r#""payload":{"a":[1,2]}}"#), "{json:?}");
    broker.run("pub -t r/1 -n -r").expect_done();
    assert!(broker.run("sub -t r/1 -W 0.3").expect_done().is_empty());
}

#[test]
fn messages_come_from_lines_from_files_and_again() {
    let broker = Broker::start();
    leave_session(&broker, "-i lines -t l/# -q 1");
    broker.client_with_input("pub -t l/1 -q 1 -l", b"one\n\ntwo\nthree").wait().expect_done();
    broker.client_with_input("pub -t l/2 -q 1 -s", b"a\nb").wait().expect_done();
    broker.run("pub -t l/3 -q 1 -m again --repeat 3 --repeat-delay 0.01").expect_done();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    broker.run(&format!("pub -t l/4 -q 1 -f {file}")).expect_done();
    let printed = broker.run("sub -c -i lines -t l/# -q 1 -C 8 -F %t=%p;").expect_done().join("\n");
    let expected = "l/1=one;\nl/1=two;\nl/1=three;\nl/2=a\nb;\nl/3=again;\nl/3=again;\nl/3=again;\nl/4=[package]\n";
    assert!(printed.starts_with(expected), "{printed}");
}

#[test]
fn properties_pass_through() {
    let broker = Broker::start();
    let session = "-i props -t p -q 1 -D subscribe subscription-identifier 9";
    leave_session(&broker, session);
    let properties = "-D publish content-type text/plain -D publish user-property a 1 -D publish user-property a 2 \
                      -D publish response-topic answer -D publish correlation-data xyz \
                      -D publish message-expiry-interval 500 -D publish payload-format-indicator 1";
    broker.run(&format!("pub -t p -q 1 -m x {properties}")).expect_done();
    let line = format!("sub -c {session} -C 1 -F %C|%P|%R|%D|%F|%S|%E");
    let printed = broker.run(&line).expect_done();
    let (rest, expiry) = printed[0].rsplit_once('|').expect("seven fields");
    assert_eq!(rest, "text/plain|a:1 a:2|answer|xyz|1|9");
    let expiry: u32 = expiry.parse().expect("seconds");
    assert!((480..=500).contains(&expiry), "{expiry}");
}

#[test]
fn what_is_not_wanted_is_not_printed() {
    let broker = Broker::start();
    broker.run("pub -t n/old -m old -r").expect_done();
    leave_session(&broker, "-i n -t n/# -q 1");
    for topic in ["n/a", "n/noise/b", "n/c"] {
        broker.run(&format!("pub -q 1 -t {topic} -m {topic}")).expect_done();
    }
    let printed = broker.run("sub -c -i n -t n/# -q 1 -R -T n/noise/# -C 2").expect_done();
    assert_eq!(printed, ["n/a", "n/c"]);
    let printed = broker.run("sub -t n/# --retained-only -W 0.3 -v").expect_done();
    assert_eq!(printed, ["n/old old"]);
}

#[test]
fn unsubscribing_ends_what_a_session_gets() {
    let broker = Broker::start();
    leave_session(&broker, "-i u -t u/1 -t u/2 -q 1");
    assert!(broker.run("sub -E -c -i u -U u/1").expect_done().is_empty());
    broker.run("pub -q 1 -t u/1 -m no").expect_done();
    broker.run("pub -q 1 -t u/2 -m yes").expect_done();
    assert_eq!(broker.run("sub -c -i u -t u/2 -q 1 -C 1").expect_done(), ["yes"]);
}

#[test]
fn what_was_not_printed_stays_in_the_session() {
    // More than may be unacknowledged at a time.
    const COUNT: usize = 1_100;
    let broker = Broker::start();
    let session = "-i kept -t k -q 1";
    leave_session(&broker, session);
    let lines: String = (0..COUNT).map(|it| format!("{it}\n")).collect();
    broker.client_with_input("pub -t k -q 1 -l", lines.as_bytes()).wait().expect_done();
    leave_session(&broker, session);
    assert_eq!(broker.run(&format!("sub -c {session} -C 1")).expect_done(), ["0"]);
    let printed = broker.run(&format!("sub -c {session} -C {}", COUNT - 1)).expect_done();
    assert!(printed.iter().eq(lines.lines().skip(1)), "{printed:?}");
}

#[test]
fn a_client_that_is_lost_leaves_its_will() {
    let broker = Broker::start();
    let watcher = broker.client("sub -t will/# -t ready -q 1 -v");
    let mortal =
        broker.client("sub -t mortal -q 1 --will-topic will/1 --will-payload bye --will-qos 1");
    // The message passes only when both have subscribed; each repetition is one more chance.
    let heartbeat = broker.client("pub -t mortal -m alive --repeat 1000 --repeat-delay 0.02");
    assert_eq!(mortal.line(), "alive");
    drop(heartbeat);
    let ready = broker.client("pub -t ready -m now --repeat 1000 --repeat-delay 0.02");
    assert_eq!(watcher.line(), "ready now");
    drop(ready);
    mortal.send("KILL");
    let rest = loop {
        let line = watcher.line();
        if line != "ready now" {
            break line;
        }
    };
    assert_eq!(rest, "will/1 bye");
}

#[test]
fn a_subscriber_that_is_interrupted_ends_well() {
    let broker = Broker::start();
    broker.run("pub -t i -m kept -r").expect_done();
    let subscriber = broker.client("sub -t i");
    assert_eq!(subscriber.line(), "kept");
    subscriber.send("INT");
    assert!(subscriber.wait().expect_done().is_empty());
}

#[test]
fn waiting_in_vain_ends_with_1_if_messages_were_asked_for() {
    let broker = Broker::start();
    broker.run("sub -t silence -W 0.2 -C 1").expect_failure(1, "0 of 1 message");
    assert!(broker.run("sub -t silence -W 0.2").expect_done().is_empty());
}

#[test]
fn a_wrong_topic_ends_with_2_and_nothing_is_sent() {
    let broker = TcpListener::bind("127.0.0.1:0").expect("a free port");
    broker.set_nonblocking(true).expect("a listener can be asked without waiting");
    let port = broker.local_addr().expect("it has an address").port().to_string();
    for (line, complaint) in [
        ("pub -t a/# -m x", "a/#"),
        ("pub -t a/+/b -m x", "a/+/b"),
        ("sub -t a/#/b", "a/#/b"),
        ("sub -t $share/g", "$share/g"),
        ("pub -t a -m x -q 3", "0, 1 or 2"),
        ("pub -t a", "--message"),
        ("pub -t a -f does-not-exist", "does-not-exist"),
        ("pub -t a -m x -V 311 -x 5", "-V 5"),
        ("sub -t a -F %z", "%z"),
        ("pub -t a -m x -D publish no-such thing", "no-such"),
    ] {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["-h", "127.0.0.1", "-p", &port]);
        run(&words).expect_failure(2, complaint);
        let visitor = broker.accept().expect_err("nothing was sent");
        assert_eq!(visitor.kind(), ErrorKind::WouldBlock, "{line}");
    }
}

#[test]
fn no_broker_ends_with_1() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = closed.local_addr().expect("it has an address").port().to_string();
    drop(closed);
    for command in [["pub", "-t", "a", "-m", "x"], ["sub", "-t", "a", "-C", "1"]] {
        let output = run(&[&command[..], &["-h", "127.0.0.1", "-p", &port]].concat());
        output.expect_failure(1, &format!("cannot connect to 127.0.0.1:{port}: "));
        let quiet = run(&[&command[..], &["-h", "127.0.0.1", "-p", &port, "--quiet"]].concat());
        assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(1), ""));
    }
}

#[test]
fn help_and_completions_are_complete() {
    for command in ["broker", "pub", "sub", "completions"] {
        let help = run(&[command, "--help"]).expect_done().join("\n");
        assert!(help.contains("Exit codes:"), "{help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).expect_done().len() > 50, "{shell}");
    }
    run(&["no-such-command"]).expect_failure(2, "no-such-command");
}
