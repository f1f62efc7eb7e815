//! Every scenario of the rules on simulated time. Each is judged by the reference too: what is expected here is what
//! the rules say, and the engine must agree in verdicts, hops and books.

use std::time::Duration;

use truegreen_engine::Effect;
use truegreen_model::flow::{ExitOutcome, Expect, FanOut, Flow, SpanKind};
use truegreen_model::report::{FindingReport, FlowReport};
use truegreen_sim::compare::differences;
use truegreen_sim::run::{Run, Standing};
use truegreen_sim::script::{Draft, Script, exit, flow, record, step};
use truegreen_sim::telemetry::second;

/// An order is taken, reserved within 20 s, and booked within 30 s of that.
fn orders() -> Flow {
    let mut flow = reservations();
    flow.steps.push(step("booked", "bill", "book", 30, 1));
    flow
}

/// An order is taken, and reserved within 20 s or refused.
pub(crate) fn reservations() -> Flow {
    let mut flow = flow("orders", "shop", "POST /orders");
    flow.steps.push(step("reserved", "stock", "reserve", 20, 0));
    flow.exits.push(exit("refused", "stock", "refuse", ExitOutcome::Rejected));
    flow
}

fn everybody_lives(flow: Flow, until: f64) -> Script {
    let mut script = Script::new(vec![flow]);
    for service in ["shop", "stock", "bill"] {
        script.alive(service, 0.0, until);
    }
    script
}

pub(crate) fn taken(script: &mut Script, at: f64, order: &str) {
    script.at(at).spans("shop", [record("POST /orders").of(order)]);
}

pub(crate) fn reserved(script: &mut Script, at: f64, order: &str) {
    script.at(at).spans("stock", [record("reserve").of(order)]);
}

/// The engine, having lived through it; by then it says what the reference says.
pub(crate) fn lived(script: &Script, until: f64) -> Run {
    let run = script.run(until).unwrap();
    let differences = differences(&run, &script.reference(), script.flows(), second(until), true);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    run
}

fn journey(run: &Run, order: &str) -> Standing {
    let mut of_order: Vec<Standing> = run.standings().into_iter().filter(|journey| journey.key == order).collect();
    assert_eq!(of_order.len(), 1, "{order}: {of_order:?}");
    of_order.remove(0)
}

/// Verdict and reason, as in `unknown(sampled)`.
pub(crate) fn verdict(run: &Run, order: &str) -> String {
    let journey = journey(run, order);
    match journey.reason {
        Some(reason) => format!("{}({reason})", journey.verdict),
        None => journey.verdict,
    }
}

fn books(run: &Run) -> FlowReport {
    run.engine.report().flows["orders"].clone()
}

fn health(run: &Run) -> String {
    run.engine.report().flows["orders"].health.clone()
}

/// Open, or quiet since: not resolved.
fn standing_findings(run: &Run, kind: &str) -> Vec<FindingReport> {
    let findings = run.engine.report().findings;
    findings
        .into_iter()
        .filter(|finding| finding.kind == kind && ["open", "quiet"].contains(&finding.status.as_str()))
        .collect()
}

fn findings_ever_opened(run: &Run) -> Vec<&FindingReport> {
    let opened = run.effects.iter().filter_map(|(_, effect)| match effect {
        Effect::FindingOpened(finding) => Some(finding),
        Effect::FindingClosed(_) | Effect::Confirm(_) => None,
    });
    opened.collect()
}

