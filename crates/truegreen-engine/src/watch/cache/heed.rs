//! What a service does with the messages that tell of changes.

use serde::{Deserialize, Serialize};

/// Messages that came to nothing, from which on a service does nothing with any.
const IDLE: u32 = 3;
/// Where it did something with nearly all before, as many in a row as come by chance less often than this.
const BY_CHANCE: f64 = 1e-5;

/// Messages with which something was done, and those with which nothing was, in all and lately in a row.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Heeded {
    heeded: u32,
    ignored: u32,
    in_a_row: u32,
}

impl Heeded {
    pub(super) fn add(&mut self, is_heeded: bool) {
        if is_heeded {
            self.heeded = self.heeded.saturating_add(1);
            self.in_a_row = 0;
        } else {
            self.ignored = self.ignored.saturating_add(1);
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
    }

    /// Whether nothing is done with any of them, or no longer is with those with which something mostly was.
    pub(super) fn is_idle(&self) -> bool {
        if self.in_a_row < IDLE {
            return false;
        }
        let others = self.ignored - self.in_a_row;
        let is_none = self.ignored / 9 >= self.heeded;
        let is_mostly = self.heeded / 9 >= others;
        let usual = f64::from(others + 1) / f64::from(self.heeded.saturating_add(others).saturating_add(2));
        is_none || (is_mostly && usual.powf(f64::from(self.in_a_row)) < BY_CHANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_idle(heeded: u32, ignored: u32) -> bool {
        let mut all = Heeded::default();
        (0..heeded).for_each(|_| all.add(true));
        (0..ignored).for_each(|_| all.add(false));
        all.is_idle()
    }

    #[test]
    fn three_that_come_to_nothing_are_enough_where_none_ever_came_to_more_or_all_did() {
        assert!(is_idle(0, 3) && !is_idle(0, 2));
        assert!(is_idle(60, 3) && !is_idle(60, 2));
    }

    #[test]
    fn where_little_is_known_it_takes_more() {
        assert!(!is_idle(5, 3) && is_idle(12, 5));
    }
}
