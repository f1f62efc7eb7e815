//! Asks one system: one batch of keys at a time, each with the same question.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use truegreen_connect::Error;
use truegreen_connect::confirm::{Confirm, Found, MAX_KEYS};
use truegreen_model::confirmation::{Answer, Confirmation, NoAnswer, Question};
use truegreen_model::time::Timestamp;

use super::Answers;
use super::pace::{KEYS_PER_SECOND, Pace};
use super::source::Source;
use crate::clock::wall_clock;
use crate::metrics::Metrics;

/// However many keys a batch has and however slow each may be.
const LONGEST_BATCH: Duration = Duration::from_secs(60);
/// Between attempts to make answers durable.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Worker<A> {
    source: Arc<dyn Source>,
    answers: A,
    metrics: Arc<Metrics>,
    pace: Pace,
    waiting: VecDeque<Question>,
    /// Whether each question may be asked, once that was looked at; what is wrong was said.
    lawful: BTreeMap<String, bool>,
}

impl<A: Answers> Worker<A> {
    pub(super) fn new(source: Arc<dyn Source>, answers: A, metrics: Arc<Metrics>) -> Worker<A> {
        let pace = Pace::new(Instant::now());
        Worker { source, answers, metrics, pace, waiting: VecDeque::new(), lawful: BTreeMap::new() }
    }

    /// Until no more questions come, or answers are taken no more.
    pub(super) async fn run(mut self, mut questions: mpsc::UnboundedReceiver<Question>) {
        let answers = self.answers.clone();
        tokio::select! {
            () = answers.ended() => {}
            () = self.work(&mut questions) => {}
        }
    }

    async fn work(&mut self, questions: &mut mpsc::UnboundedReceiver<Question>) {
        loop {
            if self.waiting.is_empty() {
                let Some(first) = questions.recv().await else { return };
                self.waiting.push_back(first);
            }
            sleep_until(self.pace.free()).await;
            while let Ok(more) = questions.try_recv() {
                self.waiting.push_back(more);
            }
            let batch = self.next_batch();
            let told = self.ask(&batch).await;
            self.record(told).await;
        }
    }

    /// The oldest question, with further keys that are asked for in the same words.
    fn next_batch(&mut self) -> Vec<Question> {
        const KEYS: usize = if MAX_KEYS < KEYS_PER_SECOND { MAX_KEYS } else { KEYS_PER_SECOND };
        let Some(ask) = self.waiting.front().map(|first| first.ask.clone()) else { return Vec::new() };
        let mut batch = Vec::new();
        let mut others = VecDeque::new();
        for question in self.waiting.drain(..) {
            if question.ask == ask && batch.len() < KEYS {
                batch.push(question);
            } else {
                others.push_back(question);
            }
        }
        self.waiting = others;
        batch
    }

    /// One answer to each.
    async fn ask(&mut self, batch: &[Question]) -> Vec<Confirmation> {
        let Some(first) = batch.first() else { return Vec::new() };
        let asked_at = wall_clock();
        let all = |why| batch.iter().map(|question| told(question, asked_at, Answer::CannotTell(why))).collect();
        if !self.may_ask(first) {
            return all(NoAnswer::NotAsked);
        }
        let Some(confirm) = self.source.confirm() else { return all(NoAnswer::NotAsked) };
        let limit = self.source.timeout().saturating_mul(batch.len() as u32 + 1).min(LONGEST_BATCH);
        let may_be_behind = self.source.may_be_behind();
        let result = timeout(limit, look_up(confirm, batch, may_be_behind)).await;
        let told: Vec<Confirmation> = match result {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => {
                tracing::warn!("`{}` cannot be asked for effects: {error}", first.system);
                all(no_answer(&error))
            }
            Err(_) => {
                tracing::warn!("`{}` did not tell of {} effects within {limit:?}", first.system, batch.len());
                all(NoAnswer::TimedOut)
            }
        };
        // One key that cannot be asked for is that key's; all of them are the system's.
        let is_failing = told.iter().all(|told| matches!(told.answer, Answer::CannotTell(_)));
        self.metrics.asked_batches.add(if is_failing { "failed" } else { "answered" }, 1);
        self.pace.asked(batch.len(), is_failing, Instant::now());
        told
    }

    /// Whether it is a question that may be asked at all.
    fn may_ask(&mut self, question: &Question) -> bool {
        if let Some(known) = self.lawful.get(&question.ask) {
            return *known;
        }
        let checked = self.source.confirm().map(|confirm| confirm.check(&question.ask));
        if let Some(Err(why)) = &checked {
            tracing::warn!("{}", super::not_asked(&question.flow, &question.step, why));
        }
        // Contracts are few, and each of their questions is there once; a number that says otherwise is a bug.
        if self.lawful.len() > 10_000 {
            self.lawful.clear();
        }
        let may = matches!(checked, Some(Ok(())));
        self.lawful.insert(question.ask.clone(), may);
        may
    }

    /// Every question has its answer: without it the engine would wait for ever.
    async fn record(&self, told: Vec<Confirmation>) {
        while !told.is_empty() && !self.answers.record(told.clone()).await {
            self.metrics.unasked.add("recorded_later", told.len() as u64);
            sleep(RECORD_AGAIN).await;
        }
    }
}

async fn look_up(confirm: &dyn Confirm, batch: &[Question], may_be_behind: bool) -> Result<Vec<Confirmation>, Error> {
    let Some(first) = batch.first() else { return Ok(Vec::new()) };
    // A lag that grows between the two is one that was there.
    let before = confirm.behind().await;
    let asked_at = wall_clock();
    let keys: Vec<String> = batch.iter().map(|question| question.key.clone()).collect();
    let found = confirm.ask(&first.ask, &keys).await?;
    if found.len() != batch.len() {
        return Err(Error::Nonsense(format!("{} answers to {} questions", found.len(), batch.len())));
    }
    let behind = match before.filter(|seconds| seconds.is_finite()) {
        Some(seconds) => Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)),
        None if may_be_behind => None,
        None => Some(Duration::ZERO),
    };
    let answer = |question: &Question, found: Result<Found, Error>| match found {
        Ok(Found::Rows(rows)) if question.expect.is_met(&rows) => Answer::There,
        Ok(Found::Nothing) if question.expect.is_met(&[]) => Answer::There,
        Ok(_) => Answer::NotThere { behind },
        Err(error) => Answer::CannotTell(no_answer(&error)),
    };
    let pairs = batch.iter().zip(found);
    Ok(pairs.map(|(question, found)| told(question, asked_at, answer(question, found))).collect())
}

fn told(question: &Question, asked_at: Timestamp, answer: Answer) -> Confirmation {
    let Question { id, flow, step, .. } = question;
    Confirmation { id: *id, flow: flow.clone(), step: step.clone(), asked_at, answer }
}

fn no_answer(error: &Error) -> NoAnswer {
    match error {
        Error::Unreachable(_) => NoAnswer::Unreachable,
        Error::TimedOut { .. } => NoAnswer::TimedOut,
        Error::Denied(_) => NoAnswer::Denied,
        Error::NotAsked(_) | Error::NotBuilt(_) => NoAnswer::NotAsked,
        Error::Answered(_) | Error::Refused(_) | Error::Nonsense(_) => NoAnswer::Failed,
    }
}
