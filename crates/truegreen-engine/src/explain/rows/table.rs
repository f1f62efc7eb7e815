//! As a table: what was known of each before failing ones left the way of healthy ones.
//!
//! What comes after that is a consequence: a lost order has no stock update, and so none of its attributes. So a healthy
//! request is read up to where it took the step that failing ones lack, attributes that say how something ended are left
//! out, and so are those of operations that failing ones do not come to.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::contrast::{Condition, Contrast, Op};
use truegreen_model::time::Timestamp;
use truegreen_otlp::{SpanKind, Status};

use super::super::contrast::{Outcome, Table};
use super::super::radius::Reached;
use super::super::recording::Name;
use super::{Row, Rows};

/// So much larger a share of failing ones than of healthy ones may lack the operations that carry an attribute.
const LACKING: f64 = 0.1;
/// Operations that so few healthy ones come to are what failing ones do since they fail.
const HARDLY_EVER: f64 = 0.05;
/// Healthy ones of the same time with which those of before are not needed: with fewer, nothing that a tenth of them has is sure
/// to be seen among them.
const ENOUGH_BESIDE: usize = 30;

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

/// What rows tell: a table, what a failure reaches, and of each row its values.
pub(in super::super) struct Told<'c> {
    pub(in super::super) table: Table,
    pub(in super::super) reached: Vec<Reached<'c>>,
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
    /// As a table, and as what a failure reaches. `before` rows began before this time. Attributes that `hides` are left out.
    pub(in super::super) fn read(&self, before: Timestamp, hides: &dyn Fn(&str) -> bool) -> Told<'c> {
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
    pub(in super::super) fn alike(&self, told: &Told<'_>, difference: &Contrast) -> Option<Vec<bool>> {
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
}
