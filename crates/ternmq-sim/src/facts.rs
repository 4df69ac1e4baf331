//! The history of a run, sorted: what happened to each message, session and subscription. Still no
//! opinion; the checkers share it so that they agree about what happened.

use ternmq_proto::packet::SubscriptionOptions;
use ternmq_proto::{PacketId, Qos, ReasonCode};

use crate::history::{
    ClientNo, Connection, ConnectionNo, Delivered, Event, FilterNo, Flow, History, MessageNo,
    Publish, Span, Tick, TopicNo, Written,
};
use crate::sessions::{Presence, SessionBook, SessionNo};

/// What the broker did with a message of a publisher.
#[derive(Debug, Clone, Copy, Default)]
pub struct Publication {
    /// When a node first took it.
    pub first_in: Option<Tick>,
    /// When a node last took it: a repetition at QoS 1 has its effect again.
    pub last_in: Option<Tick>,
    /// How often a node took it, repetitions included.
    pub times_in: u32,
    /// Message Expiry Interval as it came; time that it waited at its publisher is gone.
    pub expiry_seconds: Option<u32>,
    /// In which session of the publisher it first came.
    pub session: Option<SessionNo>,
    /// When the broker took responsibility: PUBACK or PUBREC below 0x80.
    pub accepted: Option<(Tick, ReasonCode)>,
    /// The last such acknowledgement: that of the last repetition, if it is after that.
    last_accepted: Option<Tick>,
    /// PUBACK or PUBREC of 0x80 or more.
    pub refused: Option<Tick>,
}

/// One SUBSCRIBE to a filter.
#[derive(Debug, Clone, Copy)]
pub struct Subscribed {
    /// When a node took it.
    pub requested: Tick,
    /// When SUBACK left.
    pub acknowledged: Option<Tick>,
    /// What SUBACK granted; before that, what was asked for.
    pub granted: Qos,
    /// As asked for.
    pub options: SubscriptionOptions,
    /// Subscription identifier, 0 for none.
    pub identifier: u32,
}

/// A subscription of a session from its first SUBSCRIBE to its UNSUBSCRIBE; subscribing again to the
/// same filter replaces its options without a gap.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Whose.
    pub session: SessionNo,
    /// To what.
    pub filter: FilterNo,
    /// Every SUBSCRIBE that was not refused.
    pub versions: Vec<Subscribed>,
    /// When a node took the UNSUBSCRIBE.
    pub unsubscribed: Option<Tick>,
    /// When UNSUBACK left.
    pub gone: Option<Tick>,
}

impl Subscription {
    /// Since when every message has to come.
    pub fn covers_from(&self) -> Option<Tick> {
        self.versions.iter().find_map(|version| version.acknowledged)
    }

    /// Whether a message that a node took at `tick` may be delivered because of this subscription.
    pub fn may_match(&self, tick: Tick) -> bool {
        self.gone.is_none_or(|gone| tick < gone)
    }

    /// The options that may have been in force at some moment of `from..=to`, and whether there is
    /// no doubt that they are all.
    pub fn versions_between(&self, from: Tick, to: Tick) -> impl Iterator<Item = &Subscribed> {
        let next = |index: usize| self.versions.get(index + 1).and_then(|it| it.acknowledged);
        self.versions.iter().enumerate().filter_map(move |(index, version)| {
            let begun = version.requested <= to;
            let replaced = next(index).is_some_and(|tick| tick < from);
            (begun && !replaced).then_some(version)
        })
    }
}

/// A PUBLISH that was written for a subscriber.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// When.
    pub tick: Tick,
    /// To whom.
    pub session: SessionNo,
    /// Over which connection.
    pub connection: ConnectionNo,
    /// What.
    pub publish: Publish,
    /// How it was written.
    pub written: Written,
}

/// A message that reached a subscriber's application.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When.
    pub tick: Tick,
    /// In which session.
    pub session: SessionNo,
    /// What.
    pub delivered: Delivered,
}

