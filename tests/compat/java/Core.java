import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;

/** Producer, consumer and the administration that every line of Kafka's Java client from 2.8 on has. */
public final class Core {
    public static void main(String[] arguments) {
        Check.begin(arguments);
        Check.feature("records", Core::records);
        Check.feature("codecs", Core::codecs);
        Check.feature("large", Core::large);
        Check.feature("offsets", Core::offsets);
        Check.feature("groups", Core::groups);
        Check.feature("cooperative", Core::cooperative);
        Check.feature("idempotence", Core::idempotence);
        Check.feature("transactions", Core::transactions);
        Check.feature("admin", Core::admin);
        System.exit(0);
    }

    static void records() throws Exception {
        String topic = Check.name("records");
        Check.topic(topic, 3);
        try (KafkaProducer<String, String> producer = Check.producer("acks", "all")) {
            ProducerRecord<String, String> record = new ProducerRecord<>(topic, 1, 1234567890123L, "key", "value");
            record.headers().add("a", "1".getBytes()).add("a", new byte[0]).add("n", null);
            RecordMetadata metadata = producer.send(record).get();
            Check.equal("partition", metadata.partition(), 1);
            Check.equal("offset", metadata.offset(), 0L);
            Check.equal("timestamp", metadata.timestamp(), 1234567890123L);
            producer.send(new ProducerRecord<>(topic, 1, null, null)).get();
            Check.equal("partitionsFor", producer.partitionsFor(topic).size(), 3);
        }
        try (KafkaConsumer<String, String> consumer = Check.consumer()) {
            consumer.assign(List.of(new TopicPartition(topic, 1)));
            List<ConsumerRecord<String, String>> all = Check.read(consumer, 2, 20);
            Check.equal("records", all.size(), 2);
            ConsumerRecord<String, String> first = all.get(0);
            Check.equal("key and value", first.key() + first.value(), "keyvalue");
            Check.equal("timestamp", first.timestamp(), 1234567890123L);
            List<String> headers = new ArrayList<>();
            for (Header header : first.headers()) {
                headers.add(header.key() + "=" + (header.value() == null ? "null" : new String(header.value())));
            }
            Check.equal("headers", headers, List.of("a=1", "a=", "n=null"));
            Check.that("null key and value", all.get(1).key() == null && all.get(1).value() == null);
        }
    }

