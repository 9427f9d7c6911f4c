"""Share groups (KIP-932) by hand: what members are told, who gets which record how often, and what a restart leaves."""
import base64
import os
import struct
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from lib import wire as w
from lib.ottla import Ottla
from lib.wait import until

LIST_OFFSETS, METADATA, FIND_COORDINATOR, LIST_GROUPS, DELETE_GROUPS, UPDATE_FEATURES = 2, 3, 10, 16, 42, 57
HEARTBEAT, DESCRIBE, FETCH, ACKNOWLEDGE, DESCRIBE_OFFSETS, ALTER_OFFSETS, DELETE_OFFSETS = 76, 77, 78, 79, 90, 91, 92
GAP, ACCEPT, RELEASE, REJECT = 0, 1, 2, 3
UNSUPPORTED_VERSION, INVALID_REQUEST, UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH = 35, 42, 25, 110
UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND = 3, 100, 68, 69
INVALID_RECORD_STATE, SESSION_NOT_FOUND, INVALID_SESSION_EPOCH, SESSION_LIMIT_REACHED = 121, 122, 123, 133


def enable(broker, level=1):
    with w.Connection(broker.kafka_port) as c:
        feature = w.cstring("share.version") + w.i16(level) + w.i8(1 if level else 3) + w.NO_TAGS
        r = c.ask(UPDATE_FEATURES, 2, w.i32(10000) + w.carray([feature]) + w.i8(0) + w.NO_TAGS, flexible=True)
        r.i32()
        assert r.i16() == 0, r.cstring()
        find(c)


def find(c):
    """A coordinator is asked for, so that __consumer_offsets is there."""
    def asked():
        r = c.ask(FIND_COORDINATOR, 4, w.i8(0) + w.carray([w.cstring("g")]) + w.NO_TAGS, flexible=True)
        r.i32()
        return r.carray(lambda: (r.cstring(), r.i32(), r.cstring(), r.i32(), r.i16(), r.cstring(), r.tags()))[0][4] == 0
    until(lambda: "a coordinator", asked, 20, 0.05)


@pytest.fixture(scope="module")
def broker():
    with Ottla({"group.share.record.lock.duration.ms": "60000"}) as running:
        enable(running)
        yield running


@pytest.fixture
def topic(broker, request):
    return Topic(broker, request.node.name[:60])


class Topic:
    def __init__(self, broker, name, partitions=1):
        self.broker, self.name = broker, name
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for future in admin.create_topics([NewTopic(name, partitions, 1)]).values():
            future.result(20)
        with w.Connection(broker.kafka_port) as c:
            r = c.ask(METADATA, 12, w.carray([b"\0" * 16 + w.cstring(name) + w.NO_TAGS]) + w.i8(0) + w.i8(0) + w.NO_TAGS, flexible=True)
        r.i32()
        r.carray(lambda: (r.i32(), r.cstring(), r.i32(), r.cstring(), r.tags()))
        r.cstring()
        r.i32()
        assert r.uvarint() == 2 and r.i16() == 0
        assert r.cstring() == name
        self.id = r.take(16)

    def produce(self, count, partition=0, **config):
        p = Producer({"bootstrap.servers": self.broker.bootstrap, "linger.ms": 50, **config})
        errors = []
        for i in range(count):
            p.produce(self.name, "v%d" % i, partition=partition, on_delivery=lambda e, _: errors.append(e))
        assert p.flush(20) == 0
        assert errors and not any(errors), errors


