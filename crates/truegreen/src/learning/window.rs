//! A stretch of the log, read as recordings are.

use std::time::{Duration, Instant};

use truegreen_engine::learn::case::{Case, Cases};
use truegreen_engine::learn::traces::Traces;
use truegreen_model::time::Timestamp;
use truegreen_store::{Kind, Reader};

use crate::clock::wall_clock;
use crate::quantity;

/// Most spans and log records held at once: about half a gibibyte.
const MAX_EVENTS: usize = 2_000_000;
/// Longest time that reading may take.
const LONGEST: Duration = Duration::from_secs(30);
/// What began so shortly before the end may have spans on their way: so long, or a quarter of all, is left out.
const ON_THEIR_WAY: Duration = Duration::from_secs(60);
/// Where nothing else is said, as far back.
const USUAL: Duration = Duration::from_secs(2 * 3600);

/// From when until when, by the time of receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moments {
    /// Its beginning.
    pub since: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

impl Moments {
    /// Of texts: a time as RFC 3339, or how long ago, as `2h`. By default the last two hours.
    ///
    /// # Errors
    /// What is wrong, and how to write it.
    pub fn parse(since: Option<&str>, until: Option<&str>) -> Result<Moments, String> {
        let now = wall_clock();
        let moment = |text: &str| {
            let ago = quantity::duration(text).map(|ago| Timestamp(now.0.saturating_sub(ago.as_nanos() as u64)));
            let at = || text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_nanosecond()).ok());
            let hint = "hint: RFC 3339, as 2026-01-31T10:00:00Z, or how long ago, as 2h";
            ago.ok().or_else(|| at().map(Timestamp)).ok_or_else(|| format!("`{text}` is no time\n{hint}"))
        };
        let since = since.map_or(Ok(Timestamp(now.0.saturating_sub(USUAL.as_nanos() as u64))), moment)?;
        let until = until.map_or(Ok(now), moment)?;
        if since >= until {
            return Err("nothing lies between the two\nhint: `since` comes before `until`".to_owned());
        }
        Ok(Moments { since, until })
    }

    /// The last so many.
    pub(super) fn last(duration: Duration) -> Moments {
        let until = wall_clock();
        Moments { since: Timestamp(until.0.saturating_sub(duration.as_nanos() as u64)), until }
    }
}

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Window {
    /// Requests.
    pub requests: u64,
    /// When the first of them was received.
    pub begins: Option<Timestamp>,
    /// Spans and log records past the bound on them.
    pub left_out: u64,
    /// Reading took too long.
    pub is_cut: bool,
}

impl Window {
    /// Reads what was received between two moments; may block for [`LONGEST`].
    pub(super) fn read(reader: &Reader, moments: Moments) -> Result<(Cases, Window), truegreen_store::Error> {
        let began = Instant::now();
        let mut traces = Traces::bounded(MAX_EVENTS);
        let mut window = Window::default();
        for entry in reader.read_from(first(reader, moments.since)?) {
            let entry = entry?;
            if entry.received_at > moments.until {
                break;
            }
            if entry.received_at < moments.since {
                continue;
            }
            window.is_cut = began.elapsed() > LONGEST;
            if window.is_cut || traces.is_at_bound() {
                break;
            }
            match entry.kind {
                Kind::Traces => traces.traces(&entry.body),
                Kind::Logs => traces.logs(&entry.body),
                Kind::Metrics => traces.metrics(&entry.body),
                _ => continue,
            }
            window.requests += 1;
            window.begins.get_or_insert(entry.received_at);
        }
        let mut cases = traces.finish();
        let first = cases.cases.first().map_or(cases.until, Case::entered_at);
        let ending = ON_THEIR_WAY.min(cases.until.since(first) / 4);
        cases.cases.retain(|case| case.entered_at() + ending <= cases.until);
        window.left_out = cases.left_out.events;
        Ok((cases, window))
    }

    /// What people should know of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.left_out > 0 {
            notes.push(format!("only the first {MAX_EVENTS} spans and log records were read; ask for a shorter time"));
        }
        if self.is_cut {
            notes.push(format!("reading was ended after {} s; ask for a shorter time", LONGEST.as_secs()));
        }
        notes
    }

    /// Whether all of it was read.
    pub(super) fn is_whole(&self) -> bool {
        self.left_out == 0 && !self.is_cut
    }
}

/// The first entry received at or after a moment, or one shortly before it.
fn first(reader: &Reader, since: Timestamp) -> Result<u64, truegreen_store::Error> {
    let (mut low, mut high) = (reader.first_sequence(), reader.end_sequence());
    while low < high {
        let middle = low + (high - low) / 2;
        match reader.get(middle)? {
            Some(entry) if entry.received_at >= since => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}
