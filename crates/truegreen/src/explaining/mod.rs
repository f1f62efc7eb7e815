//! Diagnoses of findings: what the engine knows of their requests, what the log holds of these, and what changed, handed to
//! [`truegreen_engine::explain::diagnosis`]. One is made at a time, and kept until the finding has grown.
//!
//! Read in this order: `gathering` (what is read of the log, within bounds), then this.

mod gathering;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_engine::Engine;
use truegreen_engine::cases::Cases;
use truegreen_engine::explain::diagnosis::{Evidence, diagnose};
use truegreen_model::change::Change;
use truegreen_model::diagnosis::Diagnosis;
use truegreen_model::report::FindingReport;

use crate::clock::wall_clock;
use crate::incidents::Diagnose;
use crate::lookup::archive::Archive;
use crate::run_loop::{self, Unavailable};

/// Diagnoses that are kept, those of the latest findings.
const MAX_KEPT: usize = 200;

/// Why there is no diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No finding has this id.
    #[error("no finding is called {0:?}")]
    Unknown(String),
    /// The engine does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A bug ended the making of it.
    #[error("the diagnosis could not be made")]
    Broken(#[from] tokio::task::JoinError),
}

/// Makes diagnoses. Cheap to clone.
#[derive(Clone)]
pub struct Explaining(Arc<Inner>);

struct Inner {
    run: run_loop::Handle,
    archive: Option<Archive>,
    redaction: Redaction,
    /// One at a time: each may read some tens of MiB.
    turn: Semaphore,
    kept: Mutex<BTreeMap<String, Kept>>,
}

/// A diagnosis, and how its finding stood then.
struct Kept {
    count: u64,
    status: String,
    diagnosis: Arc<Diagnosis>,
}

/// What the engine knows of a finding.
struct Known {
    finding: FindingReport,
    beside: Vec<FindingReport>,
    changes: Vec<Change>,
    parts: usize,
}

impl Explaining {
    /// Asks this engine, and reads this log; without one only findings themselves are compared.
    pub fn new(run: run_loop::Handle, archive: Option<Archive>, redaction: Redaction) -> Explaining {
        Explaining(Arc::new(Inner { run, archive, redaction, turn: Semaphore::new(1), kept: Mutex::default() }))
    }

    /// Why this finding is there. Made anew once it has grown by a tenth, or stands otherwise.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn diagnosis(&self, id: &str) -> Result<Arc<Diagnosis>, Error> {
        let Inner { run, turn, .. } = &*self.0;
        // It is never closed; and who waits is served by what the one before made.
        let _turn = turn.acquire().await;
        let asked = id.to_owned();
        let known = run.ask(move |engine| known(engine, &asked)).await?;
        let known = known.ok_or_else(|| Error::Unknown(id.to_owned()))?;
        if let Some(kept) = self.kept(&known.finding) {
            return Ok(kept);
        }
        let mut cases = Cases::default();
        for part in 0..known.parts {
            let asked = id.to_owned();
            if let Some(more) = run.ask(move |engine| engine.cases(&asked, part)).await? {
                cases.merge(more);
            }
        }
        let inner = self.0.clone();
        let made = tokio::task::spawn_blocking(move || inner.make(&known, &cases)).await?;
        Ok(self.keep(made))
    }

    /// The same for who writes it down.
    pub fn as_json(&self) -> Diagnose {
        let explaining = self.clone();
        Arc::new(move |id| {
            let explaining = explaining.clone();
            Box::pin(async move { serde_json::to_value(&*explaining.diagnosis(&id).await.ok()?).ok() })
        })
    }

    fn kept(&self, finding: &FindingReport) -> Option<Arc<Diagnosis>> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get(&finding.id)?;
        let is_grown = finding.count > kept.count + kept.count / 10;
        (!is_grown && kept.status == finding.status).then(|| kept.diagnosis.clone())
    }

    fn keep(&self, made: Diagnosis) -> Arc<Diagnosis> {
        let made = Arc::new(made);
        let FindingReport { id, count, status, .. } = made.finding.clone();
        let mut all = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, Kept { count, status, diagnosis: made.clone() });
        while all.len() > MAX_KEPT {
            let first_seen = |kept: &Kept| kept.diagnosis.finding.first_seen.clone();
            let Some(oldest) = all.iter().min_by_key(|(_, kept)| first_seen(kept)).map(|(id, _)| id.clone()) else {
                break;
            };
            all.remove(&oldest);
        }
        made
    }
}

impl Inner {
    fn make(&self, known: &Known, cases: &Cases) -> Diagnosis {
        let gathered = gathering::gather(cases, self.archive.as_ref());
        let mut diagnosis = diagnose(&Evidence {
            finding: &known.finding,
            beside: &known.beside,
            cases,
            recording: &gathered.recording,
            changes: &known.changes,
            hides: &|name| self.redaction.hides(name),
            now: wall_clock(),
        });
        diagnosis.compared.cut.extend(gathered.cut);
        diagnosis
    }
}

fn known(engine: &Engine, id: &str) -> Option<Known> {
    let mut beside = engine.report().findings;
    let at = beside.iter().position(|finding| finding.id == id)?;
    let finding = beside.remove(at);
    let changes = engine.changes().cloned().collect();
    Some(Known { finding, beside, changes, parts: engine.case_parts() })
}
