//! What a broker sends, taken apart without mercy: reserved bits, property tables, reason code
//! tables, strings, lengths. Each rule that a packet breaks is an error in words.

use super::property::{Kind, Prop, Props, Value, id, kind, text_fault};
use super::write::{Ack, Publish};
use crate::version::Version;

/// A packet that a broker may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    ConnAck { session_present: bool, code: u8, props: Props },
    Publish(Publish),
    Ack { kind: Ack, packet_id: u16, code: u8, props: Props },
    SubAck { packet_id: u16, codes: Vec<u8>, props: Props },
    UnsubAck { packet_id: u16, codes: Vec<u8>, props: Props },
    PingResp,
    Disconnect { code: u8, props: Props },
    Auth { code: u8, props: Props },
}

/// The first whole frame of a buffer: the first byte, where its body lies, and where it ends.
pub(crate) fn frame(buffer: &[u8]) -> Result<Option<(u8, std::ops::Range<usize>)>, String> {
    let Some(first) = buffer.first() else { return Ok(None) };
    let mut length = 0usize;
    for at in 0..4 {
        let Some(byte) = buffer.get(1 + at) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            if at > 0 && *byte == 0 {
                return Err("a remaining length in more bytes than it needs".into());
            }
            let start = 2 + at;
            let end = start + length;
            return Ok((buffer.len() >= end).then_some((*first, start..end)));
        }
    }
    Err("a remaining length of more than four bytes".into())
}

/// Takes one packet apart.
pub(crate) fn parse(version: Version, first: u8, body: &[u8]) -> Result<Packet, String> {
    let mut rest = Reader { bytes: body };
    let packet = match first >> 4 {
        3 => publish(version, first & 0x0F, &mut rest)?,
        kind => {
            // MQTT 3.1 lets a sender mark a repeated PUBREL with DUP; later versions do not.
            let dup_pubrel = version == Version::V31 && first == 0x6A;
            let reserved = if kind == 6 { 2 } else { 0 };
            if first & 0x0F != reserved && !dup_pubrel {
                return Err(format!("reserved flags in first byte {first:#04x}"));
            }
            not_a_publish(version, kind, &mut rest)?
        }
    };
    if rest.bytes.is_empty() {
        Ok(packet)
    } else {
        Err(format!("{} bytes after the end of {packet:?}", rest.bytes.len()))
    }
}

fn not_a_publish(version: Version, kind: u8, rest: &mut Reader<'_>) -> Result<Packet, String> {
    match kind {
        2 => connack(version, rest),
        4 => acknowledgement(version, Ack::PubAck, rest),
        5 => acknowledgement(version, Ack::PubRec, rest),
        6 => acknowledgement(version, Ack::PubRel, rest),
        7 => acknowledgement(version, Ack::PubComp, rest),
        9 => {
            let packet_id = packet_id(rest)?;
            let props = props(version, rest, &[id::REASON_STRING, id::USER_PROPERTY])?;
            let codes = rest.take_all();
            in_table("SUBACK", &codes, suback_codes(version))?;
            Ok(Packet::SubAck { packet_id, codes, props })
        }
        11 => {
            let packet_id = packet_id(rest)?;
            let props = props(version, rest, &[id::REASON_STRING, id::USER_PROPERTY])?;
            let codes = if version.is_v5() { rest.take_all() } else { Vec::new() };
            in_table("UNSUBACK", &codes, UNSUBACK_CODES)?;
            Ok(Packet::UnsubAck { packet_id, codes, props })
        }
        13 => Ok(Packet::PingResp),
        14 if version.is_v5() => {
            let (code, props) = code_and_props(version, rest, DISCONNECT_PROPS)?;
            in_table("DISCONNECT", &[code], DISCONNECT_CODES)?;
            Ok(Packet::Disconnect { code, props })
        }
        15 if version.is_v5() => {
            let (code, props) = code_and_props(version, rest, AUTH_PROPS)?;
            in_table("AUTH", &[code], &[0x00, 0x18])?;
            Ok(Packet::Auth { code, props })
        }
        _ => Err(format!("packet type {kind}, which a broker never sends in MQTT {version}")),
    }
}

