//! Between the intake and the engine: makes accepted inputs durable in the order in which the engine will see them, and
//! only then lets their senders be answered (INV-ACK-1). When what is done is decided by [`truegreen_store::order`];
//! here it is done.
//!
//! Read in this order: this file (the way in, for handlers), `writer` (the thread that owns the log), `gaps` (whose
//! requests were refused), `keeper` (the thread that writes checkpoints), `contracts` (as they stand in the log), `replay`
//! (what a restart does).

pub mod contracts;
mod gaps;
mod keeper;
mod replay;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use truegreen_model::change;
use truegreen_model::confirmation::Confirmation;
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;
use truegreen_store::checkpoint::{Change, Checkpoints};

use self::gaps::Gaps;
pub(crate) use self::keeper::Asked;
use self::keeper::Keeper;
pub(crate) use self::replay::{Failed, Recovered, recover};
use self::writer::Writer;
use crate::clock::wall_clock;
use crate::confirming::{Answers, kept};
use crate::request::{Refusal, Reservation, Sender};
use crate::run_loop;

/// The way to the log.
#[derive(Clone)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    slots: Arc<Semaphore>,
    capacity: usize,
    shared: Arc<Shared>,
    engine: run_loop::Handle,
}

/// What is sent to the thread.
enum Message {
    Offer(Offer),
    /// What comes after this is not taken.
    Stop,
    /// What the engine derived and changed since the last checkpoint; none where it could not be asked.
    CheckpointTaken(Option<Vec<Change>>),
    /// Whether it is durable.
    CheckpointWritten(bool),
}

/// A request that was checked, on its way to be accepted.
struct Offer {
    at: Timestamp,
    what: What,
    body: Vec<u8>,
    slot: OwnedSemaphorePermit,
    /// Until it is answered.
    answer: Option<oneshot::Sender<Result<(), NotTaken>>>,
}

/// What an offer is.
enum What {
    /// A request, with its share of the bytes in flight.
    Request(Signal, Reservation),
    /// These contracts, from here on.
    Contracts(Vec<Flow>),
    /// What systems answered.
    Confirmations(Vec<Confirmation>),
    /// What was changed.
    Changes(Vec<change::Change>),
}

/// Why an offered request was not taken, with its body, from which its sender can be read.
pub(crate) struct NotTaken {
    pub(crate) refusal: Refusal,
    pub(crate) body: Vec<u8>,
}

/// What the thread and the handlers share.
#[derive(Default)]
struct Shared {
    /// The log takes no writes.
    is_failing: AtomicBool,
    stop: watch::Sender<bool>,
    /// Entries that retention dropped from the log.
    dropped_entries: AtomicU64,
    gaps: Mutex<Gaps>,
    dropped_gaps: AtomicU64,
}

impl Shared {
    fn gaps(&self) -> MutexGuard<'_, Gaps> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the threads of a log that was replayed: the one that owns it, and the one that keeps checkpoints, if any are
/// kept. `queue` bounds the requests that wait.
pub(crate) fn start(
    recovered: Recovered,
    queue: usize,
    engine: run_loop::Handle,
    feed: run_loop::Feed,
) -> std::io::Result<(Handle, Vec<JoinHandle<()>>)> {
    let (messages, received) = mpsc::channel();
    let shared = Arc::new(Shared::default());
    let capacity = queue.min(Semaphore::MAX_PERMITS);
    let kept_until = recovered.checkpoints.as_ref().map(|checkpoints| checkpoints.sequence().unwrap_or(0));
    let keep = |checkpoints: Checkpoints| Keeper::start(checkpoints, messages.clone());
    let (keeper, keeping) = recovered.checkpoints.map(keep).transpose()?.unzip();
    let back = writer::Back { messages: messages.clone(), keeper };
    let found = writer::Found {
        log: recovered.log,
        replayed: recovered.replayed,
        unwritten: recovered.unwritten,
        checkpoint: kept_until,
    };
    let writer = Writer::new(found, shared.clone(), feed, back);
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&received))?;
    let handle = Handle { messages, slots: Arc::new(Semaphore::new(capacity)), capacity, shared, engine };
    Ok((handle, [thread].into_iter().chain(keeping).collect()))
}

