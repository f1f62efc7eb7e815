//! The page of a finding as it is read at night, and what peers sent in it.

use truegreen_model::change::{ChangeRanking, QuestionReport, RankedChange, RankingVerdict};
use truegreen_model::contrast::{Alternative, Condition, Contrast, Explanation, Op};
use truegreen_model::diagnosis::{Cause, Dimension, Onset, Radius, Spread, SystemSeen};
use truegreen_model::passage::CutReport;
use truegreen_model::probe::Standing;
use truegreen_model::suspect::{RuledOut, Suspect, SuspectKind};

use super::*;
use crate::web::whole;

fn at(clock: &str) -> String {
    format!("2026-01-01T{clock}Z")
}

fn finding() -> FindingReport {
    FindingReport {
        id: "00000000000000aa".to_owned(),
        kind: "loss".to_owned(),
        flow: "orders".to_owned(),
        after: Some("published".to_owned()),
        before: Some("stock updated".to_owned()),
        count: 20,
        onset: at("10:00:02"),
        first_seen: at("10:00:40"),
        last_seen: at("10:09:00"),
        status: "open".to_owned(),
        examples: vec!["ord-1".to_owned()],
        title: "20 journeys vanished after `published`".to_owned(),
        ..FindingReport::default()
    }
}

fn condition(value: &str) -> Explanation {
    Explanation {
        conditions: vec![Condition { attribute: "event.type".to_owned(), op: Op::Is, value: value.to_owned() }],
        failing_share: 1.0,
        healthy_share: 0.021,
        risk_ratio: 48.0,
        interval: [21.0, 110.0],
        p_value: 1e-12,
        rate_outside: 0.001,
        ..Explanation::default()
    }
}

fn diagnosis() -> Diagnosis {
    let tie = Alternative { explanation: condition("BACKORDER"), tie: true, ..Alternative::default() };
    Diagnosis {
        finding: FindingReport { count: 17, ..finding() },
        as_of: at("10:05:00"),
        verdict: Certainty::Likely,
        says: "17 journeys vanished after `published`; those with event.type = backorder fail".to_owned(),
        reasons: vec!["17 of 520 failed where event.type = backorder".to_owned()],
        cause: Cause {
            finding: "00000000000000bb".to_owned(),
            says: "zero rows at inventory".to_owned(),
            ..Cause::default()
        },
        related: vec![Related {
            finding: "00000000000000bb".to_owned(),
            kind: "zero_rows".to_owned(),
            relation: "cause".to_owned(),
            why: "both are about `inventory`, and began within five minutes".to_owned(),
            title: "zero rows at inventory".to_owned(),
        }],
        onset: Some(Onset {
            at: at("10:00:00"),
            from: at("09:59:10"),
            until: at("10:00:30"),
            share_before: Some(0.0),
            share_since: 0.034,
            goes_on: "yes".to_owned(),
            latest: at("10:04:59"),
            says: "it began about 10:00:00 UTC".to_owned(),
        }),
        radius: Radius {
            reach: "subset".to_owned(),
            keys: 17,
            says: "17 keys, 3.4 % of all since it began".to_owned(),
            dimensions: vec![Dimension {
                attribute: "cloud.region".to_owned(),
                reach: "all".to_owned(),
                failing_values: 2,
                values: 2,
                p_value: 0.4,
                worst: vec![Spread { value: "west".to_owned(), failing: 9, compared: 250 }],
            }],
            ..Radius::default()
        },
        difference: Some(Contrast {
            explanations: vec![condition("backorder")],
            alternatives: vec![tie],
            verdict: "explained".to_owned(),
            summary: "17 of 520 failed, all of them where event.type = backorder".to_owned(),
            attributes: 14,
            ..Contrast::default()
        }),
        changes: Some(ChangeRanking {
            ranking: vec![RankedChange {
                id: "c-1".to_owned(),
                title: "inventory 1.4.2".to_owned(),
                service: Some("inventory".to_owned()),
                at: at("09:58:00"),
                score: 0.93,
                reasons: vec!["two minutes before".to_owned()],
                ..RankedChange::default()
            }],
            verdict: RankingVerdict::StandsOut,
            says: "inventory 1.4.2 explains it far better than any other".to_owned(),
            ..ChangeRanking::default()
        }),
        questions: vec![QuestionReport {
            question: "Did traffic shift?".to_owned(),
            answer: "cannot tell".to_owned(),
            because: "no telemetry from before was looked at".to_owned(),
            evidence: vec!["requests are counted".to_owned()],
        }],
        suspects: vec![Suspect {
            rank: 1,
            service: Some("inventory".to_owned()),
            instance: Some("i-1".to_owned()),
            operation: Some("apply".to_owned()),
            log_event: Some("stock updated".to_owned()),
            missing_after: Some("message received".to_owned()),
            instead: None,
            kind: SuspectKind::MissingEvent,
            evidence: vec!["17 of 17 leave it out".to_owned()],
            failing: 17,
            normal: 0,
            weight: 40.0,
            traces: vec!["0af7651916cd43dd8448eb211c80319c".to_owned()],
        }],
        systems: vec![SystemSeen {
            system: "broker".to_owned(),
            kind: "rabbitmq".to_owned(),
            role: "queue".to_owned(),
            standing: Standing::Fail,
            since: at("10:00:20"),
            asked_at: at("10:04:48"),
            explains: true,
            says: "queue stock-events of `broker` (rabbitmq) fails: 1204 messages and no consumer".to_owned(),
        }],
        ruled_out: vec![RuledOut { what: "database `stock-db`".to_owned(), why: "it passes".to_owned() }],
        limits: vec!["between `shop` and `tax.example` nothing is seen".to_owned()],
        compared: Compared {
            failing: 17,
            failing_of: 17,
            healthy: 503,
            healthy_of: 4_100,
            records: 9_000,
            cut: vec![CutReport { what: "spans".to_owned(), count: 12, why: "one diagnosis reads so many".to_owned() }],
        },
    }
}

