//! Whether a consumer keeps up: how long messages wait until they are processed, and whether that goes on rising. A burst
//! that drains is none: there more is published than usual, and the wait falls again.
//!
//! Two things tell: [`Load`], where processings say how long they take, and the wait alone over a longer while, whatever
//! makes it rise.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

use super::load::{Load, TooMuch, trend};

/// Waits are averaged over stretches of this many seconds.
const STRETCH: u64 = 5;
/// Stretches kept.
const KEPT: usize = 36;
/// Over so many stretches waits must rise; more where nothing is known yet, and many where so much more than usual is
/// published that it may be a burst.
const RISING: usize = 4;
const RISING_UNKNOWN: usize = 8;
const RISING_BURST: usize = 24;
const BURST: f64 = 1.5;
/// Rising so steadily by chance happens once in a hundred times; of four stretches each must be longer than the last.
const RISES: f64 = 2.33;
const RISES_OF_FOUR: f64 = 1.69;
/// Stretches that say what is usually published, and messages published in them.
const USUAL: usize = 6;
const USUAL_MESSAGES: u32 = 30;
/// Standard deviations of a count of messages that come by chance, by which the usual rate may be less.
const CHANCE: f64 = 2.5;
/// The same where nothing was before, and messages must wait for long besides.
const CHANCE_UNKNOWN: f64 = 2.0;
/// Fewer messages in them show nothing.
const MESSAGES: u32 = 10;
/// The wait rises by so many seconds in all, and beyond the usual one by more.
const RISES_BY: f64 = 1.5;
const BEYOND: f64 = 3.0;
/// It begins to rise before so much of the rise is done.
const RISEN: f64 = 0.1;
/// The middle third of a steady rise is as far from both others; chance makes it uneven.
const EVENLY: f64 = 0.2;
const EVENLY_BURST: f64 = 0.35;
/// Waits that fell below this part of the longest fall.
const DRAINS: f64 = 0.85;
/// By our own clock at least this part of the rise must show; batches make it uneven.
const TRULY: f64 = 0.5;
/// Who waits no longer than this beyond what is usual does not wait.
const WELL: f64 = 1.0;
/// Stretches after which all is here of one.
const SETTLED: u64 = 1;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Stretch {
    index: u64,
    published: u32,
    processed: u32,
    /// In seconds, by the senders' clocks, and by ours from receipt to receipt.
    waited: f64,
    received: f64,
}

impl Stretch {
    fn wait(&self) -> f64 {
        self.waited / f64::from(self.processed.max(1))
    }

    fn received(&self) -> f64 {
        self.received / f64::from(self.processed.max(1))
    }
}

/// How long one message waited.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Wait {
    pub(super) waited: Duration,
    /// Seconds from the receipt of its publication to that of its processing, which may be the earlier one.
    pub(super) received: f64,
    pub(super) took: Duration,
}

/// How many messages come, at the least.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Arrivals {
    /// From what was before.
    pub(super) is_known: bool,
    /// A second.
    pub(super) least: f64,
    pub(super) mean: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    stretches: VecDeque<Stretch>,
    load: Load,
    /// The usual wait in seconds, once there was one.
    usual: Option<f64>,
    judged: u64,
    /// The newest stretch when it was first told that it falls behind, while it does.
    told: Option<u64>,
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
    /// What a message takes, and usually takes, in seconds.
    pub(super) took: f64,
    pub(super) usual_took: Option<f64>,
    /// Messages a second.
    pub(super) published: f64,
    pub(super) processed: f64,
}

impl Behind {
    /// Messages that wait, by how long the latest waited and how many come.
    pub(super) fn backlog(&self) -> f64 {
        self.wait * self.published
    }

    /// By how many it grows each second.
    pub(super) fn growth(&self) -> f64 {
        self.published - self.processed
    }

    /// How long it would take to drain at these rates.
    pub(super) fn drain(&self) -> Option<Duration> {
        let gained = -self.growth();
        (gained > 0.05 * self.published).then(|| Duration::from_secs_f64((self.backlog() / gained).min(1e9)))
    }
}

