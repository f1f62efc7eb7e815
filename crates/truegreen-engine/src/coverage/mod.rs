//! Coverage: would we have seen a step had it happened? Who reports, by which signals, how late, and whether only
//! a sample. No coverage gives `unknown`, never `unaccounted` and never green (INV-UNKNOWN-1).
//!
//! Almost everything here is in times of receipt, since it is about what reached us; how far it reaches by the senders'
//! own time is in `reach`.

mod clocks;
mod heard;
mod lag;
mod proof;
mod reach;
mod sampling;
mod skew;
mod spells;
mod versions;

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::{FlowId, Signal, StepId};
use truegreen_model::observation::{InstanceId, KeyHash, Symbol};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;

pub(crate) use clocks::{Ahead, Correction, HostOffset};
pub(crate) use heard::Heard;
pub(crate) use lag::FLOOR as LAG_FLOOR;
pub(crate) use proof::{LIMIT_BEYOND_LAG, Proof, Wait};
pub(crate) use sampling::Sampled;

use clocks::Course;
use lag::Lag;
use reach::Reach;
use sampling::Sampling;
use skew::Skew;
use spells::Spells;

use crate::matcher::scopes::ScopeId;

/// A silence longer than this ends a spell: what was sent meanwhile may be lost.
pub(crate) const SILENCE: Duration = Duration::from_secs(120);

const MAX_INSTANCES: usize = 200_000;
const MAX_GAPS: usize = 64;
/// Far more than make a difference to a proof.
const MAX_OWING: usize = 64;

/// Whose step is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct CameDue {
    pub(crate) flow: FlowId,
    pub(crate) scope: ScopeId,
    pub(crate) step: StepId,
    pub(crate) key: KeyHash,
    pub(crate) entered_at: Timestamp,
}

/// One service in one environment and namespace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct ServiceId(u32);

impl ServiceId {
    /// The service of this index.
    pub(crate) fn at(index: usize) -> ServiceId {
        ServiceId(index as u32)
    }

    pub(crate) fn index(self) -> u32 {
        self.0
    }
}

/// What is known of one service.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: Symbol,
    instances: Vec<InstanceId>,
    signals: [Spells; 3],
    /// Journeys that wait for it past their deadlines, or waited in vain; the newest last.
    owing: VecDeque<CameDue>,
    /// The latest entry of those that are not remembered, since there are too many.
    owing_forgotten: Timestamp,
    lags: [Lag; 3],
    sampling: Sampling,
    /// Stretches in which what it did shows only in part, or cannot be told to belong.
    doubts: VecDeque<(Why, Gap)>,
    pub(crate) spans: u64,
    pub(crate) error_spans: u64,
    pub(crate) logs: u64,
    pub(crate) data_points: u64,
}

/// What is known of one process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) service: ServiceId,
    pub(crate) label: Box<str>,
    heard: Spells,
    refused: Gaps,
    skew: Skew,
    reach: Reach,
    course: Course,
}

/// A stretch in which something may not have reached us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Gap {
    from: Timestamp,
    until: Timestamp,
}

/// Such stretches, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Gaps(SmallVec<[Gap; 2]>);

impl Gaps {
    /// Past the bound the two oldest become one: a gap that is too wide makes verdicts more careful, one that is
    /// forgotten would take lost telemetry for loss.
    fn add(&mut self, from: Timestamp, until: Timestamp) {
        if self.0.len() >= MAX_GAPS {
            self.0[0].until = self.0[0].until.max(self.0[1].until);
            self.0.remove(1);
        }
        self.0.push(Gap { from, until });
    }

    fn overlapping(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Gap> + '_ {
        self.0.iter().copied().filter(move |gap| gap.from <= until && gap.until >= from)
    }
}

/// Who is heard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Coverage {
    services: Vec<Service>,
    instances: Vec<Instance>,
    service_ids: HashMap<(Symbol, u64), ServiceId, FixedState>,
    instance_ids: HashMap<(ServiceId, u64), InstanceId, FixedState>,
    /// Which services of a name live in the scope of a flow.
    in_scope: HashMap<(FlowId, ScopeId, Symbol), SmallVec<[ServiceId; 1]>, FixedState>,
    /// When we did not listen.
    outages: Gaps,
    /// Instances whose clocks were ever corrected.
    corrected: Vec<InstanceId>,
    /// Instances past the bound.
    pub(crate) overflowed: u64,
    /// A service turned out to be sampled; to be reset by who acts on it.
    pub(crate) newly_sampled: bool,
}

