//! Scopes, each kept once and named by a number: the same key in staging and in production is two journeys.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// The hash of the values under a flow's scope names, as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct ScopeId(pub(crate) u32);

impl ScopeId {
    /// No scope at all.
    pub(crate) const NONE: ScopeId = ScopeId(u32::MAX);
}

/// Remote peers choose the values; past this bound all scopes share one number, and so the coverage of their services.
/// Their keys stay apart, since those are hashed with the scope itself.
const MAX_SCOPES: usize = 20_000;

/// The table of scopes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Scopes {
    hashes: Vec<u64>,
    ids: HashMap<u64, ScopeId, FixedState>,
}

impl Scopes {
    pub(crate) fn intern(&mut self, hash: u64) -> ScopeId {
        if let Some(id) = self.ids.get(&hash) {
            return *id;
        }
        let id = ScopeId(self.hashes.len().min(MAX_SCOPES) as u32);
        if self.hashes.len() < MAX_SCOPES {
            self.hashes.push(hash);
            self.ids.insert(hash, id);
        }
        id
    }

    /// Every scope that was ever seen.
    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }
}
