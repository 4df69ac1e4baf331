//! The gate of one connection: acknowledgements that wait for a commit or for the receipts of other
//! shards, and leave in the order in which their packets arrived (MQTT-4.6.0-2 and -3).
//!
//! It belongs to the connection: a takeover drops its slots, never the commits behind them.

use std::collections::VecDeque;

use ternmq_proto::frame::PacketKind;
use ternmq_proto::{PacketId, ReasonCode};

/// Names a slot of one gate; increasing, wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotId(pub u32);

#[derive(Debug, Default)]
pub struct Gate {
    slots: VecDeque<Slot>,
    first: u32,
}

/// A PUBACK or PUBREC that may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    pub kind: PacketKind,
    pub packet_id: PacketId,
    pub code: ReasonCode,
}

#[derive(Debug)]
struct Slot {
    acknowledgement: Acknowledgement,
    waits: u32,
}

impl Gate {
    /// The id that the next slot will have.
    pub fn next(&self) -> SlotId {
        SlotId(self.first.wrapping_add(self.slots.len() as u32))
    }

    /// Adds a slot that opens after `waits` calls of [`Gate::settle`].
    pub fn push(&mut self, acknowledgement: Acknowledgement, waits: u32) {
        self.slots.push_back(Slot { acknowledgement, waits });
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether an acknowledgement for this identifier is waiting already.
    pub fn holds(&self, packet_id: PacketId, kind: PacketKind) -> bool {
        self.slots.iter().any(|slot| {
            slot.acknowledgement.packet_id == packet_id && slot.acknowledgement.kind == kind
        })
    }

    /// One of the things that a slot waits for has happened. An error is kept: one refusing
    /// subscriber is told to the publisher, however many accepted.
    pub fn settle(&mut self, id: SlotId, code: ReasonCode) {
        let index = id.0.wrapping_sub(self.first) as usize;
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.waits = slot.waits.saturating_sub(1);
        if code.is_error() {
            slot.acknowledgement.code = code;
        }
    }

    /// The next acknowledgement that may leave.
    pub fn pop(&mut self) -> Option<Acknowledgement> {
        if self.slots.front()?.waits > 0 {
            return None;
        }
        self.first = self.first.wrapping_add(1);
        let slot = self.slots.pop_front()?;
        if self.slots.is_empty() {
            self.slots.shrink_to(0);
        }
        Some(slot.acknowledgement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puback(id: u16) -> Acknowledgement {
        Acknowledgement {
            kind: PacketKind::Puback,
            packet_id: PacketId::new(id).unwrap(),
            code: ReasonCode::Success,
        }
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_arrival() {
        let mut gate = Gate::default();
        let first = gate.next();
        gate.push(puback(1), 2);
        let second = gate.next();
        gate.push(puback(2), 1);
        gate.settle(second, ReasonCode::Success);
        assert_eq!(gate.pop(), None);
        gate.settle(first, ReasonCode::QuotaExceeded);
        assert_eq!(gate.pop(), None);
        gate.settle(first, ReasonCode::Success);
        let refused = Acknowledgement { code: ReasonCode::QuotaExceeded, ..puback(1) };
        assert_eq!(gate.pop(), Some(refused));
        assert_eq!(gate.pop(), Some(puback(2)));
        assert_eq!(gate.pop(), None);
        gate.settle(second, ReasonCode::Success);
        assert!(gate.is_empty());
    }
}
