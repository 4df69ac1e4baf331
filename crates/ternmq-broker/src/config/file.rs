//! The TOML file: sections, keys and listeners, each with the line it stands on.
//!
//! Knows the shape of the file; what a value means is `setting`'s.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::listener::ListenerDraft;
use super::setting::Raw;
use super::table::{LISTENER_SETTINGS, SETTINGS};
use super::{Config, apply, unknown_key};

/// Reads `path` into `config` and returns its listeners.
pub fn read(path: &Path, config: &mut Config) -> Result<Vec<ListenerDraft>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { file: path.to_owned(), error })?;
    parse(path, &text, config)
}

/// Parses `text`, which was read from `path`.
pub fn parse(
    path: &Path,
    text: &str,
    config: &mut Config,
) -> Result<Vec<ListenerDraft>, ConfigError> {
    let source = Source { path, text };
    let root = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        place: source.place(error.span().map_or(text.len(), |it| it.start)),
        message: error.message().to_owned(),
    })?;
    let mut drafts = Vec::new();
    for (name, value) in root.get_ref() {
        let place = source.place(name.span().start);
        match value.get_ref() {
            DeValue::Array(tables) if name.get_ref() == "listener" => {
                for table in tables.iter() {
                    drafts.push(source.listener(table)?);
                }
            }
            _ if name.get_ref() == "listener" => {
                let wanted = "one or more [[listener]] tables".to_owned();
                let value = value.get_ref().type_str().to_owned();
                return Err(ConfigError::BadValue { place, key: "listener".into(), value, wanted });
            }
            DeValue::Table(section) => source.section(name.get_ref(), place, section, config)?,
            other => config.apply(place, name.get_ref(), raw_of(other))?,
        }
    }
    Ok(drafts)
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn section(
        &self,
        name: &str,
        place: Place,
        section: &DeTable<'_>,
        config: &mut Config,
    ) -> Result<(), ConfigError> {
        let sections = SETTINGS.iter().filter_map(|it| Some(it.key.split_once('.')?.0));
        if !sections.clone().any(|it| it == name) {
            return Err(unknown_key(place, name, sections.chain(["listener"])));
        }
        for (key, value) in section {
            let place = self.place(key.span().start);
            let full_key = format!("{name}.{}", key.get_ref());
            config.apply(place, &full_key, raw_of(value.get_ref()))?;
        }
        Ok(())
    }

    fn listener(&self, table: &Spanned<DeValue<'_>>) -> Result<ListenerDraft, ConfigError> {
        let place = self.place(table.span().start);
        let missing = |wanted: &str| ConfigError::BadValue {
            place: place.clone(),
            key: "listener".to_owned(),
            value: table.get_ref().type_str().to_owned(),
            wanted: wanted.to_owned(),
        };
        let keys = table.get_ref().as_table().ok_or_else(|| missing("a table"))?;
        let mut draft = ListenerDraft::default();
        for (key, value) in keys {
            let place = self.place(key.span().start);
            let shown = format!("listener.{}", key.get_ref());
            match LISTENER_SETTINGS.iter().find(|it| it.key == key.get_ref()) {
                Some(setting) => {
                    apply(setting, &mut draft, place, &shown, raw_of(value.get_ref()))?;
                }
                None => {
                    let known = LISTENER_SETTINGS.iter().map(|it| it.key);
                    return Err(unknown_key(place, key.get_ref(), known));
                }
            }
        }
        if draft.url.is_none() {
            return Err(missing("a table with its url"));
        }
        Ok(draft)
    }

    fn place(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|it| **it == b'\n').count();
        Place::File { file: self.path.to_owned(), line }
    }
}

fn raw_of<'a>(value: &'a DeValue<'_>) -> Raw<'a> {
    match value {
        DeValue::Boolean(value) => Raw::Flag(*value),
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            match i64::from_str_radix(&digits, integer.radix()) {
                Ok(value) => Raw::Integer(value),
                Err(_) => Raw::Other("an integer that is too large"),
            }
        }
        DeValue::String(text) => Raw::Text(text),
        other => Raw::Other(other.type_str()),
    }
}
