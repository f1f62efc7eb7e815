//! Which of the candidates are expectations: so many that, each part of the cases being judged by what the others
//! teach, no more break one than the tolerated noise and the share that may be misjudged.

use std::collections::BTreeMap;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::case::{Case, Event};
use super::counts::{FOLDS, Locals, Outline, fold};
use super::model::{Expectation, Rule, Silences, Turn};
use super::next::{END, Next, ways};
use super::tolerance::{ALIKE, MISJUDGED, MOST_NOISE, NOISE, RARE, share, upper};
use super::vocabulary::ActivityId;
use crate::matcher::key::mix;
use truegreen_model::time::Timestamp;

/// What is left after it.
pub(crate) struct Calibrated {
    pub(crate) expectations: Vec<Expectation>,
    pub(crate) next: Next,
    pub(crate) rare_below: f64,
    pub(crate) turns: BTreeMap<u32, Turn>,
    /// Share of cases that break one of the expectations.
    pub(crate) breaking: f64,
}

pub(crate) struct Trial<'a> {
    pub(crate) cases: &'a [&'a Case],
    pub(crate) locals: &'a Locals,
    pub(crate) plain: bool,
    pub(crate) silences: &'a Silences,
    pub(crate) until: Timestamp,
}

impl Trial<'_> {
    pub(crate) fn run(&self, candidates: Vec<Expectation>, strangers: &Strangers) -> Calibrated {
        let counts = self.counts(&candidates, strangers);
        let strengths = |index: usize, without: Option<usize>| {
            let [n, k] = counts.get(index).map_or([0; 2], |folds| sum(folds, without));
            upper(k, n)
        };
        let mut by_rules = vec![1.0f64; self.cases.len()];
        self.each(&candidates, strangers, |place, fold, index, broken| {
            if broken {
                by_rules[place] = by_rules[place].min(strengths(index, Some(fold)));
            }
        });
        let next = if self.plain { self.next() } else { Next::default() };
        let by_ways: Vec<(f64, usize)> = self.cases.iter().map(|case| self.rarest(&next, case)).collect();
        let rarities: Vec<f64> = by_ways.iter().map(|(rarity, _)| *rarity).collect();
        let ill = self.ill(&by_rules, &rarities);
        let all = (self.cases.len() - ill.iter().filter(|ill| **ill).count()) as f64;
        // What a few cases more or less would change is not promised.
        let surely = |most: f64| (most - most.sqrt()).max(0.0) as usize;
        let limit = threshold(&by_rules, &ill, if self.plain { surely(NOISE * all) } else { (NOISE * all) as usize });
        let flagged: Vec<bool> = by_rules.iter().map(|strength| *strength < limit).collect();
        let most = (NOISE + MISJUDGED) * all;
        let broken = flagged.iter().zip(&ill).filter(|(flagged, ill)| **flagged && !**ill).count();
        let room = surely(most).saturating_sub(broken);
        let told: Vec<bool> = flagged.iter().zip(&ill).map(|(flagged, ill)| *flagged || *ill).collect();
        let rare_below = threshold(&rarities, &told, room);
        let turns = self.turns(&by_ways, rare_below);

        let broken = flagged.iter().zip(&rarities).filter(|(flagged, rarity)| **flagged || **rarity < rare_below);
        let breaking = share(broken.count() as u32, self.cases.len() as u32);
        let mut expectations = Vec::new();
        for (index, mut expectation) in candidates.into_iter().enumerate() {
            let [n, k] = counts.get(index).map_or([0; 2], |folds| sum(folds, None));
            // As much as the parts knew when the limit was found.
            let known = |count: u32| count - count / FOLDS as u32;
            if n > 0 && upper(known(k), known(n)) < limit {
                expectation.cases = n;
                expectation.broken = k;
                expectations.push(expectation);
            }
        }
        Calibrated { expectations, next, rare_below, turns, breaking }
    }

    /// Cases that are noise beyond doubt, where there are more than is always allowed for: two witnesses that know nothing
    /// of each other, an expectation and a rare way on, accuse them, and no others went their whole way. Only where the
    /// two mostly accuse the same ones: in a log in which every case is different they do not.
    fn ill(&self, by_rules: &[f64], rarities: &[f64]) -> Vec<bool> {
        let none = vec![false; self.cases.len()];
        if !self.plain {
            return none;
        }
        let mut alike: HashMap<u64, u32, FixedState> = HashMap::default();
        let whole: Vec<u64> = self.cases.iter().map(|case| course(case)).collect();
        whole.iter().for_each(|way| *alike.entry(*way).or_default() += 1);
        let by_either = by_rules.iter().zip(rarities).filter(|(rule, way)| **rule < 1.0 || **way < 1.0).count();
        let by_both: Vec<bool> = by_rules.iter().zip(rarities).map(|(rule, way)| *rule < 1.0 && *way < 1.0).collect();
        let n = by_both.iter().filter(|both| **both).count();
        if n < by_either.div_ceil(2) || n as f64 > MOST_NOISE * self.cases.len() as f64 {
            return none;
        }
        by_both.iter().zip(&whole).map(|(both, way)| *both && alike.get(way).is_none_or(|n| *n <= ALIKE)).collect()
    }

    /// Of each candidate, in each part: cases it is expected of, and cases that break it.
    fn counts(&self, candidates: &[Expectation], strangers: &Strangers) -> Vec<[[u32; 2]; FOLDS]> {
        let mut counts = vec![[[0u32; 2]; FOLDS]; candidates.len()];
        self.each(candidates, strangers, |_, fold, index, broken| {
            let count = &mut counts[index][fold];
            count[0] += 1;
            count[1] += u32::from(broken);
        });
        counts
    }

    /// Every case with every candidate that is expected of it: its place, its part, the candidate, whether it broke it.
    fn each(&self, candidates: &[Expectation], strangers: &Strangers, mut tell: impl FnMut(usize, usize, usize, bool)) {
        let mut outline = Outline::default();
        let by_trigger = ByTrigger::new(candidates, self.locals.len());
        for (place, case) in self.cases.iter().enumerate() {
            let fold = fold(case);
            // In its own part a case is judged as if its part had never been: what only that part has is strange.
            outline.fill(case, self.locals, |event| strangers.known_elsewhere(event, fold, self.plain));
            for index in by_trigger.of(&outline) {
                let Some(expectation) = candidates.get(index) else { continue };
                match expectation.judge(case, &outline, self.plain) {
                    super::outcome::Outcome::Free => {}
                    // Still running when the recording ends: it may yet come.
                    outcome if outcome.is_broken() && self.is_open(case, expectation) => {}
                    outcome => tell(place, fold, index, outcome.is_broken()),
                }
            }
        }
    }

    fn is_open(&self, case: &Case, expectation: &Expectation) -> bool {
        expectation.rule.waits() && !self.is_over(case)
    }

    fn is_over(&self, case: &Case) -> bool {
        let silence = case.events.last().map_or(Duration::ZERO, |last| self.silences.after(last.activity));
        silence.is_zero() || case.last_at() + silence < self.until
    }

    fn way(&self, case: &Case) -> Vec<u32> {
        ways(case.events.iter().map(|event| event.activity), self.is_over(case))
    }

    fn next(&self) -> Next {
        let mut next = Next::default();
        for case in self.cases {
            next.learn(&self.way(case), fold(case));
        }
        next
    }

    /// The rarest way on of a case as the other parts see it, and where on its way.
    fn rarest(&self, next: &Next, case: &Case) -> (f64, usize) {
        if !self.plain {
            return (1.0, 0);
        }
        let way = self.way(case);
        let fold = fold(case);
        let mut rarest = (1.0, 0);
        for at in 1..way.len() {
            if let Some(rarity) = next.surprise(&way, at, Some(fold))
                && rarity < rarest.0
            {
                rarest = (rarity, at);
            }
        }
        rarest
    }

    fn turns(&self, by_ways: &[(f64, usize)], rare_below: f64) -> BTreeMap<u32, Turn> {
        let mut turns: BTreeMap<u32, Turn> = BTreeMap::new();
        if !self.plain {
            return turns;
        }
        let mut followers: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for (case, (rarity, at)) in self.cases.iter().zip(by_ways) {
            let way = self.way(case);
            let mut before: Vec<u32> = Vec::with_capacity(way.len());
            for pair in way.windows(2) {
                if let [from, to] = pair {
                    *followers.entry((*from, *to)).or_default() += 1;
                    before.push(*from);
                }
            }
            before.sort_unstable();
            before.dedup();
            before.iter().for_each(|from| turns.entry(*from).or_default().cases += 1);
            if *rarity < rare_below
                && let Some(from) = at.checked_sub(1).and_then(|before| way.get(before))
            {
                turns.entry(*from).or_default().broken += 1;
            }
        }
        let mut most: BTreeMap<u32, u32> = BTreeMap::new();
        for ((from, to), count) in followers {
            let best = most.entry(from).or_default();
            if count > *best
                && let Some(turn) = turns.get_mut(&from)
            {
                *best = count;
                turn.usual = (to != END).then_some(to);
            }
        }
        turns
    }
}

