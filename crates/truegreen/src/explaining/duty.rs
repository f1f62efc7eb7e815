//! Diagnoses that nobody asks for: of each finding when it opens, and again when it has grown tenfold. They are made beside
//! everything else, one at a time, and handed to whoever is alerted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use truegreen_engine::Engine;
use truegreen_model::diagnosis::Diagnosis;
use truegreen_model::report::FindingReport;

use super::brief::brief;
use super::{Error, Explaining};
use crate::alert;
use crate::metrics::Metrics;
use crate::wording;

/// Findings that wait for their diagnosis. Those beyond are counted, and found at the next look.
const MAX_WAITING: usize = 256;
/// How often is looked which findings have grown, or have been left out.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// A finding is another one when it is ten times what it was.
const GROWN: u64 = 10;
/// Some tens of MiB may have to be read, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rung by the run loop when a finding opens. Never blocks.
#[derive(Clone)]
pub(crate) struct Bell {
    opened: mpsc::Sender<String>,
    metrics: Arc<Metrics>,
}

/// Who hears it.
pub(crate) struct Rung(mpsc::Receiver<String>);

pub(crate) fn bell(metrics: Arc<Metrics>) -> (Bell, Rung) {
    let (opened, rung) = mpsc::channel(MAX_WAITING);
    (Bell { opened, metrics }, Rung(rung))
}

impl Bell {
    pub(crate) fn opened(&self, finding: &FindingReport) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.opened.try_send(finding.id.clone()) {
            self.metrics.diagnoses_failed.add("queue_full", 1);
        }
    }
}

/// Makes them until it is told to stop.
pub(crate) fn start(
    explaining: &Explaining,
    rung: Rung,
    alerts: alert::Handle,
    stop: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (mut stop, explaining) = (stop.clone(), explaining.clone());
    let duty = Duty { explaining, alerts, sizes: BTreeMap::new() };
    tokio::spawn(async move {
        tokio::select! {
            _ = stop.wait_for(|is_told| *is_told) => {}
            () = duty.run(rung) => {}
        }
    })
}

struct Duty {
    explaining: Explaining,
    alerts: alert::Handle,
    /// How many each finding was about when it was last explained, by its id.
    sizes: BTreeMap<String, u64>,
}

impl Duty {
    async fn run(mut self, Rung(mut rung): Rung) {
        // What stood when we came has been explained, and alerted, by who was here before.
        while !self.take_over().await {
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        let mut looks = interval(LOOKS_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                opened = rung.recv() => match opened {
                    Some(id) => self.explain(&id, 1).await,
                    None => return,
                },
                _ = looks.tick() => self.look().await,
            }
        }
    }

    async fn take_over(&mut self) -> bool {
        let Ok(findings) = self.findings().await else { return false };
        self.sizes = findings.into_iter().collect();
        true
    }

    /// Of all findings that stand: id and size.
    async fn findings(&self) -> Result<Vec<(String, u64)>, Error> {
        let report = self.explaining.0.run.ask(Engine::report).await?;
        let standing = report.findings.into_iter().filter(wording::is_standing);
        Ok(standing.map(|finding| (finding.id, finding.count)).collect())
    }

    async fn look(&mut self) {
        // Who cannot be asked now is asked the next time.
        let Ok(findings) = self.findings().await else { return };
        self.sizes.retain(|id, _| findings.iter().any(|(known, _)| known == id));
        for (id, count) in findings {
            if self.sizes.get(&id).is_none_or(|size| count >= size.saturating_mul(GROWN)) {
                self.explain(&id, count).await;
            }
        }
    }

    /// One that cannot be made is not tried again before the finding has grown; one that could not be asked for is, at the
    /// next look.
    async fn explain(&mut self, id: &str, count: u64) {
        let failed = &self.explaining.0.metrics.diagnoses_failed;
        match timeout(PATIENCE, self.explaining.diagnosis(id)).await {
            Ok(Ok(made)) => {
                self.sizes.insert(id.to_owned(), made.finding.count.max(1));
                self.tell(&made);
            }
            Ok(Err(Error::Unknown(_))) => {}
            Ok(Err(Error::Unavailable(_))) => failed.add("engine_busy", 1),
            // Whoever makes them counted it.
            Ok(Err(Error::Broken(_))) => {
                self.sizes.insert(id.to_owned(), count);
            }
            Err(_) => {
                failed.add("too_slow", 1);
                self.sizes.insert(id.to_owned(), count);
            }
        }
    }

    fn tell(&self, made: &Diagnosis) {
        let FindingReport { id, .. } = &made.finding;
        tracing::info!(id, verdict = made.verdict.name(), "diagnosed: {}", made.says);
        if wording::is_standing(&made.finding) {
            self.alerts.diagnosed(FindingReport { diagnosis: Some(brief(made)), ..made.finding.clone() });
        }
    }
}