class Member:
    """One member on a connection of its own."""

    def __init__(self, broker, group, topic):
        self.group, self.topic = group, topic
        self.id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        self.connection = w.Connection(broker.kafka_port)
        self.member_epoch = self.session_epoch = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.socket.close()

    def beat(self, epoch=None, topics=None):
        """(error, epoch, assigned partitions of the topic or None)"""
        epoch = self.member_epoch if epoch is None else epoch
        names = [self.topic.name] if topics is None and epoch == 0 else topics
        body = w.cstring(self.group) + w.cstring(self.id) + w.i32(epoch) + w.cstring(None)
        body += w.carray(None if names is None else [w.cstring(n) for n in names]) + w.NO_TAGS
        r = self.connection.ask(HEARTBEAT, 1, body, flexible=True)
        r.i32()
        error, _, _, member_epoch, _ = r.i16(), r.cstring(), r.cstring(), r.i32(), r.i32()
        assigned = None
        if r.i8() >= 0:
            sets = r.carray(lambda: (r.take(16), r.carray(r.i32), r.tags()))
            r.tags()
            assigned = sorted(p for topic, partitions, _ in sets if topic == self.topic.id for p in partitions)
        r.tags()
        r.end()
        if error == 0 and epoch >= 0:
            self.member_epoch = member_epoch
        return error, member_epoch, assigned

    def assigned(self):
        """Joins; its partitions, once they are initialized."""
        error, _, assigned = self.beat(0)
        assert error == 0
        return assigned or until(lambda: "an assignment", lambda: self.beat()[2], 20, 0.02)

    def join(self):
        """Until it has its partitions; then looks once, so that its share partitions begin at the log's end."""
        self.assigned()
        self.fetch(max_wait=0)
        return self

    def fetch(self, acks=(), max_wait=5000, max_records=500, partitions=(0,), epoch=None, min_bytes=1):
        """acks: (partition, first, last, types). Returns {partition: (error, acknowledge error, acquired, values)}, or
        the error of the whole."""
        epoch = self.session_epoch if epoch is None else epoch
        asked = []
        for p in partitions if epoch == 0 else sorted({a[0] for a in acks}):
            batches = [w.i64(a[1]) + w.i64(a[2]) + w.carray([w.i8(t) for t in a[3]]) + w.NO_TAGS for a in acks if a[0] == p]
            asked.append(w.i32(p) + w.carray(batches) + w.NO_TAGS)
        topics = [self.topic.id + w.carray(asked) + w.NO_TAGS] if asked else []
        body = w.cstring(self.group) + w.cstring(self.id) + w.i32(epoch) + w.i32(max_wait) + w.i32(min_bytes) + w.i32(1 << 20)
        body += w.i32(max_records) + w.i32(500) + w.carray(topics) + w.carray([]) + w.NO_TAGS
        r = self.connection.ask(FETCH, 1, body, flexible=True)
        r.i32()
        error, _, _ = r.i16(), r.cstring(), r.i32()
        if error:
            return error
        self.session_epoch = epoch + 1
        out = {}
        for _ in range(r.uvarint() - 1):
            assert r.take(16) == self.topic.id
            for _ in range(r.uvarint() - 1):
                index, code, _, ack_code, _ = r.i32(), r.i16(), r.cstring(), r.i16(), r.cstring()
                r.i32(), r.i32(), r.tags()
                records = r.cblob() or b""
                acquired = r.carray(lambda: (r.i64(), r.i64(), r.i16(), r.tags())[:3])
                r.tags()
                out[index] = (code, ack_code, acquired, base_offsets(records))
            r.tags()
        r.carray(lambda: (r.i32(), r.cstring(), r.i32(), r.cstring(), r.tags()))
        r.tags()
        r.end()
        return out

    def take(self, **more):
        """The ranges that were acquired of partition 0; [] when there is nothing."""
        got = self.fetch(**more)
        assert isinstance(got, dict), "error %s" % got
        assert all(code == 0 for code, _, _, _ in got.values()), got
        return got[0][2] if 0 in got else []

    def acknowledge(self, acks, epoch=None):
        """The error of partition 0, or of the whole as a negative number."""
        epoch = self.session_epoch if epoch is None else epoch
        batches = [w.i64(first) + w.i64(last) + w.carray([w.i8(t) for t in types]) + w.NO_TAGS for first, last, types in acks]
        topics = [self.topic.id + w.carray([w.i32(0) + w.carray(batches) + w.NO_TAGS]) + w.NO_TAGS]
        body = w.cstring(self.group) + w.cstring(self.id) + w.i32(epoch) + w.carray(topics) + w.NO_TAGS
        r = self.connection.ask(ACKNOWLEDGE, 1, body, flexible=True)
        r.i32()
        error, _ = r.i16(), r.cstring()
        if error:
            return -error
        self.session_epoch = epoch + 1
        assert r.uvarint() == 2 and r.take(16) == self.topic.id
        assert r.uvarint() == 2 and r.i32() == 0
        return r.i16()

    def leave(self):
        assert self.beat(-1)[0] == 0


