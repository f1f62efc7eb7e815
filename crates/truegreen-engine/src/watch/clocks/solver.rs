//! From bounds between pairs of clocks to an offset per clock.
//!
//! Along a chain of calls errors add up, so each clock is reached by the chain that adds least. Whose clock is right is a
//! vote: the most clocks that agree are the reference, and where it is a tie, those whose records arrive soonest after
//! their ends by our own clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use truegreen_model::observation::InstanceId;

/// Clocks this near to each other agree, in nanoseconds. Time synchronisation over the internet does as well.
const AGREE: i64 = 100_000_000;

/// By how much the clock of `b` can be ahead of that of `a`, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PairBound {
    pub(crate) a: InstanceId,
    pub(crate) b: InstanceId,
    pub(crate) lower: i64,
    pub(crate) upper: i64,
}

/// The clock of an instance is ahead of ours by at least so much, in nanoseconds: nothing arrives before it ends. Mostly
/// negative, by as much as its quickest record took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Receipt {
    pub(crate) instance: InstanceId,
    pub(crate) ahead: i64,
}

/// By how much a clock is ahead of the reference, in nanoseconds, and by how much that may be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offset {
    pub(crate) instance: InstanceId,
    pub(crate) offset: i64,
    pub(crate) error: i64,
    /// Clocks that were compared with it, and how many of them agree with the reference.
    pub(crate) compared: usize,
    pub(crate) agreeing: usize,
}

/// The offsets of all clocks that any chain of bounds connects with another, in order of instance.
pub(crate) fn solve(bounds: &[PairBound], receipts: &[Receipt]) -> Vec<Offset> {
    let receipts: BTreeMap<InstanceId, i64> =
        receipts.iter().map(|receipt| (receipt.instance, receipt.ahead)).collect();
    let mut neighbours: BTreeMap<InstanceId, Vec<(InstanceId, i64, i64)>> = BTreeMap::new();
    for PairBound { a, b, lower, upper } in
        bounds.iter().filter(|bound| bound.lower <= bound.upper && bound.a != bound.b)
    {
        let error = (i128::from(*upper) - i128::from(*lower)) / 2;
        let Ok(error) = i64::try_from(error) else { continue };
        let offset = lower.saturating_add(error);
        neighbours.entry(*a).or_default().push((*b, offset, error));
        neighbours.entry(*b).or_default().push((*a, offset.saturating_neg(), error));
    }
    let mut reached = BTreeSet::new();
    let mut offsets = Vec::new();
    for root in neighbours.keys() {
        if !reached.contains(root) {
            let group = reach(*root, &neighbours, &mut reached);
            offsets.extend(against_reference(group, &receipts));
        }
    }
    offsets.sort_by_key(|offset: &Offset| offset.instance);
    offsets
}

/// Offset and error of all clocks that are connected with the root, against it.
fn reach(
    root: InstanceId,
    neighbours: &BTreeMap<InstanceId, Vec<(InstanceId, i64, i64)>>,
    reached: &mut BTreeSet<InstanceId>,
) -> Vec<(InstanceId, i64, i64)> {
    let mut group = Vec::new();
    let mut nearest = BinaryHeap::from([Reverse((0_i64, root, 0_i64))]);
    while let Some(Reverse((error, at, offset))) = nearest.pop() {
        if !reached.insert(at) {
            continue;
        }
        group.push((at, offset, error));
        for (next, by, more) in neighbours.get(&at).into_iter().flatten().filter(|next| !reached.contains(&next.0)) {
            nearest.push(Reverse((error.saturating_add(*more), *next, offset.saturating_add(*by))));
        }
    }
    group
}

