//! Spans of time in buckets of a tenth, for their high quantiles.

use std::time::Duration;

/// Each bucket is this much longer than the one before.
const GROWTH: f64 = 1.1;
/// Up to some 70 years from a microsecond on.
const BUCKETS: usize = 520;

/// How often something took how long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    counts: Vec<u32>,
    total: u32,
    longest: Duration,
}

impl Gaps {
    pub(crate) fn add(&mut self, gap: Duration) {
        let bucket = bucket(gap);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.longest = self.longest.max(gap);
    }

    /// How many took longer, as far as buckets tell.
    pub(crate) fn beyond(&self, limit: Duration) -> u32 {
        let above = bucket(limit) + 1;
        self.counts.iter().skip(above).sum()
    }

    /// The upper end of the bucket that holds this quantile, at most the longest.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let wanted = (f64::from(self.total) * quantile).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                let micros = GROWTH.powi(bucket as i32 + 1);
                return Some(Duration::from_nanos((micros * 1_000.0) as u64).min(self.longest));
            }
        }
        Some(self.longest)
    }
}

fn bucket(gap: Duration) -> usize {
    let micros = gap.as_nanos() as f64 / 1_000.0;
    let bucket = if micros <= 1.0 { 0 } else { (micros.ln() / GROWTH.ln()) as usize };
    bucket.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_tenth_too_long() {
        let mut gaps = Gaps::default();
        (1..=10_000u64).for_each(|n| gaps.add(Duration::from_millis(n)));
        let q = gaps.quantile(0.99).unwrap();
        assert!((9_900..=10_890).contains(&q.as_millis()), "{q:?}");
        assert_eq!(gaps.quantile(1.0), Some(Duration::from_secs(10)));
        let beyond = gaps.beyond(Duration::from_secs(5));
        assert!((4_500..=5_000).contains(&beyond), "{beyond}");
        assert_eq!(Gaps::default().quantile(0.5), None);
    }
}