def base_offsets(records):
    """Of the batches in an answer."""
    at, offsets = 0, []
    while at + 12 <= len(records):
        base, length = struct.unpack(">qi", records[at:at + 12])
        offsets.append(base)
        at += 12 + length
    assert at == len(records), "batches are whole"
    return offsets


def ask(broker, key, version, body):
    with w.Connection(broker.kafka_port) as c:
        return c.ask(key, version, body, flexible=True)


def start_offsets(broker, group):
    """{topic: {partition: start offset}} of all that the group has initialized."""
    r = ask(broker, DESCRIBE_OFFSETS, 0, w.carray([w.cstring(group) + w.carray(None) + w.NO_TAGS]) + w.NO_TAGS)
    r.i32()
    assert r.uvarint() == 2 and r.cstring() == group

    def partition():
        out = r.i32(), r.i64(), r.i32(), r.i16(), r.cstring()
        r.tags()
        return out[:2]

    topics = r.carray(lambda: (r.cstring(), r.take(16), r.carray(partition), r.tags()))
    assert r.i16() == 0
    return {name: dict(partitions) for name, _, partitions, _ in topics}


def groups(broker):
    r = ask(broker, LIST_GROUPS, 5, w.carray([]) + w.carray([w.cstring("share")]) + w.NO_TAGS)
    r.i32()
    assert r.i16() == 0
    return {g[0]: g[1:4] for g in r.carray(lambda: (r.cstring(), r.cstring(), r.cstring(), r.cstring(), r.tags()))}


def delete_group(broker, group):
    r = ask(broker, DELETE_GROUPS, 2, w.carray([w.cstring(group)]) + w.NO_TAGS)
    r.i32()
    return r.carray(lambda: (r.cstring(), r.i16(), r.tags()))[0][1]


# -- the switch --

def test_off_unless_an_operator_says_so():
    with Ottla() as fresh:
        with w.Connection(fresh.kafka_port) as c:
            find(c)
        topic = Topic(fresh, "t")
        with Member(fresh, "g", topic) as m:
            assert m.beat(0)[0] == UNSUPPORTED_VERSION
            assert m.fetch() == UNSUPPORTED_VERSION
            enable(fresh)
            assert m.beat(0)[0] == 0
            enable(fresh, 0)
            assert m.beat()[0] == UNSUPPORTED_VERSION


# -- members --

def test_a_member_is_assigned_when_its_partitions_are_initialized(broker, topic):
    with Member(broker, "members", topic) as m:
        assert m.beat(0) == (0, 1, [])
        assert until(lambda: "initialized", lambda: [b for b in [m.beat()] if b[2] is not None], 20, 0.02) == [(0, 2, [0])]
        assert m.beat() == (0, 2, None)
        assert m.beat(1)[0] == 0, "the epoch before: the answer may have been lost"
        assert m.beat(5)[0] == FENCED_MEMBER_EPOCH
        assert groups(broker)["members"] == ("share", "Stable", "share")
        with Member(broker, "members", topic) as stranger:
            assert stranger.beat(3)[0] == UNKNOWN_MEMBER_ID
            assert stranger.beat(0, topics=[])[0] == INVALID_REQUEST
        m.leave()
        assert groups(broker)["members"] == ("share", "Empty", "share")
        assert m.beat()[0] == UNKNOWN_MEMBER_ID


