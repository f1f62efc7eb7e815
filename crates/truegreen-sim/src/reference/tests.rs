//! Each rule once, by hand.

use std::time::Duration;

use truegreen_model::flow::{ExitOutcome, FanOut, Flow, ReasonSource, Reentry, Signal, StepId};
use truegreen_model::verdict::{Hop, Why};

use super::ruling::{Judged, Ruling};
use crate::script::{Script, any_of, exit, flow, pattern, record, step};
use crate::telemetry::second;

const VANISHED: Ruling = Ruling::Unaccounted { failed_attempt: false };

/// An order is taken, reserved within 20 s, and booked within 30 s of that.
fn orders() -> Flow {
    let mut flow = flow("orders", "shop", "POST /orders");
    flow.steps.push(step("reserved", "stock", "reserve", 20, 0));
    flow.steps.push(step("booked", "bill", "book", 30, 1));
    flow.exits.push(exit("refused", "stock", "refuse", ExitOutcome::Rejected));
    flow.exits.push(exit("parked", "stock", "park", ExitOutcome::DeadLettered));
    flow
}

fn everybody_lives(flow: Flow) -> Script {
    let mut script = Script::new(vec![flow]);
    script.alive("shop", 0.0, 600.0).alive("stock", 0.0, 600.0).alive("bill", 0.0, 600.0);
    script
}

/// Reserved spans keep coming, so that the signal speaks.
fn others_are_reserved(script: &mut Script) {
    for at in [50.0, 100.0, 150.0, 200.0] {
        script.at(at).spans("stock", [record("reserve").of("other")]);
        script.at(at).spans("bill", [record("book").of("other")]);
    }
}

fn journeys(script: &Script, at: f64) -> Vec<Judged> {
    script.reference().judge(second(at))
}

fn ruling(script: &Script, at: f64) -> Ruling {
    journeys(script, at).first().map_or(Ruling::Open, |journey| journey.ruling.clone())
}

#[test]
fn every_step_seen_in_time_is_completed_and_open_before() {
    let mut script = everybody_lives(orders());
    script.at(100.0).spans("shop", [record("POST /orders").of("A").lasting(2.0)]);
    script.at(110.0).spans("stock", [record("reserve").of("A")]);
    script.at(130.0).spans("bill", [record("book").of("A")]);
    assert_eq!(ruling(&script, 125.0), Ruling::Open);
    let judged = journeys(&script, 140.0);
    assert_eq!(judged[0].ruling, Ruling::Completed);
    assert_eq!(judged[0].entered_at, second(98.0), "a start counts from the beginning of its span");
}

#[test]
fn a_step_without_its_start_is_in_no_books() {
    let mut script = everybody_lives(orders());
    script.at(110.0).spans("stock", [record("reserve").of("A")]);
    assert!(journeys(&script, 400.0).is_empty());
}

#[test]
fn the_earliest_start_counts_and_the_same_span_twice_counts_once() {
    let mut flow = orders();
    flow.steps[1].fan_out = Some(FanOut::CountFrom { attribute: "parts".into() });
    flow.steps.truncate(2);
    let mut script = everybody_lives(flow);
    script.at(104.0).spans("shop", [record("POST /orders").of("A").with("parts", 2)]);
    script.at(100.0).delayed(9.0).spans("shop", [record("POST /orders").of("A")]);
    script.at(110.0).times(2).spans("stock", [record("reserve").of("A")]);
    assert_eq!(journeys(&script, 400.0)[0].entered_at, second(100.0));
    assert_eq!(ruling(&script, 400.0), VANISHED);
    script.at(111.0).spans("stock", [record("reserve").of("A")]);
    assert_eq!(ruling(&script, 400.0), Ruling::Completed);
}

#[test]
fn past_the_deadline_is_late_however_early_it_arrives_and_arriving_late_is_not() {
    for (at, delay, expected) in [(120.5, 1.0, Ruling::Late), (119.5, 100.0, Ruling::Completed)] {
        let mut flow = orders();
        flow.steps.truncate(2);
        let mut script = everybody_lives(flow);
        script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
        script.at(at).delayed(delay).spans("stock", [record("reserve").of("A")]);
        assert_eq!(ruling(&script, 400.0), expected);
    }
}