/// A CONNACK, with what it should have said.
#[derive(Debug, Clone, Copy)]
pub struct Greeting {
    /// When.
    pub tick: Tick,
    /// On which connection.
    pub connection: ConnectionNo,
    /// Session Present as it was sent.
    pub session_present: bool,
    /// The reason.
    pub code: ReasonCode,
    /// What Session Present had to be.
    pub expected: Presence,
}

/// A SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
#[derive(Debug)]
struct Pending {
    connection: ConnectionNo,
    id: PacketId,
    parts: Vec<Part>,
}

/// One filter of it: which subscription, and which version of that for SUBSCRIBE.
#[derive(Debug, Clone, Copy)]
struct Part {
    subscription: usize,
    version: Option<usize>,
}

/// Everything, sorted.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Where it comes from.
    pub history: &'a History,
    /// All sessions.
    pub sessions: SessionBook,
    /// By message.
    pub publications: Vec<Publication>,
    /// In the order of their first SUBSCRIBE.
    pub subscriptions: Vec<Subscription>,
    /// By session: indices of `subscriptions`.
    of_session: Vec<Vec<u32>>,
    /// In order.
    pub sent: Vec<Sent>,
    /// In order.
    pub arrivals: Vec<Arrival>,
    /// In order.
    pub greetings: Vec<Greeting>,
    /// By connection.
    opened: Vec<(Tick, Presence)>,
    /// Requests that wait for their answer.
    pending: Vec<Pending>,
    /// By session: what the packet identifiers of its client mean.
    uplink: Vec<Vec<(PacketId, MessageNo)>>,
    /// Indices of `arrivals`, by session, message and tick.
    arrivals_sorted: Vec<u32>,
}

impl<'a> Facts<'a> {
    /// Sorts a history; `ended_at` is the time at which the run was over.
    pub fn new(history: &'a History, ended_at: u64) -> Self {
        let mut facts = Facts {
            history,
            sessions: SessionBook::default(),
            publications: vec![Publication::default(); history.messages.len()],
            subscriptions: Vec::new(),
            of_session: Vec::new(),
            sent: Vec::new(),
            arrivals: Vec::new(),
            greetings: Vec::new(),
            opened: Vec::new(),
            pending: Vec::new(),
            uplink: Vec::new(),
            arrivals_sorted: Vec::new(),
        };
        for (index, entry) in history.log.iter().enumerate() {
            facts.note(Tick(index as u32), entry.at, entry.event);
        }
        facts.sessions.finish(ended_at);
        facts.arrivals_sorted = (0..facts.arrivals.len() as u32).collect();
        let arrivals = &facts.arrivals;
        facts.arrivals_sorted.sort_by_key(|index| {
            let arrival = &arrivals[*index as usize];
            (arrival.session, arrival.delivered.message, arrival.tick)
        });
        facts
    }

    /// The arrivals of one message in one session.
    pub fn arrivals_of(
        &self,
        session: SessionNo,
        message: MessageNo,
    ) -> impl Iterator<Item = &Arrival> {
        let key = |index: &u32| {
            let arrival = &self.arrivals[*index as usize];
            (arrival.session, arrival.delivered.message)
        };
        let first = self.arrivals_sorted.partition_point(|it| key(it) < (session, message));
        self.arrivals_sorted[first..]
            .iter()
            .take_while(move |index| key(index) == (session, message))
            .map(|index| &self.arrivals[*index as usize])
    }