# -- records --

def test_records_go_to_one_member_each_until_acknowledged(broker, topic):
    with Member(broker, "one", topic).join() as a, Member(broker, "one", topic).join() as b:
        topic.produce(10)
        acquired = a.take()
        assert acquired[0][0] == 0 and acquired[-1][1] == 9 and {c for _, _, c in acquired} == {1}
        assert b.take(max_wait=100) == []
        assert b.acknowledge([(0, 9, [ACCEPT])]) == INVALID_RECORD_STATE
        assert a.acknowledge([(0, 4, [ACCEPT]), (5, 6, [RELEASE, REJECT]), (7, 9, [GAP])]) == 0
        assert b.take() == [(5, 5, 2)]
        assert a.acknowledge([(5, 5, [ACCEPT])]) == INVALID_RECORD_STATE
        assert b.acknowledge([(5, 5, [ACCEPT])]) == 0
        topic.produce(1)
        assert a.take() == [(10, 10, 1)]
        assert start_offsets(broker, "one")[topic.name][0] >= 5


def test_acknowledgements_ride_along(broker, topic):
    with Member(broker, "along", topic).join() as m:
        topic.produce(4)
        assert m.take() == [(0, 3, 1)]
        got = m.fetch(acks=[(0, 0, 1, [ACCEPT]), (0, 2, 3, [RELEASE])])
        assert got[0][:3] == (0, 0, [(2, 3, 2)])
        got = m.fetch(acks=[(0, 2, 3, [ACCEPT])], max_wait=50)
        assert got[0][:3] == (0, 0, [])
        got = m.fetch(acks=[(0, 2, 3, [ACCEPT])], max_wait=50)
        assert got[0][1] == 0, "below the start: nothing to do"
        assert m.fetch(acks=[(0, 9, 9, [ACCEPT])], max_wait=50)[0][1] == INVALID_RECORD_STATE
        assert m.fetch(acks=[(0, 3, 2, [ACCEPT])], max_wait=50)[0][1] == INVALID_REQUEST
        assert m.fetch(acks=[(0, 3, 3, [9])], max_wait=50)[0][1] == INVALID_REQUEST


def test_deliveries_are_counted_up_to_the_limit(broker, topic):
    with Member(broker, "limit", topic).join() as m:
        topic.produce(1)
        for count in range(1, 6):
            assert m.take() == [(0, 0, count)]
            assert m.acknowledge([(0, 0, [RELEASE])]) == 0
        assert m.take(max_wait=100) == []


def test_max_records_takes_batches_whole(broker, topic):
    with Member(broker, "soft", topic).join() as m:
        topic.produce(10)
        topic.produce(10)
        got = m.fetch(max_records=5)
        code, _, acquired, batches = got[0]
        assert code == 0 and acquired == [(0, 9, 1)] and batches == [0], "what was not acquired is not sent"
        assert m.take(max_records=5) == [(10, 19, 1)]


def test_a_waiting_fetch_is_woken_by_records_and_by_released_ones(broker, topic):
    with Member(broker, "waits", topic).join() as a, Member(broker, "waits", topic).join() as b:
        topic.produce(2)
        assert a.take() == [(0, 1, 1)]
        body_sent = time.monotonic()
        b.connection.socket.settimeout(60)
        import threading
        result = []
        thread = threading.Thread(target=lambda: result.append(b.take(max_wait=30000)))
        thread.start()
        until(lambda: "the fetch is parked", lambda: thread.is_alive() and time.monotonic() - body_sent > 0.2, 5, 0.05)
        assert a.acknowledge([(0, 1, [RELEASE])]) == 0
        thread.join(20)
        assert result == [[(0, 1, 2)]]
        assert time.monotonic() - body_sent < 20
        thread = threading.Thread(target=lambda: result.append(a.take(max_wait=30000)))
        thread.start()
        topic.produce(1)
        thread.join(20)
        assert result[1] == [(2, 2, 1)]


