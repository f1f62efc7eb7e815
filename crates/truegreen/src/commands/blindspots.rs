//! `truegreen blindspots`.

use std::io::Write;

use serde::{Deserialize, Serialize};
use truegreen_model::map::BlindSpot;

use super::asking;
use super::terminal::{self, printable};

/// Ask a running server where a failure could hide
///
/// For each arrow of the map that traffic draws: the ways in which it could fail without anyone being told, which of them
/// would be seen and by what, and what one line would close each of the others.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where the server shows its pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    url: String,
    /// Also those that would be seen
    #[arg(long)]
    all: bool,
    /// As JSON, all of them
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    blind_spots: Vec<BlindSpot>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let answer: Answer = asking::ask(&args.url, "/api/v1/blindspots")?;
    if args.json {
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&serde_json::to_string_pretty(&answer)?))?;
    } else {
        write(&mut anstream::stdout(), &answer.blind_spots, args.all)?;
    }
    Ok(0)
}

fn write(out: &mut impl Write, spots: &[BlindSpot], all: bool) -> std::io::Result<()> {
    if spots.is_empty() {
        return writeln!(out, "No trace was put together yet, so there is no map.");
    }
    let seen = spots.iter().filter(|spot| spot.is_seen).count();
    writeln!(out, "{} ways to fail in silence would not be seen, {seen} would.", spots.len() - seen)?;
    for spot in spots.iter().filter(|spot| all || !spot.is_seen) {
        let (from, to, by) = (printable(&spot.from), printable(&spot.to), printable(&spot.by));
        let seen = if spot.is_seen { "seen by" } else { "not seen" };
        writeln!(out, "\n{from} -> {to}, {}", spot.way.replace('_', " "))?;
        writeln!(out, "  {seen}: {by}")?;
        if !spot.closes.is_empty() {
            writeln!(out, "  closed by: {}", printable(&spot.closes))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use truegreen_model::map::ArrowKind;

    use super::*;

    #[test]
    fn what_is_not_seen_is_said_with_what_closes_it() {
        let spot = |way: &str, is_seen, closes: &str| BlindSpot {
            kind: ArrowKind::Process,
            from: "stock-events".to_owned(),
            to: "inventory".to_owned(),
            way: way.to_owned(),
            is_seen,
            by: "what there is".to_owned(),
            closes: closes.to_owned(),
        };
        let spots =
            [spot("skipped_message", false, "a contract whose step is the effect"), spot("stuck_partition", true, "")];
        let text = |all| {
            let mut out = Vec::new();
            write(&mut out, &spots, all).unwrap();
            String::from_utf8(out).unwrap()
        };
        insta::assert_snapshot!(text(true));
        assert!(!text(false).contains("stuck partition"));
    }
}
