//! From a route to sockets and queues: what a session gets, in which order, and what happens when it
//! does not keep up.

use std::rc::Rc;

use ternmq_proto::frame::PacketKind;
use ternmq_proto::inflight::{Pubrec, Resend};
use ternmq_proto::packet::{Ack, PublishHead, encode_publish, encoded_publish_len};
use ternmq_proto::planted::{self, Bug};
use ternmq_proto::topic_alias::AliasOut;
use ternmq_proto::{PacketId, Properties, Property, PropertyBuf, Qos, ReasonCode, Version};

use crate::connection::Phase;
use crate::interest::{Entry, Route};
use crate::message::{Message, Publication};
use crate::publish::Routed;
use crate::session::{Identifiers, Queued, Ticket};
use crate::settings::Overflow;
use crate::shard::{Fault, Flow, Held, Shard};
use crate::slab::Key;
use crate::stats::DropReason;

/// A publication while it is being delivered; the owned copy is made when the first queue needs it,
/// and shared by the others.
pub struct Parcel<'a> {
    pub publication: Publication<'a>,
    pub owned: Option<Rc<Message>>,
    pub staged: bool,
    pub refused: bool,
}

/// How one session gets a message.
#[derive(Debug, Clone)]
pub struct Terms {
    pub qos: Qos,
    pub retain: bool,
    pub identifiers: Identifiers,
    pub ticket: Option<Ticket>,
}

impl<'a> Parcel<'a> {
    pub fn new(publication: Publication<'a>) -> Self {
        Parcel { publication, owned: None, staged: false, refused: false }
    }
}

impl Shard {
    /// Delivers to the sessions and groups of this shard.
    pub fn deliver_here(&mut self, publication: &Publication<'_>, route: &Route) -> Routed {
        let mut parcel = Parcel::new(*publication);
        // What was found congested by retained messages or by those held back is nobody's pressure.
        self.pressure = false;
        for target in &route.targets {
            self.deliver_to(target.session, route.entries_of(*target), &mut parcel);
        }
        for group in &route.groups {
            self.give_to_group(*group, &mut parcel);
        }
        Routed { receipts: 0, staged: parcel.staged, refused: parcel.refused }
    }

    /// One session, however many of its subscriptions match (MQTT-3.3.4-2 to -4).
    fn deliver_to(&mut self, index: u32, entries: &[Entry], parcel: &mut Parcel<'_>) {
        let Some((key, session)) = self.sessions.at(index) else { return };
        let own = session.publisher == parcel.publication.publisher;
        let own = own && !planted::is(Bug::NoLocalIgnored);
        let wanted = |entry: &&Entry| !(own && entry.options.no_local);
        let Some(qos) = entries.iter().filter(wanted).map(|entry| entry.options.qos).max() else {
            return;
        };
        let as_published =
            entries.iter().filter(wanted).any(|entry| entry.options.retain_as_published);
        let identifiers = entries
            .iter()
            .filter(wanted)
            .map(|entry| entry.identifier)
            .filter(|identifier| *identifier != 0);
        let terms = Terms {
            qos: if planted::is(Bug::DeliverPublishedQos) {
                parcel.publication.qos
            } else {
                qos.min(parcel.publication.qos)
            },
            retain: (as_published || planted::is(Bug::CopyRetainFlag)) && parcel.publication.retain,
            identifiers: Identifiers::collect(identifiers),
            ticket: None,
        };
        // Also those that do not want this one: what they hold back must not be overtaken.
        let openings = entries.iter().filter_map(|entry| entry.opening);
        match self.openings.holder(openings, parcel.publication.stamp) {
            Some(opening) => self.hold_back(opening, terms, parcel),
            None => self.hand(key, terms, parcel),
        }
    }

    /// Gives a message to a session: to its socket if nothing is before it, else to its queue.
    pub fn hand(&mut self, key: Key, terms: Terms, parcel: &mut Parcel<'_>) {
        if parcel.publication.has_expired(self.now.wall) && !planted::is(Bug::DeliverExpired) {
            self.stats.drop(DropReason::Expired, 1);
            return self.settle_ticket(terms.ticket, false);
        }
        let Some(session) = self.sessions.get(key) else { return };
        let connection = session.connection.filter(|connection| {
            self.connections.get(*connection).is_some_and(|it| it.phase == Phase::Open)
        });
        if terms.qos == Qos::AtMostOnce {
            if let Some(connection) = connection {
                self.send_qos0(key, connection, &terms, &parcel.publication);
            }
            return;
        }
        let may_send = (session.queue.is_empty() || planted::is(Bug::QueueOvertaken))
            && session.inflight.can_send()
            && connection.is_some_and(|connection| self.has_room(connection));
        match connection {
            Some(connection) if may_send => self.send_first(key, connection, terms, parcel),
            _ => self.enqueue(key, terms, parcel),
        }
    }

