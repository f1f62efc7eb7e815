//! The one thread that owns the engine: it takes what is durable in its order, lets time pass where it is told to,
//! performs what the engine asks for, and answers questions between two requests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use truegreen_engine::{Effect, Engine, Input, Request};
use truegreen_model::change;
use truegreen_model::confirmation::Confirmation;
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;
use truegreen_store::checkpoint::Change;

use crate::alert;
use crate::confirming::Asker;
use crate::durable::Asked;
use crate::explaining::duty::Bell;
use crate::request::{Reservation, Sender};

/// Questions waiting for an answer; more are refused.
const MAX_QUERIES: usize = 256;
/// What waits is applied together up to here, so that its threads have something to share and questions do not wait.
const MAX_BATCH: usize = 256;
const MAX_BATCH_BYTES: usize = 8 << 20;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Someone else who wants to see what was accepted, in the engine's order.
pub trait Tap: Send {
    /// One accepted request, as protobuf.
    fn accepted(&mut self, at: Timestamp, signal: Signal, body: &[u8]);
}

type Query = Box<dyn FnOnce(&Engine) + Send>;

enum Message {
    Accepted(Accepted),
    Gaps {
        at: Timestamp,
        senders: Vec<Sender>,
    },
    Resumed {
        at: Timestamp,
        down_since: Timestamp,
    },
    Contracts {
        at: Timestamp,
        flows: Vec<Flow>,
    },
    Confirmed {
        at: Timestamp,
        answers: Vec<Confirmation>,
    },
    Changed {
        at: Timestamp,
        changes: Vec<change::Change>,
    },
    Time(Timestamp),
    /// What it derived and changed since the last time is to be kept.
    Checkpoint(Asked),
    /// A question waits.
    Asked,
    /// Nothing comes after this.
    Stop,
}

/// A durable request.
pub(crate) struct Accepted {
    pub(crate) at: Timestamp,
    pub(crate) sequence: u64,
    pub(crate) signal: Signal,
    pub(crate) body: Vec<u8>,
    /// Its share of the bytes in flight, and of the requests that wait.
    pub(crate) _held: (Reservation, OwnedSemaphorePermit),
}

impl Accepted {
    fn input(&self) -> (Timestamp, Input<'_>) {
        let request = Request { sequence: self.sequence, body: &self.body };
        let input = match self.signal {
            Signal::Traces => Input::Traces(request),
            Signal::Logs => Input::Logs(request),
            Signal::Metrics => Input::Metrics(request),
        };
        (self.at, input)
    }
}

/// What the engine sees, in order; told by whoever owns the log. Each time is at or after the one before.
pub(crate) struct Feed(mpsc::Sender<Message>);

impl Feed {
    pub(crate) fn accepted(&self, accepted: Accepted) {
        self.send(Message::Accepted(accepted));
    }

    /// Requests of these senders were refused.
    pub(crate) fn gaps(&self, at: Timestamp, senders: Vec<Sender>) {
        self.send(Message::Gaps { at, senders });
    }

    /// From here on these contracts are in force.
    pub(crate) fn contracts(&self, at: Timestamp, flows: Vec<Flow>) {
        self.send(Message::Contracts { at, flows });
    }

    /// Systems answered so.
    pub(crate) fn confirmed(&self, at: Timestamp, answers: Vec<Confirmation>) {
        self.send(Message::Confirmed { at, answers });
    }

    /// This was changed.
    pub(crate) fn changed(&self, at: Timestamp, changes: Vec<change::Change>) {
        self.send(Message::Changed { at, changes });
    }

    /// We listen again.
    pub(crate) fn resumed(&self, at: Timestamp, down_since: Timestamp) {
        self.send(Message::Resumed { at, down_since });
    }

    /// Nothing but time passed. The thread has no time of its own: it would run ahead of what is accepted but not yet
    /// durable, and a replay would come to other verdicts.
    pub(crate) fn time(&self, now: Timestamp) {
        self.send(Message::Time(now));
    }

    /// What the engine derived from all that came before is to be kept.
    pub(crate) fn checkpoint(&self, asked: Asked) {
        self.send(Message::Checkpoint(asked));
    }

    /// The thread ends once it has taken what came before.
    pub(crate) fn stop(&self) {
        self.send(Message::Stop);
    }

    fn send(&self, message: Message) {
        // A thread that ended by a bug is told by `Handle::ended`.
        drop(self.0.send(message));
    }
}

/// What the thread and the handlers share.
#[derive(Default)]
struct Shared {
    is_full: AtomicBool,
    queries: Mutex<VecDeque<Query>>,
}

