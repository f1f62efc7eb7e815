//! Whether a consumer keeps up: how long messages wait until they are processed, and whether that goes on rising. A burst
//! that drains is none: there more is published than usual, and the wait falls again.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

/// Waits are averaged over stretches of this many seconds.
const STRETCH: u64 = 5;
/// Stretches kept.
const KEPT: usize = 36;
/// So many stretches of rising waits in a row are beyond chance; more where nothing is known yet, and many where so much
/// more than usual is published that it may be a burst.
const RISING: usize = 4;
const RISING_UNKNOWN: usize = 8;
const RISING_BURST: usize = 24;
const BURST: f64 = 1.5;
/// Stretches that say what is usually published.
const USUAL: usize = 6;
/// Fewer messages in them show nothing.
const MESSAGES: u32 = 10;
/// The wait rises by so many seconds in all, and beyond the usual one by more.
const RISES_BY: f64 = 1.5;
const BEYOND: f64 = 3.0;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Stretch {
    index: u64,
    published: u32,
    processed: u32,
    waits: u32,
    /// In seconds.
    waited: f64,
}

impl Stretch {
    fn wait(&self) -> f64 {
        self.waited / f64::from(self.waits.max(1))
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    stretches: VecDeque<Stretch>,
    /// The usual wait in seconds, once there was one.
    usual: Option<f64>,
    judged: u64,
    is_told: bool,
    worst: f64,
}

/// What became of it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Turn {
    FallsBehind(Behind),
    KeepsUp,
}

/// A consumer that falls behind.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Behind {
    /// Since when.
    pub(super) onset: Timestamp,
    /// In seconds.
    pub(super) wait: f64,
    pub(super) usual: f64,
    /// Messages a second.
    pub(super) published: f64,
    pub(super) processed: f64,
}

impl Behind {
    /// Messages that wait, by how long the latest waited and how many come.
    pub(super) fn backlog(&self) -> f64 {
        self.wait * self.published
    }

    /// How long it would take to drain at these rates.
    pub(super) fn drain(&self) -> Option<Duration> {
        let gained = self.processed - self.published;
        (gained > 0.05 * self.published).then(|| Duration::from_secs_f64((self.backlog() / gained).min(1e9)))
    }
}

impl Pace {
    pub(super) fn published(&mut self, at: Timestamp) {
        if let Some(stretch) = self.stretch(at) {
            stretch.published += 1;
        }
    }

    pub(super) fn processed(&mut self, at: Timestamp) {
        if let Some(stretch) = self.stretch(at) {
            stretch.processed += 1;
        }
    }

    pub(super) fn waited(&mut self, at: Timestamp, wait: Duration) {
        if let Some(stretch) = self.stretch(at) {
            stretch.waits += 1;
            stretch.waited += wait.as_secs_f64();
        }
    }

    /// The stretch of a time; none where that is long past.
    fn stretch(&mut self, at: Timestamp) -> Option<&mut Stretch> {
        let index = at.0 / 1_000_000_000 / STRETCH;
        let place = self.stretches.iter().rposition(|stretch| stretch.index <= index).map_or(0, |place| place + 1);
        if place > 0 && self.stretches[place - 1].index == index {
            return self.stretches.get_mut(place - 1);
        }
        if place == 0 && self.stretches.len() >= KEPT {
            return None;
        }
        let is_full = self.stretches.len() >= KEPT;
        if is_full {
            self.stretches.pop_front();
        }
        let place = place - usize::from(is_full);
        self.stretches.insert(place, Stretch { index, ..Stretch::default() });
        self.stretches.get_mut(place)
    }

    /// Judges all stretches that are over.
    pub(super) fn judge(&mut self) -> Option<Turn> {
        let newest = self.stretches.back()?.index;
        if newest <= self.judged {
            return None;
        }
        self.judged = newest;
        let over = self.stretches.len() - 1;
        let latest = self.stretches.range(..over).rfind(|stretch| stretch.waits > 0)?.wait();
        let usual = *self.usual.get_or_insert(latest);
        if let Some(behind) = self.behind(over, usual) {
            self.is_told = true;
            self.worst = self.worst.max(behind.wait);
            return Some(Turn::FallsBehind(behind));
        }
        if self.is_told {
            let is_over = latest <= usual + BEYOND || latest <= 0.5 * self.worst;
            if is_over {
                (self.is_told, self.worst) = (false, 0.0);
            }
            return is_over.then_some(Turn::KeepsUp);
        }
        if latest <= usual + BEYOND {
            self.usual = Some(usual + (latest - usual) / 30.0);
        } else {
            // It may have become usual: slowly.
            self.usual = Some(usual + (latest - usual) / 300.0);
        }
        None
    }

