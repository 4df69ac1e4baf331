"""Sleeping sensors: 200 that wake, take the commands that waited for them, and sleep again.

`calibrate` may be repeated (QoS 1), `irrigate` may not (QoS 2). Some sensors lose power in the
middle of waking; some are replaced, and the new one must not inherit the old one's commands.
"""

import random
from collections import defaultdict

import pytest

from .support.herd import Herd, new_client

SENSORS = 200
CYCLES = 8
COMMANDS_ASLEEP = 200
COMMANDS_AWAKE = 50
MOST_QUEUED = 10
DAY = 86_400
QOS = {"calibrate": 1, "irrigate": 2}


class Sensor:
    """A sensor with a stable identifier; half of them speak 3.1.1, half 5. It remembers what it was told."""

    def __init__(self, herd, name, prefix, version):
        self.herd, self.name, self.prefix, self.version = herd, name, prefix, version
        self.client = new_client(name, version, clean=False)
        self.told = {it: [] for it in QOS}
        self.sent = {it: [] for it in QOS}
        self.session_present = None
        self.awake = False
        self.power_fails = False
        self.repeats = {it: 0 for it in QOS}
        self.unmarked = 0
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message

    def wake(self):
        self.session_present, self.awake = None, False
        self.herd.connect(self.client, clean=False, expiry=DAY)

    def _on_connect(self, client, _userdata, flags, _reason, _properties):
        self.session_present = flags.session_present
        client.subscribe([(f"{self.prefix}/{self.name}/{command}", qos) for command, qos in QOS.items()])

    def _on_subscribe(self, *_):
        self.awake = True

    def _on_message(self, _client, _userdata, message):
        command = message.topic.rsplit("/", 1)[1]
        number = int(message.payload)
        if number in self.told[command]:
            self.repeats[command] += 1
            self.unmarked += not message.dup
        else:
            self.told[command].append(number)
        if self.power_fails:
            self.client.socket().shutdown(2)

    def complete(self):
        return self.told == self.sent

    def sleep(self, nicely):
        if self.client.socket() is None:
            return  # the power failed already
        if nicely:
            self.client.disconnect()
        else:
            self.herd.drop(self.client)


@pytest.fixture
def herd(broker):
    it = Herd(broker.host, broker.port)
    yield it
    it.close()


@pytest.fixture
def sensors(herd, ident, topic):
    return [Sensor(herd, ident(f"soil{i:03}"), topic, 4 + i % 2) for i in range(SENSORS)]


def command_some(commander, sensors, dice, count):
    """Sends commands to sensors at random, at most ten to one that sleeps."""
    queued = defaultdict(int)
    mids = []
    while len(mids) < count:
        sensor = dice.choice(sensors)
        if queued[sensor] == MOST_QUEUED:
            continue
        queued[sensor] += 1
        command = dice.choice(("calibrate", "irrigate"))
        number = sum(map(len, sensor.sent.values()))
        sensor.sent[command].append(number)
        mids.append(commander.send(f"{sensor.prefix}/{sensor.name}/{command}", str(number), QOS[command]))
    commander.wait_acks(mids, 30)


def missing(sensors):
    return sum(len(set(it.sent[c]) - set(it.told[c])) for it in sensors for c in QOS)


@pytest.mark.timeout(180)
def test_sleeping_sensors(broker, herd, sensors, connect, table):
    dice = random.Random(5)
    commander = connect("commander")
    for cycle in range(CYCLES):
        for sensor in sensors:
            sensor.power_fails = 0 < cycle < CYCLES - 1 and dice.random() < 0.1
            sensor.wake()
        herd.run_until(lambda: all(it.awake or it.power_fails for it in sensors), "all sensors to wake", 30)
        assert all(it.session_present == (cycle > 0) for it in sensors if it.awake)
        steady = [it for it in sensors if not it.power_fails]
        command_some(commander, steady, dice, COMMANDS_AWAKE)
        herd.run_until(lambda it=steady: all(s.complete() for s in it),
                       lambda it=steady: f"{missing(it)} commands", 30)
        for sensor in sensors:
            sensor.sleep(nicely=dice.random() < 0.5)
        command_some(commander, sensors, dice, COMMANDS_ASLEEP)
    for sensor in sensors:
        sensor.power_fails = False
        sensor.wake()
    herd.run_until(lambda: all(it.complete() for it in sensors), lambda: f"{missing(sensors)} commands", 30)

    rows = []
    for command, qos in QOS.items():
        sent, told = (sum(len(getattr(it, what)[command]) for it in sensors) for what in ("sent", "told"))
        repeats = sum(it.repeats[command] for it in sensors)
        rows.append((command, qos, f"{sent:,}", f"{told:,}", sent - told, repeats))
    table(f"{SENSORS} sleeping sensors, {CYCLES} cycles, on {broker.name}",
          ["command", "QoS", "sent", "received, in order", "lost", "repeated"], rows)
    assert sum(it.unmarked for it in sensors) == 0, "a repeated command without DUP"
    assert sum(it.repeats["irrigate"] for it in sensors) == 0, "QoS 2 is exactly once"


@pytest.mark.parametrize("version", [4, 5])
def test_a_replaced_sensor_starts_afresh(version, herd, connect, ident, topic):
    """A clean connect with the old one's identifier: its commands and subscriptions are gone."""
    commander = connect("commander")
    old = Sensor(herd, ident("soil"), topic, version)
    old.wake()
    herd.run_until(lambda: old.awake, "the old sensor")
    old.sleep(nicely=False)
    for i in range(5):
        commander.publish(f"{topic}/{old.name}/irrigate", str(i), 2)

    cleaner = connect("soil", version=version)
    assert not cleaner.connack.session_present
    cleaner.assert_nothing_more(commander)
    cleaner.disconnect()

    new = Sensor(herd, old.name, topic, version)
    new.wake()
    herd.run_until(lambda: new.awake, "the new sensor")
    assert not new.session_present
    commander.publish(f"{topic}/{new.name}/irrigate", "77", 2)
    herd.run_until(lambda: new.told["irrigate"], "a command")
    assert new.told["irrigate"] == [77]
