//! When an entry is appended, synced, acknowledged, shown to the engine and checkpointed: a pure state machine, without
//! I/O, clock or thread. Whoever holds a log performs its effects, one after the other, and tells it what came of them:
//! the server's log thread on a real disk, the simulator on one that tears and forgets.
//!
//! What it guarantees, whatever is told to it:
//!
//! - Nobody is answered *taken* before the entry is synced (INV-ACK-1).
//! - The engine is shown entries in the order of their sequence, and only those that are durable.
//! - After a write or a sync has failed nothing is acknowledged, until the log is opened anew.
//! - A gap stands in the log before whatever is accepted after it, and the engine is told of it before that, even where
//!   it could not be written down.
//! - Time passes for the engine only while no accepted entry waits to be shown to it: so a replay, in which each entry
//!   comes at its own time of receipt, sees what the engine saw (INV-REPLAY-1).
//! - A checkpoint is as of a sequence that is durable and that the engine was shown; entries after the last checkpoint
//!   are not dropped.
//! - A stop takes what was offered before it, refuses what is offered after it, and ends with a mark behind it all.

mod step;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

/// Names an offered request until it is answered, and shown to the engine if it was taken. Chosen by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Something to be written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// An offered request.
    Request(Ticket),
    /// We listen again, and since when we did not.
    Resumed,
    /// Whose requests were refused since the last such note that was written.
    Gap,
    /// We stop, and everything that was taken stands before this.
    Stopped,
}

/// Why a request is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is no room for it now.
    NoSpace,
    /// It will never fit.
    TooLarge,
    /// The log takes no writes until it is opened anew.
    LogFailed,
    /// Nothing is taken any more.
    Stopping,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A checked request waits to be taken.
    Offered(Ticket),
    /// Something was refused.
    GapOpened,
    /// A moment has passed.
    TickDue,
    /// It is time for a checkpoint.
    CheckpointDue,
    /// It is time to drop what is old.
    RetentionDue,
    /// Nothing more is to be taken.
    StopAsked,
    /// What [`Effect::Append`] asked for is in the log, under this sequence.
    Appended(u64),
    /// It is not, and the log is as it was before.
    AppendRefused(Why),
    /// What [`Effect::Sync`] asked for is done.
    Synced,
    /// An append or a sync failed: what was not synced may or may not be durable.
    Failed,
    /// The engine gave the checkpoint that [`Effect::TakeCheckpoint`] asked for.
    CheckpointTaken,
    /// What [`Effect::WriteCheckpoint`] asked for is durable.
    CheckpointWritten,
    /// The checkpoint was not taken, or not written. It is tried again when the next one is due.
    CheckpointFailed,
}

/// What is to be done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Append this. Answered by [`Event::Appended`], [`Event::AppendRefused`] or [`Event::Failed`].
    Append(Note),
    /// Make durable what was appended. Answered by [`Event::Synced`] or [`Event::Failed`].
    Sync,
    /// Tell this sender that its request was taken.
    Acknowledge(Ticket),
    /// Tell this sender that its request was not taken.
    Refuse(Ticket, Why),
    /// Show the engine what stands under this sequence.
    Show(Note, u64),
    /// Tell the engine of what could not be written down; it is written before anything else is.
    ShowUnwritten(Note),
    /// Let the engine's time pass.
    PassTime,
    /// Ask the engine for a checkpoint behind all that it was shown, up to `as_of`. Answered, at any later time, by
    /// [`Event::CheckpointTaken`] or [`Event::CheckpointFailed`].
    TakeCheckpoint {
        /// The last sequence it was shown.
        as_of: u64,
    },
    /// Make that checkpoint durable. Answered, at any later time, by [`Event::CheckpointWritten`] or
    /// [`Event::CheckpointFailed`].
    WriteCheckpoint {
        /// The sequence from behind which a restart replays.
        as_of: u64,
    },
    /// Drop what is too old or too much, but no entry after this sequence.
    Drop {
        /// The last sequence that may be dropped.
        through: u64,
    },
    /// Nothing comes after this.
    End,
}

