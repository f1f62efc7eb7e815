//! Spans of time as a contract writes them: `500ms`, `5s`, `1h30m`, `1d`.

use std::time::Duration;

/// Longest span of time a contract may give: sums of 64 of them and any event time are far from overflowing.
pub const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// Largest first, as they must follow each other.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why text is no span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mistake {
    NotATime,
    NoUnit,
    TooLong,
}

/// `text` as a span of time; its units fall, each at most once. A bare `0` needs no unit.
pub(super) fn parse(text: &str) -> Result<Duration, Mistake> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(Mistake::NotATime);
        }
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() {
            return Err(if after.is_empty() { Mistake::NoUnit } else { Mistake::NotATime });
        }
        let Some((_, milliseconds)) = units.by_ref().find(|(name, _)| *name == unit) else {
            return Err(Mistake::NotATime);
        };
        let number: u64 = number.parse().map_err(|_| Mistake::TooLong)?;
        total = number.checked_mul(*milliseconds).and_then(|part| total.checked_add(part)).ok_or(Mistake::TooLong)?;
        rest = after;
    }
    match Duration::from_millis(total) {
        _ if text.is_empty() => Err(Mistake::NotATime),
        long if long > MAX_DURATION => Err(Mistake::TooLong),
        duration => Ok(duration),
    }
}

/// As a contract would write it, to the millisecond.
pub(super) fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, milliseconds) in UNITS {
        let count = rest / milliseconds;
        rest %= milliseconds;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read_and_written_alike() {
        for text in ["500ms", "5s", "2m", "1h", "1d", "1h30m", "1d2h3m4s5ms", "90s"] {
            let duration = parse(text).unwrap();
            assert_eq!(parse(&format(duration)), Ok(duration), "{text}");
        }
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(format(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn what_is_no_span_of_time_is_refused() {
        let cases = [
            ("", Mistake::NotATime),
            ("30", Mistake::NoUnit),
            ("5 s", Mistake::NotATime),
            ("1.5s", Mistake::NotATime),
            ("5s5s", Mistake::NotATime),
            ("30m1h", Mistake::NotATime),
            ("-5s", Mistake::NotATime),
            ("5sec", Mistake::NotATime),
            ("367d", Mistake::TooLong),
            ("99999999999999999999s", Mistake::TooLong),
            ("9999999999999999999d", Mistake::TooLong),
        ];
        for (text, mistake) in cases {
            assert_eq!(parse(text), Err(mistake), "{text}");
        }
    }
}
