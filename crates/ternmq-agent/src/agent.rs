//! The agent: one client towards one server, over as many connections as it takes.
//!
//! ```text
//!            connect             its time           handle_connected          CONNACK
//!  Stopped ──────────▶ Waiting ──────────▶ Opening ─────────────────▶ Greeting ──────▶ Live
//!     ▲                   ▲                   │                          │              │
//!     │  no retry         └───────────────────┴── closed, refused, ──────┴──────────────┤
//!     └───────────────────────────────────────────timed out, violated ──────────────────┘
//! ```

mod receive;

use std::collections::VecDeque;

use ternmq_proto::packet::{self, Packet, SubscriptionOptions};
use ternmq_proto::{Error, PropertyBuf, ReasonCode, Version, frame};

use crate::event::{Cause, CommandError, Event, Lost, PublishError};
use crate::inbox::AckToken;
use crate::live::{Beat, Live};
use crate::message::{Publish, PublishId, RequestId};
use crate::options::{Acknowledge, Offline, Options, OptionsError};
use crate::reconnect::{Backoff, micros};
use crate::session::{Durable, Session};
use receive::Input;

/// What an MQTT client decides. Its methods are of four kinds:
///
/// - getters, `&self`: any time;
/// - `handle_connected`, `handle_bytes`, `handle_timeout`, `handle_closed`: what the network or the
///   clock did;
/// - commands, [`connect`](Agent::connect), [`publish`](Agent::publish),
///   [`subscribe`](Agent::subscribe), [`unsubscribe`](Agent::unsubscribe),
///   [`acknowledge`](Agent::acknowledge), [`authenticate`](Agent::authenticate),
///   [`disconnect`](Agent::disconnect), [`abandon`](Agent::abandon): what the application wants;
/// - [`poll_event`](Agent::poll_event), [`poll_transmit`](Agent::poll_transmit),
///   [`poll_timeout`](Agent::poll_timeout): what the caller must now do.
///
/// After a `handle_*` or a command, poll events and transmits until neither has anything more (an
/// event that is taken may cause an acknowledgement, a transmit may finish a message); then wait for
/// the network or for the time that `poll_timeout` names. `now` is in microseconds since any
/// moment, the same for all calls, and never goes back.
///
/// Polling may be put off, and that is how the caller slows things down: while the transport is
/// busy, do not poll transmits, and messages wait in the outbox; while the application is busy, do
/// not poll events, and [`wants_bytes`](Agent::wants_bytes) becomes `false`.
///
/// There is one transport at a time. After [`Transmit::Open`] report `handle_connected` or
/// `handle_closed`; after `handle_closed` or [`Transmit::Close`] that transport is gone, and nothing
/// is reported of it any more.
///
/// ```
/// use ternmq_agent::{Agent, Options, Publish, Transmit};
///
/// let mut agent = Agent::new(Options::default(), 1).unwrap();
/// agent.publish(0, Publish::new("greeting", "hello")).unwrap();
/// agent.connect(0);
/// assert_eq!(agent.poll_transmit(0), Some(Transmit::Open));
/// agent.handle_connected(1_500);
/// assert!(matches!(agent.poll_transmit(1_500), Some(Transmit::Bytes(_)))); // CONNECT
/// agent.handle_bytes(3_000, b"\x20\x03\x00\x00\x00"); // CONNACK
/// assert!(agent.is_connected());
/// ```
#[derive(Debug)]
pub struct Agent {
    options: Options,
    backoff: Backoff,
    link: Link,
    session: Session,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    /// Bytes for the transport, not yet polled.
    output: Vec<u8>,
    input: Input,
}

/// What is to be done with the transport.
#[derive(Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Open one to the server.
    Open,
    /// Write this.
    Bytes(Vec<u8>),
    /// Close it, after everything before is written.
    Close,
}

/// Where an [`Agent`] is with its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It neither has nor wants one.
    Stopped,
    /// It opens one later.
    Waiting {
        /// When, in microseconds.
        until: u64,
    },
    /// It is opening one, or has no CONNACK yet.
    Connecting,
    /// The server has accepted it.
    Connected,
}

