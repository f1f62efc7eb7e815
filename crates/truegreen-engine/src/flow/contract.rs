//! A whole contract: one YAML document, one flow.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use truegreen_model::flow::{
    Allowance, Bind, Exit, Expect, Flow, Key, Limits, MAX_RECONCILED, Reconcile, Reentry, Step,
};

use super::diagnostic::{Notes, quoted};
use super::pattern;
use super::step::{self, MAX_NAME, Names, Placed, required_text};
use super::tree::{Node, Value};
use super::value::{self, Fields};

/// The fields of a contract.
pub(super) const CONTRACT: &[&str] = &[
    "flow",
    "description",
    "key",
    "bind",
    "scope",
    "start",
    "within",
    "steps",
    "exits",
    "grace",
    "reentry",
    "limits",
    "expect",
    "sampled",
    "reconcile",
];
/// The fields of a `bind`.
pub(super) const BIND: &[&str] = &["attribute", "on"];
/// The fields of `reentry` where it is a mapping.
pub(super) const REENTRY: &[&str] = &["after"];
/// The fields of `limits`.
pub(super) const LIMITS: &[&str] = &["rejected", "dead_lettered", "late", "unknown", "unaccounted", "abandonment"];
/// In the stead of a share.
pub(super) const USUAL: &str = "usual";
/// The fields of an entry of `reconcile`.
pub(super) const RECONCILE: &[&str] = &["metric", "service", "by", "outcome", "attributes"];
/// The fields of `expect`.
pub(super) const EXPECT: &[&str] = &["at_least", "per"];

/// Inside which a key lives unless the contract says otherwise.
pub(super) const DEFAULT_SCOPE: [&str; 2] = ["deployment.environment.name", "service.namespace"];
/// Added to every deadline unless the contract says otherwise.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(2);

const ATTRIBUTE: &str = "an attribute's name such as `order.id`";

/// What could be read of one document.
pub(super) struct Contract {
    /// Where it has a name that can be taken.
    pub(super) name: Option<(String, Range<usize>)>,
    /// Where nothing in it is wrong.
    pub(super) flow: Option<(Flow, Places)>,
}

/// Where the names of a flow stand.
pub(super) struct Places {
    pub(super) flow: Range<usize>,
    /// As [`Flow::steps`].
    pub(super) steps: Vec<Range<usize>>,
    /// As [`Flow::exits`].
    pub(super) exits: Vec<Range<usize>>,
}

pub(super) fn read(node: &Node, notes: &mut Notes<'_>) -> Contract {
    let errors = notes.errors();
    let Some(fields) = Fields::of(node, "a contract", &[CONTRACT], notes) else {
        return Contract { name: None, flow: None };
    };
    let name = flow_name(&fields, notes);
    let flow_span = fields.get("flow").map_or(&fields.span, |node| &node.span).clone();
    let key = key(&fields, notes);
    let (steps, exits) = course(&fields, notes);
    let (exits, exit_places) = exits.into_iter().unzip();
    let (steps, step_places): (Vec<Step>, _) = steps.into_iter().unzip();
    let flow = Flow {
        name: name.clone().unwrap_or_default(),
        description: fields
            .get("description")
            .and_then(|node| value::scalar(node, "a sentence", notes))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default(),
        key: key.unwrap_or(Key::TraceId),
        bind: fields.get("bind").map_or_else(Vec::new, |node| binds(node, notes)),
        scope: scope(&fields, notes),
        steps,
        exits,
        grace: fields.get("grace").and_then(|node| value::duration(node, notes)).unwrap_or(DEFAULT_GRACE),
        reentry: fields.get("reentry").and_then(|node| reentry(node, notes)).unwrap_or(Reentry::Once),
        limits: fields.get("limits").map_or_else(Limits::default, |node| limits(node, notes)),
        expect: fields.get("expect").and_then(|node| expect(node, notes)),
        sampled: fields.get("sampled").map_or_else(BTreeMap::new, |node| sampled(node, notes)),
        reconcile: fields.get("reconcile").map_or_else(Vec::new, |node| reconcile(node, notes)),
    };
    if let (Reentry::After(_), Some(node)) = (flow.reentry, fields.get("reentry"))
        && let Some(step) = flow.steps.iter().find(|step| step.confirm.is_some())
    {
        notes.error_with(
            &node.span,
            format!("step {} is asked for by its key alone, and the same key may pass again", quoted(&step.name)),
            "take out `confirm` or `reentry`: a row of the first passage says nothing about the second",
        );
    }
    let places = Places { flow: flow_span.clone(), steps: step_places, exits: exit_places };
    Contract { name: name.map(|name| (name, flow_span)), flow: (notes.errors() == errors).then_some((flow, places)) }
}

