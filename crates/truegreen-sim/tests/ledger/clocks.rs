//! Clocks that are wrong, and solved: deadlines and lateness are told by one clock. A skew fakes no breach and hides
//! none.

use truegreen_model::flow::SpanKind;
use truegreen_sim::compare::differences;
use truegreen_sim::reference::Reference;
use truegreen_sim::run::Run;
use truegreen_sim::script::{Script, record};
use truegreen_sim::telemetry::second;

use crate::scenarios::{reservations, verdict};

/// Three services that call each other every second; the clock of one is wrong.
struct Shop {
    script: Script,
    wrong: &'static str,
    from: f64,
    ahead: f64,
}

impl Shop {
    /// From this second on it is so many seconds ahead.
    fn new(wrong: &'static str, from: f64, ahead: f64) -> Shop {
        let mut shop = Shop { script: Script::new(vec![reservations()]), wrong, from, ahead };
        for at in 50..700 {
            let at = f64::from(at);
            for callee in ["stock", "bill"] {
                let calls = record("GET /rates").kind(SpanKind::Client).lasting(0.1);
                let call = shop.tell(at, "shop", calls)[0];
                shop.tell(at - 0.02, callee, record("GET /rates").kind(SpanKind::Server).lasting(0.05).child_of(call));
            }
        }
        shop
    }

    fn tell(
        &mut self,
        at: f64,
        service: &str,
        draft: truegreen_sim::script::Draft,
    ) -> Vec<truegreen_sim::telemetry::SpanRef> {
        let ahead = if service == self.wrong && at >= self.from { self.ahead } else { 0.0 };
        self.script.at(at).spans(service, [draft.dated(at + ahead)])
    }

    /// An order that is taken then, and reserved so many seconds later, if it is.
    fn order(&mut self, at: f64, name: &str, reserved_after: Option<f64>) {
        self.tell(at, "shop", record("POST /orders").of(name));
        if let Some(after) = reserved_after {
            self.tell(at + after, "stock", record("reserve").of(name));
        }
    }

    /// The engine, and by then it says what the reference says that is told of the same corrections.
    fn lived(&self, until: f64) -> Run {
        let script = &self.script;
        let run = script.run(until).unwrap();
        let corrections = run.corrections();
        let reference = Reference::of_clocks(script.flows().to_vec(), &script.happenings(), &corrections);
        let differences = differences(&run, &reference, script.flows(), second(until), true);
        assert!(differences.is_empty(), "{corrections:?}\n{}", differences.join("\n"));
        run
    }
}

/// Scenario: whoever begins, or whoever does the step, has had a wrong clock all along. Guarantee: what was done in time
/// is completed, what was late is late, what was not done is lost, and neither is said too early.
#[test]
fn by_whichever_clock_it_is_told_in_time_is_in_time_and_late_is_late() {
    for (wrong, ahead) in [("shop", -40.0), ("shop", 40.0), ("stock", -40.0), ("stock", 40.0)] {
        let mut shop = Shop::new(wrong, 0.0, ahead);
        shop.order(300.0, "in time", Some(10.0));
        shop.order(302.0, "just in time", Some(19.0));
        shop.order(304.0, "late", Some(22.0));
        shop.order(306.0, "lost", None);
        let on_the_way = shop.lived(325.0);
        assert_eq!(verdict(&on_the_way, "lost"), "open", "{wrong} {ahead}");
        let run = shop.lived(600.0);
        let orders = ["in time", "just in time", "late", "lost"];
        let verdicts = orders.map(|order| verdict(&run, order));
        assert_eq!(verdicts, ["completed", "completed", "late", "unaccounted(vanished)"], "{wrong} {ahead}");
    }
}

/// Scenario: a clock is set amid traffic. Guarantee: what was called lost or late by it until that was noticed is amended.
#[test]
fn what_a_clock_that_was_just_set_made_late_or_lost_is_amended() {
    for (wrong, ahead) in [("shop", -40.0), ("shop", 40.0), ("stock", -40.0), ("stock", 40.0)] {
        let mut shop = Shop::new(wrong, 400.0, ahead);
        let orders: Vec<String> = (0..40).map(|nth| format!("order-{nth}")).collect();
        for (nth, order) in (0..).zip(&orders) {
            shop.order(350.0 + f64::from(nth) * 4.0, order, Some(8.0));
        }
        shop.order(520.0, "late", Some(23.0));
        let run = shop.lived(690.0);
        for order in &orders {
            assert_eq!(verdict(&run, order), "completed", "{order} with {wrong} {ahead}");
        }
        let flow = &run.engine.report().flows["orders"];
        assert_eq!((flow.completed, flow.late, flow.unaccounted), (40, 1, 0), "{wrong} {ahead}");
    }
}

/// Scenario: an engine that restarts every few seconds. Guarantee: corrections outlive it.
#[test]
fn corrections_outlive_a_restart() {
    let mut shop = Shop::new("shop", 400.0, -40.0);
    for nth in 0..20 {
        shop.order(380.0 + f64::from(nth) * 5.0, &format!("order-{nth}"), Some(8.0));
    }
    let never_stopped = shop.lived(600.0);
    assert!(!never_stopped.corrections().is_empty());
    let (happenings, mut run) = (shop.script.happenings(), Run::new(shop.script.flows().to_vec()));
    for pause in (7..=600).step_by(13).chain([600]) {
        run.through(&happenings, second(f64::from(pause))).unwrap();
        run.checkpoint();
        run.restart().unwrap();
    }
    assert_eq!(never_stopped.corrections(), run.corrections());
    assert_eq!(never_stopped.standings(), run.standings());
    assert_eq!(never_stopped.effects, run.effects);
}
