//! Spans.

use truegreen_model::flow::{Signal, SpanKind};
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Link, Resource, Span, SpanKind as SentKind, Status, TraceSink};

use super::{Reading, Told};
use crate::matcher::key::mix;
use crate::matcher::names::Found;
use crate::matcher::pattern::Record;
use crate::trace::{Place, SpanRef};

impl<'a> TraceSink<'a> for Reading<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn span(&mut self, span: &Span<'a, '_>) {
        let Some(sender) = self.sender.clone() else { return };
        let (now, retention, wants_trace_ids) = (self.lamp.now, self.lamp.retention, self.wants_trace_ids);
        let Some(heard) = self.heard() else { return };
        heard.spans += 1;
        heard.error_spans += u64::from(span.status == Status::Error);
        // Past the bound on instances: counted, but neither a proof nor a step.
        let Some(instance) = sender.instance else { return };
        let end = Timestamp(span.end.max(span.start));
        heard.delivered(Signal::Span);
        heard.told(Some(Signal::Span), end, now);
        heard.traced(span.trace_id, span.trace_state, wants_trace_ids);
        if end.0 != 0 && end + retention >= now {
            heard.arrived(Signal::Span, end, now);
        }

        let mut found = Found::new();
        self.lamp.matcher.names.gather(span.attributes, &mut found);
        self.trace(span, &found, &sender, instance);
        let place = || Place {
            trace: TraceId(span.trace_id),
            span: span.span_id,
            parent: span.parent_span_id,
            links: links(span),
        };
        let record = Record {
            signal: Signal::Span,
            name: span.name,
            kind: kind(span.kind),
            severity: 0,
            body: None,
            found: &found,
            resource: &sender,
        };
        if self.is_candidate(&record) {
            let told = Told {
                trace: TraceId(span.trace_id),
                place: Some(place()),
                began: self.plausible(span.start),
                done: self.plausible(span.end),
                failed: span.status == Status::Error,
                identity: mix(mix(span.trace_id as u64, (span.trace_id >> 64) as u64), span.span_id),
                offset: span.offset,
            };
            self.match_record(&record, &told);
        }
        // Without a key it may still connect others.
        if !self.lend(&found, place) && !self.lamp.matcher.lent_names.is_empty() {
            let here = SpanRef { trace: TraceId(span.trace_id), span: span.span_id };
            self.digest.passing.push(here, span.parent_span_id, span.links.iter().map(link));
        }
    }
}

pub(super) fn links(span: &Span<'_, '_>) -> Vec<SpanRef> {
    span.links.iter().map(link).collect()
}

fn link(link: &Link) -> SpanRef {
    SpanRef { trace: TraceId(link.trace_id), span: link.span_id }
}

pub(crate) fn kind(kind: SentKind) -> SpanKind {
    match kind {
        SentKind::Unspecified => SpanKind::Unspecified,
        SentKind::Internal => SpanKind::Internal,
        SentKind::Server => SpanKind::Server,
        SentKind::Client => SpanKind::Client,
        SentKind::Producer => SpanKind::Producer,
        SentKind::Consumer => SpanKind::Consumer,
    }
}
