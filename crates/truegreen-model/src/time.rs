//! Points in time. The engine reads no clock (INV-TIME-1): every `Timestamp` is handed to it.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z, as in OTLP. Arithmetic saturates: a remote peer picks these numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

/// A whole minute since 1970, the grain of the books.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Minute(pub u64);

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MINUTE: u64 = 60 * NANOS_PER_SECOND;

impl Timestamp {
    /// The largest representable time; stands for "never".
    pub const NEVER: Timestamp = Timestamp(u64::MAX);

    /// Whole seconds since 1970 as a timestamp.
    pub const fn from_secs(secs: u64) -> Self {
        Timestamp(secs.saturating_mul(NANOS_PER_SECOND))
    }

    /// The minute this time lies in.
    pub const fn minute(self) -> Minute {
        Minute(self.0 / NANOS_PER_MINUTE)
    }

    /// Time elapsed since `earlier`; zero if `earlier` is later (negative durations become 0).
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Minute {
    /// The first instant of this minute.
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(NANOS_PER_MINUTE))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(nanos(by)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(nanos(by)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / NANOS_PER_SECOND, self.0 % NANOS_PER_SECOND)
    }
}
