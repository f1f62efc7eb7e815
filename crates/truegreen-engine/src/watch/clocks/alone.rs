//! Clocks that no calls compare with others: messages bound them from one side each, and so does their receipt.
//!
//! What was published by a clock that is known is processed later, so the clock of whoever processes it is ahead by no more
//! than that takes by the two; what is published to such a one bounds it from below. And nothing arrives here before it
//! ended, by our own clock, unless that is behind all others.

use std::collections::BTreeMap;

use truegreen_model::observation::InstanceId;

use super::solver::{Offset, Receipt};

/// The clock of `to` is ahead of that of `from` by no more than this, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) from: InstanceId,
    pub(super) to: InstanceId,
    pub(super) most: i64,
}

/// By how much a clock is ahead of the reference at the least and at the most, in nanoseconds, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Alone {
    pub(super) instance: InstanceId,
    least: Option<i64>,
    most: Option<i64>,
    pub(super) compared: usize,
    pub(super) agreeing: usize,
}

impl Alone {
    /// By how much it is wrong, and how sure that is, where it is wrong by more than that in any case.
    pub(super) fn wrong(&self, tolerated: i64) -> Option<(i64, i64)> {
        let is_wrong = self.least.is_some_and(|least| least > tolerated)
            || self.most.is_some_and(|most| most < tolerated.saturating_neg());
        let known = match (self.least, self.most) {
            (Some(least), Some(most)) => {
                let error = most.saturating_sub(least) / 2;
                (least.saturating_add(error), error)
            }
            (least, most) => (least.or(most)?, 0),
        };
        is_wrong.then_some(known)
    }

    pub(super) fn is_one_sided(&self) -> bool {
        self.least.is_none() || self.most.is_none()
    }
}

/// Where the clocks stand that were not solved, in order of instance.
pub(super) fn stand(solved: &[Offset], messages: &[Message], receipts: &[Receipt]) -> Vec<Alone> {
    // Each group of clocks that call each other has a reference of its own; the largest is ours.
    let compared = solved.iter().map(|offset| offset.compared).max().unwrap_or(0);
    let known: BTreeMap<InstanceId, &Offset> =
        solved.iter().filter(|offset| offset.compared == compared).map(|offset| (offset.instance, offset)).collect();
    let agreeing = known.values().map(|offset| offset.agreeing).max().unwrap_or(0);
    let is_solved = |instance: InstanceId| solved.binary_search_by_key(&instance, |offset| offset.instance).is_ok();
    let ours = ours(&known, receipts);
    let mut stands: BTreeMap<InstanceId, Alone> = BTreeMap::new();
    let bare = |instance| Alone { instance, least: None, most: None, compared: compared + 1, agreeing };
    for message in messages.iter().filter(|message| !is_solved(message.to)) {
        if let Some(from) = known.get(&message.from) {
            let most = from.offset.saturating_add(from.error).saturating_add(message.most);
            let stands = stands.entry(message.to).or_insert_with(|| bare(message.to));
            stands.most = Some(stands.most.map_or(most, |known| known.min(most)));
        }
    }
    for receipt in receipts.iter().filter(|receipt| !is_solved(receipt.instance)) {
        let Some(ours) = ours else { continue };
        let least = ours.saturating_add(receipt.ahead);
        let stands = stands.entry(receipt.instance).or_insert_with(|| bare(receipt.instance));
        stands.least = Some(least);
        // A clock that was set shows in its receipts first.
        stands.most = stands.most.filter(|most| *most >= least);
    }
    for message in messages.iter().filter(|message| !is_solved(message.from)) {
        if let Some(to) = known.get(&message.to) {
            let least = to.offset.saturating_sub(to.error).saturating_sub(message.most);
            let stands = stands.entry(message.from).or_insert_with(|| bare(message.from));
            if stands.most.is_none_or(|most| least <= most) {
                stands.least = stands.least.max(Some(least));
            }
        }
    }
    stands.into_values().collect()
}

/// By how much our own clock is ahead of the reference: right, unless what all others send arrives before it ended.
/// Nothing is known where nobody is compared with anybody, or only one is.
fn ours(known: &BTreeMap<InstanceId, &Offset>, receipts: &[Receipt]) -> Option<i64> {
    let of_known = receipts.iter().filter_map(|receipt| {
        let offset = known.get(&receipt.instance)?;
        Some(offset.offset.saturating_sub(receipt.ahead))
    });
    of_known.min().map(|most| most.min(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn offset(instance: u32) -> Offset {
        Offset { instance: InstanceId(instance), offset: 0, error: 1_000_000, compared: 3, agreeing: 3 }
    }

    fn receipt(instance: u32, ahead: i64) -> Receipt {
        Receipt { instance: InstanceId(instance), ahead }
    }

    fn message(from: u32, to: u32, most: i64) -> Message {
        Message { from: InstanceId(from), to: InstanceId(to), most }
    }

    fn wrong(messages: &[Message], receipts: &[Receipt]) -> Vec<(u32, i64, bool)> {
        let solved = [offset(0), offset(1), offset(2)];
        let stands = stand(&solved, messages, receipts);
        let wrong = |alone: &Alone| Some((alone.instance.0, alone.wrong(S / 4)?.0 / S, alone.is_one_sided()));
        stands.iter().filter_map(wrong).collect()
    }

    #[test]
    fn records_that_arrive_before_they_end_are_of_a_clock_that_is_ahead() {
        let near = [receipt(0, -S / 5), receipt(1, -S / 9)];
        assert_eq!(wrong(&[], &[near[0], near[1], receipt(7, 20 * S)]), [(7, 20, true)]);
        assert_eq!(wrong(&[], &[near[0], near[1], receipt(7, -30 * S)]), [], "a slow exporter");
        assert_eq!(wrong(&[message(0, 7, 20 * S + S / 10)], &[near[0], receipt(7, 20 * S)]), [(7, 20, false)]);
        assert_eq!(wrong(&[message(0, 7, S / 10)], &[near[0], receipt(7, 20 * S)]), [(7, 20, true)], "just set");
    }

    #[test]
    fn messages_that_are_processed_before_they_were_published_are_too() {
        let near = [receipt(0, -S / 5), receipt(7, -21 * S)];
        assert_eq!(wrong(&[message(0, 7, -20 * S)], &near), [(7, -20, false)]);
        assert_eq!(
            wrong(&[message(7, 0, -21 * S)], &near),
            [(7, 20, true)],
            "by a little less, as clocks that are known may be wrong"
        );
        assert_eq!(wrong(&[message(0, 7, 30 * S), message(7, 0, 40 * S)], &near), [], "they wait");
    }

    #[test]
    fn our_own_clock_may_be_behind() {
        let behind = [receipt(0, 19 * S), receipt(1, 20 * S), receipt(7, 20 * S)];
        assert_eq!(wrong(&[], &behind), []);
        let solved = [];
        assert!(stand(&solved, &[], &[receipt(7, 20 * S)]).is_empty(), "with nobody to compare");
    }
}
