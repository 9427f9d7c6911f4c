"""SCRAM users, client quotas and the smaller admin APIs over the wire: what is stored, what is refused, and that it survives a
restart. (Access rules: test_acls.py.)"""
import hashlib
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import wire as w               # noqa: E402

QUIET = {"connect.listeners": ""}
ALTER_REPLICA_LOG_DIRS, CREATE_TOPICS, ALTER_REASSIGNMENTS, DESCRIBE_QUOTAS, ALTER_QUOTAS, DESCRIBE_SCRAM, ALTER_SCRAM = 34, 19, 45, 48, 49, 50, 51
NONE, UNKNOWN_TOPIC, BAD_MECHANISM, BAD_VERSION, INVALID_REPLICAS, INVALID_REQUEST, NO_LOG_DIR = 0, 3, 33, 35, 39, 42, 57
TOKENS_NOT_ALLOWED, NO_REASSIGNMENT, NOT_FOUND, DUPLICATE, UNACCEPTABLE = 64, 85, 91, 92, 93
SHA_256, SHA_512 = 1, 2


def f64(value):
    import struct
    return struct.pack(">d", value)


def read_f64(r):
    import struct
    return struct.unpack(">d", r.take(8))[0]


@pytest.fixture(scope="module")
def broker():
    from lib.ottla import Ottla
    with Ottla(QUIET) as o:
        yield o


@pytest.fixture
def client(broker):
    with w.Connection(broker.kafka_port) as c:
        yield c


# -- SCRAM --

def cblob(b):
    return w.uvarint(len(b) + 1) + b


def upsert(name, mechanism=SHA_256, iterations=4096, salt=b"salt", password=b"secret"):
    salted = hashlib.pbkdf2_hmac("sha256" if mechanism == SHA_256 else "sha512", password, salt, max(iterations, 1)) if password else b""
    return w.cstring(name) + w.i8(mechanism) + w.i32(iterations) + cblob(salt) + cblob(salted) + w.NO_TAGS


def remove(name, mechanism=SHA_256):
    return w.cstring(name) + w.i8(mechanism) + w.NO_TAGS


def alter_scram(c, removals=(), upserts=()):
    r = c.ask(ALTER_SCRAM, 0, w.carray(list(removals)) + w.carray(list(upserts)) + w.NO_TAGS, flexible=True)
    r.i32()
    out = r.carray(lambda: (r.cstring(), r.i16(), r.cstring(), r.tags()))
    r.tags()
    r.end()
    return {user: error for user, error, _, _ in out}


def describe_scram(c, users=None):
    r = c.ask(DESCRIBE_SCRAM, 0, w.carray(None if users is None else [w.cstring(u) + w.NO_TAGS for u in users]) + w.NO_TAGS, flexible=True)
    r.i32()
    assert r.i16() == NONE and not r.cstring()
    info = lambda: (r.i8(), r.i32(), r.tags())[:2]                              # noqa: E731
    out = {user: (error, infos) for user, error, _, infos, _ in
           r.carray(lambda: (r.cstring(), r.i16(), r.cstring(), r.carray(info), r.tags()))}
    r.tags()
    r.end()
    return out


def test_scram_users_are_made_described_changed_and_removed(client):
    assert alter_scram(client, (), [upsert("alice"), upsert("bob", SHA_512, 8192)]) == {"alice": NONE, "bob": NONE}
    assert alter_scram(client, (), [upsert("alice", SHA_512, 16384)]) == {"alice": NONE}
    assert describe_scram(client) == {"alice": (NONE, [(SHA_256, 4096), (SHA_512, 16384)]), "bob": (NONE, [(SHA_512, 8192)])}
    assert alter_scram(client, (), [upsert("alice", SHA_256, 5000)]) == {"alice": NONE}
    assert describe_scram(client, ["alice"]) == {"alice": (NONE, [(SHA_256, 5000), (SHA_512, 16384)])}
    assert describe_scram(client, ["nobody", "bob", "alice", "alice"]) == {
        "alice": (DUPLICATE, []), "bob": (NONE, [(SHA_512, 8192)]), "nobody": (NOT_FOUND, [])}
    assert alter_scram(client, [remove("alice"), remove("bob", SHA_512)]) == {"alice": NONE, "bob": NONE}
    assert describe_scram(client, []) == {"alice": (NONE, [(SHA_512, 16384)])}
    assert alter_scram(client, [remove("alice", SHA_512)]) == {"alice": NONE}
    assert describe_scram(client) == {}


