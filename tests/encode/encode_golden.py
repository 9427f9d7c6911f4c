#!/usr/bin/env python3
"""Golden scenarios at the level of the encoder: a private PostgreSQL, its pgoutput messages through SQL, the records that
cdc_encode makes of them compared with those of the real Debezium.

usage: encode_golden.py CDC_ENCODE [SCENARIO...]      scenarios as shell patterns; default: the groups of GROUPS
OTTLA_GOLDENS names the folder of scenarios (default: the archive in tests/golden)."""
import concurrent.futures
import fnmatch
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from lib.postgres import Postgres, remove_templates  # noqa: E402

GROUPS = ["seed*", "ops_basic*", "ops_pk_update*", "ops_toast*", "ops_no_tombstone", "ops_replica_identity*", "snap_markers*",
          "snap_mode_initial", "snap_empty_tables", "snap_all_empty", "keys_order", "names_*", "types_int*", "types_text_*", "types_numeric_*", "types_time_*", "types_misc*",
          "types_hstore_*", "types_money_scale", "types_defaults*", "ops_no_tombstone", "ops_truncate_*", "ops_logical_message*",
          "smt_unwrap*", "smt_regex_router", "msg_key_columns*", "event_headers_off", "ops_skip_ud", "col_exclude_skip_unchanged"]
# Scenarios that need what an encoder alone cannot do, or what is not built yet.
LATER = {
    "smt_unwrap_fields": "transaction metadata",
    "ops_logical_message_filter": "transaction metadata",
    "ops_logical_message_decode": "DecodeLogicalDecodingMessageContent",
}
# The switch that makes us repeat what Debezium writes wrongly (docs/cdc-types.md).
DEFECTS = {"ottla.debezium.defects": "true"}


WORKERS = 4


def scenarios_folder():
    if os.environ.get("OTTLA_GOLDENS"):
        return os.environ["OTTLA_GOLDENS"]
    folder = tempfile.mkdtemp(prefix="ottla-goldens-")
    with tarfile.open(os.path.join(HERE, "..", "golden", "debezium-goldens.tar.xz")) as archive:
        archive.extractall(folder)
    for root, folders, _ in os.walk(folder):
        if "keys_order" in folders:
            return root
    raise SystemExit("no scenarios in the archive")


def hex_of(text):
    if text is None:
        return "-"
    return text.encode().hex() or "."


COPY_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def copy_field(field):
    if field == "\\N":
        return None
    return re.sub(r"\\(.)", lambda m: COPY_ESCAPES.get(m.group(1), m.group(1)), field)


class Encoder:
    def __init__(self, program, postgres, database):
        self.postgres, self.database = postgres, database
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.records = []
        self.send("sql")
        self.tables_sql, self.columns_sql, self.types_sql, self.options = [self.process.stdout.readline().rstrip("\n") for _ in range(4)]

    def send(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError("cdc_encode ended: " + self.process.stdout.read()[-500:])

    def answer(self):
        """The next line that is no record."""
        while True:
            line = self.process.stdout.readline().rstrip("\n")
            if line.startswith("error ") or not line:
                raise RuntimeError(line or "cdc_encode ended")
            if not line.startswith('{"topic"'):
                return line
            self.records.append(line)

    def rows(self, sql, *parameters):
        for i, p in enumerate(parameters, 1):
            sql = sql.replace("$%d" % i, "'%s'" % p)
        if not sql.startswith("COPY"):
            sql = "COPY (%s) TO STDOUT" % sql
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.postgres.host, "-p", str(self.postgres.port), "-U",
                               "postgres", "-d", self.database, "-c", sql], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(os.environ, PGOPTIONS=self.options, PGCLIENTENCODING="UTF8"))
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return [[copy_field(f) for f in line.split("\t")] for line in done.stdout.decode().split("\n")[:-1]]

    def describe(self, oid, type_oids):
        for row in self.rows(self.columns_sql, oid):
            self.send("column " + " ".join(map(hex_of, row)))
        for row in self.rows(self.types_sql, oid, type_oids):
            self.send("type " + " ".join(map(hex_of, row)))
        self.send("build")
        return self.answer()

    def snapshot(self, lsn):
        tables = []
        for row in self.rows(self.tables_sql):
            self.send("tables " + " ".join(map(hex_of, row)))
            if self.answer() == "captured":
                tables.append(row)
        tables.sort(key=lambda t: (t[1], t[2]))
        data = []
        for i, (oid, schema, table, _, identity, _, _) in enumerate(tables):
            self.send("relation %s %s %s %s" % (oid, hex_of(schema), hex_of(table), identity))
            data.append((oid, schema, table, identity, self.rows(self.describe(oid, "{}"))))
        last_table = max((i for i, d in enumerate(data) if d[4]), default=-1)
        for i, (oid, schema, table, identity, rows) in enumerate(data):
            self.send("relation %s %s %s %s" % (oid, hex_of(schema), hex_of(table), identity))
            self.describe(oid, "{}")
            for n, row in enumerate(rows):
                place = (i == 0) + 2 * (i == last_table) + 4 * (n == 0) + 8 * (n == len(rows) - 1)
                self.send("row %d %s %s" % (place, lsn, " ".join(map(hex_of, row))))

    def stream(self, messages):
        for lsn, payload in messages:
            if payload.startswith("52"):
                self.send("stream " + payload)
                self.describe(int(payload[2:10], 16), self.answer())
            else:
                self.send("message %s %s" % (lsn, payload))

    def finish(self):
        self.process.stdin.close()
        for line in self.process.stdout:
            if line.startswith("error "):
                raise RuntimeError(line.rstrip())
            self.records.append(line.rstrip("\n"))
        if self.process.wait(30):
            raise RuntimeError("cdc_encode: status %d" % self.process.returncode)


