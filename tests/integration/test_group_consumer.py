"""Consumer groups of KIP-848: over the wire, with librdkafka's consumers (those that speak the protocol: 2.11 and later)
and with Kafka's own tools. The clients are those of the acceptance scripts' cache; without it those tests are skipped."""
import glob
import json
import os
import re
import subprocess
import sys
import tarfile
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import wire as w               # noqa: E402
from lib.wait import until              # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
QUIET = {"connect.listeners": ""}
CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS, FIND_COORDINATOR, DESCRIBE_GROUPS, LIST_GROUPS = 19, 20, 37, 10, 15, 16
OFFSET_COMMIT, OFFSET_FETCH, OFFSET_DELETE, DELETE_GROUPS, API_VERSIONS = 8, 9, 47, 42, 18
DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS, UPDATE_FEATURES, HEARTBEAT, DESCRIBE = 32, 44, 57, 68, 69
NONE, UNKNOWN_TOPIC, UNKNOWN_MEMBER, UNSUPPORTED_VERSION, INVALID_CONFIG, INVALID_REQUEST = 0, 3, 25, 35, 40, 42
NON_EMPTY, GROUP_NOT_FOUND, SUBSCRIBED, FENCED_EPOCH, STALE_EPOCH = 68, 69, 86, 110, 113
GROUP_RESOURCE = 32

CACHE = os.environ.get("OTTLA_ACC_CACHE") or os.path.expanduser("~/.cache/ottla-acceptance")
PYTHON = os.path.join(CACHE, "py/bin/python")
needs_librdkafka = pytest.mark.skipif(not os.path.exists(PYTHON), reason="no librdkafka with the consumer protocol: %s" % PYTHON)
needs_kafka = pytest.mark.skipif(not os.path.isdir(os.path.join(CACHE, "kafka41/libs")), reason="no Kafka 4.1 in " + CACHE)


@pytest.fixture
def broker(fresh_ottla):
    o = fresh_ottla(QUIET)
    with w.Connection(o.kafka_port) as c:
        create_topic(c, "t", 4)
        find_coordinator(c)
    return o


@pytest.fixture
def client(broker):
    with w.Connection(broker.kafka_port) as c:
        yield c


def create_topic(c, name, partitions):
    r = c.ask(CREATE_TOPICS, 2, w.array([w.string(name) + w.i32(partitions) + w.i16(1) + w.array([]) + w.array([])]) + w.i32(10000) + w.i8(0))
    r.i32()
    assert r.array(lambda: (r.string(), r.i16(), r.string()))[0][1] == NONE


def find_coordinator(c):
    def found():
        r = c.ask(FIND_COORDINATOR, 1, w.string("g") + w.i8(0))
        r.i32()
        return r.i16() == NONE
    until("a coordinator", found)


def beat(c, member, epoch, topics=None, owned=None, regex=None, timeout_ms=-1, instance=None, group="g"):
    """ConsumerGroupHeartbeat v1. owned: {topic id: [partition]}."""
    r = c.ask(HEARTBEAT, 1, w.cstring(group) + w.cstring(member) + w.i32(epoch) + w.cstring(instance) + w.cstring(None) + w.i32(timeout_ms) +
              w.carray(None if topics is None else [w.cstring(t) for t in topics]) + w.cstring(regex) + w.cstring(None) +
              w.carray(None if owned is None else [i + w.carray([w.i32(p) for p in ps]) + w.NO_TAGS for i, ps in owned.items()]) + w.NO_TAGS,
              flexible=True)
    r.i32()
    out = {"error": r.i16(), "text": r.cstring(), "member": r.cstring(), "epoch": r.i32(), "interval": r.i32(), "assignment": None}
    if r.i8() >= 0:
        out["assignment"] = dict(r.carray(lambda: (r.take(16), r.carray(r.i32), r.tags())[:2]))
        r.tags()
    r.tags()
    r.end()
    return out


def join(c, member, topics=("t",), **more):
    return beat(c, member, 0, topics=topics, owned={}, timeout_ms=60000, **more)


def partitions(answer):
    return sorted(p for ps in answer["assignment"].values() for p in ps)


