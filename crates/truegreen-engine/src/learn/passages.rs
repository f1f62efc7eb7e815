//! All spans and log records put together to cases.

use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::case::{Case, Cases, Event, MAX_CASE_EVENTS, MAX_NAMES, MAX_TRAITS};
use super::segments::{NONE, Segments};
use super::traces::Traces;
use super::vocabulary::ActivityId;

/// What cases begin with.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) whole: HashSet<ActivityId, FixedState>,
    /// Whatever begins so is a part of another case, if it has its key.
    pub(super) parts: HashSet<ActivityId, FixedState>,
}

impl Traces {
    /// All cases by the time they began.
    pub fn finish(mut self) -> Cases {
        let by_span: HashMap<(u128, u64), u32, FixedState> =
            self.spans.iter().enumerate().map(|(index, seen)| ((seen.trace, seen.span), index as u32)).collect();
        let parents: Vec<u32> = self
            .spans
            .iter()
            .map(|seen| if seen.parent == 0 { NONE } else { *by_span.get(&(seen.trace, seen.parent)).unwrap_or(&NONE) })
            .collect();
        self.note_ways(&parents, &by_span);
        self.note_orphans(&parents);
        let mut segments = Segments::new(&self, &parents, &by_span);
        let homes = segments.homes();
        self.cases.left_out.links += segments.left_out;
        let mut built = Built { cases: Vec::new(), by_home: HashMap::default() };
        for (index, seen) in self.spans.iter().enumerate() {
            let rooted = seen.parent == 0 && !seen.linked;
            built.add(&homes, segments.of_span[index], seen.event, rooted);
        }
        let mut log_segments = Vec::with_capacity(self.logs.len());
        for seen in &self.logs {
            let known = by_span.get(&(seen.trace, seen.span)).map(|index| segments.of_span[*index as usize]);
            let segment = known.unwrap_or_else(|| segments.home_of(seen.trace));
            log_segments.push(segment);
            // Where a trace has no span at all, its first log record is its beginning.
            built.add(&homes, segment, seen.event, segments.is_spanless(segment));
        }
        let segment_of = |place: u32| match place & (1 << 31) {
            0 => segments.of_span[place as usize],
            _ => log_segments[(place & !(1 << 31)) as usize],
        };
        for (place, one) in &self.traits {
            built.each(&homes, segment_of(*place), |case| {
                if case.traits.len() < MAX_TRAITS {
                    case.traits.push(*one);
                }
            });
        }
        for (place, one) in &self.names {
            built.each(&homes, segment_of(*place), |case| {
                if case.names.len() < MAX_NAMES {
                    case.names.push(*one);
                }
            });
        }
        for (place, text) in &self.texts {
            built.each(&homes, segment_of(*place), |case| {
                if case.key.is_empty() {
                    case.key = text.clone();
                }
            });
        }
        built.join(&self.roots);
        let traces = segments.traces;
        let mut cases = self.cases;
        for (home, index) in &built.by_home {
            let case = &mut built.cases[*index as usize];
            if case.key.is_empty() {
                let trace = traces.get(*home as usize).copied().unwrap_or_default();
                case.key = format!("{trace:032x}").into();
            }
        }
        built.cases.retain(|case| !case.events.is_empty());
        let before = built.cases.len();
        built.cases.retain(|case| case.events.len() <= MAX_CASE_EVENTS);
        cases.left_out.long_cases = (before - built.cases.len()) as u64;
        for case in &mut built.cases {
            case.events.sort_by_key(|event| (event.at, event.end, event.activity));
        }
        built.cases.sort_by(|a, b| (a.entered_at(), &a.key).cmp(&(b.entered_at(), &b.key)));
        cases.cases = built.cases;
        cases.heard.finish();
        cases
    }

