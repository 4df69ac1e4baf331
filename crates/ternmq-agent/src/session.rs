//! What outlives a connection: messages on their way in both directions, requests, and the rules
//! for what a new connection finds of it.
//!
//! A message is accepted, waits in the outbox, is in flight, and is finished; each step has one
//! owner. Exactly one event tells the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ternmq_proto::frame::PacketKind;
use ternmq_proto::inbound::Inbound;
use ternmq_proto::inflight::{Inflight, Pubrec, Resend};
use ternmq_proto::packet::{self, encode_ack};
use ternmq_proto::{PacketId, Properties, Qos, ReasonCode, Version};

use crate::event::{Acknowledgement, Event, Lost, PublishError};
use crate::inbox::{Arrival, Inbox};
use crate::live::Live;
use crate::message::{Message, Publish, PublishId, RequestId};
use crate::options::{Options, SessionLost};
use crate::outbox::{Outbox, Stored};
use crate::requests::{AnswerMismatch, Requests};

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) requests: Requests,
    inflight: Inflight<Stored>,
    /// QoS 2 messages that the server has taken over, until PUBCOMP.
    released: BTreeMap<PacketId, (PublishId, Acknowledgement)>,
    foreign: Foreign,
    next_id: u64,
    /// A server has accepted a connection of this session before.
    pub(crate) established: bool,
    pub(crate) client_id: String,
}

/// Whether the server has what an earlier connection left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Gone,
    Present,
    /// MQTT 3.1 does not say. Messages are treated as if it were there: most often it is, and else
    /// the server sees identifiers that are new to it.
    Unknown,
}

/// What of an agent survives a restart of its process: accepted messages at QoS 1 and 2, those in
/// flight with their identifiers, and the QoS 2 identifiers that were received. Subscriptions are
/// the application's to ask for again; messages at QoS 0 are gone.
///
/// Times in it are those of the agent it came from: the new agent's clock has to go on from there.
#[derive(Debug)]
pub struct Durable {
    outbox: Outbox,
    held: Inbound,
    inflight: Inflight<Stored>,
    released: BTreeMap<PacketId, (PublishId, Acknowledgement)>,
    foreign: Foreign,
    next_id: u64,
    established: bool,
    client_id: String,
}

/// QoS 2 identifiers that the server may hold for an earlier run of the program, which left us
/// nothing. A message with such an identifier would be taken for a repetition and lost, so each is
/// released before its first use: PUBREL, and the PUBLISH only after its PUBCOMP.
#[derive(Debug, Default)]
struct Foreign {
    /// The last identifier that was given out; `None`: there are no foreign ones any more.
    last: Option<PacketId>,
    /// PUBREL was sent instead of PUBLISH.
    releasing: BTreeSet<PacketId>,
}

impl Foreign {
    /// An identifier is given out for the first time. `true`: it has to be released before.
    fn given(&mut self, packet_id: PacketId, qos: Qos) -> bool {
        match self.last {
            Some(last) if last <= packet_id => self.last = Some(packet_id),
            Some(_) => self.last = None,
            None => {}
        }
        let foreign = self.last.is_some() && qos == Qos::ExactlyOnce;
        if foreign {
            self.releasing.insert(packet_id);
        }
        foreign
    }
}

impl Durable {
    /// Messages that are not finished.
    pub fn unfinished(&self) -> usize {
        self.outbox.messages()
    }
}

impl Session {
    pub(crate) fn new(options: &Options) -> Self {
        Session {
            outbox: Outbox::new(options.outbox),
            inbox: Inbox::default(),
            requests: Requests::default(),
            inflight: Inflight::new(),
            released: BTreeMap::new(),
            foreign: Foreign::default(),
            next_id: 0,
            established: false,
            client_id: options.client_id.clone(),
        }
    }

