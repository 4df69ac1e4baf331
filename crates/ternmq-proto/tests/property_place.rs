//! Table 2-4 of the standard as a matrix: every property in every packet, allowed or malformed.

use ternmq_proto::error::{Malformed, Violation};
use ternmq_proto::frame::Frame;
use ternmq_proto::{Error, Packet, Version};

/// The columns: CONNECT, will, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK,
/// UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH.
const COLUMNS: usize = 14;

/// Identifier, a valid value, and where it may stand.
const MATRIX: [(u8, &[u8], &str); 27] = [
    (0x01, &[1], "-x-x----------"),
    (0x02, &[0, 0, 0, 9], "-x-x----------"),
    (0x03, &[0, 1, b'c'], "-x-x----------"),
    (0x08, &[0, 1, b'r'], "-x-x----------"),
    (0x09, &[0, 1, 0xFF], "-x-x----------"),
    (0x0B, &[1], "---x----x-----"),
    (0x11, &[0, 0, 0, 9], "x-x---------x-"),
    (0x12, &[0, 1, b'i'], "--x-----------"),
    (0x13, &[0, 9], "--x-----------"),
    (0x15, &[0, 1, b'm'], "x-x----------x"),
    (0x16, &[0, 1, b'd'], "x-x----------x"),
    (0x17, &[1], "x-------------"),
    (0x18, &[0, 0, 0, 9], "-x------------"),
    (0x19, &[1], "x-------------"),
    (0x1A, &[0, 1, b'i'], "--x-----------"),
    (0x1C, &[0, 1, b's'], "--x---------x-"),
    (0x1F, &[0, 1, b'w'], "--x-xxxx-x-xxx"),
    (0x21, &[0, 9], "x-x-----------"),
    (0x22, &[0, 9], "x-x-----------"),
    (0x23, &[0, 9], "---x----------"),
    (0x24, &[1], "--x-----------"),
    (0x25, &[1], "--x-----------"),
    (0x26, &[0, 1, b'k', 0, 1, b'v'], "xxxxxxxxxxxxxx"),
    (0x27, &[0, 0, 0, 9], "x-x-----------"),
    (0x28, &[1], "--x-----------"),
    (0x29, &[1], "--x-----------"),
    (0x2A, &[1], "--x-----------"),
];

#[test]
fn a_property_stands_where_the_standard_lets_it() {
    for (id, value, places) in MATRIX {
        assert_eq!(places.len(), COLUMNS);
        for (column, place) in places.bytes().enumerate() {
            let section = section(column, id, value);
            let (first_byte, body) = packet(column, &section);
            let got = Packet::decode(Version::V5, Frame { first_byte, body: &body });
            if place == b'x' {
                assert!(got.is_ok(), "0x{id:02X} in column {column}: {got:?}");
            } else {
                let malformed = Malformed::PropertyNotAllowed(id);
                let error = Error::PeerMisbehaved(Violation::Malformed(malformed));
                assert_eq!(got, Err(error), "0x{id:02X} in column {column}");
            }
        }
    }
}

#[test]
fn a_property_stands_once_unless_the_standard_says_otherwise() {
    for (id, value, places) in MATRIX {
        for (column, _) in places.bytes().enumerate().filter(|(_, place)| *place == b'x') {
            let mut section = section(column, id, value);
            section.push(id);
            section.extend(value);
            let (first_byte, body) = packet(column, &section);
            let got = Packet::decode(Version::V5, Frame { first_byte, body: &body });
            let often = id == 0x26 || (id == 0x0B && first_byte == 0x30);
            assert_eq!(got.is_ok(), often, "0x{id:02X} in column {column}: {got:?}");
        }
    }
}

/// A section with the property, and with the authentication method where that has to be.
fn section(column: usize, id: u8, value: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    let needs_method = column == 13 || id == 0x16;
    if needs_method && id != 0x15 && matches!(column, 0 | 2 | 13) {
        section.extend([0x15, 0, 1, b'm']);
    }
    section.push(id);
    section.extend(value);
    section
}

/// A packet with this section: its first byte and its body.
fn packet(column: usize, section: &[u8]) -> (u8, Vec<u8>) {
    let (first_byte, before, after): (u8, &[u8], &[u8]) = match column {
        0 => (0x10, b"\0\x04MQTT\x05\x02\0\0", b"\0\0"),
        1 => (0x10, b"\0\x04MQTT\x05\x06\0\0\0\0\0", b"\0\x01w\0\0"),
        2 => (0x20, b"\0\0", b""),
        3 => (0x30, b"\0\x01t", b"payload"),
        4 => (0x40, b"\0\x01\0", b""),
        5 => (0x50, b"\0\x01\0", b""),
        6 => (0x62, b"\0\x01\0", b""),
        7 => (0x70, b"\0\x01\0", b""),
        8 => (0x82, b"\0\x01", b"\0\x01f\0"),
        9 => (0x90, b"\0\x01", b"\0"),
        10 => (0xA2, b"\0\x01", b"\0\x01f"),
        11 => (0xB0, b"\0\x01", b"\0"),
        12 => (0xE0, b"\0", b""),
        _ => (0xF0, b"\x18", b""),
    };
    (first_byte, [before, &[section.len() as u8], section, after].concat())
}
