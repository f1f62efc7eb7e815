//! One queue under inspection. Letters are taken on a channel of our own and not acknowledged: whatever is not removed goes
//! back to where it was when the channel ends, however it ends.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation};
use truegreen_model::letter::Letter;

use super::dial::{Line, name};
use super::flow::Flow;
use super::message::{id, identity, letter};
use super::outgoing::{Kinds, properties, target};
use super::queues::counted;
use crate::dead_letters::{Outgoing, Reading, Sent};
use crate::{Error, SystemConfig};

/// Letters taken at once, and bytes of their bodies.
const MAX_BATCH: usize = 500;
const MAX_BATCH_BYTES: usize = 16 << 20;
/// Letters that one reading holds; it must be closed, and a new one begun, for more.
const MAX_HELD: usize = 200_000;
const GOODBYE: u16 = 200;

pub(super) struct QueueReading {
    line: Line,
    channel: Channel,
    /// Opened with the first letter that is sent, and anew after an error.
    sender: Option<Channel>,
    place: String,
    queue: ShortString,
    flow: Flow,
    held: HashMap<String, u64>,
    /// How many of each were seen that are the same in everything.
    seen: HashMap<u128, u32>,
    kinds: Kinds,
}

impl QueueReading {
    pub(super) async fn open(config: &Arc<SystemConfig>, place: &str, is_quorum: bool) -> Result<QueueReading, Error> {
        let line = Line::open(config).await?;
        // For its error, where there is no such queue.
        counted(&line, place).await?;
        let channel = line.channel().await?;
        let (place, queue) = (place.to_owned(), name(place)?);
        let flow = Flow::new(channel.clone(), queue.clone(), is_quorum);
        let (held, seen, kinds) = (HashMap::new(), HashMap::new(), Kinds::default());
        Ok(QueueReading { line, channel, sender: None, place, queue, flow, held, seen, kinds })
    }

    async fn one(&mut self) -> Result<Option<Letter>, Error> {
        let Some(delivery) = self.flow.next(&self.line, self.held.len()).await? else { return Ok(None) };
        let identity = identity(&delivery);
        let nth = self.seen.entry(identity).or_default();
        let id = id(identity, *nth);
        *nth = nth.saturating_add(1);
        self.held.insert(id.clone(), delivery.delivery_tag);
        self.kinds.remember(&delivery);
        Ok(Some(letter(&self.place, id, delivery)))
    }

    /// A channel on which each message is confirmed.
    async fn sender(&mut self) -> Result<Channel, Error> {
        if let Some(sender) = self.sender.as_ref().filter(|sender| sender.status().connected()) {
            return Ok(sender.clone());
        }
        let sender = self.line.channel().await?;
        self.line.wait("confirms", sender.confirm_select(ConfirmSelectOptions::default())).await?;
        self.sender = Some(sender.clone());
        Ok(sender)
    }
}

#[async_trait]
impl Reading for QueueReading {
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        let mut letters = Vec::new();
        let mut bytes = 0;
        while letters.len() < limit.min(MAX_BATCH) && bytes < MAX_BATCH_BYTES {
            if self.held.len() >= MAX_HELD {
                return Err(Error::NotAsked(format!(
                    "more than {MAX_HELD} letters in one reading\nhint: close it and begin anew"
                )));
            }
            let Some(letter) = self.one().await? else { break };
            bytes += letter.body.len();
            letters.push(letter);
        }
        Ok(letters)
    }

    async fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error> {
        let (exchange, key) = target(outgoing)?;
        // Of an exchange's queues some may have taken it.
        let is_queue = exchange.as_str().is_empty();
        let properties = properties(outgoing, &self.kinds)?;
        let sender = self.sender().await?;
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmed = async {
            let published = sender.basic_publish(exchange, key, mandatory, &outgoing.body, properties).await?;
            published.await
        };
        let confirmation = self.line.wait("a confirm", confirmed).await;
        if confirmation.is_err() {
            // A late confirm must not be taken for that of another letter.
            self.sender = None;
        }
        match confirmation {
            Ok(Confirmation::Ack(None)) => Ok(Sent::AtLeastOnce),
            Ok(Confirmation::Ack(Some(_))) => {
                Err(Error::Refused(format!("no queue takes it: nothing named `{}` is there or bound", outgoing.to)))
            }
            Ok(Confirmation::Nack(_)) => {
                let why = format!("`{}` does not take it: the queue is full, or cannot write", outgoing.to);
                Err(if is_queue { Error::Refused(why) } else { Error::Answered(why) })
            }
            Ok(Confirmation::NotRequested) => Err(Error::Nonsense("a message that is not confirmed".to_owned())),
            Err(Error::TimedOut { .. }) if self.line.is_blocked() => Err(Error::Answered(
                "it takes no messages: publishers are blocked by its memory or disk alarm".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    async fn remove(&mut self, id: &str) -> Result<(), Error> {
        let Some(tag) = self.held.remove(id) else {
            return Err(Error::NotAsked(format!("this reading did not show `{id}`, or removed it")));
        };
        self.line.wait("an acknowledgement", self.channel.basic_ack(tag, BasicAckOptions::default())).await?;
        // An acknowledgement has no answer of its own. The queue answers this one after it has seen the other.
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let seen = self.channel.queue_declare(self.queue.clone(), passive, FieldTable::default());
        self.line.wait("a removal", seen).await.map(drop)
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        let QueueReading { line, channel, .. } = *self;
        line.wait("the return of letters", channel.close(GOODBYE, "".into())).await?;
        line.close().await
    }
}
