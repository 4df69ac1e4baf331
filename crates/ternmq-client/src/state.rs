//! Whether a client is connected, and if not, why.

use std::fmt;
use std::time::Duration;

use ternmq_agent::Cause;
use ternmq_proto::{PropertyBuf, ReasonCode};
use tokio::sync::watch;

/// Where a client is with its connection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum State {
    /// [`connect`](crate::Client::connect) was not called yet.
    Idle,
    /// An attempt is under way.
    Connecting,
    /// The server has accepted the connection.
    Connected(ConnectInfo),
    /// The connection is gone, or an attempt failed; the next one comes by itself.
    Waiting {
        /// Why.
        cause: Cause,
        /// How long until the next attempt, from the moment of the failure.
        retry_in: Duration,
    },
    /// There is no connection and there will be none by itself.
    Closed {
        /// Why.
        cause: Cause,
    },
}

/// What the server said when it accepted a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectInfo {
    /// Whether the server still had the session. MQTT 3.1 cannot say so: it is `false` there.
    pub session_present: bool,
    /// The client identifier: the own one, or the one that the server assigned.
    pub client_id: String,
    /// Properties of CONNACK (MQTT 5.0).
    pub properties: PropertyBuf,
}

/// Sees every change of a client's [`State`], or, when it looks too seldom, the latest.
#[derive(Debug, Clone)]
pub struct StateWatch(pub(crate) watch::Receiver<State>);

impl StateWatch {
    /// The state as it is.
    pub fn current(&mut self) -> State {
        self.0.borrow_and_update().clone()
    }

    /// Waits for the next change. `None`: the client is gone, and there is none.
    ///
    /// # Cancellation
    /// Safe: no change is missed.
    pub async fn changed(&mut self) -> Option<State> {
        self.0.changed().await.ok()?;
        Some(self.current())
    }
}

/// Why [`connect`](crate::Client::connect) failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server refused.
    Refused {
        /// Why; for 3.x the code that means the same.
        code: ReasonCode,
        /// The server's words, if it had any.
        reason: Option<String>,
        /// Another server to use, if it named one.
        server_reference: Option<String>,
    },
    /// There was no answer from a server, or not from one that keeps to the protocol.
    Failed(Cause),
    /// The client was closed.
    Closed,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Refused { code, reason, server_reference } => {
                let (code, reason) = (*code, reason.clone());
                let server_reference = server_reference.clone();
                Cause::Refused { code, reason, server_reference }.fmt(f)
            }
            ConnectError::Failed(cause) => cause.fmt(f),
            ConnectError::Closed => f.write_str("the client was closed"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<Cause> for ConnectError {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Refused { code, reason, server_reference } => {
                ConnectError::Refused { code, reason, server_reference }
            }
            Cause::Requested => ConnectError::Closed,
            other => ConnectError::Failed(other),
        }
    }
}

/// Figures of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Messages received.
    pub received: u64,
    /// Messages at QoS 0 that were dropped because a subscription's buffer was full.
    pub dropped: u64,
    /// Messages that no subscription of this client matches. They were acknowledged.
    pub unrouted: u64,
    /// Accepted messages that are not finished; see [`OutboxLimits`](crate::OutboxLimits).
    pub unfinished: usize,
    /// What these take, in bytes, as [`OutboxLimits::bytes`](crate::OutboxLimits::bytes) counts.
    pub unfinished_bytes: usize,
}