impl Shared {
    fn queries(&self) -> MutexGuard<'_, VecDeque<Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine, to be asked.
#[derive(Clone)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

/// The engine cannot be asked: it is stopping, or too many ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the engine cannot be asked now; try again")]
pub struct Unavailable;

/// Starts the thread of an engine that stands as its log says.
pub(crate) fn start(
    engine: Engine,
    alerts: alert::Handle,
    bell: Bell,
    asker: Asker,
    taps: Vec<Box<dyn Tap>>,
) -> std::io::Result<(Handle, Feed, JoinHandle<()>)> {
    let (messages, receiver) = mpsc::channel();
    let (ended_sender, ended) = watch::channel(false);
    let shared = Arc::new(Shared::default());
    let handle = Handle { messages: messages.clone(), shared: shared.clone(), ended };
    // Whoever was asked before the last stop is gone, and has answered nothing.
    engine.unanswered().into_iter().for_each(|question| asker.ask(question));
    let run = RunLoop { engine, shared, alerts, bell, asker, taps };
    let guard = Ended(ended_sender);
    let work = move || {
        // Told also when the engine panics.
        let _guard = guard;
        run.run(&receiver);
    };
    let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(work)?;
    Ok((handle, Feed(messages), thread))
}

struct Ended(watch::Sender<bool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Handle {
    /// Asks the engine something, between two requests.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queries = self.shared.queries();
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
        self.shared.is_full.load(Ordering::Relaxed)
    }

    /// Whether the thread has ended, for whatever reason.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Resolves when it has.
    pub async fn ended(&self) {
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}

struct RunLoop {
    engine: Engine,
    shared: Arc<Shared>,
    alerts: alert::Handle,
    bell: Bell,
    asker: Asker,
    taps: Vec<Box<dyn Tap>>,
}

impl RunLoop {
    fn run(mut self, messages: &mpsc::Receiver<Message>) {
        let mut set_aside = None;
        while let Some(message) = set_aside.take().or_else(|| messages.recv().ok()) {
            match message {
                Message::Accepted(accepted) => set_aside = self.take(accepted, messages),
                Message::Gaps { at, senders } => self.note_gaps(at, &senders),
                Message::Resumed { at, down_since } => self.apply(at, Input::Resumed { down_since }),
                Message::Contracts { at, flows } => self.apply(at, Input::Contracts(&flows)),
                Message::Confirmed { at, answers } => {
                    answers.iter().for_each(|answer| self.apply(at, Input::Confirmed(answer)));
                }
                Message::Changed { at, changes } => {
                    changes.iter().for_each(|change| self.apply(at, Input::Change(change)));
                }
                Message::Time(now) => self.apply(now, Input::Tick),
                Message::Checkpoint(asked) => self.checkpoint(asked),
                Message::Asked => {}
                Message::Stop => break,
            }
            self.answer_queries();
        }
        self.answer_queries();
    }

    /// Takes a request together with those that wait behind it, as one batch; returns what came behind them.
    fn take(&mut self, first: Accepted, messages: &mpsc::Receiver<Message>) -> Option<Message> {
        let mut bytes = first.body.len();
        let mut batch = vec![first];
        let mut set_aside = None;
        while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            match messages.try_recv() {
                Ok(Message::Accepted(accepted)) => {
                    bytes += accepted.body.len();
                    batch.push(accepted);
                }
                other => {
                    set_aside = other.ok();
                    break;
                }
            }
        }
        for accepted in &batch {
            for tap in &mut self.taps {
                tap.accepted(accepted.at, accepted.signal, &accepted.body);
            }
        }
        let inputs: Vec<(Timestamp, Input<'_>)> = batch.iter().map(Accepted::input).collect();
        let effects = self.engine.apply_batch(&inputs);
        self.perform(effects);
        self.shared.is_full.store(self.engine.is_full(), Ordering::Relaxed);
        set_aside
    }

    fn checkpoint(&mut self, asked: Asked) {
        let mut changes: Vec<Change> = Vec::new();
        self.engine.checkpoint(&mut |key, value| changes.push((key.to_vec(), value.map(<[u8]>::to_vec))));
        asked.answer(changes);
    }

    fn note_gaps(&mut self, at: Timestamp, senders: &[Sender]) {
        for sender in senders {
            self.apply(at, Input::Refused { service: &sender.service, instance: sender.instance.as_deref() });
        }
    }

    fn apply(&mut self, now: Timestamp, input: Input<'_>) {
        let effects = self.engine.apply(now, input);
        self.perform(effects);
        self.shared.is_full.store(self.engine.is_full(), Ordering::Relaxed);
    }

    fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::FindingOpened(finding) => {
                    tracing::warn!(id = finding.id, flow = finding.flow, kind = finding.kind, "{}", finding.title);
                    self.bell.opened(&finding);
                    self.alerts.opened(finding);
                }
                Effect::FindingClosed(finding) => {
                    tracing::info!(id = finding.id, flow = finding.flow, status = finding.status, "{}", finding.title);
                    self.alerts.closed(finding);
                }
                Effect::Confirm(question) => self.asker.ask(question),
            }
        }
    }

    fn answer_queries(&mut self) {
        let waiting = std::mem::take(&mut *self.shared.queries());
        for query in waiting {
            query(&self.engine);
        }
    }
}
