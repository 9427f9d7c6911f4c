"""The parts of tests/run, each a row of PARTS; counts their tests and ends with 'N passed, N failed, N skipped'."""
import concurrent.futures
import datetime
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
FUZZ_SECONDS = {False: 10, True: 300}
SHARED = os.environ.get("OTTLA_SHARED", os.path.join(ROOT, "..", "shared"))


class Run:
    def __init__(self, long):
        self.long = long
        self.passed = self.failed = self.skipped = 0
        self.failures, self.skips, self.figures = [], [], []
        self.part = ""

    def ok(self, name, count=1):
        self.passed += count
        print("  ok    %s" % name, flush=True)

    def fail(self, name, text=""):
        self.failed += 1
        self.failures.append("%s: %s" % (self.part, name))
        print("  FAIL  %s" % name)
        for line in text.strip().splitlines()[-40:]:
            print("        " + line)
        sys.stdout.flush()

    def skip(self, name, why):
        self.skipped += 1
        self.skips.append("%s: %s: %s" % (self.part, name, why))
        print("  skip  %s: %s" % (name, why), flush=True)

    def figure(self, text):
        self.figures.append("%s: %s" % (self.part, text))
        print("        " + text, flush=True)

    # -- ways to run --

    def command(self, name, arguments, timeout_s=600, environment=None):
        """One test: passes when it exits with 0. Returns its output."""
        code, text = call(arguments, timeout_s, environment)
        self.ok(name) if code == 0 else self.fail(name, text)
        return text

    def counting(self, name, arguments, timeout_s=3600, environment=None):
        """A program that ends with 'N passed, N failed, N skipped'; its counts become ours. Returns its output."""
        code, text = call(arguments, timeout_s, environment)
        self.counted(name, code, text)
        return text

    def counting_together(self, programs, timeout_s=3600):
        """The same for several (name, arguments) side by side."""
        with concurrent.futures.ThreadPoolExecutor(len(programs)) as pool:
            done = [(name, pool.submit(call, arguments, timeout_s)) for name, arguments in programs]
            for name, result in done:
                self.counted(name, *result.result())

    def counted(self, name, code, text):
        match = CLOSING.findall(text)
        if not match:
            return self.fail(name, text + "\n(no closing line, exit status %s)" % code)
        passed, failed, skipped = map(int, match[-1])
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        print("  %s %s: %d passed, %d failed, %d skipped" % ("FAIL " if failed else "ok   ", name, passed, failed, skipped))
        if failed or code:
            self.failures.append("%s: %s" % (self.part, name))
            if not failed:
                self.failed += 1
            print("\n".join("        " + line for line in text.splitlines()[-80:]))
        for line in text.splitlines():
            if line.startswith("skip"):
                self.skips.append("%s: %s" % (self.part, line))
        sys.stdout.flush()

    def meson(self, build, suites, environment=None, timeout_factor=1):
        arguments = ["meson", "test", "-C", build, "--no-rebuild", "-t", str(timeout_factor)]
        for suite in suites:
            arguments += ["--suite", suite]
        log = os.path.join(build, "meson-logs", "testlog.json")
        if os.path.exists(log):
            os.unlink(log)
        _, text = call(arguments, 3600, environment)
        if not os.path.exists(log):
            return self.fail("meson test " + build, text)
        with open(log) as f:
            for line in f:
                test = json.loads(line)
                if test["result"] in ("OK", "EXPECTEDFAIL"):
                    self.ok(test["name"])
                elif test["result"] == "SKIP":
                    self.skip(test["name"], "skipped by the test")
                else:
                    self.fail(test["name"], test.get("stdout", "") + test.get("stderr", ""))

    def pytest(self, paths, environment=None, extra=()):
        with tempfile.NamedTemporaryFile(suffix=".xml") as report:
            _, text = call(["/usr/bin/python3", "-m", "pytest", "-q", "-ra", "--tb=short", "--junitxml", report.name]
                           + list(extra) + paths, 3600, environment)
            try:
                cases = xml.etree.ElementTree.parse(report.name).getroot().iter("testcase")
            except xml.etree.ElementTree.ParseError:
                return self.fail("pytest", text)
            count = 0
            for case in cases:
                count += 1
                name = "%s::%s" % (case.get("classname"), case.get("name"))
                bad = [c for c in case if c.tag in ("failure", "error")]
                skipped = [c for c in case if c.tag == "skipped"]
                if bad:
                    self.fail(name, (bad[0].text or "") + (bad[0].get("message") or ""))
                elif skipped:
                    self.skip(name, skipped[0].get("message") or "")
                else:
                    self.ok(name)
            if not count:
                self.fail("pytest", text)

    def configure(self, build, options, environment=None):
        """Configures and builds; False (and a failed test) when that fails."""
        if not os.path.exists(os.path.join(build, "build.ninja")):
            code, text = call(["meson", "setup", build] + options, 300, environment)
            if code:
                self.fail("configure " + build, text)
                return False
        code, text = call(["ninja", "-C", build], 1800, environment)
        if code:
            self.fail("build " + build, text)
            return False
        self.ok("build " + build)
        return True


