//! What might be expected of the cases of one flow: whatever no more than the tolerated noise speaks against.

use std::time::Duration;

use super::case::Case;
use super::counts::{Locals, Outline, Pairs, Shown};
use super::explain::{Answer, Values};
use super::model::{Condition, Expectation, Rule};
use super::tolerance::{NOISE, RARE, SUPPORT, share};
use super::vocabulary::{ActivityId, Vocabulary};

/// Most expectations of one flow.
const MAX_EXPECTATIONS: usize = 2_000;
/// Most of them that count one activity against another.
const MAX_BALANCES: usize = 500;
/// Most ways out of one choice.
const MAX_CHOICES: usize = 6;
/// Most activities whose absence is to be explained.
const MAX_EXPLAINED: usize = 64;
/// Cases that are asked what explains it, spread over all.
const MAX_SAMPLE: usize = 20_000;
/// After so many others each.
const ASKED_AFTER: usize = 3;
/// Two activities that should have met so often by chance, and never did, exclude each other.
const MEETINGS: f64 = 10.0;

/// The cases of one flow, as everything that counts them needs them.
pub(crate) struct Material<'a> {
    pub(crate) cases: &'a [&'a Case],
    pub(crate) locals: &'a Locals,
    pub(crate) pairs: &'a Pairs,
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) plain: bool,
}

pub(crate) fn candidates(material: &Material<'_>) -> Vec<Expectation> {
    let mut rules = Vec::new();
    let all = material.cases.len() as u32;
    let of = |kept: u32, n: u32| n >= SUPPORT && f64::from(n - kept.min(n)) <= NOISE * f64::from(n);
    let width = material.locals.len() as u16;
    let pairs = material.pairs;
    let count = |local: u16| pairs.done.get(usize::from(local)).copied().unwrap_or(0);
    let there = |local: u16| pairs.present.get(usize::from(local)).copied().unwrap_or(0);

    let always: Vec<u16> = (0..width).filter(|local| of(count(*local), all)).collect();
    let ways_out = ways_out(material, &always);
    rules.extend(always.iter().zip(ways_out).map(|(local, mut ways_out)| {
        ways_out.insert(0, *local);
        (Rule::Follows { after: None, any_of: ways_out }, None)
    }));
    let mut rest: Vec<u16> = (0..width).filter(|local| !always.contains(local) && there(*local) >= SUPPORT).collect();
    let explained = explained(material, &always, &rest);
    rest.retain(|local| !explained.iter().any(|(after, one, _)| after.is_none() && one == local));
    rules.extend(
        explained
            .into_iter()
            .map(|(after, local, condition)| (Rule::Follows { after, any_of: vec![local] }, Some(condition))),
    );
    rules.extend(choices(material, &rest, &of).into_iter().map(|any_of| (Rule::Follows { after: None, any_of }, None)));

    let mut follows: Vec<(u16, u16)> = Vec::new();
    let mut precedes: Vec<(u16, u16)> = Vec::new();
    for a in (0..width).filter(|a| there(*a) >= SUPPORT) {
        for b in (0..width).filter(|b| *b != a) {
            let implied = !material.plain && (always.contains(&b) || always.contains(&a));
            if !implied && of(pairs.follows(a, b), there(a)) {
                follows.push((a, b));
            }
            if material.plain && of(pairs.precedes(b, a), there(a)) {
                precedes.push((b, a));
            }
        }
    }
    if material.plain {
        follows = without_detours(&follows, width);
        precedes = without_detours(&precedes, width);
    }
    rules.extend(follows.into_iter().map(|(a, b)| (Rule::Follows { after: Some(a), any_of: vec![b] }, None)));
    rules.extend(precedes.into_iter().map(|(first, then)| (Rule::Precedes { first, then }, None)));
    if material.plain {
        rules.extend(exclusions(material, all).into_iter().map(|rule| (rule, None)));
    }
    rules.extend(repeats(material).into_iter().map(|rule| (rule, None)));
    rules.extend(balances(material, &of).into_iter().map(|rule| (rule, None)));
    rules.push((Rule::Known, None));
    rules.truncate(MAX_EXPECTATIONS);
    let whole = |(rule, condition)| Expectation {
        rule,
        condition,
        cases: 0,
        broken: 0,
        within: Duration::ZERO,
        late: 0,
        by_kind: Vec::new(),
    };
    rules.into_iter().map(whole).collect()
}