#[derive(Debug)]
enum Link {
    Stopped,
    Waiting { until: u64 },
    Opening { deadline: u64 },
    Greeting { deadline: u64, clean_start: bool },
    Live(Box<Live>),
}

impl Agent {
    /// An agent that stands still until [`Agent::connect`]. Two with the same options, seed and
    /// calls do the same.
    ///
    /// # Errors
    /// Options that do not fit together.
    pub fn new(options: Options, seed: u64) -> Result<Self, OptionsError> {
        options.check()?;
        let session = Session::new(&options);
        Ok(Agent::with_session(options, seed, session))
    }

    /// An agent that goes on with what an earlier one had to leave.
    ///
    /// # Errors
    /// Options that do not fit together.
    pub fn resume(options: Options, seed: u64, durable: Durable) -> Result<Self, OptionsError> {
        options.check()?;
        let session = Session::restore(&options, durable);
        Ok(Agent::with_session(options, seed, session))
    }

    fn with_session(options: Options, seed: u64, session: Session) -> Self {
        Agent {
            options,
            backoff: Backoff::new(seed),
            link: Link::Stopped,
            session,
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            output: Vec::new(),
            input: Input::default(),
        }
    }

    /// What survives when the process ends here and now.
    pub fn into_durable(self) -> Durable {
        self.session.into_durable()
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The client identifier: its own, or the one that the server assigned.
    pub fn client_id(&self) -> &str {
        &self.session.client_id
    }

    /// Where it is with its transport.
    pub fn state(&self) -> LinkState {
        match self.link {
            Link::Stopped => LinkState::Stopped,
            Link::Waiting { until } => LinkState::Waiting { until },
            Link::Opening { .. } | Link::Greeting { .. } => LinkState::Connecting,
            Link::Live(_) => LinkState::Connected,
        }
    }

    /// Whether the server has accepted it and is there.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Live(_))
    }

    /// Accepted messages that are not finished.
    pub fn unfinished(&self) -> usize {
        self.session.outbox.messages()
    }

    /// What they take, in bytes, as [`OutboxLimits::bytes`](crate::OutboxLimits::bytes) counts.
    pub fn unfinished_bytes(&self) -> usize {
        self.session.outbox.bytes()
    }

    /// Requests that are not answered.
    pub fn unanswered_requests(&self) -> usize {
        self.session.requests.len()
    }

