//! Shared subscriptions (section 4.8.2). A group lives on one shard, its home, which owns a QoS 1 or
//! 2 message until the member that got it has finally acknowledged it.
//!
//! Unsent messages go to another member at once when one leaves; a QoS 1 message that was sent moves
//! when the member's session ends; a QoS 2 message that was sent never moves.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use hashbrown::HashMap;
use ternmq_proto::Qos;
use ternmq_proto::packet::SubscriptionOptions;
use ternmq_proto::planted::{self, Bug};

use crate::deliver::{Parcel, Terms};
use crate::interest::Level;
use crate::message::{Message, Publication};
use crate::node::envelope::{Envelope, Join};
use crate::node::lane::Asker;
use crate::placement::{ShardId, partition_of_group, shard_of};
use crate::session::{Membership, Ticket};
use crate::settings::{Hasher, Overflow};
use crate::shard::{Shard, Then, Waiter};
use crate::slab::{Key, Slab};
use crate::stats::DropReason;

/// Errands beyond which no SUBSCRIBE is taken.
const ERRANDS_MAX: usize = 4_096;

/// The groups at home here, and what this shard still has to tell the homes of others.
#[derive(Debug)]
pub struct Shares {
    shards: u16,
    groups: Slab<Group>,
    names: HashMap<(Box<str>, Box<str>), Key, Hasher>,
    /// Groups with messages that may be able to go on.
    busy: Vec<Key>,
    /// By home: told in order, on credit.
    errands: Vec<VecDeque<Errand>>,
    /// Joins that wait for credit to tell every shard of the group's interest.
    joins: VecDeque<(ShardId, Key, Key)>,
}

#[derive(Debug)]
struct Group {
    share: Box<str>,
    filter: Box<str>,
    members: Vec<Member>,
    /// Whose turn it is.
    turn: usize,
    unsent: VecDeque<Rc<Message>>,
    unsent_bytes: u64,
    loans: BTreeMap<u64, Loan>,
    next_loan: u64,
    busy: bool,
}

#[derive(Debug)]
struct Member {
    shard: ShardId,
    session: Key,
    membership: u64,
    options: SubscriptionOptions,
    identifier: u32,
    durable: bool,
    online: bool,
    loans: u32,
}

/// A message that a member has and that is not settled.
#[derive(Debug)]
struct Loan {
    message: Rc<Message>,
    shard: ShardId,
    session: Key,
}

/// How a session wants to be a member.
#[derive(Debug, Clone, Copy)]
pub struct JoinWish {
    pub options: SubscriptionOptions,
    pub identifier: u32,
    pub durable: bool,
    pub waiter: Key,
}

/// Something to be told to a group's home.
#[derive(Debug)]
enum Errand {
    Join {
        waiter: Key,
        share: Box<str>,
        filter: Box<str>,
        member: Key,
        membership: u64,
        identifier: u32,
        options: SubscriptionOptions,
        durable: bool,
    },
    Leave {
        share: Box<str>,
        filter: Box<str>,
        member: Key,
    },
    Presence {
        share: Box<str>,
        filter: Box<str>,
        member: Key,
        online: bool,
        durable: bool,
    },
    Settle {
        group: Key,
        number: u64,
        returned: bool,
    },
}

impl Errand {
    fn envelope(&self) -> Envelope<'_> {
        match self {
            Errand::Join {
                waiter,
                share,
                filter,
                member,
                membership,
                identifier,
                options,
                durable,
            } => Envelope::Join(Join {
                waiter: *waiter,
                share,
                filter,
                member: *member,
                membership: *membership,
                identifier: *identifier,
                options: *options,
                durable: *durable,
            }),
            Errand::Leave { share, filter, member } => {
                Envelope::Leave { share, filter, member: *member }
            }
            Errand::Presence { share, filter, member, online, durable } => {
                let (member, online, durable) = (*member, *online, *durable);
                Envelope::Presence { share, filter, member, online, durable }
            }
            Errand::Settle { group, number, returned } => {
                Envelope::Settle { group: *group, number: *number, returned: *returned }
            }
        }
    }
}

