"""Many paho clients driven by one thread over a selector: fleets, sleeping sensors, crowds.

paho's own threads cost too much for hundreds of clients. The herd reads and writes for them and
pings in time; what a client does on a message is its on_message, as always in paho.
"""

import selectors
import socket
import time

import paho.mqtt.client as paho

from .client import VERSIONS, properties
from .waiting import PATIENCE


def new_client(client_id, version=5, clean=True, manual_ack=False):
    """A paho client that does not reconnect by itself; for MQTT 5 give `clean` to Herd.connect."""
    options = {} if version == 5 else {"clean_session": clean}
    return paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=VERSIONS[version],
                       reconnect_on_failure=False, manual_ack=manual_ack, **options)


class Herd:
    """The clients of one broker. All methods belong to the thread that made it."""

    def __init__(self, host, port):
        self.host, self.port = host, port
        self.selector = selectors.DefaultSelector()
        self.registered = {}
        self.next_ping_check = time.monotonic() + 1

    def connect(self, client, clean=True, expiry=None, keepalive=60):
        """Sends CONNECT; `clean` and `expiry` count for MQTT 5 only."""
        options = {}
        if client.protocol == paho.MQTTv5:
            options["clean_start"] = clean
            options["properties"] = properties("CONNECT", **({"SessionExpiryInterval": expiry} if expiry else {}))
        client.on_socket_close = lambda it, _userdata, _socket: self._forget(it)
        client.connect(self.host, self.port, keepalive=keepalive, **options)
        connection = client.socket()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.registered[client] = connection
        self.selector.register(connection, selectors.EVENT_READ, client)

    def _forget(self, client):
        connection = self.registered.pop(client, None)
        if connection is not None:
            self.selector.unregister(connection)

    def drop(self, client):
        """Closes the connection without DISCONNECT."""
        connection = self.registered.get(client)
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
            client._sock_close()  # paho has no public way to close without DISCONNECT

    def step(self, timeout=0.05):
        """Reads what has come and writes what could not be written before."""
        for key, events in self.selector.select(timeout):
            client = key.data
            if events & selectors.EVENT_WRITE:
                client.loop_write()
            if events & selectors.EVENT_READ:
                client.loop_read()
            self.watch(client)
        now = time.monotonic()
        if now >= self.next_ping_check:
            self.next_ping_check = now + 1
            for client in list(self.registered):
                client.loop_misc()

    def watch(self, client):
        """Asks to be told when the socket takes more, if paho could not write everything."""
        connection = self.registered.get(client)
        if connection is not None:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.want_write() else 0)
            if self.selector.get_key(connection).events != wanted:
                self.selector.modify(connection, wanted, client)

    def publish(self, client, topic, payload, qos):
        info = client.publish(topic, payload, qos)
        self.watch(client)
        return info

    def run_until(self, condition, what, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s for {what() if callable(what) else what}")
            self.step()

    def close(self):
        for client in list(self.registered):
            client.disconnect()
            if client in self.registered:
                self.drop(client)
        self.selector.close()
