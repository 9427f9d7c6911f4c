"""Transactions as librdkafka's users see them: all or nothing, exactly one producer per id, and no end that a crash undoes."""
import socket
import struct
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from lib.ottla import Ottla
from lib.wait import until
from lib.wire import NO_TAGS, Connection, Reader, array, cstring, i16, i32, i64, string

FAST = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "100"}
PRODUCE, INVALID_PRODUCER_ID_MAPPING = 0, 49


@pytest.fixture(scope="module")
def broker():
    with Ottla(FAST) as running:
        yield running


def make_topic(broker, name, partitions=1):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        future.result(20)


def producer(broker, transactional_id, **more):
    p = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": transactional_id, "linger.ms": 0,
                  **{k.replace("_", "."): v for k, v in more.items()}})
    p.init_transactions(20)
    return p


def send(p, topic, values, partition=0):
    errors = []
    for value in values:
        p.produce(topic, str(value), partition=partition, on_delivery=lambda error, _: errors.append(error))
    assert p.flush(20) == 0
    assert errors and not any(errors), errors


def read(broker, topic, isolation, partitions=1):
    """All values up to the end that a consumer of this isolation sees, by partition."""
    c = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader", "isolation.level": isolation,
                  "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True})
    c.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    values, ends, deadline = [], set(), time.monotonic() + 20
    while len(ends) < partitions:
        assert time.monotonic() < deadline
        m = c.poll(0.5)
        if m is None:
            continue
        if m.error():
            ends.add(m.partition())
        else:
            values.append(m.value().decode())
    c.close()
    return values


def committed(broker, group, topic, partition=0):
    c = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group, "enable.auto.commit": False})
    offset = c.committed([TopicPartition(topic, partition)], 20)[0].offset
    c.close()
    return offset


def test_a_commit_shows_all_and_an_abort_nothing(broker):
    make_topic(broker, "all", 3)
    p = producer(broker, "all")
    for round_ in range(6):
        p.begin_transaction()
        for partition in range(3):
            send(p, "all", ["%d-%d-%d" % (round_, partition, i) for i in range(4)], partition)
        p.commit_transaction(20) if round_ % 2 else p.abort_transaction(20)
    want = {"%d-%d-%d" % (r, q, i) for r in (1, 3, 5) for q in range(3) for i in range(4)}
    values = read(broker, "all", "read_committed", 3)
    assert len(values) == len(want) and set(values) == want
    assert len(read(broker, "all", "read_uncommitted", 3)) == 72


def test_an_open_transaction_keeps_what_follows_from_committed_readers(broker):
    make_topic(broker, "open")
    p, other = producer(broker, "open"), Producer({"bootstrap.servers": broker.bootstrap})
    p.begin_transaction()
    send(p, "open", ["held"])
    send(other, "open", ["behind"])
    assert read(broker, "open", "read_committed") == []
    assert read(broker, "open", "read_uncommitted") == ["held", "behind"]
    p.commit_transaction(20)
    assert read(broker, "open", "read_committed") == ["held", "behind"]


def test_offsets_go_with_the_transaction(broker):
    make_topic(broker, "in")
    make_topic(broker, "out")
    send(Producer({"bootstrap.servers": broker.bootstrap}), "in", range(10))
    c = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "ctp", "enable.auto.commit": False,
                  "auto.offset.reset": "earliest"})
    c.subscribe(["in"])
    assert len(c.consume(10, 20)) == 10
    p = producer(broker, "ctp")
    for commit, before, after in ((False, -1001, -1001), (True, -1001, 10)):
        p.begin_transaction()
        send(p, "out", ["x"])
        p.send_offsets_to_transaction([TopicPartition("in", 0, 10)], c.consumer_group_metadata(), 20)
        p.commit_transaction(20) if commit else p.abort_transaction(20)
        assert c.committed([TopicPartition("in", 0)], 20)[0].offset == after
    c.close()
    assert read(broker, "out", "read_committed") == ["x"]


def test_a_zombie_is_fenced_and_what_it_began_is_aborted(broker):
    make_topic(broker, "zombie")
    old = producer(broker, "zombie")
    old.begin_transaction()
    send(old, "zombie", ["old"])
    new = producer(broker, "zombie")
    with pytest.raises(KafkaException):
        old.commit_transaction(20)
    new.begin_transaction()
    send(new, "zombie", ["new"])
    new.commit_transaction(20)
    assert read(broker, "zombie", "read_committed") == ["new"]
    assert read(broker, "zombie", "read_uncommitted") == ["old", "new"]


def test_a_transaction_out_of_time_is_aborted(broker):
    make_topic(broker, "late")
    p = producer(broker, "late", transaction_timeout_ms=2000)
    p.begin_transaction()
    send(p, "late", ["late"])
    send(Producer({"bootstrap.servers": broker.bootstrap}), "late", ["other"])
    until("aborted", lambda: "out of time id=late" in broker.log(), 20)
    assert read(broker, "late", "read_committed") == ["other"]
    with pytest.raises(KafkaException):
        p.commit_transaction(20)


