//! Statements that should have changed a row, changed none, and were taken for success. Some often change none, so each is
//! held against its own past. Nothing is silent where the caller was told, where another statement on the same table made
//! good for it (an insert after an update that found nothing, the same once more), or where nobody waits: workers that look
//! for work with an `UPDATE` mostly find none.

use serde::{Deserialize, Serialize};
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::SpanKind;
use truegreen_model::observation::Symbol;

use super::kin::is_entry;
use super::share::{Deviation, Share};
use super::table::Table;
use super::{View, hex};
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::operation::{Operation, OperationId};
use crate::trace::tree::Tree;

/// Decisions of its own after which a statement is held against them, and the least that is tolerated then.
const WATCHED: u64 = 300;
const LEAST: f64 = 0.003;
/// Updates that change nothing, tolerated where nothing is known yet.
const TOLERATED_UPDATES: f64 = 0.01;
/// What is deleted is often gone already, and that is what was wanted.
const TOLERATED_DELETES: f64 = 0.25;

/// Statements whose rows are seen.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rows {
    statements: Table<OperationId, Statement>,
}

/// One statement, and how often it changed a row.
#[derive(Debug, Serialize, Deserialize)]
struct Statement {
    share: Share,
    floor: f64,
    decided: u64,
    silent: u64,
    /// Decisions after which it is told anew what is tolerated.
    next: u64,
}

impl Statement {
    fn new(floor: f64) -> Statement {
        Statement { share: Share::new(floor), floor, decided: 0, silent: 0, next: WATCHED }
    }

    /// Tolerates what was seen so far, and as much more as chance hides in so few decisions.
    fn learn(&mut self, is_silent: bool) {
        self.decided += 1;
        self.silent += u64::from(is_silent);
        if self.decided < self.next || is_silent {
            return;
        }
        self.next = self.decided * 2;
        let n = self.decided as f64;
        let usual = self.silent as f64 / n;
        let tolerated = usual + 3.0 * (usual * (1.0 - usual) / n).sqrt() + 3.0 / n;
        self.share.tolerate(tolerated.clamp(LEAST, self.floor));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Update,
    Delete,
    Insert,
}

impl Rows {
    pub(super) fn overflowed(&self) -> u64 {
        self.statements.overflowed()
    }

    pub(super) fn settled(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        for (index, span) in tree.spans.iter().enumerate() {
            let Some(rows) = span.rows else { continue };
            let operation = &view.operations[span.operation];
            if operation.kind != SpanKind::Client && operation.kind != SpanKind::Internal {
                continue;
            }
            let floor = match verb(operation, view) {
                Some(Verb::Update) => TOLERATED_UPDATES,
                Some(Verb::Delete) => TOLERATED_DELETES,
                Some(Verb::Insert) | None => continue,
            };
            if span.failed() {
                continue;
            }
            let is_silent = rows == 0;
            if is_silent && (!is_taken_for_success(tree, index, view) || is_made_good(tree, index, view)) {
                continue;
            }
            let Some(statement) = self.statements.entry(span.operation, || Statement::new(floor)) else { continue };
            let (kind, place) = (FindingKind::ZeroRows, Place::operation(operation));
            // What rings is not learned as usual.
            if !findings.is_open(kind, place) {
                statement.learn(is_silent);
            }
            let share = &mut statement.share;
            if !is_silent {
                share.well(kind, place, findings);
                continue;
            }
            let evidence = || evidence(tree, index, view);
            let deviation = Deviation { at: span.start, trace: tree.trace };
            share.deviated((kind, place), deviation, evidence, view, findings);
        }
    }
}

fn verb(operation: &Operation, view: &View<'_>) -> Option<Verb> {
    let of = |text: Symbol| {
        let text = view.symbols.text(text);
        let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let verbs = [("update", Verb::Update), ("delete", Verb::Delete), ("insert", Verb::Insert)];
        verbs.iter().find(|(word, _)| first.eq_ignore_ascii_case(word)).map(|(_, verb)| *verb)
    };
    operation.verb.and_then(of).or_else(|| of(operation.name))
}

/// Whether it is part of a request, all of which that came reports success.
fn is_taken_for_success(tree: &Tree, statement: usize, view: &View<'_>) -> bool {
    let mut is_request = false;
    for above in tree.upwards(statement).skip(1) {
        let span = &tree.spans[above];
        if span.failed() || span.status >= 400 {
            return false;
        }
        is_request |= is_entry(view.operations[span.operation].kind);
    }
    is_request
}

/// Whether a later statement beside it changed a row of the same table.
fn is_made_good(tree: &Tree, statement: usize, view: &View<'_>) -> bool {
    let span = &tree.spans[statement];
    let own = &view.operations[span.operation];
    let Some(parent) = tree.upwards(statement).nth(1) else { return false };
    tree.children(parent).iter().map(|sibling| &tree.spans[*sibling]).any(|sibling| {
        let other = &view.operations[sibling.operation];
        sibling.start > span.start
            && other.subject == own.subject
            && !sibling.failed()
            && verb(other, view).is_some()
            && sibling.rows != Some(0)
    })
}

fn evidence(tree: &Tree, statement: usize, view: &View<'_>) -> String {
    let text = |symbol| view.symbols.text(symbol);
    let request = tree.upwards(statement).skip(1).last().unwrap_or(statement);
    let request = &view.operations[tree.spans[request].operation];
    format!(
        "`{}` touched 0 rows, and `{}` of `{}` reported success all the same (trace {})",
        text(view.operations[tree.spans[statement].operation].name),
        text(request.name),
        text(request.service_name),
        hex(tree.trace),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::stage::{Act, Stage};

    fn sale(rows: u32) -> Vec<Act> {
        let process = Act { id: 1, kind: SpanKind::Consumer, name: "process sales", until: 50, ..Act::default() };
        let update = Act {
            id: 2,
            parent: 1,
            kind: SpanKind::Client,
            name: "UPDATE stock",
            rows: Some(rows),
            texts: ["", "stock", "", "UPDATE", "postgresql"],
            ..Act::default()
        };
        vec![process, update]
    }

    fn shown(stage: &mut Stage, rows: &mut Rows, acts: &[Act]) {
        let tree = stage.tree(acts);
        stage.show(|view, findings| rows.settled(&tree, view, findings));
    }

    #[test]
    fn updates_that_no_longer_find_their_row_are_found_and_resolve() {
        let (mut stage, mut rows) = (Stage::new(), Rows::default());
        for n in 0..1_000 {
            shown(&mut stage, &mut rows, &sale(u32::from(n % 300 != 299)));
        }
        assert!(stage.found().is_empty());
        for n in 0..80 {
            shown(&mut stage, &mut rows, &sale(u32::from(n % 10 != 0)));
        }
        let found = stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "zero_rows"));
        assert_eq!((found[0].operation.as_deref(), found[0].subject.as_deref()), (Some("UPDATE stock"), Some("stock")));
        stage.rest();
        for _ in 0..500 {
            shown(&mut stage, &mut rows, &sale(1));
        }
        assert_eq!(stage.found()[0].status, "resolved");
    }

