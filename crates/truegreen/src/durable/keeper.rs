//! The thread that keeps what the engine derived, so that a start replays only what came after it. It may take its time:
//! nobody's answer waits for it.

use std::sync::mpsc;
use std::thread::JoinHandle;

use truegreen_store::checkpoint::{Change, Checkpoints};

use super::Message;

/// The way to the thread; it ends when this is dropped.
pub(super) struct Keeper {
    work: mpsc::Sender<(u64, Vec<Change>)>,
}

impl Keeper {
    /// `written` is told of what came of each checkpoint.
    pub(super) fn start(
        mut checkpoints: Checkpoints,
        written: mpsc::Sender<Message>,
    ) -> std::io::Result<(Keeper, JoinHandle<()>)> {
        let (work, received) = mpsc::channel::<(u64, Vec<Change>)>();
        let keep = move || {
            let mut is_failed = false;
            for (as_of, changes) in received {
                let done = !is_failed && write(&mut checkpoints, as_of, changes, &mut is_failed);
                drop(written.send(Message::CheckpointWritten(done)));
            }
        };
        let thread = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(keep)?;
        Ok((Keeper { work }, thread))
    }

    /// False where the thread has ended by a bug.
    pub(super) fn write(&self, as_of: u64, changes: Vec<Change>) -> bool {
        self.work.send((as_of, changes)).is_ok()
    }
}

/// Whether the checkpoint is durable. `is_failed`: what is on disk is not known any more, and a change that is missing
/// there would be missing for ever, so nothing more is written until a restart replays the log.
fn write(checkpoints: &mut Checkpoints, as_of: u64, changes: Vec<Change>, is_failed: &mut bool) -> bool {
    match checkpoints.write(as_of, changes) {
        Ok(()) => true,
        Err(error @ truegreen_store::Error::NoSpace { .. }) => {
            tracing::warn!("a checkpoint waits for room on the disk: {error}");
            false
        }
        Err(error) => {
            *is_failed = true;
            tracing::error!("no checkpoint is written any more, and the next start takes longer: {error}");
            false
        }
    }
}

/// Asks the engine for what changed; whoever drops it unanswered has failed.
pub(crate) struct Asked {
    answer: Option<mpsc::Sender<Message>>,
}

impl Asked {
    pub(super) fn new(answer: mpsc::Sender<Message>) -> Asked {
        Asked { answer: Some(answer) }
    }

    pub(crate) fn answer(mut self, changes: Vec<Change>) {
        if let Some(answer) = self.answer.take() {
            drop(answer.send(Message::CheckpointTaken(Some(changes))));
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            drop(answer.send(Message::CheckpointTaken(None)));
        }
    }
}
