//! Subscriptions that open: the time from SUBSCRIBE to the last retained message.
//!
//! Publisher, subscriber and the owner of a topic's retained message may be three shards, and a
//! retained publication has to reach the subscriber once: shown as retained, or live. Each shard
//! answers the new interest with a *mark*, the stamp of the last publication that it routed without
//! it, and with a *fence*, how many requests it had sent here by then; and it answers only when all
//! retained messages up to the mark have been kept by their owners. So:
//!
//! - what is retained and not behind the mark was not routed here anew: it is shown;
//! - what is behind the mark comes live: it is not shown;
//! - live messages behind the mark are held back until everything has been shown, so that no old
//!   value comes after a new one.
//!
//! ```text
//!   subscribe ─▶ marks ─▶ SUBACK ─▶ fences passed ─▶ owners are asked, page by page ─▶ open
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
use crate::node::lane::{Asker, Lanes};
use crate::outbox::Outbox;
use crate::placement::ShardId;
use crate::retained::PageLimit;
use crate::session::{Identifiers, Queued};
use crate::settings::Hasher;
use crate::shard::{Shard, Then};
use crate::slab::{Key, Slab};

/// What one page of retained messages may hold.
const PAGE: PageLimit = PageLimit { messages: 256, bytes: 256 << 10 };
/// Messages held back for one opening. Beyond, or beyond the bytes of a queue, or when memory is
/// short, live messages no longer wait for retained ones.
const HELD_MAX: usize = 10_000;
/// What a query without wildcards counts as, in messages: it brings one, which may be large.
const LONE_MESSAGE: u32 = 8;
/// Retained messages that the openings of one session may have asked for at once: one page.
const ASKED_MAX_OF_SESSION: u32 = PAGE.messages as u32;
/// Retained messages that all openings of a shard may have asked for at once: 64 pages.
const ASKED_MAX: u32 = 64 * PAGE.messages as u32;

/// A subscription whose retained messages are on their way.
#[derive(Debug)]
pub struct Opening {
    session: Key,
    node: NodeId,
    filter: Box<str>,
    entry: Entry,
    marks: Vec<Mark>,
    /// Shards that own topics which may match.
    sources: Vec<Source>,
    held: Vec<Held>,
    held_bytes: u64,
    /// Live messages behind the marks wait.
    holds: bool,
    /// This shard's outbox entry that was half routed when the subscription came.
    after_outbox: Option<u64>,
    started: bool,
}

/// The openings of one session.
#[derive(Debug, Default)]
struct OfSession {
    openings: VecDeque<Key>,
    /// Retained messages asked for and not yet here.
    asked: u32,
    /// In the list of sessions with something to ask.
    listed: bool,
}

/// What a shard said when it learnt of the interest.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    pub shard: ShardId,
    /// Number of the last stamp that it routed without knowing of the interest.
    pub stamp: u64,
    /// Requests that it had sent here.
    pub sent: u64,
}

/// A live message, and when it came among all that were held back.
#[derive(Debug)]
struct Held {
    arrival: u64,
    item: Queued,
}

/// How far the retained messages of one shard are.
#[derive(Debug)]
struct Source {
    shard: ShardId,
    progress: Progress,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Ask { after: String },
    Asked,
    Done,
}

