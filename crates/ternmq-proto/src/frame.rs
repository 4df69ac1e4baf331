//! The fixed header: where one packet ends and the next begins.
//!
//! A frame is a packet whose length is known and whose inside has not been looked at. Nothing is
//! copied and nothing is kept: the caller owns the buffer and says what is in it.
//!
//! # Limits
//! A packet has at most [`PACKET_BYTES_MAX`] bytes; the caller's own limit is refused as soon as
//! the length is known, before the packet has arrived.

use core::fmt;

use crate::error::{Error, Malformed, Violation};
use crate::planted::{self, Bug};

/// A whole packet, split into its first byte and what follows the remaining length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Packet type (upper four bits) and flags (lower four).
    pub first_byte: u8,
    /// Variable header and payload.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// The packet type that the first byte names.
    ///
    /// # Errors
    /// [`Malformed::PacketType`] for the reserved type 0.
    #[inline]
    pub fn kind(&self) -> Result<PacketKind, Malformed> {
        PacketKind::from_bits(self.first_byte >> 4)
            .ok_or(Malformed::PacketType { first_byte: self.first_byte })
    }

    /// The four flag bits of the first byte.
    #[inline]
    pub fn flags(&self) -> u8 {
        self.first_byte & 0x0F
    }
}

/// Splits the first whole packet off `bytes`; `Ok(None)` when more bytes are needed.
///
/// On success, the number is the length of the packet with its fixed header.
///
/// # Errors
/// A packet type of 0, a remaining length that is not in its shortest form or longer than four
/// bytes, and a packet whose length, header included, is over `packet_bytes_max`.
#[inline]
pub fn split(bytes: &[u8], packet_bytes_max: u32) -> Result<Option<(usize, Frame<'_>)>, Error> {
    let Some((&first_byte, rest)) = bytes.split_first() else { return Ok(None) };
    if first_byte < 0x10 {
        return Err(Malformed::PacketType { first_byte }.into());
    }
    // Most packets are shorter than 128 bytes: one length byte, no loop.
    let (remaining, length_bytes) = match rest.first() {
        None => return Ok(None),
        Some(&byte) if byte < 0x80 => (u32::from(byte), 1),
        Some(_) => match remaining_length(rest)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    let header_bytes = 1 + length_bytes;
    let total = header_bytes as u32 + remaining;
    if total > packet_bytes_max {
        return Err(Violation::TooLarge { bytes: total, max: packet_bytes_max }.into());
    }
    let total = total as usize;
    match bytes.get(header_bytes..total) {
        Some(body) => Ok(Some((total, Frame { first_byte, body }))),
        None => Ok(None),
    }
}

/// Reads a remaining length of more than one byte: the value and how many bytes it took.
fn remaining_length(bytes: &[u8]) -> Result<Option<(u32, usize)>, Malformed> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            let shortest = byte != 0 || planted::is(Bug::AcceptLongVarint);
            return if shortest {
                Ok(Some((value, at + 1)))
            } else {
                Err(Malformed::VariableByteInteger)
            };
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed::VariableByteInteger) }
}

/// The packet types of MQTT; the numbers are those on the wire.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum PacketKind {
    /// Client asks to connect.
    Connect = 1,
    /// Answer to CONNECT.
    Connack = 2,
    /// A message.
    Publish = 3,
    /// QoS 1 acknowledgement.
    Puback = 4,
    /// QoS 2, first answer: the message is received.
    Pubrec = 5,
    /// QoS 2, second step of the sender: the identifier is released.
    Pubrel = 6,
    /// QoS 2, last answer: complete.
    Pubcomp = 7,
    /// Client subscribes.
    Subscribe = 8,
    /// Answer to SUBSCRIBE.
    Suback = 9,
    /// Client unsubscribes.
    Unsubscribe = 10,
    /// Answer to UNSUBSCRIBE.
    Unsuback = 11,
    /// Client asks for a sign of life.
    Pingreq = 12,
    /// Answer to PINGREQ.
    Pingresp = 13,
    /// Last packet of a connection.
    Disconnect = 14,
    /// Extended authentication (MQTT 5.0).
    Auth = 15,
}

impl PacketKind {
    /// All packet types, in the order of their numbers.
    pub const ALL: [PacketKind; 15] = [
        PacketKind::Connect,
        PacketKind::Connack,
        PacketKind::Publish,
        PacketKind::Puback,
        PacketKind::Pubrec,
        PacketKind::Pubrel,
        PacketKind::Pubcomp,
        PacketKind::Subscribe,
        PacketKind::Suback,
        PacketKind::Unsubscribe,
        PacketKind::Unsuback,
        PacketKind::Pingreq,
        PacketKind::Pingresp,
        PacketKind::Disconnect,
        PacketKind::Auth,
    ];

    /// The type that four bits stand for; `None` for 0 and for values over 15.
    #[inline]
    pub fn from_bits(bits: u8) -> Option<PacketKind> {
        PacketKind::ALL.get(usize::from(bits).wrapping_sub(1)).copied()
    }

    /// The flags that packets of this type must carry (MQTT-2.1.3-1); PUBLISH chooses its own.
    pub(crate) fn required_flags(self) -> u8 {
        match self {
            PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// The first byte of packets of this type, PUBLISH excepted.
    pub(crate) fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.required_flags()
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PacketKind::Connect => "CONNECT",
            PacketKind::Connack => "CONNACK",
            PacketKind::Publish => "PUBLISH",
            PacketKind::Puback => "PUBACK",
            PacketKind::Pubrec => "PUBREC",
            PacketKind::Pubrel => "PUBREL",
            PacketKind::Pubcomp => "PUBCOMP",
            PacketKind::Subscribe => "SUBSCRIBE",
            PacketKind::Suback => "SUBACK",
            PacketKind::Unsubscribe => "UNSUBSCRIBE",
            PacketKind::Unsuback => "UNSUBACK",
            PacketKind::Pingreq => "PINGREQ",
            PacketKind::Pingresp => "PINGRESP",
            PacketKind::Disconnect => "DISCONNECT",
            PacketKind::Auth => "AUTH",
        })
    }
}

/// The largest remaining length that four bytes can say.
pub const REMAINING_LENGTH_MAX: u32 = 268_435_455;

/// The largest packet that MQTT can carry, fixed header included, in bytes.
pub const PACKET_BYTES_MAX: u32 = 1 + 4 + REMAINING_LENGTH_MAX;
