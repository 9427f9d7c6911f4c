//! rdkafka, Rust's binding of librdkafka, against a broker. Arguments: BOOTSTRAP PREFIX.
use compat::{arguments, equal, feature, version, Outcome};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);

struct Broker {
    bootstrap: String,
    prefix: String,
    admin: AdminClient<DefaultClientContext>,
}

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

impl Broker {
    fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for (name, value) in more {
            config.set(*name, *value);
        }
        config
    }

    async fn topic(&self, what: &str, partitions: i32) -> Fallible<String> {
        let name = format!("{}-{what}", self.prefix);
        for result in
            self.admin.create_topics(&[NewTopic::new(&name, partitions, TopicReplication::Fixed(1))], &AdminOptions::new()).await?
        {
            result.map_err(|(name, code)| format!("{name}: {code}"))?;
        }
        Ok(name)
    }

    fn consumer(&self, group: &str, more: &[(&str, &str)]) -> Fallible<BaseConsumer> {
        let group = format!("{}-{group}", self.prefix);
        let mut config = self.config(&[("group.id", group.as_str()), ("auto.offset.reset", "earliest"), ("enable.auto.commit", "false")]);
        for (name, value) in more {
            config.set(*name, *value);
        }
        Ok(config.create()?)
    }

    /// A consumer of one partition, from an offset.
    fn reader(&self, topic: &str, partition: i32, offset: i64, more: &[(&str, &str)]) -> Fallible<BaseConsumer> {
        let consumer = self.consumer("reader", more)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        consumer.assign(&list)?;
        Ok(consumer)
    }
}

fn read(consumer: &BaseConsumer, count: usize, limit: Duration) -> Fallible<Vec<OwnedMessage>> {
    let (mut out, end) = (Vec::new(), Instant::now() + limit);
    while out.len() < count && Instant::now() < end {
        if let Some(message) = consumer.poll(Duration::from_millis(200)) {
            out.push(message?.detach());
        }
    }
    Ok(out)
}

async fn records(broker: &Broker) -> Outcome {
    let topic = broker.topic("records", 2).await?;
    let producer: FutureProducer = broker.config(&[("acks", "all")]).create()?;
    let headers = OwnedHeaders::new().insert(Header { key: "a", value: Some("1") }).insert(Header { key: "n", value: None::<&str> });
    let record = FutureRecord::to(&topic).partition(1).key("key").payload("value").timestamp(1234567890123).headers(headers);
    let sent = producer.send(record, TIMEOUT).await.map_err(|(e, _)| e)?;
    equal("sent", (sent.partition, sent.offset), (1, 0))?;
    producer.send(FutureRecord::<str, str>::to(&topic).partition(1).key("tombstone"), TIMEOUT).await.map_err(|(e, _)| e)?;
    let got = read(&broker.reader(&topic, 1, 0, &[])?, 2, TIMEOUT)?;
    equal("records", got.len(), 2)?;
    equal("key, value", (got[0].key(), got[0].payload()), (Some(&b"key"[..]), Some(&b"value"[..])))?;
    equal("time", got[0].timestamp().to_millis(), Some(1234567890123))?;
    let all: Vec<_> = got[0].headers().ok_or("no headers")?.iter().map(|h| (h.key, h.value)).collect();
    equal("headers", all, vec![("a", Some(&b"1"[..])), ("n", None)])?;
    equal("tombstone", (got[1].key(), got[1].payload()), (Some(&b"tombstone"[..]), None))
}

async fn codecs(broker: &Broker) -> Outcome {
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let topic = broker.topic(&format!("codec-{codec}"), 1).await?;
        let producer: BaseProducer = broker.config(&[("compression.type", codec), ("linger.ms", "50")]).create()?;
        for i in 0..500 {
            let value = format!("value of the record {i}");
            producer.send(BaseRecord::<str, String>::to(&topic).payload(&value)).map_err(|(e, _)| e)?;
        }
        producer.flush(TIMEOUT)?;
        equal(codec, read(&broker.reader(&topic, 0, 0, &[])?, 500, TIMEOUT)?.len(), 500)?;
    }
    Ok(())
}

async fn offsets(broker: &Broker) -> Outcome {
    let topic = broker.topic("offsets", 1).await?;
    let producer: BaseProducer = broker.config(&[]).create()?;
    for i in 0..100 {
        let value = i.to_string();
        producer.send(BaseRecord::<str, String>::to(&topic).payload(&value).timestamp(1000 + i)).map_err(|(e, _)| e)?;
    }
    producer.flush(TIMEOUT)?;
    let reader = broker.reader(&topic, 0, 90, &[])?;
    equal("ends", reader.fetch_watermarks(&topic, 0, TIMEOUT)?, (0, 100))?;
    let mut times = TopicPartitionList::new();
    times.add_partition_offset(&topic, 0, Offset::Offset(1042))?;
    equal("by time", reader.offsets_for_times(times, TIMEOUT)?.elements()[0].offset(), Offset::Offset(42))?;
    equal("from an offset", read(&reader, 1, TIMEOUT)?[0].payload(), Some(&b"90"[..]))?;
    reader.seek(&topic, 0, Offset::Offset(33), TIMEOUT)?;
    equal("seek", read(&reader, 1, TIMEOUT)?[0].payload(), Some(&b"33"[..]))
}

