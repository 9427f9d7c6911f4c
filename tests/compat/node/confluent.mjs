// @confluentinc/kafka-javascript (librdkafka) through the interface that is made after kafkajs.
// Arguments: BOOTSTRAP PREFIX; run in the folder of the installed packages.
import { createRequire } from 'node:module';
import { bootstrap, prefix, version, feature, equal, until } from './check.mjs';

const load = createRequire(process.cwd() + '/');
const { Kafka, CompressionTypes, logLevel } = load('@confluentinc/kafka-javascript').KafkaJS;

const kafka = new Kafka({ kafkaJS: { clientId: 'compat', brokers: [bootstrap], logLevel: logLevel.NOTHING } });
const admin = kafka.admin();

async function topic(name, numPartitions) {
  await admin.createTopics({ topics: [{ topic: name, numPartitions, replicationFactor: 1 }] });
}

async function send(topicName, messages, settings = {}) {
  const producer = kafka.producer({ kafkaJS: settings });
  await producer.connect();
  await producer.send({ topic: topicName, messages });
  await producer.disconnect();
}

/** A running member; state.records grows. */
async function member(groupId, topicName, settings = {}, options = {}) {
  const consumer = kafka.consumer({ kafkaJS: { groupId, fromBeginning: true, ...settings }, ...options });
  const state = { consumer, records: [], assigned: () => { try { return consumer.assignment().length; } catch { return 0; } } };
  await consumer.connect();
  await consumer.subscribe({ topics: [topicName] });
  await consumer.run({ eachMessage: async ({ partition, message }) => { state.records.push({ partition, message }); } });
  return state;
}

async function committed(groupId, topicName) {
  const [found] = await admin.fetchOffsets({ groupId, topics: [topicName] });
  return found.partitions.sort((a, b) => a.partition - b.partition).map((p) => p.offset);
}

async function records() {
  const name = prefix + '-records';
  await topic(name, 2);
  await send(name, [{ partition: 1, key: 'key', value: 'value', timestamp: '1234567890123', headers: { a: '1', list: ['x', 'y'] } },
    { partition: 1, key: null, value: null }]);
  const reader = await member(prefix + '-records-group', name);
  await until('two records', () => reader.records.length === 2);
  await reader.consumer.disconnect();
  const first = reader.records[0].message;
  equal('key, value, time', [String(first.key), String(first.value), first.timestamp], ['key', 'value', '1234567890123']);
  equal('headers', [String(first.headers.a), first.headers.list.map(String)], ['1', ['x', 'y']]);
  equal('null', [reader.records[1].message.key, reader.records[1].message.value], [null, null]);
  equal('partition, offsets', reader.records.map((r) => [r.partition, r.message.offset]), [[1, '0'], [1, '1']]);
}

async function codecs() {
  for (const name of ['GZIP', 'Snappy', 'LZ4', 'ZSTD']) {
    const t = prefix + '-codec-' + name;
    await topic(t, 1);
    await send(t, Array.from({ length: 500 }, (_, i) => ({ value: 'value of the record ' + i })), { compression: CompressionTypes[name] || name.toLowerCase() });
    const reader = await member(t + '-group', t);
    await until(name, () => reader.records.length === 500);
    await reader.consumer.disconnect();
    equal('the last of ' + name, String(reader.records[499].message.value), 'value of the record 499');
  }
}

/** Two members share four partitions, each record comes once, who stays takes over, commits are kept. */
function sharing(label, settings, options) {
  return async () => {
    const name = prefix + '-' + label;
    const group = name + '-group';
    await topic(name, 4);
    const one = await member(group, name, settings, options);
    const two = await member(group, name, settings, options);
    await until(() => 'two partitions each: ' + [one.assigned(), two.assigned()], () => one.assigned() === 2 && two.assigned() === 2, 75);
    await send(name, Array.from({ length: 200 }, (_, i) => ({ partition: i % 4, value: String(i) })));
    await until('all records', () => one.records.length + two.records.length >= 200);
    equal('each once', new Set([...one.records, ...two.records].map((r) => String(r.message.value))).size, 200);
    await two.consumer.disconnect();
    await until('all partitions for who stays', () => one.assigned() === 4);
    await one.consumer.disconnect();
    equal('committed', await committed(group, name), ['50', '50', '50', '50']);
  };
}

async function transactions() {
  const name = prefix + '-txn';
  const group = prefix + '-txn-group';
  await topic(name, 1);
  const consumer = kafka.consumer({ kafkaJS: { groupId: group } });
  await consumer.connect();
  const producer = kafka.producer({ kafkaJS: { transactionalId: prefix + '-txn' } });
  await producer.connect();
  for (let round = 0; round < 6; round++) {
    const transaction = await producer.transaction();
    await transaction.send({ topic: name, messages: [1, 2, 3, 4, 5].map((i) => ({ value: round + '-' + i })) });
    await transaction.sendOffsets({ consumer, topics: [{ topic: name, partitions: [{ partition: 0, offset: String(round + 1) }] }] });
    await (round % 2 ? transaction.abort() : transaction.commit());
  }
  await producer.disconnect();
  await consumer.disconnect();
  const reader = await member(prefix + '-txn-reader', name, { readUncommitted: false });
  await until('committed records', () => reader.records.length >= 15);
  await reader.consumer.disconnect();
  equal('only committed ones', reader.records.map((r) => Number(String(r.message.value)[0]) % 2).filter((odd) => odd).length, 0);
  equal('offset', await committed(group, name), ['5']);
}

async function administration() {
  const name = prefix + '-admin';
  const group = prefix + '-admin-group';
  equal('created', await admin.createTopics({ topics: [{ topic: name, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] }), true);
  equal('exists', await admin.createTopics({ topics: [{ topic: name }] }), false);
  equal('partitions', (await admin.fetchTopicMetadata({ topics: [name] }))[0].partitions.length, 2);
  await send(name, Array.from({ length: 10 }, () => ({ partition: 0, value: 'v', timestamp: String(Date.now()) })));
  equal('by time', (await admin.fetchTopicOffsetsByTimestamp(name, 500)).find((p) => p.partition === 0).offset, '0');
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '4' }] });
  equal('low', (await admin.fetchTopicOffsets(name)).find((p) => p.partition === 0).low, '4');
  const reader = await member(group, name);
  await until('six records', () => reader.records.length === 6);
  await reader.consumer.disconnect();
  equal('listed', (await admin.listGroups()).groups.some((g) => g.groupId === group), true);
  equal('described', (await admin.describeGroups([group])).groups[0].groupId, group);
  await admin.deleteGroups([group]);
  equal('gone', (await admin.listGroups()).groups.some((g) => g.groupId === group), false);
  await admin.deleteTopics({ topics: [name] });
  equal('deleted', (await admin.listTopics()).includes(name), false);
}

version('@confluentinc/kafka-javascript');
await admin.connect();
await feature('records', records);
await feature('codecs', codecs);
await feature('groups', sharing('groups'));
await feature('consumer_protocol', sharing('protocol', {}, { 'group.protocol': 'consumer' }));
await feature('transactions', transactions);
await feature('admin', administration);
await admin.disconnect();
process.exit(0);
