"""A well-behaved client that measures: how long a QoS 1 message takes to come back to it.

    python -m tests.support.probe HOST PORT

prints `ready` when it has subscribed. For each line `measure SECONDS` on standard input it sends a
message every 2 ms, one at a time, and prints the latencies as JSON, in milliseconds:
{"count": ..., "p50": ..., "p99": ..., "max": ...}. Plain blocking sockets, for low jitter.
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

    def measure(self, seconds):
        took, begin = [], time.perf_counter()
        gc.disable()
        while time.perf_counter() - begin < seconds:
            took.append(self.once())
            time.sleep(INTERVAL)  # the pace of the load, not a wait for something
        gc.enable()
        took.sort()

        def at(share):
            return round(took[min(len(took) - 1, int(len(took) * share))] * 1000, 3)

        return {"count": len(took), "p50": at(0.5), "p99": at(0.99), "max": at(1)}


def main(host, port):
    probe = Probe(host, port)
    print("ready", flush=True)
    for line in sys.stdin:
        verb, seconds = line.split()
        assert verb == "measure", line
        print(json.dumps(probe.measure(float(seconds))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
