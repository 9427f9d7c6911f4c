#!/usr/bin/python3
"""Kills ottla and restarts PostgreSQL while tables change; a reader that runs all the time must see each committed row
change exactly once, in commit order per key.

usage: kill_cdc.py [--kills N] [--restarts N] [--seed N] [--rate TX_PER_S] [--strict]

Five tables of three partitions each; a writer commits some 10 transactions a second (inserts, updates, deletes, changes of
the primary key's definition). ottla dies by kill -9 at random moments or at a named failpoint: inside the snapshot, between
append and journal, between journal and publish, around a relation version. Every change carries a number that grows in
commit order. The snapshot shows the state after some number S; what is expected in the topics follows from S:
  - every row of that state once, as a snapshot row
  - every change behind S once; per key in the order of numbers; a tombstone behind every delete
  - every transaction's begin and end once, and its events numbered 1, 2, ... up to the count in its end
  - no reader sees an offset twice, or another record at the same offset.
Prints its seed; the last two lines are the figures. Exit status 0: all was as expected."""
import argparse
import collections
import json
import os
import random
import subprocess
import sys
import threading
import time

import confluent_kafka
import psycopg2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.ottla import Ottla                                          # noqa: E402
from lib.postgres import Postgres                                    # noqa: E402
from lib.wait import TimedOut, until                                 # noqa: E402

TABLES = ["t0", "t1", "t2", "t3", "t4"]
PARTITIONS = 3
NAME, PREFIX, SLOT = "kills", "kills", "kills_slot"
ROWS_BEFORE = 300     # in each table, for the snapshot
SNAPSHOT_POINTS = ["snapshot-begin:1", "snapshot-row:1", "journal:2", "snapshot-row:700", "append:1", "append:3", "snapshot-row:1499", "journal:2",
                   "snapshot-end:1", "publish:1", "snapshot-done:1"]
STREAM_POINTS = ["append", "journal", "publish", "relation", "relation-journalled"]


def connector():
    return {"name": NAME, "config": {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": Postgres.host,
        "database.port": "0", "database.user": "postgres", "database.password": "postgres", "database.dbname": "postgres",
        "topic.prefix": PREFIX, "plugin.name": "pgoutput", "slot.name": SLOT, "publication.name": "kills_pub",
        "table.include.list": ",".join("public." + t for t in TABLES), "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false", "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter", "provide.transaction.metadata": "true"}}


