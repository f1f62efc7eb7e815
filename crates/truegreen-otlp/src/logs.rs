//! Log records, and events as log records.

use crate::error::{Error, Fault};
use crate::limits::{Limits, Refusal, Tally};
use crate::resource::{Desk, Found, RECORD_LEVEL, Records, Resource, span_id, trace_id, walk};
use crate::value::{Attribute, Merged, Value};
use crate::wire::{self, Reader};

/// A log record, borrowed from the body and from the scan.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a, 's> {
    /// When it happened, in nanoseconds since 1970; 0 for not said.
    pub time: u64,
    /// When it was collected, in nanoseconds since 1970; 0 for not said.
    pub observed_time: u64,
    /// OTLP's severity number: 1 to 4 trace, 5 debug, 9 info, 13 warn, 17 error, 21 to 24 fatal; 0 for not said.
    pub severity: i32,
    /// The severity as its source calls it.
    pub severity_text: &'a [u8],
    /// What kind of event this is; empty for a plain log line.
    pub event_name: &'a [u8],
    /// The message.
    pub body: Value<'a>,
    /// The trace it belongs to; 0 for none, or for one that is no trace id (as OTLP asks receivers to read it).
    pub trace_id: u128,
    /// The span it belongs to; 0 for none.
    pub span_id: u64,
    /// W3C trace flags.
    pub flags: u32,
    /// Its attributes, in the order sent; keys may repeat.
    pub attributes: &'s [Attribute<'a>],
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
    /// Where the record's message begins in the body.
    pub offset: u32,
    /// The record's message.
    pub bytes: &'a [u8],
}

impl<'a> LogRecord<'a, '_> {
    /// The last value under this key.
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.attributes.iter().rev().find(|attribute| attribute.key == key).map(|attribute| attribute.value)
    }
}

/// Takes what a scan of logs finds. `()` takes nothing, for validation alone.
pub trait LogSink<'a> {
    /// The resource of the records that follow, until the next one.
    fn resource(&mut self, resource: &Resource<'a, '_>);

    /// A log record.
    fn log(&mut self, record: &LogRecord<'a, '_>);

    /// A record of the current resource was refused.
    fn refused(&mut self, _why: Refusal) {}
}

impl LogSink<'_> for () {
    fn resource(&mut self, _: &Resource<'_, '_>) {}

    fn log(&mut self, _: &LogRecord<'_, '_>) {}
}

const TIME: u32 = wire::fixed64(1);
const SEVERITY: u32 = wire::varint(2);
const SEVERITY_TEXT: u32 = wire::len(3);
const BODY: u32 = wire::len(5);
const ATTRIBUTE: u32 = wire::len(6);
const DROPPED_ATTRIBUTES: u32 = wire::varint(7);
const FLAGS: u32 = wire::fixed32(8);
const TRACE_ID: u32 = wire::len(9);
const SPAN_ID: u32 = wire::len(10);
const OBSERVED: u32 = wire::fixed64(11);
const EVENT_NAME: u32 = wire::len(12);
const LOG_FIELDS: u64 = wire::known(&[1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]);

/// Walks an `ExportLogsServiceRequest` (protobuf, decompressed) once and hands every record to the sink, after its
/// resource. On an error the sink has seen the records before it; [`crate::check`] first, where that matters.
pub fn scan_logs<'a>(body: &'a [u8], limits: &Limits, sink: &mut impl LogSink<'a>) -> Result<Tally, Error> {
    let mut scan = Scan { desk: Desk::new(body, limits), sink };
    walk(body, limits, &mut scan)?;
    Ok(scan.desk.tally)
}

struct Scan<'a, 'l, 'k, S> {
    desk: Desk<'a, 'l>,
    sink: &'k mut S,
}

impl<'a, S: LogSink<'a>> Records<'a> for Scan<'a, '_, '_, S> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.sink.resource(resource);
    }

    fn record(&mut self, bytes: &'a [u8], resource: Option<Refusal>) -> Result<(), Fault> {
        let mut found = Found::default();
        let mut body = Merged::default();
        let mut record = LogRecord {
            time: 0,
            observed_time: 0,
            severity: 0,
            severity_text: &[],
            event_name: &[],
            body: Value::Empty,
            trace_id: 0,
            span_id: 0,
            flags: 0,
            attributes: &[],
            dropped_attributes: 0,
            offset: self.desk.offset(bytes),
            bytes,
        };
        self.desk.attributes.clear();

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
                TIME => record.time = fields.fixed64()?,
                OBSERVED => record.observed_time = fields.fixed64()?,
                SEVERITY => record.severity = fields.varint()? as i32,
                SEVERITY_TEXT => record.severity_text = fields.chunk()?,
                EVENT_NAME => record.event_name = fields.chunk()?,
                BODY => body.add(fields.chunk()?, RECORD_LEVEL + 1, 0, &mut found.deepest)?,
                TRACE_ID => record.trace_id = trace_id(fields.chunk()?).unwrap_or(0),
                SPAN_ID => record.span_id = span_id(fields.chunk()?).unwrap_or(0),
                FLAGS => record.flags = fields.fixed32()?,
                DROPPED_ATTRIBUTES => record.dropped_attributes = fields.varint()? as u32,
                other => fields.skip(other, RECORD_LEVEL, LOG_FIELDS)?,
            }
        }

        record.body = body.finish(bytes, BODY);
        match self.desk.refusal(&found, resource) {
            None => {
                self.desk.tally.accepted += 1;
                self.sink.log(&LogRecord { attributes: &self.desk.attributes, ..record });
            }
            Some(why) => {
                self.desk.tally.refuse(why);
                self.sink.refused(why);
            }
        }
        Ok(())
    }
}
