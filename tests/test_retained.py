"""Retained messages: stored, replaced, cleared, expired, and what the subscriber's options say about them."""

import pytest

from .support.client import wait_retained_gone

RETAIN_ON_EVERY_SUBSCRIBE, RETAIN_ON_NEW_SUBSCRIPTION, RETAIN_NEVER = 0, 1, 2


@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_last_retained_message_greets_a_subscriber(version, connect, topic):
    publisher, subscriber = connect("pub", version=version), connect("sub", version=version)
    publisher.publish(topic, b"first", 1, retain=True)
    publisher.publish(topic, b"second", 1, retain=True)
    publisher.publish(topic, b"live only", 1)
    subscriber.subscribe(topic, 1)
    message = subscriber.take_one()
    assert (message.payload, message.retain, message.qos, message.dup) == (b"second", True, 1, False)
    subscriber.assert_nothing_more(publisher)


@pytest.mark.parametrize("version", [4, 5])
def test_live_messages_are_not_marked_retained(version, connect, topic):
    publisher, subscriber = connect("pub", version=version), connect("sub", version=version)
    subscriber.subscribe(topic, 1)
    publisher.publish(topic, b"live", 1, retain=True)
    assert not subscriber.take_one().retain


@pytest.mark.parametrize("version", [4, 5])
def test_an_empty_payload_clears(version, connect, topic):
    publisher, subscriber = connect("pub", version=version), connect("sub", version=version)
    publisher.publish(topic, b"value", 1, retain=True)
    publisher.publish(topic, b"", 1, retain=True)
    subscriber.subscribe(topic, 1)
    subscriber.assert_nothing_more(publisher)
    publisher.publish(topic, b"", 1, retain=True)
    assert subscriber.take_one().payload == b"", "an empty retained message is also a message"


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_qos_is_the_lower_one(published, granted, connect, topic):
    client = connect()
    client.publish(topic, b"x", published, retain=True)
    client.fence(client, published)
    client.subscribe(topic, granted)
    message = client.take_one()
    assert (message.qos, message.retain) == (min(published, granted), True)


def test_a_thousand_retained_messages_by_wildcard(connect, topic):
    """All of them, once, however many they are."""
    publisher, subscriber = connect("pub", inflight=100), connect("sub")
    publisher.wait_acks([publisher.send(f"{topic}/{i // 100}/{i}", str(i), 1, retain=True) for i in range(1000)])
    subscriber.subscribe(f"{topic}/#", 1)
    assert sorted(int(it.text) for it in subscriber.take(1000)) == list(range(1000))
    subscriber.assert_nothing_more(publisher)
    subscriber.unsubscribe(f"{topic}/#")
    subscriber.subscribe(f"{topic}/+/777", 1)
    assert subscriber.take_one().text == "777"
    subscriber.assert_nothing_more(publisher)


