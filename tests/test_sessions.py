"""Sessions: kept, resumed, taken over, expired, dropped; what was in flight is sent again in order."""

import select
import socket

import pytest

from .support.client import Client, persistent, properties, wait_retained_gone
from .support.waiting import wait_until

VERSIONS = [3, 4, 5]
SESSION_TAKEN_OVER = 0x8E
COUNT = 10


def wait_unread(client, size):
    """Waits until the broker has sent `size` bytes that a client which does not read has not read."""
    connection = client.paho.socket()

    def unread():
        readable = select.select([connection], [], [], 0)[0]
        return readable and len(connection.recv(size, socket.MSG_PEEK)) >= size

    wait_until(unread, f"{size} unread bytes")


# kept and dropped


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_wait_for_a_persistent_session(version, connect, topic):
    subscriber = connect("sub", **persistent(version))
    publisher = connect("pub")
    subscriber.subscribe(f"{topic}/+", 2)
    subscriber.disconnect()
    for i in range(COUNT):
        publisher.publish(f"{topic}/{i % 2 + 1}", str(i), qos=i % 2 + 1)
    connack = subscriber.connect()
    if version > 3:
        assert connack.session_present
    messages = subscriber.take(COUNT)
    for qos in (1, 2):
        assert [it.text for it in messages if it.qos == qos] == [str(i) for i in range(COUNT) if i % 2 + 1 == qos]
    assert not any(it.dup for it in messages)
    subscriber.assert_nothing_more(publisher)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_clean_connect_drops_the_session(version, connect, client, topic):
    subscriber, publisher = connect("sub", **persistent(version)), connect("pub")
    subscriber.subscribe(topic, 1)
    subscriber.disconnect()
    publisher.publish(topic, b"queued", 1)
    clean = client("sub", version=version, clean=True)
    assert not clean.connect().session_present
    publisher.publish(topic, b"live", 1)
    clean.assert_nothing_more(publisher)
    clean.disconnect()
    assert not subscriber.connect(clean=False).session_present


@pytest.mark.parametrize("version", [4, 5])
def test_a_clean_session_leaves_nothing(version, connect, topic):
    subscriber = connect("sub", version=version)
    subscriber.subscribe(topic, 1)
    subscriber.drop()
    assert not subscriber.connect(clean=False).session_present


@pytest.mark.parametrize("first, second", [(4, 5), (5, 4), (3, 5), (5, 3)])
def test_a_session_survives_a_change_of_version(first, second, connect, client, topic):
    before, publisher = connect("sub", **persistent(first)), connect("pub")
    before.subscribe(topic, 2)
    before.disconnect()
    publisher.publish(topic, b"kept", 2)
    after = client("sub", **persistent(second))
    after.connect()
    assert (after.take_one().payload, after.version) == (b"kept", second)


def test_a_session_may_be_ended_by_disconnect(connect, topic):
    subscriber = connect("sub", **persistent(5))
    subscriber.subscribe(topic, 1)
    subscriber.disconnect(SessionExpiryInterval=0)
    assert not subscriber.connect().session_present


def test_a_session_may_be_kept_longer_by_disconnect(connect, topic):
    """An expiry of 1 s becomes an hour; a retained message with an expiry of 2 s tells when that second is over."""
    subscriber, publisher = connect("sub", **persistent(5, expiry=1)), connect("pub")
    subscriber.subscribe(topic, 1)
    subscriber.disconnect(SessionExpiryInterval=3600)
    publisher.publish(f"{topic}/clock", b"2 s", 1, retain=True, MessageExpiryInterval=2)
    wait_retained_gone(publisher, f"{topic}/clock")
    assert subscriber.connect().session_present


def test_a_session_expires(connect, client, topic):
    """The will, delayed far beyond the expiry, is published when the session ends: it tells the time."""
    observer = connect("observer")
    observer.subscribe(f"{topic}/will", 1)
    will = {"topic": f"{topic}/will", "payload": b"session ended", "qos": 1,
            "properties": properties("WILLMESSAGE", WillDelayInterval=3600)}
    subscriber = client("sub", **persistent(5, expiry=1), will=will)
    subscriber.connect()
    subscriber.subscribe(f"{topic}/queue", 1)
    subscriber.drop()
    observer.publish(f"{topic}/queue", b"lost with the session", 1)
    assert observer.take_one().payload == b"session ended"
    assert not subscriber.connect().session_present
    subscriber.assert_nothing_more(observer)


