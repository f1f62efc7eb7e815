//! When it began: where the share of failing requests changed, how exactly that is known, and whether it goes on.

use truegreen_model::diagnosis::Onset;
use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

use super::nanos;
use crate::cases::Cases;
use crate::date::{clock, rfc3339};

/// Requests that began within one stretch of time, and how many of them failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Its first instant.
    pub at: Timestamp,
    /// Its last instant.
    pub until: Timestamp,
    /// Requests that failed.
    pub failing: u64,
    /// All requests.
    pub all: u64,
}

impl Stretch {
    /// One request.
    pub fn one(at: Timestamp, is_failing: bool) -> Stretch {
        Stretch { at, until: at, failing: u64::from(is_failing), all: 1 }
    }
}

/// A log-likelihood less than the best by no more than this is within its 95 % (half of chi-square's 3.84 with one degree of
/// freedom).
const WITHIN: f64 = 1.92;
/// As improbable as this is not by chance.
const BY_CHANCE: f64 = 0.05;

/// A change is only told where it gains so much log-likelihood over none: half of 8.85, the 5 % point of the largest likelihood
/// ratio over all times at which one parameter may have changed (Andrews 1993, with 15 % of the times at either end left out).
const GAIN: f64 = 4.43;

/// The point in time that parts these stretches best into one with fewer and one with more failures. They are in the order of
/// time; nothing where none failed.
pub fn onset(stretches: &[Stretch]) -> Option<Onset> {
    let first = stretches.iter().position(|stretch| stretch.failing > 0)?;
    let latest = stretches.iter().rposition(|stretch| stretch.failing > 0)?;
    let whole = part(stretches);
    let passed: u64 = stretches[latest + 1..].iter().map(|stretch| stretch.all).sum();
    let is_over = passed > 0 && (1.0 - whole.share_since).powf(passed as f64) < BY_CHANCE;
    // The latest that failed is where it ended; that it failed says nothing of when it began.
    let during = if is_over { &stretches[..latest.max(1)] } else { stretches };
    let parted = if is_over { part(during) } else { whole };
    let goes_on = if is_over { "no" } else { "yes" };
    let (at, from, until, share_before, share_since) = match parted.place {
        Some(Place { at, from, until }) => {
            let before = (at > 0).then_some(parted.share_before);
            (during[at].at, during[from].at, during[until].until, before, parted.share_since)
        }
        // Too few fail to tell more than when the first one did.
        None => {
            let all = share_of(&stretches[..=latest]);
            (stretches[first].at, stretches[0].at, stretches[first].until, (first > 0).then_some(0.0), all)
        }
    };
    Some(Onset {
        at: rfc3339(at),
        from: rfc3339(from.min(at)),
        until: rfc3339(until.max(at)),
        share_before,
        share_since,
        goes_on: goes_on.to_owned(),
        latest: rfc3339(stretches[latest].at),
        says: says(at, share_before, share_since, goes_on),
    })
}

/// When a finding about a place began: as it says itself. How far before that the first one may have been follows from how
/// often they came since.
pub(super) fn of_place(finding: &FindingReport, cases: &Cases) -> Option<Onset> {
    let latest = cases.failing.cases().map(|case| case.at).max()?;
    let at = nanos(&finding.onset);
    let (failing, healthy) = (cases.failing.offered(), cases.healthy.offered());
    // With 95 % something that comes once in a while comes within three times that.
    let until_first = 3 * latest.0.saturating_sub(at) / failing.max(1);
    let share_since = share(failing, failing + healthy);
    let is_over = matches!(finding.status.as_str(), "resolved" | "withdrawn");
    let goes_on = if is_over { "no" } else { "yes" };
    Some(Onset {
        at: finding.onset.clone(),
        from: rfc3339(Timestamp(at.saturating_sub(until_first))),
        until: finding.onset.clone(),
        share_before: None,
        share_since,
        goes_on: goes_on.to_owned(),
        latest: rfc3339(latest),
        says: says(Timestamp(at), None, share_since, goes_on),
    })
}

/// Where stretches part, if they do, and the shares before and since.
struct Parted {
    place: Option<Place>,
    share_before: f64,
    share_since: f64,
}

/// Indices of stretches: the likeliest, and between which it is.
struct Place {
    at: usize,
    from: usize,
    until: usize,
}

