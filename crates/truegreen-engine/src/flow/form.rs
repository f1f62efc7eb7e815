//! The contract's form as documented structs: each field's comment is its reference entry, and the JSON schema that
//! editors read is made from them. The walk in `contract`, `step` and `pattern` reads the text; a test holds that both
//! know the same fields.
#![expect(dead_code, reason = "these structs are read by schemars for the schema, never filled")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// The JSON schema of one contract, for editors.
pub fn schema() -> Value {
    let mut schema = schema_for!(Contract).to_value();
    tidy(&mut schema);
    schema
}

/// A field that may be left out is no field that may be null, save the names of a pattern, where null is "any". And
/// comments are wrapped where an editor would not.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(description)) = object.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    object.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    object.remove("anyOf");
                    object.extend(one);
                }
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// The fields that the walk takes, by the definition in the schema that must have the same; the first is its root.
#[cfg(test)]
pub(super) const FIELDS: [(&str, &[&[&str]]); 14] = {
    use super::confirm::CONFIRM;
    use super::contract::{BIND, CONTRACT, EXPECT, LIMITS, RECONCILE, REENTRY};
    use super::pattern::{ANY_OF, PATTERN, TEST};
    use super::step::{EXIT, FOR_EACH, REASON, START, STEP};
    [
        ("", &[CONTRACT]),
        ("Bind", &[BIND]),
        ("Start", &[START, PATTERN, ANY_OF]),
        ("Step", &[STEP, PATTERN, ANY_OF]),
        ("ForEachItem", &[FOR_EACH]),
        ("Confirm", &[CONFIRM]),
        ("Exit", &[EXIT, PATTERN, ANY_OF]),
        ("ReasonSource", &[REASON]),
        ("Pattern", &[PATTERN]),
        ("Comparison", &[TEST]),
        ("ReentryAfter", &[REENTRY]),
        ("Limits", &[LIMITS]),
        ("Expect", &[EXPECT]),
        ("Reconcile", &[RECONCILE]),
    ]
};

/// A business promise: whatever enters must come out, completed or refused with a reason.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Truegreen flow contract")]
struct Contract {
    /// The flow's name, unique over all files: lower-case letters, digits and dashes.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,100}$"))]
    flow: String,
    /// One sentence for people: what is promised.
    description: Option<String>,
    /// What names one passage through the flow: an attribute, several attribute names for the same value (the first
    /// that is present counts), or `trace_id`.
    key: OneOrMore,
    /// Other values that name the same journey, such as a reservation's id for an order.
    bind: Option<Vec<Bind>>,
    /// Resource attributes inside which a key lives, so that an order of staging is not one of production. Default:
    /// `[deployment.environment.name, service.namespace]`; `[]` is everywhere.
    #[schemars(extend("default" = ["deployment.environment.name", "service.namespace"]))]
    scope: Option<Vec<String>>,
    /// The records with which a journey enters.
    start: Start,
    /// The deadline of steps that give none.
    within: Option<Duration>,
    /// What is owed after the start, in order. At most 63.
    #[schemars(length(min = 1, max = 63))]
    steps: Vec<Step>,
    /// Lawful ways out other than the last step. At most 32.
    #[schemars(length(max = 32))]
    exits: Option<Vec<Exit>>,
    /// Added to every deadline, for clocks that differ and spans that end a little after their effect. Default: `2s`.
    #[schemars(extend("default" = "2s"))]
    grace: Option<Duration>,
    /// What a second start of the same key means. Default: `once`, the same journey, counted as a duplicate.
    #[schemars(extend("default" = "once"))]
    reentry: Option<Reentry>,
    /// Shares of decided journeys beyond which an end becomes a finding. What is not given is judged by its own baseline;
    /// `unknown` by 1 %; and the first unaccounted journey is a finding.
    limits: Option<Limits>,
    /// How many journeys are expected to enter. With fewer the flow is CANNOT TELL, never green.
    expect: Option<Expect>,
    /// Services known to keep only a sample of their traces, by `service.name`: the share that they keep. A step missing
    /// from one of them is unknown, not unaccounted.
    sampled: Option<BTreeMap<String, Share>>,
    /// Counters that services keep of what they drop or skip, and that must agree with the journeys of this flow that
    /// were rejected or dead-lettered. At most 16.
    #[schemars(length(max = 16))]
    reconcile: Option<Vec<Reconcile>>,
}

