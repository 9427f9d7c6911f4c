"""The long rows of the Java software: every call of Admin, Kafka Connect, Debezium on it, MirrorMaker 2."""
import json
import os
import re
import subprocess
import sys
import tempfile

import bank
import clients
import connect_worker
from lib.ottla import Ottla, wait_streaming
from lib.postgres import Postgres, binaries
from lib.wait import until
from rows import Lines, drive, finish, row

sys.path.append(os.path.join(clients.HERE, "..", "differential"))
import sides                            # noqa: E402

KAFKA_HEAP = "256m"
AUTHORIZED = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS"}

# -- every call of Admin --

# What may differ between the answers of Kafka and of ottla: a pattern of the call and why. Anything else that differs has failed.
ADMIN_DIFFERENCES = {
    r"configs (topic|plain) flush\.ms|topics create, the topic's configuration flush\.ms": "an acknowledged record is on disk within a second",
    r"(configs (topic|broker|plain)|topics create, the topic's configuration) ottla\.": "options of ottla's own",
    r"configs broker (connect\.(debezium\.version|listeners)|metrics\.listeners|(config|offset|status)\.storage\.topic)": "options of ottla's own",
    r"configs broker (listeners|listener\.security\.protocol\.map|num\.network\.threads)": "read at the start",
    r"configs broker super\.users": "an option of the authorizer's, which Kafka does not know the type of",
    r"cluster unregister an unknown broker": "there is one broker",
    r"features describe (kraft|eligible\.leader\.replicas)\.version": "features of a quorum",
    r"transactions abort with a wrong epoch": "Kafka has no error of its own for it",
    r"share_groups alter offsets": "Kafka 4.1 answers without doing anything, which its client does not understand",
}


def answers(lines):
    """{what was called: its answer}"""
    return dict(line[len("call "):].split(": ", 1) for line in lines if line.startswith("call "))


@row("Java Admin 4.1, every call, answers as Kafka's", "topics records configs log_dirs cluster acls quotas scram tokens transactions "
     "groups features share_groups streams_groups client every_method", timeout_s=400)
def admin_calls(out):
    command = clients.java("clients41", "AdminCalls") + ["AdminCalls"]
    reference = Lines(out.timeout_s)
    kafka = sides.Kafka(KAFKA_HEAP)
    try:
        side = sides.Side("Kafka", kafka.port, sides.codec.load())
        sides.wait_ready(side)
        side.close()
        reference.program(command + ["127.0.0.1:%d" % kafka.port, "compat"])
    finally:
        kafka.stop()
    with Ottla(dict(sides.ottla_options(), **AUTHORIZED)) as ottla:
        out.program(command + [ottla.bootstrap, "compat"])
        finish(out, ottla)
    want, got = answers(reference.text), answers(out.text)
    differ = [call for call in sorted(set(want) | set(got)) if want.get(call) != got.get(call)]
    for call in differ:
        if not any(re.match(pattern, call) for pattern in ADMIN_DIFFERENCES):
            out.line("FAIL %s: %s: Kafka %s, ottla %s" % (call.split()[0], call, want.get(call), got.get(call)))
    out.line("note %d answers compared with those of Kafka 4.1, %d differ as java_rows.py says" % (len(want), len(differ)))


# -- what the others share --

def check(out, feature, body):
    """Runs a feature; its failure is a line, as a driver prints it."""
    try:
        body()
        out.line("ok " + feature)
    except Exception as e:
        out.line("FAIL %s: %s: %s" % (feature, type(e).__name__, str(e).replace("\n", " ")[:1500]))


def expect(what, got, want):
    if got != want:
        raise AssertionError("%s: got %.400s, want %.400s" % (what, got, want))