impl Shares {
    pub fn new(seed: u64, shards: u16) -> Self {
        Shares {
            shards,
            groups: Slab::new(),
            names: HashMap::with_hasher(Hasher::with_seed(seed)),
            busy: Vec::new(),
            errands: (0..shards.max(1)).map(|_| VecDeque::new()).collect(),
            joins: VecDeque::new(),
        }
    }

    pub fn home_of(&self, share: &str, filter: &str) -> ShardId {
        shard_of(partition_of_group(share, filter), self.shards)
    }

    pub fn has_room(&self) -> bool {
        self.errands.iter().all(|errands| errands.len() < ERRANDS_MAX)
    }

    /// Whether nothing waits to be told or handed on.
    pub fn is_idle(&self) -> bool {
        self.errands.iter().all(VecDeque::is_empty) && self.joins.is_empty()
    }

    /// Messages that wait in groups for a member that can take them.
    pub fn unsent(&self) -> usize {
        self.groups.iter().map(|(_, group)| group.unsent.len()).sum()
    }

    /// Messages that members have and have not settled.
    pub fn loans(&self) -> usize {
        self.groups.iter().map(|(_, group)| group.loans.len()).sum()
    }

    pub fn ask_join(&mut self, membership: &Membership, member: Key, wish: JoinWish) {
        let errand = Errand::Join {
            waiter: wish.waiter,
            share: membership.share.clone(),
            filter: membership.filter.clone(),
            member,
            membership: membership.number,
            identifier: wish.identifier,
            options: wish.options,
            durable: wish.durable,
        };
        self.tell(membership.home, errand);
    }

    pub fn ask_leave(&mut self, membership: &Membership, member: Key) {
        let (share, filter) = (membership.share.clone(), membership.filter.clone());
        self.tell(membership.home, Errand::Leave { share, filter, member });
    }

    fn tell(&mut self, home: ShardId, errand: Errand) {
        self.errands[usize::from(home.0)].push_back(errand);
    }

    fn group(&mut self, share: &str, filter: &str) -> Option<(Key, &mut Group)> {
        let key = *self.names.get(&(Box::from(share), Box::from(filter)))?;
        self.groups.get_mut(key).map(|group| (key, group))
    }

    fn group_or_new(&mut self, share: &str, filter: &str) -> Option<(Key, &mut Group)> {
        let name: (Box<str>, Box<str>) = (share.into(), filter.into());
        let groups = &mut self.groups;
        let key = *self.names.entry(name).or_insert_with_key(|(share, filter)| {
            groups.insert(Group {
                share: share.clone(),
                filter: filter.clone(),
                members: Vec::new(),
                turn: 0,
                unsent: VecDeque::new(),
                unsent_bytes: 0,
                loans: BTreeMap::new(),
                next_loan: 0,
                busy: false,
            })
        });
        self.groups.get_mut(key).map(|group| (key, group))
    }

    fn make_busy(&mut self, key: Key) {
        if let Some(group) = self.groups.get_mut(key)
            && !group.busy
        {
            group.busy = true;
            self.busy.push(key);
        }
    }
}

impl Member {
    fn can_take(&self, qos: Qos, window: u32) -> bool {
        let free = qos.min(self.options.qos) == Qos::AtMostOnce || self.loans < window;
        self.online && free
    }
}

impl Group {
    fn level(&self) -> Level {
        let durable = |member: &Member| member.durable && member.options.qos != Qos::AtMostOnce;
        match self.members.is_empty() {
            true => Level::None,
            false if self.members.iter().any(durable) => Level::Durable,
            false => Level::Live,
        }
    }

    fn find(&mut self, shard: ShardId, session: Key) -> Option<&mut Member> {
        self.members.iter_mut().find(|it| it.shard == shard && it.session == session)
    }