def describe(c, group="g"):
    r = c.ask(DESCRIBE, 1, w.carray([w.cstring(group)]) + w.i8(1) + w.NO_TAGS, flexible=True)
    r.i32()

    def assignment():
        topics = r.carray(lambda: (r.take(16), r.cstring(), r.carray(r.i32), r.tags()))
        r.tags()
        return {name: ps for _, name, ps, _ in topics}

    def member():
        out = {"id": r.cstring(), "instance": r.cstring(), "rack": r.cstring(), "epoch": r.i32(), "client": r.cstring(), "host": r.cstring(),
               "topics": r.carray(r.cstring), "regex": r.cstring(), "assignment": assignment(), "target": assignment(), "type": r.i8()}
        r.tags()
        return out
    groups = r.carray(lambda: {"error": r.i16(), "text": r.cstring(), "id": r.cstring(), "state": r.cstring(), "epoch": r.i32(), "assignment_epoch": r.i32(),
                               "assignor": r.cstring(), "members": r.carray(member), "operations": r.i32(), "end": r.tags()})
    r.tags()
    r.end()
    return groups[0]


def commit(c, member, epoch, offset, version=9):
    body = w.cstring("g") + w.i32(epoch) + w.cstring(member) + w.cstring(None) + w.carray(
        [w.cstring("t") + w.carray([w.i32(0) + w.i64(offset) + w.i32(-1) + w.cstring("") + w.NO_TAGS]) + w.NO_TAGS]) + w.NO_TAGS
    r = c.ask(OFFSET_COMMIT, version, body, flexible=True)
    r.i32()
    return r.carray(lambda: (r.cstring(), r.carray(lambda: (r.i32(), r.i16(), r.tags())), r.tags()))[0][1][0][1]


def fetch(c, member, epoch):
    r = c.ask(OFFSET_FETCH, 9, w.carray([w.cstring("g") + w.cstring(member) + w.i32(epoch) + w.carray(
        [w.cstring("t") + w.carray([w.i32(0)]) + w.NO_TAGS]) + w.NO_TAGS]) + w.i8(0) + w.NO_TAGS, flexible=True)
    r.i32()
    groups = r.carray(lambda: (r.cstring(), r.carray(lambda: (r.cstring(), r.carray(
        lambda: (r.i32(), r.i64(), r.i32(), r.cstring(), r.i16(), r.tags())), r.tags())), r.i16(), r.tags()))
    _, topics, error, _ = groups[0]
    return error, topics[0][1][0][1] if topics else None


def listed(c, types=()):
    r = c.ask(LIST_GROUPS, 5, w.carray([]) + w.carray([w.cstring(t) for t in types]) + w.NO_TAGS, flexible=True)
    r.i32()
    assert r.i16() == NONE
    return [g[:4] for g in r.carray(lambda: (r.cstring(), r.cstring(), r.cstring(), r.cstring(), r.tags()))]


def test_members_reconcile_step_by_step(client):
    a = join(client, "A")
    assert (a["error"], a["epoch"], a["interval"], partitions(a)) == (NONE, 1, 5000, [0, 1, 2, 3])
    topic = list(a["assignment"])[0]
    b = join(client, "B")
    assert (b["epoch"], b["assignment"]) == (2, {})
    a = beat(client, "A", 1)
    assert (a["epoch"], partitions(a)) == (1, [0, 1])
    group = describe(client)
    assert (group["state"], group["epoch"], group["assignment_epoch"], group["assignor"]) == ("Reconciling", 2, 2, "uniform")
    assert group["operations"] == 3400
    members = {m["id"]: m for m in group["members"]}
    assert members["A"]["assignment"] == {"t": [0, 1]} and members["B"]["target"] == {"t": [2, 3]} and members["B"]["assignment"] == {}
    assert (members["A"]["type"], members["A"]["client"], members["A"]["host"], members["A"]["regex"]) == (1, "test", "/127.0.0.1", "")
    assert beat(client, "A", 1, owned={topic: [0, 1]})["epoch"] == 2
    assert partitions(beat(client, "B", 2)) == [2, 3]
    assert describe(client)["state"] == "Stable"
    assert beat(client, "A", 5)["error"] == FENCED_EPOCH
    assert beat(client, "X", 1)["error"] == UNKNOWN_MEMBER
    assert beat(client, "A", 1, group="no")["error"] == GROUP_NOT_FOUND
    assert beat(client, "A", -1) == {"error": NONE, "text": None, "member": "A", "epoch": -1, "interval": 0, "assignment": None}


