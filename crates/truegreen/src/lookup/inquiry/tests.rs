//! What is asked, what an answer means and what it comes to, without any system.

use std::collections::BTreeMap;

use truegreen_connect::address::Surroundings;
use truegreen_connect::config::TraceQuestion;
use truegreen_connect::confirm::Found;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_connect::{Address, Error, Kind, SystemConfig};
use truegreen_engine::flow::{Source, compile};
use truegreen_model::answer::SystemAnswer;
use truegreen_model::flow::{Expected, Flow};
use truegreen_model::letter::Letter;
use truegreen_model::passage::PassageReport;

use super::plan::{Asked, Place, Plan, Sought, Way};
use super::questions::{Behind, answer};
use super::subject::Subject;
use super::{conclusion, shown};
use crate::lookup::rows::samples;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn flows() -> Vec<Flow> {
    let text = "
flow: order-fulfilment
key: order.id
start: {name: placed, span: place order}
steps:
  - {name: published, span: publish, attributes: {messaging.destination.name: stock-events, messaging.system: kafka}, within: 5s}
  - name: stock_updated
    span: UPDATE stock
    within: 10s
    confirm: {system: stock-db, ask: SELECT state FROM stock_moves WHERE order_id = $1, expect: {state: moved}}
  - {name: billed, span: bill, within: 10s, confirm: {system: nobody, ask: 'GET /{key}'}}
";
    let carts = "
flow: carts
key: trace_id
start: {name: opened, span: open}
steps: [{name: paid, span: pay, within: 10s}]
";
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    compile(&[source("a.yaml", text), source("b.yaml", carts)]).unwrap().flows
}

fn system(name: &str, url: &str) -> SystemConfig {
    SystemConfig::new(name, Address::parse(url, &Surroundings).unwrap())
}

fn question(name: &str, flow: Option<&str>, hop: Option<&str>) -> TraceQuestion {
    let (flow, hop) = (flow.map(str::to_owned), hop.map(str::to_owned));
    TraceQuestion { name: name.to_owned(), ask: "GET cart:{key}".to_owned(), flow, hop }
}

fn systems() -> Vec<SystemConfig> {
    let mut broker = system("broker", "amqp://mq");
    broker.watch = vec!["orders".to_owned(), "orders.dead".to_owned()];
    broker.dead_letters = vec!["orders.dead".to_owned()];
    let mut cache = system("cache", "redis://cache");
    cache.trace =
        vec![question("cart", Some("order-fulfilment"), Some("placed")), question("basket", Some("carts"), None)];
    vec![broker, cache, system("log", "kafka://k"), system("page", "http://page"), system("stock-db", "postgres://db")]
}

fn asked(report: &PassageReport, named: &[(String, String)]) -> Subject {
    Subject::of(report, named, None, &flows())
}

#[test]
fn the_journeys_own_keys_are_asked_for_else_what_was_asked() {
    let subject = asked(&samples::lost_order(), &[]);
    assert_eq!(subject.keys, [("order-fulfilment".to_owned(), "ord-42".to_owned())]);
    assert_eq!((subject.words.as_slice(), subject.traces.len()), (&["ord-42".to_owned()][..], 1));
    assert!(subject.traces.contains(TRACE));
    assert!(subject.destinations.contains(&(Some(Kind::Kafka), "stock-events".to_owned())), "{subject:?}");

    let of = |text: &str, found_as: &[&str]| PassageReport {
        asked: text.to_owned(),
        found_as: found_as.iter().map(|how| (*how).to_owned()).collect(),
        ..PassageReport::default()
    };
    let pair = |flow: &str, key: &str| (flow.to_owned(), key.to_owned());
    // Whatever nobody knows may be a key; a trace id is one of flows that are keyed so.
    assert_eq!(asked(&of("ord-7", &[]), &[]).keys, [pair("order-fulfilment", "ord-7")]);
    assert_eq!(asked(&of(TRACE, &[]), &[]).keys, [pair("order-fulfilment", TRACE), pair("carts", TRACE)]);
    // The log names the key of a journey that is forgotten.
    let named = [pair("order-fulfilment", "ord-9")];
    let forgotten = asked(&of(TRACE, &["trace_id"]), &named);
    assert_eq!(
        (forgotten.keys.as_slice(), forgotten.words.as_slice()),
        (&named[..], &["ord-9".to_owned(), TRACE.to_owned()][..])
    );
    // A message that leads to no key is looked for among letters alone.
    let message = asked(&of("msg-7", &["message_id"]), &[]);
    assert_eq!((message.keys.len(), message.words.as_slice()), (0, &["msg-7".to_owned()][..]));
    let many: Vec<_> = (0..9).map(|n| pair("order-fulfilment", &format!("o-{n}"))).collect();
    let many = asked(&of(TRACE, &["trace_id"]), &many);
    assert_eq!((many.keys.len(), many.further_keys, many.words[0].as_str()), (4, 5, "o-8"));
}

