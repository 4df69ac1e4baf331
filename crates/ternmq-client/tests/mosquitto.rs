//! The client against a broker that nobody here wrote: Debian's mosquitto.

mod mosquitto_broker;

use std::time::Duration;

use mosquitto_broker::{Mosquitto, free_port, link};
use ternmq_client::transport::Tcp;
use ternmq_client::{
    Cause, Client, ConnectError, Disconnect, Lost, Options, OutboxLimits, Property, Publish, Qos,
    ReasonCode, Reconnect, State, Subscribe, Version, Will, blocking,
};
use tokio::time::timeout;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const LEVELS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
/// No test waits longer for one thing.
const LONG: Duration = Duration::from_secs(20);

fn options(broker: &Mosquitto, version: Version, client_id: &str) -> Options {
    let reconnect =
        Reconnect { max: Duration::from_millis(50), retry_first: true, ..Reconnect::default() };
    Options::new("127.0.0.1", broker.port)
        .version(version)
        .client_id(client_id)
        .reconnect(Reconnect { first: Duration::from_millis(10), ..reconnect })
}

/// Options for a session that stays.
fn lasting(broker: &Mosquitto, version: Version, client_id: &str) -> Options {
    let options = options(broker, version, client_id).clean_start(false);
    if version == Version::V5 { options.session_expiry(Duration::MAX) } else { options }
}

/// The same, but the first connection begins anew.
async fn connected(options: Options) -> Client {
    let client = Client::new(options).expect("options fit together");
    timeout(LONG, client.connect()).await.expect("in time").expect("connected");
    client
}

async fn next(subscription: &mut ternmq_client::Subscription) -> ternmq_client::Message {
    timeout(LONG, subscription.recv()).await.expect("in time").expect("a message")
}

#[tokio::test]
async fn nine_combinations_in_every_version() {
    let broker = Mosquitto::start("");
    for version in VERSIONS {
        let publisher = connected(options(&broker, version, "publisher")).await;
        for granted in LEVELS {
            let subscriber = Client::new(options(&broker, version, "subscriber")).unwrap();
            let mut subscription = subscriber.subscribe(Subscribe::to("t/+").qos(granted)).unwrap();
            timeout(LONG, subscriber.connect()).await.unwrap().unwrap();
            let codes = timeout(LONG, subscription.granted()).await.unwrap().unwrap();
            assert_eq!(codes.iter().map(|it| it.byte()).collect::<Vec<_>>(), [granted.bits()]);
            for published in LEVELS {
                let publish = Publish::new("t/1", vec![published.bits()]).qos(published);
                let receipt = publisher.publish(publish).await.unwrap();
                let code = timeout(LONG, receipt).await.unwrap().unwrap().code;
                assert_eq!(code, ReasonCode::Success);
                let message = next(&mut subscription).await;
                assert_eq!(message.payload, [published.bits()]);
                assert_eq!(message.qos, published.min(granted), "{version}");
            }
            assert_eq!(subscriber.close().await.messages, 0);
        }
    }
}

#[tokio::test]
async fn properties_arrive_as_they_were_sent() {
    let broker = Mosquitto::start("");
    let client = connected(options(&broker, Version::V5, "c")).await;
    let mut subscription =
        client.subscribe(Subscribe::to("t").property(Property::SubscriptionIdentifier(7))).unwrap();
    subscription.granted().await.unwrap();
    let publish = Publish::new("t", "x")
        .property(Property::ContentType("text/plain"))
        .property(Property::UserProperty("a", "1"))
        .property(Property::UserProperty("a", "2"))
        .expiry(Duration::from_secs(100));
    client.publish(publish).await.unwrap().await.unwrap();
    let message = next(&mut subscription).await;
    let properties = message.properties.as_properties();
    assert_eq!(properties.content_type(), Some("text/plain"));
    assert!(properties.user_properties().eq([("a", "1"), ("a", "2")]));
    assert!(properties.subscription_identifiers().eq([7]));
    assert!(properties.message_expiry_interval().is_some_and(|it| (98..=100).contains(&it)));
    let nobody = Publish::new("nobody", "x").qos(Qos::AtLeastOnce);
    let code = client.publish(nobody).await.unwrap().await.unwrap().code;
    assert_eq!(code, ReasonCode::NoMatchingSubscribers);
}