def test_offsets_need_the_members_epoch(client):
    join(client, "A")
    assert commit(client, "A", 1, 7) == NONE
    assert commit(client, "A", 0, 8) == STALE_EPOCH
    assert commit(client, "B", 1, 8) == UNKNOWN_MEMBER
    assert commit(client, "A", 1, 8, version=8) == UNSUPPORTED_VERSION
    assert fetch(client, "A", 1) == (NONE, 7)
    assert fetch(client, "A", 2)[0] == STALE_EPOCH
    assert fetch(client, "B", 1)[0] == UNKNOWN_MEMBER
    assert fetch(client, None, -1) == (NONE, 7)


def test_lists_deletion_and_the_old_description(client):
    join(client, "A")
    assert listed(client) == [("g", "consumer", "Stable", "consumer")]
    assert listed(client, ["Consumer"]) == listed(client)
    assert listed(client, ["classic"]) == []
    r = client.ask(DESCRIBE_GROUPS, 5, w.carray([w.cstring("g")]) + w.i8(0) + w.NO_TAGS, flexible=True)
    r.i32()
    assert r.uvarint() == 2 and (r.i16(), r.cstring(), r.cstring()) == (NONE, "g", "Dead")
    r = client.ask(DESCRIBE_GROUPS, 6, w.carray([w.cstring("g")]) + w.i8(0) + w.NO_TAGS, flexible=True)
    r.i32()
    assert r.uvarint() == 2 and (r.i16(), r.cstring()) == (GROUP_NOT_FOUND, "Group g is not a classic group.")
    create_topic(client, "other", 1)
    r = client.ask(OFFSET_DELETE, 0, w.string("g") + w.array([w.string(t) + w.array([w.i32(0)]) for t in ("t", "other", "no")]))
    assert r.i16() == NONE
    r.i32()
    assert [p[0][1] for _, p in r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i16()))))] == [SUBSCRIBED, NONE, UNKNOWN_TOPIC]

    def delete():
        r = client.ask(DELETE_GROUPS, 1, w.array([w.string("g")]))
        r.i32()
        return r.array(lambda: (r.string(), r.i16()))[0][1]
    assert delete() == NON_EMPTY
    beat(client, "A", -1)
    assert delete() == NONE
    assert listed(client) == []
    assert describe(client)["error"] == GROUP_NOT_FOUND


def test_topics_that_come_and_grow_reach_the_members(client):
    a = join(client, "A", topics=["t", "later"])
    assert partitions(a) == [0, 1, 2, 3]
    create_topic(client, "later", 1)
    a = beat(client, "A", a["epoch"])
    assert (a["epoch"], partitions(a)) == (2, [0, 0, 1, 2, 3])
    r = client.ask(CREATE_PARTITIONS, 1, w.array([w.string("later") + w.i32(2) + w.array(None)]) + w.i32(10000) + w.i8(0))
    r.i32()
    assert r.array(lambda: (r.string(), r.i16(), r.string()))[0][1] == NONE
    a = beat(client, "A", 2)
    assert (a["epoch"], partitions(a)) == (3, [0, 0, 1, 1, 2, 3])
    r = client.ask(DELETE_TOPICS, 1, w.array([w.string("later")]) + w.i32(10000))
    r.i32()
    assert r.array(lambda: (r.string(), r.i16()))[0][1] == NONE
    a = beat(client, "A", 3)
    assert (a["epoch"], partitions(a)) == (3, [0, 1, 2, 3])
    assert beat(client, "A", 3, owned=a["assignment"])["epoch"] == 4


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_members_go_on_after_a_restart(fresh_ottla, end):
    o = fresh_ottla(dict(QUIET, **{"ottla.durability": "strict"}))
    with w.Connection(o.kafka_port) as c:
        create_topic(c, "t", 4)
        find_coordinator(c)
        a = join(c, "A", topics=[], regex="t+")
        topic = list(a["assignment"])[0]
        join(c, "B", instance="i")
        assert partitions(beat(c, "A", 1)) == [0, 1]
        before = describe(c)
    getattr(o, end)()
    o.start()
    with w.Connection(o.kafka_port) as c:
        find_coordinator(c)
        until("the group", lambda: describe(c)["error"] == NONE)
        assert describe(c) == before
        assert beat(c, "A", 1, owned={topic: [0, 1]})["epoch"] == 2
        assert partitions(beat(c, "B", 2, instance="i")) == [2, 3]


