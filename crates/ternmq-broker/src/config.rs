//! The broker's configuration: what can be set, from where, and what it came to.
//!
//! Sources in the order in which they win, the last most: built-in defaults, the TOML file, the
//! environment, `--set`, the command line's own options. Every setting is declared once, in
//! `table`; a [`Config`] is what all sources together came to, checked and complete. This is not
//! the command line: the binary parses that and hands over [`Sources`].

mod error;
mod file;
mod listener;
mod reference;
mod setting;
mod table;
mod units;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use error::{ConfigError, Place};
pub use listener::{ListenUrl, Listener, Scheme};
pub use reference::reference;

use listener::ListenerDraft;
use setting::{Raw, Refused, Setting, nearest};
use table::SETTINGS;

/// Everything that can be set, resolved and within bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where clients come in; at least one.
    pub listeners: Vec<Listener>,
    /// Shard threads; 0 = one for each core.
    pub shards: u16,
    /// See `allow_anonymous` in the reference.
    pub allow_anonymous: bool,
    /// `[queue]`
    pub queue: Queue,
    /// `[message]`
    pub message: Message,
    /// `[session]`
    pub session: Session,
    /// `[limit]`
    pub limit: Limit,
    /// `[sys]`
    pub sys: Sys,
    /// `[log]`
    pub log: Log,
}

/// Bounds of one session's queue.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Queue {
    /// Messages that may wait.
    pub messages: u32,
    /// Bytes that may wait.
    pub bytes: u64,
    /// What happens to one message more.
    pub overflow: Overflow,
}

/// What happens to a message whose session's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It is dropped.
    #[default]
    DropNewest,
    /// The oldest waiting message is dropped in its place.
    DropOldest,
    /// The publisher is answered with 0x97.
    Refuse,
}

impl From<Overflow> for ternmq_engine::Overflow {
    fn from(overflow: Overflow) -> Self {
        match overflow {
            Overflow::DropNewest => ternmq_engine::Overflow::DropNewest,
            Overflow::DropOldest => ternmq_engine::Overflow::DropOldest,
            Overflow::Refuse => ternmq_engine::Overflow::Refuse,
        }
    }
}

/// Expiry of messages.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Message {
    /// For publishers that set none; zero = never.
    pub expiry_default: Duration,
    /// The longest; zero = no limit.
    pub expiry_max: Duration,
}

/// What is granted to one session or connection.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Session {
    /// The longest session expiry; zero = no limit.
    pub expiry_max: Duration,
    /// For clean_session=0 before MQTT 5; zero = for ever.
    pub expiry_v3: Duration,
    /// The longest keep alive; zero = no limit.
    pub keep_alive_max: Duration,
    /// Unacknowledged messages that a client may send.
    pub receive_maximum: u16,
    /// Unacknowledged messages that a client is sent.
    pub inflight_max: u16,
    /// Aliases that a client may use.
    pub topic_alias_max: u16,
    /// Aliases that the broker uses.
    pub topic_alias_out_max: u16,
    /// Subscriptions of one session.
    pub subscriptions_max: u32,
}

/// Limits of the whole process.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Limit {
    /// Bytes for everything that clients can fill; 0 = half of the machine's.
    pub memory: u64,
    /// Connected clients; 0 = as the limit of open files allows.
    pub connections: u32,
    /// Connections before the end of their CONNECT.
    pub pending_connections: u32,
    /// Time for a CONNECT.
    pub connect_time: Duration,
    /// Bytes of a CONNECT.
    pub connect_bytes: u32,
    /// Bytes of any packet.
    pub packet_bytes: u32,
    /// Retained topics.
    pub retained_messages: u64,
    /// Bytes of all retained messages.
    pub retained_bytes: u64,
    /// Levels of a topic.
    pub topic_levels: u16,
}

/// The `$SYS` topics.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Sys {
    /// Zero = never published.
    pub interval: Duration,
}

/// What is logged.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Log {
    /// The least important level that is shown.
    pub level: LogLevel,
}

/// How important a logged event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something may stop working.
    Warn,
    /// What an operator wants to see once.
    #[default]
    Info,
    /// What explains one connection.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const ALL: [LogLevel; 5] =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
}

/// Where a configuration comes from. The environment is handed in, so that a test has its own.
#[derive(Debug, Default)]
pub struct Sources<E = Vec<(OsString, OsString)>> {
    /// `--config FILE`.
    pub file: Option<PathBuf>,
    /// `--set KEY=VALUE`, in order.
    pub set: Vec<(String, String)>,
    /// `--listen URL`; if there is any, the file's listeners are not used.
    pub listen: Vec<String>,
    /// `--shards N`.
    pub shards: Option<u16>,
    /// `--memory`: the same as `durability.mode = "memory"`.
    pub memory: bool,
    /// `--allow-anonymous`.
    pub allow_anonymous: bool,
    /// Usually `std::env::vars_os()`. Only names that begin with `TERNMQ_` are looked at.
    pub environment: E,
}

impl Config {
    /// Reads and checks all sources.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place. Nothing has been opened or started.
    pub fn load<E>(sources: Sources<E>) -> Result<Config, ConfigError>
    where
        E: IntoIterator<Item = (OsString, OsString)>,
    {
        let mut config = Config::without_listeners();
        let mut drafts = match &sources.file {
            Some(path) => file::read(path, &mut config)?,
            None => Vec::new(),
        };
        if let Some(from_environment) = config.apply_environment(sources.environment)? {
            drafts = from_environment;
        }
        for (key, value) in &sources.set {
            config.apply(Place::Set, key, Raw::Word(value))?;
        }
        if let Some(shards) = sources.shards {
            config.apply(Place::Set, "shards", Raw::Integer(i64::from(shards)))?;
        }
        if sources.memory {
            config.apply(Place::Set, "durability.mode", Raw::Word("memory"))?;
        }
        config.allow_anonymous |= sources.allow_anonymous;
        if !sources.listen.is_empty() {
            drafts = drafts_of(Place::Listen, sources.listen.iter().map(String::as_str))?;
        }
        if drafts.is_empty() {
            drafts = drafts_of(Place::Listen, [DEFAULT_LISTENER].into_iter())?;
        }
        config.listeners =
            drafts.into_iter().map(|it| config.listener(it)).collect::<Result<_, _>>()?;
        Ok(config)
    }

