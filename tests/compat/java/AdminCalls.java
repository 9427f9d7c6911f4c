import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricConfig;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.utils.Time;

/**
 * Every method of Admin, right and wrong uses of it. Prints "call FEATURE WHAT: ANSWER" for each, where ids, times and addresses are
 * replaced by their kind, so that the row can compare the answers of ottla with those of a real Kafka, line by line. The last feature,
 * every_method, holds the interface itself against what was called.
 */
public final class AdminCalls {
    interface Call {
        Object run() throws Exception;
    }

    private static final Set<String> CALLED = ConcurrentHashMap.newKeySet();
    private static Admin admin;
    private static String feature;
    private static int node;

    public static void main(String[] arguments) throws Exception {
        Check.begin(arguments);
        // Some calls can only end by their time.
        try (Admin real = Admin.create(Check.settings("request.timeout.ms", 4000, "default.api.timeout.ms", 5000))) {
            admin = (Admin) Proxy.newProxyInstance(AdminCalls.class.getClassLoader(), new Class<?>[] {Admin.class}, (proxy, method, given) -> {
                CALLED.add(method.getName());
                try {
                    return method.invoke(real, given);
                } catch (InvocationTargetException e) {
                    throw e.getCause();
                }
            });
            node = Check.get(admin.describeCluster().controller()).id();
            part("topics", AdminCalls::topics);
            part("records", AdminCalls::records);
            part("configs", AdminCalls::configs);
            part("log_dirs", AdminCalls::logDirs);
            part("cluster", AdminCalls::cluster);
            part("acls", AdminCalls::acls);
            part("quotas", AdminCalls::quotas);
            part("scram", AdminCalls::scram);
            part("tokens", AdminCalls::tokens);
            part("transactions", AdminCalls::transactions);
            part("groups", AdminCalls::groups);
            part("features", AdminCalls::features);
            part("share_groups", AdminCalls::shareGroups);
            part("streams_groups", AdminCalls::streamsGroups);
            part("client", AdminCalls::client);
            admin.close(Duration.ofSeconds(10));
        }
        Check.feature("every_method", () -> {
            Set<String> missed = new TreeSet<>();
            for (Method method : Admin.class.getMethods()) {
                if (!Modifier.isStatic(method.getModifiers()) && !CALLED.contains(method.getName()) && !method.getName().equals("close")) {
                    missed.add(method.getName());
                }
            }
            Check.equal("methods that were not called", missed, Set.of());
            System.out.println("note " + CALLED.size() + " methods of Admin called");
        });
        System.exit(0);
    }

    private static void part(String name, Check.Body body) {
        feature = name;
        Check.feature(name, body);
    }

    // -- answers as text --

    private static void call(String what, Call body) {
        String answer;
        try {
            answer = text(body.run());
        } catch (Throwable e) {
            answer = "!" + Check.root(e).getClass().getSimpleName();
        }
        System.out.println("call " + feature + " " + what + ": " + answer);
    }

