"""aiokafka against a broker. Arguments: BOOTSTRAP PREFIX."""
import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata

from check import BOOTSTRAP, PREFIX, equal, feature_async, version


async def topic(name, partitions=1, **configs):
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs={k.replace("_", "."): v for k, v in configs.items()})])
        return answer.topic_errors[0][1]
    finally:
        await admin.close()


async def producer(**more):
    made = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", **more)
    await made.start()
    return made


async def reader(partition=None, **more):
    consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", **more)
    await consumer.start()
    if partition:
        consumer.assign([partition])
    return consumer


async def read(consumer, count, timeout_s=20):
    loop = asyncio.get_running_loop()
    out, deadline = [], loop.time() + timeout_s
    while len(out) < count and loop.time() < deadline:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            out += records
    return out


async def records():
    name = PREFIX + "-records"
    await topic(name, 2)
    p = await producer()
    sent = await p.send_and_wait(name, b"value", b"key", 1, 1234567890123, [("a", b"1"), ("e", b"")])
    equal("offset", sent.offset, 0)
    await p.send_and_wait(name, None, b"tombstone", 1)
    await p.stop()
    c = await reader(TopicPartition(name, 1))
    got = await read(c, 2)
    equal("key, value, time", (got[0].key, got[0].value, got[0].timestamp), (b"key", b"value", 1234567890123))
    equal("headers", list(got[0].headers), [("a", b"1"), ("e", b"")])
    equal("tombstone", got[1].value, None)
    await c.stop()


async def codecs():
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        name = PREFIX + "-codec-" + codec
        await topic(name)
        p = await producer(compression_type=codec, linger_ms=20)
        for i in range(500):
            await p.send(name, b"value of the record %d" % i)
        await p.stop()
        c = await reader(TopicPartition(name, 0))
        equal(codec, len(await read(c, 500)), 500)
        await c.stop()


async def offsets():
    name = PREFIX + "-offsets"
    await topic(name)
    p = await producer()
    for i in range(100):
        await p.send(name, b"%d" % i, timestamp_ms=1000 + i)
    await p.stop()
    partition = TopicPartition(name, 0)
    c = await reader(partition)
    equal("ends", ((await c.beginning_offsets([partition]))[partition], (await c.end_offsets([partition]))[partition]), (0, 100))
    equal("by time", (await c.offsets_for_times({partition: 1042}))[partition].offset, 42)
    c.seek(partition, 90)
    equal("seek", (await read(c, 10))[0].value, b"90")
    await c.stop()


async def groups():
    name, group = PREFIX + "-groups", PREFIX + "-group"
    await topic(name, 4)
    members = []
    for _ in range(2):
        members.append(AIOKafkaConsumer(name, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                                        metadata_max_age_ms=1000, session_timeout_ms=10000, heartbeat_interval_ms=500))
    await asyncio.gather(*(m.start() for m in members))
    values, loop = [], asyncio.get_running_loop()
    deadline = loop.time() + 60

    async def poll_until(condition):
        while not condition():
            assert loop.time() < deadline, "not in time: %s, %d values" % ([len(m.assignment()) for m in members], len(values))
            for m in members:
                for found in (await m.getmany(timeout_ms=100)).values():
                    values.extend(r.value for r in found)

    await poll_until(lambda: [len(m.assignment()) for m in members] == [2, 2])
    p = await producer()
    for i in range(200):
        await p.send(name, b"%d" % i, partition=i % 4)
    await p.stop()
    await poll_until(lambda: len(values) >= 200)
    equal("each once", (len(values), len(set(values))), (200, 200))
    for m in members:
        await m.commit()
    await members.pop().stop()
    await poll_until(lambda: len(members[0].assignment()) == 4)
    equal("committed", [await members[0].committed(TopicPartition(name, q)) for q in range(4)], [50] * 4)
    await members[0].stop()


async def idempotence():
    name = PREFIX + "-idempotence"
    await topic(name)
    p = await producer(enable_idempotence=True)
    sent = [await p.send(name, b"v") for _ in range(300)]
    equal("offsets", [(await s).offset for s in sent], list(range(300)))
    await p.stop()


async def transactions():
    name, group = PREFIX + "-txn", PREFIX + "-txn-group"
    await topic(name)
    p = await producer(transactional_id=PREFIX + "-txn")
    for round_ in range(6):
        await p.begin_transaction()
        for _ in range(5):
            await p.send_and_wait(name, b"%d" % round_)
        await p.send_offsets_to_transaction({TopicPartition(name, 0): OffsetAndMetadata(round_ + 1, "")}, group)
        await (p.abort_transaction() if round_ % 2 else p.commit_transaction())
    await p.stop()
    c = await reader(TopicPartition(name, 0), isolation_level="read_committed")
    equal("read_committed", [r.value for r in await read(c, 16, 4)], [b"0"] * 5 + [b"2"] * 5 + [b"4"] * 5)
    await c.stop()
    c = await reader(TopicPartition(name, 0))
    equal("read_uncommitted", len(await read(c, 31, 4)), 30)
    await c.stop()


async def admin():
    name, group = PREFIX + "-admin", PREFIX + "-admin-group"
    equal("created", await topic(name, 2, retention_ms="3600000"), 0)
    equal("exists", await topic(name, 2), TopicAlreadyExistsError.errno)
    a = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await a.start()
    await a.create_partitions({name: NewPartitions(4)})
    equal("partitions", len((await a.describe_topics([name]))[0]["partitions"]), 4)
    await a.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "7200000"})])
    got = await a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    assert "7200000" in str(got), got
    p = await producer()
    for _ in range(10):
        await p.send_and_wait(name, b"v", partition=0)
    await p.stop()
    c = AIOKafkaConsumer(name, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest")
    await c.start()
    equal("read", len(await read(c, 10)), 10)
    await c.stop()
    assert group in str(await a.list_consumer_groups())
    assert (await a.list_consumer_group_offsets(group))[TopicPartition(name, 0)].offset == 10
    await a.describe_consumer_groups([group])
    await a.describe_cluster()
    await a.delete_topics([name])
    assert name not in await a.list_topics()
    await a.close()


async def main():
    version(aiokafka.__version__)
    for body in (records, codecs, offsets, groups, idempotence, transactions, admin):
        await feature_async(body.__name__, body)


asyncio.run(main())