fn sum(folds: &[[u32; 2]; FOLDS], without: Option<usize>) -> [u32; 2] {
    let mut sum = [0; 2];
    for (fold, count) in folds.iter().enumerate() {
        if Some(fold) != without {
            sum[0] += count[0];
            sum[1] += count[1];
        }
    }
    sum
}

/// All activities of a case in their order, as a number.
fn course(case: &Case) -> u64 {
    case.events.iter().fold(0, |way, event| mix(way, u64::from(event.activity.0) + 1))
}

/// The highest strength below which, of those that are not told already, no more cases lie than there is room for.
fn threshold(strengths: &[f64], told: &[bool], room: usize) -> f64 {
    let mut more: Vec<f64> = strengths.iter().zip(told).filter(|(_, told)| !**told).map(|(s, _)| *s).collect();
    more.sort_by(f64::total_cmp);
    // Everything below the first that there is no room for.
    more.get(room).copied().unwrap_or(1.0)
}

/// In how many cases of each part an activity was, with and without a failure.
#[derive(Default)]
pub(crate) struct Strangers {
    counts: HashMap<(ActivityId, bool), [u32; FOLDS], FixedState>,
    cases: [u32; FOLDS],
}

impl Strangers {
    pub(crate) fn learn(cases: &[&Case]) -> Strangers {
        let mut strangers = Strangers::default();
        for case in cases {
            let fold = fold(case);
            strangers.cases[fold] += 1;
            let mut seen: Vec<(ActivityId, bool)> = case.events.iter().map(|one| (one.activity, one.failed)).collect();
            seen.sort_unstable();
            seen.dedup();
            for one in seen {
                strangers.counts.entry(one).or_default()[fold] += 1;
            }
        }
        strangers
    }

