//! A recording cut into stretches of time, to see when something in it became otherwise.

use std::time::Duration;

use crate::explain::recording::{Recording, Span};

/// Enough to tell how something wanders, and not so many that they are empty.
const STRETCHES: u64 = 60;
/// At either end of what was received some services have sent what happened then, and others not yet: they send every few
/// seconds.
const EDGE: Duration = Duration::from_secs(10);

/// Stretches of the same length.
pub(super) struct Stretches {
    begins: u64,
    /// Nanoseconds.
    pub(super) length: u64,
}

impl Stretches {
    /// Nothing where the time is too short to be cut.
    pub(super) fn of(recording: &Recording) -> Option<Stretches> {
        let starts = || recording.spans().iter().map(|span| span.start);
        // Clocks that are far off may tell anything.
        let begins = starts().min()?.saturating_add(EDGE.as_nanos() as u64);
        let ends = starts().max()?.saturating_sub(EDGE.as_nanos() as u64);
        let length = ends.saturating_sub(begins) / STRETCHES;
        (length > 0).then_some(Stretches { begins, length })
    }

    /// All of them.
    pub(super) fn all(&self) -> std::ops::Range<i64> {
        0..STRETCHES as i64
    }

    /// Which one; none at the ends.
    pub(super) fn at(&self, time: u64) -> Option<i64> {
        let at = time.checked_sub(self.begins)? / self.length;
        (at < STRETCHES).then_some(at as i64)
    }

    /// When it begins.
    pub(super) fn time(&self, at: i64) -> u64 {
        self.begins + self.length * at.max(0) as u64
    }
}

/// Who called a span, if that is another service.
pub(super) fn caller<'r>(recording: &'r Recording, span: &Span) -> Option<&'r Span> {
    let parent = recording.spans().get(span.parent? as usize)?;
    (parent.service != span.service).then_some(parent)
}
