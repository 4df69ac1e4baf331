//! Every checker is shown a history that is right and one that is wrong in a single thing, and has to
//! tell them apart by the name of the rule that was broken.

use ternmq_proto::packet::{RetainHandling, SubscriptionOptions};
use ternmq_proto::{PacketId, Qos, ReasonCode, Version};

use super::judge;
use crate::facts::Facts;
use crate::history::{
    ClientNo, Connection, ConnectionNo, Delivered, Ending, Event, Flow, History, IdentifierSet,
    Message, MessageNo, Publish, Request, Tick, TopicNo, WillTerms, Written,
};

const SECOND: u64 = 1_000_000;
const NEVER: u32 = u32::MAX;
const QOS0: Qos = Qos::AtMostOnce;
const QOS1: Qos = Qos::AtLeastOnce;
const QOS2: Qos = Qos::ExactlyOnce;
const OK: ReasonCode = ReasonCode::Success;

/// Writes a history, one line after the other.
struct Script {
    history: History,
    at: u64,
    /// A batch completes after every packet of a client.
    commits: bool,
    packet_bytes: u32,
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("a test's identifier")
}

impl Script {
    fn new() -> Self {
        let mut history = History {
            topics: vec!["t".to_owned(), "u".to_owned()],
            shards: 1,
            topic_shards: vec![0, 0],
            ..History::default()
        };
        for filter in ["t", "#", "$share/s/t"] {
            history.add_filter(filter);
        }
        Script { history, at: 0, commits: true, packet_bytes: 20 }
    }

    fn push(&mut self, event: Event) -> Tick {
        self.at += 10;
        self.history.push(self.at, event)
    }

    fn commit(&mut self) {
        if self.commits {
            let submitted = self.history.now();
            self.push(Event::Committed { shard: 0, submitted });
        }
    }

    fn up(&mut self, connection: ConnectionNo, flow: Flow) {
        self.push(Event::Up(connection, flow));
        self.commit();
    }

    fn down(&mut self, connection: ConnectionNo, flow: Flow) {
        let written = Written { bytes: self.packet_bytes, encoded_at: self.at + 10 };
        self.push(Event::Down(connection, flow, written));
    }

    fn open(&mut self, client: u16, expiry_seconds: u32, will: Option<WillTerms>) -> ConnectionNo {
        self.open_as(client, false, expiry_seconds, will)
    }

    fn open_as(
        &mut self,
        client: u16,
        clean_start: bool,
        expiry_seconds: u32,
        will: Option<WillTerms>,
    ) -> ConnectionNo {
        let number = ConnectionNo(self.history.connections.len() as u32);
        self.history.connections.push(Connection {
            client: ClientNo(client),
            version: Version::V5,
            clean_start,
            expiry_seconds,
            keep_alive_seconds: 0,
            receive_maximum: 2,
            packet_bytes_max: 100,
            will,
            shard: 0,
        });
        self.push(Event::Opened(number));
        self.commit();
        number
    }

    fn greet(&mut self, connection: ConnectionNo, session_present: bool) {
        self.down(connection, Flow::Connack { session_present, code: OK });
    }

    /// A client with a new session that outlives its connection.
    fn client(&mut self, client: u16) -> ConnectionNo {
        let connection = self.open(client, NEVER, None);
        self.greet(connection, false);
        connection
    }

    fn close(&mut self, connection: ConnectionNo, ending: Ending) {
        self.push(Event::Closed(connection, ending));
    }

    fn resume(&mut self, connection: ConnectionNo) -> ConnectionNo {
        self.close(connection, Ending::Lost);
        let client = self.history.connection(connection).client.0;
        let connection = self.open(client, NEVER, None);
        self.greet(connection, true);
        connection
    }

    fn subscribe(&mut self, connection: ConnectionNo, filter: &str, qos: Qos) {
        self.subscribe_with(connection, filter, SubscriptionOptions::from(qos), 0);
    }

    fn subscribe_with(
        &mut self,
        connection: ConnectionNo,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
    ) {
        let filter = self.history.filter_no(filter).expect("a test's filter");
        let request = Request { filter, options, identifier };
        let span = self.history.add_requests([request].into_iter());
        self.up(connection, Flow::Subscribe(id(900), span));
        let codes = self.history.add_codes(&[options.qos.bits()]);
        self.down(connection, Flow::Suback(id(900), codes));
    }

