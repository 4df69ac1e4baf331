//! What the sources of a configuration come to, and what is said when they are wrong.

use super::*;
use std::collections::BTreeSet;
use std::path::Path;

fn from_text(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::without_listeners();
    let drafts = file::parse(Path::new("broker.toml"), text, &mut config)?;
    config.listeners =
        drafts.into_iter().map(|it| config.listener(it)).collect::<Result<_, _>>()?;
    Ok(config)
}

fn error_of(text: &str) -> String {
    from_text(text).expect_err("a wrong configuration is refused").to_string()
}

fn with_environment(name: &str, value: &str) -> Result<Config, ConfigError> {
    Config::load(Sources {
        environment: vec![(OsString::from(name), OsString::from(value))],
        ..Sources::default()
    })
}

#[test]
fn with_no_sources_it_listens_on_loopback_for_anybody() {
    let config = Config::load(Sources::<Vec<_>>::default()).expect("defaults are lawful");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].url.to_string(), "tcp://127.0.0.1:1883");
    assert!(config.listeners[0].anonymous);
    assert_eq!(config.queue.messages, 100_000);
    assert_eq!(config.queue.bytes, 64 << 20);
    assert_eq!(config.limit.connect_time, Duration::from_secs(10));
}

#[test]
fn every_section_of_the_file_reaches_its_setting() {
    let config = from_text(
        r#"
        shards = 3
        [[listener]]
        url = "tcp://0.0.0.0:1884"
        anonymous = true
        [queue]
        messages = 5_000
        bytes = "1MiB"
        overflow = "refuse"
        [message]
        expiry_default = "1h"
        [session]
        expiry_max = "7d"
        [limit]
        packet_bytes = 65536
        [durability]
        mode = "memory"
        [log]
        level = "debug"
        "#,
    )
    .expect("lawful");
    assert_eq!(config.shards, 3);
    assert_eq!(config.listeners[0].url.port, 1884);
    assert_eq!(config.queue.messages, 5_000);
    assert_eq!(config.queue.bytes, 1 << 20);
    assert_eq!(config.queue.overflow, Overflow::Refuse);
    assert_eq!(config.message.expiry_default, Duration::from_secs(3_600));
    assert_eq!(config.session.expiry_max, Duration::from_secs(7 * 86_400));
    assert_eq!(config.limit.packet_bytes, 65_536);
    assert_eq!(config.log.level, LogLevel::Debug);
}

#[test]
fn unknown_keys_are_errors_with_line_and_suggestion() {
    assert_eq!(
        error_of("[queue]\n\nmesages = 5\n"),
        "broker.toml:3: unknown setting queue.mesages; did you mean queue.messages?"
    );
    assert_eq!(
        error_of("[sesion]\nexpiry_max = \"1s\"\n"),
        "broker.toml:1: unknown setting sesion; did you mean session?"
    );
    assert_eq!(
        error_of("[[listener]]\nurll = \"tcp://127.0.0.1:1\"\n"),
        "broker.toml:2: unknown setting urll; did you mean url?"
    );
    assert_eq!(
        error_of("connect_time = \"1s\"\n"),
        "broker.toml:1: unknown setting connect_time; did you mean limit.connect_time?"
    );
    assert_eq!(error_of("colour = 1\n"), "broker.toml:1: unknown setting colour");
}

#[test]
fn wrong_types_and_values_out_of_bounds_name_file_line_and_key() {
    for (text, wanted) in [
        ("[queue]\nmessages = \"many\"", "broker.toml:2: queue.messages = \"many\": wanted"),
        (
            "[queue]\nmessages = 0",
            "broker.toml:2: queue.messages = 0: wanted a whole number from 1",
        ),
        ("[queue]\nmessages = -1", "broker.toml:2: queue.messages = -1: wanted"),
        ("[queue]\nmessages = 99999999999999999999", "broker.toml:2: queue.messages = (an integer"),
        ("[queue]\nbytes = 1.5", "broker.toml:2: queue.bytes = (float): wanted a size"),
        ("[queue]\noverflow = \"explode\"", "wanted one of \"drop-newest\""),
        ("[message]\nexpiry_max = 10", "broker.toml:2: message.expiry_max = 10: wanted a time"),
        ("[message]\nexpiry_max = \"1500ms\"", "in whole seconds"),
        ("allow_anonymous = \"yes\"", "broker.toml:1: allow_anonymous = \"yes\": wanted true or"),
        ("listener = 5", "wanted one or more [[listener]] tables"),
        ("listener = [1]", "listener = integer: wanted a table"),
        ("[[listener]]\nanonymous = true", "broker.toml:1: listener = table: wanted a table with"),
        ("[[listener]]\nurl = \"tls://127.0.0.1:1\"", "not available yet"),
        ("[queue\nmessages = 1", "broker.toml:1: "),
    ] {
        let error = error_of(text);
        assert!(error.contains(wanted), "{text:?} gave {error:?}");
    }
}

