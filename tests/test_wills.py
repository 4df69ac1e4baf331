"""Wills: when they are published, when they are not, and what they carry."""

import select

import pytest

from .support.client import persistent, properties
from .support.waiting import wait_until

DISCONNECT_WITH_WILL = 0x04
KEEP_ALIVE_TIMEOUT = 0x8D
LONG = 3600


def will(topic, payload=b"gone", qos=1, retain=False, **props):
    result = {"topic": topic, "payload": payload, "qos": qos, "retain": retain}
    if props:
        result["properties"] = properties("WILLMESSAGE", **props)
    return result


@pytest.fixture
def observer(connect, topic):
    it = connect("observer")
    it.subscribe(f"{topic}/#", 2)
    return it


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_lost_connection(version, qos, connect, observer, topic):
    connect("dying", version=version, will=will(topic, qos=qos)).drop()
    message = observer.take_one()
    assert (message.payload, message.qos, message.retain) == (b"gone", qos, False)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_normal_disconnect_discards_it(version, connect, observer, topic):
    connect("leaving", version=version, will=will(topic)).disconnect()
    observer.assert_nothing_more(observer)


def test_disconnect_with_will(connect, observer, topic):
    connect("leaving", will=will(topic)).disconnect(reason=DISCONNECT_WITH_WILL)
    assert observer.take_one().payload == b"gone"


def test_a_disconnect_discards_it_for_good(connect, observer, topic):
    """Also when the session goes on: the will belongs to the connection."""
    client = connect("leaving", **persistent(5), will=will(topic))
    client.disconnect()
    client.paho.will_clear()
    client.connect()
    client.drop()
    observer.assert_nothing_more(observer)


@pytest.mark.parametrize("version", [4, 5])
def test_keep_alive_timeout(version, connect, observer, topic):
    """The client says it will be heard every second, and then is silent on an open connection."""
    silent = connect("silent", version=version, keepalive=1, will=will(topic))
    silent.pause()
    assert observer.take_one().payload == b"gone"


@pytest.mark.ternmq_only("mosquitto 2.0 closes the connection without saying why")
def test_keep_alive_timeout_is_told(connect):
    """MQTT 5: DISCONNECT 0x8D before the connection is closed."""
    silent = connect("silent", keepalive=1)
    silent.pause()
    wait_until(lambda: has_ended(silent.paho.socket()), "the broker to close the connection")
    # Not by way of paho, which would write PINGREQ to the closed connection before it reads.
    packet = silent.paho.socket().recv(1024)
    assert (packet[:1], packet[2:3]) == (b"\xe0", bytes([KEEP_ALIVE_TIMEOUT])), packet


def has_ended(connection):
    """Whether the other side has closed, although what it sent before may be unread."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return poll.poll(0)


@pytest.mark.parametrize("version", [4, 5])
def test_takeover(version, connect, client, observer, topic):
    """The first connection ended without DISCONNECT: its will is published."""
    connect("twice", version=version, will=will(topic))
    client("twice", version=version).connect()
    assert observer.take_one().payload == b"gone"


def test_takeover_before_the_delay(connect, client, observer, topic):
    """The session goes on, so the delayed will is not published."""
    connect("twice", **persistent(5), will=will(topic, WillDelayInterval=1))
    second = client("twice", **persistent(5))
    second.connect()
    # A will with the same delay that nobody prevents tells when the time is over.
    connect("clock", expiry=LONG, will=will(f"{topic}/clock", b"tick", WillDelayInterval=1)).drop()
    assert observer.take_one().payload == b"tick"
    observer.assert_nothing_more(second)


def test_delay(connect, observer, topic):
    """Two wills, lost at the same time: the one without delay comes first."""
    connect("slow", expiry=LONG, will=will(topic, b"slow", WillDelayInterval=1)).drop()
    connect("fast", expiry=LONG, will=will(topic, b"fast")).drop()
    assert [it.payload for it in observer.take(2)] == [b"fast", b"slow"]


def test_a_reconnect_within_the_delay_cancels_it(connect, observer, topic):
    client = connect("back", **persistent(5), will=will(topic, WillDelayInterval=1))
    client.drop()
    client.paho.will_clear()
    client.connect()
    connect("clock", expiry=LONG, will=will(f"{topic}/clock", b"tick", WillDelayInterval=1)).drop()
    assert observer.take_one().payload == b"tick"
    observer.assert_nothing_more(observer)


@pytest.mark.ternmq_only("mosquitto 2.0 waits for the delay although the session has ended")
def test_the_end_of_the_session_ends_the_delay(connect, observer, topic):
    """Without an expiry the session ends with the connection, and the will does not wait."""
    connect("brief", will=will(topic, WillDelayInterval=LONG)).drop()
    assert observer.take_one().payload == b"gone"


@pytest.mark.ternmq_only("mosquitto 2.0 waits for the delay although the session has ended")
def test_a_clean_start_ends_the_delay(connect, client, observer, topic):
    """It ends the old session: the will that waited for it is published."""
    connect("again", **persistent(5), will=will(topic, WillDelayInterval=LONG)).drop()
    client("again", clean=True).connect()
    assert observer.take_one().payload == b"gone"


def test_properties(connect, observer, topic):
    connect("dying", will=will(
        topic, b"{}", ContentType="application/json", PayloadFormatIndicator=1, ResponseTopic="r", CorrelationData=b"c",
        MessageExpiryInterval=100, UserProperty=[("why", "power"), ("why", "radio")])).drop()
    message = observer.take_one()
    assert message.prop("ContentType") == "application/json"
    assert message.prop("PayloadFormatIndicator") == 1
    assert message.prop("ResponseTopic") == "r"
    assert message.prop("CorrelationData") == b"c"
    assert 90 <= message.prop("MessageExpiryInterval") <= 100
    assert message.prop("UserProperty") == [("why", "power"), ("why", "radio")]
    assert message.prop("WillDelayInterval") is None


@pytest.mark.parametrize("version", [4, 5])
def test_retained(version, connect, observer, topic):
    connect("dying", version=version, will=will(topic, retain=True)).drop()
    assert not observer.take_one().retain
    late = connect("late")
    late.subscribe(topic, 1)
    message = late.take_one()
    assert (message.payload, message.retain) == (b"gone", True)


def test_an_empty_will_clears_a_retained_message(connect, observer, topic):
    observer.publish(topic, b"online", 1, retain=True)
    observer.take_one()
    connect("dying", will=will(topic, b"", retain=True)).drop()
    assert observer.take_one().payload == b""
    late = connect("late")
    late.subscribe(topic, 1)
    late.assert_nothing_more(observer)


def test_a_will_waits_for_an_absent_subscriber(connect, observer, topic):
    absent = connect("absent", **persistent(4))
    absent.subscribe(topic, 1)
    absent.disconnect()
    connect("dying", will=will(topic)).drop()
    observer.take_one()
    absent.connect()
    assert absent.take_one().payload == b"gone"
