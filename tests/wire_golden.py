#!/usr/bin/env python3
"""Runs wire_check over all golden vectors: wire_golden.py WIRE_CHECK. Its last line and exit status are wire_check's."""
import glob
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))
import kafka_reference

FILES_MIN = 87  # fewer would mean that some got lost

with tempfile.TemporaryDirectory() as scratch:
    files = sorted(glob.glob(os.path.join(kafka_reference.folder(scratch), 'vectors', '*.jsonl')))
    if len(files) < FILES_MIN:
        sys.exit('only %d vector files' % len(files))
    sys.exit(subprocess.call([sys.argv[1]] + files))
