"""Compaction of a running broker, seen by a client: the final state is that of the log, at any time; through kills too; the
broker's own topics are compacted as well and are read back at a start."""
import glob
import os
import random
import subprocess
import sys

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.ottla import ROOT, Ottla       # noqa: E402
from lib.wait import until              # noqa: E402

# A test runs for seconds: small segments, no patience.
QUICK = {"connect.listeners": "", "log.cleaner.backoff.ms": "50", "log.segment.delete.delay.ms": "100"}
COMPACT = {"cleanup.policy": "compact", "segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.1"}
RECORDS = int(os.environ.get("OTTLA_COMPACT_RECORDS", 60000))
KEYS = max(RECORDS // 100, 50)


def create(ottla, name, config):
    admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
    for future in admin.create_topics([NewTopic(name, 1, config=config)]).values():
        future.result(10)


def produce(ottla, topic, state, count, seed, **config):
    """Values and tombstones of random keys; state: key -> value, as a reader of all of them ends up with."""
    source = random.Random(seed)
    producer = Producer({"bootstrap.servers": ottla.bootstrap, "linger.ms": 5, "enable.idempotence": True, **config})
    failures = []

    def delivered(error, _):
        if error:
            failures.append(error)

    for i in range(count):
        key = "key-%d" % source.randrange(KEYS)
        value = None if source.random() < 0.1 else "value-%d-%s" % (i, "x" * source.randrange(100))
        while True:
            try:
                producer.produce(topic, value, key, callback=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        state.pop(key, None) if value is None else state.__setitem__(key, value)
    producer.flush(60)
    assert not failures


def read_all(ottla, topic):
    """(state, records read, offsets in order)"""
    consumer = Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "reader", "enable.auto.commit": False,
                         "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
    state, offsets = {}, []
    while consumer.position([TopicPartition(topic, 0)])[0].offset < end:
        for message in consumer.consume(1000, 0.1):
            assert not message.error()
            offsets.append(message.offset())
            key = message.key().decode()
            if message.value() is None:
                state.pop(key, None)
            else:
                state[key] = message.value().decode()
    consumer.close()
    assert offsets == sorted(set(offsets))
    return state, len(offsets)


def log_files(ottla, topic):
    return sorted(glob.glob(os.path.join(ottla.data, topic + "-0", "*.log")))


def clean_end(ottla, topic):
    try:
        with open(os.path.join(ottla.data, "cleaner-offset-checkpoint")) as f:
            for line in f:
                if line.startswith(topic + " 0 "):
                    return int(line.split()[2])
    except FileNotFoundError:
        pass
    return 0


def wait_clean(ottla, topic):
    """Until everything but the active segment is clean."""
    until(lambda: "%s is clean\n%s" % (topic, ottla.log()),
          lambda: clean_end(ottla, topic) >= int(os.path.basename(log_files(ottla, topic)[-1])[:20]), 120, 0.1)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_the_final_state_stays(codec):
    with Ottla({**QUICK, "log.flush.offset.checkpoint.interval.ms": "100"}) as ottla:
        state = {}
        create(ottla, "t", COMPACT if codec == "none" else {**COMPACT, "internal.segment.bytes": "200000"})
        produce(ottla, "t", state, RECORDS, 1, **{"compression.type": codec})
        wait_clean(ottla, "t")
        seen, records = read_all(ottla, "t")
        assert seen == state
        assert records < RECORDS / 2
        # What is in use goes on being right: more of it, killed in the middle, read again.
        produce(ottla, "t", state, RECORDS // 2, 2, **{"compression.type": codec})
        ottla.kill()
        ottla.start()
        assert read_all(ottla, "t")[0] == state
        wait_clean(ottla, "t")
        assert read_all(ottla, "t")[0] == state
        ottla.stop()
        done = subprocess.run([os.path.join(ROOT, "tests/kafka_dump_check"), ottla.data], stdout=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stdout[-3000:]


def test_offsets_of_groups_are_compacted_and_kept():
    with Ottla({**QUICK, "offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "20000",
                "log.cleaner.min.cleanable.ratio": "0.1", "log.flush.offset.checkpoint.interval.ms": "100"}) as ottla:
        create(ottla, "t", {})
        producer = Producer({"bootstrap.servers": ottla.bootstrap})
        for i in range(3000):
            producer.produce("t", "v%d" % i)
        producer.flush(10)
        consumer = Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "g", "enable.auto.commit": False})
        consumer.assign([TopicPartition("t", 0, 0)])
        for i in range(1, 1500):
            consumer.commit(offsets=[TopicPartition("t", 0, i)], asynchronous=False)
        consumer.close()
        wait_clean(ottla, "__consumer_offsets")
        size = sum(os.path.getsize(f) for f in log_files(ottla, "__consumer_offsets"))
        assert size < 60000
        for stop in (ottla.kill, ottla.stop):
            stop()
            ottla.start()
            consumer = Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "g"})
            assert consumer.committed([TopicPartition("t", 0)], 20)[0].offset == 1499
            consumer.close()


def test_options_change_a_running_cleaner():
    with Ottla({**QUICK, "log.cleaner.enable": "true", "log.cleaner.backoff.ms": "86400000",
                "log.flush.offset.checkpoint.interval.ms": "100"}) as ottla:
        from confluent_kafka.admin import ConfigResource
        state = {}
        create(ottla, "t", COMPACT)
        produce(ottla, "t", state, 60000, 3)
        assert clean_end(ottla, "t") == 0
        admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
        resource = ConfigResource("broker", "1", set_config={"log.cleaner.backoff.ms": "50"})
        for future in admin.alter_configs([resource]).values():
            future.result(10)
        wait_clean(ottla, "t")
        assert read_all(ottla, "t")[0] == state