fn connack(version: Version, rest: &mut Reader<'_>) -> Result<Packet, String> {
    let flags = rest.byte()?;
    let code = rest.byte()?;
    let props = props(version, rest, CONNACK_PROPS)?;
    if flags & 0xFE != 0 {
        return Err(format!("CONNACK flags {flags:#04x}"));
    }
    let codes = if version.is_v5() { CONNACK_CODES } else { &[0, 1, 2, 3, 4, 5] };
    in_table("CONNACK", &[code], codes)?;
    Ok(Packet::ConnAck { session_present: flags == 1, code, props })
}

fn publish(version: Version, flags: u8, rest: &mut Reader<'_>) -> Result<Packet, String> {
    let (dup, qos, retain) = (flags & 8 != 0, (flags >> 1) & 3, flags & 1 != 0);
    if qos == 3 {
        return Err("PUBLISH with QoS 3".into());
    }
    if qos == 0 && dup {
        return Err("PUBLISH with QoS 0 and DUP 1".into());
    }
    let topic = rest.text("topic name")?;
    let packet_id = if qos > 0 { packet_id(rest)? } else { 0 };
    let props = props(version, rest, PUBLISH_PROPS)?;
    if topic.iter().any(|byte| matches!(byte, b'#' | b'+')) {
        return Err("PUBLISH with a wildcard in its topic name".into());
    }
    if topic.is_empty() && !props.has(id::TOPIC_ALIAS) {
        return Err("PUBLISH with neither a topic name nor a topic alias".into());
    }
    let payload = rest.take_all();
    Ok(Packet::Publish(Publish { topic, payload, qos, dup, retain, packet_id, props }))
}

fn acknowledgement(version: Version, kind: Ack, rest: &mut Reader<'_>) -> Result<Packet, String> {
    let packet_id = packet_id(rest)?;
    let (code, props) = if version.is_v5() {
        code_and_props(version, rest, &[id::REASON_STRING, id::USER_PROPERTY])?
    } else {
        (0, Props::default())
    };
    let table = match kind {
        Ack::PubAck | Ack::PubRec => PUBACK_CODES,
        Ack::PubRel | Ack::PubComp => &[0x00, 0x92],
    };
    in_table("acknowledgement", &[code], table)?;
    Ok(Packet::Ack { kind, packet_id, code, props })
}

/// A reason code and properties, both of which may be left out at the end of a packet.
fn code_and_props(
    version: Version,
    rest: &mut Reader<'_>,
    allowed: &[u8],
) -> Result<(u8, Props), String> {
    if rest.bytes.is_empty() {
        return Ok((0, Props::default()));
    }
    let code = rest.byte()?;
    if rest.bytes.is_empty() {
        return Ok((code, Props::default()));
    }
    Ok((code, props(version, rest, allowed)?))
}

fn packet_id(rest: &mut Reader<'_>) -> Result<u16, String> {
    match rest.two()? {
        0 => Err("packet identifier 0".into()),
        packet_id => Ok(packet_id),
    }
}

fn props(version: Version, rest: &mut Reader<'_>, allowed: &[u8]) -> Result<Props, String> {
    if !version.is_v5() {
        return Ok(Props::default());
    }
    let length = rest.variable()?;
    let mut inside = Reader { bytes: rest.take(length)? };
    let mut found = Props::default();
    while !inside.bytes.is_empty() {
        let name = inside.variable()?;
        let name = u8::try_from(name).map_err(|_| format!("property {name:#x}"))?;
        if !allowed.contains(&name) {
            return Err(format!("property {name:#04x}, which this packet may not carry"));
        }
        let repeatable = name == id::USER_PROPERTY || name == id::SUBSCRIPTION_IDENTIFIER;
        if found.has(name) && !repeatable {
            return Err(format!("property {name:#04x} twice"));
        }
        found.0.push(Prop { id: name, value: value(name, &mut inside)? });
    }
    Ok(found)
}

fn value(name: u8, rest: &mut Reader<'_>) -> Result<Value, String> {
    let kind = kind(name).ok_or_else(|| format!("unknown property {name:#04x}"))?;
    let value = match kind {
        Kind::Flag => Value::Byte(rest.byte()?),
        Kind::Two | Kind::TwoNotZero => Value::Two(rest.two()?),
        Kind::Four | Kind::FourNotZero => Value::Four(rest.four()?),
        Kind::VariableNotZero => {
            let value = rest.variable()?;
            Value::Variable(u32::try_from(value).expect("four groups of seven bits"))
        }
        Kind::Binary => Value::Bytes(rest.binary()?.to_vec()),
        Kind::Text => Value::Bytes(rest.text("property")?),
        Kind::Pair => Value::Pair(rest.text("user property")?, rest.text("user property")?),
    };
    let out_of_range = match (&value, kind) {
        (Value::Byte(value), Kind::Flag) => *value > 1,
        (Value::Two(value), Kind::TwoNotZero) => *value == 0,
        (Value::Four(value), Kind::FourNotZero) => *value == 0,
        (Value::Variable(value), _) => *value == 0,
        _ => false,
    };
    if out_of_range {
        return Err(format!("property {name:#04x} with the value {value:?}"));
    }
    Ok(value)
}

