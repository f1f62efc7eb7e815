//! Log records, and CloudEvents, which the receiver hands on as log records that carry the event's id.

use smallvec::SmallVec;
use truegreen_model::flow::{Signal, SpanKind};
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{LogRecord, LogSink, Resource};

use super::{Intake, Told};
use crate::counters;
use crate::matcher::key::{hash, mix};
use crate::matcher::names::Found;
use crate::matcher::pattern::Record;
use crate::trace::Place;

impl<'a> LogSink<'a> for Intake<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.hear(resource);
    }

    fn log(&mut self, log: &LogRecord<'a, '_>) {
        let Some(sender) = self.sender.clone() else { return };
        self.desk.coverage[sender.service].logs += 1;
        let Some(instance) = sender.instance else { return };
        let matcher = self.desk.matcher;
        let mut found = Found::new();
        matcher.names.gather(log.attributes, &mut found);
        let find = |name| found.iter().find(|(id, _)| *id == name).map(|(_, value)| value.text());
        let event_id = find(matcher.event_id);
        let signal = if event_id.is_some() { Signal::Event } else { Signal::Log };
        self.desk.coverage.delivered(sender.service, signal, self.desk.now);
        if signal == Signal::Event {
            // Of an event it was the receiver that left them out.
            self.desk.counters.add(counters::EVENT_BOUND, u64::from(log.dropped_attributes));
        }

        let told_time = if log.time != 0 { log.time } else { log.observed_time };
        if told_time != 0 && Timestamp(told_time) + self.retention >= self.desk.now {
            self.desk.coverage.arrived(instance, signal, Timestamp(told_time), self.desk.now);
        }
        // Before log records had an event name of their own, it was an attribute.
        let named = if log.event_name.is_empty() { find(matcher.event_name) } else { None };
        let record = Record {
            signal,
            name: named.as_deref().unwrap_or(log.event_name),
            kind: SpanKind::Unspecified,
            severity: log.severity.clamp(0, 24) as u8,
            body: Some(log.body),
            found: &found,
            resource: &sender,
        };
        let place = || Place { trace: TraceId(log.trace_id), span: 0, parent: log.span_id, links: SmallVec::new() };
        let has_trace = log.trace_id != 0;
        if self.is_candidate(&record) {
            let at = self.plausible(told_time, instance);
            // An event is the same one by (source, id); a log record by its content and sender.
            let identity = match event_id {
                Some(id) => mix(hash(&id), find(matcher.event_source).map_or(0, |source| hash(&source))),
                None => mix(hash(log.bytes), u64::from(instance.0)),
            };
            let told = Told {
                trace: TraceId(log.trace_id),
                place: has_trace.then(place),
                began: at,
                done: at,
                failed: false,
                identity,
                offset: log.offset,
                instance,
            };
            self.match_record(&record, &told);
        }
        if has_trace {
            self.lend(&found, place());
        }
    }
}
