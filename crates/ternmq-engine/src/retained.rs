//! Retained messages: the last retained PUBLISH of every topic this shard owns (section 3.3.1.3).
//!
//! Owned by `hash(topic)`, not by session, so a wildcard subscription asks every shard. Topics are
//! ordered level by level, so that a filter with wildcards jumps over what it cannot match instead
//! of looking at every topic. This is not a history, not a queue, and not a cache of the store.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use ternmq_proto::planted::{self, Bug};
use ternmq_proto::{ReasonCode, TopicFilter};

use crate::message::{Message, Publication};
use crate::node::envelope::Sender;
use crate::placement::ShardId;
use crate::shard::{Held, Shard};
use crate::stats::DropReason;

/// Topics looked at for one page, so that no query holds up a turn.
const LOOKS_PER_PAGE: usize = 4_096;

/// Expired messages forgotten at a time.
const EXPIRED_AT_ONCE: usize = 1_024;

/// In a key, `/` is NUL, which no topic holds: so bytes compare as levels do, and a topic stands
/// right before everything below it.
const SEPARATOR: u8 = 0;
/// Greater than any level, because it is not UTF-8.
const BEYOND: u8 = 0xff;

#[derive(Debug, Default)]
pub struct Retained {
    topics: BTreeMap<Box<[u8]>, Rc<Message>>,
    /// Those that expire, by the wall clock at which they do.
    expiring: BTreeSet<(u64, Box<[u8]>)>,
    bytes: u64,
}

/// A part of what a filter matches.
#[derive(Debug, Default)]
pub struct Page {
    pub messages: Vec<Rc<Message>>,
    /// Ask again after this topic; `None`: that was all.
    pub after: Option<String>,
}

/// How much one page may hold.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    pub messages: usize,
    pub bytes: u64,
}

impl Retained {
    pub fn len(&self) -> u64 {
        self.topics.len() as u64
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn get(&self, topic: &str) -> Option<&Rc<Message>> {
        self.topics.get(&*key(topic))
    }

    pub fn set(&mut self, message: Rc<Message>) {
        let topic = message.view().topic;
        self.clear(topic);
        let key = key(topic);
        let expires = message.view().expires;
        if expires > 0 {
            self.expiring.insert((expires, key.clone()));
        }
        self.bytes += message.cost();
        self.topics.insert(key, message);
    }

    pub fn clear(&mut self, topic: &str) {
        let key = key(topic);
        let Some(before) = self.topics.remove(&key) else { return };
        self.bytes -= before.cost();
        let expires = before.view().expires;
        if expires > 0 {
            self.expiring.remove(&(expires, key));
        }
    }

    /// Forgets what has expired, up to so many. `true`: there was something.
    pub fn expire(&mut self, wall: u64, messages: usize) -> bool {
        let mut is_changed = false;
        for _ in 0..messages {
            let Some((_, topic)) = self.expiring.first().filter(|(at, _)| *at <= wall) else {
                break;
            };
            if let Some(message) = self.topics.remove(topic) {
                self.bytes -= message.cost();
            }
            self.expiring.pop_first();
            is_changed = true;
        }
        is_changed
    }

    /// The retained messages that match `filter`, in the order of their topics, from behind the
    /// topic `after`, until the limit is reached. Expired ones are skipped.
    pub fn page(&self, filter: TopicFilter<'_>, after: &str, wall: u64, limit: PageLimit) -> Page {
        let mut page = Page::default();
        if !filter.has_wildcard() {
            let found = self.get(filter.as_str()).filter(|it| !it.has_expired(wall));
            page.messages.extend(found.map(Rc::clone));
            return page;
        }
        let mut bytes = 0;
        let mut from = if after.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(key(after).into_vec())
        };
        for look in 1.. {
            let start = match &from {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included(place) => Bound::Included(&place[..]),
                Bound::Excluded(place) => Bound::Excluded(&place[..]),
            };
            let mut rest = self.topics.range::<[u8], _>((start, Bound::Unbounded));
            let Some((topic, message)) = rest.next() else { return page };
            from = match next_possible(filter.as_str(), topic) {
                Next::Match => {
                    if !message.has_expired(wall) {
                        bytes += message.cost();
                        page.messages.push(Rc::clone(message));
                    }
                    Bound::Excluded(topic.to_vec())
                }
                Next::From(place) => Bound::Included(place),
                Next::None => return page,
            };
            let full = page.messages.len() >= limit.messages || bytes >= limit.bytes;
            if full || look >= LOOKS_PER_PAGE {
                page.after = Some(message.view().topic.to_owned());
                return page;
            }
        }
        page
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rc<Message>> {
        self.topics.values()
    }
}

impl Shard {
    /// Keeps, replaces or clears the retained message of a topic that this shard owns.
    pub fn on_retain(&mut self, from: ShardId, sender: Sender, publication: &Publication<'_>) {
        let mut code = ReasonCode::Success;
        self.expire_retained();
        if publication.payload.is_empty() && !planted::is(Bug::KeepEmptyRetained) {
            self.retained.clear(publication.topic);
        } else if self.retained_is_full(publication) {
            self.stats.drop(DropReason::RetainedFull, 1);
            code = ReasonCode::QuotaExceeded;
        } else {
            self.retained.set(Message::new(publication, &self.tally));
        }
        self.stats.retained = self.retained.len();
        self.stats.retained_bytes = self.retained.bytes();
        self.stage();
        self.hold(Held::Receipt { to: from, sender, code, retained: true });
    }

