//! Subscriptions: a wish ([`Subscribe`]) and the stream of messages that comes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use ternmq_agent::{Lost, Message};
use ternmq_proto::packet::{RetainHandling, SubscriptionOptions};
use ternmq_proto::{Property, PropertyBuf, Qos, ReasonCode};

use crate::hub::Hub;
use crate::route::Delivery;

/// What to subscribe to, and how to keep what comes.
///
/// ```
/// use ternmq_client::{OnFull, Qos, Subscribe};
///
/// let readings = Subscribe::to("plant/+/temperature")
///     .and("plant/+/pressure")
///     .qos(Qos::AtLeastOnce)
///     .buffer(10_000)
///     .on_full(OnFull::Pause);
/// # let _ = readings;
/// ```
#[derive(Clone, Debug)]
pub struct Subscribe {
    pub(crate) filters: Vec<String>,
    pub(crate) options: SubscriptionOptions,
    pub(crate) properties: PropertyBuf,
    pub(crate) buffer: usize,
    pub(crate) on_full: OnFull,
}

/// What happens to messages at QoS 0 that find the buffer full. Those at QoS 1 and 2 are held back
/// by the receive maximum and never dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFull {
    /// They are dropped and counted ([`Subscription::dropped`]).
    DropQos0,
    /// Nothing more is read from the server until there is room. Acknowledgements of our own
    /// messages wait as well then: this is for programs that only receive.
    Pause,
}

impl Subscribe {
    /// Messages whose topic matches `filter`, at QoS 0; `$share/group/filter` shares them with
    /// others.
    pub fn to(filter: impl Into<String>) -> Self {
        Subscribe {
            filters: vec![filter.into()],
            options: SubscriptionOptions::default(),
            properties: PropertyBuf::new(),
            buffer: BUFFER_MESSAGES,
            on_full: OnFull::DropQos0,
        }
    }

    /// Also those that match this filter, in the same stream. A message comes once, whatever number
    /// of filters it matches (as far as the server does so).
    pub fn and(mut self, filter: impl Into<String>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// The highest QoS that messages are delivered with.
    pub fn qos(mut self, qos: Qos) -> Self {
        self.options.qos = qos;
        self
    }

    /// Do not send this client its own messages (MQTT 5.0).
    pub fn no_local(mut self, no_local: bool) -> Self {
        self.options.no_local = no_local;
        self
    }

    /// Leave RETAIN as the publisher had it (MQTT 5.0).
    pub fn retain_as_published(mut self, keep: bool) -> Self {
        self.options.retain_as_published = keep;
        self
    }

    /// When to send retained messages (MQTT 5.0).
    pub fn retain_handling(mut self, handling: RetainHandling) -> Self {
        self.options.retain_handling = handling;
        self
    }

    /// Adds a property (MQTT 5.0): a user property, or a subscription identifier. With an
    /// identifier, a message that the server sends once for each of several subscriptions comes to
    /// this one only if it was sent for this one.
    pub fn property(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// How many messages may wait to be taken; 1,024 if not set.
    pub fn buffer(mut self, messages: usize) -> Self {
        self.buffer = messages;
        self
    }

    /// What happens to more of them at QoS 0; [`OnFull::DropQos0`] if not set.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }
}

impl From<&str> for Subscribe {
    fn from(filter: &str) -> Self {
        Subscribe::to(filter)
    }
}

impl From<String> for Subscribe {
    fn from(filter: String) -> Self {
        Subscribe::to(filter)
    }
}

/// The messages of one [`Subscribe`], in the order in which they came.
///
/// It survives reconnects. Dropping it does not unsubscribe: in a session that stays, that would
/// lose what the server keeps for the next run; [`Subscription::unsubscribe`] does. Messages that
/// were not taken are not acknowledged by the drop, so the server still has them when the client
/// ends next. When the client goes on instead, they are acknowledged, and so discarded, as soon as
/// later acknowledgements or the receive maximum wait for them.
///
/// ```no_run
/// # async fn example(client: ternmq_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut subscription = client.subscribe("plant/#")?;
/// let codes = subscription.granted().await?;
/// assert!(!codes[0].is_error());
/// while let Some(message) = subscription.recv().await {
///     println!("{} {:?}", message.topic, message.payload);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscription {
    pub(crate) shared: Arc<Hub>,
    pub(crate) id: u64,
}

impl Subscription {
    /// Waits for the server's answer to the first SUBSCRIBE: one code for each filter, in their
    /// order; 0x80 and more refuse. Without a connection, this waits for one.
    ///
    /// # Errors
    /// There was or will be no answer.
    ///
    /// # Cancellation
    /// Safe: it can be asked again.
    pub async fn granted(&self) -> Result<Vec<ReasonCode>, Lost> {
        let answer = || {
            let mut core = self.shared.lock();
            core.streams.get_mut(self.id).map_or(Some(Err(Lost::Closed)), |it| it.answer.clone())
        };
        self.shared.wait_for(answer).await
    }

