//! Diagnoses of findings: what the engine knows of their requests, what the log holds of these, and what changed, handed to
//! [`truegreen_engine::explain::diagnosis`]. One is made at a time, and kept until the finding has grown.
//!
//! Read in this order: `gathering` (what is read of the log, within bounds), `around` (what else is known), this, `brief` (the
//! few lines for who is woken), `duty` (those that nobody asks for).

mod around;
pub(crate) mod brief;
pub(crate) mod duty;
mod gathering;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_engine::Engine;
use truegreen_engine::cases::Cases;
use truegreen_engine::explain::diagnosis::{self, Evidence, diagnose};
use truegreen_model::change::Change;
use truegreen_model::diagnosis::{Brief, Diagnosis};
use truegreen_model::report::FindingReport;
use truegreen_model::surroundings::Surroundings;

use crate::clock::wall_clock;
use crate::incidents::Diagnose;
use crate::lookup::archive::Archive;
use crate::metrics::Metrics;
use crate::run_loop::{self, Unavailable};
use crate::systems::probes::Probes;

/// Diagnoses that are kept, those of the latest findings.
const MAX_KEPT: usize = 200;
/// What changes are known and how systems are moves on, whether the finding grows or not.
const HOLDS: Duration = Duration::from_secs(5 * 60);

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
    probes: Probes,
    metrics: Arc<Metrics>,
    /// One at a time: each may read some tens of MiB.
    turn: Arc<Semaphore>,
    kept: Mutex<BTreeMap<String, Kept>>,
}

/// A diagnosis, and how its finding stood then.
struct Kept {
    count: u64,
    status: String,
    made: Instant,
    brief: Brief,
    diagnosis: Arc<Diagnosis>,
}

/// What the engine knows of a finding.
struct Known {
    finding: FindingReport,
    beside: Vec<FindingReport>,
    changes: Vec<Change>,
    around: Surroundings,
    parts: usize,
}

impl Explaining {
    /// Asks this engine and these systems, and reads this log; without one only findings themselves are compared.
    pub fn new(
        run: run_loop::Handle,
        archive: Option<Archive>,
        redaction: Redaction,
        probes: Probes,
        metrics: Arc<Metrics>,
    ) -> Explaining {
        let turn = Arc::new(Semaphore::new(1));
        Explaining(Arc::new(Inner { run, archive, redaction, probes, metrics, turn, kept: Mutex::default() }))
    }

    /// Why this finding is there. Made anew once it has grown by a tenth, stands otherwise, or the last is five minutes old.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn diagnosis(&self, id: &str) -> Result<Arc<Diagnosis>, Error> {
        self.not_older(id, HOLDS).await
    }

    /// The same, made anew once the last is older than that: changes may have been reported since, systems asked.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn not_older(&self, id: &str, holds: Duration) -> Result<Arc<Diagnosis>, Error> {
        let Inner { run, turn, .. } = &*self.0;
        // It is never closed; and who waits is served by what the one before made.
        let held = turn.clone().acquire_owned().await;
        let asked = id.to_owned();
        let known = run.ask(move |engine| known(engine, &asked)).await?;
        let mut known = known.ok_or_else(|| Error::Unknown(id.to_owned()))?;
        if let Some(kept) = self.kept(&known.finding, holds) {
            return Ok(kept);
        }
        let mut cases = Cases::default();
        for part in 0..known.parts {
            let asked = id.to_owned();
            if let Some(more) = run.ask(move |engine| engine.cases(&asked, part)).await? {
                cases.merge(more);
            }
        }
        known.around = run.ask(around::of_engine).await?;
        known.around.systems = around::of_systems(&self.0.probes);
        let explaining = self.clone();
        let work = move || {
            // Held and kept by the work itself: whoever asked may have gone by then.
            let _held = held;
            explaining.keep(explaining.0.make(&known, &cases))
        };
        let made = tokio::task::spawn_blocking(work).await;
        Ok(made.inspect_err(|_| self.0.metrics.diagnoses_failed.add("bug", 1))?)
    }

    /// The latest that was made of this finding, whatever became of it since; nothing where none was made.
    pub fn latest(&self, id: &str) -> Option<Arc<Diagnosis>> {
        self.all().get(id).map(|kept| kept.diagnosis.clone())
    }

    /// The same in a few lines, for each of these.
    pub fn tell(&self, findings: &mut [FindingReport]) {
        let all = self.all();
        for finding in findings {
            finding.diagnosis = all.get(&finding.id).map(|kept| kept.brief.clone());
        }
    }

    /// The same for who writes it down.
    pub fn as_json(&self) -> Diagnose {
        let explaining = self.clone();
        Arc::new(move |id| {
            let explaining = explaining.clone();
            Box::pin(async move { serde_json::to_value(&*explaining.diagnosis(&id).await.ok()?).ok() })
        })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, finding: &FindingReport, holds: Duration) -> Option<Arc<Diagnosis>> {
        let all = self.all();
        let kept = all.get(&finding.id)?;
        // Of few each is much.
        let is_grown = finding.count.saturating_sub(kept.count) >= (kept.count / 10).max(1);
        (!is_grown && kept.status == finding.status && kept.made.elapsed() <= holds).then(|| kept.diagnosis.clone())
    }

    fn keep(&self, made: Diagnosis) -> Arc<Diagnosis> {
        let made = Arc::new(made);
        let FindingReport { id, count, status, .. } = made.finding.clone();
        let mut all = self.all();
        all.insert(
            id,
            Kept { count, status, made: Instant::now(), brief: brief::brief(&made), diagnosis: made.clone() },
        );
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
        let began = Instant::now();
        let gathered = gathering::gather(cases, diagnosis::began(&known.finding), self.archive.as_ref());
        let mut made = diagnose(&Evidence {
            finding: &known.finding,
            beside: &known.beside,
            cases,
            recording: &gathered.recording,
            stretch: &gathered.stretch,
            changes: &known.changes,
            around: &known.around,
            hides: &|name| self.redaction.hides(name),
            now: wall_clock(),
        });
        made.compared.cut.extend(gathered.cut);
        self.metrics.diagnoses.add(1);
        self.metrics.diagnosis_millis.add(began.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        made
    }
}

fn known(engine: &Engine, id: &str) -> Option<Known> {
    let mut beside = engine.report().findings;
    let at = beside.iter().position(|finding| finding.id == id)?;
    let finding = beside.remove(at);
    let changes = engine.changes().cloned().collect();
    Some(Known { finding, beside, changes, around: Surroundings::default(), parts: engine.case_parts() })
}
