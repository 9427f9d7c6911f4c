"""A connector's life beside its rows: what it confirms, pauses, heartbeats, how it tries again, what it says when it cannot go on."""
import json
import re
import select
import socket
import subprocess
import threading

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic
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


def test_the_sequence_of_an_event_names_the_end_of_the_transaction_before(fresh_ottla, postgres, connector, database):
    """Also when another process of ottla streamed that transaction, as Debezium knows it from its stored offsets."""
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "sequence")
    postgres.psql("select pg_create_logical_replication_slot('%s_look', 'pgoutput')" % database, database)
    published = postgres.psql("select pubname from pg_publication", database).split()[0]

    def check(i):
        """Inserts a row; its sequence must name the transaction before."""
        postgres.psql("insert into t values (%d, 'x')" % i, database)
        until("the row", lambda: i in ids(read_all(ottla, topic)))
        ends = postgres.psql("select lsn - '0/0' from pg_logical_slot_peek_binary_changes('%s_look', null, null, 'proto_version', '1',"
                             " 'publication_names', '%s') where get_byte(data, 0) = ascii('C')" % (database, published), database).split()
        source = [v["payload"]["source"] for _, _, v in read_all(ottla, topic) if v["payload"]["after"]["id"] == i][0]
        assert json.loads(source["sequence"]) == [ends[-2] if len(ends) > 1 else None, str(source["lsn"])]
    check(21)
    check(22)
    again(ottla, ottla_again(ottla, "stop"))
    check(23)
    again(ottla, ottla_again(ottla, "kill"))
    check(24)
    # An idle stream moves its position on, beyond the end of any transaction.
    postgres.psql("create table noise(i int); select pg_switch_wal()", database)
    end = postgres.psql("select pg_current_wal_lsn()")
    until("the position moves on", lambda: postgres.psql(
        "select confirmed_flush_lsn >= '%s' from pg_replication_slots where slot_name = '%s'" % (end, database)) == "t", 30, 0.1)
    again(ottla, ottla_again(ottla, "kill"))
    check(25)
    postgres.psql("select pg_drop_replication_slot('%s_look')" % database, database)


def end_offset(ottla, topic):
    """For topics that never stop growing, or are not there yet."""
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "r"})
    try:
        return c.get_watermark_offsets(confluent_kafka.TopicPartition(topic, 0), timeout=10)[1]
    except confluent_kafka.KafkaException:
        return 0
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


def test_heartbeats_that_cannot_be_written_are_told_once(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "mute", heartbeat__interval__ms="20", table__include__list="public.t",
                  topic__heartbeat__prefix="no name of a topic")
    told = "heartbeats cannot be written"
    until("it is told", lambda: told in ottla.log(1 << 20))
    for i in range(11, 16):     # each with time for some heartbeats
        postgres.psql("insert into t values (%d, 'x')" % i, database)
        until("the row", lambda: ids(read_all(ottla, topic)) == list(range(1, i + 1)))
    assert ottla.log(1 << 20).count(told) == 1
    assert ottla.connector_state("mute") == "RUNNING"


class Mute:
    """Stands between a connector and PostgreSQL, and falls silent for good on each connection that sends `word`."""

    def __init__(self, port):
        self.target, self.word, self.silenced = port, None, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.relay, args=(client, server), daemon=True).start()

    def relay(self, client, server):
        while True:
            for s in select.select([client, server], [], [])[0]:
                data = s.recv(65536)
                if not data:
                    client.close()
                    server.close()
                    return
                if s is client and self.word and self.word in data:
                    self.silenced += 1
                    while client.recv(65536):
                        pass
                    server.close()
                    return
                (server if s is client else client).sendall(data)


