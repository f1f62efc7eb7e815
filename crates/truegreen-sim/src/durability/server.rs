//! The server: performs what the order says, on a simulated disk. It can end before any effect.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use truegreen_engine::{Engine, Input};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_store::order::{Effect, Event, Note, Opening, Order, Ticket, Why};
use truegreen_store::simulated::{Faults, SimulatedDisk};
use truegreen_store::{Entry, Error, Kind, Log, Options};

use super::Broken;
use super::history::{self, Ended, Records, Verdicts};
use super::sender::Parcel;
use super::witness::Witness;

/// Small enough that a world has several segments.
const OPTIONS: Options = Options {
    segment_bytes: 6000,
    block_bytes: 600,
    max_age: Duration::from_secs(3600),
    max_bytes: 1 << 40,
    min_free_bytes: 1500,
};
/// Where checkpoints are made, this much is kept.
const KEPT_BYTES: u64 = 15_000;

/// What outlives a process, and the process while there is one.
pub struct Server {
    /// Its disk.
    pub disk: SimulatedDisk,
    flow: Flow,
    makes_checkpoints: bool,
    /// As of what the last durable checkpoint is.
    checkpoint: u64,
    /// What the engine kept there.
    records: Records,
    /// That engine had been told of gaps that found no room in the log.
    knows_more: bool,
    /// Everything that is known to be durable, from the first entry on; what was dropped too.
    pub history: Vec<Entry>,
    ended: Option<Ended>,
    /// The process.
    pub life: Option<Life>,
}

/// One process, from start to end.
pub struct Life {
    order: Order,
    witness: Witness,
    log: Log<SimulatedDisk>,
    engine: Engine,
    /// The time that entries are stamped with.
    clock: Timestamp,
    /// When the engine last acted.
    acted_at: Timestamp,
    held: BTreeMap<Ticket, Held>,
    next_ticket: u64,
    gaps: BTreeSet<String>,
    /// Gaps on their way into the log.
    noted: Vec<(Timestamp, String)>,
    noted_at: Timestamp,
    down_since: Timestamp,
    shown: u64,
    was_told_more: bool,
    /// What stood when the process before ended, until the engine knows that nobody listened since.
    standing: Option<Verdicts>,
    checkpoint_asked: Option<u64>,
    /// What changed since the last durable checkpoint, as far as the engine was asked.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// It ends before the effect of this number.
    doom: Option<u16>,
}

struct Held {
    parcel: usize,
    attempt: u64,
    at: Timestamp,
    is_answered: bool,
}

/// What the world around has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Carry this answer to the sender.
    Answer {
        /// Index of the parcel.
        parcel: usize,
        /// Which attempt is answered.
        attempt: u64,
        /// Whether it was taken.
        is_taken: bool,
    },
    /// Call [`Server::synced`] later.
    Syncing,
    /// Tell that the engine has taken the checkpoint, later.
    TakingCheckpoint,
    /// Tell that the checkpoint is written, later.
    WritingCheckpoint,
    /// The process is gone: as it was doomed to.
    Died,
    /// The process is gone: it was asked to stop.
    Stopped,
}

impl Server {
    /// A server that was never started.
    pub fn new(seed: u64, flow: Flow, makes_checkpoints: bool) -> Server {
        Server {
            disk: SimulatedDisk::new(seed),
            flow,
            makes_checkpoints,
            checkpoint: 0,
            records: Records::new(),
            knows_more: false,
            history: Vec::new(),
            ended: None,
            life: None,
        }
    }

