//! Cases in, model out.

use std::collections::BTreeMap;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::calibrate::{Calibrated, Strangers, Trial};
use super::candidates::{Material, candidates};
use super::case::{Case, Cases};
use super::contract::slug;
use super::counts::{Locals, MAX_LOCALS, Outline, Pairs};
use super::gaps::Gaps;
use super::model::{Expectation, Kind, LearnedFlow, Model, NotLearned, Rule, Silences, deadline};
use super::outcome::Outcome;
use super::steps::Course;
use super::tolerance::{RARE, SUPPORT, share};
use super::vocabulary::{ActivityId, Vocabulary};

/// Most flows of one model: the ones with the most cases.
const MAX_FLOWS: usize = 1_000;
/// What takes less than this is not late, however fast it usually is: schedulers and collectors of garbage pause.
const SHORTEST_DELAY: Duration = Duration::from_secs(1);
/// No contract asks for less: a promise is broken by more than a pause.
pub(crate) const SHORTEST_DEADLINE: Duration = Duration::from_secs(5);
/// Share of cases that must show an attribute for it to be their key.
const KEYED: f64 = 0.98;

/// Learns what healthy cases have in common.
pub fn learn(cases: &Cases) -> Model {
    let mut by_root: BTreeMap<Option<ActivityId>, Vec<&Case>> = BTreeMap::new();
    let mut rootless = 0;
    for case in &cases.cases {
        match (cases.plain, case.root) {
            (true, _) => by_root.entry(None).or_default().push(case),
            (false, Some((_, root))) => by_root.entry(Some(root)).or_default().push(case),
            (false, None) => rootless += 1,
        }
    }
    let mut groups: Vec<(Option<ActivityId>, Vec<&Case>)> = by_root.into_iter().collect();
    groups.sort_by_key(|(root, cases)| (std::cmp::Reverse(cases.len()), *root));
    let mut vocabulary = cases.vocabulary.clone();
    vocabulary.learned = true;
    let mut names = HashSet::default();
    let (mut flows, mut not_learned) = (Vec::new(), Vec::new());
    for (root, group) in groups {
        if group.len() < SUPPORT as usize || flows.len() >= MAX_FLOWS {
            not_learned.push(NotLearned { root: root.unwrap_or(ActivityId(0)), cases: group.len() as u32 });
            continue;
        }
        flows.push(flow(root, &group, cases, &vocabulary, &mut names));
    }
    let count = cases.cases.len() as u64;
    let roots = cases.cases.iter().filter_map(|case| case.root).map(|(_, root)| root).collect();
    let sampled = cases.heard.sampled();
    let orphans = usual_orphans(cases);
    Model { vocabulary, plain: cases.plain, cases: count, flows, not_learned, rootless, sampled, orphans, roots }
}

/// Activities whose parents are not seen more often than what is rare: they say nothing of lost spans.
fn usual_orphans(cases: &Cases) -> HashSet<ActivityId, FixedState> {
    let mut all: HashMap<ActivityId, u32, FixedState> = HashMap::default();
    let events =
        cases.cases.iter().flat_map(|case| &case.events).filter(|one| cases.orphans.contains_key(&one.activity));
    events.for_each(|event| *all.entry(event.activity).or_default() += 1);
    let all = |id: &ActivityId| all.get(id).copied().unwrap_or(0);
    cases.orphans.iter().filter(|(id, n)| share(**n, all(id).max(**n)) > RARE).map(|(id, _)| *id).collect()
}

fn flow(
    root: Option<ActivityId>,
    group: &[&Case],
    cases: &Cases,
    vocabulary: &Vocabulary,
    names: &mut HashSet<String, FixedState>,
) -> LearnedFlow {
    let strangers = Strangers::learn(group);
    let by_cases = strangers.by_cases();
    let usual = by_cases.iter().filter(|(_, n)| *n >= SUPPORT).take(MAX_LOCALS);
    let locals = Locals::new(usual.map(|(id, _)| *id).collect());
    let mut pairs = Pairs::new(&locals);
    let mut outline = Outline::default();
    for case in group {
        outline.fill(case, &locals, |_| true);
        pairs.count(&outline, cases.plain);
    }
    let material = Material { cases: group, locals: &locals, pairs: &pairs, vocabulary, plain: cases.plain };
    let silences = Silences::learn(group.iter().copied());
    let trial = Trial { cases: group, locals: &locals, plain: cases.plain, silences: &silences, until: cases.until };
    let mut calibrated = trial.run(candidates(&material), &strangers);
    let kinds = Kind::learn(group);
    time(&mut calibrated.expectations, group, &locals, cases.plain, &kinds);
    let key = if cases.plain { None } else { key(root, group, cases) };
    let course = Course::of(&material, &calibrated.expectations, root);
    let ranks = (0..locals.len() as u16).map(|local| material.rank(local) as u32).collect();
    let Calibrated { expectations, next, rare_below, turns, breaking } = calibrated;
    LearnedFlow {
        name: name(root, vocabulary, names),
        root,
        cases: group.len() as u32,
        breaking,
        key,
        expectations,
        course,
        known: strangers.known(),
        locals,
        next,
        rare_below,
        turns,
        silences,
        kinds,
        ranks,
    }
}

