//! Topic names, topic filters and share names (sections 4.7 and 4.8.2).
//!
//! Who holds one of these types never checks the text again. Nothing is normalised: names are
//! compared byte by byte (MQTT-4.7.3-4). How many levels a topic may have is not decided here.

use core::fmt;

use crate::wire::{FIELD_BYTES_MAX, has_nul, scan};

/// The name of a topic: what a message is published to. It has no wildcards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// The only way to get a topic name.
    ///
    /// # Errors
    /// An empty or too long text, U+0000, and a wildcard (MQTT-4.7.0-1).
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_size(text)?;
        let seen = scan(text.as_bytes());
        if seen.nul {
            return Err(TopicError::NulCharacter);
        }
        if seen.wildcard {
            return Err(TopicError::Wildcard);
        }
        Ok(TopicName(text))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// The parts between the slashes; parts may be empty.
    pub fn levels(&self) -> core::str::Split<'a, char> {
        self.0.split('/')
    }
}

/// A topic filter: what a subscription wants, with `+` for one level and `#` for all that follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// The only way to get a topic filter. `$share/...` is not looked at here, see
    /// [`parse_subscription`].
    ///
    /// # Errors
    /// An empty or too long text, U+0000, and a wildcard that does not fill its level or a `#`
    /// that is not last (MQTT-4.7.1-1, MQTT-4.7.1-2).
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_size(text)?;
        let seen = scan(text.as_bytes());
        if seen.nul {
            return Err(TopicError::NulCharacter);
        }
        if seen.wildcard {
            let (parents, last) = text.rsplit_once('/').unwrap_or(("", text));
            let bad_parent = parents.split('/').any(|it| it != "+" && it.contains(['+', '#']));
            let bad_last = last.len() > 1 && last.contains(['+', '#']);
            if bad_parent || bad_last {
                return Err(TopicError::Wildcard);
            }
        }
        Ok(TopicFilter(text))
    }

    /// The filter as it was given.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// The parts between the slashes; parts may be empty.
    pub fn levels(&self) -> core::str::Split<'a, char> {
        self.0.split('/')
    }

    /// Whether there is a `+` or a `#` in it.
    pub fn has_wildcard(&self) -> bool {
        scan(self.0.as_bytes()).wildcard
    }

    /// Whether a message published to `topic` is wanted.
    ///
    /// A filter that begins with a wildcard does not match a topic that begins with `$`
    /// (MQTT-4.7.2-1); `a/#` matches `a` as well.
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut names = topic.split('/');
        for level in self.levels() {
            match (level, names.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (level, Some(name)) if level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

/// The name of a group of subscribers that share a subscription.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ShareName<'a>(&'a str);

impl<'a> ShareName<'a> {
    /// The only way to get a share name.
    ///
    /// # Errors
    /// [`TopicError::ShareName`] for an empty name and for one with `/`, `+` or `#` in it
    /// (MQTT-4.8.2-1, MQTT-4.8.2-2); [`TopicError::NulCharacter`].
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        if has_nul(text.as_bytes()) {
            return Err(TopicError::NulCharacter);
        }
        if text.is_empty() || text.len() > FIELD_BYTES_MAX || text.contains(['/', '+', '#']) {
            return Err(TopicError::ShareName);
        }
        Ok(ShareName(text))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Reads what stands in a SUBSCRIBE: `$share/group/filter`, or a plain topic filter.
///
/// # Errors
/// Those of [`ShareName::parse`] and [`TopicFilter::parse`]; `$share/group` without a filter is
/// [`TopicError::ShareName`].
pub fn parse_subscription(
    text: &str,
) -> Result<(Option<ShareName<'_>>, TopicFilter<'_>), TopicError> {
    check_size(text)?;
    let Some(shared) = text.strip_prefix(SHARE_PREFIX) else {
        return Ok((None, TopicFilter::parse(text)?));
    };
    let (name, filter) = shared.split_once('/').ok_or(TopicError::ShareName)?;
    Ok((Some(ShareName::parse(name)?), TopicFilter::parse(filter)?))
}

/// Why a text is not a topic name, topic filter or share name.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicError {
    /// There is no character in it (MQTT-4.7.3-1).
    Empty,
    /// It holds U+0000 (MQTT-4.7.3-2).
    NulCharacter,
    /// The share name is empty, has a character it must not have, or no filter follows it.
    ShareName,
    /// It has more than 65,535 bytes (MQTT-4.7.3-3).
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A wildcard in a topic name, or at a place in a filter where none may be.
    Wildcard,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicError::Empty => f.write_str("it is empty"),
            TopicError::NulCharacter => f.write_str("it holds U+0000"),
            TopicError::ShareName => f.write_str(
                "a shared subscription is $share/NAME/FILTER, its name not empty and without + # /",
            ),
            TopicError::TooLong { bytes } => write!(f, "it has {bytes} bytes, over 65,535"),
            TopicError::Wildcard => f.write_str("a wildcard (+ or #) where none may be"),
        }
    }
}

impl core::error::Error for TopicError {}

/// What a shared subscription begins with.
pub(crate) const SHARE_PREFIX: &str = "$share/";

fn check_size(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        1..=FIELD_BYTES_MAX => Ok(()),
        bytes => Err(TopicError::TooLong { bytes }),
    }
}
