"""Metrics of clients (KIP-714): real clients are told what to push and push it, Prometheus reads it; Kafka's rules by hand."""
import base64
import gzip
import os
import socket
import subprocess
import sys
import threading
import urllib.request
import uuid

import pytest
from prometheus_client import parser as prometheus     # of Debian, as tests/run installs it: without it nothing here is proved

from lib import wire as w
from lib.ottla import Ottla
from lib.ports import free_port
from lib.wait import until

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
import clients                          # noqa: E402

API_VERSIONS, INCREMENTAL_ALTER_CONFIGS, SUBSCRIPTIONS, PUSH = 18, 44, 71, 72
NONE, INVALID_REQUEST, UNSUPPORTED_COMPRESSION, INVALID_RECORD, THROTTLED, UNKNOWN_SUBSCRIPTION, TOO_LARGE = 0, 42, 76, 87, 89, 117, 118
NO_CODEC, GZIP, ZSTD, LZ4, SNAPPY = 0, 1, 4, 3, 2
CLIENT_METRICS = 16


@pytest.fixture(scope="module")
def broker():
    metrics = "http://127.0.0.1:%d" % free_port()
    with Ottla({"metrics.listeners": metrics, "telemetry.max.bytes": "100000"}) as running:
        running.metrics = metrics
        yield running


def configure(broker, name, **options):
    """Sets a subscription's options (_ for .); None removes one."""
    rows = [w.cstring(k.replace("_", ".")) + w.i8(0 if v is not None else 1) + w.cstring(v) + w.NO_TAGS for k, v in options.items()]
    body = w.carray([w.i8(CLIENT_METRICS) + w.cstring(name) + w.carray(rows) + w.NO_TAGS]) + w.i8(0) + w.NO_TAGS
    with w.Connection(broker.kafka_port) as c:
        r = c.ask(INCREMENTAL_ALTER_CONFIGS, 1, body, flexible=True)
    r.i32()
    assert r.carray(lambda: (r.i16(), r.cstring(), r.i8(), r.cstring(), r.tags()))[0][:2] in ((0, None), (0, "")), options


@pytest.fixture
def subscription(broker, request):
    """subscription(interval_ms=..., metrics=..., match=...): one of the test's own, gone with it."""
    names = []

    def make(**options):
        names.append("s-%s-%d" % (request.node.name[:40], len(names)))
        configure(broker, names[-1], **options)
        return names[-1]
    yield make
    for name in names:
        configure(broker, name, interval_ms=None, metrics=None, match=None)


class Client(w.Connection):
    def __init__(self, broker, client="test", software=("lib", "1.2")):
        super().__init__(broker.kafka_port, client)
        self.id, self.subscription = b"\0" * 16, None
        if software:
            r = self.ask(API_VERSIONS, 3, w.cstring(software[0]) + w.cstring(software[1]) + w.NO_TAGS, flexible=None)
            assert r.i16() == 0

    def answer(self, flexible=False):
        return super().answer(bool(flexible))  # the answer to ApiVersions never has the flexible header

    def send(self, key, version, body, flexible=False):
        super().send(key, version, body, flexible is not False)

    def ask_subscription(self):
        """The error, or what the broker wants."""
        r = self.ask(SUBSCRIPTIONS, 0, self.id + w.NO_TAGS, flexible=True)
        assert r.i32() == 0
        error = r.i16()
        client, number = r.take(16), r.i32()
        wanted = {"codecs": r.carray(r.i8), "interval": r.i32(), "bytes": r.i32(), "delta": r.i8(), "metrics": r.carray(r.cstring)}
        r.tags()
        r.end()
        if error == NONE:
            self.id, self.subscription = client, number
        return wanted if error == NONE else error

    def push(self, metrics=b"", codec=NO_CODEC, terminating=False, subscription=None, client=None):
        body = (client or self.id) + w.i32(self.subscription if subscription is None else subscription)
        body += w.i8(terminating) + w.i8(codec) + w.uvarint(len(metrics) + 1) + metrics + w.NO_TAGS
        r = self.ask(PUSH, 0, body, flexible=True)
        assert r.i32() == 0
        error = r.i16()
        r.tags()
        r.end()
        return error

    def text_id(self):
        return base64.urlsafe_b64encode(self.id).decode().rstrip("=")


# -- OTLP by hand --

def part(number, data):
    return w.uvarint(number << 3 | 2) + w.uvarint(len(data)) + data


