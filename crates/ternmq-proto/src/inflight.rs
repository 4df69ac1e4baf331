//! What this side sent at QoS 1 and 2 and the peer has not finished acknowledging, and the packet
//! identifiers that go with it. It serves the broker (towards a subscriber) and the client (towards
//! the broker); it belongs to the session, so it outlives connections.
//!
//! ```text
//!   send(QoS 1) ──▶ AwaitPuback ──PUBACK──▶ free
//!   send(QoS 2) ──▶ AwaitPubrec ──PUBREC──▶ AwaitPubcomp ──PUBCOMP──▶ free
//!                        └──PUBREC >= 0x80──▶ free
//! ```
//!
//! Identifiers are given out in increasing order, so the slots are a ring without holes and an
//! identifier is an index. An identifier whose turn has come but that is still in use stops new
//! sends until it is free: a peer that never acknowledges one message cannot make us reuse its
//! identifier (MQTT-2.2.1-3).

use alloc::collections::VecDeque;

use crate::planted::{self, Bug};
use crate::{PacketId, Qos, ReasonCode};

/// Outbound messages with identifiers, in the order of their first transmission.
#[derive(Debug, Clone)]
pub struct Inflight<M> {
    /// Slot `i` belongs to the identifier `i` steps after `front`. Never ends in a free slot at the
    /// front.
    slots: VecDeque<Slot<M>>,
    front: PacketId,
    /// QoS > 0 PUBLISH packets that may still be sent on this connection (section 4.9).
    quota: u16,
    receive_maximum: u16,
    /// First slot that [`Inflight::poll_resend`] has not looked at, first for PUBREL, then for
    /// PUBLISH.
    resend: Option<Resending>,
}

#[derive(Debug, Clone)]
enum Slot<M> {
    Free,
    AwaitPuback(M),
    AwaitPubrec(M),
    /// The peer owns the message now; only the identifier is left, so nothing can resend it.
    AwaitPubcomp {
        /// Whether its PUBLISH took from the quota of this connection.
        counted: bool,
    },
    /// A SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
    Request,
}

#[derive(Debug, Clone, Copy)]
struct Resending {
    pubrel_from: usize,
    publish_from: usize,
}

/// A packet that has to be sent again on a new connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Resend<'a, M> {
    /// PUBREL: the peer has the message already.
    Pubrel(PacketId),
    /// PUBLISH with DUP.
    Publish {
        /// The identifier of the first transmission.
        packet_id: PacketId,
        /// The QoS of the first transmission.
        qos: Qos,
        /// What was sent.
        message: &'a M,
    },
}

/// What a PUBREC means to the sender.
#[derive(Debug, PartialEq, Eq)]
pub enum Pubrec<M> {
    /// The peer has the message: answer PUBREL.
    Release(M),
    /// The peer had said so before: answer PUBREL again.
    Repeated,
    /// The peer refused the message with a reason code of 0x80 or more: the exchange is over.
    Refused(M),
    /// No such identifier: answer PUBREL with 0x92.
    Unknown,
}

impl<M> Default for Inflight<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Inflight<M> {
    /// Nothing in flight and no quota: call [`Inflight::start`] for each connection.
    pub const fn new() -> Self {
        Inflight {
            slots: VecDeque::new(),
            front: PacketId::MIN,
            quota: 0,
            receive_maximum: 0,
            resend: None,
        }
    }

    /// A new connection began on which the peer takes `receive_maximum` unacknowledged PUBLISH
    /// packets. Whatever is unacknowledged must be sent again through [`Inflight::poll_resend`]
    /// (MQTT-4.4.0-1); requests that were not answered are forgotten.
    pub fn start(&mut self, receive_maximum: u16) {
        for index in 0..self.slots.len() {
            match &mut self.slots[index] {
                slot @ Slot::Request => *slot = Slot::Free,
                Slot::AwaitPubcomp { counted } => *counted = false,
                _ => {}
            }
        }
        self.trim();
        self.receive_maximum = receive_maximum;
        self.quota = receive_maximum;
        self.resend = Some(Resending { pubrel_from: 0, publish_from: 0 });
    }