def test_several_partitions(broker, request):
    topic = Topic(broker, "several", 3)
    with Member(broker, "several", topic) as m:
        assert m.assigned() == [0, 1, 2]
        assert set(m.fetch(partitions=(0, 1, 2), max_wait=0)) == {0, 1, 2}, "the first answer names all"
        for p in range(3):
            topic.produce(p + 1, partition=p)
        got = {}
        while sum(len(v) for v in got.values()) < 3:
            for p, (code, _, acquired, _) in m.fetch().items():
                assert code == 0
                got[p] = acquired
        assert got == {0: [(0, 0, 1)], 1: [(0, 1, 1)], 2: [(0, 2, 1)]}


# -- locks, connections --

def test_a_lock_ends():
    with Ottla({"group.share.record.lock.duration.ms": "1000"}) as quick:
        enable(quick)
        topic = Topic(quick, "t")
        with Member(quick, "g", topic).join() as a, Member(quick, "g", topic).join() as b:
            topic.produce(3)
            assert a.take() == [(0, 2, 1)]
            assert b.take(max_wait=20000) == [(0, 2, 2)], "woken by the end of the lock"
            assert a.acknowledge([(0, 2, [ACCEPT])]) == INVALID_RECORD_STATE


def test_a_lost_connection_gives_back_and_the_delivery_does_not_count(broker, topic):
    with Member(broker, "lost", topic).join() as a, Member(broker, "lost", topic).join() as b:
        topic.produce(3)
        assert a.take() == [(0, 2, 1)]
        a.connection.socket.close()
        assert b.take(max_wait=20000) == [(0, 2, 1)]


def test_a_closed_session_gives_back(broker, topic):
    with Member(broker, "closed", topic).join() as a, Member(broker, "closed", topic).join() as b:
        topic.produce(3)
        assert a.take() == [(0, 2, 1)]
        assert a.acknowledge([(0, 0, [ACCEPT])], epoch=-1) == 0
        assert b.take() == [(1, 2, 1)]
        assert a.fetch(epoch=5) == SESSION_NOT_FOUND


# -- sessions --

def test_sessions_have_epochs(broker, topic):
    with Member(broker, "sessions", topic) as m:
        m.assigned()
        assert m.fetch(epoch=3) == SESSION_NOT_FOUND
        assert m.acknowledge([(0, 0, [ACCEPT])], epoch=0) == -INVALID_SESSION_EPOCH
        assert m.fetch(epoch=-1) == SESSION_NOT_FOUND
        assert isinstance(m.fetch(epoch=0, max_wait=0), dict)
        assert m.fetch(epoch=2) == INVALID_SESSION_EPOCH
        assert m.acknowledge([(0, 0, [ACCEPT])], epoch=7) == -INVALID_SESSION_EPOCH
        assert m.fetch(epoch=1, max_wait=0) == {}
        assert m.fetch(epoch=0, acks=[(0, 0, 0, [ACCEPT])]) == INVALID_REQUEST


def test_sessions_are_limited():
    with Ottla({"group.share.max.share.sessions": "1"}) as small:
        enable(small)
        topic = Topic(small, "t")
        with Member(small, "g", topic).join(), Member(small, "g", topic) as b:
            b.beat(0)
            began = time.monotonic()
            assert b.fetch(epoch=0, max_wait=300) == SESSION_LIMIT_REACHED
            assert time.monotonic() - began >= 0.3, "the client is kept waiting, or it would ask again at once"


# -- state --

