//! Unaccounted or unknown: does the silence about a step prove that it did not happen?
//!
//! It does once all of this holds, of a step due at D that was entered for at E:
//!
//! 1. The export lag after D is over, by our clock.
//! 2. Each instance that reported between two minutes before E and D goes on reporting, by whatever signal, until then.
//! 3. What each of them tells reaches past D by its own time: a record of a signal that would show the step ended at or
//!    after D + 5 s, or anything else, such as a metric, is of D + 10 s or later. Who is heard after D and tells only of
//!    what was before is late, and may have the step on its way. Batches may hold old and new: the newest counts, since
//!    exporters send in order, but for what overtakes by a few seconds.
//! 4. Of an instance that showed such a signal steadily (for two minutes, without a pause of 30 s) until shortly before E
//!    or later, only that signal counts: metrics may be in time while spans are late or lost. Of an idle one anything
//!    counts, else nothing that happens once in five minutes could be called lost.
//! 5. The service showed such a signal since E; or lately, and few wait for it since.
//!
//! Times are taken back by what a clock is ahead of ours. One that is behind makes its instance seem late by as much,
//! which the export lag knows after a while; until then the proof takes so much longer.
//!
//! Whatever is wanting two minutes after 1. will not come any more: unknown.

use std::time::Duration;

use smallvec::SmallVec;
use truegreen_model::flow::{FlowId, Signal, StepId};
use truegreen_model::observation::Symbol;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;

use super::lag::FLOOR as LAG_FLOOR;
use super::spells::Spell;
use super::{CameDue, Coverage, Instance, SILENCE, Service, ServiceId};
use crate::matcher::scopes::ScopeId;

/// Without a proof, so long after a deadline plus the export lag, nothing will prove it any more: whoever was silent
/// until then began a new spell.
pub(crate) const LIMIT_BEYOND_LAG: Duration = SILENCE;

const POLL: Duration = Duration::from_secs(1);
/// A signal delivered this recently counts for a rare flow…
const RECENT: Duration = Duration::from_secs(15 * 60);
/// …unless so many journeys wait on it since.
const MANY_OWING: usize = 5;

/// A step that is missing.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    pub(crate) flow: FlowId,
    pub(crate) scope: ScopeId,
    /// The step, also as other versions of its contract have it.
    pub(crate) kin: &'a [(FlowId, StepId)],
    /// Names of the services that owe it.
    pub(crate) services: &'a [Symbol],
    /// The signals that would show it.
    pub(crate) signals: &'a [Signal],
    /// When the journey entered.
    pub(crate) entry: Timestamp,
    /// When the step was due, grace included.
    pub(crate) deadline: Timestamp,
    /// It may have been seen and not sent, or was sent and cannot be told to belong.
    pub(crate) doubted: Option<Why>,
    /// Journeys that wait on the same step and are not due yet.
    pub(crate) waiting: u64,
}

/// What the silence proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// It would have been seen.
    Proven,
    /// Ask again at this time.
    NotYet(Timestamp),
    /// It never will.
    Unprovable(Why),
}

impl Coverage {
    /// Judges one missing step as of `now`.
    pub(crate) fn prove(&self, wait: &Wait<'_>, now: Timestamp) -> Proof {
        let owing = self.owing(wait.flow, wait.scope, wait.services);
        let lags = owing.iter().flat_map(|id| wait.signals.iter().map(|signal| self[*id].export_lag(*signal)));
        let lag = lags.max().unwrap_or(LAG_FLOOR);
        let heard_from = wait.deadline + lag;
        if now < heard_from {
            return Proof::NotYet(heard_from);
        }
        if let Some(why) = wait.doubted {
            return Proof::Unprovable(why);
        }
        if let Some(gap_end) = self.gap(&owing, wait.entry, heard_from) {
            return self.after_gap(&owing, wait, gap_end, lag, now);
        }
        let limit = heard_from + LIMIT_BEYOND_LAG;
        match self.would_show(&owing, wait, heard_from, limit) {
            Ok(()) => Proof::Proven,
            Err(_) if now < limit => Proof::NotYet((now + POLL).min(limit)),
            Err(why) => Proof::Unprovable(why),
        }
    }

    /// Whether the step would have been shown by now; else what is wanting for that.
    fn would_show(
        &self,
        owing: &[ServiceId],
        wait: &Wait<'_>,
        heard_from: Timestamp,
        limit: Timestamp,
    ) -> Result<(), Why> {
        if owing.is_empty() {
            return Err(Why::NeverSeen);
        }
        if !self.all_reporting(owing, wait, heard_from) {
            return Err(Why::InstanceGone);
        }
        let reporting = || owing.iter().flat_map(|id| self.instances_of(*id)).filter(|one| one.is_reporting(wait));
        if !reporting().all(|instance| instance.reach.is_past(wait, limit)) {
            return Err(Why::InstanceGone);
        }
        let is_shown = reporting().all(|instance| !instance.reach.breaks_off(wait, limit));
        if is_shown && owing.iter().all(|id| self.delivers(*id, wait, limit)) { Ok(()) } else { Err(Why::SignalSilent) }
    }

