//! The course of a flow as a person would write it: of all that is always there, the entries into services, the
//! messages sent, and the last effect of each service. What lies between is implied.

use std::time::Duration;

use truegreen_model::flow::{MAX_EXITS, MAX_STEPS, SpanKind};

use super::candidates::Material;
use super::counts::Outline;
use super::gaps::Gaps;
use super::learning::SHORTEST_DEADLINE;
use super::model::{Condition, Expectation, Rule, deadline};
use super::vocabulary::{Activity, ActivityId};

/// Start, steps and lawful ways out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Course {
    /// Any of these begins it.
    pub start: Vec<ActivityId>,
    /// In their usual order.
    pub steps: Vec<CourseStep>,
    /// Lawful ends other than the last step.
    pub exits: Vec<CourseExit>,
    /// Always there too, and implied by the steps.
    pub implied: Vec<ActivityId>,
}

/// One step.
#[derive(Clone, PartialEq, Debug)]
pub struct CourseStep {
    /// Any of these fulfils it.
    pub any_of: Vec<ActivityId>,
    /// The step that its deadline counts from: 0 is the start, 1 the first of the steps.
    pub after: usize,
    /// Its deadline.
    pub within: Duration,
    /// Of which cases it is owed.
    pub condition: Option<Condition>,
    /// Cases it was owed by.
    pub cases: u32,
    /// Of these, without it.
    pub broken: u32,
}

/// A lawful way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CourseExit {
    /// What shows it.
    pub activity: ActivityId,
    /// The attribute that tells why.
    pub reason: Option<String>,
    /// Cases that took it.
    pub cases: u32,
}

/// Words in what refuses, in several tenses.
const REFUSALS: [&str; 13] = [
    "reject",
    "refus",
    "cancel",
    "declin",
    "denied",
    "deny",
    "dead_letter",
    "dead-letter",
    "deadletter",
    "invalid",
    "abort",
    "expire",
    "skipped",
];

impl Course {
    pub(crate) fn of(material: &Material<'_>, expectations: &[Expectation], root: Option<ActivityId>) -> Course {
        let mut course = Course::default();
        let mut owed: Vec<(Vec<u16>, &Expectation)> = Vec::new();
        for expectation in expectations {
            let Rule::Follows { after: None, any_of } = &expectation.rule else { continue };
            let (exits, steps): (Vec<u16>, Vec<u16>) =
                any_of.iter().partition(|local| any_of.len() > 1 && material.refuses(**local));
            // All of them refuse: then one of them is what the flow is for.
            let (exits, steps) = if steps.is_empty() { (steps, exits) } else { (exits, steps) };
            course.add_exits(material, &exits);
            owed.push((steps, expectation));
        }
        // What only those owe that came past another step: the others left before by one of the exits.
        for expectation in expectations.iter().filter(|one| one.condition.is_some()) {
            let Rule::Follows { after: Some(after), any_of } = &expectation.rule else { continue };
            let is_owed = |local: &u16| owed.iter().any(|(steps, _)| steps.contains(local));
            if is_owed(after) && !any_of.iter().any(is_owed) {
                owed.push((any_of.clone(), expectation));
            }
        }
        owed.sort_by_key(|(any_of, _)| any_of.first().map_or(0, |local| material.rank(*local)));
        course.begin(material, &mut owed, root);
        let kept = chosen(material, &owed, root);
        for ((any_of, expectation), kept) in owed.into_iter().zip(kept) {
            let any_of: Vec<ActivityId> = any_of.into_iter().map(|local| material.id(local)).collect();
            if !kept || course.steps.len() + 1 >= MAX_STEPS {
                course.implied.extend(any_of);
                continue;
            }
            let after = course
                .steps
                .iter()
                .rposition(|step| step.condition.is_none() || step.condition == expectation.condition);
            course.steps.push(CourseStep {
                any_of,
                after: after.map_or(0, |at| at + 1),
                within: Duration::ZERO,
                condition: expectation.condition.clone(),
                cases: expectation.cases,
                broken: expectation.broken,
            });
        }
        course.time(material);
        course
    }

    fn add_exits(&mut self, material: &Material<'_>, exits: &[u16]) {
        for local in exits {
            let activity = material.id(*local);
            if self.exits.len() < MAX_EXITS && !self.exits.iter().any(|exit| exit.activity == activity) {
                let cases = material.pairs.present.get(usize::from(*local)).copied().unwrap_or(0);
                self.exits.push(CourseExit { activity, reason: material.reason(activity), cases });
            }
        }
    }

