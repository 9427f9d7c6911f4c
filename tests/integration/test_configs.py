"""DescribeConfigs and the two AlterConfigs against what a real Kafka 4.1 answered: names, types, defaults, synonyms, bounds,
texts of refusals."""
import json
import lzma
import os
import re

import pytest

from lib import wire as w
from lib.ottla import ROOT, Ottla

DESCRIBE, ALTER, INCREMENTAL, LIST_RESOURCES, METADATA = 32, 33, 44, 74, 3
TOPIC, BROKER, CLIENT_METRICS, GROUP = 2, 4, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
NONE, INVALID_TOPIC, UNKNOWN_TOPIC, INVALID_CONFIG, INVALID_REQUEST = 0, 17, 3, 40, 42
TYPES = {1: "BOOLEAN", 2: "STRING", 3: "INT", 4: "SHORT", 5: "LONG", 6: "DOUBLE", 7: "LIST", 8: "CLASS", 9: "PASSWORD"}
SOURCES = {1: "DYNAMIC_TOPIC_CONFIG", 2: "DYNAMIC_BROKER_CONFIG", 3: "DYNAMIC_DEFAULT_BROKER_CONFIG", 4: "STATIC_BROKER_CONFIG",
           5: "DEFAULT_CONFIG", 7: "DYNAMIC_CLIENT_METRICS_CONFIG", 8: "DYNAMIC_GROUP_CONFIG"}

with lzma.open(os.path.join(ROOT, "tests/golden/kafka-configs.json.xz")) as packed:
    KAFKA = json.load(packed)

# Where we differ from Kafka and mean to; docs/protocol-kafka.md and the options' texts say why.
OUR_VALUES = {"flush.ms", "log.flush.interval.ms", "log.flush.offset.checkpoint.interval.ms", "log.dir", "num.network.threads",
              "queued.max.request.bytes", "socket.receive.buffer.bytes", "socket.send.buffer.bytes"}
READ_ONLY_HERE = {"listeners", "listener.security.protocol.map", "num.network.threads"}
OUR_BOUNDS = {"segment.bytes", "log.segment.bytes"}           # 1024, as tools of Kafka 3 use


@pytest.fixture(scope="module")
def broker():
    with Ottla({"connect.listeners": "", "broker.rack": "here"}) as o:
        with w.Connection(o.kafka_port) as c:
            c.ask(METADATA, 3, w.array([w.string("t")]))                        # which creates it
        yield o


@pytest.fixture
def client(broker):
    with w.Connection(broker.kafka_port) as c:
        yield c


def describe(c, kind, name, keys=None, documentation=True):
    """{name: {value, type, source, readOnly, synonyms, doc}}, or the error with its text."""
    r = c.ask(DESCRIBE, 4, w.carray([w.i8(kind) + w.cstring(name) + w.carray(None if keys is None else [w.cstring(k) for k in keys]) + w.NO_TAGS]) +
              w.i8(1) + w.i8(documentation) + w.NO_TAGS, flexible=True)
    r.i32()

    def synonym():
        return r.cstring(), r.cstring(), SOURCES[r.i8()], r.tags()

    def config():
        return {"name": r.cstring(), "value": r.cstring(), "readOnly": bool(r.i8()), "source": SOURCES[r.i8()], "sensitive": bool(r.i8()),
                "synonyms": ["%s:%s" % (s[2], s[0]) for s in r.carray(synonym)], "type": TYPES[r.i8()], "doc": r.cstring(), "tags": r.tags()}
    [(error, text, kind_told, name_told, configs, _)] = r.carray(
        lambda: (r.i16(), r.cstring(), r.i8(), r.cstring(), r.carray(config), r.tags()))
    assert (kind_told, name_told) == (kind, name)
    if error:
        return error, text
    return {x["name"]: x for x in configs}


