//! The thread between the intake and the engine: it makes accepted inputs durable in the order in which the engine
//! will see them, and only then lets their senders be answered (INV-ACK-1). Requests that wait while the disk syncs
//! are made durable together.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use truegreen_engine::{Engine, Input, Request};
use truegreen_model::time::Timestamp;
use truegreen_store::{Kind, Log};

use crate::ingest::{Refusal, Reservation, Sender, Signal};
use crate::run_loop::{self, Accepted, Clock, Shared, wall_clock};

/// How long a refused sender's gap may wait to be told, and a stop to be heard.
const TICK: Duration = Duration::from_millis(100);
/// Requests made durable together at the most.
const MAX_BATCH: usize = 1024;
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// A request that was checked, on its way to be accepted.
pub(crate) struct Offer {
    pub(crate) at: Timestamp,
    pub(crate) signal: Signal,
    pub(crate) body: Vec<u8>,
    pub(crate) reservation: Reservation,
    pub(crate) slot: OwnedSemaphorePermit,
    pub(crate) answer: oneshot::Sender<Result<(), NotTaken>>,
}

/// Why an offered request was not taken, with its body, from which its sender can be read.
pub(crate) struct NotTaken {
    pub(crate) refusal: Refusal,
    pub(crate) body: Vec<u8>,
}

/// What is sent to this thread.
pub(crate) enum Message {
    Offer(Offer),
    /// Nothing comes after this.
    Stop,
}

/// The thread's state.
pub(crate) struct Writer {
    /// Without a log, accepted means queued: nothing outlives the process.
    pub(crate) log: Option<Log>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) to_engine: mpsc::Sender<run_loop::Message>,
    pub(crate) clock: Clock,
    pub(crate) sequence: u64,
    pub(crate) next_retention: Instant,
}

impl Writer {
    pub(crate) fn new(
        log: Option<Log>,
        shared: Arc<Shared>,
        to_engine: mpsc::Sender<run_loop::Message>,
        clock: Clock,
    ) -> Writer {
        let sequence = log.as_ref().map_or(0, |log| log.next_sequence().saturating_sub(1));
        Writer { log, shared, to_engine, clock, sequence, next_retention: Instant::now() + RETENTION_EVERY }
    }

    pub(crate) fn run(mut self, messages: &mpsc::Receiver<Message>) {
        loop {
            let (batch, stop) = next_batch(messages);
            self.tell_gaps();
            self.write(batch);
            self.enforce_retention();
            if stop {
                drop(self.to_engine.send(run_loop::Message::Stop));
                return;
            }
        }
    }

    /// Gaps come before what was accepted after them: a deadline that is judged then must know of them.
    fn tell_gaps(&mut self) {
        let senders = self.shared.take_gaps();
        if senders.is_empty() {
            return;
        }
        let at = self.clock.at(wall_clock());
        if let Some(log) = &mut self.log {
            // A gap that cannot be written down is still told: it only makes verdicts more careful.
            let written = log.append(at, Kind::Refused, &gap_body(&senders)).and_then(|_| log.commit());
            self.note(written);
        }
        drop(self.to_engine.send(run_loop::Message::Gaps { at, senders }));
    }

    fn write(&mut self, batch: Vec<Offer>) {
        let mut appended = Vec::with_capacity(batch.len());
        for offer in batch {
            let at = self.clock.at(offer.at);
            match self.append(at, &offer) {
                Ok(sequence) => appended.push((at, sequence, offer)),
                Err(refusal) => refuse(offer, refusal),
            }
        }
        if appended.is_empty() {
            return;
        }
        let committed = self.log.as_mut().map_or(Ok(()), Log::commit);
        let refusal = self.note(committed);
        for (at, sequence, offer) in appended {
            match &refusal {
                Some(refusal) => refuse(offer, refusal.clone()),
                None => self.accept(at, sequence, offer),
            }
        }
    }

    fn append(&mut self, at: Timestamp, offer: &Offer) -> Result<u64, Refusal> {
        let Some(log) = &mut self.log else {
            self.sequence += 1;
            return Ok(self.sequence);
        };
        let appended = log.append(at, kind(offer.signal), &offer.body);
        match appended {
            Ok(sequence) => Ok(sequence),
            Err(error) => Err(self.note(Err(error)).unwrap_or(Refusal::LogFailed)),
        }
    }

    fn accept(&self, at: Timestamp, sequence: u64, offer: Offer) {
        let Offer { signal, body, reservation, slot, answer, .. } = offer;
        // A sender that is gone already will send again, and be counted once (INV-SET-1).
        drop(answer.send(Ok(())));
        let accepted = Accepted { at, sequence, signal, body, _reservation: reservation, _slot: slot };
        drop(self.to_engine.send(run_loop::Message::Accepted(accepted)));
    }