/// Consumes, does not do it, and says nothing: the case this project is for.
#[test]
fn an_idle_consumer_that_skips_its_first_bad_event_in_an_hour_is_caught() {
    let mut flow = reservations();
    flow.steps.insert(1, step("consumed", "stock", "process orders", 20, 0));
    flow.steps[2].after = truegreen_model::flow::StepId(1);
    let mut script = everybody_lives(flow, 4000.0);
    taken(&mut script, 10.0, "fine");
    script.at(11.0).spans("stock", [record("process orders").of("fine").kind(SpanKind::Consumer)]);
    reserved(&mut script, 12.0, "fine");
    let order = script.at(3700.0).spans("shop", [record("POST /orders").of("bad")])[0];
    script.at(3701.0).spans("stock", [record("process orders").linked_to(order).kind(SpanKind::Consumer)]);

    let run = lived(&script, 3950.0);
    assert_eq!(verdict(&run, "bad"), "unaccounted(vanished)");
    let loss = &standing_findings(&run, "loss")[0];
    assert_eq!((loss.after.as_deref(), loss.before.as_deref()), (Some("consumed"), Some("reserved")));
    assert_eq!(loss.examples, ["bad"]);
    assert_eq!(health(&run), "BROKEN");
}

/// The same, with no span at all: it proves nothing, and is as loud.
#[test]
fn an_idle_consumer_that_shows_no_span_at_all_is_unknown_with_a_finding() {
    let mut script = everybody_lives(reservations(), 4000.0);
    taken(&mut script, 10.0, "fine");
    reserved(&mut script, 12.0, "fine");
    taken(&mut script, 3700.0, "bad");

    let run = lived(&script, 3950.0);
    assert_eq!(verdict(&run, "bad"), "unknown(signal_silent)");
    assert_eq!(standing_findings(&run, "silence").len(), 1);
    assert_eq!(health(&run), "CANNOT TELL");
}

/// Ten orders one after the other and no sign of the signal: that some are decided says nothing of the others.
#[test]
fn of_many_orders_that_nobody_shows_none_is_unaccounted() {
    let mut script = everybody_lives(reservations(), 600.0);
    taken(&mut script, 10.0, "fine");
    reserved(&mut script, 12.0, "fine");
    for order in 0..10 {
        taken(&mut script, 100.0 + f64::from(order) * 2.0, &format!("order-{order}"));
    }

    let run = lived(&script, 500.0);
    let books = books(&run);
    assert_eq!((books.unaccounted, books.unknown.get("signal_silent")), (0, Some(&10)), "{books:?}");
}

#[test]
fn of_few_orders_each_is_judged_by_a_signal_of_minutes_ago() {
    let mut script = everybody_lives(reservations(), 600.0);
    taken(&mut script, 10.0, "fine");
    reserved(&mut script, 12.0, "fine");
    for order in 0..3 {
        taken(&mut script, 200.0 + f64::from(order), &format!("order-{order}"));
    }
    let run = lived(&script, 500.0);
    assert_eq!(books(&run).unaccounted, 3, "{:?}", books(&run));
}

#[test]
fn a_dead_exporter_makes_unknown_and_a_finding_never_unaccounted() {
    let mut script = Script::new(vec![reservations()]);
    script.alive("shop", 0.0, 600.0).alive("stock", 0.0, 98.0);
    taken(&mut script, 50.0, "before");
    reserved(&mut script, 55.0, "before");
    for order in ["A", "B", "C"] {
        taken(&mut script, 95.0, order);
    }
    taken(&mut script, 200.0, "later");

    let run = lived(&script, 500.0);
    assert_eq!(verdict(&run, "before"), "completed");
    for order in ["A", "B", "C", "later"] {
        assert_eq!(verdict(&run, order), "unknown(instance_gone)", "{order}");
    }
    assert_eq!(standing_findings(&run, "silence").len(), 1);
    assert!(standing_findings(&run, "loss").is_empty());
    assert_eq!(health(&run), "CANNOT TELL");
}

#[test]
fn what_an_instance_took_along_when_scaled_down_is_unknown_and_what_comes_after_is_judged() {
    let mut script = everybody_lives(reservations(), 800.0);
    script.instance_alive("stock", "stock-2", 0.0, 112.0);
    taken(&mut script, 100.0, "taken along");
    // It may have lived on unheard until a spell's silence is over.
    taken(&mut script, 180.0, "soon after");
    for at in [104.0, 160.0, 220.0, 300.0] {
        reserved(&mut script, at, "other");
    }
    taken(&mut script, 260.0, "lost");

    let run = lived(&script, 700.0);
    assert_eq!(verdict(&run, "taken along"), "unknown(instance_gone)");
    assert_eq!(verdict(&run, "soon after"), "unknown(instance_gone)");
    assert_eq!(verdict(&run, "lost"), "unaccounted(vanished)");
}

