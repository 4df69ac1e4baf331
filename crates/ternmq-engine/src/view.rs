//! What the engine holds, in MQTT's words: plain data for tests, the simulator's checkers and the
//! interfaces of operators. Nothing of the engine's own shape shows here.

use ternmq_proto::{PacketId, Qos};

use crate::shard::Shard;

/// A snapshot of one shard.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Ordered by client identifier.
    pub sessions: Vec<Session>,
    /// Ordered by topic, level by level.
    pub retained: Vec<Retained>,
    /// Messages that wait in shared groups.
    pub shared_unsent: usize,
    /// Messages that members of shared groups have and have not settled.
    pub shared_unsettled: usize,
}

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The client identifier.
    pub client_id: String,
    /// Whether it has a connection.
    pub connected: bool,
    /// Session expiry interval in seconds; `u32::MAX`: never.
    pub expiry_seconds: u32,
    /// Filters of its subscriptions, shared ones as `$share/name/filter`.
    pub subscriptions: Vec<String>,
    /// Messages in its queue.
    pub queued: usize,
    /// Bytes in its queue.
    pub queued_bytes: u64,
    /// What was sent and is not acknowledged, in order.
    pub inflight: Vec<(PacketId, Qos)>,
    /// QoS 2 identifiers received and not released.
    pub inbound: Vec<PacketId>,
    /// Whether a will is set.
    pub has_will: bool,
}

/// A retained message.
#[derive(Debug, Clone)]
pub struct Retained {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its QoS.
    pub qos: Qos,
}

pub(crate) fn of(shard: &Shard) -> View {
    let mut sessions: Vec<Session> = shard
        .sessions
        .iter()
        .map(|(_, session)| Session {
            client_id: session.client_id.to_string(),
            connected: session.connection.is_some(),
            expiry_seconds: session.expiry_seconds,
            subscriptions: subscriptions(shard, session),
            queued: session.queue.len(),
            queued_bytes: session.queue.bytes(),
            inflight: session.inflight.iter().map(|(id, qos, _)| (id, qos)).collect(),
            inbound: session.inbound.iter().collect(),
            has_will: session.will.is_some(),
        })
        .collect();
    sessions.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    let retained = shard.retained.iter().map(|message| {
        let view = message.view();
        Retained { topic: view.topic.to_owned(), payload: view.payload.to_vec(), qos: view.qos }
    });
    View {
        sessions,
        retained: retained.collect(),
        shared_unsent: shard.shares.unsent(),
        shared_unsettled: shard.shares.loans(),
    }
}

fn subscriptions(shard: &Shard, session: &crate::session::Session) -> Vec<String> {
    let plain = session.subscriptions.iter().map(|node| shard.interest.level(*node).0);
    let shared = session.memberships.iter().map(|it| format!("$share/{}/{}", it.share, it.filter));
    plain.chain(shared).collect()
}
