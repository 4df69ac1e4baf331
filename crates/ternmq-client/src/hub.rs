//! What the handles of a client and its driver share: the agent, and who waits for what.
//!
//! One lock, held for short and never over an await. Commands change the agent under the lock and
//! ring for the driver; so what was accepted is accepted before the call returns, and nothing waits
//! in a channel that could be lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ternmq_agent::{
    AckToken, Acknowledgement, Agent, Cause, CommandError, Event, LinkState, Lost, PublishId,
    RequestId, Transmit,
};
use ternmq_proto::{PropertyBuf, ReasonCode};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::coop;
use tokio::time::Instant;

use crate::client::{Disconnect, PublishError};
use crate::receipt::Receipt;
use crate::route::{Delivery, Routed, Stream, Streams};
use crate::state::{ConnectInfo, State, Stats};
use crate::subscription::Subscribe;

pub(crate) struct Hub {
    core: Mutex<Core>,
    /// Rings for the driver.
    pub(crate) work: Notify,
    /// Rings for those who wait in [`Hub::wait_for`].
    progress: Notify,
    state: watch::Sender<State>,
    /// Moment 0 of the agent.
    start: Instant,
}

pub(crate) struct Core {
    pub(crate) agent: Agent,
    pub(crate) streams: Streams,
    receipts: HashMap<PublishId, oneshot::Sender<Result<Acknowledgement, Lost>>>,
    /// Who waits for an UNSUBACK.
    answers: HashMap<RequestId, oneshot::Sender<Result<Vec<ReasonCode>, Lost>>>,
    /// Of messages that nobody will take any more.
    orphans: Vec<Arc<AckToken>>,
    pub(crate) stats: Stats,
    pub(crate) phase: Phase,
    /// Whether the driver runs.
    running: bool,
    /// Whether bytes are on their way to the transport.
    writing: bool,
    /// Whether the server has accepted a connection, ever.
    was_connected: bool,
    /// Why the last connection or attempt ended.
    cause: Option<Cause>,
    /// Messages that were not finished when the client ended.
    left: Option<usize>,
}

/// What a client still takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Open,
    /// No new messages.
    Draining,
    /// Nothing; it is over.
    Closed,
}

/// What the driver has to do next.
pub(crate) struct Turn {
    pub(crate) transmit: Option<Transmit>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) wants_bytes: bool,
    /// The agent stands still.
    pub(crate) stopped: bool,
}

impl Hub {
    pub(crate) fn new(agent: Agent) -> Self {
        Hub {
            core: Mutex::new(Core {
                agent,
                streams: Streams::default(),
                receipts: HashMap::new(),
                answers: HashMap::new(),
                orphans: Vec::new(),
                stats: Stats::default(),
                phase: Phase::Open,
                running: false,
                writing: false,
                was_connected: false,
                cause: None,
                left: None,
            }),
            work: Notify::new(),
            progress: Notify::new(),
            state: watch::Sender::new(State::Idle),
            start: Instant::now(),
        }
    }

