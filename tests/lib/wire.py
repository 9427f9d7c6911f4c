"""Kafka requests by hand: for tests of what a client library would hide (nulls, versions, exact codes)."""
import socket
import struct


def i8(v):
    return struct.pack(">b", v)


def i16(v):
    return struct.pack(">h", v)


def i32(v):
    return struct.pack(">i", v)


def i64(v):
    return struct.pack(">q", v)


def string(s):
    return i16(-1) if s is None else i16(len(s.encode())) + s.encode()


def blob(b):
    return i32(-1) if b is None else i32(len(b)) + b


def array(items):
    return i32(-1) if items is None else i32(len(items)) + b"".join(items)


def uvarint(v):
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def cstring(s):
    return uvarint(0) if s is None else uvarint(len(s.encode()) + 1) + s.encode()


def carray(items):
    return uvarint(0) if items is None else uvarint(len(items) + 1) + b"".join(items)


NO_TAGS = b"\0"


class Reader:
    """Reads an answer field by field; names as in the writers above."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the answer is cut short"
        self.at += count
        return self.data[self.at - count:self.at]

    def i8(self):
        return struct.unpack(">b", self.take(1))[0]

    def i16(self):
        return struct.unpack(">h", self.take(2))[0]

    def i32(self):
        return struct.unpack(">i", self.take(4))[0]

    def i64(self):
        return struct.unpack(">q", self.take(8))[0]

    def string(self):
        length = self.i16()
        return None if length < 0 else self.take(length).decode()

    def blob(self):
        length = self.i32()
        return None if length < 0 else self.take(length)

    def array(self, read):
        count = self.i32()
        return None if count < 0 else [read() for _ in range(count)]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def cstring(self):
        length = self.uvarint() - 1
        return None if length < 0 else self.take(length).decode()

    def cblob(self):
        length = self.uvarint() - 1
        return None if length < 0 else self.take(length)

    def carray(self, read):
        count = self.uvarint() - 1
        return None if count < 0 else [read() for _ in range(count)]

    def tags(self):
        for _ in range(self.uvarint()):
            self.uvarint()
            self.take(self.uvarint())

    def end(self):
        assert self.at == len(self.data), "%d bytes are left in the answer" % (len(self.data) - self.at)


class Connection:
    def __init__(self, port, client="test"):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(30)
        self.client, self.correlation = client, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, key, version, body, flexible=False):
        self.correlation += 1
        payload = struct.pack(">hhi", key, version, self.correlation) + string(self.client) + (NO_TAGS if flexible else b"") + body
        self.socket.sendall(i32(len(payload)) + payload)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError("the broker closed the connection")
            data += more
        return data

    def answer(self, flexible=False):
        reader = Reader(self.exactly(struct.unpack(">i", self.exactly(4))[0]))
        assert reader.i32() == self.correlation
        if flexible:
            reader.tags()
        return reader

    def ask(self, key, version, body, flexible=False):
        self.send(key, version, body, flexible)
        return self.answer(flexible)
