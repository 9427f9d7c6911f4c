#!/usr/bin/env python3
"""Seeds of fuzz_coordinator: the records of the coordinators' logs in a packed data directory of a real Kafka.

usage: seeds_coordinator.py DIRECTORY.tar.gz FOLDER"""
import os
import struct
import sys
import tarfile


def varint(b, p):
    v = s = 0
    while True:
        c = b[p]
        p += 1
        v |= (c & 127) << s
        s += 7
        if c < 128:
            return (v >> 1) ^ -(v & 1), p


def records(log):
    at = 0
    while at + 61 <= len(log):
        size = struct.unpack(">i", log[at + 8:at + 12])[0] + 12
        attributes, count = struct.unpack(">h", log[at + 21:at + 23])[0], struct.unpack(">i", log[at + 57:at + 61])[0]
        p = at + 61
        for _ in range(count if attributes & 7 == 0 else 0):
            length, p = varint(log, p)
            end = p + length
            p += 1
            _, p = varint(log, p)
            _, p = varint(log, p)
            k, p = varint(log, p)
            key = log[p:p + max(k, 0)]
            p += max(k, 0)
            v, p = varint(log, p)
            value = None if v < 0 else log[p:p + v]
            control = attributes & 32
            if control:
                yield 4 | (key[3:4] == b"\1"), b"", b""
            else:
                yield (value is None) | (2 if attributes & 16 else 0), key, value or b""
            p = end
        at += size


out = sys.argv[2]
os.makedirs(out, exist_ok=True)
kinds = {"__consumer_offsets": 0, "__transaction_state": 1, "__share_group_state": 2}
for member in tarfile.open(sys.argv[1]):
    parts = member.name.split("/")
    if member.isfile() and member.name.endswith(".log") and len(parts) > 1:
        topic = parts[-2].rsplit("-", 1)[0]
        if topic not in kinds:
            continue
        log = tarfile.open(sys.argv[1]).extractfile(member.name).read()
        seed = bytes([kinds[topic]]) + b"".join(bytes([f]) + struct.pack(">HH", len(k), len(v)) + k + v for f, k, v in records(log))
        if 1 < len(seed) < 32768:
            name = os.path.basename(sys.argv[1]).split(".")[0] + "-" + parts[-2]
            with open(os.path.join(out, name), "wb") as f:
                f.write(seed)
