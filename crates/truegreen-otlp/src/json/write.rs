//! Protobuf into JSON, by the tables of the schema.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::{ErrorKind, Fault};
use crate::schema::{self, Field, Kind, Message, Often};
use crate::value::text::{append, double, quoted};
use crate::wire::Reader;

/// Deepest nesting of values that can be read again.
const MAX_DEPTH: u32 = 24;

/// Most fields of a message.
const MAX_FIELDS: usize = 16;

/// The fields of one kind found in a message.
#[derive(Clone, Copy)]
struct Found<'a> {
    /// The message from the first one on.
    from: Reader<'a>,
    count: u32,
    last: Raw<'a>,
}

#[derive(Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Appends a message; `depth` counts the values around it.
pub(super) fn message(message: &'static Message, bytes: &[u8], depth: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        out.extend_from_slice(b"{}");
        return Ok(());
    }
    let found = survey(message, bytes)?;
    let mut separator = b'{';
    for (field, found) in message.fields.iter().zip(found) {
        let Some(found) = found else { continue };
        out.push(separator);
        separator = b',';
        out.push(b'"');
        out.extend_from_slice(field.camel.as_bytes());
        out.extend_from_slice(b"\":");
        match field.often {
            Often::Many => list(field, found.from, depth, out)?,
            Often::Once | Often::OneOf if found.count == 1 => single(field, found.last, depth, out)?,
            Often::Once | Often::OneOf => repeated(field, found, depth, out)?,
        }
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// One pass over the message: which fields there are, in whatever order they were sent.
fn survey<'a>(message: &'static Message, bytes: &'a [u8]) -> Result<[Option<Found<'a>>; MAX_FIELDS], Fault> {
    let mut found: [Option<Found<'a>>; MAX_FIELDS] = [None; MAX_FIELDS];
    let mut chosen = None;
    let mut fields = Reader::new(bytes);
    while !fields.is_empty() {
        let from = fields;
        let key = fields.key()?;
        let Some(at) = message.fields.iter().position(|field| field.number == key >> 3) else {
            fields.pass(key, 0)?;
            continue;
        };
        let field = &message.fields[at];
        let last = raw(field, key, &mut fields)?;
        if field.often == Often::OneOf && chosen != Some(at) {
            // Another of the set takes its place, and a former self of it is forgotten.
            if let Some(before) = chosen.replace(at) {
                found[before] = None;
            }
        }
        let slot = found[at].get_or_insert(Found { from, count: 0, last });
        slot.count += 1;
        slot.last = last;
    }
    Ok(found)
}

fn raw<'a>(field: &Field, key: u32, from: &mut Reader<'a>) -> Result<Raw<'a>, Fault> {
    if key == crate::wire::len(field.number) && (field.kind.has_length() || field.often == Often::Many) {
        from.chunk().map(Raw::Bytes)
    } else if key == field.kind.key(field.number) {
        field.kind.number(from).map(Raw::Number)
    } else {
        Err(Fault::at(from.rest(), ErrorKind::WrongType { field: field.number }))
    }
}

fn list(field: &Field, mut fields: Reader<'_>, depth: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut separator = b'[';
    let mut element = |raw: Raw<'_>, out: &mut Vec<u8>| {
        out.push(separator);
        separator = b',';
        single(field, raw, depth, out)
    };
    while !fields.is_empty() {
        let key = fields.key()?;
        if key >> 3 != field.number {
            fields.pass(key, 0)?;
            continue;
        }
        match raw(field, key, &mut fields)? {
            Raw::Bytes(packed) if !field.kind.has_length() => {
                let mut numbers = Reader::new(packed);
                while !numbers.is_empty() {
                    element(Raw::Number(field.kind.number(&mut numbers)?), out)?;
                }
            }
            raw => element(raw, out)?,
        }
    }
    if separator == b'[' {
        out.push(b'[');
    }
    out.push(b']');
    Ok(())
}

/// A field that should occur once and does not: the last one counts, and messages are read as one.
fn repeated(field: &Field, found: Found<'_>, depth: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
    let Kind::Message(inner) = field.kind else {
        return single(field, found.last, depth, out);
    };
    let mut whole = Vec::new();
    let mut fields = found.from;
    while let Some(piece) = fields.find(field.kind.key(field.number)) {
        whole.extend_from_slice(piece);
    }
    message(inner, &whole, below(inner, depth), out)
}

fn single(field: &Field, raw: Raw<'_>, depth: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
    match (raw, field.kind) {
        (Raw::Bytes(bytes), Kind::Message(inner)) => message(inner, bytes, below(inner, depth), out)?,
        (Raw::Bytes(bytes), Kind::Id) => {
            out.push(b'"');
            for byte in bytes {
                out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
            out.push(b'"');
        }
        (Raw::Bytes(bytes), Kind::Bytes) => quoted(BASE64.encode(bytes).as_bytes(), out),
        (Raw::Bytes(text), _) => quoted(text, out),
        (Raw::Number(bits), kind) => number(kind, bits, out),
    }
    Ok(())
}

fn number(kind: Kind, bits: u64, out: &mut Vec<u8>) {
    // 64-bit integers are strings, since JSON's readers keep 53 bits.
    match kind {
        Kind::Bool => out.extend_from_slice(if bits == 0 { b"false" } else { b"true" }),
        Kind::Int64 | Kind::Sfixed64 => append(out, format_args!("\"{}\"", bits.cast_signed())),
        Kind::Uint64 | Kind::Fixed64 => append(out, format_args!("\"{bits}\"")),
        Kind::Sint32 => {
            let bits = bits as u32;
            append(out, format_args!("{}", (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()));
        }
        Kind::Enum(_) => append(out, format_args!("{}", bits as i32)),
        Kind::Double => {
            let value = f64::from_bits(bits);
            let quote: &[u8] = if value.is_finite() { b"" } else { b"\"" };
            out.extend_from_slice(quote);
            double(value, out);
            out.extend_from_slice(quote);
        }
        _ => append(out, format_args!("{}", bits as u32)),
    }
}

fn below(message: &'static Message, depth: u32) -> u32 {
    let list = std::ptr::eq(message, &schema::ARRAY_VALUE) || std::ptr::eq(message, &schema::KEY_VALUE_LIST);
    depth + u32::from(list)
}