class Writer(threading.Thread):
    """Commits transactions; knows which of them are in the database, also when the connection was lost while committing."""

    def __init__(self, postgres, seed, rate):
        super().__init__(daemon=True)
        self.postgres, self.random, self.rate = postgres, random.Random(seed), rate
        self.changes = []           # (number, table, op, id), committed, in order
        self.rows = {t: {} for t in TABLES}   # id -> number of its last change
        self.number = 0
        self.transactions = self.unknown = 0
        self.stopping = threading.Event()
        self.connection = None
        self.failure = None

    def connect(self):
        while not self.stopping.is_set():
            try:
                self.connection = psycopg2.connect(host=self.postgres.host, port=self.postgres.port, user="postgres", dbname="postgres")
                return
            except psycopg2.OperationalError:      # it restarts
                self.stopping.wait(0.05)

    def prepare(self):
        self.connect()
        with self.connection, self.connection.cursor() as c:
            c.execute("create table marks(tx bigint primary key)")
            for t in TABLES:
                c.execute("create table %s(id int, k int default 7, v bigint, filler text, primary key(id))" % t)
                c.execute("alter table %s replica identity full" % t)
        for t in TABLES:
            self.transaction([("c", t, i) for i in range(ROWS_BEFORE)], [])

    def plan(self):
        """Changes of one transaction and statements besides."""
        out, used = [], set()
        for _ in range(self.random.choice([1, 1, 2, 3, 5, 40])):
            t = self.random.choice(TABLES)
            i = self.random.randrange(ROWS_BEFORE * 2)
            if (t, i) in used:
                continue
            used.add((t, i))
            if i not in self.rows[t]:
                out.append(("c", t, i))
            else:
                out.append((self.random.choice("uuud"), t, i))
        ddl = []
        if self.random.random() < 0.02:
            t = self.random.choice(TABLES)
            ddl = ["alter table %s drop constraint %s_pkey" % (t, t),
                   "alter table %s add primary key(%s)" % (t, self.random.choice(["id", "id, k", "k, id"]))]
        return out, ddl

    def transaction(self, planned, ddl):
        """Commits, or not, and then knows which."""
        tx, number, changes = self.transactions, self.number, []
        self.transactions += 1
        try:
            with self.connection.cursor() as c:
                c.execute("insert into marks values(%s)", (tx,))
                if ddl and self.random.random() < 0.5:
                    for statement in ddl:
                        c.execute(statement)
                    ddl = []
                for op, t, i in planned:
                    number += 1
                    filler = "x" * self.random.choice([5, 5, 5, 200, 4000])
                    if op == "c":
                        c.execute("insert into %s(id, v, filler) values(%%s, %%s, %%s)" % t, (i, number, filler))
                    elif op == "u":
                        c.execute("update %s set v = %%s, filler = %%s where id = %%s" % t, (number, filler, i))
                    else:
                        c.execute("delete from %s where id = %%s" % t, (i,))
                    changes.append((number, t, op, i))
                for statement in ddl:
                    c.execute(statement)
            self.connection.commit()
            committed = True
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            self.unknown += 1
            self.connect()
            if self.stopping.is_set():
                raise
            with self.connection.cursor() as c:
                c.execute("select 1 from marks where tx = %s", (tx,))
                committed = c.fetchone() is not None
            self.connection.rollback()
        if not committed:
            return
        self.number = number
        for n, t, op, i in changes:
            # A delete carries no number of its own: it is known by the number that it deletes.
            before = self.rows[t].get(i)
            self.changes.append((n, t, op, i, before))
            if op == "d":
                del self.rows[t][i]
            else:
                self.rows[t][i] = n

    def run(self):
        try:
            while not self.stopping.is_set():
                planned, ddl = self.plan()
                if planned:
                    self.transaction(planned, ddl)
                self.stopping.wait(self.random.expovariate(self.rate))
        except Exception as e:                     # told by the main thread
            self.failure = e