    private static String text(Object value) throws Exception {
        if (value == null) {
            return "null";
        }
        if (value instanceof KafkaFuture) {
            try {
                return text(Check.get((KafkaFuture<?>) value));
            } catch (Exception e) {
                return "!" + Check.root(e).getClass().getSimpleName();
            }
        }
        if (value instanceof Throwable) {
            return "!" + value.getClass().getSimpleName();
        }
        if (value instanceof Map) {
            TreeMap<String, String> out = new TreeMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                out.put(text(entry.getKey()), text(entry.getValue()));
            }
            return out.toString();
        }
        if (value instanceof Collection) {
            TreeSet<String> out = new TreeSet<>();
            for (Object element : (Collection<?>) value) {
                out.add(text(element));
            }
            return out.toString();
        }
        if (value instanceof Optional) {
            return ((Optional<?>) value).isPresent() ? text(((Optional<?>) value).get()) : "none";
        }
        if (value instanceof OptionalLong) {
            return ((OptionalLong) value).isPresent() ? "a number" : "none";
        }
        if (value instanceof Uuid) {
            return value.equals(Uuid.ZERO_UUID) ? "no id" : "an id";
        }
        if (value instanceof Node) {
            return ((Node) value).isEmpty() ? "no node" : "node " + (((Node) value).id() == node ? "N" : ((Node) value).id());
        }
        if (value instanceof TopicPartitionInfo) {
            TopicPartitionInfo info = (TopicPartitionInfo) value;
            return info.partition() + " " + text(info.leader()) + " " + text(info.replicas()) + " " + text(info.isr()) + " elr "
                + text(info.elr()) + " last " + text(info.lastKnownElr());
        }
        if (value instanceof TopicDescription) {
            TopicDescription topic = (TopicDescription) value;
            return topic.name() + " " + text(topic.topicId()) + " internal " + topic.isInternal() + " " + text(topic.partitions())
                + " may " + text(topic.authorizedOperations());
        }
        if (value instanceof TopicPartitionReplica) {
            TopicPartitionReplica replica = (TopicPartitionReplica) value;
            return replica.topic() + "-" + replica.partition() + (replica.brokerId() == node ? "" : " on " + replica.brokerId());
        }
        if (value instanceof ClientQuotaEntity) {
            return new TreeMap<>(((ClientQuotaEntity) value).entries()).toString();
        }
        if (value instanceof ConfigEntry) {
            ConfigEntry entry = (ConfigEntry) value;
            return entry.name() + "=" + entry.value() + " " + entry.source() + " " + entry.type() + (entry.isSensitive() ? " secret" : "")
                + (entry.isReadOnly() ? " fixed" : "") + (entry.documentation() == null ? "" : " documented") + " "
                + entry.synonyms().stream().map(s -> s.name() + "=" + s.value() + " " + s.source()).collect(Collectors.toList());
        }
        return value.toString().replaceAll("\\d{13,}", "TIME").replaceAll("127\\.0\\.0\\.1:\\d+", "HOST");
    }

    private static TopicPartition partition(String topic) {
        return new TopicPartition(topic, 0);
    }

    private static void produce(String topic, int count) throws Exception {
        try (KafkaProducer<String, String> producer = Check.producer()) {
            for (int i = 0; i < count; i++) {
                producer.send(new ProducerRecord<>(topic, 0, 1000L + i, null, "" + i)).get();
            }
        }
    }

    /** Asks again for some seconds, where a broker may take a moment to show what it has acknowledged. */
    private static void settled(String what, String want, Call body) throws Exception {
        long end = System.nanoTime() + 15_000_000_000L;
        String got = "";
        while (System.nanoTime() < end) {
            try {
                got = text(body.run());
            } catch (Throwable e) {
                got = "!" + Check.root(e).getClass().getSimpleName();
            }
            if (got.contains(want)) {
                break;
            }
            Thread.sleep(100);
        }
        System.out.println("call " + feature + " " + what + ": " + got);
    }

    // -- the parts --

    private static void topics() throws Exception {
        String a = Check.name("topic-a"), b = Check.name("topic-b");
        call("create", () -> admin.createTopics(List.of(new NewTopic(a, 2, (short) 1).configs(Map.of("retention.ms", "1000000")),
            new NewTopic(b, Optional.empty(), Optional.empty()))).values());
        settled("created", b, () -> admin.describeTopics(List.of(b)).allTopicNames());
        call("create what is there", () -> admin.createTopics(List.of(new NewTopic(a, 2, (short) 1))).values());
        call("create, wrong", () -> admin.createTopics(List.of(new NewTopic("bad name", 1, (short) 1), new NewTopic("", 1, (short) 1),
            new NewTopic("..", 1, (short) 1), new NewTopic(Check.name("x1"), 0, (short) 1), new NewTopic(Check.name("x2"), 1, (short) 3),
            new NewTopic(Check.name("x3"), 1, (short) 1).configs(Map.of("retention.ms", "x")),
            new NewTopic(Check.name("x4"), 1, (short) 1).configs(Map.of("no.such", "x")),
            new NewTopic(Check.name("x5"), Map.of(0, List.of(4711))),
            new NewTopic(Check.name("x6"), Map.of(1, List.of(node))))).values());
        CreateTopicsResult only = admin.createTopics(List.of(new NewTopic(Check.name("only"), 3, (short) 1)), new CreateTopicsOptions().validateOnly(true));
        call("validate only", () -> only.values());
        call("validate only, partitions", () -> only.numPartitions(Check.name("only")));
        call("validate only, replicas", () -> only.replicationFactor(Check.name("only")));
        String c = Check.name("topic-c");
        CreateTopicsResult made = admin.createTopics(List.of(new NewTopic(c, Map.of(0, List.of(node), 1, List.of(node))).configs(Map.of("cleanup.policy", "compact"))));
        call("create with an assignment", () -> made.numPartitions(c));
        call("create, the topic's id", () -> made.topicId(c));
        Map<String, String> configuration = new TreeMap<>();
        for (ConfigEntry entry : Check.get(made.config(c)).entries()) {
            configuration.put(entry.name(), text(entry));
        }
        each("create, the topic's configuration", configuration);
        settled("shown", c, () -> admin.describeTopics(List.of(c)).allTopicNames());
        call("describe", () -> admin.describeTopics(List.of(a, b, Check.name("none"))).topicNameValues());
        call("describe with operations", () -> admin.describeTopics(List.of(a), new DescribeTopicsOptions().includeAuthorizedOperations(true)).allTopicNames());
        Uuid id = Check.get(admin.describeTopics(List.of(a)).allTopicNames()).get(a).topicId();
        call("describe by id", () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds());
        call("describe by an unknown id", () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(new Uuid(4, 7)))).allTopicIds());
        call("list", () -> Check.get(admin.listTopics().names()).stream().filter(n -> n.startsWith(Check.prefix)).collect(Collectors.toList()));
        call("list with internal", () -> Check.get(admin.listTopics(new ListTopicsOptions().listInternal(true)).listings()).stream()
            .filter(t -> t.name().equals(a)).map(t -> t.name() + t.isInternal()).collect(Collectors.toList()));
        call("partitions", () -> admin.createPartitions(Map.of(a, NewPartitions.increaseTo(3))).values());
        settled("more of them", "2 node", () -> admin.describeTopics(List.of(a)).allTopicNames());
        call("partitions, wrong", () -> admin.createPartitions(Map.of(a, NewPartitions.increaseTo(3), b, NewPartitions.increaseTo(0),
            c, NewPartitions.increaseTo(4, List.of(List.of(4711), List.of(node))), Check.name("none"), NewPartitions.increaseTo(3))).values());
        call("partitions, fewer", () -> admin.createPartitions(Map.of(a, NewPartitions.increaseTo(1))).values());
        call("partitions, validate only", () -> admin.createPartitions(Map.of(c, NewPartitions.increaseTo(9)), new CreatePartitionsOptions().validateOnly(true)).values());
        call("delete by id", () -> admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).topicIdValues().get(id));
        call("delete", () -> admin.deleteTopics(List.of(b, Check.name("none"))).topicNameValues());
        settled("deleted", "!UnknownTopic", () -> admin.describeTopics(List.of(b)).allTopicNames());
        call("delete by an unknown id", () -> admin.deleteTopics(TopicCollection.ofTopicIds(List.of(new Uuid(4, 7)))).all());
    }

    private static void records() throws Exception {
        String topic = Check.name("records");
        Check.topic(topic, 2, Map.of("retention.ms", "-1"));  // the records' times are of 1970
        TopicPartition zero = partition(topic), one = new TopicPartition(topic, 1), none = partition(Check.name("none"));
        settled("there", topic, () -> admin.describeTopics(List.of(topic)).allTopicNames());
        produce(topic, 20);
        for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp(), OffsetSpec.forTimestamp(1007),
                OffsetSpec.forTimestamp(9999), OffsetSpec.earliestLocal(), OffsetSpec.latestTiered())) {
            call("listOffsets " + spec.getClass().getSimpleName(), () -> admin.listOffsets(Map.of(zero, spec, one, spec)).all());
        }
        call("listOffsets of nothing", () -> admin.listOffsets(Map.of(none, OffsetSpec.latest()), new ListOffsetsOptions().timeoutMs(3000)).partitionResult(none));
        call("deleteRecords", () -> {
            DeleteRecordsResult result = admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(5)));
            return Check.get(result.lowWatermarks().get(zero)).lowWatermark();
        });
        call("deleteRecords, all", () -> Check.get(admin.deleteRecords(Map.of(one, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(one)).lowWatermark());
        call("deleteRecords, too many", () -> admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(21))).all());
        call("deleteRecords, negative", () -> admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(-3))).all());
        call("deleteRecords of nothing", () -> admin.deleteRecords(Map.of(none, RecordsToDelete.beforeOffset(1)), new DeleteRecordsOptions().timeoutMs(3000)).all());
        call("earliest", () -> admin.listOffsets(Map.of(zero, OffsetSpec.earliest())).all());
        call("producers", () -> Check.get(admin.describeProducers(List.of(zero)).partitionResult(zero)).activeProducers().size());
        call("producers of nothing", () -> admin.describeProducers(List.of(none), new DescribeProducersOptions().timeoutMs(3000)).partitionResult(none));
    }

    private static Collection<AlterConfigOp> ops(Object... all) {
        Collection<AlterConfigOp> out = new java.util.ArrayList<>();
        for (int i = 0; i < all.length; i += 3) {
            out.add(new AlterConfigOp(new ConfigEntry((String) all[i], (String) all[i + 1]), (AlterConfigOp.OpType) all[i + 2]));
        }
        return out;
    }

    private static Map<String, String> config(ConfigResource resource, DescribeConfigsOptions options, boolean values) throws Exception {
        Map<String, String> out = new TreeMap<>();
        for (ConfigEntry entry : Check.get(admin.describeConfigs(List.of(resource), options).all()).get(resource).entries()) {
            out.put(entry.name(), values ? text(entry) : entry.type() + (entry.isSensitive() ? " secret" : "") + (entry.isReadOnly() ? " fixed" : ""));
        }
        return out;
    }

    private static void each(String what, Map<String, String> entries) {
        for (Map.Entry<String, String> entry : entries.entrySet()) {
            System.out.println("call " + feature + " " + what + " " + entry.getKey() + ": " + entry.getValue());
        }
    }

    private static void configs() throws Exception {
        String name = Check.name("configs");
        Check.topic(name, 1, Map.of("cleanup.policy", "compact", "segment.bytes", "20000000"));
        settled("there", name, () -> admin.describeTopics(List.of(name)).allTopicNames());
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, name);
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "" + node), all = new ConfigResource(ConfigResource.Type.BROKER, "");
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, Check.name("group")), metrics = new ConfigResource(ConfigResource.Type.CLIENT_METRICS, Check.name("metrics"));
        DescribeConfigsOptions full = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        each("topic", config(topic, full, true));
        each("broker", config(broker, full, false));
        each("group", config(group, full, true));
        each("client metrics", config(metrics, full, true));
        call("all brokers", () -> config(all, new DescribeConfigsOptions(), true));
        each("plain", config(topic, new DescribeConfigsOptions(), true));
        for (ConfigResource wrong : List.of(new ConfigResource(ConfigResource.Type.TOPIC, Check.name("none")), new ConfigResource(ConfigResource.Type.TOPIC, "bad name"),
                new ConfigResource(ConfigResource.Type.TOPIC, ""), new ConfigResource(ConfigResource.Type.GROUP, ""), new ConfigResource(ConfigResource.Type.CLIENT_METRICS, ""))) {
            call("describe " + wrong, () -> config(wrong, new DescribeConfigsOptions(), true));
        }
        AlterConfigOp.OpType set = AlterConfigOp.OpType.SET, remove = AlterConfigOp.OpType.DELETE, append = AlterConfigOp.OpType.APPEND, subtract = AlterConfigOp.OpType.SUBTRACT;
        call("set", () -> admin.incrementalAlterConfigs(Map.of(topic, ops("retention.ms", "123456", set, "cleanup.policy", "delete", append))).values());
        settled("after set", "123456", () -> config(topic, full, true).get("retention.ms"));
        call("after append", () -> config(topic, full, true).get("cleanup.policy"));
        call("subtract, delete", () -> admin.incrementalAlterConfigs(Map.of(topic, ops("cleanup.policy", "compact", subtract, "segment.bytes", null, remove))).values());
        settled("after subtract", "cleanup.policy=delete ", () -> config(topic, full, true).get("cleanup.policy"));
        call("after delete", () -> config(topic, full, true).get("segment.bytes"));
        for (Object[] wrong : new Object[][] {{"retention.ms", "x", set}, {"retention.ms", "-2", set}, {"no.such", "1", set}, {"cleanup.policy", "none", set},
                {"retention.ms", "1", append}, {"min.insync.replicas", "0", set}, {"compression.type", "rar", set}, {"max.message.bytes", "", set},
                {"retention.ms", "1", set, "retention.ms", "2", set}, {"follower.replication.throttled.replicas", "x", set}, {"segment.bytes", "1", set}}) {
            call("set " + Arrays.toString(wrong), () -> admin.incrementalAlterConfigs(Map.of(topic, ops(wrong))).all());
        }
        call("set of nothing", () -> admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, Check.name("none")), ops("retention.ms", "1", set))).all());
        call("validate only", () -> admin.incrementalAlterConfigs(Map.of(topic, ops("retention.ms", "77", set)), new AlterConfigsOptions().validateOnly(true)).all());
        call("broker", () -> admin.incrementalAlterConfigs(Map.of(broker, ops("log.cleaner.threads", "1", set))).all());
        call("all brokers, set", () -> admin.incrementalAlterConfigs(Map.of(all, ops("message.max.bytes", "2000000", set))).all());
        settled("all brokers, after", "2000000", () -> config(all, new DescribeConfigsOptions(), true));
        settled("a topic's synonyms", "2000000", () -> config(topic, full, true).get("max.message.bytes"));
        call("all brokers, delete", () -> admin.incrementalAlterConfigs(Map.of(all, ops("message.max.bytes", null, remove))).all());
        call("broker, fixed", () -> admin.incrementalAlterConfigs(Map.of(broker, ops("node.id", "9", set))).all());
        call("broker, unknown node", () -> admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.BROKER, "4711"), ops("log.cleaner.threads", "1", set))).all());
        call("group", () -> admin.incrementalAlterConfigs(Map.of(group, ops("consumer.session.timeout.ms", "50000", set))).all());
        call("group, wrong", () -> admin.incrementalAlterConfigs(Map.of(group, ops("consumer.session.timeout.ms", "1", set))).all());
        settled("group, after", "50000", () -> config(group, full, true));
        call("client metrics", () -> admin.incrementalAlterConfigs(Map.of(metrics, ops("interval.ms", "60000", set, "metrics", "org.apache.kafka.consumer.", set))).all());
        call("client metrics, wrong", () -> admin.incrementalAlterConfigs(Map.of(metrics, ops("interval.ms", "1", set))).all());
        settled("client metrics, after", "60000", () -> config(metrics, full, true));
        settled("resources", "metrics", () -> admin.listConfigResources(Set.of(ConfigResource.Type.GROUP, ConfigResource.Type.CLIENT_METRICS), new ListConfigResourcesOptions()).all());
        call("resources, topics", () -> Check.get(admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions()).all()).contains(topic));
        call("client metrics resources", () -> admin.listClientMetricsResources().all());
    }

    private static void logDirs() throws Exception {
        String name = Check.name("dirs");
        Check.topic(name, 1);
        settled("there", name, () -> admin.describeTopics(List.of(name)).allTopicNames());
        produce(name, 1);
        TopicPartitionReplica here = new TopicPartitionReplica(name, 0, node), none = new TopicPartitionReplica(Check.name("none"), 0, node);
        String[] folder = new String[1];
        call("describe", () -> {
            Map<String, LogDirDescription> dirs = Check.get(admin.describeLogDirs(List.of(node)).allDescriptions()).get(node);
            folder[0] = dirs.keySet().iterator().next();
            LogDirDescription one = dirs.get(folder[0]);
            ReplicaInfo info = one.replicaInfos().get(partition(name));
            return dirs.size() + " " + one.error() + " total " + text(one.totalBytes()) + " usable " + text(one.usableBytes()) + " size "
                + info.size() + " lag " + info.offsetLag() + " future " + info.isFuture();
        });
        call("describe an unknown node", () -> admin.describeLogDirs(List.of(4711), new DescribeLogDirsOptions().timeoutMs(3000)).allDescriptions());
        call("replica", () -> {
            DescribeReplicaLogDirsResult.ReplicaLogDirInfo info = Check.get(admin.describeReplicaLogDirs(List.of(here)).values().get(here));
            return info.getCurrentReplicaLogDir().equals(folder[0]) + " lag " + info.getCurrentReplicaOffsetLag() + " " + info.getFutureReplicaLogDir() + " " + info.getFutureReplicaOffsetLag();
        });
        call("replica of nothing", () -> Check.get(admin.describeReplicaLogDirs(List.of(none)).values().get(none)).getCurrentReplicaLogDir());
        call("move to where it is", () -> admin.alterReplicaLogDirs(Map.of(here, folder[0])).all());
        call("move to nowhere", () -> admin.alterReplicaLogDirs(Map.of(here, "/no/such")).values());
        call("move nothing", () -> admin.alterReplicaLogDirs(Map.of(none, folder[0])).values());
    }

    private static void cluster() throws Exception {
        String name = Check.name("cluster");
        Check.topic(name, 2);
        settled("there", name, () -> admin.describeTopics(List.of(name)).allTopicNames());
        TopicPartition zero = partition(name), one = new TopicPartition(name, 1), none = partition(Check.name("none"));
        DescribeClusterResult cluster = admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        call("nodes", () -> cluster.nodes());
        call("controller", () -> cluster.controller());
        call("operations", () -> cluster.authorizedOperations());
        call("id", () -> Check.get(cluster.clusterId()).length());
        call("with fenced brokers", () -> admin.describeCluster(new DescribeClusterOptions().includeFencedBrokers(true)).nodes());
        call("elect preferred", () -> admin.electLeaders(ElectionType.PREFERRED, Set.of(zero, none)).partitions());
        call("elect unclean", () -> admin.electLeaders(ElectionType.UNCLEAN, Set.of(zero)).partitions());
        call("elect all", () -> Check.get(admin.electLeaders(ElectionType.PREFERRED, null).partitions()).containsKey(none));
        call("reassign", () -> admin.alterPartitionReassignments(Map.of(zero, Optional.of(new NewPartitionReassignment(List.of(node))),
            one, Optional.of(new NewPartitionReassignment(List.of(4711))), none, Optional.of(new NewPartitionReassignment(List.of(node))),
            new TopicPartition(name, 9), Optional.empty())).values());
        call("cancel", () -> admin.alterPartitionReassignments(Map.of(zero, Optional.empty())).values());
        call("reassignments", () -> admin.listPartitionReassignments().reassignments());
        call("reassignments of one", () -> admin.listPartitionReassignments(Set.of(zero)).reassignments());
        call("quorum", () -> {
            QuorumInfo quorum = Check.get(admin.describeMetadataQuorum().quorumInfo());
            return (quorum.leaderId() == node) + " " + (quorum.leaderEpoch() > 0) + " " + (quorum.highWatermark() > 0) + " " + quorum.voters().size() + " "
                + quorum.observers().size() + " " + (quorum.voters().get(0).replicaId() == node) + " " + text(quorum.voters().get(0).lastFetchTimestamp())
                + " " + text(quorum.voters().get(0).lastCaughtUpTimestamp()) + " " + quorum.nodes().keySet().equals(Set.of(node))
                + " " + (quorum.voters().get(0).logEndOffset() > 0);
        });
        call("unregister an unknown broker", () -> admin.unregisterBroker(4711).all());
        call("add a voter", () -> admin.addRaftVoter(4711, new Uuid(4, 7), Set.of(new RaftVoterEndpoint("CONTROLLER", "localhost", 4711)), new AddRaftVoterOptions().timeoutMs(5000)).all());
        call("remove a voter", () -> admin.removeRaftVoter(4711, new Uuid(4, 7), new RemoveRaftVoterOptions().timeoutMs(5000)).all());
    }

    private static void acls() throws Exception {
        AclBinding prefixed = new AclBinding(new ResourcePattern(ResourceType.TOPIC, Check.name("p"), PatternType.PREFIXED),
            new AccessControlEntry("User:alice", "*", AclOperation.READ, AclPermissionType.ALLOW));
        AclBinding literal = new AclBinding(new ResourcePattern(ResourceType.GROUP, "*", PatternType.LITERAL),
            new AccessControlEntry("User:bob", "10.0.0.1", AclOperation.DELETE, AclPermissionType.DENY));
        AclBinding cluster = new AclBinding(new ResourcePattern(ResourceType.CLUSTER, "kafka-cluster", PatternType.LITERAL),
            new AccessControlEntry("User:carol", "*", AclOperation.ALTER, AclPermissionType.ALLOW));
        AclBinding wrong = new AclBinding(new ResourcePattern(ResourceType.CLUSTER, "x", PatternType.LITERAL),
            new AccessControlEntry("User:carol", "*", AclOperation.ALTER, AclPermissionType.ALLOW));
        AclBinding nobody = new AclBinding(new ResourcePattern(ResourceType.TOPIC, "x", PatternType.LITERAL),
            new AccessControlEntry("carol", "*", AclOperation.ALTER, AclPermissionType.ALLOW));
        call("create", () -> admin.createAcls(List.of(prefixed, literal, cluster)).values());
        call("create, wrong", () -> admin.createAcls(List.of(wrong, nobody)).values());
        settled("describe", "carol", () -> admin.describeAcls(AclBindingFilter.ANY).values());
        for (PatternType type : List.of(PatternType.ANY, PatternType.MATCH, PatternType.LITERAL, PatternType.PREFIXED)) {
            call("describe " + type, () -> admin.describeAcls(new AclBindingFilter(new ResourcePatternFilter(ResourceType.TOPIC, Check.name("pq"), type),
                AccessControlEntryFilter.ANY)).values());
        }
        call("delete", () -> {
            Map<String, String> out = new TreeMap<>();
            for (Map.Entry<AclBindingFilter, KafkaFuture<DeleteAclsResult.FilterResults>> entry
                : admin.deleteAcls(List.of(prefixed.toFilter(), literal.toFilter(), nobody.toFilter())).values().entrySet()) {
                out.put(entry.getKey().toString(), "" + Check.get(entry.getValue()).values().stream().map(r -> r.binding() + " " + r.exception()).collect(Collectors.toList()));
            }
            return out;
        });
        settled("after", "carol", () -> admin.describeAcls(AclBindingFilter.ANY).values());
        Check.get(admin.deleteAcls(List.of(AclBindingFilter.ANY)).all());
    }

    private static void quotas() throws Exception {
        ClientQuotaEntity user = new ClientQuotaEntity(Map.of("user", Check.name("user"))), client = new ClientQuotaEntity(Map.of("user", Check.name("user"), "client-id", "c"));
        Map<String, String> defaults = new java.util.HashMap<>();
        defaults.put("client-id", null);
        ClientQuotaEntity anyone = new ClientQuotaEntity(defaults), ip = new ClientQuotaEntity(Map.of("ip", "10.1.2.3"));
        call("alter", () -> admin.alterClientQuotas(List.of(
            new ClientQuotaAlteration(user, List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1e9), new ClientQuotaAlteration.Op("request_percentage", 500.0))),
            new ClientQuotaAlteration(client, List.of(new ClientQuotaAlteration.Op("consumer_byte_rate", 2e9))),
            new ClientQuotaAlteration(anyone, List.of(new ClientQuotaAlteration.Op("controller_mutation_rate", 1000.0))),
            new ClientQuotaAlteration(ip, List.of(new ClientQuotaAlteration.Op("connection_creation_rate", 50.0))))).values());
        call("alter, wrong", () -> admin.alterClientQuotas(List.of(
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("ip", "no.such.host.invalid")), List.of(new ClientQuotaAlteration.Op("connection_creation_rate", 5.0))),
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("user", "u1")), List.of(new ClientQuotaAlteration.Op("no_such", 5.0))),
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("user", "u2")), List.of(new ClientQuotaAlteration.Op("producer_byte_rate", -5.0))),
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("user", "u3")), List.of(new ClientQuotaAlteration.Op("connection_creation_rate", 5.0))),
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("planet", "u4")), List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 5.0))),
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("ip", "10.1.2.3", "user", "x")), List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 5.0))))).values());
        call("validate only", () -> admin.alterClientQuotas(List.of(new ClientQuotaAlteration(user, List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 7.0)))),
            new AlterClientQuotasOptions().validateOnly(true)).values());
        settled("describe", "connection_creation_rate", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities());
        call("describe a user", () -> admin.describeClientQuotas(ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntity("user", Check.name("user"))))).entities());
        call("describe only a user", () -> admin.describeClientQuotas(ClientQuotaFilter.containsOnly(List.of(ClientQuotaFilterComponent.ofEntity("user", Check.name("user"))))).entities());
        call("describe the default", () -> admin.describeClientQuotas(ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofDefaultEntity("client-id")))).entities());
        call("describe any client", () -> admin.describeClientQuotas(ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntityType("client-id")))).entities());
        call("describe, wrong", () -> admin.describeClientQuotas(ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntityType("planet")))).entities());
        call("remove", () -> admin.alterClientQuotas(List.of(
            new ClientQuotaAlteration(user, List.of(new ClientQuotaAlteration.Op("producer_byte_rate", null), new ClientQuotaAlteration.Op("request_percentage", null))),
            new ClientQuotaAlteration(client, List.of(new ClientQuotaAlteration.Op("consumer_byte_rate", null))),
            new ClientQuotaAlteration(anyone, List.of(new ClientQuotaAlteration.Op("controller_mutation_rate", null))),
            new ClientQuotaAlteration(ip, List.of(new ClientQuotaAlteration.Op("connection_creation_rate", null))))).values());
        settled("after", "{}", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities());
    }

    private static void scram() throws Exception {
        String user = Check.name("scram");
        call("alter", () -> admin.alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion(user, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"),
            new UserScramCredentialUpsertion(user, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192), "secret"))).values());
        call("alter, wrong", () -> admin.alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion("w1", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 1), "secret"),
            new UserScramCredentialUpsertion("w2", new ScramCredentialInfo(ScramMechanism.UNKNOWN, 4096), "secret"),
            new UserScramCredentialUpsertion("", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"),
            new UserScramCredentialDeletion("w3", ScramMechanism.SCRAM_SHA_256))).values());
        settled("describe", "8192", () -> admin.describeUserScramCredentials().all());
        call("describe nobody", () -> admin.describeUserScramCredentials(List.of("w3")).description("w3"));
        call("delete", () -> admin.alterUserScramCredentials(List.of(new UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_256))).values());
        settled("after", "8192]}", () -> admin.describeUserScramCredentials(List.of(user)).all());
        call("users", () -> admin.describeUserScramCredentials().users());
    }

    private static void tokens() {
        call("create", () -> admin.createDelegationToken().delegationToken());
        call("renew", () -> admin.renewDelegationToken(new byte[] {1}).expiryTimestamp());
        call("expire", () -> admin.expireDelegationToken(new byte[] {1}).expiryTimestamp());
        call("describe", () -> admin.describeDelegationToken().delegationTokens());
    }

    private static void transactions() throws Exception {
        String topic = Check.name("txn"), id = Check.name("txn-id");
        Check.topic(topic, 1);
        settled("there", topic, () -> admin.describeTopics(List.of(topic)).allTopicNames());
        TopicPartition zero = partition(topic);
        try (KafkaProducer<String, String> producer = Check.producer("transactional.id", id, "transaction.timeout.ms", 50000)) {
            producer.initTransactions();
            settled("before any", id, () -> described(id));
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, null, "v")).get();
            call("open", () -> described(id));
            call("unknown", () -> admin.describeTransactions(List.of(Check.name("none"))).description(Check.name("none")));
            call("list", () -> listed(new ListTransactionsOptions(), id));
            call("list ongoing", () -> listed(new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING)), id));
            call("list prepared", () -> listed(new ListTransactionsOptions().filterStates(Set.of(TransactionState.PREPARE_ABORT)), id));
            call("list older", () -> listed(new ListTransactionsOptions().filterOnDuration(3600000), id));
            call("list by pattern", () -> listed(new ListTransactionsOptions().filterOnTransactionalIdPattern(".*-id"), id));
            call("list by a wrong pattern", () -> listed(new ListTransactionsOptions().filterOnTransactionalIdPattern("(("), id));
            ProducerState[] state = new ProducerState[1];
            call("producers", () -> {
                state[0] = Check.get(admin.describeProducers(List.of(zero)).partitionResult(zero)).activeProducers().get(0);
                return state[0].lastSequence() + " " + text(state[0].currentTransactionStartOffset()) + " " + state[0].coordinatorEpoch().isPresent();
            });
            call("abort with a wrong epoch", () -> admin.abortTransaction(new AbortTransactionSpec(zero, state[0].producerId(), (short) (state[0].producerEpoch() - 1), 0)).all());
            call("abort", () -> admin.abortTransaction(new AbortTransactionSpec(zero, state[0].producerId(), (short) state[0].producerEpoch(),
                state[0].coordinatorEpoch().orElse(0))).all());
            call("producers after", () -> text(Check.get(admin.describeProducers(List.of(zero)).partitionResult(zero)).activeProducers().get(0).currentTransactionStartOffset()));
            FenceProducersResult fenced = admin.fenceProducers(List.of(id));
            call("fence", () -> fenced.fencedProducers());
            call("fence, producer id", () -> Check.get(fenced.producerId(id)) == state[0].producerId());
            call("fence, epoch", () -> Check.get(fenced.epochId(id)) > state[0].producerEpoch());
            settled("fenced", "Complete", () -> described(id));
        }
        try (KafkaProducer<String, String> producer = Check.producer("transactional.id", id)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, null, "v")).get();
            call("terminate", () -> admin.forceTerminateTransaction(id).result());
            call("terminate nothing", () -> admin.forceTerminateTransaction(Check.name("none")).result());
            settled("terminated", "Complete", () -> described(id));
            call("terminated producer", () -> {
                producer.commitTransaction();
                return "committed";
            });
        }
    }

    private static String described(String id) throws Exception {
        TransactionDescription description = Check.get(admin.describeTransactions(List.of(id)).description(id));
        return id + " " + (description.coordinatorId() == node) + " " + description.state() + " " + description.transactionTimeoutMs() + " "
            + text(description.transactionStartTimeMs()) + " " + text(description.topicPartitions());
    }

    private static String listed(ListTransactionsOptions options, String id) throws Exception {
        return "" + Check.get(admin.listTransactions(options).all()).stream().filter(t -> t.transactionalId().equals(id)).map(t -> t.state().toString()).collect(Collectors.toList());
    }

    private static String members(Collection<MemberDescription> members) throws Exception {
        Set<String> out = new TreeSet<>();
        for (MemberDescription m : members) {
            out.add(m.clientId() + " " + m.groupInstanceId() + " " + m.host() + " " + text(m.assignment().topicPartitions()) + " target "
                + (m.targetAssignment().isPresent() ? text(m.targetAssignment().get().topicPartitions()) : "none") + " epoch " + m.memberEpoch() + " upgraded " + m.upgraded());
        }
        return out.toString();
    }

    private static String described(ConsumerGroupDescription g) throws Exception {
        return g.groupId() + " " + g.isSimpleConsumerGroup() + " " + g.partitionAssignor() + " " + g.type() + " " + g.groupState() + " " + text(g.coordinator()) + " "
            + text(g.authorizedOperations()) + " epoch " + text(g.groupEpoch()) + " " + text(g.targetAssignmentEpoch()) + " " + members(g.members());
    }

    private static void groups() throws Exception {
        String topic = Check.name("groups"), none = Check.name("none");
        Check.topic(topic, 2, Map.of("retention.ms", "-1"));
        settled("there", topic, () -> admin.describeTopics(List.of(topic)).allTopicNames());
        produce(topic, 10);
        TopicPartition zero = partition(topic), one = new TopicPartition(topic, 1);
        for (String protocol : List.of("classic", "consumer")) {
            String group = Check.name("group-" + protocol);
            KafkaConsumer<String, String> consumer = Check.consumer("group.id", group, "group.protocol", protocol, "client.id", "me", "group.instance.id", "inst",
                "enable.auto.commit", false);
            consumer.subscribe(List.of(topic));
            Check.equal("read", Check.read(consumer, 10, 30).size(), 10);
            consumer.commitSync();
            call(protocol + ", describe", () -> described(Check.get(admin.describeConsumerGroups(List.of(group)).describedGroups().get(group))));
            call(protocol + ", describe with operations", () -> described(Check.get(admin.describeConsumerGroups(List.of(group),
                new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true)).describedGroups().get(group))));
            call(protocol + ", as a classic one", () -> {
                ClassicGroupDescription g = Check.get(admin.describeClassicGroups(List.of(group)).describedGroups().get(group));
                return g.groupId() + " " + g.protocol() + " " + g.protocolData() + " " + g.isSimpleConsumerGroup() + " " + g.state() + " " + members(g.members());
            });
            call(protocol + ", as a share group", () -> admin.describeShareGroups(List.of(group)).all());
            call(protocol + ", list", () -> Check.get(admin.listConsumerGroups().all()).stream().filter(g -> g.groupId().equals(group)).collect(Collectors.toList()));
            call(protocol + ", list groups", () -> Check.get(admin.listGroups().all()).stream().filter(g -> g.groupId().equals(group)).collect(Collectors.toList()));
            call(protocol + ", list groups by type", () -> Check.get(admin.listGroups(ListGroupsOptions.forConsumerGroups()).all()).stream().filter(g -> g.groupId().equals(group)).collect(Collectors.toList()));
            call(protocol + ", list empty groups", () -> Check.get(admin.listGroups(new ListGroupsOptions().inGroupStates(Set.of(org.apache.kafka.common.GroupState.EMPTY))).all()).stream()
                .filter(g -> g.groupId().equals(group)).collect(Collectors.toList()));
            call(protocol + ", offsets", () -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            call(protocol + ", offsets of partitions", () -> admin.listConsumerGroupOffsets(Map.of(group, new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(zero, partition(none))),
                none, new ListConsumerGroupOffsetsSpec())).all());
            call(protocol + ", alter offsets of a live group", () -> admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(3))).all());
            call(protocol + ", delete offsets of a live group", () -> admin.deleteConsumerGroupOffsets(group, Set.of(zero)).all());
            call(protocol + ", delete a live group", () -> admin.deleteConsumerGroups(List.of(group)).deletedGroups());
            call(protocol + ", remove an unknown member", () -> admin.removeMembersFromConsumerGroup(group,
                new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("nobody")))).memberResult(new MemberToRemove("nobody")));
            call(protocol + ", remove a member", () -> admin.removeMembersFromConsumerGroup(group,
                new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("inst")))).all());
            settled(protocol + ", removed", "mpty", () -> described(Check.get(admin.describeConsumerGroups(List.of(group)).describedGroups().get(group))));
            consumer.close(org.apache.kafka.clients.consumer.CloseOptions.timeout(Duration.ofSeconds(1)));
            call(protocol + ", remove all members", () -> admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions()).all());
            call(protocol + ", alter offsets", () -> admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(3, Optional.of(0), "note"), one, new OffsetAndMetadata(0))).all());
            call(protocol + ", alter offsets of nothing", () -> admin.alterConsumerGroupOffsets(group, Map.of(partition(none), new OffsetAndMetadata(3))).all());
            call(protocol + ", altered", () -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            call(protocol + ", delete offsets", () -> admin.deleteConsumerGroupOffsets(group, Set.of(one)).all());
            call(protocol + ", delete offsets of nothing", () -> admin.deleteConsumerGroupOffsets(group, Set.of(partition(none))).partitionResult(partition(none)));
            call(protocol + ", after deleting", () -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            call(protocol + ", delete", () -> admin.deleteConsumerGroups(List.of(group, none)).deletedGroups());
            call(protocol + ", deleted", () -> described(Check.get(admin.describeConsumerGroups(List.of(group)).describedGroups().get(group))));
        }
        String simple = Check.name("simple");
        call("a group made by offsets", () -> admin.alterConsumerGroupOffsets(simple, Map.of(zero, new OffsetAndMetadata(1))).all());
        call("describe it", () -> described(Check.get(admin.describeConsumerGroups(List.of(simple)).describedGroups().get(simple))));
        call("list it", () -> Check.get(admin.listConsumerGroups().all()).stream().filter(g -> g.groupId().equals(simple)).collect(Collectors.toList()));
    }

    private static String featureRange(String name) throws Exception {
        FeatureMetadata metadata = Check.get(admin.describeFeatures().featureMetadata());
        return name + " " + metadata.finalizedFeatures().get(name) + " of " + metadata.supportedFeatures().get(name);
    }

    private static void features() throws Exception {
        for (String name : List.of("group.version", "transaction.version", "share.version", "kraft.version", "streams.version", "eligible.leader.replicas.version", "metadata.version")) {
            call("describe", () -> featureRange(name));
        }
        FeatureUpdate.UpgradeType up = FeatureUpdate.UpgradeType.UPGRADE, down = FeatureUpdate.UpgradeType.SAFE_DOWNGRADE;
        call("unknown", () -> admin.updateFeatures(Map.of("no.such", new FeatureUpdate((short) 1, up)), new UpdateFeaturesOptions()).values());
        call("too high", () -> admin.updateFeatures(Map.of("group.version", new FeatureUpdate((short) 9, up)), new UpdateFeaturesOptions()).values());
        call("a downgrade called upgrade", () -> admin.updateFeatures(Map.of("transaction.version", new FeatureUpdate((short) 1, up)), new UpdateFeaturesOptions()).values());
        call("validate only", () -> admin.updateFeatures(Map.of("share.version", new FeatureUpdate((short) 1, up)), new UpdateFeaturesOptions().validateOnly(true)).values());
        call("an upgrade called downgrade", () -> admin.updateFeatures(Map.of("share.version", new FeatureUpdate((short) 1, down)), new UpdateFeaturesOptions()).values());
        call("share groups", () -> admin.updateFeatures(Map.of("share.version", new FeatureUpdate((short) 1, up)), new UpdateFeaturesOptions()).values());
        settled("after", "max_version_level:1", () -> featureRange("share.version"));
    }

    private static void shareGroups() throws Exception {
        String topic = Check.name("share"), group = Check.name("share-group"), none = Check.name("none");
        Check.topic(topic, 1, Map.of("retention.ms", "-1"));
        settled("there", topic, () -> admin.describeTopics(List.of(topic)).allTopicNames());
        produce(topic, 10);
        TopicPartition zero = partition(topic);
        call("reset", () -> admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group),
            ops("share.auto.offset.reset", "earliest", AlterConfigOp.OpType.SET))).all());
        KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(Check.settings("group.id", group, "client.id", "me"), new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(topic));
        int read = 0;
        for (long end = System.nanoTime() + 30_000_000_000L; read < 10 && System.nanoTime() < end; ) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                read++;
            }
        }
        Check.equal("read", read, 10);
        consumer.commitSync();
        settled("describe", "Stable", () -> shareGroup(group));
        call("list", () -> Check.get(admin.listGroups(ListGroupsOptions.forShareGroups()).all()).stream().filter(g -> g.groupId().equals(group)).collect(Collectors.toList()));
        settled("offsets", "offset=", () -> admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec())).partitionsToOffsetAndMetadata(group));
        call("as a consumer group", () -> described(Check.get(admin.describeConsumerGroups(List.of(group)).describedGroups().get(group))));
        call("delete a live group", () -> admin.deleteShareGroups(List.of(group)).deletedGroups());
        call("delete offsets of a live group", () -> admin.deleteShareGroupOffsets(group, Set.of(topic)).all());
        call("alter offsets of a live group", () -> admin.alterShareGroupOffsets(group, Map.of(zero, 2L)).all());
        consumer.close();
        settled("left", "Empty", () -> shareGroup(group));
        call("alter offsets", () -> admin.alterShareGroupOffsets(group, Map.of(zero, 2L)).partitionResult(zero));
        call("alter offsets of nothing", () -> admin.alterShareGroupOffsets(group, Map.of(partition(none), 2L)).partitionResult(partition(none)));
        call("delete offsets", () -> admin.deleteShareGroupOffsets(group, Set.of(topic)).topicResult(topic));
        call("delete offsets of nothing", () -> admin.deleteShareGroupOffsets(group, Set.of(none)).topicResult(none));
        call("offsets after", () -> admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec().topicPartitions(List.of(zero)))).partitionsToOffsetAndMetadata(group));
        call("offsets of nobody", () -> admin.listShareGroupOffsets(Map.of(none, new ListShareGroupOffsetsSpec())).partitionsToOffsetAndMetadata(none));
        call("delete", () -> admin.deleteShareGroups(List.of(group, none)).deletedGroups());
        call("deleted", () -> shareGroup(group));
    }

    private static String shareGroup(String group) throws Exception {
        ShareGroupDescription g = Check.get(admin.describeShareGroups(List.of(group)).describedGroups().get(group));
        Set<String> members = new TreeSet<>();
        for (ShareMemberDescription m : g.members()) {
            members.add(m.clientId() + " " + m.host() + " " + text(m.assignment().topicPartitions()));
        }
        return g.groupId() + " " + text(g.coordinator()) + " " + g.groupState() + " " + text(g.authorizedOperations()) + " " + members;
    }

    private static void streamsGroups() {
        String group = Check.name("streams"), topic = Check.name("groups");
        call("describe", () -> admin.describeStreamsGroups(List.of(group)).all());
        call("list", () -> admin.listGroups(ListGroupsOptions.forStreamsGroups()).all());
        call("alter offsets", () -> admin.alterStreamsGroupOffsets(group, Map.of(partition(topic), new OffsetAndMetadata(3))).all());
        call("offsets", () -> admin.listStreamsGroupOffsets(Map.of(group, new ListStreamsGroupOffsetsSpec())).partitionsToOffsetAndMetadata(group));
        call("delete offsets", () -> admin.deleteStreamsGroupOffsets(group, Set.of(partition(topic))).partitionResult(partition(topic)));
        call("delete", () -> admin.deleteStreamsGroups(List.of(group, Check.name("none"))).deletedGroups());
    }

    private static void client() {
        call("instance id", () -> admin.clientInstanceId(Duration.ofSeconds(5)));
        call("metrics", () -> admin.metrics().isEmpty());
        KafkaMetric metric = new KafkaMetric(new Object(), new MetricName("m", "g", "", Map.of()), (org.apache.kafka.common.metrics.Measurable) (config, now) -> 1, new MetricConfig(), Time.SYSTEM);
        call("register a metric", () -> {
            admin.registerMetricForSubscription(metric);
            admin.unregisterMetricFromSubscription(metric);
            return "done";
        });
    }
}
