"""Ports for servers under test: below 32768, so that a polling client cannot connect to itself and a restarted server
cannot lose its port to an outgoing connection; each handed out once per machine while its process lives."""
import fcntl
import os
import random
import socket
import tempfile

_LOW, _HIGH = 10000, 32000
_DIR = os.path.join(tempfile.gettempdir(), "ottla-test-ports")
_held = []


def free_port():
    """A port that nobody listens on and that no other test process has been given."""
    os.makedirs(_DIR, exist_ok=True)
    try:
        os.chmod(_DIR, 0o777)
    except PermissionError:
        pass
    for _ in range(2000):
        port = random.randrange(_LOW, _HIGH)
        try:
            lock = os.open(os.path.join(_DIR, str(port)), os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            continue
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(entry[0] == port for entry in _held):
                raise OSError
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _held.append((port, lock))
        return port
    raise RuntimeError("no free port between %d and %d" % (_LOW, _HIGH))
