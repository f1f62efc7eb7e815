//! When contracts are put in force without anybody asking: after healthy traffic of the length that the configuration
//! says, once two looks in a row learned the same steps.

use std::collections::HashMap;
use std::time::Duration;

use truegreen_engine::Engine;
use truegreen_engine::flow::Source;
use truegreen_engine::learn::model::LearnedFlow;
use truegreen_engine::learn::{Model, contract};
use truegreen_model::flow::{Flow, Step};

use super::in_force::is_replaced;
use super::{Error, Learning, Moments, Window};
use crate::clock::wall_clock;
use crate::flows;

/// Fewest cases of a contract that is put in force by itself.
const FEWEST_CASES: u32 = 100;
/// Most learned contracts in force.
const MAX_LEARNED: usize = 200;
/// What a larger share of cases breaks is no promise.
const MOST_BROKEN: f64 = 0.1;
/// Looks in the time that traffic must have been healthy.
const LOOKS: u32 = 2;
/// So many times that length is looked back upon, as far as it fits.
const BACK: u32 = 24;

pub(super) struct Looks {
    learning: Learning,
    after: Duration,
    /// So far back all that was received can be held.
    back: Duration,
    /// What the last look learned, by name.
    last: HashMap<String, Vec<Step>>,
}

impl Looks {
    pub(super) fn new(learning: Learning, after: Duration) -> Looks {
        Looks { learning, after, back: after * BACK, last: HashMap::new() }
    }

    pub(super) async fn run(mut self) {
        let mut pause = tokio::time::interval(self.after / LOOKS);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pause.tick().await;
        let log = self.learning.log.clone();
        loop {
            tokio::select! {
                _ = pause.tick() => {}
                () = log.stopping() => return,
            }
            match self.look().await {
                Ok(()) | Err(Error::Busy) => {}
                Err(Error::Unavailable) => tracing::warn!("learned contracts could not be put in force now"),
                Err(error) => {
                    tracing::error!("nothing is learned any more: {error}");
                    return;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        // What is ill is not learned from.
        let is_ill = |engine: &Engine| engine.report().findings.iter().any(|finding| finding.status == "open");
        if self.learning.run.ask(is_ill).await.map_err(|_| Error::Unavailable)? {
            self.last.clear();
            return Ok(());
        }
        let (model, window) = self.learning.model(Moments::last(self.back)).await?;
        if !window.is_whole() {
            self.back = (self.back / 2).max(self.after);
        }
        let is_enough = window.begins.is_some_and(|begins| wall_clock().since(begins) >= self.after);
        if is_enough { self.promote(&model, &window).await } else { Ok(()) }
    }

    async fn promote(&mut self, model: &Model, window: &Window) -> Result<(), Error> {
        let found: Vec<(Flow, String)> = model.flows.iter().filter_map(|flow| promised(model, flow)).collect();
        let (mut learned, by_hand, dropped) = {
            let contracts = self.learning.contracts();
            (contracts.learned.clone(), contracts.by_hand.clone(), contracts.dropped.clone())
        };
        let before = learned.len();
        for (flow, yaml) in &found {
            let is_new = !learned.iter().any(|(known, _)| known.name == flow.name) && !dropped.contains(&flow.name);
            let is_settled = self.last.get(&flow.name).is_some_and(|last| is_same(last, &flow.steps));
            if is_new && is_settled && learned.len() < MAX_LEARNED && !is_replaced(flow, &by_hand) {
                tracing::info!(flow = flow.name, requests = window.requests, "a learned contract is in force");
                learned.push((flow.clone(), yaml.clone()));
            }
        }
        self.last = found.into_iter().map(|(flow, _)| (flow.name, flow.steps)).collect();
        if learned.len() > before { self.learning.put_in_force(learned).await } else { Ok(()) }
    }
}

/// Whether two looks came to the same promise, whatever its deadlines.
fn is_same(one: &[Step], other: &[Step]) -> bool {
    let said = |step: &Step| (step.any_of.clone(), step.when.clone(), step.unless.clone());
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| said(one) == said(other))
}

/// A contract fit to be in force by itself, and its text.
fn promised(model: &Model, flow: &LearnedFlow) -> Option<(Flow, String)> {
    if flow.cases < FEWEST_CASES || flow.breaking > MOST_BROKEN || flow.course.steps.is_empty() {
        return None;
    }
    let text = contract::promised(model, flow);
    let (compiled, told) = flows::compiled(&[Source { path: "learned".to_owned(), text: text.clone() }], false);
    match compiled {
        Some(mut compiled) if compiled.flows.len() == 1 => compiled.flows.pop().map(|flow| (flow, text)),
        _ => {
            tracing::warn!(flow = flow.name, "learned, but no contract can say it: {}", told.join("; "));
            None
        }
    }
}