#[test]
fn our_own_outage_longer_than_the_deadline_is_no_ones_fault_and_no_alarm_storm() {
    let mut script = everybody_lives(reservations(), 900.0);
    for order in 0..20 {
        taken(&mut script, 10.0 + f64::from(order), &format!("before {order}"));
        reserved(&mut script, 15.0 + f64::from(order), &format!("before {order}"));
        taken(&mut script, 100.0 + f64::from(order) / 10.0, &format!("in flight {order}"));
    }
    script.down(105.0, 400.0);
    taken(&mut script, 450.0, "after");
    reserved(&mut script, 455.0, "after");

    let run = lived(&script, 800.0);
    let books = books(&run);
    assert_eq!(books.unknown.get("intake_gap"), Some(&20), "{books:?}");
    assert_eq!((books.completed, books.unaccounted), (21, 0));
    let storm: Vec<_> = findings_ever_opened(&run).into_iter().filter(|finding| finding.kind != "unknown").collect();
    assert!(storm.is_empty(), "{storm:#?}");
}

#[test]
fn the_same_export_twice_is_one_order_and_the_same_post_twice_is_one_with_a_duplicate() {
    let mut script = everybody_lives(reservations(), 300.0);
    script.at(100.0).times(2).spans("shop", [record("POST /orders").of("A")]);
    reserved(&mut script, 105.0, "A");
    let run = lived(&script, 280.0);
    assert_eq!((books(&run).entered, books(&run).completed, books(&run).duplicates), (1, 1, 0));

    script.at(101.0).spans("shop", [record("POST /orders").of("A")]);
    let run = lived(&script, 280.0);
    assert_eq!((books(&run).entered, books(&run).completed, books(&run).duplicates), (1, 1, 1));
    assert_eq!(journey(&run, "A").entered_at, second(100.0));
}

#[test]
fn one_of_three_order_lines_lost_is_a_lost_order_named_with_its_hop() {
    let mut flow = reservations();
    flow.steps[1].fan_out = Some(FanOut::ForEach { attribute: "order.lines".into(), item: "order.line".into() });
    let mut script = everybody_lives(flow, 400.0);
    let lines: &[&str] = &["pen", "ink", "paper"];
    for (order, reserved_lines) in [("whole", lines), ("short", &lines[..2])] {
        script.at(100.0).spans("shop", [record("POST /orders").of(order).with("order.lines", lines)]);
        for line in reserved_lines {
            script.at(105.0).spans("stock", [record("reserve").of(order).with("order.line", *line)]);
        }
    }
    let run = lived(&script, 350.0);
    assert_eq!(verdict(&run, "whole"), "completed");
    assert_eq!(verdict(&run, "short"), "unaccounted(vanished)");
    let loss = &standing_findings(&run, "loss")[0];
    assert_eq!((loss.after.as_deref(), loss.before.as_deref()), (Some("entered"), Some("reserved")));
    assert_eq!((loss.count, &loss.examples), (1, &vec!["short".to_owned()]));
}

#[test]
fn a_span_dated_2099_moves_nothing_but_itself() {
    let mut script = everybody_lives(reservations(), 400.0);
    let in_2099 = 2_304_000_000.0;
    taken(&mut script, 100.0, "A");
    script.at(102.0).spans("stock", [record("reserve").of("B").dated(in_2099)]);
    script.at(101.0).spans("shop", [record("POST /orders").of("B").dated(in_2099)]);
    let run = lived(&script, 110.0);
    assert_eq!(verdict(&run, "A"), "open");
    assert_eq!(journey(&run, "B").entered_at, second(102.0), "when it was received");
    assert_eq!(verdict(&run, "B"), "completed");
    let counted: u64 =
        run.engine.counters().iter().filter(|counter| counter.name.contains("time")).map(|counter| counter.value).sum();
    assert!(counted >= 2, "replaced times are counted: {:?}", run.engine.counters());

    reserved(&mut script, 115.0, "A");
    assert_eq!(verdict(&lived(&script, 350.0), "A"), "completed");
}

