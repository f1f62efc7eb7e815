//! What is found, and what only looks like it.

use truegreen_model::flow::SpanKind;

use super::*;
use crate::trace::span::Outcome;
use crate::watch::stage::{Act, Stage};

struct Scene {
    stage: Stage,
    kin: Kin,
    drops: Drops,
    unfinished: Unfinished,
}

/// A return of goods: the shop asks the service of orders, which looks up the order and prints a label.
fn a_return() -> Vec<Act> {
    let orders = Act { service: "orders", ..Act::default() };
    let database = Act { kind: SpanKind::Client, parent: 3, ..orders };
    vec![
        Act { id: 1, kind: SpanKind::Server, name: "POST /returns", until: 40, status: 202, ..Act::default() },
        Act { id: 2, parent: 1, kind: SpanKind::Client, name: "POST", until: 30, ..Act::default() },
        Act { id: 3, parent: 2, kind: SpanKind::Server, name: "POST /returns", until: 25, ..orders },
        Act { id: 4, name: "SELECT orders", until: 3, ..database },
        Act { id: 5, name: "UPDATE labels", from: 4, until: 8, ..database },
        Act { id: 6, name: "INSERT returns", from: 9, until: 20, ..database },
    ]
}

impl Scene {
    fn new() -> Self {
        let (kin, drops) = (Kin::default(), Drops::default());
        Scene { stage: Stage::new(), kin, drops, unfinished: Unfinished::default() }
    }

    fn shows(&mut self, acts: &[Act]) -> Tree {
        let tree = self.stage.tree(acts);
        self.shows_tree(&tree);
        tree
    }

    fn shows_tree(&mut self, tree: &Tree) {
        let Scene { stage, kin, drops, unfinished } = self;
        for span in &tree.spans {
            unfinished.heard(span.instance, span.end, span.received);
        }
        stage.show(|view, findings| {
            unfinished.settled(tree, kin, view, findings);
            drops.settled(tree, kin, view);
        });
        kin.learn(tree);
    }

    fn second(&mut self) {
        self.stage.now = self.stage.now + Duration::from_millis(990);
        let Scene { stage, kin, drops, unfinished } = self;
        stage.show(|view, findings| unfinished.tick(kin, drops, view, findings));
    }

    fn kinds(&self) -> Vec<String> {
        self.stage.found().into_iter().map(|finding| finding.kind).collect()
    }
}

/// Without the spans of these ids.
fn without(mut acts: Vec<Act>, ids: &[u64]) -> Vec<Act> {
    acts.retain(|act| !ids.contains(&act.id));
    acts
}

#[test]
fn requests_that_wait_for_ever_are_found_while_others_end_and_resolve_when_all_do() {
    let mut scene = Scene::new();
    for second in 0..60 {
        scene.shows(&a_return());
        if second >= 30 && second % 5 == 0 {
            scene.shows(&without(a_return(), &[1, 2, 3, 6]));
        }
        scene.second();
    }
    let found = scene.stage.found();
    assert_eq!((found.len(), found[0].kind.as_str()), (1, "stalled_request"), "{found:?}");
    assert_eq!((found[0].service.as_deref(), found[0].operation.as_deref()), (Some("orders"), Some("POST /returns")));
    let evidence = &found[0].evidence[0];
    assert!(evidence.contains("`UPDATE labels` below it ended"), "{evidence}");
    assert!(evidence.contains("`INSERT returns`, which always follows, did not"), "{evidence}");
    for _ in 0..200 {
        scene.shows(&a_return());
        scene.second();
    }
    assert_eq!(scene.stage.found()[0].status, "resolved");
}

#[test]
fn stalls_from_the_first_minute_on_and_those_that_their_caller_gives_up_are_found() {
    let mut scene = Scene::new();
    for second in 0..60 {
        scene.shows(&a_return());
        if second % 3 == 0 {
            let mut acts = without(a_return(), &[3, 6]);
            acts[1] = Act { outcome: Outcome::Error, error: "timeout", until: 2_000, ..acts[1] };
            scene.shows(&acts);
        }
        scene.second();
    }
    let found = scene.stage.found();
    assert_eq!((found.len(), found[0].kind.as_str()), (1, "stalled_request"), "{found:?}");
    assert!(found[0].evidence[0].contains("gave up with `timeout`"), "{found:?}");
}

