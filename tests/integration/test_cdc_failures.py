"""What trying again cannot mend fails the task with a text that says what to do; everything else goes on."""
import os

import confluent_kafka
import confluent_kafka.admin
import pytest
from lib.ottla import wait_streaming
from lib.wait import until
from test_cdc_topics import begin, failed_trace, ids, read_all

HUGE = 2 * 1024 * 1024
TOO_LARGE = "org.apache.kafka.connect.errors.ConnectException: Unrecoverable exception from producer send callback\n" \
    "Caused by: org.apache.kafka.common.errors.RecordTooLargeException: "


def set_max_message_bytes(ottla, topic, value):
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": ottla.bootstrap})
    resource = confluent_kafka.admin.ConfigResource(confluent_kafka.admin.ConfigResource.Type.TOPIC, topic,
                                                    set_config={"max.message.bytes": str(value)})
    for future in admin.alter_configs([resource]).values():
        future.result(10)


def test_a_row_larger_than_a_producer_sends_fails_the_task_and_what_precedes_it_is_shown(ottla, postgres, connector, database):
    topic = begin(ottla, postgres, connector, database, "large")
    postgres.psql("insert into t values (11, 'before'); insert into t values (12, 'before'); "
                  "insert into t select 13, repeat('x', %d); insert into t values (14, 'behind')" % HUGE, database)
    until("it fails", lambda: failed_trace(ottla, "large"))
    trace = failed_trace(ottla, "large")
    assert trace.startswith(TOO_LARGE + "The message is "), trace
    assert "larger than 1048576, which is the value of the max.request.size configuration." in trace, trace
    assert topic in trace and "producer.override.max.request.size" in trace, trace
    assert ids(read_all(ottla, topic)) == list(range(1, 13))

    config = connector("large", producer__override__max__request__size="10000000")
    assert ottla.rest("PUT", "/connectors/large/config", config)[0] == 200
    until("the broker's limit", lambda: "max.message.bytes" in failed_trace(ottla, "large")
          and "than the max message size the server will accept" in failed_trace(ottla, "large"))
    assert failed_trace(ottla, "large").startswith(TOO_LARGE)
    set_max_message_bytes(ottla, topic, 10000000)
    assert ottla.rest("POST", "/connectors/large/restart?includeTasks=true&onlyFailed=true")[0] in (200, 202, 204)
    until("the rows", lambda: 14 in ids(read_all(ottla, topic)))
    assert ids(read_all(ottla, topic)) == list(range(1, 15))


def test_batches_keep_to_a_small_max_message_bytes(ottla, postgres, connector, database):
    topic = begin(ottla, postgres, connector, database, "small", topic__creation__enable="true",
                  topic__creation__default__replication__factor="1", topic__creation__default__partitions="1",
                  topic__creation__default__max__message__bytes="20000")
    postgres.psql("insert into t select g, repeat('y', 500) from generate_series(1001, 2000) g", database)
    until("the rows", lambda: len(read_all(ottla, topic)) >= 1010 or failed_trace(ottla, "small"))
    assert failed_trace(ottla, "small") == ""
    assert ids(read_all(ottla, topic)) == list(range(1, 11)) + list(range(1001, 2001))


@pytest.mark.slow    # its memory is measured
def test_the_memory_of_a_huge_row_is_given_back(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "huge", producer__override__max__request__size="100000000",
                  topic__creation__default__replication__factor="1", topic__creation__default__partitions="1",
                  topic__creation__default__max__message__bytes="100000000")
    before_kb = ottla.rss_kb()
    postgres.psql("insert into t select 11, repeat('x', 30000000)", database)
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "w"})
    until("the row", lambda: c.get_watermark_offsets(confluent_kafka.TopicPartition(topic, 0), timeout=5)[1] == 11)
    c.close()
    # libpq keeps the buffer that it read the row into for as long as the connection lives.
    until(lambda: "the memory: %d KB more" % (ottla.rss_kb() - before_kb), lambda: ottla.rss_kb() - before_kb < 36 * 1024, 20, 0.1)


def test_damage_of_the_journal_fails_the_connector_and_the_broker_serves(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "hurt")
    ottla.stop()
    ottla.sound = False
    path = os.path.join(ottla.data, "__ottla_cdc-0", "00000000000000000000.log")
    with open(path, "r+b") as f:
        f.seek(150)    # in the second record
        byte = f.read(1)
        f.seek(150)
        f.write(bytes([byte[0] ^ 1]))
    ottla.start()
    producer = confluent_kafka.Producer({"bootstrap.servers": ottla.bootstrap})
    producer.produce("others", b"v")
    assert producer.flush(10) == 0

    def trace():
        status, body = ottla.rest("GET", "/connectors/hurt/status")
        return status == 200 and (body["connector"].get("trace") or body["tasks"] and body["tasks"][0].get("trace"))
    text = until("it fails", trace)
    assert path in text and " at byte " in text and "delete its offsets" in text, text
    assert len(read_all(ottla, topic)) == 10

    assert ottla.rest("PUT", "/connectors/hurt/stop")[0] == 204
    until("it is stopped", lambda: ottla.connector_state("hurt") == "STOPPED")
    assert ottla.rest("DELETE", "/connectors/hurt/offsets")[0] == 200
    assert ottla.rest("PUT", "/connectors/hurt/resume")[0] == 202
    until(lambda: "a new snapshot: %d\n%s" % (len(read_all(ottla, topic)), ottla.log()), lambda: len(read_all(ottla, topic)) == 20, 8)
    ottla.stop()
    ottla.start()
    assert wait_streaming(ottla, postgres, "hurt", database) == "RUNNING"
    postgres.psql("insert into t values (11, 'x')", database)
    until("the row", lambda: len(read_all(ottla, topic)) == 21)
