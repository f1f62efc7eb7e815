//! The record of an incident as a pure state machine: what may be written into it, and what that changes. Nothing is ever
//! taken out; what is full refuses.

use serde::Deserialize;
use serde_json::Value;
use truegreen_connect::dead_letters::payload;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::incident::{Action, Closing, Entry, Evidence, How, Hypothesis, Incident, Origin, State};
use truegreen_model::report::FindingReport;

use super::signature;
use super::told::Told;
use crate::lookup::when;

/// Of a text that somebody writes.
pub(crate) const MAX_TEXT_BYTES: usize = 8 << 10;
/// Of a name that somebody goes by.
const MAX_NAME_CHARS: usize = 80;
const MAX_ENTRIES: usize = 2_000;
const MAX_HYPOTHESES: usize = 100;
/// For one hypothesis, each way.
const MAX_EVIDENCE: usize = 100;
const MAX_ACTIONS: usize = 200;
const MAX_FINDINGS: usize = 50;
/// Of a diagnosis as JSON.
pub(crate) const MAX_DIAGNOSIS_BYTES: usize = 512 << 10;
/// Suspects that become hypotheses nobody stands by yet.
const MAX_DRAFTED: usize = 5;

/// Why something cannot be written down.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// No text.
    #[error("there is nothing to write down: the text is empty")]
    Empty,
    /// A text beyond its bound.
    #[error("the text is longer than {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// A list beyond its bound.
    #[error("{0} holds as many {1} as it can")]
    Full(String, &'static str),
    /// A number that is not there.
    #[error("{0} has no {1} {2}")]
    NotThere(String, &'static str, u32),
    /// It was closed.
    #[error("{0} is closed as {1}")]
    Closed(String, &'static str),
}

/// What can be written into an incident.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Anything.
    Note(String),
    /// What may have caused it.
    Hypothesis(String),
    /// Speaks for the hypothesis of this number.
    For(u32, String),
    /// Speaks against it.
    Against(u32, String),
    /// What is to be done, and whose it is.
    Action(String, String),
    /// The action of this number is done.
    Done(u32),
    /// Made anew.
    Diagnosed(Box<Value>),
    /// Belongs to it, too.
    Finding(Box<FindingReport>),
    /// How, and what was done.
    Closed(How, String),
    /// It came back: why that is known, in words.
    Reopened(String),
}

/// Who writes, and when (RFC 3339).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// As they call themselves; empty where nobody does.
    pub by: String,
    /// When.
    pub at: String,
}

impl Stamp {
    /// What a name may be is bounded.
    pub fn new(by: &str, at: String) -> Stamp {
        Stamp { by: payload::line(by.trim(), MAX_NAME_CHARS), at }
    }
}

/// A new one.
pub(crate) fn opened(
    id: String,
    title: Option<&str>,
    finding: FindingReport,
    stamp: &Stamp,
) -> Result<Incident, Error> {
    let title = match title {
        Some(title) => payload::line(&text(title)?, MAX_TEXT_BYTES),
        None => finding.title.clone(),
    };
    let mut incident = Incident {
        id,
        title,
        opened_at: stamp.at.clone(),
        opened_by: stamp.by.clone(),
        signature: signature::signature(&finding, None),
        findings: vec![finding],
        ..Incident::default()
    };
    let says = format!("opened, from finding {}", incident.findings[0].id);
    enter(&mut incident, stamp, "opened", says)?;
    Ok(incident)
}

/// Writes it down.
///
/// # Errors
/// [`Error`]; the incident may then be changed in part, and is not to be kept.
pub(crate) fn apply(incident: &mut Incident, change: Change, stamp: &Stamp) -> Result<(), Error> {
    match change {
        Change::Note(note) => {
            let note = text(&note)?;
            enter(incident, stamp, "note", note)
        }
        Change::Hypothesis(hypothesis) => {
            let hypothesis = text(&hypothesis)?;
            let number = suppose(incident, &hypothesis, Origin::Person, stamp)?;
            enter(incident, stamp, "hypothesis", format!("hypothesis {number}: {hypothesis}"))
        }
        Change::For(number, evidence) => weigh(incident, number, &evidence, true, stamp),
        Change::Against(number, evidence) => weigh(incident, number, &evidence, false, stamp),
        Change::Action(what, owner) => {
            let what = text(&what)?;
            is_room(incident, incident.actions.len(), MAX_ACTIONS, "actions")?;
            let (number, owner) = (incident.actions.len() as u32 + 1, payload::line(owner.trim(), MAX_NAME_CHARS));
            enter(incident, stamp, "action", format!("action {number}: {what}"))?;
            incident.actions.push(Action { number, text: what, owner, at: stamp.at.clone(), done_at: None });
            Ok(())
        }
        Change::Done(number) => done(incident, number, stamp),
        Change::Diagnosed(diagnosis) => diagnosed(incident, *diagnosis, stamp),
        Change::Finding(finding) => {
            is_room(incident, incident.findings.len(), MAX_FINDINGS, "findings")?;
            enter(incident, stamp, "note", format!("finding {} belongs to it: {}", finding.id, finding.title))?;
            incident.findings.push(*finding);
            Ok(())
        }
        Change::Closed(how, what) => close(incident, how, &what, stamp),
        Change::Reopened(why) => reopen(incident, why, stamp),
    }
}