def call(arguments, timeout_s, environment=None):
    merged = dict(os.environ, **(environment or {}))
    try:
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, env=merged,
                              cwd=ROOT, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        return 124, (e.stdout or b"").decode(errors="replace") + "\n(timed out after %d s)" % timeout_s


def sanitizer_environment(folder):
    """Reports go to files: a leak inside a Criterion test does not fail it by itself."""
    log = os.path.join(folder, "report")
    return {"ASAN_OPTIONS": "log_path=%s:detect_leaks=1:abort_on_error=0" % log, "UBSAN_OPTIONS": "print_stacktrace=1:log_path=" + log,
            "LSAN_OPTIONS": "report_objects=1:exitcode=0", "TSAN_OPTIONS": "log_path=%s:halt_on_error=0" % log}


def reports(folder):
    """The report files, but for those in which nothing but Criterion's own runner leaks: every frame below the allocator's is
    in libcriterion. (Leaks let the exit status alone; a report decides.)"""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "report*"))):
        with open(path, errors="replace") as f:
            text = f.read()
        frames = [line for line in text.splitlines() if re.match(r"\s+#[1-9]", line)]
        if "LeakSanitizer" not in text or not frames or not all("libcriterion" in line for line in frames):
            found.append(path)
    return found


# -- the parts --

def part_house(run):
    run.command("include order", ["python3", "tests/check_includes.py"])
    run.command("include order, self-test", ["python3", "tests/check_includes.py", "--self-test"])
    run.command("layout (.clang-format)", ["sh", "-c", "git ls-files -z '*.c' '*.h' | xargs -0 clang-format-14 --dry-run -Werror"])


def part_build(run):
    """The GCC build with everything, and the tests without servers."""
    if run.configure("build", []):
        run.meson("build", ["unit", "golden", "crash"])


def part_clang(run):
    if run.configure("build-clang", ["-Dclients=disabled"], {"CC": "clang"}):
        run.meson("build-clang", ["unit"])


def part_integration(run):
    run.pytest(["tests/integration"])


def part_groups(run):
    """Many consumers that come, leave and die in one group: no partition with two owners (`integration` has the reduced count)."""
    if not run.long:
        return run.skip("group churn", "part of `integration`; `long` runs 200 members")
    for protocol in ("classic", "consumer"):
        text = run.command("200 members, " + protocol, ["/usr/bin/python3", "tests/group_churn.py", "--protocol", protocol], 1800)
        for line in text.splitlines()[:-1]:
            run.figure(line)


def part_goldens(run):
    """The real Debezium's change events; PostgreSQL 15, and 16 to 18 for the seeds and basic operations."""
    from lib.embedded_postgres import VERSIONS, fetch
    missing = [v for v in VERSIONS if not fetch(v)]
    # Most of a scenario is waiting: the versions' passes go beside the first.
    programs = [("cdc_goldens", ["tests/cdc_goldens", "-j", "4"])]
    for version in VERSIONS:
        if version in missing:
            run.skip("cdc_goldens on PostgreSQL " + version, "its embedded build cannot be fetched (needs npm)")
        else:
            programs.append(("cdc_goldens on PostgreSQL " + version,
                             ["tests/cdc_goldens", "-j", "1", "--postgres", version, "seed*", "ops_basic*"]))
    run.counting_together(programs)


def part_crash(run):
    histories = 2000000 if run.long else 5000
    text = run.command("journal model, %d histories" % histories, ["build/tests/crash/journal_model", "--histories", str(histories)], 7200)
    for line in text.splitlines()[-3:]:
        run.figure(line)
    histories = 5000 if run.long else 100
    text = run.command("power cuts, %d histories" % histories, ["build/tests/crash/power_cut", "--histories", str(histories)], 7200)
    run.figure(text.splitlines()[-1] if text.splitlines() else "")
    kills = 1000 if run.long else 30
    text = run.command("%d kills under clients" % kills,
                       ["/usr/bin/python3", "tests/crash/kill_clients.py", "--kills", str(kills)] + (["--dump"] if run.long else []), 7200)
    run.figure(text.splitlines()[-1] if text.splitlines() else "")
    kills, restarts = (200, 20) if run.long else (20, 2)
    text = run.command("%d kills, %d PostgreSQL restarts" % (kills, restarts),
                       ["/usr/bin/python3", "tests/crash/kill_cdc.py", "--kills", str(kills), "--restarts", str(restarts)], 7200)
    for line in text.splitlines()[-2:]:
        run.figure(line)