#[test]
fn deadlines_chain_over_a_missing_step_with_grace_once() {
    let mut flow = orders();
    flow.grace = Duration::from_secs(5);
    let mut script = everybody_lives(flow);
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    // Booked, never seen to be reserved: due at 100 + 20 + 30 + 5.
    script.at(154.0).spans("bill", [record("book").of("A")]);
    assert_eq!(ruling(&script, 400.0), Ruling::Completed, "a later step proves the earlier one");
    let mut late = script.clone();
    late.at(156.0).spans("bill", [record("book").of("B")]);
    late.at(100.0).spans("shop", [record("POST /orders").of("B")]);
    assert_eq!(journeys(&late, 400.0)[1].ruling, Ruling::Late);
}

#[test]
fn a_step_that_is_not_owed_passes_its_anchor_on() {
    let mut flow = orders();
    flow.steps[1].optional = true;
    let mut script = everybody_lives(flow);
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    // Due at 100 + 30, provable at 140.
    assert_eq!(ruling(&script, 139.0), Ruling::Open);
    assert_eq!(ruling(&script, 146.0), VANISHED);
    let judged = journeys(&script, 146.0);
    let hop = Hop { after: StepId(0), before: StepId(2) };
    assert_eq!(judged[0].hop, Some(hop), "what was not seen is not the last seen");
}

#[test]
fn when_and_unless_are_judged_on_the_latest_word() {
    let mut flow = orders();
    flow.steps.truncate(2);
    flow.steps[1].when = vec![any_of("tier", &["gold"])];
    flow.steps[1].unless = vec![any_of("country", &["fr"])];
    let cases: [(&[(&str, &str)], Ruling); 4] = [
        (&[], Ruling::Completed),
        (&[("tier", "basic")], Ruling::Completed),
        (&[("tier", "gold")], VANISHED),
        (&[("tier", "gold"), ("country", "fr")], Ruling::Completed),
    ];
    for (attributes, expected) in cases {
        let mut script = everybody_lives(flow.clone());
        others_are_reserved(&mut script);
        let start =
            attributes.iter().fold(record("POST /orders").of("A"), |start, (name, value)| start.with(name, *value));
        script.at(100.0).spans("shop", [start]);
        assert_eq!(ruling(&script, 400.0), expected, "{attributes:?}");
    }
    let mut script = everybody_lives(flow);
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A").with("tier", "basic")]);
    script.at(105.0).spans("shop", [record("POST /orders").of("A").with("tier", "gold")]);
    assert_eq!(ruling(&script, 400.0), VANISHED, "the later word counts");
}

#[test]
fn each_item_counts_by_its_earliest_sighting_and_all_are_needed() {
    let mut flow = orders();
    flow.steps.truncate(2);
    flow.steps[1].fan_out = Some(FanOut::ForEach { attribute: "lines".into(), item: "line".into() });
    let mut script = everybody_lives(flow);
    others_are_reserved(&mut script);
    let lines: &[&str] = &["a", "b", "c"];
    script.at(100.0).spans("shop", [record("POST /orders").of("A").with("lines", lines)]);
    for (at, line) in [(105.0, "a"), (106.0, "b"), (110.0, "b"), (111.0, "d")] {
        script.at(at).spans("stock", [record("reserve").of("A").with("line", line)]);
    }
    assert_eq!(ruling(&script, 400.0), VANISHED);
    script.at(121.0).spans("stock", [record("reserve").of("A").with("line", "c")]);
    assert_eq!(ruling(&script, 400.0), Ruling::Late);
}

#[test]
fn an_attempt_never_fulfils() {
    let mut script = everybody_lives(orders());
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    script.at(105.0).spans("stock", [record("reserve").of("A").failed()]);
    assert_eq!(ruling(&script, 400.0), Ruling::Unaccounted { failed_attempt: true });
}

#[test]
fn completed_goes_before_dead_lettered_before_rejected_before_unaccounted() {
    let mut script = everybody_lives(orders());
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    script.at(109.0).spans("stock", [record("refuse").of("A").with("reason", "second")]);
    script.at(108.0).delayed(5.0).spans("stock", [record("refuse").of("A").with("reason", "first").failed()]);
    assert_eq!(ruling(&script, 400.0), Ruling::Rejected("first".into()));
    script.at(110.0).spans("stock", [record("park").of("A")]);
    assert_eq!(ruling(&script, 400.0), Ruling::DeadLettered("no_reason".into()));
    script.at(120.0).spans("bill", [record("book").of("A")]);
    assert_eq!(ruling(&script, 400.0), Ruling::Completed);
}

