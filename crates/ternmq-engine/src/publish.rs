//! PUBLISH from a client and the acknowledgements that belong to it: from the decoded packet to the
//! sessions, groups and shards that want the message.

use ternmq_proto::frame::PacketKind;
use ternmq_proto::packet::{Ack, Publish};
use ternmq_proto::planted::{self, Bug};
use ternmq_proto::{PacketId, PropertyBuf, Qos, ReasonCode, Version};

use crate::connection::Wait;
use crate::gate::{Acknowledgement, SlotId};
use crate::interest::{Level, Route};
use crate::message::{Origin, Publication, forwardable};
use crate::node::envelope::{Envelope, Sender};
use crate::node::lane::Asker;
use crate::placement::{PARTITIONS, ShardId, partition_of_topic, shard_of};
use crate::settings::Overflow;
use crate::shard::{Fault, Flow, Held, Shard};
use crate::slab::Key;
use crate::time::SECOND;
use crate::timer::Timer;

/// How long a publisher rests before it is asked again whether its consumer has caught up.
const PAUSE_MICROS: u64 = SECOND / 500;

/// Who waits for a publication on this shard, and how.
#[derive(Debug, Clone, Copy)]
pub struct Routing {
    /// Where receipts and pressure go.
    pub sender: Sender,
    /// Ask every shard for a receipt, not only those with durable matches.
    pub ask_all: bool,
}

/// What routing a publication led to.
#[derive(Debug, Default)]
pub struct Routed {
    /// Receipts that will come.
    pub receipts: u32,
    /// A change of this shard is staged.
    pub staged: bool,
    /// A subscriber of this shard refused it, under [`Overflow::Refuse`].
    pub refused: bool,
}

impl Shard {
    pub fn on_publish(&mut self, key: Key, publish: &Publish<'_>) -> Result<Flow, Fault> {
        let mut copy = std::mem::take(&mut self.scratch_topic);
        let flow = self.with_topic(key, publish, &mut copy);
        self.scratch_topic = copy;
        flow
    }

