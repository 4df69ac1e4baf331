//! The beginning and the end of connections and sessions: CONNECT, takeover, DISCONNECT, loss,
//! expiry, wills.

use std::rc::Rc;

use ternmq_proto::connection::{Side, Terms};
use ternmq_proto::frame::{PACKET_BYTES_MAX, PacketKind};
use ternmq_proto::inbound::Inbound;
use ternmq_proto::inflight::Inflight;
use ternmq_proto::packet::{Auth, Connack, Connect, Disconnect};
use ternmq_proto::planted::{self, Bug};
use ternmq_proto::{Packet, Properties, Property, PropertyBuf, ReasonCode, Version, Violation};

use crate::auth::{Exchange, Step};
use crate::connection::{Connection, Phase, Wait};
use crate::gate::Gate;
use crate::message::{Publication, Publisher, forwardable};
use crate::output::Output;
use crate::placement::client_number;
use crate::session::{Queue, SESSION_BYTES, Session, Will};
use crate::shard::{Fault, Flow, Held, Shard};
use crate::slab::Key;
use crate::stats::DropReason;
use crate::tally::Tally;
use crate::time::SECOND;
use crate::timer::Timer;

/// What the host knows about a client beside its CONNECT.
#[derive(Default)]
pub struct Attributes {
    /// The client sent no identifier; the host made up the one that it passes on.
    pub assigned_client_id: Option<String>,
    /// The finished exchange of an enhanced authentication, for a later re-authentication.
    pub authentication: Option<Box<dyn Exchange>>,
    /// What the exchange wants to say to the client in CONNACK.
    pub authentication_data: Vec<u8>,
}

impl Shard {
    /// A client whose CONNECT was read and accepted. CONNACK is in the output afterwards, or follows
    /// when the session's change is durable.
    pub fn handle_connect(&mut self, connect: &Connect<'_>, attributes: Attributes) -> Key {
        let client_id = attributes.assigned_client_id.as_deref().unwrap_or(connect.client_id);
        let expiry_seconds = self.session_expiry(connect);
        let refusal = self.refusal(connect, client_id, expiry_seconds);
        let silence_max = self.silence_max(connect.keep_alive);
        let key = self.connections.insert(Connection {
            link: ternmq_proto::connection::Connection::new(Side::Server, self.terms(connect)),
            session: Key { index: u32::MAX, generation: 0 },
            output: Output::default(),
            gate: Gate::default(),
            silence_max,
            heard: self.now.mono,
            phase: Phase::Accepting,
            wait: Wait::No,
            dirty: false,
            held_publishes: 0,
            problem_information: connect.properties.request_problem_information().unwrap_or(true),
            exchange: attributes.authentication,
        });
        self.stats.connects += 1;
        self.stats.connections += 1;
        if let Some(code) = refusal {
            self.refuse(key, code);
            return key;
        }
        let present = self.take_session(key, connect, client_id, expiry_seconds);
        let assigned = attributes.assigned_client_id.is_some();
        let data = &attributes.authentication_data;
        if !self.write_connack(key, connect, present, assigned, data) {
            self.refuse(key, ReasonCode::PacketTooLarge);
            self.lose(key, None);
            return key;
        }
        if silence_max > 0 {
            self.timers.set(self.now.mono + silence_max, Timer::KeepAlive(key));
        }
        if expiry_seconds > 0 {
            self.stage();
            self.hold(Held::Accept(key));
        } else {
            self.accept(key);
        }
        key
    }

