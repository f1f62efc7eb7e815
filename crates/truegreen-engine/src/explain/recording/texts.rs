//! Each text once, in one piece of memory.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// A text of a recording. Equal texts have equal names; the order of names is that of first sight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Name(pub(super) u32);

impl Name {
    /// The empty text; stands for what was not said.
    pub const EMPTY: Name = Name(0);
    /// Stands for every text that found no room.
    pub const OTHER: Name = Name(1);

    /// Where it stands among all names of its recording: for tables by name.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Longest text that is kept, in bytes; the rest is cut off.
const MAX_TEXT_BYTES: usize = 1_024;

#[derive(Debug)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: FixedState,
    most_bytes: usize,
    /// Texts folded into [`Name::OTHER`].
    pub(super) folded: u64,
    /// Texts that were cut.
    pub(super) cut: u64,
}

impl Default for Texts {
    fn default() -> Self {
        Texts::new(0)
    }
}

impl Texts {
    pub(super) fn new(most_bytes: usize) -> Texts {
        let most_bytes = most_bytes.min(u32::MAX as usize);
        let hasher = FixedState::default();
        let (bytes, ends, table) = (String::new(), Vec::new(), HashTable::new());
        let mut texts = Texts { bytes, ends, table, hasher, most_bytes: usize::MAX, folded: 0, cut: 0 };
        texts.add("");
        texts.add("(other)");
        texts.most_bytes = most_bytes;
        texts
    }

    /// The name of this text; what is not UTF-8 is replaced.
    pub(super) fn intern(&mut self, text: &[u8]) -> Name {
        match std::str::from_utf8(text) {
            Ok(text) => self.add(text),
            Err(_) => self.add(&String::from_utf8_lossy(text)),
        }
    }

    pub(super) fn add(&mut self, text: &str) -> Name {
        let text = self.cut(text);
        let hash = self.hasher.hash_one(text);
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(known) = self.table.find(hash, |id| part(bytes, ends, *id) == text) {
            return Name(*known);
        }
        if self.bytes.len() + text.len() > self.most_bytes || self.ends.len() >= u32::MAX as usize {
            self.folded += 1;
            return Name::OTHER;
        }
        let id = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len() as u32);
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table.insert_unique(hash, id, |id| hasher.hash_one(part(bytes, ends, *id)));
        Name(id)
    }

    fn cut<'t>(&mut self, text: &'t str) -> &'t str {
        if text.len() <= MAX_TEXT_BYTES {
            return text;
        }
        self.cut += 1;
        let mut end = MAX_TEXT_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        &text[..end]
    }

    pub(super) fn find(&self, text: &str) -> Option<Name> {
        let hash = self.hasher.hash_one(text);
        self.table.find(hash, |id| part(&self.bytes, &self.ends, *id) == text).map(|id| Name(*id))
    }

    pub(super) fn text(&self, name: Name) -> &str {
        part(&self.bytes, &self.ends, name.0)
    }
}

fn part<'t>(bytes: &'t str, ends: &[u32], id: u32) -> &'t str {
    let id = id as usize;
    let start = id.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0) as usize;
    let end = ends.get(id).copied().unwrap_or(0) as usize;
    bytes.get(start..end).unwrap_or_default()
}
