//! Who is interested in a topic: which sessions here, which shared groups here, which other shards.
//!
//! The answer for a topic is a [`Route`]; routes are cached by topic until any subscription changes.

use std::rc::Rc;

use hashbrown::HashMap;
use ternmq_proto::Qos;
use ternmq_proto::packet::SubscriptionOptions;

use crate::filter_tree::{FilterTree, NodeId};
use crate::placement::ShardId;
use crate::settings::Hasher;
use crate::slab::Key;

/// Bytes of all cached routes at most; then the cache starts anew.
const ROUTES_BYTES_MAX: usize = 8 << 20;
/// A route that is larger is found anew each time.
const ROUTE_BYTES_MAX: usize = ROUTES_BYTES_MAX / 2;

/// A cached route beside what it lists: table, key and vectors.
const ROUTE_OVERHEAD_BYTES: usize = 192;

/// How much somebody wants the messages of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Not at all.
    #[default]
    None,
    /// For as long as connections last.
    Live,
    /// A match at QoS > 0 outlives its connection: its PUBACK has to wait for a receipt.
    Durable,
}

/// One subscription of one session of this shard.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Index of the session; entries go before their session does.
    pub session: u32,
    /// Subscription identifier, 0: none.
    pub identifier: u32,
    pub options: SubscriptionOptions,
    /// The session outlives its connection.
    pub durable: bool,
    /// The opening that holds live matches back until the retained messages have arrived.
    pub opening: Option<Key>,
}

impl Entry {
    fn is_durable(&self) -> bool {
        self.durable && self.options.qos != Qos::AtMostOnce
    }
}

/// Everything that stands at one filter.
#[derive(Debug, Default)]
pub struct Interests {
    /// By session.
    entries: Vec<Entry>,
    durable_entries: u32,
    groups: Vec<(Key, Level)>,
    shards: Vec<(ShardId, Level)>,
    /// What the other shards have been told, or will be as soon as there is credit.
    announced: Level,
    /// It waits in the list of changes to be told.
    queued: bool,
}

impl Interests {
    fn is_needed(&self) -> bool {
        !self.entries.is_empty()
            || !self.groups.is_empty()
            || !self.shards.is_empty()
            || self.queued
    }

    /// Where the subscription of a session is, or would be.
    fn place(&self, session: u32) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&session, |entry| entry.session)
    }

    /// What this shard as a whole wants.
    fn level(&self) -> Level {
        let groups = self.groups.iter().map(|(_, level)| *level).max().unwrap_or_default();
        let entries = match (self.durable_entries, self.entries.is_empty()) {
            (1.., _) => Level::Durable,
            (0, false) => Level::Live,
            (0, true) => Level::None,
        };
        groups.max(entries)
    }
}

/// Who gets a message on some topic.
#[derive(Debug, Default)]
pub struct Route {
    /// Sessions of this shard, each once.
    pub targets: Vec<Target>,
    /// The subscriptions behind the targets.
    pub entries: Vec<Entry>,
    /// Other shards that want it.
    pub shards: Vec<(ShardId, Level)>,
    /// Shared groups that live here.
    pub groups: Vec<Key>,
}

/// A session and its matching subscriptions: `entries[first..first + count]`.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub session: u32,
    pub first: u32,
    pub count: u32,
}

impl Route {
    /// Whether nobody wants it, on any shard.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.shards.is_empty() && self.groups.is_empty()
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.targets)
            + size_of_val(&*self.entries)
            + size_of_val(&*self.shards)
            + size_of_val(&*self.groups)
    }

    pub fn entries_of(&self, target: Target) -> &[Entry] {
        &self.entries[target.first as usize..(target.first + target.count) as usize]
    }
}

/// The filters of this shard's subscribers and what the other shards have announced.
#[derive(Debug)]
pub struct Interest {
    tree: FilterTree<Interests>,
    /// Subscriptions of sessions of this shard.
    entries: u64,
    routes: HashMap<Box<str>, Rc<Route>, Hasher>,
    routes_bytes: usize,
    /// Filters whose level is no longer what was announced.
    changed: Vec<NodeId>,
    alone: bool,
}

impl Interest {
    pub fn new(seed: u64, shards: u16) -> Self {
        Interest {
            tree: FilterTree::new(seed),
            entries: 0,
            routes: HashMap::with_hasher(Hasher::with_seed(seed)),
            routes_bytes: 0,
            changed: Vec::new(),
            alone: shards <= 1,
        }
    }

    /// What all subscriptions cost, those that other shards have told of among them.
    pub fn bytes(&self) -> u64 {
        self.tree.bytes() + self.entries * 2 * size_of::<Entry>() as u64
    }