#[test]
fn a_sample_of_a_tenth_across_linked_traces_is_never_unaccounted() {
    for declared in [false, true] {
        let mut flow = reservations();
        if declared {
            flow.sampled.insert("stock".into(), 0.1);
        }
        let mut script = everybody_lives(flow, 600.0);
        for order in 0..50 {
            let at = 100.0 + f64::from(order);
            let key = format!("order-{order}");
            let start = script.at(at).spans("shop", [record("POST /orders").of(&key)])[0];
            if order % 10 == 0 {
                let state = if declared { "" } else { "ot=th:e666" };
                script.at(at + 3.0).spans("stock", [record("reserve").linked_to(start).trace_state(state)]);
            }
        }
        let run = lived(&script, 500.0);
        let books = books(&run);
        assert_eq!((books.completed, books.unaccounted), (5, 0), "declared: {declared}");
        assert_eq!(books.unknown.get("sampled"), Some(&45), "declared: {declared}, {books:?}");
        assert!(findings_ever_opened(&run).iter().all(|finding| finding.kind != "loss"));
    }
}

#[test]
fn a_sample_that_nobody_declares_is_inferred_from_its_trace_ids() {
    let mut script = everybody_lives(reservations(), 600.0);
    let mut random = fastrand::Rng::with_seed(7);
    for nth in 0..100 {
        // Consistent sampling keeps the trace ids whose last 56 bits are in the upper tenth.
        let kept = random.u64((u64::MAX >> 8) / 10 * 9..u64::MAX >> 8);
        let trace = (random.u128(..) << 56) | u128::from(kept);
        script.at(f64::from(nth) / 2.0).spans("stock", [record("reserve").of("other").in_trace(trace)]);
    }
    taken(&mut script, 100.0, "A");
    let run = script.run(500.0).unwrap();
    assert_eq!(verdict(&run, "A"), "unknown(sampled)", "{:?}", run.engine.services());
}

#[test]
fn the_same_key_in_staging_and_production_is_two_orders() {
    let mut script = everybody_lives(reservations(), 400.0);
    for at in 0..40 {
        let stock = script.at(f64::from(at) * 10.0).by("stock-staging").inside("staging");
        stock.spans("stock", [record("GET /livez")]);
    }
    taken(&mut script, 100.0, "A");
    reserved(&mut script, 105.0, "A");
    script.at(110.0).by("shop-staging").inside("staging").spans("shop", [record("POST /orders").of("A")]);
    let run = lived(&script, 350.0);
    let books = books(&run);
    assert_eq!((books.entered, books.completed, books.unaccounted), (2, 1, 1));
}

#[test]
fn books_that_balance_with_every_order_rejected_are_not_green() {
    let mut flow = reservations();
    flow.limits.rejected = Some(0.05);
    let mut script = everybody_lives(flow, 400.0);
    for order in 0..40 {
        let key = format!("order-{order}");
        taken(&mut script, 100.0 + f64::from(order), &key);
        script.at(102.0 + f64::from(order)).spans("stock", [record("refuse").of(&key).with("reason", "no_stock")]);
    }
    let run = lived(&script, 350.0);
    assert_eq!(books(&run).rejected.get("no_stock"), Some(&40));
    assert_eq!(standing_findings(&run, "rejected").len(), 1);
    assert_eq!(health(&run), "BROKEN");
}