fn in_table(packet: &str, codes: &[u8], table: &[u8]) -> Result<(), String> {
    match codes.iter().find(|code| !table.contains(code)) {
        Some(code) => Err(format!("{packet} with code {code:#04x}, which its table does not have")),
        None => Ok(()),
    }
}

/// What is left of a body.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        if length > self.bytes.len() {
            return Err(format!("{length} bytes wanted, {} left in the packet", self.bytes.len()));
        }
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(taken)
    }

    fn take_all(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes).to_vec()
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn two(&mut self) -> Result<u16, String> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn four(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn variable(&mut self) -> Result<usize, String> {
        let mut value = 0usize;
        for at in 0..4 {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                if at > 0 && byte == 0 {
                    return Err("a variable byte integer in more bytes than it needs".into());
                }
                return Ok(value);
            }
        }
        Err("a variable byte integer of more than four bytes".into())
    }

    fn binary(&mut self) -> Result<&'a [u8], String> {
        let length = self.two()?;
        self.take(usize::from(length))
    }

    fn text(&mut self, what: &str) -> Result<Vec<u8>, String> {
        let bytes = self.binary()?;
        match text_fault(bytes) {
            Some(fault) => Err(format!("{what}: {fault}")),
            None => Ok(bytes.to_vec()),
        }
    }
}

fn suback_codes(version: Version) -> &'static [u8] {
    match version {
        Version::V31 => &[0, 1, 2],
        Version::V311 => &[0, 1, 2, 0x80],
        Version::V50 => {
            &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2] //
        }
    }
}

const CONNACK_CODES: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
    0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
];
const PUBACK_CODES: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const UNSUBACK_CODES: &[u8] = &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
/// Without 0x04, which only a client may send; 0x8C is in the summary table of section 2.4.
const DISCONNECT_CODES: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95,
    0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];
const CONNACK_PROPS: &[u8] = &[
    id::SESSION_EXPIRY_INTERVAL,
    id::ASSIGNED_CLIENT_IDENTIFIER,
    id::SERVER_KEEP_ALIVE,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
    id::RESPONSE_INFORMATION,
    id::SERVER_REFERENCE,
    id::REASON_STRING,
    id::RECEIVE_MAXIMUM,
    id::TOPIC_ALIAS_MAXIMUM,
    id::MAXIMUM_QOS,
    id::RETAIN_AVAILABLE,
    id::USER_PROPERTY,
    id::MAXIMUM_PACKET_SIZE,
    id::WILDCARD_AVAILABLE,
    id::SUBSCRIPTION_IDENTIFIER_AVAILABLE,
    id::SHARED_AVAILABLE,
];
const PUBLISH_PROPS: &[u8] = &[
    id::PAYLOAD_FORMAT_INDICATOR,
    id::MESSAGE_EXPIRY_INTERVAL,
    id::TOPIC_ALIAS,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
    id::SUBSCRIPTION_IDENTIFIER,
    id::CONTENT_TYPE,
];
/// Session Expiry Interval is missing: only a client may put it into a DISCONNECT.
const DISCONNECT_PROPS: &[u8] = &[id::REASON_STRING, id::USER_PROPERTY, id::SERVER_REFERENCE];
const AUTH_PROPS: &[u8] =
    &[id::AUTHENTICATION_METHOD, id::AUTHENTICATION_DATA, id::REASON_STRING, id::USER_PROPERTY];

#[cfg(test)]
mod tests {
    use super::{Packet, frame, parse};
    use crate::version::Version;

    fn read(version: Version, bytes: &[u8]) -> Result<Packet, String> {
        let (first, body) = frame(bytes)?.ok_or("not a whole packet")?;
        assert_eq!(body.end, bytes.len(), "one packet at a time");
        parse(version, first, &bytes[body])
    }