    fn send_qos0(
        &mut self,
        key: Key,
        connection: Key,
        terms: &Terms,
        publication: &Publication<'_>,
    ) {
        let Some(it) = self.connections.get(connection) else { return };
        let waiting = it.output.len();
        let full = waiting >= self.settings.output_max_bytes as usize
            || (waiting > 0 && self.is_over_budget());
        if waiting > self.settings.output_high_bytes as usize {
            self.congested(key);
        }
        if full {
            return self.stats.drop(DropReason::SlowConsumer, 1);
        }
        let head = PublishHead { retain: terms.retain, ..PublishHead::default() };
        self.write_publish(connection, head, publication, terms.identifiers.as_slice());
    }

    /// The first transmission of a QoS 1 or 2 message.
    fn send_first(&mut self, key: Key, connection: Key, terms: Terms, parcel: &mut Parcel<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let durable = session.is_durable();
        let kept = (durable || terms.ticket.is_some()).then(|| {
            let message =
                parcel.owned.get_or_insert_with(|| Message::new(&parcel.publication, &self.tally));
            Box::new(Queued {
                message: Rc::clone(message),
                qos: terms.qos,
                retain: terms.retain,
                identifiers: terms.identifiers.clone(),
                ticket: terms.ticket,
            })
        });
        let Some(packet_id) = session.inflight.send(terms.qos, kept) else { return };
        parcel.staged |= durable;
        if durable {
            self.staged += 1;
            let Some(it) = self.connections.get_mut(connection) else { return };
            // Its identifier has to be durable before the peer can know it; and what comes after it
            // must not be sent before it, for a resume repeats both in this order (MQTT-4.6.0-1).
            if terms.qos == Qos::ExactlyOnce || it.held_publishes > 0 {
                it.held_publishes += 1;
                return self.hold(Held::Publish { connection, packet_id });
            }
        }
        let head = PublishHead {
            dup: false,
            qos: terms.qos,
            retain: terms.retain,
            packet_id: Some(packet_id),
        };
        self.write_publish(connection, head, &parcel.publication, terms.identifiers.as_slice());
    }

    /// The identifier of a message is durable: now it may be sent.
    pub fn send_held(&mut self, connection: Key, packet_id: PacketId) {
        let Some(it) = self.connections.get_mut(connection) else { return };
        it.held_publishes -= 1;
        let session = it.session;
        let Some(session) = self.sessions.get(session) else { return };
        if session.connection != Some(connection) {
            return;
        }
        let found = session.inflight.message(packet_id).and_then(|kept| kept.clone());
        let Some(item) = found else { return };
        let head = PublishHead {
            dup: false,
            qos: item.qos,
            retain: item.retain,
            packet_id: Some(packet_id),
        };
        let identifiers = item.identifiers.as_slice();
        self.write_publish(connection, head, &item.message.view(), identifiers);
    }

