"""One process of the bank (bank.py), with librdkafka: as java/Bank.java.   bank_teller.py BOOTSTRAP PREFIX TRANSACTIONAL_ID"""
import os
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

ONCE_S = 30


def rewind(consumer):
    """To where the group stands: what the aborted transaction had taken is taken again."""
    for p in consumer.committed(consumer.assignment(), ONCE_S):
        consumer.seek(TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else 0))


def main(bootstrap, prefix, transactional_id):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "transaction.timeout.ms": 10000, "linger.ms": 1})
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": prefix + "-tellers", "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "isolation.level": "read_committed", "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000,
                         "partition.assignment.strategy": "range"})
    producer.init_transactions(60)
    consumer.subscribe([prefix + "-transfers"])
    print("ready", flush=True)
    while True:
        records = [m for m in consumer.consume(20, 0.2) if not m.error()]
        if not records:
            continue
        try:
            producer.begin_transaction()
            for m in records:
                number, source, target, amount = m.value().decode().split()
                producer.produce(prefix + "-ledger", "%s %s %d" % (number, source, -int(amount)), source)
                producer.produce(prefix + "-ledger", "%s %s %d" % (number, target, int(amount)), target)
            producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), ONCE_S)
            producer.commit_transaction(ONCE_S)
        except KafkaException as e:
            print("aborts after", e, flush=True)
            if e.args[0].fatal():
                os._exit(3)
            try:
                producer.abort_transaction(ONCE_S)
                rewind(consumer)
            except KafkaException as again:
                print("ended by", again, flush=True)
                os._exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:])
