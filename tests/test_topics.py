"""Topics and payloads: wildcards, `$`, unicode, many topics, sizes from nothing to the largest; MQTT 3.1."""

import hashlib

import pytest

MIB = 1024 * 1024
PACKET_TOO_LARGE = 0x95


def payload_of(size):
    """`size` bytes that repeat nowhere near, so that a lost or moved piece is seen."""
    seed = hashlib.sha512(str(size).encode()).digest()
    return (seed * (size // len(seed) + 1))[:size] if size < MIB else _large(size)


def _large(size):
    blocks = (hashlib.sha512(i.to_bytes(8, "big")).digest() for i in range(size // 64 + 1))
    return b"".join(blocks)[:size]


@pytest.mark.parametrize("pattern, matches, others", [
    ("a/+/c", ["a/b/c", "a//c"], ["a/b/c/d", "a/b", "a/c"]),
    ("a/#", ["a", "a/b", "a/b/c", "a/"], ["b", "ab"]),
    ("+/+", ["a/b", "/b", "a/", "/"], ["a", "a/b/c"]),
    ("+", ["a", "b"], ["/a", "a/b"]),
    ("a/+/#", ["a/b", "a/b/c", "a//"], ["a"]),
    ("+/b/#", ["a/b", "a/b/c", "/b"], ["b", "a/c"]),
    ("a/b", ["a/b"], ["a/B", "a/b/", "/a/b"]),
])
@pytest.mark.parametrize("version", [4, 5])
def test_wildcards(version, pattern, matches, others, connect, topic):
    client = connect(version=version)
    client.subscribe(f"{topic}/{pattern}", 1)
    for name in matches + others:
        client.publish(f"{topic}/{name}", name, 1)
    client.fence(client)
    assert [it.text for it in client.inbox] == matches


@pytest.mark.parametrize("pattern", ["#", "+/monitor/#", "+/+/+"])
def test_wildcards_at_the_start_do_not_match_dollar_topics(pattern, connect, ident):
    client = connect()
    client.subscribe(pattern, 0)
    other = ident("x")
    client.publish(f"$internal/monitor/{other}", b"hidden", 0)
    client.publish(f"public/monitor/{other}", b"seen", 0)
    client.fence(client, 0)
    names = [it.topic for it in client.inbox]
    assert f"public/monitor/{other}" in names
    assert not [it for it in names if it.startswith("$")]


def test_dollar_topics_match_when_named(connect, ident):
    client = connect()
    name = f"$internal/monitor/{ident('x')}"
    client.subscribe("$internal/#", 1)
    client.subscribe("$internal/monitor/+", 1)
    client.publish(name, b"x", 1)
    assert client.take_one().topic == name


def test_sys_topics(connect):
    """The broker says how it is; a subscriber to `$SYS/#` hears of it at once or soon."""
    client = connect()
    client.subscribe("$SYS/#", 0)
    first = client.take_one()
    assert first.topic.startswith("$SYS/broker/") and first.payload
    everything = connect("everything")
    everything.subscribe("#", 0)
    client.take(1)
    everything.fence(client, 0)
    assert not [it for it in everything.inbox if it.topic.startswith("$SYS")]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("name", ["привет/мир", "温度/センサー", "emoji/🚚/🌡", " spaces / in / it ", "a" * 1000, "/".join("l" * 100)])
def test_unicode_and_unusual_topics(name, version, connect, topic):
    client = connect(version=version)
    full = f"{topic}/{name}"
    client.subscribe(full, 1)
    client.publish(full, name, 1)
    message = client.take_one()
    assert (message.topic, message.text) == (full, name)


def test_unicode_through_other_clients(program, mqttjs, topic):
    name = f"{topic}/grüße/🌍"
    js = mqttjs()
    js.subscribe(f"{topic}/+/+", 1)
    program("mosquitto", "pub", "-t", name, "-m", "Übertragung 🚀", "-q", 1).succeed()
    message = js.take_one()
    assert (message.topic, message.text) == (name, "Übertragung 🚀")
    js.publish(name, "zurück".encode(), 1, retain=True)
    assert program("mosquitto", "sub", "-t", f"{topic}/#", "-v", "-C", 1).succeed() == [f"{name} zurück"]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 65_535, 65_536, MIB])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_payload_sizes(size, qos, connect, topic):
    """Also both sides of where the length of the packet needs another byte."""
    publisher, subscriber = connect("pub", version=4), connect("sub")
    subscriber.subscribe(topic, qos)
    for around in (size - len(topic) - 4, size):
        if around >= 0:
            payload = payload_of(around)
            publisher.publish(topic, payload, qos)
            assert subscriber.take_one().payload == payload
    subscriber.assert_nothing_more(publisher, qos)


def test_large_payloads_wait_and_are_retained(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub", clean=False, expiry=3600)
    subscriber.subscribe(topic, 2)
    subscriber.disconnect()
    payloads = [payload_of(MIB + i) for i in range(8)]
    for it in payloads:
        publisher.publish(topic, it, 2, retain=True)
    subscriber.connect()
    assert [it.payload for it in subscriber.take(8)] == payloads
    late = connect("late")
    late.subscribe(topic, 1)
    assert late.take_one().payload == payloads[-1]
    publisher.publish(topic, b"", 1, retain=True)


@pytest.mark.ternmq_only("mosquitto 2.0 has no maximum by default")
def test_the_largest_payload(connect, topic):
    """As large as the broker says in CONNACK; one byte more is refused with 0x95."""
    publisher, subscriber = connect("pub"), connect("sub")
    largest = publisher.connack.properties.MaximumPacketSize
    subscriber.subscribe(topic, 1)
    head = 1 + length_bytes(largest) + 2 + len(topic) + 2 + 1
    payload = payload_of(largest - head)
    publisher.publish(topic, payload, 1)
    assert subscriber.take_one(60).payload == payload
    publisher.send(topic, bytes(largest - head + 1), 1)
    assert publisher.wait_disconnected(60) == PACKET_TOO_LARGE


def length_bytes(packet):
    """How many bytes the remaining length of a packet of that size takes."""
    return next(n for n, limit in ((1, 127), (2, 16_383), (3, 2_097_151), (4, 268_435_455)) if packet - 1 - n <= limit)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_thousand_topics(qos, connect, topic):
    """Each with its subscription; each message comes to its own, once."""
    publisher, subscriber = connect("pub", inflight=100), connect("sub")
    names = [f"{topic}/{i % 10}/{i}" for i in range(1000)]
    for start in range(0, 1000, 100):
        assert subscriber.subscribe_all(names[start:start + 100], qos) == [qos] * 100
    publisher.wait_acks([publisher.send(name, name, qos) for name in names])
    messages = subscriber.take(1000)
    assert sorted(it.topic for it in messages) == sorted(names)
    assert all(it.topic == it.text for it in messages)
    subscriber.assert_nothing_more(publisher, qos)


# MQTT 3.1


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_3_1_with_paho(qos, connect, topic):
    publisher, subscriber = connect("pub", version=3), connect("sub", version=3)
    assert subscriber.subscribe(topic, qos) == qos
    for i in range(10):
        publisher.publish(topic, str(i), qos)
    messages = subscriber.take(10)
    assert [(it.text, it.qos) for it in messages] == [(str(i), qos) for i in range(10)]


def test_mqtt_3_1_with_mosquitto(program, topic):
    program("mosquitto", "pub", "-V", "mqttv31", "-t", f"{topic}/ready", "-m", "-", "-r").succeed()
    subscriber = program("mosquitto", "sub", "-V", "mqttv31", "-t", f"{topic}/+", "-q", 2, "-C", 4, "-W", 20)
    subscriber.wait_lines(1)
    for qos in (0, 1, 2):
        program("mosquitto", "pub", "-V", "mqttv31", "-t", f"{topic}/x", "-m", str(qos), "-q", qos).succeed()
    assert subscriber.succeed() == ["-", "0", "1", "2"]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_versions_with_mqttjs(version, mqttjs, topic):
    client = mqttjs(version=version)
    client.subscribe(topic, 2)
    for qos in (0, 1, 2):
        client.publish(topic, str(qos).encode(), qos)
    assert sorted((it.text, it.qos) for it in client.take(3)) == [("0", 0), ("1", 1), ("2", 2)]


@pytest.mark.parametrize("publisher", [3, 4, 5])
@pytest.mark.parametrize("subscriber", [3, 4, 5])
def test_versions_mix(publisher, subscriber, connect, topic):
    sender, receiver = connect("pub", version=publisher), connect("sub", version=subscriber)
    receiver.subscribe(topic, 2)
    sender.publish(topic, b"x", 2)
    message = receiver.take_one()
    assert (message.payload, message.qos) == (b"x", 2)
