//! One change held against what is seen.

use truegreen_model::change::{Change, ChangeEvidence};

use super::degraded::{BY_CHANCE, Graph};
use super::edges::{Edges, Metric, minute};
use super::effect::{Effect, effect};
use super::reasons;
use super::score::{self, NO_EFFECT, Onset, UNSEEN_EFFECT};
use super::step::Step;
use super::touched::Touched;

/// Minutes by which the clocks of who reports a change and of who measures calls may differ.
const CLOCKS: f64 = 1.5;

/// What is known of the incident as a whole.
pub(super) struct Incident<'e> {
    pub(super) edges: &'e Edges,
    pub(super) graph: Graph<'e>,
    /// `(at, earliest, latest)`; none where nothing degraded.
    pub(super) onset: Option<(i64, i64, i64)>,
    /// The time in which any change could have been, in minutes.
    pub(super) window: f64,
}

/// What speaks for and against one.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) evidence: ChangeEvidence,
    pub(super) reasons: Vec<String>,
    /// Of the effect that is seen at its service; none where nothing is known.
    pub(super) p: Option<f64>,
    pub(super) is_shown: bool,
    /// Evidence that tells changed instances of its service from others, with the service.
    apart: Option<(String, f64)>,
    /// The others of its service are as bad.
    is_refuted: bool,
    /// What is seen befell all of this service.
    of_all: Option<String>,
    /// When its service degraded.
    onset: Option<(i64, i64, i64)>,
}