/// Where a record matches `on` and carries both the key and `attribute`, the value of `attribute` names that journey too.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Bind {
    /// The attribute whose values name the journey too.
    attribute: String,
    /// The records that carry both; one pattern, or several of which any will do.
    on: OneOrMorePatterns,
}

/// The records with which a journey enters.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Start {
    /// What to call it. Default: `start`.
    #[schemars(extend("default" = "start"))]
    name: Option<String>,
    /// In the stead of one inline pattern: several, of which any will do.
    #[schemars(length(min = 1, max = 64))]
    any_of: Option<Vec<Pattern>>,
    #[schemars(flatten)]
    pattern: Pattern,
}

/// One step that a journey owes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Step {
    /// Unique among the steps and exits of the flow.
    name: String,
    /// The earlier step from which `within` counts. Default: the step before.
    after: Option<String>,
    /// The step is due this long after `after`, and the flow's `grace` on top. Default: the flow's `within`; a required
    /// step needs one of the two.
    within: Option<Duration>,
    /// Seen or not, it is not owed. Default: `false`.
    #[schemars(extend("default" = false))]
    optional: Option<bool>,
    /// Owed only if all of these hold on the attributes of the whole journey.
    when: Option<BTreeMap<String, Test>>,
    /// Not owed if all of these hold on the attributes of the whole journey.
    unless: Option<BTreeMap<String, Test>>,
    /// Owed once for each distinct value of this attribute of an earlier step; the elements of an array count one by
    /// one. One of three lost is a lost journey.
    for_each: Option<ForEach>,
    /// Owed as many times as this integer attribute of an earlier step says.
    count_from: Option<String>,
    /// Where its effect can be looked up. Asked for journeys that are unaccounted or unknown at this step or before it, and
    /// for some of those that telemetry calls completed.
    confirm: Option<Confirm>,
    /// In the stead of one inline pattern: several, of which any will do.
    #[schemars(length(min = 1, max = 64))]
    any_of: Option<Vec<Pattern>>,
    #[schemars(flatten)]
    pattern: Pattern,
}

/// Which attribute names the items of which one each is owed.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ForEach {
    /// The attribute, on the earlier step and on this one.
    Attribute(String),
    /// Where the two differ.
    Named(ForEachItem),
}

/// Where the item has another name on this step.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ForEachItem {
    /// Read from the observations of earlier steps.
    attribute: String,
    /// Read from the observations of this step: which item it is. Default: the same name.
    item: Option<String>,
}

/// Where the effect of a step can be looked up, by the journey's key. Not together with `reentry: {after: …}`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Confirm {
    /// The system, by its name under `systems` of the configuration.
    system: String,
    /// A question that only reads, with one parameter, the key: `$1` in PostgreSQL, `?` in MySQL, `{key}` in a command of
    /// Redis or a URL's path.
    ask: String,
    /// What answer means that the effect is there. Default: `row`.
    #[schemars(extend("default" = "row"))]
    expect: Option<Expected>,
    /// Share of the completed journeys that are asked for too. Default: `1%`.
    #[schemars(extend("default" = "1%"))]
    sample: Option<Share>,
    /// The effect must be there so long after telemetry says that it is, or after the step is due. Default: `5s`.
    #[schemars(extend("default" = "5s"))]
    after: Option<Duration>,
}

/// What answer means that the effect is there.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Expected {
    /// Something, or nothing.
    Word(ExpectedWord),
    /// A row with all of these values, by column, compared as text.
    Columns(BTreeMap<String, Scalar>),
}

/// Something, or nothing.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum ExpectedWord {
    /// At least one row, or value.
    Row,
    /// None.
    Nothing,
}

/// A lawful way out of the flow.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Exit {
    /// Unique among the steps and exits of the flow.
    name: String,
    /// Refused, or put aside for repair. Default: `rejected`.
    #[schemars(extend("default" = "rejected"))]
    outcome: Option<Outcome>,
    /// Where its reason is read from: an attribute's name, `{attribute: [first, second]}` or `{fixed: text}`. Default:
    /// `truegreen.reason`, then `error.type`. An exit without its reason is a finding.
    reason: Option<Reason>,
    /// In the stead of one inline pattern: several, of which any will do.
    #[schemars(length(min = 1, max = 64))]
    any_of: Option<Vec<Pattern>>,
    #[schemars(flatten)]
    pattern: Pattern,
}

