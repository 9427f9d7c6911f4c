"""Client quotas in force: what the answers say, that the connection is not read meanwhile, and what librdkafka makes of it."""
import os
import struct
import time

import pytest
from confluent_kafka import Producer

from lib import wire as w
from lib.ottla import Ottla

PRODUCE, FETCH, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS, ALTER_QUOTAS = 0, 1, 3, 18, 19, 20, 37, 49
NONE, THROTTLED = 0, 89


@pytest.fixture(scope="module")
def broker():
    with Ottla({"connect.listeners": ""}) as o:
        yield o


def set_quota(broker, key, value, **entity):
    """entity: user=..., client_id=...; None is the default. value None removes it."""
    who = w.array([w.string(kind.replace("_", "-")) + w.string(name) for kind, name in entity.items()])
    op = w.string(key) + struct.pack(">d", value or 0) + w.i8(value is None)
    with w.Connection(broker.kafka_port, "admin") as c:
        r = c.ask(ALTER_QUOTAS, 0, w.array([who + w.array([op])]) + w.i8(0))
        r.i32()
        [(error, text, _)] = r.array(lambda: (r.i16(), r.string(), r.array(lambda: (r.string(), r.string()))))
        assert error == NONE, text


def produce(c, size, topic="nowhere"):
    """The throttle time of a Produce of `size` bytes that are no batch: they came all the same."""
    body = w.i16(-1) + w.i16(-1) + w.i32(1000) + w.array([w.string(topic) + w.array([w.i32(0) + w.blob(b"x" * size)])])
    r = c.ask(PRODUCE, 7, body)
    r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16(), r.i64(), r.i64(), r.i64()))))
    return r.i32()


def test_a_produce_above_the_rate_is_answered_at_once_and_the_connection_held(broker):
    set_quota(broker, "producer_byte_rate", 2000, client_id="held")
    with w.Connection(broker.kafka_port, "held") as c, w.Connection(broker.kafka_port, "free") as other:
        begin = time.monotonic()
        assert produce(c, 10000) == 0
        throttle_ms = produce(c, 12000)             # 22 kB: 2.2 kB/s over ten seconds
        assert 900 < throttle_ms < 1200
        assert time.monotonic() - begin < 0.5, "the answer itself does not wait"
        assert produce(other, 200000) == 0, "another client has no quota"
        c.ask(API_VERSIONS, 0, b"")
        assert time.monotonic() - begin >= throttle_ms / 1000 - 0.01, "the next request waited for the time that was told"


def test_the_most_specific_quota_decides(broker):
    set_quota(broker, "producer_byte_rate", 1, client_id=None)
    set_quota(broker, "producer_byte_rate", 1e9, user="ANONYMOUS")
    with w.Connection(broker.kafka_port, "any") as c:
        assert produce(c, 1000) == 0
    set_quota(broker, "producer_byte_rate", None, user="ANONYMOUS")
    with w.Connection(broker.kafka_port, "any") as c:
        assert produce(c, 1000) > 10000
    set_quota(broker, "producer_byte_rate", None, client_id=None)
    with w.Connection(broker.kafka_port, "any") as c:
        assert produce(c, 1000) == 0


def test_time_of_the_broker_has_a_quota_and_costs_one_second_at_most(broker):
    set_quota(broker, "request_percentage", 0.0001, client_id="busy")
    with w.Connection(broker.kafka_port, "busy") as c:
        times = []
        for _ in range(5000):
            r = c.ask(METADATA, 3, w.array(None))
            times.append(r.i32())
            if times[-1]:
                break
        assert 0 < times[-1] <= 1000


def fetch(c, offset, session=(0, 0), max_bytes=1 << 20):
    """(throttle time, session id, records) of a Fetch v7 of partition 0 of `read`."""
    topics = w.array([w.string("read") + w.array([w.i32(0) + w.i64(offset) + w.i64(-1) + w.i32(max_bytes)])])
    r = c.ask(FETCH, 7, w.i32(-1) + w.i32(100) + w.i32(1) + w.i32(max_bytes) + w.i8(0) + w.i32(session[0]) + w.i32(session[1]) +
              topics + w.array([]))
    throttle_ms, error, session_id = r.i32(), r.i16(), r.i32()
    assert error == NONE
    partitions = []
    aborted = lambda: (r.i64(), r.i64())                                        # noqa: E731
    r.array(lambda: (r.string(), r.array(lambda: partitions.append((r.i32(), r.i16(), r.i64(), r.i64(), r.i64(), r.array(aborted), r.blob())))))
    return throttle_ms, session_id, len(partitions[0][-1]) if partitions else None


