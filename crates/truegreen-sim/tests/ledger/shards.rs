//! Neither the size of a batch nor the number of threads changes anything: what the engine says of inputs is a function
//! of the inputs.

use truegreen_engine::{Effect, Engine, Input, Options, Request};
use truegreen_model::flow::{Bind, ExitOutcome, Signal};
use truegreen_model::time::Timestamp;
use truegreen_sim::otlp;
use truegreen_sim::script::{Draft, Script, exit, flow, pattern, record, step};
use truegreen_sim::telemetry::{Content, Happening};

/// Enough for every shard to have work in one batch, and every thread.
const ORDERS: usize = 4_000;

/// Orders of which one in a hundred is lost, one in sixty is late, one in forty is refused, and one in fifty is first
/// seen under another name. Which of the refused a finding names depends on the order in which they are told.
fn busy() -> Script {
    let mut orders = flow("orders", "shop", "POST /orders");
    orders.steps.push(step("reserved", "stock", "reserve", 20, 0));
    orders.steps.push(step("shipped", "depot", "ship", 20, 1));
    orders.exits.push(exit("refused", "shop", "refuse", ExitOutcome::Rejected));
    orders.limits.rejected = Some(0.01);
    orders.bind =
        vec![Bind { attribute: "reservation.id".into(), on: vec![pattern(Signal::Span, "stock", "reserve")] }];
    let mut script = Script::new(vec![orders]);
    for service in ["shop", "stock", "depot"] {
        script.alive(service, 0.0, 300.0);
    }
    let in_steps = |script: &mut Script, at: f64, service: &str, drafts: Vec<Draft>| {
        for chunk in drafts.chunks(400) {
            script.at(at).spans(service, chunk.to_vec());
        }
    };
    let name = |n: usize| format!("order-{n}");
    in_steps(&mut script, 10.0, "shop", (0..ORDERS).map(|n| record("POST /orders").of(&name(n))).collect());
    let refused = (0..ORDERS).filter(|n| n % 40 == 11);
    let refused = refused.map(|n| record("refuse").of(&name(n)).with("reason", "no_stock"));
    // Together with their starts, so that shards tell of them side by side.
    in_steps(&mut script, 10.0, "shop", refused.collect());
    let shipped = (0..ORDERS).filter(|n| n % 100 != 0 && n % 40 != 11).map(|n| match n % 50 {
        // Before anyone knows whose reservation it is.
        1 => record("ship").with("reservation.id", &*format!("reservation-{n}")),
        _ => record("ship").of(&name(n)),
    });
    in_steps(&mut script, 11.0, "depot", shipped.collect());
    let reserved = (0..ORDERS).map(|n| {
        let draft = record("reserve").of(&name(n)).with("reservation.id", &*format!("reservation-{n}"));
        draft.dated(if n % 60 == 7 { 35.0 } else { 10.5 })
    });
    in_steps(&mut script, 40.0, "stock", reserved.collect());
    script
}

/// All that an engine says of these inputs, taken so many at a time on so many threads.
fn told(script: &Script, batch: usize, threads: usize) -> (String, Vec<String>, Vec<Effect>) {
    let bodies: Vec<(Timestamp, &Content, Vec<u8>)> = contents(script);
    let inputs: Vec<(Timestamp, Input<'_>)> = bodies
        .iter()
        .enumerate()
        .map(|(sequence, (at, content, body))| {
            let request = Request { sequence: sequence as u64, body };
            (*at, if matches!(content, Content::Spans(_)) { Input::Traces(request) } else { Input::Metrics(request) })
        })
        .collect();
    let mut engine = Engine::new(script.flows().to_vec(), Options { threads, ..Options::default() });
    let mut effects: Vec<Effect> = inputs.chunks(batch).flat_map(|batch| engine.apply_batch(batch)).collect();
    effects.extend(engine.apply(bodies.last().unwrap().0 + std::time::Duration::from_secs(600), Input::Tick));
    let mut journeys: Vec<String> = engine.journeys().map(|journey| serde_json::to_string(&journey).unwrap()).collect();
    journeys.sort_unstable();
    (serde_json::to_string(&(engine.report(), engine.counters())).unwrap(), journeys, effects)
}

fn contents(script: &Script) -> Vec<(Timestamp, &Content, Vec<u8>)> {
    let mut contents: Vec<_> = script
        .written()
        .iter()
        .filter_map(|(at, happening)| match happening {
            Happening::Accepted(content) => Some((*at, content, otlp::encode(content))),
            _ => None,
        })
        .collect();
    contents.sort_by_key(|(at, ..)| *at);
    contents
}

/// Scenario: thousands of orders, lost, late and bound, one input at a time and in batches of every size on one to seven
/// threads. Guarantee: the same report, journeys and effects.
#[test]
fn threads_and_batches_change_nothing() {
    let script = busy();
    let one_by_one = told(&script, 1, 1);
    let report = &one_by_one.0;
    assert!(report.contains("\"unaccounted\":40") && report.contains("\"late\":67"), "{report}");
    assert!(report.contains("\"kind\":\"rejected\""), "{report}");
    for (batch, threads) in [(usize::MAX, 1), (usize::MAX, 2), (usize::MAX, 7), (13, 3)] {
        let again = told(&script, batch, threads);
        assert_eq!(one_by_one.0, again.0, "the report, {batch} at a time on {threads} threads");
        assert_eq!(one_by_one.1, again.1, "the journeys, {batch} at a time on {threads} threads");
        assert_eq!(one_by_one.2, again.2, "the effects, {batch} at a time on {threads} threads");
    }
}
