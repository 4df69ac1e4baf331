//! Enhanced authentication (section 4.12) as data: a mechanism takes what the client sent and says
//! what to answer. Mechanisms live with their host; the engine only carries the AUTH packets of a
//! re-authentication.

use ternmq_proto::ReasonCode;

/// The mechanisms that a host offers.
pub trait Mechanisms: Send + Sync {
    /// Begins an exchange; `None`: the method is unknown (0x8C).
    fn start(&self, method: &str) -> Option<Box<dyn Exchange>>;
}

/// One client's exchange. After [`Step::Done`] a further step begins a re-authentication.
pub trait Exchange: Send {
    /// The method that CONNECT named.
    fn method(&self) -> &str;
    /// What the client's authentication data leads to.
    fn step(&mut self, data: &[u8]) -> Step;
}

/// The answer to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// AUTH 0x18 with this data.
    Continue(Vec<u8>),
    /// The client is who it says; CONNACK or AUTH 0x00 carries this data.
    Done(Vec<u8>),
    /// It is not.
    Refuse(ReasonCode),
}