    /// Whether [`Inflight::send`] would give an identifier now.
    pub fn can_send(&self) -> bool {
        self.quota > 0 && self.resend.is_none() && self.slots.len() < usize::from(u16::MAX)
    }

    /// Gives the message the next identifier and takes one from the quota. `None` when the quota is
    /// spent, when something must be resent first, or when the next identifier is still in use.
    ///
    /// # Panics
    /// At QoS 0, which has no identifiers.
    pub fn send(&mut self, qos: Qos, message: M) -> Option<PacketId> {
        if !self.can_send() {
            return None;
        }
        let slot = match qos {
            Qos::AtMostOnce => panic!("QoS 0 has no packet identifier"),
            Qos::AtLeastOnce => Slot::AwaitPuback(message),
            Qos::ExactlyOnce => Slot::AwaitPubrec(message),
        };
        self.quota -= 1;
        Some(self.push(slot))
    }

    /// The message that has this identifier, until its PUBACK or PUBREC.
    pub fn message(&self, packet_id: PacketId) -> Option<&M> {
        match self.slots.get(steps(self.front, packet_id))? {
            Slot::AwaitPuback(message) | Slot::AwaitPubrec(message) => Some(message),
            Slot::AwaitPubcomp { .. } | Slot::Free | Slot::Request => None,
        }
    }

    /// An identifier for a SUBSCRIBE or UNSUBSCRIBE; [`Inflight::release`] frees it.
    pub fn reserve(&mut self) -> Option<PacketId> {
        (self.slots.len() < usize::from(u16::MAX)).then(|| self.push(Slot::Request))
    }

    /// The answer to a request came. `false`: there was no such request.
    pub fn release(&mut self, packet_id: PacketId) -> bool {
        match self.slot(packet_id) {
            Some(slot @ Slot::Request) => {
                *slot = Slot::Free;
                self.trim();
                true
            }
            _ => false,
        }
    }

    /// PUBACK: the message is done, whatever the reason code says. `None`: nothing at QoS 1 has
    /// this identifier.
    pub fn puback(&mut self, packet_id: PacketId) -> Option<M> {
        let slot = self.slot(packet_id)?;
        if !matches!(slot, Slot::AwaitPuback(_)) {
            return None;
        }
        let Slot::AwaitPuback(message) = core::mem::replace(slot, Slot::Free) else {
            return None;
        };
        self.finished();
        Some(message)
    }

    /// PUBREC: see [`Pubrec`] for what to answer.
    pub fn pubrec(&mut self, packet_id: PacketId, code: ReasonCode) -> Pubrec<M> {
        let Some(slot) = self.slot(packet_id) else { return Pubrec::Unknown };
        match core::mem::replace(slot, Slot::AwaitPubcomp { counted: true }) {
            Slot::AwaitPubrec(message) if code.is_error() => {
                if !planted::is(Bug::KeepIdAfterPubrecError) {
                    *slot = Slot::Free;
                }
                self.finished();
                Pubrec::Refused(message)
            }
            Slot::AwaitPubrec(message) => Pubrec::Release(message),
            before @ Slot::AwaitPubcomp { .. } => {
                *slot = before;
                Pubrec::Repeated
            }
            other => {
                *slot = other;
                Pubrec::Unknown
            }
        }
    }

    /// PUBCOMP: the exchange is over. `false`: no PUBREL with this identifier was waiting.
    pub fn pubcomp(&mut self, packet_id: PacketId) -> bool {
        let Some(slot) = self.slot(packet_id) else { return false };
        let Slot::AwaitPubcomp { counted } = *slot else { return false };
        *slot = Slot::Free;
        if counted {
            self.finished();
        } else {
            // Its PUBLISH was sent on an earlier connection: the peer does not count it on this
            // one, so its end must not make room for another (MQTT-3.3.4-7).
            self.trim();
        }
        true
    }

