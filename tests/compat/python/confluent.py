"""confluent-kafka, that is librdkafka, from 2.0.2 to the newest, against a broker. Arguments: BOOTSTRAP PREFIX."""
import threading
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka import admin as administration
from confluent_kafka.admin import AclBinding, AclBindingFilter, AdminClient, ConfigResource, NewPartitions, NewTopic

from check import BOOTSTRAP, PREFIX, equal, feature, until, version

NEW = tuple(int(part) for part in confluent_kafka.__version__.split(".")[:2]) >= (2, 11)
BASE = {"bootstrap.servers": BOOTSTRAP}
TIMEOUT_S = 20
admin = AdminClient(BASE)


def done(futures):
    return {key: future.result(TIMEOUT_S) for key, future in futures.items()}


def refused(what, code, call):
    """The call fails with that error of Kafka's."""
    try:
        call()
    except KafkaException as e:
        equal(what, e.args[0].name(), code)
        return
    raise AssertionError("%s: not refused" % what)


def topic(name, partitions=1, **configs):
    done(admin.create_topics([NewTopic(name, partitions, 1, config={k.replace("_", "."): v for k, v in configs.items()})]))


def producer(**more):
    return Producer(dict(BASE, **{k.replace("_", "."): v for k, v in more.items()}))


def send(made, name, values, **more):
    """Sends and waits; returns the delivered messages."""
    delivered = []

    def report(error, message):
        delivered.append(error or message)
    for value in values:
        made.produce(name, value, on_delivery=report, **more)
        made.poll(0)
    equal("left unsent", made.flush(TIMEOUT_S), 0)
    return delivered


