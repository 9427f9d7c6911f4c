"""What /connectors/X/offsets and connect-offsets say is true: of the last event, durable, and the same after restarts."""
import json

import confluent_kafka
import pytest
from lib.ottla import wait_streaming
from lib.wait import until


def stored(ottla):
    """The last value of each key of connect-offsets."""
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "r", "enable.partition.eof": True})
    try:
        parts = [confluent_kafka.TopicPartition("connect-offsets", p, confluent_kafka.OFFSET_BEGINNING) for p in range(25)]
        c.assign(parts)
        ends, out = 0, {}
        while ends < len(parts):
            m = c.poll(10)
            assert m is not None
            if m.error():
                ends += m.error().code() == confluent_kafka.KafkaError._PARTITION_EOF
            else:
                out[m.key().decode()] = json.loads(m.value()) if m.value() else None
        return out
    finally:
        c.close()


def told(ottla):
    status, body = ottla.rest("GET", "/connectors/c/offsets")
    assert status == 200, body
    return body["offsets"][0]["offset"] if body["offsets"] else None


def stop(ottla):
    assert ottla.rest("PUT", "/connectors/c/stop")[0] == 204
    until("it is stopped", lambda: ottla.connector_state("c") == "STOPPED")


def resume(ottla, postgres, database):
    assert ottla.rest("PUT", "/connectors/c/resume")[0] == 202
    assert wait_streaming(ottla, postgres, "c", database) == "RUNNING"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_last_event_is_told_over_restarts(fresh_ottla, postgres, connector, database, end):
    ottla = fresh_ottla()
    key = '["c",{"server":"true"}]'
    postgres.psql("create table t(id int primary key); insert into t select generate_series(1, 10)", database)
    status, body = ottla.rest("POST", "/connectors", {"name": "c", "config": connector("true")})
    assert status == 201, body
    assert wait_streaming(ottla, postgres, "c", database) == "RUNNING"
    snapshot = until("the snapshot's offset", lambda: told(ottla), 10)
    assert snapshot["snapshot"] == "INITIAL" and snapshot["snapshot_completed"] is True and snapshot["last_snapshot_record"] is True
    assert all(isinstance(snapshot[name], int) and snapshot[name] > 0 for name in ("lsn", "txId", "ts_usec")), snapshot
    stop(ottla)
    assert told(ottla) == snapshot
    assert stored(ottla)[key] == snapshot

    ottla.kill() if end == "kill" else ottla.stop()
    ottla.start()
    assert told(ottla) == snapshot
    resume(ottla, postgres, database)
    assert told(ottla) == snapshot, "nothing came since"
    postgres.psql("insert into t values (11)", database)
    insert = until("the offset of the insert", lambda: told(ottla) if told(ottla).get("messageType") == "INSERT" else None, 10)
    assert "snapshot" not in insert and insert["lsn"] > snapshot["lsn"]
    until("connect-offsets has it", lambda: stored(ottla)[key] == insert, 10, 0.2)

    for _ in range(2):
        ottla.kill() if end == "kill" else ottla.stop()
        ottla.start()
        until("it runs", lambda: wait_streaming(ottla, postgres, "c", database) == "RUNNING")
        assert told(ottla) == insert
        stop(ottla)
        assert told(ottla) == insert
        assert stored(ottla)[key] == insert, "a restart invents nothing"
        resume(ottla, postgres, database)

    # Deleted and made again: it goes on where it was.
    assert ottla.rest("DELETE", "/connectors/c")[0] == 204
    ottla.stop()
    ottla.start()
    assert ottla.rest("POST", "/connectors", {"name": "c", "config": connector("true"), "initial_state": "STOPPED"})[0] == 201
    assert told(ottla) == insert
    assert ottla.rest("DELETE", "/connectors/c/offsets")[0] == 200
    assert told(ottla) is None
    assert stored(ottla)[key] is None


def ids(ottla, topic):
    """Of all records: [(op, id)]."""
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "r", "enable.partition.eof": True})
    try:
        if topic not in c.list_topics(timeout=10).topics:
            return []
        c.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
        out = []
        while True:
            m = c.poll(10)
            assert m is not None
            if m.error():
                return out
            payload = json.loads(m.value())["payload"]
            out.append((payload["op"], payload["after"]["id"]))
    finally:
        c.close()


def test_a_position_is_taken_over_from_another_worker(fresh_ottla, postgres, connector, database):
    """As people move from Kafka Connect: the connector is made stopped, gets the offsets of the old one, and goes on with its slot."""
    ottla = fresh_ottla()
    postgres.psql("create table t(id int primary key); create publication dbz_publication for all tables;"
                  "select pg_create_logical_replication_slot('%s', 'pgoutput')" % database, database)
    postgres.psql("insert into t values (1)", database)
    postgres.psql("insert into t values (2)", database)
    lsn = int(postgres.psql("select pg_current_wal_lsn() - '0/0'", database))
    postgres.psql("insert into t values (3)", database)
    assert ottla.rest("POST", "/connectors", {"name": "c", "config": connector("moved"), "initial_state": "STOPPED"})[0] == 201
    assert told(ottla) is None
    offset = {"lsn_proc": lsn, "messageType": "INSERT", "lsn_commit": lsn, "lsn": lsn, "txId": 7, "ts_usec": 1}

    def patch(offset, prefix="moved"):
        return ottla.rest("PATCH", "/connectors/c/offsets", {"offsets": [{"partition": {"server": prefix}, "offset": offset}]})
    assert patch(offset, "other")[0] == 400
    status, body = patch({"position": 5})
    assert status == 400 and '"lsn"' in body["message"], body
    assert patch({"lsn": lsn, "snapshot": "INITIAL", "snapshot_completed": False})[0] == 400
    assert told(ottla) is None
    assert patch(offset)[0] == 200
    assert told(ottla) == offset
    ottla.kill()
    ottla.start()
    assert told(ottla) == offset, "it was durable when it was answered"
    resume(ottla, postgres, database)
    until("the row behind it", lambda: ids(ottla, "moved.public.t") == [("c", 3)], 10, 0.1)
    postgres.psql("insert into t values (4)", database)
    until("the stream", lambda: ids(ottla, "moved.public.t") == [("c", 3), ("c", 4)], 10, 0.1)

    # Set back by hand: what came since comes again.
    assert patch(offset)[0] == 400, "it runs"
    stop(ottla)
    now = told(ottla)
    assert now["messageType"] == "INSERT" and now["lsn"] > lsn
    assert patch(now)[0] == 200 and told(ottla) == now
    assert ottla.rest("PATCH", "/connectors/c/offsets", {"offsets": [{"partition": {"server": "moved"}, "offset": None}]})[0] == 200
    assert told(ottla) is None
