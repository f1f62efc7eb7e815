//! What was changed, when and where: reported, or read off the telemetry; and how far each change explains an incident.
//! The reports are stable JSON: fields are added, never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What a change is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Another version of a service runs.
    Release,
    /// A setting.
    Config,
    /// A feature flag, or what it gives.
    FeatureFlag,
    /// How much comes in, or of what.
    Traffic,
    /// Hosts, networks, clusters.
    Infrastructure,
    /// A service, library or system that is used.
    Dependency,
    /// How data is laid out.
    Schema,
    /// How many instances there are.
    Scaling,
    /// None of these.
    #[default]
    Other,
}

impl ChangeKind {
    /// Every kind, each once.
    pub const ALL: [ChangeKind; 9] = [
        ChangeKind::Release,
        ChangeKind::Config,
        ChangeKind::FeatureFlag,
        ChangeKind::Traffic,
        ChangeKind::Infrastructure,
        ChangeKind::Dependency,
        ChangeKind::Schema,
        ChangeKind::Scaling,
        ChangeKind::Other,
    ];

    /// Its name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            ChangeKind::Release => "release",
            ChangeKind::Config => "config",
            ChangeKind::FeatureFlag => "feature_flag",
            ChangeKind::Traffic => "traffic",
            ChangeKind::Infrastructure => "infrastructure",
            ChangeKind::Dependency => "dependency",
            ChangeKind::Schema => "schema",
            ChangeKind::Scaling => "scaling",
            ChangeKind::Other => "other",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<ChangeKind> {
        ChangeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// Told twice under the same id it is one change, as it was told last.
    pub id: String,
    /// When it began.
    pub at: Timestamp,
    /// When it was through everywhere, where that is known.
    pub until: Option<Timestamp>,
    /// What it is of.
    pub kind: ChangeKind,
    /// In a few words.
    pub title: String,
    /// The service it was made to, where it was made to one.
    pub service: Option<String>,
    /// The instances it touched; empty where it touched all, or that is not known.
    pub instances: Vec<String>,
    /// The version it brought.
    pub version: Option<String>,
    /// Where: `production`, `staging`.
    pub environment: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Where to read on.
    pub url: Option<String>,
    /// Who told: `api`, `github`, `gitlab`, `argocd`, `kubernetes`, `cloudevents`, `command`, `telemetry`.
    pub source: String,
    /// What else was told of it.
    pub attributes: BTreeMap<String, String>,
}

/// A change as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ChangeReport {
    /// Its id.
    pub id: String,
    /// RFC 3339: when it began.
    pub at: String,
    /// RFC 3339: when it was through everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What it is of: a name of [`ChangeKind`].
    pub kind: String,
    /// In a few words.
    pub title: String,
    /// The service it was made to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The instances it touched; empty where it touched all, or that is not known.
    #[serde(default)]
    pub instances: Vec<String>,
    /// The version it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Where to read on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Who told of it.
    pub source: String,
    /// What else was told of it.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// What is said of all changes together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankingVerdict {
    /// One explains the incident far better than any other.
    StandsOut,
    /// Several explain it about as well.
    Tie,
    /// None explains it: the cause is no change that is known.
    #[default]
    NoneExplains,
    /// There is nothing to explain.
    NothingDegraded,
}

impl RankingVerdict {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            RankingVerdict::StandsOut => "stands_out",
            RankingVerdict::Tie => "tie",
            RankingVerdict::NoneExplains => "none_explains",
            RankingVerdict::NothingDegraded => "nothing_degraded",
        }
    }
}

/// Changes, the most probable cause first.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ChangeRanking {
    /// Every change that was asked about.
    pub ranking: Vec<RankedChange>,
    /// What it comes to.
    pub verdict: RankingVerdict,
    /// The verdict in one sentence.
    pub says: String,
    /// Probability that none of them is the cause, 0 to 1. Together with all scores it is 1.
    pub none: f64,
    /// RFC 3339: when the incident most probably began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<String>,
    /// What degraded, worst first, at most twenty.
    pub degraded: Vec<DegradedEdge>,
    /// What could not be taken into account, a sentence each.
    pub notes: Vec<String>,
}

/// One change, and how far it explains the incident.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RankedChange {
    /// The change's id.
    pub id: String,
    /// Probability that it is the cause, 0 to 1, under the likelihoods that `docs/changes.md` states.
    pub score: f64,
    /// What speaks for and against it, a sentence each.
    pub reasons: Vec<String>,
    /// Its title.
    pub title: String,
    /// Its service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// RFC 3339: when it began.
    pub at: String,
    /// Probability of what is seen at its service by chance alone; absent where nothing is seen of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// The same, with the number of changes that were asked about taken into account (false discovery rate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_value: Option<f64>,
    /// Natural logarithms of the likelihood ratios that the score is made of.
    pub evidence: ChangeEvidence,
}

/// Each how much more probable what was seen is if the change is the cause than if it is not, as a natural logarithm.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ChangeEvidence {
    /// Of the time between the change and the onset.
    pub time: f64,
    /// Of how the changed instances are doing, against the others and against before.
    pub effect: f64,
    /// Of where the degradation starts.
    pub origin: f64,
    /// Of how much of what degraded it would explain.
    pub reach: f64,
}

impl ChangeEvidence {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.time + self.effect + self.origin + self.reach
    }
}

/// Calls from one service to another that go worse than before.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DegradedEdge {
    /// Who calls.
    pub source: String,
    /// Who is called.
    pub target: String,
    /// `failures` or `latency`.
    pub metric: String,
    /// The usual value before: a share of failures, or a latency in the unit that was given.
    pub before: f64,
    /// The usual value since.
    pub after: f64,
    /// RFC 3339: since when.
    pub since: String,
    /// Probability of it by chance alone.
    pub p_value: f64,
}

/// One of the seven questions that an engineer on call asks first.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct QuestionReport {
    /// The question.
    pub question: String,
    /// `yes`, `no`, `all`, `subset` or `cannot tell`.
    pub answer: String,
    /// Why, in one sentence; after `cannot tell`, what is missing.
    pub because: String,
    /// What it rests on, a sentence each.
    pub evidence: Vec<String>,
}
