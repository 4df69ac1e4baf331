//! The same client for programs without async: each method waits in the calling thread.
//!
//! A thread of its own makes the client's progress, so nothing has to be called in time. None of it
//! may be called from inside an async runtime (it panics there, as it would stop that runtime).
//!
//! ```no_run
//! use ternmq_client::blocking::Client;
//! use ternmq_client::{Options, Publish, Qos};
//!
//! let client = Client::new(Options::new("localhost", 1883))?;
//! let mut readings = client.subscribe("plant/+/temperature")?;
//! client.connect()?;
//! client.publish(Publish::new("plant/hello", "x").qos(Qos::AtLeastOnce))?.wait()?;
//! for message in readings.iter() {
//!     println!("{}: {:?}", message.topic, message.payload);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ternmq_agent::{Acknowledgement, CommandError, Lost, Message, Publish, PublishId};
use ternmq_proto::ReasonCode;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::{
    AckToken, ConnectError, ConnectInfo, Disconnect, Left, Options, OptionsError, PublishError,
    RequestError, State, StateWatch, Stats, Subscribe,
};

/// A blocking [`Client`](crate::Client). Clones are handles of the same client; it is closed when
/// the last one is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
    runtime: Arc<Background>,
}

impl Client {
    /// A client that stands still until [`Client::connect`].
    ///
    /// # Errors
    /// Options that do not fit together, or no thread could be started.
    pub fn new(options: Options) -> Result<Self, NewError> {
        let inner = crate::Client::new(options).map_err(NewError::Options)?;
        let runtime = Background::start(inner.watch()).map_err(NewError::Thread)?;
        Ok(Client { inner, runtime: Arc::new(runtime) })
    }

    /// See [`Client::connect`](crate::Client::connect).
    ///
    /// # Errors
    /// As there.
    pub fn connect(&self) -> Result<ConnectInfo, ConnectError> {
        self.runtime.wait(self.inner.connect())
    }

    /// See [`Client::subscribe`](crate::Client::subscribe).
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(&self, subscribe: impl Into<Subscribe>) -> Result<Subscription, CommandError> {
        let inner = self.inner.subscribe(subscribe)?;
        Ok(Subscription { inner, runtime: Arc::clone(&self.runtime) })
    }

    /// See [`Client::unsubscribe`](crate::Client::unsubscribe).
    ///
    /// # Errors
    /// As there.
    pub fn unsubscribe<I>(&self, filters: I) -> Result<Vec<ReasonCode>, RequestError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.runtime.wait(self.inner.unsubscribe(filters))
    }

    /// See [`Client::publish`](crate::Client::publish).
    ///
    /// # Errors
    /// As there.
    pub fn publish(&self, publish: Publish) -> Result<Receipt, PublishError> {
        let inner = self.runtime.wait(self.inner.publish(publish))?;
        Ok(Receipt { inner, runtime: Arc::clone(&self.runtime) })
    }

    /// See [`Client::try_publish`](crate::Client::try_publish).
    ///
    /// # Errors
    /// As there.
    pub fn try_publish(&self, publish: Publish) -> Result<Receipt, PublishError> {
        let inner = self.inner.try_publish(publish)?;
        Ok(Receipt { inner, runtime: Arc::clone(&self.runtime) })
    }

    /// Where the client is with its connection.
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// Figures.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// See [`Client::drain`](crate::Client::drain).
    ///
    /// # Errors
    /// As there.
    pub fn drain(&self, time: Duration) -> Result<(), Left> {
        self.runtime.wait(self.inner.drain(time))
    }

    /// See [`Client::close`](crate::Client::close).
    pub fn close(&self) -> Left {
        self.runtime.wait(self.inner.close())
    }

    /// See [`Client::close_with`](crate::Client::close_with).
    ///
    /// # Errors
    /// As there.
    pub fn close_with(&self, disconnect: Disconnect) -> Result<Left, CommandError> {
        self.runtime.wait(self.inner.close_with(disconnect))
    }
}

