"""kafka-python's KafkaAdminClient against a broker: every call that its newest version has. Arguments: BOOTSTRAP PREFIX."""
import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (ACL, ACLFilter, ACLOperation, ACLPermissionType, ACLResourcePatternType, AbortTransactionSpec, AlterConfigOp,
                         ConfigResource, ConfigResourceType, MemberToRemove, NewPartitions, NewTopic, OffsetSpec, OffsetTimestamp, ResourcePattern,
                         ResourcePatternFilter, ResourceType, ScramMechanism, UserScramCredentialDeletion, UserScramCredentialUpsertion)
from kafka.errors import NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.structs import OffsetAndMetadata

from check import BOOTSTRAP, PREFIX, equal, feature, until, version

admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def topic(name, partitions=1):
    admin.create_topics([NewTopic(name, partitions, 1)])
    admin.wait_for_topics([name])


def fill(name, count):
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for i in range(count):
        producer.send(name, b"v", partition=0, timestamp_ms=1000 + i)
    producer.flush(20)
    producer.close()


def refused(what, error, call):
    try:
        call()
    except error:
        return
    raise AssertionError("%s: not refused" % what)


def topics():
    name = PREFIX + "-topics"
    admin.create_topics([NewTopic(name, 2, 1)], validate_only=True)
    assert name not in admin.list_topics(), "made by a validation"
    topic(name, 2)
    refused("a topic twice", TopicAlreadyExistsError, lambda: topic(name))
    admin.create_partitions({name: NewPartitions(4)}, validate_only=True)
    admin.create_partitions({name: NewPartitions(4)})
    equal("partitions", len(admin.describe_topics([name])[0]["partitions"]), 4)
    paged = admin.describe_topic_partitions([name], response_partition_limit=3)
    assert name in str(paged) and "topic_name" in str(paged), paged
    fill(name, 10)
    first = TopicPartition(name, 0)
    for spec, offset in ((OffsetSpec.EARLIEST, 0), (OffsetSpec.LATEST, 10), (OffsetSpec.MAX_TIMESTAMP, 9), (OffsetTimestamp(1004), 4)):
        equal(str(spec), admin.list_partition_offsets({first: spec})[first].offset, offset)
    assert "4" in str(admin.delete_records({first: 4})), "low watermark"
    equal("begin", admin.list_partition_offsets({first: OffsetSpec.EARLIEST})[first].offset, 4)
    admin.elect_leaders(0, {name: [0]}, raise_errors=False)
    broker = admin.describe_cluster()["brokers"][0]
    equal("moved to where it is", admin.alter_partition_reassignments({first: [broker.get("node_id", broker.get("broker_id"))]})[first], None)
    equal("moving", admin.list_partition_reassignments(), {})
    admin.delete_topics([name])
    refused("gone", UnknownTopicOrPartitionError, lambda: admin.delete_topics([name]))


def configs():
    name = PREFIX + "-configs"
    topic(name)

    def resource(configs=None):
        return ConfigResource(ConfigResourceType.TOPIC, name, configs)

    def value(option):
        found = admin.describe_configs([resource([option])], config_filter="all")
        return str(found)
    admin.alter_configs([resource({"retention.ms": "7200000"})], validate_only=True)
    assert "7200000" not in value("retention.ms"), "changed by a validation"
    admin.alter_configs([resource({"retention.ms": "7200000", "cleanup.policy": (AlterConfigOp.APPEND, "compact")})])
    assert "7200000" in value("retention.ms") and "delete,compact" in value("cleanup.policy"), value("cleanup.policy")
    admin.reset_configs([resource(["retention.ms"])])
    assert "604800000" in value("retention.ms"), value("retention.ms")
    admin.alter_configs([resource({"retention.ms": "3600000"})], incremental=False)
    assert "3600000" in value("retention.ms"), value("retention.ms")
    assert name in admin.list_config_resources(["TOPIC"])["topic"]