    /// The root, or in a plain event log whatever cases begin with.
    fn begin(&mut self, material: &Material<'_>, owed: &mut Vec<(Vec<u16>, &Expectation)>, root: Option<ActivityId>) {
        match root {
            Some(root) => self.start.push(root),
            None => {
                let mut firsts: std::collections::BTreeMap<ActivityId, u32> = std::collections::BTreeMap::new();
                let first = material.cases.iter().filter_map(|case| case.events.first());
                first.for_each(|event| *firsts.entry(event.activity).or_default() += 1);
                let mut firsts: Vec<(ActivityId, u32)> = firsts.into_iter().collect();
                firsts.sort_by_key(|(id, n)| (std::cmp::Reverse(*n), *id));
                let most = firsts.first().map_or(0, |(_, n)| *n);
                let usual = firsts.into_iter().filter(|(_, n)| *n * 50 >= most).take(16);
                self.start.extend(usual.map(|(id, _)| id));
            }
        }
        let start = &self.start;
        owed.retain(|(any_of, _)| any_of.iter().any(|local| !start.contains(&material.id(*local))));
    }

    fn time(&mut self, material: &Material<'_>) {
        let mut gaps = vec![Gaps::default(); self.steps.len()];
        let mut outline = Outline::default();
        for case in material.cases {
            outline.fill(case, material.locals, |_| true);
            let at = |ids: &[ActivityId]| {
                let shown = ids.iter().filter_map(|id| outline.shown(material.locals.of(*id)?));
                shown.filter(|shown| shown.done > 0).map(|shown| shown.done_at).min()
            };
            for (step, gaps) in self.steps.iter().zip(&mut gaps) {
                let before = match step.after.checked_sub(1).and_then(|before| self.steps.get(before)) {
                    Some(before) => at(&before.any_of),
                    None => Some(case.entered_at()),
                };
                if let (Some(before), Some(at)) = (before, at(&step.any_of)) {
                    gaps.add(at.since(before));
                }
            }
        }
        for (step, gaps) in self.steps.iter_mut().zip(&gaps) {
            step.within = round_up(deadline(gaps).max(SHORTEST_DEADLINE));
        }
    }
}

/// What a step of the contract stands for.
struct View<'a> {
    id: ActivityId,
    activity: &'a Activity,
    /// How well it proves that something was done; `None` where it proves nothing by itself.
    effect: Option<u8>,
}

impl View<'_> {
    fn is(&self, kind: SpanKind) -> bool {
        self.activity.kind() == Some(kind)
    }
}

/// Which of what is owed stands in the contract, rather than being implied by what does.
fn chosen(material: &Material<'_>, owed: &[(Vec<u16>, &Expectation)], root: Option<ActivityId>) -> Vec<bool> {
    let Some(root) = root else { return vec![true; owed.len()] };
    let id = |any_of: &[u16]| any_of.first().map_or(ActivityId(0), |local| material.id(*local));
    let ids: Vec<ActivityId> = owed.iter().map(|(any_of, _)| id(any_of)).collect();
    let views: Vec<View<'_>> = ids.iter().map(|id| view(material, *id, &ids)).collect();
    let by_message = views.iter().any(|view| view.is(SpanKind::Consumer));
    let mut chosen =
        if by_message { way_to_effects(material, &views) } else { entries_and_effects(&views, root, material) };
    // A promise of something, rather than of nothing.
    if !chosen.contains(&true)
        && let Some(last) = views.iter().rposition(|view| view.effect.is_some())
    {
        chosen[last] = true;
    }
    chosen
}

fn view<'a>(material: &Material<'a>, id: ActivityId, owed: &[ActivityId]) -> View<'a> {
    let vocabulary = material.vocabulary;
    let activity = vocabulary.get(id);
    // A call whose answering side is owed too says nothing that the answer does not.
    let is_answered = || {
        owed.iter().any(|other| {
            vocabulary.get(*other).kind() == Some(SpanKind::Server) && vocabulary.led_by(*other).contains(&id)
        })
    };
    let effect = match activity {
        _ if vocabulary.plumbing.contains(&id) => None,
        Activity::Span { kind: SpanKind::Server | SpanKind::Consumer, .. } => None,
        Activity::Span { kind: SpanKind::Client, .. } if is_answered() => None,
        Activity::Span { kind: SpanKind::Client | SpanKind::Producer, .. } => Some(3),
        Activity::Event { .. } => Some(2),
        Activity::Span { .. } => Some(1),
        Activity::Line { .. } | Activity::Plain { .. } | Activity::Other => Some(0),
    };
    View { id, activity, effect }
}

