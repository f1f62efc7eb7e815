//! The trial that every system stands: letters sent back while the command is killed at random and the system is restarted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::Desk;
use crate::support::PATIENCE;

/// How often the command is killed.
const KILLS: u32 = 20;
/// Before these kills the system is killed and started again, while the command is at work.
const RESTARTS: [u32; 2] = [8, 15];
/// Letters, unless `TRUEGREEN_LETTERS` says how many.
const LETTERS: usize = 300;
/// What the journal grows by with each letter, about.
const BYTES_OF_A_LETTER: u64 = 250;
/// How often it is resumed after the last kill, at most.
const MAX_RESUMES: usize = 5;

/// How many copies there are of each, by name. Some letters may have the same name, and then are the same in everything.
pub(super) type Copies = BTreeMap<String, usize>;

/// A real system with a place where letters lie dead and one that they go back to, filled and counted by its own means.
pub(super) trait Bed {
    /// Whether it drops a second letter of the same key.
    const DROPS_A_SECOND: bool;
    /// The place.
    const PLACE: &'static str = "orders.dead";

    /// As it is told of.
    fn called(&self) -> String;

    /// Its entry in the configuration.
    fn entry(&self) -> String;

    /// Letters of these names die, in this order.
    fn die(&mut self, names: &[String]);

    /// Kills it as a crash would, and starts it again.
    fn restart(&mut self);

    /// What lies dead.
    fn dead(&mut self) -> Copies;

    /// What is at the target.
    fn arrived(&mut self) -> Copies;

    /// How many of these are to be sent still, or which are gone from the dead and not at the target; `later` lie there too.
    fn left(&mut self, expected: &Copies, _later: usize) -> Result<usize, String> {
        left(&self.dead(), &self.arrived(), expected)
    }

    /// The name of the nth letter.
    fn name(n: usize) -> String {
        format!("o-{n}")
    }
}

/// How many are to be sent still, or which are in neither place.
pub(super) fn left(dead: &Copies, arrived: &Copies, expected: &Copies) -> Result<usize, String> {
    let is_gone = |(name, of): &(&String, &usize)| copies(dead, name) + copies(arrived, name) < **of;
    let gone: Vec<&String> = expected.iter().filter(is_gone).map(|(name, _)| name).collect();
    let left = expected.iter().map(|(name, of)| of.saturating_sub(copies(arrived, name))).sum();
    if gone.is_empty() { Ok(left) } else { Err(format!("{gone:?}")) }
}

fn copies(of: &Copies, name: &String) -> usize {
    of.get(name).copied().unwrap_or_default()
}