def group_admin():
    name, group = PREFIX + "-groups", PREFIX + "-group"
    topic(name)
    fill(name, 10)
    consumer = KafkaConsumer(name, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest", group_instance_id="instance",
                             enable_auto_commit=False)
    until("records", lambda: sum(len(r) for r in consumer.poll(200).values()))
    consumer.commit()
    described = admin.describe_groups([group])
    assert "Stable" in str(described) and "instance" in str(described), described
    assert group in str(admin.list_groups()) and group in str(admin.list_groups(states_filter=["Stable"]))
    assert group not in str(admin.list_groups(states_filter=["Empty"]))
    left = admin.remove_group_members(group, [MemberToRemove(group_instance_id="instance")])
    equal("removed", list(left.values()), [NoError])
    consumer.close()
    first = TopicPartition(name, 0)
    equal("committed", admin.list_group_offsets([group])[group][first].offset, 10)
    equal("altered", admin.alter_group_offsets(group, {first: OffsetAndMetadata(4, "why", -1)}), {first: NoError})
    equal("altered", admin.list_group_offsets([group])[group][first].offset, 4)
    equal("reset", admin.reset_group_offsets(group, {first: OffsetTimestamp(1006)})[first]["offset"], 6)
    equal("deleted", admin.delete_group_offsets(group, [first]), {first: NoError})
    admin.delete_groups([group])
    assert group not in str(admin.list_groups())


def cluster():
    name = PREFIX + "-cluster"
    topic(name)
    described = admin.describe_cluster()
    equal("brokers", len(described["brokers"]), 1)
    dirs = admin.describe_log_dirs({name: [0]})
    assert name in str(dirs), dirs
    quorum = admin.describe_metadata_quorum()
    assert "voters" in str(quorum), quorum
    assert len(admin.api_versions()) > 50
    features = admin.describe_features()
    assert features["metadata.version"]["finalized"], features
    equal("a feature", list(admin.update_features({"share.version": 1}, validate_only=True).values()), ["OK"])


def access():
    pattern = ResourcePattern(ResourceType.TOPIC, PREFIX + "-rule", ACLResourcePatternType.PREFIXED)
    rule = ACL("User:someone", "*", ACLOperation.READ, ACLPermissionType.ALLOW, pattern)
    asked = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY,
                      ResourcePatternFilter(ResourceType.TOPIC, PREFIX + "-rule", ACLResourcePatternType.ANY))
    equal("created", len(admin.create_acls([rule])["succeeded"]), 1)
    equal("described", admin.describe_acls(asked)[0], [rule])
    admin.delete_acls([asked])
    equal("none left", admin.describe_acls(asked)[0], [])
    user = PREFIX + "-user"
    equal("upserted", admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_256, "password")]), {user: None})
    found = admin.describe_user_scram_credentials([user])[user]["credential_infos"]
    equal("credentials", [(i["mechanism"], i["iterations"]) for i in found], [(ScramMechanism.SCRAM_SHA_256, 4096)])
    equal("removed", admin.alter_user_scram_credentials([UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_256)]), {user: None})


def transaction_admin():
    name, identity = PREFIX + "-txn", PREFIX + "-txn-id"
    topic(name)
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=identity, acks="all")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(name, b"v", partition=0).get(20)
    assert identity in str(admin.list_transactions()) and identity in str(admin.list_transactions(transactional_id_pattern=PREFIX + ".*"))
    assert identity not in str(admin.list_transactions(state_filters=["Empty"]))
    described = admin.describe_transactions([identity])[identity]
    assert "Ongoing" in str(described), described
    first = TopicPartition(name, 0)
    state = admin.describe_producers([first])[first].active_producers[0]
    equal("none hangs", admin.find_hanging_transactions(), [])
    admin.abort_transaction(AbortTransactionSpec(first, state.producer_id, state.producer_epoch))
    until("a marker", lambda: admin.list_partition_offsets({first: OffsetSpec.LATEST})[first].offset == 2)
    producer.close(0)


version(kafka.__version__)
for body in (topics, configs, group_admin, cluster, access, transaction_admin):
    feature(body.__name__, body)
