//! Whether the first few had their effect: their journeys must be completed in the books, since they were sent.

use truegreen_model::passage::PassageReport;

use super::redrive::Canary;
use crate::lookup::when;

/// What a service's clock may be behind ours.
const CLOCKS_NANOS: u64 = 60_000_000_000;

/// What the books say of one letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Its journey is completed, and something of it was seen since it was sent.
    Completed,
    /// Its journey is known, and this is its verdict.
    Not(String),
    /// Its journey was completed before it was sent: that proves nothing.
    Before,
    /// No journey is known.
    Unknown,
}

/// Reads off an answer what became of a letter that was sent at `since` (nanoseconds).
pub fn told(report: Option<&PassageReport>, since: u64) -> Told {
    let journeys = report.map(|report| report.journeys.as_slice()).unwrap_or_default();
    let Some(latest) = journeys.iter().max_by_key(|detail| when::nanos(&detail.journey.entered_at)) else {
        return Told::Unknown;
    };
    let verdict = latest.journey.verdict.as_str();
    if !matches!(verdict, "completed" | "late") {
        return Told::Not(verdict.replace('_', "-"));
    }
    let seen = latest.seen.iter().filter_map(|seen| when::nanos(&seen.at)).max().unwrap_or_default();
    if seen.saturating_add(CLOCKS_NANOS) < since { Told::Before } else { Told::Completed }
}

/// What all of them come to, each with its letter's id. `is_over`: whether no longer is waited. None: wait.
pub fn judged(letters: &[(String, Told)], died_again: usize, is_over: bool) -> Option<Canary> {
    let of = letters.len();
    if died_again > 0 {
        return Some(Canary::Failed(format!("{died_again} of the first {of} lie dead again")));
    }
    let completed = letters.iter().filter(|(_, told)| *told == Told::Completed).count();
    if of > 0 && completed == of {
        return Some(Canary::Proven(format!("the journeys of all {of} are completed in the books")));
    }
    if !is_over {
        return None;
    }
    let failed = letters.iter().find_map(|(id, told)| match told {
        Told::Not(verdict) => Some((id, verdict)),
        _ => None,
    });
    if let Some((id, verdict)) = failed {
        return Some(Canary::Failed(format!("{completed} of the first {of} are completed in time; {id} is {verdict}")));
    }
    let known = letters.iter().filter(|(_, told)| *told != Told::Unknown).count();
    Some(Canary::Undecided(match (of, known) {
        (0, _) => "none of the first ones was sent".to_owned(),
        (_, 0) => format!("the books know no journey of the first {of}"),
        _ => {
            format!("{completed} of the first {of} are completed; of the others nothing was seen since they were sent")
        }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(verdict: &str, seen_at: &str) -> PassageReport {
        serde_json::from_value(json!({
            "asked": "o-1", "found_as": ["key"], "gaps": [], "spans": [], "logs": [], "cut": [], "notes": [],
            "journeys": [{
                "flow": "orders", "key": "o-1", "verdict": verdict, "reason": null, "after": null,
                "entered_at": "2026-01-01T00:00:00Z", "owed": {},
                "seen": [{"step": "shipped", "at": seen_at, "service": "depot", "instance": "", "trace_id": null,
                    "attempt": false, "reason": null, "sequence": 1, "offset": 0}]
            }]
        }))
        .unwrap()
    }

    #[test]
    fn only_what_was_seen_since_the_sending_proves_an_effect() {
        let since = when::nanos("2026-01-01T01:00:00Z").unwrap();
        assert_eq!(told(Some(&report("completed", "2026-01-01T01:00:01Z")), since), Told::Completed);
        assert_eq!(told(Some(&report("late", "2026-01-01T00:59:30Z")), since), Told::Completed);
        assert_eq!(told(Some(&report("completed", "2026-01-01T00:10:00Z")), since), Told::Before);
        assert_eq!(
            told(Some(&report("dead_lettered", "2026-01-01T01:00:01Z")), since),
            Told::Not("dead-lettered".into())
        );
        assert_eq!(told(None, since), Told::Unknown);
    }

    #[test]
    fn all_must_be_completed_and_none_dead_again() {
        let letter = |told: Told| ("7".to_owned(), told);
        let done = [letter(Told::Completed), letter(Told::Completed)];
        assert!(matches!(judged(&done, 0, false), Some(Canary::Proven(_))));
        assert!(matches!(judged(&done, 1, false), Some(Canary::Failed(_))), "also where the books say otherwise");
        let open = [letter(Told::Completed), letter(Told::Not("open".into()))];
        assert_eq!(judged(&open, 0, false), None);
        assert_eq!(
            judged(&open, 0, true),
            Some(Canary::Failed("1 of the first 2 are completed in time; 7 is open".into()))
        );
        assert!(matches!(judged(&[letter(Told::Unknown)], 0, true), Some(Canary::Undecided(_))));
        assert!(matches!(judged(&[letter(Told::Before)], 0, true), Some(Canary::Undecided(_))));
        assert!(matches!(judged(&[], 0, true), Some(Canary::Undecided(_))));
    }
}
