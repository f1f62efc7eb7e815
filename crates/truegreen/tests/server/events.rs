//! CloudEvents in their three modes.

use crate::support::TestServer;

const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, event: shop.order.placed}
steps:
  - {name: shipped, event: shop.order.shipped, within: 1h}
";

fn event(id: &str, order: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"shop.order.placed","data":{{"order":{{"id":"{order}"}},"order.id":"{order}"}}}}"#
    )
}

#[test]
fn events_enter_the_books_in_all_three_modes() {
    let server = TestServer::watching(CONTRACT, |_| {});
    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let answer = server.post("/v1/events", &structured, event("1", "o-1").as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
    server.until_entered(1);

    let batch = format!("[{},{}]", event("2", "o-2"), event("3", "o-3"));
    let answer = server.post("/v1/events", &[("content-type", "application/cloudevents-batch+json")], batch.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
    server.until_entered(3);

    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "shop"),
        ("ce-type", "shop.order.placed"),
    ];
    let answer = server.post("/v1/events", &binary, br#"{"order.id":"o-4"}"#);
    assert_eq!(answer.status, 204, "{}", answer.text());
    server.until_entered(4);

    // The same event again is the same observation.
    assert_eq!(server.post("/v1/events", &structured, event("1", "o-1").as_bytes()).status, 204);
    let report = server.get("/api/v1/report").json();
    assert_eq!(report["flows"]["orders"]["entered"], 4);
}

#[test]
fn what_is_no_event_is_refused() {
    let server = TestServer::watching(CONTRACT, |_| {});
    let structured = [("content-type", "application/cloudevents+json")];
    let cases = [
        (&structured[..], &b"{\"specversion\":\"1.0\"}"[..], 400, "malformed"),
        (&structured[..], b"[", 400, "malformed"),
        (&[("content-type", "application/cloudevents-batch+json")], b"{}", 400, "malformed"),
        (&[("content-type", "application/json")], b"{}", 415, "content_type"),
    ];
    for (headers, body, status, reason) in cases {
        let counter = format!("truegreen_refused_requests_total{{reason=\"{reason}\"}}");
        let before = server.metric(&counter);
        let answer = server.post("/v1/events", headers, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(server.metric(&counter), before + 1);
    }
    server.assert_goes_on();
}
