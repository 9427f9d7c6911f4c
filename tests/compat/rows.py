"""The rows: each runs one real client against one broker of its own and reports its features as lines, see README.md."""
import os
import subprocess
import sys
import tempfile
import threading

import clients
from lib.ottla import Ottla

HERE = clients.HERE
ROWS = []


class Row:
    """client: its name in the table; features: what has to be reported, no more and no less; run(out): see Lines."""

    def __init__(self, client, features, run, quick, timeout_s):
        self.client, self.features, self.run, self.quick, self.timeout_s = client, features.split(), run, quick, timeout_s


def row(client, features, quick=False, timeout_s=300):
    def register(function):
        ROWS.append(Row(client, features, function, quick, timeout_s))
        return function
    return register


class Lines:
    """Collects what a client's program prints: results by feature, its version, and everything for who looks for a cause."""

    def __init__(self, timeout_s):
        self.results, self.version, self.text, self.notes, self.timeout_s = {}, None, [], [], timeout_s
        self.events = {}

    def event(self, word):
        """Set when a line that begins with the word came, and when the program has ended."""
        return self.events.setdefault(word, threading.Event())

    def line(self, line):
        self.text.append(line)
        word, _, rest = line.partition(" ")
        if word == "version":
            self.version = rest
        elif word == "note":
            self.notes.append(rest)
        elif word in ("ok", "FAIL", "skip"):
            feature, _, why = rest.partition(": ")
            if self.results.get(feature, ("ok",))[0] != "FAIL":
                self.results[feature] = (word, why)
        if word in self.events:
            self.events[word].set()

    def start(self, command, folder=None, environment=None):
        """Starts a program whose lines are read by a thread; wait() ends both."""
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                        stdin=subprocess.DEVNULL, env=dict(os.environ, PYTHONUNBUFFERED="1", **(environment or {})))
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.line(line.rstrip("\n"))
        for event in self.events.values():
            event.set()

    def wait(self):
        try:
            self.process.wait(self.timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.line("the client's program did not end within %d s" % self.timeout_s)
        self.reader.join()
        self.process.stdout.close()

    def program(self, command, folder=None, environment=None):
        self.start(command, folder, environment)
        self.wait()


def drive(out, command, overrides=None, **more):
    """Runs a driver to its end against a broker of its own; ottla has to be alive afterwards, and to stop as it should."""
    with Ottla(overrides) as ottla:
        out.program(command + [ottla.bootstrap, "compat"], **more)
        finish(out, ottla)


def finish(out, ottla):
    if ottla.process.poll() is not None or ottla.stop() != 0:
        for feature in list(out.results) or ["broker"]:
            out.line("FAIL %s: ottla ended by itself: %s" % (feature, ottla.log(600).replace("\n", " ")))


def java_core(profile):
    return lambda out: drive(out, clients.java(profile, "Core") + ["Core"])


JAVA = "records codecs large offsets groups cooperative idempotence transactions admin"
row("Java client 4.1", JAVA, quick=True)(java_core("clients41"))
row("Java client 3.4", JAVA)(java_core("kafka34"))
row("Java client 2.8", JAVA)(java_core("kafka28"))


def streams(guarantee, seconds, kill_every_s):
    """Word count in Kafka Streams; the broker is killed every so many seconds while lines are produced."""
    def run(out):
        # at_least_once may count a line again after a kill; without one, and with exactly_once_v2 always, counts are exact.
        exact = "exact" if guarantee == "exactly_once_v2" or not kill_every_s else "least"
        command = clients.java("kafka41", "WordCount")
        produced = out.event("produced")
        with Ottla() as ottla, tempfile.TemporaryDirectory() as state:
            out.start(command + ["WordCount", ottla.bootstrap, "compat", guarantee, str(seconds), exact, state])
            kills = 0
            while kill_every_s and not produced.wait(kill_every_s):
                ottla.kill()
                ottla.start()
                kills += 1
            out.wait()
            out.line("note %d kills of the broker; %s" % (kills, next((t for t in out.text if t.startswith("words ")), "")))
            finish(out, ottla)
    return run


row("Kafka Streams 4.1", "at_least_once")(streams("at_least_once", 15, 0))
row("Kafka Streams 4.1", "exactly_once_v2")(streams("exactly_once_v2", 15, 0))
row("Kafka Streams 4.1, kill -9 every 20 s", "at_least_once")(streams("at_least_once", 110, 20))
row("Kafka Streams 4.1, kill -9 every 20 s", "exactly_once_v2")(streams("exactly_once_v2", 110, 20))

CODECS = ["python-snappy", "lz4", "zstandard", "cramjam"]


def python_driver(folder, driver, *packages):
    return lambda out: drive(out, [clients.python(folder, *packages), os.path.join(HERE, "python", driver)])


row("kafka-python, newest", "records codecs offsets groups idempotence transactions admin", quick=True)(
    python_driver("python-kafka-python", "kafka_python.py", "kafka-python", *CODECS))
row("kafka-python 2.0.2", "records codecs offsets groups admin", quick=True)(
    python_driver("python-kafka-python-2.0.2", "kafka_python.py", "kafka-python==2.0.2", *CODECS))
row("aiokafka", "records codecs offsets groups idempotence transactions admin", quick=True)(
    python_driver("python-aiokafka", "aiokafka_driver.py", "aiokafka", *CODECS))


def node_driver(folder, driver, *packages):
    return lambda out: drive(out, ["node", os.path.join(HERE, "node", driver)], folder=clients.node(folder, *packages))


row("kafkajs", "records codecs groups transactions admin")(node_driver("node-kafkajs", "kafkajs.mjs", "kafkajs", "kafkajs-snappy"))


def go_driver(driver):
    return lambda out: drive(out, [clients.go(driver)])


row("franz-go, kadm", "records codecs offsets groups cooperative consumer_protocol transactions admin")(go_driver("franz"))
row("sarama", "records codecs versions offsets groups idempotence transactions admin")(go_driver("sarama"))

# Rows below: every call of an administration client has features of its own, by what it administers.
ADMINISTRATION = "topics configs group_admin cluster access transaction_admin"
row("kafka-python, newest: administration", ADMINISTRATION)(
    python_driver("python-kafka-python", "kafka_python_admin.py", "kafka-python", *CODECS))

# -- librdkafka and what is built on it --

LIBRDKAFKA = "records codecs large offsets groups cooperative idempotence transactions admin"
row("librdkafka 2.0.2 (confluent-kafka)", LIBRDKAFKA, quick=True)(
    python_driver("python-confluent-2.0.2", "confluent.py", "confluent-kafka==2.0.2"))
row("librdkafka, newest (confluent-kafka)", LIBRDKAFKA + " consumer_protocol", quick=True)(
    python_driver("python-confluent", "confluent.py", "confluent-kafka"))


@row("kcat", "records codecs offsets groups idempotence transactions")
def kcat(out):
    clients.need("kcat")
    # kcat makes no topics: the broker does, with four partitions where a group is to share them.
    drive(out, [sys.executable, os.path.join(HERE, "python", "kcat_driver.py")], {"num.partitions": "4"})


@row("Spark 3.5 (kafka-clients 3.4)", "batch streaming checkpoint", timeout_s=1200)
def spark(out):
    """Batch, Structured Streaming, and a restart from a checkpoint after kill -9 of the driver program: it starts itself anew."""
    python = clients.python("python-spark-3.5", "pyspark==3.5.7")
    clients.need("java")
    drive(out, [python, os.path.join(HERE, "python", "spark.py"), clients.jars("spark35")], {"num.partitions": "4"})


def rust_driver(driver):
    return lambda out: drive(out, [clients.rust(driver)])


row("segmentio kafka-go", "records codecs large offsets groups transactions admin")(go_driver("segmentio"))
row("rdkafka (Rust)", "records codecs offsets groups cooperative consumer_protocol transactions admin")(rust_driver("rdkafka_driver"))
row("rskafka (Rust)", "records codecs offsets admin")(rust_driver("rskafka_driver"))
row("kadm, each call", ADMINISTRATION + " share_groups delegation_tokens")(go_driver("kadm"))


@row("@platformatic/kafka", "records codecs offsets groups consumer_protocol idempotence transactions admin", timeout_s=600)
def platformatic(out):
    folder = clients.node("node-platformatic", "@platformatic/kafka")
    program = os.path.join(clients.node_runtime(), "bin", "node")
    drive(out, [program, os.path.join(HERE, "node", "platformatic.mjs")], folder=folder)


@row("@confluentinc/kafka-javascript (librdkafka)", "records codecs groups consumer_protocol transactions admin", timeout_s=600)
def confluent_javascript(out):
    folder = clients.confluent_javascript()
    program = os.path.join(clients.node_runtime(), "bin", "node")
    drive(out, [program, os.path.join(HERE, "node", "confluent.mjs")], folder=folder)


import java_rows  # noqa: E402, F401 (registers its rows; it uses what stands above)
import interchange_rows  # noqa: E402, F401 (likewise)
