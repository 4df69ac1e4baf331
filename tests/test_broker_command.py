"""`ternmq broker` as an operator meets it: shutdown, exit codes, and what a mistake gets."""

import socket
import subprocess

import pytest

from .support.broker import HOST, ternmq_binary
from .support.waiting import PATIENCE

pytestmark = pytest.mark.ternmq_only("the command line of TernMQ")
SERVER_SHUTTING_DOWN = 0x8B


def broker_command(*arguments):
    """Runs `ternmq broker` and waits for its end."""
    return subprocess.run([ternmq_binary(), "broker", *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)


def test_shutdown_is_told_to_mqtt_5(start_broker, connect):
    """Clients on every shard hear 0x8B; 3.1.1 just sees the connection closed; the exit code is 0."""
    broker = start_broker(shards=4)
    newer = [connect(f"new{i}", on=broker) for i in range(12)]
    older = [connect(f"old{i}", on=broker, version=4) for i in range(4)]
    assert broker.stop() == 0
    assert [it.wait_disconnected() for it in newer] == [SERVER_SHUTTING_DOWN] * len(newer)
    assert [it.wait_disconnected() for it in older] == [None] * len(older)
    broker.assert_ended_well(0)


def test_shutdown_publishes_no_wills(start_broker, connect):
    """The broker closes the connections itself; its subscribers leave at the same time, so nobody may see one."""
    broker = start_broker()
    observer = connect("observer", on=broker)
    observer.subscribe("will", 1)
    connect("dying", on=broker, will={"topic": "will", "payload": b"gone", "qos": 1})
    assert broker.stop() == 0
    assert observer.wait_disconnected() == SERVER_SHUTTING_DOWN


def test_shutdown_with_work_in_hand(start_broker, connect):
    """Publishers that never stop and a subscriber that does not read must not keep it from ending."""
    broker = start_broker(shards=2)
    stuck, publisher = connect("stuck", on=broker), connect("pub", on=broker)
    stuck.subscribe("load", 0)
    stuck.pause()
    for _ in range(2000):
        publisher.send("load", bytes(10_000), 0)
    assert broker.stop() == 0


def test_port_in_use():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        result = broker_command("--listen", f"tcp://{HOST}:{port}", "--memory")
    assert result.returncode == 2
    assert str(port) in result.stderr and "in use" in result.stderr
    assert "ready" not in result.stdout


@pytest.mark.parametrize("text, line, suggestion", [
    ("[queue]\nmesages = 10\n", 2, "queue.messages"),
    ("[queues]\nmessages = 10\n", 1, "queue"),
    ("[queue]\nmessages = 10\n[durability]\nmod = \"memory\"\n", 4, "durability.mode"),
    ("[[listener]]\nurll = \"tcp://127.0.0.1:0\"\n", 2, "url"),
])
def test_unknown_key_in_the_file(text, line, suggestion, tmp_path):
    file = tmp_path / "ternmq.toml"
    file.write_text(text)
    result = broker_command("--config", file)
    assert result.returncode == 2
    assert suggestion in result.stderr and f"{file.name}:{line}" in result.stderr.replace(" line ", ":")
    assert "ready" not in result.stdout


def test_unknown_key_on_the_command_line():
    result = broker_command("--memory", "--listen", f"tcp://{HOST}:0", "--set", "queue.mesages=10")
    assert result.returncode == 2
    assert "queue.messages" in result.stderr


@pytest.mark.parametrize("setting", ["queue.messages=many", "queue.overflow=drop-some", "limit.connect_time=10", "queue.messages"])
def test_bad_value(setting):
    result = broker_command("--memory", "--listen", f"tcp://{HOST}:0", "--set", setting)
    assert result.returncode == 2
    assert setting.split("=")[0] in result.stderr


def test_bad_toml(tmp_path):
    file = tmp_path / "ternmq.toml"
    file.write_text("[queue\nmessages = 10\n")
    result = broker_command("--config", file)
    assert result.returncode == 2
    assert file.name in result.stderr


@pytest.mark.parametrize("arguments", [
    ["--config", "/nonexistent/ternmq.toml"], ["--listen", "udp://127.0.0.1:0"], ["--listen", "tcp://127.0.0.1:99999"],
    ["--shards", "none"], ["--no-such-option"]])
def test_bad_usage(arguments):
    result = broker_command(*arguments)
    assert result.returncode == 2
    assert result.stderr


def test_anonymous_on_all_interfaces_must_be_meant():
    result = broker_command("--memory", "--listen", "tcp://0.0.0.0:0")
    assert result.returncode == 2
    assert "anonymous" in result.stderr


def test_help():
    for verb in ([], ["broker"], ["pub"], ["sub"]):
        result = subprocess.run([ternmq_binary(), *verb, "--help"], capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 0
        assert "Usage" in result.stdout


def test_configuration_is_used(start_broker, connect):
    """A file and --set together; --set wins."""
    broker = start_broker(config="[session]\nreceive_maximum = 55\ntopic_alias_max = 7\n", settings=["session.receive_maximum=44"])
    offered = connect(on=broker).connack.properties
    assert (offered.ReceiveMaximum, offered.TopicAliasMaximum) == (44, 7)


def test_several_listeners(connect):
    process = subprocess.Popen(
        [ternmq_binary(), "broker", "--memory", "--listen", f"tcp://{HOST}:0", "--listen", f"tcp://{HOST}:0"],
        stdout=subprocess.PIPE, text=True)
    words = process.stdout.readline().split()
    try:
        assert words[0] == "ready" and len(words) == 3
        for url in words[1:]:
            socket.create_connection((HOST, int(url.rsplit(":", 1)[1])), PATIENCE).close()
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
