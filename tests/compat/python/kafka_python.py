"""kafka-python (2.0.2 and newest) against a broker. Arguments: BOOTSTRAP PREFIX."""
import threading
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

from check import BOOTSTRAP, PREFIX, equal, feature, until, version

NEW = int(kafka.__version__.split(".")[0]) >= 3 or kafka.__version__.startswith("2.1") or kafka.__version__.startswith("2.2")
admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def topic(name, partitions=1, **configs):
    admin.create_topics([NewTopic(name, partitions, 1, topic_configs={k.replace("_", "."): v for k, v in configs.items()})])


def reader(partition=None, **more):
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", **more)
    if partition:
        consumer.assign([partition])
    return consumer


def read(consumer, count, timeout_s=20):
    out, deadline = [], time.monotonic() + timeout_s
    while len(out) < count and time.monotonic() < deadline:
        for records in consumer.poll(200).values():
            out += records
    return out


def records():
    name = PREFIX + "-records"
    topic(name, 2)
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all")
    sent = producer.send(name, b"value", b"key", [("a", b"1"), ("e", b"")], 1, 1234567890123).get(20)
    equal("offset", sent.offset, 0)
    producer.send(name, None, b"tombstone", None, 1).get(20)
    producer.close()
    consumer = reader(TopicPartition(name, 1))
    got = read(consumer, 2)
    equal("key, value, time", (got[0].key, got[0].value, got[0].timestamp), (b"key", b"value", 1234567890123))
    equal("headers", list(map(tuple, got[0].headers)), [("a", b"1"), ("e", b"")])
    equal("tombstone", (got[1].key, got[1].value), (b"tombstone", None))
    consumer.close()


def codecs():
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        name = PREFIX + "-codec-" + codec
        topic(name)
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, linger_ms=20)
        for i in range(500):
            producer.send(name, b"value of the record %d" % i)
        producer.flush(20)
        producer.close()
        consumer = reader(TopicPartition(name, 0))
        equal(codec, len(read(consumer, 500)), 500)
        consumer.close()


def offsets():
    name = PREFIX + "-offsets"
    topic(name)
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for i in range(100):
        producer.send(name, b"%d" % i, timestamp_ms=1000 + i)
    producer.flush(20)
    producer.close()
    partition = TopicPartition(name, 0)
    consumer = reader(partition)
    equal("ends", (consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition]), (0, 100))
    equal("by time", consumer.offsets_for_times({partition: 1042})[partition].offset, 42)
    consumer.seek(partition, 90)
    equal("seek", read(consumer, 10)[0].value, b"90")
    consumer.close()


class Member(threading.Thread):
    """A member of a group with a thread of its own: a poll of 2.0.2 waits for the whole rebalance."""

    def __init__(self, group, topic_name):
        super().__init__(daemon=True)
        self.consumer = reader(group_id=group, enable_auto_commit=False, session_timeout_ms=10000, heartbeat_interval_ms=500)
        self.consumer.subscribe([topic_name])
        self.values, self.shares, self.leaving = [], 0, threading.Event()
        self.start()

    def run(self):
        while not self.leaving.is_set():
            for found in self.consumer.poll(100).values():
                self.values += [record.value for record in found]
                self.consumer.commit()  # a rebalance reads again from what is committed
            self.shares = len(self.consumer.assignment())
        self.consumer.close()

    def leave(self):
        self.leaving.set()
        self.join(30)


def groups():
    name, group = PREFIX + "-groups", PREFIX + "-group"
    topic(name, 4)
    one, two = Member(group, name), Member(group, name)
    until("two partitions each", lambda: (one.shares, two.shares) == (2, 2))
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for i in range(200):
        producer.send(name, b"%d" % i, partition=i % 4)
    producer.flush(20)
    producer.close()
    until("all records", lambda: len(one.values) + len(two.values) >= 200)
    two.leave()
    until("all partitions for who stays", lambda: one.shares == 4)
    one.leave()
    # What the second member read and committed before it left is not read again by the first.
    equal("each once", (len(one.values + two.values), len(set(one.values + two.values))), (200, 200))
    late = reader(group_id=group)
    equal("committed", [late.committed(TopicPartition(name, p)) for p in range(4)], [50] * 4)
    late.close()


def idempotence():
    name = PREFIX + "-idempotence"
    topic(name)
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, enable_idempotence=True, acks="all")
    equal("offsets", [producer.send(name, b"v").get(20).offset for _ in range(100)], list(range(100)))
    producer.close()


def transactions():
    name, group = PREFIX + "-txn", PREFIX + "-txn-group"
    topic(name)
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=PREFIX + "-txn", acks="all")
    producer.init_transactions()
    for round_ in range(6):
        producer.begin_transaction()
        for i in range(5):
            producer.send(name, b"%d" % round_)
        producer.flush()
        producer.send_offsets_to_transaction({TopicPartition(name, 0): OffsetAndMetadata(round_ + 1, "", -1)}, group)
        producer.abort_transaction() if round_ % 2 else producer.commit_transaction()
    producer.close()
    consumer = reader(TopicPartition(name, 0), isolation_level="read_committed")
    equal("read_committed", [r.value for r in read(consumer, 16, 4)], [b"0"] * 5 + [b"2"] * 5 + [b"4"] * 5)
    consumer.close()


def administration():
    name, group = PREFIX + "-admin", PREFIX + "-admin-group"
    topic(name, 2, retention_ms="3600000")
    try:
        topic(name, 2)
        raise AssertionError("a topic was made twice")
    except TopicAlreadyExistsError:
        pass
    admin.create_partitions({name: NewPartitions(4)})
    described = admin.describe_topics([name])[0]
    equal("partitions", len(described["partitions"]), 4)
    resource = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "7200000"})
    admin.alter_configs([resource])
    got = str(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)]))
    assert "7200000" in got, got
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for i in range(10):
        producer.send(name, b"v", partition=0)
    producer.flush(20)
    producer.close()
    consumer = reader(group_id=group)
    consumer.subscribe([name])
    equal("read", len(read(consumer, 10)), 10)
    consumer.commit()
    consumer.close()
    assert group in str(admin.list_groups() if hasattr(admin, "list_groups") else admin.list_consumer_groups())
    offsets = admin.list_group_offsets(group) if hasattr(admin, "list_group_offsets") else admin.list_consumer_group_offsets(group)
    assert "10" in str(offsets), offsets
    admin.describe_cluster()
    (admin.delete_groups if hasattr(admin, "delete_groups") else admin.delete_consumer_groups)([group])
    admin.delete_topics([name])
    assert name not in admin.list_topics()


version(kafka.__version__)
feature("records", records)
feature("codecs", codecs)
feature("offsets", offsets)
feature("groups", groups)
if NEW:
    feature("idempotence", idempotence)
    feature("transactions", transactions)
feature("admin", administration)
