//! The messages of one destination as one consumer group of one service takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::observation::Symbol;
use truegreen_model::time::Timestamp;

use super::super::View;
use super::super::share::Share;
use super::lane::Lane;
use super::pace::{Behind, Pace, Turn};
use crate::coverage::ServiceId;
use crate::finding::place::Place;
use crate::finding::{PlaceFindings, Sign};

/// Partitions told apart.
const MAX_LANES: usize = 1_024;
/// Messages lost, and processed twice, that are tolerated where nothing is known yet.
const LOST: f64 = 0.004;
const REPEATED: f64 = 0.004;
/// Processings over which the share that names its message is taken.
const RECENT: f64 = 200.0;
/// Where fewer do, messages cannot be followed: their context is lost, not they.
const NAMED: f64 = 0.9;
/// Where fewer of the publications that are named are heard, others that are not heard are sampled, or lost on their way.
const HEARD: f64 = 0.9;
/// Processings that must have been looked at before that is known.
const LOOKED_AT: u64 = 32;
/// What was processed before anything was known counts as so many that were heard.
const PRIOR: u64 = 10;
/// A standstill is told again so often.
const TOLD_EVERY: Duration = Duration::from_secs(30);
/// Taken again so often, a message is tried again and again.
const TRIED: u32 = 3;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) service: ServiceId,
    /// The operation that processes.
    pub(super) place: Place,
    pub(super) lanes: BTreeMap<Option<Symbol>, Lane>,
    pub(super) pace: Pace,
    pub(super) lost: Share,
    pub(super) repeated: Share,
    /// The share of processings that tell which message they process.
    named: f64,
    /// The share of those whose publication was heard, and how many were looked at.
    heard: f64,
    looked_at: u64,
    /// The usual longest wait.
    longest: Duration,
    pub(super) latest: Timestamp,
}

impl Stream {
    pub(super) fn new(service: ServiceId, place: Place) -> Self {
        Stream {
            service,
            place,
            lanes: BTreeMap::new(),
            pace: Pace::default(),
            lost: Share::new(LOST),
            repeated: Share::new(REPEATED),
            named: 1.0,
            heard: 1.0,
            looked_at: 0,
            longest: Duration::ZERO,
            latest: Timestamp::default(),
        }
    }

    pub(super) fn lane(&mut self, partition: Option<Symbol>) -> &mut Lane {
        let is_known = self.lanes.contains_key(&partition) || self.lanes.len() < MAX_LANES;
        self.lanes.entry(if is_known { partition } else { None }).or_default()
    }

    /// One was processed, and told which message it was, or did not.
    pub(super) fn names(&mut self, is_named: bool) {
        self.named += (f64::from(u8::from(is_named)) - self.named) / RECENT;
    }

    /// The publication of one that was processed was heard, or was not though it should have been by now.
    pub(super) fn hears(&mut self, is_heard: bool) {
        self.looked_at += 1;
        let weight = ((self.looked_at + PRIOR) as f64).min(RECENT);
        self.heard += (f64::from(u8::from(is_heard)) - self.heard) / weight;
    }

    /// Whether messages can be followed through it: processings tell which they process, and those are heard of.
    pub(super) fn is_followed(&self) -> bool {
        self.named >= NAMED && self.heard >= HEARD && self.looked_at >= LOOKED_AT
    }

    pub(super) fn waited(&mut self, wait: Duration) {
        self.longest = wait.max(self.longest.mul_f64(0.999));
    }

    /// Beyond this a message that was not processed is not just waiting.
    pub(super) fn patience(&self) -> Duration {
        3 * self.longest
    }

    /// Time passed: does it keep up?
    pub(super) fn keep_pace(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        let kind = FindingKind::SlowConsumer;
        match self.pace.judge() {
            Some(Turn::FallsBehind(behind)) => {
                let (at, evidence) = (behind.onset, told(&behind));
                let sign = Sign { kind, place: self.place, at, example: None, share: 1.0, evidence };
                findings.deviate(sign, view.now, view.symbols);
            }
            Some(Turn::KeepsUp) => findings.close(kind, self.place, FindingStatus::Resolved),
            None => {}
        }
    }

    /// Time passed: does it stand still? All is known of it `until` then.
    pub(super) fn move_on(&mut self, until: Timestamp, view: &View<'_>, findings: &mut PlaceFindings) {
        let (others, delay) = (self.others_pause(), self.longest);
        for (partition, lane) in &mut self.lanes {
            // Who takes the same message again and again is at this lane.
            let others = others.or_else(|| (lane.repeats >= TRIED).then_some(Duration::ZERO));
            let Some(pause) = lane.stands_still(until, delay, others) else { continue };
            // Nothing follows of what we refused.
            let has_gap = view.coverage.gap(&[self.service], lane.last_progress(), view.now).is_some();
            let was_told = lane.told.is_some_and(|at| view.now.since(at) < TOLD_EVERY);
            if has_gap || was_told {
                continue;
            }
            lane.told = Some(view.now);
            let which = partition
                .map_or_else(String::new, |partition| format!(" of partition {}", view.symbols.text(partition)));
            let again = match lane.repeats {
                0..TRIED => String::new(),
                n => format!(", while messages taken before were taken again {n} times"),
            };
            let evidence = format!(
                "{} messages{which} wait and none was processed for {} s, though `{}` is heard{again}",
                lane.pending,
                pause.as_secs(),
                view.symbols.text(view.coverage[self.service].name),
            );
            let at = lane.last_progress();
            let kind = FindingKind::StuckConsumer;
            let sign = Sign { kind, place: self.place, at, example: None, share: 1.0, evidence };
            findings.deviate(sign, view.now, view.symbols);
        }
    }

    /// The longest usual pause of any lane, where at least half of them move: then all are taken from.
    fn others_pause(&self) -> Option<Duration> {
        let moving = self.lanes.values().filter_map(Lane::usual_pause);
        let (count, longest) = moving.fold((0, Duration::ZERO), |(n, longest), pause| (n + 1, longest.max(pause)));
        (2 * count >= self.lanes.len()).then_some(longest)
    }

    /// A standstill ended; it is over where no other lane stands still.
    pub(super) fn moves_again(&self, findings: &mut PlaceFindings) {
        if self.lanes.values().all(|lane| lane.told.is_none()) {
            findings.close(FindingKind::StuckConsumer, self.place, FindingStatus::Resolved);
        }
    }
}

fn told(behind: &Behind) -> String {
    let drain = behind.drain().map_or_else(
        || "at these rates it never drains".to_owned(),
        |drain| format!("at these rates it drains in {} s", drain.as_secs()),
    );
    format!(
        "messages wait {:.1} s, usually {:.1} s; {:.1} a second are published and {:.1} processed, about {:.0} wait, and {drain}",
        behind.wait,
        behind.usual,
        behind.published,
        behind.processed,
        behind.backlog(),
    )
}
