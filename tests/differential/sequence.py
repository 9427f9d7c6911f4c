"""A seeded random sequence of requests. Each step runs in the same way on both sides and returns what each side answered:
a list of (api, version, request, answer). What the brokers choose by themselves stands in requests as a Ref."""
import os
import struct
import time
import uuid

import batch
import wider
from compare import NOBODY
from sides import CLOSED, Ref
from lib.wait import TimedOut, until

CONCURRENT_TRANSACTIONS, MEMBER_ID_REQUIRED, REBALANCE_IN_PROGRESS, UNKNOWN_TOPIC = 51, 79, 27, 3
MISSING = {"topic_id": uuid.UUID(int=77), "producer_id": NOBODY, "epoch": 0, "member": "nobody", "generation": 5, "session": 12345, "owned": []}
SETTLE_TIMEOUT_S = 60
BAD_NAMES = ["", ".", "a b", "x" * 250, "ümlaut"]
INTERNAL_NAME = "__consumer_offsets"  # not where its records would show: they are those of all seeds


def subscription(topic):
    """A consumer's metadata of version 0: Kafka 4 reads it, and never forms the generation when it cannot."""
    name = topic.encode()
    return struct.pack(">hih", 0, 1, len(name)) + name + struct.pack(">i", -1)


def assignment(topic, partition):
    name = topic.encode()
    return struct.pack(">hih", 0, 1, len(name)) + name + struct.pack(">iii", 1, partition, -1)


def errors(value):
    """All error codes of an answer."""
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == "error_code"] + [e for v in value.values() for e in errors(v)]
    return [e for v in value for e in errors(v)] if isinstance(value, list) else []


