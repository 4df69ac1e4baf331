//! What is said before a client is connected: CONNECT, and AUTH where a method asks for it.
//!
//! Bytes in, answers out; no socket and no clock. Everything that can be refused without looking
//! at a session is refused here; what is admitted goes to the shard of its client identifier,
//! which sends the CONNACK.
//!
//! ```text
//!             CONNECT with a method that asks back          AUTH that satisfies it
//!   reading ─────────────────────────────────▶ authenticating ────────▶ admitted
//!      │ CONNECT                                    ↺ AUTH
//!      └───────────────────────────────────────────────────────────────▶ admitted
//! ```
//! From both, anything wrong leads to *closed*, with the CONNACK that the client can read, if any.
//!
//! # Limits
//! `packet_bytes_max` bytes of one packet; memory grows only with what has arrived.

use ternmq_engine::auth::{Exchange, Mechanisms, Step};
use ternmq_engine::{PartitionId, partition_of};
use ternmq_proto::packet::{Auth, Connack, Connect};
use ternmq_proto::{Error, Packet, Properties, ReasonCode, Unsupported, Version, frame};
use ternmq_proto::{Property, PropertyBuf};

use super::client_id::ClientIds;

/// One client's way in.
#[derive(Default)]
pub struct Greeting {
    /// What has arrived and is not a finished AUTH: while authenticating, CONNECT is at the front.
    received: Vec<u8>,
    /// Present while authenticating.
    ongoing: Option<Box<Ongoing>>,
}

struct Ongoing {
    exchange: Box<dyn Exchange>,
    connect_bytes: usize,
}

/// What clients are measured by.
pub struct Rules<'a> {
    /// Largest CONNECT or AUTH.
    pub packet_bytes_max: u32,
    /// Whether clients without credentials are taken.
    pub anonymous: bool,
    /// Methods of enhanced authentication.
    pub mechanisms: &'a dyn Mechanisms,
    /// Why nobody is taken at the moment, whoever it is.
    pub closed: Option<ReasonCode>,
}

/// No method of enhanced authentication at all: whoever names one gets 0x8C.
pub struct NoMechanisms;

impl Mechanisms for NoMechanisms {
    fn start(&self, _method: &str) -> Option<Box<dyn Exchange>> {
        None
    }
}

/// What a client is told, and what becomes of it.
pub struct Reply {
    /// To be sent; may be empty.
    pub answer: Vec<u8>,
    /// What becomes of the connection once that is sent.
    pub outcome: Outcome,
}

/// What becomes of a connection.
pub enum Outcome {
    /// It goes to its shard.
    Admit(Admission),
    /// It is closed.
    Close(ReasonCode),
    /// More bytes are needed.
    Wait,
}

/// A client that may meet its session.
pub struct Admission {
    /// CONNECT, and whatever came after it.
    pub bytes: Vec<u8>,
    /// How much of it is CONNECT.
    pub connect_bytes: usize,
    /// The client identifier that the client was given because it brought none.
    pub assigned_client_id: Option<String>,
    /// Who the client's session belongs to.
    pub partition: PartitionId,
    /// How the client was authenticated, when CONNECT named a method.
    pub authenticated: Option<Authenticated>,
}

/// A finished exchange.
pub struct Authenticated {
    /// For re-authentication.
    pub exchange: Box<dyn Exchange>,
    /// What the CONNACK has to carry.
    pub data: Vec<u8>,
}

impl Greeting {
    /// Takes bytes that arrived.
    pub fn handle_bytes(&mut self, rules: &Rules<'_>, ids: &mut ClientIds, bytes: &[u8]) -> Reply {
        self.received.extend_from_slice(bytes);
        let mut answer = Vec::new();
        let outcome = match self.advance(rules, ids, &mut answer) {
            Ok(outcome) => outcome,
            Err(refusal) => {
                refusal.encode_into(&mut answer);
                Outcome::Close(refusal.code)
            }
        };
        Reply { answer, outcome }
    }

