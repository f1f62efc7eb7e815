//! One live line on standard error, if somebody watches it.

use std::io::Write;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(100);
const MAX_COLUMNS: usize = 120;

/// A line that is written over.
pub(super) struct LiveLine {
    watched: bool,
    next: Instant,
}

impl LiveLine {
    pub(super) fn new() -> LiveLine {
        LiveLine { watched: super::terminal::is_watched(), next: Instant::now() }
    }

    /// Shows the text, unless the last one was shown only just now.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        if !self.watched || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + INTERVAL;
        let text: String = super::terminal::printable(&text()).chars().take(MAX_COLUMNS).collect();
        let mut out = std::io::stderr().lock();
        drop(write!(out, "\r\x1b[K{text}"));
        drop(out.flush());
    }

    /// Wipes the line.
    pub(super) fn clear(&self) {
        if self.watched {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.clear();
    }
}