    /// Who gets a message on this topic.
    pub fn route(&mut self, topic: &str) -> Rc<Route> {
        if let Some(route) = self.routes.get(topic) {
            return Rc::clone(route);
        }
        let route = Rc::new(self.find(topic));
        let bytes = ROUTE_OVERHEAD_BYTES + topic.len() + route.bytes();
        if bytes <= ROUTE_BYTES_MAX {
            if self.routes_bytes + bytes > ROUTES_BYTES_MAX {
                self.forget_routes();
            }
            self.routes_bytes += bytes;
            self.routes.insert(topic.into(), Rc::clone(&route));
        }
        route
    }

    fn forget_routes(&mut self) {
        self.routes.clear();
        self.routes_bytes = 0;
    }

    /// Adds or replaces the subscription of a session. Returns where it stands and whether it is
    /// new.
    pub fn subscribe(&mut self, filter: &str, entry: Entry) -> (NodeId, bool) {
        let node = self.tree.insert(filter);
        let here = self.tree.get_mut(node);
        let place = here.place(entry.session);
        match place {
            Ok(known) => {
                here.durable_entries -= u32::from(here.entries[known].is_durable());
                here.entries[known] = entry;
            }
            Err(place) => {
                here.entries.insert(place, entry);
                self.entries += 1;
            }
        }
        here.durable_entries += u32::from(entry.is_durable());
        self.touched(node);
        (node, place.is_err())
    }

    /// Where a filter stands.
    pub fn node(&self, filter: &str) -> Option<NodeId> {
        self.tree.find(filter)
    }

    /// Where a session's subscription to this filter stands.
    pub fn subscription(&self, filter: &str, session: u32) -> Option<NodeId> {
        let node = self.tree.find(filter)?;
        self.entry(node, session).map(|_| node)
    }

    pub fn entry(&self, node: NodeId, session: u32) -> Option<&Entry> {
        let here = self.tree.get(node);
        here.place(session).ok().map(|place| &here.entries[place])
    }

    /// Changes a subscription in place.
    pub fn update(&mut self, node: NodeId, session: u32, change: impl FnOnce(&mut Entry)) {
        let here = self.tree.get_mut(node);
        if let Ok(place) = here.place(session) {
            let entry = &mut here.entries[place];
            let before = entry.is_durable();
            change(entry);
            here.durable_entries =
                here.durable_entries - u32::from(before) + u32::from(entry.is_durable());
        }
        self.touched(node);
    }

    pub fn unsubscribe(&mut self, node: NodeId, session: u32) {
        let here = self.tree.get_mut(node);
        if let Ok(place) = here.place(session) {
            let entry = here.entries.remove(place);
            self.entries -= 1;
            here.durable_entries -= u32::from(entry.is_durable());
        }
        self.touched(node);
        self.tree.prune(node, Interests::is_needed);
    }

    /// A shared group of this shard wants the messages of its filter at this level; `None` takes it
    /// out.
    pub fn set_group(&mut self, filter: &str, group: Key, level: Level) {
        let node = self.tree.insert(filter);
        let here = self.tree.get_mut(node);
        if level != Level::None && here.groups.contains(&(group, level)) {
            return;
        }
        here.groups.retain(|(known, _)| *known != group);
        if level != Level::None {
            here.groups.push((group, level));
        }
        self.touched(node);
        self.tree.prune(node, Interests::is_needed);
    }

    /// Another shard has told what it wants of a filter.
    pub fn announced(&mut self, filter: &str, shard: ShardId, level: Level) {
        let node = self.tree.insert(filter);
        let here = self.tree.get_mut(node);
        here.shards.retain(|(known, _)| *known != shard);
        if level != Level::None {
            here.shards.push((shard, level));
            here.shards.sort_unstable_by_key(|(shard, _)| *shard);
        }
        self.forget_routes();
        self.tree.prune(node, Interests::is_needed);
    }

    /// A filter whose level has to be told to the other shards.
    pub fn next_change(&self) -> Option<NodeId> {
        self.changed.last().copied()
    }

    /// A filter and what this shard as a whole wants of it.
    pub fn level(&self, node: NodeId) -> (String, Level) {
        (self.tree.filter(node), self.tree.get(node).level())
    }

