//! Where dead letters lie: topics that are named so.

use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::client::Client;
use super::groups::OWN;
use super::progress::Progress;
use super::reading::{KafkaReading, Reader};
use super::{Asker, Kafka, PATIENCE, blocking, letter};
use crate::Error;
use crate::dead_letters::{DeadLetters, Place, Reading};

/// Places told of at most.
const MAX_PLACES: usize = 200;
/// Places of which letters are counted: each takes a client of its own.
const MAX_COUNTED: usize = 20;

const WARNING: &str = "Kafka cannot remove one record: what is sent back or discarded is only marked so, in a consumer group \
                       of ours, and other tools still see it; brokers forget such marks some days after the last one \
                       (`offsets.retention.minutes`)";

impl Asker {
    fn places(&self) -> Result<Vec<Place>, Error> {
        let client = self.maker.consumer(None)?;
        let metadata = client
            .fetch_metadata(None, self.config.timeout)
            .map_err(|error| self.maker.explain(&client, &error, "for its topics"))?;
        let is_there =
            |name: &str| metadata.topics().iter().any(|topic| topic.name() == name && topic.error().is_none());
        let names: Vec<String> = if self.config.dead_letters.is_empty() {
            let all = metadata.topics().iter().map(|topic| topic.name());
            all.filter(|name| letter::is_named_dead(name)).map(str::to_owned).collect()
        } else {
            self.config.dead_letters.clone()
        };
        let mut places = Vec::new();
        for name in names.into_iter().take(MAX_PLACES) {
            if !is_there(&name) {
                let warning = format!("there is no topic {name}");
                places.push(Place { name, letters: None, warning });
                continue;
            }
            let letters = if places.len() < MAX_COUNTED { self.count(&name).ok() } else { None };
            places.push(Place { name, letters, warning: WARNING.to_owned() });
        }
        Ok(places)
    }

    /// How many lie there that are not marked as removed. Records that a transaction left as its own marks count too.
    fn count(&self, topic: &str) -> Result<u64, Error> {
        let own = self.maker.consumer(Some(&format!("{OWN}{topic}")))?;
        let mut letters = 0;
        for (partition, progress) in self.progress(&own, topic)? {
            let (low, high) = self.watermarks(&own, topic, partition)?;
            letters += high.saturating_sub(low).saturating_sub(progress.removed_within(low, high));
        }
        Ok(letters)
    }

    /// What was removed of each partition of a topic; `own` is a client of the group that remembers it.
    pub(super) fn progress(&self, own: &Client, topic: &str) -> Result<Vec<(i32, Progress)>, Error> {
        let limit = self.config.timeout;
        let told = |error| self.maker.explain(own, &error, "for a topic");
        let metadata = own.fetch_metadata(Some(topic), limit).map_err(told)?;
        let mut list = TopicPartitionList::new();
        for found in metadata.topics().iter().filter(|found| found.name() == topic) {
            if let Some(code) = found.error() {
                return Err(Error::Answered(format!("topic {topic}: {code:?}")));
            }
            for partition in found.partitions() {
                list.add_partition(topic, partition.id());
            }
        }
        if list.count() == 0 {
            return Err(Error::Answered(format!("there is no topic {topic}")));
        }
        let told = |error| self.maker.explain(own, &error, "what was removed already");
        let committed = own.committed_offsets(list, limit).map_err(told)?;
        let elements = committed.elements();
        let progress = elements.iter().map(|element| {
            let offset = element.offset().to_raw().and_then(|offset| u64::try_from(offset).ok());
            (element.partition(), Progress::decode(offset, element.metadata()))
        });
        Ok(progress.collect())
    }
}

#[async_trait]
impl DeadLetters for Kafka {
    async fn places(&self) -> Result<Vec<Place>, Error> {
        let asker = Arc::clone(&self.asker);
        let limit = self.asker.config.timeout * PATIENCE;
        blocking(limit, "for its dead letters", move || asker.places()).await
    }

    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error> {
        let (asker, place) = (Arc::clone(&self.asker), place.to_owned());
        let limit = self.asker.config.timeout * PATIENCE;
        let reader = blocking(limit, "for a topic", move || Reader::open(asker, &place)).await?;
        Ok(Box::new(KafkaReading::new(reader)))
    }
}
