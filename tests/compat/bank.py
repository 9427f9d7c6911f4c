"""The bank: transfers between accounts by consume-transform-produce, while its processes and the broker are killed.

Transfers go to a topic, by an idempotent producer. Four tellers (java/Bank.java or bank_teller.py), one transactional id each, share
its partitions as a group and write both changes of every transfer to the ledger, with their offsets, in one transaction. Tellers are
killed at random with -9 and started again, the broker likewise. At the end the ledger, read committed, has to hold every
transfer exactly twice, once for each account, its sum has to be 0, and no transaction may have been seen in part on the way."""
import os
import random
import subprocess
import sys
import threading
import time

import clients
from lib.ottla import Ottla
from lib.wait import until

TELLERS, ACCOUNTS, PARTITIONS, HEAP = 4, 20, 4, "128m"
TRANSFERS_A_SECOND = 50
DRAIN_S = 240  # after the last kill; an open transaction of a dead teller blocks its readers for its timeout of 10 s
BROKER = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500", "offsets.topic.num.partitions": "5",
          "transaction.state.log.num.partitions": "5"}


class Teller:
    def __init__(self, command, number, log):
        self.command, self.log, self.process = command + ["compat", "teller-%d" % number], log, None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Ledger:
    """Reads the ledger, read committed, from its begin on."""

    def __init__(self, bootstrap):
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "auditor", "isolation.level": "read_committed", "enable.auto.commit": False})
        self.consumer.assign([TopicPartition("compat-ledger", p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        self.entries = {}  # (transfer, account): its amounts

    def read(self, seconds):
        for m in self.consumer.consume(500, seconds):
            if not m.error():
                number, account, amount = m.value().decode().split()
                self.entries.setdefault((int(number), account), []).append(int(amount))
        return self.entries


def transfers(bootstrap, stop, sent, problems):
    """Produces until it is told to stop; sent: {number: (from, to, amount)} of what was acknowledged."""
    from confluent_kafka import Producer
    r = random.Random(7)
    p = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 300000})
    number = 0

    def delivered(transfer):
        def done(error, _):
            if error:
                problems.append("a transfer was not taken: %s" % error)
            else:
                sent[transfer[0]] = transfer[1:]
        return done
    while not stop.wait(1 / TRANSFERS_A_SECOND):
        source, target = r.sample(range(ACCOUNTS), 2)
        transfer = (number, "a%d" % source, "a%d" % target, r.randint(1, 1000))
        p.produce("compat-transfers", "%d %s %s %d" % transfer, partition=number % PARTITIONS, on_delivery=delivered(transfer))
        p.poll(0)
        number += 1
    if p.flush(120):
        problems.append("transfers were not taken in time")


def run(out, kind, seconds, broker_kills):
    command = (clients.java("clients41", "Bank", heap=HEAP) + ["Bank"] if kind == "java"
               else [sys.executable, os.path.join(clients.HERE, "bank_teller.py")])
    r = random.Random()
    seed = r.randrange(1 << 30)
    r.seed(seed)
    out.line("note seed %d" % seed)
    with Ottla(BROKER) as ottla:
        out.line("version " + ("Java 4.1.1" if kind == "java" else "librdkafka"))
        from confluent_kafka.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": ottla.bootstrap})
        for future in admin.create_topics([NewTopic("compat-transfers", PARTITIONS, 1), NewTopic("compat-ledger", PARTITIONS, 1)]).values():
            future.result(30)
        log_file = os.path.join(ottla.folder, "tellers")
        log = open(log_file, "w")
        tellers = [Teller(command + [ottla.bootstrap], i, log) for i in range(TELLERS)]
        stop, sent, problems = threading.Event(), {}, []
        source = threading.Thread(target=transfers, args=(ottla.bootstrap, stop, sent, problems))
        ledger, kills, ended = Ledger(ottla.bootstrap), 0, 0
        try:
            for teller in tellers:
                teller.start()
            source.start()
            until("the first transfers are booked", lambda: ledger.read(0.5), 180, 0)
            begun = time.monotonic()
            next_broker = begun + seconds / (broker_kills + 1)
            killed_brokers = 0
            while time.monotonic() < begun + seconds:
                ledger.read(r.uniform(0.2, 3))
                victim = r.choice(tellers)
                if victim.process.poll() is None:
                    victim.kill()
                    kills += 1
                for teller in tellers:
                    if teller.process.poll() is not None:
                        ended += teller is not victim
                        teller.start()
                ledger.read(r.uniform(3, 8))  # it gets a chance to do some work before the next one dies
                if time.monotonic() > next_broker and killed_brokers < broker_kills:
                    ottla.kill()
                    ottla.start()
                    killed_brokers += 1
                    next_broker += seconds / (broker_kills + 1)
            stop.set()
            source.join()

            def all_booked():
                for teller in tellers:
                    if teller.process.poll() is not None:
                        teller.start()
                return len(ledger.read(1)) >= 2 * len(sent)
            drained = time.monotonic()
            until(lambda: "all transfers are booked: %d of %d\n%s" % (len(ledger.entries), 2 * len(sent), open(log_file).read()[-1500:]), all_booked, DRAIN_S, 0)
            out.line("note %d transfers, %d tellers killed, %d ended by themselves, broker killed %d times; all booked %d s after the last" %
                     (len(sent), kills, ended, killed_brokers, time.monotonic() - drained))
            ledger.read(3)  # what would come twice
        finally:
            stop.set()
            for teller in tellers:
                if teller.process:
                    teller.kill()
            log.close()
        if source.is_alive():
            source.join()
        want = {}
        for number, (a, b, amount) in sent.items():
            want[number, a] = [-amount]
            want[number, b] = [amount]
        twice = [key for key, amounts in ledger.entries.items() if len(amounts) > 1]
        lost = [key for key in want if key not in ledger.entries]
        wrong = [key for key, amounts in ledger.entries.items() if key not in twice and want.get(key) != amounts]
        total = sum(sum(amounts) for amounts in ledger.entries.values())
        if killed_brokers != broker_kills or problems:
            raise AssertionError("the broker was killed %d times; %s" % (killed_brokers, problems[:3]))
        for feature, bad in (("sum_constant", total), ("nothing_lost", lost[:5]), ("nothing_twice", twice[:5]), ("nothing_else", wrong[:5])):
            out.line("FAIL %s: %s" % (feature, bad) if bad else "ok " + feature)
