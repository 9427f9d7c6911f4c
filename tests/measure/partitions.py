#!/usr/bin/python3
"""Start and idle memory with many partitions: after a clean stop, after kill -9, with and without records in every partition.
Usage: OTTLA_BUILD=build tests/measure/partitions.py [--partitions 10000] [--topics 20] [--durability strict]. Prints one row per state; see docs/benchmarks.md."""
import argparse
import os
import re
import shutil
import sys
import tempfile
import time

import confluent_kafka
import confluent_kafka.admin

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.ottla import Ottla  # noqa: E402


def create(ottla, topics, each):
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": ottla.bootstrap})
    futures = admin.create_topics([confluent_kafka.admin.NewTopic("t%d" % i, each) for i in range(topics)])
    for future in futures.values():
        future.result(60)


def fill(ottla, topics, each):
    """One record in every partition."""
    producer = confluent_kafka.Producer({"bootstrap.servers": ottla.bootstrap, "queue.buffering.max.messages": 1000000})
    failed = []
    for i in range(topics):
        for k in range(each):
            producer.produce("t%d" % i, b"x" * 100, partition=k, on_delivery=lambda e, m: e and failed.append(e))
        producer.poll(0)
    assert producer.flush(300) == 0 and not failed, failed[:3]


def cpu_s(ottla):
    with open("/proc/%d/stat" % ottla.process.pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(ottla, state):
    begin = time.monotonic()
    ottla.start()
    ready = time.monotonic() - begin
    cpu = cpu_s(ottla)
    with open("/proc/%d/status" % ottla.process.pid) as f:
        rss = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
    print("%-40s ready %6.3f s  cpu %6.3f s  rss %5.1f MB" % (state, ready, cpu, rss / 1024), flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--partitions", type=int, default=10000)
    arguments.add_argument("--topics", type=int, default=20)
    arguments.add_argument("--durability", default="bounded")
    given = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="ottla-measure-", dir="/var/tmp")
    try:
        with Ottla({"connect.listeners": "", "ottla.durability": given.durability}, folder=folder) as ottla:
            each = given.partitions // given.topics
            create(ottla, given.topics, each)
            ottla.stop(600)
            row(ottla, "no records, clean stop")
            ottla.kill()
            row(ottla, "no records, kill -9")
            fill(ottla, given.topics, each)
            ottla.kill()
            row(ottla, "a record in each, kill -9 at once")
            ottla.stop(600)
            row(ottla, "a record in each, clean stop")
            time.sleep(given.partitions / 1000)  # the background sync and its checkpoints
            ottla.kill()
            row(ottla, "a record in each, idle, kill -9")
            ottla.stop(600)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
