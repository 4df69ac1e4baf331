//! How to connect, in the words of the programs that do it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ternmq_agent::{Acknowledge, Offline, OutboxLimits, Reconnect, SessionLost, Will};
use ternmq_proto::{Property, Version};

use crate::transport::{Connector, Tcp};

/// Where and how to connect. What does not fit together is told by
/// [`Client::new`](crate::Client::new).
///
/// ```
/// use std::time::Duration;
/// use ternmq_client::{Options, Version, Will};
///
/// let options = Options::from_url("tcp://broker.example:1883")?
///     .version(Version::V311)
///     .client_id("pump-7")
///     .clean_start(false)
///     .keep_alive(Duration::from_secs(30))
///     .will(Will::new("pump/7/online", "false").retain(true));
/// # assert!(ternmq_client::Client::new(options).is_ok());
/// # Ok::<(), ternmq_client::OptionsError>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) agent: ternmq_agent::Options,
    pub(crate) overflow: Overflow,
    pub(crate) connector: Arc<dyn Connector>,
}

/// What [`publish`](crate::Client::publish) does when the outbox is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// Waits for room.
    Block,
    /// Gives the new message back.
    Reject,
    /// Drops the oldest messages that were never sent.
    DropOldest,
}

impl Options {
    /// A server by TCP: a host name or IP address, and a port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let acknowledge = Acknowledge::ByToken;
        let agent = ternmq_agent::Options { acknowledge, ..ternmq_agent::Options::default() };
        Options { agent, overflow: Overflow::Block, connector: Arc::new(Tcp::new(host, port)) }
    }

    /// A server by `tcp://host:port` or `mqtt://host:port`; the port is 1883 if there is none.
    ///
    /// # Errors
    /// Not such a URL, or a scheme that is not built in.
    pub fn from_url(url: &str) -> Result<Self, OptionsError> {
        let (host, port) = parse_url(url)?;
        Ok(Options::new(host, port))
    }

    /// The version to speak; 5.0 if not set. There is no fallback to another.
    pub fn version(mut self, version: Version) -> Self {
        self.agent.version = version;
        self
    }

    /// Who we are. If not set, the server finds a name (not with MQTT 3.1).
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.agent.client_id = client_id.into();
        self
    }

    /// Whether to begin with a new session; true if not set. With MQTT 5.0 and a session expiry,
    /// this is for the first connection only. In 3.x it also means that the session ends with its
    /// connection.
    pub fn clean_start(mut self, clean_start: bool) -> Self {
        self.agent.clean_start = clean_start;
        self
    }

    /// How long the server keeps the session after the connection (MQTT 5.0), in whole seconds;
    /// 0 if not set, and [`Duration::MAX`] is for ever.
    pub fn session_expiry(mut self, expiry: Duration) -> Self {
        self.agent.session_expiry_seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        self
    }

    /// Longest silence on the connection, in whole seconds up to 65,535; 60 s if not set, 0: any.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.agent.keep_alive_seconds = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        self
    }

    /// Who wants to connect.
    pub fn user_name(mut self, user_name: impl Into<String>) -> Self {
        self.agent.user_name = Some(user_name.into());
        self
    }

    /// The proof. In 3.x not without a user name.
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.agent.password = Some(password.into());
        self
    }

    /// What the server publishes when the connection ends without a DISCONNECT.
    pub fn will(mut self, will: Will) -> Self {
        self.agent.will = Some(will);
        self
    }

    /// Adds a property of CONNECT (MQTT 5.0). One that has a method here is the same as that.
    pub fn property(mut self, property: Property<'_>) -> Self {
        self.agent = self.agent.with_property(property);
        self
    }

    /// QoS 1 and 2 messages that may wait for our acknowledgement; 1,024 if not set.
    pub fn receive_maximum(mut self, maximum: u16) -> Self {
        self.agent.receive_maximum = maximum;
        self
    }

    /// Messages at QoS 1 and 2 that we have in flight at most. If not set: what the server allows
    /// (MQTT 5.0), or 20 (3.x, where it cannot say, and mosquitto takes no more).
    pub fn send_maximum(mut self, maximum: u16) -> Self {
        self.agent.send_maximum = Some(maximum);
        self
    }

    /// The largest packet that is taken, in bytes; 16 MiB if not set.
    pub fn packet_bytes_max(mut self, bytes: u32) -> Self {
        self.agent.packet_bytes_max = bytes;
        self
    }

    /// Topic aliases that the server may use (MQTT 5.0); 16 if not set.
    pub fn topic_alias_maximum(mut self, maximum: u16) -> Self {
        self.agent.topic_alias_maximum = maximum;
        self
    }

    /// Topic aliases that we use where the server allows them (MQTT 5.0); 16 if not set.
    pub fn send_alias_maximum(mut self, maximum: u16) -> Self {
        self.agent.send_alias_maximum = maximum;
        self
    }

    /// How long an attempt may take, from opening the transport to CONNACK; 20 s if not set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.agent.connect_timeout = timeout;
        self
    }

    /// How long to wait for a sign of life after PINGREQ; 10 s if not set.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.agent.ping_timeout = timeout;
        self
    }

    /// When to try again; see [`Reconnect`].
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.agent.reconnect = reconnect;
        self
    }

    /// Room for messages that are not finished; see [`OutboxLimits`].
    pub fn outbox(mut self, limits: OutboxLimits) -> Self {
        self.agent.outbox = limits;
        self
    }

    /// What happens when there is no room; [`Overflow::Block`] if not set.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self.agent.overflow = match overflow {
            Overflow::Block | Overflow::Reject => ternmq_agent::Overflow::Reject,
            Overflow::DropOldest => ternmq_agent::Overflow::DropOldest,
        };
        self
    }

    /// What happens to messages at QoS 0 while there is no connection; they wait if not set.
    pub fn offline(mut self, offline: Offline) -> Self {
        self.agent.offline = offline;
        self
    }

    /// What happens to messages in flight when the server has lost the session; they are published
    /// again if not set.
    pub fn session_lost(mut self, policy: SessionLost) -> Self {
        self.agent.session_lost = policy;
        self
    }

    /// Opens transports in another way than by TCP.
    pub fn connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = connector;
        self
    }
}

