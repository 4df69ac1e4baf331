//! rumqttc, a Rust client that nobody here wrote, against the real binary: MQTT 3.1.1 and 5.0.

mod program;

use std::collections::HashSet;
use std::sync::mpsc::channel;

use program::{Broker, PATIENCE};

/// The same tests for rumqttc's two modules, whose types differ and whose methods do not.
macro_rules! tests_of {
    ($version:ident, $($module:ident)::+, $packet:path, $persist:expr) => {
        mod $version {
            use super::*;
            use $($module)::+::{Client, Connection, Event, MqttOptions};
            use $($module)::+::mqttbytes::QoS;
            use $packet as Packet;

            struct Peer {
                client: Client,
                connection: Connection,
                session_present: bool,
            }

            impl Peer {
                fn connect(broker: &Broker, id: &str, persistent: bool) -> Peer {
                    let mut options = MqttOptions::new(id, "127.0.0.1", broker.port);
                    let persist: fn(&mut MqttOptions, bool) = $persist;
                    persist(&mut options, persistent);
                    let (client, connection) = Client::new(options, 2_000);
                    let mut peer = Peer { client, connection, session_present: false };
                    peer.session_present = peer.wait(|it| match it {
                        Packet::ConnAck(ack) => Some(ack.session_present),
                        _ => None,
                    });
                    peer
                }

                fn wait<T>(&mut self, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
                    loop {
                        let event = self.connection.recv_timeout(PATIENCE).expect("an event in time");
                        if let Event::Incoming(packet) = event.expect("the connection holds")
                            && let Some(it) = wanted(packet)
                        {
                            return it;
                        }
                    }
                }

                fn subscribe(&mut self, filter: &str, qos: QoS) {
                    self.client.subscribe(filter, qos).expect("the request is taken");
                    self.wait(|it| matches!(it, Packet::SubAck(_)).then_some(()));
                }

                /// Publishes numbers and waits for their acknowledgements.
                fn publish(&mut self, topic: &str, qos: QoS, numbers: std::ops::Range<u32>) {
                    let mut left = if qos == QoS::AtMostOnce { 0 } else { numbers.len() };
                    for number in numbers {
                        let payload = number.to_string().into_bytes();
                        self.client.publish(topic, qos, false, payload).expect("the request is taken");
                    }
                    while left > 0 {
                        self.wait(|it| matches!(it, Packet::PubAck(_) | Packet::PubComp(_)).then_some(()));
                        left -= 1;
                    }
                }

                /// Receives this many messages as (payload, QoS).
                fn receive(&mut self, count: usize) -> Vec<(u32, QoS)> {
                    (0..count)
                        .map(|_| {
                            self.wait(|it| match it {
                                Packet::Publish(it) => {
                                    let text = std::str::from_utf8(&it.payload).expect("a number");
                                    Some((text.parse().expect("a number"), it.qos))
                                }
                                _ => None,
                            })
                        })
                        .collect()
                }

                fn leave(mut self) {
                    self.client.disconnect().expect("the request is taken");
                    while let Ok(Ok(_)) = self.connection.recv_timeout(PATIENCE) {}
                }
            }

            #[test]
            fn every_qos_arrives_in_order() {
                let broker = Broker::start();
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let mut subscriber = Peer::connect(&broker, "subscriber", false);
                    subscriber.subscribe("n/+", qos);
                    let mut publisher = Peer::connect(&broker, "publisher", false);
                    let topic = format!("n/{}", qos as u8);
                    let sender = std::thread::spawn(move || {
                        publisher.publish(&topic, qos, 0..500);
                        publisher.client.publish("n/end", QoS::AtMostOnce, false, "500").expect("taken");
                        publisher.leave();
                    });
                    let received = subscriber.receive(500);
                    assert_eq!(received, (0..500).map(|it| (it, qos)).collect::<Vec<_>>());
                    assert_eq!(subscriber.receive(1)[0].0, 500);
                    sender.join().expect("the publisher ends well");
                }
            }

            #[test]
            fn a_session_keeps_what_came_while_its_client_was_away() {
                let broker = Broker::start();
                let mut sleeper = Peer::connect(&broker, "sleeper", true);
                assert!(!sleeper.session_present);
                sleeper.subscribe("s/#", QoS::ExactlyOnce);
                sleeper.leave();
                let mut publisher = Peer::connect(&broker, "publisher", false);
                publisher.publish("s/1", QoS::AtLeastOnce, 0..100);
                publisher.publish("s/2", QoS::ExactlyOnce, 100..200);
                let mut sleeper = Peer::connect(&broker, "sleeper", true);
                assert!(sleeper.session_present);
                let received = sleeper.receive(200);
                let numbers = |qos: QoS| -> Vec<u32> {
                    received.iter().filter(|it| it.1 == qos).map(|it| it.0).collect()
                };
                assert_eq!(numbers(QoS::AtLeastOnce), (0..100).collect::<Vec<_>>());
                assert_eq!(numbers(QoS::ExactlyOnce), (100..200).collect::<Vec<_>>());
            }

            #[test]
            fn the_members_of_a_group_share_the_work() {
                const COUNT: u32 = 300;
                let broker = Broker::start();
                let (work, done) = channel();
                let members: Vec<_> = (0..3)
                    .map(|index| {
                        let mut member = Peer::connect(&broker, &format!("member-{index}"), false);
                        member.subscribe("$share/group/w/#", QoS::AtLeastOnce);
                        member.subscribe("end", QoS::AtLeastOnce);
                        let work = work.clone();
                        std::thread::spawn(move || {
                            while let [(number @ ..COUNT, _)] = member.receive(1)[..] {
                                work.send((index, number)).expect("the test is there");
                            }
                        })
                    })
                    .collect();
                let mut publisher = Peer::connect(&broker, "publisher", false);
                publisher.publish("w/1", QoS::AtLeastOnce, 0..COUNT);
                let shares: Vec<(u32, u32)> = (0..COUNT)
                    .map(|_| done.recv_timeout(PATIENCE).expect("every message comes to somebody"))
                    .collect();
                publisher.publish("end", QoS::AtLeastOnce, COUNT..COUNT + 1);
                members.into_iter().for_each(|it| it.join().expect("a member ends well"));
                assert!(done.try_recv().is_err(), "a message came to two members");
                let numbers: HashSet<u32> = shares.iter().map(|it| it.1).collect();
                assert_eq!(numbers.len(), COUNT as usize, "a message came to two members");
                for index in 0..3 {
                    assert!(shares.iter().any(|it| it.0 == index), "member {index} got nothing");
                }
            }
        }
    };
}

tests_of!(v4, rumqttc, rumqttc::Packet, |options, persistent| {
    options.set_clean_session(!persistent);
});
tests_of!(v5, rumqttc::v5, rumqttc::v5::mqttbytes::v5::Packet, |options, persistent| {
    options.set_clean_start(!persistent);
    options.set_session_expiry_interval(persistent.then_some(3_600));
});
