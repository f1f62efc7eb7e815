//! The axis of a waterfall. A journey is milliseconds of work between minutes of waiting: drawn to one scale, all the
//! work would be a dot. So stretches in which nothing runs are drawn shorter than they are, and marked.

/// Where each time stands, from 0 to 1.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Times in order, each with its place.
    knots: Vec<(u64, f64)>,
    breaks: Vec<f64>,
}

/// A wait drawn at less than this share of its length, measured by the work's scale, is marked.
const MARKED_BELOW: f64 = 0.5;

impl Scale {
    /// For these stretches of work, from and to; a moment is a stretch from and to itself.
    pub fn of(stretches: impl IntoIterator<Item = (u64, u64)>) -> Scale {
        let mut stretches: Vec<(u64, u64)> = stretches.into_iter().map(|(from, to)| (from, to.max(from))).collect();
        stretches.sort_unstable();
        let mut busy: Vec<(u64, u64)> = Vec::new();
        for (from, to) in stretches {
            match busy.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => busy.push((from, to)),
            }
        }
        let length = |(from, to): (u64, u64)| (to - from) as f64;
        let work: f64 = busy.iter().map(|stretch| length(*stretch)).sum();
        let waits: Vec<f64> = busy.windows(2).map(|pair| length((pair[0].1, pair[1].0))).collect();
        // All waits together are drawn no longer than the work; where there is no work, each is as long as the others.
        let share = if work > 0.0 { work / waits.len().max(1) as f64 } else { 1.0 };
        let drawn: Vec<f64> = waits.iter().map(|wait| wait.min(share)).collect();
        let whole = (work + drawn.iter().sum::<f64>()).max(f64::MIN_POSITIVE);

        let mut scale = Scale { knots: Vec::new(), breaks: Vec::new() };
        let mut place = 0.0;
        for (n, stretch) in busy.iter().enumerate() {
            scale.knots.push((stretch.0, place));
            place += length(*stretch) / whole;
            scale.knots.push((stretch.1, place));
            if let (Some(drawn), Some(wait)) = (drawn.get(n), waits.get(n)) {
                let width = drawn / whole;
                if *drawn < wait * MARKED_BELOW {
                    scale.breaks.push(place + width / 2.0);
                }
                place += width;
            }
        }
        scale
    }

    /// Where a time stands.
    pub fn place(&self, at: u64) -> f64 {
        let behind = self.knots.partition_point(|knot| knot.0 <= at);
        let Some(before) = behind.checked_sub(1).and_then(|index| self.knots.get(index)) else { return 0.0 };
        let Some(after) = self.knots.get(behind) else { return before.1.min(1.0) };
        let way = (at - before.0) as f64 / (after.0 - before.0) as f64;
        (before.1 + way * (after.1 - before.1)).clamp(0.0, 1.0)
    }

    /// Where waits are drawn much shorter than they were.
    pub fn breaks(&self) -> &[f64] {
        &self.breaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_drawn_to_scale() {
        let scale = Scale::of([(100, 200), (120, 150), (200, 300)]);
        assert_eq!([100, 150, 300, 999, 1].map(|at| scale.place(at)), [0.0, 0.25, 1.0, 1.0, 0.0]);
        assert!(scale.breaks().is_empty());
    }

    #[test]
    fn long_waits_are_shortened_and_marked() {
        let scale = Scale::of([(0, 100), (1_000_000, 1_000_000)]);
        assert_eq!([0, 100, 1_000_000].map(|at| scale.place(at)), [0.0, 0.5, 1.0]);
        assert_eq!(scale.breaks(), [0.75]);
    }

    /// Scenario: only moments, or nothing. Guarantee: places are still places.
    #[test]
    fn moments_alone_stand_apart() {
        let scale = Scale::of([(5, 5), (9, 9), (700, 3)]);
        assert_eq!([5, 9, 700].map(|at| scale.place(at)), [0.0, 0.5, 1.0]);
        assert_eq!(Scale::of([(7, 7)]).place(7), 0.0);
        assert_eq!(Scale::of([]).place(7), 0.0);
    }
}
