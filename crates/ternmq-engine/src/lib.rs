//! What an MQTT broker decides: sessions, subscriptions, routing, retained messages, wills, shared
//! subscriptions, and what may leave after which commit.
//!
//! There are no threads, sockets, files or clocks here. Bytes, time and durability come in through
//! [`node::Node`]; bytes, deadlines and batches go out. Two runs with the same inputs do the same.
//!
//! A reader who wants to follow a PUBLISH starts at [`node::Node::handle_bytes`], goes on in
//! `publish.rs` (accept and route) and `deliver.rs` (sessions, queues, sockets), and finds in
//! `gate.rs` when its acknowledgement leaves.
#![forbid(unsafe_code)]

pub mod auth;
mod connect;
mod connection;
mod deliver;
mod filter_tree;
mod gate;
mod interest;
mod message;
pub mod node;
mod opening;
mod outbox;
mod output;
mod placement;
mod publish;
mod retained;
mod session;
mod settings;
mod shard;
mod share;
mod slab;
mod stats;
mod subscribe;
mod tally;
mod time;
mod timer;
pub mod view;

pub use connect::Attributes;
pub use node::{
    Batch, Command, CommitId, ConnId, Host, Lane, Node, Stop, Submitted, Taken, TurnBudget,
};
pub use output::Output;
pub use placement::{PARTITIONS, PartitionId, ShardId, partition_of, partition_of_topic, shard_of};
pub use settings::{Overflow, Settings};
pub use slab::Key;
pub use stats::{DropReason, Stats};
pub use time::{Now, SECOND};
