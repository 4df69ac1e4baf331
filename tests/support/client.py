"""One paho-mqtt client with events to wait on, for tests that look at one connection closely.

A thread of paho's own drives it; every wait has a deadline; it never reconnects by itself. For
hundreds of clients at once see herd.py.
"""

import socket
import struct
import threading
import uuid
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from .waiting import PATIENCE, wait_until

VERSIONS = {3: paho.MQTTv31, 4: paho.MQTTv311, 5: paho.MQTTv5}
FENCE = "fence/"


def properties(packet, **values):
    """paho's Properties for `packet` ("PUBLISH", "CONNECT", ...), None when there are none."""
    if not values:
        return None
    result = Properties(getattr(PacketTypes, packet))
    for name, value in values.items():
        for one in value if name in ("UserProperty", "SubscriptionIdentifier") and isinstance(value, list) else [value]:
            setattr(result, name, one)
    return result


@dataclass
class Connack:
    session_present: bool
    reason: int
    properties: object


@dataclass
class Message:
    """A PUBLISH as it was received."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int
    properties: object

    def prop(self, name, default=None):
        return getattr(self.properties, name, default)

    @property
    def text(self):
        return self.payload.decode()


class Client:
    """A paho client; `connect()` it before anything else."""

    def __init__(self, broker, client_id="", version=5, clean=True, expiry=None, keepalive=60, will=None,
                 manual_ack=False, inflight=20, connect_properties=None, username=None, password=None):
        self.broker, self.client_id, self.version, self.clean = broker, client_id, version, clean
        self.keepalive = keepalive
        self.connect_properties = dict(connect_properties or {})
        if expiry is not None:
            self.connect_properties["SessionExpiryInterval"] = expiry
        clean_session = {} if version == 5 else {"clean_session": clean}
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=VERSIONS[version],
            reconnect_on_failure=False, manual_ack=manual_ack, **clean_session)
        self.paho.max_inflight_messages_set(inflight)
        if username is not None:
            self.paho.username_pw_set(username, password)
        if will:
            self.paho.will_set(**will)
        self.changed = threading.Condition()
        self.inbox, self.fences = [], set()
        self.connack = self.disconnected = None
        self.acks, self.subacks, self.unsubacks = {}, {}, {}
        self._hook_callbacks(manual_ack)

    def _hook_callbacks(self, manual_ack):
        def tell(update):
            with self.changed:
                update()
                self.changed.notify_all()

        def on_connect(_client, _userdata, flags, reason, props):
            tell(lambda: setattr(self, "connack", Connack(flags.session_present, reason.value, props)))

        def on_disconnect(_client, _userdata, flags, reason, props):
            from_server = flags.is_disconnect_packet_from_server
            tell(lambda: setattr(self, "disconnected", (reason.value if from_server else None, props)))

        def on_message(client, _userdata, it):
            message = Message(it.topic, it.payload, it.qos, bool(it.retain), bool(it.dup), it.mid, it.properties)
            if it.topic.startswith(FENCE):
                if manual_ack and it.qos:
                    client.ack(it.mid, it.qos)
                tell(lambda: self.fences.add(it.topic))
            else:
                tell(lambda: self.inbox.append(message))

        # paho leaves Nagle's algorithm on, and with it pauses of 40 ms
        self.paho.on_socket_open = lambda _client, _userdata, it: it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.paho.on_connect = on_connect
        self.paho.on_disconnect = on_disconnect
        self.paho.on_message = on_message
        self.paho.on_publish = lambda _c, _u, mid, reason, _p: tell(lambda: self.acks.update({mid: reason.value}))
        self.paho.on_subscribe = lambda _c, _u, mid, codes, _p: tell(
            lambda: self.subacks.update({mid: [it.value for it in codes]}))
        self.paho.on_unsubscribe = lambda _c, _u, mid, codes, _p: tell(
            lambda: self.unsubacks.update({mid: [it.value for it in codes]}))

    def wait(self, condition, what, seconds=PATIENCE):
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                text = what() if callable(what) else what
                raise AssertionError(f"client {self.client_id!r} waited {seconds} s for {text}")
            return condition()

    # the connection

    def connect(self, clean=None, expect=0):
        """Connects, or connects again, and returns the Connack; its reason must be `expect`, one or several."""
        self._open(clean)
        self.paho.loop_start()
        self.wait(lambda: self.connack or self.disconnected, "CONNACK")
        assert self.connack, "the connection was closed without a CONNACK"
        reason = self.connack.reason
        assert reason in (expect if isinstance(expect, tuple) else (expect,)), f"CONNACK {reason:#x}, expected {expect}"
        # paho does not look at what the broker allows, and may not be told after CONNACK
        allowed = getattr(self.connack.properties, "ReceiveMaximum", 65535)
        assert self.paho.max_inflight_messages <= allowed, f"the broker takes only {allowed} at a time"
        return self.connack

    def connect_without_reading(self, clean=None):
        """Sends CONNECT and reads nothing, not even the CONNACK, until `resume()`."""
        self._open(clean)

    def _open(self, clean):
        self.connack = self.disconnected = None
        clean = self.clean if clean is None else clean
        options = {}
        if self.version == 5:
            options = {"clean_start": clean, "properties": properties("CONNECT", **self.connect_properties)}
        self.paho.connect(self.broker.host, self.broker.port, keepalive=self.keepalive, **options)

    def resume(self):
        """Reads again after `pause()` or `connect_without_reading()`."""
        self.paho.loop_start()

    def pause(self):
        """Stops reading and pinging; the socket stays open. What was published must be acknowledged."""
        # paho's thread would sleep on for up to a second: tell it to end, and wake it
        self.paho._thread_terminate = True
        self.paho._sockpairW.send(b"0")
        self.paho.loop_stop()

    def drop(self):
        """Loses the connection as when the power fails: a reset, no DISCONNECT."""
        connection = self.paho.socket()
        if connection is not None:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the broker closed it before we did
        self.paho.loop_stop()
        self.paho._sock_close()  # paho has no public way to close without DISCONNECT

    def disconnect(self, reason=None, **props):
        """DISCONNECT, and waits until the connection is closed."""
        options = {}
        if reason is not None:
            options["reasoncode"] = paho.ReasonCode(PacketTypes.DISCONNECT, identifier=reason)
        self.paho.disconnect(properties=properties("DISCONNECT", **props), **options)
        self.wait(lambda: self.disconnected, "the end of the connection")
        self.paho.loop_stop()

    def wait_disconnected(self, seconds=PATIENCE):
        """Waits for the broker to end the connection: its DISCONNECT reason, None if it just closed."""
        return self.wait(lambda: self.disconnected, "the broker to end the connection", seconds)[0]

    def close(self):
        if self.paho.socket() is not None:
            self.drop()
        self.paho.loop_stop()

    # subscribing and publishing

    def subscribe(self, topic_filter, qos=0, identifier=None, user_property=None, **options):
        """Subscribes and waits; returns the reason code. `options` are those of MQTT 5."""
        if self.version == 5:
            props = {"SubscriptionIdentifier": identifier} if identifier else {}
            if user_property:
                props["UserProperty"] = user_property
            _, mid = self.paho.subscribe(topic_filter, options=SubscribeOptions(qos, **options),
                                         properties=properties("SUBSCRIBE", **props))
        else:
            _, mid = self.paho.subscribe(topic_filter, qos)
        return self.wait(lambda: self.subacks.get(mid), f"SUBACK for {topic_filter}")[0]

    def subscribe_all(self, topic_filters, qos=0):
        """One SUBSCRIBE with many filters; the reason codes."""
        each = SubscribeOptions(qos) if self.version == 5 else qos
        _, mid = self.paho.subscribe([(it, each) for it in topic_filters])
        return self.wait(lambda: self.subacks.get(mid), f"SUBACK for {len(topic_filters)} filters")

    def unsubscribe(self, topic_filter):
        """Unsubscribes and waits; MQTT 5's reason code, None before."""
        _, mid = self.paho.unsubscribe(topic_filter)
        self.wait(lambda: mid in self.unsubacks, f"UNSUBACK for {topic_filter}")
        return (self.unsubacks[mid] or [None])[0]

    def send(self, topic, payload=b"", qos=0, retain=False, **props):
        """Publishes without waiting; the packet identifier."""
        info = self.paho.publish(topic, payload, qos, retain, properties("PUBLISH", **props))
        return info.mid

    def publish(self, topic, payload=b"", qos=0, retain=False, **props):
        """Publishes and waits for the acknowledgement (QoS 0: until written); its reason code."""
        return self.wait_ack(self.send(topic, payload, qos, retain, **props))

    def wait_ack(self, mid, seconds=PATIENCE):
        self.wait(lambda: mid in self.acks, f"the acknowledgement of packet {mid}", seconds)
        return self.acks[mid]

    def wait_acks(self, mids, seconds=PATIENCE):
        self.wait(lambda: all(it in self.acks for it in mids),
                  lambda: f"{sum(it not in self.acks for it in mids)} acknowledgements", seconds)
        refused = {it: self.acks[it] for it in mids if self.acks[it] >= 0x80}
        assert not refused, f"the broker refused packets: {refused}"

    # receiving

    def take(self, count=1, seconds=PATIENCE):
        """Waits for `count` messages and takes them out of the inbox, in their order."""
        self.wait(lambda: len(self.inbox) >= count,
                  lambda: f"{count} messages, has {len(self.inbox)}: {self._glance()}", seconds)
        taken, self.inbox = self.inbox[:count], self.inbox[count:]
        return taken

    def take_one(self, seconds=PATIENCE):
        return self.take(1, seconds)[0]

    def ack(self, message):
        self.paho.ack(message.mid, message.qos)

    def _glance(self):
        return [(it.topic, it.payload[:40]) for it in self.inbox[-5:]]

    def fence(self, publisher, qos=1):
        """Returns when everything that `publisher` has sent before has reached this client."""
        topic = FENCE + uuid.uuid4().hex
        self.subscribe(topic, qos)
        publisher.publish(topic, b"", qos)
        self.wait(lambda: topic in self.fences, "the fence")
        self.unsubscribe(topic)

    def assert_nothing_more(self, publisher, qos=1):
        """Nothing that `publisher` has sent so far is left for this client."""
        self.fence(publisher, qos)
        assert not self.inbox, f"unexpected messages: {self._glance()}"


def persistent(version, expiry=3600):
    """The options of a Client whose session outlives its connection."""
    return {"version": version, "clean": False, **({"expiry": expiry} if version == 5 else {})}


def wait_retained_gone(client, topic):
    """Waits until a retained message has expired: subscribing does not bring it any more."""

    def gone():
        client.unsubscribe(topic)
        client.inbox.clear()
        client.subscribe(topic, 0)
        client.fence(client, 0)
        return not client.inbox

    wait_until(gone, f"the retained message on {topic} to expire")
