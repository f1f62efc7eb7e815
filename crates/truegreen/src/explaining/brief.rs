//! A diagnosis in a few lines, for whoever is woken by it: in alerts, lists and on the terminal.

use truegreen_connect::dead_letters::payload;
use truegreen_model::change::RankingVerdict;
use truegreen_model::diagnosis::{Brief, Diagnosis};
use truegreen_model::suspect::Suspect;

use crate::lookup::when;

/// Of each line: a phone shows no more, and what peers sent may be long.
const MAX_CHARS: usize = 400;

/// The few lines of it. All of them are taken from the diagnosis, so what that hides they hide.
pub(crate) fn brief(diagnosis: &Diagnosis) -> Brief {
    let line = |text: String| payload::line(&text, MAX_CHARS);
    let explanation = diagnosis.difference.as_ref().and_then(|difference| difference.explanations.first());
    let explanation = explanation.map(|first| {
        let [failing, healthy] = [first.failing_share, first.healthy_share].map(|share| 100.0 * share);
        line(format!("{}: {failing:.0} % of the failing ones, {healthy:.0} % of the healthy ones", first.title()))
    });
    let tied = diagnosis.suspects.iter().filter(|suspect| suspect.rank == 1).count().saturating_sub(1);
    let suspect = diagnosis.suspects.first().map(|first| {
        let evidence = first.evidence.first().map(|evidence| format!(": {evidence}")).unwrap_or_default();
        let others = if tied > 0 { format!(" (as likely as {tied} more)") } else { String::new() };
        line(format!("{}{others}{evidence}", place(first)))
    });
    // Where none explains it, the first of a ranking is nothing to wake anybody with.
    let ranking = diagnosis.changes.as_ref();
    let ranking = ranking.filter(|of| matches!(of.verdict, RankingVerdict::StandsOut | RankingVerdict::Tie));
    let change = ranking.and_then(|of| of.ranking.first()).map(|first| {
        let title = if first.title.is_empty() { &first.id } else { &first.title };
        line(format!("{title} at {} ({:.0} %)", when::stamp(&first.at), 100.0 * first.score))
    });
    let (as_of, verdict) = (diagnosis.as_of.clone(), diagnosis.verdict);
    Brief { as_of, verdict, says: line(diagnosis.says.clone()), explanation, suspect, change }
}

/// `missing event at apply of inventory, instance i-1`.
pub(crate) fn place(suspect: &Suspect) -> String {
    let place = [suspect.operation.as_deref(), suspect.service.as_deref()];
    let place: Vec<&str> = place.into_iter().flatten().collect();
    let instance = suspect.instance.as_ref().map(|instance| format!(", instance {instance}")).unwrap_or_default();
    format!("{} at {}{instance}", suspect.kind.name().replace('_', " "), place.join(" of "))
}

#[cfg(test)]
mod tests {
    use truegreen_model::change::{ChangeRanking, RankedChange};
    use truegreen_model::contrast::{Condition, Contrast, Explanation, Op};
    use truegreen_model::diagnosis::Certainty;

    use super::*;

    #[test]
    fn a_brief_names_the_first_of_each_and_is_short() {
        let condition = Condition {
            attribute: "event.type".to_owned(),
            op: Op::Is,
            value: format!("back\u{202e}{}", "x".repeat(900)),
        };
        let first = Explanation {
            conditions: vec![condition],
            failing_share: 1.0,
            healthy_share: 0.021,
            ..Explanation::default()
        };
        let change = RankedChange {
            title: "inventory 1.4.2".to_owned(),
            at: "2026-01-01T10:00:00Z".to_owned(),
            score: 0.93,
            ..RankedChange::default()
        };
        let mut ranking = ChangeRanking { ranking: vec![change], ..ChangeRanking::default() };
        let mut diagnosis = Diagnosis {
            verdict: Certainty::Likely,
            says: "8 orders vanished".to_owned(),
            difference: Some(Contrast { explanations: vec![first], ..Contrast::default() }),
            changes: Some(ranking.clone()),
            ..Diagnosis::default()
        };
        let told = brief(&diagnosis);
        assert_eq!((told.change, told.suspect), (None, None), "none explains it");
        let explanation = told.explanation.unwrap();
        assert!(explanation.starts_with("event.type = back") && explanation.ends_with('…'), "{explanation}");
        assert!(!explanation.contains('\u{202e}') && explanation.chars().count() <= MAX_CHARS + 1);
        ranking.verdict = RankingVerdict::StandsOut;
        diagnosis.changes = Some(ranking);
        assert_eq!(brief(&diagnosis).change.as_deref(), Some("inventory 1.4.2 at 2026-01-01 10:00:00 UTC (93 %)"));
    }
}
