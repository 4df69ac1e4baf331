//! `-D COMMAND NAME VALUE`: MQTT 5 properties, each for the packet it may stand in.
//!
//! Names and commands are those of mosquitto's tools. A user property has two values. An option with
//! a changing number of values is not something that clap derives, so this one is written by hand.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};
use ternmq_proto::{Property, PropertyBuf, TopicName};

const ID: &str = "property";

/// The properties of each packet that can be given some.
#[derive(Clone, Debug, Default)]
pub struct PropertyArgs {
    pub connect: PropertyBuf,
    pub publish: PropertyBuf,
    pub subscribe: PropertyBuf,
    pub unsubscribe: PropertyBuf,
    pub disconnect: PropertyBuf,
    pub will: PropertyBuf,
}

/// What may be set in which packet.
const ALLOWED: [(&str, &[&str]); 6] = [
    (
        "connect",
        &[
            "authentication-data",
            "authentication-method",
            "maximum-packet-size",
            "receive-maximum",
            "request-problem-information",
            "request-response-information",
            "session-expiry-interval",
            "topic-alias-maximum",
            "user-property",
        ],
    ),
    (
        "publish",
        &[
            "content-type",
            "correlation-data",
            "message-expiry-interval",
            "payload-format-indicator",
            "response-topic",
            "user-property",
        ],
    ),
    ("subscribe", &["subscription-identifier", "user-property"]),
    ("unsubscribe", &["user-property"]),
    ("disconnect", &["reason-string", "session-expiry-interval", "user-property"]),
    (
        "will",
        &[
            "content-type",
            "correlation-data",
            "message-expiry-interval",
            "payload-format-indicator",
            "response-topic",
            "user-property",
            "will-delay-interval",
        ],
    ),
];

impl PropertyArgs {
    pub fn is_empty(&self) -> bool {
        let all = [&self.connect, &self.publish, &self.subscribe];
        let rest = [&self.unsubscribe, &self.disconnect, &self.will];
        all.iter().chain(&rest).all(|it| it.is_empty())
    }

    /// Takes one occurrence of the option.
    fn add(&mut self, words: &[&str]) -> Result<(), String> {
        let [command, name, values @ ..] = words else {
            return Err("a property has a value".to_owned());
        };
        // As in mosquitto's tools, upper and lower case are the same.
        let (command, name) = (command.to_ascii_lowercase(), name.to_ascii_lowercase());
        let Some((_, names)) = ALLOWED.iter().find(|it| it.0 == command) else {
            let commands: Vec<_> = ALLOWED.iter().map(|it| it.0).collect();
            return Err(format!("`{command}` is none of {}", commands.join(", ")));
        };
        if !names.contains(&name.as_str()) {
            return Err(format!("{command} has no property `{name}`; it has {}", names.join(", ")));
        }
        let property = match (name.as_str(), values) {
            ("user-property", [name, value]) => Property::UserProperty(name, value),
            ("user-property", _) => return Err("user-property takes a name and a value".to_owned()),
            (_, [value]) => parse(&name, value)?,
            _ => return Err(format!("{name} takes one value")),
        };
        let packet = self.packet(&command);
        let repeats = packet.as_properties().iter().any(|it| it.id() == property.id());
        if repeats && name != "user-property" {
            return Err(format!("{command} {name} was given twice"));
        }
        packet.push(property);
        Ok(())
    }

    fn packet(&mut self, command: &str) -> &mut PropertyBuf {
        match command {
            "connect" => &mut self.connect,
            "publish" => &mut self.publish,
            "subscribe" => &mut self.subscribe,
            "unsubscribe" => &mut self.unsubscribe,
            "disconnect" => &mut self.disconnect,
            _ => &mut self.will,
        }
    }
}

