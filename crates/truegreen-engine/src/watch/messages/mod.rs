//! Messages from their publication to what is done with them: consumers that fall behind, stand still or skip, messages
//! that are lost, never published, or processed more than once.
//!
//! A processing is joined to its publication by its link, else by its parent, else by the message's own id, across traces
//! and whichever is told first. Of what is missing nothing is concluded where it may have happened unheard ([`Hearing`]),
//! nor where consumers do not say what they process: then context is lost, and messages are not.

mod lane;
mod omitted;
mod pace;
mod reach;
mod settling;
mod skipping;
mod stream;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::observation::{InstanceId, Symbol, TraceId};
use truegreen_model::time::Timestamp;

use super::View;
use super::clocks::Clocks;
use super::hearing::Hearing;
use super::role::{Role, Roles};
use super::share::Deviation;
use super::table::Table;
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::SpanRef;
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};
use omitted::Omitted;
use reach::Reach;
use settling::Settling;
use skipping::Skipping;
use stream::Stream;
use window::{MessageId, Processing, Publication, Taken, Window};

const MAX_STREAMS: usize = 5_000;
/// Groups of one destination.
const MAX_GROUPS: usize = 16;
/// Messages of one batch that are followed.
const MAX_BATCH: usize = 256;
/// Ancestors looked at for what a processing belongs to.
const MAX_ANCESTORS: usize = 4;
/// Telemetry of both sides takes up to two export lags, each of this at least.
const LEAST_LAG: Duration = Duration::from_secs(10);
const MOST_LAG: Duration = Duration::from_secs(60);
/// What is not known to be lost is looked at again.
const AGAIN: Duration = Duration::from_secs(5);
/// A message is followed so long.
const FOLLOWED: Duration = Duration::from_secs(600);
/// One that was processed by all is followed so long, should it be processed again.
const REPEATED: Duration = Duration::from_secs(120);

/// All messages.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Messages {
    #[serde(skip)]
    roles: Roles,
    hearing: Hearing,
    window: Window,
    streams: Vec<Stream>,
    /// By destination, service and group.
    stream_ids: Table<(Symbol, Symbol, Option<Symbol>), u16>,
    /// Of each destination.
    groups: Table<Symbol, SmallVec<[u16; 2]>>,
    skipping: Skipping,
    omitted: Omitted,
    reach: Reach,
    settling: Settling,
    /// As of the last tick.
    lag: Duration,
    overflowed: u64,
}

/// Which message a span processes.
struct Origin {
    message: MessageId,
    /// In which it was published; `None` where only the message's own id is known.
    trace: Option<TraceId>,
}

/// What a processing turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turned {
    First,
    Again,
    Unknown,
}

impl Messages {
    pub(super) fn overflowed(&self) -> u64 {
        let tables = self.window.overflowed() + self.skipping.overflowed() + self.omitted.overflowed();
        tables + self.stream_ids.overflowed() + self.overflowed
    }

    /// A span came that ended then by its sender's clock.
    pub(super) fn heard(&mut self, instance: InstanceId, end: Timestamp, received: Timestamp) {
        self.reach.heard(instance, end, received);
    }

    pub(super) fn settled(&mut self, tree: &Tree, clocks: &mut Clocks, view: &View<'_>, findings: &mut PlaceFindings) {
        self.hearing.settled(tree, view);
        let (mut publishing, mut processing) = (SmallVec::<[usize; 8]>::new(), SmallVec::<[usize; 8]>::new());
        for (index, span) in tree.spans.iter().enumerate() {
            match self.roles.of(span.operation, view.operations, view.symbols) {
                Role::Publish => publishing.push(index),
                Role::Process => processing.push(index),
                _ => {}
            }
        }
        for index in &publishing {
            self.publish(tree, *index, clocks, view, findings);
        }
        for index in processing {
            self.process(tree, index, clocks, view, findings);
        }
        if !publishing.is_empty() || self.omitted.knows_any() {
            self.omitted.settled(tree, &publishing, (&self.hearing, view), findings);
        }
    }

