//! Times and durations as text, and back.

use truegreen_model::time::Timestamp;

/// RFC 3339 in UTC; `unknown` past the year 9999.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).map_or_else(|_| "unknown".to_owned(), |at| at.to_string())
}

/// Nanoseconds since 1970; nothing where it is no time, or one before that.
pub(crate) fn nanos(rfc3339: &str) -> Option<u64> {
    u64::try_from(rfc3339.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

/// `2026-01-01 10:00:02 UTC`.
pub(crate) fn stamp(rfc3339: &str) -> String {
    let shown = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    rfc3339.parse().map_or_else(|_| rfc3339.to_owned(), shown)
}

/// As [`stamp`], without the date where it is that of another time in the same sentence.
pub(crate) fn beside(rfc3339: &str, other: &str) -> String {
    let (this, other) = (stamp(rfc3339), stamp(other));
    match (this.split_once(' '), other.split_once(' ')) {
        (Some((date, clock)), Some((same, _))) if date == same => clock.to_owned(),
        _ => this,
    }
}

/// A point in time in a column: `10:00:02.123`, with the date before it where asked for.
pub(crate) fn column(nanos: u64, with_date: bool) -> String {
    let format = if with_date { "%Y-%m-%d %H:%M:%S.%3f" } else { "%H:%M:%S.%3f" };
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| "unknown".to_owned(), |at| at.strftime(format).to_string())
}

/// The day.
pub(crate) fn date(nanos: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// `340 µs`, `12.3 ms`, `1.24 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(nanos: u64) -> String {
    let (micros, seconds) = (nanos as f64 / 1e3, nanos / 1_000_000_000);
    match nanos {
        0 => "0".to_owned(),
        1..1_000_000 => format!("{micros:.0} µs"),
        1_000_000..10_000_000 => format!("{:.2} ms", micros / 1e3),
        10_000_000..100_000_000 => format!("{:.1} ms", micros / 1e3),
        100_000_000..1_000_000_000 => format!("{:.0} ms", micros / 1e3),
        1_000_000_000..60_000_000_000 => format!("{:.2} s", micros / 1e6),
        _ if seconds < 3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let told: Vec<_> =
            [0, 340_000, 1_234_000, 12_340_000, 999_000_000, 1_240_000_000, 200_000_000_000, 7_500_000_000_000]
                .map(duration)
                .into();
        assert_eq!(told, ["0", "340 µs", "1.23 ms", "12.3 ms", "999 ms", "1.24 s", "3 min 20 s", "2 h 5 min"]);
    }

    #[test]
    fn times_go_there_and_back() {
        let at = 1_767_261_602_123_456_789;
        assert_eq!(rfc3339(Timestamp(at)), "2026-01-01T10:00:02.123456789Z");
        assert_eq!(nanos(&rfc3339(Timestamp(at))), Some(at));
        assert_eq!((column(at, false).as_str(), nanos("yesterday")), ("10:00:02.123", None));
        assert_eq!(rfc3339(Timestamp(u64::MAX)), "2554-07-21T23:34:33.709551615Z");
    }
}
