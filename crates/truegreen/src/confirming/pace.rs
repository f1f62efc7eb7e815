//! How often one system is asked: so many keys a second at the most, and ever more seldom while it fails.

use std::time::Duration;

use tokio::time::Instant;

/// Keys that one system is asked for in a second.
pub(super) const KEYS_PER_SECOND: usize = 20;
/// After the first failure it is left alone for so long; after each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pace of one system.
pub(super) struct Pace {
    free: Instant,
    failures: u32,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { free: now, failures: 0 }
    }

    /// When it may be asked next.
    pub(super) fn free(&self) -> Instant {
        self.free
    }

    /// It was asked for so many keys, and answered or failed.
    pub(super) fn asked(&mut self, keys: usize, failed: bool, now: Instant) {
        let spent = Duration::from_secs(1) * u32::try_from(keys).unwrap_or(u32::MAX) / KEYS_PER_SECOND as u32;
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(failures - 1)),
        };
        // Whoever rested may make up for one batch.
        self.free = self.free.max(now.checked_sub(spent).unwrap_or(now)) + spent;
        self.free = self.free.max(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_fails_is_left_alone_ever_longer() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                pace.asked(1, true, now);
                pace.free().duration_since(now).as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let later = pace.free();
        pace.asked(1, false, later);
        assert!(pace.free() < later + Duration::from_secs(1), "once it answers, as before");
    }

    #[test]
    fn keys_are_asked_for_at_the_pace_that_is_allowed() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut keys = 0;
        while pace.free() < start + Duration::from_secs(10) {
            let now = pace.free();
            pace.asked(KEYS_PER_SECOND, false, now);
            keys += KEYS_PER_SECOND;
        }
        assert!((180..=220).contains(&keys), "{keys} in ten seconds");
    }
}