def read_all(bootstrap, topic, isolation="read_committed"):
    """Every record of the topic in the order of partition and offset: confluent_kafka's messages."""
    import confluent_kafka
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": True,
                                         "isolation.level": isolation, "enable.auto.commit": False})
    try:
        found = consumer.list_topics(topic, timeout=20).topics[topic]
        partitions = [confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in found.partitions]
        if found.error or not partitions:
            return []
        consumer.assign(partitions)
        ends, out = set(), []
        while len(ends) < len(partitions):
            m = consumer.poll(30)
            if m is None:
                raise RuntimeError("no end of " + topic)
            if not m.error():
                out.append(m)
            elif m.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                ends.add(m.partition())
        return sorted(out, key=lambda m: (m.partition(), m.offset()))
    finally:
        consumer.close()


# -- Kafka Connect --

LINES_A_STEP = 100
CONNECT_BROKER = {"log.cleaner.backoff.ms": "500"}
INTERNAL_TOPICS = {"worker-configs": 1, "worker-offsets": 2, "worker-status": 2}


class Followed:
    """A file that FileStreamSource follows, and what was written to it."""

    def __init__(self, folder):
        self.path, self.lines = os.path.join(folder, "source.txt"), []
        open(self.path, "w").close()

    def append(self, count=LINES_A_STEP):
        more = ["line %d" % (len(self.lines) + i) for i in range(count)]
        self.lines += more
        with open(self.path, "a") as f:
            f.write("".join(line + "\n" for line in more))


def wait_lines(bootstrap, topic, source, exact):
    """Until the topic has every line of the file: exactly, or each at least once and in order when repeats are left out."""
    def values():
        return [json.loads(m.value()) for m in read_all(bootstrap, topic)]

    def whole():
        return len(set(values())) == len(source.lines)
    until(lambda: "every line in the topic: %d of %d" % (len(set(values())), len(source.lines)), whole, 90, 0.5)
    got = values()
    if not exact:
        got = list(dict.fromkeys(got))
    expect("lines in the topic", got == source.lines and len(got), len(source.lines))


def connect(exactly_once):
    def run(out):
        with tempfile.TemporaryDirectory() as folder, Ottla(CONNECT_BROKER) as ottla:
            source, sink = Followed(folder), os.path.join(folder, "sink.txt")
            more = {"exactly__once__source__support": "enabled"} if exactly_once else {}
            # Small segments of the offsets' topic, so that compaction has something to do while the row runs.
            with connect_worker.Worker(ottla.bootstrap, folder, offset__storage__segment__bytes="4096",
                                       offset__storage__min__cleanable__dirty__ratio="0.01", value__converter__schemas__enable="false", **more) as worker:
                out.line("version " + worker.rest("GET", "/")[1]["version"])

                def source_and_sink():
                    worker.make("source", connector__class="FileStreamSource", topic="lines", file=source.path,
                                **{"exactly__once__support": "required"} if exactly_once else {})
                    worker.make("sink", connector__class="FileStreamSink", topics="lines", file=sink)
                    source.append()
                    wait_lines(ottla.bootstrap, "lines", source, exact=True)
                    until("the sink's file has every line", lambda: open(sink).read().splitlines() == source.lines, 60, 0.5)

                def worker_killed():
                    for _ in range(2):
                        source.append()
                        worker.kill()
                        source.append()
                        worker.start()
                        worker.wait_running("source")
                        wait_lines(ottla.bootstrap, "lines", source, exactly_once)

                def broker_killed():
                    for _ in range(4):
                        source.append()
                        until("some of them", lambda: len(read_all(ottla.bootstrap, "lines", "read_uncommitted")) > len(source.lines) - LINES_A_STEP, 60, 0.02)
                        source.append()
                        ottla.kill()
                        source.append()
                        ottla.start()
                        wait_lines(ottla.bootstrap, "lines", source, exactly_once)
                    worker.wait_running("source")

                def both_killed():
                    source.append()
                    ottla.kill()
                    worker.kill()
                    ottla.start()
                    worker.start()
                    worker.wait_running("source")
                    source.append()
                    wait_lines(ottla.bootstrap, "lines", source, exactly_once)
                    worker.wait_running("sink")
                    until("the sink's file has every line", lambda: set(open(sink).read().splitlines()) == set(source.lines), 60, 0.5)

                def internal_topics():
                    from confluent_kafka.admin import AdminClient, ConfigResource
                    admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
                    found = admin.list_topics(timeout=20).topics
                    for topic, partitions in INTERNAL_TOPICS.items():
                        expect("partitions of " + topic, len(found[topic].partitions), partitions)
                        [future] = admin.describe_configs([ConfigResource("topic", topic)]).values()
                        expect("cleanup.policy of " + topic, future.result(20)["cleanup.policy"].value, "compact")

                    def compacted():
                        source.append(10)
                        wait_lines(ottla.bootstrap, "lines", source, exactly_once)
                        records = read_all(ottla.bootstrap, "worker-offsets")
                        return any(b.partition() == a.partition() and b.offset() > a.offset() + 1 and b.key() for a, b in zip(records, records[1:])) or (
                            records and records[0].offset() > 0)
                    until("the offsets' topic is compacted", compacted, 120, 0.6)
                    worker.kill()
                    worker.start()  # reads the compacted topics
                    worker.wait_running("source")
                    source.append()
                    wait_lines(ottla.bootstrap, "lines", source, exactly_once)

                for feature, body in (("source_and_sink", source_and_sink), ("worker_killed", worker_killed), ("broker_killed", broker_killed),
                                      ("both_killed", both_killed), ("internal_topics", internal_topics)):
                    check(out, feature, body)
                if any(word == "FAIL" for word, _ in out.results.values()):
                    out.text += worker.log().splitlines()
            finish(out, ottla)
    return run