def configs(c, name, changes):
    """IncrementalAlterConfigs of a group; the error."""
    r = c.ask(INCREMENTAL_ALTER_CONFIGS, 0, w.array([w.i8(GROUP_RESOURCE) + w.string(name) + w.array(
        [w.string(n) + w.i8(0 if v is not None else 1) + w.string(v) for n, v in changes.items()])]) + w.i8(0))
    r.i32()
    return r.array(lambda: (r.i16(), r.string(), r.i8(), r.string()))[0][:2]


def described_configs(c, name):
    r = c.ask(DESCRIBE_CONFIGS, 1, w.array([w.i8(GROUP_RESOURCE) + w.string(name) + w.array(None)]) + w.i8(0))
    r.i32()
    results = r.array(lambda: (r.i16(), r.string(), r.i8(), r.string(), r.array(lambda: (
        r.string(), r.string(), r.i8(), r.i8(), r.i8(), r.array(lambda: (r.string(), r.string(), r.i8()))))))
    return results[0][0], {n: (v, source) for n, v, _, source, _, _ in results[0][4]}


def test_options_of_a_group_are_checked_and_live(client):
    join(client, "A")
    assert configs(client, "g", {"consumer.heartbeat.interval.ms": "7000", "consumer.session.timeout.ms": "50000"})[0] == NONE
    assert beat(client, "A", 1)["interval"] == 7000
    error, shown = described_configs(client, "g")
    assert (error, shown["consumer.heartbeat.interval.ms"], shown["consumer.session.timeout.ms"]) == (NONE, ("7000", 8), ("50000", 8))
    assert described_configs(client, "other")[1]["consumer.session.timeout.ms"] == ("45000", 5)
    assert configs(client, "g", {"consumer.heartbeat.interval.ms": "1"})[0] == INVALID_CONFIG
    assert configs(client, "g", {"consumer.session.timeout.ms": "70000"})[0] == INVALID_CONFIG
    assert configs(client, "g", {"no.such": "1"})[0] == INVALID_CONFIG
    assert configs(client, "g", {"share.auto.offset.reset": "by_duration:P1DT2H"})[0] == NONE
    assert configs(client, "g", {"share.auto.offset.reset": "by_duration:P1H"})[0] == INVALID_CONFIG
    assert configs(client, "", {"consumer.session.timeout.ms": "50000"})[0] == INVALID_REQUEST
    assert configs(client, "g", {"consumer.heartbeat.interval.ms": None})[0] == NONE
    assert beat(client, "A", 1)["interval"] == 5000


def test_without_the_feature_there_are_no_such_groups(client):
    def level(value, kind):
        r = client.ask(UPDATE_FEATURES, 1, w.i32(1000) + w.carray([w.cstring("group.version") + w.i16(value) + w.i8(kind) + w.NO_TAGS]) + w.i8(0) + w.NO_TAGS, flexible=True)
        r.i32()
        r.i16()
        r.cstring()
        assert r.carray(lambda: (r.cstring(), r.i16(), r.cstring(), r.tags()))[0][1] == NONE
    level(0, 2)
    assert join(client, "A")["error"] == UNSUPPORTED_VERSION
    assert describe(client)["error"] == UNSUPPORTED_VERSION
    level(1, 1)
    assert join(client, "A")["error"] == NONE