/// What only some cases show and one attribute explains: among all of them (after nothing), or among those that show
/// some other activity (after that).
fn explained(material: &Material<'_>, always: &[u16], rest: &[u16]) -> Vec<(Option<u16>, u16, Condition)> {
    let on: Vec<ActivityId> = always.iter().map(|local| material.id(*local)).collect();
    let questions = questions(material, rest);
    let sample: Vec<&Case> = material.cases.iter().step_by(material.cases.len() / MAX_SAMPLE + 1).copied().collect();
    let values = Values::of(&sample, &on, material.vocabulary);
    let mut answers: Vec<Vec<Answer>> = questions.iter().map(|_| Vec::with_capacity(sample.len())).collect();
    let mut outline = Outline::default();
    for case in &sample {
        outline.fill(case, material.locals, |_| true);
        for ((after, step), answers) in questions.iter().zip(&mut answers) {
            let since = match after {
                None => Some(None),
                Some(after) => outline.shown(*after).map(|shown| Some(shown.last)),
            };
            let is_later =
                |shown: &Shown, since: Option<u32>| !material.plain || since.is_none_or(|at| shown.last > at);
            let shows = |since| outline.shown(*step).is_some_and(|shown| shown.done > 0 && is_later(shown, since));
            answers.push(match since {
                None => Answer::NotAsked,
                Some(since) if shows(since) => Answer::With,
                Some(_) => Answer::Without,
            });
        }
    }
    let mut found: Vec<(Option<u16>, u16, Condition)> = Vec::new();
    for ((after, step), answers) in questions.into_iter().zip(answers) {
        // What explains it among all cases needs no second explanation.
        if found.iter().any(|(known, of, _)| *of == step && known.is_none()) {
            continue;
        }
        found.extend(values.explain(&answers).map(|condition| (after, step, condition)));
    }
    found
}

/// For each activity that some cases show: may an attribute explain it among all, or after the few that it follows most?
fn questions(material: &Material<'_>, rest: &[u16]) -> Vec<(Option<u16>, u16)> {
    let pairs = material.pairs;
    let all = material.cases.len() as u32;
    let count = |local: u16| pairs.done.get(usize::from(local)).copied().unwrap_or(0);
    // As rare as noise is noise.
    let is_some = |local: &u16| count(*local) >= SUPPORT && share(count(*local), all) > NOISE;
    let mut steps: Vec<u16> = rest.iter().copied().filter(is_some).collect();
    steps.sort_by_key(|local| (std::cmp::Reverse(count(*local)), *local));
    steps.truncate(MAX_EXPLAINED);
    let mut questions: Vec<(Option<u16>, u16)> = steps.iter().map(|step| (None, *step)).collect();
    for step in steps {
        let followed = |after: u16| {
            let n = pairs.present.get(usize::from(after)).copied().unwrap_or(0);
            (share(pairs.follows(after, step), n), n)
        };
        let open = |after: &u16| {
            let (share, n) = followed(*after);
            *after != step && n >= SUPPORT && n < all && (0.3..1.0 - NOISE).contains(&share)
        };
        let mut after: Vec<u16> = (0..material.locals.len() as u16).filter(open).collect();
        after.sort_by(|a, b| followed(*b).0.total_cmp(&followed(*a).0).then(followed(*b).1.cmp(&followed(*a).1)));
        questions.extend(after.into_iter().take(ASKED_AFTER).map(|after| (Some(after), step)));
    }
    questions
}

/// For each activity that nearly all cases show: what those show that do not, and none else.
fn ways_out(material: &Material<'_>, always: &[u16]) -> Vec<Vec<u16>> {
    let pairs = material.pairs;
    let all = material.cases.len() as u32;
    let of = |one: u16| {
        let without = all - pairs.done.get(usize::from(one)).copied().unwrap_or(0).min(all);
        let mut ways_out: Vec<u16> = (0..material.locals.len() as u16)
            .filter(|other| *other != one && !always.contains(other))
            .filter(|other| {
                let n = pairs.done.get(usize::from(*other)).copied().unwrap_or(0);
                n >= SUPPORT && n <= without && share(pairs.both(one, *other), n) <= NOISE
            })
            .collect();
        ways_out.sort_by_key(|other| std::cmp::Reverse(pairs.done.get(usize::from(*other)).copied().unwrap_or(0)));
        ways_out.truncate(MAX_CHOICES);
        ways_out
    };
    always.iter().map(|one| of(*one)).collect()
}

/// Activities of which (nearly) every case shows one, and hardly any shows two: approved or rejected.
fn choices(material: &Material<'_>, rest: &[u16], of: &impl Fn(u32, u32) -> bool) -> Vec<Vec<u16>> {
    let all = material.cases.len() as u32;
    let pairs = material.pairs;
    let count = |local: u16| pairs.done.get(usize::from(local)).copied().unwrap_or(0);
    let mut left: Vec<u16> = rest.to_vec();
    left.sort_by_key(|local| (std::cmp::Reverse(count(*local)), *local));
    let mut choices = Vec::new();
    while let Some(first) = left.first().copied() {
        left.remove(0);
        let mut choice = vec![first];
        let mut sum = count(first);
        for other in left.clone() {
            let met = choice.iter().map(|one| pairs.both(*one, other)).max().unwrap_or(0);
            if choice.len() < MAX_CHOICES && sum < all && share(met, count(other).max(1)) <= NOISE {
                choice.push(other);
                sum += count(other);
            }
        }
        // What refuses may stand against each step of the way that it cuts short.
        if choice.len() > 1 && of(sum.min(all), all) {
            choices.push(choice);
        }
    }
    choices
}

