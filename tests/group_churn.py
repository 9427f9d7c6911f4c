#!/usr/bin/env python3
"""Many real consumers (librdkafka) come, leave and die in one group: no partition ever has two owners, all partitions have one soon
after each change, and the broker's memory is back where it was when all are gone.

    tests/group_churn.py [--members 200] [--cycles 3] [--protocol classic|consumer|both] [--stable-s 5] [--seed N]

A member owns a partition from its assignment callback until its revocation callback, or until the process that hosts it is killed.
What it lost without being asked (its session expired) counts as given up: the coordinator took it away. Each cycle: all join; a fifth
leaves in order; as many others join; a host process is killed with its members; the rest leave. The first cycle is the warm-up of
the memory. Ends with 'N passed, N failed, N skipped'."""
import argparse
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
TOPIC, GROUP = "churn", "churn"
SESSION_MS, HEARTBEAT_MS = 6000, 500
MEMBERS_PER_HOST_MAX = 10
LIMIT_S = 120                   # what is not reached by then never comes
LINES_LATE_S = 1.0
MEMORY_MARGIN_KB = 4096


# -- the host: a process that holds members; commands come as lines, events go as lines --

def host(bootstrap, protocol):
    from confluent_kafka import Consumer
    members, leaving, commands = {}, [], queue.Queue()

    def read():
        for line in sys.stdin:
            commands.put(line.split())
        commands.put(["quit"])
    threading.Thread(target=read, daemon=True).start()

    def tell(name, event, partitions=()):
        sys.stdout.write(json.dumps([time.monotonic(), name, event, [p.partition for p in partitions]]) + "\n")  # one write: threads
        sys.stdout.flush()

    def leave(name, consumer):
        consumer.close()  # may wait for a rebalance, for which the others here are polled meanwhile
        tell(name, "gone")

    def join(name):
        config = {"bootstrap.servers": bootstrap, "group.id": GROUP, "client.id": name, "enable.auto.commit": False,
                  "auto.offset.reset": "earliest", "log_level": 0}
        if protocol == "consumer":
            config["group.protocol"] = "consumer"
        else:
            config.update({"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS,
                           "partition.assignment.strategy": "range"})
        consumer = Consumer(config)
        consumer.subscribe([TOPIC], on_assign=lambda c, ps: tell(name, "assigned", ps), on_revoke=lambda c, ps: tell(name, "revoked", ps),
                           on_lost=lambda c, ps: tell(name, "lost", ps))
        members[name] = consumer

    while True:
        while not commands.empty():
            command = commands.get()
            if command[0] == "quit":
                last = [threading.Thread(target=leave, args=member) for member in members.items()]
                for thread in last:
                    thread.start()
                for thread in leaving + last:
                    thread.join()
                return
            if command[0] == "join":
                join(command[1])
            else:
                leaving.append(threading.Thread(target=leave, args=(command[1], members.pop(command[1]))))
                leaving[-1].start()
        for consumer in list(members.values()):
            consumer.poll(0)
        time.sleep(0.005)


# -- the judge --

