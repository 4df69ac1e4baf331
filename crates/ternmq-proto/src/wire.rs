//! The data types of section 1.5: how numbers, strings and binary data lie in a packet.
//!
//! Reading never copies and never panics; writing trusts its caller, who has checked the lengths
//! (`packet` does so before the first byte goes out).

use alloc::vec::Vec;

use crate::error::{Malformed, Misuse};
use crate::frame::REMAINING_LENGTH_MAX;
use crate::planted::{self, Bug};

/// Takes values off the front of a packet's body.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that has not been read.
    #[inline]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&value, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(value)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        let (value, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*value))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let (value, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*value))
    }

    /// A variable byte integer in its shortest form (MQTT-1.5.5-1).
    #[inline]
    pub(crate) fn variable(&mut self) -> Result<u32, Malformed> {
        let first = self.u8()?;
        if first < 0x80 { Ok(u32::from(first)) } else { self.variable_tail(first) }
    }

    fn variable_tail(&mut self, first: u8) -> Result<u32, Malformed> {
        let mut value = u32::from(first & 0x7F);
        for shift in [7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return if byte == 0 && !planted::is(Bug::AcceptLongVarint) {
                    Err(Malformed::VariableByteInteger)
                } else {
                    Ok(value)
                };
            }
        }
        Err(Malformed::VariableByteInteger)
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Binary data: two bytes of length, then the bytes.
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }

    /// A UTF-8 encoded string without U+0000.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        text(self.binary()?)
    }

    /// Says that the packet has to end here.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        match self.0.len() {
            0 => Ok(()),
            count => Err(Malformed::TrailingBytes { count }),
        }
    }
}

/// Bytes as a string of MQTT: well-formed UTF-8, no U+0000 (MQTT-1.5.4-1, MQTT-1.5.4-2).
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    if has_nul(bytes) && !planted::is(Bug::AcceptNul) {
        return Err(Malformed::NulCharacter);
    }
    match core::str::from_utf8(bytes) {
        Err(_) if planted::is(Bug::AcceptBadUtf8) => Ok("planted"),
        text => text.map_err(|_| Malformed::Utf8),
    }
}

/// The same as [`text`], for who does not need the string: most are ASCII, and one look is enough
/// for those.
#[inline]
pub(crate) fn check_utf8(bytes: &[u8]) -> Result<(), Malformed> {
    // From 1 to 0x7F. As below, no branch per byte.
    let ascii = bytes.iter().fold(true, |all, byte| all & (byte.wrapping_sub(1) < 0x7F));
    if ascii { Ok(()) } else { text(bytes).map(|_| ()) }
}

/// Looks at every byte instead of stopping at the first hit: the compiler makes wide compares of
/// it, and a string without a NUL has to be looked at to its end anyway.
#[inline]
pub(crate) fn has_nul(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | (byte == 0))
}

/// Whether bytes hold a NUL, and whether a wildcard (`+` or `#`). None of them occurs inside a
/// longer UTF-8 sequence, so bytes are enough to look at.
pub(crate) struct Scan {
    pub(crate) nul: bool,
    pub(crate) wildcard: bool,
}

/// One look at the bytes of a topic.
#[inline]
pub(crate) fn scan(bytes: &[u8]) -> Scan {
    let mut nul = false;
    let mut wildcard = false;
    for &byte in bytes {
        nul |= byte == 0;
        wildcard |= (byte == b'+') | (byte == b'#');
    }
    Scan { nul, wildcard }
}

/// How many bytes `value` takes as a variable byte integer.
#[inline]
pub(crate) fn variable_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

#[inline]
pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put_variable(out: &mut Vec<u8>, value: usize) {
    let mut value = value;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_binary(out: &mut Vec<u8>, value: &[u8]) {
    debug_assert!(value.len() <= FIELD_BYTES_MAX, "the caller checks field lengths");
    put_u16(out, value.len() as u16);
    out.extend_from_slice(value);
}

/// Writes the fixed header of a packet whose body will have `body_bytes` bytes, and makes room.
///
/// # Errors
/// [`Misuse::PacketTooLarge`]; nothing is written then.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>, first_byte: u8, body_bytes: usize) -> Result<(), Misuse> {
    if body_bytes > REMAINING_LENGTH_MAX as usize {
        return Err(Misuse::PacketTooLarge { bytes: body_bytes });
    }
    out.reserve(5 + body_bytes);
    out.push(first_byte);
    put_variable(out, body_bytes);
    Ok(())
}

/// A field of text or binary data that is about to be written.
pub(crate) fn check_field(field: &'static str, bytes: &[u8]) -> Result<(), Misuse> {
    if bytes.len() > FIELD_BYTES_MAX {
        return Err(Misuse::FieldTooLong { field, bytes: bytes.len() });
    }
    Ok(())
}

/// A string that is about to be written; that it is UTF-8 its type says.
pub(crate) fn check_text(field: &'static str, value: &str) -> Result<(), Misuse> {
    check_field(field, value.as_bytes())?;
    if has_nul(value.as_bytes()) {
        return Err(Malformed::NulCharacter.into());
    }
    Ok(())
}

/// The longest string or binary data: its length has two bytes.
pub(crate) const FIELD_BYTES_MAX: usize = 65_535;
