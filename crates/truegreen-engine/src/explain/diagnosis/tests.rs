//! Scenarios: what systems say, what is not seen, and how sure a diagnosis then is.

use std::collections::BTreeMap;

use truegreen_model::change::{ChangeRanking, RankedChange, RankingVerdict};
use truegreen_model::contrast::{Contrast, Explanation};
use truegreen_model::diagnosis::{Cause, Certainty, Diagnosis, Onset, SystemSeen};
use truegreen_model::map::{ArrowKind, BlindSpot};
use truegreen_model::probe::{Check, ProbeReport, Standing};
use truegreen_model::report::{ClockReport, FindingReport, ServiceReport};
use truegreen_model::surroundings::{AskedSystem, Surroundings};
use truegreen_model::suspect::{Suspect, SuspectKind};
use truegreen_model::time::Timestamp;

use super::super::related::time;
use super::certainty::conclude;
use super::limits::{self, Asked};
use super::systems::{Answers, Place, Times, Way, answers, suspects};
use crate::cases::{Case, Cases};

/// Of 1 January 2026.
fn at(clock: &str) -> String {
    format!("2026-01-01T{clock}Z")
}

fn asked(system: &str, kind: &str, since: &str, checks: Vec<Check>) -> AskedSystem {
    let report = ProbeReport {
        system: system.to_owned(),
        kind: kind.to_owned(),
        address: String::new(),
        standing: ProbeReport::worst(&checks),
        time: at("10:05:00"),
        seconds: 0.01,
        checks,
    };
    AskedSystem { report, since: at(since), used_by: Vec::new(), claims_of: None, host: "10.0.0.9".to_owned() }
}

fn no_consumer() -> Check {
    Check::new("consumers", Standing::Fail, "1204 messages and no consumer\nhint: start one").of("queue stock-events")
}

fn way() -> Way {
    let place = |role, system: &str, name: &str| Place { role, system: system.to_owned(), name: name.to_owned() };
    let users = |service: &str| [service.to_owned()].into();
    Way {
        places: BTreeMap::from([
            (place("queue", "rabbitmq", "stock-events"), users("shop")),
            (place("database", "postgresql", "stock"), users("inventory")),
        ]),
        services: ["shop".to_owned(), "inventory".to_owned()].into(),
        ..Way::default()
    }
}

/// It began at ten, a minute sooner or later.
fn onset() -> Onset {
    Onset { at: at("10:00:00"), from: at("09:59:00"), until: at("10:01:00"), ..Onset::default() }
}

fn told(systems: Vec<AskedSystem>, cases: &Cases) -> Answers {
    let around = Surroundings { systems, ..Surroundings::default() };
    let onset = onset();
    let times = Times { onset: Some(&onset), found: "", cases, now: time(&at("10:05:12")) };
    answers(&way(), &around, &times)
}

#[test]
fn a_queue_that_nobody_consumes_explains_and_others_of_the_broker_do_not() {
    let elsewhere = Check::new("consumers", Standing::Fail, "9 messages and no consumer").of("queue mails");
    let broker = asked("broker", "rabbitmq", "10:00:20", vec![Check::pass("alarms"), elsewhere.clone(), no_consumer()]);
    let said = told(vec![broker], &Cases::default());
    let one = &said.seen[0];
    assert_eq!(
        one.says,
        "queue stock-events of `broker` (rabbitmq) fails: 1204 messages and no consumer (asked 12 s ago, so since \
         10:00:20 UTC)"
    );
    assert!(one.explains && one.role == "queue", "{one:?}");
    let trouble: Vec<&str> = said.on_path.iter().map(|system| system.trouble.as_str()).collect();
    assert_eq!(trouble, ["", one.says.as_str()], "the database was not asked");
    let suspect = &suspects(&said.seen, &[])[0];
    assert_eq!((suspect.rank, suspect.kind), (1, SuspectKind::FailingSystem));

    let broker =
        asked("broker", "rabbitmq", "10:00:20", vec![Check::pass("messages").of("queue stock-events"), elsewhere]);
    let said = told(vec![broker], &Cases::default());
    assert_eq!((said.seen[0].standing, said.seen[0].explains), (Standing::Pass, false));
    assert!(said.ruled_out.is_empty(), "it works only since they fail");
}

