//! What a cache says held against what its source says: some keys a round, each asked of both. A key that is stale is proven to
//! be: see `judge`.
//!
//! Read in this order: `comparison` (what is configured, and whether it can be asked), `sample` (which keys), `round` (asking
//! both), `value` (when two answers are the same), `judge` (when a key is stale), `told` (in words), and here: when.
//!
//! A comparison has times and a time limit of its own, so that a slow source delays no probe of its cache. What it came to
//! stands among the checks of the cache's system.

pub mod comparison;
mod judge;
mod round;
mod sample;
#[cfg(test)]
mod tests;
mod told;
pub mod value;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use truegreen_connect::SystemConfig;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::probe::{Check, ProbeReport, Standing};

use self::comparison::Parties;
pub use self::comparison::{Comparison, mistakes};
use self::judge::{Judge, Outcome};
use self::round::Clock;
use self::sample::Walk;
use super::{Systems, schedule};
use crate::confirming::Sources;

/// However slow each question may be.
const LONGEST_ROUND: Duration = Duration::from_secs(60);
/// Time limits of one question that a round may take of each system.
const QUESTIONS: u32 = 10;
/// An answer that is not renewed is kept for two rounds, their time, and so much.
const GRACE: Duration = Duration::from_secs(10);
/// Before what differs is looked at again by hand: longer than a change takes to a replica that follows well.
const AGAIN: Duration = Duration::from_secs(1);

/// All comparisons, and what they came to.
#[derive(Clone, Default)]
pub struct Comparisons(Arc<Vec<Arc<Running>>>);

/// One of them.
struct Running {
    comparison: Comparison,
    /// Of the cache's system.
    config: SystemConfig,
    parties: Result<Parties, String>,
    clock: Box<Clock>,
    state: tokio::sync::Mutex<State>,
    last: Mutex<Option<Last>>,
}

/// What is known after the rounds so far.
struct State {
    walk: Walk,
    judge: Judge,
}

/// What the last round came to, and when it began and ended.
struct Last {
    began: Duration,
    ended: Duration,
    checks: Vec<Check>,
}

impl Comparisons {
    /// Compares nothing yet.
    pub fn new(comparisons: &[Comparison], systems: &Systems, redaction: &Redaction) -> Comparisons {
        let sources = Sources::from(systems);
        let running = |comparison: &Comparison| {
            let config = systems.get(&comparison.cache.system)?.config().clone();
            let began = Instant::now();
            let clock = Box::new(move || began.elapsed());
            Some(Arc::new(Running::new(comparison.clone(), config, &sources, redaction.clone(), clock)))
        };
        Comparisons(Arc::new(comparisons.iter().filter_map(running).collect()))
    }

    /// Compares regularly, until it is told to stop.
    pub fn start(&self, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let task = |running: &Arc<Running>| {
            let (running, mut stop) = (Arc::clone(running), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    // Whether told or left alone, there is nobody to compare for.
                    _ = stop.wait_for(|is_told| *is_told) => {}
                    () = running.always() => {}
                }
            })
        };
        self.0.iter().map(task).collect()
    }

    /// One round of each comparison of this system that is due, side by side. What differs, and tells its age, is looked at once
    /// more at the end of it, so that one round proves what can be proven.
    pub async fn ask(&self, system: &str) {
        let mut asked = JoinSet::new();
        for running in self.of(system).filter(|running| running.is_due()) {
            let running = Arc::clone(running);
            asked.spawn(async move { running.round(Some(AGAIN)).await });
        }
        asked.join_all().await;
    }

    /// A system's report with what its comparisons came to.
    #[must_use]
    pub fn complete(&self, mut report: ProbeReport) -> ProbeReport {
        let compared: Vec<Check> = self.of(&report.system).flat_map(|running| running.checks()).collect();
        report.checks.extend(compared);
        report.standing = ProbeReport::worst(&report.checks);
        report
    }

    fn of(&self, system: &str) -> impl Iterator<Item = &Arc<Running>> {
        self.0.iter().filter(move |running| running.comparison.cache.system == system)
    }
}

impl Running {
    fn new(
        comparison: Comparison,
        config: SystemConfig,
        sources: &Sources,
        redaction: Redaction,
        clock: Box<Clock>,
    ) -> Running {
        let parties = Parties::of(&comparison, sources).map_err(|why| format!("nothing was compared: {why}"));
        let state = State { walk: Walk::default(), judge: Judge::new(comparison.within, redaction) };
        let (state, last) = (tokio::sync::Mutex::new(state), Mutex::new(None));
        Running { comparison, config, parties, clock, state, last }
    }

