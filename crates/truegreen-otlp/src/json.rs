//! OTLP/JSON into protobuf and back, so that everything behind the receiver reads one encoding.
//!
//! Read as the specification asks, and a little more kindly: ids in hexadecimal of either case, integers as numbers or
//! strings, enums by number or name, bytes as base64, field names in lowerCamelCase or snake_case, `null` as absent,
//! unknown fields ignored. Both ways stream: no tree is built, so that a hostile body of a few bytes a record costs no
//! more memory than its own size times four.

use serde::de::DeserializeSeed;

use crate::schema::{self, Message};
use crate::{Signal, error};

mod read;
mod write;

/// Why a JSON body was refused, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed OTLP/JSON at line {line} column {column}: {message}")]
pub struct Error {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1; 0 where the line ended before anything.
    pub column: usize,
    /// What was wrong, with a hint where there is one.
    pub message: String,
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        let (line, column, text) = (error.line(), error.column(), error.to_string());
        let place = format!(" at line {line} column {column}");
        let mut message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        if error.is_eof() {
            message.push_str(" (hint: the body lost its end)");
        }
        Error { line, column, message }
    }
}

fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &schema::TRACES,
        Signal::Logs => &schema::LOGS,
        Signal::Metrics => &schema::METRICS,
    }
}

/// A JSON request as protobuf bytes. They are well-formed, and not yet checked against any limit: [`crate::check`] does
/// that. JSON nested deeper than 128 levels (about 28 of nested values) is an error.
pub fn to_protobuf(signal: Signal, body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(body.len() / 2);
    transcode(signal, body, &mut out)?;
    Ok(out)
}

/// The protobuf bytes of whatever comes before the first mistake of a JSON request: for [`crate::senders`], to tell
/// whose request was refused. Never for taking records from it.
pub fn salvage(signal: Signal, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // The mistake is the reason for asking; it was reported by `to_protobuf`.
    let _ = transcode(signal, body, &mut out);
    out
}

fn transcode(signal: Signal, body: &[u8], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut source = serde_json::Deserializer::from_slice(body);
    read::Request { signal, message: request(signal), out }.deserialize(&mut source)?;
    source.end()
}

/// Appends a protobuf request as one line of JSON, as the Collector's file exporter writes it, without a line feed. What
/// is not UTF-8 becomes `U+FFFD`; values nested deeper than 24, beyond what [`to_protobuf`] takes, become empty.
pub fn write(signal: Signal, body: &[u8], out: &mut Vec<u8>) -> Result<(), error::Error> {
    write::message(request(signal), body, 0, out).map_err(|fault| fault.within(body))
}

/// Which of the three a line of JSON holds, by its first telling field; `None` if it is none of them.
pub fn signal_of(line: &[u8]) -> Option<Signal> {
    let mut found = None;
    // The search ends with an error on purpose, so as not to read the rest of the line.
    let _ = read::Telltale { found: &mut found }.deserialize(&mut serde_json::Deserializer::from_slice(line));
    found
}

/// The signal that a field of the outermost object tells of.
fn signal_by_field(name: &str) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| {
        let field = &request(*signal).fields[0];
        name == field.camel || name == field.snake
    })
}
