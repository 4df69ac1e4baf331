//! `-F FORMAT` of `ternmq sub`: parsed once, rendered for each message.
//!
//! The sequences are those of mosquitto_sub: `%` for the message, `@` for the time (as strftime),
//! and backslashes for characters that are hard to type.

use std::borrow::Cow;
use std::fmt::Write;
use std::str::Chars;

use jiff::Zoned;
use jiff::fmt::strtime;

use super::{Received, json};

/// A parsed format.
#[derive(Clone, Debug, PartialEq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// A directive of strftime, with its `%`.
    Time(String),
    Nanoseconds,
    Field {
        field: Field,
        shape: Shape,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    ContentType,
    CorrelationData,
    IsoTime,
    Json { raw_payload: bool },
    MessageExpiry,
    Payload,
    PayloadFormat,
    PayloadHex { upper: bool },
    PayloadLength,
    Qos,
    ResponseTopic,
    Retain,
    SubscriptionIdentifiers,
    Topic,
    UnixTime,
    UserProperties,
}

/// `%-010.20t`: how wide a field is at least, and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Shape {
    align_left: bool,
    pad_zero: bool,
    width: usize,
    width_max: Option<usize>,
}

/// The widest a field can be asked to be.
const WIDTH_MAX: usize = 10_000;

impl Format {
    /// # Errors
    /// A sentence that names the sequence which is not one.
    pub fn parse(text: &str) -> Result<Format, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(first) = chars.next() {
            let piece = match first {
                '%' | '@' if chars.as_str().starts_with(first) => {
                    chars.next();
                    plain.push(first);
                    continue;
                }
                '%' => parse_field(&mut chars)?,
                '@' => parse_time(&mut chars)?,
                '\\' => {
                    plain.push(parse_escape(&mut chars)?);
                    continue;
                }
                _ => {
                    plain.push(first);
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Format(pieces))
    }

    /// Appends one message in this format.
    ///
    /// # Errors
    /// A sentence, if `%J` meets a payload that is not JSON.
    pub fn render(
        &self,
        message: &Received<'_>,
        at: &Zoned,
        pretty: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Time(directive) => {
                    out.extend_from_slice(at.strftime(directive).to_string().as_bytes())
                }
                Piece::Nanoseconds => {
                    out.extend_from_slice(format!("{:09}", at.subsec_nanosecond()).as_bytes());
                }
                Piece::Field { field: Field::Json { raw_payload }, .. } => {
                    json::render(message, at, *raw_payload, pretty, out)?;
                }
                Piece::Field { field, shape } => shape.append(&field.value(message, at), out),
            }
        }
        Ok(())
    }
}

fn parse_field(chars: &mut Chars<'_>) -> Result<Piece, String> {
    let mut shape = Shape::default();
    let mut next = chars.next();
    while let Some(flag @ ('-' | '0')) = next {
        shape.align_left |= flag == '-';
        shape.pad_zero |= flag == '0';
        next = chars.next();
    }
    shape.width = parse_width(&mut next, chars)?.unwrap_or(0);
    if next == Some('.') {
        next = chars.next();
        shape.width_max =
            Some(parse_width(&mut next, chars)?.ok_or("a number belongs behind the dot")?);
    }
    let letter = next.ok_or("the format ends in the middle of a % sequence")?;
    let field = Field::of(letter).ok_or_else(|| format!("there is no %{letter}"))?;
    Ok(Piece::Field { field, shape })
}

fn parse_width(next: &mut Option<char>, chars: &mut Chars<'_>) -> Result<Option<usize>, String> {
    let mut width = None;
    while let Some(digit) = next.and_then(|it| it.to_digit(10)) {
        let wider = width.unwrap_or(0) * 10 + digit as usize;
        if wider > WIDTH_MAX {
            return Err(format!("a width is at most {WIDTH_MAX}"));
        }
        width = Some(wider);
        *next = chars.next();
    }
    Ok(width)
}

