//! The examiner's own words for what travels on the wire.
//!
//! It is not TernMQ's codec and shares nothing with it: an examiner must not make the pupil's
//! mistakes. Outgoing packets are put together by `write` and can be wrong on purpose; incoming
//! packets are taken apart by `read`, which accepts only what a broker may send.

mod property;
mod read;
mod write;

pub(crate) use property::{Prop, Props, id};
pub(crate) use read::{Packet, frame, parse};
pub(crate) use write::{
    Ack, Connect, Publish, Subscribe, Will, ack, auth, disconnect, field, packet, pingreq,
    raw_connect, unsubscribe, variable,
};

/// The first bytes of a packet, in hexadecimal, for a report.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(48).map(|byte| format!("{byte:02x}"));
    let tail = if bytes.len() > 48 { " ..." } else { "" };
    format!("{}{tail}", shown.collect::<Vec<_>>().join(" "))
}
