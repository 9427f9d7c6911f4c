import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Groups of the new consumer protocol (KIP-848) and share groups (KIP-932) of the Java client. A member that dies is a process of its
 * own: this program once more, with the arguments BOOTSTRAP PREFIX member consumer|share TOPIC GROUP; it prints what it holds and waits.
 */
public final class NewGroups {
    private static final int SESSION_MS = 6000;
    private static final int LOCK_MS = 15000;  // the least that Kafka's default of the smallest allows

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 2) {
            Check.bootstrap = arguments[0];
            Check.prefix = arguments[1];
            member(arguments[3], arguments[4], arguments[5]);
            return;
        }
        Check.begin(arguments);
        Check.feature("consumer_two_members", NewGroups::consumerTwoMembers);
        Check.feature("consumer_pattern", NewGroups::consumerPattern);
        Check.feature("consumer_static", NewGroups::consumerStatic);
        Check.feature("consumer_from_classic", NewGroups::consumerFromClassic);
        Check.feature("consumer_killed_member", NewGroups::consumerKilled);
        Check.feature("share_upgrade", NewGroups::shareUpgrade);
        Check.feature("share_acknowledge", NewGroups::shareAcknowledge);
        Check.feature("share_lock_timeout", NewGroups::shareLockTimeout);
        Check.feature("share_read_committed", NewGroups::shareReadCommitted);
        Check.feature("share_two_members", NewGroups::shareTwoMembers);
        Check.feature("share_killed_member", NewGroups::shareKilled);
        System.exit(0);
    }

    // -- what both share --

    private static void produce(String topic, int partitions, int first, int count) throws Exception {
        try (KafkaProducer<String, String> producer = Check.producer()) {
            for (int i = first; i < first + count; i++) {
                producer.send(new ProducerRecord<>(topic, i % partitions, null, "" + i));
            }
            producer.flush();
        }
    }

    private static void groupConfig(String group, String... pairs) throws Exception {
        List<AlterConfigOp> ops = new ArrayList<>();
        for (int i = 0; i < pairs.length; i += 2) {
            ops.add(new AlterConfigOp(new ConfigEntry(pairs[i], pairs[i + 1]), AlterConfigOp.OpType.SET));
        }
        try (Admin admin = Check.admin()) {
            Check.get(admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group), ops)).all());
        }
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    private static void until(String what, int seconds, Condition condition) throws Exception {
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        while (!condition.holds()) {
            Check.that("not within " + seconds + " s: " + what, System.nanoTime() < end);
        }
    }

    private static void member(String kind, String topic, String group) throws Exception {
        if (kind.equals("consumer")) {
            KafkaConsumer<String, String> consumer = consumer(group);
            consumer.subscribe(List.of(topic));
            Set<TopicPartition> shown = Set.of();
            while (true) {
                consumer.poll(Duration.ofMillis(100));
                if (!consumer.assignment().equals(shown)) {
                    shown = consumer.assignment();
                    System.out.println("holds " + shown.size());
                }
            }
        }
        KafkaShareConsumer<String, String> consumer = share(group);
        consumer.subscribe(List.of(topic));
        while (true) {
            List<String> held = poll(consumer);
            if (!held.isEmpty()) {
                System.out.println("holds " + held.size());
                Thread.sleep(3600_000);  // nothing is acknowledged any more
            }
        }
    }

    private static Process startMember(String kind, String topic, String group) throws Exception {
        String java = ProcessHandle.current().info().command().get();
        Process process = new ProcessBuilder(java, "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"),
            "NewGroups", Check.bootstrap, Check.prefix, "member", kind, topic, group).redirectErrorStream(true).start();
        Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
        return process;
    }

    private static java.io.BufferedReader lines(Process process) {
        return new java.io.BufferedReader(new java.io.InputStreamReader(process.getInputStream()));
    }

    // -- consumers --

    private static KafkaConsumer<String, String> consumer(String group, Object... more) {
        Object[] settings = Arrays.copyOf(new Object[] {"group.id", group, "group.protocol", "consumer", "enable.auto.commit", false}, 6 + more.length);
        System.arraycopy(more, 0, settings, 6, more.length);
        return Check.consumer(settings);
    }

    private static void consumerTwoMembers() throws Exception {
        for (String assignor : List.of("uniform", "range")) {
            String topic = Check.name("two-" + assignor), group = Check.name("two-group-" + assignor);
            Check.topic(topic, 6);
            produce(topic, 6, 0, 300);
            Map<String, Integer> seen = new HashMap<>();
            try (KafkaConsumer<String, String> one = consumer(group, "group.remote.assignor", assignor)) {
                one.subscribe(List.of(topic));
                until("one has all", 30, () -> {
                    one.poll(Duration.ofMillis(100)).forEach(r -> seen.merge(r.value(), 1, Integer::sum));
                    return one.assignment().size() == 6 && seen.size() == 300;
                });
                one.commitSync();
                try (KafkaConsumer<String, String> two = consumer(group, "group.remote.assignor", assignor)) {
                    two.subscribe(List.of(topic));
                    until("three each", 60, () -> {
                        for (KafkaConsumer<String, String> c : List.of(one, two)) {
                            c.poll(Duration.ofMillis(100)).forEach(r -> seen.merge(r.value(), 1, Integer::sum));
                        }
                        return one.assignment().size() == 3 && two.assignment().size() == 3;
                    });
                    Set<TopicPartition> both = new HashSet<>(one.assignment());
                    both.retainAll(two.assignment());
                    Check.equal("partitions of both", both, Set.of());
                    produce(topic, 6, 300, 300);
                    until("the others are read", 30, () -> {
                        for (KafkaConsumer<String, String> c : List.of(one, two)) {
                            c.poll(Duration.ofMillis(100)).forEach(r -> seen.merge(r.value(), 1, Integer::sum));
                        }
                        return seen.size() == 600;
                    });
                    one.commitSync();
                    two.commitSync();
                    try (Admin admin = Check.admin()) {
                        ConsumerGroupDescription described = Check.get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
                        Check.equal("described", described.type() + " " + described.groupState() + " " + described.partitionAssignor() + " " + described.members().size(),
                            "Consumer Stable " + assignor + " 2");
                    }
                }
                until("all for who stays", 30, () -> {
                    one.poll(Duration.ofMillis(100)).forEach(r -> seen.merge(r.value(), 1, Integer::sum));
                    return one.assignment().size() == 6;
                });
            }
            Check.that("each record once", seen.size() == 600 && seen.values().stream().allMatch(n -> n == 1));
        }
    }

    private static void consumerPattern() throws Exception {
        Check.topic(Check.name("pattern-1"), 2);
        Check.topic(Check.name("patter-2"), 2);
        try (KafkaConsumer<String, String> consumer = consumer(Check.name("pattern-group"), "metadata.max.age.ms", 1000)) {
            consumer.subscribe(new SubscriptionPattern(Check.prefix + "-pattern-.*"));
            until("the topic of that name", 30, () -> {
                consumer.poll(Duration.ofMillis(100));
                return consumer.assignment().size() == 2;
            });
            Check.topic(Check.name("pattern-3"), 1);
            until("a topic that came later", 60, () -> {
                consumer.poll(Duration.ofMillis(100));
                return consumer.assignment().size() == 3;
            });
        }
        try (KafkaConsumer<String, String> consumer = consumer(Check.name("pattern-client"), "metadata.max.age.ms", 1000)) {
            consumer.subscribe(Pattern.compile(".*-patter-\\d"));  // matched by the client
            until("the other", 30, () -> {
                consumer.poll(Duration.ofMillis(100));
                return consumer.assignment().size() == 2;
            });
        }
    }

    private static void consumerStatic() throws Exception {
        String topic = Check.name("static"), group = Check.name("static-group");
        Check.topic(topic, 2);
        KafkaConsumer<String, String> one = consumer(group, "group.instance.id", "a");
        one.subscribe(List.of(topic));
        until("assigned", 30, () -> {
            one.poll(Duration.ofMillis(100));
            return one.assignment().size() == 2;
        });
        try (KafkaConsumer<String, String> twin = consumer(group, "group.instance.id", "a")) {
            twin.subscribe(List.of(topic));
            Check.fails(org.apache.kafka.common.errors.UnreleasedInstanceIdException.class, () -> until("the twin is refused", 30, () -> {
                one.poll(Duration.ofMillis(10));
                twin.poll(Duration.ofMillis(100));
                return false;
            }));
        }
        one.close();
        try (KafkaConsumer<String, String> again = consumer(group, "group.instance.id", "a")) {
            again.subscribe(List.of(topic));
            until("it comes back", 30, () -> {
                again.poll(Duration.ofMillis(100));
                return again.assignment().size() == 2;
            });
        }
    }

    private static void consumerFromClassic() throws Exception {
        String topic = Check.name("online"), group = Check.name("online-group");
        Check.topic(topic, 4);
        produce(topic, 4, 0, 40);
        Set<String> seen = new HashSet<>();
        try (KafkaConsumer<String, String> classic = Check.consumer("group.id", group, "enable.auto.commit", false,
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor", "session.timeout.ms", SESSION_MS)) {
            classic.subscribe(List.of(topic));
            until("the classic member has all", 30, () -> {
                classic.poll(Duration.ofMillis(100)).forEach(r -> seen.add(r.value()));
                return seen.size() == 40;
            });
            classic.commitSync();
            try (KafkaConsumer<String, String> modern = consumer(group)) {
                modern.subscribe(List.of(topic));
                until("they share", 60, () -> {
                    classic.poll(Duration.ofMillis(100));
                    modern.poll(Duration.ofMillis(100));
                    return classic.assignment().size() == 2 && modern.assignment().size() == 2;
                });
                classic.close();
                until("the modern one has all", 60, () -> {
                    modern.poll(Duration.ofMillis(100));
                    return modern.assignment().size() == 4;
                });
                Check.equal("offsets", modern.committed(modern.assignment()).values().stream().mapToLong(OffsetAndMetadata::offset).sum(), 40L);
            }
        }
    }

    private static void consumerKilled() throws Exception {
        String topic = Check.name("killed"), group = Check.name("killed-group");
        Check.topic(topic, 4);
        groupConfig(group, "consumer.session.timeout.ms", "45000");
        try (KafkaConsumer<String, String> one = consumer(group)) {
            one.subscribe(List.of(topic));
            Process other = startMember("consumer", topic, group);
            try {
                until("two each", 60, () -> {
                    one.poll(Duration.ofMillis(100));
                    return one.assignment().size() == 2;
                });
                other.destroyForcibly().waitFor();
                long killed = System.nanoTime();
                until("all for who lives", 90, () -> {
                    one.poll(Duration.ofMillis(100));
                    return one.assignment().size() == 4;
                });
                System.out.println("note partitions of a killed consumer given on after " + (System.nanoTime() - killed) / 1_000_000_000L + " s (session timeout 45 s)");
            } finally {
                other.destroyForcibly();
            }
        }
    }

    // -- share consumers --

    private static KafkaShareConsumer<String, String> share(String group) {
        return new KafkaShareConsumer<>(Check.settings("group.id", group, "share.acknowledgement.mode", "explicit"), new StringDeserializer(), new StringDeserializer());
    }

    private static List<ConsumerRecord<String, String>> records(KafkaShareConsumer<String, String> consumer) {
        List<ConsumerRecord<String, String>> out = new ArrayList<>();
        consumer.poll(Duration.ofMillis(300)).forEach(out::add);
        return out;
    }

    private static List<String> poll(KafkaShareConsumer<String, String> consumer) {
        return records(consumer).stream().map(ConsumerRecord::value).collect(Collectors.toList());
    }

    private static String shareTopic(String name, int partitions, String... config) throws Exception {
        Check.topic(Check.name(name), partitions);
        String[] all = Arrays.copyOf(new String[] {"share.auto.offset.reset", "earliest", "share.record.lock.duration.ms", "" + LOCK_MS}, 4 + config.length);
        System.arraycopy(config, 0, all, 4, config.length);
        groupConfig(Check.name(name + "-group"), all);
        return Check.name(name);
    }

    /** As the tools do: kafka-features upgrade --feature share.version=1. */
    private static void shareUpgrade() throws Exception {
        try (Admin admin = Check.admin()) {
            Check.get(admin.updateFeatures(Map.of("share.version", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all());
            until("finalized", 20, () -> Check.get(admin.describeFeatures().featureMetadata()).finalizedFeatures().get("share.version").maxVersionLevel() == 1);
        }
    }

    private static void shareAcknowledge() throws Exception {
        String topic = shareTopic("ack", 1), group = topic + "-group";
        produce(topic, 1, 0, 10);
        Map<String, List<Integer>> deliveries = new TreeMap<>();
        try (KafkaShareConsumer<String, String> consumer = share(group)) {
            consumer.subscribe(List.of(topic));
            // 0 to 2 are accepted, 3 to 5 rejected, 6 to 8 released until they were delivered three times, 9 released for ever: five times.
            until("all are final", 60, () -> {
                for (ConsumerRecord<String, String> record : records(consumer)) {
                    int n = Integer.parseInt(record.value());
                    List<Integer> counts = deliveries.computeIfAbsent(record.value(), k -> new ArrayList<>());
                    counts.add((int) (short) record.deliveryCount().get());
                    consumer.acknowledge(record, n < 3 ? AcknowledgeType.ACCEPT : n < 6 ? AcknowledgeType.REJECT
                        : n < 9 && counts.size() == 3 ? AcknowledgeType.ACCEPT : AcknowledgeType.RELEASE);
                }
                consumer.commitSync().values().forEach(error -> Check.that("acknowledged: " + error, error.isEmpty()));
                return deliveries.getOrDefault("9", List.of()).size() == 5;
            });
            Check.equal("nothing comes again", poll(consumer).size() + poll(consumer).size() + poll(consumer).size(), 0);
        }
        for (int i = 0; i < 10; i++) {
            Check.equal("deliveries of " + i, deliveries.get("" + i), i < 6 ? List.of(1) : i < 9 ? List.of(1, 2, 3) : List.of(1, 2, 3, 4, 5));
        }
        try (KafkaShareConsumer<String, String> later = share(group)) {
            later.subscribe(List.of(topic));
            Check.equal("nothing is left", poll(later).size() + poll(later).size() + poll(later).size() + poll(later).size(), 0);
        }
    }

    private static void shareLockTimeout() throws Exception {
        String topic = shareTopic("lock", 1), group = topic + "-group";
        produce(topic, 1, 0, 4);
        try (KafkaShareConsumer<String, String> slow = share(group); KafkaShareConsumer<String, String> quick = share(group)) {
            slow.subscribe(List.of(topic));
            List<ConsumerRecord<String, String>> held = new ArrayList<>();
            until("the slow one holds all", 30, () -> {
                held.addAll(records(slow));
                return held.size() == 4;
            });
            long since = System.nanoTime();
            quick.subscribe(List.of(topic));
            List<ConsumerRecord<String, String>> taken = new ArrayList<>();
            until("the quick one gets them", 60, () -> {
                for (ConsumerRecord<String, String> record : records(quick)) {
                    quick.acknowledge(record, AcknowledgeType.ACCEPT);
                    taken.add(record);
                }
                quick.commitSync();
                return taken.size() == 4;
            });
            long waited = (System.nanoTime() - since) / 1_000_000;
            Check.that("not before the lock ended: " + waited + " ms", waited > LOCK_MS - 2000 && waited < LOCK_MS + 10000);
            Check.equal("delivered for the second time", taken.stream().allMatch(r -> r.deliveryCount().get() == 2), true);
            held.forEach(record -> slow.acknowledge(record, AcknowledgeType.ACCEPT));
            List<String> told = slow.commitSync().values().stream().map(e -> e.map(x -> x.getClass().getSimpleName()).orElse("none"))
                .collect(Collectors.toList());
            // As from Kafka 4.1: what lies before the group's start is done, whoever says so.
            Check.equal("acknowledged again, after another did", told, List.of("none"));
        }
    }

    private static void shareReadCommitted() throws Exception {
        String topic = shareTopic("committed", 1, "share.isolation.level", "read_committed"), group = topic + "-group";
        try (KafkaProducer<String, String> producer = Check.producer("transactional.id", Check.name("share-txn"));
             KafkaShareConsumer<String, String> consumer = share(group)) {
            producer.initTransactions();
            for (int round = 0; round < 4; round++) {
                producer.beginTransaction();
                for (int i = 0; i < 5; i++) {
                    producer.send(new ProducerRecord<>(topic, 0, null, round + "-" + i));
                }
                producer.flush();
                if (round == 1 || round == 2) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, null, "open")).get();
            consumer.subscribe(List.of(topic));
            List<String> got = new ArrayList<>();
            Condition take = () -> {
                for (ConsumerRecord<String, String> record : records(consumer)) {
                    consumer.acknowledge(record, AcknowledgeType.ACCEPT);
                    got.add(record.value());
                }
                consumer.commitSync();
                return got.size() >= 10;
            };
            until("the committed ones", 30, take);
            take.holds();
            take.holds();
            Check.equal("committed ones", got, List.of("0-0", "0-1", "0-2", "0-3", "0-4", "3-0", "3-1", "3-2", "3-3", "3-4"));
            producer.commitTransaction();
            until("the open one when it is committed", 30, () -> take.holds() && got.size() == 11);
            Check.equal("the last", got.get(10), "open");
        }
    }

    private static void shareTwoMembers() throws Exception {
        String topic = shareTopic("pair", 1), group = topic + "-group";
        Map<String, Integer> seen = new HashMap<>();
        int[] by = new int[2];
        try (KafkaShareConsumer<String, String> one = share(group); KafkaShareConsumer<String, String> two = share(group)) {
            one.subscribe(List.of(topic));
            two.subscribe(List.of(topic));
            for (int round = 0; round < 20; round++) {
                produce(topic, 1, round * 50, 50);
                int want = (round + 1) * 50;
                until("all of a round", 60, () -> {
                    for (int i = 0; i < 2; i++) {
                        KafkaShareConsumer<String, String> c = i == 0 ? one : two;
                        for (ConsumerRecord<String, String> record : records(c)) {
                            seen.merge(record.value(), 1, Integer::sum);
                            by[i]++;
                            c.acknowledge(record, AcknowledgeType.ACCEPT);
                        }
                        c.commitAsync();
                    }
                    return seen.size() == want;
                });
            }
            one.commitSync();
            two.commitSync();
        }
        Check.that("each record once", seen.size() == 1000 && seen.values().stream().allMatch(n -> n == 1));
        Check.that("both have had some of the one partition: " + by[0] + " and " + by[1], by[0] > 0 && by[1] > 0);
    }

    private static void shareKilled() throws Exception {
        String topic = shareTopic("dead", 1), group = topic + "-group";
        produce(topic, 1, 0, 20);
        Process other = startMember("share", topic, group);
        try {
            String held = "";
            java.io.BufferedReader out = lines(other);
            while (held != null && !held.startsWith("holds ")) {
                held = out.readLine();
            }
            Check.that("the member holds records", held != null);
            other.destroyForcibly().waitFor();
            long killed = System.nanoTime();
            Set<String> got = new TreeSet<>();
            try (KafkaShareConsumer<String, String> heir = share(group)) {
                heir.subscribe(List.of(topic));
                until("what it held comes to another", 60, () -> {
                    for (ConsumerRecord<String, String> record : records(heir)) {
                        heir.acknowledge(record, AcknowledgeType.ACCEPT);
                        got.add(record.value());
                    }
                    heir.commitSync();
                    return got.size() == 20;
                });
            }
            System.out.println("note records of a killed share consumer given on after " + (System.nanoTime() - killed) / 1_000_000 + " ms");
        } finally {
            other.destroyForcibly();
        }
    }
}
