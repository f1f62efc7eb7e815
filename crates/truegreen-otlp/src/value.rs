//! Attribute values, borrowed from the body.

use crate::error::{ErrorKind, Fault};
use crate::wire::{self, MAX_LEVEL, Reader};

mod nested;
pub(crate) mod text;

use nested::Nested;
pub use nested::{Array, Elements, Entries, Map};

/// A key with its value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Attribute<'a> {
    /// The key as it was sent, not checked as UTF-8.
    pub key: &'a [u8],
    /// The value.
    pub value: Value<'a>,
}

/// The value of an attribute, or the body of a log record.
// The tag fills its word: beside a narrow one a flag would share the word, and copying it in pieces stalls the walk.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
#[repr(u64)]
pub enum Value<'a> {
    /// No value was set.
    #[default]
    Empty,
    /// A text, not checked as UTF-8.
    Text(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes without meaning.
    Bytes(&'a [u8]),
    /// Values in order.
    Array(Array<'a>),
    /// Keys with values.
    Map(Map<'a>),
}

pub(crate) const TEXT: u32 = wire::len(1);
pub(crate) const BOOL: u32 = wire::varint(2);
pub(crate) const INT: u32 = wire::varint(3);
pub(crate) const DOUBLE: u32 = wire::fixed64(4);
pub(crate) const ARRAY: u32 = wire::len(5);
pub(crate) const MAP: u32 = wire::len(6);
pub(crate) const BYTES: u32 = wire::len(7);
/// An index into the string table of a profile; means nothing in the three signals.
const STRING_INDEX: u32 = wire::varint(8);
const VALUE_FIELDS: u64 = wire::known(&[1, 2, 3, 4, 5, 6, 7, 8]);

const KEY: u32 = wire::len(1);
pub(crate) const PAIR_VALUE: u32 = wire::len(2);
const KEY_INDEX: u32 = wire::varint(3);
const PAIR_FIELDS: u64 = wire::known(&[1, 2, 3]);

/// Elements of an array are `AnyValue`, of a map `KeyValue`, both under this key.
const ELEMENT: u32 = wire::len(1);
const LIST_FIELDS: u64 = wire::known(&[1]);

/// How deep a walk went into arrays and maps; a plain value is 0.
#[derive(Clone, Copy, Default)]
pub(crate) struct Deepest(pub(crate) u32);

/// Key and text of a `KeyValue` that holds just these, short, and in order: most attributes are like that.
#[inline(always)]
pub(crate) fn text_pair(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match short_pair(bytes)? {
        (key, [0x0a, len @ 0..=0x7f, text @ ..]) if usize::from(*len) == text.len() => Some((key, text)),
        _ => None,
    }
}

/// Key and value of a `KeyValue` that holds just these, short, and in order: nearly all attributes are like that.
#[inline(always)]
fn short_pair(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0a, key_len @ 0..=0x7f, rest @ ..] = bytes else { return None };
    match rest.split_at_checked(usize::from(*key_len))? {
        (key, [0x12, len @ 0..=0x7f, value @ ..]) if usize::from(*len) == value.len() => Some((key, value)),
        _ => None,
    }
}

/// Reads a `KeyValue` that stands at this level of messages.
#[inline]
pub(crate) fn pair<'a>(bytes: &'a [u8], level: u32, deepest: &mut Deepest) -> Result<Attribute<'a>, Fault> {
    match short_pair(bytes) {
        Some((key, value)) => match short(value) {
            Some(value) => Ok(Attribute { key, value }),
            None => Ok(Attribute { key, value: any(value, level + 1, deepest)? }),
        },
        None => merged_pair(bytes, level, deepest),
    }
}

/// A plain value that fills its message, as nearly every one does.
#[inline(always)]
fn short(value: &[u8]) -> Option<Value<'_>> {
    match value {
        [0x0a, len @ 0..=0x7f, text @ ..] if usize::from(*len) == text.len() => Some(Value::Text(text)),
        [0x10, flag @ 0..=1] => Some(Value::Bool(*flag == 1)),
        [0x18, number @ ..] => {
            let mut number = Reader::new(number);
            let value = number.varint().ok()?.cast_signed();
            number.is_empty().then_some(Value::Int(value))
        }
        [0x21, bits @ ..] => Some(Value::Double(f64::from_le_bytes(bits.try_into().ok()?))),
        _ => None,
    }
}

#[inline(never)]
fn merged_pair<'a>(bytes: &'a [u8], level: u32, deepest: &mut Deepest) -> Result<Attribute<'a>, Fault> {
    let mut key: &[u8] = &[];
    let mut value = Merged::default();
    let mut fields = Reader::new(bytes);
    while !fields.is_empty() {
        match fields.key()? {
            KEY => key = fields.chunk()?,
            PAIR_VALUE => value.add(fields.chunk()?, level + 1, 0, deepest)?,
            KEY_INDEX => drop(fields.varint()?),
            other => fields.skip(other, level, PAIR_FIELDS)?,
        }
    }
    Ok(Attribute { key, value: value.finish(bytes, PAIR_VALUE) })
}

