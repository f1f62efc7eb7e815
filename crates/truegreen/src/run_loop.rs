//! The one thread that owns the engine: it takes durable requests in their order, fires timers ten times a second,
//! performs what the engine asks for, and answers questions between two requests.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use truegreen_engine::{Effect, Engine, Input, Request};
use truegreen_model::time::Timestamp;
use truegreen_store::Log;

use crate::alert;
use crate::durable::{self, NotTaken, Offer, Writer};
use crate::ingest::{Refusal, Reservation, Sender, Signal};

const TICK: Duration = Duration::from_millis(100);
/// Questions waiting for an answer; more are refused.
const MAX_QUERIES: usize = 256;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Senders whose gaps wait to be told to the engine; more are merged into what the next refusal tells.
const MAX_GAPS: usize = 10_000;

/// Someone else who wants to see what was accepted, in the engine's order.
pub trait Tap: Send {
    /// One accepted request, as protobuf.
    fn accepted(&mut self, at: Timestamp, signal: Signal, body: &[u8]);
}

type Query = Box<dyn FnOnce(&Engine) + Send>;

pub(crate) enum Message {
    Accepted(Accepted),
    /// Requests of these senders were refused.
    Gaps {
        at: Timestamp,
        senders: Vec<Sender>,
    },
    /// A question waits.
    Asked,
    /// Nothing comes after this.
    Stop,
}

pub(crate) struct Accepted {
    pub(crate) at: Timestamp,
    pub(crate) sequence: u64,
    pub(crate) signal: Signal,
    pub(crate) body: Vec<u8>,
    pub(crate) _reservation: Reservation,
    pub(crate) _slot: OwnedSemaphorePermit,
}

/// What the threads and the handlers share.
#[derive(Default)]
pub(crate) struct Shared {
    full: AtomicBool,
    /// The log takes no writes.
    pub(crate) log_failing: AtomicBool,
    /// Entries that retention dropped from the log.
    pub(crate) dropped_entries: AtomicU64,
    stopping: AtomicBool,
    queries: Mutex<VecDeque<Query>>,
    gaps: Mutex<BTreeSet<Sender>>,
    dropped_gaps: AtomicU64,
}

/// The way to the run loop.
#[derive(Clone)]
pub struct Handle {
    offers: mpsc::Sender<durable::Message>,
    messages: mpsc::Sender<Message>,
    slots: Arc<Semaphore>,
    capacity: usize,
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

/// The engine cannot be asked: it is stopping, or too many ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the engine cannot be asked now; try again")]
pub struct Unavailable;

/// The threads of a running engine.
pub(crate) struct Threads {
    engine: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Threads {
    /// Waits until both have ended; fails if one panicked.
    pub(crate) fn join(self) -> std::thread::Result<()> {
        let written = self.writer.join();
        self.engine.join().and(written)
    }
}

/// Starts the threads of an engine that stands as its log says. `queue` bounds the requests that wait.
pub(crate) fn start(
    engine: Engine,
    log: Option<Log>,
    queue: usize,
    alerts: alert::Handle,
    taps: Vec<Box<dyn Tap>>,
) -> std::io::Result<(Handle, Threads)> {
    let (offers, offered) = mpsc::channel();
    let (messages, receiver) = mpsc::channel();
    let (ended_sender, ended) = watch::channel(false);
    let shared = Arc::new(Shared::default());
    let capacity = queue.min(Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(capacity));
    let writer = Writer::new(log, shared.clone(), messages.clone(), Clock::default());
    let handle = Handle { offers, messages, slots, capacity, shared: shared.clone(), ended };
    let run = RunLoop { engine, shared, alerts, taps, clock: Clock::default() };
    let guard = Ended(ended_sender);
    let work = move || {
        // Told also when the engine panics.
        let _guard = guard;
        run.run(&receiver);
    };
    let engine = std::thread::Builder::new().name("engine".to_owned()).spawn(work)?;
    let writer = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&offered))?;
    Ok((handle, Threads { engine, writer }))
}

