#!/usr/bin/env python3
"""Writes the seeds of fuzz_messages from the golden vectors: one file per message that has one, its highest version with tagged fields.

    seeds_messages.py MESSAGES_TABLE_C OUTDIR

MESSAGES_TABLE_C is the generated table (build/protocol/messages_table.c): seeds name messages without a key by their
position there."""
import glob
import json
import os
import re
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import kafka_reference

KINDS = ['WIRE_REQUEST', 'WIRE_RESPONSE', 'WIRE_HEADER', 'WIRE_DATA', 'WIRE_METADATA', 'WIRE_KEY', 'WIRE_VALUE']
ORDER = ['default', 'nulls', 'small', 'extreme', 'mix', 'tags']
BYTES_MAX = 600

with open(sys.argv[1], encoding='utf-8') as f:
    rows = re.findall(r'^    \{"(\w+)", (WIRE_\w+), (-?\d+),', f.read(), re.M)
best = {}
with tempfile.TemporaryDirectory() as scratch:
    for path in glob.glob(os.path.join(kafka_reference.folder(scratch), 'vectors', '*.jsonl')):
        with open(path, encoding='utf-8') as f:
            for line in f:
                v = json.loads(line)
                if 'json' not in v or len(v['hex']) > 2 * BYTES_MAX:
                    continue
                name = v['name'] + (v['type'].capitalize() if v['type'] in ('request', 'response') else '')
                rank = (v['version'], ORDER.index(v['kind']), v['hex'])
                best[name] = max(best.get(name, ((-1,), None)), (rank, v), key=lambda pair: pair[0])
os.makedirs(sys.argv[2], exist_ok=True)
for position, (name, kind, key) in enumerate(rows):
    if name not in best:
        continue  # no vector of it
    v = best[name][1]
    number = int(key) if kind in ('WIRE_REQUEST', 'WIRE_RESPONSE', 'WIRE_METADATA') else position
    with open(os.path.join(sys.argv[2], name), 'wb') as out:
        out.write(struct.pack('>Bhh', KINDS.index(kind), number, v['version']) + bytes.fromhex(v['hex']))
print('%d messages, %d with a seed' % (len(rows), len(best)))
