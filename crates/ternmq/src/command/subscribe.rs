//! `ternmq sub`: prints messages, then acknowledges them, until it is told to stop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Zoned;
use ternmq_client::{AckToken, Message, OnFull, Reconnect, Subscribe, Subscription, TopicFilter};
use tokio::signal::unix::{SignalKind, signal};

use super::connection::{Connection, runtime};
use crate::args::SubscribeArgs;
use crate::output::{self, Failure, Messages, Received, Style};

/// A subscriber waits for its broker for ever, and never long.
const RECONNECT: Reconnect = Reconnect {
    first: Duration::from_millis(500),
    max: Duration::from_secs(30),
    spread: Duration::ZERO,
    attempts_max: None,
    retry_first: false,
};
/// As much is printed at once.
const OUTPUT_BYTES_MAX: usize = 65_536;

pub fn run(args: &SubscribeArgs) -> Result<(), Failure> {
    let result = try_run(args);
    if args.connection.quiet { result.map_err(Failure::quietly) } else { result }
}

fn try_run(args: &SubscribeArgs) -> Result<(), Failure> {
    let connection = Connection::new(&args.connection, RECONNECT)?;
    let filters = args.filters().map_err(Failure::usage)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        // Before the connection, so that the messages of a session that was kept find their place.
        // And until after the disconnect, so that what was not printed stays in the session.
        let mut subscription = subscribe(args, &filters, &connection)?;
        let mut printer = Printer::new(args)?;
        let result = tokio::select! {
            result = print_all(subscription.as_mut(), &connection, &mut printer) => result,
            failure = connection.until_closed() => Err(failure),
            () = time_is_over(args.timeout) => printer.out_of_time(),
            result = interrupt() => result,
        };
        connection.close().await;
        let unprinted = connection.client.stats().unrouted;
        if unprinted > 0 {
            let whose = "came for other subscriptions of this session, and were not printed";
            connection.note(format!("{unprinted} messages {whose}: name them with -t as well"));
        }
        result
    })
}

fn subscribe(
    args: &SubscribeArgs,
    filters: &[&str],
    connection: &Connection<'_>,
) -> Result<Option<Subscription>, Failure> {
    let Some((first, others)) = filters.split_first() else { return Ok(None) };
    // Who does not print must not wait for the printer.
    let on_full = if args.exit_after_subscribe { OnFull::DropQos0 } else { OnFull::Pause };
    let mut wish = Subscribe::to(*first).qos(args.qos).on_full(on_full);
    for filter in others {
        wish = wish.and(*filter);
    }
    for property in args.connection.properties.subscribe.as_properties() {
        wish = wish.property(property);
    }
    connection.client.subscribe(wish).map(Some).map_err(Failure::usage)
}

/// Connects, subscribes, unsubscribes, prints.
async fn print_all(
    subscription: Option<&mut Subscription>,
    connection: &Connection<'_>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    connection.connect().await?;
    let args = printer.args;
    let Some(subscription) = subscription else { return unsubscribe(args, connection).await };
    if args.exit_after_subscribe {
        check_grants(args, subscription, connection).await?;
        return unsubscribe(args, connection).await;
    }
    // At the same time: a session that was kept may have so much for us that no answer gets through
    // before something is printed.
    tokio::try_join!(printer.print(subscription, connection), unsubscribe(args, connection))
        .map(|_| ())
}

async fn unsubscribe(args: &SubscribeArgs, connection: &Connection<'_>) -> Result<(), Failure> {
    if args.unsubscribe.is_empty() {
        return Ok(());
    }
    let answer = connection.client.unsubscribe(&args.unsubscribe).await;
    answer.map_err(|error| Failure::run(format!("cannot unsubscribe: {error}")))?;
    connection.debug(|| format!("unsubscribed from {}", args.unsubscribe.join(" ")));
    Ok(())
}

/// Waits for the broker's answer and tells what it refuses.
async fn check_grants(
    args: &SubscribeArgs,
    subscription: &Subscription,
    connection: &Connection<'_>,
) -> Result<(), Failure> {
    let filters = args.filters().map_err(Failure::usage)?;
    let codes = subscription.granted().await;
    let codes = codes.map_err(|error| Failure::run(format!("cannot subscribe: {error}")))?;
    let refused: Vec<String> = filters
        .iter()
        .zip(&codes)
        .filter(|(_, code)| code.is_error())
        .map(|(filter, code)| format!("the broker refuses `{filter}`: {code}"))
        .collect();
    if refused.len() == filters.len() {
        return Err(Failure::run(refused.join("; ")));
    }
    refused.into_iter().for_each(|it| connection.note(it));
    connection.debug(|| format!("subscribed to {}", filters.join(" ")));
    Ok(())
}

