//! Bounds: no queue holds more than its configuration allows, and no output grows because its reader
//! does not read. Looked at while the run goes on, because what was too large may have drained when
//! it is over. (How much is in flight is judged on the wire, with the identifiers.)

use ternmq_engine::Settings;
use ternmq_engine::view::{Session, View};

/// What a shard must not exceed.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages in the queue of a session.
    pub queue_messages: usize,
    /// Bytes in the queue of a session.
    pub queue_bytes: u64,
    /// Bytes of output of a connection.
    pub output_bytes: usize,
}

impl Bounds {
    /// What these settings promise.
    pub fn of(settings: &Settings) -> Self {
        Bounds {
            queue_messages: settings.queue_messages_max as usize,
            queue_bytes: settings.queue_bytes_max,
            // One packet may overdraw, and so may the answers to what was read in one turn.
            output_bytes: (settings.output_max_bytes + 2 * settings.packet_bytes_max) as usize,
        }
    }

    /// What is too large in a shard.
    pub fn exceeded(&self, view: &View) -> Option<String> {
        let is_over = |session: &&Session| {
            session.queued > self.queue_messages || session.queued_bytes > self.queue_bytes
        };
        view.sessions.iter().find(is_over).map(|session| {
            let Session { client_id, queued, queued_bytes, .. } = session;
            format!("{client_id} has {queued} messages, {queued_bytes} bytes; allowed: {self:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(queued: usize, queued_bytes: u64) -> View {
        let session = Session {
            client_id: "c".to_owned(),
            connected: true,
            expiry_seconds: 0,
            subscriptions: Vec::new(),
            queued,
            queued_bytes,
            inflight: Vec::new(),
            inbound: Vec::new(),
            has_will: false,
        };
        View { sessions: vec![session], ..View::default() }
    }

    #[test]
    fn each_bound_is_looked_at() {
        let settings =
            Settings { queue_messages_max: 5, queue_bytes_max: 1_000, ..Settings::default() };
        let bounds = Bounds::of(&settings);
        assert_eq!(bounds.exceeded(&view(5, 1_000)), None);
        assert!(bounds.exceeded(&view(6, 0)).is_some());
        assert!(bounds.exceeded(&view(0, 1_001)).is_some());
    }
}
