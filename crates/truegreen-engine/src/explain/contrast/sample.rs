//! The rows that are searched: all of them, or of a long table a fixed sample of each side. What is reported is counted on
//! all rows.

use super::table::Table;

/// Rows times columns squared that a search may take: what bounds its time.
const WORK: usize = 12_000_000;
const FEWEST: usize = 8_192;
const MOST: usize = 65_536;

/// Numbers of the rows that are searched, in order. Failing and healthy rows may be drawn each at a share of their own, which
/// leaves odds ratios as they are; a row's fate depends on nothing but its number.
pub(super) fn rows(table: &Table, columns: usize, each_side: bool, of: impl Fn(usize) -> bool) -> Vec<u32> {
    let limit = (WORK / (columns * columns).max(1)).clamp(FEWEST, MOST);
    let all: Vec<u32> = (0..table.rows() as u32).filter(|row| of(*row as usize)).collect();
    if all.len() <= limit {
        return all;
    }
    let is_failing = |row: u32| table.bad[row as usize] > 0;
    let failing = all.iter().filter(|row| is_failing(**row)).count();
    let healthy = all.len() - failing;
    let for_failing = match each_side {
        true => failing.min((limit / 2).max(limit.saturating_sub(healthy))),
        false => (failing as u128 * limit as u128 / all.len() as u128) as usize,
    };
    let for_healthy = healthy.min(limit - for_failing);
    let share = |kept: usize, all: usize| (kept as f64 / all.max(1) as f64 * u64::MAX as f64) as u64;
    let (of_failing, of_healthy) = (share(for_failing, failing), share(for_healthy, healthy));
    all.into_iter().filter(|row| mixed(*row) <= if is_failing(*row) { of_failing } else { of_healthy }).collect()
}

fn mixed(row: u32) -> u64 {
    let mut mixed = u64::from(row).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
