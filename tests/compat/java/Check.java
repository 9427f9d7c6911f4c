import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What the Java drivers share: one line of output per feature (README.md says which), and clients of the broker under test. */
final class Check {
    interface Body {
        void run() throws Exception;
    }

    static String bootstrap;
    static String prefix;

    static void begin(String[] arguments) {
        bootstrap = arguments[0];
        prefix = arguments[1];
        System.out.println("version " + org.apache.kafka.common.utils.AppInfoParser.getVersion());
    }

    static Throwable root(Throwable e) {
        while ((e instanceof ExecutionException || e instanceof CompletionException) && e.getCause() != null) {
            e = e.getCause();
        }
        return e;
    }

    /** Runs one feature; its failure is a line, not the end of the program. */
    static void feature(String name, Body body) {
        try {
            body.run();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            Throwable cause = root(e);
            StackTraceElement[] trace = e.getStackTrace();
            String where = "";
            for (StackTraceElement element : trace) {
                if (element.getFileName() != null && !element.getClassName().startsWith("org.") && !element.getClassName().startsWith("java.")
                        && !element.getClassName().startsWith("Check")) {
                    where = " (" + element.getFileName() + ":" + element.getLineNumber() + ")";
                    break;
                }
            }
            System.out.println("FAIL " + name + ": " + cause.getClass().getSimpleName() + ": " + ("" + cause.getMessage()).replace('\n', ' ') + where);
        }
    }

    static void equal(String what, Object got, Object want) {
        if (!Objects.equals(got, want)) {
            throw new AssertionError(what + ": got " + got + ", want " + want);
        }
    }

    static void that(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** The body has to fail with an exception of that class. */
    static void fails(Class<?> want, Body body) {
        try {
            body.run();
        } catch (Throwable e) {
            Throwable cause = root(e);
            if (want.isInstance(cause)) {
                return;
            }
            throw new AssertionError("got " + cause + ", want " + want.getSimpleName());
        }
        throw new AssertionError("no error, want " + want.getSimpleName());
    }

    static <V> V get(KafkaFuture<V> future) throws Exception {
        return future.get(30, TimeUnit.SECONDS);
    }

    static String name(String s) {
        return prefix + "-" + s;
    }

    static Map<String, Object> settings(Object... pairs) {
        Map<String, Object> out = new HashMap<>();
        out.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < pairs.length; i += 2) {
            out.put((String) pairs[i], pairs[i + 1]);
        }
        return out;
    }

    static Admin admin() {
        return Admin.create(settings("request.timeout.ms", 20000, "default.api.timeout.ms", 25000));
    }

    static KafkaProducer<String, String> producer(Object... pairs) {
        return new KafkaProducer<>(settings(pairs), new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(Object... pairs) {
        Map<String, Object> all = settings(pairs);
        all.putIfAbsent("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    static void topic(String name, int partitions, Map<String, String> configs) throws Exception {
        try (Admin admin = admin()) {
            get(admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all());
        }
    }

    static void topic(String name, int partitions) throws Exception {
        topic(name, partitions, Map.of());
    }

    /** Polls until count records came, or the seconds are over; returns what came. */
    static List<ConsumerRecord<String, String>> read(Consumer<String, String> consumer, int count, int seconds) {
        List<ConsumerRecord<String, String>> out = new ArrayList<>();
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (out.size() < count && System.nanoTime() < end) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                out.add(record);
            }
        }
        return out;
    }
}