@pytest.mark.parametrize("durability", ["bounded", "strict"])
def test_a_crash_forgets_no_transaction(fresh_ottla, durability):
    broker = fresh_ottla({**FAST, "ottla.durability": durability})
    make_topic(broker, "t", 2)
    p = producer(broker, "crash")
    p.begin_transaction()
    send(p, "t", ["done"], 0)
    p.send_offsets_to_transaction([TopicPartition("t", 0, 5)], Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "g"}).consumer_group_metadata(), 20)
    p.commit_transaction(20)
    p.begin_transaction()
    send(p, "t", ["before"], 1)
    broker.kill()
    broker.start()
    send(p, "t", ["after"], 1)
    assert read(broker, "t", "read_committed", 2) == ["done"], "it is still open"
    p.commit_transaction(20)
    assert sorted(read(broker, "t", "read_committed", 2)) == ["after", "before", "done"]
    assert committed(broker, "g", "t") == 5

    abandoned = producer(broker, "abandoned")
    abandoned.begin_transaction()
    send(abandoned, "t", ["abandoned"], 0)
    broker.kill()
    broker.start()
    again = producer(broker, "abandoned")
    again.begin_transaction()
    send(again, "t", ["again"], 0)
    again.commit_transaction(20)
    assert sorted(read(broker, "t", "read_committed", 2)) == ["after", "again", "before", "done"]


def test_a_deleted_topic_does_not_keep_a_transaction_from_its_end(broker):
    make_topic(broker, "stays")
    make_topic(broker, "goes")
    p = producer(broker, "deleted")
    p.begin_transaction()
    send(p, "stays", ["a"])
    send(p, "goes", ["b"])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.delete_topics(["goes"]).values():
        future.result(20)
    p.commit_transaction(20)
    assert read(broker, "stays", "read_committed") == ["a"]


def uint(value, size):
    return value.to_bytes(size, "big")


def transactional_batch(producer_id, epoch, sequence):
    """One record without key, value 'x', in a transaction."""
    record = b"\x00\x00\x00\x01\x02x\x00"
    record = bytes([len(record) * 2]) + record
    body = uint(0x10, 2) + i32(0) + i64(1700000000000) * 2 + i64(producer_id) + i16(epoch) + i32(sequence) + i32(1) + record
    return i64(0) + i32(9 + len(body)) + i32(-1) + b"\x02" + uint(crc32c(body), 4) + body


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_a_batch_outside_a_transaction_is_refused(broker):
    """KIP-890: what was not added to a transaction would have no end."""
    producer(broker, "somebody")
    make_topic(broker, "hanging")
    with socket.create_connection(("127.0.0.1", broker.kafka_port), timeout=10) as s:
        batch = transactional_batch(424242, 0, 0)
        body = (string("nobody") + i16(-1) + i32(1000) + i32(1) + string("hanging") + i32(1) + i32(0) + i32(len(batch)) + batch)
        frame = i16(PRODUCE) + i16(7) + i32(1) + string("raw") + body
        s.sendall(i32(len(frame)) + frame)
        size = struct.unpack(">i", s.recv(4, socket.MSG_WAITALL))[0]
        r = Reader(s.recv(size, socket.MSG_WAITALL))
    r.take(4 + 4 + 2 + len("hanging") + 4 + 4)
    error = struct.unpack(">h", r.take(2))[0]
    assert error == INVALID_PRODUCER_ID_MAPPING, "there is no such id"
    assert read(broker, "hanging", "read_uncommitted") == []


def test_a_transaction_writes_into_a_topic_with_the_time_of_the_append(broker):
    """Its first batch is looked at twice, before and after the coordinator was asked: the first look must not rewrite it."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic("appended", 1, 1, config={"message.timestamp.type": "LogAppendTime"})])["appended"].result(20)
    p = producer(broker, "appended")
    p.begin_transaction()
    send(p, "appended", ["a", "b"])
    p.commit_transaction(20)
    assert read(broker, "appended", "read_committed") == ["a", "b"]


def test_a_producer_that_asks_for_a_higher_epoch_in_its_transaction_is_not_fenced(broker):
    """KIP-360: it is told CONCURRENT_TRANSACTIONS while its transaction is aborted, comes again, and goes on."""
    make_topic(broker, "bumped")
    producer(broker, "makes-the-coordinator-s-topic")
    with Connection(broker.kafka_port) as c:
        def init(producer_id, epoch):
            answer = c.ask(22, 4, cstring("bumped") + i32(60000) + i64(producer_id) + i16(epoch) + NO_TAGS, flexible=True)
            answer.i32()
            return answer.i16(), answer.i64(), answer.i16()

        error, producer_id, epoch = until("an id", lambda: (lambda a: a if a[0] == 0 else None)(init(-1, -1)))
        topics = array([string("bumped") + array([i32(0)])])
        answer = c.ask(24, 2, string("bumped") + i64(producer_id) + i16(epoch) + topics)
        answer.i32(), answer.i32(), answer.string(), answer.i32(), answer.i32()
        assert answer.i16() == 0
        assert init(producer_id, epoch)[0] == 51
        final = until("the abort", lambda: (lambda a: a if a[0] != 51 else None)(init(producer_id, epoch)))
        assert final == (0, producer_id, epoch + 1)
