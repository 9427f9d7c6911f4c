// @platformatic/kafka against a broker. Arguments: BOOTSTRAP PREFIX; run in the folder of the installed packages.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { bootstrap, prefix, version, feature, equal, until } from './check.mjs';

const entry = createRequire(process.cwd() + '/').resolve('@platformatic/kafka');
const { Admin, Consumer, Producer, stringSerializers, stringDeserializers } = await import(pathToFileURL(entry));

const base = { clientId: 'compat', bootstrapBrokers: [bootstrap], retries: 3 };
const admin = new Admin(base);

async function topic(name, partitions = 1, configs = []) {
  await admin.createTopics({ topics: [name], partitions, replicas: 1, configs });
}

async function send(messages, more = {}) {
  const producer = new Producer({ ...base, serializers: stringSerializers, acks: -1, ...more });
  const result = await producer.send({ messages });
  await producer.close();
  return result.offsets;
}

/** A running member; state.records grows. */
async function member(groupId, name, more = {}, stream = {}) {
  const consumer = new Consumer({ ...base, groupId, autocommit: false, maxWaitTime: 100, deserializers: stringDeserializers, ...more });
  const state = { consumer, records: [], fetches: 0 };
  state.stream = await consumer.consume({ topics: [name], mode: 'committed', fallbackMode: 'earliest', ...stream });
  state.stream.on('fetch', () => { state.fetches++; });
  state.done = (async () => { for await (const message of state.stream) { state.records.push(message); } })().catch((e) => { state.error = e; });
  state.shares = () => (consumer.assignments || []).filter((a) => a.topic === name).reduce((sum, a) => sum + a.partitions.length, 0);
  state.close = async () => { await state.stream.close(); await state.done; await consumer.close(true); };
  return state;
}

const values = (count) => Array.from({ length: count }, (_, i) => 'value of the record ' + i);

async function records() {
  const name = prefix + '-records';
  await topic(name, 2);
  const sent = await send([{ topic: name, partition: 1, key: 'key', value: 'value', timestamp: 1234567890123n, headers: { a: '1', e: '' } },
    { topic: name, partition: 1, key: 'tombstone' }]);
  equal('sent', sent.map((s) => [s.partition, String(s.offset)]), [[1, '0']]);
  const reader = await member(prefix + '-records-group', name);
  await until('two records', () => reader.records.length === 2);
  await reader.close();
  const [first, second] = reader.records;
  equal('a record', [first.key, first.value, String(first.timestamp), first.partition, String(first.offset)], ['key', 'value', '1234567890123', 1, '0']);
  equal('headers', [...first.headers], [['a', '1'], ['e', '']]);
  equal('no value', [second.key, second.value || null], ['tombstone', null]);
}

async function codecs() {
  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd']) {
    const name = prefix + '-codec-' + compression;
    await topic(name);
    await send(values(500).map((value) => ({ topic: name, value })), { compression });
    const reader = await member(name + '-group', name);
    await until(compression, () => reader.records.length === 500);
    await reader.close();
    equal(compression, reader.records.map((r) => r.value), values(500));
  }
}

async function offsets() {
  const name = prefix + '-offsets';
  await topic(name);
  await send(Array.from({ length: 100 }, (_, i) => ({ topic: name, value: String(i), timestamp: BigInt(1000 + i) })));
  const listed = async (timestamp) => String((await admin.listOffsets({ topics: [{ name, partitions: [{ partitionIndex: 0, timestamp }] }] }))[0].partitions[0].offset);
  equal('ends and by time', [await listed(-2n), await listed(-1n), await listed(1042n)], ['0', '100', '42']);
  const reader = await member(prefix + '-offsets-group', name, {}, { mode: 'manual', offsets: [{ topic: name, partition: 0, offset: 90n }] });
  await until('ten records', () => reader.records.length === 10);
  await reader.close();
  equal('from an offset', reader.records[0].value, '90');
}

/** Two members share four partitions; who stays takes over; what was committed is kept. */
async function share(kind, more) {
  const name = prefix + '-groups-' + kind;
  const group = prefix + '-group-' + kind;
  await topic(name, 4);
  const one = await member(group, name, more);
  const two = await member(group, name, more);
  await until(() => 'two partitions each: ' + [one.shares(), two.shares()], () => one.shares() === 2 && two.shares() === 2);
  // What a fetch brings that was sent before the partitions were given away, this client delivers all the same.
  const begun = [one.fetches, two.fetches];
  await until('fetches for the new shares', () => one.fetches >= begun[0] + 2 && two.fetches >= begun[1] + 2);
  await send(Array.from({ length: 200 }, (_, i) => ({ topic: name, partition: i % 4, value: String(i) })));
  await until('all records', () => one.records.length + two.records.length >= 200);
  const all = [...one.records, ...two.records];
  equal('each once', [all.length, new Set(all.map((r) => r.value)).size], [200, 200]);
  for (const state of [one, two]) {
    const last = new Map(state.records.map((r) => [r.partition, r.offset]));
    await state.consumer.commit({ offsets: [...last].map(([partition, offset]) => ({ topic: name, partition, offset: offset + 1n, leaderEpoch: 0 })) });
  }
  await two.close();
  await until('all partitions for who stays', () => one.shares() === 4);
  await one.close();
  equal('errors', [one.error, two.error].filter((e) => e).map(String), []);
  const committed = await admin.listConsumerGroupOffsets({ groups: [{ groupId: group, topics: [{ name, partitionIndexes: [0, 1, 2, 3] }] }] });
  equal('committed', committed[0].topics[0].partitions.map((p) => String(p.committedOffset)), ['50', '50', '50', '50']);
}

