import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * One process of the bank (bank.py): takes transfers "ID FROM TO AMOUNT" from the topic transfers, and for each writes the two
 * changes of accounts "ID ACCOUNT -AMOUNT" and "ID ACCOUNT AMOUNT" to the topic ledger, with the offsets, in one transaction. It may be
 * killed at any time. Whatever error a client's documentation calls fatal ends the process, and who started it starts it again;
 * after any other the transaction is aborted and the offsets are read again.
 *
 * Arguments: BOOTSTRAP PREFIX TRANSACTIONAL_ID
 */
public final class Bank {
    public static void main(String[] arguments) {
        Check.bootstrap = arguments[0];
        Check.prefix = arguments[1];
        KafkaProducer<String, String> producer = Check.producer("transactional.id", arguments[2], "transaction.timeout.ms", 10000,
            "request.timeout.ms", 8000, "delivery.timeout.ms", 10000, "max.block.ms", 60000, "linger.ms", 1, "buffer.memory", 4000000);
        KafkaConsumer<String, String> consumer = Check.consumer("group.id", Check.name("tellers"), "enable.auto.commit", false,
            "isolation.level", "read_committed", "session.timeout.ms", 6000, "heartbeat.interval.ms", 1000, "max.poll.records", 20);
        producer.initTransactions();
        consumer.subscribe(List.of(Check.name("transfers")));
        System.out.println("ready");
        while (true) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
            if (records.isEmpty()) {
                continue;
            }
            try {
                producer.beginTransaction();
                for (ConsumerRecord<String, String> record : records) {
                    String[] transfer = record.value().split(" ");
                    long amount = Long.parseLong(transfer[3]);
                    producer.send(new ProducerRecord<>(Check.name("ledger"), transfer[1], transfer[0] + " " + transfer[1] + " " + -amount));
                    producer.send(new ProducerRecord<>(Check.name("ledger"), transfer[2], transfer[0] + " " + transfer[2] + " " + amount));
                }
                producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
                producer.commitTransaction();
            } catch (org.apache.kafka.common.errors.ProducerFencedException | org.apache.kafka.common.errors.OutOfOrderSequenceException
                     | org.apache.kafka.common.errors.AuthorizationException e) {
                System.out.println("ended by " + e);
                Runtime.getRuntime().halt(3);
            } catch (org.apache.kafka.common.KafkaException e) {
                System.out.println("aborts after " + e);
                try {
                    producer.abortTransaction();
                } catch (org.apache.kafka.common.KafkaException fatal) {
                    System.out.println("ended by " + fatal);
                    Runtime.getRuntime().halt(3);
                }
                rewind(consumer);
            }
        }
    }

    /** To where the group stands: what the aborted transaction had taken is taken again. */
    private static void rewind(KafkaConsumer<String, String> consumer) {
        try {
            Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
            for (TopicPartition partition : consumer.assignment()) {
                OffsetAndMetadata offset = committed.get(partition);
                if (offset == null) {
                    consumer.seekToBeginning(List.of(partition));
                } else {
                    consumer.seek(partition, offset.offset());
                }
            }
        } catch (org.apache.kafka.common.KafkaException e) {
            System.out.println("ended by " + e);
            Runtime.getRuntime().halt(3);
        }
    }
}