    fn unsubscribe(&mut self, connection: ConnectionNo, filter: &str) {
        let filter = self.history.filter_no(filter).expect("a test's filter");
        let request = Request { filter, options: SubscriptionOptions::default(), identifier: 0 };
        let span = self.history.add_requests([request].into_iter());
        self.up(connection, Flow::Unsubscribe(id(901), span));
        self.down(connection, Flow::Unsuback(id(901)));
    }

    fn message(&mut self, client: u16, qos: Qos, retain: bool) -> MessageNo {
        self.history.add_message(Message {
            publisher: ClientNo(client),
            topic: TopicNo(0),
            qos,
            retain,
            clears: false,
            expiry_seconds: None,
            payload_bytes: 10,
            is_will: false,
        })
    }

    fn will(&mut self, client: u16, delay_seconds: u32) -> WillTerms {
        let message = self.message(client, QOS1, false);
        self.history.messages[message.0 as usize].is_will = true;
        WillTerms { message, delay_seconds }
    }

    fn packet(&self, message: MessageNo, packet_id: u16, qos: Qos) -> Publish {
        Publish {
            packet_id: (qos > QOS0).then(|| id(packet_id)),
            message: Some(message),
            topic: TopicNo(0),
            qos,
            dup: false,
            retain: false,
            expiry_seconds: None,
            identifiers: IdentifierSet::default(),
        }
    }

    /// A message comes from a client, whatever the broker does with it.
    fn bring(&mut self, connection: ConnectionNo, message: MessageNo, packet_id: u16) {
        let qos = self.history.message(message).qos;
        let publish = self.packet(message, packet_id, qos);
        self.up(connection, Flow::Publish(publish));
    }

    /// A message is published, and its exchange runs to its end.
    fn publish(&mut self, connection: ConnectionNo, message: MessageNo, packet_id: u16) {
        self.bring(connection, message, packet_id);
        match self.history.message(message).qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.down(connection, Flow::Puback(id(packet_id), OK)),
            Qos::ExactlyOnce => {
                self.down(connection, Flow::Pubrec(id(packet_id), OK));
                self.up(connection, Flow::Pubrel(id(packet_id), OK));
                self.down(connection, Flow::Pubcomp(id(packet_id), OK));
            }
        }
    }

    fn send(&mut self, connection: ConnectionNo, publish: Publish) {
        self.down(connection, Flow::Publish(publish));
    }

    fn arrive(&mut self, connection: ConnectionNo, publish: Publish) {
        let Some(message) = publish.message else { return };
        let (qos, retain) = (publish.qos, publish.retain);
        self.push(Event::Delivered(Delivered { connection, message, qos, retain }));
    }

    fn finish(&mut self, connection: ConnectionNo, publish: Publish) {
        let Some(id) = publish.packet_id else { return };
        if publish.qos == QOS1 {
            return self.up(connection, Flow::Puback(id, OK));
        }
        self.up(connection, Flow::Pubrec(id, OK));
        self.down(connection, Flow::Pubrel(id, OK));
        self.up(connection, Flow::Pubcomp(id, OK));
    }

    /// A message is sent, arrives, and is acknowledged.
    fn deliver(&mut self, connection: ConnectionNo, publish: Publish) {
        self.send(connection, publish);
        self.arrive(connection, publish);
        self.finish(connection, publish);
    }

    /// The rules that were broken.
    fn broken(&mut self) -> Vec<&'static str> {
        let mut broken: Vec<_> = judge(&Facts::new(&self.history, self.at))
            .violations
            .iter()
            .map(|it| it.invariant)
            .collect();
        broken.sort_unstable();
        broken.dedup();
        broken
    }
}

/// A publisher (client 0) and a subscriber (client 1) to `t` at a level.
fn pair(granted: Qos) -> (Script, ConnectionNo, ConnectionNo) {
    let mut script = Script::new();
    let publisher = script.client(0);
    let subscriber = script.client(1);
    script.subscribe(subscriber, "t", granted);
    (script, publisher, subscriber)
}

