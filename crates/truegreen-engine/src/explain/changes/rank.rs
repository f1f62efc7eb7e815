//! Which change most probably caused what was noticed.

use std::collections::BTreeMap;

use truegreen_model::change::{Change, ChangeRanking, DegradedEdge, RankedChange, RankingVerdict};

use super::degraded::{Graph, onset};
use super::edges::Edges;
use super::examine::{Examined, Incident, window};
use super::reasons::start;
use super::score::{shares, verdict};
use super::statistics::false_discovery;
use crate::date::rfc3339;

/// Of the changes whose effect is called shown, at most so many show none.
const FALSE_DISCOVERIES: f64 = 0.05;
/// Most edges that are listed as degraded.
const MOST_EDGES: usize = 20;

/// Ranks changes by how probably each is the cause of what was noticed. A change that is told twice under one id counts once,
/// as it was told last. Changes that are equally probable are in the order of their times, the latest first, then of their ids.
pub fn rank(changes: &[Change], edges: &Edges) -> ChangeRanking {
    let by_id: BTreeMap<&str, &Change> = changes.iter().map(|change| (change.id.as_str(), change)).collect();
    let changes: Vec<&Change> = by_id.into_values().collect();
    let graph = Graph::new(edges);
    let onset = onset(&graph);
    let owned: Vec<Change> = changes.iter().map(|change| (*change).clone()).collect();
    let incident = Incident { edges, graph, onset, window: window(&owned, edges) };
    let mut examined: Vec<Examined> = changes.iter().map(|change| incident.examine(change)).collect();
    incident.weigh(&mut examined);
    let alone = incident.alone(&examined);
    let mut ranking = put_together(&changes, examined, &alone, incident.onset.is_some());
    ranking.onset = incident.onset.map(|(at, ..)| rfc3339(start(at)));
    ranking.degraded = degraded(&incident.graph);
    ranking.notes = notes(edges);
    ranking
}

/// Scores, order and verdict of what was examined.
pub(super) fn put_together(
    changes: &[&Change],
    examined: Vec<Examined>,
    alone: &[f64],
    has_degraded: bool,
) -> ChangeRanking {
    let (scores, none) = shares(&examined.iter().map(|one| one.evidence).collect::<Vec<_>>(), alone);
    let tested: Vec<f64> = examined.iter().filter_map(|one| one.p).collect();
    let mut qs = false_discovery(&tested).into_iter();
    let mut rows: Vec<(&Change, RankedChange, bool)> = Vec::with_capacity(changes.len());
    for ((change, examined), score) in changes.iter().zip(examined).zip(scores) {
        let q_value = examined.p.and_then(|_| qs.next());
        // Where nothing else degraded there is less reason to believe that this did.
        let most = if has_degraded { FALSE_DISCOVERIES } else { FALSE_DISCOVERIES / 5.0 };
        let is_shown = examined.is_shown && q_value.is_none_or(|q| q <= most);
        let row = RankedChange {
            id: change.id.clone(),
            score: (score * 1e6).round() / 1e6,
            reasons: examined.reasons,
            title: change.title.clone(),
            service: change.service.clone(),
            at: rfc3339(change.at),
            p_value: examined.p,
            q_value,
            evidence: examined.evidence,
        };
        rows.push((change, row, is_shown));
    }
    let order = |a: &(&Change, RankedChange, bool), b: &(&Change, RankedChange, bool)| {
        let by_evidence = b.1.evidence.total().total_cmp(&a.1.evidence.total());
        by_evidence.then(b.0.at.cmp(&a.0.at)).then_with(|| a.0.id.cmp(&b.0.id))
    };
    rows.sort_by(order);
    let sorted: Vec<f64> = rows.iter().map(|(_, row, _)| row.score).collect();
    let any_shown = rows.iter().any(|(.., is_shown)| *is_shown);
    let (mut verdict, alike) = verdict(&sorted, none, |place| rows[place].2);
    if !has_degraded && !any_shown {
        verdict = RankingVerdict::NothingDegraded;
    }
    let ranking: Vec<RankedChange> = rows.into_iter().map(|(_, row, _)| row).collect();
    let says = says(verdict, &ranking, alike, none);
    ChangeRanking { ranking, verdict, says, none: (none * 1e6).round() / 1e6, ..ChangeRanking::default() }
}

fn says(verdict: RankingVerdict, ranking: &[RankedChange], alike: usize, none: f64) -> String {
    let named =
        |row: &RankedChange| if row.title.is_empty() { row.id.clone() } else { format!("{} ({})", row.title, row.id) };
    match (verdict, ranking.first()) {
        (RankingVerdict::StandsOut, Some(first)) => {
            format!("{} most probably caused it, with {:.0} %", named(first), first.score * 100.0)
        }
        (RankingVerdict::Tie, Some(_)) => {
            let names: Vec<String> = ranking.iter().take(alike.min(5)).map(named).collect();
            let more = alike.saturating_sub(names.len());
            if names.len() == 1 {
                return format!(
                    "{} may have caused it, with {:.0} %, or none of them did, with {:.0} %",
                    names[0],
                    sum(ranking, 1) * 100.0,
                    none * 100.0
                );
            }
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("these explain it about as well as one another: {}{more}", names.join(", "))
        }
        (RankingVerdict::NothingDegraded, _) => "nothing went worse: there is nothing to explain".to_owned(),
        (_, None) => "no change was given".to_owned(),
        _ => format!("none of the changes explains it ({:.0} % that it is none of them); look elsewhere", none * 100.0),
    }
}

fn sum(ranking: &[RankedChange], first: usize) -> f64 {
    ranking.iter().take(first).map(|row| row.score).sum()
}

fn degraded(graph: &Graph<'_>) -> Vec<DegradedEdge> {
    let mut worst: Vec<_> =
        graph.degraded().filter_map(|edge| edge.worst().map(|(metric, step)| (edge, metric, step))).collect();
    worst.sort_by(|(.., a), (.., b)| b.z.total_cmp(&a.z));
    let shown = worst.into_iter().take(MOST_EDGES).map(|(edge, metric, step)| DegradedEdge {
        source: edge.source.to_owned(),
        target: edge.target.to_owned(),
        metric: metric.name().to_owned(),
        before: metric.shown(step.before),
        after: metric.shown(step.after),
        since: rfc3339(start(step.at)),
        p_value: step.p,
    });
    shown.collect()
}

fn notes(edges: &Edges) -> Vec<String> {
    let left_out = edges.left_out();
    let mut notes = Vec::new();
    if edges.is_empty() {
        notes.push("no calls are in the data around that time".to_owned());
    }
    if left_out.outside > 0 {
        notes.push(format!(
            "{} rows are more than 26 hours before that time, or after it, and were left out",
            left_out.outside
        ));
    }
    if left_out.beyond_bounds > 0 {
        notes.push(format!("{} rows are of more series than are kept, and were left out", left_out.beyond_bounds));
    }
    if left_out.empty > 0 {
        notes.push(format!("{} rows tell nothing, and were left out", left_out.empty));
    }
    notes
}
