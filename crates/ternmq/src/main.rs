//! The `ternmq` command.

fn main() {}