def connect_default_topics(out):
    """A worker whose topics have the names of ottla's own: its connectors are its own, over restarts of both."""
    topics = {"config__storage__topic": "connect-configs", "offset__storage__topic": "connect-offsets", "status__storage__topic": "connect-statuses"}
    if not binaries("15"):
        raise clients.Missing("needs PostgreSQL 15")
    with tempfile.TemporaryDirectory() as folder, Postgres() as postgres, Ottla(CONNECT_BROKER) as ottla:
        source = Followed(folder)
        with connect_worker.Worker(ottla.bootstrap, folder, value__converter__schemas__enable="false", **topics) as worker:
            out.line("version " + worker.rest("GET", "/")[1]["version"])

            def runs():
                worker.make("source", connector__class="FileStreamSource", topic="lines", file=source.path)
                source.append()
                wait_lines(ottla.bootstrap, "lines", source, exact=True)

            def left_to_it():
                expect("ottla's connectors", ottla.rest("GET", "/connectors")[1], [])
                status, body = ottla.rest("POST", "/connectors", {"name": "own", "config": {
                    "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": postgres.host,
                    "database.port": str(postgres.port), "database.user": "postgres", "database.password": "x", "database.dbname": "postgres",
                    "topic.prefix": "own", "plugin.name": "pgoutput"}})
                expect("ottla's own connector: %s" % body, status, 409)
                expect("what to do about it", "config.storage.topic" in body["message"], True)

            def restarts():
                source.append()
                ottla.kill()
                ottla.start()
                expect("ottla's connectors", ottla.rest("GET", "/connectors")[1], [])
                expect("one line tells it", ottla.log(1 << 20).count("is a Kafka Connect worker's"), 2)
                wait_lines(ottla.bootstrap, "lines", source, exact=False)
                worker.kill()
                source.append()
                worker.start()
                worker.wait_running("source")
                expect("the worker's connectors", worker.rest("GET", "/connectors")[1], ["source"])
                wait_lines(ottla.bootstrap, "lines", source, exact=False)

            for feature, body in (("runs", runs), ("left_to_it", left_to_it), ("restarts", restarts)):
                check(out, feature, body)
            if any(word == "FAIL" for word, _ in out.results.values()):
                out.text += worker.log().splitlines()
        finish(out, ottla)


CONNECT = "source_and_sink worker_killed broker_killed both_killed internal_topics"
row("Kafka Connect 4.1, distributed", CONNECT)(connect(False))
row("Kafka Connect 4.1, exactly.once.source.support", CONNECT)(connect(True))
row("Kafka Connect 4.1, default topics", "runs left_to_it restarts")(connect_default_topics)