def test_a_server_that_falls_silent_is_given_up_and_tried_again(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    mute = Mute(postgres.port)
    config = connector("mute", database__port=str(mute.port), database__query__timeout__ms="500")
    assert ottla.rest("POST", "/connectors", {"name": "mute", "config": config})[0] == 201
    assert wait_streaming(ottla, postgres, "mute", database) == "RUNNING"
    mute.word = b"SHOW wal_level"
    status, body = ottla.rest("POST", "/connectors", {"name": "other", "config": config})
    assert status == 400 and "timed out waiting for PostgreSQL" in body["message"], body
    ottla.rest("POST", "/connectors/mute/restart?includeTasks=true", None)
    until("it is given up", lambda: "timed out waiting for PostgreSQL" in ottla.log(), 20)
    until("it is tried again", lambda: mute.silenced >= 3, 20)


def test_the_delay_between_tries_grows_until_something_is_done(fresh_ottla, postgres, connector, database):
    """A topic that cannot be made (too many partitions), as an example of what fails behind the begin of the stream."""
    ottla = fresh_ottla()
    admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
    admin.create_topics([NewTopic("grows.public.t", 1, 1)])["grows.public.t"].result()
    postgres.psql("create table u(id int primary key); create table t(id int primary key)", database)
    status, body = ottla.rest("POST", "/connectors", {"name": "grows", "config": connector("grows", snapshot__mode="no_data", **{
        "topic__creation__default__partitions": "2000000", "topic__creation__default__replication__factor": "1"})})
    assert status == 201, body
    assert wait_streaming(ottla, postgres, "grows", database) == "RUNNING"
    postgres.psql("insert into t values (1)", database)
    until("the row that can be written", lambda: ids(read_all(ottla, "grows.public.t")) == [1])
    postgres.psql("insert into u values (1)", database)
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


# -- pauses: as Connect's, the task stays started --

def pause(ottla, name):
    assert ottla.rest("PUT", "/connectors/%s/pause" % name)[0] == 202
    until("%s is paused" % name, lambda: ottla.connector_state(name) == "PAUSED")


def resume(ottla, name):
    assert ottla.rest("PUT", "/connectors/%s/resume" % name)[0] == 202
    until("%s is resumed" % name, lambda: ottla.connector_state(name) == "RUNNING")


def replies_for(postgres, interval):
    """Until the stream has answered for so long."""
    first = until("a reply", lambda: postgres.psql("select min(reply_time) from pg_stat_replication"))
    until("replies for %s" % interval, lambda: postgres.psql(
        "select min(reply_time) > '%s'::timestamptz + '%s'::interval from pg_stat_replication" % (first, interval)) == "t")


def test_a_paused_connector_keeps_its_slot_and_reads_nothing(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "paused")
    for i in range(3):
        before = list(range(1, 11 + i))
        pause(ottla, "paused")
        assert slot(postgres, database, "active") == "t"
        lsn = postgres.psql("insert into t values (%d, 'x'); select pg_current_wal_lsn()" % (11 + i), database)
        until("the server has sent it", lambda: postgres.psql("select min(sent_lsn) >= '%s' from pg_stat_replication" % lsn) == "t")
        replies_for(postgres, "1.5 s")
        assert ids(read_all(ottla, topic)) == before
        assert slot(postgres, database, "confirmed_flush_lsn < '%s'" % lsn) == "t"
        assert slot(postgres, database, "active") == "t"
        resume(ottla, "paused")
        until("the row", lambda: ids(read_all(ottla, topic)) == before + [11 + i])
    assert streams(ottla) == 1
    pause(ottla, "paused")
    postgres.psql("insert into t values (14, 'x')", database)
    ottla.kill()
    ottla.start()
    until("it is paused still", lambda: ottla.connector_state("paused") == "PAUSED")
    assert slot(postgres, database, "active") == "f"       # as a task that Connect starts paused
    resume(ottla, "paused")
    until("the row", lambda: ids(read_all(ottla, topic)) == list(range(1, 15)))
    pause(ottla, "paused")
    postgres.psql("insert into t values (15, 'x')", database)
    assert ottla.rest("PUT", "/connectors/paused/stop")[0] == 204
    until("the slot is free", lambda: slot(postgres, database, "active") == "f")
    resume_stopped = ottla.rest("PUT", "/connectors/paused/resume")[0]
    assert resume_stopped == 202
    until("the row", lambda: ids(read_all(ottla, topic)) == list(range(1, 16)))


def test_a_pause_outlasts_the_servers_patience_and_does_not_keep_it_from_shutting_down(fresh_ottla):
    with pg.Postgres(settings={"wal_sender_timeout": "2s"}) as server:
        ottla = fresh_ottla()
        server.psql("create table t(id int primary key, a text)")
        config = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": server.host,
                  "database.port": str(server.port), "database.user": "postgres", "database.password": "x",
                  "database.dbname": "postgres", "topic.prefix": "long", "plugin.name": "pgoutput", "slot.name": "long"}
        assert ottla.rest("POST", "/connectors", {"name": "long", "config": config})[0] == 201
        assert wait_streaming(ottla, server, "long", "long") == "RUNNING"
        pause(ottla, "long")
        server.psql("insert into t select g, repeat('x', 3000) from generate_series(1, 10000) g")     # more than sockets hold
        replies_for(server, "3 s")
        assert slot(server, "long", "active") == "t"
        server.restart("fast")
        assert ottla.connector_state("long") == "PAUSED"
        resume(ottla, "long")
        until("all rows", lambda: end_offset(ottla, "long.public.t") >= 10000, 60)
        assert ids(read_all(ottla, "long.public.t")) == list(range(1, 10001))


