"""What others do to a connector's topics while it runs: delete them, add partitions, delete records, write to them; and what it
does on an idle or restarted database."""
import json

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
from lib.ottla import wait_streaming
from lib.wait import until
from test_delete_records import delete_before


def read_all(ottla, topic):
    """Every record of the topic: [(partition, offset, decoded value or None)]."""
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "r", "enable.partition.eof": True})
    try:
        metadata = c.list_topics(topic, timeout=10).topics[topic]
        parts = [confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in metadata.partitions]
        if not parts:
            return []
        c.assign(parts)
        ends, out = 0, []
        while ends < len(parts):
            m = c.poll(10)
            if m is None:
                raise RuntimeError("no end of " + topic)
            if m.error():
                ends += m.error().code() == confluent_kafka.KafkaError._PARTITION_EOF
                continue
            out.append((m.partition(), m.offset(), json.loads(m.value()) if m.value() else None))
        return out
    finally:
        c.close()


def ids(records):
    return sorted(v["payload"]["after"]["id"] for _, _, v in records if v)


def begin(ottla, postgres, connector, database, prefix, **more):
    postgres.psql("create table t(id int primary key, a text); insert into t select g, 'x' from generate_series(1, 10) g", database)
    status, body = ottla.rest("POST", "/connectors", {"name": prefix, "config": connector(prefix, **more)})
    assert status == 201, body
    assert wait_streaming(ottla, postgres, prefix, database) == "RUNNING"
    until("the snapshot", lambda: len(read_all(ottla, prefix + ".public.t")) == 10)
    return prefix + ".public.t"


def test_a_deleted_topic_is_made_again_with_what_comes_then(ottla, postgres, connector, database):
    topic = begin(ottla, postgres, connector, database, "deleted")
    admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
    for f in admin.delete_topics([topic], operation_timeout=10).values():
        f.result()
    postgres.psql("insert into t select g, 'x' from generate_series(11, 15) g", database)
    until("the topic is there again", lambda: topic in admin.list_topics(timeout=5).topics)
    until("the rows", lambda: ids(read_all(ottla, topic)) == [11, 12, 13, 14, 15])
    assert ottla.connector_state("deleted") == "RUNNING"


def test_more_partitions_are_used_and_nothing_is_lost_over_a_kill(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "grown")
    admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
    for f in admin.create_partitions([NewPartitions(topic, 4)]).values():
        f.result()

    def spread():
        postgres.psql("insert into t select m + g, 'x' from generate_series(1, 20) g, (select max(id) m from t) m", database)
        return len({p for p, _, _ in read_all(ottla, topic)}) == 4
    until("all four partitions are written to", spread, 20, 0.5)
    ottla.kill()
    postgres.psql("insert into t select m + g, 'x' from generate_series(1, 20) g, (select max(id) m from t) m", database)
    ottla.start()
    count = int(postgres.psql("select count(*) from t", database))
    until("all rows", lambda: len(read_all(ottla, topic)) >= count)
    assert ids(read_all(ottla, topic)) == list(range(1, count + 1))


def test_a_foreign_writer_between_does_no_harm(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "foreign")
    producer = confluent_kafka.Producer({"bootstrap.servers": ottla.bootstrap})
    for i in range(20):
        postgres.psql("insert into t values (%d, 'x')" % (100 + i), database)
        producer.produce(topic, json.dumps({"payload": {"after": {"id": 1000 + i}}}))
        producer.flush(10)
        if i % 7 == 6:
            ottla.kill()
            ottla.start()
    expected = list(range(1, 11)) + list(range(100, 120)) + list(range(1000, 1020))
    until("all records", lambda: len(read_all(ottla, topic)) >= len(expected))
    assert ids(read_all(ottla, topic)) == expected


def test_the_slot_moves_on_while_nothing_is_captured(ottla, postgres, connector, database):
    begin(ottla, postgres, connector, database, "idle", table__include__list="public.t")
    postgres.psql("create table other(a text)", database)
    for _ in range(3):
        end = postgres.psql("insert into other select repeat('x', 1000) from generate_series(1, 1000); select pg_current_wal_lsn()", database)
        until("the slot passes " + end, lambda: postgres.psql(
            "select confirmed_flush_lsn >= '%s' from pg_replication_slots where slot_name = '%s'" % (end, database)) == "t")


def test_a_restarted_database_is_found_again(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "restarted")
    for i, how in enumerate(["fast", "immediate"]):
        postgres.restart(how)
        postgres.psql("insert into t values (%d, 'x')" % (20 + i), database)
        until("the row", lambda: 20 + i in ids(read_all(ottla, topic)))
    assert ids(read_all(ottla, topic)) == list(range(1, 11)) + [20, 21]
    assert ottla.connector_state("restarted") == "RUNNING"


