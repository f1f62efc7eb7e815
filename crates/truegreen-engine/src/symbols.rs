//! Interned text: reasons and service names, each kept once and named by a number.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use truegreen_model::observation::Symbol;

/// An exit that gave no reason.
pub(crate) const NO_REASON: Symbol = Symbol(0);
/// Stands for every text past the bound: remote peers choose these texts, and must not grow us without end.
pub(crate) const OTHER: Symbol = Symbol(1);

const MAX_SYMBOLS: usize = 60_000;
/// What is merely watched (names of spans, hosts, tables) takes no more than these: some put ids into them, and services and
/// reasons must not become one for it.
const MAX_WATCHED: usize = 40_000;
const MAX_TEXT_BYTES: usize = 256;

/// The table of interned texts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Symbols {
    texts: Vec<Box<str>>,
    by_text: HashMap<Box<str>, Symbol, FixedState>,
    /// Texts that were folded into [`OTHER`] because the table was full.
    pub(crate) overflowed: u64,
}

impl Symbols {
    pub(crate) fn new() -> Self {
        let mut symbols = Symbols { texts: Vec::new(), by_text: HashMap::default(), overflowed: 0 };
        symbols.intern(b"no_reason");
        symbols.intern(b"other");
        symbols
    }

    /// The symbol of this text (cut at 256 bytes; invalid UTF-8 is replaced).
    pub(crate) fn intern(&mut self, text: &[u8]) -> Symbol {
        self.intern_below(MAX_SYMBOLS, text)
    }

    /// The same, of a text that no verdict depends on.
    pub(crate) fn intern_watched(&mut self, text: &[u8]) -> Symbol {
        self.intern_below(MAX_WATCHED, text)
    }

    fn intern_below(&mut self, bound: usize, text: &[u8]) -> Symbol {
        let cut = &text[..text.len().min(MAX_TEXT_BYTES)];
        let text = String::from_utf8_lossy(cut);
        if let Some(symbol) = self.by_text.get(text.as_ref()) {
            return *symbol;
        }
        if self.texts.len() >= bound {
            self.overflowed += 1;
            return OTHER;
        }
        let symbol = Symbol(self.texts.len() as u32);
        self.texts.push(text.as_ref().into());
        self.by_text.insert(text.as_ref().into(), symbol);
        symbol
    }

    /// The symbol of this text, if it was ever interned.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        self.by_text.get(text).copied()
    }

    /// The symbol of this text as [`Symbols::intern`] would take it, if it was ever interned.
    pub(crate) fn find_bytes(&self, text: &[u8]) -> Option<Symbol> {
        self.find(&String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT_BYTES)]))
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol.0 as usize).map_or("other", |text| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_ids_in_them_leave_room_for_services_and_reasons() {
        let mut symbols = Symbols::new();
        for n in 0..2 * MAX_SYMBOLS {
            symbols.intern_watched(format!("GET /users/{n}").as_bytes());
        }
        assert!(symbols.overflowed > 0);
        let service = symbols.intern(b"inventory");
        assert_eq!(symbols.text(service), "inventory");
        assert_ne!(symbols.intern(b"missing_sku"), OTHER);
    }
}