fn parse_time(chars: &mut Chars<'_>) -> Result<Piece, String> {
    let letter = chars.next().ok_or("the format ends in the middle of a @ sequence")?;
    if letter == 'N' {
        return Ok(Piece::Nanoseconds);
    }
    let directive = format!("%{letter}");
    match strtime::format(&directive, &Zoned::default()) {
        Ok(_) => Ok(Piece::Time(directive)),
        Err(_) => Err(format!("there is no @{letter}")),
    }
}

fn parse_escape(chars: &mut Chars<'_>) -> Result<char, String> {
    match chars.next() {
        Some('\\') => Ok('\\'),
        Some('0') => Ok('\0'),
        Some('a') => Ok('\x07'),
        Some('e') => Ok('\x1b'),
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('v') => Ok('\x0b'),
        Some(other) => Err(format!("there is no \\{other}")),
        None => Err("the format ends in a backslash".to_owned()),
    }
}

impl Field {
    fn of(letter: char) -> Option<Field> {
        Some(match letter {
            'C' => Field::ContentType,
            'D' => Field::CorrelationData,
            'E' => Field::MessageExpiry,
            'F' => Field::PayloadFormat,
            'I' => Field::IsoTime,
            'j' => Field::Json { raw_payload: false },
            'J' => Field::Json { raw_payload: true },
            'l' => Field::PayloadLength,
            'P' => Field::UserProperties,
            'p' => Field::Payload,
            'q' => Field::Qos,
            'R' => Field::ResponseTopic,
            'r' => Field::Retain,
            'S' => Field::SubscriptionIdentifiers,
            't' => Field::Topic,
            'U' => Field::UnixTime,
            'X' => Field::PayloadHex { upper: true },
            'x' => Field::PayloadHex { upper: false },
            _ => return None,
        })
    }

    fn value<'a>(self, message: &Received<'a>, at: &Zoned) -> Cow<'a, [u8]> {
        let properties = &message.properties;
        let text = |it: Option<&'a str>| Cow::Borrowed(it.unwrap_or_default().as_bytes());
        let number = |it: Option<u64>| {
            Cow::Owned(it.map_or(String::new(), |it| it.to_string()).into_bytes())
        };
        match self {
            Field::ContentType => text(properties.content_type()),
            Field::CorrelationData => {
                Cow::Borrowed(properties.correlation_data().unwrap_or_default())
            }
            Field::IsoTime => {
                Cow::Owned(at.strftime("%Y-%m-%dT%H:%M:%S%z").to_string().into_bytes())
            }
            Field::Json { .. } => Cow::default(),
            Field::MessageExpiry => number(properties.message_expiry_interval().map(u64::from)),
            Field::Payload => Cow::Borrowed(message.payload),
            Field::PayloadFormat => number(properties.payload_format_indicator().map(u64::from)),
            Field::PayloadHex { upper } => Cow::Owned(hex(message.payload, upper).into_bytes()),
            Field::PayloadLength => number(Some(message.payload.len() as u64)),
            Field::Qos => number(Some(u64::from(message.qos.bits()))),
            Field::ResponseTopic => text(properties.response_topic()),
            Field::Retain => number(Some(u64::from(message.retain))),
            Field::SubscriptionIdentifiers => {
                let all: Vec<_> =
                    properties.subscription_identifiers().map(|it| it.to_string()).collect();
                Cow::Owned(all.join(" ").into_bytes())
            }
            Field::Topic => Cow::Borrowed(message.topic.as_bytes()),
            Field::UnixTime => {
                let since = at.timestamp();
                Cow::Owned(
                    format!("{}.{:09}", since.as_second(), since.subsec_nanosecond()).into_bytes(),
                )
            }
            Field::UserProperties => {
                let all: Vec<_> =
                    properties.user_properties().map(|(a, b)| format!("{a}:{b}")).collect();
                Cow::Owned(all.join(" ").into_bytes())
            }
        }
    }
}

