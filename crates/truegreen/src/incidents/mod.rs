//! Incidents: the written record of what was thought, what was found, the real fix, and whether it came back.
//!
//! Read in this order: `record` (what may be written down), `signature` (by what a finding is known again), `watch` (whether
//! a cause that was fixed stays so), `told` (what a diagnosis says), `affected` (who was), `shelf` (where records stand),
//! `postmortem` and `document` (how they are read). All of these are pure but `shelf`; this file puts them together.

mod affected;
pub(crate) mod document;
pub(crate) mod postmortem;
pub mod record;
mod shelf;
pub(crate) mod signature;
pub(crate) mod told;
mod watch;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch as told_to_stop;
use tokio::task::JoinHandle;
use truegreen_engine::Engine;
use truegreen_model::incident::{Affected, Incident, IncidentList, Recurrence, RecurrenceReport, State};
use truegreen_model::report::FindingReport;

pub use self::document::Document;
use self::record::{Change, Stamp};
use self::shelf::Shelf;
use self::watch::Newest;
use crate::clock::wall_clock;
use crate::lookup::when;
use crate::run_loop::{self, Unavailable};
use crate::wording;

/// How often is looked whether something came back.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// After so many looks those that are affected by open incidents are written down anew: journeys are forgotten.
const LOOKS_UNTIL_AFFECTED: u32 = 120;
/// A diagnosis that takes longer is left out of the record.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(30);

/// Findings that are held against earlier incidents for one page.
const MAX_HELD_AGAINST: usize = 50;

/// Makes the diagnosis of a finding, as JSON; nothing where it cannot be made now.
pub type Diagnose = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Option<Value>> + Send>> + Send + Sync>;

/// Why an incident cannot be shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such incident.
    #[error("no incident is called {0:?}")]
    Unknown(String),
    /// No such finding.
    #[error("no finding is called {0:?}")]
    UnknownFinding(String),
    /// What was to be written down.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// Where it was to be written.
    #[error(transparent)]
    Shelf(#[from] shelf::Error),
    /// The engine.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What a new incident is opened with.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Opening {
    /// The finding's id.
    pub finding: String,
    /// One sentence; else the finding's.
    pub title: Option<String>,
    /// A diagnosis that was made already.
    pub diagnosis: Option<Value>,
}

/// The incidents of one server. Cheap to clone.
#[derive(Clone)]
pub struct Incidents(Arc<Inside>);

struct Inside {
    run: run_loop::Handle,
    shelf: RwLock<Shelf>,
    /// Held while a file is written, so that two changes do not meet; readers do not wait for the disk.
    writing: Mutex<()>,
    /// Held while who was affected is put together and written.
    listing: Mutex<()>,
    diagnose: OnceLock<Diagnose>,
}

