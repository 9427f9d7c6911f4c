"""What the Python drivers share: one line of output per feature, see ../README.md."""
import os
import sys
import time
import traceback

BOOTSTRAP, PREFIX = sys.argv[1:3]


def version(text):
    print("version", text)


def report(name, error):
    if error is None:
        print("ok", name, flush=True)
        return
    place = traceback.extract_tb(error.__traceback__)
    here = [f for f in place if os.path.dirname(f.filename) == os.path.dirname(os.path.abspath(__file__))]
    where = " (%s:%d)" % (os.path.basename(here[-1].filename), here[-1].lineno) if here else ""
    print("FAIL %s: %s: %s%s" % (name, type(error).__name__, str(error).replace("\n", " ")[:500], where), flush=True)


def feature(name, body):
    """Runs one feature; its failure is a line, not the end of the program."""
    try:
        body()
        report(name, None)
    except Exception as e:
        report(name, e)


async def feature_async(name, body):
    try:
        await body()
        report(name, None)
    except Exception as e:
        report(name, e)


def equal(what, got, want):
    assert got == want, "%s: got %r, want %r" % (what, got, want)


def until(what, condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time: " + what
        time.sleep(0.02)
