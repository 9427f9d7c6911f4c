// kafkajs against a broker. Arguments: BOOTSTRAP PREFIX; run in the folder of the installed packages.
import { createRequire } from 'node:module';
import { bootstrap, prefix, version, feature, equal, until } from './check.mjs';

const load = createRequire(process.cwd() + '/');
const { Kafka, CompressionTypes, CompressionCodecs, logLevel, ConfigResourceTypes } = load('kafkajs');
CompressionCodecs[CompressionTypes.Snappy] = load('kafkajs-snappy');

const kafka = new Kafka({ clientId: 'compat', brokers: [bootstrap], logLevel: logLevel.NOTHING });
const admin = kafka.admin();

async function topic(name, numPartitions) {
  await admin.createTopics({ topics: [{ topic: name, numPartitions, replicationFactor: 1 }] });
}

/** A running member; state.records grows. */
async function member(groupId, topicName, more = {}) {
  const consumer = kafka.consumer({ groupId, rebalanceTimeout: 10000, ...more });
  const state = { consumer, records: [], assigned: 0 };
  consumer.on(consumer.events.GROUP_JOIN, (e) => { state.assigned = (e.payload.memberAssignment[topicName] || []).length; });
  await consumer.connect();
  await consumer.subscribe({ topics: [topicName], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ partition, message }) => { state.records.push({ partition, message }); } });
  return state;
}

async function records() {
  const name = prefix + '-records';
  await topic(name, 2);
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: name, acks: -1, messages: [
    { partition: 1, key: 'key', value: 'value', timestamp: '1234567890123', headers: { a: '1', list: ['x', 'y'] } },
    { partition: 1, key: null, value: null }] });
  await producer.disconnect();
  const reader = await member(prefix + '-records-group', name);
  await until('two records', () => reader.records.length === 2);
  await reader.consumer.disconnect();
  const first = reader.records[0].message;
  equal('key, value, time', [String(first.key), String(first.value), first.timestamp], ['key', 'value', '1234567890123']);
  equal('headers', [String(first.headers.a), first.headers.list.map(String)], ['1', ['x', 'y']]);
  equal('null', [reader.records[1].message.key, reader.records[1].message.value], [null, null]);
}

async function codecs() {
  for (const [name, compression] of [['gzip', CompressionTypes.GZIP], ['snappy', CompressionTypes.Snappy]]) {
    const t = prefix + '-codec-' + name;
    await topic(t, 1);
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic: t, compression, messages: Array.from({ length: 500 }, (_, i) => ({ value: 'value of the record ' + i })) });
    await producer.disconnect();
    const reader = await member(t + '-group', t);
    await until(name, () => reader.records.length === 500);
    await reader.consumer.disconnect();
  }
}

async function groups() {
  const name = prefix + '-groups';
  const group = prefix + '-group';
  await topic(name, 4);
  const one = await member(group, name);
  const two = await member(group, name);
  await until('two partitions each', () => one.assigned === 2 && two.assigned === 2);
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: name, messages: Array.from({ length: 200 }, (_, i) => ({ partition: i % 4, value: String(i) })) });
  await producer.disconnect();
  await until('all records', () => one.records.length + two.records.length >= 200);
  equal('each once', new Set([...one.records, ...two.records].map((r) => String(r.message.value))).size, 200);
  await two.consumer.disconnect();
  await until('all partitions for who stays', () => one.assigned === 4);
  await one.consumer.disconnect();
  const committed = await admin.fetchOffsets({ groupId: group, topics: [name] });
  equal('committed', committed[0].partitions.map((p) => p.offset), ['50', '50', '50', '50']);
}

async function transactions() {
  const name = prefix + '-txn';
  const group = prefix + '-txn-group';
  await topic(name, 1);
  const producer = kafka.producer({ transactionalId: prefix + '-txn', maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  for (let round = 0; round < 6; round++) {
    const transaction = await producer.transaction();
    await transaction.send({ topic: name, messages: [1, 2, 3, 4, 5].map((i) => ({ value: round + '-' + i })) });
    await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic: name, partitions: [{ partition: 0, offset: String(round + 1) }] }] });
    await (round % 2 ? transaction.abort() : transaction.commit());
  }
  await producer.disconnect();
  const reader = await member(prefix + '-txn-reader', name, { readUncommitted: false });
  await until('committed records', () => reader.records.length >= 15);
  await reader.consumer.disconnect();
  equal('only committed ones', reader.records.map((r) => Number(String(r.message.value)[0]) % 2).filter((odd) => odd).length, 0);
  equal('offset', (await admin.fetchOffsets({ groupId: group, topics: [name] }))[0].partitions[0].offset, '5');
}

async function administration() {
  const name = prefix + '-admin';
  const group = prefix + '-admin-group';
  equal('created', await admin.createTopics({ topics: [{ topic: name, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] }), true);
  equal('exists', await admin.createTopics({ topics: [{ topic: name }] }), false);
  await admin.createPartitions({ topicPartitions: [{ topic: name, count: 4 }] });
  equal('partitions', (await admin.fetchTopicMetadata({ topics: [name] })).topics[0].partitions.length, 4);
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] });
  const configs = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name, configNames: ['retention.ms'] }] });
  equal('retention.ms', configs.resources[0].configEntries[0].configValue, '7200000');
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: name, messages: Array.from({ length: 10 }, () => ({ partition: 0, value: 'v', timestamp: '1000' })) });
  await producer.disconnect();
  equal('by time', (await admin.fetchTopicOffsetsByTimestamp(name, 500)).find((p) => p.partition === 0).offset, '0');
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '4' }] });
  equal('low', (await admin.fetchTopicOffsets(name)).find((p) => p.partition === 0).low, '4');
  await admin.setOffsets({ groupId: group, topic: name, partitions: [{ partition: 0, offset: '7' }] });
  equal('set', (await admin.fetchOffsets({ groupId: group, topics: [name] }))[0].partitions.find((p) => p.partition === 0).offset, '7');
  equal('listed', (await admin.listGroups()).groups.some((g) => g.groupId === group), true);
  equal('state', (await admin.describeGroups([group])).groups[0].state, 'Empty');
  await admin.deleteGroups([group]);
  equal('cluster', (await admin.describeCluster()).brokers.length, 1);
  await admin.describeAcls({ resourceType: 1, resourcePatternType: 1, operation: 1, permissionType: 1 }).catch((e) => equal('no authorizer', e.type, 'SECURITY_DISABLED'));
  await admin.deleteTopics({ topics: [name] });
  equal('deleted', (await admin.listTopics()).includes(name), false);
}

version('kafkajs');
await admin.connect();
await feature('records', records);
await feature('codecs', codecs);
await feature('groups', groups);
await feature('transactions', transactions);
await feature('admin', administration);
await admin.disconnect();
process.exit(0);
