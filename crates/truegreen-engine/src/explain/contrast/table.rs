//! A table of attempts: what is known of each, and how it went.

use std::fmt;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Rows beyond this are not taken.
pub const MAX_ROWS: usize = 20_000_000;
/// Columns beyond this are not taken.
pub const MAX_COLUMNS: usize = 2_000;
/// Bytes of a value that are kept: what differs only behind them is the same value.
pub const MAX_VALUE_BYTES: usize = 512;
/// Distinct values of one column that are kept apart. Beyond, new ones are one and the same: such a column is as good as
/// unique, and names nothing that could be acted upon.
pub const MAX_VALUES: usize = 4_000_000;

/// How the attempts of one row went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub(super) bad: u64,
    pub(super) attempts: u64,
    pub(super) is_before: bool,
}

impl Outcome {
    /// One attempt that failed.
    pub const FAILING: Outcome = Outcome { bad: 1, attempts: 1, is_before: false };
    /// One attempt that went well.
    pub const HEALTHY: Outcome = Outcome { bad: 0, attempts: 1, is_before: false };

    /// One attempt.
    pub const fn of(is_failing: bool) -> Outcome {
        if is_failing { Outcome::FAILING } else { Outcome::HEALTHY }
    }

    /// Many attempts of which so many failed. More failures than attempts are as many.
    pub const fn counted(bad: u64, attempts: u64) -> Outcome {
        let bad = if bad > attempts { attempts } else { bad };
        Outcome { bad, attempts, is_before: false }
    }

    /// It is of the time before things went wrong: it tells what is usual, and is not explained itself.
    #[must_use]
    pub const fn before(self) -> Outcome {
        Outcome { is_before: true, ..self }
    }
}

/// The table is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// [`MAX_ROWS`].
    Rows,
    /// [`MAX_COLUMNS`].
    Columns,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Full::Rows => write!(f, "more than {MAX_ROWS} rows"),
            Full::Columns => write!(f, "more than {MAX_COLUMNS} columns"),
        }
    }
}

impl std::error::Error for Full {}

/// Attempts, row by row. Values are texts; a column of which all values are decimal numbers is numeric. A row may hold
/// several values of one column, or none. The empty text is a value of its own.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) columns: Vec<Column>,
    names: HashTable<u32>,
    pub(super) bad: Vec<u64>,
    pub(super) attempts: Vec<u64>,
    /// Which rows are of the time before; empty while none is.
    pub(super) before: Vec<bool>,
}

/// One attribute: a dictionary of its values, and a code for each row.
#[derive(Debug, Default)]
pub(super) struct Column {
    pub(super) name: String,
    /// The value of code `n` is at `n - 1`.
    pub(super) values: Vec<Box<str>>,
    places: HashTable<u32>,
    /// For each row, 0 where it is absent; may end early.
    pub(super) codes: Vec<u32>,
    /// Further values of a row: its number, and the code.
    pub(super) more: Vec<(u32, u32)>,
}

impl Table {
    /// An empty one.
    pub fn new() -> Table {
        Table::default()
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.bad.len()
    }

    /// The place of a column, which is made where there is none of this name.
    ///
    /// # Errors
    /// Beyond [`MAX_COLUMNS`].
    pub fn column(&mut self, name: &str) -> Result<usize, Full> {
        let columns = &self.columns;
        let hash = hash(name);
        if let Some(place) = self.names.find(hash, |place| columns[*place as usize].name == name) {
            return Ok(*place as usize);
        }
        if columns.len() >= MAX_COLUMNS {
            return Err(Full::Columns);
        }
        let place = columns.len();
        self.names.insert_unique(hash, place as u32, |place| self::hash(&columns[*place as usize].name));
        self.columns.push(Column { name: name.to_owned(), ..Column::default() });
        Ok(place)
    }

    /// Begins a row: what is [`set`](Table::set) from now on is of it.
    ///
    /// # Errors
    /// Beyond [`MAX_ROWS`].
    pub fn begin(&mut self, outcome: Outcome) -> Result<(), Full> {
        if self.rows() >= MAX_ROWS {
            return Err(Full::Rows);
        }
        if outcome.is_before && self.before.is_empty() {
            self.before = vec![false; self.rows()];
        }
        if outcome.is_before || !self.before.is_empty() {
            self.before.push(outcome.is_before);
        }
        self.bad.push(outcome.bad);
        self.attempts.push(outcome.attempts);
        Ok(())
    }