def test_state_outlives_a_kill():
    with Ottla() as broker:
        enable(broker)
        topic = Topic(broker, "t")
        with Member(broker, "g", topic).join() as m:
            topic.produce(10)
            assert m.take() == [(0, 9, 1)]
            assert m.acknowledge([(0, 3, [ACCEPT]), (4, 5, [RELEASE]), (8, 8, [ACCEPT])]) == 0
        broker.kill()
        broker.start()
        with w.Connection(broker.kafka_port) as c:
            find(c)
        with Member(broker, "g", topic) as m:
            assert until(lambda: "groups are read", lambda: groups(broker).get("g"), 20, 0.05)[1] == "Stable"
            m.assigned()
            got = m.fetch()[0][2]
            assert got == [(4, 5, 2), (6, 7, 1), (9, 9, 1)], "released once; never stored; accepted ones are not there"
            assert m.acknowledge([(4, 7, [ACCEPT]), (9, 9, [ACCEPT])]) == 0
        broker.stop()
        broker.start()
        with Member(broker, "g", topic) as m:
            until(lambda: "groups are read", lambda: m.beat(0)[0] == 0, 20, 0.05)
            assert m.fetch(max_wait=200)[0][2] == [], "all are final"
            topic.produce(1)
            assert m.take() == [(10, 10, 1)]


def test_offsets_are_described_altered_and_deleted(broker, topic):
    def alter(partition, offset, name=None):
        part = w.i32(partition) + w.i64(offset) + w.NO_TAGS
        body = w.cstring("admin") + w.carray([w.cstring(name or topic.name) + w.carray([part]) + w.NO_TAGS]) + w.NO_TAGS
        r = ask(broker, ALTER_OFFSETS, 0, body)
        r.i32()
        error, _ = r.i16(), r.cstring()
        if error:
            return -error
        return r.carray(lambda: (r.cstring(), r.take(16), r.carray(lambda: (r.i32(), r.i16(), r.cstring(), r.tags())), r.tags()))[0][2][0][1]

    def delete(name):
        r = ask(broker, DELETE_OFFSETS, 0, w.cstring("admin") + w.carray([w.cstring(name) + w.NO_TAGS]) + w.NO_TAGS)
        r.i32()
        error, _ = r.i16(), r.cstring()
        return -error if error else r.carray(lambda: (r.cstring(), r.take(16), r.i16(), r.cstring(), r.tags()))[0][2]

    assert alter(0, 0) == -GROUP_ID_NOT_FOUND
    with Member(broker, "admin", topic).join() as m:
        topic.produce(5)
        assert start_offsets(broker, "admin") == {topic.name: {0: -1}}
        assert m.take() == [(0, 4, 1)]
        assert m.acknowledge([(0, 4, [ACCEPT])]) == 0
        assert alter(0, 0) == -NON_EMPTY_GROUP
        assert delete(topic.name) == -NON_EMPTY_GROUP
        assert delete_group(broker, "admin") == NON_EMPTY_GROUP
        m.leave()
    assert alter(7, 0) == UNKNOWN_TOPIC_OR_PARTITION
    assert alter(0, 0, "nowhere") == UNKNOWN_TOPIC_OR_PARTITION
    assert alter(0, 2) == 0
    assert start_offsets(broker, "admin") == {topic.name: {0: 2}}
    with Member(broker, "admin", topic) as m:
        m.assigned()
        assert m.take() == [(2, 4, 1)]
        m.leave()
    assert delete("nowhere") == UNKNOWN_TOPIC_OR_PARTITION
    assert delete(topic.name) == 0
    assert start_offsets(broker, "admin") == {}
    assert delete(topic.name) == UNKNOWN_TOPIC_OR_PARTITION
    assert delete_group(broker, "admin") == 0
    assert "admin" not in groups(broker)
    assert delete_group(broker, "admin") == GROUP_ID_NOT_FOUND


def test_a_deleted_topic_takes_its_state_along(broker, topic):
    with Member(broker, "gone", topic).join() as m:
        topic.produce(2)
        assert m.take() == [(0, 1, 1)]
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for future in admin.delete_topics([topic.name]).values():
            future.result(20)
        assert start_offsets(broker, "gone") == {}
        assert m.fetch(max_wait=0)[0][0] == UNKNOWN_TOPIC_ID
        assert m.beat()[2] == []