/// Runs a story twice: right, and with one thing changed.
#[track_caller]
fn only_wrong_breaks(rule: &'static str, story: impl Fn(bool) -> Script) {
    assert_eq!(story(false).broken(), [""; 0], "the right history");
    assert_eq!(story(true).broken(), [rule], "the wrong history");
}

#[test]
fn a_lost_message_is_missed() {
    for qos in [QOS0, QOS1, QOS2] {
        only_wrong_breaks("at-least-once", |wrong| {
            let (mut script, publisher, subscriber) = pair(QOS2);
            let message = script.message(0, qos, false);
            script.publish(publisher, message, 1);
            if !wrong {
                script.deliver(subscriber, script.packet(message, 1, qos));
            }
            script
        });
    }
}

#[test]
fn drops_are_forgiven_as_far_as_they_were_counted() {
    only_wrong_breaks("at-least-once", |wrong| {
        let (mut script, publisher, _) = pair(QOS1);
        for packet_id in 1..=2 {
            let message = script.message(0, QOS1, false);
            script.publish(publisher, message, packet_id);
        }
        (script.history.may_drop, script.history.dropped) = (true, if wrong { 1 } else { 2 });
        script
    });
}

#[test]
fn a_second_delivery_at_qos_2_is_noticed() {
    only_wrong_breaks("exactly-once", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS2);
        let message = script.message(0, QOS2, false);
        script.publish(publisher, message, 1);
        let mut publish = script.packet(message, 1, QOS2);
        script.send(subscriber, publish);
        script.arrive(subscriber, publish);
        let subscriber = script.resume(subscriber);
        publish.dup = true;
        script.send(subscriber, publish);
        if wrong {
            script.arrive(subscriber, publish);
        }
        script.finish(subscriber, publish);
        script
    });
}

#[test]
fn a_second_copy_is_noticed() {
    only_wrong_breaks("one-copy", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        let message = script.message(0, QOS1, false);
        script.bring(publisher, message, 1);
        if !wrong {
            script.bring(publisher, message, 1);
            script.down(publisher, Flow::Puback(id(1), OK));
        }
        script.down(publisher, Flow::Puback(id(1), OK));
        script.deliver(subscriber, script.packet(message, 1, QOS1));
        script.deliver(subscriber, script.packet(message, 2, QOS1));
        script
    });
}

#[test]
fn a_message_after_unsuback_is_noticed() {
    only_wrong_breaks("only-subscribed", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        let message = script.message(0, QOS1, false);
        if wrong {
            script.unsubscribe(subscriber, "t");
        }
        script.publish(publisher, message, 1);
        script.deliver(subscriber, script.packet(message, 1, QOS1));
        script
    });
}

#[test]
fn a_message_that_nobody_published_is_noticed() {
    let (mut script, _, subscriber) = pair(QOS1);
    let message = script.message(0, QOS1, false);
    script.deliver(subscriber, script.packet(message, 1, QOS1));
    assert_eq!(script.broken(), ["one-copy", "published"]);
}

/// A message at QoS 2 arrives with something about it that `spoil` changes.
fn spoilt(rule: &'static str, granted: Qos, spoil: impl Fn(&mut Publish)) {
    only_wrong_breaks(rule, |wrong| {
        let (mut script, publisher, subscriber) = pair(granted);
        let message = script.message(0, QOS2, false);
        script.publish(publisher, message, 1);
        let mut publish = script.packet(message, 1, granted);
        if wrong {
            spoil(&mut publish);
        }
        script.deliver(subscriber, publish);
        script
    });
}

#[test]
fn a_wrong_qos_topic_flag_or_identifier_is_noticed() {
    spoilt("delivered-qos", QOS1, |publish| publish.qos = QOS2);
    spoilt("delivered-qos", QOS2, |publish| publish.qos = QOS1);
    spoilt("retain-flag", QOS1, |publish| publish.retain = true);
    spoilt("subscription-identifiers", QOS1, |publish| publish.identifiers.0 = 4);
    only_wrong_breaks("subscription-identifiers", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        script.subscribe_with(subscriber, "#", QOS1.into(), 3);
        let message = script.message(0, QOS1, false);
        script.publish(publisher, message, 1);
        let mut publish = script.packet(message, 1, QOS1);
        publish.identifiers.0 = if wrong { 0 } else { 8 };
        script.deliver(subscriber, publish);
        script
    });
}

