//! The handle of a client.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ternmq_agent::{Agent, CommandError, Lost, Publish};
use ternmq_proto::{Property, PropertyBuf, ReasonCode};
use tokio::task::coop;
use tokio::time::timeout;

use crate::driver;
use crate::hub::Hub;
use crate::options::{Options, OptionsError, Overflow};
use crate::receipt::Receipt;
use crate::state::{ConnectError, ConnectInfo, State, StateWatch, Stats};
use crate::subscription::{Subscribe, Subscription};
use crate::transport::Connector;

/// An MQTT client. Clones are handles of the same client; it is closed when the last one is dropped.
///
/// Everything but [`Client::new`] and the methods that are not `async` needs a tokio runtime with
/// I/O and time enabled. Programs without one use [`blocking::Client`](crate::blocking::Client).
///
/// ```no_run
/// use ternmq_client::{Client, Options, Publish, Qos};
///
/// # async fn program() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(Options::new("localhost", 1883))?;
/// client.connect().await?;
/// let receipt = client.publish(Publish::new("t", "x").qos(Qos::AtLeastOnce)).await?;
/// receipt.await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What all clones share; the connection goes when it goes.
struct Handle {
    shared: Arc<Hub>,
    connector: Arc<dyn Connector>,
    overflow: Overflow,
}

impl Client {
    /// A client that stands still until [`Client::connect`]. Subscriptions and messages are
    /// accepted already; their time begins to run with the connecting.
    ///
    /// # Errors
    /// Options that do not fit together.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        // Clients of one program, and programs of one fleet, must not try again in step.
        let seed = RandomState::new().hash_one(&options.agent.client_id);
        let shared = Arc::new(Hub::new(Agent::new(options.agent, seed)?));
        let (connector, overflow) = (options.connector, options.overflow);
        Ok(Client { handle: Arc::new(Handle { shared, connector, overflow }) })
    }

    /// Connects, and from there on stays connected as the options say. Returns when the server has
    /// accepted the first connection; at once, if it is connected already.
    ///
    /// # Errors
    /// The first attempt failed, and the options do not ask for another. Accepted messages and
    /// subscriptions stay; it can be called again.
    ///
    /// # Cancellation
    /// The attempt goes on without anybody waiting for it.
    pub async fn connect(&self) -> Result<ConnectInfo, ConnectError> {
        let shared = &self.handle.shared;
        if shared.connect() {
            tokio::spawn(driver::run(Arc::clone(shared), Arc::clone(&self.handle.connector)));
        }
        let mut states = shared.watch();
        loop {
            match &*states.borrow_and_update() {
                State::Connected(info) => return Ok(info.clone()),
                State::Closed { cause } => return Err(cause.clone().into()),
                State::Idle | State::Connecting | State::Waiting { .. } => {}
            }
            if states.changed().await.is_err() {
                return Err(ConnectError::Closed);
            }
        }
    }

    /// Subscribes: registered at once, asked of the server as soon as there is a connection, and
    /// asked again whenever the server has lost the session. Before [`Client::connect`] is the best
    /// time, so that messages of a session that was kept find their stream.
    ///
    /// # Errors
    /// Nothing was registered: a filter does not parse, the version cannot say this, or the client
    /// was closed. What the server thinks of it is told by [`Subscription::granted`].
    pub fn subscribe(&self, subscribe: impl Into<Subscribe>) -> Result<Subscription, CommandError> {
        let shared = Arc::clone(&self.handle.shared);
        let id = shared.subscribe(subscribe.into())?;
        Ok(Subscription { shared, id })
    }

    /// Ends subscriptions of the session that this program has no [`Subscription`] for, those of an
    /// earlier run perhaps. Returns the server's codes, one for each filter.
    ///
    /// # Errors
    /// Nothing was asked, or nothing was answered.
    ///
    /// # Cancellation
    /// The request goes on without anybody waiting for its answer.
    pub async fn unsubscribe<I>(&self, filters: I) -> Result<Vec<ReasonCode>, RequestError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let filters = filters.into_iter().map(Into::into).collect();
        let answer = self.handle.shared.unsubscribe(filters).map_err(RequestError::NotAsked)?;
        self.handle.shared.answer(answer).await.map_err(RequestError::NotAnswered)
    }

    /// Publishes: returns when the message is accepted, with a receipt for the rest. With
    /// [`Overflow::Block`] it waits while the outbox is full.
    ///
    /// # Errors
    /// Nothing was accepted: the message cannot be sent with this version, there is no room, or the
    /// client takes no more.
    ///
    /// # Cancellation
    /// Safe: if it did not return, the message was not accepted.
    pub async fn publish(&self, mut publish: Publish) -> Result<Receipt, PublishError> {
        // A producer that always finds room must still let the driver run.
        coop::consume_budget().await;
        loop {
            let progress = self.handle.shared.progress();
            tokio::pin!(progress);
            // From here on no room is missed, so the order is: listen, try, wait.
            progress.as_mut().enable();
            match self.try_publish(publish) {
                Err(PublishError::Full(back)) if self.handle.overflow == Overflow::Block => {
                    publish = *back;
                }
                other => return other,
            }
            progress.await;
        }
    }

    /// Publishes without ever waiting.
    ///
    /// # Errors
    /// As for [`Client::publish`]; [`PublishError::Full`] gives the message back when there is no
    /// room.
    pub fn try_publish(&self, publish: Publish) -> Result<Receipt, PublishError> {
        self.handle.shared.publish(publish)
    }

    /// Where the client is with its connection.
    pub fn state(&self) -> State {
        self.handle.shared.watch().borrow().clone()
    }

    /// Sees every change of that.
    pub fn watch(&self) -> StateWatch {
        StateWatch(self.handle.shared.watch())
    }

    /// Figures.
    pub fn stats(&self) -> Stats {
        self.handle.shared.stats()
    }

    /// Takes no new messages any more and waits until the accepted ones are finished: those at QoS
    /// 1 and 2 acknowledged, those at QoS 0 written. The connection stays; end it with
    /// [`Client::close`].
    ///
    /// # Errors
    /// Time is over or the client was closed, and that many messages are left.
    ///
    /// # Cancellation
    /// It still takes no new messages.
    pub async fn drain(&self, time: Duration) -> Result<(), Left> {
        let shared = &self.handle.shared;
        shared.begin_drain();
        // What is left says whether the time was enough.
        let _in_time = timeout(time, shared.wait_for(|| shared.is_drained().then_some(()))).await;
        match shared.left() {
            0 => Ok(()),
            messages => Err(Left { messages }),
        }
    }

    /// Ends the connection with a normal DISCONNECT, and the client with it, and waits until that
    /// is written. Receipts that are open resolve with [`Lost::Closed`]. Returns what was left; to
    /// leave nothing, [`Client::drain`] first.
    ///
    /// # Cancellation
    /// The client closes nevertheless.
    pub async fn close(&self) -> Left {
        // A normal DISCONNECT can be written in every version.
        self.close_with(Disconnect::new()).await.unwrap_or(Left { messages: 0 })
    }

    /// The same with a DISCONNECT of one's own.
    ///
    /// # Errors
    /// The version cannot say this; the client stays as it was.
    ///
    /// # Cancellation
    /// The client closes nevertheless.
    pub async fn close_with(&self, disconnect: Disconnect) -> Result<Left, CommandError> {
        let shared = &self.handle.shared;
        let messages = shared.close(&disconnect)?;
        shared.wait_for(|| (!shared.is_running()).then_some(())).await;
        Ok(Left { messages })
    }
}

