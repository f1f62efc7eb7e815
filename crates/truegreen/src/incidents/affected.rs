//! Who was affected: written down while it is known, so that they can be made whole.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use truegreen_model::incident::{Affected, AffectedCount, AffectedKey, Incident};

use super::shelf;
use super::{Error, Inside};
use crate::lookup::when;
use crate::wording;

/// Most that are listed of one incident.
pub(super) const MAX_AFFECTED: usize = 100_000;

/// Those whom a finding is about, as far as they are remembered.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Cases {
    keys: Vec<AffectedKey>,
    newest: Option<(u64, String)>,
}

impl Cases {
    pub(super) fn add(&mut self, keys: Vec<AffectedKey>) {
        for key in keys {
            if let Some(at) = when::nanos(&key.entered_at).filter(|at| self.newest.as_ref().is_none_or(|(n, _)| n < at))
            {
                self.newest = Some((at, key.entered_at.clone()));
            }
            if self.keys.len() <= MAX_AFFECTED {
                self.keys.push(key);
            }
        }
    }

    /// When the newest of them began.
    pub(super) fn newest(&self) -> Option<String> {
        self.newest.as_ref().map(|(_, at)| at.clone())
    }
}

/// Adds what is known now to what was written down, and counts it. `known` has an entry for each finding of the incident.
pub(super) fn write_down(inside: &Inside, incident: &Incident, known: Vec<Option<Cases>>) -> Result<Affected, Error> {
    let _turn = inside.listing.lock().unwrap_or_else(PoisonError::into_inner);
    let id = incident.id.clone();
    let shelf = || inside.shelf.read().unwrap_or_else(PoisonError::into_inner);
    let path = shelf().affected_path(&id);
    let before = match &path {
        Some(path) => shelf::read_affected(path)?,
        None => shelf().affected_in_memory(&id),
    };
    let affected = together(incident, before.clone(), known);
    if affected.keys != before {
        match &path {
            Some(path) => shelf::write_affected(path, &affected.keys)?,
            None => inside.shelf_mut().put_affected(&id, affected.keys.clone()),
        }
    }
    if affected.count != incident.affected {
        let count = affected.count.clone();
        inside.write(move |shelf| {
            let mut incident = shelf.get(&id).cloned().ok_or_else(|| Error::Unknown(id.clone()))?;
            incident.affected = count;
            Ok((incident, ()))
        })?;
    }
    Ok(affected)
}

/// Each key once, the latest word on it, by flow, key and time.
fn together(incident: &Incident, before: Vec<AffectedKey>, known: Vec<Option<Cases>>) -> Affected {
    let is_about_requests = known.iter().any(|cases| cases.as_ref().is_some_and(|cases| !cases.keys.is_empty()));
    let now: Vec<AffectedKey> = known.into_iter().flatten().flat_map(|cases| cases.keys).collect();
    let name = |key: &AffectedKey| (key.flow.clone(), key.key.clone(), key.entered_at.clone());
    let newer: BTreeSet<_> = now.iter().map(name).collect();
    let mut keys: Vec<AffectedKey> = before.into_iter().filter(|key| !newer.contains(&name(key))).collect();
    keys.extend(now);
    // Keys that a finding names, of which nothing else is known any more.
    for finding in &incident.findings {
        for example in &finding.examples {
            if !keys.iter().any(|key| key.key == *example && key.flow == finding.flow) {
                keys.push(AffectedKey { flow: finding.flow.clone(), key: example.clone(), ..AffectedKey::default() });
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    let all = keys.len();
    keys.truncate(MAX_AFFECTED);
    let count = count(incident, all as u64, keys.len() as u64, is_about_requests || all > 0);
    Affected { count, keys }
}

fn count(incident: &Incident, known: u64, listed: u64, is_about_requests: bool) -> AffectedCount {
    let told: u64 = incident.findings.iter().map(|finding| finding.count).sum();
    let counted = told.max(known);
    let is_complete = is_about_requests && listed == counted;
    let by_trace = incident.findings.iter().any(|finding| finding.flow.is_empty());
    let says = if !is_about_requests {
        "its findings are about no single requests".to_owned()
    } else if is_complete {
        format!("all are listed: {}", wording::count(listed, "key"))
    } else if listed < known {
        format!("{listed} of {counted} are listed, which is as many as a list holds")
    } else if by_trace {
        format!("{listed} of {counted} are listed: of what no contract names only the latest traces are known")
    } else {
        format!("{listed} of {counted} are listed: the others were forgotten before they were written down")
    };
    AffectedCount { listed, counted, is_complete, says }
}

#[cfg(test)]
mod tests {
    use truegreen_model::report::FindingReport;

    use super::*;

    fn key(name: &str, verdict: &str) -> AffectedKey {
        AffectedKey {
            flow: "orders".to_owned(),
            key: name.to_owned(),
            entered_at: "2026-01-01T10:00:00Z".to_owned(),
            verdict: verdict.to_owned(),
            ..AffectedKey::default()
        }
    }

    fn incident(count: u64, examples: &[&str]) -> Incident {
        let examples = examples.iter().map(|one| (*one).to_owned()).collect();
        let finding = FindingReport { flow: "orders".to_owned(), count, examples, ..FindingReport::default() };
        Incident { findings: vec![finding], ..Incident::default() }
    }

    fn cases(keys: Vec<AffectedKey>) -> Vec<Option<Cases>> {
        let mut cases = Cases::default();
        cases.add(keys);
        vec![Some(cases)]
    }

    #[test]
    fn what_was_written_down_and_what_is_known_now_make_one_list() {
        let before = vec![key("o-1", "unknown"), key("o-2", "unaccounted")];
        let now = cases(vec![key("o-1", "unaccounted"), key("o-3", "unaccounted")]);
        let affected = together(&incident(3, &["o-3"]), before, now);
        let told: Vec<_> = affected.keys.iter().map(|one| (one.key.as_str(), one.verdict.as_str())).collect();
        assert_eq!(told, [("o-1", "unaccounted"), ("o-2", "unaccounted"), ("o-3", "unaccounted")]);
        assert!(affected.count.is_complete, "{:?}", affected.count);
    }

    #[test]
    fn a_list_that_lacks_somebody_says_so() {
        let affected = together(&incident(5, &["o-9"]), Vec::new(), cases(vec![key("o-1", "unaccounted")]));
        assert_eq!((affected.count.listed, affected.count.counted, affected.count.is_complete), (2, 5, false));
        assert!(affected.count.says.contains("2 of 5 are listed: the others were forgotten"));
        let none = together(&incident(5, &[]), Vec::new(), vec![None]);
        assert_eq!(none.count.says, "its findings are about no single requests");
        let many = (0..MAX_AFFECTED + 5).map(|n| key(&n.to_string(), "unaccounted")).collect();
        let affected = together(&incident(0, &[]), Vec::new(), cases(many));
        assert_eq!((affected.keys.len(), affected.count.is_complete), (MAX_AFFECTED, false));
    }
}
