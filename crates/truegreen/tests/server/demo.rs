//! The demo as a stranger runs it: real processes, a real queue, a real loss.

use std::process::{Command, Output};

use serde_json::Value;
use truegreen_model::flow::Flow;

fn demo(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.args(["demo", "--for", "6s", "--rate", "20"]).args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}

/// Orders that came to their end: out of stock, or sent as a file.
fn completed(story: &Value) -> u64 {
    let of = |field: &str| story["truth"][field].as_u64().unwrap();
    of("updated") + of("sent")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Scenario: the consumer acknowledges some orders without doing anything; then the same orders with the repaired
/// consumer. Guarantee: first exactly the lost orders are named while all else is green, then none is lost, and those
/// orders are refused with a reason.
#[test]
fn the_lost_orders_are_named_and_the_repair_is_seen() {
    let repaired = std::thread::spawn(|| demo(&["--json", "--fixed"]));
    let story = json(&demo(&["--json"]));
    let books = &story["flows"]["order-fulfilment"];
    let lost = story["truth"]["lost"].as_array().unwrap();
    assert!(!lost.is_empty(), "{story:#}");
    assert_eq!(story["unaccounted"].as_array().unwrap(), lost);
    assert_eq!(books["unaccounted"].as_u64().unwrap(), lost.len() as u64, "{story:#}");
    assert_eq!(books["entered"], story["truth"]["entered"]);
    assert_eq!(books["completed"], completed(&story));
    let finding = &story["findings"][0];
    assert_eq!((&finding["after"], &finding["before"]), (&"published".into(), &"stock_updated".into()));
    assert_eq!((&story["health"], &story["ordinary"]["green"]), (&"BROKEN".into(), &true.into()));

    let story = json(&repaired.join().unwrap());
    let books = &story["flows"]["order-fulfilment"];
    assert_eq!(books["unaccounted"], 0, "{story:#}");
    assert_eq!(books["rejected"], story["truth"]["rejected"]);
    assert!(!books["rejected"].as_object().unwrap().is_empty());
}

fn flow(path: &str) -> Flow {
    let sources = truegreen::flows::read(std::path::Path::new(path)).unwrap();
    let (compiled, told) = truegreen::flows::compiled(&sources, false);
    let mut flows = compiled.unwrap_or_else(|| panic!("{}", told.join("\n"))).flows;
    flows.retain(|flow| flow.name.contains("checkout") || flow.name == "order-fulfilment");
    flows.pop().unwrap()
}

/// Scenario: what the demo recorded is audited, and learned from. Guarantee: the same books; and the learned contract has
/// the steps of the hand-written one, with what is sent as a file as the lawful exception.
#[test]
fn a_recorded_demo_audits_to_the_same_books() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let live = json(&demo(&["--json", "--record", &path("telemetry.jsonl"), "--keep", &path("kept")]));
    let audited = Command::new(env!("CARGO_BIN_EXE_truegreen"))
        .args(["audit", "--json", "--flows", &path("kept/flows"), &path("telemetry.jsonl")])
        .output()
        .unwrap();
    assert_eq!(audited.status.code(), Some(1), "{audited:?}");
    let audited: Value = serde_json::from_slice(&audited.stdout).unwrap();
    for field in ["entered", "completed", "unaccounted", "rejected"] {
        let of = |report: &Value| report["flows"]["order-fulfilment"][field].clone();
        assert_eq!(of(&audited), of(&live), "{field}");
    }
    let learned = Command::new(env!("CARGO_BIN_EXE_truegreen")).args(["learn", &path("telemetry.jsonl")]).output();
    std::fs::write(path("learned.yaml"), learned.unwrap().stdout).unwrap();
    let (learned, by_hand) = (flow(&path("learned.yaml")), flow(&path("kept/flows")));
    assert_eq!(learned.key, by_hand.key);
    for (step, by_hand) in learned.steps.iter().zip(&by_hand.steps).skip(1) {
        assert_eq!((&step.any_of, &step.unless), (&by_hand.any_of, &by_hand.unless), "{}", by_hand.name);
    }
    assert_eq!(learned.steps.len(), by_hand.steps.len());
    assert!(!learned.steps[2].unless.is_empty());
}

/// Scenario: payments time out and are swallowed; in another run a return asks for a label without end and prices go
/// stale elsewhere. Guarantee: all of it really happens, is written down, and no dashboard shows it.
#[test]
fn faults_beside_the_flow_are_real_and_ordinary_monitoring_is_green() {
    let looping = std::thread::spawn(|| demo(&["--json", "--fault", "silent-loop"]));
    let stale = std::thread::spawn(|| demo(&["--json", "--fault", "stale-cache"]));
    let unpaid = json(&demo(&["--json", "--fault", "swallowed-timeout"]));
    let truth = &unpaid["truth"];
    assert!(!truth["unpaid"].as_array().unwrap().is_empty(), "{truth:#}");
    assert_eq!((&truth["lost"], &truth["reads"]), (&serde_json::json!([]), &120.into()));
    let looping = json(&looping.join().unwrap());
    assert_eq!(looping["truth"]["unfinished_returns"].as_array().unwrap().len(), 1, "{:#}", looping["truth"]);
    let stale = json(&stale.join().unwrap());
    assert!(stale["truth"]["stale_reads"].as_u64().unwrap() > 0, "{:#}", stale["truth"]);
    for story in [unpaid, looping, stale] {
        assert_eq!(story["ordinary"]["green"], true, "{:#}", story["ordinary"]);
        assert_eq!(story["flows"]["order-fulfilment"]["completed"], completed(&story));
    }
}