    /// Starts the process, and holds what it finds against what was.
    ///
    /// # Errors
    /// The sentence that is broken.
    pub fn start(&mut self, now: Timestamp, parcels: &[Parcel]) -> Result<(), Broken> {
        self.disk.fail(Faults::default());
        let max_bytes = if self.makes_checkpoints { KEPT_BYTES } else { OPTIONS.max_bytes };
        let opened = Log::open_on(self.disk.clone(), Options { max_bytes, ..OPTIONS });
        let log = opened.map_err(|error| format!("a log opens again after any crash: {error}"))?;
        let found = self.read(&log)?;
        history::is_kept(&self.history, &found, parcels)?;
        let mut standing = None;
        if let Some(ended) = self.ended.take() {
            history::is_replayable(&ended, &self.flow, &found)?;
            // What is durable and was not shown may amend a verdict.
            let is_all_shown = ended.shown == found.len() as u64 && !ended.was_told_more;
            standing = is_all_shown.then(|| history::verdicts(&ended.engine));
        }
        let until = found.iter().map(|entry| entry.received_at).max();
        let durable = found.len() as u64;
        let checkpoint = self.makes_checkpoints.then_some(self.checkpoint);
        let kept = (&self.records, self.checkpoint);
        let engine = history::restored(&self.flow, kept, &found, self.makes_checkpoints)?;
        let opening = Opening { durable, is_resumed: until.is_some(), checkpoint, batch: 8 };
        self.life = Some(Life {
            order: Order::new(opening),
            witness: Witness::new(durable, checkpoint),
            engine,
            log,
            clock: until.unwrap_or(now),
            acted_at: until.unwrap_or(now),
            held: BTreeMap::new(),
            next_ticket: 0,
            gaps: BTreeSet::new(),
            noted: Vec::new(),
            noted_at: now,
            down_since: until.unwrap_or(now),
            shown: durable,
            was_told_more: self.knows_more,
            standing,
            checkpoint_asked: None,
            changes: BTreeMap::new(),
            doom: None,
        });
        self.history = found;
        Ok(())
    }

    /// All that a restart is built from: the last checkpoint, then the log behind it.
    fn read(&self, log: &Log<SimulatedDisk>) -> Result<Vec<Entry>, Broken> {
        let first = log.first_sequence();
        if first > self.checkpoint + 1 {
            return Err(format!("what is not in a checkpoint is not dropped: {} and {first}", self.checkpoint));
        }
        let upto = usize::try_from(self.checkpoint).unwrap_or(usize::MAX);
        let mut found = self.history.get(..upto).ok_or("a checkpoint is as of what is durable")?.to_vec();
        for entry in log.read_from(self.checkpoint + 1) {
            found.push(entry.map_err(|error| format!("the log is whole after any crash: {error}"))?);
        }
        Ok(found)
    }

    /// The process is gone. Where the power failed too, so is what was not synced.
    pub fn die(&mut self, is_power_cut: bool) {
        if let Some(life) = self.life.take() {
            let Life { engine, shown, acted_at, was_told_more, .. } = life;
            self.ended = Some(Ended { engine, shown, now: acted_at, was_told_more });
        }
        if is_power_cut {
            self.disk.crash();
        }
    }
}

impl Server {
    /// Performs all there is to do, until something must be waited for.
    ///
    /// # Errors
    /// The sentence that is broken.
    pub fn go_on(&mut self, wall: Timestamp, parcels: &mut [Parcel]) -> Result<Vec<Outcome>, Broken> {
        let mut outcomes = Vec::new();
        let Some(life) = &mut self.life else { return Ok(outcomes) };
        while let Some(effect) = life.order.next_effect() {
            if let Some(left) = life.doom {
                if left == 0 {
                    outcomes.push(Outcome::Died);
                    break;
                }
                life.doom = Some(left - 1);
            }
            life.witness.asked(effect)?;
            match effect {
                Effect::Sync => outcomes.push(Outcome::Syncing),
                Effect::TakeCheckpoint { as_of } => {
                    life.checkpoint_asked = Some(as_of);
                    let changes = &mut life.changes;
                    life.engine.checkpoint(&mut |key, value| {
                        changes.insert(key.to_vec(), value.map(<[u8]>::to_vec));
                    });
                    outcomes.push(Outcome::TakingCheckpoint);
                }
                Effect::WriteCheckpoint { .. } => outcomes.push(Outcome::WritingCheckpoint),
                Effect::End => outcomes.push(Outcome::Stopped),
                Effect::Show(note, sequence) => {
                    let entry = life.show(note, sequence, parcels)?;
                    self.history.push(entry);
                }
                other => outcomes.extend(life.perform(other, wall, parcels)?),
            }
        }
        Ok(outcomes)
    }