def run(program, postgres, folder):
    """The records of one scenario, as lines."""
    with open(os.path.join(folder, "manifest.json")) as f:
        database = json.load(f)["database"]
    with open(os.path.join(folder, "connector.json")) as f:
        body = json.loads(f.read().replace("@PGHOST@", postgres.host).replace("@PGPORT@", str(postgres.port)))
    config = dict(body["config"], name=body["name"], **DEFECTS)
    postgres.psql('create database "%s" template template0' % database)
    with open(os.path.join(folder, "setup.sql"), encoding="utf-8") as f:
        postgres.psql(f.read(), database)
    publication, slot = config.get("publication.name", "dbz_publication"), "encode_" + database
    if not postgres.psql("select 1 from pg_publication where pubname = '%s'" % publication, database):
        postgres.psql('create publication "%s" for all tables' % publication, database)
    lsn = postgres.psql("select lsn from pg_create_logical_replication_slot('%s', 'pgoutput')" % slot, database)

    encoder = Encoder(program, postgres, database)
    try:
        for name, value in config.items():
            encoder.send("config %s %s" % (hex_of(name), hex_of(str(value))))
        encoder.send("start")
        if config.get("snapshot.mode", "initial") not in ("never", "no_data"):
            encoder.snapshot(lsn)
        with open(os.path.join(folder, "steps.sql"), encoding="utf-8") as f:
            steps = f.read()
        postgres.psql("\n".join(line for line in steps.split("\n") if not line.startswith("-- @")), database, check=False)
        encoder.stream(encoder.rows(
            "SELECT lsn, encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('%s', NULL, NULL, 'proto_version', '1', "
            "'publication_names', '%s', 'messages', 'true')" % (slot, publication)))
        encoder.finish()
    finally:
        encoder.process.kill()
        encoder.process.wait()
        postgres.psql("select pg_drop_replication_slot('%s')" % slot, database)
        postgres.psql('drop database "%s"' % database)
    return encoder.records


def check(program, postgres, goldens, name):
    """What is wrong with a scenario; None: nothing."""
    folder = os.path.join(goldens, name)
    try:
        records = run(program, postgres, folder)
    except RuntimeError as e:
        return str(e)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as f:
        f.write("".join(r + "\n" for r in records))
        f.flush()
        done = subprocess.run([sys.executable, os.path.join(goldens, "compare.py"), folder, f.name, "--partitions"],
                              stdout=subprocess.PIPE, text=True)
    return done.stdout.rstrip() if done.returncode else None


def main(argv):
    program, patterns = os.path.abspath(argv[0]), argv[1:]
    goldens = scenarios_folder()
    names = sorted(n for n in os.listdir(goldens) if os.path.isdir(os.path.join(goldens, n)))
    chosen = [n for n in names if any(fnmatch.fnmatch(n, p) for p in patterns or GROUPS)]
    later = [n for n in chosen if not patterns and n in LATER]
    for name in later:
        print("skipped %s: %s" % (name, LATER[name]))
    passed, failed = 0, 0
    with Postgres() as postgres, concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        # Two scenarios may use a database of the same name: each name is one job, its scenarios in turn.
        by_database = {}
        for name in chosen:
            if name not in later:
                with open(os.path.join(goldens, name, "manifest.json")) as f:
                    by_database.setdefault(json.load(f)["database"], []).append(name)
        jobs = [pool.submit(lambda group: [(n, check(program, postgres, goldens, n)) for n in group], group)
                for group in by_database.values()]
        for job in jobs:
            for name, wrong in job.result():
                if wrong:
                    print("FAILED  %s:\n%s" % (name, wrong), flush=True)
                passed, failed = passed + (not wrong), failed + bool(wrong)
    remove_templates()
    print("%d passed, %d failed, %d skipped" % (passed, failed, len(later)))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