impl Pace {
    pub(super) fn published(&mut self, at: Timestamp) {
        if let Some(stretch) = self.stretch(at) {
            stretch.published += 1;
        }
    }

    /// One was processed.
    pub(super) fn processed(&mut self, at: Timestamp, Wait { waited, received, took }: Wait) {
        self.load.processed(at, waited, took);
        if let Some(stretch) = self.stretch(at) {
            stretch.processed += 1;
            stretch.waited += waited.as_secs_f64();
            stretch.received += received;
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

    /// Judges all that is known, of a consumer of so many partitions.
    pub(super) fn judge(&mut self, partitions: Option<usize>) -> Option<Turn> {
        let newest = self.stretches.back()?.index;
        if let (None, Some(usual)) = (self.told, self.usual) {
            let Pace { stretches, load, .. } = self;
            let too_much = load.is_too_much(usual, partitions, |since| arrivals(stretches, since));
            if let Some(TooMuch { since, wait, processed }) = too_much {
                (self.told, self.worst) = (Some(newest), wait);
                let published = arrivals(&self.stretches, since).mean;
                return Some(Turn::FallsBehind(self.as_it_is(since, wait, (published, processed))));
            }
        }
        if newest <= self.judged {
            return None;
        }
        self.judged = newest;
        let over = self.stretches.partition_point(|stretch| stretch.index + SETTLED < newest);
        let latest = *self.stretches.range(..over).rfind(|stretch| stretch.processed > 0)?;
        let (index, latest) = (latest.index, latest.wait());
        let usual = *self.usual.get_or_insert(latest);
        if let Some(behind) = self.behind(over, usual) {
            self.told.get_or_insert(newest);
            self.worst = self.worst.max(behind.wait);
            return Some(Turn::FallsBehind(behind));
        }
        if let Some(told) = self.told {
            let is_over = index > told && (latest <= usual + WELL || latest <= 0.5 * self.worst);
            self.worst = self.worst.max(latest);
            if is_over {
                (self.told, self.worst) = (None, 0.0);
            }
            return is_over.then_some(Turn::KeepsUp);
        }
        // Beyond what is usual it may have become usual: slowly.
        let slowly = if latest <= usual + BEYOND { 30.0 } else { 300.0 };
        self.usual = Some(usual + (latest - usual) / slowly);
        None
    }

    fn as_it_is(&self, onset: Timestamp, wait: f64, (published, processed): (f64, f64)) -> Behind {
        let (took, usual_took) = (self.load.took(), self.load.usual_took());
        Behind { onset, wait, usual: self.usual.unwrap_or(0.0), took, usual_took, published, processed }
    }

    /// Whether waits have been rising up to here.
    fn behind(&self, over: usize, usual: f64) -> Option<Behind> {
        let consecutive = (0..over.saturating_sub(1)).rev().take_while(|at| {
            let (this, next) = (&self.stretches[*at], &self.stretches[at + 1]);
            this.processed > 0 && next.index == this.index + 1
        });
        let longest = 1 + consecutive.count().min(RISING_BURST - 1);
        (RISING..=longest.min(over)).rev().find_map(|rising| self.rising(over - rising, over, usual))
    }

    /// Whether they have been from here up to there.
    fn rising(&self, from: usize, over: usize, usual: f64) -> Option<Behind> {
        let rising = over - from;
        let of = self.stretches.range(from..over);
        let waits: Vec<f64> = of.clone().map(Stretch::wait).collect();
        let third = (rising / 3).max(1);
        let mean = |waits: &[f64]| waits.iter().sum::<f64>() / waits.len() as f64;
        let ends = |waits: &[f64]| (mean(&waits[..third]), mean(&waits[rising - third..]));
        let (first, last) = ends(&waits);
        let messages: u32 = of.clone().map(|stretch| stretch.processed).sum();
        // A wait that was constant at first rises since later.
        let steps = [mean(&waits[third..rising - third]) - first, last - mean(&waits[third..rising - third])];
        let is_even = |evenly: f64| steps.iter().all(|step| *step >= evenly * (last - first));
        let most = waits.iter().copied().fold(0.0, f64::max);
        let drains = waits[rising - 1] < DRAINS * most;
        if drains || !is_even(EVENLY) {
            return None;
        }
        if messages < MESSAGES || last - first < RISES_BY || last < usual + BEYOND.max(2.0 * usual) {
            return None;
        }
        let seconds = (rising as u64 * STRETCH) as f64;
        let published: u32 = of.clone().map(|stretch| stretch.published).sum();
        let rates = (f64::from(published) / seconds, f64::from(messages) / seconds);
        let needed = match past(&self.stretches, from) {
            None if rates.1 >= rates.0 => return None,
            None => RISING_UNKNOWN,
            Some((seconds, published)) if rates.0 > BURST * f64::from(published) / seconds => RISING_BURST,
            Some(_) => RISING,
        };
        let steadily = if rising == RISING { RISES_OF_FOUR } else { RISES };
        if rising < needed || trend(&waits) < steadily || (needed == RISING_BURST && !is_even(EVENLY_BURST)) {
            return None;
        }
        // A clock that is set while we watch makes waits of what is none: by our own clock they must rise, too.
        let received: Vec<f64> = of.map(Stretch::received).collect();
        let (received_first, received_last) = ends(&received);
        if received_last - received_first < TRULY * (last - first) {
            return None;
        }
        // The longest rise that fits is told, which may begin with what was still as usual.
        let low = waits[0].max(usual) + RISEN * (last - first);
        let flat = waits.iter().position(|wait| *wait > low).unwrap_or(rising).saturating_sub(1);
        let onset = Timestamp::from_secs(self.stretches[from + flat].index * STRETCH);
        Some(self.as_it_is(onset, last, rates))
    }
}

/// Seconds before this stretch and how many messages were published in them, where that says what is usual.
fn past(stretches: &VecDeque<Stretch>, from: usize) -> Option<(f64, u32)> {
    let published: u32 = stretches.range(..from).map(|stretch| stretch.published).sum();
    let many = stretches.range(..from).filter(|stretch| stretch.published > 0).count();
    let seconds = stretches.get(from)?.index - stretches.front()?.index;
    (many >= USUAL && published >= USUAL_MESSAGES).then_some(((seconds * STRETCH) as f64, published))
}

/// How many messages came that must be processed from then on: no fewer than before, as far as chance goes, nor than now.
fn arrivals(stretches: &VecDeque<Stretch>, since: Timestamp) -> Arrivals {
    let index = since.0 / 1_000_000_000 / STRETCH;
    let from = stretches.partition_point(|stretch| stretch.index < index);
    // Of the newest stretch there is only a part.
    let newest = stretches.back().map_or(0, |stretch| stretch.index);
    let count = |from: usize| {
        let of = stretches.range(from..).filter(|stretch| stretch.index < newest);
        let seconds = newest.saturating_sub(stretches.get(from).map_or(newest, |first| first.index)) * STRETCH;
        (f64::from(of.map(|stretch| stretch.published).sum::<u32>()), seconds.max(1) as f64)
    };
    match past(stretches, from) {
        Some((seconds, published)) => {
            let published = f64::from(published);
            let before = (published - CHANCE * published.sqrt()) / seconds;
            let (now, lasts) = count(from);
            let mean = if now > 0.0 { now / lasts } else { published / seconds };
            Arrivals { is_known: true, least: before.min(mean + now.sqrt() / lasts), mean }
        }
        None => {
            let (all, seconds) = count(0);
            Arrivals { is_known: false, least: (all - CHANCE_UNKNOWN * all.sqrt()) / seconds, mean: all / seconds }
        }
    }
}

#[cfg(test)]
mod tests;
