//! Durations and sizes as people write them: `90s`, `1h30m`, `16MiB`.

use std::time::Duration;

/// Reads `500ms`, `10s`, `2m`, `6h`, `3d` or several of them in a row (`1h30m`).
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration\nhint: write it like 500ms, 10s, 2m, 6h or 1h30m");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(wrong)?;
        let unit_len = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let millis_per_unit: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let millis = number.checked_mul(millis_per_unit).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(millis)).ok_or_else(wrong)?;
        rest = next;
    }
    Ok(total)
}

/// Reads a size in bytes: `65536`, `64KiB`, `16MiB`, `1GiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a size\nhint: write it like 65536, 64KiB, 16MiB or 1GiB");
    let (number, unit) = split_number(text.trim()).ok_or_else(wrong)?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(factor).ok_or_else(wrong)?;
    usize::try_from(total).map_err(|_| wrong())
}

/// A size as [`bytes`] reads it.
pub fn show_bytes(bytes: usize) -> String {
    for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{} {unit}", bytes / factor);
        }
    }
    format!("{bytes} B")
}

/// So many bytes for people, rounded.
pub fn show_rounded(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    number.parse().ok().map(|n| (n, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them() {
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        for wrong in ["", "5", "s", "5 parsecs", "-1s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(wrong).unwrap_err().contains("hint:"), "{wrong}");
        }
        assert_eq!(bytes("16MiB").unwrap(), 16 << 20);
        assert_eq!(bytes("17").unwrap(), 17);
        assert!(bytes("16MB").unwrap_err().contains("hint:"));
        assert_eq!(show_bytes(16 << 20), "16 MiB");
    }
}
