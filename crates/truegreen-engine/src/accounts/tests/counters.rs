//! A service's own counter against the books.

use super::world::{Dice, Point, World, second_of};
use crate::input::Input;

const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place, service: shop}
steps:
  - {name: shipped, span: ship, service: depot, within: 20s}
exits:
  - {name: refused, span: refuse, service: depot, reason: why}
limits: {unaccounted: 50%, rejected: 90%}
reconcile:
  - {metric: depot.dropped, service: depot, by: reason, outcome: rejected}
";
const REASONS: [&str; 2] = ["no_stock", "no_address"];

/// How a depot tells what it drops.
#[derive(Clone, Copy)]
struct Depot {
    is_delta: bool,
    /// Drops of this many seconds are dropped silently: counted and not told.
    silent: (u64, u64),
    /// Of this many they are told and not counted.
    uncounted: (u64, u64),
    /// It begins anew then, under another name.
    restarts_at: u64,
    keeps_its_name: bool,
    /// Its counter counted so many before anybody listened.
    history: f64,
    /// Its exports take so long between these seconds.
    delayed: (u64, u64, u64),
    /// Every so many exports is sent twice.
    twice: u64,
}

const PLAIN: Depot = Depot {
    is_delta: false,
    silent: (0, 0),
    uncounted: (0, 0),
    restarts_at: u64::MAX,
    keeps_its_name: false,
    history: 0.0,
    delayed: (0, 0, 0),
    twice: u64::MAX,
};

/// Two depots work off an order each second; one in five is dropped. They export their counters every 15 seconds.
fn lived(depot: Depot, seed: u64, until: u64) -> World {
    let mut world = World::new(CONTRACT, &["shop", "depot"]);
    let mut dice = Dice::new(seed);
    let within = |at: u64, (from, to): (u64, u64)| (from..to).contains(&at);
    let mut counts = [[depot.history; 2]; 2];
    let mut last = [[-900.0; 2]; 2];
    let mut starts = [-900.0; 2];
    for second in 0..until {
        let key = format!("o-{second}");
        let at = second as f64;
        world.span(at, "shop", "place", &[("order.id", &key)]);
        let (who, reason) = ((dice.roll() * 2.0) as usize, usize::from(dice.roll() < 0.3));
        if dice.roll() > 0.2 {
            world.span(at + 0.5 + dice.roll(), "depot", "ship", &[("order.id", &key)]);
        } else {
            if !within(second, depot.silent) {
                world.span(at + 0.3, "depot", "refuse", &[("order.id", &key), ("why", REASONS[reason])]);
            }
            if !within(second, depot.uncounted) {
                counts[who][reason] += 1.0;
            }
        }
        if second == depot.restarts_at {
            counts = [[0.0; 2]; 2];
            starts = [at + 0.4; 2];
            last = [[at + 0.4; 2]; 2];
        }
        if second % 15 != 14 {
            continue;
        }
        for (who, name) in ["a", "b"].into_iter().enumerate() {
            let renamed = if second > depot.restarts_at && !depot.keeps_its_name { "-anew" } else { "" };
            let instance = format!("{name}{renamed}");
            let (from, to, by) = depot.delayed;
            for reason in 0..2 {
                let value = counts[who][reason];
                if value == 0.0 {
                    continue;
                }
                let point = Point {
                    metric: "depot.dropped",
                    attributes: &[("reason", REASONS[reason])],
                    start: if depot.is_delta { last[who][reason] } else { starts[who] },
                    value,
                    is_delta: depot.is_delta,
                    delay: if within(second, (from, to)) { by } else { 0 },
                };
                world.counts(at + 0.9, ("depot", &instance), &point);
                if second % depot.twice == depot.twice - 1 {
                    world.counts(at + 0.9, ("depot", &instance), &Point { delay: point.delay + 10, ..point });
                }
            }
            if depot.is_delta {
                counts[who] = [0.0; 2];
                last[who] = [at + 0.9; 2];
            }
        }
    }
    world
}

fn of_counters(world: &World) -> Vec<truegreen_model::report::FindingReport> {
    world.findings().into_iter().filter(|found| found.kind == "counter_mismatch").collect()
}

#[test]
fn a_counter_that_agrees_is_no_finding_whatever_happens_on_the_way() {
    let plain = [
        PLAIN,
        Depot { is_delta: true, ..PLAIN },
        Depot { history: 5_000.0, ..PLAIN },
        Depot { restarts_at: 1_800, ..PLAIN },
        Depot { restarts_at: 1_800, keeps_its_name: true, ..PLAIN },
        Depot { restarts_at: 1_800, is_delta: true, ..PLAIN },
        Depot { delayed: (1_500, 1_800, 60), ..PLAIN },
        Depot { delayed: (1_500, 1_800, 400), ..PLAIN },
        Depot { delayed: (1_500, 1_530, 700), is_delta: true, ..PLAIN },
        Depot { twice: 3, ..PLAIN },
        Depot { twice: 3, is_delta: true, ..PLAIN },
    ];
    for (index, depot) in plain.into_iter().enumerate() {
        let mut world = lived(depot, index as u64, 3_600);
        world.live(3_600);
        assert!(of_counters(&world).is_empty(), "{index}: {:?}", of_counters(&world));
        let told = world.flow().counters;
        assert_eq!(told.len(), 2, "{index}: {told:?}");
        assert!(told.iter().all(|one| one.agrees && one.counted > 20.0 && one.held > 20.0), "{index}: {told:?}");
    }
}

