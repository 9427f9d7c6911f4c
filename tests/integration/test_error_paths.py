"""Every way in which a client can be wrong is answered with Kafka's code: groups, offsets, fetches and their sessions, offsets by
time, transactions. Then clients that die in each state.

KAFKA_PORT=port asks a broker that runs already instead, a real Kafka for one: all codes here were told by Kafka 4.1."""
import os
import struct
import types
import uuid

import pytest

from lib import wire as w
from lib.ottla import Ottla
from lib.wait import until

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC = 0, 1, 2, 3, 8, 10, 11, 12, 13, 14
CREATE_TOPICS, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT, ALTER_QUOTAS = 19, 22, 24, 25, 26, 28, 49
(NONE, OUT_OF_RANGE, UNKNOWN_TOPIC, INVALID_GROUP_ID, ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, UNKNOWN_MEMBER, INVALID_SESSION_TIMEOUT,
 REBALANCING) = 0, 1, 3, 24, 22, 23, 25, 26, 27
BAD_VERSION, INVALID_REQUEST, INVALID_EPOCH, INVALID_TXN_STATE, INVALID_MAPPING, INVALID_TIMEOUT, NOT_ATTEMPTED = 35, 42, 47, 48, 49, 50, 55
GROUP_NOT_FOUND, NO_SESSION, BAD_SESSION_EPOCH, FENCED_EPOCH, UNKNOWN_EPOCH, MEMBER_ID_REQUIRED, FENCED_INSTANCE, FENCED = 69, 70, 71, 74, 75, 79, 82, 90
RUN = uuid.uuid4().hex[:8]        # a broker that runs already has the names of earlier runs


@pytest.fixture(scope="module")
def broker():
    if os.environ.get("KAFKA_PORT"):
        running = types.SimpleNamespace(kafka_port=int(os.environ["KAFKA_PORT"]))
        prepare(running)
        yield running
        return
    with Ottla({"connect.listeners": ""}) as o:
        prepare(o)
        yield o


def prepare(broker):
    with w.Connection(broker.kafka_port) as c:
        r = c.ask(CREATE_TOPICS, 2, w.array([w.string("t" + RUN) + w.i32(2) + w.i16(1) + w.array([]) + w.array([])]) + w.i32(10000) + w.i8(0))
        r.i32()
        assert r.array(lambda: (r.string(), r.i16(), r.string()))[0][1] == NONE
        for kind in (0, 1):
            def found():
                answer = c.ask(FIND_COORDINATOR, 1, w.string("x" + RUN) + w.i8(kind))
                answer.i32()
                return answer.i16() == NONE
            until("a coordinator", found, 30)
        until("its log is loaded", lambda: init(c, "warm" + RUN)[0] == NONE, 30)


@pytest.fixture
def client(broker):
    with w.Connection(broker.kafka_port) as c:
        yield c


# -- groups --

SUBSCRIPTION = w.i16(0) + w.array([w.string("t")]) + w.blob(None)


def join(c, group, member="", session_ms=10000, kind="consumer", protocols=("range",), instance=None, version=5, wait=True):
    body = w.string(group) + w.i32(session_ms) + w.i32(60000) + w.string(member) + (w.string(instance) if version >= 5 else b"") + w.string(kind)
    c.send(JOIN, version, body + w.array([w.string(p) + w.blob(SUBSCRIPTION) for p in protocols]))
    return joined(c) if wait else None


def joined(c):
    r = c.answer()
    r.i32()
    return {"error": r.i16(), "generation": r.i32(), "protocol": r.string(), "leader": r.string(), "member": r.string()}


def sync(c, group, generation, member, assignments=(), instance=None, wait=True):
    c.send(SYNC, 3, w.string(group) + w.i32(generation) + w.string(member) + w.string(instance) +
           w.array([w.string(m) + w.blob(a) for m, a in assignments]))
    if not wait:
        return None
    r = c.answer()
    r.i32()
    return r.i16()


def heartbeat(c, group, generation, member, instance=None):
    r = c.ask(HEARTBEAT, 3, w.string(group) + w.i32(generation) + w.string(member) + w.string(instance))
    r.i32()
    return r.i16()


def one_member(c, group, **more):
    j = join(c, group, **more)
    if j["error"] == MEMBER_ID_REQUIRED:
        j = join(c, group, j["member"], **more)
    assert j["error"] == NONE and sync(c, group, j["generation"], j["member"], [(j["member"], b"a")], more.get("instance")) == NONE
    return j