# -- Debezium --

DEBEZIUM_TABLES = """
create table plain(id int primary key, a text, b numeric(10,2), c boolean, d timestamptz default now(), e jsonb, f uuid, g bytea);
create table wide(id bigint, part text, v double precision, r real, s smallint, t time, ts timestamp, dd date, iv interval, arr int[], m money,
                  i inet, n numeric, primary key (id, part));
create table full_identity(id int primary key, v text);
alter table full_identity replica identity full;
create table no_key(a int, b text);
insert into plain select g, 'row ' || g, g / 3.0, g % 2 = 0, '2026-01-02 03:04:05.678901+00', '{"n": 1}', 'c0ffee00-0000-4000-8000-000000000001', '\\x0102'
    from generate_series(1, 50) g;
insert into wide select g, 'p', g / 7.0, g / 7.0, g, '01:02:03.456', '2026-01-02 03:04:05.678', '2026-01-02', '1 day 2 hours', '{1,2,null}', 12.34, '10.0.0.1', g / 3.0
    from generate_series(1, 20) g;
"""
DEBEZIUM_STEPS = """
insert into plain(id, a) values (100, null), (101, 'ünïcode');
update plain set a = 'changed' where id < 10;
update plain set id = 1000 where id = 20;
delete from plain where id = 30;
begin; insert into full_identity select g, 'v' || g from generate_series(1, 20) g; update full_identity set v = v || '!'; delete from full_identity where id > 10; commit;
insert into no_key values (1, 'x'), (2, null);
begin; insert into plain(id, a) values (500, 'never'); rollback;
update wide set v = 'NaN', r = '-Infinity', arr = null where id = 3;
insert into plain(id, a) values (600, repeat('long ', 2000));
update plain set b = 7 where id = 600;
truncate no_key;
alter table plain add column h int default 5;
insert into plain(id, h) values (700, 6);
select pg_logical_emit_message(true, 'a prefix', 'some content');
insert into plain(id, a) values (999, 'last');
"""
DEBEZIUM_TOPICS = ("plain", "wide", "full_identity", "no_key")
PROCESSING_TIMES = ("ts_ms", "ts_us", "ts_ns")          # of the envelope: when the event was made
OF_THE_SNAPSHOT = ("lsn", "txId", "sequence") + PROCESSING_TIMES  # of the source: each snapshot is one of its own


def event(text, prefix):
    """Key or value as JSON, without what has to differ: the prefix, and the times of two connectors."""
    if text is None:
        return None
    value = json.loads(text.decode().replace(prefix + ".", "PREFIX."))
    payload = value["payload"]
    if isinstance(payload, dict) and "source" in payload:
        source = payload["source"]
        source["name"] = source["name"].replace(prefix, "PREFIX")
        for name in PROCESSING_TIMES:
            payload[name] = payload.get(name) is not None
        if source["snapshot"] != "false":
            for name in OF_THE_SNAPSHOT:
                source[name] = source.get(name) is not None
    return value


def expect_same(what, got, want, path=""):
    """As expect(), but names the member that differs; members have to stand in the same order."""
    if isinstance(got, dict) and isinstance(want, dict):
        expect("members of %s%s" % (what, path), list(got), list(want))
        for name in want:
            expect_same(what, got[name], want[name], path + "." + name)
    elif isinstance(got, (list, tuple)) and isinstance(want, (list, tuple)) and len(got) == len(want):
        for i, pair in enumerate(zip(got, want)):
            expect_same(what, *pair, "%s[%d]" % (path, i))
    else:
        expect(what + path, got, want)