    /// What was asked to be synced now is, or is not.
    pub fn synced(&mut self) {
        if let Some(life) = &mut self.life {
            let event = if life.log.commit().is_ok() { Event::Synced } else { Event::Failed };
            life.tell(event);
        }
    }

    /// The checkpoint that was asked for is durable now.
    pub fn checkpoint_written(&mut self) {
        if let Some(life) = &mut self.life
            && let Some(as_of) = life.checkpoint_asked.take()
        {
            self.checkpoint = as_of;
            self.knows_more |= life.was_told_more;
            for (key, value) in std::mem::take(&mut life.changes) {
                match value {
                    Some(value) => drop(self.records.insert(key, value)),
                    None => drop(self.records.remove(&key)),
                }
            }
            life.witness.checkpoint_written(as_of);
            life.tell(Event::CheckpointWritten);
        }
    }
}

impl Life {
    /// Tells the order, and the witness.
    pub fn tell(&mut self, event: Event) {
        self.witness.told(event);
        self.order.tell(event);
    }

    /// It ends before the n-th effect from now.
    pub fn doom(&mut self, n: u16) {
        self.doom = Some(n);
    }

    /// Whether it takes nothing any more, so that whoever runs it starts it again.
    pub fn is_failed(&self) -> bool {
        self.order.is_failed()
    }