    /// The next packet to send again on this connection: all PUBREL first, then PUBLISH with DUP,
    /// both in their original order (MQTT-4.6.0-1), as far as the quota reaches.
    pub fn poll_resend(&mut self) -> Option<Resend<'_, M>> {
        let mut at = self.resend?;
        while at.pubrel_from < self.slots.len() {
            let index = at.pubrel_from;
            at.pubrel_from += 1;
            let forgotten = planted::is(Bug::ForgetPubrel);
            if matches!(self.slots[index], Slot::AwaitPubcomp { .. }) && !forgotten {
                self.resend = Some(at);
                return Some(Resend::Pubrel(self.packet_id_at(index)));
            }
        }
        while at.publish_from < self.slots.len() {
            let index = at.publish_from;
            if matches!(self.slots[index], Slot::AwaitPuback(_) | Slot::AwaitPubrec(_)) {
                if self.quota == 0 {
                    self.resend = Some(at);
                    return None;
                }
                self.quota -= 1;
                at.publish_from += 1;
                self.resend = Some(at);
                let packet_id = self.packet_id_at(index);
                return match &self.slots[index] {
                    Slot::AwaitPuback(message) => {
                        Some(Resend::Publish { packet_id, qos: Qos::AtLeastOnce, message })
                    }
                    Slot::AwaitPubrec(message) => {
                        Some(Resend::Publish { packet_id, qos: Qos::ExactlyOnce, message })
                    }
                    _ => None,
                };
            }
            at.publish_from += 1;
        }
        self.resend = None;
        None
    }

    /// Whether something has to be sent again before anything new.
    pub fn is_resending(&self) -> bool {
        self.resend.is_some()
    }

    /// Identifiers in use.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(slot, Slot::Free)).count()
    }

    /// Whether no identifier is in use.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the peer may still ask for something: a message unacknowledged or a PUBREL waiting.
    pub fn quota(&self) -> u16 {
        self.quota
    }

    /// Every identifier of a message in use with its message, where it still has one (not after
    /// PUBREC), in the order of first transmission.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, Qos, Option<&M>)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = self.packet_id_at(index);
            match slot {
                Slot::AwaitPuback(message) => Some((id, Qos::AtLeastOnce, Some(message))),
                Slot::AwaitPubrec(message) => Some((id, Qos::ExactlyOnce, Some(message))),
                Slot::AwaitPubcomp { .. } => Some((id, Qos::ExactlyOnce, None)),
                Slot::Free | Slot::Request => None,
            }
        })
    }

    /// Puts back what an earlier process had in flight, as [`Inflight::iter`] told it and in that
    /// order. `false`: the identifiers do not fit into one increasing run.
    pub fn restore(&mut self, packet_id: PacketId, qos: Qos, message: Option<M>) -> bool {
        if self.slots.is_empty() {
            self.front = packet_id;
        }
        let index = steps(self.front, packet_id);
        if index < self.slots.len() {
            return false;
        }
        while self.slots.len() < index {
            self.slots.push_back(Slot::Free);
        }
        self.slots.push_back(match (message, qos) {
            (Some(message), Qos::ExactlyOnce) => Slot::AwaitPubrec(message),
            (Some(message), _) => Slot::AwaitPuback(message),
            (None, _) => Slot::AwaitPubcomp { counted: false },
        });
        true
    }

    /// Forgets everything; the session is gone. Returns the messages that were not acknowledged.
    pub fn drain(&mut self) -> impl Iterator<Item = M> + '_ {
        self.resend = None;
        self.front = self.packet_id_at(self.slots.len());
        self.slots.drain(..).filter_map(|slot| match slot {
            Slot::AwaitPuback(message) | Slot::AwaitPubrec(message) => Some(message),
            _ => None,
        })
    }

    fn push(&mut self, slot: Slot<M>) -> PacketId {
        let packet_id = self.packet_id_at(self.slots.len());
        self.slots.push_back(slot);
        packet_id
    }

    fn finished(&mut self) {
        // A peer that acknowledges what was not yet sent again must not lift the quota over what it
        // announced.
        self.quota = self.quota.saturating_add(1).min(self.receive_maximum);
        self.trim();
    }

    fn trim(&mut self) {
        let mut freed = 0;
        while matches!(self.slots.front(), Some(Slot::Free)) {
            self.slots.pop_front();
            self.front = successor(self.front);
            freed += 1;
        }
        if let Some(at) = &mut self.resend {
            at.pubrel_from = at.pubrel_from.saturating_sub(freed);
            at.publish_from = at.publish_from.saturating_sub(freed);
        }
    }

    fn slot(&mut self, packet_id: PacketId) -> Option<&mut Slot<M>> {
        self.slots.get_mut(steps(self.front, packet_id))
    }

    fn packet_id_at(&self, index: usize) -> PacketId {
        // Identifiers are 1..=65535: count from zero, wrap, and count from one again.
        let zero_based = (u32::from(self.front.get()) - 1 + index as u32) % u32::from(u16::MAX);
        PacketId::MIN.saturating_add(zero_based as u16)
    }
}

