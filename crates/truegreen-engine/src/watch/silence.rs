//! Silence itself: a flow that nothing enters any more, and a service that stopped reporting.
//!
//! A flow is a root operation. Its silence is held against its own rate: were arrivals random, the longest gap of an hour
//! at rate r would exceed ln(3600 r / 0.0001) / r once in ten thousand hours. Real arrivals come in bursts, so the silence
//! must also be three times as long as any before, and the flow known for twenty times as long: who comes once a night is
//! known after three weeks. At night everything falls quiet; so all other flows together must go on at half their rate or
//! more. And the service must still deliver spans: else it is its exporter that stopped.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::flow::{Signal, SpanKind};
use truegreen_model::time::Timestamp;

use super::View;
use super::health::CheckNames;
use super::table::Table;
use crate::coverage::{SILENCE, ServiceId};
use crate::finding::place::Place;
use crate::finding::{PlaceFindings, Sign};
use crate::trace::operation::OperationId;
use crate::trace::tree::{Parent, Tree};

/// Looked at so often.
const EVERY: Duration = Duration::from_secs(5);
/// No silence shorter than this is one.
const SHORTEST: Duration = Duration::from_secs(60);
/// False alarms of one flow in an hour, were its arrivals random.
const FALSE_ALARMS: f64 = 1e-4;
const LONGER_THAN_EVER: u32 = 3;
const KNOWN_FOR: u32 = 20;
const KNOWN_BY: u64 = 50;
/// The share of their usual rate at which others go on.
const OTHERS_GO_ON: f64 = 0.5;
const OTHERS_AT_LEAST: f64 = 20.0;
/// What is older counts half.
const FADES_AFTER: Duration = Duration::from_secs(1_800);
/// A service reported regularly if it is known for so long.
const REPORTED_FOR: Duration = Duration::from_secs(600);
const REPORTED_OFTEN: u32 = 30;
/// Somebody else reported this lately, or it is us who hear nothing.
const LATELY: Duration = Duration::from_secs(30);

/// Who was heard, and is not any more.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Silence {
    flows: Table<OperationId, Flow>,
    /// All flows together.
    all: Arrivals,
    services: Vec<Reporting>,
    checks: CheckNames,
    next: Timestamp,
}

/// How often something comes, lately.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Arrivals {
    count: f64,
    since: Timestamp,
    /// Of all time.
    total: u64,
}

/// One root operation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Flow {
    arrivals: Arrivals,
    first: Timestamp,
    latest: Timestamp,
    longest_gap: Duration,
    /// What came of all flows until the latest, and how often that was.
    all_until: u64,
    all_rate: f64,
    is_silent: bool,
}

/// How a service reports.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Reporting {
    first: Timestamp,
    latest: Timestamp,
    often: u32,
    longest_silence: Duration,
    is_silent: bool,
}

impl Arrivals {
    fn came(&mut self, now: Timestamp) {
        if self.total == 0 {
            self.since = now;
        }
        self.total += 1;
        self.count += 1.0;
        let over = now.since(self.since);
        if over > FADES_AFTER {
            self.count /= 2.0;
            self.since = now - over / 2;
        }
    }

    /// A second, as of `until`.
    fn rate(&self, until: Timestamp) -> f64 {
        self.count / until.since(self.since).as_secs_f64().max(1.0)
    }
}

impl Silence {
    pub(super) fn overflowed(&self) -> u64 {
        self.flows.overflowed()
    }

    pub(super) fn settled(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        for top in tree.tops().filter(|top| tree.parent(*top) == Parent::Root) {
            let span = &tree.spans[top];
            let operation = &view.operations[span.operation];
            // Probes are no flow, and where a message is taken, or what came before is linked to, one goes on.
            let goes_on = operation.kind == SpanKind::Consumer || !span.links.is_empty();
            if goes_on || self.checks.names(span.operation, view) || operation.kind == SpanKind::Unspecified {
                continue;
            }
            let now = span.received;
            self.all.came(now);
            let new = || Flow {
                arrivals: Arrivals::default(),
                first: now,
                latest: now,
                longest_gap: Duration::ZERO,
                all_until: 0,
                all_rate: 0.0,
                is_silent: false,
            };
            let Some(flow) = self.flows.entry(span.operation, new) else { continue };
            flow.longest_gap = flow.longest_gap.max(now.since(flow.latest));
            flow.latest = now.max(flow.latest);
            (flow.all_until, flow.all_rate) = (self.all.total, self.all.rate(now));
            flow.arrivals.came(now);
            if std::mem::take(&mut flow.is_silent) {
                findings.close(FindingKind::FlowStopped, Place::operation(operation), FindingStatus::Resolved);
            }
        }
    }