#[test]
fn rejections_far_beyond_their_own_baseline_are_a_finding_without_a_limit() {
    let mut script = everybody_lives(reservations(), 1600.0);
    for order in 0..600 {
        let (at, key) = (50.0 + f64::from(order) * 2.0, format!("order-{order}"));
        taken(&mut script, at, &key);
        if order < 400 && order % 50 != 0 {
            reserved(&mut script, at + 2.0, &key);
        } else {
            script.at(at + 2.0).spans("stock", [record("refuse").of(&key).with("reason", "no_stock")]);
        }
    }
    let run = lived(&script, 1500.0);
    assert_eq!(standing_findings(&run, "rejected").len(), 1);
    assert_eq!(health(&run), "BROKEN");
}

#[test]
fn an_exit_without_a_reason_is_a_finding_of_its_own() {
    let mut script = everybody_lives(reservations(), 400.0);
    taken(&mut script, 100.0, "A");
    script.at(105.0).spans("stock", [record("refuse").of("A")]);
    let run = lived(&script, 350.0);
    assert_eq!(verdict(&run, "A"), "rejected(no_reason)");
    assert_eq!(standing_findings(&run, "no_reason").len(), 1);
}

#[test]
fn a_slow_exporter_is_waited_for_and_still_catches_a_loss() {
    let mut script = everybody_lives(reservations(), 900.0);
    for order in 0..60 {
        let (at, key) = (10.0 + f64::from(order) * 5.0, format!("order-{order}"));
        // It is known to be slow before anything is due.
        script.at(at - 10.0 + f64::from(order) / 100.0).delayed(30.0).spans("stock", [record("GET /livez")]);
        taken(&mut script, at + 100.0, &key);
        script.at(at + 105.0).delayed(30.0).spans("stock", [record("reserve").of(&key)]);
    }
    taken(&mut script, 320.0, "lost");
    let run = lived(&script, 800.0);
    assert_eq!(books(&run).completed, 60);
    assert_eq!(verdict(&run, "lost"), "unaccounted(vanished)");
    let opened = findings_ever_opened(&run);
    assert_eq!(opened.len(), 1, "only for the one that is lost: {opened:#?}");
}

#[test]
fn a_deploy_that_renames_a_span_is_found_at_once() {
    let mut script = everybody_lives(reservations(), 600.0);
    for order in 0..20 {
        let (at, key) = (50.0 + f64::from(order) * 5.0, format!("order-{order}"));
        taken(&mut script, at, &key);
        let name = if order < 10 { "reserve" } else { "reserve-stock" };
        script.at(at + 3.0).spans("stock", [record(name).of(&key)]);
    }
    let run = lived(&script, 500.0);
    assert_eq!((books(&run).completed, books(&run).unaccounted), (10, 10));
    let loss = &standing_findings(&run, "loss")[0];
    assert_eq!((loss.count, loss.before.as_deref()), (10, Some("reserved")));
    assert_eq!(health(&run), "BROKEN");
}

#[test]
fn a_retry_that_succeeds_at_the_third_attempt_is_completed_and_one_that_never_does_is_not() {
    let mut script = everybody_lives(reservations(), 400.0);
    for order in ["third time lucky", "never"] {
        taken(&mut script, 100.0, order);
        for attempt in [101.0, 104.0] {
            script.at(attempt).spans("stock", [record("reserve").of(order).failed()]);
        }
    }
    reserved(&mut script, 110.0, "third time lucky");
    assert_eq!(verdict(&lived(&script, 108.0), "third time lucky"), "open");
    let run = lived(&script, 350.0);
    assert_eq!(verdict(&run, "third time lucky"), "completed");
    assert_eq!(verdict(&run, "never"), "unaccounted(failed_without_exit)");
    assert_eq!(standing_findings(&run, "failed_without_exit").len(), 1);
}

#[test]
fn children_wait_for_a_parent_that_arrives_a_minute_later() {
    let mut script = everybody_lives(orders(), 400.0);
    let start = script.at(100.0).delayed(66.0).spans("shop", [record("POST /orders").of("A")])[0];
    script.at(105.0).spans("stock", [record("reserve").child_of(start)]);
    script.at(108.0).logs("stock", [record("nothing to do with it").at_place(start)]);
    script.at(110.0).spans("bill", [record("book").child_of(start)]);
    let run = lived(&script, 200.0);
    assert_eq!(verdict(&run, "A"), "completed");
    assert_eq!(journey(&run, "A").entered_at, second(100.0));
}

