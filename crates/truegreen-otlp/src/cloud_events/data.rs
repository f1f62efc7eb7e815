//! The plain values within JSON data, by their dotted path.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::event::{Scalar, number};
use super::{MAX_DEPTH, MAX_TEXT, MAX_VALUES};

/// The values at one path.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) values: Vec<Scalar>,
    /// Whether the path leads through an array, so that there may be any number of values.
    pub(super) many: bool,
}

/// What was gathered so far.
#[derive(Default, Debug)]
pub(super) struct Leaves {
    pub(super) leaves: Vec<Leaf>,
    /// Values and subtrees left out.
    pub(super) dropped: u32,
    most: usize,
    looks: usize,
    path: String,
    depth: usize,
    arrays: usize,
}

impl Leaves {
    /// The values of this JSON at no more than `most` paths.
    pub(super) fn of(json: &[u8], most: usize) -> Result<Leaves, serde_json::Error> {
        let mut leaves = Leaves { most, ..Leaves::default() };
        let mut source = serde_json::Deserializer::from_slice(json);
        Node(&mut leaves).deserialize(&mut source)?;
        source.end()?;
        Ok(leaves)
    }

    fn drop_one(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
    }

    /// The place of the value at hand, unless a bound is reached. Every look counts, found or not: the search below is
    /// short, but must not be made for each of a million names.
    fn leaf(&mut self) -> Option<&mut Leaf> {
        // A value that is all of the data has no path, and is the body already.
        if self.path.is_empty() {
            return None;
        }
        if self.looks >= MAX_VALUES {
            self.drop_one();
            return None;
        }
        self.looks += 1;
        if let Some(at) = self.leaves.iter().position(|leaf| leaf.path == self.path) {
            return self.leaves.get_mut(at);
        }
        if self.leaves.len() >= self.most || self.path.len() > MAX_TEXT {
            self.drop_one();
            return None;
        }
        self.leaves.push(Leaf { path: self.path.clone(), values: Vec::new(), many: false });
        self.leaves.last_mut()
    }

    fn push(&mut self, value: Scalar) {
        if matches!(&value, Scalar::Text(text) if text.len() > MAX_TEXT) {
            self.drop_one();
            return;
        }
        let many = self.arrays > 0;
        if let Some(leaf) = self.leaf() {
            // A key sent twice in one object: both values are kept, as in an array.
            leaf.many |= many || !leaf.values.is_empty();
            leaf.values.push(value);
        }
    }
}

struct Node<'l>(&'l mut Leaves);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        if self.0.depth > MAX_DEPTH {
            self.0.drop_one();
            source.deserialize_ignored_any(IgnoredAny)?;
            return Ok(());
        }
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.0.push(Scalar::Bool(flag));
        Ok(())
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<(), E> {
        self.0.push(Scalar::Int(integer));
        Ok(())
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<(), E> {
        self.0.push(number(integer.into()));
        Ok(())
    }

    fn visit_f64<E: Error>(self, double: f64) -> Result<(), E> {
        self.0.push(Scalar::Double(double));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push(Scalar::Text(text.to_owned()));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let leaves = self.0;
        let length = leaves.path.len();
        leaves.depth += 1;
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if length > 0 {
                leaves.path.push('.');
            }
            leaves.path.push_str(&name);
            map.next_value_seed(Node(leaves))?;
            leaves.path.truncate(length);
        }
        leaves.depth -= 1;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let leaves = self.0;
        leaves.depth += 1;
        leaves.arrays += 1;
        let mut empty = true;
        while list.next_element_seed(Node(leaves))?.is_some() {
            empty = false;
        }
        leaves.arrays -= 1;
        leaves.depth -= 1;
        // No lines at all is worth knowing, too.
        if empty && let Some(leaf) = leaves.leaf() {
            leaf.many = true;
        }
        Ok(())
    }
}
