//! Failing and healthy requests as rows of a table: what was known of each before failing ones left the way of healthy ones.
//!
//! What comes after that is a consequence: a lost order has no stock update, and so none of its attributes. So a healthy
//! request is read up to where it took the step that failing ones lack, attributes that say how something ended are left
//! out, and so are those of operations that failing ones do not come to.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_model::contrast::{Condition, Contrast, Op};
use truegreen_model::observation::Evidence;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{SpanKind, Status};

use super::contrast::{Outcome, Table};
use super::radius::Reached;
use super::recording::{Name, Recording, Span};
use crate::cases::{Case, Cases};

/// So much larger a share of failing ones than of healthy ones may lack the operations that carry an attribute.
const LACKING: f64 = 0.1;
/// Operations that so few healthy ones come to are what failing ones do since they fail.
const HARDLY_EVER: f64 = 0.05;

/// Healthy ones of the same time with which those of before are not needed: with fewer, nothing that a tenth of them has is sure
/// to be seen among them.
const ENOUGH_BESIDE: usize = 30;
/// Most traces that one is linked to which still belongs to each of them.
const MAX_LINKED: usize = 16;

/// Attributes that say how something ended, what was typed in, or nothing about the request.
const NO_CAUSES: [&str; 25] = [
    "error.",
    "exception.",
    "otel.status",
    "http.response.",
    "http.status_code",
    "http.request.resend_count",
    "http.request.header.",
    "rpc.grpc.status_code",
    "rpc.response.",
    "db.response.",
    // Brokers give these to what they took.
    "messaging.message.id",
    "messaging.kafka.",
    "messaging.rabbitmq.message.delivery_tag",
    "db.query.text",
    "db.statement",
    "truegreen.outcome",
    "truegreen.reason",
    "url.full",
    "url.query",
    "thread.",
    "code.",
    "telemetry.",
    "process.",
    "os.",
    "service.name",
];

/// Where a finding about a place is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) service: Option<&'p str>,
    pub(super) operation: Option<&'p str>,
    /// What is found is that it comes a second time.
    pub(super) comes_again: bool,
}

/// One request or journey, with where its traces stand in the recording.
#[derive(Clone, Debug)]
pub(super) struct Row<'c> {
    pub(super) case: &'c Case,
    pub(super) is_failing: bool,
    /// Where in [`Recording::traces`] its traces stand, those it is linked to included.
    pub(super) traces: Vec<u32>,
    /// Nothing that began from here on, in nanoseconds since 1970, is looked at.
    until: u64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Rows<'c> {
    recording: &'c Recording,
    pub(super) rows: Vec<Row<'c>>,
}

/// What rows tell: a table, what a failure reaches, and of each row its values.
pub(super) struct Told<'c> {
    pub(super) table: Table,
    pub(super) reached: Vec<Reached<'c>>,
    titles: BTreeMap<String, Column>,
    read: Vec<Read>,
}

/// A column: an attribute of records, or of the resource of a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Column {
    /// Attributes of records come first: who cannot tell two apart is told the nearer one.
    service: Option<Name>,
    attribute: Name,
}

/// A service and one of its operations.
type Carrier = (Name, Name);

/// What one request tells.
#[derive(Default)]
struct Read {
    values: BTreeSet<(Column, Name)>,
    carriers: BTreeSet<Carrier>,
}

#[derive(Default)]
struct Known {
    /// When in a request it is first known, summed up over requests.
    offset: u64,
    seen: u64,
    carriers: BTreeSet<Carrier>,
}