impl Shape {
    /// Pads and cuts by characters where the value is text, by bytes where it is not.
    fn append(self, value: &[u8], out: &mut Vec<u8>) {
        let mut value = value;
        let mut length = value.len();
        if let Ok(text) = std::str::from_utf8(value) {
            let end = self.width_max.and_then(|max| text.char_indices().nth(max)).map(|(at, _)| at);
            let text = end.map_or(text, |end| &text[..end]);
            (value, length) = (text.as_bytes(), text.chars().count());
        } else if let Some(max) = self.width_max {
            value = &value[..max.min(length)];
            length = value.len();
        }
        let padding = self.width.saturating_sub(length);
        let fill = if self.pad_zero && !self.align_left { b'0' } else { b' ' };
        if self.align_left {
            out.extend_from_slice(value);
        }
        out.extend(std::iter::repeat_n(fill, padding));
        if !self.align_left {
            out.extend_from_slice(value);
        }
    }
}

pub fn hex(bytes: &[u8], upper: bool) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let written = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        written.expect("a String takes everything that is written to it");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_proto::{Properties, Property, PropertyBuf, Qos};

    fn render(format: &str, payload: &[u8], properties: Properties<'_>) -> String {
        let at: Zoned = "2026-11-20T17:24:31.050014002+01:00[+01:00]".parse().unwrap();
        let message =
            Received {
                topic: "t/größe", payload, qos: Qos::AtLeastOnce, retain: true, properties
            };
        let mut out = Vec::new();
        Format::parse(format).unwrap().render(&message, &at, false, &mut out).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    fn plain(format: &str) -> String {
        render(format, b"ab\xff", Properties::EMPTY)
    }

    #[test]
    fn every_sequence_of_the_message_has_its_value() {
        assert_eq!(plain("%t|%q|%r|%l|%x|%X"), "t/größe|1|1|3|6162ff|6162FF");
        assert_eq!(plain("%p"), "ab\u{fffd}");
        assert_eq!(plain("%%@@\\\\ \\t\\n\\0\\e"), "%@\\ \t\n\0\u{1b}");
        assert_eq!(plain("[%C%R%D%E%P%S%F]"), "[]");
    }

    #[test]
    fn properties_have_their_letters() {
        let mut buffer = PropertyBuf::new();
        buffer
            .push(Property::ContentType("text/plain"))
            .push(Property::ResponseTopic("r/t"))
            .push(Property::CorrelationData(b"xyz"))
            .push(Property::MessageExpiryInterval(30))
            .push(Property::PayloadFormatIndicator(1))
            .push(Property::SubscriptionIdentifier(5))
            .push(Property::SubscriptionIdentifier(6))
            .push(Property::UserProperty("a", "b"))
            .push(Property::UserProperty("a", "c"));
        let text = render("%C|%R|%D|%E|%F|%S|%P", b"", buffer.as_properties());
        assert_eq!(text, "text/plain|r/t|xyz|30|1|5 6|a:b a:c");
    }

    #[test]
    fn a_field_is_padded_and_cut_by_characters() {
        assert_eq!(plain("[%9t][%-9t][%3.2t][%.4t]"), "[  t/größe][t/größe  ][ t/][t/gr]");
        assert_eq!(plain("[%05l][%5l][%-05l]"), "[00003][    3][3    ]");
        assert_eq!(plain("%5.1p").len(), 5);
    }

    #[test]
    fn the_time_is_as_strftime() {
        assert_eq!(plain("%I"), "2026-11-20T17:24:31+0100");
        assert_eq!(plain("%U"), "1795191871.050014002");
        assert_eq!(plain("@H:@M:@S.@N @Y"), "17:24:31.050014002 2026");
    }

    #[test]
    fn what_is_no_sequence_is_refused() {
        for bad in ["%z", "%m", "%", "%-", "%5.t", "@", "@!", "\\", "\\q", "%99999999t"] {
            assert!(Format::parse(bad).is_err(), "{bad}");
        }
    }
}
