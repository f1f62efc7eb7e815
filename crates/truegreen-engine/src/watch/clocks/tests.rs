use truegreen_model::observation::{Evidence, TraceId};

use super::*;
use crate::trace::operation::{OperationId, Told};
use crate::trace::span::Outcome;
use crate::watch::stage::{BEGINS, Stage};

const MS: i64 = 1_000_000;

/// Instances that call each other, each with a clock of its own.
struct World {
    stage: Stage,
    clocks: Clocks,
    instances: Vec<InstanceId>,
    /// By how much each clock is ahead, in milliseconds.
    ahead: Vec<i64>,
    client: OperationId,
    server: OperationId,
    traces: u128,
    dice: u64,
}

impl World {
    fn new(ahead: &[i64]) -> World {
        let mut stage = Stage::new();
        let mut instances = Vec::new();
        let mut operations = Vec::new();
        for (index, _) in ahead.iter().enumerate() {
            let service_name = stage.symbols.intern(format!("host-{index}").as_bytes());
            let service = stage.coverage.service(service_name, 0, &[]);
            let label = format!("host-{index}-a");
            instances.push(stage.coverage.instance(service, 1, &label).unwrap_or(InstanceId(0)));
            for kind in [SpanKind::Client, SpanKind::Server] {
                let told = Told { service, service_name, kind, name: b"call", texts: [b""; 5] };
                operations.push(stage.operations.enter(told, &mut stage.symbols));
            }
        }
        let (client, server) = (operations[0], operations[1]);
        World { stage, clocks: Clocks::default(), instances, ahead: ahead.to_vec(), client, server, traces: 0, dice: 1 }
    }

    /// A number below `n`, the same in each run.
    fn dice(&mut self, n: u64) -> i64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.dice >> 33) % n) as i64
    }

    fn span(&self, id: u64, host: usize, operation: OperationId, times: (i64, i64)) -> TracedSpan {
        let by_clock = |us: i64| {
            let shifted = self.stage.now.0 as i64 + us * 1_000 + self.ahead[host] * MS;
            Timestamp(shifted as u64)
        };
        TracedSpan {
            span: id,
            parent: id - 1,
            operation,
            instance: self.instances[host],
            outcome: Outcome::Unset,
            start: by_clock(times.0),
            end: by_clock(times.1),
            received: self.stage.now + Duration::from_secs(1),
            status: 0,
            error: None,
            refused: false,
            rows: None,
            hit: None,
            key: 0,
            partition: None,
            links: Vec::new(),
            evidence: Evidence::default(),
        }
    }

    /// A call by `from` of `to`, of which the server's side took place within these microseconds.
    fn call(&mut self, from: usize, to: usize, served: (i64, i64), ended: i64) -> Tree {
        let client = self.span(1, from, self.client, (0, ended));
        let server = self.span(2, to, self.server, served);
        self.traces += 1;
        Tree::new(TraceId(self.traces), vec![client, server], false)
    }

    fn show(&mut self, tree: &Tree) {
        let World { stage, clocks, .. } = self;
        stage.show(|view, _| {
            tree.spans.iter().for_each(|span| clocks.heard(tree.trace, span, view));
            clocks.settled(tree, view);
        });
    }

    /// An ordinary call, there and back in two to twenty milliseconds each, half a second after the last one.
    fn calls(&mut self, from: usize, to: usize) {
        let (there, work, back) = (2_000 + self.dice(18_000), self.dice(50_000), 2_000 + self.dice(18_000));
        let tree = self.call(from, to, (there, there + work), there + work + back);
        self.show(&tree);
        self.pass(500);
    }

    fn pass(&mut self, ms: u64) {
        self.stage.now = self.stage.now + Duration::from_millis(ms);
        let World { stage, clocks, .. } = self;
        stage.show(|view, findings| clocks.tick(view, findings));
    }

    fn offset(&self, host: usize) -> Option<HostOffset> {
        self.clocks.offsets().into_iter().find(|offset| offset.instance == self.instances[host])
    }

    fn kinds(&self) -> Vec<String> {
        self.stage.found().into_iter().map(|finding| format!("{} {}", finding.kind, finding.status)).collect()
    }
}

#[test]
fn three_hosts_with_two_hundred_spans_each_are_within_five_milliseconds() {
    let injected = [0, 2_345, -387];
    let mut world = World::new(&injected);
    for _ in 0..100 {
        world.calls(0, 1);
        world.calls(1, 2);
    }
    let found: Vec<HostOffset> = (0..3).map(|host| world.offset(host).expect("solved")).collect();
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        let wrong = (found[b].offset - found[a].offset) - (injected[b] - injected[a]) * MS;
        assert!(wrong.abs() <= 5 * MS, "{a} {b}: {wrong}");
        assert!(wrong.abs() <= found[a].error + found[b].error, "the bound holds");
    }
}