impl<'c> Rows<'c> {
    /// Of the cases of a finding about this service and operation, or about the step of a flow. Cases of which nothing was
    /// recorded are left out.
    pub(super) fn of(cases: &'c Cases, place: &Place<'_>, recording: &'c Recording) -> Rows<'c> {
        let numbers: HashMap<u128, u32, FixedState> =
            recording.traces().iter().enumerate().map(|(n, trace)| (trace.id, n as u32)).collect();
        let linked = linked(recording, &numbers);
        let starts: HashMap<Evidence, u64, FixedState> = records(recording).collect();
        let mut rows = Vec::new();
        let sides = [(&cases.failing, true), (&cases.healthy, false)];
        for (case, is_failing) in sides.into_iter().flat_map(|(of, is)| of.cases().map(move |case| (case, is))) {
            let own: Vec<u32> = case.traces.iter().filter_map(|id| numbers.get(id).copied()).collect();
            let mut traces = own.clone();
            let others = own.iter().filter_map(|own| linked.get(own)).flatten();
            // Who takes a batch links to many: what it does is of all of them, and tells them apart by nothing.
            traces.extend(others.filter(|other| linked.get(other).is_none_or(|of| of.len() <= MAX_LINKED)));
            traces.sort_unstable();
            traces.dedup();
            if traces.is_empty() {
                continue;
            }
            let until = case.went_on.and_then(|evidence| starts.get(&evidence).copied()).unwrap_or(u64::MAX);
            let until = until.min(passed(recording, &traces, place));
            rows.push(Row { case, is_failing, traces, until });
        }
        Rows { recording, rows }
    }

    /// As a table, and as what a failure reaches. `before` rows began before this time. Attributes that `hides` are left out.
    pub(super) fn read(&self, before: Timestamp, hides: &dyn Fn(&str) -> bool) -> Told<'c> {
        let mut known: BTreeMap<Column, Known> = BTreeMap::new();
        let usual = self.usual();
        let read: Vec<_> = self.rows.iter().map(|row| self.read_row(row, &usual, &mut known)).collect();
        known.retain(|column, of| self.is_cause(column, of, &read) && !hides(self.recording.text(column.attribute)));
        let mut columns: Vec<(Column, u64)> =
            known.iter().map(|(column, of)| (*column, of.offset / of.seen.max(1))).collect();
        columns.sort_by_key(|(column, offset)| (column.service.is_some(), *offset, *column));
        let mut table = Table::new();
        let mut places = BTreeMap::new();
        for (column, _) in columns {
            if let Ok(place) = table.column(&self.title(column)) {
                places.insert(column, place);
            }
        }
        let mut reached = Vec::with_capacity(read.len());
        // Who went well at the same time tells most; who did so before may have been of another version, in another load.
        let is_earlier = |row: &Row<'_>| !row.is_failing && row.case.at < before;
        let beside = self.rows.iter().filter(|row| !row.is_failing && !is_earlier(row)).count();
        for (row, Read { values, .. }) in self.rows.iter().zip(&read) {
            let is_before = is_earlier(row);
            if is_before && beside >= ENOUGH_BESIDE {
                continue;
            }
            let outcome = Outcome::of(row.is_failing);
            if table.begin(if is_before { outcome.before() } else { outcome }).is_err() {
                break;
            }
            let mut one = Reached { is_failing: row.is_failing, ..Reached::default() };
            for (column, value) in values.iter().filter(|(column, _)| places.contains_key(column)) {
                let value = self.recording.text(*value);
                table.set(places[column], value);
                one.values.insert((self.recording.text(column.attribute), value));
            }
            if !is_before {
                reached.push(one);
            }
        }
        let titles = places.keys().map(|column| (self.title(*column), *column)).collect();
        Told { table, reached, titles, read }
    }

    /// Whether each row has what sets failing ones apart; nothing where nothing does.
    pub(super) fn alike(&self, told: &Told<'_>, difference: &Contrast) -> Option<Vec<bool>> {
        let explanations = &difference.explanations;
        if difference.verdict != "explained" || explanations.is_empty() {
            return None;
        }
        let holds = |read: &Read, condition: &Condition| {
            let Some(column) = told.titles.get(&condition.attribute) else { return false };
            let own = read.values.range((*column, Name::EMPTY)..).take_while(|(of, _)| of == column);
            let values: Vec<&str> = own.map(|(_, value)| self.recording.text(*value)).collect();
            let number = |text: &str| text.parse::<f64>().ok();
            let compares = |holds: fn(&f64, &f64) -> bool| {
                let bound = number(&condition.value);
                bound
                    .is_some_and(|bound| values.iter().filter_map(|value| number(value)).any(|own| holds(&own, &bound)))
            };
            match condition.op {
                Op::Is => values.contains(&condition.value.as_str()),
                Op::IsNot => !values.contains(&condition.value.as_str()),
                Op::AtMost => compares(f64::le),
                Op::Above => compares(f64::gt),
                Op::Absent => values.is_empty(),
                Op::Present => !values.is_empty(),
            }
        };
        let meets = |read: &Read| explanations.iter().any(|one| one.conditions.iter().all(|of| holds(read, of)));
        Some(told.read.iter().map(meets).collect())
    }

    fn title(&self, column: Column) -> String {
        let attribute = self.recording.text(column.attribute);
        match column.service {
            Some(service) => format!("{attribute} of {}", self.recording.text(service)),
            None => attribute.to_owned(),
        }
    }