@pytest.mark.parametrize("wrong, error", [
    (dict(session_ms=1), INVALID_SESSION_TIMEOUT), (dict(session_ms=10000000), INVALID_SESSION_TIMEOUT),
    (dict(kind=""), INCONSISTENT_PROTOCOL), (dict(protocols=()), INCONSISTENT_PROTOCOL), (dict(member="nobody"), UNKNOWN_MEMBER),
    (dict(group=""), INVALID_GROUP_ID),
])
def test_a_join_that_is_wrong(client, wrong, error):
    wrong = dict(wrong)
    assert join(client, wrong.pop("group", "join" + RUN), **wrong)["error"] == error


def test_members_that_are_not_what_they_say(broker, client):
    group = "said" + RUN
    j = one_member(client, group)
    g, m = j["generation"], j["member"]
    assert heartbeat(client, group, g, m) == NONE
    assert heartbeat(client, group, g + 1, m) == ILLEGAL_GENERATION and heartbeat(client, group, g - 1, m) == ILLEGAL_GENERATION
    assert heartbeat(client, group, g, "nobody") == UNKNOWN_MEMBER and heartbeat(client, "none" + RUN, g, m) == UNKNOWN_MEMBER
    assert heartbeat(client, "", g, m) == INVALID_GROUP_ID
    assert sync(client, group, g + 1, m) == ILLEGAL_GENERATION and sync(client, group, g, "nobody") == UNKNOWN_MEMBER
    assert sync(client, "none" + RUN, g, m) == UNKNOWN_MEMBER and sync(client, "", g, m) == INVALID_GROUP_ID
    with w.Connection(broker.kafka_port) as other:
        assert join(other, group, protocols=("other",))["error"] == INCONSISTENT_PROTOCOL, "no assignor in common"
        assert join(other, group, kind="connect")["error"] == INCONSISTENT_PROTOCOL
    assert heartbeat(client, group, g, m) == NONE, "nothing of that moved the group"


def test_a_static_member_that_was_replaced_is_fenced(client):
    group = "static" + RUN
    old = one_member(client, group, instance="i")
    new = join(client, group, instance="i")
    assert new["error"] == NONE and new["member"] != old["member"]
    assert heartbeat(client, group, new["generation"], old["member"], "i") == FENCED_INSTANCE
    assert sync(client, group, new["generation"], old["member"], instance="i") == FENCED_INSTANCE
    assert join(client, group, old["member"], instance="i")["error"] == FENCED_INSTANCE
    assert heartbeat(client, group, new["generation"], new["member"], "nobody") == UNKNOWN_MEMBER


def commit(c, group, generation, member, topic="t", text="", version=7):
    body = w.string(group) + w.i32(generation) + w.string(member) + w.string(None)
    r = c.ask(OFFSET_COMMIT, version, body + w.array([w.string(topic + RUN) + w.array([w.i32(0) + w.i64(5) + w.i32(-1) + w.string(text)])]))
    r.i32()
    [(_, [(_, error)])] = r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16()))))
    return error


def test_commits_of_strangers(client):
    group = "commit" + RUN
    assert commit(client, "none" + RUN, 3, "m") == ILLEGAL_GENERATION, "versions below 9 know no other code for a missing group"
    j = one_member(client, group)
    assert commit(client, group, j["generation"] + 1, j["member"]) == ILLEGAL_GENERATION
    assert commit(client, group, j["generation"], "nobody") == UNKNOWN_MEMBER
    assert commit(client, group, -1, "") == UNKNOWN_MEMBER, "a group with members takes no simple commits"
    assert commit(client, group, j["generation"], j["member"], topic="absent") == UNKNOWN_TOPIC
    assert commit(client, group, j["generation"], j["member"], text="x" * 4097) == 12, "OFFSET_METADATA_TOO_LARGE"
    assert commit(client, group, j["generation"], j["member"], text="x" * 4096) == NONE


# -- fetch --

def fetch(c, partition=0, offset=0, epoch=-1, session=(0, -1), topic="t", topics=True, wait_ms=0, wait=True):
    rows = w.array([w.string(topic + RUN) + w.array([w.i32(partition) + w.i32(epoch) + w.i64(offset) + w.i64(-1) + w.i32(1 << 20)])] if topics else [])
    c.send(FETCH, 11, w.i32(-1) + w.i32(wait_ms) + w.i32(1) + w.i32(1 << 20) + w.i8(0) + w.i32(session[0]) + w.i32(session[1]) + rows +
           w.array([]) + w.string(""))
    if not wait:
        return None
    r = c.answer()
    r.i32()
    top, session_id = r.i16(), r.i32()
    told = r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16(), r.i64(), r.i64(), r.i64(), r.array(lambda: (r.i64(), r.i64())), r.i32(), r.blob()))))
    return top, session_id, [row[1:5] for _, rows_told in told for row in rows_told]