/// A queue that holds a message for five minutes is nothing unusual.
#[test]
fn a_slow_consumer_without_a_key_still_finds_the_order_it_is_linked_to() {
    let mut flow = reservations();
    flow.steps[1].within = Duration::from_secs(600);
    let mut script = everybody_lives(flow, 1200.0);
    let start = script.at(100.0).spans("shop", [record("POST /orders").of("A")])[0];
    script.at(400.0).spans("stock", [record("reserve").linked_to(start)]);
    assert_eq!(verdict(&lived(&script, 1100.0), "A"), "completed");
}

#[test]
fn two_flows_that_share_a_step_are_judged_each_for_itself() {
    let mut returns = flow("returns", "shop", "POST /returns");
    returns.steps.push(step("reserved", "stock", "reserve", 60, 0));
    let mut script = everybody_lives(reservations(), 400.0);
    let mut both = Script::new(vec![reservations(), returns]);
    std::mem::swap(&mut script, &mut both);
    for service in ["shop", "stock"] {
        script.alive(service, 0.0, 400.0);
    }
    taken(&mut script, 100.0, "A");
    script.at(101.0).spans("shop", [record("POST /returns").of("A")]);
    reserved(&mut script, 140.0, "A");
    let run = lived(&script, 380.0);
    let verdicts: Vec<(String, String)> =
        run.standings().into_iter().map(|journey| (journey.flow, journey.verdict)).collect();
    assert_eq!(verdicts, [("orders".into(), "late".into()), ("returns".into(), "completed".into())]);
}

#[test]
fn where_nobody_consumes_the_flow_is_broken() {
    let mut script = everybody_lives(reservations(), 400.0);
    for at in 0..35 {
        script.at(f64::from(at) * 10.0).spans("stock", [record("GET /livez")]);
    }
    for order in 0..10 {
        taken(&mut script, 100.0 + f64::from(order), &format!("order-{order}"));
    }
    let run = lived(&script, 350.0);
    assert_eq!((books(&run).entered, books(&run).unaccounted), (10, 10));
    assert_eq!(health(&run), "BROKEN");
    assert_eq!(run.engine.report().health, "BROKEN");
}

#[test]
fn a_service_that_never_was_heard_of_is_never_green() {
    let mut script = Script::new(vec![reservations()]);
    script.alive("shop", 0.0, 400.0);
    taken(&mut script, 100.0, "A");
    let run = lived(&script, 350.0);
    assert_eq!(verdict(&run, "A"), "unknown(never_seen)");
    assert_eq!(standing_findings(&run, "silence").len(), 1);
    assert_eq!(health(&run), "CANNOT TELL");
}

#[test]
fn a_flow_is_working_when_orders_come_through_and_cannot_tell_when_none_come() {
    let mut script = everybody_lives(reservations(), 4000.0);
    for order in 0..30 {
        let (at, key) = (50.0 + f64::from(order) * 5.0, format!("order-{order}"));
        taken(&mut script, at, &key);
        reserved(&mut script, at + 3.0, &key);
    }
    assert_eq!(health(&lived(&script, 40.0)), "CANNOT TELL", "nothing entered yet");
    assert_eq!(health(&lived(&script, 230.0)), "WORKING");
}

#[test]
fn fewer_entries_than_expected_cannot_be_told_from_a_dead_start() {
    let mut flow = reservations();
    flow.expect = Some(Expect { at_least: 3, per: Duration::from_secs(300) });
    let mut script = everybody_lives(flow, 2000.0);
    for order in 0..60 {
        let (at, key) = (10.0 + f64::from(order) * 10.0, format!("order-{order}"));
        taken(&mut script, at, &key);
        reserved(&mut script, at + 3.0, &key);
    }
    assert_eq!(health(&lived(&script, 650.0)), "WORKING");
    assert_eq!(health(&lived(&script, 1500.0)), "CANNOT TELL");
}