/// How an exit ends a journey.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Outcome {
    /// Refused with a reason.
    Rejected,
    /// Put aside for repair with a reason.
    DeadLettered,
}

/// Where the reason of an exit is read from.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Reason {
    /// An attribute's name.
    Attribute(String),
    /// Several attributes, or a text.
    Source(ReasonSource),
}

/// Either `attribute` or `fixed`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ReasonSource {
    /// The first of these attributes that is present.
    attribute: Option<OneOrMore>,
    /// Always this text.
    fixed: Option<String>,
}

/// Which records match: exactly one of `span`, `log` and `event`, and everything else that is given must hold. In names,
/// bodies and values `*` stands for any run of characters.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Pattern {
    /// A span with this name; `"*"` or nothing for any.
    span: Option<Glob>,
    /// A log record with this event name; `"*"` or nothing for any.
    log: Option<Glob>,
    /// A CloudEvent of this type; `"*"` or nothing for any.
    event: Option<Glob>,
    /// The `service.name` that sends the record (for an event: its source). A step without it has to learn from the
    /// traffic who owes it.
    service: Option<Text>,
    /// The span's kind.
    kind: Option<Kind>,
    /// The log record's body, as text.
    body: Option<Text>,
    /// The log record's severity, at least: a name or a number from 1 to 24.
    severity: Option<Severity>,
    /// Attributes of the record, or else of its resource, and what each must be.
    attributes: Option<BTreeMap<String, Test>>,
}

/// A span's kind.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Kind {
    /// Handles a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Processes a message. That it ended does not say that the message had its effect.
    Consumer,
    /// Inside one service.
    Internal,
    /// Not said.
    Unspecified,
}

/// A log record's severity, at least.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Severity {
    /// By name.
    Name(SeverityName),
    /// As in OTLP.
    Number(#[schemars(range(min = 1, max = 24))] u8),
}

/// The names of OTLP's severities.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum SeverityName {
    /// 1.
    Trace,
    /// 5.
    Debug,
    /// 9.
    Info,
    /// 13.
    Warn,
    /// 17.
    Error,
    /// 21.
    Fatal,
}

/// What an attribute must be: a value, a list of which any will do, or a test. Values are compared as text, and `*`
/// stands for any run of characters.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Test {
    /// This value.
    Value(Scalar),
    /// One of these values.
    AnyOf(#[schemars(length(min = 1))] Vec<Scalar>),
    /// More than a value.
    Comparison(Comparison),
}

/// `not`, or `present`, or a range of numbers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Comparison {
    /// Present, and neither of these.
    not: Option<OneOrMoreScalars>,
    /// `true`: there, whatever its value; `false`: not there at all.
    present: Option<bool>,
    /// A number, and not below this.
    at_least: Option<f64>,
    /// A number below this.
    below: Option<f64>,
}

/// What a second start of the same key means.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Reentry {
    /// The same journey.
    Once(Once),
    /// A new journey, if it starts late enough.
    After(ReentryAfter),
}

/// The same journey, counted and shown as a duplicate.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Once {
    /// The same journey.
    Once,
}

/// A new journey, if it starts late enough.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ReentryAfter {
    /// This long after the start of the passage before it, at least.
    after: Duration,
}

/// Shares of decided journeys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// Ended by an exit that refuses.
    rejected: Option<Share>,
    /// Ended by an exit that dead-letters.
    dead_lettered: Option<Share>,
    /// Completed after a deadline.
    late: Option<Share>,
    /// Neither proven nor disproven. Beyond it the flow is CANNOT TELL. Default: `1%`.
    unknown: Option<Share>,
    /// Neither completed nor refused: a share that is no finding, or `usual` for what each step of this flow is used to.
    /// A sequential test says when it is more. Default: the first one is a finding.
    unaccounted: Option<Allowance>,
    /// The same where people may leave at any step, as in a flow keyed by `session.id`: more who leave than this share,
    /// or than `usual`, are a finding about the step after which they left. Not together with `unaccounted`.
    abandonment: Option<Allowance>,
}

/// A share, or `usual`.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Allowance {
    /// What each step of the flow is used to.
    Usual(Usual),
    /// A share.
    Share(Share),
}

/// What each step of the flow is used to, by its own past.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Usual {
    /// The past decides.
    Usual,
}