def test_fetches_of_what_is_not_there(client):
    assert fetch(client)[2] == [(NONE, 0, 0, 0)]
    assert fetch(client, offset=1)[2] == [(OUT_OF_RANGE, -1, -1, -1)] and fetch(client, offset=-5)[2] == [(OUT_OF_RANGE, -1, -1, -1)]
    assert fetch(client, partition=9)[2][0][0] == UNKNOWN_TOPIC and fetch(client, topic="absent")[2][0][0] == UNKNOWN_TOPIC
    assert fetch(client, epoch=7)[2][0][0] == UNKNOWN_EPOCH


def test_sessions_that_are_not_there(client):
    assert fetch(client, session=(123456, 5))[:1] == (NO_SESSION,)
    top, session, _ = fetch(client, session=(0, 0))
    assert top == NONE and session > 0
    assert fetch(client, session=(session, 7))[0] == BAD_SESSION_EPOCH
    assert fetch(client, session=(0, 7))[0] == NO_SESSION
    assert fetch(client, session=(session, 1), topics=False)[:2] == (NONE, session), "that did not end it"


def list_offsets(c, timestamp, partition=0, epoch=-1, twice=False, version=5):
    row = w.i32(partition) + w.i32(epoch) + w.i64(timestamp)
    r = c.ask(LIST_OFFSETS, version, w.i32(-1) + w.i8(0) + w.array([w.string("t" + RUN) + w.array([row] * (2 if twice else 1))]))
    r.i32()
    return [row[1:4] for _, rows in r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16(), r.i64(), r.i64(), r.i32())))) for row in rows]


def test_offsets_by_time_that_cannot_be_told(client):
    assert list_offsets(client, -2) == [(NONE, -1, 0)]
    assert list_offsets(client, 5) == [(NONE, -1, -1)], "no record is so new"
    assert list_offsets(client, -2, partition=9)[0][0] == UNKNOWN_TOPIC
    assert list_offsets(client, -2, epoch=7)[0][0] == UNKNOWN_EPOCH
    assert list_offsets(client, -3)[0][0] == BAD_VERSION, "the newest timestamp is known from version 7 on"
    assert {row[0] for row in list_offsets(client, -2, twice=True)} == {INVALID_REQUEST}


# -- transactions --

def init(c, transactional_id, timeout_ms=60000):
    r = c.ask(INIT_PRODUCER_ID, 1, w.string(transactional_id) + w.i32(timeout_ms))
    r.i32()
    return r.i16(), r.i64(), r.i16()


def add_partitions(c, transactional_id, producer, epoch, topics, version=2):
    r = c.ask(ADD_PARTITIONS, version, w.string(transactional_id) + w.i64(producer) + w.i16(epoch) +
              w.array([w.string(t + RUN) + w.array([w.i32(0)]) for t in topics]))
    r.i32()
    return {t[:-len(RUN)]: rows[0][1] for t, rows in r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16()))))}


def end_txn(c, transactional_id, producer, epoch, commit_it=True, version=2):
    r = c.ask(END_TXN, version, w.string(transactional_id) + w.i64(producer) + w.i16(epoch) + w.i8(commit_it))
    r.i32()
    return r.i16()


def add_offsets(c, transactional_id, producer, epoch, group, version=2):
    r = c.ask(ADD_OFFSETS, version, w.string(transactional_id) + w.i64(producer) + w.i16(epoch) + w.string(group))
    r.i32()
    return r.i16()


def test_transactional_ids_that_cannot_begin(client):
    assert init(client, "long" + RUN, 900001)[0] == INVALID_TIMEOUT and init(client, "none" + RUN, 0)[0] == INVALID_TIMEOUT
    assert init(client, "")[0] == INVALID_REQUEST


