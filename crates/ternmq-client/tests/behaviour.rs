//! What the client promises whatever the server does, on virtual time and without a network.

mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peer::{LONG, pipe};
use ternmq_client::{
    Cause, Client, ConnectError, Lost, OnFull, Options, OutboxLimits, Overflow, Property, Publish,
    PublishError, Qos, ReasonCode, Reconnect, State, Subscribe, Version,
};
use tokio::time::timeout;

fn message(n: u8) -> Publish {
    Publish::new("t", [n]).qos(Qos::AtLeastOnce)
}

/// A client and the server's end of its first connection.
async fn connected(options: Options, listener: &mut peer::Listener) -> (Client, peer::Peer) {
    let client = Client::new(options).expect("options fit together");
    let (info, peer) = tokio::join!(client.connect(), listener.greet(false));
    info.expect("connected");
    (client, peer)
}

#[tokio::test(start_paused = true)]
async fn a_receipt_survives_a_reconnect_and_resolves_at_the_acknowledgement() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let options = options.session_expiry(Duration::MAX);
    let (client, mut peer) = connected(options, &mut listener).await;
    let mut receipt = client.publish(message(b'x')).await.unwrap();
    assert_eq!(peer.next().await, "Publish t x");
    assert!(timeout(Duration::from_secs(1), &mut receipt).await.is_err(), "not acknowledged");
    drop(peer);
    let mut peer = listener.greet(true).await;
    assert_eq!(peer.next().await, "Publish t x");
    peer.puback(1).await;
    assert_eq!(receipt.await.unwrap().code, ReasonCode::Success);
}

#[test]
fn nobody_waits_for_a_runtime_that_is_gone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, receipt, mut subscription, _peer) = first.block_on(async {
        let (client, peer) = connected(options, &mut listener).await;
        let receipt = client.publish(message(1)).await.unwrap();
        let subscription = client.subscribe("t").unwrap();
        (client, receipt, subscription, peer)
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(receipt.await, Err(Lost::Closed));
        assert_eq!(subscription.granted().await, Err(Lost::Closed));
        assert_eq!(subscription.recv().await, None);
        assert_eq!(client.publish(message(2)).await.unwrap_err(), PublishError::Closed);
        let State::Closed { cause: Cause::Failed(text) } = client.state() else { panic!() };
        assert_eq!(text, "the runtime of the client was shut down");
    });
}

