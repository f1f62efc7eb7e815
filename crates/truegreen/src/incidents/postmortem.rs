//! An incident by the headings of Google's book on site reliability, with the numbers filled in.

use truegreen_model::incident::{Action, Evidence, How, Hypothesis, Incident, Origin, State};
use truegreen_model::report::FindingReport;

use super::document::Document;
use super::told::Told;
use crate::lookup::when;
use crate::wording;

/// Changes that are named as a trigger.
const MAX_TRIGGERS: usize = 3;

/// When it began, as well as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) began: String,
    pub(crate) found: String,
    /// How long nobody knew; nothing where a time cannot be read.
    pub(crate) undetected: Option<u64>,
}

/// Onset to the first finding, over all findings; the diagnosis knows the onset better than the earliest failing request.
pub(crate) fn span(incident: &Incident) -> Option<Span> {
    let earliest = |of: fn(&FindingReport) -> &String| {
        let times = incident.findings.iter().map(of).filter(|at| when::nanos(at).is_some());
        times.min_by_key(|at| when::nanos(at)).cloned()
    };
    let diagnosed = incident.diagnosis.as_ref().and_then(|diagnosis| Told::of(diagnosis).onset());
    let began = diagnosed.filter(|at| when::nanos(at).is_some()).or_else(|| earliest(|finding| &finding.onset))?;
    let found = earliest(|finding| &finding.first_seen)?;
    let undetected = when::nanos(&found).zip(when::nanos(&began)).map(|(found, began)| found.saturating_sub(began));
    Some(Span { began, found, undetected })
}

/// The whole record. `now` is RFC 3339.
pub(crate) fn document(incident: &Incident, now: &str) -> Document {
    let mut out = Document::new(&format!("{}: {}", incident.id, incident.title));
    summary(&mut out, incident, now);
    impact(&mut out, incident);
    root_causes(&mut out, incident);
    trigger(&mut out, incident);
    resolution(&mut out, incident);
    detection(&mut out, incident);
    actions(&mut out, incident);
    lessons(&mut out, incident);
    timeline(&mut out, incident);
    out
}

fn summary(out: &mut Document, incident: &Incident, now: &str) {
    out.heading("Summary");
    let by = if incident.opened_by.is_empty() { String::new() } else { format!(" by {}", incident.opened_by) };
    out.paragraph(&format!("Opened at {}{by}. Status: {}.", when::stamp(&incident.opened_at), incident.standing()));
    let told = incident.diagnosis.as_ref().map(Told::of);
    let symptom = incident.findings.iter().map(|finding| {
        // Of several findings one may be at the bottom of the others.
        let relation = told.and_then(|told| told.relation(&finding.id));
        let what = if relation.as_deref() == Some("cause") { "Explains it" } else { "Symptom" };
        format!("{what}: {}", wording::sentence(&finding.title))
    });
    out.list(symptom.chain([format!("Cause: {}", wording::sentence(&cause(incident)))]));
    if incident.state == State::Open
        && let Some(open_for) = when::nanos(now).zip(when::nanos(&incident.opened_at))
    {
        out.paragraph(&format!(
            "As of {}: open for {}.",
            when::stamp(now),
            when::duration(open_for.0.saturating_sub(open_for.1))
        ));
    }
    out.list(incident.recurrences.iter().map(|one| wording::sentence(&one.says)));
}

/// What is known of the cause, and how surely.
fn cause(incident: &Incident) -> String {
    if let Some(closing) = incident.closing.as_ref().filter(|closing| closing.how == How::Fixed) {
        return format!("{} (closed as fixed)", closing.what);
    }
    match &incident.diagnosis {
        Some(diagnosis) => {
            let told = Told::of(diagnosis);
            format!("{}: {}", told.verdict(), told.says())
        }
        None => "not known; no diagnosis was made".to_owned(),
    }
}

fn impact(out: &mut Document, incident: &Incident) {
    out.heading("Impact");
    let told = incident.diagnosis.as_ref().map(Told::of);
    let mut lines = Vec::new();
    let diagnosed = told.and_then(Told::keys).filter(|keys| *keys != incident.affected.counted);
    let diagnosed = diagnosed.map(|keys| format!("; {keys} when it was diagnosed")).unwrap_or_default();
    lines.push(format!("Keys affected: {}{diagnosed}", incident.affected.counted));
    match told.and_then(Told::users) {
        Some(users) => lines.push(format!("Users, customers or tenants among those that were looked at: {users}")),
        None => lines.push("Users: no record names any, or none was looked at".to_owned()),
    }
    lines.extend(told.and_then(Told::radius_says));
    let listed = if incident.affected.says.is_empty() { "not listed yet" } else { &incident.affected.says };
    lines.push(format!("Who they are, by truegreen incident affected {}: {listed}", incident.id));
    out.list(lines);
    let row = |finding: &FindingReport| {
        vec![
            finding.id.clone(),
            finding.kind.clone(),
            finding.count.to_string(),
            finding.status.clone(),
            finding.title.clone(),
        ]
    };
    out.table(&["finding", "kind", "count", "status", "what"], incident.findings.iter().map(row).collect());
}