#[test]
fn a_consumer_that_never_ends_is_found_where_other_requests_show_that_no_spans_are_lost() {
    let consumed = || {
        let process = Act { id: 1, kind: SpanKind::Consumer, name: "process sales", ..Act::default() };
        let update = Act { id: 2, parent: 1, kind: SpanKind::Client, name: "UPDATE stock", ..Act::default() };
        vec![process, update]
    };
    let mut scene = Scene::new();
    for second in 0..90 {
        for _ in 0..5 {
            scene.shows(&a_return());
            scene.shows(&consumed());
        }
        if second >= 30 {
            scene.shows(&without(consumed(), &[1]));
        }
        scene.second();
    }
    assert_eq!(scene.kinds(), ["stalled_request"]);
}

#[test]
fn where_the_caller_was_answered_or_spans_of_everything_are_missing_nothing_stalls() {
    let mut scene = Scene::new();
    for second in 0..120_u64 {
        for n in 0..4 {
            scene.shows(&a_return());
            // Answered: only the server's span is lost.
            if second >= 30 && n == 0 {
                scene.shows(&without(a_return(), &[3]));
                scene.shows(&without(a_return(), &[5]));
            }
        }
        scene.second();
    }
    assert!(scene.kinds().is_empty(), "{:?}", scene.stage.found());
}

#[test]
fn requests_that_a_restart_cuts_short_are_no_stall() {
    let mut scene = Scene::new();
    for second in 0..200 {
        scene.shows(&a_return());
        // Ten requests at once, whoever goes on under that name; their caller is told.
        if second == 60 {
            let mut acts = without(a_return(), &[3, 6]);
            acts[1] = Act { outcome: Outcome::Error, error: "connection_reset", ..acts[1] };
            (0..10).for_each(|_| drop(scene.shows(&acts)));
        }
        scene.second();
    }
    assert!(scene.kinds().is_empty(), "{:?}", scene.stage.found());
}

#[test]
fn parents_that_never_came_are_not_instrumented() {
    let mut scene = Scene::new();
    for _ in 0..200 {
        scene.shows(&without(a_return(), &[1, 2, 3]));
        scene.second();
    }
    assert!(scene.kinds().is_empty());
}

#[test]
fn a_request_that_ends_after_all_withdraws_what_was_found() {
    let mut scene = Scene::new();
    let mut cut = Vec::new();
    for second in 0..80 {
        scene.shows(&a_return());
        if second >= 30 && second % 10 == 0 {
            cut.push(scene.shows(&without(a_return(), &[1, 2, 3, 6])).trace);
        }
        scene.second();
    }
    assert_eq!(scene.kinds(), ["stalled_request"]);
    for trace in cut {
        let mut late = scene.stage.tree(&without(a_return(), &[4, 5]));
        (late.trace, late.is_partial) = (trace, true);
        scene.shows_tree(&late);
    }
    assert_eq!(scene.stage.found()[0].status, "withdrawn");
}

/// The label is asked for so many times, every 50 ms.
fn looping(times: u64, caller: Act) -> Vec<Act> {
    let database = Act { service: "orders", kind: SpanKind::Client, parent: 3, ..Act::default() };
    let again = (0..times).map(|n| Act {
        id: 100 + n,
        name: "UPDATE labels",
        from: 50 * n,
        until: 50 * n + 5,
        rows: Some(0),
        ..database
    });
    std::iter::once(Act { id: 2, kind: SpanKind::Client, name: "POST", ..caller }).chain(again).collect()
}