    pub(crate) fn restore(options: &Options, durable: Durable) -> Self {
        let mut outbox = durable.outbox;
        outbox.set_limits(options.outbox);
        Session {
            outbox,
            inbox: Inbox::restore(durable.held),
            requests: Requests::default(),
            inflight: durable.inflight,
            released: durable.released,
            foreign: durable.foreign,
            next_id: durable.next_id,
            established: durable.established,
            client_id: durable.client_id,
        }
    }

    pub(crate) fn into_durable(mut self) -> Durable {
        self.outbox.drop_unconfirmed();
        Durable {
            outbox: self.outbox,
            held: self.inbox.into_held(),
            inflight: self.inflight,
            released: self.released,
            foreign: self.foreign,
            next_id: self.next_id,
            established: self.established,
            client_id: self.client_id,
        }
    }

    /// Accepts a message.
    pub(crate) fn accept(
        &mut self,
        now: u64,
        mut publish: Publish,
        options: &Options,
        events: &mut VecDeque<Event>,
    ) -> Result<PublishId, PublishError> {
        publish.check(options.version)?;
        let (bytes, max) = (publish.cost_bytes(), options.outbox.bytes);
        if bytes > max {
            return Err(PublishError::OverOutbox { bytes, max });
        }
        let Some(dropped) = self.outbox.make_room(&publish, options.overflow) else {
            return Err(PublishError::Full(Box::new(publish)));
        };
        for id in dropped {
            events.push_back(Event::Published { id, result: Err(Lost::Dropped) });
        }
        let id = PublishId(self.new_id());
        let life = publish.expiry_seconds.map(|seconds| u64::from(seconds) * 1_000_000);
        let expires_at = life.map(|life| now.saturating_add(life));
        self.outbox.push(Stored { id, publish, expires_at });
        Ok(id)
    }

    pub(crate) fn new_request(&mut self) -> RequestId {
        RequestId(self.new_id())
    }

    /// A connection was accepted; the server has, or has not, what an earlier one left.
    pub(crate) fn start(
        &mut self,
        presence: Presence,
        window: u16,
        policy: SessionLost,
        events: &mut VecDeque<Event>,
    ) {
        if !self.established && presence != Presence::Gone {
            self.foreign.last = Some(PacketId::MIN);
        }
        self.established = true;
        self.inbox.start(presence != Presence::Gone);
        if presence == Presence::Gone {
            self.foreign = Foreign::default();
            let lost = || Err(Lost::SessionLost);
            for (_, (id, _)) in std::mem::take(&mut self.released) {
                self.outbox.free_place();
                events.push_back(Event::Published { id, result: lost() });
            }
            for stored in self.inflight.drain() {
                match policy {
                    SessionLost::Republish => self.outbox.put_back(stored),
                    SessionLost::Fail => {
                        self.outbox.finished(&stored.publish);
                        events.push_back(Event::Published { id: stored.id, result: lost() });
                    }
                }
            }
        }
        // Subscribing once too often does less harm than once too seldom.
        self.requests.start(presence == Presence::Present);
        self.inflight.start(window);
    }