def test_a_paused_snapshot_goes_on_where_it_was(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    postgres.psql("create table a(id int primary key, a text); insert into a select g, 'x' from generate_series(1, 200000) g;"
                  "create table b(id int primary key); insert into b values (1); ", database)
    locker = subprocess.Popen(["psql", "-X", "-q", "-h", postgres.host, "-p", str(postgres.port), "-U", "postgres", "-d", database],
                              stdin=subprocess.PIPE, text=True)
    try:
        status, body = ottla.rest("POST", "/connectors", {"name": "snap", "config": connector("snap")})
        assert status == 201, body
        until("the snapshot reads a", lambda: "snapshot reads table" in ottla.log())
        locker.stdin.write("begin; lock table b;\n")
        locker.stdin.flush()
        until("the snapshot waits for b", lambda: postgres.psql(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'COPY%'", database))
        pause(ottla, "snap")
        assert postgres.psql("select count(*) from pg_stat_activity where query like 'COPY%' and state = 'active'", database) == "1"
        locker.communicate("commit;\n", 10)
        resume(ottla, "snap")
    finally:
        locker.kill()
        locker.wait()
    assert wait_streaming(ottla, postgres, "snap", database) == "RUNNING"
    assert end_offset(ottla, "snap.public.a") == 200000
    assert ids(read_all(ottla, "snap.public.b")) == [1]
    assert ottla.log(1 << 20).count("snapshot reads table connector=snap table=public.a") == 1


# -- memory --

@pytest.mark.slow    # its memory is measured
def test_a_snapshot_over_many_partitions_takes_little_memory(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    postgres.psql("create table t(id int primary key, a text);"
                  "insert into t select g, repeat('y', 2000) from generate_series(1, 40000) g", database)
    before_kb = ottla.rss_kb()
    status, body = ottla.rest("POST", "/connectors", {"name": "many", "config": connector("many", **{
        "topic.creation.default.partitions": "250", "topic.creation.default.replication.factor": "1",
        "value.converter.schemas.enable": "false", "key.converter.schemas.enable": "false"})})
    assert status == 201, body
    until("the snapshot", lambda: "snapshot complete" in ottla.log(1 << 20), 60)
    assert ottla.connector_state("many") == "RUNNING"
    with open("/proc/%d/status" % ottla.process.pid) as f:
        peak_kb = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
    print("snapshot of 80 MB over 250 partitions: %d MiB more at the most" % ((peak_kb - before_kb) // 1024))
    assert peak_kb - before_kb < 32 * 1024


def test_tables_that_were_dropped_are_forgotten(fresh_ottla, postgres, connector, database):
    """Many short-lived tables, as tools make them: what the journal knows of them must not stay for ever."""
    ottla = fresh_ottla()
    topic = begin(ottla, postgres, connector, database, "sweep")
    postgres.psql("".join("create table short_%d(id int primary key); insert into short_%d values (1);" % (i, i) for i in range(80)), database)
    until("their rows", lambda: end_offset(ottla, "sweep.public.short_79") == 1)
    postgres.psql("".join("drop table short_%d;" % i for i in range(79)), database)
    postgres.psql("insert into t values (11, 'x'); create table one_more(id int primary key); insert into one_more values (1)", database)
    told = re.compile(r"are forgotten connector=sweep tables=(\d+)")
    again(ottla, ottla_again(ottla, "kill"))
    until("they are forgotten", lambda: told.search(ottla.log(1 << 20)))
    assert told.search(ottla.log(1 << 20)).group(1) == "79"
    for i in range(12, 15):
        postgres.psql("insert into t values (%d, 'x'); insert into short_79 values (%d)" % (i, i), database)
        until("the row", lambda: ids(read_all(ottla, topic)) == list(range(1, i + 1)))
        until("the other row", lambda: ids(read_all(ottla, "sweep.public.short_79")) == [1] + list(range(12, i + 1)))
        again(ottla, ottla_again(ottla, "kill"))
