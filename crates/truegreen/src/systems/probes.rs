//! A task for each system, that asks it how it is at its own times, never twice at once.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use truegreen_connect::System;
use truegreen_model::probe::ProbeReport;

use super::comparing::Comparisons;
use super::latest::{Latest, News, Probed, patience, rfc3339, unknown};
use super::{Systems, schedule};
use crate::alert;
use crate::clock::wall_clock;

/// What all systems said last.
#[derive(Clone, Default)]
pub struct Probes {
    systems: Systems,
    latest: Arc<Latest>,
}

impl Probes {
    /// Asks each of them until it is told to stop. What its comparisons came to stands among its checks.
    pub fn start(
        systems: &Systems,
        comparisons: &Comparisons,
        alerts: &alert::Handle,
        stop: &watch::Receiver<bool>,
    ) -> (Probes, Vec<JoinHandle<()>>) {
        let latest = Arc::new(Latest::new(systems, wall_clock()));
        let tasks = systems.all().map(|system| {
            let (system, latest, alerts) = (Arc::clone(system), Arc::clone(&latest), alerts.clone());
            let (comparisons, mut stop) = (comparisons.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    // Whether told or left alone, there is nobody to ask for.
                    _ = stop.wait_for(|is_told| *is_told) => {}
                    () = ask_always(&system, &comparisons, &latest, &alerts) => {}
                }
            })
        });
        let tasks = tasks.collect();
        (Probes { systems: systems.clone(), latest }, tasks)
    }

    /// What each said last.
    pub fn latest(&self) -> Vec<Probed> {
        self.latest.at(wall_clock())
    }

    /// Whom is asked.
    pub fn systems(&self) -> &Systems {
        &self.systems
    }
}

async fn ask_always(system: &Arc<System>, comparisons: &Comparisons, latest: &Latest, alerts: &alert::Handle) {
    let (began, config) = (Instant::now(), system.config());
    let mut passed = None;
    loop {
        let due = schedule::next(&config.name, config.every, passed);
        match began.checked_add(due) {
            Some(due) => sleep_until(due).await,
            None => return,
        }
        match latest.told(comparisons.complete(ask(system).await), wall_clock()) {
            Some(News::Fails(probed)) => alerts.fails(probed),
            Some(News::Works(probed)) => alerts.works(probed),
            None => {}
        }
        passed = Some(began.elapsed());
    }
}

/// Asks one system now. Whatever its client does, there is an answer within a bound, and one that says what went wrong.
pub async fn ask(system: &Arc<System>) -> ProbeReport {
    let at = wall_clock();
    let mut asked = JoinSet::new();
    let one = Arc::clone(system);
    asked.spawn(async move { one.probe(rfc3339(at)).await });
    let limit = patience(system.config());
    match timeout(limit, asked.join_next()).await {
        Ok(Some(Ok(report))) => report,
        Ok(_) => unknown(system.config(), at, "asking it ended by a bug; its message stands in our log".to_owned()),
        Err(_) => {
            unknown(system.config(), at, format!("its answers did not come to an end within {} s", limit.as_secs()))
        }
    }
}
