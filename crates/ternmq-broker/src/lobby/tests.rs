//! The lobby with real sockets, and doors behind which a test stands.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use ternmq_proto::packet::Connect;
use ternmq_proto::{Packet, Properties, Version};

use super::greeting::NoMechanisms;
use super::*;
use crate::ring::Bell;
use crate::stream::tcp;

/// A lobby on a thread of its own.
struct House {
    address: SocketAddr,
    shared: Arc<Shared>,
    seats: Arc<Seats>,
    inboxes: Vec<Receiver<Parcel>>,
    thread: JoinHandle<io::Result<()>>,
    _polls: Vec<Poll>,
}

struct Rooms {
    shards: usize,
    inbox_max: usize,
    seats: usize,
    guests_max: usize,
    connect_time: Duration,
}

impl Default for Rooms {
    fn default() -> Rooms {
        let connect_time = Duration::from_secs(60);
        Rooms { shards: 1, inbox_max: 100, seats: 100, guests_max: 100, connect_time }
    }
}

impl House {
    fn open(rooms: Rooms) -> House {
        let listener = tcp::listen("127.0.0.1", 0).expect("listens").remove(0);
        let address = listener.local_addr().expect("an address");
        let seats = Seats::new(rooms.seats);
        let (mut doors, mut inboxes, mut polls) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rooms.shards {
            let poll = Poll::new().expect("a poll");
            let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
            let (sender, inbox) = sync_channel(rooms.inbox_max);
            doors.push(Door::new(sender, Bell::new(waker)));
            inboxes.push(inbox);
            polls.push(poll);
        }
        let lobby = Lobby::new(Plan {
            acceptors: vec![Acceptor::new(listener, true)],
            doors,
            seats: Arc::clone(&seats),
            mechanisms: Arc::new(NoMechanisms),
            guests_max: rooms.guests_max,
            connect_time: rooms.connect_time,
            connect_bytes_max: 1_000,
            clock: Clock::start(),
        })
        .expect("a lobby");
        let shared = lobby.shared();
        let thread = std::thread::spawn(move || lobby.run());
        House { address, shared, seats, inboxes, thread, _polls: polls }
    }

    fn enter(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    fn enter_with(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.enter();
        stream.write_all(bytes).expect("writes");
        stream
    }

    fn shown_in(&self, shard: usize) -> Box<HandOff> {
        match self.inboxes[shard].recv_timeout(PATIENCE).expect("a client comes") {
            Parcel::Client(hand_off) => hand_off,
            _ => panic!("only clients come from the lobby"),
        }
    }

    fn close(self) -> LobbyFigures {
        self.shared.close();
        self.thread.join().expect("no panic").expect("no error");
        self.shared.figures()
    }
}

/// What a broken lobby may cost a test run.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect_bytes(client_id: &str) -> Vec<u8> {
    let connect = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 0,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: Properties::EMPTY,
        bridge: false,
    };
    let mut bytes = Vec::new();
    Packet::Connect(connect).encode(Version::V5, &mut bytes).expect("lawful");
    bytes
}

/// Everything until the end; a reset counts as an end.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("it was not closed"),
        _ => bytes,
    }
}

#[test]
fn clients_are_shown_to_the_shard_of_their_identifier() {
    let house = House::open(Rooms { shards: 3, ..Rooms::default() });
    let mut streams = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let bytes = connect_bytes(name);
        streams.push(house.enter_with(&bytes));
        let shard = shard_of(ternmq_engine::partition_of(name), 3);
        let hand_off = house.shown_in(usize::from(shard.0));
        assert_eq!(hand_off.admission.bytes, bytes);
    }
    assert_eq!(house.close().accepted, 6);
}

#[test]
fn a_client_keeps_its_socket_and_takes_a_seat() {
    let house = House::open(Rooms::default());
    let mut client = house.enter();
    for byte in connect_bytes("slow") {
        client.write_all(&[byte]).expect("writes");
    }
    let mut hand_off = house.shown_in(0);
    assert_eq!(house.seats.taken(), 1);
    let greeting = [&b"hello"[..]];
    assert_eq!(hand_off.stream.write(greeting.into_iter()).expect("writes"), 5);
    drop(hand_off);
    assert_eq!(house.seats.taken(), 0);
    assert_eq!(rest(client), b"hello");
    house.close();
}

#[test]
fn who_does_not_finish_in_time_is_closed() {
    let connect_time = Duration::from_millis(100);
    let house = House::open(Rooms { connect_time, ..Rooms::default() });
    let silent = house.enter();
    let half = house.enter_with(&connect_bytes("half")[..5]);
    assert_eq!(rest(silent), b"");
    assert_eq!(rest(half), b"");
    assert_eq!(house.close().timed_out, 2);
}

#[test]
fn the_refused_are_told_and_closed() {
    let house = House::open(Rooms::default());
    let mut old = connect_bytes("old");
    old[8] = 6;
    assert_eq!(rest(house.enter_with(&old)), b"\x20\x03\x00\x84\x00");
    assert_eq!(rest(house.enter_with(b"GET / HTTP/1.1\r\n\r\n")), b"");
    assert_eq!(house.close().refused, 2);
}

#[test]
fn the_last_words_arrive_although_the_client_is_still_talking() {
    let house = House::open(Rooms::default());
    let mut bytes = connect_bytes("talker");
    bytes[8] = 6;
    bytes.extend_from_slice(&[0; 200_000]);
    let mut client = house.enter();
    // A write may fail when the lobby is done with us; what it said must be there all the same.
    drop(client.write_all(&bytes));
    assert_eq!(rest(client), b"\x20\x03\x00\x84\x00");
    house.close();
}

#[test]
fn a_full_house_turns_clients_away_until_one_leaves() {
    let house = House::open(Rooms { seats: 1, ..Rooms::default() });
    let _first = house.enter_with(&connect_bytes("first"));
    let hand_off = house.shown_in(0);
    let second = house.enter_with(&connect_bytes("second"));
    assert_eq!(rest(second), b"\x20\x03\x00\x89\x00");
    drop(hand_off);
    let _third = house.enter_with(&connect_bytes("third"));
    house.shown_in(0);
    house.close();
}

#[test]
fn too_many_guests_push_out_the_oldest() {
    let house = House::open(Rooms { guests_max: 3, ..Rooms::default() });
    let mut guests: Vec<_> = (0..5).map(|_| house.enter_with(b"\x10")).collect();
    let newest = guests.split_off(2);
    for oldest in guests {
        assert_eq!(rest(oldest), b"");
    }
    let bytes = connect_bytes("patient");
    for mut guest in newest {
        guest.write_all(&bytes[1..]).expect("still open");
        assert_eq!(house.shown_in(0).admission.bytes, bytes);
    }
    assert_eq!(house.close().crowded_out, 2);
}

#[test]
fn clients_wait_for_a_busy_shard_without_being_lost() {
    let house = House::open(Rooms { inbox_max: 1, ..Rooms::default() });
    let _streams: Vec<_> =
        (0..20).map(|n| house.enter_with(&connect_bytes(&n.to_string()))).collect();
    let mut seen: Vec<_> = (0..20).map(|_| house.shown_in(0).admission.bytes).collect();
    let mut wanted: Vec<_> = (0..20).map(|n| connect_bytes(&n.to_string())).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);
    house.close();
}

#[test]
fn closing_ends_the_thread_and_its_guests() {
    let house = House::open(Rooms::default());
    let guest = house.enter_with(b"\x10");
    let address = house.address;
    house.close();
    assert_eq!(rest(guest), b"");
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
