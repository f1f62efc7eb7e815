//! A real write and read, in a scratch topic that is ours.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::FutureRecord;
use rdkafka::{Offset, TopicPartitionList};
use truegreen_model::probe::Check;

use super::Asker;
use crate::Error;
use crate::probe::failed;

impl Asker {
    /// Writes one message into the scratch topic, confirmed by all copies, and reads it back.
    pub(super) fn write(&self, topic: &str) -> Check {
        match self.written(topic) {
            Ok(()) => Check::pass("write"),
            Err(error) => failed("write", &error),
        }
    }

    fn written(&self, topic: &str) -> Result<(), Error> {
        let limit = self.config.timeout;
        let client = self.maker.consumer(None)?;
        let producer = self.maker.producer()?;
        let body = format!("probe of {}", Timestamp::now());
        let record: FutureRecord<'_, (), String> = FutureRecord::to(topic).payload(&body);
        // A thread that may block has the runtime that it was taken from.
        let sent = tokio::runtime::Handle::current().block_on(producer.send(record, limit));
        let sent = sent.map_err(|(error, _)| self.maker.explain(&client, &error, "to store a message"))?;
        let told = |error: KafkaError| self.maker.explain(&client, &error, "for a message that was stored");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, sent.partition, Offset::Offset(sent.offset)).map_err(told)?;
        client.assign(&list).map_err(told)?;
        let until = Instant::now() + limit;
        while Instant::now() < until {
            match client.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.offset() == sent.offset => {
                    if message.payload() == Some(body.as_bytes()) {
                        return Ok(());
                    }
                    return Err(Error::Answered(format!(
                        "a message was confirmed at {}/{}, and another is there when read back",
                        sent.partition, sent.offset
                    )));
                }
                Some(Err(KafkaError::MessageConsumption(code))) => {
                    tracing::debug!(%code, topic, "reading back");
                }
                _ => {}
            }
        }
        Err(Error::TimedOut { what: "for a message that was stored", limit })
    }
}