def test_an_older_cluster_has_the_new_groups_when_somebody_upgrades_it(fresh_ottla, tmp_path):
    """The directory was made by a real Kafka 4.1.1 whose cluster stands at metadata.version 3.9: neither group.version nor share.version
    has a record. Kafka answers UNSUPPORTED_VERSION there until `kafka-features upgrade`."""
    with tarfile.open(os.path.join(ROOT, "tests", "golden", "kafka-datadir-3.9.tar.gz")) as packed:
        packed.extractall(tmp_path / "data")
    o = fresh_ottla(dict(QUIET), folder=str(tmp_path))

    def upgrade(feature):
        with w.Connection(o.kafka_port) as c:
            r = c.ask(UPDATE_FEATURES, 2, w.i32(10000) + w.carray([w.cstring(feature) + w.i16(1) + w.i8(1) + w.NO_TAGS]) + w.i8(0) + w.NO_TAGS, flexible=True)
        r.i32()
        assert r.i16() == NONE, r.cstring()

    def share_error():
        with w.Connection(o.kafka_port) as c:
            body = w.cstring("s") + w.cstring("AAAAAAAAAAAAAAAAAAAAAQ") + w.i32(0) + w.cstring(None) + w.carray([w.cstring("t")]) + w.NO_TAGS
            r = c.ask(76, 1, body, flexible=True)
        r.i32()
        return r.i16()
    for _ in range(2):
        with w.Connection(o.kafka_port) as c:
            find_coordinator(c)
            assert join(c, "A")["error"] == UNSUPPORTED_VERSION
        assert share_error() == UNSUPPORTED_VERSION
        o.stop()
        o.start()  # our own start writes no level either
    upgrade("group.version")
    upgrade("share.version")
    for _ in range(2):
        with w.Connection(o.kafka_port) as c:
            find_coordinator(c)
            assert until("groups are read", lambda: join(c, "A")["error"] == NONE, 20)
        assert share_error() == NONE
        o.kill()
        o.start()


def test_without_the_protocol_there_are_no_such_groups(fresh_ottla):
    o = fresh_ottla(dict(QUIET, **{"group.coordinator.rebalance.protocols": "classic"}))
    with w.Connection(o.kafka_port) as c:
        find_coordinator(c)
        assert join(c, "A")["error"] == UNSUPPORTED_VERSION


# -- librdkafka --

CONSUMER = """
import json, select, sys
from confluent_kafka import Consumer
c = Consumer(json.loads(sys.argv[1]))
c.subscribe(sys.argv[2].split(","))
seen, last = 0, None
while not select.select([sys.stdin], [], [], 0)[0]:
    m = c.poll(0.05)
    seen += bool(m and not m.error())
    state = [sorted([p.topic, p.partition] for p in c.assignment()), seen]
    if state != last: print(json.dumps(state), flush=True)
    last = state
c.close()
"""


