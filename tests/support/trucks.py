"""The trucks of the fleet, as a process of their own: every truck is a paho client.

    python -m tests.support.trucks HOST PORT PREFIX TRUCKS HOURS SECONDS

prints `connected` when all trucks are, waits for a line on standard input, sends HOURS of the
fleet's messages in SECONDS at their rates, waits until everything is acknowledged and prints
`done`. What is sent follows from the plan alone, so the test knows it without being told.
"""

import random
import sys
import time
from dataclasses import dataclass

from .herd import Herd, new_client


@dataclass(frozen=True)
class Kind:
    """A message type of the fleet: its quality of service and its rate."""

    name: str
    qos: int
    per_truck_and_day: float


KINDS = (
    Kind("position", 0, 2880),
    Kind("delivery", 2, 50),
    Kind("panic", 1, 0.1),
    Kind("fuel", 0, 144),
    Kind("speeding", 1, 10),
)
PAYLOAD_BYTES = 100


def truck_name(truck):
    return f"truck-{truck:03}"


def topic(prefix, truck, kind):
    return f"{prefix}/{truck_name(truck)}/{kind.name}"


def count(kind, truck, hours):
    """How many of `kind` the truck sends: the fleet's total, spread so that rounding loses none."""
    rate = kind.per_truck_and_day * hours / 24
    return int((truck + 1) * rate + 1e-9) - int(truck * rate + 1e-9)


def plan(trucks, hours):
    """(moment in 0..1, truck, kind, number) of every message, in time order; numbers count from 0."""
    dice = random.Random(trucks)
    events = []
    for truck in range(trucks):
        for kind in KINDS:
            n = count(kind, truck, hours)
            phase = dice.random()
            events += [((i + phase) / n, truck, kind, i) for i in range(n)]
    return sorted(events, key=lambda it: (it[0], it[1]))


def main(host, port, prefix, trucks, hours, seconds):
    herd = Herd(host, port)
    clients = [new_client(truck_name(i), version=4 + i % 2) for i in range(trucks)]
    connected = set()
    for client in clients:
        client.on_connect = lambda it, *_: connected.add(it)
        herd.connect(client)
        herd.step(0)
    herd.run_until(lambda: len(connected) == trucks, lambda: f"{trucks - len(connected)} trucks to connect", 30)
    events = plan(trucks, hours)
    print("connected", flush=True)
    sys.stdin.readline()

    begin = time.monotonic()
    sent = []
    for moment, truck, kind, number in events:
        while time.monotonic() < begin + moment * seconds:
            herd.step(0.005)
        payload = f"{number} ".ljust(PAYLOAD_BYTES, ".")
        info = herd.publish(clients[truck], topic(prefix, truck, kind), payload, kind.qos)
        if kind.qos:
            sent.append(info)
    herd.run_until(lambda: all(it.is_published() for it in sent), "the acknowledgements", 30)
    herd.run_until(lambda: not any(it.want_write() for it in clients), "everything to be written", 30)
    herd.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6]))