impl Drop for Handle {
    /// The driver says goodbye, if it still gets to run.
    fn drop(&mut self) {
        let _never_connected = self.shared.close(&Disconnect::new());
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("server", &self.connector.name()).finish_non_exhaustive()
    }
}

/// What to say at the end of a connection.
///
/// ```
/// use std::time::Duration;
/// use ternmq_client::{Disconnect, ReasonCode};
///
/// let with_will = Disconnect::new().code(ReasonCode::DisconnectWithWill);
/// let prolonged = Disconnect::new().session_expiry(Duration::from_secs(86_400));
/// # let _ = (with_will, prolonged);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disconnect {
    pub(crate) code: ReasonCode,
    pub(crate) properties: PropertyBuf,
}

impl Disconnect {
    /// A normal end.
    pub fn new() -> Self {
        Disconnect { code: ReasonCode::NORMAL_DISCONNECTION, properties: PropertyBuf::new() }
    }

    /// Sets why (MQTT 5.0).
    pub fn code(mut self, code: ReasonCode) -> Self {
        self.code = code;
        self
    }

    /// Changes how long the server keeps the session (MQTT 5.0), in whole seconds; possible only if
    /// the connection began with a session expiry.
    pub fn session_expiry(self, expiry: Duration) -> Self {
        let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        self.property(Property::SessionExpiryInterval(seconds))
    }

    /// Adds a property (MQTT 5.0).
    pub fn property(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }
}

impl Default for Disconnect {
    fn default() -> Self {
        Disconnect::new()
    }
}

/// Messages that were accepted and not finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// How many.
    pub messages: usize,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.messages {
            1 => f.write_str("1 message was left"),
            messages => write!(f, "{messages} messages were left"),
        }
    }
}

impl std::error::Error for Left {}

/// Why a message was not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The client is closed, or is being drained.
    Closed,
    /// The outbox is full. The message is given back.
    Full(Box<Publish>),
    /// It can never be sent by this client.
    Invalid(ternmq_agent::PublishError),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Closed => f.write_str("the client takes no more messages"),
            PublishError::Full(_) => f.write_str("the outbox is full"),
            PublishError::Invalid(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {}

impl From<ternmq_agent::PublishError> for PublishError {
    fn from(error: ternmq_agent::PublishError) -> Self {
        match error {
            ternmq_agent::PublishError::Full(publish) => PublishError::Full(publish),
            other => PublishError::Invalid(other),
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not asked.
    NotAsked(CommandError),
    /// It was asked, and there was or will be no answer.
    NotAnswered(Lost),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::NotAsked(error) => error.fmt(f),
            RequestError::NotAnswered(lost) => lost.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}
