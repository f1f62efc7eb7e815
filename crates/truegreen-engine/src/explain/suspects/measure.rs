//! What is measured: a span's own time, or that of a call on its way.

use super::super::recording::{Name, Recording, Span};
use super::ways::{Place, Walk, place_of};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Measure {
    /// Own time of this place at this instance.
    Own(Place, Name),
    /// Time on the way between two services, at these instances: caller, callee.
    Way((Name, Name), (Name, Name)),
    /// How often a point is passed in one span.
    Repeats(u32),
}

impl Measure {
    /// The same whatever the instance.
    pub(super) fn of_any(self) -> Measure {
        match self {
            Measure::Own(place, _) => Measure::Own(place, Name::EMPTY),
            Measure::Way((from, _), (to, _)) => Measure::Way((from, Name::EMPTY), (to, Name::EMPTY)),
            repeats @ Measure::Repeats(_) => repeats,
        }
    }

    pub(super) fn is_time(self) -> bool {
        !matches!(self, Measure::Repeats(_))
    }

    /// Service for which it speaks when services are one another's controls.
    pub(super) fn service(self) -> Option<Name> {
        match self {
            Measure::Own(place, _) => Some(place.service),
            Measure::Way(_, (to, _)) => Some(to),
            Measure::Repeats(_) => None,
        }
    }
}

/// What clocks cannot tell apart: below it no ratio means anything. Many write whole milliseconds; else it is what a
/// scheduler takes or not.
pub(super) fn grain(recording: &Recording) -> f64 {
    let whole = recording.spans().iter().all(|span| span.start % 1_000_000 == 0 && span.end % 1_000_000 == 0);
    if whole { 1_000_000.0 } else { 50_000.0 }
}

/// What a span measures, and its own time in nanoseconds.
pub(super) fn own_time(recording: &Recording, walk: &Walk) -> Option<(Measure, u64)> {
    let at = walk.span? as usize;
    let span = recording.spans().get(at)?;
    let mut covered = 0;
    let mut until = span.start;
    let mut remote: Option<&Span> = None;
    let mut children = 0;
    for child in recording.children(at) {
        let child = &recording.spans()[child];
        children += 1;
        if child.service != span.service && remote.is_none() {
            remote = Some(child);
        }
        let (start, end) = (child.start.max(until), child.end.min(span.end));
        covered += end.saturating_sub(start);
        until = until.max(end);
    }
    let own = span.duration().saturating_sub(covered);
    let place = place_of(span);
    let inside = span.parent.is_some_and(|parent| recording.spans()[parent as usize].service == span.service);
    // Where roles are not told: inside its service, and all that it does is one thing of another.
    let is_call = place.is_client() || (!place.is_server() && inside && children == 1);
    let measure = match remote {
        Some(callee) if is_call => Measure::Way((span.service, span.instance), (callee.service, callee.instance)),
        _ => Measure::Own(place, span.instance),
    };
    Some((measure, own))
}
