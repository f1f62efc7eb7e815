//! The same world otherwise arranged: what must not matter.

use std::time::Duration;

use fastrand::Rng;
use truegreen_model::time::Timestamp;

use super::World;
use crate::telemetry::{EPOCH, Happening};

impl World {
    /// Everything is received at the end of a window of this length, so that coverage no longer tells two orders
    /// apart; then, within each window, in an order drawn from the seed. Gaps of intake keep their place.
    pub fn gathered(&self, window: Duration, seed: u64) -> World {
        let window_nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).max(1);
        let gathered_at = |at: Timestamp| {
            let windows_past = at.0.saturating_sub(EPOCH.0).div_ceil(window_nanos);
            Timestamp(EPOCH.0 + windows_past * window_nanos)
        };
        let mut rng = Rng::with_seed(seed);
        let mut windows: Vec<(Timestamp, Vec<Happening>)> = Vec::new();
        for (at, happening) in &self.happenings {
            let moved = match happening {
                Happening::Resumed { down_since } => Happening::Resumed { down_since: gathered_at(*down_since) },
                other => other.clone(),
            };
            let at = gathered_at(*at);
            match windows.last_mut() {
                Some((end, gathered)) if *end == at => gathered.push(moved),
                _ => windows.push((at, vec![moved])),
            }
        }
        for (_, gathered) in &mut windows {
            rng.shuffle(gathered);
            // Nothing is received before we listen again.
            gathered.sort_by_key(|happening| !matches!(happening, Happening::Resumed { .. }));
        }
        let happenings = windows
            .into_iter()
            .flat_map(|(at, gathered)| gathered.into_iter().map(move |happening| (at, happening)))
            .collect();
        World { happenings, ..self.clone() }
    }

    /// Every accepted request is received a second time at once.
    pub fn doubled(&self) -> World {
        let twice = |(at, happening): &(Timestamp, Happening)| {
            let times = if matches!(happening, Happening::Accepted(_)) { 2 } else { 1 };
            vec![(*at, happening.clone()); times]
        };
        World { happenings: self.happenings.iter().flat_map(twice).collect(), ..self.clone() }
    }
}
