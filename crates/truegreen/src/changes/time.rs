//! Times as release tools write them. Without an offset they are UTC.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde_json::Value;
use truegreen_model::time::Timestamp;

use super::field::at;

/// The time in a value; nothing where it is none.
pub(crate) fn of(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

pub(super) fn first(value: &Value, paths: &[&str]) -> Option<Timestamp> {
    paths.iter().filter_map(|path| at(value, path)).find_map(of)
}

/// RFC 3339, `2026-01-31 10:00:00 +0100`, `2026-01-31 10:00:00 UTC`, or seconds, milliseconds, microseconds or nanoseconds
/// since 1970, told apart by their size.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return since_1970(text, number);
    }
    let with_offset = || strtime::parse("%Y-%m-%d %H:%M:%S %z", text).ok()?.to_timestamp().ok();
    let without = || {
        let date: DateTime = text.trim_end_matches(" UTC").parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let told: jiff::Timestamp = text.parse().ok().or_else(with_offset).or_else(without)?;
    u64::try_from(told.as_nanosecond()).ok().map(Timestamp)
}

/// From 1973 to 5138 no two of them can be mistaken for one another.
fn since_1970(text: &str, number: f64) -> Option<Timestamp> {
    if !number.is_finite() || number < 1.0 {
        return None;
    }
    let (unit, nanos) = match number {
        n if n < 1e11 => (1e9, 1_000_000_000),
        n if n < 1e14 => (1e6, 1_000_000),
        n if n < 1e17 => (1e3, 1_000),
        n if n < 1.8e19 => (1.0, 1),
        _ => return None,
    };
    // Whole numbers are exact.
    let exact = text.parse::<u64>().ok().and_then(|whole| whole.checked_mul(nanos));
    Some(Timestamp(exact.unwrap_or((number * unit) as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_tools_write_is_read() {
        let noon = Some(Timestamp::from_secs(1_769_860_800));
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31 13:00:00 +0100",
            "2026-01-31 12:00:00 UTC",
            "2026-01-31 12:00:00",
            "2026-01-31T12:00",
            "1769860800",
            "1769860800.0",
            "1769860800000",
            "1769860800000000000",
        ] {
            assert_eq!(parse(text), noon, "{text}");
        }
        for text in ["", "yesterday", "-5", "NaN", "inf", "1e300", "1960-01-01T00:00:00Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
