//! Subscriptions that open: between SUBACK and the last retained message, live matches are held
//! back. A page of retained messages is shown when everything that was published before it has
//! arrived: what is older than a retained message goes before it, the message itself comes once.
//! So there is no gap, and no old value after a new one.
//!
//! ```text
//!   subscribe ─▶ every shard knows the interest ─▶ owners are asked for a page each
//!        ▲                                                     │
//!        └── more ◀── shown ◀── fence: what was posted before the pages were kept has arrived
//!                       └── the last: open, and what was held back follows
//! ```

use std::collections::VecDeque;
use std::rc::Rc;

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
    /// Shards that own topics which may match.
    sources: Vec<Source>,
    /// Shards whose earlier messages have to arrive before the page is shown.
    fences: Vec<Fence>,
    /// Retained messages that wait for the fences.
    page: Vec<Rc<Message>>,
    held: Vec<Queued>,
    started: bool,
    /// In the list of openings that may be able to go on.
    listed: bool,
}

/// How far the retained messages of one shard are.
#[derive(Debug)]
struct Source {
    shard: ShardId,
    progress: Progress,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Ask {
        after: String,
    },
    Asked,
    /// A page is here, and there are more after this topic.
    More {
        after: String,
    },
    Done,
}

#[derive(Debug)]
struct Fence {
    shard: ShardId,
    state: FenceState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FenceState {
    Ask,
    Asked,
    /// Passed when this many requests of that shard have arrived.
    Until(u64),
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
            fences: Vec::new(),
            page: Vec::new(),
            held: Vec::new(),
            started: false,
            listed: false,
        }
    }

    /// Whether pages are still to come that have been asked for, or can be.
    fn is_asking(&self) -> bool {
        let asking = |it: &Source| matches!(it.progress, Progress::Ask { .. } | Progress::Asked);
        self.sources.iter().any(asking)
    }

    fn holds(&self, topic: &str) -> bool {
        self.held.iter().any(|item| item.message.view().topic == topic)
    }

    /// Takes out what is held back of a topic up to a publication of the same shard.
    fn take_until(&mut self, topic: &str, stamp: Stamp) -> Vec<Queued> {
        let earlier = |item: &mut Queued| {
            let view = item.message.view();
            view.topic == topic
                && view.stamp.shard == stamp.shard
                && view.stamp.number <= stamp.number
        };
        self.held.extract_if(.., earlier).collect()
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

    /// The subscription has other terms now.
    pub fn change(&mut self, key: Key, entry: Entry) {
        if let Some(opening) = self.all.get_mut(key) {
            opening.entry = entry;
        }
    }

    /// Which of the openings that match a topic holds a message of it back; `None`: none, for one
    /// of the subscriptions that match is open. A topic whose messages are being held back stays
    /// so until they have left, or a new one would overtake them.
    pub fn holder(
        &self,
        matching: impl Iterator<Item = Option<Key>> + Clone,
        topic: &str,
    ) -> Option<Key> {
        let mut openings = matching.clone().flatten();
        let first = openings.next()?;
        if matching.clone().nth(1).is_none() {
            return Some(first);
        }
        let holds = |key: &Key| self.all.get(*key).is_some_and(|opening| opening.holds(topic));
        let holder = matching.clone().flatten().find(holds);
        let is_open = matching.clone().any(|opening| opening.is_none());
        holder.or((!is_open).then_some(first))
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

    /// Takes out what any opening of a session holds back of a topic up to a publication.
    fn take_until(&mut self, session: Key, topic: &str, stamp: Stamp) -> Vec<Queued> {
        let mut taken = Vec::new();
        for opening in self.all.values_mut().filter(|it| it.session == session) {
            taken.append(&mut opening.take_until(topic, stamp));
        }
        taken
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
            if let Progress::Ask { after } = &source.progress
                && ready
                && self.lanes.is_open(shard)
            {
                let query =
                    Envelope::RetainedQuery { opening: key, filter: &opening.filter, after };
                self.lanes.request(shard, &query);
                source.progress = Progress::Asked;
            }
        }
        if opening.is_asking() {
            return self.openings.list(key);
        }
        for fence in &mut opening.fences {
            if fence.state == FenceState::Ask && self.lanes.is_open(fence.shard) {
                self.lanes.request(fence.shard, &Envelope::Fence { opening: key });
                fence.state = FenceState::Asked;
            }
        }
        let passed = |fence: &Fence| match fence.state {
            FenceState::Until(sent) => self.lanes.has_received(fence.shard, sent),
            FenceState::Ask | FenceState::Asked => false,
        };
        if opening.fences.iter().all(passed) {
            return self.show_page(key);
        }
        self.openings.list(key);
    }

    /// Everything that was published before the page is here: shows it, and asks for the next one.
    fn show_page(&mut self, key: Key) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        let (session, entry) = (opening.session, opening.entry);
        opening.fences.clear();
        for message in std::mem::take(&mut opening.page) {
            self.show(session, entry, &message);
        }
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        for source in &mut opening.sources {
            if let Progress::More { after } = &mut source.progress {
                source.progress = Progress::Ask { after: std::mem::take(after) };
            }
        }
        if opening.is_asking() {
            return self.openings.list(key);
        }
        self.close_opening(key);
    }

    /// A retained message, after what is older on its topic.
    fn show(&mut self, session: Key, entry: Entry, message: &Rc<Message>) {
        let view = message.view();
        let qos = entry.options.qos.min(view.qos);
        for item in self.openings.take_until(session, view.topic, view.stamp) {
            // Another subscription may have asked for it at a higher QoS.
            let is_shown = item.message.view().stamp == view.stamp && item.qos <= qos;
            if !is_shown || planted::is(Bug::ShowRetainedAgain) {
                self.hand_queued(session, item);
            }
        }
        let own = self.sessions.get(session).map(|it| it.publisher);
        if entry.options.no_local && own == Some(view.publisher) {
            return;
        }
        let identifier = std::iter::once(entry.identifier).filter(|it| *it != 0);
        let terms = Terms {
            qos,
            retain: true,
            identifiers: Identifiers::collect(identifier),
            ticket: None,
        };
        let mut parcel = Parcel::new(view);
        parcel.owned = Some(Rc::clone(message));
        self.hand(session, terms, &mut parcel);
    }

    fn hand_queued(&mut self, session: Key, item: Queued) {
        let Queued { message, qos, retain, identifiers, ticket } = item;
        let mut parcel = Parcel::new(message.view());
        parcel.owned = Some(Rc::clone(&message));
        self.hand(session, Terms { qos, retain, identifiers, ticket }, &mut parcel);
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
        opening.page.push(Message::new(publication, &self.tally));
    }

    pub fn on_retained_page(&mut self, from: ShardId, key: Key, more: bool, last: &str) {
        let others = self.lanes.others();
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        let Some(source) = opening.sources.iter_mut().find(|source| source.shard == from) else {
            return;
        };
        source.progress =
            if more { Progress::More { after: last.to_owned() } } else { Progress::Done };
        if !opening.is_asking() && !opening.page.is_empty() {
            opening.fences = others.map(|shard| Fence { shard, state: FenceState::Ask }).collect();
        }
        self.openings.list(key);
    }

    pub fn on_fence(&mut self, from: ShardId, opening: Key) {
        let sent = self.lanes.sent_to(from);
        self.lanes.reply(from, &Envelope::FenceDone { opening, sent });
    }

    pub fn on_fence_done(&mut self, from: ShardId, key: Key, sent: u64) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        let mut fences = opening.fences.iter_mut();
        let asked = |it: &&mut Fence| it.shard == from && it.state == FenceState::Asked;
        if let Some(fence) = fences.find(asked) {
            fence.state = FenceState::Until(sent);
        }
        self.openings.list(key);
    }

    /// The subscription is open: what was held back follows.
    pub fn close_opening(&mut self, key: Key) {
        let Some(opening) = self.openings.all.remove(key) else { return };
        self.interest.update(opening.node, opening.session.index, |entry| entry.opening = None);
        if planted::is(Bug::DropHeldBack) {
            return;
        }
        for item in opening.held {
            self.hand_queued(opening.session, item);
        }
    }
}
