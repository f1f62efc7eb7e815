//! What was learned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::calibrate::Known;
use super::case::Case;
use super::counts::Locals;
use super::gaps::Gaps;
use super::next::Next;
use super::steps::Course;
use super::tolerance::DEADLINE_FACTOR;
use super::vocabulary::{ActivityId, Vocabulary};

/// All flows that were learned, and what was not.
#[derive(Clone, Debug)]
pub struct Model {
    /// The names in it.
    pub vocabulary: Vocabulary,
    /// Of a plain event log, rather than of telemetry.
    pub plain: bool,
    /// Cases that were learned from.
    pub cases: u64,
    /// The largest first.
    pub flows: Vec<LearnedFlow>,
    /// What cases began with that were too few.
    pub not_learned: Vec<NotLearned>,
    /// Cases whose beginning was not seen.
    pub rootless: u64,
    /// Services that kept only a sample of their traces.
    pub(crate) sampled: BTreeSet<Box<str>>,
    /// Activities whose parents are usually not seen.
    pub(crate) orphans: HashSet<ActivityId, FixedState>,
    /// Whatever cases began with.
    pub(crate) roots: HashSet<ActivityId, FixedState>,
}

/// Cases that nothing is expected of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotLearned {
    /// What they begin with.
    pub root: ActivityId,
    /// How many they were.
    pub cases: u32,
}

/// One root operation, or the one process of a plain event log.
#[derive(Clone, Debug)]
pub struct LearnedFlow {
    /// As a contract would call it; unique in the model.
    pub name: String,
    /// What its cases begin with; `None` for a plain event log.
    pub root: Option<ActivityId>,
    /// Learned from.
    pub cases: u32,
    /// Share of these that breaks one of the expectations: the noise in what was learned from.
    pub breaking: f64,
    /// The attribute that names a case in several services, where there is one.
    pub key: Option<Box<str>>,
    /// What is expected.
    pub expectations: Vec<Expectation>,
    /// What a person would write of it.
    pub course: Course,
    pub(crate) locals: Locals,
    pub(crate) known: Known,
    pub(crate) next: Next,
    /// A way on that is surely rarer than this was never taken for healthy.
    pub(crate) rare_below: f64,
    /// By what came before.
    pub(crate) turns: BTreeMap<u32, Turn>,
    pub(crate) silences: Silences,
    /// Cases that are watched apart too, so that a rare kind is not lost among the others.
    pub(crate) kinds: Vec<Kind>,
    /// By local number: how many of the others usually come before it.
    pub(crate) ranks: Vec<u32>,
}

/// Cases with one value of an attribute, seen where they begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    pub(crate) attribute: u16,
    pub(crate) value: u16,
}

/// Most kinds of cases that are watched apart.
const MAX_KINDS: usize = 24;
/// An attribute with more values tells no kinds.
const MAX_VALUES_OF_KINDS: usize = 8;
/// Fewest cases of a kind.
const FEWEST_OF_KIND: u32 = 5;

impl Kind {
    /// The kinds among these cases that are fewer than half of them.
    pub(crate) fn learn(cases: &[&Case]) -> Vec<Kind> {
        let mut counts: BTreeMap<u16, BTreeMap<u16, u32>> = BTreeMap::new();
        for case in cases {
            for seen in Kind::at_beginning(case) {
                *counts.entry(seen.attribute).or_default().entry(seen.value).or_default() += 1;
            }
        }
        let telling = counts.iter().filter(|(_, values)| (2..=MAX_VALUES_OF_KINDS).contains(&values.len()));
        let of = |attribute: u16, value: u16| Kind { attribute, value };
        let all =
            telling.flat_map(|(attribute, values)| values.iter().map(move |(value, n)| (of(*attribute, *value), *n)));
        let rare = all.filter(|(_, n)| *n >= FEWEST_OF_KIND && (*n as usize) * 2 < cases.len());
        rare.map(|(kind, _)| kind).take(MAX_KINDS).collect()
    }

