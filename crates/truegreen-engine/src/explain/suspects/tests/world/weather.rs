//! What befalls telemetry on its way, and how systems differ that record it.

use super::Dice;

/// The same for both stretches.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in super::super) struct Weather {
    /// Share of spans that are lost.
    pub(in super::super) lost: f64,
    /// Clocks are off by up to so many milliseconds.
    pub(in super::super) skew_ms: u64,
    /// Logs of every second service name no trace.
    pub(in super::super) half_loose: bool,
    /// Attribute that names an instance.
    pub(in super::super) identity: &'static str,
    /// How often a call that failed is made again.
    pub(in super::super) retries: usize,
    /// Of so many operations one is called by a message.
    pub(in super::super) messages: usize,
}

impl Weather {
    /// Nothing of it.
    pub(in super::super) const FAIR: Weather =
        Weather { lost: 0.0, skew_ms: 0, half_loose: false, identity: "k8s.pod.name", retries: 0, messages: 0 };

    /// Nanoseconds by which the clock of an instance is off.
    pub(super) fn skew(&self, (service, instance): (usize, usize)) -> i64 {
        let most = 1_000_000 * self.skew_ms as i64;
        let drawn = Dice(0x5_c10c + 31 * service as u64 + instance as u64).unit();
        (most as f64 * (2.0 * drawn - 1.0)) as i64
    }

    pub(super) fn is_sent(&self, operation: usize) -> bool {
        self.messages > 0 && operation.is_multiple_of(self.messages)
    }
}
