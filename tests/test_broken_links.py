"""Links that break at any moment, on both legs: QoS 2 exactly once, QoS 1 at least once and in order.

Publishers, subscribers and a shared group, all with sessions. Again and again one of them loses its
connection in the middle of what it says or hears: by a reset, or so that the broker does not notice
and the next connection takes the session over.
"""

import os
import random
import socket
import struct
from collections import defaultdict

import pytest

from .support.herd import Herd, new_client

PUBLISHERS, SUBSCRIBERS, MEMBERS = 20, 6, 4
MESSAGES = 60  # per publisher and QoS
MESSAGES_PER_CUT = 4
LARGEST = 20_000
EXPIRY = 3600


class Link:
    """A client that connects again whenever its connection has been cut."""

    def __init__(self, herd, name, version):
        self.herd = herd
        self.client = new_client(name, version, clean=False)
        self.client.on_connect = self.on_connect
        self.is_connected = False
        self.half_open = []
        self.open()

    def open(self):
        self.is_connected = False
        self.herd.connect(self.client, clean=False, expiry=EXPIRY)

    def on_connect(self, _client, _userdata, _flags, reason, _properties):
        assert not reason.is_failure, reason
        self.is_connected = True

    def cut(self, silently):
        connection = self.client.socket()
        if connection is None or not self.may_be_cut():
            return
        if silently:
            # who closes only a copy of the descriptor, tells nobody
            self.half_open.append(os.dup(connection.fileno()))
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client._sock_close()  # paho has no public way to close without DISCONNECT
        self.open()

    def may_be_cut(self):
        """A paho client that loses two connections before a CONNACK forgets that it has sent PUBREL, and publishes again."""
        return self.is_connected

    def close(self):
        for it in self.half_open:
            os.close(it)


class Listener(Link):
    """A subscriber; `heard` has its messages, by publisher and QoS, in their order."""

    def __init__(self, herd, name, version, topic_filter, heard):
        self.topic_filter, self.heard, self.is_ready = topic_filter, heard, False
        super().__init__(herd, name, version)
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda *_: setattr(self, "is_ready", True)

    def on_connect(self, client, _userdata, flags, reason, properties):
        super().on_connect(client, _userdata, flags, reason, properties)
        assert flags.session_present or not self.is_ready, "the session is gone"
        if not self.is_ready:
            client.subscribe(self.topic_filter, 2)

    def may_be_cut(self):
        return True

    def on_message(self, _client, _userdata, message):
        number = int(message.payload.split(b" ", 1)[0])
        self.heard[message.topic, message.qos].append(number)


@pytest.fixture
def herd(broker):
    it = Herd(broker.host, broker.port)
    yield it
    it.close()


@pytest.fixture
def links():
    made = []
    yield made
    for it in made:
        it.close()


def publish_and_cut(herd, publishers, links, topic):
    """Sends all messages while links break; returns how often they did."""
    dice = random.Random(7)
    sent, cuts = [], 0
    numbers = defaultdict(int)
    work = [(i, qos) for i in range(len(publishers)) for qos in (1, 2)] * MESSAGES
    dice.shuffle(work)
    for i, (who, qos) in enumerate(work):
        link = publishers[who]
        # what paho is given before CONNACK overtakes what it sends again
        herd.run_until(lambda it=link: it.is_connected, "a publisher to be back")
        number = numbers[who, qos]
        numbers[who, qos] += 1
        payload = f"{number} ".ljust(dice.choice((10, 10, LARGEST)), ".")
        sent.append(herd.publish(link.client, f"{topic}/{who}", payload, qos))
        if dice.random() < 0.5:
            herd.step(0)
        if i % MESSAGES_PER_CUT == 0:
            dice.choice(links).cut(silently=dice.random() < 0.3)
            cuts += 1
    herd.run_until(lambda: all(it.is_published() for it in sent),
                   lambda: f"{sum(not it.is_published() for it in sent)} acknowledgements", 60)
    return cuts


def faults(heard, topic):
    """What one subscriber, or a group, should not have heard, or should have: in words."""
    for who in range(PUBLISHERS):
        for qos in (1, 2):
            got = heard[f"{topic}/{who}", qos]
            missing = set(range(MESSAGES)) - set(got)
            if missing:
                yield f"publisher {who}, QoS {qos}: lost {sorted(missing)}"
            if qos == 2 and len(got) != len(set(got)):
                yield f"publisher {who}, QoS 2: twice {[it for it in set(got) if got.count(it) > 1]}"


def disorder(heard, topic):
    for who in range(PUBLISHERS):
        for qos in (1, 2):
            first = list(dict.fromkeys(heard[f"{topic}/{who}", qos]))
            if first != sorted(first):
                yield f"publisher {who}, QoS {qos}: order {first}"


@pytest.mark.timeout(180)
def test_broken_links(broker, herd, links, ident, topic, table):
    group = defaultdict(list)
    listeners = [Listener(herd, ident(f"sub{i}"), 4 + i % 2, f"{topic}/+", defaultdict(list)) for i in range(SUBSCRIBERS)]
    members = [Listener(herd, ident(f"member{i}"), 4 + i % 2, f"$share/{ident('g')}/{topic}/+", group) for i in range(MEMBERS)]
    publishers = [Link(herd, ident(f"pub{i}"), 4 + i % 2) for i in range(PUBLISHERS)]
    links += listeners + members + publishers
    herd.run_until(lambda: all(it.is_connected for it in links) and all(it.is_ready for it in listeners + members),
                   "all to connect")
    cuts = publish_and_cut(herd, publishers, links, topic)

    everything = PUBLISHERS * 2 * MESSAGES
    ears = [it.heard for it in listeners] + [group]

    def complete():
        return all(sum(len(set(it)) for it in heard.values()) == everything for heard in ears)

    herd.run_until(complete, lambda: next(it for heard in ears for it in faults(heard, topic)), 60)
    repeated = sum(len(it) - len(set(it)) for heard in ears for it in heard.values())
    table(f"broken links, on {broker.name}", ["connections cut", "messages", "delivered", "repeated, QoS 1"],
          [(cuts, f"{everything:,}", f"{everything * len(ears):,}", f"{repeated:,}")])
    assert not [it for heard in ears for it in faults(heard, topic)]
    # a group's order is that of its members, and a message may move between them
    assert not [it for heard in ears[:-1] for it in disorder(heard, topic)]