#[test]
fn a_fixed_reason_needs_no_attribute() {
    let mut flow = orders();
    flow.exits[0].reason = ReasonSource::Fixed("by_rule".into());
    let mut script = everybody_lives(flow);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    script.at(109.0).spans("stock", [record("refuse").of("A")]);
    assert_eq!(ruling(&script, 110.0), Ruling::Rejected("by_rule".into()));
}

#[test]
fn a_flow_that_owes_nothing_is_completed_at_entry() {
    let mut script = everybody_lives(flow("orders", "shop", "POST /orders"));
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    assert_eq!(ruling(&script, 101.0), Ruling::Completed);
}

#[test]
fn a_key_enters_again_after_its_reentry_time() {
    let mut flow = orders();
    flow.steps.truncate(2);
    flow.reentry = Reentry::After(Duration::from_secs(60));
    let mut script = everybody_lives(flow);
    for at in [100.0, 130.0, 165.0] {
        script.at(at).spans("shop", [record("POST /orders").of("A")]);
    }
    script.at(170.0).spans("stock", [record("reserve").of("A")]);
    let judged = journeys(&script, 400.0);
    assert_eq!(judged.len(), 2, "at 100 and 165; at 130 it is the same passage");
    assert_eq!((judged[0].entered_at, &judged[0].ruling), (second(100.0), &VANISHED));
    assert_eq!((judged[1].entered_at, &judged[1].ruling), (second(165.0), &Ruling::Completed));
}

#[test]
fn nothing_is_unaccounted_before_each_instance_was_heard_a_lag_after_the_deadline() {
    let mut script = Script::new(vec![orders()]);
    script.alive("shop", 0.0, 600.0).alive("stock", 0.0, 600.0);
    script.instance_alive("stock", "stock-2", 0.0, 126.0);
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    // Due at 120; the second instance was last heard at 125.5, not at 130 or later.
    assert_eq!(ruling(&script, 249.0), Ruling::Open);
    assert_eq!(ruling(&script, 251.0), Ruling::Unknown(Why::InstanceGone));
    script.instance_alive("stock", "stock-2", 130.0, 131.0);
    assert_eq!(ruling(&script, 130.0), Ruling::Open);
    assert_eq!(ruling(&script, 131.0), VANISHED);
}

#[test]
fn an_instance_that_fell_silent_shortly_before_the_entry_may_have_lived_on() {
    for (last_sign, expected) in [(86.0, Ruling::Unknown(Why::InstanceGone)), (300.0, VANISHED)] {
        let mut script = Script::new(vec![orders()]);
        script.alive("shop", 0.0, 900.0).alive("stock", 0.0, 900.0);
        script.instance_alive("stock", "stock-2", 0.0, last_sign);
        // More than two minutes after the other instance's last sign, or soon after it.
        let entry = if last_sign > 100.0 { 430.0 } else { 100.0 };
        script.at(entry - 50.0).spans("stock", [record("reserve").of("other")]);
        script.at(entry).spans("shop", [record("POST /orders").of("A")]);
        assert_eq!(ruling(&script, 880.0), expected, "last heard at {last_sign}, entered at {entry}");
    }
}

#[test]
fn a_service_that_nobody_heard_during_the_wait_proves_nothing_by_coming_back() {
    let mut script = Script::new(vec![orders()]);
    script.alive("shop", 0.0, 900.0).alive("stock", 0.0, 60.0);
    script.at(200.0).spans("shop", [record("POST /orders").of("A")]);
    script.alive("stock", 235.0, 900.0);
    script.at(240.0).spans("stock", [record("reserve").of("other")]);
    assert_eq!(ruling(&script, 880.0), Ruling::Unknown(Why::InstanceGone));
}

#[test]
fn a_service_never_heard_of_is_never_seen() {
    let mut script = Script::new(vec![orders()]);
    script.alive("shop", 0.0, 600.0);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    assert_eq!(ruling(&script, 249.0), Ruling::Open);
    assert_eq!(ruling(&script, 251.0), Ruling::Unknown(Why::NeverSeen));
}

#[test]
fn a_service_that_shows_no_spans_is_silent_by_signal() {
    let mut script = everybody_lives(orders());
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    assert_eq!(ruling(&script, 249.0), Ruling::Open);
    assert_eq!(ruling(&script, 251.0), Ruling::Unknown(Why::SignalSilent));
}