    /// Received messages of this connection that are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.session.inbox.unanswered()
    }

    /// QoS 2 identifiers that were received and not released.
    pub fn held_identifiers(&self) -> usize {
        self.session.inbox.held()
    }

    /// Whether the transport should be read: there is one, and there is room for what may come.
    pub fn wants_bytes(&self) -> bool {
        self.has_link() && self.has_room() && !self.input.stopped
    }

    /// Begins to connect, at once or after the spread of the options. Does nothing while it is
    /// connected or trying.
    pub fn connect(&mut self, now: u64) {
        if matches!(self.link, Link::Stopped) {
            let until = now.saturating_add(self.backoff.first(&self.options.reconnect));
            self.link = Link::Waiting { until };
            self.handle_timeout(now);
        }
    }

    /// The transport is open.
    pub fn handle_connected(&mut self, now: u64) {
        let Link::Opening { deadline } = self.link else { return };
        let session = &self.session;
        let clean_start =
            self.options.clean_start && !(session.established && self.options.is_persistent());
        self.link = Link::Greeting { deadline, clean_start };
        let written = self.options.write_connect(&session.client_id, clean_start, &mut self.output);
        if let Err(misuse) = written {
            // The options were checked, so an assigned client identifier must be the reason.
            self.abort(now, Cause::Protocol(Error::ApiMisuse(misuse)));
        }
    }

    /// The transport brought bytes. All of them are taken; what there is no room for yet is
    /// understood later, and [`Agent::wants_bytes`] is `false` until then.
    pub fn handle_bytes(&mut self, now: u64, bytes: &[u8]) {
        match &mut self.link {
            _ if bytes.is_empty() => return,
            Link::Greeting { .. } => {}
            Link::Live(live) => live.keep_alive.received(now),
            _ => return,
        }
        if self.input.bytes.is_empty() {
            let used = self.take_packets(now, bytes);
            if self.has_link() {
                self.input.bytes.extend_from_slice(&bytes[used..]);
            }
        } else {
            self.input.bytes.extend_from_slice(bytes);
            self.take_input(now);
        }
    }

    /// The transport closed, or could not be opened; `error` says why if it was not orderly.
    pub fn handle_closed(&mut self, now: u64, error: Option<String>) {
        if matches!(self.link, Link::Opening { .. }) || self.has_link() {
            self.transmits.clear();
            self.end(now, error.map_or(Cause::Closed, Cause::Failed));
        }
    }

    /// The time that [`Agent::poll_timeout`] named has come. Too early or too often does no harm.
    pub fn handle_timeout(&mut self, now: u64) {
        self.session.expire(now, &mut self.events);
        let reading = self.wants_bytes();
        match &mut self.link {
            Link::Waiting { until } if *until <= now => {
                let deadline = now.saturating_add(micros(self.options.connect_timeout));
                self.link = Link::Opening { deadline };
                self.transmits.push_back(Transmit::Open);
            }
            Link::Opening { deadline } | Link::Greeting { deadline, .. } if *deadline <= now => {
                self.abort(now, Cause::ConnectTimeout);
            }
            Link::Live(live) => match live.keep_alive.next(reading) {
                Some((at, Beat::Ping)) if at <= now => {
                    live.keep_alive.pinged(now);
                    // Two bytes; there is nothing in it that could not be written.
                    self.output.extend_from_slice(&PINGREQ);
                }
                Some((at, Beat::Dead)) if at <= now => self.abort(now, Cause::KeepAliveTimeout),
                _ => {}
            },
            _ => {}
        }
    }

    /// Accepts a message. It is sent when there is a connection and the server has room for it; one
    /// [`Event::Published`] tells how it ended.
    ///
    /// # Errors
    /// Nothing was accepted: the message cannot be sent with this version, or there is no room.
    pub fn publish(&mut self, now: u64, publish: Publish) -> Result<PublishId, PublishError> {
        let id = self.session.accept(now, publish, &self.options, &mut self.events)?;
        if self.options.offline == Offline::DropQos0 && !self.is_connected() {
            self.session.drop_qos0(&mut self.events);
        }
        Ok(id)
    }

    /// Asks for subscriptions, in one SUBSCRIBE; without a connection, as soon as there is one. What
    /// the server grants is asked for again whenever it has lost the session.
    ///
    /// # Errors
    /// Nothing was asked: a filter does not parse, or the version cannot say this.
    pub fn subscribe(
        &mut self,
        filters: Vec<(String, SubscriptionOptions)>,
        properties: PropertyBuf,
    ) -> Result<RequestId, CommandError> {
        let id = self.session.new_request();
        let version = self.options.version;
        self.session.requests.subscribe(id, filters, properties, version)?;
        Ok(id)
    }

    /// Asks for the end of subscriptions, in one UNSUBSCRIBE.
    ///
    /// # Errors
    /// Nothing was asked: a filter does not parse, or the version cannot say this.
    pub fn unsubscribe(
        &mut self,
        filters: Vec<String>,
        properties: PropertyBuf,
    ) -> Result<RequestId, CommandError> {
        let id = self.session.new_request();
        let version = self.options.version;
        self.session.requests.unsubscribe(id, filters, properties, version)?;
        Ok(id)
    }

    /// Acknowledges a received message, with 0x80 or more refusing it (which only MQTT 5.0 can tell
    /// the server). The acknowledgement leaves when those of all earlier messages have left.
    /// `false`: the token is stale, and nothing happens.
    pub fn acknowledge(&mut self, now: u64, token: AckToken, code: ReasonCode) -> bool {
        let kind = frame::PacketKind::Puback;
        let code = if !code.allowed_in(kind) {
            ReasonCode::ImplementationSpecific
        } else if self.options.version != Version::V5 {
            ReasonCode::Success
        } else {
            code
        };
        let known = self.session.inbox.acknowledge(&token, code);
        self.send_answers();
        self.go_on_reading(now);
        known
    }

    /// Sends AUTH: the answer to [`Event::Auth`] (0x18), or the beginning of a new authentication
    /// (0x19).
    ///
    /// # Errors
    /// There is no connection, or the packet cannot be written.
    pub fn authenticate(
        &mut self,
        code: ReasonCode,
        properties: &PropertyBuf,
    ) -> Result<(), CommandError> {
        if !self.has_link() {
            return Err(CommandError::NotConnected);
        }
        let properties = properties.as_properties();
        let auth = Packet::Auth(packet::Auth { code, properties });
        Ok(auth.encode(self.options.version, &mut self.output)?)
    }

    /// Ends the connection with DISCONNECT and does not come back before [`Agent::connect`].
    /// Messages that are not finished stay.
    ///
    /// # Errors
    /// The DISCONNECT cannot be written; the connection stands as before.
    pub fn disconnect(
        &mut self,
        now: u64,
        code: ReasonCode,
        properties: &PropertyBuf,
    ) -> Result<(), CommandError> {
        let properties = properties.as_properties();
        let expiry = properties.session_expiry_interval().unwrap_or(0);
        if expiry > 0 && self.options.session_expiry_seconds == 0 {
            return Err(CommandError::SessionExpiry);
        }
        let mut goodbye = Vec::new();
        Packet::Disconnect(packet::Disconnect { code, properties })
            .encode(self.options.version, &mut goodbye)?;
        match self.link {
            Link::Stopped => return Ok(()),
            Link::Waiting { .. } => {}
            Link::Opening { .. } | Link::Greeting { .. } => {
                self.transmits.push_back(Transmit::Close);
            }
            Link::Live(_) => {
                self.output.extend_from_slice(&goodbye);
                self.flush_and_close();
            }
        }
        self.end(now, Cause::Requested);
        Ok(())
    }

    /// Gives up every message and request that is not finished; each gets its event with `lost`.
    pub fn abandon(&mut self, lost: &Lost) {
        self.session.abandon(lost, &mut self.events);
    }

    /// The next thing that the application may want to know.
    pub fn poll_event(&mut self, now: u64) -> Option<Event> {
        let mut event = self.events.pop_front()?;
        if let Event::Message { token, .. } = &mut event
            && self.options.acknowledge == Acknowledge::WhenTaken
            && let Some(token) = token.take()
        {
            self.session.inbox.acknowledge(&token, ReasonCode::Success);
            self.send_answers();
        }
        self.go_on_reading(now);
        Some(event)
    }

    /// The next thing to do with the transport. Messages leave the outbox here, as many as make one
    /// good write: poll again when that is done.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Transmit> {
        if let Some(transmit) = self.transmits.pop_front() {
            return Some(transmit);
        }
        self.session.expire(now, &mut self.events);
        if let Link::Live(live) = &mut self.link {
            while self.output.len() < OUTPUT_BYTES_MAX
                && self.session.send_next(now, live, &mut self.output, &mut self.events)
            {
            }
            if !self.output.is_empty() {
                live.keep_alive.sent(now);
            }
        }
        if self.output.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.output);
        self.go_on_reading(now);
        Some(Transmit::Bytes(bytes))
    }

    /// When to call [`Agent::handle_timeout`], in microseconds; `None`: not without other news.
    pub fn poll_timeout(&self) -> Option<u64> {
        let link = match &self.link {
            Link::Stopped => None,
            Link::Waiting { until } => Some(*until),
            Link::Opening { deadline } | Link::Greeting { deadline, .. } => Some(*deadline),
            Link::Live(live) => live.keep_alive.next(self.wants_bytes()).map(|(at, _)| at),
        };
        link.into_iter().chain(self.session.outbox.next_expiry()).min()
    }

    /// Whether a packet may cause output and events.
    fn has_room(&self) -> bool {
        self.output.len() < OUTPUT_BYTES_MAX && self.events.len() < self.options.unread_events_max
    }

    /// Whether the transport is open.
    fn has_link(&self) -> bool {
        matches!(self.link, Link::Greeting { .. } | Link::Live(_))
    }

    fn send_answers(&mut self) {
        if let Link::Live(live) = &mut self.link {
            self.session.send_answers(live, &mut self.output);
        }
    }

    /// Closes the transport from our side.
    fn abort(&mut self, now: u64, cause: Cause) {
        match (&cause, &self.link) {
            (Cause::Protocol(_) | Cause::AnswerMismatch, Link::Live(_))
                if self.options.version == Version::V5 =>
            {
                let code = match &cause {
                    Cause::Protocol(error) => error.reason_code(),
                    _ => ReasonCode::ProtocolError,
                };
                let properties = PropertyBuf::new();
                let properties = properties.as_properties();
                let goodbye = Packet::Disconnect(packet::Disconnect { code, properties });
                // A code that DISCONNECT does not have is left unsaid; the close says enough.
                let _unsaid = goodbye.encode(Version::V5, &mut self.output);
                self.flush_and_close();
            }
            (Cause::KeepAliveTimeout | Cause::ConnectTimeout, _) => {
                self.transmits.push_back(Transmit::Close);
            }
            _ => self.flush_and_close(),
        }
        self.end(now, cause);
    }

    fn flush_and_close(&mut self) {
        if !self.output.is_empty() {
            self.transmits.push_back(Transmit::Bytes(std::mem::take(&mut self.output)));
        }
        self.transmits.push_back(Transmit::Close);
    }

    /// The transport is gone. Decides about the next one.
    fn end(&mut self, now: u64, cause: Cause) {
        self.output.clear();
        self.input = Input::default();
        if let Link::Live(live) = &self.link {
            let held = now.saturating_sub(live.since);
            self.backoff.held(&self.options.reconnect, held);
        }
        let retry_at = self.retry_at(now, &cause);
        self.link = retry_at.map_or(Link::Stopped, |until| Link::Waiting { until });
        if self.options.offline == Offline::DropQos0 {
            self.session.drop_qos0(&mut self.events);
        }
        self.events.push_back(Event::Disconnected { cause, retry_at });
    }

    fn retry_at(&mut self, now: u64, cause: &Cause) -> Option<u64> {
        if *cause == Cause::Requested {
            return None;
        }
        let policy = &self.options.reconnect;
        // Before anything worked, what is wrong may well be the address or the password; after
        // that it is more likely the server's trouble, and that passes.
        if !self.session.established && (!policy.retry_first || is_permanent(cause)) {
            return None;
        }
        self.backoff.next(policy).map(|wait| now.saturating_add(wait))
    }
}

/// Whether trying the same again is of no use.
fn is_permanent(cause: &Cause) -> bool {
    match cause {
        Cause::Protocol(_) | Cause::UnexpectedSession => true,
        Cause::Refused { code, .. } => matches!(
            code,
            ReasonCode::MalformedPacket
                | ReasonCode::ProtocolError
                | ReasonCode::UnsupportedProtocolVersion
                | ReasonCode::ClientIdentifierNotValid
                | ReasonCode::BadUserNameOrPassword
                | ReasonCode::NotAuthorized
                | ReasonCode::Banned
                | ReasonCode::BadAuthenticationMethod
                | ReasonCode::TopicNameInvalid
                | ReasonCode::PacketTooLarge
                | ReasonCode::PayloadFormatInvalid
                | ReasonCode::RetainNotSupported
                | ReasonCode::QosNotSupported
        ),
        _ => false,
    }
}

/// Bytes that may wait for the transport before no more are made.
const OUTPUT_BYTES_MAX: usize = 64 * 1_024;

const PINGREQ: [u8; 2] = [0xC0, 0];
