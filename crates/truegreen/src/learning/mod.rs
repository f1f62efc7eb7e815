//! Contracts learned of what this server has stored: printed for people who ask, and put in force where the
//! configuration says `learn`.
//!
//! Read in this order: `window` (the log to cases), this file (who may ask), `in_force` (what is a learned contract,
//! and what takes precedence), `looks` (when contracts are put in force without anybody asking).

mod in_force;
mod looks;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Semaphore;
use truegreen_engine::learn::{Model, contract};
use truegreen_model::flow::Flow;
use truegreen_store::Reader;

pub(crate) use self::in_force::{is_learned, kept};
pub use self::window::{Moments, Window};
use crate::{durable, run_loop};

/// Learning reads the log and holds many spans: one at a time.
const AT_ONCE: usize = 1;

/// Why nothing can be learned, or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is stored.
    #[error("nothing is stored that could be learned from")]
    NoData,
    /// Somebody else is learning.
    #[error("something is being learned now")]
    Busy,
    /// The log.
    #[error(transparent)]
    Log(#[from] truegreen_store::Error),
    /// No such contract.
    #[error("no learned contract is called {0:?}")]
    Unknown(String),
    /// The log takes nothing now, or the engine cannot be asked.
    #[error("contracts cannot be changed now")]
    Unavailable,
}

/// What was learned of a stretch of time.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Learned {
    /// The contracts, with what speaks for each step.
    pub yaml: String,
    /// Cases learned from.
    pub cases: u64,
    /// Flows with a contract.
    pub flows: usize,
    /// Requests read.
    pub requests: u64,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// A learned contract that is in force.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InForce {
    /// Its name.
    pub flow: String,
    /// Of how many cases it was learned, and when.
    pub description: String,
    /// The share of its journeys that usually breaks it, and is no finding.
    pub usually_broken: Option<f64>,
    /// Its steps.
    pub steps: Vec<String>,
    /// As YAML; empty where it was learned before the last start.
    pub yaml: String,
}

/// Learning of the log of one server. Cheap to clone.
#[derive(Clone)]
pub struct Learning {
    reader: Option<Reader>,
    log: durable::Handle,
    run: run_loop::Handle,
    turns: Arc<Semaphore>,
    contracts: Arc<Mutex<Contracts>>,
}

/// What is in force.
#[derive(Default)]
struct Contracts {
    by_hand: Vec<Flow>,
    learned: Vec<(Flow, String)>,
    /// Dropped by somebody: not learned again before the next start.
    dropped: Vec<String>,
}

impl Learning {
    /// `in_force` are the contracts that the engine watches now, learned ones among them.
    pub(crate) fn new(
        reader: Option<Reader>,
        log: durable::Handle,
        run: run_loop::Handle,
        in_force: Vec<Flow>,
    ) -> Learning {
        let (learned, by_hand) = in_force.into_iter().partition(is_learned);
        let learned: Vec<Flow> = learned;
        let learned = learned.into_iter().map(|flow| (flow, String::new())).collect();
        let contracts = Contracts { by_hand, learned, dropped: Vec::new() };
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Learning { reader, log, run, turns, contracts: Arc::new(Mutex::new(contracts)) }
    }

    fn contracts(&self) -> MutexGuard<'_, Contracts> {
        self.contracts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Contracts of what was received in this stretch of time.
    ///
    /// # Errors
    /// [`Error::NoData`], [`Error::Busy`], [`Error::Log`].
    pub async fn learn(&self, moments: Moments) -> Result<Learned, Error> {
        let (model, window) = self.model(moments).await?;
        let flows = model.flows.iter().filter(|flow| !flow.course.steps.is_empty()).count();
        let mut notes = window.notes();
        if !model.not_learned.is_empty() {
            notes.push(format!("{} beginnings were too rare to learn from", model.not_learned.len()));
        }
        let yaml = contract::yaml(&model, "case");
        Ok(Learned { yaml, cases: model.cases, flows, requests: window.requests, notes })
    }

    /// In a thread that may block.
    async fn model(&self, moments: Moments) -> Result<(Model, Window), Error> {
        let reader = self.reader.clone().ok_or(Error::NoData)?;
        let turn = Arc::clone(&self.turns).try_acquire_owned().map_err(|_| Error::Busy)?;
        let work = move || -> Result<(Model, Window), Error> {
            let _turn = turn;
            let (cases, window) = Window::read(&reader, moments)?;
            Ok((truegreen_engine::learn::learn(&cases), window))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Unavailable)?
    }

    /// Learned contracts that are in force.
    pub fn in_force(&self) -> Vec<InForce> {
        let contracts = self.contracts();
        let one = |(flow, yaml): &(Flow, String)| InForce {
            flow: flow.name.clone(),
            description: flow.description.clone(),
            usually_broken: in_force::usually_broken(flow),
            steps: flow.steps.iter().map(|step| step.name.clone()).collect(),
            yaml: yaml.clone(),
        };
        contracts.learned.iter().map(one).collect()
    }

    /// Takes a learned contract out of force.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Unavailable`].
    pub async fn drop_learned(&self, name: &str) -> Result<(), Error> {
        let mut left = self.contracts().learned.clone();
        let before = left.len();
        left.retain(|(flow, _)| flow.name != name);
        if left.len() == before {
            return Err(Error::Unknown(name.to_owned()));
        }
        self.contracts().dropped.push(name.to_owned());
        self.put_in_force(left).await
    }

    /// The contracts written by hand, and these.
    async fn put_in_force(&self, learned: Vec<(Flow, String)>) -> Result<(), Error> {
        let mut flows = self.contracts().by_hand.clone();
        flows.extend(learned.iter().map(|(flow, _)| flow.clone()));
        self.log.put_in_force(flows).await.map_err(|_| Error::Unavailable)?;
        self.contracts().learned = learned;
        Ok(())
    }

    /// Looks now and again whether there is something to learn, until the server stops.
    pub(crate) fn start(&self, after: Duration) -> tokio::task::JoinHandle<()> {
        tokio::spawn(looks::Looks::new(self.clone(), after).run())
    }
}
