"""Waiting by deadline: no test sleeps for a fixed time, it waits for what must happen."""

import time

# Seconds that anything on a loaded machine may take before the test says that it did not happen.
PATIENCE = 15.0


def wait_until(condition, what, seconds=PATIENCE, every=0.01):
    """Returns the first true value of `condition()`; AssertionError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what() if callable(what) else what}")
        time.sleep(every)
