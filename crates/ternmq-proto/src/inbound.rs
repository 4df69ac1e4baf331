//! QoS 2 identifiers that the peer sent and has not yet released: the receiver's half of exactly
//! once. It belongs to the session, so it outlives connections.
//!
//! ```text
//!            PUBLISH / deliver, PUBREC            PUBREL / PUBCOMP
//!   absent ────────────────────────────▶ held ───────────────────────▶ absent
//!     ↺ PUBREL / PUBCOMP 0x92               ↺ PUBLISH (DUP) / PUBREC
//! ```

use alloc::vec::Vec;

use crate::PacketId;

/// The identifiers held. Few at a time (bounded by the receive maximum), so a sorted list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inbound {
    held: Vec<PacketId>,
}

impl Inbound {
    /// Holds nothing.
    pub const fn new() -> Self {
        Inbound { held: Vec::new() }
    }

    /// A QoS 2 PUBLISH came. `true`: it is new and has to be delivered; `false`: it is a repetition,
    /// and only its PUBREC is repeated (MQTT-4.3.3-10).
    pub fn hold(&mut self, packet_id: PacketId) -> bool {
        match self.held.binary_search(&packet_id) {
            Ok(_) => false,
            Err(index) => {
                self.held.insert(index, packet_id);
                true
            }
        }
    }

    /// Whether the identifier is held.
    pub fn holds(&self, packet_id: PacketId) -> bool {
        self.held.binary_search(&packet_id).is_ok()
    }

    /// PUBREL came. `false`: the identifier was not held, PUBCOMP says 0x92.
    pub fn release(&mut self, packet_id: PacketId) -> bool {
        match self.held.binary_search(&packet_id) {
            Ok(index) => {
                self.held.remove(index);
                true
            }
            Err(_) => false,
        }
    }

    /// The identifiers held, in increasing order.
    pub fn iter(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.held.iter().copied()
    }

    /// How many identifiers are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Forgets everything; the session is gone.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resend_before_pubrel_is_a_repetition_and_after_it_a_new_message() {
        let id = PacketId::new(7).unwrap();
        let mut inbound = Inbound::new();
        assert!(inbound.hold(id));
        assert!(!inbound.hold(id));
        assert!(inbound.release(id));
        assert!(!inbound.release(id));
        assert!(inbound.hold(id));
    }
}