    fn advance(
        &mut self,
        rules: &Rules<'_>,
        ids: &mut ClientIds,
        answer: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        if self.ongoing.is_none() {
            match self.read_connect(rules)? {
                Stage::Incomplete => return Ok(Outcome::Wait),
                Stage::Accepted { connect_bytes } => {
                    return Ok(self.admit(ids, connect_bytes, None));
                }
                Stage::Method { exchange, connect_bytes, data } => {
                    self.ongoing = Some(Box::new(Ongoing { exchange, connect_bytes }));
                    if let Some(outcome) = self.step(ids, &data, answer)? {
                        return Ok(outcome);
                    }
                }
            }
        }
        while let Some(data) = self.read_auth(rules)? {
            if let Some(outcome) = self.step(ids, &data, answer)? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Wait)
    }

    /// Reads CONNECT from the front and decides everything about it but the authentication.
    fn read_connect(&self, rules: &Rules<'_>) -> Result<Stage, Refusal> {
        let refuse = |error: Error| Refusal::of_connect(&self.received, error);
        // A stranger that does not begin like MQTT is not waited for.
        if self.received.first().is_some_and(|it| *it != CONNECT_FIRST_BYTE) {
            return Err(Refusal::silent(ReasonCode::ProtocolError));
        }
        let split = frame::split(&self.received, rules.packet_bytes_max).map_err(refuse)?;
        let Some((connect_bytes, frame)) = split else { return Ok(Stage::Incomplete) };
        let connect = Connect::decode(frame).map_err(refuse)?;
        check(&connect, rules)?;
        match connect.properties.authentication_method() {
            None => Ok(Stage::Accepted { connect_bytes }),
            Some(method) => match rules.mechanisms.start(method) {
                Some(exchange) => {
                    let data = connect.properties.authentication_data().unwrap_or_default();
                    Ok(Stage::Method { exchange, connect_bytes, data: data.to_vec() })
                }
                None => Err(Refusal::spoken(connect.version, ReasonCode::BadAuthenticationMethod)),
            },
        }
    }

    /// Takes the next AUTH out of what follows CONNECT and returns its data.
    fn read_auth(&mut self, rules: &Rules<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(ongoing) = &self.ongoing else { return Ok(None) };
        let refuse = |error: Error| Refusal::spoken(Version::V5, error.reason_code());
        let after_connect = &self.received[ongoing.connect_bytes..];
        let split = frame::split(after_connect, rules.packet_bytes_max).map_err(refuse)?;
        let Some((auth_bytes, frame)) = split else { return Ok(None) };
        let auth = match Packet::decode(Version::V5, frame).map_err(refuse)? {
            Packet::Auth(auth) => auth,
            // MQTT-3.1.2-30: only AUTH and DISCONNECT before CONNACK.
            Packet::Disconnect(_) => return Err(Refusal::silent(ReasonCode::Success)),
            _ => return Err(Refusal::spoken(Version::V5, ReasonCode::ProtocolError)),
        };
        let same_method =
            auth.properties.authentication_method() == Some(ongoing.exchange.method());
        if auth.code != ReasonCode::ContinueAuthentication || !same_method {
            return Err(Refusal::spoken(Version::V5, ReasonCode::ProtocolError));
        }
        let data = auth.properties.authentication_data().unwrap_or_default().to_vec();
        self.received.drain(ongoing.connect_bytes..ongoing.connect_bytes + auth_bytes);
        Ok(Some(data))
    }