    /// One value of the row that was begun last. Several of one column are all kept, each once.
    pub fn set(&mut self, column: usize, value: &str) {
        let Some(row) = self.rows().checked_sub(1) else { return };
        let column = &mut self.columns[column];
        let code = column.code(value);
        if column.codes.len() > row {
            let has = column.codes[row] == code
                || column.more.iter().rev().take_while(|(at, _)| *at == row as u32).any(|(_, other)| *other == code);
            if !has {
                column.more.push((row as u32, code));
            }
            return;
        }
        column.codes.resize(row, 0);
        column.codes.push(code);
    }

    /// A whole row: its outcome, and its values by the name of their column.
    ///
    /// # Errors
    /// Beyond [`MAX_ROWS`] or [`MAX_COLUMNS`]; of a row with a column too many, the other values are kept.
    pub fn push<'a>(
        &mut self,
        outcome: Outcome,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Full> {
        self.begin(outcome)?;
        let mut full = Ok(());
        for (name, value) in values {
            match self.column(name) {
                Ok(column) => self.set(column, value),
                Err(why) => full = Err(why),
            }
        }
        full
    }
}

impl Column {
    fn code(&mut self, value: &str) -> u32 {
        let mut end = value.len().min(MAX_VALUE_BYTES);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        let value = &value[..end];
        let hash = hash(value);
        let values = &self.values;
        if let Some(code) = self.places.find(hash, |code| *values[*code as usize - 1] == *value) {
            return *code;
        }
        if values.len() >= MAX_VALUES {
            return values.len() as u32;
        }
        self.values.push(value.into());
        let (code, values) = (self.values.len() as u32, &self.values);
        self.places.insert_unique(hash, code, |code| self::hash(&values[*code as usize - 1]));
        code
    }

    /// The first code of a row, 0 where it is absent.
    pub(super) fn first(&self, row: usize) -> u32 {
        self.codes.get(row).copied().unwrap_or(0)
    }

    /// The number behind each code (that of code `n` at `n - 1`), where all values are [`decimal`] numbers.
    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        if self.values.is_empty() {
            return None;
        }
        self.values.iter().map(|value| decimal(value)).collect()
    }
}

/// A finite decimal number; thousands may be set apart, as in `1,234,567.8`, `1_000` or `12 000`.
pub fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    // `inf`, `nan` and `infinity` are words.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    let number = text.parse::<f64>().ok().or_else(|| grouped(text)?.parse().ok());
    number.filter(|number| number.is_finite())
}

/// Without what sets thousands apart, where that stands before every three digits and nowhere else.
fn grouped(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, _) = digits.split_once('.').unwrap_or((digits, ""));
    let mark = whole.chars().find(|c| matches!(c, ',' | '_' | '\'' | ' ' | '\u{a0}' | '\u{202f}'))?;
    let mut groups = whole.split(mark);
    let first = groups.next().is_some_and(|first| (1..=3).contains(&first.len()));
    let others = groups.all(|group| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit()));
    (first && others).then(|| text.replace(mark, ""))
}

fn hash(text: &str) -> u64 {
    use std::hash::BuildHasher;
    FixedState::with_seed(0x5eed).hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_may_hold_several_values_or_none() {
        let mut table = Table::new();
        table.push(Outcome::HEALTHY, [("a", "1")]).unwrap();
        table.push(Outcome::FAILING, [("host", "x"), ("host", "y"), ("host", "x")]).unwrap();
        assert_eq!(table.rows(), 2);
        assert_eq!(table.columns[0].codes, [1]);
        assert_eq!(table.columns[0].first(1), 0);
        assert_eq!((&table.columns[1].codes[..], &table.columns[1].more[..]), (&[0, 1][..], &[(1, 2)][..]));
    }

    #[test]
    fn a_column_is_numeric_where_all_its_values_are() {
        let mut table = Table::new();
        table.push(Outcome::HEALTHY, [("n", "1.5"), ("t", "1"), ("w", "nan")]).unwrap();
        table.push(Outcome::HEALTHY, [("n", "-2e3"), ("t", "one"), ("w", "inf")]).unwrap();
        assert_eq!(table.columns[0].numbers(), Some(vec![1.5, -2000.0]));
        assert_eq!((table.columns[1].numbers(), table.columns[2].numbers()), (None, None));
    }

    #[test]
    fn thousands_may_be_set_apart() {
        let told =
            ["1,234", "-1,234,567.5", "12 000", "1_000", "1,23", "1,2345", "1,234;5", "1,234,56", "a,234", "1.2.3"];
        let wanted =
            [Some(1234.0), Some(-1_234_567.5), Some(12_000.0), Some(1000.0), None, None, None, None, None, None];
        assert_eq!(told.map(decimal), wanted);
    }
}
