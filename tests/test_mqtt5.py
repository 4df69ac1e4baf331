"""What MQTT 5 adds: aliases, identifiers, properties, request and response, limits, expiry, reasons."""

import pytest

from .support.client import persistent, wait_retained_gone

NO_MATCHING_SUBSCRIBERS = 0x10
TOPIC_ALIAS_INVALID = 0x94


# topic aliases


def test_aliases_of_the_publisher(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub")
    assert publisher.connack.properties.TopicAliasMaximum >= 3
    subscriber.subscribe(f"{topic}/#", 2)
    for alias in (1, 2, 3):
        publisher.publish(f"{topic}/{alias}", b"named", 1, TopicAlias=alias)
    for alias in (3, 1, 2):
        publisher.publish("", b"by alias", alias - 1, TopicAlias=alias)
    publisher.publish(f"{topic}/other", b"renamed", 1, TopicAlias=1)
    publisher.publish("", b"by alias", 1, TopicAlias=1)
    got = [(it.topic.removeprefix(topic), it.text) for it in subscriber.take(8)]
    assert [it for it in got if it[1] != "by alias"] == [("/1", "named"), ("/2", "named"), ("/3", "named"), ("/other", "renamed")]
    assert sorted(it[0] for it in got if it[1] == "by alias") == ["/1", "/2", "/3", "/other"]


def test_an_alias_beyond_the_maximum(connect, topic):
    publisher = connect("pub")
    publisher.send(topic, b"x", 0, TopicAlias=publisher.connack.properties.TopicAliasMaximum + 1)
    assert publisher.wait_disconnected() == TOPIC_ALIAS_INVALID


def test_aliases_end_with_the_connection(connect, topic):
    publisher = connect("pub", **persistent(5))
    publisher.publish(topic, b"x", 0, TopicAlias=1)
    publisher.disconnect()
    publisher.connect()
    publisher.send("", b"x", 0, TopicAlias=1)
    assert publisher.wait_disconnected() in (0x82, TOPIC_ALIAS_INVALID)


@pytest.mark.ternmq_only("mosquitto 2.0 sends no aliases")
def test_aliases_of_the_broker(connect, topic):
    """Three topics for a client that allows two aliases: the right topic always, never a third alias."""
    publisher, subscriber = connect("pub"), connect("sub", connect_properties={"TopicAliasMaximum": 2})
    subscriber.subscribe(f"{topic}/#", 1)
    for i in range(60):
        publisher.publish(f"{topic}/{i % 3}", str(i), 1)
    names, used = {}, 0
    for message in subscriber.take(60):
        alias = message.prop("TopicAlias")
        if alias is not None:
            assert 1 <= alias <= 2
            used += message.topic == ""
            names[alias] = message.topic or names[alias]
        assert (message.topic or names[alias]) == f"{topic}/{int(message.text) % 3}"
    assert used > 0, "the broker made no use of aliases"


def test_no_alias_for_a_client_that_allows_none(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub")
    subscriber.subscribe(topic, 1)
    for i in range(20):
        publisher.publish(topic, str(i), 1)
    assert all(it.topic == topic and it.prop("TopicAlias") is None for it in subscriber.take(20))


def test_aliases_in_mqttjs(mqttjs, topic):
    """mqtt.js resolves the broker's aliases and assigns its own."""
    subscriber = mqttjs("sub", properties={"topicAliasMaximum": 5})
    publisher = mqttjs("pub", autoAssignTopicAlias=True)
    subscriber.subscribe(f"{topic}/#", 1)
    for i in range(40):
        publisher.publish(f"{topic}/{i % 4}", str(i).encode(), 1)
    assert [it.topic for it in subscriber.take(40)] == [f"{topic}/{i % 4}" for i in range(40)]
    assert not publisher.errors and not subscriber.errors


# subscriptions


@pytest.mark.ternmq_only("mosquitto 2.0 does not take the highest QoS")
def test_overlapping_subscriptions_deliver_once(connect, topic):
    """At the highest QoS, with the identifiers of all that match."""
    publisher, subscriber = connect("pub"), connect("sub")
    for qos, name, identifier in ((0, f"{topic}/#", 1), (2, f"{topic}/a/+", 268_435_455), (1, f"{topic}/a/b", 77)):
        subscriber.subscribe(name, qos, identifier=identifier)
    publisher.publish(f"{topic}/a/b", b"x", 2)
    message = subscriber.take_one()
    assert message.qos == 2
    assert sorted(message.prop("SubscriptionIdentifier")) == [1, 77, 268_435_455]
    subscriber.assert_nothing_more(publisher)


def test_subscription_identifiers_survive_the_connection(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub", **persistent(5))
    subscriber.subscribe(topic, 1, identifier=5)
    subscriber.subscribe(topic, 1, identifier=6)
    subscriber.disconnect()
    publisher.publish(topic, b"x", 1)
    subscriber.connect()
    assert subscriber.take_one().prop("SubscriptionIdentifier") == [6]


def test_no_local(connect, topic):
    client, other = connect("one"), connect("other")
    client.subscribe(topic, 1, noLocal=True)
    client.publish(topic, b"own", 1)
    other.publish(topic, b"other's", 1)
    assert client.take_one().payload == b"other's"
    client.assert_nothing_more(other)


def test_no_local_lasts(connect, topic):
    """It belongs to the session: also what it publishes after a reconnect is its own."""
    client, other = connect("one", **persistent(5)), connect("other")
    client.subscribe(topic, 1, noLocal=True)
    client.disconnect()
    client.connect()
    client.publish(topic, b"own", 1)
    other.publish(topic, b"other's", 1)
    assert client.take_one().payload == b"other's"
    client.assert_nothing_more(other)


# properties passed through


def test_properties_pass_unchanged(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub")
    subscriber.subscribe(topic, 1)
    user = [("key", "value"), ("key", "value again"), ("ключ", "värde"), ("empty", "")]
    publisher.publish(topic, "{}", 1, UserProperty=user, ContentType="application/json", PayloadFormatIndicator=1,
                      ResponseTopic="to/me", CorrelationData=bytes(range(256)))
    message = subscriber.take_one()
    assert message.prop("UserProperty") == user
    assert message.prop("ContentType") == "application/json"
    assert message.prop("PayloadFormatIndicator") == 1
    assert message.prop("ResponseTopic") == "to/me"
    assert message.prop("CorrelationData") == bytes(range(256))


def test_properties_wait_in_the_queue(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub", **persistent(5))
    subscriber.subscribe(topic, 2)
    subscriber.disconnect()
    publisher.publish(topic, b"x", 2, UserProperty=[("a", "b")], CorrelationData=b"42")
    subscriber.connect()
    message = subscriber.take_one()
    assert (message.prop("UserProperty"), message.prop("CorrelationData")) == ([("a", "b")], b"42")


def test_properties_are_not_sent_to_older_versions(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub", version=4)
    subscriber.subscribe(topic, 1)
    publisher.publish(topic, b"payload", 1, UserProperty=[("a", "b")], ContentType="text/plain")
    assert subscriber.take_one().payload == b"payload"


def test_request_and_response(connect, topic):
    """Twenty requesters and one responder; each gets the answers to its own requests."""
    responder = connect("responder")
    responder.subscribe(f"{topic}/double", 1)
    requesters = [connect(f"asker{i}") for i in range(20)]
    for i, it in enumerate(requesters):
        it.subscribe(f"{topic}/answers/{i}", 1)
        for n in range(3):
            it.send(f"{topic}/double", str(i * 10 + n), 1, ResponseTopic=f"{topic}/answers/{i}", CorrelationData=bytes([n]))
    for question in responder.take(60):
        responder.send(question.prop("ResponseTopic"), str(2 * int(question.text)), 1,
                       CorrelationData=question.prop("CorrelationData"))
    for i, it in enumerate(requesters):
        answers = {message.prop("CorrelationData"): int(message.text) for message in it.take(3)}
        assert answers == {bytes([n]): 2 * (i * 10 + n) for n in range(3)}


def test_request_and_response_with_mqttjs(mqttjs, connect, topic):
    responder, asker = connect("responder"), mqttjs("asker")
    responder.subscribe(topic, 1)
    asker.subscribe(f"{topic}/answer", 1)
    asker.publish(topic, b"question", 1, properties={
        "responseTopic": f"{topic}/answer", "correlationData": "AAEC", "userProperties": {"a": ["1", "2"]}})
    question = responder.take_one()
    assert question.prop("CorrelationData") == b"\x00\x01\x02"
    assert question.prop("UserProperty") == [("a", "1"), ("a", "2")]
    responder.publish(question.prop("ResponseTopic"), b"answer", 1, CorrelationData=question.prop("CorrelationData"))
    answer = asker.take_one()
    assert answer.payload == b"answer"
    assert answer.properties["correlationData"] == {"base64": "AAEC"}


@pytest.mark.ternmq_only("mosquitto 2.0 gives no response information")
def test_response_information(connect, topic):
    """A client that asks gets a topic of its own to be answered on, and may subscribe to it."""
    asker = connect("asker", connect_properties={"RequestResponseInformation": 1})
    information = asker.connack.properties.ResponseInformation
    assert information
    assert not hasattr(connect("other").connack.properties, "ResponseInformation")


def test_reason_for_nobody_subscribed(connect, topic):
    client = connect()
    assert client.publish(topic, b"x", 1) == NO_MATCHING_SUBSCRIBERS
    client.subscribe(topic, 0)
    assert client.publish(topic, b"x", 1) == 0


# limits


@pytest.mark.ternmq_only("mosquitto 2.0 forgets it at a SUBSCRIBE")
@pytest.mark.parametrize("qos", [1, 2])
def test_receive_maximum_of_the_subscriber(qos, connect, topic):
    publisher = connect("pub")
    subscriber = connect("sub", manual_ack=True, connect_properties={"ReceiveMaximum": 3})
    subscriber.subscribe(topic, qos)
    for i in range(10):
        publisher.publish(topic, str(i), qos)
    received = 0
    while received < 10:
        expected = min(3, 10 - received)
        batch = subscriber.take(expected)
        assert [int(it.text) for it in batch] == list(range(received, received + expected))
        # QoS 0 has no quota: the fence passes by what waits.
        subscriber.assert_nothing_more(publisher, 0)
        for it in batch:
            subscriber.ack(it)
        received += expected
    subscriber.assert_nothing_more(publisher, 0)


def test_maximum_packet_size_of_the_subscriber(connect, topic):
    """What is too large for it is dropped for it alone, and does not block what follows."""
    publisher, other = connect("pub"), connect("other")
    small = connect("small", connect_properties={"MaximumPacketSize": 1000})
    for it in (small, other):
        it.subscribe(topic, 1)
    for size in (10, 900, 1000, 5000, 20):
        publisher.publish(topic, bytes(size), 1)
    assert [len(it.payload) for it in small.take(3)] == [10, 900, 20]
    assert [len(it.payload) for it in other.take(5)] == [10, 900, 1000, 5000, 20]
    small.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto 2.0 does not count the first byte of the packet")
def test_maximum_packet_size_to_the_byte(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub", connect_properties={"MaximumPacketSize": 1000})
    subscriber.subscribe(topic, 1)
    # type, remaining length, length of the topic, topic, packet identifier, no properties
    largest = 1000 - (1 + 2 + 2 + len(topic) + 2 + 1)
    for size in (largest, largest + 1, largest - 1):
        publisher.publish(topic, bytes(size), 1)
    assert [len(it.payload) for it in subscriber.take(2)] == [largest, largest - 1]
    subscriber.assert_nothing_more(publisher)


def test_maximum_packet_size_after_a_reconnect(connect, topic):
    """The limit is the new connection's: what waited and is now too large is dropped."""
    publisher, subscriber = connect("pub"), connect("sub", **persistent(5))
    subscriber.subscribe(topic, 1)
    subscriber.disconnect()
    for size in (10, 5000, 20):
        publisher.publish(topic, bytes(size), 1)
    subscriber.connect_properties["MaximumPacketSize"] = 1000
    subscriber.connect()
    assert [len(it.payload) for it in subscriber.take(2)] == [10, 20]
    subscriber.assert_nothing_more(publisher)


# expiry


def test_messages_expire_in_the_queue(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub", **persistent(5))
    subscriber.subscribe(f"{topic}/q", 1)
    subscriber.disconnect()
    publisher.publish(f"{topic}/q", b"short", 1, MessageExpiryInterval=1)
    publisher.publish(f"{topic}/q", b"long", 1, MessageExpiryInterval=100)
    publisher.publish(f"{topic}/q", b"for ever", 1)
    # A retained message that expires later tells when the first has expired.
    publisher.publish(f"{topic}/clock", b"2 s", 1, retain=True, MessageExpiryInterval=2)
    wait_retained_gone(publisher, f"{topic}/clock")
    subscriber.connect()
    long, for_ever = subscriber.take(2)
    assert (long.payload, for_ever.payload) == (b"long", b"for ever")
    assert 80 <= long.prop("MessageExpiryInterval") < 100, "the time in the queue is subtracted"
    assert for_ever.prop("MessageExpiryInterval") is None
    subscriber.assert_nothing_more(publisher)


def test_expiry_passes_to_who_is_there(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub")
    subscriber.subscribe(topic, 1)
    publisher.publish(topic, b"x", 1, MessageExpiryInterval=100)
    assert 90 <= subscriber.take_one().prop("MessageExpiryInterval") <= 100


# connecting


def test_what_the_broker_offers(connect):
    """Absent properties mean that it is offered; present ones must say so."""
    offered = connect().connack.properties
    for name in ("RetainAvailable", "WildcardSubscriptionAvailable", "SubscriptionIdentifierAvailable",
                 "SharedSubscriptionAvailable"):
        assert getattr(offered, name, 1) == 1
    assert not hasattr(offered, "MaximumQoS")
    assert getattr(offered, "ReceiveMaximum", 65535) >= 10


def test_user_properties_of_other_packets(connect, topic):
    """CONNECT, SUBSCRIBE and DISCONNECT may carry some; they mean nothing to the broker."""
    client = connect(connect_properties={"UserProperty": [("who", "me")]})
    assert client.subscribe(topic, 1, user_property=[("why", "test")]) == 1
    client.disconnect(UserProperty=[("so", "long")], ReasonString="done")
