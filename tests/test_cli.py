"""`ternmq pub` and `ternmq sub` beside mosquitto_pub and mosquitto_sub: the same letters, the same meaning.

Each test runs with both suites of programs in both roles; the pair of mosquitto's own shows that
the test is right.
"""

import signal

import pytest

from .support.broker import free_port, ternmq_binary
from .support.command import Program
from .support.waiting import wait_until

SUITES = ["ternmq", "mosquitto"]
pub_suite = pytest.mark.parametrize("pub", SUITES)
sub_suite = pytest.mark.parametrize("sub", SUITES)


@pytest.fixture(autouse=True)
def needs_the_binary(request):
    """With --broker mosquitto there may be no ternmq at all: then only mosquitto's own pair runs."""
    if "ternmq" in (request.node.callspec.params.get(it) for it in ("pub", "sub")) and ternmq_binary() is None:
        pytest.skip("no ternmq: TERNMQ_BIN is not set")


@pytest.fixture
def subscribe(program, topic):
    """Starts a sub on `topic/+`, or what `-t` says, that has subscribed when this returns."""

    def start(suite, *arguments, publisher="mosquitto"):
        program(publisher, "pub", "-t", f"{topic}/ready", "-m", "ready", "-r", "-q", 1).succeed()
        filters = [] if "-t" in arguments else ["-t", f"{topic}/+"]
        it = program(suite, "sub", *filters, *arguments)
        it.wait_lines(1)
        it.lines.clear()
        return it

    return start


# pub


@pub_suite
@sub_suite
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_message(pub, sub, qos, program, subscribe, topic):
    subscriber = subscribe(sub, "-q", 2, "-C", 3)
    program(pub, "pub", "-t", f"{topic}/x", "-m", "hello wörld", "-q", qos).succeed()
    program(pub, "pub", "-t", f"{topic}/x", "-m", " and more ", "-q", qos).succeed()
    assert subscriber.succeed() == ["hello wörld", " and more "]


@pub_suite
def test_file(pub, program, connect, topic, tmp_path):
    """The whole file is one message, whatever bytes are in it."""
    content = bytes(range(256)) * 4000
    (tmp_path / "payload").write_bytes(content)
    subscriber = connect("sub")
    subscriber.subscribe(topic, 1)
    program(pub, "pub", "-t", topic, "-f", tmp_path / "payload", "-q", 1).succeed()
    assert subscriber.take_one().payload == content


@pub_suite
def test_standard_input(pub, program, connect, topic):
    """-s: all of it is one message."""
    subscriber = connect("sub")
    subscriber.subscribe(topic, 1)
    publisher = program(pub, "pub", "-t", topic, "-s", "-q", 1)
    publisher.write("one\ntwo\n")
    publisher.end_input()
    publisher.succeed()
    assert subscriber.take_one().payload == b"one\ntwo\n"


@pub_suite
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_lines(pub, qos, program, connect, topic):
    """-l: each line is sent when it is read, not only at the end."""
    subscriber = connect("sub")
    subscriber.subscribe(topic, 2)
    publisher = program(pub, "pub", "-t", topic, "-l", "-q", qos)
    publisher.write("first\n")
    assert subscriber.take_one().payload == b"first"
    publisher.write("".join(f"line {i}\n" for i in range(500)))
    publisher.write("the last, without an end")
    publisher.end_input()
    publisher.succeed()
    assert [it.text for it in subscriber.take(501)] == [f"line {i}" for i in range(500)] + ["the last, without an end"]
    subscriber.assert_nothing_more(subscriber)


@pub_suite
def test_null_message_clears_a_retained_one(pub, program, connect, topic):
    program(pub, "pub", "-t", topic, "-m", "kept", "-r", "-q", 1).succeed()
    subscriber = connect("sub")
    subscriber.subscribe(topic, 1)
    assert subscriber.take_one().retain
    program(pub, "pub", "-t", topic, "-n", "-r", "-q", 1).succeed()
    assert subscriber.take_one().payload == b""
    late = connect("late")
    late.subscribe(topic, 1)
    late.assert_nothing_more(subscriber)