    /// The session's change is durable: CONNACK may leave, and what waits for the client after it.
    pub fn accept(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.phase != Phase::Accepting {
            return;
        }
        connection.phase = Phase::Open;
        let session = connection.session;
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push_back(key);
        }
        self.resuming.push_back(key);
        self.pump_later(session);
    }

    /// DISCONNECT from the client.
    pub fn on_disconnect(&mut self, key: Key, disconnect: &Disconnect<'_>) -> Result<Flow, Fault> {
        let Some(session) = self.session_of(key) else { return Ok(Flow::Done) };
        if let Some(seconds) = disconnect.properties.session_expiry_interval() {
            self.change_expiry(session, seconds)?;
        }
        // MQTT-3.14.4-3: only a normal disconnection takes the will away.
        if disconnect.code == ReasonCode::Success
            && !planted::is(Bug::WillAfterDisconnect)
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.will = None;
        }
        self.lose(key, None);
        Ok(Flow::Done)
    }

    /// AUTH from the client after CONNACK: a re-authentication (section 4.12.1).
    pub fn on_auth(&mut self, key: Key, auth: &Auth<'_>) -> Result<Flow, Fault> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(Flow::Done) };
        let method = auth.properties.authentication_method().unwrap_or_default();
        let Some(exchange) = connection.exchange.as_mut().filter(|it| it.method() == method) else {
            // MQTT-4.12.0-7 and MQTT-4.12.1-1.
            let unexpected = Violation::UnexpectedPacket(PacketKind::Auth);
            return Err(ternmq_proto::Error::PeerMisbehaved(unexpected).into());
        };
        let step = exchange.step(auth.properties.authentication_data().unwrap_or_default());
        let (code, data) = match step {
            Step::Continue(data) => (ReasonCode::ContinueAuthentication, data),
            Step::Done(data) => (ReasonCode::Success, data),
            Step::Refuse(code) => return Err(Fault::new(code, "re-authentication failed")),
        };
        let mut properties = PropertyBuf::new();
        properties.push(Property::AuthenticationMethod(method));
        if !data.is_empty() {
            properties.push(Property::AuthenticationData(&data));
        }
        let auth = Auth { code, properties: properties.as_properties() };
        self.write_packet(key, &Packet::Auth(auth), None);
        Ok(Flow::Done)
    }

    /// A connection is over, by whatever cause: its session goes on without it, and it is closed.
    pub fn lose(&mut self, key: Key, fault: Option<&Fault>) {
        if let Some(session) = self.session_of(key)
            && self.sessions.get(session).is_some_and(|it| it.connection == Some(key))
        {
            self.detach(session);
        }
        self.close(key, fault);
    }

    pub fn session_of(&self, key: Key) -> Option<Key> {
        self.connections.get(key).map(|connection| connection.session)
    }

    /// The host has closed the socket.
    pub fn release(&mut self, key: Key) {
        if let Some(session) = self.session_of(key)
            && self.sessions.get(session).is_some_and(|it| it.connection == Some(key))
        {
            self.detach(session);
        }
        if let Some(mut connection) = self.connections.remove(key) {
            self.stats.output_bytes -= connection.output.len() as u64;
            connection.output.clear(&mut self.pool);
            self.stats.connections -= 1;
        }
    }

    // -- sessions --

    /// Gives the connection its session: an existing one, or a new one. `true`: it existed.
    fn take_session(
        &mut self,
        key: Key,
        connect: &Connect<'_>,
        client_id: &str,
        expiry_seconds: u32,
    ) -> bool {
        let mut known = self.client_ids.get(client_id).copied();
        if let Some(session) = known {
            self.take_over(session, connect.clean_start);
            let is_due = |it: &Session| it.will_due != 0 && it.will_due <= self.now.wall;
            if self.sessions.get(session).is_some_and(is_due) {
                // Its time had come before this connection did.
                self.fire_will(session);
            }
            let over = self
                .sessions
                .get(session)
                .is_some_and(|it| it.expires != 0 && it.expires <= self.now.wall);
            let clean = connect.clean_start && !planted::is(Bug::KeepSessionOnCleanStart);
            if (clean || over) && self.sessions.get(session).is_some() {
                self.end_session(session);
            }
            // Ended: by clean start, or because it lasted only as long as its connection.
            known = self.sessions.get(session).is_some().then_some(session);
        }
        let present = known.is_some();
        let session = known.unwrap_or_else(|| self.new_session(client_id, connect.version));
        self.set_expiry(session, expiry_seconds);
        let receive_maximum = self.receive_maximum(connect);
        let will = connect.will.as_ref().map(|will| Box::new(will_of(will, &self.state)));
        if let Some(session) = self.sessions.get_mut(session) {
            session.version = connect.version;
            session.expires = 0;
            session.connection = Some(key);
            session.will = will;
            session.will_due = 0;
            session.inflight.start(receive_maximum);
            if planted::is(Bug::ForgetInboundOnTakeover) {
                session.inbound.clear();
            }
            if planted::is(Bug::ReverseQueueOnResume) {
                session.queue.reverse();
            }
        }
        if let Some(connection) = self.connections.get_mut(key) {
            connection.session = session;
        }
        self.announce_presence(session, true);
        present
    }

    /// MQTT-3.1.4-3: a second connection of a client ends the first.
    fn take_over(&mut self, session: Key, clean_start: bool) {
        let Some(old) = self.sessions.get(session).and_then(|it| it.connection) else { return };
        self.stats.takeovers += 1;
        let fault = Fault::new(ReasonCode::SessionTakenOver, "the session was taken over");
        if !clean_start
            && let Some(session) = self.sessions.get_mut(session)
            && session.expiry_seconds > 0
            && session.will.as_ref().is_some_and(|will| will.delay_seconds > 0)
        {
            // MQTT-3.1.3-9: the session goes on before the delay is over.
            session.will = None;
        }
        let silent = planted::is(Bug::NoTakeoverNotice);
        self.lose(old, (!silent).then_some(&fault));
    }

    fn new_session(&mut self, client_id: &str, version: Version) -> Key {
        let client_id: Rc<str> = Rc::from(client_id);
        let key = self.sessions.insert(Session {
            publisher: Publisher(client_number(&client_id)),
            client_id: Rc::clone(&client_id),
            version,
            expiry_seconds: 0,
            expires: 0,
            connection: None,
            subscriptions: Vec::new(),
            memberships: Vec::new(),
            inflight: Inflight::new(),
            inbound: Inbound::new(),
            queue: Queue::default(),
            will: None,
            will_due: 0,
            congested_since: 0,
            slow: false,
            pumping: false,
            _charge: self.state.charge(SESSION_BYTES + client_id.len() as u64),
        });
        self.client_ids.insert(client_id, key);
        self.stats.sessions += 1;
        key
    }

    /// The connection of a session is gone.
    fn detach(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.connection = None;
        session.congested_since = 0;
        self.stats.slow_consumers -= u64::from(std::mem::take(&mut session.slow));
        let expiry_seconds = session.expiry_seconds;
        if expiry_seconds == 0 {
            return self.end_session(key);
        }
        if expiry_seconds != u32::MAX {
            session.expires = self.now.wall_in(expiry_seconds);
            self.timers.set(self.now.mono_at(session.expires), Timer::Expiry(key));
        }
        let delay = session.will.as_ref().map(|will| will.delay_seconds.min(expiry_seconds));
        match delay {
            Some(0) => self.fire_will(key),
            Some(delay) => {
                session.will_due = self.now.wall_in(delay);
                self.timers.set(self.now.mono_at(session.will_due), Timer::Will(key));
            }
            None => {}
        }
        self.return_unsent(key);
        self.announce_presence(key, false);
        self.stage();
    }

    /// A session is over: its subscriptions, its queue and what it had in flight go with it.
    pub fn end_session(&mut self, key: Key) {
        self.fire_will(key);
        self.leave_groups(key);
        let Some(session) = self.sessions.remove(key) else { return };
        for node in &session.subscriptions {
            self.interest.unsubscribe(*node, key.index);
        }
        self.stats.subscriptions -=
            (session.subscriptions.len() + session.memberships.len()) as u64;
        self.stats.queued -= session.queue.len() as u64;
        self.stats.drop(DropReason::SessionEnded, session.queue.len() as u64);
        self.stats.sessions -= 1;
        self.client_ids.remove(&session.client_id);
        self.openings.end_session(key);
        if session.is_durable() {
            self.stage();
        }
    }

    fn change_expiry(&mut self, key: Key, seconds: u32) -> Result<(), Fault> {
        let Some(session) = self.sessions.get(key) else { return Ok(()) };
        if session.expiry_seconds == 0 && seconds > 0 {
            return Err(Fault::new(
                ReasonCode::ProtocolError,
                "a session without expiry cannot get one in DISCONNECT",
            ));
        }
        self.set_expiry(key, seconds.min(self.settings.session_expiry_max_seconds));
        Ok(())
    }

    /// Whether what is queued for a session outlives its connection decides who waits for a commit.
    fn set_expiry(&mut self, key: Key, seconds: u32) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let before = session.is_durable();
        session.expiry_seconds = seconds;
        let durable = session.is_durable();
        if durable == before {
            return;
        }
        for node in session.subscriptions.clone() {
            self.interest.update(node, key.index, |entry| entry.durable = durable);
        }
    }

    /// Publishes the will of a session, if it still has one (MQTT-3.1.2-8, MQTT-3.1.2-10).
    pub fn fire_will(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.will_due = 0;
        let Some(will) = session.will.take() else { return };
        if planted::is(Bug::ForgetWill) {
            return;
        }
        let (publisher, client_id) = (session.publisher, Rc::clone(&session.client_id));
        let publication = Publication {
            topic: &will.topic,
            payload: &will.payload,
            properties: will.properties.as_properties(),
            qos: will.qos,
            retain: will.retain,
            expires: self.expires(will.expiry_seconds),
            publisher,
            stamp: self.stamp(),
            origin: None,
        };
        self.publish_from_outbox(&publication, &client_id);
    }

    /// The wall clock at which a message expires, from what its publisher asked for.
    pub fn expires(&self, asked: Option<u32>) -> u64 {
        let default = self.settings.message_expiry_default_seconds;
        let seconds = asked.or((default > 0).then_some(default));
        let seconds = match self.settings.message_expiry_max_seconds {
            0 => seconds,
            max => Some(seconds.map_or(max, |seconds| seconds.min(max))),
        };
        seconds.map_or(0, |seconds| self.now.wall_in(seconds).max(1))
    }

    // -- terms --

    fn session_expiry(&self, connect: &Connect<'_>) -> u32 {
        let asked = match connect.version {
            Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => self.settings.session_expiry_v3_seconds,
        };
        asked.min(self.settings.session_expiry_max_seconds)
    }

    fn receive_maximum(&self, connect: &Connect<'_>) -> u16 {
        let asked = connect.properties.receive_maximum().unwrap_or(u16::MAX);
        asked.min(self.settings.inflight_max)
    }

    fn silence_max(&self, keep_alive: u16) -> u64 {
        u64::from(self.granted_keep_alive(keep_alive)) * SECOND * 3 / 2
    }

    fn granted_keep_alive(&self, asked: u16) -> u16 {
        match self.settings.keep_alive_max_seconds {
            0 => asked,
            max if asked == 0 => max,
            max => asked.min(max),
        }
    }

    fn terms(&self, connect: &Connect<'_>) -> Terms {
        let v5 = connect.version == Version::V5;
        let properties = connect.properties;
        let aliases = properties.topic_alias_maximum().unwrap_or(0);
        Terms {
            version: connect.version,
            receive_bytes_max: self.settings.packet_bytes_max,
            send_bytes_max: properties.maximum_packet_size().unwrap_or(PACKET_BYTES_MAX),
            receive_maximum: if v5 { self.settings.receive_maximum } else { u16::MAX },
            receive_alias_maximum: if v5 { self.settings.topic_alias_maximum } else { 0 },
            send_alias_maximum: aliases.min(self.settings.topic_alias_out_max),
        }
    }

    fn refusal(
        &self,
        connect: &Connect<'_>,
        client_id: &str,
        expiry_seconds: u32,
    ) -> Option<ReasonCode> {
        if client_id.is_empty() || (connect.version == Version::V31 && client_id.len() > 1_024) {
            return Some(ReasonCode::ClientIdentifierNotValid);
        }
        let stays = expiry_seconds > 0 || connect.will.is_some();
        if stays && self.is_full_of_state() && !self.client_ids.contains_key(client_id) {
            return Some(ReasonCode::QuotaExceeded);
        }
        let will = connect.will.as_ref()?;
        let levels = will.topic.split('/').count();
        if levels > usize::from(self.settings.topic_levels_max) || will.topic.starts_with("$SYS/") {
            return Some(ReasonCode::TopicNameInvalid);
        }
        None
    }

    fn refuse(&mut self, key: Key, code: ReasonCode) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.phase = Phase::Open;
        }
        let connack = Connack { session_present: false, code, properties: Properties::EMPTY };
        self.write_packet(key, &Packet::Connack(connack), None);
        self.close(key, None);
    }

    /// Writes CONNACK into the output without marking it as something to be sent.
    fn write_connack(
        &mut self,
        key: Key,
        connect: &Connect<'_>,
        present: bool,
        assigned: bool,
        authentication_data: &[u8],
    ) -> bool {
        let mut terms = PropertyBuf::new();
        let mut properties = PropertyBuf::new();
        if connect.version == Version::V5 {
            self.push_terms(&mut terms, connect, key, assigned);
            if let Some(connection) = self.connections.get(key)
                && let Some(exchange) = &connection.exchange
            {
                terms.push(Property::AuthenticationMethod(exchange.method()));
                if !authentication_data.is_empty() {
                    terms.push(Property::AuthenticationData(authentication_data));
                }
            }
            properties.extend(terms.as_properties());
            let asked = connect.properties.request_response_information().unwrap_or(false);
            if asked && !self.settings.response_prefix.is_empty() {
                let id = self.session_of(key).and_then(|session| self.sessions.get(session));
                let id = id.map_or("", |session| &*session.client_id);
                let response = format!("{}/{id}", self.settings.response_prefix);
                properties.push(Property::ResponseInformation(&response));
            }
        }
        let connack = Connack {
            // 3.1 has no such flag.
            session_present: (present || planted::is(Bug::SessionPresentAlways))
                && connect.version != Version::V31,
            code: ReasonCode::Success,
            properties: properties.as_properties(),
        };
        // The terms cannot be left out: the client would take what the standard assumes instead.
        let without = Connack { properties: terms.as_properties(), ..connack };
        self.write_packet(key, &Packet::Connack(connack), Some(&Packet::Connack(without)));
        // What is written waits in the output until `accept`.
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let fits = std::mem::take(&mut connection.dirty);
        if fits {
            let last = self.dirty.pop_back();
            debug_assert_eq!(last, Some(key));
        }
        fits
    }

    fn push_terms(
        &self,
        properties: &mut PropertyBuf,
        connect: &Connect<'_>,
        key: Key,
        assigned: bool,
    ) {
        let asked = connect.properties.session_expiry_interval().unwrap_or(0);
        let granted = self.session_expiry(connect);
        if granted != asked {
            properties.push(Property::SessionExpiryInterval(granted));
        }
        let keep_alive = self.granted_keep_alive(connect.keep_alive);
        if keep_alive != connect.keep_alive {
            properties.push(Property::ServerKeepAlive(keep_alive));
        }
        properties.push(Property::ReceiveMaximum(self.settings.receive_maximum));
        properties.push(Property::MaximumPacketSize(self.settings.packet_bytes_max));
        properties.push(Property::TopicAliasMaximum(self.settings.topic_alias_maximum));
        let session = self.session_of(key).and_then(|session| self.sessions.get(session));
        if let Some(session) = session.filter(|_| assigned) {
            properties.push(Property::AssignedClientIdentifier(&session.client_id));
        }
    }
}

fn will_of(will: &ternmq_proto::packet::Will<'_>, state: &Tally) -> Will {
    let mut scratch = PropertyBuf::new();
    let mut properties = PropertyBuf::new();
    for property in forwardable(will.properties, &mut scratch).iter() {
        properties.push(property);
    }
    let bytes = will.topic.len() + will.payload.len() + properties.as_properties().as_bytes().len();
    Will {
        _charge: state.charge((bytes + size_of::<Will>()) as u64),
        topic: will.topic.into(),
        payload: will.payload.into(),
        properties,
        qos: will.qos,
        retain: will.retain,
        delay_seconds: will.properties.will_delay_interval().unwrap_or(0),
        expiry_seconds: will.properties.message_expiry_interval(),
    }
}