/// A property with one value, by its name.
fn parse<'a>(name: &str, value: &'a str) -> Result<Property<'a>, String> {
    Ok(match name {
        "authentication-data" => Property::AuthenticationData(value.as_bytes()),
        "authentication-method" => Property::AuthenticationMethod(value),
        "content-type" => Property::ContentType(value),
        "correlation-data" => Property::CorrelationData(value.as_bytes()),
        "maximum-packet-size" => Property::MaximumPacketSize(number(name, value, 1..=u32::MAX)?),
        "message-expiry-interval" => {
            Property::MessageExpiryInterval(number(name, value, 0..=u32::MAX)?)
        }
        "payload-format-indicator" => Property::PayloadFormatIndicator(number(name, value, 0..=1)?),
        "reason-string" => Property::ReasonString(value),
        "receive-maximum" => Property::ReceiveMaximum(number(name, value, 1..=u16::MAX)?),
        "request-problem-information" => Property::RequestProblemInformation(flag(name, value)?),
        "request-response-information" => Property::RequestResponseInformation(flag(name, value)?),
        "response-topic" => {
            let topic = TopicName::parse(value)
                .map_err(|error| format!("response-topic `{value}`: {error}"))?;
            Property::ResponseTopic(topic.as_str())
        }
        "session-expiry-interval" => {
            Property::SessionExpiryInterval(number(name, value, 0..=u32::MAX)?)
        }
        "subscription-identifier" => {
            Property::SubscriptionIdentifier(number(name, value, 1..=268_435_455)?)
        }
        "topic-alias-maximum" => Property::TopicAliasMaximum(number(name, value, 0..=u16::MAX)?),
        "will-delay-interval" => Property::WillDelayInterval(number(name, value, 0..=u32::MAX)?),
        _ => return Err(format!("there is no property `{name}`")),
    })
}

fn number<N>(name: &str, value: &str, range: std::ops::RangeInclusive<N>) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let parsed = value.parse().ok().filter(|it| range.contains(it));
    parsed.ok_or_else(|| {
        format!("{name} is a number from {} to {}, not `{value}`", range.start(), range.end())
    })
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    number(name, value, 0..=1u8).map(|it| it == 1)
}

impl Args for PropertyArgs {
    fn augment_args(command: Command) -> Command {
        let option = Arg::new(ID)
            .short('D')
            .long("property")
            .value_names(["COMMAND", "NAME", "VALUE"])
            .num_args(3..=4)
            .allow_negative_numbers(true)
            .action(ArgAction::Append)
            .help("Set an MQTT 5 property of a packet; may be repeated")
            .long_help(
                "Set an MQTT 5 property of a packet; may be repeated. COMMAND is connect, publish, \
                 subscribe, unsubscribe, disconnect or will; NAME is the property as the standard calls \
                 it, such as message-expiry-interval. user-property takes two values, its name and its \
                 value.",
            );
        command.arg(option)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PropertyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut properties = PropertyArgs::default();
        properties.update_from_arg_matches(matches)?;
        Ok(properties)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for occurrence in matches.get_occurrences::<String>(ID).into_iter().flatten() {
            let words: Vec<&str> = occurrence.map(String::as_str).collect();
            self.add(&words).map_err(|complaint| {
                let message = format!("invalid property `-D {}`: {complaint}\n", words.join(" "));
                clap::Error::raw(ErrorKind::ValueValidation, message)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<PropertyArgs, String> {
        let command = PropertyArgs::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(line.split_whitespace());
        let matches = matches.map_err(|error| error.to_string())?;
        PropertyArgs::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn properties_go_to_their_packets() {
        let it = parse_line(
            "-D publish user-property a 1 -D PUBLISH User-Property a -2 -D connect receive-maximum 5 \
             -D publish content-type text/plain -D will will-delay-interval 9",
        )
        .unwrap();
        let publish = it.publish.as_properties();
        assert_eq!(publish.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "-2")]);
        assert_eq!(publish.content_type(), Some("text/plain"));
        assert_eq!(it.connect.as_properties().receive_maximum(), Some(5));
        assert_eq!(it.will.as_properties().will_delay_interval(), Some(9));
        assert!(it.subscribe.is_empty() && !it.is_empty());
    }

    #[test]
    fn every_allowed_property_can_be_given() {
        for (command, names) in ALLOWED {
            for name in names {
                let values = if *name == "user-property" { "a b" } else { "1" };
                let it = parse_line(&format!("-D {command} {name} {values}"));
                assert!(!it.unwrap().is_empty(), "{command} {name}");
            }
        }
    }

    #[test]
    fn a_wrong_property_is_refused_with_its_reason() {
        for (line, reason) in [
            ("-D publsh content-type x", "none of connect, publish"),
            ("-D subscribe content-type x", "subscribe has no property `content-type`"),
            ("-D publish user-property x", "a name and a value"),
            ("-D publish content-type x y", "takes one value"),
            ("-D publish content-type x -D publish content-type y", "given twice"),
            ("-D connect receive-maximum 0", "from 1 to 65535, not `0`"),
            ("-D connect receive-maximum 65536", "from 1 to 65535"),
            ("-D publish response-topic a/#", "wildcard"),
            ("-D publish content-type", "3"),
        ] {
            let complaint = parse_line(line).expect_err(line);
            assert!(complaint.contains(reason), "{line}: {complaint}");
        }
    }
}