#[test]
fn what_fails_since_later_or_while_all_went_well_explains_nothing() {
    let later = told(vec![asked("broker", "rabbitmq", "10:03:01", vec![no_consumer()])], &Cases::default());
    assert!(!later.seen[0].explains && later.seen[0].says.ends_with("it began to fail only after they did"));
    let mut cases = Cases::default();
    let at_half_past = time(&at("09:30:00"));
    let well = Case { key: "o-1".to_owned(), at: at_half_past, traces: vec![], evidence: vec![], went_on: None };
    cases.healthy.offer(1, || well);
    let before = told(vec![asked("broker", "rabbitmq", "08:00:00", vec![no_consumer()])], &cases);
    assert!(!before.seen[0].explains, "{:?}", before.seen);
    assert!(before.seen[0].says.ends_with("1 that were looked at went well while it failed already"));
    let since = told(vec![asked("broker", "rabbitmq", "09:40:00", vec![no_consumer()])], &cases);
    assert!(since.seen[0].explains, "none went well since");
}

#[test]
fn which_system_is_meant_is_said_or_not_taken_for_known() {
    let read = |standing| vec![Check::new("read", standing, "cannot be reached")];
    let two = || {
        vec![
            asked("a", "postgres", "10:00:00", read(Standing::Fail)),
            asked("b", "postgres", "09:00:00", read(Standing::Pass)),
        ]
    };
    assert!(told(two(), &Cases::default()).seen.is_empty(), "spans do not say which");
    let mut said = two();
    said[1].used_by = vec!["inventory".to_owned()];
    let said = told(said, &Cases::default());
    assert_eq!(said.seen.iter().map(|one| one.system.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(said.ruled_out[0].what, "database `b`");
    assert_eq!(said.ruled_out[0].why, "it passes since 09:00:00, before it began");
    let unknown = told(vec![asked("a", "postgres", "09:00:00", read(Standing::Unknown))], &Cases::default());
    assert!(unknown.unanswered[0].starts_with("how `a` (postgres) is could not be told: cannot be reached"));
    let mut own = asked("inventory-health", "http", "10:00:00", read(Standing::Fail));
    own.claims_of = Some("inventory".to_owned());
    let said = told(vec![own], &Cases::default());
    assert_eq!((said.seen[0].role.as_str(), said.on_path.last().unwrap().kind.as_str()), ("service", "service"));
}

fn spot(kind: ArrowKind, from: &str, to: &str, way: &str, is_seen: bool) -> BlindSpot {
    let text = |text: &str| text.to_owned();
    let (from, to, way, by) = (text(from), text(to), text(way), text("nobody tells"));
    BlindSpot { kind, from, to, way, is_seen, by, closes: String::new() }
}

fn limited(around: &Surroundings, place: &str) -> limits::Limits {
    let path = ["shop".to_owned(), "inventory".to_owned()];
    let now = time(&at("10:10:00"));
    limits::limits(around, &Asked { path: &path, place: Some(place), beside: &[], unanswered: &[], now })
}

#[test]
fn what_is_out_of_sight_at_the_place_is_told_first_and_elsewhere_told_too() {
    let around = Surroundings {
        blind_spots: vec![
            spot(ArrowKind::Call, "shop", "tax.example", "not_reporting", false),
            spot(ArrowKind::Publish, "shop", "stock-events", "lost_publish", false),
            spot(ArrowKind::Process, "stock-events", "inventory", "skipped_message", true),
            spot(ArrowKind::Call, "shop", "inventory", "stalled_request", false),
            spot(ArrowKind::Call, "mailer", "smtp.example", "not_reporting", false),
        ],
        ..Surroundings::default()
    };
    let at_inventory = limited(&around, "inventory");
    let first = "between `shop` and `stock-events` nothing is seen, so it may as well be there: nobody tells";
    assert_eq!(at_inventory.at_place.as_deref(), Some(first));
    assert_eq!(at_inventory.says.len(), 2, "{at_inventory:?}");
    assert_eq!(limited(&Surroundings::default(), "inventory"), limits::Limits::default());
}

#[test]
fn samples_silence_and_wrong_clocks_limit_what_is_told() {
    let service = |service: &str, last: &str, sampled: Option<&str>| ServiceReport {
        service: service.to_owned(),
        instances: 1,
        last_heard: at(last),
        export_lag_seconds: 10.0,
        sampled: sampled.map(str::to_owned),
        spans: 1,
        error_spans: 0,
        logs: 0,
        data_points: 0,
    };
    let clock = |ahead_seconds: f64| ClockReport {
        service: "inventory".to_owned(),
        instance: "i-1".to_owned(),
        ahead_seconds,
        error_seconds: 0.1,
        drift_ppm: None,
    };
    let around = Surroundings {
        services: vec![
            service("shop", "10:09:59", Some("inferred")),
            service("inventory", "10:02:00", None),
            service("mailer", "01:00:00", None),
        ],
        clocks: vec![clock(-3.21), clock(0.2)],
        ..Surroundings::default()
    };
    let limits = limited(&around, "inventory");
    assert_eq!(
        limits.says,
        [
            "nothing was heard of `inventory` since 10:02:00 UTC: what it does is not seen",
            "`shop` keeps only a sample of its traces: what is missing may merely not be in it",
            "the clock of `inventory` (i-1) is 3.2 s behind, give or take 0.1 s: what came first around it is not sure",
        ]
    );
    assert_eq!(limits.at_place.as_deref(), Some(limits.says[0].as_str()));
    assert_eq!(limited(&around, "shop").at_place.as_deref(), Some(limits.says[1].as_str()));
}

fn suspect(service: &str) -> Suspect {
    Suspect {
        rank: 1,
        service: Some(service.to_owned()),
        instance: None,
        operation: Some("apply".to_owned()),
        log_event: None,
        missing_after: None,
        instead: None,
        kind: SuspectKind::MissingEvent,
        evidence: vec!["12 of 12 leave out the update".to_owned()],
        failing: 12,
        normal: 0,
        weight: 30.0,
        traces: Vec::new(),
    }
}

/// Guarantee: each rule of the docs, one after the other.
#[test]
fn how_sure_it_is_follows_the_stated_rules() {
    let difference = || {
        let explanations = vec![Explanation::default()];
        Some(Contrast { explanations, verdict: "explained".to_owned(), ..Contrast::default() })
    };
    let change = || {
        let ranking = vec![RankedChange { title: "inventory 1.4.2".to_owned(), ..RankedChange::default() }];
        Some(ChangeRanking { ranking, verdict: RankingVerdict::StandsOut, ..ChangeRanking::default() })
    };
    let fails =
        SystemSeen { role: "queue".to_owned(), system: "broker".to_owned(), explains: true, ..SystemSeen::default() };
    let of = |kind: &str| {
        let cause = Cause { kind: kind.to_owned(), service: Some("inventory".to_owned()), ..Cause::default() };
        Diagnosis { cause, finding: FindingReport::default(), ..Diagnosis::default() }
    };
    let told = |mut diagnosis: Diagnosis, hidden: Option<&str>| {
        conclude(&mut diagnosis, hidden);
        diagnosis
    };
    let verdict = |diagnosis: Diagnosis| told(diagnosis, None).verdict;
    use Certainty::{Confirmed, Inconclusive, Likely};
    assert_eq!(verdict(of("loss")), Inconclusive);
    assert_eq!(verdict(Diagnosis { difference: difference(), ..of("loss") }), Likely);
    assert_eq!(verdict(Diagnosis { systems: vec![fails.clone()], ..of("loss") }), Likely);
    assert_eq!(verdict(Diagnosis { difference: difference(), changes: change(), ..of("loss") }), Confirmed);
    assert_eq!(verdict(Diagnosis { difference: difference(), systems: vec![fails.clone()], ..of("loss") }), Confirmed);
    assert_eq!(verdict(of("zero_rows")), Likely, "seen itself");
    assert_eq!(verdict(Diagnosis { suspects: vec![suspect("inventory")], ..of("zero_rows") }), Confirmed);
    let elsewhere = || Diagnosis { suspects: vec![suspect("payments")], difference: difference(), ..of("loss") };
    assert_eq!(verdict(elsewhere()), Likely, "two services");
    let tied = vec![suspect("inventory"), suspect("inventory")];
    assert_eq!(
        verdict(Diagnosis { suspects: tied, difference: difference(), ..of("loss") }),
        Likely,
        "a tie names none"
    );

    let sure = |kind: &str| Diagnosis { suspects: vec![suspect("inventory")], difference: difference(), ..of(kind) };
    let hidden = told(sure("loss"), Some("between `a` and `b` nothing is seen"));
    assert_eq!(hidden.verdict, Likely);
    assert_eq!(hidden.reasons.last().unwrap(), "it is no surer since between `a` and `b` nothing is seen");
    assert_eq!(told(sure("zero_rows"), Some("nothing is seen")).verdict, Confirmed, "the act itself was seen");

    let of_system = suspects(std::slice::from_ref(&fails), &[suspect("payments")]);
    assert_eq!(of_system[0].rank, 2, "behind what telemetry names");
    let named = Diagnosis { suspects: suspects(std::slice::from_ref(&fails), &[]), systems: vec![fails], ..of("loss") };
    let named = told(named, None);
    assert_eq!(named.verdict, Likely, "the same evidence does not count twice");
    assert!(named.says.ends_with("while the queue `broker` fails"), "{}", named.says);
}

/// A moment that is none, and lists that are empty, tell nothing.
#[test]
fn nothing_known_around_says_nothing() {
    let around = Surroundings::default();
    let onset = Onset::default();
    let cases = Cases::default();
    let times = Times { onset: Some(&onset), found: "", cases: &cases, now: Timestamp(0) };
    let said = answers(&Way::default(), &around, &times);
    assert!(said.seen.is_empty() && said.on_path.is_empty() && said.ruled_out.is_empty() && said.unanswered.is_empty());
}