/// A blocking [`Receipt`](crate::Receipt).
#[derive(Debug)]
#[must_use = "drop it to say that the result does not matter"]
pub struct Receipt {
    inner: crate::Receipt,
    runtime: Arc<Background>,
}

impl Receipt {
    /// The name of the message in this client.
    pub fn id(&self) -> PublishId {
        self.inner.id()
    }

    /// Waits until the message is finished.
    ///
    /// # Errors
    /// As for [`Receipt`](crate::Receipt).
    pub fn wait(self) -> Result<Acknowledgement, Lost> {
        self.runtime.wait(self.inner)
    }
}

/// A blocking [`Subscription`](crate::Subscription).
#[derive(Debug)]
pub struct Subscription {
    inner: crate::Subscription,
    runtime: Arc<Background>,
}

impl Subscription {
    /// See [`Subscription::granted`](crate::Subscription::granted).
    ///
    /// # Errors
    /// As there.
    pub fn granted(&self) -> Result<Vec<ReasonCode>, Lost> {
        self.runtime.wait(self.inner.granted())
    }

    /// Takes the next message and acknowledges it. `None`: nothing more will come.
    pub fn recv(&mut self) -> Option<Message> {
        self.runtime.wait(self.inner.recv())
    }

    /// The same, for at most this long.
    ///
    /// # Errors
    /// Time is over, or nothing more will come.
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Message, RecvTimeoutError> {
        let received = self.runtime.wait(async { timeout(time, self.inner.recv()).await });
        match received {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(RecvTimeoutError::Closed),
            Err(_) => Err(RecvTimeoutError::Timeout),
        }
    }

    /// See [`Subscription::recv_unacked`](crate::Subscription::recv_unacked).
    pub fn recv_unacked(&mut self) -> Option<(Message, AckToken)> {
        self.runtime.wait(self.inner.recv_unacked())
    }

    /// All messages, waiting for each, until nothing more will come.
    pub fn iter(&mut self) -> impl Iterator<Item = Message> + '_ {
        std::iter::from_fn(|| self.recv())
    }

    /// See [`Subscription::dropped`](crate::Subscription::dropped).
    pub fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    /// See [`Subscription::unsubscribe`](crate::Subscription::unsubscribe).
    ///
    /// # Errors
    /// As there.
    pub fn unsubscribe(self) -> Result<Vec<ReasonCode>, Lost> {
        self.runtime.wait(self.inner.unsubscribe())
    }
}

/// Why [`Subscription::recv_timeout`] has no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvTimeoutError {
    /// Nothing more will come.
    Closed,
    /// Time is over.
    Timeout,
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvTimeoutError::Closed => "no more messages will come",
            RecvTimeoutError::Timeout => "no message came in time",
        })
    }
}

impl std::error::Error for RecvTimeoutError {}

/// Why there is no blocking client.
#[derive(Debug)]
pub enum NewError {
    /// The options do not fit together.
    Options(OptionsError),
    /// The operating system gave no thread for it.
    Thread(io::Error),
}

impl fmt::Display for NewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NewError::Options(error) => error.fmt(f),
            NewError::Thread(error) => write!(f, "no thread for the client: {error}"),
        }
    }
}

impl std::error::Error for NewError {}

/// The thread that runs the driver.
#[derive(Debug)]
struct Background {
    handle: Handle,
    /// Dropped with it, and that ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Background {
    fn start(mut states: StateWatch) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new().name("ternmq-client".into()).spawn(move || {
            runtime.block_on(async {
                // It only ever ends by the other side going away.
                let _gone = stopped.await;
                let goodbye = async {
                    while !matches!(states.current(), State::Closed { .. }) {
                        states.changed().await;
                    }
                };
                let _late = timeout(GOODBYE, goodbye).await;
            });
        })?;
        Ok(Background { handle, _stop: stop })
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }
}

/// What the driver has for its DISCONNECT after the last handle was dropped.
const GOODBYE: Duration = Duration::from_secs(2);
