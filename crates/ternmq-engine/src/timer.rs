//! Deadlines: keep alive, will delay, session expiry, the end of a pause. An entry that has become
//! meaningless is not searched for and removed, but found so when it fires; or when there are so
//! many that they are all set anew, for a client that comes and goes leaves some each time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::connection::{Phase, Wait};
use crate::shard::{Fault, Shard};
use crate::slab::Key;
use ternmq_proto::ReasonCode;
use ternmq_proto::planted::{self, Bug};

/// Entries beyond which the meaningless ones are looked for: so many, and so many for each
/// connection and session, which have at most two that mean something.
const TIMERS_MIN: usize = 1_024;
const TIMERS_PER_OWNER: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Of a connection.
    KeepAlive(Key),
    /// Of a connection.
    Pause(Key),
    /// Of a session.
    Will(Key),
    /// Of a session.
    Expiry(Key),
}

/// Deadlines on the monotonic clock, earliest first.
#[derive(Debug, Default)]
pub struct Timers(BinaryHeap<Reverse<(u64, Timer)>>);

impl Timers {
    pub fn set(&mut self, at: u64, timer: Timer) {
        self.0.push(Reverse((at, timer)));
    }

    pub fn next(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn take_due(&mut self, now: u64) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, timer))| timer)
    }
}

impl Shard {
    pub fn handle_deadlines(&mut self) {
        let owners = self.connections.len() + self.sessions.len();
        if self.timers.len() > TIMERS_MIN + TIMERS_PER_OWNER * owners {
            self.renew_timers();
        }
        self.expire_retained();
        while let Some(timer) = self.timers.take_due(self.now.mono) {
            match timer {
                Timer::KeepAlive(connection) => self.check_keep_alive(connection),
                Timer::Pause(connection) => self.end_pause(connection),
                Timer::Will(session) => self.check_will(session),
                Timer::Expiry(session) => self.check_expiry(session),
            }
        }
    }

    /// Sets the deadlines that mean something, and forgets the others.
    fn renew_timers(&mut self) {
        self.timers = Timers::default();
        for (key, connection) in self.connections.iter() {
            if connection.phase != Phase::Closing && connection.silence_max > 0 {
                let at = connection.heard + connection.silence_max;
                self.timers.set(at, Timer::KeepAlive(key));
            }
            if let Wait::Paused(until) = connection.wait {
                self.timers.set(until, Timer::Pause(key));
            }
        }
        for (key, session) in self.sessions.iter().filter(|(_, it)| it.connection.is_none()) {
            if session.will_due > 0 {
                self.timers.set(self.now.mono_at(session.will_due), Timer::Will(key));
            }
            if session.expires > 0 {
                self.timers.set(self.now.mono_at(session.expires), Timer::Expiry(key));
            }
        }
    }

    /// MQTT-3.1.2-22: after one and a half times the keep alive without a packet the connection is
    /// closed as if the network had failed.
    fn check_keep_alive(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        let due = connection.heard + connection.silence_max;
        // A connection that we do not read cannot be blamed for its silence, unless it does not
        // read either.
        let waits = matches!(connection.wait, Wait::Credit | Wait::Paused(_));
        if due > self.now.mono || waits {
            let again = due.max(self.now.mono + if waits { connection.silence_max } else { 0 });
            return self.timers.set(again, Timer::KeepAlive(key));
        }
        if planted::is(Bug::KeepAliveForever) {
            return;
        }
        self.stats.keep_alive_timeouts += 1;
        let fault = Fault::new(ReasonCode::KeepAliveTimeout, "no packet within the keep alive");
        self.lose(key, Some(&fault));
    }

    fn end_pause(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Wait::Paused(until) = connection.wait
            && until <= self.now.mono
        {
            connection.wait = Wait::No;
            self.resuming.push_back(key);
        }
    }

    fn check_will(&mut self, key: Key) {
        let Some(session) = self.sessions.get(key) else { return };
        if session.will_due == 0 || session.connection.is_some() {
            return;
        }
        if session.will_due > self.now.wall {
            let at = self.now.mono_at(session.will_due);
            return self.timers.set(at, Timer::Will(key));
        }
        self.fire_will(key);
    }

    fn check_expiry(&mut self, key: Key) {
        let Some(session) = self.sessions.get(key) else { return };
        if session.expires == 0 || session.connection.is_some() {
            return;
        }
        if session.expires > self.now.wall {
            let at = self.now.mono_at(session.expires);
            return self.timers.set(at, Timer::Expiry(key));
        }
        self.end_session(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Attributes;
    use crate::placement::ShardId;
    use crate::settings::Settings;
    use crate::time::SECOND;
    use ternmq_proto::packet::{Connect, Will};
    use ternmq_proto::{Properties, Property, PropertyBuf, Qos, Version};

    #[test]
    fn deadlines_come_in_order_and_not_before_their_time() {
        let key = |index| Key { index, generation: 0 };
        let mut timers = Timers::default();
        timers.set(20, Timer::Will(key(1)));
        timers.set(10, Timer::KeepAlive(key(2)));
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.take_due(9), None);
        assert_eq!(timers.take_due(15), Some(Timer::KeepAlive(key(2))));
        assert_eq!(timers.take_due(15), None);
        assert_eq!(timers.take_due(20), Some(Timer::Will(key(1))));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_client_that_comes_and_goes_leaves_no_deadlines_behind() {
        let mut shard = Shard::new(ShardId(0), Settings::default());
        let mut properties = PropertyBuf::new();
        properties.push(Property::SessionExpiryInterval(1_000_000));
        let connect = Connect {
            version: Version::V5,
            clean_start: false,
            keep_alive: 60_000,
            client_id: "client",
            will: Some(Will {
                topic: "will",
                payload: b"",
                qos: Qos::AtMostOnce,
                retain: false,
                properties: Properties::EMPTY,
            }),
            user_name: None,
            password: None,
            properties: properties.as_properties(),
            bridge: false,
        };
        for _ in 0..10_000 {
            let key = shard.handle_connect(&connect, Attributes::default());
            shard.release(key);
            shard.handle_deadlines();
            assert!(shard.timers.len() <= TIMERS_MIN + TIMERS_PER_OWNER * 2 + 2);
        }
        let pass = |shard: &mut Shard, seconds: u64| {
            shard.now.mono += seconds * SECOND;
            shard.now.wall += seconds * SECOND;
            shard.handle_deadlines();
        };
        pass(&mut shard, 999_999);
        assert_eq!(shard.sessions.len(), 1);
        pass(&mut shard, 2);
        assert_eq!(shard.sessions.len(), 0);
    }
}
