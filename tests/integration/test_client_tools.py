"""ottla topics|produce|consume|groups|connectors|dump as a person uses them: against a running broker, wrong usage included."""
import http.server
import json
import os
import subprocess
import threading
import time

import pytest

from lib.ottla import program

pytestmark = pytest.mark.skipif(not os.path.exists(program() + "-client"), reason="built without the client subcommands")


def run(*arguments, given="", environment=None, timeout_s=60):
    done = subprocess.run([program(), *arguments], input=given, capture_output=True, text=True, timeout=timeout_s,
                          env=dict(os.environ, **(environment or {})))
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def tool(ottla):
    """tool("topics", "create", "x") -> standard output; fails when the command does."""
    where = {"OTTLA_BOOTSTRAP": ottla.bootstrap, "OTTLA_CONNECT_URL": ottla.connect}

    def call(*arguments, given="", fails=False):
        status, out, err = run(*arguments, given=given, environment=where)
        assert (status != 0) == fails, (arguments, status, out, err)
        return err if fails else out
    return call


def test_topics_are_created_described_and_deleted(tool):
    assert tool("topics", "create", "made", "-p", "3", "-c", "retention.ms=1000000") == "created made\n"
    assert "made " in tool("topics")
    described = tool("topics", "describe", "made").splitlines()
    assert described[0] == "made" and described[3] == "  partition 2 leader 1 offsets 0..0 (0)"
    assert "  config retention.ms=1000000" in described
    assert "already exists" in tool("topics", "create", "made", fails=True)
    assert tool("topics", "delete", "made") == "deleted made\n"
    assert "there is no topic made" in tool("topics", "describe", "made", fails=True)
    assert "__" not in tool("topics")


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_is_produced_is_consumed(tool, codec):
    topic = "lines-" + codec
    tool("topics", "create", topic, "-p", "1")
    lines = "a:1\nb:NULL\nwithout key\nc:" + "x" * 5000 + "\n"
    tool("produce", "-k:", "-n", "NULL", "-H", "from=test", "-z", codec, topic, given=lines)
    records = [json.loads(line) for line in tool("consume", "-e", "-o", "beginning", "-J", topic).splitlines()]
    assert [(r["offset"], r["key"], r["value"]) for r in records] == [
        (0, "a", "1"), (1, "b", None), (2, None, "without key"), (3, "c", "x" * 5000)]
    assert all(r["headers"] == [{"key": "from", "value": "test"}] for r in records)
    assert tool("consume", "-e", "-o", "-2", "-f", "%p@%o %k:%V\\n", topic) == "0@2 :11\n0@3 c:5000\n"
    assert tool("consume", "-e", "-o", "3", "-n", "1", "-f", "%K", topic) == "1"
    timestamp = records[0]["timestamp"]
    assert len(tool("consume", "-e", "-o", "@%d" % timestamp, topic).splitlines()) == 4


def test_a_group_keeps_its_position(tool):
    tool("topics", "create", "grouped", "-p", "2")
    tool("produce", "-p", "0", "grouped", given="1\n2\n3\n")
    assert tool("consume", "-g", "readers", "-o", "beginning", "-e", "grouped") == "1\n2\n3\n"
    tool("produce", "-p", "0", "grouped", given="4\n")
    assert "  grouped-0 committed 3 end 4 lag 1\n" in tool("groups", "describe", "readers")
    assert tool("consume", "-g", "readers", "-e", "grouped") == "4\n"
    assert "readers " in tool("groups")
    assert "grouped-0 1" in tool("groups", "reset", "readers", "grouped:0", "1")
    assert tool("consume", "-g", "readers", "-e", "grouped") == "2\n3\n4\n"
    assert "ends at offset 4" in tool("groups", "reset", "readers", "grouped:0", "9", fails=True)
    assert tool("groups", "delete", "readers") == "deleted readers\n"
    assert "readers" not in tool("groups")


def test_the_end_is_that_of_all_partitions_even_while_one_grows(tool, ottla):
    tool("topics", "create", "growing", "-p", "2")
    lines = 300000
    tool("produce", "-p", "1", "growing", given="x" * 100 + "\n" + ("x" * 100 + "\n") * (lines - 1))
    stop, deadline = threading.Event(), time.monotonic() + 2
    producer = subprocess.Popen([program(), "produce", "-p", "0", "-b", ottla.bootstrap, "growing"], stdin=subprocess.PIPE)

    def grow():
        while not stop.wait(0.005) and time.monotonic() < deadline:  # later the end of both can be seen
            producer.stdin.write(b"y\n")
            producer.stdin.flush()

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        read = tool("consume", "-e", "-o", "beginning", "-f", "%p\\n", "growing").split()
    finally:
        stop.set()
        growing.join()
        producer.communicate()
    assert read.count("1") == lines


def test_a_file_is_one_record_when_asked(tool, tmp_path):
    (tmp_path / "file").write_bytes(b"line\nline\xff\n")
    tool("produce", "-w", "whole", str(tmp_path / "file"))
    assert tool("consume", "-e", "-o", "beginning", "-f", "%V", "whole") == "11"