    /// Where a plain event log has no root, what its first row said counts.
    fn at_beginning(case: &Case) -> impl Iterator<Item = &super::case::Trait> {
        let root = case.root.map(|(_, root)| root);
        case.traits.iter().filter(move |seen| root.is_none_or(|root| seen.activity == root))
    }

    pub(crate) fn is(self, case: &Case) -> bool {
        Kind::at_beginning(case).any(|seen| seen.attribute == self.attribute && seen.value == self.value)
    }
}

/// What came after one activity.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Turn {
    pub(crate) cases: u32,
    /// Cases that went a rare way on from here.
    pub(crate) broken: u32,
    /// What comes next most often.
    pub(crate) usual: Option<u32>,
}

/// How long a case may be silent after an activity before it is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silences {
    after: HashMap<ActivityId, Duration, FixedState>,
    longest: Duration,
}

/// What is a case's last event this often ends it.
const ENDS: f64 = 0.9;
/// Cases fewer than this say little about how long a silence may last.
const ENOUGH_GAPS: u32 = 50;

impl Silences {
    pub(crate) fn learn<'a>(cases: impl Iterator<Item = &'a Case>) -> Silences {
        let mut gaps: HashMap<ActivityId, (u32, Gaps), FixedState> = HashMap::default();
        let mut ends: HashMap<ActivityId, u32, FixedState> = HashMap::default();
        let mut all = Gaps::default();
        for case in cases {
            if let Some(last) = case.events.last() {
                *ends.entry(last.activity).or_default() += 1;
            }
            for pair in case.events.windows(2) {
                let [first, second] = pair else { continue };
                let (count, gap) = gaps.entry(first.activity).or_default();
                *count += 1;
                gap.add(second.at.since(first.at));
                all.add(second.at.since(first.at));
            }
        }
        let longest = deadline(&all);
        let went_on = |activity: &ActivityId| gaps.get(activity).map_or(0, |(count, _)| *count);
        let ending: Vec<ActivityId> = ends
            .iter()
            .filter(|(activity, n)| f64::from(**n) >= ENDS * f64::from(**n + went_on(activity)))
            .map(|(activity, _)| *activity)
            .collect();
        let known = gaps.into_iter().filter(|(_, (count, _))| *count >= ENOUGH_GAPS);
        let mut after: HashMap<_, _, FixedState> =
            known.map(|(activity, (_, gaps))| (activity, deadline(&gaps))).collect();
        after.extend(ending.into_iter().map(|activity| (activity, Duration::ZERO)));
        Silences { after, longest }
    }

    /// So long after its last event a case is over; at once, after what usually ends it. After what hardly ever had anything follow it, that of all others.
    pub(crate) fn after(&self, last: ActivityId) -> Duration {
        self.after.get(&last).copied().unwrap_or(self.longest)
    }
}

/// The span of time after which what has not come is missing.
pub(crate) fn deadline(gaps: &Gaps) -> Duration {
    let slowest = gaps.quantile(super::tolerance::DEADLINE_QUANTILE).unwrap_or_default();
    slowest.saturating_mul(DEADLINE_FACTOR as u32)
}

/// Something that is expected of every case of a flow.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    /// What.
    pub(crate) rule: Rule,
    /// Of which cases.
    pub(crate) condition: Option<Condition>,
    /// Cases it was expected of in learning.
    pub cases: u32,
    /// Of these, so many broke it.
    pub broken: u32,
    /// How long it may take.
    pub within: Duration,
    /// Cases that took longer.
    pub late: u32,
    /// The same two counts by kind of case, for what every case owes.
    pub(crate) by_kind: Vec<(u32, u32)>,
}

