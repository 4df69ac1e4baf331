//! Where clients come in: listener URLs, and what is said about one listener.
//!
//! Nothing here opens a socket; host names are resolved when the broker starts.

use std::fmt;
use std::net::IpAddr;

/// One place to listen, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub url: ListenUrl,
    /// Whether clients without credentials are taken.
    pub anonymous: bool,
}

/// A listener as far as its sources have described it.
#[derive(Debug, Clone, Default)]
pub struct ListenerDraft {
    pub(super) url: Option<ListenUrl>,
    pub(super) anonymous: Option<bool>,
}

/// A listener's URL: `tcp://HOST:PORT`, HOST a name, an IPv4 address, or an IPv6 address in
/// brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrl {
    /// How the bytes are carried.
    pub scheme: Scheme,
    /// A host name or an address, without brackets.
    pub host: String,
    /// The port; 0 lets the system pick.
    pub port: u16,
}

/// How the bytes of a connection are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// MQTT over plain TCP.
    Tcp,
}

impl ListenUrl {
    /// Parses `tcp://HOST[:PORT]`; without a port it is 1883. `Err` says in words what is wanted.
    pub fn parse(text: &str) -> Result<ListenUrl, String> {
        let Some((scheme, authority)) = text.split_once("://") else {
            return Err("a URL such as \"tcp://127.0.0.1:1883\"".to_owned());
        };
        let scheme = match scheme {
            "tcp" | "mqtt" => Scheme::Tcp,
            "tls" | "mqtts" | "ssl" | "ws" | "wss" | "unix" => {
                return Err("tcp://HOST:PORT (other transports are not available yet)".to_owned());
            }
            _ => return Err("the scheme tcp://".to_owned()),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split_port(authority)?;
        Ok(ListenUrl { scheme, host: host.to_owned(), port })
    }

    /// Whether only this machine can reach it. A host name other than `localhost` counts as
    /// reachable, whatever it resolves to.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost",
        }
    }
}

/// Splits `HOST[:PORT]` or `[V6][:PORT]`.
fn split_port(authority: &str) -> Result<(&str, u16), String> {
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) =
            bracketed.split_once(']').ok_or("a closing bracket after the IPv6 address")?;
        if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
            return Err("an IPv6 address between the brackets".to_owned());
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("[IPv6]:PORT".to_owned()),
        }
    } else {
        match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err("a host before the port; 0.0.0.0 is every IPv4 address, [::] every one".into());
    }
    if host.contains(['/', '?', '#', '@']) || (host.contains(':') && !authority.starts_with('[')) {
        return Err("tcp://HOST:PORT, an IPv6 address in brackets".to_owned());
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(text) if text.bytes().all(|it| it.is_ascii_digit()) => {
            text.parse().map_err(|_| "a port from 0 to 65535".to_owned())?
        }
        Some(_) => return Err("a port from 0 to 65535".to_owned()),
    };
    Ok((host, port))
}

const DEFAULT_PORT: u16 = 1883;

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scheme::Tcp = self.scheme;
        if self.host.contains(':') {
            write!(f, "tcp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "tcp://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_every_kind_of_host_are_read_and_shown_alike() {
        for text in ["tcp://127.0.0.1:1883", "tcp://[::1]:0", "tcp://broker.example:65535"] {
            assert_eq!(ListenUrl::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(ListenUrl::parse("mqtt://localhost").map(|it| it.port), Ok(1883));
        assert_eq!(ListenUrl::parse("tcp://[::]/").map(|it| it.host), Ok("::".to_owned()));
    }

    #[test]
    fn what_is_not_a_url_is_refused_with_words() {
        for text in [
            "127.0.0.1:1883",
            "tcp://",
            "tcp://:1883",
            "tcp://host:port",
            "tcp://host:65536",
            "tcp://host:",
            "tcp://::1:1883",
            "tcp://[::1",
            "tcp://[host]:1",
            "tcp://[::1]1883",
            "tcp://user@host:1",
            "tls://host:8883",
            "ftp://host:21",
        ] {
            assert!(ListenUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_known_without_asking_the_network() {
        let loopback = |text| ListenUrl::parse(text).map(|it| it.is_loopback());
        assert_eq!(loopback("tcp://127.3.2.1:1"), Ok(true));
        assert_eq!(loopback("tcp://[::1]:1"), Ok(true));
        assert_eq!(loopback("tcp://localhost:1"), Ok(true));
        assert_eq!(loopback("tcp://0.0.0.0:1"), Ok(false));
        assert_eq!(loopback("tcp://example:1"), Ok(false));
    }
}