    fn publish(
        &mut self,
        tree: &Tree,
        index: usize,
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let span = &tree.spans[index];
        let Some(subject) = view.operations[span.operation].subject else { return };
        if self.sends_what_was_created(tree, index, view) || !self.window.follows(tree.trace) {
            return;
        }
        let twin = Self::twin(tree, index);
        let above = match tree.parent(index) {
            Parent::At(parent) => Some(parent),
            _ => None,
        };
        let is_told =
            span.failed() && above.is_some_and(|above| tree.upwards(above).any(|above| tree.spans[above].failed()));
        let publication = Publication {
            operation: span.operation,
            instance: span.instance,
            subject,
            partition: span.partition,
            trace: tree.trace,
            start: span.start,
            end: span.end,
            received: span.received,
            latest: span.received,
            failed: span.failed(),
            error: span.error,
            is_told,
            twin,
            taken: SmallVec::new(),
        };
        let id = MessageId::of_span(SpanRef { trace: tree.trace, span: span.span });
        let name = (span.key != 0).then(|| MessageId::of_text(subject, span.key));
        let due = span.received + 2 * self.lag() + LEAST_LAG / 2;
        let Some(early) = self.window.publish((id, name), publication, due) else { return };
        for stream in self.groups.get(&subject).into_iter().flatten() {
            let stream = &mut self.streams[*stream as usize];
            stream.pace.published(span.end);
            if !span.failed() {
                stream.lane(span.partition).published(span.end);
            }
        }
        for processing in early {
            self.join(id, processing, clocks, view, findings);
        }
    }

    /// A client's send of messages whose own spans were created before says nothing new.
    fn sends_what_was_created(&mut self, tree: &Tree, index: usize, view: &View<'_>) -> bool {
        let span = &tree.spans[index];
        let Parent::At(parent) = tree.parent(index) else { return !span.links.is_empty() };
        let above = self.roles.of(tree.spans[parent].operation, view.operations, view.symbols);
        above == Role::Publish || !span.links.is_empty()
    }

    /// The same message published before or after it for the same request: one of both failed, or they have one id.
    fn twin(tree: &Tree, index: usize) -> Option<MessageId> {
        let Parent::At(parent) = tree.parent(index) else { return None };
        let span = &tree.spans[index];
        let is_twin = |other: &TracedSpan| {
            other.span != span.span
                && other.operation == span.operation
                && (other.failed() != span.failed() || (span.key != 0 && other.key == span.key))
        };
        let siblings = tree.children(parent).iter().take(MAX_BATCH).map(|sibling| &tree.spans[*sibling]);
        let twin = siblings.into_iter().find(|sibling| is_twin(sibling))?;
        Some(MessageId::of_span(SpanRef { trace: tree.trace, span: twin.span }))
    }

    fn process(
        &mut self,
        tree: &Tree,
        index: usize,
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let span = &tree.spans[index];
        let operation = &view.operations[span.operation];
        let Some(stream) = self.stream(span, view) else { return };
        self.reach.processes(span.instance, operation.service, span.received);
        if !tree.is_partial {
            self.settling.settled(span.received, self.lag(), view.now);
        }
        let origins = self.origins(tree, index, view);
        let went_well = !span.failed() && !span.refused && span.error.is_none();
        let processing = Processing {
            stream,
            instance: span.instance,
            trace: tree.trace,
            start: span.start,
            received: span.received,
            went_well,
        };
        let own = &mut self.streams[stream as usize];
        own.latest = own.latest.max(span.received);
        own.names(!origins.is_empty());
        let mut turned = Turned::Unknown;
        for Origin { message, trace } in origins {
            if trace.is_some_and(|trace| !self.window.follows(trace)) {
                continue;
            }
            turned = match self.window.find(message) {
                Some(id) => self.join(id, processing, clocks, view, findings),
                None => self.not_published(message, trace, span.partition, processing, findings),
            };
        }
        if turned != Turned::Again && !self.hearing.is_doubtful(operation.service, view) {
            self.skipping.processed(tree, index, &mut self.roles, view);
        }
    }

