"""Queues have bounds, consumers may be slow: what is dropped is counted, and nobody else waits for long."""

import time

import pytest

from .support.client import persistent
from .support.waiting import wait_until

QUOTA_EXCEEDED = 0x97
BOUND = 10
MIB = 1024 * 1024


def bounded(start_broker, *settings, messages=BOUND):
    """A broker whose queues hold so many messages."""
    return start_broker(
        settings=[f"queue.messages={messages}", "sys.interval=1s", *settings],
        mosquitto={"inflight": 20, "extra": f"max_queued_messages {messages}\n"})


TOTAL = "$SYS/broker/publish/messages/dropped"
BY_REASON = "$SYS/broker/dropped/"


def dropped(client):
    """The drops that `$SYS` shows to a client that has subscribed to it."""
    return next((int(it.text) for it in reversed(client.inbox) if it.topic == TOTAL), 0)


def reasons(client):
    """The newest counters of drops by reason, those of zero left out."""
    newest = {it.topic.removeprefix(BY_REASON): int(it.text) for it in client.inbox if it.topic.startswith(BY_REASON)}
    return {reason: count for reason, count in newest.items() if count}


def absent_session(connect, broker, topic, word="sub", version=5):
    it = connect(word, on=broker, **persistent(version))
    it.subscribe(topic, 1)
    it.disconnect()
    return it


def test_drop_newest(start_broker, connect, topic):
    """The default: what does not fit any more is dropped, and the publisher is not blamed."""
    broker = bounded(start_broker)
    subscriber, publisher = absent_session(connect, broker, topic), connect("pub", on=broker)
    for i in range(2 * BOUND):
        assert publisher.publish(topic, str(i), 1) < 0x80
    subscriber.connect()
    assert [it.text for it in subscriber.take(BOUND)] == [str(i) for i in range(BOUND)]
    subscriber.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto cannot drop the oldest")
def test_drop_oldest(start_broker, connect, topic):
    broker = bounded(start_broker, "queue.overflow=drop-oldest")
    subscriber, publisher = absent_session(connect, broker, topic), connect("pub", on=broker)
    for i in range(2 * BOUND):
        assert publisher.publish(topic, str(i), 1) < 0x80
    subscriber.connect()
    assert [it.text for it in subscriber.take(BOUND)] == [str(i) for i in range(BOUND, 2 * BOUND)]
    subscriber.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto cannot refuse")
@pytest.mark.parametrize("qos", [1, 2])
def test_refuse(qos, start_broker, connect, mqttjs, topic):
    """MQTT 5 publishers are told 0x97; other subscribers get the message all the same."""
    broker = bounded(start_broker, "queue.overflow=refuse")
    subscriber = absent_session(connect, broker, topic)
    here = connect("here", on=broker)
    here.subscribe(topic, 1)
    publisher = mqttjs("pub", on=broker)
    for i in range(BOUND):
        publisher.publish(topic, str(i).encode(), qos)
    assert publisher.publish(topic, b"too much", qos, expect_code=QUOTA_EXCEEDED)
    assert [it.text for it in here.take(BOUND + 1)][-1] == "too much"
    subscriber.connect()
    assert [it.text for it in subscriber.take(BOUND)] == [str(i) for i in range(BOUND)]
    subscriber.assert_nothing_more(here)


@pytest.mark.ternmq_only("mosquitto cannot refuse")
def test_refuse_cannot_be_told_to_3_1_1(start_broker, connect, topic):
    """For such a publisher it is drop-newest."""
    broker = bounded(start_broker, "queue.overflow=refuse")
    subscriber, publisher = absent_session(connect, broker, topic), connect("pub", on=broker, version=4)
    for i in range(BOUND + 5):
        publisher.publish(topic, str(i), 1)
    subscriber.connect()
    assert [it.text for it in subscriber.take(BOUND)] == [str(i) for i in range(BOUND)]
    subscriber.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto has max_queued_bytes, but no unit that fits here")
def test_bound_by_bytes(start_broker, connect, topic):
    broker = bounded(start_broker, "queue.bytes=100KiB", messages=1000)
    subscriber, publisher = absent_session(connect, broker, topic), connect("pub", on=broker)
    for i in range(30):
        publisher.publish(topic, str(i).ljust(10_000), 1)
    subscriber.connect()
    subscriber.fence(publisher)
    kept = [int(it.text) for it in subscriber.inbox]
    assert kept == list(range(len(kept))) and 8 <= len(kept) <= 10, kept


def test_drops_are_counted(start_broker, connect, topic, kind):
    broker = bounded(start_broker)
    observer = connect("observer", on=broker)
    observer.subscribe("$SYS/#", 0)
    absent_session(connect, broker, topic)
    publisher = connect("pub", on=broker)
    for i in range(3 * BOUND):
        publisher.publish(topic, str(i), 1)
    wait_until(lambda: dropped(observer) >= 2 * BOUND, lambda: f"{2 * BOUND} drops in $SYS, shows {dropped(observer)}")
    assert dropped(observer) == 2 * BOUND
    if kind == "ternmq":
        wait_until(lambda: reasons(observer) == {"queue-full": 2 * BOUND}, lambda: f"the reason, shows {reasons(observer)}")


