//! One step of the machine: what is decided when nothing is outstanding, and what the answers lead to.

use super::{Awaited, Checkpointing, Effect, Event, Note, Notice, Order, Stage, Why};

impl Order {
    /// Decides what is done next, if anything is.
    pub(super) fn decide(&mut self) {
        if self.is_failed {
            self.decide_failed();
        } else if self.batch.is_empty() && self.decide_between() {
            // Between two batches, so that a log that is never idle is dropped from and checkpointed too.
        } else if self.batch.len() < self.batch_limit
            && let Some(note) = self.next_note()
        {
            self.append(note);
        } else if self.batch.iter().any(|(_, sequence)| sequence.is_some()) {
            self.awaited = Some(Awaited::Sync);
            self.effects.push_back(Effect::Sync);
        } else if !self.batch.is_empty() {
            self.release();
        } else {
            self.decide_idle();
        }
    }

    /// Notices first: they must stand before what is accepted after them.
    fn next_note(&self) -> Option<Note> {
        if self.stage == Stage::Closing || self.has_mark() {
            return None;
        }
        let is_wanted = !self.waiting.is_empty() || self.is_mark_next();
        let is_next = |notice| notice == Notice::Due || (notice == Notice::Unwritten && is_wanted);
        if is_next(self.resumed) {
            Some(Note::Resumed)
        } else if is_next(self.gap) {
            Some(Note::Gap)
        } else if let Some(ticket) = self.waiting.front() {
            Some(Note::Request(*ticket))
        } else {
            self.is_mark_next().then_some(Note::Stopped)
        }
    }

    fn is_mark_next(&self) -> bool {
        self.stage == Stage::Stopping && self.waiting.is_empty()
    }

    /// Whatever is refused behind it falls into the outage that the next start tells of.
    fn has_mark(&self) -> bool {
        self.batch.iter().any(|(note, _)| *note == Note::Stopped)
    }

    fn append(&mut self, note: Note) {
        match note {
            Note::Request(_) => drop(self.waiting.pop_front()),
            Note::Resumed => self.resumed = Notice::None,
            // What is refused from here on is a gap of its own.
            Note::Gap => self.gap = Notice::None,
            Note::Stopped => {}
        }
        self.awaited = Some(Awaited::Append(note));
        self.effects.push_back(Effect::Append(note));
    }

    pub(super) fn appended(&mut self, sequence: u64) {
        if let Some(Awaited::Append(note)) = self.awaited {
            self.awaited = None;
            self.batch.push((note, Some(sequence)));
        }
    }

    pub(super) fn append_refused(&mut self, why: Why) {
        let Some(Awaited::Append(note)) = self.awaited else { return };
        self.awaited = None;
        match note {
            Note::Request(ticket) => self.effects.push_back(Effect::Refuse(ticket, why)),
            Note::Resumed | Note::Gap => {
                let notice = if note == Note::Gap { &mut self.gap } else { &mut self.resumed };
                // More may have been refused meanwhile.
                *notice = if *notice == Notice::Due { Notice::Due } else { Notice::Unwritten };
                self.batch.push((note, None));
                // Nothing may overtake it, so what waits goes the same way.
                self.refuse_waiting(why);
                self.give_up_mark();
            }
            Note::Stopped => self.give_up_mark(),
        }
    }

    /// Everything in the batch is durable.
    pub(super) fn release(&mut self) {
        self.awaited = None;
        for (note, sequence) in std::mem::take(&mut self.batch) {
            let Some(sequence) = sequence else {
                self.effects.push_back(Effect::ShowUnwritten(note));
                continue;
            };
            if let Note::Request(ticket) = note {
                self.effects.push_back(Effect::Acknowledge(ticket));
            }
            self.effects.push_back(Effect::Show(note, sequence));
            self.shown = sequence;
            if note == Note::Stopped {
                self.close();
            }
        }
    }

    /// No one knows what of the batch is durable: none of it is acknowledged, and the engine sees none of it.
    pub(super) fn fail(&mut self) {
        self.is_failed = true;
        let appending = match self.awaited.take() {
            Some(Awaited::Append(note)) => Some((note, None)),
            _ => None,
        };
        for (note, _) in std::mem::take(&mut self.batch).into_iter().chain(appending) {
            self.effects.push_back(match note {
                Note::Request(ticket) => Effect::Refuse(ticket, Why::LogFailed),
                Note::Resumed | Note::Gap => Effect::ShowUnwritten(note),
                Note::Stopped => continue,
            });
        }
    }

    /// Nothing is written any more; but senders are answered, gaps told, and time passes.
    fn decide_failed(&mut self) {
        for (notice, note) in [(&mut self.resumed, Note::Resumed), (&mut self.gap, Note::Gap)] {
            if std::mem::replace(notice, Notice::None) == Notice::Due {
                self.effects.push_back(Effect::ShowUnwritten(note));
            }
        }
        self.refuse_waiting(Why::LogFailed);
        self.is_retention_due = false;
        if self.checkpointing == Checkpointing::Due {
            self.checkpointing = Checkpointing::Idle;
        }
        self.give_up_mark();
        if self.effects.is_empty() {
            self.decide_idle();
        }
    }

    /// Everything that was appended was shown. Whether something is to be done now.
    fn decide_between(&mut self) -> bool {
        let through = self.checkpoint.unwrap_or(self.shown);
        if std::mem::take(&mut self.is_retention_due) && through > 0 {
            self.effects.push_back(Effect::Drop { through });
        } else if self.checkpointing == Checkpointing::Due {
            self.checkpointing = Checkpointing::Idle;
            if self.checkpoint.is_some_and(|checkpoint| checkpoint < self.shown) {
                self.checkpointing = Checkpointing::Asked { as_of: self.shown };
                self.effects.push_back(Effect::TakeCheckpoint { as_of: self.shown });
            }
        }
        !self.effects.is_empty()
    }

    /// Nothing waits.
    fn decide_idle(&mut self) {
        if std::mem::take(&mut self.is_tick_due) {
            self.effects.push_back(Effect::PassTime);
        } else if self.stage == Stage::Closing && self.checkpointing == Checkpointing::Idle {
            self.stage = Stage::Ended;
            self.effects.push_back(Effect::End);
        }
    }

    pub(super) fn checkpointed(&mut self, event: Event) {
        self.checkpointing = match (self.checkpointing, event) {
            (Checkpointing::Asked { as_of }, Event::CheckpointTaken) => {
                self.effects.push_back(Effect::WriteCheckpoint { as_of });
                Checkpointing::Writing { as_of }
            }
            (Checkpointing::Writing { as_of }, Event::CheckpointWritten) => {
                self.checkpoint = Some(as_of);
                Checkpointing::Idle
            }
            (Checkpointing::Asked { .. } | Checkpointing::Writing { .. }, Event::CheckpointFailed) => {
                Checkpointing::Idle
            }
            (other, _) => other,
        };
    }

    fn refuse_waiting(&mut self, why: Why) {
        self.effects.extend(self.waiting.drain(..).map(|ticket| Effect::Refuse(ticket, why)));
    }

    /// A stop does not wait for a disk: without the mark the next start knows that it must be careful.
    fn give_up_mark(&mut self) {
        if self.stage == Stage::Stopping {
            self.close();
        }
    }

    /// One more checkpoint, so that the next start has nothing to replay.
    fn close(&mut self) {
        self.stage = Stage::Closing;
        if self.checkpointing == Checkpointing::Idle && !self.is_failed {
            self.checkpointing = Checkpointing::Due;
        }
    }
}