class Sequence(wider.Wider):
    def __init__(self, seed, random, versions, alone=True):
        """versions: {api name: (low, high)} that both brokers serve. alone: no other sequence runs at the same time; only then things
        that belong to everybody are touched: the group "", all access rules."""
        self.seed, self.random, self.versions, self.alone = seed, random, versions, alone
        self.prefix = "d%d-%d-" % (seed, os.getpid())  # a Kafka that runs already may have seen this seed before
        self.names = [self.prefix + "t%d" % i for i in range(4)]
        self.groups = [self.prefix + "g%d" % i for i in range(3)]
        self.transactional = [self.prefix + "x%d" % i for i in range(2)]
        self.partitions = {}     # of the topics that are there, as far as the reference said so
        self.sequences = {}      # (producer, topic, partition): the next sequence number that would be right
        self.new_members = {}    # group of KIP-848: the ids of its members
        self.members = {}        # group: slots of its members
        self.append_time = set()  # topics whose brokers set the times
        self.timeless = set()     # topics that may have records without a time
        self.recompressed = set()  # topics whose brokers pack the records anew
        self.cut = set()          # topics whose first records were deleted
        self.ended = {}          # transactional id: the version of the last EndTxn
        self.in_txn = {}         # transactional id: partitions that were added
        self.steps = [(getattr(self, name[5:]), weight) for name, weight in WEIGHTS.items()]

    def clean(self, side):
        """Its topics go, or the brokers would have ever more of them. Whatever is answered: the sequence is over."""
        names = self.names + [self.prefix + n for n in ("none", "own", "shared")]
        try:
            side.ask("delete_topics", 5, {"topic_names": names, "timeout_ms": 10000}, "clean")
        except (OSError, TimedOut):
            pass

    def missing(self):
        return MISSING

    def subscription(self):
        return subscription(self.names[0])

    # -- drawing --

    def pick(self, *choices):
        return self.random.choice(choices)

    def rarely(self, value, otherwise, one_in=8):
        return value if self.random.randrange(one_in) == 0 else otherwise

    def version(self, api):
        low, high = self.versions[api]
        return self.random.choice([high, high, self.random.randint(low, high)])

    def topic(self):
        name = self.random.choice(self.names)
        return self.rarely(self.random.choice(BAD_NAMES + [self.prefix + "none"]), name, 25)

    def any_topic(self):
        return self.rarely(INTERNAL_NAME, self.topic(), 100)

    def there(self):
        """A topic that is there, if any is."""
        return self.random.choice(sorted(self.partitions) or self.names)

    def partition(self, name):
        return self.rarely(self.pick(-1, 7, 2147483647), self.random.randrange(self.partitions.get(name, 1)), 25)

    def named(self, version, since, name, key="name"):
        """The name, or the id in versions that have it instead."""
        return {"topic_id": Ref("topic_id", name)} if version >= since else {key: name}

    # -- steps --

    def one(self, api, values, version=None, **more):
        """A step of one request."""
        version = self.version(api) if version is None else version

        def run(side):
            given = side.resolve(values, MISSING)
            answer = side.ask(api, version, given, **more)
            again_until = time.monotonic() + SETTLE_TIMEOUT_S  # asynchronous in Kafka: the transaction before is being completed
            while answer is not CLOSED and CONCURRENT_TRANSACTIONS in errors(answer) and time.monotonic() < again_until:
                time.sleep(0.002)
                answer = side.ask(api, version, given, **more)
            return [(api, version, values, answer)]
        return run

    def create_topics(self):
        version = self.version("create_topics")
        topics = []
        for name in sorted({self.any_topic() for _ in range(self.pick(1, 1, 2))}):
            configs = [{"name": k, "value": v} for k, v in self.rarely(
                [self.pick(("retention.ms", "abc"), ("unknown.config", "1"), ("cleanup.policy", "compact,delete"), ("max.message.bytes", "600"),
                           ("compression.type", "gzip"), ("message.timestamp.type", "LogAppendTime"), ("retention.ms", None),
                           ("segment.bytes", "-5"), ("min.insync.replicas", "0"), ("cleanup.policy", "nothing"))], [], 3)]
            topic = {"name": name, "num_partitions": self.pick(1, 2, 3, self.rarely(-1, 2), self.rarely(0, 1), self.rarely(-3, 1)),
                     "replication_factor": self.pick(1, 1, self.rarely(2, 1), self.rarely(0, 1), -1), "configs": configs}
            if self.random.randrange(10) == 0:
                topic.update(num_partitions=self.pick(-1, 2), replication_factor=-1, assignments=[
                    {"partition_index": i, "broker_ids": self.rarely([1, 1], [1])} for i in range(self.pick(1, 2))])
            topics.append(topic)
            if "LogAppendTime" in [c["value"] for c in configs]:
                self.append_time.add(name)
            if "gzip" in [c["value"] for c in configs]:
                self.recompressed.add(name)
        validate = self.rarely(True, False)
        values = {"topics": topics, "timeout_ms": 10000, "validate_only": validate}
        names = [t["name"] for t in topics]

        def run(side):
            out = self.one("create_topics", values, version)(side)
            if not validate and out[0][3] is not CLOSED:
                for t in out[0][3]["topics"]:
                    if t["error_code"] == 0:
                        self.settle_topic(side, t["name"], True)
            return out
        run.learn = lambda side: [self.learn_topic(side, n) for n in names]
        return run

    def settle_topic(self, side, name, there, count=None):
        """Until metadata shows the topic with all leaders, or shows that it is gone; its id is learned."""
        def settled():
            found = side.ask("metadata", 12, {"topics": [{"name": name}], "allow_auto_topic_creation": False})["topics"][0]
            if not there:
                return found["error_code"] == UNKNOWN_TOPIC
            parts = found["partitions"]
            if found["error_code"] or any(p["error_code"] for p in parts) or count and len(parts) != count:
                return False
            side.know("topic_id", name, found["topic_id"])
            # Kafka's metadata shows a partition a moment before its log can be used.
            listed = side.ask("list_offsets", 7, {"replica_id": -1, "topics": [{"name": name, "partitions": [
                {"partition_index": p["partition_index"], "timestamp": -1} for p in parts]}]})
            return not any(errors(listed))
        until("%s: topic %s is settled" % (side.name, name), settled, SETTLE_TIMEOUT_S, 0.01)

    def learn_topic(self, side, name):
        found = side.ask("metadata", 12, {"topics": [{"name": name}], "allow_auto_topic_creation": False})["topics"][0]
        if found["error_code"] == 0 and name in self.names:
            self.partitions[name] = len(found["partitions"])
        else:
            self.partitions.pop(name, None)
            self.sequences = {k: v for k, v in self.sequences.items() if k[1] != name}

    def delete_topics(self):
        version = self.version("delete_topics")
        name = self.rarely(self.prefix + "none", self.there())
        if version >= 6:
            by_id = self.random.randrange(2)
            values = {"topics": [{"name": None, "topic_id": Ref("topic_id", name)} if by_id else {"name": name}], "timeout_ms": 10000}
        else:
            values = {"topic_names": [name], "timeout_ms": 10000}

        def run(side):
            out = self.one("delete_topics", values, version)(side)
            if out[0][3] is not CLOSED and not any(errors(out[0][3])):
                self.settle_topic(side, name, False)
            return out
        run.learn = lambda side: self.learn_topic(side, name)
        return run

    def create_partitions(self):
        name = self.there()
        count = self.rarely(self.pick(0, -1), self.partitions.get(name, 1) + self.pick(1, 1, 0, -1))
        asked = self.rarely(self.prefix + "none", name)  # which create_topics may have made
        values = {"topics": [{"name": asked, "count": count, "assignments": self.rarely([{"broker_ids": [self.pick(1, 9)]}], None, 5)}],
                  "timeout_ms": 10000, "validate_only": self.rarely(True, False)}

        ask = self.one("create_partitions", values)

        def run(side):
            out = ask(side)
            if out[0][3] is not CLOSED and not any(errors(out[0][3])) and not values["validate_only"]:
                self.settle_topic(side, asked, True, count)
            return out
        run.learn = lambda side: self.learn_topic(side, asked)
        return run

    def metadata(self):
        version = self.version("metadata")
        names = [self.any_topic() for _ in range(self.pick(1, 2))]
        if version >= 12 and self.random.randrange(3) == 0:
            topics = [{"name": None, "topic_id": Ref("topic_id", n)} for n in names]
        else:
            topics = [{"name": n} for n in names]
        return self.one("metadata", {"topics": topics, "allow_auto_topic_creation": False,
                                     "include_topic_authorized_operations": self.rarely(True, False, 3),
                                     "include_cluster_authorized_operations": self.rarely(True, False, 3)}, version)

    # -- produce and fetch --

    def records(self, name, partition):
        """Bytes of batches, right or wrong, and the count of records when they are right."""
        count = self.pick(1, 1, 2, 5)
        key = self.rarely(None, b"key%d" % self.random.randrange(5), 3)
        made = [batch.record(i, key, self.rarely(None, b"v%d" % self.random.randrange(10**6), 6),
                             [(b"h", self.pick(None, b"", b"x"))] if self.random.randrange(4) == 0 else []) for i in range(count)]
        time = self.pick(1000, 5000, 10**12, 1700000000000)
        settings = {"first_timestamp": time, "base_offset": self.pick(0, 0, 5), "attributes": self.pick(0, 0, 1)}
        wrong = self.rarely(True, False, 3)
        if wrong:
            kind = self.random.randrange(17)
            if kind == 0:
                settings["crc_error"] = True
            elif kind == 1:
                settings["magic"] = self.pick(0, 1, 3, -1)
            elif kind == 2:
                settings["count"] = count + self.pick(-1, 1, 1000)
            elif kind == 3:
                settings["last_delta"] = count + self.pick(-2, 0, 100)
            elif kind == 4:
                settings["length_error"], settings["base_offset"] = self.pick(-1, 1, 100, -50), 0
            elif kind == 5:
                return b""
            elif kind == 6:
                settings["base_offset"] = -5  # (null instead of records is not drawn: Kafka never answers it)
            elif kind == 7:
                return batch.build(made, **settings) * 2
            elif kind == 8:
                made = [batch.record(0, None, None)] * count  # (records with gaps between their offsets: see README.md)
                count, settings["count"], settings["last_delta"] = 1, 1, 0
                made = made[:1]
            elif kind == 9:
                settings["attributes"] = self.pick(16, 32, 48, 5, 7, 64)
            elif kind == 10:
                self.timeless.add(name)
                settings["first_timestamp"] = self.pick(4102444800000, -1, -1 if name in self.recompressed else -2)  # 2100
            elif kind == 11:
                made = [batch.record(0, b"k", bytes(700))]
            elif kind == 12:
                return batch.build(made, **settings)[:self.random.randrange(60)]
            elif kind == 13:
                made = []
                settings["last_delta"] = self.pick(0, -1, 3)
            elif kind == 14:  # (neither lies within a compressed batch, which ottla does not open: see README.md)
                made, settings["attributes"] = [m[:-1] for m in made], 0
            elif kind == 15:
                settings.update(max_timestamp=self.pick(999, 10**15), attributes=0)
            else:
                producer = self.pick(-1, NOBODY)
                settings.update(producer_id=producer, producer_epoch=0 if producer == NOBODY else self.pick(-1, 0), sequence=self.pick(-1, 0, 3))
        return batch.build(made, **settings)

    def produce_request(self, version, name, partition, records, acks=-1, transactional_id=None):
        topic = self.named(version, 13, name)
        topic["partition_data"] = [{"index": partition, "records": records}]
        return {"acks": acks, "timeout_ms": 10000, "transactional_id": transactional_id, "topic_data": [topic]}

    def produce(self):
        version = self.random.randint(3, 13)
        name = self.rarely(self.topic(), self.there(), 10)
        partition = self.partition(name)
        return self.one("produce", self.produce_request(version, name, partition, self.records(name, partition),
                                                        self.rarely(self.pick(2, 5, -2), self.pick(-1, 1), 20)), version)

    def init_producer(self):
        slot = "p%d" % self.random.randrange(2)
        version = self.version("init_producer_id")

        def run(side):
            out = self.one("init_producer_id", {"transactional_id": None, "transaction_timeout_ms": 60000}, version)(side)
            if out[0][3] is not CLOSED and out[0][3]["error_code"] == 0:
                side.know("producer_id", slot, out[0][3]["producer_id"])
                side.know("epoch", slot, out[0][3]["producer_epoch"])
            return out
        self.sequences = {k: v for k, v in self.sequences.items() if k[0] != slot}
        return run

    def produce_idempotent(self):
        """In order, repeated, with a gap, with an older or newer epoch."""
        slot = "p%d" % self.random.randrange(2)
        name = self.there()
        partition = self.random.randrange(self.partitions.get(name, 1))
        version = self.random.randint(3, 13)
        key = slot, name, partition
        count = self.pick(1, 3)
        expected = self.sequences.get(key, 0)
        sequence = expected
        epoch = 0
        how = self.random.randrange(10)
        if how == 0:
            sequence = expected + self.pick(1, 10)
        elif how <= 2:
            sequence = max(0, expected - count)
        elif how == 3:
            sequence = max(0, expected - self.pick(1, 2, 7, 30))
        elif how == 4:
            epoch = self.pick(1, -1)
        elif how == 5:
            sequence = self.pick(-1, 2147483647)
        else:
            self.sequences[key] = expected + count
        records = [batch.record(i, b"k", b"i") for i in range(count)]

        def run(side):
            if ("producer_id", slot) not in side.values:
                return []
            made = batch.build(records, producer_id=side.values["producer_id", slot],
                               producer_epoch=max(0, side.values["epoch", slot] + epoch), sequence=sequence)
            given = side.resolve(self.produce_request(version, name, partition, made), MISSING)
            return [("produce", version, {"slot": slot, "topic": name, "partition": partition, "sequence": sequence, "epoch": epoch, "count": count},
                     side.ask("produce", version, given))]
        return run

    def fetch(self):
        version = self.random.randint(4, self.versions["fetch"][1])
        topics = []
        for name in sorted({self.rarely(self.topic(), self.there(), 12) for _ in range(self.pick(1, 2))}):
            topic = self.named(version, 13, name, "topic")
            topic["partitions"] = [{"partition": p, "fetch_offset": self.pick(0, 0, 1, 3, 8, self.rarely(self.pick(-1, 1000), 0, 4)),
                                    "partition_max_bytes": self.pick(1048576, 1048576, 100, 0), "current_leader_epoch": self.rarely(self.pick(0, 5), -1, 6)}
                                   for p in sorted({self.partition(name) for _ in range(self.pick(1, 2))})]
            topics.append(topic)
        return self.one("fetch", {"max_wait_ms": self.pick(0, 20), "min_bytes": self.pick(0, 0, 1), "max_bytes": self.pick(10485760, 10485760, 150),
                                  "isolation_level": self.pick(0, 1), "session_id": self.rarely(4711, 0, 40), "session_epoch": -1, "topics": topics}, version)

    def fetch_session(self):
        """A session: all partitions, then only what changed, then some forgotten, then closed."""
        version = self.random.randint(7, self.versions["fetch"][1])
        name = self.there()
        count = self.partitions.get(name, 1)
        forget = self.random.randrange(2)
        wrong_epoch = self.rarely(True, False, 4)

        def topic(**more):
            return dict(self.named(version, 13, name, "topic"), **more)

        def run(side):
            out, session = [], 0
            partitions = [{"partition": p, "fetch_offset": 0, "partition_max_bytes": 1048576} for p in range(count)]
            plan = [(0, [topic(partitions=partitions)], []), (1, [], []), (2, [], [topic(partitions=[0])] if forget else []),
                    (9 if wrong_epoch else 3, [], []), (-1, [], [])]
            for epoch, topics, forgotten in plan:
                values = {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 10485760, "isolation_level": 0, "session_id": session, "session_epoch": epoch,
                          "topics": topics, "forgotten_topics_data": forgotten}
                answer = side.ask("fetch", version, side.resolve(values, MISSING))
                if answer is not CLOSED and answer["session_id"]:
                    session = answer["session_id"]
                    side.know("session", "s", session)
                out.append(("fetch", version, {"epoch": epoch, "topic": name, "forgotten": bool(forgotten)}, answer))
            return out
        return run

    def list_offsets(self):
        version = self.version("list_offsets")
        name = self.rarely(self.topic(), self.there(), 12)
        times = () if name in self.cut | self.append_time else (0, 1000, 3000, 10**12, 2 * 10**12, *([] if name in self.timeless else [-3]))  # see README.md
        return self.one("list_offsets", {"replica_id": -1, "isolation_level": self.pick(0, 1), "timeout_ms": 5000, "topics": [
            {"name": name, "partitions": [{"partition_index": self.partition(name), "timestamp": self.pick(-1, -2, -4, -5, -6, -7, *times),
                                           "current_leader_epoch": self.rarely(self.pick(0, 3), -1, 6)}]}]}, version)

    def offset_for_leader_epoch(self):
        name = self.rarely(self.topic(), self.there(), 12)
        return self.one("offset_for_leader_epoch", {"replica_id": -1, "topics": [{"topic": name, "partitions": [
            {"partition": self.partition(name), "current_leader_epoch": self.rarely(self.pick(0, 3), -1, 4), "leader_epoch": self.pick(0, 0, 1, -1)}]}]})

    def delete_records(self):
        name = self.rarely(self.topic(), self.there(), 12)
        self.cut.add(name)
        return self.one("delete_records", {"timeout_ms": 5000, "topics": [{"name": name, "partitions": [
            {"partition_index": self.partition(name), "offset": self.pick(0, 1, 2, -1, -1, 1000, -2)}]}]})

    def describe_producers(self):
        name = self.rarely(self.prefix + "none", self.there(), 12)  # (of __consumer_offsets other seeds would show)
        return self.one("describe_producers", {"topics": [{"name": name, "partition_indexes": [self.partition(name)]}]})

    # -- groups --

    def group_of(self):
        return self.rarely(self.pick("" if self.alone else self.prefix + "unknown", self.prefix + "unknown"), self.random.choice(self.groups), 12)

    def join(self):
        """A new member joins a group; all members join again, the leader assigns, the others take what they get."""
        group = self.random.choice(self.groups)
        slots = self.members.setdefault(group, [])
        if len(slots) >= 3:
            return self.leave()
        slot = "%s/%d" % (group, self.random.randrange(10**9))
        others = list(slots)
        slots.append(slot)
        version = self.version("join_group")
        sync_version, beat_version = self.version("sync_group"), self.version("heartbeat")
        metadata = subscription(self.names[0])
        protocols = [{"name": n, "metadata": metadata} for n in self.pick(("range",), ("range", "roundrobin"), ("roundrobin", "range"))]
        request = {"group_id": group, "session_timeout_ms": 30000, "rebalance_timeout_ms": 30000, "protocol_type": "consumer", "protocols": protocols}

        def run(side):
            out = []
            first = dict(request, member_id="")
            version_of = {s: version for s in others + [slot]}
            if version >= 4:
                answer = side.ask("join_group", version, first, slot)
                out.append(("join_group", version, first, answer))
                if answer is CLOSED or answer["error_code"] != MEMBER_ID_REQUIRED:
                    return out
                side.know("member", slot, answer["member_id"])
                first = dict(request, member_id=answer["member_id"])
            side.send("join_group", version, first, slot)
            for other in others:  # they are told by their heartbeats, as real members are
                def told():
                    answer = side.ask("heartbeat", beat_version, side.resolve({"group_id": group, "generation_id": Ref("generation", group),
                                                                               "member_id": Ref("member", other)}, MISSING), other)
                    return answer["error_code"] != 0
                until("%s: %s sees the rebalance" % (side.name, other), told, SETTLE_TIMEOUT_S, 0.005)
                side.send("join_group", version, side.resolve(dict(request, member_id=Ref("member", other)), MISSING), other)
            leader = protocol = None
            for member in others + [slot]:
                answer = side.receive("join_group", version_of[member], member)
                out.append(("join_group", version, {"group_id": group, "member": member}, answer))
                if answer is not CLOSED and answer["error_code"] == 0:
                    side.know("member", member, answer["member_id"])
                    side.know("generation", group, answer["generation_id"])
                    leader, protocol = answer["leader"], answer["protocol_name"]
            for member in sorted(others + [slot], key=lambda m: side.values.get(("member", m)) != leader):
                mine = side.values.get(("member", member), "nobody")
                assignments = [{"member_id": side.values.get(("member", m), "nobody"), "assignment": assignment(self.names[0], i)}
                               for i, m in enumerate(others + [slot])]
                out.append(("sync_group", sync_version, {"group_id": group, "member": member}, side.ask("sync_group", sync_version, {
                    "group_id": group, "generation_id": side.values.get(("generation", group), -1), "member_id": mine, "protocol_type": "consumer", "protocol_name": protocol,
                    "assignments": assignments if mine == leader else []}, member)))
            return out
        return run

    def join_badly(self):
        group = self.group_of()
        return self.one("join_group", {"group_id": group, "session_timeout_ms": self.pick(1, 5999, 1800001, 30000), "rebalance_timeout_ms": 30000,
                                       "member_id": "unknown-member", "protocol_type": self.pick("consumer", "connect", ""),
                                       "protocols": self.pick([], [{"name": "range", "metadata": subscription(self.names[0])}], [{"name": "other", "metadata": subscription("")}])},
                        connection="bad")

    def a_member(self):
        everyone = [(g, s) for g, slots in sorted(self.members.items()) for s in slots]
        return self.random.choice(everyone) if everyone and self.random.randrange(6) else (self.group_of(), "none")

    def generation(self, group):
        return self.rarely(self.pick(-1, 0, 9999), Ref("generation", group), 5)

    def heartbeat(self):
        group, slot = self.a_member()
        return self.one("heartbeat", {"group_id": group, "generation_id": self.generation(group), "member_id": self.rarely("nobody", Ref("member", slot))})

    def sync_badly(self):
        group, slot = self.a_member()
        return self.one("sync_group", {"group_id": group, "generation_id": self.pick(-1, 9999), "member_id": self.pick("nobody", Ref("member", slot)),
                                       "protocol_type": self.pick(None, "consumer", "other"), "protocol_name": self.pick(None, "range", "none")})

    def leave(self):
        group, slot = self.a_member()
        version = self.version("leave_group")
        if slot in self.members.get(group, []):
            # The others would have to join again: everybody leaves.
            slots = self.members.pop(group)
        else:
            slots = [slot]
        steps = []
        for each in slots:
            values = {"group_id": group, "member_id": Ref("member", each), "members": [{"member_id": Ref("member", each)}]}
            steps.append(self.one("leave_group", values, version))

        def run(side):
            out = [found for step in steps for found in step(side)]
            for each in slots:
                side.close(each)
            return out
        return run

    def offset_commit(self):
        group, slot = self.a_member()
        version = self.version("offset_commit")
        simple = self.random.randrange(3) == 0
        name = self.rarely(self.topic(), self.there(), 8)
        offset = {"partition_index": self.partition(name), "committed_offset": self.pick(0, 5, 100, -1),
                  "committed_metadata": self.pick(None, "", "note", self.rarely("x" * 5000, "y"))}
        # Beside what is refused a good one: Kafka shows a group that it wrote nothing of once it has written something of another.
        offsets = [offset] if len(offset["committed_metadata"] or "") < 5000 else [offset, dict(offset, committed_metadata="")]
        return self.one("offset_commit", {"group_id": group, "generation_id_or_member_epoch": -1 if simple else self.generation(group),
                                          "member_id": "" if simple else Ref("member", slot), "topics": [{"name": name, "partitions": offsets}]}, version)

    def offset_fetch(self):
        version = self.version("offset_fetch")
        name = self.rarely(self.topic(), self.there(), 8)
        topics = self.pick(None, [{"name": name, "partition_indexes": [0, 1, 5]}]) if version >= 2 else [{"name": name, "partition_indexes": [0, 1, 5]}]
        group = self.group_of()
        return self.one("offset_fetch", {"group_id": group, "topics": topics, "groups": [{"group_id": g, "topics": topics} for g in sorted({group, self.group_of()})],
                                         "require_stable": self.rarely(True, False, 3)}, version)

    def offset_delete(self):
        name = self.rarely(self.topic(), self.there(), 8)
        return self.one("offset_delete", {"group_id": self.group_of(), "topics": [{"name": name, "partitions": [{"partition_index": self.partition(name)}]}]})

    def describe_groups(self):
        return self.one("describe_groups", {"groups": sorted({self.group_of(), self.group_of()}), "include_authorized_operations": self.rarely(True, False, 3)})

    def list_groups(self):
        return self.one("list_groups", {"states_filter": self.pick([], [], ["Stable"], ["Empty", "stable"], ["nonsense"]),
                                        "types_filter": self.pick([], [], ["classic"], ["Classic"], ["consumer"], ["nonsense"])})

    def delete_groups(self):
        return self.one("delete_groups", {"groups_names": sorted({self.group_of(), self.group_of()})})

    def find_coordinator(self):
        version = self.version("find_coordinator")
        keys = [self.group_of() for _ in range(self.pick(1, 2))]
        return self.one("find_coordinator", {"key": keys[0], "key_type": self.pick(0, 1, 0, 5, -1), "coordinator_keys": sorted(set(keys))}, version)

    # -- transactions --

    def txn(self):
        return self.rarely(self.pick("", self.prefix + "unknown"), self.random.choice(self.transactional), 25)

    def init_txn(self):
        name = self.txn()
        version = self.version("init_producer_id")
        keep = version >= 3 and self.random.randrange(3) == 0
        values = {"transactional_id": name, "transaction_timeout_ms": self.rarely(self.pick(0, -1, 10**9), 60000, 15)}
        if keep:
            values.update(producer_id=Ref("producer_id", name), producer_epoch=Ref("epoch", name, self.rarely(self.pick(-1, 1), 0)))
        ask = self.one("init_producer_id", values, version)

        def run(side):
            out = ask(side)
            if out[0][3] is not CLOSED and out[0][3]["error_code"] == 0:
                self.learn_producer(side, name, out[0][3])
            return out
        self.sequences = {k: v for k, v in self.sequences.items() if k[0] != name}
        self.in_txn.pop(name, None)
        return run

    def state_of(self, side, name):
        return side.ask("describe_transactions", 0, {"transactional_ids": [name]})["transaction_states"][0]["transaction_state"]

    def learn_producer(self, side, name, answer):
        side.know("producer_id", name, answer["producer_id"])
        side.know("epoch", name, answer["producer_epoch"])

    def producer_of(self, name):
        return {"producer_id": self.rarely(NOBODY, Ref("producer_id", name), 20), "producer_epoch": Ref("epoch", name, self.rarely(self.pick(-1, 1), 0, 12))}

    def add_partitions(self):
        name = self.txn()
        version = self.version("add_partitions_to_txn")
        topic = self.rarely(self.topic(), self.there(), 12)
        partition = self.partition(topic)
        producer = self.producer_of(name)
        topics = [{"name": topic, "partitions": [partition]}]
        self.in_txn.setdefault(name, set()).add((topic, partition))
        return self.one("add_partitions_to_txn", {
            "transactions": [dict(producer, transactional_id=name, verify_only=self.rarely(True, False, 4), topics=topics)],
            "v3_and_below_transactional_id": name, "v3_and_below_producer_id": producer["producer_id"],
            "v3_and_below_producer_epoch": producer["producer_epoch"], "v3_and_below_topics": topics}, version)

    def produce_transactional(self):
        name = self.random.choice(self.transactional)
        added = sorted(self.in_txn.get(name, ()))
        topic, partition = self.random.choice(added) if added and self.random.randrange(4) else (self.there(), 0)
        version = self.random.randint(3, 13)
        key = name, topic, partition
        sequence = self.sequences.get(key, 0)
        self.sequences[key] = sequence + 1

        def run(side):
            if ("producer_id", name) not in side.values:
                return []
            made = batch.build([batch.record(0, b"k", b"t")], producer_id=side.values["producer_id", name],
                               producer_epoch=side.values["epoch", name], sequence=sequence, attributes=16)
            return self.one("produce", self.produce_request(version, topic, partition, made, transactional_id=name), version)(side)
        return run

    def add_offsets(self):
        name = self.txn()
        return self.one("add_offsets_to_txn", dict(self.producer_of(name), transactional_id=name, group_id=self.group_of()))

    def txn_offset_commit(self):
        name = self.txn()
        group, slot = self.a_member()
        topic = self.there()
        simple = self.random.randrange(2)
        return self.one("txn_offset_commit", dict(self.producer_of(name), transactional_id=name, group_id=group,
                                                  generation_id=-1 if simple else self.generation(group), member_id="" if simple else Ref("member", slot),
                                                  topics=[{"name": topic, "partitions": [{"partition_index": self.partition(topic), "committed_offset": self.pick(1, 9),
                                                                                          "committed_metadata": self.pick(None, "t")}]}]))

    def end_txn(self):
        name = self.txn()
        version = self.version("end_txn")
        producer = self.producer_of(name)
        ask = self.one("end_txn", dict(producer, transactional_id=name, committed=self.pick(True, False)), version)
        # Of version 5 and with the epoch before the present one, it is the repeat of an end of version 5: see README.md.
        late = version >= 5 and producer["producer_epoch"].add < 0

        def run(side):
            if late and self.ended.get(name, 5) < 5:
                return []
            out = ask(side)
            if out[0][3] is not CLOSED and out[0][3]["error_code"] == 0:
                self.ended[name] = version
                if version >= 5:
                    self.learn_producer(side, name, out[0][3])

                until("%s: the transaction is complete" % side.name, lambda: not self.state_of(side, name).startswith("Prepare"), SETTLE_TIMEOUT_S, 0.002)
            return out
        if version >= 5:
            self.sequences = {k: v for k, v in self.sequences.items() if k[0] != name}
        self.in_txn.pop(name, None)
        return run

    def describe_transactions(self):
        return self.one("describe_transactions", {"transactional_ids": sorted({self.txn(), self.txn()})})

    def list_transactions(self):
        return self.one("list_transactions", {"state_filters": self.pick([], ["Ongoing"], ["CompleteCommit", "nonsense"]), "duration_filter": -1})

    # -- administration --

    def resource(self):
        name = self.rarely(self.topic(), self.there(), 8)
        return self.pick((2, name), (2, name), (2, name), (4, self.pick("1", "", "x", "9")), (self.pick(0, 99), "x"))

    def describe_configs(self):
        kind, name = self.resource()
        keys = self.pick(["retention.ms", "cleanup.policy"], ["compression.type"], ["max.message.bytes", "unknown"], ["segment.bytes", "min.insync.replicas"], [])
        if kind == 4 or not keys:
            keys = ["num.partitions", "retention.ms"]
        return self.one("describe_configs", {"resources": [{"resource_type": kind, "resource_name": name, "configuration_keys": keys}],
                                             "include_synonyms": self.pick(True, False), "include_documentation": False})

    def setting(self):
        return self.pick(("retention.ms", "100000"), ("retention.ms", "-1"), ("retention.ms", "many"), ("cleanup.policy", "compact"), ("cleanup.policy", "delete"),
                         ("segment.bytes", "1048576"), ("unknown", "1"), ("min.insync.replicas", "1"), ("delete.retention.ms", "-5"), ("flush.ms", "1000"))

    def alter_configs(self):
        name = self.rarely(self.topic(), self.there(), 8)
        return self.one("alter_configs", {"resources": [{"resource_type": self.rarely(0, 2, 12), "resource_name": name, "configs": [
            {"name": k, "value": v} for k, v in [self.setting()]]}], "validate_only": self.rarely(True, False, 4)})

    def incremental_alter_configs(self):
        name = self.rarely(self.topic(), self.there(), 8)
        key, value = self.setting()
        return self.one("incremental_alter_configs", {"resources": [{"resource_type": self.rarely(0, 2, 12), "resource_name": name, "configs": [
            {"name": key, "config_operation": self.pick(0, 0, 1, 2, 3), "value": self.rarely(None, value)}]}], "validate_only": self.rarely(True, False, 4)})

    def plain(self):
        """Requests that ask for a whole picture, or for what is switched off."""
        name = self.there()
        part = self.partition(name)
        everything = {"resource_type_filter": 1, "pattern_type_filter": 1, "operation": 1, "permission_type": 1}
        everyone = {} if self.alone else {"resource_name_filter": self.prefix + "t"}
        api, values = self.pick(
            ("describe_cluster", {"include_cluster_authorized_operations": self.pick(True, False), "endpoint_type": self.pick(1, 1, 2, 7)}),
            ("describe_topic_partitions", {"topics": [{"name": n} for n in sorted({name, self.topic() or name})], "response_partition_limit": self.pick(1, 2000)}),
            ("describe_log_dirs", {"topics": [{"topic": name, "partitions": [0]}]}),
            ("elect_leaders", {"election_type": self.pick(0, 1), "topic_partitions": [{"topic": name, "partitions": [part]}], "timeout_ms": 1000}),
            ("list_partition_reassignments", {"topics": [{"name": name, "partition_indexes": [part]}], "timeout_ms": 1000}),
            ("alter_partition_reassignments", {"topics": [{"name": name, "partitions": [{"partition_index": part, "replicas": self.pick(None, [1], [9], [])}]}], "timeout_ms": 1000}),
            ("alter_replica_log_dirs", {"dirs": [{"path": "/nowhere", "topics": [{"name": name, "partitions": [part]}]}]}),
            ("describe_acls", dict(everything, **everyone)),
            ("create_acls", {"creations": [{"resource_type": 2, "resource_name": self.prefix + "t", "resource_pattern_type": 3, "principal": "User:a", "host": "*", "operation": 3, "permission_type": 3}]}),
            ("delete_acls", {"filters": [dict(everything, **everyone)]}),
            ("describe_client_quotas", {"components": [{"entity_type": "client-id", "match_type": 0, "match": self.prefix + "client"}], "strict": self.pick(True, False)}),
            ("alter_client_quotas", {"entries": [{"entity": [{"entity_type": self.pick("client-id", "nonsense"), "entity_name": self.prefix + "client"}], "ops": [
                {"key": self.pick("producer_byte_rate", "nonsense"), "value": 1048576.0, "remove": self.pick(True, False)}]}], "validate_only": self.pick(True, False)}),
            ("describe_user_scram_credentials", {"users": [{"name": self.prefix + "user"}]}),
            ("alter_user_scram_credentials", {"deletions": [{"name": self.prefix + "user", "mechanism": self.pick(1, 2, 9)}], "upsertions": []}),
            ("create_delegation_token", {"renewers": [], "max_lifetime_ms": -1}),
            ("describe_delegation_token", {"owners": None}),
            ("list_config_resources", {"resource_types": self.pick([16], [32])}),
            ("sasl_handshake", {"mechanism": "PLAIN"}),
        )
        return self.one(api, values, connection="plain" if api == "sasl_handshake" else "main") if api in self.versions else (lambda side: [])

    # -- what no client sends --

    def wrong_version(self):
        api = self.random.choice(sorted(self.versions))
        version = self.pick(*self.versions[api])
        bad = self.pick(-1, 99, 32767)

        def spoil(frame):
            return frame[:2] + bad.to_bytes(2, "big", signed=True) + frame[4:]

        def run(side):
            out = [(api, bad, {}, side.ask(api, version if api != "api_versions" else 0, {}, "wrong", spoil))]
            side.close("wrong")
            return out
        return run

    def cut_short(self):
        api, values = self.pick(("metadata", {"topics": [{"name": self.names[0]}]}), ("heartbeat", {"group_id": "g", "generation_id": 1, "member_id": "m"}),
                                ("list_offsets", {"replica_id": -1, "topics": [{"name": self.names[0], "partitions": [{"partition_index": 0, "timestamp": -1}]}]}),
                                ("describe_groups", {"groups": ["a", "b"]}), ("find_coordinator", {"key": "k", "coordinator_keys": ["k"]}),
                                ("offset_fetch", {"group_id": "g", "topics": [{"name": "t", "partition_indexes": [0]}], "groups": [{"group_id": "g", "topics": None}]}))
        version = self.version(api)
        by = self.random.randint(1, 6)

        def run(side):
            out = [(api, version, {"cut by": by}, side.ask(api, version, values, "cut", lambda frame: frame[:-by]))]
            side.close("cut")
            return out
        return run

    def next(self):
        maker = self.random.choices([s for s, _ in self.steps], [w for _, w in self.steps])[0]
        return maker.__name__, maker()


WEIGHTS = {"step_" + name: weight for name, weight in {
    "create_topics": 6, "delete_topics": 2, "create_partitions": 2, "metadata": 4, "produce": 14, "init_producer": 2, "produce_idempotent": 10, "fetch": 10,
    "fetch_session": 2, "list_offsets": 6, "offset_for_leader_epoch": 2, "delete_records": 2, "describe_producers": 2, "join": 4, "join_badly": 2, "heartbeat": 3,
    "sync_badly": 2, "leave": 2, "offset_commit": 6, "offset_fetch": 5, "offset_delete": 2, "describe_groups": 3, "list_groups": 2, "delete_groups": 2,
    "find_coordinator": 2, "init_txn": 4, "add_partitions": 5, "produce_transactional": 6, "add_offsets": 2, "txn_offset_commit": 4, "end_txn": 4,
    "describe_transactions": 2, "list_transactions": 1, "describe_configs": 3, "alter_configs": 2, "incremental_alter_configs": 3, "plain": 6,
    "wrong_version": 1, "cut_short": 2, **wider.WEIGHTS}.items()}