class Churn:
    def __init__(self, python, ottla, protocol, members, seed):
        self.python, self.ottla, self.protocol, self.members = python, ottla, protocol, members
        self.partitions = 2 * members
        self.random = random.Random(seed)
        self.events, self.hosts, self.made = queue.Queue(), {}, 0
        self.owner, self.owned = {}, {}   # partition -> name; name -> partitions
        self.where = {}                   # name -> host
        self.lost, self.taken, self.doubles = 0, 0, []
        self.changed_at = 0.0
        self.late = []

    def start_host(self):
        process = subprocess.Popen([self.python, os.path.abspath(__file__), "--host", self.ottla.bootstrap, self.protocol],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def read():
            for line in process.stdout:
                self.events.put(json.loads(line))
        process.reader = threading.Thread(target=read)
        process.reader.start()
        self.hosts[process.pid] = process
        return process

    def begin(self):
        self.begun = self.changed_at = time.monotonic()

    def join(self, count):
        self.begin()
        for _ in range(count):
            homes = [h for h in self.hosts.values() if sum(w == h.pid for w in self.where.values()) < min(MEMBERS_PER_HOST_MAX, self.members // 3)]
            home = homes[0] if homes else self.start_host()
            self.made += 1
            name = "m%d" % self.made
            self.where[name], self.owned[name] = home.pid, set()
            self.command(home, "join", name)

    @staticmethod
    def command(process, *words):
        process.stdin.write(" ".join(words) + "\n")
        process.stdin.flush()

    def leave(self, names):
        self.begin()
        for name in names:
            self.command(self.hosts[self.where[name]], "leave", name)
        if not self.take(lambda: not any(name in self.where for name in names)):
            raise AssertionError("members that were to leave did not in %d s" % LIMIT_S)

    def kill(self):
        """One host: its members die without a word."""
        process = self.random.choice(sorted(self.hosts.values(), key=lambda p: p.pid))
        self.begin()
        process.kill()
        self.reap(process)
        self.take(lambda: True)
        dead = [name for name, pid in self.where.items() if pid == process.pid]
        for name in dead:
            self.forget(name)
        return len(dead)

    def reap(self, process):
        process.wait()
        process.reader.join()
        process.stdin.close()
        process.stdout.close()
        del self.hosts[process.pid]

    def forget(self, name):
        for p in self.owned.pop(name):
            if self.owner.get(p) == name:
                del self.owner[p]
        del self.where[name]

    def apply(self, when, name, event, partitions):
        if event == "gone":
            return self.forget(name)
        self.lost += len(partitions) if event == "lost" else 0
        for p in partitions:
            if event == "assigned":
                self.taken += 1
                if p in self.owner:
                    self.doubles.append("partition %d: %s took it while %s owned it" % (p, name, self.owner[p]))
                self.owner[p] = name
                self.owned[name].add(p)
            else:
                self.owned[name].discard(p)
                if self.owner.get(p) == name:
                    del self.owner[p]

    def take(self, done, limit_s=LIMIT_S):
        """Applies events in the order of their time until there are none and done(): each when it is so old that no line of another
        host can still be on its way with an earlier one."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            try:
                self.late.append(self.events.get(timeout=0.1))
            except queue.Empty:
                pass
            while not self.events.empty():
                self.late.append(self.events.get())
            self.late.sort()
            while self.late and self.late[0][0] < time.monotonic() - LINES_LATE_S:
                event = self.late.pop(0)
                self.apply(*event)
                self.changed_at = event[0]
            if not self.late and done():
                return True
        return False

    def is_balanced(self):
        shares = [len(owned) for owned in self.owned.values()]
        return len(self.owner) == self.partitions and max(shares) - min(shares) <= 1

    def settle(self):
        """Seconds from the change to the last event, after which all partitions have owners who have their share; None: never."""
        return self.changed_at - self.begun if self.take(self.is_balanced) else None


def cycle(c, figures):
    def settled(what, waits_s=0.0):
        seconds = c.settle()
        if seconds is None:
            raise AssertionError("%s: not settled in %d s: %d of %d partitions owned, by %d members" % (
                what, LIMIT_S, len(c.owner), c.partitions, len(c.where)))
        figures.setdefault(what, []).append(max(seconds - waits_s, 0))
    c.join(c.members)
    settled("all joined")
    fifth = max(c.members // 5, 1)
    c.leave(c.random.sample(sorted(c.where), fifth))
    settled("a fifth left")
    c.join(fifth)
    settled("others joined")
    c.kill()
    settled("a process died, after its sessions", SESSION_MS / 1000)
    for process in list(c.hosts.values()):
        c.command(process, "quit")
    for process in list(c.hosts.values()):
        c.reap(process)
    c.take(lambda: not c.where)


def run(python, protocol, members, cycles, stable_s, seed):
    """(failures, figures)"""
    from lib import wire as w
    from lib.ottla import Ottla
    from lib.wait import until
    failures, figures, memory = [], {}, []
    overrides = {"connect.listeners": "", "group.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": str(SESSION_MS),
                 "group.consumer.min.session.timeout.ms": "1000", "group.consumer.heartbeat.interval.ms": str(HEARTBEAT_MS),
                 "group.consumer.min.heartbeat.interval.ms": "100", "offsets.topic.num.partitions": "1"}
    with Ottla(overrides) as ottla:
        with w.Connection(ottla.kafka_port) as connection:
            r = connection.ask(19, 2, w.array([w.string(TOPIC) + w.i32(2 * members) + w.i16(1) + w.array([]) + w.array([])]) + w.i32(60000) + w.i8(0))
            r.i32()
            assert r.array(lambda: (r.string(), r.i16(), r.string()))[0][1] == 0
        c = Churn(python, ottla, protocol, members, seed)

        def connections():
            folder = "/proc/%d/fd" % ottla.process.pid
            return sum(os.readlink(os.path.join(folder, fd)).startswith("socket:") for fd in os.listdir(folder))
        idle = connections()
        try:
            for _ in range(cycles):
                cycle(c, figures)
                until("the clients' connections are gone", lambda: connections() <= idle, 30)
                memory.append(ottla.rss_kb())
        except AssertionError as e:
            failures.append(str(e))
        finally:
            for process in list(c.hosts.values()):
                process.kill()
                c.reap(process)
    if c.doubles:
        failures.append("%d partitions with two owners: %s" % (len(c.doubles), "; ".join(c.doubles[:5])))
    for what, seconds in figures.items():
        if max(seconds) > stable_s:
            failures.append("%s: settled in %.1f s, may take %g s" % (what, max(seconds), stable_s))
    if len(memory) > 1 and memory[-1] > memory[0] + MEMORY_MARGIN_KB:
        failures.append("memory grows: %s KiB after the cycles" % memory)
    figures = ["%s: at most %.1f s" % (what, max(seconds)) for what, seconds in figures.items()]
    figures.append("%d assignments, %d partitions lost by expired sessions; memory after the cycles: %s KiB" % (c.taken, c.lost, memory))
    return failures, figures


def python_of(protocol):
    """The classic protocol: any librdkafka; KIP-848: a newer one than Debian's."""
    if protocol == "classic":
        return sys.executable
    sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
    import clients
    return clients.python("python-confluent", "confluent-kafka")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=200)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--protocol", choices=["classic", "consumer", "both"], default="both")
    parser.add_argument("--stable-s", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    passed = failed = 0
    for protocol in ["classic", "consumer"] if options.protocol == "both" else [options.protocol]:
        failures, figures = run(python_of(protocol), protocol, options.members, options.cycles, options.stable_s, options.seed)
        for line in figures:
            print("%s, %d members: %s" % (protocol, options.members, line))
        for line in failures:
            print("FAIL %s: %s (seed %d)" % (protocol, line, options.seed))
        passed, failed = passed + (not failures), failed + bool(failures)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--host"]:
        host(*sys.argv[2:])
    else:
        sys.exit(main())
