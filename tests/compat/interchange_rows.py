"""ottla import and ottla export with real Kafkas: what a client sees before and after has to be the same."""
import os
import shutil
import subprocess
import tempfile

import clients
import sides                                                                    # noqa: E402
from java_rows import KAFKA_HEAP, TAKEN, check, expect, fill_directory, see_directory
from lib.ottla import Ottla, program
from lib.ports import free_port
from lib.wait import until
from rows import row

CLUSTER = "4L6g3nShT-eMCtK--X86sw"


class Node:
    """One node of a Kafka: the first is broker and controller, the others are brokers. Each has two directories."""

    def __init__(self, folder, profile, number, controller, replicas=1):
        self.number, self.port = number, free_port()
        self.bootstrap = "127.0.0.1:%d" % self.port
        self.directories = [os.path.join(folder, "node%d-%s" % (number, half)) for half in "ab"]
        settings = dict(sides.COMMON, **{
            "process.roles": "broker,controller" if number == 1 else "broker", "node.id": str(number),
            "controller.quorum.voters": "1@127.0.0.1:%d" % controller, "controller.listener.names": "CONTROLLER",
            "listeners": "PLAINTEXT://%s%s" % (self.bootstrap, ",CONTROLLER://127.0.0.1:%d" % controller if number == 1 else ""),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "log.dirs": ",".join(self.directories),
            "log.cleaner.dedupe.buffer.size": "4000000", "broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500",
            "replica.lag.time.max.ms": "2000", "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.replication.factor": str(replicas),
        })
        self.file = os.path.join(folder, "node%d.properties" % number)
        with open(self.file, "w") as f:
            f.writelines("%s=%s\n" % pair for pair in settings.items())
        self.log = os.path.join(folder, "node%d.log" % number)
        self.java = clients.java_program(clients.jars(profile), KAFKA_HEAP)
        self.folder, self.process = folder, None
        subprocess.run(self.java + ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self.file], check=True,
                       stdout=subprocess.DEVNULL, cwd=folder)

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.java + ["kafka.Kafka", self.file], stdout=log, stderr=log, cwd=self.folder)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()


def brokers_seen(bootstrap, count):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def seen():
        try:
            return len(admin.list_topics(timeout=5).brokers) == count
        except KafkaException:
            return False
    until("%d brokers" % count, seen, 90, 0.3)


def in_sync(bootstrap, count):
    from confluent_kafka.admin import AdminClient
    admin = AdminClient({"bootstrap.servers": bootstrap})
    until("%d replicas of each in sync" % count, lambda: all(
        len(p.isrs) == count for topic in TAKEN for p in admin.list_topics(topic, timeout=10).topics[topic].partitions.values()), 90, 0.3)


