//! The messages of one destination as one consumer group of one service takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::flow::Signal;
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
/// A standstill is told again so often.
const TOLD_EVERY: Duration = Duration::from_secs(30);

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

    /// Whether messages can be followed through it.
    pub(super) fn is_followed(&self) -> bool {
        self.named >= NAMED
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

    /// Time passed: does it stand still?
    pub(super) fn move_on(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        if !self.is_followed() {
            return;
        }
        let service = &view.coverage[self.service];
        let lag = service.export_lag(Signal::Span);
        let (last_heard, patience) = (view.coverage.last_heard(service), self.longest);
        for (partition, lane) in &mut self.lanes {
            let gone = lane.instance.is_some_and(|instance| {
                view.coverage.instance_last_heard(instance) <= Some(lane.last_progress() + lag)
            });
            let Some(pause) = lane.stands_still(lag, patience, gone) else { continue };
            // Silence says nothing of who is silent altogether, and nothing of what we refused.
            let is_heard = last_heard >= Some(lane.last_progress() + lag + Duration::from_secs(5));
            let has_gap = view.coverage.gap(&[self.service], lane.last_progress() - lag, view.now).is_some();
            let was_told = lane.told.is_some_and(|at| view.now.since(at) < TOLD_EVERY);
            if !is_heard || has_gap || was_told {
                continue;
            }
            lane.told = Some(view.now);
            let which = partition
                .map_or_else(String::new, |partition| format!(" of partition {}", view.symbols.text(partition)));
            let again = match lane.repeats {
                0..=2 => String::new(),
                n => format!(", while messages taken before were taken again {n} times"),
            };
            let evidence = format!(
                "{} messages{which} wait and none was processed for {} s, though `{}` is heard{again}",
                lane.pending,
                pause.as_secs(),
                view.symbols.text(service.name),
            );
            let at = lane.last_progress();
            let kind = FindingKind::StuckConsumer;
            let sign = Sign { kind, place: self.place, at, example: None, share: 1.0, evidence };
            findings.deviate(sign, view.now, view.symbols);
        }
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
