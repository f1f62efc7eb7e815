//! A flow: a business promise as a contract. This is the compiled, validated form; the YAML text and its
//! errors live in `truegreen-engine`'s `flow` module.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Index of a flow among all flows of one engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FlowId(pub u16);

/// Index into [`Flow::steps`]. Step 0 is the start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StepId(pub u8);

/// Index into [`Flow::exits`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ExitId(pub u8);

impl StepId {
    /// Every flow's first step.
    pub const START: StepId = StepId(0);
}

/// Most steps a flow may have, the start included.
pub const MAX_STEPS: usize = 64;
/// Most exits a flow may have.
pub const MAX_EXITS: usize = 32;
/// Most `when`/`unless` conditions a flow may have over all its steps; each owns a bit of
/// [`crate::observation::Conditions`].
pub const MAX_CONDITIONS: usize = 64;
/// Most counters that one flow's books may be held against.
pub const MAX_RECONCILED: usize = 16;

/// A business promise: what enters must come out, or be refused with a reason.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// Unique among the flows of a server; lower-case words with dashes.
    pub name: String,
    /// One sentence for people; may be empty.
    pub description: String,
    /// What names one passage through this flow.
    pub key: Key,
    /// Further attributes that name the same journey by *different* values (a reservation's id for an order).
    pub bind: Vec<Bind>,
    /// Resource attributes inside which a key lives. Default: `deployment.environment.name`, `service.namespace`.
    pub scope: Vec<String>,
    /// The steps, `steps[0]` being the start. At most [`MAX_STEPS`].
    pub steps: Vec<Step>,
    /// Lawful ways out other than the last step. At most [`MAX_EXITS`].
    pub exits: Vec<Exit>,
    /// Added to every deadline.
    pub grace: Duration,
    /// What a second start of the same key means.
    pub reentry: Reentry,
    /// Shares beyond which lawful ends become findings.
    pub limits: Limits,
    /// How many journeys are expected to enter; fewer is CANNOT TELL.
    pub expect: Option<Expect>,
    /// Services declared to be sampled: `service.name` to the share of traces they keep (0 to 1).
    pub sampled: BTreeMap<String, f64>,
    /// Counters of services that must agree with the books. At most [`MAX_RECONCILED`].
    pub reconcile: Vec<Reconcile>,
}

/// What names one passage through a flow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Key {
    /// The W3C trace id.
    TraceId,
    /// The first of these attributes that is present, on the record or its resource. All are names for the same value.
    Attributes(Vec<String>),
}

/// A second name for a journey: where a record matches `on` and carries both the key and `attribute`, the value
/// of `attribute` names that journey too.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// The attribute whose values name the journey too.
    pub attribute: String,
    /// Records that carry both; any of.
    pub on: Vec<Pattern>,
}

/// One step that a journey owes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the flow.
    pub name: String,
    /// Records that fulfil the step; any of.
    pub any_of: Vec<Pattern>,
    /// The step is due this long after `after` (grace not included). Meaningless for the start.
    pub within: Duration,
    /// The step that `within` counts from; always an earlier index. For the start: itself.
    pub after: StepId,
    /// Seen or not, it is not owed.
    pub optional: bool,
    /// Owed only if all of these hold on the journey's merged attributes.
    pub when: Vec<Condition>,
    /// Not owed if there are any and all of these hold.
    pub unless: Vec<Condition>,
    /// One observation is not enough: one per item, or so many.
    pub fan_out: Option<FanOut>,
    /// Where its effect can be looked up.
    pub confirm: Option<Confirm>,
}

/// Where the effect of a step can be looked up, by the journey's key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Confirm {
    /// The system's name in the configuration.
    pub system: String,
    /// The question, with one parameter: the key.
    pub ask: String,
    /// What answer means that the effect is there.
    pub expect: Expected,
    /// Share (0 to 1) of the completed journeys that are asked for too. Unaccounted and unknown ones always are.
    pub sample: f64,
    /// The effect must be there so long after telemetry says that it is, or after the step is due.
    pub after: Duration,
}

/// What answer means that an effect is there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expected {
    /// At least one row, or value.
    Row,
    /// None.
    Nothing,
    /// A row with all of these values, by column, compared as text.
    Columns(BTreeMap<String, String>),
}

impl Expected {
    /// Whether these rows, by column and `None` for NULL, are the answer that is meant.
    pub fn is_met(&self, rows: &[BTreeMap<String, Option<String>>]) -> bool {
        match self {
            Expected::Row => !rows.is_empty(),
            Expected::Nothing => rows.is_empty(),
            Expected::Columns(columns) => {
                let has = |row: &BTreeMap<String, Option<String>>, column: &String, value: &String| {
                    row.get(column).and_then(Option::as_ref) == Some(value)
                };
                rows.iter().any(|row| columns.iter().all(|(column, value)| has(row, column, value)))
            }
        }
    }
}

/// How many observations a step needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FanOut {
    /// One for each distinct value of `attribute` (array elements count one by one) seen on the journey's earlier
    /// steps; an observation of this step tells which by `item`.
    ForEach {
        /// Read from observations of earlier steps.
        attribute: String,
        /// Read from observations of this step; the same name as `attribute` unless the contract says otherwise.
        item: String,
    },
    /// So many distinct observations, as this integer attribute of an earlier step says.
    CountFrom {
        /// Read from observations of earlier steps.
        attribute: String,
    },
}