fn root_causes(out: &mut Document, incident: &Incident) {
    out.heading("Root Causes");
    if incident.state == State::Patched {
        out.paragraph("The symptom is patched. The cause stays.");
    }
    let Some(told) = incident.diagnosis.as_ref().map(Told::of) else {
        out.paragraph("No diagnosis was made.");
        hypotheses(out, incident);
        return;
    };
    out.paragraph(&format!("{}: {} (as of {})", told.verdict(), told.says(), when::stamp(&told.as_of())));
    out.list(told.reasons());
    let suspect = |one: super::told::Suspect| vec![one.rank.to_string(), one.title, one.evidence.join("; ")];
    out.table(&["rank", "suspect", "evidence"], told.suspects().into_iter().map(suspect).collect());
    out.list(told.related_lines());
    out.list(told.difference_lines().into_iter().map(|line| format!("What is different: {line}")));
    out.list(told.ruled_out().into_iter().map(|line| format!("Ruled out: {line}")));
    if let Some(compared) = told.compared() {
        out.paragraph(&format!("What was compared: {}", wording::sentence(&compared)));
    }
    hypotheses(out, incident);
}

fn hypotheses(out: &mut Document, incident: &Incident) {
    let said = |evidence: &[Evidence]| evidence.iter().map(|one| one.text.as_str()).collect::<Vec<_>>().join("; ");
    let row = |one: &Hypothesis| {
        let by = if one.origin == Origin::Drafted { "drafted".to_owned() } else { one.by.clone() };
        vec![one.number.to_string(), one.text.clone(), by, said(&one.supports), said(&one.against)]
    };
    out.table(&["no.", "hypothesis", "by", "for", "against"], incident.hypotheses.iter().map(row).collect());
}

fn trigger(out: &mut Document, incident: &Incident) {
    out.heading("Trigger");
    let changes = incident.diagnosis.as_ref().map(|diagnosis| Told::of(diagnosis).changes()).unwrap_or_default();
    if changes.is_empty() {
        out.paragraph("No change is known that may have set it off.");
    }
    out.list(changes.into_iter().take(MAX_TRIGGERS).map(|change| {
        let at = if change.at.is_empty() { String::new() } else { format!("{}: ", when::stamp(&change.at)) };
        let why = if change.reasons.is_empty() { String::new() } else { format!(" ({})", change.reasons.join("; ")) };
        format!("{at}{}{why}", change.title)
    }));
}

fn resolution(out: &mut Document, incident: &Incident) {
    out.heading("Resolution");
    match &incident.closing {
        None => out.paragraph("It is open."),
        Some(closing) => {
            let (by, at) = (if closing.by.is_empty() { "somebody" } else { &closing.by }, when::stamp(&closing.at));
            match closing.how {
                How::Fixed => out.paragraph(&format!("Fixed, its cause, by {by} at {at}: {}", closing.what)),
                How::Patched => {
                    out.paragraph(&format!("Symptom patched, cause stays. By {by} at {at}: {}", closing.what));
                }
            }
        }
    }
    if let Some(since) = &incident.watched_since {
        out.paragraph(&format!("Watched since {}: what comes back opens this incident again.", when::stamp(since)));
    }
    out.list(incident.earlier_closings.iter().map(|closing| {
        format!("Earlier closed as {} at {}: {}", closing.how.name(), when::stamp(&closing.at), closing.what)
    }));
}

fn detection(out: &mut Document, incident: &Incident) {
    out.heading("Detection");
    let Some(span) = span(incident) else {
        out.paragraph("When it began is not known.");
        return;
    };
    let undetected = span.undetected.map_or("not known".to_owned(), when::duration);
    let mut lines = vec![
        format!("Began: {}", when::stamp(&span.began)),
        format!("Found: {}, by Truegreen", when::stamp(&span.found)),
        format!("Time undetected: {undetected}"),
    ];
    lines.extend(incident.diagnosis.as_ref().and_then(|diagnosis| Told::of(diagnosis).onset_says()));
    out.list(lines);
}

fn actions(out: &mut Document, incident: &Incident) {
    out.heading("Action Items");
    if incident.actions.is_empty() {
        out.paragraph("None is written down.");
    }
    let row = |action: &Action| {
        let done = action.done_at.as_ref().map_or("open".to_owned(), |at| format!("done {}", when::stamp(at)));
        vec![action.number.to_string(), action.text.clone(), action.owner.clone(), done]
    };
    out.table(&["no.", "action", "owner", "state"], incident.actions.iter().map(row).collect());
}