    /// Whether one more of this cost would be over a bound.
    fn is_full(&self, cost: u64, messages_max: u32, bytes_max: u64) -> bool {
        self.unsent.len() >= messages_max as usize || self.unsent_bytes + cost > bytes_max
    }

    fn push_front(&mut self, message: Rc<Message>) {
        self.unsent_bytes += message.cost();
        self.unsent.push_front(message);
    }

    fn push_back(&mut self, message: Rc<Message>) {
        self.unsent_bytes += message.cost();
        self.unsent.push_back(message);
    }

    fn pop(&mut self) -> Option<Rc<Message>> {
        let message = self.unsent.pop_front()?;
        self.unsent_bytes -= message.cost();
        Some(message)
    }

    /// Whether a member could take a message of this QoS, if it could be reached.
    fn has_taker(&self, qos: Qos, window: u32) -> bool {
        self.members.iter().any(|member| member.can_take(qos, window))
    }

    /// The next member that can take a message of this QoS, in turn.
    fn choose(&mut self, qos: Qos, window: u32, open: impl Fn(ShardId) -> bool) -> Option<usize> {
        let count = self.members.len();
        let found = (0..count).map(|step| (self.turn + step) % count).find(|index| {
            let member = &self.members[*index];
            member.can_take(qos, window) && open(member.shard)
        })?;
        self.turn = (found + 1) % count;
        Some(found)
    }
}

// The member's side.
impl Shard {
    /// Tells the homes of a session's groups that it came or went.
    pub fn announce_presence(&mut self, key: Key, online: bool) {
        let Some(session) = self.sessions.get(key) else { return };
        for membership in &session.memberships {
            let (share, filter) = (membership.share.clone(), membership.filter.clone());
            let durable = session.is_durable();
            let errand = Errand::Presence { share, filter, member: key, online, durable };
            self.shares.tell(membership.home, errand);
        }
    }

    /// The connection is gone: shared messages that were not sent go to another member at once.
    pub fn return_unsent(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let unsent = session.queue.extract(|item| item.ticket.is_some());
        self.stats.queued -= unsent.len() as u64;
        for item in unsent.into_iter().rev() {
            self.settle_ticket(item.ticket, true);
        }
    }

    /// The session ends: QoS 1 messages that were sent may go to another member, QoS 2 not
    /// (MQTT-4.8.2-5).
    pub fn leave_groups(&mut self, key: Key) {
        self.return_unsent(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let kept: Vec<_> = session.inflight.drain().flatten().collect();
        let memberships = session.memberships.clone();
        for item in kept.into_iter().rev().filter(|item| item.ticket.is_some()) {
            let returned = item.qos == Qos::AtLeastOnce;
            if !returned {
                self.stats.drop(DropReason::ShareMemberGone, 1);
            }
            self.settle_ticket(item.ticket, returned);
        }
        for membership in &memberships {
            self.shares.ask_leave(membership, key);
        }
    }

    /// A message of a shared group is done with, or comes back.
    pub fn settle_ticket(&mut self, ticket: Option<Ticket>, returned: bool) {
        if let Some(Ticket { home, group, number }) = ticket {
            self.shares.tell(home, Errand::Settle { group, number, returned });
        }
    }

    /// Tells what there is to tell, while there is credit.
    pub fn pump_errands(&mut self) {
        for index in 0..self.shares.errands.len() {
            let home = ShardId(index as u16);
            while self.lanes.is_open(home, Asker::Shard)
                && let Some(errand) = self.shares.errands[index].pop_front()
            {
                self.lanes.request(home, &errand.envelope());
            }
        }
    }

    /// The home of a group hands us a message for one of our sessions, which may have gone or left
    /// the group since.
    pub fn on_share_deliver(
        &mut self,
        member: Key,
        membership: u64,
        terms: Terms,
        publication: &Publication<'_>,
    ) {
        let takes = self.sessions.get(member).is_some_and(|session| {
            session.connection.is_some()
                && session.memberships.iter().any(|it| it.number == membership)
        });
        if !takes {
            return self.settle_ticket(terms.ticket, true);
        }
        self.hand(member, terms, &mut Parcel::new(*publication));
        self.pressure = false;
    }
}

// The home's side.
impl Shard {
    pub fn on_join(&mut self, from: ShardId, join: &Join<'_>) {
        let member = Member {
            shard: from,
            session: join.member,
            membership: join.membership,
            options: join.options,
            identifier: join.identifier,
            durable: join.durable,
            online: true,
            loans: 0,
        };
        let Some((key, group)) = self.shares.group_or_new(join.share, join.filter) else { return };
        match group.find(from, join.member) {
            Some(known) => *known = Member { loans: known.loans, ..member },
            None => {
                // It may have left and come back before it settled what it was given.
                let mine = |it: &&Loan| it.shard == from && it.session == join.member;
                let loans = group.loans.values().filter(mine).count() as u32;
                group.members.push(Member { loans, ..member });
            }
        }
        self.update_group(key);
        self.shares.joins.push_back((from, join.waiter, key));
        self.shares.make_busy(key);
    }

