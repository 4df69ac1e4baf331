"""The QoS delivered is the lower of the published and the granted one, for all nine combinations."""

import pytest

QOS = (0, 1, 2)


def deliver_with_paho(version, connect, topic):
    subscriber, publisher = connect("sub", version=version), connect("pub", version=version)
    for granted in QOS:
        assert subscriber.subscribe(f"{topic}/{granted}/+", granted) == granted
    for granted in QOS:
        for published in QOS:
            publisher.publish(f"{topic}/{granted}/{published}", b"x", published)
    messages = subscriber.take(9)
    subscriber.assert_nothing_more(publisher)
    return {it.topic: it.qos for it in messages}


def deliver_with_mosquitto(program, topic):
    """A retained message on each filter tells that mosquitto_sub has subscribed to it."""
    found = {}
    for granted in QOS:
        program("mosquitto", "pub", "-t", f"{topic}/{granted}/ready", "-m", "-", "-r").succeed()
        subscriber = program("mosquitto", "sub", "-t", f"{topic}/{granted}/+", "-q", granted,
                             "-F", "%q %t", "-C", 4, "-W", 20)
        subscriber.wait_lines(1)
        for published in QOS:
            program("mosquitto", "pub", "-t", f"{topic}/{granted}/{published}", "-m", "x", "-q", published).succeed()
        for line in subscriber.succeed()[1:]:
            qos, name = line.split(" ", 1)
            found[name] = int(qos)
    return found


def deliver_with_mqttjs(mqttjs, topic):
    subscriber, publisher = mqttjs("sub"), mqttjs("pub")
    for granted in QOS:
        assert subscriber.subscribe(f"{topic}/{granted}/+", granted) == granted
    for granted in QOS:
        for published in QOS:
            publisher.publish(f"{topic}/{granted}/{published}", b"x", published)
    return {it.topic: it.qos for it in subscriber.take(9)}


@pytest.fixture(scope="module")
def delivered(table):
    """(published, granted) -> delivered, for each client; shown as a table when all have run."""
    found = {}
    yield found
    rows = [(p, g, *(it[p, g] for it in found.values())) for p in QOS for g in QOS]
    table("QoS delivered", ["published", "granted", *found], rows)


@pytest.mark.parametrize("who", ["paho 3.1.1", "paho 5", "mosquitto_pub/sub", "mqtt.js"])
def test_qos_table(who, connect, program, mqttjs, topic, delivered):
    if who.startswith("paho"):
        found = deliver_with_paho(5 if who == "paho 5" else 4, connect, topic)
    elif who == "mqtt.js":
        found = deliver_with_mqttjs(mqttjs, topic)
    else:
        found = deliver_with_mosquitto(program, topic)
    delivered[who] = {(p, g): found.get(f"{topic}/{g}/{p}", "-") for p in QOS for g in QOS}
    assert delivered[who] == {(p, g): min(p, g) for p in QOS for g in QOS}
