//! The thread that owns the log: it hears what happens, and does what [`Order`] says, one thing after the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;
use truegreen_store::checkpoint::Change;
use truegreen_store::order::{Effect, Event, Note, Opening, Order, Ticket, Why};
use truegreen_store::{Directory, Kind, Log};

use super::gaps::{self, Gaps};
use super::keeper::{Asked, Keeper};
use super::replay::resumed_body;
use super::replay::{Replayed, Unwritten};
use super::{Message, NotTaken, Offer, Shared, What};
use crate::clock::{Clock, wall_clock};
use crate::request::{Refusal, Sender};
use crate::run_loop::{Accepted, Feed};

/// How long a refused sender's gap may wait to be told, and the engine for time to pass.
const TICK: Duration = Duration::from_millis(100);
/// Requests made durable together at the most.
const MAX_BATCH: usize = 1024;
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// So much of the log is replayed at a start, at about the pace at which it was written at the most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    journal: Journal,
    order: Order,
    shared: Arc<Shared>,
    feed: Feed,
    clock: Clock,
    /// Offered and not yet answered, or taken and not yet shown to the engine; with the time of receipt.
    held: BTreeMap<Ticket, (Timestamp, Offer)>,
    next_ticket: u64,
    /// Gaps on their way into the log, in order.
    gaps: VecDeque<(Timestamp, Vec<Sender>)>,
    /// Gaps that were told and found no room.
    unwritten: Gaps,
    down_since: Timestamp,
    /// When the latest `Resumed` or `Stopped` was written.
    noted_at: Timestamp,
    next_tick: Instant,
    next_retention: Instant,
    next_checkpoint: Instant,
    back: Back,
    /// What the engine gave for the checkpoint that is to be written.
    taken: Vec<Change>,
}

/// What a start found of the log.
pub(super) struct Found {
    pub(super) log: Option<Log>,
    pub(super) replayed: Option<Replayed>,
    pub(super) unwritten: Option<Unwritten>,
    /// As of what the last checkpoint is, where any are kept.
    pub(super) checkpoint: Option<u64>,
}

/// The ways on which answers come back to this thread.
pub(super) struct Back {
    pub(super) messages: mpsc::Sender<Message>,
    /// None where no checkpoints are kept.
    pub(super) keeper: Option<Keeper>,
}

impl Writer {
    pub(super) fn new(found: Found, shared: Arc<Shared>, feed: Feed, back: Back) -> Writer {
        let Found { log, replayed, unwritten, checkpoint } = found;
        let durable = log.as_ref().map_or(0, |log| log.next_sequence().saturating_sub(1));
        let opening = Opening { durable, is_resumed: replayed.is_some(), checkpoint, batch: MAX_BATCH };
        let until = replayed.map_or(Timestamp(0), |replayed| replayed.until);
        let now = Instant::now();
        Writer {
            journal: log.map_or(Journal::None { last: 0 }, |log| Journal::Log { log: Box::new(log), unwritten }),
            order: Order::new(opening),
            shared,
            feed,
            clock: Clock::since(until),
            held: BTreeMap::new(),
            next_ticket: 0,
            gaps: VecDeque::new(),
            unwritten: Gaps::default(),
            down_since: until,
            noted_at: until,
            next_tick: now + TICK,
            next_retention: now + RETENTION_EVERY,
            next_checkpoint: now + CHECKPOINT_EVERY,
            back,
            taken: Vec::new(),
        }
    }

    pub(super) fn run(mut self, messages: &mpsc::Receiver<Message>) {
        loop {
            while let Some(effect) = self.order.next_effect() {
                if effect == Effect::End {
                    return;
                }
                self.perform(effect);
            }
            self.hear(messages);
        }
    }

