"""SCRAM credentials of users: set, shown without secrets, removed, kept over restarts (KIP-554)."""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import wire as w               # noqa: E402

DESCRIBE, ALTER = 50, 51
SHA_256, SHA_512 = 1, 2
NONE, UNSUPPORTED_MECHANISM, NOT_FOUND, DUPLICATE, UNACCEPTABLE = 0, 33, 91, 92, 93


def cblob(b):
    return w.uvarint(len(b) + 1) + b


def upsertion(user, mechanism=SHA_256, iterations=4096, password=b"secret"):
    salted = hashlib.pbkdf2_hmac("sha256" if mechanism == SHA_256 else "sha512", password, b"salt", iterations)
    return w.cstring(user) + w.i8(mechanism) + w.i32(iterations) + cblob(b"salt") + cblob(salted) + w.NO_TAGS


def deletion(user, mechanism=SHA_256):
    return w.cstring(user) + w.i8(mechanism) + w.NO_TAGS


def alter(c, deletions=(), upsertions=()):
    r = c.ask(ALTER, 0, w.carray(list(deletions)) + w.carray(list(upsertions)) + w.NO_TAGS, flexible=True)
    r.i32()
    out = r.carray(lambda: (r.cstring(), r.i16(), r.cstring(), r.tags()))
    r.tags()
    r.end()
    return {user: code for user, code, _, _ in out}


def describe(c, users=None):
    asked = None if users is None else [w.cstring(u) + w.NO_TAGS for u in users]
    r = c.ask(DESCRIBE, 0, w.carray(asked) + w.NO_TAGS, flexible=True)
    r.i32()
    assert (r.i16(), r.cstring()) == (NONE, None)
    out = r.carray(lambda: (r.cstring(), r.i16(), r.cstring(), r.carray(lambda: (r.i8(), r.i32(), r.tags())[:2]), r.tags()))
    r.tags()
    r.end()
    return {user: infos if code == NONE else code for user, code, _, infos, _ in out}


def test_credentials_are_kept_and_removed(fresh_ottla):
    o = fresh_ottla({"connect.listeners": ""})
    with w.Connection(o.kafka_port) as c:
        assert describe(c) == {}
        assert alter(c, (), [upsertion("alice"), upsertion("bob", SHA_512, 5000)]) == {"alice": NONE, "bob": NONE}
        assert alter(c, (), [upsertion("alice", SHA_512)]) == {"alice": NONE}
    for _ in range(2):
        with w.Connection(o.kafka_port) as c:
            assert describe(c) == {"alice": [(SHA_256, 4096), (SHA_512, 4096)], "bob": [(SHA_512, 5000)]}
        o.kill()
        o.start()
    with w.Connection(o.kafka_port) as c:
        assert alter(c, [deletion("alice")]) == {"alice": NONE}
        assert alter(c, [deletion("alice")]) == {"alice": NOT_FOUND}
    o.kill()
    o.start()
    with w.Connection(o.kafka_port) as c:
        assert describe(c, ["alice", "nobody"]) == {"alice": [(SHA_512, 4096)], "nobody": NOT_FOUND}
        assert describe(c, ["bob", "bob"]) == {"bob": DUPLICATE}


def test_credentials_that_are_refused(fresh_ottla):
    o = fresh_ottla({"connect.listeners": ""})
    with w.Connection(o.kafka_port) as c:
        assert alter(c, (), [upsertion("few", iterations=4095), upsertion("many", iterations=16385), upsertion(""), upsertion("odd", 3)]) == {
            "few": UNACCEPTABLE, "many": UNACCEPTABLE, "": UNACCEPTABLE, "odd": UNSUPPORTED_MECHANISM}
        assert alter(c, [deletion("twice")], [upsertion("twice"), upsertion("good")]) == {"twice": DUPLICATE, "good": NONE}
        assert describe(c) == {"good": [(SHA_256, 4096)]}
