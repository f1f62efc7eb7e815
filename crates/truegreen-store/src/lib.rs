//! The durable log of accepted inputs: the database of Truegreen, from which all else is derived (INV-ACK-1,
//! INV-REPLAY-1).
//!
//! It is a sequence of entries, appended in order, read in order or one by one, dropped oldest first in whole
//! segments. It is *not* a key-value store: no entry is ever changed or removed alone, and what a body means is known
//! elsewhere. The log starts no thread, needs no runtime and reads no clock: every call does its work on the caller's
//! thread, and [`Log::commit`] waits for the disk. Beside it stands what is derived from it, and can be built again:
//! the [`index`]; and what the engine derived from it as of a sequence, the [`checkpoint`].
//!
//! Read in this order: [`entry`], [`error`], [`embedded`] (the log), `embedded::format` (the bytes on disk), [`order`]
//! (when an entry is appended, synced, acknowledged, applied and checkpointed).

pub mod checkpoint;
pub mod compact;
pub mod embedded;
pub mod entry;
pub mod error;
pub mod index;
pub mod order;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;

/// The folder of the index within the log's.
pub const INDEX_FOLDER: &str = "index";
/// The folder of the checkpoints within the log's.
pub const CHECKPOINT_FOLDER: &str = "checkpoint";

pub use embedded::compact::Rewritten;
pub use embedded::disk::{Directory, Disk};
pub use embedded::reader::{Entries, Reader};
pub use embedded::recovery::Recovery;
pub use embedded::retention::Dropped;
pub use embedded::stats::Stats;
pub use embedded::verify::{Damage, Verified, info, verify};
pub use embedded::{Log, Options};
pub use entry::{ByKind, Entry, Kind};
pub use error::Error;
