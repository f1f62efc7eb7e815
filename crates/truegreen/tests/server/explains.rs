//! Why a finding is there: of requests that were really sent, stored and read again.

use std::process::Command;

use prost::Message;
use truegreen::config::Data;

use crate::incidents::CONTRACT;
use crate::support::{PROTOBUF, TestServer, span, text, traces};

/// An order of a region that was placed, and then this.
fn order(id: u8, region: &str, then: &str) -> Vec<u8> {
    let key = format!("o-{id}");
    let mut spans = vec![span("place order", &key, id), span(then, &key, id)];
    spans[0].attributes.push(text("cloud.region", region));
    spans[1].span_id = vec![id, 1, 1, 1, 1, 1, 1, 1];
    spans[1].parent_span_id = vec![id; 8];
    spans[1].start_time_unix_nano += 500_000;
    traces(spans).encode_to_vec()
}

/// Scenario: orders of one region are cancelled without a reason, all others are shipped. Guarantee: the diagnosis names the
/// region, how many fail since when, and that telemetry of failing and healthy ones was compared; it is the same when asked
/// again, and reads the same on the command line.
#[test]
fn the_region_whose_orders_fail_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data { dir: dir.path().to_owned(), ..Data::default() };
    let server = TestServer::watching(CONTRACT, |config| config.data = Some(data));
    for id in 1..=60 {
        let fails = id % 4 == 0;
        let body = order(id, if fails { "west" } else { "east" }, if fails { "cancel order" } else { "ship order" });
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &body).status, 200);
    }
    let findings = server.until("/api/v1/findings", "fifteen", |answer| answer["findings"][0]["count"] == 15);
    let id = findings["findings"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/findings/{id}/diagnosis");
    let diagnosis = server.until(&path, "the requests", |answer| answer["compared"]["failing"] == 15);

    let condition = &diagnosis["difference"]["explanations"][0]["conditions"][0];
    assert_eq!((&condition["attribute"], &condition["value"]), (&"cloud.region".into(), &"west".into()), "{diagnosis}");
    assert_eq!(diagnosis["difference"]["explanations"][0]["failing_share"], 1.0);
    assert_eq!((&diagnosis["radius"]["reach"], &diagnosis["radius"]["keys"]), (&"subset".into(), &15.into()));
    assert_eq!(diagnosis["onset"]["goes_on"], "yes");
    assert_eq!(diagnosis["cause"]["kind"], "no_reason");
    assert_ne!(diagnosis["verdict"], "INCONCLUSIVE", "{diagnosis}");
    assert_eq!(diagnosis["questions"].as_array().unwrap().len(), 7);
    assert_eq!(server.get(&path).json(), diagnosis);

    let url = format!("http://{}", server.web);
    let told = Command::new(env!("CARGO_BIN_EXE_truegreen")).args(["diagnose", &id, "--url", &url]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("those with cloud.region = west fail"), "{told}");
    assert_eq!(server.get("/api/v1/findings/0000000000000000/diagnosis").status, 404);
}
