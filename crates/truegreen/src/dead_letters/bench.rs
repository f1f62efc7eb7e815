//! The one place where the effects of a redrive are done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use truegreen_connect::dead_letters::{DeadLetters, Reading};
use truegreen_model::letter::Letter;

use super::Error;
use super::journal::Journal;
use super::redrive::entry::{Entry, KeptLetter};
use super::redrive::{Effect, Outcome, Redrive, Shown};
use super::{fingerprint, outgoing};
use crate::clock::wall_clock;
use crate::lookup::when;

/// Letters read at once.
const BATCH: usize = 50;

/// Why the work is handed back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Halt {
    /// Somebody has to see whether the first few had their effect, and tell [`Redrive::heard`].
    Verify,
    /// It stopped, or is at its end.
    Finished,
}

/// Where the work is done.
pub struct Bench<'a> {
    /// The system.
    pub letters: &'a dyn DeadLetters,
    /// Where facts are written down.
    pub journal: &'a mut Journal,
    /// Set by whoever wants it to stop.
    pub interrupted: &'a AtomicBool,
}

/// What was read last, and from where.
#[derive(Default)]
struct Open {
    reading: Option<Box<dyn Reading>>,
    batch: Vec<Letter>,
    last_sent: Option<Instant>,
}

impl Bench<'_> {
    /// Does what the machine says, until it stops or wants to know something. `shown` is told after each step.
    ///
    /// # Errors
    /// [`Error::Journal`]: nothing can be remembered any more, so nothing more is done.
    pub async fn work(
        &mut self,
        redrive: &mut Redrive,
        shown: &mut (dyn FnMut(&Redrive) + Send),
    ) -> Result<Halt, Error> {
        let mut open = Open::default();
        if !self.letters.may_hide() {
            redrive.place_shows_all();
        }
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                redrive.interrupt();
            }
            redrive.tick(when::rfc3339(wall_clock()));
            let outcome = match redrive.next_effect() {
                Effect::Finished => return Ok(Halt::Finished),
                Effect::Verify => return Ok(Halt::Verify),
                Effect::Record(entries) => {
                    self.write(&entries)?;
                    Outcome::Done
                }
                Effect::Keep { n, slot } => self.keep(n, open.batch.get(slot))?,
                effect => self.done(redrive, &mut open, effect).await,
            };
            redrive.heard(outcome);
            shown(redrive);
        }
    }

    async fn done(&mut self, redrive: &Redrive, open: &mut Open, effect: Effect) -> Outcome {
        match effect {
            Effect::Open => {
                let place = redrive.memory().order.as_ref().map(|order| order.place.clone()).unwrap_or_default();
                match self.letters.open(&place).await {
                    Ok(reading) => {
                        open.reading = Some(reading);
                        Outcome::Done
                    }
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            }
            Effect::Pause(seconds) => {
                self.pause(Duration::from_secs(seconds)).await;
                Outcome::Done
            }
            Effect::Close => match open.reading.take() {
                Some(reading) => told(reading.close().await.map(|()| Outcome::Done)),
                None => Outcome::Done,
            },
            Effect::Read => match &mut open.reading {
                Some(reading) => match reading.next(BATCH).await {
                    Ok(batch) => {
                        open.batch = batch;
                        Outcome::Shown(open.batch.iter().map(shown).collect())
                    }
                    Err(error) => Outcome::Failed(error.to_string()),
                },
                None => nothing_open(),
            },
            Effect::Send { n, slot } => {
                self.pace(redrive, open).await;
                match (&mut open.reading, open.batch.get(slot)) {
                    (Some(reading), Some(letter)) => send(redrive, reading.as_mut(), n, letter).await,
                    _ => nothing_open(),
                }
            }
            Effect::Remove { slot, .. } => match (&mut open.reading, open.batch.get(slot)) {
                (Some(reading), Some(letter)) => told(reading.remove(&letter.id).await.map(|()| Outcome::Done)),
                _ => nothing_open(),
            },
            Effect::Record(_) | Effect::Keep { .. } | Effect::Verify | Effect::Finished => Outcome::Done,
        }
    }

    fn keep(&mut self, n: usize, letter: Option<&Letter>) -> Result<Outcome, Error> {
        let Some(letter) = letter else { return Ok(nothing_open()) };
        self.write(&[Entry::Kept { n, kept: KeptLetter::of(letter) }])?;
        Ok(Outcome::Done)
    }

    fn write(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let at = when::rfc3339(wall_clock());
        // A sync takes milliseconds, and the next step depends on it.
        tokio::task::block_in_place(|| self.journal.append(&at, entries))?;
        Ok(())
    }

    /// Waits, but not past an interruption.
    async fn pause(&self, whole: Duration) {
        let until = Instant::now() + whole;
        while Instant::now() < until && !self.interrupted.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50).min(until - Instant::now())).await;
        }
    }

    async fn pace(&self, redrive: &Redrive, open: &mut Open) {
        let per_second = redrive.memory().order.as_ref().and_then(|order| order.per_second);
        if let (Some(rate), Some(last)) = (per_second, open.last_sent) {
            tokio::time::sleep_until(last + Duration::from_secs_f64(1.0 / rate.max(0.001))).await;
        }
        open.last_sent = Some(Instant::now());
    }
}

