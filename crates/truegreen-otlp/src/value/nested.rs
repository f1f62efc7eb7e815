//! Arrays and maps, read lazily: nothing is copied, and an element is decoded when it is asked for.

use std::fmt;

use super::{ARRAY, Attribute, Deepest, ELEMENT, MAP, Value, any, pair};
use crate::wire::Reader;

/// Values in order. Validated when it was made, so that reading it cannot fail.
#[derive(Clone, Copy)]
pub struct Array<'a>(pub(super) Nested<'a>);

/// Keys with values, in the order sent; keys may repeat.
#[derive(Clone, Copy)]
pub struct Map<'a>(pub(super) Nested<'a>);

/// Where the elements are. An encoder writes a list in one piece; a legal one may also spread it over several
/// occurrences of the value, which are then all read from the message around them.
#[derive(Clone, Copy)]
pub(super) struct Nested<'a> {
    pub(super) region: &'a [u8],
    /// What the region is: the list, an `AnyValue`, or a message that holds `AnyValue`s under this key.
    pub(super) holder: u32,
    /// Pieces to pass over, because a value of another kind came between.
    pub(super) void: u32,
}

struct Chunks<'a> {
    list: Reader<'a>,
    value: Reader<'a>,
    message: Reader<'a>,
    value_key: u32,
    list_key: u32,
    void: u32,
}

impl<'a> Nested<'a> {
    // No field has these as its key.
    pub(super) const LIST: u32 = 0;
    pub(super) const VALUE: u32 = 1;

    fn chunks(self, list_key: u32) -> Chunks<'a> {
        let (none, region) = (Reader::new(&[]), Reader::new(self.region));
        let (list, value, message, value_key) = match self.holder {
            Self::LIST => (region, none, none, 0),
            Self::VALUE => (none, region, none, 0),
            key => (none, none, region, key),
        };
        Chunks { list, value, message, value_key, list_key, void: self.void }
    }
}

impl<'a> Chunks<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(element) = self.list.find(ELEMENT) {
                return Some(element);
            }
            if let Some(list) = self.value.find(self.list_key) {
                match self.void.checked_sub(1) {
                    Some(void) => self.void = void,
                    None => self.list = Reader::new(list),
                }
                continue;
            }
            self.value = Reader::new(self.message.find(self.value_key)?);
        }
    }
}

impl<'a> Array<'a> {
    /// The values.
    pub fn iter(self) -> Elements<'a> {
        Elements(self.0.chunks(ARRAY))
    }
}

impl<'a> Map<'a> {
    /// Keys with values.
    pub fn iter(self) -> Entries<'a> {
        Entries(self.0.chunks(MAP))
    }

    /// The value under this key; the last one, should the key repeat.
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        self.iter().filter(|entry| entry.key == key).last().map(|entry| entry.value)
    }
}

/// Iterator over an [`Array`].
pub struct Elements<'a>(Chunks<'a>);

/// Iterator over a [`Map`].
pub struct Entries<'a>(Chunks<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        any(self.0.next()?, 0, &mut Deepest::default()).ok()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        pair(self.0.next()?, 0, &mut Deepest::default()).ok()
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for Map<'a> {
    type Item = Attribute<'a>;
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

impl PartialEq for Array<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl PartialEq for Map<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|entry| (entry.key, entry.value))).finish()
    }
}
