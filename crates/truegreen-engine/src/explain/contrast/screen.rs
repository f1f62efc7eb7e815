//! Which attributes can be a cause at all: not what names single rows, what is always the same, or when it happened.

use truegreen_model::contrast::Ignored;

use super::table::{Column, Table};

/// A text with more distinct values than this share of the attempts that carry it names single attempts.
const NEARLY_UNIQUE: f64 = 0.5;
/// Fewer distinct values than this are not called unique: in a handful of rows everything is.
const FEW: usize = 10;
/// Share of the values that look like times, from which on the column is one.
const MOSTLY: f64 = 0.95;
/// Values that are looked at to tell whether they are times.
const LOOKED_AT: usize = 500;

/// A column that is looked at.
#[derive(Debug)]
pub(super) struct Considered {
    pub(super) column: usize,
    /// The number behind each code, where it is numeric.
    pub(super) numbers: Option<Vec<f64>>,
    /// Its values name single rows, but not every row has one.
    pub(super) only_presence: bool,
}

/// What is looked at, and what is not.
pub(super) fn screen(table: &Table, ignore: &[String]) -> (Vec<Considered>, Vec<Ignored>) {
    let mut considered = Vec::new();
    let mut ignored = Vec::new();
    // Numbers beside counts of a whole row are measures of that row; dimensions have few values.
    let is_aggregated = is_aggregated(table);
    for (place, column) in table.columns.iter().enumerate() {
        let mut leave_out = |reason: &str| {
            ignored.push(Ignored { attribute: column.name.clone(), reason: reason.to_owned() });
        };
        if ignore.contains(&column.name) {
            leave_out("as told");
            continue;
        }
        let absent = || (0..table.rows()).filter(|row| column.first(*row) == 0).count();
        if column.values.is_empty() {
            leave_out("never there");
        } else if column.values.len() == 1 && absent() == 0 {
            leave_out("always the same");
        } else if is_time(column) {
            leave_out("a time");
        } else {
            let numbers = column.numbers();
            let is_unique = is_nearly_unique(table, column, numbers.as_deref(), is_aggregated);
            if let (Some(reason), true) = (is_unique, absent() == 0) {
                leave_out(reason);
                continue;
            }
            let only_presence = is_unique.is_some();
            considered.push(Considered { column: place, numbers: numbers.filter(|_| !only_presence), only_presence });
        }
    }
    (considered, ignored)
}

/// Whether rows stand for several attempts.
pub(super) fn is_aggregated(table: &Table) -> bool {
    table.attempts.iter().any(|attempts| *attempts > 1)
}

fn is_nearly_unique(
    table: &Table,
    column: &Column,
    numbers: Option<&[f64]>,
    is_aggregated: bool,
) -> Option<&'static str> {
    let distinct = column.values.len();
    if distinct <= FEW || distinct as f64 <= NEARLY_UNIQUE * column.codes.len() as f64 / 16.0 {
        return None;
    }
    let present = |weight: &dyn Fn(usize) -> u64| -> u64 {
        (0..column.codes.len()).filter(|row| column.codes[*row] != 0).map(weight).sum()
    };
    let rows = present(&|_| 1);
    match numbers {
        None => {
            let attempts = present(&|row| table.attempts[row]);
            (distinct as f64 > NEARLY_UNIQUE * attempts as f64).then_some("nearly unique")
        }
        Some(_) if is_aggregated => (distinct as f64 > NEARLY_UNIQUE * rows as f64).then_some("a measure of each row"),
        Some(numbers) => (distinct as u64 == rows && counts_up(column, numbers)).then_some("counts the rows"),
    }
}

/// A running number: whole, and ever higher (or ever lower) from row to row.
fn counts_up(column: &Column, numbers: &[f64]) -> bool {
    let of = |code: &u32| (*code as usize).checked_sub(1).map(|at| numbers[at]);
    let values: Vec<f64> = column.codes.iter().filter_map(of).collect();
    let is_whole = values.iter().all(|number| number.fract() == 0.0);
    let rises = values.windows(2).all(|pair| pair[0] < pair[1]);
    let falls = values.windows(2).all(|pair| pair[0] > pair[1]);
    is_whole && (rises || falls)
}

