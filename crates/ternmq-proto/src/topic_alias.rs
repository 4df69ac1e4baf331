//! Topic aliases of one connection (MQTT 5, section 3.3.2.3.4), one table for each direction.
//! They never outlive the connection (MQTT-3.3.2-7).

use alloc::{borrow::ToOwned, boxed::Box, vec::Vec};

use crate::planted::{self, Bug};
use crate::{Error, Violation};

/// The aliases that the peer has set.
#[derive(Debug, Default)]
pub struct AliasesIn {
    /// Index `alias - 1`; grows only as far as the peer goes.
    topics: Vec<Option<Box<str>>>,
    maximum: u16,
}

impl AliasesIn {
    /// Takes the aliases `1..=maximum`.
    pub fn new(maximum: u16) -> Self {
        AliasesIn { topics: Vec::new(), maximum }
    }

    /// The topic that a PUBLISH means by `topic` and `alias`; sets the alias when both are there.
    ///
    /// # Errors
    /// An alias of 0 or over the maximum, or one that was never set (0x94).
    pub fn resolve<'a>(&'a mut self, topic: &'a str, alias: u16) -> Result<&'a str, Error> {
        let alias =
            if planted::is(Bug::IgnoreAliasMaximum) { alias.clamp(1, self.maximum) } else { alias };
        let invalid = Error::PeerMisbehaved(Violation::TopicAliasInvalid(alias));
        if alias == 0 || alias > self.maximum {
            return Err(invalid);
        }
        let index = usize::from(alias) - 1;
        if topic.is_empty() {
            return self.topics.get(index).and_then(|known| known.as_deref()).ok_or(invalid);
        }
        if index >= self.topics.len() {
            self.topics.resize_with(index + 1, || None);
        }
        if self.topics[index].as_deref() != Some(topic) {
            self.topics[index] = Some(topic.to_owned().into_boxed_str());
        }
        Ok(topic)
    }
}

/// The aliases that we have set.
#[derive(Debug)]
pub struct AliasesOut {
    /// Index `alias - 1`.
    slots: Vec<Slot>,
    maximum: u16,
    /// Whose turn it is to be asked whether it is still used, once all are.
    hand: u16,
}

#[derive(Debug)]
struct Slot {
    topic: Box<str>,
    /// Whether it was used since the hand came by last.
    is_used: bool,
}

/// How a topic goes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasOut {
    /// The peer knows it: send an empty topic and the alias.
    Known(u16),
    /// Send the topic and the alias that it gets.
    Set(u16),
}

impl AliasesOut {
    /// May use the aliases `1..=maximum`. The table is searched by comparison: keep it small.
    pub fn new(maximum: u16) -> Self {
        AliasesOut { slots: Vec::new(), maximum, hand: 0 }
    }

    /// The alias for a topic. When all are in use, a new topic asks one of them each time, in
    /// turn, and takes its place only if nobody has used it since it was asked last: so one
    /// topic more than there are aliases does not chase all of them away.
    /// `None` when no alias may be used, or none is free for this topic.
    pub fn assign(&mut self, topic: &str) -> Option<AliasOut> {
        if let Some(index) = self.slots.iter().position(|it| *it.topic == *topic) {
            self.slots[index].is_used = true;
            return Some(AliasOut::Known(index as u16 + 1));
        }
        if self.slots.len() < usize::from(self.maximum) {
            self.slots.push(Slot { topic: topic.into(), is_used: true });
            return Some(AliasOut::Set(self.slots.len() as u16));
        }
        let index = self.hand;
        let slot = self.slots.get_mut(usize::from(index))?;
        self.hand = (index + 1) % self.maximum;
        if core::mem::take(&mut slot.is_used) {
            return None;
        }
        *slot = Slot { topic: topic.into(), is_used: true };
        Some(AliasOut::Set(index + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_stands_for_its_topic_until_it_is_set_again() {
        let mut aliases = AliasesIn::new(2);
        assert_eq!(aliases.resolve("a", 1).unwrap(), "a");
        assert_eq!(aliases.resolve("", 1).unwrap(), "a");
        assert_eq!(aliases.resolve("b", 1).unwrap(), "b");
        assert_eq!(aliases.resolve("", 1).unwrap(), "b");
    }

    #[test]
    fn zero_unknown_and_too_large_aliases_are_violations() {
        let mut aliases = AliasesIn::new(2);
        assert!(aliases.resolve("a", 0).is_err());
        assert!(aliases.resolve("a", 3).is_err());
        assert!(aliases.resolve("", 2).is_err());
    }

    #[test]
    fn an_alias_that_is_not_used_is_taken_over() {
        let mut aliases = AliasesOut::new(2);
        assert_eq!(aliases.assign("a"), Some(AliasOut::Set(1)));
        assert_eq!(aliases.assign("b"), Some(AliasOut::Set(2)));
        assert_eq!(aliases.assign("a"), Some(AliasOut::Known(1)));
        assert_eq!(aliases.assign("c"), None, "a was used");
        assert_eq!(aliases.assign("a"), Some(AliasOut::Known(1)));
        assert_eq!(aliases.assign("c"), None, "b was used");
        assert_eq!(aliases.assign("c"), None, "a was used again");
        assert_eq!(aliases.assign("c"), Some(AliasOut::Set(2)), "b was not");
        assert_eq!(aliases.assign("c"), Some(AliasOut::Known(2)));
        assert_eq!(AliasesOut::new(0).assign("a"), None);
    }

    #[test]
    fn one_topic_more_than_aliases_leaves_them_useful() {
        let mut aliases = AliasesOut::new(2);
        let topics = ["a", "b", "c"].iter().cycle().take(60);
        let known = topics.filter(|it| matches!(aliases.assign(it), Some(AliasOut::Known(_))));
        assert!(known.count() > 30);
    }
}
