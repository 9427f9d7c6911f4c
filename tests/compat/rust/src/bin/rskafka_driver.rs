//! rskafka, a client without librdkafka, against a broker. Arguments: BOOTSTRAP PREFIX.
use chrono::{DateTime, Utc};
use compat::{arguments, equal, feature, version, Outcome};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use std::collections::BTreeMap;

const TIMEOUT_MS: i32 = 20_000;

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).expect("a time")
}

fn record(value: impl Into<Vec<u8>>, ms: i64) -> Record {
    Record { key: None, value: Some(value.into()), headers: BTreeMap::new(), timestamp: at(ms) }
}

async fn topic(client: &Client, name: &str) -> Result<PartitionClient, Box<dyn std::error::Error>> {
    client.controller_client()?.create_topic(name, 1, 1, TIMEOUT_MS).await?;
    Ok(client.partition_client(name, 0, UnknownTopicHandling::Retry).await?)
}

async fn read(partition: &PartitionClient, from: i64, count: usize) -> Result<Vec<(i64, Record)>, Box<dyn std::error::Error>> {
    let (mut out, mut next) = (Vec::new(), from);
    while out.len() < count {
        let (got, _) = partition.fetch_records(next, 1..20_000_000, 1_000).await?;
        if got.is_empty() {
            return Err(format!("{} of {count} records", out.len()).into());
        }
        next = got[got.len() - 1].offset + 1;
        out.extend(got.into_iter().map(|r| (r.offset, r.record)));
    }
    Ok(out)
}

async fn records(client: &Client, prefix: &str) -> Outcome {
    let partition = topic(client, &format!("{prefix}-records")).await?;
    let headers = BTreeMap::from([("a".to_string(), b"1".to_vec()), ("e".to_string(), Vec::new())]);
    let sent = vec![
        Record { key: Some(b"key".to_vec()), value: Some(b"value".to_vec()), headers, timestamp: at(1234567890123) },
        Record { key: Some(b"tombstone".to_vec()), value: None, headers: BTreeMap::new(), timestamp: at(1234567890124) },
    ];
    equal("offsets", partition.produce(sent.clone(), Compression::NoCompression).await?, vec![0, 1])?;
    equal("records", read(&partition, 0, 2).await?, vec![(0, sent[0].clone()), (1, sent[1].clone())])
}

async fn codecs(client: &Client, prefix: &str) -> Outcome {
    for (name, codec) in
        [("gzip", Compression::Gzip), ("snappy", Compression::Snappy), ("lz4", Compression::Lz4), ("zstd", Compression::Zstd)]
    {
        let partition = topic(client, &format!("{prefix}-codec-{name}")).await?;
        let sent: Vec<Record> = (0..500).map(|i| record(format!("value of the record {i}"), 1000 + i)).collect();
        partition.produce(sent.clone(), codec).await?;
        equal(name, read(&partition, 0, 500).await?.into_iter().map(|(_, r)| r).collect(), sent)?;
    }
    Ok(())
}

async fn offsets(client: &Client, prefix: &str) -> Outcome {
    let partition = topic(client, &format!("{prefix}-offsets")).await?;
    partition.produce((0..100).map(|i| record(i.to_string(), 1000 + i)).collect(), Compression::NoCompression).await?;
    let mut found = Vec::new();
    for what in [OffsetAt::Earliest, OffsetAt::Latest, OffsetAt::Timestamp(at(1042)), OffsetAt::Timestamp(at(5000))] {
        found.push(partition.get_offset(what).await?);
    }
    equal("begin, end, by time, after all", found, vec![0, 100, 42, -1])?;
    equal("from an offset", read(&partition, 90, 10).await?[0].1.value.clone(), Some(b"90".to_vec()))?;
    let refused = partition.fetch_records(1000, 1..1000, 100).await;
    equal("out of range", format!("{refused:?}").contains("OffsetOutOfRange"), true)
}

async fn admin(client: &Client, prefix: &str) -> Outcome {
    let name = format!("{prefix}-admin");
    let partition = topic(client, &name).await?;
    let again = client.controller_client()?.create_topic(name.as_str(), 1, 1, TIMEOUT_MS).await;
    equal("a topic twice", format!("{again:?}").contains("TopicAlreadyExists"), true)?;
    equal("listed", client.list_topics().await?.iter().any(|t| t.name == name), true)?;
    partition.produce((0..10).map(|i| record("v", i)).collect(), Compression::NoCompression).await?;
    partition.delete_records(4, TIMEOUT_MS).await?;
    equal("begin", partition.get_offset(OffsetAt::Earliest).await?, 4)?;
    client.controller_client()?.delete_topic(name.as_str(), TIMEOUT_MS).await?;
    equal("deleted", client.list_topics().await?.iter().any(|t| t.name == name), false)
}

#[tokio::main]
async fn main() {
    let (bootstrap, prefix) = arguments();
    let client = ClientBuilder::new(vec![bootstrap]).build().await.expect("a connection");
    println!("version {}", version("rskafka"));
    feature("records", records(&client, &prefix)).await;
    feature("codecs", codecs(&client, &prefix)).await;
    feature("offsets", offsets(&client, &prefix)).await;
    feature("admin", admin(&client, &prefix)).await;
}
