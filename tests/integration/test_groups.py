"""Consumer groups and offsets over the wire: the flow of the classic protocol, restarts, and the answers on which real
clients fell over elsewhere (arrays that must be empty rather than null, versions that must fill a field)."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import wire as w               # noqa: E402
from lib.ottla import Ottla             # noqa: E402
from lib.wait import until              # noqa: E402

METADATA, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 3, 8, 9, 10, 11, 12, 13, 14
DESCRIBE_GROUPS, LIST_GROUPS, CREATE_TOPICS, DELETE_TOPICS, INIT_PRODUCER_ID = 15, 16, 19, 20, 22
DESCRIBE_CONFIGS, DELETE_GROUPS, INCREMENTAL_ALTER_CONFIGS, OFFSET_DELETE, DESCRIBE_CLIENT_QUOTAS = 32, 42, 44, 47, 48
DESCRIBE_TOPIC_PARTITIONS = 75
NONE, UNKNOWN_TOPIC, METADATA_TOO_LARGE, UNKNOWN_MEMBER, INVALID_CONFIG, GROUP_NOT_FOUND, MEMBER_ID_REQUIRED = 0, 3, 12, 25, 40, 69, 79
SUBSCRIPTION = w.i16(0) + w.array([w.string("t")]) + w.blob(None)


@pytest.fixture(scope="module")
def broker():
    with Ottla({"connect.listeners": ""}) as o:
        with w.Connection(o.kafka_port) as c:
            create_topic(c, "t", 4)
            find_coordinator(c, "g")
        yield o


@pytest.fixture
def client(broker):
    with w.Connection(broker.kafka_port) as c:
        yield c


def create_topic(c, name, partitions):
    r = c.ask(CREATE_TOPICS, 2, w.array([w.string(name) + w.i32(partitions) + w.i16(1) + w.array([]) + w.array([])]) + w.i32(10000) + w.i8(0))
    r.i32()
    assert r.array(lambda: (r.string(), r.i16(), r.string()))[0][1] in (NONE, 36)


def find_coordinator(c, group):
    """Until there is one: the first call makes the log of offsets."""
    def found():
        r = c.ask(FIND_COORDINATOR, 1, w.string(group) + w.i8(0))
        r.i32()
        error, _, node, host, port = r.i16(), r.string(), r.i32(), r.string(), r.i32()
        r.end()
        return error == NONE and (node, host, port)
    return until("a coordinator", found)


def join(c, group, member="", session_ms=10000, version=4, answer=True):
    c.send(JOIN_GROUP, version, w.string(group) + w.i32(session_ms) + w.i32(60000) + w.string(member) + w.string("consumer") +
           w.array([w.string("range") + w.blob(SUBSCRIPTION)]))
    return joined(c) if answer else None


def joined(c):
    r = c.answer()
    r.i32()
    out = {"error": r.i16(), "generation": r.i32(), "protocol": r.string(), "leader": r.string(), "member": r.string(),
           "members": r.array(lambda: (r.string(), r.blob()))}
    r.end()
    return out


def sync(c, group, j, assignments=(), answer=True):
    c.send(SYNC_GROUP, 1, w.string(group) + w.i32(j["generation"]) + w.string(j["member"]) +
           w.array([w.string(m) + w.blob(a) for m, a in assignments]))
    return synced(c) if answer else None


def synced(c):
    r = c.answer()
    r.i32()
    out = r.i16(), r.blob()
    r.end()
    return out


def heartbeat(c, group, j):
    r = c.ask(HEARTBEAT, 1, w.string(group) + w.i32(j["generation"]) + w.string(j["member"]))
    r.i32()
    return r.i16()


def leave(c, group, member):
    r = c.ask(LEAVE_GROUP, 1, w.string(group) + w.string(member))
    r.i32()
    return r.i16()


def commit(c, group, offsets, generation=-1, member="", retention=-1):
    """offsets: {(topic, partition): (offset, metadata)}; returns the codes in order."""
    r = c.ask(OFFSET_COMMIT, 2, w.string(group) + w.i32(generation) + w.string(member) + w.i64(retention) + w.array(
        [w.string(t) + w.array([w.i32(p) + w.i64(o) + w.string(m)]) for (t, p), (o, m) in offsets.items()]))
    topics = r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16()))))
    r.end()
    return [code for _, parts in topics for _, code in parts]


def fetch(c, group, wanted=None, version=2):
    """wanted: [(topic, [partition])], None: all; returns {(topic, partition): (offset, metadata, error)} and the error."""
    asked = None if wanted is None else [w.string(t) + w.array([w.i32(p) for p in ps]) for t, ps in wanted]
    r = c.ask(OFFSET_FETCH, version, w.string(group) + w.array(asked))
    topics = r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i64(), r.string(), r.i16()))))
    error = r.i16() if version >= 2 else NONE
    r.end()
    return {(t, p): (o, m, e) for t, parts in topics for p, o, m, e in parts}, error


def one_member(c, group, **more):
    j = join(c, group, **more)
    assert j["error"] == MEMBER_ID_REQUIRED
    j = join(c, group, j["member"], **more)
    assert j["error"] == NONE and j["leader"] == j["member"]
    assert sync(c, group, j, [(j["member"], b"mine")]) == (NONE, b"mine")
    return j


def test_two_members_share_a_generation(broker):
    with w.Connection(broker.kafka_port) as a, w.Connection(broker.kafka_port) as b:
        ja = one_member(a, "two")
        mb = join(b, "two")["member"]
        join(b, "two", mb, answer=False)
        assert until("the rebalance", lambda: heartbeat(a, "two", ja) == 27)
        ja = join(a, "two", ja["member"])
        jb = joined(b)
        assert ja["generation"] == jb["generation"] == 2
        assert sorted(m for m, _ in ja["members"]) == sorted([ja["member"], mb]) and jb["members"] == []
        assert all(data == SUBSCRIPTION for _, data in ja["members"])
        sync(b, "two", jb, answer=False)
        assert sync(a, "two", ja, [(ja["member"], b"A")]) == (NONE, b"A")
        assert synced(b) == (NONE, b""), "nothing was assigned: empty bytes, not null"
        assert leave(b, "two", mb) == NONE and leave(b, "two", mb) == UNKNOWN_MEMBER
        assert leave(a, "two", ja["member"]) == NONE


def test_a_client_that_goes_away_while_it_waits_harms_nobody(broker):
    with w.Connection(broker.kafka_port) as a:
        ja = one_member(a, "gone", session_ms=6000)
        with w.Connection(broker.kafka_port) as b:
            join(b, "gone", join(b, "gone")["member"], answer=False)
            assert until("the rebalance", lambda: heartbeat(a, "gone", ja) == 27)
        ja = join(a, "gone", ja["member"])
        assert ja["error"] == NONE and len(ja["members"]) == 2
        sync(a, "gone", ja, [(ja["member"], b"x")])
        assert heartbeat(a, "gone", ja) == NONE


def test_committed_offsets_and_their_text_come_back(client):
    assert commit(client, "simple", {("t", 0): (7, "seven ä"), ("t", 1): (8, ""), ("t", 2): (9, None)}) == [NONE] * 3
    expected = {("t", 0): (7, "seven ä", NONE), ("t", 1): (8, "", NONE), ("t", 2): (9, "", NONE)}
    assert fetch(client, "simple") == (expected, NONE)
    assert fetch(client, "simple", [("t", [0, 3])], version=1)[0] == {("t", 0): (7, "seven ä", NONE), ("t", 3): (-1, "", NONE)}
    assert fetch(client, "nobody", [("t", [0])])[0] == {("t", 0): (-1, "", NONE)}, "never committed is no error"
    assert fetch(client, "nobody") == ({}, NONE)


def test_commits_that_are_refused(client):
    assert commit(client, "refused", {("nope", 0): (1, ""), ("t", 4): (1, "")}) == [UNKNOWN_TOPIC] * 2
    assert commit(client, "refused", {("t", 0): (1, "x" * 4097), ("t", 1): (1, "x" * 4096)}) == [METADATA_TOO_LARGE, NONE]
    assert commit(client, "refused2", {("t", 0): (1, "")}, generation=5, member="m") == [22]
    j = one_member(client, "refused3")
    assert commit(client, "refused3", {("t", 0): (1, "")}) == [UNKNOWN_MEMBER], "the group has members"
    assert commit(client, "refused3", {("t", 0): (1, "")}, j["generation"] + 1, j["member"]) == [22]
    assert commit(client, "refused3", {("t", 0): (1, "")}, j["generation"], j["member"]) == [NONE]
    assert leave(client, "refused3", j["member"]) == NONE


@pytest.mark.parametrize("durability", ["bounded", "strict"])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_groups_live_on_after_a_restart(fresh_ottla, durability, how):
    o = fresh_ottla({"connect.listeners": "", "ottla.durability": durability})
    with w.Connection(o.kafka_port) as c:
        create_topic(c, "t", 4)
        find_coordinator(c, "g")
        j = one_member(c, "lives")
        for i in range(50):
            assert commit(c, "lives", {("t", p): (i, "round %d" % i) for p in range(4)}, j["generation"], j["member"]) == [NONE] * 4
        assert commit(c, "other", {("t", 0): (5, "")}) == [NONE]
        assert commit(c, "deleted", {("t", 0): (5, "")}) == [NONE]
        r = c.ask(DELETE_GROUPS, 0, w.array([w.string("deleted"), w.string("unknown"), w.string("lives")]))
        r.i32()
        assert r.array(lambda: (r.string(), r.i16())) == [("deleted", NONE), ("unknown", GROUP_NOT_FOUND), ("lives", 68)]
    o.kill() if how == "kill" else o.stop()
    o.start()
    with w.Connection(o.kafka_port) as c:
        find_coordinator(c, "g")
        assert until("the groups are restored", lambda: heartbeat(c, "lives", j) != 14)
        assert heartbeat(c, "lives", j) == NONE, "the member did not notice"
        assert fetch(c, "lives") == ({("t", p): (49, "round 49", NONE) for p in range(4)}, NONE)
        until("those of the other partitions, too", lambda: fetch(c, "other")[1] != 14)
        assert fetch(c, "other") == ({("t", 0): (5, "", NONE)}, NONE)
        assert sorted(listed(c)) == ["lives", "other"]
        assert sync(c, "lives", j) == (NONE, b"mine")


def test_a_silent_member_is_removed_after_a_restart(fresh_ottla):
    o = fresh_ottla({"connect.listeners": "", "group.min.session.timeout.ms": "500"})
    with w.Connection(o.kafka_port) as c:
        create_topic(c, "t", 1)
        find_coordinator(c, "g")
        j = one_member(c, "silent", session_ms=800)
    o.kill()
    o.start()
    with w.Connection(o.kafka_port) as c:
        assert until("the member expires", lambda: described(c, "silent")[0] == "Empty", 10)
        assert heartbeat(c, "silent", j) == UNKNOWN_MEMBER


def listed(c, states=(), types=()):
    r = c.ask(LIST_GROUPS, 5, w.carray([w.cstring(s) for s in states]) + w.carray([w.cstring(t) for t in types]) + w.NO_TAGS, flexible=True)
    r.i32(), r.i16()
    groups = r.carray(lambda: (r.cstring(), r.cstring(), r.cstring(), r.cstring(), r.tags()))
    r.tags()
    r.end()
    return {g: (protocol, state, kind) for g, protocol, state, kind, _ in groups}


def described(c, group, version=0):
    r = c.ask(DESCRIBE_GROUPS, version, w.array([w.string(group)]))
    out = r.array(lambda: (r.i16(), r.string(), r.string(), r.string(), r.string(),
                           r.array(lambda: (r.string(), r.string(), r.string(), r.blob(), r.blob()))))[0]
    r.end()
    return out[2:]


def test_list_groups_fills_type_and_protocol(client):
    j = one_member(client, "listed")
    assert commit(client, "simple-listed", {("t", 0): (1, "")}) == [NONE]
    groups = listed(client)
    assert groups["listed"] == ("consumer", "Stable", "classic")
    assert groups["simple-listed"] == ("", "Empty", "classic")
    assert "listed" in listed(client, ["stable"]) and "simple-listed" not in listed(client, ["STABLE"])
    assert "listed" in listed(client, (), ["Classic"]) and listed(client, (), ["consumer"]) == {}
    leave(client, "listed", j["member"])


def test_describe_groups_shows_members_and_what_they_said(client):
    j = one_member(client, "described")
    state, kind, protocol, members = described(client, "described")
    assert (state, kind, protocol) == ("Stable", "consumer", "range")
    assert members == [(j["member"], "test", "/127.0.0.1", SUBSCRIPTION, b"mine")]
    leave(client, "described", j["member"])
    assert described(client, "described") == ("Empty", "consumer", "", [])
    assert described(client, "never heard of") == ("Dead", "", "", [])


def test_offset_delete_spares_what_is_subscribed(client):
    def delete(group, topics):
        r = client.ask(OFFSET_DELETE, 0, w.string(group) + w.array([w.string(t) + w.array([w.i32(0)]) for t in topics]))
        error = r.i16()
        r.i32()
        return error, r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16()))))
    create_topic(client, "u", 1)
    j = one_member(client, "deleting")
    assert commit(client, "deleting", {("t", 0): (1, ""), ("u", 0): (1, "")}, j["generation"], j["member"]) == [NONE] * 2
    assert delete("deleting", ["t", "u", "nope"]) == (NONE, [("t", [(0, 86)]), ("u", [(0, NONE)]), ("nope", [(0, UNKNOWN_TOPIC)])])
    assert fetch(client, "deleting")[0] == {("t", 0): (1, "", NONE)}
    assert delete("unknown", ["t"]) == (GROUP_NOT_FOUND, [])
    leave(client, "deleting", j["member"])


def test_a_deleted_topic_takes_its_offsets_along(client):
    create_topic(client, "short", 1)
    assert commit(client, "outlives", {("t", 0): (1, ""), ("short", 0): (1, "")}) == [NONE] * 2
    r = client.ask(DELETE_TOPICS, 1, w.array([w.string("short")]) + w.i32(10000))
    r.i32()
    assert r.array(lambda: (r.string(), r.i16())) == [("short", NONE)]
    assert until("the offset goes", lambda: fetch(client, "outlives")[0] == {("t", 0): (1, "", NONE)})


def test_without_its_log_the_coordinator_begins_anew(fresh_ottla):
    o = fresh_ottla({"connect.listeners": ""})
    with w.Connection(o.kafka_port) as c, w.Connection(o.kafka_port) as parked:
        create_topic(c, "t", 1)
        find_coordinator(c, "g")
        assert commit(c, "simple", {("t", 0): (1, "")}) == [NONE]
        one_member(c, "waits")
        join(parked, "waits", join(parked, "waits")["member"], answer=False)
        r = c.ask(DELETE_TOPICS, 1, w.array([w.string("__consumer_offsets")]) + w.i32(10000))
        r.i32()
        assert r.array(lambda: (r.string(), r.i16())) == [("__consumer_offsets", NONE)]
        assert joined(parked)["error"] == 15, "who waits is told"
        assert commit(c, "simple", {("t", 0): (2, "")}) == [16] and listed(c) == {}
        find_coordinator(c, "g")
        assert fetch(c, "simple") == ({}, NONE)
        assert commit(c, "simple", {("t", 0): (3, "")}) == [NONE]
    o.kill()
    o.start()
    with w.Connection(o.kafka_port) as c:
        find_coordinator(c, "g")
        assert until("the groups are restored", lambda: fetch(c, "simple") == ({("t", 0): (3, "", NONE)}, NONE))


def test_producer_ids_are_never_handed_out_twice(fresh_ottla):
    o = fresh_ottla({"connect.listeners": ""})
    seen = set()
    for round_ in range(3):
        with w.Connection(o.kafka_port) as c:
            for _ in range(700):
                r = c.ask(INIT_PRODUCER_ID, 0, w.string(None) + w.i32(0))
                r.i32()
                error, producer_id, epoch = r.i16(), r.i64(), r.i16()
                assert (error, epoch) == (NONE, 0) and producer_id not in seen
                seen.add(producer_id)
        o.kill()
        o.start()


def test_lists_that_clients_walk_are_empty_not_null(client):
    r = client.ask(DESCRIBE_TOPIC_PARTITIONS, 0, w.carray([w.cstring("t") + w.NO_TAGS]) + w.i32(2000) + w.i8(-1) + w.NO_TAGS, flexible=True)
    r.i32()

    def partition():
        error, index, leader, epoch = r.i16(), r.i32(), r.i32(), r.i32()
        lists = [r.carray(r.i32) for _ in range(5)]
        r.tags()
        return error, index, leader >= 0, epoch >= 0, lists

    def topic():
        out = r.i16(), r.cstring(), r.take(16), r.i8(), r.carray(partition), r.i32()
        r.tags()
        return out
    topics = r.carray(topic)
    assert r.i8() == -1, "no further page"
    assert [p[1] for p in topics[0][4]] == [0, 1, 2, 3]
    for error, _, leads, epoch, (replicas, isr, elr, last_elr, offline) in topics[0][4]:
        assert error == NONE and leads and epoch and replicas == isr and elr == [] and last_elr == [] and offline == []

    r = client.ask(DESCRIBE_CLIENT_QUOTAS, 0, w.array([]) + w.i8(0))
    r.i32()
    assert (r.i16(), r.string(), r.i32()) == (NONE, "", 0)
    r.end()


def test_describe_topic_partitions_comes_in_pages(client):
    create_topic(client, "paged", 7)
    got, cursor = [], w.i8(-1)
    while cursor:
        r = client.ask(DESCRIBE_TOPIC_PARTITIONS, 0, w.carray([w.cstring(t) + w.NO_TAGS for t in ("paged", "t")]) + w.i32(3) + cursor + w.NO_TAGS,
                       flexible=True)
        r.i32()
        page = 0
        for _ in range(r.uvarint() - 1):
            _, name = r.i16(), r.cstring()
            r.take(17)
            for _ in range(r.uvarint() - 1):
                r.i16()
                got.append((name, r.i32()))
                r.take(8)
                [r.carray(r.i32) for _ in range(5)]
                r.tags()
                page += 1
            r.i32(), r.tags()
        assert 0 < page <= 3
        cursor = None if r.i8() < 0 else w.i8(1) + w.cstring(r.cstring()) + w.i32(r.i32()) + w.NO_TAGS
    assert got == [("paged", i) for i in range(7)] + [("t", i) for i in range(4)]


def configs_of(c, kind, name, keys=None):
    r = c.ask(DESCRIBE_CONFIGS, 1, w.array([w.i8(kind) + w.string(name) + w.array(None if keys is None else [w.string(k) for k in keys])]) + w.i8(1))
    r.i32()

    def value():
        name_, text, read_only, source, sensitive = r.string(), r.string(), r.i8(), r.i8(), r.i8()
        return name_, (text, source, r.array(lambda: (r.string(), r.string(), r.i8())))
    out = r.array(lambda: (r.i16(), r.string(), r.i8(), r.string(), dict(r.array(value))))[0]
    r.end()
    return out[0], out[4]


def alter(c, kind, name, edits, validate=False):
    r = c.ask(INCREMENTAL_ALTER_CONFIGS, 0, w.array([w.i8(kind) + w.string(name) + w.array(
        [w.string(k) + w.i8(op) + w.string(v) for k, op, v in edits])]) + w.i8(1 if validate else 0))
    r.i32()
    return r.array(lambda: (r.i16(), r.string(), r.i8(), r.string()))[0][:2]


SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def test_describe_configs_lists_defaults_and_where_values_come_from(client):
    error, configs = configs_of(client, 2, "t")
    assert error == NONE and configs["retention.ms"] == ("604800000", 5, [])
    assert configs["cleanup.policy"] == ("delete", 5, [("log.cleanup.policy", "delete", 5)])
    assert alter(client, 2, "t", [("retention.ms", SET, "3600000"), ("cleanup.policy", APPEND, "compact")]) == (NONE, None)
    _, configs = configs_of(client, 2, "t", ["retention.ms", "cleanup.policy"])
    assert configs == {"retention.ms": ("3600000", 1, [("retention.ms", "3600000", 1)]),
                       "cleanup.policy": ("delete,compact", 1, [("cleanup.policy", "delete,compact", 1), ("log.cleanup.policy", "delete", 5)])}
    assert alter(client, 2, "t", [("cleanup.policy", SUBTRACT, "compact"), ("retention.ms", DELETE, None)]) == (NONE, None)
    assert configs_of(client, 2, "t", ["retention.ms"])[1]["retention.ms"][1] == 5
    assert alter(client, 2, "t", [("cleanup.policy", DELETE, None)]) == (NONE, None)
    assert configs_of(client, 2, "no-such-topic")[0] == UNKNOWN_TOPIC


@pytest.mark.parametrize("edits, code, words", [
    ([("no.such.thing", SET, "1")], INVALID_CONFIG, ["no.such.thing"]),
    ([("retention.ms", SET, "soon")], INVALID_CONFIG, ["retention.ms", "soon"]),
    ([("retention.ms", SET, "-2")], INVALID_CONFIG, ["retention.ms", "-2", "-1"]),
    ([("cleanup.policy", SET, "shred")], INVALID_CONFIG, ["cleanup.policy", "shred"]),
    ([("retention.ms", APPEND, "1")], INVALID_CONFIG, ["APPEND", "retention.ms", "LIST"]),
    ([("retention.ms", SET, "1"), ("retention.ms", SET, "2")], 42, ["duplicate"]),
    ([("retention.ms", SET, None)], 42, ["retention.ms"]),
])
def test_a_config_that_is_refused_changes_nothing_and_says_why(client, edits, code, words):
    error, text = alter(client, 2, "t", [("max.message.bytes", SET, "5000")] + edits)
    assert error == code and all(word in text for word in words), text
    assert configs_of(client, 2, "t", ["max.message.bytes"])[1]["max.message.bytes"][1] == 5, "all or nothing"


def test_validate_only_changes_nothing(client):
    assert alter(client, 2, "t", [("max.message.bytes", SET, "5000")], validate=True) == (NONE, None)
    assert configs_of(client, 2, "t", ["max.message.bytes"])[1]["max.message.bytes"][1] == 5


def test_a_broker_default_is_inherited_and_survives(fresh_ottla):
    o = fresh_ottla({"connect.listeners": ""})
    with w.Connection(o.kafka_port) as c:
        create_topic(c, "t", 1)
        assert alter(c, 4, "", [("log.retention.ms", SET, "1234567")]) == (NONE, None)
        assert alter(c, 4, "1", [("message.max.bytes", SET, "20000")]) == (NONE, None)
        assert alter(c, 4, "2", [("message.max.bytes", SET, "20000")])[0] == 42
    o.kill()
    o.start()
    with w.Connection(o.kafka_port) as c:
        _, configs = configs_of(c, 2, "t", ["retention.ms", "max.message.bytes"])
        assert configs["retention.ms"][:2] == ("1234567", 3) and configs["max.message.bytes"][:2] == ("20000", 2)
        _, configs = configs_of(c, 4, "")
        assert configs == {"log.retention.ms": ("1234567", 3, [("log.retention.ms", "1234567", 3)])}