/// Gives each expectation its deadline, and counts what every case owes by kind of case.
fn time(expectations: &mut [Expectation], group: &[&Case], locals: &Locals, plain: bool, kinds: &[Kind]) {
    for expectation in expectations.iter_mut() {
        if matches!(expectation.rule, Rule::Follows { after: None, .. }) {
            expectation.by_kind = vec![(0, 0); kinds.len()];
        }
    }
    let mut gaps = vec![Gaps::default(); expectations.len()];
    let mut outline = Outline::default();
    for case in group {
        outline.fill(case, locals, |_| true);
        let own: Vec<bool> = kinds.iter().map(|kind| kind.is(case)).collect();
        for (expectation, gaps) in expectations.iter_mut().zip(&mut gaps) {
            if !expectation.rule.waits() {
                continue;
            }
            let outcome = expectation.judge(case, &outline, plain);
            if let Outcome::Kept(since, at) = outcome {
                gaps.add(at.since(since));
            }
            for (count, _) in expectation.by_kind.iter_mut().zip(&own).filter(|(_, own)| **own) {
                count.0 += u32::from(outcome != Outcome::Free);
                count.1 += u32::from(outcome.is_broken());
            }
        }
    }
    for (expectation, gaps) in expectations.iter_mut().zip(&gaps) {
        expectation.within = deadline(gaps).max(SHORTEST_DELAY);
        expectation.late = gaps.beyond(expectation.within);
    }
}

/// The attribute that names a case: on its beginning, in more than one service, another value in (nearly) every case.
fn key(root: Option<ActivityId>, group: &[&Case], cases: &Cases) -> Option<Box<str>> {
    #[derive(Default)]
    struct Seen {
        on_root: u32,
        several: u32,
        conflicts: u32,
        values: HashSet<u64, FixedState>,
    }
    let mut seen: HashMap<u16, Seen, FixedState> = HashMap::default();
    for case in group {
        let mut by_name: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        case.names.iter().for_each(|named| by_name.entry(named.attribute).or_default().push(named));
        for (attribute, named) in by_name {
            let Some(first) = named.first() else { continue };
            let seen = seen.entry(attribute).or_default();
            let service = |activity| cases.vocabulary.get(activity).service();
            seen.on_root += u32::from(named.iter().any(|named| Some(named.activity) == root));
            seen.several += u32::from(named.iter().any(|named| service(named.activity) != service(first.activity)));
            seen.conflicts += u32::from(named.iter().any(|named| named.hash != first.hash));
            seen.values.insert(first.hash);
        }
    }
    let all = group.len() as u32;
    let fits = |seen: &Seen| {
        share(seen.on_root, all) >= KEYED
            && share(seen.values.len() as u32, all) >= KEYED
            && share(seen.conflicts, all) <= 1.0 - KEYED
            && share(seen.several, all) >= 0.5
    };
    let mut fitting: Vec<(&Seen, &Box<str>)> = seen
        .iter()
        .filter(|(_, seen)| fits(seen))
        .filter_map(|(id, seen)| Some((seen, cases.names.get(usize::from(*id))?)))
        .collect();
    fitting.sort_by_key(|(seen, name)| (std::cmp::Reverse(seen.several), name.len(), (*name).clone()));
    fitting.first().map(|(_, name)| (*name).clone())
}

fn name(root: Option<ActivityId>, vocabulary: &Vocabulary, names: &mut HashSet<String, FixedState>) -> String {
    let wanted = match root {
        None => "process".to_owned(),
        Some(root) => slug(&vocabulary.full_name(root), '-', "flow"),
    };
    let mut name = wanted.clone();
    let mut n = 1;
    while !names.insert(name.clone()) {
        n += 1;
        name = format!("{wanted}-{n}");
    }
    name
}