impl Coverage {
    /// The service of this name at home in this environment and namespace. `scopes` gives, for each flow, the
    /// scope that the service's resource lies in.
    pub(crate) fn service(&mut self, name: Symbol, home: u64, scopes: &[(FlowId, ScopeId)]) -> ServiceId {
        let next = ServiceId(self.services.len() as u32);
        let id = *self.service_ids.entry((name, home)).or_insert(next);
        if id == next {
            self.services.push(Service::new(name));
        }
        for (flow, scope) in scopes {
            let ids = self.in_scope.entry((*flow, *scope, name)).or_default();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        id
    }

    /// The instance of a service by the hash of what identifies it; `None` past the bound, since what is not told
    /// apart can prove nothing.
    pub(crate) fn instance(&mut self, service: ServiceId, identity: u64, label: &str) -> Option<InstanceId> {
        if let Some(id) = self.instance_ids.get(&(service, identity)) {
            return Some(*id);
        }
        if self.instances.len() >= MAX_INSTANCES {
            self.overflowed += 1;
            return None;
        }
        let id = InstanceId(self.instances.len() as u32);
        self.instances.push(Instance {
            service,
            label: label.into(),
            heard: Spells::default(),
            refused: Gaps::default(),
            skew: Skew::default(),
            reach: Reach::default(),
            course: Course::default(),
        });
        self.services[service.0 as usize].instances.push(id);
        self.instance_ids.insert((service, identity), id);
        Some(id)
    }

    /// A request with this instance's resource in it was accepted, and this is what it says of it.
    pub(crate) fn hear(&mut self, service: ServiceId, instance: Option<InstanceId>, heard: &Heard, now: Timestamp) {
        let of_service = &mut self.services[service.0 as usize];
        of_service.spans += heard.spans;
        of_service.error_spans += heard.error_spans;
        of_service.logs += heard.logs;
        of_service.data_points += heard.data_points;
        // Past the bound on instances: counted, but no proof.
        let Some(instance) = instance else { return };
        for signal in [Signal::Span, Signal::Log, Signal::Event] {
            let delays = &heard.delays[signal as usize];
            if heard.delivered[signal as usize] {
                of_service.signals[signal as usize].extend(now);
            }
            of_service.lags[signal as usize].observe(delays, now);
        }
        self.newly_sampled |= of_service.sampling.observe(&heard.trace_ids, heard.kept_share, now);
        let instance = &mut self.instances[instance.0 as usize];
        instance.heard.extend(now);
        instance.skew.observe(heard.ahead, now);
        let ahead = instance.ahead(now);
        instance.reach.extend(&heard.reach, ahead, now);
    }

    /// Whether the service's trace ids are worth looking at now.
    pub(crate) fn wants_trace_ids(&self, service: ServiceId, now: Timestamp) -> bool {
        self.services[service.0 as usize].sampling.is_looking(now)
    }

    /// A journey waits for these services past its deadline.
    pub(crate) fn came_due(&mut self, due: &CameDue, services: &[Symbol]) {
        for id in self.owing(due.flow, due.scope, services) {
            let owing = &mut self.services[id.0 as usize].owing;
            // Two patterns of a step may name one service.
            if owing.contains(due) {
                continue;
            }
            owing.push_back(*due);
            if owing.len() > MAX_OWING
                && let Some(forgotten) = owing.pop_front()
            {
                let until = &mut self.services[id.0 as usize].owing_forgotten;
                *until = forgotten.entered_at.max(*until);
            }
        }
    }

    /// It does not any more.
    pub(crate) fn no_longer_due(&mut self, due: &CameDue, services: &[Symbol]) {
        for id in self.owing(due.flow, due.scope, services) {
            self.services[id.0 as usize].owing.retain(|owed| owed != due);
        }
    }

    /// A request of this instance was refused, or of every instance of the service where it is not known which.
    pub(crate) fn refused(&mut self, name: Symbol, instance: Option<&str>, now: Timestamp) {
        for service in self.services.iter().filter(|service| service.name == name) {
            for id in &service.instances {
                let entry = &mut self.instances[id.0 as usize];
                if instance.is_none_or(|label| *entry.label == *label) {
                    entry.refused.add(now, now);
                }
            }
        }
    }

    /// We did not listen between these times.
    pub(crate) fn outage(&mut self, from: Timestamp, until: Timestamp) {
        self.outages.add(from, until);
    }

    /// Between these times what the service did shows only in part, or cannot be told to belong.
    pub(crate) fn doubt(&mut self, service: ServiceId, why: Why, from: Timestamp, until: Timestamp) {
        let Some(service) = self.services.get_mut(service.0 as usize) else { return };
        let doubts = &mut service.doubts;
        if let Some((_, gap)) = doubts.iter_mut().rev().find(|(known, gap)| *known == why && gap.until >= from) {
            gap.until = until.max(gap.until);
            return;
        }
        if doubts.len() >= MAX_GAPS {
            doubts.pop_front();
        }
        doubts.push_back((why, Gap { from, until }));
    }

    /// Whether something of the service may not have reached us between these times for a reason of ours.
    pub(crate) fn had_gap(&self, service: ServiceId, from: Timestamp, until: Timestamp) -> bool {
        self.gap(&[service], from, until).is_some()
    }

    /// By how much this instance's clock is ahead of ours, as far as that is known; its times are taken back by it.
    pub(crate) fn ahead(&self, instance: InstanceId, now: Timestamp) -> Ahead {
        self.instances[instance.0 as usize].ahead(now)
    }

    /// The bound within which a step of this instance may seem late by its clock alone, as receipts show it. Of a clock
    /// that was ever corrected more is known.
    pub(crate) fn skew_bound(&self, instance: InstanceId) -> Duration {
        let of = self.instances.get(instance.0 as usize).filter(|instance| instance.course.is_empty());
        of.map_or(Duration::ZERO, |instance| instance.skew.worst())
    }

    pub(crate) fn entry(&self, instance: InstanceId) -> &Instance {
        &self.instances[instance.0 as usize]
    }

    pub(crate) fn service_of(&self, instance: InstanceId) -> &Service {
        &self.services[self.instances[instance.0 as usize].service.0 as usize]
    }

    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    /// Whether any instance of a service of this name, in whatever scope, was heard at or after `since`.
    pub(crate) fn is_heard(&self, name: Symbol, since: Timestamp) -> bool {
        self.services
            .iter()
            .filter(|service| service.name == name)
            .any(|service| self.last_heard(service) >= Some(since))
    }

    /// When any instance of the service was last heard.
    pub(crate) fn last_heard(&self, service: &Service) -> Option<Timestamp> {
        service.instances.iter().filter_map(|id| self.instances[id.0 as usize].heard.last()).max()
    }

    /// Whether something of the service may be missing between these times that its sender lost, or cut from its context.
    pub(crate) fn is_doubted(&self, service: ServiceId, from: Timestamp, until: Timestamp) -> bool {
        self[service].doubts.iter().any(|(_, gap)| gap.from <= until && gap.until >= from)
    }

    /// When this instance was last heard.
    pub(crate) fn instance_last_heard(&self, instance: InstanceId) -> Option<Timestamp> {
        self.instances.get(instance.0 as usize).and_then(|instance| instance.heard.last())
    }

    /// Since when this instance has been heard without a silence.
    pub(crate) fn instance_heard_since(&self, instance: InstanceId) -> Option<Timestamp> {
        self.instances.get(instance.0 as usize).and_then(|instance| instance.heard.since())
    }

    /// Whether an instance of the service was last heard between these times, and not since.
    pub(crate) fn fell_silent(&self, service: ServiceId, from: Timestamp, until: Timestamp, since: Timestamp) -> bool {
        let last = |id: &InstanceId| self.instances[id.0 as usize].heard.last();
        let mut silent = self[service].instances.iter().filter_map(last).filter(|last| *last < since);
        silent.any(|last| last >= from && last <= until)
    }

    /// The longest export lag of any service.
    pub(crate) fn longest_export_lag(&self) -> Duration {
        self.services.iter().map(Service::longest_export_lag).max().unwrap_or_default()
    }

    /// Instances of the service heard at or after `since`.
    pub(crate) fn instances_heard(&self, service: &Service, since: Timestamp) -> u64 {
        service.instances.iter().filter(|id| self.instances[id.0 as usize].heard.last() >= Some(since)).count() as u64
    }
}

impl Instance {
    /// As it was corrected; else at the least by so much as its records ended ahead of their receipt.
    fn ahead(&self, now: Timestamp) -> Ahead {
        self.course.ahead().unwrap_or_else(|| Ahead::by(self.skew.excess(now)))
    }
}

impl Service {
    fn new(name: Symbol) -> Self {
        Service {
            name,
            instances: Vec::new(),
            signals: Default::default(),
            owing: VecDeque::new(),
            owing_forgotten: Timestamp(0),
            lags: Default::default(),
            sampling: Sampling::default(),
            doubts: VecDeque::new(),
            spans: 0,
            error_spans: 0,
            logs: 0,
            data_points: 0,
        }
    }