/// By the numbers that a flow gives its activities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// One of these comes, after the last of that; after nothing: it comes at all.
    Follows { after: Option<u16>, any_of: Vec<u16> },
    /// Where `then` comes, `first` came before it.
    Precedes { first: u16, then: u16 },
    /// It comes no more often in one case.
    AtMost { activity: u16, times: u32 },
    /// It comes no less often, where it comes at all.
    AtLeast { activity: u16, times: u32 },
    /// For each `of` there is one of these.
    AsOften { activity: u16, of: u16 },
    /// Never both in one case; the first is the rarer.
    Excludes { one: u16, other: u16 },
    /// Nothing comes that the flow never had.
    Known,
}

/// Cases told apart by one attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    pub(crate) attribute: u16,
    /// Values that were seen without the step.
    pub(crate) without: Vec<u16>,
    /// Values that were seen with it.
    pub(crate) with: Vec<u16>,
    /// What a case without the attribute is; `None` where hardly any is.
    pub(crate) absent: Option<bool>,
    /// Activities on which every case shows the attribute if it has it.
    pub(crate) on: Vec<ActivityId>,
}

impl Rule {
    /// Whether it waits for something, so that it may yet be kept.
    pub(crate) fn waits(&self) -> bool {
        matches!(self, Rule::Follows { .. } | Rule::AtLeast { .. } | Rule::AsOften { .. })
    }
}

impl Condition {
    /// Whether the step is owed by this case. A value that was never seen says nothing.
    pub(crate) fn holds(&self, case: &Case) -> bool {
        match case.value(self.attribute, |activity| self.on.contains(&activity)) {
            Some(value) => self.with.contains(&value),
            None => self.absent == Some(true),
        }
    }
}

impl Model {
    /// The flow that a case belongs to.
    pub(crate) fn flow_of(&self, case: &Case) -> Option<usize> {
        if self.plain {
            return (!self.flows.is_empty()).then_some(0);
        }
        let (_, root) = case.root?;
        self.flows.iter().position(|flow| flow.root == Some(root))
    }

    /// The attributes that name cases.
    pub fn keys(&self) -> Vec<Box<str>> {
        let mut keys: Vec<Box<str>> = self.flows.iter().filter_map(|flow| flow.key.clone()).collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

impl LearnedFlow {
    pub(crate) fn id(&self, local: u16) -> ActivityId {
        self.locals.ids.get(usize::from(local)).copied().unwrap_or(ActivityId(0))
    }

    /// An expectation as a sentence.
    pub fn tell(&self, expectation: &Expectation, vocabulary: &Vocabulary) -> String {
        let name = |local: &u16| format!("`{}`", vocabulary.full_name(self.id(*local)));
        let told = match &expectation.rule {
            Rule::Follows { after, any_of } => {
                let what = any_of.iter().map(name).collect::<Vec<_>>().join(" or ");
                let after = after.map_or_else(|| "every case".to_owned(), |after| format!("after {}", name(&after)));
                format!("{after}: {what}")
            }
            Rule::Precedes { first, then } => format!("before {}: {}", name(then), name(first)),
            Rule::AtMost { activity, times: 1 } => format!("{} at most once", name(activity)),
            Rule::AtMost { activity, times } => format!("{} at most {times} times", name(activity)),
            Rule::AtLeast { activity, times } => format!("{} at least {times} times", name(activity)),
            Rule::AsOften { activity, of } => format!("{} for each {}", name(activity), name(of)),
            Rule::Excludes { one, other } => format!("never both {} and {}", name(one), name(other)),
            Rule::Known => "nothing new in a plain event log, no unusual failure in telemetry".to_owned(),
        };
        match &expectation.condition {
            Some(condition) => format!("{told}, {}", condition.tell(vocabulary)),
            None => told,
        }
    }
}

impl Condition {
    /// `when` or `unless`, with the attribute and its values.
    pub(crate) fn tell(&self, vocabulary: &Vocabulary) -> String {
        let (word, test) = self.words(vocabulary);
        format!("{word} {test}")
    }
}