#[test]
fn a_signal_of_a_quarter_of_an_hour_ago_speaks_while_few_are_owed() {
    for (others, expected) in [(3, VANISHED), (5, Ruling::Unknown(Why::SignalSilent))] {
        let mut script = everybody_lives(orders());
        script.at(50.0).spans("stock", [record("reserve").of("other")]);
        for other in 0..others {
            script.at(98.0).spans("shop", [record("POST /orders").of(&format!("B{other}"))]);
        }
        script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
        assert_eq!(ruling(&script, 400.0), expected, "with {others} others");
    }
}

#[test]
fn a_service_may_be_learned_from_what_fulfilled_the_step() {
    let mut flow = orders();
    flow.steps[1].any_of = vec![pattern(Signal::Span, "", "reserve")];
    let mut script = Script::new(vec![flow]);
    script.alive("shop", 0.0, 600.0).alive("stock", 0.0, 600.0);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    assert_eq!(ruling(&script, 400.0), Ruling::Unknown(Why::NeverSeen));
    script.at(105.0).spans("stock", [record("reserve").of("other")]);
    assert_eq!(ruling(&script, 400.0), VANISHED);
}

#[test]
fn a_declared_sample_proves_nothing() {
    let mut flow = orders();
    flow.sampled.insert("stock".into(), 0.1);
    let mut script = everybody_lives(flow);
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    assert_eq!(ruling(&script, 129.0), Ruling::Open);
    assert_eq!(ruling(&script, 131.0), Ruling::Unknown(Why::Sampled));
}

#[test]
fn what_was_refused_may_have_been_the_step() {
    for (at, expected) in [(105.0, Ruling::Unknown(Why::IntakeGap)), (95.0, VANISHED), (135.0, VANISHED)] {
        let mut script = everybody_lives(orders());
        others_are_reserved(&mut script);
        script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
        script.refused(at, "stock", Some("stock-1"));
        assert_eq!(ruling(&script, 400.0), expected, "refused at {at}");
    }
}

#[test]
fn while_we_are_down_deadlines_pause() {
    let mut script = everybody_lives(orders());
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    script.down(110.0, 300.0);
    assert_eq!(ruling(&script, 309.0), Ruling::Open);
    assert_eq!(ruling(&script, 316.0), Ruling::Unknown(Why::IntakeGap));
}

#[test]
fn a_record_without_a_key_has_its_parents_or_its_links() {
    let mut script = everybody_lives(orders());
    let start = script.at(100.0).spans("shop", [record("POST /orders").of("A")])[0];
    script.at(105.0).spans("stock", [record("reserve").child_of(start)]);
    script.at(110.0).spans("bill", [record("book").linked_to(start)]);
    assert_eq!(ruling(&script, 400.0), Ruling::Completed);
}

#[test]
fn a_slow_exporter_is_given_the_time_it_takes() {
    let mut script = everybody_lives(orders());
    for at in 0..60 {
        script.at(f64::from(at)).delayed(30.0).spans("stock", [record("reserve").of("other")]);
    }
    others_are_reserved(&mut script);
    script.at(100.0).spans("shop", [record("POST /orders").of("A")]);
    assert_eq!(ruling(&script, 149.0), Ruling::Open);
    assert_eq!(ruling(&script, 156.0), VANISHED);
}

#[test]
fn times_that_cannot_be_are_replaced_by_the_time_of_receipt() {
    let mut script = everybody_lives(orders());
    script.at(100.0).spans("shop", [record("POST /orders").of("A").dated(2.3e9)]);
    script.at(105.0).spans("shop", [record("POST /orders").of("B").dated(105.0)]);
    let judged = journeys(&script, 106.5);
    assert_eq!((judged[0].entered_at, judged[1].entered_at), (second(101.0), second(105.0)));
}

#[test]
fn a_clock_ahead_is_shifted_back_by_its_worst_excess() {
    let mut script = everybody_lives(orders());
    script.at(90.0).spans("shop", [record("GET /").dated(121.0)]);
    script.at(100.0).spans("shop", [record("POST /orders").of("A").dated(125.0)]);
    assert_eq!(journeys(&script, 102.0)[0].entered_at, second(95.0), "ahead by 30 s at 91, by 24 s at 101");
}
