//! The clock of a host: what time synchronization leaves of an error, and what a fault adds to it.

use fastrand::Rng;

/// Seconds by which hosts that are kept in time differ at the most.
const WELL_KEPT: f64 = 0.004;
/// Seconds that such a clock wanders in a second.
const DRIFT: f64 = 4e-7;

/// The clock of one host.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Clock {
    offset: f64,
    drift: f64,
    leap: Option<(f64, f64)>,
}

impl Clock {
    /// One that is kept in time.
    pub fn draw(rng: &mut Rng) -> Clock {
        Clock { offset: (rng.f64() * 2.0 - 1.0) * WELL_KEPT, drift: (rng.f64() * 2.0 - 1.0) * DRIFT, leap: None }
    }

    /// From then on it is wrong by so many seconds.
    pub fn leap(&mut self, from: f64, by: f64) {
        self.leap = Some((from, by));
    }

    /// What it shows.
    pub fn shows(&self, at: f64) -> f64 {
        let leap = self.leap.filter(|(from, _)| at >= *from).map_or(0.0, |(_, by)| by);
        at + self.offset + self.drift * at + leap
    }
}
