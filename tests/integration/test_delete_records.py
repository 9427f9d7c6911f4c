"""DeleteRecords: what was answered as deleted stays deleted, whatever happens next."""
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from lib.ottla import Ottla
from lib.wire import Connection, array, i32, i64, string

DELETE_RECORDS, NONE, UNKNOWN_TOPIC_OR_PARTITION, POLICY_VIOLATION = 21, 0, 3, 44


def delete_before(o, topic, offset, partition=0):
    """Returns (error, low watermark)."""
    body = array([string(topic) + array([i32(partition) + i64(offset)])]) + i32(10000)
    with Connection(int(o.bootstrap.rsplit(":", 1)[1])) as c:
        r = c.ask(DELETE_RECORDS, 1, body)
    r.i32()
    topics = r.array(lambda: (r.string(), r.array(lambda: (r.i32(), r.i64(), r.i16()))))
    (_, low, error), = topics[0][1]
    return error, low


def fill(o, topic, count, **config):
    admin = AdminClient({"bootstrap.servers": o.bootstrap})
    for future in admin.create_topics([NewTopic(topic, 1, 1, config=config)]).values():
        future.result(20)
    p = Producer({"bootstrap.servers": o.bootstrap})
    for i in range(count):
        p.produce(topic, str(i))
    assert p.flush(20) == 0


def range_of(o, topic):
    c = Consumer({"bootstrap.servers": o.bootstrap, "group.id": "any"})
    low_high = c.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
    c.close()
    return low_high


def test_deleted_records_do_not_come_back_after_a_kill():
    with Ottla({"connect.listeners": ""}) as o:
        fill(o, "t", 100)
        assert delete_before(o, "t", 40) == (NONE, 40)
        o.kill()
        o.start()
        assert range_of(o, "t") == (40, 100)
        assert delete_before(o, "t", -1) == (NONE, 100)
        o.kill()
        o.start()
        assert range_of(o, "t") == (100, 100)


def test_nothing_is_waited_for_when_nothing_was_deleted():
    with Ottla({"connect.listeners": ""}) as o:
        assert delete_before(o, "unknown", 1)[0] == UNKNOWN_TOPIC_OR_PARTITION


def test_only_topics_whose_records_may_be_deleted():
    with Ottla({"connect.listeners": ""}) as o:
        for name, policy, error in (("both", "compact,delete", NONE), ("compacted", "compact", POLICY_VIOLATION), ("kept", "", POLICY_VIOLATION)):
            fill(o, name, 1, **{"cleanup.policy": policy})
            assert delete_before(o, name, 0)[0] == error, name