async fn send(redrive: &Redrive, reading: &mut dyn Reading, n: usize, letter: &Letter) -> Outcome {
    let memory = redrive.memory();
    let (Some(order), Some(standing)) = (&memory.order, memory.letters.get(n)) else { return nothing_open() };
    let outgoing = outgoing::of(&order.id, &standing.chosen, letter, memory.edits.get(&n));
    match reading.send(&outgoing).await {
        Err(error @ truegreen_connect::Error::Refused(_)) => Outcome::Refused(error.to_string()),
        sent => told(sent.map(Outcome::Sent)),
    }
}

fn shown(letter: &Letter) -> Shown {
    Shown { id: letter.id.clone(), hash: fingerprint::of(letter) }
}

fn told(result: Result<Outcome, truegreen_connect::Error>) -> Outcome {
    result.unwrap_or_else(|error| Outcome::Failed(error.to_string()))
}

fn nothing_open() -> Outcome {
    Outcome::Failed("the place is not open".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::outgoing::{REDRIVE_ID, REDRIVE_OF};
    use super::super::redrive::{Action, Canary, Chosen, Memory, Order, Person, StopWhy};
    use super::super::simulated::Simulated;
    use super::super::{outgoing::idempotency_key, record};
    use super::*;

    fn letters(n: usize) -> Vec<Letter> {
        let one =
            |n| Letter { id: format!("l-{n}"), origin: "orders".to_owned(), body: vec![b'x'; n], ..Letter::default() };
        (0..n).map(one).collect()
    }

    fn entries(letters: &[Letter], action: Action, canary: usize) -> Vec<Entry> {
        let order = Order {
            id: "r-1".to_owned(),
            action,
            system: "broker".to_owned(),
            place: "dead".to_owned(),
            by: Person::default(),
            asked: "all".to_owned(),
            canary,
            per_second: None,
            max_failed_percent: 10,
            left_out: Vec::new(),
            left_out_count: 0,
        };
        let mut entries = vec![Entry::Begun(order)];
        for (n, letter) in letters.iter().enumerate() {
            let (hash, to) = (fingerprint::of(letter), letter.origin.clone());
            entries.push(Entry::Chosen(Chosen { n, letter: letter.id.clone(), hash, to, ..Chosen::default() }));
        }
        entries.push(Entry::Frozen { letters: letters.len() });
        entries
    }

    fn begin(path: &std::path::Path, entries: &[Entry]) -> (Journal, Redrive) {
        let mut journal = Journal::create(path).unwrap();
        journal.append("2026-01-01T00:00:00Z", entries).unwrap();
        (journal, Redrive::new(Memory::of(entries.iter().map(|entry| ("", entry))).unwrap()))
    }

    async fn work(place: &Simulated, journal: &mut Journal, redrive: &mut Redrive) -> Halt {
        let mut bench = Bench { letters: place, journal, interrupted: &AtomicBool::new(false) };
        bench.work(redrive, &mut |_| {}).await.unwrap()
    }

    /// Scenario: the first two go, the books say that they did well, and the rest goes; one more letter arrives meanwhile.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_first_few_go_and_then_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let (all, path) = (letters(7), folder.path().join("r-1.journal"));
        let place = Simulated::with(all.clone());
        let (mut journal, mut redrive) = begin(&path, &entries(&all, Action::Redrive, 2));
        assert_eq!(work(&place, &mut journal, &mut redrive).await, Halt::Verify);
        assert_eq!(place.0.lock().unwrap().sent.len(), 2);
        place.0.lock().unwrap().letters.push(Letter { id: "later".to_owned(), ..Letter::default() });
        redrive.heard(Outcome::Verified(Canary::Proven("the books".to_owned())));
        assert_eq!(work(&place, &mut journal, &mut redrive).await, Halt::Finished);

        let inside = place.0.lock().unwrap();
        assert_eq!((inside.sent.len(), inside.letters.len(), inside.letters[0].id.as_str()), (7, 1, "later"));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert!(inside.sent[3].headers.contains(&header(REDRIVE_ID, "r-1")));
        assert!(inside.sent[3].headers.contains(&header(REDRIVE_OF, "l-3")));
        let chosen = &redrive.memory().letters[3].chosen;
        assert_eq!(inside.sent[3].idempotency_key, idempotency_key("r-1", chosen));
        let remembered = record::memory(&path).unwrap();
        assert!(remembered.is_ended && remembered.proven.is_some());
        assert_eq!(record::Counts::of(&remembered).done, 7);
    }

    /// Scenario: a sending of the first few fails. Guarantee: it stops, the letter lies there, and resuming sends it again
    /// under the same key and counts it as possibly doubled.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_sending_stops_it_and_is_sent_again_under_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let (all, path) = (letters(3), folder.path().join("r-1.journal"));
        let place = Simulated::with(all.clone());
        place.0.lock().unwrap().failing = 1;
        let (mut journal, mut redrive) = begin(&path, &entries(&all, Action::Redrive, 1));
        assert_eq!(work(&place, &mut journal, &mut redrive).await, Halt::Finished);
        let stopped = record::memory(&path).unwrap();
        assert_eq!(stopped.stopped.as_ref().map(|(why, _)| *why), Some(StopWhy::CanaryFailed));
        assert_eq!(place.0.lock().unwrap().letters.len(), 3);
        drop(journal);

        let (mut journal, lines) = Journal::open::<Entry>(&path).unwrap();
        let mut redrive = Redrive::new(record::remembered(&path, &lines).unwrap());
        redrive.told(Entry::Resumed { by: Person::default() });
        redrive.told(Entry::Proven { how: "somebody".to_owned() });
        assert_eq!(work(&place, &mut journal, &mut redrive).await, Halt::Finished);
        let memory = record::memory(&path).unwrap();
        assert!(memory.is_ended && memory.letters[0].may_be_doubled && !memory.letters[1].may_be_doubled);
        assert_eq!(place.0.lock().unwrap().sent.len(), 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_thrown_away_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (all, path) = (letters(3), folder.path().join("r-1.journal"));
        let place = Simulated::with(all.clone());
        let (mut journal, mut redrive) = begin(&path, &entries(&all, Action::Discard, 0));
        assert_eq!(work(&place, &mut journal, &mut redrive).await, Halt::Finished);
        assert!(place.0.lock().unwrap().letters.is_empty() && place.0.lock().unwrap().sent.is_empty());
        let kept: Vec<Letter> = record::kept(&path).unwrap().iter().map(|kept| kept.whole().unwrap()).collect();
        assert_eq!(kept, all);
    }
}
