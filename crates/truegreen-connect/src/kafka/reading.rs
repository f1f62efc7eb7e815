//! One dead-letter topic under inspection. A letter's id is `partition:offset`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use truegreen_model::letter::Letter;

use super::client::Client;
use super::groups::OWN;
use super::letter::{self, IDEMPOTENCY_KEY, bytes_of};
use super::progress::Progress;
use super::tail::{self, MAX_KEYS};
use super::{Asker, PATIENCE, blocking};
use crate::Error;
use crate::dead_letters::{Outgoing, Reading, Sent};

/// Topics of which it is remembered what was sent there already.
const MAX_TARGETS: usize = 20;

/// One dead-letter topic under inspection, by threads that may block.
pub(super) struct Reader {
    asker: Arc<Asker>,
    place: String,
    /// Commits, and is asked why something failed. That takes all that lies in a client's queue, so it is never the one that
    /// letters come to: one that was taken there would look like one that never was.
    own: Client,
    client: Client,
    partitions: HashMap<i32, Partition>,
    producer: Option<FutureProducer>,
    /// The keys of what was sent already, by topic.
    sent: HashMap<String, HashSet<Vec<u8>>>,
}

#[derive(Debug)]
struct Partition {
    /// The next offset that is looked at.
    next: u64,
    /// The first that was not there when the reading began.
    end: u64,
    progress: Progress,
}

impl Reader {
    pub(super) fn open(asker: Arc<Asker>, place: &str) -> Result<Reader, Error> {
        let own = asker.maker.consumer(Some(&format!("{OWN}{place}")))?;
        let client = asker.maker.consumer(None)?;
        let told = |error| asker.maker.explain(&own, &error, "for a topic");
        let mut partitions = HashMap::new();
        let mut list = TopicPartitionList::new();
        for (id, mut progress) in asker.progress(&own, place)? {
            let (low, end) = asker.watermarks(&own, place, id)?;
            // What retention dropped is gone whether it was removed or not.
            progress.remove(0, low);
            let next = progress.low();
            if next < end {
                let offset = i64::try_from(next).unwrap_or(i64::MAX);
                list.add_partition_offset(place, id, Offset::Offset(offset)).map_err(told)?;
            }
            partitions.insert(id, Partition { next, end, progress });
        }
        client.assign(&list).map_err(told)?;
        Ok(Reader { asker, place: place.to_owned(), own, client, partitions, producer: None, sent: HashMap::new() })
    }

    fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        let mut letters = Vec::new();
        let patience = self.asker.config.timeout;
        let mut until = Instant::now() + patience;
        let mut why = None;
        while letters.len() < limit && self.partitions.values().any(|of| of.next < of.end) {
            if Instant::now() >= until {
                if !letters.is_empty() {
                    break;
                }
                // An empty answer would say that this is the end.
                let error = why.unwrap_or(KafkaError::MessageConsumption(Code::OperationTimedOut));
                return Err(self.asker.maker.explain(&self.own, &error, "for further letters"));
            }
            match self.client.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => {
                    until = Instant::now() + patience;
                    let offset = u64::try_from(record.offset()).unwrap_or(0);
                    let Some(of) = self.partitions.get_mut(&record.partition()) else { continue };
                    if offset < of.next || offset >= of.end {
                        of.next = of.next.max(offset);
                        continue;
                    }
                    // What lies between is not there: marks of transactions, or compacted away.
                    of.progress.remove(of.next, offset);
                    of.next = offset + 1;
                    if !of.progress.is_removed(offset) {
                        letters.push(letter::of(&self.place, &record));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(id))) => {
                    if let Some(of) = self.partitions.get_mut(&id) {
                        // An open transaction may still put something between here and the end: it is left unmarked.
                        of.next = of.end;
                    }
                }
                Some(Err(error)) => why = Some(error),
                None => {}
            }
        }
        Ok(letters)
    }

    fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error> {
        if outgoing.to.is_empty() {
            return Err(Error::NotAsked("no topic to send to\nhint: name the topic that it is for".to_owned()));
        }
        let asker = Arc::clone(&self.asker);
        if !self.sent.contains_key(&outgoing.to) {
            if self.sent.len() >= MAX_TARGETS {
                self.sent.clear();
            }
            self.sent.insert(outgoing.to.clone(), tail::keys(&asker.maker, &outgoing.to)?);
        }
        let key = outgoing.idempotency_key.as_bytes();
        let sent = self.sent.entry(outgoing.to.clone()).or_default();
        if !key.is_empty() && sent.contains(key) {
            return Ok(Sent::Already);
        }
        let producer = match &self.producer {
            Some(producer) => producer,
            None => self.producer.insert(asker.maker.producer()?),
        };
        let mut headers = OwnedHeaders::new();
        for (name, value) in outgoing.headers.iter().filter(|(name, _)| name != IDEMPOTENCY_KEY) {
            // The client takes no name with a zero byte in it, and panics.
            if !name.contains('\0') {
                headers = headers.insert(Header { key: name, value: Some(&bytes_of(value)) });
            }
        }
        headers = headers.insert(Header { key: IDEMPOTENCY_KEY, value: Some(key) });
        let message_key = bytes_of(&outgoing.key);
        let mut record = FutureRecord::to(&outgoing.to).payload(&outgoing.body).headers(headers);
        if !message_key.is_empty() {
            record = record.key(&message_key);
        }
        let limit = asker.config.timeout;
        // Confirmed by all copies that are in step.
        tokio::runtime::Handle::current()
            .block_on(producer.send(record, limit))
            .map_err(|(error, _)| asker.maker.explain(&self.own, &error, "to store a letter"))?;
        if sent.len() < MAX_KEYS {
            sent.insert(key.to_vec());
        }
        Ok(Sent::AtLeastOnce)
    }

    fn remove(&mut self, id: &str) -> Result<(), Error> {
        let parsed = id.split_once(':').and_then(|(id, offset)| Some((id.parse().ok()?, offset.parse::<u64>().ok()?)));
        let of = parsed.and_then(|(partition, offset)| Some((partition, offset, self.partitions.get_mut(&partition)?)));
        let Some((id, offset, of)) = of.filter(|(_, offset, of)| *offset < of.next) else {
            return Err(Error::NotAsked(format!("`{id}` was not shown of {}", self.place)));
        };
        let mut after = of.progress.clone();
        after.remove(offset, offset + 1);
        let metadata = after.encode()?;
        let told = |error| self.asker.maker.explain(&self.own, &error, "to mark a letter as removed");
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.place, id);
        element.set_offset(Offset::Offset(i64::try_from(after.low()).unwrap_or(i64::MAX))).map_err(told)?;
        if !metadata.is_empty() {
            element.set_metadata(&metadata);
        }
        self.own.commit(&list, CommitMode::Sync).map_err(told)?;
        of.progress = after;
        Ok(())
    }
}

/// A [`Reader`] on threads that may block.
pub(super) struct KafkaReading {
    /// None once a step was given up while it ran.
    reader: Option<Reader>,
    limit: Duration,
}

impl KafkaReading {
    pub(super) fn new(reader: Reader) -> KafkaReading {
        // A step may look at the end of its target first.
        let limit = reader.asker.config.timeout * PATIENCE;
        KafkaReading { reader: Some(reader), limit }
    }

    async fn step<T: Send + 'static>(
        &mut self,
        what: &'static str,
        step: impl FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ended = || Error::NotAsked("this reading was given up\nhint: open the place anew".to_owned());
        let mut reader = self.reader.take().ok_or_else(ended)?;
        let stepped = blocking(self.limit, what, move || {
            let done = step(&mut reader);
            Ok((reader, done))
        });
        let (reader, done) = stepped.await?;
        self.reader = Some(reader);
        done
    }
}

#[async_trait]
impl Reading for KafkaReading {
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        self.step("for further letters", move |reader| reader.next(limit)).await
    }

    async fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error> {
        let outgoing = outgoing.clone();
        self.step("to store a letter", move |reader| reader.send(&outgoing)).await
    }

    async fn remove(&mut self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.step("to mark a letter as removed", move |reader| reader.remove(&id)).await
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        // Every removal is committed already; the clients wait for their threads.
        let reader = self.reader.take();
        blocking(self.limit, "to end a reading", move || {
            drop(reader);
            Ok(())
        })
        .await
    }
}

impl Drop for KafkaReading {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            std::thread::spawn(move || drop(reader));
        }
    }
}
