//! `truegreen store`.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use truegreen_model::time::Timestamp;
use truegreen_store::{Damage, info, verify};

use crate::quantity::show_rounded;

/// Look into the log of accepted requests that `serve` keeps
///
/// Changes nothing. `info` works beside a running server; `verify` waits for none, and says who holds the log.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Tell how much there is
    Info {
        /// The folder of the log
        #[arg(default_value = "truegreen-data")]
        dir: PathBuf,
    },
    /// Read everything and check every checksum; exit code 1 where something is damaged
    Verify {
        /// The folder of the log
        #[arg(default_value = "truegreen-data")]
        dir: PathBuf,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut out = anstream::stdout();
    match &args.what {
        What::Info { dir } => {
            let stats = info(dir)?;
            let (plain, disk) = (show_rounded(stats.plain_bytes), show_rounded(stats.disk_bytes));
            writeln!(out, "{}: {} entries in {} segments", dir.display(), stats.entries, stats.segments)?;
            writeln!(out, "  size       {disk} on disk, {plain} plain")?;
            if let (Some(first), Some(last)) = (stats.first_sequence, stats.last_sequence) {
                writeln!(out, "  sequences  {first} to {last}")?;
            }
            if let (Some(first), Some(last)) = (stats.first_received_at, stats.last_received_at) {
                writeln!(out, "  received   {} to {}", time(first), time(last))?;
            }
            Ok(0)
        }
        What::Verify { dir } => {
            let verified = verify(dir)?;
            let (segments, blocks, entries) = (verified.segments, verified.blocks, verified.entries);
            writeln!(out, "{}: {entries} entries in {blocks} blocks of {segments} segments are whole", dir.display())?;
            match verified.damage {
                None => Ok(0),
                Some(damage) => {
                    writeln!(out, "{}", told(&damage))?;
                    Ok(u8::from(!damage.is_torn_tail))
                }
            }
        }
    }
}

fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.0));
    at.map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn told(damage: &Damage) -> String {
    let at = format!("{}, byte {}: {}", damage.file.display(), damage.offset, damage.what);
    if damage.is_torn_tail {
        format!("{at}\nhint: a crash cut this write short before it was acknowledged; the next start mends it")
    } else {
        format!("damaged: {at}\nhint: restore the file from a copy, or move the folder away and start anew")
    }
}