def debezium(out):
    if not binaries("15"):
        raise clients.Missing("needs PostgreSQL 15")
    plugin = clients.jars("debezium", "kafka-clients", "connect-api", "slf4j-api", "lz4-java", "snappy-java", "zstd-jni")
    with tempfile.TemporaryDirectory() as folder, Postgres() as postgres, Ottla() as ottla:
        def config(prefix):
            return {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": postgres.host,
                    "database.port": str(postgres.port), "database.user": "postgres", "database.password": "x", "database.dbname": "postgres",
                    "topic.prefix": prefix, "plugin.name": "pgoutput", "slot.name": prefix, "publication.name": "events", "skipped.operations": "none",
                    "heartbeat.interval.ms": "0"}

        def streams(slot):
            return postgres.psql("select 1 from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid where slot_name = '%s' "
                                 "and r.state = 'streaming'" % slot)
        postgres.psql(DEBEZIUM_TABLES)
        postgres.psql("create publication events for all tables")
        os.mkdir(os.path.join(folder, "plugins"))
        os.symlink(os.path.dirname(plugin), os.path.join(folder, "plugins", "debezium"))
        with connect_worker.Worker(ottla.bootstrap, folder, plugin__path=os.path.join(folder, "plugins"),) as worker:
            def events(prefix, table):
                return [(event(m.key(), prefix), event(m.value(), prefix)) for m in read_all(ottla.bootstrap, "%s.public.%s" % (prefix, table))]

            def last_is_there(prefix):
                found = events(prefix, "plain")
                return found and found[-1][0]["payload"] == {"id": 999}

            def compare():
                for table in DEBEZIUM_TOPICS:
                    want, got = events("real", table), events("own", table)
                    for i, (a, b) in enumerate(zip(want, got)):
                        expect_same("event %d of %s" % (i, table), b, a)
                    expect("events of " + table, len(got), len(want))
                    counted[table] = len(want)

            def snapshot_and_stream():
                worker.make("real", **config("real"))
                status, body = ottla.rest("POST", "/connectors", {"name": "own", "config": config("own")})
                expect("ottla's own connector", status, 201)
                wait_streaming(ottla, postgres, "own", "own", 60)
                until(lambda: "Debezium streams\n" + worker.log(), lambda: streams("real"), 120, 0.2)
                postgres.psql(DEBEZIUM_STEPS)
                until(lambda: "Debezium's events\n" + worker.log(), lambda: last_is_there("real"), 90, 0.5)
                until("ottla's events", lambda: last_is_there("own"), 60, 0.2)

            def message():
                [a], [b] = ([(event(m.key(), p), event(m.value(), p)) for m in read_all(ottla.bootstrap, p + ".message")] for p in ("real", "own"))
                expect_same("the logical message", b, a)

            def restart():
                postgres.psql("insert into full_identity select g, 'r' from generate_series(1000, 1099) g")
                worker.kill()
                ottla.kill()
                postgres.psql("insert into full_identity select g, 'r' from generate_series(1100, 1199) g")
                ottla.start()
                worker.start()

                def keys(prefix):
                    found = [k["payload"]["id"] for k, _ in events(prefix, "full_identity") if k and k["payload"]["id"] >= 1000]
                    return list(dict.fromkeys(found)) if prefix == "real" else found  # Debezium may repeat
                for prefix in ("real", "own"):
                    until(lambda: "%s's events after a kill: %d\n%s" % (prefix, len(keys(prefix)), worker.log()), lambda: len(keys(prefix)) >= 200, 120, 0.5)
                    expect(prefix + "'s keys", keys(prefix), list(range(1000, 1200)))

            counted = {}
            check(out, "snapshot_and_stream", snapshot_and_stream)
            check(out, "events_equal", compare)
            check(out, "logical_message", message)
            check(out, "restart", restart)
            out.line("version " + next(name[len("debezium-connector-postgres-"):-len(".jar")] for name in os.listdir(os.path.dirname(plugin))
                                       if name.startswith("debezium-connector-postgres-")))
            out.line("note %d events of %d tables equal to Debezium's" % (sum(counted.values()), len(counted)))
        finish(out, ottla)


row("Debezium PostgreSQL on Connect 4.1, beside ottla's own", "snapshot_and_stream events_equal logical_message restart")(debezium)

# -- MirrorMaker 2 --

