//! Files of OTLP, whichever of its encodings.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context;
use truegreen_engine::explain::recording::Recorder;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Limits, Signal, check, json};

use super::super::audit::recording::{PlainText, Recordings, open_plain};
use super::super::progress::LiveLine;
use super::super::terminal;
use crate::{quantity, wording};

/// Largest file that is one request: protobuf, or JSON that is not in lines.
const MAX_WHOLE_BYTES: u64 = 1 << 30;
/// Bad lines told one by one; more are only counted.
const TOLD_LINES: u64 = 20;

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A request a line.
    Lines,
    /// One request as JSON over many lines.
    Json,
    /// One request as protobuf, or several with their lengths before them.
    Protobuf,
}

/// Takes all that is in these files.
pub(super) fn read(files: &[PathBuf], recorder: &mut Recorder) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for path in files {
        let cannot = || format!("cannot read {}", path.display());
        let (mut plain, _) = open_plain(path, Arc::new(AtomicU64::new(0))).with_context(cannot)?;
        match form(plain.fill_buf().with_context(cannot)?) {
            Form::Lines => lines.push(path.clone()),
            form => whole(path, plain, form, recorder)?,
        }
    }
    read_lines(&lines, recorder)
}

fn form(start: &[u8]) -> Form {
    match start.trim_ascii_start() {
        [b'{', rest @ ..] => {
            let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
            let is_alone = line.trim_ascii().is_empty() && line.len() < rest.len();
            if is_alone { Form::Json } else { Form::Lines }
        }
        // The tag of field 1, which is a line's end too, or the first byte of a length.
        _ if matches!(start, [0x0a | 0, ..]) => Form::Protobuf,
        _ => Form::Lines,
    }
}

fn read_lines(files: &[PathBuf], recorder: &mut Recorder) -> anyhow::Result<()> {
    let mut recordings = Recordings::open(files)?;
    let mut live = LiveLine::new();
    let mut bad = 0;
    while let Some(line) = recordings.next()? {
        match line {
            Ok(line) => recorder.take(line.signal, &line.body, line.latest),
            Err(why) => {
                bad += 1;
                live.clear();
                if bad <= TOLD_LINES {
                    terminal::warn(&format!("{why}; left out"));
                }
            }
        }
        live.show(|| {
            let (read, size) = recordings.progress();
            let percent = 100.0 * read as f64 / size.max(1) as f64;
            format!("  {percent:.0} % ({})", quantity::show_rounded(read))
        });
    }
    if bad > TOLD_LINES {
        terminal::warn(&format!("{} could not be read", wording::count(bad, "line")));
    }
    Ok(())
}

fn whole(path: &Path, plain: PlainText, form: Form, recorder: &mut Recorder) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    plain
        .take(MAX_WHOLE_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        bytes.len() as u64 <= MAX_WHOLE_BYTES,
        "{} is larger than 1 GiB\nhint: split it, or write a request a line",
        path.display()
    );
    let taken = match form {
        Form::Json => json::signal_of(&bytes).is_some_and(|signal| match json::to_protobuf(signal, &bytes) {
            Ok(body) => take(&body, &[signal], recorder),
            Err(_) => false,
        }),
        _ => match framed(&bytes) {
            Some(bodies) => bodies.into_iter().all(|body| take(body, &Signal::ALL, recorder)),
            None => take(&bytes, &Signal::ALL, recorder),
        },
    };
    anyhow::ensure!(
        taken,
        "{} is no OTLP\nhint: lines of OTLP/JSON are read, and protobuf export requests, whole or with four bytes of length \
         before each",
        path.display()
    );
    Ok(())
}

/// Takes a request as the first of these signals that it can be read as. Those of the three are told apart by the types
/// of their fields.
fn take(body: &[u8], signals: &[Signal], recorder: &mut Recorder) -> bool {
    let is = |signal: &&Signal| check(**signal, body, &Limits::default()).is_ok_and(|tally| tally.accepted > 0);
    match signals.iter().find(is) {
        Some(signal) => {
            recorder.take(*signal, body, Timestamp(0));
            true
        }
        None => body.is_empty(),
    }
}

/// Requests each after its length as four bytes, the highest first, as the Collector's file exporter writes them.
fn framed(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut bodies = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (body, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        bodies.push(body);
        rest = after;
    }
    Some(bodies)
}