#[tokio::test]
async fn a_retained_message_and_a_will_arrive() {
    let broker = Mosquitto::start("");
    for version in VERSIONS {
        let watcher = connected(options(&broker, version, "watcher")).await;
        let will = Will::new("online", "false").qos(Qos::AtLeastOnce).retain(true);
        let device = connected(options(&broker, version, "device").will(will)).await;
        let online = Publish::new("online", "true").qos(Qos::AtLeastOnce).retain(true);
        device.publish(online).await.unwrap().await.unwrap();
        let mut subscription =
            watcher.subscribe(Subscribe::to("online").qos(Qos::AtLeastOnce)).unwrap();
        let message = next(&mut subscription).await;
        assert_eq!((message.payload.as_slice(), message.retain), (&b"true"[..], true));
        if version == Version::V5 {
            let with_will = Disconnect::new().code(ReasonCode::DisconnectWithWill);
            device.close_with(with_will).await.unwrap();
            let message = next(&mut subscription).await;
            assert_eq!((message.payload.as_slice(), message.retain), (&b"false"[..], false));
        } else {
            device.close().await;
            let after = Publish::new("online", "gone");
            watcher.publish(after).await.unwrap().await.unwrap();
            assert_eq!(next(&mut subscription).await.payload, b"gone", "an orderly end: no will");
        }
    }
}

