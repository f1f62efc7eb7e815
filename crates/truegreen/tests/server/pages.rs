//! The web port: pages, API, metrics.

use truegreen::config::Data;

use crate::support::{PROTOBUF, TestServer, placed};

#[test]
fn the_front_page_is_a_page_without_scripts() {
    let server = TestServer::start();
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed("o-<1>", 1)).status, 200);
    server.until_entered(1);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let text = page.text();
    assert!(text.contains("orders") && text.contains("entered = ") && text.contains("<svg"), "{text}");
    assert!(!text.contains("<script") && !text.contains("style=\""), "the policy forbids them");
    assert!(server.get("/style.css").header("content-type").starts_with("text/css"));
    assert_eq!(server.get("/nowhere").status, 404);
}

#[test]
fn a_journey_has_a_page_and_an_answer() {
    let server = TestServer::start();
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed("o/<1> ä", 1)).status, 200);
    server.until_entered(1);
    let path = "/orders/o%2F%3C1%3E%20%C3%A4";
    let answer = server.get(&format!("/api/v1/journeys{path}")).json();
    assert_eq!(answer["journeys"][0]["key"], "o/<1> ä");
    assert_eq!(answer["journeys"][0]["verdict"], "open");
    assert_eq!(answer["journeys"][0]["seen"][0]["service"], "shop");
    let page = server.get(&format!("/journeys{path}"));
    assert_eq!(page.status, 200);
    assert!(page.text().contains("o/&lt;1&gt; ä"), "{}", page.text());
    assert_eq!(server.get("/journeys/orders/unknown").status, 404);
}

#[test]
fn the_api_says_what_it_does_not_know() {
    let server = TestServer::start();
    for path in ["/api/v1/journeys/orders/o-9", "/api/v1/journeys/refunds/o-9", "/api/v1/books?flow=refunds", "/api/v2"]
    {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        let problem = answer.json();
        assert!(problem["error"].is_string() && problem["hint"].is_string(), "{path}: {problem}");
    }
}

#[test]
fn every_described_path_answers() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data { dir: dir.path().join("data"), ..Data::default() };
    let server = TestServer::with(|config| config.data = Some(data));
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed("o-1", 1)).status, 200);
    server.until_entered(1);
    let description = server.get("/api/v1/openapi.json").json();
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 35);
    for (path, _) in paths.iter().filter(|(_, answers)| answers.get("get").is_some()) {
        // No letter is dead here, no finding is open, and no incident.
        if path.contains("{id}") {
            assert_eq!(server.get(path).status, 404, "{path}");
            continue;
        }
        let path = path.replace("{flow}", "orders").replace("{key}", "o-1").replace("{asked}", "o-1");
        assert_eq!(server.get(&path).status, 200, "{path}");
    }
    for page in ["/", "/map", "/map.svg", "/systems", "/dead-letters", "/incidents"] {
        assert_eq!(server.get(page).status, 200, "{page}");
    }
    assert_eq!(server.get("/findings/0000000000000000").status, 404);
    let report = server.get("/api/v1/report").json();
    assert_eq!(report["flows"]["orders"]["entered"], 1);
    assert_eq!(report["flows"]["orders"]["open"], 1);
    let books = server.get("/api/v1/books?flow=orders").json();
    assert_eq!(books["flows"]["orders"][0]["entered"], 1);
    let flows = server.get("/api/v1/flows").json();
    assert_eq!(flows["flows"][0]["steps"], serde_json::json!(["placed", "shipped"]));
    let services = server.get("/api/v1/services").json();
    assert_eq!(services["services"][0]["service"], "shop");
}

/// Guarantee: the equation can be computed from the metrics alone, and every sample has one family before it.
#[test]
fn metrics_hold_the_equation() {
    let server = TestServer::start();
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed("o-1", 1)).status, 200);
    server.until_entered(1);
    let text = server.get("/metrics").text();
    assert_eq!(server.metric("truegreen_up"), 1);
    let standing: u64 = ["open", "completed", "late", "rejected", "dead_lettered", "unaccounted", "unknown"]
        .iter()
        .map(|standing| server.metric(&format!("truegreen_books{{flow=\"orders\",standing=\"{standing}\"}}")))
        .sum();
    assert_eq!((server.metric("truegreen_entered{flow=\"orders\"}"), standing), (1, 1));
    let mut families = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(rest.split(' ').next().unwrap().to_owned()), "{rest} twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(families.contains(name), "{line}");
            assert!(name.starts_with("truegreen_"));
        }
    }
}

/// Scenario: a web site points its own name at 127.0.0.1, so that a browser asks us under that name. Guarantee: it
/// learns nothing, and the attempt is counted.
#[test]
fn a_foreign_name_is_not_answered() {
    let server = TestServer::with(|config| config.external_url = Some("https://truegreen.example".to_owned()));
    for path in ["/", "/api/v1/report", "/metrics"] {
        assert_eq!(server.get_as("evil.example", path).status, 421, "{path}");
        assert_eq!(server.get_as("truegreen.example", path).status, 200, "{path}");
    }
    assert_eq!(server.metric("truegreen_refused_requests_total{reason=\"foreign_host\"}"), 3);
}

/// Guarantee: no sample stands twice on /metrics, which scrapers refuse as a whole.
#[test]
fn every_sample_stands_once() {
    let server = TestServer::start();
    let text = server.get("/metrics").text();
    let mut samples: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name)
        .collect();
    let all = samples.len();
    samples.sort_unstable();
    samples.dedup();
    assert!(all > 20 && samples.len() == all, "{text}");
}
