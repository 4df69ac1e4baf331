//! Three brokers that are none, to see that every case can fail: one that says nothing, one that
//! refuses everybody, and one that says yes to everything and delivers nothing.

use crate::codec::{frame, packet};
use crate::{Options, Outcome, Version, run, run_case};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

#[test]
fn no_case_passes_with_a_mute_broker() {
    assert_eq!(passed_with(|stream| while_open(stream, |_, _| Vec::new())), BTreeSet::new());
}

#[test]
fn no_case_passes_with_a_broker_that_refuses_and_with_one_that_agrees() {
    let with_refusal = passed_with(drop);
    let with_consent = passed_with(|stream| while_open(stream, consent));
    let both: Vec<_> = with_refusal.intersection(&with_consent).collect();
    assert!(both.is_empty(), "these cases pass whatever a broker does: {both:#?}");
    assert!(!with_refusal.is_empty() && !with_consent.is_empty(), "the shams are brokers at all");
}

#[test]
fn one_case_can_be_run_by_its_name() {
    let address = sham(|stream| while_open(stream, consent));
    let patience = Duration::from_millis(300);
    let one = |name, version| run_case(address, name, version, patience).map(|it| it.outcome);
    assert_eq!(one("keep_alive::ping_is_answered", Version::V50), Some(Outcome::Passed));
    let failed = one("publish::qos_0_byte_by_byte", Version::V311);
    assert!(matches!(failed, Some(Outcome::Failed { .. })), "{failed:?}");
    assert_eq!(one("keep_alive::ping", Version::V50), None);
    assert_eq!(one("alias::zero", Version::V311), None);
}

/// The cases that pass with a broker whose connections are handled like this.
fn passed_with(handle: impl Fn(TcpStream) + Copy + Send + 'static) -> BTreeSet<String> {
    let address = sham(handle);
    let patience = Duration::from_millis(300);
    let options = Options { patience, parallel: 48, ..Options::default() };
    let report = run(address, &options);
    assert!(report.results.len() > 400, "all cases ran");
    let passed = report.results.iter().filter(|result| result.outcome == Outcome::Passed);
    passed.map(|result| format!("{} ({})", result.name, result.version)).collect()
}

/// Listens, and handles each connection on a thread of its own.
fn sham(handle: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("the address of a listener");
    // The listener lives as long as the test program; its connections end with their clients.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// Answers each packet until the client closes.
fn while_open(mut stream: TcpStream, mut answer: impl FnMut(&mut bool, &[u8]) -> Vec<u8>) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4_096];
    let mut v5 = false;
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        buffer.extend(&chunk[..length]);
        while let Ok(Some((_, body))) = frame(&buffer) {
            let whole: Vec<u8> = buffer.drain(..body.end).collect();
            let said = answer(&mut v5, &whole);
            if stream.write_all(&said).is_err() {
                return;
            }
        }
    }
}

/// What a broker says that agrees to everything.
fn consent(v5: &mut bool, whole: &[u8]) -> Vec<u8> {
    let Ok(Some((first, body))) = frame(whole) else { return Vec::new() };
    let body = &whole[body];
    let id = body.get(..2).unwrap_or(&[0, 1]);
    let props: &[u8] = if *v5 { &[0] } else { &[] };
    match first >> 4 {
        1 => {
            *v5 = body.get(6) == Some(&5);
            packet(0x20, if *v5 { &[0, 0, 0] } else { &[0, 0] })
        }
        3 => {
            let topic = body.get(..2).map_or(0, |length| usize::from(length[1]) + 2);
            let id = body.get(topic..topic + 2).unwrap_or(&[0, 1]);
            match first & 6 {
                2 => packet(0x40, id),
                4 => packet(0x50, id),
                _ => Vec::new(),
            }
        }
        5 => packet(0x62, id),
        6 => packet(0x70, id),
        8 => packet(0x90, &[id, props, &[*body.last().unwrap_or(&0) & 3]].concat()),
        10 => packet(0xB0, &[id, props, props].concat()),
        12 => packet(0xD0, &[]),
        _ => Vec::new(),
    }
}