fn view() -> View {
    View {
        finding: finding(),
        diagnosis: Some(Arc::new(diagnosis())),
        incident: Some("INC-1".to_owned()),
        ..View::default()
    }
}

#[test]
fn the_sentence_comes_first_and_then_what_it_rests_on() {
    let text = whole("Finding", None, &body(&view())).into_string();
    insta::assert_snapshot!(text.replace('>', ">\n"));
}

#[test]
fn whatever_peers_sent_is_escaped() {
    let hostile = "<script>alert(1)</script>\"'";
    let quoted = serde_json::to_string(hostile).unwrap();
    let quoted = quoted.trim_matches('"');
    let sent = [
        "backorder",
        "BACKORDER",
        "event.type",
        "cloud.region",
        "west",
        "inventory",
        "apply",
        "stock updated",
        "ord-1",
        "message received",
        "i-1",
        "broker",
        "stock-db",
        "tax.example",
        "two minutes before",
        "0af7651916cd43dd8448eb211c80319c",
        "00000000000000bb",
        "published",
    ];
    let hostile_one = |text: String| sent.iter().fold(text, |text, sent| text.replace(sent, quoted));
    let diagnosis = hostile_one(serde_json::to_string(&diagnosis()).unwrap());
    let finding = hostile_one(serde_json::to_string(&finding()).unwrap());
    let view = View {
        finding: serde_json::from_str(&finding).unwrap(),
        diagnosis: Some(Arc::new(serde_json::from_str(&diagnosis).unwrap())),
        why_not: Some(hostile.to_owned()),
        ..View::default()
    };
    for page in [body(&view).into_string(), nothing(hostile).into_string()] {
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    }
    assert!(!body(&view).into_string().contains("\"'"), "no quote ends an attribute");
}

#[test]
fn without_a_diagnosis_the_finding_is_shown_and_why_there_is_none() {
    let view = View { finding: finding(), why_not: Some("it is being made".to_owned()), ..View::default() };
    let text = body(&view).into_string();
    assert!(text.contains("20 journeys vanished") && text.contains("No diagnosis: </b>it is being made."), "{text}");
    let empty = View { finding: finding(), diagnosis: Some(Arc::default()), ..View::default() };
    let text = body(&empty).into_string();
    for told in ["INCONCLUSIVE", "nothing to compare", "cannot be told", "None: failing ones go the way"] {
        assert!(text.contains(told), "{told}: {text}");
    }
}