@pytest.mark.parametrize("version", [4, 5])
def test_unsubscribing_lasts(version, connect, topic):
    subscriber, publisher = connect("sub", **persistent(version)), connect("pub")
    subscriber.subscribe(f"{topic}/a", 1)
    subscriber.subscribe(f"{topic}/b", 1)
    subscriber.unsubscribe(f"{topic}/a")
    subscriber.disconnect()
    publisher.publish(f"{topic}/a", b"no", 1)
    publisher.publish(f"{topic}/b", b"yes", 1)
    subscriber.connect()
    assert subscriber.take_one().payload == b"yes"
    subscriber.assert_nothing_more(publisher)


def test_unsubscribing_what_was_not_subscribed(connect, topic):
    assert connect("sub").unsubscribe(topic) == 0x11


# taken over


@pytest.mark.parametrize("version", VERSIONS)
def test_takeover(version, connect, client, topic):
    first, publisher = connect("sub", **persistent(version)), connect("pub")
    first.subscribe(topic, 1)
    second = client("sub", **persistent(version))
    connack = second.connect()
    first.wait_disconnected()
    if version > 3:
        assert connack.session_present
    publisher.publish(topic, b"to the second", 1)
    assert second.take_one().payload == b"to the second"
    assert not first.inbox


@pytest.mark.ternmq_only("mosquitto 2.0 closes the connection without saying why")
def test_takeover_says_why(connect, client):
    first = connect("sub")
    client("sub").connect()
    assert first.wait_disconnected() == SESSION_TAKEN_OVER


def test_takeover_many_times(connect, client, topic):
    """Each of 50 connections takes the session from the one before; no message is lost or repeated."""
    publisher = connect("pub")
    current = connect("sub", **persistent(5))
    current.subscribe(topic, 2)
    received = []
    for i in range(50):
        publisher.send(topic, str(i), 2)
        newer = client("sub", **persistent(5))
        # The newer connection goes on with the identifiers that the older one had received.
        with current.changed:
            newer.paho._in_messages = current.paho._in_messages
        newer.connect()
        current.wait_disconnected()
        received += current.inbox
        current = newer
    current.wait(lambda: len(received) + len(current.inbox) >= 50, "50 messages")
    current.fence(publisher)
    assert sorted(int(it.text) for it in received + current.inbox) == list(range(50))


# in flight


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_publishes_in_flight_are_sent_again_in_order(version, qos, connect, client, topic):
    """The broker has sent them to a client that reads nothing; then the connection is lost."""
    subscriber, publisher = client("sub", **persistent(version)), connect("pub")
    subscriber.connect()
    subscriber.subscribe(topic, qos)
    subscriber.pause()
    publisher.wait_acks([publisher.send(topic, f"{i:02}", qos) for i in range(COUNT)])
    packet = 2 + 2 + len(topic) + 2 + (version == 5) + 2
    wait_unread(subscriber, COUNT * packet)
    subscriber.drop()
    publisher.publish(topic, f"{COUNT:02}", qos)
    assert subscriber.connect().session_present
    messages = subscriber.take(COUNT + 1)
    assert [int(it.text) for it in messages] == list(range(COUNT + 1))
    assert [it.dup for it in messages] == [True] * COUNT + [False]
    subscriber.assert_nothing_more(publisher)


