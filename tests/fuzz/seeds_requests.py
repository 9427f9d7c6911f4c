#!/usr/bin/env python3
"""Writes the seeds of fuzz_request from the golden vectors: for each served API its lowest and highest served version.

    seeds_requests.py OTTLA OUTDIR        OTTLA: the program, which lists what it serves"""
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import kafka_reference

ORDER = ['tags', 'default', 'nulls', 'extreme', 'small', 'mix']
BYTES_MAX = 600
CLIENT_ID = b'seed'

served = {}
for line in subprocess.run([sys.argv[1], '--list-apis'], capture_output=True, text=True, check=True).stdout.splitlines():
    key, name, versions = line.split()
    served[name] = (int(key), [int(v) for v in versions.split('-')])
best = {}
with tempfile.TemporaryDirectory() as scratch:
    for path in glob.glob(os.path.join(kafka_reference.folder(scratch), 'vectors', '*.jsonl')):
        with open(path, encoding='utf-8') as f:
            for line in f:
                v = json.loads(line)
                if 'kind' not in v or v.get('type') != 'request' or v['name'] not in served or len(v['hex']) > 2 * BYTES_MAX:
                    continue
                if v['version'] in served[v['name']][1]:
                    slot = (v['name'], v['version'])
                    best[slot] = max(best.get(slot, ((-1,), None)), ((ORDER.index(v['kind']), v['hex']), v), key=lambda pair: pair[0])
os.makedirs(sys.argv[2], exist_ok=True)
for (name, version), (_, v) in sorted(best.items()):
    header = struct.pack('>hhih', served[name][0], version, 1, len(CLIENT_ID)) + CLIENT_ID
    if v['headerVersion'] >= 2:
        header += b'\0'
    with open(os.path.join(sys.argv[2], '%s-%d' % (name, version)), 'wb') as f:
        f.write(header + bytes.fromhex(v['hex']))
print('%d seeds' % len(best))
