#!/usr/bin/python3
"""Kills ottla with -9 under real clients: what was acknowledged is there, once, in order, and nothing else is.

usage: kill_clients.py [--kills N] [--seed N] [--dump]

Idempotent producers (acks=all) write to topics of small segments, with and without compression, through all the kills; a reader follows
from the first record; a group commits offsets. Expected, all the time:
  - of every producer and partition the reader gets the numbers 0, 1, 2, ..., each at the offset behind the one before: nothing is lost,
    repeated, reordered or taken back, and what a producer was told (offset, partition) is where it is read
  - a committed offset that was acknowledged is answered by the coordinator until a later one is asked for
  - no producer meets an error that it does not mend by itself.
At the end the directory is checked by `ottla verify`, with --dump by Kafka's kafka-dump-log. Prints its seed; the last line has the figures.
Exit status 0: all was as expected."""
import argparse
import os
import random
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.ottla import ROOT, Ottla                                    # noqa: E402
from lib.wait import TimedOut, until                                 # noqa: E402

TOPICS = {"plain": {"segment.bytes": "262144"}, "packed": {"segment.bytes": "65536", "compression.type": "zstd"},
          "timed": {"message.timestamp.type": "LogAppendTime", "segment.bytes": "262144"}}
PARTITIONS = 2
PLACES = [(topic, p) for topic in TOPICS for p in range(PARTITIONS)]
QUICK = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "log_level": 0}
RATE = 2000         # records a second of one producer: the log is to be read within the run
problems = []


def problem(text):
    if len(problems) < 20:
        problems.append(text)


class Writer(threading.Thread):
    """A producer; `told` is what it knows to be in the log: {(topic, partition): [offset of number 0, 1, ...]}."""

    def __init__(self, bootstrap, name, codec):
        super().__init__(daemon=True)
        self.name, self.stopping = name, threading.Event()
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 2,
                                  "compression.type": codec, "message.timeout.ms": 600000, "retry.backoff.ms": 20,
                                  "batch.size": 30000,      # a segment holds what has gathered during a kill
                                  "error_cb": self.error, **QUICK})
        self.sent = {place: 0 for place in PLACES}
        self.told = {place: [] for place in PLACES}
        self.acknowledged = 0

    def error(self, error):
        if error.fatal():
            problem("%s: %s" % (self.name, error))

    def delivered(self, place, number):
        def call(error, message):
            if error:
                return problem("%s: number %d of %s: %s" % (self.name, number, place, error))
            if number != len(self.told[place]):
                problem("%s: number %d of %s is acknowledged when %d is due" % (self.name, number, place, len(self.told[place])))
            self.told[place].append(message.offset())
            self.acknowledged += 1
        return call

    def run(self):
        source, begun, count = random.Random(self.name), time.monotonic(), 0
        while not self.stopping.is_set():
            for _ in range(source.choice([1, 5, 50])):
                place = source.choice(PLACES)
                self.producer.produce(place[0], "%s %d %s" % (self.name, self.sent[place], "x" * source.choice([10, 10, 900])), partition=place[1],
                                      callback=self.delivered(place, self.sent[place]))
                self.sent[place] += 1
                count += 1
            self.producer.poll(max(0, count / RATE - (time.monotonic() - begun)))
        while self.producer.flush(1) and not problems:
            pass


class Reader(threading.Thread):
    """Reads every record once, while it is written."""

    def __init__(self, bootstrap, writers):
        super().__init__(daemon=True)
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, **QUICK})
        self.consumer.assign([TopicPartition(topic, p, 0) for topic, p in PLACES])
        self.next = {place: 0 for place in PLACES}
        self.numbers = {(w.name,) + place: [] for w in writers for place in PLACES}     # the offsets at which they were read
        self.stopping = threading.Event()
        self.count = 0

    def run(self):
        while not self.stopping.is_set():
            m = self.consumer.poll(0.1)
            if m is None:
                continue
            if m.error():
                if not m.error().retriable() and m.error().code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                    problem("the reader: %s" % m.error())
                continue
            place = (m.topic(), m.partition())
            if m.offset() != self.next[place]:
                problem("%s: offset %d is read when %d is due" % (place, m.offset(), self.next[place]))
            self.next[place] = m.offset() + 1
            name, number, _ = m.value().decode().split(" ")
            seen = self.numbers[(name,) + place]
            if int(number) != len(seen):
                problem("%s: %s's number %s is read at offset %d when %d is due" % (place, name, number, m.offset(), len(seen)))
            seen.append(m.offset())
            self.count += 1
        self.consumer.close()


