"""Order: per publisher, topic and QoS, across shards, for all subscribers."""

import random
from collections import defaultdict

import pytest

from .support.herd import Herd, new_client

PUBLISHERS = 20
SUBSCRIBERS = 6
TOPICS = 4
MESSAGES = 200  # per publisher and QoS


class Listener:
    """A subscriber that checks order as it listens: numbers go up by one per publisher, topic and QoS."""

    def __init__(self, herd, name, version, topic_filter):
        self.counts = defaultdict(int)
        self.total, self.faults, self.ready = 0, [], False
        self.client = new_client(name, version)
        self.client.on_connect = lambda it, *_: it.subscribe(topic_filter, 2)
        self.client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self.client.on_message = self._on_message
        herd.connect(self.client)

    def _on_message(self, _client, _userdata, message):
        publisher, number = message.payload.split(b" ")
        key = (publisher, message.topic, message.qos)
        if int(number) != self.counts[key]:
            self.faults.append((key, int(number), self.counts[key]))
        self.counts[key] = int(number) + 1
        self.total += 1


@pytest.fixture
def herd(broker):
    it = Herd(broker.host, broker.port)
    yield it
    it.close()


@pytest.mark.timeout(180)
def test_order_across_shards(herd, ident, topic):
    """Every publisher sends to every topic at every QoS, all mixed; nobody sees a step back or a gap."""
    listeners = [Listener(herd, ident(f"listener{i}"), 4 + i % 2, f"{topic}/#") for i in range(SUBSCRIBERS)]
    publishers = [new_client(ident(f"publisher{i}"), 4 + i % 2) for i in range(PUBLISHERS)]
    connected = set()
    for it in publishers:
        it.on_connect = lambda client, *_: connected.add(client)
        herd.connect(it)
    herd.run_until(lambda: len(connected) == PUBLISHERS and all(it.ready for it in listeners), "all to connect")

    dice = random.Random(3)
    numbers = defaultdict(int)
    work = [(it, qos) for it in range(PUBLISHERS) for qos in (0, 1, 2)] * MESSAGES
    dice.shuffle(work)
    for i, (publisher, qos) in enumerate(work):
        key = (publisher, dice.randrange(TOPICS), qos)
        herd.publish(publishers[publisher], f"{topic}/{key[1]}", f"p{publisher} {numbers[key]}", qos)
        numbers[key] += 1
        if i % 10 == 0:
            herd.step(0)
    herd.run_until(lambda: all(it.total >= len(work) for it in listeners),
                   lambda: f"{len(work)} messages, have {[it.total for it in listeners]}", 90)
    for it in listeners:
        assert not it.faults, f"(publisher, topic, QoS), got, expected: {it.faults[:5]}"
        assert it.total == len(work)
        assert sum(it.counts.values()) == len(work)


def test_order_of_a_queue_and_what_follows_it(connect, topic):
    """What waited comes before what is published during the reconnect, for each QoS."""
    publisher = connect("pub", inflight=500)
    subscriber = connect("sub", version=5, clean=False, expiry=3600)
    subscriber.subscribe(topic, 2)
    subscriber.disconnect()
    mids = []
    for i in range(1500):
        mids.append(publisher.send(topic, str(i), 1 + i % 2))
        if i == 1000:
            publisher.wait_acks(mids)
            subscriber.connect_without_reading()
            subscriber.resume()
    publisher.wait_acks(mids)
    messages = subscriber.take(1500)
    for qos in (1, 2):
        assert [int(it.text) for it in messages if it.qos == qos] == [i for i in range(1500) if 1 + i % 2 == qos]
    subscriber.assert_nothing_more(publisher)
