//! Deviations that no contract names, folded into findings by kind and place: one opens a finding, a thousand more only
//! grow it, and enough that went well since then resolve it. Findings of flows are kept with the accounts.

pub(crate) mod place;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingId, FindingKind, FindingStatus};
use truegreen_model::observation::{Symbol, TraceId};
use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

use crate::cases::Witnessed;
use crate::date::rfc3339;
use crate::matcher::key::{hash, mix};
use crate::symbols::Symbols;
use crate::trace::operation::Operations;
use crate::trace::tree::Tree;
use crate::watch::hex;
use place::Place;

const MAX_EXAMPLES: usize = 20;
const MAX_EVIDENCE: usize = 8;
/// Kinds and places at once; remote peers choose the names of services.
const MAX_OPEN: usize = 10_000;
/// Findings of one kind about one operation that a trace is witnessed for: they differ by whom or what they concern.
const MAX_ALIKE: usize = 16;
const MAX_CLOSED: usize = 10_000;
/// Without a new deviation for so long a finding is quiet rather than open.
pub(crate) const QUIET_AFTER: Duration = Duration::from_secs(60);

/// One deviation.
#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) kind: FindingKind,
    pub(crate) place: Place,
    /// When it happened, in event time.
    pub(crate) at: Timestamp,
    pub(crate) example: Option<Example>,
    /// Which share of its like deviates, 0 to 1; so many that go well are needed before it counts as over.
    pub(crate) share: f64,
    /// What shows it, a sentence without a full stop; empty where the title says all.
    pub(crate) evidence: String,
}

/// What shows a deviation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Example {
    /// A trace that deviates.
    Trace(TraceId),
    /// A journey's key, or an instance.
    Named(String),
}

impl Example {
    /// A trace, if it has an id.
    pub(crate) fn of(trace: TraceId) -> Option<Example> {
        (trace != TraceId(0)).then_some(Example::Trace(trace))
    }
}

/// A finding that is about a place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct PlaceFinding {
    id: FindingId,
    kind: FindingKind,
    place: Place,
    count: u64,
    onset: Timestamp,
    first_seen: Timestamp,
    last_seen: Timestamp,
    status: FindingStatus,
    examples: Vec<String>,
    /// The latest last.
    evidence: Vec<String>,
    share: f64,
    went_well: u64,
    witnessed: Witnessed,
}

/// A finding about a place opened or closed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Turn {
    Opened(PlaceFinding),
    Closed(PlaceFinding),
}

/// Findings that are about places.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PlaceFindings {
    open: BTreeMap<(FindingKind, Place), PlaceFinding>,
    closed: Vec<PlaceFinding>,
    ordinals: BTreeMap<(FindingKind, Place), u32>,
    turns: Vec<Turn>,
    now: Timestamp,
    /// Deviations that no finding could be opened for, and closed findings that had to go.
    pub(crate) forgotten: u64,
}

impl PlaceFindings {
    /// Time passed.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Something deviated.
    pub(crate) fn deviate(&mut self, sign: Sign, now: Timestamp, symbols: &Symbols) {
        let folder = (sign.kind, sign.place);
        if !self.open.contains_key(&folder) {
            if self.open.len() >= MAX_OPEN {
                self.forgotten += 1;
                return;
            }
            let ordinal = self.ordinals.get(&folder).copied().unwrap_or(0);
            let mut finding = PlaceFinding::new(&sign, ordinal, now, symbols);
            finding.grow(sign, now);
            self.turns.push(Turn::Opened(finding.clone()));
            self.open.insert(folder, finding);
        } else if let Some(finding) = self.open.get_mut(&folder) {
            finding.grow(sign, now);
        }
    }

    /// So many of what could have deviated so went well.
    pub(crate) fn went_well(&mut self, kind: FindingKind, place: Place, many: u64) {
        if self.open.is_empty() {
            return;
        }
        let Some(finding) = self.open.get_mut(&(kind, place)) else { return };
        finding.went_well += many;
        // What fails with share p is missed by 3/p that go well in a row once in twenty times. What goes well and what does
        // not arrive in heaps, an export of each service at a time, so that many in a row say little of a moment.
        let enough = finding.went_well as f64 >= (3.0 / finding.share.clamp(1e-6, 1.0)).ceil();
        if enough && finding.is_quiet(self.now) {
            self.close(kind, place, FindingStatus::Resolved);
        }
    }

    /// What was found turned out not to be so, or to be over by itself.
    pub(crate) fn close(&mut self, kind: FindingKind, place: Place, status: FindingStatus) {
        let Some(mut finding) = self.open.remove(&(kind, place)) else { return };
        finding.status = status;
        finding.witnessed.close();
        *self.ordinals.entry((kind, place)).or_default() += 1;
        self.turns.push(Turn::Closed(finding.clone()));
        if self.closed.len() >= MAX_CLOSED {
            self.closed.remove(0);
            self.forgotten += 1;
        }
        self.closed.push(finding);
    }

    /// These traces went through, and every detector has seen them: where a finding is open they are what it is compared
    /// with.
    pub(crate) fn witness(&mut self, trees: &[Tree], operations: &Operations) {
        if trees.is_empty() || self.open.is_empty() {
            return;
        }
        for kind in self.open_kinds() {
            for tree in trees.iter().filter(|tree| tree.trace != TraceId(0)) {
                let mut places: Vec<Place> = Vec::new();
                for span in &tree.spans {
                    let operation = &operations[span.operation];
                    let service = Place::service(operation.service_name);
                    places.extend([service, Place { operation: Some(operation.name), ..service }]);
                }
                places.sort_unstable();
                places.dedup();
                let began = tree.spans.first().map(|span| span.start).unwrap_or_default();
                for from in places {
                    let is_there = |place: &Place| (place.service, place.operation) == (from.service, from.operation);
                    let alike = self.open.range_mut((kind, from)..).take(MAX_ALIKE);
                    let alike = alike.take_while(|((of, place), _)| *of == kind && is_there(place));
                    alike.for_each(|(_, finding)| finding.witnessed.go_well(began, tree.trace));
                }
            }
        }
    }

