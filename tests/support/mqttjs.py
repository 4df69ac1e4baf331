"""One mqtt.js client, in a node process that tests/node/driver.js runs.

It has the verbs of client.Client that the tests need, and Message with mqtt.js's names of properties.
"""

import base64
import itertools
import json
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from .waiting import PATIENCE

DRIVER = Path(__file__).resolve().parent.parent / "node" / "driver.js"


@dataclass
class JsMessage:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    properties: dict

    @property
    def text(self):
        return self.payload.decode()


class MqttJs:
    """A client of mqtt.js; `options` are mqtt.js's own, with a payload of the will in bytes."""

    def __init__(self, broker, client_id, version=5, options=None):
        self.broker, self.client_id = broker, client_id
        self.options = {"clientId": client_id, "protocolVersion": version, **(options or {})}
        if version == 3:
            self.options["protocolId"] = "MQIsdp"
        self.inbox, self.done = [], {}
        self.connack = self.reason = None
        self.closed = False
        self.errors = []
        self.changed = threading.Condition()
        self.ids = itertools.count(1)
        self.process = subprocess.Popen(["node", str(DRIVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self._on(json.loads(line))
                self.changed.notify_all()
        self.process.stdout.close()

    def _on(self, event):
        kind = event.pop("on")
        if kind == "connect":
            self.connack, self.closed = event, False
        elif kind == "message":
            self.inbox.append(JsMessage(**{**event, "payload": base64.b64decode(event["payload"])}))
        elif kind == "done":
            self.done[event["id"]] = event
        elif kind == "disconnect":
            self.reason = event["reason"]
        elif kind == "close":
            self.closed = True
        elif kind == "error":
            self.errors.append(event)

    def _tell(self, do, **command):
        self.process.stdin.write(json.dumps({"do": do, **command}).encode() + b"\n")
        self.process.stdin.flush()

    def _call(self, do, **command):
        number = next(self.ids)
        self._tell(do, id=number, **command)
        return number

    def wait(self, condition, what, seconds=PATIENCE):
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise AssertionError(f"mqtt.js {self.client_id!r} waited {seconds} s for {what}; errors: {self.errors}")
            return condition()

    def wait_done(self, number, expect_code=None, seconds=PATIENCE):
        """The answer to a command; an error only if it is the reason code `expect_code`."""
        answer = self.wait(lambda: self.done.get(number), f"command {number}", seconds)
        assert answer.get("code") == expect_code if expect_code else not answer.get("error"), answer
        return answer

    def connect(self):
        options = dict(self.options)
        if "will" in options:
            options["will"] = {**options["will"], "payload": base64.b64encode(options["will"]["payload"]).decode()}
        self.connack = None
        self._tell("connect", url=f"mqtt://{self.broker.host}:{self.broker.port}", options=options)
        return self.wait(lambda: self.connack, "CONNACK")

    def subscribe(self, topic_filter, qos=0, **options):
        """Returns the granted QoS."""
        return self.wait_done(self._call("subscribe", filter=topic_filter, options={"qos": qos, **options}))["granted"][0]

    def unsubscribe(self, topic_filter):
        self.wait_done(self._call("unsubscribe", filter=topic_filter))

    def send(self, topic, payload=b"", qos=0, retain=False, properties=None):
        """Publishes without waiting; the number to wait for."""
        options = {"qos": qos, "retain": retain}
        if properties:
            options["properties"] = properties
        return self._call("publish", topic=topic, payload=base64.b64encode(payload).decode(), options=options)

    def publish(self, topic, payload=b"", qos=0, retain=False, properties=None, expect_code=None):
        return self.wait_done(self.send(topic, payload, qos, retain, properties), expect_code)

    def take(self, count=1, seconds=PATIENCE):
        self.wait(lambda: len(self.inbox) >= count, f"{count} messages, has {len(self.inbox)}", seconds)
        taken, self.inbox = self.inbox[:count], self.inbox[count:]
        return taken

    def take_one(self, seconds=PATIENCE):
        return self.take(1, seconds)[0]

    def end(self, force=False):
        self.wait_done(self._call("end", force=force))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)
        self.process.stdin.close()