#[tokio::test]
async fn messages_of_a_session_that_stayed_find_their_stream() {
    let broker = Mosquitto::start("");
    for version in VERSIONS {
        let publisher = connected(options(&broker, version, "publisher")).await;
        let sensor = connected(lasting(&broker, version, "sensor")).await;
        let commands = sensor.subscribe(Subscribe::to("cmd").qos(Qos::ExactlyOnce)).unwrap();
        commands.granted().await.unwrap();
        sensor.close().await;
        for n in 0..100 {
            let qos = LEVELS[1 + usize::from(n % 2)];
            publisher.publish(Publish::new("cmd", vec![n]).qos(qos)).await.unwrap().await.unwrap();
        }
        // The same session in another program: the subscription is there before the connection.
        let sensor = Client::new(lasting(&broker, version, "sensor")).unwrap();
        let mut commands = sensor.subscribe(Subscribe::to("cmd").qos(Qos::ExactlyOnce)).unwrap();
        let info = timeout(LONG, sensor.connect()).await.unwrap().unwrap();
        assert_eq!(info.session_present, version != Version::V31, "3.1 does not say");
        for n in 0..100 {
            assert_eq!(next(&mut commands).await.payload, [n], "{version}");
        }
        assert_eq!(sensor.stats().unrouted, 0);
        sensor.close().await;
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_broker_restarts() {
    for version in [Version::V311, Version::V5] {
        let mut broker = Mosquitto::start("max_queued_messages 0");
        let subscriber = connected(lasting(&broker, version, "subscriber")).await;
        let mut subscription =
            subscriber.subscribe(Subscribe::to("t").qos(Qos::ExactlyOnce)).unwrap();
        subscription.granted().await.unwrap();
        let publisher = connected(lasting(&broker, version, "publisher")).await;
        let mut states = publisher.watch();
        let mut receipts = Vec::new();
        for n in 0..300_u16 {
            if n == 150 {
                broker.stop();
                loop {
                    match timeout(LONG, states.changed()).await.unwrap().unwrap() {
                        State::Waiting { cause, .. } if cause != Cause::Requested => break,
                        _ => {}
                    }
                }
            }
            if n == 200 {
                broker.run();
            }
            let publish = Publish::new("t", n.to_be_bytes()).qos(Qos::ExactlyOnce);
            receipts.push(publisher.publish(publish).await.unwrap());
        }
        for receipt in receipts {
            timeout(LONG, receipt).await.unwrap().unwrap();
        }
        for n in 0..300_u16 {
            assert_eq!(next(&mut subscription).await.payload, n.to_be_bytes(), "{version}");
        }
        publisher.drain(LONG).await.unwrap();
    }
}

#[tokio::test]
async fn subscriptions_are_made_again_when_the_session_is_gone() {
    for version in [Version::V311, Version::V5] {
        let mut broker = Mosquitto::start("");
        let client = connected(options(&broker, version, "c")).await;
        let mut subscription = client.subscribe("a/+").unwrap();
        subscription.granted().await.unwrap();
        let mut states = client.watch();
        assert!(matches!(states.current(), State::Connected(_)));
        broker.kill();
        broker.run();
        loop {
            if let State::Connected(info) = timeout(LONG, states.changed()).await.unwrap().unwrap()
            {
                assert!(!info.session_present);
                break;
            }
        }
        // In order behind the subscription, on the same connection.
        drop(client.publish(Publish::new("a/b", "x")).await.unwrap());
        assert_eq!(next(&mut subscription).await.topic, "a/b");
    }
}

#[tokio::test]
async fn refusals_and_wrong_addresses_are_clear_errors() {
    let broker = Mosquitto::start("allow_anonymous false");
    for version in VERSIONS {
        let client = Client::new(options(&broker, version, "c").user_name("u").password("p"));
        let error = timeout(LONG, client.unwrap().connect()).await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
        assert_eq!(error.to_string(), "connection refused: not authorized (0x87)", "{version}");
    }
    let port = free_port();
    let client = Client::new(Options::new("127.0.0.1", port)).unwrap();
    let receipt = client.publish(Publish::new("t", "x")).await.unwrap();
    let error = timeout(LONG, client.connect()).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), format!("127.0.0.1:{port}: Connection refused (os error 111)"));
    client.close().await;
    assert_eq!(receipt.await, Err(Lost::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_client_has_nothing_left() {
    let broker = Mosquitto::start("");
    let client = connected(options(&broker, Version::V311, "c")).await;
    for n in 0..2_000_u16 {
        let qos = LEVELS[usize::from(n) % 3];
        drop(client.publish(Publish::new("t", n.to_be_bytes()).qos(qos)).await.unwrap());
    }
    timeout(LONG, client.drain(LONG)).await.unwrap().unwrap();
    assert!(client.publish(Publish::new("t", "late")).await.is_err());
    assert_eq!(client.close().await.messages, 0);
}

#[test]
fn the_blocking_client_does_the_same() {
    let broker = Mosquitto::start("");
    let client = blocking::Client::new(options(&broker, Version::V5, "c")).unwrap();
    let mut subscription = client.subscribe(Subscribe::to("t").qos(Qos::ExactlyOnce)).unwrap();
    client.connect().unwrap();
    assert_eq!(subscription.granted().unwrap(), [ReasonCode::GrantedQos2]);
    for qos in LEVELS {
        let receipt = client.publish(Publish::new("t", "x").qos(qos)).unwrap();
        assert_eq!(receipt.wait().unwrap().code, ReasonCode::Success);
        assert_eq!(subscription.recv_timeout(LONG).unwrap().qos, qos);
    }
    let none = subscription.recv_timeout(Duration::from_millis(1));
    assert_eq!(none, Err(blocking::RecvTimeoutError::Timeout));
    assert_eq!(client.close().messages, 0);
    assert_eq!(subscription.recv(), None);
}

#[tokio::test]
async fn publish_and_receive_in_one_task_deadlock() {
    for version in [Version::V311, Version::V5] {
        let broker = Mosquitto::start("max_queued_messages 0");
        let few = OutboxLimits { messages: 10, ..OutboxLimits::default() };
        let client = connected(options(&broker, version, "c").outbox(few)).await;
        let mut subscription = client.subscribe(Subscribe::to("t").qos(Qos::ExactlyOnce)).unwrap();
        subscription.granted().await.unwrap();
        const COUNT: u16 = 3_000;
        for n in 0..COUNT {
            let qos = LEVELS[1 + usize::from(n % 2)];
            let publish = Publish::new("t", n.to_be_bytes()).qos(qos);
            drop(timeout(LONG, client.publish(publish)).await.expect("no deadlock").unwrap());
        }
        let mut numbers = Vec::new();
        for _ in 0..COUNT {
            let message = next(&mut subscription).await;
            numbers.push(u16::from_be_bytes(message.payload.try_into().unwrap()));
        }
        // mosquitto lets a QoS 2 message that is released at the right moment overtake its queue.
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..COUNT), "{version}");
    }
}

#[tokio::test]
async fn exactly_once_over_a_link_that_is_cut_again_and_again() {
    for version in [Version::V311, Version::V5] {
        let broker = Mosquitto::start("max_queued_messages 0");
        let subscriber = connected(lasting(&broker, version, "subscriber")).await;
        let mut subscription =
            subscriber.subscribe(Subscribe::to("t").qos(Qos::ExactlyOnce)).unwrap();
        subscription.granted().await.unwrap();
        let (link, cuts) = link::cutting(broker.port, version as u64).await;
        let publisher = Client::new(over(link, lasting(&broker, version, "publisher"))).unwrap();
        timeout(LONG, publisher.connect()).await.unwrap().unwrap();
        const COUNT: u16 = 1_000;
        let mut receipts = Vec::new();
        for n in 0..COUNT {
            let publish = Publish::new("t", n.to_be_bytes()).qos(Qos::ExactlyOnce);
            receipts.push(publisher.publish(publish).await.unwrap());
        }
        for receipt in receipts {
            timeout(LONG, receipt).await.unwrap().unwrap();
        }
        for n in 0..COUNT {
            assert_eq!(next(&mut subscription).await.payload, n.to_be_bytes(), "{version}");
        }
        let cuts = cuts.load(std::sync::atomic::Ordering::Relaxed);
        assert!(cuts >= 10, "the link was cut {cuts} times only");
    }
}

/// The same options, over another port.
fn over(port: u16, options: Options) -> Options {
    options.connector(std::sync::Arc::new(Tcp::new("127.0.0.1", port)))
}
