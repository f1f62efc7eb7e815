//! JSON into protobuf, by the tables of the schema. Every message is closed even when an error passes through, so that
//! what was written before a mistake is well-formed.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::signal_by_field;
use crate::Signal;
use crate::schema::{Field, Kind, Message, Often};
use crate::wire::out::{close, open, put_varint};

/// Senders differ on whether base64 is padded.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The outermost object.
pub(super) struct Request<'o> {
    pub(super) signal: Signal,
    pub(super) message: &'static Message,
    pub(super) out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Request<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {:?}", self.message.fields[0].camel)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name { message: self.message })? {
            match name {
                Named::Known(field) => map.next_value_seed(Content { field, out: self.out })?,
                // Ignored like any unknown field, it would be acknowledged and lost.
                Named::OtherSignal(signal) => {
                    return Err(A::Error::custom(format_args!(
                        "this is a request of {}, not of {} (hint: send it to /v1/{})",
                        signal.name(),
                        self.signal.name(),
                        signal.name()
                    )));
                }
                Named::Unknown => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The fields of any message below.
fn fields<'de, A: MapAccess<'de>>(message: &'static Message, mut map: A, out: &mut Vec<u8>) -> Result<(), A::Error> {
    while let Some(name) = map.next_key_seed(Name { message })? {
        match name {
            Named::Known(field) => map.next_value_seed(Content { field, out })?,
            Named::OtherSignal(_) | Named::Unknown => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    Ok(())
}

enum Named {
    Known(&'static Field),
    OtherSignal(Signal),
    Unknown,
}

/// The name of a field.
struct Name {
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Named, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
        if let Some(field) = self.message.fields.iter().find(|field| field.camel == name || field.snake == name) {
            return Ok(Named::Known(field));
        }
        Ok(signal_by_field(name).map_or(Named::Unknown, Named::OtherSignal))
    }
}

/// All that a field holds: one value, or a list of them.
struct Content<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        match self.field.often {
            Often::Many => source.deserialize_any(List(self)),
            Often::Once | Often::OneOf => {
                source.deserialize_any(Single { field: self.field, packed: false, out: self.out })
            }
        }
    }
}

struct List<'o>(Content<'o>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array in {:?}", self.0.field.camel)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Content { field, out } = self.0;
        let packed = !field.kind.has_length();
        let start = packed.then(|| open(field.number, out));
        let read = (|| {
            while list.next_element_seed(Single { field, packed, out })?.is_some() {}
            Ok(())
        })();
        if let Some(start) = start {
            close(start, out);
        }
        read
    }
}