#[test]
fn a_message_on_another_topic_is_noticed() {
    only_wrong_breaks("right-topic", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        script.subscribe(subscriber, "#", QOS1);
        let message = script.message(0, QOS1, false);
        script.publish(publisher, message, 1);
        let mut publish = script.packet(message, 1, QOS1);
        publish.topic = TopicNo(u16::from(wrong));
        script.deliver(subscriber, publish);
        script
    });
}

#[test]
fn a_message_that_returns_to_its_publisher_is_noticed() {
    only_wrong_breaks("no-local", |wrong| {
        let mut script = Script::new();
        let client = script.client(0);
        let no_local = SubscriptionOptions { no_local: wrong, ..QOS1.into() };
        script.subscribe_with(client, "t", no_local, 0);
        let message = script.message(0, QOS1, false);
        script.publish(client, message, 1);
        script.deliver(client, script.packet(message, 1, QOS1));
        script
    });
}

#[test]
fn a_message_after_its_expiry_or_with_a_wrong_rest_is_noticed() {
    let story = |waits: u64, rest: u32| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        let message = script.message(0, QOS1, false);
        script.history.messages[message.0 as usize].expiry_seconds = Some(5);
        let mut publish = script.packet(message, 1, QOS1);
        publish.expiry_seconds = Some(5);
        script.up(publisher, Flow::Publish(publish));
        script.down(publisher, Flow::Puback(id(1), OK));
        script.at += waits;
        publish.expiry_seconds = Some(rest);
        script.deliver(subscriber, publish);
        script
    };
    only_wrong_breaks("rest-of-expiry", |wrong| story(2 * SECOND, if wrong { 5 } else { 3 }));
    assert_eq!(story(6 * SECOND, 0).broken(), ["expired"]);
}

#[test]
fn a_lie_about_subscribers_is_noticed() {
    only_wrong_breaks("no-matching-subscribers", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        let message = script.message(0, QOS1, false);
        script.bring(publisher, message, 1);
        let code = if wrong { ReasonCode::NoMatchingSubscribers } else { OK };
        script.down(publisher, Flow::Puback(id(1), code));
        script.deliver(subscriber, script.packet(message, 1, QOS1));
        script
    });
}

#[test]
fn messages_out_of_order_are_noticed() {
    only_wrong_breaks("order", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        let first = script.message(0, QOS1, false);
        let second = script.message(0, QOS1, false);
        script.publish(publisher, first, 1);
        script.publish(publisher, second, 2);
        let order = if wrong { [second, first] } else { [first, second] };
        for (packet_id, message) in (1..).zip(order) {
            script.deliver(subscriber, script.packet(message, packet_id, QOS1));
        }
        script
    });
}

#[test]
fn acknowledgements_out_of_order_are_noticed() {
    only_wrong_breaks("acknowledgement-order", |wrong| {
        let mut script = Script::new();
        let publisher = script.client(0);
        for packet_id in 1..=2 {
            let message = script.message(0, QOS1, false);
            script.bring(publisher, message, packet_id);
        }
        let order = if wrong { [2, 1] } else { [1, 2] };
        for packet_id in order {
            script.down(publisher, Flow::Puback(id(packet_id), OK));
        }
        script
    });
}

/// Two messages are sent, and a resume sends them again in an order; then a third is sent.
fn resumed(order: [u16; 2], third_comes_first: bool) -> Script {
    let (mut script, publisher, subscriber) = pair(QOS1);
    let messages = [0, 1, 2].map(|_| script.message(0, QOS1, false));
    for (packet_id, message) in (1..).zip(messages) {
        script.publish(publisher, message, packet_id);
    }
    script.history.connections[1].receive_maximum = 10;
    let packets = [1, 2, 3].map(|n| script.packet(messages[usize::from(n) - 1], n, QOS1));
    script.send(subscriber, packets[0]);
    script.send(subscriber, packets[1]);
    let subscriber = script.resume(subscriber);
    script.history.connections[2].receive_maximum = 10;
    if third_comes_first {
        script.send(subscriber, packets[2]);
    }
    for packet_id in order {
        let packet = packets[usize::from(packet_id) - 1];
        script.send(subscriber, Publish { dup: true, ..packet });
    }
    if !third_comes_first {
        script.send(subscriber, packets[2]);
    }
    for packet in packets {
        script.arrive(subscriber, packet);
        script.finish(subscriber, packet);
    }
    script
}

