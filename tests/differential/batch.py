"""Record batches of magic 2, right and wrong ones, and what a fetch returned, taken apart."""
import struct
import zlib

HEAD = struct.Struct(">qiibIhiqqqhii")  # base offset … record count
NO_TIMESTAMP = -1


def _crc32c_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = (value << 1) ^ (value >> 63) if value < 0 else value << 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def blob(value):
    return varint(-1) if value is None else varint(len(value)) + value


def record(offset_delta, key, value, headers=(), timestamp_delta=0):
    body = b"\0" + varint(timestamp_delta) + varint(offset_delta) + blob(key) + blob(value) + varint(len(headers))
    body += b"".join(blob(k) + blob(v) for k, v in headers)
    return varint(len(body)) + body


def build(records, base_offset=0, leader_epoch=-1, magic=2, attributes=0, last_delta=None, first_timestamp=1000, max_timestamp=None,
          producer_id=-1, producer_epoch=-1, sequence=-1, count=None, crc_error=False, length_error=0):
    """The bytes of one batch. records: bytes of record(), made with growing offset deltas; every part can be made wrong."""
    body = b"".join(records)
    if attributes & 7 == 1:
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        body = packer.compress(body) + packer.flush()
    count = len(records) if count is None else count
    last_delta = len(records) - 1 if last_delta is None else last_delta
    max_timestamp = first_timestamp if max_timestamp is None else max_timestamp
    tail = struct.pack(">hiqqqhii", attributes, last_delta, first_timestamp, max_timestamp, producer_id, producer_epoch, sequence, count) + body
    crc = crc32c(tail) ^ (1 if crc_error else 0)
    return struct.pack(">qiibI", base_offset, 9 + len(tail) + length_error, leader_epoch, magic, crc) + tail


def whole(data):
    """The whole batches of a fetch, each as a dictionary; a part of one at the end is left out."""
    out, at = [], 0
    while data and at + HEAD.size <= len(data):
        base, length, epoch, magic, crc, attributes, last, first_time, max_time, producer, producer_epoch, sequence, count = HEAD.unpack_from(data, at)
        end = at + 12 + length
        if end > len(data):
            break
        out.append({"base_offset": base, "leader_epoch": epoch, "magic": magic, "crc_right": crc == crc32c(data[at + 21:end]),
                    "attributes": attributes, "last_offset_delta": last, "first_timestamp": first_time, "max_timestamp": max_time,
                    "producer_id": producer, "producer_epoch": producer_epoch, "sequence": sequence, "count": count,
                    "records": data[at + HEAD.size:end]})
        at = end
    return out
