//! An event as it was sent, before anything is made of it.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ErrorKind, MAX_ATTRIBUTES, MAX_TEXT};

/// A plain value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Scalar {
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
}

/// The data of an event.
#[derive(Default)]
pub(super) enum Data<'a> {
    #[default]
    None,
    /// As it stands in a JSON event.
    Json(&'a str),
    /// As it stands in the body of a request, or was in base64.
    Bytes(Cow<'a, [u8]>),
}

/// How the data is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Json,
    /// Nobody said: JSON if it can be read so.
    Unsaid,
    Other,
}

/// An event.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) subject: Option<String>,
    pub(super) time: u64,
    pub(super) trace: Option<(u128, u64)>,
    pub(super) extensions: Vec<(String, Scalar)>,
    /// Extensions beyond a bound.
    pub(super) dropped: u32,
    pub(super) content_type: Option<String>,
    pub(super) data: Data<'a>,
    spec_version: String,
}

impl<'a> Event<'a> {
    pub(super) fn from_json(body: &'a [u8]) -> Result<Event<'a>, ErrorKind> {
        let mut source = serde_json::Deserializer::from_slice(body);
        let members = source.deserialize_map(Members)?;
        source.end()?;
        let mut event = Event::default();
        for (name, value) in members {
            event.member(&name, value.get())?;
        }
        Ok(event)
    }

    fn member(&mut self, name: &str, value: &'a str) -> Result<(), ErrorKind> {
        if matches!(name, "data" | "data_base64") && value != "null" && !matches!(self.data, Data::None) {
            return Err(ErrorKind::TwoData);
        }
        match (name, value.as_bytes().first()) {
            // JSON has no better word for an absent attribute.
            (_, Some(b'n')) => {}
            ("data", _) => self.data = Data::Json(value),
            ("data_base64", Some(b'"')) => {
                let text: Cow<'_, str> = serde_json::from_str::<Text<'_>>(value)?.0;
                let bytes = BASE64.decode(text.as_bytes()).map_err(|_| ErrorKind::Base64)?;
                self.data = Data::Bytes(bytes.into());
            }
            ("data_base64", _) => return Err(ErrorKind::Base64),
            (_, Some(b'"')) => self.text(name, serde_json::from_str(value)?)?,
            (_, Some(b'{' | b'[')) => {
                return Err(ErrorKind::Attribute { name: name.chars().take(80).collect() });
            }
            ("id" | "source" | "type" | "specversion" | "subject" | "time" | "datacontenttype" | "dataschema", _) => {
                self.text(name, value.to_owned())?;
            }
            (_, Some(b't')) => self.extension(name, Scalar::Bool(true)),
            (_, Some(b'f')) => self.extension(name, Scalar::Bool(false)),
            _ => self.extension(name, serde_json::from_str::<serde_json::Number>(value).map(number)?),
        }
        Ok(())
    }

    /// Takes an attribute that was sent as text.
    pub(super) fn text(&mut self, name: &str, value: String) -> Result<(), ErrorKind> {
        match name {
            "id" => self.id = value,
            "source" => self.source = value,
            "type" => self.kind = value,
            "specversion" => self.spec_version = value,
            "subject" => self.subject = Some(value),
            "datacontenttype" => self.content_type = Some(value),
            "time" => self.time = nanoseconds(&value).ok_or(ErrorKind::Time { found: value })?,
            "traceparent" => match traceparent(&value) {
                Some(ids) => self.trace = Some(ids),
                // Kept as any other extension, so that it can be seen why the event has no trace.
                None => self.extension(name, Scalar::Text(value)),
            },
            _ => self.extension(name, Scalar::Text(value)),
        }
        Ok(())
    }

    fn extension(&mut self, name: &str, value: Scalar) {
        let long = matches!(&value, Scalar::Text(text) if text.len() > MAX_TEXT);
        if long || name.len() > MAX_TEXT || self.extensions.len() >= MAX_ATTRIBUTES {
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.extensions.push((name.to_owned(), value));
        }
    }

    /// Whether all is there that must be.
    pub(super) fn check(&self) -> Result<(), ErrorKind> {
        let required =
            [("specversion", &self.spec_version), ("id", &self.id), ("source", &self.source), ("type", &self.kind)];
        for (name, value) in required {
            if value.is_empty() {
                return Err(ErrorKind::Missing { name });
            }
        }
        if self.spec_version != "1.0" {
            return Err(ErrorKind::SpecVersion { found: self.spec_version.clone() });
        }
        Ok(())
    }

    pub(super) fn format(&self) -> Format {
        let Some(content_type) = &self.content_type else {
            return match self.data {
                Data::Json(_) => Format::Json,
                _ => Format::Unsaid,
            };
        };
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence.ends_with("/json") || essence.ends_with("+json") { Format::Json } else { Format::Other }
    }
}

/// A JSON number as it is best compared: an integer too large for 64 bits with a sign keeps its digits as text.
pub(super) fn number(number: serde_json::Number) -> Scalar {
    match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => Scalar::Int(integer),
        (None, Some(double)) if !number.is_u64() => Scalar::Double(double),
        _ => Scalar::Text(number.to_string()),
    }
}

/// A JSON string, borrowed where it can be.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an event, unread.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<Text<'de>, &RawValue>()? {
            members.push((name.0, value));
        }
        Ok(members)
    }
}

fn nanoseconds(time: &str) -> Option<u64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// Trace and parent of a W3C `traceparent`, unless they are none.
fn traceparent(text: &str) -> Option<(u128, u64)> {
    let (version, rest) = text.trim().split_at_checked(2)?;
    let (trace, rest) = rest.strip_prefix('-')?.split_at_checked(32)?;
    let (span, rest) = rest.strip_prefix('-')?.split_at_checked(16)?;
    let flags = rest.strip_prefix('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Later versions may append fields; version ff is forbidden.
    let valid = version != "ff"
        && [version, trace, span].into_iter().all(digits)
        && flags.get(..2).is_some_and(digits)
        && (flags.len() == 2 || version != "00");
    if !valid {
        return None;
    }
    let ids = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
    (ids.0 != 0 && ids.1 != 0).then_some(ids)
}

/// A header's value with `%20` and the like decoded, as the HTTP binding writes what is not plain ASCII.
pub(super) fn percent_decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = value.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