    /// A join is answered when every shard knows of the group's interest.
    pub fn pump_joins(&mut self) {
        while !self.shares.joins.is_empty() && self.lanes.all_open(Asker::Shard) {
            let Some((shard, waiter, group)) = self.shares.joins.pop_front() else { return };
            let then = Then::Joined { shard, waiter };
            let answer = self.waiters.insert(Waiter { waits: 1, then });
            if let Some(group) = self.shares.groups.get(group)
                && let Some(node) = self.interest.node(&group.filter)
            {
                self.announce(node, Some(answer));
            }
            self.settle_waiter(answer);
        }
    }

    pub fn on_leave(&mut self, from: ShardId, share: &str, filter: &str, member: Key) {
        let Some((key, group)) = self.shares.group(share, filter) else { return };
        group.members.retain(|it| !(it.shard == from && it.session == member));
        group.turn = 0;
        let empty = group.members.is_empty();
        self.update_group(key);
        self.shares.make_busy(key);
        if empty {
            self.drop_group_if_unused(key);
        }
    }

    pub fn on_presence(
        &mut self,
        from: ShardId,
        name: (&str, &str),
        session: Key,
        online: bool,
        durable: bool,
    ) {
        let Some((key, group)) = self.shares.group(name.0, name.1) else { return };
        if let Some(member) = group.find(from, session) {
            member.online = online;
            member.durable = durable;
        }
        self.update_group(key);
        self.shares.make_busy(key);
    }

    pub fn on_settle(&mut self, key: Key, number: u64, returned: bool) {
        let Some(group) = self.shares.groups.get_mut(key) else { return };
        let Some(loan) = group.loans.remove(&number) else { return };
        if let Some(member) = group.find(loan.shard, loan.session) {
            member.loans -= 1;
        }
        if returned && !planted::is(Bug::LoseReturnedShare) {
            group.push_front(loan.message);
            self.stats.queued += 1;
        }
        self.staged += 1;
        self.shares.make_busy(key);
        self.drop_group_if_unused(key);
    }

