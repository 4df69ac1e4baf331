//! How bytes are carried between a client and this process.

pub mod tcp;