/// Reads an `AnyValue` that stands at this level of messages.
#[inline(never)]
pub(crate) fn any<'a>(bytes: &'a [u8], level: u32, deepest: &mut Deepest) -> Result<Value<'a>, Fault> {
    let mut value = Merged::default();
    value.add(bytes, level, 0, deepest)?;
    Ok(value.finish(bytes, PAIR_VALUE))
}

/// An `AnyValue` put together from one or more occurrences: the last kind wins, arrays and maps of the same kind that
/// follow one another are one.
#[derive(Default)]
pub(crate) struct Merged<'a> {
    value: Value<'a>,
    /// The last `AnyValue`, and how many there were.
    last: &'a [u8],
    occurrences: u32,
    /// Lists of either kind seen so far, how many of them are void because another kind followed, and how many count.
    arrays: u32,
    maps: u32,
    void: u32,
    pieces: u32,
}

impl<'a> Merged<'a> {
    pub(crate) fn add(&mut self, bytes: &'a [u8], level: u32, depth: u32, deepest: &mut Deepest) -> Result<(), Fault> {
        self.last = bytes;
        self.occurrences += 1;
        let mut fields = Reader::new(bytes);
        while !fields.is_empty() {
            match fields.key()? {
                TEXT => self.value = Value::Text(fields.chunk()?),
                BOOL => self.value = Value::Bool(fields.varint()? != 0),
                INT => self.value = Value::Int(fields.varint()?.cast_signed()),
                DOUBLE => self.value = Value::Double(fields.double()?),
                BYTES => self.value = Value::Bytes(fields.chunk()?),
                STRING_INDEX => {
                    fields.varint()?;
                    self.value = Value::Empty;
                }
                ARRAY | MAP if level >= MAX_LEVEL => return Err(Fault::at(bytes, ErrorKind::TooDeep)),
                key @ (ARRAY | MAP) => {
                    let list = fields.chunk()?;
                    elements(key, list, level + 1, depth + 1, deepest)?;
                    self.list(key, list);
                }
                other => fields.skip(other, level, VALUE_FIELDS)?,
            }
        }
        Ok(())
    }

    fn list(&mut self, key: u32, list: &'a [u8]) {
        let continues = matches!((key, self.value), (ARRAY, Value::Array(_)) | (MAP, Value::Map(_)));
        let seen = if key == ARRAY { &mut self.arrays } else { &mut self.maps };
        if continues {
            self.pieces += 1;
        } else {
            self.pieces = 1;
            self.void = *seen;
            let list = Nested { region: list, holder: Nested::LIST, void: 0 };
            self.value = if key == ARRAY { Value::Array(Array(list)) } else { Value::Map(Map(list)) };
        }
        *seen += 1;
    }

    /// The value, given the message that holds the occurrences under this key.
    pub(crate) fn finish(self, holder: &'a [u8], key: u32) -> Value<'a> {
        if self.pieces < 2 {
            return self.value;
        }
        let list = if self.occurrences == 1 {
            Nested { region: self.last, holder: Nested::VALUE, void: self.void }
        } else {
            Nested { region: holder, holder: key, void: self.void }
        };
        match self.value {
            Value::Array(_) => Value::Array(Array(list)),
            Value::Map(_) => Value::Map(Map(list)),
            plain => plain,
        }
    }
}

/// Validates the elements of an array or a map.
fn elements(key: u32, list: &[u8], level: u32, depth: u32, deepest: &mut Deepest) -> Result<(), Fault> {
    deepest.0 = deepest.0.max(depth);
    let mut fields = Reader::new(list);
    while !fields.is_empty() {
        match fields.key()? {
            ELEMENT if level >= MAX_LEVEL => return Err(Fault::at(list, ErrorKind::TooDeep)),
            ELEMENT if key == ARRAY => nested_any(fields.chunk()?, level + 1, depth, deepest)?,
            ELEMENT => nested_pair(fields.chunk()?, level + 1, depth, deepest)?,
            other => fields.skip(other, level, LIST_FIELDS)?,
        }
    }
    Ok(())
}

fn nested_any(bytes: &[u8], level: u32, depth: u32, deepest: &mut Deepest) -> Result<(), Fault> {
    Merged::default().add(bytes, level, depth, deepest)
}

fn nested_pair(bytes: &[u8], level: u32, depth: u32, deepest: &mut Deepest) -> Result<(), Fault> {
    let mut fields = Reader::new(bytes);
    while !fields.is_empty() {
        match fields.key()? {
            KEY => drop(fields.chunk()?),
            PAIR_VALUE if level >= MAX_LEVEL => return Err(Fault::at(bytes, ErrorKind::TooDeep)),
            PAIR_VALUE => nested_any(fields.chunk()?, level + 1, depth, deepest)?,
            KEY_INDEX => drop(fields.varint()?),
            other => fields.skip(other, level, PAIR_FIELDS)?,
        }
    }
    Ok(())
}
