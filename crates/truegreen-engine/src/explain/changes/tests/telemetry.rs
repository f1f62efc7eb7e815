//! Changes read off recorded telemetry.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use super::super::read_off::{ReadOff, first_sights, read_off, sure, unreported};
use super::town::Chance;
use crate::explain::recording::{Recorder, Recording};

const BEGINS: u64 = 1_800_000_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;

fn pairs(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let text = |text: &str| AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) };
    pairs
        .iter()
        .map(|(key, value)| KeyValue { key: (*key).to_owned(), value: Some(text(value)), ..KeyValue::default() })
        .collect()
}

/// Half an hour of a shop: from its twentieth minute on one of two carts runs another version, sees another variant of a flag,
/// calls a service that nobody called before, and takes longer to be answered by the database service.
fn shop(is_changed: bool) -> Recording {
    let mut chance = Chance::new(11);
    let mut recorder = Recorder::default();
    for number in 0..1_800_u64 {
        let start = BEGINS + number * MINUTE / 60 + (chance.unit() * 5e8) as u64;
        let is_new = is_changed && number >= 1_200 && number % 2 == 0;
        let is_late = is_changed && number >= 1_200;
        let pod = if number % 2 == 0 { "cart-a" } else { "cart-b" };
        let trace_id = u128::from(number + 1).to_be_bytes().to_vec();
        let span = |id: u8, parent: u8, from: u64, took: u64, attributes: Vec<KeyValue>| Span {
            trace_id: trace_id.clone(),
            span_id: vec![id; 8],
            parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
            name: "work".to_owned(),
            kind: span::SpanKind::Server.into(),
            start_time_unix_nano: from,
            end_time_unix_nano: from + took,
            attributes,
            status: Some(Status::default()),
            ..Span::default()
        };
        let slow = if is_late { 9 } else { 1 };
        let took = (1_000_000.0 * (1.0 + chance.unit())) as u64;
        let flag = pairs(&[
            ("feature_flag.key", "new-cart"),
            ("feature_flag.result.variant", if is_new { "on" } else { "off" }),
        ]);
        let mut told = vec![
            ("cart", pod, if is_new { "2" } else { "1" }, span(1, 0, start, took * 20, flag)),
            ("stock", "stock-a", "1", span(2, 1, start + took, took * slow, Vec::new())),
        ];
        if is_new {
            told.push(("advice", "advice-a", "1", span(3, 1, start + took, took, Vec::new())));
        }
        let resource_spans = told.into_iter().map(|(service, pod, version, span)| {
            let resource =
                pairs(&[("service.name", service), ("service.instance.id", pod), ("service.version", version)]);
            let resource = Some(Resource { attributes: resource, ..Resource::default() });
            ResourceSpans {
                resource,
                scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }
        });
        let body = ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec();
        recorder.take(Signal::Traces, &body, Timestamp(start));
    }
    recorder.finish()
}

fn of(changes: &[Change], kind: ChangeKind) -> Vec<&Change> {
    changes.iter().filter(|change| change.kind == kind).collect()
}

#[test]
fn what_is_new_is_told_with_its_time_and_its_instances() {
    let onset = Timestamp(BEGINS + 20 * MINUTE);
    let read = read_off(&shop(true), onset);
    let changes = read.changes;
    let release = of(&changes, ChangeKind::Release);
    assert_eq!(release.len(), 1, "{changes:#?}");
    assert_eq!((release[0].version.as_deref(), &release[0].instances[..]), (Some("2"), &["cart-a".to_owned()][..]));
    assert!(release[0].at.0.abs_diff(onset.0) < 5_000_000_000 && sure(release[0]) > 0.999, "{release:?}");
    let flag = of(&changes, ChangeKind::FeatureFlag);
    assert_eq!(flag[0].attributes["feature_flag.result.variant"], "new-cart=on");
    let dependencies: Vec<&str> =
        of(&changes, ChangeKind::Dependency).iter().map(|change| change.title.as_str()).collect();
    assert_eq!(dependencies, ["cart calls advice"]);
    let stock = read.calls.iter().find(|call| call.target == "stock").unwrap();
    assert!(stock.p_value < 1e-6, "{stock:?}");
    // A stretch is half a minute.
    let is_then = ["since 2027-01-15T08:19:", "since 2027-01-15T08:20:"].iter().any(|time| stock.says.contains(time));
    assert!(stock.says.starts_with("takes 1") && is_then, "{stock:?}");
}