def reader(group, *partitions, **more):
    conf = dict(BASE, **{"group.id": PREFIX + "-" + group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    conf.update({k.replace("_", "."): v for k, v in more.items()})
    made = Consumer(conf)
    if partitions:
        made.assign(list(partitions))
    return made


def read(made, count, timeout_s=TIMEOUT_S):
    out, deadline = [], time.monotonic() + timeout_s
    while len(out) < count and time.monotonic() < deadline:
        for message in made.consume(500, 0.2):
            if message.error():
                raise KafkaException(message.error())
            out.append(message)
    return out


def records():
    name = PREFIX + "-records"
    topic(name, 2)
    p = producer(acks="all")
    sent = send(p, name, [b"value"], key=b"key", partition=1, timestamp=1234567890123, headers=[("a", b"1"), ("n", None), ("a", b"")])
    equal("offset", (sent[0].partition(), sent[0].offset()), (1, 0))
    send(p, name, [None], key=b"tombstone", partition=1)
    send(p, name, [b""], partition=1)
    c = reader("records", TopicPartition(name, 1, 0))
    got = read(c, 3)
    equal("key, value, time", (got[0].key(), got[0].value(), got[0].timestamp()), (b"key", b"value", (1, 1234567890123)))
    equal("headers", got[0].headers(), [("a", b"1"), ("n", None), ("a", b"")])
    equal("tombstone", (got[1].key(), got[1].value()), (b"tombstone", None))
    equal("empty", (got[2].key(), got[2].value(), got[2].offset()), (None, b"", 2))
    c.close()
    topic(name + "-broker-time", message_timestamp_type="LogAppendTime")
    send(p, name + "-broker-time", [b"v"], timestamp=1000)
    c = reader("records", TopicPartition(name + "-broker-time", 0, 0))
    kind, at = read(c, 1)[0].timestamp()
    equal("time of the append", (kind, at > 1700000000000), (2, True))
    c.close()


def codecs():
    values = [b"value of the record %d" % i for i in range(500)]
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        name = PREFIX + "-codec-" + codec
        topic(name)
        send(producer(compression_type=codec, linger_ms=50), name, values)
        c = reader("codec", TopicPartition(name, 0, 0))
        equal(codec, [m.value() for m in read(c, 500)], values)
        c.close()


def large():
    name = PREFIX + "-large"
    topic(name, max_message_bytes="6000000")
    p = producer(message_max_bytes=20000000)
    value = bytes(range(256)) * 19532
    equal("delivered", send(p, name, [value])[0].offset(), 0)
    equal("too large", send(p, name, [value + value])[0].name(), "MSG_SIZE_TOO_LARGE")
    c = reader("large", TopicPartition(name, 0, 0))
    equal("5 MB", read(c, 1)[0].value() == value, True)
    c.close()


def offsets():
    name = PREFIX + "-offsets"
    topic(name)
    p = producer()
    for i in range(100):
        p.produce(name, b"%d" % i, timestamp=1000 + i)
    equal("left unsent", p.flush(TIMEOUT_S), 0)
    partition = TopicPartition(name, 0)
    c = reader("offsets", TopicPartition(name, 0, 0))
    equal("ends", c.get_watermark_offsets(partition, TIMEOUT_S), (0, 100))
    equal("by time", c.offsets_for_times([TopicPartition(name, 0, 1042)], TIMEOUT_S)[0].offset, 42)
    equal("after all", c.offsets_for_times([TopicPartition(name, 0, 5000)], TIMEOUT_S)[0].offset, -1)
    equal("first", read(c, 1)[0].value(), b"0")
    c.seek(TopicPartition(name, 0, 90))
    equal("seek", read(c, 10)[0].value(), b"90")
    c.commit(offsets=[TopicPartition(name, 0, 7, "why")], asynchronous=False)
    found = c.committed([partition], TIMEOUT_S)[0]
    equal("committed with its text", (found.offset, getattr(found, "metadata", "why")), (7, "why"))
    c.close()
    c = reader("offsets-out", TopicPartition(name, 0, 1000), auto_offset_reset="error")
    refused("out of range", "_AUTO_OFFSET_RESET", lambda: read(c, 1))
    c.close()


class Member(threading.Thread):
    """A member of a group with a thread of its own; it commits what it read before it polls again."""

    def __init__(self, group, name, conf):
        super().__init__(daemon=True)
        self.consumer = reader(group, **conf)
        self.name_of_topic, self.cooperative = name, conf.get("partition_assignment_strategy") == "cooperative-sticky"
        self.values, self.errors, self.shares, self.taken_all = [], [], 0, 0
        self.leaving = threading.Event()
        self.start()

    def on_revoke(self, _, partitions):
        if len(partitions) == self.shares:
            self.taken_all += 1

    def run(self):
        self.consumer.subscribe([self.name_of_topic], on_revoke=self.on_revoke)
        while not self.leaving.is_set():
            got = self.consumer.consume(100, 0.1)
            self.errors += [m.error() for m in got if m.error()]
            self.values += [m.value() for m in got if not m.error()]
            if got:
                self.consumer.commit(asynchronous=False)
            self.shares = len(self.consumer.assignment())
        self.taken_before_close = self.taken_all
        self.consumer.close()

    def leave(self):
        self.leaving.set()
        self.join(30)


def share(kind, **conf):
    """Two members share four partitions; who stays takes over; what was committed is kept."""
    name, group = PREFIX + "-groups-" + kind, "group-" + kind
    topic(name, 4)
    one = Member(group, name, conf)
    until("four partitions for the first", lambda: one.shares == 4)
    two = Member(group, name, conf)
    until("two partitions each", lambda: (one.shares, two.shares) == (2, 2))
    described = done(admin.describe_consumer_groups([PREFIX + "-" + group]))[PREFIX + "-" + group]
    equal("described", (described.state.name, sorted(len(m.assignment.topic_partitions) for m in described.members)), ("STABLE", [2, 2]))
    p = producer()
    for i in range(200):
        p.produce(name, b"%d" % i, partition=i % 4)
    equal("left unsent", p.flush(TIMEOUT_S), 0)
    until("all records", lambda: len(one.values) + len(two.values) >= 200)
    two.leave()
    until("all partitions for who stays", lambda: one.shares == 4)
    one.leave()
    equal("errors", one.errors + two.errors, [])
    equal("each once", (len(one.values + two.values), len(set(one.values + two.values))), (200, 200))
    if one.cooperative:
        equal("the first never gave up everything", one.taken_before_close, 0)
    late = reader(group)
    equal("committed", [c.offset for c in late.committed([TopicPartition(name, q) for q in range(4)], TIMEOUT_S)], [50] * 4)
    late.close()


def groups():
    share("range", session_timeout_ms=10000, heartbeat_interval_ms=300)


def cooperative():
    share("cooperative", session_timeout_ms=10000, heartbeat_interval_ms=300, partition_assignment_strategy="cooperative-sticky")


def idempotence():
    name = PREFIX + "-idempotence"
    topic(name)
    sent = send(producer(enable_idempotence=True, batch_num_messages=10, linger_ms=0), name, [b"%d" % i for i in range(2000)])
    equal("offsets", [m.offset() for m in sent], list(range(2000)))
    c = reader("idempotence", TopicPartition(name, 0, 0))
    equal("read", [m.value() for m in read(c, 2000)], [b"%d" % i for i in range(2000)])
    c.close()


def transactions():
    name, output, group = PREFIX + "-txn", PREFIX + "-txn-out", "txn-group"
    topic(name, 2)
    topic(output)
    p = producer(transactional_id=PREFIX + "-txn-id")
    p.init_transactions(TIMEOUT_S)
    for round_ in range(6):
        p.begin_transaction()
        for i in range(10):
            p.produce(name, b"%d" % round_, partition=i % 2)
        p.abort_transaction(TIMEOUT_S) if round_ % 2 else p.commit_transaction(TIMEOUT_S)
    both = [TopicPartition(name, q, 0) for q in (0, 1)]
    c = reader("txn-committed", *both, isolation_level="read_committed")
    equal("read_committed", sorted(m.value() for m in read(c, 31, 4)), [b"0"] * 10 + [b"2"] * 10 + [b"4"] * 10)
    c.close()
    c = reader("txn-group", isolation_level="read_committed", session_timeout_ms=10000)
    c.subscribe([name])
    moved, deadline = 0, time.monotonic() + 60
    while moved < 30:
        assert time.monotonic() < deadline, "not in time: %d of 30 records" % moved
        got = c.consume(7, 0.2)
        if not got:
            continue
        p.begin_transaction()
        for m in got:
            p.produce(output, m.value())
        p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), TIMEOUT_S)
        p.commit_transaction(TIMEOUT_S)
        moved += len(got)
    committed = c.committed([TopicPartition(name, q) for q in (0, 1)], TIMEOUT_S)
    assert all(x.offset >= 15 for x in committed), committed
    c.close()
    c = reader("txn-out", TopicPartition(output, 0, 0), isolation_level="read_committed")
    equal("consume, transform, produce", len(read(c, 31, 4)), 30)
    c.close()
    second = producer(transactional_id=PREFIX + "-txn-id")
    second.init_transactions(TIMEOUT_S)
    p.begin_transaction()
    p.produce(output, b"of the fenced one")

    def commit():
        p.commit_transaction(TIMEOUT_S)
    refused("the first is fenced", "_FENCED", commit)


