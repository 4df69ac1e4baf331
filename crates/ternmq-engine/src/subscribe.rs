//! SUBSCRIBE and UNSUBSCRIBE. A SUBACK leaves when the session's change is durable and every shard
//! has acknowledged the new interest: a message published after it cannot be missed.

use ternmq_proto::packet::SubscriptionOptions;
use ternmq_proto::packet::{RetainHandling, Suback, Subscribe, Unsuback, Unsubscribe};
use ternmq_proto::planted::{self, Bug};
use ternmq_proto::topic::parse_subscription;
use ternmq_proto::{Packet, PacketId, Properties, ReasonCode, Version};

use crate::interest::{Entry, Level};
use crate::node::envelope::Envelope;
use crate::node::lane::Asker;
use crate::opening::Opening;
use crate::placement::ShardId;
use crate::session::Membership;
use crate::shard::{Fault, Flow, Held, Shard, Then, Waiter};
use crate::share::JoinWish;
use crate::slab::Key;

/// One filter of a SUBSCRIBE packet.
#[derive(Clone, Copy)]
struct Wish<'a> {
    filter: &'a str,
    options: SubscriptionOptions,
    identifier: u32,
}

impl Shard {
    pub fn on_subscribe(&mut self, key: Key, packet: &Subscribe<'_>) -> Result<Flow, Fault> {
        let Some(session_key) = self.session_of(key) else { return Ok(Flow::Done) };
        if !self.lanes.all_open(Asker::Shard) || !self.shares.has_room() {
            return Ok(Flow::Blocked);
        }
        let identifier = packet.properties.subscription_identifiers().next().unwrap_or(0);
        let waiter = self.waiters.insert(Waiter {
            waits: 1,
            then: Then::Suback {
                connection: key,
                packet_id: packet.packet_id,
                codes: Vec::new(),
                openings: Vec::new(),
            },
        });
        let mut codes = Vec::with_capacity(packet.len());
        let mut openings = Vec::new();
        for (text, options) in packet.filters() {
            let code = match parse_subscription(text) {
                Err(_) => Err(ReasonCode::TopicFilterInvalid),
                Ok((share, filter)) => {
                    let filter = filter.as_str();
                    let wish = Wish { filter, options, identifier };
                    let share = share.map(|share| share.as_str());
                    let room = codes.len() < self.settings.subscriptions_max as usize;
                    self.may_subscribe(session_key, share, filter, room).map(|()| match share {
                        Some(share) => self.join(session_key, share, wish, waiter),
                        None => openings.extend(self.subscribe(session_key, wish, waiter)),
                    })
                }
            };
            codes.push(match code {
                Ok(()) => options.qos.bits(),
                Err(code) if self.is_v5(key) => code.byte(),
                Err(_) => ReasonCode::UnspecifiedError.byte(),
            });
        }
        if planted::is(Bug::SubackReversed) {
            codes.reverse();
        }
        self.finish_subscribe(session_key, waiter, codes, openings);
        Ok(Flow::Done)
    }

    fn finish_subscribe(&mut self, session: Key, waiter: Key, codes: Vec<u8>, opens: Vec<Key>) {
        let durable = self.sessions.get(session).is_some_and(|session| session.is_durable());
        if let Some(entry) = self.waiters.get_mut(waiter) {
            entry.waits += u32::from(durable);
            if let Then::Suback { codes: known, openings, .. } = &mut entry.then {
                *known = codes;
                *openings = opens;
            }
        }
        if durable {
            self.stage();
            self.hold(Held::Waiter(waiter));
        }
        self.settle_waiter(waiter);
    }