    /// One is processed of whose publication nothing is known yet.
    fn not_published(
        &mut self,
        message: MessageId,
        trace: Option<TraceId>,
        partition: Option<Symbol>,
        processing: Processing,
        findings: &mut PlaceFindings,
    ) -> Turned {
        if trace.is_none() && !self.window.follows_all() {
            return Turned::Unknown;
        }
        let due = processing.received + 2 * self.lag() + self.settling.horizon(self.lag());
        let is_again = self.window.wait(message, processing, due);
        let stream = &mut self.streams[processing.stream as usize];
        if is_again {
            // Of a lane that is known only by what was published there, nothing is known.
            stream.lanes.get_mut(&partition).into_iter().for_each(|lane| lane.repeats += 1);
            return Turned::Again;
        }
        // It moves on, though we do not know with what.
        if stream.lanes.get_mut(&partition).is_some_and(|lane| lane.moved(processing.start)) {
            stream.moves_again(findings);
        }
        Turned::Unknown
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
        let by_span = |at: SpanRef| Origin { message: MessageId::of_span(at), trace: Some(at.trace) };
        let span = &tree.spans[index];
        if !span.links.is_empty() {
            return span.links.iter().take(MAX_BATCH).map(|link| by_span(*link)).collect();
        }
        let mut origins = SmallVec::new();
        for at in tree.upwards(index).take(MAX_ANCESTORS) {
            let above = match tree.parent(at) {
                Parent::At(above) => above,
                Parent::Missing => {
                    origins.push(by_span(SpanRef { trace: tree.trace, span: tree.spans[at].parent }));
                    return origins;
                }
                Parent::Root => break,
            };
            let parent = &tree.spans[above];
            if self.roles.of(parent.operation, view.operations, view.symbols) == Role::Publish {
                origins.push(by_span(SpanRef { trace: tree.trace, span: parent.span }));
                return origins;
            }
            // A span that received one message.
            if let [link] = parent.links[..] {
                origins.push(by_span(link));
                return origins;
            }
        }
        if let (true, Some(subject)) = (span.key != 0, view.operations[span.operation].subject) {
            origins.push(Origin { message: MessageId::of_text(subject, span.key), trace: None });
        }
        origins
    }

    /// A processing and its publication are both known.
    fn join(
        &mut self,
        id: MessageId,
        processing: Processing,
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) -> Turned {
        let Some(publication) = self.window.get_mut(id) else { return Turned::Unknown };
        let stream = &mut self.streams[processing.stream as usize];
        publication.latest = publication.latest.max(processing.received);
        let known = publication.taken.iter_mut().find(|taken| taken.stream == processing.stream);
        if let Some(taken) = known {
            let before = *taken;
            (taken.went_well, taken.instance) = (processing.went_well, processing.instance);
            let lane = stream.lane(publication.partition);
            lane.repeats += 1;
            // One that failed is to be taken again, and so are those of a process that went away.
            let is_alive = before.instance == processing.instance
                || view.coverage.instance_last_heard(before.instance) >= Some(processing.received);
            if before.went_well && processing.went_well && !before.is_repeated && is_alive {
                taken.is_repeated = true;
                let what = "was processed again by the same consumer after it had been processed well";
                self.repeated(processing, what, view, findings);
            }
            return Turned::Again;
        }
        let from = (publication.instance, publication.start);
        clocks.message(from, (processing.instance, processing.start), view.now);
        publication.taken.push(Taken {
            stream: processing.stream,
            instance: processing.instance,
            went_well: processing.went_well,
            is_repeated: false,
        });
        let waited = clocks.between((publication.instance, publication.end), (processing.instance, processing.start));
        stream.pace.waited(processing.start, waited);
        let (partition, failed, end, twin) =
            (publication.partition, publication.failed, publication.end, publication.twin);
        stream.waited(waited);
        stream.hears(true);
        stream.pace.processed(processing.start);
        let lane = stream.lane(partition);
        if !failed {
            lane.no_longer_pending();
        }
        lane.processed(end);
        if lane.moved(processing.start) {
            stream.moves_again(findings);
        }
        let published_at = published_at(publication, view);
        stream.lost.well(FindingKind::LostPublish, published_at, findings);
        let is_twice = twin.and_then(|twin| self.window.get(twin)).is_some_and(|twin| {
            twin.taken(processing.stream).is_some_and(|taken| taken.went_well) && processing.went_well
        });
        if is_twice {
            let what = "was published twice for one request, and both were processed";
            self.repeated(processing, what, view, findings);
        } else {
            let stream = &mut self.streams[processing.stream as usize];
            stream.repeated.well(FindingKind::DuplicateDelivery, stream.place, findings);
        }
        Turned::First
    }

    fn repeated(&mut self, processing: Processing, what: &str, view: &View<'_>, findings: &mut PlaceFindings) {
        let stream = &mut self.streams[processing.stream as usize];
        let folder = (FindingKind::DuplicateDelivery, stream.place);
        let deviation = Deviation { at: processing.start, trace: processing.trace };
        let evidence = || format!("the message of trace {} {what}", super::hex(processing.trace));
        stream.repeated.deviated(folder, deviation, evidence, view, findings);
    }

