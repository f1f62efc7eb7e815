//! Silence is proof only once what is heard reaches past the deadline by its senders' own time.

use truegreen_engine::Effect;
use truegreen_sim::run::Run;
use truegreen_sim::script::{Script, record};
use truegreen_sim::telemetry::second;

use crate::scenarios::{lived, reservations, reserved, taken, verdict};

/// When each finding of a loss opened, in seconds.
fn claimed(run: &Run) -> Vec<f64> {
    let opened = run.effects.iter().filter_map(|(at, effect)| match effect {
        Effect::FindingOpened(finding) if finding.kind == "loss" => Some(at.since(second(0.0)).as_secs_f64()),
        _ => None,
    });
    opened.collect()
}

/// What `stock` shows steadily is so many seconds late from the 200th second on, while its metrics come in time.
fn shop(late_spans: f64, until: f64) -> Script {
    let mut script = Script::new(vec![reservations()]);
    script.alive("shop", 0.0, until);
    let mut at = 0.0;
    while at < until {
        let by = |late: f64| if at < 200.0 { 0.0 } else { late };
        script.measured(at + 0.5, 0.0, "stock", "stock-1");
        if by(late_spans).is_finite() {
            script.at(at).delayed(1.0 + by(late_spans)).spans("stock", [record("GET /livez")]);
        }
        at += 5.0;
    }
    script
}

/// An exporter that is suddenly 30 s late is heard again only by what is older than the deadline. Guarantee: that is
/// not taken for proof; what is truly lost is called so once telemetry of its own time is here.
#[test]
fn who_is_heard_by_old_telemetry_alone_proves_nothing() {
    let mut script = Script::new(vec![reservations()]);
    script.alive("shop", 0.0, 600.0).alive("stock", 0.0, 200.0);
    for beat in 40..120 {
        script.measured(f64::from(beat) * 5.0 + 0.5, 30.0, "stock", "stock-1");
    }
    // So many that a late one does not change what is usual.
    script.at(195.0).spans("stock", std::iter::repeat_n(record("GET /livez"), 300));
    taken(&mut script, 190.0, "on its way");
    script.at(203.0).delayed(31.0).spans("stock", [record("reserve").of("on its way")]);
    taken(&mut script, 240.0, "lost");
    assert_eq!(verdict(&lived(&script, 233.0), "on its way"), "open(due)", "due at 210, heard at 230.5 of 200.5");
    let run = lived(&script, 500.0);
    assert_eq!(
        (verdict(&run, "on its way"), verdict(&run, "lost")),
        ("completed".into(), "unaccounted(vanished)".into())
    );
    let claimed = claimed(&run);
    assert!(claimed.len() == 1 && claimed[0] > 300.0 && claimed[0] < 310.0, "{claimed:?}");
}

/// The same where only spans are late and metrics come in time.
#[test]
fn metrics_in_time_prove_nothing_of_spans_that_are_late() {
    let mut script = shop(30.0, 600.0);
    taken(&mut script, 190.0, "on its way");
    script.at(203.0).delayed(31.0).spans("stock", [record("reserve").of("on its way")]);
    taken(&mut script, 240.0, "lost");
    assert_eq!(verdict(&lived(&script, 233.0), "on its way"), "open(due)", "due at 210, metrics heard at 220.5");
    let run = lived(&script, 500.0);
    assert_eq!(
        (verdict(&run, "on its way"), verdict(&run, "lost")),
        ("completed".into(), "unaccounted(vanished)".into())
    );
    let claimed = claimed(&run);
    assert!(claimed.len() == 1 && claimed[0] > 290.0 && claimed[0] < 310.0, "{claimed:?}");
}

/// The exporter of spans dies, with orders in flight and metrics going on: what was shown steadily is missed.
#[test]
fn where_the_spans_of_a_steady_sender_break_off_nothing_is_called_lost() {
    let mut script = shop(f64::INFINITY, 600.0);
    taken(&mut script, 190.0, "in flight");
    taken(&mut script, 230.0, "later");
    let run = lived(&script, 500.0);
    for order in ["in flight", "later"] {
        assert_eq!(verdict(&run, order), "unknown(signal_silent)", "{order}");
    }
}

/// One order in five minutes, and nothing else to show: metrics speak for an idle consumer.
#[test]
fn one_order_in_five_minutes_that_is_lost_is_called_lost() {
    let mut script = Script::new(vec![reservations()]);
    script.alive("shop", 0.0, 1500.0).alive("stock", 0.0, 1500.0);
    for nth in 0..4 {
        let order = format!("order-{nth}");
        taken(&mut script, 10.0 + f64::from(nth) * 300.0, &order);
        if nth < 3 {
            reserved(&mut script, 13.0 + f64::from(nth) * 300.0, &order);
        }
    }
    let run = lived(&script, 1400.0);
    assert_eq!(verdict(&run, "order-3"), "unaccounted(vanished)");
    let claimed = claimed(&run);
    assert!(claimed.len() == 1 && claimed[0] < 910.0 + 20.0 + 10.0 + 6.0, "{claimed:?}");
}

/// An exporter that was stuck for 40 s sends a batch. Guarantee: with something new in it, it is proof of what was due
/// before; with old records alone it is none, and nothing that follows is, after so long.
#[test]
fn of_a_batch_with_old_and_new_the_newest_counts() {
    for (newest, expected) in [(238.0, "unaccounted(vanished)"), (206.0, "unknown(instance_gone)")] {
        let mut script = Script::new(vec![reservations()]);
        script.alive("shop", 0.0, 600.0).alive("stock", 0.0, 200.0);
        // So many that a late one does not change what is usual.
        script.at(195.0).spans("stock", std::iter::repeat_n(record("GET /livez"), 300));
        taken(&mut script, 190.0, "lost");
        script.at(240.0).spans("stock", [205.0, newest].map(|at| record("GET /livez").dated(at)));
        assert_eq!(verdict(&lived(&script, 238.0), "lost"), "open(due)");
        assert_eq!(verdict(&lived(&script, 500.0), "lost"), expected, "the newest is of {newest}");
    }
}

/// A clock that is half a minute behind cannot be told from an exporter that is late: the proof takes as much longer.
#[test]
fn a_clock_that_is_behind_delays_the_proof_and_prevents_none() {
    let mut script = Script::new(vec![reservations()]);
    script.alive("shop", 0.0, 600.0);
    for beat in 0..120 {
        let at = f64::from(beat) * 5.0;
        script.measured(at, 30.0, "stock", "stock-1");
        script.at(at).delayed(31.0).spans("stock", [record("GET /livez")]);
    }
    taken(&mut script, 300.0, "lost");
    let run = lived(&script, 580.0);
    assert_eq!(verdict(&run, "lost"), "unaccounted(vanished)");
    let claimed = claimed(&run);
    assert!(claimed.len() == 1 && claimed[0] > 350.0 && claimed[0] < 370.0, "{claimed:?}");
}
