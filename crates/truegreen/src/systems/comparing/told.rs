//! What a comparison came to, as checks and in words.

use std::time::Duration;

use truegreen_connect::SystemConfig;
use truegreen_connect::config::Limit;
use truegreen_model::probe::{Check, Standing};

use super::comparison::Comparison;
use super::judge::{Outcome, Stale};
use super::value::printable;
use crate::lookup::when;
use crate::wording;

/// The share of sampled keys that are stale.
const SHARE: &str = "stale_share";
/// For how long the oldest has been.
const AGE: &str = "stale_age";
/// Keys that were compared.
const COMPARED: &str = "compared";
/// Each stale key is proven, so one is worth a look. More than one in a hundred, and that surely, is no straggler any more: it
/// is a part of the cache that nobody keeps right.
const USUAL: Limit = Limit::new(0.0, 0.01);
/// Stale keys that are shown.
const SHOWN: usize = 5;
/// Characters of a key that are shown.
const KEY: usize = 60;
/// Of one side, for 97.5 %.
const CONFIDENCE: f64 = 1.96;

/// All checks of a comparison.
pub(super) fn checks(comparison: &Comparison, config: &SystemConfig, outcome: &Outcome) -> Vec<Check> {
    let of_all = |check: Check| check.of(&comparison.name);
    if let Some(why) = nothing_compared(comparison, outcome)
        && outcome.stale.is_empty()
    {
        return vec![nothing(comparison, why)];
    }
    let limit = config.limits.get(SHARE).copied().unwrap_or(USUAL);
    vec![of_all(share(comparison, limit, outcome)), of_all(age(config, outcome)), of_all(compared(comparison, outcome))]
}

/// That nothing can be told.
pub(super) fn nothing(comparison: &Comparison, why: String) -> Check {
    Check::new(SHARE, Standing::Unknown, why).of(&comparison.name)
}

fn nothing_compared(comparison: &Comparison, outcome: &Outcome) -> Option<String> {
    let asked = wording::count(outcome.asked as u64, "key");
    match outcome {
        Outcome { asked: 0, sampled: 1.., .. } | Outcome { compared: 1.., .. } => None,
        Outcome { asked: 0, .. } => Some("nothing was compared: no key was found\nhint: see `keys`".to_owned()),
        Outcome { why: Some(why), .. } => Some(format!("nothing was compared, of {asked}: {why}")),
        _ => Some(format!("nothing was compared: none of {asked} is in {}", comparison.cache.system)),
    }
}

fn share(comparison: &Comparison, limit: Limit, outcome: &Outcome) -> Check {
    let Outcome { sampled, sampled_stale, stale, .. } = outcome;
    let share = if *sampled == 0 { 0.0 } else { *sampled_stale as f64 / *sampled as f64 };
    let observed = |standing, reason: String| Check::new(SHARE, standing, reason).observed(share, "1");
    if stale.is_empty() {
        return match not_proven(comparison, outcome) {
            Some(why) => observed(Standing::Unknown, why),
            None => observed(Standing::Pass, format!("none of {} is stale", sampled_keys(*sampled))),
        };
    }
    let surely = lower_bound(*sampled_stale, *sampled);
    let fails = limit.fail.filter(|fail| surely > *fail || (*fail == 0.0 && *sampled_stale > 0));
    let standing = match fails {
        Some(_) => Standing::Fail,
        None if limit.warn.is_some_and(|warn| share >= warn) => Standing::Warn,
        None => Standing::Pass,
    };
    let surely = fails.map(|fail| format!("; surely more than {} % are", percent(fail))).unwrap_or_default();
    let mut lines = vec![format!("{}: {}", how_many(outcome), example(comparison, &stale[0]))];
    lines.extend(stale.iter().take(SHOWN).skip(1).map(|stale| example(comparison, stale)));
    if let Some(more @ 1..) = stale.len().checked_sub(SHOWN) {
        lines.push(format!("and {}", wording::count(more as u64, "more key")));
    }
    lines[0].push_str(&surely);
    observed(standing, lines.join("\n"))
}