def resource(name, **more):
    return ConfigResource(ConfigResource.Type.TOPIC, name, **more)


def administer():
    name, group = PREFIX + "-admin", PREFIX + "-admin-group"
    a = admin
    done(a.create_topics([NewTopic(name + "-tried", 1, 1)], validate_only=True))
    topic(name, 2, retention_ms="3600000")
    refused("a topic twice", "TOPIC_ALREADY_EXISTS", lambda: topic(name, 2))
    refused("a bad value", "INVALID_CONFIG", lambda: topic(name + "-bad", 1, retention_ms="soon"))
    refused("an unknown topic", "UNKNOWN_TOPIC_OR_PART", lambda: done(a.delete_topics([name + "-tried"])))
    done(a.create_partitions([NewPartitions(name, 4)]))
    refused("fewer partitions", "INVALID_PARTITIONS", lambda: done(a.create_partitions([NewPartitions(name, 3)])))
    listed = a.list_topics(timeout=TIMEOUT_S)
    equal("partitions", len(listed.topics[name].partitions), 4)
    equal("cluster", (len(listed.brokers), listed.controller_id in listed.brokers, bool(listed.cluster_id)), (1, True, True))
    equal("retention.ms", done(a.describe_configs([resource(name)])).popitem()[1]["retention.ms"].value, "3600000")
    done(a.alter_configs([resource(name, set_config={"retention.ms": "7200000"})]))
    described = done(a.describe_configs([resource(name)])).popitem()[1]
    equal("retention.ms", (described["retention.ms"].value, described["retention.ms"].is_default, described["cleanup.policy"].value),
          ("7200000", False, "delete"))
    broker = ConfigResource(ConfigResource.Type.BROKER, str(listed.controller_id))
    assert "log.retention.ms" in done(a.describe_configs([broker])).popitem()[1]
    send(producer(), name, [b"v"] * 10, partition=0)
    c = reader("admin-group", session_timeout_ms=10000)
    c.subscribe([name])
    equal("read", len(read(c, 10)), 10)
    c.commit(asynchronous=False)
    groups_listed = a.list_consumer_groups().result(TIMEOUT_S)
    assert group in [g.group_id for g in groups_listed.valid] and not groups_listed.errors, groups_listed
    old = [g for g in a.list_groups(timeout=TIMEOUT_S) if g.id == group][0]
    equal("group, by the old request", (old.state, old.protocol_type, len(old.members)), ("Stable", "consumer", 1))
    member = done(a.describe_consumer_groups([group]))[group].members[0]
    equal("member", (member.host.lstrip("/"), len(member.assignment.topic_partitions)), ("127.0.0.1", 4))
    asked = confluent_kafka.ConsumerGroupTopicPartitions
    busy = done(a.alter_consumer_group_offsets([asked(group, [TopicPartition(name, 0, 3)])]))[group].topic_partitions
    equal("offsets of a busy group", busy[0].error.name(), "UNKNOWN_MEMBER_ID")
    refused("a busy group", "NON_EMPTY_GROUP", lambda: done(a.delete_consumer_groups([group])))
    c.close()
    found = done(a.list_consumer_group_offsets([asked(group)]))[group].topic_partitions
    equal("offsets", sorted((t.partition, t.offset) for t in found)[0], (0, 10))
    done(a.alter_consumer_group_offsets([asked(group, [TopicPartition(name, 0, 3)])]))
    found = done(a.list_consumer_group_offsets([asked(group, [TopicPartition(name, 0)])]))[group].topic_partitions
    equal("altered", found[0].offset, 3)
    done(a.delete_consumer_groups([group]))
    refused("a group that is gone", "GROUP_ID_NOT_FOUND", lambda: done(a.delete_consumer_groups([group])))
    if hasattr(a, "incremental_alter_configs"):
        administer_new(a, name)
    access(a)
    done(a.delete_topics([name]))
    until("deleted", lambda: name not in a.list_topics(timeout=TIMEOUT_S).topics)


