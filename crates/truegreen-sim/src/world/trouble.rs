//! What goes wrong besides single journeys. In each of these telemetry is lost on its way to us, or late.

use fastrand::Rng;
use truegreen_model::time::Timestamp;

use super::fleet::{Fleet, Late};
use super::{ENTRIES, WARM_UP, seconds};
use crate::telemetry::{Content, Happening, second};

/// One kind for each world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Nothing is lost.
    None,
    /// A process dies with what it had not sent yet.
    Death,
    /// A process is away for less than two minutes, or for more.
    Absence,
    /// The only process of a service works on, but its exporter is dead.
    Mute,
    /// The only process of a service works on and sends its metrics, but its spans and logs no more.
    MetricsOnly,
    /// What a service sends is late for a while, and then comes all at once.
    Late,
    /// The same of its spans and logs, while its metrics come in time.
    LateRecords,
    /// Some requests are refused, and not sent again.
    Refusals,
    /// We ourselves are down.
    Outage,
}

impl Trouble {
    /// Each of them.
    pub const ALL: [Trouble; 9] = [
        Trouble::None,
        Trouble::Death,
        Trouble::Absence,
        Trouble::Mute,
        Trouble::MetricsOnly,
        Trouble::Late,
        Trouble::LateRecords,
        Trouble::Refusals,
        Trouble::Outage,
    ];

    /// Troubles of processes.
    pub(super) fn strike_fleet(self, rng: &mut Rng, fleet: &mut Fleet) {
        let at = WARM_UP + 10.0 + rng.f64() * ENTRIES;
        let index = rng.usize(0..fleet.services.len());
        let service = &mut fleet.services[index];
        let instance = rng.usize(0..service.instances.len());
        match self {
            Trouble::Death => service.instances[instance].absent.push((at, f64::INFINITY)),
            Trouble::Absence => {
                // Not near two minutes, where it is open whether the silence was long.
                let length = if rng.bool() { 20.0 + rng.f64() * 60.0 } else { 140.0 + rng.f64() * 60.0 };
                service.instances[instance].absent.push((at, at + length));
            }
            Trouble::Mute => {
                service.instances.truncate(1);
                service.instances[0].mute_from = at;
            }
            Trouble::MetricsOnly => {
                service.instances.truncate(1);
                service.instances[0].metrics_only_from = at;
            }
            Trouble::Late | Trouble::LateRecords => {
                let until = at + 20.0 + rng.f64() * 100.0;
                let late =
                    Late { from: at, until, by: 15.0 + rng.f64() * 75.0, records_only: self == Trouble::LateRecords };
                service.instances.iter_mut().for_each(|instance| instance.late = Some(late));
            }
            Trouble::None | Trouble::Refusals | Trouble::Outage => {}
        }
    }

    /// Troubles of ours.
    pub(super) fn strike_intake(self, rng: &mut Rng, sent: Vec<(Timestamp, Content)>) -> Vec<(Timestamp, Happening)> {
        let refused_share = if self == Trouble::Refusals { 0.06 } else { 0.0 };
        let mut happenings: Vec<(Timestamp, Happening)> = sent
            .into_iter()
            .map(|(at, content)| {
                let carries_records = !matches!(content, Content::Metrics(_));
                if carries_records && rng.f64() < refused_share {
                    (at, refusal(rng, &content))
                } else {
                    (at, Happening::Accepted(content))
                }
            })
            .collect();
        if self == Trouble::Outage {
            let from = WARM_UP + rng.f64() * ENTRIES;
            let to = from + 20.0 + rng.f64() * 180.0;
            happenings.retain(|(at, _)| seconds(*at) < from || seconds(*at) > to);
            let resumed = Happening::Resumed { down_since: second(from) };
            happenings.push((second(to), resumed));
            happenings.sort_by_key(|(at, _)| *at);
        }
        happenings
    }
}

fn refusal(rng: &mut Rng, content: &Content) -> Happening {
    let sender = content.senders().first().copied().cloned();
    Happening::Refused {
        instance: sender.as_ref().filter(|_| rng.f64() < 0.7).map(|sender| sender.instance.clone()),
        service: sender.map(|sender| sender.service).unwrap_or_default(),
    }
}
