//! A share of unaccounted journeys that is no finding.

use super::world::{Dice, World, second_of};

const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place, service: shop}
steps:
  - {name: paid, span: pay, service: bank, within: 10s}
  - {name: shipped, span: ship, service: depot, within: 20s}
";

fn world(limits: &str) -> World {
    World::new(&format!("{CONTRACT}limits: {{{limits}}}\n"), &["shop", "bank", "depot"])
}

/// An order placed at this second, which comes so far: 0 to 2 steps.
fn order(world: &mut World, at: f64, key: &str, steps: usize) {
    for (step, (service, name)) in [("shop", "place"), ("bank", "pay"), ("depot", "ship")].into_iter().enumerate() {
        if step <= steps {
            world.span(at + step as f64, service, name, &[("order.id", key)]);
        }
    }
}

/// Orders every so many seconds, each lost with this chance, at either step.
fn orders(world: &mut World, dice: &mut Dice, (from, to): (u64, u64), every: f64, lost: f64) {
    let mut at = from as f64;
    while at < to as f64 {
        let steps = if dice.roll() < lost { (dice.roll() * 2.0) as usize } else { 2 };
        order(world, at, &format!("o-{at}"), steps);
        at += every;
    }
}

#[test]
fn without_a_limit_the_first_one_is_a_finding() {
    for limits in ["late: 1%", "unaccounted: 0%"] {
        let mut world = world(limits);
        orders(&mut world, &mut Dice::new(1), (0, 600), 1.0, 0.0);
        order(&mut world, 300.5, "lost", 1);
        world.live(660);
        assert_eq!(world.findings().len(), 1, "{limits}");
    }
}

#[test]
fn what_is_allowed_is_in_the_books_and_no_finding() {
    for seed in 0..3 {
        let mut world = world("unaccounted: 1.5%");
        // Twice as many for ten minutes, and a pause: neither a burst nor its end is a loss.
        let mut dice = Dice::new(seed);
        for (from, to, every) in [(0, 3_000, 1.0), (3_000, 3_600, 0.25), (4_200, 7_200, 1.0)] {
            orders(&mut world, &mut dice, (from, to), every, 0.014);
        }
        world.live(7_500);
        let flow = world.flow();
        assert!(flow.unaccounted > 60, "{}", flow.unaccounted);
        assert_eq!(flow.health, "WORKING");
        assert_eq!(world.findings().len(), 0, "{:?}", world.findings());
        assert!(world.effects.is_empty());
    }
}

#[test]
fn one_bad_minute_of_a_rare_flow_is_a_finding_until_it_is_over() {
    let mut world = world("unaccounted: 1.5%");
    // One in ten seconds.
    for n in 0..360 {
        let at = 10.0 * f64::from(n);
        let steps = if (1_800.0..1_860.0).contains(&at) || n == 77 { 0 } else { 2 };
        order(&mut world, at, &format!("o-{n}"), steps);
    }
    world.live(1_790);
    assert_eq!((world.flow().unaccounted, world.findings().len()), (1, 0));
    world.live(1_900);
    let found = world.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind.as_str(), found[0].before.as_deref()), ("loss", Some("paid")));
    assert_eq!(second_of(&found[0].onset), 1_800);
    assert!(found[0].title.contains("100 % of those that came so far, at most 1.5 %"), "{}", found[0].title);
    assert_eq!(found[0].examples[0], "o-180");
    assert_eq!(world.flow().health, "BROKEN");
    world.live(3_600);
    let found = world.findings();
    assert_eq!((found.len(), found[0].count, found[0].status.as_str()), (1, 6, "resolved"));
    assert_eq!(world.flow().health, "WORKING");
    assert_eq!(world.flow().unaccounted, 7);
}