    fn enqueue(&mut self, key: Key, terms: Terms, parcel: &mut Parcel<'_>) {
        let over_budget = self.is_over_budget();
        let Some(session) = self.sessions.get_mut(key) else { return };
        let cost = parcel.publication.cost();
        let (messages_max, bytes_max) =
            (self.settings.queue_messages_max, self.settings.queue_bytes_max);
        // For one that would not fit into an empty queue, none has to go.
        if self.settings.overflow == Overflow::DropOldest && cost <= bytes_max {
            let mut gone = Vec::new();
            while session.queue.is_full(cost, messages_max, bytes_max)
                && let Some(oldest) = session.queue.pop()
            {
                gone.push(oldest.ticket);
            }
            self.stats.queued -= gone.len() as u64;
            self.stats.drop(DropReason::QueueFull, gone.len() as u64);
            for ticket in gone {
                self.settle_ticket(ticket, false);
            }
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        let full = session.queue.is_full(cost, messages_max, bytes_max);
        if (full || over_budget) && !planted::is(Bug::QueueWithoutBound) {
            parcel.refused |= self.settings.overflow == Overflow::Refuse;
            let reason = if full { DropReason::QueueFull } else { DropReason::Memory };
            self.stats.drop(reason, 1);
            return self.settle_ticket(terms.ticket, false);
        }
        let message =
            parcel.owned.get_or_insert_with(|| Message::new(&parcel.publication, &self.tally));
        session.queue.push(Queued {
            message: Rc::clone(message),
            qos: terms.qos,
            retain: terms.retain,
            identifiers: terms.identifiers,
            ticket: terms.ticket,
        });
        self.stats.queued += 1;
        let crowded = session.queue.bytes() > u64::from(self.settings.output_high_bytes)
            || session.queue.len() as u64 * 2 > u64::from(messages_max);
        if session.is_durable() {
            parcel.staged = true;
            self.staged += 1;
        }
        if crowded && session.connection.is_some() {
            self.congested(key);
        }
    }

    /// A consumer does not keep up: its publishers wait a while, then its policy drops.
    fn congested(&mut self, key: Key) {
        let now = self.now.mono.max(1);
        let wait = u64::from(self.settings.slow_consumer_wait_ms) * 1_000;
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.congested_since == 0 {
            session.congested_since = now;
        }
        if now - session.congested_since <= wait {
            self.pressure = true;
        } else if !std::mem::replace(&mut session.slow, true) {
            self.stats.slow_consumers += 1;
        }
    }

    // -- acknowledgements from the subscriber --

    pub fn on_puback(&mut self, key: Key, ack: &Ack<'_>) -> Result<Flow, Fault> {
        let Some(session_key) = self.session_of(key) else { return Ok(Flow::Done) };
        let Some(session) = self.sessions.get_mut(session_key) else { return Ok(Flow::Done) };
        // An identifier that nobody waits for is an answer to an earlier transmission.
        if let Some(kept) = session.inflight.puback(ack.packet_id) {
            self.staged += u32::from(session.is_durable());
            self.settle_ticket(kept.and_then(|item| item.ticket), false);
        }
        self.pump_later(session_key);
        Ok(Flow::Done)
    }

    pub fn on_pubrec(&mut self, key: Key, ack: &Ack<'_>) -> Result<Flow, Fault> {
        let Some(session_key) = self.session_of(key) else { return Ok(Flow::Done) };
        let Some(session) = self.sessions.get_mut(session_key) else { return Ok(Flow::Done) };
        let packet_id = ack.packet_id;
        let outcome = session.inflight.pubrec(packet_id, ack.code);
        let durable = session.is_durable();
        let code = match outcome {
            Pubrec::Unknown => ReasonCode::PacketIdentifierNotFound,
            Pubrec::Repeated => ReasonCode::Success,
            Pubrec::Release(kept) => {
                self.settle_ticket(kept.and_then(|item| item.ticket), false);
                ReasonCode::Success
            }
            Pubrec::Refused(kept) => {
                self.staged += u32::from(durable);
                self.settle_ticket(kept.and_then(|item| item.ticket), false);
                self.pump_later(session_key);
                return Ok(Flow::Done);
            }
        };
        let kind = PacketKind::Pubrel;
        if durable && code == ReasonCode::Success {
            self.stage();
            self.hold(Held::Ack { connection: key, kind, packet_id, code });
        } else {
            self.write_ack(key, kind, packet_id, code);
        }
        Ok(Flow::Done)
    }

    pub fn on_pubcomp(&mut self, key: Key, ack: &Ack<'_>) -> Result<Flow, Fault> {
        let Some(session_key) = self.session_of(key) else { return Ok(Flow::Done) };
        let Some(session) = self.sessions.get_mut(session_key) else { return Ok(Flow::Done) };
        if session.inflight.pubcomp(ack.packet_id) {
            self.staged += u32::from(session.is_durable());
        }
        self.pump_later(session_key);
        Ok(Flow::Done)
    }

    // -- the queue --

    /// The queue of this session may be able to move.
    pub fn pump_later(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !session.pumping {
            session.pumping = true;
            self.pumping.push(key);
        }
    }

    /// Sends again what a resumed session owes, then what is queued, as far as quota and socket
    /// reach.
    pub fn pump_session(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.pumping = false;
        let Some(connection) = session.connection else { return };
        if self.connections.get(connection).is_none_or(|it| it.phase != Phase::Open) {
            return;
        }
        while self.has_room(connection) {
            if !self.resend_one(key, connection) && !self.send_one(key, connection) {
                break;
            }
        }
        self.check_relief(key, connection);
    }

    fn resend_one(&mut self, key: Key, connection: Key) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        match session.inflight.poll_resend() {
            None => false,
            Some(Resend::Pubrel(packet_id)) => {
                self.write_ack(connection, PacketKind::Pubrel, packet_id, ReasonCode::Success);
                true
            }
            Some(Resend::Publish { packet_id, qos, message }) => {
                let item = message.clone();
                if let Some(item) = item {
                    let (retain, packet_id) = (item.retain, Some(packet_id));
                    let head = PublishHead {
                        dup: !planted::is(Bug::NoDupOnResume),
                        qos,
                        retain,
                        packet_id,
                    };
                    let identifiers = item.identifiers.as_slice();
                    self.write_publish(connection, head, &item.message.view(), identifiers);
                }
                true
            }
        }
    }