#[test]
fn a_resume_in_the_wrong_order_is_noticed() {
    only_wrong_breaks("resend-order", |wrong| resumed(if wrong { [2, 1] } else { [1, 2] }, false));
    only_wrong_breaks("resend-first", |wrong| resumed([1, 2], wrong));
}

/// A message is sent and not acknowledged; what follows is up to the story.
fn in_flight(qos: Qos) -> (Script, ConnectionNo, Publish, MessageNo) {
    let (mut script, publisher, subscriber) = pair(qos);
    let first = script.message(0, qos, false);
    let second = script.message(0, qos, false);
    script.publish(publisher, first, 1);
    script.publish(publisher, second, 2);
    let publish = script.packet(first, 1, qos);
    script.send(subscriber, publish);
    script.arrive(subscriber, publish);
    (script, subscriber, publish, second)
}

#[test]
fn an_identifier_in_use_is_not_used_again() {
    only_wrong_breaks("identifier-reused", |wrong| {
        let (mut script, subscriber, publish, second) = in_flight(QOS1);
        if !wrong {
            script.finish(subscriber, publish);
        }
        let subscriber = script.resume(subscriber);
        script.deliver(subscriber, Publish { dup: wrong, ..script.packet(second, 1, QOS1) });
        script
    });
}

#[test]
fn a_repetition_without_dup_or_on_the_same_connection_is_noticed() {
    let again = |resumes: bool, dup: bool| {
        let (mut script, mut subscriber, publish, second) = in_flight(QOS1);
        if resumes {
            subscriber = script.resume(subscriber);
        }
        script.send(subscriber, Publish { dup, ..publish });
        script.finish(subscriber, publish);
        script.deliver(subscriber, script.packet(second, 2, QOS1));
        script
    };
    assert_eq!(again(true, true).broken(), [""; 0]);
    assert_eq!(again(true, false).broken(), ["dup-missing", "one-copy"]);
    assert_eq!(again(false, true).broken(), ["resend-first", "resent-in-connection"]);
}

#[test]
fn a_message_sent_again_after_pubrec_is_noticed() {
    only_wrong_breaks("publish-after-pubrec", |wrong| {
        let (mut script, subscriber, publish, second) = in_flight(QOS2);
        script.up(subscriber, Flow::Pubrec(id(1), OK));
        let subscriber = script.resume(subscriber);
        if wrong {
            script.send(subscriber, Publish { dup: true, ..publish });
        }
        script.down(subscriber, Flow::Pubrel(id(1), OK));
        script.up(subscriber, Flow::Pubcomp(id(1), OK));
        script.deliver(subscriber, script.packet(second, 2, QOS2));
        script
    });
}

#[test]
fn a_pubrel_that_was_not_asked_for_is_noticed() {
    only_wrong_breaks("pubrel-unasked", |wrong| {
        let (mut script, subscriber, publish, second) = in_flight(QOS2);
        if wrong {
            script.down(subscriber, Flow::Pubrel(id(1), OK));
        }
        script.finish(subscriber, publish);
        script.deliver(subscriber, script.packet(second, 2, QOS2));
        script
    });
}

#[test]
fn more_than_the_receive_maximum_or_the_packet_size_is_noticed() {
    only_wrong_breaks("receive-maximum", |wrong| {
        let (mut script, subscriber, publish, second) = in_flight(QOS1);
        script.history.connections[1].receive_maximum = if wrong { 1 } else { 2 };
        let next = script.packet(second, 2, QOS1);
        script.send(subscriber, next);
        script.arrive(subscriber, next);
        script.finish(subscriber, publish);
        script.finish(subscriber, next);
        script
    });
    only_wrong_breaks("packet-size", |wrong| {
        let (mut script, publisher, subscriber) = pair(QOS1);
        let message = script.message(0, QOS1, false);
        script.publish(publisher, message, 1);
        script.packet_bytes = if wrong { 101 } else { 100 };
        script.deliver(subscriber, script.packet(message, 1, QOS1));
        script
    });
}