#[test]
fn of_some_requests_only_first_sights_are_told_and_none_that_a_reported_change_brought() {
    let sights = first_sights(&shop(true));
    assert!(sights.iter().all(|change| !change.title.contains("take longer")), "{sights:#?}");
    let release = of(&sights, ChangeKind::Release)[0].clone();
    let told =
        |at: Timestamp| Change { id: "deploy".to_owned(), at, service: release.service.clone(), ..Change::default() };
    let is_left = |reported: Change| unreported(sights.clone(), &[reported]).contains(&release);
    assert!(!is_left(told(Timestamp(release.at.0 - MINUTE))), "the roll-out of what was reported");
    assert!(is_left(told(Timestamp(release.at.0 - 60 * MINUTE))), "another one");
    let named = Change { version: release.version.clone(), ..told(Timestamp(release.at.0 - 60 * MINUTE)) };
    assert!(!is_left(named), "the version that was reported, rolled out slowly");
    assert!(is_left(Change { service: Some("other".to_owned()), ..told(release.at) }));
}

#[test]
fn what_was_always_there_is_no_change() {
    let ReadOff { changes, shifts, counts_requests, effects, calls } =
        read_off(&shop(false), Timestamp(BEGINS + 20 * MINUTE));
    assert!(counts_requests);
    assert!(changes.is_empty() && shifts.is_empty() && effects.is_empty(), "{changes:#?}");
    assert!(calls.len() == 1 && calls[0].says.is_empty(), "as before: {calls:?}");
    assert_eq!(read_off(&Recorder::default().finish(), Timestamp(BEGINS)), ReadOff::default());
}

/// Half an hour of a gateway. From its twentieth minute on searches are three times as many as before, orders as ever, and
/// prices are no longer asked for.
fn searched() -> Recording {
    let mut recorder = Recorder::default();
    let mut trace = 0_u64;
    for second in 0..1_800_u64 {
        let is_late = second >= 1_200;
        let start = BEGINS + second * 1_000_000_000;
        let asked = std::iter::once("order").chain(std::iter::repeat_n("search", if is_late { 3 } else { 1 }));
        for name in asked {
            trace += 1;
            let span = |id: u8, parent: Vec<u8>, name: &str| Span {
                trace_id: u128::from(trace).to_be_bytes().to_vec(),
                span_id: vec![id; 8],
                parent_span_id: parent,
                name: name.to_owned(),
                kind: span::SpanKind::Server.into(),
                start_time_unix_nano: start,
                end_time_unix_nano: start + 1_000_000,
                ..Span::default()
            };
            let mut told = vec![("gateway", span(1, Vec::new(), name))];
            if !is_late {
                told.push(("prices", span(2, vec![1; 8], "price")));
            }
            let resource_spans = told.into_iter().map(|(service, span)| {
                let resource = Resource { attributes: pairs(&[("service.name", service)]), ..Resource::default() };
                let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
                ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }
            });
            let body = ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec();
            recorder.take(Signal::Traces, &body, Timestamp(start));
        }
    }
    recorder.finish()
}

#[test]
fn more_requests_another_mix_and_a_call_that_is_gone_are_told() {
    let read = read_off(&searched(), Timestamp(BEGINS + 20 * MINUTE));
    let titles = |changes: &[Change]| changes.iter().map(|change| change.title.clone()).collect::<Vec<_>>();
    // Three a second and one, counted in stretches of not quite half a minute: thirty, or twenty-nine.
    assert_eq!(titles(&read.shifts), ["more requests of search to gateway: 182 a minute, 61 before"]);
    assert_eq!(
        titles(&read.changes),
        ["the mix of requests: search to gateway is 75 % of them, 50 % before"],
        "orders are as many as before, and prices' own silence is no change"
    );
    assert_eq!(titles(&read.effects), ["no longer: gateway calls prices"]);
}