def test_properties_are_kept(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub")
    publisher.publish(topic, b"{}", 1, retain=True, ContentType="application/json", PayloadFormatIndicator=1,
                      ResponseTopic="answers", CorrelationData=b"\x00\x01", UserProperty=[("a", "1"), ("a", "2")])
    subscriber.subscribe(topic, 1)
    message = subscriber.take_one()
    assert message.prop("ContentType") == "application/json"
    assert message.prop("PayloadFormatIndicator") == 1
    assert message.prop("ResponseTopic") == "answers"
    assert message.prop("CorrelationData") == b"\x00\x01"
    assert message.prop("UserProperty") == [("a", "1"), ("a", "2")]


def test_a_retained_message_expires(connect, topic):
    publisher, subscriber = connect("pub"), connect("sub")
    publisher.publish(topic, b"short", 1, retain=True, MessageExpiryInterval=1)
    publisher.publish(f"{topic}/long", b"long", 1, retain=True, MessageExpiryInterval=100)
    wait_retained_gone(subscriber, topic)
    subscriber.subscribe(f"{topic}/#", 1)
    message = subscriber.take_one()
    assert message.payload == b"long"
    assert 80 <= message.prop("MessageExpiryInterval") < 100
    subscriber.assert_nothing_more(publisher)


@pytest.mark.parametrize("handling, first, again", [
    (RETAIN_ON_EVERY_SUBSCRIBE, 1, 1), (RETAIN_ON_NEW_SUBSCRIPTION, 1, 0), (RETAIN_NEVER, 0, 0)])
def test_retain_handling(handling, first, again, connect, topic):
    publisher, subscriber = connect("pub"), connect("sub")
    publisher.publish(topic, b"kept", 1, retain=True)
    for expected in (first, again):
        subscriber.subscribe(topic, 1, retainHandling=handling)
        subscriber.fence(publisher)
        assert len(subscriber.inbox) == expected
        subscriber.inbox.clear()


def test_retain_handling_for_a_resumed_session(connect, topic):
    """The subscription still exists after a reconnect: handling 1 sends nothing."""
    publisher, subscriber = connect("pub"), connect("sub", clean=False, expiry=3600)
    publisher.publish(topic, b"kept", 1, retain=True)
    subscriber.subscribe(topic, 1, retainHandling=RETAIN_ON_NEW_SUBSCRIPTION)
    subscriber.take_one()
    subscriber.disconnect()
    assert subscriber.connect().session_present
    subscriber.subscribe(topic, 1, retainHandling=RETAIN_ON_NEW_SUBSCRIPTION)
    subscriber.assert_nothing_more(publisher)


def test_retain_as_published(connect, topic):
    publisher, keeping, dropping = connect("pub"), connect("keeping"), connect("dropping")
    keeping.subscribe(topic, 1, retainAsPublished=True)
    dropping.subscribe(topic, 1, retainAsPublished=False)
    publisher.publish(topic, b"a", 1, retain=True)
    publisher.publish(topic, b"b", 1, retain=False)
    assert [it.retain for it in keeping.take(2)] == [True, False]
    assert [it.retain for it in dropping.take(2)] == [False, False]


def test_overlapping_filters_of_one_subscribe(connect, topic):
    """Each subscription brings its retained messages."""
    client = connect()
    client.publish(f"{topic}/a", b"x", 1, retain=True)
    client.subscribe(f"{topic}/a", 1)
    client.take_one()
    client.subscribe(f"{topic}/+", 2)
    message = client.take_one()
    assert (message.topic, message.qos, message.retain) == (f"{topic}/a", 1, True)
    client.assert_nothing_more(client)


def test_retained_for_an_absent_session_is_queued_as_live(connect, topic):
    """A message that is published while the session is away was live for it: no retain flag."""
    publisher, subscriber = connect("pub"), connect("sub", clean=False, expiry=3600)
    subscriber.subscribe(topic, 1)
    subscriber.disconnect()
    publisher.publish(topic, b"x", 1, retain=True)
    subscriber.connect()
    assert not subscriber.take_one().retain
    subscriber.assert_nothing_more(publisher)


def test_no_old_value_after_a_new_one(connect, topic):
    """While a value changes as fast as it can, each of many subscribers sees it only go up."""
    publisher = connect("pub", inflight=50)
    subscribers = [connect(f"sub{i}") for i in range(10)]
    mids = []
    for i in range(1000):
        mids.append(publisher.send(topic, str(i), 1, retain=True))
        if i % 100 == 50:
            subscribers[i // 100].paho.subscribe(topic, 1)
    publisher.wait_acks(mids)
    for subscriber in subscribers:
        subscriber.wait(lambda it=subscriber: it.inbox and it.inbox[-1].text == "999", "the last value")
        values = [int(it.text) for it in subscriber.inbox]
        first_live = values[1] if len(values) > 1 else 999
        assert values[0] < first_live or len(values) == 1, values[:5]
        assert values[1:] == list(range(first_live, 1000)), "a live value is missing or out of order"
        assert first_live <= values[0] + 1, f"values between the retained {values[0]} and {first_live} are missing"
