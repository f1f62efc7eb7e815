//! Contracts as users write them: right ones compile to what they say, wrong ones are pointed at.

use std::time::Duration;

use proptest::prelude::*;
use truegreen_model::flow::{
    Allowance, Condition, ExitOutcome, Expected, FanOut, Flow, Key, MAX_CONDITIONS, MAX_EXITS, MAX_STEPS, ReasonSource,
    Reentry, Signal, SpanKind, StepId, Test, Text,
};

use super::*;

/// Every field that a contract may have.
const ORDER: &str = include_str!("fixtures/order-fulfilment.yaml");
/// As little as a contract may say.
const MINIMAL: &str = "
flow: payment
key: trace_id
start: {span: pay}
steps:
  - {name: booked, log: payment.booked, service: ledger, within: 5s}
";

fn source(text: &str) -> Source {
    Source { path: "flows/order.yaml".to_owned(), text: text.to_owned() }
}

fn compiled(text: &str) -> Compiled {
    let source = source(text);
    compile(std::slice::from_ref(&source)).unwrap_or_else(|found| panic!("{}", rendered(&found, &[source])))
}

fn flow(text: &str) -> Flow {
    let mut flows = compiled(text).flows;
    assert_eq!(flows.len(), 1);
    flows.remove(0)
}

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    match compile(&[source(text)]) {
        Ok(compiled) => compiled.warnings,
        Err(found) => found,
    }
}

