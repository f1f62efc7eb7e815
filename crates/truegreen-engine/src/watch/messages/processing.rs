//! Processings: as they come, which moves their queues on, and once it is known what was done under them.

use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::observation::{Symbol, TraceId};
use truegreen_model::time::Timestamp;

use super::super::View;
use super::super::clocks::Clocks;
use super::super::role::Role;
use super::super::share::Deviation;
use super::losses::published_at;
use super::pace::Wait;
use super::stream::Stream;
use super::window::{MessageId, Processing, Taken};
use super::{MAX_BATCH, MAX_GROUPS, MAX_STREAMS, Messages};
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::SpanRef;
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};

/// Ancestors looked at for what a processing belongs to.
const MAX_ANCESTORS: usize = 4;

/// Which message a span processes.
#[derive(Clone)]
struct Origin {
    message: MessageId,
    /// In which it was published; `None` where only the message's own id is known.
    trace: Option<TraceId>,
}

impl Origin {
    fn of_span(at: SpanRef) -> Origin {
        Origin { message: MessageId::of_span(at), trace: Some(at.trace) }
    }

    fn of_text(subject: Option<Symbol>, key: u64) -> Option<Origin> {
        let subject = subject.filter(|_| key != 0)?;
        Some(Origin { message: MessageId::of_text(subject, key), trace: None })
    }
}

/// What a processing turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turned {
    First,
    Again,
    Unknown,
}

impl Messages {
    /// A message was taken.
    pub(super) fn taken(
        &mut self,
        (trace, span): (TraceId, &TracedSpan),
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let operation = &view.operations[span.operation];
        let Some(stream) = self.stream(span, view) else { return };
        self.reach.processes(span.instance, operation.service, span.received);
        self.skipping.heard(span);
        let processing = processing(stream, (trace, span));
        let own = &mut self.streams[stream as usize];
        own.latest = own.latest.max(span.received);
        if !span.links.is_empty() {
            for link in span.links.iter().take(MAX_BATCH) {
                self.take(&[Origin::of_span(*link)], processing, span.partition, clocks, view, findings);
            }
            return;
        }
        // What it hangs at need not be what it processes, which shows once its trace has settled.
        let parent = (span.parent != 0).then(|| Origin::of_span(SpanRef { trace, span: span.parent }));
        let origins: SmallVec<[Origin; 2]> =
            parent.into_iter().chain(Origin::of_text(operation.subject, span.key)).collect();
        self.take(&origins, processing, span.partition, clocks, view, findings);
    }

    /// Joins it to the first of these messages that is known, or lets it wait for one.
    fn take(
        &mut self,
        origins: &[Origin],
        processing: Processing,
        partition: Option<Symbol>,
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let is_followed = |origin: &&Origin| match origin.trace {
            Some(trace) => self.window.follows(trace),
            None => self.window.follows_all(),
        };
        let mut followed = origins.iter().filter(is_followed).map(|origin| origin.message);
        let Some(first) = followed.next() else { return };
        if let Some(id) = self.window.find(first) {
            self.streams[processing.stream as usize].joined_by_span();
            return self.join(id, processing, clocks, view, findings);
        }
        if let Some(id) = followed.find_map(|message| self.window.find(message)) {
            self.streams[processing.stream as usize].by_name = true;
            return self.join(id, processing, clocks, view, findings);
        }
        let is_again = self.window.wait(first, processing);
        let at = clocks.by_reference((processing.instance, processing.start));
        let stream = &mut self.streams[processing.stream as usize];
        let Some(lane) = stream.lanes.get_mut(&partition) else { return };
        if is_again {
            // Of a lane that is known only by what was published there, nothing is known.
            lane.repeats += 1;
        } else if lane.moved(at) {
            // It moves on, though we do not know with what.
            stream.moves_again(findings);
        }
    }

    /// A processing and its publication are both known.
    pub(super) fn join(
        &mut self,
        id: MessageId,
        processing: Processing,
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let Some(publication) = self.window.get_mut(id) else { return };
        let stream = &mut self.streams[processing.stream as usize];
        publication.latest = publication.latest.max(processing.received);
        if let Some(known) = publication.taken(processing.stream) {
            if known.by != processing.by {
                stream.lane(publication.partition).repeats += 1;
            }
            return;
        }
        let Processing { instance, by, start, end, received, went_well, .. } = processing;
        clocks.message((publication.instance, publication.start), (instance, start), view.now);
        publication.taken.push(Taken { stream: processing.stream, instance, by, went_well, is_repeated: false });
        let at = clocks.by_reference((instance, start));
        let waited = clocks.between((publication.instance, publication.end), (instance, start));
        let received = seconds(received) - seconds(publication.received);
        stream.pace.processed(at, Wait { waited, received, took: end.since(start) });
        stream.waited(waited + end.since(start));
        let lane = stream.lane(publication.partition);
        if !publication.failed {
            lane.no_longer_pending();
        }
        let moves_again = lane.moved(at);
        lane.processed(publication.at);
        if moves_again {
            stream.moves_again(findings);
        }
    }