impl Incidents {
    /// Of this folder of data; of none, nothing outlives the process. Reads files: not on the runtime's own threads.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(data: Option<&Path>, run: run_loop::Handle) -> std::io::Result<Incidents> {
        let shelf = Shelf::open(data)?;
        for told in shelf.unreadable() {
            tracing::warn!("an incident cannot be read and is left as it is: {told}");
        }
        let inside = Inside {
            run,
            shelf: RwLock::new(shelf),
            writing: Mutex::new(()),
            listing: Mutex::new(()),
            diagnose: OnceLock::new(),
        };
        Ok(Incidents(Arc::new(inside)))
    }

    /// From now on diagnoses are made so. Only the first counts.
    pub fn diagnosed_by(&self, diagnose: Diagnose) {
        drop(self.0.diagnose.set(diagnose));
    }

    fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.0.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether none was ever opened.
    pub fn is_empty(&self) -> bool {
        self.shelf().all().next().is_none()
    }

    /// All of them: open ones first, then those that are only patched, then the latest first.
    pub fn list(&self) -> IncidentList {
        let shelf = self.shelf();
        let mut incidents: Vec<_> = shelf.all().map(Incident::summary).collect();
        incidents.reverse();
        incidents.sort_by_key(|summary| summary.state);
        IncidentList { incidents, are_kept: shelf.is_kept(), unreadable: shelf.unreadable().to_vec() }
    }

    /// One, with its findings as they stand now and its timeline in order.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub async fn get(&self, id: &str) -> Result<Incident, Error> {
        let mut incident = self.shelf().get(id).cloned().ok_or_else(|| Error::Unknown(id.to_owned()))?;
        // A record can be read whatever the engine does.
        if let Ok(known) = self.findings().await {
            record::refresh(&mut incident, &known);
        }
        Ok(record::shown(&incident))
    }

    /// Opens one from a finding; or gives the one that is open for it, with this diagnosis. Also says whether it is new.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open_from(&self, opening: Opening, stamp: Stamp) -> Result<(Incident, bool), Error> {
        let known = self.findings().await?;
        let finding = known.into_iter().find(|known| known.id == opening.finding);
        let finding = finding.ok_or(Error::UnknownFinding(opening.finding))?;
        let diagnosis = match opening.diagnosis {
            Some(diagnosis) => Some(diagnosis),
            None => self.diagnosis(&finding.id).await,
        };
        let of = finding.id.clone();
        let (id, is_new) =
            self.written(move |shelf| open_or_take(shelf, finding, opening.title, diagnosis, &stamp)).await?;
        if is_new {
            tracing::info!(id, finding = of, "an incident was opened");
            self.affected(&id).await?;
        }
        Ok((self.get(&id).await?, is_new))
    }

    /// Writes into one.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn change(&self, id: &str, change: Change, stamp: Stamp) -> Result<Incident, Error> {
        let known = self.findings().await.unwrap_or_default();
        let closes = matches!(change, Change::Closed(..));
        if closes {
            // Those who were affected are to be known when nobody looks any more.
            self.affected(id).await?;
        }
        let wanted = id.to_owned();
        self.written(move |shelf| {
            let mut incident = shelf.get(&wanted).cloned().ok_or_else(|| Error::Unknown(wanted.clone()))?;
            record::refresh(&mut incident, &known);
            record::apply(&mut incident, change, &stamp)?;
            Ok((incident, ()))
        })
        .await?;
        self.get(id).await
    }

    /// A further finding belongs to it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_finding(&self, id: &str, finding: &str, stamp: Stamp) -> Result<Incident, Error> {
        let known = self.findings().await?.into_iter().find(|known| known.id == finding);
        let known = known.ok_or_else(|| Error::UnknownFinding(finding.to_owned()))?;
        let held = self.shelf().get(id).is_some_and(|incident| has(incident, finding));
        if held {
            return self.get(id).await;
        }
        self.change(id, Change::Finding(Box::new(known)), stamp).await
    }

    /// The diagnosis of its first finding is made anew, or this one taken.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn diagnose(&self, id: &str, given: Option<Value>, stamp: Stamp) -> Result<Incident, Error> {
        let first =
            self.shelf().get(id).and_then(|incident| incident.findings.first().map(|finding| finding.id.clone()));
        let diagnosis = match (given, first) {
            (Some(given), _) => Some(given),
            (None, Some(finding)) => self.diagnosis(&finding).await,
            (None, None) => None,
        };
        match diagnosis {
            Some(diagnosis) => self.change(id, Change::Diagnosed(Box::new(diagnosis)), stamp).await,
            None => self.get(id).await,
        }
    }

    async fn diagnosis(&self, finding: &str) -> Option<Value> {
        let diagnose = self.0.diagnose.get()?;
        tokio::time::timeout(DIAGNOSIS_TIMEOUT, diagnose(finding.to_owned())).await.ok().flatten()
    }

    /// What is known of a finding from earlier incidents.
    ///
    /// # Errors
    /// [`Error::UnknownFinding`], [`Error::Unavailable`].
    pub async fn recurrence(&self, finding: &str) -> Result<RecurrenceReport, Error> {
        let known = self.findings().await?.into_iter().find(|known| known.id == finding);
        let known = known.ok_or_else(|| Error::UnknownFinding(finding.to_owned()))?;
        let recorded = {
            let shelf = self.shelf();
            let of = latest_of(&shelf, finding);
            of.map(|incident| (incident.id.clone(), incident.state, incident.diagnosis.clone()))
        };
        let diagnosis = match &recorded {
            Some((_, _, Some(diagnosis))) => Some(diagnosis.clone()),
            _ => self.diagnosis(finding).await,
        };
        let signature = signature::signature(&known, diagnosis.as_ref());
        let own = recorded.as_ref().map(|(id, ..)| id.as_str());
        let recurrences = signature::recurrences(&signature, self.shelf().all(), own);
        let incident = recorded.and_then(|(id, state, _)| (state == State::Open).then_some(id));
        let says = match (recurrences.first(), &incident) {
            (Some(first), _) => first.says.clone(),
            (None, Some(id)) => format!("{id} is open for it; no earlier incident is like it"),
            (None, None) => "no earlier incident is like it".to_owned(),
        };
        Ok(RecurrenceReport { finding: finding.to_owned(), incident, signature, recurrences, says })
    }

    /// The open incident of each finding that has one, by the finding's id.
    pub(crate) fn by_finding(&self) -> BTreeMap<String, String> {
        let shelf = self.shelf();
        let open = shelf.all().filter(|incident| incident.state == State::Open);
        open.flat_map(|incident| incident.findings.iter().map(|finding| (finding.id.clone(), incident.id.clone())))
            .collect()
    }

    /// The earlier incident that each standing finding is most like, by the finding's id. Only by what the findings say:
    /// no diagnosis is made for it.
    pub(crate) fn earlier(&self, findings: &[FindingReport]) -> BTreeMap<String, Recurrence> {
        let shelf = self.shelf();
        let standing = findings.iter().filter(|finding| wording::is_standing(finding)).take(MAX_HELD_AGAINST);
        let first = |finding: &FindingReport| {
            let own = latest_of(&shelf, &finding.id);
            let diagnosis = own.and_then(|incident| incident.diagnosis.as_ref());
            let signature = signature::signature(finding, diagnosis);
            let alike = signature::recurrences(&signature, shelf.all(), own.map(|incident| incident.id.as_str()));
            Some((finding.id.clone(), alike.into_iter().next()?))
        };
        standing.filter_map(first).collect()
    }

    /// Who was affected, as it was written down and as it is known now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn affected(&self, id: &str) -> Result<Affected, Error> {
        let mut incident = self.shelf().get(id).cloned().ok_or_else(|| Error::Unknown(id.to_owned()))?;
        let known = self.findings().await.unwrap_or_default();
        record::refresh(&mut incident, &known);
        let mut asked = Vec::new();
        for finding in &incident.findings {
            asked.push(self.cases(&finding.id).await);
        }
        let inside = Arc::clone(&self.0);
        let work = move || affected::write_down(&inside, &incident, asked);
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Unavailable(Unavailable))?
    }

    /// All that is known of whom a finding is about; nothing where it is about no single requests.
    async fn cases(&self, finding: &str) -> Option<affected::Cases> {
        let parts = self.0.run.ask(Engine::case_parts).await.ok()?;
        let mut cases = affected::Cases::default();
        for part in 0..parts {
            let id = finding.to_owned();
            let of_part = self.0.run.ask(move |engine| engine.affected(&id, part)).await.ok()??;
            cases.add(of_part);
        }
        Some(cases)
    }

    async fn findings(&self) -> Result<Vec<FindingReport>, Unavailable> {
        Ok(self.0.run.ask(Engine::report).await?.findings)
    }

    /// Changes one record: it is durable before it is shown.
    async fn written<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Shelf) -> Result<(Incident, T), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inside = Arc::clone(&self.0);
        let work = move || inside.write(change);
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Unavailable(Unavailable))?
    }

    /// Looks now and again whether something came back, until the server stops.
    pub(crate) fn start(&self, stop: &told_to_stop::Receiver<bool>) -> JoinHandle<()> {
        let (incidents, mut stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = stop.wait_for(|is_told| *is_told) => {}
                () = incidents.watch() => {}
            }
        })
    }

    async fn watch(&self) {
        let mut every = tokio::time::interval(LOOKS_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // By incident and finding: until when it was looked at.
        let mut looked: BTreeMap<(String, String), String> = BTreeMap::new();
        for n in 1u32.. {
            every.tick().await;
            self.look(&mut looked).await;
            if n % LOOKS_UNTIL_AFFECTED == 0 {
                self.write_down_affected().await;
            }
        }
    }

    async fn look(&self, looked: &mut BTreeMap<(String, String), String>) {
        let is_watched = |incident: &&Incident| incident.watched_since.is_some();
        let watched: Vec<Incident> = self.shelf().all().filter(is_watched).cloned().collect();
        looked.retain(|(id, _), _| watched.iter().any(|incident| incident.id == *id));
        if watched.is_empty() {
            return;
        }
        // Who cannot be asked now is asked the next time.
        let Ok(findings) = self.findings().await else { return };
        for incident in &watched {
            for finding in findings.iter().filter(|finding| watch::concerns(incident, finding, None)) {
                let of = (incident.id.clone(), finding.id.clone());
                if looked.get(&of) == Some(&finding.last_seen) {
                    continue;
                }
                let newest = self.cases(&finding.id).await.and_then(|cases| cases.newest());
                let newest = newest.map_or(Newest::None, Newest::Began);
                // Where conditions are known to hold it against, those of today are worth a diagnosis.
                let is_set_apart = !incident.signature.conditions.is_empty();
                let diagnosis = if is_set_apart { self.diagnosis(&finding.id).await } else { None };
                match watch::came_back(incident, finding, diagnosis.as_ref(), &newest) {
                    Some(why) => {
                        self.reopen(incident, finding, why).await;
                        break;
                    }
                    None => drop(looked.insert(of, finding.last_seen.clone())),
                }
            }
        }
    }

    async fn reopen(&self, incident: &Incident, finding: &FindingReport, why: String) {
        tracing::warn!(id = incident.id, finding = finding.id, "an incident is open again: {why}");
        let stamp = Stamp::new("", when::rfc3339(wall_clock()));
        let reopened = self.change(&incident.id, Change::Reopened(why), stamp.clone()).await;
        let done = match reopened {
            Ok(reopened) if !has(&reopened, &finding.id) => {
                self.change(&incident.id, Change::Finding(Box::new(finding.clone())), stamp).await.map(drop)
            }
            other => other.map(drop),
        };
        if let Err(error) = done {
            tracing::warn!(id = incident.id, "it could not be written down: {error}");
        }
    }

    async fn write_down_affected(&self) {
        let open = |incident: &&Incident| incident.state == State::Open;
        let ids: Vec<String> = self.shelf().all().filter(open).map(|incident| incident.id.clone()).collect();
        for id in ids {
            if let Err(error) = self.affected(&id).await {
                tracing::warn!(id, "who is affected could not be written down: {error}");
            }
        }
    }
}

