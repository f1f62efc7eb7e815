//! One at a time at a place: two readings would hide letters from each other, and two redrives would send them twice.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::fingerprint;

/// How often it is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else has it.
    #[error(
        "{place} of {system} is in use: {by}\nhint: wait until that is over; `truegreen dlq history` says how far it is"
    )]
    Held {
        /// The system.
        system: String,
        /// The place.
        place: String,
        /// Who has it.
        by: String,
    },
    /// The file system.
    #[error("cannot lock {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What it said.
        source: std::io::Error,
    },
}

/// Held until it is dropped, and by the system given up when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes it, and tries as long as `patience`. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn take(folder: &Path, system: &str, place: &str, what: &str, patience: Duration) -> Result<Lock, Error> {
        // Names of places may hold anything.
        let name = fingerprint::of_body(format!("{system}\0{place}").as_bytes());
        let path = folder.join("locks").join(format!("{}.lock", &name[..32]));
        let io = |source| Error::Io { file: path.display().to_string(), source };
        std::fs::create_dir_all(folder.join("locks")).map_err(io)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => std::thread::park_timeout(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let mut by = String::new();
                    // Only for people: a lock that says nothing is held all the same.
                    let _read = (&file).take(500).read_to_string(&mut by);
                    return Err(Error::Held { system: system.to_owned(), place: place.to_owned(), by });
                }
            }
        }
        let told = format!("{what}, process {}", std::process::id());
        let written =
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(told.as_bytes()));
        written.map_err(io)?;
        Ok(Lock(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file stays: whoever waits for it has it open.
        let _released = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_at_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let take = |place: &str| Lock::take(folder.path(), "broker", place, "redrive r-1", Duration::ZERO);
        let first = take("dead").unwrap();
        let told = take("dead").unwrap_err().to_string();
        assert!(told.contains("redrive r-1, process") && told.contains("hint:"), "{told}");
        let _other = take("other").unwrap();
        drop(first);
        take("dead").unwrap();
    }
}
