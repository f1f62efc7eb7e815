//! Evidence to probabilities: each change either is the cause or not, exactly one is, or none of them.

use truegreen_model::change::{ChangeEvidence, RankingVerdict};

use super::statistics::evidence;

/// Share of incidents that no change of one's own is behind, before anything is known. Operators of large systems find about
/// seven in ten outages to be caused by changes.
const NONE: f64 = 0.3;
/// A cause that stands out is three times as probable as everything else together.
const STANDS_OUT: f64 = 0.75;
/// Evidence of less than one in three is not worth more than a bare mention.
const ALIKE: f64 = 3.0;

/// When something was noticed to begin, in minutes since 1970.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Onset {
    pub(super) at: f64,
    pub(super) earliest: f64,
    pub(super) latest: f64,
    /// By how much the clock of who told of the change may differ.
    pub(super) clocks: f64,
}

/// Evidence of the time between a change and an onset. A cause shows at some time during its roll-out or soon after it (half
/// within minutes, most within an hour, some later); what is no cause was at any time within `window` minutes. Clocks differ,
/// and the onset is known only so well.
pub(super) fn of_time(at: f64, until: Option<f64>, onset: Onset, window: f64) -> f64 {
    const UNTOLD_ROLL_OUT: f64 = 20.0;
    let spread = onset.clocks.hypot((onset.latest - onset.earliest) / 4.0);
    let lag = onset.at - at;
    let after = |lag: f64| {
        let of_all = |mean: f64| (-lag / mean).exp() / mean;
        if lag < 0.0 {
            0.0
        } else {
            0.5 * of_all(4.0) + 0.4 * of_all(20.0) + if lag < window { 0.1 / window } else { 0.0 }
        }
    };
    // Seen through the clocks' error, in steps of a fifth of it.
    let seen = |lag: f64| {
        let weigh = |step: i32| (-f64::from(step * step) / 50.0).exp();
        let (sum, weights) = (-15..=15).fold((0.0, 0.0), |(sum, weights), step| {
            (sum + weigh(step) * after(lag + f64::from(step) * spread / 5.0), weights + weigh(step))
        });
        sum / weights
    };
    let rolled_out_in = |minutes: f64| {
        let minutes = minutes.clamp(0.0, 240.0);
        let steps = minutes.ceil() as i32;
        let done = |step: i32| minutes * f64::from(step) / f64::from(steps.max(1));
        (0..=steps).map(|step| seen(lag - done(step))).sum::<f64>() / f64::from(steps + 1)
    };
    let density = match until {
        Some(until) => rolled_out_in(until - at),
        None => f64::midpoint(rolled_out_in(0.0), rolled_out_in(UNTOLD_ROLL_OUT)),
    };
    // One in a thousand is told with a wrong time, wherever that is.
    (0.999 * density * window + 0.001).ln()
}

/// Evidence of how long it went on before it was noticed, in minutes. What is noticed has mostly begun minutes ago; what has
/// gone on for hours was hardly what was noticed.
pub(super) fn of_notice(minutes: f64) -> f64 {
    (0.8 * (-minutes.max(0.0) / 20.0).exp() + 0.2).ln()
}

/// Evidence of where the degradation starts: `explained` is the share of it that a service further down explains. Nine of ten
/// origins call nobody who degraded in the same way; of those that merely suffer, about one in seven.
pub(super) fn of_origin(explained: f64) -> f64 {
    let (origin, victim) = ((0.9f64 / 0.15).ln(), (0.1f64 / 0.85).ln());
    origin + (victim - origin) * explained
}

/// Evidence of how much of what degraded lies on the way to it: a cause reaches most, something by the way little.
pub(super) fn of_reach(share: f64) -> f64 {
    ((0.05 + share) / 0.35).ln()
}

/// Evidence of a test that shows an effect, as far as its p-value goes.
pub(super) fn of_effect(p: f64) -> f64 {
    evidence(p)
}

