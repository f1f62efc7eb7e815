//! A diagnosis: why a finding is there, as far as what was recorded tells, and how sure that is. Stable: fields are added,
//! never renamed.

use serde::{Deserialize, Serialize};

use crate::change::{ChangeRanking, QuestionReport};
use crate::contrast::Contrast;
use crate::passage::CutReport;
use crate::probe::Standing;
use crate::report::FindingReport;
use crate::suspect::{RuledOut, Suspect};

/// How sure a diagnosis is. The rules stand in `docs/diagnosis.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Certainty {
    /// Nothing that was seen tells the cause, or several causes would look alike.
    #[default]
    Inconclusive,
    /// One cause explains what was seen better than any other.
    Likely,
    /// The cause was seen itself, or two independent kinds of evidence name the same one and nothing speaks against it.
    Confirmed,
}

impl Certainty {
    /// Its name in reports, pages and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Certainty::Inconclusive => "INCONCLUSIVE",
            Certainty::Likely => "LIKELY",
            Certainty::Confirmed => "CONFIRMED",
        }
    }
}

/// Why a finding is there.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The finding, as it stood then.
    pub finding: FindingReport,
    /// RFC 3339: as of when.
    pub as_of: String,
    /// How sure.
    pub verdict: Certainty,
    /// All of it in one sentence.
    pub says: String,
    /// Why it is that sure, and no surer: a sentence each.
    pub reasons: Vec<String>,
    /// What is at the bottom of it: the finding itself, or another one that explains it.
    pub cause: Cause,
    /// Findings that it explains, and others that have to do with it.
    pub related: Vec<Related>,
    /// When it began.
    pub onset: Option<Onset>,
    /// How far it reaches.
    pub radius: Radius,
    /// What is different about the failing ones; absent where there is nothing to compare.
    pub difference: Option<Contrast>,
    /// What changed, the most probable cause first; absent where it is not known when it began.
    pub changes: Option<ChangeRanking>,
    /// The seven questions that are asked first.
    pub questions: Vec<QuestionReport>,
    /// Where failing ones leave the way of healthy ones, by rank.
    pub suspects: Vec<Suspect>,
    /// Systems on their way, as they said when they were asked themselves: those that fail first.
    #[serde(default)]
    pub systems: Vec<SystemSeen>,
    /// What was looked at and is not the cause.
    pub ruled_out: Vec<RuledOut>,
    /// What is not seen, or not told rightly, and may as well hide the cause: a sentence each.
    #[serde(default)]
    pub limits: Vec<String>,
    /// What was compared to find out.
    pub compared: Compared,
}

/// A diagnosis in a few lines, for whoever is woken by it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Brief {
    /// RFC 3339: as of when.
    pub as_of: String,
    /// How sure.
    pub verdict: Certainty,
    /// All of it in one sentence.
    pub says: String,
    /// What is most different about the failing ones, with its shares.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub explanation: Option<String>,
    /// The first suspect, with its first evidence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspect: Option<String>,
    /// The change that explains it best, with when it was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change: Option<String>,
}

/// A system on the way of such requests, as it was last asked itself.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SystemSeen {
    /// Its name in the configuration.
    pub system: String,
    /// What it is: `postgres`, `rabbitmq`, ...
    pub kind: String,
    /// `queue`, `cache`, `database` or `service`: how it lies on the way.
    pub role: String,
    /// The worst of what it said about what such requests use of it.
    pub standing: Standing,
    /// RFC 3339: since when it stands so, as a whole.
    pub since: String,
    /// RFC 3339: when it was asked.
    pub asked_at: String,
    /// Whether it fails since about when they do: evidence for a cause.
    pub explains: bool,
    /// In one sentence.
    pub says: String,
}

/// The hop and the kind of what is at the bottom of a failure.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cause {
    /// The id of the finding that says so.
    pub finding: String,
    /// Its kind.
    pub kind: String,
    /// The service where it is; absent where that is not known.
    pub service: Option<String>,
    /// The operation of that service.
    pub operation: Option<String>,
    /// The last step seen before the gap, where a flow has one there.
    pub after: Option<String>,
    /// The step that is missing.
    pub before: Option<String>,
    /// In one sentence.
    pub says: String,
}

/// Another finding that has to do with it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Related {
    /// Its id.
    pub finding: String,
    /// Its kind.
    pub kind: String,
    /// `cause`, `consequence`, or `beside`.
    pub relation: String,
    /// How the two are connected, in one sentence.
    pub why: String,
    /// Its title.
    pub title: String,
}

/// When it began, and whether it goes on.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Onset {
    /// RFC 3339: most probably.
    pub at: String,
    /// RFC 3339: not before, with 95 %.
    pub from: String,
    /// RFC 3339: not after, with 95 %.
    pub until: String,
    /// Share that failed before, 0 to 1; absent where nothing is known of before.
    pub share_before: Option<f64>,
    /// Share that failed from then on, 0 to 1.
    pub share_since: f64,
    /// Whether it still goes on: `yes` as far as is known, or `no`.
    pub goes_on: String,
    /// RFC 3339: the latest that failed.
    pub latest: String,
    /// What it is taken from, and what it means, in one sentence.
    pub says: String,
}

/// How far a failure reaches.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Radius {
    /// `all`, `subset`, `single` (one key) or `cannot tell`.
    pub reach: String,
    /// Keys (orders, requests) that fail, as far as they are counted.
    pub keys: u64,
    /// Share of their like that fails since the onset, 0 to 1; absent where that is not known.
    pub share: Option<f64>,
    /// Different users, customers or tenants among those that were looked at; absent where no record names any.
    pub users: Option<u64>,
    /// By user, tenant, region, version, host and flow, those first that tell most.
    pub dimensions: Vec<Dimension>,
    /// In one sentence.
    pub says: String,
}

/// How a failure is spread over the values of one attribute.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Dimension {
    /// The attribute.
    pub attribute: String,
    /// Whether it fails for `all` of its values alike, for a `subset`, or it `cannot tell`.
    pub reach: String,
    /// Values among failing ones.
    pub failing_values: u64,
    /// Values among all that were compared.
    pub values: u64,
    /// Probability of a spread that uneven by chance alone.
    pub p_value: f64,
    /// Those that fail most, at most ten.
    pub worst: Vec<Spread>,
}

/// One value of an attribute.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Its text.
    pub value: String,
    /// How many with it fail, of those that were compared.
    pub failing: u64,
    /// How many with it were compared.
    pub compared: u64,
}

/// What a diagnosis is taken from.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Compared {
    /// Failing requests or journeys that were looked at.
    pub failing: u64,
    /// Of so many that are known.
    pub failing_of: u64,
    /// Healthy ones that were looked at.
    pub healthy: u64,
    /// Of so many that are known.
    pub healthy_of: u64,
    /// Spans and log records of theirs.
    pub records: u64,
    /// What bounds left out.
    pub cut: Vec<CutReport>,
}