fn against_reference(mut group: Vec<(InstanceId, i64, i64)>, receipts: &BTreeMap<InstanceId, i64>) -> Vec<Offset> {
    group.sort_by_key(|(instance, offset, _)| (*offset, *instance));
    let soonest = |members: &[(InstanceId, i64, i64)]| {
        let aheads = members.iter().filter_map(|(instance, ..)| receipts.get(instance));
        aheads.map(|ahead| ahead.unsigned_abs()).min().unwrap_or(u64::MAX)
    };
    let mut best: Option<((Reverse<usize>, u64), usize, usize)> = None;
    for begin in 0..group.len() {
        let (_, least, error) = group[begin];
        let within = least.saturating_add(AGREE).saturating_add(error);
        let end = begin + group[begin..].partition_point(|(_, offset, _)| *offset <= within);
        let rank = (Reverse(end - begin), soonest(&group[begin..end]));
        if best.as_ref().is_none_or(|(known, ..)| rank < *known) {
            best = Some((rank, begin, end));
        }
    }
    let Some((_, begin, end)) = best else { return Vec::new() };
    let (_, zero, zero_error) = group[begin + (end - begin) / 2];
    let (compared, agreeing) = (group.len(), end - begin);
    let offset = |(instance, offset, error): &(InstanceId, i64, i64)| Offset {
        instance: *instance,
        offset: offset.saturating_sub(zero),
        error: error.saturating_add(zero_error),
        compared,
        agreeing,
    };
    group.iter().map(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn bound(a: u32, b: u32, lower: i64, upper: i64) -> PairBound {
        PairBound { a: InstanceId(a), b: InstanceId(b), lower: lower * MS, upper: upper * MS }
    }

    fn offsets(bounds: &[PairBound]) -> Vec<(u32, i64)> {
        solve(bounds, &[]).iter().map(|offset| (offset.instance.0, offset.offset / MS)).collect()
    }

    #[test]
    fn the_majority_is_the_reference() {
        let bounds = [bound(0, 1, 6_998, 7_002), bound(1, 2, -7_003, -6_997), bound(2, 3, -1, 1)];
        assert_eq!(offsets(&bounds), [(0, 0), (1, 7_000), (2, 0), (3, 0)]);
        assert_eq!(solve(&bounds, &[])[1].agreeing, 3);
    }

    #[test]
    fn of_two_that_disagree_the_one_whose_records_come_at_once_is_right() {
        let bounds = [bound(0, 1, -7_001, -6_999)];
        let receipts = |first: i64, second: i64| {
            [
                Receipt { instance: InstanceId(0), ahead: first * MS },
                Receipt { instance: InstanceId(1), ahead: second * MS },
            ]
        };
        let behind = solve(&bounds, &receipts(-20, -7_020));
        assert_eq!((behind[0].offset, behind[1].offset), (0, -7_000 * MS));
        let ahead = solve(&bounds, &receipts(6_980, -20));
        assert_eq!((ahead[0].offset, ahead[1].offset), (7_000 * MS, 0));
    }

    #[test]
    fn the_chain_that_adds_least_error_is_taken() {
        let bounds = [bound(0, 1, -500, 700), bound(0, 2, 9, 11), bound(2, 1, -11, -9)];
        let solved = solve(&bounds, &[]);
        assert_eq!(solved[1].offset, 0);
        assert!(solved.iter().all(|offset| offset.error <= 4 * MS), "{solved:?}");
    }

    #[test]
    fn bounds_that_contradict_themselves_and_hosts_without_any_are_left_out() {
        assert!(solve(&[bound(0, 1, 5, -5)], &[]).is_empty());
        assert!(solve(&[], &[Receipt { instance: InstanceId(4), ahead: 0 }]).is_empty());
        let hostile = [PairBound { a: InstanceId(0), b: InstanceId(1), lower: i64::MIN, upper: i64::MAX }];
        assert!(solve(&hostile, &[]).iter().any(|offset| offset.error >= i64::MAX / 2), "nothing is sure");
        let extreme = [PairBound { a: InstanceId(0), b: InstanceId(1), lower: i64::MIN, upper: i64::MIN + 1 }];
        assert_eq!(solve(&extreme, &[]).len(), 2);
    }

    #[test]
    fn a_chain_of_thousands_is_solved() {
        let bounds: Vec<PairBound> = (0..10_000).map(|n| bound(n, n + 1, 0, 0)).collect();
        assert!(solve(&bounds, &[]).iter().all(|offset| offset.offset == 0 && offset.compared == 10_001));
    }
}