def test_producers_that_a_transaction_does_not_know(client):
    name = "who" + RUN
    error, producer, epoch = init(client, name)
    assert error == NONE
    assert add_partitions(client, "absent" + RUN, producer, epoch, ["t"]) == {"t": INVALID_MAPPING}
    assert add_partitions(client, name, producer + 1, epoch, ["t"]) == {"t": INVALID_MAPPING}
    assert add_partitions(client, name, producer, epoch + 1, ["t"]) == {"t": FENCED}
    assert add_partitions(client, name, producer, epoch, ["t", "absent"]) == {"t": NOT_ATTEMPTED, "absent": UNKNOWN_TOPIC}
    assert end_txn(client, name, producer, epoch) == INVALID_TXN_STATE, "it has not begun"
    assert end_txn(client, name, producer + 1, epoch) == INVALID_MAPPING and end_txn(client, "absent" + RUN, producer, epoch) == INVALID_MAPPING
    assert add_partitions(client, name, producer, epoch, ["t"]) == {"t": NONE}
    assert end_txn(client, name, producer, epoch + 1) == FENCED and end_txn(client, name, producer, epoch + 1, version=1) == INVALID_EPOCH
    assert add_offsets(client, name, producer, epoch + 1, "g") == FENCED
    assert end_txn(client, name, producer, epoch) == NONE
    until("the same end again is fine", lambda: end_txn(client, name, producer, epoch) == NONE)
    assert end_txn(client, name, producer, epoch, False) == INVALID_TXN_STATE, "the opposite is not"


def test_an_old_producer_is_fenced_by_the_next_one(client):
    name = "old" + RUN
    error, producer, epoch = init(client, name)
    assert add_partitions(client, name, producer, epoch, ["t"]) == {"t": NONE}
    fresh = until("the first one's transaction is aborted", lambda: (lambda x: x if x[0] == NONE else None)(init(client, name)))
    assert fresh[2] > epoch
    assert add_partitions(client, name, producer, epoch, ["t"]) == {"t": FENCED} and end_txn(client, name, producer, epoch) == FENCED


# -- clients that die --

def test_clients_that_die_in_each_state_leave_nothing(fresh_ottla):
    if os.environ.get("KAFKA_PORT"):
        pytest.skip("counts connections of a broker of its own")
    o = fresh_ottla({"connect.listeners": "", "max.connections": "3"})
    prepare(o)
    with w.Connection(o.kafka_port, "watch") as watch:
        who = w.array([w.string("client-id") + w.string("held")])
        watch.ask(ALTER_QUOTAS, 0, w.array([who + w.array([w.string("producer_byte_rate") + struct.pack(">d", 1) + w.i8(0)])]) + w.i8(0))

        def between_bytes_of_a_length(c):
            c.socket.sendall(b"\0\0")

        def within_a_frame(c):
            c.socket.sendall(w.i32(100000) + b"\0\0\0\0\0\0\0\0")

        def fetch_that_waits(c):
            fetch(c, wait_ms=600000, wait=False)

        def join_that_waits(c, then=lambda *_: None):
            group = uuid.uuid4().hex        # the dead one stays a member of its group until its session ends
            with w.Connection(o.kafka_port) as leader:
                j = one_member(leader, group)
                m = join(c, group)["member"]
                join(c, group, m, wait=False)
                until("the rebalance has begun", lambda: heartbeat(leader, group, j["generation"], j["member"]) == REBALANCING)
                then(leader, group, j["member"], m)

        def sync_that_waits(c):
            def go_on(leader, group, leading, following):
                assert join(leader, group, leading)["leader"] == leading
                sync(c, group, joined(c)["generation"], following, wait=False)
            join_that_waits(c, go_on)

        def answers_that_nobody_reads(c):
            c.socket.sendall((w.i32(12) + struct.pack(">hhih", 18, 0, 7, 2) + b"me") * 2000)

        def held_by_a_quota(c):
            c.client = "held"
            c.ask(PRODUCE, 7, w.i16(-1) + w.i16(-1) + w.i32(1000) + w.array([w.string("absent") + w.array([w.i32(0) + w.blob(b"x" * 100000)])]))

        def within_a_transaction(c):
            name = uuid.uuid4().hex
            error, producer, epoch = init(c, name)
            assert add_partitions(c, name, producer, epoch, ["t"]) == {"t": NONE}

        for state in (between_bytes_of_a_length, within_a_frame, fetch_that_waits, join_that_waits, sync_that_waits,
                      answers_that_nobody_reads, within_a_transaction, held_by_a_quota):
            for _ in range(3):          # as many as there may be: each one gives its place back
                with w.Connection(o.kafka_port) as c:
                    state(c)
        with w.Connection(o.kafka_port) as c:
            assert fetch(c)[0] == NONE
    assert o.stop() == 0
    assert "ERROR" not in o.log(1 << 20)
