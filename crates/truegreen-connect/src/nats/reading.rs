//! One dead-letter stream under inspection. A letter's id is its sequence there.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::Request;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use truegreen_model::letter::Letter;

use super::letter;
use super::letters::{ADVISORIES, is_of_letter};
use super::link::{Link, answered, is_name};
use super::told::{Advisory, Stored, Stowed, StreamInfo};
use crate::Error;
use crate::dead_letters::{Outgoing, Reading, Sent};

/// Targets of which the window of deduplication is remembered.
const MAX_TARGETS: usize = 1_000;

/// One dead-letter stream under inspection.
pub(super) struct NatsReading {
    link: Arc<Link>,
    place: String,
    /// The next sequence that is looked at.
    next: u64,
    /// The last that was there when the reading began.
    last: u64,
    /// Whether a stream drops a second message of the same id, by its name.
    dedupes: HashMap<String, bool>,
}

impl NatsReading {
    pub(super) fn new(link: Arc<Link>, stream: &StreamInfo) -> NatsReading {
        NatsReading {
            link,
            place: stream.config.name.clone(),
            next: stream.state.first_seq.max(1),
            last: stream.state.last_seq,
            dedupes: HashMap::new(),
        }
    }

    /// The letter that this message is, or tells of; none where it tells of something else.
    async fn letter(&self, stored: &Stored) -> Result<Option<Letter>, Error> {
        if !stored.subject.starts_with(ADVISORIES) {
            return letter::of_message(&self.place, stored).map(Some);
        }
        if !is_of_letter(&stored.subject) {
            return Ok(None);
        }
        let data = STANDARD.decode(&stored.data).unwrap_or_default();
        match serde_json::from_slice::<Advisory>(&data) {
            Ok(advisory) if is_name(&advisory.stream) && advisory.stream_seq > 0 => {
                let original = self.link.message(&advisory.stream, advisory.stream_seq, None).await?;
                letter::of_advisory(&self.place, stored.seq, &advisory, original.as_ref()).map(Some)
            }
            // Somebody wrote it there who is no server.
            _ => letter::of_message(&self.place, stored).map(Some),
        }
    }

    /// Whether a second message of the same id is dropped there.
    async fn dedupes(&mut self, stream: &str) -> bool {
        if let Some(known) = self.dedupes.get(stream) {
            return *known;
        }
        let window = match self.link.stream(stream).await {
            Ok(Some(info)) => info.config.duplicate_window,
            _ => 0,
        };
        if self.dedupes.len() < MAX_TARGETS {
            self.dedupes.insert(stream.to_owned(), window > 0);
        }
        window > 0
    }
}

#[async_trait]
impl Reading for NatsReading {
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        let mut letters = Vec::new();
        while letters.len() < limit && self.next <= self.last {
            let Some(stored) = self.link.message(&self.place, self.next, Some(">")).await? else {
                self.next = self.last + 1;
                break;
            };
            if stored.seq < self.next {
                return Err(Error::Nonsense(format!("message {} for one from {} on", stored.seq, self.next)));
            }
            if stored.seq > self.last {
                self.next = self.last + 1;
                break;
            }
            letters.extend(self.letter(&stored).await?);
            self.next = stored.seq + 1;
        }
        Ok(letters)
    }

    async fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error> {
        let subject = if outgoing.to.is_empty() { &outgoing.key } else { &outgoing.to };
        if subject.is_empty() || subject.contains(['*', '>', ' ', '\r', '\n']) || subject.starts_with("$JS.") {
            return Err(Error::NotAsked(format!(
                "`{subject}` is no subject to send to\nhint: name the subject that it is for"
            )));
        }
        let headers = letter::outgoing(&outgoing.headers, &outgoing.idempotency_key);
        let request = Request::new().headers(headers).payload(outgoing.body.clone().into());
        let answer = match self.link.request(subject, request, "to store a letter").await {
            Err(Error::Answered(text)) => {
                return Err(Error::Answered(format!("{text}: no stream takes it, so nothing would keep it")));
            }
            answer => answer?,
        };
        // Somebody else who answers to this subject does not answer as a stream does.
        let stowed: Option<Stowed> = answered(&answer)?;
        let stowed = stowed.filter(|stowed| stowed.seq > 0 && !stowed.stream.is_empty()).ok_or_else(|| {
            Error::Nonsense(format!("{subject} is not answered by a stream: nothing confirms the letter"))
        })?;
        if stowed.duplicate {
            return Ok(Sent::Already);
        }
        Ok(if self.dedupes(&stowed.stream).await { Sent::Once } else { Sent::AtLeastOnce })
    }

    async fn remove(&mut self, id: &str) -> Result<(), Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Removed {
            success: bool,
        }
        let seq: u64 = id.parse().map_err(|_| Error::NotAsked(format!("`{id}` is no sequence of {}", self.place)))?;
        let question = format!("STREAM.MSG.DELETE.{}", self.place);
        // What is only marked as removed lies there again after a crash of the server; what is erased does not.
        let body = json!({ "seq": seq, "no_erase": false });
        let gone = match self.link.ask::<Removed>(&question, &body, "to remove a letter").await {
            Ok(Some(removed)) => removed.success,
            // A server says by one and the same error that it is gone already and that it cannot: what it holds tells.
            Ok(None) | Err(Error::Answered(_)) => false,
            Err(error) => return Err(error),
        };
        if gone || self.link.message(&self.place, seq, None).await?.is_none() {
            return Ok(());
        }
        Err(Error::Answered(format!(
            "letter {seq} of {} is still there\nhint: does the stream deny deletes?",
            self.place
        )))
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        // Nothing is held while it is read.
        Ok(())
    }
}
