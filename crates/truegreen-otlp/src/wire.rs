//! The protobuf wire format: a cursor over borrowed bytes.

use crate::error::{ErrorKind, Fault};

pub(crate) mod out;

/// Deepest nesting of messages and groups, the request itself being 0; what generated decoders allow.
pub(crate) const MAX_LEVEL: u32 = 100;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LEN: u32 = 2;
const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

/// Key of a field as it stands on the wire: number and wire type.
pub(crate) const fn varint(field: u32) -> u32 {
    field << 3 | VARINT
}

/// Key of a 64-bit field.
pub(crate) const fn fixed64(field: u32) -> u32 {
    field << 3 | FIXED64
}

/// Key of a 32-bit field.
pub(crate) const fn fixed32(field: u32) -> u32 {
    field << 3 | FIXED32
}

/// Key of a field with a length: texts, bytes, messages, packed numbers.
pub(crate) const fn len(field: u32) -> u32 {
    field << 3 | LEN
}

/// Numbers of the fields that a message defines, as a set: of these a wrong wire type is an error, others are skipped.
pub(crate) const fn known(fields: &[u32]) -> u64 {
    let (mut set, mut at) = (0, 0);
    while at < fields.len() {
        set |= 1 << fields[at];
        at += 1;
    }
    set
}

/// What is left of a message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                // The tenth byte carries the last of 64 bits.
                if at == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        let kind = if self.rest.len() < 10 { ErrorKind::Truncated } else { ErrorKind::Varint };
        Err(Fault::at(self.rest, kind))
    }

    /// The key of the next field. Only [`Reader::skip`] judges whether it is a valid one: a key that some message knows
    /// is valid by itself.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<u32, Fault> {
        let at = self.rest;
        let key = self.varint()?;
        u32::try_from(key).map_err(|_| Fault::at(at, ErrorKind::FieldNumber))
    }

    /// Takes the key of the next field if it is this one, which fits into a byte.
    #[inline(always)]
    pub(crate) fn follows(&mut self, key: u32) -> bool {
        match self.rest {
            [byte, rest @ ..] if u32::from(*byte) == key => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    pub(crate) fn fixed64(&mut self) -> Result<u64, Fault> {
        match self.rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(Fault::at(self.rest, ErrorKind::Truncated)),
        }
    }

    #[inline(always)]
    pub(crate) fn double(&mut self) -> Result<f64, Fault> {
        self.fixed64().map(f64::from_bits)
    }

    #[inline(always)]
    pub(crate) fn fixed32(&mut self) -> Result<u32, Fault> {
        match self.rest.split_first_chunk::<4>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(u32::from_le_bytes(*bytes))
            }
            None => Err(Fault::at(self.rest, ErrorKind::Truncated)),
        }
    }

    /// The content of a field with a length.
    #[inline(always)]
    pub(crate) fn chunk(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.varint()?;
        match usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(chunk)
            }
            None => Err(Fault::at(self.rest, ErrorKind::Truncated)),
        }
    }

    /// As [`Reader::chunk`], of a body that lost its end: what is left of the content.
    pub(crate) fn chunk_or_rest(&mut self) -> Option<&'a [u8]> {
        let whole = *self;
        if let Ok(chunk) = self.chunk() {
            return Some(chunk);
        }
        *self = whole;
        self.varint().ok()?;
        Some(std::mem::take(&mut self.rest))
    }

    /// Passes over the field of this key, in a message at this level that defines the `known` fields.
    #[inline(never)]
    pub(crate) fn skip(&mut self, key: u32, level: u32, known: u64) -> Result<(), Fault> {
        let field = key >> 3;
        if field < 64 && known >> field & 1 == 1 {
            return Err(Fault::at(self.rest, ErrorKind::WrongType { field }));
        }
        self.pass(key, level)
    }

    /// Passes over a field, whatever it is.
    pub(crate) fn pass(&mut self, key: u32, level: u32) -> Result<(), Fault> {
        if key >> 3 == 0 {
            return Err(Fault::at(self.rest, ErrorKind::FieldNumber));
        }
        if level >= MAX_LEVEL {
            return Err(Fault::at(self.rest, ErrorKind::TooDeep));
        }
        match key & 7 {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            LEN => self.chunk().map(drop),
            FIXED32 => self.fixed32().map(drop),
            GROUP => self.group(key >> 3, level),
            GROUP_END => Err(Fault::at(self.rest, ErrorKind::Group)),
            _ => Err(Fault::at(self.rest, ErrorKind::WireType)),
        }
    }

    fn group(&mut self, field: u32, level: u32) -> Result<(), Fault> {
        loop {
            let at = self.rest;
            let key = self.key()?;
            match key & 7 {
                GROUP_END if key >> 3 == field => return Ok(()),
                GROUP_END => return Err(Fault::at(at, ErrorKind::Group)),
                _ => self.pass(key, level + 1)?,
            }
        }
    }

    /// The content of the next field of this key, past whatever else there is. For bytes validated before: what cannot
    /// be read ends the search.
    #[inline]
    pub(crate) fn find(&mut self, wanted: u32) -> Option<&'a [u8]> {
        while !self.is_empty() {
            let key = self.key().ok()?;
            if key == wanted {
                return self.chunk().ok();
            }
            self.pass(key, 0).ok()?;
        }
        None
    }
}
