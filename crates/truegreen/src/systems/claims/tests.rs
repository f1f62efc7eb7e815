use truegreen_connect::Address;
use truegreen_connect::address::Surroundings;
use truegreen_model::map::Arrow;
use truegreen_model::report::FlowReport;

use super::*;

fn system(name: &str, url: &str) -> SystemConfig {
    SystemConfig::new(name, Address::parse(url, &Surroundings).unwrap())
}

fn probed(name: &str, checks: Vec<Check>) -> Probed {
    let (kind, address, time) = (String::new(), String::new(), String::new());
    let standing = ProbeReport::worst(&checks);
    let report = ProbeReport { system: name.to_owned(), kind, address, standing, time, seconds: 0.0, checks };
    Probed { report, since: String::new() }
}

/// A health check that answers with this status, and with this word.
fn says(status: u16, word: Option<Standing>) -> Probed {
    let standing = if status == 200 { Standing::Pass } else { Standing::Fail };
    let mut checks = vec![Check::new("status", standing, "answered so").observed(f64::from(status), "status")];
    checks.extend(word.map(|word| Check::new("says", word, "it says so")));
    probed("payments-health", checks)
}

fn flow() -> Flow {
    let text = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: stock updated, span: update stock, service: payments, within: 1m}
";
    let source = truegreen_engine::flow::Source { path: "orders.yaml".to_owned(), text: text.to_owned() };
    crate::flows::compiled(&[source], false).0.unwrap().flows.remove(0)
}

fn finding(kind: FindingKind, status: &str) -> FindingReport {
    FindingReport {
        id: "00000000000000aa".to_owned(),
        kind: kind.name().to_owned(),
        flow: "orders".to_owned(),
        after: Some("placed".to_owned()),
        before: Some("stock updated".to_owned()),
        status: status.to_owned(),
        title: "12 journeys were seen at `placed`, and never at `stock updated`".to_owned(),
        ..FindingReport::default()
    }
}

fn heard() -> ServiceReport {
    ServiceReport {
        service: "payments".to_owned(),
        instances: 1,
        last_heard: String::new(),
        export_lag_seconds: 10.0,
        sampled: None,
        spans: 1,
        error_spans: 0,
        logs: 0,
        data_points: 0,
    }
}

/// Payments with its database, and a flow in which it owes a step.
fn known(own: Probed, database: Vec<Check>, findings: Vec<FindingReport>) -> Known {
    let mut health = system("payments-health", "http://payments/health");
    health.expect.claims_of = Some("payments".to_owned());
    let mut stock = system("stock-db", "http://stock-db");
    stock.used_by = vec!["payments".to_owned()];
    let health_word = if findings.is_empty() { "WORKING" } else { "BROKEN" };
    let books = FlowReport { health: health_word.to_owned(), completed: 100, ..FlowReport::default() };
    let report = Report { health: health_word.to_owned(), flows: [("orders".to_owned(), books)].into(), findings };
    Known {
        probed: vec![own, probed("stock-db", database)],
        configs: vec![health, stock],
        flows: Some(FlowsSay { report, flows: vec![flow()], services: vec![heard()], map: Map::default() }),
    }
}

fn only(known: &Known) -> Claim {
    let mut claims = hold(known);
    assert_eq!(claims.len(), 1, "{claims:?}");
    claims.remove(0)
}

/// Scenario: the incident. The health check is green, orders vanish in the step that the service owes, and its database
/// takes no writes.
#[test]
fn a_service_that_says_pass_while_orders_vanish_in_it_lies() {
    let database = vec![Check::new("write", Standing::Fail, "answered: read-only\nhint: free the disk")];
    let claim = only(&known(says(200, Some(Standing::Pass)), database, vec![finding(FindingKind::Loss, "open")]));
    assert_eq!((claim.standing, claim.says), (Agreement::Lies, Standing::Pass));
    let verdict = "payments says pass; 12 journeys were seen at `placed`, and never at `stock updated`, which it owes; \
                   stock-db, which it uses, fails: write: answered: read-only.";
    assert_eq!(claim.verdict, verdict);
    assert_eq!(claim.findings, ["00000000000000aa"]);
    assert_eq!(claim.uses["stock-db"], Standing::Fail);
}

#[test]
fn either_alone_is_enough_to_find_it_lying() {
    let well = || vec![Check::pass("read")];
    let by_flows = only(&known(says(200, None), well(), vec![finding(FindingKind::Loss, "open")]));
    assert_eq!(by_flows.standing, Agreement::Lies);
    let by_system = only(&known(says(200, None), vec![Check::new("read", Standing::Fail, "gone")], vec![]));
    assert_eq!(by_system.standing, Agreement::Lies);
}

