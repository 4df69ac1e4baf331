//! The commands: each turns its arguments into work and returns how it ended.

mod broker;
mod completions;
mod reference;

pub use broker::run as broker;
pub use completions::run as completions;
pub use reference::run as reference;
