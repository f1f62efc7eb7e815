//! `truegreen store`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use truegreen_model::time::Timestamp;
use truegreen_store::compact::{Compacted, Sizes, compact};
use truegreen_store::{CHECKPOINT_FOLDER, Damage, INDEX_FOLDER, Options, checkpoint, index, info, verify};

use crate::clock::wall_clock;
use crate::quantity::{self, show_rounded};

/// Look into the log of accepted requests that `serve` keeps
///
/// `info` and `verify` change nothing; `compact` makes it smaller. `info` works beside a running server; the others say
/// who holds the log.
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
    /// Rewrite what takes more room than it needs, while no server runs
    Compact(Compact),
}

/// Rewrite what takes more room than it needs, while no server runs
///
/// Few requests at a time are written in small blocks, which compress poorly: they become full ones. It may be
/// interrupted at any instant. Nothing is dropped unless a limit is given, and nothing that the next start needs.
#[derive(clap::Args, Debug)]
struct Compact {
    /// The folder of the log
    #[arg(default_value = "truegreen-data")]
    dir: PathBuf,
    /// Drop requests received longer ago, in whole segments, such as `7d`
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    max_age: Option<Duration>,
    /// Drop the oldest requests while the log takes more, such as `10GiB`
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    max_bytes: Option<usize>,
    /// Leave so much free on the disk
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, default_value = "1GiB")]
    min_free: usize,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut out = anstream::stdout();
    match &args.what {
        What::Info { dir } => tell(dir, &mut out),
        What::Verify { dir } => check(dir, &mut out),
        What::Compact(args) => shrink(args, &mut out),
    }
}

fn tell(dir: &Path, out: &mut impl Write) -> anyhow::Result<u8> {
    let stats = info(dir)?;
    let (plain, disk) = (show_rounded(stats.plain_bytes), show_rounded(stats.disk_bytes));
    writeln!(out, "{}: {} entries in {} segments", dir.display(), stats.entries, stats.segments)?;
    writeln!(out, "  size        {disk} on disk, {plain} plain")?;
    if let (Some(first), Some(last)) = (stats.first_sequence, stats.last_sequence) {
        writeln!(out, "  sequences   {first} to {last}")?;
    }
    if let (Some(first), Some(last)) = (stats.first_received_at, stats.last_received_at) {
        writeln!(out, "  received    {} to {}", time(first), time(last))?;
    }
    let index = index::info(&dir.join(INDEX_FOLDER))?;
    if index.runs > 0 {
        let (size, next) = (show_rounded(index.disk_bytes), index.next_sequence.unwrap_or_default());
        let covered = format!("{} records in {} runs, up to sequence {}", index.records, index.runs, next - 1);
        writeln!(out, "  index       {size} on disk, {covered}")?;
    }
    let checkpoint = checkpoint::info(&dir.join(CHECKPOINT_FOLDER));
    if let Some(sequence) = checkpoint.sequence {
        writeln!(out, "  checkpoint  {} on disk, as of sequence {sequence}", show_rounded(checkpoint.disk_bytes))?;
    }
    Ok(0)
}

fn check(dir: &Path, out: &mut impl Write) -> anyhow::Result<u8> {
    let verified = verify(dir)?;
    let (segments, blocks, entries) = (verified.segments, verified.blocks, verified.entries);
    writeln!(out, "{}: {entries} entries in {blocks} blocks of {segments} segments are whole", dir.display())?;
    let kinds: Vec<String> = verified.kinds.counts().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    if !kinds.is_empty() {
        writeln!(out, "  of kind     {}", kinds.join(", "))?;
    }
    let mut code = 0;
    if let Some(damage) = &verified.damage {
        writeln!(out, "{}", told(damage))?;
        code = u8::from(!damage.is_torn_tail);
    }
    let index = index::verify(&dir.join(INDEX_FOLDER))?;
    if index.runs > 0 || index.damage.is_some() {
        writeln!(out, "index: {} records in {} runs", index.records, index.runs)?;
    }
    if let Some(damage) = &index.damage {
        writeln!(out, "{}", told_of_index(damage))?;
        code = code.max(u8::from(!damage.is_torn_tail));
    }
    Ok(code)
}

fn shrink(args: &Compact, out: &mut impl Write) -> anyhow::Result<u8> {
    let Compact { dir, max_age, max_bytes, min_free } = args;
    let options = Options {
        max_age: max_age.unwrap_or(Duration::MAX),
        max_bytes: max_bytes.map_or(u64::MAX, |bytes| bytes as u64),
        min_free_bytes: *min_free as u64,
        ..Options::default()
    };
    let Compacted { log, index, checkpoint } = compact(dir, options, wall_clock())?;
    let dropped = format!("{} dropped with {} entries", log.dropped.segments, log.dropped.entries);
    writeln!(out, "{}: {} segments rewritten, {dropped}", dir.display(), log.segments)?;
    tell_size(out, "log", log.bytes)?;
    tell_size(out, "index", index)?;
    tell_size(out, "checkpoint", checkpoint)?;
    Ok(0)
}