class Reader(threading.Thread):
    """Reads all partitions from the beginning, through every death of the broker."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": bootstrap, "group.id": "kills", "enable.auto.commit": False, "auto.offset.reset": "earliest",
            "reconnect.backoff.max.ms": 200, "topic.metadata.refresh.interval.ms": 500, "socket.timeout.ms": 5000,
            "error_cb": lambda e: None, "logger": None, "log_level": 0, "fetch.wait.max.ms": 100})
        self.consumer.assign([confluent_kafka.TopicPartition(t, p, 0) for p in range(PARTITIONS)
                              for t in ["%s.public.%s" % (PREFIX, t) for t in TABLES] + [PREFIX + ".transaction"]])
        self.transactions = []                         # values of the transaction topic
        self.records = collections.defaultdict(list)   # (table, partition) -> [(offset, key, value)]
        self.problem = None
        self.stopping = threading.Event()

    def run(self):
        last = {}
        while not self.stopping.is_set():
            m = self.consumer.poll(0.2)
            if m is None:
                continue
            if m.error():
                if m.error().code() == confluent_kafka.KafkaError._AUTO_OFFSET_RESET or m.error().code() == confluent_kafka.KafkaError.OFFSET_OUT_OF_RANGE:
                    self.problem = "the reader's offset went out of range: %s" % m.error()
                continue
            where = (m.topic().rsplit(".", 1)[1], m.partition())
            if m.offset() <= last.get(where, -1):
                self.problem = "%s-%d: offset %d again" % (where + (m.offset(),))
            last[where] = m.offset()
            if where[0] == "transaction":
                self.transactions.append(json.loads(m.value()))
            else:
                self.records[where].append((m.offset(), m.key(), m.value()))
        self.consumer.close()

    def is_at_end(self):
        return all(max(p.offset, 0) >= self.consumer.get_watermark_offsets(p, timeout=10)[1]
                   for p in self.consumer.position(self.consumer.assignment()))

    def count(self):
        return sum(len(r) for r in self.records.values())


def judge_transactions(reader):
    """Problems. The id is XID:LSN, with another LSN in each record."""
    begins, ends = collections.Counter(), collections.defaultdict(list)
    orders = collections.defaultdict(list)
    for t in reader.transactions:
        xid = t["id"].split(":")[0]
        if t["status"] == "BEGIN":
            begins[xid] += 1
        else:
            ends[xid].append(t["event_count"])
    for records in reader.records.values():
        for _, _, value in records:
            block = value and json.loads(value)["transaction"]
            if block:
                orders[block["id"].split(":")[0]].append(block["total_order"])
    problems = []
    for xid in set(begins) | set(ends) | set(orders):
        count = ends[xid][0] if ends[xid] else 0
        if begins[xid] != 1 or len(ends[xid]) != 1 or sorted(orders[xid]) != list(range(1, count + 1)):
            problems.append("transaction %s: %d begins, ends with counts %s, events numbered %s" % (
                xid, begins[xid], ends[xid], sorted(orders[xid])[:20]))
    return problems


def judge(writer, reader):
    """Returns (problems, snapshot number, events)."""
    problems = []
    snapshot, streamed = {}, collections.Counter()
    deletes = tombstones = events = 0
    by_delete = {(t, i, before): n for n, t, op, i, before in writer.changes if op == "d"}
    order = {}
    for (table, partition), records in sorted(reader.records.items()):
        pending = None    # the key of a delete whose tombstone must follow
        for offset, key, value in records:
            at = "%s-%d@%d" % (table, partition, offset)
            if pending is not None:
                if value is not None or key != pending:
                    problems.append("%s: no tombstone behind a delete" % at)
                else:
                    tombstones += 1
                pending = None
                if value is None:
                    continue
            if value is None:
                problems.append("%s: a tombstone without a delete" % at)
                continue
            events += 1
            e = json.loads(value)
            op = e["op"]
            row = e["before"] if op == "d" else e["after"]
            number = by_delete.get((table, row["id"], row["v"])) if op == "d" else row["v"]
            if number is None:
                problems.append("%s: delete of a row version that was not deleted: %s" % (at, row["id"]))
                continue
            if op == "r":
                if (table, row["id"]) in snapshot:
                    problems.append("%s: snapshot row twice: %d" % (at, row["id"]))
                snapshot[(table, row["id"])] = number
            else:
                streamed[(number, table, op, row["id"])] += 1
            if order.get((table, key), 0) > number:
                problems.append("%s: change %d after %d of the same key" % (at, number, order[(table, key)]))
            order[(table, key)] = number
            if op == "d":
                deletes += 1
                pending = key
    first = min((n for n, _, _, _ in streamed), default=writer.number + 1)
    state = {}
    for n, t, op, i, _ in writer.changes:
        if n >= first:
            break
        if op == "d":
            state.pop((t, i), None)
        else:
            state[(t, i)] = n
    if state != snapshot:
        lost = [k for k in state if k not in snapshot]
        more = [k for k in snapshot if state.get(k) != snapshot[k]]
        problems.append("snapshot: %d rows expected, %d read; missing %s; other %s" % (len(state), len(snapshot), lost[:5], more[:5]))
    expected = [(n, t, op, i) for n, t, op, i, _ in writer.changes if n >= first]
    for change in expected:
        if streamed[change] != 1:
            problems.append("change %s: %d times" % (change, streamed[change]))
    known = set(expected)
    problems += ["change %s was never committed" % (c,) for c in streamed if c not in known]
    problems += judge_transactions(reader)
    return problems, first - 1, events



def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the folder behind")
    options = parser.parse_args()
    print("seed %d" % options.seed, flush=True)
    chance = random.Random(options.seed)
    began = time.monotonic()
    overrides = {"num.partitions": str(PARTITIONS)}
    if options.strict:
        overrides["ottla.durability"] = "strict"
    with Postgres() as postgres:
        ottla = Ottla(overrides)
        try:
            return run(options, chance, postgres, ottla, began)
        finally:
            if ottla.process and ottla.process.poll() is None:
                ottla.kill()
            if options.keep:
                print("left behind: %s" % ottla.folder)
            else:
                ottla.remove()


def post(ottla, body):
    """Until the connector is stored; the broker may die while it answers."""
    try:
        status, answer = ottla.rest("POST", "/connectors", body)
    except OSError:
        return False
    if status not in (201, 409):
        raise RuntimeError("POST answered %s %s" % (status, answer))
    return True


def run(options, chance, postgres, ottla, began):
    writer = Writer(postgres, options.seed, options.rate)
    writer.prepare()
    writer.start()
    reader = Reader(ottla.bootstrap)
    reader.start()
    body = connector()
    body["config"]["database.port"] = str(postgres.port)
    ottla.kill()
    posted = False

    kills, restarts, by_point = 1, 0, collections.Counter()
    snapshot_points = SNAPSHOT_POINTS[:options.kills // 2]
    in_snapshot = 1 + len(snapshot_points)
    restart_at = set(chance.sample(range(in_snapshot, options.kills), min(options.restarts, options.kills - in_snapshot)))
    while kills < options.kills:
        point = None
        if kills < in_snapshot:
            point = snapshot_points[kills - 1]
        elif chance.random() < 0.6:
            point = "%s:%d" % (chance.choice(STREAM_POINTS), chance.choice([1, 1, 2, 3, 5, 10]))
        ottla.start({"OTTLA_FAILPOINT": point or ""})
        posted = posted or post(ottla, body)
        if kills in restart_at:
            time.sleep(chance.random())
            postgres.restart(chance.choice(["fast", "immediate"]))
            restarts += 1
        deadline = time.monotonic() + (5 if kills < in_snapshot else chance.choice([0.05, 0.2, 0.5, 1, 2, 3]))
        try:
            ottla.process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        if ottla.process.poll() is not None:
            if ottla.process.returncode != -9:
                print("ottla ended by itself with %d\n%s" % (ottla.process.returncode, ottla.log()))
                return 1
            by_point[point.split(":")[0]] += 1
            ottla.process.stdout.close()
        else:
            ottla.kill()
        kills += 1
        if writer.failure:
            raise writer.failure
        if reader.problem:
            break
    ottla.start({"OTTLA_FAILPOINT": ""})
    posted = posted or post(ottla, body)
    # On a slow machine all deaths may have been inside the snapshot; some changes must come by the stream.
    until("a change is streamed", lambda: reader.transactions or reader.problem or writer.failure, 120, 0.2)
    writer.stopping.set()
    writer.join()

    def complete():
        return reader.problem or not judge(writer, reader)[0]
    try:
        until("all changes are read", complete, 30, 0.5)
        # One too many would come behind them: when all that PostgreSQL has is confirmed, it is in the logs; then it is read.
        end = postgres.psql("select pg_current_wal_lsn()")
        until("all is confirmed", lambda: postgres.psql(
            "select 1 from pg_replication_slots where confirmed_flush_lsn >= '%s'" % end) or reader.problem, 30, 0.2)
        until("the reader is at the end", lambda: reader.is_at_end() or reader.problem, 30, 0.2)
    except TimedOut:
        pass
    reader.stopping.set()
    reader.join()
    problems, snapshot_at, events = judge(writer, reader)
    if reader.problem:
        problems.insert(0, reader.problem)
    for p in problems[:20]:
        print(p)
    if problems:
        print("connector: %s" % ottla.connector_state(NAME))
        print(ottla.log(3000))
        return 1
    print("%d kills (%s), %d PostgreSQL restarts, %.0f s" % (
        kills, ", ".join("%s %d" % p for p in sorted(by_point.items())) or "no failpoint", restarts, time.monotonic() - began))
    print("%d transactions, %d changes, %d events read, each once and in order; snapshot after change %d; 0 problems" % (
        writer.transactions, len(writer.changes), events, snapshot_at))
    return 0



if __name__ == "__main__":
    sys.exit(main())