    /// A request has arrived.
    pub fn offer(&mut self, parcel: usize, attempt: u64, at: Timestamp) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.held.insert(ticket, Held { parcel, attempt, at, is_answered: false });
        self.tell(Event::Offered(ticket));
    }

    /// A request was refused before it was offered, or by the order.
    pub fn gap(&mut self, who: &crate::telemetry::Sender) {
        self.gaps.insert(format!("{} {}", who.service, who.instance));
        self.tell(Event::GapOpened);
    }

    fn at(&mut self, wall: Timestamp) -> Timestamp {
        self.clock = self.clock.max(wall);
        self.clock
    }

    fn perform(&mut self, effect: Effect, wall: Timestamp, parcels: &mut [Parcel]) -> Result<Option<Outcome>, Broken> {
        match effect {
            Effect::Append(note) => {
                let event = self.append(note, wall, parcels)?;
                self.tell(event);
            }
            Effect::Acknowledge(ticket) => {
                let held = self.held.get_mut(&ticket).ok_or("only what is held is answered")?;
                held.is_answered = true;
                parcels[held.parcel].is_acknowledged = true;
                let (parcel, attempt) = (held.parcel, held.attempt);
                return Ok(Some(Outcome::Answer { parcel, attempt, is_taken: true }));
            }
            Effect::Refuse(ticket, _) => {
                let Held { parcel, attempt, .. } = self.held.remove(&ticket).ok_or("only what is held is answered")?;
                return Ok(Some(Outcome::Answer { parcel, attempt, is_taken: false }));
            }
            Effect::ShowUnwritten(note) => self.show_unwritten(note, wall),
            Effect::PassTime => {
                self.acted_at = self.at(wall);
                self.engine.apply(self.acted_at, Input::Tick);
            }
            Effect::Drop { through } => {
                // A failure leaves what it could not drop, to be tried again.
                drop(self.log.enforce_retention_through(wall, through));
            }
            _ => {}
        }
        Ok(None)
    }

    fn append(&mut self, note: Note, wall: Timestamp, parcels: &[Parcel]) -> Result<Event, Broken> {
        let appended = match note {
            Note::Request(ticket) => {
                let offered_at = self.held.get(&ticket).ok_or("only what is held is appended")?.at;
                let at = self.at(offered_at);
                let held = self.held.get_mut(&ticket).ok_or("only what is held is appended")?;
                held.at = at;
                let parcel = &parcels[held.parcel];
                self.log.append(at, parcel.kind, &parcel.body)
            }
            Note::Gap => {
                let at = self.at(wall);
                let body: Vec<String> = std::mem::take(&mut self.gaps).into_iter().collect();
                let body = body.join("\n");
                self.noted.push((at, body.clone()));
                self.log.append(at, Kind::Refused, body.as_bytes())
            }
            Note::Resumed => {
                self.noted_at = self.at(wall);
                self.log.append(self.noted_at, Kind::Resumed, &self.down_since.0.to_le_bytes())
            }
            Note::Stopped => {
                self.noted_at = self.at(wall);
                self.log.append(self.noted_at, Kind::Stopped, &[])
            }
        };
        Ok(match appended {
            Ok(sequence) => Event::Appended(sequence),
            Err(Error::NoSpace { .. }) => Event::AppendRefused(Why::NoSpace),
            Err(_) => Event::Failed,
        })
    }

    fn show(&mut self, note: Note, sequence: u64, parcels: &[Parcel]) -> Result<Entry, Broken> {
        let (received_at, kind, body) = match note {
            Note::Request(ticket) => {
                let held = self.held.remove(&ticket).ok_or("only what is held is shown")?;
                if !held.is_answered {
                    return Err("its sender is answered before the engine sees a request".to_owned());
                }
                let parcel = &parcels[held.parcel];
                (held.at, parcel.kind, parcel.body.clone())
            }
            Note::Gap if self.noted.is_empty() => return Err("only a gap that was noted is shown".to_owned()),
            Note::Gap => {
                let (at, body) = self.noted.remove(0);
                (at, Kind::Refused, body.into_bytes())
            }
            Note::Resumed => (self.noted_at, Kind::Resumed, self.down_since.0.to_le_bytes().to_vec()),
            Note::Stopped => (self.noted_at, Kind::Stopped, Vec::new()),
        };
        let entry = Entry { sequence, received_at, kind, body };
        history::apply(&mut self.engine, &entry);
        self.acted_at = received_at;
        self.shown = sequence;
        if note == Note::Resumed {
            self.check_standing()?;
        }
        Ok(entry)
    }

    fn show_unwritten(&mut self, note: Note, wall: Timestamp) {
        self.was_told_more = true;
        let at = self.at(wall);
        self.acted_at = at;
        match note {
            Note::Gap => {
                let body = if self.noted.is_empty() {
                    std::mem::take(&mut self.gaps).into_iter().collect::<Vec<_>>().join("\n")
                } else {
                    self.noted.remove(0).1
                };
                self.gaps.extend(body.lines().map(str::to_owned));
                let entry = Entry { sequence: 0, received_at: at, kind: Kind::Refused, body: body.into_bytes() };
                history::apply(&mut self.engine, &entry);
            }
            Note::Resumed => {
                self.standing = None;
                self.engine.apply(at, Input::Resumed { down_since: self.down_since });
            }
            Note::Request(_) | Note::Stopped => {}
        }
    }

    fn check_standing(&mut self) -> Result<(), Broken> {
        self.standing.take().map_or(Ok(()), |before| history::stands(&before, &self.engine))
    }
}

impl Server {
    /// At the end: how the running server stands, and everything there is to replay.
    ///
    /// # Errors
    /// The sentence that is broken.
    pub fn settle(&mut self, parcels: &[Parcel]) -> Result<Vec<Entry>, Broken> {
        let Some(life) = &self.life else { return Err("a server runs in the end".to_owned()) };
        let found = self.read(&life.log)?;
        history::is_kept(&self.history, &found, parcels)?;
        Ok(found)
    }
}
