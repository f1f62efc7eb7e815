//! The seam between the log and the disk: what a file system does, and no more.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What the log asks of a disk: files in one directory, by name. Written bytes and names may be lost in a crash until
/// they are synced.
pub trait Disk: Send + Sync {
    /// The directory, or with a name the file, as people are told of it.
    fn path(&self, name: Option<&str>) -> PathBuf;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Length of a file in bytes.
    fn length(&self, name: &str) -> io::Result<u64>;
    /// Creates an empty file; fails where there is one.
    fn create(&self, name: &str) -> io::Result<()>;
    /// Writes all bytes at the end of a file. After an error any part of them may be there.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Writes all bytes over those at `offset`.
    fn rewrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes a file's bytes durable. After an error they may be lost, even if a later sync passes.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Makes created and removed names durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Fills `room` from `offset` on; fewer bytes than asked only at the end of the file.
    fn read_at(&self, name: &str, offset: u64, room: &mut [u8]) -> io::Result<usize>;
    /// Cuts a file to `length`.
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;
    /// Gives a file another name, in the place of the file that has it, if there is one: a crash leaves that, or this.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// What this process may still write, in bytes.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// How many files are kept open between calls.
const MOST_OPEN_FILES: usize = 64;

/// A directory of the file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    writable: bool,
    /// Most recently used last.
    open: Mutex<VecDeque<(String, Arc<File>)>>,
}

impl Directory {
    /// The directory at `path`, to be read and written.
    pub fn new(path: &Path) -> Directory {
        Directory { path: path.to_path_buf(), writable: true, open: Mutex::default() }
    }

    /// The directory at `path`, only to be read.
    pub fn read_only(path: &Path) -> Directory {
        Directory { writable: false, ..Directory::new(path) }
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().position(|(known, _)| known == name).and_then(|place| open.remove(place));
        let (name, file) = match known {
            Some(known) => known,
            None => {
                let file = OpenOptions::new().read(true).write(self.writable).open(self.path.join(name))?;
                (name.to_owned(), Arc::new(file))
            }
        };
        if open.len() >= MOST_OPEN_FILES {
            open.pop_front();
        }
        open.push_back((name, Arc::clone(&file)));
        Ok(file)
    }
}

impl Disk for Directory {
    fn path(&self, name: Option<&str>) -> PathBuf {
        name.map_or_else(|| self.path.clone(), |name| self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is no UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.metadata()?.len())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name)).map(drop)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let end = self.length(name)?;
        self.rewrite(name, end, bytes)
    }

    fn rewrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        write_all_at(&file, bytes, offset)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    fn read_at(&self, name: &str, offset: u64, room: &mut [u8]) -> io::Result<usize> {
        let file = self.file(name)?;
        let mut filled = 0;
        while filled < room.len() {
            match read_at(&file, &mut room[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.file(name)?.set_len(length)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(known, _)| known != from && known != to);
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != name);
        fs::remove_file(self.path.join(name))
    }

    #[cfg(unix)]
    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.path)?;
        // `f_bavail`, not `f_bfree`: what is reserved for root is not ours.
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    #[cfg(not(unix))]
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// Creates the directory and its parents where they are missing, durably.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    fs::create_dir_all(path)?;
    for made in missing {
        match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent)?,
            _ => sync_directory(Path::new("."))?,
        }
    }
    Ok(())
}

#[cfg(unix)]
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

// Windows keeps its directories in its journal, and opens none as a file.
#[cfg(not(unix))]
pub(crate) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn read_at(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, room, offset)
}

#[cfg(windows)]
fn read_at(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, room, offset)
}