impl Inside {
    fn shelf_mut(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until it is durable.
    fn write<T>(&self, change: impl FnOnce(&Shelf) -> Result<(Incident, T), Error>) -> Result<T, Error> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (incident, prepared, told) = {
            let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
            let (incident, told) = change(&shelf)?;
            let prepared = shelf.prepared(&incident)?;
            (incident, prepared, told)
        };
        prepared.write()?;
        self.shelf_mut().put(incident, &prepared);
        Ok(told)
    }
}

fn has(incident: &Incident, finding: &str) -> bool {
    incident.findings.iter().any(|known| known.id == finding)
}

/// The open incident of a finding, or else the latest.
fn latest_of<'a>(shelf: &'a Shelf, finding: &str) -> Option<&'a Incident> {
    let of = shelf.all().filter(|incident| has(incident, finding));
    of.max_by_key(|incident| (incident.state == State::Open, incident.opened_at.clone()))
}

fn open_or_take(
    shelf: &Shelf,
    finding: FindingReport,
    title: Option<String>,
    diagnosis: Option<Value>,
    stamp: &Stamp,
) -> Result<(Incident, (String, bool)), Error> {
    let open = shelf.all().find(|incident| incident.state == State::Open && has(incident, &finding.id)).cloned();
    let is_new = open.is_none();
    let mut incident = match open {
        Some(incident) => incident,
        None => record::opened(shelf.next_id(), title.as_deref(), finding, stamp)?,
    };
    if let Some(diagnosis) = diagnosis {
        record::apply(&mut incident, Change::Diagnosed(Box::new(diagnosis)), stamp)?;
    }
    if is_new {
        incident.recurrences = signature::recurrences(&incident.signature, shelf.all(), Some(&incident.id));
    }
    let id = incident.id.clone();
    Ok((incident, (id, is_new)))
}