def interchange(command, *arguments):
    done = subprocess.run([program(), command] + list(arguments), capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError("ottla %s: %s" % (command, done.stderr.strip()))
    return done.stdout


def same(got, want):
    for what in want:
        expect(str(what), got[what], want[what])


def seen_by_ottla(folder, want, fill=None):
    """An ottla on folder/data shows the same; fill: goes on with that round. Returns what is there then."""
    ottla = Ottla({"connect.listeners": ""}, folder=folder)
    try:
        same(see_directory(ottla.bootstrap), want)
        if fill is not None:
            fill_directory(ottla.bootstrap, fill)
        return see_directory(ottla.bootstrap)
    finally:
        ottla.stop()


def directories(nodes):
    return [d for node in nodes for d in node.directories]


def two_brokers(out, folder):
    """Replication factor 2; node 2 falls behind and comes back."""
    controller = free_port()
    nodes = [Node(folder, "kafka41", number, controller, replicas=2) for number in (1, 2)]
    try:
        for node in nodes:
            node.start()
        brokers_seen(nodes[0].bootstrap, 2)
        fill_directory(nodes[0].bootstrap, 0, replicas=2)
        nodes[1].kill()
        brokers_seen(nodes[0].bootstrap, 1)
        in_sync(nodes[0].bootstrap, 1)
        fill_directory(nodes[0].bootstrap, 1)
        want = see_directory(nodes[0].bootstrap)
        nodes[0].kill()

        def one_behind():
            """The newest copies are taken, wherever they stand among the sources."""
            target = os.path.join(folder, "behind", "data")
            os.mkdir(os.path.dirname(target))
            try:
                interchange("import", target, *directories([nodes[1]]), nodes[0].directories[0])
            except RuntimeError as e:
                if "was not in sync" not in str(e) and "is in none of" not in str(e):
                    raise
            else:
                raise AssertionError("copies were taken that are behind")
            interchange("import", "--node-id", "1", target, *directories(reversed(nodes)))
            seen_by_ottla(os.path.dirname(target), want)
        check(out, "one_behind", one_behind)

        for node in nodes:
            node.start()
        brokers_seen(nodes[0].bootstrap, 2)
        in_sync(nodes[0].bootstrap, 2)
        fill_directory(nodes[0].bootstrap, 2)
        want = see_directory(nodes[0].bootstrap)
        for node in reversed(nodes):
            node.stop()

        def stopped():
            target = os.path.join(folder, "stopped", "data")
            os.mkdir(os.path.dirname(target))
            interchange("import", target, *directories(nodes))
            seen_by_ottla(os.path.dirname(target), want, fill=3)
        check(out, "two_brokers", stopped)
    finally:
        for node in nodes:
            node.stop()


def one_of(out, folder, profile, feature):
    node = Node(folder, profile, 1, free_port())
    try:
        node.start()
        brokers_seen(node.bootstrap, 1)
        fill_directory(node.bootstrap, 0)
        want = see_directory(node.bootstrap)
        node.stop()

        def imported():
            target = os.path.join(folder, feature, "data")
            os.mkdir(os.path.dirname(target))
            interchange("import", target, *node.directories)
            return seen_by_ottla(os.path.dirname(target), want, fill=1)
        check(out, feature, imported)
    finally:
        node.stop()


def exported(out, folder):
    """Of a killed ottla, with epochs of its own; Kafka goes on, and back again."""
    ottla = Ottla({"connect.listeners": ""}, folder=folder)
    fill_directory(ottla.bootstrap, 0)
    for round in (1, 2):
        ottla.kill()
        ottla.start()
        fill_directory(ottla.bootstrap, round)
    want = see_directory(ottla.bootstrap)
    ottla.kill()
    kept = {}

    def to_kafka():
        data = os.path.join(folder, "kafka")
        interchange("export", ottla.data, data)
        kafka = sides.Kafka(KAFKA_HEAP, data)
        try:
            brokers_seen("127.0.0.1:%d" % kafka.port, 1)
            bootstrap = "127.0.0.1:%d" % kafka.port
            same(see_directory(bootstrap), want)
            fill_directory(bootstrap, 3)
            kept.update(see_directory(bootstrap))
        finally:
            kafka.stop()

    def and_back():
        os.mkdir(os.path.join(folder, "back"))
        interchange("import", os.path.join(folder, "back", "data"), os.path.join(folder, "kafka"))
        seen_by_ottla(os.path.join(folder, "back"), kept, fill=4)
    check(out, "to_kafka", to_kafka)
    check(out, "and_back", and_back)


@row("Kafka 4.1 and 3.9, import and export", "one_behind two_brokers from_3_9 from_4_1 to_kafka and_back", timeout_s=900)
def interchanged(out):
    for step in (two_brokers, lambda out, folder: one_of(out, folder, "kafka39", "from_3_9"),
                 lambda out, folder: one_of(out, folder, "kafka41", "from_4_1"), exported):
        folder = tempfile.mkdtemp(prefix="ottla-interchange-")
        step(out, folder)
        shutil.rmtree(folder, ignore_errors=True)
    out.line("version 4.1.1, 3.9.1")