MIRRORED = 200
MM2_SETTINGS = {
    "clusters": "ottla,kafka", "ottla->kafka.enabled": "true", "kafka->ottla.enabled": "true", "ottla->kafka.topics": "from-ottla.*",
    "kafka->ottla.topics": "from-kafka.*", "groups": "app.*", "replication.factor": "1", "checkpoints.topic.replication.factor": "1",
    "heartbeats.topic.replication.factor": "1", "offset-syncs.topic.replication.factor": "1", "offset.storage.replication.factor": "1",
    "status.storage.replication.factor": "1", "config.storage.replication.factor": "1", "sync.group.offsets.enabled": "true",
    "sync.group.offsets.interval.seconds": "1", "emit.checkpoints.interval.seconds": "1", "refresh.topics.interval.seconds": "2",
    "refresh.groups.interval.seconds": "2", "sync.topic.configs.interval.seconds": "2", "emit.heartbeats.interval.seconds": "1",
    "offset.flush.interval.ms": "1000", "sync.topic.acls.enabled": "false", "offset.lag.max": "10", "tasks.max": "1",
    "dedicated.mode.enable.internal.rest": "false", "offset.storage.partitions": "2", "status.storage.partitions": "2",
}


def produce(bootstrap, topic, first, count):
    from confluent_kafka import Producer
    p = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for i in range(first, first + count):
        p.produce(topic, "value %d" % i, "key %d" % i, partition=i % 2, timestamp=1700000000000 + i, headers=[("n", str(i)), ("empty", b"")])
    if p.flush(60):
        raise RuntimeError("%s: not all was sent" % topic)


def fields(messages):
    return [(m.partition(), m.offset(), m.key(), m.value(), m.timestamp(), m.headers()) for m in messages]