    async fn always(self: &Arc<Running>) {
        let name = format!("{}/{}", self.comparison.cache.system, self.comparison.name);
        let (began, mut passed) = (Instant::now(), None);
        loop {
            let due = schedule::next(&name, self.comparison.every, passed);
            match began.checked_add(due) {
                Some(due) => sleep_until(due).await,
                None => return,
            }
            self.round(None).await;
            passed = Some(began.elapsed());
        }
    }

    /// By hand it is asked as often as the system is, and perhaps less often.
    fn is_due(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = last.as_ref().map(|last| (self.clock)().saturating_sub(last.began));
        passed.is_none_or(|passed| passed >= self.comparison.every.mul_f64(0.9))
    }

    /// Compares once. Whatever a client does, there is an end to it within a bound, and a check that says what went wrong.
    async fn round(self: &Arc<Running>, again: Option<Duration>) {
        let (began, limit) = ((self.clock)(), self.limit());
        let mut asked = JoinSet::new();
        let running = Arc::clone(self);
        asked.spawn(async move { running.compare(again).await });
        let nothing = |why: String| vec![told::nothing(&self.comparison, why)];
        let checks = match timeout(limit, asked.join_next()).await {
            Ok(Some(Ok(Ok(outcome)))) => told::checks(&self.comparison, &self.config, &outcome),
            Ok(Some(Ok(Err(why)))) => nothing(why),
            Ok(_) => nothing("nothing was compared: it ended by a bug; its message stands in our log".to_owned()),
            Err(_) => nothing(format!(
                "nothing was compared: its answers did not come to an end within {} s",
                limit.as_secs()
            )),
        };
        let last = Last { began, ended: (self.clock)(), checks };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    async fn compare(&self, again: Option<Duration>) -> Result<Outcome, String> {
        let parties = self.parties.as_ref().map_err(Clone::clone)?;
        let mut state = self.state.lock().await;
        let State { walk, judge } = &mut *state;
        let mut keys = judge.follow(self.comparison.sample / 2);
        let new = self.comparison.sample - keys.len();
        let nothing = |why: String| format!("nothing was compared: {why}");
        if let lacking @ 1.. = walk.lacks(new) {
            let listed = round::list(parties, walk.next(), lacking).await;
            let listed = listed.map_err(|why| nothing(format!("{}: {why}", self.lister())))?;
            if keys.is_empty() && walk.is_empty_by(&listed) {
                return Err(nothing(format!("{} has no key by `{}`\nhint: see `keys`", self.lister(), parties.which)));
            }
            walk.listed(listed);
        }
        let came_up = walk.add(new, &mut keys);
        let round = round::ask(&self.comparison, parties, keys, &*self.clock).await.map_err(nothing)?;
        let outcome = judge.take(round, &came_up);
        match again {
            Some(pause) if outcome.differing > 0 && self.comparison.age.is_some() => {
                sleep(pause).await;
                let differing = judge.follow(self.comparison.sample);
                let round = round::ask(&self.comparison, parties, differing, &*self.clock).await.map_err(nothing)?;
                Ok(judge.take(round, &BTreeSet::new()).of_round(outcome))
            }
            _ => Ok(outcome),
        }
    }

    fn lister(&self) -> &str {
        self.comparison.keys.system.as_deref().unwrap_or(&self.comparison.cache.system)
    }

    fn limit(&self) -> Duration {
        let Ok(Parties { cache, source, keys, .. }) = &self.parties else { return LONGEST_ROUND };
        let all = [cache, source, keys].into_iter().map(|system| system.timeout());
        all.fold(Duration::ZERO, Duration::saturating_add).saturating_mul(QUESTIONS).min(LONGEST_ROUND)
    }

    /// What the last round came to, and that nothing is known any more where it was too long ago.
    fn checks(&self) -> Vec<Check> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = last.as_ref() else {
            return vec![told::nothing(&self.comparison, "not compared yet".to_owned())];
        };
        let silent = (self.clock)().saturating_sub(last.ended);
        let keeps = self.comparison.every.saturating_mul(2).saturating_add(self.limit()).saturating_add(GRACE);
        let mut checks = last.checks.clone();
        if silent > keeps {
            let why = format!("nothing was compared for {} s: it hangs, or there is no time for it", silent.as_secs());
            checks.push(Check::new("asked", Standing::Unknown, why).of(&self.comparison.name));
        }
        checks
    }
}