    /// The trace in which a message was processed has settled.
    pub(super) fn processed(
        &mut self,
        tree: &Tree,
        index: usize,
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let span = &tree.spans[index];
        let service = view.operations[span.operation].service;
        let Some(stream) = self.stream(span, view) else { return };
        let origins = self.origins(tree, index, view);
        let processing = processing(stream, (tree.trace, span));
        let own = &mut self.streams[stream as usize];
        own.names(!origins.is_empty());
        own.by_name |= origins.iter().any(|origin| origin.trace.is_none());
        let mut turned = Turned::Unknown;
        for Origin { message, trace } in origins {
            let is_followed = trace.map_or(self.window.follows_all(), |trace| self.window.follows(trace));
            if !is_followed {
                continue;
            }
            turned = match self.window.find(message) {
                Some(id) => {
                    if self.window.get(id).is_some_and(|known| known.taken(stream).is_none()) {
                        self.join(id, processing, clocks, view, findings);
                    }
                    self.judge(id, processing, view, findings)
                }
                None => {
                    let due = processing.received + self.lag() + super::LEAST_LAG;
                    let is_first = self.window.expect(message, processing, due);
                    if is_first { Turned::Unknown } else { Turned::Again }
                }
            };
        }
        let says_nothing = turned == Turned::Again || self.hearing.is_doubtful(service, view);
        self.skipping.processed(tree, index, says_nothing, &mut self.roles, view);
    }

    /// Whether a processing that belongs to this message was the first by its consumer, and whether any other was well.
    fn judge(
        &mut self,
        id: MessageId,
        processing: Processing,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) -> Turned {
        let Some(publication) = self.window.get_mut(id) else { return Turned::Unknown };
        let Some(taken) = publication.taken.iter_mut().find(|taken| taken.stream == processing.stream) else {
            return Turned::Unknown;
        };
        if taken.by != processing.by {
            let before = *taken;
            (taken.went_well, taken.instance) = (processing.went_well, processing.instance);
            // One that failed is to be taken again, and so are those of a process that went away.
            let is_alive = before.instance == processing.instance
                || view.coverage.instance_last_heard(before.instance) >= Some(processing.received);
            if before.went_well && processing.went_well && !before.is_repeated && is_alive {
                taken.is_repeated = true;
                let what = "was processed again by the same consumer after it had been processed well";
                self.repeated(
                    processing.stream,
                    Deviation { at: processing.start, trace: processing.trace },
                    what,
                    view,
                    findings,
                );
            }
            return Turned::Again;
        }
        let published_at = published_at(publication, view);
        let stream = &mut self.streams[processing.stream as usize];
        stream.hears(true);
        stream.lost_none(published_at, view, findings);
        if !self.took_twice(id, processing.stream, view, findings) {
            let stream = &mut self.streams[processing.stream as usize];
            stream.repeated.well(FindingKind::DuplicateDelivery, stream.repeats_at(), findings);
        }
        Turned::First
    }

    /// Who processes so, entered where it is new.
    fn stream(&mut self, span: &TracedSpan, view: &View<'_>) -> Option<u16> {
        let operation = &view.operations[span.operation];
        let subject = operation.subject?;
        let key = (subject, operation.service_name, operation.group);
        if let Some(id) = self.stream_ids.get(&key) {
            return Some(*id);
        }
        let groups = self.groups.entry(subject, SmallVec::new)?;
        if self.streams.len() >= MAX_STREAMS || groups.len() >= MAX_GROUPS {
            self.overflowed += 1;
            return None;
        }
        let id = self.streams.len() as u16;
        groups.push(id);
        self.streams.push(Stream::new(operation.service, Place::operation(operation)));
        self.stream_ids.entry(key, || id).copied()
    }

    /// Which messages a span processes: those it links to, else that of its parent, else the one it names.
    fn origins(&mut self, tree: &Tree, index: usize, view: &View<'_>) -> SmallVec<[Origin; 1]> {
        let span = &tree.spans[index];
        if !span.links.is_empty() {
            return span.links.iter().take(MAX_BATCH).map(|link| Origin::of_span(*link)).collect();
        }
        for at in tree.upwards(index).take(MAX_ANCESTORS) {
            let above = match tree.parent(at) {
                Parent::At(above) => above,
                Parent::Missing => {
                    let missing = SpanRef { trace: tree.trace, span: tree.spans[at].parent };
                    return SmallVec::from_elem(Origin::of_span(missing), 1);
                }
                Parent::Root => break,
            };
            let parent = &tree.spans[above];
            if self.roles.of(parent.operation, view.operations, view.symbols) == Role::Publish {
                let published = SpanRef { trace: tree.trace, span: parent.span };
                return SmallVec::from_elem(Origin::of_span(published), 1);
            }
            // A span that received one message.
            if let [link] = parent.links[..] {
                return SmallVec::from_elem(Origin::of_span(link), 1);
            }
        }
        Origin::of_text(view.operations[span.operation].subject, span.key).into_iter().collect()
    }
}

fn processing(stream: u16, (trace, span): (TraceId, &TracedSpan)) -> Processing {
    let went_well = !span.failed() && !span.refused && span.error.is_none();
    let by = MessageId::of_span(SpanRef { trace, span: span.span });
    let TracedSpan { instance, start, end, received, .. } = *span;
    Processing { stream, instance, by, trace, start, end, received, went_well }
}

fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1e9
}
