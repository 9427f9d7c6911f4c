"""Connections: how many, how fast, how long idle, from where; fairness, and clients that do not read."""
import socket
import struct
import time

import pytest

from lib import wire as w
from lib.ottla import Ottla
from lib.ports import free_port
from lib.wait import until

QUIET = {"connect.listeners": ""}
API_VERSIONS, METADATA, DESCRIBE_CONFIGS, INCREMENTAL, ALTER_QUOTAS = 18, 3, 32, 44, 49
SET, BROKER = 0, 4


def knock(port, host="127.0.0.1", source=None, timeout=5):
    """A connection that has not asked for anything yet."""
    s = socket.create_connection((host, port), timeout=timeout, source_address=(source, 0) if source else None)
    s.settimeout(timeout)
    return s


def ask(s):
    s.sendall(w.i32(12) + struct.pack(">hhih", API_VERSIONS, 0, 7, 2) + b"me")


def answered(s):
    """True: an answer came; False: the broker closed the connection; None: neither within the timeout."""
    try:
        data = s.recv(8)
        return len(data) > 0
    except ConnectionResetError:
        return False
    except (socket.timeout, BlockingIOError):
        return None


def is_served(s):
    try:
        ask(s)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return answered(s)


def set_broker_config(port, name, value, resource=""):
    body = w.carray([w.i8(BROKER) + w.cstring(resource) + w.carray([w.cstring(name) + w.i8(SET) + w.cstring(value) + w.NO_TAGS]) + w.NO_TAGS])
    with w.Connection(port, "admin") as c:
        r = c.ask(INCREMENTAL, 1, body + w.i8(0) + w.NO_TAGS, flexible=True)
        r.i32()
        [(error, text, *_)] = r.carray(lambda: (r.i16(), r.cstring(), r.i8(), r.cstring(), r.tags()))
        return error, text


def test_beyond_max_connections_new_ones_wait_until_one_goes(fresh_ottla):
    o = fresh_ottla(dict(QUIET, **{"max.connections": "3"}))
    first = [knock(o.kafka_port) for _ in range(3)]
    assert all(is_served(s) for s in first)
    waiting = knock(o.kafka_port, timeout=0.3)
    assert is_served(waiting) is None, "not refused: it waits"
    first[0].close()
    waiting.settimeout(5)
    assert answered(waiting), "what it asked is answered when it is its turn"
    assert o.log().count("max.connections is reached") == 1


def test_connections_leave_descriptors_to_the_logs(fresh_ottla):
    o = fresh_ottla(QUIET, start=False)
    serve = o.arguments()
    o.arguments = lambda: ["prlimit", "--nofile=200:200"] + serve
    o.start()
    flood = [knock(o.kafka_port) for _ in range(130)]
    first = [s for s in flood[:90] if is_served(s)]
    assert len(first) == 90
    flood[-1].settimeout(0.3)
    assert is_served(flood[-1]) is None, "it waits"
    assert o.log().count("ulimit -n") == 1, "told once"
    assert "sync failed" not in o.log() and "cannot be" not in o.log()
    for s in flood[:60]:
        s.close()
    flood[-1].settimeout(10)
    assert answered(flood[-1]), "what it asked is answered when it is its turn"


def test_an_address_has_its_own_limit_and_its_override(fresh_ottla):
    o = fresh_ottla(dict(QUIET, **{"max.connections.per.ip": "2", "max.connections.per.ip.overrides": "127.0.0.3:4,[::1]:1"}))
    mine = [knock(o.kafka_port) for _ in range(2)]
    assert all(is_served(s) for s in mine)
    assert is_served(knock(o.kafka_port)) is False
    assert is_served(knock(o.kafka_port, source="127.0.0.2")), "another address"
    theirs = [knock(o.kafka_port, source="127.0.0.3") for _ in range(4)]
    assert all(is_served(s) for s in theirs)
    assert is_served(knock(o.kafka_port, source="127.0.0.3")) is False
    mine[0].close()
    until("the place is given back", lambda: is_served(knock(o.kafka_port)), 5, 0.05)
    assert 'cause="the address has its most connections" max=2' in o.log()


@pytest.mark.parametrize("value, what", [("127.0.0.1", "ADDRESS:COUNT"), ("localhost:5", "not an address"), ("10.0.0.1:-1", "ADDRESS:COUNT")])
def test_overrides_that_are_none_are_refused(fresh_ottla, value, what):
    with pytest.raises(RuntimeError, match=what):
        fresh_ottla(dict(QUIET, **{"max.connections.per.ip.overrides": value}))


def test_limits_change_while_the_broker_runs(fresh_ottla):
    o = fresh_ottla(QUIET)
    mine = [knock(o.kafka_port) for _ in range(3)]
    assert all(is_served(s) for s in mine)
    assert set_broker_config(o.kafka_port, "max.connections.per.ip", "3") == (0, None)
    until("the limit is in force", lambda: is_served(knock(o.kafka_port)) is False, 5, 0.05)
    assert all(is_served(s) for s in mine), "those that were there stay"
    mine.pop().close()

    def widened():
        try:
            return set_broker_config(o.kafka_port, "max.connections.per.ip", "100") == (0, None)
        except OSError:
            return False  # the broker has not seen the closed one go yet
    until("there is room", widened, 5, 0.05)
    assert is_served(knock(o.kafka_port))
    error, text = set_broker_config(o.kafka_port, "max.connections.per.ip.overrides", "nonsense")
    assert error == 42 and "nonsense" in text and "max.connections.per.ip.overrides" in text


