//! A simulated place, killed at every step.

use std::collections::BTreeMap;

use truegreen_connect::dead_letters::Sent;

use super::entry::{Certainty, KeptLetter};
use super::*;

const PAGE: usize = 3;

/// What lies in a place and at its target, and how it misbehaves.
struct World {
    /// Id and content.
    place: Vec<(String, String)>,
    /// The keys that arrived.
    target: Vec<usize>,
    drops_second_ones: bool,
    /// Of a hundred sendings, so many fail: one half of them having arrived.
    faulty_percent: u32,
    /// Nothing can be removed.
    is_stuck: bool,
    read: usize,
    /// Letters of this reading that are the same in everything.
    counted: usize,
    /// What was shown last.
    batch: Vec<(String, String)>,
    /// As a broker that puts back what a killed reader held only after a while.
    may_hide: bool,
    hidden: Vec<(String, String)>,
    random: fastrand::Rng,
}

/// Counts down to the crash.
struct Crash(Option<usize>);

impl Crash {
    fn now(&mut self) -> bool {
        match &mut self.0 {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

fn order(action: Action, canary: usize) -> Order {
    Order {
        id: "r-1".into(),
        action,
        system: "broker".into(),
        place: "dead".into(),
        by: Person::default(),
        asked: "all".into(),
        canary,
        per_second: None,
        max_failed_percent: 10,
        left_out: Vec::new(),
        left_out_count: 0,
    }
}

/// A selection of these letters, written down.
fn frozen(order: Order, letters: &[(String, String)]) -> Vec<Entry> {
    let mut entries = vec![Entry::Begun(order)];
    for (n, (id, hash)) in letters.iter().enumerate() {
        entries.push(Entry::Chosen(Chosen {
            n,
            letter: id.clone(),
            hash: hash.clone(),
            to: "orders".into(),
            ..Chosen::default()
        }));
    }
    entries.push(Entry::Frozen { letters: letters.len() });
    entries
}

/// Some are the same in everything. Their ids are counted at each reading, as a broker does that gives no better.
fn letters(n: usize) -> Vec<(String, String)> {
    let one = |n: usize| match n % 5 {
        4 => (format!("same-{}", n / 5), "same".into()),
        _ => (format!("id-{n}"), format!("hash-{n}")),
    };
    (0..n).map(one).collect()
}

fn memory(entries: &[Entry]) -> Memory {
    Memory::of(entries.iter().map(|entry| ("2026-01-01T00:00:00Z", entry))).unwrap()
}

impl World {
    fn new(letters: &[(String, String)], drops_second_ones: bool) -> World {
        World {
            place: letters.to_vec(),
            target: Vec::new(),
            drops_second_ones,
            faulty_percent: 0,
            is_stuck: false,
            read: 0,
            counted: 0,
            batch: Vec::new(),
            may_hide: false,
            hidden: Vec::new(),
            random: fastrand::Rng::with_seed(1),
        }
    }

    fn arrive(&mut self, n: usize) -> Sent {
        let is_there = self.target.contains(&n);
        if !(is_there && self.drops_second_ones) {
            self.target.push(n);
        }
        match (self.drops_second_ones, is_there) {
            (true, true) => Sent::Already,
            (true, false) => Sent::Once,
            (false, _) => Sent::AtLeastOnce,
        }
    }

    fn send(&mut self, n: usize) -> Outcome {
        if self.random.u32(0..100) < self.faulty_percent {
            if self.random.u32(0..3) == 0 {
                return Outcome::Refused("the queue is full".into());
            }
            if self.random.bool() {
                self.arrive(n);
            }
            return Outcome::Failed("reset by peer".into());
        }
        Outcome::Sent(self.arrive(n))
    }

    /// Does it. The machine's own memory says which letter is which; the journal is what outlives the crash.
    fn perform(&mut self, effect: &Effect, redrive: &Redrive, journal: &[Entry]) -> Outcome {
        match effect {
            Effect::Open => {
                self.read = 0;
                self.counted = 0;
                self.batch.clear();
                Outcome::Done
            }
            Effect::Read => {
                self.batch = self.place.iter().skip(self.read).take(PAGE).cloned().collect();
                self.read += self.batch.len();
                for letter in self.batch.iter_mut().filter(|letter| letter.1 == "same") {
                    letter.0 = format!("same-{}", self.counted);
                    self.counted += 1;
                }
                let shown = |(id, hash): &(String, String)| Shown { id: id.clone(), hash: hash.clone() };
                Outcome::Shown(self.batch.iter().map(shown).collect())
            }
            Effect::Send { n, .. } => {
                let is_written = journal.contains(&Entry::Sending { n: *n });
                assert!(is_written, "a sending is written down before it is done");
                self.send(*n)
            }
            Effect::Remove { n, slot } => {
                match redrive.memory().action() {
                    Action::Redrive => {
                        let confirmed = |entry: &Entry| matches!(entry, Entry::Confirmed { n: of, .. } if of == n);
                        assert!(journal.iter().any(confirmed), "INV-REDRIVE-1: {n} is removed before it is confirmed");
                        assert!(self.target.contains(n), "INV-REDRIVE-1: {n} is removed and not there");
                    }
                    Action::Discard => {
                        let kept = |entry: &Entry| matches!(entry, Entry::Kept { n: of, .. } if of == n);
                        assert!(journal.iter().any(kept), "{n} is thrown away before it is kept");
                    }
                }
                if self.is_stuck || self.random.u32(0..100) < self.faulty_percent {
                    return Outcome::Failed("not acknowledged".into());
                }
                let wanted = self.batch[*slot].clone();
                let chosen = &redrive.memory().letters[*n].chosen;
                assert_eq!(chosen.hash, wanted.1, "what was chosen, and nothing else");
                let at = self.place.iter().position(|letter| letter.1 == wanted.1).unwrap();
                self.place.remove(at);
                self.read -= 1;
                Outcome::Done
            }
            Effect::Verify => Outcome::Verified(Canary::Proven("the books".into())),
            Effect::Pause(_) => {
                self.place.append(&mut self.hidden);
                Outcome::Done
            }
            Effect::Close | Effect::Record(_) | Effect::Keep { .. } | Effect::Finished => Outcome::Done,
        }
    }
}

/// Runs until the end or the crash; whether it came to an end.
fn run(world: &mut World, journal: &mut Vec<Entry>, crash: &mut Crash) -> bool {
    let mut redrive = Redrive::new(memory(journal));
    if !world.may_hide {
        redrive.place_shows_all();
    }
    if redrive.memory().stopped.is_some() {
        redrive.told(Entry::Resumed { by: Person::default() });
    }
    loop {
        let effect = redrive.next_effect();
        if crash.now() {
            return false;
        }
        let outcome = match &effect {
            Effect::Finished => return true,
            Effect::Record(entries) => {
                for entry in entries {
                    // A write may be torn between any two of its lines.
                    if crash.now() {
                        return false;
                    }
                    journal.push(entry.clone());
                }
                Outcome::Done
            }
            Effect::Keep { n, .. } => {
                journal.push(Entry::Kept { n: *n, kept: KeptLetter::default() });
                Outcome::Done
            }
            effect => world.perform(effect, &redrive, journal),
        };
        if crash.now() {
            return false;
        }
        redrive.heard(outcome);
    }
}

fn check(world: &World, journal: &[Entry], letters: &[(String, String)]) {
    let memory = memory(journal);
    assert!(memory.is_ended, "{:?}", memory.stopped);
    assert!(memory.letters.iter().all(|letter| letter.stage == Stage::Removed), "{:?}", memory.letters);
    let mut arrived: BTreeMap<usize, usize> = BTreeMap::new();
    world.target.iter().for_each(|n| *arrived.entry(*n).or_default() += 1);
    if memory.action() == Action::Redrive {
        assert_eq!(arrived.len(), letters.len(), "0 lost");
    }
    for (n, times) in arrived {
        let counted = memory.letters[n].may_be_doubled;
        assert!(
            times == 1 || (!world.drops_second_ones && counted),
            "{n} is there {times} times, and counted: {counted}"
        );
        assert!(!(world.drops_second_ones && counted), "{n} is called doubled and cannot be");
    }
}

/// Scenario: killed once, or twice, at every step there is. Guarantee: nothing is lost, nothing is removed before it is
/// confirmed, and what may be doubled is counted.
#[test]
fn killed_at_every_step_it_resumes() {
    for (action, canary) in [(Action::Redrive, 0), (Action::Redrive, 2), (Action::Redrive, 9), (Action::Discard, 0)] {
        for drops_second_ones in [true, false] {
            let letters = letters(6);
            let mut points = 0;
            loop {
                let (mut world, mut journal) =
                    (World::new(&letters, drops_second_ones), frozen(order(action, canary), &letters));
                if run(&mut world, &mut journal, &mut Crash(Some(points))) {
                    break;
                }
                let (place, target, before) = (world.place.clone(), world.target.clone(), journal.clone());
                let mut second = 0;
                loop {
                    let mut world =
                        World { place: place.clone(), target: target.clone(), ..World::new(&[], drops_second_ones) };
                    let mut journal = before.clone();
                    let is_over = run(&mut world, &mut journal, &mut Crash(Some(second)));
                    if !is_over {
                        assert!(run(&mut world, &mut journal, &mut Crash(None)));
                    }
                    check(&world, &journal, &letters);
                    assert!(world.place.is_empty());
                    if is_over {
                        break;
                    }
                    // Two thirds of all pairs are enough where there are many.
                    second += if points % 3 == 0 { 1 } else { 7 };
                }
                points += 1;
            }
            assert!(points > 30, "{points} steps");
        }
    }
}

/// Scenario: many letters, some of one id, a faulty system, later arrivals, and crashes at random. The same guarantees, and
/// what came later is left alone.
#[test]
fn killed_at_random_on_a_faulty_system_it_resumes() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let letters = letters(random.usize(1..200));
        let mut world = World::new(&letters, random.bool());
        (world.random, world.may_hide) = (random.fork(), true);
        world.faulty_percent = random.u32(0..20);
        let mut journal = frozen(order(Action::Redrive, random.usize(0..8)), &letters);
        let mut arrivals = 0;
        for turn in 0.. {
            assert!(turn < 2000, "seed {seed} comes to no end");
            let crash = (turn < 40).then(|| random.usize(0..600));
            if turn > 60 {
                world.faulty_percent = 0;
            }
            let is_over = run(&mut world, &mut journal, &mut Crash(crash));
            if is_over && memory(&journal).is_ended {
                break;
            }
            if !is_over && random.u32(0..4) == 0 && !world.place.is_empty() {
                // The broker has not noticed yet that the reader is dead.
                let held = world.place.split_off(world.place.len() / 2);
                world.hidden.extend(held);
            }
            world.place.push((format!("id-{}", random.usize(0..200)), format!("later-{arrivals}")));
            arrivals += 1;
        }
        check(&world, &journal, &letters);
        world.place.append(&mut world.hidden);
        assert_eq!(world.place.len(), arrivals, "seed {seed}: later arrivals are left alone");
    }
}

#[test]
fn a_letter_that_somebody_else_took_is_missing_and_not_lost_by_us() {
    let letters = letters(3);
    let (mut world, mut journal) = (World::new(&letters, true), frozen(order(Action::Redrive, 0), &letters));
    world.place.remove(1);
    assert!(run(&mut world, &mut journal, &mut Crash(None)));
    let memory = memory(&journal);
    assert!(memory.is_ended);
    assert_eq!((memory.count(Stage::Removed), memory.count(Stage::Missing)), (2, 1));
}

/// Scenario: the first few do not have their effect, or nothing tells. Guarantee: nothing else is sent.
#[test]
fn the_rest_waits_for_the_first_few() {
    for (canary, why) in [
        (Canary::Failed("still dead".into()), StopWhy::CanaryFailed),
        (Canary::Undecided("no journey".into()), StopWhy::CanaryWaits),
    ] {
        let letters = letters(10);
        let (mut world, journal) = (World::new(&letters, true), frozen(order(Action::Redrive, 3), &letters));
        let mut redrive = Redrive::new(memory(&journal));
        let mut journal = journal;
        loop {
            let outcome = match redrive.next_effect() {
                Effect::Finished => break,
                Effect::Verify => Outcome::Verified(canary.clone()),
                Effect::Record(entries) => {
                    journal.extend(entries);
                    Outcome::Done
                }
                effect => world.perform(&effect, &redrive, &journal),
            };
            redrive.heard(outcome);
        }
        assert_eq!((world.target.len(), world.place.len()), (3, 7));
        assert_eq!(memory(&journal).stopped.map(|(why, _)| why), Some(why));
    }
}

/// Scenario: the system takes nothing any more. Guarantee: it stops by itself, soon.
#[test]
fn it_stops_by_itself_where_sendings_fail() {
    let letters = letters(100);
    let (mut world, mut journal) = (World::new(&letters, true), frozen(order(Action::Redrive, 0), &letters));
    world.faulty_percent = 100;
    assert!(run(&mut world, &mut journal, &mut Crash(None)));
    let memory = memory(&journal);
    assert_eq!(memory.stopped.as_ref().map(|(why, _)| *why), Some(StopWhy::TooManyFailed));
    let (unsure, refused) = (memory.count(Stage::NotConfirmed), memory.count(Stage::Refused));
    assert!(unsure + refused <= 5 && refused > 0 && world.place.len() == 100, "{unsure} unsure, {refused} refused");
}

/// Scenario: a letter cannot be removed, whichever it is. Guarantee: it stops soon, rather than to send all of them and leave
/// all of them lying there.
#[test]
fn it_stops_by_itself_where_removals_fail() {
    let letters = letters(100);
    let (mut world, mut journal) = (World::new(&letters, true), frozen(order(Action::Redrive, 0), &letters));
    world.is_stuck = true;
    assert!(run(&mut world, &mut journal, &mut Crash(None)));
    let memory = memory(&journal);
    assert_eq!(memory.stopped.as_ref().map(|(why, _)| *why), Some(StopWhy::TooManyFailed));
    assert_eq!((memory.count(Stage::Confirmed), world.place.len()), (5, 100));
}

/// Scenario: a letter is refused, then taken, by a system that drops no second one. Guarantee: it is not called doubled; one
/// whose sending was cut short before is.
#[test]
fn what_was_refused_is_not_there() {
    let refused = Entry::NotConfirmed { n: 0, why: "full".into(), is_refused: true };
    let confirmed = Entry::Confirmed { n: 0, sent: Certainty::AtLeastOnce };
    let sending = Entry::Sending { n: 0 };
    for (facts, stage, may_be_doubled) in [
        (vec![sending.clone(), refused.clone()], Stage::Refused, false),
        (vec![sending.clone(), sending.clone(), refused.clone()], Stage::NotConfirmed, false),
        (vec![sending.clone(), refused.clone(), sending.clone(), confirmed.clone()], Stage::Confirmed, false),
        (vec![sending.clone(), sending.clone(), refused, sending, confirmed], Stage::Confirmed, true),
    ] {
        let mut memory = memory(&frozen(order(Action::Redrive, 0), &letters(1)));
        facts.iter().for_each(|fact| memory.learn("2026-01-01T00:00:00Z", fact).unwrap());
        assert_eq!((memory.letters[0].stage, memory.letters[0].may_be_doubled), (stage, may_be_doubled), "{facts:?}");
    }
}

#[test]
fn an_interruption_stops_before_the_next_letter() {
    let letters = letters(5);
    let mut redrive = Redrive::new(memory(&frozen(order(Action::Redrive, 0), &letters)));
    assert_eq!(redrive.next_effect(), Effect::Open);
    redrive.heard(Outcome::Done);
    redrive.interrupt();
    assert_eq!(redrive.next_effect(), Effect::Close);
    redrive.heard(Outcome::Done);
    assert!(
        matches!(&redrive.next_effect(), Effect::Record(entries) if matches!(entries[..], [Entry::Stopped { why: StopWhy::Interrupted, .. }]))
    );
    redrive.heard(Outcome::Done);
    assert_eq!(redrive.next_effect(), Effect::Finished);
}

/// Scenario: a sending is begun, and the command resumed so much later that the system may have forgotten it. Guarantee: it
/// counts as possibly doubled, though the system drops second ones.
#[test]
fn what_a_system_may_have_forgotten_may_be_doubled() {
    for (sent, later, is_doubtful) in [
        (Certainty::Once, "2026-01-01T00:00:30Z", false),
        (Certainty::Once, "2026-01-01T00:10:00Z", true),
        (Certainty::Already, "2026-01-01T00:10:00Z", false),
        (Certainty::AtLeastOnce, "2026-01-01T00:00:01Z", true),
    ] {
        let mut memory = memory(&frozen(order(Action::Redrive, 0), &letters(1)));
        memory.learn("2026-01-01T00:00:00Z", &Entry::Sending { n: 0 }).unwrap();
        memory.learn(later, &Entry::Sending { n: 0 }).unwrap();
        memory.learn(later, &Entry::Confirmed { n: 0, sent }).unwrap();
        assert_eq!(memory.letters[0].may_be_doubled, is_doubtful, "{sent:?} at {later}");
    }
}

/// Guarantee: a journal that says what cannot be is refused rather than acted on.
#[test]
fn facts_that_contradict_each_other_are_refused() {
    let begun = Entry::Begun(order(Action::Redrive, 0));
    let chosen = |n| Entry::Chosen(Chosen { n, ..Chosen::default() });
    let frozen = |letters| Entry::Frozen { letters };
    for entries in [
        vec![frozen(0)],
        vec![begun.clone(), begun.clone()],
        vec![begun.clone(), chosen(1)],
        vec![begun.clone(), chosen(0), frozen(2)],
        vec![begun.clone(), chosen(0), Entry::Sending { n: 0 }],
        vec![begun.clone(), chosen(0), frozen(1), Entry::Sending { n: 7 }],
        vec![begun.clone(), chosen(0), frozen(1), Entry::Removed { n: 0 }],
    ] {
        let told = Memory::of(entries.iter().map(|entry| ("", entry)));
        assert!(told.is_err(), "{entries:?}");
    }
    // What was never whole was never in force.
    let mut torn = Redrive::new(memory(&[begun, chosen(0)]));
    assert_eq!(torn.next_effect(), Effect::Finished);
    let sure = Certainty::from(Sent::Already);
    assert_eq!(serde_json::to_string(&sure).unwrap(), "\"already\"");
}
