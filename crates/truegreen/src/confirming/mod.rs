//! Asks the systems themselves what the engine wants to know: whether an effect is there. Answers are appended to the log
//! before the engine sees them (INV-REPLAY-1); what was not answered is asked again after a restart.
//!
//! Read in this order: this file (who is asked what), `source` (who can be asked), `pace` (how often, and when not),
//! `worker` (one for each system: batches, time limits, answers), `kept` (answers as they stand in the log).
//!
//! Nothing in here is bounded by itself: the engine has at most a thousand questions under way to each system, and each of
//! them is in one place only.

pub mod kept;
mod pace;
mod source;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use truegreen_model::confirmation::{Confirmation, Question};
use truegreen_model::flow::Flow;

pub use self::source::{Source, Sources};
use self::worker::Worker;
use crate::metrics::Metrics;

/// Where answers go.
pub(crate) trait Answers: Clone + Send + Sync + 'static {
    /// Resolves to true once they are durable, and to false where that cannot be now.
    fn record(&self, answers: Vec<Confirmation>) -> impl Future<Output = bool> + Send;

    /// Resolves when nothing is recorded any more.
    fn ended(&self) -> impl Future<Output = ()> + Send;
}

/// The way in, for whoever performs what the engine asks for.
#[derive(Clone)]
pub(crate) struct Asker(mpsc::UnboundedSender<Question>);

/// The way out.
pub(crate) struct Questions(mpsc::UnboundedReceiver<Question>);

/// Both ends.
pub(crate) fn channel() -> (Asker, Questions) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Asker(sender), Questions(receiver))
}

impl Asker {
    /// A system is asked as soon as its pace allows.
    pub(crate) fn ask(&self, question: Question) {
        // Nobody is there any more while the server stops; the next start asks again.
        drop(self.0.send(question));
    }
}

/// Asks until the answers are taken no more.
pub(crate) async fn run(questions: Questions, sources: Sources, answers: impl Answers, metrics: Arc<Metrics>) {
    let Questions(mut questions) = questions;
    let mut workers = JoinSet::new();
    // None where a system of that name cannot be asked, which was said at the start.
    let mut ways: BTreeMap<String, Option<mpsc::UnboundedSender<Question>>> = BTreeMap::new();
    loop {
        let question = tokio::select! {
            question = questions.recv() => question,
            () = answers.ended() => None,
        };
        let Some(question) = question else { break };
        let way = ways.entry(question.system.clone()).or_insert_with(|| {
            let source = sources.find(&question.system).ok()?;
            let (way, received) = mpsc::unbounded_channel();
            workers.spawn(Worker::new(source, answers.clone(), metrics.clone()).run(received));
            Some(way)
        });
        match way {
            Some(way) => drop(way.send(question)),
            None => metrics.unasked.add("no_system", 1),
        }
    }
    // Those who wait for an answer hear that it ended, too.
    drop(ways);
    while workers.join_next().await.is_some() {}
}

/// What of these contracts cannot be asked, and why, a sentence each.
pub fn mistakes(flows: &[Flow], sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for flow in flows {
        for step in &flow.steps {
            let Some(confirm) = &step.confirm else { continue };
            let checked = sources.find(&confirm.system).and_then(|source| {
                let confirms = source.confirm().ok_or_else(|| source::CANNOT.to_owned())?;
                confirms.check(&confirm.ask)
            });
            found.extend(checked.err().map(|why| not_asked(&flow.name, &step.name, &why)));
        }
    }
    found
}

fn not_asked(flow: &str, step: &str, why: &str) -> String {
    format!("`{step}` of flow `{flow}` is not asked for: {why}")
}
