use std::time::Duration;

use truegreen_model::flow::SpanKind;

use super::*;
use crate::watch::stage::{Act, Stage};

const READ: [&str; 5] = ["", "stock", "", "get", ""];
const REMOVE: [&str; 5] = ["", "stock", "", "remove", ""];
const PUT: [&str; 5] = ["", "stock", "", "put", ""];
const WRITE: [&str; 5] = ["", "products", "", "UPDATE", "postgresql"];
const FILL: [&str; 5] = ["", "products", "", "SELECT", "postgresql"];
const TOLD: [&str; 5] = ["", "changes", "", "send", "kafka"];
const TAKEN: [&str; 5] = ["", "changes", "shop", "process", "kafka"];

struct World {
    stage: Stage,
    clocks: Clocks,
    caches: Caches,
}

impl World {
    fn new() -> World {
        World { stage: Stage::new(), clocks: Clocks::default(), caches: Caches::default() }
    }

    fn show(&mut self, acts: &[Act]) {
        let tree = self.stage.tree(acts);
        self.show_tree(&tree);
    }

    fn show_tree(&mut self, tree: &Tree) {
        let World { stage, clocks, caches } = self;
        stage.show(|view, findings| {
            tree.spans.iter().for_each(|span| caches.heard(tree.trace, span, clocks, view, findings));
            caches.settled(tree, clocks, view, findings);
        });
    }

    fn pass(&mut self, ms: u64) {
        self.stage.now = self.stage.now + Duration::from_millis(ms);
        let World { stage, caches, .. } = self;
        stage.show(|view, findings| caches.tick(view, findings));
    }

    fn read(&mut self, key: u64, hit: bool) {
        let request = Act { id: 1, kind: SpanKind::Server, name: "GET /stock", until: 9, ..Act::default() };
        let read = Act { id: 2, parent: 1, name: "cache.get", texts: READ, key, hit: Some(hit), ..Act::default() };
        let fill = Act { id: 3, parent: 1, service: "inventory", name: "SELECT products", ..Act::default() };
        let fill = Act { kind: SpanKind::Client, texts: FILL, key, from: 10, until: 20, ..fill };
        let put = Act { id: 4, parent: 1, name: "cache.put", texts: PUT, key, from: 21, until: 22, ..Act::default() };
        if hit { self.show(&[request, read]) } else { self.show(&[request, read, fill, put]) }
    }

    /// A write, of which a message tells, which is or is not heeded.
    fn write(&mut self, key: u64, is_heeded: bool) {
        let write = Act { id: 2, parent: 1, service: "inventory", name: "UPDATE products", ..Act::default() };
        let write = Act { kind: SpanKind::Client, texts: WRITE, key, rows: Some(1), ..write };
        let publish = Act { id: 3, parent: 1, service: "inventory", name: "send changes", ..Act::default() };
        let publish = Act { kind: SpanKind::Producer, texts: TOLD, ..publish };
        let request = Act { id: 1, service: "inventory", kind: SpanKind::Server, name: "PUT /stock", ..Act::default() };
        self.show(&[request, write, publish]);
        self.pass(300);
        let process = Act { kind: SpanKind::Consumer, name: "process changes", texts: TAKEN, ..Act::default() };
        let remove = Act { id: 2, parent: 1, name: "cache.remove", texts: REMOVE, key, ..Act::default() };
        if is_heeded { self.show(&[process, remove]) } else { self.show(&[process]) }
    }

    /// A write a second, of twenty rows in turn, and each row read twice a second where it is cached.
    fn run(&mut self, seconds: u64, is_heeded: bool) {
        for second in 0..seconds {
            let row = second % 20 + 1;
            self.write(row, is_heeded);
            for key in 1..=20 {
                self.read(key, !(is_heeded && key == row));
            }
            self.pass(700);
        }
    }

    fn found(&self) -> Vec<String> {
        self.stage.found().iter().map(|found| format!("{} {}", found.kind, found.status)).collect()
    }
}

#[test]
fn entries_that_are_removed_when_their_row_is_written_are_fresh() {
    let mut world = World::new();
    world.run(1_000, true);
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}