    /// A retained message that expires is one no longer (section 3.3.1.3).
    pub fn expire_retained(&mut self) {
        if self.retained.expire(self.now.wall, EXPIRED_AT_ONCE) {
            self.stats.retained = self.retained.len();
            self.stats.retained_bytes = self.retained.bytes();
            self.stage();
        }
    }

    fn retained_is_full(&self, publication: &Publication<'_>) -> bool {
        let known = self.retained.get(publication.topic).map(|message| message.cost());
        let count = self.retained.len() + u64::from(known.is_none());
        let bytes = self.retained.bytes() - known.unwrap_or(0)
            + (publication.topic.len() + publication.payload.len()) as u64;
        count > self.settings.retained_count_max
            || bytes > self.settings.retained_bytes_max
            || (bytes > self.retained.bytes() && self.is_over_budget())
    }
}

fn key(topic: &str) -> Box<[u8]> {
    topic.bytes().map(|byte| if byte == b'/' { SEPARATOR } else { byte }).collect()
}

/// Where the next match of a filter can be, seen from a topic.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It is this topic.
    Match,
    /// Not before this key, which lies behind the topic.
    From(Vec<u8>),
    /// There is none.
    None,
}

fn next_possible(filter: &str, topic: &[u8]) -> Next {
    let mut levels = topic.split(|byte| *byte == SEPARATOR);
    // Bytes of the topic in the levels already passed, separators included.
    let mut passed = 0;
    // End of the last level that stood under a `+`: the only place where another value may match.
    let mut last_free = None;
    for wanted in filter.split('/') {
        let hidden = passed == 0 && topic.first() == Some(&b'$');
        match (wanted, levels.next()) {
            ("#", _) if !hidden => return Next::Match,
            ("+", Some(level)) if !hidden => {
                last_free = Some(passed + level.len());
                passed += level.len() + 1;
            }
            ("#" | "+", Some(level)) => return beyond(&topic[..level.len()]),
            // The topic ends above the filter; deeper ones follow it.
            (_, None) => return just_after(topic),
            (_, Some(level)) => match wanted.as_bytes().cmp(level) {
                Ordering::Equal => passed += level.len() + 1,
                Ordering::Greater => {
                    let mut place = topic[..passed].to_vec();
                    place.extend_from_slice(wanted.as_bytes());
                    return Next::From(place);
                }
                Ordering::Less => {
                    return last_free.map_or(Next::None, |end| beyond(&topic[..end]));
                }
            },
        }
    }
    match levels.next() {
        None => Next::Match,
        // The topic goes on below the filter, and so does everything with the same beginning.
        Some(_) => beyond(&topic[..passed - 1]),
    }
}

/// Behind a topic and everything below it.
fn beyond(prefix: &[u8]) -> Next {
    let mut place = prefix.to_vec();
    place.extend_from_slice(&[SEPARATOR, BEYOND]);
    Next::From(place)
}

fn just_after(topic: &[u8]) -> Next {
    let mut place = topic.to_vec();
    place.push(SEPARATOR);
    Next::From(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Publisher, Stamp};
    use crate::tally::Tally;
    use ternmq_proto::{Properties, Qos};

    fn store(topics: &[&str]) -> Retained {
        let tally = Tally::default();
        let mut retained = Retained::default();
        for (number, topic) in topics.iter().enumerate() {
            let publication = Publication {
                topic,
                payload: b"x",
                properties: Properties::EMPTY,
                qos: Qos::AtMostOnce,
                retain: true,
                expires: 0,
                publisher: Publisher::BROKER,
                stamp: Stamp { shard: ShardId(0), number: number as u64 },
                origin: None,
            };
            retained.set(Message::new(&publication, &tally));
        }
        retained
    }

    fn all(retained: &Retained, filter: &str, page_messages: usize) -> Vec<String> {
        let filter = TopicFilter::parse(filter).unwrap();
        let limit = PageLimit { messages: page_messages, bytes: u64::MAX };
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = retained.page(filter, &after, 0, limit);
            found.extend(page.messages.iter().map(|it| it.view().topic.to_owned()));
            match page.after {
                Some(topic) => after = topic,
                None => return found,
            }
        }
    }

    #[test]
    fn jumping_finds_what_looking_at_each_topic_finds() {
        let words = ["", "a", "a!", "b", "$SYS", "c"];
        let mut topics = vec!["a".to_owned(), "b".to_owned(), "$SYS".to_owned()];
        for first in words {
            for second in words {
                topics.push(format!("{first}/{second}"));
                for third in words {
                    topics.push(format!("{first}/{second}/{third}"));
                }
            }
        }
        let texts: Vec<&str> = topics.iter().map(String::as_str).collect();
        let retained = store(&texts);
        let filters = [
            "#", "+", "+/+", "+/+/+", "a", "a/#", "a/+/c", "+/b", "+/b/#", "+/+/c", "/+", "+/",
            "$SYS/#", "$SYS/+/b", "a!/#", "nobody/#", "c/c/c", "+/a!/+",
        ];
        for filter in filters {
            let parsed = TopicFilter::parse(filter).unwrap();
            let mut expected: Vec<String> =
                topics.iter().filter(|topic| parsed.matches(topic)).cloned().collect();
            expected.sort();
            expected.dedup();
            for page_messages in [1, 3, usize::MAX] {
                let mut found = all(&retained, filter, page_messages);
                found.sort();
                assert_eq!(found, expected, "{filter}, {page_messages} a page");
            }
        }
    }

    #[test]
    fn bytes_are_those_of_the_messages_that_are_there() {
        let mut retained = store(&["a", "b", "a"]);
        assert_eq!(retained.len(), 2);
        retained.clear("a");
        retained.clear("a");
        retained.clear("b");
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
    }
}
