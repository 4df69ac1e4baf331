//! What an MQTT client decides: what waits, what is sent again, when to connect and when to give up.
//!
//! [`Agent`] is the whole of it, for every version of the protocol. It has no clock, no threads, no
//! sockets and no randomness of its own: microseconds and a seed are arguments, bytes come in and
//! bytes go out. So one implementation serves the asynchronous client, the blocking one and
//! thousands of simulated devices, and every run can be repeated.
//!
//! It is not a transport and not a queue for received messages: who carries the bytes and who
//! handles a message is the caller's business.
#![forbid(unsafe_code)]

mod agent;
mod event;
mod inbox;
mod live;
mod message;
mod options;
mod outbox;
mod reconnect;
mod requests;
mod session;

pub use agent::{Agent, LinkState, Transmit};
pub use event::{Acknowledgement, Cause, CommandError, Event, Lost, PublishError};
pub use inbox::AckToken;
pub use message::{Message, Publish, PublishId, RequestId};
pub use options::{
    Acknowledge, Offline, Options, OptionsError, OutboxLimits, Overflow, Reconnect, SessionLost,
    Will,
};
pub use session::Durable;