@pytest.mark.parametrize("version", [4, 5])
def test_unacknowledged_qos_1_keeps_its_identifiers(version, connect, topic):
    subscriber, publisher = connect("sub", **persistent(version), manual_ack=True), connect("pub")
    subscriber.subscribe(topic, 1)
    for i in range(COUNT):
        publisher.publish(topic, str(i), 1)
    before = subscriber.take(COUNT)
    subscriber.ack(before[3])
    subscriber.ack(before[0])
    subscriber.fence(publisher)
    subscriber.drop()
    subscriber.connect()
    again = subscriber.take(COUNT - 2)
    expected = [it for it in before if it.text not in "03"]
    assert [(it.text, it.mid, it.dup) for it in again] == [(it.text, it.mid, True) for it in expected]
    for it in again:
        subscriber.ack(it)
    subscriber.assert_nothing_more(publisher)
    subscriber.drop()
    subscriber.connect()
    subscriber.assert_nothing_more(publisher)


@pytest.mark.parametrize("version", [4, 5])
def test_released_qos_2_is_not_published_again(version, connect, topic):
    """The client has sent PUBREC and got PUBREL, but not sent PUBCOMP: only PUBREL may come again."""
    subscriber, publisher = connect("sub", **persistent(version), manual_ack=True), connect("pub")
    subscriber.subscribe(topic, 2)
    for i in range(COUNT):
        publisher.publish(topic, str(i), 2)
    assert [int(it.text) for it in subscriber.take(COUNT)] == list(range(COUNT))
    subscriber.drop()
    subscriber.paho.manual_ack_set(False)
    assert subscriber.connect().session_present
    subscriber.assert_nothing_more(publisher)
    publisher.publish(topic, b"after", 2)
    assert subscriber.take_one().payload == b"after"


# the publisher's side


@pytest.mark.parametrize("version", [4, 5])
def test_a_publisher_that_repeats_qos_2_is_heard_once(version, connect, client, topic):
    """The connection is lost before the PUBREC is read, then again before the PUBCOMP is."""
    subscriber = connect("sub")
    subscriber.subscribe(topic, 2)
    publisher = client("pub", **persistent(version))
    publisher.connect()
    publisher.pause()
    mids = [publisher.send(topic, str(i), 2) for i in range(COUNT)]
    wait_unread(publisher, COUNT * 4)
    publisher.drop()
    assert not publisher.acks
    publisher.connect_without_reading()
    publisher.drop()
    publisher.connect()
    publisher.wait_acks(mids)
    assert [int(it.text) for it in subscriber.take(COUNT)] == list(range(COUNT))
    subscriber.assert_nothing_more(publisher)


@pytest.mark.parametrize("version", [4, 5])
def test_a_publisher_that_repeats_qos_1_loses_nothing(version, connect, client, topic):
    subscriber = connect("sub")
    subscriber.subscribe(topic, 1)
    publisher = client("pub", **persistent(version))
    publisher.connect()
    publisher.pause()
    mids = [publisher.send(topic, str(i), 1) for i in range(COUNT)]
    wait_unread(publisher, COUNT * 4)
    publisher.drop()
    publisher.connect()
    publisher.wait_acks(mids)
    subscriber.fence(publisher)
    heard = [int(it.text) for it in subscriber.inbox]
    assert list(dict.fromkeys(heard)) == list(range(COUNT))
    assert len(heard) <= 2 * COUNT


# many sessions


def test_many_sessions_over_all_shards(connect, client, topic):
    """60 sessions, so that every shard has some: each gets its own and the common messages."""
    publisher = connect("pub")
    sessions = [client(f"s{i:02}", **persistent(5)) for i in range(60)]
    for i, session in enumerate(sessions):
        session.connect()
        session.subscribe(f"{topic}/own/{i}", 2)
        session.subscribe(f"{topic}/all", 1)
        session.disconnect()
    for i in range(60):
        publisher.publish(f"{topic}/own/{i}", f"own {i}", 2)
    publisher.publish(f"{topic}/all", b"all", 1)
    for i, session in enumerate(sessions):
        assert session.connect().session_present
        assert sorted(it.text for it in session.take(2)) == ["all", f"own {i}"]
        session.disconnect()


def test_an_identifier_is_assigned(broker):
    """Two clients without identifiers get different ones, and MQTT 5 is told which."""
    clients = [Client(broker, ""), Client(broker, "")]
    names = {it.connect().properties.AssignedClientIdentifier for it in clients}
    for it in clients:
        it.close()
    assert len(names) == 2 and all(names)