def alter(c, kind, name, *changes, validate=False):
    """changes: (name, value) sets, (name, value, operation). Returns (error, text)."""
    ops = [w.cstring(change[0]) + w.i8(change[2] if len(change) > 2 else SET) + w.cstring(change[1]) + w.NO_TAGS for change in changes]
    r = c.ask(INCREMENTAL, 1, w.carray([w.i8(kind) + w.cstring(name) + w.carray(ops) + w.NO_TAGS]) + w.i8(validate) + w.NO_TAGS, flexible=True)
    r.i32()
    [(error, text, *_)] = r.carray(lambda: (r.i16(), r.cstring(), r.i8(), r.cstring(), r.tags()))
    assert (error == NONE) == (text is None)
    return error, text


def replace(c, kind, name, values):
    r = c.ask(ALTER, 1, w.array([w.i8(kind) + w.string(name) + w.array([w.string(k) + w.string(v) for k, v in values.items()])]) + w.i8(0))
    r.i32()
    [(error, text, *_)] = r.array(lambda: (r.i16(), r.string(), r.i8(), r.string()))
    return error, text


# -- what is told --

@pytest.mark.parametrize("kind, name, kafka", [(TOPIC, "t", "TOPIC"), (BROKER, "1", "BROKER"), (GROUP, "nobody", "GROUP"),
                                               (CLIENT_METRICS, "none", "CLIENT_METRICS")])
def test_every_option_of_kafka_is_told_as_kafka_tells_it(client, kind, name, kafka):
    ours = describe(client, kind, name)
    different = []
    for theirs in KAFKA["described"][kafka]:
        option = theirs["name"]
        told = ours.pop(option, None)
        if told is None:
            different.append((option, "is missing"))
            continue
        if told["type"] != theirs["type"]:
            different.append((option, told["type"], theirs["type"]))
        if told["readOnly"] != theirs.get("readOnly", False) and option not in READ_ONLY_HERE:
            different.append((option, "read only", told["readOnly"]))
        if not told["doc"]:
            different.append((option, "has no documentation"))
        if told["sensitive"] != (theirs["type"] == "PASSWORD"):
            different.append((option, "sensitive", told["sensitive"]))
        # What the installation of the real one had set says nothing about a default.
        if theirs["source"] != "DEFAULT_CONFIG" or told["source"] != "DEFAULT_CONFIG" or theirs.get("value") == "(installation)":
            continue
        if told["value"] != theirs.get("value") and option not in OUR_VALUES:
            different.append((option, told["value"], theirs.get("value")))
        if told["synonyms"] != theirs["synonyms"] and option not in OUR_VALUES:
            different.append((option, told["synonyms"], theirs["synonyms"]))
    assert different == []
    assert all(x.startswith(("ottla.", "connect.", "metrics.")) or x.endswith(".storage.topic") or kind == BROKER and x == "broker.rack" for x in ours), sorted(ours)


def test_a_few_options_are_told_alone_and_without_documentation(client):
    told = describe(client, TOPIC, "t", ["retention.ms", "no.such"], documentation=False)
    assert list(told) == ["retention.ms"] and told["retention.ms"]["doc"] is None


def test_what_the_file_says_is_a_static_value(client):
    told = describe(client, BROKER, "1")["broker.rack"]
    assert (told["value"], told["source"], told["synonyms"]) == ("here", "STATIC_BROKER_CONFIG", ["STATIC_BROKER_CONFIG:broker.rack"])