#[test]
fn durability_that_is_not_built_is_refused_honestly() {
    for mode in ["sync", "write"] {
        let error = error_of(&format!("[durability]\nmode = \"{mode}\"\n"));
        assert!(error.starts_with("broker.toml:2: durability.mode = "), "{error}");
        assert!(error.contains("not available yet"), "{error}");
    }
}

#[test]
fn an_open_listener_takes_anybody_only_when_told() {
    let listen = |allow_anonymous| {
        Config::load(Sources::<Vec<_>> {
            listen: vec!["tcp://0.0.0.0:0".to_owned()],
            allow_anonymous,
            ..Sources::default()
        })
    };
    assert!(matches!(listen(false), Err(ConfigError::AnonymousNotAllowed { .. })));
    assert!(listen(true).expect("allowed").listeners[0].anonymous);
    let closed = from_text("[[listener]]\nurl = \"tcp://0.0.0.0:1\"\nanonymous = false\n");
    assert!(!closed.expect("lawful").listeners[0].anonymous);
}

#[test]
fn later_sources_win() {
    let sources = |set: &[(&str, &str)]| {
        Config::load(Sources {
            set: set.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            environment: vec![("TERNMQ_QUEUE__MESSAGES".into(), "7".into())],
            ..Sources::default()
        })
        .expect("lawful")
    };
    assert_eq!(sources(&[]).queue.messages, 7);
    assert_eq!(sources(&[("queue.messages", "8")]).queue.messages, 8);
}

#[test]
fn the_environment_is_read_by_name_and_foreign_names_are_left_alone() {
    let config = with_environment("TERNMQ_LISTEN", "tcp://127.0.0.1:1, tcp://[::1]:2").expect("ok");
    assert_eq!(config.listeners.len(), 2);
    assert!(with_environment("TERNMQ_PORT", "tcp://10.0.0.1:1883").is_ok());
    assert!(with_environment("QUEUE__MESSAGES", "x").is_ok());
    let error = with_environment("TERNMQ_QUEUE__MESAGES", "1").expect_err("unknown").to_string();
    assert_eq!(
        error,
        "environment variable TERNMQ_QUEUE__MESAGES: unknown setting TERNMQ_QUEUE__MESAGES; \
         did you mean TERNMQ_QUEUE__MESSAGES?"
    );
}

#[test]
fn set_reports_its_own_errors() {
    let set = |key: &str, value: &str| {
        Config::load(Sources::<Vec<_>> {
            set: vec![(key.to_owned(), value.to_owned())],
            ..Sources::default()
        })
        .map(|_| ())
        .map_err(|error| error.to_string())
    };
    assert_eq!(set("queue.messages", "1_000"), Ok(()));
    assert_eq!(
        set("queue.messages", "x"),
        Err("--set: queue.messages = x: wanted a whole number from 1 to 1000000000".to_owned())
    );
    assert_eq!(
        set("queue.mesages", "1"),
        Err("--set: unknown setting queue.mesages; did you mean queue.messages?".to_owned())
    );
}

#[test]
fn a_missing_file_is_named() {
    let file = Some(PathBuf::from("no/such/broker.toml"));
    let error = Config::load(Sources::<Vec<_>> { file, ..Sources::default() }).expect_err("none");
    assert!(error.to_string().starts_with("no/such/broker.toml: "), "{error}");
}

#[test]
fn declarations_are_unique_described_and_their_defaults_lawful() {
    Config::without_listeners();
    let mut keys = BTreeSet::new();
    let page = reference();
    for setting in SETTINGS {
        assert!(keys.insert(setting.key), "{} is declared twice", setting.key);
        assert!(setting.doc.ends_with('.'), "{}", setting.key);
        assert!(page.contains(&setting.environment_variable()), "{}", setting.key);
    }
}
