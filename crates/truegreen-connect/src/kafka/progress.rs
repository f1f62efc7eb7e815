//! Which records of a dead-letter topic were removed. Kafka cannot remove one record, so what was removed is remembered in a
//! consumer group of ours: its committed offset is the first record that was not, and the metadata of that commit tells the
//! ranges behind it that were.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Error;

/// Characters of metadata; brokers take 4,096 unless told otherwise.
const MAX_METADATA: usize = 4_000;
/// Ranges that are read from metadata, whoever wrote it.
const MAX_RANGES: usize = 4_000;
/// Metadata that is ours.
const MARK: &str = "tg1:";

/// What was removed of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    /// Everything below was removed, or is not there.
    low: u64,
    /// Begins of ranges above that were removed, and their ends, which are not part of them.
    ranges: BTreeMap<u64, u64>,
}

impl Progress {
    /// What a commit tells; of metadata that is not ours, its offset alone.
    pub(super) fn decode(committed: Option<u64>, metadata: &str) -> Progress {
        let mut progress = Progress { low: committed.unwrap_or(0), ranges: BTreeMap::new() };
        let told = metadata.strip_prefix(MARK).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).unwrap_or_default();
        let mut rest = told.as_slice();
        let mut at = progress.low;
        while progress.ranges.len() < MAX_RANGES {
            let (Some(gap), Some(length)) = (number(&mut rest), number(&mut rest)) else { break };
            let (Some(begin), true) = (at.checked_add(gap), length > 0) else { break };
            let Some(end) = begin.checked_add(length) else { break };
            progress.ranges.insert(begin, end);
            at = end;
        }
        progress.settle();
        progress
    }

    /// The metadata of a commit at [`Progress::low`].
    ///
    /// # Errors
    /// Where there are too many ranges for what a broker keeps.
    pub(super) fn encode(&self) -> Result<String, Error> {
        let mut bytes = Vec::new();
        let mut at = self.low;
        for (begin, end) in &self.ranges {
            put(&mut bytes, begin - at);
            put(&mut bytes, end - begin);
            at = *end;
        }
        if bytes.is_empty() {
            return Ok(String::new());
        }
        let text = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes));
        if text.len() > MAX_METADATA {
            return Err(Error::Answered(format!(
                "too many gaps between what was removed ({} ranges): Kafka keeps no more\nhint: remove the oldest letters first",
                self.ranges.len()
            )));
        }
        Ok(text)
    }

    /// The first record that was not removed.
    pub(super) fn low(&self) -> u64 {
        self.low
    }

    pub(super) fn is_removed(&self, offset: u64) -> bool {
        offset < self.low || self.ranges.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// Marks everything from `begin` to before `end`.
    pub(super) fn remove(&mut self, begin: u64, end: u64) {
        let (mut begin, mut end) = (begin.max(self.low), end);
        if begin >= end {
            return;
        }
        // What it touches becomes one with it.
        let touched: Vec<(u64, u64)> =
            self.ranges.range(..=end).rev().take_while(|(_, other)| **other >= begin).map(|(b, e)| (*b, *e)).collect();
        for (other, until) in touched {
            self.ranges.remove(&other);
            (begin, end) = (begin.min(other), end.max(until));
        }
        self.ranges.insert(begin, end);
        self.settle();
    }

    /// How many records from `begin` to before `end` were removed.
    pub(super) fn removed_within(&self, begin: u64, end: u64) -> u64 {
        let overlap = |from: u64, to: u64| to.min(end).saturating_sub(from.max(begin));
        overlap(0, self.low) + self.ranges.iter().map(|(from, to)| overlap(*from, *to)).sum::<u64>()
    }

    fn settle(&mut self) {
        while let Some((begin, end)) = self.ranges.first_key_value().map(|(begin, end)| (*begin, *end)) {
            if begin > self.low {
                break;
            }
            self.low = self.low.max(end);
            self.ranges.pop_first();
        }
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (first, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_in_any_order_is_remembered_over_a_restart() {
        let mut progress = Progress::decode(Some(10), "");
        for offset in [12, 14, 13, 900_000, 20] {
            progress.remove(offset, offset + 1);
        }
        let again = Progress::decode(Some(progress.low()), &progress.encode().unwrap());
        assert_eq!(again, progress);
        let removed: Vec<u64> = (8..22).filter(|offset| again.is_removed(*offset)).collect();
        assert_eq!(removed, [8, 9, 12, 13, 14, 20]);
        assert_eq!(again.removed_within(9, 15), 4);
        progress.remove(10, 11);
        assert_eq!(progress.low(), 11);
        progress.remove(11, 12);
        assert_eq!((progress.low(), progress.ranges.len()), (15, 2));
    }

    #[test]
    fn metadata_of_somebody_else_is_left_alone() {
        for text in ["", "x", "tg1:%%%", "tg1:", "tg1:____________", "tg1:AA"] {
            let progress = Progress::decode(Some(3), text);
            assert!(progress.low() >= 3, "{text}");
        }
        let mut many = Progress::default();
        for offset in 0..5_000 {
            many.remove(2 * offset + 1, 2 * offset + 2);
        }
        assert!(matches!(many.encode(), Err(Error::Answered(_))));
    }
}