#[test]
fn each_system_is_asked_for_what_it_can_tell() {
    let (subject, flows, systems) = (asked(&samples::lost_order(), &[]), flows(), systems());
    let configs: Vec<&SystemConfig> = systems.iter().collect();
    let plan = Plan::of(&subject, &flows, &configs);
    let told: Vec<(&str, &str, usize)> = plan
        .chains
        .iter()
        .map(|chain| match &chain.way {
            Way::Questions(questions) => (chain.system.as_str(), "questions", questions.len()),
            Way::DeadLetters(_) => (chain.system.as_str(), "dead letters", 1),
            Way::Messages(places, _) => (chain.system.as_str(), "messages", places.len()),
        })
        .collect();
    let expected = [
        ("broker", "dead letters", 1),
        ("broker", "messages", 1),
        ("cache", "questions", 1),
        ("cache", "dead letters", 1),
        ("log", "dead letters", 1),
        ("log", "messages", 1),
        ("stock-db", "questions", 1),
        ("nobody", "questions", 1),
    ];
    assert_eq!(told, expected);
    let Way::Messages(places, _) = &plan.chains[1].way else { panic!() };
    assert_eq!(
        places,
        &[Place { name: "orders".to_owned(), is_certain: true }],
        "what lies dead is looked into anyway"
    );
    let Way::Questions(questions) = &plan.chains[2].way else { panic!() };
    let Asked { blanks, expect, .. } = &questions[0];
    assert_eq!((blanks[0].of.as_str(), blanks[0].step.as_deref(), expect), ("cart", Some("placed"), &None));
    assert_eq!(
        Plan::of(&subject, &flows, &[]).chains.len(),
        2,
        "a contract's question is never passed over in silence"
    );
}

fn row(fields: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
}

fn blank(ask: &str) -> SystemAnswer {
    SystemAnswer { key: "ord-42".to_owned(), question: Some(ask.to_owned()), ..SystemAnswer::default() }
}

#[test]
fn an_answer_says_what_was_found_where() {
    let sql = "SELECT state FROM shop.stock_moves WHERE order_id = $1";
    let moved = Expected::Columns([("state".to_owned(), "moved".to_owned())].into());
    let rows = |state: &str| Ok(Found::Rows(vec![row(&[("state", Some(state)), ("at", None)])]));
    let (db, cache, page) = (Some(Kind::Postgres), Some(Kind::Redis), Some(Kind::Http));
    let get = "GET cart:{key}";
    let none = || Ok(Found::Nothing);
    let cases = [
        (
            db,
            sql,
            Some(&moved),
            rows("moved"),
            Behind::Never,
            "found",
            Some(true),
            "a row in shop.stock_moves: at=NULL, state=moved",
        ),
        (
            db,
            sql,
            Some(&moved),
            rows("open"),
            Behind::Never,
            "found",
            Some(false),
            "a row in shop.stock_moves, but not state=moved: at=NULL, state=open",
        ),
        (db, sql, Some(&moved), none(), Behind::By(0.0), "not_found", Some(false), "no row in shop.stock_moves"),
        (
            db,
            sql,
            Some(&moved),
            none(),
            Behind::By(2.5),
            "not_found",
            Some(false),
            "no row in shop.stock_moves, as of 2.5 s before: it is a replica",
        ),
        (
            db,
            sql,
            Some(&Expected::Nothing),
            none(),
            Behind::Never,
            "not_found",
            Some(true),
            "no row in shop.stock_moves, as it should be",
        ),
        (cache, get, None, rows("x"), Behind::Untold, "found", None, "entry cart:ord-42: at=NULL, state=x"),
        (cache, get, None, none(), Behind::Never, "not_found", None, "no entry cart:ord-42"),
        (page, "GET /orders/{key}", None, none(), Behind::Never, "not_found", None, "nothing at /orders/ord-42"),
        (
            db,
            sql,
            None,
            none(),
            Behind::Untold,
            "cannot_tell",
            None,
            "cannot tell: no row in shop.stock_moves, but how far it is behind is not told, and it may be a replica",
        ),
        (
            db,
            "SELECT 1",
            None,
            Err(Error::Denied("no\nhint: x".to_owned())),
            Behind::Never,
            "cannot_tell",
            None,
            "cannot tell: does not let us: no",
        ),
    ];
    for (kind, ask, expect, found, behind, standing, is_there, says) in cases {
        let told = answer(blank(ask), kind, expect, found, behind, &Redaction::default());
        assert_eq!((told.standing.as_str(), told.is_there, told.says.as_str()), (standing, is_there, says));
    }
}

