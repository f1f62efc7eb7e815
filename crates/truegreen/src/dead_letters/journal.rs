//! A file that remembers, one line a fact, readable with any tool at two in the morning.
//!
//! The first line is `truegreen-journal 1`. Every other is `CHECKSUM SYNCED JSON`: CRC-32 in hexadecimal of the line's own
//! offset in the file, of `SYNCED` and of the text; up to which byte the file was durable when the line was written; and a
//! fact with its time. It is only ever appended to. A write is durable before [`Journal::append`] returns, so a crash can
//! harm only lines of the last write: they were never acted on, and the next opening takes them off. A bad line that a later
//! one vouches for is damage, and nothing goes on then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const HEAD: &str = "truegreen-journal 1\n";
const HEAD_OF_ALL: &str = "truegreen-journal ";
/// The longest journal that is read.
const MAX_BYTES: u64 = 4 << 30;
/// The ending of their names.
pub const ENDING: &str = "journal";

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: String,
        /// What it said.
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("{0} is of a newer Truegreen\nhint: use that one")]
    Newer(String),
    /// Bytes that were durable are not what they were.
    #[error(
        "{file} is damaged at byte {offset}: {what}\nhint: nothing more is done with it; look at the lines around, and at the \
         place itself, to see which letters were sent"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where.
        offset: u64,
        /// How.
        what: String,
    },
}

/// A fact and its time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Line<T> {
    /// RFC 3339.
    pub at: String,
    /// The fact.
    #[serde(flatten)]
    pub fact: T,
}

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    is_broken: bool,
}

impl Journal {
    /// Begins one; it must not be there yet.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<Journal, Error> {
        let failed = failed("create", path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(&failed)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        private(&mut options);
        let mut file = options.open(path).map_err(&failed)?;
        file.write_all(HEAD.as_bytes()).map_err(&failed)?;
        file.sync_all().map_err(&failed)?;
        sync_folder(path).map_err(&failed)?;
        Ok(Journal { path: path.to_owned(), file, length: HEAD.len() as u64, is_broken: false })
    }

    /// Opens one to go on with it: what it holds, and the journal without a torn end.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Journal, Vec<Line<T>>), Error> {
        let failed = failed("open", path);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(&failed)?;
        let bytes = content(&mut file, path)?;
        let (lines, mut length) = lines(&bytes, path)?;
        if length == 0 {
            // A crash came before its first line was whole.
            file.set_len(0).map_err(&failed)?;
            file.seek(SeekFrom::Start(0)).map_err(&failed)?;
            file.write_all(HEAD.as_bytes()).map_err(&failed)?;
            length = HEAD.len() as u64;
        } else if length < bytes.len() as u64 {
            file.set_len(length).map_err(&failed)?;
        }
        file.seek(SeekFrom::Start(length)).map_err(&failed)?;
        file.sync_all().map_err(&failed)?;
        Ok((Journal { path: path.to_owned(), file, length, is_broken: false }, lines))
    }

    /// Reads one, also while it is written; changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<Line<T>>, Error> {
        let mut file = File::open(path).map_err(failed("open", path))?;
        let bytes = content(&mut file, path)?;
        Ok(lines(&bytes, path)?.0)
    }

    /// Writes these down. Once it returns they outlive any crash.
    ///
    /// # Errors
    /// [`Error::Io`]: what is in the file is unsure, and this journal takes nothing more; open it anew.
    pub fn append<T: Serialize>(&mut self, at: &str, facts: &[T]) -> Result<(), Error> {
        let failed = failed("write", &self.path);
        if self.is_broken {
            return Err(failed(io::Error::other("an earlier write failed")));
        }
        let synced = self.length;
        let mut text = Vec::new();
        for fact in facts {
            let json =
                serde_json::to_string(&Line { at: at.to_owned(), fact }).map_err(|error| failed(error.into()))?;
            let sum = checksum(synced + text.len() as u64, synced, json.as_bytes());
            text.extend_from_slice(format!("{sum:08x} {synced} {json}\n").as_bytes());
        }
        // After a failed sync nobody knows what is on the disk.
        self.is_broken = true;
        self.file.write_all(&text).map_err(&failed)?;
        self.file.sync_data().map_err(&failed)?;
        self.is_broken = false;
        self.length += text.len() as u64;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let file = path.display().to_string();
    move |source| Error::Io { action, file: file.clone(), source }
}

/// Bodies are in it as they are: nobody else's to read.
#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn content(file: &mut File, path: &Path) -> Result<Vec<u8>, Error> {
    let failed = failed("read", path);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(&failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(io::Error::other(format!("it is longer than {MAX_BYTES} bytes"))));
    }
    Ok(bytes)
}