@pytest.mark.slow    # its memory is measured
def test_a_large_transaction_is_shown_whole_and_takes_no_memory(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "large", value__converter__schemas__enable="false")
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "w"})
    before_kb = ottla.rss_kb()
    postgres.psql("insert into t select g, repeat('y', 300) from generate_series(1001, 61000) g", database)
    ends = set()

    def whole():
        ends.add(c.get_watermark_offsets(confluent_kafka.TopicPartition(topic, 0), timeout=5)[1])
        return 60010 in ends
    until("the transaction", whole, 60, 0.01)
    c.close()
    assert ends <= {10, 60010}, "a part of it was seen: %s" % sorted(ends)
    assert ottla.rss_kb() - before_kb < 16 * 1024


def test_offsets_are_told_and_can_be_deleted(ottla, postgres, connector, database):
    topic = begin(ottla, postgres, connector, database, "told")
    postgres.psql("insert into t values (11, 'x')", database)
    until("the row", lambda: len(read_all(ottla, topic)) == 11)
    until("the offset of an insert", lambda: '"INSERT"' in json.dumps(ottla.rest("GET", "/connectors/told/offsets")[1]), 5, 0.1)
    assert ottla.rest("PUT", "/connectors/told/stop")[0] == 204
    until("it is stopped", lambda: ottla.connector_state("told") == "STOPPED")
    assert ottla.rest("DELETE", "/connectors/told/offsets")[0] == 200
    assert ottla.rest("PUT", "/connectors/told/resume")[0] == 202
    until("a second snapshot", lambda: len(read_all(ottla, topic)) == 22)


def failed_trace(ottla, name):
    """The task's trace when it is FAILED, else ''."""
    status, body = ottla.rest("GET", "/connectors/%s/status" % name)
    tasks = body["tasks"] if status == 200 else []
    return tasks[0].get("trace", "?") if tasks and tasks[0]["state"] == "FAILED" else ""


def die_in_a_large_transaction(ottla, postgres, database, count, first=1001):
    """kill -9 while a transaction of so many rows is half in the logs: a replay is due then."""
    if ottla.process.poll() is None:
        ottla.stop()
    ottla.start({"OTTLA_FAILPOINT": "append:3"})
    postgres.psql("insert into t select g, repeat('y', 3000) from generate_series(%d, %d) g" % (first, first + count - 1), database)
    until("the failpoint kills it", lambda: ottla.process.poll() is not None, 30, 0.1)