#[test]
fn hits_that_go_on_after_the_write_are_stale_and_resolve() {
    let mut world = World::new();
    world.run(200, true);
    world.run(60, false);
    assert_eq!(world.found(), ["stale_cache open"]);
    let found = &world.stage.found()[0];
    assert_eq!((found.service.as_deref(), found.subject.as_deref()), (Some("shop"), Some("stock")));
    assert!(found.evidence[0].contains("after `UPDATE products` of `inventory`"), "{:?}", found.evidence);
    assert!(found.count > 10, "every stale entry served counts: {}", found.count);
    world.run(200, true);
    assert_eq!(world.found(), ["stale_cache resolved"]);
}

#[test]
fn a_cache_that_is_told_and_does_nothing_is_stale_from_the_first_minute_on() {
    let mut world = World::new();
    (1..=20).for_each(|key| world.read(key, false));
    world.run(60, false);
    assert_eq!(world.found(), ["stale_cache open"]);
}

/// Another table's rows are written, with the same ids.
#[test]
fn rows_of_another_table_with_the_same_ids_are_nothing_to_it() {
    let mut world = World::new();
    let texts = ["", "sales", "", "UPDATE", "postgresql"];
    for second in 0..2_000_u64 {
        let write = Act { service: "sales", kind: SpanKind::Client, name: "UPDATE sales", texts, ..Act::default() };
        world.show(&[Act { key: second * 7 % 50 + 1, ..write }]);
        // At first all is missed, then entries live for long.
        (0..3).for_each(|n| world.read((second + n * 17) % 50 + 1, second > 60 && second % 300 > 3));
        world.pass(1_000);
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}

/// Entries that are seldom looked for are mostly gone for their age.
#[test]
fn entries_that_go_for_their_age_anyway_are_not_taken_for_removed() {
    let mut world = World::new();
    for second in 0..3_000_u64 {
        let key = second % 40 + 1;
        let write =
            Act { id: 2, service: "inventory", kind: SpanKind::Client, name: "UPDATE products", ..Act::default() };
        world.show(&[Act { texts: WRITE, key, rows: Some(1), ..write }]);
        // Missed for their age, unless two ask soon after each other.
        world.pass(9_000);
        world.read(key, second > 500 && second % 12 == 0);
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}

#[test]
fn entries_that_are_removed_by_a_wrong_name_are_stale_from_the_first_minute_on() {
    let (of_entry, of_nothing) = (1 << 48, 2 << 48);
    let mut world = World::new();
    (1..=20).for_each(|key| world.read(of_entry | key, false));
    for second in 0..40 {
        let row = second % 20 + 1;
        world.write(row, false);
        let remove = Act { name: "cache.remove", texts: REMOVE, key: of_nothing | row, ..Act::default() };
        world.show(&[remove]);
        (1..=20).for_each(|key| world.read(of_entry | key, true));
        world.pass(1_000);
    }
    assert_eq!(world.found(), ["stale_cache open"]);
    assert!(world.stage.found()[0].evidence[0].contains("by a name"), "{:?}", world.stage.found()[0].evidence);
}

#[test]
fn a_cache_that_is_never_told_lives_by_its_entries_age() {
    let mut world = World::new();
    for second in 0..600 {
        let write =
            Act { id: 2, service: "inventory", kind: SpanKind::Client, name: "UPDATE products", ..Act::default() };
        world.show(&[Act { texts: WRITE, key: second % 20 + 1, ..write }]);
        for key in 1..=20 {
            world.read(key, second % 60 != 0);
        }
        world.pass(1_000);
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}

#[test]
fn a_removal_that_is_told_late_or_before_its_write_is_no_stale_entry() {
    let mut world = World::new();
    world.run(200, true);
    let write = Act { id: 2, service: "inventory", kind: SpanKind::Client, name: "UPDATE products", ..Act::default() };
    let write = Act { texts: WRITE, ..write };
    for second in 0..200 {
        let key = second % 20 + 1;
        if second % 2 == 0 {
            world.show(&[Act { key, ..write }]);
            world.pass(8_000);
            world.read(key, true);
            world.pass(3_000);
            // It was removed at once, and is told eleven seconds later.
            let remove = Act { name: "cache.remove", texts: REMOVE, key, ..Act::default() };
            let mut tree = world.stage.tree(&[remove]);
            let times =
                |span: &mut TracedSpan| (span.start, span.end) = (span.start - Duration::from_secs(10), span.end);
            tree.spans.iter_mut().for_each(times);
            world.show_tree(&tree);
        } else {
            world.show(&[Act { name: "cache.remove", texts: REMOVE, key, ..Act::default() }]);
            world.show(&[Act { key, ..write }]);
            world.pass(8_000);
            world.read(key, true);
        }
        world.pass(1_000);
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}

/// A row is written and removed from the cache that all share by who writes it, and read by others.
fn shared(world: &mut World, seconds: u64, is_removed: bool) {
    let redis = |verb| ["redis-1", "stock", "", verb, "redis"];
    for second in 0..seconds {
        let row = second % 20 + 1;
        let write = Act { id: 2, parent: 1, service: "inventory", name: "UPDATE products", ..Act::default() };
        let write = Act { kind: SpanKind::Client, texts: WRITE, key: row, rows: Some(1), ..write };
        let remove = Act { id: 3, parent: 1, service: "inventory", kind: SpanKind::Client, name: "DEL", ..write };
        let remove = Act { texts: redis("DEL"), rows: None, from: 11, until: 12, ..remove };
        let request = Act { id: 1, service: "inventory", kind: SpanKind::Server, name: "PUT /stock", ..Act::default() };
        if is_removed {
            world.show(&[request, write, remove])
        } else {
            world.show(&[request, write])
        }
        world.pass(300);
        for key in 1..=20 {
            let get = Act { kind: SpanKind::Client, name: "GET", texts: redis("GET"), key, ..Act::default() };
            let get = Act { id: 2, parent: 1, hit: Some(!(is_removed && key == row)), ..get };
            let put = Act { id: 3, name: "SET", texts: redis("SET"), from: 20, until: 21, hit: None, ..get };
            let request = Act { id: 1, kind: SpanKind::Server, name: "GET /stock", until: 30, ..Act::default() };
            if get.hit == Some(true) { world.show(&[request, get]) } else { world.show(&[request, get, put]) }
        }
        world.pass(700);
    }
}

#[test]
fn who_writes_may_remove_from_a_cache_that_others_ask() {
    let mut world = World::new();
    shared(&mut world, 400, true);
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
    shared(&mut world, 60, false);
    assert_eq!(world.found(), ["stale_cache open"]);
    assert_eq!(world.stage.found()[0].service.as_deref(), Some("shop"));
}

/// As [`World::run`], where no entry has a name.
fn without_names(world: &mut World, seconds: u64, is_heeded: bool) {
    for second in 0..seconds {
        let write = Act { kind: SpanKind::Client, name: "UPDATE products", texts: WRITE, ..Act::default() };
        world.show(&[Act { service: "inventory", rows: Some(1), ..write }]);
        for key in 0..20 {
            world.read(0, !(is_heeded && key == second % 20));
        }
        world.pass(800);
    }
}

#[test]
fn a_hit_ratio_that_is_too_good_after_writes_tells_without_names_and_resolves() {
    let mut world = World::new();
    without_names(&mut world, 300, true);
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
    without_names(&mut world, 90, false);
    assert_eq!(world.found(), ["stale_cache open"]);
    assert!(world.stage.found()[0].evidence[0].starts_with("hits go on though rows are written: 0 misses"));
    without_names(&mut world, 200, true);
    assert_eq!(world.found(), ["stale_cache resolved"]);
}

#[test]
fn removals_that_come_some_seconds_late_are_no_stale_entries() {
    let mut world = World::new();
    world.run(200, true);
    for second in 0..100 {
        let row = second % 20 + 1;
        let write =
            Act { id: 2, service: "inventory", kind: SpanKind::Client, name: "UPDATE products", ..Act::default() };
        world.show(&[Act { texts: WRITE, key: row, rows: Some(1), ..write }]);
        world.pass(3_000);
        world.read(row, true);
        world.pass(2_000);
        world.show(&[Act { name: "cache.remove", texts: REMOVE, key: row, ..Act::default() }]);
        (1..=20).for_each(|key| world.read(key, key != row));
    }
    assert!(world.found().is_empty(), "{:?}", world.stage.found());
}
