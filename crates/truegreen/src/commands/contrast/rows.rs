//! A table row by row: CSV with a header, or NDJSON.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use serde_json::{Map, Value};
use truegreen_engine::explain::contrast::Table;

use super::super::audit::recording::{PlainText, open_plain};
use super::super::delimited::delimiter;
use super::super::learn::source;
use super::super::progress::LiveLine;
use super::super::terminal;
use super::names::Names;
use super::outcome::{By, ByPlace, Judge, Wish};

/// Longest row of NDJSON.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// How deep fields of NDJSON may lie in others.
const MAX_DEPTH: usize = 8;
/// Bad rows told one by one; more are only counted.
const TOLD_ROWS: u64 = 20;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) table: Table,
    /// Rows that could not be read.
    pub(super) bad: u64,
    /// Rows behind the time that is asked about.
    pub(super) later: u64,
}

/// Reads it to its end.
pub(super) fn read(path: &Path, wish: &Wish, ignore: &[String]) -> anyhow::Result<Taken> {
    let cannot = || format!("cannot read {}", shown(path));
    let read = Arc::new(AtomicU64::new(0));
    let (mut text, size) = match path.as_os_str() == "-" {
        true => (BufReader::with_capacity(1 << 20, Box::new(std::io::stdin()) as Box<dyn Read>), 0),
        false => open_plain(path, read.clone()).with_context(cannot)?,
    };
    let mut live = LiveLine::new();
    let mut progress = || {
        live.show(|| match size {
            0 => String::new(),
            _ => source::progress((read.load(Ordering::Relaxed), size)),
        });
    };
    let start = text.fill_buf().with_context(cannot)?;
    anyhow::ensure!(!start.trim_ascii().is_empty(), "{} is empty", shown(path));
    let is_json = start.trim_ascii_start().first() == Some(&b'{');
    let mut rows =
        Rows { path, wish, names: Names::default(), columns: Vec::new(), unseen: Vec::new(), read: Taken::default() };
    if is_json {
        rows.json(text, &mut progress)?;
    } else {
        rows.csv(text, &mut progress)?;
    }
    rows.done(ignore)
}

fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}

struct Rows<'a> {
    path: &'a Path,
    wish: &'a Wish,
    names: Names,
    /// For each name its column of the table, once a row has it.
    columns: Vec<Option<usize>>,
    /// Columns that were asked for and that no row has had so far.
    unseen: Vec<usize>,
    read: Taken,
}

impl<'a> Rows<'a> {
    fn csv(&mut self, mut text: PlainText, progress: &mut impl FnMut()) -> anyhow::Result<()> {
        let cannot = || format!("cannot read {}", shown(self.path));
        // What stands in the buffer at first may be a few bytes only: those by which a compressed file is known.
        let mut header = Vec::new();
        (&mut text).take(MAX_LINE_BYTES).read_until(b'\n', &mut header).with_context(cannot)?;
        let delimiter = delimiter(&header);
        let whole = std::io::Cursor::new(header).chain(text);
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(whole);
        let headers = reader.byte_headers().with_context(cannot)?.clone();
        // Spreadsheets put a byte order mark before the first name.
        let plain = |name: &[u8]| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned();
        let places: Vec<usize> = headers.iter().map(|name| self.names.place(&plain(name))).collect();
        let judge = self.judge(true)?;
        let roles = judge.places();
        let mut record = csv::ByteRecord::new();
        loop {
            let line = reader.position().line();
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if error.is_io_error() => {
                    return Err(error).with_context(|| format!("cannot read {}", shown(self.path)));
                }
                Err(error) => {
                    self.complain(line, error);
                    continue;
                }
            }
            let line = record.position().map_or(line, csv::Position::line);
            if record.len() != places.len() {
                self.complain(line, format!("{} cells, where the header has {}", record.len(), places.len()));
                continue;
            }
            let cells: Vec<(usize, Cow<'_, str>)> = places.iter().copied().zip(record.iter().map(cell)).collect();
            self.take(line, &judge, &roles, &cells)?;
            progress();
        }
    }

