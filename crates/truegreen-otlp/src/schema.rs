//! The messages of OTLP as tables: for the parts that no view shows but that must be valid, and for JSON.

use crate::error::{ErrorKind, Fault};
use crate::value::{Deepest, pair};
use crate::wire::{self, Reader};

mod tables;

pub(crate) use tables::*;

/// A message and its fields.
pub(crate) struct Message {
    pub(crate) fields: &'static [Field],
}

/// A field of a message.
pub(crate) struct Field {
    pub(crate) number: u32,
    /// lowerCamelCase, as JSON writes it, and snake_case, as JSON may also be sent.
    pub(crate) camel: &'static str,
    pub(crate) snake: &'static str,
    pub(crate) kind: Kind,
    pub(crate) often: Often,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// Bytes that JSON writes as base64.
    Bytes,
    /// An id, which JSON writes as hexadecimal digits.
    Id,
    Bool,
    Int64,
    Uint64,
    Uint32,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Enum(&'static [(&'static str, i32)]),
    Message(&'static Message),
}

/// How often a field may occur.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Often {
    Once,
    Many,
    /// One of several fields of which the last sent counts; a message has at most one such set.
    OneOf,
}

impl Message {
    const fn new(fields: &'static [Field]) -> Message {
        Message { fields }
    }

    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// Reads over the message and everything in it.
    pub(crate) fn validate(&'static self, bytes: &[u8], level: u32, deepest: &mut Deepest) -> Result<(), Fault> {
        if std::ptr::eq(self, &KEY_VALUE) {
            return pair(bytes, level, deepest).map(drop);
        }
        let mut fields = Reader::new(bytes);
        while !fields.is_empty() {
            let key = fields.key()?;
            match self.field(key >> 3) {
                Some(field) => field.validate(key, &mut fields, level, deepest)?,
                None => fields.pass(key, level)?,
            }
        }
        Ok(())
    }
}

impl Field {
    fn validate(&self, key: u32, from: &mut Reader<'_>, level: u32, deepest: &mut Deepest) -> Result<(), Fault> {
        let packed = self.often == Often::Many && key == wire::len(self.number) && !self.kind.has_length();
        if packed {
            let mut numbers = Reader::new(from.chunk()?);
            while !numbers.is_empty() {
                self.kind.number(&mut numbers)?;
            }
            return Ok(());
        }
        if key != self.kind.key(self.number) {
            return Err(Fault::at(from.rest(), ErrorKind::WrongType { field: self.number }));
        }
        match self.kind {
            // Tables are nested a few levels deep; what can be nested further are values, which count for themselves.
            Kind::Message(message) => message.validate(from.chunk()?, level + 1, deepest),
            kind if kind.has_length() => from.chunk().map(drop),
            kind => kind.number(from).map(drop),
        }
    }
}

impl Kind {
    pub(crate) const fn has_length(self) -> bool {
        matches!(self, Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_))
    }

    /// The key of a single value of this kind.
    pub(crate) const fn key(self, number: u32) -> u32 {
        match self {
            Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => wire::len(number),
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => wire::fixed64(number),
            Kind::Fixed32 => wire::fixed32(number),
            _ => wire::varint(number),
        }
    }

    /// The raw bits of a number.
    pub(crate) fn number(self, from: &mut Reader<'_>) -> Result<u64, Fault> {
        match self {
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => from.fixed64(),
            Kind::Fixed32 => from.fixed32().map(u64::from),
            _ => from.varint(),
        }
    }
}
