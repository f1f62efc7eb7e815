//! CloudEvents 1.0 as log records, so that plain events over HTTP need no SDK.
//!
//! Each event becomes one record of an `ExportLogsServiceRequest` in protobuf: `type` is its event name, `time` its time
//! (0 where it is absent, for whoever receives it to fill in), `source` the `service.name` of its resource,
//! `traceparent` its trace and span. Its attributes are `cloudevents.event_id`, `.event_source`, `.event_type`,
//! `.event_spec_version` and `.event_subject`, the extensions under their own names, and the plain values within JSON
//! `data` under their dotted path: `order.id` of `{"order":{"id":7}}`, and one array each for `lines.sku` and
//! `lines.qty` of `{"lines":[{"sku":"a","qty":1},{"sku":"b","qty":2}]}`. `data` itself is the body.
//!
//! Bounds: what of `data` goes beyond [`MAX_ATTRIBUTES`], [`MAX_VALUES`], [`MAX_DEPTH`] or [`MAX_TEXT`] is left out and
//! counted in the record's `dropped_attributes_count`; a body cut at [`MAX_BODY`] is marked [`TRUNCATED`].

use serde_json::value::RawValue;

use event::{Data, Event};

mod data;
mod event;
mod record;

/// Most attributes of one event.
pub const MAX_ATTRIBUTES: usize = 128;
/// Most plain values of `data` that are looked at, over all attributes.
pub const MAX_VALUES: usize = 4096;
/// Deepest nesting of objects and arrays in `data` that is looked into.
pub const MAX_DEPTH: usize = 8;
/// Longest text, and longest dotted path, that becomes an attribute, in bytes.
pub const MAX_TEXT: usize = 4096;
/// Longest body kept, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// The attribute (true) of a record whose body was cut.
pub const TRUNCATED: &str = "truegreen.body_truncated";

/// Which event was refused, and why; with it, its whole request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("event {index}: {kind}")]
pub struct Error {
    /// Position in the batch, from 0.
    pub index: usize,
    /// What was wrong with it.
    pub kind: ErrorKind,
}

/// What was wrong with an event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The event, or its data, is not the JSON that it should be; line and column are within the event.
    #[error("malformed JSON: {0}")]
    Json(String),
    /// A required attribute is missing or empty.
    #[error("{name:?} is missing or empty (hint: CloudEvents requires specversion, id, source and type)")]
    Missing {
        /// The attribute.
        name: &'static str,
    },
    /// Another version of CloudEvents.
    #[error("specversion {found:?} is not supported (hint: send \"1.0\")")]
    SpecVersion {
        /// The version sent.
        found: String,
    },
    /// `time` cannot be read, or lies before 1970.
    #[error("time {found:?} is no RFC 3339 timestamp (hint: write it as 2026-01-31T12:00:00Z, offset included)")]
    Time {
        /// The time sent.
        found: String,
    },
    /// An attribute that is an object or an array.
    #[error("attribute {name:?} must be a string, a number or a boolean (hint: structures belong into data)")]
    Attribute {
        /// The attribute.
        name: String,
    },
    /// `data_base64` is no base64.
    #[error("data_base64 is no base64")]
    Base64,
    /// Both `data` and `data_base64` were sent.
    #[error("data and data_base64 exclude each other")]
    TwoData,
}

impl From<serde_json::Error> for ErrorKind {
    fn from(error: serde_json::Error) -> ErrorKind {
        ErrorKind::Json(error.to_string())
    }
}

/// One event in JSON (`application/cloudevents+json`).
pub fn structured(body: &[u8]) -> Result<Vec<u8>, Error> {
    let event = Event::from_json(body).map_err(|kind| Error { index: 0, kind })?;
    record::request([Ok(event)].into_iter())
}

/// A batch of events in JSON (`application/cloudevents-batch+json`). One that is malformed refuses the whole batch.
pub fn batched(body: &[u8]) -> Result<Vec<u8>, Error> {
    let events: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|error| Error { index: 0, kind: error.into() })?;
    record::request(events.into_iter().map(|event| Event::from_json(event.get().as_bytes())))
}

/// One event in the headers of an HTTP request (`ce-id`, `ce-source`, ...), its data being the body. Other headers than
/// `ce-*` and `content-type` are ignored; the case of names is, too.
pub fn binary<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>, body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut event = Event::default();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "content-type" {
            event.content_type = Some(value.to_owned());
        } else if let Some(name) = name.strip_prefix("ce-") {
            event.text(name, event::percent_decoded(value)).map_err(|kind| Error { index: 0, kind })?;
        }
    }
    if !body.is_empty() {
        event.data = Data::Bytes(body.into());
    }
    record::request([Ok(event)].into_iter())
}
