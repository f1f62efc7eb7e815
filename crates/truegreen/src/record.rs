//! Accepted requests written down as the Collector's file exporter writes them: one line of OTLP/JSON each, which
//! `truegreen audit` and other tools read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use crate::run_loop::Tap;

/// A file that grows by a line for each accepted request.
pub struct Recorder {
    path: PathBuf,
    out: BufWriter<File>,
    line: Vec<u8>,
    /// After the first error nothing more is written: half a recording must not look whole.
    broken: bool,
}

impl Recorder {
    /// Creates the file, or empties it.
    pub fn create(path: &Path) -> std::io::Result<Recorder> {
        Ok(Recorder {
            path: path.to_owned(),
            out: BufWriter::new(File::create(path)?),
            line: Vec::new(),
            broken: false,
        })
    }

    fn write(&mut self, signal: Signal, body: &[u8]) -> std::io::Result<()> {
        self.line.clear();
        truegreen_otlp::json::write(signal, body, &mut self.line).map_err(std::io::Error::other)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

impl Tap for Recorder {
    fn accepted(&mut self, _at: Timestamp, signal: Signal, body: &[u8]) {
        if self.broken {
            return;
        }
        if let Err(error) = self.write(signal, body) {
            self.broken = true;
            tracing::error!("cannot go on recording to {}: {error}", self.path.display());
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(error) = self.out.flush() {
            tracing::error!("the recording {} lacks its end: {error}", self.path.display());
        }
    }
}
