//! Subscriptions that open: between SUBACK and the last retained message, live matches are held
//! back; then those that the retained messages already contained are dropped. So there is no gap,
//! and no old value after a new one.
//!
//! ```text
//!   subscribe ─▶ every shard knows the interest ─▶ owners are asked, page by page
//!        ─▶ fence: what was posted before the last page was kept has arrived ─▶ open
//! ```

use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;
use ternmq_proto::TopicFilter;
use ternmq_proto::planted::{self, Bug};

use crate::deliver::{Parcel, Terms};
use crate::filter_tree::NodeId;
use crate::interest::Entry;
use crate::message::{Message, Publication, Stamp};
use crate::node::envelope::Envelope;
use crate::node::lane::Lanes;
use crate::placement::ShardId;
use crate::retained::PageLimit;
use crate::session::{Identifiers, Queued};
use crate::shard::Shard;
use crate::slab::{Key, Slab};

/// What one page of retained messages may hold.
const PAGE: PageLimit = PageLimit { messages: 256, bytes: 256 << 10 };
/// Messages held back for one opening; beyond, the subscription opens at once.
const HELD_MAX: usize = 10_000;

/// A subscription whose retained messages are on their way.
#[derive(Debug)]
pub struct Opening {
    session: Key,
    node: NodeId,
    filter: Box<str>,
    entry: Entry,
    sources: Vec<Source>,
    held: Vec<Queued>,
    /// The retained message shown for each topic.
    shown: HashMap<Box<str>, Stamp>,
    started: bool,
    /// In the list of openings that may be able to go on.
    listed: bool,
}

/// How far one shard's part is.
#[derive(Debug)]
struct Source {
    shard: ShardId,
    /// It owns topics that may match; other shards are only asked for a fence.
    progress: Progress,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Ask {
        after: String,
    },
    Asked,
    AskFence,
    AskedFence,
    /// Open when this many requests of that shard have arrived.
    Fence(u64),
    Done,
}

impl Opening {
    pub fn new(
        session: Key,
        node: NodeId,
        filter: &str,
        entry: Entry,
        owners: Vec<ShardId>,
    ) -> Self {
        let sources = owners
            .into_iter()
            .map(|shard| Source { shard, progress: Progress::Ask { after: String::new() } })
            .collect();
        Opening {
            session,
            node,
            filter: filter.into(),
            entry,
            sources,
            held: Vec::new(),
            shown: HashMap::new(),
            started: false,
            listed: false,
        }
    }
}

/// All openings of a shard, and the answers that it owes to those of others.
#[derive(Debug)]
pub struct Openings {
    all: Slab<Opening>,
    active: Vec<Key>,
    /// Announcements that are answered when the retained messages sent before have been kept.
    answers: VecDeque<Answer>,
}

#[derive(Debug)]
struct Answer {
    shard: ShardId,
    waiter: Key,
    sent: Vec<u64>,
}

impl Default for Openings {
    fn default() -> Self {
        Openings { all: Slab::new(), active: Vec::new(), answers: VecDeque::new() }
    }
}

impl Openings {
    pub fn insert(&mut self, opening: Opening) -> Key {
        self.all.insert(opening)
    }

    pub fn remove(&mut self, key: Key) {
        self.all.remove(key);
    }

    pub fn is_empty(&self) -> bool {
        self.all.len() == 0
    }

    /// Whether one of them has a page to ask for.
    pub fn waits_for_room(&self) -> bool {
        self.active.iter().filter_map(|key| self.all.get(*key)).any(|opening| {
            opening.sources.iter().any(|it| matches!(it.progress, Progress::Ask { .. }))
        })
    }

    pub fn end_session(&mut self, session: Key) {
        let gone: Vec<Key> =
            self.all.iter().filter(|(_, it)| it.session == session).map(|(key, _)| key).collect();
        for key in gone {
            self.all.remove(key);
        }
    }

    pub fn defer_answer(&mut self, shard: ShardId, waiter: Key, sent: Vec<u64>) {
        self.answers.push_back(Answer { shard, waiter, sent });
    }

    pub fn next_answer(&mut self, lanes: &Lanes) -> Option<(ShardId, Key)> {
        if !lanes.retains_kept(&self.answers.front()?.sent) {
            return None;
        }
        self.answers.pop_front().map(|answer| (answer.shard, answer.waiter))
    }

    pub fn owes_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    fn list(&mut self, key: Key) {
        if let Some(opening) = self.all.get_mut(key)
            && opening.started
            && !opening.listed
        {
            opening.listed = true;
            self.active.push(key);
        }
    }
}

impl Shard {
    /// SUBACK has left: ask for the retained messages.
    pub fn start_opening(&mut self, key: Key) {
        if let Some(opening) = self.openings.all.get_mut(key) {
            opening.started = true;
            self.openings.list(key);
        }
    }

    /// Keeps a live match until the subscription is open.
    pub fn hold_back(&mut self, key: Key, terms: Terms, parcel: &mut Parcel<'_>) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        let message =
            parcel.owned.get_or_insert_with(|| Message::new(&parcel.publication, &self.tally));
        opening.held.push(Queued {
            message: Rc::clone(message),
            qos: terms.qos,
            retain: terms.retain,
            identifiers: terms.identifiers,
            ticket: terms.ticket,
        });
        let durable = self.sessions.get(opening.session).is_some_and(|it| it.is_durable());
        if durable {
            parcel.staged = true;
            self.staged += 1;
        }
        if opening.held.len() > HELD_MAX {
            self.close_opening(key);
        }
    }

