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
use super::window::Publication;
use crate::coverage::ServiceId;
use crate::finding::place::Place;
use crate::finding::{PlaceFindings, Sign};

/// Partitions told apart.
const MAX_LANES: usize = 1_024;
/// Messages lost, and processed twice, that are tolerated where nothing is known yet. What is lost is certain, as far as
/// its consumer tells all; what is processed twice may be lawful.
const LOST: f64 = 0.001;
const REPEATED: f64 = 0.004;
const LOST_LATELY: Duration = Duration::from_secs(60);
/// Processings over which the share that names its message is taken.
const RECENT: f64 = 200.0;
/// Where fewer do, messages cannot be followed: their context is lost, not they.
const NAMED: f64 = 0.9;
/// Where fewer of the publications that are named are heard, others that are not heard are sampled, or lost on their way.
const HEARD: f64 = 0.9;
/// Processings that must have been looked at before that is known.
const LOOKED_AT: u64 = 16;
/// What was processed before anything was known counts as so many that were heard.
const PRIOR: u64 = 10;
/// After so many that were joined otherwise, ids of messages are not needed.
const BY_SPAN: u32 = 100;
/// What takes nothing for so long, and has nothing to take, is not looked at.
const ASTIR: Duration = Duration::from_secs(60);
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
    /// When the latest was found lost.
    pub(super) last_lost: Timestamp,
    pub(super) repeated: Share,
    /// Who published the latest messages that came twice, where they were published twice.
    pub(super) doubled_by: Option<Symbol>,
    /// The share of processings that tell which message they process.
    named: f64,
    /// The share of those whose publication was heard, and how many were looked at.
    heard: f64,
    looked_at: u64,
    /// How many were joined by a link or parent, and whether any by nothing but the message's own id.
    by_span: u32,
    pub(super) by_name: bool,
    /// The usual longest time from publication to the end of processing.
    longest: Duration,
    pub(super) latest: Timestamp,
    /// Metrics that its service sent so far, and when the latest came.
    points: u64,
    pub(super) counted: Timestamp,
}

impl Stream {
    pub(super) fn new(service: ServiceId, place: Place) -> Self {
        Stream {
            service,
            place,
            lanes: BTreeMap::new(),
            pace: Pace::default(),
            lost: Share::new(LOST),
            last_lost: Timestamp::default(),
            repeated: Share::new(REPEATED),
            doubled_by: None,
            named: 1.0,
            heard: 1.0,
            looked_at: 0,
            by_span: 0,
            by_name: false,
            longest: Duration::ZERO,
            latest: Timestamp::default(),
            points: 0,
            counted: Timestamp::default(),
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

    /// One was joined by a link or parent.
    pub(super) fn joined_by_span(&mut self) {
        self.by_span = self.by_span.saturating_add(1);
    }

    /// Whether it may know messages by nothing but their ids.
    pub(super) fn goes_by_name(&self) -> bool {
        self.by_name || self.by_span < BY_SPAN
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

    /// One was done with so long after it was published.
    pub(super) fn waited(&mut self, until_done: Duration) {
        self.longest = until_done.max(self.longest.mul_f64(0.999));
    }

    /// One was not lost. That is known long before of others that they were, so it counts against a finding only once none
    /// was found lost for a while.
    pub(super) fn lost_none(&mut self, published_at: Place, view: &View<'_>, findings: &mut PlaceFindings) {
        if view.now.since(self.last_lost) < LOST_LATELY {
            self.lost.well_meanwhile();
        } else {
            self.lost.well(FindingKind::LostPublish, published_at, findings);
        }
    }

    /// Whether several were processed that were published later than this one. Who could not publish does not always know
    /// to which partition.
    pub(super) fn has_overtaken(&self, publication: &Publication) -> bool {
        match self.lanes.get(&publication.partition) {
            Some(lane) => lane.has_overtaken(publication.at),
            None if publication.failed && publication.partition.is_none() => {
                self.lanes.values().any(|lane| lane.has_overtaken(publication.at))
            }
            None => false,
        }
    }

    /// Where messages that come twice are told: of a hop both ends may double them.
    pub(super) fn repeats_at(&self) -> Place {
        Place { peer: self.doubled_by, ..self.place }
    }

    /// Whether anything came lately, so that there is something to judge.
    pub(super) fn is_astir(&self, now: Timestamp) -> bool {
        now.since(self.latest) < ASTIR || self.lanes.values().any(|lane| lane.pending() > 0)
    }

    /// From how many partitions it takes messages, where it tells.
    fn partitions(&self) -> Option<usize> {
        let moving = self.lanes.values().filter(|lane| lane.has_moved()).count();
        (moving > 0 && !self.lanes.contains_key(&None)).then_some(moving)
    }

    /// Beyond this a message that was not processed is not just waiting.
    pub(super) fn patience(&self) -> Duration {
        3 * self.longest
    }

    /// Time passed: did its service send metrics?
    pub(super) fn count(&mut self, view: &View<'_>) {
        let points = view.coverage[self.service].data_points;
        if points != self.points {
            (self.points, self.counted) = (points, view.now);
        }
    }

    /// Time passed: does it keep up?
    pub(super) fn keep_pace(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        let kind = FindingKind::SlowConsumer;
        match self.pace.judge(self.partitions()) {
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
                lane.pending(),
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
    let Behind { wait, usual, took, usual_took, published, processed, .. } = behind;
    let takes = usual_took.map_or_else(String::new, |usual| format!("; one takes {took:.2} s, usually {usual:.2} s"));
    let drain = behind.drain().map_or_else(
        || format!("{:.1} more each second, and at these rates it never drains", behind.growth().max(0.0)),
        |drain| format!("and at these rates it drains in {} s", drain.as_secs()),
    );
    format!(
        "messages wait {wait:.1} s, usually {usual:.1} s, and ever longer: {published:.1} a second are published and \
         {processed:.1} processed{takes}; about {:.0} wait, {drain}",
        behind.backlog(),
    )
}