/// A lawful way out of a flow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Exit {
    /// Unique among steps and exits of the flow.
    pub name: String,
    /// Records that show it; any of. An exit may match a span with status ERROR.
    pub any_of: Vec<Pattern>,
    /// Refused, or put on a dead-letter queue.
    pub outcome: ExitOutcome,
    /// Where its reason is from.
    pub reason: ReasonSource,
}

/// How an exit ends a journey.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ExitOutcome {
    /// Refused with a reason.
    Rejected,
    /// Put aside for repair with a reason.
    DeadLettered,
}

/// Where the reason of an exit is read from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ReasonSource {
    /// The first of these attributes that is present.
    Attributes(Vec<String>),
    /// Always this text.
    Fixed(String),
}

/// Which telemetry signal a pattern reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Signal {
    /// An OTLP span.
    Span,
    /// An OTLP log record.
    Log,
    /// A CloudEvent.
    Event,
}

/// Which records match. Everything given must hold; what is not given matches anything.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pattern {
    /// Spans, log records or events.
    pub signal: Signal,
    /// `service.name` of the resource (for an event: its source).
    pub service: Option<Text>,
    /// Span name, log event name, or CloudEvent type.
    pub name: Option<Text>,
    /// Span kind.
    pub kind: Option<SpanKind>,
    /// Log body, as text.
    pub body: Option<Text>,
    /// Lowest severity number (1 to 24, as in OTLP) of a log record.
    pub severity_at_least: Option<u8>,
    /// Attributes of the record, or else of its resource.
    pub attributes: Vec<Condition>,
}

/// OTLP's span kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum SpanKind {
    /// Not said.
    Unspecified,
    /// Inside one service.
    Internal,
    /// Handles a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Processes a message.
    Consumer,
}

/// A test on one attribute.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// Attribute name.
    pub attribute: String,
    /// What its value must be.
    pub test: Test,
}

/// What an attribute's value must be. Values are compared as text: `17`, `true`, `0.5`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Test {
    /// Matches one of these.
    AnyOf(Vec<Text>),
    /// Present, and matches none of these.
    NoneOf(Vec<Text>),
    /// Present, whatever the value.
    Present,
    /// Not there at all.
    Absent,
    /// A number in `[at_least, below)`; either end may be open.
    Number {
        /// Lowest value that passes.
        at_least: Option<f64>,
        /// Lowest value that does not pass any more.
        below: Option<f64>,
    },
}

/// Text in which `*` stands for any run of characters, also none.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Text(pub String);

impl Text {
    /// Whether there is no `*` in it.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `value` matches. Linear in the length of both for one `*`, bounded by their product.
    pub fn matches(&self, value: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut v) = (0, 0);
        // Where to take up again when what follows the last `*` did not match.
        let mut retry: Option<(usize, usize)> = None;
        while v < value.len() {
            if p < pattern.len() && pattern[p] == b'*' {
                p += 1;
                retry = Some((p, v));
            } else if p < pattern.len() && pattern[p] == value[v] {
                p += 1;
                v += 1;
            } else if let Some((after_star, from)) = retry {
                p = after_star;
                v = from + 1;
                retry = Some((after_star, v));
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|&b| b == b'*')
    }
}

/// What a second start of the same key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reentry {
    /// The same journey: counted and shown as a duplicate.
    Once,
    /// A new passage if it starts at least this long after the passage before it.
    After(Duration),
}

/// Shares of decided journeys (0 to 1) beyond which an end becomes a finding. `None`: its own baseline decides, save for
/// what breaks the promise.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Rejected.
    pub rejected: Option<f64>,
    /// Dead-lettered.
    pub dead_lettered: Option<f64>,
    /// Late.
    pub late: Option<f64>,
    /// Unknown. Beyond it the flow CANNOT TELL. Default 0.01 where it is not given.
    pub unknown: Option<f64>,
    /// Unaccounted. `None`: the first one is a finding. Not together with `abandonment`.
    pub unaccounted: Option<Allowance>,
    /// Unaccounted where that means that people left, as they do: a finding is abandonment and no loss.
    pub abandonment: Option<Allowance>,
}

impl Limits {
    /// What is allowed of the journeys that end unaccounted, if any is.
    pub fn allowance(&self) -> Option<Allowance> {
        self.abandonment.or(self.unaccounted).filter(|allowance| *allowance != Allowance::Share(0.0))
    }
}

/// How much of something is allowed before it is a finding; a sequential test decides when it is more.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Allowance {
    /// At most this share (0 to 1).
    Share(f64),
    /// What is usual for the flow, step by step, by its own past.
    Usual,
}

/// A service's own counter, which must agree with how journeys of the flow ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reconcile {
    /// The metric's name: a monotonic sum.
    pub metric: String,
    /// `service.name` of who counts; `None`: whoever sends that metric.
    pub service: Option<String>,
    /// The attribute of its points that holds the reason; `None`: the counter is held against all reasons together.
    pub by: Option<String>,
    /// Which ends it counts; `None`: rejected and dead-lettered together.
    pub outcome: Option<ExitOutcome>,
    /// Only points with these attributes count.
    pub attributes: Vec<Condition>,
}

/// How many journeys are expected to enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Expect {
    /// So many at the least…
    pub at_least: u64,
    /// …in each stretch of this length.
    pub per: Duration,
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let cases = [
            ("process *", "process orders", true),
            ("process *", "process ", true),
            ("process *", "process", false),
            ("*", "", true),
            ("a*b*c", "axxbxxbxc", true),
            ("a*b*c", "axxbxxbx", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, value, expected) in cases {
            assert_eq!(Text(pattern.into()).matches(value.as_bytes()), expected, "{pattern} {value}");
        }
    }
}