    pub(super) fn tick(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        if view.now < self.next {
            return;
        }
        self.next = view.now + EVERY;
        self.listen(view, findings);
        for id in self.flows.keys() {
            let operation = &view.operations[id];
            let Some(flow) = self.flows.get(&id).copied() else { continue };
            let Some(usual) = self.stopped(&flow, operation.service, view) else { continue };
            // Under another name it goes on.
            if self.is_renamed(id, &flow, view) {
                self.flows.remove(&id);
                continue;
            }
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.is_silent = true;
            }
            let evidence = format!(
                "usually {} came, with gaps of at most {:.0} s; for {:.0} s none came, while other requests went on",
                per(usual),
                flow.longest_gap.as_secs_f64(),
                view.now.since(flow.latest).as_secs_f64(),
            );
            let (kind, place) = (FindingKind::FlowStopped, Place::operation(operation));
            let sign = Sign { kind, place, at: flow.latest, example: None, share: 1.0, evidence };
            findings.deviate(sign, view.now, view.symbols);
        }
    }

    /// The usual rate of a flow that stopped; nothing where it did not, or that cannot be told.
    fn stopped(&self, flow: &Flow, service: ServiceId, view: &View<'_>) -> Option<f64> {
        if flow.is_silent || flow.arrivals.total < KNOWN_BY {
            return None;
        }
        let rate = flow.arrivals.rate(flow.latest);
        let silent = view.now.since(flow.latest);
        let by_chance = Duration::from_secs_f64(((3_600.0 * rate / FALSE_ALARMS).ln() / rate).clamp(0.0, 1e7));
        let lag = view.coverage.longest_export_lag();
        let allowed = SHORTEST.max(flow.longest_gap * LONGER_THAN_EVER).max(by_chance) + lag;
        if silent <= allowed || flow.latest.since(flow.first) < allowed * KNOWN_FOR {
            return None;
        }
        let expected = (flow.all_rate - rate) * silent.as_secs_f64();
        let came = (self.all.total - flow.all_until) as f64;
        let spans = view.coverage[service].last_delivered(Signal::Span);
        let goes_on =
            came >= OTHERS_AT_LEAST && came >= OTHERS_GO_ON * expected && spans > Some(flow.latest + SHORTEST);
        (goes_on && !view.coverage.had_gap(service, flow.latest, view.now)).then_some(rate)
    }

    /// Whether another operation of the service began when this one ended.
    fn is_renamed(&self, id: OperationId, flow: &Flow, view: &View<'_>) -> bool {
        let service = view.operations[id].service;
        self.flows.keys().into_iter().filter(|other| *other != id && view.operations[*other].service == service).any(
            |other| {
                let other = self.flows.get(&other).copied();
                other.is_some_and(|other| {
                    other.first + SILENCE >= flow.latest
                        && other.arrivals.rate(view.now) >= flow.arrivals.rate(flow.latest) / 4.0
                })
            },
        )
    }

    /// Services that stopped reporting, and those that are heard again.
    fn listen(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        let services = view.coverage.services();
        self.services.resize_with(services.len(), Reporting::default);
        let lag = view.coverage.longest_export_lag();
        let latest: Vec<Option<Timestamp>> = services.iter().map(|service| view.coverage.last_heard(service)).collect();
        for (index, (service, heard)) in services.iter().zip(&latest).enumerate() {
            let Some(heard) = *heard else { continue };
            let reporting = &mut self.services[index];
            let place = Place::service(service.name);
            if reporting.often == 0 {
                (reporting.first, reporting.latest) = (heard, heard);
            }
            if heard > reporting.latest || reporting.often == 0 {
                reporting.longest_silence = reporting.longest_silence.max(heard.since(reporting.latest));
                reporting.latest = heard;
                reporting.often = reporting.often.saturating_add(1);
                if std::mem::take(&mut reporting.is_silent) {
                    findings.close(FindingKind::ServiceSilent, place, FindingStatus::Resolved);
                }
                continue;
            }
            let silent = view.now.since(heard);
            let allowed = (SILENCE + lag).max(reporting.longest_silence * LONGER_THAN_EVER);
            let was_regular =
                reporting.often >= REPORTED_OFTEN && reporting.latest.since(reporting.first) >= REPORTED_FOR;
            let others =
                latest.iter().enumerate().any(|(other, heard)| other != index && *heard >= Some(view.now - LATELY));
            let our_own = view.coverage.had_gap(ServiceId::at(index), heard, view.now);
            if reporting.is_silent || silent <= allowed || !was_regular || !others || our_own {
                continue;
            }
            reporting.is_silent = true;
            let evidence = format!(
                "nothing was heard of any of its instances for {:.0} s, and never before for longer than {:.0} s; others are",
                silent.as_secs_f64(),
                reporting.longest_silence.as_secs_f64(),
            );
            let kind = FindingKind::ServiceSilent;
            let sign = Sign { kind, place, at: heard, example: None, share: 1.0, evidence };
            findings.deviate(sign, view.now, view.symbols);
        }
    }
}