/// Who is reached over another anyway needs no arrow: what is owed after that one says it.
fn without_detours(arrows: &[(u16, u16)], width: u16) -> Vec<(u16, u16)> {
    let words = usize::from(width).div_ceil(64);
    let mut to = vec![vec![0u64; words]; usize::from(width)];
    let bit = |local: u16| (usize::from(local) / 64, 1u64 << (local % 64));
    for (a, b) in arrows {
        let (word, mask) = bit(*b);
        to[usize::from(*a)][word] |= mask;
    }
    let reaches = |a: u16, b: u16| to[usize::from(a)][bit(b).0] & bit(b).1 != 0;
    let needed = |(a, b): &(u16, u16)| !(0..width).any(|over| reaches(*a, over) && reaches(over, *b));
    arrows.iter().copied().filter(needed).collect()
}

/// Never both, though by chance they would have met often.
fn exclusions(material: &Material<'_>, all: u32) -> Vec<Rule> {
    let pairs = material.pairs;
    let width = material.locals.len() as u16;
    let mut rules = Vec::new();
    for one in 0..width {
        for other in one + 1..width {
            let (a, b) = (pairs.present[usize::from(one)], pairs.present[usize::from(other)]);
            let by_chance = f64::from(a) * f64::from(b) / f64::from(all.max(1));
            if by_chance >= MEETINGS && f64::from(pairs.both(one, other)) <= RARE * f64::from(a.min(b)) {
                let (one, other) = if a <= b { (one, other) } else { (other, one) };
                rules.push(Rule::Excludes { one, other });
            }
        }
    }
    rules
}

/// For each A a B, of activities that come more than once. Of several that are as often as each other a chain is enough.
fn balances(material: &Material<'_>, of: &impl Fn(u32, u32) -> bool) -> Vec<Rule> {
    let pairs = material.pairs;
    let width = material.locals.len() as u16;
    let mut to: Vec<Vec<u16>> = vec![Vec::new(); usize::from(width)];
    let reaches = |to: &[Vec<u16>], from: u16, wanted: u16| {
        let mut way = vec![from];
        let mut at = 0;
        while let Some(here) = way.get(at).copied() {
            for next in &to[usize::from(here)] {
                if *next == wanted {
                    return true;
                }
                if !way.contains(next) {
                    way.push(*next);
                }
            }
            at += 1;
        }
        false
    };
    let mut rules = Vec::new();
    for a in (0..width).filter(|a| pairs.several[usize::from(*a)] >= SUPPORT) {
        for b in (0..width).filter(|b| *b != a) {
            let n = pairs.present[usize::from(a)];
            if of(pairs.as_often(a, b), n) && rules.len() < MAX_BALANCES && !reaches(&to, a, b) {
                to[usize::from(a)].push(b);
                rules.push(Rule::AsOften { activity: b, of: a });
            }
        }
    }
    rules
}

/// How often an activity may come in one case: the least and the most that are not rare.
fn repeats(material: &Material<'_>) -> Vec<Rule> {
    const MOST: usize = 32;
    let width = material.locals.len();
    // Cases by how often they show it; more often than that is told apart no more.
    let mut by_times = vec![[0u32; MOST + 1]; width];
    let mut outline = Outline::default();
    for case in material.cases {
        outline.fill(case, material.locals, |_| true);
        for local in &outline.present {
            let times = outline.shown(*local).map_or(0, |shown| shown.times as usize);
            by_times[usize::from(*local)][times.min(MOST)] += 1;
        }
    }
    let mut rules = Vec::new();
    for (local, counts) in by_times.iter().enumerate() {
        let n: u32 = counts.iter().sum();
        if n < SUPPORT {
            continue;
        }
        let activity = local as u16;
        let rare = |cases: u32| f64::from(cases) <= RARE * f64::from(n);
        let mut seen = 0;
        let mut upto = [0; MOST + 1];
        for (upto, count) in upto.iter_mut().zip(counts) {
            seen += count;
            *upto = seen;
        }
        if let Some(most) = upto.iter().position(|upto| rare(n - upto)).filter(|most| *most < MOST) {
            rules.push(Rule::AtMost { activity, times: most as u32 });
        }
        // The first that is not rare.
        if let Some(least) = upto.iter().position(|upto| !rare(*upto)).filter(|least| *least > 1) {
            rules.push(Rule::AtLeast { activity, times: least as u32 });
        }
    }
    rules
}
