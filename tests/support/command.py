"""Command-line programs as clients: mosquitto_pub, mosquitto_sub, `ternmq pub`, `ternmq sub`.

A Program collects what it prints, line by line, so that a test waits for a line, not for a time.
"""

import subprocess
import sys
import threading
from pathlib import Path

from .broker import ternmq_binary
from .waiting import PATIENCE


class Program:
    """A running program. Its standard output arrives in `lines`, its standard error in `errors`."""

    def __init__(self, command, **options):
        self.command = [str(it) for it in command]
        self.lines, self.errors = [], []
        self.ended = False
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.readers = [
            threading.Thread(target=self._read, args=it, daemon=True)
            for it in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for it in self.readers:
            it.start()

    def _read(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip(b"\n").decode(errors="replace"))
                self.changed.notify_all()
        stream.close()
        with self.changed:
            self.ended = self.ended or stream is self.process.stdout
            self.changed.notify_all()

    def wait_lines(self, count=1, seconds=PATIENCE):
        """Waits until `count` lines were printed, and returns them all."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.lines) >= count or self.ended, seconds)
            if len(self.lines) < count:
                raise AssertionError(f"{self}: waited for {count} lines, got {self.lines} and {self.errors}")
            return list(self.lines)

    def write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def wait(self, seconds=PATIENCE):
        """Waits for its end and for all of its output; the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self}: still running after {seconds} s: {self.lines} {self.errors}") from None
        for it in self.readers:
            it.join(PATIENCE)
        return code

    def succeed(self, seconds=PATIENCE):
        """Waits for its end, which must be with exit code 0; the lines that it printed."""
        code = self.wait(seconds)
        assert code == 0, f"{self} ended with {code}: {self.errors or self.lines}"
        return self.lines

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for it in self.readers:
            it.join(PATIENCE)
        self.process.stdin.close()

    def __str__(self):
        return " ".join(self.command)


def helper(name, *arguments):
    """Starts a module of tests/support as a process of its own."""
    root = Path(__file__).resolve().parent.parent.parent
    return Program([sys.executable, "-u", "-m", f"tests.support.{name}", *arguments], cwd=root)


def suite_command(suite, verb):
    """The command for `verb` ("pub", "sub") of a suite of programs ("mosquitto", "ternmq")."""
    return [f"mosquitto_{verb}"] if suite == "mosquitto" else [ternmq_binary(), verb]