    fn json(&mut self, mut text: PlainText, progress: &mut impl FnMut()) -> anyhow::Result<()> {
        let judge = self.judge(false)?;
        let roles = judge.places();
        self.unseen.clone_from(&roles);
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            let whole = (&mut text).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            whole.with_context(|| format!("cannot read {}", shown(self.path)))?;
            if line.is_empty() {
                return Ok(());
            }
            number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Map<String, Value>>(&line) {
                Err(why) => self.complain(number, why),
                Ok(row) => {
                    let mut cells = Vec::new();
                    flatten(&row, "", MAX_DEPTH, &mut |name, value| cells.push((self.names.place(name), value)));
                    self.take(number, &judge, &roles, &cells)?;
                }
            }
            progress();
        }
    }

    /// What the columns are asked; of a header those that it lacks are told at once.
    fn judge(&mut self, is_complete: bool) -> anyhow::Result<Judge<'a>> {
        let known = self.names.len();
        let wish = self.wish;
        let mut place = |name: &str| -> anyhow::Result<usize> {
            let place = self.names.place(name);
            if is_complete && place >= known {
                return Err(self.names.lacks(name, |place| place < known));
            }
            Ok(place)
        };
        let by = match &wish.by {
            By::Period => ByPlace::Period,
            By::Counts { bad, total } => ByPlace::Counts { bad: place(bad)?, total: place(total)? },
            By::Failing(text) => match text.split_once('=') {
                // A name may hold a sign itself.
                Some((name, values)) if !is_complete || place(text).is_err() => {
                    let values = values.split(',').map(str::to_owned).collect();
                    ByPlace::Failing(place(name)?, Some(values))
                }
                _ => ByPlace::Failing(place(text)?, None),
            },
        };
        let period = match &wish.period {
            Some(period) => Some((place(&period.column)?, period)),
            None => None,
        };
        Ok(Judge { by, period })
    }

    fn take(
        &mut self,
        line: u64,
        judge: &Judge<'_>,
        roles: &[usize],
        cells: &[(usize, Cow<'_, str>)],
    ) -> anyhow::Result<()> {
        self.unseen.retain(|place| cells.iter().all(|(own, _)| own != place));
        let cell = |place: usize| cells.iter().find(|(own, _)| *own == place).map(|(_, text)| &**text);
        let outcome = judge.outcome(cell).map_err(|why| anyhow::anyhow!("{}:{line}: {why:#}", shown(self.path)))?;
        let Some(outcome) = outcome else {
            self.read.later += 1;
            return Ok(());
        };
        let full = |why| format!("{}:{line}: {why}\nhint: leave out rows or columns", shown(self.path));
        self.read.table.begin(outcome).map_err(full).map_err(anyhow::Error::msg)?;
        self.columns.resize(self.columns.len().max(self.names.len()), None);
        for (place, text) in cells.iter().filter(|(place, text)| !text.is_empty() && !roles.contains(place)) {
            let column = match self.columns[*place] {
                Some(column) => column,
                None => {
                    let name = self.names.name(*place);
                    *self.columns[*place]
                        .insert(self.read.table.column(name).map_err(full).map_err(anyhow::Error::msg)?)
                }
            };
            self.read.table.set(column, text);
        }
        Ok(())
    }

    fn complain(&mut self, line: u64, why: impl fmt::Display) {
        self.read.bad += 1;
        if self.read.bad <= TOLD_ROWS {
            terminal::warn(&format!("{}:{line}: {why}; left out", shown(self.path)));
        }
        if self.read.bad == TOLD_ROWS {
            terminal::warn("further rows that cannot be read are only counted");
        }
    }

    fn done(mut self, ignore: &[String]) -> anyhow::Result<Taken> {
        anyhow::ensure!(
            self.read.table.rows() > 0 || self.read.later > 0,
            "{} has no row that can be read",
            shown(self.path)
        );
        if let Some(unseen) = self.unseen.first() {
            return Err(self.names.lacks(self.names.name(*unseen), |place| !self.unseen.contains(&place)));
        }
        let known = self.names.len();
        for name in ignore {
            if self.names.place(name) >= known {
                return Err(self.names.lacks(name, |place| place < known));
            }
        }
        Ok(self.read)
    }
}

/// What programs write where there is nothing.
const NOTHING: [&str; 8] = ["NULL", "null", "\\N", "NaN", "nan", "None", "N/A", "#N/A"];

/// A cell of CSV without blanks around it, and one word for one truth, whoever wrote it.
fn cell(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes.trim_ascii());
    match &*text {
        nothing if NOTHING.contains(&nothing) => Cow::Borrowed(""),
        "True" | "TRUE" => Cow::Borrowed("true"),
        "False" | "FALSE" => Cow::Borrowed("false"),
        _ => text,
    }
}

/// Every plain value with its name; fields inside others are `outer.inner`, a list is several values of one name.
fn flatten<'v>(row: &'v Map<String, Value>, outer: &str, depth: usize, tell: &mut impl FnMut(&str, Cow<'v, str>)) {
    for (name, value) in row {
        let full = if outer.is_empty() { Cow::Borrowed(name.as_str()) } else { Cow::Owned(format!("{outer}.{name}")) };
        one(value, &full, depth, tell);
    }
}

fn one<'v>(value: &'v Value, name: &str, depth: usize, tell: &mut impl FnMut(&str, Cow<'v, str>)) {
    match value {
        Value::Null => {}
        Value::String(text) => tell(name, Cow::Borrowed(text)),
        Value::Number(number) => tell(name, Cow::Owned(number.to_string())),
        Value::Bool(flag) => tell(name, Cow::Owned(flag.to_string())),
        Value::Object(inner) if depth > 0 => flatten(inner, name, depth - 1, tell),
        Value::Array(values) if depth > 0 => values.iter().for_each(|value| one(value, name, depth - 1, tell)),
        Value::Object(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_inside_others_and_lists_are_flat() {
        let row: Map<String, Value> =
            serde_json::from_str(r#"{"a":1,"b":{"c":true,"d":null},"hosts":["x","y"],"spans":[{"s":"q"}]}"#).unwrap();
        let mut told = Vec::new();
        flatten(&row, "", MAX_DEPTH, &mut |name, value| told.push(format!("{name}={value}")));
        assert_eq!(told, ["a=1", "b.c=true", "hosts=x", "hosts=y", "spans.s=q"]);
    }
}