#[test]
fn a_forgotten_inbound_identifier_is_noticed() {
    only_wrong_breaks("inbound-forgotten", |wrong| {
        let mut script = Script::new();
        let publisher = script.client(0);
        let message = script.message(0, QOS2, false);
        script.bring(publisher, message, 1);
        script.down(publisher, Flow::Pubrec(id(1), OK));
        let publisher = script.resume(publisher);
        script.up(publisher, Flow::Pubrel(id(1), OK));
        let code = if wrong { ReasonCode::PacketIdentifierNotFound } else { OK };
        script.down(publisher, Flow::Pubcomp(id(1), code));
        script
    });
}

#[test]
fn an_identifier_that_is_left_over_is_noticed() {
    only_wrong_breaks("identifier-leak", |wrong| {
        let (mut script, subscriber, publish, second) = in_flight(QOS1);
        if !wrong {
            script.finish(subscriber, publish);
        }
        script.deliver(subscriber, script.packet(second, 2, QOS1));
        script
    });
}

#[test]
fn a_lie_about_the_session_is_noticed() {
    for clean_start in [false, true] {
        only_wrong_breaks("session-present", |wrong| {
            let mut script = Script::new();
            let connection = script.client(0);
            script.close(connection, Ending::Lost);
            let connection = script.open_as(0, clean_start, NEVER, None);
            script.greet(connection, clean_start == wrong);
            script
        });
    }
    only_wrong_breaks("session-present", |wrong| {
        let mut script = Script::new();
        let connection = script.open(0, 10, None);
        script.greet(connection, false);
        script.close(connection, Ending::Lost);
        script.at += 12 * SECOND;
        let connection = script.open(0, 10, None);
        script.greet(connection, wrong);
        script
    });
}

#[test]
fn a_connection_that_outlives_its_keep_alive_is_noticed() {
    for closes in [false, true] {
        only_wrong_breaks("keep-alive", |wrong| {
            let mut script = Script::new();
            let connection = script.client(0);
            script.history.connections[0].keep_alive_seconds = 10;
            script.at += if wrong { 22 } else { 20 } * SECOND;
            if closes {
                script.close(connection, Ending::ByBroker);
            } else {
                script.client(1);
            }
            script
        });
    }
}

#[test]
fn a_refused_connection_and_a_lower_grant_are_noticed() {
    only_wrong_breaks("accepted", |wrong| {
        let mut script = Script::new();
        let connection = script.open(0, NEVER, None);
        let code = if wrong { ReasonCode::ServerBusy } else { OK };
        script.down(connection, Flow::Connack { session_present: false, code });
        script
    });
    only_wrong_breaks("granted-qos", |wrong| {
        let (mut script, ..) = pair(QOS2);
        script.history.codes[0] = if wrong { 1 } else { 2 };
        script
    });
}

/// A retained message was there before a subscription with this retain handling, and is or is not
/// sent to it.
fn greeted(handling: RetainHandling, copies: u16) -> Script {
    let mut script = Script::new();
    let publisher = script.client(0);
    let message = script.message(0, QOS1, true);
    script.publish(publisher, message, 1);
    let subscriber = script.client(1);
    let options = SubscriptionOptions { retain_handling: handling, ..QOS1.into() };
    script.subscribe_with(subscriber, "t", options, 0);
    for packet_id in 1..=copies {
        let packet = script.packet(message, packet_id, QOS1);
        script.deliver(subscriber, Publish { retain: true, ..packet });
    }
    audit(&mut script, Some(message));
    script
}

/// The auditor finds this message on the topic.
fn audit(script: &mut Script, found: Option<MessageNo>) {
    let auditor = script.client(9);
    script.history.auditor = Some(ClientNo(9));
    script.subscribe(auditor, "t", QOS1);
    if let Some(message) = found {
        let packet = script.packet(message, 1, QOS1);
        script.deliver(auditor, Publish { retain: true, ..packet });
    }
}