impl Opening {
    pub fn new(
        session: Key,
        node: NodeId,
        filter: &str,
        entry: Entry,
        owners: Vec<ShardId>,
        own: Mark,
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
            marks: vec![own],
            sources,
            held: Vec::new(),
            held_bytes: 0,
            holds: true,
            after_outbox: None,
            started: false,
        }
    }

    /// Whether a publication was routed by a shard that knew of the interest; `None`: that shard
    /// has not answered yet.
    fn is_behind_mark(&self, stamp: Stamp) -> Option<bool> {
        let mark = self.marks.iter().find(|mark| mark.shard == stamp.shard)?;
        Some(stamp.number > mark.stamp)
    }

    /// Keeps a message in its place among those that are held back.
    fn hold(&mut self, held: Held) {
        let place = self.held.partition_point(|other| other.arrival < held.arrival);
        self.held_bytes += held.item.message.cost();
        self.held.insert(place, held);
    }

    fn take_held(&mut self) -> Vec<Held> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    fn holds_back(&self, stamp: Stamp) -> bool {
        self.holds && self.is_behind_mark(stamp).unwrap_or(true)
    }

    /// Whether it is known what to show, and everything before it has arrived.
    fn may_ask(&self, lanes: &Lanes, outbox: &Outbox) -> bool {
        self.marks.iter().all(|mark| lanes.has_received(mark.shard, mark.sent))
            && self.after_outbox.is_none_or(|number| outbox.has_routed(number))
    }

    /// What one answer to it may bring, in messages.
    fn answer_size(&self) -> u32 {
        if self.filter.contains(['+', '#']) { PAGE.messages as u32 } else { LONE_MESSAGE }
    }

    fn asked(&self) -> u32 {
        let asked = self.sources.iter().filter(|it| it.progress == Progress::Asked).count();
        asked as u32 * self.answer_size()
    }
}

/// All openings of a shard, and the answers that it owes to those of others.
#[derive(Debug)]
pub struct Openings {
    all: Slab<Opening>,
    by_session: HashMap<Key, OfSession, Hasher>,
    /// Sessions with something to ask.
    asking: Vec<Key>,
    /// Retained messages asked for and not yet here.
    asked: u32,
    /// Messages ever held back.
    arrivals: u64,
    /// Announcements that are answered when the retained messages before have been kept.
    answers: VecDeque<Answer>,
}

#[derive(Debug)]
struct Answer {
    shard: ShardId,
    waiter: Key,
    stamp: u64,
    /// An outbox entry that was half routed without the new interest.
    after_outbox: Option<u64>,
    /// Retained messages handed to each owner up to the mark, once that is known.
    sent: Option<Vec<u64>>,
}

impl Openings {
    pub fn new(seed: u64) -> Self {
        Openings {
            all: Slab::new(),
            by_session: HashMap::with_hasher(Hasher::with_seed(seed)),
            asking: Vec::new(),
            asked: 0,
            arrivals: 0,
            answers: VecDeque::new(),
        }
    }

    fn insert(&mut self, opening: Opening) -> Key {
        let session = opening.session;
        let key = self.all.insert(opening);
        self.by_session.entry(session).or_default().openings.push_back(key);
        key
    }

    fn remove(&mut self, key: Key) -> Option<Opening> {
        let opening = self.all.remove(key)?;
        self.asked -= opening.asked();
        if let Some(of_session) = self.by_session.get_mut(&opening.session) {
            of_session.asked -= opening.asked();
            // Nearly always one of the first: in that order they are served.
            if let Some(place) = of_session.openings.iter().position(|it| *it == key) {
                of_session.openings.remove(place);
            }
            if of_session.openings.is_empty() {
                self.by_session.remove(&opening.session);
            }
        }
        Some(opening)
    }

    /// The subscription has other terms now.
    pub fn change(&mut self, key: Key, entry: Entry) {
        if let Some(opening) = self.all.get_mut(key) {
            opening.entry = entry;
        }
    }

    /// Which of the openings of the matching subscriptions holds a message back.
    pub fn holder(&self, matching: impl Iterator<Item = Key>, stamp: Stamp) -> Option<Key> {
        let mut matching = matching;
        matching.find(|key| self.all.get(*key).is_some_and(|it| it.holds_back(stamp)))
    }

    pub fn is_empty(&self) -> bool {
        self.all.len() == 0
    }

    /// Whether one of them may have a page to ask for.
    pub fn waits_for_room(&self) -> bool {
        !self.asking.is_empty()
    }

    pub fn end_session(&mut self, session: Key) {
        let Some(of_session) = self.by_session.remove(&session) else { return };
        self.asked -= of_session.asked;
        for key in of_session.openings {
            self.all.remove(key);
        }
    }

    pub fn owes_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    fn next_answer(&mut self, lanes: &Lanes, outbox: &Outbox) -> Option<Answer> {
        let front = self.answers.front_mut()?;
        if front.after_outbox.is_some_and(|number| !outbox.has_routed(number)) {
            return None;
        }
        let sent = front.sent.get_or_insert_with(|| lanes.retains_sent());
        if !lanes.retains_kept(sent) {
            return None;
        }
        self.answers.pop_front()
    }

