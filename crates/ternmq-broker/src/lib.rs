//! The host of the broker: shard threads, listeners, rings, configuration.
//!
//! The engine decides; this crate gives it threads, sockets, a clock and memory, and a
//! configuration in which all of that can be said. It is not the command line (`ternmq`), and it
//! serves no HTTP.

#![forbid(unsafe_code)]

mod backend;
mod board;
mod clock;
pub mod config;
mod control;
mod error;
mod hand_off;
mod lobby;
mod machine;
mod parking;
mod ration;
mod ring;
mod shard_thread;
mod shutdown;
mod start;
mod stream;
mod sys_topics;

pub use config::{Config, ConfigError, Sources};
pub use control::{Broker, Figures, LobbyFigures};
pub use error::{RunError, StartError};
pub use ternmq_engine::auth;
