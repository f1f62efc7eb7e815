//! What the rules say of a window, and how it is told.

use std::time::Duration;

use truegreen_model::probe::Standing;

use super::{COMMITS, Window};
use crate::config::Limit;

/// How long the oldest message waits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Age {
    /// So long.
    Exactly(Duration),
    /// At least so long: it was there when we first looked.
    AtLeast(Duration),
}

impl Age {
    /// The duration, or the least it may be.
    pub fn seconds(self) -> f64 {
        match self {
            Age::Exactly(age) | Age::AtLeast(age) => age.as_secs_f64(),
        }
    }
}

/// Which rule holds, the worst where several do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rule {
    /// Too little was seen: nothing committed and nothing there, or a first look only.
    NoData,
    /// Nothing waits.
    CaughtUp,
    /// Something waits, and the offset moves.
    Moves,
    /// Committed below what is still there: so many messages were dropped before they were consumed.
    Lost(u64),
    /// Committed beyond the end: the topic was made anew, or its end is told late.
    Beyond(u64),
    /// Messages wait where the group has never committed anything.
    NeverCommitted,
    /// Nobody is there to consume, so nothing is committed any more.
    Stopped,
    /// Somebody is there, or may be, and the offset does not move though messages wait.
    Still,
    /// The offset went back from here to where it is.
    Rewound(u64),
    /// Over the last [`COMMITS`] commits the lag never fell, and rose from this.
    NeverFalls(u64),
}

/// What the rules say of one group and one partition.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Judgement {
    /// The rule that holds.
    pub rule: Rule,
    /// How that stands.
    pub standing: Standing,
    /// How many messages wait; none where nothing was seen.
    pub lag: Option<u64>,
    /// How long the oldest of them waits.
    pub age: Option<Age>,
    /// How long the offset has not moved while messages wait.
    pub still: Duration,
    /// The committed offset.
    pub committed: Option<u64>,
    /// Messages consumed in a second, over the commits that are looked at.
    pub consumed_per_s: Option<f64>,
    /// Messages written in a second, over the same time.
    pub written_per_s: Option<f64>,
}

/// From how many seconds of standing still on it warns, and fails.
pub const STILL: Limit = Limit::new(30.0, 120.0);

impl Window {
    /// Judges what was seen, as of the last look. `still` says from how many seconds of standing still on that warns, and
    /// fails.
    pub fn judge(&self, still: Limit) -> Judgement {
        let Some(last) = &self.last else {
            return Judgement {
                rule: Rule::NoData,
                standing: Standing::Unknown,
                lag: None,
                age: None,
                still: Duration::ZERO,
                committed: None,
                consumed_per_s: None,
                written_per_s: None,
            };
        };
        let stood = self.still_since.map_or(Duration::ZERO, |since| last.at.saturating_sub(since));
        let over = |bound: Option<f64>| bound.is_some_and(|bound| stood.as_secs_f64() >= bound);
        let is_still = over(still.warn) || over(still.fail);
        let by_time = if over(still.fail) { Standing::Fail } else { Standing::Warn };
        let lag = last.lag();
        let (rule, standing) = match last.committed {
            Some(committed) if committed < last.low => (Rule::Lost(last.low - committed), Standing::Fail),
            Some(committed) if committed > last.high => (Rule::Beyond(last.high), Standing::Warn),
            Some(_) if lag == 0 => (Rule::CaughtUp, Standing::Pass),
            None if lag == 0 => (Rule::NoData, Standing::Unknown),
            _ if last.consumers == Some(0) => (Rule::Stopped, by_time),
            None if is_still => (Rule::NeverCommitted, by_time),
            Some(_) if is_still => (Rule::Still, by_time),
            Some(committed) => self.moving(committed),
            None => (Rule::NoData, Standing::Unknown),
        };
        let (consumed_per_s, written_per_s) = self.rates();
        Judgement {
            rule,
            standing,
            lag: Some(lag),
            age: self.age(last),
            still: stood,
            committed: last.committed,
            consumed_per_s,
            written_per_s,
        }
    }

