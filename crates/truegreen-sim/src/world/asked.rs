//! Worlds in which systems can be asked whether an effect is there: what they answer, and how long that takes.

use std::time::Duration;

use fastrand::Rng;
use truegreen_model::confirmation::{Answer, NoAnswer, Question};
use truegreen_model::flow::{Confirm, Expected, Reentry};
use truegreen_model::time::Timestamp;

use super::World;
use crate::run::Systems;
use crate::telemetry::{Content, Happening};

impl World {
    /// The same world, with effects that can be looked up. Nothing is looked up where one key is two journeys: the answer
    /// would be about both.
    pub fn with_effects(mut self, seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        if self.environments() > 1 {
            return self;
        }
        for flow in self.flows.iter_mut().filter(|flow| flow.reentry == Reentry::Once) {
            let last = flow.steps.len() - 1;
            for (index, step) in flow.steps.iter_mut().enumerate().skip(1) {
                if index == last || rng.f64() < 0.4 {
                    step.confirm = Some(Confirm {
                        system: ["stock-db", "bill-db"][index % 2].to_owned(),
                        ask: "SELECT 1 FROM moves WHERE order_id = $1".to_owned(),
                        expect: Expected::Row,
                        sample: [0.0, 0.3, 1.0][rng.usize(0..3)],
                        after: Duration::from_secs(rng.u64(0..20)),
                    });
                }
            }
        }
        self
    }

    fn environments(&self) -> usize {
        let contents = self.happenings.iter().filter_map(|(_, happening)| match happening {
            Happening::Accepted(content) => Some(content),
            _ => None,
        });
        let mut all: Vec<&str> = contents.flat_map(Content::senders).map(|sender| &*sender.environment).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }
}

/// Systems that answer at random, the same for the same seed: right or wrong, at once or late, by a replica or not at all.
/// The same question may be answered differently each time.
pub fn systems(seed: u64) -> Systems {
    let mut rng = Rng::with_seed(seed);
    Box::new(move |_: &Question, _: Timestamp| {
        let takes = Duration::from_millis(rng.u64(0..40_000));
        let behind = match rng.u8(0..10) {
            0 => None,
            1..=3 => Some(Duration::from_secs(rng.u64(0..120))),
            _ => Some(Duration::ZERO),
        };
        let answer = match rng.u8(0..10) {
            0..=3 => Answer::There,
            4..=7 => Answer::NotThere { behind },
            8 => Answer::CannotTell(NoAnswer::Unreachable),
            _ => Answer::CannotTell(NoAnswer::TimedOut),
        };
        (takes, answer)
    })
}
