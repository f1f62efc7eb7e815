//! Plain event logs row by row: CSV (with commas, semicolons or tabs) with a header, or NDJSON.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use serde_json::{Map, Value};
use truegreen_engine::learn::Table;

use super::super::audit::recording::{PlainText, open_plain};
use super::super::delimited::delimiter;
use super::super::progress::LiveLine;
use super::super::terminal;
use super::{source, when};
use crate::wording;

/// Longest row of NDJSON.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// Bad rows told one by one; more are only counted.
const TOLD_ROWS: u64 = 20;

/// The columns that were asked for.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Chosen {
    pub(super) case: String,
    pub(super) activity: String,
    pub(super) time: String,
}

/// Rows that could not be read.
struct Bad<'a> {
    path: &'a Path,
    rows: u64,
}

impl Bad<'_> {
    fn row(&mut self, line: u64, why: impl fmt::Display) {
        self.rows += 1;
        if self.rows <= TOLD_ROWS {
            terminal::warn(&format!("{}:{line}: {why}; left out", self.path.display()));
        }
    }
}

pub(super) fn read(files: &[PathBuf], columns: &Chosen, table: &mut Table) -> anyhow::Result<()> {
    let read = Arc::new(AtomicU64::new(0));
    let mut live = LiveLine::new();
    for path in files {
        let cannot = || format!("cannot read {}", path.display());
        let (mut text, size) = open_plain(path, read.clone()).with_context(cannot)?;
        let mut bad = Bad { path, rows: 0 };
        let before = read.load(Ordering::Relaxed);
        let mut shown = || live.show(|| source::progress((read.load(Ordering::Relaxed) - before, size)));
        let start = text.fill_buf().with_context(cannot)?;
        let is_json = start.trim_ascii_start().first() == Some(&b'{');
        if is_json {
            json(text, columns, table, &mut bad, &mut shown).with_context(cannot)?;
        } else {
            csv(text, columns, table, &mut bad, &mut shown).with_context(cannot)?;
        }
        if bad.rows > TOLD_ROWS {
            let rows = wording::count(bad.rows, "row");
            terminal::warn(&format!("{rows} of {} could not be read", path.display()));
        }
    }
    Ok(())
}

fn csv(
    mut text: PlainText,
    columns: &Chosen,
    table: &mut Table,
    bad: &mut Bad<'_>,
    shown: &mut impl FnMut(),
) -> anyhow::Result<()> {
    let delimiter = delimiter(text.fill_buf()?);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text);
    let headers = reader.byte_headers()?.clone();
    // Spreadsheets put a byte order mark before the first name.
    let names: Vec<String> = headers
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    let place = |wanted: &str| {
        names
            .iter()
            .position(|name| name == wanted)
            .with_context(|| format!("there is no column {wanted:?}\nhint: its columns are {}", names.join(", ")))
    };
    let (case, activity, time) = (place(&columns.case)?, place(&columns.activity)?, place(&columns.time)?);
    let mut record = csv::ByteRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if error.is_io_error() => return Err(error.into()),
            Err(error) => {
                bad.row(line, error);
                continue;
            }
        }
        let field = |at: usize| record.get(at).map_or(Cow::Borrowed(""), String::from_utf8_lossy);
        let others = names.iter().enumerate().filter(|(at, _)| ![case, activity, time].contains(at));
        let others: Vec<(&str, Cow<'_, str>)> = others.map(|(at, name)| (name.as_str(), field(at))).collect();
        let others = others.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, &**value));
        if let Err(why) = add(table, &field(case), &field(activity), &field(time), others) {
            bad.row(line, why);
        }
        shown();
    }
}

fn json(
    mut text: PlainText,
    columns: &Chosen,
    table: &mut Table,
    bad: &mut Bad<'_>,
    shown: &mut impl FnMut(),
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        (&mut text).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = serde_json::from_slice::<Map<String, Value>>(&line);
        if let Err(why) = row.map_err(|error| error.to_string()).and_then(|row| object(&row, columns, table)) {
            bad.row(number, why);
        }
        shown();
    }
}

fn object(row: &Map<String, Value>, columns: &Chosen, table: &mut Table) -> Result<(), String> {
    let wanted = |name: &str| find(row, name).and_then(text).unwrap_or_default();
    let own = [&columns.case, &columns.activity, &columns.time];
    let others = row.iter().filter(|(name, _)| !own.contains(name));
    let others: Vec<(&str, Cow<'_, str>)> =
        others.filter_map(|(name, value)| Some((name.as_str(), text(value)?))).collect();
    let others = others.iter().map(|(name, value)| (*name, &**value));
    add(table, &wanted(&columns.case), &wanted(&columns.activity), &wanted(&columns.time), others)
}

/// A field, or one inside others: `resource.name`.
fn find<'a>(row: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    row.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        find(row.get(outer)?.as_object()?, inner)
    })
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Owned(flag.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn add<'a>(
    table: &mut Table,
    case: &str,
    activity: &str,
    time: &str,
    others: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), String> {
    if case.is_empty() || activity.is_empty() {
        let which = if case.is_empty() { "case" } else { "activity" };
        return Err(format!("the {which} is empty"));
    }
    let at = when::parse(time).ok_or_else(|| {
        let shown: String = time.chars().take(40).collect();
        format!("{shown:?} is no time\nhint: RFC 3339, `2026-01-31 10:15:16.875`, or a number since 1970")
    })?;
    table.add(case, activity, at, others);
    Ok(())
}
