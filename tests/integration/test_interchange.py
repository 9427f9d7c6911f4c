"""ottla import and ottla export: directories of Kafka's and for Kafka. With a real Kafka: tests/compat/run.py interchange."""
import glob
import os
import shutil
import struct
import subprocess
import tarfile

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from lib.ottla import Ottla, program, wait_streaming
from lib.wait import until

KAFKA_DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "kafka-datadir.tar.gz")
QUIET = {"connect.listeners": ""}


def run(*arguments, status=0):
    done = subprocess.run([program()] + list(arguments), capture_output=True, text=True, timeout=120)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout if status == 0 else done.stderr


def see(o, only_topics=None):
    """All that a client can see: records, ends, configurations, groups' offsets."""
    admin = AdminClient({"bootstrap.servers": o.bootstrap})
    topics = {t.topic: sorted(t.partitions) for t in admin.list_topics(timeout=20).topics.values()}
    found = {}
    consumer = Consumer({"bootstrap.servers": o.bootstrap, "group.id": "see", "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "enable.partition.eof": True})
    for topic, partitions in topics.items():
        if only_topics and topic not in only_topics:
            continue
        config = list(admin.describe_configs([ConfigResource("topic", topic)]).values())[0].result(20)
        found[topic, "config"] = {name: entry.value for name, entry in config.items() if entry.source == 1}
        for p in partitions:
            found[topic, p, "range"] = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)
            found[topic, p] = []
    open_ends = {key for key in found if isinstance(key[1], int) and len(key) == 2}
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for topic, p in open_ends])
    while open_ends:
        m = consumer.poll(20)
        assert m, open_ends
        if m.error():
            assert m.error().code() == KafkaError._PARTITION_EOF, m.error()
            open_ends.discard((m.topic(), m.partition()))
        else:
            found[m.topic(), m.partition()].append((m.offset(), m.timestamp(), m.key(), m.value(), m.headers()))
    consumer.close()
    groups = [g.id for g in admin.list_groups(timeout=20) if g.id != "see"]
    for group in groups:
        c = Consumer({"bootstrap.servers": o.bootstrap, "group.id": group})
        asked = [TopicPartition(t, p) for t, ps in topics.items() for p in ps if not t.startswith("__")]
        found["group", group] = {(p.topic, p.partition): p.offset for p in c.committed(asked, timeout=20) if p.offset >= 0}
        c.close()
    return found


@pytest.fixture
def kafka_data(tmp_path):
    with tarfile.open(KAFKA_DATA) as archive:
        archive.extractall(tmp_path)
    return str(tmp_path / "sample-datadir" / "data")


def tree(path):
    """Every file with its content: what was read is not to be changed."""
    return {os.path.relpath(f, path): open(f, "rb").read() for f in glob.glob(path + "/**", recursive=True) if os.path.isfile(f)}


def test_what_is_imported_is_what_is_there(kafka_data, tmp_path):
    before = tree(kafka_data)
    target = str(tmp_path / "imported" / "data")
    os.mkdir(os.path.dirname(target))
    assert "imported: 4 topics, 9 partitions" in run("import", target, kafka_data)
    assert tree(kafka_data) == before
    taken = tmp_path / "taken"
    taken.mkdir()
    shutil.copytree(kafka_data, taken / "data")
    with Ottla(QUIET, folder=str(taken)) as o:      # as it stands: see "In turns with Kafka"
        expected = see(o)
    with Ottla(QUIET, folder=os.path.dirname(target)) as o:
        got = see(o)
        assert "cut" not in o.log(), o.log()
    assert len(expected) > 20 and got == expected
    assert [f for f in os.listdir(target) if f.endswith(("-stray", "-delete"))] == []