    /// Says and remembers whether the log takes writes.
    fn note(&self, done: Result<(), truegreen_store::Error>) -> Option<Refusal> {
        let Err(error) = done else {
            self.shared.log_failing.store(false, Ordering::Relaxed);
            return None;
        };
        let refusal = match error {
            truegreen_store::Error::TooLarge { most, .. } => return Some(Refusal::Oversized { limit: most }),
            truegreen_store::Error::NoSpace { .. } => Refusal::DiskFull,
            _ => Refusal::LogFailed,
        };
        if !self.shared.log_failing.swap(true, Ordering::Relaxed) {
            tracing::error!("nothing is taken any more: {error}");
        }
        Some(refusal)
    }

    fn enforce_retention(&mut self) {
        let Some(log) = self.log.as_mut().filter(|_| Instant::now() >= self.next_retention) else { return };
        self.next_retention = Instant::now() + RETENTION_EVERY;
        match log.enforce_retention(wall_clock()) {
            Ok(dropped) => {
                self.shared.dropped_entries.fetch_add(dropped.entries, Ordering::Relaxed);
            }
            Err(error) => tracing::error!("cannot drop what is too old: {error}"),
        }
    }
}

fn next_batch(messages: &mpsc::Receiver<Message>) -> (Vec<Offer>, bool) {
    let mut batch = Vec::new();
    match messages.recv_timeout(TICK) {
        Ok(Message::Offer(offer)) => batch.push(offer),
        Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return (batch, true),
        Err(RecvTimeoutError::Timeout) => return (batch, false),
    }
    while batch.len() < MAX_BATCH {
        match messages.try_recv() {
            Ok(Message::Offer(offer)) => batch.push(offer),
            Ok(Message::Stop) => return (batch, true),
            Err(_) => break,
        }
    }
    (batch, false)
}

fn refuse(offer: Offer, refusal: Refusal) {
    drop(offer.answer.send(Err(NotTaken { refusal, body: offer.body })));
}

/// What a restart found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Replayed {
    /// Entries that were applied again.
    pub(crate) entries: u64,
    /// When the latest of them was received.
    pub(crate) until: Timestamp,
}

/// Applies everything in the log to a new engine, in order and each at its own time of receipt, so that it stands as
/// the old one stood (INV-REPLAY-1); then notes that between the last of it and now nobody listened.
pub(crate) fn replay(log: &mut Log, engine: &mut Engine) -> Result<Option<Replayed>, truegreen_store::Error> {
    let mut replayed: Option<Replayed> = None;
    for entry in log.read_from(0) {
        let entry = entry?;
        let request = Request { sequence: entry.sequence, body: &entry.body };
        match entry.kind {
            Kind::Traces => drop(engine.apply(entry.received_at, Input::Traces(request))),
            Kind::Logs => drop(engine.apply(entry.received_at, Input::Logs(request))),
            Kind::Metrics => drop(engine.apply(entry.received_at, Input::Metrics(request))),
            Kind::Resumed => resume(engine, &entry.body, entry.received_at),
            Kind::Stopped => drop(engine.apply(entry.received_at, Input::Tick)),
            Kind::Refused => {
                for sender in gap_senders(&entry.body) {
                    let gap = Input::Refused { service: &sender.service, instance: sender.instance.as_deref() };
                    engine.apply(entry.received_at, gap);
                }
            }
        }
        let entries = replayed.map_or(0, |replayed| replayed.entries) + 1;
        replayed = Some(Replayed { entries, until: entry.received_at });
    }
    if let Some(Replayed { until, .. }) = replayed {
        let (now, body) = (wall_clock().max(until), until.0.to_le_bytes());
        log.append(now, Kind::Resumed, &body)?;
        log.commit()?;
        resume(engine, &body, now);
    }
    Ok(replayed)
}

fn resume(engine: &mut Engine, body: &[u8], at: Timestamp) {
    let since = body.try_into().map_or(at, |bytes| Timestamp(u64::from_le_bytes(bytes)));
    engine.apply(at, Input::Resumed { down_since: since });
}

fn kind(signal: Signal) -> Kind {
    match signal {
        Signal::Traces => Kind::Traces,
        Signal::Logs => Kind::Logs,
        Signal::Metrics => Kind::Metrics,
    }
}

fn gap_body(senders: &[Sender]) -> Vec<u8> {
    let list: Vec<_> = senders.iter().map(|sender| (&sender.service, &sender.instance)).collect();
    serde_json::to_vec(&list).unwrap_or_default()
}

fn gap_senders(body: &[u8]) -> Vec<Sender> {
    let list: Vec<(String, Option<String>)> = serde_json::from_slice(body).unwrap_or_default();
    list.into_iter().map(|(service, instance)| Sender { service, instance }).collect()
}