    /// The rules of an offset that was not found to stand still.
    fn moving(&self, committed: u64) -> (Rule, Standing) {
        let peak = self.commits.iter().map(|commit| commit.offset).max().unwrap_or(committed);
        if peak > committed {
            return (Rule::Rewound(peak), Standing::Warn);
        }
        let lags = || self.commits.iter().map(|commit| commit.lag);
        let never_fell = lags().zip(lags().skip(1)).all(|(before, after)| after >= before);
        let first = lags().next().unwrap_or(0);
        if self.commits.len() == COMMITS && never_fell && self.commits.back().is_some_and(|commit| commit.lag > first) {
            return (Rule::NeverFalls(first), Standing::Warn);
        }
        if self.was_well { (Rule::Moves, Standing::Pass) } else { (Rule::NoData, Standing::Unknown) }
    }

    /// Messages consumed and written in a second, since the first commit that is looked at.
    fn rates(&self) -> (Option<f64>, Option<f64>) {
        let (Some(first), Some(last)) = (self.commits.front(), &self.last) else { return (None, None) };
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return (None, None);
        }
        let consumed = last.committed.unwrap_or(first.offset).saturating_sub(first.offset);
        let written = last.high.saturating_sub(first.offset + first.lag);
        (Some(consumed as f64 / seconds), Some(written as f64 / seconds))
    }

    /// How often it was looked at.
    pub fn looks(&self) -> u64 {
        self.looks
    }
}

impl Judgement {
    /// How long until nothing waits at the rates seen; none where it never will, or nothing was seen to move.
    pub fn drained_in(&self) -> Option<Duration> {
        let (lag, gain) = (self.lag? as f64, self.consumed_per_s? - self.written_per_s?);
        (gain > 0.0).then(|| Duration::try_from_secs_f64(lag / gain).unwrap_or(Duration::MAX))
    }

    /// In words: `who` is "group inventory", `place` is "stock-events/1".
    pub fn words(&self, who: &str, place: &str) -> String {
        let lag = messages(self.lag.unwrap_or(0));
        let at = self.committed.map_or_else(|| "an unknown offset".to_owned(), |offset| format!("offset {offset}"));
        let for_s = self.still.as_secs();
        match self.rule {
            Rule::NoData if self.committed.is_none() => format!(
                "{who} has never committed in {place}, {lag} there\nhint: does it run, and is this its name and topic?"
            ),
            Rule::NoData => {
                format!("{who} is at {at} of {place}, {lag} wait; whether it moves is told by further looks")
            }
            Rule::CaughtUp => format!("nothing waits for {who} in {place}"),
            Rule::Moves => format!("{who} moves in {place}, {lag} wait{}", self.drain()),
            Rule::Lost(lost) => format!(
                "{} of {place} were dropped by retention before {who} consumed them: it is at {at}\nhint: keep them \
                 longer, and see why it was so far behind",
                messages(lost)
            ),
            Rule::Beyond(high) => format!(
                "{who} is at {at} of {place}, beyond its end at {high}: it was made anew, or its end is told late\nhint: \
                 reset the group's offsets if it was made anew, else what is written until there may be skipped"
            ),
            Rule::NeverCommitted => {
                format!(
                    "{who} has committed nothing in {place} for {for_s} s, {lag} wait\nhint: is it assigned to anybody?"
                )
            }
            Rule::Stopped => format!(
                "nobody consumes {place} for {who}: it stands at {at} since at least {for_s} s, {lag} wait\nhint: start \
                 its consumers"
            ),
            Rule::Still => format!(
                "{who} stands still at {at} of {place} since {for_s} s, {lag} wait\nhint: what is at that offset may be \
                 what it chokes on"
            ),
            Rule::Rewound(from) => {
                let again = from - self.committed.unwrap_or(from);
                format!("{who} went back from offset {from} to {at} of {place}: {} come again", messages(again))
            }
            Rule::NeverFalls(from) => format!(
                "{who} falls behind in {place}: over its last {COMMITS} commits what waits never fell, and rose from \
                 {from} to {lag}{}",
                self.drain()
            ),
        }
    }

    fn drain(&self) -> String {
        match (self.drained_in(), self.consumed_per_s, self.written_per_s) {
            (Some(left), ..) => format!(", drained in about {} s at this rate", left.as_secs().max(1)),
            (None, Some(consumed), Some(written)) => {
                format!(", never drained at this rate: {consumed:.1} consumed and {written:.1} written in a second")
            }
            _ => String::new(),
        }
    }
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
