//! What one client of a broker has claimed and not settled. Brokers that know no leases learn of an expired one from here.

use std::collections::HashMap;

use super::{LEASE, Topic};

/// One for each partition at most.
pub(super) struct Held<T>(HashMap<(&'static str, u8), (T, i64)>);

/// What stands in the way of a claim.
pub(super) enum Before<T> {
    Nothing,
    /// A lease that goes on.
    Leased,
    /// A lease that has expired: it is for the claimer to put this back first.
    Expired(T),
}

impl<T> Held<T> {
    pub(super) fn new() -> Held<T> {
        Held(HashMap::new())
    }

    pub(super) fn before(&mut self, topic: Topic, partition: u8, now_ms: i64) -> Before<T> {
        let place = (topic.name, partition);
        match self.0.get(&place) {
            None => Before::Nothing,
            Some((_, until_ms)) if now_ms < *until_ms => Before::Leased,
            Some(_) => self.0.remove(&place).map_or(Before::Nothing, |(held, _)| Before::Expired(held)),
        }
    }

    pub(super) fn hold(&mut self, topic: Topic, partition: u8, held: T, now_ms: i64) {
        let lease_ms = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        self.0.insert((topic.name, partition), (held, now_ms.saturating_add(lease_ms)));
    }

    /// Takes it out, if it is still the one that `is_it` knows.
    pub(super) fn take(&mut self, topic: Topic, partition: u8, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let place = (topic.name, partition);
        self.0.get(&place).filter(|(held, _)| is_it(held))?;
        self.0.remove(&place).map(|(held, _)| held)
    }

    /// The line to the broker broke: whatever was held is delivered again.
    #[cfg(feature = "rabbitmq")]
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, Held};
    use crate::queue::{LEASE, STOCK_EVENTS};

    #[test]
    fn a_lease_keeps_its_partition_until_it_is_settled_or_expires() {
        let mut held = Held::new();
        held.hold(STOCK_EVENTS, 1, 7, 1_000);
        assert!(matches!(held.before(STOCK_EVENTS, 0, 1_000), Before::Nothing));
        let end_ms = 1_000 + i64::try_from(LEASE.as_millis()).unwrap();
        assert!(matches!(held.before(STOCK_EVENTS, 1, end_ms - 1), Before::Leased));
        assert_eq!(held.take(STOCK_EVENTS, 1, |it| *it == 8), None, "another delivery");
        assert!(matches!(held.before(STOCK_EVENTS, 1, end_ms), Before::Expired(7)));
        assert!(matches!(held.before(STOCK_EVENTS, 1, end_ms), Before::Nothing));
        held.hold(STOCK_EVENTS, 1, 9, 1_000);
        assert_eq!(held.take(STOCK_EVENTS, 1, |it| *it == 9), Some(9));
    }
}