const groups = () => share('classic', { sessionTimeout: 10000, rebalanceTimeout: 10000, heartbeatInterval: 300 });
const consumerProtocol = () => share('consumer', { groupProtocol: 'consumer' });

async function idempotence() {
  const name = prefix + '-idempotence';
  await topic(name);
  const producer = new Producer({ ...base, serializers: stringSerializers, idempotent: true });
  for (let i = 0; i < 100; i++) {
    const { offsets: [sent] } = await producer.send({ messages: [{ topic: name, partition: 0, value: String(i) }] });
    equal('offset', String(sent.offset), String(i));
  }
  await producer.close();
}

async function transactions() {
  const name = prefix + '-txn';
  await topic(name);
  const producer = new Producer({ ...base, serializers: stringSerializers, idempotent: true, transactionalId: prefix + '-txn-id' });
  // One that is aborted: of several that one producer aborts, this client filters the last of a fetch only.
  for (let round = 0; round < 3; round++) {
    const transaction = await producer.beginTransaction();
    await transaction.send({ messages: [1, 2, 3, 4, 5].map((i) => ({ topic: name, partition: 0, value: round + '-' + i })) });
    await (round % 2 ? transaction.abort() : transaction.commit());
  }
  await producer.close();
  const committed = await member(prefix + '-txn-committed', name, { isolationLevel: 1 });
  await until('committed records', () => committed.records.length >= 10);
  await committed.close();
  equal('only committed ones', committed.records.map((r) => r.value[0]).join(''), '0000022222');
  const everything = await member(prefix + '-txn-all', name, { isolationLevel: 0 });
  await until('all records', () => everything.records.length >= 15);
  await everything.close();
}

async function administration() {
  const name = prefix + '-admin';
  const group = prefix + '-admin-group';
  const created = await admin.createTopics({ topics: [name], partitions: 2, replicas: 1, configs: [{ name: 'retention.ms', value: '3600000' }] });
  equal('created', [created[0].name, created[0].partitions, created[0].replicas], [name, 2, 1]);
  const refused = async (what, code, call) => {
    const error = await call().then(() => null, (e) => e);
    const all = JSON.stringify(error, (k, v) => (typeof v === 'bigint' ? String(v) : v instanceof Error ? { ...v, message: v.message, errors: v.errors } : v));
    equal(what, String(all).includes(code), true);
  };
  await refused('a topic twice', 'TOPIC_ALREADY_EXISTS', () => topic(name));
  await admin.createPartitions({ topics: [{ name, count: 4 }] });
  equal('partitions', (await admin.metadata({ topics: [name], forceUpdate: true })).topics.get(name).partitionsCount, 4);
  const resource = { resourceType: 2, resourceName: name };
  const retention = async () => (await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: ['retention.ms'] }] }))[0].configs[0].value;
  await admin.alterConfigs({ resources: [{ ...resource, configs: [{ name: 'retention.ms', value: '7200000' }] }] });
  equal('retention.ms', await retention(), '7200000');
  await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [{ name: 'retention.ms', configOperation: 0, value: '1800000' }] }] });
  equal('retention.ms', await retention(), '1800000');
  await send(Array.from({ length: 10 }, () => ({ topic: name, partition: 0, value: 'v' })));
  const deleted = await admin.deleteRecords({ topics: [{ name, partitions: [{ partition: 0, offset: 4n }] }] });
  equal('low watermark', String(deleted[0].partitions[0].lowWatermark), '4');
  const reader = await member(group, name);
  await until('six records', () => reader.records.length === 6);
  equal('group', [(await admin.listGroups()).has(group), (await admin.describeGroups({ groups: [group] })).get(group).state], [true, 'STABLE']);
  await reader.close();
  await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name, partitionOffsets: [{ partition: 0, offset: 7n }] }] });
  const offsets = await admin.listConsumerGroupOffsets({ groups: [group] });
  equal('altered', String(offsets[0].topics[0].partitions.find((p) => p.partitionIndex === 0).committedOffset), '7');
  await admin.deleteConsumerGroupOffsets({ groupId: group, topics: [{ name, partitionIndexes: [0] }] });
  equal('coordinator', (await admin.findCoordinator({ keyType: 0, keys: [group] }))[0].key, group);
  await admin.deleteGroups({ groups: [group] });
  equal('log dirs', (await admin.describeLogDirs({ topics: [{ name, partitions: [0] }] }))[0].results.length, 1);
  const rule = { resourceType: 2, resourceName: name, resourcePatternType: 3, principal: 'User:someone', host: '*', operation: 3, permissionType: 3 };
  await admin.createAcls({ creations: [rule] });
  equal('rules', (await admin.describeAcls({ filter: rule }))[0].acls.length, 1);
  equal('deleted rules', (await admin.deleteAcls({ filters: [rule] })).length, 1);
  const entities = [{ entityType: 'client-id', entityName: prefix }];
  await admin.alterClientQuotas({ entries: [{ entities, ops: [{ key: 'producer_byte_rate', value: 1000000, remove: false }] }] });
  const quotas = await admin.describeClientQuotas({ components: [{ entityType: 'client-id', matchType: 0, match: prefix }] });
  equal('quota', quotas[0].values[0].value, 1000000);
  await admin.deleteTopics({ topics: [name] });
  equal('deleted', (await admin.listTopics()).includes(name), false);
}

version('@platformatic/kafka');
await feature('records', records);
await feature('codecs', codecs);
await feature('offsets', offsets);
await feature('groups', groups);
await feature('consumer_protocol', consumerProtocol);
await feature('idempotence', idempotence);
await feature('transactions', transactions);
await feature('admin', administration);
process.exit(0);