struct Ended(watch::Sender<bool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Handle {
    /// Hands over a checked request, and waits until it is durable; or says why it is not taken.
    pub(crate) async fn offer(
        &self,
        signal: Signal,
        body: Vec<u8>,
        mut reservation: Reservation,
    ) -> Result<(), NotTaken> {
        let refused = if self.is_stopping() {
            Err(Refusal::ShuttingDown)
        } else if self.is_full() {
            Err(Refusal::EngineFull)
        } else {
            self.slots.clone().try_acquire_owned().map_err(|_| Refusal::QueueFull)
        };
        let slot = match refused {
            Ok(slot) => slot,
            Err(refusal) => return Err(NotTaken { refusal, body }),
        };
        reservation.shrink_to(body.capacity());
        let (answer, answered) = oneshot::channel();
        let offer = Offer { at: wall_clock(), signal, body, reservation, slot, answer };
        let stopped = || NotTaken { refusal: Refusal::ShuttingDown, body: Vec::new() };
        self.offers.send(durable::Message::Offer(offer)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Tells the engine that something of these senders was refused.
    pub fn refused(&self, senders: Vec<Sender>) {
        let mut gaps = lock(&self.shared.gaps);
        for sender in senders {
            if gaps.len() >= MAX_GAPS && !gaps.contains(&sender) {
                self.shared.dropped_gaps.fetch_add(1, Ordering::Relaxed);
            } else {
                gaps.insert(sender);
            }
        }
    }

    /// Asks the engine something, between two requests.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queries = lock(&self.shared.queries);
            if queries.len() >= MAX_QUERIES {
                return Err(Unavailable);
            }
            queries.push_back(Box::new(move |engine| drop(reply.send(question(engine)))));
        }
        self.messages.send(Message::Asked).map_err(|_| Unavailable)?;
        // Queries that are never answered stay in the queue when the thread ends.
        let mut ended = self.ended.clone();
        tokio::select! {
            answer = answer => answer.map_err(|_| Unavailable),
            _ = ended.wait_for(|ended| *ended) => Err(Unavailable),
            () = tokio::time::sleep(PATIENCE) => Err(Unavailable),
        }
    }

    /// Whether a bound on the engine's memory is reached.
    pub fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    /// Whether nothing is taken any more.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed) || *self.ended.borrow()
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.capacity.saturating_sub(self.slots.available_permits())
    }

    /// Refused senders beyond the bound on gaps.
    pub fn dropped_gaps(&self) -> u64 {
        self.shared.dropped_gaps.load(Ordering::Relaxed)
    }

    /// From now on nothing is taken.
    pub fn refuse_new(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the log takes no writes, so that nothing can be accepted.
    pub fn is_log_failing(&self) -> bool {
        self.shared.log_failing.load(Ordering::Relaxed)
    }

    /// Entries that retention dropped from the log.
    pub fn dropped_entries(&self) -> u64 {
        self.shared.dropped_entries.load(Ordering::Relaxed)
    }

    /// The threads end once they have taken all that waits.
    pub fn stop(&self) {
        self.refuse_new();
        drop(self.offers.send(durable::Message::Stop));
    }

    /// Resolves when the thread has ended, for whatever reason.
    pub async fn ended(&self) {
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}

struct RunLoop {
    engine: Engine,
    shared: Arc<Shared>,
    alerts: alert::Handle,
    taps: Vec<Box<dyn Tap>>,
    clock: Clock,
}

impl RunLoop {
    fn run(mut self, messages: &mpsc::Receiver<Message>) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            self.answer_queries();
            let wait = next_tick.saturating_duration_since(Instant::now());
            match messages.recv_timeout(wait) {
                Ok(Message::Accepted(accepted)) => self.take(&accepted),
                Ok(Message::Gaps { at, senders }) => self.note_gaps(at, &senders),
                Ok(Message::Asked) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return self.last_words(),
                // Ticks are for when nothing arrives: a request fires the timers itself, at its own time of receipt,
                // and what waits must be seen before the time after it.
                Err(RecvTimeoutError::Timeout) => {
                    self.apply(wall_clock(), Input::Tick);
                    next_tick = Instant::now() + TICK;
                }
            }
        }
    }

    fn take(&mut self, accepted: &Accepted) {
        let now = self.clock.at(accepted.at);
        for tap in &mut self.taps {
            tap.accepted(now, accepted.signal, &accepted.body);
        }
        let request = Request { sequence: accepted.sequence, body: &accepted.body };
        self.apply(
            now,
            match accepted.signal {
                Signal::Traces => Input::Traces(request),
                Signal::Logs => Input::Logs(request),
                Signal::Metrics => Input::Metrics(request),
            },
        );
    }

    fn note_gaps(&mut self, at: Timestamp, senders: &[Sender]) {
        for sender in senders {
            self.apply(at, Input::Refused { service: &sender.service, instance: sender.instance.as_deref() });
        }
    }

    fn apply(&mut self, at: Timestamp, input: Input<'_>) {
        let now = self.clock.at(at);
        let effects = self.engine.apply(now, input);
        self.perform(effects);
        self.shared.full.store(self.engine.is_full(), Ordering::Relaxed);
    }

    fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::FindingOpened(finding) => {
                    tracing::warn!(id = finding.id, flow = finding.flow, kind = finding.kind, "{}", finding.title);
                    self.alerts.opened(finding);
                }
                Effect::FindingClosed(finding) => {
                    tracing::info!(id = finding.id, flow = finding.flow, status = finding.status, "{}", finding.title);
                    self.alerts.closed(finding);
                }
            }
        }
    }

    fn answer_queries(&mut self) {
        let waiting = std::mem::take(&mut *lock(&self.shared.queries));
        for query in waiting {
            query(&self.engine);
        }
    }

    fn last_words(&mut self) {
        self.apply(wall_clock(), Input::Tick);
        self.answer_queries();
    }
}

impl Shared {
    pub(crate) fn take_gaps(&self) -> Vec<Sender> {
        std::mem::take(&mut *lock(&self.gaps)).into_iter().collect()
    }
}

/// The wall clock made monotonic: a clock that is set back stands still until it is past where it was.
#[derive(Default)]
pub(crate) struct Clock(Timestamp);

impl Clock {
    pub(crate) fn at(&mut self, wall: Timestamp) -> Timestamp {
        self.0 = self.0.max(wall);
        self.0
    }
}

/// The time of day as this machine tells it.
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still() {
        let mut clock = Clock::default();
        assert_eq!(clock.at(Timestamp(50)), Timestamp(50));
        assert_eq!(clock.at(Timestamp(20)), Timestamp(50));
        assert_eq!(clock.at(Timestamp(60)), Timestamp(60));
    }
}
