//! Changes against what is known of a finding, and the seven questions.

use truegreen_model::change::{Change, ChangeKind, RankingVerdict};
use truegreen_model::time::Timestamp;

use super::super::incident::{Condition, Context, EdgeEffect, PathSystem, Seen, Went, rank_for_incident};
use super::super::questions::seven;

const ONSET: u64 = 1_800_000_000;

fn change(id: &str, service: &str, minutes_before: i64) -> Change {
    let at = Timestamp::from_secs((ONSET as i64 - minutes_before * 60) as u64);
    let title = format!("a change of {service}");
    Change {
        id: id.to_owned(),
        at,
        kind: ChangeKind::Release,
        title,
        service: Some(service.to_owned()),
        ..Change::default()
    }
}

fn went(instance: &str, version: &str, failing: u64, healthy: u64) -> Went {
    let host = format!("host-of-{instance}");
    let [service, instance, version] = ["payment", instance, version].map(str::to_owned);
    Went { service, instance, host, version, failing, healthy }
}

fn context() -> Context {
    let onset = Timestamp::from_secs(ONSET);
    Context {
        onset,
        earliest: Timestamp::from_secs(ONSET - 60),
        latest: Timestamp::from_secs(ONSET + 60),
        path: ["frontend", "checkout", "payment"].map(str::to_owned).to_vec(),
        places: vec!["payment".to_owned()],
        ..Context::default()
    }
}

#[test]
fn the_canary_that_failing_requests_went_through_is_first() {
    let context = Context {
        instances: vec![went("a", "1", 0, 200), went("b", "1", 1, 190), went("c", "2", 40, 20)],
        ..context()
    };
    let guilty = Change { version: Some("2".to_owned()), ..change("guilty", "payment", 4) };
    let innocent = Change { instances: vec!["a".to_owned()], ..change("other", "payment", 3) };
    let decoys = [
        change("d1", "search", 2),
        change("d2", "frontend", 6),
        change("d3", "payment", -20),
        change("d4", "checkout", 90),
    ];
    let all: Vec<Change> = [guilty, innocent].into_iter().chain(decoys).collect();
    let ranking = rank_for_incident(&all, &context);
    assert_eq!(
        (ranking.ranking[0].id.as_str(), ranking.verdict),
        ("guilty", RankingVerdict::StandsOut),
        "{ranking:#?}"
    );
    let search = ranking.ranking.iter().find(|row| row.id == "d1").unwrap();
    assert!(search.reasons.iter().any(|reason| reason.contains("do not go through search")), "{search:?}");
}

#[test]
fn what_was_done_to_a_host_is_held_against_who_runs_there() {
    let context = Context { instances: vec![went("a", "1", 1, 190), went("b", "1", 60, 3)], ..context() };
    let of_host = |id: &str, host: &str| {
        let mut change = Change { service: None, kind: ChangeKind::Infrastructure, ..change(id, "", 3) };
        change.attributes.insert("host.name".to_owned(), host.to_owned());
        change
    };
    let changes = [change("d1", "checkout", 2), of_host("cause", "host-of-b"), of_host("elsewhere", "host-of-x")];
    let ranking = rank_for_incident(&changes, &context);
    assert_eq!(ranking.ranking[0].id, "cause", "{ranking:#?}");
    let elsewhere = ranking.ranking.iter().find(|row| row.id == "elsewhere").unwrap();
    assert!(elsewhere.reasons.iter().any(|reason| reason.contains("do not come to host-of-x")), "{elsewhere:?}");

    let about = Context { about: vec!["host-of-a".to_owned()], ..context };
    let own = rank_for_incident(&[of_host("own", "host-of-a"), of_host("cause", "host-of-x")], &about);
    assert!(own.ranking[0].reasons.iter().any(|reason| reason == "host-of-a is what the finding is about"), "{own:?}");
}

#[test]
fn a_flag_that_failing_requests_share_is_first() {
    let condition = Condition {
        attribute: "feature_flag.result.variant".to_owned(),
        value: "new-cart=on".to_owned(),
        failing_share: 0.98,
        healthy_share: 0.04,
    };
    let context = Context { conditions: vec![condition], ..context() };
    let mut flag = Change { kind: ChangeKind::FeatureFlag, ..change("flag", "payment", 10) };
    flag.attributes.insert("feature_flag.result.variant".to_owned(), "new-cart=on".to_owned());
    let ranking = rank_for_incident(&[change("d1", "payment", 3), flag, change("d2", "checkout", 5)], &context);
    assert_eq!(ranking.ranking[0].id, "flag", "{ranking:#?}");
}

#[test]
fn what_only_suffers_is_not_blamed_and_nothing_known_blames_nobody() {
    let worse = |source: &str, target: &str| EdgeEffect {
        source: source.to_owned(),
        target: target.to_owned(),
        says: "fails 20 % of calls, 0.1 % before".to_owned(),
        p_value: 1e-8,
    };
    let context = Context { edges: vec![worse("frontend", "checkout"), worse("checkout", "payment")], ..context() };
    let ranking = rank_for_incident(&[change("victim", "checkout", 3), change("cause", "payment", 4)], &context);
    assert_eq!(ranking.ranking[0].id, "cause", "{ranking:#?}");
    let nothing = rank_for_incident(
        &[change("a", "checkout", 300)],
        &Context { onset: Timestamp::from_secs(ONSET), ..Context::default() },
    );
    assert_eq!(nothing.verdict, RankingVerdict::NoneExplains);
    assert_eq!(rank_for_incident(&[], &context).verdict, RankingVerdict::NoneExplains);
}

#[test]
fn the_seven_questions_are_answered_or_say_what_is_missing() {
    let nothing = seven(&[], &Context { onset: Timestamp::from_secs(ONSET), ..Context::default() });
    assert_eq!(nothing.len(), 7);
    assert!(nothing.iter().all(|one| one.answer == "cannot tell" && !one.because.is_empty()), "{nothing:#?}");

    let context = Context {
        instances: vec![went("a", "1", 0, 200), went("c", "2", 40, 20)],
        systems: vec![PathSystem {
            kind: "queue".to_owned(),
            name: "orders".to_owned(),
            trouble: "nobody takes from it".to_owned(),
            ..PathSystem::default()
        }],
        edges: vec![EdgeEffect {
            source: "checkout".to_owned(),
            target: "payment".to_owned(),
            ..EdgeEffect::default()
        }],
        seen: Seen {
            since: Some(Timestamp::from_secs(ONSET - 7_200)),
            versions: true,
            hosts: true,
            traffic: true,
            reports: false,
        },
        ..context()
    };
    let told = seven(&[change("r", "payment", 4), change("old", "payment", 600)], &context);
    let answers: Vec<&str> = told.iter().map(|one| one.answer.as_str()).collect();
    assert_eq!(answers, ["yes", "no", "subset", "yes", "no", "yes", "no"], "{told:#?}");
    assert_eq!(told[0].evidence.len(), 1, "what is ten hours old is not of the last ones");
}