    fn behind(&self, over: usize, usual: f64) -> Option<Behind> {
        let rising = self.rising(over);
        let of = |from: usize| self.stretches.range(from..over);
        let older = over - rising;
        let known = (0..older).filter(|at| self.stretches[*at].published > 0).count();
        let rate = |from: usize, until: usize| {
            let published: u32 = self.stretches.range(from..until).map(|stretch| stretch.published).sum();
            f64::from(published) / (until - from).max(1) as f64
        };
        let needed = if known < USUAL {
            RISING_UNKNOWN
        } else if rate(over - rising, over) > BURST * rate(0, older) {
            RISING_BURST
        } else {
            RISING
        };
        if rising < needed {
            return None;
        }
        let from = over - rising;
        let (first, last) = (self.stretches[from].wait(), self.stretches[over - 1].wait());
        let messages: u32 = of(from).map(|stretch| stretch.waits).sum();
        let is_behind = messages >= MESSAGES && last - first >= RISES_BY && last >= usual + BEYOND.max(2.0 * usual);
        let seconds = (rising as u64 * STRETCH) as f64;
        let sum = |count: fn(&Stretch) -> u32| f64::from(of(from).map(count).sum::<u32>()) / seconds;
        is_behind.then(|| Behind {
            onset: Timestamp::from_secs(self.stretches[from].index * STRETCH),
            wait: last,
            usual,
            published: sum(|stretch| stretch.published),
            processed: sum(|stretch| stretch.processed),
        })
    }

    /// How many stretches in a row, up to here, each waited longer than the one before.
    fn rising(&self, over: usize) -> usize {
        let mut count = 0;
        for at in (0..over).rev() {
            let this = &self.stretches[at];
            if this.waits == 0 {
                break;
            }
            if count > 0 {
                let next = &self.stretches[at + 1];
                if next.index != this.index + 1 || next.wait() < this.wait() + 0.05 {
                    break;
                }
            }
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One message every tenth of a second, each waiting as long as told for its second; how often it falls behind, and
    /// whether it keeps up in the end.
    fn run(seconds: std::ops::Range<u64>, rate: impl Fn(u64) -> u64, wait: impl Fn(u64) -> f64) -> (usize, bool) {
        let (mut pace, mut behind, mut keeps_up) = (Pace::default(), 0, true);
        for second in seconds {
            for n in 0..rate(second) {
                let at = Timestamp::from_secs(1_000_000 + second) + Duration::from_millis(n * 1_000 / rate(second));
                pace.published(at);
                pace.processed(at);
                pace.waited(at, Duration::from_secs_f64(wait(second)));
            }
            match pace.judge() {
                Some(Turn::FallsBehind(_)) => (behind, keeps_up) = (behind + 1, false),
                Some(Turn::KeepsUp) => keeps_up = true,
                None => {}
            }
        }
        (behind, keeps_up)
    }

    #[test]
    fn who_falls_behind_is_found_within_half_a_minute_and_is_well_when_it_caught_up() {
        let slow = |second: u64| if second < 100 { 0.05 } else { (second as f64 - 100.0) / 3.0 };
        assert!(run(0..130, |_| 10, slow).0 >= 1);
        let caught_up = |second: u64| if second < 160 { slow(second) } else { 0.05 };
        let (behind, keeps_up) = run(0..200, |_| 10, caught_up);
        assert!(behind >= 5 && keeps_up, "{behind}");
    }

    #[test]
    fn who_is_slow_from_the_first_second_on_is_found_too() {
        assert!(run(0..60, |_| 10, |second| second as f64 / 3.0).0 >= 1);
    }

    #[test]
    fn a_burst_that_drains_is_none() {
        let rate = |second: u64| if (100..160).contains(&second) { 50 } else { 10 };
        let wait = |second: u64| match second {
            100..160 => (second - 100) as f64 / 3.0,
            160..220 => (220 - second) as f64 / 3.0,
            _ => 0.05,
        };
        assert_eq!(run(0..400, rate, wait).0, 0);
    }

    #[test]
    fn pauses_polling_and_constant_waits_are_none() {
        // A consumer that stood still for half a minute, and drains.
        let paused = |second: u64| if (130..160).contains(&second) { (160 - second) as f64 } else { 0.05 };
        assert_eq!(run(0..400, |second| if (100..130).contains(&second) { 0 } else { 10 }, paused).0, 0);
        // One that polls once a minute.
        assert_eq!(run(0..900, |second| if second % 60 == 0 { 600 } else { 0 }, |_| 30.0).0, 0);
        assert_eq!(run(0..900, |_| 3, |_| 300.0).0, 0);
    }
}
