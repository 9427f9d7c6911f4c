"""Topic names that are none, damaged batches, decompression bombs, and garbage in bulk: the answer is Kafka's, nothing crashes,
and memory stays where it was. Raw sockets: no client library would send this. Framing: test_bad_input.py."""
import random
import socket
import struct

import pytest

REQUEST_BYTES_MAX = 1 << 20
PRODUCE, METADATA, API_VERSIONS, CREATE_TOPICS = 0, 3, 18, 19
INVALID_TOPIC, INVALID_RECORD, CORRUPT_MESSAGE = 17, 87, 2


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


def call(broker, request):
    with connect(broker) as s:
        s.sendall(request)
        return answer(s)


def alive(broker):
    assert broker.process.poll() is None, broker.log()
    reply = call(broker, frame(API_VERSIONS, 0))
    assert struct.unpack(">ih", reply[:6]) == (1, 0)


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
        "cut": (good[:-1], INVALID_RECORD),  # no whole batch is there: as Kafka 4.1
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


@pytest.mark.slow         # its memory bound does not hold under sanitizers
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
