"""The two brokers that are asked the same: a real Kafka and an ottla, and what each of them named (ids, epochs, members)."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "compat"), os.path.join(HERE, "..")]
import clients                          # noqa: E402
from lib.ottla import Ottla             # noqa: E402
from lib.ports import free_port         # noqa: E402
from lib.wait import TimedOut, until             # noqa: E402

import codec                            # noqa: E402

CLOSED = {"closed": True}  # what is compared when the broker closed the connection instead of answering
ANSWER_TIMEOUT_S = 60
COMMON = {  # options that both brokers are given, so that they may be compared
    "auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "5",
    "transaction.state.log.num.partitions": "5", "num.partitions": "2",
    "log.retention.check.interval.ms": "86400000",  # records of old times would go when either broker looks
    "offsets.retention.check.interval.ms": "86400000",  # likewise empty groups
    "log.cleaner.backoff.ms": "86400000",  # likewise those of topics with compact,delete
    "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
}


class Ref:
    """A value that each broker chose by itself: the same name on both sides, another value on each."""

    def __init__(self, kind, name, add=0):
        self.kind, self.name, self.add = kind, name, add

    def __repr__(self):
        return "<%s %s%s>" % (self.kind, self.name, "%+d" % self.add if self.add else "")


class Side:
    def __init__(self, name, port, apis):
        self.name, self.port, self.apis = name, port, apis
        self.epochs = {}  # producer id: the epochs that it was given, in their order
        self.values, self.symbols, self.sockets, self.correlation = {}, {}, {}, 0

    # -- what this side named --

    def know(self, kind, name, value):
        self.values[kind, name] = value
        if kind == "epoch":
            epochs = self.epochs.setdefault(self.values["producer_id", name], [])
            if value not in epochs:
                epochs.append(value)
        if kind not in ("generation", "epoch", "owned"):
            self.symbols[kind, value] = "%s %s" % (kind, name)

    def resolve(self, template, missing):
        """The template with each Ref replaced by this side's value, or by missing[kind] when it named none."""
        if isinstance(template, Ref):
            value = self.values.get((template.kind, template.name), missing[template.kind])
            value = uuid.uuid5(value, template.name) if value is missing["topic_id"] else value
            return value + template.add if template.add else value
        if isinstance(template, dict):
            return {k: self.resolve(v, missing) for k, v in template.items()}
        if isinstance(template, (list, tuple)):
            return [self.resolve(v, missing) for v in template]
        return template

    # -- the connection --

    def connection(self, name):
        if name not in self.sockets:
            self.sockets[name] = socket.create_connection(("127.0.0.1", self.port), ANSWER_TIMEOUT_S)
        return self.sockets[name]

    def close(self, name=None):
        for key in [name] if name else list(self.sockets):
            if key in self.sockets:
                self.sockets.pop(key).close()

    def exactly(self, sock, count):
        data = b""
        while len(data) < count:
            more = sock.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def send(self, api, version, values, connection="main", spoil=None):
        """spoil: changes the frame before it is sent."""
        self.correlation += 1
        self.last = "%s %.500s" % (connection, values)
        frame = codec.request(self.apis[api], version, values, self.correlation)
        frame = spoil(frame) if spoil else frame
        try:
            self.connection(connection).sendall(struct.pack(">i", len(frame)) + frame)
        except (BrokenPipeError, ConnectionResetError):
            self.close(connection)
        return self.correlation

    def receive(self, api, version, connection="main"):
        """The decoded answer, or CLOSED."""
        if connection not in self.sockets:
            return CLOSED
        sock = self.sockets[connection]
        try:
            size = struct.unpack(">i", self.exactly(sock, 4))[0]
            return codec.response(self.apis[api], version, self.exactly(sock, size))[1]
        except (EOFError, ConnectionResetError):
            self.close(connection)
            return CLOSED
        except TimeoutError:
            self.close(connection)
            raise TimedOut("%s: no answer to %s version %d %s" % (self.name, api, version, self.last))

    def ask(self, api, version, values, connection="main", spoil=None):
        self.send(api, version, values, connection, spoil)
        return self.receive(api, version, connection)


class Kafka:
    """One node of the real broker in a folder of its own; COMMON and what makes it quick to start and to stop."""

    def __init__(self, heap="768m", data=None):
        """data: a data directory to go on with, in place of a new one."""
        path = clients.jars("kafka41")
        self.folder = tempfile.mkdtemp(prefix="ottla-differential-kafka-")
        self.port, controller = free_port(), free_port()
        settings = dict(COMMON, **{
            "process.roles": "broker,controller", "node.id": "1", "controller.quorum.voters": "1@127.0.0.1:%d" % controller,
            "listeners": "PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d" % (self.port, controller),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "controller.listener.names": "CONTROLLER",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
            "log.dirs": data or os.path.join(self.folder, "data"), "log.cleaner.dedupe.buffer.size": "4000000",
            "share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "5",
            "log.initial.task.delay.ms": "86400000",  # or it looks once, 30 s after its start
        })
        file = os.path.join(self.folder, "server.properties")
        with open(file, "w") as f:
            f.writelines("%s=%s\n" % pair for pair in settings.items())
        program = clients.java_program(path, heap)
        if not data or not os.path.exists(data):
            subprocess.run(program + ["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", file,
                                      "--feature", "eligible.leader.replicas.version=0"],
                           check=True, stdout=subprocess.DEVNULL)
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.process = subprocess.Popen(program + ["kafka.Kafka", file], stdout=self.log, stderr=self.log, cwd=self.folder)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_ready(side):
    """Until the broker answers, and its two coordinators have their topics loaded."""
    def answers():
        try:
            found = side.ask("metadata", 12, {"topics": []})
            return found is not CLOSED and found["brokers"]
        except OSError:
            side.close()
            return False
    until("%s answers" % side.name, answers, 90, 0.2)

    def coordinators():
        groups = side.ask("offset_fetch", 8, {"groups": [{"group_id": "warm-%d" % i, "topics": None} for i in range(20)]})
        side.ask("find_coordinator", 4, {"key_type": 0, "coordinator_keys": ["warm"]})
        side.ask("find_coordinator", 4, {"key_type": 1, "coordinator_keys": ["warm"]})
        ids = [side.ask("init_producer_id", 4, {"transactional_id": "warm-%d" % i, "transaction_timeout_ms": 60000}) for i in range(20)]
        return all(g["error_code"] == 0 for g in groups["groups"]) and all(i["error_code"] == 0 for i in ids)
    until("%s's coordinators" % side.name, coordinators, 60, 0.2)


def ottla_options():
    return dict(COMMON)