#[test]
fn retained_messages_come_as_often_as_retain_handling_says() {
    assert_eq!(greeted(RetainHandling::Always, 1).broken(), [""; 0]);
    assert_eq!(greeted(RetainHandling::Always, 0).broken(), ["retained-gap"]);
    assert_eq!(greeted(RetainHandling::Always, 2).broken(), ["retained-copies"]);
    assert_eq!(greeted(RetainHandling::Never, 0).broken(), [""; 0]);
    assert_eq!(greeted(RetainHandling::Never, 1).broken(), ["retained-copies"]);
}

#[test]
fn an_old_retained_message_is_noticed() {
    only_wrong_breaks("retained-stale", |wrong| {
        let mut script = Script::new();
        let publisher = script.client(0);
        let old = script.message(0, QOS1, true);
        let new = script.message(0, QOS1, true);
        script.publish(publisher, old, 1);
        script.publish(publisher, new, 2);
        let subscriber = script.client(1);
        script.subscribe(subscriber, "t", QOS1);
        let shown = if wrong { old } else { new };
        let packet = script.packet(shown, 1, QOS1);
        script.deliver(subscriber, Publish { retain: true, ..packet });
        script
    });
}

#[test]
fn an_old_value_after_a_new_one_is_noticed() {
    only_wrong_breaks("old-after-new", |wrong| {
        let mut script = Script::new();
        let publisher = script.client(0);
        let old = script.message(0, QOS1, true);
        let new = script.message(0, QOS1, true);
        script.publish(publisher, old, 1);
        let subscriber = script.client(1);
        script.subscribe(subscriber, "t", QOS1);
        script.publish(publisher, new, 2);
        let live = script.packet(new, 1, QOS1);
        let shown = Publish { retain: true, ..script.packet(old, 2, QOS1) };
        for packet in if wrong { [live, shown] } else { [shown, live] } {
            script.deliver(subscriber, packet);
        }
        script
    });
}

#[test]
fn a_live_message_with_retain_is_noticed() {
    only_wrong_breaks("retained-live", |wrong| {
        let mut script = Script::new();
        let publisher = script.client(0);
        let message = script.message(0, QOS2, true);
        let subscriber = script.client(1);
        script.subscribe(subscriber, "t", QOS2);
        script.publish(publisher, message, 1);
        let packet = script.packet(message, 1, QOS2);
        script.deliver(subscriber, Publish { retain: wrong, ..packet });
        script
    });
}

#[test]
fn what_is_kept_at_the_end_is_the_last_value() {
    let story = |found: Option<usize>| {
        let mut script = Script::new();
        let publisher = script.client(0);
        let messages = [0, 1].map(|_| script.message(0, QOS1, true));
        script.publish(publisher, messages[0], 1);
        script.publish(publisher, messages[1], 2);
        audit(&mut script, found.map(|index| messages[index]));
        script
    };
    assert_eq!(story(Some(1)).broken(), [""; 0]);
    assert!(story(Some(0)).broken().contains(&"retained-last"));
    assert_eq!(story(None).broken(), ["retained-lost"]);
}

/// A client with a will is lost or leaves, and the will arrives after a time or not at all.
fn testament(delay_seconds: u32, ending: Ending, arrives_after: Option<u64>) -> Script {
    let (mut script, _, subscriber) = pair(QOS1);
    let will = script.will(2, delay_seconds);
    let testator = script.open(2, NEVER, Some(will));
    script.greet(testator, false);
    script.close(testator, ending);
    let closed_at = script.at;
    if let Some(after) = arrives_after {
        script.at = closed_at + after;
        script.deliver(subscriber, script.packet(will.message, 1, QOS1));
    }
    script.at = closed_at + 60 * SECOND;
    script.client(3);
    script
}