# Under sanitizers in CI: files that reach C code which no unit test reaches as they do (parsers of the wire and of JSON, coordinators,
# cleaner, CDC with a real PostgreSQL). The others wait more than they run, or differ in what the tools in front of the same code are.
ASAN_FILES = ["acls", "bad_batches", "bad_input", "cdc_failures", "cdc_topics", "compaction", "connect_rest", "groups", "share_groups",
              "transactions"]


def part_asan(run):
    """ASan and UBSan over the unit tests and the integration tests (`long`: all of them); a report fails the run even where the
    runner hides it."""
    build = "build-asan"
    if not run.configure(build, ["-Db_sanitize=address,undefined", "-Dclients=disabled", "-Db_lundef=false"]):
        return
    with tempfile.TemporaryDirectory() as folder:
        run.meson(build, ["unit"], sanitizer_environment(folder), 5)
        paths = ["tests/integration"] if run.long else ["tests/integration/test_%s.py" % name for name in ASAN_FILES]
        run.pytest(paths, dict(sanitizer_environment(folder), OTTLA_BUILD=build), ["-m", "not slow"])
        found = reports(folder)
        if found:
            run.fail("sanitizer reports", "\n".join(open(f).read()[:3000] for f in found[:3]))
        else:
            run.ok("no sanitizer report")
    with tempfile.TemporaryDirectory() as folder:
        call([os.path.join(build, "tests", "deliberate_leak"), "--tap"], 60, sanitizer_environment(folder))
        text = "".join(open(f).read() for f in reports(folder))
        run.ok("a deliberate leak is seen") if "LeakSanitizer" in text else run.fail("a deliberate leak is seen", text)


def part_race(run):
    """ThreadSanitizer over what threads share: stress programs, and a broker with a connector that is killed and restarted."""
    build = "build-tsan"
    if not run.configure(build, ["-Db_sanitize=thread", "-Dclients=disabled", "-Dunit=disabled", "-Db_lundef=false"]):
        return
    with tempfile.TemporaryDirectory() as folder:
        run.meson(build, ["race"], sanitizer_environment(folder), 5)
        kills, restarts = (40, 4) if run.long else (6, 1)
        text = run.command("%d kills, %d PostgreSQL restarts" % (kills, restarts),
                           ["/usr/bin/python3", "tests/crash/kill_cdc.py", "--kills", str(kills), "--restarts", str(restarts)], 1800,
                           dict(sanitizer_environment(folder), OTTLA_BUILD=build))
        for line in text.splitlines()[-2:]:
            run.figure(line)
        found = reports(folder)
        if found:
            run.fail("thread sanitizer reports", "\n".join(open(f).read()[:3000] for f in found[:3]))
        else:
            run.ok("no thread sanitizer report")
    with tempfile.TemporaryDirectory() as folder:
        call([os.path.join(build, "tests", "race", "deliberate_race")], 60, sanitizer_environment(folder))
        text = "".join(open(f).read() for f in reports(folder))
        run.ok("a deliberate race is seen") if "data race" in text else run.fail("a deliberate race is seen", text)


def part_fuzz(run):
    build = "build-fuzz"
    if not run.configure(build, ["-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dunit=disabled",
                                 "-Dclients=disabled"], {"CC": "clang"}):
        return
    targets = sorted(glob.glob(os.path.join(ROOT, build, "tests", "fuzz", "fuzz_*")))
    targets = [t for t in targets if os.access(t, os.X_OK) and os.path.isfile(t)]
    if not targets:
        run.fail("fuzz targets", "none was built")
    for target in targets:
        name = os.path.basename(target)
        corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", name[5:])
        # What breaks it stays: libFuzzer names the file.
        with tempfile.TemporaryDirectory() as scratch:
            folders = [scratch] + ([corpus] if os.path.isdir(corpus) else [])
            run.command(name, [target, "-max_total_time=%d" % FUZZ_SECONDS[run.long], "-timeout=10", "-rss_limit_mb=1024",
                               "-artifact_prefix=%s/found-%s-" % (os.path.join(ROOT, build), name)] + folders, FUZZ_SECONDS[run.long] + 120)


# CI runs what is quick; `long` all of them.
ACCEPTANCE = {False: "10|21|30|70", True: "1[0-5]|21|3[0-3]|40|70"}