fn flow_name(fields: &Fields<'_>, notes: &mut Notes<'_>) -> Option<String> {
    let Some(node) = fields.get("flow") else {
        notes.error_with(&fields.span, "this contract has no name", "add `flow: order-fulfilment` as its first line");
        return None;
    };
    let name = value::text(node, "a flow's name", notes)?;
    let lawful = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() <= MAX_NAME && name.chars().all(lawful) {
        return Some(name);
    }
    let lower = name.to_lowercase();
    let words = lower.split(|c| !lawful(c) || c == '-').filter(|word| !word.is_empty());
    let better: String = words.collect::<Vec<_>>().join("-").chars().take(MAX_NAME).collect();
    notes.error_with(
        &node.span,
        format!("{} is no name of a flow: lower-case letters, digits and dashes, at most {MAX_NAME}", quoted(&name)),
        if better.is_empty() {
            "a name such as `order-fulfilment`".to_owned()
        } else {
            format!("call it {}", quoted(&better))
        },
    );
    None
}

fn key(fields: &Fields<'_>, notes: &mut Notes<'_>) -> Option<Key> {
    const TRACE_ID: &str = "trace_id";
    let Some(node) = fields.get("key") else {
        notes.error_with(
            &fields.span,
            "this contract has no `key`",
            "add the attribute that names one passage, such as `key: order.id`; or `key: trace_id`",
        );
        return None;
    };
    let names = value::texts(node, ATTRIBUTE, notes);
    match &node.value {
        Value::Scalar { .. } if names == [TRACE_ID] => return Some(Key::TraceId),
        Value::List(items) if names.iter().any(|name| name == TRACE_ID) => {
            let alone = items.len() == 1;
            notes.error_with(
                &node.span,
                "`trace_id` cannot stand in a list of attributes",
                if alone { "write `key: trace_id`" } else { "a key is either the trace id or attributes" },
            );
        }
        _ => {}
    }
    Some(Key::Attributes(names))
}

/// The start and the steps after it, and the exits.
fn course(fields: &Fields<'_>, notes: &mut Notes<'_>) -> (Vec<Placed<Step>>, Vec<Placed<Exit>>) {
    let mut names = Names::default();
    let mut all = Vec::new();
    match fields.get("start") {
        Some(node) => all.extend(step::start(node, &mut names, notes)),
        None => notes.error_with(
            &fields.span,
            "this contract has no `start`",
            "say which records enter the flow, such as `start: {span: \"POST /checkout\", service: storefront}`",
        ),
    }
    let within = fields.get("within").map(|node| value::positive_duration(node, notes).unwrap_or_default());
    let start = all.first().map_or("start", |(step, _)| step.name.as_str()).to_owned();
    match fields.get("steps") {
        Some(node) if matches!(&node.value, Value::List(items) if items.is_empty()) => no_steps(&node.span, notes),
        Some(node) => all.extend(step::steps(node, &start, within, &mut names, notes)),
        None => no_steps(&fields.span, notes),
    }
    let exits = match fields.get("exits") {
        Some(node) => step::exits(node, &mut names, notes),
        None => Vec::new(),
    };
    (all, exits)
}

fn no_steps(span: &Range<usize>, notes: &mut Notes<'_>) {
    notes.error_with(
        span,
        "this contract has no steps",
        "a flow promises at least one effect: add `steps:` with the record that shows it",
    );
}

fn binds(node: &Node, notes: &mut Notes<'_>) -> Vec<Bind> {
    let Value::List(items) = &node.value else {
        value::expected("a list of bindings, each with `attribute` and `on`", node, notes);
        return Vec::new();
    };
    let mut binds = Vec::new();
    for item in items {
        let Some(fields) = Fields::of(item, "a binding", &[BIND], notes) else {
            continue;
        };
        let attribute = required_text(&fields, "attribute", "this binding", ATTRIBUTE, notes);
        let on = match fields.get("on").map(|node| (&node.value, node)) {
            Some((Value::List(_), node)) => pattern::several(node, notes),
            Some((_, node)) => pattern::read(node, notes).into_iter().collect(),
            None => {
                notes.error_with(
                    &fields.span,
                    "this binding has no `on`",
                    "say which records carry both values, such as `on: {span: \"reserve stock\"}`",
                );
                Vec::new()
            }
        };
        binds.extend(attribute.map(|attribute| Bind { attribute, on }));
    }
    binds
}

fn scope(fields: &Fields<'_>, notes: &mut Notes<'_>) -> Vec<String> {
    match fields.get("scope").map(|node| (&node.value, node)) {
        None => DEFAULT_SCOPE.map(str::to_owned).to_vec(),
        Some((Value::List(items), _)) => value::distinct(items, "a resource attribute's name", notes),
        Some((_, node)) => {
            value::expected("a list of resource attributes, such as `[deployment.environment.name]`", node, notes);
            Vec::new()
        }
    }
}

