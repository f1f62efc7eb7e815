//! Spans.

use crate::error::{Error, Fault};
use crate::limits::{Limits, Refusal, Tally};
use crate::resource::{Desk, Found, RECORD_LEVEL, Records, Resource, span_id, trace_id, walk};
use crate::schema;
use crate::value::{Attribute, Deepest, pair};
use crate::wire::{self, Reader};

/// A span, borrowed from the body and from the scan.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a, 's> {
    /// Its trace, never 0.
    pub trace_id: u128,
    /// Its own id, never 0.
    pub span_id: u64,
    /// The span it is a part of; 0 for none.
    pub parent_span_id: u64,
    /// W3C `tracestate`, where the sampling threshold stands (`ot=th:`).
    pub trace_state: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// Its role.
    pub kind: SpanKind,
    /// Start, in nanoseconds since 1970; as sent, so anything at all.
    pub start: u64,
    /// End, in nanoseconds since 1970; as sent, so possibly before the start.
    pub end: u64,
    /// How it ended.
    pub status: Status,
    /// What its author said about the status.
    pub status_message: &'a [u8],
    /// W3C trace flags and OTLP's own.
    pub flags: u32,
    /// Its attributes, in the order sent; keys may repeat.
    pub attributes: &'s [Attribute<'a>],
    /// Other spans it has to do with, as a batch's consumer with the messages' producers.
    pub links: &'s [Link],
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
    /// Events that the sender dropped.
    pub dropped_events: u32,
    /// Links that the sender dropped.
    pub dropped_links: u32,
    /// Where the record's message begins in the body.
    pub offset: u32,
    /// The record's message.
    pub bytes: &'a [u8],
}

/// A span's role. Unknown numbers are read as unspecified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum SpanKind {
    /// Not said.
    #[default]
    Unspecified,
    /// Inside one service.
    Internal,
    /// Serves a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Processes a message.
    Consumer,
}

impl SpanKind {
    fn from_number(number: u64) -> SpanKind {
        // OTLP's enums are 32 bits wide; generated decoders cut the rest off.
        match number as u32 {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        }
    }
}

/// How a span ended. Unknown numbers are read as unset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Status {
    /// Not said.
    #[default]
    Unset,
    /// Declared fine.
    Ok,
    /// Failed.
    Error,
}

impl Status {
    fn from_number(number: u64) -> Status {
        match number as u32 {
            1 => Status::Ok,
            2 => Status::Error,
            _ => Status::Unset,
        }
    }
}

/// Another span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Link {
    /// Its trace, never 0.
    pub trace_id: u128,
    /// Its id, never 0.
    pub span_id: u64,
}

/// Something that happened during a span, such as an exception.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// Its name, such as `exception`.
    pub name: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Event<'a> {
    /// Its attributes, decoded as they are asked for.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let mut fields = Reader::new(self.bytes);
        std::iter::from_fn(move || pair(fields.find(EVENT_ATTRIBUTE)?, 0, &mut Deepest::default()).ok())
    }
}

impl<'a> Span<'a, '_> {
    /// The last value under this key.
    pub fn get(&self, key: &[u8]) -> Option<crate::Value<'a>> {
        self.attributes.iter().rev().find(|attribute| attribute.key == key).map(|attribute| attribute.value)
    }

    /// Its events, decoded as they are asked for: few ever are.
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> + use<'a> {
        let mut fields = Reader::new(self.bytes);
        std::iter::from_fn(move || event(fields.find(EVENT)?).ok())
    }
}

fn event(bytes: &[u8]) -> Result<Event<'_>, Fault> {
    let mut event = Event { time: 0, name: &[], bytes };
    let mut fields = Reader::new(bytes);
    while !fields.is_empty() {
        match fields.key()? {
            EVENT_TIME => event.time = fields.fixed64()?,
            EVENT_NAME => event.name = fields.chunk()?,
            other => fields.pass(other, 0)?,
        }
    }
    Ok(event)
}

