"""A private ottla: its own folder, its own ports; the build under test is named by OTTLA_BUILD (default build)."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

from lib.ports import free_port
from lib.wait import until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY = re.compile(r"^ready kafka=(\S+) connect=(\S+) data=(.+)$")


def program():
    build = os.environ.get("OTTLA_BUILD", "build")
    return os.path.join(ROOT, build, "ottla")


class Ottla:
    """A running broker. bootstrap = host:port; rest(method, path, body) calls Connect REST."""

    def __init__(self, overrides=None, folder=None, environment=None, start=True):
        self.folder = folder or tempfile.mkdtemp(prefix="ottla-test-")
        self.owns_folder = folder is None
        self.data = os.path.join(self.folder, "data")
        self.kafka_port, self.connect_port = free_port(), free_port()
        self.bootstrap = "127.0.0.1:%d" % self.kafka_port
        self.connect = "http://127.0.0.1:%d" % self.connect_port
        self.overrides = {
            "listeners": "PLAINTEXT://127.0.0.1:%d" % self.kafka_port, "connect.listeners": self.connect,
            "log.dirs": self.data, "group.initial.rebalance.delay.ms": "0",
        }
        self.overrides.update(overrides or {})
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None
        self.sound = True  # False: the test damages files itself
        if start:
            self.start()

    def arguments(self):
        out = [program(), "serve"]
        for name, value in self.overrides.items():
            out += ["--override", "%s=%s" % (name, value)]
        return out

    def start(self, environment=None):
        log = open(os.path.join(self.folder, "log"), "a")
        self.process = subprocess.Popen(self.arguments(), stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder,
                                        env=dict(self.environment, **(environment or {})))
        log.close()
        line = self.process.stdout.readline().rstrip("\n")
        if not READY.match(line):
            self.process.wait(10)
            raise RuntimeError("ottla did not get ready: %r\n%s" % (line, self.log()))

    def log(self, last=4000):
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return f.read()[-last:]

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()

    def stop(self, timeout_s=30):
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("ottla did not stop within %d s\n%s" % (timeout_s, self.log()))
        self.process.stdout.close()
        self.verify()
        return status

    def verify(self):
        """Whatever a test has done, what is in the files is whole."""
        if self.sound and os.path.isdir(self.data):
            done = subprocess.run([program(), "verify", self.data], capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise AssertionError("ottla verify, status %d:\n%s%s" % (done.returncode, done.stdout[-3000:], done.stderr))

    def remove(self):
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def rss_kb(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def rest(self, method, path, body=None, headers=None):
        """(status, decoded body or text or None)"""
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        request = urllib.request.Request(self.connect + path, data=data, method=method)
        request.add_header("Accept", "application/json")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as e:
            status, raw = e.code, e.read()
        if not raw:
            return status, None
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode(errors="replace")

    def connector_state(self, name):
        """The task's state, or the connector's when there is no task; None: no status yet."""
        status, body = self.rest("GET", "/connectors/%s/status" % name)
        if status != 200:
            return None
        return body["tasks"][0]["state"] if body["tasks"] else body["connector"]["state"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.stop()
        self.remove()


def wait_streaming(ottla, postgres, connector, slot, timeout_s=30):
    """Until the connector's task runs and its slot streams. Returns the state: RUNNING or FAILED."""
    def done():
        state = ottla.connector_state(connector)
        if state == "FAILED":
            return state
        if state != "RUNNING":
            return None
        rows = postgres.psql("select 1 from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid "
                             "where slot_name = '%s' and r.state = 'streaming'" % slot)
        return state if rows else None
    return until(lambda: "%s streams\n%s" % (connector, ottla.log()), done, timeout_s, 0.05)
