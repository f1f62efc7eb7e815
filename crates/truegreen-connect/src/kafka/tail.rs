//! What was sent already, by the keys that lie at the end of the topic it went to: so a redrive that died between sending and
//! removing does not send twice. What is not found may still be there, further up.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::client::Maker;
use super::letter::IDEMPOTENCY_KEY;
use crate::Error;

/// Records looked at of each partition.
const MAX_RECORDS: u64 = 10_000;
/// Partitions looked at.
const MAX_PARTITIONS: usize = 200;
/// Keys that are remembered.
pub(super) const MAX_KEYS: usize = 500_000;
/// Bytes of one of them.
const MAX_KEY_BYTES: usize = 256;

/// The keys at the end of a topic, as far as they can be read within the limit; none of them where the topic is not there.
pub(super) fn keys(maker: &Maker, topic: &str) -> Result<HashSet<Vec<u8>>, Error> {
    let limit = maker.config.timeout;
    let until = Instant::now() + limit;
    let client = maker.consumer(None)?;
    let told = |error: KafkaError| maker.explain(&client, &error, "what was sent already");
    let metadata = client.fetch_metadata(Some(topic), limit).map_err(told)?;
    let mut list = TopicPartitionList::new();
    let mut open = HashSet::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()).take(MAX_PARTITIONS) {
        let (low, high) = client.fetch_watermarks(topic, partition.id(), limit).map_err(told)?;
        let from = low.max(high.saturating_sub_unsigned(MAX_RECORDS));
        if from < high {
            list.add_partition_offset(topic, partition.id(), Offset::Offset(from)).map_err(told)?;
            open.insert(partition.id());
        }
    }
    let mut keys = HashSet::new();
    if open.is_empty() {
        return Ok(keys);
    }
    client.assign(&list).map_err(told)?;
    while !open.is_empty() && keys.len() < MAX_KEYS && Instant::now() < until {
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                let key =
                    record.headers().and_then(|headers| headers.iter().find(|header| header.key == IDEMPOTENCY_KEY));
                let key = key.and_then(|header| header.value).filter(|key| key.len() <= MAX_KEY_BYTES);
                keys.extend(key.map(<[u8]>::to_vec));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => tracing::debug!(%error, topic, "looking for what was sent already"),
            None => {}
        }
    }
    Ok(keys)
}