def mirror_maker(out):
    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
    command = clients.java_program(clients.jars("kafka41"), connect_worker.HEAP)
    kafka = sides.Kafka(KAFKA_HEAP)
    try:
        side = sides.Side("Kafka", kafka.port, sides.codec.load())
        sides.wait_ready(side)
        side.close()
        with tempfile.TemporaryDirectory() as folder, Ottla({"offsets.topic.num.partitions": "5", "transaction.state.log.num.partitions": "5"}) as ottla:
            places = {"ottla": ottla.bootstrap, "kafka": "127.0.0.1:%d" % kafka.port}
            other = {"ottla": "kafka", "kafka": "ottla"}
            for name, address in places.items():
                admin = AdminClient({"bootstrap.servers": address})
                for future in admin.create_topics([NewTopic("from-" + name, 2, 1, config={"retention.ms": "-1", "max.message.bytes": "2000000"})]).values():
                    future.result(30)
                until("%s's topic" % name, lambda: "from-" + name in admin.list_topics(timeout=20).topics, 20, 0.2)
                produce(address, "from-" + name, 0, MIRRORED)
            file = os.path.join(folder, "mm2.properties")
            with open(file, "w") as f:
                for name, value in dict(MM2_SETTINGS, **{name + ".bootstrap.servers": address for name, address in places.items()}).items():
                    f.write("%s=%s\n" % (name, value))
            log = os.path.join(folder, "log")

            def mirrored(source, count):
                """Waits until the copy of a side's topic is whole, and holds every field against the original."""
                copy = "%s.from-%s" % (source, source)
                until(lambda: "%d records of %s\n%s" % (count, copy, open(log).read()[-800:]), lambda: len(read_all(places[other[source]], copy)) >= count, 180, 0.5)
                expect("records of " + copy, fields(read_all(places[other[source]], copy)), fields(read_all(places[source], "from-" + source)))
            with open(log, "w") as f:
                process = subprocess.Popen(command + ["org.apache.kafka.connect.mirror.MirrorMaker", file], stdout=f, stderr=f, stdin=subprocess.DEVNULL)

            def one_way(source):
                def run():
                    mirrored(source, MIRRORED)
                    copy, admin = "%s.from-%s" % (source, source), AdminClient({"bootstrap.servers": places[other[source]]})

                    def config():
                        [future] = admin.describe_configs([ConfigResource("topic", copy)]).values()
                        found = future.result(20)
                        return (found["retention.ms"].value, found["max.message.bytes"].value) == ("-1", "2000000")
                    until("the topic's configuration", config, 60, 0.5)
                return run

            def offsets():
                for source in places:
                    group, copy = "app-" + source, "%s.from-%s" % (source, source)
                    settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
                    consumer = Consumer(dict(settings, **{"bootstrap.servers": places[source]}))
                    consumer.subscribe(["from-" + source])
                    read = []
                    until("half is read", lambda: (read.extend(consumer.consume(20, 1)) or len(read) >= MIRRORED // 2), 60, 0)
                    consumer.commit(asynchronous=False)
                    consumer.close()
                    before = {m.key() for m in read}

                    def synced():
                        from confluent_kafka import TopicPartition
                        there = Consumer(dict(settings, **{"bootstrap.servers": places[other[source]]}))
                        found = [p.offset for p in there.committed([TopicPartition(copy, 0), TopicPartition(copy, 1)], timeout=20)]
                        there.close()
                        return found if max(found) > 0 else None
                    translated = until(lambda: "offsets of %s on %s\n%s" % (group, other[source], open(log).read()[-800:]), synced, 120, 1)
                    # Who goes on at the other cluster misses nothing.
                    there = Consumer(dict(settings, **{"bootstrap.servers": places[other[source]]}))
                    there.subscribe([copy])
                    after = []
                    until("the rest is read there", lambda: (after.extend(m.key() for m in there.consume(50, 1)) or len(before | set(after)) == MIRRORED), 60, 0)
                    there.close()
                    expect("less than all is read again", len(after) < MIRRORED, True)
                    out.line("note group %s went on at %s on %s" % (group, translated, other[source]))

            def broker_killed():
                produce(places["ottla"], "from-ottla", MIRRORED, MIRRORED)
                ottla.kill()
                produce(places["kafka"], "from-kafka", MIRRORED, MIRRORED)
                ottla.start()
                for source in places:
                    copy = "%s.from-%s" % (source, source)
                    until(lambda: "%s after a kill\n%s" % (copy, open(log).read()[-800:]),
                          lambda: len({m.key() for m in read_all(places[other[source]], copy)}) == 2 * MIRRORED, 180, 0.5)
            try:
                check(out, "to_kafka", one_way("ottla"))
                check(out, "from_kafka", one_way("kafka"))
                check(out, "offset_sync", offsets)
                check(out, "broker_killed", broker_killed)
            finally:
                process.kill()
                process.wait()
            out.line("version 4.1.1")
            finish(out, ottla)
    finally:
        kafka.stop()


row("MirrorMaker 2 4.1, ottla and Kafka", "to_kafka from_kafka offset_sync broker_killed")(mirror_maker)


# -- one data directory, taken in turns --

TAKEN = {"plain": (3, {"retention.ms": "-1"}), "kept": (2, {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.9"}), "empty": (2, {})}


def fill_directory(bootstrap, round, replicas=1):
    """Topics, records, transactions, a group's offsets: more of each in every round."""
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
    if round == 0:
        topics = [NewTopic(name, count, replicas, config=config) for name, (count, config) in TAKEN.items()]
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for future in admin.create_topics(topics).values():
            future.result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": ["lz4", "zstd", "none"][round % 3]})
    for i in range(1000):
        for topic in ("plain", "kept"):
            producer.produce(topic, "value %d %d" % (round, i), "key %d" % (i % 50), timestamp=1700000000000 + i)
    if producer.flush(60):
        raise RuntimeError("not all was sent")
    transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": "turns"})
    transactional.init_transactions(60)
    for end in (transactional.commit_transaction, transactional.abort_transaction):
        transactional.begin_transaction()
        transactional.produce("plain", "%s %d" % (end.__name__, round), partition=0)
        transactional.flush(30)
        end(60)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "turns"})

    def committed():
        try:
            consumer.commit(offsets=[TopicPartition("plain", p, 100 * round + p) for p in range(3)], asynchronous=False)
            return True
        except KafkaException:
            return False        # the coordinator is not there yet
    until("the offsets are committed", committed, 60, 0.5)
    consumer.close()


def see_directory(bootstrap):
    from confluent_kafka import Consumer, KafkaException, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = {topic: [(m.partition(), m.offset(), m.timestamp(), m.key(), m.value()) for m in read_all(bootstrap, topic)] for topic in TAKEN}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "turns"})
    for topic, (count, _) in TAKEN.items():
        found["ends", topic] = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20) for p in range(count)]
        config = list(admin.describe_configs([ConfigResource("topic", topic)]).values())[0].result(20)
        found["config", topic] = {name: entry.value for name, entry in config.items() if entry.source == 1}

    def offsets():
        try:
            return [p.offset for p in consumer.committed([TopicPartition("plain", p) for p in range(3)], timeout=10)]
        except KafkaException:
            return None
    found["offsets"] = until("the group's offsets", offsets, 60, 0.5)
    consumer.close()
    return found


