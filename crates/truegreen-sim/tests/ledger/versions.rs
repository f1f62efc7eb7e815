//! Contracts that change while journeys are under way: each journey is judged by the version under which it entered, and
//! books and findings go on.

use truegreen_engine::{Effect, Engine, Input, Options, Request};
use truegreen_model::flow::{Bind, Flow, Key, Reentry, Signal};
use truegreen_model::report::{FindingReport, FlowReport, JourneyDetail};
use truegreen_model::time::Timestamp;
use truegreen_sim::otlp;
use truegreen_sim::run::Run;
use truegreen_sim::script::{Script, flow, pattern, record, step};
use truegreen_sim::telemetry::{Content, Happening, SpanRef, second};

/// An order is taken, reserved within 20 s, and booked within 30 s of that.
fn booked() -> Flow {
    let mut flow = reserved();
    flow.steps.push(step("booked", "bill", "book", 30, 1));
    flow
}

/// As [`booked`], but it is shipped instead.
fn shipped() -> Flow {
    let mut flow = reserved();
    flow.steps.push(step("shipped", "depot", "ship", 30, 1));
    flow
}

fn reserved() -> Flow {
    let mut flow = flow("orders", "shop", "POST /orders");
    flow.steps.push(step("reserved", "stock", "reserve", 20, 0));
    flow
}

/// The same promise in other words.
fn reworded(flow: &Flow, words: &str) -> Flow {
    Flow { description: words.into(), ..flow.clone() }
}

fn everybody_lives(flow: Flow, until: f64) -> Script {
    let mut script = Script::new(vec![flow]);
    for service in ["shop", "stock", "bill", "depot"] {
        script.alive(service, 0.0, until);
    }
    script
}

/// Lives through it until the end, these contracts coming into force at their seconds.
fn lived(script: &Script, revisions: &[(f64, &[Flow])], until: f64) -> Run {
    let mut run = Run::new(script.flows().to_vec());
    for (at, flows) in revisions {
        run.through(&script.happenings(), second(*at)).unwrap();
        run.revise(flows).unwrap();
    }
    run.through(&script.happenings(), second(until)).unwrap();
    run
}

fn books(run: &Run) -> FlowReport {
    run.engine.report().flows["orders"].clone()
}

fn journey(run: &Run, order: &str) -> JourneyDetail {
    let mut journeys = run.engine.journeys_of("orders", order);
    assert_eq!(journeys.len(), 1, "{order}: {journeys:?}");
    journeys.remove(0)
}

/// Verdict, and the step it waits for or was lost before.
fn verdict(run: &Run, order: &str) -> String {
    let detail = journey(run, order);
    let owed: Vec<String> = detail.owed.into_keys().collect();
    format!("{} {}", detail.journey.verdict, owed.join(","))
}

fn losses(run: &Run) -> Vec<FindingReport> {
    run.engine.report().findings.into_iter().filter(|finding| finding.kind == "loss").collect()
}

fn counted(run: &Run, reason: &str) -> u64 {
    let counters = run.engine.counters();
    counters.iter().filter(|counter| counter.reason == reason).map(|counter| counter.value).sum()
}

/// Everything that can be read of an engine.
fn told(engine: &Engine) -> String {
    let mut journeys: Vec<String> = engine.journeys().map(|one| serde_json::to_string(&one).unwrap()).collect();
    journeys.sort();
    let minutes: Vec<_> = engine.flows().map(|flow| engine.minutes(&flow.name)).collect();
    serde_json::to_string_pretty(&(engine.report(), minutes, engine.counters(), engine.services(), journeys)).unwrap()
}