#[test]
fn a_pass_that_flows_bear_out_agrees() {
    let claim = only(&known(says(200, None), vec![Check::pass("read")], vec![]));
    assert_eq!(claim.standing, Agreement::Agrees);
    assert_eq!(claim.verdict, "payments says pass; what entered orders, which it is a part of, came out.");
}

#[test]
fn what_is_over_or_names_others_is_not_held_against_it() {
    let of_others =
        FindingReport { before: None, service: Some("shop".to_owned()), ..finding(FindingKind::MaskedFailure, "open") };
    for findings in [vec![finding(FindingKind::Loss, "resolved")], vec![of_others]] {
        let mut known = known(says(200, None), vec![Check::pass("read")], findings);
        known.flows.as_mut().unwrap().report.flows.get_mut("orders").unwrap().health = "WORKING".to_owned();
        assert_eq!(only(&known).standing, Agreement::Agrees);
    }
}

/// Guarantee: lost telemetry proves nothing against anybody, and nothing for them.
#[test]
fn silence_makes_no_liar_and_no_witness() {
    let claim = only(&known(says(200, None), vec![Check::pass("read")], vec![finding(FindingKind::Silence, "open")]));
    assert_eq!(claim.standing, Agreement::CannotTell, "{}", claim.verdict);
}

#[test]
fn a_fail_is_borne_out_or_cannot_be_told() {
    let alone = only(&known(says(503, None), vec![Check::pass("read")], vec![]));
    assert_eq!(alone.standing, Agreement::CannotTell);
    assert_eq!(alone.verdict, "payments says fail; nothing else that is known bears that out.");
    let borne_out = only(&known(says(200, Some(Standing::Warn)), vec![], vec![finding(FindingKind::Loss, "open")]));
    assert_eq!((borne_out.standing, borne_out.says), (Agreement::Agrees, Standing::Warn));
}

#[test]
fn who_says_nothing_neither_lies_nor_agrees() {
    let gone = probed(
        "payments-health",
        vec![Check::new("status", Standing::Fail, "cannot be reached: nothing listens there")],
    );
    let claim = only(&known(gone, vec![Check::pass("read")], vec![finding(FindingKind::Loss, "open")]));
    assert_eq!((claim.standing, claim.says), (Agreement::CannotTell, Standing::Unknown));
    assert!(claim.verdict.starts_with("payments says nothing: cannot be reached"), "{}", claim.verdict);
    let not_asked = probed("payments-health", vec![Check::new("asked", Standing::Unknown, "not asked yet")]);
    assert_eq!(only(&known(not_asked, vec![], vec![])).says, Standing::Unknown);
}

#[test]
fn without_a_server_systems_alone_are_held_against_it() {
    let mut known = known(says(200, None), vec![Check::pass("read")], vec![]);
    known.flows = None;
    let claim = only(&known);
    assert_eq!(claim.standing, Agreement::Agrees);
    assert_eq!(claim.verdict, "payments says pass; what it uses works: stock-db; flows were not asked.");
    known.configs[1].used_by.clear();
    assert_eq!(only(&known).standing, Agreement::CannotTell, "nothing is known of it at all");
}

#[test]
fn many_findings_are_counted() {
    let many = (0..7).map(|_| finding(FindingKind::Loss, "open")).collect();
    let claim = only(&known(says(200, None), vec![], many));
    assert!(claim.verdict.ends_with("; and 4 more findings."), "{}", claim.verdict);
}

#[test]
fn the_map_shows_who_uses_what() {
    let mut known = known(says(200, None), vec![Check::new("read", Standing::Fail, "gone")], vec![]);
    known.configs[1].used_by.clear();
    let arrow = |kind, from: &str, to: &str| Arrow {
        kind,
        from: from.to_owned(),
        to: to.to_owned(),
        count: 1,
        errors: 0,
        p50_seconds: 0.0,
        p99_seconds: 0.0,
        last_seen: String::new(),
        tied: 1.0,
    };
    known.flows.as_mut().unwrap().map.arrows = vec![arrow(ArrowKind::Call, "payments", "stock-db")];
    assert_eq!(only(&known).standing, Agreement::Lies);
    known.flows.as_mut().unwrap().map.arrows = vec![arrow(ArrowKind::Call, "shop", "stock-db")];
    assert!(only(&known).uses.is_empty());
}

#[test]
fn what_proves_nothing_is_what_the_model_says() {
    assert!(NO_PROOF.iter().all(|kind| !kind.proves_broken()));
    assert!(is_proof(FindingKind::Loss.name()) && is_proof("a kind of tomorrow"));
}