    static void codecs() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = Check.name("codec-" + codec);
            Check.topic(topic, 1);
            try (KafkaProducer<String, String> producer = Check.producer("compression.type", codec, "linger.ms", 20)) {
                for (int i = 0; i < 500; i++) {
                    producer.send(new ProducerRecord<>(topic, "k" + i, "value of the record " + i));
                }
            }
            try (KafkaConsumer<String, String> consumer = Check.consumer()) {
                consumer.assign(List.of(new TopicPartition(topic, 0)));
                List<ConsumerRecord<String, String>> all = Check.read(consumer, 500, 20);
                Check.equal(codec, all.stream().map(ConsumerRecord::value).distinct().count(), 500L);
            }
        }
        // The broker compresses anew when the topic names a codec of its own.
        String topic = Check.name("codec-broker");
        Check.topic(topic, 1, Map.of("compression.type", "gzip"));
        try (KafkaProducer<String, String> producer = Check.producer("compression.type", "lz4")) {
            producer.send(new ProducerRecord<>(topic, "k", "v")).get();
        }
        try (KafkaConsumer<String, String> consumer = Check.consumer()) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            Check.equal("recompressed", Check.read(consumer, 1, 20).get(0).value(), "v");
        }
    }

    static void large() throws Exception {
        String topic = Check.name("large");
        Check.topic(topic, 1, Map.of("max.message.bytes", "6000000"));
        String value = String.join("", Collections.nCopies(500000, "0123456789"));
        try (KafkaProducer<String, String> producer = Check.producer("max.request.size", 10000000)) {
            producer.send(new ProducerRecord<>(topic, "k", value)).get();
            Check.fails(RecordTooLargeException.class, () -> producer.send(new ProducerRecord<>(topic, "k", value + value.substring(1000000))).get());
        }
        try (KafkaConsumer<String, String> consumer = Check.consumer("fetch.max.bytes", 1000, "max.partition.fetch.bytes", 1000)) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            Check.equal("length", Check.read(consumer, 1, 20).get(0).value().length(), 5000000);
        }
    }

    static void offsets() throws Exception {
        String topic = Check.name("offsets");
        Check.topic(topic, 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = Check.producer()) {
            for (int i = 0; i < 100; i++) {
                producer.send(new ProducerRecord<>(topic, 0, 1000L + i, null, "" + i)).get();
            }
        }
        try (KafkaConsumer<String, String> consumer = Check.consumer()) {
            Check.equal("beginning", consumer.beginningOffsets(List.of(partition)).get(partition), 0L);
            Check.equal("end", consumer.endOffsets(List.of(partition)).get(partition), 100L);
            OffsetAndTimestamp at = consumer.offsetsForTimes(Map.of(partition, 1042L)).get(partition);
            Check.equal("offsetsForTimes", at.offset() + "@" + at.timestamp(), "42@1042");
            Check.equal("after the end", consumer.offsetsForTimes(Map.of(partition, 5000L)).get(partition), null);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 90);
            List<ConsumerRecord<String, String>> tail = Check.read(consumer, 10, 20);
            Check.equal("seek", tail.get(0).value(), "90");
            consumer.seek(partition, 1000);
            Check.equal("out of range goes to the earliest", Check.read(consumer, 1, 20).get(0).value(), "0");
            consumer.seekToEnd(List.of(partition));
            Check.equal("position", consumer.position(partition), 100L);
        }
    }

    /** Two members of one group: each record is read once, offsets are committed, the rest is for who stays. */
    static void groupRun(String topic, String group, Object... more) throws Exception {
        Check.topic(topic, 4);
        Set<String> seen = new HashSet<>();
        int[] rebalances = new int[1];
        Object[] settings = new Object[more.length + 4];
        settings[0] = "group.id";
        settings[1] = group;
        settings[2] = "enable.auto.commit";
        settings[3] = false;
        System.arraycopy(more, 0, settings, 4, more.length);
        try (KafkaConsumer<String, String> one = Check.consumer(settings)) {
            one.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) { }

                @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    rebalances[0]++;
                }
            });
            try (KafkaConsumer<String, String> two = Check.consumer(settings)) {
                two.subscribe(List.of(topic));
                long end = System.nanoTime() + 60_000_000_000L;
                while ((one.assignment().size() != 2 || two.assignment().size() != 2) && System.nanoTime() < end) {
                    one.poll(Duration.ofMillis(100));
                    two.poll(Duration.ofMillis(100));
                }
                Check.equal("shares", one.assignment().size() + "+" + two.assignment().size(), "2+2");
                try (KafkaProducer<String, String> producer = Check.producer()) {
                    for (int i = 0; i < 200; i++) {
                        producer.send(new ProducerRecord<>(topic, i % 4, null, "" + i));
                    }
                }
                int count = 0;
                while (seen.size() < 200 && System.nanoTime() < end) {
                    for (KafkaConsumer<String, String> c : List.of(one, two)) {
                        for (ConsumerRecord<String, String> record : c.poll(Duration.ofMillis(100))) {
                            seen.add(record.value());
                            count++;
                        }
                    }
                }
                Check.equal("records, distinct and all", seen.size() + "/" + count, "200/200");
                one.commitSync();
                two.commitSync(two.assignment().stream().collect(Collectors.toMap(p -> p, p -> new OffsetAndMetadata(50, "note"))));
            }
            long end = System.nanoTime() + 60_000_000_000L;
            while (one.assignment().size() != 4 && System.nanoTime() < end) {
                one.poll(Duration.ofMillis(100));
            }
            Check.equal("all partitions for who stays", one.assignment().size(), 4);
            Map<TopicPartition, OffsetAndMetadata> committed = one.committed(one.assignment());
            Check.equal("committed", committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum(), 200L);
            Check.equal("metadata", committed.values().stream().filter(o -> o.metadata().equals("note")).count(), 2L);
        }
        try (KafkaConsumer<String, String> again = Check.consumer(settings)) {
            again.subscribe(List.of(topic));
            Check.equal("nothing is read again", Check.read(again, 1, 3).size(), 0);
        }
    }

    static void groups() throws Exception {
        groupRun(Check.name("groups"), Check.name("group"));
    }

    static void cooperative() throws Exception {
        groupRun(Check.name("cooperative"), Check.name("cooperative-group"),
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    }

    static void idempotence() throws Exception {
        String topic = Check.name("idempotence");
        Check.topic(topic, 1);
        try (KafkaProducer<String, String> producer = Check.producer("enable.idempotence", true, "acks", "all", "linger.ms", 0,
                "max.in.flight.requests.per.connection", 5)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < 2000; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, "" + i)));
            }
            for (int i = 0; i < sent.size(); i++) {
                Check.equal("offset", sent.get(i).get().offset(), (long) i);
            }
        }
    }

    static void transactions() throws Exception {
        String in = Check.name("txn-in");
        String out = Check.name("txn-out");
        String group = Check.name("txn-group");
        Check.topic(in, 1);
        Check.topic(out, 2);
        try (KafkaProducer<String, String> producer = Check.producer()) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(in, "" + i)).get();
            }
        }
        TopicPartition input = new TopicPartition(in, 0);
        try (KafkaProducer<String, String> producer = Check.producer("transactional.id", Check.name("txn"));
             KafkaConsumer<String, String> consumer = Check.consumer("group.id", group, "enable.auto.commit", false)) {
            producer.initTransactions();
            consumer.subscribe(List.of(in));
            Check.equal("input", Check.read(consumer, 10, 30).size(), 10);
            for (int round = 0; round < 6; round++) {
                producer.beginTransaction();
                for (int i = 0; i < 5; i++) {
                    producer.send(new ProducerRecord<>(out, i % 2, null, round + "-" + i));
                }
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                offsets.put(input, new OffsetAndMetadata(round + 1));
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                if (round % 2 == 0) {
                    producer.commitTransaction();
                } else {
                    producer.flush();  // an abort drops what was not sent yet
                    producer.abortTransaction();
                }
            }
            Check.equal("committed in the last whole transaction", consumer.committed(Set.of(input)).get(input).offset(), 5L);
            try (KafkaProducer<String, String> newer = Check.producer("transactional.id", Check.name("txn"))) {
                newer.initTransactions();
                Check.fails(org.apache.kafka.common.KafkaException.class, () -> {
                    try {
                        producer.beginTransaction();
                        producer.send(new ProducerRecord<>(out, "fenced")).get();
                        producer.commitTransaction();
                    } catch (ProducerFencedException | InvalidProducerEpochException e) {
                        throw new org.apache.kafka.common.KafkaException(e);
                    }
                });
            }
        }
        for (String isolation : List.of("read_committed", "read_uncommitted")) {
            try (KafkaConsumer<String, String> consumer = Check.consumer("isolation.level", isolation)) {
                consumer.assign(List.of(new TopicPartition(out, 0), new TopicPartition(out, 1)));
                int want = isolation.equals("read_committed") ? 15 : 30;
                List<ConsumerRecord<String, String>> all = Check.read(consumer, want, 20);
                all.addAll(Check.read(consumer, 1, 2));
                Check.equal(isolation, all.size(), want);
            }
        }
    }

    static void admin() throws Exception {
        String topic = Check.name("admin");
        String group = Check.name("admin-group");
        try (Admin admin = Check.admin()) {
            Check.topic(topic, 2, Map.of("retention.ms", "3600000"));
            Check.fails(TopicExistsException.class, () -> Check.topic(topic, 2));
            Check.that("listed", Check.get(admin.listTopics().names()).contains(topic));
            Check.get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            Check.get(admin.incrementalAlterConfigs(Map.of(resource,
                List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET)))).all());
            Check.equal("config", Check.get(admin.describeConfigs(List.of(resource)).all()).get(resource).get("retention.ms").value(), "7200000");
            Check.equal("cluster", Check.get(admin.describeCluster().nodes()).size(), 1);
            TopicPartition partition = new TopicPartition(topic, 0);
            try (KafkaProducer<String, String> producer = Check.producer()) {
                for (int i = 0; i < 10; i++) {
                    producer.send(new ProducerRecord<>(topic, 0, null, "" + i)).get();
                }
            }
            Check.equal("deleteRecords", Check.get(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4)))
                .lowWatermarks().get(partition)).lowWatermark(), 4L);
            Map<TopicPartition, ListOffsetsResult.ListOffsetsResultInfo> offsets =
                Check.get(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all());
            Check.equal("listOffsets", offsets.get(partition).offset(), 4L);
            try (KafkaConsumer<String, String> consumer = Check.consumer("group.id", group)) {
                consumer.subscribe(List.of(topic));
                Check.equal("read", Check.read(consumer, 6, 20).size(), 6);
                consumer.commitSync();
                ConsumerGroupDescription described = Check.get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
                Check.equal("state and members", described.state() + " " + described.members().size(), "Stable 1");
                Check.equal("member's partitions", described.members().iterator().next().assignment().topicPartitions().size(), 4);
            }
            Check.that("group listed", Check.get(admin.listConsumerGroups().all()).stream().anyMatch(g -> g.groupId().equals(group)));
            Check.equal("group offset", Check.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(partition).offset(), 10L);
            Check.get(admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(5))).all());
            Check.equal("altered", Check.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(partition).offset(), 5L);
            Check.get(admin.deleteConsumerGroups(List.of(group)).all());
            Check.get(admin.deleteTopics(List.of(topic)).all());
            Check.fails(UnknownTopicOrPartitionException.class, () -> Check.get(admin.deleteTopics(List.of(topic)).all()));
        }
    }
}
