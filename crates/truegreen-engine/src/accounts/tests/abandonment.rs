//! People who leave, as they do, and when more do than usual.

use super::world::{Dice, World, second_of};

const CONTRACT: &str = "
flow: visits
key: session.id
start: {name: landed, span: GET /, service: web}
within: 8m
steps:
  - {name: cart, span: POST /cart, service: web}
  - {name: checkout, span: GET /checkout, service: web}
  - {name: bought, span: POST /orders, service: web}
exits:
  - {name: signed_out, span: POST /sign-out, service: web, reason: {fixed: signed_out}}
limits: {abandonment: usual}
";
const STEPS: [&str; 4] = ["GET /", "POST /cart", "GET /checkout", "POST /orders"];

/// Who leaves before the next step, usually.
const LEAVE: [f64; 3] = [0.5, 0.12, 0.3];

/// A visit of somebody who takes his time, up to seven minutes for each step.
fn visit(world: &mut World, dice: &mut Dice, at: f64, leave: [f64; 3]) {
    let key = format!("s-{at}");
    let mut at = at;
    for (step, name) in STEPS.into_iter().enumerate() {
        world.span(at, "web", name, &[("session.id", &key)]);
        if step < 3 && dice.roll() < leave[step] {
            return;
        }
        at += 2.0 + dice.roll() * dice.roll() * 400.0;
    }
}

/// Visits at so many a minute, by the time.
fn visits(world: &mut World, dice: &mut Dice, (from, to): (u64, u64), a_minute: impl Fn(f64) -> f64, leave: [f64; 3]) {
    let mut at = from as f64;
    while at < to as f64 {
        at += -(1.0 - dice.roll()).ln() * 60.0 / a_minute(at);
        visit(world, dice, at, leave);
    }
}

fn world() -> World {
    World::new(CONTRACT, &["web"])
}

#[test]
fn bursts_nights_and_chance_are_no_abandonment() {
    for seed in 0..3 {
        let mut world = world();
        let mut dice = Dice::new(seed);
        // A day in four hours; every hour a campaign of ten minutes; a pause as of a deploy.
        let a_minute = |at: f64| {
            let day = 20.0 + 18.0 * (at / 14_400.0 * std::f64::consts::TAU).sin();
            if at % 3_600.0 < 600.0 && at > 3_600.0 { day * 6.0 } else { day }
        };
        visits(&mut world, &mut dice, (0, 20_000), a_minute, LEAVE);
        visits(&mut world, &mut dice, (20_300, 36_000), a_minute, LEAVE);
        world.live(39_600);
        assert!(world.findings().is_empty(), "{:?}", world.findings());
        let flow = world.flow();
        assert_eq!(flow.health, "WORKING");
        assert!(flow.unaccounted > 4_000, "they are in the books: {}", flow.unaccounted);
        assert!(flow.left.iter().map(|left| left.before.as_str()).eq(["cart", "checkout", "bought"]));
        for (left, usual) in flow.left.iter().zip(LEAVE) {
            let step = &left.before;
            assert!((left.usual.unwrap() - usual).abs() < 0.04, "{step}: {left:?}");
            assert!((left.share - usual).abs() < 0.1, "{step}: {left:?}");
        }
    }
}

#[test]
fn a_rare_flow_of_changing_crowds_does_not_cry_wolf() {
    let mut world = world();
    let mut dice = Dice::new(11);
    // Two a minute; who comes at night leaves sooner.
    for hour in 0..24 {
        let leave = if hour % 12 < 8 { LEAVE } else { [0.57, 0.16, 0.36] };
        visits(&mut world, &mut dice, (hour * 3_600, (hour + 1) * 3_600), |_| 2.0, leave);
    }
    world.live(24 * 3_600 + 1_800);
    assert!(world.findings().is_empty(), "{:?}", world.findings());
}

#[test]
fn when_suddenly_more_leave_after_the_cart_that_is_found_there() {
    for (seed, a_minute, within) in [(1, 60.0, 1_800), (2, 60.0, 1_800), (3, 10.0, 4_500)] {
        let mut world = world();
        let mut dice = Dice::new(seed);
        visits(&mut world, &mut dice, (0, 14_400), |_| a_minute, LEAVE);
        visits(&mut world, &mut dice, (14_400, 21_600), |_| a_minute, [0.5, 0.4, 0.3]);
        visits(&mut world, &mut dice, (21_600, 28_800), |_| a_minute, LEAVE);
        world.live(14_400 + within);
        let found = world.findings();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, "abandonment");
        assert_eq!((found[0].after.as_deref(), found[0].before.as_deref()), (Some("cart"), Some("checkout")));
        let onset = second_of(&found[0].onset);
        assert!((13_200..15_300).contains(&onset), "{onset}");
        let title = &found[0].title;
        assert!(title.contains("were left after `cart`, before `checkout`"), "{title}");
        assert!(title.contains("% of those who came so far, usually 1"), "{title}");
        assert_eq!(world.flow().health, "BROKEN", "{seed}: {found:?}");
        world.live(21_600);
        assert_eq!(world.findings().len(), 1, "{:?}", world.findings());
        world.live(28_800);
        assert_eq!(world.findings()[0].status, "resolved");
        assert_eq!(world.findings().len(), 1, "{:?}", world.findings());
    }
}

#[test]
fn a_first_day_has_no_past_and_says_nothing() {
    let mut world = world();
    let mut dice = Dice::new(4);
    visits(&mut world, &mut dice, (0, 1_200), |_| 60.0, [0.9, 0.9, 0.9]);
    world.live(1_500);
    assert!(world.findings().is_empty());
    assert_eq!(world.flow().left[0].usual, None);
}

#[test]
fn who_takes_his_time_has_not_left() {
    let mut world = world();
    let mut dice = Dice::new(5);
    visits(&mut world, &mut dice, (0, 7_200), |_| 30.0, LEAVE);
    world.live(7_200);
    // A crowd that came a minute ago, none of which went further yet.
    for n in 0..300 {
        world.span(7_200.0 + f64::from(n) / 10.0, "web", "GET /", &[("session.id", &format!("late-{n}"))]);
    }
    world.live(7_600);
    assert!(world.flow().open >= 300);
    assert!(world.findings().is_empty(), "{:?}", world.findings());
    world.live(8_400);
    assert_eq!(world.findings()[0].after.as_deref(), Some("landed"), "and then they have");
}
