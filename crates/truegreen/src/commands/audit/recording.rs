//! Files of OTLP/JSON lines, read side by side in the order of their events.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Chain, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Limits, Signal, check, json};

use super::times;
use crate::ingest::Encoding;

/// Longest line that is read.
const MAX_LINE_BYTES: u64 = 256 << 20;

/// One recorded request.
pub(in crate::commands) struct Line {
    pub(in crate::commands) signal: Signal,
    /// As protobuf.
    pub(in crate::commands) body: Vec<u8>,
    /// Latest event time in it.
    pub(in crate::commands) latest: Timestamp,
    /// Records beyond the limits on single records.
    pub(in crate::commands) refused: u64,
}

/// A line that cannot be read.
pub(in crate::commands) struct Bad {
    path: PathBuf,
    line: u64,
    why: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.why)
    }
}

/// All files of one audit.
pub(in crate::commands) struct Recordings {
    files: Vec<Recording>,
    size: u64,
    read: Arc<AtomicU64>,
}

impl Recordings {
    pub(in crate::commands) fn open(paths: &[PathBuf]) -> anyhow::Result<Recordings> {
        let read = Arc::new(AtomicU64::new(0));
        let mut recordings = Recordings { files: Vec::new(), size: 0, read: read.clone() };
        for path in paths {
            let opened = Recording::open(path, read.clone());
            let (file, size) = opened.with_context(|| format!("cannot read {}", path.display()))?;
            recordings.files.push(file);
            recordings.size += size;
        }
        Ok(recordings)
    }

    /// Bytes read, and bytes in all, as they stand on the disk.
    pub(in crate::commands) fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.size)
    }

    /// The next line: the one whose events are the earliest among the next ones of all files.
    pub(in crate::commands) fn next(&mut self) -> anyhow::Result<Option<Result<Line, Bad>>> {
        for file in &mut self.files {
            if file.ahead.is_none() {
                file.ahead = file.read_line().with_context(|| format!("cannot read {}", file.path.display()))?;
            }
        }
        // A bad line has no time; it is told at once.
        let time = |file: &&mut Recording| match &file.ahead {
            Some(Ok(line)) => line.latest,
            Some(Err(_)) => Timestamp(0),
            None => Timestamp::NEVER,
        };
        Ok(self.files.iter_mut().min_by_key(time).and_then(|file| file.ahead.take()))
    }
}

pub(in crate::commands) type PlainText = BufReader<Box<dyn Read>>;
type Start = Chain<Cursor<Vec<u8>>, Counted>;

struct Recording {
    path: PathBuf,
    lines: PlainText,
    line: u64,
    ahead: Option<Result<Line, Bad>>,
}

/// A file as plain text, whatever it is compressed with, and its size on the disk.
pub(in crate::commands) fn open_plain(path: &Path, read: Arc<AtomicU64>) -> std::io::Result<(PlainText, u64)> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut counted = Counted { file, read };
    let mut magic = Vec::new();
    (&mut counted).take(4).read_to_end(&mut magic)?;
    let encoding = Encoding::of_file(&magic);
    let whole: Start = Cursor::new(magic).chain(counted);
    let plain: Box<dyn Read> = encoding.reader(whole)?;
    Ok((BufReader::with_capacity(1 << 20, plain), size))
}

impl Recording {
    fn open(path: &Path, read: Arc<AtomicU64>) -> std::io::Result<(Recording, u64)> {
        let (lines, size) = open_plain(path, read)?;
        Ok((Recording { path: path.to_owned(), lines, line: 0, ahead: None }, size))
    }

    fn read_line(&mut self) -> std::io::Result<Option<Result<Line, Bad>>> {
        loop {
            let mut text = Vec::new();
            (&mut self.lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut text)?;
            if text.is_empty() {
                return Ok(None);
            }
            self.line += 1;
            if text.len() as u64 == MAX_LINE_BYTES && text.last() != Some(&b'\n') {
                self.skip_line()?;
                return Ok(Some(Err(self.bad("longer than 256 MiB".to_owned()))));
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            return Ok(Some(parse(&text).map_err(|why| self.bad(why))));
        }
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.lines.fill_buf()?;
            let end = buffer.iter().position(|&b| b == b'\n');
            let (n, done) = (end.map_or(buffer.len(), |end| end + 1), end.is_some() || buffer.is_empty());
            self.lines.consume(n);
            if done {
                return Ok(());
            }
        }
    }

    fn bad(&self, why: String) -> Bad {
        Bad { path: self.path.clone(), line: self.line, why }
    }
}

fn parse(text: &[u8]) -> Result<Line, String> {
    let signal = json::signal_of(text).ok_or("no line of OTLP/JSON: it begins no list of spans, logs or metrics")?;
    let body = json::to_protobuf(signal, text).map_err(|error| error.to_string())?;
    let tally = check(signal, &body, &Limits::default()).map_err(|error| error.to_string())?;
    let latest = times::latest(signal, &body);
    Ok(Line { signal, body, latest, refused: tally.refused_total() })
}

/// A file that tells how much of it was read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