/// One value, written with its key unless it is packed in a list.
struct Single<'o> {
    field: &'static Field,
    packed: bool,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Single<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl Single<'_> {
    fn bytes(self, bytes: &[u8]) {
        let start = open(self.field.number, self.out);
        self.out.extend_from_slice(bytes);
        close(start, self.out);
    }

    /// The raw bits of a number, as wide as its kind.
    fn number(self, bits: u64) {
        let kind = self.field.kind;
        if !self.packed {
            put_varint(u64::from(kind.key(self.field.number)), self.out);
        }
        match kind {
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => self.out.extend_from_slice(&bits.to_le_bytes()),
            Kind::Fixed32 => self.out.extend_from_slice(&(bits as u32).to_le_bytes()),
            _ => put_varint(bits, self.out),
        }
    }

    fn integer<E: Error>(self, number: i128) -> Result<(), E> {
        let (least, most) = match self.field.kind {
            Kind::Double => {
                self.number((number as f64).to_bits());
                return Ok(());
            }
            Kind::Int64 | Kind::Sfixed64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Kind::Uint64 | Kind::Fixed64 => (0, i128::from(u64::MAX)),
            Kind::Uint32 | Kind::Fixed32 => (0, i128::from(u32::MAX)),
            Kind::Sint32 | Kind::Enum(_) => (i128::from(i32::MIN), i128::from(i32::MAX)),
            _ => return Err(self.mistake(format_args!("the number {number}"))),
        };
        if !(least..=most).contains(&number) {
            return Err(E::custom(format_args!("{:?} is {number}, beyond {least} to {most}", self.field.camel)));
        }
        let bits = match self.field.kind {
            // Small numbers of either sign are written short.
            Kind::Sint32 => u64::from(((number as i32) << 1 ^ (number as i32) >> 31).cast_unsigned()),
            _ => number as u64,
        };
        self.number(bits);
        Ok(())
    }

    fn float<E: Error>(self, number: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                self.number(number.to_bits());
                Ok(())
            }
            // 2^64 and beyond is out of range whatever its digits.
            _ if number.fract() == 0.0 && number.abs() < 1e20 => self.integer(number as i128),
            _ => Err(self.mistake(format_args!("the number {number}"))),
        }
    }

    fn text<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Id => match hex(text) {
                Some(id) => self.bytes(&id),
                None => return Err(self.mistake(format_args!("{text:?}"))),
            },
            Kind::Bytes => match BASE64.decode(text) {
                Ok(bytes) => self.bytes(&bytes),
                Err(_) => return Err(self.mistake(format_args!("{text:?}"))),
            },
            Kind::Enum(names) => match names.iter().find(|(name, _)| *name == text) {
                Some((_, number)) => return self.integer(i128::from(*number)),
                None => return self.digits(text),
            },
            _ => return self.digits(text),
        }
        Ok(())
    }

    /// A number sent as text.
    fn digits<E: Error>(self, text: &str) -> Result<(), E> {
        let numeric = !matches!(self.field.kind, Kind::Bool | Kind::Message(_));
        if numeric && let Ok(number) = text.parse::<i128>() {
            return self.integer(number);
        }
        let number = match (self.field.kind, text) {
            (Kind::Double, "NaN") => Some(f64::NAN),
            (Kind::Double, "Infinity") => Some(f64::INFINITY),
            (Kind::Double, "-Infinity") => Some(f64::NEG_INFINITY),
            // Rust's own words for these are none of JSON's.
            _ => text.parse().ok().filter(|number: &f64| numeric && number.is_finite()),
        };
        match number {
            Some(number) => self.float(number),
            None => Err(self.mistake(format_args!("{text:?}"))),
        }
    }

    #[cold]
    fn mistake<E: Error>(&self, found: fmt::Arguments<'_>) -> E {
        // A text may be as long as the body; what is wrong with it shows at its beginning.
        let mut found = found.to_string();
        if let Some((at, _)) = found.char_indices().nth(80) {
            found.truncate(at);
            found.push_str("...");
        }
        E::custom(format_args!("{:?} is {found}, expected {}", self.field.camel, Wanted(self.field.kind)))
    }
}

/// What a field wants, in words.
struct Wanted(Kind);

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Text => f.write_str("a string"),
            Kind::Bytes => f.write_str("base64 in a string"),
            Kind::Id => {
                f.write_str("hexadecimal digits in a string (hint: OTLP/JSON writes ids in hex, not in base64)")
            }
            Kind::Bool => f.write_str("true or false"),
            Kind::Double => f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\""),
            Kind::Enum(names) => {
                f.write_str("a number, or one of ")?;
                for (at, (name, _)) in names.iter().enumerate() {
                    write!(f, "{}{name}", if at > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Kind::Message(_) => f.write_str("an object"),
            _ => f.write_str("an integer, as a number or in a string"),
        }
    }
}

impl<'de> Visitor<'de> for Single<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?}", Wanted(self.field.kind), self.field.camel)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                self.number(u64::from(flag));
                Ok(())
            }
            _ => Err(self.mistake(format_args!("{flag}"))),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.integer(i128::from(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.integer(i128::from(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.float(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(message) = self.field.kind else {
            return Err(self.mistake(format_args!("an object")));
        };
        let start = open(self.field.number, self.out);
        let read = fields(message, map, self.out);
        close(start, self.out);
        read
    }
}

/// Hexadecimal digits of either case.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Looks for the field that tells the signal, and for nothing else.
pub(super) struct Telltale<'f> {
    pub(super) found: &'f mut Option<Signal>,
}

impl<'de> DeserializeSeed<'de> for Telltale<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Telltale<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            *self.found = signal_by_field(&name);
            if self.found.is_some() {
                return Err(A::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
