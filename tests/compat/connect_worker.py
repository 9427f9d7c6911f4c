"""A real Kafka Connect worker (distributed, Kafka 4.1) with a broker under test as its Kafka."""
import json
import os
import subprocess
import urllib.error
import urllib.request

import clients
from lib.ports import free_port
from lib.wait import until

HEAP = "256m"
START_TIMEOUT_S = 240
JSON = "org.apache.kafka.connect.json.JsonConverter"
STRING = "org.apache.kafka.connect.storage.StringConverter"


class Worker:
    """The internal topics, the group and the REST port are the worker's own; kill() and start() as one pleases."""

    def __init__(self, bootstrap, folder, **more):
        self.port = free_port()
        self.log_file = os.path.join(folder, "worker.log")
        settings = {
            "bootstrap.servers": bootstrap, "group.id": "connect", "listeners": "http://127.0.0.1:%d" % self.port,
            # Not the names of Kafka's example, connect-configs and so on, so that ottla's own connectors can run beside: see the row "default topics".
            "config.storage.topic": "worker-configs", "offset.storage.topic": "worker-offsets", "status.storage.topic": "worker-status",
            "config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
            "offset.storage.partitions": "2", "status.storage.partitions": "2", "offset.flush.interval.ms": "500",
            "key.converter": JSON, "value.converter": JSON, "session.timeout.ms": "10000", "heartbeat.interval.ms": "1000",
            "scheduled.rebalance.max.delay.ms": "0",  # the killed worker's tasks are given out again at once
            "plugin.discovery": "service_load",  # the quickest
        }
        settings.update({name.replace("__", "."): value for name, value in more.items()})
        self.file = os.path.join(folder, "worker.properties")
        with open(self.file, "w") as f:
            f.writelines("%s=%s\n" % pair for pair in settings.items())
        self.process = None
        self.start()

    def start(self):
        with open(self.log_file, "a") as log:
            self.process = subprocess.Popen(clients.java_program(clients.jars("kafka41"), HEAP) + ["org.apache.kafka.connect.cli.ConnectDistributed", self.file],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(lambda: "the worker's REST answers\n" + self.log(), self.answers, START_TIMEOUT_S, 0.2)

    def log(self):
        with open(self.log_file, errors="replace") as f:
            return f.read()[-1500:]

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError("the worker ended\n" + self.log())
        try:
            return self.rest("GET", "/connectors")[0] == 200
        except OSError:
            return False

    def rest(self, method, path, body=None):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), method=method, data=json.dumps(body).encode() if body else None)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(errors="replace")

    def make(self, name, **config):
        """Makes a connector and waits until its task runs. A worker that is being rebalanced answers 409 and is asked again."""
        config = {key.replace("__", "."): value for key, value in config.items()}

        def made():
            status, body = self.rest("PUT", "/connectors/%s/config" % name, config)
            if status not in (200, 201, 409, 500):
                raise RuntimeError("%s: %d %s" % (name, status, body))
            return status in (200, 201)
        until("connector %s is made" % name, made, 60, 0.5)
        self.wait_running(name)

    def wait_running(self, name):
        def running():
            try:
                status, body = self.rest("GET", "/connectors/%s/status" % name)
            except OSError:
                return False
            if status != 200 or not body["tasks"]:
                return False
            if body["tasks"][0]["state"] == "FAILED":
                raise RuntimeError("%s: %s" % (name, body["tasks"][0].get("trace", "")[:500]))
            return body["tasks"][0]["state"] == "RUNNING"
        until(lambda: "connector %s runs\n%s" % (name, self.log()), running, 120, 0.2)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