    /// How long after its end a record of this signal arrives, 99 times in a hundred.
    pub(crate) fn export_lag(&self, signal: Signal) -> Duration {
        self.lags[signal as usize].p99()
    }

    /// When a record of this signal was last received.
    pub(crate) fn last_delivered(&self, signal: Signal) -> Option<Timestamp> {
        self.signals[signal as usize].last()
    }

    /// The longest over all signals.
    pub(crate) fn longest_export_lag(&self) -> Duration {
        self.lags.iter().map(Lag::p99).max().unwrap_or_default()
    }

    pub(crate) fn sampled(&self) -> Option<Sampled> {
        self.sampling.verdict()
    }
}

impl std::ops::Index<ServiceId> for Coverage {
    type Output = Service;
    fn index(&self, id: ServiceId) -> &Service {
        &self.services[id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_past_the_bound_grow_wider_and_are_never_forgotten() {
        let mut gaps = Gaps::default();
        for second in 0..1_000 {
            gaps.add(Timestamp::from_secs(10 * second), Timestamp::from_secs(10 * second));
        }
        assert_eq!(gaps.0.len(), MAX_GAPS);
        for second in 0..1_000 {
            let at = Timestamp::from_secs(10 * second);
            assert!(gaps.overlapping(at, at).next().is_some(), "at {second}");
        }
    }
}
