"""What a broken or hostile client sends fails only its own request: the answer is Kafka's, one log line names client and
cause, nothing crashes, and memory stays where it was. Raw sockets: no client library would send this."""
import random
import socket
import struct

import pytest

from lib.wait import until

REQUEST_BYTES_MAX = 1 << 20
PRODUCE, METADATA, API_VERSIONS, CREATE_TOPICS = 0, 3, 18, 19
INVALID_TOPIC, UNSUPPORTED_VERSION, INVALID_RECORD, CORRUPT_MESSAGE = 17, 35, 87, 2


@pytest.fixture(scope="module")
def broker():
    from lib.ottla import Ottla
    with Ottla({"socket.request.max.bytes": str(REQUEST_BYTES_MAX)}) as running:
        yield running


def connect(broker):
    s = socket.create_connection(("127.0.0.1", broker.kafka_port), timeout=10)
    s.settimeout(10)
    return s


def string(text):
    return struct.pack(">h", len(text)) + text


def frame(api, version, body=b"", correlation=1, client=b"raw"):
    payload = struct.pack(">hhi", api, version, correlation) + string(client) + body
    return struct.pack(">i", len(payload)) + payload


def read_exactly(s, size):
    data = b""
    while len(data) < size:
        chunk = s.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def answer(s):
    size = struct.unpack(">i", read_exactly(s, 4))[0]
    return read_exactly(s, size)