@pytest.mark.parametrize("removals, upserts, expected", [
    ([], [upsert("u", SHA_256, 4095)], {"u": UNACCEPTABLE}),
    ([], [upsert("u", SHA_256, 16385)], {"u": UNACCEPTABLE}),
    ([], [upsert("")], {"": UNACCEPTABLE}),
    ([], [upsert("u", password=b"")], {"u": UNACCEPTABLE}),
    ([], [upsert("u", salt=b"x" * 2000)], {"u": UNACCEPTABLE}),
    ([], [upsert("u", 3)], {"u": BAD_MECHANISM}),
    ([remove("u")], [], {"u": NOT_FOUND}),
    ([remove("u", 0)], [], {"u": BAD_MECHANISM}),
    ([], [upsert("u"), upsert("u", SHA_512)], {"u": DUPLICATE}),
])
def test_scram_alterations_that_are_refused(client, removals, upserts, expected):
    assert alter_scram(client, removals, upserts + [upsert("fine")]) == dict(expected, fine=NONE), "the others go on"
    assert describe_scram(client) == {"fine": (NONE, [(SHA_256, 4096)])}
    assert alter_scram(client, [remove("fine")]) == {"fine": NONE}


# -- quotas --

def entity(**names):
    return w.array([w.string(kind.replace("_", "-")) + w.string(name) for kind, name in names.items()])


def alter_quotas(c, *entries, validate=False):
    """entries: (entity, {key: value or None})"""
    r = c.ask(ALTER_QUOTAS, 0, w.array([e + w.array([w.string(k) + f64(v or 0) + w.i8(v is None) for k, v in ops]) for e, ops in entries]) +
              w.i8(validate))
    r.i32()
    out = r.array(lambda: (r.i16(), r.string(), r.array(lambda: (r.string(), r.string()))))
    r.end()
    return [error for error, _, _ in out]


def describe_quotas(c, *components, strict=False):
    """components: (type, match type, name)"""
    r = c.ask(DESCRIBE_QUOTAS, 0, w.array([w.string(t) + w.i8(m) + w.string(n) for t, m, n in components]) + w.i8(strict))
    r.i32()
    error, text = r.i16(), r.string()
    out = r.array(lambda: (r.array(lambda: (r.string(), r.string())), dict(r.array(lambda: (r.string(), read_f64(r))))))
    r.end()
    assert (error == NONE) == (text in (None, ""))
    return error if error else {tuple(sorted(e)): values for e, values in out}


EXACT, DEFAULT, SPECIFIED = 0, 1, 2


def test_quotas_are_set_found_and_removed(client):
    assert alter_quotas(client,
                        (entity(user="alice"), [("producer_byte_rate", 1000.0), ("request_percentage", 12.5)]),
                        (entity(user=None), [("consumer_byte_rate", 2000.0)]),
                        (entity(user="alice", client_id="app"), [("controller_mutation_rate", 0.5)]),
                        (entity(client_id="app"), [("producer_byte_rate", 1.0)]),
                        (entity(ip="10.0.0.1"), [("connection_creation_rate", 5.0)])) == [NONE] * 5
    alice, anyone, both = (("user", "alice"),), (("user", None),), (("client-id", "app"), ("user", "alice"))
    app, address = (("client-id", "app"),), (("ip", "10.0.0.1"),)
    everything = describe_quotas(client)
    assert everything == {alice: {"producer_byte_rate": 1000.0, "request_percentage": 12.5}, anyone: {"consumer_byte_rate": 2000.0},
                          both: {"controller_mutation_rate": 0.5}, app: {"producer_byte_rate": 1.0}, address: {"connection_creation_rate": 5.0}}
    assert describe_quotas(client, strict=True) == {}
    assert set(describe_quotas(client, ("user", EXACT, "alice"))) == {alice, both}
    assert set(describe_quotas(client, ("user", EXACT, "alice"), strict=True)) == {alice}
    assert set(describe_quotas(client, ("user", DEFAULT, None))) == {anyone}
    assert set(describe_quotas(client, ("user", SPECIFIED, None), strict=True)) == {alice, anyone}
    assert set(describe_quotas(client, ("user", SPECIFIED, None), ("client-id", EXACT, "app"))) == {both}
    assert set(describe_quotas(client, ("ip", SPECIFIED, None))) == {address}
    assert alter_quotas(client, (entity(user="alice"), [("producer_byte_rate", 3.0)]), validate=True) == [NONE]
    assert describe_quotas(client) == everything
    assert alter_quotas(client, (entity(user="alice"), [("producer_byte_rate", None), ("request_percentage", None), ("consumer_byte_rate", None)]),
                        (entity(user="nobody"), [("producer_byte_rate", None)]),
                        (entity(user="of no address"), [("connection_creation_rate", None)])) == [NONE] * 3
    assert set(describe_quotas(client)) == {anyone, both, app, address}, "an entity without keys is gone"
    assert alter_quotas(client, (entity(user=None), [("consumer_byte_rate", None)]), (entity(client_id="app"), [("producer_byte_rate", None)]),
                        (entity(client_id="app", user="alice"), [("controller_mutation_rate", None)]),
                        (entity(ip="10.0.0.1"), [("connection_creation_rate", None)])) == [NONE] * 4
    assert describe_quotas(client) == {}