class Consumer:
    """A consumer in a process of its own; assignment and seen are what it last said."""

    def __init__(self, broker, topics, protocol="consumer", **config):
        config = dict({"bootstrap.servers": broker.bootstrap, "group.id": "g", "group.protocol": protocol, "auto.offset.reset": "earliest"},
                      **{k.replace("_", "."): v for k, v in config.items()})
        if protocol == "classic":
            config.setdefault("partition.assignment.strategy", "cooperative-sticky")
        self.assignment, self.seen = [], 0
        self.process = subprocess.Popen([PYTHON, "-c", CONSUMER, json.dumps(config), ",".join(topics)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            assignment, self.seen = json.loads(line)
            self.assignment = [tuple(p) for p in assignment]

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.write("\n")
            self.process.stdin.close()
            self.process.wait(60)
        self.reader.join(10)
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def consumer(broker):
    started = []

    def start(*arguments, **more):
        started.append(Consumer(broker, *arguments, **more))
        return started[-1]
    yield start
    for c in started:
        c.kill()


def produce(broker, topic, count):
    from confluent_kafka import Producer
    p = Producer({"bootstrap.servers": broker.bootstrap})
    for i in range(count):
        p.produce(topic, b"%d" % i, partition=i % 4)
    p.flush()


def shared_out(*consumers, topic="t"):
    """Each partition is with one of them, and they have equally many."""
    have = [p for c in consumers for p in c.assignment]
    return sorted(have) == [(topic, p) for p in range(4)] and len({len(c.assignment) for c in consumers}) == 1


@needs_librdkafka
def test_consumers_share_come_and_go(broker, consumer):
    produce(broker, "t", 100)
    a = consumer(["t"])
    until("all records", lambda: a.seen == 100 and shared_out(a))
    b = consumer(["t"])
    until("half each", lambda: shared_out(a, b), timeout_s=60)
    b.close()
    until("all again", lambda: shared_out(a), timeout_s=60)
    produce(broker, "t", 8)
    until("the rest", lambda: a.seen == 108)


@needs_librdkafka
def test_a_pattern_follows_new_topics(broker, consumer, client):
    a = consumer(["^t.*"])
    until("what there is", lambda: len(a.assignment) == 4)
    create_topic(client, "tea", 2)
    until("the new one", lambda: ("tea", 1) in a.assignment, timeout_s=60)


@needs_librdkafka
def test_a_living_group_changes_its_protocol_and_goes_back(broker, consumer, client):
    produce(broker, "t", 100)
    old = consumer(["t"], protocol="classic", session_timeout_ms=10000, heartbeat_interval_ms=500)
    until("the classic group", lambda: old.seen == 100 and shared_out(old))
    assert listed(client)[0][3] == "classic"
    new = consumer(["t"])
    until("half each", lambda: shared_out(old, new), timeout_s=60)
    assert listed(client)[0][3] == "consumer"
    assert sorted(m["type"] for m in describe(client)["members"]) == [0, 1]
    produce(broker, "t", 8)
    until("each its half", lambda: (old.seen - 100, new.seen) == (4, 4))
    new.close()
    until("a classic group again", lambda: listed(client)[0][3] == "classic", timeout_s=60)
    until("all again", lambda: shared_out(old), timeout_s=60)
    produce(broker, "t", 8)
    until("the rest", lambda: old.seen == 112)


# -- Kafka's tools --

def tool(name, *arguments, fails=False):
    done = subprocess.run(["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", os.path.join(CACHE, "kafka41/libs/*"), name,
                           *arguments], capture_output=True, text=True, timeout=120)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout


@needs_kafka
def test_kafkas_tools_show_the_group(broker, client):
    a = join(client, "member-A", topics=[], regex="t.*")
    join(client, "member-B", instance="i")
    topic = list(a["assignment"])[0]
    beat(client, "member-A", 1)
    assert beat(client, "member-A", 1, owned={topic: [0, 1]})["epoch"] == 2
    assert partitions(beat(client, "member-B", 2, instance="i")) == [2, 3]
    groups = ["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", broker.bootstrap]
    state = tool(*groups, "--describe", "--group", "g", "--state", "--verbose")
    assert re.search(r"^g +127\.0\.0\.1:\d+ +\(1\) +uniform +Stable +2 +2 +2", state, re.M), state
    members = tool(*groups, "--describe", "--group", "g", "--members", "--verbose")
    assert re.search(r"^g +member-A .* 2 .*t:0,1", members, re.M), members
    assert re.search(r"^g +member-B .* 2 .*t:2,3", members, re.M), members
    assert re.search(r"^g +Consumer *$", tool(*groups, "--list", "--type"), re.M | re.I)
    # The log as Kafka decodes it.
    directory = [d for d in glob.glob(os.path.join(broker.data, "__consumer_offsets-*")) if os.path.getsize(os.path.join(d, "0" * 20 + ".log"))]
    dump = tool("kafka.tools.DumpLogSegments", "--offsets-decoder", "--files", os.path.join(directory[0], "0" * 20 + ".log"))
    records = [json.loads(m.group(1)) for m in re.finditer(r"payload: (\{.*\})$", dump, re.M)]
    keys = re.findall(r'key: (\{"type":"?[^}]*\}\})', dump)
    assert {str(json.loads(k)["type"]) for k in keys} >= {"3", "5", "6", "7", "8", "16"}, dump
    positions = [r["data"] for r in records if "memberEpoch" in r["data"]]
    assert [p["memberEpoch"] for p in positions] == [1, 2, 1, 2, 2], dump
    assert positions[-1]["assignedPartitions"][0]["partitions"] == [2, 3]


@needs_kafka
def test_javas_consumer(broker):
    produce(broker, "t", 100)
    out = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker.bootstrap, "--topic", "t", "--group", "java",
               "--consumer-property", "group.protocol=consumer", "--from-beginning", "--max-messages", "100", "--timeout-ms", "60000")
    assert len(out.split()) == 100
    with w.Connection(broker.kafka_port) as c:
        group = describe(c, "java")
        assert (group["error"], group["state"]) == (NONE, "Empty")
