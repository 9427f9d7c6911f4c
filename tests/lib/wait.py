"""Waiting for events: tests never sleep for luck."""
import time


class TimedOut(Exception):
    pass


def until(what, condition, timeout_s=30, step_s=0.02):
    """Calls condition() until it returns something true, and returns that. what: named in the TimedOut text."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimedOut("not within %g s: %s" % (timeout_s, what() if callable(what) else what))
        time.sleep(step_s)