@pytest.mark.parametrize("kind, name, error, text", [
    (TOPIC, "absent", UNKNOWN_TOPIC, None),
    (TOPIC, "b/d", INVALID_TOPIC, "Topic name is invalid: 'b/d' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
    (BROKER, "2", INVALID_REQUEST, None),
    (GROUP, "", INVALID_REQUEST, None),
    (CLIENT_METRICS, "", INVALID_REQUEST, None),
    (99, "x", INVALID_REQUEST, None),
])
def test_what_is_not_there_cannot_be_described(client, kind, name, error, text):
    told = describe(client, kind, name)
    assert told[0] == error and told[1] and (text is None or told[1] == text)


@pytest.mark.parametrize("name, change, error", [
    ("b/d", ("retention.ms", "1", SUBTRACT), INVALID_CONFIG),                  # no list: seen before the name is
    ("b/d", ("retention.ms", None), INVALID_REQUEST),
    ("b/d", ("retention.ms", "many"), INVALID_TOPIC),
    ("", ("retention.ms", "1"), INVALID_REQUEST),
    ("absent", ("retention.ms", "many"), INVALID_CONFIG),
    ("absent", ("retention.ms", "1"), UNKNOWN_TOPIC),
])
def test_of_several_things_that_are_wrong_kafkas_is_named(client, name, change, error):
    assert alter(client, TOPIC, name, change)[0] == error


@pytest.mark.parametrize("kind, name", [(TOPIC, "t"), (GROUP, "g"), (CLIENT_METRICS, "m"), (BROKER, "1"), (BROKER, "")])
def test_what_nobody_knows_may_be_removed(client, kind, name):
    assert alter(client, kind, name, ("no.such", None, DELETE)) == (NONE, None)


# -- bounds --

def beyond(valid):
    """[(value, text of the refusal)] of a range as ConfigDef prints it."""
    match = re.fullmatch(r"\[(-?\d+),...(?:,(-?\d+))?\]", valid)
    if not match:
        return []
    low, high = match.groups()
    out = [(str(int(low) - 1), "Value must be at least " + low)]
    return out + ([(str(int(high) + 1), "Value must be no more than " + high)] if high else [])


@pytest.mark.parametrize("kind, name, kafka, error", [(TOPIC, "t", "topic", INVALID_CONFIG), (BROKER, "", "broker", INVALID_REQUEST)])
def test_values_beyond_kafkas_bounds_are_refused_with_its_text(client, kind, name, kafka, error):
    told, tried = describe(client, kind, name if name else "1"), 0
    for option, valid in KAFKA["valid"][kafka].items():
        if option not in told or told[option]["readOnly"] or option in OUR_BOUNDS:
            continue
        if told[option]["doc"].startswith("An option of Kafka that has no effect"):
            continue
        for value, text in beyond(valid):
            assert alter(client, kind, name, (option, value), validate=True) == (
                error, "Invalid value %s for configuration %s: %s" % (value, option, text)), option
            tried += 1
    assert tried > 10


@pytest.mark.parametrize("option, value, text", [
    ("retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"),
    ("retention.ms", "99999999999999999999", "Invalid value 99999999999999999999 for configuration retention.ms: Not a number of type LONG"),
    ("cleanup.policy", "x", "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete"),
    ("compression.type", "x", "Invalid value x for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"),
    ("compression.gzip.level", "10", "Invalid value 10 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"),
    ("compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"),
    ("min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"),
    ("min.cleanable.dirty.ratio", "x", "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"),
    ("preallocate", "maybe", "Invalid value maybe for configuration preallocate: Expected value to be either true or false"),
    ("no.such", "5", "Unknown topic config name: no.such"),
    ("leader.replication.throttled.replicas", "1:x",
     "Invalid value [1:x] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal "
     "'*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."),
    ("remote.storage.enable", "true",
     "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."),
])
def test_a_topics_bad_value_is_refused_and_nothing_changes(client, option, value, text):
    before = describe(client, TOPIC, "t")
    assert alter(client, TOPIC, "t", ("retention.ms", "777"), (option, value)) in (
        [(INVALID_CONFIG, text)] if option != "retention.ms" else [(INVALID_REQUEST, "Error due to duplicate config keys")])
    if option == "retention.ms":
        assert alter(client, TOPIC, "t", (option, value)) == (INVALID_CONFIG, text)
    assert describe(client, TOPIC, "t") == before


@pytest.mark.parametrize("kind, name, change, error, text", [
    (TOPIC, "", ("retention.ms", "5"), INVALID_REQUEST, "Default topic resources are not allowed."),
    (TOPIC, "absent", ("retention.ms", "5"), UNKNOWN_TOPIC, "The topic 'absent' does not exist."),
    (TOPIC, "t", ("retention.ms", None), INVALID_REQUEST, "Null value not supported for : retention.ms"),
    (TOPIC, "t", ("retention.ms", "5", APPEND), INVALID_CONFIG, "Can't APPEND to key retention.ms because its type is not LIST."),
    (BROKER, "1", ("num.partitions", "5"), INVALID_REQUEST, "Cannot update these configs dynamically: Set(num.partitions)"),
    (BROKER, "2", ("log.retention.ms", "5"), INVALID_REQUEST, "Unexpected broker id, expected 1, but received 2"),
    (BROKER, "x", ("log.retention.ms", "5"), INVALID_REQUEST, "Node id must be an integer, but it is: x"),
    (BROKER, "", ("log.retention.ms", "x"), INVALID_REQUEST, "Invalid value x for configuration log.retention.ms: Not a number of type LONG"),
    (GROUP, "", ("consumer.session.timeout.ms", "50000"), INVALID_REQUEST, "Default group resources are not allowed."),
    (GROUP, "g", ("consumer.session.timeout.ms", "1"), INVALID_CONFIG,
     "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"),
    (GROUP, "g", ("consumer.session.timeout.ms", "70000"), INVALID_CONFIG,
     "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms"),
    (GROUP, "g", ("share.record.lock.duration.ms", "500"), INVALID_CONFIG,
     "Invalid value 500 for configuration share.record.lock.duration.ms: Value must be at least 1000"),
    (GROUP, "g", ("share.auto.offset.reset", "by_duration:PT"), INVALID_CONFIG,
     "Invalid value by_duration:PT for configuration share.auto.offset.reset: The value must be either 'earliest', 'latest' or of the format "
     "'by_duration:<PnDTnHnMn.nS>'."),
    (GROUP, "g", ("no.such", "1"), INVALID_CONFIG, "Unknown group config name: no.such"),
    (CLIENT_METRICS, "", ("metrics", "a"), INVALID_REQUEST, "Subscription name can't be empty"),
    (CLIENT_METRICS, "m", ("interval.ms", "50"), INVALID_REQUEST,
     "Invalid value 50 for interval.ms, interval must be between 100 and 3600000 (1 hour)"),
    (CLIENT_METRICS, "m", ("match", "client_id=[a"), INVALID_CONFIG, "Illegal client matching pattern: client_id=[a"),
    (CLIENT_METRICS, "m", ("match", "nobody=a"), INVALID_CONFIG, "Illegal client matching pattern: nobody=a"),
    (CLIENT_METRICS, "m", ("no.such", "a"), INVALID_REQUEST, "Unknown client metrics configuration: no.such"),
    (64, "x", ("a", "b"), INVALID_REQUEST, "Unknown resource type 64"),
])
def test_refusals_have_kafkas_code_and_text(client, kind, name, change, error, text):
    assert alter(client, kind, name, change) == (error, text)


# -- what is set --

def test_brokers_options_are_set_for_one_and_for_all_in_kafkas_order(client):
    def told():
        x = describe(client, BROKER, "1")["log.retention.ms"]
        return x["value"], x["source"], x["synonyms"]
    own, all_brokers, base = "DYNAMIC_BROKER_CONFIG:log.retention.ms", "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms", []
    assert told()[0] is None
    assert alter(client, BROKER, "", ("log.retention.ms", "1000000")) == (NONE, None)
    assert told() == ("1000000", "DYNAMIC_DEFAULT_BROKER_CONFIG", [all_brokers] + base)
    assert alter(client, BROKER, "1", ("log.retention.ms", "2000000")) == (NONE, None)
    assert told() == ("2000000", "DYNAMIC_BROKER_CONFIG", [own, all_brokers] + base)
    topic = describe(client, TOPIC, "t")["retention.ms"]
    assert (topic["value"], topic["source"]) == ("2000000", "DYNAMIC_BROKER_CONFIG"), "topics inherit it"
    assert set(describe(client, BROKER, "")) == {"log.retention.ms"}, "of all brokers: what is set"
    assert alter(client, BROKER, "1", ("log.retention.ms", None, DELETE)) == (NONE, None)
    assert alter(client, BROKER, "", ("log.retention.ms", None, DELETE)) == (NONE, None)
    assert told()[0] is None and describe(client, BROKER, "") == {}


def test_lists_are_appended_to_and_subtracted_from(client):
    assert alter(client, TOPIC, "t", ("cleanup.policy", "compact", APPEND)) == (NONE, None)
    assert describe(client, TOPIC, "t")["cleanup.policy"]["value"] == "delete,compact"
    assert alter(client, TOPIC, "t", ("cleanup.policy", "delete", SUBTRACT)) == (NONE, None)
    assert describe(client, TOPIC, "t")["cleanup.policy"]["value"] == "compact"
    assert alter(client, TOPIC, "t", ("cleanup.policy", None, DELETE)) == (NONE, None)


def test_a_dry_run_changes_nothing(client):
    for kind, name, option, value in ((TOPIC, "t", "retention.ms", "5"), (BROKER, "", "log.retention.ms", "5"),
                                      (GROUP, "dry", "share.isolation.level", "read_committed"), (CLIENT_METRICS, "dry", "metrics", "a")):
        before = describe(client, kind, name)
        assert alter(client, kind, name, (option, value), validate=True) == (NONE, None)
        assert describe(client, kind, name) == before


def resources(c, *types):
    r = c.ask(LIST_RESOURCES, 1, w.carray([w.i8(t) for t in types]) + w.NO_TAGS, flexible=True)
    r.i32()
    assert r.i16() == NONE
    return {(kind, name) for name, kind, _ in r.carray(lambda: (r.cstring(), r.i8(), r.tags()))}


def test_groups_and_client_metrics_have_options_that_stay_over_a_restart(fresh_ottla):
    o = fresh_ottla({"connect.listeners": "", "group.consumer.session.timeout.ms": "46000"})
    with w.Connection(o.kafka_port) as c:
        assert describe(c, GROUP, "g")["consumer.session.timeout.ms"]["value"] == "46000", "the broker's"
        assert alter(c, GROUP, "g", ("consumer.session.timeout.ms", "50000"), ("share.auto.offset.reset", "by_duration:P1DT2H3.5S")) == (NONE, None)
        assert replace(c, CLIENT_METRICS, "m", {"metrics": "org.apache.kafka.producer.", "interval.ms": "1000", "match": "client_id=a.*,client_source_address=127.*"}) == (NONE, None)
        assert resources(c, GROUP, CLIENT_METRICS) == {(GROUP, "g"), (CLIENT_METRICS, "m")}
    o.stop()
    o.start()
    with w.Connection(o.kafka_port) as c:
        x = describe(c, GROUP, "g")["consumer.session.timeout.ms"]
        assert (x["value"], x["source"], x["synonyms"]) == ("50000", "DYNAMIC_GROUP_CONFIG", ["DYNAMIC_GROUP_CONFIG:consumer.session.timeout.ms"])
        x = describe(c, CLIENT_METRICS, "m")["interval.ms"]
        assert (x["value"], x["source"], x["synonyms"]) == ("1000", "DYNAMIC_CLIENT_METRICS_CONFIG", ["DYNAMIC_CLIENT_METRICS_CONFIG:interval.ms"])
        assert alter(c, GROUP, "g", ("consumer.session.timeout.ms", None, DELETE), ("share.auto.offset.reset", None, DELETE)) == (NONE, None)
        assert replace(c, CLIENT_METRICS, "m", {}) == (NONE, None)
        assert resources(c, GROUP, CLIENT_METRICS) == set()
