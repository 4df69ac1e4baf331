//! Any bytes in any pieces as a stream of packets: where the network cuts changes nothing, no
//! length on the wire makes the reader wait for more than its limit, and every frame is a packet or
//! a violation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ternmq_fuzz::{check_decoded, version};
use ternmq_proto::{Error, frame};

const PACKET_BYTES_MAX: u32 = 4_096;

type Packets = (Vec<Vec<u8>>, Option<Error>);

fuzz_target!(|input: (Vec<u8>, u8, &[u8])| {
    let (cuts, version_byte, bytes) = input;
    let whole = read([bytes]);
    assert_eq!(read(pieces(bytes, &cuts)), whole);
    for packet in whole.0 {
        let (length, frame) =
            frame::split(&packet, PACKET_BYTES_MAX).expect("as before").expect("as before");
        assert!(length == packet.len() && frame.body.len() < length);
        check_decoded(version(version_byte), frame);
    }
});

/// Reads a stream that arrives in `pieces`, as a connection does.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Packets {
    let mut buffer = Vec::new();
    let mut packets = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame::split(&buffer, PACKET_BYTES_MAX) {
                Ok(Some((length, _))) => packets.push(buffer.drain(..length).collect()),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
        assert!(buffer.len() <= PACKET_BYTES_MAX as usize, "waits for more than it may");
    }
    (packets, None)
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, left) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = left;
    }
    pieces.push(rest);
    pieces
}