impl Incident<'_> {
    pub(super) fn examine(&self, change: &Change) -> Examined {
        let mut examined = Examined::default();
        let service = change.service.as_deref().and_then(|service| self.graph.service(service));
        let name = change.service.as_deref().unwrap_or("what it touched");
        let touched = if change.service.is_some() && service.is_none() {
            None
        } else {
            Touched::new(change, service, self.edges)
        };
        let seen =
            touched.as_ref().map(|touched| effect(change, service, touched, self.edges, self.onset.map(|(at, ..)| at)));
        match (&touched, seen.filter(|effect| !effect.seen.is_empty())) {
            (Some(Touched::Instances(_) | Touched::Version(_)), Some(effect)) if effect.apart().is_some() => {
                self.apart(&mut examined, service.unwrap_or(name), &effect);
            }
            (_, Some(effect)) => self.whole(&mut examined, service.unwrap_or(name), &effect),
            (_, None) => examined.reasons.push(reasons::not_seen(name)),
        }
        if let Some(service) = service {
            self.own_calls(&mut examined, service);
            let reach = self.graph.reach(service);
            if examined.is_shown && self.onset.is_some() {
                examined.evidence.reach = score::of_reach(reach);
                examined.reasons.push(reasons::reach(reach, service));
            }
        }
        self.time(&mut examined, change);
        examined
    }

    /// Some instances were changed, and others not.
    fn apart(&self, examined: &mut Examined, service: &str, effect: &Effect) {
        let Some((seen, apart)) = effect.apart() else { return };
        let counts = (effect.changed, effect.others);
        let p = effect.corrected(apart);
        let own = effect.own().filter(|(_, own)| effect.corrected(own) <= BY_CHANCE);
        examined.p = Some(own.map_or(p, |(_, own)| p.min(effect.corrected(own))));
        let Some((own_seen, own)) = own else {
            if p > BY_CHANCE {
                return self.nothing(examined, service, effect);
            }
            // Too few to be seen in their own past, but worse than the others.
            examined.is_shown = true;
            examined.evidence.effect = score::of_effect(p);
            examined.evidence.origin = score::of_origin(0.0);
            examined.apart = Some((service.to_owned(), examined.evidence.effect));
            examined.reasons.push(reasons::against_others(seen, apart, counts, p));
            return;
        };
        let p_own = effect.corrected(own);
        examined.onset = Some((own.at, own.earliest, own.latest));
        // What tells them apart must be what they suffer from.
        let same = own_seen.apart.as_ref().filter(|same| same.p < apart.p || same.rise() > own.rise() / 4.0);
        let (told_seen, told) = same.map_or((seen, apart), |same| (own_seen, same));
        let is_of_own = told_seen.metric == own_seen.metric;
        if is_of_own && told.rise() + 2.0 * told.error < own.rise() / 2.0 {
            examined.evidence.effect = NO_EFFECT;
            examined.is_refuted = true;
            examined.reasons.push(reasons::as_bad(counts));
            examined.reasons.push(reasons::against_before(service, own_seen, own, p_own));
            return;
        }
        let (explained, callee) = self.graph.explained(service, own_seen.metric, own);
        let p_told = effect.corrected(told);
        let bonus = if p_told <= BY_CHANCE {
            examined.apart = Some((service.to_owned(), score::of_effect(p_told)));
            examined.reasons.push(reasons::against_others(told_seen, told, counts, p_told));
            score::of_apart(p_told)
        } else {
            examined.reasons.push(reasons::hardly_apart(counts));
            UNSEEN_EFFECT
        };
        examined.reasons.push(reasons::against_before(service, own_seen, own, p_own));
        // What befalls all instances alike does not tell them apart; at most they call another one.
        let explained_of_it = if p_told <= BY_CHANCE { explained / 2.0 } else { explained };
        examined.is_shown = explained_of_it < 0.5;
        examined.evidence.effect = score::of_effect(p_own.min(p_told)) * (1.0 - explained_of_it) + bonus;
        examined.evidence.origin = score::of_origin(explained_of_it);
        self.say_origin(examined, service, explained, callee);
    }

    /// All were changed, or nothing can be told apart.
    fn whole(&self, examined: &mut Examined, service: &str, effect: &Effect) {
        let Some((seen, own)) = effect.own() else {
            examined.reasons.push(reasons::too_noisy(service));
            return;
        };
        let p = effect.corrected(own);
        examined.p = Some(p);
        if p > BY_CHANCE {
            return self.nothing(examined, service, effect);
        }
        let (explained, callee) = self.graph.explained(service, seen.metric, own);
        let (callers, degraded) = self.graph.callers(service, seen.metric, own.rise());
        let of_callers = of_callers(callers, degraded);
        examined.is_shown = explained < 0.5;
        examined.of_all = Some(service.to_owned());
        examined.onset = Some((own.at, own.earliest, own.latest));
        examined.evidence.effect = score::of_effect(p) * (1.0 - explained) * of_callers;
        examined.evidence.origin = score::of_origin(explained);
        examined.reasons.push(reasons::against_before(service, seen, own, p));
        if of_callers < 0.75 {
            examined.reasons.push(reasons::one_caller(callers, degraded, service));
        }
        self.say_origin(examined, service, explained, callee);
    }

    /// Where some instances of a service are worse than others, what was done to all of them explains it less.
    pub(super) fn weigh(&self, examined: &mut [Examined]) {
        let told_apart: Vec<(String, f64)> = examined.iter().filter_map(|one| one.apart.clone()).collect();
        for one in examined.iter_mut() {
            let Some(service) = &one.of_all else { continue };
            let against =
                told_apart.iter().filter(|(of, _)| of == service).map(|(_, evidence)| *evidence).fold(0.0, f64::max);
            if against > 0.0 {
                one.evidence.effect = (one.evidence.effect - against).max(UNSEEN_EFFECT);
                one.reasons.push(reasons::only_some(service));
            }
        }
    }

    /// For each service, what speaks for its having failed by itself.
    pub(super) fn alone(&self, examined: &[Examined]) -> Vec<f64> {
        let services = self.graph.services();
        services.into_iter().map(|service| self.failed_alone(service, examined)).collect()
    }

    fn failed_alone(&self, service: &str, examined: &[Examined]) -> f64 {
        let inbound = || self.graph.edges.iter().filter(|edge| edge.target == service);
        let steps = inbound()
            .flat_map(|edge| Metric::ALL.into_iter().filter_map(|metric| Some((metric, edge.steps[metric as usize]?))));
        let steps: Vec<(Metric, Step)> = steps.collect();
        let Some((metric, worst)) = steps.iter().max_by(|(_, a), (_, b)| a.z.total_cmp(&b.z)) else {
            return UNSEEN_EFFECT;
        };
        let p = super::statistics::best_of(worst.p, steps.len() as f64);
        if p > BY_CHANCE {
            return NO_EFFECT;
        }
        let (explained, _) = self.graph.explained(service, *metric, worst);
        let (callers, degraded) = self.graph.callers(service, *metric, worst.rise());
        let effect = score::of_effect(p) * (1.0 - explained) * of_callers(callers, degraded);
        // What fails by itself does not tell changed instances from others.
        let told_apart = examined.iter().filter_map(|one| one.apart.as_ref());
        let told_apart = told_apart.filter(|(of, _)| of == service).map(|(_, evidence)| *evidence).fold(0.0, f64::max);
        effect - told_apart
            + self.of_notice(worst.at)
            + score::of_origin(explained)
            + score::of_reach(self.graph.reach(service))
    }

    fn say_origin(&self, examined: &mut Examined, service: &str, explained: f64, callee: Option<&str>) {
        match callee.filter(|_| explained > 0.1) {
            Some(callee) => examined.reasons.push(reasons::explained_by(service, explained, callee)),
            None => examined.reasons.push(reasons::starts_here(service)),
        }
    }

    /// Nothing went worse there: that says something only where it would be seen.
    fn nothing(&self, examined: &mut Examined, service: &str, effect: &Effect) {
        let would_be_seen = effect.seen.iter().any(|seen| {
            let typical = self.typical(seen.metric);
            seen.own.is_some_and(|own| typical.is_some_and(|typical| 2.5 * own.error < typical / 2.0))
        });
        examined.evidence.effect = if would_be_seen { NO_EFFECT } else { UNSEEN_EFFECT };
        examined.reasons.push(if would_be_seen { reasons::as_before(service) } else { reasons::too_noisy(service) });
    }

    /// How much the edges that degraded rose: their median, since one may be far worse than all others.
    fn typical(&self, metric: Metric) -> Option<f64> {
        let degraded = self.graph.degraded().filter(|edge| edge.is_degraded[metric as usize]);
        let mut rises: Vec<f64> =
            degraded.filter_map(|edge| edge.steps[metric as usize].as_ref().map(Step::rise)).collect();
        super::statistics::median(&mut rises)
    }

    /// What it calls goes wrong for it alone.
    fn own_calls(&self, examined: &mut Examined, service: &str) {
        let outgoing = self.graph.degraded().filter(|edge| edge.source == service && self.graph.is_callers_own(edge));
        let worst = outgoing.filter_map(|edge| edge.worst().map(|(metric, step)| (edge, metric, step)));
        let Some((edge, metric, step)) = worst.max_by(|(.., a), (.., b)| a.z.total_cmp(&b.z)) else { return };
        let evidence = score::of_effect(step.p);
        // Changed instances that are no worse than the others speak against it all the same.
        if examined.is_refuted || evidence <= examined.evidence.effect {
            return;
        }
        examined.evidence.effect = evidence;
        examined.evidence.origin = score::of_origin(0.0);
        examined.p = Some(examined.p.map_or(step.p, |p| p.min(step.p)));
        examined.is_shown = true;
        examined.onset = Some((step.at, step.earliest, step.latest));
        examined.reasons.push(reasons::of_edge(edge.source, edge.target, metric, step));
        examined.reasons.push(reasons::own_calls(service, edge.target));
    }

    fn of_notice(&self, onset: i64) -> f64 {
        score::of_notice((self.edges.noticed - onset) as f64)
    }

    fn time(&self, examined: &mut Examined, change: &Change) {
        let Some((at, earliest, latest)) = examined.onset.or(self.onset) else { return };
        let minutes = |time: truegreen_model::time::Timestamp| time.0 as f64 / 60e9;
        // An effect told for a minute began somewhere within it.
        let (earliest, latest) = (earliest as f64, latest as f64);
        let onset = Onset { at: at as f64 + 0.5, earliest, latest, clocks: CLOCKS };
        let until = change.until.map(|until| minutes(until).max(minutes(change.at)));
        examined.evidence.time = score::of_time(minutes(change.at), until, onset, self.window) + self.of_notice(at);
        examined.reasons.insert(0, reasons::of_time(change.at, at));
    }
}

/// One caller of many that has trouble is more likely itself the reason.
fn of_callers(callers: usize, degraded: usize) -> f64 {
    if callers > 1 { 0.25 + 0.75 * degraded.max(1) as f64 / callers as f64 } else { 1.0 }
}

/// The time in which changes were looked for, in minutes: as long as any that was told lies back, and at least two hours.
pub(super) fn window(changes: &[Change], edges: &Edges) -> f64 {
    let first = changes.iter().map(|change| minute(change.at)).min().unwrap_or(edges.noticed);
    let last = changes.iter().map(|change| minute(change.at)).max().unwrap_or(edges.noticed).max(edges.noticed);
    (last - first).clamp(120, 7 * 24 * 60) as f64
}