/// Its findings as they stand now, where they are still known.
pub(crate) fn refresh(incident: &mut Incident, known: &[FindingReport]) {
    for finding in &mut incident.findings {
        if let Some(now) = known.iter().find(|known| known.id == finding.id) {
            finding.clone_from(now);
        }
    }
}

/// The record as it is shown: what was written down, between what its findings and its diagnosis tell of times.
pub(crate) fn shown(incident: &Incident) -> Incident {
    let mut shown = incident.clone();
    let entry = |at: &str, what: &str, says: String| Entry {
        at: at.to_owned(),
        by: String::new(),
        what: what.to_owned(),
        says,
    };
    for finding in &incident.findings {
        let of = format!("finding {}: {}", finding.id, finding.title);
        shown.timeline.push(entry(&finding.onset, "onset", format!("the earliest entered; {of}")));
        shown.timeline.push(entry(&finding.first_seen, "found", of.clone()));
        shown.timeline.push(entry(&finding.last_seen, "last_seen", format!("the latest was found; {of}")));
    }
    let told = incident.diagnosis.as_ref().map(Told::of);
    for change in told.map(Told::changes).unwrap_or_default() {
        shown.timeline.push(entry(&change.at, "change", change.title));
    }
    shown.timeline.retain(|entry| when::nanos(&entry.at).is_some());
    // What was written down at the same time keeps its order, behind what brought it about.
    let is_written = |entry: &Entry| !matches!(&*entry.what, "onset" | "found" | "last_seen" | "change");
    shown.timeline.sort_by_key(|entry| (when::nanos(&entry.at), is_written(entry)));
    shown
}

fn done(incident: &mut Incident, number: u32, stamp: &Stamp) -> Result<(), Error> {
    let missing = Error::NotThere(incident.id.clone(), "action", number);
    let action = incident.actions.iter_mut().find(|action| action.number == number).ok_or(missing)?;
    if action.done_at.is_some() {
        return Ok(());
    }
    action.done_at = Some(stamp.at.clone());
    let says = format!("action {number} is done: {}", action.text);
    enter(incident, stamp, "done", says)
}

fn weigh(incident: &mut Incident, number: u32, evidence: &str, speaks_for: bool, stamp: &Stamp) -> Result<(), Error> {
    let evidence = text(evidence)?;
    let id = incident.id.clone();
    let missing = || Error::NotThere(id.clone(), "hypothesis", number);
    let hypothesis = incident.hypotheses.iter_mut().find(|one| one.number == number).ok_or_else(missing)?;
    let side = if speaks_for { &mut hypothesis.supports } else { &mut hypothesis.against };
    if side.len() >= MAX_EVIDENCE {
        return Err(Error::Full(id, "pieces of evidence on one side of a hypothesis"));
    }
    side.push(Evidence { at: stamp.at.clone(), by: stamp.by.clone(), text: evidence.clone() });
    let way = if speaks_for { "for" } else { "against" };
    enter(incident, stamp, "evidence", format!("{way} hypothesis {number}: {evidence}"))
}

fn suppose(incident: &mut Incident, said: &str, origin: Origin, stamp: &Stamp) -> Result<u32, Error> {
    is_room(incident, incident.hypotheses.len(), MAX_HYPOTHESES, "hypotheses")?;
    let number = incident.hypotheses.len() as u32 + 1;
    incident.hypotheses.push(Hypothesis {
        number,
        text: said.to_owned(),
        origin,
        by: if origin == Origin::Drafted { String::new() } else { stamp.by.clone() },
        at: stamp.at.clone(),
        ..Hypothesis::default()
    });
    Ok(number)
}

