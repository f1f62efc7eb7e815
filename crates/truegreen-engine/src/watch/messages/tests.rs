use truegreen_model::flow::SpanKind;

use super::*;
use crate::coverage::Heard;
use crate::trace::SpanRef;
use crate::trace::span::Outcome;
use crate::watch::stage::{Act, Stage};

const ORDERS: [&str; 5] = ["", "orders", "", "send", "kafka"];
const TAKEN: [&str; 5] = ["", "orders", "stock", "process", "kafka"];
const STOCK: [&str; 5] = ["", "stock", "", "UPDATE", "postgresql"];

/// A shop that publishes orders, and stock that takes them.
struct World {
    stage: Stage,
    clocks: Clocks,
    messages: Messages,
    /// Whether stock is heard.
    hears_stock: bool,
}

/// How an order is published.
#[derive(Clone, Copy, Default)]
struct Published {
    act: Act,
    partition: u8,
    /// Not at all.
    omitted: bool,
}

impl World {
    fn new() -> World {
        let messages = Messages::default();
        World { stage: Stage::new(), clocks: Clocks::default(), messages, hears_stock: true }
    }

    fn show(&mut self, tree: &Tree) {
        self.hear(tree);
        self.settle(tree);
    }

    fn hear(&mut self, tree: &Tree) {
        let World { stage, clocks, messages, .. } = self;
        for span in &tree.spans {
            stage.show(|view, findings| messages.heard((tree.trace, span), clocks, view, findings));
        }
    }

    fn settle(&mut self, tree: &Tree) {
        let World { stage, clocks, messages, .. } = self;
        stage.show(|view, findings| messages.settled(tree, clocks, view, findings));
    }

    /// Lets time pass, second by second.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.stage.now = self.stage.now + Duration::from_secs(1);
            for service in ["shop", "stock"] {
                if service == "stock" && !self.hears_stock {
                    continue;
                }
                let name = self.stage.symbols.intern(service.as_bytes());
                let service = self.stage.coverage.service(name, 0, &[]);
                let instance = self.stage.coverage.instance(service, 1, "1");
                self.stage.coverage.hear(service, instance, &Heard::default(), self.stage.now);
                // What it does besides.
                instance.into_iter().for_each(|by| self.messages.reach.heard(by, self.stage.now, self.stage.now));
            }
            let World { stage, clocks, messages, .. } = self;
            stage.show(|view, findings| messages.tick(LEAST_LAG, clocks, view, findings));
        }
    }

    fn partition(&mut self, partition: u8) -> Option<Symbol> {
        (partition > 0).then(|| self.stage.symbols.intern(partition.to_string().as_bytes()))
    }

    /// A request that publishes; the spans that it published with.
    fn request(&mut self, published: &[Published]) -> Vec<SpanRef> {
        let request =
            Act { id: 1, kind: SpanKind::Server, name: "POST /orders", until: 40, status: 201, ..Act::default() };
        let mut acts = vec![request];
        for (id, Published { act, omitted, .. }) in (10..).zip(published) {
            let (from, until) = (id, id + 2);
            let act = Act {
                id,
                parent: 1,
                kind: SpanKind::Producer,
                name: "send orders",
                from,
                until,
                texts: ORDERS,
                ..*act
            };
            acts.extend((!omitted).then_some(act));
        }
        let mut tree = self.stage.tree(&acts);
        for (id, Published { partition, .. }) in (10..).zip(published) {
            let partition = self.partition(*partition);
            tree.spans.iter_mut().filter(|span| span.span == id).for_each(|span| span.partition = partition);
        }
        self.show(&tree);
        (10..).zip(published).map(|(span, _)| SpanRef { trace: tree.trace, span }).collect()
    }

    fn publish(&mut self) -> SpanRef {
        self.request(&[Published::default()])[0]
    }

    /// Stock takes a message, `after` so many milliseconds, and does this with it.
    fn process(&mut self, message: Option<SpanRef>, after: u64, own: Act, below: &[Act]) {
        let tree = self.processing(message, after, own, below);
        self.show(&tree);
    }

    fn processing(&mut self, message: Option<SpanRef>, after: u64, own: Act, below: &[Act]) -> Tree {
        let process =
            Act { id: 1, service: "stock", kind: SpanKind::Consumer, name: "process orders", texts: TAKEN, ..own };
        let mut acts = vec![Act { from: after, until: after + 20, ..process }];
        acts.extend(below.iter().enumerate().map(|(n, act)| {
            let (from, until) = (after + 1, after + 9);
            Act { id: 2 + n as u64, parent: 1, service: "stock", from, until, ..*act }
        }));
        let mut tree = self.stage.tree(&acts);
        tree.spans.iter_mut().filter(|span| span.span == 1).for_each(|span| span.links.extend(message));
        tree
    }

    fn update() -> Act {
        Act { kind: SpanKind::Client, name: "UPDATE stock", texts: STOCK, ..Act::default() }
    }

    fn take(&mut self, message: SpanRef) {
        self.process(Some(message), 5, Act::default(), &[World::update()]);
    }

    /// So many orders that go well, ten a second.
    fn orders(&mut self, many: u64) {
        for n in 0..many {
            let message = self.publish();
            self.take(message);
            self.pass(u64::from(n % 10 == 9));
        }
    }

    fn found(&self) -> Vec<String> {
        self.stage.found().iter().map(|found| format!("{} {}", found.kind, found.status)).collect()
    }
}