fn part(stretches: &[Stretch]) -> Parted {
    let sums = sums(stretches);
    let (failing, all) = sums.last().copied().unwrap_or_default();
    let likelihoods: Vec<f64> = (0..stretches.len())
        .map(|at| {
            let (failing_before, all_before) = sums[at];
            let (failing_since, all_since) = (failing - failing_before, all - all_before);
            // What fell did not begin there.
            if at > 0 && share(failing_before, all_before) >= share(failing_since, all_since) {
                return f64::NEG_INFINITY;
            }
            likelihood(failing_before, all_before) + likelihood(failing_since, all_since)
        })
        .collect();
    let best = likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let none = likelihood(failing, all);
    let within = |one: &f64| *one >= best - WITHIN;
    let place = || {
        let at = likelihoods.iter().position(|one| *one >= best)?;
        let (first, last) = (likelihoods.iter().position(within)?, likelihoods.iter().rposition(within)?);
        // It began after the last request that is still from before, whenever that was.
        Some(Place { at, from: first.saturating_sub(1), until: last.max(at) })
    };
    // All that fail from the very first on have no before, and need none.
    let place = if best - none >= GAIN || failing == all { place() } else { None };
    let (failing_before, all_before) = place.as_ref().map(|place| sums[place.at]).unwrap_or_default();
    Parted {
        place,
        share_before: share(failing_before, all_before),
        share_since: share(failing - failing_before, all - all_before),
    }
}

fn share_of(stretches: &[Stretch]) -> f64 {
    let (failing, all) = sums(stretches).last().copied().unwrap_or_default();
    share(failing, all)
}

fn says(at: Timestamp, before: Option<f64>, since: f64, goes_on: &str) -> String {
    let since = percent(since);
    let began = match before {
        Some(before) => format!("it began about {} UTC: {} failed before, {since} since", clock(at), percent(before)),
        None => format!("{since} fail since {} UTC, the first that is known: it may have been so before", clock(at)),
    };
    let goes_on = match goes_on {
        "no" => "it is over: more went well since than chance would allow",
        _ => "it goes on as far as is known",
    };
    format!("{began}; {goes_on}")
}

/// A share as people read it.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "none".to_owned(),
        part if part >= 99.95 => "all".to_owned(),
        part if part < 0.1 => "fewer than 0.1 %".to_owned(),
        part if part < 10.0 => format!("{part:.1} %"),
        part => format!("{part:.0} %"),
    }
}

/// Failing and all, of the first so many stretches.
fn sums(stretches: &[Stretch]) -> Vec<(u64, u64)> {
    let mut sums = vec![(0, 0)];
    let mut sum = (0, 0);
    for stretch in stretches {
        sum = (sum.0 + stretch.failing, sum.1 + stretch.all);
        sums.push(sum);
    }
    sums
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// The log-likelihood of so many failures at their own share.
fn likelihood(failing: u64, all: u64) -> f64 {
    let part = |count: u64| if count == 0 { 0.0 } else { count as f64 * share(count, all).ln() };
    part(failing) + part(all - failing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request each second from 1000 s on.
    fn requests(failing: impl Fn(u64) -> bool, seconds: u64) -> Vec<Stretch> {
        (0..seconds).map(|n| Stretch::one(Timestamp::from_secs(1_000 + n), failing(n))).collect()
    }

    #[test]
    fn a_failure_that_begins_is_dated_within_its_interval() {
        let onset = onset(&requests(|n| n >= 300 && n % 5 == 0, 600)).unwrap();
        assert_eq!(onset.at, "1970-01-01T00:21:40Z");
        assert!(onset.from < onset.at && onset.at <= onset.until, "{onset:?}");
        assert!(&*onset.from >= "1970-01-01T00:21:20Z", "one in five is not missed for 20 requests: {onset:?}");
        assert_eq!((onset.share_before, onset.goes_on.as_str()), (Some(0.0), "yes"));
        assert!((onset.share_since - 0.2).abs() < 0.01, "{onset:?}");
    }

    #[test]
    fn a_share_that_rises_is_dated_though_some_always_failed() {
        let onset = onset(&requests(|n| n % 50 == 0 || (n >= 400 && n % 2 == 0), 800)).unwrap();
        assert_eq!(onset.at, "1970-01-01T00:23:20Z");
        assert!((onset.share_before.unwrap() - 0.02).abs() < 0.001, "{onset:?}");
    }

    #[test]
    fn what_went_well_for_long_enough_is_over() {
        let onset = onset(&requests(|n| (300..400).contains(&n) && n % 10 == 0, 500)).unwrap();
        assert_eq!(onset.goes_on, "no");
        let soon = super::onset(&requests(|n| (300..400).contains(&n) && n % 10 == 0, 401)).unwrap();
        assert_eq!(soon.goes_on, "yes", "ten in a row that go well are no proof at one in ten");
    }

    #[test]
    fn what_was_there_from_the_first_request_has_no_before() {
        let onset = onset(&requests(|_| true, 20)).unwrap();
        assert_eq!((onset.share_before, onset.share_since), (None, 1.0));
        assert!(onset.says.contains("it may have been so before"), "{}", onset.says);
        assert_eq!(super::onset(&requests(|_| false, 20)), None);
    }
}