    pub fn on_unsubscribe(&mut self, key: Key, packet: &Unsubscribe<'_>) -> Result<Flow, Fault> {
        let Some(session_key) = self.session_of(key) else { return Ok(Flow::Done) };
        if !self.shares.has_room() {
            return Ok(Flow::Blocked);
        }
        let mut codes = Vec::with_capacity(packet.len());
        for text in packet.filters() {
            let existed = match parse_subscription(text) {
                Err(_) => false,
                Ok((Some(share), filter)) => {
                    self.leave(session_key, share.as_str(), filter.as_str())
                }
                Ok((None, filter)) => self.unsubscribe(session_key, filter.as_str()),
            };
            let code =
                if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted };
            codes.push(code.byte());
        }
        let packet_id = packet.packet_id;
        if self.sessions.get(session_key).is_some_and(|session| session.is_durable()) {
            let then = Then::Unsuback { connection: key, packet_id, codes };
            let waiter = self.waiters.insert(Waiter { waits: 1, then });
            self.stage();
            self.hold(Held::Waiter(waiter));
        } else {
            self.write_unsuback(key, packet_id, &codes);
        }
        Ok(Flow::Done)
    }

    pub fn write_suback(&mut self, key: Key, packet_id: PacketId, codes: &[u8]) {
        let suback = Suback { packet_id, properties: Properties::EMPTY, codes };
        self.write_packet(key, &Packet::Suback(suback), None);
    }

    pub fn write_unsuback(&mut self, key: Key, packet_id: PacketId, codes: &[u8]) {
        let codes = if self.is_v5(key) { codes } else { &[] };
        let unsuback = Unsuback { packet_id, properties: Properties::EMPTY, codes };
        self.write_packet(key, &Packet::Unsuback(unsuback), None);
    }

    /// A subscription that is not shared. Returns the opening that has to bring its retained
    /// messages.
    fn subscribe(&mut self, session_key: Key, wish: Wish<'_>, waiter: Key) -> Option<Key> {
        let session = self.sessions.get(session_key)?;
        let (index, durable) = (session_key.index, session.is_durable());
        let known = self.interest.subscription(wish.filter, index);
        let retained = match wish.options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => known.is_none(),
            RetainHandling::Never => false,
        };
        let mut before =
            known.and_then(|node| self.interest.entry(node, index)).and_then(|it| it.opening);
        if retained && let Some(before) = before.take() {
            // The same filter again before its retained messages have arrived: they start anew.
            self.close_opening(before);
        }
        let entry = Entry {
            session: index,
            identifier: wish.identifier,
            options: wish.options,
            durable,
            opening: before,
        };
        if let Some(before) = before {
            self.openings.change(before, entry);
        }
        let (node, is_new) = self.interest.subscribe(wish.filter, entry);
        let opening = retained.then(|| {
            let owners = self.retained_owners(wish.filter);
            let own = self.own_mark();
            self.open(Opening::new(session_key, node, wish.filter, entry, owners, own))
        });
        if opening.is_some() {
            self.interest.update(node, index, |it| it.opening = opening);
        }
        if is_new {
            self.stats.subscriptions += 1;
            if let Some(session) = self.sessions.get_mut(session_key) {
                session.subscriptions.push(node);
            }
        }
        self.announce(node, Some(waiter));
        opening
    }

    fn unsubscribe(&mut self, session_key: Key, filter: &str) -> bool {
        let Some(node) = self.interest.subscription(filter, session_key.index) else {
            return false;
        };
        if let Some(opening) =
            self.interest.entry(node, session_key.index).and_then(|it| it.opening)
        {
            // Another subscription may have been waiting for the same messages.
            self.close_opening(opening);
        }
        if let Some(session) = self.sessions.get_mut(session_key) {
            session.subscriptions.retain(|known| *known != node);
        }
        if !planted::is(Bug::UnsubscribeKeeps) {
            self.interest.unsubscribe(node, session_key.index);
        }
        self.stats.subscriptions -= 1;
        true
    }

    /// Joins a shared group, wherever it lives.
    fn join(&mut self, session_key: Key, share: &str, wish: Wish<'_>, waiter: Key) {
        let home = self.shares.home_of(share, wish.filter);
        let number = self.stamp().number;
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let durable = session.is_durable();
        let known = session.membership(share, wish.filter).cloned();
        let membership = known.unwrap_or_else(|| {
            let (share, filter): (Box<str>, Box<str>) = (share.into(), wish.filter.into());
            // The member and the group keep both texts.
            let bytes = 2 * (share.len() + filter.len() + size_of::<Membership>()) as u64;
            let _charge = self.state.charge(bytes);
            let membership = Membership { share, filter, home, number, _charge };
            session.memberships.push(membership.clone());
            self.stats.subscriptions += 1;
            membership
        });
        if let Some(waiter) = self.waiters.get_mut(waiter) {
            waiter.waits += 1;
        }
        let Wish { options, identifier, .. } = wish;
        let wish = JoinWish { options, identifier, durable, waiter };
        self.shares.ask_join(&membership, session_key, wish);
    }

    fn leave(&mut self, session_key: Key, share: &str, filter: &str) -> bool {
        let Some(session) = self.sessions.get_mut(session_key) else { return false };
        let index =
            session.memberships.iter().position(|it| *it.share == *share && *it.filter == *filter);
        let Some(index) = index else { return false };
        let membership = session.memberships.swap_remove(index);
        self.stats.subscriptions -= 1;
        self.return_unsent(session_key);
        self.shares.ask_leave(&membership, session_key);
        true
    }

    /// Tells the other shards what this one wants of a filter now; `waiter` waits for their answers.
    /// The caller has made sure that all lanes are open.
    pub fn announce(&mut self, node: crate::filter_tree::NodeId, waiter: Option<Key>) {
        let others: Vec<ShardId> = self.lanes.others().collect();
        if others.is_empty() {
            return;
        }
        let (filter, level) = self.interest.level(node);
        for shard in others {
            let waiter = waiter.filter(|_| !planted::is(Bug::SubackBeforeInterest));
            self.lanes.request(shard, &Envelope::Interest { waiter, filter: &filter, level });
            if let Some(waiter) = waiter.and_then(|waiter| self.waiters.get_mut(waiter)) {
                waiter.waits += 1;
            }
        }
        self.interest.told(node, level);
    }

    /// Tells changes of interest that nobody waits for, while there is credit.
    pub fn pump_interest(&mut self) {
        while self.interest.has_changes() && self.lanes.all_open(Asker::Shard) {
            if let Some(node) = self.interest.next_change() {
                self.announce(node, None);
            }
        }
    }

    /// Another shard wants the messages of a filter, or no longer.
    pub fn on_interest(&mut self, from: ShardId, waiter: Option<Key>, filter: &str, level: Level) {
        self.interest.announced(filter, from, level);
        if let Some(waiter) = waiter {
            self.owe_answer(from, waiter);
        }
    }

    fn retained_owners(&self, filter: &str) -> Vec<ShardId> {
        if filter.contains(['+', '#']) {
            (0..self.settings.shards.max(1)).map(ShardId).collect()
        } else {
            vec![self.retained_owner(filter)]
        }
    }

    /// `room`: the packet has not named more filters than a session may have; the same one over and
    /// over would be told to every shard as often.
    fn may_subscribe(
        &self,
        key: Key,
        share: Option<&str>,
        filter: &str,
        room: bool,
    ) -> Result<(), ReasonCode> {
        if filter.split('/').count() > usize::from(self.settings.topic_levels_max) {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let Some(session) = self.sessions.get(key) else { return Ok(()) };
        let count = session.subscriptions.len() + session.memberships.len();
        let is_full = count >= self.settings.subscriptions_max as usize || self.is_full_of_state();
        let is_known = || match share {
            Some(share) => session.membership(share, filter).is_some(),
            None => self.interest.subscription(filter, key.index).is_some(),
        };
        // MQTT-3.8.4-3: what it has it may replace, however much that is.
        if room && (!is_full || is_known()) {
            return Ok(());
        }
        Err(ReasonCode::QuotaExceeded)
    }

    fn is_v5(&self, key: Key) -> bool {
        self.connections.get(key).is_some_and(|it| it.version() == Version::V5)
    }
}
