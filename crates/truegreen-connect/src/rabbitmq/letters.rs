//! Where letters lie dead: queues that other queues' letters go to.

use async_trait::async_trait;

use super::Rabbitmq;
use super::dial::Line;
use super::limits::refusal;
use super::management::Queue;
use super::queues::counted;
use super::reading::QueueReading;
use super::topology::Topology;
use crate::Error;
use crate::dead_letters::{DeadLetters, Place, Reading};

/// Places that are told.
const MAX_PLACES: usize = 200;

#[async_trait]
impl DeadLetters for Rabbitmq {
    async fn places(&self) -> Result<Vec<Place>, Error> {
        let named = &self.config.dead_letters;
        let mut places = Vec::new();
        if named.is_empty() {
            let everything = crate::SystemConfig { watch: Vec::new(), ..(*self.config).clone() };
            let topology = Topology::read(&self.management, &everything).await?;
            let version = self.management.version().await?;
            for queue in topology.dead().iter().filter_map(|name| topology.queue(name)).take(MAX_PLACES) {
                let letters = queue.messages;
                places.push(Place { name: queue.name.clone(), letters, warning: warning(queue, version) });
            }
            return Ok(places);
        }
        let line = Line::open(&self.config).await?;
        let version = self.management.version().await;
        for name in named.iter().take(MAX_PLACES) {
            let (letters, _) = counted(&line, name).await?;
            let warning = match (self.management.queue(name).await, &version) {
                (Ok(queue), Ok(version)) => warning(&queue, *version),
                (Err(error), _) => not_told(&error),
                (_, Err(error)) => not_told(error),
            };
            places.push(Place { name: name.clone(), letters: Some(letters), warning });
        }
        line.close().await?;
        Ok(places)
    }

    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error> {
        let is_quorum = self.check_harmless(place).await?;
        Ok(Box::new(QueueReading::open(&self.config, place, is_quorum).await?))
    }

    fn may_hide(&self) -> bool {
        true
    }
}

fn not_told(error: &Error) -> String {
    format!("whether a look does harm is not told: {error}")
}

/// What to know before sending back, or looking.
fn warning(queue: &Queue, version: u32) -> String {
    let mut told = Vec::new();
    if let Some(limit) = queue.delivery_limit(version) {
        told.push(refusal(&queue.name, limit));
    }
    if let Some(ms) = queue.number("message-ttl") {
        told.push(format!("letters expire there after {} s", ms / 1000));
    }
    if let Some(ms) = queue.number("expires") {
        told.push(format!("the queue itself goes when it is not used for {} s", ms / 1000));
    }
    if let Some(most) = queue.number("max-length") {
        told.push(format!("it holds {most} letters at most, and drops others"));
    }
    if let Some(consumers) = queue.consumers.filter(|consumers| *consumers > 0) {
        told.push(format!("{consumers} consumers take from it, too"));
    }
    if let Some(held) = queue.messages_unacknowledged.filter(|held| *held > 0) {
        told.push(format!("another reader holds {held} of its letters, which are not seen"));
    }
    told.join("; ")
}