fn reentry(node: &Node, notes: &mut Notes<'_>) -> Option<Reentry> {
    match &node.value {
        Value::Scalar { text, .. } if text == "once" => Some(Reentry::Once),
        Value::Map(_) => {
            let fields = Fields::of(node, "`reentry`", &[REENTRY], notes)?;
            match fields.get("after") {
                Some(node) => value::positive_duration(node, notes).map(Reentry::After),
                None => {
                    notes.error_with(&node.span, "`reentry` has no `after`", "write `once` or `{after: 24h}`");
                    None
                }
            }
        }
        _ => {
            value::expected("`once` or `{after: 24h}`", node, notes);
            None
        }
    }
}

fn limits(node: &Node, notes: &mut Notes<'_>) -> Limits {
    let Some(fields) = Fields::of(node, "`limits`", &[LIMITS], notes) else {
        return Limits::default();
    };
    if let (Some(_), Some(second)) = (fields.entry("unaccounted"), fields.entry("abandonment")) {
        notes.error_with(
            &second.key_span,
            "`limits` has both `unaccounted` and `abandonment`",
            "both speak of journeys that just end: take `abandonment` where people may leave, `unaccounted` where nothing may",
        );
    }
    let mut share = |name| fields.get(name).and_then(|node| value::share(node, notes));
    let (rejected, dead_lettered, late, unknown) =
        (share("rejected"), share("dead_lettered"), share("late"), share("unknown"));
    let mut allowance = |name| fields.get(name).and_then(|node| allowance(node, notes));
    let (unaccounted, abandonment) = (allowance("unaccounted"), allowance("abandonment"));
    Limits { rejected, dead_lettered, late, unknown, unaccounted, abandonment }
}

/// A share, or `usual`.
fn allowance(node: &Node, notes: &mut Notes<'_>) -> Option<Allowance> {
    match &node.value {
        Value::Scalar { text, .. } if text == USUAL => Some(Allowance::Usual),
        Value::Scalar { text, .. } if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            notes.error_with(
                &node.span,
                format!("expected a share such as `2%`, or `{USUAL}`, found {}", quoted(text)),
                format!("`{USUAL}` holds each step against the flow's own past"),
            );
            None
        }
        _ => value::share(node, notes).map(Allowance::Share),
    }
}

fn reconcile(node: &Node, notes: &mut Notes<'_>) -> Vec<Reconcile> {
    let Value::List(items) = &node.value else {
        let found = node.found();
        notes.error_with(
            &node.span,
            format!("expected a list of counters, found {found}"),
            "such as `- {metric: inventory.events.dropped, by: reason}`",
        );
        return Vec::new();
    };
    if let Some(beyond) = items.get(MAX_RECONCILED) {
        notes.error_with(
            &beyond.span,
            format!("a flow is held against at most {MAX_RECONCILED} counters, and this has {}", items.len()),
            "one counter with an attribute for the reason says more than one for each reason",
        );
    }
    items.iter().take(MAX_RECONCILED).filter_map(|item| counter(item, notes)).collect()
}

fn counter(node: &Node, notes: &mut Notes<'_>) -> Option<Reconcile> {
    let fields = Fields::of(node, "an entry of `reconcile`", &[RECONCILE], notes)?;
    if fields.get("metric").is_none() && fields.all_known {
        notes.error_with(
            &fields.span,
            "this entry has no `metric`",
            "name the service's own counter, such as `metric: inventory.events.dropped`",
        );
    }
    let mut text = |name, what| fields.get(name).and_then(|node| value::text(node, what, notes));
    let metric = text("metric", "a metric's name such as `inventory.events.dropped`");
    let service = text("service", "a service's name");
    let by = text("by", "an attribute's name such as `reason`");
    let outcome = fields.get("outcome").and_then(|node| value::choice(node, &step::OUTCOMES, notes));
    let attributes = fields.get("attributes").map_or_else(Vec::new, |node| pattern::conditions(node, notes));
    Some(Reconcile { metric: metric?, service, by, outcome, attributes })
}

fn expect(node: &Node, notes: &mut Notes<'_>) -> Option<Expect> {
    let fields = Fields::of(node, "`expect`", &[EXPECT], notes)?;
    for name in EXPECT {
        if fields.get(name).is_none() {
            notes.error_with(
                &node.span,
                format!("`expect` has no `{name}`"),
                "it needs both, such as `{at_least: 10, per: 1h}`",
            );
        }
    }
    let at_least = fields.get("at_least").and_then(|node| value::count(node, notes));
    let per = fields.get("per").and_then(|node| value::positive_duration(node, notes));
    Some(Expect { at_least: at_least?, per: per? })
}

fn sampled(node: &Node, notes: &mut Notes<'_>) -> BTreeMap<String, f64> {
    let Value::Map(entries) = &node.value else {
        value::expected("services with their shares, such as `{storefront: 10%}`", node, notes);
        return BTreeMap::new();
    };
    let shares = entries.iter().map(|entry| (entry, value::share(&entry.value, notes)));
    shares.filter_map(|(entry, share)| Some((entry.key.clone(), share?))).collect()
}
