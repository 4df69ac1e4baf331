"""The fleet: 500 trucks with all five message types, a dashboard, a billing subscriber and a historian.

An hour of the fleet in seconds. The historian crashes in the middle and comes back; the billing
subscriber loses its connection. Every message of every subscriber is accounted for.
"""

import signal
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest

from .support.command import helper
from .support.trucks import KINDS, count, topic as truck_topic
from .support.waiting import wait_until

TRUCKS = 500
SECONDS = 16


class Recording:
    """The file of a recorder: what a subscriber got, read on as it grows."""

    def __init__(self, path):
        self.path, self.read_to, self.entries = path, 0, []

    def __len__(self):
        with self.path.open("rb") as file:
            file.seek(self.read_to)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.read_to += len(whole)
        for line in whole.decode().splitlines():
            qos, dup, name, number = line.split(" ")
            self.entries.append((int(qos), dup == "1", name, int(number)))
        return len(self.entries)


@dataclass
class Account:
    """What one subscriber got of one message type, over all trucks."""

    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    unmarked: int = 0
    disordered: int = 0
    wrong_qos: int = 0
    gaps: list = field(default_factory=list)


class Subscriber:
    """A recorder process and what it must get."""

    def __init__(self, name, broker, topic_filter, qos, life, directory):
        self.name, self.qos = name, qos
        self.recording = Recording(directory / f"{name}.txt")
        self.recording.path.touch()
        self.arguments = (broker.host, broker.port, name, topic_filter, qos, life, self.recording.path)
        self.start()

    def start(self):
        self.program = helper("recorder", *self.arguments)
        self.program.wait_lines(1)

    def account(self, prefix, kind, hours):
        """Goes through all messages of a type, truck by truck."""
        by_topic = defaultdict(list)
        for qos, dup, name, number in self.recording.entries:
            by_topic[name].append((qos, dup, number))
        total = Account()
        for truck in range(TRUCKS):
            got = by_topic[truck_topic(prefix, truck, kind)]
            expected = count(kind, truck, hours)
            seen, newest = Counter(), -1
            for qos, dup, number in got:
                total.wrong_qos += qos != min(kind.qos, self.qos)
                if seen[number]:
                    total.duplicated += 1
                    total.unmarked += not dup
                elif number < newest:
                    total.disordered += 1
                seen[number] += 1
                newest = max(newest, number)
            assert all(0 <= it < expected for it in seen), "a message that nobody sent"
            missing = [it for it in range(expected) if not seen[it]]
            total.delivered += len(seen)
            total.lost += len(missing)
            total.gaps.append(sum(b != a + 1 for a, b in zip(missing, missing[1:])) + bool(missing))
        return total


@pytest.fixture
def trucks(broker, topic, pytestconfig):
    hours = pytestconfig.getoption("--fleet-hours")
    program = helper("trucks", broker.host, broker.port, topic, TRUCKS, hours, SECONDS * max(1, hours))
    yield program
    program.close()


@pytest.fixture
def subscribers(broker, topic, tmp_path, ident):
    made = {
        "dashboard": Subscriber(ident("dashboard"), broker, f"{topic}/#", 0, "clean", tmp_path),
        "billing": Subscriber(ident("billing"), broker, f"{topic}/+/delivery", 2, "persistent", tmp_path),
        "historian": Subscriber(ident("historian"), broker, f"{topic}/#", 1, "persistent", tmp_path),
    }
    yield made
    for it in made.values():
        it.program.close()


def run_the_day(trucks, subscribers, totals):
    """Sends everything; on the way the historian crashes and the billing subscriber is cut off."""
    everything = sum(totals.values())
    dashboard, billing, historian = (subscribers[it] for it in ("dashboard", "billing", "historian"))
    trucks.wait_lines(1, 30)
    trucks.write("go\n")
    patience = 120
    wait_until(lambda: len(historian.recording) >= 0.35 * everything, "a third of the messages", patience, 0.05)
    historian.program.process.send_signal(signal.SIGKILL)
    historian.program.wait()
    billing.program.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(dashboard.recording) >= 0.6 * everything, "more than half of the messages", patience, 0.05)
    historian.start()
    trucks.wait_lines(2, patience)
    assert trucks.succeed()[-1] == "done"


@pytest.mark.timeout(300)
def test_fleet(broker, trucks, subscribers, connect, topic, pytestconfig, table):
    hours = pytestconfig.getoption("--fleet-hours")
    totals = {kind.name: sum(count(kind, it, hours) for it in range(TRUCKS)) for kind in KINDS}
    run_the_day(trucks, subscribers, totals)
    accounts = settled(subscribers, topic, hours)
    show(table, broker, totals, subscribers, accounts)
    for (kind, who), it in accounts.items():
        where = f"{kind.name} to {who}: {it}"
        assert it.disordered == it.wrong_qos == it.unmarked == 0, where
        assert it.lost == 0 or lost_while_away(kind, who, it), where
        if min(kind.qos, subscribers[who].qos) != 1:
            assert it.duplicated == 0, where


def lost_while_away(kind, who, account):
    """QoS 0 does not wait for the historian: each truck may miss one stretch, while it was away."""
    return who == "historian" and kind.qos == 0 and max(account.gaps) <= 1


def show(table, broker, totals, subscribers, accounts):
    def row(kind, who, it):
        away = it.lost if lost_while_away(kind, who, it) else 0
        return (kind.name, kind.qos, f"{totals[kind.name]:,}", f"{who} (QoS {subscribers[who].qos})",
                f"{it.delivered:,}", f"{away:,}", f"{it.lost - away:,}", f"{it.duplicated:,}", f"{it.disordered:,}")

    title = (f"the fleet: {TRUCKS} trucks, {sum(totals.values()):,} messages, the historian crashes and comes back, "
             f"on {broker.name}")
    table(title,
          ["message", "QoS", "published", "subscriber", "delivered", "QoS 0 while away", "lost", "duplicated", "out of order"],
          [row(kind, who, it) for (kind, who), it in accounts.items()])


def settled(subscribers, topic, hours):
    """The accounts of all that each subscriber gets, once everything that must come has come."""
    def account():
        for it in subscribers.values():
            len(it.recording)
        return {(kind, who): it.account(topic, kind, hours) for kind in KINDS for who, it in subscribers.items()
                if who != "billing" or kind.name == "delivery"}

    def complete():
        found = account()
        must = [it.lost for (kind, who), it in found.items() if who != "historian" or kind.qos]
        return found if not any(must) else None

    try:
        return wait_until(complete, "what is still missing", every=0.5)
    except AssertionError:
        return account()