#[test]
fn what_rows_hold_is_hidden_cut_and_harmless() {
    let hostile = row(&[
        ("password", Some("hunter2")),
        ("body", Some("{\"token\": \"hunter2\", \"a\": 1}")),
        ("note", Some("secret=hunter2 \u{1b}[2J\u{202e}")),
        ("long", Some(&"x".repeat(5_000))),
        ("\u{7}", None),
    ]);
    let shown = shown::rows(&[hostile], &Redaction::default());
    let text = format!("{shown:?} {}", shown::rows_text(&shown));
    assert!(!text.contains("hunter2") && !text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text}");
    assert!(shown[0]["long"].as_ref().unwrap().chars().count() < 400);
}

#[test]
fn a_command_is_safe_to_copy() {
    let command = |place: &str, id: &str| shown::command("broker", place, id);
    assert_eq!(
        command("orders.dead", "17-4").as_deref(),
        Some("truegreen dlq show 17-4 --system broker --place orders.dead")
    );
    let hostile = command("a; rm -rf '~'", "-x").unwrap();
    assert_eq!(hostile, "truegreen dlq show --system broker --place 'a; rm -rf '\\''~'\\''' -- -x");
    assert_eq!(command("dead", "1\n2"), None);
    assert_eq!(command("dead", &"x".repeat(600)), None);
}

#[test]
fn letters_are_known_by_the_key_or_by_the_trace() {
    let sought = Sought { words: vec!["ord-4".to_owned()], traces: [TRACE.to_owned()].into() };
    let by = |letter: Letter| sought.finds(&letter, &Redaction::default());
    let body = |text: &str| Letter { body: text.as_bytes().to_vec(), ..Letter::default() };
    assert_eq!(by(body(r#"{"order":"ord-4"}"#)), Some("key"));
    assert_eq!(by(body(r#"{"order":"ord-42"}"#)), None);
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    assert_eq!(by(Letter { traceparent, ..body("{}") }), Some("trace"));
}

#[test]
fn the_conclusion_says_what_contradicts_and_what_completes() {
    let mut report = samples::lost_order();
    let expected = "telemetry shows nothing after `published`; stock-db has no row in stock_moves; its message lies dead in \
                    orders.dead of broker since 2026-01-01 10:00:03 UTC (MissingSku); cache: entry cart:ord-42; erp cannot tell \
                    everything";
    assert_eq!(conclusion::of(&report).unwrap(), expected);

    // The row is there, and telemetry does not know.
    report.answers[0].is_there = Some(true);
    report.answers[0].says = "a row in stock_moves: state=moved".to_owned();
    report.answers.truncate(1);
    let expected = "telemetry shows nothing after `published`; `stock_updated` was done all the same: stock-db has a row in stock_moves";
    assert_eq!(conclusion::of(&report).unwrap(), expected);

    // Telemetry says that it was done, and the row is not there.
    report.gaps.clear();
    report.journeys[0].journey.verdict = "completed".to_owned();
    report.journeys[0].journey.reason = None;
    report.journeys[0].seen[1].step = "stock_updated".to_owned();
    report.answers[0].is_there = Some(false);
    report.answers[0].says = "no row in stock_moves".to_owned();
    let expected =
        "telemetry says completed; telemetry says `stock_updated` was done, and stock-db has no row in stock_moves";
    assert_eq!(conclusion::of(&report).unwrap(), expected);

    report.answers[0].standing = "cannot_tell".to_owned();
    assert_eq!(conclusion::of(&report).unwrap(), "telemetry says completed; no system can tell");
    report.answers.clear();
    assert_eq!(conclusion::of(&report), None);
}