/// Takes a diagnosis over, without what may be secret, and drafts hypotheses of its suspects.
fn diagnosed(incident: &mut Incident, mut diagnosis: Value, stamp: &Stamp) -> Result<(), Error> {
    hide(&mut diagnosis, &Redaction::default());
    if diagnosis.to_string().len() > MAX_DIAGNOSIS_BYTES {
        return Err(Error::Full(incident.id.clone(), "bytes of a diagnosis"));
    }
    let told = Told::of(&diagnosis);
    for suspect in told.suspects().into_iter().take(MAX_DRAFTED) {
        if incident.hypotheses.iter().any(|known| known.text == suspect.title) {
            continue;
        }
        let number = suppose(incident, &suspect.title, Origin::Drafted, stamp)?;
        let drafted = incident.hypotheses.iter_mut().find(|one| one.number == number);
        let evidence = |text| Evidence { at: stamp.at.clone(), by: String::new(), text };
        drafted.into_iter().for_each(|one| one.supports = suspect.evidence.iter().cloned().map(evidence).collect());
    }
    let said = format!("{}: {}", told.verdict(), told.says());
    // The same said again is no news.
    let last = incident.timeline.iter().rev().find(|entry| entry.what == "diagnosis");
    if last.is_none_or(|last| last.says != said) {
        enter(incident, stamp, "diagnosis", said)?;
    }
    if let Some(finding) = incident.findings.first() {
        incident.signature = signature::signature(finding, Some(&diagnosis));
    }
    incident.diagnosis = Some(diagnosis);
    Ok(())
}

fn close(incident: &mut Incident, how: How, what: &str, stamp: &Stamp) -> Result<(), Error> {
    let what = text(what)?;
    // A patched symptom may be fixed later; anything else is closed once.
    match (incident.state, how) {
        (State::Open, _) | (State::Patched, How::Fixed) => {}
        (state, _) => return Err(Error::Closed(incident.id.clone(), state.name())),
    }
    incident.earlier_closings.extend(incident.closing.take());
    let says = match how {
        How::Fixed => format!("closed as fixed, its cause: {what}"),
        How::Patched => format!("closed as patched, its symptom only; the cause stays: {what}"),
    };
    enter(incident, stamp, "closed", says)?;
    (incident.state, incident.watched_since) = match how {
        How::Fixed => (State::Fixed, Some(stamp.at.clone())),
        How::Patched => (State::Patched, None),
    };
    incident.closing = Some(Closing { how, what, at: stamp.at.clone(), by: stamp.by.clone() });
    Ok(())
}

fn reopen(incident: &mut Incident, why: String, stamp: &Stamp) -> Result<(), Error> {
    if incident.state == State::Open {
        return Ok(());
    }
    incident.earlier_closings.extend(incident.closing.take());
    (incident.state, incident.watched_since) = (State::Open, None);
    enter(incident, stamp, "reopened", why)
}

fn enter(incident: &mut Incident, stamp: &Stamp, what: &str, says: String) -> Result<(), Error> {
    // How it ends is always written down.
    let may_exceed = matches!(what, "closed" | "reopened");
    if incident.timeline.len() >= MAX_ENTRIES && !may_exceed {
        return Err(Error::Full(incident.id.clone(), "entries of the timeline"));
    }
    incident.timeline.push(Entry { at: stamp.at.clone(), by: stamp.by.clone(), what: what.to_owned(), says });
    Ok(())
}

fn is_room(incident: &Incident, held: usize, most: usize, what: &'static str) -> Result<(), Error> {
    if held < most { Ok(()) } else { Err(Error::Full(incident.id.clone(), what)) }
}

/// What somebody writes: bounded, and nothing in it steers a terminal.
fn text(given: &str) -> Result<String, Error> {
    let text = payload::harmless(given.trim());
    match text.len() {
        0 => Err(Error::Empty),
        n if n > MAX_TEXT_BYTES => Err(Error::TooLong),
        _ => Ok(text),
    }
}

/// Hides secrets in texts, in fields whose names say that they are secret, and in values of attributes that do.
fn hide(value: &mut Value, redaction: &Redaction) {
    redaction.json(value);
    within(value, redaction);
}