def test_a_replay_is_finished_with_the_configuration_it_began_with(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    # The delay gives the time to change the configuration before anything is caught up.
    topic = begin(ottla, postgres, connector, database, "changed", streaming__delay__ms="4000")
    config = connector("changed")
    ottla.stop()
    die_in_a_large_transaction(ottla, postgres, database, 6000)
    ottla.start()
    other = dict(config, **{"transforms": "r", "transforms.r.type": "org.apache.kafka.connect.transforms.RegexRouter",
                            "transforms.r.regex": "(.*)public.t", "transforms.r.replacement": "$1elsewhere",
                            "streaming.delay.ms": "4000"})
    assert ottla.rest("PUT", "/connectors/changed/config", other)[0] == 200
    until("the rows", lambda: len(read_all(ottla, topic)) >= 6010, 60)
    until("the new configuration", lambda: "the new configuration is in force" in ottla.log(1 << 20))
    postgres.psql("insert into t values (11, 'x')", database)
    until("a row elsewhere", lambda: ids(read_all(ottla, "changed.elsewhere")) == [11])
    assert ids(read_all(ottla, topic)) == list(range(1, 11)) + list(range(1001, 7001))
    assert ottla.connector_state("changed") == "RUNNING"
    # Back again, over a kill: the journal knows both by now.
    die_in_a_large_transaction(ottla, postgres, database, 12000, 7001)
    ottla.start()
    assert ottla.rest("PUT", "/connectors/changed/config", config)[0] == 200
    until("the rows", lambda: len(read_all(ottla, "changed.elsewhere")) >= 12001, 60)
    assert ids(read_all(ottla, "changed.elsewhere")) == [11] + list(range(7001, 19001))
    until("the former topic", lambda: postgres.psql("insert into t select max(id) + 1, 'x' from t", database) == "" and
          len(read_all(ottla, topic)) > 6010, 30, 0.5)
    assert ottla.log(1 << 20).count("begun with the former configuration are finished with it first") == 2


def test_a_slot_made_again_behind_our_back_is_told(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "replaced")
    ottla.stop()
    postgres.psql("select pg_drop_replication_slot('%s')" % database, database)
    postgres.psql("insert into t values (11, 'lost')", database)
    postgres.psql("select pg_create_logical_replication_slot('%s', 'pgoutput')" % database, database)
    at = postgres.psql("select confirmed_flush_lsn from pg_replication_slots where slot_name = '%s'" % database, database).strip()
    ottla.start()
    until("it fails", lambda: failed_trace(ottla, "replaced"))
    trace = failed_trace(ottla, "replaced")
    assert at.split("/")[1] in trace and database in trace and "bytes of WAL" in trace and "when_needed" in trace, trace
    assert ottla.rest("PUT", "/connectors/replaced/config", connector("replaced", snapshot__mode="when_needed"))[0] == 200
    until("a new snapshot", lambda: 11 in ids(read_all(ottla, topic)))
    postgres.psql("insert into t values (12, 'x')", database)
    until("the stream", lambda: 12 in ids(read_all(ottla, topic)))


def test_what_we_confirmed_while_idle_is_no_foreign_move(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "quiet", table__include__list="public.t")
    postgres.psql("create table other(a text)", database)
    for how in (ottla.kill, ottla.stop, ottla.kill):
        end = postgres.psql("insert into other select repeat('x', 1000) from generate_series(1, 1000); select pg_current_wal_lsn()", database)
        until("the slot passes " + end, lambda: postgres.psql(
            "select confirmed_flush_lsn >= '%s' from pg_replication_slots where slot_name = '%s'" % (end, database)) == "t")
        how()
        ottla.start()
        assert wait_streaming(ottla, postgres, "quiet", database) == "RUNNING"
    postgres.psql("insert into t values (11, 'x')", database)
    until("the row", lambda: ids(read_all(ottla, topic)) == list(range(1, 12)))


def refusal(call):
    """The error that a client's call ends with; None: it was done."""
    try:
        for f in call().values():
            f.result(10)
    except confluent_kafka.KafkaException as e:
        return e.args[0].code()
    return None


def produce_error(ottla, topic, **config):
    told = []
    p = confluent_kafka.Producer({"bootstrap.servers": ottla.bootstrap, "message.timeout.ms": 10000, **config})
    p.produce(topic, b"garbage", on_delivery=lambda error, _: told.append(error))
    p.flush(15)
    return told[0] and told[0].code()


def test_nobody_else_writes_to_the_journal_or_changes_it(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "own")
    admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
    journal, refused = "__ottla_cdc", confluent_kafka.KafkaError.TOPIC_EXCEPTION
    assert produce_error(ottla, journal) == refused
    assert produce_error(ottla, journal, **{"client.id": "__admin_client"}) == refused
    assert delete_before(ottla, journal, -1)[0] == refused
    assert delete_before(ottla, "__consumer_offsets", -1)[0] == refused, "as Kafka's ReplicaManager"
    assert refusal(lambda: admin.create_partitions([NewPartitions(journal, 2)])) == refused
    assert refusal(lambda: admin.alter_configs([ConfigResource("topic", journal, {"retention.ms": "1"})])) == refused
    assert refusal(lambda: admin.delete_topics([journal])) == refused
    assert refusal(lambda: admin.create_topics([NewTopic("__ottla_more", 1, 1)])) == refused
    ottla.kill()
    ottla.start()
    postgres.psql("insert into t values (11, 'x')", database)
    until("the row", lambda: ids(read_all(ottla, topic)) == list(range(1, 12)))
    assert ottla.connector_state("own") == "RUNNING"


def test_rows_that_are_routed_into_an_internal_topic_fail_the_task(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    postgres.psql("create table t(id int primary key); insert into t values (1)", database)
    for name, target in (("journal", "__ottla_cdc"), ("groups", "__consumer_offsets")):
        route = {"transforms": "r", "transforms.r.type": "org.apache.kafka.connect.transforms.RegexRouter",
                 "transforms.r.regex": ".*", "transforms.r.replacement": target}
        status, body = ottla.rest("POST", "/connectors", {"name": name, "config": connector(name, **route)})
        assert status == 201, body
        until("the task fails", lambda: ottla.connector_state(name) == "FAILED", 20)
        _, told = ottla.rest("GET", "/connectors/%s/status" % name)
        assert "InvalidTopicException" in told["tasks"][0]["trace"], told


def test_a_row_routed_to_a_name_that_is_none_fails_the_task_and_hides_nothing_before_it(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    postgres.psql("create table t(id int primary key, target text)", database)
    route = {"transforms": "u", "transforms.u.type": "io.debezium.transforms.ExtractNewRecordState", "transforms.u.route.by.field": "target"}
    status, body = ottla.rest("POST", "/connectors", {"name": "routed", "config": connector("routed", **route)})
    assert status == 201, body
    assert wait_streaming(ottla, postgres, "routed", database) == "RUNNING"
    postgres.psql("insert into t select g, 'good' from generate_series(1, 5) g", database)
    until("the rows", lambda: len(read_all(ottla, "good")) == 5)
    # One unit holds both transactions when they come together.
    postgres.psql("insert into t values (6, 'good'); insert into t values (7, 'not a topic')", database)
    until("the task fails\n" + ottla.log(), lambda: failed_trace(ottla, "routed"), 20)
    assert "InvalidTopicException" in failed_trace(ottla, "routed")
    assert "not a topic" in failed_trace(ottla, "routed")
    assert len(read_all(ottla, "good")) == 6, "what was committed before it is shown"