    #[test]
    fn one_in_twenty_is_found_soon_where_none_ever_was_and_one_in_two_hundred_may_be_usual() {
        let (mut stage, mut rows) = (Stage::new(), Rows::default());
        for n in 0..5_000 {
            shown(&mut stage, &mut rows, &sale(u32::from(n % 200 != 7)));
        }
        assert!(stage.found().is_empty(), "{:?}", stage.found());
        let (mut stage, mut rows) = (Stage::new(), Rows::default());
        (0..1_500).for_each(|_| shown(&mut stage, &mut rows, &sale(1)));
        (0..180).for_each(|n| shown(&mut stage, &mut rows, &sale(u32::from(n % 20 != 0))));
        assert_eq!(stage.found().len(), 1);
    }

    #[test]
    fn one_in_ten_from_the_first_minute_on_is_found() {
        let (mut stage, mut rows) = (Stage::new(), Rows::default());
        for n in 0..150 {
            shown(&mut stage, &mut rows, &sale(u32::from(n % 10 != 0)));
        }
        assert_eq!(stage.found().len(), 1);
    }

    #[test]
    fn what_the_caller_is_told_or_an_insert_makes_good_is_not_silent() {
        let (mut stage, mut rows) = (Stage::new(), Rows::default());
        for _ in 0..100 {
            let mut acts = sale(0);
            acts[0] = Act { kind: SpanKind::Server, status: 404, ..acts[0] };
            shown(&mut stage, &mut rows, &acts);
            let mut acts = sale(0);
            acts.push(Act {
                id: 3,
                name: "INSERT stock",
                rows: Some(1),
                from: 20,
                until: 30,
                texts: ["", "stock", "", "INSERT", "postgresql"],
                ..acts[1]
            });
            shown(&mut stage, &mut rows, &acts);
        }
        assert!(stage.found().is_empty(), "{:?}", stage.found());
    }

    #[test]
    fn workers_that_look_for_work_and_deletes_of_what_is_gone_are_harmless() {
        let (mut stage, mut rows) = (Stage::new(), Rows::default());
        for n in 0..500 {
            let mut acts = sale(0);
            acts[0].kind = SpanKind::Internal;
            shown(&mut stage, &mut rows, &acts);
            let mut acts = sale(u32::from(n % 5 != 0));
            (acts[1].name, acts[1].texts[3]) = ("DELETE carts", "DELETE");
            shown(&mut stage, &mut rows, &acts);
        }
        assert!(stage.found().is_empty(), "{:?}", stage.found());
    }
}
