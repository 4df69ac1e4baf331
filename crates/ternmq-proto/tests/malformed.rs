//! The corpus of packets that must be refused, `malformed.txt`, each with its reason code.

use ternmq_proto::{Error, Packet, Version, frame};

const CORPUS: &str = include_str!("malformed.txt");
const PACKET_BYTES_MAX: u32 = 65_536;

#[test]
fn malformed_packets_get_their_reason_code() {
    let mut wrong = Vec::new();
    for row in rows() {
        for version in row.versions() {
            let got = refuse(version, &bytes_of(row.packet));
            let told = got.as_ref().map(|error| (error.reason_code().byte(), error.to_string()));
            let told = told.unwrap_or((0, "accepted".into()));
            if told.0 != row.code || !told.1.ends_with(row.words) {
                wrong.push(format!("line {} ({version}): {:02X} {}", row.line, told.0, told.1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_corpus_is_large_and_names_its_sources() {
    let rows: Vec<_> = rows().collect();
    assert!(rows.len() >= 120, "{} rows", rows.len());
    for row in rows {
        let section = row.statement.strip_prefix("MQTT-").unwrap_or(row.statement);
        assert!(section.starts_with(|it: char| it.is_ascii_digit()), "line {}", row.line);
    }
}

fn refuse(version: Version, bytes: &[u8]) -> Option<Error> {
    match frame::split(bytes, PACKET_BYTES_MAX) {
        Ok(Some((_, frame))) => Packet::decode(version, frame).err(),
        Ok(None) => None,
        Err(error) => Some(error),
    }
}

struct Row {
    line: usize,
    versions: &'static str,
    statement: &'static str,
    packet: &'static str,
    code: u8,
    words: &'static str,
}

impl Row {
    fn versions(&self) -> Vec<Version> {
        match self.versions {
            "all" => vec![Version::V31, Version::V311, Version::V5],
            "old" => vec![Version::V31, Version::V311],
            "new" => vec![Version::V311, Version::V5],
            "3.1.1" => vec![Version::V311],
            "5" => vec![Version::V5],
            other => panic!("line {}: version {other}", self.line),
        }
    }
}

fn rows() -> impl Iterator<Item = Row> {
    let lines = CORPUS.lines().zip(1..);
    lines.filter(|(text, _)| !text.is_empty() && !text.starts_with('#')).map(|(text, line)| {
        let cells: Vec<_> = text.split('|').map(str::trim).collect();
        let [versions, statement, packet, code, words] = cells[..] else {
            panic!("line {line} does not have five columns");
        };
        let code = u8::from_str_radix(code, 16).expect("a reason code");
        Row { line, versions, statement, packet, code, words }
    })
}

/// A packet of the corpus as bytes.
fn bytes_of(packet: &str) -> Vec<u8> {
    let mut tokens = tokens(packet).into_iter();
    let bytes = group(&mut tokens);
    assert!(tokens.next().is_none(), "an unopened group in {packet}");
    bytes
}

/// Reads tokens up to the end of the group, or of the packet.
fn group<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut body_from = None;
    while let Some(token) = tokens.next() {
        match token.as_bytes()[0] {
            b'}' => break,
            b'{' => {
                let section = group(tokens);
                bytes.extend(length(section.len()));
                bytes.extend(section);
            }
            b'.' => body_from = Some(bytes.len()),
            b'\'' => bytes.extend(token[1..].bytes()),
            b'"' => {
                bytes.extend((token.len() as u16 - 1).to_be_bytes());
                bytes.extend(token[1..].bytes());
            }
            _ => bytes.extend(hex(token)),
        }
    }
    if let Some(at) = body_from {
        let length = length(bytes.len() - at);
        bytes.splice(at..at, length);
    }
    bytes
}

/// Words, braces, and quoted texts with their opening quote.
fn tokens(packet: &str) -> Vec<&str> {
    let mut rest = packet.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '{' | '}' => 1,
            '\'' | '"' => 1 + rest[1..].find(first).expect("a closing quote"),
            _ => rest.find([' ', '{', '}']).unwrap_or(rest.len()),
        };
        tokens.push(&rest[..end]);
        let closing = usize::from(first == '\'' || first == '"');
        rest = rest[end + closing..].trim_start();
    }
    tokens
}

fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "half a byte in {digits}");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// A length as a variable byte integer; those of the corpus are short.
fn length(count: usize) -> Vec<u8> {
    assert!(count < 128, "{count} bytes are too many for a line of text");
    vec![count as u8]
}