/// The last of the best effects of a service.
fn last_effect(views: &[View<'_>], service: &str) -> Option<usize> {
    let own = || views.iter().enumerate().filter(|(_, view)| view.activity.service() == service);
    own().filter(|(_, view)| view.effect.is_some()).max_by_key(|(at, view)| (view.effect, *at)).map(|(at, _)| at)
}

/// Where messages are sent: what their consumers bring about in the end, and the services and messages on the way
/// there. Calls that are answered on the way are implied.
fn way_to_effects(material: &Material<'_>, views: &[View<'_>]) -> Vec<bool> {
    let mut chosen = vec![false; views.len()];
    let mut way: Vec<ActivityId> = Vec::new();
    for (at, view) in views.iter().enumerate().filter(|(_, view)| view.is(SpanKind::Consumer)) {
        let last = last_effect(views, view.activity.service()).unwrap_or(at);
        chosen[last] = true;
        way.push(views[last].id);
    }
    let mut at = 0;
    while let Some(id) = way.get(at).copied() {
        let new = material.vocabulary.led_by(id).iter().filter(|from| !way.contains(from)).copied();
        let new: Vec<ActivityId> = new.collect();
        way.extend(new);
        at += 1;
    }
    for (view, chosen) in views.iter().zip(&mut chosen) {
        *chosen |= way.contains(&view.id) && (view.is(SpanKind::Server) || view.is(SpanKind::Producer));
    }
    chosen
}

/// Where nothing is sent: every entry into a service, and the last effect of each.
fn entries_and_effects(views: &[View<'_>], root: ActivityId, material: &Material<'_>) -> Vec<bool> {
    let home = material.vocabulary.get(root).service();
    let mut chosen: Vec<bool> =
        views.iter().map(|view| view.is(SpanKind::Server) || view.is(SpanKind::Producer)).collect();
    for view in views {
        let service = view.activity.service();
        let Some(last) = last_effect(views, service) else { continue };
        let has_entry =
            service == home || views.iter().any(|view| view.is(SpanKind::Server) && view.activity.service() == service);
        // Log lines and inner work count where a service shows nothing better.
        chosen[last] |=
            views[last].effect == Some(3) || (views[last].effect == Some(2) && service == home) || !has_entry;
    }
    chosen
}

impl Material<'_> {
    pub(crate) fn id(&self, local: u16) -> ActivityId {
        self.locals.ids.get(usize::from(local)).copied().unwrap_or(ActivityId(0))
    }

    /// How many of the others usually come before it.
    pub(crate) fn rank(&self, local: u16) -> usize {
        let width = self.locals.len() as u16;
        (0..width).filter(|other| self.pairs.precedes(*other, local) * 2 > self.pairs.both(*other, local)).count()
    }

    fn refuses(&self, local: u16) -> bool {
        let name = self.vocabulary.name(self.id(local)).to_lowercase();
        REFUSALS.iter().any(|word| name.contains(word)) || self.reason(self.id(local)).is_some()
    }

    /// The attribute of this activity that gives a reason.
    fn reason(&self, activity: ActivityId) -> Option<String> {
        let traits = self.cases.iter().flat_map(|case| case.traits.iter()).filter(|seen| seen.activity == activity);
        let mut names = traits.map(|seen| self.vocabulary.attribute_name(seen.attribute));
        let name = names.find(|name| *name == "reason" || name.ends_with(".reason") || *name == "error.type");
        name.map(str::to_owned)
    }
}

/// Up to the next number that a person would write.
pub(crate) fn round_up(duration: Duration) -> Duration {
    const STEPS: [u64; 26] = [
        1, 2, 5, 10, 15, 20, 30, 45, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400,
        172_800, 345_600, 604_800, 1_209_600, 2_592_000, 7_776_000,
    ];
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let found = STEPS.iter().find(|step| **step >= seconds);
    Duration::from_secs(found.copied().unwrap_or(31_536_000))
}