def test_of_several_folders_each_partition_is_taken_where_it_is(kafka_data, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    for name in ("plain-1", "tuned-0", "__consumer_offsets-1"):
        os.rename(os.path.join(kafka_data, name), second / name)
    for name in ("recovery-point-offset-checkpoint", "log-start-offset-checkpoint"):
        shutil.copy(os.path.join(kafka_data, name), second)
    with open(os.path.join(kafka_data, "meta.properties")) as f:
        identity = f.read()
    (second / "meta.properties").write_text("".join(line + "\n" for line in identity.splitlines() if not line.startswith("directory.id")))
    target = str(tmp_path / "data")
    error = run("import", target, kafka_data, status=1)
    assert "is in none of the directories" in error and "broker 1" in error, error
    assert not os.path.exists(target) and not os.path.exists(target + ".partial")
    run("import", target, kafka_data, str(second))
    with Ottla(QUIET, folder=str(tmp_path)) as o:
        got = see(o)
    assert got["tuned", 0, "range"] == (2, 7) and got["plain", 1, "range"] == (0, 4)
    run("import", "--missing-ok", str(tmp_path / "less"), kafka_data)


def test_of_several_controllers_the_newest_metadata_is_taken(kafka_data, tmp_path):
    """One has missed the last batch."""
    behind = tmp_path / "behind"
    shutil.copytree(kafka_data, behind)
    for name in os.listdir(behind):
        if name not in ("meta.properties", "__cluster_metadata-0"):
            shutil.rmtree(behind / name) if (behind / name).is_dir() else os.remove(behind / name)
    (log,) = glob.glob(str(behind / "__cluster_metadata-0" / "*.log"))
    with open(log, "rb") as f:
        data = f.read()
    ends, at = [0], 0
    while at + 12 <= len(data):
        at += 12 + struct.unpack(">i", data[at + 8:at + 12])[0]
        ends.append(at)
    # Before the topic "plain" was made, its partitions would be of an unknown topic.
    with open(log, "wb") as f:
        f.write(data[:ends[4]])
    for order in ([str(behind), kafka_data], [kafka_data, str(behind)]):
        out = run("import", str(tmp_path / ("data%d" % len(os.listdir(tmp_path)))), *order)
        assert "imported: 4 topics, 9 partitions" in out, out


def test_another_node_id(kafka_data, tmp_path):
    target = str(tmp_path / "data")
    assert "--override node.id=7" in run("import", "--node-id", "7", target + "/", kafka_data + "/")
    with Ottla(dict(QUIET, **{"node.id": "7"}), folder=str(tmp_path)) as o:
        assert see(o)["tuned", 0, "range"] == (2, 7)


def fill(o):
    admin = AdminClient({"bootstrap.servers": o.bootstrap})
    topics = [NewTopic("plain", 3, 1), NewTopic("kept", 1, 1, config={"cleanup.policy": "compact", "segment.ms": "60000"}), NewTopic("empty", 2, 1)]
    for future in admin.create_topics(topics).values():
        future.result(20)
    for codec in ("none", "zstd"):
        p = Producer({"bootstrap.servers": o.bootstrap, "compression.type": codec})
        for i in range(500):
            p.produce("plain", "value %d" % i, "key %d" % (i % 50), timestamp=1700000000000 + i, headers={"n": str(i)})
            p.produce("kept", "value %d" % i, "key %d" % (i % 50))
        assert p.flush(30) == 0
    t = Producer({"bootstrap.servers": o.bootstrap, "transactional.id": "t"})
    t.init_transactions(30)
    for end in (t.commit_transaction, t.abort_transaction):
        t.begin_transaction()
        t.produce("plain", end.__name__, partition=0)
        end(30)
    c = Consumer({"bootstrap.servers": o.bootstrap, "group.id": "g"})
    c.commit(offsets=[TopicPartition("plain", p, 10 * p + 1) for p in range(3)], asynchronous=False)
    c.close()


def test_there_and_back(tmp_path):
    """An exported directory is like one of Kafka's: it can be imported, and nothing has changed on the way."""
    with Ottla(QUIET) as o:
        fill(o)
        expected = see(o)
        error = run("export", o.data, str(tmp_path / "kafka"), status=1)
        assert "is in use" in error and o.data in error, error
        o.kill()
        out = run("export", o.data, str(tmp_path / "kafka"))
        assert "plain: 3 partitions" in out and "node.id=1" in out
    assert not [f for f in os.listdir(tmp_path / "kafka") if "ottla" in f]
    run("import", str(tmp_path / "data"), str(tmp_path / "kafka"))
    with Ottla(QUIET, folder=str(tmp_path)) as o:
        assert see(o) == expected
        # It is a broker like any other: transactions go on, groups too.
        t = Producer({"bootstrap.servers": o.bootstrap, "transactional.id": "t"})
        t.init_transactions(30)
        t.begin_transaction()
        t.produce("plain", "again", partition=0)
        t.commit_transaction(30)
        assert see(o, {"plain"})["plain", 0][-1][3] == b"again"


def test_what_is_ottlas_own_stays_behind(postgres, database, connector, tmp_path):
    """A connector has run: its journal is no topic of Kafka's, its events are."""
    postgres.psql("create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'b')", database)
    with Ottla() as o:
        assert o.rest("POST", "/connectors", {"name": "c", "config": connector()})[0] == 201
        wait_streaming(o, postgres, "c", database)
        postgres.psql("insert into t select i, 'x' from generate_series(3, 500) i", database)
        until("the events", lambda: see(o, {"p.public.t"}).get(("p.public.t", 0, "range")) == (0, 500), 60, 0.1)
        assert o.rest("PUT", "/connectors/c/stop")[0] == 204
        until("it stands still", lambda: o.connector_state("c") == "STOPPED", 30, 0.1)
        expected = see(o, {"p.public.t"})
        o.kill()
        run("export", o.data, str(tmp_path / "kafka"))
    assert not [f for f in os.listdir(tmp_path / "kafka") if "ottla" in f]
    run("import", str(tmp_path / "data"), str(tmp_path / "kafka"))
    with Ottla(QUIET, folder=str(tmp_path)) as o:
        assert see(o, {"p.public.t"}) == expected


# -- what cannot be --

def test_what_cannot_be_imported_is_named_and_leaves_nothing(kafka_data, tmp_path):
    target = str(tmp_path / "data")

    def refused(text, *sources, options=()):
        error = run("import", *options, target, *sources, status=1)
        assert text in error, error
        assert not os.path.exists(target) and not os.path.exists(target + ".partial")
    refused("no data directory of a broker", str(tmp_path))
    refused("cannot be opened: No such file", str(tmp_path / "nothing"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "meta.properties").write_text("version=1\ncluster.id=somebodyelse\nnode.id=2\n")
    refused("of the cluster somebodyelse", kafka_data, str(other))
    (other / "meta.properties").write_text("version=1\nnode.id=2\n")
    refused("has no cluster.id", kafka_data, str(other))
    (other / "meta.properties").write_text("version=0\ncluster.id=4L6g3nShT-eMCtK--X86sw\nbroker.id=2\n")
    refused("give the one of metadata.log.dir", str(other))
    with open(os.path.join(kafka_data, "recovery-point-offset-checkpoint"), "r+") as f:
        text = f.read()
        f.seek(0)
        f.write("x" + text[1:])
    refused("recovery-point-offset-checkpoint is damaged", kafka_data)
    with open(os.path.join(kafka_data, "recovery-point-offset-checkpoint"), "w") as f:
        f.write(text)
    link = os.path.join(kafka_data, "plain-0", "00000000000000000099.log")
    os.symlink("/etc/passwd", link)
    refused("00000000000000000099.log cannot be copied: it is not a plain file", kafka_data)
    os.remove(link)
    (log,) = glob.glob(os.path.join(kafka_data, "plain-0", "*.log"))
    with open(log, "r+b") as f:
        f.seek(70)
        f.write(b"\xff")
    refused("plain-0 cannot be opened", kafka_data)
    run("import", target, status=2)
    run("import", "--node-id", "x", target, kafka_data, status=2)


def test_a_target_that_is_there_is_not_touched(kafka_data, tmp_path):
    target = tmp_path / "data"
    target.mkdir()
    (target / "mine").write_text("x")
    assert "is there already" in run("import", str(target), kafka_data, status=1)
    assert os.listdir(target) == ["mine"]
    (tmp_path / "new.partial").mkdir()
    assert "an attempt that did not end" in run("import", str(tmp_path / "new"), kafka_data, status=1)
    assert os.path.isdir(tmp_path / "new.partial")


def test_a_directory_of_kafkas_is_not_exported(kafka_data, tmp_path):
    assert "is not ottla's" in run("export", kafka_data, str(tmp_path / "data"), status=1)