    fn known_elsewhere(&self, event: &Event, fold: usize, plain: bool) -> bool {
        let without = |counts: &[u32; FOLDS]| counts.iter().sum::<u32>() - counts[fold];
        let seen = self.counts.get(&(event.activity, event.failed)).map_or(0, without);
        is_known(event.failed, plain, seen, without(&self.cases))
    }

    /// What is known from all parts together.
    pub(crate) fn known(&self) -> Known {
        let all: u32 = self.cases.iter().sum();
        let known =
            self.counts.iter().filter(|((_, failed), counts)| is_known(*failed, true, counts.iter().sum(), all));
        Known { seen: known.map(|(one, _)| *one).collect() }
    }

    /// Activities by the number of cases that show them, the most first.
    pub(crate) fn by_cases(&self) -> Vec<(ActivityId, u32)> {
        let mut all: BTreeMap<ActivityId, u32> = BTreeMap::new();
        for ((id, _), folds) in &self.counts {
            let count = all.entry(*id).or_default();
            *count = (*count).max(folds.iter().sum());
        }
        let mut all: Vec<(ActivityId, u32)> = all.into_iter().collect();
        all.sort_by_key(|(id, n)| (std::cmp::Reverse(*n), *id));
        all
    }
}

/// A failure is known only where it is no rare one; what succeeds, and was never seen, is new in a plain event log, and in
/// telemetry no more than the next release.
fn is_known(failed: bool, plain: bool, seen: u32, cases: u32) -> bool {
    match (failed, plain) {
        (true, _) => f64::from(seen) > RARE * f64::from(cases),
        (false, true) => seen > 0,
        (false, false) => true,
    }
}

/// What cases of a flow are known to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    seen: HashSet<(ActivityId, bool), FixedState>,
}

impl Known {
    pub(crate) fn knows(&self, event: &Event, plain: bool) -> bool {
        (!plain && !event.failed) || self.seen.contains(&(event.activity, event.failed))
    }
}

/// The expectations that a case can keep or break, by the activities that it shows.
#[derive(Debug)]
pub(crate) struct ByTrigger {
    always: Vec<u32>,
    by_activity: Vec<Vec<u32>>,
}

impl ByTrigger {
    pub(crate) fn new(expectations: &[Expectation], width: usize) -> ByTrigger {
        let mut by_trigger = ByTrigger { always: Vec::new(), by_activity: vec![Vec::new(); width] };
        for (index, expectation) in expectations.iter().enumerate() {
            let trigger = match &expectation.rule {
                Rule::Follows { after: None, .. } | Rule::Known => None,
                Rule::Follows { after: Some(local), .. } => Some(*local),
                Rule::Precedes { then, .. } => Some(*then),
                Rule::AtMost { activity, .. } | Rule::AtLeast { activity, .. } => Some(*activity),
                Rule::AsOften { of, .. } => Some(*of),
                Rule::Excludes { one, .. } => Some(*one),
            };
            let list = trigger.and_then(|local| by_trigger.by_activity.get_mut(usize::from(local)));
            list.unwrap_or(&mut by_trigger.always).push(index as u32);
        }
        by_trigger
    }

    pub(crate) fn of<'a>(&'a self, outline: &'a Outline) -> impl Iterator<Item = usize> + 'a {
        let shown = outline.present.iter().filter_map(|local| self.by_activity.get(usize::from(*local))).flatten();
        self.always.iter().chain(shown).map(|index| *index as usize)
    }
}
