//! What happens when the process has no file descriptor left. In a program of its own, because
//! the limit is the process's.

mod harness;

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;

use harness::{Client, start_with, stop};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ternmq_broker::Config;

#[test]
#[ignore = "waits for ever when an odd number of descriptors is inherited; run it alone"]
fn without_descriptors_newcomers_are_sent_away_and_clients_are_served() {
    let mut config = Config::for_tests();
    config.limit.connections = 100;
    let (broker, address) = start_with(config);
    let mut client = Client::connect(address, "here already");
    let spare = File::open("/dev/null").expect("a descriptor for later");
    let highest = std::fs::read_dir("/proc/self/fd").expect("Linux says").count() as u64;
    let limit = Rlimit { current: Some(highest + 10), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("a lower limit is always allowed");

    let mut streams: Vec<TcpStream> = Vec::new();
    while let Ok(stream) = TcpStream::connect(address) {
        streams.push(stream);
        // Whatever happens to the newcomers, the client is served.
        client.ping();
    }
    // The last descriptor is this side's, so the broker has none for the other.
    drop(spare);
    streams.push(TcpStream::connect(address).expect("the system has room"));
    while broker.stats().lobby.crowded_out == 0 {
        client.ping();
    }
    // Some newcomer was closed rather than left waiting.
    let mut closed = 0;
    for stream in &mut streams {
        stream.set_nonblocking(true).expect("a socket option");
        closed += usize::from(matches!(stream.read(&mut [0; 1]), Ok(0)));
    }
    assert!(closed > 0);
    drop(streams);
    client.ping();
    Client::connect(address, "afterwards").ping();
    stop(broker);
}
