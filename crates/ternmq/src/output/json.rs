//! A message as one JSON object, with the names that mosquitto_sub uses.
//!
//! Written by hand, because it has what a map in memory has not: a payload that is passed through
//! as it is, and user properties of the same name. It is always valid JSON: a payload that is not
//! UTF-8 is null, and beside it stands `payload_hex`.

use jiff::Zoned;
use serde_json::value::RawValue;

use super::Received;
use super::format::hex;

/// Appends the object. `raw_payload`: the payload is JSON itself and becomes a part of it.
///
/// # Errors
/// A sentence, if `raw_payload` is wanted of a payload that is not JSON.
pub fn render(
    message: &Received<'_>,
    at: &Zoned,
    raw_payload: bool,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let mut object = Object::new();
    object.text("tst", &at.strftime("%Y-%m-%dT%H:%M:%S.%6f%z").to_string());
    object.text("topic", message.topic);
    object.number("qos", message.qos.bits());
    object.number("retain", u8::from(message.retain));
    object.number("payloadlen", message.payload.len());
    if !message.properties.is_empty() {
        object.raw("properties", &properties(message));
    }
    match (message.payload, std::str::from_utf8(message.payload)) {
        (b"", _) => object.raw("payload", "null"),
        (payload, _) if raw_payload => {
            let json: &RawValue = serde_json::from_slice(payload).map_err(|_| {
                format!("message payload is not valid JSON on topic {}", message.topic)
            })?;
            object.raw("payload", &compact(json.get()));
        }
        (_, Ok(text)) => object.text("payload", text),
        (payload, Err(_)) => {
            object.raw("payload", "null");
            object.text("payload_hex", &hex(payload, false));
        }
    }
    let text = object.finish();
    out.extend_from_slice(if pretty { indent(&text) } else { text }.as_bytes());
    Ok(())
}

fn properties(message: &Received<'_>) -> String {
    let properties = &message.properties;
    let mut object = Object::new();
    if let Some(it) = properties.content_type() {
        object.text("content-type", it);
    }
    if properties.user_properties().next().is_some() {
        let mut user = Object::new();
        properties.user_properties().for_each(|(name, value)| user.text(name, value));
        object.raw("user-properties", &user.finish());
    }
    if let Some(it) = properties.response_topic() {
        object.text("response-topic", it);
    }
    match properties.correlation_data().map(|it| (it, std::str::from_utf8(it))) {
        Some((_, Ok(text))) => object.text("correlation-data", text),
        Some((bytes, Err(_))) => object.text("correlation-data-hex", &hex(bytes, false)),
        None => {}
    }
    if let Some(it) = properties.payload_format_indicator() {
        object.number("payload-format-indicator", it);
    }
    if let Some(it) = properties.message_expiry_interval() {
        object.number("message-expiry-interval", it);
    }
    let identifiers: Vec<_> =
        properties.subscription_identifiers().map(|it| it.to_string()).collect();
    match identifiers.as_slice() {
        [] => {}
        [one] => object.raw("subscription-identifier", one),
        all => object.raw("subscription-identifier", &format!("[{}]", all.join(","))),
    }
    object.finish()
}

/// A JSON object that is being written.
struct Object(String);

impl Object {
    fn new() -> Object {
        Object("{".to_owned())
    }

    fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &quoted(value));
    }

    fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        self.raw(name, &value.to_string());
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Valid JSON without the spaces between its tokens, so that a message stays one line.
fn compact(json: &str) -> String {
    walk(json, |out, token, _| {
        if !token.is_ascii_whitespace() {
            out.push(token);
        }
    })
}

/// Valid compact JSON, a member on each line.
fn indent(json: &str) -> String {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    walk(json, |out, token, depth| match token {
        '{' | '[' => {
            out.push(token);
            line(out, depth);
        }
        '}' | ']' if out.trim_end().ends_with(['{', '[']) => {
            out.truncate(out.trim_end().len());
            out.push(token);
        }
        '}' | ']' => {
            line(out, depth);
            out.push(token);
        }
        ',' => {
            out.push(token);
            line(out, depth);
        }
        ':' => out.push_str(": "),
        _ => out.push(token),
    })
}

/// Rewrites valid JSON: `write` gets each character outside strings, with the depth behind it.
fn walk(json: &str, mut write: impl FnMut(&mut String, char, usize)) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for it in json.chars() {
        if in_string {
            out.push(it);
            in_string = escaped || it != '"';
            escaped = !escaped && it == '\\';
            continue;
        }
        match it {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            '"' => in_string = true,
            _ => {}
        }
        write(&mut out, it, depth);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_proto::{Properties, Property, PropertyBuf, Qos};

    fn json(
        payload: &[u8],
        raw: bool,
        pretty: bool,
        properties: Properties<'_>,
    ) -> Result<String, String> {
        let at: Zoned = "2026-11-20T17:24:31.050014+00:00[UTC]".parse().unwrap();
        let topic = "t/\"1\"";
        let message = Received { topic, payload, qos: Qos::ExactlyOnce, retain: false, properties };
        let mut out = Vec::new();
        render(&message, &at, raw, pretty, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    const HEAD: &str =
        r#"{"tst":"2026-11-20T17:24:31.050014+0000","topic":"t/\"1\"","qos":2,"retain":0,"#;

    #[test]
    fn a_message_is_one_object() {
        let none = Properties::EMPTY;
        let text = json("hé\"\n".as_bytes(), false, false, none).unwrap();
        assert_eq!(text, format!("{HEAD}{}", r#""payloadlen":5,"payload":"hé\"\n"}"#));
        let text = json(b"", true, false, none).unwrap();
        assert_eq!(text, format!("{HEAD}{}", r#""payloadlen":0,"payload":null}"#));
        let text = json(b"a\xff", false, false, none).unwrap();
        assert_eq!(
            text,
            format!("{HEAD}{}", r#""payloadlen":2,"payload":null,"payload_hex":"61ff"}"#)
        );
    }

    #[test]
    fn a_payload_that_is_json_is_passed_through() {
        let text = json(b"{ \"a b\" : [1e400, 2.50] }", true, false, Properties::EMPTY).unwrap();
        assert!(text.ends_with(r#""payload":{"a b":[1e400,2.50]}}"#), "{text}");
        assert!(
            json(b"{a}", true, false, Properties::EMPTY).unwrap_err().contains("not valid JSON")
        );
    }

    #[test]
    fn properties_keep_their_repetitions() {
        let mut buffer = PropertyBuf::new();
        buffer.push(Property::UserProperty("a", "1")).push(Property::UserProperty("a", "2"));
        buffer.push(Property::SubscriptionIdentifier(3)).push(Property::CorrelationData(b"\xfe"));
        let text = json(b"", false, false, buffer.as_properties()).unwrap();
        let expected = r#""properties":{"user-properties":{"a":"1","a":"2"},"correlation-data-hex":"fe","subscription-identifier":3},"#;
        assert!(text.contains(expected), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn pretty_json_is_the_same_json() {
        let payload = br#"{"a":"x{,\"y:","b":[],"c":{},"d":[1,{"e":null}]}"#;
        let compact = json(payload, true, false, Properties::EMPTY).unwrap();
        let pretty = json(payload, true, true, Properties::EMPTY).unwrap();
        let value = |it: &str| serde_json::from_str::<serde_json::Value>(it).unwrap();
        assert_eq!(value(&compact), value(&pretty));
        assert!(pretty.starts_with("{\n  \"tst\": \"2026"), "{pretty}");
        assert!(pretty.contains("\n    \"b\": [],\n    \"c\": {},\n"), "{pretty}");
    }
}
