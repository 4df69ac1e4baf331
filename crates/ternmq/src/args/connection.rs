//! What `pub` and `sub` have in common: where to connect, as whom, and with which session.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use ternmq_proto::{Qos, Version};

use super::property::PropertyArgs;
use super::value::{self, MqttUrl, ProtocolVersion};

pub const PORT_DEFAULT: u16 = 1883;

/// The options are those of mosquitto_pub and mosquitto_sub.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The broker's name or address
    #[arg(short = 'h', long, value_name = "HOST", default_value = "localhost")]
    pub host: String,
    /// The broker's port
    #[arg(short, long, value_name = "PORT", default_value_t = PORT_DEFAULT)]
    pub port: u16,
    /// Everything at once: mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC
    #[arg(short = 'L', long, value_name = "URL", value_parser = value::mqtt_url,
          conflicts_with_all = ["host", "port"])]
    pub url: Option<MqttUrl>,
    /// User name
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,
    /// Password
    #[arg(
        short = 'P',
        long = "pw",
        visible_alias = "password",
        value_name = "PASSWORD",
        allow_hyphen_values = true
    )]
    pub password: Option<String>,
    /// Version of MQTT: 5, 311 (3.1.1) or 31 (3.1)
    #[arg(
        short = 'V',
        long,
        value_name = "VERSION",
        default_value = "5",
        hide_possible_values = true
    )]
    pub protocol_version: ProtocolVersion,
    /// Client identifier; default: the broker assigns one
    #[arg(short, long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub id: Option<String>,
    /// Client identifier from this prefix and the process number
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    pub id_prefix: Option<String>,
    /// Keep the session: resume it if it exists, and leave it behind (needs -i)
    #[arg(short = 'c', long, requires = "id")]
    pub disable_clean_session: bool,
    /// Seconds that the session outlives the connection, -1 for ever (MQTT 5; default with -c: -1)
    #[arg(short = 'x', long, value_name = "SECONDS", value_parser = value::session_expiry,
          allow_negative_numbers = true)]
    pub session_expiry_interval: Option<u32>,
    /// Keep alive in seconds; 0 switches it off
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    pub keepalive: u16,
    #[command(flatten)]
    pub properties: PropertyArgs,
    #[command(flatten)]
    pub will: WillArgs,
    /// Show on standard error what happens
    #[arg(short, long, help_heading = "Output")]
    pub debug: bool,
    /// Print no error messages
    #[arg(long, help_heading = "Output", conflicts_with = "debug")]
    pub quiet: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::HelpLong, help_heading = "Output")]
    help: (),
}

/// What the broker publishes if this client is lost.
#[derive(Args)]
#[command(next_help_heading = "Will")]
pub struct WillArgs {
    /// Topic of the message that the broker publishes if this client is lost
    #[arg(id = "will_topic", long = "will-topic", value_name = "TOPIC", value_parser = value::topic_name)]
    pub topic: Option<String>,
    /// Its payload; default: empty
    #[arg(
        id = "will_payload",
        long = "will-payload",
        value_name = "TEXT",
        requires = "will_topic",
        allow_hyphen_values = true
    )]
    pub payload: Option<std::ffi::OsString>,
    /// Its QoS
    #[arg(id = "will_qos", long = "will-qos", value_name = "QOS", default_value = "0", value_parser = value::qos,
          requires = "will_topic")]
    pub qos: Qos,
    /// It is retained
    #[arg(id = "will_retain", long = "will-retain", requires = "will_topic")]
    pub retain: bool,
}

impl ConnectionArgs {
    pub fn version(&self) -> Version {
        self.protocol_version.into()
    }

    /// Host and port, from the URL or the options.
    pub fn address(&self) -> (&str, u16) {
        match &self.url {
            Some(url) => (&url.host, url.port.unwrap_or(PORT_DEFAULT)),
            None => (&self.host, self.port),
        }
    }

    pub fn user_name(&self) -> Option<&str> {
        self.username.as_deref().or_else(|| self.url.as_ref()?.user.as_deref())
    }

    pub fn password(&self) -> Option<&str> {
        self.password.as_deref().or_else(|| self.url.as_ref()?.password.as_deref())
    }

