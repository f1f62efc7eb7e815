//! By which names entries are asked for, put and removed, and by whom.

use serde::{Deserialize, Serialize};
use truegreen_model::observation::Symbol;

/// Entries removed by a name, from which on it is known that the name is never asked for.
const MISNAMED: u32 = 3;

/// What is done by one name.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Named {
    asked: u32,
    put: u32,
    removed: u32,
    /// The services that were first seen to ask and to remove.
    pub(super) asks: Option<Symbol>,
    pub(super) removes: Option<Symbol>,
}

impl Named {
    pub(super) fn asked(&mut self, by: Symbol) {
        self.asked = self.asked.saturating_add(1);
        self.asks.get_or_insert(by);
    }

    pub(super) fn put(&mut self) {
        self.put = self.put.saturating_add(1);
    }

    pub(super) fn removed(&mut self, by: Symbol) {
        self.removed = self.removed.saturating_add(1);
        self.removes.get_or_insert(by);
    }

    /// Whether entries are removed by it that nobody puts or asks for, as locks are put.
    pub(super) fn is_of_nothing(&self) -> bool {
        self.asked == 0 && self.put == 0 && self.removed >= MISNAMED
    }
}
