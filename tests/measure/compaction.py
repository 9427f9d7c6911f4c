#!/usr/bin/python3
"""Compaction of a large log beside its producer: the state that a reader ends up with is that of a map, before and after, here and at a
real Kafka that gets the exported directory; the latency of produce requests with and without a pass; the memory that a pass takes.
Usage: tests/measure/compaction.py [--records 5000000] [--keys 50000] [--seed N] [--no-kafka]. Ends with 'N passed, N failed, N skipped'.
Figures go to docs/benchmarks.md; nothing that depends on time is asserted."""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "integration"), os.path.join(TESTS, "differential"), os.path.join(TESTS, "compat")]
from confluent_kafka import Producer                            # noqa: E402
from confluent_kafka.admin import AdminClient, ConfigResource   # noqa: E402

import test_compaction as small                                 # noqa: E402
from lib.ottla import Ottla, program                            # noqa: E402
from lib.wait import until                                      # noqa: E402

TOPIC, TOMBSTONES, PROBES_PER_S, PROBES = "big", 0.02, 200, 2000
DEDUPE_BYTES = 2 << 20      # fewer keys than the log has: a pass does not see all of them at once
SETTINGS = {"connect.listeners": "", "log.cleaner.backoff.ms": "86400000", "log.cleaner.dedupe.buffer.size": str(DEDUPE_BYTES),
            "log.segment.delete.delay.ms": "100", "log.flush.offset.checkpoint.interval.ms": "500"}
results = {"passed": 0, "failed": 0, "skipped": 0}


def result(word, name, why=""):
    results[word] += 1
    print("  %-7s %s%s" % (word, name, ": " + why if why else ""), flush=True)


def check(name, good, why=""):
    result("passed" if good else "failed", name, "" if good else why)


def fill(ottla, given):
    """Returns what a reader of all records ends up with."""
    source, state = random.Random(given.seed), {}
    producer = Producer({"bootstrap.servers": ottla.bootstrap, "enable.idempotence": True, "linger.ms": 20, "batch.num.messages": 5000,
                         "queue.buffering.max.messages": 500000})
    for i in range(given.records):
        key = "key-%d" % source.randrange(given.keys)
        value = None if source.random() < TOMBSTONES else "value-%d-%s" % (i, "x" * (i % 64))
        while True:
            try:
                producer.produce(TOPIC, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        if i % 1000 == 0:
            producer.poll(0)
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    assert producer.flush(300) == 0
    return state


class Probe(threading.Thread):
    """One record at a time into the same topic: how long each takes to be acknowledged."""

    def __init__(self, bootstrap, state, stop=None):
        super().__init__()
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all"})
        self.state, self.until, self.took = state, stop or threading.Event(), []

    def run(self):
        for i in range(-1, PROBES):     # the first one is that of a new connection: not counted
            if self.until.is_set():
                break
            begun, done = time.monotonic(), []
            key, value = "probe-%d" % (i % 50), "value %d %s" % (i, self.name)
            self.producer.produce(TOPIC, value, key, callback=lambda error, _: done.append(error))
            while not done:
                self.producer.poll(1)
            assert done == [None], done
            self.state[key] = value
            took = time.monotonic() - begun
            if i >= 0:
                self.took.append(took)
            time.sleep(max(0, 1 / PROBES_PER_S - took))

    def p99_ms(self):
        return 1000 * sorted(self.took)[len(self.took) * 99 // 100]


def set_backoff(ottla, ms):
    admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
    for future in admin.alter_configs([ConfigResource("broker", "1", set_config={"log.cleaner.backoff.ms": ms})]).values():
        future.result(10)


class Peak(threading.Thread):
    """The most memory that the process had until it is stopped."""

    def __init__(self, ottla):
        super().__init__()
        self.ottla, self.until, self.kb = ottla, threading.Event(), ottla.rss_kb()

    def run(self):
        while not self.until.wait(0.02):
            self.kb = max(self.kb, self.ottla.rss_kb())


def kafka_state(data, folder):
    """What a real Kafka shows of the exported directory."""
    import clients
    import sides
    try:
        clients.jars("kafka41")
    except clients.Missing as e:
        return None, str(e)
    target = os.path.join(folder, "kafka")
    done = subprocess.run([program(), "export", "--quiet", data, target], capture_output=True, text=True)
    if done.returncode:
        return {}, done.stderr
    kafka = sides.Kafka("512m", target)
    try:
        side = sides.Side("Kafka", kafka.port, sides.codec.load())
        sides.wait_ready(side)
        side.close()
        kafka.bootstrap = "127.0.0.1:%d" % kafka.port
        return small.read_all(kafka, TOPIC)[0], "it shows another state"
    finally:
        kafka.stop()


def run(given, folder):
    with Ottla(SETTINGS, folder=folder) as ottla:
        small.create(ottla, TOPIC, {"cleanup.policy": "compact", "segment.bytes": str(max(1 << 20, 8 * given.records)), "min.cleanable.dirty.ratio": "0.01"})
        begun = time.monotonic()
        state = fill(ottla, given)
        size = sum(os.path.getsize(f) for f in small.log_files(ottla, TOPIC))
        print("%d records of %d keys, %d MB, written in %d s; seed %d" % (given.records, given.keys, size >> 20,
                                                                          time.monotonic() - begun, given.seed), flush=True)
        quiet = Probe(ottla.bootstrap, state)
        quiet.start()
        quiet.join()
        before_kb, peak, end = ottla.rss_kb(), Peak(ottla), threading.Event()
        peak.start()
        busy = Probe(ottla.bootstrap, state, end)
        busy.start()
        until("the probe is at work", lambda: busy.took, 30, 0.01)
        begun = time.monotonic()
        set_backoff(ottla, "10")
        last = int(os.path.basename(small.log_files(ottla, TOPIC)[-1])[:20])
        until(lambda: "the log is clean\n" + ottla.log(), lambda: small.clean_end(ottla, TOPIC) >= last, 1800, 0.05)
        took = time.monotonic() - begun
        end.set()
        peak.until.set()
        busy.join()
        peak.join()
        set_backoff(ottla, "86400000")
        passes = ottla.log(1 << 20).count(" cleaner: ")
        left = sum(os.path.getsize(f) for f in small.log_files(ottla, TOPIC))
        print("- compaction: %d records of %d keys, %d MB to %d MB in %.1f s, %d passes with a map of %d KiB; memory +%d KiB at most"
              % (given.records, given.keys, size >> 20, left >> 20, took, passes, DEDUPE_BYTES >> 10, peak.kb - before_kb))
        print("- compaction: produce p99 %.2f ms without (%d requests), %.2f ms beside it (%d)"
              % (quiet.p99_ms(), len(quiet.took), busy.p99_ms(), len(busy.took)), flush=True)
        seen, count = small.read_all(ottla, TOPIC)
        check("the state is that of the map", seen == state, "%d keys, the map has %d" % (len(seen), len(state)))
        check("what is superseded went", count < given.records / 4 + 3 * PROBES, "%d records are left" % count)
        ottla.kill()
        ottla.start()
        check("likewise after kill -9", small.read_all(ottla, TOPIC)[0] == state)
        ottla.stop()
        if given.no_kafka:
            return
        seen, why = kafka_state(ottla.data, folder)
        if seen is None:
            result("skipped", "at a real Kafka", why)
        else:
            check("likewise at a real Kafka, exported", seen == state, why)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--records", type=int, default=5000000)
    arguments.add_argument("--keys", type=int, default=50000)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--no-kafka", action="store_true")
    given = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="ottla-compaction-", dir="/var/tmp")
    try:
        run(given, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % results)
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