    /// The client identifier; empty: the broker assigns one.
    pub fn client_id(&self) -> String {
        match (&self.id, &self.id_prefix) {
            (Some(id), _) => id.clone(),
            (None, Some(prefix)) => format!("{prefix}{}", std::process::id()),
            (None, None) if self.version() == Version::V31 => random_client_id(),
            (None, None) => String::new(),
        }
    }

    /// Seconds that the session outlives the connection.
    pub fn session_expiry(&self) -> u32 {
        let default = if self.disable_clean_session { u32::MAX } else { 0 };
        let property = self.properties.connect.as_properties().session_expiry_interval();
        self.session_expiry_interval.or(property).unwrap_or(default)
    }

    /// What the options contradict among themselves.
    pub fn check(&self) -> Result<(), String> {
        let needs_v5 = match self {
            it if !it.properties.is_empty() => Some("-D"),
            it if it.session_expiry_interval.is_some() => Some("-x"),
            _ => None,
        };
        if let Some(option) = needs_v5.filter(|_| self.version() != Version::V5) {
            return Err(format!("{option} is for MQTT 5: use it with -V 5"));
        }
        if !self.properties.will.is_empty() && self.will.topic.is_none() {
            return Err("-D will needs --will-topic".to_owned());
        }
        let expiry_twice =
            self.properties.connect.as_properties().session_expiry_interval().is_some();
        if expiry_twice && self.session_expiry_interval.is_some() {
            return Err("the session expiry was given twice: by -x and by -D connect".to_owned());
        }
        if self.version() != Version::V5 && self.password().is_some() && self.user_name().is_none()
        {
            return Err("before MQTT 5 a password (-P) needs a user name (-u)".to_owned());
        }
        Ok(())
    }
}

/// MQTT 3.1 lets the broker assign no identifier, and allows 23 characters.
fn random_client_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("ternmq-{random:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    #[command(no_binary_name = true, disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    fn parse(line: &str) -> Result<ConnectionArgs, String> {
        let line =
            Line::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        line.connection.check().map(|()| line.connection)
    }

    #[test]
    fn the_letters_are_mosquittos() {
        let it =
            parse("-h example.org -p 1884 -u ann -P -secret -V mqttv311 -i me -c -k 5").unwrap();
        assert_eq!(it.address(), ("example.org", 1884));
        assert_eq!((it.user_name(), it.password()), (Some("ann"), Some("-secret")));
        assert_eq!((it.version(), it.keepalive), (Version::V311, 5));
        assert_eq!((it.client_id().as_str(), it.disable_clean_session), ("me", true));
        for (name, version) in [
            ("mqttv5", Version::V5),
            ("5", Version::V5),
            ("mqttv31", Version::V31),
            ("31", Version::V31),
        ] {
            assert_eq!(parse(&format!("-V {name}")).unwrap().version(), version);
        }
    }

    #[test]
    fn a_url_gives_what_the_options_do_not() {
        let it = parse("-L mqtt://bob@example.org/a -P x").unwrap();
        assert_eq!(it.address(), ("example.org", 1883));
        assert_eq!((it.user_name(), it.password()), (Some("bob"), Some("x")));
        assert!(parse("-L mqtt://a/b -h c").is_err());
    }

    #[test]
    fn a_kept_session_lasts_for_ever_unless_told() {
        assert_eq!(parse("").unwrap().session_expiry(), 0);
        assert_eq!(parse("-c -i a").unwrap().session_expiry(), u32::MAX);
        assert_eq!(parse("-c -i a -x 30").unwrap().session_expiry(), 30);
        assert_eq!(parse("-x -1").unwrap().session_expiry(), u32::MAX);
        assert_eq!(parse("-D connect session-expiry-interval 7").unwrap().session_expiry(), 7);
    }

    #[test]
    fn an_identifier_of_mqtt_31_fits_and_differs() {
        let id = || parse("-V 31").unwrap().client_id();
        assert_eq!(id().len(), 23);
        assert_ne!(id(), id());
        assert_eq!(parse("").unwrap().client_id(), "");
        assert!(parse("-I car-").unwrap().client_id().starts_with("car-"));
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "-V 311 -x 5",
            "-V 31 -D publish content-type a",
            "-D will content-type a",
            "-x 5 -D connect session-expiry-interval 7",
            "-V 311 -P secret",
            "-c",
            "-i a -I b",
            "--will-retain",
            "--will-topic a/#",
            "-p 65536",
            "-V 4",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
