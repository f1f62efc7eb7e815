//! The folder of the checkpoints: what is in it, and how a part of it comes and goes at once.
//!
//! | name | |
//! | --- | --- |
//! | `FORMAT` | magic `TGCHKPNT`, format (4), checksum of the 12 bytes before (4); numbers are little-endian |
//! | `records` | the key-value store. In format 1 fjall 3's, with one keyspace `records`: under the key `00` the sequence (8); under `01` and a record's key its value |
//! | `SEQUENCE` | a copy of the sequence (8) and its checksum (4), for those who only look; not relied on |
//! | `new`, `old` | `records` while it is made, and while it is removed; of no meaning |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::embedded::disk::{create_directory, sync_directory};
use crate::embedded::format::{Fields, checksum};
use crate::error::Error;

/// The format this program writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"TGCHKPNT";
const FORMAT: &str = "FORMAT";
const SEQUENCE: &str = "SEQUENCE";

/// Told where the checkpoints cannot be read.
pub(crate) const HINT: &str = "restore this folder from a copy; or delete it: what the log still holds is counted again \
     at the next start, and what was dropped from it is forgotten";
const HINT_NEWER: &str = "start the newer Truegreen again; or delete this folder: what the log still holds is counted \
     again at the next start, and what was dropped from it is forgotten";

/// Paths in the folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

/// An error of the file system as the caller is told of it.
fn failed(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Error {
    let file = file.to_path_buf();
    move |source| Error::Io { action, file, source }
}

impl Folder {
    /// The folder, made where it is missing, if this program knows its format.
    pub(crate) fn open(path: &Path) -> Result<Folder, Error> {
        create_directory(path).map_err(failed("create", path))?;
        let folder = Folder { path: path.to_path_buf() };
        let file = folder.path.join(FORMAT);
        let damaged = |what| Err(Error::Damaged { file: file.clone(), offset: 0, what, hint: HINT });
        match fs::read(&file).map(|bytes| decode(&bytes)) {
            Ok(Some(VERSION)) => {}
            Ok(Some(found)) if found > VERSION => {
                return Err(Error::NewerVersion { file, found, known: VERSION, hint: HINT_NEWER });
            }
            // A crash while it was first made may leave anything of it, and nothing beside it.
            Ok(_) if folder.records().exists() => return damaged("it tells no format"),
            Ok(_) => folder.write_format(&file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if folder.records().exists() {
                    return damaged("it is missing, and there are records");
                }
                folder.write_format(&file)?;
            }
            Err(error) => return Err(failed("read", &file)(error)),
        }
        folder.remove(&folder.path.join("new"))?;
        folder.remove(&folder.path.join("old"))?;
        Ok(folder)
    }

    fn write_format(&self, file: &Path) -> Result<(), Error> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&checksum(0, &bytes).to_le_bytes());
        let written = File::create(file).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
        written.map_err(failed("write", file))?;
        self.sync()
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.path.join("records")
    }

    /// Makes the records anew in a folder beside them: a crash leaves all of it or nothing.
    pub(crate) fn make(&self, make: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let new = self.path.join("new");
        self.remove(&new)?;
        make(&new)?;
        fs::rename(&new, self.records()).map_err(failed("rename", &new))?;
        self.sync()
    }

    /// Removes all records: a crash leaves all of them or none.
    pub(crate) fn empty(&self) -> Result<(), Error> {
        let (records, old) = (self.records(), self.path.join("old"));
        self.remove(&old)?;
        fs::rename(&records, &old).map_err(failed("rename", &records))?;
        self.sync()?;
        self.remove(&self.path.join(SEQUENCE))?;
        self.remove(&old)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), Error> {
        sync_directory(&self.path).map_err(failed("sync", &self.path))
    }

    /// Leaves a copy of the sequence for those who only look; as well as it goes.
    pub(crate) fn tell(&self, sequence: u64) {
        let mut bytes = sequence.to_le_bytes().to_vec();
        bytes.extend_from_slice(&checksum(0, &bytes).to_le_bytes());
        let (file, new) = (self.path.join(SEQUENCE), self.path.join("SEQUENCE.new"));
        drop(fs::write(&new, bytes).and_then(|()| fs::rename(&new, file)));
    }
}

/// The copy of the sequence in this folder, if there is one.
pub(crate) fn told(path: &Path) -> Option<u64> {
    let bytes = fs::read(path.join(SEQUENCE)).ok()?;
    let mut fields = Fields(&bytes);
    let sequence = fields.u64()?;
    (fields.u32()? == checksum(0, bytes.get(..8)?)).then_some(sequence)
}

/// The bytes that a folder takes on disk; files that vanish meanwhile count nothing.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => file_bytes(&metadata),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

// Journals are longer than what they hold: what counts is what the disk gave for them.
#[cfg(unix)]
fn file_bytes(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn file_bytes(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

/// The format that these bytes tell.
fn decode(bytes: &[u8]) -> Option<u32> {
    let mut fields = Fields(bytes.get(..16)?);
    let known = fields.array::<8>()? == *MAGIC;
    let version = fields.u32()?;
    (known && fields.u32()? == checksum(0, bytes.get(..12)?)).then_some(version)
}