    /// The other shards were told.
    pub fn told(&mut self, node: NodeId, level: Level) {
        let here = self.tree.get_mut(node);
        here.announced = level;
        if std::mem::take(&mut here.queued) {
            // Nearly always the last one: that is the order in which changes are told.
            let index = self.changed.iter().rposition(|changed| *changed == node);
            self.changed.swap_remove(index.expect("a queued filter is in the list"));
        }
        self.tree.prune(node, Interests::is_needed);
    }

    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    fn touched(&mut self, node: NodeId) {
        self.forget_routes();
        if self.alone {
            return;
        }
        let here = self.tree.get_mut(node);
        let level = here.level();
        if level != here.announced && !here.queued {
            here.queued = true;
            self.changed.push(node);
        }
    }

    fn find(&self, topic: &str) -> Route {
        let mut route = Route::default();
        self.tree.matching(topic, |_, here| {
            route.entries.extend_from_slice(&here.entries);
            route.groups.extend(here.groups.iter().map(|(group, _)| *group));
            for (shard, level) in &here.shards {
                match route.shards.iter_mut().find(|(known, _)| known == shard) {
                    Some((_, known)) => *known = (*known).max(*level),
                    None => route.shards.push((*shard, *level)),
                }
            }
        });
        route.shards.sort_unstable_by_key(|(shard, _)| *shard);
        route.groups.sort_unstable();
        route.entries.sort_by_key(|entry| entry.session);
        for (index, entry) in route.entries.iter().enumerate() {
            match route.targets.last_mut() {
                Some(target) if target.session == entry.session => target.count += 1,
                _ => route.targets.push(Target {
                    session: entry.session,
                    first: index as u32,
                    count: 1,
                }),
            }
        }
        route
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(session: u32, qos: Qos, durable: bool) -> Entry {
        Entry {
            session,
            identifier: 0,
            options: SubscriptionOptions { qos, ..Default::default() },
            durable,
            opening: None,
        }
    }

    #[test]
    fn overlapping_subscriptions_are_one_target() {
        let mut interest = Interest::new(1, 1);
        interest.subscribe("a/+", entry(1, Qos::AtMostOnce, false));
        interest.subscribe("a/#", entry(1, Qos::ExactlyOnce, false));
        interest.subscribe("a/b", entry(2, Qos::AtLeastOnce, false));
        let route = interest.route("a/b");
        let counts: Vec<_> = route.targets.iter().map(|it| (it.session, it.count)).collect();
        assert_eq!(counts, [(1, 2), (2, 1)]);
    }

    #[test]
    fn other_shards_are_told_only_when_the_level_changes() {
        let mut interest = Interest::new(1, 2);
        let tell = |interest: &mut Interest| {
            let node = interest.next_change()?;
            let (filter, level) = interest.level(node);
            interest.told(node, level);
            Some((filter, level))
        };
        let (node, _) = interest.subscribe("a", entry(1, Qos::AtLeastOnce, false));
        interest.subscribe("a", entry(2, Qos::AtLeastOnce, false));
        assert_eq!(tell(&mut interest), Some(("a".to_owned(), Level::Live)));
        assert_eq!(tell(&mut interest), None);
        interest.update(node, 2, |entry| entry.durable = true);
        assert_eq!(tell(&mut interest), Some(("a".to_owned(), Level::Durable)));
        interest.unsubscribe(node, 2);
        interest.unsubscribe(node, 1);
        assert_eq!(tell(&mut interest), Some(("a".to_owned(), Level::None)));
        assert!(interest.tree.find("a").is_none());
    }

    #[test]
    fn cached_routes_are_bounded_by_bytes() {
        let mut interest = Interest::new(1, 1);
        for session in 0..100 {
            interest.subscribe("#", entry(session, Qos::AtMostOnce, false));
        }
        let mut most = 0;
        for n in 0..10_000 {
            assert_eq!(interest.route(&format!("{n:0500}")).targets.len(), 100);
            most = most.max(interest.routes_bytes);
        }
        assert!((ROUTES_BYTES_MAX / 2..=ROUTES_BYTES_MAX).contains(&most), "{most}");
        for session in 100..200_000 {
            interest.subscribe("#", entry(session, Qos::AtMostOnce, false));
        }
        assert_eq!(interest.route("a").targets.len(), 200_000);
        assert_eq!(interest.routes_bytes, 0, "a large route is not kept");
    }

    #[test]
    fn a_route_is_not_older_than_the_last_subscription() {
        let mut interest = Interest::new(1, 2);
        assert!(interest.route("a").is_empty());
        interest.announced("a", ShardId(1), Level::Durable);
        assert_eq!(interest.route("a").shards, [(ShardId(1), Level::Durable)]);
        interest.announced("a", ShardId(1), Level::None);
        assert!(interest.route("a").is_empty());
    }
}
