//! An incident: the written record of what was thought, what was found, what was done, and whether it came back. Stable:
//! fields are added, never renamed. Times are RFC 3339.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::passage::CutReport;
use crate::report::FindingReport;

/// Where an incident stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Going on.
    #[default]
    Open,
    /// Closed; the symptom is patched, and its cause stays.
    Patched,
    /// Closed; its cause is gone, and a watch says if it is not.
    Fixed,
}

impl State {
    /// Its name in reports, pages and docs.
    pub const fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Patched => "patched",
            State::Fixed => "fixed",
        }
    }
}

/// The record of one incident.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Incident {
    /// `INC-` and a number; never given twice.
    pub id: String,
    /// One sentence.
    pub title: String,
    /// Where it stands.
    pub state: State,
    /// When it was opened.
    pub opened_at: String,
    /// Who opened it, as they called themselves.
    pub opened_by: String,
    /// Its findings, as they stood when they were last looked at; the first is the one that it was opened from.
    pub findings: Vec<FindingReport>,
    /// By what it is known again.
    pub signature: Signature,
    /// The latest diagnosis of its first finding, as it stood.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagnosis: Option<Value>,
    /// What happened and what was done, the oldest first.
    pub timeline: Vec<Entry>,
    /// What may have caused it.
    pub hypotheses: Vec<Hypothesis>,
    /// What is to be done.
    pub actions: Vec<Action>,
    /// How it was closed; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closing: Option<Closing>,
    /// How it had been closed before it was opened again, or closed better.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub earlier_closings: Vec<Closing>,
    /// Since when a watch is armed that opens it again; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub watched_since: Option<String>,
    /// Earlier incidents that are like it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub recurrences: Vec<Recurrence>,
    /// Who was affected, in numbers.
    pub affected: AffectedCount,
    /// What bounds left out.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cut: Vec<CutReport>,
}

/// By what a finding is known again: never by its id or its time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Signature {
    /// The finding's kind: the symptom.
    pub kind: String,
    /// Flow; empty where no contract names what deviates.
    pub flow: String,
    /// Last step seen before the gap.
    pub after: Option<String>,
    /// The step that is missing.
    pub before: Option<String>,
    /// `service.name`, where no contract names what deviates.
    pub service: Option<String>,
    /// The operation of that service.
    pub operation: Option<String>,
    /// The way on from there: who is at the other end, then which destination, table or partition.
    #[serde(default)]
    pub path: Vec<String>,
    /// What all failing ones have in common, in alphabetical order; empty where nothing is known of it.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// Service and operation that the diagnosis names as the cause, where it names one only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
}

/// Where a cause is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cause {
    /// `service.name`.
    pub service: String,
    /// The operation of that service; absent where it is about all of it.
    pub operation: Option<String>,
}

/// One entry of the timeline.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: String,
    /// Who did it; empty where nobody did.
    pub by: String,
    /// `onset`, `found`, `last_seen`, `change`, `opened`, `diagnosis`, `note`, `hypothesis`, `evidence`, `action`, `done`,
    /// `closed`, `reopened`.
    pub what: String,
    /// In words.
    pub says: String,
}

/// Who drew up a hypothesis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Drafted from a suspect of the diagnosis: nobody stands by it yet.
    Drafted,
    /// Somebody.
    #[default]
    Person,
}

/// What may have caused it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Hypothesis {
    /// From 1 on, within the incident.
    pub number: u32,
    /// In words.
    pub text: String,
    /// Who drew it up.
    pub origin: Origin,
    /// Their name.
    pub by: String,
    /// When.
    pub at: String,
    /// What speaks for it.
    #[serde(rename = "for")]
    pub supports: Vec<Evidence>,
    /// What speaks against it.
    pub against: Vec<Evidence>,
}

/// What speaks for or against a hypothesis.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// When it was marked.
    pub at: String,
    /// Who marked it; empty where the diagnosis did.
    pub by: String,
    /// In words.
    pub text: String,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Action {
    /// From 1 on, within the incident.
    pub number: u32,
    /// In words.
    pub text: String,
    /// Whose it is; empty where nobody's.
    pub owner: String,
    /// When it was written down.
    pub at: String,
    /// When it was done; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub done_at: Option<String>,
}

/// What was done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The cause is gone.
    Fixed,
    /// The symptom is gone, and the cause stays.
    Patched,
}

