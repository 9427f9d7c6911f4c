"""kcat, as its manual shows it, against a broker. Arguments: BOOTSTRAP PREFIX."""
import json
import re
import subprocess
import threading

from check import BOOTSTRAP, PREFIX, equal, feature, until, version

TIMEOUT_S = 40


def kcat(*arguments, stdin=b""):
    done = subprocess.run(["kcat", "-b", BOOTSTRAP] + list(arguments), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT_S)
    assert done.returncode == 0, "kcat %s: %s" % (" ".join(arguments), done.stderr.decode()[-300:])
    return done.stdout


def read(name, *more):
    """The records of a topic, as kcat's JSON tells them."""
    return [json.loads(line) for line in kcat("-C", "-t", name, "-e", "-q", "-J", *more).splitlines()]


def records():
    name = PREFIX + "-records"
    kcat("-P", "-t", name, "-p", "0", "-K:", "-H", "a=1", "-H", "b=", stdin=b"key:value\nother:two words\n")
    kcat("-P", "-t", name, "-p", "0", "-K:", "-Z", stdin=b"tombstone:\n")
    got = read(name)
    equal("records", [(r["key"], r["payload"], r["partition"], r["offset"]) for r in got],
          [("key", "value", 0, 0), ("other", "two words", 0, 1), ("tombstone", None, 0, 2)])
    equal("headers", got[0]["headers"], ["a", "1", "b", ""])
    equal("as formatted", kcat("-C", "-t", name, "-e", "-q", "-c1", "-f", "%t %p %o %k %S %s %h"), b"%s 0 0 key 5 value a=1,b=" % name.encode())
    listed = json.loads(kcat("-L", "-J"))
    equal("metadata", ([t["partitions"][0]["leader"] for t in listed["topics"] if t["topic"] == name], len(listed["brokers"])), ([1], 1))


def codecs():
    lines = b"".join(b"value of the record %d\n" % i for i in range(500))
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        kcat("-P", "-t", PREFIX + "-codec-" + codec, "-p", "0", "-z", codec, stdin=lines)
        equal(codec, kcat("-C", "-t", PREFIX + "-codec-" + codec, "-e", "-q"), lines)


def offsets():
    name = PREFIX + "-offsets"
    kcat("-P", "-t", name, "-p", "0", stdin=b"".join(b"%d\n" % i for i in range(100)))
    equal("from an offset", kcat("-C", "-t", name, "-e", "-q", "-p", "0", "-o", "97"), b"97\n98\n99\n")
    equal("from the end", kcat("-C", "-t", name, "-e", "-q", "-p", "0", "-o", "-2"), b"98\n99\n")
    time_ms = read(name, "-o", "-1", "-p", "0")[0]["ts"]

    def offset_at(time_ms):
        return int(re.search(rb"offset (-?\d+)", kcat("-Q", "-t", "%s:0:%d" % (name, time_ms))).group(1))
    equal("by time", (offset_at(1), offset_at(-2), offset_at(-1), offset_at(time_ms + 3600000)), (0, 0, 100, -1))


class Member:
    """A kcat that reads as a member of a group until it is ended."""

    def __init__(self, group, name, *more):
        self.process = subprocess.Popen(["kcat", "-b", BOOTSTRAP, "-G", group, "-u", "-X", "auto.offset.reset=earliest", "-X",
                                         "session.timeout.ms=10000", "-X", "heartbeat.interval.ms=300", *more, name],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.values, self.shares = [], 0
        self.threads = [threading.Thread(target=self._values), threading.Thread(target=self._shares)]
        for thread in self.threads:
            thread.start()

    def _values(self):
        for line in self.process.stdout:
            self.values.append(line.rstrip("\n"))

    def _shares(self):
        for line in self.process.stderr:
            if "assigned:" in line:
                self.shares = len(re.findall(r"\[\d+\]", line))
            elif "revoked:" in line:
                self.shares = 0

    def leave(self):
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
        for thread in self.threads:
            thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


def groups():
    name, group = PREFIX + "-groups", PREFIX + "-group"
    kcat("-P", "-t", name, "-p", "0", stdin=b"200\n")  # makes the topic
    one = Member(group, name)
    two = Member(group, name)
    try:
        until("two partitions each", lambda: (one.shares, two.shares) == (2, 2))
        for p in range(4):
            kcat("-P", "-t", name, "-p", str(p), stdin=b"".join(b"%d\n" % (p * 50 + i) for i in range(50)))
        until("all records", lambda: len(one.values) + len(two.values) >= 201)
        two.leave()
        until("all partitions for who stays", lambda: one.shares == 4)
    finally:
        two.leave()
        one.leave()
    equal("each once", sorted(int(v) for v in one.values + two.values), list(range(201)))
    three = Member(group, name, "-e")
    three.process.wait(TIMEOUT_S)
    three.leave()
    equal("nothing is read again", three.values, [])


def idempotence():
    name = PREFIX + "-idempotence"
    lines = b"".join(b"%d\n" % i for i in range(1000))
    kcat("-P", "-t", name, "-p", "0", "-X", "enable.idempotence=true", "-X", "batch.num.messages=10", stdin=lines)
    equal("in order, once", kcat("-C", "-t", name, "-e", "-q"), lines)


def transactions():
    name = PREFIX + "-txn"
    for i in range(2):
        kcat("-P", "-t", name, "-p", "0", "-X", "transactional.id=" + PREFIX + "-txn-id", stdin=b"%d\n" % i)
    got = read(name, "-X", "isolation.level=read_committed")
    equal("committed, with a marker between", [(r["payload"], r["offset"]) for r in got], [("0", 0), ("1", 2)])


version(re.search(r"Version (\S+).*?librdkafka (\S+)", subprocess.run(["kcat", "-V"], stdout=subprocess.PIPE, text=True).stdout)
        .expand(r"\1, librdkafka \2"))
feature("records", records)
feature("codecs", codecs)
feature("offsets", offsets)
feature("groups", groups)
feature("idempotence", idempotence)
feature("transactions", transactions)