    fn send_one(&mut self, key: Key, connection: Key) -> bool {
        let wall = self.now.wall;
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let Some(front) = session.queue.front() else { return false };
        let expired = front.message.has_expired(wall) && !planted::is(Bug::DeliverExpired);
        if !expired && !session.inflight.can_send() {
            return false;
        }
        let Some(item) = session.queue.pop() else { return false };
        self.stats.queued -= 1;
        self.staged += u32::from(session.is_durable());
        if expired {
            self.stats.drop(DropReason::Expired, 1);
            self.settle_ticket(item.ticket, false);
            return true;
        }
        let Queued { message, qos, retain, identifiers, ticket } = item;
        let mut parcel = Parcel::new(message.view());
        parcel.owned = Some(Rc::clone(&message));
        self.send_first(key, connection, Terms { qos, retain, identifiers, ticket }, &mut parcel);
        true
    }

    /// Whether the socket has taken enough for more to be added.
    pub fn has_room(&self, connection: Key) -> bool {
        let high = self.settings.output_high_bytes as usize;
        self.connections.get(connection).is_some_and(|it| it.output.len() <= high)
    }

    fn check_relief(&mut self, key: Key, connection: Key) {
        let low = self.settings.output_high_bytes as usize / 2;
        let output = self.connections.get(connection).map_or(0, |it| it.output.len());
        let Some(session) = self.sessions.get_mut(key) else { return };
        if output <= low && session.queue.bytes() <= low as u64 {
            session.congested_since = 0;
            self.stats.slow_consumers -= u64::from(std::mem::take(&mut session.slow));
        }
    }

    // -- the packet --

    /// Encodes a PUBLISH into the output of a connection; one that the client does not take is
    /// dropped, and counted as delivered (MQTT-3.1.2-25).
    fn write_publish(
        &mut self,
        key: Key,
        head: PublishHead,
        publication: &Publication<'_>,
        identifiers: &[u32],
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let version = connection.version();
        let mut extra = std::mem::replace(&mut self.extra, PropertyBuf::new());
        extra.clear();
        let mut topic = publication.topic;
        if version == Version::V5 {
            let now = if planted::is(Bug::ExpiryNotReduced) { 0 } else { self.now.wall };
            if let Some(seconds) = publication.expiry_seconds(now) {
                extra.push(Property::MessageExpiryInterval(seconds));
            }
            let count = if planted::is(Bug::OneIdentifier) { 1 } else { usize::MAX };
            for identifier in identifiers.iter().take(count) {
                extra.push(Property::SubscriptionIdentifier(*identifier));
            }
        }
        let bytes_max = match planted::is(Bug::IgnorePacketSize) {
            true => usize::MAX,
            false => connection.link.send_bytes_max() as usize,
        };
        let length = |extra: Properties<'_>| {
            let properties = extra.as_bytes().len() + publication.properties.as_bytes().len();
            let (topic, payload) = (publication.topic.len(), publication.payload.len());
            encoded_publish_len(version, head.qos, topic, properties, payload)
        };
        // An alias adds three bytes; where these are too many, it is not worth a dropped message.
        if length(extra.as_properties()) + 4 <= bytes_max {
            match connection.link.alias_for(topic) {
                Some(AliasOut::Known(alias)) => {
                    topic = "";
                    extra.push(Property::TopicAlias(alias));
                }
                Some(AliasOut::Set(alias)) => {
                    extra.push(Property::TopicAlias(alias));
                }
                None => {}
            }
        }
        let bytes = length(extra.as_properties());
        if bytes <= bytes_max {
            self.stats.publish_sent[usize::from(head.qos.bits())] += 1;
            let (extra, properties) = (extra.as_properties(), publication.properties);
            self.write(key, bytes, |out| {
                encode_publish(out, version, head, topic, extra, properties, publication.payload);
            });
        } else {
            self.drop_too_large(key, head);
        }
        self.extra = extra;
    }

    fn drop_too_large(&mut self, key: Key, head: PublishHead) {
        self.stats.drop(DropReason::TooLarge, 1);
        let Some(packet_id) = head.packet_id else { return };
        let Some(session_key) = self.session_of(key) else { return };
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let kept = match head.qos {
            Qos::AtLeastOnce => session.inflight.puback(packet_id).flatten(),
            _ => match session.inflight.pubrec(packet_id, ReasonCode::PacketTooLarge) {
                Pubrec::Refused(kept) => kept,
                _ => None,
            },
        };
        self.settle_ticket(kept.and_then(|item| item.ticket), false);
        self.pump_later(session_key);
    }
}