fn per(rate: f64) -> String {
    if rate >= 1.0 {
        format!("{rate:.0} a second")
    } else if rate >= 1.0 / 60.0 {
        format!("{:.0} a minute", rate * 60.0)
    } else {
        format!("{:.0} an hour", rate * 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Heard;
    use crate::watch::stage::{Act, Stage};

    fn root(name: &'static str) -> Act {
        Act { kind: SpanKind::Server, name, ..Act::default() }
    }

    struct Scene {
        stage: Stage,
        silence: Silence,
    }

    impl Scene {
        fn new() -> Self {
            Scene { stage: Stage::new(), silence: Silence::default() }
        }

        fn shows(&mut self, act: Act) {
            let tree = self.stage.tree(&[act]);
            self.hear(act.service);
            let Scene { stage, silence } = self;
            stage.show(|view, findings| silence.settled(&tree, view, findings));
        }

        fn hear(&mut self, name: &str) {
            let name = self.stage.symbols.intern(name.as_bytes());
            let service = self.stage.coverage.service(name, 0, &[]);
            let instance = self.stage.coverage.instance(service, 1, "1");
            let mut heard = Heard::default();
            heard.delivered(Signal::Span);
            let now = self.stage.now;
            self.stage.coverage.hear(service, instance, &heard, now);
        }

        fn second(&mut self) {
            self.stage.now = self.stage.now + Duration::from_secs(1);
            let Scene { stage, silence } = self;
            stage.show(|view, findings| silence.tick(view, findings));
        }
    }

    #[test]
    fn a_flow_that_stopped_while_others_go_on_is_found_and_closes_when_it_comes_again() {
        let mut scene = Scene::new();
        for second in 0..3_000 {
            scene.shows(root("GET /stock"));
            if second < 2_700 && second % 3 == 0 {
                scene.shows(root("POST /checkout"));
            }
            scene.second();
        }
        let found = scene.stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "flow_stopped"));
        assert_eq!(found[0].operation.as_deref(), Some("POST /checkout"));
        scene.shows(root("POST /checkout"));
        assert_eq!(scene.stage.found()[0].status, "resolved");
    }

    #[test]
    fn a_rare_flow_a_quiet_night_and_a_new_name_are_harmless() {
        let mut scene = Scene::new();
        for second in 0..12_000_u64 {
            let is_night = second > 9_000;
            if !is_night || second % 50 == 0 {
                scene.shows(root("GET /stock"));
                scene.shows(root(if second < 4_000 { "POST /checkout" } else { "POST /v2/checkout" }));
            }
            // Once in five minutes or so.
            if second % 300 == second / 300 % 60 {
                scene.shows(root("POST /returns"));
            }
            scene.second();
        }
        assert!(scene.stage.found().is_empty(), "{:?}", scene.stage.found());
    }

    #[test]
    fn a_service_that_stopped_reporting_is_found_and_closes_when_it_is_heard() {
        let mut scene = Scene::new();
        for second in 0..1_300 {
            scene.hear("shop");
            if second < 1_000 {
                scene.hear("billing");
            }
            scene.second();
        }
        let found = scene.stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "service_silent"));
        assert_eq!(found[0].service.as_deref(), Some("billing"));
        scene.hear("billing");
        for _ in 0..6 {
            scene.second();
        }
        assert_eq!(scene.stage.found()[0].status, "resolved");
    }

    #[test]
    fn when_nobody_is_heard_and_of_short_jobs_nothing_is_said() {
        let mut scene = Scene::new();
        for second in 0..2_000 {
            if second < 1_500 {
                scene.hear("shop");
                scene.hear("billing");
            }
            if second < 300 {
                scene.hear("migration");
            }
            scene.second();
        }
        assert!(scene.stage.found().is_empty(), "{:?}", scene.stage.found());
    }
}