impl fmt::Debug for Options {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("server", &self.connector.name())
            .field("version", &self.agent.version)
            .field("client_id", &self.agent.client_id)
            .finish_non_exhaustive()
    }
}

/// What is wrong with [`Options`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OptionsError {
    /// They do not fit together.
    Agent(ternmq_agent::OptionsError),
    /// Not `scheme://host` or `scheme://host:port`.
    Url(String),
    /// A scheme that is not built in.
    Scheme(String),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionsError::Agent(error) => error.fmt(f),
            OptionsError::Url(url) => {
                write!(f, "'{url}' is not a server address; one is tcp://host:port")
            }
            OptionsError::Scheme(scheme) => {
                write!(f, "'{scheme}://' is not supported; tcp:// and mqtt:// are")
            }
        }
    }
}

impl std::error::Error for OptionsError {}

impl From<ternmq_agent::OptionsError> for OptionsError {
    fn from(error: ternmq_agent::OptionsError) -> Self {
        OptionsError::Agent(error)
    }
}

fn parse_url(url: &str) -> Result<(String, u16), OptionsError> {
    let wrong = || OptionsError::Url(url.to_owned());
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    if !matches!(scheme, "tcp" | "mqtt") {
        return Err(OptionsError::Scheme(scheme.to_owned()));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or_else(wrong)?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':').ok_or_else(wrong)?)),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong())?,
        None => DEFAULT_PORT,
    };
    if host.is_empty() || host.contains(['/', '@', '?', '#']) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

const DEFAULT_PORT: u16 = 1883;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parsed = |url| parse_url(url).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(parsed("tcp://a.example:1884").unwrap(), "a.example 1884");
        assert_eq!(parsed("mqtt://10.0.0.1").unwrap(), "10.0.0.1 1883");
        assert_eq!(parsed("mqtt://h/").unwrap(), "h 1883");
        assert_eq!(parsed("tcp://[::1]:99").unwrap(), "::1 99");
        assert_eq!(parsed("tcp://[::1]").unwrap(), "::1 1883");
        for bad in [
            "",
            "host",
            "tcp://",
            "tcp://:1",
            "tcp://h:x",
            "tcp://h:70000",
            "tcp://[::1",
            "tcp://u@h",
        ] {
            assert!(matches!(parsed(bad), Err(OptionsError::Url(_))), "{bad}");
        }
        assert!(matches!(parsed("ftp://h"), Err(OptionsError::Scheme(_))));
    }

    #[test]
    fn the_password_is_not_shown() {
        let options = Options::new("h", 1).user_name("u").password("geheim");
        assert!(!format!("{options:?}").contains("geheim"));
    }
}