#[test]
fn a_late_arrival_amends_the_verdict_and_withdraws_the_finding() {
    let mut script = everybody_lives(reservations(), 600.0);
    for at in [50.0, 110.0, 130.0] {
        reserved(&mut script, at, "other");
    }
    taken(&mut script, 100.0, "A");
    script.at(105.0).delayed(150.0).spans("stock", [record("reserve").of("A")]);
    let run = lived(&script, 200.0);
    assert_eq!(verdict(&run, "A"), "unaccounted(vanished)");
    assert_eq!(standing_findings(&run, "loss").len(), 1);

    let run = lived(&script, 300.0);
    assert_eq!(verdict(&run, "A"), "completed", "merely arriving late is not late");
    assert_eq!(books(&run).amended, 1);
    let findings = run.engine.report().findings;
    assert!(findings.iter().all(|finding| finding.kind != "loss" || finding.status == "withdrawn"), "{findings:#?}");
    assert_eq!(health(&run), "WORKING");
}

/// Orders are published and consumed; from the hundredth on without headers, so that their trace and key are lost.
fn context_breaks() -> Script {
    let mut script = everybody_lives(reservations(), 600.0);
    for nth in 0..300 {
        let at = 100.0 + f64::from(nth) / 2.0;
        let key = format!("order-{nth}");
        let published = |draft: Draft| draft.with("messaging.destination.name", "orders");
        let order = script.at(at).spans("shop", [record("POST /orders").of(&key).kind(SpanKind::Server)])[0];
        let publish = record("publish orders").kind(SpanKind::Producer).child_of(order);
        let publish = script.at(at).spans("shop", [published(publish)])[0];
        let process = published(record("process orders").kind(SpanKind::Consumer));
        let (process, reserve) = match nth < 100 {
            true => (process.linked_to(publish), record("reserve").of(&key)),
            false => (process, record("reserve")),
        };
        let process = script.at(at + 1.0).spans("stock", [process])[0];
        script.at(at + 1.0).spans("stock", [reserve.child_of(process)]);
    }
    script
}

#[test]
fn behind_a_break_of_context_nothing_is_called_lost() {
    let script = context_breaks();
    let run = script.run(500.0).unwrap();
    let books = books(&run);
    assert_eq!((books.completed, books.unaccounted), (100, 0), "{books:?}");
    assert_eq!(books.unknown.get("context_lost"), Some(&200), "{books:?}");
    assert!(standing_findings(&run, "loss").is_empty());
    let opened = findings_ever_opened(&run);
    let broken: Vec<_> = opened.iter().filter(|finding| finding.kind == "broken_context").collect();
    assert_eq!(broken.len(), 1);
    assert_eq!((broken[0].service.as_deref(), broken[0].peer.as_deref()), (Some("stock"), Some("shop")));
}

/// Guarantee: a restart loses no span of the traces that are being put together, and counts none twice.
#[test]
fn traces_are_put_together_across_restarts() {
    let script = context_breaks();
    let never_stopped = script.run(500.0).unwrap();
    let (happenings, mut run) = (script.happenings(), Run::new(script.flows().to_vec()));
    // Traces are open for about ten seconds: each is met by a restart.
    for pause in (7..=497).step_by(7).chain([500]) {
        run.through(&happenings, second(f64::from(pause))).unwrap();
        run.checkpoint();
        run.restart().unwrap();
    }
    assert_eq!(never_stopped.engine.map(), run.engine.map());
    assert_eq!(never_stopped.engine.map().arrows.iter().map(|arrow| arrow.count).sum::<u64>(), 600);
    assert_eq!(never_stopped.engine.blind_spots(), run.engine.blind_spots());
    assert_eq!(never_stopped.effects, run.effects);
}
