//! The commands: each turns its arguments into work and returns how it ended.

mod broker;
mod completions;
mod connection;
mod publish;
mod reference;
mod subscribe;

pub use broker::run as broker;
pub use completions::run as completions;
pub use publish::run as publish;
pub use reference::run as reference;
pub use subscribe::run as subscribe;