#[test]
fn a_somewhat_raised_share_is_found_at_its_step_among_noise_elsewhere() {
    let mut world = world("unaccounted: 1.5%");
    let mut dice = Dice::new(3);
    orders(&mut world, &mut dice, (0, 3_600), 1.0, 0.01);
    for second in 3_600..5_400 {
        let steps = if dice.roll() < 0.08 { 1 } else { 2 };
        order(&mut world, f64::from(second), &format!("o-{second}"), steps);
    }
    orders(&mut world, &mut dice, (5_400, 7_200), 1.0, 0.01);
    world.live(5_400);
    let found = world.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].after.as_deref(), found[0].before.as_deref()), (Some("paid"), Some("shipped")));
    let onset = second_of(&found[0].onset);
    assert!((3_500..3_700).contains(&onset), "{onset}");
    world.live(7_260);
    assert_eq!(world.findings()[0].status, "resolved");
    assert_eq!(world.effects.len(), 2, "opened and closed once");
}

#[test]
fn losses_here_and_there_add_up_to_a_finding_of_the_flow() {
    let mut world = world("unaccounted: 2%");
    orders(&mut world, &mut Dice::new(4), (0, 7_200), 1.0, 0.05);
    world.live(7_260);
    assert!(world.findings().iter().any(|found| found.kind == "loss"), "{:?}", world.findings());
}

#[test]
fn what_comes_late_after_all_withdraws_the_finding() {
    let mut world = world("unaccounted: 2%");
    orders(&mut world, &mut Dice::new(5), (0, 900), 2.0, 0.0);
    for n in 0..8 {
        order(&mut world, 300.5 + f64::from(n), &format!("held-{n}"), 0);
    }
    world.live(400);
    assert_eq!(world.findings()[0].kind, "loss");
    for n in 0..8 {
        for (step, (service, name)) in [("bank", "pay"), ("depot", "ship")].into_iter().enumerate() {
            let at = 302.0 + f64::from(n) + step as f64;
            world.span(at, service, name, &[("order.id", &format!("held-{n}"))]);
        }
    }
    world.live(900);
    assert_eq!((world.findings()[0].status.as_str(), world.flow().unaccounted), ("withdrawn", 0));
    assert_eq!(world.flow().health, "WORKING");
}

#[test]
fn neither_a_restart_nor_the_size_of_batches_changes_anything() {
    let lived = |restarts: &[u64], together: usize| {
        let mut world = world("unaccounted: usual");
        world.together = together;
        let mut dice = Dice::new(6);
        orders(&mut world, &mut dice, (0, 3_000), 1.0, 0.03);
        orders(&mut world, &mut dice, (3_000, 3_300), 1.0, 0.4);
        orders(&mut world, &mut dice, (3_300, 4_500), 1.0, 0.03);
        for second in restarts {
            world.live(*second);
            world.restart();
        }
        world.live(4_600);
        (world.engine.report(), world.effects)
    };
    let (report, effects) = lived(&[], 1);
    assert!(effects.len() >= 2, "{effects:?}");
    let restarts = [5, 600, 1_000, 2_995, 3_040, 3_060, 3_065, 3_200, 3_310, 3_400, 4_000];
    assert_eq!(lived(&restarts, 1), (report.clone(), effects.clone()));
    assert_eq!(lived(&[], 60), (report, effects));
}

#[test]
fn an_edit_goes_on_with_what_is_known() {
    let mut world = world("unaccounted: usual");
    let mut dice = Dice::new(7);
    orders(&mut world, &mut dice, (0, 3_600), 1.0, 0.03);
    world.live(1_800);
    let source = crate::flow::Source {
        path: "flow.yaml".into(),
        text: format!("{CONTRACT}limits: {{unaccounted: usual}}\ndescription: edited\n"),
    };
    let edited = crate::flow::compile(&[source]).unwrap().flows;
    let now = world.engine.now();
    world.engine.apply(now, crate::input::Input::Contracts(&edited));
    orders(&mut world, &mut dice, (3_600, 3_780), 1.0, 0.5);
    world.live(3_800);
    let found = world.findings();
    assert!(!found.is_empty() && found.iter().all(|found| found.title.contains("usually")), "{found:?}");
}
