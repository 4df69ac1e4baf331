"""A well-behaved client that measures: how long a QoS 1 message takes to come back to it.

    python -m tests.support.probe HOST PORT

prints `ready` when it has subscribed. For each line `measure SECONDS PID...` on standard input it
sends a message every 2 ms, one at a time, and prints a JSON list with an entry for each second:
{"took": latencies in milliseconds, "others": share of the machine that other processes than itself
and PID... have used}. Plain blocking sockets, for low jitter.
"""

import gc
import json
import os
import socket
import struct
import sys
import time

from . import wire

INTERVAL = 0.002
PATIENCE = 30


class Probe:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.splitter = wire.Splitter()
        self.topic = f"probe/{os.getpid()}"
        self.number = 0
        self.pending = []
        self.socket.sendall(wire.connect(f"probe-{os.getpid()}"))
        self._wait(wire.CONNACK)
        self.socket.sendall(wire.subscribe(1, self.topic, 1))
        self._wait(wire.SUBACK)

    def _wait(self, kind):
        """Reads until a packet of `kind` comes; the others that matter are answered."""
        while True:
            while self.pending:
                found, _flags, body = self.pending.pop(0)
                if found == wire.PUBLISH:
                    (length,) = struct.unpack(">H", body[:2])
                    self.socket.sendall(wire.packet(wire.PUBACK, 0, body[2 + length:4 + length]))
                if found == kind:
                    return body
            data = self.socket.recv(65536)
            if not data:
                raise SystemExit("the broker closed the connection of the probe")
            self.pending = self.splitter.feed(data)

    def once(self):
        """One message there and back, in seconds."""
        self.number = self.number % 65535 + 1
        packet = wire.publish(self.topic, struct.pack(">Q", self.number), 1, self.number)
        begin = time.perf_counter()
        self.socket.sendall(packet)
        body = self._wait(wire.PUBLISH)
        took = time.perf_counter() - begin
        if not body.endswith(struct.pack(">Q", self.number)):
            raise SystemExit("the probe got another message than it sent")
        return took

    def measure(self, seconds, pids):
        usage, windows = Usage([os.getpid(), *pids]), []
        gc.disable()
        for _ in range(seconds):
            took, end = [], time.perf_counter() + 1
            while time.perf_counter() < end:
                took.append(round(self.once() * 1000, 3))
                time.sleep(INTERVAL)  # the pace of the load, not a wait for something
            windows.append({"took": took, "others": usage.of_others()})
        gc.enable()
        return windows


class Usage:
    """How busy others keep the processors, from one question to the next."""

    def __init__(self, pids):
        self.files = [f"/proc/{it}/stat" for it in pids]
        self.before = self._read()

    def of_others(self):
        after = self._read()
        (busy, ours, total), self.before = (b - a for a, b in zip(self.before, after)), after
        return round(max(0, busy - ours) / max(1, total), 3)

    def _read(self):
        """Ticks so far: of everybody, of our processes, and that there were."""
        with open("/proc/stat") as file:
            user, nice, system, idle, iowait, _irq, _softirq, steal = map(int, file.readline().split()[1:9])
        ours = 0
        for path in self.files:
            with open(path) as file:
                ours += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        busy = user + nice + system + steal
        return busy, ours, busy + idle + iowait


def main(host, port):
    probe = Probe(host, port)
    print("ready", flush=True)
    for line in sys.stdin:
        verb, seconds, *pids = line.split()
        assert verb == "measure", line
        print(json.dumps(probe.measure(int(seconds), pids)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
