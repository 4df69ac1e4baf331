"""Shared subscriptions: each message to one member, and what becomes of a member's when it leaves."""

from collections import Counter

import pytest

from .support.client import persistent
from .support.waiting import wait_until

COUNT = 300


def texts(messages):
    return [it.text for it in messages]


def numbers(*clients):
    return sorted(int(it.text) for client in clients for it in client.inbox)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_member(version, qos, connect, topic, ident):
    publisher = connect("pub", version=version)
    members = [connect(f"member{i}", version=version) for i in range(3)]
    for it in members:
        assert it.subscribe(f"$share/{ident('g')}/{topic}/+", qos) == qos
    observer = connect("observer")
    observer.subscribe(f"{topic}/#", qos)
    publisher.wait_acks([publisher.send(f"{topic}/{i % 7}", str(i), qos) for i in range(COUNT)])
    observer.take(COUNT)
    for it in members:
        it.fence(publisher, qos)
    assert numbers(*members) == list(range(COUNT))
    assert all(len(it.inbox) > COUNT / 10 for it in members), [len(it.inbox) for it in members]


def test_groups_are_independent(connect, topic, ident):
    publisher, red, blue, alone = connect("pub"), connect("red"), connect("blue"), connect("alone")
    red.subscribe(f"$share/{ident('red')}/{topic}", 1)
    blue.subscribe(f"$share/{ident('blue')}/{topic}", 1)
    alone.subscribe(topic, 1)
    for i in range(10):
        publisher.publish(topic, str(i), 1)
    for it in (red, blue, alone):
        assert texts(it.take(10)) == [str(i) for i in range(10)]


@pytest.mark.ternmq_only("mosquitto 2.0 sends it")
def test_no_retained_message_for_a_group(connect, topic, ident):
    publisher, member = connect("pub"), connect("member")
    publisher.publish(topic, b"kept", 1, retain=True)
    member.subscribe(f"$share/{ident('g')}/{topic}", 1)
    member.assert_nothing_more(publisher)


def test_the_publisher_may_be_a_member(connect, topic, ident):
    client = connect()
    client.subscribe(f"$share/{ident('g')}/{topic}", 1)
    client.publish(topic, b"x", 1)
    assert client.take_one().payload == b"x"


def test_a_plain_and_a_shared_subscription(connect, topic, ident):
    """They are different subscriptions: the client gets both copies."""
    client = connect()
    client.subscribe(topic, 1)
    client.subscribe(f"$share/{ident('g')}/{topic}", 1)
    client.publish(topic, b"x", 1)
    client.take(2)
    client.assert_nothing_more(client)


def test_unsubscribing_leaves_the_group(connect, topic, ident):
    group = f"$share/{ident('g')}/{topic}"
    publisher, first, second = connect("pub"), connect("first"), connect("second")
    first.subscribe(group, 1)
    second.subscribe(group, 1)
    assert first.unsubscribe(group) == 0
    for i in range(20):
        publisher.publish(topic, str(i), 1)
    assert texts(second.take(20)) == [str(i) for i in range(20)]
    first.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto 2.0 keeps its share for it")
def test_an_absent_member_gets_nothing_while_another_is_there(connect, topic, ident):
    """A message for the group goes to a member that can take it now."""
    group = f"$share/{ident('g')}/{topic}"
    publisher, away, here = connect("pub"), connect("away", **persistent(5)), connect("here", **persistent(5))
    away.subscribe(group, 1)
    here.subscribe(group, 1)
    away.disconnect()
    for i in range(50):
        publisher.publish(topic, str(i), 1)
    assert texts(here.take(50)) == [str(i) for i in range(50)]


def test_messages_wait_when_all_members_are_absent(connect, topic, ident):
    group = f"$share/{ident('g')}/{topic}"
    publisher, member = connect("pub"), connect("member", **persistent(5))
    member.subscribe(group, 1)
    member.disconnect()
    for i in range(20):
        publisher.publish(topic, str(i), 1)
    assert member.connect().session_present
    assert texts(member.take(20)) == [str(i) for i in range(20)]
    member.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto 2.0 keeps them for the member that left")
@pytest.mark.parametrize("how", ["disconnect", "drop", "unsubscribe"])
def test_unsent_messages_of_a_member_that_leaves_go_to_another(how, connect, topic, ident):
    """`slow` takes five and acknowledges none; what is kept for it behind those must not be lost."""
    group = f"$share/{ident('g')}/{topic}"
    publisher, quick = connect("pub", inflight=COUNT), connect("quick")
    slow = connect("slow", clean=False, expiry=3600, manual_ack=True, connect_properties={"ReceiveMaximum": 5})
    slow.subscribe(group, 1)
    quick.subscribe(group, 1)
    publisher.wait_acks([publisher.send(topic, str(i), 1) for i in range(COUNT)])
    slow.take(5, 15)
    if how == "unsubscribe":
        slow.unsubscribe(group)
    else:
        getattr(slow, how)()
    quick.take(COUNT - 5)
    quick.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto 2.0 loses them")
def test_sent_qos_1_moves_when_the_session_ends(connect, topic, ident):
    group = f"$share/{ident('g')}/{topic}"
    publisher, quick = connect("pub", inflight=COUNT), connect("quick")
    slow = connect("slow", manual_ack=True, connect_properties={"ReceiveMaximum": 5})
    slow.subscribe(group, 1)
    quick.subscribe(group, 1)
    publisher.wait_acks([publisher.send(topic, str(i), 1) for i in range(COUNT)])
    slow.take(5)
    slow.drop()
    assert Counter(texts(quick.take(COUNT))) == Counter(map(str, range(COUNT)))
    quick.assert_nothing_more(publisher)


@pytest.mark.ternmq_only("mosquitto 2.0 keeps what is unsent for the member that left")
def test_sent_qos_2_never_moves(connect, topic, ident):
    """What `slow` may have is sent again to it alone: exactly once for the group."""
    group = f"$share/{ident('g')}/{topic}"
    publisher, quick = connect("pub", inflight=COUNT), connect("quick")
    slow = connect("slow", **persistent(5), manual_ack=True, connect_properties={"ReceiveMaximum": 5})
    slow.subscribe(group, 2)
    quick.subscribe(group, 2)
    publisher.wait_acks([publisher.send(topic, str(i), 2) for i in range(COUNT)])
    taken = slow.take(5)
    slow.drop()
    others = quick.take(COUNT - 5)
    quick.assert_nothing_more(publisher)
    assert Counter(texts(taken + others)) == Counter(map(str, range(COUNT)))
    slow.paho.manual_ack_set(False)
    slow.connect()
    slow.assert_nothing_more(publisher)


def test_members_that_come_and_go_lose_nothing(connect, topic, ident):
    """Members with sessions leave by DISCONNECT and return while messages flow."""
    group = f"$share/{ident('g')}/{topic}"
    publisher = connect("pub")
    members = [connect(f"member{i}", **persistent(5)) for i in range(4)]
    for it in members:
        it.subscribe(group, 2)
    for i in range(COUNT):
        publisher.send(topic, str(i), 2)
        if i % 20 == 10:
            members[i // 20 % 4].disconnect()
        if i % 20 == 19:
            members[i // 20 % 4].connect()
    publisher.wait_acks(range(1, COUNT + 1))
    wait_until(lambda: len(numbers(*members)) >= COUNT, lambda: f"{COUNT} messages, has {len(numbers(*members))}")
    for it in members:
        it.fence(publisher, 2)
    assert numbers(*members) == list(range(COUNT))
