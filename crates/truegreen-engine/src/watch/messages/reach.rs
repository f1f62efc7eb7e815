//! How far what consumers send has come: up to when, by their own clocks, all is here of who processes. Whoever is heard
//! may be telling of long ago; so of what did not happen something follows only up to there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::InstanceId;
use truegreen_model::time::Timestamp;

use crate::coverage::ServiceId;

/// Processes that are followed.
const MAX_PROCESSES: usize = 10_000;
/// Receipts of one that are remembered: more than one in five seconds, as batches come, for two minutes.
const RECEIPTS: usize = 128;
/// Somebody else takes over from who was not heard for so long.
const GONE: Duration = Duration::from_secs(60);
/// Who was not heard for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// How far consumers' records have come.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reach {
    /// By instance: its place among `processes` plus one; 0 for none.
    places: Vec<u16>,
    processes: Vec<Process>,
    of_service: BTreeMap<u32, Vec<u16>>,
    tidied: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Process {
    instance: InstanceId,
    service: ServiceId,
    /// By the second of receipt, the latest time by its own clock that was told until then.
    receipts: VecDeque<(u64, Timestamp)>,
}

fn second(time: Timestamp) -> u64 {
    time.0 / 1_000_000_000
}

impl Process {
    fn heard(&mut self, end: Timestamp, received: Timestamp) {
        let latest = self.receipts.back().map_or(Timestamp(0), |(_, latest)| *latest).max(end.min(received));
        match self.receipts.back_mut().filter(|(at, _)| *at >= second(received)) {
            Some((_, known)) => *known = latest,
            None => self.receipts.push_back((second(received), latest)),
        }
        if self.receipts.len() > RECEIPTS {
            self.receipts.pop_front();
        }
    }

    fn was_heard_since(&self, time: Timestamp) -> bool {
        self.receipts.back().is_some_and(|(at, _)| *at >= second(time))
    }

    fn until(&self, received: Timestamp) -> Timestamp {
        let before = self.receipts.iter().rev().find(|(at, _)| *at < second(received));
        before.map_or(Timestamp(0), |(_, latest)| *latest)
    }
}

impl Reach {
    /// This instance processes messages.
    pub(super) fn processes(&mut self, instance: InstanceId, service: ServiceId, received: Timestamp) {
        let at = instance.0 as usize;
        if self.places.get(at).is_some_and(|place| *place > 0) || self.processes.len() >= MAX_PROCESSES {
            return;
        }
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        self.of_service.entry(service.index()).or_default().push(self.processes.len() as u16);
        self.processes.push(Process {
            instance,
            service,
            receipts: VecDeque::from([(second(received), Timestamp(0))]),
        });
        self.places[at] = self.processes.len() as u16;
    }

    /// A span came that ended then by its sender's clock.
    pub(super) fn heard(&mut self, instance: InstanceId, end: Timestamp, received: Timestamp) {
        if let Some(place @ 1..) = self.places.get(instance.0 as usize).copied() {
            self.processes[usize::from(place) - 1].heard(end, received);
        }
    }

    /// Up to when, by their own clocks, all was received by then of those processes of a service that are there.
    pub(super) fn until(&self, service: ServiceId, received: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let of_service = self.of_service.get(&service.index())?;
        let processes = of_service.iter().map(|place| &self.processes[usize::from(*place)]);
        processes.filter(|process| process.was_heard_since(now - GONE)).map(|process| process.until(received)).min()
    }

    pub(super) fn tidy(&mut self, now: Timestamp) {
        if now.since(self.tidied) < FORGOTTEN / 15 {
            return;
        }
        self.tidied = now;
        if self.processes.iter().all(|process| process.was_heard_since(now - FORGOTTEN)) {
            return;
        }
        self.processes.retain(|process| process.was_heard_since(now - FORGOTTEN));
        self.places.fill(0);
        self.of_service.clear();
        for (place, Process { instance, service, .. }) in self.processes.iter().enumerate() {
            self.places[instance.0 as usize] = place as u16 + 1;
            self.of_service.entry(service.index()).or_default().push(place as u16);
        }
    }
}