    fn spans<'r>(&'r self, row: &'r Row<'_>) -> impl Iterator<Item = &'r Span> {
        let traces = row.traces.iter().filter_map(|at| self.recording.traces().get(*at as usize));
        traces.flat_map(|trace| self.recording.spans_of(trace)).filter(|span| span.start < row.until)
    }

    /// Operations that healthy ones come to: what only failing ones do, they do since they fail, and so it tells nothing of why.
    fn usual(&self) -> BTreeSet<Carrier> {
        let mut counts: BTreeMap<Carrier, u64> = BTreeMap::new();
        let mut healthy = 0;
        let is_healthy = |row: &&Row<'_>| !row.is_failing;
        // Those that went on are read up to where failing ones stop; others may owe no such step, and end elsewhere.
        let went_on = self.rows.iter().filter(is_healthy).filter(|row| row.case.went_on.is_some()).count();
        let is_compared = |row: &&Row<'_>| went_on < ENOUGH_BESIDE || row.case.went_on.is_some();
        let has_healthy = self.rows.iter().any(|row| !row.is_failing);
        for row in self.rows.iter().filter(|row| row.is_failing != has_healthy).filter(is_compared) {
            healthy += 1;
            let own: BTreeSet<Carrier> = self.spans(row).map(|span| (span.service, span.operation)).collect();
            own.into_iter().for_each(|carrier| *counts.entry(carrier).or_default() += 1);
        }
        let least = HARDLY_EVER * f64::from(healthy);
        counts.into_iter().filter(|(_, count)| *count as f64 > least).map(|(carrier, _)| carrier).collect()
    }

    fn read_row(&self, row: &Row<'_>, usual: &BTreeSet<Carrier>, known: &mut BTreeMap<Column, Known>) -> Read {
        let Read { mut values, mut carriers } = Read::default();
        let mut first: BTreeMap<Column, u64> = BTreeMap::new();
        let began = self.spans(row).map(|span| span.start).min().unwrap_or(0);
        let mut note = |column: Column, carrier: Carrier, value: Name, at: u64, known: &mut BTreeMap<Column, Known>| {
            values.insert((column, value));
            let since = first.entry(column).or_insert(at);
            *since = (*since).min(at);
            known.entry(column).or_default().carriers.insert(carrier);
        };
        for span in self.spans(row) {
            let (carrier, everything) = ((span.service, span.operation), (span.service, Name::EMPTY));
            // A call that failed was told nothing by whom it called: it lacks what others are told in its place.
            let is_answered =
                !(matches!(span.kind, SpanKind::Client | SpanKind::Producer) && span.status == Status::Error);
            carriers.extend(is_answered.then_some(carrier));
            carriers.insert(everything);
            let own = if usual.contains(&carrier) { self.recording.attributes(span.attributes) } else { &[] };
            for (attribute, value) in own {
                note(Column { service: None, attribute: *attribute }, carrier, *value, span.start - began, known);
            }
            let resource = self.recording.resource(span.resource);
            for (attribute, value) in resource.map(|of| self.recording.attributes(of.attributes)).unwrap_or_default() {
                let column = Column { service: Some(span.service), attribute: *attribute };
                note(column, everything, *value, span.start - began, known);
            }
        }
        for (column, at) in first {
            let of = known.entry(column).or_default();
            of.offset = of.offset.saturating_add(at);
            of.seen += 1;
        }
        Read { values, carriers }
    }

    /// Whether an attribute may be why some fail: not how they ended, nor a sign that they came less far.
    fn is_cause(&self, column: &Column, of: &Known, rows: &[Read]) -> bool {
        let name = self.recording.text(column.attribute);
        if NO_CAUSES.iter().any(|no| name.starts_with(no)) {
            return false;
        }
        let mut lacking = [0.0, 0.0];
        let mut all = [0.0, 0.0];
        for (row, Read { carriers, values }) in self.rows.iter().zip(rows) {
            let side = usize::from(row.is_failing);
            all[side] += 1.0;
            let is_told = values.range((*column, Name::EMPTY)..).next().is_some_and(|(of, _)| of == column);
            lacking[side] += f64::from(u8::from(!is_told && carriers.is_disjoint(&of.carriers)));
        }
        let [healthy, failing] = [0, 1].map(|side| if all[side] > 0.0 { lacking[side] / all[side] } else { 0.0 });
        failing <= healthy + LACKING && healthy <= 1.0 - HARDLY_EVER
    }

    /// The services that failing ones go through, by when they are come to.
    pub(super) fn path(&self) -> Vec<String> {
        let mut services: BTreeMap<Name, (u64, u64)> = BTreeMap::new();
        let mut requests = 0;
        for row in self.rows.iter().filter(|row| row.is_failing) {
            requests += 1;
            let began = self.spans(row).map(|span| span.start).min().unwrap_or(0);
            let mut first: BTreeMap<Name, u64> = BTreeMap::new();
            for span in self.spans(row) {
                let at = first.entry(span.service).or_insert(u64::MAX);
                *at = (*at).min(span.start - began);
            }
            for (service, at) in first {
                let (sum, count) = services.entry(service).or_default();
                (*sum, *count) = (sum.saturating_add(at), *count + 1);
            }
        }
        // What one in ten goes through is on no path of what fails.
        let mut path: Vec<(u64, &str)> = services
            .iter()
            .filter(|(_, (_, count))| count * 10 > requests)
            .map(|(service, (sum, count))| (sum / count, self.recording.text(*service)))
            .collect();
        path.sort_unstable();
        path.into_iter().map(|(_, service)| service.to_owned()).collect()
    }

    /// Which instances they went through: service, instance, version; failing and healthy ones.
    /// Healthy ones that began before this time went through those of before, which tells nothing of these.
    pub(super) fn instances(&self, since: Timestamp) -> BTreeMap<(&'c str, &'c str, &'c str), (u64, u64)> {
        let version = self.recording.name("service.version");
        let mut instances = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.is_failing || row.case.at >= since) {
            let mut through: BTreeSet<u32> = BTreeSet::new();
            through.extend(self.spans(row).map(|span| span.resource));
            for resource in through.into_iter().filter_map(|id| self.recording.resource(id)) {
                let version = version.and_then(|key| self.recording.attribute(resource.attributes, key));
                let [service, instance, version] =
                    [resource.service, resource.instance, version.unwrap_or(Name::EMPTY)]
                        .map(|name| self.recording.text(name));
                let (failing, healthy) = instances.entry((service, instance, version)).or_insert((0, 0));
                *if row.is_failing { failing } else { healthy } += 1;
            }
        }
        instances
    }

    /// The host of an instance; empty where it tells none.
    pub(super) fn host(&self, service: &str, instance: &str) -> &'c str {
        let recording = self.recording;
        let (service, instance) = (recording.name(service), recording.name(instance));
        let of = recording
            .spans()
            .iter()
            .filter_map(|span| recording.resource(span.resource))
            .find(|of| Some(of.service) == service && Some(of.instance) == instance);
        of.map_or("", |of| recording.text(of.host))
    }

    /// The same, with the hosts of those that are instances.
    pub(super) fn with_hosts(&self, mut names: Vec<String>) -> Vec<String> {
        let recording = self.recording;
        let own: BTreeSet<Name> = names.iter().filter_map(|name| recording.name(name)).collect();
        let resources: BTreeSet<u32> = recording.spans().iter().map(|span| span.resource).collect();
        let of_own =
            resources.into_iter().filter_map(|id| recording.resource(id)).filter(|of| own.contains(&of.instance));
        let hosts: BTreeSet<&str> = of_own.map(|of| recording.text(of.host)).filter(|host| !host.is_empty()).collect();
        names.extend(hosts.into_iter().map(str::to_owned));
        names
    }

    /// The service that takes the step which failing ones lack, as healthy ones show it.
    pub(super) fn owing(&self) -> Option<String> {
        let records: HashMap<Evidence, Name, FixedState> = {
            let spans = self.recording.spans().iter().filter_map(|span| Some((span.evidence?, span.service)));
            spans.chain(self.recording.logs().iter().filter_map(|log| Some((log.evidence?, log.service)))).collect()
        };
        let mut services: BTreeMap<&str, u64> = BTreeMap::new();
        for service in self.rows.iter().filter_map(|row| records.get(&row.case.went_on?)) {
            *services.entry(self.recording.text(*service)).or_default() += 1;
        }
        services.into_iter().max_by_key(|(_, count)| *count).map(|(service, _)| service.to_owned())
    }
}

