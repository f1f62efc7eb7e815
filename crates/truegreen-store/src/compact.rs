//! Making all of a store smaller, while no one else holds it.

use std::path::Path;

use truegreen_model::time::Timestamp;

use crate::checkpoint::{self, Checkpoints};
use crate::embedded::compact::{Rewritten, compact_log};
use crate::embedded::verify::info;
use crate::embedded::{Log, Options};
use crate::error::Error;
use crate::{CHECKPOINT_FOLDER, INDEX_FOLDER, index};

/// Bytes on disk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sizes {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// What compacting a store did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Compacted {
    /// To the log.
    pub log: Rewritten,
    /// To the index; zero where there is none.
    pub index: Sizes,
    /// To the checkpoints; zero where there are none.
    pub checkpoint: Sizes,
}

/// Drops what is beyond the limits and not needed by the next start, rewrites segments that can be smaller, merges the
/// runs of the index, and compacts the checkpoints. It may end at any instant: the store is then whole.
///
/// # Errors
/// [`Error::Locked`] where a server runs; [`Error::NoSpace`], where what was not done yet is as it was; and all that
/// opening the parts may give.
pub fn compact(dir: &Path, options: Options, now: Timestamp) -> Result<Compacted, Error> {
    let mut compacted = Compacted::default();
    if info(dir)?.segments == 0 {
        // Nothing is made in a folder that is none of ours.
        return Ok(compacted);
    }
    let mut log = Log::open(dir, options)?;
    let min_free_bytes = options.min_free_bytes;
    let folder = dir.join(CHECKPOINT_FOLDER);
    let checkpoints = folder.exists().then(|| Checkpoints::open(&folder, checkpoint::Options { min_free_bytes }));
    let mut checkpoints = checkpoints.transpose()?;
    // A start replays what came after the checkpoint. Without one it replays whatever there is.
    let through = checkpoints.as_ref().and_then(Checkpoints::sequence).unwrap_or(u64::MAX);
    compacted.log = compact_log(&mut log, now, through)?;

    let index_options = index::Options { min_free_bytes, ..index::Options::default() };
    let held = log.first_sequence()..log.next_sequence();
    let (before, after) = index::compact(&dir.join(INDEX_FOLDER), index_options, held)?;
    compacted.index = Sizes { before: before.disk_bytes, after: after.disk_bytes };
    if let Some(checkpoints) = &mut checkpoints {
        compacted.checkpoint.before = checkpoints.stats().disk_bytes;
        checkpoints.compact()?;
        compacted.checkpoint.after = checkpoints.stats().disk_bytes;
    }
    Ok(compacted)
}
