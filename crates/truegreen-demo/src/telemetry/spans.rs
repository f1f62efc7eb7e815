//! Spans, log records, and what carries a trace from one service to the next.

use std::borrow::Cow;
use std::collections::HashMap;

use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Link, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::Telemetry;
use crate::Error;
use crate::database::Named;

/// A log record that is an event.
pub(crate) struct Event<'a> {
    pub(crate) name: &'static str,
    pub(crate) severity: Severity,
    pub(crate) body: String,
    pub(crate) attributes: Vec<(&'static str, &'a str)>,
}

impl Telemetry {
    /// Starts a span under `parent`. It ends by [`Telemetry::end`]; one that nobody ends is sent once nobody holds its
    /// context any more, and never if somebody does for ever.
    pub(crate) fn span(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        parent: &Context,
    ) -> Context {
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        parent.with_span(self.tracer.build_with_context(builder.with_start_time(self.clock.now()), parent))
    }

    /// Starts a span in a trace of its own that only links to where the message came from, if it says so.
    pub(crate) fn linked_span(
        &self,
        name: String,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        headers: &HashMap<String, String>,
    ) -> Context {
        let origin = extract(headers);
        let origin = origin.span().span_context().clone();
        let links = if origin.is_valid() { vec![Link::with_context(origin)] } else { Vec::new() };
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes).with_links(links);
        let root = Context::new();
        root.with_span(self.tracer.build_with_context(builder.with_start_time(self.clock.now()), &root))
    }

    /// Starts the client span of one statement. As stock database instrumentation has it, it carries nothing of what
    /// the statement is about, so the key has to come from the trace.
    pub(crate) fn query(
        &self,
        on: &Named,
        operation: &'static str,
        collection: &'static str,
        parent: &Context,
    ) -> Context {
        let attributes = vec![
            KeyValue::new("db.system.name", on.system),
            KeyValue::new("db.namespace", on.namespace.to_string()),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("db.collection.name", collection),
        ];
        self.span(format!("{operation} {collection}"), SpanKind::Client, attributes, parent)
    }

    /// Ends the span of a statement that wrote. The semantic conventions name returned rows only; for rows written this
    /// is the name that instrumentations of several languages have settled on.
    pub(crate) fn end_write(&self, context: &Context, affected: Result<u64, &Error>) {
        self.end_query(context, "db.response.affected_rows", affected);
    }

    /// Ends the span of a statement that read.
    pub(crate) fn end_read(&self, context: &Context, returned: Result<u64, &Error>) {
        self.end_query(context, "db.response.returned_rows", returned);
    }

    fn end_query(&self, context: &Context, counted: &'static str, rows: Result<u64, &Error>) {
        match rows {
            Ok(rows) => {
                context.span().set_attribute(KeyValue::new(counted, i64::try_from(rows).unwrap_or(i64::MAX)));
            }
            Err(error) => {
                if let Some(code) = error.database_code() {
                    context.span().set_attribute(KeyValue::new("db.response.status_code", code));
                }
                fail(context, error.kind(), error.to_string());
            }
        }
        self.end(context);
    }

    pub(crate) fn end(&self, context: &Context) {
        context.span().end_with_timestamp(self.clock.now());
    }

    /// Marks the span of `context` as failed and ends it.
    pub(crate) fn end_failed(&self, context: &Context, error_type: impl Into<Value>, description: String) {
        fail(context, error_type, description);
        self.end(context);
    }

    /// Emits `event`, belonging to the span of `context`.
    pub(crate) fn emit(&self, event: Event<'_>, context: &Context) {
        let mut record = self.logger.create_log_record();
        record.set_event_name(event.name);
        let now = self.clock.now();
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_severity_number(event.severity);
        record.set_severity_text(event.severity.name());
        record.set_body(AnyValue::from(event.body));
        for (name, value) in event.attributes {
            record.add_attribute(name, value.to_owned());
        }
        let span = context.span();
        let of = span.span_context();
        if of.is_valid() {
            record.set_trace_context(of.trace_id(), of.span_id(), Some(of.trace_flags()));
        }
        self.logger.emit(record);
    }

    /// Emits the event that something was done for an order, if it is known for which.
    pub(crate) fn emit_done(&self, name: &'static str, order: Option<&str>, context: &Context) {
        let attributes = order.map(|order| ("order.id", order)).into_iter().collect();
        self.emit(Event { name, severity: Severity::Info, body: name.replace('.', " "), attributes }, context);
    }
}

/// Marks the span of `context` as failed.
pub(crate) fn fail(context: &Context, error_type: impl Into<Value>, description: String) {
    let span = context.span();
    span.set_attribute(KeyValue::new("error.type", error_type));
    span.set_status(Status::error(description));
}

/// The W3C headers that name the span of `context`.
pub(crate) fn inject(context: &Context) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    // An empty tracestate says nothing.
    headers.retain(|_, value| !value.is_empty());
    headers
}

/// The remote context that `headers` name, or one without a span.
pub(crate) fn extract(headers: &dyn Extractor) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), headers)
}