/// Scenario: at second 60 `booked` gives way to `shipped`. Orders entered before, and after; of each kind one goes its way
/// and one is lost. Guarantee: each owes what its own version promises, and the steps of the other mean nothing to it.
#[test]
fn each_journey_owes_what_was_promised_when_it_entered() {
    let mut script = everybody_lives(booked(), 600.0);
    for order in ["old", "old-lost", "old-only-shipped"] {
        script.at(50.0).spans("shop", [record("POST /orders").of(order)]);
        script.at(52.0).spans("stock", [record("reserve").of(order)]);
    }
    for order in ["new", "new-lost", "new-only-booked"] {
        script.at(62.0).spans("shop", [record("POST /orders").of(order)]);
        script.at(63.0).spans("stock", [record("reserve").of(order)]);
    }
    for order in ["old", "new-only-booked"] {
        script.at(65.0).spans("bill", [record("book").of(order)]);
    }
    for order in ["new", "old-only-shipped"] {
        script.at(66.0).spans("depot", [record("ship").of(order)]);
    }
    let run = lived(&script, &[(60.0, &[shipped()])], 590.0);
    assert_eq!(verdict(&run, "old"), "completed ");
    assert_eq!(verdict(&run, "old-lost"), "unaccounted booked");
    assert_eq!(verdict(&run, "old-only-shipped"), "unaccounted booked");
    assert_eq!(verdict(&run, "new"), "completed ");
    assert_eq!(verdict(&run, "new-lost"), "unaccounted shipped");
    assert_eq!(verdict(&run, "new-only-booked"), "unaccounted shipped");
    let books = books(&run);
    assert_eq!((books.entered, books.completed, books.unaccounted), (6, 2, 4), "{books:?}");
    assert_eq!((books.orphans, books.duplicates), (0, 0), "no step was taken for another version's: {books:?}");
}

/// Scenario: the minute in which the contract changes has entries of both versions; one of the old ones turns out late
/// after it was called lost. Guarantee: one line of the books for the minute, which holds all of them, and balances after
/// every input (`Run` sees to that); the late step amends the old journey and opens nothing.
#[test]
fn a_late_step_completes_the_old_journey_and_the_books_are_one() {
    let mut script = everybody_lives(booked(), 600.0);
    for (at, order) in [(125.0, "a"), (130.0, "b"), (150.0, "c"), (155.0, "d")] {
        script.at(at).spans("shop", [record("POST /orders").of(order)]);
        script.at(at + 2.0).spans("stock", [record("reserve").of(order)]);
    }
    script.at(135.0).spans("bill", [record("book").of("a")]);
    script.at(160.0).spans("depot", ["c", "d"].map(|order| record("ship").of(order)));
    // Done in time, and told five minutes later.
    script.at(140.0).delayed(300.0).spans("bill", [record("book").of("b")]);
    let revisions: &[(f64, &[Flow])] = &[(140.0, &[shipped()])];
    let before = lived(&script, revisions, 400.0);
    assert_eq!(verdict(&before, "b"), "unaccounted booked");
    let run = lived(&script, revisions, 590.0);
    assert_eq!(verdict(&run, "b"), "completed ");
    let minutes = run.engine.minutes("orders").unwrap();
    assert_eq!(minutes.len(), 1, "{minutes:?}");
    assert_eq!((minutes[0].entered, minutes[0].completed), (4, 4));
    let books = books(&run);
    assert_eq!((books.entered, books.completed, books.amended, books.orphans), (4, 4, 1, 0), "{books:?}");
    assert!(losses(&run).iter().all(|finding| finding.status == "withdrawn"), "{:?}", losses(&run));
}