/// Prints messages and counts them.
struct Printer<'a> {
    args: &'a SubscribeArgs,
    messages: Messages,
    filter_out: Vec<TopicFilter<'a>>,
    printed: u64,
}

impl<'a> Printer<'a> {
    fn new(args: &'a SubscribeArgs) -> Result<Self, Failure> {
        let style = match &args.format {
            Some(format) => Style::Format(format.clone()),
            None if args.verbose => Style::Verbose,
            None => Style::Payload,
        };
        let messages = Messages { style, end_of_line: !args.no_end_of_line, pretty: args.pretty };
        let parsed = args.filter_out.iter().map(|it| TopicFilter::parse(it));
        let filter_out = parsed.collect::<Result<_, _>>().map_err(Failure::usage)?;
        Ok(Printer { args, messages, filter_out, printed: 0 })
    }

    async fn print(
        &mut self,
        subscription: &mut Subscription,
        connection: &Connection<'_>,
    ) -> Result<(), Failure> {
        let mut rendered = Vec::new();
        let mut tokens: Vec<AckToken> = Vec::new();
        let mut is_answered = false;
        while let Some(taken) = self.next(subscription, connection, &mut is_answered).await? {
            let mut next = Some(taken);
            let mut is_over = false;
            // What is there already is printed in one go.
            while let Some((message, token)) = next {
                is_over = self.take(&message, &mut rendered);
                tokens.push(token);
                let has_room = !is_over && rendered.len() < OUTPUT_BYTES_MAX;
                next = has_room.then(|| at_once(subscription.recv_unacked()).flatten()).flatten();
            }
            if !output::write(&rendered)? {
                return Ok(());
            }
            rendered.clear();
            tokens.drain(..).for_each(AckToken::acknowledge);
            if is_over {
                return Ok(());
            }
        }
        check_grants(self.args, subscription, connection).await?;
        Err(Failure::run("the broker has ended the subscription"))
    }

    /// Waits for a message, and looks at the broker's answer to the SUBSCRIBE when it comes.
    async fn next(
        &self,
        subscription: &mut Subscription,
        connection: &Connection<'_>,
        is_answered: &mut bool,
    ) -> Result<Option<(Message, AckToken)>, Failure> {
        poll_fn(|context| {
            if !*is_answered
                && let Some(grants) = at_once(check_grants(self.args, subscription, connection))
            {
                *is_answered = true;
                grants?;
            }
            pin!(subscription.recv_unacked()).poll(context).map(Ok)
        })
        .await
    }

    /// Renders a message if it is wanted. `true`: it was the last.
    fn take(&mut self, message: &Message, rendered: &mut Vec<u8>) -> bool {
        if self.args.retained_only && !message.retain {
            return true;
        }
        let unwanted = (self.args.no_retained && message.retain)
            || self.filter_out.iter().any(|it| it.matches(&message.topic));
        if unwanted {
            return false;
        }
        let received = Received {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos,
            retain: message.retain,
            properties: message.properties.as_properties(),
        };
        if let Err(complaint) = self.messages.render(&received, &Zoned::now(), rendered) {
            output::note(complaint);
        }
        self.printed += 1;
        self.args.count == Some(self.printed)
    }

    /// `-W` has passed.
    fn out_of_time(&self) -> Result<(), Failure> {
        match self.args.count {
            Some(1) => Err(Failure::run("time is over: 0 of 1 message came")),
            Some(count) => Err(Failure::run(format!(
                "time is over: {} of {count} messages came",
                self.printed
            ))),
            None => Ok(()),
        }
    }
}

/// What a future has now, if it has it.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => Some(it),
        Poll::Pending => None,
    }
}

async fn time_is_over(after: Option<Duration>) {
    match after {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn interrupt() -> Result<(), Failure> {
    let wait = |kind| {
        signal(kind).map_err(|error| Failure::run(format!("cannot wait for signals: {error}")))
    };
    let (mut interrupt, mut terminate) =
        (wait(SignalKind::interrupt())?, wait(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