def administer_new(a, name):
    """What librdkafka learnt after 2.0.2."""
    from confluent_kafka import ElectionType, IsolationLevel, TopicCollection
    Entry, Op, Spec = administration.ConfigEntry, administration.AlterConfigOpType, administration.OffsetSpec

    def change(option, value, operation):
        done(a.incremental_alter_configs([resource(name, incremental_configs=[Entry(option, value, incremental_operation=operation)])]))
    change("cleanup.policy", "compact", Op.APPEND)
    change("retention.ms", "1800000", Op.SET)
    got = done(a.describe_configs([resource(name)])).popitem()[1]
    equal("incremental", (got["cleanup.policy"].value, got["retention.ms"].value), ("delete,compact", "1800000"))
    change("cleanup.policy", "compact", Op.SUBTRACT)
    change("retention.ms", None, Op.DELETE)
    got = done(a.describe_configs([resource(name)])).popitem()[1]
    equal("taken back", (got["cleanup.policy"].value, got["retention.ms"].is_default), ("delete", True))
    described = done(a.describe_topics(TopicCollection([name]), include_authorized_operations=True))[name]
    equal("described", (len(described.partitions), described.is_internal), (4, False))
    cluster = a.describe_cluster(include_authorized_operations=True).result(TIMEOUT_S)
    equal("cluster", (len(cluster.nodes), cluster.controller.id), (1, cluster.nodes[0].id))
    wanted = {TopicPartition(name, 0): Spec.earliest(), TopicPartition(name, 1): Spec.latest()}
    ends = done(a.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED))
    equal("ends", sorted(e.offset for e in ends.values()), [0, 0])
    last = done(a.list_offsets({TopicPartition(name, 0): Spec.max_timestamp()})).popitem()[1]
    assert 0 <= last.offset < 10, last.offset
    equal("deleted up to", done(a.delete_records([TopicPartition(name, 0, 4)])).popitem()[1].low_watermark, 4)
    user = administration
    done(a.alter_user_scram_credentials([user.UserScramCredentialUpsertion(
        PREFIX + "-user", user.ScramCredentialInfo(user.ScramMechanism.SCRAM_SHA_256, 4096), b"password")]))
    scram = done(a.describe_user_scram_credentials([PREFIX + "-user"]))[PREFIX + "-user"].scram_credential_infos
    equal("credentials", [(s.mechanism.name, s.iterations) for s in scram], [("SCRAM_SHA_256", 4096)])
    done(a.alter_user_scram_credentials([user.UserScramCredentialDeletion(PREFIX + "-user", user.ScramMechanism.SCRAM_SHA_256)]))
    elected = a.elect_leaders(ElectionType.PREFERRED, [TopicPartition(name, 0)]).result(TIMEOUT_S)
    equal("elected", [e.name() for e in elected.values() if e], ["ELECTION_NOT_NEEDED"])