    /// Appends the next packet that may leave, in this order: what has to be sent again, requests,
    /// new messages. `false`: there is none.
    pub(crate) fn send_next(
        &mut self,
        now: u64,
        live: &mut Live,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> bool {
        self.resend_next(now, live, out, events)
            || self.requests.send_next(&live.offer, &mut self.inflight, out, events)
            || self.publish_next(now, live, out, events)
    }

    fn resend_next(
        &mut self,
        now: u64,
        live: &mut Live,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> bool {
        let (packet_id, qos, lost) = match self.inflight.poll_resend() {
            None => return false,
            Some(Resend::Pubrel(packet_id)) => {
                acknowledge(live, PacketKind::Pubrel, packet_id, ReasonCode::Success, out);
                return true;
            }
            Some(Resend::Publish { packet_id, qos, message }) => match live.refuses(message) {
                None if self.foreign.releasing.contains(&packet_id) => {
                    acknowledge(live, PacketKind::Pubrel, packet_id, ReasonCode::Success, out);
                    return true;
                }
                None => {
                    live.write(now, message, Some(packet_id), true, out);
                    return true;
                }
                Some(lost) => (packet_id, qos, lost),
            },
        };
        // This server takes less than the one before. The exchange cannot be finished.
        self.foreign.releasing.remove(&packet_id);
        let stored = match qos {
            Qos::ExactlyOnce => {
                match self.inflight.pubrec(packet_id, ReasonCode::ImplementationSpecific) {
                    Pubrec::Refused(stored) => Some(stored),
                    _ => None,
                }
            }
            _ => self.inflight.puback(packet_id),
        };
        if let Some(stored) = stored {
            self.finish(&stored, Err(lost), events);
        }
        true
    }

    fn publish_next(
        &mut self,
        now: u64,
        live: &mut Live,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> bool {
        let next = self.outbox.next(self.inflight.can_send()).map(|stored| stored.id);
        let Some(stored) = next.and_then(|id| self.outbox.take(id)) else { return false };
        if let Some(lost) = live.refuses(&stored) {
            self.finish(&stored, Err(lost), events);
            return true;
        }
        let qos = stored.publish.qos;
        if qos == Qos::AtMostOnce {
            live.write(now, &stored, None, false, out);
            self.finish(&stored, Ok(success()), events);
            return true;
        }
        let Some(packet_id) = self.inflight.send(qos, stored) else { return false };
        if self.foreign.given(packet_id, qos) {
            acknowledge(live, PacketKind::Pubrel, packet_id, ReasonCode::Success, out);
        } else if let Some(stored) = self.inflight.message(packet_id) {
            live.write(now, stored, Some(packet_id), false, out);
        }
        true
    }

    /// PUBACK came. One for a message that is not there is ignored.
    pub(crate) fn on_puback(&mut self, ack: packet::Ack<'_>, events: &mut VecDeque<Event>) {
        if let Some(stored) = self.inflight.puback(ack.packet_id) {
            self.finish(&stored, result_of(ack), events);
        }
    }

    /// PUBREC came. Every one gets its PUBREL, except one that refuses.
    pub(crate) fn on_pubrec(
        &mut self,
        ack: packet::Ack<'_>,
        live: &Live,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) {
        let packet_id = ack.packet_id;
        let code = match self.inflight.pubrec(packet_id, ack.code) {
            Pubrec::Refused(stored) => return self.finish(&stored, result_of(ack), events),
            Pubrec::Release(stored) => {
                self.outbox.free_bytes(&stored.publish);
                self.released.insert(packet_id, (stored.id, acknowledgement(ack)));
                ReasonCode::Success
            }
            Pubrec::Repeated => ReasonCode::Success,
            Pubrec::Unknown if ack.code.is_error() => return,
            Pubrec::Unknown => ReasonCode::PacketIdentifierNotFound,
        };
        acknowledge(live, PacketKind::Pubrel, packet_id, code, out);
    }

    /// PUBCOMP came. That the server no longer knew the identifier (0x92) happens after a
    /// connection was lost between PUBREL and PUBCOMP, and is as good.
    pub(crate) fn on_pubcomp(
        &mut self,
        now: u64,
        packet_id: PacketId,
        live: &mut Live,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) {
        if self.foreign.releasing.remove(&packet_id) {
            if let Some(stored) = self.inflight.message(packet_id) {
                live.write(now, stored, Some(packet_id), false, out);
            }
            return;
        }
        if !self.inflight.pubcomp(packet_id) {
            return;
        }
        if let Some((id, acknowledgement)) = self.released.remove(&packet_id) {
            self.outbox.free_place();
            events.push_back(Event::Published { id, result: Ok(acknowledgement) });
        }
    }

    /// PUBREL came.
    pub(crate) fn on_pubrel(&mut self, packet_id: PacketId, live: &Live, out: &mut Vec<u8>) {
        let code = if self.inbox.release(packet_id) {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        acknowledge(live, PacketKind::Pubcomp, packet_id, code, out);
    }

    /// PUBLISH came.
    pub(crate) fn on_publish(
        &mut self,
        publish: &packet::Publish<'_>,
        live: &mut Live,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ternmq_proto::Error> {
        let topic = live.connection.topic(publish)?;
        let token = match publish.packet_id {
            None => None,
            Some(packet_id) => match self.inbox.arrive(publish.qos, packet_id, publish.dup) {
                Arrival::New(token) => Some(token),
                Arrival::Repeated => return Ok(()),
            },
        };
        events.push_back(Event::Message { message: Message::new(topic, publish), token });
        Ok(())
    }

    /// SUBACK or UNSUBACK came.
    pub(crate) fn on_answer(
        &mut self,
        packet_id: PacketId,
        codes: &[u8],
        version: Version,
        events: &mut VecDeque<Event>,
    ) -> Result<(), AnswerMismatch> {
        self.inflight.release(packet_id);
        self.requests.answered(packet_id, codes, version, events)
    }

    /// Appends the acknowledgements whose turn has come.
    pub(crate) fn send_answers(&mut self, live: &Live, out: &mut Vec<u8>) {
        while let Some(answer) = self.inbox.poll_answer() {
            let kind = match answer.qos {
                Qos::ExactlyOnce => PacketKind::Pubrec,
                _ => PacketKind::Puback,
            };
            acknowledge(live, kind, answer.packet_id, answer.code, out);
        }
    }

    /// Drops what waited longer than it wanted to.
    pub(crate) fn expire(&mut self, now: u64, events: &mut VecDeque<Event>) {
        while let Some(id) = self.outbox.expire(now) {
            events.push_back(Event::Published { id, result: Err(Lost::Expired) });
        }
    }

    /// Drops what does not wait for a connection.
    pub(crate) fn drop_qos0(&mut self, events: &mut VecDeque<Event>) {
        for id in self.outbox.drop_unconfirmed() {
            events.push_back(Event::Published { id, result: Err(Lost::Offline) });
        }
    }

    /// Ends everything that is not finished.
    pub(crate) fn abandon(&mut self, lost: &Lost, events: &mut VecDeque<Event>) {
        for (_, (id, _)) in std::mem::take(&mut self.released) {
            self.outbox.free_place();
            events.push_back(Event::Published { id, result: Err(lost.clone()) });
        }
        self.foreign.releasing.clear();
        for stored in self.inflight.drain() {
            self.outbox.finished(&stored.publish);
            events.push_back(Event::Published { id: stored.id, result: Err(lost.clone()) });
        }
        for id in self.outbox.drain() {
            events.push_back(Event::Published { id, result: Err(lost.clone()) });
        }
        self.requests.abandon(lost, events);
    }

    fn finish(
        &mut self,
        stored: &Stored,
        result: Result<Acknowledgement, Lost>,
        events: &mut VecDeque<Event>,
    ) {
        self.outbox.finished(&stored.publish);
        events.push_back(Event::Published { id: stored.id, result });
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

fn result_of(ack: packet::Ack<'_>) -> Result<Acknowledgement, Lost> {
    let Acknowledgement { code, reason } = acknowledgement(ack);
    if code.is_error() {
        return Err(Lost::Refused { code, reason });
    }
    Ok(Acknowledgement { code, reason })
}

fn acknowledgement(ack: packet::Ack<'_>) -> Acknowledgement {
    Acknowledgement { code: ack.code, reason: ack.properties.reason_string().map(str::to_owned) }
}

fn success() -> Acknowledgement {
    Acknowledgement { code: ReasonCode::Success, reason: None }
}

fn acknowledge(
    live: &Live,
    kind: PacketKind,
    packet_id: PacketId,
    code: ReasonCode,
    out: &mut Vec<u8>,
) {
    encode_ack(out, live.offer.version, kind, packet_id, code, Properties::EMPTY);
}