def test_a_fetch_above_the_rate_gets_nothing_and_loses_nothing(broker):
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for _ in range(20):
        producer.produce("read", b"x" * 1000)
        producer.flush(10)
    set_quota(broker, "consumer_byte_rate", 1000, client_id="reader")
    with w.Connection(broker.kafka_port, "reader") as c:
        throttle_ms, session, size = fetch(c, 0)
        assert throttle_ms == 0 and session and 9000 < size <= 10000, "no answer is larger than ten seconds' worth"
        throttle_ms, told, size = fetch(c, 10, (session, 1), 3000)
        assert throttle_ms > 1000 and told == session and size is None
        set_quota(broker, "consumer_byte_rate", None, client_id="reader")
        throttle_ms, told, size = fetch(c, 10, (session, 2), 3000)
        assert throttle_ms == 0 and told == session and size > 1000, "the session goes on"


def test_what_a_member_of_a_share_group_gets_counts_too():
    """It keeps what it acquired, and is not read for as long as the answer says."""
    from test_share_groups import Member, Topic, enable
    with Ottla() as fresh:
        enable(fresh)
        topic = Topic(fresh, "shared")
        with Member(fresh, "sharers", topic).join() as m:
            producer = Producer({"bootstrap.servers": fresh.bootstrap})
            for _ in range(4):
                producer.produce("shared", os.urandom(5000), partition=0)
                assert producer.flush(10) == 0
            set_quota(fresh, "consumer_byte_rate", 1000, client_id="test")
            ask, throttles = m.connection.ask, []

            def watched(*arguments, **more):
                r = ask(*arguments, **more)
                throttles.append(r.i32())
                r.at -= 4
                return r
            m.connection.ask = watched
            assert m.take() == [(0, 0, 1)], "no answer is larger than ten seconds' worth"
            second = m.take()
            assert second == [(1, 1, 1)] and throttles[0] == 0 and throttles[1] > 0, (second, throttles)
            set_quota(fresh, "consumer_byte_rate", None, client_id="test")
            assert m.take() == [(2, 3, 1)], "the rest comes when nobody limits"


def create(c, name, partitions, version=7):
    topic = w.cstring(name) + w.i32(partitions) + w.i16(-1) + w.carray([]) + w.carray([]) + w.NO_TAGS
    if version < 5:
        r = c.ask(CREATE_TOPICS, version, w.array([w.string(name) + w.i32(partitions) + w.i16(-1) + w.array([]) + w.array([])]) + w.i32(1000) + w.i8(0))
        throttle_ms = r.i32()
        [(_, error, _)] = r.array(lambda: (r.string(), r.i16(), r.string()))
        return error, throttle_ms
    r = c.ask(CREATE_TOPICS, version, w.carray([topic]) + w.i32(1000) + w.i8(0) + w.NO_TAGS, flexible=True)
    throttle_ms = r.i32()
    assert r.uvarint() == 2 and r.cstring() == name
    r.take(16)
    return r.i16(), throttle_ms


def delete(c, name, version=4):
    assert version == 4
    r = c.ask(DELETE_TOPICS, version, w.carray([w.cstring(name)]) + w.i32(1000) + w.NO_TAGS, flexible=True)
    throttle_ms = r.i32()
    [(_, error, _)] = r.carray(lambda: (r.cstring(), r.i16(), r.tags()))
    return error, throttle_ms


def test_partitions_that_are_made_and_removed_have_a_quota(broker):
    set_quota(broker, "controller_mutation_rate", 1, client_id="maker")
    with w.Connection(broker.kafka_port, "maker") as c:
        assert create(c, "many", 12) == (NONE, 0), "the bucket holds eleven, one request may go below"
        error, throttle_ms = create(c, "more", 1)
        assert error == THROTTLED and 500 < throttle_ms <= 1000
    with w.Connection(broker.kafka_port, "maker") as c:
        error, throttle_ms = create(c, "old", 2, version=4)
        assert error == NONE and throttle_ms > 1000, "versions that do not know the error are served and wait"
    with w.Connection(broker.kafka_port, "maker") as c:
        error, throttle_ms = delete(c, "many")
        assert error == NONE and throttle_ms > 12000
    set_quota(broker, "controller_mutation_rate", None, client_id="maker")
    with w.Connection(broker.kafka_port, "maker") as c:
        assert create(c, "more", 20) == (NONE, 0)


def test_a_producer_of_librdkafka_is_slowed_to_the_rate_and_knows_it(broker):
    """confluent-kafka tells the throttle times that it was answered; the rate comes near the quota."""
    rate, seconds = 60000, 12
    set_quota(broker, "producer_byte_rate", rate, client_id="slow")
    throttles = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "client.id": "slow", "linger.ms": 0, "batch.size": 10000,
                         "throttle_cb": lambda event: throttles.append(event.throttle_time)})
    begin = time.monotonic()
    count = rate * seconds // 1000
    for _ in range(count):
        producer.produce("slowed", b"x" * 1000)
    assert producer.flush(60) == 0
    taken = time.monotonic() - begin
    assert throttles and max(throttles) > 0
    # Ten seconds' worth may go at once, what is above waits: at least the last seconds' bytes take their time.
    assert taken > 1.5
    assert count * 1000 / max(taken, 10) < rate * 1.3
