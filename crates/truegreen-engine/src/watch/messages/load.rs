//! Whether a consumer has more to do than it can: what each message takes, times how many usually come, is more than
//! those at work can give. That shows after few messages, long before waits alone would tell it from chance.
//!
//! How many are at work shows by how many were busy on average. While a consumer keeps up, these have just as much to do
//! as comes; so only where messages also wait longer and longer is it too much. After a pause waits fall, and in a burst
//! more comes than usual: neither is a consumer that is too slow.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

use super::pace::Arrivals;

/// Samples kept; where they are over too short a time, every second one is left out.
const KEPT: usize = 64;
const SPAN: Duration = Duration::from_secs(24);
/// Judged are the latest so many samples, over at least so long; where nothing is known of before, over longer, since it
/// may be a burst that began before we did.
const JUDGED: [usize; 6] = [8, 12, 16, 24, 36, 64];
const LEAST_SPAN: Duration = Duration::from_secs(8);
const LEAST_SPAN_UNKNOWN: Duration = Duration::from_secs(15);
/// Waits rise by chance so steadily (in standard deviations of Kendall's statistic) once in twenty times, and once in a
/// hundred. What a message takes and how often one comes are each taken at their bound of so many deviations.
const RISES: f64 = 1.64;
const RISES_UNKNOWN: f64 = 2.33;
const SURE: f64 = 2.0;
/// Beyond what can be done by so much, a queue grows.
const TOO_MUCH: f64 = 1.05;
/// A fraction of one who is busy beyond whole ones is what was cut at the ends.
const CUT: f64 = 0.35;
/// Seconds that messages must wait beyond what is usual.
const BEYOND: f64 = 1.0;
const BEYOND_UNKNOWN: f64 = 3.0;
/// Messages over which is averaged what one usually takes, and so many say it.
const USUAL: f64 = 500.0;
const KNOWN: u64 = 100;

/// One message as it was processed, in seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sample {
    at: Timestamp,
    waited: f32,
    took: f32,
}

/// What was processed lately.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Load {
    samples: VecDeque<Sample>,
    /// One in two to the power of this many is a sample.
    rarity: u32,
    processed: u64,
    usual_took: f64,
    is_news: bool,
}

/// Too much to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct TooMuch {
    pub(super) since: Timestamp,
    /// Seconds.
    pub(super) wait: f64,
    /// Messages a second that are processed.
    pub(super) processed: f64,
}

impl Load {
    pub(super) fn processed(&mut self, at: Timestamp, waited: Duration, took: Duration) {
        self.processed += 1;
        let took = took.as_secs_f64();
        self.usual_took += (took - self.usual_took) / (self.processed as f64).min(USUAL);
        if self.processed & ((1 << self.rarity) - 1) != 0 {
            return;
        }
        self.is_news = true;
        let place = self.samples.iter().rposition(|before| before.at <= at).map_or(0, |before| before + 1);
        self.samples.insert(place, Sample { at, waited: waited.as_secs_f32(), took: took as f32 });
        if self.samples.len() <= KEPT {
            return;
        }
        let (first, last) = (self.samples[0].at, self.samples[KEPT].at);
        if last.since(first) >= SPAN {
            self.samples.pop_front();
            if self.rarity > 0 && last.since(first) >= 4 * SPAN {
                self.rarity -= 1;
                self.samples.clear();
            }
        } else {
            self.rarity += 1;
            let mut n = 0;
            self.samples.retain(|_| {
                n += 1;
                n % 2 == 0
            });
        }
    }

    /// What a message usually takes, in seconds.
    pub(super) fn usual_took(&self) -> Option<f64> {
        (self.processed >= KNOWN).then_some(self.usual_took)
    }

    /// What the latest take, in seconds.
    pub(super) fn took(&self) -> f64 {
        let latest = self.samples.iter().rev().take(JUDGED[0]);
        latest.map(|sample| f64::from(sample.took)).sum::<f64>() / self.samples.len().clamp(1, JUDGED[0]) as f64
    }

    /// Whether it is too much, where messages usually wait so many seconds and are taken from so many partitions.
    pub(super) fn is_too_much(
        &mut self,
        usual: f64,
        partitions: Option<usize>,
        arrivals: impl Fn(Timestamp) -> Arrivals,
    ) -> Option<TooMuch> {
        if !std::mem::take(&mut self.is_news) || f64::from(self.samples.back()?.waited) < usual + BEYOND {
            return None;
        }
        let samples = self.samples.make_contiguous();
        let judge =
            |n: &usize| judge(&samples[samples.len().checked_sub(*n)?..], self.rarity, usual, partitions, &arrivals);
        JUDGED.iter().find_map(judge)
    }
}