def closes(s):
    """The broker ends the connection without an answer."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def call(broker, request):
    with connect(broker) as s:
        s.sendall(request)
        return answer(s)


def alive(broker):
    assert broker.process.poll() is None, broker.log()
    reply = call(broker, frame(API_VERSIONS, 0))
    assert struct.unpack(">ih", reply[:6]) == (1, 0)


def logged(broker, port, word):
    """One line names the client (its port) and the cause."""
    def found():
        return [line for line in broker.log(20000).splitlines() if str(port) in line and word in line]
    lines = until(lambda: "a log line with %s and '%s'\n%s" % (port, word, broker.log()), found, 5)
    assert len(lines) == 1, lines


@pytest.mark.parametrize("prefix,word", [
    (struct.pack(">i", REQUEST_BYTES_MAX + 1), "socket.request.max.bytes"), (struct.pack(">i", 0x7fffffff), "socket.request.max.bytes"),
    (struct.pack(">i", -1), "size"), (struct.pack(">i", -0x80000000), "size"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "socket.request.max.bytes"),
])
def test_a_frame_of_impossible_length_closes_the_connection(broker, prefix, word):
    with connect(broker) as s:
        port = s.getsockname()[1]
        s.sendall(prefix)
        assert closes(s)
    logged(broker, port, word)
    alive(broker)


def test_an_unknown_api_closes_the_connection(broker):
    for api in (999, -1, 5, 52):
        with connect(broker) as s:
            port = s.getsockname()[1]
            s.sendall(frame(api, 0))
            assert closes(s), api
        logged(broker, port, "api")
    alive(broker)


def test_an_unknown_version_of_api_versions_is_answered_with_version_0_and_35(broker):
    reply = call(broker, frame(API_VERSIONS, 99))
    correlation, error, count = struct.unpack(">ihi", reply[:10])
    assert (correlation, error) == (1, UNSUPPORTED_VERSION)
    rows = [struct.unpack(">hhh", reply[10 + 6 * i:16 + 6 * i]) for i in range(count)]
    assert [r for r in rows if r[0] == API_VERSIONS and r[1] == 0 and r[2] >= 3]


def test_an_unknown_version_of_any_other_api_closes_the_connection(broker):
    for api in (PRODUCE, METADATA, CREATE_TOPICS):
        with connect(broker) as s:
            s.sendall(frame(api, 99))
            assert closes(s), api
    alive(broker)


@pytest.mark.parametrize("body", [b"", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x05\x00\x03abc", b"\xff\xff\xff\xfe", b"\x00\x00\x10\x00" + b"\x00" * 20])
def test_a_truncated_request_or_a_count_beyond_the_frame_closes_the_connection(broker, body):
    with connect(broker) as s:
        port = s.getsockname()[1]
        s.sendall(frame(METADATA, 1, body))
        if body != b"\x00\x00\x10\x00" + b"\x00" * 20:
            assert closes(s)
            logged(broker, port, "etadata")
        else:
            assert closes(s)
    alive(broker)


def create_topic(name, version=4, partitions=1):
    return frame(CREATE_TOPICS, version, struct.pack(">i", 1) + string(name) + struct.pack(">ihii", partitions, 1, 0, 0)
                 + struct.pack(">i?", 10000, False))


@pytest.mark.parametrize("name", [b"a/b", b"..", b".", b"", b"x" * 250, b"new\nline", "ümlaut".encode(), b"a b"])
def test_a_topic_name_that_is_none_is_refused(broker, name):
    reply = call(broker, create_topic(name))
    _, _, count, length = struct.unpack(">iiih", reply[:14])
    assert (count, length) == (1, len(name))
    assert struct.unpack(">h", reply[14 + length:16 + length])[0] == INVALID_TOPIC
    reply = call(broker, frame(METADATA, 4, struct.pack(">i", 1) + string(name) + b"\x01"))
    assert struct.pack(">h", INVALID_TOPIC) + string(name) in reply


def produce(topic, records, version=7):
    return frame(PRODUCE, version, struct.pack(">hhii", -1, 1, 10000, 1) + string(topic) + struct.pack(">iii", 1, 0, len(records)) + records)


def produce_error(broker, records, topic=b"bad-records"):
    """(error code, base offset) of the one partition"""
    reply = call(broker, produce(topic, records))
    at = 4 + 4 + 2 + len(topic) + 4
    _, error, offset = struct.unpack(">ihq", reply[at:at + 14])
    return error, offset


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def batch(records, count, attributes=0, last_delta=None, magic=2, base_offset=0):
    now = 1700000000000
    body = struct.pack(">hiqqqhii", attributes, count - 1 if last_delta is None else last_delta, now, now, -1, -1, -1, count) + records
    rest = struct.pack(">ib", 0, magic) + struct.pack(">I", crc32c(body)) + body
    return struct.pack(">qi", base_offset, len(rest)) + rest


def record(value=b"v", delta=0):
    body = bytes([0, 0, delta * 2, 1]) + bytes([len(value) * 2]) + value + b"\x00"
    return bytes([len(body) * 2]) + body


def test_damaged_batches_are_refused_with_kafkas_codes_and_leave_no_record(broker):
    call(broker, create_topic(b"bad-records"))
    good = batch(record(), 1)
    assert produce_error(broker, good) == (0, 0)
    damaged = bytearray(good)
    damaged[-2] ^= 1
    cases = {
        "wrong checksum": (bytes(damaged), CORRUPT_MESSAGE),
        "cut": (good[:-1], CORRUPT_MESSAGE),
        "two batches": (good + good, INVALID_RECORD),
        "no batch": (b"", INVALID_RECORD),
        "old magic": (batch(record(), 1, magic=1), INVALID_RECORD),
        "base offset": (batch(record(), 1, base_offset=5), INVALID_RECORD),
        "count": (batch(record(), 2), INVALID_RECORD),
        "count and last offset": (batch(record(), 1, last_delta=7), INVALID_RECORD),
        "count 2^31-1": (batch(record(), 0x7fffffff), INVALID_RECORD),
        "control batch": (batch(record(), 1, attributes=0x20), INVALID_RECORD),
    }
    for name, (records, expected) in cases.items():
        error, _ = produce_error(broker, records)
        assert error == expected, "%s: %d" % (name, error)
    assert produce_error(broker, good) == (0, 1), "the next good batch has the next offset"
    alive(broker)


def test_a_decompression_bomb_is_refused_within_bounded_memory(broker):
    """1 GiB of zeros in 1 MiB of gzip, in a topic whose compression.type makes the broker decompress."""
    import zlib
    config = struct.pack(">i", 1) + string(b"compression.type") + string(b"lz4")
    body = struct.pack(">i", 1) + string(b"bomb") + struct.pack(">ihi", 1, 1, 0) + config + struct.pack(">i?", 10000, False)
    call(broker, frame(CREATE_TOPICS, 4, body))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    packed = b"".join([packer.compress(zeros) for _ in range(900)]) + packer.flush()
    assert len(packed) < REQUEST_BYTES_MAX - 1000
    before = broker.rss_kb()
    for _ in range(3):
        error, _ = produce_error(broker, batch(packed, 1, attributes=1), b"bomb")
        assert error in (INVALID_RECORD, CORRUPT_MESSAGE, 10)
    assert broker.rss_kb() - before < 40 * 1024
    alive(broker)


@pytest.mark.slow
def test_garbage_does_not_raise_the_memory(broker):
    """Thousands of nonsense connections, and hundreds that promise a large request and send little of it."""
    random.seed(4711)
    alive(broker)
    before = broker.rss_kb()
    for _ in range(2000):
        with connect(broker) as s:
            try:
                s.sendall(struct.pack(">i", random.choice([10, 200, 3000])) + random.randbytes(random.randrange(3000)))
            except (BrokenPipeError, ConnectionResetError):
                pass
    promises = []
    for _ in range(300):
        s = connect(broker)
        s.sendall(struct.pack(">i", REQUEST_BYTES_MAX) + bytes(100))
        promises.append(s)
    alive(broker)
    held = broker.rss_kb()
    for s in promises:
        s.close()
    alive(broker)
    assert held - before < 8 * 1024, "300 promises of 1 MiB cost %d kB" % (held - before)
    assert broker.rss_kb() - before < 8 * 1024


def test_a_request_in_pieces_is_a_request(broker):
    request = frame(API_VERSIONS, 0)
    with connect(broker) as s:
        for byte in request:
            s.sendall(bytes([byte]))
        assert struct.unpack(">ih", answer(s)[:6]) == (1, 0)


def test_pipelined_requests_are_answered_in_their_order(broker):
    with connect(broker) as s:
        s.sendall(b"".join(frame(API_VERSIONS if i % 2 else METADATA, 0 if i % 2 else 1, b"" if i % 2 else b"\xff\xff\xff\xff", correlation=i)
                           for i in range(200)))
        assert [struct.unpack(">i", answer(s)[:4])[0] for _ in range(200)] == list(range(200))