#[tokio::test(start_paused = true)]
async fn closing_ends_everybody_who_waits() {
    let (options, mut listener) = pipe(Version::V311, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let receipt = client.publish(message(1)).await.unwrap();
    let mut subscription = client.subscribe("a").unwrap();
    let (left, none, granted) = tokio::join!(client.close(), subscription.recv(), receipt);
    assert_eq!((left.messages, none, granted), (1, None, Err(Lost::Closed)));
    assert_eq!(subscription.granted().await, Err(Lost::Closed));
    assert_eq!(client.connect().await, Err(ConnectError::Closed));
    let mut last = String::new();
    while last != "end" {
        let next = peer.next().await;
        assert!(next != "end" || last == "Disconnect 0x00", "{last}");
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_a_server_that_never_answers() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let client = Client::new(options).unwrap();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let _silent = listener.accept().await;
    timeout(Duration::from_secs(2), client.close()).await.expect("it closes");
    assert_eq!(connecting.await.unwrap(), Err(ConnectError::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_handle_says_goodbye() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let clone = client.clone();
    drop(client);
    drop(clone.publish(message(b'x')).await.unwrap());
    assert_eq!(peer.next().await, "Publish t x");
    drop(clone);
    assert_eq!(peer.next().await, "Disconnect 0x00");
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_was_interrupted_was_not_accepted() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let one = OutboxLimits { messages: 1, ..OutboxLimits::default() };
    let client = Client::new(options.outbox(one)).unwrap();
    let first = client.publish(message(1)).await.unwrap();
    let second = timeout(Duration::from_secs(1), client.publish(message(2))).await;
    assert!(second.is_err(), "it waits for room");
    assert!(matches!(client.try_publish(message(3)), Err(PublishError::Full(_))));
    assert_eq!(client.stats().unfinished, 1);
    let (info, mut peer) = tokio::join!(client.connect(), listener.greet(false));
    info.unwrap();
    // Somebody waits in earnest now, and gets the room as soon as it is there.
    let third = tokio::spawn({
        let client = client.clone();
        async move { client.publish(message(b'4')).await.unwrap().await }
    });
    assert!(peer.next().await.starts_with("Publish"));
    peer.puback(1).await;
    first.await.unwrap();
    assert_eq!(peer.next().await, "Publish t 4");
    peer.puback(2).await;
    third.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn overflow_is_what_the_options_say() {
    let one = OutboxLimits { messages: 1, ..OutboxLimits::default() };
    let (options, _listener) = pipe(Version::V5, 0);
    let client = Client::new(options.outbox(one).overflow(Overflow::Reject)).unwrap();
    drop(client.publish(message(1)).await.unwrap());
    assert!(matches!(client.publish(message(2)).await, Err(PublishError::Full(_))));
    let (options, mut listener) = pipe(Version::V5, 0);
    let client = Client::new(options.outbox(one).overflow(Overflow::DropOldest)).unwrap();
    let first = client.publish(message(b'1')).await.unwrap();
    drop(client.publish(message(b'2')).await.unwrap());
    let (_, mut peer) = tokio::join!(client.connect(), listener.greet(false));
    assert_eq!(first.await, Err(Lost::Dropped));
    assert_eq!(peer.next().await, "Publish t 2");
}

#[tokio::test(start_paused = true)]
async fn a_first_failure_is_told_and_leaves_everything_for_another_try() {
    let (options, mut listener) = pipe(Version::V5, 2);
    let client = Client::new(options).unwrap();
    let mut subscription = client.subscribe("a").unwrap();
    let receipt = client.publish(message(b'x')).await.unwrap();
    for _ in 0..2 {
        let error = client.connect().await.unwrap_err();
        assert_eq!(error.to_string(), "pipe: connection refused");
    }
    let (info, mut peer) = tokio::join!(client.connect(), listener.greet(false));
    info.unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a");
    assert_eq!(peer.next().await, "Publish t x");
    peer.suback(1, &[0]).await;
    peer.puback(2).await;
    receipt.await.unwrap();
    peer.publish("a", Qos::AtMostOnce, 0, None).await;
    assert_eq!(subscription.recv().await.unwrap().topic, "a");
}

#[tokio::test(start_paused = true)]
async fn the_first_connection_is_tried_for_as_long_as_the_options_say() {
    let (options, mut listener) = pipe(Version::V5, 6);
    let client = Client::new(options.reconnect(Reconnect::default().retry_first(true))).unwrap();
    let mut states = client.watch();
    let (info, _peer) = tokio::join!(client.connect(), listener.greet(false));
    info.unwrap();
    assert!(matches!(states.current(), State::Connected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_must_not_reconnect_leaves_nobody_waiting() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let options = options.reconnect(Reconnect::never());
    let (client, peer) = connected(options, &mut listener).await;
    let receipt = client.publish(message(1)).await.unwrap();
    let mut subscription = client.subscribe("t").unwrap();
    drop(peer);
    assert_eq!(receipt.await, Err(Lost::Closed));
    assert_eq!(subscription.recv().await, None);
    assert!(matches!(client.state(), State::Closed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_noticed_and_left() {
    let (options, mut listener) = pipe(Version::V311, 0);
    let options = options.keep_alive(Duration::from_secs(30));
    let (client, mut peer) = connected(options, &mut listener).await;
    let mut states = client.watch();
    states.current();
    assert_eq!(peer.next().await, "Pingreq");
    let State::Waiting { cause, .. } = states.changed().await.unwrap() else { panic!() };
    assert_eq!(cause, Cause::KeepAliveTimeout);
    listener.greet(false).await;
}

#[tokio::test(start_paused = true)]
async fn draining_tells_what_is_left() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    drop(client.publish(message(1)).await.unwrap());
    drop(client.publish(message(2)).await.unwrap());
    let left = client.drain(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(left.to_string(), "2 messages were left");
    peer.puback(1).await;
    peer.puback(2).await;
    client.drain(Duration::from_secs(3)).await.unwrap();
    assert_eq!(client.publish(message(3)).await.unwrap_err(), PublishError::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_ends() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let mut subscription = client.subscribe(Subscribe::to("a").and("b")).unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a b");
    peer.suback(1, &[0x87, 0x8F]).await;
    assert_eq!(subscription.recv().await, None);
    let codes = subscription.granted().await.unwrap();
    assert_eq!(codes, [ReasonCode::NotAuthorized, ReasonCode::TopicFilterInvalid]);
}

#[tokio::test(start_paused = true)]
async fn messages_are_acknowledged_when_they_are_taken_and_in_order() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let mut a = client.subscribe(Subscribe::to("a").qos(Qos::AtLeastOnce)).unwrap();
    let mut b = client.subscribe(Subscribe::to("b").qos(Qos::AtLeastOnce)).unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a");
    assert_eq!(peer.next().await, "Subscribe 2 b");
    peer.publish("a", Qos::AtLeastOnce, 1, None).await;
    peer.publish("b", Qos::AtLeastOnce, 2, None).await;
    peer.publish("a", Qos::ExactlyOnce, 3, None).await;
    peer.publish("b", Qos::AtLeastOnce, 4, None).await;
    b.recv().await.unwrap();
    let (_, second_b) = b.recv_unacked().await.unwrap();
    let (_, first_a) = a.recv_unacked().await.unwrap();
    let (_, second_a) = a.recv_unacked().await.unwrap();
    second_a.acknowledge();
    assert_eq!(peer.next().await, "Pubrec 3 0x00", "each kind for itself");
    first_a.reject(ReasonCode::QuotaExceeded);
    assert_eq!(peer.next().await, "Puback 1 0x97");
    assert_eq!(peer.next().await, "Puback 2 0x00");
    second_b.acknowledge();
    assert_eq!(peer.next().await, "Puback 4 0x00");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_holds_nobody_back_and_does_not_unsubscribe() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let dropped = client.subscribe("a").unwrap();
    let mut kept = client.subscribe("b").unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a");
    assert_eq!(peer.next().await, "Subscribe 2 b");
    peer.publish("a", Qos::AtLeastOnce, 1, None).await;
    peer.publish("b", Qos::AtLeastOnce, 2, None).await;
    let (_, token) = kept.recv_unacked().await.unwrap();
    drop(dropped);
    token.acknowledge();
    assert_eq!(peer.next().await, "Puback 1 0x00");
    assert_eq!(peer.next().await, "Puback 2 0x00");
    peer.publish("a", Qos::AtLeastOnce, 3, None).await;
    assert_eq!(peer.next().await, "Puback 3 0x00", "nobody wants it any more");
    assert_eq!(client.stats().unrouted, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_subscription_had_is_still_the_servers_when_the_client_ends() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let mut subscription = client.subscribe("a").unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a");
    peer.publish("a", Qos::AtLeastOnce, 1, None).await;
    peer.publish("a", Qos::AtLeastOnce, 2, None).await;
    subscription.recv().await.unwrap();
    assert_eq!(peer.next().await, "Puback 1 0x00");
    drop(subscription);
    client.close().await;
    assert_eq!(peer.next().await, "Disconnect 0x00");
}

#[tokio::test(start_paused = true)]
async fn a_message_goes_to_every_subscription_that_it_was_sent_for() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let with_id = |filter: &str, id| {
        client.subscribe(Subscribe::to(filter).property(Property::SubscriptionIdentifier(id)))
    };
    let mut all = with_id("#", 1).unwrap();
    let mut some = with_id("a/+", 2).unwrap();
    let mut plain = client.subscribe("$share/g/a/b").unwrap();
    peer.publish("a/b", Qos::AtLeastOnce, 1, Some(1)).await;
    peer.publish("a/b", Qos::AtLeastOnce, 2, Some(2)).await;
    peer.publish("a/b", Qos::AtLeastOnce, 3, None).await;
    // An identifier of an earlier run, which meant something else.
    peer.publish("c", Qos::AtLeastOnce, 4, Some(2)).await;
    let number = |message: ternmq_client::Message| message.payload[1];
    assert_eq!(number(all.recv().await.unwrap()), 1);
    assert_eq!(number(all.recv().await.unwrap()), 3);
    assert_eq!(number(all.recv().await.unwrap()), 4);
    assert_eq!(number(some.recv().await.unwrap()), 2);
    for filters in ["Subscribe 1 #", "Subscribe 2 a/+", "Subscribe 3 $share/g/a/b"] {
        assert_eq!(peer.next().await, filters);
    }
    assert_eq!(peer.next().await, "Puback 1 0x00");
    assert_eq!(peer.next().await, "Puback 2 0x00");
    // Three have the third message; the last one of them acknowledges it.
    assert_eq!(number(some.recv().await.unwrap()), 3);
    assert_eq!(number(plain.recv().await.unwrap()), 3);
    assert_eq!(peer.next().await, "Puback 3 0x00");
    assert_eq!(peer.next().await, "Puback 4 0x00");
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_spares_what_another_subscription_has() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let one = client.subscribe(Subscribe::to("a").and("b")).unwrap();
    let _two = client.subscribe("a").unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a b");
    assert_eq!(peer.next().await, "Subscribe 2 a");
    let ended = tokio::spawn(one.unsubscribe());
    assert_eq!(peer.next().await, "Unsubscribe 3 b");
    drop(peer);
    // The answer was lost; the session is gone as well, and only what is wanted is restored.
    let mut peer = listener.greet(false).await;
    let mut requests = vec![peer.next().await, peer.next().await, peer.next().await];
    requests.sort();
    assert!(requests[0].starts_with("Subscribe") && requests[0].ends_with("a b"), "{requests:?}");
    assert!(requests[1].starts_with("Subscribe") && requests[1].ends_with(" a"));
    assert!(requests[2].starts_with("Unsubscribe") && requests[2].ends_with(" b"));
    ended.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_loses_qos_0_and_is_told_how_much() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let mut subscription = client.subscribe(Subscribe::to("a").buffer(10)).unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a");
    for n in 1..=100 {
        peer.publish("a", Qos::AtMostOnce, 0, None).await;
        peer.publish("a", Qos::AtLeastOnce, n, None).await;
    }
    // What is sent is not stopped by it.
    let receipt = client.publish(message(b'x')).await.unwrap();
    assert_eq!(peer.next().await, "Publish t x");
    peer.puback(2).await;
    receipt.await.unwrap();
    let mut numbers = Vec::new();
    while numbers.last() != Some(&100) {
        let message = subscription.recv().await.unwrap();
        if message.qos == Qos::AtLeastOnce {
            numbers.push(message.payload[1]);
        }
    }
    assert!(numbers.into_iter().eq(1..=100), "QoS 1 is all there");
    assert_eq!(subscription.dropped(), 95);
    assert_eq!(client.stats().dropped, 95);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_pauses_loses_nothing_and_takes_little_memory() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let slow = Subscribe::to("a").buffer(10).on_full(OnFull::Pause);
    let mut subscription = client.subscribe(slow).unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a");
    const COUNT: u64 = 20_000;
    let sender = tokio::spawn(async move {
        for _ in 0..COUNT {
            peer.publish("a", Qos::AtMostOnce, 0, None).await;
        }
        peer
    });
    for n in 0..COUNT {
        let message = timeout(LONG, subscription.recv()).await.unwrap();
        assert!(message.is_some(), "{n}");
        let waiting = client.stats().received - n;
        assert!(waiting < 5_000, "{waiting} wait in a buffer of 10");
    }
    assert_eq!(client.stats().dropped, 0);
    drop(sender.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_busy_program_lets_the_driver_run() {
    let (options, mut listener) = pipe(Version::V5, 0);
    let (client, mut peer) = connected(options, &mut listener).await;
    let mut subscription = client.subscribe("a").unwrap();
    assert_eq!(peer.next().await, "Subscribe 1 a");
    for n in 1..=1_000 {
        peer.publish("a", Qos::AtLeastOnce, n, None).await;
    }
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&acknowledged);
    tokio::spawn(async move {
        loop {
            match peer.next().await {
                line if line.starts_with("Puback") => count.fetch_add(1, Ordering::Relaxed),
                line if line.starts_with("Publish") => continue,
                _ => break,
            };
        }
    });
    while client.stats().received < 1_000 {
        tokio::task::yield_now().await;
    }
    // From here on, nothing ever has to wait.
    for _ in 0..1_000 {
        subscription.recv().await.unwrap();
    }
    assert!(acknowledged.load(Ordering::Relaxed) > 500, "the consumer has starved the driver");
    for _ in 0..1_000 {
        drop(client.publish(Publish::new("b", "")).await.unwrap());
    }
    assert!(client.stats().unfinished < 500, "the producer has starved the driver");
}