    /// Waits until something happens, and takes note of all that did.
    fn hear(&mut self, messages: &mpsc::Receiver<Message>) {
        let wait = self.next_tick.saturating_duration_since(Instant::now());
        let mut heard = messages.recv_timeout(wait);
        for _ in 0..MAX_BATCH {
            match heard {
                Ok(Message::Offer(offer)) => self.offered(offer),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.order.tell(Event::StopAsked);
                    break;
                }
                Ok(Message::CheckpointTaken(Some(changes))) => {
                    self.taken = changes;
                    self.order.tell(Event::CheckpointTaken);
                }
                Ok(Message::CheckpointWritten(true)) => self.order.tell(Event::CheckpointWritten),
                Ok(Message::CheckpointTaken(None) | Message::CheckpointWritten(false)) => {
                    self.order.tell(Event::CheckpointFailed);
                }
                Err(RecvTimeoutError::Timeout) => break,
            }
            heard = messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        if !self.shared.gaps().is_empty() {
            self.order.tell(Event::GapOpened);
        }
        let now = Instant::now();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.order.tell(Event::TickDue);
        }
        if now >= self.next_retention {
            self.next_retention = now + RETENTION_EVERY;
            self.order.tell(Event::RetentionDue);
        }
        if now >= self.next_checkpoint {
            self.next_checkpoint = now + CHECKPOINT_EVERY;
            self.order.tell(Event::CheckpointDue);
        }
    }

    fn offered(&mut self, offer: Offer) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.held.insert(ticket, (offer.at, offer));
        self.order.tell(Event::Offered(ticket));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Append(note) => {
                let event = self.append(note);
                self.order.tell(event);
            }
            Effect::Sync => {
                let event = self.sync();
                self.order.tell(event);
            }
            Effect::Acknowledge(ticket) => self.acknowledge(ticket),
            Effect::Refuse(ticket, why) => self.refuse(ticket, why),
            Effect::Show(note, sequence) => self.show(note, sequence),
            Effect::ShowUnwritten(note) => self.show_unwritten(note),
            Effect::PassTime => self.feed.time(self.clock.at(wall_clock())),
            Effect::Drop { through } => self.drop_old(through),
            // It would hold contracts of which the log says nothing.
            Effect::TakeCheckpoint { .. } if self.journal.lacks_contracts() => self.order.tell(Event::CheckpointFailed),
            Effect::TakeCheckpoint { .. } => self.feed.checkpoint(Asked::new(self.back.messages.clone())),
            Effect::WriteCheckpoint { as_of } => {
                let changes = std::mem::take(&mut self.taken);
                if !self.back.keeper.as_ref().is_some_and(|keeper| keeper.write(as_of, changes)) {
                    self.order.tell(Event::CheckpointFailed);
                }
            }
            Effect::End => {}
        }
    }

    fn append(&mut self, note: Note) -> Event {
        let appended = match note {
            Note::Request(ticket) => {
                let Some((at, offer)) = self.held.get_mut(&ticket) else {
                    return Event::AppendRefused(Why::LogFailed);
                };
                *at = self.clock.at(offer.at);
                self.journal.append(*at, kind(&offer.what), &offer.body)
            }
            Note::Gap => {
                let (at, senders) = self.collect_gaps();
                let body = gaps::body(&senders);
                self.gaps.push_back((at, senders));
                self.journal.append(at, Kind::Refused, &body)
            }
            Note::Resumed => {
                self.noted_at = self.clock.at(wall_clock());
                self.journal.append(self.noted_at, Kind::Resumed, &resumed_body(self.down_since))
            }
            Note::Stopped => {
                self.noted_at = self.clock.at(wall_clock());
                self.journal.append(self.noted_at, Kind::Stopped, &[])
            }
        };
        let error = match appended {
            Ok(sequence) => return Event::Appended(sequence),
            Err(error) => error,
        };
        let event = match error {
            truegreen_store::Error::TooLarge { .. } => return Event::AppendRefused(Why::TooLarge),
            truegreen_store::Error::NoSpace { .. } => Event::AppendRefused(Why::NoSpace),
            // The free space could not be measured, and nothing was appended.
            truegreen_store::Error::Io { .. } => Event::AppendRefused(Why::LogFailed),
            _ => Event::Failed,
        };
        self.complain(&error);
        event
    }

    fn sync(&mut self) -> Event {
        match self.journal.sync() {
            Ok(()) => {
                self.shared.is_failing.store(false, Ordering::Relaxed);
                Event::Synced
            }
            Err(error) => {
                self.complain(&error);
                Event::Failed
            }
        }
    }

    /// All senders whose gaps are not in the log.
    fn collect_gaps(&mut self) -> (Timestamp, Vec<Sender>) {
        let mut gaps = std::mem::take(&mut self.unwritten);
        let dropped = gaps.add(self.shared.gaps().take());
        self.shared.dropped_gaps.fetch_add(dropped, Ordering::Relaxed);
        (self.clock.at(wall_clock()), gaps.take())
    }

    fn acknowledge(&mut self, ticket: Ticket) {
        let Some((_, offer)) = self.held.get_mut(&ticket) else { return };
        // A sender that is gone already will send again, and be counted once (INV-SET-1).
        drop(offer.answer.take().map(|answer| answer.send(Ok(()))));
    }

    fn refuse(&mut self, ticket: Ticket, why: Why) {
        let Some((_, offer)) = self.held.remove(&ticket) else { return };
        let refusal = match why {
            Why::NoSpace => Refusal::DiskFull,
            Why::TooLarge => Refusal::Oversized { limit: Log::<Directory>::MAX_BODY_BYTES },
            Why::LogFailed => Refusal::LogFailed,
            Why::Stopping => Refusal::ShuttingDown,
        };
        drop(offer.answer.map(|answer| answer.send(Err(NotTaken { refusal, body: offer.body }))));
    }

    fn show(&mut self, note: Note, sequence: u64) {
        match note {
            Note::Request(ticket) => {
                let Some((at, offer)) = self.held.remove(&ticket) else { return };
                let Offer { what, body, slot, .. } = offer;
                match what {
                    What::Request(signal, reservation) => {
                        let held = (reservation, slot);
                        self.feed.accepted(Accepted { at, sequence, signal, body, _held: held });
                    }
                    What::Contracts(flows) => self.feed.contracts(at, flows),
                    What::Confirmations(answers) => self.feed.confirmed(at, answers),
                    What::Changes(changes) => self.feed.changed(at, changes),
                }
            }
            Note::Gap => {
                if let Some((at, senders)) = self.gaps.pop_front() {
                    self.feed.gaps(at, senders);
                }
            }
            Note::Resumed => self.feed.resumed(self.noted_at, self.down_since),
            Note::Stopped => self.feed.time(self.noted_at),
        }
    }

    fn show_unwritten(&mut self, note: Note) {
        match note {
            Note::Gap => {
                let (at, senders) = self.gaps.pop_front().unwrap_or_else(|| self.collect_gaps());
                if !self.order.is_failed() {
                    let dropped = self.unwritten.add(senders.iter().cloned());
                    self.shared.dropped_gaps.fetch_add(dropped, Ordering::Relaxed);
                }
                self.feed.gaps(at, senders);
            }
            Note::Resumed => self.feed.resumed(self.clock.at(wall_clock()), self.down_since),
            Note::Request(_) | Note::Stopped => {}
        }
    }

    /// Says and remembers that the log takes no writes.
    fn complain(&self, error: &truegreen_store::Error) {
        if !self.shared.is_failing.swap(true, Ordering::Relaxed) {
            tracing::error!("nothing is taken any more: {error}");
        }
    }

    fn drop_old(&mut self, through: u64) {
        match self.journal.drop_old(through) {
            Ok(entries) => drop(self.shared.dropped_entries.fetch_add(entries, Ordering::Relaxed)),
            Err(error) => tracing::error!("cannot drop what is too old: {error}"),
        }
    }
}