fn rendered(found: &[Diagnostic], sources: &[Source]) -> String {
    let of = |diagnostic: &Diagnostic| sources.iter().find(|source| source.path == diagnostic.path).unwrap();
    let rendered: Vec<String> = found.iter().map(|found| found.render(of(found), false)).collect();
    rendered.join("\n\n")
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A minimal contract with this line in the stead of the one that begins alike, or as one more.
fn with(line: &str) -> String {
    let field = line.split(':').next().unwrap();
    let kept = MINIMAL.lines().filter(|kept| kept.split(':').next() != Some(field));
    let kept: Vec<&str> = kept.collect();
    // Above the steps, whose lines are indented and belong together.
    format!("{line}\n{}\n", kept.join("\n").trim_start())
}

#[test]
fn every_field_of_a_contract_reaches_the_flow() {
    let flow = flow(ORDER);
    assert_eq!(flow.name, "order-fulfilment");
    assert_eq!(flow.key, Key::Attributes(vec!["order.id".into(), "orderId".into()]));
    assert_eq!(flow.bind[0].attribute, "reservation.id");
    assert_eq!(flow.bind[0].on[0].service, Some(Text("inventory".into())));
    assert_eq!(flow.scope, ["deployment.environment.name"]);
    assert_eq!(flow.grace, Duration::from_secs(3));
    assert_eq!(flow.reentry, Reentry::After(Duration::from_secs(24 * 3600)));
    assert_eq!((flow.limits.rejected, flow.limits.late), (Some(0.05), Some(0.01)));
    assert_eq!(flow.expect.map(|expect| expect.at_least), Some(10));
    assert_eq!(flow.sampled["storefront"], 0.1);
    assert_eq!(flow.limits.unaccounted, Some(Allowance::Share(0.015)));
    let [dropped, parked] = flow.reconcile.as_slice() else { panic!("{:?}", flow.reconcile) };
    assert_eq!((dropped.metric.as_str(), dropped.by.as_deref()), ("inventory.events.dropped", Some("reason")));
    assert_eq!((dropped.service.as_deref(), dropped.outcome), (Some("inventory"), Some(ExitOutcome::Rejected)));
    assert_eq!(dropped.attributes[0].attribute, "event.kind");
    assert_eq!((&parked.service, &parked.by, parked.outcome, parked.attributes.len()), (&None, &None, None, 0));

    let [placed, published, stock, invoice, mail] = flow.steps.as_slice() else { panic!("{} steps", flow.steps.len()) };
    assert_eq!((placed.name.as_str(), placed.after), ("placed", StepId::START));
    let below_400 = Test::Number { at_least: None, below: Some(400.0) };
    assert_eq!(placed.any_of[0].kind, Some(SpanKind::Server));
    assert_eq!(placed.any_of[0].attributes[0].test, below_400);
    assert_eq!((published.within, published.after), (Duration::from_secs(5), StepId(0)));
    assert_eq!((stock.within, stock.after), (Duration::from_secs(20), StepId(1)));
    let each_line = FanOut::ForEach { attribute: "order.lines".into(), item: "line.sku".into() };
    assert_eq!(stock.fan_out, Some(each_line));
    assert_eq!(stock.unless.len(), 1);
    let signals: Vec<Signal> = stock.any_of.iter().map(|pattern| pattern.signal).collect();
    assert_eq!(signals, [Signal::Span, Signal::Log, Signal::Event]);
    assert_eq!(stock.any_of[1].severity_at_least, Some(13));
    assert_eq!((invoice.within, invoice.after), (Duration::from_secs(30), StepId(1)));
    assert!(mail.optional);

    assert_eq!(flow.exits[0].outcome, ExitOutcome::Rejected);
    assert_eq!(flow.exits[0].reason, ReasonSource::Attributes(vec!["reason".into()]));
    assert_eq!(flow.exits[1].outcome, ExitOutcome::DeadLettered);
    assert_eq!(flow.exits[1].reason, ReasonSource::Fixed("poison".into()));
}

#[test]
fn what_is_left_out_has_its_default() {
    let flow = flow(MINIMAL);
    assert_eq!(flow.key, Key::TraceId);
    assert_eq!(flow.scope, ["deployment.environment.name", "service.namespace"]);
    assert_eq!(flow.grace, Duration::from_secs(2));
    assert_eq!(flow.reentry, Reentry::Once);
    assert_eq!((flow.limits.unknown, flow.expect), (None, None));
    assert_eq!(flow.steps[0].name, "start");
    assert_eq!(flow.steps[1].after, StepId::START);
}

#[test]
fn a_limit_is_a_share_or_what_is_usual() {
    let limits = |text: &str| flow(&with(&format!("limits: {{{text}}}"))).limits;
    assert_eq!(limits("unaccounted: 2%").allowance(), Some(Allowance::Share(0.02)));
    assert_eq!(limits("unaccounted: usual").allowance(), Some(Allowance::Usual));
    assert_eq!(limits("abandonment: usual").abandonment, Some(Allowance::Usual));
    assert_eq!(limits("unaccounted: 0").allowance(), None, "the first one is a finding");
    for text in ["unaccounted: 2%", "unaccounted: usual", "abandonment: 0.4", "abandonment: usual"] {
        let words = describe(&flow(&with(&format!("limits: {{{text}}}"))));
        assert!(words.contains("surely more"), "{words}");
    }
}

#[test]
fn tests_of_attributes_say_what_they_look_like() {
    let cases = [
        ("card", Test::AnyOf(vec![Text("card".into())])),
        ("1.10", Test::AnyOf(vec![Text("1.10".into())])),
        ("True", Test::AnyOf(vec![Text("true".into())])),
        ("'True'", Test::AnyOf(vec![Text("True".into())])),
        ("[a*, b]", Test::AnyOf(vec![Text("a*".into()), Text("b".into())])),
        ("{not: a}", Test::NoneOf(vec![Text("a".into())])),
        ("{not: [a, b]}", Test::NoneOf(vec![Text("a".into()), Text("b".into())])),
        ("{present: true}", Test::Present),
        ("{present: false}", Test::Absent),
    ];
    for (text, test) in cases {
        let flow = flow(&with(&format!("start: {{span: pay, attributes: {{a.b: {text}}}}}")));
        let attribute = "a.b".to_owned();
        assert_eq!(flow.steps[0].any_of[0].attributes, [Condition { attribute, test }], "{text}");
    }
}

#[test]
fn any_name_may_be_left_open() {
    for start in ["{span: null, service: web}", "{span: '*', service: web}", "{span: , service: web}"] {
        assert_eq!(flow(&with(&format!("start: {start}"))).steps[0].any_of[0].name, None, "{start}");
    }
}

#[test]
fn aliases_and_several_documents_are_plain_yaml() {
    let text = "
flow: one
key: order.id
start: &start {span: pay, service: till}
steps:
  - &booked {name: booked, span: book, service: ledger, within: 5s}
exits: &exits [{name: refused, log: refused}]
---
# nothing in this one
---
flow: two
key: order.id
start: {any_of: [{log: paid, service: till}]}
steps: [{name: sent, span: send, service: post, within: 1h}]
";
    let names: Vec<String> = compiled(text).flows.into_iter().map(|flow| flow.name).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn malformed_contracts_are_pointed_at() {
    for (name, text) in MALFORMED {
        let source = source(text);
        let found = compile(std::slice::from_ref(&source)).expect_err(name);
        snapshot(name, &rendered(&found, &[source]));
    }
}

#[test]
fn doubtful_contracts_are_taken_with_a_warning() {
    let text = "
flow: doubtful
key: order.id
start: {span: '*'}
steps:
  - {name: published, span: publish, kind: producer, within: 5s}
  - {name: processed, span: process orders, kind: consumer, service: inventory, within: 5s}
  - {name: mirrored, span: publish, kind: producer, optional: true}
---
flow: owes-nothing
key: order.id
start: {span: pay}
steps: [{name: seen, log: seen, service: till, optional: true}]
exits: [{name: refused, log: refused}]
";
    let source = source(text);
    let compiled = compile(std::slice::from_ref(&source)).unwrap();
    assert_eq!(compiled.flows.len(), 2);
    snapshot("warnings", &rendered(&compiled.warnings, &[source]));
}

#[test]
fn names_are_unique_over_all_files() {
    let second = Source { path: "flows/payment.yaml".to_owned(), text: MINIMAL.trim_start().to_owned() };
    let sources = [source(MINIMAL), second];
    let found: Vec<Diagnostic> =
        compile(&sources).unwrap_err().into_iter().filter(|found| found.severity == Severity::Error).collect();
    snapshot("duplicate_flow", &rendered(&found, &sources));
}

#[test]
fn places_count_characters_and_lines_from_one() {
    let found = diagnostics(&with("description: {ä: ö, grün: x}"));
    assert_eq!((found[0].line, found[0].column), (1, 14));
    let found = diagnostics(&with("start: {span: ä, serwice: x}"));
    let unknown = found.iter().find(|found| found.message.contains("serwice")).unwrap();
    assert_eq!((unknown.line, unknown.column), (1, 18));
}

#[test]
fn bounds_of_the_model_are_held() {
    let step = |n: usize, more: &str| format!("  - {{name: s{n}, log: l{n}, service: a, within: 1s{more}}}\n");
    let head = "flow: many\nkey: k\nstart: {span: x}\n";
    let steps = |count: usize, more: &str| (0..count).map(|n| step(n, more)).collect::<String>();
    let exits = |count: usize| {
        let exits: String = (0..count).map(|n| format!("  - {{name: e{n}, log: x{n}}}\n")).collect();
        format!("exits:\n{exits}")
    };
    let most = format!("{head}{}steps:\n{}", exits(MAX_EXITS), steps(MAX_STEPS - 1, ""));
    assert_eq!(flow(&most).steps.len(), MAX_STEPS);

    let errors = |text: &str| {
        let found = compile(&[source(text)]).unwrap_err();
        found.into_iter().filter(|found| found.severity == Severity::Error).count()
    };
    assert_eq!(errors(&format!("{head}steps:\n{}", steps(MAX_STEPS, ""))), 1);
    assert_eq!(errors(&format!("{head}{}steps:\n{}", exits(MAX_EXITS + 1), steps(1, ""))), 1);
    let any =
        format!("  - {{name: s, within: 1s, any_of: [{}]}}\n", "{log: l, service: a},".repeat(MAX_ALTERNATIVES + 1));
    assert_eq!(errors(&format!("{head}steps:\n{any}")), 1);
    let two = ", when: {a: b}, unless: {c: d}";
    let full = format!("{head}steps:\n{}", steps(MAX_CONDITIONS / 2, two));
    assert_eq!(flow(&full).steps.len(), MAX_CONDITIONS / 2 + 1);
    assert_eq!(errors(&format!("{head}steps:\n{}", steps(MAX_CONDITIONS / 2 + 1, two))), 1);
}

/// A "billion laughs" text unfolds to no more than the bound, and a deep one goes no deeper than it.
#[test]
fn text_that_grows_without_end_is_refused() {
    let mut bomb = String::from("a: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let alias = format!("*a{}", n - 1);
        bomb.push_str(&format!("b{n}: &a{n} [{}]\n", [alias.as_str(); 9].join(", ")));
    }
    assert!(diagnostics(&bomb).iter().any(|found| found.message.contains("aliases")));

    let deep = format!("flow: {}", "[".repeat(100_000));
    assert!(!diagnostics(&deep).is_empty());
    let deep: String = (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(!diagnostics(&deep).is_empty());

    let inside_itself = "flow: x\nkey: &k [*k]\n";
    assert!(diagnostics(inside_itself).iter().any(|found| found.message.contains("inside of what it names")));

    let long = "# \n".repeat(MAX_SOURCE_BYTES);
    assert!(diagnostics(&long)[0].message.contains("more than"));

    let mistakes: String = (0..10_000).map(|n| format!("wrong{n}: 1\n")).collect();
    assert_eq!(diagnostics(&mistakes).len(), MAX_DIAGNOSTICS + 1);
}

#[test]
fn flows_are_told_in_plain_words() {
    snapshot("describe_full", &describe(&flow(ORDER)));
    snapshot("describe_minimal", &describe(&flow(MINIMAL)));
}

/// The examples of the reference are contracts that a reader may copy.
#[test]
fn the_examples_of_the_reference_compile() {
    let reference = include_str!("../../../../docs/flow-contract.md");
    let blocks = reference.split("```yaml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let whole: Vec<&str> = blocks.filter(|block| block.starts_with("flow:")).collect();
    assert_eq!(whole.len(), 3);
    for example in whole {
        let compiled = compiled(example);
        let warnings = rendered(&compiled.warnings, &[source(example)]);
        assert!(warnings.is_empty(), "{warnings}");
    }
}

#[test]
fn the_reference_names_every_field() {
    let reference = include_str!("../../../../docs/flow-contract.md");
    for (_, fields) in form::FIELDS {
        for field in fields.iter().copied().flatten() {
            let named = [format!("`{field}`"), format!("{{{field}: ")];
            assert!(named.iter().any(|name| reference.contains(name)), "docs/flow-contract.md has no `{field}`");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is done to a contract's text, it compiles or is refused with places that are in it.
    #[test]
    fn no_text_makes_it_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, prop::sample::select(SPLINTERS)), 0..8)
    ) {
        let mut text = ORDER.to_owned();
        for (at, removed, splinter) in edits {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.floor_char_boundary((start + removed).min(text.len()));
            text.replace_range(start..end.max(start), splinter);
        }
        holds(&text);
    }

    #[test]
    fn no_line_noise_makes_it_panic(text in "[\\PC\n\t]{0,200}") {
        holds(&text);
    }
}

/// Text that breaks or bends YAML.
const SPLINTERS: &[&str] = &[
    "", "\n", " ", "\t", ": ", "- ", "[", "]", "{", "}", "\"", "'", "&a ", "*a", "!!str ", "---\n", "...\n", "|\n",
    "? ", "#", "%", "ä", "\u{feff}", "\r\n", "null", "<<: *a\n", "-1", "1e999", "\0",
];

fn holds(text: &str) {
    let source = source(text);
    let found = match compile(std::slice::from_ref(&source)) {
        Ok(compiled) => {
            compiled.flows.iter().for_each(|flow| drop(describe(flow)));
            compiled.warnings
        }
        Err(found) => {
            assert!(found.iter().any(|found| found.severity == Severity::Error));
            found
        }
    };
    for diagnostic in found {
        assert!(text.get(diagnostic.span.clone()).is_some());
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
        assert!(!diagnostic.render(&source, true).is_empty());
    }
}

const MALFORMED: &[(&str, &str)] = &[
    ("six_errors_at_once", SIX),
    ("not_yaml", "\
flow: broken
steps: [a, b
---
flow: Also Broken
key: []
start: {span: x}
steps: []
"),
    ("unquoted_star", "\
flow: x
key: k
start: {span: *pay, service: till}
steps: [{name: a, log: b, within: 1s, service: c}]
---
flow: y
start:
  span: * pay
"),
    ("unquoted_colon", "\
flow: x
description: orders: all of them
"),
    ("tabs", "\
flow: x
start:
\tspan: pay
"),
    ("keys_twice", "\
flow: a
key: k
key: l
start: {span: x, span: y}
steps: [{name: a, log: b, within: 1s, service: c}]
"),
    ("empty", "{}"),
    ("not_a_contract", "\
- flow: a
- flow: b
"),
    ("durations", "
flow: a
key: k
within: soon
grace: [2s]
start: {span: x}
steps:
  - {name: one, log: a, within: 30}
  - {name: two, log: b, within: 0s}
  - {name: three, log: c, within: }
  - {name: four, log: d, within: 5 minutes}
  - {name: five, log: e, within: 400d}
"),
    ("no_deadline", "\
flow: a
key: k
start: {span: x}
steps:
  - name: one
    log: a
  - {name: two, log: b, optional: true}
"),
    ("after", "
flow: a
key: k
within: 1s
start: {name: placed, span: x}
steps:
  - {name: one, log: a, after: two}
  - {name: two, log: b, after: two}
  - {name: three, log: c, after: palced}
  - {name: four, log: d, after: shipping}
"),
    ("names", "
flow: Order Fulfilment!
key: k
within: 1s
start: {span: x}
steps:
  - {name: start, log: a}
  - {name: one, log: b}
  - {name: '', log: c}
  - {log: d}
exits:
  - {name: one, log: e}
"),
    ("patterns", "
flow: a
key: k
within: 1s
start: {service: till}
steps:
  - {name: one, span: a, log: b}
  - {name: two, log: a, kind: server}
  - {name: three, span: a, body: b, severity: warn}
  - {name: four, log: a, severity: wran}
  - {name: five, log: a, severity: 25}
  - {name: six, span: a, kind: consumr}
  - {name: seven, span: a, any_of: [{span: b}]}
  - {name: eight, any_of: []}
  - {name: nine}
  - {name: ten, any_of: [{spam: b}]}
  - {name: eleven, span: [a, b]}
"),
    ("tests_of_attributes", "
flow: a
key: k
within: 1s
start:
  span: x
  attributes: {a: , b: [], c: {}, d: {not: 1, present: true}, e: {at_least: 5, below: 5}, f: {at_leest: 5}, g: {below: high}, h: {present: yes}}
steps:
  - {name: one, log: a, when: digital}
"),
    ("fan_out", "
flow: a
key: k
within: 1s
start: {span: x}
steps:
  - {name: one, log: a, for_each: order.lines, count_from: order.count}
  - {name: two, log: b, for_each: {item: sku}}
  - {name: three, log: c, foreach: order.lines}
"),
    ("exits_and_rules", "
flow: a
key: [trace_id]
bind: [{attribute: b}, {on: {span: c}}, reservation.id]
scope: everywhere
start: {span: x}
within: 1s
steps: [{name: one, log: a}]
exits:
  - {name: refused, log: b, outcome: dead-lettered, reason: {attribute: a, fixed: b}}
  - {name: gone, log: c, outcome: lost, reason: []}
reentry: twice
limits: {rejected: 5, late: 120%, unknown: few, lost: 1%}
expect: {at_least: 0}
sampled: {till: 200%}
optional: maybe
"),
    ("allowances_and_counters", "
flow: a
key: b
start: {span: x}
steps: [{name: one, log: a, within: 1s, service: c}]
limits: {unaccounted: normal, abandonment: 150%}
reconcile:
  - {metric: a.dropped, by: reason, service: [a], outcome: lost, attribute: {a: b}}
  - {by: reason}
  - a.dropped
---
flow: b
key: b
start: {span: x}
steps: [{name: one, log: a, within: 1s, service: c}]
limits: {rejected: usual}
reconcile: {metric: a.dropped}
"),
    ("tags_and_keys", "\
flow: !name a
key: k
? [a, b]
: c
start: {span: x}
steps: [{name: a, log: b, within: 1s, service: c, <<: {optional: true}}]
"),
];

const SIX: &str = "\
flow: order-fulfilment
key: order.id
start:
  span: POST /checkout
  servise: storefront
steps:
  - name: published
    span: orders publish
    within: [5s]
  - name: stock_updated
    after: publised
    within: 20
    span: UPDATE stock
    log: stock.updated
exits:
  - name: published
    log: inventory.event.rejected
";

#[test]
fn an_effect_can_be_looked_up_and_mistakes_point_at_their_line() {
    let contract = |confirm: &str| {
        let text = "flow: orders\nkey: order.id\nstart: {span: place, service: shop}\nwithin: 10s\nsteps:\n  \
                    - {name: stored, span: store, service: depot}\n    # -\n";
        text.replace("service: depot}", &format!("service: depot, confirm: {confirm}}}"))
    };
    let confirmed = |text: &str| flow(&contract(text)).steps[1].confirm.clone().unwrap();
    let short = confirmed("{system: db, ask: SELECT 1 FROM moves WHERE id = $1}");
    assert_eq!((short.system.as_str(), short.expect, short.sample), ("db", Expected::Row, 0.01));
    assert_eq!((short.ask.as_str(), short.after), ("SELECT 1 FROM moves WHERE id = $1", Duration::from_secs(5)));
    let full = "{system: db, ask: GET {key}, expect: {state: shipped, n: 3}, sample: 10%, after: 1m}";
    let full = confirmed(&full.replace("GET {key}", "'GET {key}'"));
    let columns = [("n", "3"), ("state", "shipped")].map(|(column, value)| (column.to_owned(), value.to_owned()));
    assert_eq!(full.expect, Expected::Columns(columns.into()));
    assert_eq!((full.sample, full.after), (0.1, Duration::from_secs(60)));

    let wrong = |confirm: &str| {
        let sources = [source(&contract(confirm))];
        rendered(&compile(&sources).unwrap_err(), &sources)
    };
    for (confirm, said) in [
        ("{ask: SELECT 1}", "`confirm` of step `stored` has no `system`"),
        ("{system: db}", "has no `ask`"),
        ("{system: db, ask: q, expect: rows}", "did you mean `row`?"),
        ("{system: db, ask: q, expect: {}}", "`expect` names no column"),
        ("{system: db, ask: q, sampled: 1%}", "did you mean `sample`?"),
    ] {
        let found = wrong(confirm);
        assert!(found.contains(said) && found.contains("order.yaml:6"), "{found}");
    }
    let twice = contract("{system: db, ask: q}") + "reentry: {after: 1h}\n";
    let sources = [source(&twice)];
    let found = rendered(&compile(&sources).unwrap_err(), &sources);
    assert!(found.contains("the same key may pass again"), "{found}");
}