/// What only people know is theirs to write; what is counted stands here.
fn lessons(out: &mut Document, incident: &Incident) {
    out.heading("Lessons Learned");
    let mut lines = Vec::new();
    if let Some(undetected) = span(incident).and_then(|span| span.undetected) {
        lines.push(format!("Nobody knew for {}.", when::duration(undetected)));
    }
    let own = incident.hypotheses.iter().filter(|one| one.origin == Origin::Person).count();
    let contradicted = incident.hypotheses.iter().filter(|one| !one.against.is_empty()).count();
    let drafted = incident.hypotheses.len() - own;
    lines.push(format!(
        "{} by people and {drafted} drafted; against {contradicted} of them something speaks.",
        wording::number_of(own, "hypothesis", "hypotheses")
    ));
    let reopened = incident.summary().reopened;
    if reopened > 0 {
        lines.push(format!("It came back {} after it was closed as fixed.", wording::count(reopened, "time")));
    }
    let open = incident.summary().open_actions;
    if open > 0 {
        lines.push(format!(
            "{} open.",
            if open == 1 { "1 action is".to_owned() } else { format!("{open} actions are") }
        ));
    }
    out.list(lines);
    out.paragraph("For those who were there to write: what went well, what went wrong, where luck helped.");
}

fn timeline(out: &mut Document, incident: &Incident) {
    out.heading("Timeline");
    let row = |entry: &truegreen_model::incident::Entry| {
        vec![when::stamp(&entry.at), entry.what.replace('_', " "), entry.by.clone(), entry.says.clone()]
    };
    out.table(&["when (UTC)", "what", "who", "in words"], incident.timeline.iter().map(row).collect());
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use truegreen_model::incident::AffectedCount;

    use super::*;
    use crate::incidents::record::{self, Change, Stamp};

    fn stamp(minute: u32) -> Stamp {
        Stamp::new("ana", format!("2026-01-01T10:{minute:02}:00Z"))
    }

    fn incident() -> Incident {
        let finding = FindingReport {
            id: "00000000000000aa".to_owned(),
            kind: "loss".to_owned(),
            flow: "orders".to_owned(),
            title: "3 journeys were seen at `published`, and never at <stock>".to_owned(),
            count: 3,
            onset: "2026-01-01T09:02:00Z".to_owned(),
            first_seen: "2026-01-01T09:30:00Z".to_owned(),
            last_seen: "2026-01-01T09:40:00Z".to_owned(),
            status: "open".to_owned(),
            ..FindingReport::default()
        };
        let mut incident = record::opened("INC-7".to_owned(), None, finding, &stamp(0)).unwrap();
        let diagnosis = json!({
            "verdict": "LIKELY", "says": "inventory skips backorders", "as_of": "2026-01-01T10:00:30Z",
            "reasons": ["one suspect explains all of it"],
            "onset": {"at": "2026-01-01T09:00:00Z", "says": "the share that fails rose from 0 % to 4 %"},
            "radius": {"keys": 3, "users": 2, "says": "3 orders of 2 customers"},
            "compared": {"failing": 3, "failing_of": 3, "healthy": 80, "healthy_of": 97, "records": 400},
            "difference": {"explanations": [{"conditions": [{"attribute": "event.type", "op": "=", "value": "backorder"}],
                "failing_share": 1.0, "healthy_share": 0.0, "risk_ratio": 160.0}]},
            "changes": [{"id": "c-1", "at": "2026-01-01T08:58:00Z", "title": "inventory 1.4.2", "reasons": ["2 min before"]}],
            "suspects": [{"rank": 1, "title": "inventory skips backorders", "service": "inventory", "operation": "apply",
                "evidence": ["no update follows"]}],
            "ruled_out": ["the broker: its queue is empty"],
            "related": [{"finding": "00000000000000bb", "relation": "cause", "title": "statements change no row",
                "why": "both are about `inventory`"}],
        });
        for (minute, change) in [
            Change::Diagnosed(Box::new(diagnosis)),
            Change::Against(1, "staging has it, too".to_owned()),
            Change::Action("count what is skipped".to_owned(), "ben".to_owned()),
            Change::Closed(How::Patched, "republished the three".to_owned()),
        ]
        .into_iter()
        .enumerate()
        {
            record::apply(&mut incident, change, &stamp(minute as u32 + 1)).unwrap();
        }
        incident.affected =
            AffectedCount { listed: 3, counted: 3, is_complete: true, says: "all are listed".to_owned() };
        record::shown(&incident)
    }

    #[test]
    fn the_record_reads_by_the_book() {
        insta::assert_snapshot!(document(&incident(), "2026-01-01T12:00:00Z").markdown());
    }

    #[test]
    fn undetected_is_from_the_onset_of_the_diagnosis_to_the_finding() {
        let span = span(&incident()).unwrap();
        assert_eq!((span.began.as_str(), span.undetected), ("2026-01-01T09:00:00Z", Some(30 * 60 * 1_000_000_000)));
    }

    #[test]
    fn an_empty_record_says_what_is_not_known() {
        let text = document(&Incident::default(), "").markdown();
        assert!(text.contains("No diagnosis was made.") && text.contains("When it began is not known."), "{text}");
    }
}
