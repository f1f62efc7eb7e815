//! Diagnoses that nobody asks for: of each finding when it opens, and again when it has grown tenfold. They are made beside
//! everything else, one at a time, and handed to whoever is alerted. One that comes to nothing wakes nobody: it is made again
//! sooner, since the first of many rarely tells what they have in common.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use truegreen_engine::Engine;
use truegreen_model::diagnosis::{Certainty, Diagnosis};
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
    let duty = Duty { explaining, alerts, explained: BTreeMap::new() };
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
    /// How each finding stood when it was last explained, by its id.
    explained: BTreeMap<String, Explained>,
}

/// What it was about, and whether that told anything.
#[derive(Clone, Copy)]
struct Explained {
    count: u64,
    is_told: bool,
}

impl Explained {
    /// Whether so many are worth another look.
    fn is_outgrown_by(self, count: u64) -> bool {
        let more = count.saturating_sub(self.count);
        if self.is_told { count >= self.count.saturating_mul(GROWN) } else { more >= (self.count / 2).max(1) }
    }
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
        let before = |(id, count)| (id, Explained { count, is_told: true });
        self.explained = findings.into_iter().map(before).collect();
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
        self.explained.retain(|id, _| findings.iter().any(|(known, _)| known == id));
        for (id, count) in findings {
            if self.explained.get(&id).is_none_or(|before| before.is_outgrown_by(count)) {
                self.explain(&id, count).await;
            }
        }
    }

    /// One that cannot be made is not tried again before the finding has grown; one that could not be asked for is, at the
    /// next look.
    async fn explain(&mut self, id: &str, count: u64) {
        let failed = &self.explaining.0.metrics.diagnoses_failed;
        let explained = match timeout(PATIENCE, self.explaining.diagnosis(id)).await {
            Ok(Ok(made)) => {
                let is_told = made.verdict != Certainty::Inconclusive;
                if is_told {
                    self.tell(&made);
                }
                Explained { count: made.finding.count.max(1), is_told }
            }
            Ok(Err(Error::Unknown(_))) => return,
            Ok(Err(Error::Unavailable(_))) => return failed.add("engine_busy", 1),
            // Whoever makes them counted it.
            Ok(Err(Error::Broken(_))) => Explained { count, is_told: true },
            Err(_) => {
                failed.add("too_slow", 1);
                Explained { count, is_told: true }
            }
        };
        self.explained.insert(id.to_owned(), explained);
    }

    fn tell(&self, made: &Diagnosis) {
        let FindingReport { id, .. } = &made.finding;
        tracing::info!(id, verdict = made.verdict.name(), "diagnosed: {}", made.says);
        if wording::is_standing(&made.finding) {
            self.alerts.diagnosed(FindingReport { diagnosis: Some(brief(made)), ..made.finding.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_told_nothing_is_looked_at_again_sooner() {
        let outgrown = |count: u64, is_told: bool| {
            let before = Explained { count, is_told };
            (count..).find(|now| before.is_outgrown_by(*now))
        };
        assert_eq!([1, 7].map(|count| outgrown(count, true)), [Some(10), Some(70)]);
        assert_eq!([1, 2, 5, 100].map(|count| outgrown(count, false)), [Some(2), Some(3), Some(7), Some(150)]);
    }

    /// Guarantee: who rings never waits, whatever nobody hears.
    #[test]
    fn a_full_queue_is_counted_and_holds_up_nobody() {
        let metrics = Arc::new(Metrics::default());
        let (bell, rung) = bell(metrics.clone());
        for _ in 0..MAX_WAITING + 3 {
            bell.opened(&FindingReport::default());
        }
        assert_eq!(metrics.diagnoses_failed.get().get("queue_full"), Some(&3));
        drop(rung);
        bell.opened(&FindingReport::default());
        assert_eq!(metrics.diagnoses_failed.get().get("queue_full"), Some(&3), "who is gone is not full");
    }
}
