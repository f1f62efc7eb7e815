//! What the order promises, kept account of by someone who knows nothing of how it works: only what was told to it, and
//! what it asked for.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_store::order::{Effect, Event, Note, Ticket};

use super::Broken;

/// The account of one life of a server.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Offered, and not answered.
    unanswered: BTreeSet<Ticket>,
    /// Appended, and not shown to the engine.
    pending: BTreeMap<u64, Note>,
    /// What was asked to be appended.
    appending: Option<Note>,
    appended: u64,
    synced: u64,
    shown: u64,
    checkpoint: Option<u64>,
    is_failed: bool,
    /// Something was refused that the log does not tell of, since before or after the gap that is being appended.
    is_gap_missing: bool,
    is_gap_missing_again: bool,
    is_stopping: bool,
    mark: Option<u64>,
    is_mark_refused: bool,
}

fn broken<T>(sentence: &str, how: impl std::fmt::Debug) -> Result<T, Broken> {
    Err(format!("{sentence}: {how:?}"))
}

impl Witness {
    /// Of a server whose log ends with this sequence, and its checkpoint, if it makes any.
    pub fn new(durable: u64, checkpoint: Option<u64>) -> Witness {
        Witness {
            unanswered: BTreeSet::new(),
            pending: BTreeMap::new(),
            appending: None,
            appended: durable,
            synced: durable,
            shown: durable,
            checkpoint,
            is_failed: false,
            is_gap_missing: false,
            is_gap_missing_again: false,
            is_stopping: false,
            mark: None,
            is_mark_refused: false,
        }
    }

    /// Something was told to the order.
    pub fn told(&mut self, event: Event) {
        match event {
            Event::Offered(ticket) => drop(self.unanswered.insert(ticket)),
            Event::GapOpened => {
                self.is_gap_missing = true;
                self.is_gap_missing_again = true;
            }
            Event::Appended(sequence) => {
                self.appended = sequence;
                if let Some(note) = self.appending.take() {
                    self.pending.insert(sequence, note);
                    match note {
                        Note::Gap => self.is_gap_missing = self.is_gap_missing_again,
                        Note::Stopped => self.mark = Some(sequence),
                        Note::Request(_) | Note::Resumed => {}
                    }
                }
            }
            Event::AppendRefused(_) => {
                // Where a gap finds no room, none is left for the mark either.
                let is_request = matches!(self.appending.take(), Some(Note::Request(_)));
                self.is_mark_refused |= self.is_stopping && !is_request;
            }
            Event::StopAsked => self.is_stopping = true,
            Event::Synced => self.synced = self.appended,
            Event::Failed => self.is_failed = true,
            _ => {}
        }
    }

    /// Something was asked for.
    pub fn asked(&mut self, effect: Effect) -> Result<(), Broken> {
        match effect {
            Effect::Append(note) => self.append(note),
            Effect::Sync if self.is_failed => {
                broken("after a failure nothing is synced until the log is opened anew", effect)
            }
            Effect::Acknowledge(ticket) => self.acknowledge(ticket),
            Effect::Refuse(ticket, _) => self.answer(ticket),
            Effect::Show(note, sequence) => self.show(note, sequence),
            Effect::PassTime if !self.pending.is_empty() && !self.is_failed => {
                broken("time passes only when nothing accepted waits for the engine", &self.pending)
            }
            Effect::TakeCheckpoint { as_of } | Effect::WriteCheckpoint { as_of }
                if as_of > self.shown || as_of > self.synced =>
            {
                broken("a checkpoint is as of what is durable and what the engine was shown", (as_of, self.shown))
            }
            Effect::Drop { through } if through > self.checkpoint.unwrap_or(self.shown) => {
                broken("what is not in a checkpoint is not dropped", (through, self.checkpoint))
            }
            Effect::End => self.end(),
            _ => Ok(()),
        }
    }

    /// A checkpoint as of this is durable.
    pub fn checkpoint_written(&mut self, as_of: u64) {
        self.checkpoint = Some(as_of);
    }

    fn append(&mut self, note: Note) -> Result<(), Broken> {
        if self.is_failed {
            return broken("after a failure nothing is appended until the log is opened anew", note);
        }
        if self.mark.is_some() {
            return broken("nothing is appended behind the mark", note);
        }
        match note {
            Note::Request(_) if self.is_gap_missing => {
                return broken("a gap stands in the log before what is accepted after it", note);
            }
            Note::Gap => self.is_gap_missing_again = false,
            _ => {}
        }
        self.appending = Some(note);
        Ok(())
    }

    fn acknowledge(&mut self, ticket: Ticket) -> Result<(), Broken> {
        let durable = self.pending.range(..=self.synced).any(|(_, note)| *note == Note::Request(ticket));
        if !durable {
            return broken("nobody is answered before the entry is synced (INV-ACK-1)", ticket);
        }
        if self.is_failed {
            return broken("after a failure nothing is acknowledged until the log is opened anew", ticket);
        }
        self.answer(ticket)
    }

    fn answer(&mut self, ticket: Ticket) -> Result<(), Broken> {
        if self.unanswered.remove(&ticket) { Ok(()) } else { broken("each request is answered once", ticket) }
    }

    fn show(&mut self, note: Note, sequence: u64) -> Result<(), Broken> {
        if sequence != self.shown + 1 {
            return broken("the engine is shown every entry, in order", (sequence, self.shown));
        }
        if sequence > self.synced {
            return broken("the engine is shown only what is durable", (sequence, self.synced));
        }
        self.shown = sequence;
        match self.pending.remove(&sequence) {
            Some(appended) if appended == note => Ok(()),
            appended => broken("the engine is shown what was appended", (note, appended)),
        }
    }

    fn end(&self) -> Result<(), Broken> {
        if !self.unanswered.is_empty() {
            return broken("a stop leaves nobody without an answer", &self.unanswered);
        }
        let is_excused = self.is_failed || self.is_mark_refused;
        if self.mark != Some(self.shown) && !is_excused {
            return broken("a stop ends with a mark behind everything", (self.mark, self.shown));
        }
        Ok(())
    }
}