@pytest.mark.parametrize("who, ops", [
    (entity(user="u"), [("no_such_rate", 1.0)]),
    (entity(user="u"), [("connection_creation_rate", 1.0)]),
    (entity(ip="10.0.0.1"), [("producer_byte_rate", 1.0)]),
    (entity(ip="10.0.0.1"), [("connection_creation_rate", 1.5)]),
    (entity(ip="10.0.0.1"), [("connection_creation_rate", 1e10)]),
    (entity(ip="no address"), [("connection_creation_rate", 1.0)]),
    (entity(ip="10.0.0.1", user="u"), [("connection_creation_rate", 1.0)]),
    (entity(user="u"), [("producer_byte_rate", 1.5)]),
    (entity(user="u"), [("producer_byte_rate", -1.0)]),
    (entity(user="u"), [("request_percentage", float("nan"))]),
    (entity(user="u"), [("producer_byte_rate", float("inf"))]),
    (entity(user="u"), [("producer_byte_rate", 1.0), ("producer_byte_rate", 2.0)]),
    (entity(user=""), [("producer_byte_rate", 1.0)]),
    (entity(planet="u"), [("producer_byte_rate", 1.0)]),
    (w.array([w.string("user") + w.string("a"), w.string("user") + w.string("b")]), [("producer_byte_rate", 1.0)]),
    (w.array([]), [("producer_byte_rate", 1.0)]),
])
def test_quotas_that_are_refused_change_nothing(client, who, ops):
    assert alter_quotas(client, (who, [("request_percentage", 1.0)] + ops)) == [INVALID_REQUEST]
    assert describe_quotas(client) == {}


def test_an_entity_twice_in_a_request_counts_once(client):
    assert alter_quotas(client, (entity(user="b"), [("producer_byte_rate", 1.0)]), (entity(user="a"), [("producer_byte_rate", 2.0)]),
                        (entity(user="b"), [("producer_byte_rate", 3.0)])) == [NONE, NONE, INVALID_REQUEST]
    assert describe_quotas(client, ("user", EXACT, "b")) == {(("user", "b"),): {"producer_byte_rate": 1.0}}
    assert alter_quotas(client, *[(entity(user=u), [("producer_byte_rate", None)]) for u in "ab"]) == [NONE, NONE]


@pytest.mark.parametrize("components, expected", [
    ([("planet", EXACT, "x")], BAD_VERSION), ([("", EXACT, "x")], INVALID_REQUEST), ([("user", EXACT, None)], INVALID_REQUEST),
    ([("user", 3, None)], INVALID_REQUEST), ([("user", DEFAULT, "x")], INVALID_REQUEST),
    ([("user", EXACT, "x"), ("user", EXACT, "y")], INVALID_REQUEST), ([("user", EXACT, "x"), ("ip", EXACT, "y")], INVALID_REQUEST),
])
def test_quota_filters_that_are_refused(client, components, expected):
    assert describe_quotas(client, *components) == expected


# -- restarts --

@pytest.mark.parametrize("how", ["stop", "kill"])
def test_users_and_quotas_survive_a_restart(fresh_ottla, how):
    o = fresh_ottla(QUIET)
    with w.Connection(o.kafka_port) as c:
        assert alter_scram(c, (), [upsert("alice"), upsert("gone")]) == {"alice": NONE, "gone": NONE}
        assert alter_scram(c, [remove("gone")], [upsert("bob", SHA_512)]) == {"gone": NONE, "bob": NONE}
        assert alter_quotas(c, (entity(user="a"), [("producer_byte_rate", 7.0), ("consumer_byte_rate", 8.0)]),
                            (entity(user="b"), [("producer_byte_rate", 9.0)])) == [NONE] * 2
        assert alter_quotas(c, (entity(user="a"), [("consumer_byte_rate", None)]), (entity(user="b"), [("producer_byte_rate", None)])) == [NONE] * 2
    o.kill() if how == "kill" else o.stop()
    o.start()
    with w.Connection(o.kafka_port) as c:
        assert describe_scram(c) == {"alice": (NONE, [(SHA_256, 4096)]), "bob": (NONE, [(SHA_512, 4096)])}
        assert describe_quotas(c) == {(("user", "a"),): {"producer_byte_rate": 7.0}}