    fn lag(&self) -> Duration {
        self.lag.clamp(LEAST_LAG, MOST_LAG)
    }

    pub(super) fn tick(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        self.lag = view.coverage.longest_export_lag();
        for (id, name) in self.window.take_due(view.now) {
            match self.missing(id, view, findings) {
                Some(again) => self.window.look_again((id, name), again),
                None => self.forget((id, name)),
            }
        }
        if self.window.tidy(view.now) {
            self.recount();
        }
        for stream in self.window.unheard(view.now) {
            self.streams[stream as usize].hears(false);
        }
        self.reach.tidy(view.now);
        let settled = view.now - self.settling.horizon(self.lag());
        self.skipping.decide(settled, view, findings);
        for stream in &mut self.streams {
            stream.keep_pace(view, findings);
            let Some(until) = self.reach.until(stream.service, settled, view.now) else { continue };
            if stream.is_followed() && !self.hearing.is_doubtful(stream.service, view) {
                stream.move_on(until, view, findings);
            }
        }
    }

    /// Looks at a message that should have been processed by now; when to look again, if ever.
    fn missing(&mut self, id: MessageId, view: &View<'_>, findings: &mut PlaceFindings) -> Option<Timestamp> {
        let publication = self.window.get(id)?;
        let age = view.now.since(publication.received);
        // What is tried again and again goes on being known.
        if view.now.since(publication.latest) >= FOLLOWED {
            return None;
        }
        let mut again = None;
        let mut lost = None;
        for group in self.groups.get(&publication.subject).into_iter().flatten() {
            if publication.taken(*group).is_some() || self.is_made_good(publication, *group) {
                continue;
            }
            again = Some(view.now + AGAIN);
            if self.is_lost(publication, *group, view) {
                lost = Some(*group);
                break;
            }
        }
        let Some(group) = lost else {
            // Should it be processed again.
            let until = publication.latest + REPEATED;
            return again.or((until > view.now).then_some(until));
        };
        let place = published_at(publication, view);
        let (at, trace) = (publication.end, publication.trace);
        let error = publication.error.filter(|_| publication.failed);
        let deviation = Deviation { at, trace };
        let stream = &mut self.streams[group as usize];
        let evidence = || {
            let failed = error.map_or_else(String::new, |error| {
                format!(" ended with `{}`, which its caller did not tell, and", view.symbols.text(error))
            });
            format!(
                "the message of trace {}{failed} was not processed by `{}` within {} s, though several published after it were",
                super::hex(trace),
                view.symbols.text(stream.place.service),
                age.as_secs(),
            )
        };
        stream.lost.deviated((FindingKind::LostPublish, place), deviation, evidence, view, findings);
        None
    }

    /// Whether it failed, and another attempt did not.
    fn is_made_good(&self, publication: &Publication, group: u16) -> bool {
        let twin = || publication.twin.and_then(|twin| self.window.get(twin));
        publication.failed && twin().is_some_and(|twin| twin.taken(group).is_some() || !twin.failed)
    }

    fn is_lost(&self, publication: &Publication, group: u16, view: &View<'_>) -> bool {
        let stream = &self.streams[group as usize];
        let Some(lane) = stream.lanes.get(&publication.partition) else { return false };
        let settled = view.now - self.settling.horizon(self.lag());
        let until = self.reach.until(stream.service, settled, view.now);
        let producer = view.operations[publication.operation].service;
        lane.has_overtaken(publication.end)
            && !publication.is_told
            && until >= Some(publication.received + stream.patience())
            && stream.is_followed()
            && view.coverage[producer].sampled().is_none()
            && !self.hearing.is_doubtful(stream.service, view)
            && !Hearing::has_gap(stream.service, publication.received - self.lag(), view.now, view)
    }

    fn forget(&mut self, ids: (MessageId, Option<MessageId>)) {
        let Some(publication) = self.window.forget(ids) else { return };
        for group in self.groups.get(&publication.subject).into_iter().flatten() {
            if publication.taken(*group).is_none() && !publication.failed {
                self.streams[*group as usize].lane(publication.partition).no_longer_pending();
            }
        }
    }

    /// Fewer messages are followed from now on, so what waited is not known any more.
    fn recount(&mut self) {
        for stream in &mut self.streams {
            stream.lanes.values_mut().for_each(|lane| lane.pending = 0);
        }
    }
}

fn published_at(publication: &Publication, view: &View<'_>) -> Place {
    Place { peer: None, ..Place::operation(&view.operations[publication.operation]) }
}
