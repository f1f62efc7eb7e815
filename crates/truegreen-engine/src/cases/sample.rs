//! A fair sample of cases that does not depend on the order in which they are offered.

use std::collections::BTreeMap;

use super::Case;

/// Most cases of one side: enough that a share of one in a hundred is told from none.
pub(super) const MAX_CASES: usize = 512;

/// Of all cases offered, those with the smallest draws.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    drawn: BTreeMap<u64, Case>,
    offered: u64,
}

impl Sample {
    /// Offers one with its draw, a hash of what it is. It is made only if it is taken.
    pub(crate) fn offer(&mut self, draw: u64, case: impl FnOnce() -> Case) {
        self.offered += 1;
        let is_full = self.drawn.len() >= MAX_CASES;
        if is_full && self.drawn.last_key_value().is_some_and(|(largest, _)| *largest <= draw) {
            return;
        }
        self.drawn.insert(draw, case());
        self.trim();
    }

    pub(super) fn merge(&mut self, other: Sample) {
        self.offered += other.offered;
        self.drawn.extend(other.drawn);
        self.trim();
    }

    fn trim(&mut self) {
        while self.drawn.len() > MAX_CASES {
            self.drawn.pop_last();
        }
    }

    /// How many there were to draw from.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// Those drawn, by their draws.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.drawn.values()
    }

    /// How many were drawn.
    pub fn len(&self) -> usize {
        self.drawn.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.drawn.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use truegreen_model::time::Timestamp;

    use super::{Case, MAX_CASES, Sample};

    fn sample(draws: impl Iterator<Item = u64>) -> Sample {
        let mut sample = Sample::default();
        for draw in draws {
            let case = || Case {
                key: draw.to_string(),
                at: Timestamp(0),
                traces: Vec::new(),
                evidence: Vec::new(),
                went_on: None,
            };
            sample.offer(draw, case);
        }
        sample
    }

    #[test]
    fn the_same_cases_are_drawn_in_any_order_and_in_any_parts() {
        let most = 3 * MAX_CASES as u64;
        let whole = sample(0..most);
        let mut parts = sample((0..most).rev().filter(|draw| draw % 3 == 0));
        parts.merge(sample((0..most).filter(|draw| draw % 3 != 0)));
        assert!(whole.cases().eq(parts.cases()));
        assert_eq!((whole.len(), whole.offered()), (MAX_CASES, most));
        assert_eq!(parts.offered(), most);
    }
}