def part_acceptance(run):
    """Unmodified clients (Kafka's tools, Java, Python, JavaScript, kcat); then kafka-dump-log on what they left behind."""
    folder = os.path.join(SHARED, "acceptance")
    if not os.path.isdir(folder):
        return run.skip("acceptance", "no %s" % folder)
    if not shutil.which("mvn") or not shutil.which("javac"):
        return run.skip("acceptance", "needs a JDK 17 and maven")
    from lib.ottla import Ottla
    code, text = call([os.path.join(folder, "setup.sh")] + ([] if run.long else ["kafka", "python", "java"]), 1800)
    if code:
        return run.skip("acceptance", "the clients could not be fetched: " + text.strip().splitlines()[-1])
    with Ottla() as ottla:
        run.counting("acceptance", [os.path.join(folder, "run-all.sh"), ottla.bootstrap, "^(%s)" % ACCEPTANCE[run.long]], 3600)
        ottla.stop()
        run.counting("kafka-dump-log", ["tests/kafka_dump_check", ottla.data], 1200)


def part_compat(run):
    """Unmodified clients (Java, Python, JavaScript, Go) and Kafka Streams; `long` also writes docs/compatibility.md."""
    table = ["--table", "docs/compatibility.md"]
    run.counting("compat", ["/usr/bin/python3", "tests/compat/run.py"] + (table if run.long else ["--quick"]), 7200)


def part_differential(run):
    """The same random requests to a real Kafka 4.1 and to ottla, their answers compared field by field."""
    seeds = 1000 if run.long else 20
    text = run.counting("sequences of 200 requests",
                        ["/usr/bin/python3", "tests/differential/run.py", "--seeds", str(seeds), "--jobs", "4",
                         "--traces", "build/differential"],
                        14400)
    for line in text.splitlines():
        if line.endswith("requests compared"):
            run.figure(line)


def part_compaction(run):
    """A large compacted log against a map, here and at a real Kafka; `long`: 5 million records."""
    arguments = [] if run.long else ["--records", "300000", "--keys", "10000", "--no-kafka"]
    text = run.counting("compaction", ["tests/measure/compaction.py"] + arguments)
    for line in re.findall(r"(?m)^- (compaction: .*)$", text):
        run.figure(line.removeprefix("compaction: "))


def part_demo(run):
    run.command("tools/demo --check", ["tools/demo", "--check"], 900)


PARTS = {
    "house": part_house, "build": part_build, "integration": part_integration, "groups": part_groups, "goldens": part_goldens,
    "crash": part_crash, "compaction": part_compaction, "acceptance": part_acceptance, "compat": part_compat,
    "differential": part_differential, "clang": part_clang, "asan": part_asan, "race": part_race, "fuzz": part_fuzz, "demo": part_demo,
}


def write_result(run, parts, seconds):
    """docs/long-run.md: when, which commit, what came out."""
    commit = call(["git", "rev-parse", "--short=12", "HEAD"], 10)[1].strip()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    path = os.path.join(ROOT, "docs", "long-run.md")
    section = ["## %s" % " ".join(parts), "", "%s, commit %s, %d CPUs (%s), %d s: **%d passed, %d failed, %d skipped**" % (
        datetime.date.today().isoformat(), commit, os.cpu_count(), cpu, seconds, run.passed, run.failed, run.skipped), ""]
    section += ["- " + line for line in run.figures + ["failed: " + f for f in run.failures] + ["skipped: " + s for s in run.skips]]
    head = "# The last long run\n\nWritten by `tests/run long [part]`: the full counts, one section per call of parts.\n"
    sections = {}
    if os.path.exists(path):
        for text in re.split(r"(?m)^(?=## )", open(path).read())[1:]:
            sections[text.split("\n", 1)[0]] = text.rstrip()
    sections[section[0]] = "\n".join(section).rstrip()
    with open(path, "w") as f:
        f.write(head + "\n" + "\n\n".join(sections[k] for k in sorted(sections)) + "\n")


def main(arguments):
    if arguments == ["--list"]:
        for name, function in PARTS.items():
            print("%-12s %s" % (name, (function.__doc__ or "").strip().split("\n")[0]))
        return 0
    long = arguments[:1] == ["long"]
    parts = arguments[1:] if long else arguments
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        print("tests/run: unknown part '%s'; known: %s" % (unknown[0], " ".join(PARTS)), file=sys.stderr)
        return 2
    run = Run(long)
    started = time.monotonic()
    for name in parts or PARTS:
        run.part = name
        begun = time.monotonic()
        print("== %s" % name, flush=True)
        PARTS[name](run)
        print("   (%d s)" % (time.monotonic() - begun), flush=True)
    if os.environ.get("CI") and not parts:
        for skip in run.skips:
            if re.match(r"(build|goldens|crash|integration)\b", skip):
                run.fail("in CI nothing of wire, golden and PostgreSQL tests may be skipped", skip)
    if long:
        write_result(run, parts or ["all"], time.monotonic() - started)
    for line in run.failures:
        print("failed: " + line)
    for line in run.skips:
        print("skipped: " + line)
    print("%d passed, %d failed, %d skipped" % (run.passed, run.failed, run.skipped))
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(ROOT, "tests"))
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