#[test]
fn the_same_again_and_again_under_one_request_is_a_loop_found_while_it_goes_on() {
    let mut scene = Scene::new();
    for _ in 0..30 {
        scene.shows(&a_return());
        scene.second();
    }
    let gave_up = Act { outcome: Outcome::Error, error: "timeout", until: 2_000, ..Act::default() };
    let mut tree = scene.stage.tree(&looping(200, gave_up));
    tree.is_partial = true;
    let Scene { stage, kin, unfinished, .. } = &mut scene;
    stage.show(|view, findings| unfinished.goes_on(&tree, kin, view, findings));
    let found = scene.stage.found();
    assert_eq!((found.len(), found[0].kind.as_str()), (1, "silent_loop"), "{found:?}");
    assert_eq!((found[0].service.as_deref(), found[0].operation.as_deref()), (Some("orders"), Some("POST /returns")));
    assert!(found[0].evidence[0].starts_with("`UPDATE labels` came 200 times in 10 s"), "{found:?}");
    // The same trace once more, then others that end.
    scene.shows_tree(&tree);
    assert_eq!(scene.stage.found()[0].count, 1);
    for _ in 0..100 {
        scene.shows(&a_return());
        scene.second();
    }
    assert_eq!(scene.kinds(), ["silent_loop"]);
    assert_eq!(scene.stage.found()[0].status, "resolved");
}

#[test]
fn what_fails_and_is_tried_again_for_a_while_is_no_silent_loop() {
    let mut scene = Scene::new();
    for _ in 0..30 {
        scene.shows(&a_return());
        scene.second();
    }
    let mut acts = looping(200, Act { outcome: Outcome::Error, error: "timeout", ..Act::default() });
    acts.iter_mut().for_each(|act| act.outcome = Outcome::Error);
    let mut tree = scene.stage.tree(&acts);
    tree.is_partial = true;
    let Scene { stage, kin, unfinished, .. } = &mut scene;
    stage.show(|view, findings| unfinished.goes_on(&tree, kin, view, findings));
    assert!(scene.kinds().is_empty(), "{:?}", scene.stage.found());
}

#[test]
fn a_loop_of_what_was_never_seen_to_end_is_found_where_its_caller_gave_up_and_is_over_when_nothing_more_comes() {
    let mut scene = Scene::new();
    let gave_up = Act { outcome: Outcome::Error, error: "timeout", until: 2_000, ..Act::default() };
    let mut tree = scene.stage.tree(&looping(200, gave_up));
    tree.is_partial = true;
    let Scene { stage, kin, unfinished, .. } = &mut scene;
    stage.show(|view, findings| unfinished.goes_on(&tree, kin, view, findings));
    assert_eq!(scene.kinds(), ["silent_loop"]);
    (0..320).for_each(|_| scene.second());
    assert_eq!(scene.stage.found()[0].status, "resolved");
}

#[test]
fn pages_of_many_queries_and_long_jobs_are_no_loops() {
    let mut scene = Scene::new();
    let job = |times: u64| {
        let mut acts = looping(times, Act { service: "jobs", ..Act::default() });
        acts[0] = Act {
            id: 3,
            kind: SpanKind::Internal,
            service: "orders",
            name: "nightly",
            until: times * 50,
            ..Act::default()
        };
        acts
    };
    for times in [150, 220, 180, 150, 260, 170] {
        scene.shows(&job(times));
        scene.second();
    }
    let mut tree = scene.stage.tree(&without(job(600), &[3]));
    tree.is_partial = true;
    let Scene { stage, kin, unfinished, .. } = &mut scene;
    stage.show(|view, findings| unfinished.goes_on(&tree, kin, view, findings));
    assert!(scene.kinds().is_empty(), "{:?}", scene.stage.found());
}

#[test]
fn no_stall_is_claimed_where_spans_are_known_to_be_dropped() {
    let mut scene = Scene::new();
    for second in 0..60 {
        scene.shows(&a_return());
        if second >= 30 && second % 5 == 0 {
            let tree = scene.shows(&without(a_return(), &[1, 2, 3, 6]));
            let Scene { stage, drops, .. } = &mut scene;
            let service = stage.operations[tree.spans[0].operation].service;
            let mut doubts = Vec::new();
            stage.show(|view, findings| drops.told(service, 3.0, "queue_full", view, findings, &mut doubts));
        }
        scene.second();
    }
    assert_eq!(scene.kinds(), ["exporter_drops"]);
}