    /// A publication that matches the group's filter.
    pub fn give_to_group(&mut self, key: Key, parcel: &mut Parcel<'_>) {
        let publication = &parcel.publication;
        let cost = publication.cost();
        let over_budget = self.is_over_budget();
        let (messages_max, bytes_max) =
            (self.settings.queue_messages_max, self.settings.queue_bytes_max);
        let Some(group) = self.shares.groups.get_mut(key) else { return };
        if self.settings.overflow == Overflow::DropOldest && cost <= bytes_max && !over_budget {
            while group.is_full(cost, messages_max, bytes_max) && group.pop().is_some() {
                self.stats.queued -= 1;
                self.stats.drop(DropReason::QueueFull, 1);
            }
        }
        let full = group.is_full(cost, messages_max, bytes_max);
        if full || over_budget {
            parcel.refused |= self.settings.overflow == Overflow::Refuse;
            let reason = if full { DropReason::QueueFull } else { DropReason::Memory };
            return self.stats.drop(reason, 1);
        }
        let durable = group.level() == Level::Durable && publication.qos != Qos::AtMostOnce;
        let message =
            parcel.owned.get_or_insert_with(|| Message::new(&parcel.publication, &self.tally));
        group.push_back(Rc::clone(message));
        self.stats.queued += 1;
        if durable {
            parcel.staged = true;
            self.staged += 1;
        }
        self.pump_group(key);
    }

    pub fn pump_groups(&mut self) {
        for key in std::mem::take(&mut self.shares.busy) {
            if let Some(group) = self.shares.groups.get_mut(key) {
                group.busy = false;
                self.pump_group(key);
            }
        }
    }

    /// Hands unsent messages to members that can take them.
    fn pump_group(&mut self, key: Key) {
        while let Some(group) = self.shares.groups.get_mut(key) {
            let Some(message) = group.unsent.front().map(Rc::clone) else { return };
            let view = message.view();
            let qos = view.qos;
            if message.has_expired(self.now.wall) {
                group.pop();
                self.stats.queued -= 1;
                self.stats.drop(DropReason::Expired, 1);
                continue;
            }
            let lanes = &self.lanes;
            let window = self.settings.share_window;
            let Some(index) = group.choose(qos, window, |shard| lanes.is_open(shard, Asker::Group))
            else {
                let somebody = group.members.iter().any(|it| it.online);
                let waits =
                    if qos == Qos::AtMostOnce { somebody } else { !group.members.is_empty() };
                if waits {
                    // For credit: that has to be looked at again. For a member that comes or
                    // settles: that makes the group busy.
                    if group.has_taker(qos, window) {
                        self.shares.make_busy(key);
                    }
                    return;
                }
                group.pop();
                self.stats.queued -= 1;
                self.stats.drop(DropReason::ShareMemberGone, 1);
                continue;
            };
            if planted::is(Bug::ShareToAll) && index + 1 < group.members.len() {
                // Stays for the next one in turn.
                self.stats.queued += 1;
            } else {
                group.pop();
            }
            self.stats.queued -= 1;
            let member = &mut group.members[index];
            let qos = qos.min(member.options.qos);
            let mut number = 0;
            if qos != Qos::AtMostOnce {
                member.loans += 1;
                group.next_loan += 1;
                number = group.next_loan;
                let loan = Loan {
                    message: Rc::clone(&message),
                    shard: member.shard,
                    session: member.session,
                };
                group.loans.insert(number, loan);
            }
            let member = &group.members[index];
            let (shard, session, identifier) = (member.shard, member.session, member.identifier);
            let membership = member.membership;
            let retain = member.options.retain_as_published && view.retain;
            let deliver = Envelope::ShareDeliver {
                member: session,
                membership,
                group: key,
                number,
                qos,
                retain,
                identifier,
                publication: view,
            };
            self.lanes.request(shard, &deliver);
        }
    }

    fn update_group(&mut self, key: Key) {
        let Some(group) = self.shares.groups.get(key) else { return };
        self.interest.set_group(&group.filter, key, group.level());
    }

    fn drop_group_if_unused(&mut self, key: Key) {
        let Some(group) = self.shares.groups.get(key) else { return };
        if !group.members.is_empty() || !group.loans.is_empty() {
            return;
        }
        let Some(group) = self.shares.groups.remove(key) else { return };
        self.stats.queued -= group.unsent.len() as u64;
        self.stats.drop(DropReason::ShareMemberGone, group.unsent.len() as u64);
        self.shares.names.remove(&(group.share, group.filter));
    }
}
