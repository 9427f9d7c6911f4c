"""The administration APIs' answers to what is wrong, as a real Kafka 4.1 gives them: codes, texts, each name answered once."""
import pytest

from lib import wire as w
from lib.ottla import Ottla
from lib.wait import until

METADATA, FIND_COORDINATOR, INIT_PRODUCER_ID, LIST_TRANSACTIONS = 3, 10, 22, 66
CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS, ELECT, REASSIGN, LIST_REASSIGNMENTS = 19, 20, 37, 43, 45, 46
QUORUM, FEATURES, CLUSTER, PRODUCERS, TRANSACTIONS, TOPIC_PARTITIONS = 55, 57, 60, 61, 65, 75
NO_ID = b"\0" * 16
INVALID_REGULAR_EXPRESSION = 128


@pytest.fixture(scope="module")
def broker():
    with Ottla({"connect.listeners": ""}) as o:
        with w.Connection(o.kafka_port) as c:
            assert create(c, topic("t", 3, 1)) == [("t", 0, None)]
        yield o


@pytest.fixture
def client(broker):
    with w.Connection(broker.kafka_port) as c:
        yield c


def topic(name, partitions=-1, replicas=-1, assignment=()):
    return (w.cstring(name) + w.i32(partitions) + w.i16(replicas) +
            w.carray([w.i32(i) + w.carray([w.i32(b) for b in brokers]) + w.NO_TAGS for i, brokers in assignment]) + w.carray([]) + w.NO_TAGS)


def create(c, *topics, validate=False):
    r = c.ask(CREATE_TOPICS, 7, w.carray(list(topics)) + w.i32(5000) + w.i8(validate) + w.NO_TAGS, flexible=True)
    r.i32()

    def config():
        return r.cstring(), r.cstring(), r.i8(), r.i8(), r.i8(), r.tags()
    out = r.carray(lambda: (r.cstring(), r.take(16), r.i16(), r.cstring(), r.i32(), r.i16(), r.carray(config), r.tags()))
    return [(name, error, text) for name, _, error, text, *_ in out]


