//! A row of our own, written to see that writing works. Each probe writes and deletes a row that no other can have, so that
//! several Truegreens share one table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a probe that died left is deleted by others after this.
pub(crate) const LEFT_AFTER: &str = "1 HOUR";

/// A key that no other probe has, here or elsewhere.
pub(crate) fn key() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    // Its address differs between hosts by chance, where processes and clocks agree.
    let chance = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), nanos);
    format!("{nanos:x}-{chance:x}-{:x}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
