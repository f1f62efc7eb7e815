//! How far the telemetry of an instance reaches by its own time. That an instance is heard after a deadline proves
//! nothing about the deadline if all it then tells is older: its exporter is late, and the step may be on its way.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::Signal;
use truegreen_model::time::Timestamp;

use super::lag::FLOOR as LAG_FLOOR;
use super::proof::Wait;
use super::{Ahead, SILENCE, skew};

/// A pause of a signal longer than this ends a stretch of it.
const PAUSE: Duration = Duration::from_secs(30);
/// Who showed a signal for so long without such a pause shows it steadily, and is expected to go on.
const STEADY: Duration = Duration::from_secs(120);
/// Requests of one exporter overtake each other by no more than this.
const OVERTAKING: Duration = Duration::from_secs(5);
const MAX_STRETCHES: usize = 16;

/// The event times of one instance, as far as they matter.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reach {
    /// The latest, of whatever signal, metrics included.
    latest: Timestamp,
    /// By signal.
    shown: [Stretches; 3],
}

/// Event times of one signal, in stretches without a long pause; oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Stretches(SmallVec<[Stretch; 1]>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Stretch {
    first: Timestamp,
    last: Timestamp,
}

impl Reach {
    /// A record of this signal, or a metric's data point, tells of this time by its sender's clock. One that tells no
    /// time tells of its receipt, and one that cannot be, of nothing.
    pub(super) fn tell(&mut self, signal: Option<Signal>, at: Timestamp, now: Timestamp) {
        let at = if at == Timestamp(0) { now } else { at };
        if skew::is_nonsense(at, now) {
            return;
        }
        self.latest = self.latest.max(at);
        if let Some(signal) = signal {
            self.shown[signal as usize].add(Stretch { first: at, last: at });
        }
    }

    /// What a request told, by a clock that is so far ahead of ours.
    pub(super) fn extend(&mut self, told: &Reach, ahead: Ahead, now: Timestamp) {
        let by_ours = |at: Timestamp| ahead.taken_back(at, now);
        if told.latest != Timestamp(0) {
            self.latest = self.latest.max(by_ours(told.latest));
        }
        for (shown, told) in self.shown.iter_mut().zip(&told.shown) {
            for Stretch { first, last } in &told.0 {
                shown.add(Stretch { first: by_ours(*first), last: by_ours(*last) });
            }
        }
    }

    /// Whether it tells of what came after the deadline: by a signal that would show the step, or, since those of
    /// several signals do not leave together, by any other of a little later.
    pub(super) fn is_past(&self, wait: &Wait<'_>, limit: Timestamp) -> bool {
        self.latest >= wait.deadline + LAG_FLOOR
            || wait.signals.iter().any(|signal| self.shown[*signal as usize].goes_on(past(wait), limit))
    }

    /// Whether one of the signals that would show the step was shown steadily until it broke off before the deadline:
    /// then what else is heard says nothing of it.
    pub(super) fn breaks_off(&self, wait: &Wait<'_>, limit: Timestamp) -> bool {
        wait.signals.iter().map(|signal| &self.shown[*signal as usize]).any(|shown| {
            let was_steady = |stretch: &Stretch| {
                stretch.last < past(wait)
                    && stretch.last >= wait.entry - SILENCE
                    && stretch.last.since(stretch.first) >= STEADY
            };
            shown.0.iter().any(was_steady) && !shown.goes_on(past(wait), limit)
        })
    }
}

/// From here on a record of a signal says that what was done by the deadline is here too.
fn past(wait: &Wait<'_>) -> Timestamp {
    wait.deadline + OVERTAKING
}

impl Stretches {
    /// In whatever order they come.
    fn add(&mut self, mut new: Stretch) {
        if let Some(latest) = self.0.last_mut()
            && new.first >= latest.first
            && new.first <= latest.last + PAUSE
        {
            latest.last = latest.last.max(new.last);
            return;
        }
        let begin = self.0.partition_point(|stretch| stretch.last + PAUSE < new.first);
        let end = self.0.partition_point(|stretch| stretch.first <= new.last + PAUSE);
        if begin < end {
            new.first = new.first.min(self.0[begin].first);
            new.last = new.last.max(self.0[end - 1].last);
            self.0.drain(begin..end);
        }
        self.0.insert(begin, new);
        if self.0.len() > MAX_STRETCHES {
            self.0.remove(0);
        }
    }

    /// Whether it is shown from `since` on, and not only after `limit`: what was lost until then does not come again.
    fn goes_on(&self, since: Timestamp, limit: Timestamp) -> bool {
        self.0.iter().any(|stretch| stretch.last >= since && stretch.first <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Timestamp {
        Timestamp::from_secs(second)
    }

    fn stretches(told: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
        let mut stretches = Stretches::default();
        told.into_iter().for_each(|at| stretches.add(Stretch { first: second(at), last: second(at) }));
        stretches.0.iter().map(|stretch| (stretch.first.0 / 1_000_000_000, stretch.last.0 / 1_000_000_000)).collect()
    }

    #[test]
    fn stretches_do_not_depend_on_the_order_in_which_they_are_told() {
        let expected = [(10, 60), (100, 130), (200, 200)];
        assert_eq!(stretches([10, 35, 60, 100, 130, 200]), expected);
        assert_eq!(stretches([200, 130, 60, 10, 35, 100]), expected);
        assert_eq!(stretches([60, 130, 10, 200, 100, 35]), expected);
    }

    #[test]
    fn the_oldest_stretches_are_forgotten() {
        let told = stretches((0..1_000).map(|nth| 100 * nth));
        assert_eq!((told.len(), told[MAX_STRETCHES - 1]), (MAX_STRETCHES, (99_900, 99_900)));
        let backwards = stretches((0..1_000).rev().map(|nth| 100 * nth));
        assert_eq!(told, backwards);
    }

    #[test]
    fn a_time_that_cannot_be_moves_nothing() {
        let mut reach = Reach::default();
        reach.tell(Some(Signal::Span), second(5_000_000), second(1_000));
        assert_eq!((reach.latest, reach.shown[0].0.len()), (Timestamp(0), 0));
        reach.tell(None, Timestamp(0), second(1_000));
        assert_eq!(reach.latest, second(1_000));
    }

    #[test]
    fn a_clock_that_is_ahead_reaches_no_further_than_its_receipt() {
        let (mut told, mut reach) = (Reach::default(), Reach::default());
        told.tell(Some(Signal::Span), second(1_030), second(1_000));
        reach.extend(&told, Ahead::by(Duration::from_secs(20)), second(1_000));
        assert_eq!(reach.latest, second(1_000));
        reach.extend(&told, Ahead::by(Duration::from_secs(40)), second(1_005));
        assert_eq!((reach.latest, reach.shown[0].0[0].first), (second(1_000), second(990)));
    }
}