    fn open_kinds(&self) -> Vec<FindingKind> {
        let mut kinds: Vec<FindingKind> = self.open.keys().map(|(kind, _)| *kind).collect();
        kinds.dedup();
        kinds
    }

    /// What was witnessed of the finding with this id.
    pub(crate) fn witnessed(&self, id: &str) -> Option<&Witnessed> {
        let mut all = self.open.values().chain(self.closed.iter().rev());
        all.find(|finding| format!("{:016x}", finding.id.0) == id).map(|finding| &finding.witnessed)
    }

    pub(crate) fn is_open(&self, kind: FindingKind, place: Place) -> bool {
        self.open.contains_key(&(kind, place))
    }

    /// Whether any of this kind is open anywhere in this service.
    pub(crate) fn is_open_at(&self, kind: FindingKind, service: Symbol) -> bool {
        let first = self.open.range((kind, Place::service(service))..).next();
        first.is_some_and(|((of, place), _)| *of == kind && place.service == service)
    }

    /// Whether any that is open says that something is broken, and whether any is open at all.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = FindingKind> + '_ {
        self.open.keys().map(|(kind, _)| *kind)
    }

    /// What opened and closed since it was last asked. What deviated before a finding opened is told one by one, so it is
    /// told of as it stands by now.
    pub(crate) fn take_turns(&mut self) -> Vec<Turn> {
        let turns = std::mem::take(&mut self.turns);
        let as_it_stands = |turn: Turn| match turn {
            Turn::Opened(opened) => {
                let now = self.open.get(&(opened.kind, opened.place)).filter(|finding| finding.id == opened.id);
                Turn::Opened(now.cloned().unwrap_or(opened))
            }
            closed => closed,
        };
        turns.into_iter().map(as_it_stands).collect()
    }

    /// All of them as of `now`: open ones first, then the latest first.
    pub(crate) fn list(&self, now: Timestamp, symbols: &Symbols) -> Vec<FindingReport> {
        let mut open: Vec<&PlaceFinding> = self.open.values().collect();
        open.sort_by_key(|finding| (finding.is_quiet(now), std::cmp::Reverse(finding.last_seen)));
        open.into_iter().chain(self.closed.iter().rev()).map(|finding| finding.report(now, symbols)).collect()
    }
}

impl PlaceFinding {
    fn new(sign: &Sign, ordinal: u32, now: Timestamp, symbols: &Symbols) -> Self {
        let kind = hash(sign.kind.name().as_bytes());
        PlaceFinding {
            id: FindingId(mix(mix(sign.place.hash(symbols), kind), u64::from(ordinal))),
            kind: sign.kind,
            place: sign.place,
            count: 0,
            onset: sign.at,
            first_seen: now,
            last_seen: now,
            status: FindingStatus::Open,
            examples: Vec::new(),
            evidence: Vec::new(),
            share: 1.0,
            went_well: 0,
            witnessed: Witnessed::default(),
        }
    }

    fn grow(&mut self, sign: Sign, now: Timestamp) {
        self.count += 1;
        self.onset = self.onset.min(sign.at);
        self.last_seen = now;
        self.share = sign.share;
        self.went_well = 0;
        if let Some(Example::Trace(trace)) = sign.example {
            self.witnessed.fail(sign.at, trace);
        }
        let example = sign.example.map(|example| match example {
            Example::Trace(trace) => hex(trace),
            Example::Named(name) => name,
        });
        if let Some(example) = example
            && self.examples.len() < MAX_EXAMPLES
            && !self.examples.contains(&example)
        {
            self.examples.push(example);
        }
        if !sign.evidence.is_empty() && !self.evidence.contains(&sign.evidence) {
            if self.evidence.len() >= MAX_EVIDENCE {
                // The first one says how it began, and stays.
                self.evidence.remove(1);
            }
            self.evidence.push(sign.evidence);
        }
    }

    fn is_quiet(&self, now: Timestamp) -> bool {
        now >= self.last_seen + QUIET_AFTER
    }

    /// As it stands at `now`.
    pub(crate) fn report(&self, now: Timestamp, symbols: &Symbols) -> FindingReport {
        let text = |symbol| symbols.text(symbol).to_owned();
        let quiet = self.status == FindingStatus::Open && self.is_quiet(now);
        let status = if quiet { FindingStatus::Quiet } else { self.status };
        FindingReport {
            id: format!("{:016x}", self.id.0),
            kind: self.kind.name().to_owned(),
            flow: String::new(),
            after: None,
            before: None,
            service: Some(text(self.place.service)),
            operation: self.place.operation.map(text),
            peer: self.place.peer.map(text),
            subject: self.place.subject.map(text),
            owed_by: Vec::new(),
            count: self.count,
            onset: rfc3339(self.onset),
            first_seen: rfc3339(self.first_seen),
            last_seen: rfc3339(self.last_seen),
            status: status.name().to_owned(),
            examples: self.examples.clone(),
            evidence: self.evidence.clone(),
            title: words::title(self, symbols),
            diagnosis: None,
        }
    }
}
