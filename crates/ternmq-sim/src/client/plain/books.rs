//! What a client has to remember: the part of the session that is the client's, and what its
//! application wants.

use std::collections::VecDeque;

use ternmq_proto::{PacketId, Qos, Version};

use super::packets;
use crate::client::Wanted;
use crate::history::{FilterNo, History, MessageNo, TopicNo};
use crate::sessions::SessionNo;

/// Something that the application wants and that has not been sent yet.
#[derive(Debug, Clone, Copy)]
pub enum Todo {
    /// PUBLISH.
    Publish(MessageNo),
    /// SUBSCRIBE.
    Subscribe(Wanted),
    /// UNSUBSCRIBE.
    Unsubscribe(FilterNo),
}

/// A step of an exchange, to be sent. `known`: the identifier was in use.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Puback(PacketId),
    Pubrec(PacketId),
    Pubrel(PacketId, bool),
    Pubcomp(PacketId, bool),
}

/// A message on its way to the broker.
#[derive(Debug, Clone, Copy)]
struct Outgoing {
    id: PacketId,
    message: MessageNo,
    /// PUBREC has come.
    released: bool,
    /// It takes a place in the quota of this connection.
    counted: bool,
}

/// See the header of the file.
#[derive(Debug, Default)]
pub struct Books {
    /// The session that all this belongs to.
    pub session: Option<SessionNo>,
    /// In the order of the application.
    pub todo: VecDeque<Todo>,
    outbound: VecDeque<Outgoing>,
    held: Vec<PacketId>,
    last_id: u16,
    wanted: Vec<Wanted>,
    asked: Vec<(PacketId, Todo)>,
}

impl Books {
    pub fn is_settled(&self) -> bool {
        self.todo.is_empty()
            && self.outbound.is_empty()
            && self.held.is_empty()
            && self.asked.is_empty()
    }

    pub fn want(&mut self, wanted: Wanted) {
        self.wanted.retain(|it| it.filter != wanted.filter);
        self.wanted.push(wanted);
        self.todo.push_back(Todo::Subscribe(wanted));
    }

    pub fn unwant(&mut self, filter: FilterNo) {
        self.wanted.retain(|it| it.filter != filter);
        self.todo.push_back(Todo::Unsubscribe(filter));
    }

    /// A new session has begun: nothing of the old one counts, and what was wanted is asked for
    /// again.
    pub fn begin(&mut self, session: Option<SessionNo>) {
        self.session = session;
        self.outbound.clear();
        self.held.clear();
        self.asked.clear();
        self.todo.retain(|todo| matches!(todo, Todo::Publish(_)));
        for wanted in self.wanted.iter().rev() {
            self.todo.push_front(Todo::Subscribe(*wanted));
        }
    }

    /// The session goes on over a new connection: what is in flight is sent again in its order, what
    /// was asked and not answered is asked again. Returns how much of the quota that takes.
    pub fn resend(
        &mut self,
        out: &mut Vec<u8>,
        version: Version,
        quota: u16,
        history: &History,
    ) -> u16 {
        while let Some((_, todo)) = self.asked.pop() {
            self.todo.push_front(todo);
        }
        let mut used = 0;
        for outgoing in &mut self.outbound {
            outgoing.counted = !outgoing.released && used < quota;
            if outgoing.released {
                packets::put_step(out, version, Step::Pubrel(outgoing.id, true));
            } else if outgoing.counted {
                used += 1;
                packets::put_publish(
                    out,
                    version,
                    outgoing.message,
                    Some(outgoing.id),
                    true,
                    None,
                    history,
                );
            }
        }
        used
    }

    /// PUBLISH at QoS 2 came. Whether it is new.
    pub fn hold(&mut self, id: PacketId) -> bool {
        let is_new = !self.held.contains(&id);
        if is_new {
            self.held.push(id);
        }
        is_new
    }

    /// PUBREL came. Whether its identifier was held.
    pub fn let_go(&mut self, id: PacketId) -> bool {
        let before = self.held.len();
        self.held.retain(|held| *held != id);
        self.held.len() < before
    }

    /// PUBREC came. Whether its identifier is in use.
    pub fn release(&mut self, id: PacketId) -> bool {
        let found = self.outbound.iter_mut().find(|it| it.id == id);
        found.map(|it| it.released = true).is_some()
    }

    /// PUBACK, PUBCOMP or a refusing PUBREC came. Whether it gives a place of the quota back.
    pub fn finish(&mut self, id: PacketId) -> bool {
        let Some(index) = self.outbound.iter().position(|it| it.id == id) else { return false };
        self.outbound.remove(index).is_some_and(|it| it.counted)
    }

    /// SUBACK or UNSUBACK came.
    pub fn answered(&mut self, id: PacketId) {
        self.asked.retain(|it| it.0 != id);
    }

    fn next_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id % IDENTIFIER_MAX + 1;
            let id = PacketId::new(self.last_id).unwrap_or(PacketId::MIN);
            let in_use = self.outbound.iter().any(|it| it.id == id)
                || self.asked.iter().any(|it| it.0 == id);
            if !in_use {
                return id;
            }
        }
    }

    /// A subscription with those that are wanted right after it and can go into the same packet:
    /// there is one identifier for all of them.
    fn with_neighbours(&mut self, first: Wanted) -> Vec<Wanted> {
        let mut filters = vec![first];
        while filters.len() < FILTERS_MAX
            && let Some(Todo::Subscribe(next)) = self.todo.front().copied()
            && next.identifier == first.identifier
        {
            self.todo.pop_front();
            filters.push(next);
        }
        filters
    }

    /// Sends something that the application wants.
    pub fn send(
        &mut self,
        out: &mut Vec<u8>,
        version: Version,
        todo: Todo,
        aliases: Option<(&mut Vec<TopicNo>, u16)>,
        history: &History,
    ) {
        match todo {
            Todo::Publish(message) => {
                let needs_id = history.message(message).qos > Qos::AtMostOnce;
                let id = needs_id.then(|| self.next_id());
                packets::put_publish(out, version, message, id, false, aliases, history);
                if let Some(id) = id {
                    let outgoing = Outgoing { id, message, released: false, counted: true };
                    self.outbound.push_back(outgoing);
                }
            }
            Todo::Subscribe(wanted) => {
                let id = self.next_id();
                let filters = self.with_neighbours(wanted);
                packets::put_subscribe(out, version, id, &filters, history);
                let asked = filters.into_iter().map(|wanted| (id, Todo::Subscribe(wanted)));
                self.asked.extend(asked);
            }
            Todo::Unsubscribe(filter) => {
                let id = self.next_id();
                packets::put_unsubscribe(out, version, id, filter, history);
                self.asked.push((id, todo));
            }
        }
    }
}

/// Filters in one SUBSCRIBE.
const FILTERS_MAX: usize = 3;
/// Identifiers are taken from `1..=64`, so that they come round again within a run.
const IDENTIFIER_MAX: u16 = 64;
