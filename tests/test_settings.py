"""Settings of the broker that its clients notice."""

import socket

import pytest

from .support.client import persistent, wait_retained_gone
from .support.waiting import wait_until

pytestmark = pytest.mark.ternmq_only("TernMQ's own settings")
MAX = 0xFFFF_FFFF
QUOTA_EXCEEDED, SERVER_BUSY, PACKET_TOO_LARGE = 0x97, 0x89, 0x95


def test_default_expiry_for_publishers_that_set_none(start_broker, connect, topic):
    """3.1.1 cannot set an expiry, the broker can for it; a publisher's own one counts more."""
    broker = start_broker(settings=["message.expiry_default=1s"])
    old, new, subscriber = connect("old", on=broker, version=4), connect("new", on=broker), connect("sub", on=broker)
    old.publish(f"{topic}/old", b"short", 1, retain=True)
    new.publish(f"{topic}/new", b"long", 1, retain=True, MessageExpiryInterval=100)
    wait_retained_gone(old, f"{topic}/old")
    subscriber.subscribe(f"{topic}/#", 1)
    assert subscriber.take_one().payload == b"long"
    subscriber.assert_nothing_more(new)


def test_longest_message_expiry(start_broker, connect, topic):
    broker = start_broker(settings=["message.expiry_max=50s"])
    client = connect(on=broker)
    client.subscribe(topic, 1)
    for asked in ({}, {"MessageExpiryInterval": 100}, {"MessageExpiryInterval": 20}):
        client.publish(topic, b"x", 1, **asked)
    first, second, third = (it.prop("MessageExpiryInterval") for it in client.take(3))
    assert 45 <= first <= 50 and 45 <= second <= 50 and 15 <= third <= 20


def test_longest_session_expiry(start_broker, connect):
    """The client is told in CONNACK; less than the maximum is as it asked."""
    broker = start_broker(settings=["session.expiry_max=100s"])
    told = [getattr(connect(f"c{asked}", on=broker, clean=False, expiry=asked).connack.properties, "SessionExpiryInterval", asked)
            for asked in (10, 100, 1000, MAX)]
    assert told == [10, 100, 100, 100]


def test_session_expiry_of_older_versions(start_broker, connect, topic):
    """3.1.1 cannot limit its session, the broker can; a retained message that expires later is the clock."""
    broker = start_broker(settings=["session.expiry_v3=1s"])
    first = connect("old", on=broker, **persistent(4))
    first.disconnect()
    clock = connect("clock", on=broker)
    clock.publish(topic, b"2 s", 1, retain=True, MessageExpiryInterval=2)
    wait_retained_gone(clock, topic)
    assert not first.connect().session_present


def test_server_keep_alive(start_broker, connect):
    broker = start_broker(settings=["session.keep_alive_max=30s"])
    assert connect("long", on=broker, keepalive=600).connack.properties.ServerKeepAlive == 30
    assert not hasattr(connect("short", on=broker, keepalive=20).connack.properties, "ServerKeepAlive")


def test_largest_packet(start_broker, connect, topic):
    broker = start_broker(settings=["limit.packet_bytes=4KiB"])
    client, old = connect(on=broker), connect("old", on=broker, version=4)
    assert client.connack.properties.MaximumPacketSize == 4096
    client.subscribe(topic, 1)
    client.publish(topic, bytes(4000), 1)
    assert len(client.take_one().payload) == 4000
    client.send(topic, bytes(5000), 0)
    assert client.wait_disconnected() == PACKET_TOO_LARGE
    old.send(topic, bytes(5000), 0)
    assert old.wait_disconnected() is None


def test_very_large_payload(start_broker, connect, topic):
    """The largest that MQTT allows is 256 MiB; 64 MiB pass when the operator says so."""
    broker = start_broker(settings=["limit.packet_bytes=100MiB", "queue.bytes=200MiB"])
    publisher, subscriber = connect("pub", on=broker), connect("sub", on=broker)
    subscriber.subscribe(topic, 1)
    payload = bytes(range(256)) * (256 * 1024)
    publisher.wait_ack(publisher.send(topic, payload, 1), 60)
    assert subscriber.take_one(60).payload == payload


def test_a_silent_connection_is_closed(start_broker):
    broker = start_broker(settings=["limit.connect_time=1s"])
    with socket.create_connection((broker.host, broker.port), 10) as silent:
        assert silent.recv(100) == b""


def test_most_connections(start_broker, connect, client):
    broker = start_broker(settings=["limit.connections=5"])
    held = [connect(f"c{i}", on=broker) for i in range(5)]
    extra = client("extra", on=broker)
    extra.connect(expect=(QUOTA_EXCEEDED, SERVER_BUSY))
    held[0].disconnect()
    wait_until(lambda: accepted(client("later", on=broker)), "a place to be free again")


def accepted(client):
    try:
        client.connect()
    except AssertionError:
        return False
    return True


def test_no_aliases_when_switched_off(start_broker, connect, topic):
    broker = start_broker(settings=["session.topic_alias_max=0", "session.topic_alias_out_max=0"])
    client = connect(on=broker, connect_properties={"TopicAliasMaximum": 10})
    assert getattr(client.connack.properties, "TopicAliasMaximum", 0) == 0
    client.subscribe(topic, 1)
    for _ in range(5):
        client.publish(topic, b"x", 1)
    assert all(it.topic == topic for it in client.take(5))


def test_one_shard_is_enough(start_broker, connect, topic):
    broker = start_broker(shards=1)
    publisher, subscriber = connect("pub", on=broker), connect("sub", on=broker, **persistent(5))
    subscriber.subscribe(topic, 2)
    subscriber.disconnect()
    for qos in (0, 1, 2):
        publisher.publish(topic, str(qos), qos)
    subscriber.connect()
    assert sorted(it.text for it in subscriber.take(2))[-1] == "2"
