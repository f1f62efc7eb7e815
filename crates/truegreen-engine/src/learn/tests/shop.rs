//! Telemetry of a shop: a checkout that calls orders, which publishes for inventory, which updates the stock in a trace
//! of its own, and logs. Digital orders publish nothing. Made of OTLP bytes, as services send them.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;

use super::dice::Dice;
use crate::flow::{Source, compile};
use crate::learn::traces::Traces;
use crate::learn::watch::{Watched, watch};
use crate::learn::{Model, contract, learn};
use crate::{Engine, Input, Options, Request};

const START: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;

/// What may go wrong with one order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// Inventory takes the message and does nothing.
    Skipped,
    /// Inventory does not say whose message it took.
    ContextLost,
    /// The update fails.
    Failed,
    /// The receipt is not logged after the request for it was.
    NoReceipt,
}

/// One minute's orders as requests, spans and logs.
#[derive(Default)]
struct Shop {
    spans: Vec<(&'static str, Span)>,
    logs: Vec<(&'static str, LogRecord)>,
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// Random to look at, as trace ids are: ids in a row would be taken for a sample.
fn trace_id(n: u64) -> Vec<u8> {
    let mut dice = Dice::new(n);
    [dice.next().to_be_bytes(), dice.next().to_be_bytes()].concat()
}

fn resource(service: &str) -> Option<Resource> {
    let attributes = vec![text("service.name", service), text("service.instance.id", &format!("{service}-1"))];
    Some(Resource { attributes, ..Resource::default() })
}

impl Shop {
    /// Span kinds: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. Returns trace and span.
    fn span(
        &mut self,
        (service, kind, name): (&'static str, i32, &str),
        (trace, span, parent): (u64, u64, u64),
        (at, took): (u64, u64),
        attributes: Vec<KeyValue>,
    ) -> &mut Span {
        let id = |id: u64| if id == 0 { Vec::new() } else { id.to_be_bytes().to_vec() };
        let span = Span {
            trace_id: trace_id(trace),
            span_id: id(span),
            parent_span_id: id(parent),
            name: name.to_owned(),
            kind,
            start_time_unix_nano: at,
            end_time_unix_nano: at + took,
            attributes,
            ..Span::default()
        };
        self.spans.push((service, span));
        &mut self.spans.last_mut().unwrap().1
    }

    fn log(&mut self, service: &'static str, (trace, span): (u64, u64), at: u64, line: &str) {
        let record = LogRecord {
            time_unix_nano: at,
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(line.to_owned())) }),
            trace_id: trace_id(trace),
            span_id: span.to_be_bytes().to_vec(),
            ..LogRecord::default()
        };
        self.logs.push((service, record));
    }

    fn order(&mut self, dice: &mut Dice, n: u64, fault: Fault) {
        let kind = if dice.share(0.2) { "digital" } else { "boxed" };
        self.order_of(dice, n, kind, fault);
    }

    fn order_of(&mut self, dice: &mut Dice, n: u64, kind: &str, fault: Fault) {
        let at = START + n * 500 * MS;
        let (trace, own) = (2 * n + 1, n * 100 + 1);
        let order = format!("ord-{n:06}");
        let named = || vec![text("order.id", &order)];
        let placed = vec![text("order.id", &order), text("order.kind", kind), text("http.route", "/checkout")];
        self.span(("storefront", 2, "POST /checkout"), (trace, own, 0), (at, 60 * MS), placed);
        self.span(("storefront", 3, "POST"), (trace, own + 1, own), (at + MS, 50 * MS), Vec::new());
        self.span(("orders", 2, "POST /orders"), (trace, own + 2, own + 1), (at + 2 * MS, 40 * MS), Vec::new());
        self.span(("orders", 3, "INSERT orders"), (trace, own + 3, own + 2), (at + 3 * MS, MS), Vec::new());
        self.log("orders", (trace, own + 2), at + 4 * MS, &format!("receipt {n} was asked for by {order}"));
        if fault != Fault::NoReceipt {
            let line = format!("receipt {n} sent in {} ms", dice.below(90));
            self.log("orders", (trace, own + 2), at + 9 * MS, &line);
        }
        // Too few to learn from; they carry the order's key, and are no part of its case.
        if n % 97 == 5 {
            let (trace, own) = (u64::MAX - n, n * 100 + 90);
            self.span(("storefront", 2, "POST /returns"), (trace, own, 0), (at + 70 * MS, 9 * MS), named());
            self.span(("storefront", 3, "POST"), (trace, own + 1, own), (at + 71 * MS, 5 * MS), Vec::new());
        }
        if kind == "digital" {
            return;
        }
        let link = (trace, own + 4);
        self.span(("orders", 4, "publish stock-events"), (trace, link.1, own + 2), (at + 5 * MS, MS), named());
        let at = at + (100 + dice.below(400)) * MS;
        let (trace, own) = (2 * n + 2, n * 100 + 51);
        let attributes = if fault == Fault::ContextLost { Vec::new() } else { named() };
        let process = self.span(("inventory", 5, "process stock-events"), (trace, own, 0), (at, 9 * MS), attributes);
        if fault != Fault::ContextLost {
            let link = Link { trace_id: trace_id(link.0), span_id: link.1.to_be_bytes().to_vec(), ..Link::default() };
            process.links.push(link);
        }
        if fault == Fault::Skipped {
            return;
        }
        let update = self.span(("inventory", 3, "UPDATE stock"), (trace, own + 1, own), (at + MS, MS), Vec::new());
        if fault == Fault::Failed {
            update.status = Some(Status { code: 2, ..Status::default() });
        }
        let settle = vec![text("messaging.operation.type", "settle")];
        self.span(("inventory", 3, "ack stock-events"), (trace, own + 2, own), (at + 3 * MS, MS), settle);
    }

    /// As requests: of spans, and of logs, each with its latest time.
    fn requests(self) -> Vec<(u64, bool, Vec<u8>)> {
        let mut requests = Vec::new();
        for (service, span) in self.spans {
            let end = span.end_time_unix_nano;
            let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
            let one = ResourceSpans { resource: resource(service), scope_spans, ..ResourceSpans::default() };
            let body = ExportTraceServiceRequest { resource_spans: vec![one] }.encode_to_vec();
            requests.push((end, true, body));
        }
        for (service, log) in self.logs {
            let at = log.time_unix_nano;
            let scope_logs = vec![ScopeLogs { log_records: vec![log], ..ScopeLogs::default() }];
            let one = ResourceLogs { resource: resource(service), scope_logs, ..ResourceLogs::default() };
            requests.push((at, false, ExportLogsServiceRequest { resource_logs: vec![one] }.encode_to_vec()));
        }
        requests.sort_by_key(|(at, ..)| *at);
        requests
    }
}

/// So many orders from `first` on; what goes wrong is said by `fault`.
fn orders(seed: u64, (first, n): (u64, u64), fault: impl Fn(u64) -> Fault) -> Vec<(u64, bool, Vec<u8>)> {
    let mut dice = Dice::new(seed);
    let mut shop = Shop::default();
    (first..first + n).for_each(|n| shop.order(&mut dice, n, fault(n)));
    shop.requests()
}

fn read(mut traces: Traces, requests: &[(u64, bool, Vec<u8>)]) -> crate::learn::case::Cases {
    for (_, is_traces, body) in requests {
        if *is_traces { traces.traces(body) } else { traces.logs(body) }
    }
    traces.finish()
}

fn healthy() -> Model {
    learn(&read(Traces::default(), &orders(1, (0, 1_000), |_| Fault::None)))
}

fn watched(model: &Model, requests: &[(u64, bool, Vec<u8>)]) -> Watched {
    watch(model, &read(Traces::of(model), requests), true)
}

fn compiled(text: String) -> Vec<Flow> {
    compile(&[Source { path: "learned.yaml".to_owned(), text }]).unwrap().flows
}

/// Guarantee: the learned contract has the steps of the hand-written one, digital orders being the lawful exception.
#[test]
fn the_learned_contract_has_the_steps_of_the_hand_written_one() {
    let yaml = contract::yaml(&healthy(), "case");
    insta::assert_snapshot!(yaml);
    let [learned] = compiled(yaml).try_into().unwrap();
    let by_hand = include_str!("../../../../truegreen-demo/flows/order-fulfilment.yaml");
    let [by_hand] = compiled(by_hand.to_owned()).try_into().unwrap();
    let patterns = |flow: &Flow| flow.steps.iter().map(|step| step.any_of.clone()).collect::<Vec<_>>();
    assert_eq!(learned.key, by_hand.key);
    let (learned_steps, mut steps) = (patterns(&learned), patterns(&by_hand));
    // By hand only orders that were accepted enter. In healthy traffic all are, so that nothing tells.
    steps[0][0].attributes.clear();
    assert_eq!(learned_steps, steps);
    assert!(learned.steps[2].unless == learned.steps[3].unless && !learned.steps[3].unless.is_empty());
}

/// Scenario: the learned contract is promoted, and the engine runs it while inventory skips one order in twenty.
/// Guarantee: exactly those are lost, digital orders are not, and the hop is the hand-written contract's.
#[test]
fn a_promoted_contract_finds_what_the_hand_written_one_would() {
    let flows = compiled(contract::yaml(&healthy(), "case"));
    // The flow alone, without what traces show of the same.
    let mut engine = Engine::new(flows, Options { watches_traces: false, ..Options::default() });
    let requests = orders(2, (0, 400), |n| if n % 20 == 3 && n < 300 { Fault::Skipped } else { Fault::None });
    for (sequence, (at, is_traces, body)) in requests.iter().enumerate() {
        let now = Timestamp(*at + 2_000 * MS);
        let request = Request { sequence: sequence as u64, body };
        engine.apply(now, if *is_traces { Input::Traces(request) } else { Input::Logs(request) });
    }
    let report = engine.report();
    let books = &report.flows["storefront-post-checkout"];
    let skipped = |n: u64| n % 20 == 3 && n < 300;
    let mut dice = Dice::new(2);
    let mut shop = Shop::default();
    (0..400).for_each(|n| shop.order(&mut dice, n, if skipped(n) { Fault::Skipped } else { Fault::None }));
    let updates = shop.spans.iter().filter(|(_, span)| span.name == "process stock-events").count();
    let done = shop.spans.iter().filter(|(_, span)| span.name == "UPDATE stock").count();
    assert_eq!((books.entered, books.unaccounted), (400, (updates - done) as u64), "{report:#?}");
    let [loss] = report.findings.as_slice() else { panic!("{report:#?}") };
    assert_eq!((loss.after.as_deref(), loss.before.as_deref()), (Some("publish_stock_events"), Some("update_stock")));
}

/// Scenario: inventory skips every order from one time on. Guarantee: one finding, of that hop, raised within the
/// deadline and a few orders, its onset being the first lost order's; before that nothing.
#[test]
fn a_hop_that_is_lost_is_found_without_a_contract() {
    let model = healthy();
    let requests = orders(3, (0, 600), |n| if n >= 400 { Fault::Skipped } else { Fault::None });
    let watched = watched(&model, &requests);
    let [loss] = watched.report.findings.as_slice() else { panic!("{:#?}", watched.report) };
    assert_eq!(loss.kind, "loss");
    let hop = (loss.after.as_deref().unwrap(), loss.before.as_deref().unwrap());
    assert_eq!(hop, ("orders: publish stock-events", "inventory: UPDATE stock"));
    let second = |text: &str| (text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as u64 - START) / (1_000 * MS);
    assert!((200..203).contains(&second(&loss.onset)), "{loss:#?}");
    assert!((211..216).contains(&second(&loss.first_seen)), "{loss:#?}");
}

/// Scenario: only orders of a kind that is one in fifty are lost. Guarantee: found after a handful of them, since their
/// kind is watched apart.
#[test]
fn a_rare_kind_is_watched_apart() {
    let kind = |n: u64| if n % 50 == 7 { "bundle" } else { "boxed" };
    let make = |seed, fault: &dyn Fn(u64) -> Fault| {
        let mut dice = Dice::new(seed);
        let mut shop = Shop::default();
        (0..1_000).for_each(|n| shop.order_of(&mut dice, n, kind(n), fault(n)));
        shop.requests()
    };
    let model = learn(&read(Traces::default(), &make(1, &|_| Fault::None)));
    let watched = watched(&model, &make(2, &|n| if n % 50 == 7 { Fault::Skipped } else { Fault::None }));
    let [loss] = watched.report.findings.as_slice() else { panic!("{:#?}", watched.report) };
    let books = &watched.report.flows["storefront-post-checkout"];
    assert!(loss.count >= 15 && loss.count <= books.unaccounted, "{loss:#?}");
    let second = |text: &str| (text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as u64 - START) / (1_000 * MS);
    assert!(second(&loss.first_seen) < 140, "five of them at most: {loss:#?}");
}

/// Scenario: the update fails with an error, again and again. Guarantee: told as failed, not as vanished.
#[test]
fn a_step_that_fails_is_told_so() {
    let model = healthy();
    let requests = orders(3, (0, 300), |n| if (200..260).contains(&n) { Fault::Failed } else { Fault::None });
    let watched = watched(&model, &requests);
    assert_eq!(watched.report.findings[0].kind, "failed_without_exit", "{:#?}", watched.report);
    assert!(watched.journeys.iter().any(|one| one.reason.as_deref() == Some("failed_without_exit")));
}

/// Scenario: inside one service a line is logged and the line that should follow is not, for a while; both bodies hold
/// numbers. Guarantee: found by their templates.
#[test]
fn a_line_that_does_not_follow_another_is_found() {
    let model = healthy();
    let requests = orders(3, (0, 400), |n| if (200..260).contains(&n) { Fault::NoReceipt } else { Fault::None });
    let watched = watched(&model, &requests);
    let found = watched.report.findings.iter().find(|found| found.title.contains("receipt")).unwrap();
    assert_eq!(found.count, 60, "{found:#?}");
    assert!(found.before.as_deref().unwrap().contains("receipt * sent in * ms"), "{found:#?}");
}

/// Scenario: inventory no longer says whose message it took, so that its traces stand alone. Guarantee: what is lost to
/// sight is unknown, and never called lost.
#[test]
fn a_context_that_is_not_handed_on_is_no_loss() {
    let model = healthy();
    let requests = orders(3, (0, 400), |n| if n >= 200 { Fault::ContextLost } else { Fault::None });
    let watched = watched(&model, &requests);
    let books = &watched.report.flows["storefront-post-checkout"];
    assert_eq!(books.unaccounted, 0, "{books:#?}");
    assert!(books.unknown["signal_silent"] > 100, "{books:#?}");
    assert!(watched.report.findings.iter().all(|found| found.kind == "silence"), "{:#?}", watched.report.findings);
    assert_eq!(watched.report.health, "CANNOT TELL");
}

/// Scenario: inventory's exporter drops a third of its spans, at random. Guarantee: what is not seen is unknown, and
/// never called lost.
#[test]
fn spans_that_an_exporter_drops_are_no_loss() {
    let model = healthy();
    let mut dice = Dice::new(8);
    let mut shop = Shop::default();
    (0..400).for_each(|n| shop.order(&mut dice, n, Fault::None));
    shop.spans.retain(|(service, _)| *service != "inventory" || !dice.share(0.33));
    let watched = watched(&model, &shop.requests());
    let books = &watched.report.flows["storefront-post-checkout"];
    assert_eq!(books.unaccounted, 0, "{books:#?}");
    assert!(books.unknown["telemetry_lost"] > 100, "{books:#?}");
    assert!(watched.report.findings.iter().all(|found| found.kind == "silence"), "{:#?}", watched.report.findings);
    assert!(!watched.report.findings.is_empty());
}

/// Scenario: inventory keeps a quarter of its traces, by their ids. Guarantee: the rest is unknown.
#[test]
fn a_service_that_keeps_a_sample_loses_nothing() {
    let model = healthy();
    let mut dice = Dice::new(8);
    let mut shop = Shop::default();
    (0..400).for_each(|n| shop.order(&mut dice, n, Fault::None));
    shop.spans.retain(|(service, span)| *service != "inventory" || span.trace_id[9] < 64);
    let watched = watched(&model, &shop.requests());
    let books = &watched.report.flows["storefront-post-checkout"];
    assert_eq!(books.unaccounted, 0, "{books:#?}");
    assert!(books.unknown["sampled"] > 100, "{books:#?}");
}

/// Scenario: 40 times healthy traffic is watched by what other healthy traffic taught. Guarantee: nothing is raised.
#[test]
fn healthy_telemetry_raises_nothing() {
    let model = healthy();
    for seed in 10..50 {
        let watched = watched(&model, &orders(seed, (0, 200), |_| Fault::None));
        assert!(watched.report.findings.is_empty(), "{:#?}", watched.report);
        assert!(watched.journeys.iter().all(|one| matches!(one.verdict.as_str(), "completed" | "open")));
    }
}
