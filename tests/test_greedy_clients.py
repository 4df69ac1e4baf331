"""Lawful clients that want too much: each is held to a bound, and the memory of all to a budget.

They speak by hand, since no client library does what they do.
"""

import contextlib
import select
import socket
import time

import pytest

from .support import wire
from .support.client import persistent
from .support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.ternmq_only("mosquitto has other bounds")
MIB = 1024 * 1024
PINGREQ = wire.packet(12, 0, b"")


@contextlib.contextmanager
def greedy(broker, name):
    """The socket of a connected client that has read its CONNACK."""
    with socket.create_connection((broker.host, broker.port), PATIENCE) as connection:
        connection.sendall(wire.connect(name))
        assert connection.recv(4) == b"\x20\x02\x00\x00"
        connection.setblocking(False)
        yield connection


def send_until_stuck(connection, data, most, watch):
    """Sends `data` over and over, reading nothing, until the broker has taken no more for a second.

    Calls `watch` on the way; returns the bytes that were taken, at most `most`.
    """
    sent, rest, quiet_since = 0, memoryview(data), time.monotonic()
    while sent < most and time.monotonic() - quiet_since < 1:
        if select.select([], [connection], [], 0.05)[1]:
            try:
                count = connection.send(rest)
            except (BrokenPipeError, ConnectionResetError):
                break
            sent, rest, quiet_since = sent + count, rest[count:] or memoryview(data), time.monotonic()
        watch()
    return sent


class Peak:
    """The most memory that the broker has had since, over what it had in the beginning."""

    def __init__(self, broker):
        self.broker, self.start, self.grown = broker, broker.rss(), 0

    def watch(self):
        self.grown = max(self.grown, self.broker.rss() - self.start)


def chat(one, other, topic):
    """A message from one to the other, in reasonable time."""
    begin = time.monotonic()
    one.publish(topic, b"chat", 1)
    assert other.take_one().payload == b"chat"
    assert time.monotonic() - begin < 2


@pytest.fixture
def pair(connect, topic):
    """Two clients of a broker and a chat between them."""

    def make(broker):
        one, other = connect("one", on=broker), connect("other", on=broker)
        other.subscribe(f"{topic}/chat", 1)
        return lambda: chat(one, other, f"{topic}/chat")

    return make


@pytest.mark.parametrize("what", ["PINGREQ", "PUBLISH", "SUBSCRIBE"])
def test_answers_that_nobody_reads(what, start_broker, pair, topic):
    """Every request has an answer; the answers wait for a client that reads none of them."""
    broker = start_broker()
    talk = pair(broker)
    request = {
        "PINGREQ": PINGREQ,
        "PUBLISH": wire.publish(topic, b"x", 1, 7),
        "SUBSCRIBE": wire.subscribe(7, topic, 1),
    }[what]
    with greedy(broker, "greedy") as connection:
        peak = Peak(broker)
        send_until_stuck(connection, request * (MIB // len(request)), 200 * MIB, peak.watch)
        talk()
    # the output of a connection may come to 12 MiB: limit.packet_bytes and a half more
    assert peak.grown < 24 * MIB


@pytest.mark.parametrize("qos", [0, 1])
def test_retained_messages_again_and_again(qos, start_broker, pair, connect, topic):
    """A SUBSCRIBE of a few bytes asks for 10 MB; a thousand of them, and nothing is read."""
    broker = start_broker(settings=["queue.bytes=1MiB"])
    talk, keeper = pair(broker), connect("keeper", on=broker)
    for i in range(100):
        keeper.publish(f"{topic}/kept/{i}", bytes(100_000), 1, retain=True)
    with greedy(broker, "greedy") as connection:
        peak = Peak(broker)
        request = wire.subscribe(7, f"{topic}/kept/+", qos)
        send_until_stuck(connection, request, 1000 * len(request), peak.watch)
        talk()
    assert peak.grown < 32 * MIB


def test_packets_that_never_end(start_broker, pair):
    """60 clients send all but the last byte of a packet of 4 MiB: 240 MiB, more than there may be."""
    broker = start_broker(shards=2, settings=["limit.memory=128MiB"])
    talk = pair(broker)
    packet = wire.publish("a", bytes(4 * MIB))[:-1]
    with contextlib.ExitStack() as stack:
        peak = Peak(broker)
        for i in range(60):
            connection = stack.enter_context(greedy(broker, f"greedy{i}"))
            connection.settimeout(PATIENCE)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(packet)
            peak.watch()
        talk()
    assert peak.grown < 128 * MIB


def test_the_queues_of_all_have_a_budget(start_broker, pair, connect, topic):
    """40 sessions that are away, each with less than it may have, together with more than there is."""
    broker = start_broker(shards=2, settings=["limit.memory=32MiB", "sys.interval=1s"])
    talk, publisher, observer = pair(broker), connect("pub", on=broker), connect("observer", on=broker)
    observer.subscribe("$SYS/broker/dropped/memory", 0)
    for i in range(40):
        absent = connect(f"absent{i}", on=broker, **persistent(5))
        absent.subscribe(f"{topic}/{i}", 1)
        absent.disconnect()
    peak = Peak(broker)
    for i in range(40):
        publisher.wait_acks([publisher.send(f"{topic}/{i}", bytes(20_000), 1) for _ in range(100)])
        peak.watch()
    talk()
    wait_until(lambda: observer.inbox and int(observer.inbox[-1].payload) > 1000, "the drops in $SYS")
    assert peak.grown < 48 * MIB


def test_retained_messages_share_the_budget(start_broker, pair, connect, topic):
    broker = start_broker(shards=2, settings=["limit.memory=32MiB", "sys.interval=1s"])
    talk, publisher, observer = pair(broker), connect("pub", on=broker), connect("observer", on=broker)
    observer.subscribe("$SYS/broker/dropped/retained-full", 0)
    peak = Peak(broker)
    for i in range(4000):
        publisher.send(f"{topic}/{i}", bytes(20_000), 0, retain=True)
    publisher.publish(topic, b"", 1)
    peak.watch()
    talk()
    wait_until(lambda: observer.inbox and int(observer.inbox[-1].payload) > 1000, "the drops in $SYS")
    assert peak.grown < 48 * MIB


def test_subscriptions_have_a_budget(start_broker, pair):
    """Long filters, far fewer than a session may have, are refused in time; what there was goes on."""
    broker = start_broker(shards=2, settings=["limit.memory=64MiB"])
    talk = pair(broker)
    peak = Peak(broker)
    with greedy(broker, "greedy") as connection:
        connection.settimeout(PATIENCE)
        answers = []
        for i in range(1000):
            connection.sendall(wire.subscribe(1, f"{i}/".ljust(60_000, "x"), 1))
            answers.append(connection.recv(5)[4])
        peak.watch()
        talk()
    granted = answers.count(1)
    assert answers == [1] * granted + [0x80] * (1000 - granted) and 50 < granted < 500
    assert peak.grown < 64 * MIB
