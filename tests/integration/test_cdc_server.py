"""A server that is not what it was: restored from a backup, failed over, exchanged. Nothing may be lost without a word."""
import os
import re
import shutil
import subprocess

import pytest
from lib import postgres as pg
from lib.ottla import wait_streaming
from lib.wait import until
from test_cdc_topics import failed_trace, ids, read_all

TOPIC = "s.public.t"


@pytest.fixture
def server():
    with pg.Postgres() as running:
        running.psql("create table t(id int primary key)")
        yield running


def config(server, **more):
    out = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": server.host,
           "database.port": str(server.port), "database.user": "postgres", "database.password": "x", "database.dbname": "postgres",
           "topic.prefix": "s", "plugin.name": "pgoutput", "slot.name": "s"}
    out.update({name.replace("__", "."): value for name, value in more.items()})
    return out


def begin(ottla, server):
    status, body = ottla.rest("POST", "/connectors", {"name": "s", "config": config(server)})
    assert status == 201, body
    assert wait_streaming(ottla, server, "s", "s") == "RUNNING"


def insert(server, *numbers):
    server.psql(";".join("insert into t values (%d)" % n for n in numbers))


def read(ottla, numbers):
    until("rows %s" % numbers, lambda: ids(read_all(ottla, TOPIC)) == numbers)


def backup(server):
    """The files of the stopped server; starts it again."""
    server.stop(keep=True)
    subprocess.run(["cp", "-a", server.data, server.data + ".backup"], check=True)
    server.start()


def restore(server, recovery=False):
    """Back to the backup; recovery: as an archive recovery does it, onto a new timeline."""
    server.stop(keep=True)
    shutil.rmtree(server.data)
    subprocess.run(["cp", "-a", server.data + ".backup", server.data], check=True)
    recover(server) if recovery else server.start()


def recover(server):
    signal = server.data + "/recovery.signal"
    open(signal, "w").close()
    st = os.stat(server.data)
    os.chown(signal, st.st_uid, st.st_gid)
    server.settings["restore_command"] = "false"
    server.start()
    until("recovery is over", lambda: server.psql("select pg_is_in_recovery()") == "f")


def write_past(server, lsn):
    until("WAL past " + lsn, lambda: server.psql(
        "insert into other select repeat('x', 1000) from generate_series(1, 500); select pg_current_wal_lsn() > '%s'" % lsn) == "t")


def fails_with(ottla, *words):
    trace = until("it fails\n" + ottla.log(), lambda: failed_trace(ottla, "s"))
    for word in words + ("snapshot.mode=when_needed", "DELETE /connectors/s/offsets"):
        assert word in trace, trace


def confirmed_up_to_now(server):
    now = server.psql("select pg_current_wal_lsn()")
    until("the slot passes " + now, lambda: server.psql(
        "select confirmed_flush_lsn >= '%s' from pg_replication_slots where slot_name = 's' and active" % now) == "t")


def test_a_server_restored_to_before_our_position_is_told(fresh_ottla, server):
    ottla = fresh_ottla()
    begin(ottla, server)
    insert(server, 1)
    read(ottla, [1])
    backup(server)
    server.psql("create table other(a text); insert into other select repeat('x', 1000) from generate_series(1, 1000)")
    insert(server, 2)
    read(ottla, [1, 2])
    ottla.stop()
    restore(server)
    insert(server, 3)
    ottla.start()
    fails_with(ottla, "its WAL ends at", "restored from a backup")
    assert ids(read_all(ottla, TOPIC)) == [1, 2]
    # The first way out that the text names.
    assert ottla.rest("PUT", "/connectors/s/config", config(server, snapshot__mode="when_needed"))[0] == 200
    read(ottla, [1, 1, 2, 3])
    insert(server, 4)
    read(ottla, [1, 1, 2, 3, 4])
    confirmed_up_to_now(server)
    ottla.kill()
    ottla.start()
    insert(server, 5)
    read(ottla, [1, 1, 2, 3, 4, 5])


def test_a_failover_that_lost_nothing_goes_on_and_one_that_did_is_told(fresh_ottla, server):
    ottla = fresh_ottla()
    begin(ottla, server)
    insert(server, 1)
    read(ottla, [1])
    server.stop(keep=True)
    recover(server)             # timeline 2, from the end of all that was written
    insert(server, 2)
    read(ottla, [1, 2])
    assert server.psql("select timeline_id from pg_control_checkpoint()") == "2"
    backup(server)
    server.psql("create table other(a text); insert into other select repeat('x', 1000) from generate_series(1, 1000)")
    insert(server, 3)
    read(ottla, [1, 2, 3])
    ottla.stop()
    lsn = server.psql("select pg_current_wal_lsn()")
    restore(server, recovery=True)
    server.psql("create table other(a text)")
    insert(server, 4)
    write_past(server, lsn)     # the end of its log alone does not show it any more
    ottla.start()
    fails_with(ottla, "its timeline 3 left our timeline 2 at")
    # The second way out.
    assert ottla.rest("PUT", "/connectors/s/stop")[0] == 204
    until("it is stopped", lambda: ottla.connector_state("s") == "STOPPED")
    assert ottla.rest("DELETE", "/connectors/s/offsets")[0] == 200
    assert ottla.rest("PUT", "/connectors/s/resume")[0] == 202
    read(ottla, [1, 1, 2, 2, 3, 4])
    confirmed_up_to_now(server)


def test_another_server_is_told(fresh_ottla, server):
    ottla = fresh_ottla()
    begin(ottla, server)
    insert(server, 1)
    read(ottla, [1])
    ottla.stop()
    identifier = server.psql("select system_identifier from pg_control_system()")
    lsn = server.psql("select pg_current_wal_lsn()")
    server.stop(keep=True)
    shutil.rmtree(server.data)
    with pg.Postgres() as other:
        other.stop(keep=True)
        # As initdb makes it: the template's copies all have one identifier.
        shutil.rmtree(other.data)
        pg._run([other.bin + "/initdb", "-D", other.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        other.port = server.port
        other.start()
        other.psql("create table t(id int primary key); create table other(a text); insert into t values (2)")
        other.psql("select pg_create_logical_replication_slot('s', 'pgoutput')")
        write_past(other, lsn)
        ottla.start()
        fails_with(ottla, "is another one: its system identifier is " + other.psql("select system_identifier from pg_control_system()"),
                   "the server " + identifier)
        assert re.search("LSN\\{[0-9A-F]+/[0-9A-F]+\\}", failed_trace(ottla, "s"))
        ottla.stop()
    server.process = None
