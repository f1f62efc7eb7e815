//! The time of day, never backwards.

use std::time::{SystemTime, UNIX_EPOCH};

use truegreen_model::time::Timestamp;

/// The wall clock made monotonic: a clock that is set back stands still until it is past where it was.
#[derive(Default)]
pub(crate) struct Clock(Timestamp);

impl Clock {
    /// A clock that is never before `latest`.
    pub(crate) fn since(latest: Timestamp) -> Clock {
        Clock(latest)
    }

    pub(crate) fn at(&mut self, wall: Timestamp) -> Timestamp {
        self.0 = self.0.max(wall);
        self.0
    }
}

/// The time of day as this machine tells it.
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still() {
        let mut clock = Clock::since(Timestamp(10));
        assert_eq!(clock.at(Timestamp(5)), Timestamp(10));
        assert_eq!(clock.at(Timestamp(50)), Timestamp(50));
        assert_eq!(clock.at(Timestamp(20)), Timestamp(50));
        assert_eq!(clock.at(Timestamp(60)), Timestamp(60));
    }
}