fn successor(packet_id: PacketId) -> PacketId {
    packet_id.checked_add(1).unwrap_or(PacketId::MIN)
}

/// How often `successor` leads from one identifier to another.
fn steps(from: PacketId, to: PacketId) -> usize {
    let span = u32::from(u16::MAX);
    ((u32::from(to.get()) + span - u32::from(from.get())) % span) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    fn started(receive_maximum: u16) -> Inflight<u32> {
        let mut inflight = Inflight::new();
        inflight.start(receive_maximum);
        assert_eq!(inflight.poll_resend(), None);
        inflight
    }

    #[test]
    fn the_quota_stops_the_next_publish_and_an_acknowledgement_allows_it() {
        let mut inflight = started(2);
        assert_eq!(inflight.send(Qos::AtLeastOnce, 1), Some(id(1)));
        assert_eq!(inflight.send(Qos::ExactlyOnce, 2), Some(id(2)));
        assert_eq!(inflight.send(Qos::AtLeastOnce, 3), None);
        assert_eq!(inflight.pubrec(id(2), ReasonCode::Success), Pubrec::Release(2));
        assert_eq!(inflight.send(Qos::AtLeastOnce, 3), None, "PUBREC gives nothing back");
        assert!(inflight.pubcomp(id(2)));
        assert_eq!(inflight.send(Qos::AtLeastOnce, 3), Some(id(3)));
    }

    #[test]
    fn an_acknowledgement_before_the_resend_lifts_no_quota_however_large() {
        let mut inflight = started(u16::MAX);
        let first = inflight.send(Qos::AtLeastOnce, 1).unwrap();
        inflight.start(u16::MAX);
        assert_eq!(inflight.puback(first), Some(1));
        assert_eq!(inflight.quota(), u16::MAX);
    }

    #[test]
    fn an_identifier_is_not_used_again_while_its_message_is_in_flight() {
        let mut inflight = started(u16::MAX);
        let stuck = inflight.send(Qos::AtLeastOnce, 0).unwrap();
        for _ in 1..u16::MAX {
            let next = inflight.send(Qos::AtLeastOnce, 1).unwrap();
            assert_ne!(next, stuck);
            inflight.puback(next);
        }
        assert_eq!(inflight.send(Qos::AtLeastOnce, 2), None);
        inflight.puback(stuck);
        assert_eq!(inflight.send(Qos::AtLeastOnce, 2), Some(stuck));
    }

    #[test]
    fn a_resume_repeats_pubrel_first_and_then_publish_in_order() {
        let mut inflight = started(10);
        let ids: Vec<_> = (0..4).map(|n| inflight.send(Qos::ExactlyOnce, n).unwrap()).collect();
        inflight.pubrec(ids[0], ReasonCode::Success);
        inflight.pubrec(ids[2], ReasonCode::Success);
        inflight.start(1);
        assert_eq!(inflight.send(Qos::AtLeastOnce, 9), None, "nothing new before the old");
        assert_eq!(inflight.poll_resend(), Some(Resend::Pubrel(ids[0])));
        assert_eq!(inflight.poll_resend(), Some(Resend::Pubrel(ids[2])));
        let expected = Resend::Publish { packet_id: ids[1], qos: Qos::ExactlyOnce, message: &1 };
        assert_eq!(inflight.poll_resend(), Some(expected));
        assert_eq!(inflight.poll_resend(), None, "the new receive maximum is one");
        inflight.pubrec(ids[1], ReasonCode::Success);
        assert!(inflight.pubcomp(ids[1]));
        let expected = Resend::Publish { packet_id: ids[3], qos: Qos::ExactlyOnce, message: &3 };
        assert_eq!(inflight.poll_resend(), Some(expected));
    }

    #[test]
    fn acknowledgements_during_a_resume_neither_skip_nor_repeat() {
        let mut inflight = started(10);
        let ids: Vec<_> = (0..3).map(|n| inflight.send(Qos::AtLeastOnce, n).unwrap()).collect();
        inflight.start(10);
        let first = Resend::Publish { packet_id: ids[0], qos: Qos::AtLeastOnce, message: &0 };
        assert_eq!(inflight.poll_resend(), Some(first));
        assert_eq!(inflight.puback(ids[0]), Some(0));
        let second = Resend::Publish { packet_id: ids[1], qos: Qos::AtLeastOnce, message: &1 };
        assert_eq!(inflight.poll_resend(), Some(second));
        let third = Resend::Publish { packet_id: ids[2], qos: Qos::AtLeastOnce, message: &2 };
        assert_eq!(inflight.poll_resend(), Some(third));
        assert_eq!(inflight.poll_resend(), None);
        assert!(inflight.can_send());
    }

    #[test]
    fn the_end_of_an_earlier_connections_exchange_makes_no_room() {
        let mut inflight = started(1);
        let old = inflight.send(Qos::ExactlyOnce, 1).unwrap();
        inflight.pubrec(old, ReasonCode::Success);
        inflight.start(1);
        assert_eq!(inflight.poll_resend(), Some(Resend::Pubrel(old)));
        assert_eq!(inflight.poll_resend(), None);
        assert!(inflight.send(Qos::AtLeastOnce, 2).is_some());
        assert!(inflight.pubcomp(old));
        assert_eq!(inflight.send(Qos::AtLeastOnce, 3), None, "one is unacknowledged already");
    }

    #[test]
    fn rejected_pubrec_frees_the_id() {
        let mut inflight = started(1);
        let first = inflight.send(Qos::ExactlyOnce, 7).unwrap();
        assert_eq!(inflight.pubrec(first, ReasonCode::QuotaExceeded), Pubrec::Refused(7));
        assert!(!inflight.pubcomp(first));
        assert!(inflight.can_send());
    }

    #[test]
    fn an_answer_to_nothing_changes_nothing() {
        let mut inflight = started(4);
        let sent = inflight.send(Qos::AtLeastOnce, 7).unwrap();
        assert_eq!(inflight.pubrec(sent, ReasonCode::Success), Pubrec::Unknown);
        assert!(!inflight.pubcomp(sent));
        assert_eq!(inflight.puback(id(9)), None);
        assert_eq!(inflight.pubrec(id(9), ReasonCode::Success), Pubrec::Unknown);
        assert_eq!(inflight.puback(sent), Some(7));
        assert_eq!(inflight.puback(sent), None);
        assert_eq!(inflight.quota(), 4);
    }

    #[test]
    fn requests_take_identifiers_and_give_them_back() {
        let mut inflight = started(4);
        let subscribe = inflight.reserve().unwrap();
        let publish = inflight.send(Qos::AtLeastOnce, 1).unwrap();
        assert_ne!(subscribe, publish);
        assert_eq!(inflight.puback(subscribe), None);
        assert!(inflight.release(subscribe));
        assert!(!inflight.release(subscribe));
        let lost = inflight.reserve().unwrap();
        inflight.start(4);
        assert!(!inflight.release(lost), "a request does not outlive its connection");
    }

    #[test]
    fn what_is_in_flight_can_be_written_down_and_put_back() {
        let mut inflight = started(10);
        let ids: Vec<_> = (0..4).map(|n| inflight.send(Qos::ExactlyOnce, n).unwrap()).collect();
        inflight.pubrec(ids[0], ReasonCode::Success);
        inflight.pubcomp(ids[0]);
        inflight.pubrec(ids[1], ReasonCode::Success);
        let mut restored = Inflight::new();
        for (packet_id, qos, message) in inflight.iter() {
            assert!(restored.restore(packet_id, qos, message.copied()));
        }
        assert!(!restored.restore(ids[1], Qos::AtLeastOnce, None));
        assert!(restored.iter().eq(inflight.iter()));
    }
}