#[test]
fn a_clock_that_is_behind_is_found_and_resolves_when_it_is_set() {
    let mut world = World::new(&[0, 0, -7_000]);
    for _ in 0..20 {
        world.calls(0, 1);
        world.calls(1, 2);
    }
    let found = world.stage.found();
    assert_eq!((found.len(), found[0].kind.as_str(), found[0].service.as_deref()), (1, "clock_skew", Some("host-2")));
    assert!(
        found[0].evidence[0].contains("7.00") && found[0].evidence[0].contains("behind"),
        "{:?}",
        found[0].evidence
    );
    world.ahead[2] = 0;
    for _ in 0..200 {
        world.calls(0, 1);
        world.calls(1, 2);
    }
    assert_eq!(world.kinds(), ["clock_skew resolved"]);
}

#[test]
fn token_errors_where_the_clock_is_wrong_are_time_and_not_auth() {
    let mut world = World::new(&[0, 0, -7_000]);
    let error = world.stage.symbols.intern(b"not_yet_valid");
    for _ in 0..20 {
        world.calls(0, 1);
        let mut tree = world.call(1, 2, (3_000, 5_000), 9_000);
        (tree.spans[1].status, tree.spans[1].error) = (401, Some(error));
        (tree.spans[0].status, tree.spans[0].error) = (401, Some(error));
        tree.spans.iter_mut().for_each(|span| span.outcome = Outcome::Error);
        world.show(&tree);
        world.pass(500);
    }
    let found = world.stage.found();
    assert!(found[0].evidence.iter().any(|told| told.starts_with("time, not auth")), "{:?}", found[0].evidence);
    assert!(found[0].title.contains("time, not auth"), "{}", found[0].title);
}

#[test]
fn token_errors_alone_are_no_skew() {
    let mut world = World::new(&[0, 0, 40]);
    for _ in 0..60 {
        world.calls(0, 1);
        let mut tree = world.call(1, 2, (3_000, 5_000), 9_000);
        tree.spans[1].status = 401;
        world.show(&tree);
        world.pass(500);
    }
    assert_eq!(world.kinds(), Vec::<String>::new());
}

#[test]
fn children_longer_than_their_parents_and_work_that_goes_on_after_the_answer_bound_nothing() {
    let mut world = World::new(&[0, 0, 0]);
    for _ in 0..100 {
        world.calls(0, 1);
        // It serves on for five seconds after the answer.
        let tree = world.call(1, 2, (3_000, 5_000_000), 9_000);
        world.show(&tree);
        // Two thirds are calls as they should be; the others are begun late, and outlive who called.
        world.calls(1, 2);
        world.calls(1, 2);
        world.calls(1, 2);
        let tree = world.call(1, 2, (600_000, 900_000), 700_000);
        world.show(&tree);
    }
    assert_eq!(world.kinds(), Vec::<String>::new());
    assert!(world.offset(2).is_some_and(|offset| offset.offset.abs() < 5 * MS));
}

#[test]
fn who_gave_up_bounds_nothing() {
    let mut world = World::new(&[0, 0]);
    for _ in 0..50 {
        let mut tree = world.call(0, 1, (500_000, 1_400_000), 1_000_000);
        let client = tree.spans.iter_mut().find(|span| span.span == 1).expect("client");
        client.outcome = Outcome::Error;
        world.show(&tree);
        world.pass(500);
    }
    assert_eq!(world.offset(1), None);
}

#[test]
fn siblings_and_chains_of_ten_thousand_are_taken() {
    let mut world = World::new(&[0, 300]);
    let span = |world: &World, id: u64, host: usize| {
        let operation = if id % 2 == 1 { world.client } else { world.server };
        world.span(id, host, operation, (id as i64, 100_000 - id as i64))
    };
    let mut spans: Vec<TracedSpan> = (1..=10_000).map(|id| span(&world, id, (id / 2 % 2) as usize)).collect();
    // Many servers under one client, at the same time.
    spans.extend((20_000..20_050).map(|id| {
        let mut sibling = world.span(id, 1, world.server, (50, 90_000));
        sibling.parent = 1;
        sibling
    }));
    let tree = Tree::new(TraceId(1), spans, false);
    world.show(&tree);
    world.pass(6_000);
    let apart = world.offset(1).expect("solved").offset - world.offset(0).expect("solved").offset;
    assert!((apart - 300 * MS).abs() < 5 * MS, "{apart}");
}

#[test]
fn a_clock_that_drifts_is_told_how_fast() {
    let mut world = World::new(&[0, 0, 1_000]);
    for n in 0..1_200 {
        world.calls(0, 1);
        world.calls(1, 2);
        // A millisecond every ten seconds: a hundred millionths.
        if n % 10 == 9 {
            world.ahead[2] += 1;
        }
    }
    let drift = world.offset(2).and_then(|offset| offset.drift_ppm).expect("a line");
    assert!((60.0..140.0).contains(&drift), "{drift}");
    assert!(world.stage.found()[0].evidence.iter().any(|told| told.contains("drifts")));
}

#[test]
fn a_host_that_calls_nobody_is_not_compared() {
    let mut world = World::new(&[0, 0, -9_000]);
    for _ in 0..30 {
        world.calls(0, 1);
        let alone = vec![world.span(1, 2, world.server, (0, 10))];
        let tree = Tree::new(TraceId(9), alone, false);
        world.show(&tree);
    }
    assert_eq!(world.offset(2), None);
    assert!(world.kinds().is_empty() && world.stage.now > BEGINS);
}
