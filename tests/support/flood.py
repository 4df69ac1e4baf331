"""The attack: many connections that send garbage, half a CONNECT, or one byte a second.

    python -m tests.support.flood HOST PORT CONNECTIONS

For each line `attack SECONDS` on standard input it keeps that many connections busy, a third of
each kind, opens again a second after the broker has closed one, closes all of them at the end, and
prints what happened as JSON. It prints `open` when every connection has been opened once.
"""

import errno
import heapq
import itertools
import json
import random
import selectors
import socket
import sys
import time

from . import wire

OPEN_AGAIN_AFTER = 1.0
# A lawful CONNECT that takes minutes at one byte a second.
SLOW_CONNECT = wire.connect("slow", username="x" * 400)
HALF_CONNECT = wire.connect("half", username="x" * 40)[:30]


class Attacker:
    """One connection after the other, of one kind."""

    def __init__(self, flood, kind, dice):
        self.flood, self.kind, self.dice = flood, kind, dice
        self.socket, self.sent = None, 0

    def open(self, now):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.sent = 0
        code = self.socket.connect_ex(self.flood.address)
        if code not in (0, errno.EINPROGRESS):
            self.closed(now)
            return
        self.flood.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def connected(self, now):
        """Sends what the kind sends first."""
        self.flood.selector.modify(self.socket, selectors.EVENT_READ, self)
        self.flood.opened += 1
        if self.kind == "garbage":
            self.send(self.dice.randbytes(self.dice.randrange(1, 500)), now)
        elif self.kind == "half":
            self.send(HALF_CONNECT, now)
        else:
            self.trickle(now)

    def trickle(self, now):
        self.send(SLOW_CONNECT[self.sent:self.sent + 1], now)
        self.sent += 1
        if self.socket is not None and self.sent < len(SLOW_CONNECT):
            self.flood.at(now + 1, self.trickle_if, self.socket)

    def trickle_if(self, now, which):
        if self.socket is which:
            self.trickle(now)

    def send(self, data, now):
        try:
            self.socket.send(data)
        except OSError:
            self.closed(now)

    def readable(self, now):
        try:
            if self.socket.recv(4096):
                self.flood.answered += 1
                return
        except OSError:
            pass
        self.closed(now)

    def closed(self, now):
        self.flood.closed += 1
        self.leave()
        self.flood.at(now + OPEN_AGAIN_AFTER, lambda later, _: self.open(later), None)

    def leave(self):
        if self.socket is not None:
            if self.socket in self.flood.selector.get_map():
                self.flood.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None


class Flood:
    def __init__(self, host, port, connections):
        self.address = (host, port)
        self.connections = connections
        self.order = itertools.count()
        self.opened = self.closed = self.answered = 0

    def at(self, moment, action, argument):
        heapq.heappush(self.agenda, (moment, next(self.order), action, argument))

    def attack(self, seconds):
        self.selector, self.agenda = selectors.DefaultSelector(), []
        self.opened = self.closed = self.answered = 0
        dice = random.Random(1)
        kinds = itertools.cycle(("garbage", "half", "trickle"))
        attackers = [Attacker(self, next(kinds), dice) for _ in range(self.connections)]
        begin = now = time.monotonic()
        for i, it in enumerate(attackers):
            # Spread over a second, as the later openings then are too
            self.at(begin + i / self.connections, lambda later, which: which.open(later), it)
        told = False
        while now < begin + seconds:
            while self.agenda and self.agenda[0][0] <= now:
                _, _, action, argument = heapq.heappop(self.agenda)
                action(now, argument)
            until = self.agenda[0][0] if self.agenda else now + 0.1
            for key, events in self.selector.select(max(0, min(until - now, 0.1))):
                now = time.monotonic()
                key.data.connected(now) if events & selectors.EVENT_WRITE else key.data.readable(now)
            now = time.monotonic()
            if not told and self.opened >= self.connections:
                told = True
                print("open", flush=True)
        held = sum(it.socket is not None for it in attackers)
        for it in attackers:
            it.leave()
        self.selector.close()
        if not told:
            print("open", flush=True)
        return {"opened": self.opened, "closed by the broker": self.closed, "answered": self.answered, "open at the end": held}


def main(host, port, connections):
    flood = Flood(host, port, connections)
    print("ready", flush=True)
    for line in sys.stdin:
        verb, seconds = line.split()
        assert verb == "attack", line
        print(json.dumps(flood.attack(float(seconds))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
