"""The steps of tools/demo: see its head. Python's standard library only; psql and kcat do the talking."""
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.environ.get("OTTLA_DEMO_DIR", "/var/tmp/ottla-demo")
PG_BIN = "/usr/lib/postgresql/15/bin"
TOPIC = "dbserver1.public.activity"
STATEMENTS = [
    "INSERT INTO activity(id, name) VALUES (1, 'Alice')",
    "INSERT INTO activity(id, name, email) VALUES (2, 'Bob', 'bob@example.org')",
    "UPDATE activity SET email = 'alice@example.org' WHERE id = 1",
    "DELETE FROM activity WHERE id = 2",
]
TIMEOUT_S = 60


class Failed(Exception):
    pass


def say(text):
    print("\n\033[1m%s\033[0m" % text if sys.stdout.isatty() else "\n" + text, flush=True)


def as_postgres(arguments):
    """PostgreSQL refuses to run as root."""
    return arguments if os.getuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] + arguments


def run(arguments, **more):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", **more)
    if done.returncode:
        raise Failed("%s: %s" % (" ".join(arguments[:3]), done.stdout.strip()))
    return done.stdout


def wait(what, condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failed("not within %d s: %s" % (TIMEOUT_S, what))
        time.sleep(0.02)


def port(preferred):
    """The usual port when nobody has it, else the next free one."""
    for candidate in range(preferred, preferred + 200):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", candidate))
                return candidate
            except OSError:
                continue
    raise Failed("no free port from %d on" % preferred)


class Demo:
    def __init__(self):
        self.pg_data = os.path.join(FOLDER, "postgres")
        self.state = os.path.join(FOLDER, "state.json")

    # -- life --

    def start(self):
        self.stop()
        os.makedirs(FOLDER, mode=0o755)
        self.pg_port, self.kafka_port, self.connect_port = port(5433), port(9092), port(8083)
        self.start_postgres()
        self.start_ottla()

    def start_postgres(self):
        os.mkdir(self.pg_data, 0o700)
        if os.getuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self.pg_data, entry.pw_uid, entry.pw_gid)
        run(as_postgres([PG_BIN + "/initdb", "-D", self.pg_data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                         "--locale=C.UTF-8", "--no-sync"]))
        with open(os.path.join(FOLDER, "postgres.log"), "w") as log:
            server = subprocess.Popen(as_postgres(
                [PG_BIN + "/postgres", "-D", self.pg_data, "-p", str(self.pg_port), "-c", "wal_level=logical", "-c",
                 "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]), stdout=log, stderr=log, cwd="/",
                start_new_session=True)
        self.remember("postgres", server.pid)
        wait("PostgreSQL answers (log: %s/postgres.log)" % FOLDER, lambda: subprocess.run(
            ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.pg_port)]).returncode == 0)

    def start_ottla(self):
        with open(os.path.join(FOLDER, "ottla.log"), "w") as log:
            server = subprocess.Popen(
                [os.path.join(ROOT, "build-release", "ottla"), "serve",
                 "--override", "listeners=PLAINTEXT://127.0.0.1:%d" % self.kafka_port,
                 "--override", "connect.listeners=http://127.0.0.1:%d" % self.connect_port,
                 "--override", "log.dirs=" + os.path.join(FOLDER, "ottla-data")],
                stdout=subprocess.PIPE, stderr=log, text=True, cwd=FOLDER, start_new_session=True)
        self.remember("ottla", server.pid)
        line = server.stdout.readline().strip()
        if not line.startswith("ready "):
            raise Failed("ottla did not start: " + open(os.path.join(FOLDER, "ottla.log")).read().strip())
        print("ottla: " + line)

    def remember(self, name, pid):
        pids = json.load(open(self.state)) if os.path.exists(self.state) else {}
        pids[name] = pid
        with open(self.state, "w") as f:
            json.dump(pids, f)

    def stop(self):
        """Ends what an earlier call left running; removes its data."""
        if os.path.exists(self.state):
            for name, pid in json.load(open(self.state)).items():
                try:
                    command = open("/proc/%d/cmdline" % pid).read().split("\0")[0]
                    if os.path.basename(command) != name:
                        continue        # the number belongs to somebody else by now
                    os.kill(pid, signal.SIGTERM if name == "ottla" else signal.SIGINT)
                    wait("%s ends" % name, lambda: ended(pid))
                except (FileNotFoundError, ProcessLookupError):
                    continue
        shutil.rmtree(FOLDER, ignore_errors=True)

    # -- the story --

    def psql(self, sql, database="activity"):
        return run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.pg_port), "-U", "postgres",
                    "-d", database, "-c", sql])

    def rest(self, method, path, body=None):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.connect_port, path), method=method,
                                         data=json.dumps(body).encode() if body else None)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read() or b"{}")

    def register(self):
        body = {"name": "activity-connector", "config": {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1",
            "database.hostname": "127.0.0.1", "database.port": str(self.pg_port), "database.user": "postgres",
            "database.password": "postgrespw", "database.dbname": "activity", "slot.name": "activityslot",
            "topic.prefix": "dbserver1", "plugin.name": "pgoutput", "database.replication.slot.name": "debeziumactivity"}}
        status, answer = self.rest("POST", "/connectors/", body)
        if status != 201:
            raise Failed("POST /connectors answered %d: %s" % (status, answer.get("message")))
        wait("the connector runs", lambda: self.state_of("activity-connector") == "RUNNING")
        print("POST /connectors: 201, status RUNNING")

    def state_of(self, name):
        status, answer = self.rest("GET", "/connectors/%s/status" % name)
        tasks = answer.get("tasks") or []
        if status == 200 and tasks and tasks[0]["state"] == "FAILED":
            raise Failed("the connector failed: " + tasks[0].get("trace", "").split("\n")[0])
        return tasks[0]["state"] if status == 200 and tasks else None

    def events(self, count):
        """The first count records of the topic, through kcat: [(key, value)], None for no bytes."""
        raw = run(["kcat", "-C", "-q", "-b", "127.0.0.1:%d" % self.kafka_port, "-t", TOPIC, "-o", "beginning", "-c", str(count),
                   "-f", "%K %k %S %s\n", "-X", "topic.metadata.refresh.interval.ms=200"], timeout=TIMEOUT_S)
        out = []
        for line in raw.splitlines():
            key_size, rest = line.split(" ", 1)
            key = rest[:int(key_size)]
            value_size, _, value = rest[int(key_size) + 1:].partition(" ")
            out.append((key, None if int(value_size) < 0 else value))
        return out


