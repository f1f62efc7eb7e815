//! Dead letters of one system looked through for the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use truegreen_connect::System;
use truegreen_connect::dead_letters::Place;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_connect::dead_letters::search::names;
use truegreen_connect::live::Glance;
use truegreen_model::answer::{FoundLetter, SystemAnswer};
use truegreen_model::letter::Letter;
use truegreen_model::passage::CutReport;

use super::plan::Sought;
use super::{Answers, Inside, cannot_tell, now, shown};
use crate::dead_letters::choice::Choice;
use crate::dead_letters::looking::Looked;
use crate::lookup::when;

/// Letters of one place that are looked through from its beginning.
const LOOKED: usize = 1_000;
/// Places of one system that are looked into.
const MAX_PLACES: usize = 20;
/// Letters of one place that are shown.
pub(super) const MAX_FOUND: usize = 5;
/// How long it is remembered which places a system has: finding them by their names may take it a while.
const PLACES_KEPT: Duration = Duration::from_secs(30);

/// Which places of dead letters each system has, by its name.
#[derive(Default)]
pub(super) struct Graves(Mutex<HashMap<String, Known>>);

/// Since when that is known.
struct Known {
    at: Instant,
    places: Arc<Vec<Place>>,
}

/// Letters that were found in one place.
#[derive(Default)]
pub(super) struct Catch {
    /// The system and place, where a command shows what lies there.
    at: Option<(String, String)>,
    pub(super) letters: Vec<FoundLetter>,
    pub(super) further: u64,
}

impl Sought {
    /// By what this one is one of those that are sought.
    pub(super) fn finds(&self, letter: &Letter, redaction: &Redaction) -> Option<&'static str> {
        if self.words.iter().any(|word| names(letter, word, redaction)) {
            return Some("key");
        }
        let trace = letter.traceparent.split('-').nth(1).unwrap_or_default();
        self.traces.contains(trace).then_some("trace")
    }
}

impl Catch {
    /// Of dead letters.
    fn of(system: &str, place: &str) -> Catch {
        Catch { at: Some((system.to_owned(), place.to_owned())), ..Catch::default() }
    }

    /// Keeps it where it is one of those that are sought.
    pub(super) fn see(&mut self, letter: &Letter, sought: &Sought, redaction: &Redaction) {
        let Some(by) = sought.finds(letter, redaction) else { return };
        if self.letters.len() == MAX_FOUND {
            self.further += 1;
            return;
        }
        self.letters.push(FoundLetter {
            id: shown::line(&letter.id, shown::MAX_ERROR),
            at: shown::line(&letter.died_at, shown::MAX_ERROR),
            error_type: shown::line(&letter.error_type, shown::MAX_ERROR),
            error: shown::line(&redaction.text(&letter.error), shown::MAX_ERROR),
            by: by.to_owned(),
            command: self.at.as_ref().and_then(|(system, place)| shown::command(system, place, &letter.id)),
        });
    }
}

impl Inside {
    pub(super) async fn dig(&self, name: &str, sought: &Sought, until: Instant) -> Answers {
        let (began, asked_at) = (Instant::now(), now());
        let blank = SystemAnswer {
            system: name.to_owned(),
            way: "dead_letters".to_owned(),
            key: sought.words.first().cloned().unwrap_or_default(),
            asked_at,
            ..SystemAnswer::default()
        };
        let mut told = Answers::default();
        let Some(system) = self.systems.get(name) else { return told };
        let places = match self.places(system, until).await {
            Ok(places) => places,
            Err(why) => {
                let seconds = began.elapsed().as_secs_f64();
                told.answers.push(cannot_tell(SystemAnswer { seconds, ..blank }, &format!("its dead letters: {why}")));
                return told;
            }
        };
        let mut without: Vec<(String, usize)> = Vec::new();
        for place in places.iter().take(MAX_PLACES) {
            let began = Instant::now();
            let mut catch = Catch::of(name, &place.name);
            let looked = self.search(system, &place.name, sought, until, &mut catch).await;
            let blank =
                SystemAnswer { of: place.name.clone(), seconds: began.elapsed().as_secs_f64(), ..blank.clone() };
            if catch.further > 0 {
                let why = format!("one answer shows {MAX_FOUND} letters of {} at the most", place.name);
                told.cut.push(CutReport { what: "letters".to_owned(), count: catch.further, why });
            }
            match looked {
                _ if !catch.letters.is_empty() => told.answers.push(found(blank, &place.name, catch)),
                Ok(looked) if !looked.is_cut => without.push((place.name.clone(), looked.looked)),
                Ok(looked) => {
                    let why =
                        format!("none of the first {} of {} is it, and more lie there", looked.looked, place.name);
                    told.answers.push(cannot_tell(blank, &why));
                }
                Err(why) => told.answers.push(cannot_tell(blank, &format!("{}: {why}", place.name))),
            }
        }
        if places.len() > MAX_PLACES {
            let why = format!("one answer looks into {MAX_PLACES} places of dead letters of {name} at the most");
            let count = (places.len() - MAX_PLACES) as u64;
            told.cut.push(CutReport { what: "places".to_owned(), count, why });
        }
        if !without.is_empty() {
            let seconds = began.elapsed().as_secs_f64();
            told.answers.push(not_found(SystemAnswer { seconds, ..blank }, &without));
        }
        told
    }

