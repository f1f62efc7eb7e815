//! Where dead letters lie: streams that are named so, and streams that keep the advisories of what consumers gave up.

use std::sync::Arc;

use async_trait::async_trait;

use super::Nats;
use super::reading::NatsReading;
use super::told::{StreamInfo, covers};
use crate::Error;
use crate::dead_letters::{DeadLetters, Place, Reading};

/// Of all that servers tell of consumers.
pub(super) const ADVISORIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.";
/// The subject of advisories of messages that were delivered too often; stream and consumer follow.
pub(super) const MAX_DELIVERIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES";
/// The subject of advisories of messages that a consumer ended itself; stream and consumer follow.
pub(super) const TERMINATED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED";

/// Places told of at most.
const MAX_PLACES: usize = 200;

/// Whether a stream is a place of dead letters by its name.
pub(super) fn is_named_dead(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.contains("DLQ") || name.contains("DEAD")
}

/// Whether a stream keeps advisories of messages that were given up.
pub(super) fn keeps_advisories(stream: &StreamInfo) -> bool {
    let of_one = |kind: &str| format!("{kind}.S.C");
    stream.config.subjects().iter().any(|pattern| {
        covers(pattern, &of_one(MAX_DELIVERIES))
            || covers(pattern, &of_one(TERMINATED))
            || pattern.starts_with(MAX_DELIVERIES)
            || pattern.starts_with(TERMINATED)
    })
}

/// Whether an advisory under this subject tells of a message that was given up.
pub(super) fn is_of_letter(subject: &str) -> bool {
    subject.starts_with(MAX_DELIVERIES) || subject.starts_with(TERMINATED)
}

fn place(stream: &StreamInfo) -> Place {
    let mut warnings = Vec::new();
    // It may keep what tells of other things too.
    let is_pure = !keeps_advisories(stream) || stream.config.subjects().iter().all(|pattern| is_of_letter(pattern));
    if keeps_advisories(stream) {
        warnings.push(
            "these are records of letters: what is sent back is read from its own stream, where it stays as well, and is \
             gone once its retention drops it",
        );
    }
    if stream.config.deny_delete || stream.config.sealed {
        warnings.push("this stream lets nothing be removed: what is sent back is still shown here");
    }
    Place {
        name: stream.config.name.clone(),
        letters: is_pure.then_some(stream.state.messages),
        warning: warnings.join("; "),
    }
}

#[async_trait]
impl DeadLetters for Nats {
    async fn places(&self) -> Result<Vec<Place>, Error> {
        if self.config.dead_letters.is_empty() {
            let listed = self.link.streams().await?;
            let is_one = |stream: &&StreamInfo| keeps_advisories(stream) || is_named_dead(&stream.config.name);
            return Ok(listed.streams.iter().filter(is_one).take(MAX_PLACES).map(place).collect());
        }
        let mut places = Vec::new();
        for name in self.config.dead_letters.iter().take(MAX_PLACES) {
            places.push(match self.link.stream(name).await? {
                Some(stream) => place(&stream),
                None => Place { name: name.clone(), letters: None, warning: format!("there is no stream {name}") },
            });
        }
        Ok(places)
    }

    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error> {
        let stream = self.link.stream(place).await?;
        let stream = stream.ok_or_else(|| Error::Answered(format!("there is no stream {place}")))?;
        Ok(Box::new(NatsReading::new(Arc::clone(&self.link), &stream)))
    }
}