/// When the last span of this place ended: what began after that is a consequence of how it went. What comes again after it
/// went well is preceded by consequences of the first time.
fn passed(recording: &Recording, traces: &[u32], place: &Place<'_>) -> u64 {
    let Place { service: Some(service), operation: Some(operation), comes_again } = *place else { return u64::MAX };
    let spans =
        traces.iter().filter_map(|at| recording.traces().get(*at as usize)).flat_map(|trace| recording.spans_of(trace));
    let at_place =
        spans.filter(|span| recording.text(span.service) == service && recording.text(span.name) == operation);
    let ends = at_place.map(|span| span.end.saturating_add(1));
    if comes_again { ends.min() } else { ends.max() }.unwrap_or(u64::MAX)
}

fn records(recording: &Recording) -> impl Iterator<Item = (Evidence, u64)> + '_ {
    let spans = recording.spans().iter().filter_map(|span| Some((span.evidence?, span.start)));
    spans.chain(recording.logs().iter().filter_map(|log| Some((log.evidence?, log.time))))
}

/// Traces that link to each other, by where they stand.
fn linked(recording: &Recording, numbers: &HashMap<u128, u32, FixedState>) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut linked: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for span in recording.spans() {
        for link in recording.links(span) {
            if let (Some(own), Some(other)) = (numbers.get(&span.trace), numbers.get(&link.trace)) {
                linked.entry(*own).or_default().insert(*other);
                linked.entry(*other).or_default().insert(*own);
            }
        }
    }
    linked
}