/// Takes what a scan of traces finds. `()` takes nothing, for validation alone.
pub trait TraceSink<'a> {
    /// The resource of the spans that follow, until the next one.
    fn resource(&mut self, resource: &Resource<'a, '_>);

    /// A span.
    fn span(&mut self, span: &Span<'a, '_>);

    /// A span of the current resource was refused.
    fn refused(&mut self, _why: Refusal) {}
}

impl TraceSink<'_> for () {
    fn resource(&mut self, _: &Resource<'_, '_>) {}

    fn span(&mut self, _: &Span<'_, '_>) {}
}

const TRACE_ID: u32 = wire::len(1);
const SPAN_ID: u32 = wire::len(2);
const TRACE_STATE: u32 = wire::len(3);
const PARENT: u32 = wire::len(4);
const NAME: u32 = wire::len(5);
const KIND: u32 = wire::varint(6);
const START: u32 = wire::fixed64(7);
const END: u32 = wire::fixed64(8);
const ATTRIBUTE: u32 = wire::len(9);
const DROPPED_ATTRIBUTES: u32 = wire::varint(10);
const EVENT: u32 = wire::len(11);
const DROPPED_EVENTS: u32 = wire::varint(12);
const LINK: u32 = wire::len(13);
const DROPPED_LINKS: u32 = wire::varint(14);
const STATUS: u32 = wire::len(15);
const FLAGS: u32 = wire::fixed32(16);
const SPAN_FIELDS: u64 = wire::known(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

const EVENT_TIME: u32 = wire::fixed64(1);
const EVENT_NAME: u32 = wire::len(2);
const EVENT_ATTRIBUTE: u32 = wire::len(3);

const LINK_STATE: u32 = wire::len(3);
const LINK_ATTRIBUTE: u32 = wire::len(4);
const LINK_DROPPED: u32 = wire::varint(5);
const LINK_FLAGS: u32 = wire::fixed32(6);
const LINK_FIELDS: u64 = wire::known(&[1, 2, 3, 4, 5, 6]);

const STATUS_MESSAGE: u32 = wire::len(2);
const STATUS_CODE: u32 = wire::varint(3);
const STATUS_FIELDS: u64 = wire::known(&[2, 3]);

/// Walks an `ExportTraceServiceRequest` (protobuf, decompressed) once and hands every span to the sink, after its
/// resource. On an error the sink has seen the spans before it; [`crate::check`] first, where that matters.
pub fn scan_traces<'a>(body: &'a [u8], limits: &Limits, sink: &mut impl TraceSink<'a>) -> Result<Tally, Error> {
    let mut scan = Scan { desk: Desk::new(body, limits), links: Vec::new(), surplus_links: false, sink };
    walk(body, limits, &mut scan)?;
    Ok(scan.desk.tally)
}

struct Scan<'a, 'l, 'k, S> {
    desk: Desk<'a, 'l>,
    links: Vec<Link>,
    surplus_links: bool,
    sink: &'k mut S,
}

