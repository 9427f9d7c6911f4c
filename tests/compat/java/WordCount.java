import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;

/**
 * Kafka Streams: words are counted through a repartition topic and a changelog, while lines are produced for a number of
 * seconds and the broker may be killed at any time by who started us.
 *
 * With the cache off each update of a count is one record of the output, so with exactly_once_v2 the committed output of a word
 * is 1, 2, 3 … n: a gap is a lost record, a repeat is one that was counted twice. With at_least_once the last count has to be n
 * at least, and n exactly when nothing was killed (argument exact).
 *
 * Arguments: BOOTSTRAP PREFIX GUARANTEE SECONDS exact|least STATE_FOLDER
 */
public final class WordCount {
    static final int WORDS = 20;
    static final int PARTITIONS = 3;

    public static void main(String[] arguments) throws Exception {
        Check.begin(arguments);
        String guarantee = arguments[2];
        int seconds = Integer.parseInt(arguments[3]);
        boolean exact = arguments[4].equals("exact");
        Check.feature(guarantee, () -> run(guarantee, seconds, exact, arguments[5]));
        System.exit(0);
    }

    static void run(String guarantee, int seconds, boolean exact, String folder) throws Exception {
        String in = Check.name("lines");
        String out = Check.name("counts");
        Check.topic(in, PARTITIONS);
        Check.topic(out, PARTITIONS);
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, Check.name("words"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, Check.bootstrap);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 500);
        settings.put("statestore.cache.max.bytes", 0);
        settings.put("cache.max.bytes.buffering", 0);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 10000);
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> lines = builder.stream(in, org.apache.kafka.streams.kstream.Consumed.with(Serdes.String(), Serdes.String()));
        lines.flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, org.apache.kafka.streams.kstream.Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.with(Serdes.String(), Serdes.Long()))
            .toStream().mapValues(String::valueOf)
            .to(out, org.apache.kafka.streams.kstream.Produced.with(Serdes.String(), Serdes.String()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        AtomicReference<Throwable> last = new AtomicReference<>();
        streams.setUncaughtExceptionHandler(e -> {
            last.set(e);
            System.out.println("thread replaced after " + Check.root(e));
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        Map<String, Integer> want = new TreeMap<>();
        produce(in, seconds, want);
        System.out.println("produced");  // from here on the broker is left alone
        int total = want.values().stream().mapToInt(Integer::intValue).sum();
        Map<String, List<Integer>> got = new HashMap<>();
        try (KafkaConsumer<String, String> consumer = Check.consumer("isolation.level", "read_committed")) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (int i = 0; i < PARTITIONS; i++) {
                partitions.add(new TopicPartition(out, i));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long end = System.nanoTime() + 120_000_000_000L;
            long quiet = System.nanoTime();
            while (System.nanoTime() < end) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    got.computeIfAbsent(record.key(), k -> new ArrayList<>()).add(Integer.parseInt(record.value()));
                    quiet = System.nanoTime();
                }
                boolean complete = want.entrySet().stream().allMatch(e -> got.containsKey(e.getKey())
                    && got.get(e.getKey()).get(got.get(e.getKey()).size() - 1) >= e.getValue());
                if (complete && System.nanoTime() - quiet > 3_000_000_000L) {
                    break;
                }
            }
        }
        System.out.println("words " + total + ", updates " + got.values().stream().mapToInt(List::size).sum());
        boolean closed = streams.close(Duration.ofSeconds(30));
        for (Map.Entry<String, Integer> entry : want.entrySet()) {
            List<Integer> counts = got.getOrDefault(entry.getKey(), List.of());
            int end = counts.isEmpty() ? 0 : counts.get(counts.size() - 1);
            if (exact) {
                Check.equal("last count of " + entry.getKey() + (last.get() == null ? "" : " after " + last.get()), end, entry.getValue());
                for (int i = 0; i < counts.size(); i++) {
                    Check.equal("update " + i + " of " + entry.getKey(), counts.get(i), i + 1);
                }
            } else {
                Check.that("count of " + entry.getKey() + ": " + end + " of " + entry.getValue(), end >= entry.getValue());
            }
        }
        Check.that("streams closes in time", closed);
    }

    /** Lines of three words, about 200 a second, idempotent, so that each is there once whatever happens to the broker. */
    static void produce(String topic, int seconds, Map<String, Integer> want) throws Exception {
        Random random = new Random(1);
        List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
        try (KafkaProducer<String, String> producer = Check.producer("enable.idempotence", true, "acks", "all",
                "delivery.timeout.ms", 300000, "request.timeout.ms", 10000, "max.block.ms", 120000)) {
            long end = System.nanoTime() + seconds * 1_000_000_000L;
            while (System.nanoTime() < end) {
                for (int i = 0; i < 10; i++) {
                    StringBuilder line = new StringBuilder();
                    for (int j = 0; j < 3; j++) {
                        String word = "w" + random.nextInt(WORDS);
                        want.merge(word, 1, Integer::sum);
                        line.append(j == 0 ? "" : " ").append(word);
                    }
                    sent.add(producer.send(new ProducerRecord<>(topic, "k" + random.nextInt(100), line.toString())));
                }
                Thread.sleep(50);
            }
            producer.flush();
        }
        for (java.util.concurrent.Future<?> future : sent) {
            future.get();
        }
    }
}
