"""A broker as a process: TernMQ by default, Debian's mosquitto so that a wrong test shows.

Starts it on a free port of the loopback, waits until it accepts, stops it by SIGTERM and looks
at how it ended. It does not speak MQTT.
"""

import os
import selectors
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from .waiting import PATIENCE, wait_until

HOST = "127.0.0.1"


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def ternmq_binary():
    """The binary that tests/run.py built or was given; None when there is none."""
    path = os.environ.get("TERNMQ_BIN")
    return Path(path) if path else None


class Broker:
    """A running broker. `port` is where it listens, `log` the file with its standard error; `name` is for tables."""

    host = HOST

    def __init__(self, kind, process, port, log, name=None):
        self.kind, self.process, self.port, self.log = kind, process, port, log
        self.name = name or kind

    @property
    def pid(self):
        return self.process.pid

    def rss(self):
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no VmRSS for the broker, process {self.pid}")

    def log_tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def assert_ended_well(self, code):
        assert "panicked at" not in self.log.read_text(errors="replace"), self.log_tail()
        assert code == 0, f"the broker ended with {code}\n{self.log_tail()}"


def start_ternmq(directory, shards=None, config=None, settings=(), listen=None):
    """Starts TernMQ in memory on a free port. `config` is the text of a TOML file."""
    command = [str(ternmq_binary()), "broker", "--listen", listen or f"tcp://{HOST}:0", "--memory"]
    if shards:
        command += ["--shards", str(shards)]
    if config:
        file = directory / "ternmq.toml"
        file.write_text(config)
        command += ["--config", str(file)]
    for setting in settings:
        command += ["--set", setting]
    log = directory / "broker.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    broker = Broker("ternmq", process, None, log, f"{shards} shards" if shards else None)
    broker.port = _port_of_ready_line(broker)
    return broker


def _port_of_ready_line(broker):
    """Waits for `ready tcp://127.0.0.1:PORT`, the one line on the broker's standard output."""
    line = _first_line(broker.process.stdout)
    urls = line.split()
    if not urls or urls[0] != "ready":
        broker.kill()
        raise AssertionError(f"expected `ready tcp://...`, got {line!r}\n{broker.log_tail()}")
    tcp = next(it for it in urls[1:] if it.startswith("tcp://"))
    return int(tcp.rsplit(":", 1)[1])


def _first_line(stream):
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(PATIENCE) else ""


MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
sys_interval 1
set_tcp_nodelay true
max_queued_messages 10000000
max_inflight_messages {inflight}
"""


def start_mosquitto(directory, inflight=1000, extra=""):
    program = shutil.which("mosquitto")
    if program is None:
        raise AssertionError("mosquitto is not installed (Debian package mosquitto)")
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(MOSQUITTO_CONFIG.format(port=port, inflight=inflight) + extra)
    log = directory / "broker.log"
    with log.open("w") as output:
        process = subprocess.Popen([program, "-c", str(config)], stdout=output, stderr=output)
    broker = Broker("mosquitto", process, port, log)
    wait_until(lambda: _accepts(broker), "mosquitto to accept")
    return broker


def _accepts(broker):
    assert broker.process.poll() is None, f"mosquitto did not start\n{broker.log_tail()}"
    try:
        socket.create_connection((broker.host, broker.port), 1).close()
    except OSError:
        return False
    return True