#[test]
fn wills_come_when_they_are_due_and_only_then() {
    let normal = Ending::Normal { expiry_seconds: None };
    let broken = |delay, ending, after| testament(delay, ending, after).broken();
    assert_eq!(broken(0, Ending::Lost, Some(0)), [""; 0]);
    assert_eq!(broken(0, Ending::Lost, None), ["will-missing"]);
    assert_eq!(broken(0, normal, None), [""; 0]);
    assert_eq!(broken(0, normal, Some(0)), ["will-unexpected"]);
    assert_eq!(broken(5, Ending::Lost, Some(5 * SECOND)), [""; 0]);
    assert_eq!(broken(5, Ending::Lost, Some(4 * SECOND)), ["will-early"]);
}

#[test]
fn a_will_after_a_resume_in_time_is_noticed() {
    only_wrong_breaks("will-unexpected", |wrong| {
        let (mut script, _, subscriber) = pair(QOS1);
        let will = script.will(2, 5);
        let testator = script.open(2, NEVER, Some(will));
        script.greet(testator, false);
        script.resume(testator);
        script.at += 10 * SECOND;
        if wrong {
            script.deliver(subscriber, script.packet(will.message, 1, QOS1));
        }
        script
    });
}

/// Two members of a shared group, of which so many get a message at a level.
fn group(qos: Qos, receivers: usize, first_leaves: bool) -> Script {
    let mut script = Script::new();
    let publisher = script.client(0);
    let members = [1, 2].map(|client| script.client(client));
    for member in members {
        script.subscribe(member, "$share/s/t", QOS2);
    }
    let message = script.message(0, qos, false);
    script.publish(publisher, message, 1);
    for member in &members[..receivers] {
        script.deliver(*member, script.packet(message, 1, qos));
        if first_leaves && *member == members[0] {
            script.unsubscribe(members[0], "$share/s/t");
        }
    }
    script
}

#[test]
fn a_shared_message_goes_to_one_member() {
    for qos in [QOS1, QOS2] {
        assert_eq!(group(qos, 1, false).broken(), [""; 0]);
        assert_eq!(group(qos, 0, false).broken(), ["share-nobody"]);
        assert_eq!(group(qos, 2, false).broken(), ["share-one-member"]);
    }
    assert_eq!(group(QOS1, 2, true).broken(), [""; 0], "it may move when a member leaves");
    assert_eq!(group(QOS2, 2, true).broken(), ["share-one-member"]);
}

#[test]
fn an_acknowledgement_before_its_commit_is_noticed() {
    let story = |qos: Qos, expiry: u32, wrong: bool| {
        let mut script = Script::new();
        let publisher = script.open(0, expiry, None);
        script.greet(publisher, false);
        let subscriber = script.client(1);
        script.subscribe(subscriber, "t", QOS2);
        let message = script.message(0, qos, false);
        script.commits = !wrong;
        script.bring(publisher, message, 1);
        script.down(
            publisher,
            if qos == QOS1 { Flow::Puback(id(1), OK) } else { Flow::Pubrec(id(1), OK) },
        );
        script.commits = true;
        script.commit();
        if qos == QOS2 {
            script.up(publisher, Flow::Pubrel(id(1), OK));
            script.down(publisher, Flow::Pubcomp(id(1), OK));
        }
        script.deliver(subscriber, script.packet(message, 1, qos));
        script
    };
    only_wrong_breaks("gate-receipt", |wrong| story(QOS1, NEVER, wrong));
    only_wrong_breaks("gate-receipt", |wrong| story(QOS2, 0, wrong));
    only_wrong_breaks("gate-outbox", |wrong| story(QOS2, NEVER, wrong));
}

#[test]
fn answers_before_the_commit_of_their_change_are_noticed() {
    only_wrong_breaks("gate-subscription", |wrong| {
        let mut script = Script::new();
        let client = script.client(0);
        script.commits = !wrong;
        script.subscribe(client, "t", QOS1);
        script
    });
    only_wrong_breaks("gate-exchange", |wrong| {
        let mut script = Script::new();
        let publisher = script.client(0);
        let message = script.message(0, QOS2, false);
        script.bring(publisher, message, 1);
        script.down(publisher, Flow::Pubrec(id(1), OK));
        script.commits = !wrong;
        script.up(publisher, Flow::Pubrel(id(1), OK));
        script.down(publisher, Flow::Pubcomp(id(1), OK));
        script
    });
}