#[test]
fn an_hour_of_orders_that_go_well_finds_nothing() {
    let mut world = World::new();
    world.orders(36_000);
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
    assert_eq!(world.messages.overflowed(), 0);
}

#[test]
fn a_message_that_is_never_processed_though_later_ones_are_is_lost() {
    let mut world = World::new();
    world.orders(200);
    for n in 0..300 {
        let message = world.publish();
        if n % 10 != 0 {
            world.take(message);
        }
        world.pass(u64::from(n % 10 == 9));
    }
    world.pass(30);
    assert_eq!(world.found(), ["lost_publish open"]);
    let found = &world.stage.found()[0];
    assert_eq!((found.service.as_deref(), found.operation.as_deref()), (Some("shop"), Some("send orders")));
    assert!(found.evidence[0].contains("though several published after it were"), "{:?}", found.evidence);
    world.orders(1_000);
    assert_eq!(world.found(), ["lost_publish resolved"]);
}

#[test]
fn what_could_not_be_published_and_was_not_told_is_lost_and_a_retry_makes_it_good() {
    let too_large = Act { outcome: Outcome::Error, error: "message_too_large", ..Act::default() };
    let failing = Published { act: too_large, ..Published::default() };
    let mut world = World::new();
    for n in 0..600 {
        if n % 30 == 7 {
            world.request(&[failing]);
        }
        let messages = if n % 7 == 0 { world.request(&[failing, Published::default()]) } else { vec![world.publish()] };
        world.take(messages[messages.len() - 1]);
        world.pass(u64::from(n % 10 == 9));
    }
    world.pass(60);
    let found = world.stage.found();
    assert_eq!((found.len(), found[0].kind.as_str()), (1, "lost_publish"), "{found:?}");
    assert!(found[0].evidence[0].contains("message_too_large") && found[0].count <= 20, "{found:?}");
}

#[test]
fn nothing_is_lost_where_the_consumer_is_silent_or_does_not_say_what_it_takes() {
    let mut silent = World::new();
    silent.orders(200);
    silent.hears_stock = false;
    for n in 0..600 {
        silent.publish();
        silent.pass(u64::from(n % 10 == 9));
    }
    assert!(silent.found().is_empty(), "{:?}", silent.stage.found());

    let mut broken = World::new();
    broken.orders(200);
    for n in 0..900 {
        broken.publish();
        broken.process(None, 5, Act::default(), &[World::update()]);
        broken.pass(u64::from(n % 10 == 9));
    }
    broken.pass(60);
    assert!(broken.found().is_empty(), "{:?}", broken.stage.found());
}

#[test]
fn a_sender_that_loses_spans_loses_no_messages() {
    let mut world = World::new();
    world.orders(200);
    for n in 0..600_u64 {
        let message = world.publish();
        match n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61 {
            0..4 => world.take(message),
            // Its process span did not come, and what was done under it did.
            4 => {
                let orphan = Act { id: 2, parent: 1, service: "stock", ..World::update() };
                let tree = world.stage.tree(&[orphan]);
                world.show(&tree);
            }
            5 => world.process(Some(message), 5, Act::default(), &[]),
            _ => {}
        }
        world.pass(u64::from(n % 10 == 9));
    }
    world.pass(60);
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}