#[test]
fn what_is_counted_as_dropped_and_nowhere_refused_is_found_by_its_reason() {
    for is_delta in [false, true] {
        let mut world = lived(Depot { silent: (1_800, 2_100), is_delta, ..PLAIN }, 21, 5_400);
        world.live(1_800);
        assert!(of_counters(&world).is_empty());
        world.live(2_500);
        let found = of_counters(&world);
        assert!(found.len() == 1 && found[0].status != "resolved", "{found:?}");
        let onset = second_of(&found[0].onset);
        assert!((1_780..1_880).contains(&onset), "{onset}");
        assert_eq!(found[0].evidence.len(), 2, "{found:?}");
        assert!(found[0].evidence[0].contains("with reason `no_stock`"), "{found:?}");
        assert!(found[0].title.starts_with("`depot` counts "), "{}", found[0].title);
        assert!(found[0].title.contains("and the books of `orders` hold "), "{}", found[0].title);
        assert!((30..70).contains(&found[0].count), "{}", found[0].count);
        assert_eq!(world.flow().health, "BROKEN");
        assert!(world.flow().counters.iter().any(|one| !one.agrees));
        world.live(5_400);
        assert_eq!(of_counters(&world)[0].status, "resolved");
        assert_eq!(of_counters(&world).len(), 1);
    }
}

#[test]
fn what_is_refused_and_not_counted_is_found_too() {
    let mut world = lived(Depot { uncounted: (1_800, 2_100), ..PLAIN }, 22, 3_000);
    world.live(2_500);
    let found = of_counters(&world);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((1_780..1_900).contains(&second_of(&found[0].onset)), "{found:?}");
}

#[test]
fn while_we_did_not_listen_nothing_disagrees() {
    let mut world = lived(Depot { silent: (1_700, 1_790), ..PLAIN }, 23, 3_600);
    world.live(1_800);
    let now = world.engine.now();
    let down_since = now - std::time::Duration::from_secs(300);
    world.engine.apply(now, Input::Resumed { down_since });
    world.live(3_600);
    assert!(of_counters(&world).is_empty(), "{:?}", of_counters(&world));
}

#[test]
fn what_cannot_be_judged_may_be_what_was_counted() {
    // The depot's spans get lost in an outage of ours, and the sender is refused once.
    let mut world = lived(Depot { silent: (1_700, 1_790), ..PLAIN }, 24, 3_600);
    world.live(1_795);
    let now = world.engine.now();
    world.engine.apply(now, Input::Refused { service: "depot", instance: None });
    world.live(3_600);
    assert!(of_counters(&world).is_empty(), "{:?}", of_counters(&world));
}

#[test]
fn a_restart_in_the_middle_changes_nothing() {
    let depot = Depot { silent: (1_800, 1_900), restarts_at: 1_000, ..PLAIN };
    let mut whole = lived(depot, 25, 3_600);
    whole.live(3_600);
    let mut parts = lived(depot, 25, 3_600);
    for second in [10, 500, 1_005, 1_850, 2_000, 2_300, 2_900] {
        parts.live(second);
        parts.restart();
    }
    parts.live(3_600);
    let mut together = lived(depot, 25, 3_600);
    together.together = 70;
    together.live(3_600);
    assert_eq!(together.engine.report(), whole.engine.report());
    assert!(!of_counters(&whole).is_empty());
    assert_eq!((whole.engine.report(), whole.effects), (parts.engine.report(), parts.effects));
}

#[test]
fn other_metrics_and_gauges_are_no_counters() {
    let mut world = World::new(CONTRACT, &["shop", "depot"]);
    for second in 0..600 {
        world.span(f64::from(second), "shop", "place", &[("order.id", &format!("o-{second}"))]);
        world.span(f64::from(second) + 1.0, "depot", "ship", &[("order.id", &format!("o-{second}"))]);
    }
    let point = |metric, value| Point {
        metric,
        attributes: &[("reason", "no_stock")],
        start: 0.0,
        value,
        is_delta: false,
        delay: 0,
    };
    for (at, value) in [(100.0, 1.0), (200.0, 500.0)] {
        world.counts(at, ("depot", "1"), &point("depot.shipped", value));
        world.counts(at, ("shop", "1"), &point("depot.dropped", value));
        world.counts(at, ("depot", "1"), &point("depot.dropped", -value));
    }
    world.live(900);
    assert!(of_counters(&world).is_empty());
    let unread = world
        .engine
        .counters()
        .into_iter()
        .find(|counter| counter.name == "unread_counters" && counter.reason == "no_value");
    assert_eq!(unread.map(|counter| counter.value), Some(2));
    assert_eq!(world.flow().counters[0].service, None, "nothing was heard of it");
}
