//! Telemetry as it was recorded: spans and logs with all of their attributes, put together by trace.
//!
//! A [`Recorder`] takes checked OTLP bodies in any order; [`Recorder::finish`] puts them together. Everything is kept in
//! flat lists, and each text once, named by a [`Name`].
//!
//! Reading order: `texts` (each text once), `records` (what is kept of a span and of a log), `recorder` (bytes to
//! records), `template` (log lines to the sentences they are made of), `assembly` (records to traces).

mod assembly;
mod recorder;
mod records;
mod template;
#[cfg(test)]
mod tests;
mod texts;

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

pub use recorder::{Bounds, Recorder};
pub use records::{Attributes, LeftOut, Link, Log, Resource, Severity, Span, SpanEvent, Trace};
pub use texts::Name;
use texts::Texts;

/// Spans and logs of one or several stretches of time.
#[derive(Debug, Default)]
pub struct Recording {
    texts: Texts,
    resources: Vec<Resource>,
    attributes: Vec<(Name, Name)>,
    events: Vec<SpanEvent>,
    links: Vec<Link>,
    spans: Vec<Span>,
    logs: Vec<Log>,
    traces: Vec<Trace>,
    by_id: HashMap<(u16, u128), u32, FixedState>,
    /// Logs that name no trace stand behind all others.
    loose: Range<usize>,
    left_out: LeftOut,
}

impl Recording {
    /// All traces, by part, then first start, then id. A trace may consist of logs alone.
    pub fn traces(&self) -> &[Trace] {
        &self.traces
    }

    /// The trace of this id in this part.
    pub fn trace(&self, part: u16, id: u128) -> Option<&Trace> {
        self.traces.get(*self.by_id.get(&(part, id))? as usize)
    }

    /// All spans, trace by trace in the order of [`Recording::traces`], each trace as a tree: a span stands before its
    /// children, and siblings stand in the order of their starts.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// All logs, trace by trace, each trace in the order of time; those of no trace come last.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The spans of a trace.
    pub fn spans_of(&self, trace: &Trace) -> &[Span] {
        self.spans.get(trace.spans()).unwrap_or_default()
    }

    /// The logs of a trace.
    pub fn logs_of(&self, trace: &Trace) -> &[Log] {
        self.logs.get(trace.logs()).unwrap_or_default()
    }

    /// Logs that name no trace, by part and time.
    pub fn loose_logs(&self) -> &[Log] {
        self.logs.get(self.loose.clone()).unwrap_or_default()
    }

    /// Where in [`Recording::spans`] the spans stand that are the roots of their trace or whose parent was not seen.
    pub fn roots(&self, trace: &Trace) -> impl Iterator<Item = usize> + '_ {
        let spans = trace.spans();
        let mut next = spans.start;
        std::iter::from_fn(move || {
            let at = (next < spans.end).then_some(next)?;
            next += self.spans.get(at)?.below as usize + 1;
            Some(at)
        })
    }

    /// Where in [`Recording::spans`] the children of this span stand, by start.
    pub fn children(&self, span: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.spans.get(span).map_or(0, |of| span + 1 + of.below as usize);
        let mut next = span + 1;
        std::iter::from_fn(move || {
            let at = (next < end).then_some(next)?;
            next += self.spans.get(at)?.below as usize + 1;
            Some(at)
        })
    }

    /// Who sent a record.
    pub fn resource(&self, id: u32) -> Option<&Resource> {
        self.resources.get(id as usize)
    }

    /// Key and value of each attribute of a span, log, event or resource, by key; a key that was sent twice counts once,
    /// with its last value.
    pub fn attributes(&self, of: Attributes) -> &[(Name, Name)] {
        self.attributes.get(of.range()).unwrap_or_default()
    }

    /// The value under this key.
    pub fn attribute(&self, of: Attributes, key: Name) -> Option<Name> {
        let all = self.attributes(of);
        all.binary_search_by_key(&key, |(key, _)| *key).ok().map(|at| all[at].1)
    }

    /// What happened during a span, as it was sent.
    pub fn events(&self, span: &Span) -> &[SpanEvent] {
        self.events.get(span.events.0 as usize..span.events.1 as usize).unwrap_or_default()
    }

    /// Other spans that a span has to do with.
    pub fn links(&self, span: &Span) -> &[Link] {
        self.links.get(span.links.0 as usize..span.links.1 as usize).unwrap_or_default()
    }

    /// The text of a name.
    pub fn text(&self, name: Name) -> &str {
        self.texts.text(name)
    }

    /// The name of a text, if it occurs anywhere.
    pub fn name(&self, text: &str) -> Option<Name> {
        self.texts.find(text)
    }

    /// What found no room, or was no use.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }
}
