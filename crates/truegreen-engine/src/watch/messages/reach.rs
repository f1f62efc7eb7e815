//! How far what consumers send has come: up to when all is here of who processes. Whoever is heard
//! may be telling of long ago; so of what did not happen something follows only up to there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::InstanceId;
use truegreen_model::time::Timestamp;

use super::super::clocks::Clocks;
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

    /// Up to when all was received by then of those processes of a service that are there.
    pub(super) fn until(
        &self,
        service: ServiceId,
        received: Timestamp,
        now: Timestamp,
        clocks: &Clocks,
    ) -> Option<Timestamp> {
        let of_service = self.of_service.get(&service.index())?;
        let processes = of_service.iter().map(|place| &self.processes[usize::from(*place)]);
        let present = processes.filter(|process| process.was_heard_since(now - GONE));
        present.map(|process| clocks.by_reference((process.instance, process.until(received)))).min()
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

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: usize = 0;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    /// Two processes that send what ended five seconds before, every five seconds, until these seconds.
    fn reach(untils: [u64; 2]) -> Reach {
        let mut reach = Reach::default();
        for (instance, until) in (0..).map(InstanceId).zip(untils) {
            reach.processes(instance, ServiceId::at(SERVICE), at(0));
            for second in (5..=until).step_by(5) {
                reach.heard(instance, at(second - 5), at(second));
                reach.heard(instance, at(second - 1), at(second));
            }
        }
        reach
    }

    fn until(reach: &Reach, received: u64, now: u64) -> Option<Timestamp> {
        reach.until(ServiceId::at(SERVICE), at(received), at(now), &Clocks::default())
    }

    #[test]
    fn it_reaches_as_far_as_the_one_that_told_least_and_one_that_is_gone_holds_nobody_up() {
        assert_eq!(until(&reach([100, 100]), 101, 101), Some(at(99)));
        // The second fell silent: what it did since is not known, until somebody else must have taken over.
        assert_eq!(until(&reach([100, 50]), 101, 101), Some(at(49)));
        assert_eq!(until(&reach([120, 50]), 121, 121), Some(at(119)));
        assert_eq!(until(&reach([100, 50]), 300, 300), None);
        assert_eq!(Reach::default().until(ServiceId::at(SERVICE), at(1), at(1), &Clocks::default()), None);
    }

    #[test]
    fn what_was_received_later_does_not_count() {
        assert_eq!(until(&reach([100, 100]), 98, 101), Some(at(94)));
    }

    #[test]
    fn who_tells_of_long_ago_reaches_no_further() {
        let mut late = Reach::default();
        late.processes(InstanceId(7), ServiceId::at(SERVICE), at(0));
        (5..100)
            .step_by(5)
            .for_each(|second| late.heard(InstanceId(7), at(second).max(at(30)) - Duration::from_secs(30), at(second)));
        assert_eq!(until(&late, 101, 101), Some(at(65)));
        // Nor does one whose clock is ahead, and who is not known is not followed.
        late.heard(InstanceId(7), at(5_000), at(101));
        late.heard(InstanceId(8), at(10), at(101));
        assert_eq!(until(&late, 102, 102), Some(at(101)));
    }

    #[test]
    fn processes_that_are_long_gone_are_forgotten_and_others_keep_their_places() {
        let mut reach = reach([2_000, 50]);
        reach.tidy(at(2_000));
        assert_eq!((reach.processes.len(), until(&reach, 2_001, 2_001)), (1, Some(at(1_999))));
        reach.heard(InstanceId(0), at(2_003), at(2_004));
        reach.heard(InstanceId(1), at(2_003), at(2_004));
        assert_eq!(until(&reach, 2_005, 2_005), Some(at(2_003)));
    }
}
