//! Requests as they arrived, kept so that what a finding is about can be read again: what the log is to a server.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use truegreen_engine::cases::{Case, Cases};
use truegreen_engine::explain::recording::{Recorder, Recording};
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use super::record::Content;

/// As the server has it: most bytes read for those that are compared, and for what was before.
const MAX_BYTES: usize = 48 << 20;
const MAX_BYTES_BEFORE: usize = 16 << 20;
/// And for all that came right before something began, and since.
const MAX_BYTES_STRETCH: usize = 8 << 20;

/// Within so much everything of a request has come.
const EDGE: Duration = Duration::from_secs(30);

struct Body {
    signal: Signal,
    at: Timestamp,
    bytes: Vec<u8>,
}

/// The latest requests.
pub struct Kept {
    bodies: VecDeque<Body>,
    /// Sequence of the first of them.
    first: u64,
    /// Which requests hold records of a trace.
    traces: HashMap<u128, Vec<u64>>,
    most: usize,
}

impl Kept {
    /// Keeps so many at the most.
    pub fn new(most: usize) -> Kept {
        Kept { bodies: VecDeque::new(), first: 1, traces: HashMap::new(), most }
    }

    /// Keeps one. They come in sequence, from 1 on.
    pub fn keep(&mut self, (signal, at): (Signal, Timestamp), content: &Content, bytes: Vec<u8>) {
        let sequence = self.first + self.bodies.len() as u64;
        let mut traces: Vec<u128> = match content {
            // A request is found by the traces that its spans link to, too.
            Content::Spans(spans) => spans
                .iter()
                .flat_map(|span| [Some(span.context.trace), span.link.map(|link| link.trace)])
                .flatten()
                .collect(),
            Content::Logs(logs) => logs.iter().map(|log| log.context.trace).collect(),
            Content::Points(..) => Vec::new(),
        };
        traces.sort_unstable();
        traces.dedup();
        traces.into_iter().for_each(|trace| self.traces.entry(trace).or_default().push(sequence));
        self.bodies.push_back(Body { signal, at, bytes });
        if self.bodies.len() > self.most {
            self.bodies.pop_front();
            self.first += 1;
        }
    }

    /// Traces that are kept whole, each with when it was first heard of: of those at either edge of what is kept some is gone,
    /// or still on its way, and no finding is about such.
    pub fn requests(&self) -> impl Iterator<Item = (u128, Timestamp)> + '_ {
        let edges = [self.bodies.front(), self.bodies.back()].map(|body| body.map(|body| body.at).unwrap_or_default());
        let (first, last) = (edges[0] + EDGE, edges[1]);
        let mut all: Vec<(u128, Timestamp)> = self
            .traces
            .iter()
            .filter_map(|(trace, of)| {
                let at = of.iter().find_map(|sequence| self.bodies.get(sequence.checked_sub(self.first)? as usize))?.at;
                Some((*trace, at))
            })
            .collect();
        all.retain(|(_, at)| *at >= first && *at + EDGE <= last);
        all.sort_unstable();
        all.into_iter()
    }

    /// The telemetry of these, and some of what was before.
    pub fn recording(&self, cases: &Cases) -> Recording {
        let mut reading = Reading::of(self);
        let (mut failing, mut healthy) = (cases.failing.cases(), cases.healthy.cases());
        loop {
            let (one, other) = (failing.next(), healthy.next());
            if (one.is_none() && other.is_none()) || reading.bytes > MAX_BYTES {
                break;
            }
            one.into_iter().chain(other).for_each(|case| reading.case(case));
        }
        let both = cases.failing.cases().chain(cases.healthy.cases());
        let own: BTreeSet<u128> = both.flat_map(|case| &case.traces).copied().collect();
        reading.recorder.linked(&own).into_iter().for_each(|trace| reading.trace(trace));
        if let Some(first) = reading.read.first().copied() {
            reading.back_from(first, MAX_BYTES_BEFORE);
        }
        reading.recorder.finish()
    }

    /// All that came right before this time and right after it.
    pub fn stretch(&self, onset: Timestamp) -> Recording {
        let mut reading = Reading::of(self);
        let middle = self.first + self.bodies.partition_point(|body| body.at < onset) as u64;
        reading.back_from(middle, MAX_BYTES_STRETCH);
        reading.on_from(middle, MAX_BYTES_STRETCH);
        reading.recorder.finish()
    }
}

struct Reading<'k> {
    kept: &'k Kept,
    recorder: Recorder,
    read: BTreeSet<u64>,
    bytes: usize,
}

impl<'k> Reading<'k> {
    fn of(kept: &'k Kept) -> Reading<'k> {
        Reading { kept, recorder: Recorder::default(), read: BTreeSet::new(), bytes: 0 }
    }

    fn back_from(&mut self, mut sequence: u64, most: usize) {
        let most = self.bytes + most;
        while sequence > self.kept.first && self.bytes < most {
            sequence -= 1;
            self.request(sequence);
        }
    }

    fn on_from(&mut self, first: u64, most: usize) {
        let most = self.bytes + most;
        let end = self.kept.first + self.kept.bodies.len() as u64;
        for sequence in first..end {
            if self.bytes >= most {
                break;
            }
            self.request(sequence);
        }
    }

    fn case(&mut self, case: &Case) {
        case.evidence.iter().for_each(|evidence| self.request(evidence.sequence));
        case.traces.iter().for_each(|trace| self.trace(*trace));
    }

    fn trace(&mut self, trace: u128) {
        let kept = self.kept;
        kept.traces.get(&trace).into_iter().flatten().for_each(|sequence| self.request(*sequence));
    }

    fn request(&mut self, sequence: u64) {
        let place = sequence.checked_sub(self.kept.first);
        let Some(body) = place.and_then(|place| self.kept.bodies.get(place as usize)) else { return };
        if self.read.insert(sequence) && body.signal != Signal::Metrics {
            self.bytes += body.bytes.len();
            self.recorder.take_accepted(body.signal, &body.bytes, body.at, sequence);
        }
    }
}