impl<'a, S: TraceSink<'a>> Records<'a> for Scan<'a, '_, '_, S> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.sink.resource(resource);
    }

    fn record(&mut self, bytes: &'a [u8], resource: Option<Refusal>) -> Result<(), Fault> {
        let mut found = Found::default();
        let (mut own_trace, mut own_id, mut parent): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let mut span = Span {
            trace_id: 0,
            span_id: 0,
            parent_span_id: 0,
            trace_state: &[],
            name: &[],
            kind: SpanKind::Unspecified,
            start: 0,
            end: 0,
            status: Status::Unset,
            status_message: &[],
            flags: 0,
            attributes: &[],
            links: &[],
            dropped_attributes: 0,
            dropped_events: 0,
            dropped_links: 0,
            offset: self.desk.offset(bytes),
            bytes,
        };
        self.desk.attributes.clear();
        self.links.clear();
        self.surplus_links = false;
        let ignored_before = self.desk.tally.ignored_links;

        let mut fields = Reader::new(bytes);
        while !fields.is_empty() {
            match fields.key()? {
                // Attributes come in a row.
                ATTRIBUTE => {
                    self.desk.attribute(fields.chunk()?, RECORD_LEVEL + 1, &mut found)?;
                    while fields.follows(ATTRIBUTE) {
                        self.desk.attribute(fields.chunk()?, RECORD_LEVEL + 1, &mut found)?;
                    }
                }
                TRACE_ID => own_trace = fields.chunk()?,
                SPAN_ID => own_id = fields.chunk()?,
                TRACE_STATE => span.trace_state = fields.chunk()?,
                PARENT => parent = fields.chunk()?,
                NAME => span.name = fields.chunk()?,
                KIND => span.kind = SpanKind::from_number(fields.varint()?),
                START => span.start = fields.fixed64()?,
                END => span.end = fields.fixed64()?,
                STATUS => status(fields.chunk()?, &mut span)?,
                FLAGS => span.flags = fields.fixed32()?,
                LINK => self.link(fields.chunk()?, &mut found)?,
                EVENT => schema::SPAN_EVENT.validate(fields.chunk()?, RECORD_LEVEL + 1, &mut found.deepest)?,
                DROPPED_ATTRIBUTES => span.dropped_attributes = fields.varint()? as u32,
                DROPPED_EVENTS => span.dropped_events = fields.varint()? as u32,
                DROPPED_LINKS => span.dropped_links = fields.varint()? as u32,
                other => fields.skip(other, RECORD_LEVEL, SPAN_FIELDS)?,
            }
        }

        span.trace_id = trace_id(own_trace).unwrap_or(0);
        span.span_id = span_id(own_id).unwrap_or(0);
        span.parent_span_id = span_id(parent).unwrap_or(0);
        let mut refusal = self.desk.refusal(&found, resource);
        if refusal.is_none() {
            refusal = match () {
                () if self.surplus_links => Some(Refusal::TooManyLinks),
                () if span.trace_id == 0 => Some(Refusal::BadTraceId),
                () if span.span_id == 0 => Some(Refusal::BadSpanId),
                () if !matches!(parent.len(), 0 | 8) => Some(Refusal::BadParentSpanId),
                () => None,
            };
        }
        match refusal {
            None => {
                self.desk.tally.accepted += 1;
                self.sink.span(&Span { attributes: &self.desk.attributes, links: &self.links, ..span });
            }
            Some(why) => {
                self.desk.tally.ignored_links = ignored_before;
                self.desk.tally.refuse(why);
                self.sink.refused(why);
            }
        }
        Ok(())
    }
}

impl<'a, S: TraceSink<'a>> Scan<'a, '_, '_, S> {
    #[inline(never)]
    fn link(&mut self, bytes: &'a [u8], found: &mut Found) -> Result<(), Fault> {
        let (mut trace, mut span): (&[u8], &[u8]) = (&[], &[]);
        let mut fields = Reader::new(bytes);
        while !fields.is_empty() {
            match fields.key()? {
                TRACE_ID => trace = fields.chunk()?,
                SPAN_ID => span = fields.chunk()?,
                LINK_STATE => drop(fields.chunk()?),
                LINK_ATTRIBUTE => drop(pair(fields.chunk()?, RECORD_LEVEL + 2, &mut found.deepest)?),
                LINK_DROPPED => drop(fields.varint()?),
                LINK_FLAGS => drop(fields.fixed32()?),
                other => fields.skip(other, RECORD_LEVEL + 1, LINK_FIELDS)?,
            }
        }
        match trace_id(trace).zip(span_id(span)) {
            None => self.desk.tally.ignored_links += 1,
            Some(_) if self.links.len() >= self.desk.limits.max_links => self.surplus_links = true,
            Some((trace_id, span_id)) => self.links.push(Link { trace_id, span_id }),
        }
        Ok(())
    }
}

fn status<'a>(bytes: &'a [u8], span: &mut Span<'a, '_>) -> Result<(), Fault> {
    let mut fields = Reader::new(bytes);
    while !fields.is_empty() {
        match fields.key()? {
            STATUS_CODE => span.status = Status::from_number(fields.varint()?),
            STATUS_MESSAGE => span.status_message = fields.chunk()?,
            other => fields.skip(other, RECORD_LEVEL + 1, STATUS_FIELDS)?,
        }
    }
    Ok(())
}
