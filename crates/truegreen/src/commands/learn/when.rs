//! Times as event logs write them. Without an offset they are UTC.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use truegreen_model::time::Timestamp;

/// Forms that are no ISO 8601, day before month.
const FORMS: [&str; 6] = [
    "%Y/%m/%d %H:%M:%S%.f",
    "%d-%m-%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d/%m/%Y %H:%M:%S%.f",
    "%d-%m-%Y %H:%M",
    "%Y/%m/%d %H:%M",
];

/// `None` where it is no time, or before 1970.
pub(in crate::commands) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !text.is_empty() && text.matches('.').count() < 2 {
        return number(text);
    }
    let told = text.parse::<jiff::Timestamp>().ok().or_else(|| civil(text));
    let nanos = told?.as_nanosecond();
    u64::try_from(nanos).ok().map(Timestamp)
}

fn civil(text: &str) -> Option<jiff::Timestamp> {
    let text = text.trim_end_matches(" UTC");
    let by_form = || FORMS.iter().find_map(|form| strtime::parse(form, text).ok()?.to_datetime().ok());
    let date = text.parse::<DateTime>().ok().or_else(by_form)?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, by their size.
fn number(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u64 = whole.parse().ok()?;
    // From 1973 to 5138 no two of them can be mistaken for one another.
    let units: [(u64, u64); 3] =
        [(100_000_000_000, 1_000_000_000), (100_000_000_000_000, 1_000_000), (100_000_000_000_000_000, 1_000)];
    let unit = units.iter().find(|(below, _)| whole < *below).map_or(1, |(_, unit)| *unit);
    let part = match fraction {
        "" => 0.0,
        digits => format!("0.{digits}").parse::<f64>().ok()? * unit as f64,
    };
    Some(Timestamp(whole.checked_mul(unit)?.checked_add(part as u64)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_logs_write_them() {
        let wanted = Timestamp(1_769_854_516_875_000_000);
        for text in [
            "2026-01-31T10:15:16.875Z",
            "2026-01-31T11:15:16.875+01:00",
            "2026-01-31 10:15:16.875",
            "2026-01-31 10:15:16.875000",
            "2026-01-31 10:15:16.875+00:00",
            "2026-01-31 10:15:16.875 UTC",
            "2026/01/31 10:15:16.875",
            "31-01-2026 10:15:16.875",
            "31.01.2026 10:15:16.875",
            "1769854516.875",
            "1769854516875",
            "1769854516875000",
            "1769854516875000000",
        ] {
            assert_eq!(parse(text), Some(wanted), "{text}");
        }
        assert_eq!(parse("2026-01-31"), Some(Timestamp(1_769_817_600_000_000_000)));
        assert_eq!(parse("1769854516"), Some(Timestamp(1_769_854_516_000_000_000)));
        for text in ["", "yesterday", "1.2.3", "2026-13-01 10:00:00", "99999999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