@pytest.mark.parametrize("asked, error, text", [
    (topic("x", 0, 1), 37, "Number of partitions was set to an invalid non-positive value."),
    (topic("x", 1, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
    (topic("t", 1, 1), 36, "Topic 't' already exists."),
    (topic("t", assignment=[(0, [9])]), 36, "Topic 't' already exists."),
    (topic("b d", 1, 1), 17, "Topic name is invalid: 'b d' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
    (topic("", 1, 1), 17, "Topic name is invalid: the empty string is not allowed"),
    (topic(".", 1, 1), 17, "Topic name is invalid: '.' is not allowed"),
    (topic("x", 1, 1, [(0, [1])]), 42, "A manual partition assignment was specified, but replication factor was not set to -1."),
    (topic("x", assignment=[(1, [1])]), 39, "partitions should be a consecutive 0-based integer sequence"),
    (topic("x", assignment=[(0, [1]), (0, [1])]), 39, "Found multiple manual partition assignments for partition 0"),
    (topic("x", assignment=[(0, [2])]), 39, "The manual partition assignment includes broker 2, but no such broker is registered."),
    (topic("x", assignment=[(0, [])]), 39, "The manual partition assignment includes an empty replica list."),
    (topic("x", assignment=[(0, [1, 1])]), 39, "The manual partition assignment includes the broker 1 more than once."),
])
def test_topics_that_cannot_be_made(client, asked, error, text):
    assert [answer[1:] for answer in create(client, asked)] == [(error, text)]


def test_a_topic_that_stands_twice_is_answered_once(client):
    assert create(client, topic("d", 1, 1), topic("e", 1, 1), topic("d", 1, 1), validate=True) == [("d", 42, "Duplicate topic name."), ("e", 0, None)]
    assert grow(client, ("t", 4, None), ("t", 5, None)) == [("t", 42, "Duplicate topic name.")]
    assert delete(client, ("x", NO_ID), ("x", NO_ID), (None, b"\1" * 16), (None, b"\1" * 16)) == [
        ("x", 42, "Duplicate topic name."), (None, 42, "Duplicate topic id.")]


def test_a_request_for_too_many_partitions_is_refused_before_they_take_memory(broker, client):
    """All of the request's topics together, and also when they are only validated."""
    answers = create(client, topic("a", 6000, 1), topic("b", 6000, 1), topic("c", 4000, 1), validate=True)
    assert answers == [("a", 0, None), ("b", 44, "Excessively large number of partitions per request."), ("c", 0, None)]
    before = broker.rss_kb()
    assert {error for _, error, _ in create(client, *[topic("v%d" % i, 100000, 1) for i in range(500)], validate=True)} == {44}
    assert broker.rss_kb() - before < 50000
    assert grow(client, ("t", 50000, None), validate=True) == [("t", 44, "Excessively large number of partitions per request.")]


def grow(c, *topics, validate=False):
    rows = [w.cstring(name) + w.i32(count) + w.carray(None if replicas is None else [w.carray([w.i32(b) for b in r]) + w.NO_TAGS for r in replicas]) +
            w.NO_TAGS for name, count, replicas in topics]
    r = c.ask(CREATE_PARTITIONS, 3, w.carray(rows) + w.i32(5000) + w.i8(validate) + w.NO_TAGS, flexible=True)
    r.i32()
    return [x[:3] for x in r.carray(lambda: (r.cstring(), r.i16(), r.cstring(), r.tags()))]


@pytest.mark.parametrize("asked, error, text", [
    (("t", 3, None), 37, "Topic already has 3 partition(s)."),
    (("t", 2, None), 37, "The topic t currently has 3 partition(s); 2 would not be an increase."),
    (("absent", 3, None), 3, None),
    (("t", 4, [[2]]), 39, "The manual partition assignment includes broker 2, but no such broker is registered."),
    (("t", 4, [[]]), 39, "The manual partition assignment includes an empty replica list."),
    (("t", 5, [[1]]), 39, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."),
])
def test_partitions_that_cannot_be_added(client, asked, error, text):
    assert grow(client, asked) == [(asked[0], error, text)]


def delete(c, *topics):
    r = c.ask(DELETE_TOPICS, 6, w.carray([w.cstring(name) + topic_id + w.NO_TAGS for name, topic_id in topics]) + w.i32(5000) + w.NO_TAGS, flexible=True)
    r.i32()
    return [(name, error, text) for name, _, error, text, _ in r.carray(lambda: (r.cstring(), r.take(16), r.i16(), r.cstring(), r.tags()))]


@pytest.mark.parametrize("asked, error, text", [
    (("absent", NO_ID), 3, "This server does not host this topic-partition."),
    ((None, b"\1" * 16), 100, "This server does not host this topic ID."),
    (("t", b"\1" * 16), 42, "You may not specify both topic name and topic id."),
    ((None, NO_ID), 42, "Neither topic name nor id were specified."),
])
def test_topics_that_cannot_be_deleted(client, asked, error, text):
    assert [answer[1:] for answer in delete(client, asked)] == [(error, text)]


def test_leaders_need_no_election(client):
    def elect(kind, name, partition):
        r = client.ask(ELECT, 2, w.i8(kind) + w.carray([w.cstring(name) + w.carray([w.i32(partition)]) + w.NO_TAGS]) + w.i32(1000) + w.NO_TAGS, flexible=True)
        r.i32()
        top = r.i16()
        [(_, [(_, error, text, _)], _)] = r.carray(lambda: (r.cstring(), r.carray(lambda: (r.i32(), r.i16(), r.cstring(), r.tags())), r.tags()))
        return top, error, text
    assert elect(0, "t", 0) == (0, 84, "Leader election not needed for topic partition.")
    assert elect(1, "t", 9) == (0, 3, "No such partition as t-9")
    assert elect(0, "absent", 0) == (0, 3, "No such topic as absent")
    assert elect(7, "t", 0) == (42, 42, "Unknown election type 7")


def test_replicas_move_nowhere(client):
    def reassign(name, partition, replicas):
        row = w.i32(partition) + w.carray(None if replicas is None else [w.i32(b) for b in replicas]) + w.NO_TAGS
        r = client.ask(REASSIGN, 0, w.i32(1000) + w.carray([w.cstring(name) + w.carray([row]) + w.NO_TAGS]) + w.NO_TAGS, flexible=True)
        r.i32()
        assert (r.i16(), r.cstring()) == (0, None)
        [(_, [(_, error, text, _)], _)] = r.carray(lambda: (r.cstring(), r.carray(lambda: (r.i32(), r.i16(), r.cstring(), r.tags())), r.tags()))
        return error, text
    assert reassign("t", 0, [1]) == (0, None)
    assert reassign("t", 0, [2]) == (39, "The manual partition assignment includes broker 2, but no such broker is registered.")
    assert reassign("t", 0, None) == (85, None)
    assert reassign("t", 9, [1]) == (3, "Unable to find partition t:9.")
    assert reassign("absent", 0, [1]) == (3, "Unable to find a topic named absent.")
    r = client.ask(LIST_REASSIGNMENTS, 0, w.i32(1000) + w.carray(None) + w.NO_TAGS, flexible=True)
    r.i32()
    assert (r.i16(), r.cstring(), r.carray(lambda: None)) == (0, None, [])


def test_only_the_metadata_log_has_a_quorum(client):
    def quorum(name, partition):
        r = client.ask(QUORUM, 2, w.carray([w.cstring(name) + w.carray([w.i32(partition) + w.NO_TAGS]) + w.NO_TAGS]) + w.NO_TAGS, flexible=True)
        assert (r.i16(), r.cstring()) == (0, "")

        def replica():
            return r.i32(), r.take(16), r.i64(), r.i64(), r.i64(), r.tags()

        def row():
            return (r.i32(), r.i16(), r.cstring(), r.i32(), r.i32(), r.i64(), r.carray(replica), r.carray(replica), r.tags())
        [(_, [row_told], _)] = r.carray(lambda: (r.cstring(), r.carray(row), r.tags()))
        nodes = r.carray(lambda: (r.i32(), r.carray(lambda: (r.cstring(), r.cstring(), r.take(2), r.tags())), r.tags()))
        return row_told[1:3], [voter[0] for voter in row_told[6]], [node[0] for node in nodes]
    assert quorum("__cluster_metadata", 0) == ((0, ""), [1], [1])
    refused = ((3, "This server does not host this topic-partition."), [], [])
    assert quorum("__cluster_metadata", 1) == refused and quorum("t", 0) == refused


@pytest.mark.parametrize("feature, level, kind, text", [
    ("no.such", 1, 1, "Invalid update version 1 for feature no.such. Local controller 1 does not support this feature."),
    ("metadata.version", 1, 1, "Invalid update version 1 for feature metadata.version. Local controller 1 only supports versions 7-27"),
    ("metadata.version", -1, 1, "Invalid update version -1 for feature metadata.version. A feature version cannot be less than 0."),
    ("transaction.version", 2, 9, "Invalid update version 2 for feature transaction.version. The controller does not support the given upgrade type."),
])
def test_features_that_cannot_be_updated(client, feature, level, kind, text):
    for version in (1, 2):
        r = client.ask(FEATURES, version, w.i32(1000) + w.carray([w.cstring(feature) + w.i16(level) + w.i8(kind) + w.NO_TAGS]) + w.i8(1) + w.NO_TAGS, flexible=True)
        r.i32()
        assert (r.i16(), r.cstring()) == (95, "The update failed for all features since the following feature had an error: " + text)
        assert version > 1 or r.carray(lambda: None) == []


def test_only_brokers_are_described_here(client):
    def cluster(kind):
        r = client.ask(CLUSTER, 1, w.i8(0) + w.i8(kind) + w.NO_TAGS, flexible=True)
        r.i32()
        return r.i16(), r.cstring(), r.i8()
    assert cluster(1)[0] == 0
    assert cluster(2) == (114, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER", 1)
    assert cluster(9) == (115, "Unsupported endpoint type 9", 1)


def test_partitions_are_described_in_pages(client):
    def page(names, limit, cursor):
        r = client.ask(TOPIC_PARTITIONS, 0, w.carray([w.cstring(n) + w.NO_TAGS for n in names]) + w.i32(limit) +
                       (w.i8(-1) if cursor is None else w.i8(1) + w.cstring(cursor[0]) + w.i32(cursor[1]) + w.NO_TAGS) + w.NO_TAGS, flexible=True)
        r.i32()

        def partition():
            error, index, leader, epoch = r.i16(), r.i32(), r.i32(), r.i32()
            lists = [r.carray(r.i32) for _ in range(5)]
            r.tags()
            assert (error, leader, epoch, lists) == (0, 1, 0, [[1], [1], [], [], []])
            return index
        topics = [x[:2] + (x[4],) for x in r.carray(lambda: (r.cstring() if False else r.i16(), r.cstring(), r.take(16), r.i8(), r.carray(partition), r.i32(), r.tags()))]
        following = None
        if r.i8() == 1:
            following = (r.cstring(), r.i32())
            r.tags()
        return topics, following
    assert page(["t"], 2, None) == ([(0, "t", [0, 1])], ("t", 2))
    assert page(["t"], 2, ("t", 2)) == ([(0, "t", [2])], None)
    assert page(["t", "absent"], 9, None) == ([(3, "absent", []), (0, "t", [0, 1, 2])], None)
    assert page(["t"], 9, ("t", -1)) == ([(42, "t", [])], None)
    assert page(["t"], 9, ("zz", 0)) == ([(42, "t", [])], None), "not the cursor of this question"


def test_producers_and_transactions_that_are_not_there(client):
    r = client.ask(PRODUCERS, 0, w.carray([w.cstring(n) + w.carray([w.i32(9)]) + w.NO_TAGS for n in ("t", "absent")]) + w.NO_TAGS, flexible=True)
    r.i32()
    told = r.carray(lambda: (r.cstring(), r.carray(lambda: (r.i32(), r.i16(), r.cstring(), r.carray(lambda: None), r.tags())), r.tags()))
    assert [(name, rows[0][1:3]) for name, rows, _ in told] == [("t", (3, None)), ("absent", (3, "This server does not host this topic-partition."))]


def metadata_by_id(c, topic_id, name):
    r = c.ask(METADATA, 12, w.carray([topic_id + w.cstring(name) + w.NO_TAGS]) + w.i8(0) + w.i8(0) + w.NO_TAGS, flexible=True)
    r.i32()
    r.carray(lambda: (r.i32(), r.cstring(), r.i32(), r.cstring(), r.tags()))
    r.cstring()
    r.i32()

    def partition():
        return r.i16(), r.i32(), r.i32(), r.i32(), r.carray(r.i32), r.carray(r.i32), r.carray(r.i32), r.tags()
    [found] = r.carray(lambda: (r.i16(), r.cstring(), r.take(16), r.i8(), r.carray(partition), r.i32(), r.tags()))
    return found[0], found[1], found[2]


@pytest.mark.parametrize("name", [None, ""])
def test_a_topic_is_found_by_its_id_whatever_name_stands_beside_it(client, name):
    """Java's client sends an empty name, others none."""
    r = client.ask(METADATA, 12, w.carray([NO_ID + w.cstring("t") + w.NO_TAGS]) + w.i8(0) + w.i8(0) + w.NO_TAGS, flexible=True)
    at = r.data.index(b"\x02t") + 2
    topic_id = r.data[at:at + 16]
    assert metadata_by_id(client, topic_id, name) == (0, "t", topic_id)
    assert metadata_by_id(client, b"\1" * 16, name) == (100, None, b"\1" * 16)


def test_transactions_are_listed_by_a_pattern_of_their_id(client):
    def listed(pattern):
        r = client.ask(LIST_TRANSACTIONS, 2, w.carray([]) + w.carray([]) + w.i64(-1) + w.cstring(pattern) + w.NO_TAGS, flexible=True)
        r.i32()
        error = r.i16()
        r.carray(r.cstring)
        return error, sorted(row[0] for row in r.carray(lambda: (r.cstring(), r.i64(), r.cstring(), r.tags())))

    def made(transactional_id):
        r = client.ask(INIT_PRODUCER_ID, 4, w.cstring(transactional_id) + w.i32(10000) + w.i64(-1) + w.i16(-1) + w.NO_TAGS, flexible=True)
        r.i32()
        return r.i16()
    client.ask(FIND_COORDINATOR, 4, w.i8(1) + w.carray([w.cstring("bank-1")]) + w.NO_TAGS, flexible=True)  # makes the topic of their state
    for transactional_id in ("bank-1", "bank-2", "shop-1"):
        until("%s is made" % transactional_id, lambda: made(transactional_id) == 0, 20, 0.05)
    assert listed("bank-.*") == (0, ["bank-1", "bank-2"])
    assert listed("bank") == (0, []), "the whole id has to match"
    assert listed(None) == listed("") == (0, ["bank-1", "bank-2", "shop-1"])
    assert listed("((") == (INVALID_REGULAR_EXPRESSION, [])
