//! One writer at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::Error;

pub(crate) const NAME: &str = "LOCK";
/// More of a lock file is not read: it holds one process id.
const MOST_READ: u64 = 64;

/// The log is ours while this lives. The system frees it with the process, however that ends; the file stays.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is just being started shares the open file until its program runs.
        drop(self.file.unlock());
    }
}

impl Lock {
    /// Takes the log for writing.
    pub(crate) fn exclusive(dir: &Path) -> Result<Lock, Error> {
        let path = dir.join(NAME);
        let failed = |action| {
            let file = path.clone();
            move |source| Error::Io { action, file, source }
        };
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(dir, &mut file)),
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        write_owner(&mut file).map_err(failed("write"))?;
        Ok(Lock { file })
    }

    /// Keeps writers away while the log is read from outside; nothing where there is no lock file to hold.
    pub(crate) fn shared(dir: &Path) -> Result<Option<Lock>, Error> {
        let path = dir.join(NAME);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { action: "open", file: path, source }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Lock { file })),
            Err(TryLockError::WouldBlock) => Err(held(dir, &mut file)),
            Err(TryLockError::Error(source)) => Err(Error::Io { action: "lock", file: path, source }),
        }
    }
}

fn write_owner(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn held(dir: &Path, file: &mut File) -> Error {
    let mut owner = String::new();
    // Who holds it is told where it can be; that it is held is known already.
    let read = file.take(MOST_READ).read_to_string(&mut owner);
    let by = match (read, owner.trim()) {
        (Ok(_), id) if id == std::process::id().to_string() => "this process".to_owned(),
        (Ok(_), id) if !id.is_empty() => format!("process {id}"),
        _ => "another process".to_owned(),
    };
    Error::Locked { dir: dir.to_path_buf(), by }
}
