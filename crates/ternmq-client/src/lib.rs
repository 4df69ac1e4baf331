//! An MQTT client that does not lose messages: 3.1, 3.1.1 and 5.0, async and [`blocking`].
//!
//! ```no_run
//! use std::time::Duration;
//! use ternmq_client::{Client, Options, Publish, Qos, Subscribe};
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Options::new("localhost", 1883).client_id("kitchen"))?;
//! let mut lamps = client.subscribe(Subscribe::to("lamp/+/set").qos(Qos::AtLeastOnce))?;
//! client.connect().await?;
//! let state = Publish::new("lamp/1/state", "off").qos(Qos::AtLeastOnce).retain(true);
//! client.publish(state).await?.await?; // accepted, then acknowledged
//! while let Some(message) = lamps.recv().await {
//!     println!("{}: {} bytes", message.topic, message.payload.len());
//! }
//! client.drain(Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - A task of the client's own does the work: nothing has to be polled, and a slow consumer does
//!   not stop what is sent.
//! - [`Client::publish`] returns when the message is accepted; the [`Receipt`] resolves when the
//!   server has it, over reconnects, and never hangs.
//! - A [`Subscription`] is a bounded stream of its own, registered before the connection is made.
//! - Everything that is decided is decided by `ternmq-agent`; this crate carries bytes, time and
//!   wake-ups between it, the operating system and the program.
#![forbid(unsafe_code)]

pub mod blocking;
mod client;
mod driver;
mod hub;
mod options;
mod receipt;
mod route;
mod state;
mod subscription;
pub mod transport;

pub use client::{Client, Disconnect, Left, PublishError, RequestError};
pub use options::{Options, OptionsError, Overflow};
pub use receipt::Receipt;
pub use state::{ConnectError, ConnectInfo, State, StateWatch, Stats};
pub use subscription::{AckToken, OnFull, Subscribe, Subscription};
pub use ternmq_agent::{
    Acknowledgement, Cause, CommandError, Lost, Message, Offline, OutboxLimits, Publish, PublishId,
    Reconnect, SessionLost, Will,
};
pub use ternmq_proto::packet::{RetainHandling, SubscriptionOptions};
pub use ternmq_proto::{
    Properties, Property, PropertyBuf, Qos, ReasonCode, TopicFilter, TopicName, Version,
};