    fn list(&mut self, session: Key) {
        if let Some(of_session) = self.by_session.get_mut(&session)
            && !of_session.listed
        {
            of_session.listed = true;
            self.asking.push(session);
        }
    }

    /// Which other opening of a session holds back what one of them lets go.
    fn next_holder(&self, session: Key, publication: &Publication<'_>) -> Option<Key> {
        let openings = &self.by_session.get(&session)?.openings;
        openings.iter().copied().find(|key| {
            self.all.get(*key).is_some_and(|opening| {
                opening.holds_back(publication.stamp)
                    && TopicFilter::parse(&opening.filter)
                        .is_ok_and(|it| it.matches(publication.topic))
            })
        })
    }
}

// The shards that learn of an interest.
impl Shard {
    /// Another shard wants to know from where on its new interest is served.
    pub fn owe_answer(&mut self, shard: ShardId, waiter: Key) {
        self.openings.answers.push_back(Answer {
            shard,
            waiter,
            stamp: self.next_stamp,
            after_outbox: self.outbox.half_routed(),
            sent: None,
        });
        self.release_interest_answers();
    }

    /// Answers announcements whose retained messages have all been kept.
    pub fn release_interest_answers(&mut self) {
        while let Some(answer) = self.openings.next_answer(&self.lanes, &self.outbox) {
            let Answer { shard, waiter, stamp, .. } = answer;
            let sent = self.lanes.sent_to(shard);
            self.lanes.reply(shard, &Envelope::InterestDone { waiter, stamp, sent });
        }
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
}

// The subscriber's shard.
impl Shard {
    /// What this shard itself has routed without a subscription that it takes now.
    pub fn own_mark(&self) -> Mark {
        Mark { shard: self.me, stamp: self.next_stamp, sent: 0 }
    }

    /// A new opening of this shard waits for what its outbox is in the middle of.
    pub fn open(&mut self, mut opening: Opening) -> Key {
        opening.after_outbox = self.outbox.half_routed();
        self.openings.insert(opening)
    }

    /// A shard knows of the interest that a waiter stands for.
    pub fn on_interest_done(&mut self, waiter: Key, mark: Mark) {
        let openings = match self.waiters.get(waiter).map(|waiter| &waiter.then) {
            Some(Then::Suback { openings, .. }) => openings.clone(),
            _ => Vec::new(),
        };
        for key in openings {
            self.set_mark(key, mark);
        }
        self.settle_waiter(waiter);
    }

    /// What was held back only because its shard had not answered may go.
    fn set_mark(&mut self, key: Key, mark: Mark) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        opening.marks.push(mark);
        let (stays, goes): (Vec<_>, Vec<_>) = opening
            .take_held()
            .into_iter()
            .partition(|held| opening.holds_back(held.item.message.view().stamp));
        stays.into_iter().for_each(|held| opening.hold(held));
        let session = opening.session;
        for held in goes {
            self.hand_on(session, held);
        }
    }

    /// SUBACK has left: ask for the retained messages.
    pub fn start_opening(&mut self, key: Key) {
        if let Some(opening) = self.openings.all.get_mut(key) {
            opening.started = true;
            let session = opening.session;
            self.openings.list(session);
        }
    }

    /// Keeps a live match until the subscription is open.
    pub fn hold_back(&mut self, key: Key, terms: Terms, parcel: &mut Parcel<'_>) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        let message =
            parcel.owned.get_or_insert_with(|| Message::new(&parcel.publication, &self.tally));
        let item = Queued {
            message: Rc::clone(message),
            qos: terms.qos,
            retain: terms.retain,
            identifiers: terms.identifiers,
            ticket: terms.ticket,
        };
        self.openings.arrivals += 1;
        opening.hold(Held { arrival: self.openings.arrivals, item });
        let (count, bytes) = (opening.held.len(), opening.held_bytes);
        if self.sessions.get(opening.session).is_some_and(|it| it.is_durable()) {
            parcel.staged = true;
            self.staged += 1;
        }
        if count > HELD_MAX || bytes > self.settings.queue_bytes_max || self.is_over_budget() {
            self.hold_no_longer(key);
        }
    }