def access(a):
    kind, pattern, right, effect = (administration.ResourceType, administration.ResourcePatternType, administration.AclOperation,
                                    administration.AclPermissionType)
    rule = AclBinding(kind.TOPIC, PREFIX + "-rule", pattern.PREFIXED, "User:someone", "*", right.READ, effect.ALLOW)
    asked = AclBindingFilter(kind.TOPIC, PREFIX + "-rule", pattern.ANY, None, None, right.ANY, effect.ANY)
    done(a.create_acls([rule]))
    equal("access rules", a.describe_acls(asked).result(TIMEOUT_S), [rule])
    equal("removed", done(a.delete_acls([asked]))[asked], [rule])
    equal("none left", a.describe_acls(asked).result(TIMEOUT_S), [])


def consumer_protocol():
    share("consumer", group_protocol="consumer")
    name, group = PREFIX + "-pattern", PREFIX + "-group-pattern"
    for i in range(2):
        topic("%s-%d" % (name, i), 2)
    c = reader("group-pattern", group_protocol="consumer")
    c.subscribe(["^%s-.*" % name])
    until("the topics of a pattern", lambda: c.poll(0.1) is None and len(c.assignment()) == 4)
    topic(name + "-2", 2)
    until("a topic that came later", lambda: c.poll(0.1) is None and len(c.assignment()) == 6)
    kinds = [g.type.name for g in admin.list_consumer_groups().result(TIMEOUT_S).valid if g.group_id == group]
    equal("type", kinds, ["CONSUMER"])
    c.close()


version("%s, librdkafka %s" % (confluent_kafka.__version__, confluent_kafka.libversion()[0]))
feature("records", records)
feature("codecs", codecs)
feature("large", large)
feature("offsets", offsets)
feature("groups", groups)
feature("cooperative", cooperative)
feature("idempotence", idempotence)
feature("transactions", transactions)
feature("admin", administer)
if NEW:
    feature("consumer_protocol", consumer_protocol)
