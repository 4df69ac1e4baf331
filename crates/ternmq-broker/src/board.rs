//! Where each shard hangs out its figures, and their sum.
//!
//! A shard counts for itself and publishes a copy at most every few milliseconds; whoever reads
//! never slows it down. Sums over shards are therefore a little apart in time.

use std::sync::{Mutex, PoisonError};

use ternmq_engine::Stats;

/// How old published figures may be while their shard is busy, in microseconds.
const PUBLISH_EVERY_US: u64 = 20_000;

/// One shard's figures.
#[derive(Debug, Default)]
pub struct Board(Mutex<Published>);

#[derive(Debug, Default)]
struct Published {
    stats: Stats,
    at: u64,
}

impl Board {
    /// Publishes `stats`, unless that was done a moment ago and there will be another turn.
    /// `now`: microseconds of the monotonic clock.
    pub fn publish(&self, stats: Stats, now: u64, is_pausing: bool) {
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_pausing || now >= published.at + PUBLISH_EVERY_US {
            *published = Published { stats, at: now };
        }
    }

    /// What was published last.
    pub fn read(&self) -> Stats {
        // Plain numbers are whole even if a thread died beside them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stats
    }
}

/// The figures of all shards together.
pub fn sum<'a>(boards: impl Iterator<Item = &'a Board>) -> Stats {
    let mut total = Stats::default();
    for board in boards {
        add(&mut total, &board.read());
    }
    total
}

/// Adds one shard's figures. Every figure is named, so that a new one is not forgotten.
fn add(total: &mut Stats, stats: &Stats) {
    let Stats {
        connections,
        sessions,
        subscriptions,
        retained,
        retained_bytes,
        queued,
        message_bytes,
        state_bytes,
        output_bytes,
        slow_consumers,
        connects,
        violations,
        keep_alive_timeouts,
        takeovers,
        publish_received,
        publish_sent,
        packets_received,
        packets_sent,
        bytes_received,
        bytes_sent,
        dropped,
        blocked,
        paused,
        commits,
    } = stats;
    let figures = [
        (&mut total.connections, connections),
        (&mut total.sessions, sessions),
        (&mut total.subscriptions, subscriptions),
        (&mut total.retained, retained),
        (&mut total.retained_bytes, retained_bytes),
        (&mut total.queued, queued),
        (&mut total.message_bytes, message_bytes),
        (&mut total.state_bytes, state_bytes),
        (&mut total.output_bytes, output_bytes),
        (&mut total.slow_consumers, slow_consumers),
        (&mut total.connects, connects),
        (&mut total.violations, violations),
        (&mut total.keep_alive_timeouts, keep_alive_timeouts),
        (&mut total.takeovers, takeovers),
        (&mut total.packets_received, packets_received),
        (&mut total.packets_sent, packets_sent),
        (&mut total.bytes_received, bytes_received),
        (&mut total.bytes_sent, bytes_sent),
        (&mut total.blocked, blocked),
        (&mut total.paused, paused),
        (&mut total.commits, commits),
    ];
    let by_qos = total.publish_received.iter_mut().zip(publish_received);
    let by_qos = by_qos.chain(total.publish_sent.iter_mut().zip(publish_sent));
    let by_reason = total.dropped.iter_mut().zip(dropped);
    for (sum, figure) in figures.into_iter().chain(by_qos).chain(by_reason) {
        *sum += figure;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_all_shards_are_added() {
        let boards = [Board::default(), Board::default()];
        let stats = Stats { sessions: 3, publish_sent: [1, 2, 3], ..Stats::default() };
        for board in &boards {
            board.publish(stats, 0, true);
        }
        let total = sum(boards.iter());
        assert_eq!((total.sessions, total.publish_sent), (6, [2, 4, 6]));
    }

    #[test]
    fn a_busy_shard_publishes_now_and_then() {
        let board = Board::default();
        let sessions = |sessions| Stats { sessions, ..Stats::default() };
        board.publish(sessions(1), 10, true);
        board.publish(sessions(2), 11, false);
        assert_eq!(board.read().sessions, 1);
        board.publish(sessions(3), 10 + PUBLISH_EVERY_US, false);
        assert_eq!(board.read().sessions, 3);
    }
}