fn within(value: &mut Value, redaction: &Redaction) {
    match value {
        Value::String(text) => *text = redaction.text(text),
        Value::Array(list) => list.iter_mut().for_each(|one| within(one, redaction)),
        Value::Object(fields) => {
            let is_secret = fields.get("attribute").and_then(Value::as_str).is_some_and(|name| redaction.hides(name));
            if is_secret && fields.get("value").is_some_and(|value| value != "") {
                fields.insert("value".to_owned(), Value::from("[hidden]"));
            }
            fields.values_mut().for_each(|one| within(one, redaction));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stamp(minute: u32) -> Stamp {
        Stamp::new("ana", format!("2026-01-01T10:{minute:02}:00Z"))
    }

    fn finding() -> FindingReport {
        FindingReport {
            id: "00000000000000aa".to_owned(),
            kind: "loss".to_owned(),
            flow: "orders".to_owned(),
            title: "3 journeys vanished".to_owned(),
            ..FindingReport::default()
        }
    }

    fn incident() -> Incident {
        opened("INC-1".to_owned(), None, finding(), &stamp(0)).unwrap()
    }

    fn whats(incident: &Incident) -> Vec<&str> {
        incident.timeline.iter().map(|entry| entry.what.as_str()).collect()
    }

    #[test]
    fn a_record_goes_from_hypothesis_to_fix() {
        let mut incident = incident();
        let diagnosis = json!({"verdict": "LIKELY", "says": "inventory skips", "suspects": [
            {"rank": 1, "title": "inventory skips backorders", "evidence": ["no update follows"]}]});
        for (minute, change) in [
            Change::Diagnosed(Box::new(diagnosis.clone())),
            Change::Diagnosed(Box::new(diagnosis)),
            Change::Hypothesis("the cache is stale".to_owned()),
            Change::Against(2, "the cache agrees with its source".to_owned()),
            Change::For(1, "seen in the code: return nil".to_owned()),
            Change::Action("add a test".to_owned(), "ben".to_owned()),
            Change::Done(1),
            Change::Closed(How::Patched, "republished".to_owned()),
            Change::Closed(How::Fixed, "backorders are handled".to_owned()),
        ]
        .into_iter()
        .enumerate()
        {
            apply(&mut incident, change, &stamp(minute as u32 + 1)).unwrap();
        }
        assert_eq!(
            whats(&incident),
            ["opened", "diagnosis", "hypothesis", "evidence", "evidence", "action", "done", "closed", "closed"]
        );
        let [drafted, own] = &incident.hypotheses[..] else { panic!("{:?}", incident.hypotheses) };
        assert_eq!((drafted.origin, drafted.supports.len(), own.against.len()), (Origin::Drafted, 2, 1));
        assert_eq!((incident.state, incident.earlier_closings.len()), (State::Fixed, 1));
        assert_eq!(incident.watched_since.as_deref(), Some("2026-01-01T10:09:00Z"));
        let again = apply(&mut incident, Change::Closed(How::Patched, "x".to_owned()), &stamp(11));
        assert_eq!(again, Err(Error::Closed("INC-1".to_owned(), "fixed")));
    }

    #[test]
    fn a_patched_symptom_is_not_watched_and_says_so() {
        let mut incident = incident();
        apply(&mut incident, Change::Closed(How::Patched, "restarted".to_owned()), &stamp(1)).unwrap();
        assert_eq!((incident.state, incident.watched_since.clone()), (State::Patched, None));
        assert_eq!(incident.standing(), "symptom patched, cause stays: restarted");
    }

    #[test]
    fn what_comes_back_is_open_again_with_all_that_was_known() {
        let mut incident = incident();
        apply(&mut incident, Change::Closed(How::Fixed, "a guard".to_owned()), &stamp(1)).unwrap();
        apply(&mut incident, Change::Reopened("it came back".to_owned()), &stamp(2)).unwrap();
        assert_eq!((incident.state, &incident.closing, &incident.watched_since), (State::Open, &None, &None));
        assert_eq!(incident.earlier_closings[0].what, "a guard");
        assert_eq!(incident.summary().reopened, 1);
    }

    #[test]
    fn what_is_written_is_bounded_and_harmless() {
        let mut incident = incident();
        let note = |incident: &mut Incident, text: &str| apply(incident, Change::Note(text.to_owned()), &stamp(1));
        assert_eq!(note(&mut incident, "  "), Err(Error::Empty));
        assert_eq!(note(&mut incident, &"x".repeat(MAX_TEXT_BYTES + 1)), Err(Error::TooLong));
        note(&mut incident, "a\x1b[2Jb").unwrap();
        assert_eq!(incident.timeline[1].says, "a\\u{1b}[2Jb");
        while incident.timeline.len() < MAX_ENTRIES {
            note(&mut incident, "more").unwrap();
        }
        assert!(matches!(note(&mut incident, "more"), Err(Error::Full(..))));
        apply(&mut incident, Change::Closed(How::Fixed, "even so".to_owned()), &stamp(2)).unwrap();
        let missing = apply(&mut incident, Change::Done(7), &stamp(3));
        assert_eq!(missing.unwrap_err().to_string(), "INC-1 has no action 7");
    }

    #[test]
    fn a_diagnosis_is_kept_without_its_secrets() {
        let mut incident = incident();
        let diagnosis = json!({"says": "token=hunter2 fails", "password": "hunter2", "difference": {"explanations":
            [{"conditions": [{"attribute": "session_token", "op": "=", "value": "hunter2"}]}]}});
        apply(&mut incident, Change::Diagnosed(Box::new(diagnosis)), &stamp(1)).unwrap();
        let kept = serde_json::to_string(&incident).unwrap();
        assert!(!kept.contains("hunter2"), "{kept}");
        let large = json!({ "says": "x".repeat(MAX_DIAGNOSIS_BYTES) });
        assert!(matches!(apply(&mut incident, Change::Diagnosed(Box::new(large)), &stamp(2)), Err(Error::Full(..))));
    }
}