impl Drop for Writer {
    /// Without this thread nothing reaches the engine any more, not even time. Whoever waits for it must hear so, also
    /// where a bug ended it.
    fn drop(&mut self) {
        self.feed.stop();
    }
}

/// Where accepted inputs are kept.
enum Journal {
    Log {
        log: Box<Log>,
        /// Nothing is appended before this.
        unwritten: Option<Unwritten>,
    },
    /// Nowhere: accepted means queued, and nothing outlives the process.
    None { last: u64 },
}

impl Journal {
    fn append(&mut self, at: Timestamp, kind: Kind, body: &[u8]) -> Result<u64, truegreen_store::Error> {
        match self {
            Journal::Log { log, unwritten } => {
                if let Some(contracts) = unwritten {
                    log.append(contracts.at, Kind::Contracts, &contracts.body)?;
                    *unwritten = None;
                }
                log.append(at, kind, body)
            }
            Journal::None { last } => {
                *last += 1;
                Ok(*last)
            }
        }
    }

    /// Whether contracts are in force of which it does not tell.
    fn lacks_contracts(&self) -> bool {
        matches!(self, Journal::Log { unwritten: Some(_), .. })
    }

    fn sync(&mut self) -> Result<(), truegreen_store::Error> {
        match self {
            Journal::Log { log, .. } => log.commit(),
            Journal::None { .. } => Ok(()),
        }
    }

    /// Returns how many entries were dropped.
    fn drop_old(&mut self, through: u64) -> Result<u64, truegreen_store::Error> {
        match self {
            Journal::Log { log, .. } => Ok(log.enforce_retention_through(wall_clock(), through)?.entries),
            Journal::None { .. } => Ok(0),
        }
    }
}

fn kind(what: &What) -> Kind {
    match what {
        What::Request(Signal::Traces, _) => Kind::Traces,
        What::Request(Signal::Logs, _) => Kind::Logs,
        What::Request(Signal::Metrics, _) => Kind::Metrics,
        What::Contracts(_) => Kind::Contracts,
        What::Confirmations(_) => Kind::Confirmations,
        What::Changes(_) => Kind::Changes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contracts_that_found_no_room_stand_before_whatever_finds_some() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path(), truegreen_store::Options::default()).unwrap();
        let unwritten = Some(Unwritten { at: Timestamp::from_secs(1), body: vec![1] });
        let mut journal = Journal::Log { log: Box::new(log), unwritten };
        assert!(journal.lacks_contracts());
        assert_eq!(journal.append(Timestamp::from_secs(2), Kind::Resumed, &[]).unwrap(), 2);
        assert_eq!(journal.append(Timestamp::from_secs(3), Kind::Traces, &[]).unwrap(), 3);
        journal.sync().unwrap();
        assert!(!journal.lacks_contracts());
        let Journal::Log { log, .. } = journal else { panic!("it is one") };
        let kinds: Vec<Kind> = log.read_from(0).map(|entry| entry.unwrap().kind).collect();
        assert_eq!(kinds, [Kind::Contracts, Kind::Resumed, Kind::Traces]);
    }
}