    /// The subscriptions of a session that match a topic, shared ones only or none of them.
    pub fn matching(
        &self,
        session: SessionNo,
        topic: TopicNo,
        shared: bool,
    ) -> impl Iterator<Item = &Subscription> {
        let indices = self.of_session.get(session.0 as usize).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|index| &self.subscriptions[*index as usize]).filter(move |it| {
            let filter = self.history.filter(it.filter);
            filter.share.is_some() == shared && filter.matches[usize::from(topic.0)]
        })
    }

    /// What happened to a message.
    pub fn publication(&self, message: MessageNo) -> &Publication {
        &self.publications[message.0 as usize]
    }

    /// The terms of a connection.
    pub fn terms(&self, connection: ConnectionNo) -> &Connection {
        self.history.connection(connection)
    }

    /// When a node was given the CONNECT.
    pub fn opened(&self, connection: ConnectionNo) -> Tick {
        self.opened[connection.0 as usize].0
    }

    /// Whether the client sees which message an empty payload is: only MQTT 5 has properties.
    pub fn sees_properties(&self, client: ClientNo) -> bool {
        let mut connections = self.history.connections.iter();
        connections.any(|it| it.client == client && it.version.has_properties())
    }

    /// The lowest level at which a subscription can have delivered a message between these ticks;
    /// `None`: it may not have wanted it, because of *no local*.
    pub fn least_level(
        &self,
        subscription: &Subscription,
        number: MessageNo,
        from: Tick,
        to: Tick,
    ) -> Option<Qos> {
        let message = self.history.message(number);
        let own = self.sessions.get(subscription.session).client == message.publisher;
        subscription.versions_between(from, to).try_fold(message.qos, |level, version| {
            (!(own && version.options.no_local)).then_some(level.min(version.granted))
        })
    }

    /// Whether `older` certainly took effect before `newer`.
    pub fn precedes(&self, older: MessageNo, newer: MessageNo) -> bool {
        let (first, second) = (self.publication(older), self.publication(newer));
        let (Some(last_in), Some(second_in)) = (first.last_in, second.first_in) else {
            return false;
        };
        let (a, b) = (self.history.message(older), self.history.message(newer));
        let one_stream = first.session == second.session && a.qos == b.qos;
        let settled = self.settled(older).is_some_and(|at| at < second_in);
        last_in < second_in && (one_stream || settled)
    }

    /// Since when a message must have taken effect: its acknowledgement. Except that PUBREC to a
    /// session that outlives its connection says only that the broker has the message.
    pub fn settled(&self, message: MessageNo) -> Option<Tick> {
        let publication = self.publication(message);
        let deferred = self.history.message(message).qos == Qos::ExactlyOnce
            && publication.session.is_some_and(|it| self.sessions.get(it).was_durable);
        publication.last_accepted.filter(|tick| !deferred && publication.last_in < Some(*tick))
    }

    fn note(&mut self, tick: Tick, at: u64, event: Event) {
        match event {
            Event::Opened(connection) => {
                let terms = self.history.connection(connection);
                let expected = self.sessions.opened(at, tick, connection, terms);
                self.opened.push((tick, expected));
                self.of_session.resize(self.sessions.len(), Vec::new());
                self.uplink.resize(self.sessions.len(), Vec::new());
            }
            Event::Closed(connection, ending) => {
                self.sessions.closed(at, tick, connection, ending);
                self.pending.retain(|it| it.connection != connection);
            }
            Event::Up(connection, flow) => self.note_up(tick, connection, flow),
            Event::Down(connection, flow, written) => {
                self.note_down(tick, connection, flow, written);
            }
            Event::Delivered(delivered) => {
                let session = self.sessions.of(delivered.connection);
                self.arrivals.push(Arrival { tick, session, delivered });
            }
            Event::Reached { .. } | Event::Committed { .. } => {}
        }
    }

    fn note_up(&mut self, tick: Tick, connection: ConnectionNo, flow: Flow) {
        let session = self.sessions.of(connection);
        match flow {
            Flow::Publish(publish) => {
                let Some(message) = publish.message else { return };
                let publication = &mut self.publications[message.0 as usize];
                publication.first_in.get_or_insert(tick);
                publication.last_in = Some(tick);
                publication.expiry_seconds = publish.expiry_seconds;
                publication.session.get_or_insert(session);
                publication.times_in += 1;
                if let Some(id) = publish.packet_id {
                    let uplink = &mut self.uplink[session.0 as usize];
                    uplink.retain(|(known, _)| *known != id);
                    uplink.push((id, message));
                }
            }
            Flow::Subscribe(id, span) => self.subscribe(tick, connection, id, span),
            Flow::Unsubscribe(id, span) => {
                let mut parts = Vec::new();
                for request in &self.history.requests[span.range()] {
                    if let Some(subscription) = self.active(session, request.filter) {
                        self.subscriptions[subscription].unsubscribed = Some(tick);
                        parts.push(Part { subscription, version: None });
                    }
                }
                self.pending.push(Pending { connection, id, parts });
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, tick: Tick, connection: ConnectionNo, id: PacketId, span: Span) {
        let session = self.sessions.of(connection);
        let mut parts = Vec::new();
        for request in &self.history.requests[span.range()] {
            let index = self.active(session, request.filter).unwrap_or_else(|| {
                self.of_session[session.0 as usize].push(self.subscriptions.len() as u32);
                self.subscriptions.push(Subscription {
                    session,
                    filter: request.filter,
                    versions: Vec::new(),
                    unsubscribed: None,
                    gone: None,
                });
                self.subscriptions.len() - 1
            });
            let versions = &mut self.subscriptions[index].versions;
            versions.push(Subscribed {
                requested: tick,
                acknowledged: None,
                granted: request.options.qos,
                options: request.options,
                identifier: request.identifier,
            });
            parts.push(Part { subscription: index, version: Some(versions.len() - 1) });
        }
        self.pending.push(Pending { connection, id, parts });
    }

    fn active(&self, session: SessionNo, filter: FilterNo) -> Option<usize> {
        let indices = self.of_session[session.0 as usize].iter().map(|index| *index as usize);
        indices.rev().find(|index| {
            let subscription = &self.subscriptions[*index];
            subscription.filter == filter && subscription.unsubscribed.is_none()
        })
    }

    fn note_down(&mut self, tick: Tick, connection: ConnectionNo, flow: Flow, written: Written) {
        let session = self.sessions.of(connection);
        match flow {
            Flow::Publish(publish) => {
                self.sent.push(Sent { tick, session, connection, publish, written });
            }
            Flow::Puback(id, code) | Flow::Pubrec(id, code) => {
                self.answered(tick, session, id, code)
            }
            Flow::Suback(id, span) => {
                let codes = &self.history.codes[span.range()];
                for (part, code) in self.take_pending(connection, id).zip(codes) {
                    let Some(version) = part.version else { continue };
                    let versions = &mut self.subscriptions[part.subscription].versions;
                    if let Some(version) = versions.get_mut(version) {
                        version.acknowledged = Some(tick);
                        version.granted = Qos::from_bits(*code).unwrap_or_default();
                    }
                }
            }
            Flow::Unsuback(id) => {
                for part in self.take_pending(connection, id) {
                    self.subscriptions[part.subscription].gone = Some(tick);
                }
            }
            Flow::Connack { session_present, code } => {
                let (_, expected) = self.opened[connection.0 as usize];
                self.greetings.push(Greeting { tick, connection, session_present, code, expected });
            }
            _ => {}
        }
    }

    fn take_pending(
        &mut self,
        connection: ConnectionNo,
        id: PacketId,
    ) -> impl Iterator<Item = Part> + use<> {
        let found = self.pending.iter().position(|it| it.connection == connection && it.id == id);
        let parts = found.map(|index| self.pending.swap_remove(index).parts);
        parts.unwrap_or_default().into_iter()
    }

    fn answered(&mut self, tick: Tick, session: SessionNo, id: PacketId, code: ReasonCode) {
        let uplink = &self.uplink[session.0 as usize];
        let Some((_, message)) = uplink.iter().find(|(known, _)| *known == id) else { return };
        let publication = &mut self.publications[message.0 as usize];
        if code.is_error() {
            publication.refused.get_or_insert(tick);
        } else {
            publication.accepted.get_or_insert((tick, code));
            publication.last_accepted = Some(tick);
        }
    }
}
