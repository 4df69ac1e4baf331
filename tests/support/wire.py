"""MQTT 3.1.1 by hand, for what no client library does: low-jitter probes and broken connections.

Only as much as probe.py and flood.py need; the tests of behaviour use real clients.
"""

import struct

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind, flags, body):
    length, head = len(body), bytearray([kind << 4 | flags])
    while True:
        byte, length = length % 128, length // 128
        head.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def connect(client_id, username=None, keepalive=60):
    flags = 0x02 | (0x80 if username is not None else 0)
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", keepalive) + text(client_id)
    return packet(CONNECT, 0, body + (text(username) if username is not None else b""))


def subscribe(identifier, topic_filter, qos):
    return packet(SUBSCRIBE, 2, struct.pack(">H", identifier) + text(topic_filter) + bytes([qos]))


def publish(topic, payload, qos=0, identifier=0):
    return packet(PUBLISH, qos << 1, text(topic) + (struct.pack(">H", identifier) if qos else b"") + payload)


def puback(identifier):
    return packet(PUBACK, 0, struct.pack(">H", identifier))


class Splitter:
    """Cuts a stream of bytes into packets: (kind, flags, body)."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        self.buffer += data
        packets = []
        while (found := self._first()) is not None:
            packets.append(found)
        return packets

    def _first(self):
        length, shift = 0, 0
        for i, byte in enumerate(self.buffer[1:5], 1):
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                end = i + 1 + length
                if len(self.buffer) < end:
                    return None
                head, body = self.buffer[0], self.buffer[i + 1:end]
                self.buffer = self.buffer[end:]
                return head >> 4, head & 0x0F, body
        return None
