//! One stream under inspection. A stream is read without taking anything out of it, so a crash leaves it as it was.

use std::sync::Arc;

use async_trait::async_trait;
use redis::{cmd, pipe};
use truegreen_model::letter::Letter;

use super::dial::{Connection, MAX_ANSWER_BYTES};
use super::entry::{Entry, Id, fields};
use super::letters::{Where, idle_ms};
use crate::dead_letters::{Outgoing, Reading, Sent};
use crate::{Error, SystemConfig};

/// Letters asked for at once.
const MAX_BATCH: usize = 100;
/// How long it is remembered that a letter was sent: a week, longer than any redrive is interrupted.
const REMEMBERED_SECONDS: u32 = 7 * 24 * 60 * 60;

/// Adds an entry and remembers its key in one step, which nothing can come between.
const SEND: &str = "
local sent = redis.call('GET', KEYS[2])
if sent then return {0, sent} end
if redis.call('EXISTS', KEYS[1]) == 0 then return {2, ''} end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
redis.call('SET', KEYS[2], id, 'EX', ARGV[1])
return {1, id}
";

pub(super) struct StreamReading {
    config: Arc<SystemConfig>,
    connection: Connection,
    place: String,
    at: Where,
    /// The next that was not shown; none at the end.
    next: Option<Id>,
    /// The last that was there when the reading began.
    last: Id,
}

impl StreamReading {
    pub(super) fn new(config: Arc<SystemConfig>, connection: Connection, place: String, at: Where, last: Id) -> Self {
        StreamReading { config, connection, place, at, next: Some(Id::FIRST), last }
    }

    async fn entries(&mut self, from: Id, count: usize) -> Result<Vec<Letter>, Error> {
        match self.at.clone() {
            Where::Stream(stream) => {
                let mut command = cmd("XRANGE");
                command.arg(&stream).arg(from.to_string()).arg(self.last.to_string()).arg("COUNT").arg(count);
                let entries = Entry::all(self.connection.ask("XRANGE", &command).await?)?;
                Ok(entries.into_iter().map(|entry| entry.letter(&self.place)).collect())
            }
            Where::Pending(stream, group) => self.pending(&stream, &group, from, count).await,
        }
    }

    async fn pending(&mut self, stream: &str, group: &str, from: Id, count: usize) -> Result<Vec<Letter>, Error> {
        let mut command = cmd("XPENDING");
        command.arg(stream).arg(group).arg("IDLE").arg(idle_ms(&self.config));
        command.arg(from.to_string()).arg(self.last.to_string()).arg(count);
        let pending: Vec<(String, String, u64, u32)> = self.connection.ask("XPENDING", &command).await?;
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = pipe();
        for (id, ..) in &pending {
            commands.cmd("XRANGE").arg(stream).arg(id).arg(id);
        }
        let entries = self.connection.ask_all("XRANGE", &mut commands, MAX_ANSWER_BYTES).await?;
        let mut letters = Vec::new();
        for ((id, consumer, idle, deliveries), entry) in pending.into_iter().zip(entries) {
            let mut letter = match Entry::all(entry?)?.pop() {
                Some(entry) => entry.letter(&self.place),
                // It can be acknowledged, and not be sent any more.
                None => Letter { id, place: self.place.clone(), is_cut: true, ..Letter::default() },
            };
            if letter.error.is_empty() && letter.error_type.is_empty() {
                let gone = if letter.is_cut { "; its entry was trimmed or deleted" } else { "" };
                letter.error_type = "not_acknowledged".to_owned();
                letter.error = format!("taken by the consumer {consumer} and not acknowledged{gone}");
            }
            let taken = jiff::Timestamp::now().as_millisecond().saturating_sub_unsigned(idle);
            letter.died_at = jiff::Timestamp::from_millisecond(taken).map(|time| time.to_string()).unwrap_or_default();
            letter.origin = stream.to_owned();
            letter.deaths = deliveries.max(1);
            letters.push(letter);
        }
        Ok(letters)
    }
}

#[async_trait]
impl Reading for StreamReading {
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        let Some(from) = self.next.filter(|next| *next <= self.last && limit > 0) else { return Ok(Vec::new()) };
        let mut letters = self.entries(from, limit.min(MAX_BATCH)).await;
        if letters.is_err() && self.connection.is_spent() {
            // Long letters are read one at a time.
            self.connection = Connection::open(&self.config).await?;
            letters = self.entries(from, 1).await;
        }
        let letters = letters?;
        self.next = letters.last().and_then(|letter| Id::parse(&letter.id)).and_then(Id::next);
        Ok(letters)
    }

    async fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error> {
        let fields = fields(outgoing)?;
        let mut command = cmd("EVAL");
        command.arg(SEND).arg(2).arg(&outgoing.to).arg(remembered(outgoing)).arg(REMEMBERED_SECONDS);
        for (name, value) in &fields {
            command.arg(name).arg(value);
        }
        let (outcome, _id): (u8, String) = self.connection.ask("XADD", &command).await?;
        match outcome {
            0 => Ok(Sent::Already),
            1 => Ok(Sent::Once),
            _ => Err(Error::Answered(format!("no stream is named `{}`", outgoing.to))),
        }
    }

    async fn remove(&mut self, id: &str) -> Result<(), Error> {
        if Id::parse(id).is_none() {
            return Err(Error::NotAsked(format!("`{id}` is no id of an entry")));
        }
        let mut command = match &self.at {
            Where::Stream(stream) => cmd("XDEL").arg(stream).take(),
            Where::Pending(stream, group) => cmd("XACK").arg(stream).arg(group).take(),
        };
        // One that is not there any more is as gone as one that went now.
        self.connection.ask::<u64>("the removal", command.arg(id)).await.map(drop)
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// A key on the same node of a cluster as its stream.
fn remembered(outgoing: &Outgoing) -> String {
    let stream = &outgoing.to;
    let tag = stream.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or(stream);
    format!("truegreen:sent:{{{tag}}}:{}:{}", outgoing.to, outgoing.idempotency_key)
}
