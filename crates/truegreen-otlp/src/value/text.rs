//! Values as text: what a key is compared by, and what a person reads.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Value;

impl<'a> Value<'a> {
    /// The value as text: texts as they are, integers in decimal, `true` or `false`, doubles shortest (42.0 is `42`, so
    /// that a key sent as a number by one service equals the text or integer of another), bytes as base64, arrays and
    /// maps as JSON; empty for [`Value::Empty`].
    pub fn text(&self) -> Cow<'a, [u8]> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            other => {
                let mut out = Vec::new();
                other.write_text(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// As [`Value::text`], with what is not UTF-8 replaced by `U+FFFD`.
    pub fn text_lossy(&self) -> Cow<'a, str> {
        match self.text() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Cow::Owned(text),
                Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
            },
        }
    }

    /// Appends [`Value::text`].
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Value::Empty => {}
            Value::Text(text) => out.extend_from_slice(text),
            Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Value::Int(number) => append(out, format_args!("{number}")),
            Value::Double(number) => double(*number, out),
            Value::Bytes(bytes) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
            Value::Array(_) | Value::Map(_) => self.write_json(out),
        }
    }

    /// Appends the value as JSON (numbers that JSON has no word for, and bytes, become texts).
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Empty => out.extend_from_slice(b"null"),
            Value::Text(text) => quoted(text, out),
            Value::Double(number) if !number.is_finite() => {
                out.push(b'"');
                double(*number, out);
                out.push(b'"');
            }
            Value::Bytes(bytes) => quoted(STANDARD.encode(bytes).as_bytes(), out),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) => self.write_text(out),
            Value::Array(array) => {
                out.push(b'[');
                for (at, value) in array.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    value.write_json(out);
                }
                out.push(b']');
            }
            Value::Map(map) => {
                out.push(b'{');
                for (at, entry) in map.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    quoted(entry.key, out);
                    out.push(b':');
                    entry.value.write_json(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Appends formatted text.
pub(crate) fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory cannot fail.
    let _ = out.write_fmt(text);
}

/// The shortest text that reads back as the same number, with an exponent where plain digits would run long.
pub(crate) fn double(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if size == 0.0 || (1e-6..1e21).contains(&size) {
        append(out, format_args!("{number}"));
    } else {
        append(out, format_args!("{number:e}"));
    }
}

/// A JSON string; what is not UTF-8 is replaced by `U+FFFD`.
pub(crate) fn quoted(text: &[u8], out: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, &String::from_utf8_lossy(text));
}
