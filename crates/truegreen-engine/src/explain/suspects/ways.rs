//! The way of each request: per span the sequence of what happened in it, from its start to its end.

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_otlp::{SpanKind, Status};

use super::super::recording::{Name, Recording, Severity, Span, Trace};
use super::cases::Cases;

/// Most events of one span that are looked at; what a loop does beyond them tells nothing new.
const MAX_STEPS: usize = 2_000;

/// Something that happens in a span.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Item {
    /// It starts.
    Start,
    /// It ends.
    End,
    /// It ends with status ERROR.
    Failed,
    /// The span it is a part of was not seen.
    Orphaned,
    /// A log line; whether it is an error.
    Log(Name, bool),
    /// A part of it starts: its service and operation.
    Child(Name, Name),
    /// Something that its author noted, such as an exception of this type.
    Event(Name, Name),
    /// It answers with this HTTP status.
    Answer(Name),
}

/// Spans of the same service, operation and role; logs of a service that lie in no span count as one without operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    pub(super) service: Name,
    pub(super) operation: Name,
    pub(super) role: u8,
}

impl Place {
    pub(super) fn is_client(self) -> bool {
        self.role == role(SpanKind::Client) || self.role == role(SpanKind::Producer)
    }

    pub(super) fn is_server(self) -> bool {
        self.role == role(SpanKind::Server) || self.role == role(SpanKind::Consumer)
    }
}

/// Names by which conventions, new and old, tell what an HTTP request was answered with.
const HTTP_STATUS: [&str; 2] = ["http.response.status_code", "http.status_code"];
/// The same of gRPC; 0 is fine.
const GRPC_STATUS: &str = "rpc.grpc.status_code";

fn role(kind: SpanKind) -> u8 {
    kind as u8
}

pub(super) fn place_of(span: &Span) -> Place {
    Place { service: span.service, operation: span.operation, role: role(span.kind) }
}

/// An item in a place: what may be missing or new.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Point {
    pub(super) place: u32,
    pub(super) item: Item,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) point: u32,
    pub(super) time: u64,
}

/// One span as a sequence.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) place: u32,
    /// Where in the recording its span stands; none for logs in no span.
    pub(super) span: Option<u32>,
    pub(super) instance: Name,
    pub(super) steps: Range<usize>,
}

/// The ways of all cases.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub(super) places: Vec<Place>,
    pub(super) points: Vec<Point>,
    pub(super) walks: Vec<Walk>,
    pub(super) steps: Vec<Step>,
    /// For each case its walks.
    pub(super) of_case: Vec<Range<usize>>,
    place_ids: HashMap<Place, u32, FixedState>,
    point_ids: HashMap<Point, u32, FixedState>,
}

/// Who does something, before it is put in order: the span's place in the trace, or a service's logs in no span.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Span(u32),
    Service(Name, Name),
}

impl Ways {
    pub(super) fn of(cases: &Cases<'_>) -> Ways {
        let mut ways = Ways::default();
        let mut happened = Vec::new();
        for case in 0..cases.all.len() {
            let start = ways.walks.len();
            for trace in cases.traces(case) {
                ways.add_trace(cases.recording, trace, &mut happened);
            }
            ways.of_case.push(start..ways.walks.len());
        }
        ways
    }

    pub(super) fn steps(&self, walk: &Walk) -> &[Step] {
        self.steps.get(walk.steps.clone()).unwrap_or_default()
    }

    fn add_trace(&mut self, recording: &Recording, trace: &Trace, happened: &mut Vec<(Owner, u64, u32, Item)>) {
        happened.clear();
        let (spans, first) = (recording.spans_of(trace), trace.spans().start);
        for (n, span) in spans.iter().enumerate() {
            let owner = Owner::Span((first + n) as u32);
            if let Some(parent) = span.parent {
                let item = Item::Child(span.service, span.operation);
                happened.push((Owner::Span(parent), span.start, n as u32, item));
            }
            for event in recording.events(span) {
                let kind = recording.name("exception.type").and_then(|key| recording.attribute(event.attributes, key));
                let item = Item::Event(event.name, kind.unwrap_or(Name::EMPTY));
                happened.push((owner, event.time, n as u32, item));
            }
            // Even a span in which nothing happens starts and ends.
            happened.push((owner, 0, 0, Item::Start));
        }
        for (n, log) in recording.logs_of(trace).iter().enumerate() {
            let owner = log.span.map_or(Owner::Service(log.service, log.instance), Owner::Span);
            let item = Item::Log(log.says(), log.severity >= Severity::ERROR);
            happened.push((owner, log.time.max(1), (spans.len() + n) as u32, item));
        }
        happened.sort_unstable();
        for of_owner in happened.chunk_by(|a, b| a.0 == b.0) {
            self.add_walk(recording, of_owner);
        }
    }

    fn add_walk(&mut self, recording: &Recording, happened: &[(Owner, u64, u32, Item)]) {
        let (place, span, instance) = match happened[0].0 {
            Owner::Span(at) => match recording.spans().get(at as usize) {
                Some(span) => (place_of(span), Some(at), span.instance),
                None => return,
            },
            Owner::Service(service, instance) => (Place { service, operation: Name::EMPTY, role: 0 }, None, instance),
        };
        let of = span.and_then(|at| recording.spans().get(at as usize));
        let next = self.places.len() as u32;
        let place = *self.place_ids.entry(place).or_insert_with(|| {
            self.places.push(place);
            next
        });
        let first = self.steps.len();
        let start = of.map_or(happened[0].1, |span| span.start);
        self.step(place, Item::Start, start);
        if of.is_some_and(|span| span.parent.is_none() && span.parent_id != 0) {
            self.step(place, Item::Orphaned, start);
        }
        for (_, time, _, item) in happened.iter().filter(|(.., item)| *item != Item::Start).take(MAX_STEPS) {
            self.step(place, *item, *time);
        }
        let end = of.map_or(happened[happened.len() - 1].1, |span| span.end);
        let answer = of.and_then(|span| answer(recording, span));
        if let Some(answer) = answer {
            self.step(place, Item::Answer(answer), end);
        }
        let failed = of.is_some_and(|span| has_failed(recording, span, answer));
        self.step(place, if failed { Item::Failed } else { Item::End }, end);
        self.walks.push(Walk { place, span, instance, steps: first..self.steps.len() });
    }

    fn step(&mut self, place: u32, item: Item, time: u64) {
        let point = Point { place, item };
        let next = self.points.len() as u32;
        let id = *self.point_ids.entry(point).or_insert_with(|| {
            self.points.push(point);
            next
        });
        self.steps.push(Step { point: id, time });
    }
}

fn answer(recording: &Recording, span: &Span) -> Option<Name> {
    HTTP_STATUS.iter().find_map(|key| recording.attribute(span.attributes, recording.name(key)?))
}

/// Some authors tell a failure by its code alone.
fn has_failed(recording: &Recording, span: &Span, answer: Option<Name>) -> bool {
    let grpc = recording.name(GRPC_STATUS).and_then(|key| recording.attribute(span.attributes, key));
    span.status == Status::Error
        || answer.is_some_and(|code| recording.text(code).starts_with('5'))
        || grpc.is_some_and(|code| recording.text(code) != "0")
}