/// Scenario: orders are lost before they are reserved, the contract changes elsewhere, more are lost, then all is well.
/// Guarantee: one finding that grows and resolves; if it begins again it is another one, by its id.
#[test]
fn a_finding_goes_on_under_the_new_version_and_resolves_there() {
    let mut script = everybody_lives(booked(), 2000.0);
    let mut order = 0;
    let mut place = |script: &mut Script, at: f64, is_reserved: bool| {
        order += 1;
        let name = format!("order-{order}");
        script.at(at).spans("shop", [record("POST /orders").of(&name)]);
        if is_reserved {
            script.at(at + 1.0).spans("stock", [record("reserve").of(&name)]);
            script.at(at + 2.0).spans("bill", [record("book").of(&name)]);
            script.at(at + 2.0).spans("depot", [record("ship").of(&name)]);
        }
    };
    for n in 0..40 {
        // Losses before and after the change at 100, then none, then again.
        let is_lost = [3, 4, 12].contains(&n);
        place(&mut script, 50.0 + 5.0 * f64::from(n), !is_lost);
    }
    for n in 0..10 {
        place(&mut script, 600.0 + 5.0 * f64::from(n), n != 1);
    }
    // The new version has its steps elsewhere.
    let mut inserted = shipped();
    inserted.steps.insert(1, step("looked at", "shop", "look", 600, 0));
    inserted.steps[1].optional = true;
    inserted.steps[3].after = truegreen_model::flow::StepId(2);
    let revisions: &[(f64, &[Flow])] = &[(100.0, &[inserted])];
    let open = lived(&script, revisions, 105.0);
    let found = losses(&open);
    assert_eq!((found.len(), found[0].count, found[0].status.as_str()), (1, 2, "open"), "{found:?}");
    let grown = lived(&script, revisions, 155.0);
    assert_eq!((losses(&grown)[0].count, &losses(&grown)[0].id), (3, &found[0].id), "{:?}", losses(&grown));
    let run = lived(&script, revisions, 900.0);
    let all = losses(&run);
    assert_eq!(all.len(), 2, "{all:?}");
    let [again, first] = &all[..] else { panic!("{all:?}") };
    assert_eq!((first.id.as_str(), first.status.as_str(), first.count), (found[0].id.as_str(), "resolved", 3));
    assert_ne!(again.id, first.id);
    for finding in &all {
        assert_eq!((finding.after.as_deref(), finding.before.as_deref()), (Some("entered"), Some("reserved")));
    }
    let turns: Vec<_> = run.effects.iter().map(|(_, effect)| effect).collect();
    assert!(matches!(turns[..], [Effect::FindingOpened(_), Effect::FindingClosed(_), Effect::FindingOpened(_), ..]));
}

/// Scenario: orders are lost before `booked`, and the new contract has no such step. Guarantee: the finding stays as it
/// is while any journey of the old version could say otherwise; with the last of them it is closed, so that the flow is
/// not called broken for ever by something that nobody promises.
#[test]
fn a_finding_whose_hop_is_gone_is_closed_with_the_last_old_journey() {
    let mut script = everybody_lives(booked(), 600.0);
    for (at, order) in [(50.0, "a"), (55.0, "b"), (100.0, "c")] {
        script.at(at).spans("shop", [record("POST /orders").of(order)]);
        script.at(at + 2.0).spans("stock", [record("reserve").of(order)]);
    }
    script.at(60.0).spans("bill", [record("book").of("b")]);
    script.at(103.0).spans("depot", [record("ship").of("c")]);
    let mut run = lived(&script, &[(70.0, &[shipped()])], 590.0);
    let found = losses(&run);
    assert_eq!((found.len(), found[0].status.as_str()), (1, "quiet"), "{found:?}");
    assert_eq!(found[0].before.as_deref(), Some("booked"));
    assert_eq!(books(&run).health, "BROKEN");
    let retention = 6.0 * 3600.0;
    run.engine.apply(second(retention + 60.0), Input::Tick);
    assert_eq!(losses(&run)[0].status, "quiet", "a, b are still known");
    let effects = run.engine.apply(second(retention + 100.0), Input::Tick);
    assert!(matches!(&effects[..], [Effect::FindingClosed(closed)] if closed.id == found[0].id), "{effects:?}");
    assert_eq!(losses(&run)[0].status, "resolved");
    assert_eq!(losses(&run)[0].title, found[0].title, "its steps are still known by name");
}