#[test]
fn a_message_processed_again_and_again_is_a_duplicate_and_one_that_failed_before_is_not() {
    let mut world = World::new();
    world.orders(100);
    let failed = Act { outcome: Outcome::Error, ..Act::default() };
    for n in 0..200 {
        let message = world.publish();
        world.process(Some(message), 5, failed, &[]);
        world.take(message);
        world.pass(u64::from(n % 10 == 9));
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
    for n in 0..200 {
        let message = world.publish();
        world.take(message);
        if n % 10 == 0 {
            world.pass(2);
            world.take(message);
            world.pass(2);
        }
    }
    assert_eq!(world.found(), ["duplicate_delivery open"]);
}

#[test]
fn one_order_published_twice_and_processed_twice_is_a_duplicate() {
    let mut world = World::new();
    world.orders(100);
    let timeout = Act { outcome: Outcome::Error, error: "timeout", ..Act::default() };
    for n in 0..300 {
        if n % 20 == 0 {
            let failing = Published { act: timeout, ..Published::default() };
            let both = world.request(&[failing, Published::default()]);
            both.into_iter().for_each(|message| world.take(message));
        }
        world.orders(1);
        world.pass(u64::from(n % 10 == 9));
    }
    assert_eq!(world.found(), ["duplicate_delivery open"]);
    assert!(world.stage.found()[0].evidence[0].contains("published twice"));
}

#[test]
fn requests_that_answer_without_publishing_are_found_and_digital_orders_are_not() {
    let mut world = World::new();
    let digital = Published { omitted: true, ..Published::default() };
    for n in 0..2_000 {
        if n % 5 == 0 {
            drop(world.request(&[digital]))
        } else {
            world.orders(1)
        }
        world.pass(u64::from(n % 10 == 9));
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
    for n in 0..60 {
        if n % 5 == 0 {
            world.orders(1)
        } else {
            drop(world.request(&[digital]))
        }
        world.pass(u64::from(n % 10 == 9));
    }
    assert_eq!(world.found(), ["lost_publish open"]);
    assert!(world.stage.found()[0].title.contains("published nothing"), "{}", world.stage.found()[0].title);
}

#[test]
fn a_consumer_that_stands_still_while_it_is_heard_is_stuck_and_moves_on_again() {
    let mut world = World::new();
    world.orders(200);
    let mut waiting = Vec::new();
    for n in 0..400 {
        waiting.push(world.publish());
        world.pass(u64::from(n % 10 == 9));
    }
    assert_eq!(world.found(), ["stuck_consumer open"]);
    waiting.into_iter().for_each(|message| world.take(message));
    world.orders(20);
    assert_eq!(world.found(), ["stuck_consumer resolved"]);
}

#[test]
fn one_partition_that_stands_still_is_found_though_a_message_of_it_is_taken_again_and_again() {
    let mut world = World::new();
    let mut poison = None;
    for n in 0..700_u64 {
        let partition = (n % 3) as u8 + 1;
        let message = world.request(&[Published { partition, ..Published::default() }])[0];
        if n >= 200 && partition == 2 {
            let poison = *poison.get_or_insert(message);
            world.process(Some(poison), 5, Act::default(), &[]);
        } else {
            world.take(message);
        }
        world.pass(u64::from(n % 10 == 9));
    }
    assert_eq!(world.found(), ["stuck_consumer open"], "{:?}", world.stage.found());
    let evidence = world.stage.found()[0].evidence.clone();
    assert!(evidence[0].contains("of partition 2") && evidence[0].contains("taken again"), "{evidence:?}");
}

#[test]
fn bursts_a_restart_and_polling_once_a_minute_are_no_standstill() {
    let mut restarted = World::new();
    restarted.orders(200);
    let (mut waiting, begins) = (Vec::new(), 250);
    restarted.hears_stock = false;
    for n in 0..begins {
        waiting.push(restarted.publish());
        restarted.pass(u64::from(n % 10 == 9));
    }
    restarted.hears_stock = true;
    waiting.drain(..).for_each(|message| restarted.take(message));
    restarted.orders(200);
    assert!(restarted.found().is_empty(), "{:?}", restarted.stage.found());

    let mut polling = World::new();
    for n in 0..6_000 {
        waiting.push(polling.publish());
        if n % 600 == 599 {
            waiting.drain(..).for_each(|message| polling.take(message));
        }
        polling.pass(u64::from(n % 10 == 9));
    }
    assert!(polling.found().is_empty(), "{:?}", polling.stage.found());
}

#[test]
fn a_consumer_that_falls_behind_is_found_and_resolves() {
    let mut world = World::new();
    world.orders(600);
    let mut waiting = std::collections::VecDeque::new();
    let mut behind = |world: &mut World, seconds: u64, taken_a_second: usize| {
        for _ in 0..seconds {
            for _ in 0..10 {
                waiting.push_back(world.publish());
            }
            for _ in 0..taken_a_second.min(waiting.len()) {
                if let Some(message) = waiting.pop_front() {
                    world.take(message);
                }
            }
            world.pass(1);
        }
    };
    behind(&mut world, 45, 6);
    assert_eq!(world.found(), ["slow_consumer open"]);
    let evidence = world.stage.found()[0].evidence.clone();
    assert!(evidence[0].contains("it never drains"), "{evidence:?}");
    behind(&mut world, 60, 20);
    assert_eq!(world.found(), ["slow_consumer resolved"]);
}

#[test]
fn messages_taken_and_nothing_done_are_skipped_and_refusals_are_not() {
    let mut world = World::new();
    let refused = Act { refused: true, ..Act::default() };
    for n in 0..1_000 {
        let message = world.publish();
        // A tenth needs no stock, and later some are refused.
        match n % 10 {
            0 => world.process(Some(message), 5, Act::default(), &[]),
            1..4 if n > 500 => world.process(Some(message), 5, refused, &[]),
            _ => world.take(message),
        }
        world.pass(u64::from(n % 10 == 9));
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
    for n in 0..40 {
        let message = world.publish();
        if n % 2 == 0 { world.take(message) } else { world.process(Some(message), 5, Act::default(), &[]) }
    }
    world.pass(30);
    assert_eq!(world.found(), ["skipping_consumer open"]);
    assert!(world.stage.found()[0].evidence[0].contains("had no `UPDATE stock` under it"));
}

#[test]
fn a_deploy_that_renames_spans_is_no_finding() {
    let mut world = World::new();
    world.orders(500);
    for n in 0..500 {
        let message = world.publish();
        let update = Act { name: "UPDATE shop.stock", ..World::update() };
        world.process(Some(message), 5, Act { name: "orders process", ..Act::default() }, &[update]);
        world.pass(u64::from(n % 10 == 9));
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}

#[test]
fn messages_are_joined_by_parents_and_ids_and_in_either_order() {
    let mut world = World::new();
    for n in 0..300 {
        // Its processing is told first.
        let trace = TraceId(1_000_000 + n);
        let process = Act {
            id: 2,
            parent: 1,
            service: "stock",
            kind: SpanKind::Consumer,
            name: "process orders",
            ..Act::default()
        };
        let process = Act { texts: TAKEN, from: 30, until: 50, ..process };
        let publish = Act { kind: SpanKind::Producer, name: "send orders", texts: ORDERS, ..Act::default() };
        let mut tree = world.stage.tree(&[process]);
        tree.trace = trace;
        world.show(&tree);
        let mut tree = world.stage.tree(&[publish]);
        tree.trace = trace;
        world.show(&tree);
        let key = 77 + n as u64;
        let mut tree = world.stage.tree(&[Act { key, ..publish }]);
        tree.trace = TraceId(2_000_000 + n);
        world.show(&tree);
        let tree = world.stage.tree(&[Act { parent: 0, key, ..process }]);
        world.show(&tree);
        world.pass(u64::from(n % 10 == 9));
    }
    world.pass(60);
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
    assert!(world.messages.streams[0].lanes.values().all(|lane| lane.pending() == 0));
}

#[test]
fn messages_that_need_nothing_are_not_skipped_because_others_settle_later_than_they_did() {
    let mut world = World::new();
    let mut late: std::collections::VecDeque<Tree> = std::collections::VecDeque::new();
    for n in 0..3_000_u64 {
        let message = world.publish();
        // One in fifteen needs no stock, and settles at once; others do after ten seconds, then after forty.
        let is_digital = n % 15 == 3;
        let below = if is_digital { &[][..] } else { &[World::update()][..] };
        let tree = world.processing(Some(message), 5, Act::default(), below);
        world.hear(&tree);
        late.push_back(tree);
        let settles_after = |tree: &Tree| match tree.spans.len() {
            1 => 100,
            _ if n < 1_500 => 100,
            _ => 400,
        };
        let (due, waits) = late.drain(..).partition::<Vec<_>, _>(|tree| {
            let age = world.stage.now.since(tree.spans[0].received);
            age > Duration::from_millis(settles_after(tree) * 110)
        });
        late = waits.into();
        due.iter().for_each(|tree| world.settle(tree));
        world.pass(u64::from(n % 10 == 9));
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}