@pub_suite
@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5", "31", "311", "5"])
def test_versions_of_pub(pub, version, program, connect, topic):
    subscriber = connect("sub")
    subscriber.subscribe(topic, 2)
    program(pub, "pub", "-V", version, "-t", topic, "-m", "x", "-q", 2).succeed()
    assert subscriber.take_one().qos == 2


@pub_suite
def test_properties_of_pub(pub, program, connect, topic):
    subscriber = connect("sub")
    subscriber.subscribe(topic, 1)
    program(pub, "pub", "-V", "mqttv5", "-t", topic, "-m", "{}", "-q", 1,
            "-D", "publish", "user-property", "key", "value", "-D", "PUBLISH", "user-property", "key", "again",
            "-D", "publish", "content-type", "application/json", "-D", "publish", "payload-format-indicator", "1",
            "-D", "publish", "message-expiry-interval", "100", "-D", "publish", "response-topic", "answers",
            "-D", "publish", "correlation-data", "c0ffee").succeed()
    message = subscriber.take_one()
    assert message.prop("UserProperty") == [("key", "value"), ("key", "again")]
    assert message.prop("ContentType") == "application/json"
    assert message.prop("PayloadFormatIndicator") == 1
    assert 90 <= message.prop("MessageExpiryInterval") <= 100
    assert message.prop("ResponseTopic") == "answers"
    assert message.prop("CorrelationData") == b"c0ffee"


# sub


@sub_suite
def test_verbose(sub, program, subscribe, topic):
    subscriber = subscribe(sub, "-v", "-C", 2)
    program("mosquitto", "pub", "-t", f"{topic}/a", "-m", "1").succeed()
    assert subscriber.succeed() == [f"{topic}/a 1"]


@sub_suite
def test_several_filters(sub, program, subscribe, topic):
    subscriber = subscribe(sub, "-t", f"{topic}/ready", "-t", f"{topic}/a", "-t", f"{topic}/b/#", "-C", 3)
    for name in ("a", "c", "b/c"):
        program("mosquitto", "pub", "-t", f"{topic}/{name}", "-m", name, "-q", 1).succeed()
    assert subscriber.succeed() == ["a", "b/c"]


@sub_suite
def test_no_stale_messages(sub, program, connect, topic):
    """-R: a retained message does not count, a live one does; a persistent session tells that it has subscribed."""
    connect("keeper").publish(topic, b"stale", 1, retain=True)
    publisher = connect("pub")
    subscriber = program(sub, "sub", "-t", topic, "-R", "-C", 1, "-V", "mqttv5")
    # 0x10, no matching subscribers, until it has subscribed
    wait_until(lambda: publisher.publish(topic, b"live", 1) == 0, "the subscription")
    assert subscriber.succeed() == ["live"]


@sub_suite
def test_timeout(sub, program, topic):
    """-W: ends by itself, having printed nothing."""
    subscriber = program(sub, "sub", "-t", topic, "-W", 1)
    subscriber.wait()
    assert subscriber.lines == []


@sub_suite
@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
def test_persistent_session(sub, version, program, subscribe, connect, ident, topic):
    """-c -i: what is published while it is away waits for it."""
    options = ["-c", "-i", ident("sub"), "-q", 1, "-V", version]
    subscribe(sub, *options, "-C", 1).succeed()
    publisher = connect("pub")
    for i in range(5):
        publisher.publish(f"{topic}/x", str(i), 1)
    again = program(sub, "sub", "-t", f"{topic}/x", *options, "-C", 5)
    assert again.succeed() == ["0", "1", "2", "3", "4"]


@sub_suite
def test_session_expiry(sub, program, subscribe, connect, ident, topic):
    """-x: a session without -c's never-ending expiry is kept as long as it says."""
    options = ["-c", "-i", ident("sub"), "-q", 1, "-V", "mqttv5", "-x", 100]
    subscribe(sub, *options, "-C", 1).succeed()
    connect("pub").publish(f"{topic}/x", b"kept", 1)
    assert program(sub, "sub", "-t", f"{topic}/x", *options, "-C", 1).succeed() == ["kept"]


