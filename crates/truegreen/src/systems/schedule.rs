//! When a system is asked: soon after the start, then at regular times of its own, so that two hundred systems are not asked
//! in the same instant, and the same ones at the same times after every restart.

use std::time::Duration;

use rapidhash::v3::rapidhash_v3;

/// The first time is within this.
const SOON: Duration = Duration::from_secs(5);

/// When it is asked next, counted from the start, where so much has passed since. A time that was missed, since the system
/// took long to answer, is left out.
pub(super) fn next(name: &str, every: Duration, passed: Option<Duration>) -> Duration {
    let hash = rapidhash_v3(name.as_bytes());
    let Some(passed) = passed else { return part_of(SOON.min(every), hash) };
    let phase = part_of(every, hash);
    if passed < phase {
        return phase;
    }
    let rounds = (passed - phase).as_nanos() / every.as_nanos().max(1) + 1;
    phase + every.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
}

fn part_of(whole: Duration, hash: u64) -> Duration {
    // Of 2^32 parts.
    let nanos = (whole.as_nanos() * u128::from(hash >> 32)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(15);

    #[test]
    fn each_has_its_own_times_and_keeps_them() {
        let names: Vec<String> = (0..200).map(|n| format!("system-{n}")).collect();
        let mut firsts = Vec::new();
        for name in &names {
            let first = next(name, EVERY, None);
            assert!(first < SOON);
            firsts.push(first);
            let second = next(name, EVERY, Some(first));
            assert!(second > first && second <= first + EVERY * 2, "{second:?}");
            let third = next(name, EVERY, Some(second));
            assert_eq!(third - second, EVERY, "from then on regularly");
            assert_eq!(
                next(name, EVERY, Some(second + Duration::from_secs(40))) - second,
                EVERY * 3,
                "missed ones are left out"
            );
        }
        firsts.sort_unstable();
        firsts.dedup();
        assert!(firsts.len() > 190, "{}", firsts.len());
    }

    #[test]
    fn what_is_asked_often_or_seldom_is_asked_soon() {
        assert!(next("a", Duration::from_millis(10), None) < Duration::from_millis(10));
        assert!(next("a", Duration::from_secs(86_400), None) < SOON);
        let far = next("a", Duration::from_millis(1), Some(Duration::from_secs(86_400 * 365)));
        assert!(far > Duration::from_secs(86_400));
    }
}
