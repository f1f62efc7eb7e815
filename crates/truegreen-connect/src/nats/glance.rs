//! The last messages of a stream, as they lie there.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::Nats;
use super::letter;
use super::link::is_name;
use super::told::{StreamInfo, covers};
use crate::Error;
use crate::live::{Glance, Live, MAX_BYTES, MAX_MESSAGES};

/// Messages asked for at the same time: each is a question of its own.
const AT_ONCE: usize = 16;

#[async_trait]
impl Live for Nats {
    async fn glance(&self, place: &str) -> Result<Glance, Error> {
        let Some(found) = self.stream_of(place).await? else { return Ok(Glance::Nothing) };
        let (name, first, last) = (&found.config.name, found.state.first_seq.max(1), found.state.last_seq);
        let from = first.max((last + 1).saturating_sub(MAX_MESSAGES as u64));
        let (mut messages, mut bytes, mut is_cut) = (Vec::new(), 0, from > first);
        let asked = (from..=last).rev().map(|seq| self.link.message(name, seq, None));
        let mut asked = stream::iter(asked).buffered(AT_ONCE);
        while let Some(stored) = asked.next().await {
            // One that was removed leaves a hole.
            let Some(stored) = stored? else { continue };
            if bytes >= MAX_BYTES {
                is_cut = true;
                break;
            }
            let message = letter::of_message(name, &stored)?;
            bytes += message.body.len();
            messages.push(message);
        }
        drop(asked);
        Ok(Glance::Messages { place: found.config.name, messages, is_cut })
    }
}

impl Nats {
    /// The stream of this name, or that keeps this subject; `STREAM/CONSUMER` is its stream.
    async fn stream_of(&self, place: &str) -> Result<Option<StreamInfo>, Error> {
        let name = place.split('/').next().unwrap_or_default();
        if is_name(name)
            && let Some(found) = self.link.stream(name).await?
        {
            return Ok(Some(found));
        }
        let mut streams = self.link.streams().await?.streams;
        streams.retain(|stream| stream.config.subjects().iter().any(|pattern| covers(pattern, place)));
        Ok(streams.into_iter().next())
    }
}