def ended(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    try:
        return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def field(schema_type, name, optional=False, **more):
    return dict({"type": schema_type, "optional": optional, "field": name}, **more)


def expected_schema(fields, name, optional, **more):
    return dict({"type": "struct", "fields": fields, "optional": optional, "name": name}, **more)


def check(events):
    """Every field of every event: texts of what differs."""
    columns = [field("int32", "id", default=0), field("string", "name"), field("string", "email", True)]
    key_schema = expected_schema([field("int32", "id", default=0)], TOPIC + ".Key", False)
    alice = {"id": 1, "name": "Alice", "email": None}
    bob = {"id": 2, "name": "Bob", "email": "bob@example.org"}
    empty = lambda row: {"id": row["id"], "name": "", "email": None}
    wanted = [
        (1, "c", None, alice), (2, "c", None, bob),
        (1, "u", None, dict(alice, email="alice@example.org")), (2, "d", empty(bob), None), (2, None, None, None),
    ]
    wrong = []

    def expect(where, actual, wanted_value):
        if actual != wanted_value:
            wrong.append("%s: %r instead of %r" % (where, actual, wanted_value))

    expect("number of events", len(events), len(wanted))
    last_lsn, last_ts = 0, 0
    for number, ((key, value), (row_id, op, before, after)) in enumerate(zip(events, wanted)):
        where = "event %d" % number
        key = json.loads(key)
        expect(where + " key schema", key["schema"], key_schema)
        expect(where + " key", key["payload"], {"id": row_id})
        if op is None:
            expect(where + " tombstone", value, None)
            continue
        value = json.loads(value)
        schema, payload = value["schema"], value["payload"]
        expect(where + " schema name", schema["name"], TOPIC + ".Envelope")
        expect(where + " schema version", schema["version"], 2)
        expect(where + " schema members", [f["field"] for f in schema["fields"]],
               ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"])
        for side in (0, 1):
            expect(where + " row schema", schema["fields"][side], dict(
                expected_schema(columns, TOPIC + ".Value", True), field=["before", "after"][side]))
        expect(where + " members", list(payload), ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"])
        expect(where + " op", payload["op"], op)
        expect(where + " before", payload["before"], before)
        expect(where + " after", payload["after"], after)
        expect(where + " transaction", payload["transaction"], None)
        source = payload["source"]
        for name, wanted_value in {"version": "3.7.0.Final", "connector": "postgresql", "name": "dbserver1", "snapshot": "false",
                                   "db": "activity", "schema": "public", "table": "activity", "xmin": None}.items():
            expect("%s source.%s" % (where, name), source.get(name, "(missing)"), wanted_value)
        sequence = json.loads(source["sequence"])
        expect(where + " source.sequence", sequence[1], str(source["lsn"]))
        for holder, at in ((payload, where), (source, where + " source")):
            now = time.time() * 1000
            if not now - 600000 < holder["ts_ms"] <= now + 1000:
                wrong.append("%s.ts_ms: %r is not now" % (at, holder["ts_ms"]))
            expect(at + ".ts_us", holder["ts_us"] // 1000, holder["ts_ms"])
            expect(at + ".ts_ns", holder["ts_ns"] // 1000000, holder["ts_ms"])
        if not (isinstance(source["txId"], int) and source["lsn"] > last_lsn and source["ts_us"] >= last_ts):
            wrong.append("%s: txId, lsn or ts_us not in order: %r" % (where, source))
        last_lsn, last_ts = source["lsn"], source["ts_us"]
    return wrong


def main(arguments):
    demo = Demo()
    if arguments == ["--stop"]:
        demo.stop()
        print("stopped")
        return 0
    try:
        say("1. A private PostgreSQL and ottla")
        demo.start()
        say("2. A database with a table, as in the exercise")
        demo.psql("CREATE DATABASE activity", "postgres")
        demo.psql("CREATE TABLE activity (id SERIAL PRIMARY KEY, name VARCHAR(255) NOT NULL, email VARCHAR(255))")
        print("database activity, table activity")
        say("3. Debezium's connector JSON, unchanged")
        demo.register()
        say("4. Rows change")
        for statement in STATEMENTS:
            demo.psql(statement)
            print("activity=# %s;" % statement)
        say("5. What a Kafka client reads (schemas left out here):\n   kcat -C -b 127.0.0.1:%d -t %s -o beginning" % (demo.kafka_port, TOPIC))
        events = demo.events(len(STATEMENTS) + 1)
        for key, value in events:
            print("%s  %s" % (json.dumps(json.loads(key)["payload"]), json.dumps(json.loads(value)["payload"]) if value else "null (tombstone)"))
        if arguments == ["--check"]:
            wrong = check(events)
            demo.stop()
            print("\n".join(["", "%d differences" % len(wrong)] + wrong) if wrong else "\nevery field of every event is as it must be")
            return 1 if wrong else 0
        say("Running now:")
        print("  PostgreSQL  psql -h 127.0.0.1 -p %d -U postgres activity\n  Kafka       127.0.0.1:%d\n"
              "  Connect     http://127.0.0.1:%d/connectors\n  logs        %s\n  stop        tools/demo --stop" % (
                  demo.pg_port, demo.kafka_port, demo.connect_port, FOLDER))
        return 0
    except (Failed, subprocess.TimeoutExpired) as e:
        print("tools/demo: %s" % e, file=sys.stderr)
        log = os.path.join(FOLDER, "ottla.log")
        if os.path.exists(log):
            print(open(log).read()[-2000:], file=sys.stderr)
        if arguments == ["--check"]:
            demo.stop()
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