def number(n, value):
    return w.uvarint(n << 3) + w.uvarint(value)


def fixed(n, data):
    return w.uvarint(n << 3 | 1) + data


def attribute(name, text):
    return part(1, name.encode()) + part(2, part(1, text.encode()))


def point(value, **attributes):
    return fixed(6, value.to_bytes(8, "little", signed=True)) + b"".join(part(7, attribute(*a)) for a in attributes.items())


def gauge(name, *points):
    return part(1, name.encode()) + part(5, b"".join(part(1, p) for p in points))


def counter(name, *points, delta=True):
    return part(1, name.encode()) + part(7, b"".join(part(1, p) for p in points) + number(2, 1 if delta else 2) + number(3, 1))


def metrics(*of, **resource):
    about = part(1, b"".join(part(1, attribute(*a)) for a in resource.items()))
    return part(1, about + part(2, b"".join(part(2, m) for m in of)))


def scrape(broker):
    with urllib.request.urlopen(broker.metrics + "/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.read().decode()


def samples(broker):
    """{(name, frozenset of labels): value} as Prometheus' own parser reads it; also every family once."""
    found, names = {}, []
    for family in prometheus.text_string_to_metric_families(scrape(broker)):
        names.append(family.name)
        for s in family.samples:
            key = s.name, frozenset(s.labels.items())
            assert key not in found
            found[key] = s.value
    assert len(names) == len(set(names))
    return found


def of_client(broker, client_id):
    return {name: value for (name, labels), value in samples(broker).items() if ("client_id", client_id) in labels}


# -- real clients --

@pytest.fixture(scope="module")
def java():
    try:
        return clients.java_program(clients.jars("kafka41"))
    except clients.Missing as e:
        pytest.skip(str(e))


def client_metrics_tool(java, broker, *arguments):
    done = subprocess.run(java + ["org.apache.kafka.tools.ClientMetricsCommand", "--bootstrap-server", broker.bootstrap, *arguments],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_java_producer_pushes_what_kafka_client_metrics_asked_for(broker, java):
    name = "java-producers"
    client_metrics_tool(java, broker, "--alter", "--name", name, "--interval", "500", "--match", "client_id=java-.*,client_software_name=apache-kafka-java",
                        "--metrics", "org.apache.kafka.producer.")
    assert client_metrics_tool(java, broker, "--list").split() == [name]
    described = client_metrics_tool(java, broker, "--describe", "--name", name)
    assert "interval.ms=500" in described and "metrics=org.apache.kafka.producer." in described, described
    producer = subprocess.Popen(java + ["org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", broker.bootstrap, "--topic", "java-told",
                                        "--request-timeout-ms", "30000",  # a client that waits 1.5 s in vain pushes again after five minutes
                                        "--producer-property", "client.id=java-1"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        producer.stdin.write(b"one\ntwo\nthree\n")
        producer.stdin.flush()
        total = "org_apache_kafka_producer_topic_record_send_total"

        def sent():
            return of_client(broker, "java-1").get(total, 0) == 3
        until(lambda: "three records in\n%s" % scrape(broker), sent, 120, 0.1)
        pushed = of_client(broker, "java-1")
        assert pushed["org_apache_kafka_producer_connection_creation_total"] >= 1
        assert pushed["ottla_client_info"] == 1
        assert not [n for n in pushed if not n.startswith(("org_apache_kafka_producer_", "ottla_client_info"))]
    finally:
        producer.stdin.close()
        out = producer.stdout.read().decode()
        assert producer.wait(60) == 0, out
    assert of_client(broker, "java-1")[total] == 3, "what a client pushed is kept for a while after its end"
    client_metrics_tool(java, broker, "--delete", "--name", name)
    assert client_metrics_tool(java, broker, "--list").split() == []


def test_librdkafka_pushes_its_metrics(broker, subscription):
    try:
        python = clients.python("python-confluent", "confluent-kafka")
    except clients.Missing as e:
        pytest.skip(str(e))
    subscription(interval_ms="300", metrics="*", match="client_id=rdkafka-1")
    program = """
import sys
from confluent_kafka import Producer
p = Producer({"bootstrap.servers": sys.argv[1], "client.id": "rdkafka-1"})
for i in range(7): p.produce("rdkafka-told", b"x")
p.flush(30)
sys.stdin.readline()
"""
    process = subprocess.Popen([python, "-c", program, broker.bootstrap], stdin=subprocess.PIPE)
    try:
        def pushed():
            return "org_apache_kafka_producer_connection_creation_total" in of_client(broker, "rdkafka-1")
        until(lambda: scrape(broker), pushed, 60, 0.1)
    finally:
        process.stdin.close()
        assert process.wait(60) == 0


# -- the rules --

def test_a_client_gets_the_metrics_of_all_subscriptions_that_match_it(broker, subscription):
    subscription(interval_ms="60000", metrics="org.b,org.a", match="client_id=many-.*")
    subscription(interval_ms="40000", metrics="org.c,org.a", match="client_software_name=lib,client_software_version=1\\..*")
    subscription(interval_ms="200", metrics="org.z", match="client_id=other")
    with Client(broker, "many-1") as c:
        told = c.ask_subscription()
        assert told == {"codecs": [ZSTD, LZ4, GZIP, SNAPPY], "interval": 40000, "bytes": 100000, "delta": 1,
                        "metrics": ["org.a", "org.b", "org.c"]}
        assert c.id != b"\0" * 16
    with Client(broker, "many-1", software=None) as c:
        assert c.ask_subscription()["metrics"] == ["org.a", "org.b"]
    subscription(interval_ms="50000", metrics="*,org.q", match="client_source_address=127.0.0.1")
    with Client(broker, "many-1") as c:
        assert c.ask_subscription()["metrics"] == ["*"]


def test_a_client_that_nothing_matches_is_told_to_push_nothing(broker):
    with Client(broker, "nobody") as c:
        told = c.ask_subscription()
        assert told["metrics"] == [] and told["interval"] == 300000


def test_requests_before_the_interval_has_passed_are_throttled(broker, subscription):
    subscription(interval_ms="3600000", metrics="*", match="client_id=eager")
    with Client(broker, "eager") as c:
        c.ask_subscription()
        assert c.ask_subscription() == THROTTLED
        assert c.push(metrics(gauge("org.g", point(1)))) == NONE, "once after it asked"
        assert c.push(metrics(gauge("org.g", point(2)))) == THROTTLED
        assert c.ask_subscription() == THROTTLED
        assert c.push(metrics(gauge("org.g", point(3))), terminating=True) == NONE
        assert c.push(metrics(gauge("org.g", point(4)))) == INVALID_REQUEST, "it said it terminates"
        assert of_client(broker, "eager")["org_g"] == 3


def test_a_wrong_push_is_refused_for_the_first_of_its_reasons(broker, subscription):
    subscription(interval_ms="3600000", metrics="*", match="client_id=wrong")
    with Client(broker, "wrong") as c:
        c.ask_subscription()
        assert c.push(subscription=c.subscription + 1, codec=9) == UNKNOWN_SUBSCRIPTION
        assert c.ask_subscription() != THROTTLED, "it may ask again at once"
    with Client(broker, "wrong") as c:
        c.ask_subscription()
        assert c.push(b"x" * 100001, codec=9) == UNSUPPORTED_COMPRESSION
        assert c.ask_subscription() != THROTTLED
    for data, codec, error in ((b"x" * 100001, NO_CODEC, TOO_LARGE), (b"not gzip", GZIP, INVALID_RECORD), (b"\x0a\x7f", NO_CODEC, INVALID_RECORD)):
        with Client(broker, "wrong") as c:
            c.ask_subscription()
            assert c.push(data, codec) == error
    with Client(broker, "wrong") as c:
        c.subscription = 0
        assert c.push() == INVALID_REQUEST, "no id"
        assert c.push(client=b"\0" * 15 + b"\1") == INVALID_REQUEST


def test_a_changed_subscription_is_asked_for_at_once(broker, subscription):
    name = subscription(interval_ms="3600000", metrics="org.a", match="client_id=changed")
    with Client(broker, "changed") as c:
        first = c.ask_subscription()
        assert c.push() == NONE
        configure(broker, name, metrics="org.a,org.b")
        assert c.push() == UNKNOWN_SUBSCRIPTION, "not throttled"
        second = c.ask_subscription()
        assert (first["metrics"], second["metrics"]) == (["org.a"], ["org.a", "org.b"])
        assert c.push() == THROTTLED, "the refused push counts, and an answer out of turn gives no other"


def test_who_disconnects_is_forgotten_and_what_it_pushed_is_not(broker, subscription):
    subscription(interval_ms="3600000", metrics="*", match="client_id=left")
    with Client(broker, "left") as c:
        c.ask_subscription()
        assert c.push(metrics(gauge("org.left", point(1)))) == NONE
        assert c.ask_subscription() == THROTTLED

    def again():
        with Client(broker, "left") as other:
            other.id = c.id
            return other.ask_subscription() != THROTTLED
    until("a new connection begins anew", again, 20)
    assert of_client(broker, "left")["org_left"] == 1


def test_differences_are_added_up_and_labels_name_the_point(broker, subscription):
    subscription(interval_ms="100", metrics="*", match="client_id=adds")
    with Client(broker, "adds") as c:
        c.ask_subscription()
        first = metrics(counter("org.sent", point(5, topic="a"), point(2, topic='b"\\\n')), gauge("org.level", point(7)),
                        counter("org.all.total", point(9), delta=False), gauge("ottla.client.info", point(1)), rack="r1")
        assert c.push(gzip.compress(first), GZIP) == NONE

        def pushed():
            return c.push(metrics(counter("org.sent", point(3, topic="a")), gauge("org.level", point(-4)),
                                  counter("org.all.total", point(11), delta=False), rack="r1")) == NONE
        until("the interval has passed", pushed, 20)
        found = samples(broker)
        own = frozenset({("client_instance_id", c.text_id()), ("client_id", "adds"), ("rack", "r1")})
        assert found["org_sent_total", own | {("topic", "a")}] == 8
        assert found["org_sent_total", own | {("topic", 'b"\\\n')}] == 2
        assert found["org_level", own] == -4
        assert found["org_all_total", own] == 11
        assert [v for (n, labels), v in found.items() if n == "ottla_client_info" and ("client_id", "adds") in labels] == [1]


def test_what_has_no_room_is_left_out_and_counted(broker, subscription):
    subscription(interval_ms="100", metrics="*", match="client_id=full")
    counts = ("ottla_client_telemetry_left_out_total", frozenset())
    before = samples(broker)[counts]
    with Client(broker, "full") as c:
        c.ask_subscription()
        crowded = {"a%d" % i: "x" for i in range(30)}
        assert c.push(metrics(gauge("org.crowded", point(1, **crowded)), gauge("n" * 300, point(1)), gauge("kafka.brokers", point(9)))) == NONE
    assert samples(broker)[counts] == before + 3
    assert "kafka_brokers" not in scrape(broker)


def advertised(port):
    with w.Connection(port) as c:
        r = c.ask(API_VERSIONS, 0, b"")
        assert r.i16() == NONE
        return {key for key, _, _ in r.array(lambda: (r.i16(), r.i16(), r.i16()))}


def test_without_a_reader_clients_are_not_asked_to_push(broker):
    assert {SUBSCRIPTIONS, PUSH} <= advertised(broker.kafka_port)
    with Ottla({"connect.listeners": ""}) as other:
        keys = advertised(other.kafka_port)
        assert API_VERSIONS in keys and not {SUBSCRIPTIONS, PUSH} & keys


def test_only_so_many_read_at_once(broker):
    """Each reader may hold the whole text in memory; the ninth waits until one goes."""
    port = int(broker.metrics.rsplit(":", 1)[1])
    request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    readers = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(8)]
    try:
        for reader in readers:
            reader.sendall(request)
            assert reader.recv(12) == b"HTTP/1.1 200"
        with socket.create_connection(("127.0.0.1", port), 30) as ninth:
            ninth.sendall(request)
            ninth.settimeout(1)
            with pytest.raises(socket.timeout):
                ninth.recv(12)
            readers.pop().close()
            ninth.settimeout(30)
            assert ninth.recv(12) == b"HTTP/1.1 200"
    finally:
        for reader in readers:
            reader.close()


def test_many_clients_at_once(broker, subscription):
    """On several loops: nothing is lost of what was acknowledged."""
    subscription(interval_ms="100", metrics="*", match="client_id=crowd-.*")
    failed = []

    def one(k):
        try:
            with Client(broker, "crowd-%d" % k) as c:
                c.id = uuid.uuid4().bytes
                c.ask_subscription()
                assert c.push(metrics(gauge("org.crowd", *[point(i, i=str(i)) for i in range(50)]))) == NONE
        except Exception as e:  # noqa: BLE001 (told below)
            failed.append(e)
    threads = [threading.Thread(target=one, args=(k,)) for k in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert len([n for n, _ in samples(broker) if n == "org_crowd"]) == 30 * 50