    /// Lets openings go on, as far as credit and the consumer's socket and queue reach.
    pub fn pump_openings(&mut self) {
        for key in std::mem::take(&mut self.openings.active) {
            if let Some(opening) = self.openings.all.get_mut(key) {
                opening.listed = false;
                self.pump_opening(key);
            }
        }
    }

    fn pump_opening(&mut self, key: Key) {
        let Some(opening) = self.openings.all.get(key) else { return };
        let ready = self.takes_more(opening.session);
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        for source in &mut opening.sources {
            let shard = source.shard;
            match &source.progress {
                Progress::Ask { after } if ready && self.lanes.is_open(shard) => {
                    let query =
                        Envelope::RetainedQuery { opening: key, filter: &opening.filter, after };
                    self.lanes.request(shard, &query);
                    source.progress = Progress::Asked;
                }
                Progress::AskFence if self.lanes.is_open(shard) => {
                    self.lanes.request(shard, &Envelope::Fence { opening: key });
                    source.progress = Progress::AskedFence;
                }
                Progress::Fence(sent) if self.lanes.has_received(shard, *sent) => {
                    source.progress = Progress::Done;
                }
                _ => {}
            }
        }
        let asking =
            |source: &Source| matches!(source.progress, Progress::Ask { .. } | Progress::Asked);
        if opening.sources.iter().any(asking) {
            return self.openings.list(key);
        }
        if opening.sources.iter().all(|source| source.progress == Progress::Done) {
            return self.close_opening(key);
        }
        self.openings.list(key);
    }

    /// Whether a page more can go to the socket or the queue of a session.
    fn takes_more(&self, session: Key) -> bool {
        let Some(session) = self.sessions.get(session) else { return true };
        let queued = session.queue.len() < PAGE.messages
            && session.queue.bytes() <= u64::from(self.settings.output_high_bytes);
        session.connection.is_none_or(|connection| queued && self.has_room(connection))
    }

    /// Another shard asks for retained messages of ours.
    pub fn on_retained_query(&mut self, from: ShardId, opening: Key, filter: &str, after: &str) {
        let parsed = TopicFilter::parse(filter).expect("it was parsed when it was subscribed to");
        let page = self.retained.page(parsed, after, self.now.wall, PAGE);
        for message in &page.messages {
            let publication = message.view();
            self.lanes.reply(from, &Envelope::RetainedItem { opening, publication });
        }
        let (more, last) = (page.after.is_some(), page.after.as_deref().unwrap_or(""));
        self.lanes.reply(from, &Envelope::RetainedPage { opening, more, last });
    }

    pub fn on_retained_item(&mut self, key: Key, publication: &Publication<'_>) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        opening.shown.insert(publication.topic.into(), publication.stamp);
        let (session, entry) = (opening.session, opening.entry);
        let own = self.sessions.get(session).map(|it| it.publisher);
        if entry.options.no_local && own == Some(publication.publisher) {
            return;
        }
        let identifier = std::iter::once(entry.identifier).filter(|it| *it != 0);
        let terms = Terms {
            qos: entry.options.qos.min(publication.qos),
            retain: true,
            identifiers: Identifiers::collect(identifier),
            ticket: None,
        };
        self.hand(session, terms, &mut Parcel::new(*publication));
    }

    pub fn on_retained_page(&mut self, from: ShardId, key: Key, more: bool, last: &str) {
        let me = self.me;
        let others: Vec<ShardId> = self.lanes.others().collect();
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        let Some(source) = opening.sources.iter_mut().find(|source| source.shard == from) else {
            return;
        };
        source.progress =
            if more { Progress::Ask { after: last.to_owned() } } else { Progress::Done };
        let over = opening.sources.iter().all(|source| source.progress == Progress::Done);
        if over && !opening.shown.is_empty() {
            // A message that was shown as retained may still be on its way as a live one.
            opening.sources = others
                .into_iter()
                .filter(|shard| *shard != me)
                .map(|shard| Source { shard, progress: Progress::AskFence })
                .collect();
        }
        self.openings.list(key);
    }

    pub fn on_fence(&mut self, from: ShardId, opening: Key) {
        let sent = self.lanes.sent_to(from);
        self.lanes.reply(from, &Envelope::FenceDone { opening, sent });
    }

    pub fn on_fence_done(&mut self, from: ShardId, key: Key, sent: u64) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        if let Some(source) = opening
            .sources
            .iter_mut()
            .find(|source| source.shard == from && source.progress == Progress::AskedFence)
        {
            source.progress = Progress::Fence(sent);
        }
        self.openings.list(key);
    }

    /// The subscription is open: what was held back follows, without what has been shown.
    pub fn close_opening(&mut self, key: Key) {
        let Some(opening) = self.openings.all.remove(key) else { return };
        self.interest.update(opening.node, opening.session.index, |entry| entry.opening = None);
        for item in opening.held {
            let view = item.message.view();
            let shown = opening.shown.get(view.topic);
            let contained = shown.is_some_and(|shown| {
                view.retain && shown.shard == view.stamp.shard && view.stamp.number <= shown.number
            });
            let contained = (contained && !planted::is(Bug::ShowRetainedAgain))
                || planted::is(Bug::DropHeldBack);
            if contained {
                continue;
            }
            let Queued { message, qos, retain, identifiers, ticket } = item;
            let mut parcel = Parcel::new(message.view());
            parcel.owned = Some(Rc::clone(&message));
            self.hand(opening.session, Terms { qos, retain, identifiers, ticket }, &mut parcel);
        }
    }
}
