//! Any bytes in any pieces as a stream of packets: where the network cuts changes nothing, and no
//! length on the wire makes the reader wait for more than its limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ternmq_proto::{Error, frame};

const PACKET_BYTES_MAX: u32 = 4_096;

type Packets = (Vec<(u8, Vec<u8>)>, Option<Error>);

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, bytes) = input;
    let whole = read([bytes]);
    assert_eq!(read(pieces(bytes, &cuts)), whole);
});

/// Reads a stream that arrives in `pieces`, as a connection does.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Packets {
    let mut buffer = Vec::new();
    let mut packets = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame::split(&buffer, PACKET_BYTES_MAX) {
                Ok(Some((length, frame))) => {
                    packets.push((frame.first_byte, frame.body.to_vec()));
                    buffer.drain(..length);
                }
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