/// Why it is not known that none is stale.
fn not_proven(comparison: &Comparison, outcome: &Outcome) -> Option<String> {
    let Outcome { sampled, untold, compared, undecided, behind, .. } = outcome;
    let (source, within) = (&comparison.source.system, shown(comparison.within));
    if *behind > comparison.within {
        let behind = shown(*behind);
        return Some(format!("{source} is {behind} behind, more than {within}: that both say the same proves nothing"));
    }
    if untold > compared {
        let why = outcome.why.as_deref().unwrap_or("no reason was told");
        return Some(format!("{untold} of {} could not be compared: {why}", keys(outcome.asked)));
    }
    (*undecided > 0).then(|| {
        format!(
            "{undecided} of {} {}; whether for longer than {within} is told by further rounds: `--watch`, or the server",
            sampled_keys(*sampled),
            if *undecided == 1 { "differs now" } else { "differ now" },
        )
    })
}

fn how_many(outcome: &Outcome) -> String {
    let Outcome { sampled, sampled_stale, stale, .. } = outcome;
    let before = stale.len() - sampled_stale.min(&stale.len());
    let of_before = match before {
        0 => String::new(),
        before => format!(", and {before} sampled before,"),
    };
    let longest = shown(stale[0].lasted);
    let been = match stale.len() {
        1 => format!("has been stale for {longest}"),
        _ => format!("have been stale for up to {longest}"),
    };
    format!("{sampled_stale} of {}{of_before} {been}", sampled_keys(*sampled))
}

fn example(comparison: &Comparison, stale: &Stale) -> String {
    let (cache, source) = (&comparison.cache.system, &comparison.source.system);
    let (key, lasted) = (printable(&stale.key, KEY), shown(stale.lasted));
    let cached = &stale.cached;
    match &stale.source {
        Some(says) => format!("{key}: {cache} says {cached}, {source} says {says} for {lasted}"),
        None => format!("{key}: {cache} says {cached}, {source} has had no such row for {lasted}"),
    }
}

fn age(config: &SystemConfig, outcome: &Outcome) -> Check {
    let stale = &outcome.stale;
    let (Some(longest), Some(middle)) = (stale.first(), stale.get(stale.len() / 2)) else {
        return Check::pass(AGE).observed(0.0, "s");
    };
    let (most, half) = (shown(longest.lasted), shown(middle.lasted));
    let what = match stale.len() {
        1 => format!("it has been stale for {most} or longer"),
        _ => format!("the oldest has been stale for {most} or longer, half of them for {half}"),
    };
    config.judge(AGE, Limit::default(), longest.lasted.as_secs_f64(), "s", &what)
}

fn compared(comparison: &Comparison, outcome: &Outcome) -> Check {
    let Outcome { asked, compared, missed, untold, differing, behind, .. } = outcome;
    let mut parts = vec![format!("{compared} of {} compared in the last round", keys(*asked))];
    if *missed > 0 {
        parts.push(format!("{missed} not in {}", comparison.cache.system));
    }
    if *differing > 0 {
        parts
            .push(format!("{differing} differing, for no longer than {} as far as is known", shown(comparison.within)));
    }
    if *untold > 0 {
        parts.push(format!("{untold} not told of: {}", outcome.why.as_deref().unwrap_or_default()));
    }
    if *behind >= Duration::from_secs(1) {
        parts.push(format!("{} {} behind", comparison.source.system, shown(*behind)));
    }
    Check::new(COMPARED, Standing::Pass, parts.join("; ")).observed(*compared as f64, "keys")
}

fn keys(n: usize) -> String {
    wording::count(n as u64, "key")
}

fn sampled_keys(n: usize) -> String {
    wording::count(n as u64, "sampled key")
}

/// `4 min 10 s`; parts of a second do not matter here.
fn shown(lasted: Duration) -> String {
    match lasted.as_secs() {
        0 => when::duration(u64::from(lasted.subsec_nanos())),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds => when::duration(seconds.saturating_mul(1_000_000_000)),
    }
}

fn percent(share: f64) -> String {
    format!("{}", (share * 1e4).round() / 1e2)
}

/// What the share surely is at least (Wilson's interval).
fn lower_bound(stale: usize, sampled: usize) -> f64 {
    if sampled == 0 {
        return 0.0;
    }
    let (n, z) = (sampled as f64, CONFIDENCE);
    let share = stale as f64 / n;
    let middle = share + z * z / (2.0 * n);
    let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - spread) / (1.0 + z * z / n)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_weight() {
        let surely = |stale, sampled| lower_bound(stale, sampled) > 0.01;
        assert!(surely(3, 47) && surely(2, 50) && surely(20, 1000));
        assert!(!surely(1, 50) && !surely(0, 1000) && !surely(12, 1000) && !surely(0, 0));
    }
}
