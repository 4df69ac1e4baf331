//! Quality of service, and the packet identifier that every level above 0 needs.

use core::fmt;

/// A packet identifier; 0 does not exist (MQTT-2.2.1-3).
pub type PacketId = core::num::NonZeroU16;

/// Quality of service: how often a message may arrive.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub enum Qos {
    /// QoS 0: sent once, never acknowledged.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: sent until acknowledged by PUBACK; may arrive more than once.
    AtLeastOnce = 1,
    /// QoS 2: PUBREC, PUBREL and PUBCOMP see to it that it arrives exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// The level that two bits on the wire stand for; `None` for 3 and above.
    pub fn from_bits(bits: u8) -> Option<Qos> {
        match bits {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }

    /// The two bits on the wire.
    pub fn bits(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QoS {}", self.bits())
    }
}