/// What is known when a log is opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Opening {
    /// The last sequence in the log; 0 for none.
    pub durable: u64,
    /// Since the last entry nobody listened, and the log does not say so yet.
    pub is_resumed: bool,
    /// As of what the last checkpoint is (0: none yet), where checkpoints are made at all. Where none are, whatever the
    /// engine was shown may be dropped.
    pub checkpoint: Option<u64>,
    /// Most entries that are made durable together.
    pub batch: usize,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Order {
    batch_limit: usize,
    /// Offered, not appended.
    waiting: VecDeque<Ticket>,
    /// Appended, not synced, in order of sequence. Gaps that could not be written stand among them without one.
    batch: Vec<(Note, Option<u64>)>,
    /// Decided, not taken by the caller.
    effects: VecDeque<Effect>,
    /// What was asked for and not answered.
    awaited: Option<Awaited>,
    resumed: Notice,
    gap: Notice,
    is_failed: bool,
    stage: Stage,
    /// The last sequence the engine was shown.
    shown: u64,
    checkpoint: Option<u64>,
    checkpointing: Checkpointing,
    is_tick_due: bool,
    is_retention_due: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaited {
    Append(Note),
    Sync,
}

/// Something that must stand in the log before what is accepted after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Notice {
    None,
    /// To be written, and told.
    Due,
    /// Told, but there was no room for it.
    Unwritten,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Running,
    /// Asked to stop: what waits is still taken.
    Stopping,
    /// The mark is durable, or cannot be.
    Closing,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Checkpointing {
    Idle,
    Due,
    Asked { as_of: u64 },
    Writing { as_of: u64 },
}

impl Order {
    /// For a log that was just opened, and an engine that was shown all of it.
    pub fn new(opening: Opening) -> Order {
        Order {
            batch_limit: opening.batch.max(1),
            waiting: VecDeque::new(),
            batch: Vec::new(),
            effects: VecDeque::new(),
            awaited: None,
            resumed: if opening.is_resumed { Notice::Due } else { Notice::None },
            gap: Notice::None,
            is_failed: false,
            stage: Stage::Running,
            shown: opening.durable,
            checkpoint: opening.checkpoint,
            checkpointing: Checkpointing::Idle,
            is_tick_due: false,
            is_retention_due: false,
        }
    }

    /// Takes note of what happened. An answer to what was not asked is ignored.
    pub fn tell(&mut self, event: Event) {
        match event {
            Event::Offered(ticket) if self.stage == Stage::Running => self.waiting.push_back(ticket),
            Event::Offered(ticket) => self.effects.push_back(Effect::Refuse(ticket, Why::Stopping)),
            Event::GapOpened => self.gap = Notice::Due,
            Event::TickDue => self.is_tick_due = true,
            Event::RetentionDue => self.is_retention_due = true,
            Event::StopAsked if self.stage == Stage::Running => self.stage = Stage::Stopping,
            Event::StopAsked => {}
            Event::CheckpointDue if self.checkpointing == Checkpointing::Idle => {
                self.checkpointing = Checkpointing::Due;
            }
            Event::CheckpointDue => {}
            Event::CheckpointTaken | Event::CheckpointWritten | Event::CheckpointFailed => self.checkpointed(event),
            Event::Appended(sequence) => self.appended(sequence),
            Event::AppendRefused(why) => self.append_refused(why),
            Event::Synced if self.awaited == Some(Awaited::Sync) => self.release(),
            Event::Failed if self.awaited.is_some() => self.fail(),
            Event::Synced | Event::Failed => {}
        }
    }

    /// What is to be done next; `None` until something happens. Each effect is performed before the next is asked for.
    pub fn next_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() && self.awaited.is_none() && self.stage != Stage::Ended {
            self.decide();
        }
        self.effects.pop_front()
    }

    /// Whether nothing can be acknowledged until the log is opened anew.
    pub fn is_failed(&self) -> bool {
        self.is_failed
    }
}