fn tell_size(out: &mut impl Write, what: &str, sizes: Sizes) -> std::io::Result<()> {
    if sizes == Sizes::default() {
        return Ok(());
    }
    let (now, was) = (show_rounded(sizes.after), show_rounded(sizes.before));
    writeln!(out, "  {what:<11} {now} on disk, was {was}")
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

fn told_of_index(damage: &Damage) -> String {
    let at = format!("{}, byte {}: {}", damage.file.display(), damage.offset, damage.what);
    if damage.is_torn_tail {
        format!("{at}\nhint: nothing is lost; the next start builds this part of the index anew from the log")
    } else {
        format!(
            "damaged: {at}\nhint: delete the folder of this file; the next start builds the index anew from the log"
        )
    }
}

#[cfg(test)]
mod tests {
    use truegreen_store::checkpoint::Checkpoints;
    use truegreen_store::index::{Index, Term};
    use truegreen_store::{Kind, Log};

    use super::*;

    fn said(run: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<u8>) -> (u8, String) {
        let mut out = Vec::new();
        let code = run(&mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    /// A log of small commits, with index and checkpoint.
    fn filled(dir: &Path) {
        let options = Options { segment_bytes: 2000, min_free_bytes: 0, ..Options::default() };
        let mut log = Log::open(dir, options).unwrap();
        let index_options = index::Options { min_free_bytes: 0, ..index::Options::default() };
        let mut index = Index::open(&dir.join(INDEX_FOLDER), index_options, 1..1).unwrap();
        for secs in 1..=100 {
            let kind = if secs == 1 { Kind::Contracts } else { Kind::Traces };
            let sequence = log.append(Timestamp::from_secs(secs), kind, &[7; 100]).unwrap();
            log.commit().unwrap();
            index.add(sequence, [Term(sequence)]).unwrap();
        }
        index.flush().unwrap();
        let room = checkpoint::Options { min_free_bytes: 0 };
        let mut checkpoints = Checkpoints::open(&dir.join(CHECKPOINT_FOLDER), room).unwrap();
        checkpoints.write(60, vec![(b"key".to_vec(), Some(b"value".to_vec()))]).unwrap();
    }

    #[test]
    fn info_verify_and_compact_tell_all_parts() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let (code, told) = said(|out| tell(dir.path(), out));
        assert_eq!(code, 0);
        for part in ["100 entries in", "1 to 100", "100 records in 1 runs, up to sequence 100", "as of sequence 60"] {
            assert!(told.contains(part), "no {part} in\n{told}");
        }
        let (code, checked) = said(|out| check(dir.path(), out));
        assert!(code == 0 && checked.contains("index: 100 records in 1 runs"), "{checked}");
        assert!(checked.contains("of kind     99 traces, 1 contracts"), "{checked}");

        let mut args = Compact { dir: dir.path().to_path_buf(), max_age: None, max_bytes: Some(1), min_free: 0 };
        let (code, shrunk) = said(|out| shrink(&args, out));
        assert!(code == 0 && shrunk.contains("segments rewritten"), "{shrunk}");
        assert!(
            shrunk.contains("  log  ") && shrunk.contains("  index  ") && shrunk.contains("  checkpoint  "),
            "{shrunk}"
        );
        let (_, told) = said(|out| tell(dir.path(), out));
        assert!(!told.contains(" 1 to 100") && told.contains(" to 100"), "dropped up to the checkpoint:\n{told}");
        assert_eq!(said(|out| check(dir.path(), out)).0, 0);

        args.dir = dir.path().join("missing");
        assert!(shrink(&args, &mut Vec::new()).is_err() && !args.dir.exists());
    }

    #[test]
    fn damage_is_told_and_an_unfinished_run_is_none() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let index = dir.path().join(INDEX_FOLDER);
        let run = std::fs::read_dir(&index).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&run).unwrap();
        let mut broken = whole.clone();
        broken[4096 + 20] ^= 1;
        std::fs::write(&run, broken).unwrap();
        let (code, told) = said(|out| check(dir.path(), out));
        assert!(code == 1 && told.contains("byte 4096") && told.contains("delete the folder"), "{told}");
        std::fs::write(&run, &whole[..5000]).unwrap();
        let (code, told) = said(|out| check(dir.path(), out));
        assert!(code == 0 && told.contains("nothing is lost"), "{told}");
    }
}