    /// Whether any of these services is told or inferred to be sampled.
    pub(crate) fn any_sampled(&self, flow: FlowId, scope: ScopeId, services: &[Symbol]) -> bool {
        self.owing(flow, scope, services).iter().any(|id| self[*id].sampled().is_some())
    }

    /// Why nothing follows from what is missing of these services between these times, if anything is known to speak
    /// against it.
    pub(crate) fn doubted(
        &self,
        (flow, scope): (FlowId, ScopeId),
        services: &[Symbol],
        from: Timestamp,
        until: Timestamp,
    ) -> Option<Why> {
        let owing = self.owing(flow, scope, services);
        let doubts = owing.iter().flat_map(|id| &self[*id].doubts);
        let mut overlapping = doubts.filter(|(_, gap)| gap.from <= until && gap.until >= from);
        overlapping.next().map(|(why, _)| *why)
    }

    pub(super) fn owing(&self, flow: FlowId, scope: ScopeId, services: &[Symbol]) -> SmallVec<[ServiceId; 2]> {
        let known = |name: &Symbol| self.in_scope.get(&(flow, scope, *name));
        services.iter().filter_map(known).flatten().copied().collect()
    }

    /// Some instance of each service reported during the wait, and each that did went on until `heard_from`. One that
    /// fell silent shortly before the wait may have lived on, and may be the one that took the step.
    fn all_reporting(&self, owing: &[ServiceId], wait: &Wait<'_>, heard_from: Timestamp) -> bool {
        owing.iter().all(|id| {
            let spells = self.instances_of(*id).flat_map(|instance| instance.reporting(wait));
            let mut ends = spells.map(|spell| spell.last).peekable();
            ends.peek().is_some() && ends.all(|last| last >= heard_from)
        })
    }

    /// Whether the service delivers the signal that would show the step.
    fn delivers(&self, id: ServiceId, wait: &Wait<'_>, limit: Timestamp) -> bool {
        let service = &self[id];
        wait.signals
            .iter()
            .any(|signal| service.signals[*signal as usize].overlapping(wait.entry, limit).next().is_some())
            || service.was_delivering(wait)
    }

    /// The end of the latest stretch in which something of the wait may have been refused or not listened to.
    pub(crate) fn gap(&self, owing: &[ServiceId], from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let refused = owing.iter().flat_map(|id| self.instances_of(*id)).map(|instance| &instance.refused);
        let gaps = refused.chain([&self.outages]).flat_map(|gaps| gaps.overlapping(from, until));
        gaps.map(|gap| gap.until).max()
    }

    /// Deadlines pause during a gap, until each owing instance had the time to send again what it kept.
    fn after_gap(
        &self,
        owing: &[ServiceId],
        wait: &Wait<'_>,
        gap_end: Timestamp,
        lag: Duration,
        now: Timestamp,
    ) -> Proof {
        let again = gap_end + lag;
        let relevant =
            |instance: &&Instance| instance.heard.overlapping(wait.entry - lag, wait.deadline).next().is_some();
        let mut instances = owing.iter().flat_map(|id| self.instances_of(*id)).filter(relevant);
        let heard_again = instances.all(|instance| instance.heard.last() >= Some(again));
        let limit = gap_end.max(wait.deadline) + lag + LIMIT_BEYOND_LAG;
        if now >= limit || (now >= again && heard_again) {
            Proof::Unprovable(Why::IntakeGap)
        } else {
            Proof::NotYet((now + POLL).max(again).min(limit))
        }
    }

    fn instances_of(&self, id: ServiceId) -> impl Iterator<Item = &Instance> {
        self[id].instances.iter().map(|instance| &self.instances[instance.0 as usize])
    }
}

impl Instance {
    /// The spells in which it may have taken the step. It counts as reporting until a spell's silence is over.
    fn reporting(&self, wait: &Wait<'_>) -> impl Iterator<Item = Spell> + '_ {
        self.heard.overlapping(wait.entry - SILENCE, wait.deadline)
    }

    fn is_reporting(&self, wait: &Wait<'_>) -> bool {
        self.reporting(wait).next().is_some()
    }
}

impl Service {
    /// The idle consumer of a rare flow: it delivered lately, and only a few journeys wait on it since. A journey
    /// counts among those that came due, or among those that are not due yet.
    fn was_delivering(&self, wait: &Wait<'_>) -> bool {
        let delivered = wait.signals.iter().filter_map(|signal| self.signals[*signal as usize].last_before(wait.entry));
        let Some(last) = delivered.max() else { return false };
        let same = |owed: &&CameDue| owed.scope == wait.scope && wait.kin.contains(&(owed.flow, owed.step));
        let came_due = self.owing.iter().filter(same).filter(|owed| owed.entered_at > last).count();
        let few = self.owing_forgotten <= last && came_due + (wait.waiting as usize) < MANY_OWING;
        last >= wait.deadline - RECENT && few
    }
}