    /// What tests start a broker with: two shards, one loopback listener on a free port, no
    /// `$SYS` topics, a budget that does not depend on the machine.
    pub fn for_tests() -> Config {
        let mut config = Config::without_listeners();
        let url = ListenUrl { scheme: Scheme::Tcp, host: "127.0.0.1".to_owned(), port: 0 };
        config.listeners = vec![Listener { url, anonymous: true }];
        config.shards = 2;
        config.sys.interval = Duration::ZERO;
        config.limit.memory = 256 << 20;
        config.limit.connections = 10_000;
        config
    }

    /// Every setting at its declared default.
    fn without_listeners() -> Config {
        let mut config = Config {
            listeners: Vec::new(),
            shards: 0,
            allow_anonymous: false,
            queue: Queue::default(),
            message: Message::default(),
            session: Session::default(),
            limit: Limit::default(),
            sys: Sys::default(),
            log: Log::default(),
        };
        for setting in SETTINGS {
            setting
                .apply(&mut config, Raw::Word(setting.default))
                .expect("a declared default is lawful: a test applies all of them");
        }
        config
    }

    /// Stores the value of one key.
    fn apply(&mut self, place: Place, key: &str, raw: Raw<'_>) -> Result<(), ConfigError> {
        match SETTINGS.iter().find(|it| it.key == key) {
            Some(setting) => apply(setting, self, place, key, raw),
            None => Err(unknown_key(place, key, SETTINGS.iter().map(|it| it.key))),
        }
    }

    /// Stores what `TERNMQ_...` variables say. A variable without a dot in its key that is no
    /// setting is not ours: Kubernetes makes `TERNMQ_PORT` for a service of that name.
    fn apply_environment(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Option<Vec<ListenerDraft>>, ConfigError> {
        let mut drafts = None;
        let mut ours: Vec<(String, String)> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with("TERNMQ_"))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        ours.sort();
        for (name, value) in &ours {
            let place = Place::Environment(name.clone());
            if name == LISTEN_VARIABLE {
                drafts =
                    Some(drafts_of(place, value.split([',', ' ']).filter(|it| !it.is_empty()))?);
                continue;
            }
            match SETTINGS.iter().find(|it| it.environment_variable() == *name) {
                Some(setting) => apply(setting, self, place, setting.key, Raw::Word(value))?,
                None if name.contains("__") => {
                    let variables: Vec<String> =
                        SETTINGS.iter().map(Setting::environment_variable).collect();
                    let known = variables.iter().map(String::as_str);
                    return Err(unknown_key(place, name, known));
                }
                None => {}
            }
        }
        Ok(drafts)
    }

    /// A listener with what it left open decided.
    fn listener(&self, draft: ListenerDraft) -> Result<Listener, ConfigError> {
        let url = draft.url.expect("a draft is kept only with its URL");
        let open_to_others = !url.is_loopback() && !self.allow_anonymous;
        match draft.anonymous {
            Some(anonymous) => Ok(Listener { url, anonymous }),
            None if open_to_others => {
                Err(ConfigError::AnonymousNotAllowed { url: url.to_string() })
            }
            None => Ok(Listener { url, anonymous: true }),
        }
    }
}

/// Stores one value, and turns a refusal into an error that says where.
fn apply<T>(
    setting: &Setting<T>,
    target: &mut T,
    place: Place,
    key: &str,
    raw: Raw<'_>,
) -> Result<(), ConfigError> {
    setting.apply(target, raw).map_err(|refused| {
        let (key, value) = (key.to_owned(), raw.shown());
        match refused {
            Refused::Wanted(wanted) => ConfigError::BadValue { place, key, value, wanted },
            Refused::Unavailable(instead) => {
                ConfigError::Unavailable { place, key, value, instead }
            }
        }
    })
}

fn unknown_key<'a>(
    place: Place,
    key: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> ConfigError {
    let by_last_part = || {
        let mut same_end =
            known.clone().filter(|it| it.rsplit('.').next() == key.rsplit('.').next());
        same_end.next().filter(|_| same_end.next().is_none())
    };
    let suggestion = nearest(key, known.clone()).or_else(by_last_part).map(str::to_owned);
    ConfigError::UnknownKey { place, key: key.to_owned(), suggestion }
}

fn drafts_of<'a>(
    place: Place,
    urls: impl Iterator<Item = &'a str>,
) -> Result<Vec<ListenerDraft>, ConfigError> {
    urls.map(|text| match ListenUrl::parse(text) {
        Ok(url) => Ok(ListenerDraft { url: Some(url), anonymous: None }),
        Err(wanted) => Err(ConfigError::BadValue {
            place: place.clone(),
            key: "url".to_owned(),
            value: text.to_owned(),
            wanted,
        }),
    })
    .collect()
}

/// Where a broker listens that nobody told where.
const DEFAULT_LISTENER: &str = "tcp://127.0.0.1:1883";
/// Listener URLs by environment, separated by commas: for containers.
const LISTEN_VARIABLE: &str = "TERNMQ_LISTEN";

#[cfg(test)]
mod tests;