    /// The state survives a panic of another thread only in so far as nothing hangs: everybody who
    /// waits is told that the client is closed.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds for the agent.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Resolves after the next piece of progress.
    pub(crate) fn progress(&self) -> Notified<'_> {
        self.progress.notified()
    }

    /// Waits until `ready` has something; it is asked after every piece of progress.
    pub(crate) async fn wait_for<T>(&self, ready: impl Fn() -> Option<T>) -> T {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            // From here on nothing is missed, so the order is: listen, look, wait.
            progress.as_mut().enable();
            if let Some(found) = ready() {
                return found;
            }
            progress.await;
        }
    }

    /// Accepts a message.
    pub(crate) fn publish(&self, publish: ternmq_agent::Publish) -> Result<Receipt, PublishError> {
        let now = self.now();
        let mut core = self.lock();
        if core.phase != Phase::Open {
            return Err(PublishError::Closed);
        }
        let id = core.agent.publish(now, publish)?;
        let (sender, result) = oneshot::channel();
        core.receipts.insert(id, sender);
        drop(core);
        self.work.notify_one();
        Ok(Receipt { id, result })
    }

    /// Registers a subscription. Returns its number.
    pub(crate) fn subscribe(&self, subscribe: Subscribe) -> Result<u64, CommandError> {
        let Subscribe { filters, options, properties, buffer, on_full } = subscribe;
        let identifier = properties.as_properties().subscription_identifiers().next();
        let wished = filters.iter().map(|filter| (filter.clone(), options)).collect();
        let mut core = self.lock();
        if core.phase == Phase::Closed {
            return Err(CommandError::NotConnected);
        }
        let request = core.agent.subscribe(wished, properties)?;
        let id = core.streams.add(Stream {
            filters,
            identifier,
            request,
            answer: None,
            queue: Default::default(),
            buffer,
            on_full,
            ended: false,
            waker: None,
            dropped: 0,
        });
        drop(core);
        self.work.notify_one();
        Ok(id)
    }

    /// Asks for the end of subscriptions. What is returned resolves with the answer.
    pub(crate) fn unsubscribe(
        &self,
        filters: Vec<String>,
    ) -> Result<oneshot::Receiver<Result<Vec<ReasonCode>, Lost>>, CommandError> {
        let mut core = self.lock();
        if core.phase == Phase::Closed {
            return Err(CommandError::NotConnected);
        }
        let request = core.agent.unsubscribe(filters, PropertyBuf::new())?;
        let (sender, answer) = oneshot::channel();
        core.answers.insert(request, sender);
        drop(core);
        self.work.notify_one();
        Ok(answer)
    }

    /// The same for the filters of a subscription that no other has. `None`: there are none, or
    /// there is nobody to ask.
    pub(crate) fn unsubscribe_stream(
        &self,
        id: u64,
    ) -> Option<oneshot::Receiver<Result<Vec<ReasonCode>, Lost>>> {
        let mut core = self.lock();
        let stream = core.streams.remove(id)?;
        let unused: Vec<_> = core.streams.unused(&stream.filters).into_iter().cloned().collect();
        core.forget(stream);
        drop(core);
        if unused.is_empty() { None } else { self.unsubscribe(unused).ok() }
    }

    /// Waits for the answer to a request.
    pub(crate) async fn answer(
        &self,
        answer: oneshot::Receiver<Result<Vec<ReasonCode>, Lost>>,
    ) -> Result<Vec<ReasonCode>, Lost> {
        answer.await.unwrap_or(Err(Lost::Closed))
    }

    /// A subscription was dropped.
    pub(crate) fn drop_stream(&self, id: u64) {
        let now = self.now();
        let mut core = self.lock();
        let Some(stream) = core.streams.remove(id) else { return };
        core.forget(stream);
        let window = usize::from(core.agent.options().receive_maximum);
        if core.orphans.len() >= window {
            core.release_orphans(now);
            drop(core);
            self.work.notify_one();
        }
    }

    /// Takes the next message of a subscription.
    pub(crate) fn poll_take(&self, id: u64, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        // A consumer that always finds a message must still let the driver run.
        let budget = std::task::ready!(coop::poll_proceed(cx));
        let mut core = self.lock();
        let was_paused = core.streams.paused();
        let Some(stream) = core.streams.get_mut(id) else { return Poll::Ready(None) };
        match stream.queue.pop_front() {
            Some(delivery) => {
                budget.made_progress();
                if was_paused && !core.streams.paused() {
                    drop(core);
                    self.work.notify_one();
                }
                Poll::Ready(Some(delivery))
            }
            None if stream.ended => Poll::Ready(None),
            None => {
                stream.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The application is done with a message, as far as this holder of its token goes.
    pub(crate) fn acknowledge(&self, token: Arc<AckToken>, code: ReasonCode) {
        let Some(token) = Arc::into_inner(token) else { return };
        let now = self.now();
        let mut core = self.lock();
        core.release_orphans(now);
        core.agent.acknowledge(now, token, code);
        drop(core);
        self.work.notify_one();
    }

    /// Begins to connect. `true`: there is no driver yet; one has to be started.
    pub(crate) fn connect(&self) -> bool {
        let now = self.now();
        let mut core = self.lock();
        if core.phase == Phase::Closed {
            return false;
        }
        if core.agent.state() == LinkState::Stopped {
            core.agent.connect(now);
            self.state.send_replace(State::Connecting);
        }
        let start = !std::mem::replace(&mut core.running, true);
        drop(core);
        self.work.notify_one();
        start
    }

    /// Ends the connection and everything that waits for it.
    pub(crate) fn close(&self, disconnect: &Disconnect) -> Result<usize, CommandError> {
        let now = self.now();
        let mut core = self.lock();
        if core.phase == Phase::Closed {
            return Ok(0);
        }
        core.agent.disconnect(now, disconnect.code, &disconnect.properties)?;
        let left = core.agent.unfinished();
        core.phase = Phase::Closed;
        let running = core.running;
        drop(core);
        if running {
            self.work.notify_one();
        } else {
            self.end(Cause::Requested);
        }
        Ok(left)
    }

    /// No new messages from here on.
    pub(crate) fn begin_drain(&self) {
        let mut core = self.lock();
        if core.phase == Phase::Open {
            core.phase = Phase::Draining;
        }
        drop(core);
        self.progress.notify_waiters();
    }

    /// Nothing is under way, or nothing ever will be again.
    pub(crate) fn is_drained(&self) -> bool {
        let core = self.lock();
        core.phase == Phase::Closed || (core.agent.unfinished() == 0 && !core.writing)
    }

    /// Accepted messages that are not finished. Bytes on their way count as one.
    pub(crate) fn left(&self) -> usize {
        let core = self.lock();
        core.left.unwrap_or_else(|| core.agent.unfinished().max(usize::from(core.writing)))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().running
    }

    pub(crate) fn stats(&self) -> Stats {
        let core = self.lock();
        Stats {
            unfinished: core.agent.unfinished(),
            unfinished_bytes: core.agent.unfinished_bytes(),
            ..core.stats
        }
    }

    /// The driver's look at the agent. `writable`: the transport takes more.
    pub(crate) fn turn(&self, writable: bool) -> Turn {
        let now = self.now();
        let mut core = self.lock();
        if core.agent.poll_timeout().is_some_and(|at| at <= now) {
            core.agent.handle_timeout(now);
        }
        let mut transmit = None;
        loop {
            let news = self.handle_events(&mut core, now);
            if writable && transmit.is_none() {
                transmit = core.agent.poll_transmit(now);
                if transmit.is_some() {
                    continue;
                }
            }
            if !news {
                break;
            }
        }
        core.writing = !writable || matches!(transmit, Some(Transmit::Bytes(_)));
        if transmit == Some(Transmit::Open) {
            self.state.send_replace(State::Connecting);
        }
        let deadline = core.agent.poll_timeout().map(|at| self.start + Duration::from_micros(at));
        let wants_bytes = core.agent.wants_bytes() && !core.streams.paused();
        let stopped = core.agent.state() == LinkState::Stopped;
        drop(core);
        self.progress.notify_waiters();
        Turn { transmit, deadline, wants_bytes, stopped }
    }

    /// `false`: there was none.
    fn handle_events(&self, core: &mut Core, now: u64) -> bool {
        let mut news = false;
        while let Some(event) = core.agent.poll_event(now) {
            news = true;
            match event {
                Event::Connected { session_present, properties } => {
                    core.was_connected = true;
                    let client_id = core.agent.client_id().to_owned();
                    let info = ConnectInfo { session_present, client_id, properties };
                    self.state.send_replace(State::Connected(info));
                }
                Event::Disconnected { cause, retry_at: Some(at) } => {
                    let retry_in = Duration::from_micros(at.saturating_sub(now));
                    self.state.send_replace(State::Waiting { cause, retry_in });
                }
                Event::Disconnected { cause, retry_at: None } => core.cause = Some(cause),
                event => core.handle_event(event, now),
            }
        }
        news
    }

    /// The driver would stop now. `false`: it has to go on, because somebody has called
    /// [`Hub::connect`] meanwhile.
    pub(crate) fn end_if_stopped(&self) -> bool {
        let mut core = self.lock();
        if core.agent.state() != LinkState::Stopped {
            return false;
        }
        self.end_locked(&mut core, Cause::Requested);
        true
    }

    /// There is no driver any more; `cause` is for when the agent knows none.
    pub(crate) fn end(&self, cause: Cause) {
        self.end_locked(&mut self.lock(), cause);
    }

    /// A first attempt that failed leaves everything as it is, so that it can be repeated. Any
    /// other end is final, and everybody who waits is told.
    fn end_locked(&self, core: &mut Core, cause: Cause) {
        let known = core.cause.take();
        let failed_first = core.phase != Phase::Closed && !core.was_connected && known.is_some();
        core.running = false;
        if !failed_first {
            core.phase = Phase::Closed;
            core.left = Some(core.agent.unfinished());
            core.agent.abandon(&Lost::Closed);
            self.handle_events(core, self.now());
            core.receipts.clear();
            core.answers.clear();
            core.streams.end();
        }
        core.writing = false;
        self.state.send_replace(State::Closed { cause: known.unwrap_or(cause) });
        self.progress.notify_waiters();
    }
}

impl Core {
    fn handle_event(&mut self, event: Event, now: u64) {
        match event {
            Event::Message { message, token } => {
                self.stats.received += 1;
                match self.streams.route(message, token) {
                    Routed::Delivered { dropped } => self.stats.dropped += dropped,
                    Routed::Nowhere(token) => {
                        self.stats.unrouted += 1;
                        if let Some(token) = token {
                            self.agent.acknowledge(now, token, ReasonCode::Success);
                        }
                    }
                }
            }
            Event::Published { id, result } => {
                if let Some(receipt) = self.receipts.remove(&id) {
                    // Nobody there: fire and forget.
                    let _nobody = receipt.send(result);
                }
            }
            Event::Answered { request, result } => match self.answers.remove(&request) {
                Some(answer) => {
                    let _nobody = answer.send(result);
                }
                None => self.streams.answered(request, &result),
            },
            Event::SubscriptionLost { filter, .. } => self.streams.filter_lost(&filter),
            // Extended authentication is not offered here: the attempt ends by its time-out.
            _ => {}
        }
    }

    /// Nobody will take what waits in this subscription.
    fn forget(&mut self, stream: Stream) {
        self.orphans.extend(stream.queue.into_iter().filter_map(|it| it.token));
    }

    fn release_orphans(&mut self, now: u64) {
        for token in self.orphans.drain(..).filter_map(Arc::into_inner) {
            self.agent.acknowledge(now, token, ReasonCode::Success);
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}
