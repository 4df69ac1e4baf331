//! Every setting of the broker, declared once.
//!
//! TOML, `--set`, environment variables, error messages, defaults and the reference page all read
//! these tables. A new setting is an entry here and a field in [`Config`].

use std::time::Duration;

use super::listener::{ListenUrl, ListenerDraft};
use super::setting::{Kind, Reload, Setting};
use super::{Config, LogLevel, Overflow};

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 86_400_000;
/// MQTT counts expiries in 32 bits of seconds, and the largest means "never".
const EXPIRY_MS_MAX: u64 = (u32::MAX as u64 - 1) * SECOND_MS;
/// The largest packet that the standard's length field can announce.
const PACKET_BYTES_MAX: u64 = 268_435_455;

/// The settings of the broker as a whole.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "shards",
        kind: Kind::Count { bounds: (0, 64), set: |it, value| it.shards = value as u16 },
        default: "0",
        reload: Reload::Restart,
        doc: "Threads that run sessions. 0 takes one for each core that the process may use.",
    },
    Setting {
        key: "allow_anonymous",
        kind: Kind::Flag { set: |it, value| it.allow_anonymous = value },
        default: "false",
        reload: Reload::Restart,
        doc: "Whether listeners that do not say so themselves take clients without credentials \
              even when other machines can reach them. Loopback listeners always do.",
    },
    Setting {
        key: "durability.mode",
        kind: Kind::Choice {
            names: &["memory", "write", "sync"],
            set: |_, position| match position {
                0 => Ok(()),
                _ => Err("sessions are kept in memory so far: use \"memory\""),
            },
        },
        default: "memory",
        reload: Reload::Restart,
        doc: "What an acknowledgement means. memory: accepted, and lost when the process ends.",
    },
    Setting {
        key: "queue.messages",
        kind: Kind::Count {
            bounds: (1, 1_000_000_000),
            set: |it, value| it.queue.messages = value as u32,
        },
        default: "100000",
        reload: Reload::Restart,
        doc: "Messages that may wait for one session.",
    },
    Setting {
        key: "queue.bytes",
        kind: Kind::Bytes { bounds: (1 << 10, 1 << 40), set: |it, value| it.queue.bytes = value },
        default: "64MiB",
        reload: Reload::Restart,
        doc: "Bytes that may wait for one session.",
    },
    Setting {
        key: "queue.overflow",
        kind: Kind::Choice {
            names: &["drop-newest", "drop-oldest", "refuse"],
            set: |it, position| {
                it.queue.overflow =
                    [Overflow::DropNewest, Overflow::DropOldest, Overflow::Refuse][position];
                Ok(())
            },
        },
        default: "drop-newest",
        reload: Reload::Restart,
        doc: "What happens to a message whose session's queue is full. refuse answers the \
              publisher with 0x97; publishers before MQTT 5 cannot be told, for them it is \
              drop-newest.",
    },
    Setting {
        key: "message.expiry_default",
        kind: expiry(|it, value| it.message.expiry_default = value),
        default: "0s",
        reload: Reload::Restart,
        doc: "Expiry of a message whose publisher set none. 0s: it does not expire.",
    },
    Setting {
        key: "message.expiry_max",
        kind: expiry(|it, value| it.message.expiry_max = value),
        default: "0s",
        reload: Reload::Restart,
        doc: "Longest expiry of a message; a longer one is shortened. 0s: no limit.",
    },
    Setting {
        key: "session.expiry_max",
        kind: expiry(|it, value| it.session.expiry_max = value),
        default: "0s",
        reload: Reload::Restart,
        doc: "Longest time that a session outlives its connection; a longer wish is answered with \
              this. 0s: no limit.",
    },
    Setting {
        key: "session.expiry_v3",
        kind: expiry(|it, value| it.session.expiry_v3 = value),
        default: "0s",
        reload: Reload::Restart,
        doc: "How long a session with clean_session=0 of a client before MQTT 5, which cannot say, \
              outlives its connection. 0s: for ever (within session.expiry_max).",
    },
    Setting {
        key: "session.keep_alive_max",
        kind: Kind::Time {
            bounds_ms: (0, u16::MAX as u64 * SECOND_MS),
            step_ms: SECOND_MS,
            set: |it, value| it.session.keep_alive_max = value,
        },
        default: "0s",
        reload: Reload::Restart,
        doc: "Longest keep alive; an MQTT 5 client that asks for more, or for none, is told this \
              one. 0s: no limit.",
    },
    Setting {
        key: "session.receive_maximum",
        kind: Kind::Count {
            bounds: (1, u16::MAX as u64),
            set: |it, value| it.session.receive_maximum = value as u16,
        },
        default: "1024",
        reload: Reload::Restart,
        doc: "Unacknowledged QoS 1 and 2 messages that a client may send at once.",
    },
    Setting {
        key: "session.inflight_max",
        kind: Kind::Count {
            bounds: (1, u16::MAX as u64),
            set: |it, value| it.session.inflight_max = value as u16,
        },
        default: "1024",
        reload: Reload::Restart,
        doc: "Unacknowledged QoS 1 and 2 messages that are sent to a client at once; the client's \
              own receive maximum may be lower.",
    },
    Setting {
        key: "session.topic_alias_max",
        kind: Kind::Count {
            bounds: (0, u16::MAX as u64),
            set: |it, value| it.session.topic_alias_max = value as u16,
        },
        default: "64",
        reload: Reload::Restart,
        doc: "Topic aliases that a client may use when it publishes.",
    },
    Setting {
        key: "session.topic_alias_out_max",
        kind: Kind::Count {
            bounds: (0, u16::MAX as u64),
            set: |it, value| it.session.topic_alias_out_max = value as u16,
        },
        default: "16",
        reload: Reload::Restart,
        doc: "Topic aliases that the broker uses towards a client that allows them.",
    },
    Setting {
        key: "session.subscriptions_max",
        kind: Kind::Count {
            bounds: (1, u32::MAX as u64),
            set: |it, value| it.session.subscriptions_max = value as u32,
        },
        default: "10000",
        reload: Reload::Restart,
        doc: "Subscriptions of one session.",
    },
    Setting {
        key: "limit.memory",
        kind: Kind::Bytes { bounds: (0, 1 << 50), set: |it, value| it.limit.memory = value },
        default: "0B",
        reload: Reload::Restart,
        doc: "Memory for everything that clients can fill: queues, retained messages, output, and \
              a quarter of it for sessions, subscriptions and wills. At least 16MiB. 0B: half of \
              what the machine, or the container, has.",
    },
    Setting {
        key: "limit.connections",
        kind: Kind::Count {
            bounds: (0, u32::MAX as u64),
            set: |it, value| it.limit.connections = value as u32,
        },
        default: "0",
        reload: Reload::Restart,
        doc: "Clients that may be connected at once. More are told that the server is busy. \
              0: as many as the process may have open files for.",
    },
    Setting {
        key: "limit.pending_connections",
        kind: Kind::Count {
            bounds: (1, u32::MAX as u64),
            set: |it, value| it.limit.pending_connections = value as u32,
        },
        default: "4096",
        reload: Reload::Restart,
        doc: "Connections that have not finished their CONNECT. Beyond, the oldest is closed.",
    },
    Setting {
        key: "limit.connect_time",
        kind: Kind::Time {
            bounds_ms: (100, DAY_MS),
            step_ms: 1,
            set: |it, value| it.limit.connect_time = value,
        },
        default: "10s",
        reload: Reload::Restart,
        doc: "Time from the opening of a connection to the end of its CONNECT, authentication \
              included.",
    },
    Setting {
        key: "limit.connect_bytes",
        kind: Kind::Bytes {
            bounds: (1 << 10, PACKET_BYTES_MAX),
            set: |it, value| it.limit.connect_bytes = value as u32,
        },
        default: "64KiB",
        reload: Reload::Restart,
        doc: "Largest CONNECT and AUTH packet of a client that is not connected yet.",
    },
    Setting {
        key: "limit.packet_bytes",
        kind: Kind::Bytes {
            bounds: (1 << 10, PACKET_BYTES_MAX),
            set: |it, value| it.limit.packet_bytes = value as u32,
        },
        default: "8MiB",
        reload: Reload::Restart,
        doc: "Largest packet that is taken from a client; MQTT 5 clients are told.",
    },
    Setting {
        key: "limit.retained_messages",
        kind: Kind::Count {
            bounds: (0, u32::MAX as u64),
            set: |it, value| it.limit.retained_messages = value,
        },
        default: "10000000",
        reload: Reload::Restart,
        doc: "Topics that may have a retained message.",
    },
    Setting {
        key: "limit.retained_bytes",
        kind: Kind::Bytes {
            bounds: (0, 1 << 50),
            set: |it, value| it.limit.retained_bytes = value,
        },
        default: "1GiB",
        reload: Reload::Restart,
        doc: "Bytes that all retained messages may take together.",
    },
    Setting {
        key: "limit.topic_levels",
        kind: Kind::Count {
            bounds: (1, 65_535),
            set: |it, value| it.limit.topic_levels = value as u16,
        },
        default: "128",
        reload: Reload::Restart,
        doc: "Levels of a topic name or filter.",
    },
    Setting {
        key: "sys.interval",
        kind: Kind::Time {
            bounds_ms: (0, DAY_MS),
            step_ms: 1,
            set: |it, value| it.sys.interval = value,
        },
        default: "10s",
        reload: Reload::Restart,
        doc: "How often the $SYS topics are published. 0s: never.",
    },
    Setting {
        key: "log.level",
        kind: Kind::Choice {
            names: &["error", "warn", "info", "debug", "trace"],
            set: |it, position| {
                it.log.level = LogLevel::ALL[position];
                Ok(())
            },
        },
        default: "info",
        reload: Reload::Restart,
        doc: "The least important events that are written to standard error.",
    },
];

/// The settings of one `[[listener]]`.
pub const LISTENER_SETTINGS: &[Setting<ListenerDraft>] = &[
    Setting {
        key: "url",
        kind: Kind::Text {
            wanted: "a URL such as \"tcp://127.0.0.1:1883\"",
            set: |it, text| {
                it.url = Some(ListenUrl::parse(text)?);
                Ok(())
            },
        },
        default: "",
        reload: Reload::Restart,
        doc: "Where to listen: tcp://HOST:PORT. Port 0 picks a free one.",
    },
    Setting {
        key: "anonymous",
        kind: Kind::Flag { set: |it, value| it.anonymous = Some(value) },
        default: "",
        reload: Reload::Restart,
        doc: "Whether clients without credentials are taken. Default: on loopback yes, elsewhere \
              only with allow_anonymous.",
    },
];

const fn expiry(set: fn(&mut Config, Duration)) -> Kind<Config> {
    Kind::Time { bounds_ms: (0, EXPIRY_MS_MAX), step_ms: SECOND_MS, set }
}