# -- options of the group --

INCREMENTAL_ALTER_CONFIGS, GROUP = 44, 32


def set_group(broker, group, **options):
    rows = [w.cstring(name.replace("_", ".")) + w.i8(0) + w.cstring(value) + w.NO_TAGS for name, value in options.items()]
    body = w.carray([w.i8(GROUP) + w.cstring(group) + w.carray(rows) + w.NO_TAGS]) + w.i8(0) + w.NO_TAGS
    r = ask(broker, INCREMENTAL_ALTER_CONFIGS, 1, body)
    r.i32()
    assert r.carray(lambda: (r.i16(), r.cstring(), r.i8(), r.cstring(), r.tags()))[0][0] == 0


class Transaction:
    """An open transaction with records in partition 0."""

    def __init__(self, topic, count):
        self.producer = Producer({"bootstrap.servers": topic.broker.bootstrap, "transactional.id": "t-" + topic.name, "linger.ms": 50})
        self.producer.init_transactions(20)
        self.producer.begin_transaction()
        for i in range(count):
            self.producer.produce(topic.name, "t%d" % i, partition=0)
        assert self.producer.flush(20) == 0

    def commit(self):
        self.producer.commit_transaction(20)

    def abort(self):
        self.producer.abort_transaction(20)


def test_read_committed_waits_for_the_end_of_a_transaction(broker, topic):
    set_group(broker, "committed", share_isolation_level="read_committed")
    with Member(broker, "committed", topic).join() as m, Member(broker, "uncommitted", topic).join() as other:
        transaction = Transaction(topic, 3)
        topic.produce(2)
        assert other.take() == [(0, 4, 1)], "the default reads what is there"
        assert m.take(max_wait=300) == []
        transaction.commit()
        assert m.take() == [(0, 5, 1)], "the marker, 5, is a gap that members acknowledge, as in Kafka"
        assert m.acknowledge([(0, 4, [ACCEPT]), (5, 5, [GAP])]) == 0
        topic.produce(1)
        assert m.take() == [(6, 6, 1)]


def test_read_committed_leaves_out_what_was_aborted(broker, topic):
    set_group(broker, "not-aborted", share_isolation_level="read_committed")
    with Member(broker, "not-aborted", topic).join() as m:
        topic.produce(1)
        transaction = Transaction(topic, 3)
        topic.produce(1)
        assert m.take() == [(0, 0, 1)], "up to the first open transaction"
        transaction.abort()
        assert m.take(acks=[(0, 0, 0, [ACCEPT])]) == [(4, 5, 1)]
        assert m.acknowledge([(4, 4, [ACCEPT]), (5, 5, [GAP])]) == 0

    def passed():
        return start_offsets(broker, "not-aborted")[topic.name][0] >= 4
    until("the aborted records are passed over for ever", passed, 20)


def test_a_group_begins_by_duration(broker, topic):
    now = int(time.time() * 1000)
    old = Producer({"bootstrap.servers": broker.bootstrap})
    for age_s in (7200, 5400, 1800, 60):
        old.produce(topic.name, "x", partition=0, timestamp=now - age_s * 1000)
        assert old.flush(20) == 0
    for group, duration, first in (("hour", "PT1H", 2), ("days", "P2D", 0), ("minutes", "PT10M", 3)):
        set_group(broker, group, share_auto_offset_reset="by_duration:" + duration)
        with Member(broker, group, topic) as m:
            m.assigned()
            assert m.take() == [(first, 3, 1)], group


# -- the coordinator's log --