# -- a cluster of one broker --

def create_topic(c, name):
    r = c.ask(CREATE_TOPICS, 2, w.array([w.string(name) + w.i32(2) + w.i16(1) + w.array([]) + w.array([])]) + w.i32(10000) + w.i8(0))
    r.i32()
    return r.array(lambda: (r.string(), r.i16(), r.string()))[0][1]


def test_a_partition_moves_only_onto_the_broker_that_has_it(client):
    assert create_topic(client, "moved") == NONE
    wanted = [("moved", 0, [1]), ("moved", 1, [2]), ("moved", 1, []), ("moved", 1, [1, 1]), ("moved", 1, None), ("moved", 2, [1]), ("nope", 0, [1])]
    r = client.ask(ALTER_REASSIGNMENTS, 0, w.i32(1000) + w.carray([w.cstring(t) + w.carray([w.i32(p) + w.carray(
        None if replicas is None else [w.i32(n) for n in replicas]) + w.NO_TAGS]) + w.NO_TAGS for t, p, replicas in wanted]) + w.NO_TAGS, flexible=True)
    r.i32()
    assert (r.i16(), r.cstring()) == (NONE, None)
    got = r.carray(lambda: (r.cstring(), r.carray(lambda: (r.i32(), r.i16(), r.cstring(), r.tags())), r.tags()))
    assert [(t, ps[0][0], ps[0][1]) for t, ps, _ in got] == [
        (t, p, e) for (t, p, _), e in zip(wanted, [NONE, INVALID_REPLICAS, INVALID_REPLICAS, INVALID_REPLICAS, NO_REASSIGNMENT, UNKNOWN_TOPIC, UNKNOWN_TOPIC])]


def test_there_is_one_log_directory(broker, client):
    create_topic(client, "stays")
    r = client.ask(ALTER_REPLICA_LOG_DIRS, 1, w.array([w.string(path) + w.array([w.string("stays") + w.array([w.i32(0), w.i32(5)])])
                                                       for path in (broker.data, "/nowhere")]))
    r.i32()
    assert r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16())))) == [
        ("stays", [(0, NONE), (5, UNKNOWN_TOPIC)]), ("stays", [(0, NO_LOG_DIR), (5, NO_LOG_DIR)])]


def test_delegation_tokens_need_an_authenticated_connection(client):
    assert client.ask(38, 1, w.array([]) + w.i64(-1)).i16() == TOKENS_NOT_ALLOWED
    assert client.ask(39, 1, w.blob(b"x") + w.i64(-1)).i16() == TOKENS_NOT_ALLOWED
    assert client.ask(40, 1, w.blob(b"x") + w.i64(-1)).i16() == TOKENS_NOT_ALLOWED
    assert client.ask(41, 1, w.array(None)).i16() == TOKENS_NOT_ALLOWED


def update_feature(c, name, level, kind, version=2, validate=False):
    r = c.ask(57, version, w.i32(1000) + w.carray([w.cstring(name) + w.i16(level) + w.i8(kind) + w.NO_TAGS]) + w.i8(validate) + w.NO_TAGS, flexible=True)
    r.i32()
    error, text = r.i16(), r.cstring()
    if version < 2:
        rows = r.carray(lambda: (r.cstring(), r.i16(), r.cstring(), r.tags()))
        assert [row[1] for row in rows] == ([] if error else [NONE]), "the first error refuses all"
    r.tags()
    r.end()
    assert text or version < 2 or error == NONE
    return error


def test_feature_levels_change_within_what_is_supported(fresh_ottla):
    invalid, up, down = 95, 1, 2
    o = fresh_ottla(QUIET)
    with w.Connection(o.kafka_port) as c:
        for version in (1, 2):
            assert update_feature(c, "metadata.version", 27, up, version) == NONE
            assert update_feature(c, "metadata.version", 26, down, version) == invalid
            assert update_feature(c, "metadata.version", 99, up, version) == invalid
            assert update_feature(c, "no.such.feature", 1, up, version) == invalid
            assert update_feature(c, "transaction.version", 1, up, version) == invalid, "that is a downgrade"
            assert update_feature(c, "transaction.version", 1, 9, version) == invalid
            assert update_feature(c, "transaction.version", 1, down, version, validate=True) == NONE
        assert update_feature(c, "transaction.version", 1, down) == NONE
    o.kill()
    o.start()
    with w.Connection(o.kafka_port) as c:
        assert update_feature(c, "transaction.version", 2, down) == invalid, "it is at 1"
        assert update_feature(c, "transaction.version", 2, up) == NONE