@sub_suite
def test_will(sub, subscribe, connect, topic):
    observer = connect("observer")
    observer.subscribe(f"{topic}/will", 2)
    subscriber = subscribe(sub, "--will-topic", f"{topic}/will", "--will-payload", "gone", "--will-qos", 2, "--will-retain")
    subscriber.process.kill()
    message = observer.take_one()
    assert (message.payload, message.qos) == (b"gone", 2)
    late = connect("late")
    late.subscribe(f"{topic}/will", 2)
    assert late.take_one().retain


@sub_suite
def test_interrupted(sub, subscribe, connect, topic):
    """SIGINT is a normal end: DISCONNECT, so that the will is not published."""
    observer = connect("observer")
    observer.subscribe(f"{topic}/will", 1)
    subscriber = subscribe(sub, "--will-topic", f"{topic}/will", "--will-payload", "gone")
    subscriber.process.send_signal(signal.SIGINT)
    subscriber.wait()
    observer.assert_nothing_more(observer)


@sub_suite
def test_keep_alive_and_name(sub, program, subscribe, topic):
    """-k, -u and -P are taken; an anonymous broker does not mind a name."""
    subscriber = subscribe(sub, "-k", 30, "-u", "me", "-P", "secret", "-C", 2)
    program("mosquitto", "pub", "-t", f"{topic}/x", "-m", "x").succeed()
    assert subscriber.succeed() == ["x"]


@sub_suite
def test_properties_of_sub(sub, subscribe, connect, ident, topic):
    """-D connect: the session expiry is as told there."""
    options = ["-i", ident("sub"), "-q", 1, "-V", "mqttv5", "-D", "connect", "session-expiry-interval", "100",
               "-D", "subscribe", "user-property", "a", "b"]
    subscribe(sub, *options, "-C", 1).succeed()
    assert connect("sub", clean=False).connack.session_present


@pub_suite
@sub_suite
def test_large_message(pub, sub, program, subscribe, topic, tmp_path):
    line = "x" * (1024 * 1024)
    (tmp_path / "payload").write_text(line)
    subscriber = subscribe(sub, "-q", 1, "-C", 2)
    program(pub, "pub", "-t", f"{topic}/x", "-f", tmp_path / "payload", "-q", 1).succeed()
    assert subscriber.succeed() == [line]


# what goes wrong


@pytest.mark.parametrize("pub, bad", [("ternmq", "a/#"), ("ternmq", "a/+/b"), ("ternmq", ""), ("mosquitto", "a/#")])
def test_bad_topic_of_pub(pub, bad, program, connect, topic):
    """A clear message, nothing sent."""
    observer = connect("observer")
    observer.subscribe(f"{topic}/#", 1)
    publisher = program(pub, "pub", "-t", f"{topic}/{bad}" if bad else "", "-m", "x")
    code = publisher.wait()
    assert code == (2 if pub == "ternmq" else 1)
    assert "topic" in " ".join(publisher.errors).lower(), publisher.errors
    observer.assert_nothing_more(observer)


@pytest.mark.parametrize("sub, bad", [("ternmq", "a/#/b"), ("ternmq", "a+/b"), ("ternmq", ""), ("mosquitto", "a/#/b")])
def test_bad_filter_of_sub(sub, bad, program):
    subscriber = program(sub, "sub", "-t", bad)
    code = subscriber.wait()
    assert code == (2 if sub == "ternmq" else 1)
    message = " ".join(subscriber.errors).lower()
    assert "topic" in message or "filter" in message, subscriber.errors


@pytest.mark.parametrize("pub, arguments", [(suite, it) for suite in SUITES for it in (
    ["-t", "a"], ["-m", "x"], ["-t", "a", "-m", "x", "-q", "3"], ["-t", "a", "-m", "x", "--no-such-option"])])
def test_bad_usage_of_pub(pub, arguments, program):
    publisher = program(pub, "pub", *arguments)
    assert publisher.wait() == (2 if pub == "ternmq" else 1)
    assert publisher.errors


@pub_suite
def test_nobody_listens(pub):
    command = [ternmq_binary(), "pub"] if pub == "ternmq" else ["mosquitto_pub"]
    publisher = Program([*command, "-h", "127.0.0.1", "-p", free_port(), "-t", "a", "-m", "x"])
    assert publisher.wait() == 1
    assert "refused" in " ".join(publisher.errors).lower(), publisher.errors
    publisher.close()