/// A service's own counter of what it drops or skips, held against the books.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Reconcile {
    /// The metric's name: a monotonic sum, cumulative or delta.
    metric: String,
    /// `service.name` of who counts. Default: whoever sends that metric.
    service: Option<String>,
    /// The attribute of its points that holds the reason, so that each reason is held against journeys that ended for it.
    /// Default: the whole count against all reasons together.
    by: Option<String>,
    /// Which ends it counts. Default: rejected and dead-lettered together.
    outcome: Option<Outcome>,
    /// Only points with these attributes count.
    attributes: Option<BTreeMap<String, Test>>,
}

/// How many journeys are expected to enter.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Expect {
    /// So many at the least…
    #[schemars(range(min = 1))]
    at_least: u64,
    /// …in each stretch of this length.
    per: Duration,
}

/// A span of time in whole numbers with units, the larger first: `500ms`, `5s`, `2m`, `1h30m`, `1d`.
#[derive(JsonSchema)]
struct Duration(#[schemars(regex(pattern = r"^(0|(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"))] String);

/// A percentage such as `5%`, or a number from 0 to 1.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Share {
    /// A percentage.
    Percent(#[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)? ?%$"))] String),
    /// A number from 0 to 1.
    Number(#[schemars(range(min = 0.0, max = 1.0))] f64),
}

/// Text in which `*` stands for any run of characters.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Glob {
    /// The name.
    Text(Text),
    /// Any.
    Any(Anything),
}

/// Nothing at all, for any name.
struct Anything;

impl JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // As `const` it is told apart from the null of a field that may be left out.
        schemars::json_schema!({ "const": null })
    }
}

/// Text in which `*` stands for any run of characters.
#[derive(JsonSchema)]
struct Text(String);

/// A value of an attribute.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Scalar {
    /// Text, with `*` for any run of characters.
    Text(String),
    /// A number, compared as it is written.
    Number(f64),
    /// `true` or `false`.
    Flag(bool),
}

/// One name, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(#[schemars(length(min = 1))] Vec<String>),
}

/// One value, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMoreScalars {
    /// One.
    One(Scalar),
    /// Several.
    More(#[schemars(length(min = 1))] Vec<Scalar>),
}

/// One pattern, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMorePatterns {
    /// One.
    One(Pattern),
    /// Several.
    More(#[schemars(length(min = 1))] Vec<Pattern>),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn schema_and_walk_know_the_same_fields() {
        let schema = schema();
        for (definition, known) in FIELDS {
            let place = if definition.is_empty() { String::new() } else { format!("/$defs/{definition}") };
            let properties = schema.pointer(&format!("{place}/properties")).unwrap().as_object().unwrap();
            let in_schema: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            let in_walk: BTreeSet<&str> = known.iter().copied().flatten().copied().collect();
            assert_eq!(in_schema, in_walk, "{definition}");
            let closed = ["additionalProperties", "unevaluatedProperties"];
            let open = schema.pointer(&place).unwrap();
            assert!(closed.iter().any(|word| open[*word] == false), "{definition} takes unknown fields");
        }
    }

    #[test]
    fn schema_and_walk_know_the_same_words() {
        let schema = schema();
        let words = |definition: &str| -> BTreeSet<String> {
            let choices = schema.pointer(&format!("/$defs/{definition}/oneOf")).unwrap().as_array().unwrap();
            choices.iter().map(|choice| choice["const"].as_str().unwrap().to_owned()).collect()
        };
        let known = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<BTreeSet<String>>();
        assert_eq!(words("Kind"), known(super::super::pattern::KINDS.iter().map(|(word, _)| *word).collect()));
        let severities = super::super::pattern::SEVERITIES.iter().map(|(word, _)| *word);
        assert_eq!(words("SeverityName"), known(severities.collect()));
        let expected = super::super::confirm::EXPECTED.iter().map(|(word, _)| *word);
        assert_eq!(words("ExpectedWord"), known(expected.collect()));
        assert_eq!(words("Outcome"), known(super::super::step::OUTCOMES.iter().map(|(word, _)| *word).collect()));
    }

    /// With `UPDATE_SCHEMA` set the committed schema is written anew.
    #[test]
    fn the_committed_schema_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/flow-contract.json");
        let current = schema();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, format!("{current:#}\n")).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        let committed: Value = serde_json::from_str(&committed).unwrap_or_default();
        assert!(committed == current, "run this test once with UPDATE_SCHEMA=1 and commit schemas/flow-contract.json");
    }
}
