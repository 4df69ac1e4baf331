//! MQTT 3.1, 3.1.1 and 5.0 on the wire, and the flows of one connection seen from either side.
//!
//! Bytes come in, packets come out, and the other way round. There is no clock here, no randomness
//! and no I/O; the crate is `no_std` with `alloc`, so that the broker, the client, the simulator and
//! a microcontroller run the same code.
//!
//! It is not a broker and not a client: who may publish, where a message goes and when to reconnect
//! is decided by `ternmq-engine` and `ternmq-agent`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod connection;
pub mod error;
pub mod frame;
pub mod inbound;
pub mod inflight;
pub mod packet;
pub mod planted;
pub mod property;
pub mod qos;
pub mod reason_code;
pub mod topic;
pub mod topic_alias;
pub mod version;
mod wire;

pub use error::{Error, Misuse, Unsupported, Violation};
pub use packet::Packet;
pub use property::{Properties, Property, PropertyBuf};
pub use qos::{PacketId, Qos};
pub use reason_code::ReasonCode;
pub use topic::{ShareName, TopicFilter, TopicName};
pub use version::Version;