class Turns:
    """A data directory, and what the last program that had it saw in the end: the next one has to see the same."""

    def __init__(self, folder):
        self.folder, self.data, self.seen = folder, os.path.join(folder, "data"), None

    def turn(self, bootstrap, round):
        if self.seen:
            got = see_directory(bootstrap)
            for what in self.seen:
                expect(what, got[what], self.seen[what])
        fill_directory(bootstrap, round)
        self.seen = see_directory(bootstrap)

    def kafka(self, round, kill=False):
        kafka = sides.Kafka(KAFKA_HEAP, self.data)
        try:
            side = sides.Side("Kafka", kafka.port, sides.codec.load())
            sides.wait_ready(side)
            side.close()
            self.turn("127.0.0.1:%d" % kafka.port, round)
            if kill:
                kafka.process.kill()
        finally:
            kafka.stop()

    def ottla(self, round, kill=False):
        ottla = Ottla(folder=self.folder)
        try:
            self.turn(ottla.bootstrap, round)
        finally:
            ottla.kill() if kill else ottla.stop()


def take_turns(out):
    """Each goes on where the one before stopped, cleanly or by kill -9."""
    with tempfile.TemporaryDirectory(prefix="ottla-turns-") as folder:
        turns = Turns(folder)
        turns.kafka(0)
        check(out, "from_kafka", lambda: turns.ottla(1))
        check(out, "to_kafka", lambda: turns.kafka(2, kill=True))
        check(out, "from_killed_kafka", lambda: turns.ottla(3, kill=True))
        check(out, "from_killed_ottla", lambda: turns.kafka(4))
    with tempfile.TemporaryDirectory(prefix="ottla-turns-") as folder:
        turns = Turns(folder)
        turns.ottla(0)
        check(out, "born_in_ottla", lambda: turns.kafka(1))
    out.line("version 4.1.1")


row("Kafka 4.1, one data directory in turns", "from_kafka to_kafka from_killed_kafka from_killed_ottla born_in_ottla", timeout_s=600)(take_turns)


# -- groups of the new protocols --

row("Java client 4.1, new groups", "consumer_two_members consumer_pattern consumer_static consumer_from_classic consumer_killed_member share_upgrade "
    "share_acknowledge share_lock_timeout share_read_committed share_two_members share_killed_member", timeout_s=500)(
    lambda out: drive(out, clients.java("clients41", "NewGroups") + ["NewGroups"]))


# -- the bank --

BANK = "sum_constant nothing_lost nothing_twice nothing_else"


def bank_row(kind, seconds, broker_kills):
    row("Bank, %s, %d s, %d kills of the broker" % ("Java 4.1" if kind == "java" else "librdkafka", seconds, broker_kills), BANK)(
        lambda out: bank.run(out, kind, seconds, broker_kills))


for kind in ("java", "librdkafka"):
    bank_row(kind, 60, 2)
    bank_row(kind, 600, 20)
