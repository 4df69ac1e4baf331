"""A subscriber as a process of its own that writes down every message before it acknowledges it.

    python -m tests.support.recorder HOST PORT CLIENT_ID FILTER QOS clean|persistent FILE

appends a line `qos dup topic first-word-of-the-payload` per message to FILE, prints `subscribed`
after every SUBACK, and connects again by itself when the connection is lost. SIGUSR1 makes it lose
its connection; SIGKILL is a crash, after which FILE holds exactly what it had acknowledged or was
about to.
"""

import os
import signal
import socket
import sys

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WEEK = 7 * 24 * 3600


def main(host, port, client_id, topic_filter, qos, life, path):
    output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    client.reconnect_delay_set(1, 1)

    def on_message(_client, _userdata, it):
        word = it.payload.split(b" ", 1)[0].decode()
        os.write(output, f"{it.qos} {int(it.dup)} {it.topic} {word}\n".encode())

    client.on_message = on_message
    client.on_connect = lambda it, *_: it.subscribe(topic_filter, qos)
    client.on_subscribe = lambda *_: print("subscribed", flush=True)
    signal.signal(signal.SIGUSR1, lambda *_: client.socket().shutdown(socket.SHUT_RDWR))
    connect = Properties(PacketTypes.CONNECT)
    connect.SessionExpiryInterval = WEEK if life == "persistent" else 0
    client.connect(host, port, clean_start=life != "persistent", properties=connect)
    client.loop_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6], sys.argv[7])