/// Evidence of changed instances that are worse than the others, beyond that they are worse than before: a canary rarely is
/// by chance, but one instance may always be the odd one.
pub(super) fn of_apart(p: f64) -> f64 {
    evidence(p).min(4.0)
}

/// No effect is seen where one as large as the incident's would be seen: one in fifty causes looks so.
pub(super) const NO_EFFECT: f64 = -3.9;
/// No effect is seen, nor could be.
pub(super) const UNSEEN_EFFECT: f64 = -0.3;

/// The probability of each, and that of none of them. `alone` holds for each service what speaks for its having failed by
/// itself, changed or not: that a service failed is no evidence against its changes alone. Besides, the cause may be outside
/// what is seen.
pub(super) fn shares(all: &[ChangeEvidence], alone: &[f64]) -> (Vec<f64>, f64) {
    let prior = ((1.0 - NONE) / all.len().max(1) as f64).ln();
    let prior_alone = (NONE / (alone.len() + 1) as f64).ln();
    let logs: Vec<f64> = all.iter().map(|evidence| prior + evidence.total()).collect();
    let others: Vec<f64> = alone.iter().chain(&[0.0]).map(|evidence| prior_alone + evidence).collect();
    let most = logs.iter().chain(&others).copied().fold(f64::NEG_INFINITY, f64::max);
    let none: f64 = others.iter().map(|log| (log - most).exp()).sum();
    let weights: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let sum = none + weights.iter().sum::<f64>();
    (weights.iter().map(|weight| weight / sum).collect(), none / sum)
}

/// What it comes to, with how many of the first are alike. `shares` are sorted, largest first; `is_shown` says whether an
/// effect of the one at that place was seen at all.
pub(super) fn verdict(shares: &[f64], none: f64, is_shown: impl Fn(usize) -> bool) -> (RankingVerdict, usize) {
    let Some(first) = shares.first() else { return (RankingVerdict::NoneExplains, 0) };
    let alike = shares.iter().take_while(|share| **share * ALIKE > *first).count();
    let together: f64 = shares[..alike].iter().sum();
    if !is_shown(0) || none >= together {
        return (RankingVerdict::NoneExplains, 0);
    }
    if alike == 1 && *first >= STANDS_OUT {
        return (RankingVerdict::StandsOut, 1);
    }
    // One alone that does not stand out: nothing else is as probable but that none of them is.
    (RankingVerdict::Tie, alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(lag: f64, until: Option<f64>) -> f64 {
        of_time(
            1000.0,
            until.map(|until| 1000.0 + until),
            Onset { at: 1000.0 + lag, earliest: 999.0 + lag, latest: 1001.0 + lag, clocks: 1.5 },
            240.0,
        )
    }

    #[test]
    fn soon_before_the_onset_speaks_for_a_change_and_after_it_against() {
        assert!(time(2.0, None) > 2.0);
        assert!(time(2.0, None) > time(15.0, None) && time(15.0, None) > time(60.0, None));
        assert!(time(-1.0, None) > 0.0, "within the clocks' error");
        assert!(time(-15.0, None) < -6.0);
        assert!(time(25.0, Some(30.0)) > 1.0, "during a long roll-out");
    }

    #[test]
    fn scores_are_probabilities() {
        let strong = ChangeEvidence { effect: 8.0, ..ChangeEvidence::default() };
        let (shares, none) = shares(&[strong, ChangeEvidence::default(), ChangeEvidence::default()], &[]);
        assert!((shares.iter().sum::<f64>() + none - 1.0).abs() < 1e-12);
        assert!(shares[0] > 0.99);
        assert_eq!(verdict(&shares, none, |_| true), (RankingVerdict::StandsOut, 1));
        assert_eq!(verdict(&[0.45, 0.45], 0.1, |_| true), (RankingVerdict::Tie, 2));
        assert_eq!(verdict(&[0.2, 0.1], 0.7, |_| true).0, RankingVerdict::NoneExplains);
        assert_eq!(verdict(&[], 1.0, |_| true).0, RankingVerdict::NoneExplains);
    }
}