    /// Lets openings go on, as far as credit and the consumer's socket and queue reach.
    pub fn pump_openings(&mut self) {
        for session in std::mem::take(&mut self.openings.asking) {
            if let Some(of_session) = self.openings.by_session.get_mut(&session) {
                of_session.listed = false;
                if !self.takes_more(session) || self.ask_for(session) {
                    self.openings.list(session);
                }
            }
        }
    }

    /// Asks for retained messages of one session: about as many as its socket and queue take, or
    /// those of many filters would come at once. `true`: there is more to ask.
    fn ask_for(&mut self, session: Key) -> bool {
        let Openings { all, by_session, asked, .. } = &mut self.openings;
        let Some(of_session) = by_session.get_mut(&session) else { return false };
        let mut is_more = false;
        for key in &of_session.openings {
            let Some(opening) = all.get_mut(*key).filter(|it| it.started) else { continue };
            let (size, ready) = (opening.answer_size(), opening.may_ask(&self.lanes, &self.outbox));
            for source in &mut opening.sources {
                let Progress::Ask { after } = &source.progress else { continue };
                if of_session.asked + size > ASKED_MAX_OF_SESSION || *asked + size > ASKED_MAX {
                    return true;
                }
                if !ready || !self.lanes.is_open(source.shard, Asker::Shard) {
                    is_more = true;
                    continue;
                }
                let (opening, filter) = (*key, &*opening.filter);
                let query = Envelope::RetainedQuery { opening, filter, after };
                self.lanes.request(source.shard, &query);
                source.progress = Progress::Asked;
                of_session.asked += size;
                *asked += size;
            }
        }
        is_more
    }

    /// A retained message: shown, unless it comes live.
    pub fn on_retained_item(&mut self, key: Key, publication: &Publication<'_>) {
        let Some(opening) = self.openings.all.get(key) else { return };
        let live = opening.is_behind_mark(publication.stamp).unwrap_or(false);
        if live && !planted::is(Bug::ShowRetainedAgain) {
            return;
        }
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
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        let before = opening.asked();
        if let Some(source) = opening.sources.iter_mut().find(|source| source.shard == from) {
            source.progress =
                if more { Progress::Ask { after: last.to_owned() } } else { Progress::Done };
        }
        let (session, came) = (opening.session, before - opening.asked());
        let is_done = opening.sources.iter().all(|it| it.progress == Progress::Done);
        self.openings.asked -= came;
        if let Some(of_session) = self.openings.by_session.get_mut(&session) {
            of_session.asked -= came;
        }
        if is_done {
            self.close_opening(key);
        }
        self.openings.list(session);
    }

    /// The subscription is open: what was held back follows.
    pub fn close_opening(&mut self, key: Key) {
        self.hold_no_longer(key);
        let Some(opening) = self.openings.remove(key) else { return };
        self.interest.update(opening.node, opening.session.index, |entry| entry.opening = None);
    }

    fn hold_no_longer(&mut self, key: Key) {
        let Some(opening) = self.openings.all.get_mut(key) else { return };
        opening.holds = false;
        let session = opening.session;
        for held in opening.take_held() {
            if !planted::is(Bug::DropHeldBack) {
                self.hand_on(session, held);
            }
        }
    }

    /// A message that one opening lets go waits for another of the same session that it matches,
    /// in its old place; else it goes to the session.
    fn hand_on(&mut self, session: Key, held: Held) {
        let view = held.item.message.view();
        let next = self.openings.next_holder(session, &view);
        if let Some(opening) = next.and_then(|key| self.openings.all.get_mut(key)) {
            return opening.hold(held);
        }
        let Queued { message, qos, retain, identifiers, ticket } = held.item;
        let mut parcel = Parcel::new(message.view());
        parcel.owned = Some(Rc::clone(&message));
        self.hand(session, Terms { qos, retain, identifiers, ticket }, &mut parcel);
    }
}