fn judge(
    samples: &[Sample],
    rarity: u32,
    usual: f64,
    partitions: Option<usize>,
    arrivals: impl Fn(Timestamp) -> Arrivals,
) -> Option<TooMuch> {
    let (first, last) = (samples.first()?, samples.last()?);
    let Arrivals { is_known, least, .. } = arrivals(first.at);
    let (least_span, rises, beyond) =
        if is_known { (LEAST_SPAN, RISES, BEYOND) } else { (LEAST_SPAN_UNKNOWN, RISES_UNKNOWN, BEYOND_UNKNOWN) };
    let span = last.at.since(first.at);
    if span < least_span {
        return None;
    }
    let n = samples.len() as f64;
    let took = |sample: &Sample| f64::from(sample.took);
    let mean = samples.iter().map(took).sum::<f64>() / n;
    let spread = samples.iter().map(|sample| (took(sample) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let least_took = mean - SURE * (spread / n).sqrt();
    let processed = (n - 1.0) * f64::from(1 << rarity) / span.as_secs_f64();
    let busy = processed * mean;
    let workers = (busy - CUT).ceil().max(1.0);
    let workers = partitions.map_or(workers, |partitions| workers.min(partitions as f64));
    if least * least_took < TOO_MUCH * workers {
        return None;
    }
    let half = |samples: &[Sample]| {
        samples.iter().map(|sample| f64::from(sample.waited)).sum::<f64>() / samples.len().max(1) as f64
    };
    let (earlier, later) = samples.split_at(samples.len() / 2);
    let wait = half(later);
    let grows = wait >= usual + beyond.max(2.0 * usual) && wait > half(earlier);
    let rising = || trend(&samples.iter().map(|sample| f64::from(sample.waited)).collect::<Vec<_>>()) >= rises;
    (grows && rising()).then_some(TooMuch { since: first.at, wait, processed })
}

/// How steadily these rise: Kendall's statistic, in its standard deviations where there is no trend.
pub(super) fn trend(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let signs = values.iter().enumerate().map(|(at, value)| {
        let later = values[at + 1..].iter();
        later.map(|later| f64::from(i8::from(later > value) - i8::from(later < value))).sum::<f64>()
    });
    let sum: f64 = signs.sum();
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    (sum - sum.clamp(-1.0, 1.0)) / deviation.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGINS: Timestamp = Timestamp::from_secs(1_000_000);

    fn at(seconds: f64) -> Timestamp {
        BEGINS + Duration::from_secs_f64(seconds)
    }

    /// So many partitions that each get a message every so many seconds, taking so long; when it was too much.
    fn found(partitions: usize, every: f64, arrivals: Arrivals, took: impl Fn(f64) -> f64) -> Option<f64> {
        let mut load = Load::default();
        let mut events = Vec::new();
        for partition in 0..partitions {
            let (mut free, mut comes) = (0.0_f64, partition as f64 * every / partitions as f64);
            while comes < 200.0 {
                let begins = free.max(comes);
                free = begins + took(begins);
                events.push((free, begins, begins - comes));
                comes += every;
            }
        }
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        events.into_iter().find_map(|(ended, begins, waited)| {
            let [waited, took] = [waited, ended - begins].map(|seconds| Duration::from_secs_f64(seconds.max(0.0)));
            load.processed(at(begins), waited, took);
            load.is_too_much(0.0, Some(partitions), |_| arrivals).map(|_| ended)
        })
    }

    const HALF_A_SECOND: Arrivals = Arrivals { is_known: true, least: 1.9, mean: 2.0 };

    #[test]
    fn who_takes_half_as_long_again_as_messages_come_is_found_within_twenty_seconds() {
        let found = found(4, 2.0, HALF_A_SECOND, |now| if now < 100.0 { 0.05 } else { 3.0 });
        assert!(found.is_some_and(|at| at > 100.0 && at < 120.0), "{found:?}");
    }

    #[test]
    fn it_takes_longer_where_nothing_is_known_and_many_messages_make_no_difference() {
        let unknown = Arrivals { is_known: false, least: 1.9, mean: 2.0 };
        assert!(found(4, 2.0, unknown, |_| 3.0).is_some_and(|at| at > 15.0 && at < 40.0));
        let many = Arrivals { is_known: true, least: 190.0, mean: 200.0 };
        let found = found(4, 0.02, many, |now| if now < 100.0 { 0.001 } else { 0.03 });
        assert!(found.is_some_and(|at| at > 100.0 && at < 115.0), "{found:?}");
    }

    #[test]
    fn who_is_slower_and_still_keeps_up_is_not_found() {
        assert_eq!(found(4, 2.0, HALF_A_SECOND, |now| if now < 100.0 { 0.05 } else { 1.5 }), None);
    }

    #[test]
    fn a_pause_that_is_worked_off_is_not_found() {
        let pause = |now: f64| if (100.0..101.0).contains(&now) { 12.0 } else { 0.05 };
        assert_eq!(found(4, 2.0, HALF_A_SECOND, pause), None);
        assert_eq!(
            found(4, 0.02, Arrivals { is_known: true, least: 190.0, mean: 200.0 }, |now| pause(now).max(0.001) / 10.0),
            None
        );
    }

    #[test]
    fn a_burst_that_comes_to_an_ordinary_consumer_is_not_found() {
        // Ten times as many come as usually do.
        let usual = Arrivals { is_known: true, least: 0.19, mean: 2.0 };
        assert_eq!(found(4, 2.0, usual, |_| 2.5), None);
    }

    #[test]
    fn a_trend_is_told_from_chance() {
        assert!(trend(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) > 2.33);
        assert!(trend(&[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]) < -2.33);
        assert!(trend(&[3.0, 1.0, 4.0, 1.0, 5.0, 2.0, 6.0, 2.0]).abs() < 2.33);
        assert!(trend(&[1.0; 8]).abs() < 0.1);
    }
}
