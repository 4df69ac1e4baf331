//! The texts that stand for one value on the command line, and what they come to.

use std::time::Duration;

use clap::ValueEnum;
use ternmq_proto::{Qos, TopicFilter, TopicName, Version, topic};

/// `KEY=VALUE`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a setting is KEY=VALUE".to_owned()),
    }
}

pub fn topic_name(text: &str) -> Result<String, String> {
    TopicName::parse(text).map(|it| it.as_str().to_owned()).map_err(|error| error.to_string())
}

pub fn topic_filter(text: &str) -> Result<String, String> {
    TopicFilter::parse(text).map(|it| it.as_str().to_owned()).map_err(|error| error.to_string())
}

/// A topic filter, or `$share/NAME/FILTER`.
pub fn subscription(text: &str) -> Result<String, String> {
    topic::parse_subscription(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub fn qos(text: &str) -> Result<Qos, String> {
    let qos = text.parse().ok().and_then(Qos::from_bits);
    qos.ok_or_else(|| "a QoS is 0, 1 or 2".to_owned())
}

/// A span of time in seconds, with a fraction if wanted.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    seconds.ok_or_else(|| "a number of seconds, such as 5 or 0.5".to_owned())
}

/// Seconds that a session outlives its connection; `-1` and `∞` are for ever.
pub fn session_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "seconds up to 4294967295, or -1 for ever".to_owned()),
    }
}

/// A version of MQTT, by the names that mosquitto's tools use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ProtocolVersion {
    #[value(name = "5", alias = "mqttv5")]
    V5,
    #[value(name = "311", aliases = ["mqttv311", "3.1.1"])]
    V311,
    #[value(name = "31", aliases = ["mqttv31", "3.1"])]
    V31,
}

impl From<ProtocolVersion> for Version {
    fn from(it: ProtocolVersion) -> Version {
        match it {
            ProtocolVersion::V5 => Version::V5,
            ProtocolVersion::V311 => Version::V311,
            ProtocolVersion::V31 => Version::V31,
        }
    }
}

/// `mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MqttUrl {
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    pub topic: String,
}

pub fn mqtt_url(text: &str) -> Result<MqttUrl, String> {
    if text.starts_with("mqtts://") {
        return Err("TLS (mqtts) is not supported yet".to_owned());
    }
    let rest = text.strip_prefix("mqtt://").ok_or("it does not begin with mqtt://")?;
    let (authority, topic) = rest.split_once('/').ok_or("there is no /TOPIC behind the host")?;
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, authority),
    };
    let (user, password) = match credentials.map(|it| it.split_once(':').ok_or(it)) {
        Some(Ok((user, password))) => (Some(user), Some(password)),
        Some(Err(user)) => (Some(user), None),
        None => (None, None),
    };
    let (host, port) = match address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => {
            (host, Some(port.parse().map_err(|_| format!("`{port}` is not a port"))?))
        }
        None => (address, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || topic.is_empty() {
        return Err("the host or the topic is empty".to_owned());
    }
    let owned = |it: Option<&str>| it.map(str::to_owned);
    let (user, password) = (owned(user), owned(password));
    Ok(MqttUrl { user, password, host: host.to_owned(), port, topic: topic.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_checked_by_what_they_are_for() {
        assert!(topic_name("a/b").is_ok());
        assert!(topic_name("a/#").is_err());
        assert!(subscription("a/#").is_ok());
        assert!(subscription("$share/group/a/+").is_ok());
        assert!(subscription("$share/group").is_err());
        assert!(topic_filter("a/#/b").is_err());
        assert!(topic_name("").is_err());
    }

    #[test]
    fn a_session_may_last_for_ever() {
        assert_eq!(session_expiry("-1"), Ok(u32::MAX));
        assert_eq!(session_expiry("∞"), Ok(u32::MAX));
        assert_eq!(session_expiry("30"), Ok(30));
        assert!(session_expiry("-2").is_err());
        assert!(session_expiry("4294967296").is_err());
    }

    #[test]
    fn times_have_a_fraction_and_no_sign() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["-1", "NaN", "inf", "soon", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        let it = mqtt_url("mqtt://ann:s:e@cret@broker.example:1884/a/b").unwrap();
        assert_eq!((it.user.as_deref(), it.password.as_deref()), (Some("ann"), Some("s:e@cret")));
        assert_eq!(
            (it.host.as_str(), it.port, it.topic.as_str()),
            ("broker.example", Some(1884), "a/b")
        );
        let it = mqtt_url("mqtt://[::1]/t").unwrap();
        assert_eq!((it.host.as_str(), it.port, it.user), ("::1", None, None));
        for bad in
            ["http://a/b", "mqtts://a/b", "mqtt://a", "mqtt:///b", "mqtt://a:x/b", "mqtt://a/"]
        {
            assert!(mqtt_url(bad).is_err(), "{bad}");
        }
    }
}
