//! The disk below: how much is there, and forgetting what the system remembers of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise, statvfs};

/// Free for this user.
pub(crate) fn free_bytes(dir: &Path) -> u64 {
    std::fs::create_dir_all(dir).unwrap();
    let found = statvfs(dir).unwrap();
    found.f_bavail.saturating_mul(found.f_frsize)
}

/// Of all files.
pub(crate) fn size(dir: &Path) -> u64 {
    files(dir).iter().map(|file| file.metadata().unwrap().len()).sum()
}

/// Drops these files from the page cache. They are synced, so all of it can go.
pub(crate) fn drop_all(dir: &Path) {
    for file in files(dir) {
        fadvise(File::open(file).unwrap(), 0, None, Advice::DontNeed).unwrap();
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
