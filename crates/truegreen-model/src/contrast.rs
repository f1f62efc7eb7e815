//! What is different about the failing ones: conditions on attributes, with the numbers that speak for them.

use serde::{Deserialize, Serialize};

/// How an attribute is held against a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Op {
    /// It is this value; of an attribute with several values at once, one of them is.
    #[serde(rename = "=")]
    Is,
    /// It is any other value, or absent.
    #[serde(rename = "!=")]
    IsNot,
    /// A number that is at most this.
    #[serde(rename = "<=")]
    AtMost,
    /// A number that is more than this.
    #[serde(rename = ">")]
    Above,
    /// It is not there. The value is empty.
    #[serde(rename = "absent")]
    Absent,
    /// It is there, whatever it is. The value is empty.
    #[serde(rename = "present")]
    Present,
}

impl Op {
    /// As it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Op::Is => "=",
            Op::IsNot => "!=",
            Op::AtMost => "<=",
            Op::Above => ">",
            Op::Absent => "absent",
            Op::Present => "present",
        }
    }
}

/// One condition on one attribute.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// Its name, as in the table.
    pub attribute: String,
    /// How it is held against the value.
    pub op: Op,
    /// As in the table; empty for `absent` and `present`.
    pub value: String,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.op {
            Op::Absent | Op::Present => write!(f, "{} {}", self.attribute, self.op.sign()),
            _ => write!(f, "{} {} {}", self.attribute, self.op.sign(), self.value),
        }
    }
}

/// What all of some conditions have in common, and how the failing ones lie to it.
///
/// "Inside" is where all conditions hold. "Outside" is where neither they nor those of another explanation hold, so that
/// several causes do not blur each other.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Explanation {
    /// All of them hold; at most three, in the order of the table's columns.
    pub conditions: Vec<Condition>,
    /// Which share of all failures is inside, 0 to 1.
    pub failing_share: f64,
    /// Which share of what went well is inside, 0 to 1.
    pub healthy_share: f64,
    /// How many times more often it fails inside than outside. Where nothing fails outside, half a failure is added to
    /// each side, so that it is a number.
    pub risk_ratio: f64,
    /// What the risk ratio is between, with 95 % confidence.
    pub interval: [f64; 2],
    /// Of a one-sided exact test of inside against outside, times the number of conditions of this kind that could have
    /// been tried; 1 at most.
    pub p_value: f64,
    /// Failures inside.
    pub failing: u64,
    /// Attempts inside.
    pub attempts: u64,
    /// Failures of each attempt inside, 0 to 1.
    pub rate_inside: f64,
    /// Failures of each attempt outside, 0 to 1. Against a time before: what was to be expected inside.
    pub rate_outside: f64,
}

impl Explanation {
    /// Its conditions as one line.
    pub fn title(&self) -> String {
        self.conditions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }
}

/// An explanation that would do instead of one of the answer, though not better.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Alternative {
    /// What it says.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// Which one of the answer it would stand for, counted from 0; none where there is no answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instead_of: Option<usize>,
    /// It covers exactly the same rows: the data cannot tell the two apart.
    pub tie: bool,
}

/// An attribute that was left out, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ignored {
    /// Its name.
    pub attribute: String,
    /// `nearly unique`, `always the same`, `a time`, ...
    pub reason: String,
}

/// What is different about the failing ones.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Contrast {
    /// The answer: the smallest set that together explains the failures, the weightiest first.
    pub explanations: Vec<Explanation>,
    /// Runners-up, the nearest first.
    pub alternatives: Vec<Alternative>,
    /// `explained`, `partly`, `nothing to explain` or `cannot tell`.
    pub verdict: String,
    /// The verdict as one sentence, with its numbers.
    pub summary: String,
    /// Share of all failures that the answer covers, 0 to 1.
    pub covered: f64,
    /// Failures in the table.
    pub failing: u64,
    /// Attempts in the table, failures among them.
    pub attempts: u64,
    /// Attributes that were looked at.
    pub attributes: usize,
    /// Attributes that were not.
    pub ignored: Vec<Ignored>,
}
