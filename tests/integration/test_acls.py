"""Access rules: written and read by clients, kept over restarts, and in force in every API that touches what they guard."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import wire as w               # noqa: E402
from lib.ottla import Ottla             # noqa: E402
from lib.wait import until              # noqa: E402

AUTHORIZER = {"connect.listeners": "", "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
              "allow.everyone.if.no.acl.found": "true"}
TOPIC, GROUP, CLUSTER = 2, 3, 4
ANY, ALL, READ, WRITE, CREATE, ALTER, DESCRIBE = 1, 2, 3, 4, 5, 7, 8
DENY, ALLOW, LITERAL = 2, 3, 3
NONE, TOPIC_DENIED, GROUP_DENIED, CLUSTER_DENIED, INVALID_REQUEST = 0, 29, 30, 31, 42


def rule(kind, name, operation, permission, principal="User:ANONYMOUS", host="*"):
    return w.i8(kind) + w.string(name) + w.i8(LITERAL) + w.string(principal) + w.string(host) + w.i8(operation) + w.i8(permission)


def create(c, *rules):
    r = c.ask(30, 1, w.array(list(rules)))
    r.i32()
    out = r.array(lambda: (r.i16(), r.string()))
    r.end()
    return [code for code, _ in out]


def everything(kind=ANY):
    return w.i8(kind) + w.string(None) + w.i8(1) + w.string(None) + w.string(None) + w.i8(ANY) + w.i8(1)


def describe(c):
    r = c.ask(29, 1, everything())
    r.i32()
    out = r.i16(), r.string(), r.array(lambda: (r.i8(), r.string(), r.i8(), r.array(lambda: (r.string(), r.string(), r.i8(), r.i8()))))
    r.end()
    return out


def delete(c, kind=ANY):
    r = c.ask(31, 1, w.array([everything(kind)]))
    r.i32()
    out = r.array(lambda: (r.i16(), r.string(), r.array(
        lambda: (r.i16(), r.string(), r.i8(), r.string(), r.i8(), r.string(), r.string(), r.i8(), r.i8()))))[0]
    r.end()
    return out[0], [m[3] for m in out[2]]


def create_topic(c, name):
    r = c.ask(19, 2, w.array([w.string(name) + w.i32(1) + w.i16(1) + w.array([]) + w.array([])]) + w.i32(10000) + w.i8(0))
    r.i32()
    return r.array(lambda: (r.string(), r.i16(), r.string()))[0][1]


def metadata(c, names):
    r = c.ask(3, 1, w.array(None if names is None else [w.string(n) for n in names]))
    r.array(lambda: (r.i32(), r.string(), r.i32(), r.string()))
    r.i32()
    partition = lambda: (r.i16(), r.i32(), r.i32(), r.array(r.i32), r.array(r.i32))    # noqa: E731
    return {name: error for error, name, _, _ in r.array(lambda: (r.i16(), r.string(), r.i8(), r.array(partition)))}


def test_without_an_authorizer_rules_are_kept_but_not_in_force(fresh_ottla):
    o = fresh_ottla({"connect.listeners": ""})
    with w.Connection(o.kafka_port) as c:
        assert describe(c)[::2] == (NONE, [])
        assert create_topic(c, "t") == NONE
        assert create(c, rule(TOPIC, "t", ALL, DENY)) == [NONE]
        assert metadata(c, ["t"]) == {"t": NONE}
        assert "not in force" in o.log()
        assert describe(c)[2] == [(TOPIC, "t", LITERAL, [("User:ANONYMOUS", "*", ALL, DENY)])]
        assert delete(c) == (NONE, ["t"])


def test_rules_are_kept_over_restarts(fresh_ottla):
    o = fresh_ottla(AUTHORIZER)
    with w.Connection(o.kafka_port) as c:
        assert create(c, rule(TOPIC, "a", READ, ALLOW, "User:x"), rule(TOPIC, "a", WRITE, DENY, "User:x"), rule(GROUP, "g", READ, ALLOW),
                      rule(TOPIC, "a", READ, ALLOW, "User:x")) == [NONE] * 4
        assert create(c, rule(TOPIC, "", READ, ALLOW), rule(TOPIC, "a", READ, ALLOW, "x"), rule(CLUSTER, "c", READ, ALLOW),
                      rule(TOPIC, "a", ANY, ALLOW)) == [INVALID_REQUEST] * 4
    expected = (NONE, "", [(TOPIC, "a", LITERAL, [("User:x", "*", READ, ALLOW), ("User:x", "*", WRITE, DENY)]),
                           (GROUP, "g", LITERAL, [("User:ANONYMOUS", "*", READ, ALLOW)])])
    for _ in range(2):
        with w.Connection(o.kafka_port) as c:
            assert describe(c) == expected
        o.kill()
        o.start()
    with w.Connection(o.kafka_port) as c:
        assert delete(c, TOPIC) == (NONE, ["a", "a"]) and delete(c, TOPIC) == (NONE, [])
    o.kill()
    o.start()
    with w.Connection(o.kafka_port) as c:
        assert describe(c)[2] == expected[2][1:]


@pytest.fixture(scope="module")
def guarded():
    """Topic "secret" and group "closed" are denied to everybody, topic "open" and group "free" are not."""
    with Ottla(AUTHORIZER) as o:
        with w.Connection(o.kafka_port) as c:
            assert create_topic(c, "secret") == create_topic(c, "open") == NONE
            until("a coordinator", lambda: find_coordinator(c, "free") == NONE)
            assert create(c, rule(TOPIC, "secret", ALL, DENY), rule(GROUP, "closed", ALL, DENY)) == [NONE] * 2
        yield o


@pytest.fixture
def c(guarded):
    with w.Connection(guarded.kafka_port) as connection:
        yield connection


def find_coordinator(c, group):
    r = c.ask(10, 1, w.string(group) + w.i8(0))
    r.i32()
    return r.i16()


def per_partition(r, read, throttled=True):
    if throttled:
        r.i32()
    return r.array(lambda: (r.string(), r.array(read)))[0][1][0]


def produce(c, topic):
    r = c.ask(0, 3, w.string(None) + w.i16(1) + w.i32(1000) + w.array([w.string(topic) + w.array([w.i32(0) + w.blob(b"")])]))
    return per_partition(r, lambda: (r.i32(), r.i16(), r.i64(), r.i64()), throttled=False)[1]


def fetch(c, topic):
    r = c.ask(1, 4, w.i32(-1) + w.i32(0) + w.i32(0) + w.i32(1000) + w.i8(0) +
              w.array([w.string(topic) + w.array([w.i32(0) + w.i64(0) + w.i32(1000)])]))
    return per_partition(r, lambda: (r.i32(), r.i16(), r.i64(), r.i64(), r.i32(), r.blob()))[1]


def list_offsets(c, topic):
    r = c.ask(2, 1, w.i32(-1) + w.array([w.string(topic) + w.array([w.i32(0) + w.i64(-1)])]))
    return per_partition(r, lambda: (r.i32(), r.i16(), r.i64(), r.i64()), throttled=False)[1]


def epoch_end(c, topic):
    r = c.ask(23, 2, w.array([w.string(topic) + w.array([w.i32(0) + w.i32(-1) + w.i32(0)])]))
    return per_partition(r, lambda: (r.i16(), r.i32(), r.i32(), r.i64()))[0]


def delete_records(c, topic):
    r = c.ask(21, 0, w.array([w.string(topic) + w.array([w.i32(0) + w.i64(0)])]) + w.i32(1000))
    return per_partition(r, lambda: (r.i32(), r.i64(), r.i16()))[2]


def create_partitions(c, topic):
    r = c.ask(37, 0, w.array([w.string(topic) + w.i32(2) + w.array(None)]) + w.i32(1000) + w.i8(1))
    r.i32()
    return r.array(lambda: (r.string(), r.i16(), r.string()))[0][1]


def describe_configs(c, topic):
    r = c.ask(32, 1, w.array([w.i8(TOPIC) + w.string(topic) + w.array([w.string("retention.ms")])]) + w.i8(0))
    r.i32(), r.i32()
    return r.i16()


def alter_configs(c, topic):
    r = c.ask(44, 0, w.array([w.i8(TOPIC) + w.string(topic) + w.array([w.string("retention.ms") + w.i8(0) + w.string("1000")])]) + w.i8(1))
    r.i32(), r.i32()
    return r.i16()


def commit(c, topic, group="free"):
    r = c.ask(8, 2, w.string(group) + w.i32(-1) + w.string("") + w.i64(-1) + w.array([w.string(topic) + w.array([w.i32(0) + w.i64(1) + w.string("")])]))
    return per_partition(r, lambda: (r.i32(), r.i16()), throttled=False)[1]


def committed(c, topic):
    r = c.ask(9, 1, w.string("free") + w.array([w.string(topic) + w.array([w.i32(0)])]))
    return per_partition(r, lambda: (r.i32(), r.i64(), r.string(), r.i16()), throttled=False)[3]


def delete_topic_denied(c, topic):
    if topic == "open":
        return NONE
    r = c.ask(20, 1, w.array([w.string(topic)]) + w.i32(1000))
    r.i32()
    return r.array(lambda: (r.string(), r.i16()))[0][1]


@pytest.mark.parametrize("api", [fetch, list_offsets, epoch_end, delete_records, create_partitions, describe_configs, alter_configs, commit,
                                 committed, delete_topic_denied])
def test_a_denied_topic_is_denied_in(c, api):
    assert api(c, "secret") == TOPIC_DENIED
    assert api(c, "open") == NONE


def test_a_denied_topic_takes_no_records(c):
    assert produce(c, "secret") == TOPIC_DENIED
    assert produce(c, "open") == 87, "the empty batch is looked at"


def test_a_denied_topic_is_not_shown(c):
    assert metadata(c, ["secret", "open"]) == {"secret": TOPIC_DENIED, "open": NONE}
    assert "open" in metadata(c, None) and "secret" not in metadata(c, None)


def test_a_denied_group(c):
    assert find_coordinator(c, "closed") == GROUP_DENIED
    assert commit(c, "open", "closed") == GROUP_DENIED
    r = c.ask(12, 0, w.string("closed") + w.i32(1) + w.string("m"))
    assert r.i16() == GROUP_DENIED
    r = c.ask(11, 4, w.string("closed") + w.i32(10000) + w.i32(10000) + w.string("") + w.string("consumer") + w.array([w.string("range") + w.blob(b"")]))
    r.i32()
    assert r.i16() == GROUP_DENIED
    r = c.ask(42, 0, w.array([w.string("closed")]))
    r.i32()
    assert r.array(lambda: (r.string(), r.i16())) == [("closed", GROUP_DENIED)]
    r = c.ask(15, 0, w.array([w.string("closed")]))
    r.i32()
    assert r.i16() == GROUP_DENIED


def test_who_may_not_describe_the_cluster_sees_only_own_groups_and_cannot_change_rules(fresh_ottla):
    o = fresh_ottla(dict(AUTHORIZER, **{"allow.everyone.if.no.acl.found": "true"}))
    with w.Connection(o.kafka_port) as c:
        assert create_topic(c, "t") == NONE
        until("a coordinator", lambda: find_coordinator(c, "g") == NONE)
        assert commit(c, "t", "mine") == commit(c, "t", "theirs") == NONE
        assert create(c, rule(GROUP, "theirs", ALL, DENY), rule(CLUSTER, "kafka-cluster", DESCRIBE, DENY),
                      rule(CLUSTER, "kafka-cluster", ALTER, DENY), rule(CLUSTER, "kafka-cluster", CREATE, DENY)) == [NONE] * 4
        r = c.ask(16, 1, b"")
        r.i32(), r.i16()
        assert [g for g, _ in r.array(lambda: (r.string(), r.string()))] == ["mine"]
        assert describe(c)[0] == CLUSTER_DENIED and create(c, rule(TOPIC, "t", READ, ALLOW)) == [CLUSTER_DENIED]
        assert delete(c)[0] == CLUSTER_DENIED
        assert create_topic(c, "u") == NONE, "no rule speaks about topic u"


def test_another_authorizer_than_ours_is_refused_at_start():
    with pytest.raises(RuntimeError):
        Ottla({"connect.listeners": "", "authorizer.class.name": "com.example.Authorizer"})
