//! Records without a key inherit it: from an ancestor, from what they link to, or as the only one of their trace.
//! What stays unbound is counted, never guessed.

use truegreen_model::flow::{Bind, Flow, Signal};
use truegreen_sim::run::Run;
use truegreen_sim::script::{Script, flow, pattern, record, step};
use truegreen_sim::telemetry::SpanRef;

fn reservations() -> Flow {
    let mut flow = flow("orders", "shop", "POST /orders");
    flow.steps.push(step("reserved", "stock", "reserve", 20, 0));
    flow
}

fn script(flow: Flow) -> Script {
    let mut script = Script::new(vec![flow]);
    script.alive("shop", 0.0, 400.0);
    script.alive("stock", 0.0, 400.0);
    script
}

fn verdicts(run: &Run) -> Vec<String> {
    let mut all: Vec<String> = run.standings().into_iter().map(|one| format!("{}: {}", one.key, one.verdict)).collect();
    all.sort();
    all
}

fn unbound(run: &Run, reason: &str) -> u64 {
    let counters = run.engine.counters();
    let found = counters.iter().find(|counter| counter.name == "unbound_records" && counter.reason == reason);
    found.map_or(0, |counter| counter.value)
}

fn place(trace: u128, span: u64) -> SpanRef {
    SpanRef { trace, span }
}

/// Scenario: a span without a key is a child of a span without a key, which is a child of one with it.
#[test]
fn the_nearest_ancestor_lends_its_key() {
    let mut script = script(reservations());
    script.at(10.0).spans("shop", [record("POST /orders").of("a").at_place(place(71, 1))]);
    script.at(11.0).spans("stock", [record("handle").child_of(place(71, 1)).at_place(place(71, 2))]);
    script.at(11.5).spans("stock", [record("reserve").child_of(place(71, 2))]);
    assert_eq!(verdicts(&script.run(300.0).unwrap()), ["a: completed"]);
}

/// Scenario: one trace places two orders, and each reservation descends from its own. Guarantee: neither takes the
/// other's key, though both are in one trace.
#[test]
fn in_a_trace_of_several_keys_descent_decides() {
    let mut script = script(reservations());
    let placed = [(11, "a"), (12, "b")].map(|(span, order)| record("POST /orders").of(order).at_place(place(72, span)));
    script.at(10.0).spans("shop", placed);
    script.at(12.0).spans("stock", [record("reserve").child_of(place(72, 11))]);
    assert_eq!(verdicts(&script.run(300.0).unwrap()), ["a: completed", "b: unaccounted"]);
}

/// Scenario: a reservation in a trace of two orders descends from neither. Guarantee: it is nobody's, and counted.
#[test]
fn an_ambiguous_record_is_nobodys_and_counted() {
    let mut script = script(reservations());
    script.at(10.0).spans("shop", ["a", "b"].map(|order| record("POST /orders").of(order).child_of(place(73, 1))));
    script.at(11.0).spans("stock", [record("reserve").child_of(place(73, 1))]);
    let run = script.run(300.0).unwrap();
    assert_eq!(verdicts(&run), ["a: unaccounted", "b: unaccounted"]);
    assert_eq!(unbound(&run, "ambiguous"), 1);
}

/// Scenario: one consumer span for a batch of three messages, linked to the three producers.
#[test]
fn a_batch_span_is_one_observation_for_each_link() {
    let mut script = script(reservations());
    let orders = ["a", "b", "c"].map(|order| record("POST /orders").of(order));
    let producers = script.at(10.0).spans("shop", orders);
    let batch = producers.iter().fold(record("reserve"), |draft, producer| draft.linked_to(*producer));
    script.at(12.0).spans("stock", [batch]);
    assert_eq!(verdicts(&script.run(300.0).unwrap()), ["a: completed", "b: completed", "c: completed"]);
}

/// Scenario: the step is a child of a consumer span that carries no key but links to the producer's span; the child
/// arrives first.
#[test]
fn a_child_inherits_through_the_link_of_its_parent() {
    let mut script = script(reservations());
    let producer = script.at(10.0).spans("shop", [record("POST /orders").of("a")])[0];
    script.at(11.0).spans("stock", [record("reserve").child_of(place(75, 9))]);
    script.at(14.0).spans("stock", [record("process").at_place(place(75, 9)).linked_to(producer)]);
    assert_eq!(verdicts(&script.run(300.0).unwrap()), ["a: completed"]);
}

/// Scenario: the only thing that shows the step is a log line inside a keyed span.
#[test]
fn a_log_line_inherits_from_the_span_it_was_written_in() {
    let mut contract = reservations();
    contract.steps[1].any_of = vec![pattern(Signal::Log, "stock", "reserved")];
    let mut script = script(contract);
    let span = script.at(10.0).spans("shop", [record("POST /orders").of("a")])[0];
    script.at(11.0).logs("stock", [record("reserved").at_place(span)]);
    assert_eq!(verdicts(&script.run(300.0).unwrap()), ["a: completed"]);
}

/// Scenario: no key ever comes. Guarantee: counted when the window is over.
#[test]
fn what_never_finds_a_key_is_counted() {
    let mut script = script(reservations());
    script.at(10.0).spans("shop", [record("POST /orders").of("a")]);
    script.at(11.0).spans("stock", [record("reserve")]);
    let run = script.run(390.0).unwrap();
    assert_eq!(verdicts(&run), ["a: unaccounted"]);
    assert_eq!(unbound(&run, "no_key"), 1);
}

/// Scenario: stock knows the order only by the id of its reservation; one span carries both, and comes last.
#[test]
fn a_bound_name_names_the_same_journey_whenever_the_bind_arrives() {
    let mut contract = reservations();
    contract.bind = vec![Bind {
        attribute: "reservation.id".into(),
        on: vec![pattern(Signal::Span, "shop", "POST /reservations")],
    }];
    let mut script = script(contract);
    script.at(10.0).spans("shop", [record("POST /orders").of("a")]);
    script.at(12.0).spans("stock", [record("reserve").with("reservation.id", "r-1")]);
    script.at(15.0).spans("shop", [record("POST /reservations").of("a").with("reservation.id", "r-1")]);
    let run = script.run(300.0).unwrap();
    assert_eq!(verdicts(&run), ["a: completed"]);
    assert_eq!(run.engine.report().flows["orders"].orphans, 0);
    assert_eq!(run.engine.journeys_of("orders", "r-1").len(), 1, "found by its other name too");
}