class Committer(threading.Thread):
    """Commits 1, 2, 3, ...; what was acknowledged stays."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "committer", "enable.auto.commit": False, **QUICK})
        self.stopping = threading.Event()
        self.asked = self.told = self.looks = 0

    def run(self):
        while not self.stopping.is_set():
            self.asked += 1
            try:
                self.consumer.commit(offsets=[TopicPartition("plain", 0, self.asked)], asynchronous=False)
                self.told = self.asked
            except KafkaException:
                pass        # unknown: it may be there
            try:
                found = self.consumer.committed([TopicPartition("plain", 0)], timeout=2)[0].offset
            except KafkaException:
                continue
            self.looks += 1
            if self.told and not self.told <= found <= self.asked:
                problem("committed is %d, acknowledged was %d, asked for %d" % (found, self.told, self.asked))
        self.consumer.close()


def kill(ottla, writers, source, kills):
    for i in range(kills):
        before = [w.acknowledged for w in writers]
        until(lambda: "kill %d: every producer goes on\n%s" % (i, ottla.log()),
              lambda: problems or all(w.acknowledged > b for w, b in zip(writers, before)), 60, 0.005)
        if problems:
            return i
        time.sleep(source.random() * 0.1)       # any moment will do
        ottla.kill()
        ottla.start()
    return kills


def run(given):
    source = random.Random(given.seed)
    with Ottla({"connect.listeners": "", "log.flush.offset.checkpoint.interval.ms": "1000", "offsets.topic.num.partitions": "2"}) as ottla:
        admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
        for future in admin.create_topics([NewTopic(t, PARTITIONS, 1, config=c) for t, c in TOPICS.items()]).values():
            future.result(20)
        writers = [Writer(ottla.bootstrap, name, codec) for name, codec in (("a", "none"), ("b", "lz4"))]
        reader, committer = Reader(ottla.bootstrap, writers), Committer(ottla.bootstrap)
        threads = writers + [reader, committer]
        begun, kills = time.monotonic(), 0
        for t in threads:
            t.start()
        try:
            kills = kill(ottla, writers, source, given.kills)
            for t in writers + [committer]:
                t.stopping.set()
            for t in writers + [committer]:
                t.join(120)
            sent = sum(sum(w.sent.values()) for w in writers)
            until(lambda: "%d of %d records are read" % (reader.count, sent), lambda: problems or reader.count >= sent, 120, 0.05)
        except TimedOut as e:
            problem(str(e))
        took = time.monotonic() - begun
        reader.stopping.set()
        reader.join(30)
        for w in writers:
            for place in PLACES:
                if not problems and reader.numbers[(w.name,) + place] != w.told[place]:
                    problem("%s: what %s was told is not where it is read" % (place, w.name))
        ottla.stop()
        if given.dump:
            done = subprocess.run([os.path.join(ROOT, "tests/kafka_dump_check"), ottla.data], capture_output=True, text=True)
            print(done.stdout.strip().splitlines()[-1])
            if done.returncode:
                problem("kafka-dump-log: " + done.stdout[-2000:])
    for text in problems:
        print("PROBLEM " + text)
    print("clients: %d kills in %d s, %d records acknowledged and read once, %d commits looked at; seed %d; %d problems" % (
        kills, took, reader.count, committer.looks, given.seed, len(problems)))
    return 1 if problems else 0


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--dump", action="store_true")
    return run(arguments.parse_args())


if __name__ == "__main__":
    sys.exit(main())
