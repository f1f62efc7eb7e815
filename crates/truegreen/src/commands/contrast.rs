//! `truegreen contrast`: what is different about the failing rows of any table.

mod names;
mod outcome;
mod rows;
mod text;

use std::io::Write;
use std::path::PathBuf;

use truegreen_engine::explain::contrast::{Options, contrast};

use super::terminal;
use crate::wording;

/// Tell what is different about the failing rows of a table
///
/// Reads CSV (commas, semicolons, tabs or bars; the first row names the columns) or NDJSON (fields inside others are
/// `outer.inner`; a list is several values of one attribute), plain or compressed with gzip or zstd; `-` reads standard
/// input. An empty cell is absent, which is a value of its own.
///
/// Prints the smallest set of conditions that explains the failures, runners-up, and what was left out. Say what failed by
/// one of: `--failing`, `--bad` with `--total`, or `--time` with `--failing-from`. The last alone compares the rows of that
/// time with those before it; together with one of the others it tells what got worse since.
///
/// Exit code 0 whatever the answer is.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Table, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    asked: outcome::Asked,
    /// Columns to leave out; may be repeated, or be a list with commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Runners-up to print at most
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let wish = args.asked.wish()?;
    let read = rows::read(&args.file, &wish, &args.ignore)?;
    // Where something becomes more frequent, everything else becomes less so: that is no explanation.
    let opposites = !wish.is_of_shares();
    let options = Options { ignore: args.ignore.clone(), top: args.top, opposites, ..Options::default() };
    let found = contrast(&read.table, &options);
    if args.json {
        let json = serde_json::to_string_pretty(&found)?;
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&json))?;
    } else {
        let mut out = anstream::stdout();
        text::write(&mut out, &found, wish.is_of_shares())?;
        writeln!(out, "\n{} read", wording::count(read.table.rows() as u64, "row"))?;
    }
    if read.later > 0 {
        let rows = wording::count(read.later, "row");
        terminal::warn(&format!("{rows} left out: after --failing-until"));
    }
    if read.bad > 0 {
        let rows = wording::count(read.bad, "row");
        terminal::warn(&format!("{rows} could not be read: the answer is of the others"));
    }
    Ok(0)
}
