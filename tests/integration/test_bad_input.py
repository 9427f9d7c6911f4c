"""Whatever a client sends can fail only that client: the connection closes, one log line says why, memory stays."""
import os
import select
import socket
import struct
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.ottla import Ottla  # noqa: E402
from lib.wait import until  # noqa: E402

API_VERSIONS, PRODUCE, FETCH, METADATA = 18, 0, 1, 3


@pytest.fixture(scope="module")
def broker():
    with Ottla({"connect.listeners": "", "socket.request.max.bytes": "1000000"}) as o:
        yield o


def connect(broker):
    s = socket.create_connection(("127.0.0.1", broker.kafka_port))
    s.settimeout(10)
    return s


def header(key, version, correlation=7, client=b"test", flexible=False):
    return struct.pack(">hhih", key, version, correlation, len(client)) + client + (b"\0" if flexible else b"")


def frame(payload):
    return struct.pack(">i", len(payload)) + payload


def exactly(s, count):
    data = b""
    while len(data) < count:
        more = s.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def answer(s):
    return exactly(s, struct.unpack(">i", exactly(s, 4))[0])


def is_closed(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def all_read(broker, connections):
    """Whether so many connections are there and nothing waits in their sockets, on either side."""
    port, server, waiting = "%04X" % broker.kafka_port, 0, 0
    with open("/proc/net/tcp") as f:
        for line in f.read().splitlines()[1:]:
            local, remote, state, queues = line.split()[1:5]
            if state == "01" and port in (local[-4:], remote[-4:]):
                server += local.endswith(":" + port)
                waiting += queues != "00000000:00000000"
    return server >= connections and waiting == 0


def lives(broker):
    with connect(broker) as s:
        s.sendall(frame(header(API_VERSIONS, 0)))
        return answer(s)[:6] == struct.pack(">ih", 7, 0)


@pytest.mark.parametrize("what, payload", [
    ("negative length", struct.pack(">i", -5)),
    ("longer than socket.request.max.bytes", struct.pack(">i", 1000001)),
    ("shorter than a header", frame(b"\0\0\0")),
    ("unknown API", frame(header(99, 0))),
    ("unknown API", frame(header(-1, 0))),
    ("unsupported version", frame(header(METADATA, 99))),
    ("unsupported version", frame(header(FETCH, 3))),
    ("message sets are not taken", frame(header(PRODUCE, 2) + struct.pack(">hii", 1, 1000, 0))),
    ("", frame(header(METADATA, 1) + struct.pack(">i", 0x7fffffff))),         # an array longer than the frame
    ("", frame(header(METADATA, 1) + struct.pack(">ih", 1, 500) + b"x")),     # a string beyond the end
    ("", frame(struct.pack(">hhih", METADATA, 1, 7, 500))),                   # a client id beyond the end
    ("", frame(header(METADATA, 9, flexible=True) + b"\xff\xff\xff\xff\xff\xff")),
])
def test_a_bad_request_closes_its_connection_and_is_told(broker, what, payload):
    before = broker.log(1 << 20).count("request refused")
    with connect(broker) as s:
        s.sendall(payload)
        assert is_closed(s)
    log = broker.log(1 << 20)
    assert log.count("request refused") == before + 1
    line = [l for l in log.splitlines() if "request refused" in l][-1]
    assert what in line and "client=127.0.0.1:" in line
    assert lives(broker)


def test_an_unsupported_api_versions_is_answered_in_version_0(broker):
    with connect(broker) as s:
        s.sendall(frame(header(API_VERSIONS, 77, flexible=True) + b"\x02\x02nonsense"))
        data = answer(s)
        correlation, error, count, key, low, high = struct.unpack(">ihihhh", data)
        assert (correlation, error, count, key, low) == (7, 35, 1, API_VERSIONS, 0) and high >= 3
        s.sendall(frame(header(API_VERSIONS, 0)))
        assert answer(s)[:6] == struct.pack(">ih", 7, 0)


def test_requests_in_one_packet_are_answered_in_order(broker):
    with connect(broker) as s:
        s.sendall(b"".join(frame(header(API_VERSIONS, 0, correlation=i)) for i in range(500)))
        assert [struct.unpack(">i", answer(s)[:4])[0] for _ in range(500)] == list(range(500))


def test_a_request_byte_by_byte_is_answered(broker):
    with connect(broker) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame(header(API_VERSIONS, 0)):
            s.sendall(bytes([byte]))
        assert answer(s)[:6] == struct.pack(">ih", 7, 0)


@pytest.mark.slow         # its memory bound does not hold under sanitizers
def test_claimed_lengths_cost_no_memory(broker):
    assert lives(broker)
    before = broker.rss_kb()
    sockets = [connect(broker) for _ in range(200)]
    for s in sockets:
        s.sendall(struct.pack(">i", 1000000) + b"\0\0\0\x12")
    until("all of it was read", lambda: all_read(broker, 200), 10)
    assert lives(broker)
    assert broker.rss_kb() - before < 4000
    for s in sockets:
        s.close()


@pytest.mark.slow         # its memory bound does not hold under sanitizers
def test_garbage_does_not_raise_the_memory(broker):
    def garbage(count):
        for i in range(count):
            with connect(broker) as s:
                s.sendall(os.urandom(8) + bytes(range(256)) * (i % 40))
                s.sendall(frame(header(METADATA, 9, flexible=True) + os.urandom(300)))
    garbage(300)
    before = broker.rss_kb()
    garbage(1500)
    assert lives(broker)
    assert broker.rss_kb() - before < 3000


@pytest.mark.slow         # its memory bound does not hold under sanitizers
def test_a_client_that_does_not_read_does_not_grow_the_broker(broker):
    with connect(broker) as s:
        s.setblocking(False)
        sent, request = 0, frame(header(API_VERSIONS, 0))
        while sent < 50_000_000 and select.select([], [s], [], 1)[1]:    # until the broker stops to read
            sent += s.send(request * 1000)
        assert sent < 50_000_000
        assert lives(broker)
        assert broker.rss_kb() < 30000


def produce(topic, size, correlation):
    """A Produce v3 of `size` bytes that are no batch."""
    body = struct.pack(">hhi", -1, 1, 1000) + struct.pack(">ih", 1, len(topic)) + topic + struct.pack(">iii", 1, 0, size)
    return frame(header(PRODUCE, 3, correlation) + body + b"x" * size)


@pytest.mark.slow         # its memory bound does not hold under sanitizers
def test_frames_that_were_begun_before_the_memory_was_full_stay_within_it():
    with Ottla({"connect.listeners": "", "queued.max.request.bytes": "2000000"}) as o:
        request = produce(b"nowhere", 4_000_000, 5)
        sockets = [connect(o) for _ in range(25)]
        for s in sockets:
            s.sendall(request[:60000])
        until("all are begun", lambda: all_read(o, 25), 10)
        rest = {s: memoryview(request)[60000:] for s in sockets}
        answered, most_kb = set(), 0
        for s in sockets:
            s.setblocking(False)

        def step():
            nonlocal most_kb
            for s in sockets:
                try:
                    if rest[s]:
                        rest[s] = rest[s][s.send(rest[s]):]
                    elif s not in answered:
                        assert s.recv(4096)[4:8] == struct.pack(">i", 5)
                        answered.add(s)
                except BlockingIOError:
                    pass
            most_kb = max(most_kb, o.rss_kb())
            return len(answered) == len(sockets)

        until("every client is answered", step, 30, 0.001)
        assert most_kb < 25000
        for s in sockets:
            s.close()


@pytest.mark.slow         # its memory bound does not hold under sanitizers
def test_when_request_memory_is_full_clients_wait_and_are_served():
    with Ottla({"connect.listeners": "", "queued.max.request.bytes": "100000"}) as o:
        request = produce(b"nowhere", 80000, 5)
        sockets = [connect(o) for _ in range(20)]
        for s in sockets:
            s.sendall(request[:40000])
        for s in sockets:
            s.setblocking(False)
        rest = {s: request[40000:] for s in sockets}
        answered = {}

        def step():
            for s in sockets:
                if rest[s]:
                    try:
                        rest[s] = rest[s][s.send(rest[s]):]
                    except BlockingIOError:
                        pass
                elif s not in answered:
                    try:
                        data = s.recv(4096)
                    except BlockingIOError:
                        continue
                    assert data[4:8] == struct.pack(">i", 5)
                    answered[s] = True
            return len(answered) == len(sockets)

        until("every client is answered", step, 30, 0.005)
        assert o.rss_kb() < 20000
        for s in sockets:
            s.close()