    #[test]
    fn what_a_broker_may_send_is_read() {
        let good: &[(Version, &[u8])] = &[
            (Version::V31, &[0x20, 2, 0, 0]),
            (Version::V311, &[0x20, 2, 1, 0]),
            (Version::V50, &[0x20, 8, 0, 0, 5, 0x27, 0, 0, 1, 0]),
            (Version::V311, &[0x30, 4, 0, 1, b'a', b'x']),
            (Version::V50, &[0x3D, 9, 0, 1, b'a', 0, 7, 2, 0x01, 1, b'x']),
            (Version::V311, &[0x62, 2, 0, 7]),
            (Version::V31, &[0x6A, 2, 0, 7]),
            (Version::V50, &[0x40, 3, 0, 7, 0x10]),
            (Version::V311, &[0x90, 4, 0, 7, 0x80, 2]),
            (Version::V50, &[0xB0, 5, 0, 7, 0, 0, 0x11]),
            (Version::V50, &[0xE0, 2, 0x8E, 0]),
            (Version::V311, &[0xD0, 0]),
        ];
        for (version, bytes) in good {
            assert!(read(*version, bytes).is_ok(), "{version}: {bytes:02x?}");
        }
    }

    #[test]
    fn what_a_broker_may_not_send_is_a_fault() {
        let bad: &[(Version, &[u8], &str)] = &[
            (Version::V311, &[0x20, 2, 2, 0], "CONNACK flags"),
            (Version::V311, &[0x20, 2, 0, 6], "CONNACK with code"),
            (Version::V50, &[0x20, 3, 0, 1, 0], "CONNACK with code"),
            (Version::V50, &[0x20, 2, 0, 0], "bytes wanted"),
            (Version::V50, &[0x20, 5, 0, 0, 2, 0x24, 2], "with the value"),
            (Version::V50, &[0x20, 6, 0, 0, 3, 0x21, 0, 0], "with the value"),
            (Version::V50, &[0x20, 7, 0, 0, 4, 0x24, 1, 0x24, 1], "twice"),
            (Version::V50, &[0x20, 5, 0, 0, 2, 0x01, 1], "may not carry"),
            (Version::V311, &[0x36, 5, 0, 1, b'a', 0, 1], "QoS 3"),
            (Version::V311, &[0x38, 3, 0, 1, b'a'], "DUP 1"),
            (Version::V311, &[0x32, 5, 0, 1, b'a', 0, 0], "identifier 0"),
            (Version::V311, &[0x30, 3, 0, 1, b'#'], "wildcard"),
            (Version::V311, &[0x30, 3, 0, 1, 0], "U+0000"),
            (Version::V311, &[0x30, 5, 0, 3, 0xED, 0xA0, 0x80], "UTF-8"),
            (Version::V311, &[0x30, 3, 0, 2, b'a'], "bytes wanted"),
            (Version::V50, &[0x30, 3, 0, 0, 0], "neither a topic name"),
            (Version::V311, &[0x60, 2, 0, 7], "reserved flags"),
            (Version::V311, &[0x6A, 2, 0, 7], "reserved flags"),
            (Version::V311, &[0x41, 2, 0, 7], "reserved flags"),
            (Version::V311, &[0x40, 3, 0, 7, 0], "after the end"),
            (Version::V50, &[0x40, 3, 0, 7, 0x92], "table"),
            (Version::V50, &[0x62, 3, 0, 7, 0x10], "table"),
            (Version::V31, &[0x90, 3, 0, 7, 0x80], "table"),
            (Version::V311, &[0x90, 3, 0, 7, 3], "table"),
            (Version::V50, &[0xE0, 1, 0x04], "table"),
            (Version::V50, &[0xE0, 7, 0x8E, 5, 0x11, 0, 0, 0, 1], "may not carry"),
            (Version::V311, &[0xE0, 0], "never sends"),
            (Version::V311, &[0xC0, 0], "never sends"),
            (Version::V311, &[0xD0, 1, 0], "after the end"),
            (Version::V50, &[0xD0, 0x80, 0], "more bytes than it needs"),
            (Version::V50, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], "more than four bytes"),
        ];
        for (version, bytes, reason) in bad {
            let fault = read(*version, bytes).expect_err(&format!("{version}: {bytes:02x?}"));
            assert!(fault.contains(reason), "{version}: {bytes:02x?}: {fault}, not {reason}");
        }
    }
}