impl Handle {
    /// Hands over a checked request, and waits until it is durable; or says why it is not taken.
    pub(crate) async fn offer(
        &self,
        signal: Signal,
        body: Vec<u8>,
        mut reservation: Reservation,
    ) -> Result<(), NotTaken> {
        if self.engine.is_full() && !self.is_stopping() {
            return Err(NotTaken { refusal: Refusal::EngineFull, body });
        }
        reservation.shrink_to(body.capacity());
        self.hand_over(What::Request(signal, reservation), body).await
    }

    /// From here on these contracts are in force; resolves once that is durable.
    pub(crate) async fn put_in_force(&self, flows: Vec<Flow>) -> Result<(), NotTaken> {
        let written = contracts::written(&flows);
        let Ok((body, flows)) = written else {
            return Err(NotTaken { refusal: Refusal::LogFailed, body: Vec::new() });
        };
        self.hand_over(What::Contracts(flows), body).await
    }

    /// What systems answered; resolves once that is durable.
    pub(crate) async fn confirm(&self, answers: Vec<Confirmation>) -> Result<(), NotTaken> {
        let Ok(body) = kept::written(&answers) else {
            return Err(NotTaken { refusal: Refusal::LogFailed, body: Vec::new() });
        };
        self.hand_over(What::Confirmations(answers), body).await
    }

    /// What was changed; resolves once that is durable.
    pub(crate) async fn changed(&self, changes: Vec<change::Change>) -> Result<(), NotTaken> {
        let Ok(body) = crate::changes::kept::written(&changes) else {
            return Err(NotTaken { refusal: Refusal::LogFailed, body: Vec::new() });
        };
        self.hand_over(What::Changes(changes), body).await
    }

    async fn hand_over(&self, what: What, body: Vec<u8>) -> Result<(), NotTaken> {
        let refused = if self.is_stopping() {
            Err(Refusal::ShuttingDown)
        } else {
            self.slots.clone().try_acquire_owned().map_err(|_| Refusal::QueueFull)
        };
        let slot = match refused {
            Ok(slot) => slot,
            Err(refusal) => return Err(NotTaken { refusal, body }),
        };
        let (answer, answered) = oneshot::channel();
        let offer = Offer { at: wall_clock(), what, body, slot, answer: Some(answer) };
        let stopped = || NotTaken { refusal: Refusal::ShuttingDown, body: Vec::new() };
        self.messages.send(Message::Offer(offer)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Something of these senders was refused: the engine must know before it sees what is accepted after it.
    pub(crate) fn refused(&self, senders: Vec<Sender>) {
        let dropped = self.shared.gaps().add(senders);
        self.shared.dropped_gaps.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Whether nothing is taken any more.
    pub fn is_stopping(&self) -> bool {
        *self.shared.stop.borrow() || self.engine.has_ended()
    }

    /// Resolves when it was asked to stop.
    pub(crate) async fn stopping(&self) {
        // The sender is among what is shared, and lives as long as this.
        drop(self.shared.stop.subscribe().wait_for(|is_asked| *is_asked).await);
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.capacity.saturating_sub(self.slots.available_permits())
    }

    /// Refused senders beyond the bounds on gaps.
    pub fn dropped_gaps(&self) -> u64 {
        self.shared.dropped_gaps.load(Ordering::Relaxed)
    }

    /// Whether the log takes no writes, so that nothing can be accepted.
    pub fn is_failing(&self) -> bool {
        self.shared.is_failing.load(Ordering::Relaxed)
    }

    /// Entries that retention dropped from the log.
    pub fn dropped_entries(&self) -> u64 {
        self.shared.dropped_entries.load(Ordering::Relaxed)
    }

    /// From now on nothing is taken.
    pub(crate) fn refuse_new(&self) {
        self.shared.stop.send_replace(true);
    }

    /// The threads of log and engine end once all that waits was taken.
    pub(crate) fn stop(&self) {
        self.refuse_new();
        drop(self.messages.send(Message::Stop));
    }
}

impl Answers for Handle {
    async fn record(&self, answers: Vec<Confirmation>) -> bool {
        self.confirm(answers).await.is_ok()
    }

    async fn ended(&self) {
        self.stopping().await;
    }
}