fn is_time(column: &Column) -> bool {
    if column.values.len() < 2 {
        return false;
    }
    let step = column.values.len().div_ceil(LOOKED_AT);
    let looked: Vec<&str> = column.values.iter().step_by(step).map(|value| value.trim()).collect();
    let times = looked.iter().filter(|value| reads_as_time(value)).count();
    times as f64 >= MOSTLY * looked.len() as f64
}

fn reads_as_time(value: &str) -> bool {
    // Of this century, in seconds, milliseconds, microseconds or nanoseconds since 1970.
    if let Ok(number) = value.parse::<f64>() {
        let is_of = |unit: f64| number >= 946_684_800.0 * unit && number < 4_102_444_800.0 * unit;
        return value.len() >= 9 && [1.0, 1e3, 1e6, 1e9].into_iter().any(is_of);
    }
    let may = value.len() >= 8 && value.as_bytes()[0].is_ascii_digit();
    may && (value.parse::<jiff::Timestamp>().is_ok()
        || value.parse::<jiff::civil::DateTime>().is_ok()
        || value.parse::<jiff::civil::Date>().is_ok()
        || is_written_as_time(value))
}

/// As logs and spreadsheets write them: `31/Jan/2026:10:15:16 +0000`, `1/31/2026 10:15 AM`, `31.01.2026`. A date of three
/// parts, and perhaps a time of day behind it.
fn is_written_as_time(value: &str) -> bool {
    let parts: Vec<&str> = value.splitn(3, ['/', '.', '-']).collect();
    let [first, second, rest] = parts[..] else { return false };
    let is_number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_month = |part: &str| is_number(part) || part.len() == 3 && part.bytes().all(|b| b.is_ascii_alphabetic());
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let behind = &rest[digits..];
    let is_of_day = behind.is_empty() || behind.starts_with([' ', ':', 'T']) && behind.contains(':');
    // A year has four digits: versions and addresses of three numbers have none.
    let has_year = first.len() == 4 || digits == 4;
    is_number(first) && is_month(second) && (1..=4).contains(&digits) && has_year && is_of_day
}

#[cfg(test)]
mod tests {
    use super::super::table::Outcome;
    use super::*;

    #[test]
    fn times_are_told_however_they_are_written() {
        let times = [
            "31/Jan/2026:10:15:16 +0000",
            "1/31/2026 10:15",
            "31.01.2026",
            "2026/01/31",
            "2026-01-31 10:15:16.5",
            "1769854516",
        ];
        assert!(times.iter().all(|time| reads_as_time(time)), "{times:?}");
        let others = ["10.0.0.1", "1.2.3", "12/34/56", "2026.1", "a/b/c", "1000-2000-3000-4000", "192.168.1.20:80"];
        assert!(others.iter().all(|other| !reads_as_time(other)), "{others:?}");
    }

    #[test]
    fn what_names_rows_is_left_out() {
        let mut table = Table::new();
        for n in 0..100_u32 {
            let (id, at) = (format!("ord-{n}"), format!("2026-01-01T10:00:{:02}Z", n % 60));
            let (host, running) = (format!("h{}", n % 7), n.to_string());
            let row = [("id", &*id), ("at", &*at), ("region", "eu"), ("host", &*host), ("n", &*running)];
            let coupon = (n % 5 == 0).then(|| ("coupon", &*id));
            table.push(Outcome::of(n % 3 == 0), row.into_iter().chain(coupon)).unwrap();
        }
        table.column("none").unwrap();
        let (considered, ignored) = screen(&table, &[]);
        let told: Vec<String> = ignored.iter().map(|one| format!("{} {}", one.attribute, one.reason)).collect();
        let wanted =
            ["id nearly unique", "at a time", "region always the same", "n counts the rows", "none never there"];
        assert_eq!(told, wanted);
        let kept: Vec<_> = considered.iter().map(|one| (one.column, one.only_presence)).collect();
        assert_eq!(kept, [(3, false), (5, true)]);
    }
}
