//! Which session a connection belongs to: the rules of sections 3.1.2.4 and 4.1, applied to what
//! happened at the broker's edge. It is the reference that Session Present is compared with, and it
//! knows nothing of how the broker keeps its sessions.

use crate::history::{ClientNo, Connection, ConnectionNo, Ending, Tick};

/// One life of a session: from the CONNECT that began it until it expired or was started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNo(pub u32);

/// What Session Present has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// 1: the session goes on.
    Continued,
    /// 0: a new session.
    New,
}

/// A session.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// Whose.
    pub client: ClientNo,
    /// Its first CONNECT.
    pub opened: Tick,
    /// Its last moment, once it has ended.
    pub ended: Option<Tick>,
    /// Session expiry in force; 0: it ends with its connection.
    pub expiry_seconds: u32,
    /// Whether it outlived its connection from its first CONNECT to its last.
    pub was_durable: bool,
    /// The connection in use.
    pub connection: Option<ConnectionNo>,
    closed_at: u64,
    closed: Tick,
}

impl Session {
    fn expires_at(&self) -> u64 {
        match self.expiry_seconds {
            u32::MAX => u64::MAX,
            seconds => self.closed_at + u64::from(seconds) * SECOND,
        }
    }
}

const SECOND: u64 = 1_000_000;

/// All sessions of a run. Feed it with what happens, in order.
#[derive(Debug, Clone, Default)]
pub struct SessionBook {
    sessions: Vec<Session>,
    /// By client.
    latest: Vec<Option<SessionNo>>,
    /// By connection.
    of_connection: Vec<SessionNo>,
}

impl SessionBook {
    /// The session of a connection.
    pub fn of(&self, connection: ConnectionNo) -> SessionNo {
        self.of_connection[connection.0 as usize]
    }

    /// A session by its number.
    pub fn get(&self, number: SessionNo) -> &Session {
        &self.sessions[number.0 as usize]
    }

    /// All sessions.
    pub fn iter(&self) -> impl Iterator<Item = (SessionNo, &Session)> {
        self.sessions.iter().enumerate().map(|(index, it)| (SessionNo(index as u32), it))
    }

    /// How many there were.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// A node was given this CONNECT. Connections come with increasing numbers; an older connection
    /// of the same client was closed before.
    pub fn opened(
        &mut self,
        at: u64,
        tick: Tick,
        number: ConnectionNo,
        terms: &Connection,
    ) -> Presence {
        let client = usize::from(terms.client.0);
        if client >= self.latest.len() {
            self.latest.resize(client + 1, None);
        }
        let old = self.latest[client];
        let presence = match old.map(|old| &self.sessions[old.0 as usize]) {
            None => Presence::New,
            Some(_) if terms.clean_start => Presence::New,
            Some(session) if session.ended.is_some() => Presence::New,
            Some(session) if at < session.expires_at() => Presence::Continued,
            Some(_) => Presence::New,
        };
        let number_of_session = match (presence, old) {
            (Presence::Continued, Some(old)) => old,
            (_, old) => self.begin(at, tick, terms, old),
        };
        let session = &mut self.sessions[number_of_session.0 as usize];
        session.connection = Some(number);
        session.expiry_seconds = terms.expiry_seconds;
        session.was_durable &= terms.expiry_seconds > 0;
        self.latest[client] = Some(number_of_session);
        debug_assert_eq!(self.of_connection.len(), number.0 as usize);
        self.of_connection.push(number_of_session);
        presence
    }

    fn begin(
        &mut self,
        at: u64,
        tick: Tick,
        terms: &Connection,
        old: Option<SessionNo>,
    ) -> SessionNo {
        if let Some(old) = old {
            let old = &mut self.sessions[old.0 as usize];
            let expired = at >= old.expires_at();
            // Nobody can say when exactly one that expired was forgotten.
            old.ended.get_or_insert(if expired { old.closed } else { tick });
        }
        self.sessions.push(Session {
            client: terms.client,
            opened: tick,
            ended: None,
            expiry_seconds: terms.expiry_seconds,
            was_durable: terms.expiry_seconds > 0,
            connection: None,
            closed_at: 0,
            closed: tick,
        });
        SessionNo(self.sessions.len() as u32 - 1)
    }

    /// A node stopped serving a connection.
    pub fn closed(&mut self, at: u64, tick: Tick, connection: ConnectionNo, ending: Ending) {
        let session = &mut self.sessions[self.of_connection[connection.0 as usize].0 as usize];
        if session.connection != Some(connection) {
            return;
        }
        session.connection = None;
        session.closed_at = at;
        session.closed = tick;
        if let Ending::Normal { expiry_seconds } | Ending::WithWill { expiry_seconds } = ending {
            session.expiry_seconds = expiry_seconds.unwrap_or(session.expiry_seconds);
        }
        if session.expiry_seconds == 0 {
            session.ended = Some(tick);
        }
    }

    /// The run is over: what has expired has ended.
    pub fn finish(&mut self, at: u64) {
        for session in &mut self.sessions {
            if session.connection.is_none() && session.ended.is_none() && session.expires_at() <= at
            {
                session.ended = Some(session.closed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_proto::Version;

    fn terms(clean_start: bool, expiry_seconds: u32) -> Connection {
        Connection {
            client: ClientNo(0),
            version: Version::V5,
            clean_start,
            expiry_seconds,
            keep_alive_seconds: 0,
            receive_maximum: 10,
            packet_bytes_max: u32::MAX,
            will: None,
            shard: 0,
        }
    }

    #[test]
    fn a_session_goes_on_until_it_expires_or_is_started_anew() {
        let mut book = SessionBook::default();
        let mut open = |at, number, terms| {
            let presence = book.opened(at, Tick(number), ConnectionNo(number), &terms);
            book.closed(at + 1, Tick(number), ConnectionNo(number), Ending::Lost);
            presence
        };
        assert_eq!(open(0, 0, terms(false, 10)), Presence::New);
        assert_eq!(open(9 * SECOND, 1, terms(false, 10)), Presence::Continued);
        assert_eq!(open(19 * SECOND + 5, 2, terms(false, 10)), Presence::New);
        assert_eq!(open(40 * SECOND, 3, terms(false, 10)), Presence::New);
        assert_eq!(open(41 * SECOND, 4, terms(true, 0)), Presence::New);
        assert_eq!(open(41 * SECOND, 5, terms(false, 0)), Presence::New);
        assert_eq!(book.len(), 5);
    }

    #[test]
    fn disconnect_can_change_the_expiry() {
        let mut book = SessionBook::default();
        book.opened(0, Tick(0), ConnectionNo(0), &terms(false, 100));
        let ending = Ending::Normal { expiry_seconds: Some(0) };
        book.closed(1, Tick(1), ConnectionNo(0), ending);
        assert_eq!(book.opened(2, Tick(2), ConnectionNo(1), &terms(false, 9)), Presence::New);
    }
}
