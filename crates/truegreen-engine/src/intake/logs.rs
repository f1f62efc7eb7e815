//! Log records, and CloudEvents, which the receiver hands on as log records that carry the event's id.

use truegreen_model::flow::{Signal, SpanKind};
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{LogRecord, LogSink, Resource};

use super::{Lamp, Reading, Told};
use crate::counters;
use crate::matcher::key::{hash, mix};
use crate::matcher::names::Found;
use crate::matcher::pattern::Record;
use crate::trace::Place;

impl<'a> LogSink<'a> for Reading<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn log(&mut self, log: &LogRecord<'a, '_>) {
        let Some(sender) = self.sender.clone() else { return };
        let Lamp { now, retention, matcher, .. } = self.lamp;
        let Some(heard) = self.heard() else { return };
        heard.logs += 1;
        let Some(instance) = sender.instance else { return };
        let mut found = Found::new();
        matcher.names.gather(log.attributes, &mut found);
        let find = |name| found.iter().find(|(id, _)| *id == name).map(|(_, value)| value.text());
        let event_id = find(matcher.event_id);
        let signal = if event_id.is_some() { Signal::Event } else { Signal::Log };
        let told_time = if log.time != 0 { log.time } else { log.observed_time };
        heard.delivered(signal);
        heard.told(Some(signal), Timestamp(told_time), now);
        if told_time != 0 && Timestamp(told_time) + retention >= now {
            heard.arrived(signal, Timestamp(told_time), now);
        }
        if signal == Signal::Event {
            // Of an event it was the receiver that left them out.
            self.count_many(counters::EVENT_BOUND, u64::from(log.dropped_attributes));
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
        let place = || Place { trace: TraceId(log.trace_id), span: 0, parent: log.span_id, links: Vec::new() };
        let has_trace = log.trace_id != 0;
        if self.is_candidate(&record) {
            let at = self.plausible(told_time);
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
            };
            self.match_record(&record, &told);
        }
        if has_trace {
            self.lend(&found, place);
        }
    }
}