    /// Takes the next message and acknowledges it. `None`: nothing more will come, because the
    /// client was closed or the server has refused every filter.
    ///
    /// # Cancellation
    /// Safe: a message is either returned or still there.
    pub async fn recv(&mut self) -> Option<Message> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Takes the next message and leaves the acknowledgement to its token; at QoS 0 that does
    /// nothing. `None`: nothing more will come.
    ///
    /// # Cancellation
    /// Safe: a message is either returned or still there.
    pub async fn recv_unacked(&mut self) -> Option<(Message, AckToken)> {
        let taken = std::future::poll_fn(|cx| self.shared.poll_take(self.id, cx)).await;
        let Delivery { message, token } = taken?;
        Some((message, AckToken { shared: Arc::clone(&self.shared), token }))
    }

    /// The same as [`Subscription::recv`], to be polled.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.shared.poll_take(self.id, cx).map(|taken| {
            let Delivery { message, token } = taken?;
            if let Some(token) = token {
                self.shared.acknowledge(token, ReasonCode::Success);
            }
            Some(message)
        })
    }

    /// How many messages at QoS 0 found the buffer full and were dropped.
    pub fn dropped(&self) -> u64 {
        self.shared.lock().streams.get_mut(self.id).map_or(0, |it| it.dropped)
    }

    /// Ends the subscription on the server as well, except for filters that another subscription of
    /// this client has, and returns the server's codes. Messages that were not taken are lost.
    ///
    /// # Errors
    /// There was or will be no answer.
    ///
    /// # Cancellation
    /// The subscription is gone; whether the server knows stays open.
    pub async fn unsubscribe(self) -> Result<Vec<ReasonCode>, Lost> {
        let answer = self.shared.unsubscribe_stream(self.id);
        let shared = Arc::clone(&self.shared);
        drop(self);
        match answer {
            Some(answer) => shared.answer(answer).await,
            None => Ok(Vec::new()),
        }
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_recv(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.drop_stream(self.id);
    }
}

/// Acknowledges one message, once.
///
/// Acknowledgements leave in the order in which the messages came: one that is missing holds back
/// those of all later messages. If several subscriptions got the message, the last one of them that
/// acknowledges does it. A token dropped without use leaves the message to be sent again after the
/// next reconnect. A token whose connection (QoS 1) or session (QoS 2) is over does nothing: the
/// message comes again.
#[derive(Debug)]
#[must_use = "a message that is not acknowledged holds back the acknowledgements of later ones"]
pub struct AckToken {
    shared: Arc<Hub>,
    token: Option<Arc<ternmq_agent::AckToken>>,
}

impl AckToken {
    /// Tells the server that the message is done with.
    pub fn acknowledge(self) {
        self.settle(ReasonCode::Success);
    }

    /// Tells the server that the message was refused, with a code of 0x80 or more. In 3.x, which
    /// has no such code, this is the same as [`AckToken::acknowledge`].
    pub fn reject(self, code: ReasonCode) {
        self.settle(code);
    }

    fn settle(self, code: ReasonCode) {
        if let Some(token) = self.token {
            self.shared.acknowledge(token, code);
        }
    }
}

const BUFFER_MESSAGES: usize = 1_024;
