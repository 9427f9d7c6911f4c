"""A connector's life beside its rows: what it confirms, pauses, heartbeats, how it tries again, what it says when it cannot go on."""
import re

import confluent_kafka
import pytest
from lib import postgres as pg
from lib.ottla import wait_streaming
from lib.wait import until
from test_cdc_topics import begin, failed_trace, ids, read_all


def slot(postgres, name, column):
    return postgres.psql("select %s from pg_replication_slots where slot_name = '%s'" % (column, name))


def streams(ottla):
    """How often a stream began."""
    return ottla.log(1 << 20).count("streaming connector=")


def again(ottla, what):
    """Runs what() and waits until a new stream has begun."""
    before = streams(ottla)
    what()
    until("the stream begins again\n" + ottla.log(), lambda: streams(ottla) > before)


def test_lsn_flush_mode_manual_never_moves_the_slot(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "manual", lsn__flush__mode="manual", status__update__interval__ms="50")
    began = slot(postgres, database, "confirmed_flush_lsn")
    for i in range(11, 15):
        postgres.psql("insert into t values (%d, 'x')" % i, database)
        until("row %d" % i, lambda: i in ids(read_all(ottla, topic)))
        again(ottla, [ottla_again(ottla, "stop"), ottla_again(ottla, "kill"), postgres.restart, ottla_again(ottla, "stop")][i - 11])
        reply = postgres.psql("select reply_time from pg_stat_replication")
        until("two status messages of the new stream", lambda: postgres.psql(
            "select max(reply_time) > '%s'::timestamptz + '100 ms'::interval from pg_stat_replication" % reply) == "t")
        assert slot(postgres, database, "confirmed_flush_lsn") == began
    assert ids(read_all(ottla, topic)) == list(range(1, 15))


def end_offset(ottla, topic):
    """For topics that never stop growing."""
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "r"})
    try:
        return c.get_watermark_offsets(confluent_kafka.TopicPartition(topic, 0), timeout=10)[1]
    finally:
        c.close()


def ottla_again(ottla, how):
    def restart():
        getattr(ottla, how)()
        ottla.start()
    return restart


def test_a_heartbeat_query_that_fails_is_told_and_the_stream_goes_on(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "beat", heartbeat__interval__ms="50", table__include__list="public.t",
                  heartbeat__action__query="begin; insert into beats values (now()); commit")
    beats = "__debezium-heartbeat.beat"
    until("it is told", lambda: "heartbeat.action.query failed" in ottla.log())
    assert "42P01" in ottla.log()
    count = end_offset(ottla, beats)
    postgres.psql("insert into t values (11, 'x'); alter table t drop constraint t_pkey; alter table t add primary key (a, id);"
                  "insert into t values (12, 'x')", database)       # the second one asks the catalog
    until("the rows", lambda: ids(read_all(ottla, topic)) == list(range(1, 13)))
    until("more heartbeats", lambda: end_offset(ottla, beats) > count + 2)
    postgres.psql("create table beats(at timestamptz)", database)
    until("the query runs", lambda: int(postgres.psql("select count(*) from beats", database)) > 2)
    assert ottla.connector_state("beat") == "RUNNING"
    assert streams(ottla) == 1


def test_the_delay_between_tries_grows_until_something_is_done(fresh_ottla, postgres, connector, database):
    """A topic that cannot be made, as an example of what fails behind the begin of the stream."""
    ottla = fresh_ottla()
    prefix, table = "p" * 190, "t" * 60     # longer than a topic's name may be
    postgres.psql("create table %s(id int primary key); create table t(id int primary key)" % table, database)
    status, body = ottla.rest("POST", "/connectors", {"name": "grows", "config": connector(prefix, snapshot__mode="no_data")})
    assert status == 201, body
    assert wait_streaming(ottla, postgres, "grows", database) == "RUNNING"
    postgres.psql("insert into t values (1)", database)
    until("the row that can be written", lambda: ids(read_all(ottla, prefix + ".public.t")) == [1])
    postgres.psql("insert into %s values (1)" % table, database)
    delays = lambda: [int(d) for d in re.findall(r"trying again connector=grows delay_ms=(\d+)", ottla.log(1 << 20))]
    until("four tries", lambda: len(delays()) >= 4)
    assert delays()[1:4] == [delays()[0] * 2, delays()[0] * 4, delays()[0] * 8], delays()


@pytest.fixture
def german_postgres(monkeypatch):
    """A server that words its messages in German; bob logs in with a password."""
    monkeypatch.setenv("LANGUAGE", "de")
    with pg.Postgres(settings={"lc_messages": "C.UTF-8", "password_encryption": "scram-sha-256"}) as server:
        monkeypatch.delenv("LANGUAGE")
        with open(server.data + "/pg_hba.conf") as f:
            rules = f.read()
        with open(server.data + "/pg_hba.conf", "w") as f:
            f.write("host all bob 127.0.0.1/32 scram-sha-256\n" + rules)
        server.psql("create role bob superuser login password 'right'; select pg_reload_conf()")
        yield server


def test_errors_are_told_apart_in_any_language(fresh_ottla, german_postgres):
    ottla, server = fresh_ottla(), german_postgres
    server.psql("create table t(id int primary key); insert into t values (1)")
    config = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": server.host,
              "database.port": str(server.port), "database.user": "bob", "database.password": "wrong",
              "database.dbname": "postgres", "topic.prefix": "german", "plugin.name": "pgoutput", "slot.name": "german"}
    until("the server speaks German", lambda: "Passwort" in str(ottla.rest("POST", "/connectors", {"name": "g", "config": config})[1]))
    status, body = ottla.rest("POST", "/connectors", {"name": "g", "config": config})
    assert status == 400
    assert "Error while validating connector config: FATAL: Passwort-Authentifizierung" in body["message"], body
    assert "LOCATION" not in body["message"] and "28P01" not in body["message"], body
    config["database.dbname"] = "nowhere"
    config["database.password"] = "right"
    assert "FATAL: " in ottla.rest("POST", "/connectors", {"name": "g", "config": config})[1]["message"]
    config["database.dbname"] = "postgres"
    assert ottla.rest("POST", "/connectors", {"name": "g", "config": config})[0] == 201
    assert wait_streaming(ottla, server, "g", "german") == "RUNNING"
    # The password is changed while it runs: no use to try again for ever.
    server.psql("alter role bob password 'other'")
    server.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'bob'")
    until("it fails", lambda: failed_trace(ottla, "g"))
    assert "28P01" in failed_trace(ottla, "g") and "Passwort" in failed_trace(ottla, "g")
    # A server that starts is no reason to give up.
    server.psql("alter role bob password 'right'")
    assert ottla.rest("POST", "/connectors/g/restart?includeTasks=true")[0] in (202, 204)
    assert wait_streaming(ottla, server, "g", "german") == "RUNNING"
    server.restart("immediate")
    server.psql("insert into t values (2)")
    until("the row", lambda: 2 in ids(read_all(ottla, "german.public.t")))