/// What an engine must say that lived through two revisions, wherever it was stopped and started again on the way.
fn with_restarts(script: &Script, stops: &[f64]) -> String {
    let revisions: [(f64, Vec<Flow>); 3] = [
        (70.0, vec![shipped()]),
        (120.0, vec![reworded(&booked(), "as before"), flow("returns", "shop", "POST /returns")]),
        (200.0, vec![shipped()]),
    ];
    let mut moments: Vec<(f64, Option<&[Flow]>)> =
        revisions.iter().map(|(at, flows)| (*at, Some(&flows[..]))).collect();
    moments.extend(stops.iter().map(|at| (*at, None)));
    moments.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut run = Run::new(script.flows().to_vec());
    for (at, flows) in moments {
        run.through(&script.happenings(), second(at)).unwrap();
        match flows {
            Some(flows) => run.revise(flows).unwrap(),
            None => {
                run.checkpoint();
                run.restart().unwrap();
            }
        }
    }
    run.through(&script.happenings(), second(590.0)).unwrap();
    // Long enough for the old versions to be let go of.
    run.engine.apply(second(7.0 * 3600.0), Input::Tick);
    told(&run.engine)
}

/// Scenario: three revisions, among them a flow that comes and goes, and checkpoints before, between and behind them.
/// Guarantee: an engine that goes on from any of them is the one that never stopped (INV-REPLAY-1).
#[test]
fn checkpoints_before_and_behind_revisions_give_the_engine_back() {
    let mut script = everybody_lives(booked(), 600.0);
    for n in 0..40 {
        let (at, order) = (30.0 + 6.0 * f64::from(n), format!("order-{n}"));
        let start = script.at(at).spans("shop", [record("POST /orders").of(&order)])[0];
        script.at(at + 1.0).spans("shop", [record("POST /returns").of(&order)]);
        // Some inherit their key, at length.
        script.at(at + 7.0).delayed(4.0).spans("stock", [record("reserve").child_of(start)]);
        if n % 7 != 3 {
            script.at(at + 12.0).spans("bill", [record("book").of(&order)]);
            script.at(at + 15.0).spans("depot", [record("ship").of(&order)]);
        }
    }
    let never_stopped = with_restarts(&script, &[]);
    assert!(never_stopped.contains("\"unaccounted\""), "{never_stopped}");
    for stops in [&[60.0][..], &[71.0], &[119.0, 121.0], &[199.5, 300.0], &[65.0, 100.0, 150.0, 201.0, 500.0]] {
        let stopped = with_restarts(&script, stops);
        assert_eq!(never_stopped, stopped, "stopped at {stops:?}");
    }
}

