//! What is kept of a span, a log, and who sent them.

use std::ops::Range;

use truegreen_model::observation::Evidence;
use truegreen_otlp::{SpanKind, Status};

use super::Name;

/// Attributes of one record: ask [`super::Recording::attributes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Attributes {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// Who sent records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resource {
    /// `service.name`; `unknown_service` where it is not said.
    pub service: Name,
    /// `service.instance.id`, else `k8s.pod.name`, else host and process id, else `container.id`; empty where none is said.
    pub instance: Name,
    /// `host.name`, else `k8s.node.name`; empty where neither is said.
    pub host: Name,
    /// All that was said of it.
    pub attributes: Attributes,
}

/// A span.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Span {
    /// Its trace.
    pub trace: u128,
    /// Its own id.
    pub id: u64,
    /// The id of the span it is a part of; 0 for none.
    pub parent_id: u64,
    /// Where in [`super::Recording::spans`] its parent stands, if it was seen.
    pub parent: Option<u32>,
    /// How many spans of its trace are above it.
    pub depth: u16,
    /// How many spans are below it; they stand right behind it.
    pub below: u32,
    /// Which stretch it belongs to: see [`super::Recorder::begin_part`].
    pub part: u16,
    /// Who sent it.
    pub resource: u32,
    /// The sender's service.
    pub service: Name,
    /// The sender's instance.
    pub instance: Name,
    /// Its name as sent.
    pub name: Name,
    /// Its name with ids in paths masked: `GET /users/17` is `GET /users/*`.
    pub operation: Name,
    /// Its role.
    pub kind: SpanKind,
    /// Start, in nanoseconds since 1970.
    pub start: u64,
    /// End, in nanoseconds since 1970; never before its start.
    pub end: u64,
    /// How it ended.
    pub status: Status,
    /// What its author said about the status.
    pub status_message: Name,
    /// Its attributes.
    pub attributes: Attributes,
    pub(super) events: (u32, u32),
    pub(super) links: (u32, u32),
    /// Where the record stands in the log of accepted requests, if it came from there.
    pub evidence: Option<Evidence>,
}

impl Span {
    /// In nanoseconds.
    pub const fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// Something that happened during a span, such as an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpanEvent {
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// Its name, such as `exception`.
    pub name: Name,
    /// Its attributes.
    pub attributes: Attributes,
}

/// Another span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its trace.
    pub trace: u128,
    /// Its id.
    pub span: u64,
}

/// OTLP's severity number: 1 to 4 trace, 5 debug, 9 info, 13 warn, 17 error, 21 to 24 fatal; 0 for not said. Where only
/// a text is said that is one of these words, it is read as its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Severity(pub u8);

impl Severity {
    /// The lowest of errors.
    pub const ERROR: Severity = Severity(17);

    pub(super) fn of(number: i32, text: &[u8]) -> Severity {
        if (1..=24).contains(&number) {
            return Severity(number as u8);
        }
        const WORDS: [(&[u8], u8); 8] = [
            (b"trace", 1),
            (b"debug", 5),
            (b"info", 9),
            (b"warn", 13),
            (b"warning", 13),
            (b"error", 17),
            (b"critical", 21),
            (b"fatal", 21),
        ];
        let word = WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        Severity(word.map_or(0, |(_, number)| *number))
    }
}

/// A log record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// Its trace; 0 for none.
    pub trace: u128,
    /// The id of its span; 0 for none.
    pub span_id: u64,
    /// Where in [`super::Recording::spans`] its span stands: the one it names, else the innermost one of its trace and
    /// instance (else service) that was under way at its time.
    pub span: Option<u32>,
    /// Which stretch it belongs to.
    pub part: u16,
    /// Who sent it.
    pub resource: u32,
    /// The sender's service.
    pub service: Name,
    /// The sender's instance.
    pub instance: Name,
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// How bad its author thought it.
    pub severity: Severity,
    /// What kind of event it is; empty for a plain line.
    pub event_name: Name,
    /// Its text with whatever varies as `*`; empty where there is none.
    pub template: Name,
    /// Its attributes.
    pub attributes: Attributes,
    /// Where the record stands in the log of accepted requests, if it came from there.
    pub evidence: Option<Evidence>,
    /// In which order it was taken.
    pub(super) order: u32,
}

impl Log {
    /// What it says: the name of the event, else the template of its text.
    pub fn says(&self) -> Name {
        if self.event_name == Name::EMPTY { self.template } else { self.event_name }
    }
}

/// Spans and logs of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// Its id.
    pub id: u128,
    /// Which stretch it belongs to.
    pub part: u16,
    /// First start of a span, or first log where it has none, in nanoseconds since 1970.
    pub start: u64,
    /// Last end of a span, or last log.
    pub end: u64,
    pub(super) spans: (u32, u32),
    pub(super) logs: (u32, u32),
}

impl Trace {
    /// Where its spans stand in [`super::Recording::spans`].
    pub fn spans(&self) -> Range<usize> {
        self.spans.0 as usize..self.spans.1 as usize
    }

    /// Where its logs stand in [`super::Recording::logs`].
    pub fn logs(&self) -> Range<usize> {
        self.logs.0 as usize..self.logs.1 as usize
    }
}

/// What found no room, or was no use. Zero everywhere where the recording is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeftOut {
    /// Spans past [`super::Bounds::spans`].
    pub spans: u64,
    /// Logs past [`super::Bounds::logs`].
    pub logs: u64,
    /// Attributes past [`super::Bounds::attributes`].
    pub attributes: u64,
    /// Span events past [`super::Bounds::events`].
    pub events: u64,
    /// Links past [`super::Bounds::links`].
    pub links: u64,
    /// Texts past [`super::Bounds::text_bytes`], read as `(other)`.
    pub texts: u64,
    /// Texts that were cut to 1,024 bytes.
    pub cut_texts: u64,
    /// Records past the limits on single records of OTLP.
    pub refused: u64,
    /// Spans that were there twice.
    pub duplicates: u64,
    /// Bodies that could not be read to their end.
    pub broken: u64,
}

impl LeftOut {
    /// Whether a part of what was handed over is missing: duplicates and cut texts are no loss.
    pub fn is_partial(&self) -> bool {
        let LeftOut { spans, logs, attributes, events, links, texts, refused, broken, .. } = *self;
        [spans, logs, attributes, events, links, texts, refused, broken].iter().any(|n| *n > 0)
    }
}
