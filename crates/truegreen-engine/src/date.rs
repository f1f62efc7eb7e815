//! Times as people and JSON read them.

use truegreen_model::time::Timestamp;

/// RFC 3339 in UTC with nanoseconds as far as they are there.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    date(time).map_or_else(|| "unknown".to_owned(), |date| date.to_string())
}

/// The time of day in UTC.
pub(crate) fn clock(time: Timestamp) -> String {
    date(time).map_or_else(|| "unknown".to_owned(), |date| date.strftime("%H:%M:%S").to_string())
}

fn date(time: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_nanosecond(i128::from(time.0)).ok()
}