impl How {
    /// Its name in reports, pages and docs.
    pub const fn name(self) -> &'static str {
        match self {
            How::Fixed => "fixed",
            How::Patched => "patched",
        }
    }
}

/// How an incident was closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closing {
    /// Cause or symptom.
    pub how: How,
    /// The real fix, or what patched the symptom.
    pub what: String,
    /// When.
    pub at: String,
    /// Who closed it.
    pub by: String,
}

/// How like an earlier incident it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It is the same again.
    Same,
    /// The same cause, the same place or the same failing ones, with another symptom.
    AnotherFace,
}

/// An earlier incident that is like it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recurrence {
    /// Its id.
    pub incident: String,
    /// How like it is.
    pub relation: Relation,
    /// What is alike: `place`, `kind`, `conditions`, `cause`.
    pub alike: Vec<String>,
    /// What is not.
    pub differs: Vec<String>,
    /// Where it stands.
    pub state: State,
    /// How it was closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closing: Option<Closing>,
    /// All of it in one sentence.
    pub says: String,
}

/// What is known of a finding from earlier incidents.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RecurrenceReport {
    /// The finding's id.
    pub finding: String,
    /// The open incident that it belongs to.
    pub incident: Option<String>,
    /// By what it was compared.
    pub signature: Signature,
    /// The same first, then the latest.
    pub recurrences: Vec<Recurrence>,
    /// In one sentence.
    pub says: String,
}

/// Who was affected, in numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AffectedCount {
    /// Keys that are listed.
    pub listed: u64,
    /// Of so many that were counted.
    pub counted: u64,
    /// Whether nobody is missing from the list.
    pub is_complete: bool,
    /// Why it is not complete, or what is listed, in one sentence.
    pub says: String,
}

/// One that was affected.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct AffectedKey {
    /// Flow; empty where the key is a trace id.
    pub flow: String,
    /// The journey's key, or a trace id.
    pub key: String,
    /// When it entered; empty where that is not known.
    pub entered_at: String,
    /// How the journey ended; empty of a trace.
    pub verdict: String,
    /// Why, where a reason is told.
    pub reason: Option<String>,
    /// The last step that was seen of it.
    pub after: Option<String>,
}

/// Who was affected, one by one.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Affected {
    /// In numbers.
    #[serde(flatten)]
    pub count: AffectedCount,
    /// By flow and key.
    pub keys: Vec<AffectedKey>,
}

/// One incident in a list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct IncidentSummary {
    /// `INC-` and a number.
    pub id: String,
    /// One sentence.
    pub title: String,
    /// Where it stands.
    pub state: State,
    /// When it was opened.
    pub opened_at: String,
    /// When it was closed.
    pub closed_at: Option<String>,
    /// Ids of its findings.
    pub findings: Vec<String>,
    /// Actions that are open.
    pub open_actions: u64,
    /// Keys that were affected, as counted.
    pub affected: u64,
    /// How often it was opened again.
    pub reopened: u64,
    /// Where it stands, in words.
    pub says: String,
}

/// All incidents.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct IncidentList {
    /// Open ones first, then those that are only patched, then the latest first.
    pub incidents: Vec<IncidentSummary>,
    /// Whether they outlive this server.
    pub are_kept: bool,
    /// Records that cannot be read, each with why. They are left as they are.
    pub unreadable: Vec<String>,
}

impl Incident {
    /// It in a list.
    pub fn summary(&self) -> IncidentSummary {
        IncidentSummary {
            id: self.id.clone(),
            title: self.title.clone(),
            state: self.state,
            opened_at: self.opened_at.clone(),
            closed_at: self.closing.as_ref().map(|closing| closing.at.clone()),
            findings: self.findings.iter().map(|finding| finding.id.clone()).collect(),
            open_actions: self.actions.iter().filter(|action| action.done_at.is_none()).count() as u64,
            affected: self.affected.counted,
            reopened: self.timeline.iter().filter(|entry| entry.what == "reopened").count() as u64,
            says: self.standing(),
        }
    }

    /// Where it stands, in words; a patched symptom is always told as such.
    pub fn standing(&self) -> String {
        match (self.state, &self.closing) {
            (State::Patched, Some(closing)) => format!("symptom patched, cause stays: {}", closing.what),
            (State::Fixed, Some(closing)) => format!("cause fixed, and watched: {}", closing.what),
            (state, _) => state.name().to_owned(),
        }
    }
}