def test_dump_reads_all_that_a_running_broker_has_written(tool, ottla):
    tool("produce", "dumped", given="to be seen\n")
    status, out, _ = run("dump", ottla.data)
    assert status == 0 and "PROBLEM" not in out
    assert "value=to be seen\n" in out
    assert 'TopicRecord v0={"name":"dumped"' in out
    assert "cluster.id=" in out


class SmallConnect(http.server.BaseHTTPRequestHandler):
    """Enough of Connect's REST API to see what the subcommand sends; it knows one kind of connector, which fails."""
    connectors = {}

    def answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = {"connector": {"state": "RUNNING", "worker_id": "w"}, "type": "source",
                  "tasks": [{"id": 0, "state": "FAILED", "worker_id": "w", "trace": "no such slot"}]}
        if (self.command, self.path) == ("GET", "/connectors?expand=status"):
            return self.answer(200, {name: {"status": status} for name in self.connectors})
        if (self.command, self.path) == ("POST", "/connectors"):
            sent = json.loads(body)
            if sent["name"] in self.connectors:
                return self.answer(409, {"error_code": 409, "message": "Connector %s already exists" % sent["name"]})
            self.connectors[sent["name"]] = sent["config"]
            return self.answer(201, sent)
        name, _, action = self.path[len("/connectors/"):].partition("/")
        if name not in self.connectors:
            return self.answer(404, {"error_code": 404, "message": "Connector %s not found" % name})
        if (self.command, action) == ("DELETE", ""):
            del self.connectors[name]
            return self.answer(204)
        if (self.command, action) == ("PUT", "config"):
            self.connectors[name] = json.loads(body)
        if action == "config":
            return self.answer(200, self.connectors[name])
        if action == "status":
            return self.answer(200, status)
        return self.answer(202)

    do_GET = do_POST = do_PUT = do_DELETE = handle_request

    def log_message(self, *_):
        pass


def test_connectors_are_created_changed_watched_and_deleted(tmp_path):
    server = http.server.HTTPServer(("127.0.0.1", 0), SmallConnect)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d/" % server.server_port

    def connectors(*arguments, given=""):
        return run("connectors", "-u", url, *arguments, given=given)
    try:
        body = json.dumps({"name": "inventory", "config": {"a": "1", "b": "2"}})
        assert connectors("create", given=body) == (0, "created inventory\n", "")
        assert connectors("create", given=body) == (1, "", "ottla connectors: Connector inventory already exists\n")
        assert connectors("create", given="{")[0] == 1
        assert connectors()[1].split() == ["inventory", "source", "RUNNING", "tasks", "FAILED"]
        assert connectors("set", "inventory", "a=", "c=x=y")[0] == 0
        assert json.loads(connectors("show", "inventory")[1]) == {"b": "2", "c": "x=y"}
        assert "task 0 FAILED on w\n    no such slot\n" in connectors("status", "inventory")[1]
        for action in ("pause", "resume", "stop", "restart"):
            assert connectors(action, "inventory")[0] == 0
        (tmp_path / "b.json").write_text('{"name": "b", "config": {}}')
        assert connectors("create", str(tmp_path / "b.json"))[1] == "created b\n"
        assert connectors("delete", "inventory", "b")[1] == "deleted inventory\ndeleted b\n"
        assert connectors("delete", "b") == (1, "", "ottla connectors: Connector b not found\n")
    finally:
        server.shutdown()


@pytest.mark.parametrize("arguments, text", [
    (["consume"], "which topic?"),
    (["consume", "-o", "nowhere", "x"], "--offset"),
    (["consume", "-f", "%q", "x"], "%q"),
    (["produce"], "which topic?"),
    (["produce", "-z", "rar", "x"], "rar"),
    (["topics", "rename"], "rename"),
    (["topics", "create"], "needs the name"),
    (["groups", "reset", "g"], "reset takes"),
    (["connectors", "show"], "needs the name"),
    (["topics", "-X", "no.such.property=1"], "no.such.property"),
    (["dump"], "usage"),
])
def test_wrong_usage_is_told_in_words(arguments, text):
    status, _, err = run(*arguments)
    assert status == 2 and text in err


def test_no_broker_is_told_at_once():
    nowhere = {"OTTLA_BOOTSTRAP": "127.0.0.1:1", "OTTLA_CONNECT_URL": "http://127.0.0.1:1"}
    for arguments in (["topics"], ["groups"], ["consume", "x"], ["produce", "x"], ["connectors"]):
        status, _, err = run(*arguments, environment=nowhere, timeout_s=5)
        assert status == 1 and "127.0.0.1" in err and "connect" in err.lower(), err


@pytest.mark.parametrize("name", ["topics", "produce", "consume", "groups", "connectors", "dump", "serve"])
def test_help(name):
    status, out, _ = run(name, "--help")
    assert status == 0 and out.startswith("usage: ottla " + name)
