//! Dead letters as pages and API look at them. Nothing here changes anything.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use truegreen_connect::System;
use truegreen_connect::dead_letters::group::{By, Group};
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::letter::Letter;

use super::choice::Choice;
use super::lock::{self, Lock};
use super::{Error, folder, looking};
use crate::config::Config;
use crate::systems::Systems;

/// Letters of a place that a page looks through; brokers are asked for all of them one by one.
const LOOKED: usize = 2_000;
/// How long one place may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How long an overview is shown before it is looked up anew.
const KEPT: Duration = Duration::from_secs(15);
/// Looks at the same time; others wait.
const AT_ONCE: usize = 4;
/// Bytes of bodies of one answer.
const MAX_BODIES_BYTES: usize = 16 << 20;
/// Places of all systems that are shown.
const MAX_PLACES: usize = 200;

/// What lies in one place.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct PlaceGroups {
    /// The system, by its name in the configuration.
    pub system: String,
    /// The place; empty where the system does not say what places it has.
    pub place: String,
    /// How many lie there, where that can be told.
    pub letters: Option<u64>,
    /// How many were looked at.
    pub looked: u64,
    /// Whether more lie there.
    pub is_cut: bool,
    /// What to know before sending back.
    pub warning: String,
    /// The largest first.
    pub groups: Vec<Group>,
    /// Letters in further groups.
    pub further: u64,
    /// Why nothing is known.
    pub error: Option<String>,
}

/// Looks at dead letters of all systems.
#[derive(Clone)]
pub struct Desk(Arc<Inside>);

struct Inside {
    systems: Systems,
    redaction: Redaction,
    folder: PathBuf,
    looks: Semaphore,
    overviews: Mutex<Vec<Overview>>,
}

struct Overview {
    by: By,
    at: Instant,
    places: Arc<Vec<PlaceGroups>>,
}

impl Desk {
    /// Asks nothing yet.
    pub fn new(systems: &Systems, config: &Config) -> Desk {
        let data = config.data.clone().unwrap_or_default();
        Desk(Arc::new(Inside {
            systems: systems.clone(),
            redaction: Redaction::new(&config.redact),
            folder: folder(&data.dir),
            looks: Semaphore::new(AT_ONCE),
            overviews: Mutex::default(),
        }))
    }

    /// What is not shown.
    pub fn redaction(&self) -> &Redaction {
        &self.0.redaction
    }

    /// Whether any system can have dead letters at all.
    pub fn has_systems(&self) -> bool {
        self.0.systems.all().any(|system| system.dead_letters().is_some())
    }

    /// The groups of every place; a system that cannot be asked is one place with the reason.
    pub async fn overview(&self, by: By) -> Arc<Vec<PlaceGroups>> {
        // Held meanwhile: whoever asks at the same moment gets the same answer.
        let mut overviews = self.0.overviews.lock().await;
        overviews.retain(|known| known.at.elapsed() < KEPT);
        if let Some(known) = overviews.iter().find(|known| known.by == by) {
            return Arc::clone(&known.places);
        }
        let mut asked = JoinSet::new();
        for system in self.0.systems.all().filter(|system| system.dead_letters().is_some()) {
            let (desk, system) = (self.clone(), Arc::clone(system));
            asked.spawn(async move { desk.places(&system, by).await });
        }
        let mut places: Vec<PlaceGroups> = asked.join_all().await.into_iter().flatten().collect();
        places.sort_by(|a, b| (&a.system, &a.place).cmp(&(&b.system, &b.place)));
        places.truncate(MAX_PLACES);
        let places = Arc::new(places);
        overviews.push(Overview { by, at: Instant::now(), places: Arc::clone(&places) });
        places
    }

    async fn places(&self, system: &System, by: By) -> Vec<PlaceGroups> {
        let name = system.config().name.clone();
        let Some(letters) = system.dead_letters() else { return Vec::new() };
        let failed = |error: String| PlaceGroups { system: name.clone(), error: Some(error), ..PlaceGroups::default() };
        let places = match tokio::time::timeout(LIMIT, letters.places()).await {
            Ok(Ok(places)) => places,
            Ok(Err(error)) => return vec![failed(error.to_string())],
            Err(_) => return vec![failed(format!("did not say what lies where within {} s", LIMIT.as_secs()))],
        };
        let mut told = Vec::new();
        for place in places {
            let mut groups = PlaceGroups {
                system: name.clone(),
                place: place.name,
                letters: place.letters,
                warning: place.warning,
                ..PlaceGroups::default()
            };
            if groups.letters != Some(0) {
                let choice = Choice::default();
                let mut see = truegreen_connect::dead_letters::group::Groups::new(by);
                let looked = self.look(system, &groups.place, &choice, LOOKED, &mut |letter| see.add(&letter)).await;
                match looked {
                    Ok(looked) => (groups.looked, groups.is_cut) = (looked.looked as u64, looked.is_cut),
                    Err(error) => groups.error = Some(error.to_string()),
                }
                (groups.groups, groups.further) = see.counted();
                groups.groups.iter_mut().for_each(|group| group.error = self.0.redaction.text(&group.error));
            }
            told.push(groups);
        }
        told
    }

    /// Letters of one place that fit, at most `limit`; none where there is no such system.
    ///
    /// # Errors
    /// What the system said.
    pub async fn letters(&self, system: &str, place: &str, choice: &Choice) -> Result<Option<Vec<Letter>>, Error> {
        let Some(system) = self.0.systems.get(system).filter(|system| system.dead_letters().is_some()) else {
            return Ok(None);
        };
        let mut letters = Vec::new();
        let mut bytes = 0;
        let mut see = |letter: Letter| {
            bytes += letter.body.len();
            if bytes <= MAX_BODIES_BYTES || letters.is_empty() {
                letters.push(letter);
            }
        };
        // One letter that was asked for by its id is found wherever it lies.
        let most = if choice.ids.is_empty() { LOOKED } else { looking::MAX_LOOKED };
        self.look(system, place, choice, most, &mut see).await?;
        Ok(Some(letters))
    }

    /// Shows every letter of a place that fits to `see`, and waits for its turn there.
    pub(crate) async fn look(
        &self,
        system: &System,
        place: &str,
        choice: &Choice,
        most: usize,
        see: &mut (dyn FnMut(Letter) + Send),
    ) -> Result<looking::Looked, Error> {
        let name = system.config().name.as_str();
        let Some(letters) = system.dead_letters() else { return Ok(looking::Looked::default()) };
        let timed_out = truegreen_connect::Error::TimedOut { what: "to show its dead letters", limit: LIMIT };
        let looking = async {
            // The semaphore is never closed.
            let _turn = self.0.looks.acquire().await.ok();
            let (folder, system, at) = (self.0.folder.clone(), name.to_owned(), place.to_owned());
            let take = move || Lock::take(&folder, &system, &at, "a page that looks at it", Duration::from_secs(2));
            // Where nothing can be written, it is looked at all the same.
            let _held = match tokio::task::spawn_blocking(take).await {
                Ok(Err(error @ lock::Error::Held { .. })) => return Err(Error::Lock(error)),
                held => held.ok().and_then(Result::ok),
            };
            looking::look((letters, name), place, (choice, &self.0.redaction), most, see).await
        };
        tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| Err(Error::of(name)(timed_out)))
    }
}
