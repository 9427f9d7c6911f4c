"""Messages of protocol/schema to bytes and back, in any version: a codec that shares nothing but the schemas with the one in C.

A message is a dictionary by field name; what is left out takes the field's default."""
import glob
import os
import struct
import sys
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "protocol", "gen"))
import api_schema   # noqa: E402

FIXED = {"int8": ">b", "int16": ">h", "int32": ">i", "int64": ">q", "uint16": ">H", "uint32": ">I", "float64": ">d", "error": ">h", "bool": ">?"}


class CutShort(Exception):
    """The bytes end inside of a field, or say something that cannot be."""


def load():
    """{api name: Api of api_schema}"""
    parsed = api_schema.load(sorted(glob.glob(os.path.join(ROOT, "protocol", "schema", "*.api"))))
    return {api.name: api for _, p in parsed for api in p.apis}


# -- writing --

def uvarint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def varint(value):
    return uvarint((value << 1) ^ (value >> 63) if value < 0 else value << 1)


def default(field):
    if field.default == "null":
        return None
    if field.array:
        return []
    if field.is_struct():
        return {}
    text = field.default
    if field.type == "string":
        return text.strip('"') if text else ""
    if field.type in ("bytes", "records"):
        return b""
    if field.type == "uuid":
        return uuid.UUID(int=0)
    if field.type == "bool":
        return text == "true"
    return float(text or 0) if field.type == "float64" else int(text or "0", 0)


def length(count, flexible, wide):
    """The length in front of a string (wide: int16 or int32 when not flexible), null when None."""
    if flexible:
        return uvarint(0 if count is None else count + 1)
    return struct.pack(wide, -1 if count is None else count)


def write_value(field, value, version, flexible):
    if field.is_struct():
        if field.pointer():
            return b"\xff" if value is None else b"\x01" + write(field.type, value, version, flexible)
        return write(field.type, value, version, flexible)
    if field.type in FIXED:
        return struct.pack(FIXED[field.type], value)
    if field.type == "uuid":
        return value.bytes
    if field.type == "varint":
        return varint(value)
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    wide = ">h" if field.type == "string" else ">i"
    return length(None if raw is None else len(raw), flexible and not field.classic, wide) + (raw or b"")


def write_field(field, value, version, flexible):
    if not field.array:
        return write_value(field, value, version, flexible)
    out = length(None if value is None else len(value), flexible, ">i")
    return out + b"".join(write_value(field, v, version, flexible) for v in value or [])


def write(message, values, version, flexible):
    """The bytes of a struct; ends with its tagged fields when flexible."""
    out, tags = b"", []
    for field in message.fields:
        if version not in field.versions:
            continue
        value = values.get(field.name, default(field))
        if field.tag is None:
            out += write_field(field, value, version, flexible)
        elif value != default(field):
            tags.append((field.tag, write_field(field, value, version, flexible)))
    if flexible:
        out += uvarint(len(tags)) + b"".join(uvarint(t) + uvarint(len(b)) + b for t, b in sorted(tags))
    return out


def request(api, version, values, correlation, client="differential"):
    """A whole frame without its length."""
    flexible = version in api.request.flexible
    name = client.encode()
    head = struct.pack(">hhih", api.key, version, correlation, len(name)) + name + (b"\0" if flexible else b"")
    return head + write(api.request.root, values, version, flexible)


# -- reading --

class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise CutShort("%d bytes wanted, %d are left" % (count, len(self.data) - self.at))
        self.at += count
        return self.data[self.at - count:self.at]

    def fixed(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def varint(self):
        value = self.uvarint()
        return (value >> 1) ^ -(value & 1)

    def length(self, flexible, wide):
        return self.uvarint() - 1 if flexible else self.fixed(wide)


def read_value(field, version, flexible, data):
    if field.is_struct():
        if field.pointer() and data.fixed(">b") < 0:
            return None
        return read(field.type, version, flexible, data)
    if field.type in FIXED:
        return data.fixed(FIXED[field.type])
    if field.type == "uuid":
        return uuid.UUID(bytes=data.take(16))
    if field.type == "varint":
        return data.varint()
    count = data.length(flexible and not field.classic, ">h" if field.type == "string" else ">i")
    if count < 0:
        return None
    raw = data.take(count)
    return raw.decode("utf-8", "surrogateescape") if field.type == "string" else raw


def read_field(field, version, flexible, data):
    if not field.array:
        return read_value(field, version, flexible, data)
    count = data.length(flexible, ">i")
    return None if count < 0 else [read_value(field, version, flexible, data) for _ in range(count)]


def read(message, version, flexible, data):
    values = {f.name: default(f) for f in message.fields if f.tag is not None and version in f.versions}
    for field in message.fields:
        if version in field.versions and field.tag is None:
            values[field.name] = read_field(field, version, flexible, data)
    if flexible:
        tagged = {f.tag: f for f in message.fields if f.tag is not None and version in f.versions}
        for _ in range(data.uvarint()):
            tag, size = data.uvarint(), data.uvarint()
            inner = Bytes(data.take(size))
            if tag in tagged:
                values[tagged[tag].name] = read_field(tagged[tag], version, flexible, inner)
            else:
                values["unknown_tag_%d" % tag] = inner.data
    return values


def response(api, version, frame):
    """(correlation id, message) of an answer without its length; every byte has to be used."""
    data = Bytes(frame)
    correlation = data.fixed(">i")
    flexible = version in api.response.flexible
    if flexible and api.name != "api_versions":
        for _ in range(data.uvarint()):
            data.uvarint()
            data.take(data.uvarint())
    values = read(api.response.root, version, flexible, data)
    if data.at != len(frame):
        raise CutShort("%d bytes are left behind the answer" % (len(frame) - data.at))
    return correlation, values
