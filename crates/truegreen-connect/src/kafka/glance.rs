//! The last records of a topic, as they lie there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::{Asker, Kafka, PATIENCE, blocking, letter};
use crate::Error;
use crate::live::{Glance, Live, MAX_BYTES, MAX_MESSAGES};

/// Partitions looked at.
const MAX_PARTITIONS: usize = 100;
/// Records looked at of each of them, however many there are.
const FEWEST: u64 = 20;

#[async_trait]
impl Live for Kafka {
    async fn glance(&self, place: &str) -> Result<Glance, Error> {
        // `watch` names a group behind it.
        let topic = place.split('/').next().unwrap_or_default().to_owned();
        let asker = Arc::clone(&self.asker);
        let limit = self.asker.config.timeout * PATIENCE;
        blocking(limit, "for the last records of a topic", move || asker.last_of(&topic)).await
    }
}

impl Asker {
    fn last_of(&self, topic: &str) -> Result<Glance, Error> {
        let limit = self.config.timeout;
        let until = Instant::now() + limit;
        let client = self.maker.consumer(None)?;
        let told = |error: KafkaError| self.maker.explain(&client, &error, "for the last records of a topic");
        // The whole list: a broker that is asked for one topic may make it.
        let metadata = client.fetch_metadata(None, limit).map_err(told)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        let Some(partitions) = found.map(|found| found.partitions()).filter(|partitions| !partitions.is_empty()) else {
            return Ok(Glance::Nothing);
        };
        let most = (MAX_MESSAGES / partitions.len()).max(FEWEST as usize) as u64;
        let mut is_cut = partitions.len() > MAX_PARTITIONS;
        let (mut list, mut open) = (TopicPartitionList::new(), HashSet::new());
        for partition in partitions.iter().take(MAX_PARTITIONS) {
            let (low, high) = self.watermarks(&client, topic, partition.id())?;
            let from = low.max(high.saturating_sub(most));
            is_cut |= from > low;
            if from < high {
                let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
                list.add_partition_offset(topic, partition.id(), offset).map_err(told)?;
                open.insert(partition.id());
            }
        }
        let (mut messages, mut bytes) = (Vec::new(), 0);
        if !open.is_empty() {
            client.assign(&list).map_err(told)?;
        }
        let mut why = None;
        while !open.is_empty() && bytes < MAX_BYTES && messages.len() < MAX_MESSAGES * 4 {
            if Instant::now() >= until {
                if messages.is_empty() {
                    return Err(told(why.unwrap_or(KafkaError::MessageConsumption(Code::OperationTimedOut))));
                }
                break;
            }
            match client.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => {
                    let message = letter::of(topic, &record);
                    bytes += message.body.len();
                    messages.push(message);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) => why = Some(error),
                None => {}
            }
        }
        is_cut |= !open.is_empty();
        messages.reverse();
        messages.truncate(MAX_MESSAGES);
        Ok(Glance::Messages { place: topic.to_owned(), messages, is_cut })
    }
}
