//! Events as an `ExportLogsServiceRequest`.

use std::borrow::Cow;

use super::data::Leaves;
use super::event::{Data, Event, Format, Scalar};
use super::{Error, ErrorKind, MAX_ATTRIBUTES, MAX_BODY, TRUNCATED};
use crate::wire;
use crate::wire::out::{close, open, put_bytes, put_fixed64, put_varint};

// Field numbers of the messages written here.
const GROUP: u32 = 1;
const RESOURCE: u32 = 1;
const RESOURCE_ATTRIBUTE: u32 = 1;
const SCOPE_LOGS: u32 = 2;
const RECORD: u32 = 2;
const TIME: u32 = 1;
const BODY: u32 = 5;
const ATTRIBUTE: u32 = 6;
const DROPPED: u32 = 7;
const TRACE_ID: u32 = 9;
const SPAN_ID: u32 = 10;
const EVENT_NAME: u32 = 12;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const TEXT: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;
const BYTES: u32 = 7;
const ELEMENT: u32 = 1;

/// Writes the events; neighbours of one source share its resource.
pub(super) fn request<'a>(events: impl Iterator<Item = Result<Event<'a>, ErrorKind>>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut group: Option<(String, usize, usize)> = None;
    for (index, event) in events.enumerate() {
        let at = |kind| Error { index, kind };
        let event = event.map_err(at)?;
        event.check().map_err(at)?;
        if group.as_ref().is_none_or(|(source, ..)| *source != event.source) {
            finish(group.take(), &mut out);
            let start = open(GROUP, &mut out);
            let resource = open(RESOURCE, &mut out);
            attribute(RESOURCE_ATTRIBUTE, "service.name", &mut out, |out| {
                put_bytes(TEXT, event.source.as_bytes(), out)
            });
            close(resource, &mut out);
            let scope = open(SCOPE_LOGS, &mut out);
            group = Some((event.source.clone(), start, scope));
        }
        record(&event, &mut out).map_err(at)?;
    }
    finish(group, &mut out);
    Ok(out)
}

fn finish(group: Option<(String, usize, usize)>, out: &mut Vec<u8>) {
    if let Some((_, start, scope)) = group {
        close(scope, out);
        close(start, out);
    }
}

fn record(event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), ErrorKind> {
    let body = Body::of(event)?;
    let start = open(RECORD, out);
    if event.time > 0 {
        put_fixed64(TIME, event.time, out);
    }
    put_bytes(EVENT_NAME, event.kind.as_bytes(), out);
    if let Some((trace, span)) = event.trace {
        put_bytes(TRACE_ID, &trace.to_be_bytes(), out);
        put_bytes(SPAN_ID, &span.to_be_bytes(), out);
    }
    let truncated = body.write(out);

    let mut list = Attributes { out, count: 0, dropped: event.dropped };
    list.text("cloudevents.event_id", &event.id);
    list.text("cloudevents.event_source", &event.source);
    list.text("cloudevents.event_type", &event.kind);
    list.text("cloudevents.event_spec_version", "1.0");
    if let Some(subject) = &event.subject {
        list.text("cloudevents.event_subject", subject);
    }
    if truncated {
        list.add(TRUNCATED, |out| scalar(&Scalar::Bool(true), out));
    }
    for (name, value) in &event.extensions {
        list.add(name, |out| scalar(value, out));
    }
    if let Some(json) = body.json() {
        match Leaves::of(json, MAX_ATTRIBUTES - list.count) {
            Ok(leaves) => list.leaves(&leaves),
            Err(error) if event.format() == Format::Json => return Err(error.into()),
            // Nobody said that it was JSON.
            Err(_) => {}
        }
    }
    let dropped = list.dropped;
    if dropped > 0 {
        put_varint(u64::from(wire::varint(DROPPED)), out);
        put_varint(u64::from(dropped), out);
    }
    close(start, out);
    Ok(())
}

/// The attributes of one record, no more than may be.
struct Attributes<'o> {
    out: &'o mut Vec<u8>,
    count: usize,
    dropped: u32,
}

impl Attributes<'_> {
    fn add(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        if self.count >= MAX_ATTRIBUTES {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.count += 1;
        attribute(ATTRIBUTE, key, self.out, value);
    }

    fn text(&mut self, key: &str, text: &str) {
        self.add(key, |out| put_bytes(TEXT, text.as_bytes(), out));
    }

    fn leaves(&mut self, leaves: &Leaves) {
        self.dropped = self.dropped.saturating_add(leaves.dropped);
        for leaf in &leaves.leaves {
            match leaf.values.as_slice() {
                [value] if !leaf.many => self.add(&leaf.path, |out| scalar(value, out)),
                values => self.add(&leaf.path, |out| {
                    let array = open(ARRAY, out);
                    for value in values {
                        let element = open(ELEMENT, out);
                        scalar(value, out);
                        close(element, out);
                    }
                    close(array, out);
                }),
            }
        }
    }
}

fn attribute(field: u32, key: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    let start = open(field, out);
    put_bytes(KEY, key.as_bytes(), out);
    let inner = open(VALUE, out);
    value(out);
    close(inner, out);
    close(start, out);
}

fn scalar(value: &Scalar, out: &mut Vec<u8>) {
    match value {
        Scalar::Text(text) => put_bytes(TEXT, text.as_bytes(), out),
        Scalar::Bool(flag) => {
            put_varint(u64::from(wire::varint(BOOL)), out);
            out.push(u8::from(*flag));
        }
        Scalar::Int(integer) => {
            put_varint(u64::from(wire::varint(INT)), out);
            put_varint(integer.cast_unsigned(), out);
        }
        Scalar::Double(double) => put_fixed64(DOUBLE, double.to_bits(), out),
    }
}

/// The data of an event, as the body of its record.
enum Body<'a> {
    None,
    /// Text as it is to be shown, and as JSON where it is that.
    Text {
        shown: Cow<'a, str>,
        json: Option<&'a [u8]>,
    },
    Bytes(&'a [u8]),
}

impl<'a> Body<'a> {
    fn of(event: &'a Event<'a>) -> Result<Body<'a>, ErrorKind> {
        Ok(match (&event.data, event.format()) {
            (Data::None, _) => Body::None,
            // A text within JSON is shown without its quotes, whatever it is said to be.
            (Data::Json(json), _) if json.starts_with('"') => {
                Body::Text { shown: serde_json::from_str::<String>(json)?.into(), json: None }
            }
            (Data::Json(json), _) => Body::Text { shown: (*json).into(), json: Some(json.as_bytes()) },
            (Data::Bytes(bytes), format) => match std::str::from_utf8(bytes) {
                Ok(text) => Body::Text { shown: text.into(), json: (format != Format::Other).then_some(&bytes[..]) },
                Err(_) => Body::Bytes(bytes),
            },
        })
    }

    fn json(&self) -> Option<&'a [u8]> {
        match self {
            Body::Text { json, .. } => *json,
            Body::None | Body::Bytes(_) => None,
        }
    }

    /// Writes the body, and says whether it was cut.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let (field, bytes): (_, &[u8]) = match self {
            Body::None => return false,
            Body::Text { shown, .. } => (TEXT, &shown.as_bytes()[..shown.floor_char_boundary(MAX_BODY)]),
            Body::Bytes(bytes) => (BYTES, &bytes[..bytes.len().min(MAX_BODY)]),
        };
        let value = open(BODY, out);
        put_bytes(field, bytes, out);
        close(value, out);
        match self {
            Body::Text { shown, .. } => bytes.len() < shown.len(),
            Body::Bytes(whole) => bytes.len() < whole.len(),
            Body::None => false,
        }
    }
}