def test_new_connections_come_at_the_rate_that_is_set(fresh_ottla):
    """Ten per second, over one whole window: the first ten pass, what follows comes at the rate."""
    o = fresh_ottla(dict(QUIET, **{"max.connection.creation.rate": "10", "quota.window.num": "2"}))
    begin = time.monotonic()
    for _ in range(25):
        with knock(o.kafka_port) as s:
            assert is_served(s)
    assert 0.9 < time.monotonic() - begin < 6


def test_an_address_that_connects_too_fast_is_closed_late(fresh_ottla):
    o = fresh_ottla(dict(QUIET, **{"quota.window.num": "2"}))
    with w.Connection(o.kafka_port, "admin") as c:
        who = w.array([w.string("ip") + w.string("127.0.0.9")])
        r = c.ask(ALTER_QUOTAS, 0, w.array([who + w.array([w.string("connection_creation_rate") + struct.pack(">d", 5) + w.i8(0)])]) + w.i8(0))
        r.i32()
        assert r.array(lambda: (r.i16(), r.string(), r.array(lambda: (r.string(), r.string()))))[0][0] == 0
    served, late = 0, []
    for _ in range(20):
        s = knock(o.kafka_port, source="127.0.0.9")
        begin = time.monotonic()
        if is_served(s):
            served += 1
        else:
            late.append(time.monotonic() - begin)
            break
    assert 3 <= served < 12 and late and late[0] > 0.05, (served, late)
    assert is_served(knock(o.kafka_port)), "other addresses are not held"


def test_an_idle_connection_is_closed_and_a_used_one_is_not(fresh_ottla):
    o = fresh_ottla(dict(QUIET, **{"connections.max.idle.ms": "1000"}))
    idle, used = knock(o.kafka_port, timeout=20), knock(o.kafka_port, timeout=20)
    idle.settimeout(0.4)

    def is_closed():
        assert is_served(used)
        return answered(idle) is False
    until("the idle one is closed", is_closed, 20, 0.05)
    assert is_served(used)


def test_several_listeners_each_tell_their_own_address(fresh_ottla):
    inside, outside = free_port(), free_port()
    o = fresh_ottla(dict(QUIET, **{
        "listeners": "INSIDE://127.0.0.1:%d,OUTSIDE://[::1]:%d" % (inside, outside),
        "advertised.listeners": "INSIDE://inside.example:1111,OUTSIDE://outside.example:2222",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT"}))

    def told(host, port):
        with knock(port, host=host) as s:
            payload = struct.pack(">hhih", METADATA, 1, 7, 2) + b"me" + w.i32(0)
            s.sendall(w.i32(len(payload)) + payload)
            size = struct.unpack(">i", s.recv(4, socket.MSG_WAITALL))[0]
            r = w.Reader(s.recv(size, socket.MSG_WAITALL))
            r.i32()
            return r.array(lambda: (r.i32(), r.string(), r.i32(), r.string()))
    assert told("127.0.0.1", inside) == [(1, "inside.example", 1111, None)]
    assert told("::1", outside) == [(1, "outside.example", 2222, None)]
    assert o.process.poll() is None


def test_an_empty_host_listens_on_both_families(fresh_ottla):
    port = free_port()
    fresh_ottla(dict(QUIET, listeners="PLAINTEXT://:%d" % port))
    for host in ("127.0.0.1", "::1"):
        with knock(port, host=host) as s:
            assert is_served(s)


@pytest.mark.slow         # its time does not hold under sanitizers
def test_a_busy_client_does_not_starve_the_others(fresh_ottla):
    o = fresh_ottla(dict(QUIET, **{"num.network.threads": "1"}))
    busy = knock(o.kafka_port)
    busy.setblocking(False)
    flood = (w.i32(12) + struct.pack(">hhih", API_VERSIONS, 0, 7, 2) + b"me") * 500
    slowest = 0
    with knock(o.kafka_port) as quiet:
        for _ in range(200):
            for move in (lambda: busy.send(flood), lambda: busy.recv(1 << 20)):
                try:
                    move()
                except BlockingIOError:
                    pass
            begin = time.monotonic()
            ask(quiet)
            assert struct.unpack(">i", quiet.recv(4, socket.MSG_WAITALL))[0] > 4
            size = 0
            while size < 4:
                size += len(quiet.recv(1 << 16))
            slowest = max(slowest, time.monotonic() - begin)
            quiet.setblocking(False)
            try:
                while quiet.recv(1 << 16):
                    pass
            except BlockingIOError:
                quiet.settimeout(5)
    assert slowest < 0.5, slowest