    async fn places(&self, system: &System, until: Instant) -> Result<Arc<Vec<Place>>, String> {
        let name = &system.config().name;
        let fresh = |known: &HashMap<String, Known>| {
            let known = known.get(name).filter(|known| Instant::now() < known.at + PLACES_KEPT)?;
            Some(Arc::clone(&known.places))
        };
        if let Some(places) = fresh(&self.graves.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(places);
        }
        let Some(letters) = system.dead_letters() else { return Ok(Arc::default()) };
        match timeout_at(until, letters.places()).await {
            Ok(Ok(places)) => {
                let places = Arc::new(places);
                let mut known = self.graves.0.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(name.clone(), Known { at: Instant::now(), places: Arc::clone(&places) });
                Ok(places)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not say in time where they lie".to_owned()),
        }
    }

    async fn search(
        &self,
        system: &System,
        place: &str,
        sought: &Sought,
        until: Instant,
        catch: &mut Catch,
    ) -> Result<Looked, String> {
        let redaction = self.desk.redaction();
        let choice = Choice::default();
        let mut see = |letter: Letter| catch.see(&letter, sought, redaction);
        let looked = timeout_at(until, self.desk.look(system, place, &choice, LOOKED, &mut see)).await;
        let looked = match looked {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("it could not be read to its end in time".to_owned()),
        };
        // Of what only grows the newest are at its end; `/` is what a group holds, which has none.
        let Some(live) = system.live().filter(|_| looked.is_cut && catch.letters.is_empty() && !place.contains('/'))
        else {
            return Ok(looked);
        };
        if let Ok(Ok(Glance::Messages { messages, .. })) = timeout_at(until, live.glance(place)).await {
            messages.iter().for_each(|message| catch.see(message, sought, redaction));
        }
        Ok(looked)
    }
}

fn found(blank: SystemAnswer, place: &str, catch: Catch) -> SystemAnswer {
    let says = catch.letters.first().map(|first| says(place, first, catch.letters.len() as u64 - 1 + catch.further));
    SystemAnswer { standing: "found".to_owned(), says: says.unwrap_or_default(), letters: catch.letters, ..blank }
}

fn says(place: &str, first: &FoundLetter, further: u64) -> String {
    let since = if first.at.is_empty() { String::new() } else { format!(" since {}", when::stamp(&first.at)) };
    let error = [&first.error_type, &first.error].into_iter().filter(|text| !text.is_empty()).map(String::as_str);
    let error = error.collect::<Vec<_>>().join(": ");
    let error = if error.is_empty() { String::new() } else { format!(": {error}") };
    let by = if first.by == "trace" { ", known by its trace alone" } else { "" };
    let more = if further > 0 { format!(" (and {further} more)") } else { String::new() };
    format!("dead in {place}{since}{by}{error}{more}")
}

fn not_found(blank: SystemAnswer, without: &[(String, usize)]) -> SystemAnswer {
    let of: Vec<&str> = without.iter().map(|(place, _)| place.as_str()).collect();
    let one = |(place, looked): &(String, usize)| match looked {
        0 => format!("{place} (empty)"),
        looked => format!("{place} ({looked} looked through)"),
    };
    let told: Vec<String> = without.iter().map(one).collect();
    SystemAnswer {
        of: of.join(", "),
        standing: "not_found".to_owned(),
        says: format!("not dead in {}", told.join(", ")),
        ..blank
    }
}