    /// Lets the mechanism judge `data`. `Some`: the exchange is over.
    fn step(
        &mut self,
        ids: &mut ClientIds,
        data: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<Option<Outcome>, Refusal> {
        let Some(mut ongoing) = self.ongoing.take() else { return Ok(None) };
        match ongoing.exchange.step(data) {
            Step::Continue(challenge) => {
                let asked = ask(ongoing.exchange.method(), &challenge, answer);
                self.ongoing = Some(ongoing);
                asked.map(|()| None)
            }
            Step::Done(data) => {
                let Ongoing { exchange, connect_bytes } = *ongoing;
                let authenticated = Authenticated { exchange, data };
                Ok(Some(self.admit(ids, connect_bytes, Some(authenticated))))
            }
            Step::Refuse(code) => Err(Refusal::spoken(Version::V5, code)),
        }
    }

    fn admit(
        &mut self,
        ids: &mut ClientIds,
        connect_bytes: usize,
        authenticated: Option<Authenticated>,
    ) -> Outcome {
        let bytes = std::mem::take(&mut self.received);
        let client_id = match frame::split(&bytes, u32::MAX) {
            Ok(Some((_, frame))) => Connect::decode(frame).map_or("", |it| it.client_id),
            _ => "",
        };
        let assigned_client_id = client_id.is_empty().then(|| ids.next());
        let partition = partition_of(assigned_client_id.as_deref().unwrap_or(client_id));
        Outcome::Admit(Admission {
            bytes,
            connect_bytes,
            assigned_client_id,
            partition,
            authenticated,
        })
    }
}

/// What a CONNECT came to.
enum Stage {
    Incomplete,
    Accepted { connect_bytes: usize },
    Method { exchange: Box<dyn Exchange>, connect_bytes: usize, data: Vec<u8> },
}

/// The rules that need no session, in the order in which a client learns of them.
fn check(connect: &Connect<'_>, rules: &Rules<'_>) -> Result<(), Refusal> {
    let version = connect.version;
    let needs_id = version == Version::V31 || (version == Version::V311 && !connect.clean_start);
    if connect.client_id.is_empty() && needs_id {
        // MQTT-3.1.3-8 of 3.1.1; MQTT 3.1 section 3.1 asks for 1 to 23 characters.
        return Err(Refusal::spoken(version, ReasonCode::ClientIdentifierNotValid));
    }
    if let Some(code) = rules.closed {
        return Err(Refusal::spoken(version, code));
    }
    let by_method = connect.properties.authentication_method().is_some();
    if !rules.anonymous && !by_method {
        // No listener checks passwords yet, so none is right.
        return Err(Refusal::spoken(
            version,
            match connect.user_name {
                Some(_) => ReasonCode::BadUserNameOrPassword,
                None => ReasonCode::NotAuthorized,
            },
        ));
    }
    Ok(())
}

/// Appends an AUTH that asks the client to go on.
fn ask(method: &str, challenge: &[u8], answer: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut properties = PropertyBuf::new();
    properties.push(Property::AuthenticationMethod(method));
    properties.push(Property::AuthenticationData(challenge));
    let auth =
        Auth { code: ReasonCode::ContinueAuthentication, properties: properties.as_properties() };
    Packet::Auth(auth)
        .encode(Version::V5, answer)
        .map_err(|_| Refusal::spoken(Version::V5, ReasonCode::ImplementationSpecific))
}

/// How a client is turned away.
struct Refusal {
    code: ReasonCode,
    /// The version to say it in; `None`: nothing is said.
    version: Option<Version>,
}

impl Refusal {
    fn silent(code: ReasonCode) -> Refusal {
        Refusal { code, version: None }
    }

    fn spoken(version: Version, code: ReasonCode) -> Refusal {
        Refusal { code, version: Some(version) }
    }

    /// For a CONNECT that could not be read. Only MQTT 5 has words for what is malformed.
    fn of_connect(received: &[u8], error: Error) -> Refusal {
        let version = match error {
            // Older and newer than anything here: in the words of the nearest that is.
            Error::PeerIncompatible(Unsupported::ProtocolLevel(level))
                if level & !BRIDGE < Version::V5.level() || !is_mqtt(received) =>
            {
                Some(Version::V311)
            }
            Error::PeerIncompatible(Unsupported::ProtocolLevel(_)) => Some(Version::V5),
            _ if is_mqtt(received) && level(received) == Some(Version::V5.level()) => {
                Some(Version::V5)
            }
            _ => None,
        };
        Refusal { code: error.reason_code(), version }
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        let Some(version) = self.version else { return };
        let (session_present, properties) = (false, Properties::EMPTY);
        let connack = Connack { session_present, code: self.code, properties };
        // A mechanism may refuse with a code that CONNACK does not have: then nothing is said.
        let _ = Packet::Connack(connack).encode(version, out);
    }
}

/// What follows a CONNECT's length.
fn body(received: &[u8]) -> &[u8] {
    let length_bytes = received.iter().skip(1).take(4).take_while(|it| **it >= 0x80).count() + 1;
    received.get(1 + length_bytes..).unwrap_or_default()
}

/// Whether the protocol is called `MQTT`, as it is since 3.1.1.
fn is_mqtt(received: &[u8]) -> bool {
    body(received).starts_with(b"\x00\x04MQTT")
}

/// The byte after that name.
fn level(received: &[u8]) -> Option<u8> {
    body(received).get(6).copied()
}

/// With which a mosquitto says that it is a bridge.
const BRIDGE: u8 = 0x80;
const CONNECT_FIRST_BYTE: u8 = 0x10;

#[cfg(test)]
mod tests;
