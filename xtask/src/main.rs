//! The tasks of the workspace: `cargo xtask ci|tidy|docs|fuzz|sim|bench`.

fn main() {}