def test_one_full_queue_is_no_other_s_trouble(start_broker, connect, topic):
    broker = bounded(start_broker)
    full, other = absent_session(connect, broker, f"{topic}/full"), absent_session(connect, broker, f"{topic}/+", "other")
    publisher = connect("pub", on=broker)
    for i in range(BOUND):
        publisher.publish(f"{topic}/full", str(i), 1)
    other.connect()
    other.take(BOUND)
    for i in range(5):
        publisher.publish(f"{topic}/full", f"more {i}", 1)
    assert [it.text for it in other.take(5)] == [f"more {i}" for i in range(5)]
    full.connect()
    full.take(BOUND)
    full.assert_nothing_more(publisher)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_subscriber_that_does_not_read_slows_nobody_for_long(qos, start_broker, connect, topic, kind, table):
    """20,000 messages in bursts to one that reads and one that does not; both are on the same topic."""
    broker = bounded(start_broker, "queue.bytes=1MiB", messages=1000)
    publisher, quick, stuck = (connect(it, on=broker) for it in ("pub", "quick", "stuck"))
    observer = connect("observer", on=broker)
    observer.subscribe("$SYS/#", 0)
    stuck.subscribe(topic, qos)
    stuck.pause()
    quick.subscribe(topic, qos)
    before = broker.rss()
    bursts, slowest = 200, 0.0
    begin = time.monotonic()
    for burst in range(bursts):
        start = time.monotonic()
        mids = [publisher.send(topic, f"{burst * 100 + i} ".ljust(5000, "."), qos) for i in range(100)]
        messages = quick.take(100)
        publisher.wait_acks(mids)
        slowest = max(slowest, time.monotonic() - start)
        assert [int(it.payload.split()[0]) for it in messages] == list(range(burst * 100, burst * 100 + 100))
    took = time.monotonic() - begin
    if kind == "ternmq" or qos == 1:
        # what the socket and the queue of `stuck` cannot hold has been dropped
        wait_until(lambda: dropped(observer) >= 10_000, lambda: f"the drops in $SYS, shows {dropped(observer)}")
    grown = broker.rss() - before
    table(f"a subscriber that does not read, QoS {qos}: 100 MB in {took:.1f} s",
          ["slowest of 200 bursts, ms", "dropped", "memory grown, MiB"],
          [(round(slowest * 1000), f"{dropped(observer):,}", f"{grown / MIB:.1f}")])
    assert slowest < 2, "the publisher or the quick subscriber had to wait for the one that does not read"
    if kind == "ternmq":
        assert grown < 32 * MIB, f"the broker has grown by {grown // MIB} MiB"


def test_many_that_do_not_read(start_broker, connect, topic):
    """Ten of them, over all shards: a chat between two others goes on."""
    broker = bounded(start_broker, "queue.bytes=1MiB", messages=100)
    publisher = connect("pub", on=broker)
    for i in range(10):
        it = connect(f"stuck{i}", on=broker)
        it.subscribe(f"{topic}/load", 0)
        it.pause()
    for _ in range(400):
        publisher.send(f"{topic}/load", bytes(20_000), 0)
    alice, bob = connect("alice", on=broker), connect("bob", on=broker)
    alice.subscribe(f"{topic}/to/alice", 1)
    bob.subscribe(f"{topic}/to/bob", 1)
    slowest = 0.0
    for i in range(100):
        publisher.send(f"{topic}/load", bytes(20_000), 0)
        start = time.monotonic()
        alice.publish(f"{topic}/to/bob", str(i), 1)
        assert bob.take_one().text == str(i)
        bob.publish(f"{topic}/to/alice", str(i), 1)
        assert alice.take_one().text == str(i)
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 2


def test_a_subscriber_that_reads_again_is_served_again(start_broker, connect, topic):
    """It has lost some, in no worse way than whole messages; what comes after is complete."""
    broker = bounded(start_broker, "queue.bytes=1MiB", messages=100)
    publisher, stuck = connect("pub", on=broker), connect("stuck", on=broker)
    stuck.subscribe(f"{topic}/#", 0)
    stuck.pause()
    for i in range(4000):
        publisher.send(f"{topic}/load", str(i).ljust(10_000), 0)
    publisher.publish(f"{topic}/elsewhere", b"", 1)
    stuck.resume()
    wait_until(lambda: settled(stuck), "it to have read what was left", every=0.5)
    numbers = [int(it.text) for it in stuck.inbox if it.topic.endswith("load")]
    assert numbers == sorted(set(numbers)) and len(numbers) < 4000
    stuck.inbox.clear()
    for i in range(100):
        publisher.publish(f"{topic}/after", str(i), 0)
        assert stuck.take_one().text == str(i)


def settled(client):
    """Whether nothing has come since this was asked last."""
    before, client.seen = getattr(client, "seen", -1), len(client.inbox)
    return before == client.seen
