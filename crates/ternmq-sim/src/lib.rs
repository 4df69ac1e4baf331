//! The simulated world that runs the real engine and client under faults, by seed.
//!
//! [`config`] says what a seed means, [`workload`] what the clients do and what goes wrong,
//! [`world`] plays it over [`link`]s between [`client`]s and the [`broker`]'s shards, [`history`]
//! keeps what happened, [`check`] judges it, and [`run`] does all that for a seed.
//!
//! There are no threads, sockets, files or clocks here: the same seed gives the same run, byte for
//! byte, on every machine.
#![forbid(unsafe_code)]

pub mod broker;
pub mod check;
pub mod client;
pub mod config;
pub mod edge;
pub mod facts;
pub mod fault;
pub mod history;
pub mod host;
pub mod link;
pub mod record;
pub mod rng;
pub mod run;
pub mod sessions;
pub mod wire;
pub mod workload;
pub mod world;