/// The body of a letter of this name.
pub(super) fn body(name: &str) -> String {
    format!(r#"{{"type":"OrderPlaced","order":{{"id":"{name}"}}}}"#)
}

/// The names in these bodies, whatever else may stand around them.
pub(super) fn names<'a>(bodies: impl IntoIterator<Item = &'a str>) -> Copies {
    let mut copies = Copies::new();
    for body in bodies {
        let (_, name) = body.split_once(r#""id":"#).unwrap_or_else(|| panic!("no letter of ours: {body}"));
        *copies.entry(name.trim().trim_start_matches('"').split('"').next().unwrap().to_owned()).or_default() += 1;
    }
    copies
}

/// How many letters each system is tried with.
fn letters() -> usize {
    let told = std::env::var("TRUEGREEN_LETTERS").ok();
    told.map_or(LETTERS, |told| told.parse().unwrap_or_else(|_| panic!("TRUEGREEN_LETTERS is no number: {told}")))
}

/// Longest wait for anything: some of it is done letter by letter.
fn patience() -> Duration {
    PATIENCE * (1 + u32::try_from(letters() / 1_000).unwrap())
}

/// What a system was tried with, and what it came to.
#[derive(Default)]
struct Tally {
    kills: u32,
    restarts: u32,
    /// How long the command was at work.
    at_work: Duration,
}

/// Scenario: letters go back; the command is killed at any moment, twenty times, the system twice while the command is at
/// work; and more letters die meanwhile. Guarantee: at each kill, whatever is gone from the dead is at its target. In the end
/// every letter of the selection is there, once where the system drops a second one, else as often as the record admits; what
/// died later lies there still; and whatever lies there again after a crash of the system is at its target too.
#[expect(clippy::print_stdout, reason = "whoever holds the trial by hand wants to know what it came to")]
pub(super) fn stand<B: Bed>(bed: &mut B) {
    let letters = letters();
    let all: Vec<String> = (0..letters).map(B::name).collect();
    bed.die(&all);
    let mut expected = Copies::new();
    all.iter().for_each(|name| *expected.entry(name.clone()).or_default() += 1);
    let filled = Instant::now();

    let desk = Desk::at(&bed.entry());
    let mut later = Copies::new();
    let mut tally = Tally::default();
    let id = killed(bed, &desk, (&expected, letters), &mut later, &mut tally);
    let resumed = Instant::now();
    let record = (0..MAX_RESUMES).find_map(|_| {
        desk.run(&["redrive", "--resume", &id]);
        Some(desk.record(&id)).filter(|record| record["state"] == "ended")
    });
    tally.at_work += resumed.elapsed();
    let record = record.unwrap_or_else(|| panic!("it does not come to its end: {}", desk.told(&["history", &id])));
    assert_eq!(desk.ids().len(), 1, "resumed, never begun anew");

    let (arrived, dead) = (bed.arrived(), bed.dead());
    let lost: usize = expected.iter().map(|(name, of)| of.saturating_sub(copies(&arrived, name))).sum();
    let doubled: usize = expected.iter().map(|(name, of)| copies(&arrived, name).saturating_sub(*of)).sum();
    let again: usize = dead.iter().map(|(name, of)| of.saturating_sub(copies(&later, name))).sum();
    let admitted = record["counts"]["may_be_doubled"].as_u64().unwrap() as usize;
    println!(
        "{}: {letters} letters, {} kills, {} restarts: {lost} lost, 0 removed before they were confirmed, {doubled} doubled \
         of {admitted} that the record says may be, {again} dead again after a crash of the system; {:.0} s, of which it \
         was at work for {:.1} s",
        bed.called(),
        tally.kills,
        tally.restarts,
        filled.elapsed().as_secs_f64(),
        tally.at_work.as_secs_f64(),
    );
    assert_eq!((lost, tally.restarts as usize), (0, RESTARTS.len()), "0 lost");
    let counts = &record["counts"];
    assert_eq!((&counts["done"], &counts["missing"]), (&letters.into(), &0.into()), "{counts}");
    assert!(doubled <= admitted, "{doubled} doubled, {counts}");
    assert!(doubled == 0 || !B::DROPS_A_SECOND, "{doubled} doubled");
    assert!(arrived.keys().all(|name| expected.contains_key(name)), "what died later is left alone");
    assert!(later.iter().all(|(name, of)| copies(&dead, name) == *of), "what died later lies there: {dead:?}");
}

/// Begins, is killed, resumes, and again. The id of the redrive.
fn killed<B: Bed>(
    bed: &mut B,
    desk: &Desk,
    (expected, letters): (&Copies, usize),
    later: &mut Copies,
    tally: &mut Tally,
) -> String {
    let begin = ["redrive", "--place", B::PLACE, "--all", "--to", "orders", "--canary", "0", "--rate", "all"];
    let mut random = fastrand::Rng::with_seed(7);
    let (mut id, mut left): (Option<String>, usize) = (None, letters);
    while tally.kills < KILLS {
        let began = Instant::now();
        let mut child = match &id {
            Some(id) => desk.start(&["redrive", "--resume", id]),
            None => desk.start(&begin),
        };
        // The first dies before its selection is whole, the others between any two writes behind it: about half of the letters
        // are left for the last.
        let share = left as u64 * BYTES_OF_A_LETTER / u64::from(KILLS - tally.kills + 3);
        let more = if tally.kills == 0 { 1 } else { random.u64(1..share.max(2)) };
        wait(&mut child, &desk.journals(), more);
        let is_due = RESTARTS.get(tally.restarts as usize).is_some_and(|kill| tally.kills + 1 >= *kill);
        if is_due && id.is_some() {
            bed.restart();
            tally.restarts += 1;
        }
        // One that stopped by itself, when the system was gone, was not killed.
        tally.kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        tally.at_work += began.elapsed();
        id = id.or_else(|| desk.ids().pop());
        if id.is_some() {
            let name = format!("later-{}", later.len());
            bed.die(std::slice::from_ref(&name));
            later.insert(name, 1);
        }
        left = all_are_somewhere(bed, expected, later.len());
        assert!(left > 0, "it was over after {} kills", tally.kills);
    }
    id.unwrap()
}

/// Every letter that is gone from the dead is at its target: else it was removed before it was confirmed, or lost. How many
/// are to be sent still.
fn all_are_somewhere<B: Bed>(bed: &mut B, expected: &Copies, later: usize) -> usize {
    let began = Instant::now();
    loop {
        match bed.left(expected, later) {
            Ok(left) => return left,
            // What a killed process held comes back only once the system has noticed that it is gone.
            Err(_) if began.elapsed() < patience() => std::thread::park_timeout(Duration::from_millis(20)),
            Err(gone) => panic!("gone, and never arrived: {gone}"),
        }
    }
}

/// Waits until it has written so much more, or has ended by itself.
fn wait(child: &mut Child, journals: &Path, more: u64) {
    let total = || {
        let files = std::fs::read_dir(journals).into_iter().flatten();
        files.map(|file| file.unwrap().metadata().map_or(0, |metadata| metadata.len())).sum::<u64>()
    };
    let (before, began) = (total(), Instant::now());
    while total() < before + more {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        assert!(began.elapsed() < patience(), "it does not get on");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