/// Two members share four partitions; who stays takes over; what was committed is kept.
async fn share(broker: &Broker, kind: &str, more: &[(&str, &str)]) -> Outcome {
    let topic = broker.topic(&format!("groups-{kind}"), 4).await?;
    let mut members = vec![broker.consumer(kind, more)?, broker.consumer(kind, more)?];
    for member in &members {
        member.subscribe(&[&topic])?;
    }
    let mut values = Vec::new();
    // Polls all members in turn until they hold these numbers of partitions and this many values came.
    let mut until = |members: &[BaseConsumer], shares: &[usize], count: usize| -> Outcome {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let held: Vec<usize> = members.iter().map(|m| m.assignment().map_or(0, |a| a.count())).collect();
            if held == shares && values.len() >= count {
                return equal("each once", (values.len(), values.iter().collect::<HashSet<_>>().len()), (count, count));
            }
            if Instant::now() > end {
                return Err(format!("not in time: shares {held:?}, {} values", values.len()).into());
            }
            for member in members {
                if let Some(message) = member.poll(Duration::from_millis(20)) {
                    let message = message?;
                    values.push(message.payload().map(<[u8]>::to_vec));
                    member.commit_message(&message, CommitMode::Sync)?;
                }
            }
        }
    };
    until(&members, &[2, 2], 0)?;
    let producer: BaseProducer = broker.config(&[]).create()?;
    for i in 0..200 {
        let value = i.to_string();
        producer.send(BaseRecord::<str, String>::to(&topic).payload(&value).partition(i % 4)).map_err(|(e, _)| e)?;
    }
    producer.flush(TIMEOUT)?;
    until(&members, &[2, 2], 200)?;
    members.pop();
    until(&members, &[4], 200)?;
    let found = members[0].committed(TIMEOUT)?;
    equal("committed", found.elements().iter().map(|e| e.offset()).collect(), vec![Offset::Offset(50); 4])
}

async fn transactions(broker: &Broker) -> Outcome {
    let topic = broker.topic("txn", 1).await?;
    let id = format!("{}-txn-id", broker.prefix);
    let producer: BaseProducer = broker.config(&[("transactional.id", id.as_str())]).create()?;
    producer.init_transactions(TIMEOUT)?;
    for round in 0..6 {
        producer.begin_transaction()?;
        for _ in 0..5 {
            let value = round.to_string();
            producer.send(BaseRecord::<str, String>::to(&topic).payload(&value)).map_err(|(e, _)| e)?;
        }
        producer.flush(TIMEOUT)?;
        if round % 2 == 0 {
            producer.commit_transaction(TIMEOUT)?;
        } else {
            producer.abort_transaction(TIMEOUT)?;
        }
    }
    let limit = Duration::from_secs(4);
    let committed = read(&broker.reader(&topic, 0, 0, &[("isolation.level", "read_committed")])?, 16, limit)?;
    let text: String = committed.iter().map(|m| String::from_utf8_lossy(m.payload().unwrap_or_default()).into_owned()).collect();
    equal("read_committed", text.as_str(), "000002222244444")?;
    let all = read(&broker.reader(&topic, 0, 0, &[("isolation.level", "read_uncommitted")])?, 31, limit)?;
    equal("read_uncommitted", all.len(), 30)
}

async fn administration(broker: &Broker) -> Outcome {
    let options = AdminOptions::new();
    let topic = broker.topic("admin", 2).await?;
    equal("a topic twice", broker.topic("admin", 2).await.map_err(|e| e.to_string().contains("TopicAlreadyExists")), Err(true))?;
    let grown = broker.admin.create_partitions(&[NewPartitions::new(&topic, 4)], &options).await?;
    equal("grown", grown.iter().all(Result::is_ok), true)?;
    let altered = broker.admin.alter_configs(&[AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "7200000")], &options).await?;
    equal("altered", altered.iter().all(Result::is_ok), true)?;
    let described = broker.admin.describe_configs(&[ResourceSpecifier::Topic(&topic)], &options).await?;
    let config = described.into_iter().next().ok_or("nothing described")?.map_err(|e| e.to_string())?;
    equal("retention.ms", config.get("retention.ms").and_then(|e| e.value.clone()), Some("7200000".to_string()))?;
    let reader = broker.reader(&topic, 0, 0, &[])?;
    let metadata = reader.fetch_metadata(Some(&topic), TIMEOUT)?;
    equal("partitions", (metadata.topics()[0].partitions().len(), metadata.brokers().len()), (4, 1))?;
    let gone = broker.admin.delete_topics(&[&topic], &options).await?;
    equal("deleted", gone.iter().all(Result::is_ok), true)
}

#[tokio::main]
async fn main() {
    let (bootstrap, prefix) = arguments();
    let admin = ClientConfig::new().set("bootstrap.servers", &bootstrap).create().expect("an admin client");
    let broker = Broker { bootstrap, prefix, admin };
    println!("version {}, librdkafka {}", version("rdkafka"), rdkafka::util::get_rdkafka_version().1);
    feature("records", records(&broker)).await;
    feature("codecs", codecs(&broker)).await;
    feature("offsets", offsets(&broker)).await;
    let quick = [("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "300")];
    feature("groups", share(&broker, "range", &quick)).await;
    let cooperative = [quick[0], quick[1], ("partition.assignment.strategy", "cooperative-sticky")];
    feature("cooperative", share(&broker, "cooperative", &cooperative)).await;
    feature("consumer_protocol", share(&broker, "consumer", &[("group.protocol", "consumer")])).await;
    feature("transactions", transactions(&broker)).await;
    feature("admin", administration(&broker)).await;
}

