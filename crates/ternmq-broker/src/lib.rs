//! The host of the broker: shard threads, listeners, rings, configuration.
//!
//! The engine decides; this crate gives it threads, sockets, a clock and memory, and a
//! configuration in which all of that can be said. It is not the command line (`ternmq`), and it
//! serves no HTTP.

pub mod config;
mod control;
mod error;
mod stream;

pub use config::{Config, ConfigError, Sources};
pub use control::Broker;
pub use error::{RunError, StartError};
