//! Numbers of a diagnosis as people say them.

use truegreen_model::contrast::Explanation;

/// `4 %`, `0.3 %`; what is not all or nothing is not called so.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        p if p <= 0.0 => "0 %".to_owned(),
        p if p < 0.05 => "less than 0.1 %".to_owned(),
        p if p < 9.95 => format!("{p:.1} %"),
        p if p > 99.0 && p < 100.0 => "more than 99 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// How much more often it fails inside, with what that is between.
pub(super) fn times_as_often(of: &Explanation) -> String {
    let [low, high] = of.interval;
    let known = of.risk_ratio.is_finite() && of.risk_ratio > 0.0;
    match (known, of.rate_outside <= 0.0) {
        (false, _) => "cannot be told".to_owned(),
        (true, true) if low >= 1.0 => format!("none fails without it; at least {} times as often", number(low)),
        (true, true) => "none fails without it, which few as these may be by chance".to_owned(),
        (true, false) if low.is_finite() && high.is_finite() => format!(
            "{} times as often (between {} and {} times, with 95 % confidence)",
            number(of.risk_ratio),
            number(low),
            number(high)
        ),
        (true, false) => format!("{} times as often", number(of.risk_ratio)),
    }
}

/// How often chance does as much.
pub(super) fn by_chance(p_value: f64) -> String {
    match p_value {
        p if !(0.0..=1.0).contains(&p) => "not known".to_owned(),
        p if p < 1e-9 => "less than once in a billion".to_owned(),
        p if p < 1e-6 => "less than once in a million".to_owned(),
        p if p < 0.001 => "less than once in a thousand".to_owned(),
        p if p < 0.05 => format!("{:.1} %", 100.0 * p),
        p => format!("{:.0} %: may be chance", 100.0 * p),
    }
}

fn number(ratio: f64) -> String {
    match ratio {
        r if r >= 99.5 => format!("{r:.0}"),
        r if r >= 9.95 => format!("{r:.0}"),
        r => format!("{r:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_they_are_known() {
        let shares = [0.0, 0.0004, 0.021, 0.5, 0.999, 1.0];
        assert_eq!(shares.map(percent), ["0 %", "less than 0.1 %", "2.1 %", "50 %", "more than 99 %", "100 %"]);
        let of = |risk_ratio, interval, rate_outside| {
            times_as_often(&Explanation { risk_ratio, interval, rate_outside, ..Explanation::default() })
        };
        assert_eq!(of(12.4, [8.0, 18.25], 0.01), "12 times as often (between 8.0 and 18 times, with 95 % confidence)");
        assert_eq!(of(300.0, [41.0, 2_000.0], 0.0), "none fails without it; at least 41 times as often");
        assert_eq!(of(f64::NAN, [0.0, 0.0], 0.0), "cannot be told");
        assert_eq!(by_chance(1e-30), "less than once in a billion");
        assert_eq!(by_chance(0.3), "30 %: may be chance");
        assert_eq!(by_chance(f64::NAN), "not known");
    }
}
