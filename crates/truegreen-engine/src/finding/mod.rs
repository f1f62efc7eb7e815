//! Deviations that no contract names, folded into findings by kind and place: one opens a finding, a thousand more only
//! grow it, and enough that went well since then resolve it. Findings of flows are kept with the accounts.

pub(crate) mod place;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingId, FindingKind, FindingStatus};
use truegreen_model::observation::Symbol;
use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

use crate::date::rfc3339;
use crate::matcher::key::{hash, mix};
use crate::symbols::Symbols;
use place::Place;

const MAX_EXAMPLES: usize = 20;
const MAX_EVIDENCE: usize = 8;
/// Kinds and places at once; remote peers choose the names of services.
const MAX_OPEN: usize = 10_000;
const MAX_CLOSED: usize = 10_000;
/// Without a new deviation for so long a finding is quiet rather than open.
const QUIET_AFTER: Duration = Duration::from_secs(60);

/// One deviation.
#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) kind: FindingKind,
    pub(crate) place: Place,
    /// When it happened, in event time.
    pub(crate) at: Timestamp,
    /// A trace id, a key, or nothing.
    pub(crate) example: Option<String>,
    /// Which share of its like deviates, 0 to 1; so many that go well are needed before it counts as over.
    pub(crate) share: f64,
    /// What shows it, a sentence without a full stop; empty where the title says all.
    pub(crate) evidence: String,
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
    /// Deviations that no finding could be opened for, and closed findings that had to go.
    pub(crate) forgotten: u64,
}

impl PlaceFindings {
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
        // What fails with share p is missed by 3/p that go well in a row once in twenty times.
        if finding.went_well as f64 >= (3.0 / finding.share.clamp(1e-6, 1.0)).ceil() {
            self.close(kind, place, FindingStatus::Resolved);
        }
    }

    /// What was found turned out not to be so, or to be over by itself.
    pub(crate) fn close(&mut self, kind: FindingKind, place: Place, status: FindingStatus) {
        let Some(mut finding) = self.open.remove(&(kind, place)) else { return };
        finding.status = status;
        *self.ordinals.entry((kind, place)).or_default() += 1;
        self.turns.push(Turn::Closed(finding.clone()));
        if self.closed.len() >= MAX_CLOSED {
            self.closed.remove(0);
            self.forgotten += 1;
        }
        self.closed.push(finding);
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
        }
    }

    fn grow(&mut self, sign: Sign, now: Timestamp) {
        self.count += 1;
        self.onset = self.onset.min(sign.at);
        self.last_seen = now;
        self.share = sign.share;
        self.went_well = 0;
        if let Some(example) = sign.example
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
            count: self.count,
            onset: rfc3339(self.onset),
            first_seen: rfc3339(self.first_seen),
            last_seen: rfc3339(self.last_seen),
            status: status.name().to_owned(),
            examples: self.examples.clone(),
            evidence: self.evidence.clone(),
            title: words::title(self, symbols),
        }
    }
}