def log_end(broker, timestamp=-1):
    """The next offset of __share_group_state-0; timestamp -2: the first one."""
    asked = w.i32(0) + w.i32(-1) + w.i64(timestamp) + w.NO_TAGS
    r = ask(broker, LIST_OFFSETS, 6, w.i32(-1) + w.i8(0) + w.carray([w.cstring("__share_group_state") + w.carray([asked]) + w.NO_TAGS]) + w.NO_TAGS)
    r.i32()
    [(_, [(_, error, _, offset, _, _)], _)] = r.carray(
        lambda: (r.cstring(), r.carray(lambda: (r.i32(), r.i16(), r.i64(), r.i64(), r.i32(), r.tags())), r.tags()))
    assert error == 0
    return offset


def log_start(broker):
    return log_end(broker, -2)


def test_old_state_is_deleted_and_what_is_left_suffices():
    options = {"share.coordinator.state.topic.prune.interval.ms": "50", "share.coordinator.snapshot.update.records.per.snapshot": "3",
               "share.coordinator.state.topic.num.partitions": "1", "log.flush.interval.ms": "50"}
    with Ottla(options) as broker:
        enable(broker)
        topic, quiet = Topic(broker, "t"), Topic(broker, "quiet")
        with Member(broker, "g", topic).join() as m:
            topic.produce(40)
            assert m.take() == [(0, 39, 1)]
            for offset in range(10):
                assert m.acknowledge([(offset, offset, [ACCEPT])]) == 0
            begin = until("updates before the newest snapshot go", lambda: log_start(broker), 20)
            with Member(broker, "q", quiet).join() as other:
                quiet.produce(2)
                assert other.take() == [(0, 1, 1)]
                assert other.acknowledge([(0, 0, [ACCEPT])]) == 0
                other.leave()
            needed = log_end(broker)
            for offset in range(10, 20):
                assert m.acknowledge([(offset, offset, [ACCEPT])]) == 0
            assert begin <= log_start(broker) < needed, "the other group's state stands there"
            assert delete_group(broker, "q") == 0
            for offset in (20, 21, 22, 23, 25):
                assert m.acknowledge([(offset, offset, [ACCEPT])]) == 0
            until("a deleted group holds nothing back", lambda: log_start(broker) >= needed, 20)
            m.leave()
        broker.kill()
        broker.start()
        with Member(broker, "g", topic) as m:
            until("groups are read", lambda: m.beat(0)[0] == 0, 20, 0.05)
            m.assigned()
            taken = [(first, last) for first, last, _ in m.fetch()[0][2]]
            assert [o for first, last in taken for o in range(first, last + 1)] == [24] + list(range(26, 40))
            until("the head that was not noted yet goes again", lambda: log_start(broker) >= needed, 20)
        assert "q" not in groups(broker)


def test_the_coordinator_of_share_partitions_is_told_to_those_who_ask_with_a_key():
    good = "g:AAAAAAAAAAAAAAAAAAAAAQ:0"
    with Ottla() as broker, w.Connection(broker.kafka_port) as c:
        def find_share(*keys, version=6):
            r = c.ask(FIND_COORDINATOR, version, w.i8(2) + w.carray([w.cstring(k) for k in keys]) + w.NO_TAGS, flexible=True)
            r.i32()
            return [row[4] for row in r.carray(lambda: (r.cstring(), r.i32(), r.cstring(), r.i32(), r.i16(), r.cstring(), r.tags()))]
        assert find_share("bad", ":AAAAAAAAAAAAAAAAAAAAAQ:0", "g:AAAAAAAAAAAAAAAAAAAAAQ:x", "g:zz:0", "g:h:AAAAAAAAAAAAAAAAAAAAAQ:0", "") == [INVALID_REQUEST] * 6
        assert "__share_group_state" not in AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=20).topics
        assert find_share(good, version=5) == [INVALID_REQUEST]
        until("the coordinator", lambda: find_share(good, "bad", "g:AAAAAAAAAAAAAAAAAAAAAQ==:-1", "g:AAAAAAAAAAAAAAAAAAAAAQ:7:") == [0, INVALID_REQUEST, 0, 0], 20)