/// All whole lines, and where they end; 0 where even the head is torn.
fn lines<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<(Vec<Line<T>>, u64), Error> {
    let damaged =
        |offset: usize, what: String| Error::Damaged { file: path.display().to_string(), offset: offset as u64, what };
    if !bytes.starts_with(HEAD.as_bytes()) {
        if HEAD.as_bytes().starts_with(bytes) {
            return Ok((Vec::new(), 0));
        }
        let is_journal = bytes.starts_with(HEAD_OF_ALL.as_bytes());
        let newer = || Error::Newer(path.display().to_string());
        return Err(if is_journal { newer() } else { damaged(0, "it is no journal".to_owned()) });
    }
    let mut lines = Vec::new();
    let mut at = HEAD.len();
    let mut bad: Option<usize> = None;
    let mut end = at;
    while at < bytes.len() {
        let length = bytes[at..].iter().position(|byte| *byte == b'\n');
        let line = &bytes[at..at + length.unwrap_or(bytes.len() - at)];
        let whole = if length.is_some() { whole(at, line) } else { None };
        // A line whose end is broken hides the next one within itself.
        if whole.is_none() && length.is_some() && (1..line.len()).any(|skip| vouches(at + skip, &line[skip..], at)) {
            return Err(damaged(at, "the line is not what was written".to_owned()));
        }
        match (whole, bad) {
            (Some((synced, _)), Some(bad)) if synced > bad as u64 => {
                return Err(damaged(bad, "the line is not what was written".to_owned()));
            }
            (Some((_, json)), None) => {
                let read = serde_json::from_slice(json);
                lines.push(read.map_err(|error| damaged(at, format!("the line says nothing known: {error}")))?);
                end = at + line.len() + 1;
            }
            (None, None) => bad = Some(at),
            (_, Some(_)) => {}
        }
        at += line.len() + 1;
    }
    Ok((lines, end as u64))
}

/// Up to where the file was durable before this line, and what the line says.
fn whole(at: usize, line: &[u8]) -> Option<(u64, &[u8])> {
    let text = std::str::from_utf8(line).ok()?;
    let (sum, rest) = text.split_once(' ')?;
    let (synced, json) = rest.split_once(' ')?;
    let synced: u64 = synced.parse().ok()?;
    let sum = u32::from_str_radix(sum, 16).ok().filter(|_| sum.len() == 8)?;
    (sum == checksum(at as u64, synced, json.as_bytes())).then_some((synced, json.as_bytes()))
}

/// Whether a whole line stands here that says that the file was durable beyond `bad`.
fn vouches(at: usize, line: &[u8], bad: usize) -> bool {
    let has_sum = line.len() > 8 && line[8] == b' ' && line[..8].iter().all(u8::is_ascii_hexdigit);
    has_sum && whole(at, line).is_some_and(|(synced, _)| synced > bad as u64)
}

fn checksum(offset: u64, synced: u64, json: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&offset.to_le_bytes());
    hash.update(&synced.to_le_bytes());
    hash.update(json);
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Fact {
        n: u32,
    }

    const AT: &str = "2026-01-01T00:00:00Z";

    /// A journal of three writes, and how long it was after each.
    fn written(path: &Path) -> Vec<u64> {
        let mut journal = Journal::create(path).unwrap();
        let mut lengths = vec![journal.length];
        for facts in [vec![Fact { n: 0 }], vec![Fact { n: 1 }, Fact { n: 2 }], vec![Fact { n: 3 }]] {
            journal.append(AT, &facts).unwrap();
            lengths.push(journal.length);
        }
        lengths
    }

    fn numbers(lines: &[Line<Fact>]) -> Vec<u32> {
        lines.iter().map(|line| line.fact.n).collect()
    }

    /// Scenario: a crash tears the file at any byte. Guarantee: every line before is there, none is half there, and the
    /// journal goes on.
    #[test]
    fn torn_at_every_byte_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        written(&path);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let expected = whole[..cut].iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
            let (mut journal, lines) = Journal::open::<Fact>(&path).unwrap();
            assert_eq!(numbers(&lines), (0..expected as u32).collect::<Vec<_>>(), "cut at {cut}");
            journal.append(AT, &[Fact { n: 9 }]).unwrap();
            let lines = Journal::read::<Fact>(&path).unwrap();
            assert_eq!((lines.len(), lines.last().unwrap().fact.n), (expected + 1, 9), "cut at {cut}");
        }
    }

    /// Guarantee: no flipped byte passes; within the last write it is a torn end, before it is damage.
    #[test]
    fn every_flipped_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let lengths = written(&path);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            fs::write(&path, &broken).unwrap();
            match Journal::read::<Fact>(&path) {
                Ok(lines) => {
                    assert!(at as u64 >= lengths[2], "a flip at {at} passed");
                    assert_eq!(numbers(&lines), [0, 1, 2]);
                }
                Err(Error::Damaged { .. } | Error::Newer(_)) => assert!((at as u64) < lengths[2], "a flip at {at}"),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_others_wrote_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        fs::write(&path, "truegreen-journal 2\n").unwrap();
        assert!(matches!(Journal::open::<Fact>(&path), Err(Error::Newer(_))));
        fs::write(&path, "hello").unwrap();
        assert!(matches!(Journal::open::<Fact>(&path), Err(Error::Damaged { offset: 0, .. })));
        assert!(matches!(Journal::create(&path), Err(Error::Io { .. })), "nothing is overwritten");
    }
}