    /// Spans whose parent never came: whoever it is of loses spans.
    fn note_orphans(&mut self, parents: &[u32]) {
        let Cases { vocabulary, heard, orphans, .. } = &mut self.cases;
        for (seen, _) in self.spans.iter().zip(parents).filter(|(seen, parent)| seen.parent != 0 && **parent == NONE) {
            let activity = seen.event.activity;
            *orphans.entry(activity).or_default() += 1;
            if !self.usual_orphans.contains(&activity) {
                let above = vocabulary.led_by(activity).iter().map(|above| vocabulary.get(*above).service());
                above.collect::<BTreeSet<_>>().into_iter().for_each(|service| heard.orphaned(service, seen.event.at));
            }
        }
    }

    /// Which activity leads to which.
    fn note_ways(&mut self, parents: &[u32], by_span: &HashMap<(u128, u64), u32, FixedState>) {
        let vocabulary = &mut self.cases.vocabulary;
        for (seen, parent) in self.spans.iter().zip(parents) {
            if let Some(parent) = self.spans.get(*parent as usize) {
                vocabulary.leads(parent.event.activity, seen.event.activity);
            }
        }
        for (index, trace, span) in &self.links {
            let sender = by_span.get(&(*trace, *span)).and_then(|sender| self.spans.get(*sender as usize));
            if let (Some(sender), Some(seen)) = (sender, self.spans.get(*index as usize)) {
                vocabulary.leads(sender.event.activity, seen.event.activity);
            }
        }
        for seen in &self.logs {
            let around = by_span.get(&(seen.trace, seen.span)).and_then(|around| self.spans.get(*around as usize));
            if let Some(around) = around {
                vocabulary.leads(around.event.activity, seen.event.activity);
            }
        }
    }
}

struct Built {
    cases: Vec<Case>,
    by_home: HashMap<u32, u32, FixedState>,
}

impl Built {
    fn add(&mut self, homes: &[Vec<u32>], segment: u32, event: Event, rooted: bool) {
        let Some(ends) = homes.get(segment as usize) else { return };
        for home in ends {
            let next = self.cases.len() as u32;
            let index = *self.by_home.entry(*home).or_insert(next);
            if index == next {
                self.cases.push(Case::default());
            }
            let case = &mut self.cases[index as usize];
            if rooted && segment == *home && case.root.is_none_or(|(at, _)| event.at < at) {
                case.root = Some((event.at, event.activity));
            }
            // One more than is taken, so that it shows that there were too many.
            if case.events.len() <= MAX_CASE_EVENTS {
                case.events.push(event);
            }
        }
    }

    /// Adds cases that begin as none does to the one whose key they carry, so that a context which was not handed on
    /// loses nothing that its key finds.
    fn join(&mut self, roots: &Roots) {
        let is_whole = |case: &Case| case.root.is_some_and(|(_, root)| roots.whole.contains(&root));
        let is_part = |case: &Case| case.root.is_none_or(|(_, root)| roots.parts.contains(&root));
        let mut whole: HashMap<Box<str>, usize, FixedState> = HashMap::default();
        for (index, case) in self.cases.iter().enumerate().filter(|(_, case)| !case.key.is_empty() && is_whole(case)) {
            whole.entry(case.key.clone()).or_insert(index);
        }
        for index in 0..self.cases.len() {
            let part = &self.cases[index];
            if part.key.is_empty() || !is_part(part) {
                continue;
            }
            let Some(to) = whole.get(&part.key).copied() else { continue };
            let part = std::mem::take(&mut self.cases[index]);
            let case = &mut self.cases[to];
            let room = (MAX_CASE_EVENTS + 1).saturating_sub(case.events.len());
            case.events.extend(part.events.into_iter().take(room));
            case.traits.extend(part.traits.into_iter().take(MAX_TRAITS));
        }
    }

    fn each(&mut self, homes: &[Vec<u32>], segment: u32, mut change: impl FnMut(&mut Case)) {
        for home in homes.get(segment as usize).into_iter().flatten() {
            if let Some(index) = self.by_home.get(home) {
                change(&mut self.cases[*index as usize]);
            }
        }
    }
}