/// Scenario: a revision in the middle of batches of any size, on one to three threads. Guarantee: nothing depends on it.
#[test]
fn a_revision_within_a_batch_is_as_one_by_one() {
    let mut script = everybody_lives(booked(), 400.0);
    for n in 0..30 {
        let (at, order) = (30.0 + 3.0 * f64::from(n), format!("order-{n}"));
        let start = script.at(at).spans("shop", [record("POST /orders").of(&order)])[0];
        script.at(at + 5.0).spans("stock", [record("reserve").child_of(start)]);
        script.at(at + 9.0).spans("bill", [record("book").of(&order)]);
        script.at(at + 9.0).spans("depot", [record("ship").of(&order)]);
    }
    let bodies: Vec<(Timestamp, bool, Vec<u8>)> = script
        .happenings()
        .iter()
        .filter_map(|(at, happening)| match happening {
            Happening::Accepted(content) => Some((*at, matches!(content, Content::Spans(_)), otlp::encode(content))),
            _ => None,
        })
        .collect();
    let revised = [shipped()];
    let mut inputs: Vec<(Timestamp, Input<'_>)> = bodies
        .iter()
        .enumerate()
        .map(|(sequence, (at, is_spans, body))| {
            let request = Request { sequence: sequence as u64, body };
            (*at, if *is_spans { Input::Traces(request) } else { Input::Metrics(request) })
        })
        .collect();
    let middle = inputs.partition_point(|(at, _)| *at < second(70.0));
    inputs.insert(middle, (second(70.0), Input::Contracts(&revised)));
    let lived = |batch: usize, threads: usize| {
        let mut engine = Engine::new(vec![booked()], Options { threads, ..Options::default() });
        let mut effects: Vec<Effect> = inputs.chunks(batch).flat_map(|batch| engine.apply_batch(batch)).collect();
        effects.extend(engine.apply(second(600.0), Input::Tick));
        (told(&engine), effects)
    };
    let one_by_one = lived(1, 1);
    for (batch, threads) in [(usize::MAX, 1), (usize::MAX, 3), (7, 2)] {
        assert_eq!(one_by_one, lived(batch, threads), "{batch} at a time on {threads} threads");
    }
}

/// Scenario: three versions one after the other, each with an open journey, while the last is in force.
#[test]
fn three_versions_each_judge_their_own() {
    let mut patient = booked();
    patient.steps[2].within = std::time::Duration::from_secs(200);
    let mut script = everybody_lives(booked(), 600.0);
    for (at, order) in [(50.0, "first"), (60.0, "second"), (70.0, "third"), (71.0, "third-shipped")] {
        script.at(at).spans("shop", [record("POST /orders").of(order)]);
        script.at(at + 2.0).spans("stock", [record("reserve").of(order)]);
    }
    script.at(140.0).spans("bill", ["first", "second"].map(|order| record("book").of(order)));
    script.at(75.0).spans("depot", ["first", "second", "third-shipped"].map(|order| record("ship").of(order)));
    let run = lived(&script, &[(58.0, &[patient]), (68.0, &[shipped()])], 590.0);
    assert_eq!(verdict(&run, "first"), "late ", "30 s, and took 88");
    assert_eq!(verdict(&run, "second"), "completed ", "200 s");
    assert_eq!(verdict(&run, "third"), "unaccounted shipped");
    assert_eq!(verdict(&run, "third-shipped"), "completed ");
    assert_eq!((books(&run).entered, books(&run).orphans), (4, 0), "{:?}", books(&run));
}

/// Scenario: a flow is removed while an order is open, and comes back later. Guarantee: it is shown as long as the order
/// is open, nothing enters meanwhile, and when it comes back its books go on.
#[test]
fn a_removed_flow_ends_what_it_has_and_goes_on_when_it_returns() {
    let mut script = everybody_lives(reserved(), 900.0);
    for (at, order) in [(50.0, "before"), (70.0, "meanwhile"), (300.0, "after")] {
        script.at(at).spans("shop", [record("POST /orders").of(order)]);
        script.at(at + 15.0).spans("stock", [record("reserve").of(order)]);
    }
    let other = flow("returns", "shop", "POST /returns");
    let mut run = Run::new(vec![reserved()]);
    run.through(&script.happenings(), second(60.0)).unwrap();
    run.revise(std::slice::from_ref(&other)).unwrap();
    run.through(&script.happenings(), second(62.0)).unwrap();
    assert_eq!((books(&run).entered, books(&run).open), (1, 1));
    run.through(&script.happenings(), second(200.0)).unwrap();
    assert!(!run.engine.report().flows.contains_key("orders"), "nothing of it is open any more");
    assert!(run.engine.flows().all(|flow| flow.name == "returns") && run.engine.minutes("orders").is_none());
    assert_eq!(verdict(&run, "before"), "completed ", "it can still be asked for");
    assert!(run.engine.journeys_of("orders", "meanwhile").is_empty());
    run.revise(&[other, reserved()]).unwrap();
    run.through(&script.happenings(), second(590.0)).unwrap();
    let books = books(&run);
    assert_eq!((books.entered, books.completed, books.orphans), (2, 2, 0), "{books:?}");
    assert_eq!(run.engine.minutes("orders").unwrap().len(), 2);
}

/// Scenario: records without a key, under two versions: one inherits the key of an old order, one of a new order, one
/// never finds any. Guarantee: each is taken once, and what is nobody's is counted once.
#[test]
fn records_without_a_key_are_taken_and_counted_once() {
    let mut script = everybody_lives(booked(), 600.0);
    let old = script.at(50.0).spans("shop", [record("POST /orders").of("old")])[0];
    let new = script.at(70.0).spans("shop", [record("POST /orders").of("new")])[0];
    script.at(72.0).spans("stock", [record("reserve").child_of(old)]);
    script.at(72.0).spans("stock", [record("reserve").child_of(new)]);
    script.at(73.0).spans("stock", [record("reserve").at_place(SpanRef { trace: 99, span: 1 })]);
    script.at(75.0).spans("bill", [record("book").of("old")]);
    script.at(75.0).spans("depot", [record("ship").of("new")]);
    let run = lived(&script, &[(60.0, &[shipped()])], 590.0);
    assert_eq!((verdict(&run, "old"), verdict(&run, "new")), ("late ".into(), "completed ".into()));
    assert_eq!((counted(&run, "no_key"), counted(&run, "superseded"), counted(&run, "ambiguous")), (1, 0, 0));
    assert_eq!((books(&run).entered, books(&run).orphans), (2, 0), "{:?}", books(&run));
}

/// Scenario: an order enters a second time, as its contract allows, after the contract changed and the first passage had
/// ended; then the requests of the first passage are sent once more. Guarantee: the new passage is the new version's, and
/// what was seen before is seen once.
#[test]
fn a_further_passage_enters_the_new_version() {
    let pause = std::time::Duration::from_secs(60);
    let [mut old, mut new] = [booked(), shipped()];
    old.reentry = Reentry::After(pause);
    new.reentry = Reentry::After(pause);
    new.steps[1].within = std::time::Duration::from_secs(5);
    let mut script = everybody_lives(old, 900.0);
    let first = |place: u128| SpanRef { trace: place, span: 1 };
    let tell_first = |script: &mut Script, delay: f64| {
        script.at(50.0).delayed(delay).spans("shop", [record("POST /orders").of("a").at_place(first(11))]);
        script.at(52.0).delayed(delay).spans("stock", [record("reserve").of("a").at_place(first(12))]);
        script.at(54.0).delayed(delay).spans("bill", [record("book").of("a").at_place(first(13))]);
    };
    tell_first(&mut script, 1.0);
    // Another start within the pause is no new passage, whatever is in force.
    script.at(100.0).spans("shop", [record("POST /orders").of("a")]);
    script.at(200.0).spans("shop", [record("POST /orders").of("a")]);
    tell_first(&mut script, 160.0);
    let run = lived(&script, &[(90.0, &[new])], 890.0);
    let journeys = run.engine.journeys_of("orders", "a");
    let verdicts: Vec<&str> = journeys.iter().map(|detail| detail.journey.verdict.as_str()).collect();
    assert_eq!(verdicts, ["completed", "unaccounted"], "{journeys:#?}");
    assert_eq!(journeys[0].seen.len(), 4, "two starts: {journeys:#?}");
    // What was told again was the first passage's; and the new version gives 5 s.
    let due = journeys[1].owed.get("reserved");
    assert!(due.is_some_and(|due| due.contains("00:03:25")), "{journeys:#?}");
    let books = books(&run);
    assert_eq!((books.entered, books.duplicates, books.orphans), (2, 1, 0), "{books:?}");
}

/// Scenario: the new version knows orders by another attribute; records carry both. Guarantee: what an old journey takes,
/// the new version does not take too.
#[test]
fn another_key_attribute_makes_no_second_journey() {
    let mut by_cart = reserved();
    by_cart.key = Key::Attributes(vec!["cart.id".into()]);
    let mut script = everybody_lives(reserved(), 600.0);
    script.at(50.0).spans("shop", [record("POST /orders").of("o-1").with("cart.id", "c-1")]);
    script.at(62.0).spans("stock", [record("reserve").of("o-1").with("cart.id", "c-1")]);
    // The start again, by a retry.
    script.at(63.0).spans("shop", [record("POST /orders").of("o-1").with("cart.id", "c-1")]);
    script.at(70.0).spans("shop", [record("POST /orders").of("o-2").with("cart.id", "c-2")]);
    script.at(72.0).spans("stock", [record("reserve").of("o-2").with("cart.id", "c-2")]);
    let run = lived(&script, &[(60.0, &[by_cart])], 590.0);
    assert_eq!((verdict(&run, "o-1"), verdict(&run, "c-2")), ("completed ".into(), "completed ".into()));
    let books = books(&run);
    assert_eq!((books.entered, books.completed, books.orphans, books.duplicates), (2, 2, 0, 1), "{books:?}");
}

/// Scenario: reservations name orders too, and the new version lists one more such name first. Guarantee: a record that
/// carries only the reservation finds the old order, whether it was bound before the change or after it.
#[test]
fn second_names_lead_to_old_journeys() {
    let bound = |attribute: &str| Bind {
        attribute: attribute.into(),
        on: vec![pattern(Signal::Span, "shop", "POST /reservations")],
    };
    let [mut old, mut new] = [booked(), shipped()];
    old.bind = vec![bound("reservation.id")];
    new.bind = vec![bound("parcel.id"), bound("reservation.id")];
    let mut script = everybody_lives(old, 600.0);
    for (at, order) in [(50.0, "early"), (50.0, "late"), (65.0, "new")] {
        script.at(at).spans("shop", [record("POST /orders").of(order)]);
        let bind_at = if order == "late" { 62.0 } else { at + 1.0 };
        let reservation = format!("r-{order}");
        let bind = record("POST /reservations").of(order).with("reservation.id", reservation.as_str());
        script.at(bind_at).spans("shop", [bind]);
        script.at(70.0).spans("stock", [record("reserve").with("reservation.id", reservation.as_str())]);
        script.at(75.0).spans("bill", [record("book").with("reservation.id", reservation.as_str())]);
        script.at(75.0).spans("depot", [record("ship").with("reservation.id", reservation.as_str())]);
    }
    let run = lived(&script, &[(60.0, &[new])], 590.0);
    for order in ["early", "late", "new"] {
        assert_eq!(verdict(&run, order), "completed ", "{order}");
        let by_other_name = run.engine.journeys_of("orders", &format!("r-{order}"));
        assert_eq!(by_other_name.len(), 1, "{by_other_name:?}");
    }
    assert_eq!((books(&run).entered, books(&run).orphans), (3, 0), "{:?}", books(&run));
}

/// Scenario: a step is seen before its start, and the contract changes in between. Guarantee: the start adopts it.
#[test]
fn a_start_finds_the_step_that_came_before_it() {
    let mut script = everybody_lives(reserved(), 600.0);
    script.at(52.0).spans("stock", [record("reserve").of("a")]);
    script.at(50.0).delayed(15.0).spans("shop", [record("POST /orders").of("a")]);
    let run = lived(&script, &[(60.0, &[reworded(&reserved(), "in other words")])], 590.0);
    assert_eq!(verdict(&run, "a"), "completed ");
    assert_eq!(books(&run).orphans, 0);
}

/// The same contracts again, in another order, are no revision.
#[test]
fn what_did_not_change_begins_nothing() {
    let returns = flow("returns", "shop", "POST /returns");
    let mut engine = Engine::new(vec![reserved(), returns.clone()], Options::default());
    assert!(engine.watches(&[returns.clone(), reserved()]));
    assert!(!engine.watches(&[reserved()]) && !engine.watches(&[reserved(), returns.clone(), shipped()]));
    assert!(!engine.watches(&[shipped(), returns.clone()]));
    let before = told(&engine);
    engine.apply(second(1.0), Input::Contracts(&[returns, reserved()]));
    assert_eq!(told(&engine), before);
    assert!(engine.flows().map(|flow| flow.name.as_str()).eq(["returns", "orders"]), "as they were told last");
}