    /// Finds the topic that the packet means; an alias's text is copied, so that it does not tie
    /// the connection's table for the time of the routing.
    fn with_topic(
        &mut self,
        key: Key,
        publish: &Publish<'_>,
        copy: &mut String,
    ) -> Result<Flow, Fault> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(Flow::Done) };
        let topic = connection.link.topic(publish)?;
        if !publish.topic.is_empty() {
            return self.accept_publish(key, publish, publish.topic);
        }
        copy.clear();
        copy.push_str(topic);
        self.accept_publish(key, publish, copy)
    }

    fn accept_publish(
        &mut self,
        key: Key,
        publish: &Publish<'_>,
        topic: &str,
    ) -> Result<Flow, Fault> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(Flow::Done) };
        let Some(session) = self.sessions.get_mut(connection.session) else {
            return Ok(Flow::Done);
        };
        if let (Qos::ExactlyOnce, Some(packet_id)) = (publish.qos, publish.packet_id)
            && session.inbound.holds(packet_id)
            && !planted::is(Bug::DeliverQos2Again)
        {
            // It has its place in the quota already, or an earlier connection had given it one.
            self.repeat_pubrec(key, packet_id);
            return Ok(Flow::Done);
        }
        let (publisher, from_outbox) =
            (session.publisher, publish.qos == Qos::ExactlyOnce && session.is_durable());
        let partition = crate::placement::partition_of(&session.client_id);
        if let Some(code) = self.refuses_topic(topic) {
            return self.refuse_publish(key, publish, code);
        }
        let route = self.interest.route(topic);
        if !self.has_way(&route, publish, topic, from_outbox) {
            return Ok(Flow::Blocked);
        }
        let Some(connection) = self.connections.get_mut(key) else { return Ok(Flow::Done) };
        connection.link.arrived(publish.qos)?;
        self.stats.publish_received[usize::from(publish.qos.bits())] += 1;
        let mut scratch = PropertyBuf::new();
        let publication = Publication {
            topic,
            payload: publish.payload,
            properties: forwardable(publish.properties, &mut scratch),
            qos: publish.qos,
            retain: publish.retain,
            expires: self.expires(publish.properties.message_expiry_interval()),
            publisher,
            stamp: self.stamp(),
            origin: None,
        };
        let matched = !route.is_empty();
        match publish.packet_id {
            Some(packet_id) if from_outbox => {
                self.accept_into_outbox(key, packet_id, &publication, partition, matched);
            }
            packet_id => self.accept_directly(key, packet_id, &publication, &route),
        }
        Ok(Flow::Done)
    }

    /// QoS 0 and 1, and QoS 2 of a session that dies with its connection: routed at once.
    fn accept_directly(
        &mut self,
        key: Key,
        packet_id: Option<PacketId>,
        publication: &Publication<'_>,
        route: &Route,
    ) {
        let slot = self.connections.get(key).map(|connection| connection.gate.next());
        let slot = slot.filter(|_| packet_id.is_some());
        let sender = Sender::Connection { key, slot };
        let ask_all = self.settings.overflow == Overflow::Refuse;
        let routed = self.route_publication(publication, route, Routing { sender, ask_all });
        if std::mem::take(&mut self.pressure) {
            self.pause(key);
        }
        let (Some(packet_id), Some(slot)) = (packet_id, slot) else { return };
        let kind = if publication.qos == Qos::ExactlyOnce {
            if let Some(session) = self.session_of(key)
                && let Some(session) = self.sessions.get_mut(session)
            {
                session.inbound.hold(packet_id);
            }
            PacketKind::Pubrec
        } else {
            PacketKind::Puback
        };
        let code = self.code_of(key, &routed, route);
        let waits = routed.receipts + u32::from(routed.staged);
        if routed.staged {
            self.hold(Held::Slot(key, slot));
        }
        self.acknowledge(key, Acknowledgement { kind, packet_id, code }, waits);
    }

    /// QoS 2 of a session that outlives its connection: identifier and message are one record, and
    /// the message is routed after its commit, from the outbox.
    fn accept_into_outbox(
        &mut self,
        key: Key,
        packet_id: PacketId,
        publication: &Publication<'_>,
        partition: crate::placement::PartitionId,
        matched: bool,
    ) {
        if let Some(session) = self.session_of(key)
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.inbound.hold(packet_id);
        }
        self.push_outbox(publication, Some(partition));
        let slot = self.connections.get(key).map_or(SlotId(0), |it| it.gate.next());
        self.hold(Held::Slot(key, slot));
        let code = if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
        let kind = PacketKind::Pubrec;
        self.acknowledge(key, Acknowledgement { kind, packet_id, code }, 1);
    }

    /// Hands a publication to everybody on its route, and to the owner of its retained message.
    pub fn route_publication(
        &mut self,
        publication: &Publication<'_>,
        route: &Route,
        routing: Routing,
    ) -> Routed {
        let mut routed = self.deliver_here(publication, route);
        for (shard, level) in &route.shards {
            routed.receipts += self.post_publication(publication, *shard, *level, routing);
        }
        if publication.retain {
            routed.receipts += self.post_retained(publication, routing);
        }
        routed
    }

    /// Sends a publication to one interested shard. Returns how many receipts it will give.
    pub fn post_publication(
        &mut self,
        publication: &Publication<'_>,
        to: ShardId,
        level: Level,
        routing: Routing,
    ) -> u32 {
        let asks = level == Level::Durable || routing.ask_all;
        let sender = match routing.sender {
            Sender::Connection { key, slot } => {
                Sender::Connection { key, slot: slot.filter(|_| asks) }
            }
            Sender::Outbox { number, .. } => Sender::Outbox { number, receipt: asks },
        };
        self.lanes.request(to, &Envelope::Publish { sender, publication: *publication });
        u32::from(awaits(sender))
    }

    /// Sends a publication to the owner of its topic's retained message. Returns how many receipts
    /// it will give.
    pub fn post_retained(&mut self, publication: &Publication<'_>, routing: Routing) -> u32 {
        let owner = self.retained_owner(publication.topic);
        let sender = match routing.sender {
            Sender::Outbox { number, .. } => Sender::Outbox { number, receipt: true },
            sender @ Sender::Connection { .. } => sender,
        };
        self.lanes.request(owner, &Envelope::Retain { sender, publication: *publication });
        u32::from(awaits(sender))
    }

    pub fn retained_owner(&self, topic: &str) -> ShardId {
        shard_of(partition_of_topic(topic), self.settings.shards)
    }

    /// A publication from another shard.
    pub fn on_envelope_publish(
        &mut self,
        from: ShardId,
        sender: Sender,
        publication: &Publication<'_>,
    ) {
        if publication.origin.is_some_and(|origin| !self.is_news(origin)) {
            if awaits(sender) {
                let code = ReasonCode::Success;
                self.lanes.reply(from, &Envelope::Receipt { sender, code, retained: false });
            }
            return;
        }
        let route = self.interest.route(publication.topic);
        let routed = self.deliver_here(publication, &route);
        if std::mem::take(&mut self.pressure)
            && let Sender::Connection { key, .. } = sender
        {
            self.lanes.reply(from, &Envelope::Pressure { connection: key });
        }
        if !awaits(sender) {
            return;
        }
        let code = if routed.refused { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        if routed.staged {
            self.hold(Held::Receipt { to: from, sender, code, retained: false });
        } else {
            self.lanes.reply(from, &Envelope::Receipt { sender, code, retained: false });
        }
    }

    /// A receipt for something that this shard published.
    pub fn on_receipt(&mut self, from: ShardId, sender: Sender, code: ReasonCode, retained: bool) {
        if retained {
            self.lanes.retain_done(from);
            self.release_interest_answers();
        }
        match sender {
            Sender::Connection { key, slot: Some(slot) } => self.settle_slot(key, slot, code),
            Sender::Connection { slot: None, .. } => {}
            Sender::Outbox { number, receipt } => {
                if receipt {
                    self.outbox.settle(number);
                }
            }
        }
    }

    /// A consumer of this connection's messages is congested: do not read it for a moment.
    pub fn pause(&mut self, key: Key) {
        let until = self.now.mono + PAUSE_MICROS;
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.wait == Wait::No {
            connection.wait = Wait::Paused(until);
            self.timers.set(until, Timer::Pause(key));
            self.stats.paused += 1;
        }
    }

    /// PUBREL: the identifier is free again once that is durable.
    pub fn on_pubrel(&mut self, key: Key, ack: &Ack<'_>) -> Result<Flow, Fault> {
        let Some(session) = self.session_of(key) else { return Ok(Flow::Done) };
        let Some(session) = self.sessions.get_mut(session) else { return Ok(Flow::Done) };
        let (packet_id, kind) = (ack.packet_id, PacketKind::Pubcomp);
        let (known, durable) = (session.inbound.release(packet_id), session.is_durable());
        let code = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        if known && durable {
            self.stage();
            self.hold(Held::Ack { connection: key, kind, packet_id, code });
        } else {
            self.write_ack(key, kind, packet_id, code);
        }
        Ok(Flow::Done)
    }

    /// A QoS 2 PUBLISH that is held already: only its PUBREC is repeated (MQTT-4.3.3-10), together
    /// with the first one if that has not left yet.
    fn repeat_pubrec(&mut self, key: Key, packet_id: PacketId) {
        let kind = PacketKind::Pubrec;
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.gate.holds(packet_id, kind) {
            return;
        }
        let slot = connection.gate.next();
        let durable = self
            .session_of(key)
            .and_then(|session| self.sessions.get(session))
            .is_some_and(|session| session.is_durable());
        if durable {
            // The identifier may have been staged in this very turn, by a connection before this.
            self.stage();
            self.hold(Held::Slot(key, slot));
        }
        let code = ReasonCode::Success;
        self.acknowledge(key, Acknowledgement { kind, packet_id, code }, u32::from(durable));
    }

    /// Whether everything that this message needs can be asked for now.
    fn has_way(
        &self,
        route: &Route,
        publish: &Publish<'_>,
        topic: &str,
        from_outbox: bool,
    ) -> bool {
        if from_outbox {
            return self.outbox.len() < self.settings.outbox_max as usize;
        }
        let is_open = |shard| self.lanes.is_open(shard, Asker::Publisher);
        let retained = !publish.retain || is_open(self.retained_owner(topic));
        retained && route.shards.iter().all(|(shard, _)| is_open(*shard))
    }

    fn code_of(&self, key: Key, routed: &Routed, route: &Route) -> ReasonCode {
        let v5 = self.connections.get(key).is_some_and(|it| it.version() == Version::V5);
        match () {
            () if !v5 => ReasonCode::Success,
            () if routed.refused => ReasonCode::QuotaExceeded,
            () if route.is_empty() => ReasonCode::NoMatchingSubscribers,
            () => ReasonCode::Success,
        }
    }

    fn refuses_topic(&self, topic: &str) -> Option<ReasonCode> {
        if topic.starts_with("$SYS/") || topic == "$SYS" {
            return Some(ReasonCode::NotAuthorized);
        }
        // The count of levels is bounded by that of bytes: most topics need no count.
        let levels_max = usize::from(self.settings.topic_levels_max);
        let too_deep = topic.len() >= levels_max && topic.split('/').count() > levels_max;
        too_deep.then_some(ReasonCode::TopicNameInvalid)
    }

    /// A message that nobody gets. MQTT 5 says why; 3.x is acknowledged (MQTT-3.3.5-2).
    fn refuse_publish(
        &mut self,
        key: Key,
        publish: &Publish<'_>,
        code: ReasonCode,
    ) -> Result<Flow, Fault> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(Flow::Done) };
        connection.link.arrived(publish.qos)?;
        let v5 = connection.version() == Version::V5;
        let code = if v5 { code } else { ReasonCode::Success };
        let Some(packet_id) = publish.packet_id else { return Ok(Flow::Done) };
        let kind = match publish.qos {
            Qos::ExactlyOnce => PacketKind::Pubrec,
            _ => PacketKind::Puback,
        };
        if kind == PacketKind::Pubrec
            && !code.is_error()
            && let Some(session) = self.session_of(key)
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.inbound.hold(packet_id);
        }
        self.acknowledge(key, Acknowledgement { kind, packet_id, code }, 0);
        Ok(Flow::Done)
    }

    /// Whether an exactly-once publication has not been seen here before.
    fn is_news(&mut self, origin: Origin) -> bool {
        debug_assert!(origin.partition.0 < PARTITIONS);
        self.outbox.is_news(origin)
    }
}

/// Whether the sender has asked for a receipt.
pub fn awaits(sender: Sender) -> bool {
    match sender {
        Sender::Connection { slot, .. } => slot.is_some(),
        Sender::Outbox { receipt, .. } => receipt,
    }
}
